/* Deleted ids of a head: a table against an array, its memory to the last byte, every allocation
 * failing, and readers beside who puts and gives up. */
#include "base/rand.h"
#include "node/cold_internal.h"
#include "tests/support/alloc_sweep.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { IDS = 700, STEPS = 6000, BATCH = 40 };

static uint64_t seed = 4711;
static struct collection c;

static int set_up(void **state)
{
    (void)state;
    memset(&c, 0, sizeof c);
    mem_budget_init(&c.budget, NULL, 0);
    assert_int_equal(cold_create(&c, NULL), ST_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cold_destroy(&c);
    assert_int_equal(mem_budget_bytes(&c.budget), 0);
    return 0;
}

/* Of all three kinds. */
static struct docid id_of(uint64_t n, char text[32])
{
    struct docid id = docid_u64(n);

    if (n % 3 == 1) {
        id.kind = DOCID_UUID;
        memset(id.uuid, 0, sizeof id.uuid);
        memcpy(id.uuid, &n, sizeof n);
    } else if (n % 3 == 2) {
        id.kind = DOCID_BYTES;
        (void)snprintf(text, 32, "document %" PRIu64, n);
        id.bytes = slice_text(text);
    }
    return id;
}

static void put(const uint64_t *numbers, size_t count, uint64_t lsn)
{
    struct tombstones_batch *batch = NULL;
    struct docid ids[BATCH];
    char texts[BATCH][32];

    for (size_t i = 0; i < count; i++)
        ids[i] = id_of(numbers[i], texts[i]);
    assert_int_equal(tombstones_reserve(&c, ids, count, &batch, NULL), ST_OK);
    memset(texts, 0, sizeof texts); /* they were copied */
    tombstones_put(&c, batch, lsn);
}

static status see(void *arg, const struct docid *id, uint64_t lsn, struct err *err)
{
    uint64_t *seen = arg;
    char text[32];

    (void)err;
    for (uint64_t n = 0; n < IDS; n++) {
        struct docid other = id_of(n, text);

        if (docid_equal(id, &other)) {
            assert_int_equal(seen[n], 0);
            seen[n] = lsn;
            return ST_OK;
        }
    }
    fail();
    return ST_BUG;
}

static void compare(const uint64_t *model)
{
    uint64_t seen[IDS] = {0};
    uint64_t count = 0;
    uint64_t lsn;
    char text[32];

    for (uint64_t n = 0; n < IDS; n++) {
        struct docid id = id_of(n, text);

        assert_int_equal(tombstones_find(&c, &id, &lsn), model[n] != 0);
        assert_int_equal(lsn, model[n]);
        count += model[n] != 0;
    }
    assert_int_equal(tombstones_count(&c), count);
    assert_int_equal(tombstones_each(&c, UINT64_MAX, see, seen, NULL), ST_OK);
    assert_memory_equal(seen, model, sizeof seen);
}

static void a_table_is_as_an_array(void **state)
{
    struct rand_seeded rand;
    uint64_t model[IDS] = {0};
    uint64_t numbers[BATCH];

    (void)state;
    print_message("seed %" PRIu64 "\n", seed);
    rand_seeded_init(&rand, seed);
    for (uint64_t lsn = 1; lsn <= STEPS; lsn++) {
        size_t count = 1 + (size_t)rand_below(&rand.source, lsn % 100 == 0 ? BATCH : 4);

        for (size_t i = 0; i < count; i++) {
            numbers[i] = rand_below(&rand.source, IDS);
            model[numbers[i]] = lsn;
        }
        put(numbers, count, lsn);
        if (rand_below(&rand.source, 400) == 0) {
            uint64_t upto = lsn - rand_below(&rand.source, lsn < 300 ? lsn : 300);

            tombstones_give_up(&c, upto);
            for (size_t n = 0; n < IDS; n++)
                model[n] = model[n] <= upto ? 0 : model[n];
        }
        if (lsn % 500 == 0)
            compare(model);
    }
    compare(model);
    tombstones_give_up(&c, UINT64_MAX);
    assert_int_equal(tombstones_count(&c), 0);
    assert_int_equal(tombstones_bytes(&c), 0);
}

static void an_older_lsn_takes_nothing_back(void **state)
{
    struct docid id = docid_u64(3);
    uint64_t number = 3;
    uint64_t lsn;

    (void)state;
    put(&number, 1, 9);
    put(&number, 1, 4);
    assert_true(tombstones_find(&c, &id, &lsn));
    assert_int_equal(lsn, 9);
}

static void those_above_are_left_out(void **state)
{
    uint64_t seen[IDS] = {0};

    (void)state;
    for (uint64_t n = 0; n < 100; n++)
        put(&n, 1, n + 1);
    assert_int_equal(tombstones_each(&c, 50, see, seen, NULL), ST_OK);
    for (uint64_t n = 0; n < 100; n++)
        assert_int_equal(seen[n], n < 50 ? n + 1 : 0);
    tombstones_give_up(&c, 50);
    assert_int_equal(tombstones_count(&c), 50);
}

static void what_is_reserved_counts_and_is_given_back(void **state)
{
    struct docid ids[8];
    struct tombstones_batch *batch = NULL;
    uint64_t before;
    struct err err = {0};

    (void)state;
    for (uint64_t n = 0; n < 8; n++)
        ids[n] = docid_u64(n);
    assert_int_equal(tombstones_reserve(&c, ids, 8, &batch, NULL), ST_OK);
    assert_true(mem_budget_bytes(&c.budget) >= sizeof ids);
    tombstones_release(&c, batch);
    before = mem_budget_bytes(&c.budget);
    c.budget.bytes_max = before + 200;
    assert_int_equal(tombstones_reserve(&c, ids, 8, &batch, &err), ST_NOSPACE);
    assert_int_equal(mem_budget_bytes(&c.budget), before);
}

static status reserve_and_put(void *arg)
{
    struct tombstones_batch *batch = NULL;
    struct docid ids[BATCH];
    uint64_t *next = arg;
    uint64_t count = tombstones_count(&c);
    status st;

    for (size_t i = 0; i < BATCH; i++)
        ids[i] = docid_u64(*next + i);
    st = tombstones_reserve(&c, ids, BATCH, &batch, NULL);
    if (st == ST_OK)
        tombstones_put(&c, batch, 1);
    assert_int_equal(tombstones_count(&c), count + (st == ST_OK ? BATCH : 0));
    *next += BATCH;
    return st;
}

static void any_allocation_may_fail(void **state)
{
    uint64_t next = 0;

    (void)state;
    assert_true(alloc_sweep(reserve_and_put, &next) >= BATCH);
}

/* --- beside each other --- */

static _Atomic uint64_t applied, given_up;
static _Atomic bool over;

/* What was put and not given up is found, whatever happens to the table. */
static void read_all_the_time(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) {
        uint64_t last = atomic_load(&applied);

        for (uint64_t n = last > 50 ? last - 50 : 1; n <= last; n++) {
            struct docid id = docid_u64(n);
            uint64_t lsn;
            bool there = tombstones_find(&c, &id, &lsn);

            assert_true(there || atomic_load(&given_up) >= n);
            assert_true(!there || lsn == n);
        }
    }
}

static void readers_go_on_beside_who_puts_and_gives_up(void **state)
{
    struct thread readers[2] = {0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(readers); i++)
        assert_int_equal(
            thread_start(&readers[i], "reader", THREAD_NORMAL, read_all_the_time, NULL, NULL),
            ST_OK);
    for (uint64_t n = 1; n <= 20000; n++) {
        struct tombstones_batch *batch = NULL;
        struct docid id = docid_u64(n);

        assert_int_equal(tombstones_reserve(&c, &id, 1, &batch, NULL), ST_OK);
        tombstones_put(&c, batch, n);
        atomic_store(&applied, n);
        if (n % 3000 == 0) {
            atomic_store(&given_up, n - 60);
            tombstones_give_up(&c, n - 60);
        }
    }
    atomic_store(&over, true);
    for (size_t i = 0; i < COUNT_OF(readers); i++)
        thread_join(&readers[i]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_table_is_as_an_array, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_older_lsn_takes_nothing_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(those_above_are_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_reserved_counts_and_is_given_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(any_allocation_may_fail, set_up, tear_down),
        cmocka_unit_test_setup_teardown(readers_go_on_beside_who_puts_and_gives_up, set_up,
                                        tear_down),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
