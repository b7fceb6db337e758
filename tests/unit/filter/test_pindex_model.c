/* Payload indexes against the rows themselves, through seeded random calls: rows go live, die, are
 * forgotten and their slots used again, indexes come and go, the indexer takes a few rows at a
 * time. Whatever the state, what an index says of a filter must be what filter_match() says of the
 * rows; orders and facets must be those of a plain loop. A seed may be given as the only argument.
 */
#include "jsons.h"
#include "pindex_gen.h"

#include "filter/datetime.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SLOTS = 700,
    STEPS = 1500,
    SEEDS = 8,
    BITS = (SLOTS + 63) / 64 * 64,
    ARENA_BYTES = 8 * 1024 * 1024,
};

struct row {
    enum pindex_row state;
    struct buf payload;
};
struct world {
    struct gen gen;
    uint64_t seed;
    uint32_t end;
    struct row rows[SLOTS];
    struct mem_budget budget;
    struct pindex_set *set;
    struct arena arena;
    struct buf text;
    uint64_t used, exact, sure, facets; /* so that the test can say that it tested */
};

#define CHECK(w, condition)                                                                        \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("seed %" PRIu64 ": %s\n%s", (w)->seed, #condition,                            \
                     (w)->text.bytes > 0 ? (const char *)(w)->text.data : "");                     \
    } while (0)

static uint64_t only_seed;

/* --- rows --- */

static uint32_t rows_end(void *arg)
{
    return ((struct world *)arg)->end;
}

static enum pindex_row rows_state(void *arg, uint32_t slot)
{
    return ((struct world *)arg)->rows[slot].state;
}

static struct slice rows_payload(void *arg, uint32_t slot)
{
    struct world *w = arg;

    CHECK(w, w->rows[slot].state != PINDEX_ROW_NONE);
    return buf_slice(&w->rows[slot].payload);
}

static void world_init(struct world *w, uint64_t seed)
{
    const struct pindex_rows rows = {rows_end, rows_state, rows_payload, w};

    w->seed = seed;
    w->gen.random = seed;
    w->gen.clean = seed % 2 == 0;
    mem_budget_init(&w->budget, NULL, 0);
    assert_int_equal(pindex_create(&rows, &w->budget, &w->set, NULL), ST_OK);
    arena_init(&w->arena, ARENA_BYTES);
    buf_init(&w->text, 1024 * 1024);
    for (size_t i = 0; i < SLOTS; i++)
        buf_init(&w->rows[i].payload, 1024 * 1024);
}

static void world_fini(struct world *w)
{
    pindex_destroy(w->set);
    CHECK(w, mem_budget_bytes(&w->budget) == 0);
    arena_free(&w->arena);
    buf_free(&w->text);
    for (size_t i = 0; i < SLOTS; i++)
        buf_free(&w->rows[i].payload);
    jsons_free();
}

static uint32_t slot_in(struct world *w, enum pindex_row state)
{
    for (int i = 0; i < 20; i++) {
        uint32_t slot = (uint32_t)gen_below(&w->gen, SLOTS);

        if (w->rows[slot].state == state)
            return slot;
    }
    return UINT32_MAX;
}

static void insert(struct world *w)
{
    uint32_t slot = slot_in(w, PINDEX_ROW_NONE);

    if (slot == UINT32_MAX)
        return;
    buf_reset(&w->text);
    gen_payload(&w->gen, &w->text);
    jsons_blob(&w->rows[slot].payload, (const char *)w->text.data);
    w->end = slot >= w->end ? slot + 1 : w->end;
    CHECK(w, pindex_reserve(w->set, w->end, NULL) == ST_OK);
    pindex_publish(w->set, slot);
    if (gen_below(&w->gen, 8) == 0) /* the indexer comes between */
        (void)pindex_step(w->set, 1000);
    w->rows[slot].state = PINDEX_ROW_LIVE;
}

static void kill(struct world *w)
{
    uint32_t slot = slot_in(w, PINDEX_ROW_LIVE);

    if (slot != UINT32_MAX)
        w->rows[slot].state = PINDEX_ROW_DEAD;
}

static void retire(struct world *w)
{
    uint32_t slots[8];
    uint32_t count = 0;

    while (count < COUNT_OF(slots)) {
        uint32_t slot = slot_in(w, PINDEX_ROW_DEAD);
        bool twice = false;

        if (slot == UINT32_MAX)
            break;
        for (uint32_t i = 0; i < count; i++)
            twice = twice || slots[i] == slot;
        if (!twice)
            slots[count++] = slot;
        else if (gen_below(&w->gen, 3) == 0)
            break;
    }
    pindex_forget(w->set, slots, count);
    for (uint32_t i = 0; i < count; i++)
        w->rows[slots[i]].state = PINDEX_ROW_NONE;
}

static const struct path *path_at(struct world *w, size_t i, enum pindex_type *suits)
{
    const struct path *path;

    assert_int_equal(path_parse(slice_text(gen_path(i, suits)), &w->arena, &path, NULL), ST_OK);
    return path;
}

static void add_index(struct world *w)
{
    struct pindex_spec spec = {0};
    size_t at = gen_below(&w->gen, GEN_PATHS);

    arena_reset(&w->arena);
    spec.path = path_at(w, at, &spec.type);
    if (gen_below(&w->gen, 10) == 0)
        spec.type = (enum pindex_type)(1 + gen_below(&w->gen, PINDEX_TEXT));
    if (spec.type == PINDEX_TEXT && gen_below(&w->gen, 3) == 0)
        spec.words.tokenizer = (int)gen_below(&w->gen, 4);
    if (spec.type == PINDEX_TEXT && gen_below(&w->gen, 4) == 0)
        spec.words.keep_case = true;
    CHECK(w, pindex_add(w->set, &spec, NULL) == ST_OK);
}

static void remove_index(struct world *w)
{
    enum pindex_type type;

    arena_reset(&w->arena);
    (void)pindex_remove(w->set, path_at(w, gen_below(&w->gen, GEN_PATHS), &type));
}

/* --- filters --- */

static bool words_of(void *arg, const struct path *path, struct filter_words *out)
{
    return pindex_words_of(((struct world *)arg)->set, path, out);
}

static struct filter *make_filter(struct world *w)
{
    const struct filter_binding binding = {.words_of = words_of, .arg = w};
    struct filter *f = NULL;
    struct err err = {0};
    bool ours = gen_below(&w->gen, 4) == 0;
    struct jval v;
    status st;

    buf_reset(&w->text);
    (ours ? gen_own_filter : gen_filter)(&w->gen, &w->text);
    v = jsons_value((const char *)w->text.data);
    st = (ours ? filter_parse_native : filter_parse_qdrant)(v, false, &w->arena, &f, &err);
    if (st != ST_OK)
        fail_msg("seed %" PRIu64 ": %s\n%s", w->seed, err.text, (const char *)w->text.data);
    CHECK(w, filter_bind(f, &binding, &w->arena, NULL) == ST_OK);
    return f;
}

static bool bit(const uint64_t *bits, uint32_t count, uint32_t slot)
{
    return bits != NULL && slot < count && (bits[slot / 64] >> slot % 64 & 1) != 0;
}

static bool matches(struct world *w, const struct filter *f, uint32_t slot)
{
    const struct docid id = docid_u64(slot);
    const struct filter_row row = {.id = &id, .payload = buf_slice(&w->rows[slot].payload)};

    return filter_match(f, &row);
}

static void check_estimate(struct world *w, const struct filter *f, uint64_t live, uint64_t truth)
{
    struct pindex_estimate e;

    pindex_estimate(w->set, f, live, &e);
    if (e.low > truth || e.high < truth || e.likely < e.low || e.likely > e.high)
        fail_msg("seed %" PRIu64 ": %" PRIu64 " rows match, not %" PRIu64 " to %" PRIu64
                 " (%" PRIu64 ")\n%s",
                 w->seed, truth, e.low, e.high, e.likely, (const char *)w->text.data);
}

static void check_filter(struct world *w)
{
    uint64_t pending[BITS / 64] = {0};
    struct pindex_answer a;
    uint64_t live = 0;
    uint64_t truth = 0;
    uint64_t set_bits = 0;
    struct filter *f;

    arena_reset(&w->arena);
    f = make_filter(w);
    pindex_pending_bits(w->set, pending, BITS);
    CHECK(w, pindex_lookup(w->set, f, &w->arena, &a, NULL) == ST_OK);
    CHECK(w, a.bit_count <= BITS && a.bit_count % 64 == 0);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        bool match = w->rows[slot].state == PINDEX_ROW_LIVE && matches(w, f, slot);

        set_bits += bit(a.bits, a.bit_count, slot);
        if (w->rows[slot].state != PINDEX_ROW_LIVE)
            continue;
        live++;
        truth += match;
        if (!a.used || bit(pending, BITS, slot))
            continue; /* asked itself */
        CHECK(w, !match || bit(a.bits, a.bit_count, slot));
        CHECK(w, match || !bit(a.sure, a.bit_count, slot));
        if (a.exact)
            CHECK(w, match == bit(a.bits, a.bit_count, slot));
        w->sure += bit(a.sure, a.bit_count, slot);
    }
    CHECK(w, !a.used || a.count == set_bits);
    w->used += a.used;
    w->exact += a.exact;
    check_estimate(w, f, live, truth);
}

/* --- orders --- */

struct number {
    bool there;
    long double v; /* exact for all of them */
};
struct orders {
    struct world *w;
    bool falling, of_time;
    bool begun;
    long double last, from;
    bool has_from;
    uint64_t count;
    uint32_t seen[SLOTS];
};

static long double value_of(const struct pindex_order_value *v)
{
    return v->type == JBIN_T_U64   ? (long double)v->u64
           : v->type == JBIN_T_I64 ? (long double)v->i64
                                   : (long double)v->f64;
}

static bool on_ordered(void *arg, uint32_t slot, const struct pindex_order_value *v)
{
    struct orders *o = arg;
    long double value = value_of(v);

    CHECK(o->w, !o->begun || (o->falling ? value <= o->last : value >= o->last));
    CHECK(o->w, !o->has_from || (o->falling ? value <= o->from : value >= o->from));
    o->begun = true;
    o->last = value;
    o->seen[slot]++;
    o->count++;
    return true;
}

struct distinct { /* values of one row that belong in the order */
    const struct orders *o;
    struct number values[64];
    enum jbin_type types[64];
    size_t count;
};

static bool on_row_value(void *arg, const struct jbin_value *v)
{
    struct distinct *d = arg;
    long double value = 0;
    int64_t ticks;

    if (d->o->of_time) {
        if (v->type != JBIN_T_STRING || !datetime_parse(v->text, &ticks))
            return true;
        value = (long double)ticks;
    } else if (v->type == JBIN_T_U64) {
        value = (long double)v->u64;
    } else if (v->type == JBIN_T_I64) {
        value = (long double)v->i64;
    } else if (v->type == JBIN_T_F64) {
        value = (long double)v->f64;
    } else {
        return true;
    }
    if (d->o->has_from && (d->o->falling ? value > d->o->from : value < d->o->from))
        return true;
    for (size_t i = 0; i < d->count; i++)
        if (d->values[i].v == value && (d->types[i] == JBIN_T_F64) == (v->type == JBIN_T_F64))
            return true;
    if (d->count == COUNT_OF(d->values))
        fail_msg("more values than this test is made for");
    d->types[d->count] = v->type;
    d->values[d->count++].v = value;
    return true;
}

static void check_order(struct world *w)
{
    struct orders o = {.w = w, .falling = gen_below(&w->gen, 2) == 0};
    struct filter_value from = {.type = JBIN_T_I64, .i64 = (int64_t)gen_below(&w->gen, 20) - 10};
    const struct path *path;
    struct pindex_info info;
    enum pindex_type suits;
    bool there;
    status st;

    arena_reset(&w->arena);
    buf_reset(&w->text);
    path = path_at(w, gen_below(&w->gen, GEN_PATHS), &suits);
    if (gen_below(&w->gen, 3) == 0)
        from = (struct filter_value){.type = JBIN_T_F64, .f64 = (double)from.i64 + 0.5};
    there =
        pindex_info_of(w->set, path, &info) && info.state == PINDEX_READY &&
        (info.type == PINDEX_INTEGER || info.type == PINDEX_FLOAT || info.type == PINDEX_DATETIME);
    o.of_time = there && info.type == PINDEX_DATETIME;
    o.has_from = !o.of_time && gen_below(&w->gen, 2) == 0;
    o.from = from.type == JBIN_T_I64 ? (long double)from.i64 : (long double)from.f64;
    st = pindex_ordered(w->set, path, o.falling, o.has_from ? &from : NULL, on_ordered, &o, NULL);
    CHECK(w, st == (there ? ST_OK : ST_NOT_FOUND));
    for (uint32_t slot = 0; there && slot < SLOTS; slot++) {
        uint64_t pending[BITS / 64] = {0};
        struct distinct d = {.o = &o};
        struct jbin_value root;

        if (w->rows[slot].state != PINDEX_ROW_LIVE)
            continue;
        pindex_pending_bits(w->set, pending, BITS);
        if (bit(pending, BITS, slot))
            continue;
        root = jbin_root(buf_slice(&w->rows[slot].payload));
        (void)filter_each_value(path, &root, on_row_value, &d);
        CHECK(w, o.seen[slot] == d.count);
    }
}

/* --- facets --- */

struct facets {
    struct world *w;
    const struct path *path;
    const uint64_t *among;
    uint64_t values;
};

struct looking {
    const struct filter_value *value;
    bool found;
};

static bool on_facet_value(void *arg, const struct jbin_value *v)
{
    struct looking *l = arg;

    l->found = l->found || (v->type == l->value->type &&
                            (v->type == JBIN_T_STRING ? slice_equal(v->text, l->value->text)
                             : v->type == JBIN_T_BOOL ? v->boolean == l->value->boolean
                             : v->type == JBIN_T_U64  ? v->u64 == l->value->u64
                                                      : v->i64 == l->value->i64));
    return true;
}

static bool on_facet(void *arg, const struct filter_value *value, uint64_t count)
{
    struct facets *f = arg;
    uint64_t truth = 0;

    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        struct looking l = {.value = value};
        struct jbin_value root;

        if (!bit(f->among, BITS, slot))
            continue;
        root = jbin_root(buf_slice(&f->w->rows[slot].payload));
        (void)filter_each_value(f->path, &root, on_facet_value, &l);
        truth += l.found;
    }
    CHECK(f->w, truth == count);
    f->values++;
    return true;
}

static void check_facet(struct world *w)
{
    uint64_t among[BITS / 64] = {0};
    uint64_t pending[BITS / 64] = {0};
    struct facets f = {.w = w, .among = among};
    enum pindex_type suits;
    uint64_t one_in = 1 + gen_below(&w->gen, 60); /* few rows: none has a value of another type */

    arena_reset(&w->arena);
    buf_reset(&w->text);
    f.path = path_at(w, gen_below(&w->gen, GEN_PATHS), &suits);
    pindex_pending_bits(w->set, pending, BITS);
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        if (w->rows[slot].state == PINDEX_ROW_LIVE && !bit(pending, BITS, slot) &&
            gen_below(&w->gen, one_in) == 0)
            among[slot / 64] |= UINT64_C(1) << slot % 64;
    if (pindex_facet(w->set, f.path, among, BITS, on_facet, &f, NULL) == ST_OK)
        w->facets += f.values;
}

/* --- runs --- */

static void step(struct world *w)
{
    switch (gen_below(&w->gen, 16)) {
    case 0:
    case 1:
        kill(w);
        return;
    case 2:
        retire(w);
        return;
    case 3:
        add_index(w);
        return;
    case 4:
        if (gen_below(&w->gen, 8) == 0)
            remove_index(w);
        return;
    case 5:
    case 6:
        (void)pindex_step(w->set, (uint32_t)gen_below(&w->gen, 60));
        return;
    case 7:
        check_order(w);
        return;
    case 8:
        check_facet(w);
        return;
    case 9:
        if (gen_below(&w->gen, 4) == 0)
            CHECK(w, pindex_step(w->set, UINT32_MAX).left == 0 && pindex_pending(w->set) == 0);
        return;
    default:
        break;
    }
    insert(w);
    check_filter(w);
}

static void an_index_says_what_the_rows_say(void **state)
{
    uint64_t used = 0, exact = 0, sure = 0, facets = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= (only_seed == 0 ? SEEDS : 1); seed++) {
        struct world *w = calloc(1, sizeof *w);

        assert_non_null(w);
        world_init(w, only_seed == 0 ? seed : only_seed);
        for (int i = 0; i < STEPS; i++)
            step(w);
        used += w->used;
        exact += w->exact;
        sure += w->sure;
        facets += w->facets;
        world_fini(w);
        free(w);
    }
    print_message("lookups with an index %" PRIu64 ", exact %" PRIu64 ", sure rows %" PRIu64
                  ", facet values %" PRIu64 "\n",
                  used, exact, sure, facets);
    assert_true(only_seed != 0 || (used > 500 && exact > 100 && sure > 1000 && facets > 100));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_index_says_what_the_rows_say)};

    only_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
