/* qdrant_query.h - a query of the compatible dialect, parsed whole before any of it is done.
 *
 * A query is a tree: what is fetched before (prefetch) and what is made of it. The plan holds its
 * levels in the order in which they run, those that are used before the one that uses them; the
 * last is the query itself. A level runs in one step or a few; between steps a request looks at its
 * deadline and lets others run.
 *
 * Threads, ownership: as request.h. A plan lives in the request's arena, results in a scratch arena
 * that is emptied when they were printed.
 * Limits     QUERY_DEPTH_MAX levels inside one another, QUERY_LEVELS_MAX of them a query,
 *            QUERY_EXAMPLES_MAX examples a level, QUERY_SOURCES_MAX results of the levels one is
 *            made of. */
#ifndef API_QDRANT_QUERY_H
#define API_QDRANT_QUERY_H

#include "api/qdrant_handlers.h"
#include "api/qdrant_points.h"
#include "api/rank.h"

enum {
    QUERY_DEPTH_MAX = 16,
    QUERY_LEVELS_MAX = 256,
    QUERY_EXAMPLES_MAX = 1024,
    QUERY_SOURCES_MAX = 256 * 1024,
    QUERY_LIMIT_DEFAULT = 10,
    /* What all queries together hold while they wait between slices; who is over does not wait. */
    QUERY_PAUSED_BYTES_MAX = 256 * 1024 * 1024,
};

enum level_form {
    LEVEL_BY_ID, /* no query: by rising id */
    LEVEL_NEAREST,
    LEVEL_RECOMMEND,
    LEVEL_RRF,
    LEVEL_DBSF,
    LEVEL_ORDER,
    LEVEL_SAMPLE,
};
enum recommend_strategy { RECOMMEND_AVERAGE, RECOMMEND_BEST, RECOMMEND_SUM };

struct example {   /* a vector as sent, or that of a document */
    float *vector; /* NULL: of the document */
    struct docid id;
};

struct level {
    enum level_form form;
    size_t field;                /* position, if has_field */
    bool has_field;              /* false: the collection has no field of the name wanted */
    struct slice field_name;     /* while it is parsed */
    const struct filter *filter; /* its own and those of the levels around it; NULL: none */
    struct level **sources;      /* what it is made of; of the same plan */
    size_t source_count;
    uint64_t limit, offset;
    bool has_threshold;
    float threshold;
    bool exact;
    uint32_t ef;
    bool looks_up; /* ids of examples are looked up in another collection */
    struct slice lookup_collection, lookup_field;

    struct example *examples; /* NEAREST: one. RECOMMEND: positive ones, then negative ones */
    size_t example_count, positive_count;
    enum recommend_strategy strategy;
    bool mmr;
    double diversity;
    uint64_t candidates; /* of mmr; 0: as many as `limit` */
    double rrf_k;
    float *rrf_weights; /* one a source; NULL */
    struct point_order order;

    struct scored_list result; /* once it has run, in the scratch arena */
};

struct plan {
    struct level **levels; /* in the order they run; the last is the query */
    size_t count, capacity;
    struct qd_want want;
    bool reads_payload; /* even if none is wanted */
};

/* qdrant_query_parse.c. PLAN_OF_SEARCH: of the routes /search, with `vector` instead of `query`. */
enum plan_of { PLAN_OF_QUERY, PLAN_OF_GROUPS, PLAN_OF_SEARCH };
bool plan_parse(struct qd_parse *p, struct request *req, struct jval body, enum plan_of of,
                struct plan *out);
/* What both match, in *out; each may be NULL. False: out of memory. */
bool query_both(struct arena *arena, const struct filter *a, const struct filter *b,
                const struct filter **out);
/* *filter and: one of these ids; or, with `none`, none of them. ids rise. False: out of memory. */
bool query_with_ids(struct arena *arena, const struct docid *ids, size_t count, bool none,
                    const struct filter **filter);
static inline struct level *query_last(const struct plan *plan)
{
    return plan->levels[plan->count - 1];
}
/* How many of a level's best are needed. */
static inline uint64_t query_wanted(const struct level *level)
{
    return level->limit > UINT64_MAX - level->offset ? UINT64_MAX : level->limit + level->offset;
}
/* qdrant_query_forms.c: `query` into a level whose other members were read. */
bool query_parse_form(struct qd_parse *p, struct request *req, struct jval query,
                      struct level *level);
/* The one example of LEVEL_NEAREST. */
bool query_parse_nearest(struct qd_parse *p, struct request *req, struct jval v,
                         struct level *level);

/* qdrant_query_run.c */
struct query_run {
    struct request *req;
    struct plan *plan;
    struct arena *scratch; /* of results */
    struct read_limits limits;
    size_t at;    /* the level that runs */
    void *inside; /* what it keeps between its steps, in scratch; NULL at its begin */
};
void query_run_begin(struct query_run *run, struct request *req, struct plan *plan,
                     struct arena *scratch, const struct read_limits *limits);
/* One step; *done after the last. ST_NOT_FOUND: an example that is not there. */
NODISCARD
status query_run_step(struct query_run *run, bool *done, struct err *err);
/* What all of it takes, about. */
uint64_t query_cost_ns(struct request *req, const struct plan *plan);
/* Of finding the rows that match; where that takes long the request's task becomes a slow one. */
uint64_t query_select_cost_ns(struct request *req, const struct filter *filter);

/* --- what the files of running share --- */

/* The vectors of a level's examples, those of documents looked up. */
struct query_examples {
    float **vectors;         /* positive ones, then negative ones */
    struct docid *leave_out; /* documents that are examples do not come back */
    size_t leave_out_count;
};
/* qdrant_query_examples.c */
NODISCARD
status query_examples(struct query_run *run, const struct level *level, struct query_examples *out,
                      struct err *err);
/* The ids a level may give back, if it has sources. */
NODISCARD
status query_within(struct query_run *run, const struct level *level, struct docid **out,
                    size_t *count, struct err *err);
bool query_low_is_best(const struct query_run *run, const struct level *level);

/* qdrant_query_steps.c: steps of forms that pick one by one, or look at every row. */
NODISCARD
status query_step_mmr(struct query_run *run, struct level *level, bool *done, struct err *err);
NODISCARD
status query_step_scan(struct query_run *run, struct level *level, bool *done, struct err *err);
/* Points by rising id, a page a step; the offset is left out already. */
NODISCARD
status query_step_pages(struct query_run *run, struct level *level, bool *done, struct err *err);
/* What a level's results are read with: only those of the query itself are printed. */
struct read_want query_want(const struct query_run *run);
/* How many of `count` there can be, for there is made room for all; ST_INVALID over max. */
NODISCARD
status query_bounded(struct query_run *run, uint64_t count, uint64_t max, uint32_t *out,
                     struct err *err);
/* The level's filter and its sources'; *empty: they have nothing. */
NODISCARD
status query_filter(struct query_run *run, const struct level *level, const struct filter **out,
                    bool *empty, struct err *err);
NODISCARD
status query_take_document(struct query_run *run, const struct document *d, float score,
                           struct scored *out, struct err *err);
/* The k nearest of a level's example, or of the mean of its examples. */
NODISCARD
status query_nearest(struct query_run *run, const struct level *level, uint64_t k,
                     const struct read_want *want, struct scored_list *out, const float **query,
                     struct err *err);

/* --- what the files of routes share (qdrant_query_job.c) --- */

/* What a request does step by step: a handler's own state begins with one. */
struct query_job {
    /* Does a part of the work and prints a part of the result; *done after the last. */
    status (*step)(struct request *req, struct query_job *job, bool *done, struct err *err);
    struct read_limits limits;
    struct arena scratch;
    bool idle;     /* set by a step that needs nothing in scratch any more */
    uint64_t held; /* of scratch, while it waits */
};
/* Runs it at once if it is cheap, else through the queue under its cost, in slices; answers. */
task_state query_job_start(struct request *req, struct query_job *job, uint64_t cost_ns);
/* A handler's state of `bytes`, with the collection and the body; NULL after an answer. */
void *query_job_make(struct request *req, size_t bytes, struct jval *root);
/* {"id","version","score","payload","vector"} */
void query_print_scored(struct buf *out, const struct collection *c, const struct scored *s,
                        const struct qd_want *want);

#endif
