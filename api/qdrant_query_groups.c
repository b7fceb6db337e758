/* qdrant_query_groups.c - the best points of each of the best groups, by a payload value.
 *
 * Which points make up the groups is known only once they are ranked: the query runs for its best
 * few points, and again for four times as many, until the groups are full or there are no more. */
#include "api/qdrant_query.h"

#include "base/hash.h"

enum {
    GROUP_SIZE_DEFAULT = 3,
    POINTS_FIRST = 64,     /* that are ranked, at least */
    PREFETCH_LEAST = 4096, /* points of each prefetch: they are shared among the groups */
};

struct hit {
    uint32_t item; /* of the results */
    struct hit *next;
};
struct group {
    struct filter_value id;
    uint64_t count;
    struct hit *first, **last;
};

struct grouping {
    struct query_job job;
    struct plan plan;
    const struct path *by;
    uint64_t limit, size;
    struct query_run run;
    bool begun, ranked, grouped;
    struct group *groups;
    uint32_t *table; /* open addressing; index of the group and 1 */
    size_t table_size;
    uint32_t group_count, group_room, full, printed;
};

/* --- values --- */

enum { VALUES_MAX = 1024 }; /* of one point: the first of them */

struct values {
    struct filter_value list[VALUES_MAX];
    uint32_t count;
    bool none; /* one of them cannot name a group: the point has no part in any */
};

static bool same(const struct filter_value *a, const struct filter_value *b)
{
    return a->type == b->type && a->u64 == b->u64 && a->i64 == b->i64 &&
           slice_equal(a->text, b->text);
}

static bool take_value(void *arg, const struct jbin_value *v)
{
    struct filter_value value = {.type = v->type};
    struct values *values = arg;

    if (v->type == JBIN_T_U64)
        value.u64 = v->u64;
    else if (v->type == JBIN_T_I64)
        value.i64 = v->i64;
    else if (v->type == JBIN_T_STRING)
        value.text = v->text;
    else
        values->none = true;
    for (uint32_t i = 0; i < values->count; i++)
        if (same(&values->list[i], &value))
            return !values->none;
    if (values->count < VALUES_MAX)
        values->list[values->count++] = value;
    return !values->none;
}

static uint64_t hash_of(const struct filter_value *v)
{
    if (v->type == JBIN_T_STRING)
        return hash_bytes(v->text.data, v->text.bytes, 0);
    return hash_u64(v->type == JBIN_T_U64 ? v->u64 : (uint64_t)v->i64);
}

/* --- grouping --- */

/* The group of a value; NULL when there are as many as are asked for. */
static struct group *group_of(struct grouping *g, const struct filter_value *v)
{
    size_t at = (size_t)hash_of(v) & (g->table_size - 1);
    struct group *group;

    while (g->table[at] != 0 && !same(&g->groups[g->table[at] - 1].id, v))
        at = (at + 1) & (g->table_size - 1);
    if (g->table[at] != 0)
        return &g->groups[g->table[at] - 1];
    if (g->group_count == g->group_room)
        return NULL;
    group = &g->groups[g->group_count++];
    g->table[at] = g->group_count;
    *group = (struct group){.id = *v, .last = &group->first};
    return group;
}

static status add_hit(struct grouping *g, struct group *group, uint32_t item, struct err *err)
{
    struct hit *hit;

    if (group->count == g->size)
        return ST_OK;
    hit = arena_alloc(&g->job.scratch, sizeof *hit);
    if (hit == NULL)
        return err_set(err, ST_NOMEM, "out of memory for groups");
    *hit = (struct hit){.item = item};
    *group->last = hit;
    group->last = &hit->next;
    if (++group->count == g->size)
        g->full++;
    return ST_OK;
}

static status begin_groups(struct grouping *g, const struct scored_list *results, struct err *err)
{
    /* A point may stand in several groups; there are no more than are asked for. */
    uint64_t most = (uint64_t)results->count * 8 + 64;

    g->group_room = (uint32_t)(g->limit < most ? g->limit : most);
    g->group_count = g->full = 0;
    for (g->table_size = 16; g->table_size < 2 * (size_t)g->group_room;)
        g->table_size *= 2;
    g->groups = arena_array(&g->job.scratch, (size_t)g->group_room + 1, sizeof *g->groups);
    g->table = arena_zero(&g->job.scratch, g->table_size * sizeof *g->table);
    return g->groups != NULL && g->table != NULL
               ? ST_OK
               : err_set(err, ST_NOMEM, "out of memory for groups");
}

static status make_groups(struct grouping *g, const struct scored_list *results, struct err *err)
{
    struct values *values = arena_alloc(&g->job.scratch, sizeof *values);
    status st = begin_groups(g, results, err);

    if (values == NULL)
        return err_set(err, ST_NOMEM, "out of memory for groups");
    for (uint32_t i = 0; st == ST_OK && i < results->count; i++) {
        struct jbin_value root = jbin_root(results->items[i].payload);

        values->count = 0;
        values->none = false;
        (void)filter_each_value(g->by, &root, take_value, values);
        for (uint32_t k = 0; st == ST_OK && !values->none && k < values->count; k++) {
            struct group *group = group_of(g, &values->list[k]);

            if (group != NULL)
                st = add_hit(g, group, i, err);
        }
    }
    return st;
}

/* --- running --- */

static void begin_round(struct request *req, struct grouping *g)
{
    g->begun = true;
    g->ranked = false;
    query_run_begin(&g->run, req, &g->plan, &g->job.scratch, &g->job.limits);
}

static status end_round(struct grouping *g, struct err *err)
{
    struct level *query = query_last(&g->plan);
    const struct scored_list *results = &query->result;
    bool all = results->count < query->limit || query->limit >= VINDEX_K_MAX;
    status st = make_groups(g, results, err);

    g->grouped = all || (g->group_count == g->limit && g->full == g->group_count);
    if (st != ST_OK || g->grouped)
        return st;
    query->limit = query->limit * 4 < VINDEX_K_MAX ? query->limit * 4 : VINDEX_K_MAX;
    g->begun = false;
    arena_reset(&g->job.scratch);
    return ST_OK;
}

static void print_group(struct request *req, const struct grouping *g, const struct group *group)
{
    const struct scored_list *results = &query_last(&g->plan)->result;
    struct buf *out = &req->out;

    buf_put_text(out, group == g->groups ? "{\"id\":" : ",{\"id\":");
    points_print_value(out, &group->id);
    buf_put_text(out, ",\"hits\":[");
    for (const struct hit *h = group->first; h != NULL; h = h->next) {
        if (h != group->first)
            buf_put_text(out, ",");
        query_print_scored(out, req->collection, &results->items[h->item], &g->plan.want);
    }
    buf_put_text(out, "]}");
}

static status step(struct request *req, struct query_job *job, bool *done, struct err *err)
{
    struct grouping *g = (struct grouping *)job; /* its first member */

    if (!g->begun)
        begin_round(req, g);
    if (!g->ranked)
        return query_run_step(&g->run, &g->ranked, err);
    if (!g->grouped)
        return end_round(g, err);
    if (g->printed < g->group_count) {
        print_group(req, g, &g->groups[g->printed++]);
        return ST_OK;
    }
    buf_put_text(&req->out, "]}");
    *done = true;
    return ST_OK;
}

/* --- parsing --- */

static void widen(struct grouping *g)
{
    struct level *query = query_last(&g->plan);
    uint64_t points =
        g->limit > VINDEX_K_MAX || g->size > VINDEX_K_MAX ? VINDEX_K_MAX : 2 * g->limit * g->size;

    if (points < POINTS_FIRST)
        points = POINTS_FIRST;
    query->limit = points < VINDEX_K_MAX ? points : VINDEX_K_MAX;
    for (size_t i = 0; i + 1 < g->plan.count; i++) {
        struct level *source = g->plan.levels[i];
        uint64_t wide = source->limit > VINDEX_K_MAX || g->size > VINDEX_K_MAX
                            ? VINDEX_K_MAX
                            : source->limit * g->size;

        if (wide < PREFETCH_LEAST)
            wide = PREFETCH_LEAST;
        source->limit = wide < VINDEX_K_MAX ? wide : VINDEX_K_MAX;
    }
}

static bool parse(struct qd_parse *p, struct request *req, struct jval root, struct grouping *g)
{
    struct jval v;

    g->size = GROUP_SIZE_DEFAULT;
    if (!qd_member(root, "group_by", &v))
        return points_missing(p, "group_by");
    if (!qd_path(p, req, "group_by", v, &g->by) ||
        !qd_uint(p, root, "group_size", 1, UINT64_MAX, &g->size) ||
        !plan_parse(p, req, root, PLAN_OF_GROUPS, &g->plan))
        return false;
    if (qd_member(root, "with_lookup", &v))
        return qd_bad(
            p, QD_INPUT,
            "`with_lookup` is not supported by this version: ask for the points by their ids");
    if (query_last(&g->plan)->offset > 0)
        return qd_bad(p, QD_INPUT, "`offset` does not go with groups");
    g->limit = query_last(&g->plan)->limit;
    g->plan.reads_payload = true;
    widen(g);
    return true;
}

task_state handle_qd_query_groups(struct request *req)
{
    struct jval root;
    struct grouping *g = query_job_make(req, sizeof *g, &root);
    struct qd_parse p = {0};
    bool fine;

    if (g == NULL)
        return TASK_DONE;
    g->job.step = step;
    fine = parse(&p, req, root, g);
    request_json_done(req);
    if (!fine)
        return qd_fail_parse(req, &p);
    buf_put_text(qd_begin(req), "{\"groups\":[");
    return query_job_start(req, &g->job, query_cost_ns(req, &g->plan));
}
