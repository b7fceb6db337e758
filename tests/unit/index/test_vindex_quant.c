/* Quantizations: their names, what is refused, and what each answers. */
#include "vrows.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct vindex_options options(enum vmetric metric, uint32_t dim, enum vquantization q)
{
    return (struct vindex_options){.dim = dim,
                                   .metric = metric,
                                   .m = 8,
                                   .ef_construction = 60,
                                   .ef_search = 50,
                                   .quantization = q,
                                   .threshold = 100,
                                   .seed = 1};
}

static const enum vquantization kinds[] = {VQUANT_SCALAR, VQUANT_NONE, VQUANT_BINARY};
static const enum vmetric metrics[] = {VMETRIC_COSINE, VMETRIC_DOT, VMETRIC_L2, VMETRIC_L1};

enum { DIM = 32, ROWS = 1200, CLUSTERS = 40 };
static uint64_t seed = 71;

static void link_all(struct vrows *r)
{
    while (vindex_link(r->index, 1000) > 0)
        ;
}

static enum vrebuild step(struct vrows *r, enum vquantization q)
{
    struct vgraph want = vindex_graph(r->index);
    enum vrebuild out = VREBUILD_NONE;
    struct err err;

    want.quantization = q;
    if (vindex_rebuild_step(r->index, &want, vindex_rebuild_settled(r->index), &out, &err) != ST_OK)
        fail_msg("%s", err.text);
    return out;
}

/* An index that serves this quantization: what has to be learned from rows is. */
static void begin(struct vrows *r, enum vmetric metric, enum vquantization q)
{
    vrows_init(r, options(metric, DIM, q), CLUSTERS, seed);
    vrows_put_random(r, 0, ROWS);
    while (vindex_graph(r->index).quantization != q)
        (void)step(r, q);
}

static void names_are_read_as_they_are_written(void **unused)
{
    static const enum vquantization all[] = {VQUANT_SCALAR, VQUANT_NONE, VQUANT_BINARY,
                                             VQUANT_PRODUCT};
    enum vquantization q;

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        assert_true(vquantization_parse(vquantization_name(all[i]), &q));
        assert_int_equal(q, all[i]);
    }
    assert_true(vquantization_parse("rabitq", &q));
    assert_int_equal(q, VQUANT_BINARY);
    assert_false(vquantization_parse("", &q));
    assert_false(vquantization_parse("scalars", &q));
    assert_string_equal(vquantization_name((enum vquantization)99), "unknown");
}

static void what_no_index_has_is_refused_by_name(void **unused)
{
    const struct vgraph want = {.m = 8, .ef_construction = 60, .quantization = VQUANT_PRODUCT};
    struct vindex_options o = options(VMETRIC_L2, 8, VQUANT_PRODUCT);
    struct vindex *v = NULL;
    enum vrebuild step;
    struct vrows r;
    uint64_t added;
    struct err err;

    (void)unused;
    assert_int_equal(vindex_create(&o, &v, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "product"));
    vrows_init(&r, options(VMETRIC_L2, 8, VQUANT_SCALAR), 4, 1);
    assert_int_equal(vindex_rebuild_reserve(r.index, &want, &added, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "product"));
    assert_int_equal(vindex_rebuild_step(r.index, &want, 0, &step, &err), ST_INVALID);
    assert_int_equal(vindex_graph(r.index).quantization, VQUANT_SCALAR);
    vrows_fini(&r);
}

/* Recall on fixed seeds, walking and scanning. */
static void every_metric_has_its_recall_on_every_quantization(void **unused)
{
    (void)unused;
    for (size_t q = 0; q < COUNT_OF(kinds); q++)
        for (size_t m = 0; m < COUNT_OF(metrics); m++) {
            double scanned, walked;
            struct vrows r;

            begin(&r, metrics[m], kinds[q]);
            scanned = vrows_recall(&r, 40, 10, 0);
            link_all(&r);
            walked = vrows_recall(&r, 40, 10, 100);
            print_message("%s %s: recall@10 scanned %.3f, walked %.3f\n",
                          vquantization_name(kinds[q]), vmetric_name(metrics[m]), scanned, walked);
            assert_true(scanned >= 0.99);
            assert_true(walked >= (metrics[m] == VMETRIC_DOT ? 0.90 : 0.95));
            vrows_check(&r, metrics[m] == VMETRIC_DOT ? ROWS / 20 : 0);
            vrows_fini(&r);
        }
}

/* Distances in answers are those of full vectors, whatever was walked on. */
static void distances_are_exact_on_every_quantization(void **unused)
{
    struct vhit hits[10];
    float query[DIM];

    (void)unused;
    for (size_t q = 0; q < COUNT_OF(kinds); q++) {
        struct vsearch s = {.query = query, .k = 10};
        struct vrows r;

        begin(&r, VMETRIC_L2, kinds[q]);
        link_all(&r);
        vrows_point(&r, query);
        assert_int_equal(vrows_search(&r, &s, hits), 10);
        for (size_t i = 0; i < 10; i++)
            assert_true(hits[i].distance == vindex_distance(r.index, query, hits[i].slot));
        vrows_fini(&r);
    }
}

static void churn(struct vrows *r, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t id = vrows_random(r) % ROWS;

        if (i % 4 == 0)
            (void)vrows_erase(r, id);
        vrows_put_random(r, id, 1);
    }
}

static void recall_does_not_rot_on_any_quantization(void **unused)
{
    (void)unused;
    for (size_t q = 0; q < COUNT_OF(kinds); q++) {
        double before, after;
        struct vrows r;

        begin(&r, VMETRIC_COSINE, kinds[q]);
        link_all(&r);
        before = vrows_recall(&r, 40, 10, 50);
        for (int round = 0; round < 4; round++) {
            churn(&r, ROWS / 2);
            link_all(&r);
            vrows_repair(&r);
        }
        vrows_check(&r, 0);
        after = vrows_recall(&r, 40, 10, 50);
        print_message("%s: recall@10 at ef 50 %.3f, after churn %.3f\n",
                      vquantization_name(kinds[q]), before, after);
        assert_true(after >= before - 0.03);
        vrows_fini(&r);
    }
}

static void change(struct vrows *r, enum vquantization to)
{
    struct vrebuild_progress shown;
    enum vrebuild now = step(r, to);
    int steps = 0;

    while (now != VREBUILD_DONE && now != VREBUILD_NONE) {
        assert_true(vindex_rebuild_shown(r->index, &shown));
        assert_int_equal(shown.made.quantization, to);
        churn(r, 50);
        now = step(r, to);
        assert_true(++steps < 1000);
    }
    assert_int_equal(vindex_graph(r->index).quantization, to);
    assert_int_equal(step(r, to), VREBUILD_NONE);
    assert_false(vindex_rebuild_shown(r->index, &shown));
    assert_int_equal(vindex_bytes(r->index) + slots_bytes(r->slots), mem_budget_bytes(&r->budget));
}

/* From every one to every other: links and slots stay, memory is what the new one takes. */
static void a_live_index_changes_its_quantization(void **unused)
{
    struct vrows r;

    (void)unused;
    begin(&r, VMETRIC_L2, VQUANT_SCALAR);
    link_all(&r);
    for (size_t from = 0; from < COUNT_OF(kinds); from++)
        for (size_t to = 0; to < COUNT_OF(kinds); to++) {
            struct vindex_sizes sizes;
            uint32_t linked;

            change(&r, kinds[from]);
            churn(&r, 100);
            link_all(&r);
            linked = vindex_linked(r.index);
            change(&r, kinds[to]);
            assert_int_equal(vindex_linked(r.index), linked);
            vindex_sizes(r.index, &sizes);
            assert_int_equal(sizes.codes == 0, kinds[to] == VQUANT_NONE);
            assert_true(vrows_recall(&r, 20, 10, 100) >= 0.95);
            vrows_repair(&r);
        }
    vrows_fini(&r);
}

/* A row that was filled before codes were begun and is published after they serve has its own. */
static void a_row_between_two_quantizations_is_found(void **unused)
{
    struct docid id = {.kind = DOCID_U64, .u64 = 77777};
    struct slice none = {0};
    struct vsearch s = {.k = 1, .ef = 400};
    float point[DIM];
    struct vhit hit;
    struct vrows r;
    uint32_t slot;
    struct err err;

    (void)unused;
    for (size_t from = 0; from < COUNT_OF(kinds); from++)
        for (size_t to = 0; to < COUNT_OF(kinds); to++) {
            begin(&r, VMETRIC_L2, kinds[from]);
            link_all(&r);
            vrows_point(&r, point);
            assert_int_equal(slots_reserve(r.slots, 1, &slot, &err), ST_OK);
            assert_int_equal(vindex_reserve(r.index, slots_end(r.slots), &err), ST_OK);
            assert_int_equal(slots_fill(r.slots, slot, &id, none, none, 0, &err), ST_OK);
            vindex_fill(r.index, slot, point);
            change(&r, kinds[to]);
            vindex_publish(r.index, slot);
            slots_publish(r.slots, slot, ++r.lsn);
            s.query = point;
            for (int linked = 0; linked < 2; linked++) {
                assert_int_equal(vrows_search(&r, &s, &hit), 1);
                assert_int_equal(hit.slot, slot);
                link_all(&r);
            }
            vrows_fini(&r);
        }
}

/* What is set aside ahead of time is enough; over the budget nothing changes. */
static void a_change_over_the_budget_is_refused(void **unused)
{
    struct vgraph want = {.m = 8, .ef_construction = 60, .quantization = VQUANT_SCALAR};
    uint64_t used, added = 0;
    enum vrebuild out;
    struct vrows r;
    struct err err;

    (void)unused;
    begin(&r, VMETRIC_L2, VQUANT_NONE);
    link_all(&r);
    used = mem_budget_bytes(&r.budget);
    r.budget.bytes_max = used + 1000;
    assert_int_equal(vindex_rebuild_reserve(r.index, &want, &added, &err), ST_NOSPACE);
    assert_int_equal(vindex_rebuild_step(r.index, &want, 0, &out, &err), ST_NOSPACE);
    assert_int_equal(mem_budget_bytes(&r.budget), used);
    assert_int_equal(vindex_graph(r.index).quantization, VQUANT_NONE);
    r.budget.bytes_max = 0;
    assert_int_equal(vindex_rebuild_reserve(r.index, &want, &added, &err), ST_OK);
    assert_int_equal(mem_budget_bytes(&r.budget), used + added);
    r.budget.bytes_max = used + added;
    vindex_rebuild_settle(r.index, 0);
    while (vindex_graph(r.index).quantization != VQUANT_SCALAR)
        (void)step(&r, VQUANT_SCALAR);
    assert_int_equal(mem_budget_bytes(&r.budget), used + added);
    r.budget.bytes_max = 0;
    change(&r, VQUANT_NONE);
    vrows_fini(&r);
}

/* The n-th allocation of a change fails: nothing is lost, and it can be tried again. */
static void each_allocation_may_fail(enum vquantization to)
{
    struct vrows r;
    struct vgraph want;
    int64_t n = 0;
    bool failed = true;

    begin(&r, VMETRIC_COSINE, VQUANT_NONE);
    link_all(&r);
    want = vindex_graph(r.index);
    for (; failed; n++) {
        enum vrebuild out = VREBUILD_NONE;
        status st = ST_OK;

        assert_true(n < 200);
        want.quantization = to;
        mem_test_fail_after(n);
        while (st == ST_OK && vindex_graph(r.index).quantization != want.quantization)
            st = vindex_rebuild_step(r.index, &want, 0, &out, NULL);
        failed = mem_test_count() > n;
        mem_test_fail_after(-1);
        assert_true(st == ST_OK || st == ST_NOMEM);
        change(&r, VQUANT_NONE);
        assert_true(vrows_recall(&r, 5, 10, 100) >= 0.9);
    }
    assert_true(n > 2);
    vrows_fini(&r);
}

static void each_allocation_of_a_change_may_fail(void **unused)
{
    (void)unused;
    each_allocation_may_fail(VQUANT_SCALAR);
    each_allocation_may_fail(VQUANT_BINARY);
}

/* Bits are learned from rows: what served stays until there are enough, and says so. */
static void bits_wait_for_rows_to_learn_from(void **unused)
{
    struct vrows r;

    (void)unused;
    vrows_init(&r, options(VMETRIC_L2, DIM, VQUANT_BINARY), CLUSTERS, seed);
    assert_int_equal(vindex_graph(r.index).quantization, VQUANT_NONE);
    vrows_put_random(&r, 0, VQUANT_BINARY_ROWS_MIN - 1);
    assert_int_equal(step(&r, VQUANT_BINARY), VREBUILD_NONE);
    assert_int_equal(vindex_graph(r.index).quantization, VQUANT_NONE);
    vrows_put_random(&r, VQUANT_BINARY_ROWS_MIN, 1);
    assert_int_equal(step(&r, VQUANT_BINARY), VREBUILD_DONE);
    assert_int_equal(vindex_graph(r.index).quantization, VQUANT_BINARY);
    assert_true(vrows_recall(&r, 20, 10, 0) >= 0.99);
    vrows_fini(&r);
}

/* Vectors that are far from the origin, all in one place, of one value, or huge. */
static void bits_of_strange_vectors_answer_as_a_plain_loop_does(void **unused)
{
    static const float offsets[] = {1000, 1e-40f, 1e17f};

    (void)unused;
    for (size_t m = 0; m < COUNT_OF(metrics); m++)
        for (size_t o = 0; o < COUNT_OF(offsets); o++) {
            struct vsearch s = {.k = 10, .ef = 100};
            struct vhit hits[10];
            float point[DIM];
            struct vrows r;

            vrows_init(&r, options(metrics[m], DIM, VQUANT_BINARY), CLUSTERS, seed);
            for (uint64_t id = 0; id < ROWS; id++) {
                vrows_point(&r, point);
                for (int i = 0; i < DIM; i++)
                    point[i] = id % 7 == 0 ? offsets[o] : point[i] * (offsets[o] + 1e-3f);
                if (metrics[m] == VMETRIC_COSINE && !vindex_normalise(point, DIM))
                    point[0] = 1;
                (void)vrows_put(&r, id, point);
            }
            while (vindex_graph(r.index).quantization != VQUANT_BINARY)
                (void)step(&r, VQUANT_BINARY);
            for (int linked = 0; linked < 2; linked++) {
                s.query = vindex_vector(r.index, 1);
                assert_int_equal(vrows_search(&r, &s, hits), 10);
                for (size_t i = 0; i < 10; i++)
                    assert_true(hits[i].distance == hits[i].distance);
                link_all(&r);
            }
            vrows_check(&r, UINT32_MAX);
            vrows_fini(&r);
        }
}

/* Vectors too long for a thread's stack are turned elsewhere. */
static void long_vectors_are_coded_by_bits(void **unused)
{
    struct vindex_options o = options(VMETRIC_L2, 2500, VQUANT_BINARY);
    struct vrows r;

    (void)unused;
    o.threshold = 10000;
    vrows_init(&r, o, CLUSTERS, seed);
    vrows_put_random(&r, 0, VQUANT_BINARY_ROWS_MIN);
    assert_int_equal(step(&r, VQUANT_BINARY), VREBUILD_DONE);
    assert_true(vrows_recall(&r, 3, 10, 0) >= 0.99);
    vrows_fini(&r);
}

/* Full vectors in a table of the test's own, as a file would have them. */
struct apart {
    struct vrows *rows;
    float *vectors; /* ROWS x DIM */
    uint32_t reads;
    int32_t fail_after; /* < 0: never */
};

static status apart_read(void *arg, uint32_t slot, float *out, struct err *err)
{
    struct apart *a = arg;

    a->reads++;
    if (a->fail_after == 0)
        return err_set(err, ST_IO, "the disk is gone");
    a->fail_after -= a->fail_after > 0;
    memcpy(out, a->vectors + (size_t)slot * DIM, DIM * sizeof(float));
    return ST_OK;
}

static void apart_begin(struct vrows *r, struct apart *a, enum vmetric metric)
{
    struct vindex_options o = options(metric, DIM, VQUANT_SCALAR);

    *a = (struct apart){.rows = r, .fail_after = -1};
    a->vectors = calloc(ROWS, DIM * sizeof(float));
    o.vectors = (struct vvectors){.arg = a, .read = apart_read};
    vrows_init(r, o, CLUSTERS, seed);
    for (uint32_t i = 0; i < ROWS; i++) {
        float point[DIM];
        uint32_t slot;

        vrows_point(r, point);
        slot = vrows_put(r, i, point);
        assert_true(slot < ROWS);
        memcpy(a->vectors + (size_t)slot * DIM, point, sizeof(point));
    }
}

/* The same rows with their vectors in memory answer the same, distance by distance. */
static void vectors_that_are_read_answer_as_those_in_memory(void **unused)
{
    (void)unused;
    for (size_t m = 0; m < COUNT_OF(metrics); m++) {
        struct vrows here, there;
        struct apart a;
        struct vindex_sizes sizes;

        begin(&here, metrics[m], VQUANT_SCALAR);
        apart_begin(&there, &a, metrics[m]);
        for (int linked = 0; linked < 3; linked++) {
            for (int q = 0; q < 20; q++) {
                float query[DIM];
                struct vsearch s = {.query = query, .k = 10, .exact = linked == 2};
                struct vhit one[10], other[10];

                vrows_point(&here, query);
                assert_int_equal(vrows_search(&here, &s, one), 10);
                assert_int_equal(vrows_search(&there, &s, other), 10);
                for (size_t i = 0; i < 10; i++) {
                    assert_int_equal(one[i].slot, other[i].slot);
                    assert_true(one[i].distance == other[i].distance);
                    assert_true(vindex_distance(there.index, query, one[i].slot) ==
                                one[i].distance);
                }
            }
            a.reads = 0;
            link_all(&here);
            link_all(&there);
            assert_int_equal(a.reads, 0); /* codes alone are linked on */
        }
        assert_null(vindex_vector(there.index, 3));
        vindex_sizes(there.index, &sizes);
        assert_int_equal(sizes.vectors, 0);
        assert_int_equal(vindex_bytes(there.index) + slots_bytes(there.slots),
                         mem_budget_bytes(&there.budget));
        vrows_check(&there, metrics[m] == VMETRIC_DOT ? ROWS / 20 : 0);
        vrows_fini(&here);
        vrows_fini(&there);
        free(a.vectors);
    }
}

/* A search says what reading said, whichever read it was; the next one is answered. */
static void a_vector_that_cannot_be_read_fails_its_search(void **unused)
{
    float query[DIM];
    struct vsearch s = {.query = query, .k = 10};
    struct apart a;
    struct vrows r;

    (void)unused;
    apart_begin(&r, &a, VMETRIC_L2);
    link_all(&r);
    vrows_point(&r, query);
    for (int32_t n = 0; n < 10; n++) { /* ten hits are ten reads at least */
        struct epoch_guard guard = epoch_enter(r.epoch);
        struct vhit hits[10];
        uint32_t count = 77;
        struct err err;

        a.fail_after = n;
        assert_int_equal(vindex_search(r.index, r.scratch, &s, hits, &count, NULL, &err), ST_IO);
        assert_non_null(strstr(err.text, "the disk is gone"));
        assert_int_equal(count, 77);
        a.fail_after = 0;
        assert_true(isnan(vindex_distance(r.index, query, 1)) != 0);
        a.fail_after = -1;
        assert_int_equal(vindex_search(r.index, r.scratch, &s, hits, &count, NULL, &err), ST_OK);
        assert_int_equal(count, 10);
        epoch_leave(r.epoch, guard);
    }
    vrows_fini(&r);
    free(a.vectors);
}

static void vectors_that_are_read_are_coded_by_eight_bits_alone(void **unused)
{
    struct vindex_options o = options(VMETRIC_L2, DIM, VQUANT_NONE);
    struct vgraph want;
    struct vindex *v = NULL;
    enum vrebuild out;
    struct apart a;
    struct vrows r;
    struct err err;

    (void)unused;
    apart_begin(&r, &a, VMETRIC_L2);
    want = vindex_graph(r.index);
    for (size_t q = 0; q < COUNT_OF(kinds); q++) {
        status expected = kinds[q] == VQUANT_SCALAR ? ST_OK : ST_INVALID;

        want.quantization = o.quantization = kinds[q];
        assert_int_equal(vindex_rebuild_step(r.index, &want, 0, &out, &err), expected);
        if (expected == ST_OK)
            continue;
        o.vectors = (struct vvectors){.arg = &a, .read = apart_read};
        o.slots = r.slots;
        o.epoch = r.epoch;
        o.budget = &r.budget;
        assert_int_equal(vindex_create(&o, &v, &err), ST_INVALID);
    }
    vrows_fini(&r);
    free(a.vectors);
}

static void sizes_add_up_to_what_is_charged(void **unused)
{
    struct vindex_sizes sizes;
    struct vrows r;

    (void)unused;
    vrows_init(&r, options(VMETRIC_L2, 24, VQUANT_SCALAR), 4, 1);
    vrows_put_random(&r, 0, 300);
    assert_int_equal(vindex_link(r.index, 300), 300);
    vindex_sizes(r.index, &sizes);
    assert_int_equal(sizes.vectors, slots_end(r.slots) * 24 * sizeof(float));
    assert_true(sizes.codes > 0 && sizes.codes < sizes.vectors);
    assert_true(sizes.links >= slots_end(r.slots) * 16 * sizeof(uint32_t));
    assert_int_equal(sizes.vectors + sizes.codes + sizes.links, vindex_bytes(r.index));
    assert_int_equal(vindex_bytes(r.index) + slots_bytes(r.slots), mem_budget_bytes(&r.budget));
    vrows_fini(&r);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_read_as_they_are_written),
        cmocka_unit_test(what_no_index_has_is_refused_by_name),
        cmocka_unit_test(sizes_add_up_to_what_is_charged),
        cmocka_unit_test(every_metric_has_its_recall_on_every_quantization),
        cmocka_unit_test(distances_are_exact_on_every_quantization),
        cmocka_unit_test(recall_does_not_rot_on_any_quantization),
        cmocka_unit_test(a_live_index_changes_its_quantization),
        cmocka_unit_test(a_row_between_two_quantizations_is_found),
        cmocka_unit_test(a_change_over_the_budget_is_refused),
        cmocka_unit_test(each_allocation_of_a_change_may_fail),
        cmocka_unit_test(bits_wait_for_rows_to_learn_from),
        cmocka_unit_test(bits_of_strange_vectors_answer_as_a_plain_loop_does),
        cmocka_unit_test(long_vectors_are_coded_by_bits),
        cmocka_unit_test(vectors_that_are_read_answer_as_those_in_memory),
        cmocka_unit_test(a_vector_that_cannot_be_read_fails_its_search),
        cmocka_unit_test(vectors_that_are_read_are_coded_by_eight_bits_alone),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed %llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
