/* fold.h - rows of the head, and of old cold segments, into a new cold segment. docs/s3only.md.
 *
 * Runs on the node's publish thread and waits for the network there; objects first, the manifest,
 * then the root (options.publish.commit), as snapshot/publish.h.
 *
 * Memory     about 150 bytes a row that is written (and what ids of bytes have), the id filter and
 *            id blocks of one segment at a time, four parts of an upload, 64 MiB of a segment that
 *            is merged, 33 MiB where there are payload indexes. Rows lie in scratch files
 * meanwhile, and then the object: `scratch_dir` needs some 2.5 times the rows' bytes. Failure    as
 * publish.h. Nothing the manifest before names is touched. */
#ifndef SNAPSHOT_FOLD_H
#define SNAPSHOT_FOLD_H

#include "base/fs.h"
#include "filter/pindex.h"
#include "snapshot/publish.h"

/* Which segments are merged with what the head has: a pure rule. */
enum {
    FOLD_SEGMENTS_MAX = 4, /* that remain, below FOLD_ROWS_MANY rows */
    FOLD_RATIO = 4, /* a segment is merged with what is smaller when that is a FOLD_RATIO-th */
    FOLD_DEAD_PERCENT = 20,
};
#define FOLD_ROWS_MANY 10000000u
struct fold_facts {
    uint64_t head_rows, head_tombstones;
    const struct manifest_cold *segments;
    size_t segment_count;
    bool all; /* by command: everything into one */
};
/* merge[i]: that segment is read and replaced. */
void fold_plan(const struct fold_facts *facts, bool *merge);

struct fold_row { /* of the head */
    uint64_t lsn, inserted_at_ns;
    struct docid id;
    struct slice external_id, payload;
    const float *const *vectors; /* by position; NULL: none */
};
struct fold_source { /* the head, up to S */
    /* Calls fn for every row with lsn <= S; fuzzy, each id at most once. */
    status (*each_row)(void *arg,
                       status (*fn)(void *fn_arg, const struct fold_row *row, struct err *err),
                       void *fn_arg, struct err *err);
    /* Every tombstone with lsn <= S. */
    status (*each_tombstone)(void *arg,
                             status (*fn)(void *fn_arg, const struct docid *id, uint64_t lsn,
                                          struct err *err),
                             void *fn_arg, struct err *err);
    void *arg;
};
enum {
    FOLD_ROW_BYTES = 100,                /* of RAM for a row, about */
    FOLD_PARTS_BYTES = 64 * 1024 * 1024, /* of an upload at most; and of a segment that is read */
};
struct fold_options {
    struct publish_options publish; /* store, clock, schema, root, shipped (= S), absorb, settle,
                                     * commit, ...; slots, fields, epoch, checkpoint_dir unused */
    struct fold_source head;
    const char *scratch_dir; /* made and removed here */
    /* NULL: not counted. The head's rows are counted beyond its limit, as a fold gives memory back.
     * Segments are merged only where there is room for theirs: else that is put off, and where
     * there is nothing else to do, or `all`, it is ST_NOSPACE. */
    struct mem_budget *budget;
    bool all;
    uint64_t seed;
    const struct pindex_spec *indexes; /* payload indexes that the new segment has; borrowed */
    size_t index_count;
};
struct fold_report {
    struct publish_report publish;
    uint32_t merged, segments;
    bool put_off; /* a merge, for want of memory */
    uint64_t rows_written;
    uint64_t rows_dead; /* from now on, in segments that stay */
    uint64_t requests;  /* about */
};
NODISCARD
status fold_run(const struct fold_options *options, const struct manifest *before,
                struct manifest *after, struct fold_report *out, struct err *err);

/* Every row of a cold segment that is not dead, in order of ordinals, streaming: merging, restoring
 * into RAM. Several GETs in flight. Vectors of fields but the first lie in another order and wait
 * in `scratch_dir` meanwhile, or in RAM. */
struct ask;
struct cold_stream_options {
    const struct ask *ask;
    const uint8_t *collection;
    const struct manifest_cold *segment;
    const struct catalog_collection *schema; /* fields by its list */
    struct fs *fs;
    const char *scratch_dir;  /* is there; NULL: in RAM */
    uint64_t bytes_in_flight; /* 0: 64 MiB */
    uint32_t window;          /* requests in flight; 0: 8 */
};
struct cold_stream_row {
    struct fold_row row; /* valid during the call */
    uint32_t ordinal;
};
struct cold_stream_report { /* of a failure too */
    uint64_t rows, bytes, requests;
};
/* ST_CORRUPT names the object; its rows before the damage were handed over. */
NODISCARD
status cold_stream(const struct cold_stream_options *options,
                   status (*fn)(void *arg, const struct cold_stream_row *row, struct err *err),
                   void *arg, struct cold_stream_report *report, struct err *err);
/* Reads everything and checks what the sections say about each other: `verify`. */
NODISCARD
status cold_verify(const struct ask *ask, const uint8_t collection[16],
                   const struct manifest_cold *segment, uint64_t *bytes, struct err *err);

#endif
