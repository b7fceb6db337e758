/* wal_internal.h - what the files of wal/ share: one file, its reader, the replay of a directory,
 * a log and the engine. */
#ifndef WAL_WAL_INTERNAL_H
#define WAL_WAL_INTERNAL_H

#include "base/lock.h"
#include "base/log.h"
#include "wal/wal.h"
#include "wal/wal_format.h"

#include <stdatomic.h>

enum {
    WAL_SPARES_MAX = 2,
    WAL_BATCH_KEEP_BYTES = 1024 * 1024, /* a batch buffer larger than this is given back */
};

/* --- wal_file.c: one file that is written ---------------------------------------------------- */

struct wal_sizes { /* wal_engine_options, with the defaults filled in */
    uint64_t first;
    uint64_t max;
};

struct wal_file {
    struct fs_file *file; /* NULL while closed */
    struct wal_sizes sizes;
    struct wal_head head;
    uint32_t seed;
    uint64_t used;      /* where the next record goes */
    uint64_t allocated; /* size of the file */
};

/* A way to write records into a file before it gets its name. */
typedef status wal_fill_fn(void *arg, struct wal_file *file, struct err *err);

struct wal_make {
    struct fs *fs;
    const char *dir;
    struct wal_sizes sizes;
    struct wal_head head;  /* the salt too */
    uint64_t room_bytes;   /* for records that come next */
    const uint64_t *spare; /* number of the spare to use; NULL: a new file */
    wal_fill_fn *fill;     /* NULL: nothing */
    void *fill_arg;
};
/* Makes a file as docs/formats/wal.md, "When a file comes into being", and leaves it open for
 * writing. *named says, on failure, that the rename was tried: the file may be there after a
 * crash. */
NODISCARD
status wal_file_make(const struct wal_make *make, struct wal_file *out, bool *named,
                     struct err *err);
/* Opens the file again, to write at f->used. */
NODISCARD
status wal_file_reopen(struct fs *fs, const char *dir, struct wal_file *f, struct err *err);
/* Room for `bytes` of records behind f->used and an end mark. Nothing is written. */
NODISCARD
status wal_file_room(struct fs *fs, struct wal_file *f, uint64_t bytes, struct err *err);
/* Would `bytes` of records fit without passing sizes.max? */
bool wal_file_fits(const struct wal_file *f, uint64_t bytes);
bool wal_file_is_empty(const struct wal_file *f);
/* Writes `bytes` of sealed records at f->used. The WAL_END_MARK_BYTES behind data + bytes are lent
 * for the end mark. Moves f->used. */
NODISCARD
status wal_file_write(struct fs *fs, struct wal_file *f, uint8_t *data, size_t bytes,
                      struct err *err);
/* Writes a marker at f->used, without moving it. */
NODISCARD
status wal_file_write_marker(struct fs *fs, struct wal_file *f, uint64_t last_lsn,
                             uint64_t durable_lsn, struct err *err);
void wal_file_close(struct fs *fs, struct wal_file *f);
/* Of a file whose name means nothing: tidy, never needed. */
void wal_unlink_tidily(struct fs *fs, const char *path);

/* --- wal_reader.c: one file that is read ----------------------------------------------------- */

struct wal_reader {
    struct fs *fs;
    struct fs_file *file;
    struct wal_head head;
    uint32_t seed;
    uint64_t file_bytes;
    uint64_t offset; /* of the next record */
    struct buf window;
    uint64_t window_at;
};

enum wal_step {
    WAL_STEP_DATA,   /* the next record, whole */
    WAL_STEP_MARKER, /* an end mark that says what is durable */
    WAL_STEP_END,    /* an end mark of zeros */
    WAL_STEP_BAD,
};
/* Opens a file and checks its header. ST_CORRUPT: the header is damaged or not this number's;
 * ST_UNSUPPORTED: another version. The reader must be closed in any case. */
NODISCARD
status wal_reader_open(struct wal_reader *r, struct fs *fs, const char *dir, uint64_t number,
                       struct err *err);
void wal_reader_close(struct wal_reader *r);
/* Looks at r->offset, where the record `lsn` would be. DATA moves on; *payload is good until the
 * next call. */
NODISCARD
status wal_reader_next(struct wal_reader *r, uint64_t lsn, enum wal_step *step, struct wal_rec *rec,
                       struct slice *payload, struct err *err);
/* After ST_CORRUPT of wal_reader_open(): one flipped bit of the header block is found by its
 * checksum and mended in memory. For salvage alone; false: nothing is known of the file. */
NODISCARD
bool wal_reader_mend(struct wal_reader *r, uint64_t number);
/* The next whole record header at or behind r->offset, wherever it is; *payload has no data where
 * its body is damaged. false: there is none. Moves behind it. */
NODISCARD
status wal_reader_find(struct wal_reader *r, bool *found, struct wal_rec *rec,
                       struct slice *payload, struct err *err);
/* Searches behind r->offset for headers of records with at least this lsn: *found, and the largest
 * durable_lsn they state. */
NODISCARD
status wal_reader_search(struct wal_reader *r, uint64_t lsn, bool *found, uint64_t *claim,
                         struct err *err);

/* --- wal_dir.c: the files of a directory ----------------------------------------------------- */

struct wal_entry {
    uint64_t number;
    uint64_t first_lsn;
    uint64_t durable_lsn; /* as its header says */
    uint64_t bytes;
    uint32_t flags;
    bool bad; /* the header is damaged */
};
struct wal_entries {
    struct wal_entry *at; /* by number */
    size_t count;
    size_t capacity;
};
struct wal_dir {
    struct wal_entries files;
    struct wal_entries spares; /* numbers and sizes only */
    struct wal_entries temps;  /* numbers only */
};
NODISCARD
bool wal_entries_reserve(struct wal_entries *e, size_t more);
void wal_entries_add(struct wal_entries *e, struct wal_entry entry); /* reserved before */
void wal_entries_remove(struct wal_entries *e, size_t index);
/* The largest lsn that a record of e->at[index] may have: what higher files do not void. */
uint64_t wal_entries_limit(const struct wal_entries *e, size_t index);
/* The first lsn of the log; 0 if no header can be read. */
uint64_t wal_entries_begin(const struct wal_entries *e);
NODISCARD
bool wal_entries_copy(struct wal_entries *out, const struct wal_entries *from);

/* Lists the directory and reads every header. A header of another log is ST_CORRUPT, a damaged one
 * sets `bad`. */
NODISCARD
status wal_dir_read(struct fs *fs, const char *dir, const uint8_t log_id[16], struct wal_dir *out,
                    struct err *err);
void wal_dir_free(struct wal_dir *d);
/* Unlinks, or makes it a spare, and syncs the directory. */
NODISCARD
status wal_dir_drop(struct fs *fs, const char *dir, uint64_t number, bool to_spare,
                    struct err *err);

/* --- wal_replay.c: what a directory holds ---------------------------------------------------- */

struct wal_replay {
    /* Set by the caller. */
    struct fs *fs;
    const char *dir;
    const struct wal_entries *files;
    uint64_t from;
    uint64_t expect_lsn;
    wal_replay_fn *fn;
    void *arg;
    /* What was found. */
    uint64_t last_lsn;
    uint64_t claim;   /* the largest durable lsn that was stated, at most last_lsn */
    uint64_t records; /* handed to fn */
    uint64_t bytes;
    enum wal_break {
        WAL_BREAK_NONE, /* at an end mark of the newest file */
        WAL_BREAK_TORN,
        WAL_BREAK_CORRUPT
    } ended;
    bool unsynced;   /* the file where it ended was written without fdatasync */
    size_t end_file; /* index of the last file with live records, or the one where it ended */
    uint64_t end_offset;
    char text[ERR_TEXT_BYTES];
};
NODISCARD
status wal_replay_run(struct wal_replay *r, struct err *err);
/* Hands records [from, to] of files to fn, without judging what follows; all must be there and
 * whole. `hint`, NULL, zeroed or where an earlier call ended, is updated. */
struct wal_hint {
    uint64_t number;
    uint64_t lsn;
    uint64_t offset;
};
NODISCARD
status wal_replay_range(struct fs *fs, const char *dir, const struct wal_entries *files,
                        uint64_t from, uint64_t to, struct wal_hint *hint, wal_replay_fn *fn,
                        void *arg, struct err *err);

/* --- a log and what waits in it -------------------------------------------------------------- */

struct wal_waiter {
    wal_done_fn *done;
    void *arg;
    size_t end; /* of its record in the batch's bytes */
    uint32_t payload_bytes;
};

/* Records that are written together. Filled under the log's lock, then the sync thread's, then the
 * commit thread's. */
struct wal_batch {
    struct wal_batch *next;
    struct wal *wal;
    struct buf bytes; /* frames without their headers; room for an end mark is reserved behind */
    struct wal_waiter *waiters;
    size_t count;
    size_t capacity;
    uint64_t first_lsn;
    /* How it ended: so many are durable, then up to unknown_end nobody knows, the rest is refused
     * with err. */
    size_t durable_count;
    size_t unknown_end;
    struct err err;
    bool cut;       /* the last batch of a failure: on_cut runs after it */
    bool ack_early; /* WAL_SYNC_TWIN_ACK_FIRST: callbacks run, the batch comes back */
    bool acked;
};

enum wal_mode {
    WAL_MODE_OPEN,
    WAL_MODE_CUTTING, /* between a failure and the end of on_cut */
    WAL_MODE_STOPPED, /* takes no writes; stop_code and stop_text say why */
};
enum wal_job { WAL_JOB_NONE, WAL_JOB_MARKER, WAL_JOB_CLOSE };

/* Who holds `scheduled` is alone with wal->sync: a sync thread, or open and close. */
struct wal {
    /* Set by wal_open(), never changed after it. */
    struct wal_engine *engine; /* borrowed */
    struct fs *fs;             /* the engine's */
    char *dir;
    uint8_t log_id[16];
    wal_cut_fn *on_cut;
    void *cut_arg;
    size_t buffer_bytes_max;
    bool entered; /* counted by the engine */

    struct log_repeat told_refused; /* any thread */

    _Atomic uint64_t durable_lsn; /* the commit thread stores, anyone loads */

    struct lock lock;    /* LOCK_RANK_WAL */
    struct cond changed; /* work ended: wal_close(), the early-ack twin and trims wait */
    struct {             /* guarded by lock */
        enum wal_mode mode;
        status stop_code;
        char stop_text[ERR_TEXT_BYTES];
        uint64_t next_lsn;
        struct wal_batch *fill;  /* NULL when nothing waits */
        struct wal_batch *spare; /* an empty one, kept */
        size_t unsynced_bytes;   /* of fill and of batches under way */
        size_t under_way;        /* batches taken and not yet finished */
        bool scheduled;
        bool closing;
        bool trimming;
        bool trim_blocked; /* a successor is still to copy from these files */
        enum wal_job job;
        struct wal_entries files; /* the last one is the newest; sync.file is it */
        struct wal_entries spares;
        struct wal_hint hint;
    } shared;

    struct { /* whoever holds `scheduled` */
        struct wal_file file;
        uint64_t last_number;
        uint64_t written_lsn; /* last record written and synced */
        uint64_t claim_lsn;   /* what records state as durable */
        bool marked;          /* the marker stands at file.used ... */
        bool settled;         /* ... and on disk */
        bool successor;       /* file may not be written: a successor comes first ... */
        uint64_t copy_from;   /* ... with copies of [copy_from, written_lsn]; 0: none */
        bool anew;            /* ... and the log begins with it */
    } sync;

    struct { /* guarded by the engine's lock */
        struct wal *next_ready;
        struct wal *before;
        struct wal *after;
        enum wal_job list; /* the list it is in; NONE: none */
        uint64_t due_ns;
        uint64_t active_ns;
        unsigned pins; /* the commit thread is looking at it */
        bool gone;     /* closing: into no list again */
    } timer;
};

/* wal_write.c: what a sync thread does with a log. */
void wal_run(struct wal *w);
/* Makes the successor that is due. At open and before a batch. */
NODISCARD
status wal_make_successor(struct wal *w, uint64_t room_bytes, struct err *err);
/* The last marker, synced; errors are logged, nothing depends on it. */
void wal_write_last_marker(struct wal *w);
/* Opens a .wal file, syncs it, closes it. */
NODISCARD
status wal_file_sync(struct wal *w, uint64_t number, struct err *err);
/* wal.c */
void wal_batch_free(struct wal_batch *b);
/* On the commit thread: callbacks, on_cut, and the batch is gone. */
void wal_batch_finish(struct wal_batch *b);
uint64_t wal_bytes_locked(const struct wal *w);

/* --- wal_engine.c ---------------------------------------------------------------------------- */

struct fs *wal_engine_fs(const struct wal_engine *e);
struct rand_source *wal_engine_rand(const struct wal_engine *e);
enum wal_sync wal_engine_sync(const struct wal_engine *e);
struct wal_sizes wal_engine_sizes(const struct wal_engine *e);
/* As the options say: fdatasync, or nothing. Observes how long it took. */
NODISCARD
status wal_engine_sync_file(struct wal_engine *e, struct fs_file *file, struct err *err);
/* A sync thread will wal_run(w). Called with w's lock held, by who set `scheduled`. */
void wal_engine_ready_locked(struct wal_engine *e, struct wal *w);
/* Hands one batch, or two, to the commit thread. */
void wal_engine_commit(struct wal_engine *e, struct wal *w, struct wal_batch *first,
                       struct wal_batch *second);
/* The marker was written; the file is closed when the log stays idle. */
void wal_engine_idle(struct wal_engine *e, struct wal *w);
void wal_engine_enter(struct wal_engine *e);
/* No timer touches w after this. */
void wal_engine_forget(struct wal_engine *e, struct wal *w);
void wal_engine_leave(struct wal_engine *e);
void wal_engine_add_bytes(struct wal_engine *e, int64_t bytes);

#endif
