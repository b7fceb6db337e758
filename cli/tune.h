/* tune.h - what `tiervec tune` measures on a collection's own vectors, and what it proposes.
 *
 * A sample of the collection comes over REST; some of its rows are queries. An index is built here
 * for each m and quantization, and asked with rising ef_search; what it finds is held against a
 * scan. The choice is a pure function of these figures. With the same rows and seed the same rows
 * are queries and the same neighbours are found; times are as they are.
 *
 * Threads    one caller; linking takes as many as asked for. */
#ifndef CLI_TUNE_H
#define CLI_TUNE_H

#include "cli/bulk_run.h"
#include "index/vindex.h"

enum {
    TUNE_POINTS_MAX = 512,
    TUNE_SAMPLE_ROWS = 20000,
    TUNE_SAMPLE_ROWS_MAX = 1000000,
    TUNE_QUERIES = 300,
    TUNE_QUERIES_MAX = 10000,
    TUNE_ROWS_MIN = 100, /* of a collection: fewer say nothing */
};

/* --- the choice --- */

enum tune_profile { TUNE_HIGH_RECALL, TUNE_BALANCED, TUNE_LOW_LATENCY };
NODISCARD
bool tune_profile_parse(const char *name, enum tune_profile *out);
const char *tune_profile_name(enum tune_profile profile);
double tune_floor(enum tune_profile profile); /* recall@10 that is asked for */

struct tune_graph { /* what a collection has, and what is proposed */
    enum vquantization quantization;
    uint16_t m, ef_construction, ef_search;
};
struct tune_point { /* one measurement */
    struct tune_graph graph;
    double recall;         /* at 10, of the sample */
    double p50_us, p99_us; /* of the index alone */
    double row_bytes;      /* vector, codes, links, id and what else a row takes */
};
struct tune_wish {
    enum tune_profile profile;
    uint64_t rows;         /* of the collection */
    uint64_t memory_bytes; /* for all of them; 0: no bound */
};
enum tune_verdict {
    TUNE_FINE,
    TUNE_BELOW,  /* nothing in the budget reaches the floor; *best finds most */
    TUNE_TOO_BIG /* nothing fits the budget; *best is the smallest */
};
/* count > 0. Of what fits the budget and reaches the profile's floor, the fastest; or what takes
 * less memory and is slower by no more than the profile allows. */
enum tune_verdict tune_choose(const struct tune_point *points, size_t count,
                              const struct tune_wish *wish, size_t *best);
uint64_t tune_bytes(const struct tune_point *p, uint64_t rows);
/* "4GiB", "500MB", "123": K, M, G, T are of 1000, Ki, Mi, Gi, Ti of 1024; 1 or more. */
NODISCARD
bool tune_parse_bytes(const char *text, uint64_t *out);

/* --- the sample --- */

struct tune_sample {
    float *rows; /* the queries, and behind them the others */
    uint32_t query_count, count;
};
struct tune_command {
    struct bulk_run run; /* the node and the collection */
    struct bulk_field *field;
    char name[1024]; /* the collection's own */
    bool shown;      /* progress stands on the terminal */
    enum vmetric metric;
    struct tune_graph now;
    uint64_t rows;
    uint32_t sample_rows, queries, threads;
    uint64_t seed;
    struct tune_wish wish;
    struct tune_sample sample;
    struct tune_point points[TUNE_POINTS_MAX];
    size_t point_count;
};
/* A code; c->sample.rows is the caller's to free in any case. */
int tune_take_sample(struct tune_command *c);

/* --- measuring, applying; codes --- */

/* Every quantization the index has, under each m. */
int tune_measure(struct tune_command *c);
struct tune_applied {
    double recall; /* of the node's own answers against its exact ones */
    uint16_t ef_search;
    uint32_t queries;
};
/* PATCHes the collection, waits until the graph is made, and raises ef_search until the node's own
 * answers reach the floor. */
int tune_apply(struct tune_command *c, const struct tune_graph *graph, struct tune_applied *out);
/* One line on a terminal, which the next one replaces. */
void tune_progress(struct tune_command *c, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
