/* Sets that are swapped under readers; and each allocation failing. test_cold_threads [seed]. */
#include "tests/support/alloc_sweep.h"
#include "tests/unit/tiering/cold_world.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { READERS = 6, ROUNDS = 25, WAVE = 12 };

static uint64_t base_seed = 5;

struct shared {
    struct cold_world w;
    struct lock lock; /* LOCK_RANK_QUEUE: which set is the one */
    struct cold_set *set;
    struct docid *ids;
    size_t count;
    _Atomic uint64_t wrong, freed;
    _Atomic bool done;
};
struct reader {
    struct thread thread;
    struct shared *s;
    uint64_t seed;
};

static struct cold_set *hold(struct shared *s)
{
    struct cold_set *set;

    lock_take(&s->lock);
    set = cold_set_hold(s->set);
    lock_drop(&s->lock);
    return set;
}

static bool keep_all(void *arg, const struct docid *id, uint64_t lsn)
{
    (void)arg;
    (void)id;
    return lsn == 0;
}

static status count_row(void *arg, const struct cold_row *row, struct err *err)
{
    (void)err;
    ++*(size_t *)arg;
    return row->found ? ST_OK : ST_BUG;
}

static void read_once(struct shared *s, struct cold_set *set, struct rand_source *rand)
{
    struct cold_terms terms = {.newer = keep_all};
    struct cold_row rows[WAVE];
    struct docid ids[WAVE];
    uint64_t lsns[WAVE];
    struct arena arena;
    uint32_t got = 0;
    size_t all = 0;
    bool right = true;

    arena_init(&arena, SIZE_MAX);
    for (unsigned i = 0; i < WAVE; i++)
        ids[i] = s->ids[rand_below(rand, s->count)];
    switch (rand_below(rand, 4)) {
    case 0:
        right = cold_set_get(set, ids, WAVE, COLD_PAYLOAD, 3, &terms, &arena, rows, NULL, NULL) ==
                ST_OK;
        for (unsigned i = 0; right && i < WAVE; i++)
            right = rows[i].found && rows[i].payload.bytes > 0;
        break;
    case 1:
        right = cold_set_find(set, ids, WAVE, &terms, lsns, NULL) == ST_OK;
        for (unsigned i = 0; right && i < WAVE; i++)
            right = lsns[i] > 0;
        break;
    case 2:
        right = cold_set_page(set, &ids[0], WAVE, &terms, &arena, rows, &got, NULL) == ST_OK;
        for (uint32_t i = 0; right && i < got; i++)
            right = docid_compare(&rows[i].id, i == 0 ? &ids[0] : &rows[i - 1].id) > 0;
        break;
    default:
        right = cold_set_each(set, NULL, 0, 0, &terms, count_row, &all, NULL, NULL) == ST_OK &&
                all == cold_set_rows(set);
        break;
    }
    if (!right)
        s->wrong++;
    arena_free(&arena);
}

static void read_many(void *arg)
{
    struct reader *r = arg;
    struct rand_seeded rand;

    rand_seeded_init(&rand, r->seed);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct cold_set *set = hold(r->s);

        read_once(r->s, set, &rand.source);
        cold_set_drop(set);
    }
}

static void count_free(void *arg)
{
    ++((struct shared *)arg)->freed;
}

static void sets_are_swapped_under_readers(void **state)
{
    enum { SWAPS = 15 };
    const struct cold_world_options o = {.segments = 3,
                                         .rows = 400,
                                         .dim = 16,
                                         .seed = base_seed,
                                         .mixed_ids = true,
                                         .cache_bytes = 300000};
    struct reader readers[READERS] = {0};
    struct shared s = {.wrong = 0};

    (void)state;
    print_message("seed %" PRIu64 "\n", base_seed);
    world_open(&s.w, &o);
    lock_init(&s.lock, LOCK_RANK_QUEUE, "test");
    s.ids = world_ids(&s.w, &s.count);
    s.set = world_set(&s.w, NULL);
    cold_set_when_free(s.set, count_free, &s);
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.s = &s, .seed = base_seed * 10 + i};
        assert_int_equal(
            thread_start(&readers[i].thread, "reader", THREAD_NORMAL, read_many, &readers[i], NULL),
            ST_OK);
    }
    for (unsigned i = 0; i < SWAPS; i++) {
        struct cold_set *before = s.set, *next = world_set(&s.w, i % 3 == 2 ? NULL : before);

        cold_set_when_free(next, count_free, &s);
        if (i % 4 == 1)
            (void)cold_set_unload(before);
        lock_take(&s.lock);
        s.set = next;
        lock_drop(&s.lock);
        cold_set_drop(before);
    }
    for (unsigned i = 0; i < READERS; i++)
        thread_join(&readers[i].thread);
    cold_set_drop(s.set);
    assert_int_equal(s.wrong, 0);
    assert_int_equal(s.freed, SWAPS + 1);
    lock_fini(&s.lock);
    mem_free(s.ids);
    world_close(&s.w);
}

/* --- memory --- */

struct swept {
    struct cold_world w;
    struct cold_set *set;
    struct docid ids[4];
};

static status open_one(void *arg)
{
    struct swept *s = arg;
    struct cold_set_options options = {.cache = s->w.cache, .manifest = &s->w.manifest};
    struct cold_set *set = NULL;
    struct cache_status before, now;
    status st;

    cache_status(s->w.cache, &before);
    memcpy(options.collection, s->w.collection, sizeof options.collection);
    st = cold_set_open(&options, &set, NULL);
    cold_set_drop(set);
    cache_status(s->w.cache, &now);
    assert_int_equal(now.pinned_bytes, before.pinned_bytes);
    return st;
}

static status get_some(void *arg)
{
    struct swept *s = arg;
    struct cold_terms terms = world_terms();
    struct cold_row rows[4];
    struct arena arena;
    status st;

    (void)cold_set_unload(s->set);
    arena_init(&arena, SIZE_MAX);
    st = cold_set_get(s->set, s->ids, 4, COLD_PAYLOAD, 3, &terms, &arena, rows, NULL, NULL);
    for (unsigned i = 0; st == ST_OK && i < 4; i++)
        world_check_row(&s->w, &rows[i], COLD_PAYLOAD, 3);
    arena_free(&arena);
    return st;
}

static status page_some(void *arg)
{
    struct swept *s = arg;
    struct cold_terms terms = world_terms();
    struct cold_row rows[40];
    struct arena arena;
    uint32_t got = 0;
    status st;

    arena_init(&arena, SIZE_MAX);
    st = cold_set_page(s->set, NULL, 40, &terms, &arena, rows, &got, NULL);
    assert_true(st != ST_OK || got == 40);
    arena_free(&arena);
    return st;
}

static status scan_all(void *arg)
{
    struct swept *s = arg;
    struct cold_terms terms = world_terms();
    size_t count = 0;
    status st = cold_set_each(s->set, NULL, COLD_PAYLOAD, 1, &terms, count_row, &count, NULL, NULL);

    assert_true(st != ST_OK || count == cold_set_rows(s->set));
    return st;
}

static status find_and_warm(void *arg)
{
    struct swept *s = arg;
    struct cold_terms terms = world_terms();
    uint64_t lsns[4], bytes = 0;
    status st = cold_set_find(s->set, s->ids, 4, &terms, lsns, NULL);

    return st == ST_OK ? cold_set_warm(s->set, &terms, &bytes, NULL) : st;
}

static void without_memory_calls_say_so_and_leave_nothing(void **state)
{
    const struct cold_world_options o = {
        .segments = 2, .rows = 120, .dim = 8, .seed = base_seed, .mixed_ids = true};
    struct swept s;
    struct docid *ids;
    size_t count;

    (void)state;
    world_open(&s.w, &o);
    ids = world_ids(&s.w, &count);
    for (unsigned i = 0; i < 4; i++)
        s.ids[i] = ids[count / 5 * i];
    s.set = world_set(&s.w, NULL);
    assert_true(alloc_sweep(open_one, &s) >= 5);
    assert_true(alloc_sweep(get_some, &s) >= 5);
    assert_true(alloc_sweep(page_some, &s) >= 3);
    assert_true(alloc_sweep(scan_all, &s) >= 5);
    assert_true(alloc_sweep(find_and_warm, &s) >= 3);
    cold_set_drop(s.set);
    mem_free(ids);
    world_close(&s.w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_are_swapped_under_readers),
        cmocka_unit_test(without_memory_calls_say_so_and_leave_nothing),
    };

    if (argc > 1)
        base_seed = strtoull(argv[1], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
