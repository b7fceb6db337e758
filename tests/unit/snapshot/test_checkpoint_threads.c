/* Checkpoints beside an applier, a linker that also repairs, a reader and a collector: each one,
 * with the log behind it, gives the exact state. Under the thread sanitizer, no races. */
#include "tests/unit/snapshot/ckpt_world.h"

#include "base/lock.h"

#include <sched.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 20241000;
enum { CHECKPOINTS = 8, OPS_A_CHECKPOINT = 250 };

struct threads {
    struct world w;
    _Atomic bool stop;
    _Atomic uint64_t applied; /* lsn; pairs with the checkpointing thread's load */
    _Atomic unsigned allowed; /* records the applier may have written by now */
    unsigned steps;           /* of the checkpoint's writer */
};

static void apply_main(void *arg)
{
    struct threads *t = arg;
    struct rand_seeded rand;

    rand_seeded_init(&rand, seed + 1);
    while (!atomic_load(&t->stop)) {
        uint32_t id = (uint32_t)rand_below(&rand.source, WORLD_IDS);

        if (t->w.log_count >= atomic_load(&t->allowed)) {
            sched_yield();
            continue;
        }
        if (rand_below(&rand.source, 4) > 0)
            world_upsert(&t->w, id);
        else
            world_delete(&t->w, id);
        atomic_store(&t->applied, t->w.lsn);
    }
}

static void link_main(void *arg)
{
    struct threads *t = arg;

    for (unsigned round = 0; !atomic_load(&t->stop); round++) {
        if (vindex_link(t->w.vindex, 8) == 0)
            sched_yield();
        if (round % 8 == 0)
            world_repair(&t->w);
        (void)epoch_collect(t->w.epoch);
    }
}

static void read_main(void *arg)
{
    struct threads *t = arg;
    const float query[WORLD_DIM] = {1, 2, 3, 4, 5};
    struct vsearch s = {.query = query, .k = 10, .ef = 40};
    struct vindex_scratch *scratch;
    struct vsearch_stats stats;
    struct vhit hits[10];
    uint32_t count;

    if (vindex_scratch_create(&scratch, NULL) != ST_OK)
        abort();
    while (!atomic_load(&t->stop)) {
        struct epoch_guard guard = epoch_enter(t->w.epoch);

        if (vindex_search(t->w.vindex, scratch, &s, hits, &count, &stats, NULL) != ST_OK)
            abort();
        epoch_leave(t->w.epoch, guard);
        sched_yield();
    }
    vindex_scratch_destroy(scratch);
}

static void yield_step(void *arg)
{
    (void)arg;
    sched_yield();
}

/* Between two batches of the writer, whichever: the applier has to get a record through, or the
 * test waits for ever and is killed. So nothing that a write needs is held meanwhile. */
static void wait_for_a_record(void *arg)
{
    struct threads *t = arg;
    uint64_t before = atomic_load(&t->applied);

    atomic_fetch_add(&t->allowed, 1);
    while (atomic_load(&t->applied) == before)
        sched_yield();
    t->steps++;
}

static void writes_get_through_between_all_steps_of_a_checkpoint(void **state)
{
    struct threads *t = calloc(1, sizeof *t);
    const struct ckpt_tuning tuning = {
        .block_slots = 16, .batch_rows = 2, .step = wait_for_a_record, .arg = t};
    struct checkpoint_info info = {0};
    struct thread applier = {0};
    struct err err = {0};
    uint64_t start;
    status st;

    (void)state;
    assert_non_null(t);
    world_open(&t->w, seed);
    world_ops(&t->w, 200);
    start = t->w.lsn;
    atomic_store(&t->applied, start);
    atomic_store(&t->allowed, (unsigned)t->w.log_count);
    assert_int_equal(thread_start(&applier, "test", THREAD_NORMAL, apply_main, t, NULL), ST_OK);
    st = ckpt_write(&t->w.state, start, 1, NULL, &tuning, &info, &err);
    atomic_store(&t->stop, true);
    thread_join(&applier);
    if (st != ST_OK)
        fail_msg("%s seed=%llu", err.text, (unsigned long long)seed);
    assert_true(t->steps > 10); /* blocks, liveness and graph have several each */
    assert_true(t->w.lsn >= start + t->steps);
    assert_int_equal(world_restart(&t->w), start);
    world_check(&t->w);
    world_close(&t->w);
    free(t);
}

/* Blocks and the graph by several threads in whatever order: what comes out is what one makes. */
static void several_threads_load_what_one_does(void **state)
{
    static const unsigned threads[] = {1, 2, 4, 8};
    struct checkpoint_info info = {0};
    struct err err = {0};
    uint32_t first = 0;
    struct world w;

    (void)state;
    world_open(&w, seed + 7);
    w.ops_per_step = 1;
    world_ops(&w, 1500);
    assert_int_equal(world_checkpoint(&w, &info, &err), ST_OK);
    assert_true(info.blocks_written + info.blocks_kept >= 4);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        uint32_t linked;

        world_drop(&w);
        world_make(&w);
        if (ckpt_load(&w.state, false, threads[i], &info, &err) != ST_OK)
            fail_msg("%s seed=%llu", err.text, (unsigned long long)seed);
        linked = vindex_linked(w.vindex);
        assert_true(linked > 0);
        assert_int_equal(slots_check(w.slots, &err), ST_OK);
        world_replay(&w, info.start_lsn);
        world_check(&w);
        if (i == 0)
            first = linked;
        assert_int_equal(linked, first);
    }
    world_close(&w);
}

static void one_round(struct threads *t)
{
    const struct ckpt_tuning tuning = {.block_slots = 16, .batch_rows = 2, .step = yield_step};
    thread_fn *const mains[] = {apply_main, link_main, read_main};
    struct thread threads[COUNT_OF(mains)] = {0};
    struct checkpoint_info info = {0};
    struct err err = {0};
    uint64_t start = 0;
    status st = ST_OK;

    atomic_store(&t->stop, false);
    for (size_t i = 0; i < COUNT_OF(mains); i++)
        assert_int_equal(thread_start(&threads[i], "test", THREAD_NORMAL, mains[i], t, NULL),
                         ST_OK);
    for (unsigned i = 0; st == ST_OK && i < CHECKPOINTS; i++) {
        atomic_fetch_add(&t->allowed, OPS_A_CHECKPOINT);
        start = atomic_load(&t->applied);
        st = ckpt_write(&t->w.state, start, 1, NULL, &tuning, &info, &err);
    }
    atomic_store(&t->stop, true);
    for (size_t i = 0; i < COUNT_OF(mains); i++)
        thread_join(&threads[i]);
    if (st != ST_OK)
        fail_msg("%s seed=%llu", err.text, (unsigned long long)seed);
    assert_int_equal(world_restart(&t->w), start);
    world_check(&t->w);
}

static void checkpoints_beside_writers_and_readers_are_exact(void **state)
{
    struct threads *t = calloc(1, sizeof *t);

    (void)state;
    assert_non_null(t);
    world_open(&t->w, seed);
    for (unsigned round = 0; round < 4; round++)
        one_round(t);
    assert_true(t->w.lsn > 100);
    world_close(&t->w);
    free(t);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checkpoints_beside_writers_and_readers_are_exact),
        cmocka_unit_test(writes_get_through_between_all_steps_of_a_checkpoint),
        cmocka_unit_test(several_threads_load_what_one_does),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
