/* ann_bench.h - an index of its own over the rows of a file, and queries of another one: what
 * `tiervec bench ann` measures.
 *
 * The index is the one a collection has, made with the settings asked for; rows are linked into the
 * graph however few they are. Rows are read from the file one after the other and never held
 * twice; queries are held.
 *
 * Threads    one caller. Linking takes as many threads as asked for, which end with the building.
 * Ownership  ann_bench_open() gives a handle that ann_bench_close() frees.
 * Failure    ST_INVALID: a file that is no two-dimensional float32 .npy, files that do not belong
 *            together, a value that is no number, a setting out of range; the text says which. */
#ifndef CLI_ANN_BENCH_H
#define CLI_ANN_BENCH_H

#include "base/status.h"
#include "index/vindex.h"

enum { ANN_BENCH_K = 10, ANN_BENCH_PASSES_MAX = 1000000 };

struct ann_bench_settings {
    enum vmetric metric;
    enum vquantization quantization;
    bool compact; /* full vectors are in a file, not in memory */
    uint16_t m, ef_construction;
    uint16_t threads; /* 1..VINDEX_LINKERS_MAX */
};
struct ann_bench;
/* From two files. */
NODISCARD
status ann_bench_open(const char *base_path, const char *query_path,
                      const struct ann_bench_settings *settings, struct ann_bench **out,
                      struct err *err);
struct ann_bench_rows { /* borrowed during the call; finite */
    const float *base, *queries;
    uint32_t dim, count, query_count; /* none is 0 */
};
/* From memory. */
NODISCARD
status ann_bench_open_rows(const struct ann_bench_rows *rows,
                           const struct ann_bench_settings *settings, struct ann_bench **out,
                           struct err *err);
void ann_bench_close(struct ann_bench *b);
/* From the first row to the last link, without the reading of the file. */
uint64_t ann_bench_build_ns(const struct ann_bench *b);
/* Vectors, codes, links, ids and what else a row takes: what a collection's budget is charged. */
uint64_t ann_bench_index_bytes(const struct ann_bench *b);

struct ann_bench_figures { /* of the best pass */
    double qps;            /* by the clock on the wall */
    double p50_us, p95_us, p99_us;
};
/* All queries, `passes` times, on the calling thread. ef: 1..VINDEX_EF_MAX. */
NODISCARD
status ann_bench_run(struct ann_bench *b, uint32_t ef, uint32_t passes,
                     struct ann_bench_figures *out, struct err *err);
/* Of the last run: ANN_BENCH_K row numbers of each query, from 0, best first; -1 where there are
 * fewer rows. */
const int32_t *ann_bench_ids(const struct ann_bench *b, size_t *count);
/* As a run, by a scan of the full vectors. */
NODISCARD
status ann_bench_exact(struct ann_bench *b, struct err *err);
/* Of a row from a query, by the full vector. */
float ann_bench_distance(const struct ann_bench *b, uint32_t query, int32_t row);

#endif
