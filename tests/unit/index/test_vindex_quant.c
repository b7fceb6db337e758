/* Quantizations: their names, what is refused, and what each answers. */
#include "vrows.h"

#include <setjmp.h>
#include <stdarg.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_read_as_they_are_written),
        cmocka_unit_test(what_no_index_has_is_refused_by_name),
        cmocka_unit_test(sizes_add_up_to_what_is_charged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
