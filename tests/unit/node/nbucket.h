/* nbucket.h - what the tests of a node with a bucket share: a process that dies at a request, the
 * loss of the disk, and what a node holds as one line of text.
 *
 * Threads    one, but for the store, which is the node's to use. */
#ifndef TESTS_UNIT_NODE_NBUCKET_H
#define TESTS_UNIT_NODE_NBUCKET_H

#include "tests/unit/node/nworld.h"

/* Between a node and its faults. At the n-th request from arming the process is dead: no request
 * and no effect on the disk comes after it. */
struct nkill {
    struct objstore base;
    struct nworld *w;
    _Atomic uint64_t left; /* 0: not armed */
    _Atomic uint64_t seen; /* requests since nkill_init() */
    _Atomic bool after_effect;
    _Atomic bool dead;
};
/* Behind nworld_bucket(); the world needs fs_sim to be killed. */
void nkill_init(struct nkill *k, struct nworld *w);
/* after_effect: the n-th takes effect, its answer reaches nobody. */
void nkill_arm(struct nkill *k, uint64_t n, bool after_effect);
bool nkill_dead(const struct nkill *k);
/* Closes what is left of the process; power is cut, and the bucket answers again. */
void nkill_bury(struct nkill *k);

/* Closes the node and removes the whole data directory. */
void nlose_disk(struct nworld *w);
/* The bucket's catalog was asked and everything it has is here or has failed. */
void nsettled(struct nworld *w);
/* Everything is in the bucket, the base of a switch as well. */
bool nshipped(struct collection *c);
void nall_shipped(struct nworld *w);

enum { NTEXT_BYTES = 4096 };
/* "base=3/MemoryS3 other=0/Memory alias>base ": names in order. backed: without what only this
 * disk has. A collection that does not serve has its state behind it. */
void ntext(struct nworld *w, bool backed, char out[NTEXT_BYTES]);

/* What operators do with letters; ids NULL: all. result is what was told on failure too. */
status ndlq_retry(struct collection *c, const uint64_t *ids, size_t count,
                  struct node_dlq_result *result, struct err *err);
status ndlq_replay(struct collection *c, struct node_dlq_result *result, struct err *err);
status ndlq_discard(struct collection *c, uint64_t first, uint64_t last, bool drop,
                    struct node_dlq_result *result, struct err *err);
status ndlq_export(struct collection *c, uint64_t id, struct buf *out, struct err *err);
/* The n-th letter of c, from 0; how many there are. */
size_t nletter(struct collection *c, size_t n, struct letter *out);

/* Every object goes, as when a bucket is deleted. */
void nwipe_bucket(struct nworld *w);
/* Versions of ids 1 to count - 1; 0: not there. */
void nversions(struct collection *c, uint32_t *out, size_t count);

/* With TIERVEC_TEST_LOG in the environment what nodes log goes to that file. */
void nlog(void);

/* The meta thread is held, so that what is asked of it waits in line. */
struct nhold {
    struct meta_job job;
    struct lock lock;
    struct cond cond;
    bool holds, goes;
};
void nhold_meta(struct nworld *w, struct nhold *h);
size_t nqueued(struct nworld *w); /* jobs that wait for it */
void nlet_go(struct nhold *h);
void nlet_through(struct nworld *w, struct nhold *h); /* until all of them ran; h may go */
/* What the publish thread has begun is through, and what came of it on the meta thread. */
void nlooked(struct nworld *w);

status nalias(struct nworld *w, const char *alias, struct collection *c, struct err *err);
bool nthere(struct nworld *w, const char *name);

enum { NDIM = 8 };
/* A MemoryS3 collection of NDIM numbers, pinned. */
struct collection *nmake(struct nworld *w, const char *name, enum node_durability durability);
/* Ids first to last, a record each; nput_batch(): all in one. */
void nput_range(struct collection *c, uint64_t first, uint64_t last, uint32_t version);
void nput_batch(struct collection *c, uint64_t first, uint64_t last, uint32_t version);
void nhas_range(struct collection *c, uint64_t first, uint64_t last, uint32_t version);
/* A root read behind everything has shown our epoch; what a restart relies on. */
bool nconfirmed(struct collection *c);
/* By name each time: a collection that is loaded anew is another one. */
bool nstate_is(struct nworld *w, const char *name, const char *state);
/* And writers are told so. */
bool nphase_is(struct nworld *w, const char *name, const char *phase);
unsigned nfault(struct nworld *w, struct objstore_fault f);
/* All letters of the collection; the range is asked for first. */
status ndiscard_all(struct collection *c, bool drop, struct err *err);
status nrepublish(struct collection *c, struct err *err);
/* The bucket's catalog as another node would change it. */
void nchange_catalog(struct nworld *w, void (*change)(struct catalog *, void *), void *arg);

#endif
