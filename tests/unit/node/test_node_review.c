/* Promises between two moments: an answer that leans on a write under way, a folder whose name was
 * never synced, two nodes that share a log. */
#include "tests/unit/node/nworld.h"

#include <errno.h>
#include <stdio.h>

enum { DIM = 4, THRESHOLD = 64 };

/* --- a gate in front of every fdatasync --- */

static struct gate {
    status (*sync)(struct fs *fs, struct fs_file *file, struct err *err);
    struct lock lock; /* LOCK_RANK_LEAF */
    struct cond cond;
    bool shut;
    unsigned waiting;
} gate;

static status gated_sync(struct fs *fs, struct fs_file *file, struct err *err)
{
    lock_take(&gate.lock);
    gate.waiting++;
    cond_broadcast(&gate.cond);
    while (gate.shut)
        cond_wait(&gate.cond, &gate.lock);
    gate.waiting--;
    lock_drop(&gate.lock);
    return gate.sync(fs, file, err);
}

static void gate_shut(struct nworld *w)
{
    lock_init(&gate.lock, LOCK_RANK_LEAF, "gate");
    cond_init(&gate.cond);
    gate.shut = true;
    gate.waiting = 0;
    gate.sync = nworld_fs(w)->sync;
    nworld_fs(w)->sync = gated_sync;
}

static void gate_wait(void)
{
    lock_take(&gate.lock);
    while (gate.waiting == 0)
        cond_wait(&gate.cond, &gate.lock);
    lock_drop(&gate.lock);
}

static void gate_open(void)
{
    lock_take(&gate.lock);
    gate.shut = false;
    cond_broadcast(&gate.cond);
    lock_drop(&gate.lock);
}

static void gate_remove(struct nworld *w)
{
    nworld_fs(w)->sync = gate.sync;
    cond_fini(&gate.cond);
    lock_fini(&gate.lock);
}

/* --- deletes --- */

/* The first delete waits for its fdatasync; the second finds the document gone already, by what is
 * sequenced. Then the fdatasync fails: the document is there, and nobody may have been told that
 * it is not. */
static void a_second_delete_is_not_answered_before_the_first_is_durable(void **state)
{
    const struct docid ids[] = {docid_u64(1), docid_u64(1), docid_u64(2)};
    struct fs_sim_fault fault = {.op = FS_SIM_SYNC, .nth = 1, .errnum = EIO, .path_part = ".wal"};
    struct call first, second;
    struct collection *c;
    struct nworld w;

    (void)state;
    nworld_init(&w, true, 41);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "c", DIM, VMETRIC_L2, THRESHOLD, NULL), ST_OK);
    c = npin(&w, "c");
    assert_int_equal(nput(c, 1, 1, NULL), ST_OK);

    call_init(&first);
    call_init(&second);
    gate_shut(&w);
    node_delete(c, &ids[0], 1, call_write_done, &first);
    gate_wait();
    node_delete(c, ids, COUNT_OF(ids), call_write_done, &second);
    fs_sim_fail(w.sim, &fault);
    gate_open();
    call_wait(&first);
    call_wait(&second);
    gate_remove(&w);
    assert_int_equal(first.st, ST_IO);
    assert_int_equal(nversion(c, 1), 1);
    assert_int_not_equal(second.st, ST_OK);

    /* The same with a disk that works: both are answered, it is counted once. The log takes writes
     * again once it has fallen back. */
    while (nput(c, 3, 1, NULL) != ST_OK)
        ;
    call_init(&first);
    call_init(&second);
    gate_shut(&w);
    node_delete(c, &ids[0], 1, call_write_done, &first);
    gate_wait();
    node_delete(c, ids, COUNT_OF(ids), call_write_done, &second);
    gate_open();
    call_wait(&first);
    call_wait(&second);
    gate_remove(&w);
    assert_int_equal(first.st, ST_OK);
    assert_int_equal(first.result.count, 1);
    assert_int_equal(second.st, ST_OK);
    assert_int_equal(second.result.count, 0);
    node_collection_unpin(c);
    nworld_power_cut(&w);
    nworld_open(&w);
    c = npin(&w, "c");
    assert_int_equal(nversion(c, 1), 0);
    assert_int_equal(ncount(c), 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* An insert may or may not be there after a restart. Until then the log takes nothing: a delete of
 * it is not told that there was nothing to delete. */
static void a_delete_of_an_unknown_insert_is_not_acknowledged(void **state)
{
    const struct fs_sim_fault fault = {
        .op = FS_SIM_EFFECT, .nth = 2, .errnum = EIO, .for_ever = true};
    struct collection *c;
    struct nworld w;
    struct err err = {0};

    (void)state;
    nworld_init(&w, true, 48);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "c", DIM, VMETRIC_L2, THRESHOLD, NULL), ST_OK);
    c = npin(&w, "c");
    fs_sim_fail(w.sim, &fault); /* after the write, at its fdatasync */
    assert_int_equal(nput(c, 1, 1, NULL), ST_UNKNOWN);
    assert_int_equal(nversion(c, 1), 0);
    assert_int_not_equal(ndel(c, 1, &err), ST_OK);
    assert_true(err.text[0] != '\0');
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* --- a checkpoint, the trim behind it and writes beside both --- */

enum { OLD = 40, NEW = 12, FIRST_NEW = 100 };

static void all_is_there(struct nworld *w, const status st[NEW], uint64_t n)
{
    struct collection *c = npin(w, "c");

    nstate(c, "serving", "");
    for (uint64_t id = 1; id <= OLD; id++) {
        uint32_t want = id <= 5 ? 0 : id <= 20 ? 2 : 1;

        if (nversion(c, id) != want)
            fail_msg("document %llu n=%llu", (unsigned long long)id, (unsigned long long)n);
    }
    for (uint64_t i = 0; i < NEW; i++) {
        uint32_t got = nversion(c, FIRST_NEW + i);

        if (st[i] == ST_OK ? got != 1 : st[i] != ST_UNKNOWN && got != 0)
            fail_msg("document %llu n=%llu: version %u after %s",
                     (unsigned long long)(FIRST_NEW + i), (unsigned long long)n, got,
                     status_name(st[i]));
    }
    node_collection_unpin(c);
}

/* Returns false when checkpoint, trim and writes needed no more than n effects. */
static bool power_goes_after(uint64_t n)
{
    status st[NEW];
    struct call checkpoint;
    struct collection *c;
    struct nworld w;
    bool stopped;

    nworld_init(&w, true, 1000 + n);
    w.options.wal_file_bytes = 8 * 1024; /* so that each checkpoint trims */
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "c", 32, VMETRIC_L2, THRESHOLD, NULL), ST_OK);
    c = npin(&w, "c");
    for (uint64_t id = 1; id <= OLD; id++)
        assert_int_equal(nput(c, id, 1, NULL), ST_OK);
    assert_int_equal(ncheckpoint(c, NULL), ST_OK);
    for (uint64_t id = 1; id <= 20; id++)
        assert_int_equal(id <= 5 ? ndel(c, id, NULL) : nput(c, id, 2, NULL), ST_OK);

    fs_sim_stop_after(w.sim, n);
    call_init(&checkpoint);
    node_checkpoint(c, call_admin_done, &checkpoint);
    for (uint64_t i = 0; i < NEW; i++)
        st[i] = nput(c, FIRST_NEW + i, 1, NULL);
    call_wait(&checkpoint);
    stopped = fs_sim_stopped(w.sim);
    node_collection_unpin(c);
    nworld_power_cut(&w);

    nworld_open(&w);
    all_is_there(&w, st, n);
    c = npin(&w, "c");
    for (uint64_t i = 0; i < NEW; i++) /* what was unknown is known from here on */
        st[i] = nversion(c, FIRST_NEW + i) == 1 ? ST_OK : ST_IO;
    assert_int_equal(ncheckpoint(c, NULL), ST_OK);
    node_collection_unpin(c);
    nworld_power_cut(&w);
    nworld_open(&w);
    all_is_there(&w, st, n);
    nworld_fini(&w);
    return stopped;
}

static void a_power_cut_at_any_effect_of_checkpoint_and_trim_loses_nothing(void **state)
{
    uint64_t n = 0;

    (void)state;
    while (power_goes_after(n))
        n++;
    assert_true(n > 20);
}

/* --- sync = "none" --- */

/* Rows of a checkpoint may be newer than its start lsn, and an older row of the same document may
 * be left out of it for them: without their records such a document would be gone, or back, however
 * long ago it was written. So what a checkpoint has seen is in the log on disk before it counts. */
static void without_fdatasync_a_checkpoint_still_has_its_log_on_disk(void **state)
{
    char dir[FS_PATH_BYTES];
    struct wal_engine *engine;
    struct wal_options o = {.dir = dir, .read_only = true};
    struct wal_report report;
    struct wal *wal;
    struct collection_info info;
    struct collection *c;
    struct nworld w;

    (void)state;
    nworld_init(&w, true, 46);
    w.options.wal_sync_none = true;
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "c", DIM, VMETRIC_L2, THRESHOLD, NULL), ST_OK);
    c = npin(&w, "c");
    for (uint64_t id = 1; id <= 20; id++)
        assert_int_equal(nput(c, id, 1, NULL), ST_OK);
    assert_int_equal(ncheckpoint(c, NULL), ST_OK);
    assert_int_equal(nput(c, 21, 1, NULL), ST_OK);
    node_collection_info(c, &info);
    assert_int_equal(info.snapshot_lsn, 20);
    memcpy(o.log_id, c->id, sizeof o.log_id);
    assert_int_equal(fs_join(dir, w.node->wal_dir, c->id_text, NULL), ST_OK);
    node_collection_unpin(c);
    fs_sim_stop_after(w.sim, 0);
    nworld_close(&w);
    fs_sim_power_cut(w.sim, NULL);

    assert_int_equal(wal_engine_open(&(struct wal_engine_options){.fs = nworld_fs(&w),
                                                                  .clock = clock_real(),
                                                                  .rand = rand_kernel()},
                                     &engine, NULL),
                     ST_OK);
    o.engine = engine;
    assert_int_equal(wal_open(&o, &wal, &report, NULL), ST_OK);
    assert_false(report.corrupt);
    assert_int_equal(report.last_lsn, 20);
    wal_close(wal);
    wal_engine_close(engine);

    nworld_open(&w);
    c = npin(&w, "c");
    assert_int_equal(ncount(c), 20);
    nstate(c, "serving", "");
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* --- memory --- */

/* A collection that no longer fits is not served; what it took on the way is given back, and the
 * others take writes. With the old limit it is all there. */
static void a_collection_too_large_to_load_leaves_the_memory_to_the_others(void **state)
{
    enum { LARGE_DIM = 512, LARGE_DOCS = 600 };
    uint64_t limit = UINT64_C(4) << 30;
    struct node_status now;
    struct collection *c;
    struct nworld w;

    (void)state;
    nworld_init(&w, true, 47);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "large", LARGE_DIM, VMETRIC_L2, 10000, NULL), ST_OK);
    assert_int_equal(ncreate(&w, "small", DIM, VMETRIC_L2, 10000, NULL), ST_OK);
    c = npin(&w, "large");
    for (uint64_t id = 1; id <= LARGE_DOCS; id++)
        assert_int_equal(nput(c, id, 1, NULL), ST_OK);
    node_collection_unpin(c);
    node_status(w.node, &now);
    nworld_close(&w);

    for (unsigned round = 0; round < 2; round++) {
        w.options.memory_bytes_max = now.memory_bytes / 2;
        nworld_open(&w);
        c = npin(&w, "large");
        nstate(c, "failed", "");
        node_collection_unpin(c);
        c = npin(&w, "small");
        for (uint64_t id = 1; id <= 200; id++)
            assert_int_equal(nput(c, id, round + 1, NULL), ST_OK);
        node_collection_unpin(c);
        nworld_close(&w);
        w.options.memory_bytes_max = limit;
        nworld_open(&w);
        c = npin(&w, "large");
        assert_int_equal(ncount(c), LARGE_DOCS);
        node_collection_unpin(c);
        nworld_close(&w);
    }
    nworld_fini(&w);
}

/* --- folders --- */

/* A first start dies after n effects; the second takes what it finds. Returns false when the first
 * needed no more effects. */
static bool first_start_dies(uint64_t n)
{
    struct collection *c;
    struct nworld w;
    bool stopped;

    nworld_init(&w, true, 42);
    w.options.wal_path = "/log/of/node";
    w.options.snapshot_dir = "/images/of/node";
    fs_sim_stop_after(w.sim, n);
    if (nworld_try_open(&w, NULL) == ST_OK)
        nworld_close(&w);
    stopped = fs_sim_stopped(w.sim);
    fs_sim_process_crash(w.sim);

    nworld_open(&w);
    assert_int_equal(ncreate(&w, "c", DIM, VMETRIC_L2, THRESHOLD, NULL), ST_OK);
    c = npin(&w, "c");
    assert_int_equal(nput(c, 1, 1, NULL), ST_OK);
    node_collection_unpin(c);
    fs_sim_stop_after(w.sim, 0);
    nworld_close(&w);
    fs_sim_power_cut(w.sim, NULL);

    nworld_open(&w);
    c = node_collection_pin(w.node, "c", 1);
    if (c == NULL)
        fail_msg("an acknowledged collection is gone n=%llu", (unsigned long long)n);
    assert_int_equal(nversion(c, 1), 1);
    node_collection_unpin(c);
    nworld_fini(&w);
    return stopped;
}

static void a_first_start_that_dies_anywhere_costs_the_second_nothing(void **state)
{
    uint64_t n = 0;

    (void)state;
    while (first_start_dies(n))
        n++;
    assert_true(n > 8);
}

/* Two copies of a configuration, or of a data directory, that name one log between them. */
static void share(size_t option)
{
    struct nworld a, b;
    struct err err = {0};
    char shared[FS_PATH_BYTES];

    nworld_init(&a, false, 43);
    nworld_init(&b, false, 44);
    assert_int_equal(fs_join(shared, a.dir, "shared", NULL), ST_OK);
    *(option == 0 ? &a.options.wal_path : &a.options.snapshot_dir) = shared;
    *(option == 0 ? &b.options.wal_path : &b.options.snapshot_dir) = shared;
    nworld_open(&a);
    assert_int_equal(nworld_try_open(&b, &err), ST_CONFLICT);
    assert_non_null(strstr(err.text, shared));
    nworld_close(&a);
    nworld_open(&b);
    nworld_fini(&b);
    nworld_fini(&a);
}

static void two_nodes_never_share_a_log_or_a_checkpoint(void **state)
{
    (void)state;
    share(0);
    share(1);
}

static void one_folder_for_everything_is_no_conflict_with_oneself(void **state)
{
    struct nworld w;

    (void)state;
    nworld_init(&w, false, 45);
    w.options.wal_path = w.dir;
    w.options.snapshot_dir = w.dir;
    nworld_open(&w);
    nworld_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_delete_is_not_answered_before_the_first_is_durable),
        cmocka_unit_test(a_delete_of_an_unknown_insert_is_not_acknowledged),
        cmocka_unit_test(a_power_cut_at_any_effect_of_checkpoint_and_trim_loses_nothing),
        cmocka_unit_test(without_fdatasync_a_checkpoint_still_has_its_log_on_disk),
        cmocka_unit_test(a_collection_too_large_to_load_leaves_the_memory_to_the_others),
        cmocka_unit_test(a_first_start_that_dies_anywhere_costs_the_second_nothing),
        cmocka_unit_test(two_nodes_never_share_a_log_or_a_checkpoint),
        cmocka_unit_test(one_folder_for_everything_is_no_conflict_with_oneself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
