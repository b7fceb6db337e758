/* fields.h - what is done for every vector field of a collection.
 *
 * Threads    as the calls of vindex.h that they stand for.
 * Ownership  nothing is kept. */
#ifndef NODE_FIELDS_H
#define NODE_FIELDS_H

#include "node/node_internal.h"

/* Empty indexes over c->slots. ST_NOMEM: fields_destroy() takes back what was made. */
NODISCARD
status fields_create(struct collection *c, struct err *err);
void fields_destroy(struct collection *c); /* c->slots are there still */
/* For snapshot/, valid until rows are renewed; how many. */
size_t fields_list(const struct collection *c, struct checkpoint_field out[NODE_FIELDS_MAX]);

/* --- writing --- */
NODISCARD
status fields_reserve(const struct collection *c, uint32_t slot_end, struct err *err);
/* The row's vectors by position, normalised in place where the field wants it; how many. */
uint16_t fields_take(const struct collection *c, const struct write_row *row,
                     struct record_vector out[NODE_FIELDS_MAX]);
/* Of an invisible slot, in every field: those that fields_take() gave, and in the others none. */
void fields_fill(const struct collection *c, uint32_t slot, const struct record_vector *vectors,
                 uint16_t count);
void fields_publish(const struct collection *c, uint32_t slot); /* just before slots_publish() */

/* --- linking and repair --- */
/* Vectors that a graph waits for, one that is made anew too. */
uint64_t fields_to_link(const struct collection *c);
bool fields_link_wanted(const struct collection *c); /* some field has a graph, or wants one */
/* More wait in one of them than VINDEX_PENDING_MAX. */
bool fields_behind(const struct collection *c);
uint32_t fields_link(const struct collection *c, uint32_t max); /* how many vectors were linked */
/* Waits until the guards of now are left, with no fields too: so a row that dies within a guard is
 * not retired in it. */
NODISCARD
status fields_repair(const struct collection *c, const uint32_t *dead, uint32_t count,
                     const _Atomic bool *stop, struct err *err);

struct fields_counts { /* of all fields */
    uint64_t pending, linked;
    uint64_t index_bytes; /* reserved for them */
    uint64_t live_bytes;  /* about: of live rows' vectors */
    uint32_t links;       /* m of those that have a graph */
    bool behind;          /* much of one is pending still */
};
void fields_counts(const struct collection *c, struct fields_counts *out);

/* --- one row's vectors where there is no request: a buffer that is used again --- */
struct held_vectors {
    const struct collection *c;
    float *block;
    float *by_position[NODE_FIELDS_MAX]; /* into block, or NULL; for write_row.vectors */
};
NODISCARD
status held_vectors_init(struct held_vectors *v, const struct collection *c, struct err *err);
void held_vectors_fini(struct held_vectors *v); /* fine on a zeroed one */
NODISCARD
status held_vectors_of_record(struct held_vectors *v, const struct record_row *row,
                              struct err *err);
void held_vectors_of_slot(struct held_vectors *v, uint32_t slot); /* inside a guard */

#endif
