/* Rows that come while a linker looks how much there is to do are linked, though nothing is written
 * behind them. */
#include "tests/unit/node/nbucket.h"

#include "node/fields.h"

#include <stdatomic.h>

/* The next look takes until it may go on. */
static _Atomic bool hold_next, looked, goes_on;

static uint64_t look_slowly(const struct collection *c)
{
    uint64_t rows = fields_to_link(c);

    if (atomic_exchange(&hold_next, false)) {
        atomic_store(&looked, true);
        neventually(atomic_load(&goes_on));
    }
    return rows;
}

#define fields_to_link look_slowly
#include "node/background.c"
#undef fields_to_link

static void what_comes_while_a_linker_looks_is_linked(void **state)
{
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, true, 1);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", NDIM, VMETRIC_L2, 1, NULL), ST_OK);
    c = npin(&w, "docs");
    for (uint64_t round = 0; round < 3; round++) {
        atomic_store(&looked, false);
        atomic_store(&goes_on, false);
        atomic_store(&hold_next, true);
        nput_range(c, 1 + round * 200, 1 + round * 200, 1);
        neventually(atomic_load(&looked));
        nput_batch(c, 2 + round * 200, 200 + round * 200, 1);
        atomic_store(&goes_on, true);
        neventually(ninfo(c).pending_rows == 0);
    }
    ninvariants(c);
    node_collection_unpin(c);
    nworld_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_while_a_linker_looks_is_linked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
