/* fetch.h - objects fetched ahead: several GETs in flight, handed over one at a time in the order
 * they were named.
 *
 * Threads    one calls fetch_*(); the store's thread only says that an answer came.
 * Ownership  what fetch_next() hands over is the caller's. fetch_close() waits for what is in
 *            flight (and asks it to end early).
 * Memory     bytes_max of objects in flight or waiting to be taken, but always one. Where sizes are
 *            guessed, what was asked for before the first large one came may be more.
 * Failure    an answer is repeated by its class (ask.h). An object that is not there is asked for
 *            FETCH_MISSES times: 404 is no proof (docs/protocol.md, rule 7). Then ST_NOT_FOUND. */
#ifndef SNAPSHOT_FETCH_H
#define SNAPSHOT_FETCH_H

#include "snapshot/ask.h"

enum {
    FETCH_MISSES = 3,
    FETCH_WINDOW_MAX = 64,
    FETCH_KEY_BYTES = 192,
    FETCH_BYTES_GUESS =
        4 * 1024 * 1024, /* of a first object whose size nobody told; no less later */
};

struct fetch_item {
    char key[FETCH_KEY_BYTES];
    uint64_t bytes;   /* 0: not known */
    size_t bytes_max; /* a longer object is wrong */
    bool part;        /* [offset, offset + bytes) of it; a shorter body is the caller's to find */
    uint64_t offset;
    uint64_t tag; /* the caller's */
};
/* The next object to fetch; false: there are no more. Called on the thread of fetch_next(). */
typedef bool fetch_source_fn(void *arg, struct fetch_item *out);

struct fetch;
NODISCARD
status fetch_open(const struct ask *ask, uint32_t window, uint64_t bytes_max,
                  fetch_source_fn *source, void *arg, struct fetch **out, struct err *err);
/* ST_NOT_FOUND without a text: all were taken. */
NODISCARD
status fetch_next(struct fetch *f, struct fetch_item *item, struct buf *body, struct err *err);
uint64_t fetch_requests(const struct fetch *f);
void fetch_close(struct fetch *f); /* accepts NULL */

#endif
