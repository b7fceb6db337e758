/* The life of a row: reserve, fill, publish, replace, erase, retire, and what refusals leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "index/slots.h"
#include "index/slots_internal.h"
#include "tests/support/alloc_sweep.h"

struct table {
    struct epoch *epoch;
    struct mem_budget budget;
    struct slots *s;
};

static void table_open(struct table *t, uint64_t bytes_max)
{
    mem_budget_init(&t->budget, NULL, bytes_max);
    assert_int_equal(epoch_create(&t->epoch, NULL), ST_OK);
    assert_int_equal(
        slots_create(&(struct slots_options){.epoch = t->epoch, .budget = &t->budget}, &t->s, NULL),
        ST_OK);
}

static void check(const struct slots *s)
{
    struct err err = {0};

    if (slots_check(s, &err) != ST_OK)
        fail_msg("%s", err.text);
}

static void table_close(struct table *t)
{
    check(t->s);
    slots_destroy(t->s);
    assert_int_equal(mem_budget_bytes(&t->budget), 0);
    epoch_destroy(t->epoch);
}

static uint32_t put(struct table *t, struct docid id, const char *payload, uint64_t lsn,
                    uint32_t *old)
{
    uint32_t slot;
    uint32_t replaced;

    assert_int_equal(slots_reserve(t->s, 1, &slot, NULL), ST_OK);
    assert_int_equal(
        slots_fill(t->s, slot, &id, (struct slice){0}, slice_text(payload), lsn * 10, NULL), ST_OK);
    replaced = slots_publish(t->s, slot, lsn);
    if (old != NULL)
        *old = replaced;
    return slot;
}

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
    check(t.s);
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
    first = put(&t, id, "one", 1, NULL);
    second = put(&t, id, "two", 2, &old);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_invisible_until_published_and_whole_after),
        cmocka_unit_test(the_newest_row_of_an_id_is_the_current_one),
    };

    return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
