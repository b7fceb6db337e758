/* bench_fold - rows of a head into a cold segment, some of them again beside it, all of it merged,
 * read row by row and verified: seconds, memory, bytes, requests.
 *
 *   bench_fold BUCKET_DIRECTORY SCRATCH_DIRECTORY [rows] [dim] [update percent]
 *
 * Vectors are random around random centres, of unit length; payloads some 100 bytes. Memory is that
 * of the process without mapped files (RssAnon), looked at all the time; the generator has one row.
 * The bucket is a directory, so its requests cost what a disk does. */
#include "base/json.h"
#include "base/lock.h"
#include "index/vindex.h"
#include "objstore/directory.h"
#include "snapshot/ask.h"
#include "snapshot/fold.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CENTRES = 256, FIRST_PERCENT = 100 };

struct bench {
    uint32_t rows, dim;
    uint64_t round; /* rows of a later round are others, at other ids */
    uint32_t first, count;
    float *centres, *vector;
    struct rand_seeded rand;
    struct buf payload;
    struct root root;
    struct manifest manifest;
    struct catalog_field field;
    struct catalog_collection schema;
    struct objstore *store;
    const char *scratch;
    uint64_t lsn;
};
static struct thread watcher;
static _Atomic bool watching;
static _Atomic uint64_t peak_kb;

static void must(status st, const struct err *err)
{
    if (st == ST_OK)
        return;
    fprintf(stderr, "bench_fold: %s\n", err->text);
    exit(1);
}

static double now_s(clockid_t which)
{
    struct timespec t;

    clock_gettime(which, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void watch(void *arg)
{
    (void)arg;
    while (atomic_load(&watching)) {
        FILE *f = fopen("/proc/self/status", "r");
        unsigned long long kb = 0;
        char line[256];

        while (f != NULL && fgets(line, sizeof line, f) != NULL)
            if (sscanf(line, "RssAnon: %llu", &kb) == 1 && kb > atomic_load(&peak_kb))
                atomic_store(&peak_kb, kb);
        if (f != NULL)
            fclose(f);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
}

/* --- the head --- */

static float normal(struct rand_source *r)
{
    float sum = 0;

    for (int i = 0; i < 4; i++)
        sum += (float)(rand_below(r, 20001)) / 10000.0f - 1.0f;
    return sum;
}

static void make_vector(struct bench *b, uint32_t id)
{
    struct rand_seeded r;
    const float *centre;
    float norm = 0;

    rand_seeded_init(&r, id * UINT64_C(1000003) + b->round);
    centre = b->centres + rand_below(&r.source, CENTRES) * b->dim;
    for (uint32_t i = 0; i < b->dim; i++) {
        b->vector[i] = centre[i] + 0.7f * normal(&r.source);
        norm += b->vector[i] * b->vector[i];
    }
    for (uint32_t i = 0; i < b->dim; i++)
        b->vector[i] /= sqrtf(norm);
}

static status each_row(void *arg,
                       status (*fn)(void *fn_arg, const struct fold_row *row, struct err *err),
                       void *fn_arg, struct err *err)
{
    struct bench *b = arg;
    const float *vectors[] = {b->vector};
    status st = ST_OK;

    for (uint32_t i = 0; st == ST_OK && i < b->count; i++) {
        struct fold_row row = {.lsn = b->lsn + i + 1,
                               .inserted_at_ns = 1,
                               .id = docid_u64(b->first + (uint64_t)i * 20 % b->rows),
                               .payload = buf_slice(&b->payload),
                               .vectors = vectors};

        if (b->round == 0)
            row.id = docid_u64(i);
        make_vector(b, (uint32_t)row.id.u64);
        st = fn(fn_arg, &row, err);
    }
    return st;
}

static status each_tombstone(void *arg,
                             status (*fn)(void *fn_arg, const struct docid *id, uint64_t lsn,
                                          struct err *err),
                             void *fn_arg, struct err *err)
{
    (void)arg;
    (void)fn;
    (void)fn_arg;
    (void)err;
    return ST_OK;
}

static status commit(void *arg, uint64_t revision, const struct object_ref *manifest,
                     const struct log_floor *floor, size_t absorbed, bool base_complete,
                     struct err *err)
{
    struct bench *b = arg;

    (void)floor;
    (void)absorbed;
    (void)base_complete;
    (void)err;
    b->root.revision = revision;
    b->root.has_manifest = true;
    b->root.manifest_revision = revision;
    b->root.manifest = *manifest;
    return ST_OK;
}

/* --- what is measured --- */

struct watched {
    double wall, cpu;
};

static struct watched begin(void)
{
    struct watched w = {.wall = now_s(CLOCK_MONOTONIC), .cpu = now_s(CLOCK_PROCESS_CPUTIME_ID)};
    struct err err;

    atomic_store(&peak_kb, 0);
    atomic_store(&watching, true);
    must(thread_start(&watcher, "watch", THREAD_NORMAL, watch, NULL, &err), &err);
    return w;
}

static void end(struct watched *w)
{
    atomic_store(&watching, false);
    thread_join(&watcher);
    w->wall = now_s(CLOCK_MONOTONIC) - w->wall;
    w->cpu = now_s(CLOCK_PROCESS_CPUTIME_ID) - w->cpu;
}

static void run_fold(struct bench *b, const char *what, bool all)
{
    struct fold_options o = {
        .publish = {.store = b->store,
                    .clock = clock_real(),
                    .rand = rand_kernel(),
                    .fs = fs_real(),
                    .schema = &b->schema,
                    .root = &b->root,
                    .max_retries = 1,
                    .base_backoff_ms = 1,
                    .max_backoff_ms = 2,
                    .commit = commit,
                    .commit_arg = b},
        .head = {.each_row = each_row, .each_tombstone = each_tombstone, .arg = b},
        .scratch_dir = b->scratch,
        .all = all,
        .seed = 1};
    struct fold_report report;
    struct manifest after;
    struct watched w;
    struct err err = {0};

    o.publish.lsn = b->lsn + b->count;
    o.publish.shipped = (struct log_floor){.lsn = o.publish.lsn, .epoch = 1, .seq = 1};
    memcpy(o.publish.collection, b->schema.id, 16);
    w = begin();
    must(fold_run(&o, b->root.has_manifest ? &b->manifest : NULL, &after, &report, &err), &err);
    end(&w);
    manifest_free(&b->manifest);
    b->manifest = after;
    b->lsn = o.publish.lsn;
    printf("%-8s %8u rows of the head, %2u merged: %8llu rows written, %7llu dead, %6.2f s, %6.2f "
           "s CPU, "
           "%6.1f MB sent, %4llu requests, %7.1f MB of memory, %4.0f bytes a row\n",
           what, b->count, report.merged, (unsigned long long)report.rows_written,
           (unsigned long long)report.rows_dead, w.wall, w.cpu, (double)report.publish.bytes / 1e6,
           (unsigned long long)report.requests, (double)atomic_load(&peak_kb) / 1e3,
           (double)atomic_load(&peak_kb) * 1024 / (double)report.rows_written);
}

static status on_row(void *arg, const struct cold_stream_row *row, struct err *err)
{
    (void)row;
    (void)err;
    ++*(uint64_t *)arg;
    return ST_OK;
}

static void run_read(struct bench *b)
{
    const struct ask ask = {.store = b->store,
                            .clock = clock_real(),
                            .rand = rand_kernel(),
                            .policy = objstore_retry_background(1, 2, 1)};
    struct cold_stream_report report;
    struct watched w = begin();
    struct err err = {0};
    uint64_t rows = 0, bytes = 0, sum = 0;

    for (size_t i = 0; i < b->manifest.cold_count; i++) {
        const struct cold_stream_options o = {.ask = &ask,
                                              .collection = b->schema.id,
                                              .segment = &b->manifest.colds[i],
                                              .schema = &b->schema};

        must(cold_stream(&o, on_row, &rows, &report, &err), &err);
        sum += report.bytes;
    }
    end(&w);
    printf("stream   %8llu rows in %6.2f s, %6.1f MB, %7.1f MB of memory\n",
           (unsigned long long)rows, w.wall, (double)sum / 1e6,
           (double)atomic_load(&peak_kb) / 1e3);
    w = begin();
    for (size_t i = 0; i < b->manifest.cold_count; i++)
        must(cold_verify(&ask, b->schema.id, &b->manifest.colds[i], &bytes, &err), &err);
    end(&w);
    printf("verify   %8llu rows in %6.2f s, %7.1f MB of memory\n", (unsigned long long)rows, w.wall,
           (double)atomic_load(&peak_kb) / 1e3);
}

static void open_bench(struct bench *b, char **argv)
{
    static char name[] = "docs", field[] = "";
    struct err err = {0};
    struct jdoc *doc;
    struct jval root;

    must(objstore_directory_open(argv[1], fs_real(), clock_real(), rand_kernel(), &b->store, &err),
         &err);
    b->scratch = argv[2];
    b->centres = calloc((size_t)CENTRES * b->dim, sizeof *b->centres);
    b->vector = calloc(b->dim, sizeof *b->vector);
    rand_seeded_init(&b->rand, 1);
    for (size_t i = 0; i < (size_t)CENTRES * b->dim; i++)
        b->centres[i] = normal(&b->rand.source);
    b->field = (struct catalog_field){.name = field,
                                      .dim = b->dim,
                                      .metric = VMETRIC_COSINE,
                                      .m = 16,
                                      .ef_construction = 200,
                                      .ef_search = 100,
                                      .threshold = 1000,
                                      .quantization = QUANTIZATION_SCALAR};
    b->schema = (struct catalog_collection){.name = name,
                                            .policy = POLICY_MEMORY_S3,
                                            .durability = DURABILITY_LOCAL,
                                            .fields = &b->field,
                                            .field_count = 1};
    uuid_make_v4(rand_kernel(), b->schema.id);
    b->root = (struct root){.state = ROOT_LIVE, .epoch = 1};
    memcpy(b->root.collection, b->schema.id, 16);
    manifest_init(&b->manifest);
    buf_init(&b->payload, 1000);
    must(jdoc_create(&doc, &err), &err);
    must(jdoc_parse(doc,
                    slice_text("{\"title\":\"a text of some length, as documents have one\","
                               "\"year\":1999,\"tags\":[\"red\",\"green\"]}"),
                    &root, &err),
         &err);
    jbin_put(&b->payload, root);
    jdoc_destroy(doc);
}

int main(int argc, char **argv)
{
    struct bench b = {.rows = argc > 3 ? (uint32_t)atoi(argv[3]) : 100000,
                      .dim = argc > 4 ? (uint32_t)atoi(argv[4]) : 384};
    uint32_t percent = argc > 5 ? (uint32_t)atoi(argv[5]) : 5;

    if (argc < 3 || b.rows == 0 || b.dim == 0 || percent > FIRST_PERCENT) {
        fprintf(stderr, "bench_fold BUCKET_DIRECTORY SCRATCH_DIRECTORY [rows] [dim] [percent]\n");
        return 2;
    }
    open_bench(&b, argv);
    b.count = b.rows;
    run_fold(&b, "first", false);
    b.round = 1;
    b.count = (uint32_t)((uint64_t)b.rows * percent / 100);
    run_fold(&b, "update", false);
    b.count = 0;
    run_fold(&b, "merge", true);
    run_read(&b);
    objstore_close(b.store);
    return 0;
}
