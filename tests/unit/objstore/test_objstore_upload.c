/* Objects in parts over the memory store, with faults at every kind of request: byte for byte
 * there, or nothing left behind and the reason said. */
#include "objstore/upload.h"

#include "objstore/faults.h"
#include "objstore/memory.h"
#include "tests/support/alloc_sweep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 1;

enum { PART = OBJSTORE_PART_BYTES_MIN, LARGE = 2 * PART + 1000, SMALL = 1000 };

struct place {
    struct objstore *memory; /* another handle on the same bucket */
    struct objstore *faults;
    uint8_t *bytes;
    struct slice object;
    struct upload_options options;
    struct rand_seeded rng;
};

static void place_open(struct place *p, size_t bytes)
{
    static unsigned count;
    struct objstore *inner = NULL;
    char name[32];

    (void)snprintf(name, sizeof name, "upload-%u", count++);
    assert_int_equal(objstore_memory_open(name, NULL, &p->memory, NULL), ST_OK);
    assert_int_equal(objstore_memory_open(name, NULL, &inner, NULL), ST_OK);
    assert_int_equal(objstore_faults_open(inner, seed, &p->faults, NULL), ST_OK);
    objstore_memory_forget(name);
    rand_seeded_init(&p->rng, seed);
    p->bytes = malloc(bytes + 1);
    assert_non_null(p->bytes);
    for (size_t i = 0; i < bytes; i++)
        p->bytes[i] = (uint8_t)(i * 2654435761u >> 11);
    p->object = slice_make(p->bytes, bytes);
    p->options = (struct upload_options){.key = "large",
                                         .bytes = bytes,
                                         .read = upload_read_slice,
                                         .arg = &p->object,
                                         .pool = OBJSTORE_BULK,
                                         .policy = objstore_retry_foreground(),
                                         .part_bytes = PART,
                                         .clock = clock_real(),
                                         .rand = &p->rng.source};
    p->options.policy.base_ms = p->options.policy.throttle_base_ms = 1;
}

static void place_close(struct place *p)
{
    objstore_close(p->faults);
    objstore_close(p->memory);
    free(p->bytes);
}

static bool is_there(struct place *p)
{
    struct objstore_req get = {.op = OBJSTORE_GET, .key = "large"};
    bool there = objstore_wait(p->memory, &get, NULL) == ST_OK;

    if (there)
        assert_true(slice_equal(buf_slice(&get.result.body), p->object));
    objstore_result_fini(&get.result);
    return there;
}

static void add(struct place *p, struct objstore_fault fault)
{
    assert_int_equal(objstore_faults_add(p->faults, &fault, NULL, NULL), ST_OK);
}

static void put_foreign(struct place *p, size_t bytes)
{
    struct objstore_req put = {
        .op = OBJSTORE_PUT, .key = "large", .body = slice_make(p->bytes + 1, bytes)};

    assert_int_equal(objstore_wait(p->memory, &put, NULL), ST_OK);
    objstore_result_fini(&put.result);
}

/* One fault at one kind of request: the object is there, as it should be, whatever it was. */
static void one_fault_at_any_step_is_got_over(void **state)
{
    static const enum objstore_op ops[] = {OBJSTORE_PUT, OBJSTORE_UPLOAD_BEGIN,
                                           OBJSTORE_UPLOAD_PART, OBJSTORE_UPLOAD_COMPLETE};
    static const struct objstore_fault faults[] = {
        {.kind = OBJSTORE_FAULT_REFUSE},
        {.kind = OBJSTORE_FAULT_REFUSE, .class = OBJSTORE_THROTTLE, .http_status = 503},
        {.kind = OBJSTORE_FAULT_REFUSE, .class = OBJSTORE_CONFLICT, .http_status = 409},
        {.kind = OBJSTORE_FAULT_REFUSE, .class = OBJSTORE_INTEGRITY, .s3_code = "BadDigest"},
        {.kind = OBJSTORE_FAULT_LOSE},
        {.kind = OBJSTORE_FAULT_LATE, .delay_ms = 1},
        {.kind = OBJSTORE_FAULT_LATE, .delay_ms = 20},
        {.kind = OBJSTORE_FAULT_TWICE, .delay_ms = 1},
        {.kind = OBJSTORE_FAULT_REFUSE,
         .class = OBJSTORE_NOT_FOUND,
         .http_status = 404,
         .s3_code = "NoSuchUpload"},
        {.kind = OBJSTORE_FAULT_REFUSE,
         .class = OBJSTORE_PERMANENT,
         .http_status = 400,
         .s3_code = "InvalidPart"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ops) * COUNT_OF(faults) * 2; i++) {
        struct objstore_fault fault = faults[i % COUNT_OF(faults)];
        enum objstore_op op = ops[i / COUNT_OF(faults) % COUNT_OF(ops)];
        struct upload_report report;
        struct err err = {0};
        struct place p;
        bool conditional = i >= COUNT_OF(ops) * COUNT_OF(faults);
        bool of_upload = fault.s3_code != NULL && strcmp(fault.s3_code, "BadDigest") != 0;

        /* These come of parts alone, and of completions. */
        if (of_upload && op != OBJSTORE_UPLOAD_COMPLETE &&
            (op != OBJSTORE_UPLOAD_PART || fault.class != OBJSTORE_NOT_FOUND))
            continue;
        if (conditional && fault.kind == OBJSTORE_FAULT_REFUSE)
            continue;
        place_open(&p, op == OBJSTORE_PUT ? SMALL : LARGE);
        if (conditional)
            p.options.condition = OBJSTORE_IF_ABSENT;
        fault.ops = 1u << op;
        fault.nth = op == OBJSTORE_UPLOAD_PART ? 2 : 0;
        add(&p, fault);
        if (objstore_upload(p.faults, &p.options, &report, &err) != ST_OK || !is_there(&p))
            fail_msg("%s, fault %zu: %s", objstore_op_name(op), i % COUNT_OF(faults), err.text);
        assert_int_equal(report.class, OBJSTORE_OK);
        assert_int_equal(report.left_behind,
                         op == OBJSTORE_UPLOAD_BEGIN && (fault.kind == OBJSTORE_FAULT_LOSE ||
                                                         fault.kind == OBJSTORE_FAULT_LATE));
        place_close(&p);
    }
}

/* The answer is lost, and asking again says that there is no such upload: what is there decides. */
static void a_lost_completion_is_found(void **state)
{
    struct upload_report report;
    struct place p;

    (void)state;
    place_open(&p, LARGE);
    add(&p, (struct objstore_fault){.kind = OBJSTORE_FAULT_LOSE,
                                    .ops = 1u << OBJSTORE_UPLOAD_COMPLETE});
    assert_int_equal(objstore_upload(p.faults, &p.options, &report, NULL), ST_OK);
    assert_true(report.found && report.etag[0] != '\0');
    assert_int_equal(report.restarts, 0);
    assert_int_equal(report.requests, 1 + 3 + 2 + 1 + 3); /* begin, parts, twice, HEAD, compare */
    assert_true(is_there(&p));
    place_close(&p);
}

/* Somebody else's object under the name: the same bytes are as good, others are said. */
static void a_name_that_is_taken_is_looked_into(void **state)
{
    static const size_t sizes[] = {LARGE, SMALL};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct upload_report report;
        struct err err = {0};
        struct place p;

        place_open(&p, sizes[i]);
        p.options.condition = OBJSTORE_IF_ABSENT;
        assert_int_equal(objstore_upload(p.faults, &p.options, &report, NULL), ST_OK);
        assert_false(report.found);
        assert_int_equal(objstore_upload(p.faults, &p.options, &report, NULL), ST_OK);
        assert_true(report.found);
        p.bytes[sizes[i] / 2] ^= 1;
        assert_int_equal(objstore_upload(p.faults, &p.options, &report, &err), ST_CONFLICT);
        assert_int_equal(report.class, OBJSTORE_PRECONDITION);
        assert_false(report.maybe_applied || report.left_behind);
        put_foreign(&p, sizes[i] - 1);
        assert_int_equal(objstore_upload(p.faults, &p.options, &report, &err), ST_CONFLICT);
        place_close(&p);
    }
}

static status fail_behind(void *arg, uint64_t offset, uint8_t *out, size_t bytes, struct err *err)
{
    if (offset > 0)
        return err_set(err, ST_IO, "read: Input/output error");
    return upload_read_slice(arg, offset, out, bytes, err);
}

static void expect_nothing_left(struct place *p, const struct upload_report *report)
{
    assert_false(report->left_behind);
    assert_false(is_there(p));
}

/* Each way to fail for good: the upload is aborted, and the text says why. */
static void who_gives_up_aborts(void **state)
{
    static const enum objstore_op ops[] = {OBJSTORE_UPLOAD_PART, OBJSTORE_UPLOAD_COMPLETE};
    struct upload_report report;
    struct err err = {0};
    struct place p;
    unsigned aborts = 0;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ops); i++) {
        place_open(&p, LARGE);
        add(&p, (struct objstore_fault){.kind = OBJSTORE_FAULT_REFUSE,
                                        .ops = 1u << ops[i],
                                        .class = OBJSTORE_PERMANENT,
                                        .http_status = 403,
                                        .s3_code = "AccessDenied",
                                        .times = OBJSTORE_FAULT_FOR_EVER});
        assert_int_equal(
            objstore_faults_add(p.faults,
                                &(struct objstore_fault){.kind = OBJSTORE_FAULT_DELAY,
                                                         .ops = 1u << OBJSTORE_UPLOAD_ABORT,
                                                         .times = OBJSTORE_FAULT_FOR_EVER},
                                &aborts, NULL),
            ST_OK);
        assert_int_equal(objstore_upload(p.faults, &p.options, &report, &err), ST_DENIED);
        assert_non_null(strstr(err.text, "upload large: "));
        assert_non_null(strstr(err.text, "refused (fault)"));
        assert_int_equal(objstore_faults_met(p.faults, aborts), 1);
        expect_nothing_left(&p, &report);
        place_close(&p);
    }
    place_open(&p, LARGE);
    p.options.read = fail_behind;
    assert_int_equal(objstore_upload(p.faults, &p.options, &report, &err), ST_IO);
    assert_non_null(strstr(err.text, "Input/output error"));
    expect_nothing_left(&p, &report);
    p.options.read = upload_read_slice;
    add(&p,
        (struct objstore_fault){.kind = OBJSTORE_FAULT_REFUSE,
                                .ops = 1u << OBJSTORE_UPLOAD_ABORT | 1u << OBJSTORE_UPLOAD_COMPLETE,
                                .times = OBJSTORE_FAULT_FOR_EVER});
    assert_int_equal(objstore_upload(p.faults, &p.options, &report, &err), ST_UNAVAILABLE);
    assert_true(report.left_behind);
    place_close(&p);
}

/* A conflict at the end of each: three times anew, then it is said. */
static void an_upload_is_begun_anew_some_times(void **state)
{
    struct upload_report report;
    struct place p;

    (void)state;
    place_open(&p, LARGE);
    add(&p, (struct objstore_fault){.kind = OBJSTORE_FAULT_REFUSE,
                                    .ops = 1u << OBJSTORE_UPLOAD_COMPLETE,
                                    .class = OBJSTORE_CONFLICT,
                                    .times = UPLOAD_RESTARTS});
    assert_int_equal(objstore_upload(p.faults, &p.options, &report, NULL), ST_OK);
    assert_int_equal(report.restarts, UPLOAD_RESTARTS);
    assert_true(is_there(&p));
    place_close(&p);
    place_open(&p, LARGE);
    add(&p, (struct objstore_fault){.kind = OBJSTORE_FAULT_REFUSE,
                                    .ops = 1u << OBJSTORE_UPLOAD_COMPLETE,
                                    .class = OBJSTORE_CONFLICT,
                                    .times = UPLOAD_RESTARTS + 1});
    assert_int_equal(objstore_upload(p.faults, &p.options, &report, NULL), ST_CONFLICT);
    expect_nothing_left(&p, &report);
    place_close(&p);
}

static _Atomic bool stop;

static status stop_behind(void *arg, uint64_t offset, uint8_t *out, size_t bytes, struct err *err)
{
    if (offset > 0)
        atomic_store(&stop, true);
    return upload_read_slice(arg, offset, out, bytes, err);
}

static void stopping_aborts(void **state)
{
    struct upload_report report;
    struct err err = {0};
    struct place p;

    (void)state;
    atomic_store(&stop, false);
    place_open(&p, LARGE);
    add(&p, (struct objstore_fault){.kind = OBJSTORE_FAULT_DELAY,
                                    .ops = 1u << OBJSTORE_UPLOAD_PART,
                                    .times = OBJSTORE_FAULT_FOR_EVER,
                                    .delay_ms = 100});
    p.options.stop = &stop;
    p.options.read = stop_behind;
    assert_int_equal(objstore_upload(p.faults, &p.options, &report, &err), ST_CLOSED);
    assert_string_equal(err.text, "upload large: stopped");
    expect_nothing_left(&p, &report);
    place_close(&p);
}

static void no_more_parts_at_a_time_than_was_said(void **state)
{
    static const uint32_t windows[] = {1, 2, 3, 100};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(windows); i++) {
        struct upload_report report;
        struct place p;

        place_open(&p, 5 * (size_t)PART);
        p.options.in_flight = windows[i];
        assert_int_equal(objstore_upload(p.faults, &p.options, &report, NULL), ST_OK);
        assert_int_equal(report.requests, 7);
        assert_true(is_there(&p));
        place_close(&p);
    }
}

static status upload_once(void *arg)
{
    struct place *p = arg;
    struct upload_report report;
    status st = objstore_upload(p->memory, &p->options, &report, NULL);

    if (st == ST_OK)
        assert_int_equal(report.class, OBJSTORE_OK);
    return st;
}

/* Ours end it, the store's are one answer that is asked for again. */
static void each_allocation_may_fail(void **state)
{
    struct place p;

    (void)state;
    place_open(&p, PART + 1);
    assert_true(alloc_sweep(upload_once, &p) > 5);
    assert_true(is_there(&p));
    place_close(&p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_fault_at_any_step_is_got_over),
        cmocka_unit_test(a_lost_completion_is_found),
        cmocka_unit_test(a_name_that_is_taken_is_looked_into),
        cmocka_unit_test(who_gives_up_aborts),
        cmocka_unit_test(an_upload_is_begun_anew_some_times),
        cmocka_unit_test(stopping_aborts),
        cmocka_unit_test(no_more_parts_at_a_time_than_was_said),
        cmocka_unit_test(each_allocation_may_fail),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
