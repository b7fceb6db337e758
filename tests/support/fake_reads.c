/* Queries that look at all rows, documents by id and in order. */
#include "tests/support/fake_node_internal.h"

#include "index/vindex.h"

#include <math.h>
#include <stdatomic.h>
#include <time.h>

static struct slice arena_slice(struct arena *arena, struct slice s)
{
    uint8_t *copy = arena_alloc(arena, s.bytes);

    if (copy != NULL && s.bytes > 0)
        memcpy(copy, s.data, s.bytes);
    return slice_make(copy, s.bytes);
}

static float distance(const struct collection *c, const float *a, const float *b)
{
    double dot = 0, l2 = 0, l1 = 0, aa = 0, bb = 0;

    for (uint32_t i = 0; i < c->info.dimension; i++) {
        dot += (double)a[i] * (double)b[i];
        l2 += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        l1 += fabs((double)a[i] - (double)b[i]);
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    if (c->metric == VMETRIC_COSINE)
        return (float)(1.0 - dot / sqrt(aa * bb));
    return (float)(c->metric == VMETRIC_DOT ? -dot : c->metric == VMETRIC_L2 ? sqrt(l2) : l1);
}

static void rest_ms(uint32_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)nanosleep(&t, NULL);
}

/* Keeps matches sorted; all rows are looked at. */
static void offer(struct query_result *out, uint32_t k, struct match m)
{
    uint32_t at = out->count < k ? out->count++ : k - 1;

    while (at > 0 && out->matches[at - 1].distance > m.distance) {
        out->matches[at] = out->matches[at - 1];
        at--;
    }
    out->matches[at] = m;
}

static status search_locked(struct collection *c, const float *query, const struct query_options *o,
                            struct arena *arena, struct query_result *out)
{
    uint32_t k = o->top_k < c->count ? o->top_k : (uint32_t)c->count;

    *out = (struct query_result){.scanned = (uint32_t)c->count, .distances = (uint32_t)c->count};
    out->matches = arena_array(arena, k + 1, sizeof *out->matches);
    if (out->matches == NULL)
        return ST_NOMEM;
    for (size_t i = 0; i < c->count && k > 0; i++) {
        struct fake_row *row = &c->rows[i];
        struct match m = {.id = row->id, .lsn = row->lsn};

        if (row->vectors[0] == NULL)
            continue;
        m.distance = distance(c, query, row->vectors[0]);
        m.score = 1.0f - m.distance;
        if (out->count == k && m.distance >= out->matches[k - 1].distance)
            continue;
        m.external_id = arena_slice(arena, row->external_id);
        m.payload = o->with_payload ? arena_slice(arena, row->payload) : (struct slice){0};
        if (o->with_vector)
            m.vector = (const float *)(const void *)arena_slice(
                           arena, slice_make(row->vectors[0], c->info.dimension * sizeof(float)))
                           .data;
        offer(out, k, m);
    }
    return ST_OK;
}

status node_query(struct collection *c, float *query, const struct query_options *options,
                  struct arena *arena, struct query_result *out, struct err *err)
{
    struct node *n = c->node;
    uint32_t ms;
    status st;

    fake_take(n);
    n->s.queries++;
    ms = n->s.query_ms;
    st = n->s.fail_query;
    n->s.fail_query = ST_OK;
    if (st == ST_OK)
        st = options->points != NULL ? fake_search_locked(c, query, options, arena, out)
                                     : search_locked(c, query, options, arena, out);
    fake_drop(n);
    for (; ms > 0 && st == ST_OK; ms -= ms < 10 ? ms : 10) {
        if (options->stop != NULL && atomic_load(options->stop))
            return err_set(err, ST_TIMEOUT, "stopped");
        rest_ms(ms < 10 ? ms : 10);
    }
    return st == ST_OK ? ST_OK : err_set(err, st, "the fake node was told to refuse");
}

uint64_t node_query_cost_ns(struct collection *c, const struct query_options *options)
{
    uint64_t ms;

    (void)options;
    fake_take(c->node);
    ms = c->node->s.query_ms;
    fake_drop(c->node);
    return ms * 1000000u + 10000u;
}

static bool copy_document(struct collection *c, const struct fake_row *row, bool with_vector,
                          struct arena *arena, struct document *out)
{
    const struct read_want want = {.payload = true, .vectors = with_vector ? UINT64_MAX : 0};

    if (!fake_copy_row(c, row, &want, arena, out))
        return false;
    out->external_id = arena_slice(arena, row->external_id);
    out->inserted_at_ns = row->inserted_at_ns;
    out->vector = out->vectors[0];
    if (!with_vector || c->field_count < 2)
        out->vectors = NULL; /* as node gives them */
    return out->external_id.data != NULL;
}

status node_get(struct collection *c, const struct docid *id, struct arena *arena,
                struct document *out, struct err *err)
{
    status st = ST_OK;
    bool found;
    size_t at;

    fake_take(c->node);
    at = fake_place_of(c, id, &found);
    if (!found)
        st = ST_NOT_FOUND;
    else if (!copy_document(c, &c->rows[at], true, arena, out))
        st = ST_NOMEM;
    fake_drop(c->node);
    return st == ST_OK ? ST_OK : err_set(err, st, "get");
}

status node_list(struct collection *c, const struct docid *after, uint32_t limit, bool with_vector,
                 struct arena *arena, struct document **out, uint32_t *count, bool *more,
                 struct err *err)
{
    struct document *docs = arena_array(arena, limit, sizeof *docs);
    uint32_t n = 0;
    bool fine = docs != NULL;
    size_t at = 0;
    bool found;

    fake_take(c->node);
    if (after != NULL) {
        at = fake_place_of(c, after, &found);
        at += found ? 1 : 0;
    }
    for (; fine && n < limit && at < c->count; at++)
        fine = copy_document(c, &c->rows[at], with_vector, arena, &docs[n++]);
    *more = at < c->count;
    fake_drop(c->node);
    if (!fine)
        return err_set(err, ST_NOMEM, "out of memory for a page");
    *out = docs;
    *count = n;
    return ST_OK;
}
