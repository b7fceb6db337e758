/* What an order lacks: the rows published since it was made, or all of them, sorted by id.
 *
 * Nobody waits for the scan, and one pass is all there is, however fast rows are replaced. What an
 * id's row was when `until` was read is what the pass looks for: it was published by then, and
 * whatever becomes of it meanwhile it keeps its slot. For it was live inside our guard, so it
 * cannot be freed before that ends. What may be seen of it:
 *
 *   live           It gets an entry.
 *   dead, retired  It gets one if its id names a row newer than `until`, which has none. If it
 *                  names one that is not, that one was live when the pass began, and is met itself.
 *   (none)         The id is deleted: it has no row all the time.
 *
 * So every id that has a row all the time has an entry whose row was live inside our guard. Rows
 * that were retired before it look the same, and might be freed while their ids are compared:
 * nothing is made free until the run is sorted. An entry that cannot be read any more later is
 * stepped over. */
#include "index/slots_internal.h"

enum {
    PREFIX_BYTES = 8,
    NEWS_MIN = 64, /* items there is room for at first */
};

/* One row while it is being sorted: its first bytes spare most looks at the row. */
struct item {
    uint64_t prefix;
    struct order_entry entry;
    uint8_t kind;
};

static uint64_t big_endian(const uint8_t *bytes, size_t count)
{
    uint64_t v = 0;

    for (size_t i = 0; i < PREFIX_BYTES; i++)
        v = v << 8 | (i < count ? bytes[i] : 0);
    return v;
}

static uint64_t id_prefix(const struct docid *id)
{
    switch ((enum docid_kind)id->kind) {
    case DOCID_U64:
        return id->u64;
    case DOCID_UUID:
        return big_endian(id->uuid, sizeof id->uuid);
    case DOCID_BYTES:
        return big_endian(id->bytes.data, id->bytes.bytes);
    }
    return 0;
}

/* The rows of both can be read until our guard ends. */
static bool item_after(const struct slots *s, const struct item *a, const struct item *b)
{
    struct docid ids[2];

    if (a->kind != b->kind)
        return a->kind > b->kind;
    if (a->prefix != b->prefix)
        return a->prefix > b->prefix;
    ids[0] = row_docid(row_at(s, a->entry.slot));
    ids[1] = row_docid(row_at(s, b->entry.slot));
    return docid_compare(&ids[0], &ids[1]) > 0;
}

static void items_merge(const struct slots *s, const struct item *from, struct item *to,
                        size_t left, size_t right)
{
    size_t a = 0;
    size_t b = left;

    if (right == 0 || !item_after(s, &from[left - 1], &from[left])) { /* ids that rise: as is */
        memcpy(to, from, (left + right) * sizeof *to);
        return;
    }
    for (size_t i = 0; i < left + right; i++) {
        bool take_right = a == left || (b < left + right && item_after(s, &from[a], &from[b]));

        to[i] = take_right ? from[b++] : from[a++];
    }
}

/* Merge sort from below; returns which of the two arrays holds the result. */
static struct item *items_sort(const struct slots *s, struct item *items, struct item *other,
                               size_t count)
{
    for (size_t width = 1; width < count; width *= 2) {
        struct item *swap = items;

        for (size_t at = 0; at < count; at += 2 * width) {
            size_t left = count - at < width ? count - at : width;
            size_t right = count - at - left < width ? count - at - left : width;

            items_merge(s, items + at, other + at, left, right);
        }
        items = other;
        other = swap;
    }
    return items;
}

/* What was published after `since` up to `until`, or everything. */
struct news {
    struct slots *s;
    uint64_t since;
    uint64_t until;
    bool all;
    struct item *items; /* NULL: no room yet */
    size_t count;
    size_t capacity;
};

enum { ITEM_SORT_BYTES = 2 * sizeof(struct item) };

static void news_free(struct news *n)
{
    if (n->items == NULL)
        return;
    mem_free(n->items);
    mem_release(n->s->budget, n->capacity * ITEM_SORT_BYTES);
    n->items = NULL;
}

/* Room for more items, twice: for sorting. */
static status news_grow(struct news *n, struct err *err)
{
    size_t live = n->all ? slots_live_count(n->s) : 0;
    size_t most = n->items == NULL ? live : n->capacity;
    struct news more = *n;

    more.capacity = most + most / 4 + NEWS_MIN;
    more.items = mem_alloc_array(more.capacity, ITEM_SORT_BYTES);
    if (more.items == NULL)
        return err_set(err, ST_NOMEM, "out of memory to sort ids rows=%zu", more.capacity);
    mem_overdraw(n->s->budget, more.capacity * ITEM_SORT_BYTES);
    if (n->count > 0)
        memcpy(more.items, n->items, n->count * sizeof *n->items);
    news_free(n);
    *n = more;
    return ST_OK;
}

/* Whether the id of a row that is gone names one that the pass may not meet. */
static bool is_followed(const struct news *n, const struct row_store *row)
{
    struct docid id = row_docid(row);
    uint32_t now = idmap_find(n->s, &id);

    return now != SLOT_NONE && (int32_t)(row_at(n->s, now)->sequence - (uint32_t)n->until) > 0;
}

static bool news_wants(const struct news *n, const struct place *p)
{
    uint8_t state = atomic_load_explicit(&p->piece->states[p->at], memory_order_acquire);
    const struct row_store *row = &p->piece->rows[p->at];

    if (state != SLOT_LIVE && state != SLOT_DEAD && state != SLOT_RETIRED)
        return false;
    if (!n->all && (uint32_t)n->until - row->sequence >= (uint32_t)(n->until - n->since))
        return false;
    return state == SLOT_LIVE || is_followed(n, row);
}

static status news_add(struct news *n, uint32_t slot, const struct row_store *row, struct err *err)
{
    struct docid id = row_docid(row);
    status st = n->count == n->capacity ? news_grow(n, err) : ST_OK;

    if (st != ST_OK)
        return st;
    n->items[n->count++] = (struct item){
        .prefix = id_prefix(&id),
        .entry = {.slot = slot, .sequence = row->sequence},
        .kind = id.kind,
    };
    return ST_OK;
}

static status news_scan(struct news *n, struct err *err)
{
    uint32_t end = slots_end(n->s);
    uint32_t stop;
    status st = ST_OK;

    for (uint32_t slot = 0; slot < end; slot = stop) {
        struct place p = place_of(n->s, slot);
        uint64_t stamp =
            atomic_load_explicit(&p.piece->stamps[p.at >> BLOCK_BITS], memory_order_relaxed);

        stop = block_end(slot) < end ? block_end(slot) : end;
        if (!n->all && stamp <= n->since)
            continue;
        for (; st == ST_OK && slot < stop; slot++, p.at++)
            if (news_wants(n, &p))
                st = news_add(n, slot, &p.piece->rows[p.at], err);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static status news_sort(struct news *n, struct order_run **out, struct err *err)
{
    const struct item *items;
    status st;

    if (n->count == 0)
        return ST_OK;
    st = run_create(n->count, out, err);
    if (st != ST_OK)
        return st;
    items = items_sort(n->s, n->items, n->items + n->capacity, n->count);
    for (size_t i = 0; i < n->count; i++)
        run_add(*out, &items[i].entry);
    return ST_OK;
}

status news_run(struct slots *s, const uint64_t *since, uint64_t *until, struct order_run **out,
                struct err *err)
{
    struct news n = {.s = s, .since = since == NULL ? 0 : *since, .all = since == NULL};
    status st;

    *out = NULL;
    slots_reuse_pause(s);
    n.until = atomic_load_explicit(&s->publishes, memory_order_acquire);
    st = news_scan(&n, err);
    if (st == ST_OK)
        st = news_sort(&n, out, err);
    slots_reuse_resume(s);
    *until = n.until;
    news_free(&n);
    return st;
}
