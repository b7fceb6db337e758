#include "cli/ann_bench.h"

#include "base/clock.h"
#include "base/lock.h"
#include "cli/ann_vectors.h"
#include "cli/bulk_file.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { ROWS_A_TURN_MAX = 1024, FLOATS_A_TURN = 256 * 1024, LINKS_A_TURN = 256 };

struct ann_bench {
    struct ann_bench_settings settings;
    struct mem_budget budget;
    struct epoch *epoch;
    struct slots *slots;
    struct vindex *index;
    struct vindex_scratch *scratch;
    struct ann_vectors vectors; /* where the setting asks for it */
    uint32_t dim, rows, query_count;
    float *queries;   /* query_count x dim */
    int32_t *ids;     /* of the last run: query_count x ANN_BENCH_K */
    uint64_t *now_ns; /* before the first query of a pass, and after each */
    uint64_t *took_ns;
    uint64_t build_ns;
};

/* --- files --- */

/* A row of a file as the index takes it. */
static status take_row(const struct ann_bench *b, struct slice row, uint64_t number, float *out,
                       struct err *err)
{
    memcpy(out, row.data, (size_t)b->dim * sizeof(*out));
    for (uint32_t i = 0; i < b->dim; i++)
        if (!isfinite(out[i]))
            return err_set(err, ST_INVALID, "value %" PRIu32 " of row %" PRIu64 " is not finite", i,
                           number);
    if (b->settings.metric == VMETRIC_COSINE)
        (void)vindex_normalise(out, b->dim); /* a zero row is at distance 1 from all */
    return ST_OK;
}

/* Before room is made for what a header promises. A pipe tells no size. */
static status check_size(const struct bulk_reader *r, struct err *err)
{
    struct stat s;
    size_t want;

    if (r->rows == 0)
        return err_set(err, ST_INVALID, "it has no rows");
    if (r->rows > INT32_MAX)
        return err_set(err, ST_LIMIT, "it has more than %d rows", INT32_MAX);
    if (fstat(fileno(r->file), &s) != 0)
        return err_set_errno(err, errno, "ask for its size");
    if (!size_mul((size_t)r->rows, r->dim * sizeof(float), &want) ||
        !size_add(want, r->offset, &want))
        return err_set(err, ST_LIMIT, "it says it is larger than memory can be");
    if (S_ISREG(s.st_mode) && (uint64_t)s.st_size != want)
        return err_set(err, ST_INVALID,
                       "it has %" PRIu64 " bytes, with %" PRIu64 " rows of %" PRIu32
                       " float32 it would have %zu",
                       (uint64_t)s.st_size, r->rows, r->dim, want);
    return ST_OK;
}

static status open_rows(struct bulk_reader *r, FILE **file, const char *path, struct err *err)
{
    status st;

    *file = fopen(path, "rbe");
    if (*file == NULL)
        return err_set_errno(err, errno, "open %s", path);
    st = bulk_reader_open(r, *file, BULK_NPY, err);
    if (st == ST_OK)
        st = check_size(r, err);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "read %s", path);
}

static void close_rows(struct bulk_reader *r, FILE *file)
{
    if (file == NULL)
        return;
    bulk_reader_close(r);
    (void)fclose(file);
}

static status alloc_queries(struct ann_bench *b, uint32_t count, struct err *err)
{
    size_t values;

    b->query_count = count;
    if (size_mul(b->query_count, b->dim, &values))
        b->queries = mem_alloc_array(values, sizeof(*b->queries));
    b->ids = mem_alloc_array(b->query_count, ANN_BENCH_K * sizeof(*b->ids));
    b->now_ns = mem_alloc_array((size_t)b->query_count + 1, sizeof(*b->now_ns));
    b->took_ns = mem_alloc_array(b->query_count, sizeof(*b->took_ns));
    if (b->queries == NULL || b->ids == NULL || b->now_ns == NULL || b->took_ns == NULL)
        return err_set(err, ST_NOMEM, "no memory for %" PRIu32 " queries", count);
    return ST_OK;
}

static status read_queries(struct ann_bench *b, const char *path, struct err *err)
{
    struct bulk_reader r;
    struct slice row;
    FILE *file;
    bool got = true;
    status st = open_rows(&r, &file, path, err);

    if (st == ST_OK && r.dim != b->dim)
        st = err_set(err, ST_INVALID, "%s has rows of %" PRIu32 " values, the base of %" PRIu32,
                     path, r.dim, b->dim);
    if (st == ST_OK)
        st = alloc_queries(b, (uint32_t)r.rows, err);
    for (uint64_t i = 0; st == ST_OK && got; i++) {
        st = bulk_reader_next(&r, &row, &got, err);
        if (st == ST_OK && got)
            st = take_row(b, row, i, b->queries + i * b->dim, err);
        if (st != ST_OK)
            (void)err_wrap(err, st, "read %s", path);
    }
    close_rows(&r, file);
    return st;
}

static struct slice row_slice(const float *rows, uint32_t dim, uint32_t number)
{
    return slice_make(rows + (size_t)number * dim, dim * sizeof(*rows));
}

/* --- building --- */

static status open_index(struct ann_bench *b, struct err *err)
{
    struct slots_options so = {.budget = &b->budget};
    struct vindex_options vo = {.dim = b->dim,
                                .metric = b->settings.metric,
                                .m = b->settings.m,
                                .ef_construction = b->settings.ef_construction,
                                .ef_search = b->settings.ef_construction,
                                .quantization = b->settings.quantization,
                                .threshold = 1,
                                .seed = 1,
                                .budget = &b->budget};
    status st = epoch_create(&b->epoch, err);

    if (st == ST_OK && b->settings.compact) {
        st = ann_vectors_open(&b->vectors, b->dim, err);
        vo.vectors = (struct vvectors){.arg = &b->vectors, .read = ann_vectors_read};
    }
    if (st != ST_OK)
        return st;
    so.epoch = vo.epoch = b->epoch;
    st = slots_create(&so, &b->slots, err);
    if (st != ST_OK)
        return st;
    vo.slots = b->slots;
    st = vindex_create(&vo, &b->index, err);
    if (st != ST_OK)
        return st;
    return vindex_scratch_create(&b->scratch, err);
}

static status add_row(struct ann_bench *b, uint32_t number, const float *row, struct err *err)
{
    struct docid id = docid_u64(number);
    struct slice none = {0};
    uint32_t slot;
    status st = slots_reserve(b->slots, 1, &slot, err);

    if (st == ST_OK)
        st = vindex_reserve(b->index, slots_end(b->slots), err);
    if (st == ST_OK)
        st = slots_fill(b->slots, slot, &id, none, none, 0, err);
    if (st != ST_OK)
        return st;
    if (slot != number)
        return err_set(err, ST_BUG, "slots are not handed out in order");
    if (b->settings.compact)
        st = ann_vectors_write(&b->vectors, slot, row, err);
    if (st != ST_OK)
        return st;
    vindex_fill(b->index, slot, row);
    (void)slots_publish(b->slots, slot, number + 1);
    vindex_publish(b->index, slot);
    return ST_OK;
}

static status add_rows(struct ann_bench *b, const float *rows, uint32_t count, struct err *err)
{
    uint64_t from = clock_mono_ns(clock_real());
    status st = ST_OK;

    for (uint32_t i = 0; i < count && st == ST_OK; i++)
        st = add_row(b, b->rows + i, rows + (size_t)i * b->dim, err);
    b->rows += count;
    b->build_ns += clock_mono_ns(clock_real()) - from;
    return st;
}

static status read_base(struct ann_bench *b, struct bulk_reader *r, struct err *err)
{
    uint32_t fit = FLOATS_A_TURN / b->dim;
    uint32_t turn = fit < ROWS_A_TURN_MAX ? fit : ROWS_A_TURN_MAX;
    float *rows = mem_alloc_array((size_t)turn * b->dim, sizeof(*rows));
    struct slice row;
    bool got = rows != NULL;
    status st = got ? ST_OK : err_set(err, ST_NOMEM, "no memory for rows");

    while (st == ST_OK && got) {
        uint32_t count = 0;

        while (st == ST_OK && count < turn) {
            st = bulk_reader_next(r, &row, &got, err);
            if (st != ST_OK || !got)
                break;
            st = take_row(b, row, r->row - 1, rows + (size_t)count * b->dim, err);
            count++;
        }
        if (st == ST_OK)
            st = add_rows(b, rows, count, err);
    }
    mem_free(rows);
    return st;
}

/* Codes that are learned from rows are made once there are some, as a server does. */
static status make_codes(struct ann_bench *b, struct err *err)
{
    const struct vgraph want = {.m = b->settings.m,
                                .ef_construction = b->settings.ef_construction,
                                .quantization = b->settings.quantization};
    uint64_t from = clock_mono_ns(clock_real());
    enum vrebuild now = VREBUILD_LINKING;
    status st = ST_OK;

    while (st == ST_OK && (now == VREBUILD_BEGUN || now == VREBUILD_LINKING))
        st = vindex_rebuild_step(b->index, &want, 0, &now, err);
    b->build_ns += clock_mono_ns(clock_real()) - from;
    return st;
}

static void link_rows(void *arg)
{
    struct ann_bench *b = arg;

    while (vindex_link(b->index, LINKS_A_TURN) > 0)
        ;
}

static status link_all(struct ann_bench *b, struct err *err)
{
    struct thread more[VINDEX_LINKERS_MAX] = {0};
    uint64_t from = clock_mono_ns(clock_real());
    status st = ST_OK;

    for (unsigned t = 1; t < b->settings.threads && st == ST_OK; t++)
        st = thread_start(&more[t], "bench-link", THREAD_NORMAL, link_rows, b, err);
    if (st == ST_OK)
        link_rows(b);
    for (unsigned t = 1; t < b->settings.threads; t++)
        thread_join(&more[t]);
    if (st == ST_OK && vindex_pending(b->index) > 0)
        st = err_set(err, ST_NOMEM, "no memory to link rows");
    b->build_ns += clock_mono_ns(clock_real()) - from;
    return st;
}

static status build(struct ann_bench *b, const char *base_path, const char *query_path,
                    struct err *err)
{
    struct bulk_reader r;
    FILE *file;
    status st = open_rows(&r, &file, base_path, err);

    if (st == ST_OK) {
        b->dim = r.dim;
        st = read_queries(b, query_path, err);
        if (st == ST_OK)
            st = open_index(b, err);
        if (st == ST_OK) {
            st = read_base(b, &r, err);
            if (st != ST_OK)
                (void)err_wrap(err, st, "read %s", base_path);
        }
    }
    close_rows(&r, file);
    if (st == ST_OK)
        st = make_codes(b, err);
    return st == ST_OK ? link_all(b, err) : st;
}

static status build_rows(struct ann_bench *b, const struct ann_bench_rows *rows, struct err *err)
{
    float *row = mem_alloc_array(rows->dim, sizeof(*row));
    status st = row == NULL ? err_set(err, ST_NOMEM, "no memory for a row") : ST_OK;

    b->dim = rows->dim;
    if (st == ST_OK)
        st = alloc_queries(b, rows->query_count, err);
    for (uint32_t i = 0; st == ST_OK && i < rows->query_count; i++)
        st = take_row(b, row_slice(rows->queries, rows->dim, i), i, b->queries + (size_t)i * b->dim,
                      err);
    if (st == ST_OK)
        st = open_index(b, err);
    for (uint32_t i = 0; st == ST_OK && i < rows->count; i++) {
        st = take_row(b, row_slice(rows->base, rows->dim, i), i, row, err);
        if (st == ST_OK)
            st = add_rows(b, row, 1, err);
    }
    if (st == ST_OK)
        st = make_codes(b, err);
    mem_free(row);
    return st == ST_OK ? link_all(b, err) : st;
}

static status make(const struct ann_bench_settings *settings, struct ann_bench **out,
                   struct err *err)
{
    struct ann_bench *b;

    if (settings->threads == 0 || settings->threads > VINDEX_LINKERS_MAX)
        return err_set(err, ST_INVALID, "threads must be 1..%d, it is %u", VINDEX_LINKERS_MAX,
                       settings->threads);
    b = mem_zero(sizeof(*b));
    if (b == NULL)
        return err_set(err, ST_NOMEM, "no memory");
    b->settings = *settings;
    b->vectors.fd = -1;
    mem_budget_init(&b->budget, NULL, 0);
    *out = b;
    return ST_OK;
}

status ann_bench_open(const char *base_path, const char *query_path,
                      const struct ann_bench_settings *settings, struct ann_bench **out,
                      struct err *err)
{
    struct ann_bench *b;
    status st = make(settings, &b, err);

    if (st != ST_OK)
        return st;
    st = build(b, base_path, query_path, err);
    if (st != ST_OK)
        ann_bench_close(b);
    else
        *out = b;
    return st;
}

status ann_bench_open_rows(const struct ann_bench_rows *rows,
                           const struct ann_bench_settings *settings, struct ann_bench **out,
                           struct err *err)
{
    struct ann_bench *b;
    status st = make(settings, &b, err);

    if (st != ST_OK)
        return st;
    st = build_rows(b, rows, err);
    if (st != ST_OK)
        ann_bench_close(b);
    else
        *out = b;
    return st;
}

void ann_bench_close(struct ann_bench *b)
{
    if (b == NULL)
        return;
    vindex_scratch_destroy(b->scratch);
    vindex_destroy(b->index);
    slots_destroy(b->slots);
    epoch_destroy(b->epoch);
    ann_vectors_close(&b->vectors);
    mem_free(b->queries);
    mem_free(b->ids);
    mem_free(b->now_ns);
    mem_free(b->took_ns);
    mem_free(b);
}

uint64_t ann_bench_build_ns(const struct ann_bench *b)
{
    return b->build_ns;
}

uint64_t ann_bench_index_bytes(const struct ann_bench *b)
{
    return mem_budget_bytes(&b->budget);
}

/* --- queries --- */

/* ef 0: a scan. */
static status one_query(struct ann_bench *b, uint32_t number, uint32_t ef, struct err *err)
{
    struct epoch_guard guard = epoch_enter(b->epoch);
    struct vsearch s = {.query = b->queries + (size_t)number * b->dim,
                        .k = ANN_BENCH_K,
                        .ef = ef,
                        .exact = ef == 0};
    int32_t *ids = b->ids + (size_t)number * ANN_BENCH_K;
    struct vhit hits[ANN_BENCH_K];
    uint32_t count = 0;
    status st = vindex_search(b->index, b->scratch, &s, hits, &count, NULL, err);

    epoch_leave(b->epoch, guard);
    for (uint32_t i = 0; i < ANN_BENCH_K; i++)
        ids[i] = st == ST_OK && i < count ? (int32_t)hits[i].slot : -1;
    return st;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* The smallest time that `percent` of the queries did not exceed. */
static double percentile_us(const struct ann_bench *b, uint64_t percent)
{
    uint64_t rank = (b->query_count * percent + 99) / 100;

    return 1e-3 * (double)b->took_ns[rank - 1];
}

/* The clock is read once a query: where one ends the next begins. */
static status one_pass(struct ann_bench *b, uint32_t ef, struct err *err)
{
    struct clock *clock = clock_real();

    b->now_ns[0] = clock_mono_ns(clock);
    for (uint32_t q = 0; q < b->query_count; q++) {
        status st = one_query(b, q, ef, err);

        if (st != ST_OK)
            return st;
        b->now_ns[q + 1] = clock_mono_ns(clock);
    }
    return ST_OK;
}

status ann_bench_run(struct ann_bench *b, uint32_t ef, uint32_t passes,
                     struct ann_bench_figures *out, struct err *err)
{
    uint64_t best_ns = UINT64_MAX;

    if (ef == 0 || ef > VINDEX_EF_MAX)
        return err_set(err, ST_INVALID, "ef must be 1..%d", VINDEX_EF_MAX);
    if (passes == 0 || passes > ANN_BENCH_PASSES_MAX)
        return err_set(err, ST_INVALID, "passes must be 1..%d", ANN_BENCH_PASSES_MAX);
    for (uint32_t pass = 0; pass < passes; pass++) {
        status st = one_pass(b, ef, err);
        uint64_t ns;

        if (st != ST_OK)
            return st;
        ns = b->now_ns[b->query_count] - b->now_ns[0];
        if (ns >= best_ns)
            continue;
        best_ns = ns;
        for (uint32_t q = 0; q < b->query_count; q++)
            b->took_ns[q] = b->now_ns[q + 1] - b->now_ns[q];
    }
    qsort(b->took_ns, b->query_count, sizeof(*b->took_ns), by_value);
    *out = (struct ann_bench_figures){
        .qps = 1e9 * b->query_count / (double)(best_ns > 0 ? best_ns : 1),
        .p50_us = percentile_us(b, 50),
        .p95_us = percentile_us(b, 95),
        .p99_us = percentile_us(b, 99),
    };
    return ST_OK;
}

const int32_t *ann_bench_ids(const struct ann_bench *b, size_t *count)
{
    *count = (size_t)b->query_count * ANN_BENCH_K;
    return b->ids;
}

status ann_bench_exact(struct ann_bench *b, struct err *err)
{
    return one_pass(b, 0, err);
}

float ann_bench_distance(const struct ann_bench *b, uint32_t query, int32_t row)
{
    struct epoch_guard guard = epoch_enter(b->epoch);
    float distance = vindex_distance(b->index, b->queries + (size_t)query * b->dim, (uint32_t)row);

    epoch_leave(b->epoch, guard);
    return distance;
}
