/* restore.h - a collection read back from the bucket alone: root, manifest, segments, image,
 * groups, in the order docs/protocol.md says ("Publishing"), fetched ahead and handed over one at a
 * time.
 *
 * Cold segments are read like others, unless the options leave them where they are: then what comes
 * is the head of an S3Only collection (docs/s3only.md).
 *
 * The caller places rows (snapshot/restore_rows.h does it for slots and vindexes). Rows of
 * segments, then records, each by the rule of docs/formats/checkpoint.md, come to the exact state,
 * with or without an image: an image only says in which slot a row is to lie, so that its links
 * fit. Its slot map comes first (on_slot), the nodes (on_node) after the last record at or below
 * image.start_lsn and before the first above it.
 *
 * Threads    restore_run() blocks on the network: a recover thread's or the cli's. Callbacks run on
 *            the calling thread.
 * Memory     fetch_ahead_bytes of objects in flight or waiting, and one being read; while nodes are
 *            read, one image part and what waits behind it more.
 * Failure    a transient answer is tried again until *stop or deadline; ST_CORRUPT names the
 * object, and what was handed over is then thrown away by the caller. ST_NOT_FOUND: no root. */
#ifndef SNAPSHOT_RESTORE_H
#define SNAPSHOT_RESTORE_H

#include "base/clock.h"
#include "base/fs.h"
#include "base/rand.h"
#include "objstore/objstore.h"
#include "segment/group.h"
#include "segment/manifest.h"
#include "segment/segment.h"

struct restore_plan { /* what there is: root, manifest, and the end of the log */
    struct root root;
    char etag[OBJSTORE_ETAG_BYTES];
    bool has_manifest;
    struct manifest manifest;
    struct restore_run { /* groups to read, in order */
        uint64_t epoch, first_seq, end_seq;
        bool open; /* its end is not recorded: found by listing */
    } * runs;
    size_t run_count;
    uint64_t groups;
    uint64_t bytes;      /* of segments, images and manifest; groups where a listing told */
    uint64_t cold_bytes; /* of bytes: cold segments */
};
struct restore_options {
    struct objstore *store;
    struct clock *clock;
    struct rand_source *rand;
    uint8_t collection[16];
    uint64_t fetch_ahead_bytes; /* 0: 64 MiB */
    uint32_t fetch_ahead;       /* requests in flight; 0: 8 */
    uint64_t give_up_ms;        /* transient failures for so long end it; 0: 60,000 */
    bool without_image;         /* nothing rests on one: what is left when it is damaged */
    bool without_colds;         /* rows of cold segments stay where they are: S3Only */
    struct fs *fs;              /* with scratch_dir */
    const char *scratch_dir;    /* is there; vectors of cold segments of several fields wait there
                                 * until their row comes; NULL: in RAM */
    const _Atomic bool *stop;
};
NODISCARD
status restore_plan_read(const struct restore_options *options, struct restore_plan *out,
                         struct err *err);
void restore_plan_free(struct restore_plan *plan);
/* ST_UNAVAILABLE "not yet restorable: ..." (a root whose base is not published), ST_NOT_FOUND
 * (dropped); restore_run() asks it first. */
NODISCARD
status restore_plan_check(const struct restore_plan *plan, struct err *err);

struct restore_sink { /* each may stop the run by a status other than ST_OK */
    void *arg;
    status (*on_image)(void *arg, const struct image_head *head, struct err *err); /* each part's */
    status (*on_slot)(void *arg, const struct image_slot *slot, struct err *err);
    status (*on_row)(void *arg, const struct segment_row *row, struct err *err);
    status (*on_nodes_begin)(void *arg, struct err *err); /* every record at or below
                                                           * image.start_lsn was handed over */
    status (*on_node)(void *arg, uint16_t field, const struct image_node *node, struct err *err);
    status (*on_record)(void *arg, uint64_t lsn, struct slice payload, struct err *err);
    void (*on_gap)(void *arg, uint64_t first_lsn, uint64_t last_lsn);
    void (*on_progress)(void *arg, uint64_t objects_done, uint64_t objects, uint64_t bytes_done);
};
struct restore_report {
    uint64_t last_lsn; /* the state that was restored */
    uint64_t chain;    /* there */
    uint64_t rows, records, objects, bytes, requests;
    uint64_t segment_bytes, log_bytes; /* of bytes: what the next publish decides by */
    bool used_image;
    uint64_t image_lsn;
    uint64_t gaps;
};
NODISCARD
status restore_run(const struct restore_options *options, const struct restore_plan *plan,
                   const struct restore_sink *sink, struct restore_report *out, struct err *err);

/* Reads every object of a collection and checks it and the chain, hands over nothing: `verify`. */
NODISCARD
status restore_verify(const struct restore_options *options, struct restore_report *out,
                      struct err *err);
/* meta/catalog; ST_NOT_FOUND when there is none (out is then empty). etag may be NULL. */
NODISCARD
status restore_catalog(struct objstore *store, struct catalog *out, char etag[OBJSTORE_ETAG_BYTES],
                       struct err *err);

#endif
