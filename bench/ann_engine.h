/* ann_engine.h - what bench_index asks of an index: ours, and a peer to stand beside it.
 *
 * Rows are numbered from 0 as they come. Threads  build uses as many as it is told; search one. */
#ifndef BENCH_ANN_ENGINE_H
#define BENCH_ANN_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ann_metric { ANN_COSINE = 1, ANN_DOT = 2, ANN_L2 = 3, ANN_L1 = 4 };
struct ann_spec {
    enum ann_metric metric;
    uint32_t dim, rows, m, ef_construction;
};
struct ann_engine {
    const char *name;
    /* NULL if it cannot be built. Cosine: rows are of unit length. */
    void *(*build)(const struct ann_spec *spec, const float *rows, unsigned threads);
    /* The k nearest rows' numbers, best first; returns how many. */
    uint32_t (*search)(void *index, const float *query, uint32_t k, uint32_t ef, uint32_t *out);
    double (*bytes_per_row)(void *index);
    void (*destroy)(void *index);
};
extern const struct ann_engine ann_tiervec;
extern const struct ann_engine ann_hnswlib;

#ifdef __cplusplus
}
#endif
#endif
