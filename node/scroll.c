/* Pages of documents in the order of their ids.
 *
 * Where few match they are selected and sorted; else the order of ids is walked and each row asked.
 * Which costs less: m matches of n rows cost about m to sort and limit * n / m to walk to. */
#include "node/cold.h"
#include "node/scroll_internal.h"

#include <inttypes.h>
#include <stdlib.h>

enum { WALK_ROWS_MIN = 64, WALK_ROWS_MAX = 1024 };

/* --- what few match --- */

struct item {
    struct docid id;
    uint32_t slot;
};

static int by_id(const void *a, const void *b)
{
    const struct item *x = a, *y = b;

    return docid_compare(&x->id, &y->id);
}

static bool is_before(const struct scrolling *s, const struct docid *id)
{
    return s->request->from != NULL && docid_compare(id, s->request->from) < 0;
}

static status take_selected(struct scrolling *s, const struct selected *selected)
{
    struct item *items = arena_array(s->arena, selected->count + 1, sizeof *items);
    size_t count = 0;

    if (items == NULL)
        return err_set(s->err, ST_NOMEM, "out of memory to sort %" PRIu64 " ids", selected->count);
    for (uint32_t slot = 0; (slot = selected_next(selected, slot)) != SLOT_NONE; slot++) {
        struct row row;

        slots_row(s->c->slots, slot, &row);
        if (!is_before(s, &row.id))
            items[count++] = (struct item){row.id, slot};
    }
    qsort(items, count, sizeof *items, by_id);
    for (size_t i = 0; i < count && s->count <= s->limit; i++)
        s->slots[s->count++] = items[i].slot;
    return ST_OK;
}

static status select_page(struct scrolling *s)
{
    struct selected selected;
    status st =
        select_make(s->c, s->request->filter, &s->request->limits, s->arena, &selected, s->err);

    return st == ST_OK ? take_selected(s, &selected) : st;
}

/* --- walking the order of ids --- */

static void offer(struct scrolling *s, uint32_t slot)
{
    if (s->count > s->limit)
        return;
    if (s->known.bits != NULL && !slots_is_since(s->c->slots, slot, s->moment)) {
        if (!known_has(&s->known, slot))
            return;
        if (s->known.exact) {
            s->slots[s->count++] = slot;
            return;
        }
    }
    if (asker_matches(&s->asker, slot))
        s->slots[s->count++] = slot;
}

/* The page begins with `from`, the order's pages behind what they are told. */
static void offer_from(struct scrolling *s)
{
    uint32_t slot =
        s->request->from == NULL ? SLOT_NONE : slots_find(s->c->slots, s->request->from);

    if (slot != SLOT_NONE)
        offer(s, slot);
}

static status walk(struct scrolling *s)
{
    uint32_t slots[WALK_ROWS_MAX];
    uint32_t rows = s->limit < WALK_ROWS_MIN ? WALK_ROWS_MIN : s->limit + 1;
    struct docid last;
    const struct docid *after = s->request->from;
    status st = ST_OK;

    offer_from(s);
    rows = rows > WALK_ROWS_MAX ? WALK_ROWS_MAX : rows;
    while (s->count <= s->limit && asker_goes_on(&s->asker)) {
        uint32_t count = 0;
        struct row row;

        st = slots_page(s->c->slots, after, rows, slots, &count, s->err);
        if (st != ST_OK || count == 0)
            break;
        for (uint32_t i = 0; i < count; i++)
            offer(s, slots[i]);
        slots_row(s->c->slots, slots[count - 1], &row);
        last = row.id;
        after = &last;
        rows = rows * 2 > WALK_ROWS_MAX ? WALK_ROWS_MAX : rows * 2;
    }
    return st == ST_OK ? asker_status(&s->asker, s->err) : st;
}

static status find_page(struct scrolling *s)
{
    uint64_t live = slots_live_count(s->c->slots), matches;
    status st = ST_OK;

    s->moment = slots_moment(s->c->slots);
    asker_init(&s->asker, s->c, s->request->filter, &s->request->limits);
    if (s->asker.filter != NULL)
        st = select_known(&s->asker, s->arena, &s->known, s->err);
    if (st != ST_OK || s->known.bits == NULL)
        return st == ST_OK ? walk(s) : st;
    matches = s->known.count + 1;
    if (matches < (uint64_t)s->limit * live / matches + WALK_ROWS_MIN)
        return select_page(s);
    return walk(s);
}

/* --- the answer --- */

status scroll_keep(struct scrolling *s, struct scrolled *out)
{
    uint32_t limit = s->limit;

    out->more = s->count > limit;
    out->count = out->more ? limit : s->count;
    out->documents = arena_array(s->arena, out->count + 1, sizeof *out->documents);
    if (out->documents == NULL)
        return err_set(s->err, ST_NOMEM, "out of memory for a page of %" PRIu32 " documents",
                       limit);
    for (uint32_t i = 0; i < out->count; i++)
        if (!keep_document(s->arena, s->c, s->slots[i], &s->request->want, &out->documents[i]))
            return err_set(s->err, ST_NOMEM,
                           "out of memory for a page of %" PRIu32 " documents; ask for fewer",
                           limit);
    if (out->more) {
        struct row row;

        slots_row(s->c->slots, s->slots[limit], &row);
        if (!keep_id(s->arena, &row.id, &out->next))
            return err_set(s->err, ST_NOMEM, "out of memory for a page");
    }
    return ST_OK;
}

status scroll_head(struct collection *c, const struct scroll *request, struct arena *arena,
                   struct scrolled *out, struct err *err)
{
    struct scrolling s = {.c = c, .request = request, .arena = arena, .err = err};
    struct epoch_guard guard;
    status st = ST_OK;

    *out = (struct scrolled){0};
    guard = epoch_enter(c->node->epoch);
    s.limit = request->limit;
    if (request->order_by != NULL) {
        st = scroll_ordered(&s, out);
    } else {
        /* Of fewer rows than the limit there is no need for room for as many. */
        s.limit = slots_end(c->slots) + WALK_ROWS_MAX;
        s.limit = request->limit < s.limit ? request->limit : s.limit;
        s.slots = arena_array(arena, (size_t)s.limit + 1, sizeof *s.slots);
        st = s.slots != NULL ? find_page(&s) : err_set(err, ST_NOMEM, "out of memory for a page");
        if (st == ST_OK)
            st = scroll_keep(&s, out);
    }
    epoch_leave(c->node->epoch, guard);
    return st;
}

status node_scroll(struct collection *c, const struct scroll *request, struct arena *arena,
                   struct scrolled *out, struct err *err)
{
    status st = collection_check_readable(c, err);

    *out = (struct scrolled){0};
    if (st != ST_OK)
        return st;
    return cold_is(c) ? scroll_cold(c, request, arena, out, err)
                      : scroll_head(c, request, arena, out, err);
}
