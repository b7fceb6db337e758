/* A page of live slots in id order: the two sorted runs of the order are walked together.
 *
 * An entry says which id comes next, the id map which row has that id now. So an id whose row was
 * replaced while we walk is found under its new slot, and one that is listed twice, with the row
 * that died and the one that replaced it, comes once. */
#include "index/slots_internal.h"

/* The first place with nothing but ids after `after` from there on. */
static void cursor_seek_after(struct order_cursor *c, const struct slots *s,
                              const struct docid *after)
{
    uint32_t low = 0;
    uint32_t high = c->run->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        cursor_seek(c, s, middle); /* may step over rows that are gone */
        if (c->at >= high || docid_compare(&c->id, after) > 0)
            high = middle;
        else
            low = c->at + 1;
    }
    cursor_seek(c, s, low);
}

/* The slot that has the cursor's id now. A row that was retired before our guard may have been
 * freed since the cursor came to it, and its slot be another row's: the sequence tells. */
static uint32_t slot_now(const struct slots *s, const struct order_cursor *c)
{
    const struct order_entry *e = &c->run->entries[c->at];

    if (slots_current(s, e->slot) && row_at(s, e->slot)->sequence == e->sequence)
        return e->slot;
    return idmap_find(s, &c->id);
}

static struct order_cursor *first_of(struct order_cursor from[2])
{
    if (cursor_done(&from[0]))
        return &from[1];
    if (cursor_done(&from[1]))
        return &from[0];
    return docid_compare(&from[1].id, &from[0].id) < 0 ? &from[1] : &from[0];
}

status slots_page(struct slots *s, const struct docid *after, uint32_t max, uint32_t *out,
                  uint32_t *count, struct err *err)
{
    const struct order *order;
    struct order_cursor from[2];
    struct docid last = {0};
    uint32_t n = 0;
    status st = order_refresh(s, &order, err);

    if (st != ST_OK)
        return st;
    cursor_init(&from[0], order->main);
    cursor_init(&from[1], order->tail);
    for (size_t i = 0; i < COUNT_OF(from); i++)
        if (after != NULL)
            cursor_seek_after(&from[i], s, after);
        else
            cursor_seek(&from[i], s, 0);
    while (n < max && !(cursor_done(&from[0]) && cursor_done(&from[1]))) {
        struct order_cursor *c = first_of(from);
        uint32_t slot = n > 0 && docid_compare(&c->id, &last) == 0 ? SLOT_NONE : slot_now(s, c);

        if (slot != SLOT_NONE) {
            out[n++] = slot;
            last = row_docid(row_at(s, slot));
        }
        cursor_seek(c, s, c->at + 1);
    }
    *count = n;
    return ST_OK;
}

status slots_last(struct slots *s, struct docid *out, char text[DOCID_BYTES_MAX], bool *any,
                  struct err *err)
{
    const struct order *order;
    struct order_cursor from[2];
    status st = order_refresh(s, &order, err);

    *any = false;
    if (st != ST_OK)
        return st;
    cursor_init(&from[0], order->main);
    cursor_init(&from[1], order->tail);
    for (size_t i = 0; i < COUNT_OF(from); i++) {
        uint32_t at = from[i].run->count;

        do
            cursor_seek(&from[i], s, at > 0 ? --at : 0);
        while (cursor_done(&from[i]) && at > 0);
        if (cursor_done(&from[i]) || (*any && docid_compare(&from[i].id, out) < 0))
            continue;
        *any = true;
        *out = from[i].id;
    }
    if (*any && out->kind == DOCID_BYTES) {
        memcpy(text, out->bytes.data, out->bytes.bytes);
        out->bytes = slice_make(text, out->bytes.bytes);
    }
    return ST_OK;
}
