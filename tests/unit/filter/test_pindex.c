/* A set of payload indexes: which it has, and what it does where memory is short. What it answers
 * is test_pindex_model's. */
#include "filter/pindex.h"

#include "jsons.h"
#include "tests/support/alloc_sweep.h"

#include <stdio.h>

enum { ROWS = 400, ARENA_BYTES = 1 << 20 };

struct world {
    struct mem_budget budget;
    struct pindex_set *set;
    struct buf payloads[ROWS];
    struct arena arena;
    struct pindex_spec specs[3]; /* of use_all() */
    struct arena lookups;
};

static uint32_t rows_end(void *arg)
{
    (void)arg;
    return ROWS;
}

static enum pindex_row rows_state(void *arg, uint32_t slot)
{
    (void)arg;
    return slot < ROWS ? PINDEX_ROW_LIVE : PINDEX_ROW_NONE;
}

static struct slice rows_payload(void *arg, uint32_t slot)
{
    return buf_slice(&((struct world *)arg)->payloads[slot]);
}

static const struct path *path(struct world *w, const char *text)
{
    const struct path *p;

    assert_int_equal(path_parse(slice_text(text), &w->arena, &p, NULL), ST_OK);
    return p;
}

static struct pindex_spec spec(struct world *w, const char *text, enum pindex_type type)
{
    return (struct pindex_spec){.path = path(w, text), .type = type};
}

static void world_init(struct world *w)
{
    const struct pindex_rows rows = {rows_end, rows_state, rows_payload, w};

    mem_budget_init(&w->budget, NULL, 0);
    arena_init(&w->arena, ARENA_BYTES);
    for (unsigned i = 0; i < ROWS; i++) {
        char text[128];

        (void)snprintf(text, sizeof text, "{\"k\": \"value-%u\", \"n\": %u, \"t\": \"word%u x\"}",
                       i, i, i % 7);
        buf_init(&w->payloads[i], 4096);
        jsons_blob(&w->payloads[i], text);
    }
    assert_int_equal(pindex_create(&rows, &w->budget, &w->set, NULL), ST_OK);
}

static void world_fini(struct world *w)
{
    pindex_destroy(w->set);
    assert_int_equal(mem_budget_bytes(&w->budget), 0);
    for (unsigned i = 0; i < ROWS; i++)
        buf_free(&w->payloads[i]);
    arena_free(&w->arena);
    jsons_free();
}

static struct pindex_info info_of(struct world *w, const char *text)
{
    struct pindex_info info = {0};

    assert_true(pindex_info_of(w->set, path(w, text), &info));
    return info;
}

/* How many rows the index says have n >= 100; UINT64_MAX: it is not asked. */
static uint64_t from_100(struct world *w)
{
    struct filter f = {.kind = FILTER_RANGE,
                       .path = path(w, "n"),
                       .lower = BOUND_CLOSED,
                       .low = 100,
                       .low_exact = {.type = JBIN_T_U64, .u64 = 100}};
    struct pindex_answer a;

    assert_int_equal(pindex_lookup(w->set, &f, &w->arena, &a, NULL), ST_OK);
    assert_true(!a.used || a.exact);
    return a.used ? a.count : UINT64_MAX;
}

static void types_have_names(void **state)
{
    enum pindex_type type;

    (void)state;
    for (int i = PINDEX_KEYWORD; i <= PINDEX_TEXT; i++) {
        assert_true(pindex_type_parse(slice_text(pindex_type_name((enum pindex_type)i)), &type));
        assert_int_equal(type, i);
    }
    assert_false(pindex_type_parse(slice_text("keywords"), &type));
    assert_false(pindex_type_parse(slice_text(""), &type));
}

static void an_index_stays_or_is_replaced(void **state)
{
    struct world w;
    struct pindex_spec s;

    (void)state;
    world_init(&w);
    s = spec(&w, "n", PINDEX_INTEGER);
    assert_false(pindex_any(w.set));
    assert_int_equal(pindex_add(w.set, &s, NULL), ST_OK);
    assert_true(pindex_any(w.set) && pindex_building(w.set));
    assert_int_equal(from_100(&w), UINT64_MAX); /* not before it is built */
    while (pindex_step(w.set, 7).left > 0)
        assert_int_equal(from_100(&w), UINT64_MAX);
    assert_false(pindex_building(w.set));
    assert_int_equal(from_100(&w), ROWS - 100);
    s = spec(&w, "\"n\"", PINDEX_INTEGER); /* the same by another spelling */
    assert_int_equal(pindex_add(w.set, &s, NULL), ST_OK);
    assert_int_equal(info_of(&w, "n").state, PINDEX_READY);
    s.type = PINDEX_KEYWORD;
    assert_int_equal(pindex_add(w.set, &s, NULL), ST_OK);
    assert_int_equal(info_of(&w, "n").state, PINDEX_BUILDING);
    assert_int_equal(pindex_step(w.set, UINT32_MAX).left, 0);
    assert_int_equal(info_of(&w, "n").points, 0); /* there are no texts */
    assert_true(pindex_remove(w.set, s.path));
    assert_false(pindex_remove(w.set, s.path));
    assert_false(pindex_any(w.set));
    world_fini(&w);
}

static void there_are_at_most_so_many(void **state)
{
    struct pindex_info infos[PINDEX_COUNT_MAX + 1];
    struct world w;
    struct err err = {0};

    (void)state;
    world_init(&w);
    for (int i = 0; i <= PINDEX_COUNT_MAX; i++) {
        char text[16];
        struct pindex_spec s;

        (void)snprintf(text, sizeof text, "k%d", i);
        s = spec(&w, text, PINDEX_KEYWORD);
        assert_int_equal(pindex_add(w.set, &s, &err), i < PINDEX_COUNT_MAX ? ST_OK : ST_LIMIT);
    }
    assert_int_equal(pindex_list(w.set, infos, COUNT_OF(infos)), PINDEX_COUNT_MAX);
    world_fini(&w);
}

/* Without room one index is not asked any more; the others are, and it may begin again. */
static void an_index_without_memory_is_not_asked(void **state)
{
    struct world w;
    struct pindex_spec s;

    (void)state;
    world_init(&w);
    s = spec(&w, "n", PINDEX_INTEGER);
    assert_int_equal(pindex_add(w.set, &s, NULL), ST_OK);
    assert_int_equal(pindex_step(w.set, UINT32_MAX).left, 0);
    w.budget.bytes_max = mem_budget_bytes(&w.budget) + 10000;
    s = spec(&w, "k", PINDEX_KEYWORD);
    assert_int_equal(pindex_add(w.set, &s, NULL), ST_OK);
    assert_int_equal(pindex_step(w.set, UINT32_MAX).left, 0);
    assert_int_equal(info_of(&w, "k").state, PINDEX_FULL);
    assert_int_equal(info_of(&w, "k").bytes, 0);
    assert_int_equal(info_of(&w, "n").state, PINDEX_READY);
    assert_int_equal(from_100(&w), ROWS - 100);
    assert_false(pindex_retry(w.set)); /* there is no more room than there was */
    w.budget.bytes_max = mem_budget_bytes(&w.budget) + 100000;
    assert_true(pindex_retry(w.set));
    assert_true(pindex_building(w.set));
    assert_false(pindex_retry(w.set));
    assert_int_equal(pindex_step(w.set, UINT32_MAX).left, 0);
    assert_int_equal(info_of(&w, "k").state, PINDEX_READY);
    assert_int_equal(info_of(&w, "k").points, ROWS);
    w.budget.bytes_max = 0;
    assert_true(pindex_remove(w.set, s.path));
    assert_int_equal(pindex_add(w.set, &s, NULL), ST_OK);
    assert_int_equal(pindex_step(w.set, UINT32_MAX).left, 0);
    assert_int_equal(info_of(&w, "k").state, PINDEX_READY);
    assert_int_equal(info_of(&w, "k").points, ROWS);
    world_fini(&w);
}

/* Not even for the rows themselves. */
static void the_first_index_may_find_nothing(void **state)
{
    struct world w;
    struct pindex_spec s;

    (void)state;
    world_init(&w);
    w.budget.bytes_max = 20;
    s = spec(&w, "n", PINDEX_INTEGER);
    assert_int_equal(pindex_add(w.set, &s, NULL), ST_OK);
    assert_int_equal(pindex_step(w.set, UINT32_MAX).left, 0);
    assert_int_equal(info_of(&w, "n").state, PINDEX_FULL);
    w.budget.bytes_max = 0;
    assert_true(pindex_retry(w.set));
    assert_int_equal(pindex_step(w.set, UINT32_MAX).left, 0);
    assert_int_equal(from_100(&w), ROWS - 100);
    world_fini(&w);
}

/* Publishing needs room that was reserved; without it the write is refused before. */
static void room_for_pending_rows_is_reserved(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    w.budget.bytes_max = 100;
    assert_int_equal(pindex_reserve(w.set, 100000, NULL), ST_NOSPACE);
    w.budget.bytes_max = 0;
    assert_int_equal(pindex_reserve(w.set, 100000, NULL), ST_OK);
    pindex_publish(w.set, 99999);
    assert_int_equal(pindex_pending(w.set), 1);
    pindex_forget(w.set, &(uint32_t){99999}, 1);
    assert_int_equal(pindex_pending(w.set), 0);
    world_fini(&w);
}

/* A row that finds no memory stays pending, an index that finds none is full: nothing is lost. */
static status use_all(void *arg)
{
    struct world *w = arg;
    const struct pindex_rows rows = {rows_end, rows_state, rows_payload, w};
    struct pindex_set *set = NULL;
    struct filter f = {.kind = FILTER_RANGE,
                       .path = w->specs[0].path,
                       .lower = BOUND_CLOSED,
                       .low_exact = {.type = JBIN_T_U64, .u64 = 100}};
    struct pindex_answer a = {0};
    status st = pindex_create(&rows, &w->budget, &set, NULL);
    uint64_t count = 0;

    if (st == ST_OK)
        st = pindex_reserve(set, ROWS, NULL) == ST_OK ? ST_OK : ST_NOMEM;
    for (size_t i = 0; st == ST_OK && i < COUNT_OF(w->specs); i++)
        st = pindex_add(set, &w->specs[i], NULL);
    for (uint32_t i = 0; st == ST_OK && i < ROWS; i += 2)
        pindex_publish(set, i);
    for (int i = 0; st == ST_OK && i < 3; i++)
        (void)pindex_step(set, UINT32_MAX);
    if (st == ST_OK)
        assert_int_equal(pindex_pending(set), 0);
    if (st == ST_OK)
        st = pindex_lookup(set, &f, &w->lookups, &a, NULL);
    for (uint32_t i = 0; st == ST_OK && a.used && i < ROWS; i++)
        count += i < a.bit_count ? a.bits[i / 64] >> i % 64 & 1 : 0;
    if (st == ST_OK && a.used)
        assert_int_equal(count, ROWS - 100);
    pindex_destroy(set);
    arena_free(&w->lookups); /* so that it is asked for again */
    return st;
}

static void allocations_that_fail_lose_nothing(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    pindex_destroy(w.set);
    w.set = NULL;
    arena_init(&w.lookups, ARENA_BYTES);
    w.specs[0] = spec(&w, "n", PINDEX_INTEGER);
    w.specs[1] = spec(&w, "k", PINDEX_KEYWORD);
    w.specs[2] = spec(&w, "t", PINDEX_TEXT);
    assert_true(alloc_sweep(use_all, &w) > 100);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_have_names),
        cmocka_unit_test(an_index_stays_or_is_replaced),
        cmocka_unit_test(there_are_at_most_so_many),
        cmocka_unit_test(an_index_without_memory_is_not_asked),
        cmocka_unit_test(the_first_index_may_find_nothing),
        cmocka_unit_test(room_for_pending_rows_is_reserved),
        cmocka_unit_test(allocations_that_fail_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
