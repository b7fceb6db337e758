/* What the store says of itself while requests still go through is a reason of health, and goes. */
#include "tests/unit/node/nbucket.h"

#include <stdio.h>

struct troubled { /* a store around the world's */
    struct objstore base;
    struct nworld *w;
    _Atomic bool in_trouble;
};

static void on_submit(struct objstore *s, struct objstore_req *req)
{
    objstore_submit(((struct troubled *)(void *)s)->w->bucket, req);
}

static void on_cancel(struct objstore *s, struct objstore_req *req)
{
    objstore_cancel(((struct troubled *)(void *)s)->w->bucket, req);
}

static void on_trouble(struct objstore *s, char text[ERR_TEXT_BYTES])
{
    (void)snprintf(text, ERR_TEXT_BYTES, "%s",
                   ((struct troubled *)(void *)s)->in_trouble ? "the provider says no" : "");
}

static void on_close(struct objstore *s)
{
    (void)s;
}

static void keys_that_cannot_be_renewed_are_in_health(void **state)
{
    static const struct objstore_ops ops = {
        .submit = on_submit, .cancel = on_cancel, .trouble = on_trouble, .close = on_close};
    struct troubled store = {.base = {.ops = &ops, .description = "troubled"}};
    struct node_status seen;
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, false, 4);
    nworld_bucket(&w, "troubled");
    store.w = &w;
    w.options.store = &store.base;
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    nput_range(c, 1, 20, 1);
    neventually(nshipped(c));
    assert_false(nhealth_has(&w, "keys"));
    store.in_trouble = true;
    assert_true(nhealth_has(&w, "the keys for the bucket cannot be renewed: the provider says no"));
    node_status(w.node, &seen);
    assert_string_equal(seen.bucket_trouble, "keys: the provider says no");
    nput_range(c, 21, 40, 1); /* and all goes on */
    neventually(nshipped(c));
    store.in_trouble = false;
    assert_false(nhealth_has(&w, "keys"));
    node_status(w.node, &seen);
    assert_string_equal(seen.bucket_trouble, "");
    node_collection_unpin(c);
    nworld_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_that_cannot_be_renewed_are_in_health),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
