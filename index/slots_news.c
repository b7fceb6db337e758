/* What an order lacks: the rows published since it was made, or all of them, sorted by id.
 *
 * Nobody waits for the scan, and it lists live rows only. So it misses an id whose row dies before
 * the scan comes to it, while the new row lies where the scan was already or is newer than `until`.
 * The log of replacements (slots.h) has these: a row is noted before the one it replaces is dead.
 * The log is read after the scan, from the last row noted before `until` was read: that one was
 * perhaps not published by then, all before it were. What may be seen of a noted row:
 *
 *   live, dead  It can be read until our guard ends. It gets an entry, whichever row it is.
 *   retired     What replaced it is noted behind it: the log's end is looked up for each row.
 *   filled      Not live yet. Then the row it replaces is not dead, and was met before, by the
 *               scan or in the log. An entry that can be read only later would mislead the
 *               bisection for the first id of a page.
 *   free        It died before our guard, and what replaced it was published before. The slot
 *               may be another row's already; then that one is listed, to no harm.
 *
 * So every id that has a row all the time has an entry whose row was live inside our guard. If the
 * log was overrun there is another pass, over what was published since the one before; it looks at
 * the blocks stamped since only. Rows from the log are newer than `until`, so the next order lists
 * them once more; that does no harm, and merges drop one of two equal neighbours. */
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

/* What was published after `since` up to `until`, or everything live; and what replaced it. */
struct news {
    const struct slots *s;
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

static bool news_wants(const struct news *n, const struct place *p)
{
    uint8_t state = atomic_load_explicit(&p->piece->states[p->at], memory_order_acquire);

    if (state != SLOT_LIVE)
        return false;
    return n->all ||
           (uint32_t)n->until - p->piece->rows[p->at].sequence < (uint32_t)(n->until - n->since);
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

/* Adds what was noted in the log from `at` on, see the top. *lost: the log has not all of it. */
static status news_replaced(struct news *n, uint64_t at, bool *lost, struct err *err)
{
    status st = ST_OK;

    *lost = false;
    for (; st == ST_OK && at < slots_replacements(n->s); at++) {
        enum slot_state state;
        uint32_t old;
        uint32_t slot;

        *lost = !slots_replacement(n->s, at, &old, &slot);
        if (*lost)
            return ST_OK;
        state = state_load(n->s, slot);
        if (state == SLOT_LIVE || state == SLOT_DEAD)
            st = news_add(n, slot, row_at(n->s, slot), err);
    }
    return st;
}

static status news_collect(struct news *n, struct err *err)
{
    bool lost = true;
    status st = ST_OK;

    for (; st == ST_OK && lost; n->all = false) {
        uint64_t noted = slots_replacements(n->s); /* before `until` */

        n->until = atomic_load_explicit(&n->s->publishes, memory_order_acquire);
        st = news_scan(n, err);
        if (st == ST_OK)
            st = news_replaced(n, noted - (noted > 0), &lost, err);
        n->since = n->until;
    }
    return st;
}

status news_run(const struct slots *s, const uint64_t *since, uint64_t *until,
                struct order_run **out, struct err *err)
{
    struct news n = {.s = s, .since = since == NULL ? 0 : *since, .all = since == NULL};
    status st = news_collect(&n, err);

    *out = NULL;
    if (st == ST_OK && n.count > 0)
        st = run_create(n.count, out, err);
    if (st == ST_OK && n.count > 0) {
        const struct item *items = items_sort(s, n.items, n.items + n.capacity, n.count);

        for (size_t i = 0; i < n.count; i++)
            run_add(*out, &items[i].entry);
    }
    *until = n.until;
    news_free(&n);
    return st;
}
