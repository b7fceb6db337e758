/* Settings of collections: kept with them in the catalog, through restarts and cuts, and in the
 * bucket for whoever restores. */
#include "tests/unit/node/nbucket.h"

#include <stdatomic.h>
#include <stdio.h>

enum { DIM = 4, EFFECTS_MAX = 400 };

static status put(struct nworld *w, struct collection *c, const char *key, struct slice value,
                  struct err *err)
{
    struct call call;

    call_init(&call);
    node_setting_put(w->node, c, key, value, call_admin_done, &call);
    call_wait(&call);
    if (err != NULL)
        *err = call.err;
    return call.st;
}

static status put_text(struct nworld *w, struct collection *c, const char *key, const char *value)
{
    return put(w, c, key, slice_text(value), NULL);
}

static status create(struct nworld *w, const char *name, enum node_policy policy, const char *key,
                     const char *value)
{
    const struct collection_spec spec = {.name = name,
                                         .dimension = DIM,
                                         .metric = VMETRIC_L2,
                                         .policy = policy,
                                         .string_ids = true,
                                         .setting_key = key,
                                         .setting_value = slice_text(value)};
    struct call call;

    call_init(&call);
    node_collection_create(w->node, &spec, call_admin_done, &call);
    call_wait(&call);
    return call.st;
}

/* NULL: not there. */
static bool is(struct collection *c, const char *key, const char *want)
{
    struct slice value = {0};
    struct arena arena;
    status st;
    bool same;

    arena_init(&arena, 1 << 20);
    st = node_setting(c, key, &arena, &value, NULL);
    if (want == NULL)
        same = st == ST_NOT_FOUND;
    else
        same = st == ST_OK && slice_equal(value, slice_text(want));
    arena_free(&arena);
    return same;
}

static bool named_is(struct nworld *w, const char *name, const char *key, const char *want)
{
    struct collection *c = npin(w, name);
    bool same = is(c, key, want);

    node_collection_unpin(c);
    return same;
}

static void settings_outlive_a_restart_and_a_power_cut(void **state)
{
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, true, 1);
    nworld_open(&w);
    assert_int_equal(create(&w, "docs", NODE_MEMORY, "qdrant", "{\"a\":1}"), ST_OK);
    for (int round = 0; round < 3; round++) {
        c = npin(&w, "docs");
        assert_true(node_string_ids(c));
        assert_int_equal(node_field_count(c), 1);
        assert_string_equal(node_field(c, 0)->name, "");
        assert_int_equal(node_field(c, 0)->dimension, DIM);
        assert_int_equal(node_field_position(c, slice_text("")), 0);
        assert_int_equal(node_field_position(c, slice_text("other")), -1);
        assert_null(node_field(c, 1));
        if (round == 1)
            assert_int_equal(put_text(&w, c, "qdrant", "{\"a\":2}"), ST_OK);
        assert_true(is(c, "qdrant", round == 0 ? "{\"a\":1}" : "{\"a\":2}"));
        assert_true(is(c, "other", NULL));
        node_collection_unpin(c);
        if (round == 0)
            nworld_close(&w);
        else
            nworld_power_cut(&w);
        nworld_open(&w);
    }
    c = npin(&w, "docs");
    assert_int_equal(put_text(&w, c, "qdrant", ""), ST_OK);
    assert_int_equal(put_text(&w, c, "qdrant", ""), ST_OK);
    assert_true(is(c, "qdrant", NULL));
    node_collection_unpin(c);
    nworld_fini(&w);
}

static void those_under_a_prefix_are_listed(void **state)
{
    struct setting_text *list;
    struct nworld w;
    struct collection *c;
    struct arena arena;
    size_t count;

    (void)state;
    nworld_init(&w, true, 2);
    nworld_open(&w);
    assert_int_equal(create(&w, "docs", NODE_MEMORY, "qdrant", "x"), ST_OK);
    c = npin(&w, "docs");
    assert_int_equal(put_text(&w, c, "index:b.c", "2"), ST_OK);
    assert_int_equal(put_text(&w, c, "index:a[]", "1"), ST_OK);
    assert_int_equal(put_text(&w, c, "indexe", "3"), ST_OK);
    arena_init(&arena, 1 << 20);
    assert_int_equal(node_settings_list(c, "index:", &arena, &list, &count, NULL), ST_OK);
    assert_int_equal(count, 2);
    assert_true(slice_equal(list[0].key, slice_text("a[]")));
    assert_true(slice_equal(list[0].value, slice_text("1")));
    assert_true(slice_equal(list[1].key, slice_text("b.c")));
    assert_true(slice_equal(list[1].value, slice_text("2")));
    assert_int_equal(node_settings_list(c, "none", &arena, &list, &count, NULL), ST_OK);
    assert_int_equal(count, 0);
    arena_free(&arena);
    node_collection_unpin(c);
    nworld_fini(&w);
}

static void what_is_too_large_is_refused_and_changes_nothing(void **state)
{
    static uint8_t large[NODE_SETTING_BYTES_MAX + 1];
    struct err err = {0};
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, true, 3);
    nworld_open(&w);
    assert_int_equal(create(&w, "docs", NODE_MEMORY, "", "x"), ST_INVALID);
    assert_int_equal(create(&w, "docs", NODE_MEMORY, "qdrant", "x"), ST_OK);
    c = npin(&w, "docs");
    assert_int_equal(put(&w, c, "qdrant", slice_make(large, sizeof large), &err), ST_INVALID);
    assert_int_equal(put(&w, c, "large", slice_make(large, sizeof large - 1), &err), ST_OK);
    assert_int_equal(put(&w, c, "", slice_text("1"), &err), ST_INVALID);
    assert_true(is(c, "qdrant", "x"));
    node_set_readonly(w.node, true);
    assert_int_equal(put(&w, c, "qdrant", slice_text("1"), &err), ST_DENIED);
    node_set_readonly(w.node, false);
    assert_true(is(c, "qdrant", "x"));
    assert_int_equal(ndrop(&w, c, NULL), ST_OK);
    assert_int_equal(put(&w, c, "qdrant", slice_text("1"), &err), ST_NOT_FOUND);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* A value that was made from another than is there changes nothing. */
static void what_was_merged_counts_if_nobody_changed_it_meanwhile(void **state)
{
    static const struct {
        const char *was, *value;
        status st;
    } rows[] = {{"", "{1}", ST_CONFLICT}, {"{0}", "{1}", ST_OK},    {"{0}", "{2}", ST_CONFLICT},
                {"{1}", "{2}", ST_OK},    {"{2}", "", ST_OK},       {"{2}", "{3}", ST_CONFLICT},
                {"", "{3}", ST_OK},       {"{3}x", "", ST_CONFLICT}};
    const char *now = "{0}";
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, true, 9);
    nworld_open(&w);
    assert_int_equal(create(&w, "docs", NODE_MEMORY, "qdrant", now), ST_OK);
    c = npin(&w, "docs");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct collection_patch patch = {.ef_search = (uint16_t)(100 + i),
                                               .setting_key = "qdrant",
                                               .setting_value = slice_text(rows[i].value),
                                               .setting_merged = true,
                                               .setting_was = slice_text(rows[i].was)};
        struct call call;

        call_init(&call);
        node_collection_patch(w.node, c, &patch, call_admin_done, &call);
        call_wait(&call);
        assert_int_equal(call.st, rows[i].st);
        if (call.st == ST_OK)
            now = rows[i].value;
        assert_true(is(c, "qdrant", now[0] == '\0' ? NULL : now));
        assert_int_equal(ninfo(c).ef_search == 100 + i, call.st == ST_OK);
    }
    node_collection_unpin(c);
    nworld_fini(&w);
}

static void is_a_limit(status st, const struct err *err, const char *remedy)
{
    if (st != ST_INVALID || strstr(err->text, remedy) == NULL)
        fail_msg("%s: %s", status_name(st), err->text);
}

/* A limit is no full disk: sending it again cannot help, dropping something does. */
static void too_many_are_refused_as_a_limit(void **state)
{
    static uint8_t large[NODE_SETTING_BYTES_MAX];
    struct catalog_collection *entry;
    struct nhold hold;
    struct err err = {0};
    struct nworld w;
    struct collection *c;
    struct call call;

    (void)state;
    nworld_init(&w, true, 8);
    nworld_open(&w);
    assert_int_equal(create(&w, "docs", NODE_MEMORY, "n", "0"), ST_OK);
    c = npin(&w, "docs");
    nhold_meta(&w, &hold); /* the catalog is this thread's meanwhile */
    entry = catalog_find_id(&w.node->catalog, c->id);
    for (int i = 0; i < CATALOG_SETTINGS_MAX - 1; i++) {
        char key[32];

        (void)snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(catalog_put_setting(entry, key, slice_text("x"), NULL), ST_OK);
    }
    call_init(&call);
    node_setting_put(w.node, c, "one more", slice_text("1"), call_admin_done, &call);
    nlet_through(&w, &hold);
    call_wait(&call);
    is_a_limit(call.st, &call.err, "at most 512 settings");
    nhold_meta(&w, &hold);
    for (int i = 0; i < CATALOG_BYTES_MAX / NODE_SETTING_BYTES_MAX; i++) {
        char key[32];

        (void)snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(catalog_put_setting(entry, key, slice_make(large, sizeof large), NULL),
                         ST_OK);
    }
    call_init(&call);
    node_setting_put(w.node, c, "n", slice_text("1"), call_admin_done, &call);
    nlet_through(&w, &hold);
    call_wait(&call);
    is_a_limit(call.st, &call.err, "drop");
    assert_true(is(c, "n", "0"));
    is_a_limit(ncreate(&w, "other", DIM, VMETRIC_L2, 64, &err), &err, "drop");
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* What was answered is there after a cut; what was not is there whole or not at all. */
static void a_put_cut_anywhere_is_there_whole_or_not_at_all(void **state)
{
    struct nworld w;
    bool stopped = true;
    uint32_t now = 0;

    (void)state;
    nworld_init(&w, true, 4);
    nworld_open(&w);
    assert_int_equal(create(&w, "docs", NODE_MEMORY, "n", "0"), ST_OK);
    for (uint64_t n = 0; stopped && n < EFFECTS_MAX; n++) {
        struct collection *c = npin(&w, "docs");
        char before[16];
        char after[16];
        status st;

        (void)snprintf(before, sizeof before, "%u", now);
        (void)snprintf(after, sizeof after, "%u", now + 1);
        fs_sim_stop_after(w.sim, n);
        st = put_text(&w, c, "n", after);
        stopped = fs_sim_stopped(w.sim);
        node_collection_unpin(c);
        nworld_power_cut(&w);
        nworld_open(&w);
        if (named_is(&w, "docs", "n", after))
            now++;
        else if (st == ST_OK || !named_is(&w, "docs", "n", before))
            fail_msg("cut at %llu after %s: neither, seed=%llu", (unsigned long long)n,
                     status_name(st), (unsigned long long)w.seed);
    }
    assert_false(stopped);
    assert_true(now > 0);
    nworld_fini(&w);
}

static void change_there(struct catalog *catalog, void *arg)
{
    assert_int_equal(catalog_put_setting(&catalog->collections[0], "n", slice_text(arg), NULL),
                     ST_OK);
}

static void the_bucket_brings_them_back(void **state)
{
    char other[] = "of another node";
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, false, 5);
    nworld_bucket(&w, "settings");
    nworld_open(&w);
    assert_int_equal(create(&w, "docs", NODE_MEMORY_S3, "qdrant", "{}"), ST_OK);
    c = npin(&w, "docs");
    assert_int_equal(put_text(&w, c, "n", "1"), ST_OK);
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    nsettled(&w);
    neventually(nstate_is(&w, "docs", "serving"));
    assert_true(named_is(&w, "docs", "qdrant", "{}"));
    assert_true(named_is(&w, "docs", "n", "1"));
    c = npin(&w, "docs");
    assert_true(node_string_ids(c));
    node_collection_unpin(c);
    nworld_close(&w); /* and from the local catalog, which was made from the bucket's */
    nworld_open(&w);
    assert_true(named_is(&w, "docs", "n", "1"));
    nworld_close(&w);
    nchange_catalog(&w, change_there, other);
    nworld_open(&w);
    neventually(named_is(&w, "docs", "n", other));
    assert_true(named_is(&w, "docs", "qdrant", "{}"));
    nworld_fini(&w);
}

/* Settings of a Memory collection are not in the bucket until it is switched. */
static void a_switch_takes_them_along(void **state)
{
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, false, 6);
    nworld_bucket(&w, "switched");
    nworld_open(&w);
    assert_int_equal(create(&w, "docs", NODE_MEMORY, "qdrant", "{}"), ST_OK);
    c = npin(&w, "docs");
    nput_range(c, 1, 10, 1);
    assert_int_equal(npatch_policy(&w, c, NODE_MEMORY_S3, NULL), ST_OK);
    assert_int_equal(put_text(&w, c, "n", "1"), ST_OK);
    neventually(nshipped(c));
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    nsettled(&w);
    neventually(nstate_is(&w, "docs", "serving"));
    assert_true(named_is(&w, "docs", "qdrant", "{}"));
    assert_true(named_is(&w, "docs", "n", "1"));
    nworld_fini(&w);
}

struct reader {
    struct collection *c;
    _Atomic bool stop, wrong;
};

/* Assertions are the main thread's: a wrong value is left for it. */
static void read_on(void *arg)
{
    struct reader *r = arg;
    struct arena arena;

    arena_init(&arena, 1 << 20);
    while (!atomic_load(&r->stop)) {
        struct slice value = {0};
        status st = node_setting(r->c, "n", &arena, &value, NULL);

        if (st != ST_NOT_FOUND && (st != ST_OK || (!slice_equal(value, slice_text("aaaaaaaa")) &&
                                                   !slice_equal(value, slice_text("bbbbbbbb")))))
            atomic_store(&r->wrong, true);
        arena_reset(&arena);
    }
    arena_free(&arena);
}

static void readers_see_one_or_the_other(void **state)
{
    struct reader r = {0};
    struct thread thread;
    struct nworld w;

    (void)state;
    nworld_init(&w, true, 7);
    nworld_open(&w);
    assert_int_equal(create(&w, "docs", NODE_MEMORY, "n", "aaaaaaaa"), ST_OK);
    r.c = npin(&w, "docs");
    assert_int_equal(thread_start(&thread, "reader", THREAD_NORMAL, read_on, &r, NULL), ST_OK);
    for (int i = 0; i < 60; i++)
        assert_int_equal(put_text(&w, r.c, "n",
                                  i % 3 == 0   ? "bbbbbbbb"
                                  : i % 3 == 1 ? ""
                                               : "aaaaaaaa"),
                         ST_OK);
    atomic_store(&r.stop, true);
    thread_join(&thread);
    assert_false(atomic_load(&r.wrong));
    node_collection_unpin(r.c);
    nworld_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_outlive_a_restart_and_a_power_cut),
        cmocka_unit_test(those_under_a_prefix_are_listed),
        cmocka_unit_test(what_is_too_large_is_refused_and_changes_nothing),
        cmocka_unit_test(what_was_merged_counts_if_nobody_changed_it_meanwhile),
        cmocka_unit_test(too_many_are_refused_as_a_limit),
        cmocka_unit_test(a_put_cut_anywhere_is_there_whole_or_not_at_all),
        cmocka_unit_test(the_bucket_brings_them_back),
        cmocka_unit_test(a_switch_takes_them_along),
        cmocka_unit_test(readers_see_one_or_the_other),
    };

    nlog();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
