/* flips.h - a small data directory and a small bucket as bytes in memory, put back with one thing
 * changed, again and again.
 *
 * Threads    one. */
#ifndef TESTS_UNIT_NODE_FLIPS_H
#define TESTS_UNIT_NODE_FLIPS_H

#include "tests/unit/node/nbucket.h"

enum { FLIPS_FILES_MAX = 64, FLIPS_NAME_BYTES = 256 };

struct flips_file {
    char name[FLIPS_NAME_BYTES]; /* below the data directory, or the object's key */
    struct buf bytes;
    struct buf before; /* as it was in an earlier state; empty: it was not there, or the same */
    bool real;         /* LMDB's: on the real file system */
    bool object;       /* in the bucket */
};
struct flips {
    struct flips_file at[FLIPS_FILES_MAX];
    size_t count;
};

/* Everything there is in the world's directory and bucket; the node is closed. */
void flips_take(struct flips *f, struct nworld *w);
/* Files that differ in `before` can be put back as they were then. */
void flips_note_before(struct flips *f, struct flips *before);
void flips_free(struct flips *f);

enum flips_change { FLIPS_BIT, FLIPS_CUT, FLIPS_GONE, FLIPS_STALE, FLIPS_NONE };
struct flips_trial {
    enum flips_change change;
    size_t file;
    uint64_t at; /* BIT: the bit; CUT: bytes left */
};
/* The files of the directory (`disk`) and the objects of the bucket (`bucket`), changed so, for a
 * node that is closed and has neither. */
void flips_put(const struct flips *f, struct nworld *w, const struct flips_trial *t, bool disk,
               bool bucket);
void flips_tell(const struct flips *f, const struct flips_trial *t, char *out, size_t bytes);

#endif
