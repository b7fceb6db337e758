/* Writes whose documents a filter chooses, or on which a filter decides: what matches when its turn
 * has come is changed, each document once, nothing else. And the changes' allocations, each failing
 * once. */
#include "tests/unit/node/nchange.h"

#include "tests/support/alloc_sweep.h"

#include <stdio.h>
#include <stdlib.h>

enum { DIM = 4, MANY = 3 * CHANGE_WALK_IDS + 100 };

static struct nworld w;
static struct collection *c;
static const struct write_options NO_OPTIONS;

static int set_up(void **state)
{
    (void)state;
    nchange_init();
    nworld_init(&w, true, 811);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 1000000, NULL), ST_OK);
    c = npin(&w, "docs");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(c->seq.turns.count, 0);
    node_collection_unpin(c);
    nworld_fini(&w);
    nchange_free();
    return 0;
}

/* Ids first to last, every `each`-th of kind "a", the others "b". */
static void put_many(uint64_t first, uint64_t last, uint64_t each)
{
    size_t count = (size_t)(last - first + 1);
    struct write_row *rows = mem_zero_array(count, sizeof *rows);
    float vector[DIM];
    struct slice a = njson("{\"k\":\"a\"}"), b = njson("{\"k\":\"b\"}");

    nvector(1, 1, DIM, vector);
    for (size_t i = 0; i < count; i++)
        rows[i] = (struct write_row){.id = docid_u64(first + i),
                                     .vector = vector,
                                     .payload = (first + i) % each == 0 ? a : b};
    assert_int_equal(nwrite(c, rows, count, NULL, NULL), ST_OK);
    mem_free(rows);
}

static uint64_t delete_kind(const char *kind, struct write_result *result)
{
    const struct selector which = {.filter = nfilter("k", kind)};
    struct write_result r;

    assert_int_equal(ndelete_with(c, &which, &NO_OPTIONS, result == NULL ? &r : result, NULL),
                     ST_OK);
    return result == NULL ? r.count : result->count;
}

static void a_filter_chooses_what_is_deleted_and_changed(void **state)
{
    const struct selector bs = {.filter = nfilter("k", "b")};
    const struct selector nothing = {.filter = nfilter("k", "zz")};
    const struct change change = {.kind = CHANGE_MERGE_PAYLOAD, .payload = njson("{\"k\":\"c\"}")};
    struct write_result result;

    (void)state;
    put_many(1, MANY, 3);
    assert_int_equal(delete_kind("a", &result), MANY / 3);
    assert_int_equal(result.lsn, 3); /* 4,096 matches a record */
    assert_int_equal(ncount(c), MANY - MANY / 3);
    assert_int_equal(nchange(c, &bs, &change, NULL, &result, NULL), ST_OK);
    assert_int_equal(result.count, MANY - MANY / 3);
    assert_int_equal(result.lsn, 6);
    assert_string_equal(njson_of(c, 1, NULL), "{\"k\":\"c\"}");
    assert_string_equal(njson_of(c, 3, NULL), "");
    assert_string_equal(njson_of(c, MANY, NULL), MANY % 3 == 0 ? "" : "{\"k\":\"c\"}");
    assert_int_equal(nchange(c, &nothing, &change, NULL, &result, NULL), ST_OK);
    assert_true(result.count == 0 && result.lsn == 0);
    assert_int_equal(delete_kind("b", NULL), 0);
    node_collection_unpin(c);
    nworld_power_cut(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    assert_int_equal(ncount(c), MANY - MANY / 3);
    assert_int_equal(delete_kind("c", NULL), MANY - MANY / 3);
    assert_int_equal(ncount(c), 0);
    assert_int_equal(delete_kind("c", NULL), 0);
}

/* Ids in the filter itself: selected at once, not by a walk. */
static void ids_in_a_filter_are_selected_at_once(void **state)
{
    const struct docid ids[] = {docid_u64(2), docid_u64(3), docid_u64(4), docid_u64(99)};
    struct filter has = {.kind = FILTER_HAS_ID, .ids = ids, .id_count = 4};
    struct filter *both[] = {&has, nfilter("k", "a")};
    struct filter and = {.kind = FILTER_AND, .children = both, .child_count = 2};
    const struct selector which = {.filter = &and};
    const struct change change = {.kind = CHANGE_MERGE_PAYLOAD, .payload = njson("{\"m\":1}")};
    struct write_result result;

    (void)state;
    put_many(1, 10, 2);
    assert_int_equal(nchange(c, &which, &change, NULL, &result, NULL), ST_OK);
    assert_int_equal(result.count, 2);
    assert_int_equal(result.lsn, 2);
    assert_string_equal(njson_of(c, 2, NULL), "{\"k\":\"a\",\"m\":1}");
    assert_string_equal(njson_of(c, 3, NULL), "{\"k\":\"b\"}");
    assert_string_equal(njson_of(c, 6, NULL), "{\"k\":\"a\"}");
    assert_int_equal(ndelete_with(c, &which, &NO_OPTIONS, &result, NULL), ST_OK);
    assert_int_equal(result.count, 2);
    assert_int_equal(ncount(c), 8);
}

static void an_update_filter_leaves_what_does_not_match(void **state)
{
    const struct write_options options = {.update_filter = nfilter("k", "a")};
    const struct docid ids[] = {docid_u64(1), docid_u64(2)};
    const struct selector both = {.ids = ids, .count = 2};
    const struct change change = {.kind = CHANGE_MERGE_PAYLOAD, .payload = njson("{\"m\":1}")};
    struct write_row rows[3];
    struct write_result result;
    float vector[DIM];

    (void)state;
    put_many(1, 2, 2);
    nvector(1, 2, DIM, vector);
    for (uint64_t i = 0; i < 3; i++)
        rows[i] = (struct write_row){
            .id = docid_u64(i + 1), .vector = vector, .payload = njson("{\"k\":\"new\"}")};
    assert_int_equal(nchange(c, &both, &change, &options, &result, NULL), ST_OK);
    assert_int_equal(result.count, 1);
    assert_string_equal(njson_of(c, 2, NULL), "{\"k\":\"a\",\"m\":1}");
    assert_int_equal(nwrite_with(c, rows, 3, &options, &result, NULL), ST_OK);
    assert_int_equal(result.count, 2);
    assert_string_equal(njson_of(c, 1, NULL), "{\"k\":\"b\"}");
    assert_string_equal(njson_of(c, 2, NULL), "{\"k\":\"new\"}");
    assert_string_equal(njson_of(c, 3, NULL), "{\"k\":\"new\"}");
    assert_int_equal(nwrite_with(c, rows, 2, &options, &result, NULL), ST_OK);
    assert_true(result.count == 0 && result.lsn == 0);
}

/* --- what happens between the choice and the decision --- */

struct hold {
    struct turn turn;
    struct turn_entry entry;
    struct task task;
};

static void hold(struct hold *h, uint64_t id)
{
    const struct docid key = docid_u64(id);

    *h = (struct hold){.turn = {.entries = &h->entry, .task = &h->task}};
    lock_take(&c->seq.lock);
    assert_true(turn_take_locked(c, &h->turn, &key, 1));
    lock_drop(&c->seq.lock);
}

/* Writes the document whose turn is held, and leaves the turn. */
static void put_and_let_go(struct hold *h, uint64_t id, const char *json)
{
    const struct write_terms terms = {.turn = &h->turn};
    float vector[DIM];
    struct write_row row = {.id = docid_u64(id), .vector = vector, .payload = njson(json)};
    struct call call;

    nvector(id, 2, DIM, vector);
    call_init(&call);
    write_on_terms(c, &row, 1, &terms, call_write_done, &call);
    call_wait(&call);
    assert_int_equal(call.st, ST_OK);
}

static void what_was_replaced_meanwhile_is_asked_again(void **state)
{
    const struct selector as = {.filter = nfilter("k", "a")};
    struct call call;
    struct hold h;

    (void)state;
    put_many(1, 10, 2);
    hold(&h, 4);
    call_init(&call);
    node_delete_with(c, &as, &NO_OPTIONS, call_write_done, &call);
    assert_int_equal(nput_json(c, 50, "{\"k\":\"a\"}", NULL), ST_OK); /* behind the last id */
    put_and_let_go(&h, 4, "{\"k\":\"b\"}");
    call_wait(&call);
    assert_int_equal(call.st, ST_OK);
    assert_int_equal(call.result.count, 4);
    assert_string_equal(njson_of(c, 2, NULL), "");
    assert_string_equal(njson_of(c, 4, NULL), "{\"k\":\"b\"}");
    assert_string_equal(njson_of(c, 50, NULL), "{\"k\":\"a\"}");
}

/* Each document is changed once though each change moves it to a new row, and others are replaced
 * by somebody else meanwhile. */
static void a_walk_meets_each_document_once(void **state)
{
    const struct selector all = {.filter = nfilter_not(nfilter("k", "zz"))};
    const struct change change = {.kind = CHANGE_MERGE_PAYLOAD, .payload = njson("{\"m\":1}")};
    struct write_result result;
    struct call call;

    (void)state;
    put_many(1, MANY, 2);
    call_init(&call);
    node_change(c, &all, &change, &NO_OPTIONS, call_write_done, &call);
    for (uint64_t id = MANY; id > MANY - 300; id -= 3)
        assert_int_equal(nmerge(c, id, "{\"o\":1}", NULL, NULL), ST_OK);
    call_wait(&call);
    assert_int_equal(call.st, ST_OK);
    assert_int_equal(call.result.count, MANY);
    for (uint64_t id = MANY; id > MANY - 300; id -= 3)
        assert_true(
            strcmp(njson_of(c, id, NULL), id % 2 == 0 ? "{\"k\":\"a\",\"m\":1,\"o\":1}"
                                                      : "{\"k\":\"b\",\"m\":1,\"o\":1}") == 0 ||
            strcmp(njson_of(c, id, NULL), id % 2 == 0 ? "{\"k\":\"a\",\"o\":1,\"m\":1}"
                                                      : "{\"k\":\"b\",\"o\":1,\"m\":1}") == 0);
    assert_int_equal(nchange(c, &all, &change, NULL, &result, NULL), ST_OK);
    assert_int_equal(result.count, MANY);
}

/* --- memory running out --- */

static enum change_job swept_job;
static const struct filter *swept_filter;

static status swept(void *arg)
{
    static const struct docid ids[] = {{.kind = DOCID_U64, .u64 = 1},
                                       {.kind = DOCID_U64, .u64 = 2}};
    const struct selector which = {.ids = ids, .count = 2, .filter = swept_filter};
    struct write_options options = {.update_filter = swept_filter};
    float vectors[2][DIM];
    struct write_row rows[2];
    status st;

    for (size_t i = 0; i < 2; i++) {
        nvector(i, 1, DIM, vectors[i]);
        rows[i] = (struct write_row){.id = ids[i], .vector = vectors[i]};
    }
    if (swept_job == JOB_WRITE)
        st = nwrite_with(c, rows, 2, &options, NULL, NULL);
    else if (swept_job == JOB_DELETE)
        st = ndelete_with(c, &which, &NO_OPTIONS, NULL, NULL);
    else
        st = nchange(c, &which, arg, NULL, NULL, NULL);
    assert_int_equal(c->seq.turns.count, 0);
    assert_int_equal(c->seq.overlay.count, 0);
    return st;
}

static void each_allocation_of_a_change_may_fail(void **state)
{
    const struct path *key = npath("a.b");
    float vectors[2][DIM] = {{1}, {2}};
    struct write_row rows[] = {{.id = docid_u64(1), .vector = vectors[0]},
                               {.id = docid_u64(2), .vector = vectors[1]}};
    struct change changes[] = {
        {.kind = CHANGE_MERGE_PAYLOAD, .payload = njson("{\"m\":1}"), .at = key},
        {.kind = CHANGE_REPLACE_PAYLOAD, .payload = njson("{\"m\":1}")},
        {.kind = CHANGE_DELETE_KEYS, .keys = &key, .key_count = 1},
        {.kind = CHANGE_CLEAR_PAYLOAD},
        {.kind = CHANGE_VECTORS, .rows = rows, .row_count = 2},
    };
    const struct docid ids[] = {docid_u64(1), docid_u64(2)};
    struct filter has = {.kind = FILTER_HAS_ID, .ids = ids, .id_count = 2};
    const struct filter *filters[] = {NULL, &has, nfilter("k", "b")};

    (void)state;
    put_many(1, 200, 3);
    for (size_t f = 0; f < COUNT_OF(filters); f++) {
        swept_filter = filters[f];
        swept_job = JOB_CHANGE;
        for (size_t i = 0; i < COUNT_OF(changes); i++) {
            assert_true(alloc_sweep(swept, &changes[i]) >= 5);
            put_many(1, 200, 3);
        }
        swept_job = JOB_WRITE;
        assert_true(alloc_sweep(swept, NULL) >= (f == 0 ? 3 : 5));
        put_many(1, 2, 3);
        swept_job = JOB_DELETE;
        assert_true(alloc_sweep(swept, NULL) >= 2);
        put_many(1, 200, 3);
    }
    assert_int_equal(ncount(c), 200);
}

/* A write that finds its ids in somebody's hands needs memory for its place in line. */
static void without_memory_nobody_gets_in_line(void **state)
{
    struct hold h;
    bool refused = false;

    (void)state;
    put_many(1, 2, 2);
    for (int64_t n = 0; n < 40 && !refused; n++) {
        float vector[DIM] = {0};
        struct write_row row = {.id = docid_u64(1), .vector = vector};
        struct call call;

        hold(&h, 1);
        call_init(&call);
        mem_test_fail_after(n);
        node_write(c, &row, 1, call_write_done, &call);
        mem_test_fail_after(-1);
        refused = c->seq.turns.count == 1 && call.done && n > 4;
        put_and_let_go(&h, 1, "{}");
        call_wait(&call);
        assert_true(call.st == ST_OK || call.st == ST_NOMEM);
    }
    assert_true(refused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_filter_chooses_what_is_deleted_and_changed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(ids_in_a_filter_are_selected_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_update_filter_leaves_what_does_not_match, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_was_replaced_meanwhile_is_asked_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_walk_meets_each_document_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_allocation_of_a_change_may_fail, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_memory_nobody_gets_in_line, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
