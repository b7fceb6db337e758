/* Objects fetched ahead: in order, no more of them than allowed, whatever the store does. */
#include "objstore/faults.h"
#include "objstore/memory.h"
#include "snapshot/fetch.h"
#include "tests/unit/snapshot/counting_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { OBJECTS = 60, OBJECT_BYTES = 1000 };

struct bin { /* a store with objects 0.., each of its own length */
    struct objstore *memory, *faults;
    struct counting_store counting;
    struct rand_seeded rand;
    struct ask ask;
    unsigned named;
    bool tell_bytes;
};

static size_t bytes_of(unsigned i)
{
    return OBJECT_BYTES / 2 + i * 7 % OBJECT_BYTES;
}

static void key_of(unsigned i, char key[FETCH_KEY_BYTES])
{
    (void)snprintf(key, FETCH_KEY_BYTES, "o/%04u", i);
}

static void bin_open(struct bin *b)
{
    static unsigned count;
    char name[32];

    *b = (struct bin){.tell_bytes = true};
    rand_seeded_init(&b->rand, 5);
    (void)snprintf(name, sizeof name, "fetch-%u", count++);
    assert_int_equal(objstore_memory_open(name, NULL, &b->memory, NULL), ST_OK);
    for (unsigned i = 0; i < OBJECTS; i++) {
        char key[FETCH_KEY_BYTES];
        uint8_t body[2 * OBJECT_BYTES];
        struct objstore_req req = {
            .op = OBJSTORE_PUT, .key = key, .body = {.data = body, .bytes = bytes_of(i)}};

        key_of(i, key);
        memset(body, (int)i, sizeof body);
        assert_int_equal(objstore_wait(b->memory, &req, NULL), ST_OK);
        objstore_result_fini(&req.result);
    }
    assert_int_equal(objstore_faults_open(b->memory, 1, &b->faults, NULL), ST_OK);
    counting_store_init(&b->counting, b->faults);
    b->ask = (struct ask){.store = &b->counting.store,
                          .clock = clock_real(),
                          .rand = &b->rand.source,
                          .policy = objstore_retry_foreground()};
    b->ask.policy.base_ms = 1;
}

static void bin_close(struct bin *b)
{
    objstore_close(b->faults);
}

static bool name_next(void *arg, struct fetch_item *out)
{
    struct bin *b = arg;

    if (b->named == OBJECTS)
        return false;
    *out = (struct fetch_item){.bytes = b->tell_bytes ? bytes_of(b->named) : 0,
                               .bytes_max = (size_t)4 * OBJECT_BYTES,
                               .tag = b->named};
    key_of(b->named++, out->key);
    return true;
}

static void take_all(struct fetch *f)
{
    struct fetch_item item;
    struct buf body;

    for (unsigned i = 0; i < OBJECTS; i++) {
        assert_int_equal(fetch_next(f, &item, &body, NULL), ST_OK);
        assert_int_equal(item.tag, i);
        assert_int_equal(body.bytes, bytes_of(i));
        assert_int_equal(body.data[body.bytes - 1], (uint8_t)i);
        buf_free(&body);
    }
    assert_int_equal(fetch_next(f, &item, &body, NULL), ST_NOT_FOUND);
}

/* Object 3 in pieces of 100 bytes, beginning at 50; the last one ends behind it. */
static bool name_piece(void *arg, struct fetch_item *out)
{
    struct bin *b = arg;

    if (50 + 100 * b->named >= bytes_of(3))
        return false;
    *out = (struct fetch_item){.bytes = 100,
                               .bytes_max = 100,
                               .part = true,
                               .offset = 50 + 100 * b->named,
                               .tag = b->named};
    key_of(3, out->key);
    b->named++;
    return true;
}

static void parts_of_an_object_are_fetched_like_objects(void **state)
{
    uint64_t bytes = 0;
    struct fetch *f;
    struct bin b;

    (void)state;
    bin_open(&b);
    assert_int_equal(fetch_open(&b.ask, 3, 250, name_piece, &b, &f, NULL), ST_OK);
    for (;;) {
        struct fetch_item item;
        struct buf body;
        status st = fetch_next(f, &item, &body, NULL);

        if (st == ST_NOT_FOUND)
            break;
        assert_int_equal(st, ST_OK);
        assert_int_equal(item.offset, 50 + bytes);
        assert_true(body.bytes == 100 || item.offset + body.bytes == bytes_of(3));
        bytes += body.bytes;
        buf_free(&body);
    }
    assert_int_equal(bytes, bytes_of(3) - 50);
    fetch_close(f);
    bin_close(&b);
}

static void objects_come_in_order_whatever_the_window(void **state)
{
    static const uint32_t windows[] = {0, 1, 2, 7, 64, 1000};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(windows); i++) {
        struct fetch *f;
        struct bin b;

        bin_open(&b);
        assert_int_equal(fetch_open(&b.ask, windows[i], 10000, name_next, &b, &f, NULL), ST_OK);
        take_all(f);
        assert_int_equal(fetch_requests(f), OBJECTS);
        fetch_close(f);
        bin_close(&b);
    }
}

/* Nothing is taken: what was asked for then is all there ever is at a time. */
static void no_more_is_fetched_than_there_is_room_for(void **state)
{
    static const struct {
        uint32_t window;
        uint64_t bytes_max;
    } cases[] = {{8, 3000}, {64, 5000}, {3, 1 << 20}, {4, 1}, {16, 100000}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fetch_item item;
        struct buf body;
        struct fetch *f;
        struct bin b;

        bin_open(&b);
        assert_int_equal(
            fetch_open(&b.ask, cases[i].window, cases[i].bytes_max, name_next, &b, &f, NULL),
            ST_OK);
        for (unsigned k = 0; k < OBJECTS; k++) {
            const struct timespec little = {.tv_nsec = 1000000};
            uint64_t ahead = 0, last = 0;

            assert_int_equal(fetch_next(f, &item, &body, NULL), ST_OK);
            buf_free(&body);
            (void)nanosleep(&little, NULL);
            for (unsigned n = k + 1; n < b.counting.counts[OBJSTORE_GET]; n++)
                ahead += last = bytes_of(n);
            assert_true(ahead <= cases[i].bytes_max || ahead == last);
            assert_true(b.counting.counts[OBJSTORE_GET] - k - 1 <= cases[i].window);
        }
        fetch_close(f);
        bin_close(&b);
    }
}

/* The guess for objects whose size nobody told gives way to what they are. */
static void unknown_sizes_are_guessed_and_then_known(void **state)
{
    struct fetch *f;
    struct bin b;

    (void)state;
    bin_open(&b);
    b.tell_bytes = false;
    assert_int_equal(
        fetch_open(&b.ask, 8, (uint64_t)2 * FETCH_BYTES_GUESS, name_next, &b, &f, NULL), ST_OK);
    take_all(f);
    fetch_close(f);
    bin_close(&b);
}

static bool name_large(void *arg, struct fetch_item *out)
{
    struct bin *b = arg;

    if (b->named == 8)
        return false;
    *out = (struct fetch_item){.bytes_max = (size_t)4 * FETCH_BYTES_GUESS, .tag = b->named++};
    (void)snprintf(out->key, sizeof out->key, "large");
    return true;
}

/* Two are asked for by the first guess; once they are known to be large, one at a time. */
static void large_objects_are_learned_about(void **state)
{
    const size_t bytes = (size_t)2 * FETCH_BYTES_GUESS - 1;
    uint8_t *large = calloc(1, bytes);
    struct objstore_req req = {
        .op = OBJSTORE_PUT, .key = "large", .body = {.data = large, .bytes = bytes}};
    struct fetch *f;
    struct bin b;

    (void)state;
    bin_open(&b);
    assert_int_equal(objstore_wait(b.memory, &req, NULL), ST_OK);
    objstore_result_fini(&req.result);
    free(large);
    assert_int_equal(
        fetch_open(&b.ask, 8, (uint64_t)2 * FETCH_BYTES_GUESS, name_large, &b, &f, NULL), ST_OK);
    for (unsigned k = 0; k < 8; k++) {
        struct fetch_item item;
        struct buf body;

        assert_int_equal(fetch_next(f, &item, &body, NULL), ST_OK);
        buf_free(&body);
        assert_true(b.counting.counts[OBJSTORE_GET] <= (k == 0 ? 2u : k + 2));
    }
    fetch_close(f);
    bin_close(&b);
}

static void slow_and_failing_requests_change_no_order(void **state)
{
    struct fetch *f;
    struct bin b;

    (void)state;
    bin_open(&b);
    for (uint32_t n = 1; n < 40; n += 3) {
        const struct objstore_fault slow = {
            .kind = OBJSTORE_FAULT_DELAY, .nth = n, .delay_ms = n % 7};
        const struct objstore_fault refused = {
            .kind = OBJSTORE_FAULT_REFUSE, .class = OBJSTORE_TRANSIENT, .nth = n + 1};

        assert_int_equal(objstore_faults_add(b.faults, n % 2 == 0 ? &slow : &refused, NULL, NULL),
                         ST_OK);
    }
    assert_int_equal(fetch_open(&b.ask, 6, 10000, name_next, &b, &f, NULL), ST_OK);
    take_all(f);
    assert_true(fetch_requests(f) > OBJECTS);
    assert_int_equal(b.counting.fresh,
                     fetch_requests(f) - OBJECTS); /* what broke off, and no more */
    fetch_close(f);
    bin_close(&b);
}

/* What is in flight when nobody wants it any more. */
static void closing_waits_for_what_is_in_flight(void **state)
{
    const struct objstore_fault slow = {
        .kind = OBJSTORE_FAULT_DELAY, .times = OBJSTORE_FAULT_FOR_EVER, .delay_ms = 20};
    struct fetch_item item;
    struct buf body;
    struct fetch *f;
    struct bin b;

    (void)state;
    bin_open(&b);
    assert_int_equal(objstore_faults_add(b.faults, &slow, NULL, NULL), ST_OK);
    assert_int_equal(fetch_open(&b.ask, 8, 10000, name_next, &b, &f, NULL), ST_OK);
    fetch_close(f); /* before the first */
    assert_int_equal(fetch_open(&b.ask, 8, 10000, name_next, &b, &f, NULL), ST_OK);
    assert_int_equal(fetch_next(f, &item, &body, NULL), ST_OK);
    buf_free(&body);
    fetch_close(f);
    fetch_close(NULL);
    bin_close(&b);
}

static void an_object_that_is_not_there_is_asked_for_three_times(void **state)
{
    const struct objstore_fault gone = {.kind = OBJSTORE_FAULT_REFUSE,
                                        .class = OBJSTORE_NOT_FOUND,
                                        .key_part = "o/0000",
                                        .times = OBJSTORE_FAULT_FOR_EVER};
    struct fetch_item item;
    struct err err = {0};
    struct buf body;
    struct fetch *f;
    struct bin b;
    unsigned id;

    (void)state;
    bin_open(&b);
    assert_int_equal(objstore_faults_add(b.faults, &gone, &id, NULL), ST_OK);
    assert_int_equal(fetch_open(&b.ask, 2, 10000, name_next, &b, &f, NULL), ST_OK);
    assert_int_equal(fetch_next(f, &item, &body, &err), ST_NOT_FOUND);
    assert_int_equal(objstore_faults_met(b.faults, id), FETCH_MISSES);
    assert_non_null(strstr(err.text, "o/0000"));
    fetch_close(f);
    bin_close(&b);
}

static status get_once(struct bin *b, char key[FETCH_KEY_BYTES])
{
    struct buf body = {0};
    status st = ask_get(&b->ask, key, (size_t)4 * OBJECT_BYTES, &body, NULL, NULL);

    buf_free(&body);
    return st;
}

/* 500 tokens: 35 retries at 14 each, whoever they are of; then each gets its first answer. A
 * success gives one back. Without a budget each has its own. */
static void those_who_wait_share_their_retries(void **state)
{
    const struct objstore_fault broken = {.kind = OBJSTORE_FAULT_REFUSE,
                                          .class = OBJSTORE_TRANSIENT,
                                          .times = OBJSTORE_FAULT_FOR_EVER};
    struct objstore_retry_budget budget;
    char key[FETCH_KEY_BYTES];
    struct bin b;

    (void)state;
    key_of(3, key);
    bin_open(&b);
    objstore_retry_budget_init(&budget);
    b.ask.budget = &budget;
    b.ask.policy.max_ms = 1;
    assert_int_equal(objstore_faults_add(b.faults, &broken, NULL, NULL), ST_OK);
    for (int i = 0; i < 40; i++)
        assert_int_equal(get_once(&b, key), ST_UNAVAILABLE);
    assert_int_equal(b.counting.counts[OBJSTORE_GET], 40 + 500 / 14);
    objstore_faults_clear(b.faults);
    for (int i = 0; i < 4; i++) /* 10 are left */
        assert_int_equal(get_once(&b, key), ST_OK);
    assert_int_equal(budget.tokens, 14);
    assert_int_equal(objstore_faults_add(b.faults, &broken, NULL, NULL), ST_OK);
    assert_int_equal(get_once(&b, key), ST_UNAVAILABLE);
    assert_int_equal(b.counting.counts[OBJSTORE_GET], 40 + 500 / 14 + 4 + 2);
    b.ask.budget = NULL;
    assert_int_equal(get_once(&b, key), ST_UNAVAILABLE);
    assert_int_equal(b.counting.counts[OBJSTORE_GET], 40 + 500 / 14 + 4 + 2 + 4);
    bin_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_come_in_order_whatever_the_window),
        cmocka_unit_test(parts_of_an_object_are_fetched_like_objects),
        cmocka_unit_test(no_more_is_fetched_than_there_is_room_for),
        cmocka_unit_test(unknown_sizes_are_guessed_and_then_known),
        cmocka_unit_test(large_objects_are_learned_about),
        cmocka_unit_test(slow_and_failing_requests_change_no_order),
        cmocka_unit_test(closing_waits_for_what_is_in_flight),
        cmocka_unit_test(those_who_wait_share_their_retries),
        cmocka_unit_test(an_object_that_is_not_there_is_asked_for_three_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
