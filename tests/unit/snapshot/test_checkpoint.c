/* A checkpoint written while the collection goes on, and the log behind it, give the exact state.
 */
#include "tests/unit/snapshot/ckpt_world.h"

#include "base/mem.h"
#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 20240700;
enum { HISTORIES = 16 };

static void fail_on(status st, const struct err *err, const struct world *w)
{
    if (st != ST_OK)
        fail_msg("%s seed=%llu", err->text, (unsigned long long)w->seed);
}

/* Many histories, several checkpoints each, with writes between all steps of the writer, restarts
 * in between (so that kept blocks outlive the process), and sometimes no restart. */
static void load_and_replay_equal_the_model_over_random_histories(void **state)
{
    unsigned kept = 0;

    (void)state;
    for (unsigned i = 0; i < HISTORIES; i++) {
        struct world w;

        world_open(&w, seed + i);
        for (unsigned round = 0; round < 6; round++) {
            struct checkpoint_info info;
            struct err err = {0};
            uint64_t start = 0;

            w.ops_per_step = (unsigned)rand_below(&w.rand.source, 4);
            world_ops(&w, (unsigned)rand_below(&w.rand.source, 60));
            start = w.lsn;
            fail_on(world_checkpoint(&w, &info, &err), &err, &w);
            assert_int_equal(info.start_lsn, start);
            assert_int_equal(info.generation, round + 1);
            kept += info.blocks_kept;
            world_ops(&w, (unsigned)rand_below(&w.rand.source, 20));
            if (rand_below(&w.rand.source, 3) > 0) {
                assert_int_equal(world_restart(&w), start);
                world_check(&w);
                while (vindex_link(w.vindex, 16) > 0)
                    ;
                world_check(&w);
            }
        }
        world_close(&w);
    }
    assert_true(kept > HISTORIES / 4); /* else it did not test them */
}

/* What was loaded, without a log, is what was there: nothing changed while it was written. */
static void a_quiet_collection_comes_back_whole(void **state)
{
    struct checkpoint_info written;
    struct checkpoint_info loaded;
    struct err err = {0};
    struct world w;
    uint32_t linked;

    (void)state;
    world_open(&w, seed);
    world_ops(&w, 300);
    while (vindex_link(w.vindex, 16) > 0)
        ;
    w.ops_per_step = 0;
    linked = vindex_linked(w.vindex);
    fail_on(world_checkpoint(&w, &written, &err), &err, &w);
    world_drop(&w);
    world_make(&w);
    fail_on(checkpoint_load(&w.state, false, &loaded, &err), &err, &w);
    world_check(&w);
    assert_int_equal(vindex_linked(w.vindex), linked);
    assert_int_equal(vindex_pending(w.vindex), 0);
    assert_int_equal(loaded.start_lsn, w.lsn);
    assert_int_equal(loaded.lsn_max, w.lsn);
    assert_int_equal(loaded.created_at_ns, w.lsn * 5);
    assert_int_equal(loaded.rows, slots_live_count(w.slots));
    assert_int_equal(written.rows, loaded.rows);
    assert_int_equal(written.bytes_total, loaded.bytes_total);
    assert_int_equal(written.bytes_written, written.bytes_total);
    world_close(&w);
}

static void an_empty_collection_and_none_at_all(void **state)
{
    struct checkpoint_info info;
    struct err err = {0};
    struct world w;

    (void)state;
    world_open(&w, seed);
    assert_int_equal(checkpoint_load(&w.state, false, &info, &err), ST_NOT_FOUND);
    assert_int_equal(checkpoint_verify(w.state.fs, WORLD_DIR, w.state.collection_id, &info, &err),
                     ST_NOT_FOUND);
    w.ops_per_step = 0;
    fail_on(world_checkpoint(&w, &info, &err), &err, &w);
    world_drop(&w);
    world_make(&w);
    fail_on(checkpoint_load(&w.state, false, &info, &err), &err, &w);
    assert_int_equal(info.rows, 0);
    world_check(&w);
    world_close(&w);
}

/* Blocks of 16 slots: what is rewritten is what has a new row, and nothing else. */
static void only_blocks_with_new_rows_are_written_again(void **state)
{
    struct checkpoint_info info;
    struct err err = {0};
    struct world w;

    (void)state;
    world_open(&w, seed);
    w.ops_per_step = 0;
    for (uint32_t id = 0; id < WORLD_IDS; id++)
        world_upsert(&w, id);
    fail_on(world_checkpoint(&w, &info, &err), &err, &w);
    assert_int_equal(info.blocks_written, 3); /* 40 slots */
    fail_on(world_checkpoint(&w, &info, &err), &err, &w);
    assert_int_equal(info.blocks_written, 0);
    assert_int_equal(info.blocks_kept, 3);
    assert_true(info.bytes_written < info.bytes_total);

    world_delete(&w, 3); /* slots 3, 20, 39 */
    world_delete(&w, 20);
    fail_on(world_checkpoint(&w, &info, &err), &err, &w);
    assert_int_equal(info.blocks_written, 0);
    assert_int_equal(world_restart(&w), w.lsn);
    world_check(&w);
    fail_on(world_checkpoint(&w, &info, &err), &err, &w);
    assert_int_equal(info.blocks_written, 0);

    world_repair(&w); /* slots 3 and 20 become free, one is used again */
    while (epoch_collect(w.epoch) > 0)
        ;
    world_upsert(&w, 3);
    assert_int_equal(slots_end(w.slots), WORLD_IDS);
    fail_on(world_checkpoint(&w, &info, &err), &err, &w);
    assert_int_equal(info.blocks_written, 1);
    assert_int_equal(info.blocks_kept, 2);
    assert_int_equal(world_restart(&w), w.lsn);
    world_check(&w);
    world_close(&w);
}

struct late_upsert {
    struct world *w;
    unsigned left; /* steps until it happens */
};

static void upsert_late(void *arg)
{
    struct late_upsert *l = arg;

    if (l->left-- == 0)
        world_upsert(l->w, 39);
}

/* A kept file still holds the row that its slot had before. If it were believed, the row that was
 * deleted would come back. */
static void a_slot_used_again_while_its_block_is_kept_brings_nothing_back(void **state)
{
    (void)state;
    for (unsigned when = 0; when < 20; when++) {
        struct world w;
        struct late_upsert late = {.w = &w, .left = when};
        const struct ckpt_tuning tuning = {
            .block_slots = 16, .batch_rows = 3, .step = upsert_late, .arg = &late};
        struct checkpoint_info info;
        struct err err = {0};

        world_open(&w, seed);
        w.ops_per_step = 0;
        for (uint32_t id = 0; id < 32; id++)
            world_upsert(&w, id);
        fail_on(world_checkpoint(&w, &info, &err), &err, &w);
        world_delete(&w, 5);
        world_repair(&w);
        while (epoch_collect(w.epoch) > 0)
            ;
        fail_on(ckpt_write(&w.state, w.lsn, 1, NULL, &tuning, &info, &err), &err, &w);
        assert_int_equal(info.blocks_kept, 2);
        assert_int_equal(slots_end(w.slots), 32);
        (void)world_restart(&w);
        world_check(&w);
        world_close(&w);
    }
}

static void a_file_that_changed_its_size_is_not_kept(void **state)
{
    struct checkpoint_info info;
    struct err err = {0};
    struct world w;
    struct buf b;

    (void)state;
    world_open(&w, seed);
    w.ops_per_step = 0;
    world_ops(&w, 100);
    fail_on(world_checkpoint(&w, &info, &err), &err, &w);
    b = world_file_read(&w, "rows-0-1");
    world_file_write(&w, "rows-0-1", slice_make(b.data, b.bytes - 1));
    buf_free(&b);
    fail_on(world_checkpoint(&w, &info, &err), &err, &w);
    assert_int_equal(info.blocks_written, 1);
    assert_int_equal(world_restart(&w), w.lsn);
    world_check(&w);
    world_close(&w);
}

struct stopper {
    struct world *w;
    unsigned left;
    _Atomic bool stop;
};

static void count_down(void *arg)
{
    struct stopper *s = arg;

    if (s->left-- == 0)
        atomic_store(&s->stop, true);
}

/* Stopped at each step: nothing is left behind, the one before is still there. */
static void a_stopped_checkpoint_changes_nothing(void **state)
{
    (void)state;
    for (unsigned n = 0;; n++) {
        struct stopper s = {.left = n};
        const struct ckpt_tuning tuning = {
            .block_slots = 16, .batch_rows = 3, .step = count_down, .arg = &s};
        struct checkpoint_info info;
        struct err err = {0};
        struct world w;
        uint64_t first;
        unsigned files;
        status st;

        world_open(&w, seed);
        w.ops_per_step = 0;
        world_ops(&w, 100);
        fail_on(world_checkpoint(&w, &info, &err), &err, &w);
        first = w.lsn;
        files = world_files(&w);
        world_ops(&w, 40);
        st = ckpt_write(&w.state, w.lsn, 1, &s.stop, &tuning, &info, &err);
        if (st == ST_OK) {
            world_close(&w);
            assert_true(n > 5);
            return;
        }
        assert_int_equal(st, ST_CLOSED);
        assert_int_equal(world_files(&w), files);
        assert_int_equal(world_restart(&w), first);
        world_check(&w);
        world_close(&w);
    }
}

/* Slots that die while it is written are not used again before it is done. */
static void reuse_is_paused_and_resumed_whatever_happens(void **state)
{
    struct checkpoint_info info;
    struct err err = {0};
    struct world w;
    uint32_t end;

    (void)state;
    world_open(&w, seed);
    w.ops_per_step = 0;
    for (uint32_t id = 0; id < 20; id++)
        world_upsert(&w, id);
    fs_sim_fail_nth(w.sim, FS_SIM_SYNC, 2, 5); /* EIO */
    assert_int_equal(world_checkpoint(&w, &info, &err), ST_IO);
    fail_on(world_checkpoint(&w, &info, &err), &err, &w);
    world_delete(&w, 1);
    world_repair(&w);
    while (epoch_collect(w.epoch) > 0)
        ;
    end = slots_end(w.slots);
    world_upsert(&w, 25);
    assert_int_equal(slots_end(w.slots), end);
    world_close(&w);
}

/* A load removes what the manifest does not name, unless it may only read; names that are not ours
 * stay. */
static void leftovers_are_removed_and_strangers_stay(void **state)
{
    const char *left[] = {"rows-0-9", "live-9", "graph-0-9", "rows-77-1", "manifest.tmp"};
    const char *strangers[] = {"rows-0-09", "notes.txt", "live-", "rows-1-2x"};
    struct checkpoint_info info;
    struct err err = {0};
    struct world w;
    unsigned files;

    (void)state;
    world_open(&w, seed);
    w.ops_per_step = 0;
    world_ops(&w, 50);
    fail_on(world_checkpoint(&w, &info, &err), &err, &w);
    files = world_files(&w);
    for (unsigned i = 0; i < COUNT_OF(left); i++)
        world_file_write(&w, left[i], slice_text("left"));
    for (unsigned i = 0; i < COUNT_OF(strangers); i++)
        world_file_write(&w, strangers[i], slice_text("not ours"));
    world_drop(&w);
    world_make(&w);
    fail_on(checkpoint_load(&w.state, true, &info, &err), &err, &w);
    assert_int_equal(world_files(&w), files + COUNT_OF(left) + COUNT_OF(strangers));
    world_drop(&w);
    world_make(&w);
    fail_on(checkpoint_load(&w.state, false, &info, &err), &err, &w);
    assert_int_equal(world_files(&w), files + COUNT_OF(strangers));
    world_check(&w);
    world_close(&w);
}

/* The graph file as programs wrote it that did not say with what a graph was made. */
static void say_nothing_of_the_making(const struct world *w)
{
    struct ckpt_writer again = {.state = &w->state};
    struct ckpt_manifest m = {0};
    struct ckpt_in in = {0};
    struct ckpt_out out;
    struct container_stream stream = {0};
    struct ckpt_file *file = NULL;
    struct slice bytes;
    struct buf old;
    uint64_t written;

    assert_int_equal(ckpt_manifest_read(w->state.fs, WORLD_DIR, w->state.collection_id, &m, NULL),
                     ST_OK);
    for (size_t i = 0; i < m.file_count; i++)
        file = m.files[i].kind == CKPT_GRAPH ? &m.files[i] : file;
    assert_non_null(file);
    assert_int_equal(ckpt_in_open(w->state.fs, WORLD_DIR, w->state.collection_id, file, &in, NULL),
                     ST_OK);
    assert_int_equal(container_stream_open(in.container, CKPT_SECTION_GRAPH, &stream, NULL), ST_OK);
    assert_int_equal(container_stream_take(&stream, container_stream_left(&stream), &bytes, NULL),
                     ST_OK);
    buf_init(&old, bytes.bytes);
    buf_put_slice(&old, bytes);
    assert_false(old.failed);
    assert_int_not_equal(old.data[9], 0);
    memset(old.data + 9, 0, 7);
    container_stream_close(&stream);
    ckpt_in_close(&in);

    again.now.generation = m.generation;
    again.now.start_lsn = file->start_lsn;
    assert_int_equal(
        ckpt_out_open(&again, CKPT_GRAPH, 0, CONTAINER_IMAGE, CKPT_SECTION_GRAPH, &out, NULL),
        ST_OK);
    out.file.items = file->items;
    assert_int_equal(container_write(out.container, buf_slice(&old), NULL), ST_OK);
    assert_int_equal(ckpt_out_finish(&again, &out, NULL), ST_OK);
    ckpt_out_close(&out);
    *file = again.now.files[0];
    assert_int_equal(ckpt_manifest_write(w->state.fs, WORLD_DIR, &m, &written, NULL), ST_OK);
    ckpt_manifest_free(&again.now);
    ckpt_manifest_free(&m);
    buf_free(&old);
}

/* Fewer links were asked for, and the process died before a graph with fewer served. */
static void an_old_graph_with_more_links_than_its_field_is_for_now_is_taken_over(void **state)
{
    const struct vgraph wide = {.m = 16, .ef_construction = 20};
    enum vrebuild now = VREBUILD_NONE;
    struct checkpoint_info info;
    struct err err = {0};
    struct world w;
    uint32_t linked;

    (void)state;
    world_open(&w, seed);
    for (uint32_t id = 0; id < WORLD_IDS; id++)
        world_upsert(&w, id);
    while (now != VREBUILD_DONE)
        fail_on(vindex_rebuild_step(w.vindex, &wide, 0, &now, &err), &err, &w);
    while (vindex_link(w.vindex, 16) > 0)
        ;
    linked = vindex_linked(w.vindex);
    assert_int_equal(linked, WORLD_IDS);
    w.ops_per_step = 0;
    fail_on(world_checkpoint(&w, &info, &err), &err, &w);
    say_nothing_of_the_making(&w);
    world_drop(&w);
    world_make(&w);
    fail_on(checkpoint_load(&w.state, false, &info, &err), &err, &w);
    world_check(&w);
    assert_int_equal(vindex_linked(w.vindex), linked);
    assert_int_equal(vindex_pending(w.vindex), 0);
    assert_in_range(vindex_graph(w.vindex).m, 5, wide.m);
    world_close(&w);
}

static void golden_rows_and_liveness(void **state)
{
    const char *names[] = {"rows-0-1", "live-1"};
    const char *golden[] = {"checkpoint-v1-rows.hex", "checkpoint-v1-live.hex"};
    struct checkpoint_info info;
    struct err err = {0};
    struct world w;

    (void)state;
    world_open(&w, 1);
    w.ops_per_step = 0;
    for (uint32_t id = 0; id < 5; id++)
        world_upsert(&w, id);
    world_upsert(&w, 1);
    world_delete(&w, 2);
    fail_on(world_checkpoint(&w, &info, &err), &err, &w);
    for (unsigned i = 0; i < COUNT_OF(names); i++) {
        struct buf b = world_file_read(&w, names[i]);

        golden_check(golden[i], buf_slice(&b));
        buf_free(&b);
    }
    for (unsigned i = 0; i < COUNT_OF(names); i++) {
        struct slice stored = golden_read(golden[i]);

        world_file_write(&w, names[i], stored);
        mem_free((void *)(uintptr_t)stored.data);
    }
    assert_int_equal(world_restart(&w), w.lsn);
    world_check(&w);
    world_close(&w);
}

/* Each allocation of writing and loading fails once: ST_NOMEM, and the one before stays good. */
static void each_allocation_may_fail(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        struct checkpoint_info info;
        struct err err = {0};
        struct world w;
        int64_t asked;
        uint64_t first;
        status st;

        world_open(&w, seed);
        w.ops_per_step = 0;
        world_ops(&w, 60);
        fail_on(world_checkpoint(&w, &info, &err), &err, &w);
        first = w.lsn;
        world_ops(&w, 20);
        mem_test_fail_after(n);
        st = world_checkpoint(&w, &info, &err);
        asked = mem_test_count();
        mem_test_fail_after(-1);
        if (st != ST_OK && st != ST_NOMEM)
            fail_msg("%s n=%lld", err.text, (long long)n);
        assert_int_equal(world_restart(&w), st == ST_OK ? info.start_lsn : first);
        world_check(&w);
        world_close(&w);
        if (asked <= n) {
            assert_int_equal(st, ST_OK);
            break;
        }
    }
}

static void each_allocation_of_a_load_may_fail(void **state)
{
    struct checkpoint_info info;
    struct err err = {0};
    struct world w;
    int64_t asked;
    status st;

    (void)state;
    world_open(&w, seed);
    w.ops_per_step = 0;
    world_ops(&w, 120);
    fail_on(world_checkpoint(&w, &info, &err), &err, &w);
    for (int64_t n = 0;; n++) {
        world_drop(&w);
        world_make(&w);
        mem_test_fail_after(n);
        st = checkpoint_load(&w.state, false, &info, &err);
        asked = mem_test_count();
        mem_test_fail_after(-1);
        if (asked <= n)
            break;
        if (st != ST_OK && st != ST_NOMEM) /* ST_OK: removing leftovers may fail in silence */
            fail_msg("%s n=%lld", err.text, (long long)n);
    }
    fail_on(st, &err, &w);
    world_check(&w);
    world_close(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quiet_collection_comes_back_whole),
        cmocka_unit_test(an_empty_collection_and_none_at_all),
        cmocka_unit_test(load_and_replay_equal_the_model_over_random_histories),
        cmocka_unit_test(only_blocks_with_new_rows_are_written_again),
        cmocka_unit_test(a_slot_used_again_while_its_block_is_kept_brings_nothing_back),
        cmocka_unit_test(a_file_that_changed_its_size_is_not_kept),
        cmocka_unit_test(a_stopped_checkpoint_changes_nothing),
        cmocka_unit_test(reuse_is_paused_and_resumed_whatever_happens),
        cmocka_unit_test(leftovers_are_removed_and_strangers_stay),
        cmocka_unit_test(an_old_graph_with_more_links_than_its_field_is_for_now_is_taken_over),
        cmocka_unit_test(golden_rows_and_liveness),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(each_allocation_of_a_load_may_fail),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
