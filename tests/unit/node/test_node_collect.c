/* Garbage leaves a node's bucket, and nothing else does. */
#include "tests/unit/node/nbucket.h"

#include <stdio.h>

static size_t objects(struct nworld *w, const char *part)
{
    struct objstore_req list = {.op = OBJSTORE_LIST, .key = "c/"};
    size_t count = 0;

    assert_int_equal(objstore_wait(w->bucket, &list, NULL), ST_OK);
    assert_false(list.result.truncated);
    for (size_t i = 0; i < list.result.entry_count; i++)
        count += strstr(list.result.entries[i].key, part) != NULL;
    objstore_result_fini(&list.result);
    return count;
}

static struct collection *begin(struct nworld *w, const char *bucket, uint64_t seed)
{
    nworld_init(w, false, seed);
    nworld_bucket(w, bucket);
    w->options.keep_versions = 1;
    nworld_open(w);
    return nmake(w, "docs", NODE_LOCAL);
}

/* Five bases one after the other: the newest stays, with the log behind it. */
static void only_the_newest_version_stays(void **state)
{
    struct nworld w;
    struct collection *c;

    (void)state;
    c = begin(&w, "collect", 51);
    for (uint32_t version = 1; version <= 5; version++) {
        for (int i = 0; i < 4; i++)
            nput_range(c, 1, 40, version);
        assert_int_equal(ncompact(c, NULL, NULL), ST_OK);
    }
    nput_range(c, 41, 50, 1);
    neventually(nconfirmed(c));
    neventually(objects(&w, "/m/") == 1);
    neventually(objects(&w, "/w/") <= 11);
    neventually(objects(&w, "/g/") <= 2);
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    nhas_range(c, 1, 40, 5);
    nhas_range(c, 41, 50, 1);
    ninvariants(c);
    /* Its next owner found the groups that count, though those before them are gone: what is
     * written on goes behind them, and all of it comes back once more. */
    nsettled(&w);
    nput_range(c, 51, 60, 1);
    neventually(nconfirmed(c));
    assert_false(nhealth_has(&w, "docs"));
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    nhas_range(c, 1, 40, 5);
    nhas_range(c, 41, 60, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

static void a_named_snapshot_stays(void **state)
{
    struct node_snapshot_result snapshot = {0};
    struct nworld w;
    struct collection *c;

    (void)state;
    c = begin(&w, "collect-pin", 52);
    for (int i = 0; i < 4; i++)
        nput_range(c, 1, 40, 1);
    assert_int_equal(ncompact(c, NULL, NULL), ST_OK);
    assert_int_equal(nsnapshot(c, "before", &snapshot, NULL), ST_OK);
    for (uint32_t version = 2; version <= 4; version++) {
        for (int i = 0; i < 4; i++)
            nput_range(c, 1, 40, version);
        assert_int_equal(ncompact(c, NULL, NULL), ST_OK);
    }
    neventually(nconfirmed(c));
    neventually(objects(&w, "/m/") == 2);
    npause_ms(1500); /* and another run */
    assert_int_equal(objects(&w, "/m/"), 2);
    assert_int_equal(objects(&w, "/pin/"), 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* By default readers have an hour: nothing goes before. */
static void readers_have_their_grace(void **state)
{
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, false, 53);
    nworld_bucket(&w, "collect-grace");
    w.options.keep_versions = 1;
    w.options.grace_ms = 3600000;
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    for (uint32_t version = 1; version <= 3; version++) {
        for (int i = 0; i < 4; i++)
            nput_range(c, 1, 40, version);
        assert_int_equal(ncompact(c, NULL, NULL), ST_OK);
    }
    npause_ms(2500);
    assert_int_equal(objects(&w, "/m/"), 3);
    node_collection_unpin(c);
    nworld_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_newest_version_stays),
        cmocka_unit_test(a_named_snapshot_stays),
        cmocka_unit_test(readers_have_their_grace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
