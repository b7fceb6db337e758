/* The cache against a list that does the same by hand: what is kept, what is a hit, how many bytes,
 * over random calls. test_cache_model [seed [steps]]. And with each allocation failing. */
#include "tests/support/alloc_sweep.h"
#include "tests/unit/tiering/cache_case.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PLACES = 40, ALL = CASE_OBJECTS * PLACES, KEEPS = 12 };

static uint64_t base_seed = 7;
static unsigned steps = 6000;

struct model {
    unsigned order[ALL]; /* those that are idle, oldest first */
    unsigned count;
    unsigned pins[ALL];
    uint64_t bytes_max, evictions;
};
struct world {
    struct cache_case c;
    struct model m;
    struct rand_seeded rand;
    struct cache_block *pinned[ALL];
};

static unsigned below(struct world *w, unsigned bound)
{
    return (unsigned)rand_below(&w->rand.source, bound);
}

static unsigned find(const struct model *m, unsigned block)
{
    for (unsigned i = 0; i < m->count; i++)
        if (m->order[i] == block)
            return i;
    return ALL;
}

static bool has(const struct model *m, unsigned block)
{
    return m->pins[block] > 0 || find(m, block) < ALL;
}

static void take_out(struct model *m, unsigned block)
{
    unsigned at = find(m, block);

    if (at == ALL)
        return;
    memmove(&m->order[at], &m->order[at + 1], (m->count - at - 1) * sizeof m->order[0]);
    m->count--;
}

static unsigned pinned_count(const struct model *m)
{
    unsigned count = 0;

    for (unsigned i = 0; i < ALL; i++)
        count += m->pins[i] > 0;
    return count;
}

static uint64_t bytes_of(const struct model *m)
{
    return (uint64_t)(m->count + pinned_count(m)) * CASE_COST;
}

static void evict(struct model *m, uint64_t more)
{
    while (m->count > 0 && bytes_of(m) + more > m->bytes_max) {
        take_out(m, m->order[0]);
        m->evictions++;
    }
}

/* One block is read and given back; false: it goes through uncached. */
static bool model_read(struct model *m, unsigned block, bool scan)
{
    bool was = has(m, block);

    if (!was && !scan && (uint64_t)(pinned_count(m) + 1) * CASE_COST <= m->bytes_max) {
        evict(m, CASE_COST);
        m->order[m->count++] = block;
        return false;
    }
    if (was && m->pins[block] == 0) {
        take_out(m, block);
        m->order[m->count++] = block;
    }
    return was;
}

static void read_one(struct world *w, unsigned block, bool scan)
{
    struct cache_want want = case_want(block / PLACES, block % PLACES);
    struct cache_terms terms = case_terms(&w->c);

    want.class = scan ? CACHE_SCAN : CACHE_PAYLOAD;
    assert_int_equal(cache_read(w->c.cache, &terms, &want, 1, NULL), ST_OK);
    case_check_body(&want);
    cache_give_back(w->c.cache, &want, 1);
    assert_int_equal(want.hit, model_read(&w->m, block, scan));
}

static void pin_one(struct world *w, unsigned block)
{
    struct cache_want want = case_want(block / PLACES, block % PLACES);
    struct cache_terms terms = case_terms(&w->c);

    assert_int_equal(cache_read(w->c.cache, &terms, &want, 1, NULL), ST_OK);
    cache_pin(w->c.cache, &want);
    w->pinned[block] = want.block;
    cache_give_back(w->c.cache, &want, 1);
    (void)model_read(&w->m, block, false);
    take_out(&w->m, block);
    w->m.pins[block]++;
    evict(&w->m, 0);
}

static void unpin_one(struct world *w, unsigned block)
{
    if (w->m.pins[block] == 0)
        return;
    cache_unpin(w->c.cache, w->pinned[block]);
    if (--w->m.pins[block] == 0) {
        w->m.order[w->m.count++] = block;
        evict(&w->m, 0);
    }
}

static void forget_one(struct world *w, unsigned object)
{
    uint64_t bytes = 0;

    for (unsigned i = object * PLACES; i < (object + 1) * PLACES; i++)
        if (find(&w->m, i) < ALL) {
            take_out(&w->m, i);
            bytes += CASE_BLOCK;
        }
    assert_int_equal(cache_forget(w->c.cache, case_want(object, 0).object), bytes);
}

static void resize(struct world *w)
{
    w->m.bytes_max = (uint64_t)below(w, 2 * KEEPS) * CASE_COST;
    cache_resize(w->c.cache, w->c.fixed + w->m.bytes_max);
    evict(&w->m, 0);
}

static void compare(struct world *w)
{
    struct cache_status now;

    for (unsigned i = 0; i < ALL; i++)
        assert_int_equal(case_has(&w->c, i / PLACES, i % PLACES), has(&w->m, i));
    cache_status(w->c.cache, &now);
    assert_int_equal(case_bytes(&w->c), bytes_of(&w->m));
    assert_int_equal(now.pinned_bytes, pinned_count(&w->m) * CASE_COST);
    assert_int_equal(now.evictions, w->m.evictions);
}

static void step(struct world *w)
{
    unsigned block = below(w, ALL) % (1 + below(w, ALL)); /* some more often than others */

    switch (below(w, 40)) {
    case 0:
        pin_one(w, block);
        break;
    case 1:
    case 2:
        for (unsigned i = 0; i < ALL; i++)
            if (w->m.pins[(block + i) % ALL] > 0) {
                unpin_one(w, (block + i) % ALL);
                break;
            }
        break;
    case 3:
        forget_one(w, block / PLACES);
        break;
    case 4:
        resize(w);
        break;
    case 5:
    case 6:
        read_one(w, block, true);
        break;
    default:
        read_one(w, block, false);
        break;
    }
}

static void it_keeps_what_the_list_keeps(void **state)
{
    static struct world w;

    (void)state;
    print_message("seed %" PRIu64 ", %u steps\n", base_seed, steps);
    case_open(&w.c, KEEPS * CASE_COST);
    w.m.bytes_max = KEEPS * CASE_COST;
    rand_seeded_init(&w.rand, base_seed);
    for (unsigned i = 0; i < steps; i++) {
        step(&w);
        if (i % 8 == 0)
            compare(&w);
    }
    for (unsigned i = 0; i < ALL; i++)
        while (w.m.pins[i] > 0)
            unpin_one(&w, i);
    compare(&w);
    case_close(&w.c);
}

/* --- memory --- */

static status read_some(void *arg)
{
    struct cache_case *c = arg;
    struct cache_want wants[6];
    struct cache_terms terms = case_terms(c);
    status st;

    for (unsigned i = 0; i < 6; i++) {
        wants[i] = case_want(i / 4, i);
        wants[i].joined = i < 4;
    }
    st = cache_read(c->cache, &terms, wants, 6, NULL);
    for (unsigned i = 0; i < 6; i++) {
        assert_true(wants[i].st == ST_OK || (st == ST_NOMEM && wants[i].st == ST_NOMEM));
        if (wants[i].st == ST_OK)
            case_check_body(&wants[i]);
    }
    cache_give_back(c->cache, wants, 6);
    for (unsigned i = 0; i < 2; i++)
        (void)cache_forget(c->cache, case_want(i, 0).object);
    assert_int_equal(case_bytes(c), 0);
    return st;
}

static status open_one(void *arg)
{
    struct cache_case *c = arg;
    struct cache_options options = {
        .store = &c->counting, .clock = clock_real(), .rand = &c->rand.source, .bytes_max = 1000};
    struct cache *cache = NULL;
    status st = cache_open(&options, &cache, NULL);

    cache_close(cache);
    return st;
}

static void without_memory_a_block_is_told_so_and_nothing_stays(void **state)
{
    struct cache_case c;

    (void)state;
    case_open(&c, 20 * CASE_COST);
    assert_true(alloc_sweep(read_some, &c) >= 5);
    assert_true(alloc_sweep(open_one, &c) >= 4);
    case_close(&c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_keeps_what_the_list_keeps),
        cmocka_unit_test(without_memory_a_block_is_told_so_and_nothing_stays),
    };

    if (argc > 1)
        base_seed = strtoull(argv[1], NULL, 0);
    if (argc > 2)
        steps = (unsigned)strtoul(argv[2], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
