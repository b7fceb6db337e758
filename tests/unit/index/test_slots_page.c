/* Pages in id order: large orders, tails and their merges, reused slots, rows that die meanwhile.
 */
#include "tests/unit/index/slots_fixture.h"

#include <stdlib.h>

#include "index/slots_internal.h"

/* Walks everything in pages of `max`; the u64 ids go to out. Each page has a guard of its own. */
static uint32_t walk(struct table *t, uint32_t max, uint64_t *out, uint32_t out_max)
{
    uint32_t *page = malloc(max * sizeof *page);
    uint32_t seen = 0;
    uint32_t count = max;
    struct docid after;

    assert_non_null(page);
    while (count == max) {
        struct epoch_guard guard = epoch_enter(t->epoch);

        assert_int_equal(slots_page(t->s, seen == 0 ? NULL : &after, max, page, &count, NULL),
                         ST_OK);
        for (uint32_t i = 0; i < count; i++) {
            struct row row;

            slots_row(t->s, page[i], &row);
            after = row.id;
            assert_true(seen < out_max);
            out[seen++] = row.id.u64;
        }
        epoch_leave(t->epoch, guard);
    }
    free(page);
    return seen;
}

static void put_u64(struct table *t, uint64_t id)
{
    struct docid doc = docid_u64(id);
    uint32_t old;

    (void)table_put(t, &doc, "", 1, &old);
    if (old != SLOT_NONE)
        slots_retire(t->s, old);
}

static void erase_u64(struct table *t, uint64_t id)
{
    struct docid doc = docid_u64(id);
    uint32_t slot = slots_erase(t->s, &doc);

    if (slot != SLOT_NONE)
        slots_retire(t->s, slot);
}

static void kinds_come_one_after_the_other(void **state)
{
    struct docid ids[] = {docid_u64(0),
                          docid_u64(1),
                          docid_u64(256),
                          docid_u64(UINT64_MAX),
                          uuid_id(0, 0),
                          uuid_id(0, 255),
                          uuid_id(1, 0),
                          text_id("A"),
                          text_id("a"),
                          text_id("a long common beginning"),
                          text_id("a long common beginning, 1"),
                          text_id("a long common beginning, 2")};
    enum { IDS = COUNT_OF(ids) };
    uint32_t slots[IDS];
    struct table t;

    (void)state;
    table_open(&t, 0);
    for (size_t i = 0; i < IDS; i++) { /* 5 and 12 have no common divisor */
        size_t at = i * 5 % IDS;

        slots[at] = table_put(&t, &ids[at], "", 1, NULL);
    }
    for (size_t from = 0; from <= IDS; from++)
        for (uint32_t max = 0; max <= IDS; max++) {
            struct epoch_guard guard = epoch_enter(t.epoch);
            uint32_t page[IDS];
            uint32_t count;
            size_t left = IDS - from;

            assert_int_equal(
                slots_page(t.s, from == 0 ? NULL : &ids[from - 1], max, page, &count, NULL), ST_OK);
            assert_int_equal(count, left < max ? left : max);
            for (uint32_t i = 0; i < count; i++)
                assert_int_equal(page[i], slots[from + i]);
            epoch_leave(t.epoch, guard);
        }
    table_close(&t);
}

static void an_empty_table_has_an_empty_page(void **state)
{
    struct table t;
    uint64_t id;

    (void)state;
    table_open(&t, 0);
    assert_int_equal(walk(&t, 10, &id, 1), 0);
    put_u64(&t, 5);
    assert_int_equal(walk(&t, 10, &id, 1), 1);
    erase_u64(&t, 5);
    assert_int_equal(walk(&t, 10, &id, 1), 0);
    table_close(&t);
}

/* Rounds of inserts, replacements and erases, of a few rows and of thousands, with slots reused
 * while the order still lists them under their former ids. */
static void the_order_stays_true_through_churn(void **state)
{
    enum { IDS = 20000, ROUNDS = 60 };
    static bool there[IDS];
    static uint64_t seen[IDS];
    uint64_t random = 3;
    struct table t;

    (void)state;
    memset(there, 0, sizeof there);
    table_open(&t, 0);
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t changes = round % 5 == 0 ? 6000 : random_below(&random, 40);
        uint32_t puts = 30 + random_below(&random, 60); /* per cent */
        uint32_t count;
        uint32_t at = 0;

        for (uint32_t i = 0; i < changes; i++) {
            uint32_t id = random_below(&random, IDS);

            there[id] = random_below(&random, 100) < puts;
            if (there[id])
                put_u64(&t, id);
            else
                erase_u64(&t, id);
        }
        table_collect(&t);
        count = walk(&t, 1 + random_below(&random, 3000), seen, IDS);
        for (uint32_t id = 0; id < IDS; id++)
            if (there[id])
                assert_true(at < count && seen[at++] == id);
        assert_int_equal(at, count);
    }
    table_close(&t);
}

/* What a page call relies on while the applier goes on: a listed row that died, even retired, after
 * the order was made still leads to the row that has its id now; a freed one is stepped over. */
static void an_id_replaced_during_a_page_is_found_by_its_old_entry(void **state)
{
    struct table t;
    struct docid ids[2] = {text_id("a text longer than its prefix"), docid_u64(3)};
    const struct order *order;
    struct order_cursor c;
    struct epoch_guard guard;
    uint32_t first;

    (void)state;
    table_open(&t, 0);
    first = table_put(&t, &ids[0], "", 1, NULL);
    guard = epoch_enter(t.epoch);
    assert_int_equal(order_refresh(t.s, &order, NULL), ST_OK);
    (void)table_put(&t, &ids[0], "", 2, NULL);
    for (int turn = 0; turn < 2; turn++) {
        cursor_init(&c, order->main);
        cursor_seek(&c, t.s, 0);
        assert_false(cursor_done(&c));
        assert_true(docid_equal(&c.id, &ids[0]));
        if (turn == 0)
            slots_retire(t.s, first);
    }
    table_collect(&t);
    assert_int_equal(slots_state(t.s, first), SLOT_RETIRED);
    epoch_leave(t.epoch, guard);
    table_collect(&t);
    cursor_seek(&c, t.s, 0);
    assert_true(cursor_done(&c));
    assert_int_equal(table_put(&t, &ids[1], "", 3, NULL), first); /* reused, live again */
    cursor_seek(&c, t.s, 0);
    assert_true(cursor_done(&c));
    table_close(&t);
}

/* A merge into a new array drops the dead; the order does not grow with what was ever written. */
static void the_order_is_cleaned_of_the_dead(void **state)
{
    enum { IDS = 5000, ROUNDS = 20 };
    static uint64_t seen[IDS];
    struct table t;
    uint64_t bytes = 0;

    (void)state;
    table_open(&t, 0);
    for (int round = 0; round < ROUNDS; round++) {
        for (uint64_t id = 0; id < IDS; id++)
            put_u64(&t, id);
        table_collect(&t);
        assert_int_equal(walk(&t, IDS, seen, IDS), IDS);
        table_collect(&t);
        if (round == 2)
            bytes = slots_bytes(t.s);
    }
    assert_true(slots_bytes(t.s) <= bytes + 4096);
    table_close(&t);
}

static void a_full_budget_can_still_be_listed(void **state)
{
    enum { IDS = 3000 };
    static uint64_t seen[IDS];
    struct table t;
    uint32_t slot;

    (void)state;
    table_open(&t, 0);
    for (uint64_t id = 0; id < IDS; id++)
        put_u64(&t, id);
    t.budget.bytes_max = mem_budget_bytes(&t.budget);
    assert_int_equal(walk(&t, 100, seen, IDS), IDS);
    for (uint64_t id = 0; id < IDS; id++)
        assert_int_equal(seen[id], id);
    table_check(&t);
    assert_int_equal(mem_budget_bytes(&t.budget), t.budget.bytes_max); /* charged with the rows */
    assert_int_equal(slots_reserve(t.s, 1, &slot, NULL), ST_OK); /* its room was reserved before */
    slots_abandon(t.s, slot);
    table_close(&t);
}

/* Row numbers are 32 bits of a count; an order that old is made anew, and rows made live before the
 * count wrapped are in it. */
static void the_count_of_publishes_may_wrap(void **state)
{
    enum { IDS = 100 };
    static uint64_t seen[3 * IDS];
    struct table t;

    (void)state;
    table_open(&t, 0);
    for (uint64_t step = 0; step < 3; step++) {
        for (uint64_t id = 0; id < IDS; id++)
            put_u64(&t, id * 3 + step);
        assert_int_equal(walk(&t, 17, seen, 3 * IDS), IDS * (step + 1));
        atomic_fetch_add(&t.s->publishes, step == 0 ? UINT32_MAX - 50 : UINT64_C(3) << 31);
    }
    assert_int_equal(walk(&t, 17, seen, 3 * IDS), 3 * IDS);
    for (uint64_t id = 0; id < 3 * IDS; id++)
        assert_int_equal(seen[id], id);
    table_close(&t);
}

/* The id slots_last() gives, as text; "" for none. */
static const char *last_of(struct table *t)
{
    static char text[DOCID_TEXT_BYTES];
    char bytes[DOCID_BYTES_MAX];
    struct epoch_guard guard = epoch_enter(t->epoch);
    struct docid id;
    bool any;

    text[0] = '\0';
    assert_int_equal(slots_last(t->s, &id, bytes, &any, NULL), ST_OK);
    epoch_leave(t->epoch, guard);
    if (any)
        (void)docid_format(&id, text);
    return text;
}

/* Nothing that is live comes behind it; what is dead may. */
static void the_last_id_is_behind_all_rows(void **state)
{
    const struct docid text = {.kind = DOCID_BYTES, .bytes = slice_text("zebra")};
    struct docid gone;
    struct table t;

    (void)state;
    table_open(&t, 0);
    assert_string_equal(last_of(&t), "");
    for (uint64_t id = 0; id < 3000; id++) {
        put_u64(&t, id * 7919 % 3000);
        if (id % 1000 == 999)
            assert_true(strtoull(last_of(&t), NULL, 10) >= 2990);
    }
    assert_string_equal(last_of(&t), "2999");
    put_u64(&t, 5); /* in the tail, and not the last */
    assert_string_equal(last_of(&t), "2999");
    put_u64(&t, 5000);
    assert_string_equal(last_of(&t), "5000");
    gone = docid_u64(5000);
    slots_retire(t.s, slots_erase(t.s, &gone));
    table_collect(&t);
    assert_string_equal(last_of(&t), "2999");
    (void)table_put(&t, &text, "", 1, NULL);
    assert_string_equal(last_of(&t), "zebra");
    table_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_come_one_after_the_other),
        cmocka_unit_test(an_empty_table_has_an_empty_page),
        cmocka_unit_test(the_order_stays_true_through_churn),
        cmocka_unit_test(an_id_replaced_during_a_page_is_found_by_its_old_entry),
        cmocka_unit_test(the_order_is_cleaned_of_the_dead),
        cmocka_unit_test(a_full_budget_can_still_be_listed),
        cmocka_unit_test(the_count_of_publishes_may_wrap),
        cmocka_unit_test(the_last_id_is_behind_all_rows),
    };

    return cmocka_run_group_tests_name("slots_page", tests, NULL, NULL);
}
