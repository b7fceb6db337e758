/* vacuum.h - what no owner's collector comes to leaves the bucket: collections that were dropped,
 * and what probes of lost nodes left (docs/protocol.md, "Vacuum").
 *
 * The bucket is walked collection by collection. Whoever knows which collections there are is asked
 * for each, and again before each batch of deletes; a root that does not say `dropped` is made to
 * say so only where the catalog has the id among the dropped.
 *
 * A turn is a collection, or a batch of one: what stands in line behind it may go in between.
 *
 * Threads    blocks, as snapshot/ask.h; one thread.
 * Ownership  vacuum_init() makes, vacuum_fini() frees; what the options point to is borrowed.
 * Failure    what is wrong with one collection is told in the report (failed, text), and the walk
 *            goes on; a store that does not answer, or refuses, ends it. Nothing is lost by that.
 */
#ifndef SNAPSHOT_VACUUM_H
#define SNAPSHOT_VACUUM_H

#include "snapshot/collect_run.h"

enum { VACUUM_ITEMS_MAX = 100, VACUUM_TEXT_BYTES = 320, VACUUM_BATCH = 100 };

enum vacuum_known {
    VACUUM_NOT_KNOWN = 0,
    VACUUM_SERVED,  /* it is a collection: of the bucket's catalog, or of this node */
    VACUUM_DROPPED, /* the bucket's catalog has it among the dropped */
};

struct vacuum_options {
    struct ask ask;
    uint64_t keep_dropped_ms; /* by the store's clock, since the root says `dropped` */
    bool dry_run;             /* tells, and changes nothing */
    uint32_t batch;           /* 0: VACUUM_BATCH */
    /* As it is now. Waits. */
    status (*known)(void *arg, const uint8_t id[16], enum vacuum_known *out, struct err *err);
    void *arg;
};

enum vacuum_fate {
    VACUUM_GOES,    /* everything that is not pinned; has gone where it was no dry run */
    VACUUM_WAITS,   /* its time has not come */
    VACUUM_PINNED,  /* what is left of it is kept by pins */
    VACUUM_UNKNOWN, /* nobody knows it as a collection or as dropped: left alone */
    VACUUM_FAILED,  /* see text; another vacuum tries again */
};
const char *vacuum_fate_name(enum vacuum_fate fate); /* "goes", "waits", ... */

struct vacuum_item { /* one that is not served, with more than its root */
    uint8_t id[16];
    enum vacuum_fate fate;
    uint64_t objects, bytes; /* that go, wait, or are left alone */
    uint64_t pins;
};
struct vacuum_amount {
    uint64_t collections, objects, bytes;
};
struct vacuum_report {
    uint64_t served; /* collections that were passed by */
    struct vacuum_amount goes, waits, unknown;
    uint64_t marked; /* roots that were made to say `dropped` */
    uint64_t pins;   /* of the dropped ones; what they need stays */
    uint64_t failed;
    uint64_t probe_objects, probe_bytes; /* beside `goes` */
    uint64_t deleted;                    /* of both */
    char text[VACUUM_TEXT_BYTES];        /* of the first that failed; "" */
    struct vacuum_item items[VACUUM_ITEMS_MAX];
    size_t item_count;
    bool more_items;
};

struct vacuum { /* read by the caller: report */
    struct vacuum_options options;
    struct vacuum_report report;
    /* vacuum.c's */
    bool probes; /* the collections are done */
    bool running;
    struct collect run;
    struct vacuum_item item; /* of the run */
    char behind[OBJSTORE_KEY_BYTES_MAX + 1];
};

void vacuum_init(struct vacuum *v, const struct vacuum_options *options);
void vacuum_fini(struct vacuum *v); /* a zeroed one too */
/* *more: call again. */
NODISCARD
status vacuum_turn(struct vacuum *v, bool *more, struct err *err);

#endif
