/* Scans of a cold set, and what filters let through: each row once, past the cache, remembered.
 * test_cold_scan [seed]. */
#include "tests/unit/tiering/cold_world.h"

#include "base/mem.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t base_seed = 97;

static struct cold_world_options small(void)
{
    return (struct cold_world_options){.segments = 3,
                                       .rows = 600,
                                       .dim = 24,
                                       .seed = base_seed,
                                       .mixed_ids = true,
                                       .without_vector = 9};
}

struct asked {
    struct jdoc *json;
    struct arena arena;
    struct filter *filter;
};

static int vector_of(void *arg, struct slice name)
{
    (void)arg;
    return slice_equal(name, slice_text("b")) ? 1 : -1;
}

static const struct filter *ask(struct asked *a, const char *text, bool native)
{
    const struct filter_binding binding = {.vector_of = vector_of};
    struct jval root;
    struct err err = {0};

    arena_init(&a->arena, SIZE_MAX);
    assert_int_equal(jdoc_create(&a->json, NULL), ST_OK);
    assert_int_equal(jdoc_parse(a->json, slice_text(text), &root, NULL), ST_OK);
    if ((native ? filter_parse_native(root, true, &a->arena, &a->filter, &err)
                : filter_parse_qdrant(root, true, &a->arena, &a->filter, &err)) != ST_OK)
        fail_msg("%s", err.text);
    assert_int_equal(filter_bind(a->filter, &binding, &a->arena, NULL), ST_OK);
    return a->filter;
}

static void asked_free(struct asked *a)
{
    arena_free(&a->arena);
    jdoc_destroy(a->json);
}

struct told {
    struct cold_world *w;
    unsigned what;
    uint64_t vectors;
    size_t count, stop_at;
    uint64_t lsn_sum;
};

static status tell(void *arg, const struct cold_row *row, struct err *err)
{
    struct told *t = arg;

    world_check_row(t->w, row, t->what, t->vectors);
    t->lsn_sum += row->lsn;
    return ++t->count == t->stop_at ? err_set(err, ST_LIMIT, "enough") : ST_OK;
}

/* Rows that are not dead; two of an id count as two here. */
static size_t alive(const struct cold_world *w, uint64_t *lsn_sum,
                    bool (*matches)(const struct cold_make_row *row))
{
    size_t count = 0;

    *lsn_sum = 0;
    for (uint32_t s = 0; s < w->segments; s++)
        for (uint32_t i = 0; i < w->rows[s].count; i++) {
            if (world_is_dead(w, s, i) || (matches != NULL && !matches(&w->rows[s].rows[i])))
                continue;
            *lsn_sum += w->rows[s].rows[i].lsn;
            count++;
        }
    return count;
}

static bool has_second(const struct cold_make_row *row)
{
    return row->vectors[1] != NULL;
}

static void each_row_comes_once_and_nothing_is_kept(void **state)
{
    static const struct {
        unsigned what;
        uint64_t vectors;
    } asked[] = {{0, 0}, {COLD_PAYLOAD, 0}, {0, 1}, {COLD_PAYLOAD, 3}, {COLD_PAYLOAD, 3}};
    struct cold_world_options o = small();
    struct cold_terms terms = world_terms();
    struct cache_status before = {.blocks = 3}, now; /* the footers */
    struct cold_world w;
    struct cold_set *set;
    struct err err = {0};
    uint64_t lsn_sum;
    size_t count;

    (void)state;
    world_open(&w, &o);
    set = world_set(&w, NULL);
    count = alive(&w, &lsn_sum, NULL);
    for (size_t i = 0; i < COUNT_OF(asked); i++) {
        struct told told = {.w = &w, .what = asked[i].what, .vectors = asked[i].vectors};
        struct cold_stats stats = {0};

        if (cold_set_each(set, NULL, asked[i].what, asked[i].vectors, &terms, tell, &told, &stats,
                          &err) != ST_OK)
            fail_msg("%s", err.text);
        assert_int_equal(told.count, count);
        assert_int_equal(told.lsn_sum, lsn_sum);
        cache_status(w.cache, &now);
        assert_int_equal(now.blocks, before.blocks);
        if (i == COUNT_OF(asked) - 1) /* tables have grown by then */
            assert_int_equal(now.bytes, before.bytes);
        before = now;
        print_message("all %zu rows, vectors %" PRIu64 ": %u GETs, %" PRIu64 " bytes\n", count,
                      asked[i].vectors, stats.gets, stats.bytes);
    }
    assert_int_equal(w.account.misses, 3); /* the footers; scans are not counted */
    cold_set_drop(set);
    world_close(&w);
}

static void a_filter_is_asked_of_each(void **state)
{
    struct cold_world_options o = small();
    struct cold_terms terms = world_terms();
    struct told told = {0};
    struct asked asked;
    struct cold_world w;
    struct cold_set *set;
    uint64_t lsn_sum;
    size_t count;

    (void)state;
    world_open(&w, &o);
    set = world_set(&w, NULL);
    told = (struct told){.w = &w, .what = COLD_PAYLOAD, .vectors = 2};
    count = alive(&w, &lsn_sum, has_second);
    assert_int_equal(cold_set_each(set, ask(&asked, "{\"must\":[{\"has_vector\":\"b\"}]}", false),
                                   COLD_PAYLOAD, 2, &terms, tell, &told, NULL, NULL),
                     ST_OK);
    assert_int_equal(told.count, count);
    assert_int_equal(told.lsn_sum, lsn_sum);
    asked_free(&asked);
    cold_set_drop(set);
    world_close(&w);
}

static void who_is_told_may_end_it(void **state)
{
    struct cold_world_options o = small();
    struct cold_terms terms = world_terms();
    struct cold_world w;
    struct cold_set *set;

    (void)state;
    world_open(&w, &o);
    set = world_set(&w, NULL);
    for (uint64_t vectors = 0; vectors < 2; vectors++) {
        struct told told = {.w = &w, .vectors = vectors, .stop_at = 10};

        assert_int_equal(cold_set_each(set, NULL, 0, vectors, &terms, tell, &told, NULL, NULL),
                         ST_LIMIT);
        assert_int_equal(told.count, 10);
    }
    cold_set_drop(set);
    world_close(&w);
}

/* --- selections --- */

static uint32_t count_bits(const struct cold_selection *s)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < s->rows; i++)
        count += cold_selection_has(s, i);
    return count;
}

static void what_a_filter_lets_through_is_remembered(void **state)
{
    struct cold_world_options o = small();
    struct cold_terms terms = world_terms();
    struct cold_selection *selection = NULL, *again = NULL;
    struct cold_stats stats = {0};
    struct cache_status before, now;
    struct asked first, second;
    struct cold_world w;
    struct cold_set *set;
    uint64_t gets;

    (void)state;
    world_open(&w, &o);
    set = world_set(&w, NULL);
    cache_status(w.cache, &before);
    for (uint32_t m = 0; m < 3; m++) {
        assert_int_equal(cold_select(set, m, ask(&first, "{\"word\":\"w3\"}", true), &terms, &stats,
                                     &selection, NULL),
                         ST_OK);
        assert_true(selection->whole);
        assert_int_equal(count_bits(selection), selection->matched);
        for (uint32_t i = 0; i < w.rows[m].count; i++)
            assert_int_equal(
                cold_selection_has(selection, w.ordinals[m][i]),
                (1000 + (m > 0 ? w.rows[0].count / 2 : 0) + (m > 1 ? w.rows[1].count / 2 : 0) + i) %
                        17 ==
                    3);
        gets = world_gets(&w);
        assert_int_equal(cold_select(set, m, ask(&second, "{\"word\":{\"$eq\":\"w3\"}}", true),
                                     &terms, &stats, &again, NULL),
                         ST_OK);
        assert_ptr_equal(selection, again);
        assert_int_equal(world_gets(&w), gets);
        cold_selection_drop(selection);
        cold_selection_drop(again);
        asked_free(&first);
        asked_free(&second);
    }
    assert_int_equal(stats.filter_rows, w.rows[0].count + w.rows[1].count + w.rows[2].count);
    /* A few are remembered; memory is counted, and goes with the set. */
    for (unsigned i = 0; i < 12; i++) {
        char text[32];

        (void)snprintf(text, sizeof text, "{\"n\":%u}", i);
        assert_int_equal(
            cold_select(set, 0, ask(&first, text, true), &terms, NULL, &selection, NULL), ST_OK);
        cold_selection_drop(selection);
        asked_free(&first);
    }
    cache_status(w.cache, &now);
    assert_in_range(now.bytes - before.bytes, 1,
                    6 * (sizeof(struct cold_selection) + w.rows[0].count / 8 + 8));
    cold_set_drop(set);
    cache_status(w.cache, &now);
    assert_int_equal(now.pinned_bytes, 0);
    world_close(&w);
}

static void filters_that_differ_have_keys_that_differ(void **state)
{
    static const char *const texts[] = {
        "{\"a\":1}",
        "{\"a\":1.0}",
        "{\"a\":\"1\"}",
        "{\"b\":1}",
        "{\"a\":{\"$lt\":1}}",
        "{\"a\":{\"$lte\":1}}",
        "{\"a\":{\"$gt\":1}}",
        "{\"a\":{\"$in\":[1,2]}}",
        "{\"a\":{\"$in\":[1,3]}}",
        "{\"$or\":[{\"a\":1},{\"b\":1}]}",
        "{\"$and\":[{\"a\":1},{\"b\":1}]}",
        "{\"$not\":{\"a\":1}}",
        "{\"a\":{\"$exists\":true}}",
    };
    uint64_t keys[COUNT_OF(texts)][2], again[2];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct asked asked;

        assert_int_equal(cold_filter_key(ask(&asked, texts[i], true), keys[i], NULL), ST_OK);
        asked_free(&asked);
        assert_int_equal(cold_filter_key(ask(&asked, texts[i], true), again, NULL), ST_OK);
        asked_free(&asked);
        assert_memory_equal(keys[i], again, sizeof again);
        for (size_t k = 0; k < i; k++)
            if (i != 1 || k != 0) /* 1 is 1.0 there */
                assert_memory_not_equal(keys[i], keys[k], sizeof again);
    }
}

/* The deadline comes in the middle: what is done is told, and not remembered as all. */
static void a_selection_cut_short_says_so(void **state)
{
    struct cold_world_options o = small();
    struct cold_terms terms = world_terms();
    struct cold_selection *selection = NULL;
    struct asked asked;
    struct cold_world w;
    struct cold_set *set;

    (void)state;
    world_open(&w, &o);
    set = world_set(&w, NULL);
    assert_int_equal(objstore_faults_add(w.faults,
                                         &(struct objstore_fault){.kind = OBJSTORE_FAULT_DELAY,
                                                                  .delay_ms = OBJSTORE_FAULT_HOLD,
                                                                  .times = OBJSTORE_FAULT_FOR_EVER},
                                         NULL, NULL),
                     ST_OK);
    terms.deadline_ns = clock_mono_ns(clock_real()) + 20000000;
    assert_int_equal(
        cold_select(set, 0, ask(&asked, "{\"n\":5}", true), &terms, NULL, &selection, NULL),
        ST_TIMEOUT);
    objstore_faults_clear(w.faults);
    (void)objstore_faults_release(w.faults);
    terms.deadline_ns = 0;
    assert_int_equal(cold_select(set, 0, asked.filter, &terms, NULL, &selection, NULL), ST_OK);
    assert_true(selection->whole);
    cold_selection_drop(selection);
    asked_free(&asked);
    cold_set_drop(set);
    world_close(&w);
}

/* --- when things go wrong --- */

/* A bit of the second segment's object. */
static void flip(struct cold_world *w, uint64_t offset)
{
    char key[OBJKEY_BYTES];
    struct objstore_req get = {.op = OBJSTORE_GET, .key = key};

    objkey_data(w->collection, w->manifest.colds[1].object.uuid, key);
    assert_int_equal(objstore_wait(w->memory, &get, NULL), ST_OK);
    get.result.body.data[offset] ^= 0x10;
    assert_int_equal(cold_make_put(w->memory, w->collection, w->manifest.colds[1].object.uuid,
                                   buf_slice(&get.result.body), NULL),
                     ST_OK);
    objstore_result_fini(&get.result);
}

static void damage_on_the_way_is_mended_and_in_the_object_told(void **state)
{
    struct cold_world_options o = small();
    struct cold_terms terms = world_terms();
    struct told told = {0};
    struct cold_world w;
    struct cold_set *set;
    struct err err = {0};
    uint64_t lsn_sum;
    size_t count;

    (void)state;
    world_open(&w, &o);
    set = world_set(&w, NULL);
    count = alive(&w, &lsn_sum, NULL);
    assert_int_equal(
        objstore_faults_add(w.faults,
                            &(struct objstore_fault){.kind = OBJSTORE_FAULT_CORRUPT, .times = 1},
                            NULL, NULL),
        ST_OK);
    told = (struct told){.w = &w, .what = COLD_PAYLOAD, .vectors = 1};
    assert_int_equal(cold_set_each(set, NULL, COLD_PAYLOAD, 1, &terms, tell, &told, NULL, NULL),
                     ST_OK);
    assert_int_equal(told.count, count);
    flip(&w, set->members[1].segment->footer.payload_at + 40);
    told = (struct told){.w = &w, .what = COLD_PAYLOAD, .vectors = 1};
    assert_int_equal(cold_set_each(set, NULL, COLD_PAYLOAD, 1, &terms, tell, &told, NULL, &err),
                     ST_CORRUPT);
    assert_non_null(strstr(err.text, "cold segment"));
    cold_set_drop(set);
    world_close(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_comes_once_and_nothing_is_kept),
        cmocka_unit_test(a_filter_is_asked_of_each),
        cmocka_unit_test(who_is_told_may_end_it),
        cmocka_unit_test(what_a_filter_lets_through_is_remembered),
        cmocka_unit_test(filters_that_differ_have_keys_that_differ),
        cmocka_unit_test(a_selection_cut_short_says_so),
        cmocka_unit_test(damage_on_the_way_is_mended_and_in_the_object_told),
    };

    if (argc > 1)
        base_seed = strtoull(argv[1], NULL, 0);
    print_message("seed %" PRIu64 "\n", base_seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
