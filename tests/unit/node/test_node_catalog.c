/* Create, drop and rename, cut short at every effect and failed at every effect: a collection is
 * there whole or not at all, and what was acknowledged is true. */
#include "tests/unit/node/nworld.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { DIM = 4, DOCS = 3, EFFECTS_MAX = 400 };

static void put_docs(struct collection *c)
{
    for (uint64_t id = 1; id <= DOCS; id++)
        assert_int_equal(nput(c, id, 7, NULL), ST_OK);
}

static void docs_must_be_there(struct nworld *w, const char *name, uint64_t step)
{
    struct collection *c = npin(w, name);

    nstate(c, "serving", "");
    if (ncount(c) != DOCS)
        fail_msg("%s has %llu documents, step=%llu seed=%llu", name, (unsigned long long)ncount(c),
                 (unsigned long long)step, (unsigned long long)w->seed);
    for (uint64_t id = 1; id <= DOCS; id++)
        assert_int_equal(nversion(c, id), 7);
    node_collection_unpin(c);
}

static bool there(struct nworld *w, const char *name)
{
    struct collection *c = node_collection_pin(w->node, name, strlen(name));

    node_collection_unpin(c);
    return c != NULL;
}

struct stray {
    struct nworld *w;
    const char *folder;
};

static status must_be_known(void *arg, const char *name, bool is_dir, struct err *err)
{
    const struct stray *s = arg;

    (void)err;
    if (is_dir && !there(s->w, name))
        fail_msg("%s/%s is left over, seed=%llu", s->folder, name, (unsigned long long)s->w->seed);
    return ST_OK;
}

/* Every directory of a log or a checkpoint belongs to a collection, and no intent is open. */
static status any_intent(void *arg, struct slice key, struct slice value, struct err *err)
{
    (void)key;
    (void)value;
    (void)err;
    *(size_t *)arg += 1;
    return ST_OK;
}

static void nothing_is_left_over(struct nworld *w)
{
    static const char *const folders[] = {"wal", "snapshots"};
    struct node_health health;
    size_t intents = 0;

    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        struct stray s = {.w = w, .folder = folders[i]};
        char path[FS_PATH_BYTES];

        assert_int_equal(fs_join(path, w->dir, folders[i], NULL), ST_OK);
        assert_int_equal(fs_list(nworld_fs(w), path, must_be_known, &s, NULL), ST_OK);
    }
    assert_int_equal(kv_each(w->node->kv, slice_text("create/"), any_intent, &intents, NULL),
                     ST_OK);
    assert_int_equal(intents, 0);
    node_health(w->node, &health);
    if (health.degraded)
        fail_msg("health: %s seed=%llu", health.reasons[0], (unsigned long long)w->seed);
}

/* Jobs of the upkeep thread so far are done: among them the removal of a dropped one's files. */
static void upkeep_is_idle(struct nworld *w)
{
    struct collection *c = npin(w, "base");

    (void)ncheckpoint(c, NULL);
    node_collection_unpin(c);
}

static status create_named(struct nworld *w, const char *name)
{
    return ncreate(w, name, DIM, VMETRIC_L2, UINT32_MAX, NULL);
}

static status drop_named(struct nworld *w, const char *name)
{
    struct collection *c = npin(w, name);
    status st = ndrop(w, c, NULL);

    node_collection_unpin(c);
    return st;
}

static status rename_to(struct nworld *w, const char *from, const char *to)
{
    struct collection *c = npin(w, from);
    status st = npatch(w, c, to, 0, NULL);

    node_collection_unpin(c);
    return st;
}

static void open_with_base(struct nworld *w, uint64_t seed)
{
    struct collection *c;

    nworld_init(w, true, seed);
    nworld_open(w);
    assert_int_equal(create_named(w, "base"), ST_OK);
    c = npin(w, "base");
    put_docs(c);
    node_collection_unpin(c);
}

static void create_cut_anywhere_is_there_whole_or_not_at_all(void **state)
{
    struct nworld w;
    bool stopped = true;
    uint64_t n;

    (void)state;
    open_with_base(&w, 1);
    for (n = 0; stopped && n < EFFECTS_MAX; n++) {
        status st;

        fs_sim_stop_after(w.sim, n);
        st = create_named(&w, "new");
        stopped = fs_sim_stopped(w.sim);
        assert_true(stopped || st == ST_OK);
        if (st == ST_OK) {
            struct collection *c = npin(&w, "new");

            (void)nput(c, 1, 1, NULL); /* may meet the stop */
            node_collection_unpin(c);
        }
        nworld_power_cut(&w);
        nworld_open(&w);
        docs_must_be_there(&w, "base", n);
        if (st == ST_OK)
            assert_true(there(&w, "new"));
        if (there(&w, "new")) {
            struct collection *c = npin(&w, "new");

            nstate(c, "serving", "");
            assert_int_equal(nput(c, 2, 1, NULL), ST_OK);
            node_collection_unpin(c);
        }
        nothing_is_left_over(&w);
        if (there(&w, "new")) {
            assert_int_equal(create_named(&w, "new"), ST_EXISTS);
            assert_int_equal(drop_named(&w, "new"), ST_OK);
        }
    }
    assert_true(n > 5 && n < EFFECTS_MAX);
    nworld_fini(&w);
}

static void make_victim(struct nworld *w)
{
    struct collection *c;

    assert_int_equal(create_named(w, "victim"), ST_OK);
    c = npin(w, "victim");
    put_docs(c);
    assert_int_equal(ncheckpoint(c, NULL), ST_OK);
    node_collection_unpin(c);
}

static void drop_cut_anywhere_is_done_or_not_begun(void **state)
{
    struct nworld w;
    bool stopped = true;
    uint64_t n;

    (void)state;
    open_with_base(&w, 2);
    for (n = 0; stopped && n < EFFECTS_MAX; n++) {
        status st;

        if (!there(&w, "victim"))
            make_victim(&w);
        upkeep_is_idle(&w);
        fs_sim_stop_after(w.sim, n);
        st = drop_named(&w, "victim");
        upkeep_is_idle(&w);
        stopped = fs_sim_stopped(w.sim);
        assert_true(stopped || st == ST_OK);
        nworld_power_cut(&w);
        nworld_open(&w);
        docs_must_be_there(&w, "base", n);
        if (st == ST_OK)
            assert_false(there(&w, "victim"));
        if (there(&w, "victim"))
            docs_must_be_there(&w, "victim", n);
        nothing_is_left_over(&w);
    }
    assert_true(n > 5 && n < EFFECTS_MAX);
    nworld_fini(&w);
}

static void rename_cut_anywhere_has_one_of_the_two_names(void **state)
{
    struct nworld w;
    bool stopped = true;
    uint64_t n;

    (void)state;
    open_with_base(&w, 3);
    make_victim(&w);
    for (n = 0; stopped && n < EFFECTS_MAX; n++) {
        status st;

        if (there(&w, "renamed"))
            assert_int_equal(rename_to(&w, "renamed", "victim"), ST_OK);
        fs_sim_stop_after(w.sim, n);
        st = rename_to(&w, "victim", "renamed");
        stopped = fs_sim_stopped(w.sim);
        nworld_power_cut(&w);
        nworld_open(&w);
        assert_int_equal(there(&w, "victim") + there(&w, "renamed"), 1);
        if (st == ST_OK)
            assert_true(there(&w, "renamed"));
        docs_must_be_there(&w, there(&w, "renamed") ? "renamed" : "victim", n);
        nothing_is_left_over(&w);
    }
    assert_true(n >= 4 && n < EFFECTS_MAX);
    nworld_fini(&w);
}

/* --- one failing call, and life goes on --- */

enum catalog_step { CREATE, DROP, RENAME };

static status make_change(struct nworld *w, enum catalog_step what)
{
    status st = ST_BUG;

    switch (what) {
    case CREATE:
        return create_named(w, "new");
    case DROP:
        st = drop_named(w, "victim");
        upkeep_is_idle(w);
        return st;
    case RENAME:
        return rename_to(w, "victim", "renamed");
    }
    return st;
}

/* Whoever is told that a write is durable finds it after a restart, whatever a failed change of the
 * catalog left on disk. Returns whether one was acknowledged. */
static bool write_to(struct nworld *w, const char *name)
{
    struct collection *c = node_collection_pin(w->node, name, strlen(name));
    bool acked = c != NULL && nput(c, 99, 5, NULL) == ST_OK;

    node_collection_unpin(c);
    return acked;
}

static void must_have_99(struct nworld *w, const char *name, uint64_t n)
{
    struct collection *c = node_collection_pin(w->node, name, strlen(name));

    if (c == NULL)
        fail_msg("%s is gone, with what was acknowledged; n=%llu seed=%llu", name,
                 (unsigned long long)n, (unsigned long long)w->seed);
    nstate(c, "serving", "");
    assert_int_equal(nversion(c, 99), 5);
    node_collection_unpin(c);
}

/* Returns whether the fault was met. */
static bool fail_one(struct nworld *w, enum catalog_step what, uint64_t n, bool after_effect)
{
    static const char *const names[] = {"base", "victim", "renamed", "new"};
    const struct fs_sim_fault fault = {
        .op = FS_SIM_EFFECT, .nth = n, .errnum = EIO, .after_effect = after_effect};
    bool acked[COUNT_OF(names)];
    uint64_t before;
    bool met;
    status st;

    if (there(w, "renamed"))
        assert_int_equal(drop_named(w, "renamed"), ST_OK);
    if (there(w, "new"))
        assert_int_equal(drop_named(w, "new"), ST_OK);
    if (!there(w, "victim"))
        make_victim(w);
    upkeep_is_idle(w);
    before = fs_sim_calls(w->sim, FS_SIM_EFFECT);
    fs_sim_fail(w->sim, &fault);
    st = make_change(w, what);
    met = fs_sim_calls(w->sim, FS_SIM_EFFECT) - before >= n;
    assert_true(met || st == ST_OK);
    fs_sim_fail_clear(w->sim);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        acked[i] = write_to(w, names[i]);
    nworld_power_cut(w);
    nworld_open(w);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (acked[i])
            must_have_99(w, names[i], n);
    }
    if (what == CREATE && st == ST_OK)
        assert_true(there(w, "new"));
    if (what == DROP && st == ST_OK)
        assert_false(there(w, "victim"));
    nothing_is_left_over(w);
    return met;
}

static void fail_each(enum catalog_step what, uint64_t seed)
{
    struct nworld w;

    open_with_base(&w, seed);
    for (int after = 0; after < 2; after++) {
        uint64_t n = 1;

        while (fail_one(&w, what, n, after == 1) && n < EFFECTS_MAX)
            n++;
        assert_true(n > 3 && n < EFFECTS_MAX);
    }
    nworld_fini(&w);
}

static void a_create_that_fails_loses_nothing(void **state)
{
    (void)state;
    fail_each(CREATE, 4);
}

static void a_drop_that_fails_loses_nothing_acknowledged_after_it(void **state)
{
    (void)state;
    fail_each(DROP, 5);
}

static void a_rename_that_fails_loses_nothing(void **state)
{
    (void)state;
    fail_each(RENAME, 6);
}

/* --- what is found at start --- */

static void an_unknown_log_directory_is_kept_and_told(void **state)
{
    static const char unknown[] = "01234567-89ab-4def-8123-456789abcdef";
    struct nworld w;
    char path[FS_PATH_BYTES];
    char file[FS_PATH_BYTES];
    struct fs_stat found;

    (void)state;
    open_with_base(&w, 7);
    nworld_close(&w);
    (void)snprintf(path, sizeof path, "%s/wal/%s", w.dir, unknown);
    assert_int_equal(fs_join(file, path, "0000000000000001.wal", NULL), ST_OK);
    assert_int_equal(fs_mkdir_all(nworld_fs(&w), path, NULL), ST_OK);
    assert_int_equal(fs_write_file(nworld_fs(&w), file, slice_text("dear"), NULL), ST_OK);
    nworld_open(&w);
    assert_true(nhealth_has(&w, unknown));
    docs_must_be_there(&w, "base", 0);
    nworld_close(&w);
    assert_int_equal(fs_stat(nworld_fs(&w), file, &found, NULL), ST_OK);
    assert_int_equal(found.bytes, 4);
    nworld_fini(&w);
}

/* What lies between the commit point and the end of a create, seen from the next start: the intent
 * of a collection that the catalog has goes, the collection stays. */
static void an_intent_left_behind_takes_no_collection_with_it(void **state)
{
    struct nworld w;
    struct collection *c;

    (void)state;
    open_with_base(&w, 8);
    c = npin(&w, "base");
    assert_int_equal(intent_put(w.node, c->id, NULL), ST_OK);
    node_collection_unpin(c);
    nworld_power_cut(&w);
    nworld_open(&w);
    docs_must_be_there(&w, "base", 0);
    nothing_is_left_over(&w);
    nworld_fini(&w);
}

/* Two collections of one name follow each other while the first waits to be freed. */
static void a_name_used_again_has_numbers_of_its_own(void **state)
{
    struct nworld w;
    struct collection *old, *c;
    struct buf text;

    (void)state;
    open_with_base(&w, 9);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(create_named(&w, "again"), ST_OK);
        old = npin(&w, "again");
        put_docs(old);
        assert_int_equal(drop_named(&w, "again"), ST_OK);
        assert_int_equal(create_named(&w, "again"), ST_OK);
        c = npin(&w, "again");
        assert_ptr_not_equal(old, c);
        node_collection_unpin(old);
        epoch_synchronize(w.node->epoch);
        graves_free(w.node); /* the old one, if the reclaim thread was not faster */
        put_docs(c);
        buf_init(&text, 1 << 20);
        stats_print(w.stats, &text);
        buf_put_u8(&text, '\0');
        assert_non_null(
            strstr((char *)text.data, "tiervec_collection_vectors{collection=\"again\"} 3\n"));
        buf_free(&text);
        assert_int_equal(ndrop(&w, c, NULL), ST_OK);
        node_collection_unpin(c);
    }
    nworld_fini(&w);
}

static void a_second_node_is_told_who_has_the_directory(void **state)
{
    struct nworld w;
    struct node *second = NULL;
    struct err err = {0};

    (void)state;
    open_with_base(&w, 10);
    assert_int_equal(node_open(&w.options, &second, &err), ST_CONFLICT);
    assert_null(second);
    assert_non_null(strstr(err.text, "another tiervec"));
    docs_must_be_there(&w, "base", 0);
    nworld_close(&w);
    nworld_open(&w);
    docs_must_be_there(&w, "base", 0);
    nworld_fini(&w);
}

/* --- many --- */

enum { MANY = 1000 };

static void a_thousand_collections_are_made_listed_loaded_and_dropped(void **state)
{
    struct collection_info *page = malloc(128 * sizeof *page);
    struct nworld w;
    struct node_status before, after;
    char last[256] = "";
    size_t seen = 0;
    size_t n;

    (void)state;
    assert_non_null(page);
    open_with_base(&w, 11);
    node_status(w.node, &before);
    for (int i = 0; i < MANY; i++) {
        char name[32];

        (void)snprintf(name, sizeof name, "many-%04d", i);
        assert_int_equal(create_named(&w, name), ST_OK);
    }
    node_status(w.node, &after);
    assert_int_equal(after.collections, MANY + 1);
    /* An empty collection reserves nothing; its structs are a few KiB. What is done behind the
     * writes of the first one may still take some bytes. */
    assert_true(after.memory_bytes < before.memory_bytes + MANY);
    nworld_close(&w);
    nworld_open(&w);
    while ((n = node_collection_list(w.node, seen == 0 ? NULL : last, page, 128)) > 0) {
        for (size_t i = 0; i < n; i++) {
            assert_true(strcmp(page[i].name, last) > 0);
            (void)snprintf(last, sizeof last, "%s", page[i].name);
            assert_string_equal(page[i].state, "serving");
        }
        seen += n;
    }
    assert_int_equal(seen, MANY + 1);
    for (int i = 0; i < MANY; i++) {
        char name[32];

        (void)snprintf(name, sizeof name, "many-%04d", i);
        assert_int_equal(drop_named(&w, name), ST_OK);
    }
    upkeep_is_idle(&w);
    nothing_is_left_over(&w);
    free(page);
    nworld_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_cut_anywhere_is_there_whole_or_not_at_all),
        cmocka_unit_test(drop_cut_anywhere_is_done_or_not_begun),
        cmocka_unit_test(rename_cut_anywhere_has_one_of_the_two_names),
        cmocka_unit_test(a_create_that_fails_loses_nothing),
        cmocka_unit_test(a_drop_that_fails_loses_nothing_acknowledged_after_it),
        cmocka_unit_test(a_rename_that_fails_loses_nothing),
        cmocka_unit_test(an_unknown_log_directory_is_kept_and_told),
        cmocka_unit_test(an_intent_left_behind_takes_no_collection_with_it),
        cmocka_unit_test(a_name_used_again_has_numbers_of_its_own),
        cmocka_unit_test(a_second_node_is_told_who_has_the_directory),
        cmocka_unit_test(a_thousand_collections_are_made_listed_loaded_and_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
