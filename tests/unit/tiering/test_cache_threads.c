/* Many readers at once: one fetch serves all that wait, nobody's end is another's, and the bound
 * holds. Also under the thread sanitizer. */
#include "tests/unit/tiering/cache_case.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

struct reader {
    struct thread thread;
    struct cache_case *c;
    uint64_t seed;
    uint64_t deadline_ns;
    _Atomic bool *stop;
    bool wrong; /* expects other bytes */
    status st;
};

static uint64_t now_ns(void)
{
    return clock_mono_ns(clock_real());
}

static void nap(uint64_t ns)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

/* Not an assertion: those are for the test's own thread. */
static bool is_right(const struct cache_want *w)
{
    unsigned object = (unsigned)((uintptr_t)w->check_arg / CASE_BLOCKS);

    for (size_t i = 0; i < w->body.bytes; i++)
        if (w->body.data[i] != case_byte(object, w->offset + i))
            return false;
    return w->body.bytes == w->bytes;
}

static void read_block(void *arg)
{
    struct reader *r = arg;
    struct cache_want w = case_want(2, 7);
    struct cache_terms terms = case_terms(r->c);

    if (r->wrong)
        w.check_arg = (void *)(uintptr_t)1;
    terms.deadline_ns = r->deadline_ns;
    terms.stop = r->stop;
    r->st = cache_read(r->c->cache, &terms, &w, 1, NULL);
    if (r->st == ST_OK && !is_right(&w))
        r->c->wrong++;
    cache_give_back(r->c->cache, &w, 1);
}

static void start(struct reader *r, struct cache_case *c, thread_fn *fn)
{
    r->c = c;
    assert_int_equal(thread_start(&r->thread, "reader", THREAD_NORMAL, fn, r, NULL), ST_OK);
}

static uint32_t waiting(struct cache_case *c)
{
    uint32_t count = 0;

    lock_take(&c->cache->lock);
    for (size_t i = 0; i < c->cache->table_size; i++)
        for (struct cache_block *b = c->cache->table[i]; b != NULL; b = b->chain)
            for (struct cache_want *w = b->waiting; w != NULL; w = w->next)
                count++;
    lock_drop(&c->cache->lock);
    return count;
}

static void hold(struct cache_case *c)
{
    case_fault(c, (struct objstore_fault){
                      .kind = OBJSTORE_FAULT_DELAY, .delay_ms = OBJSTORE_FAULT_HOLD, .times = 1});
}

static void one_get_serves_a_hundred(void **state)
{
    enum { READERS = 100 };
    static struct reader readers[READERS];
    struct cache_case c;

    (void)state;
    case_open(&c, 10 * CASE_COST);
    hold(&c);
    for (unsigned i = 0; i < READERS; i++)
        start(&readers[i], &c, read_block);
    while (waiting(&c) < READERS)
        nap(MS);
    assert_int_equal(objstore_faults_release(c.faults), 1);
    for (unsigned i = 0; i < READERS; i++) {
        thread_join(&readers[i].thread);
        assert_int_equal(readers[i].st, ST_OK);
    }
    assert_int_equal(case_gets(&c), 1);
    assert_int_equal(case_bytes(&c), CASE_COST);
    case_close(&c);
}

/* The one that asked gives up, by its deadline or told to; who joined has its answer all the same.
 */
static void who_gives_up_does_not_end_it_for_others(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 2; how++) {
        struct reader first = {0}, second = {0};
        _Atomic bool stop = false;
        struct cache_case c;

        case_open(&c, 10 * CASE_COST);
        hold(&c);
        first.deadline_ns = how == 0 ? now_ns() + 300 * MS : 0;
        first.stop = &stop;
        start(&first, &c, read_block);
        while (waiting(&c) < 1)
            nap(MS);
        start(&second, &c, read_block);
        while (waiting(&c) < 2 && now_ns() < first.deadline_ns)
            nap(MS);
        stop = how == 1;
        thread_join(&first.thread);
        assert_int_equal(first.st, how == 0 ? ST_TIMEOUT : ST_CLOSED);
        (void)objstore_faults_release(c.faults);
        thread_join(&second.thread);
        assert_int_equal(second.st, ST_OK);
        assert_in_range(case_gets(&c), 1, 2); /* 2 where the second came too late to join */
        case_close(&c);
    }
}

/* A failure of the bucket's is everybody's. */
static void what_fails_for_good_fails_for_all(void **state)
{
    enum { READERS = 10 };
    struct reader readers[READERS] = {0};
    struct cache_case c;

    (void)state;
    case_open(&c, 10 * CASE_COST);
    hold(&c);
    for (unsigned i = 0; i < READERS; i++) {
        readers[i].wrong = true; /* what comes is not what it expects, twice */
        start(&readers[i], &c, read_block);
    }
    while (waiting(&c) < READERS)
        nap(MS);
    objstore_faults_clear(c.faults);
    assert_int_equal(objstore_faults_release(c.faults), 1);
    for (unsigned i = 0; i < READERS; i++) {
        thread_join(&readers[i].thread);
        assert_int_equal(readers[i].st, ST_CORRUPT);
    }
    assert_int_equal(case_gets(&c), 2);
    assert_int_equal(case_bytes(&c), 0);
    case_close(&c);
}

/* --- all at once, at random --- */

enum { ROUNDS = 150, WAVE = 12 };

/* Above the bound is only what is pinned or borrowed. */
static void check_bound(struct cache_case *c)
{
    struct cache *cache = c->cache;

    lock_take(&cache->lock);
    if (cache->bytes - cache->loose > cache->bytes_max && cache->idle > 0)
        c->wrong++;
    lock_drop(&cache->lock);
}

static void read_at_random(void *arg)
{
    struct reader *r = arg;
    struct rand_seeded rand;

    rand_seeded_init(&rand, r->seed);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct cache_want wants[WAVE];
        struct cache_terms terms = case_terms(r->c);
        size_t count = 1 + rand_below(&rand.source, WAVE);
        unsigned object = (unsigned)rand_below(&rand.source, CASE_OBJECTS);
        unsigned first = (unsigned)rand_below(&rand.source, 40);
        bool scan = rand_below(&rand.source, 5) == 0;

        if (rand_below(&rand.source, 4) == 0)
            terms.deadline_ns = now_ns() + rand_below(&rand.source, 3 * MS);
        for (size_t i = 0; i < count; i++) {
            wants[i] = case_want(object, first + (unsigned)i);
            wants[i].joined = rand_below(&rand.source, 2) == 0;
            wants[i].class = scan ? CACHE_SCAN : CACHE_ROWS;
        }
        if (cache_read(r->c->cache, &terms, wants, count, NULL) == ST_BUG)
            r->c->wrong++;
        check_bound(r->c);
        for (size_t i = 0; i < count; i++) {
            if ((wants[i].st == ST_OK) != (wants[i].block != NULL) ||
                (wants[i].st == ST_OK && !is_right(&wants[i])))
                r->c->wrong++;
            if (wants[i].st == ST_OK && rand_below(&rand.source, 20) == 0) {
                struct cache_block *block = wants[i].block;

                cache_pin(r->c->cache, &wants[i]);
                cache_give_back(r->c->cache, &wants[i], 1);
                cache_unpin(r->c->cache, block);
            }
        }
        cache_give_back(r->c->cache, wants, count);
        if (rand_below(&rand.source, 30) == 0)
            (void)cache_forget(r->c->cache, case_want(object, 0).object);
    }
}

static uint64_t base_seed = 20261121;

static void the_bound_holds_and_nothing_is_wrong(void **state)
{
    enum { READERS = 8 };
    struct reader readers[READERS] = {0};
    struct cache_case c;

    (void)state;
    print_message("seed %" PRIu64 "\n", base_seed);
    case_open(&c, 30 * CASE_COST);
    c.cache->gets_max = 6;
    for (unsigned i = 0; i < 5; i++) {
        static const enum objstore_fault_kind kinds[] = {
            OBJSTORE_FAULT_DELAY, OBJSTORE_FAULT_LOSE, OBJSTORE_FAULT_CORRUPT,
            OBJSTORE_FAULT_TRUNCATE, OBJSTORE_FAULT_REFUSE};

        for (unsigned k = 0; k < 6; k++)
            case_fault(&c,
                       (struct objstore_fault){.kind = kinds[i],
                                               .nth = 20 + k * 97 + i * 13,
                                               .times = kinds[i] == OBJSTORE_FAULT_DELAY ? 20 : 2,
                                               .delay_ms = 2});
    }
    for (unsigned i = 0; i < READERS; i++) {
        readers[i].seed = base_seed + i;
        start(&readers[i], &c, read_at_random);
    }
    for (unsigned i = 0; i < 20; i++) {
        nap(5 * MS);
        check_bound(&c);
    }
    for (unsigned i = 0; i < READERS; i++)
        thread_join(&readers[i].thread);
    assert_true(case_bytes(&c) <= 30 * CASE_COST);
    case_close(&c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_get_serves_a_hundred),
        cmocka_unit_test(who_gives_up_does_not_end_it_for_others),
        cmocka_unit_test(what_fails_for_good_fails_for_all),
        cmocka_unit_test(the_bound_holds_and_nothing_is_wrong),
    };

    if (argc > 1)
        base_seed = strtoull(argv[1], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
