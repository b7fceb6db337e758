/* What a node takes over from the bucket's catalog, and what it does not let itself be taken: a
 * change that was acknowledged stands, whenever the catalog was read. */
#include "tests/unit/node/nbucket.h"

#include <stdatomic.h>

enum { DIM = 4 };

/* --- the meta thread, held --- */

struct holder {
    struct meta_job job;
    struct lock lock;
    struct cond cond;
    bool let_go;
};

static void run_holder(struct meta_job *base)
{
    struct holder *h = (struct holder *)(void *)base;

    lock_take(&h->lock);
    while (!h->let_go)
        cond_wait(&h->cond, &h->lock);
    lock_drop(&h->lock);
}

static void hold_meta(struct nworld *w, struct holder *h)
{
    *h = (struct holder){.job = {.run = run_holder}};
    lock_init(&h->lock, LOCK_RANK_LEAF, "holder");
    cond_init(&h->cond);
    assert_true(jobs_push(&w->node->meta, &h->job));
}

static void let_meta_go(struct holder *h)
{
    lock_take(&h->lock);
    h->let_go = true;
    cond_broadcast(&h->cond);
    lock_drop(&h->lock);
}

static status do_nothing(void *arg, struct err *err)
{
    (void)arg;
    (void)err;
    return ST_OK;
}

/* What was queued before is done; h may go. */
static void meta_is_through(struct nworld *w, struct holder *h)
{
    assert_int_equal(jobs_run(&w->node->meta, do_nothing, NULL, NULL), ST_OK);
    cond_fini(&h->cond);
    lock_fini(&h->lock);
}

static size_t queued(struct nworld *w)
{
    struct job_queue *q = &w->node->meta;
    size_t n = 0;

    lock_take(&q->lock);
    for (struct meta_job *job = q->first; job != NULL; job = job->next)
        n++;
    lock_drop(&q->lock);
    return n;
}

/* The catalog is read now; what was read waits behind what is queued on the held thread. */
static void read_catalog(struct nworld *w)
{
    size_t before = queued(w);

    atomic_store(&w->node->sync_wanted, true);
    neventually(queued(w) == before + 1);
}

/* --- changes --- */

static void put_setting(struct nworld *w, struct collection *c, const char *value,
                        struct call *call)
{
    call_init(call);
    node_setting_put(w->node, c, "note", slice_text(value), call_admin_done, call);
}

static bool note_is(struct collection *c, const char *want)
{
    struct slice value = {0};
    struct arena arena;
    bool is;

    arena_init(&arena, 1 << 16);
    is = node_setting(c, "note", &arena, &value, NULL) == ST_OK &&
         slice_equal(value, slice_text(want));
    arena_free(&arena);
    return is;
}

static void patch(struct nworld *w, struct collection *c, const struct collection_patch *p,
                  struct call *call)
{
    call_init(call);
    node_collection_patch(w->node, c, p, call_admin_done, call);
}

/* Read before the changes, taken over after them. */
static void an_acknowledged_change_outlasts_a_read_that_began_before_it(void **state)
{
    const struct collection_patch p = {
        .name = "renamed", .ef_search = 77, .durability = NODE_REMOTE};
    struct node_alias aliases[4];
    struct collection_info info;
    struct call calls[4];
    struct holder holder;
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, false, 1);
    nworld_bucket(&w, "stale-read");
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    assert_int_equal(nalias(&w, "gone", c, NULL), ST_OK);
    nsettled(&w);
    hold_meta(&w, &holder);
    neventually(queued(&w) == 0);
    put_setting(&w, c, "new", &calls[0]);
    patch(&w, c, &p, &calls[1]);
    call_init(&calls[2]);
    node_alias_set(w.node, "alias", c, call_admin_done, &calls[2]);
    call_init(&calls[3]);
    node_alias_remove(w.node, "gone", call_admin_done, &calls[3]);
    read_catalog(&w);
    let_meta_go(&holder);
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        call_wait(&calls[i]);
        assert_int_equal(calls[i].st, ST_OK);
    }
    meta_is_through(&w, &holder);
    info = ninfo(c);
    assert_string_equal(info.name, "renamed");
    assert_int_equal(info.ef_search, 77);
    assert_string_equal(info.durability, "remote");
    assert_true(note_is(c, "new"));
    assert_int_equal(node_alias_list(w.node, NULL, aliases, 4), 1);
    assert_string_equal(aliases[0].alias, "alias");
    assert_string_equal(aliases[0].collection, "renamed");
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* What is old is read again before it is taken over; without the bucket it is left for later. */
static void a_read_that_is_old_is_done_again(void **state)
{
    struct objstore_fault outage = objstore_fault_outage();
    struct nworld w;
    struct holder holder;
    struct collection *c;
    struct call call;
    unsigned fault;

    (void)state;
    outage.key_prefix = OBJKEY_CATALOG;
    outage.ops = 1u << OBJSTORE_GET;
    nworld_init(&w, false, 2);
    nworld_bucket(&w, "read-again");
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    nsettled(&w);
    hold_meta(&w, &holder);
    neventually(queued(&w) == 0);
    read_catalog(&w);
    atomic_fetch_add(&w.node->catalog_changes, 1); /* as a change does */
    fault = nfault(&w, outage);
    let_meta_go(&holder);
    meta_is_through(&w, &holder);
    neventually(objstore_faults_met(w.bucket, fault) > 0);
    objstore_faults_clear(w.bucket);
    put_setting(&w, c, "new", &call);
    call_wait(&call);
    assert_int_equal(call.st, ST_OK);
    nsettled(&w); /* it was taken over then */
    assert_true(note_is(c, "new"));
    node_collection_unpin(c);
    nworld_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_acknowledged_change_outlasts_a_read_that_began_before_it),
        cmocka_unit_test(a_read_that_is_old_is_done_again),
    };

    nlog();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
