/* Pages in the order of a value that has an index.
 *
 * The index gives rows by rising or falling value. Rows it does not know yet, and those published
 * while it is walked, are asked themselves and put among the others. An index that is not whole is
 * not walked: then all that match are sorted. Equal values come by rising id. */
#include "node/scroll_internal.h"

#include "filter/datetime.h"
#include "filter/numbers.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    SPARE = 64,         /* entries beyond the page, for rows that are replaced meanwhile */
    TIES_MAX = 1 << 20, /* equal values at the end of a page that are put in order of ids */
    ATTEMPTS_MAX = 8,
    NEWS_AT_ONCE = 256,
};

struct entry {
    struct number value; /* a time: its ticks */
    uint32_t slot;
    struct row row;
};

struct ordering {
    struct scrolling *s;
    struct scroll_order order;
    uint64_t *pending; /* slots the index does not know */
    uint32_t pending_slots;
    struct entry *entries;
    size_t count, room;
    size_t wanted; /* of the index */
    uint64_t looked, added;
    bool more; /* the index has others */
    bool no_memory;
};

static bool add(struct ordering *o, uint32_t slot, struct number value)
{
    struct entry *e;

    if (o->count == o->room) {
        size_t room = o->room == 0 ? 256 : 2 * o->room;
        struct entry *entries = arena_array(o->s->arena, room, sizeof *entries);

        o->no_memory = entries == NULL;
        if (entries == NULL)
            return false;
        if (o->count > 0)
            memcpy(entries, o->entries, o->count * sizeof *entries);
        o->entries = entries;
        o->room = room;
    }
    e = &o->entries[o->count++];
    e->value = value;
    e->slot = slot;
    slots_row(o->s->c->slots, slot, &e->row);
    return true;
}

/* --- rows that are asked themselves --- */

static bool value_of(const struct scroll_order *o, const struct jbin_value *v, struct number *out)
{
    int64_t ticks;

    if (o->of_time) {
        if (v->type != JBIN_T_STRING || !datetime_parse(v->text, &ticks))
            return false;
        *out = number_of(JBIN_T_I64, 0, ticks, 0);
        return true;
    }
    if (!number_is(v->type))
        return false;
    *out = number_of(v->type, v->u64, v->i64, v->f64);
    return true;
}

bool scroll_order_value(const struct scroll_order *o, const struct jbin_value *v,
                        struct number *out)
{
    int order;

    if (!value_of(o, v, out))
        return false;
    order = o->has_from ? number_compare(*out, o->from) : 0;
    return o->falling ? order <= 0 : order >= 0;
}

struct asking {
    struct ordering *o;
    uint32_t slot;
};

static bool add_value(void *arg, const struct jbin_value *v)
{
    struct asking *a = arg;
    struct number n;

    return !scroll_order_value(&a->o->order, v, &n) || add(a->o, a->slot, n);
}

/* False: the time is over, or memory. */
static bool add_row(struct ordering *o, uint32_t slot)
{
    struct asking a = {o, slot};
    struct jbin_value root;
    struct row row;

    if (o->added++ % SELECT_LOOK_ROWS == 0 && !asker_goes_on(&o->s->asker))
        return false;
    slots_row(o->s->c->slots, slot, &row);
    root = jbin_root(row.payload);
    (void)filter_each_value(o->s->request->order_by, &root, add_value, &a);
    return !o->no_memory;
}

static bool is_pending(const struct ordering *o, uint32_t slot)
{
    return slot < o->pending_slots && bits_get(o->pending, slot);
}

static void add_pending(struct ordering *o)
{
    const struct slots *slots = o->s->c->slots;

    bool goes_on = true;

    for (uint32_t slot = 0; slot < o->pending_slots && goes_on; slot++) {
        if (o->pending[slot >> 6] == 0)
            slot |= 63;
        else if (is_pending(o, slot) && slots_live(slots, slot) &&
                 !slots_is_since(slots, slot, o->s->moment) && asker_matches(&o->s->asker, slot))
            goes_on = add_row(o, slot);
    }
}

static void add_news(struct ordering *o)
{
    uint32_t slots[NEWS_AT_ONCE];
    uint32_t at = 0, count;
    bool goes_on = true;

    while (goes_on &&
           (count = slots_since(o->s->c->slots, o->s->moment, &at, slots, NEWS_AT_ONCE)) > 0)
        for (uint32_t i = 0; i < count && goes_on; i++)
            if (asker_matches(&o->s->asker, slots[i]))
                goes_on = add_row(o, slots[i]);
}

/* --- rows the index gives --- */

static bool counts(struct ordering *o, uint32_t slot)
{
    struct scrolling *s = o->s;

    if (!slots_live(s->c->slots, slot) || is_pending(o, slot) ||
        slots_is_since(s->c->slots, slot, s->moment))
        return false; /* dead, or asked itself */
    if (s->known.bits != NULL && !known_has(&s->known, slot))
        return false;
    return (s->known.bits != NULL && s->known.exact) || asker_matches(&s->asker, slot);
}

static bool take(void *arg, uint32_t slot, const struct pindex_order_value *v)
{
    struct ordering *o = arg;
    struct number n = number_of(v->type, v->u64, v->i64, v->f64);

    if (o->looked++ % SELECT_LOOK_ROWS == 0 && !asker_goes_on(&o->s->asker))
        return false;
    if (o->count >= o->wanted && (o->count > o->wanted + TIES_MAX ||
                                  number_compare(n, o->entries[o->count - 1].value) != 0)) {
        o->more = true;
        return false;
    }
    return !counts(o, slot) || add(o, slot, n);
}

/* --- the page --- */

static int by_id(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = docid_compare(&x->row.id, &y->row.id);

    if (order == 0)
        order = (y->row.lsn > x->row.lsn) - (y->row.lsn < x->row.lsn);
    return order != 0 ? order : number_compare(x->value, y->value);
}

static int rising(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = number_compare(x->value, y->value);

    return order != 0 ? order : docid_compare(&x->row.id, &y->row.id);
}

static int falling(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = number_compare(y->value, x->value);

    return order != 0 ? order : docid_compare(&x->row.id, &y->row.id);
}

/* Of each id its newest row's values, each once; then in order. */
static void put_in_order(struct ordering *o)
{
    size_t kept = 0;

    if (o->count == 0)
        return;
    qsort(o->entries, o->count, sizeof *o->entries, by_id);
    for (size_t i = 0; i < o->count; i++) {
        const struct entry *e = &o->entries[i], *last = &o->entries[kept - 1];

        if (kept > 0 && docid_equal(&e->row.id, &last->row.id) &&
            (e->row.lsn != last->row.lsn || number_compare(e->value, last->value) == 0))
            continue;
        o->entries[kept++] = *e;
    }
    o->count = kept;
    qsort(o->entries, kept, sizeof *o->entries, o->s->request->falling ? falling : rising);
}

static status order_all(struct ordering *o)
{
    struct selected selected;
    status st = select_make(o->s->c, o->s->request->filter, &o->s->request->limits, o->s->arena,
                            &selected, o->s->err);

    bool goes_on = st == ST_OK;

    for (uint32_t slot = 0; goes_on && (slot = selected_next(&selected, slot)) != SLOT_NONE; slot++)
        goes_on = add_row(o, slot);
    if (goes_on)
        put_in_order(o);
    return st;
}

static status order_by_index(struct ordering *o)
{
    struct scrolling *s = o->s;
    struct filter_value from = filter_number_value(o->order.from);
    status st = ST_OK;

    o->wanted = (size_t)s->request->limit + SPARE;
    for (int i = 0; i < ATTEMPTS_MAX; i++) {
        o->count = 0;
        o->more = false;
        st = pindex_ordered(s->c->pindex, s->request->order_by, s->request->falling,
                            o->order.has_from ? &from : NULL, take, o, s->err);
        if (st != ST_OK)
            return st;
        add_pending(o);
        add_news(o);
        put_in_order(o);
        if (!o->more || o->count > s->request->limit || s->asker.gave_up || o->no_memory)
            break;
        o->wanted *= 4;
    }
    return ST_OK;
}

static status read_from(struct scroll_order *o, const struct filter_value *from, struct err *err)
{
    int64_t ticks = 0;

    o->has_from = from != NULL;
    if (from == NULL)
        return ST_OK;
    if (o->of_time && from->type == JBIN_T_STRING && datetime_parse(from->text, &ticks)) {
        o->from = number_of(JBIN_T_I64, 0, ticks, 0);
        return ST_OK;
    }
    if (o->of_time || !number_is(from->type))
        return err_set(err, ST_INVALID, "start_from is no %s, as the index of order_by has them",
                       o->of_time ? "time" : "number");
    o->from = filter_value_number(from);
    return ST_OK;
}

status scroll_order_read(struct collection *c, const struct scroll *request,
                         struct scroll_order *out, struct pindex_info *index, struct err *err)
{
    const struct path *by = request->order_by;
    status st = collection_index_on(c, by, index, err);

    if (st == ST_NOMEM)
        return st;
    if (st != ST_OK || (index->type != PINDEX_INTEGER && index->type != PINDEX_FLOAT &&
                        index->type != PINDEX_DATETIME))
        return err_set(
            err, ST_INVALID,
            "order_by needs an integer, float or datetime index on `%.*s`: make one first",
            (int)by->text.bytes, (const char *)by->text.data);
    *out = (struct scroll_order){.falling = request->falling,
                                 .of_time = index->type == PINDEX_DATETIME};
    return read_from(out, request->start_from, err);
}

static status find_entries(struct ordering *o, const struct pindex_info *index)
{
    struct scrolling *s = o->s;
    uint32_t slots = (slots_end(s->c->slots) + 63) & ~UINT32_C(63);
    status st = ST_NOT_FOUND;

    s->moment = slots_moment(s->c->slots);
    asker_init(&s->asker, s->c, s->request->filter, &s->request->limits);
    o->pending = arena_zero(s->arena, slots / 8 + 8);
    if (o->pending == NULL)
        return err_set(s->err, ST_NOMEM, "out of memory for a page");
    o->pending_slots = slots;
    pindex_pending_bits(s->c->pindex, o->pending, slots);
    if (s->asker.filter != NULL) {
        st = select_known(&s->asker, s->arena, &s->known, s->err);
        if (st != ST_OK)
            return st;
        st = ST_NOT_FOUND;
    }
    if (index->state == PINDEX_READY)
        st = order_by_index(o);
    if (st == ST_NOT_FOUND) /* not whole yet, or not any more */
        st = order_all(o);
    if (st == ST_OK && o->no_memory)
        st = err_set(s->err, ST_NOMEM, "out of memory for a page; ask for fewer");
    return st == ST_OK ? asker_status(&s->asker, s->err) : st;
}

struct text_of_time {
    int64_t ticks;
    struct slice text;
};

static bool find_text(void *arg, const struct jbin_value *v)
{
    struct text_of_time *t = arg;
    int64_t ticks;

    if (v->type != JBIN_T_STRING || !datetime_parse(v->text, &ticks) || ticks != t->ticks)
        return true;
    t->text = v->text;
    return false;
}

bool scroll_order_keep(const struct scroll_order *o, const struct path *by, struct slice payload,
                       struct number value, struct arena *arena, struct filter_value *out)
{
    struct text_of_time t = {.ticks = value.i64};
    struct jbin_value root = jbin_root(payload);

    *out = (struct filter_value){.type = JBIN_T_STRING};
    if (!o->of_time) {
        *out = filter_number_value(value);
        return true;
    }
    (void)filter_each_value(by, &root, find_text, &t);
    return keep_bytes(arena, t.text, &out->text);
}

static status keep_entries(struct ordering *o, struct scrolled *out)
{
    struct scrolling *s = o->s;
    uint32_t limit = s->request->limit;
    uint32_t count = o->count > limit ? limit + 1 : (uint32_t)o->count;
    status st;

    s->slots = arena_array(s->arena, (size_t)count + 1, sizeof *s->slots);
    out->order_values = arena_array(s->arena, (size_t)count + 1, sizeof *out->order_values);
    if (s->slots == NULL || out->order_values == NULL)
        return err_set(s->err, ST_NOMEM, "out of memory for a page");
    for (uint32_t i = 0; i < count; i++)
        s->slots[s->count++] = o->entries[i].slot;
    st = scroll_keep(s, out);
    for (uint32_t i = 0; st == ST_OK && i < out->count; i++)
        if (!scroll_order_keep(&o->order, s->request->order_by, o->entries[i].row.payload,
                               o->entries[i].value, s->arena, &out->order_values[i]))
            st = err_set(s->err, ST_NOMEM, "out of memory for a page");
    return st;
}

status scroll_ordered(struct scrolling *s, struct scrolled *out)
{
    struct ordering o = {.s = s};
    struct pindex_info index;
    status st = scroll_order_read(s->c, s->request, &o.order, &index, s->err);

    if (st == ST_OK)
        st = find_entries(&o, &index);
    return st == ST_OK ? keep_entries(&o, out) : st;
}
