/* Opening sets, and documents out of them: all that was drawn, by every way to it, in as many waves
 * as the contract says. test_cold_set [seed]. */
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

static uint64_t base_seed = 41;

static struct cold_world_options small(void)
{
    return (struct cold_world_options){.segments = 3,
                                       .rows = 600,
                                       .dim = 24,
                                       .seed = base_seed,
                                       .mixed_ids = true,
                                       .without_vector = 9};
}

static void a_set_opens_in_one_wave_and_shares_what_stays(void **state)
{
    struct cold_world_options o = small();
    struct cold_set *first, *second, *third;
    struct cache_status now;
    struct cold_world w;
    size_t alive;
    uint64_t resident;

    (void)state;
    world_open(&w, &o);
    first = world_set(&w, NULL);
    assert_int_equal(world_gets(&w), 6); /* three footers, three with dead rows */
    assert_int_equal(cold_set_segments(first), 3);
    assert_int_equal(cold_set_floor(first), w.manifest.floor.lsn);
    alive = 0;
    for (uint32_t s = 0; s < 3; s++)
        alive += w.rows[s].count - w.dead[s].dead;
    assert_int_equal(cold_set_rows(first), alive);
    resident = cold_set_resident_bytes(first);
    cache_status(w.cache, &now);
    assert_true(now.pinned_bytes >= resident);
    second = world_set(&w, first);
    assert_int_equal(world_gets(&w), 6);
    cache_status(w.cache, &now);
    cold_set_drop(first);
    /* A row more is dead in one of them: its bitmap alone is read anew. */
    (void)cold_dead_add(&w.dead[1], w.ordinals[1][3]);
    assert_int_equal(
        cold_make_dead(w.memory, w.collection, &w.dead[1], 99, &w.manifest.colds[1], NULL), ST_OK);
    third = world_set(&w, second);
    assert_int_equal(world_gets(&w), 7);
    assert_int_equal(cold_set_rows(third), alive - 1);
    assert_int_equal(cold_set_rows(second), alive);
    cold_set_drop(second);
    cold_set_drop(third);
    cache_status(w.cache, &now);
    assert_int_equal(now.pinned_bytes, 0);
    world_close(&w);
}

static void count_free(void *arg)
{
    ++*(unsigned *)arg;
}

static void the_last_holder_says_that_it_is_free(void **state)
{
    struct cold_world_options o = small();
    struct cold_world w;
    struct cold_set *set;
    unsigned freed = 0;

    (void)state;
    o.rows = 100;
    world_open(&w, &o);
    set = world_set(&w, NULL);
    cold_set_when_free(set, count_free, &freed);
    assert_true(cold_set_hold(set) == set);
    cold_set_drop(set);
    assert_int_equal(freed, 0);
    cold_set_drop(set);
    assert_int_equal(freed, 1);
    cold_set_drop(NULL);
    world_close(&w);
}

static void damaged_or_missing_segments_are_told(void **state)
{
    struct cold_world_options o = small();
    struct cold_set_options options = {.collection = {0}};
    struct cold_world w;
    struct cold_set *set = NULL;
    struct err err = {0};
    uint8_t was;

    (void)state;
    o.rows = 100;
    world_open(&w, &o);
    options.cache = w.cache;
    options.manifest = &w.manifest;
    memcpy(options.collection, w.collection, sizeof w.collection);
    w.manifest.colds[1].footer_crc ^= 1;
    assert_int_equal(cold_set_open(&options, &set, &err), ST_CORRUPT);
    w.manifest.colds[1].footer_crc ^= 1;
    w.manifest.colds[1].dead.crc ^= 1;
    assert_int_equal(cold_set_open(&options, &set, &err), ST_CORRUPT);
    w.manifest.colds[1].dead.crc ^= 1;
    was = w.manifest.colds[2].object.uuid[5];
    w.manifest.colds[2].object.uuid[5] = (uint8_t)~was;
    assert_int_equal(cold_set_open(&options, &set, &err), ST_NOT_FOUND);
    w.manifest.colds[2].object.uuid[5] = was;
    assert_int_equal(cold_set_open(&options, &set, &err), ST_OK);
    cold_set_drop(set);
    world_close(&w);
}

/* --- by id --- */

static void every_row_is_found_by_its_id(void **state)
{
    struct cold_world_options o = small();
    struct cold_terms terms = world_terms();
    struct cold_stats stats = {0};
    struct cold_world w;
    struct cold_set *set;
    struct cold_row *rows;
    struct arena arena;
    struct docid *ids;
    struct err err = {0};
    size_t count;

    (void)state;
    world_open(&w, &o);
    arena_init(&arena, SIZE_MAX);
    set = world_set(&w, NULL);
    ids = world_ids(&w, &count);
    rows = mem_alloc_array(count, sizeof *rows);
    if (cold_set_get(set, ids, count, COLD_PAYLOAD, 3, &terms, &arena, rows, &stats, &err) != ST_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < count; i++) {
        uint32_t segment, ordinal;
        const struct cold_make_row *newest = world_newest(&w, &ids[i], &segment, &ordinal);

        world_check_row(&w, &rows[i], COLD_PAYLOAD, 3);
        assert_int_equal(rows[i].lsn, newest->lsn);
        assert_int_equal(rows[i].segment, segment);
        assert_int_equal(rows[i].ordinal, ordinal);
    }
    assert_in_range(stats.waves, 1, 3);
    print_message("%zu rows by id: %u GETs, %" PRIu64 " bytes, %u waves\n", count, stats.gets,
                  stats.bytes, stats.waves);
    mem_free(rows);
    mem_free(ids);
    arena_free(&arena);
    cold_set_drop(set);
    world_close(&w);
}

/* What a single one costs: its id block, then payload and vector together. */
static void one_document_is_two_waves(void **state)
{
    struct cold_world_options o = small();
    struct cold_terms terms = world_terms();
    struct cold_stats stats = {0};
    struct cold_world w;
    struct cold_set *set;
    struct cold_row row;
    struct arena arena;
    struct docid *ids;
    uint64_t gets;
    size_t count;

    (void)state;
    o.segments = 1;
    o.mixed_ids = false;
    world_open(&w, &o);
    arena_init(&arena, SIZE_MAX);
    set = world_set(&w, NULL);
    ids = world_ids(&w, &count);
    gets = world_gets(&w);
    assert_int_equal(
        cold_set_get(set, &ids[count / 2], 1, COLD_PAYLOAD, 1, &terms, &arena, &row, &stats, NULL),
        ST_OK);
    world_check_row(&w, &row, COLD_PAYLOAD, 1);
    assert_int_equal(stats.waves, 2);
    assert_int_equal(stats.gets, 3);
    assert_int_equal(world_gets(&w) - gets, 3);
    stats = (struct cold_stats){0};
    assert_int_equal(
        cold_set_get(set, &ids[count / 2], 1, COLD_PAYLOAD, 1, &terms, &arena, &row, &stats, NULL),
        ST_OK);
    assert_int_equal(stats.gets, 0); /* the cache has it */
    assert_int_equal(stats.cache_hits, 3);
    mem_free(ids);
    arena_free(&arena);
    cold_set_drop(set);
    world_close(&w);
}

static void absent_and_dead_ids_are_not_there(void **state)
{
    struct cold_world_options o = small();
    struct cold_terms terms = world_terms();
    struct docid absent[200];
    uint64_t lsns[200], gets;
    struct cold_world w;
    struct cold_set *set;

    (void)state;
    o.mixed_ids = false;
    world_open(&w, &o);
    set = world_set(&w, NULL);
    gets = world_gets(&w);
    for (uint32_t i = 0; i < 200; i++)
        absent[i] = docid_u64(5000000 + i);
    assert_int_equal(cold_set_find(set, absent, 200, &terms, lsns, NULL), ST_OK);
    for (uint32_t i = 0; i < 200; i++)
        assert_int_equal(lsns[i], 0);
    assert_true(world_gets(&w) - gets < 20); /* the filters say so of nearly all */
    for (uint32_t i = 0, n = 0; i < w.rows[0].count && n < 200; i++)
        if (world_is_dead(&w, 0, i))
            absent[n++] = w.rows[0].rows[i].id;
    assert_int_equal(cold_set_find(set, absent, 20, &terms, lsns, NULL), ST_OK);
    for (uint32_t i = 0; i < 20; i++) {
        const struct cold_make_row *newest = world_newest(&w, &absent[i], NULL, NULL);

        assert_int_equal(lsns[i], newest != NULL ? newest->lsn : 0);
    }
    assert_int_equal(cold_set_find(set, NULL, 0, &terms, lsns, NULL), ST_OK);
    cold_set_drop(set);
    world_close(&w);
}

/* --- overridden --- */

static bool odd_lsn(void *arg, const struct docid *id, uint64_t lsn)
{
    (void)arg;
    (void)id;
    return lsn % 2 == 1;
}

static void what_is_overridden_is_left_out_everywhere(void **state)
{
    struct cold_world_options o = small();
    struct cold_terms terms = {.newer = odd_lsn};
    struct cold_row *rows;
    struct cold_world w;
    struct cold_set *set;
    struct arena arena;
    struct docid *ids;
    uint64_t *lsns;
    uint32_t paged = 0;
    size_t count;

    (void)state;
    world_open(&w, &o);
    arena_init(&arena, SIZE_MAX);
    set = world_set(&w, NULL);
    ids = world_ids(&w, &count);
    rows = mem_alloc_array(count, sizeof *rows);
    lsns = mem_alloc_array(count, sizeof *lsns);
    assert_int_equal(cold_set_find(set, ids, count, &terms, lsns, NULL), ST_OK);
    assert_int_equal(cold_set_get(set, ids, count, 0, 0, &terms, &arena, rows, NULL, NULL), ST_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(lsns[i] % 2, 0);
        assert_int_equal(rows[i].found, lsns[i] != 0);
    }
    assert_int_equal(cold_set_page(set, NULL, (uint32_t)count, &terms, &arena, rows, &paged, NULL),
                     ST_OK);
    for (uint32_t i = 0; i < paged; i++)
        assert_int_equal(rows[i].lsn % 2, 0);
    assert_true(paged > count / 3 && paged < count);
    mem_free(lsns);
    mem_free(rows);
    mem_free(ids);
    arena_free(&arena);
    cold_set_drop(set);
    world_close(&w);
}

/* --- in id order --- */

static void pages_are_all_ids_in_order_whatever_their_size(void **state)
{
    static const uint32_t sizes[] = {1, 7, 100, 5000};
    struct cold_world_options o = small();
    struct cold_terms terms = world_terms();
    struct cold_row *rows;
    struct cold_world w;
    struct cold_set *set;
    struct arena arena;
    struct docid *ids;
    size_t count;

    (void)state;
    world_open(&w, &o);
    arena_init(&arena, SIZE_MAX);
    set = world_set(&w, NULL);
    ids = world_ids(&w, &count);
    rows = mem_alloc_array(5000, sizeof *rows);
    for (size_t k = 0; k < COUNT_OF(sizes); k++) {
        const struct docid *after = NULL;
        uint32_t got = 1;
        size_t at = 0;

        for (; got > 0; at += got) {
            assert_int_equal(cold_set_page(set, after, sizes[k], &terms, &arena, rows, &got, NULL),
                             ST_OK);
            assert_int_equal(got, at + sizes[k] <= count ? sizes[k] : count - at);
            for (uint32_t i = 0; i < got; i++) {
                assert_true(docid_equal(&rows[i].id, &ids[at + i]));
                assert_int_equal(rows[i].lsn, world_newest(&w, &ids[at + i], NULL, NULL)->lsn);
            }
            if (got > 0)
                after = &ids[at + got - 1];
            if (sizes[k] == 1 && at > 30)
                break;
        }
        assert_true(at == count || sizes[k] == 1);
    }
    mem_free(rows);
    mem_free(ids);
    arena_free(&arena);
    cold_set_drop(set);
    world_close(&w);
}

static void the_rest_of_a_page_is_one_wave_more(void **state)
{
    struct cold_world_options o = small();
    struct cold_terms terms = world_terms();
    struct cold_stats stats = {0};
    struct cold_row rows[50];
    struct cold_world w;
    struct cold_set *set;
    struct arena arena;
    uint32_t got;

    (void)state;
    world_open(&w, &o);
    arena_init(&arena, SIZE_MAX);
    set = world_set(&w, NULL);
    assert_int_equal(cold_set_page(set, NULL, 50, &terms, &arena, rows, &got, NULL), ST_OK);
    assert_int_equal(got, 50);
    assert_int_equal(cold_set_rows_at(set, rows, 50, COLD_PAYLOAD, 1, &terms, &arena, &stats, NULL),
                     ST_OK);
    for (uint32_t i = 0; i < got; i++)
        world_check_row(&w, &rows[i], COLD_PAYLOAD, 1);
    assert_int_equal(stats.waves, 1);
    arena_free(&arena);
    cold_set_drop(set);
    world_close(&w);
}

/* --- the cache by hand --- */

static void a_warm_set_asks_for_nothing_until_it_is_unloaded(void **state)
{
    struct cold_world_options o = small();
    struct cold_terms terms = world_terms();
    struct cache_status now;
    struct cold_world w;
    struct cold_set *set;
    uint64_t bytes = 0, again = 0, gets;

    (void)state;
    world_open(&w, &o);
    set = world_set(&w, NULL);
    assert_int_equal(cold_set_warm(set, &terms, &bytes, NULL), ST_OK);
    assert_true(bytes > 0);
    gets = world_gets(&w);
    print_message("warm: %" PRIu64 " bytes in %" PRIu64 " GETs\n", bytes, gets);
    assert_int_equal(cold_set_warm(set, &terms, &again, NULL), ST_OK);
    assert_int_equal(world_gets(&w), gets);
    assert_int_equal(cold_set_unload(set), bytes);
    cache_status(w.cache, &now);
    assert_int_equal(now.blocks, 3); /* the footers */
    cold_set_drop(set);
    world_close(&w);
}

static void a_small_cache_is_warmed_as_far_as_it_goes(void **state)
{
    struct cold_world_options o = small();
    struct cold_terms terms = world_terms();
    struct cache_status now;
    struct cold_world w;
    struct cold_set *set;
    uint64_t bytes = 0;

    (void)state;
    o.cache_bytes = 300000;
    world_open(&w, &o);
    set = world_set(&w, NULL);
    assert_int_equal(cold_set_warm(set, &terms, &bytes, NULL), ST_OK);
    cache_status(w.cache, &now);
    assert_true(now.bytes <= now.bytes_max);
    assert_int_equal(now.evictions, 0);
    cold_set_drop(set);
    world_close(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_opens_in_one_wave_and_shares_what_stays),
        cmocka_unit_test(the_last_holder_says_that_it_is_free),
        cmocka_unit_test(damaged_or_missing_segments_are_told),
        cmocka_unit_test(every_row_is_found_by_its_id),
        cmocka_unit_test(one_document_is_two_waves),
        cmocka_unit_test(absent_and_dead_ids_are_not_there),
        cmocka_unit_test(what_is_overridden_is_left_out_everywhere),
        cmocka_unit_test(pages_are_all_ids_in_order_whatever_their_size),
        cmocka_unit_test(the_rest_of_a_page_is_one_wave_more),
        cmocka_unit_test(a_warm_set_asks_for_nothing_until_it_is_unloaded),
        cmocka_unit_test(a_small_cache_is_warmed_as_far_as_it_goes),
    };

    if (argc > 1)
        base_seed = strtoull(argv[1], NULL, 0);
    print_message("seed %" PRIu64 "\n", base_seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
