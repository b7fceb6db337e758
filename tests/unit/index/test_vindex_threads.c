/* One applier, several linkers, several readers and repair, all at once. Then the graph is whole
 * and finds its rows. */
#include "base/lock.h"
#include "vrows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DIM = 16, LINKERS = 3, READERS = 2, IDS = 1500, CLUSTERS = 25 };

struct stage {
    struct vrows r;
    _Atomic bool stop;
    _Atomic uint32_t searches;
    _Atomic uint32_t bad; /* answers that were incomplete, out of order or double */
    _Atomic uint32_t copies, repairs, rebuilds;
};

static void linker(void *arg)
{
    struct stage *s = arg;

    while (!atomic_load(&s->stop))
        if (vindex_link(s->r.index, 20) == 0)
            sched_yield();
}

static bool answer_is_sound(struct stage *s, const struct vhit *hits, uint32_t count)
{
    struct docid ids[10];

    if (count != 10)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct row row;

        slots_row(s->r.slots, hits[i].slot, &row);
        ids[i] = row.id;
        if (i > 0 && hits[i].distance < hits[i - 1].distance)
            return false;
        for (uint32_t j = 0; j < i; j++)
            if (docid_equal(&ids[i], &ids[j]))
                return false;
    }
    return true;
}

static void reader(void *arg)
{
    struct stage *s = arg;
    struct vindex_scratch *scratch = NULL;
    uint64_t x = (uint64_t)(uintptr_t)&scratch;
    float query[DIM];

    if (vindex_scratch_create(&scratch, NULL) != ST_OK)
        return;
    while (!atomic_load(&s->stop)) {
        struct epoch_guard guard = epoch_enter(s->r.epoch);
        struct vsearch search = {.query = query, .k = 10, .ef = 30};
        struct vhit hits[10];
        uint32_t count = 0;

        for (int i = 0; i < DIM; i++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            query[i] = (float)(x >> 40) * 0x1.0p-23f - 1.0f;
        }
        search.exact = x >> 33 % 16 == 0;
        if (vindex_search(s->r.index, scratch, &search, hits, &count, NULL, NULL) != ST_OK ||
            !answer_is_sound(s, hits, count))
            atomic_fetch_add(&s->bad, 1);
        atomic_fetch_add(&s->searches, 1);
        epoch_leave(s->r.epoch, guard);
    }
    vindex_scratch_destroy(scratch);
}

static void repairer(void *arg)
{
    struct stage *s = arg;
    uint32_t dead[400];

    while (!atomic_load(&s->stop)) {
        uint32_t count = slots_dead_list(s->r.slots, dead, COUNT_OF(dead));

        if (count > 100 && vindex_repair(s->r.index, dead, count, &s->stop, NULL) == ST_OK) {
            for (uint32_t i = 0; i < count; i++)
                slots_retire(s->r.slots, dead[i]);
            atomic_fetch_add(&s->repairs, 1);
        }
        epoch_collect(s->r.epoch);
        sched_yield();
    }
}

/* One graph after the other comes to serve; a repair goes first. */
static void rebuilder(void *arg)
{
    static const struct vgraph wants[] = {{16, 60, VQUANT_SCALAR},
                                          {6, 30, VQUANT_NONE},
                                          {6, 30, VQUANT_BINARY},
                                          {8, 40, VQUANT_NONE}};
    struct stage *s = arg;

    for (size_t i = 0; !atomic_load(&s->stop);) {
        enum vrebuild now = VREBUILD_NONE;

        if (vindex_rebuild_step(s->r.index, &wants[i], 0, &now, NULL) == ST_OK &&
            now == VREBUILD_DONE) {
            atomic_fetch_add(&s->rebuilds, 1);
            i = (i + 1) % COUNT_OF(wants);
        }
        sched_yield();
    }
}

/* Images are copied beside writers; what is copied must have been a list once. */
static void copier(void *arg)
{
    struct stage *s = arg;
    uint32_t *buffer = malloc(vindex_node_links_max(s->r.index) * sizeof(*buffer));
    struct vnode node;

    while (!atomic_load(&s->stop)) {
        for (uint32_t slot = 0; slot < slots_end(s->r.slots); slot++) {
            struct epoch_guard guard = epoch_enter(s->r.epoch);

            if (vindex_node_export(s->r.index, slot, buffer, &node)) {
                atomic_fetch_add(&s->copies, 1);
                for (uint32_t i = 1; i < node.counts[0]; i++)
                    for (uint32_t j = 0; j < i; j++)
                        if (node.links[0][i] == node.links[0][j])
                            atomic_fetch_add(&s->bad, 1);
            }
            epoch_leave(s->r.epoch, guard);
        }
        sched_yield();
    }
    free(buffer);
}

/* The caller says how many of the roles, the rebuilder being the last. */
static void get_along(size_t count, uint32_t rebuilds)
{
    static thread_fn *const roles[] = {linker, linker,   linker, reader,
                                       reader, repairer, copier, rebuilder};
    struct thread threads[COUNT_OF(roles)] = {0};
    struct vindex_options o = {.dim = DIM,
                               .metric = VMETRIC_L2,
                               .m = 8,
                               .ef_construction = 40,
                               .ef_search = 40,
                               .threshold = 100,
                               .seed = 1};
    struct stage *s = calloc(1, sizeof(*s));
    double recall;
    struct err err;

    vrows_init(&s->r, o, CLUSTERS, 67);
    vrows_put_random(&s->r, 0, IDS);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(thread_start(&threads[i], "churn", THREAD_NORMAL, roles[i], s, &err),
                         ST_OK);
    for (int i = 0; i < 6000; i++) {
        uint64_t id = vrows_random(&s->r) % IDS;

        if (i % 10 == 0) { /* never fewer rows than are asked for */
            (void)vrows_erase(&s->r, id);
            vrows_put_random(&s->r, id, 1);
        } else {
            vrows_put_random(&s->r, id, 1);
        }
    }
    while (atomic_load(&s->searches) < 200 || atomic_load(&s->repairs) < 3 ||
           atomic_load(&s->copies) == 0 || atomic_load(&s->rebuilds) < rebuilds ||
           vindex_pending(s->r.index) > 0)
        sched_yield();
    atomic_store(&s->stop, true);
    for (size_t i = 0; i < count; i++)
        thread_join(&threads[i]);
    assert_int_equal(atomic_load(&s->bad), 0);
    while (vindex_link(s->r.index, 1000) > 0)
        ;
    vrows_repair(&s->r);
    assert_int_equal(vindex_linked(s->r.index), slots_live_count(s->r.slots));
    recall = vrows_recall(&s->r, 50, 10, 100);
    print_message("%u searches, %u copies, %u rebuilds, recall@10 %.4f\n",
                  atomic_load(&s->searches), atomic_load(&s->copies), atomic_load(&s->rebuilds),
                  recall);
    assert_true(recall >= 0.95);
    vrows_fini(&s->r);
    free(s);
}

static void readers_linkers_and_repair_get_along(void **unused)
{
    (void)unused;
    get_along(7, 0);
}

static void graphs_are_exchanged_under_all_of_them(void **unused)
{
    (void)unused;
    get_along(8, 5);
}

/* The first rows of an empty graph have nothing but each other. */
static void rows_linked_at_the_same_time_know_each_other(void **unused)
{
    (void)unused;
    for (uint64_t round = 0; round < 40; round++) {
        struct thread threads[4] = {0};
        struct vindex_options o = {.dim = 4,
                                   .metric = VMETRIC_L2,
                                   .m = 4,
                                   .ef_construction = 20,
                                   .ef_search = 20,
                                   .threshold = 1,
                                   .seed = round};
        struct stage *s = calloc(1, sizeof(*s));

        vrows_init(&s->r, o, CLUSTERS, round);
        for (int t = 0; t < 4; t++)
            assert_int_equal(thread_start(&threads[t], "first", THREAD_NORMAL, linker, s, NULL),
                             ST_OK);
        vrows_put_random(&s->r, 0, 8);
        while (vindex_pending(s->r.index) > 0)
            sched_yield();
        atomic_store(&s->stop, true);
        for (int t = 0; t < 4; t++)
            thread_join(&threads[t]);
        vrows_check(&s->r, 0);
        vrows_fini(&s->r);
        free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_linkers_and_repair_get_along),
        cmocka_unit_test(graphs_are_exchanged_under_all_of_them),
        cmocka_unit_test(rows_linked_at_the_same_time_know_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
