/* cold_make.h - cold segments for tests, made of rows in RAM: cells, codes, sections, as a fold
 * makes them, but for the scratch file. And rows drawn from a seed.
 *
 * Threads    one.
 * Ownership  the buf is the caller's; rows are borrowed for the call. */
#ifndef TESTS_SUPPORT_COLD_MAKE_H
#define TESTS_SUPPORT_COLD_MAKE_H

#include "filter/pindex.h"
#include "objstore/objstore.h"
#include "segment/cold.h"

struct cold_make_row {
    struct docid id;
    uint64_t lsn, inserted_at_ns;
    struct slice external_id, payload;
    const float *vectors[4]; /* by position; NULL: none */
};
struct cold_make {
    uint8_t collection[16];
    const struct catalog_field *fields; /* at most 4 */
    size_t field_count;
    uint64_t seed;                    /* of cells, salt and name */
    const struct cold_make_row *rows; /* each id once, at least one */
    uint32_t row_count;
    const struct pindex_spec *indexes; /* payload indexes; NULL: none */
    size_t index_count;
};
/* *out: initialised; the object's bytes. *named: what a manifest says of it, object.uuid too.
 * ordinals: NULL, or row_count: of each row. */
NODISCARD
status cold_make_segment(const struct cold_make *make, struct buf *out, struct manifest_cold *named,
                         uint32_t *ordinals, struct err *err);
/* Under its key; in parts where it is large. */
NODISCARD
status cold_make_put(struct objstore *store, const uint8_t collection[16], const uint8_t uuid[16],
                     struct slice bytes, struct err *err);
/* The dead rows of named: encoded, put, and named->dead and dead_rows set. */
NODISCARD
status cold_make_dead(struct objstore *store, const uint8_t collection[16],
                      const struct cold_dead *dead, uint64_t seed, struct manifest_cold *named,
                      struct err *err);

/* Rows drawn from a seed: ids, payload {"n": number, "even": bool, "word": text}, vectors around a
 * few centres, of unit length under cosine. */
struct cold_rows {
    struct cold_make_row *rows;
    uint32_t count;
    void *own;
};
struct cold_rows_options {
    const struct catalog_field *fields;
    size_t field_count;
    uint32_t count;
    uint64_t seed, first_lsn;
    uint64_t first_id;       /* u64 ids from here on */
    bool mixed_ids;          /* UUIDs and texts among them */
    uint32_t without_vector; /* one in so many has none in some field; 0: all have all */
    /* More in the payload: "of" and "half" (integers below a hundred and two), "price", "tags" (an
     * array), "day" (a time), "at" (a point), "text", "odd" (of any type, null, or not there), and
     * "pad", a text of so many bytes. 0: not. */
    uint32_t rich;
    bool no_external_ids; /* else every fifth has one */
};
NODISCARD
status cold_rows_make(const struct cold_rows_options *options, struct cold_rows *out,
                      struct err *err);
void cold_rows_free(struct cold_rows *r);

#endif
