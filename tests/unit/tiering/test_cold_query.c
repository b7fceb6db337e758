/* Queries over cold segments: what they find beside a plain loop, what they may read, and what they
 * say when the bucket fails. */
#include "tests/unit/tiering/cold_world.h"

#include "base/json.h"
#include "index/cells.h"
#include "index/codes.h"
#include "index/rabitq.h"
#include "tests/support/alloc_sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOP_K = 10, QUERIES = 12 };

static uint64_t seed = 21;

/* --- asking --- */
struct asking {
    struct cold_world *w;
    struct cold_set *set;
    struct cold_terms terms;
    struct cold_query query;
    struct arena arena;
    struct cold_hit *hits;
    uint32_t count;
    bool partial;
    struct cold_stats stats;
    float *vector;
    uint16_t field; /* by position */
};

static void asking_begin(struct asking *a, struct cold_world *w, struct cold_set *set)
{
    *a = (struct asking){.w = w, .set = set, .terms = world_terms()};
    arena_init(&a->arena, SIZE_MAX);
    a->query.limit = TOP_K;
    a->vector = calloc(w->fields[0].dim, sizeof *a->vector);
    a->query.vector = a->vector;
}

static void asking_end(struct asking *a)
{
    arena_free(&a->arena);
    free(a->vector);
}

/* Near a row of the first segment, and not the row. */
static void draw_query(struct asking *a, uint32_t number)
{
    const struct catalog_field *field = &a->w->fields[a->field];
    const struct cold_rows *rows = &a->w->rows[0];
    const float *from = NULL;
    struct rand_seeded r;

    rand_seeded_init(&r, seed + number);
    while (from == NULL)
        from = rows->rows[rand_below(&r.source, rows->count)].vectors[a->field];
    for (uint32_t d = 0; d < field->dim; d++)
        a->vector[d] = from[d] + 0.02f * ((float)rand_below(&r.source, 2001) / 1000.0f - 1);
    if (field->metric == VMETRIC_COSINE)
        (void)vindex_normalise(a->vector, field->dim);
    a->query.field = field->id;
}

static status ask(struct asking *a)
{
    struct err err = {0};

    arena_reset(&a->arena);
    a->stats = (struct cold_stats){0};
    a->partial = false;
    a->count = 0;
    return cold_set_query(a->set, &a->query, &a->terms, &a->arena, &a->hits, &a->count, &a->partial,
                          &a->stats, &err);
}

/* --- what is true --- */
struct truth {
    float key;
    const struct cold_make_row *row;
};
typedef bool truth_fn(const struct cold_make_row *row);

static int by_key(const void *a, const void *b)
{
    const struct truth *x = a, *y = b;

    return x->key < y->key ? -1 : x->key > y->key;
}

static struct truth *truths(const struct asking *a, truth_fn *counts, uint32_t *count)
{
    const struct cold_world *w = a->w;
    struct code_shape shape = code_shape(w->fields[a->field].metric, w->fields[a->field].dim);
    struct truth *out;
    size_t all = 0;

    for (uint32_t s = 0; s < w->segments; s++)
        all += w->rows[s].count;
    out = malloc((all + 1) * sizeof *out);
    *count = 0;
    for (uint32_t s = 0; s < w->segments; s++)
        for (uint32_t i = 0; i < w->rows[s].count; i++) {
            const struct cold_make_row *row = &w->rows[s].rows[i];

            if (row->vectors[a->field] == NULL || world_is_dead(w, s, i) ||
                (counts != NULL && !counts(row)) || cold_newer_than(&a->terms, &row->id, row->lsn))
                continue;
            out[(*count)++] = (struct truth){
                full_key(&shape, kernels_get(), a->vector, row->vectors[a->field]), row};
        }
    qsort(out, *count, sizeof *out, by_key);
    return out;
}

/* Rows that count, nearest first, each id once; the share of the nearest that is told. */
static double judged(const struct asking *a, truth_fn *counts)
{
    uint32_t all, found = 0, wanted;
    struct truth *t = truths(a, counts, &all);

    assert_true(a->count <= a->query.limit);
    for (uint32_t i = 0; i < a->count; i++) {
        bool known = false;

        assert_true(i == 0 || a->hits[i].key >= a->hits[i - 1].key);
        for (uint32_t j = 0; j < i; j++)
            assert_false(docid_equal(&a->hits[i].id, &a->hits[j].id));
        for (uint32_t k = 0; k < all; k++)
            if (t[k].row->lsn == a->hits[i].lsn) {
                assert_true(docid_equal(&t[k].row->id, &a->hits[i].id));
                assert_true(fabsf(t[k].key - a->hits[i].key) <= 0.02f * (1 + fabsf(t[k].key)));
                known = true;
                found += k < a->query.limit;
            }
        assert_true(known);
    }
    wanted = all < a->query.limit ? all : a->query.limit;
    free(t);
    return wanted > 0 ? (double)found / wanted : 1;
}

static double recall_of(struct asking *a, truth_fn *counts, uint32_t most_gets, uint64_t most_bytes)
{
    double sum = 0;

    for (uint32_t n = 0; n < QUERIES; n++) {
        draw_query(a, n);
        assert_int_equal(ask(a), ST_OK);
        assert_false(a->partial);
        assert_true(a->stats.waves <= 1);
        if (a->stats.gets > most_gets || a->stats.bytes > most_bytes)
            fail_msg("query %u: %u GETs, %llu bytes", n, a->stats.gets,
                     (unsigned long long)a->stats.bytes);
        sum += judged(a, counts) / QUERIES;
    }
    return sum;
}

/* --- tests --- */
static void footers_alone_find_what_is_near(void **unused)
{
    struct cold_world w;
    struct asking a;
    struct cold_set *set;

    (void)unused;
    /* A cache that is too small for anything to stay. */
    world_open(&w,
               &(struct cold_world_options){
                   .segments = 1, .rows = 6000, .dim = 40, .seed = seed, .cache_bytes = 250000});
    set = world_set(&w, NULL);
    asking_begin(&a, &w, set);
    assert_true(recall_of(&a, NULL, 16, 5000000) >= 0.95);
    assert_false(a.stats.codes_resident);
    a.field = 1;
    assert_true(recall_of(&a, NULL, 16, 5000000) >= 0.95);
    asking_end(&a);
    cold_set_drop(set);
    world_close(&w);
}

static uint64_t rows_read(struct asking *a, uint32_t limit, uint32_t spare)
{
    uint64_t sum = 0;

    a->query.limit = limit;
    a->query.spare = spare;
    for (uint32_t n = 0; n < QUERIES; n++) {
        draw_query(a, n);
        assert_int_equal(ask(a), ST_OK);
        sum += a->stats.rows_scanned;
    }
    assert_true(a->stats.codes_resident);
    return sum;
}

static void what_is_told_besides_costs_no_reading(void **unused)
{
    struct cold_world w;
    struct asking a;
    struct cold_set *set;
    uint64_t ten;

    (void)unused;
    world_open(&w, &(struct cold_world_options){
                       .segments = 1, .rows = 6000, .dim = 140, .seed = seed, .fields = 1});
    set = world_set(&w, NULL);
    asking_begin(&a, &w, set);
    for (uint32_t n = 0; n < QUERIES; n++) { /* codes come along */
        draw_query(&a, n);
        assert_int_equal(ask(&a), ST_OK);
    }
    ten = rows_read(&a, 10, 0);
    assert_true(rows_read(&a, 40, 0) > ten);
    assert_int_equal(rows_read(&a, 40, 30), ten);
    asking_end(&a);
    cold_set_drop(set);
    world_close(&w);
}

/* Codes come along with the first queries; then they say which rows. */
static void codes_become_resident_and_spare_bytes(void **unused)
{
    struct cold_world w;
    struct asking a;
    struct cold_set *set;
    double recall;

    (void)unused;
    world_open(&w, &(struct cold_world_options){
                       .segments = 1, .rows = 6000, .dim = 140, .seed = seed, .fields = 1});
    set = world_set(&w, NULL);
    asking_begin(&a, &w, set);
    draw_query(&a, 99);
    assert_int_equal(ask(&a), ST_OK);
    assert_false(a.stats.codes_resident);
    assert_true(a.stats.gets <= 18 && a.stats.gets > 0);
    (void)cold_set_unload(set);
    assert_int_equal(ask(&a), ST_OK);
    recall = recall_of(&a, NULL, 16, 1000000);
    assert_true(a.stats.codes_resident);
    assert_true(recall >= 0.95);
    asking_end(&a);
    cold_set_drop(set);
    world_close(&w);
}

/* Room for all codes, but not for as many again beside those that came already. */
static void codes_come_as_far_as_they_fit(void **unused)
{
    struct cold_world w;
    struct asking a;
    struct cold_set *set;
    uint64_t codes = 0;

    (void)unused;
    /* The codes of two segments come with one query. */
    world_open(&w, &(struct cold_world_options){
                       .segments = 3, .rows = 3000, .dim = 100, .seed = seed, .fields = 1});
    for (uint32_t s = 0; s < w.segments; s++)
        codes += (uint64_t)w.rows[s].count *
                 rabitq_code_bytes((struct rabitq_shape){100, cells_short_bits(100)});
    set = world_set(&w, NULL);
    cache_resize(w.cache, cold_set_resident_bytes(set) + codes * 3);
    asking_begin(&a, &w, set);
    for (uint32_t n = 0; n < QUERIES && !a.stats.codes_resident; n++) {
        draw_query(&a, n);
        assert_int_equal(ask(&a), ST_OK);
    }
    assert_true(a.stats.codes_resident);
    for (uint32_t n = 0; n < 2; n++) { /* rows find room, too: the second time they are there */
        draw_query(&a, 99);
        assert_int_equal(ask(&a), ST_OK);
        assert_true(a.stats.codes_resident);
    }
    assert_int_equal(a.stats.gets, 0);
    asking_end(&a);
    cold_set_drop(set);
    world_close(&w);
}

/* Rows that pass by the cache are waited for like others: a GET that does not come is sent again.
 */
static void what_passes_by_the_cache_is_hedged(void **unused)
{
    const struct objstore_fault held = {
        .kind = OBJSTORE_FAULT_DELAY, .ops = 1u << OBJSTORE_GET, .delay_ms = OBJSTORE_FAULT_HOLD};
    struct cold_world w;
    struct asking a;
    struct cold_set *set;
    uint64_t hedges;

    (void)unused;
    world_open(&w,
               &(struct cold_world_options){
                   .segments = 1, .rows = 6000, .dim = 40, .seed = seed, .cache_bytes = 250000});
    set = world_set(&w, NULL);
    asking_begin(&a, &w, set);
    for (uint32_t n = 0; n < 10 * QUERIES; n++) {
        draw_query(&a, n);
        assert_int_equal(ask(&a), ST_OK);
    }
    hedges = w.account.hedges;
    assert_int_equal(objstore_faults_add(w.faults, &held, NULL, NULL), ST_OK);
    a.terms.deadline_ns = clock_mono_ns(clock_real()) + UINT64_C(60000000000);
    assert_int_equal(ask(&a), ST_OK);
    assert_false(a.partial);
    assert_true(w.account.hedges > hedges);
    asking_end(&a);
    cold_set_drop(set);
    world_close(&w);
}

static bool is_even(const struct cold_make_row *row)
{
    return row->id.kind == DOCID_U64 && row->id.u64 % 2 == 0;
}

static bool is_one(const struct cold_make_row *row)
{
    return row->id.kind == DOCID_U64 && row->id.u64 == 1234;
}

struct filtering {
    struct jdoc *json;
    struct arena arena;
    struct filter *filter;
};

static int no_vector(void *arg, struct slice name)
{
    (void)arg;
    (void)name;
    return -1;
}

static void filter_make(struct filtering *f, const char *text)
{
    const struct filter_binding binding = {.vector_of = no_vector};
    struct jval root;

    arena_init(&f->arena, SIZE_MAX);
    assert_int_equal(jdoc_create(&f->json, NULL), ST_OK);
    assert_int_equal(jdoc_parse(f->json, slice_text(text), &root, NULL), ST_OK);
    assert_int_equal(filter_parse_qdrant(root, true, &f->arena, &f->filter, NULL), ST_OK);
    assert_int_equal(filter_bind(f->filter, &binding, &f->arena, NULL), ST_OK);
}

static void filter_free_all(struct filtering *f)
{
    arena_free(&f->arena);
    jdoc_destroy(f->json);
}

static void filters_decide_what_counts(void **unused)
{
    struct cold_world w;
    struct asking a;
    struct filtering even, one, none;
    struct cold_set *set;

    (void)unused;
    world_open(&w,
               &(struct cold_world_options){.segments = 2, .rows = 3000, .dim = 32, .seed = seed});
    set = world_set(&w, NULL);
    asking_begin(&a, &w, set);
    filter_make(&even, "{\"must\":[{\"key\":\"even\",\"match\":{\"value\":true}}]}");
    filter_make(&one, "{\"must\":[{\"key\":\"n\",\"match\":{\"value\":1234}}]}");
    filter_make(&none, "{\"must\":[{\"key\":\"n\",\"match\":{\"value\":77}}]}");
    for (a.field = 0; a.field < 2; a.field++) {
        double sum = 0;

        for (uint32_t n = 0; n < QUERIES; n++) {
            draw_query(&a, n);
            a.query.filter = even.filter;
            assert_int_equal(ask(&a), ST_OK);
            sum += judged(&a, is_even) / QUERIES;
            a.query.filter = one.filter;
            assert_int_equal(ask(&a), ST_OK);
            assert_true(judged(&a, is_one) >= 1);
            a.query.filter = none.filter;
            assert_int_equal(ask(&a), ST_OK);
            assert_int_equal(a.count, 0);
        }
        assert_true(sum >= 0.95);
    }
    filter_free_all(&even);
    filter_free_all(&one);
    filter_free_all(&none);
    asking_end(&a);
    cold_set_drop(set);
    world_close(&w);
}

/* Of several segments, with ids of every kind, some too long for a record, and rows without a
 * vector. */
static void segments_answer_together(void **unused)
{
    struct cold_world w;
    struct asking a;
    struct cold_set *set;

    (void)unused;
    world_open(&w, &(struct cold_world_options){.segments = 4,
                                                .rows = 1600,
                                                .dim = 24,
                                                .seed = seed,
                                                .mixed_ids = true,
                                                .without_vector = 7});
    set = world_set(&w, NULL);
    asking_begin(&a, &w, set);
    for (a.field = 0; a.field < 2; a.field++) {
        double sum = 0;

        for (uint32_t n = 0; n < QUERIES; n++) {
            draw_query(&a, n);
            assert_int_equal(ask(&a), ST_OK);
            assert_true(a.stats.waves <= 2 && a.stats.gets <= 34 + TOP_K * 2 + 16);
            sum += judged(&a, NULL) / QUERIES;
        }
        print_message("recall of four segments: %.3f\n", sum);
        assert_true(sum >= 0.93); /* an id that is twice there counts once */
    }
    asking_end(&a);
    cold_set_drop(set);
    world_close(&w);
}

static void exact_is_right_to_the_last_bit(void **unused)
{
    struct cold_world w;
    struct asking a;
    struct cold_set *set;

    (void)unused;
    world_open(&w, &(struct cold_world_options){
                       .segments = 1, .rows = 2500, .dim = 24, .seed = seed, .mixed_ids = true});
    set = world_set(&w, NULL);
    asking_begin(&a, &w, set);
    a.query.exact = true;
    a.query.limit = 30;
    for (a.field = 0; a.field < 2; a.field++)
        for (uint32_t n = 0; n < 4; n++) {
            uint32_t all;
            struct truth *t;

            draw_query(&a, n);
            assert_int_equal(ask(&a), ST_OK);
            assert_int_equal(a.count, 30);
            t = truths(&a, NULL, &all);
            for (uint32_t i = 0; i < 30; i++) {
                assert_true(t[i].key == a.hits[i].key);
                assert_true(t[i].row->lsn == a.hits[i].lsn);
            }
            free(t);
        }
    asking_end(&a);
    cold_set_drop(set);
    world_close(&w);
}

static bool newer_thirds(void *arg, const struct docid *id, uint64_t lsn)
{
    (void)arg;
    (void)lsn;
    return docid_hash(id) % 3 != 0;
}

/* Two thirds are known newer elsewhere: none of them is told, and what is left is found. */
static void what_is_known_newer_does_not_count(void **unused)
{
    struct cold_world w;
    struct asking a;
    struct cold_set *set;
    double sum = 0;

    (void)unused;
    world_open(&w, &(struct cold_world_options){
                       .segments = 2, .rows = 2000, .dim = 24, .seed = seed, .mixed_ids = true});
    set = world_set(&w, NULL);
    asking_begin(&a, &w, set);
    a.terms.newer = newer_thirds;
    for (uint32_t n = 0; n < QUERIES; n++) {
        draw_query(&a, n);
        a.query.exact = n % 2;
        assert_int_equal(ask(&a), ST_OK);
        sum += judged(&a, NULL) / QUERIES;
    }
    assert_true(sum >= 0.9);
    asking_end(&a);
    cold_set_drop(set);
    world_close(&w);
}

/* All but one in sixteen of those whose ids stand in no record: more are kept than are wanted, and
 * still too few of them count. */
static bool newer_most_long_ones(void *arg, const struct docid *id, uint64_t lsn)
{
    (void)arg;
    (void)lsn;
    return id->kind != DOCID_BYTES || id->bytes.bytes <= COLD_ID_INLINE_MAX ||
           docid_hash(id) % 16 != 0;
}

static void who_comes_short_asks_again_wider(void **unused)
{
    struct cold_world w;
    struct asking a;
    struct cold_set *set;
    uint32_t all;

    (void)unused;
    world_open(
        &w,
        &(struct cold_world_options){
            .segments = 1, .rows = 6000, .dim = 8, .seed = seed, .mixed_ids = true, .fields = 1});
    set = world_set(&w, NULL);
    asking_begin(&a, &w, set);
    a.terms.newer = newer_most_long_ones;
    for (uint32_t n = 0; n < 4; n++) {
        draw_query(&a, n);
        assert_int_equal(ask(&a), ST_OK);
        free(truths(&a, NULL, &all));
        assert_in_range(all, TOP_K, 1000);
        assert_int_equal(a.count, TOP_K);
        assert_true(judged(&a, NULL) >= 0.9);
    }
    asking_end(&a);
    cold_set_drop(set);
    world_close(&w);
}

static void limits_at_their_ends(void **unused)
{
    static const uint32_t limits[] = {0, 1, 50, 300, 5000};
    struct cold_world w;
    struct asking a;
    struct cold_set *set;

    (void)unused;
    world_open(&w,
               &(struct cold_world_options){.segments = 1, .rows = 900, .dim = 16, .seed = seed});
    set = world_set(&w, NULL);
    asking_begin(&a, &w, set);
    for (size_t i = 0; i < COUNT_OF(limits); i++)
        for (int resident = 0; resident < 2; resident++) {
            draw_query(&a, (uint32_t)i);
            a.query.limit = limits[i];
            if (!resident)
                (void)cold_set_unload(set);
            assert_int_equal(ask(&a), ST_OK);
            assert_true(limits[i] == 0 ? a.count == 0 : judged(&a, NULL) >= 0.95);
        }
    a.query.field = 55; /* no segment has it */
    assert_int_equal(ask(&a), ST_OK);
    assert_int_equal(a.count, 0);
    asking_end(&a);
    cold_set_drop(set);
    world_close(&w);
}

/* --- trouble --- */
static struct objstore_fault lost_gets(uint32_t nth)
{
    return (struct objstore_fault){.kind = OBJSTORE_FAULT_REFUSE,
                                   .ops = 1u << OBJSTORE_GET,
                                   .nth = nth,
                                   .times = OBJSTORE_FAULT_FOR_EVER,
                                   .class = OBJSTORE_NOT_FOUND,
                                   .http_status = 404};
}

static void without_the_bucket_the_status_says_so(void **unused)
{
    struct objstore_fault outage = objstore_fault_outage();
    struct cold_world w;
    struct asking a;
    struct cold_set *set;

    (void)unused;
    world_open(&w,
               &(struct cold_world_options){.segments = 1, .rows = 2000, .dim = 24, .seed = seed});
    set = world_set(&w, NULL);
    asking_begin(&a, &w, set);
    draw_query(&a, 1);
    assert_int_equal(objstore_faults_add(w.faults, &outage, NULL, NULL), ST_OK);
    a.terms.deadline_ns = clock_mono_ns(clock_real()) + 300000000;
    assert_true(status_is_transient(ask(&a)));
    a.query.exact = true;
    a.terms.deadline_ns = clock_mono_ns(clock_real()) + 300000000;
    assert_true(status_is_transient(ask(&a)));
    objstore_faults_clear(w.faults);
    a.terms.deadline_ns = 0;
    for (uint64_t from = clock_mono_ns(clock_real()); ask(&a) != ST_OK;) /* the breaker waits */
        assert_true(clock_mono_ns(clock_real()) - from < UINT64_C(30000000000));
    asking_end(&a);
    cold_set_drop(set);
    world_close(&w);
}

/* What was read counts, the answer is partial. */
static void what_cannot_be_read_makes_an_answer_partial(void **unused)
{
    struct cold_world w;
    struct asking a;
    struct cold_set *set;

    (void)unused;
    world_open(&w, &(struct cold_world_options){
                       .segments = 2, .rows = 5000, .dim = 40, .seed = seed, .fields = 1});
    set = world_set(&w, NULL);
    asking_begin(&a, &w, set);
    for (int exact = 0; exact < 2; exact++) {
        struct objstore_fault fault = lost_gets(exact ? 3 : 2);

        draw_query(&a, 3);
        a.query.exact = exact;
        (void)cold_set_unload(set);
        assert_int_equal(objstore_faults_add(w.faults, &fault, NULL, NULL), ST_OK);
        assert_int_equal(ask(&a), ST_OK);
        assert_true(a.partial);
        assert_true(a.count > 0);
        (void)judged(&a, NULL);
        objstore_faults_clear(w.faults);
        assert_int_equal(ask(&a), ST_OK);
        assert_false(a.partial);
    }
    asking_end(&a);
    cold_set_drop(set);
    world_close(&w);
}

/* A GET that hangs: at the deadline what the others brought is told. */
static void a_deadline_makes_an_answer_partial(void **unused)
{
    struct cold_world w;
    struct asking a;
    struct cold_set *set;
    struct objstore_fault hang = {.kind = OBJSTORE_FAULT_DELAY,
                                  .ops = 1u << OBJSTORE_GET,
                                  .nth = 2,
                                  .times = OBJSTORE_FAULT_FOR_EVER,
                                  .delay_ms = OBJSTORE_FAULT_HOLD};

    (void)unused;
    world_open(&w, &(struct cold_world_options){
                       .segments = 2, .rows = 5000, .dim = 40, .seed = seed, .fields = 1});
    set = world_set(&w, NULL);
    asking_begin(&a, &w, set);
    draw_query(&a, 3);
    assert_int_equal(objstore_faults_add(w.faults, &hang, NULL, NULL), ST_OK);
    /* Long enough for the first GET on a machine that is busy. */
    a.terms.deadline_ns = clock_mono_ns(clock_real()) + UINT64_C(1500000000);
    assert_int_equal(ask(&a), ST_OK);
    assert_true(a.partial);
    assert_true(a.count > 0);
    (void)judged(&a, NULL);
    objstore_faults_clear(w.faults);
    (void)objstore_faults_release(w.faults);
    asking_end(&a);
    cold_set_drop(set);
    world_close(&w);
}

/* One segment's payload hangs: the other's rows are told, in time. */
static void a_filter_that_is_late_leaves_time_to_read(void **unused)
{
    struct cold_world w;
    struct asking a;
    struct cold_set *set;
    struct filtering even;
    char part[64] = "";
    struct objstore_fault hang = {.kind = OBJSTORE_FAULT_DELAY,
                                  .ops = 1u << OBJSTORE_GET,
                                  .nth = 1,
                                  .times = OBJSTORE_FAULT_FOR_EVER,
                                  .delay_ms = OBJSTORE_FAULT_HOLD};

    (void)unused;
    world_open(&w, &(struct cold_world_options){
                       .segments = 2, .rows = 2000, .dim = 24, .seed = seed, .fields = 1});
    set = world_set(&w, NULL);
    asking_begin(&a, &w, set);
    filter_make(&even, "{\"must\":[{\"key\":\"even\",\"match\":{\"value\":true}}]}");
    draw_query(&a, 3);
    uuid_format(w.manifest.colds[1].object.uuid, part);
    hang.key_part = part;
    assert_int_equal(objstore_faults_add(w.faults, &hang, NULL, NULL), ST_OK);
    a.query.filter = even.filter;
    a.terms.deadline_ns = clock_mono_ns(clock_real()) + UINT64_C(2500000000);
    assert_int_equal(ask(&a), ST_OK);
    assert_true(a.partial);
    assert_true(a.count > 0);
    (void)judged(&a, is_even);
    objstore_faults_clear(w.faults);
    (void)objstore_faults_release(w.faults);
    filter_free_all(&even);
    asking_end(&a);
    cold_set_drop(set);
    world_close(&w);
}

static void a_stop_ends_a_query(void **unused)
{
    struct cold_world w;
    struct asking a;
    struct cold_set *set;
    _Atomic bool stop = true;

    (void)unused;
    world_open(&w,
               &(struct cold_world_options){.segments = 1, .rows = 500, .dim = 8, .seed = seed});
    set = world_set(&w, NULL);
    asking_begin(&a, &w, set);
    draw_query(&a, 1);
    a.terms.stop = &stop;
    assert_true(ask(&a) != ST_OK);
    asking_end(&a);
    cold_set_drop(set);
    world_close(&w);
}

static status ask_once(void *arg)
{
    struct asking *a = arg;

    (void)cold_set_unload(a->set);
    return ask(a);
}

static status ask_again(void *arg)
{
    return ask(arg);
}

static void lost_memory_is_said(void **unused)
{
    struct cold_world w;
    struct asking a;
    struct cold_set *set;

    (void)unused;
    world_open(&w, &(struct cold_world_options){
                       .segments = 2, .rows = 300, .dim = 8, .seed = seed, .mixed_ids = true});
    set = world_set(&w, NULL);
    asking_begin(&a, &w, set);
    draw_query(&a, 1);
    assert_true(alloc_sweep(ask_once, &a) > 20);
    assert_int_equal(ask(&a), ST_OK);
    assert_true(alloc_sweep(ask_again, &a) > 20); /* with codes resident */
    assert_true(a.stats.codes_resident);
    a.query.exact = true;
    assert_true(alloc_sweep(ask_once, &a) > 5);
    asking_end(&a);
    cold_set_drop(set);
    world_close(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(footers_alone_find_what_is_near),
        cmocka_unit_test(what_is_told_besides_costs_no_reading),
        cmocka_unit_test(codes_become_resident_and_spare_bytes),
        cmocka_unit_test(codes_come_as_far_as_they_fit),
        cmocka_unit_test(what_passes_by_the_cache_is_hedged),
        cmocka_unit_test(filters_decide_what_counts),
        cmocka_unit_test(segments_answer_together),
        cmocka_unit_test(exact_is_right_to_the_last_bit),
        cmocka_unit_test(what_is_known_newer_does_not_count),
        cmocka_unit_test(who_comes_short_asks_again_wider),
        cmocka_unit_test(limits_at_their_ends),
        cmocka_unit_test(without_the_bucket_the_status_says_so),
        cmocka_unit_test(what_cannot_be_read_makes_an_answer_partial),
        cmocka_unit_test(a_deadline_makes_an_answer_partial),
        cmocka_unit_test(a_filter_that_is_late_leaves_time_to_read),
        cmocka_unit_test(a_stop_ends_a_query),
        cmocka_unit_test(lost_memory_is_said),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed %llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
