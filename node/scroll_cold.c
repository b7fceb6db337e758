/* Pages of documents that are not all in RAM: what the cold set has from there on, then the head's
 * page, each as many as are wanted and one more; the first of both. Of an id that is in both the
 * newer record counts. */
#include "node/cold_reads.h"
#include "node/scroll_internal.h"

#include <inttypes.h>
#include <stdlib.h>

struct found {                 /* in the head or not */
    struct document *document; /* NULL: of a cold row */
    struct cold_row *row;
    struct docid id;
    uint64_t lsn;
    struct number value; /* with order_by */
    struct filter_value told;
};

struct merging {
    struct cold_reads *reads;
    const struct scroll *request;
    struct arena *arena;
    struct err *err;
    struct scroll_order order;
    size_t limit; /* of the answer */
    struct found *items;
    size_t count;
};

static status no_memory(struct merging *m)
{
    return err_set(m->err, ST_NOMEM, "out of memory for a page of %zu documents; ask for fewer",
                   m->limit);
}

/* --- both in one order --- */

static int newest_first(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    int order = docid_compare(&x->id, &y->id);

    if (order != 0)
        return order;
    if (x->lsn != y->lsn)
        return x->lsn > y->lsn ? -1 : 1;
    return (x->document == NULL) - (y->document == NULL);
}

static bool is_same_record(const struct found *x, const struct found *y)
{
    return x->lsn == y->lsn && (x->document == NULL) == (y->document == NULL) &&
           docid_equal(&x->id, &y->id);
}

/* Of each id what its newest record gave, one or several values; where it is in both, what the head
 * gave. */
static void keep_newest(struct merging *m)
{
    struct found first = {0};
    size_t kept = 0;

    if (m->count > 0)
        qsort(m->items, m->count, sizeof *m->items, newest_first);
    for (size_t i = 0; i < m->count; i++) {
        if (kept == 0 || !docid_equal(&m->items[i].id, &first.id))
            first = m->items[i];
        if (is_same_record(&m->items[i], &first))
            m->items[kept++] = m->items[i];
    }
    m->count = kept;
}

static int rising(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    int order = number_compare(x->value, y->value);

    return order != 0 ? order : docid_compare(&x->id, &y->id);
}

static int falling(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    int order = number_compare(y->value, x->value);

    return order != 0 ? order : docid_compare(&x->id, &y->id);
}

static void put_in_order(struct merging *m)
{
    if (m->request->order_by != NULL && m->count > 0)
        qsort(m->items, m->count, sizeof *m->items, m->request->falling ? falling : rising);
}

/* --- rows by a value: all that match are read --- */

struct valued {
    struct cold_row row;
    struct number value;
};

struct ordering {
    struct merging *m;
    struct valued *items; /* the best, in no order until they are cut */
    size_t count, room;
    bool full; /* as many as are wanted, and not worse than: */
    struct valued worst;
    const struct cold_row *row; /* being looked at */
    struct docid id;            /* of it, kept; kind 0: not yet */
    bool no_memory;
};

static int valued_rising(const void *a, const void *b)
{
    const struct valued *x = a, *y = b;
    int order = number_compare(x->value, y->value);

    return order != 0 ? order : docid_compare(&x->row.id, &y->row.id);
}

static int valued_falling(const void *a, const void *b)
{
    const struct valued *x = a, *y = b;
    int order = number_compare(y->value, x->value);

    return order != 0 ? order : docid_compare(&x->row.id, &y->row.id);
}

/* The best of them, each once: an array may have a value twice. */
static void cut(struct ordering *o)
{
    int (*compare)(const void *, const void *) =
        o->m->request->falling ? valued_falling : valued_rising;
    size_t kept = 0;

    if (o->count == 0)
        return;
    qsort(o->items, o->count, sizeof *o->items, compare);
    for (size_t i = 0; i < o->count && kept <= o->m->limit; i++)
        if (kept == 0 || compare(&o->items[i], &o->items[kept - 1]) != 0)
            o->items[kept++] = o->items[i];
    o->count = kept;
    o->full = kept == o->m->limit + 1;
    o->worst = o->items[kept - 1];
}

static bool take_value(void *arg, const struct jbin_value *v)
{
    struct ordering *o = arg;
    struct merging *m = o->m;
    struct valued item = {.row = {.found = true,
                                  .id = o->row->id,
                                  .lsn = o->row->lsn,
                                  .segment = o->row->segment,
                                  .ordinal = o->row->ordinal}};

    if (!scroll_order_value(&m->order, v, &item.value) ||
        (o->full && (m->request->falling ? valued_falling : valued_rising)(&item, &o->worst) >= 0))
        return true;
    if (o->id.kind == 0)
        o->no_memory = !keep_id(m->arena, &o->row->id, &o->id);
    if (o->no_memory)
        return false;
    item.row.id = o->id;
    if (o->count == o->room)
        cut(o);
    o->items[o->count++] = item;
    return true;
}

static status take_row(void *arg, const struct cold_row *row, struct err *err)
{
    struct ordering *o = arg;
    struct jbin_value root = jbin_root(row->payload);

    o->row = row;
    o->id = (struct docid){0};
    (void)filter_each_value(o->m->request->order_by, &root, take_value, o);
    return o->no_memory ? err_set(err, ST_NOMEM, "out of memory for a page; ask for fewer") : ST_OK;
}

static status add_ordered(struct merging *m)
{
    struct ordering o = {.m = m, .room = 2 * (m->limit + 1) + 256};
    struct cold_reads *r = m->reads;
    status st;

    o.items = arena_array(m->arena, o.room, sizeof *o.items);
    if (o.items == NULL)
        return no_memory(m);
    st = cold_set_each(r->set, m->request->filter, COLD_PAYLOAD, 0, &r->terms, take_row, &o,
                       &r->stats, m->err);
    if (st != ST_OK)
        return st;
    cut(&o);
    m->items = arena_array(m->arena, o.count + m->limit + 2, sizeof *m->items);
    if (m->items == NULL)
        return no_memory(m);
    for (; m->count < o.count; m->count++) {
        struct valued *v = &o.items[m->count];

        m->items[m->count] =
            (struct found){.row = &v->row, .id = v->row.id, .lsn = v->row.lsn, .value = v->value};
    }
    return ST_OK;
}

/* --- rows by id --- */

static status add_rows(struct merging *m)
{
    struct cold_row *rows = NULL;
    size_t count = 0;
    status st = cold_first(m->reads, m->request->filter, m->request->from, m->limit + 1, m->arena,
                           &rows, &count, m->err);

    if (st != ST_OK)
        return st;
    m->items = arena_array(m->arena, count + m->limit + 2, sizeof *m->items);
    if (m->items == NULL)
        return no_memory(m);
    for (; m->count < count; m->count++)
        m->items[m->count] = (struct found){
            .row = &rows[m->count], .id = rows[m->count].id, .lsn = rows[m->count].lsn};
    return ST_OK;
}

/* --- the page --- */

static struct number number_told(const struct merging *m, const struct filter_value *v)
{
    const struct jbin_value text = {.type = JBIN_T_STRING, .text = v->text};
    const struct scroll_order any = {.of_time = true};
    struct number n = {0};

    if (!m->order.of_time)
        return filter_value_number(v);
    (void)scroll_order_value(&any, &text, &n);
    return n;
}

static status add_head(struct merging *m)
{
    struct scroll ask = *m->request;
    struct scrolled page;
    status st;

    ask.limit = (uint32_t)m->limit + 1;
    st = scroll_head(m->reads->c, &ask, m->arena, &page, m->err);
    for (uint32_t i = 0; st == ST_OK && i < page.count; i++) {
        struct document *d = &page.documents[i];
        struct found *f = &m->items[m->count++];

        *f = (struct found){.document = d, .id = d->id, .lsn = d->lsn};
        if (page.order_values == NULL)
            continue;
        f->told = page.order_values[i];
        f->value = number_told(m, &f->told);
    }
    return st;
}

static bool keep_rooms(struct merging *m, struct scrolled *out, struct cold_row **rows,
                       struct document **fetched)
{
    size_t room = (size_t)out->count + 1;
    bool ordered = m->request->order_by != NULL;

    out->documents = arena_array(m->arena, room, sizeof *out->documents);
    *rows = arena_zero(m->arena, room * sizeof **rows);
    *fetched = arena_array(m->arena, room, sizeof **fetched);
    if (ordered)
        out->order_values = arena_array(m->arena, room, sizeof *out->order_values);
    return out->documents != NULL && *rows != NULL && *fetched != NULL &&
           (!ordered || out->order_values != NULL);
}

/* The document of a cold row, and its value as the payload has it. */
static bool keep_cold(struct merging *m, const struct found *f, struct document *d,
                      struct filter_value *told)
{
    if (told != NULL &&
        !scroll_order_keep(&m->order, m->request->order_by, d->payload, f->value, m->arena, told))
        return false;
    if (!m->request->want.payload)
        d->payload = (struct slice){0};
    return true;
}

static status keep_page(struct merging *m, struct scrolled *out)
{
    struct read_want want = m->request->want;
    struct cold_row *rows = NULL;
    struct document *fetched = NULL;
    size_t wanted = 0;
    status st;

    out->more = m->count > m->limit;
    out->count = (uint32_t)(out->more ? m->limit : m->count);
    if (!keep_rooms(m, out, &rows, &fetched))
        return no_memory(m);
    for (uint32_t i = 0; i < out->count; i++)
        if (m->items[i].document == NULL)
            rows[wanted++] = *m->items[i].row;
    want.payload = want.payload || (m->request->order_by != NULL && m->order.of_time);
    st = cold_docs_at(m->reads, rows, wanted, &want, m->arena, fetched, m->err);
    for (uint32_t i = 0; st == ST_OK && i < out->count; i++) {
        const struct found *f = &m->items[i];
        struct filter_value *told = out->order_values == NULL ? NULL : &out->order_values[i];

        if (f->document != NULL) {
            out->documents[i] = *f->document;
            if (told != NULL)
                *told = f->told;
        } else {
            out->documents[i] = *fetched++;
            if (!keep_cold(m, f, &out->documents[i], told))
                st = no_memory(m);
        }
    }
    if (out->more)
        out->next = m->items[m->limit].id;
    return st;
}

static status merge(struct merging *m, struct scrolled *out)
{
    uint64_t most = slots_end(m->reads->c->slots) + cold_set_rows(m->reads->set) + 1024;
    struct pindex_info index;
    status st = ST_OK;

    m->limit = m->request->limit < most && m->request->limit < UINT32_MAX ? m->request->limit
                                                                          : (size_t)most;
    if (m->request->order_by != NULL) {
        st = scroll_order_read(m->reads->c, m->request, &m->order, &index, m->err);
        if (st == ST_OK)
            st = add_ordered(m);
    } else {
        st = add_rows(m);
    }
    if (st == ST_OK)
        st = add_head(m);
    if (st != ST_OK)
        return st;
    keep_newest(m);
    put_in_order(m);
    return keep_page(m, out);
}

status scroll_cold(struct collection *c, const struct scroll *request, struct arena *arena,
                   struct scrolled *out, struct err *err)
{
    struct merging m;
    struct cold_reads reads;
    status st = cold_reads_begin(c, &request->limits, &reads, err);

    if (st == ST_OK && reads.set == NULL)
        st = scroll_head(c, request, arena, out, err);
    else if (st == ST_OK)
        do {
            m = (struct merging){.reads = &reads, .request = request, .arena = arena, .err = err};
            st = merge(&m, out);
        } while (cold_reads_again(&reads, st));
    return cold_reads_end(&reads, st, err);
}
