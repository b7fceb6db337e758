/* node_query() as points.h extends it, and samples, of a node in memory: every row is looked at. */
#include "tests/support/fake_node_internal.h"

#include "index/vindex.h"

#include <math.h>
#include <stdlib.h>

bool fake_matches(const struct filter *f, const struct fake_row *row)
{
    struct filter_row asked = {.id = &row->id, .payload = row->payload};

    for (size_t i = 0; i < FAKE_FIELDS; i++)
        asked.vectors |= row->vectors[i] == NULL ? 0 : UINT64_C(1) << i;
    return f == NULL || filter_match(f, &asked);
}

static bool holds(const struct docid *ids, size_t count, const struct docid *id)
{
    for (size_t i = 0; i < count; i++)
        if (docid_equal(&ids[i], id))
            return true;
    return false;
}

static float score(int metric, const float *a, const float *b, uint32_t dim)
{
    double dot = 0, l2 = 0, l1 = 0;

    for (uint32_t i = 0; i < dim; i++) {
        dot += (double)a[i] * (double)b[i];
        l2 += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        l1 += fabs((double)a[i] - (double)b[i]);
    }
    return (float)(metric == VMETRIC_L2 ? sqrt(l2) : metric == VMETRIC_L1 ? l1 : dot);
}

static int best_first(const void *a, const void *b)
{
    const struct match *x = a;
    const struct match *y = b;

    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return docid_compare(&x->id, &y->id);
}

static bool take(const struct collection *c, const struct fake_row *row, const float *query,
                 const struct query_options *o, struct arena *arena, struct match *out)
{
    const struct point_query *p = o->points;
    const struct field_info *field = &c->fields[p->field];
    struct document d;
    const struct read_want want = {.payload = o->with_payload,
                                   .vectors = p->vectors | (o->with_vector ? 1 : 0)};

    if (!fake_copy_row(c, row, &want, arena, &d))
        return false;
    *out = (struct match){.id = d.id, .lsn = d.lsn, .payload = d.payload, .vectors = d.vectors};
    out->external_id = row->external_id;
    out->vector = o->with_vector ? d.vectors[0] : NULL;
    out->score = score(field->metric, query, row->vectors[p->field], field->dimension);
    out->distance =
        field->metric == VMETRIC_L2 || field->metric == VMETRIC_L1 ? out->score : -out->score;
    return true;
}

static bool wanted(const struct point_query *p, const struct fake_row *row)
{
    return row->vectors[p->field] != NULL && fake_matches(p->filter, row) &&
           (p->within == NULL || holds(p->within, p->within_count, &row->id)) &&
           !holds(p->without, p->without_count, &row->id);
}

static bool passes(const struct collection *c, const struct point_query *p, const struct match *m)
{
    bool low = c->fields[p->field].metric == VMETRIC_L2 || c->fields[p->field].metric == VMETRIC_L1;

    return !p->has_threshold || (low ? m->score <= p->threshold : m->score >= p->threshold);
}

status fake_search_locked(struct collection *c, const float *query, const struct query_options *o,
                          struct arena *arena, struct query_result *out)
{
    *out = (struct query_result){0};
    out->matches = arena_array(arena, c->count + 1, sizeof *out->matches);
    if (out->matches == NULL)
        return ST_NOMEM;
    for (size_t i = 0; i < c->count; i++) {
        struct match *m = &out->matches[out->count];

        if (!wanted(o->points, &c->rows[i]))
            continue;
        if (!take(c, &c->rows[i], query, o, arena, m))
            return ST_NOMEM;
        if (passes(c, o->points, m))
            out->count++;
    }
    qsort(out->matches, out->count, sizeof *out->matches, best_first);
    if (out->count > o->top_k)
        out->count = o->top_k;
    return ST_OK;
}

/* The first ones: as good as any. */
status node_sample(struct collection *c, const struct filter *filter, uint32_t count,
                   const struct read_want *want, const struct read_limits *limits,
                   struct arena *arena, struct document **out, uint32_t *out_count, struct err *err)
{
    struct document *made = arena_array(arena, c->count + 1, sizeof *made);
    bool fine = made != NULL;
    uint32_t n = 0;

    (void)limits;
    lock_take(&c->node->s.lock);
    for (size_t i = 0; fine && i < c->count && n < count; i++)
        if (fake_matches(filter, &c->rows[i]))
            fine = fake_copy_row(c, &c->rows[i], want, arena, &made[n++]);
    lock_drop(&c->node->s.lock);
    if (!fine)
        return err_set(err, ST_NOMEM, "out of memory for a sample");
    *out = made;
    *out_count = n;
    return ST_OK;
}
