/* The parts that payload indexes are made of, each against plain arrays: sets of slots, ordered
 * entries, values with their slots, pending bits. What they charge is what they give back. */
#include "filter/pindex_internal.h"

#include "pindex_gen.h"
#include "tests/support/alloc_sweep.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static struct mem_budget budget;

static struct charge charge_init(uint64_t bytes_max)
{
    mem_budget_init(&budget, NULL, bytes_max);
    return (struct charge){.budget = &budget};
}

/* --- sets of slots --- */

enum { SPREAD = 300000, SET_STEPS = 60000 };

static void check_set(const struct slot_set *s, const bool *model, uint32_t bit_count)
{
    uint64_t *bits = calloc(bit_count / 64, sizeof *bits);
    uint64_t *odd = calloc(bit_count / 64, sizeof *odd);
    uint64_t count = 0;
    uint64_t odds = 0;

    assert_true(bits != NULL && odd != NULL);
    memset(odd, 0xaa, bit_count / 8);
    slot_set_or(s, bits, bit_count);
    for (uint32_t i = 0; i < SPREAD; i++) {
        assert_int_equal(bits[i / 64] >> i % 64 & 1, model[i]);
        count += model[i];
        odds += model[i] && i % 2 == 1;
    }
    assert_int_equal(s->count, count);
    assert_int_equal(slot_set_count_in(s, odd, bit_count), odds);
    free(bits);
    free(odd);
}

/* `within`: slots below it; grow: of 100 steps so many add. */
static void walk_set(uint64_t seed, uint32_t within, uint64_t grow)
{
    struct gen g = {.random = seed};
    struct charge charge = charge_init(0);
    struct slot_set s = {0};
    bool *model = calloc(SPREAD, sizeof *model);
    uint32_t bit_count = (SPREAD + 63) / 64 * 64;

    assert_non_null(model);
    for (int i = 0; i < SET_STEPS; i++) {
        uint32_t slot = (uint32_t)gen_below(&g, within);
        bool add = gen_below(&g, 100) < (i < SET_STEPS / 2 ? grow : 100 - grow);
        bool added;

        if (add) {
            assert_true(slot_set_add(&s, slot, &added, &charge));
            assert_int_equal(added, !model[slot]);
        } else {
            assert_int_equal(slot_set_remove(&s, slot, &charge), model[slot]);
        }
        model[slot] = add;
        assert_int_equal(slot_set_has(&s, slot), add);
        if (i % 9000 == 0)
            check_set(&s, model, bit_count);
    }
    check_set(&s, model, bit_count);
    slot_set_free(&s, &charge);
    assert_int_equal(charge.bytes, 0);
    assert_int_equal(mem_budget_bytes(&budget), 0);
    free(model);
}

static void a_set_of_slots_holds_what_was_put_in(void **state)
{
    (void)state;
    walk_set(1, SPREAD, 80);
    walk_set(2, 9000, 90);
    walk_set(3, 70000, 95);
    walk_set(4, 300, 60);
    walk_set(5, 5, 50);
}

/* Without memory nothing changes. */
static void a_set_says_when_memory_is_out(void **state)
{
    struct charge charge = charge_init(3000);
    struct slot_set s = {0};
    uint32_t slot = 0;
    bool added = false;

    (void)state;
    while (slot_set_add(&s, slot * 3, &added, &charge))
        slot++;
    assert_false(added);
    assert_int_equal(s.count, slot);
    assert_true(slot > 100);
    assert_false(slot_set_has(&s, slot * 3));
    assert_true(mem_budget_bytes(&budget) <= 3000);
    slot_set_free(&s, &charge);
    assert_int_equal(mem_budget_bytes(&budget), 0);
}

/* --- ordered entries --- */

enum { KEYS = 900, ENTRY_SLOTS = 12, TREE_STEPS = 60000 };

static void check_tree(const struct tree *t, bool (*model)[ENTRY_SLOTS], struct gen *g)
{
    struct tree_at at = tree_seek(t, 0, 0);
    uint64_t low = gen_below(g, KEYS);
    uint64_t high = gen_below(g, KEYS);
    uint64_t within = 0;
    uint64_t slots = 0;
    uint64_t bits = 0;
    struct tree_entry e;

    for (uint64_t key = 0; key < KEYS; key++) {
        for (uint32_t slot = 0; slot < ENTRY_SLOTS; slot++) {
            if (!model[key][slot])
                continue;
            assert_true(tree_get(t, at, &e));
            assert_true(e.key == key && e.slot == slot);
            tree_next(t, &at);
            if (key < low || key > high)
                continue;
            within++;
            slots |= UINT64_C(1) << slot;
        }
    }
    assert_false(tree_get(t, at, &e));
    assert_int_equal(tree_count(t, low, high), within);
    tree_or(t, low, high, &bits);
    assert_int_equal(bits, slots);
}

static void check_tree_back(const struct tree *t, bool (*model)[ENTRY_SLOTS], uint64_t from)
{
    struct tree_at at = tree_seek_back(t, from, ENTRY_SLOTS / 2);
    struct tree_entry e;

    for (uint64_t key = from + 1; key-- > 0;) {
        for (uint32_t slot = ENTRY_SLOTS; slot-- > 0;) {
            if (!model[key][slot] || (key == from && slot > ENTRY_SLOTS / 2))
                continue;
            assert_true(tree_get(t, at, &e));
            assert_true(e.key == key && e.slot == slot);
            tree_prev(t, &at);
        }
    }
    assert_false(tree_get(t, at, &e));
}

static void walk_tree(uint64_t seed, uint64_t keys, bool rising)
{
    static bool model[KEYS][ENTRY_SLOTS];
    struct gen g = {.random = seed};
    struct charge charge = charge_init(0);
    struct tree t = {0};

    memset(model, 0, sizeof model);
    for (uint64_t i = 0; i < TREE_STEPS; i++) {
        uint64_t key =
            rising && i < TREE_STEPS / 3 ? i * keys / (TREE_STEPS / 3) : gen_below(&g, keys);
        uint32_t slot = (uint32_t)gen_below(&g, ENTRY_SLOTS);
        bool add = gen_below(&g, 10) < (i < TREE_STEPS / 2 ? 8 : 2);
        bool added;

        if (add) {
            assert_true(tree_insert(&t, key, slot, &added, &charge));
            assert_int_equal(added, !model[key][slot]);
        } else {
            assert_int_equal(tree_remove(&t, key, slot, &charge), model[key][slot]);
        }
        model[key][slot] = add;
        if (i % 5000 != 0)
            continue;
        check_tree(&t, model, &g);
        check_tree_back(&t, model, gen_below(&g, keys));
    }
    check_tree(&t, model, &g);
    for (uint64_t key = 0; key < KEYS; key++)
        for (uint32_t slot = 0; slot < ENTRY_SLOTS; slot++)
            assert_int_equal(tree_remove(&t, key, slot, &charge), model[key][slot]);
    assert_int_equal(t.count, 0);
    tree_free(&t, &charge);
    assert_int_equal(mem_budget_bytes(&budget), 0);
}

static void a_tree_keeps_its_entries_in_order(void **state)
{
    (void)state;
    walk_tree(1, KEYS, false);
    walk_tree(2, KEYS, true);
    walk_tree(3, 5, false);
}

/* --- keys --- */

static void keys_of_numbers_are_ordered_as_they_are(void **state)
{
    const double doubles[] = {-1e300, -2.5, -1, -5e-324, 0, 5e-324, 0.5, 1, 2.5, 1e300};
    const int64_t times[] = {INT64_MIN, -1, 0, 1, INT64_MAX};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(doubles); i++) {
        assert_true(double_of_key(key_of_double(doubles[i])) == doubles[i]);
        assert_true(i == 0 || key_of_double(doubles[i - 1]) < key_of_double(doubles[i]));
    }
    assert_int_equal(key_of_double(-0.0), key_of_double(0.0));
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        assert_true(time_of_key(key_of_time(times[i])) == times[i]);
        assert_true(i == 0 || key_of_time(times[i - 1]) < key_of_time(times[i]));
    }
}

/* --- values --- */

enum { VALUES = 400, VALUE_SLOTS = 40, VALUE_STEPS = 40000 };

static struct slice key_at(uint64_t i, char text[24])
{
    return slice_make(text,
                      (size_t)snprintf(text, 24, "%s%" PRIu64, i % 3 == 0 ? "" : "value-", i));
}

static void values_keep_their_slots_while_others_come_and_go(void **state)
{
    static bool model[VALUES][VALUE_SLOTS];
    struct gen g = {.random = 7};
    struct charge charge = charge_init(0);
    struct value_map m = {0};
    char text[24];

    (void)state;
    for (int i = 0; i < VALUE_STEPS; i++) {
        uint64_t value = gen_below(&g, VALUES);
        uint32_t slot = (uint32_t)gen_below(&g, VALUE_SLOTS);
        bool add = gen_below(&g, 10) < (i % 20000 < 10000 ? 7 : 2);
        bool added;

        if (add) {
            assert_true(value_map_add(&m, key_at(value, text), slot, &added, &charge));
            assert_int_equal(added, !model[value][slot]);
        } else {
            assert_int_equal(value_map_remove(&m, key_at(value, text), slot, &charge),
                             model[value][slot]);
        }
        model[value][slot] = add;
    }
    for (uint64_t value = 0; value < VALUES; value++) {
        const struct slot_set *s = value_map_find(&m, key_at(value, text));

        for (uint32_t slot = 0; slot < VALUE_SLOTS; slot++)
            assert_int_equal(s != NULL && slot_set_has(s, slot), model[value][slot]);
    }
    value_map_free(&m, &charge);
    assert_int_equal(mem_budget_bytes(&budget), 0);
}

/* --- pending --- */

enum { PENDING_SLOTS = 20000 };

static void pending_bits_are_found_and_shown(void **state)
{
    static bool model[PENDING_SLOTS];
    static uint64_t bits[PENDING_SLOTS / 64 + 1];
    struct gen g = {.random = 9};
    struct charge charge = charge_init(0);
    struct pending p = {0};
    uint32_t found[100];

    (void)state;
    assert_false(pending_reserved(&p, PENDING_SLOTS));
    assert_true(pending_reserve(&p, PENDING_SLOTS, &charge));
    assert_true(pending_reserved(&p, PENDING_SLOTS));
    for (int i = 0; i < 20000; i++) {
        uint32_t slot = (uint32_t)gen_below(&g, i % 2 == 0 ? PENDING_SLOTS : 100);
        uint32_t from = (uint32_t)gen_below(&g, PENDING_SLOTS);
        uint32_t max = (uint32_t)gen_below(&g, COUNT_OF(found));
        uint32_t count = 0;
        uint64_t all = 0;

        model[slot] = gen_below(&g, 3) == 0;
        if (model[slot])
            pending_add(&p, slot);
        else
            pending_drop(&p, slot);
        if (i % 100 != 0)
            continue;
        memset(bits, 0, sizeof bits);
        pending_bits(&p, bits, PENDING_SLOTS / 64 * 64);
        count = pending_find(&p, from, found, max);
        for (uint32_t s = 0, n = 0; s < PENDING_SLOTS; s++) {
            all += model[s];
            assert_int_equal(pending_has(&p, s), model[s]);
            if (s < PENDING_SLOTS / 64 * 64)
                assert_int_equal(bits[s / 64] >> s % 64 & 1, model[s]);
            if (s < from || !model[s] || n == max)
                continue;
            assert_true(n < count && found[n] == s);
            n++;
        }
        assert_int_equal(atomic_load(&p.count), all);
    }
    pending_free(&p);
    charge_give(&charge, charge.bytes);
    assert_int_equal(mem_budget_bytes(&budget), 0);
}

/* --- allocations --- */

static status fill_all(void *arg)
{
    struct charge charge = charge_init(0);
    struct tree t = {0};
    struct value_map m = {0};
    char text[24];
    bool ok = true;
    bool added;

    (void)arg;
    for (uint32_t i = 0; ok && i < 600; i++) {
        ok = tree_insert(&t, i * 7 % 600, i, &added, &charge) &&
             value_map_add(&m, key_at(i % 30, text), i, &added, &charge);
    }
    assert_true(!ok || (t.count == 600 && m.count == 30));
    tree_free(&t, &charge);
    value_map_free(&m, &charge);
    assert_int_equal(mem_budget_bytes(&budget), 0);
    return ok ? ST_OK : ST_NOMEM;
}

static void allocations_that_fail_change_nothing(void **state)
{
    (void)state;
    assert_true(alloc_sweep(fill_all, NULL) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_of_slots_holds_what_was_put_in),
        cmocka_unit_test(a_set_says_when_memory_is_out),
        cmocka_unit_test(a_tree_keeps_its_entries_in_order),
        cmocka_unit_test(keys_of_numbers_are_ordered_as_they_are),
        cmocka_unit_test(values_keep_their_slots_while_others_come_and_go),
        cmocka_unit_test(pending_bits_are_found_and_shown),
        cmocka_unit_test(allocations_that_fail_change_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
