/* select.h - which rows match a filter: a bitmap over slots.
 *
 * Payload indexes and ids narrow it down, payloads decide. What is selected are rows: at most one
 * of each id, each of which was live within the call and matches; an id that matched all the time
 * has one, even if its row was replaced meanwhile. A selected row may be dead by the time it is
 * looked at: within the guard it can be read all the same.
 *
 * Threads    any, inside an epoch guard of the node that lasts until the slots were used.
 * Ownership  results are the arena's.
 * Failure    ST_TIMEOUT (deadline or stop; looked at every SELECT_LOOK_ROWS payloads), ST_NOMEM. */
#ifndef NODE_SELECT_H
#define NODE_SELECT_H

#include "base/bits.h"
#include "node/points.h"

enum { SELECT_LOOK_ROWS = 64 };

/* Asks rows, and counts what it takes. */
struct asker {
    const struct collection *c;
    const struct filter *filter; /* bound; NULL: all */
    const struct read_limits *limits;
    bool vectors;  /* the filter asks which vectors a row has */
    bool gave_up;  /* deadline or stop: answers are false from then on */
    uint64_t rows; /* payloads looked at */
};
/* limits: NULL or until the last asker_matches(). */
void asker_init(struct asker *a, const struct collection *c, const struct filter *filter,
                const struct read_limits *limits);
bool asker_matches(struct asker *a, uint32_t slot); /* of a live or dead row */
/* The time alone; for work between two rows. False: it is over, and gave_up. */
bool asker_goes_on(struct asker *a);
NODISCARD
status asker_status(const struct asker *a, struct err *err); /* ST_OK or ST_TIMEOUT */
/* Bit per field position: the row has a vector. */
uint64_t row_vectors(const struct collection *c, uint32_t slot);

/* What ids and payload indexes say, without looking at every row. It says nothing of rows published
 * since slots_moment() was asked before; their slots may be set or not. Dead rows may be set. */
struct known {
    uint64_t *bits;     /* NULL: nothing helps, every row may match */
    uint32_t bit_count; /* a multiple of 64 */
    bool exact;         /* those set match */
    uint64_t count;     /* set */
    uint32_t indexes;   /* that were asked */
};
NODISCARD
status select_known(struct asker *a, struct arena *arena, struct known *out, struct err *err);

/* About how many live rows match, by asking some that lie evenly; known->bits may be NULL. */
enum { SELECT_SAMPLE_ROWS = 500, SELECT_SAMPLE_TRIES = 2000 };
uint64_t select_sample(const struct collection *c, const struct known *known,
                       bool (*admits)(void *arg, uint32_t slot), void *arg);
/* By ids and indexes, or by a sample. */
NODISCARD
status select_about(struct collection *c, const struct filter *filter,
                    const struct read_limits *limits, struct arena *arena, uint64_t *matches,
                    struct err *err);
/* The condition on ids that all that match fulfil, or NULL. */
const struct filter *select_ids(const struct filter *filter);
/* How many ids the filter names, if all that match are among them; else UINT64_MAX. */
uint64_t select_ids_named(const struct filter *filter);

struct selected {
    uint64_t *bits;
    uint32_t bit_count; /* a multiple of 64; slots beyond are not selected */
    uint64_t count;     /* set */
    uint32_t indexes;
    uint64_t rows; /* payloads looked at */
};
NODISCARD
status select_make(struct collection *c, const struct filter *filter,
                   const struct read_limits *limits, struct arena *arena, struct selected *out,
                   struct err *err);
static inline bool known_has(const struct known *k, uint32_t slot)
{
    return slot < k->bit_count && bits_get(k->bits, slot);
}
/* The first selected slot at or above `from`, or SLOT_NONE. */
uint32_t selected_next(const struct selected *s, uint32_t from);

#endif
