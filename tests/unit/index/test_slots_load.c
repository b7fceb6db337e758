/* Loading a checkpoint, and that slots_check() finds what is broken. */
#include "tests/unit/index/slots_fixture.h"

#include <inttypes.h>

#include "index/slots_internal.h"
#include "tests/support/alloc_sweep.h"

static struct row make_row(struct docid id, uint64_t lsn, const char *payload)
{
    return (struct row){.id = id, .lsn = lsn, .payload = slice_text(payload)};
}

static status load(struct table *t, uint32_t slot, bool dead, struct docid id, uint64_t lsn)
{
    struct row row = make_row(id, lsn, "loaded");

    return slots_load(t->s, slot, dead, &row, NULL);
}

static void rows_come_back_where_they_were_and_gaps_are_free(void **state)
{
    enum { FAR = 70001 };
    struct table t;
    struct docid ids[2] = {docid_u64(1), text_id("two")};
    uint32_t slots[3];
    struct row row;

    (void)state;
    table_open(&t, 0);
    assert_int_equal(load(&t, FAR, false, ids[1], 9), ST_OK);
    assert_int_equal(load(&t, 1, false, ids[0], 4), ST_OK);
    assert_int_equal(load(&t, 3, true, ids[0], 3), ST_OK);
    assert_int_equal(slots_load_finish(t.s, NULL), ST_OK);
    table_check(&t);
    assert_int_equal(slots_find(t.s, &ids[0]), 1);
    assert_int_equal(slots_find(t.s, &ids[1]), FAR);
    assert_int_equal(slots_end(t.s), FAR + 1);
    assert_int_equal(slots_dead_count(t.s), 1);
    slots_row(t.s, FAR, &row);
    assert_int_equal(row.lsn, 9);
    assert_true(slice_equal(row.payload, slice_text("loaded")));
    assert_int_equal(slots_reserve(t.s, 3, slots, NULL), ST_OK);
    assert_int_equal(slots[0], 0);
    assert_int_equal(slots[1], 2);
    assert_int_equal(slots[2], 4);
    table_close(&t);
}

static void of_two_rows_of_an_id_the_higher_lsn_wins(void **state)
{
    struct table t;

    (void)state;
    for (int turn = 0; turn < 2; turn++) {
        struct docid id = docid_u64(5);
        uint32_t newer = turn == 0 ? 0 : 1;

        table_open(&t, 0);
        for (uint32_t i = 0; i < 2; i++)
            assert_int_equal(load(&t, i, false, id, i == newer ? 8 : 7), ST_OK);
        assert_int_equal(slots_load_finish(t.s, NULL), ST_OK);
        assert_int_equal(slots_find(t.s, &id), newer);
        assert_true(slots_current(t.s, newer));
        assert_int_equal(slots_state(t.s, 1 - newer), SLOT_DEAD);
        assert_int_equal(slots_dead_count(t.s), 1);
        table_close(&t);
    }
}

static void a_slot_taken_or_out_of_range_is_corruption(void **state)
{
    struct table t;
    struct row bad = make_row((struct docid){.kind = 9}, 1, "");
    struct row late = make_row(docid_u64(7), SLOTS_LSN_MAX + 1, "");

    (void)state;
    table_open(&t, 0);
    assert_int_equal(load(&t, 2, false, docid_u64(1), 1), ST_OK);
    assert_int_equal(load(&t, 2, false, docid_u64(2), 1), ST_CORRUPT);
    assert_int_equal(load(&t, 2, true, docid_u64(2), 1), ST_CORRUPT);
    assert_int_equal(load(&t, SLOTS_MAX, false, docid_u64(2), 1), ST_CORRUPT);
    assert_int_equal(load(&t, UINT32_MAX, false, docid_u64(2), 1), ST_CORRUPT);
    assert_int_equal(slots_load(t.s, 0, false, &bad, NULL), ST_CORRUPT);
    assert_int_equal(slots_load(t.s, 0, false, &late, NULL), ST_CORRUPT);
    assert_int_equal(slots_load_finish(t.s, NULL), ST_OK);
    assert_int_equal(slots_live_count(t.s), 1);
    table_close(&t);
}

/* A slot number that a broken image claims costs at most the budget. */
static void a_far_slot_is_refused_by_the_budget(void **state)
{
    struct table t;

    (void)state;
    table_open(&t, 1 << 20);
    assert_int_equal(load(&t, SLOTS_MAX - 1, false, docid_u64(1), 1), ST_NOSPACE);
    assert_int_equal(load(&t, 0, false, docid_u64(1), 1), ST_OK);
    assert_int_equal(slots_load_finish(t.s, NULL), ST_OK);
    table_close(&t);
}

static status load_some(void *arg)
{
    struct table *t = arg;
    struct slots *s = NULL;
    status st;

    st = slots_create(&(struct slots_options){.epoch = t->epoch, .budget = &t->budget}, &s, NULL);
    for (uint32_t i = 0; st == ST_OK && i < 20; i++) {
        struct row row = make_row(docid_u64(i % 15), i, "payload");

        st = slots_load(s, i * 9000, false, &row, NULL);
    }
    if (st == ST_OK)
        st = slots_load_finish(s, NULL);
    slots_destroy(s);
    assert_int_equal(mem_budget_bytes(&t->budget), 0);
    return st;
}

static void each_allocation_of_a_load_may_fail(void **state)
{
    struct table t;

    (void)state;
    table_open(&t, 0);
    assert_true(alloc_sweep(load_some, &t) > 20);
    table_close(&t);
}

/* --- slots_check --- */

enum { CHECKED_ROWS = 300 };

/* Live, dead, retired, reserved, filled and free slots, and chains of several rows. */
static void open_checked(struct table *t)
{
    uint32_t slots[3];
    struct docid id = docid_u64(1000);

    table_open(t, 0);
    for (uint64_t i = 0; i < CHECKED_ROWS; i++) {
        id = docid_u64(i);
        (void)table_put(t, &id, "x", i, NULL);
    }
    for (uint64_t i = 0; i < 20; i++) {
        id = docid_u64(i);
        (void)slots_erase(t->s, &id);
    }
    for (uint32_t i = 0; i < 10; i++)
        slots_retire(t->s, i);
    table_collect(t);
    for (uint32_t i = 10; i < 15; i++)
        slots_retire(t->s, i);
    assert_int_equal(slots_reserve(t->s, 3, slots, NULL), ST_OK);
    id = docid_u64(1001);
    assert_int_equal(slots_fill(t->s, slots[1], &id, (struct slice){0}, (struct slice){0}, 0, NULL),
                     ST_OK);
    table_check(t);
}

static uint32_t a_slot(const struct table *t, enum slot_state state)
{
    for (uint32_t i = 0; i < slots_end(t->s); i++)
        if (slots_state(t->s, i) == state)
            return i;
    fail_msg("no slot in state %d", (int)state);
    return 0;
}

/* Any state in place of any other is found. */
static void a_wrong_state_is_found(void **state)
{
    struct table t;

    (void)state;
    open_checked(&t);
    for (enum slot_state from = SLOT_FREE; from <= SLOT_RETIRED; from++)
        for (unsigned to = SLOT_FREE; to <= SLOT_RETIRED + 2; to++) {
            uint32_t slot = a_slot(&t, from);
            /* What neither list nor count tells apart: not yet written, and not yet published
             * (a slot used before holds an id). */
            bool used = row_at(t.s, slot)->kind != 0;
            bool same =
                to == (unsigned)from || ((from == SLOT_RESERVED || from == SLOT_FILLED) &&
                                         (to == SLOT_RESERVED || (to == SLOT_FILLED && used)));

            atomic_store(state_at(t.s, slot), (uint8_t)to);
            if (slots_check(t.s, NULL) != (same ? ST_OK : ST_CORRUPT))
                fail_msg("state %d as %u", (int)from, to);
            state_store(t.s, slot, from);
        }
    table_close(&t);
}

/* Every link of every chain, cut: the ids behind it are missed. */
static void a_cut_chain_is_found(void **state)
{
    struct table t;
    uint32_t cut = 0;

    (void)state;
    open_checked(&t);
    for (uint32_t i = 0; i < slots_end(t.s); i++) {
        _Atomic uint32_t *links[2] = {&row_at(t.s, i)->chain,
                                      &place_of(t.s, i).piece->heads[place_of(t.s, i).at]};

        for (size_t j = 0; j < COUNT_OF(links); j++) {
            uint32_t link = atomic_load(links[j]);

            if (link == LINK_END || (j == 0 && slots_state(t.s, i) != SLOT_LIVE))
                continue;
            atomic_store(links[j], LINK_END);
            assert_int_equal(slots_check(t.s, NULL), ST_CORRUPT);
            atomic_store(links[j], UINT32_MAX); /* no such slot */
            assert_int_equal(slots_check(t.s, NULL), ST_CORRUPT);
            atomic_store(links[j], link);
            cut++;
        }
    }
    assert_true(cut >= CHECKED_ROWS - 20);
    table_close(&t);
}

static void a_wrong_count_is_found(void **state)
{
    struct table t;
    struct list *lists[3];

    (void)state;
    open_checked(&t);
    lists[0] = &t.s->pool->shared.free;
    lists[1] = &t.s->pool->shared.waiting;
    lists[2] = &t.s->pool->shared.gathered;
    atomic_fetch_add(&t.s->live, 1);
    assert_int_equal(slots_check(t.s, NULL), ST_CORRUPT);
    atomic_fetch_sub(&t.s->live, 1);
    atomic_fetch_add(&t.s->dead, 1);
    assert_int_equal(slots_check(t.s, NULL), ST_CORRUPT);
    atomic_fetch_sub(&t.s->dead, 1);
    atomic_fetch_add(&t.s->charged, 1);
    assert_int_equal(slots_check(t.s, NULL), ST_CORRUPT);
    atomic_fetch_sub(&t.s->charged, 1);
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        lists[i]->count++;
        assert_int_equal(slots_check(t.s, NULL), ST_CORRUPT);
        lists[i]->count--;
    }
    table_close(&t);
}

static void a_list_in_a_circle_is_found(void **state)
{
    struct table t;
    struct list *list;
    uint32_t *last;

    (void)state;
    open_checked(&t);
    list = &t.s->pool->shared.free;
    assert_true(list->count > 1);
    last = link_at(t.s, list->last - 1);
    *last = list->first;
    assert_int_equal(slots_check(t.s, NULL), ST_CORRUPT);
    *last = LINK_END;
    table_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back_where_they_were_and_gaps_are_free),
        cmocka_unit_test(of_two_rows_of_an_id_the_higher_lsn_wins),
        cmocka_unit_test(a_slot_taken_or_out_of_range_is_corruption),
        cmocka_unit_test(a_far_slot_is_refused_by_the_budget),
        cmocka_unit_test(each_allocation_of_a_load_may_fail),
        cmocka_unit_test(a_wrong_state_is_found),
        cmocka_unit_test(a_cut_chain_is_found),
        cmocka_unit_test(a_wrong_count_is_found),
        cmocka_unit_test(a_list_in_a_circle_is_found),
    };

    return cmocka_run_group_tests_name("slots_load", tests, NULL, NULL);
}
