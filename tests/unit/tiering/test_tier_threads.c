/* Real threads and real time: writers tell of records from their logs' callbacks, others look,
 * retry and reset, streams open and close, and the store fails now and then. What is left is
 * complete. */
#include "objstore/memory.h"
#include "segment/record.h"
#include "tests/unit/tiering/ship_world.h"

#include <stdio.h>
#include <time.h>

enum { STREAMS = 3, RECORDS = 2000 };

struct party {
    struct clock *clock;
    struct rand_seeded rand;
    struct objstore *memory;
    struct ship_store *store;
    struct fs_sim *sim;
    struct wal_engine *engine;
    struct dlq *dlq;
    struct tier *tier;
    _Atomic bool done;
};
struct writer {
    struct party *party;
    struct thread thread;
    uint8_t collection[16];
    struct wal *wal;
    _Atomic(struct tier_stream *) stream;
    _Atomic uint64_t remote_lsn, logged;
    uint64_t hint_lsn, hint_chain;
};

static void nap(long us)
{
    const struct timespec pause = {.tv_nsec = us * 1000};

    (void)nanosleep(&pause, NULL);
}

static void on_remote(void *arg, uint64_t lsn)
{
    struct writer *writer = arg;

    writer->remote_lsn = lsn;
}

static void on_shipped(void *arg, uint64_t lsn, uint64_t chain)
{
    struct writer *writer = arg;

    writer->hint_lsn = lsn;
    writer->hint_chain = chain;
}

static void open_stream(struct writer *writer)
{
    struct tier_stream_options o = {
        .collection_id = "threads",
        .name = "threads",
        .wal = writer->wal,
        .durable_lsn = wal_durable_lsn(writer->wal),
        .shipped_hint = writer->hint_lsn,
        .hint_chain = writer->hint_chain,
        .arg = writer,
        .on_remote = on_remote,
        .on_shipped = on_shipped,
    };
    struct tier_stream *stream;

    memcpy(o.collection, writer->collection, 16);
    assert_int_equal(tier_stream_open(writer->party->tier, &o, &stream, NULL), ST_OK);
    atomic_store(&writer->stream, stream);
}

/* On the commit thread, as in the node. */
static void on_logged(void *arg, uint64_t lsn, status st, const struct err *err)
{
    struct writer *writer = arg;
    struct tier_stream *stream = atomic_load(&writer->stream);

    (void)err;
    assert_int_equal(st, ST_OK);
    tier_stream_log(stream, lsn, 80);
    if (lsn % 16 == 0)
        tier_stream_want_remote(stream, lsn);
    writer->logged = lsn;
}

static void write_records(struct writer *writer, unsigned count)
{
    uint64_t last = 0;

    for (unsigned i = 0; i < count; i++) {
        struct record_writer r;
        struct buf bytes;
        struct slice part;

        buf_init(&bytes, 4096);
        record_begin(&r, &bytes, RECORD_SETTINGS, clock_wall_ns(clock_real()));
        record_put_setting(&r, slice_text("note"), slice_text("threads"));
        assert_int_equal(record_end(&r, NULL), ST_OK);
        part = buf_slice(&bytes);
        assert_int_equal(wal_submit(writer->wal, &part, 1, on_logged, writer, &last, NULL), ST_OK);
        buf_free(&bytes);
        if (i % 8 == 0)
            nap(200);
    }
    while (writer->logged < last)
        nap(100);
}

static void write_all(void *arg)
{
    struct writer *writer = arg;

    for (int round = 0; round < 4; round++) {
        write_records(writer, RECORDS / 4);
        if (round == 1) { /* closed with whatever is under way, and opened again */
            tier_stream_close(atomic_load(&writer->stream));
            open_stream(writer);
        }
    }
    tier_stream_want_remote(atomic_load(&writer->stream), RECORDS);
    while (writer->remote_lsn < RECORDS)
        nap(1000);
}

static void look(void *arg)
{
    struct party *p = arg;
    struct tier_status all;
    struct pressure pressure;
    enum breaker_state before;
    enum breaker_state after;

    for (unsigned i = 0; !p->done; i++) {
        const struct ship_fault fault = {SHIP_ANY, SHIP_ANY, OBJSTORE_TRANSIENT, 1, i % 2 == 0};

        tier_status(p->tier, &all);
        (void)tier_pressure(p->tier, 0, 0, &pressure);
        if (i % 20 == 0) {
            ship_store_heal(p->store);
            ship_store_fail(p->store, &fault);
        }
        if (i % 50 == 0)
            tier_breaker_reset(p->tier, &before, &after);
        if (i % 70 == 0)
            tier_reload(p->tier);
        nap(500);
    }
}

static void party_open(struct party *p)
{
    struct wal_engine_options engine = {.clock = clock_real()};
    const struct dlq_options letters = {0};
    size_t damaged;
    struct tier_options o;

    memset(p, 0, sizeof *p);
    rand_seeded_init(&p->rand, 7);
    assert_int_equal(objstore_memory_open("threads", NULL, &p->memory, NULL), ST_OK);
    p->store = ship_store_create(p->memory);
    assert_non_null(p->sim = fs_sim_create());
    engine.fs = fs_sim_fs(p->sim);
    engine.rand = &p->rand.source;
    assert_int_equal(wal_engine_open(&engine, &p->engine, NULL), ST_OK);
    assert_int_equal(dlq_open(&letters, &p->dlq, &damaged, NULL), ST_OK);
    o = (struct tier_options){
        .store = ship_store(p->store),
        .clock = clock_real(),
        .rand = &p->rand.source,
        .dlq = p->dlq,
        .fs = fs_sim_fs(p->sim),
        .data_dir = "/",
        .node_id = "threads",
        .rpo_ms = 20,
        .group_bytes = 2000,
        .max_in_flight = 4,
        .max_retries = 3,
        .base_backoff_ms = 2,
        .max_backoff_ms = 10,
        .unshipped_bytes_max = 1 << 20,
    };
    assert_int_equal(tier_open(&o, &p->tier, NULL), ST_OK);
}

static void party_close(struct party *p)
{
    tier_close(p->tier);
    wal_engine_close(p->engine);
    dlq_close(p->dlq);
    ship_store_destroy(p->store);
    objstore_close(p->memory);
    objstore_memory_forget("threads");
    fs_sim_destroy(p->sim);
}

static void writer_open(struct party *p, struct writer *writer, uint8_t number)
{
    struct wal_options o = {.engine = p->engine};
    struct wal_report report;
    struct ship_answer made = {0};
    char dir[32];

    writer->party = p;
    writer->collection[0] = number;
    (void)snprintf(dir, sizeof dir, "/wal%u", number);
    o.dir = dir;
    memcpy(o.log_id, writer->collection, 16);
    assert_int_equal(wal_open(&o, &writer->wal, &report, NULL), ST_OK);
    open_stream(writer);
    tier_stream_create(atomic_load(&writer->stream), 0, false, ship_answered, &made);
    while (!made.done)
        nap(200);
    assert_int_equal(made.st, ST_OK);
}

static void many_streams_are_shipped_at_once(void **state)
{
    static struct party p;
    static struct writer writers[STREAMS];
    struct thread looker = {0};
    struct tier_status all;

    (void)state;
    party_open(&p);
    for (uint8_t i = 0; i < STREAMS; i++)
        writer_open(&p, &writers[i], i);
    assert_int_equal(thread_start(&looker, "look", THREAD_NORMAL, look, &p, NULL), ST_OK);
    for (size_t i = 0; i < STREAMS; i++)
        assert_int_equal(
            thread_start(&writers[i].thread, "write", THREAD_NORMAL, write_all, &writers[i], NULL),
            ST_OK);
    for (size_t i = 0; i < STREAMS; i++)
        thread_join(&writers[i].thread);
    p.done = true;
    thread_join(&looker);
    tier_status(p.tier, &all);
    assert_int_equal(all.unshipped_records, 0);
    assert_int_equal(all.unshipped_bytes, 0);
    for (size_t i = 0; i < STREAMS; i++) {
        struct tier_stream_status now;

        tier_stream_status(writers[i].stream, &now);
        assert_int_equal(now.shipped_lsn, RECORDS);
        tier_stream_close(writers[i].stream);
        wal_close(writers[i].wal);
    }
    party_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(many_streams_are_shipped_at_once)};

    return cmocka_run_group_tests_name("tier_threads", tests, NULL, NULL);
}
