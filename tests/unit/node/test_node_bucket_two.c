/* Two nodes change the catalog of one bucket at the same time: no change is lost, no name is given
 * twice. */
#include "tests/unit/node/nbucket.h"

#include <stdio.h>

enum { DIM = 4 };

enum { EACH = 12 };

struct author {
    struct nworld *w;
    char letter;
    struct thread thread;
};

static void author_name(const struct author *a, int i, const char *part, char out[32])
{
    (void)snprintf(out, 32, "%s%c%02d", part, a->letter, i);
}

static void must(status st, const char *what, const struct err *err)
{
    if (st != ST_OK)
        fail_msg("%s: %s", what, err->text);
}

/* Every one is made; a third renamed, a third dropped again, all that stay have an alias. */
static void author_loop(void *arg)
{
    struct author *a = arg;

    for (int i = 0; i < EACH; i++) {
        struct collection *c;
        struct err err = {0};
        char name[32], to[32], alias[32];

        author_name(a, i, "made-", name);
        author_name(a, i, "renamed-", to);
        author_name(a, i, "alias-", alias);
        must(ncreate_s3(a->w, name, DIM, NODE_LOCAL, &err), name, &err);
        c = npin(a->w, name);
        if (i % 3 == 1)
            must(npatch(a->w, c, to, 0, &err), to, &err);
        if (i % 3 == 2)
            must(ndrop(a->w, c, &err), "drop", &err);
        else
            must(nalias(a->w, alias, c, &err), alias, &err);
        node_collection_unpin(c);
    }
}

static void has_names(struct nworld *w, const struct author *a)
{
    for (int i = 0; i < EACH; i++) {
        char name[32], alias[32];
        struct collection *c;
        struct collection *same;

        author_name(a, i, i % 3 == 0 ? "made-" : "renamed-", name);
        author_name(a, i, "alias-", alias);
        if (i % 3 == 2) {
            author_name(a, i, "made-", name);
            neventually(!nthere(w, name));
            continue;
        }
        neventually(nthere(w, name) && nthere(w, alias));
        c = npin(w, name);
        same = npin(w, alias);
        assert_ptr_equal(c, same);
        node_collection_unpin(c);
        node_collection_unpin(same);
    }
}

static void two_nodes_change_the_catalog_and_nothing_is_lost(void **state)
{
    struct nworld a, b;
    struct author authors[2];

    (void)state;
    nworld_init(&a, false, 1001);
    nworld_init(&b, false, 1002);
    nworld_bucket(&a, "two-nodes");
    nworld_bucket(&b, "two-nodes");
    a.options.node_id = "node-a";
    b.options.node_id = "node-b";
    nworld_open(&a);
    nworld_open(&b);
    for (uint32_t nth = 3; nth < 60; nth += 7) { /* some answers are lost on the way */
        const struct objstore_fault lost = {.kind = OBJSTORE_FAULT_LOSE,
                                            .ops = 1u << OBJSTORE_PUT,
                                            .key_prefix = "meta/catalog",
                                            .nth = nth};

        assert_int_equal(objstore_faults_add(a.bucket, &lost, NULL, NULL), ST_OK);
        assert_int_equal(objstore_faults_add(b.bucket, &lost, NULL, NULL), ST_OK);
    }
    authors[0] = (struct author){.w = &a, .letter = 'a'};
    authors[1] = (struct author){.w = &b, .letter = 'b'};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(thread_start(&authors[i].thread, "author", THREAD_NORMAL, author_loop,
                                      &authors[i], NULL),
                         ST_OK);
    for (size_t i = 0; i < 2; i++)
        thread_join(&authors[i].thread);
    for (int round = 0; round < 2; round++) { /* a restart, then from the bucket alone */
        nworld_close(&a);
        nworld_close(&b);
        if (round == 1) {
            nlose_disk(&a);
            nlose_disk(&b);
        }
        nworld_open(&a);
        nworld_open(&b);
        for (size_t i = 0; i < 2; i++) {
            has_names(&a, &authors[i]);
            has_names(&b, &authors[i]);
        }
    }
    nworld_fini(&b);
    nworld_fini(&a);
}

/* One name, asked for by both at once: one gets it, the other is told. */
static void a_name_both_want_goes_to_one(void **state)
{
    struct nworld a, b;

    (void)state;
    nworld_init(&a, false, 1003);
    nworld_init(&b, false, 1004);
    nworld_bucket(&a, "one-name");
    nworld_bucket(&b, "one-name");
    a.options.node_id = "node-a";
    b.options.node_id = "node-b";
    nworld_open(&a);
    nworld_open(&b);
    for (int i = 0; i < 20; i++) {
        struct collection_spec spec = {
            .dimension = DIM, .metric = VMETRIC_L2, .threshold = 64, .policy = NODE_MEMORY_S3};
        struct call calls[2];
        char name[32];

        (void)snprintf(name, sizeof name, "wanted-%02d", i);
        spec.name = name;
        call_init(&calls[0]);
        call_init(&calls[1]);
        node_collection_create(a.node, &spec, call_admin_done, &calls[0]);
        node_collection_create(b.node, &spec, call_admin_done, &calls[1]);
        call_wait(&calls[0]);
        call_wait(&calls[1]);
        if ((calls[0].st == ST_OK) == (calls[1].st == ST_OK))
            fail_msg("%s: %d (%s), %d (%s)", name, calls[0].st, calls[0].err.text, calls[1].st,
                     calls[1].err.text);
        assert_int_equal(calls[0].st == ST_OK ? calls[1].st : calls[0].st, ST_EXISTS);
    }
    nlose_disk(&a);
    nworld_open(&a);
    nsettled(&a);
    {
        struct node_status now;

        node_status(a.node, &now);
        assert_int_equal(now.collections, 20);
    }
    nworld_fini(&b);
    nworld_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_nodes_change_the_catalog_and_nothing_is_lost),
        cmocka_unit_test(a_name_both_want_goes_to_one),
    };

    nlog();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
