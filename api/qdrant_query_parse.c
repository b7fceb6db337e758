/* qdrant_query_parse.c - the body of a query into a plan: what the levels have in common. */
#include "api/qdrant_query.h"

#include "node/cold_exec.h"

#include <stdlib.h>

bool query_both(struct arena *arena, const struct filter *a, const struct filter *b,
                const struct filter **out)
{
    struct filter *both;

    if (filter_is_all(a) || filter_is_all(b)) {
        *out = filter_is_all(a) ? b : a;
        return true;
    }
    both = arena_zero(arena, sizeof *both);
    if (both != NULL)
        both->children = arena_array(arena, 2, sizeof(struct filter *));
    if (both == NULL || both->children == NULL)
        return false;
    both->kind = FILTER_AND;
    both->child_count = 2;
    memcpy(both->children, (const struct filter *[]){a, b}, 2 * sizeof(struct filter *));
    *out = both;
    return true;
}

bool query_with_ids(struct arena *arena, const struct docid *ids, size_t count, bool none,
                    const struct filter **filter)
{
    struct filter *has = arena_zero(arena, sizeof *has);
    struct filter *not = arena_zero(arena, sizeof *not );

    if (has == NULL || not == NULL)
        return false;
    *has = (struct filter){.kind = FILTER_HAS_ID, .ids = ids, .id_count = count};
    if (!none)
        return query_both(arena, *filter, has, filter);
    not ->children = arena_array(arena, 1, sizeof(struct filter *));
    if (not ->children == NULL)
        return false;
    not ->kind = FILTER_NOT;
    not ->child_count = 1;
    not ->children[0] = has;
    return query_both(arena, *filter, not, filter);
}

/* Nothing is quantized, so that none of it changes an answer; it is checked all the same. */
static bool check_quantization(struct qd_parse *p, struct jval v)
{
    double oversampling = 1.0;
    bool ignore, rescore;

    if (jval_type(v) != J_OBJECT)
        return points_wrong_type(p, "quantization", v, "an object");
    if (!qd_bool(p, v, "ignore", &ignore) || !qd_bool(p, v, "rescore", &rescore) ||
        !qd_number(p, v, "oversampling", &oversampling))
        return false;
    return oversampling >= 1.0 ||
           qd_bad(p, QD_VALIDATION, "oversampling: value %g invalid, must be 1.0 or larger",
                  oversampling);
}

/* Filters are complete without it. */
static bool check_acorn(struct qd_parse *p, struct jval v)
{
    double most = 0;
    bool enable;

    if (jval_type(v) != J_OBJECT)
        return points_wrong_type(p, "acorn", v, "an object");
    if (!qd_bool(p, v, "enable", &enable) || !qd_number(p, v, "max_selectivity", &most))
        return false;
    return (most >= 0 && most <= 1) ||
           qd_bad(p, QD_VALIDATION, "max_selectivity: value %g invalid, must be from 0.0 to 1.0",
                  most);
}

static bool take_params(struct qd_parse *p, struct jval body, struct level *level)
{
    bool indexed_only = false; /* rows that are not linked yet are scanned: nothing is slow */
    uint64_t ef = 0;
    struct jval v, quantization, acorn;

    if (!qd_member(body, "params", &v))
        return true;
    if (jval_type(v) != J_OBJECT)
        return points_wrong_type(p, "params", v, "an object");
    if (qd_member(v, "quantization", &quantization) && !check_quantization(p, quantization))
        return false;
    if (qd_member(v, "acorn", &acorn) && !check_acorn(p, acorn))
        return false;
    if (!qd_uint(p, v, "hnsw_ef", 0, UINT64_MAX, &ef) || !qd_bool(p, v, "exact", &level->exact) ||
        !qd_bool(p, v, "indexed_only", &indexed_only))
        return false;
    level->ef = ef > VINDEX_EF_MAX ? VINDEX_EF_MAX : (uint32_t)ef;
    return true;
}

static bool keep_text(struct qd_parse *p, struct request *req, struct slice *text)
{
    char *copy = arena_strndup(&req->arena, (const char *)text->data, text->bytes);

    if (copy == NULL)
        return qd_no_memory(p);
    *text = slice_make(copy, text->bytes);
    return true;
}

/* Examples may have to be read where one waits for the network. */
static void note_waits(struct request *req, struct slice name)
{
    struct collection *c =
        node_collection_pin(req->api->options.node, (const char *)name.data, name.bytes);

    if (c == NULL)
        return;
    req->waits = req->waits || node_collection_waits(c);
    node_collection_unpin(c);
}

static bool take_lookup(struct qd_parse *p, struct request *req, struct jval body,
                        struct level *level)
{
    struct jval v;

    if (!qd_member(body, "lookup_from", &v))
        return true;
    if (jval_type(v) != J_OBJECT)
        return points_wrong_type(p, "lookup_from", v, "an object");
    level->looks_up = true;
    level->lookup_field = level->field_name;
    if (!qd_string(p, v, "collection", &level->lookup_collection) ||
        !qd_string(p, v, "vector", &level->lookup_field))
        return false;
    if (level->lookup_collection.data == NULL)
        return points_missing(p, "collection");
    note_waits(req, level->lookup_collection);
    return keep_text(p, req, &level->lookup_collection) && keep_text(p, req, &level->lookup_field);
}

/* The older routes name the field beside the vector. */
static bool take_using(struct qd_parse *p, struct request *req, struct jval body, bool older,
                       struct level *level)
{
    struct jval v;
    int at;

    level->field_name = slice_text("");
    if (older) {
        if (qd_member(body, "vector", &v) && jval_type(v) == J_OBJECT &&
            !qd_string(p, v, "name", &level->field_name))
            return false;
    } else if (!qd_string(p, body, "using", &level->field_name)) {
        return false;
    }
    at = node_field_position(req->collection, level->field_name);
    level->has_field = at >= 0;
    level->field = at >= 0 ? (size_t)at : 0;
    return true;
}

static bool take_filter(struct qd_parse *p, struct request *req, struct jval body,
                        const struct filter *around, struct level *level)
{
    struct filter *own = NULL;
    struct jval v;

    if (qd_member(body, "filter", &v) && !qd_filter(p, req, v, &own))
        return false;
    return query_both(&req->arena, around, own, &level->filter) || qd_no_memory(p);
}

static bool take_numbers(struct qd_parse *p, struct jval body, struct level *level)
{
    double threshold = 0;
    struct jval v;

    level->limit = QUERY_LIMIT_DEFAULT;
    if (!qd_uint(p, body, "limit", 1, UINT64_MAX, &level->limit) ||
        !qd_number(p, body, "score_threshold", &threshold))
        return false;
    level->has_threshold = qd_member(body, "score_threshold", &v);
    level->threshold = (float)threshold;
    return true;
}

static bool add_level(struct qd_parse *p, struct request *req, struct plan *plan,
                      struct level *level)
{
    void *levels = plan->levels;

    if (plan->count >= QUERY_LEVELS_MAX)
        return qd_bad(p, QD_INPUT, "a query has at most %d prefetches", QUERY_LEVELS_MAX - 1);
    if (!points_room(p, req, &levels, plan->count, &plan->capacity, 1, sizeof(struct level *)))
        return false;
    plan->levels = levels;
    plan->levels[plan->count++] = level;
    return true;
}

static struct level *take_level(struct qd_parse *p, struct request *req, struct jval body,
                                const struct filter *around, unsigned depth, enum plan_of of,
                                struct plan *plan);

/* How many there are, before they are read: what they are for is read first. */
static bool count_sources(struct qd_parse *p, struct jval body, struct level *level)
{
    struct jval v;

    if (!qd_member(body, "prefetch", &v))
        return true;
    if (jval_type(v) != J_OBJECT && jval_type(v) != J_ARRAY)
        return points_wrong_type(p, "prefetch", v, "an object or a list of them");
    level->source_count = jval_type(v) == J_OBJECT ? 1 : jval_count(v);
    return level->source_count < QUERY_LEVELS_MAX ||
           qd_bad(p, QD_INPUT, "a query has at most %d prefetches", QUERY_LEVELS_MAX - 1);
}

static int ids_rising(const void *a, const void *b)
{
    return docid_compare(a, b);
}

/* What this level leaves out: its filter, and documents that are examples. */
static bool around_sources(struct qd_parse *p, struct request *req, const struct level *level,
                           const struct filter **out)
{
    struct docid *ids;
    size_t n = 0;

    *out = level->filter;
    if (level->looks_up || level->example_count == 0)
        return true;
    ids = arena_array(&req->arena, level->example_count, sizeof *ids);
    if (ids == NULL)
        return qd_no_memory(p);
    for (size_t i = 0; i < level->example_count; i++)
        if (level->examples[i].vector == NULL)
            ids[n++] = level->examples[i].id;
    if (n == 0)
        return true;
    qsort(ids, n, sizeof *ids, ids_rising);
    return query_with_ids(&req->arena, ids, n, true, out) || qd_no_memory(p);
}

static bool take_sources(struct qd_parse *p, struct request *req, struct jval body, unsigned depth,
                         struct level *level, struct plan *plan)
{
    const struct filter *around = NULL;
    struct jval v;
    size_t n = 0;

    if (level->source_count == 0)
        return true;
    level->sources = arena_array(&req->arena, level->source_count, sizeof(struct level *));
    if (level->sources == NULL)
        return qd_no_memory(p);
    if (!around_sources(p, req, level, &around) || !qd_member(body, "prefetch", &v))
        return false;
    if (jval_type(v) == J_OBJECT) {
        level->sources[0] = take_level(p, req, v, around, depth + 1, PLAN_OF_QUERY, plan);
        return level->sources[0] != NULL;
    }
    for (struct jiter it = jval_iter(v); jiter_next(&it); n++) {
        level->sources[n] = take_level(p, req, it.value, around, depth + 1, PLAN_OF_QUERY, plan);
        if (level->sources[n] == NULL)
            return false;
    }
    return true;
}

static bool take_form(struct qd_parse *p, struct request *req, struct jval body, bool older,
                      struct level *level)
{
    struct jval v, inner;

    if (older) {
        if (!qd_member(body, "vector", &v))
            return points_missing(p, "vector");
        if (jval_type(v) == J_OBJECT) {
            if (!qd_member(v, "vector", &inner))
                return points_missing(p, "vector");
            v = inner;
        }
        if (jval_type(v) != J_ARRAY && jval_type(v) != J_OBJECT)
            return points_wrong_type(p, "vector", v, "a vector");
        return query_parse_nearest(p, req, v, level);
    }
    if (qd_member(body, "query", &v))
        return query_parse_form(p, req, v, level);
    level->form = LEVEL_BY_ID;
    if (level->source_count > 0)
        return qd_bad(p, QD_INPUT,
                      "A query is needed to merge the prefetches. Can't have prefetches without "
                      "defining a query.");
    return true;
}

/* What stands in requests of other kinds. Those of groups are allowed where there are some. */
static bool check_members(struct qd_parse *p, struct jval body, unsigned depth, enum plan_of of)
{
    if (of == PLAN_OF_SEARCH && depth == 0)
        return QD_NONE_OF(p, body, "a search", "using", "query", "prefetch", "lookup_from",
                          "order_by", "group_by", "group_size", "with_lookup", "top");
    if (depth > 0)
        return QD_NONE_OF(p, body, "a prefetch", "offset", "order_by", "group_by", "group_size",
                          "with_lookup", "vector", "top");
    if (!QD_NONE_OF(p, body, "a query", "order_by", "vector", "top"))
        return false;
    return of == PLAN_OF_GROUPS ||
           QD_NONE_OF(p, body, "a query", "group_by", "group_size", "with_lookup");
}

/* What the levels around it leave out it leaves out as well, or that would use up the places of its
 * limit. NULL after qd_bad(). */
static struct level *take_level(struct qd_parse *p, struct request *req, struct jval body,
                                const struct filter *around, unsigned depth, enum plan_of of,
                                struct plan *plan)
{
    struct level *level = arena_zero(&req->arena, sizeof *level);
    bool older = of == PLAN_OF_SEARCH;
    bool fine;

    if (level == NULL) {
        (void)qd_no_memory(p);
        return NULL;
    }
    if (jval_type(body) != J_OBJECT) {
        (void)points_wrong_type(p, depth == 0 ? "searches" : "prefetch", body, "an object");
        return NULL;
    }
    if (depth >= QUERY_DEPTH_MAX) {
        (void)qd_bad(p, QD_INPUT, "prefetches stand at most %d levels deep", QUERY_DEPTH_MAX - 1);
        return NULL;
    }
    fine = check_members(p, body, depth, of) && take_using(p, req, body, older, level) &&
           take_filter(p, req, body, around, level) && take_numbers(p, body, level) &&
           (depth > 0 || qd_uint(p, body, "offset", 0, UINT64_MAX, &level->offset)) &&
           take_params(p, body, level) && (older || take_lookup(p, req, body, level)) &&
           (older || count_sources(p, body, level)) && take_form(p, req, body, older, level) &&
           take_sources(p, req, body, depth, level, plan) && add_level(p, req, plan, level);
    return fine ? level : NULL;
}

bool plan_parse(struct qd_parse *p, struct request *req, struct jval body, enum plan_of of,
                struct plan *out)
{
    *out = (struct plan){0};
    return take_level(p, req, body, NULL, 0, of, out) != NULL &&
           qd_want(p, req, body, false, &out->want);
}
