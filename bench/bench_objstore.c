/* bench_objstore.c - requests against a bucket: rate, latency and what they cost this process.
 *
 * Usage: scripts/s3_servers run minio build/release/bench/bench_objstore [object KiB] [seconds]
 *        bench_objstore URL [object KiB] [seconds]      any bucket objstore/open.h can open
 *
 * Closed loop: so many requests are in flight, each that ends is asked again. CPU is of this
 * process alone, all its threads; a local server takes its share of the same cores beside it, so
 * its rate is the machine's, not the network's. Objects are deleted at the end. */
#include "base/lock.h"
#include "base/mem.h"
#include "objstore/open.h"
#include "tests/conformance/libs3_store.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { OBJECTS = 16, FLIGHT_MAX = 16, SAMPLES_MAX = 1 << 18, KEY_BYTES = 64 };

static struct objstore *store;
static char keys[OBJECTS][KEY_BYTES];
static char etags[OBJECTS][OBJSTORE_ETAG_BYTES];

struct run {
    struct lock lock; /* LOCK_RANK_LEAF */
    struct cond cond;
    uint64_t until_ns;
    size_t flying;
    size_t count, failed;
    uint64_t bytes;
    double *ms;
    uint64_t began_ns[FLIGHT_MAX];
    struct objstore_req reqs[FLIGHT_MAX];
};

static uint64_t now_ns(void)
{
    return clock_mono_ns(clock_real());
}

static double cpu_s(void)
{
    struct rusage u;

    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void note_locked(struct run *r, struct objstore_req *req, size_t at)
{
    bool fine = objstore_class_status(req->result.class) == ST_OK;

    if (!fine && r->failed++ == 0)
        (void)fprintf(stderr, "%s\n", req->result.err.text);
    if (r->count < SAMPLES_MAX)
        r->ms[r->count] = (double)(now_ns() - r->began_ns[at]) / 1e6;
    r->count++;
    r->bytes += req->op == OBJSTORE_PUT ? req->body.bytes : req->result.body.bytes;
}

static void again(struct objstore_req *req)
{
    struct run *r = req->arg;
    size_t at = (size_t)(req - r->reqs);
    bool more;

    lock_take(&r->lock);
    note_locked(r, req, at);
    more = now_ns() < r->until_ns && r->failed < 10;
    if (!more) {
        r->flying--;
        cond_signal(&r->cond);
    }
    lock_drop(&r->lock);
    if (!more)
        return;
    objstore_req_reset(req);
    r->began_ns[at] = now_ns();
    objstore_submit(store, req);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print(const struct run *r, const char *what, size_t flight, double wall, double cpu)
{
    size_t samples = r->count < SAMPLES_MAX ? r->count : SAMPLES_MAX;

    qsort(r->ms, samples, sizeof *r->ms, by_value);
    (void)printf("%-12s in flight %2zu  %8.1f /s  %7.1f MiB/s  p50 %7.2f ms  p99 %7.2f ms  "
                 "cpu %6.0f us each, %3.0f %% of a core%s\n",
                 what, flight, (double)r->count / wall, (double)r->bytes / wall / 1048576.0,
                 r->ms[samples / 2], r->ms[samples * 99 / 100], cpu * 1e6 / (double)r->count,
                 cpu / wall * 100, r->failed > 0 ? "  FAILED" : "");
}

static bool measure(const char *what, struct objstore_req like, size_t flight, double seconds)
{
    struct run *r = mem_zero(sizeof *r);
    uint64_t began = now_ns();
    double cpu = cpu_s();
    bool fine;

    if (r == NULL || (r->ms = mem_alloc_array(SAMPLES_MAX, sizeof *r->ms)) == NULL)
        exit(1);
    lock_init(&r->lock, LOCK_RANK_LEAF, "bench");
    cond_init(&r->cond);
    r->until_ns = began + (uint64_t)(seconds * 1e9);
    r->flying = flight;
    for (size_t i = 0; i < flight; i++) {
        r->reqs[i] = like;
        r->reqs[i].key = keys[i];
        r->reqs[i].etag = etags[i];
        r->reqs[i].done = again;
        r->reqs[i].arg = r;
        r->began_ns[i] = now_ns();
        objstore_submit(store, &r->reqs[i]);
    }
    lock_take(&r->lock);
    while (r->flying > 0)
        cond_wait(&r->cond, &r->lock);
    lock_drop(&r->lock);
    print(r, what, flight, (double)(now_ns() - began) / 1e9, cpu_s() - cpu);
    fine = r->failed == 0;
    for (size_t i = 0; i < flight; i++) {
        if (like.op == OBJSTORE_PUT)
            memcpy(etags[i], r->reqs[i].result.etag, sizeof etags[i]);
        objstore_result_fini(&r->reqs[i].result);
    }
    cond_fini(&r->cond);
    lock_fini(&r->lock);
    mem_free(r->ms);
    mem_free(r);
    return fine;
}

static bool measure_all(struct slice body, double seconds)
{
    static const size_t flights[] = {1, 4, 16};
    static const uint8_t small[1024];
    const struct objstore_req put = {.op = OBJSTORE_PUT, .body = body};
    const struct objstore_req get = {.op = OBJSTORE_GET};
    const struct objstore_req put_small = {.op = OBJSTORE_PUT, .body = {small, sizeof small}};
    const struct objstore_req changed = {.op = OBJSTORE_GET, .condition = OBJSTORE_IF_CHANGED};
    bool fine = true;

    for (size_t i = 0; fine && i < COUNT_OF(flights); i++)
        fine = measure("put", put, flights[i], seconds);
    for (size_t i = 0; fine && i < COUNT_OF(flights); i++)
        fine = measure("get", get, flights[i], seconds);
    for (size_t i = 0; fine && i < COUNT_OF(flights); i++)
        fine = measure("put 1 KiB", put_small, flights[i], seconds);
    for (size_t i = 0; fine && i < COUNT_OF(flights); i++)
        fine = measure("get 1 KiB", get, flights[i], seconds);
    for (size_t i = 0; fine && i < COUNT_OF(flights); i++)
        fine = measure("get if new", changed, flights[i], seconds);
    return fine;
}

static void name_and_clear(bool clear)
{
    for (size_t i = 0; i < OBJECTS; i++) {
        struct objstore_req req = {.op = OBJSTORE_DELETE, .key = keys[i]};

        (void)snprintf(keys[i], sizeof keys[i], "bench/%zu", i);
        if (clear && objstore_wait(store, &req, NULL) != ST_OK)
            (void)fprintf(stderr, "%s\n", req.result.err.text);
        objstore_result_fini(&req.result);
    }
}

static status open_store(const struct objstore_options *options, struct err *err)
{
#ifdef BENCH_LIBS3
    (void)options;
    return libs3_store_open(false, &store, err);
#else
    return objstore_open(options, &store, err);
#endif
}

int main(int argc, char **argv)
{
    const char *url = getenv("TIERVEC_TEST_S3_URL");
    size_t kib = 4096;
    double seconds = 5;
    struct objstore_options options = {0};
    struct err err;
    uint8_t *bytes;
    bool fine;

    if (argc > 1 && strstr(argv[1], ":") != NULL) {
        url = argv[1];
        argv++;
        argc--;
    }
    if (argc > 1)
        kib = strtoul(argv[1], NULL, 10);
    if (argc > 2)
        seconds = strtod(argv[2], NULL);
    options.url = url != NULL ? url : "memory:bench";
    if (open_store(&options, &err) != ST_OK) {
        (void)fprintf(stderr, "bench_objstore: %s\n", err.text);
        return 1;
    }
    bytes = mem_alloc(kib * 1024 + 8);
    if (bytes == NULL)
        return 1;
    for (size_t i = 0; i < kib * 1024; i += 8)
        le_put_u64(bytes + i, i * UINT64_C(0x9e3779b97f4a7c15));
    (void)printf("%s, objects of %zu KiB, %.0f s each\n", store->description, kib, seconds);
    name_and_clear(false);
    fine = measure_all(slice_make(bytes, kib * 1024), seconds);
    name_and_clear(true);
    objstore_close(store);
    mem_free(bytes);
    return fine ? 0 : 1;
}
