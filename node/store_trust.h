/* store_trust.h - whether this node may write to its bucket, from what is known of the store: pure.
 * docs/protocol.md, "What a store must do", has the reasons.
 *
 * Threads    pure. */
#ifndef NODE_STORE_TRUST_H
#define NODE_STORE_TRUST_H

#include "objstore/probe.h"

enum store_mode {
    STORE_UNPROVEN = 0, /* nothing is written to it yet */
    STORE_FULL,         /* everything is done there */
    STORE_PINNED,       /* its conditions protect nothing; this node alone writes there */
    STORE_REFUSED,      /* nothing is written to it until a person decides */
};
const char *store_mode_name(enum store_mode mode); /* "unproven", "full", "pinned", "refused" */

enum { STORE_TEXT_BYTES = 320, STORE_ID_BYTES = 256 };

struct store_facts {
    enum probe_grade grade;   /* the newest one; NONE: it was never graded */
    const char *verdict;      /* that came with it */
    bool distrusted;          /* it was found wanting once, and no operator said otherwise since */
    bool marker_known;        /* meta/pinned was read since the start, or is known to be absent */
    const char *marker;       /* whom it names; "": it is not there */
    const char *pinned_owner; /* [storage]; "": not set */
    const char *node_id;      /* who we are to the bucket */
};
/* text: why, for a person; "" when FULL. */
enum store_mode store_decide(const struct store_facts *f, char text[STORE_TEXT_BYTES]);

/* What a node remembers of its store over a restart; one value of LMDB, "store". */
struct store_memory {
    enum probe_grade grade;
    bool distrusted;
    uint64_t probed_at_ns; /* wall */
    char server[64];
    char store[256]; /* description: of another store it says nothing */
    char verdict[PROBE_VERDICT_BYTES];
};
enum { STORE_MEMORY_BYTES_MAX = 1024 };
void store_memory_encode(const struct store_memory *m, struct buf *out);
/* False: it is none, *out is untouched. */
NODISCARD
bool store_memory_decode(struct slice bytes, struct store_memory *out);

#endif
