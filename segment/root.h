/* root.h - the one mutable object of a collection in the bucket: who owns it, and what it consists
 * of. Changed by compare-and-swap alone (docs/protocol.md); every write has a fresh nonce, so that
 * equal content never gives an equal etag and a lost answer can be told from someone else's write.
 *
 * Threads    a value.
 * Ownership  no pointers.
 * On disk    docs/formats/root.md, version 1; at most ROOT_BYTES_MAX. */
#ifndef SEGMENT_ROOT_H
#define SEGMENT_ROOT_H

#include "base/bytes.h"

enum {
    ROOT_BYTES_MAX = 16 * 1024,
    ROOT_OPEN_MAX = 32,
    ROOT_LINEAGES_MAX = 128, /* more move into the manifest */
    ROOT_NONCES_MAX = 16,
    ROOT_NODE_ID_BYTES = 256,
};
enum root_state { /* on disk */
                  ROOT_LIVE = 1,
                  ROOT_SWITCHING = 2, /* its base is not published yet: not restorable */
                  ROOT_DROPPED = 3
};

/* The groups of one epoch whose end is recorded: 1..end_seq count, whatever else lies there. */
struct lineage {
    uint64_t epoch;
    uint64_t end_seq;
    uint64_t last_lsn; /* of group end_seq */
    uint64_t chain;    /* there */
};
/* Where the log that counts begins: the first group to read, and the lsn before its first record.
 */
struct log_floor {
    uint64_t lsn;
    uint64_t epoch, seq; /* 0, 0: from the first lineage's first group */
    uint64_t chain;      /* at lsn */
};
struct object_ref { /* an immutable object, and how to know it */
    uint8_t uuid[16];
    uint64_t bytes;
    uint32_t crc; /* crc32c of all its bytes */
};

struct root {
    uint8_t collection[16];
    enum root_state state;
    uint64_t revision; /* +1 with every write */
    uint8_t nonce[16];
    uint8_t nonces[ROOT_NONCES_MAX][16]; /* of the writes before, newest first */
    size_t nonce_count;
    char node_id[ROOT_NODE_ID_BYTES]; /* the owner */
    uint8_t session[16];              /* of the owner's process */
    uint64_t epoch;                   /* from 1 */
    uint64_t open[ROOT_OPEN_MAX];     /* epochs before `epoch` whose end is not recorded, rising */
    size_t open_count;
    struct lineage lineages[ROOT_LINEAGES_MAX]; /* not in the manifest yet, epochs rising */
    size_t lineage_count;
    struct log_floor floor;
    bool has_manifest;
    uint64_t manifest_revision; /* with manifest.uuid: its key */
    struct object_ref manifest;
    uint64_t gc_mark; /* what manifests of lower revisions need may be gone unless pinned */
    uint64_t dropped_at_ns;
};
/* ST_INVALID when it does not hold together, ST_NOSPACE over ROOT_BYTES_MAX. */
NODISCARD
status root_encode(const struct root *r, struct buf *out, struct err *err);
NODISCARD
status root_decode(struct slice bytes, const uint8_t collection[16], struct root *out,
                   struct err *err);
/* Whether a write with this nonce is the newest or among those before. */
bool root_has_nonce(const struct root *r, const uint8_t nonce[16]);
/* Pushes the nonce of now to those before, and takes the fresh one; revision + 1. */
void root_next(struct root *r, const uint8_t nonce[16]);
/* The last recorded end: the newest lineage's, or the floor's where that lies behind it. */
void root_end(const struct root *r, uint64_t *last_lsn, uint64_t *chain);

#endif
