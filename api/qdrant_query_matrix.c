/* qdrant_query_matrix.c - how near to one another some points are: a random sample, and for each of
 * it the nearest others of it. One row of the matrix is a step. */
#include "api/qdrant_query.h"

#include "index/kernels.h"

#include <math.h>
#include <stdlib.h>

enum { SAMPLE_DEFAULT = 10, NEIGHBOURS_DEFAULT = 3, SAMPLE_MAX = VINDEX_K_MAX };

struct neighbour {
    uint32_t column;
    float score;
};

struct matrix {
    struct query_job job;
    const struct filter *filter; /* with: has the vector */
    size_t field;
    uint64_t sample, limit;
    bool pairs;
    struct document *points; /* by rising id */
    uint32_t count;
    uint32_t row, width; /* width: neighbours of a row */
    struct neighbour *found;
    struct scored *others; /* of one row */
    bool begun;
};

static int documents_by_id(const void *a, const void *b)
{
    return docid_compare(&((const struct document *)a)->id, &((const struct document *)b)->id);
}

static const float *vector_of(const struct matrix *m, uint32_t i)
{
    const struct document *d = &m->points[i];

    return d->vectors != NULL ? d->vectors[m->field] : m->field == 0 ? d->vector : NULL;
}

static status take_sample(struct request *req, struct matrix *m, struct err *err)
{
    const struct read_want want = {.vectors = (uint64_t)1 << m->field};
    uint32_t kept = 0;
    status st;

    st = node_sample(req->collection, m->filter, (uint32_t)m->sample, &want, &m->job.limits,
                     &m->job.scratch, &m->points, &m->count, err);
    if (st != ST_OK)
        return st;
    for (uint32_t i = 0; i < m->count; i++)
        if (vector_of(m, i) != NULL)
            m->points[kept++] = m->points[i];
    m->count = kept < 2 ? 0 : kept;
    if (m->count > 0)
        qsort(m->points, m->count, sizeof *m->points, documents_by_id);
    m->width = m->count == 0 ? 0 : m->limit < m->count ? (uint32_t)m->limit : m->count - 1;
    m->found = arena_array(&m->job.scratch, (size_t)m->count * m->width + 1, sizeof *m->found);
    m->others = arena_array(&m->job.scratch, (size_t)m->count + 1, sizeof *m->others);
    return m->found != NULL && m->others != NULL
               ? ST_OK
               : err_set(err, ST_NOMEM, "out of memory for a matrix of %u", m->count);
}

static float score_of(const struct field_info *field, const float *a, const float *b)
{
    float alike = rank_similarity((enum vmetric)field->metric, a, b, field->dimension);

    switch ((enum vmetric)field->metric) {
    case VMETRIC_L2:
        return sqrtf(-alike);
    case VMETRIC_L1:
        return -alike;
    case VMETRIC_COSINE:
    case VMETRIC_DOT:
        break;
    }
    return alike;
}

static void fill_row(struct request *req, struct matrix *m)
{
    const struct field_info *field = node_field(req->collection, m->field);
    bool low_is_best = field->metric == VMETRIC_L2 || field->metric == VMETRIC_L1;
    uint32_t n = 0;

    for (uint32_t i = 0; i < m->count; i++)
        if (i != m->row)
            m->others[n++] =
                (struct scored){.id = docid_u64(i), /* columns rise as ids do */
                                .score = score_of(field, vector_of(m, m->row), vector_of(m, i))};
    rank_sort(m->others, n, low_is_best);
    for (uint32_t k = 0; k < m->width; k++)
        m->found[(size_t)m->row * m->width + k] = (struct neighbour){
            .column = (uint32_t)m->others[k].id.u64, .score = m->others[k].score};
    m->row++;
}

/* --- printing --- */

static void print_pairs(struct buf *out, const struct matrix *m)
{
    size_t count = (size_t)m->count * m->width;

    buf_put_text(out, "{\"pairs\":[");
    for (size_t i = 0; i < count && !out->failed; i++) {
        buf_put_text(out, i > 0 ? ",{\"a\":" : "{\"a\":");
        qd_print_id(out, &m->points[i / m->width].id);
        buf_put_text(out, ",\"b\":");
        qd_print_id(out, &m->points[m->found[i].column].id);
        buf_put_text(out, ",\"score\":");
        json_put_f32(out, m->found[i].score);
        buf_put_text(out, "}");
    }
    buf_put_text(out, "]}");
}

static void print_offsets(struct buf *out, const struct matrix *m)
{
    size_t count = (size_t)m->count * m->width;

    buf_put_text(out, "{\"offsets_row\":[");
    for (size_t i = 0; i < count; i++) {
        buf_put_text(out, i > 0 ? "," : "");
        json_put_u64(out, i / m->width);
    }
    buf_put_text(out, "],\"offsets_col\":[");
    for (size_t i = 0; i < count; i++) {
        buf_put_text(out, i > 0 ? "," : "");
        json_put_u64(out, m->found[i].column);
    }
    buf_put_text(out, "],\"scores\":[");
    for (size_t i = 0; i < count; i++) {
        buf_put_text(out, i > 0 ? "," : "");
        json_put_f32(out, m->found[i].score);
    }
    buf_put_text(out, "],\"ids\":[");
    for (uint32_t i = 0; i < m->count; i++) {
        buf_put_text(out, i > 0 ? "," : "");
        qd_print_id(out, &m->points[i].id);
    }
    buf_put_text(out, "]}");
}

static status step(struct request *req, struct query_job *job, bool *done, struct err *err)
{
    struct matrix *m = (struct matrix *)job; /* its first member */

    if (!m->begun) {
        m->begun = true;
        return take_sample(req, m, err);
    }
    if (m->row < m->count) {
        fill_row(req, m);
        return ST_OK;
    }
    if (m->pairs)
        print_pairs(&req->out, m);
    else
        print_offsets(&req->out, m);
    *done = true;
    return ST_OK;
}

/* --- parsing --- */

static bool take_filter(struct qd_parse *p, struct request *req, struct jval root, struct matrix *m)
{
    struct filter *has = arena_zero(&req->arena, sizeof *has);
    struct filter *own = NULL;
    struct jval v;

    if (has == NULL)
        return qd_no_memory(p);
    if (qd_member(root, "filter", &v) && !qd_filter(p, req, v, &own))
        return false;
    has->kind = FILTER_HAS_VECTOR;
    has->vector_name = slice_text(node_field(req->collection, m->field)->name);
    has->vector_position = (int)m->field;
    return query_both(&req->arena, own, has, &m->filter) || qd_no_memory(p);
}

static bool parse(struct qd_parse *p, struct request *req, struct jval root, struct matrix *m)
{
    struct slice using = slice_text("");

    m->sample = SAMPLE_DEFAULT;
    m->limit = NEIGHBOURS_DEFAULT;
    return QD_NONE_OF(p, root, "a matrix", "params", "score_threshold", "offset", "query") &&
           qd_string(p, root, "using", &using) && qd_field(p, req, using, &m->field) &&
           take_filter(p, req, root, m) && qd_uint(p, root, "sample", 2, SAMPLE_MAX, &m->sample) &&
           qd_uint(p, root, "limit", 1, UINT64_MAX, &m->limit);
}

static task_state handle(struct request *req, bool pairs)
{
    enum { ROW_NS = 1000 };
    struct jval root;
    struct matrix *m = query_job_make(req, sizeof *m, &root);
    struct qd_parse p = {0};
    bool fine;

    if (m == NULL)
        return TASK_DONE;
    m->job.step = step;
    m->pairs = pairs;
    fine = parse(&p, req, root, m);
    request_json_done(req);
    if (!fine)
        return qd_fail_parse(req, &p);
    (void)qd_begin(req);
    return query_job_start(
        req, &m->job,
        query_select_cost_ns(req, m->filter) +
            m->sample *
                (ROW_NS + m->sample * node_field(req->collection, m->field)->dimension / 8));
}

task_state handle_qd_matrix_pairs(struct request *req)
{
    return handle(req, true);
}

task_state handle_qd_matrix_offsets(struct request *req)
{
    return handle(req, false);
}
