/* The life of a row: reserve, fill, publish, replace, erase, retire; what refusals leave; growth.
 */
#include "tests/unit/index/slots_fixture.h"

#include <stdlib.h>

#include "index/slots_internal.h"
#include "tests/support/alloc_sweep.h"

static void a_row_is_invisible_until_published_and_whole_after(void **state)
{
    struct table t;
    struct docid id = docid_u64(7);
    struct row row;
    uint32_t slot;

    (void)state;
    table_open(&t, 0);
    assert_int_equal(slots_find(t.s, &id), SLOT_NONE);
    assert_int_equal(slots_reserve(t.s, 1, &slot, NULL), ST_OK);
    assert_int_equal(slots_state(t.s, slot), SLOT_RESERVED);
    assert_int_equal(
        slots_fill(t.s, slot, &id, slice_text("outside"), slice_text("payload"), 99, NULL), ST_OK);
    assert_int_equal(slots_find(t.s, &id), SLOT_NONE);
    assert_false(slots_current(t.s, slot));
    table_check(&t);
    assert_int_equal(slots_publish(t.s, slot, 5), SLOT_NONE);
    assert_int_equal(slots_find(t.s, &id), slot);
    assert_true(slots_current(t.s, slot));
    slots_row(t.s, slot, &row);
    assert_true(docid_equal(&row.id, &id));
    assert_int_equal(row.lsn, 5);
    assert_int_equal(row.inserted_at_ns, 99);
    assert_true(slice_equal(row.external_id, slice_text("outside")));
    assert_true(slice_equal(row.payload, slice_text("payload")));
    assert_int_equal(slots_live_count(t.s), 1);
    table_close(&t);
}

static void the_newest_row_of_an_id_is_the_current_one(void **state)
{
    struct table t;
    struct docid id = docid_u64(7);
    struct row row;
    uint32_t first;
    uint32_t second;
    uint32_t old;

    (void)state;
    table_open(&t, 0);
    first = table_put(&t, &id, "one", 1, &old);
    assert_int_equal(old, SLOT_NONE);
    second = table_put(&t, &id, "two", 2, &old);
    assert_int_equal(old, first);
    assert_int_equal(slots_find(t.s, &id), second);
    assert_false(slots_current(t.s, first));
    assert_true(slots_current(t.s, second));
    assert_int_equal(slots_state(t.s, first), SLOT_DEAD);
    slots_row(t.s, first, &row); /* still readable */
    assert_true(slice_equal(row.payload, slice_text("one")));
    assert_int_equal(slots_live_count(t.s), 1);
    assert_int_equal(slots_dead_count(t.s), 1);
    assert_int_equal(slots_erase(t.s, &id), second);
    assert_int_equal(slots_erase(t.s, &id), SLOT_NONE);
    assert_int_equal(slots_find(t.s, &id), SLOT_NONE);
    assert_int_equal(slots_live_count(t.s), 0);
    table_close(&t);
}

/* While the applier is between two steps, both rows of an id may be live; the map alone decides. */
static void of_two_live_rows_the_map_names_the_current_one(void **state)
{
    struct table t;
    struct docid id = docid_u64(7);
    uint32_t first;
    uint32_t second;

    (void)state;
    table_open(&t, 0);
    first = table_put(&t, &id, "one", 1, NULL);
    second = table_put(&t, &id, "two", 2, NULL);
    state_store(t.s, first, SLOT_LIVE);
    atomic_store(&t.s->settling, second);
    atomic_store(&t.s->settled_old, first);
    assert_false(slots_current(t.s, first));
    assert_true(slots_current(t.s, second));
    atomic_store(&t.s->settling, SLOT_NONE);
    atomic_store(&t.s->settled_old, SLOT_NONE);
    state_store(t.s, first, SLOT_DEAD);
    table_close(&t);
}

/* Byte strings that share a prefix, differ in length, or look like an integer's bytes. */
static void ids_of_all_kinds_are_told_apart(void **state)
{
    char longest[DOCID_BYTES_MAX + 1];
    char other[DOCID_BYTES_MAX + 1];
    struct docid ids[10] = {docid_u64(0),
                            docid_u64(UINT64_MAX),
                            uuid_id(0, 0),
                            uuid_id(0, 1),
                            uuid_id(1, 0),
                            text_id("a"),
                            text_id("a prefix of fourteen and more"),
                            text_id("a prefix of fourteen and less")};
    uint32_t slots[10];
    struct table t;

    (void)state;
    memset(longest, 'x', sizeof longest);
    longest[DOCID_BYTES_MAX] = '\0';
    memcpy(other, longest, sizeof other);
    other[DOCID_BYTES_MAX - 1] = 'y';
    ids[8] = text_id(longest);
    ids[9] = text_id(other);
    table_open(&t, 0);
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        slots[i] = table_put(&t, &ids[i], i % 2 == 0 ? "" : "payload", i + 1, NULL);
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        struct row row;

        assert_int_equal(slots_find(t.s, &ids[i]), slots[i]);
        slots_row(t.s, slots[i], &row);
        assert_true(docid_equal(&row.id, &ids[i]));
        assert_true(slice_equal(row.payload, slice_text(i % 2 == 0 ? "" : "payload")));
    }
    assert_int_equal(
        slots_find(t.s, &(struct docid){.kind = DOCID_BYTES, .bytes = slice_make(longest, 511)}),
        SLOT_NONE);
    table_close(&t);
}

static void an_id_that_cannot_be_is_refused(void **state)
{
    struct table t;
    struct docid bad[] = {
        {.kind = 0}, {.kind = 4}, {.kind = DOCID_BYTES, .bytes = {0}}, text_id("")};
    uint32_t slot;

    (void)state;
    table_open(&t, 0);
    assert_int_equal(slots_reserve(t.s, 1, &slot, NULL), ST_OK);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(
            slots_fill(t.s, slot, &bad[i], (struct slice){0}, (struct slice){0}, 0, NULL),
            ST_INVALID);
    slots_abandon(t.s, slot);
    table_close(&t);
}

static void an_abandoned_slot_comes_again_and_costs_nothing(void **state)
{
    struct table t;
    struct docid id = docid_u64(1);
    uint32_t first;
    uint32_t again;
    uint64_t bytes;

    (void)state;
    table_open(&t, 0);
    assert_int_equal(slots_reserve(t.s, 1, &first, NULL), ST_OK);
    bytes = slots_bytes(t.s);
    assert_int_equal(slots_fill(t.s, first, &id, slice_text("x"), slice_text("y"), 0, NULL), ST_OK);
    assert_true(slots_bytes(t.s) > bytes);
    slots_abandon(t.s, first);
    assert_int_equal(slots_bytes(t.s), bytes);
    assert_int_equal(slots_reserve(t.s, 1, &again, NULL), ST_OK);
    assert_int_equal(again, first);
    slots_abandon(t.s, again); /* never filled */
    assert_int_equal(slots_end(t.s), 1);
    table_close(&t);
}

static void a_retired_slot_is_free_when_its_readers_are_gone(void **state)
{
    struct table t;
    struct docid id = docid_u64(1);
    struct epoch_guard guard;
    struct row row;
    uint32_t first;
    uint32_t other;
    uint64_t bytes;

    (void)state;
    table_open(&t, 0);
    first = table_put(&t, &id, "something", 1, NULL);
    guard = epoch_enter(t.epoch);
    slots_row(t.s, first, &row);
    (void)slots_erase(t.s, &id);
    slots_retire(t.s, first);
    assert_int_equal(slots_dead_count(t.s), 0);
    table_collect(&t);
    table_check(&t);
    assert_true(slice_equal(row.payload, slice_text("something"))); /* the sanitizer looks on */
    assert_int_equal(slots_state(t.s, first), SLOT_RETIRED);
    assert_int_equal(slots_reserve(t.s, 1, &other, NULL), ST_OK);
    assert_int_not_equal(other, first);
    epoch_leave(t.epoch, guard);
    bytes = slots_bytes(t.s);
    table_collect(&t);
    assert_true(slots_bytes(t.s) < bytes);
    assert_int_equal(slots_state(t.s, first), SLOT_FREE);
    slots_abandon(t.s, other);
    table_close(&t);
}

/* The second is retired while the first is with the epoch, and must wait for a reader that came in
 * between. */
static void a_later_batch_waits_for_later_readers(void **state)
{
    struct table t;
    struct docid ids[2] = {docid_u64(1), docid_u64(2)};
    struct epoch_guard guard;
    uint32_t slots[2];

    (void)state;
    table_open(&t, 0);
    for (int i = 0; i < 2; i++) {
        slots[i] = table_put(&t, &ids[i], "x", 1, NULL);
        (void)slots_erase(t.s, &ids[i]);
    }
    slots_retire(t.s, slots[0]);
    (void)epoch_collect(t.epoch);
    guard = epoch_enter(t.epoch);
    slots_retire(t.s, slots[1]);
    table_collect(&t);
    assert_int_equal(slots_state(t.s, slots[0]), SLOT_FREE);
    assert_int_equal(slots_state(t.s, slots[1]), SLOT_RETIRED);
    epoch_leave(t.epoch, guard);
    table_collect(&t);
    assert_int_equal(slots_state(t.s, slots[1]), SLOT_FREE);
    table_close(&t);
}

static void no_slot_is_reused_while_paused(void **state)
{
    struct table t;
    struct docid id = docid_u64(1);
    uint32_t slot;

    (void)state;
    table_open(&t, 0);
    slot = table_put(&t, &id, "kept", 1, NULL);
    (void)slots_erase(t.s, &id);
    slots_reuse_pause(t.s);
    slots_reuse_pause(t.s);
    slots_retire(t.s, slot);
    table_collect(&t);
    assert_int_equal(slots_state(t.s, slot), SLOT_RETIRED);
    table_check(&t);
    slots_reuse_resume(t.s);
    assert_int_equal(slots_state(t.s, slot), SLOT_RETIRED);
    slots_reuse_resume(t.s);
    assert_int_equal(slots_state(t.s, slot), SLOT_FREE);
    table_close(&t);
}

/* The epoch's callback comes after the table and its budget are gone. */
static void a_table_may_go_while_its_slots_wait_for_readers(void **state)
{
    struct table t;
    struct docid id = docid_u64(1);
    struct epoch_guard guard;
    uint32_t page[4];
    uint32_t count;
    uint32_t slot;

    (void)state;
    table_open(&t, 0);
    slot = table_put(&t, &id, "x", 1, NULL);
    guard = epoch_enter(t.epoch);
    assert_int_equal(slots_page(t.s, NULL, 4, page, &count, NULL), ST_OK);
    (void)table_put(&t, &id, "y", 2, NULL);
    assert_int_equal(slots_page(t.s, NULL, 4, page, &count, NULL), ST_OK);
    epoch_leave(t.epoch, guard);
    slots_retire(t.s, slot);
    slots_destroy(t.s);
    assert_int_equal(mem_budget_bytes(&t.budget), 0);
    memset(&t.budget, 0xa5, sizeof t.budget);
    epoch_destroy(t.epoch);
}

static void dead_slots_are_listed_until_retired(void **state)
{
    enum { ROWS = 300 };
    struct table t;
    uint32_t dead[ROWS];

    (void)state;
    table_open(&t, 0);
    for (uint64_t i = 0; i < ROWS; i++)
        (void)table_put(&t, &(struct docid){.kind = DOCID_U64, .u64 = i}, "", i, NULL);
    for (uint64_t i = 0; i < ROWS; i += 3)
        (void)slots_erase(t.s, &(struct docid){.kind = DOCID_U64, .u64 = i});
    assert_int_equal(slots_dead_list(t.s, dead, ROWS), ROWS / 3);
    for (uint32_t i = 0; i < ROWS / 3; i++)
        assert_int_equal(dead[i], i * 3);
    assert_int_equal(slots_dead_list(t.s, dead, 7), 7);
    slots_retire(t.s, dead[2]);
    assert_int_equal(slots_dead_list(t.s, dead, ROWS), ROWS / 3 - 1);
    assert_int_equal(slots_dead_count(t.s), ROWS / 3 - 1);
    table_close(&t);
}

/* Readers may stand on a row while it is unlinked; it must lead them on. Erases and replaces every
 * row that is not the last of its chain. */
static void an_unlinked_row_still_leads_to_the_next(void **state)
{
    enum { ROWS = 500 };
    struct table t;
    uint32_t led = 0;

    (void)state;
    table_open(&t, 0);
    for (uint64_t i = 0; i < ROWS; i++)
        (void)table_put(&t, &(struct docid){.kind = DOCID_U64, .u64 = i}, "", i, NULL);
    for (uint32_t slot = 0; slot < ROWS; slot++) {
        struct docid id = docid_u64(slot);
        uint32_t next = atomic_load(&row_at(t.s, slot)->chain);
        uint32_t newer = SLOT_NONE;

        if (next == LINK_END)
            continue;
        if (slot % 2 == 0)
            (void)slots_erase(t.s, &id);
        else
            newer = table_put(&t, &id, "", ROWS, NULL);
        assert_int_equal(atomic_load(&row_at(t.s, slot)->chain), next);
        if (newer != SLOT_NONE) /* in the place of the other */
            assert_int_equal(atomic_load(&row_at(t.s, newer)->chain), next);
        led++;
    }
    assert_true(led > ROWS / 10);
    table_close(&t);
}

/* --- cost --- */

static void a_small_table_costs_little_and_an_empty_row_no_allocation(void **state)
{
    struct table t;
    int64_t asked;

    (void)state;
    table_open(&t, 0);
    assert_int_equal(slots_bytes(t.s), 0);
    (void)table_put(&t, &(struct docid){.kind = DOCID_U64, .u64 = 0}, "", 1, NULL);
    mem_test_fail_after(-1); /* counts from here */
    for (uint64_t i = 1; i < 10; i++)
        (void)table_put(&t, &(struct docid){.kind = DOCID_U64, .u64 = i}, "", 1, NULL);
    asked = mem_test_count();
    assert_int_equal(asked, 0);
    assert_true(slots_bytes(t.s) <= 4096 + 512);
    table_close(&t);
}

/* However large the map is, one publish looks at a handful of rows. The bound is far above what
 * chains at one row a bucket come to, and far below any table that would be moved at once. */
static void no_publish_gets_long_while_a_million_ids_grow(void **state)
{
    enum { ROWS = 1000000, BATCH = 1000, WALK_MAX = 64, ROW_BYTES_MAX = 72 };
    struct table t;
    uint32_t *slots = malloc(BATCH * sizeof *slots);

    (void)state;
    assert_non_null(slots);
    table_open(&t, 0);
    for (uint64_t row = 0; row < ROWS; row += BATCH) {
        assert_int_equal(slots_reserve(t.s, BATCH, slots, NULL), ST_OK);
        for (uint32_t i = 0; i < BATCH; i++) {
            struct docid id = docid_u64(row + i);

            assert_int_equal(
                slots_fill(t.s, slots[i], &id, (struct slice){0}, (struct slice){0}, 0, NULL),
                ST_OK);
            (void)slots_publish(t.s, slots[i], row + 1);
        }
    }
    assert_int_equal(slots_live_count(t.s), ROWS);
    assert_true(t.s->walked_max < WALK_MAX);
    assert_true(slots_bytes(t.s) / ROWS < ROW_BYTES_MAX);
    for (uint64_t row = 0; row < ROWS; row += 997)
        assert_int_equal(slots_find(t.s, &(struct docid){.kind = DOCID_U64, .u64 = row}), row);
    free(slots);
    table_close(&t);
}

/* --- refusals --- */

/* Slots that a refused write gave back may lie where the vector index has no room. */
static void an_abandoned_slot_comes_after_those_that_rows_lived_in(void **state)
{
    enum { ROWS = 6 };
    uint32_t refused[3];
    uint32_t out[ROWS + 3];
    struct table t;

    (void)state;
    table_open(&t, 0);
    for (uint64_t i = 0; i < ROWS; i++)
        (void)table_put(&t, &(struct docid){.kind = DOCID_U64, .u64 = i}, "", i + 1, NULL);
    assert_int_equal(slots_reserve(t.s, 3, refused, NULL), ST_OK);
    slots_abandon(t.s, refused[0]);
    for (uint64_t i = 0; i < ROWS; i++)
        slots_retire(t.s, slots_erase(t.s, &(struct docid){.kind = DOCID_U64, .u64 = i}));
    table_collect(&t);
    slots_abandon(t.s, refused[1]);
    slots_abandon(t.s, refused[2]);
    table_check(&t);
    assert_int_equal(slots_reserve(t.s, ROWS, out, NULL), ST_OK);
    for (size_t i = 0; i < ROWS; i++)
        assert_true(out[i] < ROWS);
    assert_int_equal(slots_reserve(t.s, 3, out + ROWS, NULL), ST_OK);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(out[ROWS + i], refused[i]);
    for (size_t i = 0; i < ROWS + 3; i++)
        slots_abandon(t.s, out[i]);
    table_close(&t);
}

static void a_full_budget_refuses_and_all_stays_usable(void **state)
{
    enum { BUDGET = 64 * 1024 };
    struct table t;
    char payload[200];
    struct err err = {0};
    uint32_t slot;
    uint32_t dead[16];
    uint64_t rows = 0;
    status st = ST_OK;

    (void)state;
    memset(payload, 'p', sizeof payload);
    table_open(&t, BUDGET);
    while (st == ST_OK) {
        struct docid id = docid_u64(rows);

        st = slots_reserve(t.s, 1, &slot, &err);
        if (st != ST_OK)
            break;
        st = slots_fill(t.s, slot, &id, (struct slice){0}, slice_make(payload, sizeof payload), 0,
                        &err);
        if (st != ST_OK)
            slots_abandon(t.s, slot);
        else
            (void)slots_publish(t.s, slot, ++rows);
    }
    assert_int_equal(st, ST_NOSPACE);
    assert_non_null(strstr(err.text, "memory"));
    assert_true(rows > 100);
    assert_int_equal(slots_live_count(t.s), rows);
    table_check(&t);
    assert_int_equal(slots_reserve(t.s, 100000, NULL, NULL), ST_NOSPACE);
    for (uint64_t i = 0; i < 16; i++) {
        dead[i] = slots_erase(t.s, &(struct docid){.kind = DOCID_U64, .u64 = i});
        slots_retire(t.s, dead[i]);
    }
    table_collect(&t);
    slot = table_fill(&t, &(struct docid){.kind = DOCID_U64, .u64 = 5},
                      slice_make(payload, sizeof payload));
    assert_int_equal(slots_publish(t.s, slot, rows + 1), SLOT_NONE);
    table_close(&t);
}

static void more_rows_than_a_collection_holds_are_refused(void **state)
{
    struct table t;
    uint32_t slot;

    (void)state;
    table_open(&t, 1 << 20);
    assert_int_equal(slots_reserve(t.s, UINT32_MAX, NULL, NULL), ST_NOSPACE);
    assert_int_equal(slots_end(t.s), 0);
    assert_int_equal(slots_reserve(t.s, 1, &slot, NULL), ST_OK);
    slots_abandon(t.s, slot);
    table_close(&t);
}

static status live_through_everything(void *arg)
{
    enum { ROWS = 200 };
    struct table *t = arg;
    uint32_t slots[ROWS];
    uint32_t page[ROWS];
    uint32_t count;
    uint32_t filled = 0;
    struct slots *s = NULL;
    status st;

    st = slots_create(&(struct slots_options){.epoch = t->epoch, .budget = &t->budget}, &s, NULL);
    if (st != ST_OK)
        return st;
    st = slots_reserve(s, ROWS, slots, NULL);
    for (; st == ST_OK && filled < ROWS; filled += st == ST_OK) {
        struct docid id = docid_u64(filled % 150);

        st = slots_fill(s, slots[filled], &id, (struct slice){0}, slice_text("x"), 0, NULL);
        if (st == ST_OK)
            (void)slots_publish(s, slots[filled], filled + 1);
        if (st == ST_OK && filled % 50 == 49) { /* an order, a tail, a tail merged with news */
            struct epoch_guard guard = epoch_enter(t->epoch);

            st = slots_page(s, NULL, ROWS, page, &count, NULL);
            epoch_leave(t->epoch, guard);
            if (st != ST_OK)
                filled++;
        }
    }
    assert_int_equal(slots_check(s, NULL), ST_OK);
    slots_destroy(s);
    assert_int_equal(mem_budget_bytes(&t->budget), 0);
    while (epoch_collect(t->epoch) > 0)
        ;
    return st;
}

static void each_allocation_may_fail(void **state)
{
    struct table t;

    (void)state;
    table_open(&t, 0);
    assert_true(alloc_sweep(live_through_everything, &t) > 200);
    table_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_invisible_until_published_and_whole_after),
        cmocka_unit_test(the_newest_row_of_an_id_is_the_current_one),
        cmocka_unit_test(of_two_live_rows_the_map_names_the_current_one),
        cmocka_unit_test(ids_of_all_kinds_are_told_apart),
        cmocka_unit_test(an_id_that_cannot_be_is_refused),
        cmocka_unit_test(an_abandoned_slot_comes_again_and_costs_nothing),
        cmocka_unit_test(an_abandoned_slot_comes_after_those_that_rows_lived_in),
        cmocka_unit_test(a_retired_slot_is_free_when_its_readers_are_gone),
        cmocka_unit_test(a_later_batch_waits_for_later_readers),
        cmocka_unit_test(no_slot_is_reused_while_paused),
        cmocka_unit_test(a_table_may_go_while_its_slots_wait_for_readers),
        cmocka_unit_test(dead_slots_are_listed_until_retired),
        cmocka_unit_test(an_unlinked_row_still_leads_to_the_next),
        cmocka_unit_test(a_small_table_costs_little_and_an_empty_row_no_allocation),
        cmocka_unit_test(no_publish_gets_long_while_a_million_ids_grow),
        cmocka_unit_test(a_full_budget_refuses_and_all_stays_usable),
        cmocka_unit_test(more_rows_than_a_collection_holds_are_refused),
        cmocka_unit_test(each_allocation_may_fail),
    };

    return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
