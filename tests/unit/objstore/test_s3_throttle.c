/* The whole client before a server that takes so many requests a second and says SlowDown to the
 * rest, and callers at their worst: who is refused asks again at once. */
#include "base/lock.h"
#include "objstore/meter.h"
#include "tests/unit/objstore/s3_try.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { JOBS = 150, RATE = 50, CEILING = 8 };

struct crowd {
    struct objstore *store;
    struct lock lock; /* LOCK_RANK_LEAF */
    struct cond cond;
    size_t done, refused;
    struct objstore_req reqs[JOBS];
};

static void on_done(struct objstore_req *req)
{
    struct crowd *c = req->arg;
    bool refused = req->result.class == OBJSTORE_THROTTLE;

    assert_true(refused || req->result.class == OBJSTORE_OK);
    objstore_req_reset(req); /* before it is counted: the next round may take it then */
    lock_take(&c->lock);
    c->refused += refused;
    c->done += !refused;
    cond_signal(&c->cond);
    lock_drop(&c->lock);
    if (refused)
        objstore_submit(c->store, req);
}

static void run_crowd(struct crowd *c)
{
    for (size_t i = 0; i < JOBS; i++) {
        c->reqs[i] = (struct objstore_req){.op = OBJSTORE_PUT,
                                           .pool = OBJSTORE_BULK,
                                           .key = "k",
                                           .body = slice_text("body"),
                                           .done = on_done,
                                           .arg = c};
        objstore_submit(c->store, &c->reqs[i]);
    }
    lock_take(&c->lock);
    while (c->done < JOBS)
        cond_wait(&c->cond, &c->lock);
    lock_drop(&c->lock);
}

/* Without a limit of its own the pool would send a thousand a second. */
static void a_crowd_that_is_throttled_is_no_storm(void **state)
{
    static const struct http_line lines[] = {
        {.answer = HTTP_OK HTTP_EMPTY},
        {.answer = "HTTP/1.1 503 Slow Down\r\nContent-Length: 38\r\n\r\n"
                   "<Error><Code>SlowDown</Code></Error>  "}};
    struct stats *stats = NULL;
    struct stats_metric *allowed[OBJSTORE_POOLS];
    struct objstore_options options = {.connections_max = {4, 4, CEILING}};
    struct crowd *c = calloc(1, sizeof *c);
    struct s3_try t;
    double lowest;

    (void)state;
    assert_non_null(c);
    assert_int_equal(stats_create(&stats, NULL), ST_OK);
    options.stats = stats;
    objstore_meter_pools(stats, allowed);
    lock_init(&c->lock, LOCK_RANK_LEAF, "crowd");
    cond_init(&c->cond);
    s3_try_open_with(&t, lines, COUNT_OF(lines), &options);
    c->store = t.store;
    http_script_limit(t.server, RATE);
    run_crowd(c);
    lowest = stats_value(allowed[OBJSTORE_BULK]);
    if (c->refused > (size_t)2 * JOBS || lowest > CEILING / 2)
        fail_msg("%zu refused for %d that were taken, %.0f allowed", c->refused, JOBS, lowest);
    assert_true(c->refused > 0);
    http_script_limit(t.server, 0); /* it is well again */
    for (int round = 0; round < 3; round++) {
        c->done = c->refused = 0;
        run_crowd(c);
        assert_int_equal(c->refused, 0);
    }
    assert_true(stats_value(allowed[OBJSTORE_BULK]) == CEILING);
    s3_try_close(&t);
    cond_fini(&c->cond);
    lock_fini(&c->lock);
    free(c);
    stats_destroy(stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crowd_that_is_throttled_is_no_storm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
