/* Writes that meet a full disk, a full memory, a failing disk or the end of the node: what was
 * acknowledged is there after a restart, what was refused is not, and everything else goes on. */
#include "tests/unit/node/nworld.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { DIM = 16, IDS_MAX = 4096 };

enum fate { UNTOUCHED = 0, ACKED, REFUSED, UNKNOWN };

struct ledger {
    enum fate fate[IDS_MAX];
    uint64_t next;
};

/* A log that is being cut back says so, and takes the write a moment later. */
static status put_patiently(struct collection *c, uint64_t id, struct err *err)
{
    const struct timespec pause = {.tv_nsec = 100000};
    status st = nput(c, id, 3, err);

    for (int i = 0; st == ST_UNAVAILABLE && i < 10000; i++) {
        (void)nanosleep(&pause, NULL);
        st = nput(c, id, 3, err);
    }
    return st;
}

static status put_next(struct ledger *l, struct collection *c, struct err *err)
{
    uint64_t id = ++l->next;
    status st = put_patiently(c, id, err);

    assert_true(id < IDS_MAX);
    l->fate[id] = st == ST_OK ? ACKED : st == ST_UNKNOWN ? UNKNOWN : REFUSED;
    return st;
}

static void ledger_must_hold(struct nworld *w, struct ledger *l, const char *name)
{
    struct collection *c = npin(w, name);

    for (uint64_t id = 1; id <= l->next; id++) {
        uint32_t version = nversion(c, id);

        if ((l->fate[id] == ACKED && version != 3) || (l->fate[id] == REFUSED && version != 0))
            fail_msg("id %llu was %s and is %s, seed=%llu", (unsigned long long)id,
                     l->fate[id] == ACKED ? "acknowledged" : "refused",
                     version == 0 ? "absent" : "there", (unsigned long long)w->seed);
        l->fate[id] = version != 0 ? ACKED : REFUSED;
    }
    node_collection_unpin(c);
}

static status query_one(struct collection *c, uint64_t id, uint64_t *found)
{
    const struct query_options options = {.top_k = 1, .exact = true, .with_payload = true};
    struct query_result result;
    struct arena arena;
    float query[DIM];
    status st;

    arena_init(&arena, 1 << 20);
    nvector(id, 3, DIM, query);
    st = node_query(c, query, &options, &arena, &result, NULL);
    *found = st == ST_OK && result.count == 1 ? result.matches[0].id.u64 : 0;
    arena_free(&arena);
    return st;
}

static void reads_must_go_on(struct collection *c, uint64_t id)
{
    struct document *page;
    struct arena arena;
    uint64_t found;
    uint32_t count;
    bool more;

    assert_int_equal(nversion(c, id), 3);
    assert_int_equal(query_one(c, id, &found), ST_OK);
    assert_int_equal(found, id);
    arena_init(&arena, 1 << 20);
    assert_int_equal(node_list(c, NULL, 5, true, &arena, &page, &count, &more, NULL), ST_OK);
    assert_true(count > 0);
    arena_free(&arena);
}

/* --- a full disk --- */

static void a_full_disk_refuses_writes_until_there_is_room(void **state)
{
    struct ledger l = {0};
    struct nworld w;
    struct collection *c;
    struct err err = {0};

    (void)state;
    nworld_init(&w, true, 60);
    w.options.wal_file_bytes = 16 * 1024; /* a new file is needed soon */
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    for (int round = 0; round < 3; round++) {
        uint64_t refused = 0;

        assert_int_equal(put_next(&l, c, NULL), ST_OK);
        fs_sim_space_limit(w.sim, fs_sim_space_used(w.sim) + 5000);
        for (int i = 0; i < 300 && refused < 3; i++) {
            status st = put_next(&l, c, &err);

            assert_true(st == ST_OK || st == ST_NOSPACE);
            if (st == ST_OK)
                continue;
            refused++;
            assert_non_null(strstr(err.text, "not written"));
            reads_must_go_on(c, 1);
            assert_true(nhealth_has(&w, "disk is full"));
        }
        assert_int_equal(refused, 3);
        assert_int_equal(ncreate(&w, "more", DIM, VMETRIC_L2, 64, &err), ST_NOSPACE);
        nstate(c, "serving", "");
        fs_sim_space_limit(w.sim, 0);
        assert_false(nhealth_has(&w, "disk is full")); /* before anyone writes */
        assert_int_equal(put_next(&l, c, NULL), ST_OK);
        assert_false(nhealth_has(&w, ""));
    }
    node_collection_unpin(c);
    nworld_power_cut(&w);
    nworld_open(&w);
    ledger_must_hold(&w, &l, "docs");
    nworld_fini(&w);
}

static void a_node_starts_on_a_full_disk(void **state)
{
    struct ledger l = {0};
    struct nworld w;
    struct collection *c;
    struct err err = {0};

    (void)state;
    nworld_init(&w, true, 61);
    w.options.wal_file_bytes = 16 * 1024;
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    for (int i = 0; i < 50; i++)
        assert_int_equal(put_next(&l, c, NULL), ST_OK);
    node_collection_unpin(c);
    nworld_power_cut(&w);
    fs_sim_space_limit(w.sim, fs_sim_space_used(w.sim));
    nworld_open(&w);
    ledger_must_hold(&w, &l, "docs");
    c = npin(&w, "docs");
    nstate(c, "serving", "");
    reads_must_go_on(c, 1);
    for (int i = 0; i < 300 && put_next(&l, c, &err) == ST_OK; i++)
        ;
    assert_int_equal(err.code, ST_NOSPACE);
    assert_int_equal(ncheckpoint(c, &err), ST_NOSPACE);
    assert_true(nhealth_has(&w, "checkpoint failed"));
    fs_sim_space_limit(w.sim, 0);
    assert_int_equal(put_next(&l, c, NULL), ST_OK);
    assert_int_equal(ncheckpoint(c, NULL), ST_OK);
    assert_false(nhealth_has(&w, ""));
    node_collection_unpin(c);
    nworld_power_cut(&w);
    nworld_open(&w);
    ledger_must_hold(&w, &l, "docs");
    nworld_fini(&w);
}

/* --- a failing disk --- */

static void a_failed_fsync_refuses_and_the_log_goes_on(void **state)
{
    static const enum fs_sim_op ops[] = {FS_SIM_SYNC, FS_SIM_WRITE};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ops); i++) {
        struct ledger l = {0};
        struct nworld w;
        struct collection *c;
        const struct fs_sim_fault fault = {
            .op = ops[i], .nth = 1, .errnum = EIO, .path_part = "/wal/"};
        struct err err = {0};
        status st;

        nworld_init(&w, true, 62 + i);
        nworld_open(&w);
        assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
        c = npin(&w, "docs");
        for (int round = 0; round < 10; round++) {
            assert_int_equal(put_next(&l, c, NULL), ST_OK);
            fs_sim_fail(w.sim, &fault);
            st = put_next(&l, c, &err);
            if (st != ST_IO)
                fail_msg("op %zu round %d: %s %s", i, round, status_name(st), err.text);
            fs_sim_fail_clear(w.sim);
            assert_int_equal(nversion(c, l.next), 0);
            nstate(c, "serving", "");
        }
        node_collection_unpin(c);
        nworld_power_cut(&w);
        nworld_open(&w);
        ledger_must_hold(&w, &l, "docs");
        nworld_fini(&w);
    }
}

static void a_disk_that_stays_broken_leaves_the_outcome_unknown(void **state)
{
    (void)state;
    for (uint64_t seed = 70; seed < 80; seed++) {
        const struct fs_sim_fault fault = {
            .op = FS_SIM_EFFECT, .nth = 1 + seed % 3, .errnum = EIO, .for_ever = true};
        struct ledger l = {0};
        struct nworld w;
        struct collection *c;
        struct err err = {0};
        int unknown = 0;

        nworld_init(&w, true, seed);
        nworld_open(&w);
        assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
        c = npin(&w, "docs");
        for (int i = 0; i < 5; i++)
            assert_int_equal(put_next(&l, c, NULL), ST_OK);
        fs_sim_fail(w.sim, &fault);
        for (int i = 0; i < 5; i++) {
            status st = put_next(&l, c, &err);

            unknown += st == ST_UNKNOWN;
            assert_true(st == ST_OK || st == ST_UNKNOWN || st == ST_CLOSED);
        }
        assert_int_equal(unknown, 1);
        reads_must_go_on(c, 1);
        assert_true(nhealth_has(&w, "no writes until the disk is well and the node restarted"));
        nstate(c, "read_only", "no writes until the disk is well and the node restarted");
        node_collection_unpin(c);
        nworld_power_cut(&w);
        nworld_open(&w);
        ledger_must_hold(&w, &l, "docs");
        nworld_power_cut(&w);
        nworld_open(&w);
        ledger_must_hold(&w, &l, "docs"); /* and it does not change its mind */
        nworld_fini(&w);
    }
}

/* --- a full memory --- */

enum { BUDGET_BATCH = 50, BUDGET_BATCHES_MAX = 2000 };

/* A batch of documents with ids from `first`. */
static status put_batch(struct collection *c, uint64_t first, size_t count, struct err *err)
{
    struct write_row *rows = calloc(count, sizeof *rows);
    float *vectors = calloc(count * collection_dimension(c), sizeof *vectors);
    struct buf payload;
    status st;

    assert_true(rows != NULL && vectors != NULL);
    npayload(3, &payload);
    for (size_t i = 0; i < count; i++) {
        rows[i] = (struct write_row){.id = docid_u64(first + i),
                                     .payload = buf_slice(&payload),
                                     .vector = vectors + i * collection_dimension(c)};
        nvector(first + i, 3, collection_dimension(c), rows[i].vector);
    }
    st = nwrite(c, rows, count, NULL, err);
    buf_free(&payload);
    free(vectors);
    free(rows);
    return st;
}

static uint64_t fill_memory(struct nworld *w, struct collection *c, uint64_t next)
{
    struct node_status now;
    struct err err = {0};
    int i;

    for (i = 0; i < BUDGET_BATCHES_MAX && put_batch(c, next, BUDGET_BATCH, &err) == ST_OK; i++)
        next += BUDGET_BATCH;
    while (nput(c, next, 3, NULL) == ST_OK)
        next++;
    assert_int_equal(err.code, ST_NOSPACE);
    assert_non_null(strstr(err.text, "memory"));
    node_status(w->node, &now);
    assert_true(now.memory_bytes <= now.memory_bytes_max);
    return next;
}

/* A tick of the upkeep thread, which looks for what to repair. */
static void upkeep_tick_now(struct nworld *w, struct collection *c)
{
    clock_manual_advance(&w->clock, UINT64_C(1000000000));
    (void)ncheckpoint(c, NULL);
}

/* Dead rows keep their memory until repair has taken them out of the graph; their slots are then
 * used again. */
static void a_full_memory_refuses_writes_until_rows_are_deleted(void **state)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    struct nworld w;
    struct collection *c;
    struct docid ids[1500];
    struct write_result result;
    uint64_t next;
    uint64_t last;

    (void)state;
    nworld_init(&w, true, 81);
    w.options.clock = &w.clock.clock;
    w.options.memory_bytes_max = 1536 * 1024;
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    next = fill_memory(&w, c, 1);
    assert_true(next > 2000);
    assert_int_equal(ncount(c), next - 1);
    assert_int_equal(nput(c, next, 3, NULL), ST_NOSPACE);
    assert_int_equal(nversion(c, next), 0);
    assert_int_equal(nversion(c, 1), 3);
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        ids[i] = docid_u64(i + 1);
    assert_int_equal(ndelete(c, ids, COUNT_OF(ids), &result, NULL), ST_OK);
    assert_int_equal(result.count, COUNT_OF(ids));
    last = next;
    for (int i = 0; i < 5000 && last < next + COUNT_OF(ids) * 2 / 3; i++) {
        upkeep_tick_now(&w, c);
        while (put_batch(c, last, BUDGET_BATCH, NULL) == ST_OK)
            last += BUDGET_BATCH;
        (void)nanosleep(&pause, NULL);
    }
    assert_true(last >= next + COUNT_OF(ids) * 2 / 3);
    (void)fill_memory(&w, c, last);
    reads_must_go_on(c, next);
    node_collection_unpin(c);
    nworld_power_cut(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    assert_int_equal(nversion(c, 1), 0);
    assert_int_equal(nversion(c, COUNT_OF(ids) + 1), 3);
    assert_int_equal(nversion(c, next), 3);
    node_collection_unpin(c);
    nworld_fini(&w);
}

static void a_collection_too_large_for_the_memory_is_not_lost(void **state)
{
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, true, 82);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    assert_int_equal(put_batch(c, 1, 4000, NULL), ST_OK);
    node_collection_unpin(c);
    nworld_power_cut(&w);
    w.options.memory_bytes_max = 300 * 1024;
    nworld_open(&w);
    c = npin(&w, "docs");
    nstate(c, "failed", "memory");
    assert_true(nhealth_has(&w, "docs"));
    node_collection_unpin(c);
    nworld_close(&w);
    w.options.memory_bytes_max = 1 << 30;
    nworld_open(&w);
    c = npin(&w, "docs");
    nstate(c, "serving", "");
    assert_int_equal(ncount(c), 4000);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* --- a long log --- */

enum { SMALL_ONES = 20 };

static uint64_t snapshot_lsn_of(struct nworld *w, const char *name)
{
    struct collection *c = npin(w, name);
    uint64_t lsn = atomic_load(&c->snapshot_lsn);

    node_collection_unpin(c);
    return lsn;
}

/* The first files of many collections are more than the bound, and no checkpoint can trim them: one
 * after the other would be written for nothing, at every tick. */
static void a_long_log_forces_a_checkpoint_only_where_it_helps(void **state)
{
    struct nworld w;
    struct collection *idle;
    struct collection *c;

    (void)state;
    nworld_init(&w, true, 87);
    w.options.clock = &w.clock.clock;
    w.options.wal_file_bytes = 64 * 1024;
    w.options.wal_bytes_max = 1024 * 1024;
    nworld_open(&w);
    for (int i = 0; i < SMALL_ONES; i++) {
        char name[32];

        (void)snprintf(name, sizeof name, "small-%d", i);
        assert_int_equal(ncreate(&w, name, DIM, VMETRIC_L2, 64, NULL), ST_OK);
    }
    idle = npin(&w, "small-0");
    c = npin(&w, "small-1");
    for (uint64_t id = 1; id <= 10; id++) {
        assert_int_equal(nput(c, id, 3, NULL), ST_OK);
        upkeep_tick_now(&w, idle);
        upkeep_tick_now(&w, idle);
    }
    assert_int_equal(snapshot_lsn_of(&w, "small-1"), 0);
    for (uint64_t id = 1; id <= 20000; id += 500)
        assert_int_equal(put_batch(c, id, 500, NULL), ST_OK);
    upkeep_tick_now(&w, idle);
    upkeep_tick_now(&w, idle); /* the job runs before the tick: the second waits for the first's */
    assert_true(snapshot_lsn_of(&w, "small-1") > 10);
    node_collection_unpin(idle);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* --- several writes under way --- */

enum { BURST = 16 };

struct burst_op {
    struct call call;
    struct write_row row;
    struct buf payload;
    float vector[DIM];
    bool erase;
};

static void burst_submit(struct collection *c, struct burst_op *op, const struct docid *id,
                         uint32_t version, bool erase)
{
    call_init(&op->call);
    op->erase = erase;
    npayload(version, &op->payload);
    nvector(id->u64, version, DIM, op->vector);
    op->row =
        (struct write_row){.id = *id, .payload = buf_slice(&op->payload), .vector = op->vector};
    if (erase)
        node_delete(c, id, 1, call_write_done, &op->call);
    else
        node_write(c, &op->row, 1, call_write_done, &op->call);
}

static void burst_wait(struct burst_op *op)
{
    call_wait(&op->call);
    buf_free(&op->payload);
}

/* A delete finds an insert that is not applied yet, and the second of two deletes finds nothing. */
static void writes_of_one_id_take_effect_in_the_order_they_were_given(void **state)
{
    const struct docid id = docid_u64(7);
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, true, 83);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    for (int round = 0; round < 200; round++) {
        struct burst_op ops[BURST];
        uint32_t version = nversion(c, 7);
        uint64_t lsn = 0;

        for (uint32_t i = 0; i < BURST; i++)
            burst_submit(c, &ops[i], &id, i + 1, rand_below(&w.rand.source, 2) == 0);
        for (uint32_t i = 0; i < BURST; i++) {
            uint64_t count = !ops[i].erase || version != 0;

            burst_wait(&ops[i]);
            assert_int_equal(ops[i].call.st, ST_OK);
            assert_int_equal(ops[i].call.result.count, count);
            if (count != 0 || ops[i].call.result.lsn != 0) {
                assert_true(ops[i].call.result.lsn > lsn);
                lsn = ops[i].call.result.lsn;
            }
            version = ops[i].erase ? 0 : i + 1;
        }
        assert_int_equal(nversion(c, 7), version);
        assert_int_equal(ncount(c), version != 0);
    }
    ninvariants(c);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* The disk fails under a burst: each is answered once, and what follows finds no trace of those
 * that failed. */
static void a_burst_that_fails_leaves_no_trace(void **state)
{
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, true, 84);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    for (int round = 0; round < 60; round++) {
        const struct fs_sim_fault fault = {
            .op = FS_SIM_SYNC, .nth = 1, .errnum = EIO, .path_part = "/wal/"};
        const struct docid id = docid_u64(7);
        struct burst_op ops[BURST];
        uint32_t version = nversion(c, 7);
        struct write_result result;

        fs_sim_fail(w.sim, &fault);
        for (uint32_t i = 0; i < BURST; i++)
            burst_submit(c, &ops[i], &id, i + 1, rand_below(&w.rand.source, 2) == 0);
        for (uint32_t i = 0; i < BURST; i++) {
            burst_wait(&ops[i]);
            if (ops[i].call.st == ST_OK)
                version = ops[i].erase ? 0 : i + 1;
            else
                assert_true(ops[i].call.st == ST_IO || ops[i].call.st == ST_UNAVAILABLE);
        }
        fs_sim_fail_clear(w.sim);
        assert_int_equal(nversion(c, 7), version);
        assert_int_equal(ndelete(c, &id, 1, &result, NULL), ST_OK);
        assert_int_equal(result.count, version != 0);
    }
    ninvariants(c);
    node_collection_unpin(c);
    nworld_fini(&w);
}

static void a_doubled_id_counts_once(void **state)
{
    struct nworld w;
    struct collection *c;
    struct write_row rows[5];
    struct buf payloads[5];
    float vectors[5][DIM];
    const struct docid ids[] = {docid_u64(1), docid_u64(1), docid_u64(3), docid_u64(2),
                                docid_u64(1)};
    struct write_result result;

    (void)state;
    nworld_init(&w, true, 85);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    for (uint32_t i = 0; i < 5; i++) { /* 1 2 1 2 1: the last row of an id counts */
        npayload(i + 1, &payloads[i]);
        nvector(1 + i % 2, i + 1, DIM, vectors[i]);
        rows[i] = (struct write_row){
            .id = docid_u64(1 + i % 2), .payload = buf_slice(&payloads[i]), .vector = vectors[i]};
    }
    assert_int_equal(nwrite(c, rows, 5, &result, NULL), ST_OK);
    assert_int_equal(result.count, 2);
    assert_int_equal(ncount(c), 2);
    assert_int_equal(nversion(c, 1), 5);
    assert_int_equal(nversion(c, 2), 4);
    for (size_t i = 0; i < 5; i++)
        buf_free(&payloads[i]);
    assert_int_equal(ndelete(c, ids, COUNT_OF(ids), &result, NULL), ST_OK);
    assert_int_equal(result.count, 2);
    assert_int_equal(ndelete(c, ids, COUNT_OF(ids), &result, NULL), ST_OK);
    assert_int_equal(result.count, 0);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* Replay refuses what is no payload: such a record, acknowledged, would cost the collection. */
static void a_row_that_replay_would_refuse_is_refused_at_once(void **state)
{
    struct nworld w;
    struct collection *c;
    float vector[DIM] = {1};
    struct write_row row = {.id = docid_u64(1), .vector = vector, .payload = slice_text("{}")};
    struct err err = {0};

    (void)state;
    nworld_init(&w, true, 86);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    assert_int_equal(nwrite(c, &row, 1, NULL, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "payload"));
    assert_int_equal(nwrite(c, &row, 0, NULL, &err), ST_INVALID);
    assert_int_equal(ndelete(c, &row.id, 0, NULL, &err), ST_INVALID);
    assert_int_equal(nput(c, 5, 3, NULL), ST_OK);
    node_collection_unpin(c);
    nworld_power_cut(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    nstate(c, "serving", "");
    assert_int_equal(ncount(c), 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* --- the end --- */

enum { PENDING_BATCH = 3000, LATE = 8 };

/* More rows wait than writers may leave behind, so the late ones help to link, on workers, when the
 * node is closed under them. */
static void a_graceful_close_answers_everything_and_loses_nothing(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        struct nworld w;
        struct collection *c;
        struct burst_op *ops = calloc(LATE, sizeof *ops);

        assert_non_null(ops);
        nworld_init(&w, true, 90 + (uint64_t)round);
        nworld_open(&w);
        assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
        c = npin(&w, "docs");
        assert_int_equal(put_batch(c, 1000, PENDING_BATCH, NULL), ST_OK);
        for (uint32_t i = 0; i < LATE; i++) {
            const struct docid id = docid_u64(i + 1);

            burst_submit(c, &ops[i], &id, 3, false);
        }
        node_collection_unpin(c);
        nworld_close(&w);
        nworld_open(&w);
        c = npin(&w, "docs");
        assert_int_equal(nversion(c, 1000 + PENDING_BATCH - 1), 3);
        for (uint32_t i = 0; i < LATE; i++) {
            burst_wait(&ops[i]);
            assert_true(ops[i].call.st == ST_OK || ops[i].call.st == ST_UNAVAILABLE);
            assert_int_equal(nversion(c, i + 1), ops[i].call.st == ST_OK ? 3 : 0);
        }
        node_collection_unpin(c);
        free(ops);
        nworld_fini(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_disk_refuses_writes_until_there_is_room),
        cmocka_unit_test(a_node_starts_on_a_full_disk),
        cmocka_unit_test(a_failed_fsync_refuses_and_the_log_goes_on),
        cmocka_unit_test(a_disk_that_stays_broken_leaves_the_outcome_unknown),
        cmocka_unit_test(a_full_memory_refuses_writes_until_rows_are_deleted),
        cmocka_unit_test(a_collection_too_large_for_the_memory_is_not_lost),
        cmocka_unit_test(a_long_log_forces_a_checkpoint_only_where_it_helps),
        cmocka_unit_test(writes_of_one_id_take_effect_in_the_order_they_were_given),
        cmocka_unit_test(a_burst_that_fails_leaves_no_trace),
        cmocka_unit_test(a_doubled_id_counts_once),
        cmocka_unit_test(a_row_that_replay_would_refuse_is_refused_at_once),
        cmocka_unit_test(a_graceful_close_answers_everything_and_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
