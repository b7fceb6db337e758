/* ship_store.h - a store around a store that counts what it is asked for, and whose answers a test
 * decides: refused before they have an effect, lost after it, or held back. Listings come in pages
 * of SHIP_PAGE names.
 *
 * Threads    any; one lock. Held answers are given by who lets them go. */
#ifndef TESTS_UNIT_TIERING_SHIP_STORE_H
#define TESTS_UNIT_TIERING_SHIP_STORE_H

#include "base/lock.h"
#include "objstore/objstore.h"
#include "segment/objkey.h"

enum { SHIP_PAGE = 5, SHIP_ANY = -1, SHIP_FOR_EVER = INT32_MAX };

struct ship_fault {
    int op;   /* enum objstore_op, or SHIP_ANY */
    int kind; /* enum objkey_kind, or SHIP_ANY */
    enum objstore_class class;
    int count;         /* so many requests; SHIP_FOR_EVER */
    bool after_effect; /* the request is carried out, its answer is lost */
};
struct ship_counts {
    uint64_t all, lists, heads, root_reads, root_writes, group_puts, group_gets, orphan_puts, other;
    uint64_t groups_stored; /* PUTs of groups answered with OK by the store below */
    uint64_t unchanged;     /* root reads answered with 304 */
    uint64_t fresh;         /* that asked for a connection of their own */
};
struct ship_store;

/* Borrows `inner`. */
struct ship_store *ship_store_create(struct objstore *inner);
void ship_store_destroy(struct ship_store *s); /* nothing is held any more */
struct objstore *ship_store(struct ship_store *s);
void ship_store_fail(struct ship_store *s, const struct ship_fault *fault);
void ship_store_heal(struct ship_store *s);
/* From here on answers to PUTs of groups wait; held: how many there are. */
void ship_store_hold(struct ship_store *s, bool hold);
size_t ship_store_held(struct ship_store *s);
/* Lets the n-th go, 0 is the oldest. */
void ship_store_let_go(struct ship_store *s, size_t n);
struct ship_counts ship_store_counts(struct ship_store *s);
size_t ship_store_most_in_flight(struct ship_store *s); /* PUTs of groups at one moment */
/* Up to which lsn groups without a hole, from 1, were answered as stored before a root read began
 * that has been answered since: what may be called remote-durable. */
uint64_t ship_store_confirmed(struct ship_store *s);

#endif
