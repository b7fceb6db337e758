/* alloc_sweep.h - runs a function with its first allocation failing, then its second, and so on,
 * until a run asks for fewer allocations than that and so meets no failure.
 *
 *     static status build_one(void *arg)
 *     {
 *         struct thing *t = NULL;
 *         status st = thing_create(&t, NULL);
 *
 *         thing_destroy(t);   // NULL when st is not ST_OK: nothing is written on failure
 *         return st;
 *     }
 *     assert_int_equal(alloc_sweep(build_one, NULL), 3);   // or assert_true(... >= 1)
 *
 * A run whose allocation failed says ST_NOMEM, or ST_OK where the code can do without; the last
 * run, without a failure, says ST_OK. Leaks are the sanitizer's to find: a run frees what it made.
 * What must hold after a failure (nothing half done) the function asserts itself.
 *
 * Threads    the hook of base/mem.h sees every thread's allocations. Work of other threads makes
 *            the count uncertain, but not the end: sweeps stop at the first run without a failure.
 */
#ifndef TESTS_SUPPORT_ALLOC_SWEEP_H
#define TESTS_SUPPORT_ALLOC_SWEEP_H

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef status alloc_sweep_fn(void *arg);

/* More runs than this are a function that never gets through. */
enum { ALLOC_SWEEP_RUNS_MAX = 100000 };

/* Returns how many runs met a failure: the allocations of a run that meets none. */
static inline int64_t alloc_sweep(alloc_sweep_fn *fn, void *arg)
{
    for (int64_t n = 0; n < ALLOC_SWEEP_RUNS_MAX; n++) {
        status st;
        bool failed;

        mem_test_fail_after(n);
        st = fn(arg);
        failed = mem_test_count() > n;
        mem_test_fail_after(-1);
        if (st != ST_OK && !(failed && st == ST_NOMEM))
            fail_msg("allocation %lld %s: the run said %s", (long long)n,
                     failed ? "failed" : "was not reached", status_name(st));
        if (!failed)
            return n;
    }
    fail_msg("still failing after %d runs", (int)ALLOC_SWEEP_RUNS_MAX);
    return -1;
}

#endif
