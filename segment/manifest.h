/* manifest.h - what a collection consists of at one revision: an immutable object,
 * `m/<revision>-<uuid>`, named by the root.
 *
 * A restore reads: the segments (rows as of start_lsn, fuzzy), then every group behind `floor` in
 * the order of lineages (the manifest's, then the root's, then what is open), each record by the
 * rule of docs/formats/checkpoint.md. An image spares linking: it names slots by (lsn, hash of id).
 *
 * Threads    a value.
 * Ownership  manifest_init / manifest_free own the arrays.
 * On disk    docs/formats/manifest.md, version 1; at most MANIFEST_BYTES_MAX. */
#ifndef SEGMENT_MANIFEST_H
#define SEGMENT_MANIFEST_H

#include "segment/catalog.h"
#include "segment/root.h"

enum {
    MANIFEST_BYTES_MAX = 16 * 1024 * 1024,
    MANIFEST_OBJECTS_MAX = 100000,
    MANIFEST_COLDS_MAX = 1000
};

struct manifest_segment {
    struct object_ref object;
    uint64_t start_lsn;        /* every record up to it was applied before its first row was read */
    uint64_t lsn_min, lsn_max; /* of its rows */
    uint32_t rows;
    uint8_t level; /* 0: base rows as they lay in RAM */
};
struct manifest_image { /* one part of a field's graph: slots [slot_first, slot_end) */
    struct object_ref object;
    uint16_t field;
    uint64_t start_lsn; /* the same in all parts of one image */
    uint32_t slot_first, slot_end;
    uint32_t slots_end; /* of the whole image */
    uint32_t nodes;
    uint16_t m, ef_construction; /* the graph was made with; 0: not known. One for a field */
};
struct manifest_cold {        /* a cold segment (docs/formats/cold-segment.md) */
    struct object_ref object; /* may pass 64 MiB; crc: of its trailer, which stands for all */
    uint64_t footer_offset;
    uint32_t footer_bytes;
    uint32_t footer_crc;       /* crc32c of all of the footer's section */
    uint64_t lsn_min, lsn_max; /* of its rows */
    uint32_t rows;             /* dead ones included */
    uint32_t dead_rows;        /* in the object `dead` */
    struct object_ref dead;    /* which rows, by ordinal (cold_dead_decode()); zero: none */
    uint8_t level;
};
struct manifest_gap { /* lsns an operator discarded */
    uint64_t first_lsn, last_lsn;
    uint64_t epoch, seq;
    uint64_t at_ns;
    bool dropped; /* --drop: the ids were removed; else logged again */
};
struct manifest {
    uint8_t collection[16];
    uint64_t revision;        /* of the root that first names it */
    uint64_t parent_revision; /* 0: the first */
    uint64_t created_at_ns;
    uint64_t lsn;  /* of the last record stored when it was written */
    uint64_t rows; /* live then */
    struct log_floor floor;
    struct catalog_collection schema; /* name, policy, fields as the catalog had them then */
    struct lineage *lineages;
    size_t lineage_count;
    struct manifest_segment *segments;
    size_t segment_count;
    struct manifest_image *images;
    size_t image_count;
    struct manifest_gap *gaps;
    size_t gap_count;
    struct manifest_cold *colds; /* required extension: the rows up to floor.lsn */
    size_t cold_count;
};
void manifest_init(struct manifest *m);
void manifest_free(struct manifest *m);
NODISCARD
status manifest_copy(const struct manifest *from, struct manifest *out, struct err *err);
/* Each copies its item to the end. ST_NOSPACE over MANIFEST_OBJECTS_MAX of a kind, ST_NOMEM. Lists
 * grow by these alone; to lower a count, or to move items within it, is fine. */
NODISCARD
status manifest_add_lineage(struct manifest *m, const struct lineage *l, struct err *err);
NODISCARD
status manifest_add_segment(struct manifest *m, const struct manifest_segment *s, struct err *err);
NODISCARD
status manifest_add_image(struct manifest *m, const struct manifest_image *i, struct err *err);
NODISCARD
status manifest_add_cold(struct manifest *m, const struct manifest_cold *c, struct err *err);
/* Of the cold segments' objects, dead rows' included. */
uint64_t manifest_cold_bytes(const struct manifest *m);
NODISCARD
status manifest_add_gap(struct manifest *m, const struct manifest_gap *g, struct err *err);
/* ST_INVALID: it does not hold together (the page's rules). */
NODISCARD
status manifest_encode(const struct manifest *m, struct buf *out, struct err *err);
NODISCARD
status manifest_decode(struct slice bytes, const uint8_t collection[16], struct manifest *out,
                       struct err *err);

/* A pin (`pin/<uuid>`): a named snapshot. */
enum { PIN_NAME_BYTES = 256 };
struct pin {
    uint8_t collection[16];
    uint8_t id[16];
    char name[PIN_NAME_BYTES];
    uint64_t created_at_ns;
    uint64_t root_revision;
    uint64_t manifest_revision; /* 0: none, the log from the start; then manifest is zero */
    struct object_ref manifest;
    uint64_t lsn;        /* the state it stands for */
    uint64_t epoch, seq; /* the last group it needs */
};
NODISCARD
status pin_encode(const struct pin *p, struct buf *out, struct err *err);
NODISCARD
status pin_decode(struct slice bytes, struct pin *out, struct err *err);

/* meta/format: which program may read and write this bucket. */
enum { BUCKET_FORMAT_VERSION = 1 }; /* what this program knows */
struct bucket_format {
    uint32_t version; /* 1 */
    uint32_t reader_min, writer_min;
    uint8_t cluster_id[16];
    uint64_t created_at_ns;
};
NODISCARD
status bucket_format_encode(const struct bucket_format *f, struct buf *out, struct err *err);
/* ST_UNSUPPORTED when a newer program must read it. Whoever means to write asks writer_min. */
NODISCARD
status bucket_format_decode(struct slice bytes, struct bucket_format *out, struct err *err);

#endif
