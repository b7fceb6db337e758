/* bench_filtered - filtered queries of a node: recall and time at several selectivities, without a
 * payload index and with one.
 *
 *     bench_filtered DIRECTORY [rows] [queries] [BASE.npy]
 *
 * DIRECTORY is empty or new, and stays behind. Rows are random ones near 1,000 centres in 128
 * dimensions, or those of the file; queries are rows moved a little. Which row matches has nothing
 * to do with its vector. The right answer is the same query with `exact`. One thread; what others
 * do on the machine is in the figures. */
#include "base/lock.h"
#include "bench/npy.h"
#include "node/points.h"

#include "index/vindex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TOP_K = 10, CENTRES = 1000, BATCH = 1000, DIM = 128, QUERIES_MAX = 10000 };

static struct rand_seeded seeded;

struct call {
    struct lock lock;
    struct cond cond;
    bool done;
    status st;
    struct err err;
};

static void die(const char *what, const struct err *err)
{
    fprintf(stderr, "bench_filtered: %s: %s\n", what, err == NULL ? "" : err->text);
    exit(1);
}

static void call_begin(struct call *c)
{
    *c = (struct call){0};
    lock_init(&c->lock, LOCK_RANK_LEAF, "call");
    cond_init(&c->cond);
}

static void call_end(struct call *c, status st, const struct err *err)
{
    lock_take(&c->lock);
    c->done = true;
    c->st = st;
    if (err != NULL)
        c->err = *err;
    cond_broadcast(&c->cond);
    lock_drop(&c->lock);
}

static void admin_done(void *arg, status st, const struct collection_info *info,
                       const struct err *err)
{
    (void)info;
    call_end(arg, st, err);
}

static void write_done(void *arg, status st, const struct write_result *result,
                       const struct err *err)
{
    (void)result;
    call_end(arg, st, err);
}

static void call_wait(struct call *c, const char *what)
{
    lock_take(&c->lock);
    while (!c->done)
        cond_wait(&c->cond, &c->lock);
    lock_drop(&c->lock);
    if (c->st != ST_OK)
        die(what, &c->err);
}

static float uniform(void)
{
    return (float)((double)(rand_u64(&seeded.source) >> 11) * 0x1.0p-52 - 1.0);
}

static float *make_rows(uint32_t rows)
{
    float *centres = malloc(sizeof(float) * CENTRES * DIM);
    float *all = malloc(sizeof(float) * rows * DIM);

    if (centres == NULL || all == NULL)
        die("memory", NULL);
    for (size_t i = 0; i < (size_t)CENTRES * DIM; i++)
        centres[i] = uniform();
    for (size_t i = 0; i < rows; i++) {
        const float *centre = centres + rand_below(&seeded.source, CENTRES) * DIM;

        for (size_t j = 0; j < DIM; j++)
            all[i * DIM + j] = centre[j] + 0.7f * uniform();
    }
    free(centres);
    return all;
}

/* {"a": row's lot below 1,000, "text": some 200 bytes} */
static void make_payload(struct buf *out, uint64_t lot)
{
    static const char text[] =
        "What a payload has beside the keys that are filtered by: a text of some length, as it was "
        "cut out of a document, which is given back with the answer and looked at by nobody before "
        "that.";
    size_t object;

    buf_reset(out);
    jbin_put_version(out);
    object = jbin_open(out, true);
    jbin_put_key(out, slice_text("a"));
    buf_put_u8(out, 3); /* an integer */
    buf_put_varint(out, lot);
    jbin_put_key(out, slice_text("text"));
    jbin_put_key(out, slice_text(text));
    jbin_close(out, object);
}

static void fill(struct collection *c, const float *rows, uint32_t count, uint32_t dim)
{
    static struct write_row batch[BATCH];
    static struct buf payloads[BATCH];
    float *vectors = malloc(sizeof(float) * BATCH * dim);

    if (vectors == NULL)
        die("memory", NULL);
    for (uint32_t i = 0; i < BATCH; i++)
        buf_init(&payloads[i], 4096);
    for (uint32_t from = 0; from < count; from += BATCH) {
        uint32_t n = count - from < BATCH ? count - from : BATCH;
        struct call call;

        memcpy(vectors, rows + (size_t)from * dim, sizeof(float) * n * dim);
        for (uint32_t i = 0; i < n; i++) {
            make_payload(&payloads[i], rand_below(&seeded.source, 1000));
            batch[i] = (struct write_row){.id = docid_u64(from + i + 1),
                                          .vector = vectors + (size_t)i * dim,
                                          .payload = buf_slice(&payloads[i])};
        }
        call_begin(&call);
        node_write(c, batch, n, write_done, &call);
        call_wait(&call, "write");
    }
    for (uint32_t i = 0; i < BATCH; i++)
        buf_free(&payloads[i]);
    free(vectors);
}

static int by_number(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static double cpu_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

struct measured {
    uint64_t right, wanted, filter_rows, filter_ns;
    double selectivity, cpu_us;
    const char *plan;
    double us[QUERIES_MAX];
};

static void measure(struct collection *c, const struct filter *filter, const float *queries,
                    uint32_t count, uint32_t dim, const char *name)
{
    static struct measured m;
    const struct point_query points = {.filter = filter};
    float *query = malloc(sizeof(float) * dim);
    struct arena arena;

    if (query == NULL)
        die("memory", NULL);
    m = (struct measured){.plan = ""};
    arena_init(&arena, (size_t)1 << 30);
    for (uint32_t i = 0; i < count; i++) {
        struct query_options o = {.top_k = TOP_K, .points = &points};
        struct query_result got, right;
        uint64_t begun;
        struct err err;

        memcpy(query, queries + (size_t)i * dim, sizeof(float) * dim);
        begun = clock_mono_ns(clock_real());
        m.cpu_us -= cpu_us();
        if (node_query(c, query, &o, &arena, &got, &err) != ST_OK)
            die("query", &err);
        m.cpu_us += cpu_us();
        m.us[i] = (double)(clock_mono_ns(clock_real()) - begun) / 1e3;
        o.exact = true;
        memcpy(query, queries + (size_t)i * dim, sizeof(float) * dim);
        if (node_query(c, query, &o, &arena, &right, &err) != ST_OK)
            die("query", &err);
        for (uint32_t a = 0; a < right.count; a++)
            for (uint32_t b = 0; b < got.count; b++)
                m.right += docid_equal(&right.matches[a].id, &got.matches[b].id) ? 1 : 0;
        m.wanted += right.count;
        m.filter_rows += got.filter_rows;
        m.filter_ns += got.filter_ns;
        m.selectivity += got.selectivity;
        m.plan = got.plan;
        arena_reset(&arena);
    }
    qsort(m.us, count, sizeof *m.us, by_number);
    printf("%-22s plan=%-15s recall@%d=%.4f cpu_us=%.0f p50_us=%.0f p99_us=%.0f estimated=%.4f "
           "rows_asked=%.0f filter_us=%.0f\n",
           name, m.plan, TOP_K, m.wanted == 0 ? 1 : (double)m.right / (double)m.wanted,
           m.cpu_us / count, m.us[count / 2], m.us[count * 99 / 100], m.selectivity / count,
           (double)m.filter_rows / count, (double)m.filter_ns / 1e3 / count);
    (void)fflush(stdout);
    arena_free(&arena);
    free(query);
}

static void measure_all(struct collection *c, const float *queries, uint32_t count, uint32_t dim,
                        bool indexed)
{
    static const uint64_t below[] = {1, 10, 100, 500, 1000}; /* of 1,000 */
    struct arena arena;
    struct err err;

    arena_init(&arena, 1 << 20);
    measure(c, NULL, queries, count, dim, "no filter");
    for (size_t i = 0; i < COUNT_OF(below); i++) {
        struct filter f = {.kind = FILTER_RANGE, .upper = BOUND_OPEN, .high = (double)below[i]};
        struct filter all = {.kind = FILTER_AND};
        struct filter *children[] = {&f};
        char name[64];

        f.high_exact = (struct filter_value){.type = JBIN_T_U64, .u64 = below[i]};
        all.children = children;
        all.child_count = 1;
        if (path_parse(slice_text("a"), &arena, &f.path, &err) != ST_OK ||
            node_filter_bind(c, &all, &arena, &err) != ST_OK)
            die("filter", &err);
        (void)snprintf(name, sizeof name, "%g %% %s", (double)below[i] / 10,
                       indexed ? "indexed" : "not indexed");
        measure(c, &all, queries, count, dim, name);
    }
    arena_free(&arena);
}

static void make_index(struct node *node, struct collection *c)
{
    struct pindex_spec spec = {.type = PINDEX_INTEGER};
    uint64_t begun = clock_mono_ns(clock_real());
    struct arena arena;
    struct call call;
    struct err err;

    arena_init(&arena, 1 << 20);
    if (path_parse(slice_text("a"), &arena, &spec.path, &err) != ST_OK)
        die("path", &err);
    call_begin(&call);
    node_index_create(node, c, &spec, slice_text("\"integer\""), 600000, admin_done, &call);
    call_wait(&call, "index");
    printf("index built_s=%.2f\n", (double)(clock_mono_ns(clock_real()) - begun) / 1e9);
    arena_free(&arena);
}

static struct collection *make_collection(struct node *node, uint32_t dim)
{
    const struct collection_spec spec = {
        .name = "docs", .dimension = dim, .metric = VMETRIC_COSINE, .threshold = UINT32_MAX};
    struct call call;

    call_begin(&call);
    node_collection_create(node, &spec, admin_done, &call);
    call_wait(&call, "create");
    return node_collection_pin(node, "docs", 4);
}

static void wait_linked(struct collection *c)
{
    const struct timespec pause = {.tv_nsec = 50000000};
    struct collection_info info;

    for (node_collection_info(c, &info); info.pending_rows > 0; node_collection_info(c, &info))
        (void)nanosleep(&pause, NULL);
}

int main(int argc, char **argv)
{
    uint32_t rows = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 100000;
    uint32_t count = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 200;
    struct npy base = {.rows = rows, .dim = DIM};
    struct node_options o = {.fs = fs_real(),
                             .clock = clock_real(),
                             .rand = rand_kernel(),
                             .policy = NODE_MEMORY,
                             .memory_bytes_max = UINT64_C(16) << 30,
                             .wal_bytes_max = UINT64_C(16) << 30,
                             .checkpoint_interval_ns = UINT64_C(86400) * 1000000000,
                             .wal_sync_none = true,
                             .auto_initialize = true,
                             .m = 16,
                             .ef_construction = 200,
                             .ef_search = 100,
                             .threshold = 10000,
                             .batch_max = BATCH};
    struct node *node = NULL;
    struct collection *c;
    float *queries;
    uint64_t begun;
    struct err err;

    if (argc < 2 || count == 0 || count > QUERIES_MAX)
        die("usage: bench_filtered DIRECTORY [rows] [queries] [BASE.npy]", NULL);
    rand_seeded_init(&seeded, 1);
    if (argc > 4 && npy_read(argv[4], rows, &base, &err) != ST_OK)
        die("read", &err);
    if (argc <= 4)
        base.values = make_rows(rows);
    o.data_dir = argv[1];
    if (exec_open(&(struct exec_options){.workers = 2}, &o.exec, &err) != ST_OK ||
        stats_create(&o.stats, &err) != ST_OK || node_open(&o, &node, &err) != ST_OK)
        die("open", &err);
    while (!node_ready(node, &(double){0}))
        ;
    queries = malloc(sizeof(float) * count * base.dim);
    if (queries == NULL)
        die("memory", NULL);
    for (size_t i = 0; i < (size_t)count * base.dim; i++)
        queries[i] = base.values[i / base.dim * 7919 % base.rows * base.dim + i % base.dim] +
                     0.2f * uniform();
    c = make_collection(node, base.dim);
    begun = clock_mono_ns(clock_real());
    fill(c, base.values, base.rows, base.dim);
    wait_linked(c);
    printf("rows=%u dim=%u queries=%u linked_s=%.1f kernel=%s\n", base.rows, base.dim, count,
           (double)(clock_mono_ns(clock_real()) - begun) / 1e9, vindex_kernel());
    measure_all(c, queries, count, base.dim, false);
    make_index(node, c);
    measure_all(c, queries, count, base.dim, true);
    node_collection_unpin(c);
    node_close(node);
    exec_close(o.exec);
    stats_destroy(o.stats);
    free(queries);
    npy_free(&base);
    return 0;
}
