/* nrequests.h - a node whose requests to the bucket are counted, in a time that only moves when
 * told: what an operation costs is then the same every time, to the byte.
 *
 * Threads    one, but for the store's counts. */
#ifndef TESTS_UNIT_NODE_NREQUESTS_H
#define TESTS_UNIT_NODE_NREQUESTS_H

#include "objstore/meter.h"
#include "segment/objkey.h"
#include "tests/unit/node/nbucket.h"

enum { NREQ_KINDS = 16, NREQ_ROW_BYTES = 512 };

struct nrequests {
    struct nworld w;
    struct objstore base;                            /* what the node is given */
    struct objstore *meter;                          /* around w.bucket */
    struct collection *c;                            /* "docs", pinned, or NULL */
    _Atomic uint64_t seen[OBJSTORE_OPS][NREQ_KINDS]; /* since nreq_begin() */
    struct objstore_counts before;
};

/* One bucket-backed node without a collection; not open yet. */
void nreq_init(struct nrequests *q, const char *bucket);
void nreq_fini(struct nrequests *q);
void nreq_open(struct nrequests *q);
/* Closes and unpins. */
void nreq_close(struct nrequests *q);
/* Pins "docs" of a bucket-backed node that is open. */
void nreq_pin(struct nrequests *q);
/* A collection of eight numbers; threshold: rows without a graph. */
enum { NREQ_NO_GRAPH = 1000000 };
status nreq_create(struct nrequests *q, const char *name, uint32_t threshold,
                   enum node_durability durability);
/* nreq_open() and a collection "docs" with `rows` documents, all in the bucket. */
void nreq_docs(struct nrequests *q, uint64_t rows, uint32_t threshold,
               enum node_durability durability);
/* One by one; no time passes. */
void nreq_put(struct nrequests *q, uint64_t first, uint64_t last, uint32_t version);

/* Until nothing is under way; no time passes. */
void nreq_rest(struct nrequests *q);
/* So much time passes, in steps of at most a second, each seen by the ship thread to its end. */
void nreq_pass(struct nrequests *q, uint64_t ms);
/* Until nothing is under way and nothing was asked for twelve seconds of that time. */
void nreq_quiet(struct nrequests *q);
#define nreq_until(q, cond)                                                                        \
    do {                                                                                           \
        for (int nreq_i = 0; !(cond); nreq_i++) {                                                  \
            if (nreq_i > 3000)                                                                     \
                fail_msg("never: %s", #cond);                                                      \
            nreq_pass((q), 100);                                                                   \
            npause_ms(5);                                                                          \
        }                                                                                          \
    } while (0)

/* Counts from here on; both wait until it is quiet, but for nreq_from(). */
void nreq_begin(struct nrequests *q);
void nreq_from(struct nrequests *q);
/* Waits, and compares what was counted with its row of docs/requests.md. */
void nreq_end(struct nrequests *q, const char *operation);
/* The same, with no more time than has passed. */
void nreq_end_now(struct nrequests *q, const char *operation);
/* The first, leaving out bytes of images: linking is several threads', so their graphs differ. */
void nreq_end_but(struct nrequests *q, const char *operation, uint64_t sent_but,
                  uint64_t received_but);
/* After all: that the page has no row nobody measured, and how many there are. */
size_t nreq_rows_checked(void);
size_t nreq_rows_of_page(void);

#endif
