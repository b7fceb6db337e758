/* A pool before a store that takes so many requests a second and throttles the rest: it converges,
 * never storms, keeps its floor and is back at its ceiling once the store is well. Virtual time. */
#include "objstore/aimd.h"

#include "base/rand.h"
#include "objstore/retry.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 1;

enum { MS = 1000000, JOBS = 3000, SECONDS = 200, LATENCY_MS = 10 };

/* The store: a bucket of tokens that fills at `rate` a second. */
struct fake {
    double rate, tokens;
    uint64_t wish_ms;
};

/* A pool's thread and those who ask: each is made again as the background's table has it. */
struct world {
    struct aimd a;
    struct fake fake;
    struct rand_seeded rng;
    uint64_t now_ms;
    struct {
        uint64_t sent_ms, due_ms;
        bool throttled;
        uint32_t attempt;
    } flying[64];
    uint32_t active;
    struct {
        uint64_t at_ms;
        uint32_t attempt;
    } waiting[JOBS];
    size_t waiting_count;
    bool endless; /* who is done asks for another */
    unsigned sent[SECONDS], taken[SECONDS], refused[SECONDS];
};

static void world_init(struct world *w, enum objstore_pool pool, uint32_t limit, size_t jobs)
{
    memset(w, 0, sizeof *w);
    aimd_init(&w->a, pool, limit);
    rand_seeded_init(&w->rng, seed);
    w->now_ms = 1000;
    w->waiting_count = jobs;
}

static bool store_takes(struct fake *f)
{
    if (f->tokens < 1)
        return false;
    f->tokens--;
    return true;
}

static void answer_due(struct world *w)
{
    struct objstore_retry_policy policy = objstore_retry_background(1000, 20000, 5);
    uint32_t kept = 0;

    for (uint32_t i = 0; i < w->active; i++) {
        bool throttled = w->flying[i].throttled;
        uint32_t attempt = w->flying[i].attempt;
        uint64_t delay = 0;

        if (w->flying[i].due_ms > w->now_ms) {
            w->flying[kept++] = w->flying[i];
            continue;
        }
        aimd_answer(&w->a, throttled ? OBJSTORE_THROTTLE : OBJSTORE_OK,
                    throttled ? w->fake.wish_ms : 0, w->flying[i].sent_ms * MS, w->now_ms * MS,
                    rand_u64(&w->rng.source));
        w->taken[w->now_ms / 1000] += !throttled;
        w->refused[w->now_ms / 1000] += throttled;
        if (throttled)
            assert_true(objstore_retry_next(&policy, OBJSTORE_THROTTLE, attempt, 0,
                                            rand_u64(&w->rng.source), &delay));
        if (throttled || w->endless) {
            assert_true(w->waiting_count < JOBS);
            w->waiting[w->waiting_count].at_ms = w->now_ms + delay;
            w->waiting[w->waiting_count++].attempt = throttled ? attempt : 0;
        }
    }
    w->active = kept;
}

static void send_waiting(struct world *w)
{
    for (size_t i = 0; i < w->waiting_count;) {
        if (!aimd_may_send(&w->a, w->active, w->now_ms * MS))
            return;
        if (w->waiting[i].at_ms > w->now_ms) {
            i++;
            continue;
        }
        aimd_sent(&w->a, w->now_ms * MS);
        w->flying[w->active].sent_ms = w->now_ms;
        w->flying[w->active].due_ms = w->now_ms + LATENCY_MS;
        w->flying[w->active].attempt = w->waiting[i].attempt + 1;
        w->flying[w->active++].throttled = !store_takes(&w->fake);
        w->sent[w->now_ms / 1000]++;
        w->waiting[i] = w->waiting[--w->waiting_count];
    }
}

static void run_until(struct world *w, uint64_t second)
{
    assert_true(second <= SECONDS);
    for (; w->now_ms < second * 1000; w->now_ms++) {
        double most = w->fake.rate / 10 + 1;

        w->fake.tokens += w->fake.rate / 1000;
        w->fake.tokens = w->fake.tokens > most ? most : w->fake.tokens;
        if (w->fake.rate == 0)
            w->fake.tokens = 0;
        answer_due(w);
        send_waiting(w);
        assert_true(w->a.limit >= w->a.limit_min && w->a.limit <= w->a.limit_max);
    }
}

static unsigned sum(const unsigned *of, size_t from, size_t to)
{
    unsigned all = 0;

    for (size_t i = from; i < to; i++)
        all += of[i];
    return all;
}

/* Ceilings allow 800 requests a second. The store gets the most of what it can take, and few more.
 */
static void a_pool_finds_the_rate_a_store_takes(void **state)
{
    static const double rates[] = {5, 20, 100, 300, 600};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rates); i++) {
        static struct world w;
        unsigned sent;
        unsigned taken;

        world_init(&w, OBJSTORE_BULK, 8, 100);
        w.endless = true;
        w.fake.rate = rates[i];
        run_until(&w, 120);
        sent = sum(w.sent, 60, 120);
        taken = sum(w.taken, 60, 120);
        if (taken < rates[i] * 60 * 0.6 || sent - taken > sent / 5)
            fail_msg("rate %.0f: %u sent, %u taken in a minute, seed %" PRIu64, rates[i], sent,
                     taken, seed);
        for (size_t s = 10; s < 120; s++) /* no second is a storm */
            if (w.sent[s] > rates[i] * 2 + 10)
                fail_msg("rate %.0f: %u sent in second %zu, seed %" PRIu64, rates[i], w.sent[s], s,
                         seed);
    }
}

static void a_store_that_takes_nothing_is_asked_once_a_second(void **state)
{
    static struct world w;

    (void)state;
    world_init(&w, OBJSTORE_LOG, 8, JOBS - 64);
    run_until(&w, 61);
    assert_true(sum(w.sent, 0, 10) < 40);
    assert_in_range(sum(w.sent, 10, 60), 40, 60);
    world_init(&w, OBJSTORE_FOREGROUND, 16, JOBS - 64);
    run_until(&w, 61);
    assert_in_range(sum(w.sent, 10, 60), 150, 240);
    assert_int_equal(w.a.limit, 4);
}

static void once_the_store_is_well_the_backlog_drains(void **state)
{
    static struct world w;

    (void)state;
    world_init(&w, OBJSTORE_BULK, 8, 2000);
    run_until(&w, 61);
    assert_int_equal(w.a.limit, 1);
    w.fake.rate = 100000;
    run_until(&w, 110);
    if (w.waiting_count + w.active > 0 || w.a.limit != 8 || w.a.gap_ns != 0)
        fail_msg("%zu left, limit %" PRIu32 ", gap %" PRIu64 " ns, seed %" PRIu64, w.waiting_count,
                 w.a.limit, w.a.gap_ns, seed);
}

/* All that were under way are refused together: that is one answer about one load. */
static void a_burst_is_cut_once(void **state)
{
    struct aimd a;

    (void)state;
    aimd_init(&a, OBJSTORE_BULK, 16);
    for (int i = 0; i < 16; i++)
        aimd_answer(&a, OBJSTORE_THROTTLE, 0, 1000, 2000 + (uint64_t)i, 0);
    assert_int_equal(a.limit, 8);
    aimd_answer(&a, OBJSTORE_THROTTLE, 0, 2001, 3000, 0); /* sent behind the cut */
    assert_int_equal(a.limit, 4);
    aimd_yield(&a, 2500, 3100);
    assert_int_equal(a.limit, 4);
    aimd_yield(&a, 3001, 3200);
    assert_int_equal(a.limit, 2);
}

static void a_window_of_successes_gives_one_back(void **state)
{
    struct aimd a;

    (void)state;
    aimd_init(&a, OBJSTORE_BULK, 8);
    aimd_answer(&a, OBJSTORE_THROTTLE, 0, 1, 2, 0);
    assert_int_equal(a.limit, 4);
    for (uint32_t limit = 4; limit < 8; limit++) {
        for (uint32_t i = 0; i < AIMD_WINDOW; i++) {
            assert_int_equal(a.limit, limit);
            aimd_answer(&a, i % 2 == 0 ? OBJSTORE_OK : OBJSTORE_PRECONDITION, 0, 3, 4, 0);
            aimd_answer(&a, OBJSTORE_TRANSIENT, 0, 3, 4, 0); /* says nothing */
        }
    }
    assert_int_equal(a.limit, 8);
    for (int i = 0; i < 100; i++)
        aimd_answer(&a, OBJSTORE_OK, 0, 3, 4, 0);
    assert_int_equal(a.limit, 8);
}

static void nothing_is_sent_before_the_stores_wish(void **state)
{
    const uint64_t second = UINT64_C(1000) * MS;
    struct aimd a;

    (void)state;
    aimd_init(&a, OBJSTORE_LOG, 8);
    aimd_answer(&a, OBJSTORE_THROTTLE, 7000, second, second, UINT64_MAX);
    assert_false(aimd_may_send(&a, 0, 8 * second - 1));
    assert_true(aimd_may_send(&a, 0, 8 * second + 7 * second / 8));
    aimd_answer(&a, OBJSTORE_THROTTLE, UINT64_MAX, second, 10 * second, 5); /* not for ever */
    assert_false(aimd_may_send(&a, 0, 39 * second));
    assert_true(aimd_may_send(&a, 0, 45 * second));
    aimd_answer(&a, OBJSTORE_THROTTLE, 1, second, 11 * second, 5); /* a shorter one takes nothing */
    assert_false(aimd_may_send(&a, 0, 39 * second));
}

/* A quarter stays with reads; a log has one; a single connection is never none. */
static void floors_hold_whatever_is_answered(void **state)
{
    static const uint32_t limits[] = {1, 2, 3, 8, 16, 1024};
    struct rand_seeded rng;

    (void)state;
    rand_seeded_init(&rng, seed);
    for (size_t i = 0; i < COUNT_OF(limits) * OBJSTORE_POOLS; i++) {
        enum objstore_pool pool = (enum objstore_pool)(i % OBJSTORE_POOLS);
        uint32_t limit = limits[i / OBJSTORE_POOLS];
        uint32_t floor = pool == OBJSTORE_FOREGROUND && limit >= 4 ? limit / 4 : 1;
        uint64_t now = 1;
        struct aimd a;

        aimd_init(&a, pool, limit);
        for (int step = 0; step < 20000; step++) {
            bool calm = (step / 2000) % 2 == 1;
            uint64_t draw = rand_below(&rng.source, calm ? 1000 : OBJSTORE_CLASSES);

            now += rand_below(&rng.source, 50 * MS);
            aimd_answer(&a,
                        draw < OBJSTORE_CLASSES ? (enum objstore_class)draw : OBJSTORE_NOT_FOUND,
                        rand_below(&rng.source, 3) == 0 ? rand_u64(&rng.source) : 0,
                        now - rand_below(&rng.source, now), now, rand_u64(&rng.source));
            assert_true(a.limit >= floor && a.limit <= limit);
            assert_true(a.gap_ns <= a.gap_max_ns);
            assert_true(a.next_ns <= now + UINT64_C(33750) * MS);
            assert_true(aimd_may_send(&a, floor - 1, now + UINT64_C(33750) * MS));
            assert_false(aimd_may_send(&a, limit, UINT64_MAX));
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_finds_the_rate_a_store_takes),
        cmocka_unit_test(a_store_that_takes_nothing_is_asked_once_a_second),
        cmocka_unit_test(once_the_store_is_well_the_backlog_drains),
        cmocka_unit_test(a_burst_is_cut_once),
        cmocka_unit_test(a_window_of_successes_gives_one_back),
        cmocka_unit_test(nothing_is_sent_before_the_stores_wish),
        cmocka_unit_test(floors_hold_whatever_is_answered),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
