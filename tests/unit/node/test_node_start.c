/* The start, seen while it goes on; and each allocation of start and requests failing once. */
#include "tests/unit/node/nworld.h"

#include "tests/support/alloc_sweep.h"

#include <stdio.h>
#include <time.h>

enum { DIM = 8, DOCS = 30 };

static void make(struct nworld *w, const char *name)
{
    struct collection *c;

    assert_int_equal(ncreate(w, name, DIM, VMETRIC_L2, 8, NULL), ST_OK);
    c = npin(w, name);
    for (uint64_t id = 1; id <= DOCS; id++)
        assert_int_equal(nput(c, id, 1, NULL), ST_OK);
    node_collection_unpin(c);
}

static void whole(struct nworld *w, const char *name)
{
    struct collection *c = npin(w, name);

    nstate(c, "serving", "");
    assert_int_equal(ncount(c), DOCS);
    for (uint64_t id = 1; id <= DOCS; id++)
        assert_int_equal(nversion(c, id), 1);
    node_collection_unpin(c);
}

static status query(struct collection *c, bool exact, uint32_t *count)
{
    const struct query_options options = {
        .top_k = 5, .exact = exact, .with_payload = true, .with_vector = true};
    struct query_result r = {0};
    struct arena arena;
    float vector[DIM];
    status st;

    arena_init(&arena, 1 << 20);
    nvector(3, 1, DIM, vector);
    st = node_query(c, vector, &options, &arena, &r, NULL);
    *count = r.count;
    arena_free(&arena);
    return st;
}

static status list(struct collection *c, uint32_t *count)
{
    struct document *page;
    struct arena arena;
    bool more;
    status st;

    arena_init(&arena, 1 << 20);
    st = node_list(c, NULL, 10, true, &arena, &page, count, &more, NULL);
    arena_free(&arena);
    return st;
}

/* --- a gate in front of every look into a folder, at which loading waits --- */

static struct gate {
    status (*list)(struct fs *fs, const char *path, fs_list_fn *fn, void *arg, struct err *err);
    struct lock lock; /* LOCK_RANK_LEAF */
    struct cond cond;
    const char *part; /* of the path */
    unsigned passing;
} gate;

static status gated_list(struct fs *fs, const char *path, fs_list_fn *fn, void *arg,
                         struct err *err)
{
    lock_take(&gate.lock);
    while (gate.passing == 0 && strstr(path, gate.part) != NULL)
        cond_wait(&gate.cond, &gate.lock);
    lock_drop(&gate.lock);
    return gate.list(fs, path, fn, arg, err);
}

static void until_ready(struct nworld *w)
{
    const struct timespec pause = {.tv_nsec = 200000};
    double progress;

    while (!node_ready(w->node, &progress))
        (void)nanosleep(&pause, NULL);
    assert_true(progress == 1);
}

static void nothing_is_answered_wrongly_while_a_collection_loads(void **state)
{
    struct nworld w;
    struct collection *c;
    struct collection_info info;
    struct node_health health;
    struct buf text;
    double progress = -1;
    uint32_t count;

    (void)state;
    nworld_init(&w, true, 601);
    nworld_open(&w);
    make(&w, "docs");
    c = npin(&w, "docs");
    node_collection_info(c, &info);
    node_collection_unpin(c);
    nworld_close(&w);

    lock_init(&gate.lock, LOCK_RANK_LEAF, "gate");
    cond_init(&gate.cond);
    gate.passing = 0;
    gate.part = info.id;
    gate.list = nworld_fs(&w)->list;
    nworld_fs(&w)->list = gated_list;
    assert_int_equal(stats_create(&w.stats, NULL), ST_OK);
    w.options.stats = w.stats;
    assert_int_equal(node_open(&w.options, &w.node, NULL), ST_OK);

    assert_false(node_ready(w.node, &progress));
    assert_true(progress == 0);
    c = npin(&w, "docs");
    nstate(c, "loading", "");
    assert_int_equal(query(c, false, &count), ST_UNAVAILABLE);
    assert_int_equal(list(c, &count), ST_UNAVAILABLE);
    assert_int_equal(nput(c, 100, 1, NULL), ST_UNAVAILABLE);
    assert_int_equal(ndel(c, 1, NULL), ST_UNAVAILABLE);
    assert_int_equal(ncheckpoint(c, NULL), ST_DENIED);
    assert_int_equal(npatch(&w, c, "other", 0, NULL), ST_UNAVAILABLE);
    assert_int_equal(ndrop(&w, c, NULL), ST_UNAVAILABLE);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 8, NULL), ST_EXISTS);
    assert_int_equal(ncreate(&w, "new", DIM, VMETRIC_L2, 8, NULL), ST_OK);
    assert_int_equal(ncount(c), 0);
    node_health(w.node, &health);
    assert_false(health.degraded);
    buf_init(&text, 1 << 20);
    stats_print(w.stats, &text);
    buf_free(&text);

    lock_take(&gate.lock);
    gate.passing = 1;
    cond_broadcast(&gate.cond);
    lock_drop(&gate.lock);
    until_ready(&w);
    node_collection_unpin(c);
    whole(&w, "docs");
    nworld_fs(&w)->list = gate.list;
    nworld_fini(&w);
    cond_fini(&gate.cond);
    lock_fini(&gate.lock);
}

/* --- allocations --- */

static struct nworld *sweep_world;
static bool sweep_exact;

static struct collection *swept(void)
{
    return node_collection_pin(sweep_world->node, "docs", 4);
}

static status sweep_create(void *arg)
{
    struct collection *c;
    status st = ncreate(sweep_world, "swept", DIM, VMETRIC_L2, 8, NULL);

    (void)arg;
    if (st == ST_OK) {
        c = npin(sweep_world, "swept");
        st = ndrop(sweep_world, c, NULL);
        if (st != ST_OK) /* the one failure is behind us */
            assert_int_equal(ndrop(sweep_world, c, NULL), ST_OK);
        node_collection_unpin(c);
    }
    return st;
}

static status sweep_query(void *arg)
{
    struct collection *c = swept();
    uint32_t count;
    status st = query(c, sweep_exact, &count);

    (void)arg;
    if (st == ST_OK)
        assert_int_equal(count, 5);
    node_collection_unpin(c);
    return st;
}

static status sweep_list(void *arg)
{
    struct collection *c = swept();
    uint32_t count;
    status st = list(c, &count);

    (void)arg;
    if (st == ST_OK)
        assert_int_equal(count, 10);
    node_collection_unpin(c);
    return st;
}

/* The log says ST_IO where it could not make a file for want of memory. */
static status sweep_write(void *arg)
{
    struct collection *c = swept();
    status st = nput(c, 1, 1, NULL);

    (void)arg;
    node_collection_unpin(c);
    return st == ST_IO ? ST_NOMEM : st;
}

static status sweep_delete(void *arg)
{
    struct collection *c = swept();
    status st = ndel(c, 777, NULL);

    (void)arg;
    node_collection_unpin(c);
    return st == ST_IO ? ST_NOMEM : st;
}

static status sweep_patch(void *arg)
{
    struct collection *c = swept();
    status st = npatch(sweep_world, c, "docs", 70, NULL);

    (void)arg;
    node_collection_unpin(c);
    return st;
}

static status sweep_checkpoint(void *arg)
{
    struct collection *c = swept();
    status st;

    (void)arg;
    st = nput(c, 1, 1, NULL);
    if (st == ST_OK)
        st = ncheckpoint(c, NULL);
    node_collection_unpin(c);
    return st == ST_IO ? ST_NOMEM : st;
}

static void each_allocation_of_a_request_may_fail(void **state)
{
    static const bool exact[] = {false, true};
    struct nworld w;

    (void)state;
    nworld_init(&w, true, 602);
    sweep_world = &w;
    nworld_open(&w);
    make(&w, "docs");
    assert_true(alloc_sweep(sweep_create, NULL) >= 5);
    for (size_t i = 0; i < COUNT_OF(exact); i++) {
        sweep_exact = exact[i];
        assert_true(alloc_sweep(sweep_query, NULL) >= 1);
    }
    assert_true(alloc_sweep(sweep_list, NULL) >= 1);
    assert_true(alloc_sweep(sweep_write, NULL) >= 3);
    assert_true(alloc_sweep(sweep_delete, NULL) >= 2);
    assert_true(alloc_sweep(sweep_patch, NULL) >= 3);
    assert_true(alloc_sweep(sweep_checkpoint, NULL) >= 3);
    whole(&w, "docs");
    nworld_power_cut(&w);
    nworld_open(&w);
    whole(&w, "docs");
    nworld_fini(&w);
}

/* A collection may fail to load for want of memory; the node says so, and the next start has it. */
static status sweep_open(void *arg)
{
    struct nworld *w = arg;
    status st = nworld_try_open(w, NULL);

    if (st == ST_OK)
        nworld_close(w);
    return st;
}

enum { OPEN_STRIDE = 1 };

static void each_allocation_of_a_start_may_fail(void **state)
{
    struct nworld w;
    int64_t n;
    bool failed = true;

    (void)state;
    nworld_init(&w, true, 603);
    nworld_open(&w);
    make(&w, "docs");
    nworld_power_cut(&w);
    for (n = 0; failed && n < 20000; n += OPEN_STRIDE) {
        status st;

        mem_test_fail_after(n);
        st = sweep_open(&w);
        failed = mem_test_count() > n;
        mem_test_fail_after(-1);
        if (st != ST_OK && !(failed && st == ST_NOMEM))
            fail_msg("allocation %lld failed: %s", (long long)n, status_name(st));
    }
    assert_true(n > 10 * OPEN_STRIDE);
    nworld_open(&w);
    whole(&w, "docs");
    nworld_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_answered_wrongly_while_a_collection_loads),
        cmocka_unit_test(each_allocation_of_a_request_may_fail),
        cmocka_unit_test(each_allocation_of_a_start_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
