/* qdrant_query_forms.c - the member `query`: what a level does. */
#include "api/qdrant_query.h"

#include <stdio.h>

/* --- examples --- */

static bool need_field(struct qd_parse *p, struct request *req, struct level *level)
{
    return level->has_field || qd_field(p, req, level->field_name, &level->field);
}

static bool take_example(struct qd_parse *p, struct request *req, struct jval v,
                         struct level *level, struct example *out)
{
    struct jval part;

    *out = (struct example){0};
    switch (jval_type(v)) {
    case J_ARRAY:
        return qd_vector(p, req, v, level->field, &out->vector);
    case J_OBJECT:
        if (qd_member(v, "indices", &part) || qd_member(v, "values", &part))
            return qd_bad(
                p, QD_INPUT,
                "sparse vectors are not supported by this version, a list of numbers is needed");
        if (qd_member(v, "text", &part) || qd_member(v, "image", &part) ||
            qd_member(v, "object", &part))
            return qd_bad(p, QD_INPUT,
                          "objects to make vectors of are not supported by this version: make the "
                          "vector and send its numbers");
        return qd_bad(p, QD_FORMAT, "expected a vector or a point ID");
    case J_NULL:
    case J_FALSE:
    case J_TRUE:
    case J_U64:
    case J_I64:
    case J_F64:
    case J_STRING:
        break;
    }
    return qd_id(p, req, v, &out->id);
}

bool query_parse_nearest(struct qd_parse *p, struct request *req, struct jval v,
                         struct level *level)
{
    level->form = LEVEL_NEAREST;
    level->examples = arena_array(&req->arena, 1, sizeof *level->examples);
    level->example_count = level->positive_count = 1;
    if (level->examples == NULL)
        return qd_no_memory(p);
    return need_field(p, req, level) && take_example(p, req, v, level, &level->examples[0]);
}

/* --- the forms that are objects --- */

static bool take_mmr(struct qd_parse *p, struct jval v, struct level *level)
{
    if (jval_type(v) != J_OBJECT)
        return points_wrong_type(p, "mmr", v, "an object");
    level->mmr = true;
    level->diversity = 0.5;
    if (!qd_number(p, v, "diversity", &level->diversity) ||
        !qd_uint(p, v, "candidates_limit", 1, VINDEX_K_MAX, &level->candidates))
        return false;
    if (!(level->diversity >= 0 && level->diversity <= 1))
        return qd_bad(p, QD_VALIDATION, "diversity: value %g invalid, must be from 0.0 to 1.0",
                      level->diversity);
    return true;
}

static bool take_nearest(struct qd_parse *p, struct request *req, struct jval query,
                         struct jval value, struct level *level)
{
    struct jval mmr;

    if (!query_parse_nearest(p, req, value, level))
        return false;
    return !qd_member(query, "mmr", &mmr) || take_mmr(p, mmr, level);
}

static bool take_examples(struct qd_parse *p, struct request *req, struct jval v,
                          const char *member, struct level *level)
{
    struct jval list;

    if (!qd_member(v, member, &list))
        return true;
    if (jval_type(list) != J_ARRAY)
        return points_wrong_type(p, member, list, "a list of vectors and point IDs");
    for (struct jiter it = jval_iter(list); jiter_next(&it);)
        if (!take_example(p, req, it.value, level, &level->examples[level->example_count++]))
            return false;
    return true;
}

static bool take_strategy(struct qd_parse *p, struct jval v, struct level *level)
{
    struct slice name = slice_text("average_vector");

    if (!qd_string(p, v, "strategy", &name))
        return false;
    if (slice_equal(name, slice_text("average_vector")))
        level->strategy = RECOMMEND_AVERAGE;
    else if (slice_equal(name, slice_text("best_score")))
        level->strategy = RECOMMEND_BEST;
    else if (slice_equal(name, slice_text("sum_scores")))
        level->strategy = RECOMMEND_SUM;
    else
        return qd_bad(p, QD_FORMAT,
                      "strategy: unknown variant, expected one of `average_vector`, `best_score`, "
                      "`sum_scores`");
    return true;
}

static bool make_examples(struct qd_parse *p, struct request *req, struct jval v,
                          struct level *level)
{
    struct jval list;
    size_t count = 0;

    if (qd_member(v, "positive", &list) && jval_type(list) == J_ARRAY)
        count += jval_count(list);
    if (qd_member(v, "negative", &list) && jval_type(list) == J_ARRAY)
        count += jval_count(list);
    if (count > QUERY_EXAMPLES_MAX)
        return qd_bad(p, QD_INPUT, "a query has at most %d examples", QUERY_EXAMPLES_MAX);
    level->examples = arena_array(&req->arena, count + 1, sizeof *level->examples);
    return level->examples != NULL || qd_no_memory(p);
}

static bool take_recommend(struct qd_parse *p, struct request *req, struct jval query,
                           struct jval v, struct level *level)
{
    (void)query;
    if (jval_type(v) != J_OBJECT)
        return points_wrong_type(p, "recommend", v, "an object");
    level->form = LEVEL_RECOMMEND;
    if (!need_field(p, req, level) || !take_strategy(p, v, level) ||
        !make_examples(p, req, v, level) || !take_examples(p, req, v, "positive", level))
        return false;
    level->positive_count = level->example_count;
    if (!take_examples(p, req, v, "negative", level))
        return false;
    if (level->strategy == RECOMMEND_AVERAGE && level->positive_count == 0)
        return qd_bad(p, QD_INPUT,
                      "At least one positive example is required with the strategy "
                      "`average_vector`");
    if (level->example_count == 0)
        return qd_bad(p, QD_INPUT, "At least one positive or negative example is required");
    return true;
}

static bool need_sources(struct qd_parse *p, const struct level *level)
{
    return level->source_count > 0 ||
           qd_bad(p, QD_INPUT, "Fusion queries need `prefetch`: there is nothing to fuse");
}

static bool take_fusion(struct qd_parse *p, struct request *req, struct jval query, struct jval v,
                        struct level *level)
{
    (void)req;
    (void)query;
    level->rrf_k = 2;
    if (jval_type(v) != J_STRING)
        return points_wrong_type(p, "fusion", v, "a string");
    if (slice_equal(jval_string(v), slice_text("rrf")))
        level->form = LEVEL_RRF;
    else if (slice_equal(jval_string(v), slice_text("dbsf")))
        level->form = LEVEL_DBSF;
    else
        return qd_bad(p, QD_FORMAT, "fusion: unknown variant, expected `rrf` or `dbsf`");
    return need_sources(p, level);
}

static bool take_weights(struct qd_parse *p, struct request *req, struct jval v,
                         struct level *level)
{
    struct err err = {0};
    size_t count = 0;

    if (jval_type(v) != J_ARRAY)
        return points_wrong_type(p, "weights", v, "a list of numbers");
    level->rrf_weights = arena_array(&req->arena, level->source_count, sizeof(float));
    if (level->rrf_weights == NULL)
        return qd_no_memory(p);
    if (jval_floats(v, level->rrf_weights, level->source_count, &count, &err) != ST_OK &&
        count <= level->source_count)
        return qd_bad(p, QD_FORMAT, "weights: %s", err.text);
    if (count != level->source_count)
        return qd_bad(p, QD_INPUT, "there are %zu weights for %zu prefetches", count,
                      level->source_count);
    for (size_t i = 0; i < count; i++)
        if (level->rrf_weights[i] < 0)
            return qd_bad(p, QD_VALIDATION, "weights: value %g invalid, must be 0.0 or larger",
                          (double)level->rrf_weights[i]);
    return true;
}

static bool take_rrf(struct qd_parse *p, struct request *req, struct jval query, struct jval v,
                     struct level *level)
{
    struct jval weights;
    uint64_t k = 2;

    (void)query;
    if (jval_type(v) != J_OBJECT)
        return points_wrong_type(p, "rrf", v, "an object");
    if (!qd_uint(p, v, "k", 1, UINT32_MAX, &k) || !need_sources(p, level))
        return false;
    level->form = LEVEL_RRF;
    level->rrf_k = (double)k;
    return !qd_member(v, "weights", &weights) || take_weights(p, req, weights, level);
}

static bool take_order(struct qd_parse *p, struct request *req, struct jval query, struct jval v,
                       struct level *level)
{
    (void)query;
    level->form = LEVEL_ORDER;
    return points_order(p, req, v, &level->order);
}

static bool take_sample(struct qd_parse *p, struct request *req, struct jval query, struct jval v,
                        struct level *level)
{
    (void)req;
    (void)query;
    level->form = LEVEL_SAMPLE;
    if (jval_type(v) != J_STRING || !slice_equal(jval_string(v), slice_text("random")))
        return qd_bad(p, QD_FORMAT, "sample: unknown variant, expected `random`");
    return true;
}

typedef bool form_fn(struct qd_parse *p, struct request *req, struct jval query, struct jval v,
                     struct level *level);
static const struct form {
    const char *member;
    form_fn *take; /* NULL: not supported */
} FORMS[] = {{"nearest", take_nearest}, {"recommend", take_recommend},
             {"fusion", take_fusion},   {"rrf", take_rrf},
             {"order_by", take_order},  {"sample", take_sample},
             {"discover", NULL},        {"context", NULL},
             {"formula", NULL},         {"relevance_feedback", NULL}};

/* Parts of a form that stand beside it, or of another one: they would be read over. */
static bool check_beside(struct qd_parse *p, struct jval query, const struct form *form,
                         struct jval value)
{
    char what[32];

    (void)snprintf(what, sizeof what, "`%s`", form->member);
    if (form->take != take_nearest && !QD_NONE_OF(p, query, what, "mmr"))
        return false;
    if (form->take == take_recommend && jval_type(value) == J_OBJECT &&
        !QD_NONE_OF(p, value, what, "target", "context", "mmr"))
        return false;
    return QD_NONE_OF(p, query, what, "strategy", "positive", "negative", "direction", "start_from",
                      "k", "weights", "target", "diversity", "candidates_limit");
}

/* An object for a vector is told what it may be; a member that is none of ours is named. */
static bool no_form(struct qd_parse *p, struct request *req, struct jval query, struct level *level)
{
    struct slice first = {0};

    if (query_parse_nearest(p, req, query, level))
        return true;
    for (struct jiter it = jval_iter(query); first.data == NULL && jiter_next(&it);)
        first = it.key;
    if (p->problem != QD_FORMAT || first.data == NULL)
        return false;
    return qd_bad(p, QD_FORMAT,
                  "query: `%.*s` is no kind of query, one of `nearest`, `recommend`, `fusion`, "
                  "`rrf`, `order_by`, `sample` is needed",
                  (int)(first.bytes < 64 ? first.bytes : 64), (const char *)first.data);
}

bool query_parse_form(struct qd_parse *p, struct request *req, struct jval query,
                      struct level *level)
{
    const struct form *form = NULL;
    struct jval value = query;
    struct jval v;

    if (jval_type(query) != J_OBJECT)
        return query_parse_nearest(p, req, query, level);
    for (size_t i = 0; i < COUNT_OF(FORMS); i++) {
        if (!qd_member(query, FORMS[i].member, &v))
            continue;
        if (form != NULL)
            return qd_bad(p, QD_FORMAT, "query: `%s` and `%s` are two queries", form->member,
                          FORMS[i].member);
        form = &FORMS[i];
        value = v;
    }
    if (form == NULL)
        return no_form(p, req, query, level);
    if (form->take == NULL)
        return qd_bad(p, QD_INPUT, "`%s` queries are not supported by this version", form->member);
    return check_beside(p, query, form, value) && form->take(p, req, query, value, level);
}
