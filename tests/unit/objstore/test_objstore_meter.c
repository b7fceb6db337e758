/* The meter counts what happened, by what it came to, before done() is called; in the registry too.
 */
#include "objstore/faults.h"
#include "objstore/memory.h"
#include "objstore/meter.h"
#include "objstore/open.h"

#include "tests/support/alloc_sweep.h"
#include "tests/unit/objstore/store_script.h"

#include <stdlib.h>

static struct objstore *faults; /* of the last open_it() */

static struct objstore *open_it(struct stats *stats)
{
    struct objstore *memory = NULL;
    struct objstore *meter = NULL;

    assert_int_equal(objstore_memory_open("meter", NULL, &memory, NULL), ST_OK);
    assert_int_equal(objstore_faults_open(memory, 1, &faults, NULL), ST_OK);
    assert_int_equal(objstore_meter_open(faults, stats, clock_real(), &meter, NULL), ST_OK);
    assert_string_equal(meter->description, "memory:meter");
    return meter;
}

static void run(struct objstore *s, struct objstore_req req, enum objstore_class want)
{
    struct err err;
    status st = objstore_wait(s, &req, &err);

    assert_int_equal(st, objstore_class_status(want));
    assert_int_equal(req.result.class, want);
    objstore_result_fini(&req.result);
}

static void a_few(struct objstore *s)
{
    struct objstore_req put = {.op = OBJSTORE_PUT,
                               .key = "k",
                               .body = slice_text("12345"),
                               .condition = OBJSTORE_IF_ABSENT};
    struct objstore_req get = {.op = OBJSTORE_GET, .key = "k"};

    run(s, put, OBJSTORE_OK);
    run(s, put, OBJSTORE_PRECONDITION);
    run(s, get, OBJSTORE_OK);
    run(s, get, OBJSTORE_OK);
    run(s, (struct objstore_req){.op = OBJSTORE_GET, .key = "none"}, OBJSTORE_NOT_FOUND);
    assert_int_equal(objstore_faults_add(faults,
                                         &(struct objstore_fault){.kind = OBJSTORE_FAULT_LOSE,
                                                                  .ops = 1u << OBJSTORE_PUT},
                                         NULL, NULL),
                     ST_OK);
    put.condition = OBJSTORE_ALWAYS;
    run(s, put, OBJSTORE_TRANSIENT);
}

static void every_request_is_counted_by_what_it_came_to(void **state)
{
    struct objstore *s = open_it(NULL);
    struct objstore_counts counts;

    (void)state;
    a_few(s);
    objstore_meter_counts(s, &counts);
    assert_int_equal(counts.requests[OBJSTORE_PUT][OBJSTORE_OK], 1);
    assert_int_equal(counts.requests[OBJSTORE_PUT][OBJSTORE_PRECONDITION], 1);
    assert_int_equal(counts.requests[OBJSTORE_PUT][OBJSTORE_TRANSIENT], 1);
    assert_int_equal(counts.requests[OBJSTORE_GET][OBJSTORE_OK], 2);
    assert_int_equal(counts.requests[OBJSTORE_GET][OBJSTORE_NOT_FOUND], 1);
    assert_int_equal(objstore_counts_op(&counts, OBJSTORE_PUT), 3);
    assert_int_equal(objstore_counts_op(&counts, OBJSTORE_LIST), 0);
    assert_int_equal(objstore_counts_op(&counts, OBJSTORE_HEAD), 0);
    assert_int_equal(counts.maybe_applied, 1);
    assert_int_equal(counts.received_bytes, 10);
    assert_int_equal(counts.under_way, 0);
    objstore_close(s);
    objstore_memory_forget("meter");
}

static void note_end(struct objstore_req *req)
{
    *(_Atomic bool *)req->arg = true;
}

static void what_is_under_way_is_seen(void **state)
{
    struct objstore *s = open_it(NULL);
    struct objstore_fault hold = {.kind = OBJSTORE_FAULT_DELAY, .delay_ms = OBJSTORE_FAULT_HOLD};
    _Atomic bool ended = false;
    struct objstore_req req = {.op = OBJSTORE_HEAD, .key = "k", .done = note_end, .arg = &ended};
    struct objstore_counts counts;

    (void)state;
    assert_int_equal(objstore_faults_add(faults, &hold, NULL, NULL), ST_OK);
    objstore_submit(s, &req);
    objstore_meter_counts(s, &counts);
    assert_int_equal(counts.under_way, 1);
    assert_false(ended);
    objstore_close(s);
    assert_true(ended);
    assert_int_equal(req.result.class, OBJSTORE_CANCELLED);
    objstore_result_fini(&req.result);
    objstore_memory_forget("meter");
}

static bool prints(struct stats *stats, const char *line)
{
    struct buf text;
    bool found;

    buf_init(&text, 1 << 20);
    stats_print(stats, &text);
    buf_put_u8(&text, 0);
    found = strstr((const char *)text.data, line) != NULL;
    buf_free(&text);
    return found;
}

static void the_registry_says_the_same(void **state)
{
    struct stats *stats = NULL;
    struct objstore *s;

    (void)state;
    assert_int_equal(stats_create(&stats, NULL), ST_OK);
    s = open_it(stats);
    a_few(s);
    assert_true(prints(stats, "tiervec_s3_requests_total{op=\"put\",outcome=\"ok\"} 1\n"));
    assert_true(prints(stats, "tiervec_s3_requests_total{op=\"put\",outcome=\"transient\"} 1\n"));
    assert_true(prints(stats, "tiervec_s3_requests_total{op=\"get\",outcome=\"ok\"} 2\n"));
    assert_true(prints(stats, "tiervec_s3_request_duration_seconds_count{op=\"get\"} 3\n"));
    assert_true(prints(stats, "tiervec_s3_bytes_total{direction=\"received\"} 10\n"));
    assert_true(prints(stats, "# TYPE tiervec_s3_bytes_total counter\n"));
    objstore_close(s);
    objstore_memory_forget("meter");
    stats_destroy(stats);
}

static void a_store_opened_with_a_registry_is_metered(void **state)
{
    struct stats *stats = NULL;
    struct objstore *s = NULL;
    struct objstore_options options = {
        .url = "memory:meter-url", .clock = clock_real(), .rand = rand_kernel(), .fs = fs_real()};

    (void)state;
    assert_int_equal(stats_create(&stats, NULL), ST_OK);
    options.stats = stats;
    assert_int_equal(objstore_open(&options, &s, NULL), ST_OK);
    run(s, (struct objstore_req){.op = OBJSTORE_DELETE, .key = "k"}, OBJSTORE_OK);
    assert_true(prints(stats, "tiervec_s3_requests_total{op=\"delete\",outcome=\"ok\"} 1\n"));
    objstore_close(s);
    objstore_memory_forget("meter-url");
    options.url = "memory:";
    assert_int_equal(objstore_open(&options, &s, NULL), ST_INVALID);
    stats_destroy(stats);
}

static status sweep(void *arg)
{
    struct objstore_options options = {
        .url = "memory:meter-sweep", .clock = clock_real(), .rand = rand_kernel(), .fs = fs_real()};
    struct objstore *s = NULL;
    struct stats *stats = NULL;
    status st = stats_create(&stats, NULL);

    (void)arg;
    options.stats = stats;
    if (st == ST_OK)
        st = objstore_open(&options, &s, NULL);
    if (st == ST_OK)
        st = store_script(s);
    objstore_close(s);
    stats_destroy(stats);
    objstore_memory_forget("meter-sweep");
    return st;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(alloc_sweep(sweep, NULL) >= 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_is_counted_by_what_it_came_to),
        cmocka_unit_test(what_is_under_way_is_seen),
        cmocka_unit_test(the_registry_says_the_same),
        cmocka_unit_test(a_store_opened_with_a_registry_is_metered),
        cmocka_unit_test(every_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
