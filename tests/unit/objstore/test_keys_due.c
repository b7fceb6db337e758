/* When a provider of keys is asked: by a clock that the test moves. */
#include "objstore/keys_due.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define S UINT64_C(1000000000)

static uint64_t given = 1;
static uint64_t seed = 1;

static uint64_t draw(uint64_t *state) /* splitmix64 */
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static struct keys_effect step(struct keys_due *d, enum keys_event_kind kind, uint64_t now_ns,
                               uint64_t life_ns, uint64_t random)
{
    struct keys_event e = {kind, now_ns, life_ns, random};

    return keys_due_step(d, &e);
}

static void none_is_asked_for_at_once(void **state)
{
    struct keys_due d = {0};
    struct keys_effect e = step(&d, KEYS_TICK, 5, 0, 0);

    (void)state;
    assert_true(e.ask);
    assert_int_equal(keys_due_phase(&d, 5), KEYS_NONE);
    e = step(&d, KEYS_TICK, 6, 0, 0);
    assert_false(e.ask); /* one at a time */
    assert_true(e.wake_ns == KEYS_NEVER);
}

static void keys_that_stay_are_never_asked_for_again(void **state)
{
    struct keys_due d = {0};
    struct keys_effect e;

    (void)state;
    (void)step(&d, KEYS_TICK, 0, 0, 0);
    e = step(&d, KEYS_CAME, 1, KEYS_NEVER, 77);
    assert_false(e.ask);
    assert_true(e.wake_ns == KEYS_NEVER);
    assert_false(step(&d, KEYS_TICK, UINT64_MAX - 2, 0, 0).ask);
    assert_int_equal(keys_due_phase(&d, UINT64_MAX - 2), KEYS_FRESH);
    /* A reload that fails leaves them as they are. */
    assert_true(step(&d, KEYS_RELOAD, 10, 0, 0).ask);
    e = step(&d, KEYS_FAILED, 11, 0, 5);
    assert_false(e.ask);
    assert_true(e.wake_ns == KEYS_NEVER);
    assert_int_equal(keys_due_phase(&d, 12), KEYS_FRESH);
}

/* Between 15 and 10 minutes before the end, and spread over those 5. */
static void renewal_comes_ahead_with_jitter(void **state)
{
    uint64_t end = 3600 * S;
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct keys_due d = {0};
        struct keys_effect e;

        (void)step(&d, KEYS_TICK, 0, 0, 0);
        e = step(&d, KEYS_CAME, 0, end, draw(&seed));
        assert_false(e.ask);
        assert_true(e.wake_ns >= end - 900 * S && e.wake_ns < end - 600 * S);
        assert_false(step(&d, KEYS_TICK, e.wake_ns - 1, 0, 0).ask);
        assert_int_equal(keys_due_phase(&d, end - 901 * S), KEYS_FRESH);
        assert_int_equal(keys_due_phase(&d, end - 900 * S), KEYS_ADVISORY);
        assert_int_equal(keys_due_phase(&d, end - 600 * S), KEYS_MANDATORY);
        assert_int_equal(keys_due_phase(&d, end - 1), KEYS_MANDATORY);
        assert_int_equal(keys_due_phase(&d, end), KEYS_ENDED);
        assert_true(step(&d, KEYS_TICK, e.wake_ns, 0, 0).ask);
        least = e.wake_ns < least ? e.wake_ns : least;
        most = e.wake_ns > most ? e.wake_ns : most;
    }
    assert_true(most - least > 240 * S);
}

/* A provider that gives what it has until shortly before its end is not asked in a circle. */
static void the_same_keys_again_are_asked_for_less_and_less_late(void **state)
{
    const uint64_t end = 3600 * S;
    struct keys_due d = {0};
    struct keys_effect e;
    uint64_t now = 0;
    int asked = 0;

    (void)state;
    (void)step(&d, KEYS_TICK, 0, 0, 0);
    e = step(&d, KEYS_CAME, 0, end, 0);
    while (e.wake_ns < end - S) {
        now = e.wake_ns;
        assert_true(step(&d, KEYS_TICK, now, 0, 0).ask);
        e = step(&d, KEYS_CAME, now, end - now, draw(&seed));
        assert_true(++asked < 12);
    }
    assert_true(asked >= 3);
}

static void a_failing_provider_is_asked_with_pauses(void **state)
{
    static const uint64_t ceilings_s[] = {1, 2, 4, 8, 15, 15, 15};
    struct keys_due d = {0};
    uint64_t now = 0;

    (void)state;
    assert_true(step(&d, KEYS_TICK, 0, 0, 0).ask);
    for (size_t i = 0; i < COUNT_OF(ceilings_s); i++) {
        struct keys_effect e = step(&d, KEYS_FAILED, now, 0, draw(&seed));

        assert_false(e.ask);
        assert_true(e.wake_ns - now >= ceilings_s[i] * S / 2);
        assert_true(e.wake_ns - now < ceilings_s[i] * S);
        now = e.wake_ns;
        assert_true(step(&d, KEYS_TICK, now, 0, 0).ask);
    }
    /* What comes at last ends that. */
    (void)step(&d, KEYS_CAME, now, 3600 * S, 0);
    assert_int_equal(d.failures, 0);
    assert_int_equal(keys_due_phase(&d, now), KEYS_FRESH);
}

/* Old keys stay in use to their very end, and the pauses get shorter when it nears. */
static void old_keys_stay_until_they_end(void **state)
{
    const uint64_t end = 3600 * S;
    struct keys_due d = {0};
    struct keys_effect e;
    uint64_t now = 0;
    uint64_t longest_calm = 0;
    uint64_t longest_urgent = 0;
    unsigned asked = 0;

    (void)state;
    (void)step(&d, KEYS_TICK, 0, 0, 0);
    e = step(&d, KEYS_CAME, 0, end, 0);
    while (now < end + 600 * S) {
        uint64_t pause;

        now = e.wake_ns;
        assert_true(step(&d, KEYS_TICK, now, 0, 0).ask);
        e = step(&d, KEYS_FAILED, now, 0, draw(&seed));
        pause = e.wake_ns - now;
        assert_int_equal(keys_due_phase(&d, now) == KEYS_ENDED, now >= end);
        if (now < end - 600 * S) {
            longest_calm = pause > longest_calm ? pause : longest_calm;
            assert_true(e.wake_ns <= end - 600 * S); /* the mandatory time is not slept through */
        } else {
            longest_urgent = pause > longest_urgent ? pause : longest_urgent;
        }
        asked++;
    }
    assert_true(longest_calm > 25 * S && longest_calm <= 60 * S);
    assert_true(longest_urgent <= 15 * S);
    assert_true(asked > 80 && asked < 250);
    (void)step(&d, KEYS_TICK, e.wake_ns, 0, 0);
    (void)step(&d, KEYS_CAME, e.wake_ns, 3600 * S, 0);
    assert_int_equal(keys_due_phase(&d, e.wake_ns), KEYS_FRESH);
}

/* A store that refuses whatever it is given does not make us ask in a circle. */
static void refusals_ask_once_a_second(void **state)
{
    struct keys_due d = {0};
    unsigned asked = 0;

    (void)state;
    (void)step(&d, KEYS_TICK, 0, 0, 0);
    (void)step(&d, KEYS_CAME, 0, KEYS_NEVER, 0);
    for (uint64_t now = S; now < 11 * S; now += S / 100) {
        struct keys_effect e = step(&d, KEYS_REFUSED, now, 0, 0);

        assert_int_equal(e.ask, !e.refused);
        if (e.ask) {
            asked++;
            (void)step(&d, KEYS_CAME, now, KEYS_NEVER, 0);
        }
    }
    assert_int_equal(asked, 10);
    /* Who is refused while one is under way waits for that one. */
    assert_true(step(&d, KEYS_REFUSED, 20 * S, 0, 0).ask);
    assert_false(step(&d, KEYS_REFUSED, 20 * S, 0, 0).refused);
    assert_false(step(&d, KEYS_REFUSED, 20 * S, 0, 0).ask);
}

/* What a provider reads may have changed behind its back: it is asked once more. */
static void a_reload_during_an_answer_asks_again(void **state)
{
    struct keys_due d = {0};
    struct keys_effect e;

    (void)state;
    (void)step(&d, KEYS_TICK, 0, 0, 0);
    e = step(&d, KEYS_RELOAD, 1, 0, 0);
    assert_false(e.ask);
    e = step(&d, KEYS_CAME, 2, KEYS_NEVER, 0);
    assert_true(e.ask);
    e = step(&d, KEYS_FAILED, 3, 0, 0);
    assert_false(e.ask);
}

/* Whatever happens in whatever order: one question at a time, keys are used to their end and no
 * longer, and someone always wakes up where there is something to do. */
static void nothing_breaks_the_rules(void **state)
{
    (void)state;
    for (int run = 0; run < 2000; run++) {
        struct keys_due d = {0};
        uint64_t now = 0;
        uint64_t end = 0;
        bool has = false;
        bool running = false;

        for (int i = 0; i < 200; i++) {
            uint64_t r = draw(&seed);
            enum keys_event_kind kind = running && r % 3 == 0   ? KEYS_CAME
                                        : running && r % 3 == 1 ? KEYS_FAILED
                                                                : (enum keys_event_kind)(r / 3 % 3);
            uint64_t life = r / 64 % 8 == 0 ? KEYS_NEVER : (1 + r / 512 % 7200) * S;
            struct keys_effect e = step(&d, kind, now, life, draw(&seed));
            enum keys_phase phase = keys_due_phase(&d, now);

            if (kind == KEYS_CAME || kind == KEYS_FAILED)
                running = false;
            if (kind == KEYS_CAME) {
                has = true;
                end = life == KEYS_NEVER ? KEYS_NEVER : now + life;
            }
            if ((e.ask && running) || d.running != (running || e.ask) ||
                (phase == KEYS_NONE) != !has || (phase == KEYS_ENDED) != (has && now >= end) ||
                (!e.ask && !running && e.wake_ns == KEYS_NEVER && end != KEYS_NEVER) ||
                (!e.ask && !running && e.wake_ns <= now))
                fail_msg("run %d step %d of seed %" PRIu64, run, i, given);
            running |= e.ask;
            now += r % 5 == 0 && !running && e.wake_ns != KEYS_NEVER ? e.wake_ns - now
                                                                     : draw(&seed) % (400 * S);
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none_is_asked_for_at_once),
        cmocka_unit_test(keys_that_stay_are_never_asked_for_again),
        cmocka_unit_test(renewal_comes_ahead_with_jitter),
        cmocka_unit_test(the_same_keys_again_are_asked_for_less_and_less_late),
        cmocka_unit_test(a_failing_provider_is_asked_with_pauses),
        cmocka_unit_test(old_keys_stay_until_they_end),
        cmocka_unit_test(refusals_ask_once_a_second),
        cmocka_unit_test(a_reload_during_an_answer_asks_again),
        cmocka_unit_test(nothing_breaks_the_rules),
    };

    if (argc > 1)
        seed = given = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
