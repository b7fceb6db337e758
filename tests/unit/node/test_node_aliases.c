/* Several aliases changed at once: all of them or none, through a restart, and with the bucket's
 * catalog where a collection is bucket-backed. */
#include "tests/unit/node/nbucket.h"

#include <errno.h>
#include <stdio.h>

enum { DIM = 4, ALIASES_MAX = 8 };

static status change(struct nworld *w, const struct node_alias_action *actions, size_t count,
                     struct err *err)
{
    struct call call;

    call_init(&call);
    node_alias_change(w->node, actions, count, call_admin_done, &call);
    call_wait(&call);
    *err = call.err;
    return call.st;
}

/* "alias>collection alias>collection " in order. */
static void check(struct nworld *w, const char *want)
{
    struct node_alias all[ALIASES_MAX];
    size_t count = node_alias_list(w->node, NULL, all, ALIASES_MAX);
    char text[1024] = "";
    size_t at = 0;

    for (size_t i = 0; i < count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s>%s ", all[i].alias,
                               all[i].collection);
    assert_string_equal(text, want);
}

static void create(struct nworld *w, const char *name, enum node_policy policy)
{
    const struct collection_spec spec = {
        .name = name, .dimension = DIM, .metric = VMETRIC_L2, .policy = policy};
    struct call call;

    call_init(&call);
    node_collection_create(w->node, &spec, call_admin_done, &call);
    call_wait(&call);
    assert_int_equal(call.st, ST_OK);
}

static void must(struct nworld *w, const struct node_alias_action *actions, size_t count)
{
    struct err err = {0};

    if (change(w, actions, count, &err) != ST_OK)
        fail_msg("%s", err.text);
}

static void refused(struct nworld *w, const struct node_alias_action *actions, size_t count,
                    status want, const char *text)
{
    struct err err = {0};

    assert_int_equal(change(w, actions, count, &err), want);
    assert_string_equal(err.text, text);
}

static void of_several_changes_all_or_none_are_made(void **state)
{
    const struct node_alias_action two[] = {{.alias = "x", .collection = "one"},
                                            {.alias = "y", .collection = "two"}};
    const struct node_alias_action swap[] = {{.alias = "x", .renamed = "z"},
                                             {.alias = "y", .renamed = "x"},
                                             {.alias = "z", .renamed = "y"}};
    const struct node_alias_action moved[] = {
        {.alias = "x"}, {.alias = "none"}, {.alias = "x", .collection = "one"}};
    const struct node_alias_action missing[] = {{.alias = "y"},
                                                {.alias = "q", .collection = "three"}};
    const struct node_alias_action unnamed[] = {{.alias = "y"}, {.alias = "q", .renamed = "r"}};
    const struct node_alias_action taken[] = {{.alias = "y"},
                                              {.alias = "two", .collection = "one"}};
    const struct node_alias_action over[] = {{.alias = "x", .renamed = "two"}};
    const struct node_alias_action chain[] = {{.alias = "q", .collection = "x"}};
    const struct node_alias_action bad[] = {{.alias = "y"}, {.alias = "a/b", .collection = "one"}};
    struct nworld w;
    struct err err = {0};

    (void)state;
    nworld_init(&w, false, 1);
    nworld_open(&w);
    create(&w, "one", NODE_MEMORY);
    create(&w, "two", NODE_MEMORY);
    must(&w, two, COUNT_OF(two));
    check(&w, "x>one y>two ");
    must(&w, swap, COUNT_OF(swap));
    check(&w, "x>two y>one ");
    must(&w, moved, COUNT_OF(moved));
    check(&w, "x>one y>one ");
    refused(&w, missing, COUNT_OF(missing), ST_NOT_FOUND, "Collection `three` doesn't exist!");
    refused(&w, unnamed, COUNT_OF(unnamed), ST_NOT_FOUND, "Alias q does not exists!");
    refused(&w, taken, COUNT_OF(taken), ST_EXISTS, "Collection `two` already exists!");
    refused(&w, over, COUNT_OF(over), ST_EXISTS, "Collection `two` already exists!");
    refused(&w, chain, COUNT_OF(chain), ST_NOT_FOUND, "Collection `x` doesn't exist!");
    assert_int_equal(change(&w, bad, COUNT_OF(bad), &err), ST_INVALID);
    assert_int_equal(change(&w, bad, NODE_ALIAS_ACTIONS_MAX + 1, &err), ST_INVALID);
    must(&w, NULL, 0);
    check(&w, "x>one y>one ");
    nworld_close(&w);
    nworld_open(&w);
    check(&w, "x>one y>one ");
    nworld_fini(&w);
}

/* Aliases of collections that only this node knows stay out of the bucket. */
static void the_bucket_knows_the_aliases_of_its_collections(void **state)
{
    const struct node_alias_action two[] = {{.alias = "x", .collection = "here"},
                                            {.alias = "y", .collection = "there"},
                                            {.alias = "z", .collection = "there"}};
    const struct node_alias_action swap[] = {{.alias = "x", .collection = "there"},
                                             {.alias = "y", .collection = "here"},
                                             {.alias = "z", .renamed = "last"}};
    struct nworld w;

    (void)state;
    nworld_init(&w, false, 2);
    nworld_bucket(&w, "aliases");
    nworld_open(&w);
    create(&w, "here", NODE_MEMORY);
    create(&w, "there", NODE_MEMORY_S3);
    must(&w, two, COUNT_OF(two));
    must(&w, swap, COUNT_OF(swap));
    check(&w, "last>there x>there y>here ");
    nlose_disk(&w);
    nworld_open(&w);
    check(&w, "last>there x>there "); /* as soon as it is ready */
    assert_true(nthere(&w, "last"));
    nworld_fini(&w);
}

static void catalog_is_full(struct nworld *w)
{
    const struct fs_sim_fault full = {
        .op = FS_SIM_EFFECT, .nth = 1, .errnum = ENOSPC, .for_ever = true, .path_part = "catalog"};

    fs_sim_fail(w->sim, &full);
}

/* Served from the bucket, and not in the local catalog yet: its aliases stand for it, and what the
 * bucket alone knows of them does not change meanwhile. */
static void aliases_come_with_their_collection(void **state)
{
    static const struct node_alias_action changes[] = {{.alias = "x"},
                                                       {.alias = "x", .collection = "here"},
                                                       {.alias = "x", .renamed = "z"},
                                                       {.alias = "y", .renamed = "x"},
                                                       {.alias = "y", .collection = "there"},
                                                       {.alias = "y", .collection = "x"}};
    const struct node_alias_action two[] = {{.alias = "x", .collection = "there"},
                                            {.alias = "y", .collection = "here"}};
    struct collection *c;
    struct nworld w;
    struct err err = {0};

    (void)state;
    nworld_init(&w, true, 3);
    nworld_bucket(&w, "aliases-come");
    nworld_open(&w);
    create(&w, "there", NODE_MEMORY_S3);
    must(&w, two, 1);
    c = npin(&w, "x");
    assert_int_equal(nput(c, 1, 7, NULL), ST_OK);
    nall_shipped(&w);
    node_collection_unpin(c);
    nlose_disk(&w);
    w.options.auto_initialize = false;
    catalog_is_full(&w);
    nworld_open(&w);
    check(&w, "x>there ");
    c = npin(&w, "x");
    assert_int_equal(nversion(c, 1), 7);
    assert_int_equal(nalias(&w, "q", c, &err), ST_UNAVAILABLE);
    for (size_t i = 0; i < COUNT_OF(changes); i++)
        if (change(&w, &changes[i], 1, &err) != ST_UNAVAILABLE)
            fail_msg("%zu: %s", i, err.text);
    assert_int_equal(ncreate(&w, "x", DIM, VMETRIC_L2, 64, &err), ST_EXISTS);
    fs_sim_fail_clear(w.sim);
    neventually(change(&w, &changes[2], 1, &err) == ST_OK);
    check(&w, "z>there ");
    node_collection_unpin(c);
    nworld_close(&w);
    nworld_open(&w);
    check(&w, "z>there ");
    nworld_fini(&w);
}

/* On its way from the bucket it has its name, and the local catalog does not know it yet. */
static void the_name_of_what_arrives_is_taken(void **state)
{
    struct catalog_collection entry = {0};
    struct collection *arriving = NULL;
    struct collection *c;
    struct nworld w;
    struct err err = {0};

    (void)state;
    nworld_init(&w, false, 4);
    nworld_open(&w);
    create(&w, "here", NODE_MEMORY);
    c = npin(&w, "here");
    assert_int_equal(catalog_collection_copy(&w.node->catalog.collections[0], &entry, NULL), ST_OK);
    entry.id[0] ^= 1;
    memcpy(entry.name, "come", 5);
    assert_int_equal(collection_create(w.node, &entry, &arriving, NULL), ST_OK);
    table_add(w.node, arriving);
    assert_int_equal(ncreate(&w, "come", DIM, VMETRIC_L2, 64, &err), ST_EXISTS);
    assert_int_equal(npatch(&w, c, "come", 0, &err), ST_EXISTS);
    assert_string_equal(ninfo(c).name, "here");
    assert_int_equal(npatch(&w, c, "here", 0, &err), ST_OK);
    catalog_collection_free(&entry);
    node_collection_unpin(c);
    nworld_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_several_changes_all_or_none_are_made),
        cmocka_unit_test(the_bucket_knows_the_aliases_of_its_collections),
        cmocka_unit_test(aliases_come_with_their_collection),
        cmocka_unit_test(the_name_of_what_arrives_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
