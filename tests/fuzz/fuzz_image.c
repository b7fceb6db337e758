/* A graph image, its checksums mended after each change. What can be read to the end can be written
 * again to an image that says the same. */
#include "segment/segment.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"

#include <stdlib.h>

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
    return mutate_container(data, bytes, bytes_max, seed, CONTAINER_IMAGE, NULL);
}

struct reading {
    const struct image_head *head;
    struct image_writer *again; /* NULL: none */
    uint32_t count;
};

static status on_slot(void *arg, const struct image_slot *slot, struct err *err)
{
    struct reading *r = arg;

    FUZZ_CHECK(slot->slot >= r->head->slot_first && slot->slot < r->head->slot_end);
    FUZZ_CHECK(slot->lsn > 0);
    r->count++;
    return r->again == NULL ? ST_OK : image_add_slot(r->again, slot, err);
}

static status on_node(void *arg, const struct image_node *node, struct err *err)
{
    struct reading *r = arg;

    FUZZ_CHECK(node->slot >= r->head->slot_first && node->slot < r->head->slot_end);
    FUZZ_CHECK(node->level <= IMAGE_LEVEL_MAX);
    for (unsigned l = 0; l <= node->level; l++)
        for (unsigned i = 0; i < node->counts[l]; i++)
            FUZZ_CHECK(node->links[l][i] < r->head->slots_end);
    r->count++;
    return r->again == NULL ? ST_OK : image_add_node(r->again, node, err);
}

static bool whole(struct image *i, struct image_writer *again)
{
    struct reading r = {.head = image_head(i), .again = again};
    struct err err = {0};

    if (fuzz_said(image_each_slot(i, on_slot, &r, &err), &err) != ST_OK)
        return false;
    FUZZ_CHECK(r.count == r.head->entries);
    r.count = 0;
    if (fuzz_said(image_each_node(i, on_node, &r, &err), &err) != ST_OK)
        return false;
    FUZZ_CHECK(r.count == r.head->nodes);
    return true;
}

static void write_again(struct image *i)
{
    const struct image_head *head = image_head(i);
    struct image_head now;
    struct image_writer *w;
    struct image *again;
    struct slice bytes;

    FUZZ_CHECK(image_create(head, &w, NULL) == ST_OK);
    FUZZ_CHECK(whole(i, w));
    FUZZ_CHECK(image_finish(w, head->slot_end, &now, &bytes, NULL) == ST_OK);
    FUZZ_CHECK(memcmp(&now, head, sizeof now) == 0);
    FUZZ_CHECK(image_open(bytes, head->collection, &again, NULL) == ST_OK);
    FUZZ_CHECK(memcmp(image_head(again), head, sizeof now) == 0);
    FUZZ_CHECK(whole(again, NULL));
    image_close(again);
    image_writer_destroy(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = fuzz_copy(data, bytes);
    struct err err = {0};
    struct image *i;

    if (bytes >= 32 &&
        fuzz_said(image_open(slice_make(copy, bytes), copy + 8, &i, &err), &err) == ST_OK) {
        if (whole(i, NULL))
            write_again(i);
        image_close(i);
    }
    free(copy);
    return 0;
}
