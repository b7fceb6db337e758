/* Another graph comes to serve while rows come and go: answers are complete all the time, no row is
 * missed at the swap, and the memory of both is known. The seed may be given as an argument. */
#include "tests/support/alloc_sweep.h"
#include "vrows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DIM = 16, CLUSTERS = 40 };

static uint64_t seed = 20261121;

static struct vindex_options thin(uint32_t threshold)
{
    return (struct vindex_options){.dim = DIM,
                                   .metric = VMETRIC_L2,
                                   .m = 4,
                                   .ef_construction = 30,
                                   .ef_search = 40,
                                   .threshold = threshold,
                                   .seed = 5};
}

static const struct vgraph THIN = {.m = 4, .ef_construction = 30};
static const struct vgraph WIDE = {.m = 16, .ef_construction = 100};
static const struct vgraph WIDER = {.m = 24, .ef_construction = 60};

static status try_step(struct vrows *r, const struct vgraph *want, enum vrebuild *out,
                       struct err *err)
{
    return vindex_rebuild_step(r->index, want, vindex_rebuild_settled(r->index), out, err);
}

static enum vrebuild step(struct vrows *r, const struct vgraph *want)
{
    enum vrebuild out = VREBUILD_NONE;
    struct err err;

    if (try_step(r, want, &out, &err) != ST_OK)
        fail_msg("%s", err.text);
    return out;
}

static void link_all(struct vrows *r)
{
    while (vindex_link(r->index, 1000) > 0)
        ;
}

static void assert_serves(const struct vrows *r, const struct vgraph *want)
{
    struct vgraph now = vindex_graph(r->index);

    assert_int_equal(now.m, want->m);
    assert_int_equal(now.ef_construction, want->ef_construction);
}

/* The row itself is the nearest to its vector, for every row that lives. */
static void assert_each_row_is_found(struct vrows *r)
{
    uint32_t end = slots_end(r->slots);

    for (uint32_t slot = 0; slot < end; slot++) {
        struct vsearch s = {.k = 1, .ef = 200};
        struct vhit hit;

        if (!slots_live(r->slots, slot))
            continue;
        s.query = vindex_vector(r->index, slot);
        assert_int_equal(vrows_search(r, &s, &hit), 1);
        if (hit.distance != 0)
            fail_msg("slot %u is not found: seed %llu", slot, (unsigned long long)seed);
    }
}

static void churn(struct vrows *r, uint64_t ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t id = vrows_random(r) % ids;

        if (i % 4 == 0)
            (void)vrows_erase(r, id);
        else
            vrows_put_random(r, id, 1);
    }
}

static void answers_are_complete_before_during_and_after(void **unused)
{
    struct vrows r;
    double before, after;
    uint64_t bytes;
    int steps = 0;

    (void)unused;
    vrows_init(&r, thin(100), CLUSTERS, seed);
    vrows_put_random(&r, 0, 3000);
    link_all(&r);
    bytes = mem_budget_bytes(&r.budget);
    before = vrows_recall(&r, 50, 10, 20);
    assert_int_equal(step(&r, &THIN), VREBUILD_NONE);
    assert_int_equal(step(&r, &WIDE), VREBUILD_BEGUN);
    assert_int_equal(vindex_to_link(r.index), 3000);
    assert_true(mem_budget_bytes(&r.budget) > bytes);
    for (enum vrebuild now = VREBUILD_LINKING; now != VREBUILD_DONE; steps++) {
        struct vrebuild_progress shown;

        assert_true(vindex_rebuild_shown(r.index, &shown));
        assert_int_equal(shown.made.m, WIDE.m);
        assert_int_equal(shown.linked + shown.pending, 3000);
        assert_serves(&r, &THIN);
        /* vrows_recall() demands as many as a plain loop finds */
        assert_true(vrows_recall(&r, 10, 10, 20) >= before - 0.1);
        assert_true(vindex_link(r.index, 500) > 0);
        now = step(&r, &WIDE);
    }
    assert_true(steps >= 5);
    assert_serves(&r, &WIDE);
    vrows_check(&r, 0);
    link_all(&r);
    assert_int_equal(vindex_linked(r.index), 3000);
    after = vrows_recall(&r, 50, 10, 20);
    print_message("recall@10 at ef 20: %.3f with m 4, %.3f with m 16\n", before, after);
    assert_true(after >= 0.95 && after > before);
    assert_each_row_is_found(&r);
    assert_int_equal(vindex_bytes(r.index) + slots_bytes(r.slots), mem_budget_bytes(&r.budget));
    assert_int_equal(step(&r, &WIDE), VREBUILD_NONE);
    vrows_fini(&r);
}

/* Rows are written, replaced, deleted, taken out and their slots used again all the way. */
static void no_row_is_missed_at_the_swap(void **unused)
{
    const struct vgraph *wants[] = {&WIDE, &THIN, &WIDER};
    struct vrows r;

    (void)unused;
    vrows_init(&r, thin(100), CLUSTERS, seed + 1);
    vrows_put_random(&r, 0, 1500);
    link_all(&r);
    for (size_t i = 0; i < COUNT_OF(wants); i++) {
        enum vrebuild now = step(&r, wants[i]);
        int turns = 0;

        while (now != VREBUILD_DONE) {
            churn(&r, 1500, 100);
            (void)vindex_link(r.index, 100);
            if (turns++ % 3 == 0)
                vrows_repair(&r);
            (void)vindex_link(r.index, 50);
            now = step(&r, wants[i]);
            assert_true(turns < 1000);
        }
        assert_true(turns > 3);
        assert_serves(&r, wants[i]);
        vrows_check(&r, UINT32_MAX);
        assert_each_row_is_found(&r);
        link_all(&r);
        vrows_repair(&r);
        assert_int_equal(vindex_linked(r.index), slots_live_count(r.slots));
        assert_each_row_is_found(&r);
    }
    vrows_fini(&r);
}

static void another_wish_takes_the_place_of_the_one_before(void **unused)
{
    struct vrebuild_progress shown;
    struct vrows r;
    uint64_t bytes;

    (void)unused;
    vrows_init(&r, thin(10), CLUSTERS, seed + 2);
    vrows_put_random(&r, 0, 1000);
    link_all(&r);
    bytes = mem_budget_bytes(&r.budget);
    assert_int_equal(step(&r, &WIDE), VREBUILD_BEGUN);
    (void)vindex_link(r.index, 100);
    assert_int_equal(step(&r, &WIDER), VREBUILD_BEGUN);
    assert_true(vindex_rebuild_shown(r.index, &shown));
    assert_int_equal(shown.made.m, WIDER.m);
    assert_int_equal(shown.pending, 1000);
    (void)vindex_link(r.index, 100);
    assert_int_equal(step(&r, &THIN), VREBUILD_NONE); /* what serves is wanted again */
    assert_false(vindex_rebuild_shown(r.index, &shown));
    assert_int_equal(mem_budget_bytes(&r.budget), bytes);
    assert_serves(&r, &THIN);
    assert_each_row_is_found(&r);
    vrows_fini(&r);
}

static void below_the_threshold_there_is_nothing_to_link(void **unused)
{
    struct vrows r;

    (void)unused;
    vrows_init(&r, thin(1000), CLUSTERS, seed + 3);
    vrows_put_random(&r, 0, 500);
    assert_int_equal(step(&r, &WIDE), VREBUILD_DONE);
    assert_serves(&r, &WIDE);
    assert_int_equal(vindex_linked(r.index), 0);
    assert_each_row_is_found(&r);
    vindex_set_threshold(r.index, 400);
    assert_true(vindex_graph_wanted(r.index));
    link_all(&r);
    assert_int_equal(vindex_linked(r.index), 500);
    vrows_check(&r, 0);
    /* A graph there is goes when another is to be made that nobody needs. */
    vindex_set_threshold(r.index, 1000);
    assert_int_equal(step(&r, &THIN), VREBUILD_DONE);
    assert_int_equal(vindex_linked(r.index), 0);
    assert_each_row_is_found(&r);
    vrows_fini(&r);
}

static void what_does_not_fit_is_refused_with_the_bytes(void **unused)
{
    enum vrebuild out;
    uint64_t used, added, more;
    struct vrows r;
    struct err err;

    (void)unused;
    vrows_init(&r, thin(10), CLUSTERS, seed + 4);
    vrows_put_random(&r, 0, 1000);
    link_all(&r);
    used = mem_budget_bytes(&r.budget);
    assert_int_equal(vindex_rebuild_reserve(r.index, &THIN, &added, &err), ST_OK);
    assert_int_equal(added, 0);
    vindex_rebuild_settle(r.index, 0);
    assert_int_equal(vindex_rebuild_reserve(r.index, &WIDE, &added, &err), ST_OK);
    assert_true(added > 1000 * 2 * 16 * 4);
    more = added;
    assert_int_equal(vindex_rebuild_reserve(r.index, &WIDE, &added, &err), ST_OK);
    assert_int_equal(added, 0); /* it is set aside already */
    vindex_rebuild_settle(r.index, 0);
    /* Nobody takes it away, or anything else, before it is settled. */
    assert_int_equal(step(&r, &THIN), VREBUILD_NONE);
    assert_int_equal(try_step(&r, &WIDER, &out, &err), ST_CONFLICT);
    assert_int_equal(mem_budget_bytes(&r.budget), used + more);
    vindex_rebuild_settle(r.index, more);
    assert_int_equal(mem_budget_bytes(&r.budget), used);

    r.budget.bytes_max = used + more - 1;
    assert_int_equal(vindex_rebuild_reserve(r.index, &WIDE, &added, &err), ST_NOSPACE);
    assert_non_null(strstr(err.text, "m 16"));
    assert_non_null(strstr(err.text, "bytes"));
    assert_int_equal(try_step(&r, &WIDE, &out, &err), ST_NOSPACE);
    assert_int_equal(mem_budget_bytes(&r.budget), used);
    assert_serves(&r, &THIN);
    assert_each_row_is_found(&r);

    /* With exactly what was named it fits, and nothing is asked for on the way. */
    r.budget.bytes_max = used + more;
    assert_int_equal(vindex_rebuild_reserve(r.index, &WIDE, &added, &err), ST_OK);
    assert_int_equal(added, more);
    vindex_rebuild_settle(r.index, 0);
    assert_int_equal(step(&r, &WIDE), VREBUILD_BEGUN);
    assert_int_equal(mem_budget_bytes(&r.budget), used + more);
    /* A larger one goes on from what this one has. */
    r.budget.bytes_max = 0;
    assert_int_equal(vindex_rebuild_reserve(r.index, &WIDER, &added, &err), ST_OK);
    assert_true(added > 0 && added < more);
    vindex_rebuild_settle(r.index, added);
    r.budget.bytes_max = used + more;
    link_all(&r);
    assert_int_equal(step(&r, &WIDE), VREBUILD_DONE);
    assert_true(mem_budget_bytes(&r.budget) < used + more);
    vrows_check(&r, 0);
    vrows_fini(&r);
}

/* The wish was read, then another came and got its memory: neither a step that finds nothing to do
 * for the old one nor one that begins with it takes that away. */
static void an_old_wish_takes_no_memory_of_a_new_one(void **unused)
{
    uint64_t used, added, settled;
    enum vrebuild out;
    struct vrows r;
    struct err err;

    (void)unused;
    vrows_init(&r, thin(10), CLUSTERS, seed + 6);
    vrows_put_random(&r, 0, 1000);
    link_all(&r);
    settled = vindex_rebuild_settled(r.index);
    assert_int_equal(vindex_rebuild_reserve(r.index, &WIDER, &added, &err), ST_OK);
    vindex_rebuild_settle(r.index, 0);
    used = mem_budget_bytes(&r.budget);
    assert_int_equal(vindex_rebuild_step(r.index, &THIN, settled, &out, &err), ST_OK);
    assert_int_equal(out, VREBUILD_NONE);
    assert_int_equal(mem_budget_bytes(&r.budget), used);
    assert_int_equal(vindex_rebuild_step(r.index, &WIDE, settled, &out, &err), ST_CONFLICT);
    assert_int_equal(mem_budget_bytes(&r.budget), used);
    r.budget.bytes_max = used;
    assert_int_equal(step(&r, &WIDER), VREBUILD_BEGUN);
    assert_int_equal(mem_budget_bytes(&r.budget), used);
    vrows_fini(&r);
}

static status one_rebuild(void *arg)
{
    struct vrows *r = arg;
    struct vgraph now = vindex_graph(r->index);
    const struct vgraph *want = now.m == THIN.m ? &WIDE : &THIN;
    enum vrebuild out = VREBUILD_NONE;
    struct err err;

    for (int i = 0; i < 50 && out != VREBUILD_DONE; i++) {
        status st = try_step(r, want, &out, &err);

        if (st != ST_OK) {
            assert_int_equal(vindex_graph(r->index).m, now.m);
            return st;
        }
        (void)vindex_link(r->index, 50);
    }
    assert_int_equal(out, VREBUILD_DONE);
    return ST_OK;
}

static void each_allocation_of_a_rebuild_may_fail(void **unused)
{
    struct vrows r;

    (void)unused;
    vrows_init(&r, thin(10), CLUSTERS, seed + 5);
    vrows_put_random(&r, 0, 500);
    link_all(&r);
    assert_true(alloc_sweep(one_rebuild, &r) > 5);
    link_all(&r);
    vrows_check(&r, 0);
    assert_each_row_is_found(&r);
    vrows_fini(&r);
}

/* Nodes of another graph than the one asked for are taken over, and made anew afterwards. */
static void a_graph_of_other_making_is_loaded(void **unused)
{
    uint32_t *buffer = malloc(10000 * sizeof *buffer);
    struct vindex_options o = thin(10);
    struct vindex *loaded = NULL;
    struct vindex_check check;
    struct vrows r;
    struct vnode node;
    struct err err;
    uint32_t end;

    (void)unused;
    vrows_init(&r, thin(10), CLUSTERS, seed + 6);
    assert_int_equal(step(&r, &WIDE), VREBUILD_DONE);
    vrows_put_random(&r, 0, 800);
    link_all(&r);
    end = slots_end(r.slots);
    o.slots = r.slots;
    o.epoch = r.epoch;
    o.budget = &r.budget;
    assert_true(vindex_node_links_max(r.index) <= 10000);
    assert_int_equal(vindex_create(&o, &loaded, &err), ST_OK);
    assert_int_equal(vindex_reserve(loaded, end, &err), ST_OK);
    for (uint32_t slot = 0; slot < end; slot++)
        vindex_fill(loaded, slot, vindex_vector(r.index, slot));
    assert_int_equal(vindex_graph_load(loaded, &WIDE, &err), ST_OK);
    for (uint32_t slot = 0; slot < end; slot++) {
        assert_true(vindex_node_export(r.index, slot, buffer, &node));
        if (vindex_node_import(loaded, &node, &err) != ST_OK)
            fail_msg("%s", err.text);
    }
    assert_int_equal(vindex_graph_load(loaded, &THIN, &err), ST_INVALID);
    assert_int_equal(vindex_import_finish(loaded, &err), ST_OK);
    assert_int_equal(vindex_check(loaded, &check, &err), ST_OK);
    assert_int_equal(check.nodes, end);
    assert_int_equal(vindex_graph(loaded).m, WIDE.m);
    vindex_destroy(loaded);
    free(buffer);
    vrows_fini(&r);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_complete_before_during_and_after),
        cmocka_unit_test(no_row_is_missed_at_the_swap),
        cmocka_unit_test(another_wish_takes_the_place_of_the_one_before),
        cmocka_unit_test(below_the_threshold_there_is_nothing_to_link),
        cmocka_unit_test(what_does_not_fit_is_refused_with_the_bytes),
        cmocka_unit_test(an_old_wish_takes_no_memory_of_a_new_one),
        cmocka_unit_test(each_allocation_of_a_rebuild_may_fail),
        cmocka_unit_test(a_graph_of_other_making_is_loaded),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed %llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
