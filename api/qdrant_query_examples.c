/* qdrant_query_examples.c - what a level looks at: the vectors of its examples, and the documents
 * it may give back. */
#include "api/qdrant_query.h"

#include <stdlib.h>

bool query_low_is_best(const struct query_run *run, const struct level *level)
{
    int metric;

    if (level->form != LEVEL_NEAREST &&
        (level->form != LEVEL_RECOMMEND || level->strategy != RECOMMEND_AVERAGE))
        return false;
    metric = node_field(run->req->collection, level->field)->metric;
    return metric == VMETRIC_L2 || metric == VMETRIC_L1;
}

/* --- which documents --- */

status query_within(struct query_run *run, const struct level *level, struct docid **out,
                    size_t *count, struct err *err)
{
    struct scored_list *lists =
        arena_array(run->scratch, level->source_count + 1, sizeof(struct scored_list));

    if (lists == NULL)
        return err_set(err, ST_NOMEM, "out of memory for %zu prefetches", level->source_count);
    for (size_t i = 0; i < level->source_count; i++)
        lists[i] = level->sources[i]->result;
    return rank_ids(run->scratch, lists, level->source_count, out, count, err);
}

/* --- examples --- */

static status no_such_point(const struct docid *id, struct err *err)
{
    char text[DOCID_TEXT_BYTES];

    (void)docid_format(id, text);
    return err_set(err, ST_NOT_FOUND, "No point with id %s found", text);
}

static const struct document *find(const struct document *documents, uint32_t count,
                                   const struct docid *id)
{
    for (uint32_t i = 0; i < count; i++)
        if (docid_equal(&documents[i].id, id))
            return &documents[i];
    return NULL;
}

static const float *vector_at(const struct document *d, size_t field)
{
    if (d->vectors != NULL)
        return d->vectors[field];
    return field == 0 ? d->vector : NULL;
}

struct lookup { /* where the examples that are documents are */
    struct collection *c;
    size_t field;
    uint32_t dimension; /* needed */
};

static status copy_vector(struct query_run *run, const struct lookup *at, const struct document *d,
                          float **out, struct err *err)
{
    const float *vector = vector_at(d, at->field);
    char text[DOCID_TEXT_BYTES];

    if (vector == NULL) {
        (void)docid_format(&d->id, text);
        return err_set(err, ST_NOT_FOUND, "Vector with name %s of point %s not found",
                       node_field(at->c, at->field)->name, text);
    }
    *out = arena_array(run->scratch, at->dimension, sizeof(float));
    if (*out == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the vectors of examples");
    memcpy(*out, vector, at->dimension * sizeof(float));
    return ST_OK;
}

/* Gives the examples that are documents their vectors. */
static status look_up(struct query_run *run, const struct level *level, const struct lookup *at,
                      struct query_examples *out, struct err *err)
{
    const struct read_want want = {.vectors = (uint64_t)1 << at->field, .limits = run->limits};
    struct document *documents = NULL;
    uint32_t count = 0;
    status st;

    st = node_retrieve(at->c, out->leave_out, out->leave_out_count, &want, run->scratch, &documents,
                       &count, err);
    for (size_t i = 0; st == ST_OK && i < level->example_count; i++) {
        const struct example *e = &level->examples[i];
        const struct document *d;

        if (e->vector != NULL)
            continue;
        d = find(documents, count, &e->id);
        st =
            d == NULL ? no_such_point(&e->id, err) : copy_vector(run, at, d, &out->vectors[i], err);
    }
    return st;
}

static status open_lookup(struct query_run *run, const struct level *level, struct lookup *out,
                          struct err *err)
{
    struct slice name = level->lookup_collection;
    struct collection *own = run->req->collection;
    int field;

    *out = (struct lookup){
        .c = own, .field = level->field, .dimension = node_field(own, level->field)->dimension};
    if (!level->looks_up)
        return ST_OK;
    out->c = node_collection_pin(run->req->api->options.node, (const char *)name.data, name.bytes);
    if (out->c == NULL)
        return err_set(err, ST_NOT_FOUND, "Collection `%.*s` doesn't exist!",
                       (int)(name.bytes < 255 ? name.bytes : 255), (const char *)name.data);
    name = level->lookup_field;
    field = node_field_position(out->c, name);
    if (field < 0)
        return err_set(err, ST_INVALID, "Not existing vector name error: %.*s",
                       (int)(name.bytes < 255 ? name.bytes : 255), (const char *)name.data);
    out->field = (size_t)field;
    if (node_field(out->c, out->field)->dimension != out->dimension)
        return err_set(err, ST_INVALID, "Vector dimension error: expected dim: %u, got %u",
                       out->dimension, node_field(out->c, out->field)->dimension);
    return ST_OK;
}

static int ids_rising(const void *a, const void *b)
{
    return docid_compare(a, b);
}

/* Vectors as sent are copied: searching normalises in place. */
static status take_sent(struct query_run *run, const struct level *level,
                        struct query_examples *out, struct err *err)
{
    uint32_t dimension = node_field(run->req->collection, level->field)->dimension;
    size_t n = 0;

    out->vectors = arena_array(run->scratch, level->example_count + 1, sizeof(float *));
    out->leave_out = arena_array(run->scratch, level->example_count + 1, sizeof(struct docid));
    if (out->vectors == NULL || out->leave_out == NULL)
        return err_set(err, ST_NOMEM, "out of memory for %zu examples", level->example_count);
    for (size_t i = 0; i < level->example_count; i++) {
        const struct example *e = &level->examples[i];

        if (e->vector == NULL) {
            out->leave_out[n++] = e->id;
            continue;
        }
        out->vectors[i] = arena_array(run->scratch, dimension, sizeof(float));
        if (out->vectors[i] == NULL)
            return err_set(err, ST_NOMEM, "out of memory for %zu examples", level->example_count);
        memcpy(out->vectors[i], e->vector, dimension * sizeof(float));
    }
    out->leave_out_count = n;
    if (n > 1)
        qsort(out->leave_out, n, sizeof *out->leave_out, ids_rising);
    return ST_OK;
}

status query_examples(struct query_run *run, const struct level *level, struct query_examples *out,
                      struct err *err)
{
    struct collection *own = run->req->collection;
    struct lookup at = {0};
    status st;

    *out = (struct query_examples){0};
    st = take_sent(run, level, out, err);
    if (st != ST_OK || out->leave_out_count == 0)
        return st;
    st = open_lookup(run, level, &at, err);
    if (st == ST_OK)
        st = look_up(run, level, &at, out, err);
    if (at.c != own)
        out->leave_out_count = 0; /* they are not of this collection */
    if (level->looks_up && at.c != NULL)
        node_collection_unpin(at.c);
    return st;
}
