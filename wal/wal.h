/* wal.h - the write-ahead log of one collection, and the engine that syncs all logs.
 *
 * When a record's callback says ST_OK, it and every record before it are on disk. Records are
 * numbered by lsn, from 1, without gaps; callbacks come in lsn order, one at a time per log.
 *
 * Outcomes   ST_OK: durable. ST_NOSPACE or ST_IO: refused, it will never be replayed, its lsn is
 *            used again. ST_UNKNOWN: the disk failed and the cut could not be recorded; the record
 *            may or may not be there after a restart; the log is closed for writes.
 * Threads    wal_submit() from any, never waits. The engine has one commit thread and
 *            WAL_SYNC_THREADS sync threads for all logs: a sync thread writes and syncs what one
 *            log has buffered, the commit thread runs callbacks, which must not wait either. One
 *            fdatasync serves all that wait on a log.
 * Ownership  the log copies the payload; the caller keeps it. wal_close() frees the handle.
 * On disk    docs/formats/wal.md, version 1: <dir>/<16 hex digits of the file number>.wal
 * Limits     WAL_PAYLOAD_BYTES_MAX a record; buffer_bytes_max unsynced bytes a log.
 * Failure    after a failed write or fdatasync the file is never synced again: the kernel may have
 *            dropped the pages. What was in flight fails, and a successor file states the lsn it
 *            cuts at; then on_cut runs and the log goes on. Out of disk before anything was
 *            written: the waiting records are refused with ST_NOSPACE, on_cut runs too, and the
 *            next submit tries again. */
#ifndef WAL_WAL_H
#define WAL_WAL_H

#include "base/clock.h"
#include "base/fs.h"
#include "base/rand.h"
#include "base/stats.h"

enum {
    WAL_PAYLOAD_BYTES_MAX = 256 * 1024 * 1024,
    WAL_SYNC_THREADS = 4,
    WAL_FILE_BYTES_FIRST = 256 * 1024,
    WAL_FILE_BYTES_MAX = 64 * 1024 * 1024,
    WAL_MARKER_IDLE_MS = 100,
    WAL_CLOSE_IDLE_MS = 30000, /* an idle log keeps no file open */
};

struct wal;
struct wal_engine;

enum wal_sync {
    WAL_SYNC_FDATASYNC = 0,
    WAL_SYNC_NONE, /* written, never synced: `sync = "none"`, Memory collections only */
    /* Broken twins that tests must catch; refused unless wal_engine_options.broken_twins is set. */
    WAL_SYNC_TWIN_SKIP,      /* says durable without fdatasync */
    WAL_SYNC_TWIN_ACK_FIRST, /* acknowledges before the write */
};

struct wal_engine_options {
    struct fs *fs;
    struct clock *clock;
    struct rand_source *rand;
    struct stats *stats; /* tiervec_wal_fsync_seconds, tiervec_wal_bytes; NULL for none */
    enum wal_sync sync;
    bool broken_twins;
    /* Sizes of a file when it is made and when the next one follows; 0: WAL_FILE_BYTES_FIRST and
     * WAL_FILE_BYTES_MAX. Smaller ones let tests see many files. */
    uint64_t file_bytes_first;
    uint64_t file_bytes_max;
};
NODISCARD
status wal_engine_open(const struct wal_engine_options *options, struct wal_engine **out,
                       struct err *err);
/* Every log must be closed. Accepts NULL. */
void wal_engine_close(struct wal_engine *engine);

/* How a record ended; runs on the commit thread. */
typedef void wal_done_fn(void *arg, uint64_t lsn, status st, const struct err *err);
/* The log fell back to cut_lsn: every later submitted record has had its callback with a failure,
 * and wal_submit() refuses (ST_UNAVAILABLE) until this returns. The sequencer forgets here what it
 * had assumed of records that failed. */
typedef void wal_cut_fn(void *arg, uint64_t cut_lsn);
/* Replay of one durable record in lsn order. A status other than ST_OK stops and fails the open. */
typedef status wal_replay_fn(void *arg, uint64_t lsn, struct slice payload, struct err *err);

struct wal_options {
    struct wal_engine *engine;
    const char *dir;    /* made if absent; copied */
    uint8_t log_id[16]; /* the collection's id; files of another log are ST_CORRUPT */
    /* First lsn handed to replay; earlier ones are only checked. The log must begin at or before
     * it, and a log that is not there yet begins with it. 0: wherever the log begins. */
    uint64_t replay_from;
    /* The log must reach at least this lsn (a checkpoint's); 0: nothing expected. A log written
     * without fdatasync that does not goes on behind it. */
    uint64_t expect_lsn;
    wal_replay_fn *replay; /* NULL: only checked */
    void *replay_arg;
    wal_cut_fn *on_cut; /* NULL: nothing */
    void *cut_arg;
    size_t buffer_bytes_max; /* 0: 2 * WAL_PAYLOAD_BYTES_MAX */
    bool read_only;          /* check and replay; nothing is written, wal_submit() is ST_DENIED */
};

struct wal_report {
    uint64_t last_lsn; /* last durable record found */
    uint64_t records;  /* handed to replay */
    uint64_t bytes;
    bool torn;    /* a torn tail was cut off: normal after a crash */
    bool corrupt; /* records up to last_lsn are whole; what followed is damaged. The log is then
                   * read-only: wal_submit() is ST_CORRUPT */
    char text[ERR_TEXT_BYTES]; /* file, offset and what was wrong, when torn or corrupt */
};
/* Opens or makes the log, replays it, and is ready to submit. Blocks on disk: not for workers. A
 * damaged log opens too, for reading (report->corrupt); on a full disk it opens and refuses records
 * until there is room. ST_CORRUPT: the files are of another log. */
NODISCARD
status wal_open(const struct wal_options *options, struct wal **out, struct wal_report *report,
                struct err *err);
/* Waits for what was submitted (callbacks run), writes a last marker, frees. Accepts NULL. */
void wal_close(struct wal *wal);

/* What can still be read of a damaged log: for whoever has the rest elsewhere (node/heal.c). */
struct wal_salvage {
    uint64_t first_lsn;       /* of the first record read; 0: none */
    uint64_t last_lsn;        /* of the last one */
    uint64_t durable_lsn;     /* the largest that anything readable states: up to here records were
                               * acknowledged, whole or not */
    bool unknown;             /* a file whose header cannot be mended may have held more */
    char file[FS_PATH_BYTES]; /* which */
};
/* Hands every readable record that no later file voids to fn (NULL: none), by rising lsn, over
 * whatever is damaged between them; nothing is written. Not beside a log that is written to. */
NODISCARD
status wal_salvage(struct fs *fs, const char *dir, const uint8_t log_id[16], wal_replay_fn *fn,
                   void *arg, struct wal_salvage *out, struct err *err);

/* Copies one record (the concatenation of `parts`) into the log buffer and gives it the next lsn;
 * done is called once, later, never from inside this call.
 * ST_INVALID      payload empty or over WAL_PAYLOAD_BYTES_MAX
 * ST_LIMIT        the buffer is full: the disk is behind; nothing was submitted
 * ST_NOMEM        no memory for the buffer; nothing was submitted
 * ST_UNAVAILABLE  the log is being cut back after a failure; try again
 * ST_CLOSED, ST_DENIED, ST_CORRUPT  the log takes no writes; err says why */
NODISCARD
status wal_submit(struct wal *wal, const struct slice *parts, size_t part_count, wal_done_fn *done,
                  void *arg, uint64_t *lsn, struct err *err);
/* Blocking twin for tools and tests. */
NODISCARD
status wal_append_wait(struct wal *wal, struct slice payload, uint64_t *lsn, struct err *err);

uint64_t wal_durable_lsn(const struct wal *wal);
uint64_t wal_next_lsn(const struct wal *wal); /* of the next submit */
uint64_t wal_bytes(const struct wal *wal);    /* of all its files */
/* Records up to and with lsn are no longer needed: whole files are recycled or removed. Blocks on
 * disk. The newest file stays. */
NODISCARD
status wal_trim(struct wal *wal, uint64_t lsn, struct err *err);
/* Puts every record that was acknowledged or replayed so far on disk: before a checkpoint names
 * them. Does something with WAL_SYNC_NONE, and where the log was opened on a full disk; else all of
 * them are. Blocks on disk; not beside wal_trim(). ST_NOSPACE: the disk is still full. */
NODISCARD
status wal_settle(struct wal *wal, struct err *err);
/* Reads durable records [from, to] again, in order; `to` may lie beyond the last one. Blocks on
 * disk. ST_NOT_FOUND if from is trimmed. */
NODISCARD
status wal_read(struct wal *wal, uint64_t from, uint64_t to, wal_replay_fn *fn, void *arg,
                struct err *err);
/* Why the log takes no writes (ST_CLOSED, ST_DENIED, ST_CORRUPT), or ST_OK. */
NODISCARD
status wal_state(struct wal *wal, struct err *err);

#endif
