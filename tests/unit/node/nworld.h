/* nworld.h - what the tests of node/ share: a node on the file system that forgets (or the real
 * one), and its asynchronous calls as calls that wait.
 *
 * Files are in fs_sim under the path of a real folder made for the test: LMDB alone uses the real
 * one, for it knows no other. What LMDB did survives a cut, as its transactions are durable.
 *
 * Threads    one, unless a test says otherwise; the waiting calls may be used from several. */
#ifndef TESTS_UNIT_NODE_NWORLD_H
#define TESTS_UNIT_NODE_NWORLD_H

#include "node/node_internal.h"
#include "objstore/faults.h"
#include "tests/support/fs_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NWORLD_SPACE_BYTES_MIN = 64 * 1024 };

struct nworld {
    char dir[64];
    struct fs_sim *sim; /* NULL: the real file system */
    struct rand_seeded rand;
    struct clock_manual clock; /* used when options.clock is set to it */
    struct stats *stats;
    struct exec *exec;
    struct node_options options; /* a test changes them before nworld_open() */
    struct node *node;
    uint64_t seed;
    struct objstore *bucket; /* nworld_bucket(): faults around memory; NULL: none */
    char bucket_name[64];
};

void nworld_init(struct nworld *w, bool sim, uint64_t seed);
/* The node has a bucket from its next open on: one in memory by that name, behind faults
 * (objstore/faults.h). Several worlds may share one; who fini()s last forgets it. */
void nworld_bucket(struct nworld *w, const char *name);
/* Closes the node if it is open, and removes every file. */
void nworld_fini(struct nworld *w);
/* Opens the node and waits until it is ready. */
status nworld_try_open(struct nworld *w, struct err *err);
void nworld_open(struct nworld *w);
void nworld_close(struct nworld *w);
/* The machine loses power now: nothing of what follows reaches the disk, the graceful stop least of
 * all. */
void nworld_power_cut(struct nworld *w);
/* After fs_sim_stop_after() struck: closes what is left and cuts the power. */
void nworld_crash(struct nworld *w);
struct fs *nworld_fs(struct nworld *w);

/* One call under way. */
struct call {
    struct lock lock;
    struct cond cond;
    bool done;
    status st;
    struct write_result result;
    struct collection_info info;
    struct err err;
};
void call_init(struct call *c);
void call_wait(struct call *c); /* and gives lock and condition back */
void call_write_done(void *arg, status st, const struct write_result *result,
                     const struct err *err);
void call_admin_done(void *arg, status st, const struct collection_info *info,
                     const struct err *err);

/* The waiting twins; `info`, `result` and `err` may be NULL. */
status ncreate(struct nworld *w, const char *name, uint32_t dim, enum vmetric metric,
               uint32_t threshold, struct err *err);
status ndrop(struct nworld *w, struct collection *c, struct err *err);
status npatch(struct nworld *w, struct collection *c, const char *name, uint16_t ef_search,
              struct err *err);
status ncheckpoint(struct collection *c, struct err *err);
status nwrite(struct collection *c, struct write_row *rows, size_t count,
              struct write_result *result, struct err *err);
status ndelete(struct collection *c, const struct docid *ids, size_t count,
               struct write_result *result, struct err *err);
/* One document with a u64 id; its vector and payload follow from id and version alone. */
status nput(struct collection *c, uint64_t id, uint32_t version, struct err *err);
status ndel(struct collection *c, uint64_t id, struct err *err);
/* 0: not there; else the version found. Vector and payload are compared with it. */
uint32_t nversion(struct collection *c, uint64_t id);
/* Pinned; fails the test when there is none. */
struct collection *npin(struct nworld *w, const char *name);
uint64_t ncount(struct collection *c); /* document_count */
/* A MemoryS3 collection. */
status ncreate_s3(struct nworld *w, const char *name, uint32_t dim, enum node_durability durability,
                  struct err *err);
status nsnapshot(struct collection *c, const char *name, struct node_snapshot_result *out,
                 struct err *err);
status ncompact(struct collection *c, struct node_snapshot_result *out, struct err *err);
status ncompact_anew(struct collection *c, struct err *err);
status npatch_policy(struct nworld *w, struct collection *c, enum node_policy policy,
                     struct err *err);
/* Waits until cond holds, a minute at most; fails with what else. */
#define neventually(cond)                                                                          \
    do {                                                                                           \
        for (int neventually_i = 0; !(cond); neventually_i++) {                                    \
            if (neventually_i > 6000)                                                              \
                fail_msg("never: %s", #cond);                                                      \
            npause_ms(10);                                                                         \
        }                                                                                          \
    } while (0)
void npause_ms(unsigned ms);
struct collection_info ninfo(struct collection *c);
void nstate(struct collection *c, const char *state, const char *reason_part);
/* Invariants of rows and graph, once all is linked. Nobody writes; with so many dead rows that a
 * repair may run, nothing is looked at. */
void ninvariants(struct collection *c);
bool nhealth_has(struct nworld *w, const char *part);

void npayload(uint32_t version, struct buf *out);
uint32_t npayload_version(struct slice payload);
/* Components in [-1, 1), a function of the three. */
void nvector(uint64_t id, uint32_t version, uint32_t dim, float *out);

/* Flips one bit of a file; the offset counts from the end when negative. */
void nflip(struct nworld *w, const char *path, int64_t offset);
/* The first (newest: last) file below data_dir/folder/<id> whose name has `part`. */
void nfile(struct nworld *w, const char *folder, struct collection *c, const char *part, bool last,
           char out[FS_PATH_BYTES]);

#endif
