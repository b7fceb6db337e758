/* checkpoint.h - the state of one collection in RAM written to local disk while it serves, and
 * loaded on start instead of being rebuilt.
 *
 * A checkpoint is full and fuzzy: it notes a start lsn, then writes row blocks
 * (CHECKPOINT_BLOCK_SLOTS slots each; blocks no row was published into since the last checkpoint
 * are kept, not rewritten), the liveness of all slots, and each field's graph (lists copied under a
 * seqlock, no slot reuse meanwhile). Rows published meanwhile may or may not be in it. On load,
 * links to unknown slots are dropped; then the log is replayed from start lsn + 1, which makes it
 * exact: a replayed row is skipped if its id is live with this lsn or a later one, a replayed
 * delete if its id is live with a later one.
 *
 * Until its manifest is renamed into place a checkpoint does not exist; a crash before leaves files
 * that the next open removes. The log is trimmed (by the caller) only after that.
 *
 * Threads    checkpoint_write: one at a time per collection, a background thread. checkpoint_load:
 *            before any reader.
 * On disk    docs/formats/checkpoint.md, version 1: <dir>/manifest,
 * <dir>/rows-<block>-<generation>, <dir>/graph-<field>-<generation>, <dir>/live-<generation>.
 * Failure    ST_CORRUPT on load names the file; the caller then falls back (replay of a full log
 * where there is one, else the collection is served read-only without it and says so). */
#ifndef SNAPSHOT_CHECKPOINT_H
#define SNAPSHOT_CHECKPOINT_H

#include "base/fs.h"
#include "index/vindex.h"

enum { CHECKPOINT_BLOCK_SLOTS = 16384 };

struct checkpoint_field {
    uint16_t id;
    struct vindex *vindex; /* borrowed */
    uint32_t dim;
};
struct checkpoint_state { /* what is written, or filled on load; all borrowed */
    struct fs *fs;
    const char *dir;
    uint8_t collection_id[16];
    struct slots *slots;
    const struct checkpoint_field *fields;
    size_t field_count;
    struct epoch *epoch;
    /* Writing, NULL where it is not needed: called once every other file is on disk, before the
     * manifest. When it returns ST_OK the log up to lsn_max is on disk too. */
    status (*settle_log)(void *arg, uint64_t lsn_max, struct err *err);
    void *settle_arg;
    bool keep_nothing; /* writing: no file of the checkpoint before is named again. For rows that
                        * were not loaded from it, as their slots are others */
};

struct checkpoint_info {
    uint64_t start_lsn; /* replay from start_lsn + 1 */
    uint64_t created_at_ns;
    uint64_t generation;
    uint64_t lsn_max;       /* of start_lsn and any row in it: the log must not end below */
    uint32_t rows;          /* live ones */
    uint64_t bytes_written; /* by this checkpoint */
    uint64_t bytes_total;   /* of all its files */
    uint32_t blocks_written, blocks_kept;
};

/* start_lsn: everything up to it is applied before the call. Stops with ST_CLOSED when *stop
 * becomes true. After any failure the checkpoint before is still there, and files of this one are
 * removed now or by the next. */
NODISCARD
status checkpoint_write(const struct checkpoint_state *state, uint64_t start_lsn,
                        uint64_t created_at_ns, const _Atomic bool *stop,
                        struct checkpoint_info *out, struct err *err);
/* Into empty slots and vindexes. ST_NOT_FOUND when there is none; then nothing is removed either.
 * Leftovers beside a manifest are removed (unless read_only). After any other failure slots and
 * vindexes hold a part and must be destroyed. */
NODISCARD
status checkpoint_load(const struct checkpoint_state *state, bool read_only,
                       struct checkpoint_info *out, struct err *err);
/* Checks every file against the manifest, loads nothing. For `verify`. */
NODISCARD
status checkpoint_verify(struct fs *fs, const char *dir, const uint8_t collection_id[16],
                         struct checkpoint_info *out, struct err *err);

#endif
