/* Nothing that writes goes around the gate, and what did not pass was never sent. */
#include "objstore/faults.h"
#include "objstore/gate.h"
#include "objstore/memory.h"
#include "objstore/meter.h"

#include "tests/support/alloc_sweep.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

struct rig {
    struct objstore *meter; /* counts what comes through */
    struct objstore *gate;
};

static void rig_open(struct rig *r, uint64_t hold_ms)
{
    struct objstore *memory = NULL;

    assert_int_equal(objstore_memory_open("gate", NULL, &memory, NULL), ST_OK);
    assert_int_equal(objstore_meter_open(memory, NULL, clock_real(), &r->meter, NULL), ST_OK);
    assert_int_equal(objstore_gate_open(r->meter, clock_real(), hold_ms, &r->gate, NULL), ST_OK);
    assert_string_equal(r->gate->description, "memory:gate");
}

static void rig_close(struct rig *r)
{
    objstore_close(r->gate);
    objstore_close(r->meter);
    objstore_memory_forget("gate");
}

static enum objstore_class ask(struct objstore *s, enum objstore_op op, struct err *err)
{
    const struct objstore_part part = {.number = 1, .etag = "\"e\""};
    struct objstore_req req = {.op = op,
                               .key = "k",
                               .body = slice_text(op == OBJSTORE_PUT ? "x" : ""),
                               .upload_id = "u",
                               .part_number = 1,
                               .parts = &part,
                               .part_count = 1};
    enum objstore_class class;
    status st = objstore_wait(s, &req, err);

    (void)st;
    class = req.result.class;
    assert_false(req.result.maybe_applied && class != OBJSTORE_OK);
    objstore_result_fini(&req.result);
    return class;
}

static void no_write_passes_until_it_is_opened(void **state)
{
    static const enum objstore_op ops[] = {
        OBJSTORE_PUT,         OBJSTORE_DELETE,          OBJSTORE_UPLOAD_BEGIN,
        OBJSTORE_UPLOAD_PART, OBJSTORE_UPLOAD_COMPLETE, OBJSTORE_UPLOAD_ABORT};
    struct objstore_counts counts;
    struct err err = {0};
    struct rig r;

    (void)state;
    rig_open(&r, 0);
    for (size_t i = 0; i < COUNT_OF(ops); i++)
        assert_int_equal(ask(r.gate, ops[i], &err), OBJSTORE_TRANSIENT);
    assert_non_null(strstr(err.text, "not sent: the store is not proven yet"));
    objstore_gate_set(r.gate, OBJSTORE_GATE_REFUSE, "it lies");
    for (size_t i = 0; i < COUNT_OF(ops); i++)
        assert_int_equal(ask(r.gate, ops[i], &err), OBJSTORE_PERMANENT);
    assert_non_null(strstr(err.text, "not sent: it lies"));
    objstore_meter_counts(r.meter, &counts);
    for (unsigned op = 0; op < OBJSTORE_OPS; op++)
        assert_int_equal(objstore_counts_op(&counts, (enum objstore_op)op), 0);
    assert_int_equal(ask(r.gate, OBJSTORE_GET, NULL), OBJSTORE_NOT_FOUND);
    assert_int_equal(ask(r.gate, OBJSTORE_HEAD, NULL), OBJSTORE_NOT_FOUND);
    assert_int_equal(ask(r.gate, OBJSTORE_LIST, NULL), OBJSTORE_OK);
    objstore_gate_set(r.gate, OBJSTORE_GATE_OPEN, NULL);
    assert_int_equal(ask(r.gate, OBJSTORE_PUT, NULL), OBJSTORE_OK);
    assert_int_equal(ask(r.gate, OBJSTORE_GET, NULL), OBJSTORE_OK);
    objstore_gate_set(r.gate, OBJSTORE_GATE_REFUSE, "it lies after all");
    assert_int_equal(ask(r.gate, OBJSTORE_DELETE, NULL), OBJSTORE_PERMANENT);
    assert_int_equal(ask(r.gate, OBJSTORE_GET, NULL), OBJSTORE_OK);
    assert_int_equal(objstore_gate_server(r.gate), 0);
    assert_int_equal(objstore_gate_hash(""), 0);
    assert_true(objstore_gate_hash("MinIO") != objstore_gate_hash("MinIO 2"));
    rig_close(&r);
}

static void note_end(struct objstore_req *req)
{
    atomic_fetch_add((_Atomic int *)req->arg, 1);
}

/* Opened and closed while many write: each request ends once, and those that said they were not
 * sent were not. */
static void each_request_ends_once_while_it_turns(void **state)
{
    enum { MANY = 400 };
    struct objstore_req *reqs = calloc(MANY, sizeof *reqs);
    struct objstore_counts counts;
    _Atomic int ended = 0;
    size_t passed = 0;
    struct rig r;

    (void)state;
    assert_non_null(reqs);
    rig_open(&r, 0);
    for (int i = 0; i < MANY; i++) {
        objstore_gate_set(r.gate, (enum objstore_gate_state)(i / 7 % 3), "turning");
        reqs[i] = (struct objstore_req){.op = OBJSTORE_PUT,
                                        .key = "k",
                                        .body = slice_text("x"),
                                        .done = note_end,
                                        .arg = &ended};
        objstore_submit(r.gate, &reqs[i]);
    }
    objstore_close(r.gate);
    assert_int_equal(ended, MANY);
    objstore_meter_counts(r.meter, &counts);
    for (int i = 0; i < MANY; i++) {
        passed += reqs[i].result.class == OBJSTORE_OK;
        objstore_result_fini(&reqs[i].result);
    }
    assert_int_equal(counts.requests[OBJSTORE_PUT][OBJSTORE_OK], passed);
    assert_true(passed > 0 && passed < MANY);
    objstore_close(r.meter);
    objstore_memory_forget("gate");
    free(reqs);
}

static enum objstore_class ended_as(struct rig *r, enum objstore_gate_state then, bool cancel)
{
    struct objstore_req req = {
        .op = OBJSTORE_PUT, .key = "k", .body = slice_text("x"), .done = note_end};
    _Atomic int ended = 0;
    enum objstore_class class;

    req.arg = &ended;
    objstore_submit(r->gate, &req);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(ended, 0); /* held */
        sched_yield();
    }
    if (cancel)
        objstore_cancel(r->gate, &req);
    else
        objstore_gate_set(r->gate, then, "decided");
    while (ended == 0)
        sched_yield();
    class = req.result.class;
    objstore_result_fini(&req.result);
    return class;
}

/* A start takes a moment: what is written in it waits for the verdict. */
static void what_comes_before_the_verdict_is_held(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, 3600000);
    assert_int_equal(ended_as(&r, OBJSTORE_GATE_WAIT, true), OBJSTORE_CANCELLED);
    assert_int_equal(ended_as(&r, OBJSTORE_GATE_OPEN, false), OBJSTORE_OK);
    rig_close(&r);
    rig_open(&r, 3600000);
    assert_int_equal(ended_as(&r, OBJSTORE_GATE_REFUSE, false), OBJSTORE_PERMANENT);
    rig_close(&r);
    rig_open(&r, 100);
    assert_int_equal(ask(r.gate, OBJSTORE_PUT, NULL), OBJSTORE_TRANSIENT); /* not for ever */
    rig_close(&r);
}

static status open_one(void *arg)
{
    struct objstore *gate = NULL;
    status st = objstore_gate_open(arg, clock_real(), 0, &gate, NULL);

    if (st == ST_OK)
        objstore_close(gate);
    return st;
}

static void a_failed_allocation_leaves_nothing(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, 0);
    assert_true(alloc_sweep(open_one, r.meter) >= 1);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_write_passes_until_it_is_opened),
        cmocka_unit_test(each_request_ends_once_while_it_turns),
        cmocka_unit_test(what_comes_before_the_verdict_is_held),
        cmocka_unit_test(a_failed_allocation_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
