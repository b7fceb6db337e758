/* cold_reads.h - what reads of a collection under S3Only share: the cold set, held for as long as
 * one of them runs, and what of it counts beside the head.
 *
 * Order      a set is held first, its rows are asked, then the head: whatever is published in
 *            between, an id that is there all the time is in the one or the other, and who is in
 *            both counts with its newer record.
 * Threads    cold threads, or any that may wait for the network; inside no epoch guard.
 * Failure    as tiering/cache.h; ST_UNAVAILABLE also where no set was opened since the start. */
#ifndef NODE_COLD_READS_H
#define NODE_COLD_READS_H

#include "node/cold.h"
#include "node/keep.h"

enum {
    COLD_WAIT_MS = 30000,  /* of a read that has no deadline of its own */
    COLD_FIRST_TRY_MS = 2, /* how often one looks whether the set of a start is open */
};

struct cold_reads {
    struct collection *c;
    struct cold_set *set; /* NULL: no cold segments */
    struct cold_terms terms;
    struct cold_stats stats;
    unsigned follows;
};
/* limits may be NULL. _end() after a failed _begin() too. */
NODISCARD
status cold_reads_begin(struct collection *c, const struct read_limits *limits,
                        struct cold_reads *out, struct err *err);
/* What came of it, in the words of reads: that the store denies or fails is ST_UNAVAILABLE, that an
 * object is not there ST_CORRUPT; neither is said of a document. */
NODISCARD
status cold_reads_outcome(status st, struct err *err);
/* What came of asking the set: an object of it was not there, as another owner's collector took it.
 * True: it has given way to the set the root names by now, and all is to be asked anew. Waits for
 * the network within the deadline; a GET or two and the new footers. cold_follow.c */
NODISCARD
bool cold_reads_again(struct cold_reads *r, status st);
NODISCARD
status cold_reads_end(struct cold_reads *r, status st, struct err *err);

/* Bit for each vector field. */
static inline uint64_t cold_all_fields(const struct collection *c)
{
    return c->field_count == 0 ? 0 : UINT64_MAX >> (64 - c->field_count);
}

/* --- documents by id: cold_docs.c --- */

struct cold_doc {
    bool found;
    bool in_head; /* was; document is a copy all the same */
    struct document document;
};
/* One for each id. `vector` is not filled. */
NODISCARD
status cold_docs(struct cold_reads *r, const struct docid *ids, size_t count,
                 const struct read_want *want, struct arena *arena, struct cold_doc *out,
                 struct err *err);
/* Of rows that are known, one wave. */
NODISCARD
status cold_docs_at(struct cold_reads *r, struct cold_row *rows, size_t count,
                    const struct read_want *want, struct arena *arena, struct document *out,
                    struct err *err);

/* --- rows that match: cold_rows.c --- */

/* Whether the filter asks which vectors a row has. */
bool cold_asks_vectors(const struct filter *filter);
/* Of the cold rows that match, the first `max` by id, from `from` on (NULL: from the first). */
NODISCARD
status cold_first(struct cold_reads *r, const struct filter *filter, const struct docid *from,
                  size_t max, struct arena *arena, struct cold_row **out, size_t *count,
                  struct err *err);

/* --- which rows of the head were counted in the set already: cold_seen.c --- */

/* Those of the set's own lsn, which the head has not given up yet; and those written while the set
 * was read: their ids are remembered, up to COLD_SEEN_MAX. */
enum { COLD_SEEN_MAX = 1 << 20 };
struct cold_seen {
    uint64_t *hashes;
    size_t count, room;
    uint64_t floor, lsn;
};
/* Before the set is read. */
NODISCARD
status cold_seen_begin(struct cold_reads *r, struct arena *arena, struct cold_seen *out,
                       struct err *err);
void cold_seen_add(struct cold_seen *seen, const struct docid *id);
/* Takes them out of what was selected; inside the guard of that. */
struct selected;
void cold_seen_leave_out(struct cold_seen *seen, const struct collection *c, struct selected *rows);

#endif
