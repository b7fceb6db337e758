/* fs_sim.h - a file system in memory behind base/fs.h that forgets what was not synced.
 *
 * Every file has two contents, the one programs see and the one on the disk. fs_sync() copies what
 * is dirty (in sectors of 512 bytes) and the size; names become durable with fs_sync_dir() of their
 * folder. A power cut keeps what is durable and, sector by sector and name by name, whatever the
 * generator lets survive of the rest:
 *
 *   sectors   each dirty one is kept or lost by itself; one file in four keeps all, one loses all
 *   sizes     an unsynced change of size is kept or lost, so a grown file may end in zeros
 *   names     of each folder's unsynced operations a prefix is kept; a rename inside one folder is
 *             one operation; a rename between folders never loses the file
 *
 * After a failed sync the file's dirty sectors are readable and will never be written: a later
 * sync says ST_OK (what Linux does).
 *
 * Threads    any; one mutex. Limits: no "..", no links, 1 GiB a file; relative paths begin at the
 * root. Memory     its own malloc: sweeps of failing allocations do not see it. */
#ifndef TESTS_SUPPORT_FS_SIM_H
#define TESTS_SUPPORT_FS_SIM_H

#include "base/fs.h"
#include "base/rand.h"

struct fs_sim;

enum fs_sim_op {
    FS_SIM_OPEN,
    FS_SIM_READ,
    FS_SIM_WRITE,
    FS_SIM_SYNC,
    FS_SIM_TRUNCATE,
    FS_SIM_ALLOCATE,
    FS_SIM_SIZE,
    FS_SIM_RENAME,
    FS_SIM_UNLINK,
    FS_SIM_MKDIR,
    FS_SIM_RMDIR,
    FS_SIM_LIST,
    FS_SIM_STAT,
    FS_SIM_SYNC_DIR,
    FS_SIM_SPACE,
    FS_SIM_LOCK,
    FS_SIM_ANY,    /* all of them together */
    FS_SIM_EFFECT, /* all that may change something: opens that create or truncate, writes, syncs,
                      and what changes sizes and names */
};

struct fs_sim_fault {
    enum fs_sim_op op;
    uint64_t nth; /* 1: the next such call */
    int errnum;
    bool for_ever;         /* the n-th and every later one; else once */
    bool after_effect;     /* the call does its work, then says that it failed */
    size_t write_bytes;    /* of a write without after_effect: so much of it is done first */
    const char *path_part; /* only calls on a path that contains it; NULL: all. Copied */
};

struct fs_sim *fs_sim_create(void);
void fs_sim_destroy(struct fs_sim *sim); /* accepts NULL; handles must be closed before */
struct fs *fs_sim_fs(struct fs_sim *sim);

/* Faults add up; the first that matches a call decides. */
void fs_sim_fail(struct fs_sim *sim, const struct fs_sim_fault *fault);
void fs_sim_fail_clear(struct fs_sim *sim);
/* A plain form of the above. */
void fs_sim_fail_nth(struct fs_sim *sim, enum fs_sim_op op, uint64_t nth, int errnum);

/* Bytes that files may have together, 0: no limit. What grows beyond gets ENOSPC; a write puts
 * what fits first, as the kernel does. */
void fs_sim_space_limit(struct fs_sim *sim, uint64_t bytes);
uint64_t fs_sim_space_used(struct fs_sim *sim);

/* Calls since the file system was made, failed ones included. */
uint64_t fs_sim_calls(struct fs_sim *sim, enum fs_sim_op op);
/* The crash point: `effects` more calls that may change something are done; the one after it and
 * everything later, reads too, fails with EIO and does nothing. Lifted by a cut or a crash. */
void fs_sim_stop_after(struct fs_sim *sim, uint64_t effects);
bool fs_sim_stopped(struct fs_sim *sim);
/* Syncs of files say ST_OK and do nothing: for twins of a program that forgets its fdatasync. */
void fs_sim_sync_lies(struct fs_sim *sim, bool lies);

/* Handles of before the cut fail with EIO from here on and can only be closed; their locks are
 * gone; faults and the stop are lifted, the space limit stays. rng NULL: all that was not synced is
 * lost. */
void fs_sim_power_cut(struct fs_sim *sim, struct rand_source *rng);
/* kill -9: the same for handles, locks, faults and the stop, but the kernel lives and every byte
 * that was written stays readable (and unsynced). */
void fs_sim_process_crash(struct fs_sim *sim);

#endif
