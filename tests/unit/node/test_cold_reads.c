/* The same operations on a Memory collection and on one under S3Only, whose rows lie in the head or
 * in a cold set as it happens, leave the same documents and give the same answers: every write and
 * every read of node.h and points.h. */
#include "tests/unit/node/nchange.h"
#ifdef COLD_OVER_BUCKET
#include "tests/unit/node/nhead.h"
#else
#include "tests/unit/node/ncold.h"
#endif
#include "tests/unit/node/npoints.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { DIM = 4, IDS = 120, BATCH = 24 };

static struct nworld world;
static uint64_t seed = 1;
#ifdef COLD_OVER_BUCKET
enum { OVER_BUCKET = 1 };
static const enum node_policy COLD_POLICY = NODE_S3_ONLY;
static unsigned steps = 120;
#else
enum { OVER_BUCKET = 0 };
static const enum node_policy COLD_POLICY = NODE_MEMORY;
static struct fake_cold_ways ways;
static unsigned steps = 220;
#endif

struct pair {
    struct collection *ram, *cold;
    struct rand_seeded rand;
    struct arena arena;
};

static uint64_t below(struct pair *p, uint64_t bound)
{
    return rand_below(&p->rand.source, bound);
}

static struct docid id_of(uint64_t n)
{
    return docid_u64(n + 1);
}

/* Everything in the head is the cold set's. */
static void fold(struct collection *c)
{
#ifdef COLD_OVER_BUCKET
    struct err err = {0};

    if (nhead_fold(c, false, &err) != ST_OK)
        fail_msg("fold: %s", err.text);
#else
    ncold_fold(c, &ways);
#endif
}

static void begin_cold(struct collection *c)
{
#ifdef COLD_OVER_BUCKET
    nhead_open(c);
#else
    ncold_begin(c, &ways);
#endif
}

static void end_cold(struct collection *c)
{
#ifdef COLD_OVER_BUCKET
    assert_true(nhead_facts(c).rows > 0);
#else
    assert_int_equal(atomic_load(&ways.inside), 0);
    assert_true(atomic_load(&ways.calls) > 0);
    ncold_end(c);
#endif
}

static struct collection *make(const char *name, enum vmetric metric, enum node_policy policy)
{
    const struct field_info fields[] = {
        {.name = "", .dimension = DIM, .metric = VMETRIC_L2, .threshold = UINT32_MAX},
        {.name = "b", .dimension = DIM, .metric = (int)metric, .threshold = UINT32_MAX},
    };
    const struct collection_spec spec = {.name = name,
                                         .fields = fields,
                                         .field_count = 2,
                                         .policy = policy,
                                         .durability = NODE_LOCAL,
                                         .threshold = 100000};
    struct call call;
    struct collection *c;

    call_init(&call);
    node_collection_create(world.node, &spec, call_admin_done, &call);
    call_wait(&call);
    if (call.st != ST_OK)
        fail_msg("%s", call.err.text);
    c = npin(&world, name);
    pindexed(&world, c, "n", PINDEX_INTEGER);
    pindexed(&world, c, "when", PINDEX_DATETIME);
    pindexed(&world, c, "tag", PINDEX_KEYWORD);
    return c;
}

static void begin(struct pair *p, enum vmetric metric, const char *ram, const char *cold)
{
    memset(p, 0, sizeof *p);
    rand_seeded_init(&p->rand, seed);
    arena_init(&p->arena, SIZE_MAX);
    p->ram = make(ram, metric, NODE_MEMORY);
    p->cold = make(cold, metric, COLD_POLICY);
    begin_cold(p->cold);
}

static void end(struct pair *p)
{
    end_cold(p->cold);
    node_collection_unpin(p->ram);
    node_collection_unpin(p->cold);
    arena_free(&p->arena);
}

/* --- what is written --- */

static struct slice payload_of(struct pair *p)
{
    char text[256];
    unsigned n = (unsigned)below(p, 20);

    switch (below(p, 5)) {
    case 0:
        return njson("{}");
    case 1:
        (void)snprintf(text, sizeof text, "{\"n\":[%u,%u,%u],\"tag\":\"t%u\"}", n, n / 2, n, n % 4);
        return njson(text);
    default:
        (void)snprintf(text, sizeof text,
                       "{\"n\":%u,\"tag\":[\"t%u\",\"u%u\"],\"when\":\"20%02u-0%u-01T00:00:0%uZ\","
                       "\"deep\":{\"a\":%u}}",
                       n, n % 4, n % 3, 10 + n, 1 + n % 9, n % 10, n);
        return njson(text);
    }
}

static float *vector_of(struct pair *p)
{
    float *v = arena_array(&p->arena, DIM, sizeof *v);

    for (unsigned i = 0; i < DIM; i++)
        v[i] = (float)((int)below(p, 5) - 2);
    v[0] += 0.5f; /* never zero */
    return v;
}

static void make_row(struct pair *p, struct write_row *out)
{
    unsigned has = (unsigned)below(p, 8);

    *out = (struct write_row){.id = id_of(below(p, IDS)), .payload = payload_of(p)};
    out->external_id = below(p, 3) == 0 ? slice_text("ext") : (struct slice){0};
    out->vectors = arena_zero(&p->arena, 2 * sizeof *out->vectors);
    out->vectors[0] = has != 1 && has != 0 ? vector_of(p) : NULL;
    out->vectors[1] = has != 2 && has != 0 ? vector_of(p) : NULL;
    out->vector = out->vectors[0];
}

static struct write_row *copy_rows(struct pair *p, const struct write_row *rows, size_t count)
{
    struct write_row *out = arena_array(&p->arena, count + 1, sizeof *out);

    memcpy(out, rows, count * sizeof *rows);
    for (size_t i = 0; i < count; i++) {
        out[i].vectors = arena_zero(&p->arena, 2 * sizeof *out[i].vectors);
        for (unsigned f = 0; f < 2; f++) {
            if (rows[i].vectors[f] == NULL)
                continue;
            out[i].vectors[f] = arena_array(&p->arena, DIM, sizeof(float));
            memcpy(out[i].vectors[f], rows[i].vectors[f], DIM * sizeof(float));
        }
        out[i].vector = out[i].vectors[0];
    }
    return out;
}

static const char *const FILTERS[] = {
    "{\"must\":[{\"key\":\"tag\",\"match\":{\"value\":\"t1\"}}]}",
    "{\"must\":[{\"key\":\"n\",\"range\":{\"gte\":5,\"lt\":12}}]}",
    "{\"must_not\":[{\"key\":\"tag\",\"match\":{\"value\":\"t1\"}}]}",
    "{\"must\":[{\"has_id\":[1,5,9,20,33,77,118,400]}]}",
    "{\"must\":[{\"has_id\":[2,3,40,41,42,43]},{\"key\":\"n\",\"range\":{\"lt\":15}}]}",
    "{\"must\":[{\"has_vector\":\"b\"}]}",
    "{\"must\":[{\"key\":\"deep.a\",\"match\":{\"value\":7}}]}",
    "{\"must\":[{\"key\":\"n\",\"match\":{\"value\":19}}]}",
    "{\"must\":[{\"key\":\"nowhere\",\"match\":{\"value\":19}}]}",
    "{}",
};

static struct filter *filter_for(struct pair *p, struct collection *c, size_t which)
{
    return pfilter(c, FILTERS[which], &p->arena);
}

static void check_results(const char *what, status a, const struct write_result *x,
                          const struct err *xe, status b, const struct write_result *y,
                          const struct err *ye)
{
    if (a != b)
        fail_msg("seed %" PRIu64 ": %s: %s (%s) but %s (%s)", seed, what, status_name(a), xe->text,
                 status_name(b), ye->text);
    if (a == ST_OK && (x->count != y->count || x->lsn != y->lsn))
        fail_msg("seed %" PRIu64 ": %s: %" PRIu64 " at %" PRIu64 " but %" PRIu64 " at %" PRIu64,
                 seed, what, x->count, x->lsn, y->count, y->lsn);
    if (a != ST_OK && strcmp(xe->text, ye->text) != 0)
        fail_msg("seed %" PRIu64 ": %s: %s\nbut %s", seed, what, xe->text, ye->text);
}

static size_t some_ids(struct pair *p, struct docid *ids)
{
    size_t count = 1 + below(p, BATCH);

    for (size_t i = 0; i < count; i++)
        ids[i] = id_of(below(p, IDS + 20));
    return count;
}

static uint64_t lsn_of(struct collection *c, const struct docid *id)
{
    struct document d;
    struct arena arena;
    status st;

    arena_init(&arena, SIZE_MAX);
    st = node_get(c, id, &arena, &d, NULL);
    arena_free(&arena);
    return st == ST_OK ? d.lsn : 0;
}

static void write_some(struct pair *p)
{
    struct write_row rows[BATCH];
    struct write_result x = {0}, y = {0};
    struct err xe = {0}, ye = {0};
    struct write_options o = {0}, oc;
    size_t count = 1 + below(p, BATCH), which = below(p, COUNT_OF(FILTERS));
    struct write_row *copy;
    status a, b;

    for (size_t i = 0; i < count; i++)
        make_row(p, &rows[i]);
    copy = copy_rows(p, rows, count);
    o.mode = below(p, 3) == 0 ? (enum write_mode)below(p, 3) : WRITE_UPSERT;
    oc = o;
    if (below(p, 4) == 0) {
        o.update_filter = filter_for(p, p->ram, which);
        oc.update_filter = filter_for(p, p->cold, which);
    }
    if (count == 1 && below(p, 2) == 0) {
        o.only_if = oc.only_if = true;
        o.if_lsn = oc.if_lsn = below(p, 2) == 0 ? lsn_of(p->ram, &rows[0].id) : below(p, 50);
    }
    a = nwrite_with(p->ram, rows, count, &o, &x, &xe);
    b = nwrite_with(p->cold, copy, count, &oc, &y, &ye);
    check_results("write", a, &x, &xe, b, &y, &ye);
}

static void delete_some(struct pair *p)
{
    struct write_result x = {0}, y = {0};
    struct err xe = {0}, ye = {0};
    struct docid ids[BATCH + 1];
    struct selector s = {.ids = ids}, sc;
    struct write_options o = {0};
    status a, b;

    s.count = some_ids(p, ids);
    sc = s;
    if (below(p, 5) == 0) {
        size_t which = below(p, COUNT_OF(FILTERS) - 1);

        s = (struct selector){.filter = filter_for(p, p->ram, which)};
        sc = (struct selector){.filter = filter_for(p, p->cold, which)};
    } else if (s.count == 1) {
        o.only_if = true;
        o.if_lsn = below(p, 2) == 0 ? lsn_of(p->ram, &ids[0]) : below(p, 50);
    }
    a = ndelete_with(p->ram, &s, &o, &x, &xe);
    b = ndelete_with(p->cold, &sc, &o, &y, &ye);
    check_results("delete", a, &x, &xe, b, &y, &ye);
}

static void change_some(struct pair *p)
{
    struct write_result x = {0}, y = {0};
    struct err xe = {0}, ye = {0};
    struct docid ids[BATCH + 1];
    struct selector s = {.ids = ids}, sc;
    const struct path *keys[] = {npath("n"), npath("deep.a")};
    struct write_row rows[BATCH], *copy;
    struct change k = {.kind = (enum change_kind)below(p, 6),
                       .payload = njson("{\"n\":3,\"x\":1}")};
    struct change kc;
    status a, b;

    s.count = some_ids(p, ids);
    k.at = k.kind == CHANGE_MERGE_PAYLOAD && below(p, 2) == 0 ? npath("deep") : NULL;
    k.keys = keys;
    k.key_count = COUNT_OF(keys);
    k.fields = 1 + below(p, 3);
    kc = k;
    if (k.kind == CHANGE_VECTORS) {
        k.row_count = kc.row_count = 1 + below(p, BATCH);
        for (size_t i = 0; i < k.row_count; i++)
            make_row(p, &rows[i]);
        copy = copy_rows(p, rows, k.row_count);
        k.rows = rows;
        kc.rows = copy;
    }
    sc = s;
    if (below(p, 3) == 0) {
        size_t which = below(p, COUNT_OF(FILTERS));

        s = (struct selector){.filter = filter_for(p, p->ram, which)};
        sc = (struct selector){.filter = filter_for(p, p->cold, which)};
    }
    a = nchange(p->ram, &s, &k, NULL, &x, &xe);
    b = nchange(p->cold, &sc, &kc, NULL, &y, &ye);
    check_results("change", a, &x, &xe, b, &y, &ye);
}

/* --- what is read, as text --- */

static void put_id(struct buf *out, const struct docid *id)
{
    char text[DOCID_TEXT_BYTES];

    buf_put(out, text, docid_format(id, text));
}

static void put_vectors(struct buf *out, const float *one, const float *const *vectors)
{
    for (unsigned f = 0; f < 3; f++) {
        const float *v = f == 2 ? one : vectors == NULL ? NULL : vectors[f];

        buf_printf(out, v == NULL ? " -" : " [");
        for (unsigned i = 0; v != NULL && i < DIM; i++)
            buf_printf(out, "%.9g,", (double)v[i]);
    }
}

static void put_document(struct buf *out, const struct document *d, bool with_times)
{
    put_id(out, &d->id);
    buf_printf(out, " lsn %" PRIu64 " ext %.*s ", d->lsn, (int)d->external_id.bytes,
               (const char *)d->external_id.data);
    if (with_times)
        buf_printf(out, d->inserted_at_ns != 0 ? "dated " : "never ");
    if (d->payload.bytes > 0)
        jbin_print(out, d->payload);
    put_vectors(out, d->vector, (const float *const *)d->vectors);
    buf_put_text(out, "\n");
}

static void put_status(struct buf *out, status st, const struct err *err)
{
    if (st != ST_OK)
        buf_printf(out, "%s: %s\n", status_name(st), err->text);
}

struct asking { /* the same for both */
    uint64_t number;
    size_t filter;
    bool filtered, exact, payload, falling, from;
    uint64_t vectors;
    uint32_t limit;
    struct docid ids[BATCH + 1], id;
    size_t count;
    float vector[DIM];
};

static void put_query(struct pair *p, struct collection *c, const struct asking *k, struct buf *out)
{
    struct point_query points = {.field = (uint32_t)(k->number % 2),
                                 .filter = k->filtered ? filter_for(p, c, k->filter) : NULL,
                                 .vectors = k->vectors};
    struct query_options o = {.top_k = k->limit + 1,
                              .exact = k->exact,
                              .with_payload = k->payload,
                              .with_vector = k->number % 3 == 0,
                              .by_distance = k->number % 5 == 0,
                              .points = k->number % 7 == 0 && points.field == 0 ? NULL : &points};
    struct query_result r;
    struct err err = {0};
    float vector[DIM];
    status st;

    memcpy(vector, k->vector, sizeof vector);
    if (k->number % 4 == 1) {
        points.within = k->ids;
        points.within_count = k->count;
    } else if (k->number % 4 == 2) {
        points.without = k->ids;
        points.without_count = k->count;
    }
    points.has_threshold = k->number % 6 == 3;
    points.threshold = points.field == 0 ? 3 : 0.2f;
    st = node_query(c, vector, &o, &p->arena, &r, &err);
    put_status(out, st, &err);
    for (uint32_t i = 0; st == ST_OK && i < r.count; i++) {
        const struct match *m = &r.matches[i];

        put_id(out, &m->id);
        /* External ids are the native door's. */
        buf_printf(out, " lsn %" PRIu64 " d %.9g s %.9g ", m->lsn, (double)m->distance,
                   (double)m->score);
        if (o.points == NULL || o.by_distance || o.with_payload)
            buf_printf(out, "ext %.*s ", (int)m->external_id.bytes,
                       (const char *)m->external_id.data);
        if (m->payload.bytes > 0)
            jbin_print(out, m->payload);
        put_vectors(out, m->vector, (const float *const *)m->vectors);
        buf_put_text(out, "\n");
    }
}

static void put_scroll(struct pair *p, struct collection *c, const struct asking *k, bool ordered,
                       struct buf *out)
{
    const struct filter_value number = {.type = JBIN_T_U64, .u64 = 8};
    const struct filter_value time = {.type = JBIN_T_STRING,
                                      .text = slice_text("2016-01-01T00:00:00Z")};
    bool by_time = k->number % 2 == 0;
    struct scroll s = {.filter = k->filtered ? filter_for(p, c, k->filter) : NULL,
                       .from = k->from && !ordered ? &k->id : NULL,
                       .limit = k->limit,
                       .want = {.payload = k->payload, .vectors = k->vectors}};
    struct scrolled got;
    struct err err = {0};
    status st;

    if (ordered) {
        s.order_by = npath(k->number % 11 == 0 ? "tag" : by_time ? "when" : "n");
        s.falling = k->falling;
        s.start_from = k->from ? by_time ? &time : &number : NULL;
    }
    st = node_scroll(c, &s, &p->arena, &got, &err);
    put_status(out, st, &err);
    for (uint32_t i = 0; st == ST_OK && i < got.count; i++) {
        const struct filter_value *v = ordered ? &got.order_values[i] : NULL;

        if (!k->payload) /* they lie beside it, and are told with it */
            got.documents[i].external_id = (struct slice){0};
        put_document(out, &got.documents[i], false);
        if (v != NULL)
            buf_printf(out, "  %d %" PRIu64 " %.*s\n", (int)v->type,
                       v->type == JBIN_T_STRING ? 0 : v->u64, (int)v->text.bytes,
                       (const char *)v->text.data);
    }
    if (st == ST_OK && got.more && !ordered) {
        buf_put_text(out, "more from ");
        put_id(out, &got.next);
    }
}

static void put_list(struct pair *p, struct collection *c, const struct asking *k, struct buf *out)
{
    struct document *page = NULL;
    uint32_t count = 0;
    bool more = false;
    struct err err = {0};
    status st = node_list(c, k->from ? &k->id : NULL, k->limit + 1, k->payload, &p->arena, &page,
                          &count, &more, &err);

    put_status(out, st, &err);
    for (uint32_t i = 0; st == ST_OK && i < count; i++)
        put_document(out, &page[i], true);
    buf_printf(out, "%d\n", (int)more);
}

static void put_by_id(struct pair *p, struct collection *c, const struct asking *k, struct buf *out)
{
    const struct read_want want = {.payload = k->payload, .vectors = k->vectors};
    struct document *found = NULL, one;
    struct err err = {0};
    uint32_t count = 0;
    status st = node_retrieve(c, k->ids, k->count, &want, &p->arena, &found, &count, &err);

    put_status(out, st, &err);
    for (uint32_t i = 0; st == ST_OK && i < count; i++) {
        if (!k->payload)
            found[i].external_id = (struct slice){0};
        put_document(out, &found[i], false);
    }
    st = node_get(c, &k->id, &p->arena, &one, &err);
    put_status(out, st, &err);
    if (st == ST_OK)
        put_document(out, &one, true);
}

static void put_counts(struct pair *p, struct collection *c, const struct asking *k,
                       struct buf *out)
{
    const struct filter *f = k->filtered ? filter_for(p, c, k->filter) : NULL;
    struct facet_hit *hits = NULL;
    struct err err = {0};
    uint32_t count = 0;
    uint64_t n = 0;
    status st = node_count(c, f, true, NULL, &p->arena, &n, &err);

    put_status(out, st, &err);
    buf_printf(out, "%" PRIu64 " of ", n);
    st = node_count(c, NULL, false, NULL, &p->arena, &n, &err);
    put_status(out, st, &err);
    buf_printf(out, "%" PRIu64 "\n", n);
    st = node_facet(c, npath(k->number % 2 == 0 ? "tag" : "n"), f, k->limit + 1, true, NULL,
                    &p->arena, &hits, &count, &err);
    put_status(out, st, &err);
    for (uint32_t i = 0; st == ST_OK && i < count; i++)
        buf_printf(out, "%" PRIu64 " %.*s: %" PRIu64 "\n",
                   hits[i].value.type == JBIN_T_STRING ? 0 : hits[i].value.u64,
                   (int)hits[i].value.text.bytes, (const char *)hits[i].value.text.data,
                   hits[i].count);
}

/* Other documents each time: how many, and that they match. */
static void put_sample(struct pair *p, struct collection *c, const struct asking *k,
                       struct buf *out)
{
    const struct read_want want = {.payload = true, .vectors = 3};
    const struct filter *f = k->filtered ? filter_for(p, c, k->filter) : NULL;
    struct document *found = NULL;
    struct err err = {0};
    uint32_t count = 0;
    status st = node_sample(c, f, k->limit, &want, NULL, &p->arena, &found, &count, &err);

    put_status(out, st, &err);
    buf_printf(out, "%" PRIu32 " at random\n", count);
    for (uint32_t i = 0; st == ST_OK && i < count; i++) {
        uint64_t bits =
            (found[i].vectors[0] != NULL ? 1u : 0u) + (found[i].vectors[1] != NULL ? 2u : 0u);

        assert_true(f == NULL ||
                    filter_match(f, &(struct filter_row){&found[i].id, found[i].payload, bits}));
        for (uint32_t n = 0; n < i; n++)
            assert_false(docid_equal(&found[i].id, &found[n].id));
    }
}

static void put_answer(struct pair *p, struct collection *c, const struct asking *k,
                       struct buf *out)
{
    buf_init(out, 1 << 24);
    switch (k->number % 9) {
    case 0:
    case 1:
    case 2:
        put_query(p, c, k, out);
        return;
    case 3:
        put_scroll(p, c, k, false, out);
        return;
    case 4:
        put_scroll(p, c, k, true, out);
        return;
    case 5:
        put_list(p, c, k, out);
        return;
    case 6:
        put_by_id(p, c, k, out);
        return;
    case 7:
        put_counts(p, c, k, out);
        return;
    default:
        put_sample(p, c, k, out);
    }
}

/* The first line that differs. */
static void tell_difference(const struct asking *k, const struct buf *ram, const struct buf *cold)
{
    const char *a = (const char *)ram->data, *b = (const char *)cold->data;
    size_t at = 0, line = 0;

    for (; at < ram->bytes && at < cold->bytes && a[at] == b[at]; at++)
        line = a[at] == '\n' ? at + 1 : line;
    fail_msg("seed %" PRIu64 ", read %" PRIu64 " (%" PRIu64 "), filter %s (%d), exact %d, payload "
             "%d, from %d, limit %u, at byte %zu of %zu:\n%.*s\nbut cold, of %zu:\n%.*s",
             seed, k->number % 9, k->number, FILTERS[k->filter], k->filtered, k->exact, k->payload,
             k->from, k->limit, at, ram->bytes,
             (int)(ram->bytes - line < 250 ? ram->bytes - line : 250), a + line, cold->bytes,
             (int)(cold->bytes - line < 250 ? cold->bytes - line : 250), b + line);
}

static void read_some(struct pair *p)
{
    struct asking k = {.number = below(p, 9 * 4 * 5 * 7 * 11),
                       .filter = below(p, COUNT_OF(FILTERS)),
                       .filtered = below(p, 2) == 0,
                       .exact = below(p, 2) == 0 || OVER_BUCKET, /* codes are about right */
                       .payload = below(p, 2) == 0,
                       .falling = below(p, 2) == 0,
                       .from = below(p, 2) == 0,
                       .vectors = below(p, 5) == 0 ? UINT64_MAX : below(p, 4),
                       .limit = (uint32_t)below(p, below(p, 4) == 0 ? 2 * IDS : 12),
                       .id = id_of(below(p, IDS))};
    struct buf ram, cold;

    k.count = some_ids(p, k.ids);
    memcpy(k.vector, vector_of(p), sizeof k.vector);
    put_answer(p, p->ram, &k, &ram);
    put_answer(p, p->cold, &k, &cold);
    assert_false(ram.failed || cold.failed);
    if (!slice_equal(buf_slice(&ram), buf_slice(&cold)))
        tell_difference(&k, &ram, &cold);
    buf_free(&ram);
    buf_free(&cold);
}

static void run(struct pair *p)
{
    for (unsigned i = 0; i < steps; i++) {
        switch (below(p, 8)) {
        case 0:
        case 1:
            write_some(p);
            break;
        case 2:
            delete_some(p);
            break;
        case 3:
            change_some(p);
            break;
        case 4:
            if (below(p, 3) == 0)
                fold(p->cold);
            break;
        default:
            break;
        }
        for (unsigned n = 0; n < 4; n++)
            read_some(p);
        arena_reset(&p->arena);
    }
}

static void answers_are_the_same(void **state)
{
    static const enum vmetric metrics[] = {VMETRIC_COSINE, VMETRIC_DOT, VMETRIC_L1};
    struct pair p;

    (void)state;
    print_message("seed %" PRIu64 ", %u steps\n", seed, steps);
    nchange_init();
    for (size_t i = 0; i < COUNT_OF(metrics); i++) {
        char ram[16], cold[16];

        (void)snprintf(ram, sizeof ram, "ram-%zu", i);
        (void)snprintf(cold, sizeof cold, "cold-%zu", i);
        begin(&p, metrics[i], ram, cold);
        run(&p);
        end(&p);
    }
    nchange_free();
}

/* --- main --- */

static int open_world(void **state)
{
    (void)state;
    nworld_init(&world, true, seed);
    if (OVER_BUCKET)
        nworld_bucket(&world, "cold-reads");
    world.options.no_background_compaction = true;
    nworld_open(&world);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    nworld_fini(&world);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_are_the_same, open_world, close_world),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        steps = (unsigned)strtoul(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
