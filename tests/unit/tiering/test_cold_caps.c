/* What a query asks of the bucket, all of it together: never more than its caps, and nothing for
 * what is in the cache. GETs and bytes as the bucket sees them. */
#include "tests/unit/tiering/cold_world.h"
#include "tiering/cold_query_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TOP_K = 10, QUERIES = 10 };

static uint64_t seed = 31;

struct asking {
    struct cold_world *w;
    struct cold_set *set;
    struct cold_query query;
    struct arena arena;
    struct cold_row rows[64];
    uint32_t count;
    struct cold_stats stats;
    struct cache_budget left;
    uint64_t gets, bytes; /* of the last */
    float vector[160];
};

static void asking_begin(struct asking *a, struct cold_world *w)
{
    *a = (struct asking){.w = w, .set = world_set(w, NULL)};
    arena_init(&a->arena, SIZE_MAX);
    a->query = (struct cold_query){.limit = TOP_K, .rest = TOP_K};
}

static void asking_end(struct asking *a)
{
    arena_free(&a->arena);
    cold_set_drop(a->set);
}

static void draw(struct asking *a, uint32_t number)
{
    const struct catalog_field *field = &a->w->fields[0];
    const struct cold_rows *rows = &a->w->rows[0];
    struct rand_seeded r;
    const float *from;

    rand_seeded_init(&r, seed + number);
    from = rows->rows[rand_below(&r.source, rows->count)].vectors[0];
    for (uint32_t d = 0; d < field->dim; d++)
        a->vector[d] = from[d] + 0.02f * ((float)rand_below(&r.source, 2001) / 1000.0f - 1);
    if (field->metric == VMETRIC_COSINE)
        (void)vindex_normalise(a->vector, field->dim);
    a->query.field = field->id;
    a->query.vector = a->vector;
}

/* A query, and what is told of its winners. */
static void ask(struct asking *a, uint32_t number)
{
    uint64_t gets = world_gets(a->w), bytes = a->w->get_bytes;
    struct cold_terms terms = world_terms();
    struct cold_hit *hits;
    bool partial = true;

    draw(a, number);
    arena_reset(&a->arena);
    a->stats = (struct cold_stats){0};
    a->left = cold_no_budget();
    terms.budget = &a->left;
    assert_int_equal(cold_set_query(a->set, &a->query, &terms, &a->arena, &hits, &a->count,
                                    &partial, &a->stats, NULL),
                     ST_OK);
    assert_false(partial);
    assert_in_range(a->count, 1, COUNT_OF(a->rows));
    for (uint32_t i = 0; i < a->count; i++)
        a->rows[i] = (struct cold_row){.id = hits[i].id,
                                       .lsn = hits[i].lsn,
                                       .segment = hits[i].segment,
                                       .ordinal = hits[i].ordinal};
    assert_int_equal(cold_set_rows_at(a->set, a->rows, a->count, COLD_PAYLOAD, 0, &terms, &a->arena,
                                      &a->stats, NULL),
                     ST_OK);
    for (uint32_t i = 0; i < a->count; i++)
        world_check_row(a->w, &a->rows[i], COLD_PAYLOAD, 0);
    a->gets = world_gets(a->w) - gets;
    a->bytes = a->w->get_bytes - bytes;
}

static void within(const struct asking *a, const char *how, uint64_t gets, uint64_t bytes)
{
    if (a->gets > gets || a->bytes > bytes)
        fail_msg("%s: %llu GETs, %llu bytes", how, (unsigned long long)a->gets,
                 (unsigned long long)a->bytes);
}

/* Of sets of any size, without one: ranges, and what is kept for the rest, are within all that a
 * query may ask; and all is within what is promised of the usual ones. */
static void the_parts_of_a_budget_sum_up_to_what_is_promised(void **unused)
{
    static const uint64_t rows[] = {30, 50000, 50001, 1000000, 100000000};
    static const uint32_t limits[] = {1, 10, 11, 100, 10000};
    static const float recalls[] = {0, 0.95f, 0.97f, 0.99f};

    (void)unused;
    for (unsigned n = 0; n < COUNT_OF(rows) * COUNT_OF(limits) * COUNT_OF(recalls) * 24; n++) {
        const uint32_t limit = limits[n / 24 % COUNT_OF(limits)];
        const bool codes = n % 2 != 0, filtered = n / 2 % 2 != 0;
        struct cold_selection selection = {0};
        struct cold_part part = {.selection = filtered ? &selection : NULL};
        struct cold_terms terms = {0};
        const struct cold_query query = {
            .limit = limit + 6,
            .spare = 6,
            .rest = n / 4 % 3 == 0   ? 0
                    : n / 4 % 3 == 1 ? 2
                                     : limit,
            .recall = recalls[n / 24 / COUNT_OF(limits) % COUNT_OF(recalls)]};
        struct cold_run r = {
            .query = &query,
            .terms = &terms,
            .parts = &part,
            .part_count = n / 12 % 2 != 0 ? 4 : 1,
            .rows = rows[n / 24 / COUNT_OF(limits) / COUNT_OF(recalls) % COUNT_OF(rows)],
            .wider = 1};
        struct cold_caps caps = codes ? cold_code_caps(&r) : cold_footer_caps(&r);
        const struct cache_budget all = caps.all;
        const bool few = codes && !filtered;

        cold_run_limit(&r, &caps);
        assert_true(r.budget.gets + r.kept.gets <= all.gets);
        assert_true(r.budget.bytes + r.kept.bytes <= all.bytes);
        assert_true(caps.gets > 0 && caps.gets <= r.budget.gets);
        assert_true(caps.bytes > 0 && caps.bytes <= r.budget.bytes);
        if (limit > TOP_K || query.recall > 0.95f)
            continue;
        assert_in_range(all.gets, 1, few ? 16 : 32);
        assert_in_range(all.bytes, 1, few ? 1000000 : 10000000);
    }
}

/* Cold, with codes that come along; while the cache fills, so that ranges have holes; with codes
 * resident; of one segment and of several. */
static void no_query_asks_for_more_than_its_caps(void **unused)
{
    (void)unused;
    for (uint32_t segments = 1; segments <= 4; segments += 3) {
        struct cold_world w;
        struct asking a;

        world_open(&w,
                   &(struct cold_world_options){
                       .segments = segments, .rows = 3000, .dim = 140, .seed = seed, .fields = 1});
        asking_begin(&a, &w);
        for (uint32_t n = 0; n < QUERIES; n++) {
            (void)cold_set_unload(a.set);
            ask(&a, n);
            assert_false(a.stats.codes_resident);
            assert_true(a.gets > 0);
            within(&a, "cold", 32, 10000000);
        }
        for (uint32_t n = 0; n < QUERIES; n++) {
            ask(&a, 100 + n);
            if (a.stats.codes_resident)
                within(&a, "codes resident", 16, 1000000);
            else
                within(&a, "while codes come", 32, 10000000);
        }
        assert_true(a.stats.codes_resident);
        asking_end(&a);
        world_close(&w);
    }
}

static void what_is_in_the_cache_costs_nothing(void **unused)
{
    struct cold_terms terms = world_terms();
    struct cold_world w;
    struct asking a;
    uint64_t bytes;

    (void)unused;
    world_open(&w, &(struct cold_world_options){
                       .segments = 2, .rows = 4000, .dim = 40, .seed = seed, .fields = 1});
    asking_begin(&a, &w);
    assert_int_equal(cold_set_warm(a.set, &terms, &bytes, NULL), ST_OK);
    for (uint32_t n = 0; n < QUERIES; n++)
        ask(&a, n); /* payload is not warmed */
    for (uint32_t n = 0; n < QUERIES; n++) {
        ask(&a, n);
        assert_int_equal(a.gets, 0);
        assert_int_equal(a.stats.waves, 0);
        assert_true(a.stats.codes_resident);
    }
    asking_end(&a);
    world_close(&w);
}

/* Asked again, a query stays within what the first left; here nothing is left at all. */
static void who_asks_again_takes_from_what_is_left(void **unused)
{
    struct cold_terms terms = world_terms();
    struct cache_budget left = {0, 0};
    struct cold_world w;
    struct asking a;
    struct cold_hit *hits;
    bool partial;
    uint64_t gets;

    (void)unused;
    world_open(&w, &(struct cold_world_options){
                       .segments = 1, .rows = 4000, .dim = 40, .seed = seed, .fields = 1});
    asking_begin(&a, &w);
    ask(&a, 1);
    gets = world_gets(&w);
    terms.budget = &left;
    assert_int_equal(cold_set_query(a.set, &a.query, &terms, &a.arena, &hits, &a.count, &partial,
                                    &a.stats, NULL),
                     ST_OK);
    assert_int_equal(a.count, TOP_K); /* what the first brought is there */
    assert_int_equal(world_gets(&w), gets);
    asking_end(&a);
    world_close(&w);
}

/* Rows all over a segment: as few GETs as are left, as long as the bytes between are, too. */
static void the_rest_is_read_in_the_gets_that_are_left(void **unused)
{
    struct cold_terms terms = world_terms();
    struct cache_budget left;
    struct cold_stats stats;
    struct cold_row rows[20];
    struct cold_world w;
    struct asking a;
    const struct {
        struct cache_budget left;
        uint32_t gets_most, gets_least;
    } cases[] = {
        {{2, 100000000}, 2, 1},
        {{5, 100000000}, 5, 1},
        {{2, 0}, 20, 3}, /* nothing may be read over: what is wanted comes all the same */
    };

    (void)unused;
    world_open(&w, &(struct cold_world_options){
                       .segments = 1, .rows = 30000, .dim = 8, .seed = seed, .fields = 1});
    asking_begin(&a, &w);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t gets = world_gets(&w);
        struct cold_row all[COUNT_OF(rows) * 64];
        uint32_t count;

        arena_reset(&a.arena);
        assert_int_equal(
            cold_set_page(a.set, NULL, COUNT_OF(all), &terms, &a.arena, all, &count, NULL), ST_OK);
        assert_int_equal(count, COUNT_OF(all));
        for (uint32_t k = 0; k < COUNT_OF(rows); k++)
            rows[k] = all[k * 64]; /* ids go across the cells */
        (void)cold_set_unload(a.set);
        gets = world_gets(&w);
        left = cases[i].left;
        terms.budget = &left;
        stats = (struct cold_stats){0};
        assert_int_equal(cold_set_rows_at(a.set, rows, COUNT_OF(rows), COLD_PAYLOAD, 0, &terms,
                                          &a.arena, &stats, NULL),
                         ST_OK);
        terms.budget = NULL;
        for (uint32_t k = 0; k < COUNT_OF(rows); k++)
            world_check_row(&w, &rows[k], COLD_PAYLOAD, 0);
        assert_int_equal(stats.waves, 1);
        assert_in_range(world_gets(&w) - gets, cases[i].gets_least, cases[i].gets_most);
    }
    asking_end(&a);
    world_close(&w);
}

/* They lie beside the payload; a segment whose footer says that it has none is not asked. */
static void external_ids_that_no_row_has_cost_nothing(void **unused)
{
    (void)unused;
    for (int none = 0; none < 2; none++) {
        struct cold_terms terms = world_terms();
        struct cold_stats stats = {0};
        struct cold_world w;
        struct asking a;
        uint64_t gets;

        world_open(&w, &(struct cold_world_options){.segments = 2,
                                                    .rows = 3000,
                                                    .dim = 40,
                                                    .seed = seed,
                                                    .fields = 1,
                                                    .no_external_ids = none});
        asking_begin(&a, &w);
        assert_int_equal(cold_set_external_ids(a.set), !none);
        ask(&a, 1);
        (void)cold_set_unload(a.set);
        gets = world_gets(&w);
        assert_int_equal(cold_set_rows_at(a.set, a.rows, a.count, COLD_EXTERNAL_ID, 0, &terms,
                                          &a.arena, &stats, NULL),
                         ST_OK);
        for (uint32_t i = 0; i < a.count; i++) {
            const struct cold_make_row *from = world_newest(&w, &a.rows[i].id, NULL, NULL);

            assert_true(a.rows[i].found);
            assert_true(slice_equal(a.rows[i].external_id, from->external_id));
        }
        assert_int_equal(world_gets(&w) > gets, !none);
        assert_int_equal(stats.waves, !none);
        asking_end(&a);
        world_close(&w);
    }
}

/* Where they lie a query has found: no payload has to be read first. */
static void vectors_of_the_field_that_was_asked_come_with_the_payload(void **unused)
{
    struct cold_terms terms = world_terms();
    struct cold_stats stats = {0};
    struct cold_world w;
    struct asking a;
    struct cold_hit *hits;
    bool partial;

    (void)unused;
    world_open(&w,
               &(struct cold_world_options){.segments = 2, .rows = 2000, .dim = 40, .seed = seed});
    asking_begin(&a, &w);
    draw(&a, 5);
    a.query.field = w.fields[1].id;
    assert_int_equal(
        cold_set_query(a.set, &a.query, &terms, &a.arena, &hits, &a.count, &partial, &stats, NULL),
        ST_OK);
    assert_int_equal(a.count, TOP_K);
    for (int placed = 0; placed < 2; placed++) {
        stats = (struct cold_stats){0};
        (void)cold_set_unload(a.set);
        for (uint32_t i = 0; i < a.count; i++)
            a.rows[i] = (struct cold_row){.id = hits[i].id,
                                          .lsn = hits[i].lsn,
                                          .segment = hits[i].segment,
                                          .ordinal = hits[i].ordinal,
                                          .placed = placed,
                                          .field = w.fields[1].id,
                                          .position = hits[i].position};
        assert_int_equal(cold_set_rows_at(a.set, a.rows, a.count, COLD_PAYLOAD, 3, &terms, &a.arena,
                                          &stats, NULL),
                         ST_OK);
        for (uint32_t i = 0; i < a.count; i++)
            world_check_row(&w, &a.rows[i], COLD_PAYLOAD, 3);
        assert_int_equal(stats.waves, placed ? 1 : 2);
    }
    asking_end(&a);
    world_close(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_parts_of_a_budget_sum_up_to_what_is_promised),
        cmocka_unit_test(no_query_asks_for_more_than_its_caps),
        cmocka_unit_test(what_is_in_the_cache_costs_nothing),
        cmocka_unit_test(who_asks_again_takes_from_what_is_left),
        cmocka_unit_test(the_rest_is_read_in_the_gets_that_are_left),
        cmocka_unit_test(external_ids_that_no_row_has_cost_nothing),
        cmocka_unit_test(vectors_of_the_field_that_was_asked_come_with_the_payload),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed %llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
