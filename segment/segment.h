/* segment.h - rows as an immutable object, `g/<uuid>`, and the graph over rows as another.
 *
 * A segment of level 0 holds rows as they lay in RAM: {lsn, inserted_at, item of an upsert}, a
 * sorted id section and a tombstone section. It carries no codes and no cells; those are later,
 * optional sections of the same container.
 *
 * An image part holds, for slots [slot_first, slot_end), the slot map (slot, dead or live, lsn,
 * hash of the id) and the packed links of what is linked, and no vector.
 *
 * Threads    none of it is shared.
 * Ownership  writers append to a buf they own until _finish(); readers borrow the bytes.
 * On disk    docs/formats/segment.md, docs/formats/image.md, version 1.
 * Failure    any flipped bit or cut is ST_CORRUPT; a newer version ST_UNSUPPORTED. */
#ifndef SEGMENT_SEGMENT_H
#define SEGMENT_SEGMENT_H

#include "segment/container.h"
#include "segment/record.h"

enum {
    SEGMENT_BYTES_AIM = 32 * 1024 * 1024, /* a builder begins a new one beyond it */
    SEGMENT_BYTES_MAX = 64 * 1024 * 1024,
};

struct segment_head {
    uint8_t collection[16];
    uint64_t start_lsn;
    uint64_t lsn_min, lsn_max; /* found out by the writer; 0 without rows */
    uint32_t rows;
    uint32_t tombstones;
};
struct segment_row {
    uint64_t lsn;
    uint64_t inserted_at_ns;
    struct record_row row;
};

struct segment_writer;
NODISCARD
status segment_create(const uint8_t collection[16], uint64_t start_lsn, struct segment_writer **out,
                      struct err *err);
NODISCARD
status segment_add_row(struct segment_writer *w, uint64_t lsn, uint64_t inserted_at_ns,
                       const struct docid *id, struct slice external_id, struct slice payload,
                       const struct record_vector *vectors, uint16_t vector_count, struct err *err);
NODISCARD
status segment_add_tombstone(struct segment_writer *w, uint64_t lsn, const struct docid *id,
                             struct err *err);
/* So far, about. Over SEGMENT_BYTES_MAX both add calls say ST_NOSPACE; nothing was added, and what
 * is there can be finished. Adding: ST_INVALID for a lsn of 0, a bad id or an item over the limits
 * of record.h. */
size_t segment_bytes(const struct segment_writer *w);
/* ST_INVALID: an id stands there twice with one lsn. */
NODISCARD
status segment_finish(struct segment_writer *w, struct segment_head *head, struct slice *bytes,
                      struct err *err);
void segment_writer_destroy(struct segment_writer *w);

struct segment;
NODISCARD
status segment_open(struct slice bytes, const uint8_t collection[16], struct segment **out,
                    struct err *err);
void segment_close(struct segment *s);
const struct segment_head *segment_head(const struct segment *s);
typedef status segment_row_fn(void *arg, const struct segment_row *row, struct err *err);
NODISCARD
status segment_each_row(struct segment *s, segment_row_fn *fn, void *arg, struct err *err);
typedef status segment_tombstone_fn(void *arg, uint64_t lsn, const struct docid *id,
                                    struct err *err);
NODISCARD
status segment_each_tombstone(struct segment *s, segment_tombstone_fn *fn, void *arg,
                              struct err *err);
/* Reads every section and checks what it says against the others: for `verify`. segment_open()
 * reads the head alone; the others check what they read. */
NODISCARD
status segment_check(struct segment *s, struct err *err);

/* --- graph images --- */
enum { IMAGE_LEVEL_MAX = 15, IMAGE_NODE_LINKS_MAX = 17 * 128 };

struct image_head {
    uint8_t collection[16];
    uint16_t field;
    uint64_t start_lsn;
    uint32_t slot_first, slot_end, slots_end;
    uint32_t entries; /* of the slot map; found out by the writer */
    uint32_t nodes;
};
struct image_slot {
    uint32_t slot;
    bool dead;
    uint64_t lsn;
    uint32_t id_hash; /* image_id_hash(): a guess that narrows, never the identity */
};
static inline uint32_t image_id_hash(const struct docid *id)
{
    return (uint32_t)docid_hash(id);
}
struct image_node {
    uint32_t slot;
    uint8_t level;
    uint16_t counts[IMAGE_LEVEL_MAX + 1];
    const uint32_t *links[IMAGE_LEVEL_MAX + 1];
};

struct image_writer;
NODISCARD
status image_create(const struct image_head *head, struct image_writer **out, struct err *err);
/* Slots rising, each of both kinds at most once; in any interleaving. ST_INVALID else. ST_NOSPACE
 * over SEGMENT_BYTES_MAX; nothing was added, and what is there can be finished. */
NODISCARD
status image_add_slot(struct image_writer *w, const struct image_slot *slot, struct err *err);
NODISCARD
status image_add_node(struct image_writer *w, const struct image_node *node, struct err *err);
size_t image_bytes(const struct image_writer *w); /* so far, about */
/* slot_end: the first slot that this part does not cover. */
NODISCARD
status image_finish(struct image_writer *w, uint32_t slot_end, struct image_head *head,
                    struct slice *bytes, struct err *err);
void image_writer_destroy(struct image_writer *w);

struct image;
NODISCARD
status image_open(struct slice bytes, const uint8_t collection[16], struct image **out,
                  struct err *err);
void image_close(struct image *i);
const struct image_head *image_head(const struct image *i);
typedef status image_slot_fn(void *arg, const struct image_slot *slot, struct err *err);
NODISCARD
status image_each_slot(struct image *i, image_slot_fn *fn, void *arg, struct err *err);
typedef status image_node_fn(void *arg, const struct image_node *node, struct err *err);
NODISCARD
status image_each_node(struct image *i, image_node_fn *fn, void *arg, struct err *err);

#endif
