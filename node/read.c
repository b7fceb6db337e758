#include "node/cold_reads.h"

#include <stdatomic.h>

struct vindex_scratch *scratch_take(struct node *node, struct err *err)
{
    struct vindex_scratch *scratch = NULL;

    lock_take(&node->scratches.lock);
    if (node->scratches.count > 0)
        scratch = node->scratches.items[--node->scratches.count];
    lock_drop(&node->scratches.lock);
    if (scratch != NULL)
        return scratch;
    return vindex_scratch_create(&scratch, err) == ST_OK ? scratch : NULL;
}

void scratch_drop(struct node *node, struct vindex_scratch *scratch)
{
    lock_take(&node->scratches.lock);
    if (node->scratches.count < node->scratches.room) {
        node->scratches.items[node->scratches.count++] = scratch;
        scratch = NULL;
    }
    lock_drop(&node->scratches.lock);
    vindex_scratch_destroy(scratch);
}

/* `vector` is field 0's, for the door that knows no other; all by position beside it where there
 * are several. */
static bool keep_whole(struct arena *arena, const struct collection *c, uint32_t slot,
                       bool with_vector, struct document *out)
{
    const struct read_want want = {
        .payload = true, .vectors = with_vector && node_field_count(c) > 1 ? UINT64_MAX : 0};

    return keep_document(arena, c, slot, &want, out) &&
           (!with_vector || keep_vector(arena, c, slot, &out->vector));
}

/* As keep_whole() has it. */
static void take_first_vector(const struct collection *c, struct document *d)
{
    if (d->vectors == NULL)
        return;
    d->vector = d->vectors[0];
    if (c->field_count == 1)
        d->vectors = NULL;
}

static status get_cold(struct collection *c, const struct docid *id, struct arena *arena,
                       struct document *out, struct err *err)
{
    const struct read_want want = {.payload = true, .vectors = cold_all_fields(c)};
    struct cold_reads reads;
    struct cold_doc doc = {0};
    status st = cold_reads_begin(c, NULL, &reads, err);

    if (st == ST_OK)
        do
            st = cold_docs(&reads, id, 1, &want, arena, &doc, err);
        while (cold_reads_again(&reads, st));
    st = cold_reads_end(&reads, st, err);
    if (st == ST_OK && !doc.found)
        return err_set(err, ST_NOT_FOUND, "no document with this id");
    *out = doc.document;
    take_first_vector(c, out);
    return st;
}

/* Pages begin behind `after`: one more is asked for, and left out if it is `after` itself. */
static status list_cold(struct collection *c, const struct docid *after, uint32_t limit,
                        bool with_vector, struct arena *arena, struct document **out,
                        uint32_t *count, bool *more, struct err *err)
{
    const struct scroll ask = {
        .from = after,
        .limit = limit + (after != NULL),
        .want = {.payload = true, .vectors = with_vector ? cold_all_fields(c) : 0}};
    struct scrolled page = {0};
    bool skips;
    status st = node_scroll(c, &ask, arena, &page, err);

    skips = page.count > 0 && after != NULL && docid_equal(&page.documents[0].id, after);
    *out = skips ? page.documents + 1 : page.documents;
    *count = page.count - skips;
    *more = page.more;
    if (*count > limit) {
        *count = limit;
        *more = true;
    }
    for (uint32_t i = 0; i < *count; i++)
        take_first_vector(c, &(*out)[i]);
    return st;
}

status node_get(struct collection *c, const struct docid *id, struct arena *arena,
                struct document *out, struct err *err)
{
    status st = collection_check_readable(c, err);
    struct epoch_guard guard;
    uint32_t slot;

    if (st != ST_OK)
        return st;
    if (cold_is(c))
        return get_cold(c, id, arena, out, err);
    guard = epoch_enter(c->node->epoch);
    slot = slots_find(c->slots, id);
    if (slot == SLOT_NONE)
        st = err_set(err, ST_NOT_FOUND, "no document with this id");
    else if (!keep_whole(arena, c, slot, true, out))
        st = err_set(err, ST_NOMEM, "out of memory for one document");
    epoch_leave(c->node->epoch, guard);
    return st;
}

status node_list(struct collection *c, const struct docid *after, uint32_t limit, bool with_vector,
                 struct arena *arena, struct document **out, uint32_t *count, bool *more,
                 struct err *err)
{
    uint32_t *slots = arena_array(arena, (size_t)limit + 1, sizeof *slots);
    struct document *page = arena_array(arena, limit, sizeof *page);
    struct epoch_guard guard;
    uint32_t found = 0;
    status st = collection_check_readable(c, err);

    if (st != ST_OK)
        return st;
    if (cold_is(c))
        return list_cold(c, after, limit, with_vector, arena, out, count, more, err);
    if (slots == NULL || page == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a page of %u documents", limit);
    guard = epoch_enter(c->node->epoch);
    st = slots_page(c->slots, after, limit + 1, slots, &found, err);
    *more = st == ST_OK && found > limit;
    *count = *more ? limit : found;
    for (uint32_t i = 0; st == ST_OK && i < *count; i++) {
        if (!keep_whole(arena, c, slots[i], with_vector, &page[i]))
            st = err_set(err, ST_NOMEM, "out of memory for a page of %u documents; ask for fewer",
                         limit);
    }
    epoch_leave(c->node->epoch, guard);
    *out = page;
    return st;
}
