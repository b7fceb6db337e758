/* Idempotency keys: what the same key is told, how long, how many, and what a restart leaves. */
#include "tests/unit/node/nworld.h"

#include "node/points.h"
#include "tests/support/alloc_sweep.h"

#include <stdio.h>

static struct nworld w;
static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 24);
    nworld_init(&w, true, 901);
    w.options.clock = &w.clock.clock;
    nworld_open(&w);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    nworld_fini(&w);
    arena_free(&arena);
    return 0;
}

static struct idempotent begin(const char *scope, const char *key, const char *request)
{
    struct idempotent i = {0};

    assert_int_equal(node_idempotent_begin(w.node, slice_text(scope), slice_text(key),
                                           slice_text(request), &arena, &i, NULL),
                     ST_OK);
    return i;
}

static void answer(const struct idempotent *i, uint16_t code, const char *text)
{
    node_idempotent_end(w.node, i, code, slice_text(text));
}

static void the_same_request_is_told_the_first_answer(void **state)
{
    struct idempotent first = begin("docs", "key", "body");
    struct idempotent again;

    (void)state;
    assert_int_equal(first.state, IDEMPOTENT_NEW);
    assert_int_equal(begin("docs", "key", "body").state, IDEMPOTENT_RUNNING);
    assert_int_equal(begin("docs", "key", "other").state, IDEMPOTENT_OTHER);
    assert_int_equal(begin("docs2", "key", "body").state, IDEMPOTENT_NEW);
    assert_int_equal(begin("doc", "skey", "body").state, IDEMPOTENT_NEW); /* not put together */
    answer(&first, 202, "{\"lsn\":1}");
    for (int i = 0; i < 2; i++) {
        again = begin("docs", "key", "body");
        assert_int_equal(again.state, IDEMPOTENT_KNOWN);
        assert_int_equal(again.code, 202);
        assert_true(slice_equal(again.answer, slice_text("{\"lsn\":1}")));
        assert_int_equal(begin("docs", "key", "").state, IDEMPOTENT_OTHER);
    }
}

static void what_was_not_done_is_forgotten(void **state)
{
    struct idempotent i = begin("docs", "key", "body");
    char long_answer[IDEMPOTENT_ANSWER_BYTES_MAX + 2];

    (void)state;
    answer(&i, 0, "");
    i = begin("docs", "key", "other body");
    assert_int_equal(i.state, IDEMPOTENT_NEW);
    memset(long_answer, 'x', sizeof long_answer - 1);
    long_answer[sizeof long_answer - 1] = '\0';
    answer(&i, 200, long_answer);
    i = begin("docs", "key", "body");
    assert_int_equal(i.state, IDEMPOTENT_NEW);
    answer(&i, 200, long_answer + 1);
    assert_int_equal(begin("docs", "key", "body").state, IDEMPOTENT_KNOWN);
}

static void a_key_is_kept_for_a_day(void **state)
{
    struct idempotent early = begin("docs", "early", "body");
    struct idempotent running = begin("docs", "running", "body");

    (void)state;
    answer(&early, 200, "x");
    clock_manual_advance(&w.clock, IDEMPOTENT_KEPT_NS - 1);
    assert_int_equal(begin("docs", "early", "body").state, IDEMPOTENT_KNOWN);
    clock_manual_advance(&w.clock, 1);
    assert_int_equal(begin("docs", "early", "body").state, IDEMPOTENT_NEW);
    assert_int_equal(begin("docs", "running", "body").state, IDEMPOTENT_RUNNING);
    answer(&running, 200, "y");
    assert_int_equal(begin("docs", "running", "body").state, IDEMPOTENT_NEW); /* too old at once */
}

static void fill(const char *prefix, unsigned count, size_t answer_bytes)
{
    static char text[IDEMPOTENT_ANSWER_BYTES_MAX];

    for (unsigned n = 0; n < count; n++) {
        struct idempotent i;
        char key[32];

        (void)snprintf(key, sizeof key, "%s%u", prefix, n);
        i = begin("docs", key, "body");
        node_idempotent_end(w.node, &i, 200, slice_make(text, answer_bytes));
    }
}

static void keys_and_answers_are_bounded(void **state)
{
    struct idempotent running = begin("docs", "running", "body");

    (void)state;
    fill("a", IDEMPOTENT_KEYS_MAX, 1);
    assert_int_equal(begin("docs", "a0", "other").state, IDEMPOTENT_NEW); /* the oldest went */
    assert_int_equal(begin("docs", "a50", "other").state, IDEMPOTENT_OTHER);
    assert_int_equal(begin("docs", "running", "body").state, IDEMPOTENT_RUNNING);
    fill("b", 2 * (IDEMPOTENT_BYTES_MAX / IDEMPOTENT_ANSWER_BYTES_MAX),
         IDEMPOTENT_ANSWER_BYTES_MAX);
    assert_int_equal(begin("docs", "b0", "other").state, IDEMPOTENT_NEW);
    assert_int_equal(begin("docs", "b8000", "other").state, IDEMPOTENT_OTHER);
    assert_int_equal(begin("docs", "running", "body").state, IDEMPOTENT_RUNNING);
    answer(&running, 200, "");
    assert_int_equal(begin("docs", "running", "body").code, 200);
}

static void a_key_has_bounds(void **state)
{
    static char key[IDEMPOTENT_KEY_BYTES_MAX + 2];
    struct idempotent i;

    (void)state;
    memset(key, 'k', IDEMPOTENT_KEY_BYTES_MAX + 1);
    assert_int_equal(node_idempotent_begin(w.node, slice_text("docs"), slice_text(""),
                                           slice_text(""), &arena, &i, NULL),
                     ST_INVALID);
    assert_int_equal(node_idempotent_begin(w.node, slice_text("docs"), slice_text(key),
                                           slice_text(""), &arena, &i, NULL),
                     ST_INVALID);
    assert_int_equal(begin("docs", key + 1, "body").state, IDEMPOTENT_NEW);
}

/* What is written again after a restart has the ids of the first time. */
static void a_restart_forgets_keys_and_not_the_ids_made_of_them(void **state)
{
    struct idempotent i = begin("docs", "key", "body");
    struct docid first = node_idempotent_id(&i, 0), second = node_idempotent_id(&i, 1), again;
    char text[DOCID_TEXT_BYTES];

    (void)state;
    answer(&i, 200, "x");
    nworld_close(&w);
    nworld_open(&w);
    i = begin("docs", "key", "body");
    assert_int_equal(i.state, IDEMPOTENT_NEW);
    again = node_idempotent_id(&i, 0);
    assert_true(docid_equal(&first, &again));
    again = node_idempotent_id(&i, 1);
    assert_true(docid_equal(&second, &again));
    assert_false(docid_equal(&first, &second));
    (void)docid_format(&first, text);
    assert_int_equal(text[14], '8');
    i = begin("docs", "key2", "body");
    again = node_idempotent_id(&i, 0);
    assert_false(docid_equal(&first, &again));
}

static status begin_and_end(void *arg)
{
    struct idempotent i, again;
    struct arena a;
    status st;

    (void)arg;
    arena_init(&a, 1 << 16);
    st = node_idempotent_begin(w.node, slice_text("docs"), slice_text("swept"), slice_text("b"), &a,
                               &i, NULL);
    if (st == ST_OK && i.state == IDEMPOTENT_NEW)
        answer(&i, 200, "yes");
    if (st == ST_OK)
        st = node_idempotent_begin(w.node, slice_text("docs"), slice_text("swept"), slice_text("b"),
                                   &a, &again, NULL);
    if (st == ST_OK && again.state == IDEMPOTENT_NEW)
        answer(&again, 0, "");
    else if (st == ST_OK)
        assert_int_equal(again.state, IDEMPOTENT_KNOWN);
    arena_free(&a);
    return st;
}

static void without_memory_nothing_is_promised(void **state)
{
    (void)state;
    assert_true(alloc_sweep(begin_and_end, NULL) >= 3);
    assert_int_equal(begin("docs", "swept", "b").state, IDEMPOTENT_KNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_same_request_is_told_the_first_answer, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_was_not_done_is_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_is_kept_for_a_day, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_and_answers_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_has_bounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_restart_forgets_keys_and_not_the_ids_made_of_them, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(without_memory_nothing_is_promised, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
