/* The graph over time: recall floors after build, replacement and deletion with repair; cycles with
 * the invariants checked after each; images out and in; what a hostile image may not do. */
#include "bench/npy.h"
#include "vrows.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct vindex_options options(enum vmetric metric, uint32_t dim)
{
    return (struct vindex_options){.dim = dim,
                                   .metric = metric,
                                   .m = 16,
                                   .ef_construction = 100,
                                   .ef_search = 100,
                                   .threshold = 100,
                                   .seed = 5};
}

static void link_all(struct vrows *r)
{
    while (vindex_link(r->index, 500) > 0)
        ;
    assert_int_equal(vindex_pending(r->index), 0);
}

static void expect_recall(struct vrows *r, const char *when, double floor)
{
    double recall = vrows_recall(r, 60, 10, 60);

    print_message("%s: recall@10 %.4f\n", when, recall);
    assert_true(recall >= floor);
}

static void recall_holds_through_replacement_and_deletion(void **unused)
{
    struct vrows r;

    (void)unused;
    vrows_init(&r, options(VMETRIC_COSINE, 32), 1000, 31);
    vrows_put_random(&r, 0, 4000);
    link_all(&r);
    vrows_check(&r, 0);
    expect_recall(&r, "built", 0.97);
    vrows_put_random(&r, 0, 2000);
    expect_recall(&r, "half replaced, not linked", 0.97);
    link_all(&r);
    expect_recall(&r, "half replaced, not repaired", 0.97);
    vrows_repair(&r);
    vrows_check(&r, 2);
    expect_recall(&r, "half replaced", 0.97);
    for (uint64_t id = 0; id < 4000; id += 3)
        (void)vrows_erase(&r, id);
    expect_recall(&r, "a third deleted, not repaired", 0.97);
    vrows_repair(&r);
    vrows_check(&r, 2);
    expect_recall(&r, "a third deleted", 0.97);
    assert_int_equal(vindex_linked(r.index), slots_live_count(r.slots));
    vrows_fini(&r);
}

static void expect_nearest(struct vrows *r, const float *query, uint32_t slot, const char *what)
{
    static const char *const ways[] = {"exactly", "by the index"};

    for (int i = 0; i < 2; i++) {
        struct vsearch s = {.query = query, .k = 1, .ef = 60, .exact = i == 0};
        struct vhit hit = {.slot = SLOT_NONE};

        if (vrows_search(r, &s, &hit) != 1 || hit.slot != slot)
            fail_msg("%s is in slot %u, %s slot %u is found", what, slot, ways[i], hit.slot);
    }
}

/* The last replacement that was counted names slots which are other rows' by now. */
static void a_row_in_the_slot_of_one_replaced_long_ago_is_found(void **unused)
{
    static const uint32_t sizes[] = {50, 3000}; /* scanned, walked */

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        float first[8] = {3, 3, 3}, second[8] = {-3, 3, -3}, third[8] = {4, -4};
        struct vindex_options o = options(VMETRIC_L2, 8);
        uint32_t old, new_slot;
        struct vrows r;

        o.threshold = 10;
        vrows_init(&r, o, 40, 67);
        vrows_put_random(&r, 0, sizes[i]);
        old = vrows_put(&r, 10000, first);
        link_all(&r);
        new_slot = vrows_put(&r, 10000, second);
        expect_nearest(&r, second, new_slot, "the row that followed");
        vrows_repair(&r);
        assert_int_equal(vrows_put(&r, 20000, third), old);
        expect_nearest(&r, third, old, "another document");
        link_all(&r);
        expect_nearest(&r, third, old, "another document, linked,");
        /* And the same document again, where it was before. */
        assert_int_equal(vrows_erase(&r, 20000), old);
        vrows_repair(&r);
        assert_int_equal(vrows_erase(&r, 10000), new_slot);
        assert_int_equal(vrows_put(&r, 10000, first), old);
        expect_nearest(&r, first, old, "the document that came back");
        vrows_repair(&r);
        assert_int_equal(vrows_put(&r, 20000, third), new_slot);
        expect_nearest(&r, first, old, "the document that came back");
        expect_nearest(&r, third, new_slot, "what is in its other slot");
        vrows_fini(&r);
    }
}

/* Whole clusters vanish, so that nodes at their edge lose all they knew. */
static void deleting_almost_everything_leaves_a_whole_graph(void **unused)
{
    struct vrows r;

    (void)unused;
    vrows_init(&r, options(VMETRIC_L2, 8), 40, 37);
    vrows_put_random(&r, 0, 2500);
    link_all(&r);
    for (uint64_t id = 0; id < 2500; id++)
        if (id % 10 != 7)
            (void)vrows_erase(&r, id);
    vrows_repair(&r);
    vrows_check(&r, 2);
    expect_recall(&r, "nine tenths deleted", 0.97);
    for (uint64_t id = 0; id < 2500; id++)
        (void)vrows_erase(&r, id);
    vrows_repair(&r);
    assert_int_equal(vindex_linked(r.index), 0);
    vrows_put_random(&r, 0, 300);
    link_all(&r);
    vrows_check(&r, 0);
    expect_recall(&r, "started over in used slots", 0.97);
    vrows_fini(&r);
}

static void every_cycle_of_writes_and_repair_leaves_the_graph_whole(void **unused)
{
    static const enum vmetric metrics[] = {VMETRIC_COSINE, VMETRIC_L2, VMETRIC_L1};

    (void)unused;
    for (size_t m = 0; m < COUNT_OF(metrics); m++) {
        struct vindex_options o = options(metrics[m], 12);
        struct vrows r;

        o.m = 4;
        o.ef_construction = 40;
        vrows_init(&r, o, 40, 41 + m);
        for (int cycle = 0; cycle < 25; cycle++) {
            for (int i = 0; i < 60; i++) {
                if (vrows_random(&r) % 3 == 0)
                    (void)vrows_erase(&r, vrows_random(&r) % 400);
                else
                    vrows_put_random(&r, vrows_random(&r) % 400, 1);
            }
            (void)vindex_link(r.index, (uint32_t)(vrows_random(&r) % 80));
            vrows_check(&r, 20);
            if (cycle % 3 == 2)
                vrows_repair(&r);
        }
        link_all(&r);
        vrows_repair(&r);
        assert_int_equal(vindex_linked(r.index), slots_live_count(r.slots));
        /* Every slot came back: no more were ever needed than lived or died in between. */
        assert_true(slots_end(r.slots) < 800);
        expect_recall(&r, vmetric_name(metrics[m]), 0.95);
        vrows_fini(&r);
    }
}

static void a_stopped_repair_can_be_done_again(void **unused)
{
    _Atomic bool stop = true;
    uint32_t dead[1000], count;
    struct vrows r;
    struct err err;

    (void)unused;
    vrows_init(&r, options(VMETRIC_L2, 8), 40, 43);
    vrows_put_random(&r, 0, 1500);
    link_all(&r);
    for (uint64_t id = 0; id < 900; id++)
        (void)vrows_erase(&r, id);
    count = slots_dead_list(r.slots, dead, COUNT_OF(dead));
    assert_int_equal(vindex_repair(r.index, dead, count, &stop, &err), ST_CLOSED);
    vrows_check(&r, UINT32_MAX);
    vrows_repair(&r);
    vrows_check(&r, 2);
    vrows_fini(&r);
}

/* Loads the rows of one index into another, as a checkpoint does, without any graph. */
static void copy_rows(const struct vrows *from, struct vrows *to)
{
    struct err err;

    for (uint32_t slot = 0; slot < slots_end(from->slots); slot++) {
        enum slot_state state = slots_state(from->slots, slot);
        struct row row;

        if (state != SLOT_LIVE && state != SLOT_DEAD)
            continue;
        slots_row(from->slots, slot, &row);
        assert_int_equal(slots_load(to->slots, slot, state == SLOT_DEAD, &row, &err), ST_OK);
        assert_int_equal(vindex_reserve(to->index, slot + 1, &err), ST_OK);
        vindex_fill(to->index, slot, vindex_vector(from->index, slot));
    }
    assert_int_equal(slots_load_finish(to->slots, &err), ST_OK);
}

static uint32_t copy_graph(const struct vrows *from, struct vrows *to, uint32_t leave_out)
{
    uint32_t *buffer = malloc(vindex_node_links_max(from->index) * sizeof(*buffer));
    uint32_t count = 0;
    struct vnode node;
    struct err err;

    for (uint32_t slot = 0; slot < slots_end(from->slots); slot++) {
        if (!vindex_node_export(from->index, slot, buffer, &node))
            continue;
        count++;
        if (leave_out > 0 && slot % leave_out == 0)
            continue;
        if (vindex_node_import(to->index, &node, &err) != ST_OK)
            fail_msg("%s", err.text);
    }
    free(buffer);
    assert_int_equal(vindex_import_finish(to->index, &err), ST_OK);
    return count;
}

static void an_imported_graph_gives_identical_answers(void **unused)
{
    struct vhit a[10], b[10];
    struct vrows from, to;
    float query[16];

    (void)unused;
    vrows_init(&from, options(VMETRIC_COSINE, 16), 40, 47);
    vrows_init(&to, options(VMETRIC_COSINE, 16), 40, 47);
    vrows_put_random(&from, 0, 3000);
    link_all(&from);
    vrows_put_random(&from, 100, 300); /* dead nodes, and rows that are pending */
    (void)vindex_link(from.index, 150);
    copy_rows(&from, &to);
    assert_int_equal(copy_graph(&from, &to, 0), 3150);
    assert_int_equal(vindex_pending(to.index), 150);
    vrows_check(&to, 2);
    for (int q = 0; q < 40; q++) {
        struct vsearch s = {.query = query, .k = 10, .ef = 20};

        vrows_point(&from, query);
        assert_int_equal(vrows_search(&from, &s, a), 10);
        assert_int_equal(vrows_search(&to, &s, b), 10);
        for (int i = 0; i < 10; i++) {
            assert_int_equal(a[i].slot, b[i].slot);
            assert_true(a[i].distance == b[i].distance);
        }
    }
    link_all(&to);
    vrows_repair(&to);
    vrows_fini(&from);
    vrows_fini(&to);
}

/* What an image does not name is linked anew, and what names it in vain is dropped. */
static void nodes_missing_from_an_image_become_pending(void **unused)
{
    struct vrows from, to;

    (void)unused;
    vrows_init(&from, options(VMETRIC_L2, 16), 40, 53);
    vrows_init(&to, options(VMETRIC_L2, 16), 40, 53);
    vrows_put_random(&from, 0, 1500);
    link_all(&from);
    copy_rows(&from, &to);
    (void)copy_graph(&from, &to, 4);
    assert_int_equal(vindex_pending(to.index), 375);
    vrows_check(&to, 1500);
    expect_recall(&to, "before linking", 0.9);
    link_all(&to);
    vrows_check(&to, 2);
    expect_recall(&to, "after linking", 0.97);
    vrows_fini(&from);
    vrows_fini(&to);
}

static status import_one(struct vrows *r, uint32_t slot, uint8_t level, uint32_t count,
                         const uint32_t *links)
{
    struct vnode node = {.slot = slot, .level = level};
    struct err err;

    for (uint32_t l = 0; l < 16; l++) {
        node.counts[l] = l == 0 ? (uint16_t)count : 0;
        node.links[l] = links;
    }
    return vindex_node_import(r->index, &node, &err);
}

static void impossible_nodes_are_refused(void **unused)
{
    uint32_t links[100], twice[2] = {3, 3}, self[1] = {5}, wild[3] = {7, 999999, UINT32_MAX};
    struct vrows from, r;

    (void)unused;
    for (uint32_t i = 0; i < 100; i++)
        links[i] = i + 10;
    vrows_init(&from, options(VMETRIC_L2, 4), 40, 59);
    vrows_init(&r, options(VMETRIC_L2, 4), 40, 59);
    vrows_put_random(&from, 0, 200);
    copy_rows(&from, &r);
    assert_int_equal(import_one(&r, 200, 0, 0, links), ST_CORRUPT);
    assert_int_equal(import_one(&r, UINT32_MAX, 0, 0, links), ST_CORRUPT);
    assert_int_equal(import_one(&r, 5, VNODE_LEVEL_MAX + 1, 0, links), ST_CORRUPT);
    assert_int_equal(import_one(&r, 5, 255, 0, links), ST_CORRUPT);
    assert_int_equal(import_one(&r, 5, 0, 33, links), ST_CORRUPT);
    assert_int_equal(import_one(&r, 5, 0, 65535, links), ST_CORRUPT);
    assert_int_equal(import_one(&r, 5, 0, 2, twice), ST_CORRUPT);
    assert_int_equal(import_one(&r, 5, 0, 1, self), ST_CORRUPT);
    assert_int_equal(vindex_linked(r.index), 0);
    assert_int_equal(import_one(&r, 5, 0, 3, wild), ST_OK);
    assert_int_equal(import_one(&r, 5, 0, 3, wild), ST_CORRUPT); /* a second time */
    assert_int_equal(import_one(&r, 7, VNODE_LEVEL_MAX, 32, links), ST_OK);
    assert_int_equal(vindex_import_finish(r.index, NULL), ST_OK);
    vrows_check(&r, 200);
    link_all(&r);
    vrows_check(&r, 2);
    vrows_fini(&from);
    vrows_fini(&r);
}

/* On embeddings of a folder named by the environment; the floors are those the node promises. */
static void recall_holds_on_real_embeddings(void **unused)
{
    const char *folder = getenv("TIERVEC_BENCH_DATA");
    struct vindex_options o = options(VMETRIC_COSINE, 384);
    struct npy base, query;
    char path[1024];
    struct vrows r;
    struct err err;

    (void)unused;
    if (folder == NULL)
        skip();
    (void)snprintf(path, sizeof(path), "%s/minilm384-base.f16.npy", folder);
    assert_int_equal(npy_read(path, 0, &base, &err), ST_OK);
    (void)snprintf(path, sizeof(path), "%s/minilm384-query.f16.npy", folder);
    assert_int_equal(npy_read(path, 200, &query, &err), ST_OK);
    o.ef_construction = 200;
    vrows_init(&r, o, 40, 61);
    for (uint32_t phase = 0; phase < 3; phase++) {
        struct vhit got[10], want[10];
        struct vindex_check check;
        uint32_t right = 0;

        for (uint32_t i = 0; i < base.rows; i++) {
            float *v = base.values + (size_t)i * 384;

            if (phase == 0)
                (void)vindex_normalise(v, 384);
            /* Half of the ids get the vector of another id. */
            if (phase == 1 && i % 2 == 0)
                v = base.values + (size_t)((i + 2) % base.rows) * 384;
            if (phase == 2 ? i % 3 != 0 : phase == 1 && i % 2 == 1)
                continue;
            (void)(phase == 2 ? vrows_erase(&r, i) : vrows_put(&r, i, v));
        }
        link_all(&r);
        if (phase > 0)
            vrows_repair(&r);
        for (uint32_t q = 0; q < query.rows; q++) {
            struct vsearch s = {.query = query.values + (size_t)q * 384, .k = 10, .ef = 100};

            (void)vindex_normalise(query.values + (size_t)q * 384, 384);
            assert_int_equal(vrows_brute(&r, s.query, 10, NULL, want), 10);
            assert_int_equal(vrows_search(&r, &s, got), 10);
            for (int i = 0; i < 10; i++)
                for (int j = 0; j < 10; j++)
                    right += got[i].slot == want[j].slot;
        }
        assert_int_equal(vindex_check(r.index, &check, &err), ST_OK);
        print_message("phase %u: recall@10 %.4f, %u of %u rows not reachable\n", phase,
                      right / 10.0 / query.rows, check.unreachable_live, check.nodes);
        assert_true(check.unreachable_live <= check.nodes / 1000);
        assert_true(right >= query.rows * 95 / 10);
    }
    vrows_fini(&r);
    npy_free(&base);
    npy_free(&query);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recall_holds_through_replacement_and_deletion),
        cmocka_unit_test(a_row_in_the_slot_of_one_replaced_long_ago_is_found),
        cmocka_unit_test(deleting_almost_everything_leaves_a_whole_graph),
        cmocka_unit_test(every_cycle_of_writes_and_repair_leaves_the_graph_whole),
        cmocka_unit_test(a_stopped_repair_can_be_done_again),
        cmocka_unit_test(an_imported_graph_gives_identical_answers),
        cmocka_unit_test(nodes_missing_from_an_image_become_pending),
        cmocka_unit_test(impossible_nodes_are_refused),
        cmocka_unit_test(recall_holds_on_real_embeddings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
