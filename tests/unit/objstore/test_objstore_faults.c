/* Each kind of fault does what it says, to the requests it names and to no others. */
#include "objstore/faults.h"

#include "base/clock.h"
#include "base/lock.h"
#include "objstore/memory.h"
#include "tests/support/alloc_sweep.h"
#include "tests/unit/objstore/store_script.h"

#include <stdlib.h>

static struct objstore *s;     /* with faults */
static struct objstore *plain; /* the same bucket without */

static int setup(void **state)
{
    struct objstore *memory = NULL;

    (void)state;
    return objstore_memory_open("faults", NULL, &memory, NULL) == ST_OK &&
                   objstore_memory_open("faults", NULL, &plain, NULL) == ST_OK &&
                   objstore_faults_open(memory, 7, &s, NULL) == ST_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    objstore_close(s);
    objstore_close(plain);
    objstore_memory_forget("faults");
    return 0;
}

static enum objstore_class run(struct objstore *store, struct objstore_req *req)
{
    struct err err;
    status st = objstore_wait(store, req, &err);

    assert_int_equal(st, objstore_class_status(req->result.class));
    return req->result.class;
}

static enum objstore_class put(struct objstore *store, const char *key, const char *text)
{
    struct objstore_req req = {.op = OBJSTORE_PUT, .key = key, .body = slice_text(text)};
    enum objstore_class c = run(store, &req);

    objstore_result_fini(&req.result);
    return c;
}

static void expect(const char *key, const char *text)
{
    struct objstore_req get = {.op = OBJSTORE_GET, .key = key};

    if (text == NULL) {
        assert_int_equal(run(plain, &get), OBJSTORE_NOT_FOUND);
    } else {
        assert_int_equal(run(plain, &get), OBJSTORE_OK);
        assert_true(slice_equal(buf_slice(&get.result.body), slice_text(text)));
    }
    objstore_result_fini(&get.result);
}

static unsigned add(struct objstore_fault fault)
{
    unsigned id = 999;

    assert_int_equal(objstore_faults_add(s, &fault, &id, NULL), ST_OK);
    return id;
}

static void without_a_fault_everything_passes(void **state)
{
    (void)state;
    assert_int_equal(put(s, "k", "text"), OBJSTORE_OK);
    expect("k", "text");
    assert_int_equal(store_script(s), ST_OK);
    assert_string_equal(s->description, plain->description);
}

static void a_refused_request_has_no_effect_and_its_own_answer(void **state)
{
    struct objstore_req req = {.op = OBJSTORE_PUT, .key = "k", .body = slice_text("text")};
    unsigned id = add(objstore_fault_throttle(1234));

    (void)state;
    assert_int_equal(run(s, &req), OBJSTORE_THROTTLE);
    assert_int_equal(req.result.http_status, 503);
    assert_string_equal(req.result.s3_code, "SlowDown");
    assert_int_equal(req.result.retry_after_ms, 1234);
    assert_false(req.result.maybe_applied);
    objstore_req_reset(&req);
    expect("k", NULL);
    assert_int_equal(objstore_faults_met(s, id), 1);
    objstore_faults_remove(s, id);
    assert_int_equal(run(s, &req), OBJSTORE_OK);
    objstore_result_fini(&req.result);
    expect("k", "text");
}

static void the_usual_troubles_last_until_they_are_lifted(void **state)
{
    const struct {
        struct objstore_fault fault;
        enum objstore_class class;
        const char *code;
    } cases[] = {
        {objstore_fault_outage(), OBJSTORE_TRANSIENT, ""},
        {objstore_fault_denied(), OBJSTORE_PERMANENT, "AccessDenied"},
        {objstore_fault_bucket_gone(), OBJSTORE_PERMANENT, "NoSuchBucket"},
        {objstore_fault_full(), OBJSTORE_CAPACITY, "XMinioStorageFull"},
        {objstore_fault_throttle(1), OBJSTORE_THROTTLE, "SlowDown"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct objstore_req list = {.op = OBJSTORE_LIST, .key = ""};

        (void)add(cases[i].fault);
        for (int n = 0; n < 20; n++)
            assert_int_equal(put(s, "k", "text"), cases[i].class);
        assert_int_equal(run(s, &list), cases[i].class);
        assert_string_equal(list.result.s3_code, cases[i].code);
        objstore_result_fini(&list.result);
        objstore_faults_clear(s);
    }
    expect("k", NULL);
    assert_int_equal(put(s, "k", "text"), OBJSTORE_OK);
}

static void a_fault_meets_whom_it_names(void **state)
{
    unsigned id = add((struct objstore_fault){
        .ops = 1u << OBJSTORE_PUT, .key_prefix = "c/", .key_part = "/w/", .nth = 2, .times = 2});

    (void)state;
    assert_int_equal(put(s, "d/w/1", "x"), OBJSTORE_OK);
    assert_int_equal(put(s, "c/m/1", "x"), OBJSTORE_OK);
    assert_int_equal(put(s, "c/w/1", "x"), OBJSTORE_OK); /* the first */
    expect("c/w/1", "x");
    assert_int_equal(put(s, "c/m/2", "x"), OBJSTORE_OK);
    assert_int_equal(put(s, "c/w/2", "x"), OBJSTORE_TRANSIENT);
    assert_int_equal(put(s, "c/w/2", "x"), OBJSTORE_TRANSIENT);
    assert_int_equal(put(s, "c/w/2", "x"), OBJSTORE_OK);
    assert_int_equal(objstore_faults_met(s, id), 2);
}

static void a_lost_answer_leaves_its_effect(void **state)
{
    struct objstore_req req = {.op = OBJSTORE_PUT,
                               .key = "k",
                               .body = slice_text("text"),
                               .condition = OBJSTORE_IF_ABSENT};
    struct objstore_req get = {.op = OBJSTORE_GET, .key = "k"};

    (void)state;
    (void)add((struct objstore_fault){.kind = OBJSTORE_FAULT_LOSE, .times = 3});
    assert_int_equal(run(s, &req), OBJSTORE_TRANSIENT);
    assert_true(req.result.maybe_applied);
    assert_int_equal(req.result.etag[0], '\0');
    objstore_req_reset(&req);
    expect("k", "text");
    assert_int_equal(run(s, &req), OBJSTORE_TRANSIENT); /* this 412 was lost too */
    assert_true(req.result.maybe_applied);
    objstore_req_reset(&req);
    assert_int_equal(run(s, &get), OBJSTORE_TRANSIENT);
    assert_false(get.result.maybe_applied);
    assert_int_equal(get.result.body.bytes, 0);
    objstore_result_fini(&get.result);
    assert_int_equal(run(s, &req), OBJSTORE_PRECONDITION);
    objstore_result_fini(&req.result);
}

static void wait_for_late_effects(uint64_t want)
{
    struct clock *clock = clock_real();
    uint64_t end = clock_mono_ns(clock) + 20000000000u;

    while (objstore_faults_late_effects(s) < want) {
        struct objstore_req any = {.op = OBJSTORE_HEAD, .key = "any"};

        assert_true(clock_mono_ns(clock) < end);
        (void)run(plain, &any);
        objstore_result_fini(&any.result);
    }
}

static void a_late_effect_comes_behind_its_answer(void **state)
{
    char key[] = "k";
    char text[] = "late";

    (void)state;
    (void)add(
        (struct objstore_fault){.kind = OBJSTORE_FAULT_LATE, .delay_ms = OBJSTORE_FAULT_HOLD});
    assert_int_equal(put(s, key, text), OBJSTORE_TRANSIENT);
    memset(key, '?', sizeof key - 1); /* the caller's memory is the caller's again */
    memset(text, '?', sizeof text - 1);
    expect("k", NULL);
    assert_int_equal(objstore_faults_held(s), 1);
    assert_int_equal(put(s, "k", "newer"), OBJSTORE_OK);
    assert_int_equal(objstore_faults_late_effects(s), 0);
    assert_int_equal(objstore_faults_release(s), 1);
    wait_for_late_effects(1);
    expect("k", "late"); /* over the newer one: what the root's condition is for */
    (void)add((struct objstore_fault){.kind = OBJSTORE_FAULT_LATE, .delay_ms = 5});
    assert_int_equal(put(s, "k", "by time"), OBJSTORE_TRANSIENT);
    wait_for_late_effects(2);
    expect("k", "by time");
}

static void a_second_effect_comes_behind_a_true_answer(void **state)
{
    (void)state;
    (void)add(
        (struct objstore_fault){.kind = OBJSTORE_FAULT_TWICE, .delay_ms = OBJSTORE_FAULT_HOLD});
    assert_int_equal(put(s, "k", "first"), OBJSTORE_OK);
    expect("k", "first");
    assert_int_equal(put(s, "k", "second"), OBJSTORE_OK);
    assert_int_equal(objstore_faults_release(s), 1);
    wait_for_late_effects(1);
    expect("k", "first");
}

static void effects_still_to_come_at_the_close_never_do(void **state)
{
    (void)state;
    (void)add(
        (struct objstore_fault){.kind = OBJSTORE_FAULT_LATE, .delay_ms = OBJSTORE_FAULT_HOLD});
    assert_int_equal(put(s, "k", "late"), OBJSTORE_TRANSIENT);
    objstore_close(s);
    expect("k", NULL);
    assert_int_equal(objstore_memory_open("faults", NULL, &s, NULL), ST_OK);
}

struct latch {
    struct lock lock; /* LOCK_RANK_LEAF */
    struct cond cond;
    unsigned done;
};

static void on_done(struct objstore_req *req)
{
    struct latch *latch = req->arg;

    lock_take(&latch->lock);
    latch->done++;
    cond_signal(&latch->cond);
    lock_drop(&latch->lock);
}

static void wait_done(struct latch *latch, unsigned want)
{
    lock_take(&latch->lock);
    while (latch->done < want)
        cond_wait(&latch->cond, &latch->lock);
    lock_drop(&latch->lock);
}

static void held_requests_can_be_released_and_cancelled(void **state)
{
    struct latch latch = {.done = 0};
    struct objstore_req a = {
        .op = OBJSTORE_PUT, .key = "a", .body = slice_text("a"), .done = on_done, .arg = &latch};
    struct objstore_req b = a;

    (void)state;
    lock_init(&latch.lock, LOCK_RANK_LEAF, "faults latch");
    cond_init(&latch.cond);
    b.key = "b";
    (void)add((struct objstore_fault){
        .kind = OBJSTORE_FAULT_DELAY, .times = 2, .delay_ms = OBJSTORE_FAULT_HOLD});
    objstore_submit(s, &a);
    objstore_submit(s, &b);
    assert_int_equal(objstore_faults_held(s), 2);
    objstore_cancel(s, &a);
    wait_done(&latch, 1);
    assert_int_equal(a.result.class, OBJSTORE_CANCELLED);
    assert_false(a.result.maybe_applied);
    expect("a", NULL);
    expect("b", NULL);
    assert_int_equal(objstore_faults_release(s), 1);
    wait_done(&latch, 2);
    assert_int_equal(b.result.class, OBJSTORE_OK);
    expect("b", "a");
    objstore_result_fini(&a.result);
    objstore_result_fini(&b.result);
    cond_fini(&latch.cond);
    lock_fini(&latch.lock);
}

static void bodies_are_damaged_as_said(void **state)
{
    struct objstore_req get = {.op = OBJSTORE_GET, .key = "k"};
    unsigned bits = 0;

    (void)state;
    assert_int_equal(put(s, "k", "0123456789"), OBJSTORE_OK);
    (void)add((struct objstore_fault){.kind = OBJSTORE_FAULT_CORRUPT});
    assert_int_equal(run(s, &get), OBJSTORE_OK);
    assert_int_equal(get.result.body.bytes, 10);
    for (unsigned i = 0; i < 10; i++)
        bits += (unsigned)__builtin_popcount(get.result.body.data[i] ^ ('0' + i));
    assert_int_equal(bits, 1);
    objstore_req_reset(&get);
    (void)add((struct objstore_fault){.kind = OBJSTORE_FAULT_TRUNCATE});
    assert_int_equal(run(s, &get), OBJSTORE_OK);
    assert_true(get.result.body.bytes < 10);
    assert_memory_equal(get.result.body.data, "0123456789", get.result.body.bytes);
    objstore_req_reset(&get);
    assert_int_equal(run(s, &get), OBJSTORE_OK);
    assert_int_equal(get.result.body.bytes, 10);
    objstore_result_fini(&get.result);
}

static void faults_are_bounded_and_their_places_used_again(void **state)
{
    struct objstore_fault never = {.key_part = "never"};
    struct err err;

    (void)state;
    for (int i = 0; i < OBJSTORE_FAULTS_MAX; i++)
        assert_int_equal(add(never), i);
    assert_int_equal(objstore_faults_add(s, &never, NULL, &err), ST_LIMIT);
    objstore_faults_remove(s, 5);
    assert_int_equal(add(objstore_fault_outage()), 5);
    assert_int_equal(put(s, "k", "x"), OBJSTORE_TRANSIENT);
}

enum { DRAWS = 100000 };

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void expect_quantile(const uint64_t *sorted, double q, double want_ms)
{
    double ms = (double)sorted[(size_t)(q * DRAWS)] / 1e6;

    if (ms < want_ms * 0.9 || ms > want_ms * 1.1)
        fail_msg("quantile %g is %g ms, not %g", q, ms, want_ms);
}

static void profiles_have_the_quantiles_of_the_study(void **state)
{
    static uint64_t drawn[DRAWS];
    static const struct {
        enum objstore_profile profile;
        enum objstore_op op;
        double p50, p99;
    } cases[] = {{OBJSTORE_PROFILE_S3, OBJSTORE_GET, 26, 70},
                 {OBJSTORE_PROFILE_S3, OBJSTORE_PUT, 35, 200},
                 {OBJSTORE_PROFILE_LAN, OBJSTORE_GET, 1.5, 10},
                 {OBJSTORE_PROFILE_LAN, OBJSTORE_PUT, 4, 25}};
    struct rand_seeded rng;

    (void)state;
    rand_seeded_init(&rng, 3);
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        for (size_t i = 0; i < DRAWS; i++)
            drawn[i] = objstore_profile_ns(cases[c].profile, cases[c].op, false, 0,
                                           (double)(rand_u64(&rng.source) >> 11) / 0x1p53);
        qsort(drawn, DRAWS, sizeof drawn[0], by_size);
        expect_quantile(drawn, 0.5, cases[c].p50);
        expect_quantile(drawn, 0.99, cases[c].p99);
    }
    assert_int_equal(objstore_profile_ns(OBJSTORE_PROFILE_NONE, OBJSTORE_GET, false, 1 << 20, 0.5),
                     0);
    /* 82 MiB take a second more. */
    assert_int_equal(objstore_profile_ns(OBJSTORE_PROFILE_S3, OBJSTORE_GET, false, 82u << 20, 0.5) -
                         objstore_profile_ns(OBJSTORE_PROFILE_S3, OBJSTORE_GET, false, 0, 0.5),
                     1000000000u);
}

static void a_profile_takes_its_time_and_ends_when_switched_off(void **state)
{
    struct clock *clock = clock_real();
    struct objstore_req get = {.op = OBJSTORE_GET, .key = "k"};
    uint64_t start;

    (void)state;
    assert_int_equal(put(s, "k", "x"), OBJSTORE_OK);
    objstore_faults_profile(s, OBJSTORE_PROFILE_LAN);
    start = clock_mono_ns(clock);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(run(s, &get), OBJSTORE_OK);
        objstore_req_reset(&get);
        assert_int_equal(put(s, "k", "x"), OBJSTORE_OK);
    }
    /* No draw is below 0.6 of the median: 0.9 and 2.4 ms. */
    assert_true(clock_mono_ns(clock) - start >= 33000000);
    objstore_faults_profile(s, OBJSTORE_PROFILE_NONE);
    assert_int_equal(put(s, "k", "y"), OBJSTORE_OK);
}

static status sweep(void *arg)
{
    static const struct objstore_fault plan[] = {
        {.kind = OBJSTORE_FAULT_TWICE, .ops = 1u << OBJSTORE_HEAD},
        {.kind = OBJSTORE_FAULT_CORRUPT, .ops = 1u << OBJSTORE_LIST},
        {.kind = OBJSTORE_FAULT_DELAY, .nth = 4, .times = 2, .delay_ms = 0},
    };
    struct objstore *memory = NULL;
    struct objstore *faulty = NULL;
    status st = objstore_memory_open("faults-sweep", NULL, &memory, NULL);

    (void)arg;
    if (st == ST_OK) {
        st = objstore_faults_open(memory, 1, &faulty, NULL);
        if (st != ST_OK)
            objstore_close(memory);
    }
    for (size_t i = 0; i < COUNT_OF(plan) && st == ST_OK; i++)
        st = objstore_faults_add(faulty, &plan[i], NULL, NULL);
    if (st == ST_OK)
        st = store_script(faulty);
    objstore_close(faulty);
    objstore_memory_forget("faults-sweep");
    return st;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(alloc_sweep(sweep, NULL) >= 10);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(without_a_fault_everything_passes),
        WITH_STORE(a_refused_request_has_no_effect_and_its_own_answer),
        WITH_STORE(the_usual_troubles_last_until_they_are_lifted),
        WITH_STORE(a_fault_meets_whom_it_names),
        WITH_STORE(a_lost_answer_leaves_its_effect),
        WITH_STORE(a_late_effect_comes_behind_its_answer),
        WITH_STORE(a_second_effect_comes_behind_a_true_answer),
        WITH_STORE(effects_still_to_come_at_the_close_never_do),
        WITH_STORE(held_requests_can_be_released_and_cancelled),
        WITH_STORE(bodies_are_damaged_as_said),
        WITH_STORE(faults_are_bounded_and_their_places_used_again),
        cmocka_unit_test(profiles_have_the_quantiles_of_the_study),
        WITH_STORE(a_profile_takes_its_time_and_ends_when_switched_off),
        cmocka_unit_test(every_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
