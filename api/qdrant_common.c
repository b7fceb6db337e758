/* qdrant_common.c - what the bodies of the compatible dialect hold in several places: ids,
 * selectors, filters, vectors, what to give back. */
#include "api/grpc.h"
#include "api/qdrant.h"

#include "base/rand.h"

#include <inttypes.h>
#include <stdio.h>

/* --- scalars --- */

bool qd_member(struct jval object, const char *key, struct jval *out)
{
    struct jval v;

    if (!jval_member(object, key, &v) || jval_type(v) == J_NULL)
        return false;
    *out = v;
    return true;
}

bool qd_none_of(struct qd_parse *p, struct jval body, const char *what, const char *const *names)
{
    struct jval v;

    for (; *names != NULL; names++)
        if (qd_member(body, *names, &v))
            return qd_bad(p, QD_INPUT, "`%s` does not go with %s", *names, what);
    return true;
}

bool qd_bool(struct qd_parse *p, struct jval body, const char *key, bool *out)
{
    struct jval v;

    if (!qd_member(body, key, &v))
        return true;
    if (jval_type(v) != J_TRUE && jval_type(v) != J_FALSE)
        return qd_bad(p, QD_FORMAT, "%s: invalid type: %s, expected a boolean", key,
                      jtype_name(jval_type(v)));
    *out = jval_bool(v);
    return true;
}

bool qd_uint(struct qd_parse *p, struct jval body, const char *key, uint64_t min, uint64_t max,
             uint64_t *out)
{
    struct jval v;
    int64_t negative;
    uint64_t n;

    if (!qd_member(body, key, &v))
        return true;
    if (!jval_u64(v, &n)) {
        if (jval_i64(v, &negative))
            return qd_bad(p, QD_FORMAT,
                          "%s: invalid value: integer `%" PRId64 "`, expected a non-negative one",
                          key, negative);
        return qd_bad(p, QD_FORMAT, "%s: invalid type: %s, expected an integer", key,
                      jtype_name(jval_type(v)));
    }
    if (n < min)
        return qd_bad(p, QD_VALIDATION,
                      "%s: value %" PRIu64 " invalid, must be %" PRIu64 " or larger", key, n, min);
    if (n > max)
        return qd_bad(p, QD_VALIDATION,
                      "%s: value %" PRIu64 " invalid, must be %" PRIu64 " or smaller", key, n, max);
    *out = n;
    return true;
}

bool qd_number(struct qd_parse *p, struct jval body, const char *key, double *out)
{
    struct jval v;

    if (!qd_member(body, key, &v))
        return true;
    return jval_f64(v, out) || qd_bad(p, QD_FORMAT, "%s: invalid type: %s, expected a number", key,
                                      jtype_name(jval_type(v)));
}

bool qd_string(struct qd_parse *p, struct jval body, const char *key, struct slice *out)
{
    struct jval v;

    if (!qd_member(body, key, &v))
        return true;
    if (jval_type(v) != J_STRING)
        return qd_bad(p, QD_FORMAT, "%s: invalid type: %s, expected a string", key,
                      jtype_name(jval_type(v)));
    *out = jval_string(v);
    return true;
}

/* --- ids --- */

static bool bad_id(struct qd_parse *p, struct jval v)
{
    char shown[128] = "";
    struct buf text;
    int64_t negative;
    double number;

    buf_init(&text, sizeof shown - 1);
    if (jval_type(v) == J_STRING) {
        struct slice s = jval_string(v);

        json_put_string(&text, slice_make(s.data, s.bytes < 64 ? s.bytes : 64));
    } else if (jval_i64(v, &negative)) {
        json_put_i64(&text, negative);
    } else if (jval_f64(v, &number)) {
        json_put_f64(&text, number);
    } else {
        buf_put_text(&text, jtype_name(jval_type(v)));
    }
    if (text.bytes > 0)
        memcpy(shown, text.data, text.bytes);
    buf_free(&text);
    return qd_bad(p, QD_FORMAT,
                  "value %s is not a valid point ID, valid values are either an unsigned integer "
                  "or a UUID",
                  shown);
}

/* Any other text of a collection that has such ids. */
static bool text_id(struct qd_parse *p, struct request *req, struct slice text, struct docid *out)
{
    char *copy = arena_strndup(&req->arena, (const char *)text.data, text.bytes);

    if (copy == NULL)
        return qd_no_memory(p);
    out->kind = DOCID_BYTES;
    out->bytes = slice_make(copy, text.bytes);
    return true;
}

bool qd_id(struct qd_parse *p, struct request *req, struct jval v, struct docid *out)
{
    struct slice text;
    uint64_t n;

    if (jval_u64(v, &n)) {
        *out = docid_u64(n);
        return true;
    }
    if (jval_type(v) != J_STRING)
        return bad_id(p, v);
    text = jval_string(v);
    if (uuid_parse((const char *)text.data, text.bytes, out->uuid)) {
        out->kind = DOCID_UUID;
        return true;
    }
    if (req->collection == NULL || !node_string_ids(req->collection) || text.bytes == 0 ||
        text.bytes > DOCID_BYTES_MAX)
        return bad_id(p, v);
    return text_id(p, req, text, out);
}

bool qd_path_id(struct qd_parse *p, struct request *req, struct docid *out)
{
    struct slice text = req->match.params[1];
    bool strings = req->collection != NULL && node_string_ids(req->collection);

    if (docid_parse((const char *)text.data, text.bytes, strings, out, NULL) == ST_OK)
        return true; /* bytes are borrowed from the head or the arena, which live as long */
    return qd_bad(p, QD_INPUT,
                  "value \"%.*s\" is not a valid point ID, valid values are either an unsigned "
                  "integer or a UUID",
                  (int)(text.bytes < 64 ? text.bytes : 64), (const char *)text.data);
}

bool qd_ids(struct qd_parse *p, struct request *req, struct jval v, struct docid **out,
            size_t *count)
{
    struct docid *ids;
    size_t n = 0;

    if (jval_type(v) != J_ARRAY)
        return qd_bad(p, QD_FORMAT, "invalid type: %s, expected a list of point IDs",
                      jtype_name(jval_type(v)));
    ids = arena_array(&req->arena, jval_count(v) + 1, sizeof *ids);
    if (ids == NULL)
        return qd_no_memory(p);
    for (struct jiter it = jval_iter(v); jiter_next(&it);)
        if (!qd_id(p, req, it.value, &ids[n++]))
            return false;
    *out = ids;
    *count = n;
    return true;
}

void qd_print_id(struct buf *out, const struct docid *id)
{
    print_doc_id(out, id, false);
}

/* --- filters --- */

static bool bad_status(struct qd_parse *p, enum qd_problem invalid, status st,
                       const struct err *err)
{
    if (st == ST_NOMEM)
        return qd_no_memory(p);
    return qd_bad(p, st == ST_LIMIT ? QD_VALIDATION : invalid, "%s", err->text);
}

bool qd_filter(struct qd_parse *p, struct request *req, struct jval v, struct filter **out)
{
    struct err err = {0};
    status st;

    *out = NULL;
    if (jval_type(v) == J_NULL)
        return true;
    st = filter_parse_qdrant(v, node_string_ids(req->collection), &req->arena, out, &err);
    if (st != ST_OK)
        return bad_status(p, QD_FORMAT, st, &err);
    st = node_filter_bind(req->collection, *out, &req->arena, &err);
    return st == ST_OK || bad_status(p, QD_INPUT, st, &err);
}

bool qd_selector(struct qd_parse *p, struct request *req, struct jval body, struct selector *out)
{
    struct filter *filter = NULL;
    struct docid *ids = NULL;
    struct jval points;
    struct jval wanted;
    bool has_points = qd_member(body, "points", &points);
    bool has_filter = qd_member(body, "filter", &wanted);

    *out = (struct selector){0};
    if (has_points && has_filter)
        return qd_bad(p, QD_INPUT, "either `points` or `filter` selects points, not both");
    if (!has_points && !has_filter)
        return qd_bad(p, QD_INPUT, "no points are selected: `points` or `filter` is needed");
    if (has_points) {
        if (!qd_ids(p, req, points, &ids, &out->count))
            return false;
        out->ids = ids;
        return true;
    }
    if (!qd_filter(p, req, wanted, &filter))
        return false;
    out->filter = filter;
    return true;
}

bool qd_path(struct qd_parse *p, struct request *req, const char *member, struct jval v,
             const struct path **out)
{
    struct err err = {0};
    status st;

    if (jval_type(v) != J_STRING)
        return qd_bad(p, QD_FORMAT, "%s: invalid type: %s, expected a string", member,
                      jtype_name(jval_type(v)));
    st = path_parse(jval_string(v), &req->arena, out, &err);
    if (st == ST_OK)
        return true;
    if (st == ST_NOMEM)
        return qd_no_memory(p);
    return qd_bad(p, QD_FORMAT, "%s: %s", member, err.text);
}

/* --- vectors --- */

bool qd_field(struct qd_parse *p, struct request *req, struct slice name, size_t *position)
{
    int at = node_field_position(req->collection, name);

    if (at < 0)
        return qd_bad(p, QD_INPUT, "Not existing vector name error: %.*s",
                      (int)(name.bytes < 255 ? name.bytes : 255), (const char *)name.data);
    *position = (size_t)at;
    return true;
}

static bool is_list_of_lists(struct jval v)
{
    struct jiter it = jval_iter(v);

    return jiter_next(&it) && jval_type(it.value) == J_ARRAY;
}

bool qd_vector(struct qd_parse *p, struct request *req, struct jval v, size_t position, float **out)
{
    size_t dimension = node_field(req->collection, position)->dimension;
    struct grpc_floats floats;
    bool binary = grpc_floats_named(req, v, &floats);
    struct err err = {0};
    size_t count = 0;
    float *values;
    status st;

    if (jval_type(v) == J_OBJECT)
        return qd_bad(
            p, QD_INPUT,
            "sparse vectors are not supported by this version, a list of numbers is needed");
    if (jval_type(v) != J_ARRAY)
        return qd_bad(p, QD_FORMAT, "invalid type: %s, expected a vector: a list of numbers",
                      jtype_name(jval_type(v)));
    values = arena_array(&req->arena, dimension, sizeof *values);
    if (values == NULL)
        return qd_no_memory(p);
    if (binary) {
        count = floats.count;
        st = count == dimension ? grpc_floats_take(floats, values, &err) : ST_OK;
    } else {
        st = jval_floats(v, values, dimension, &count, &err);
    }
    if (st != ST_OK && is_list_of_lists(v))
        return qd_bad(p, QD_INPUT,
                      "lists of vectors (multivectors) are not supported by this version, one list "
                      "of numbers is needed");
    if (st != ST_OK && count <= dimension)
        return qd_bad(p, QD_FORMAT, "a vector is a list of finite numbers: %s", err.text);
    if (count != dimension)
        return qd_bad(p, QD_INPUT, "Vector dimension error: expected dim: %zu, got %zu", dimension,
                      count);
    *out = values;
    return true;
}

uint64_t qd_all_fields(const struct collection *c)
{
    size_t count = node_field_count(c);

    return count >= 64 ? UINT64_MAX : ((uint64_t)1 << count) - 1;
}

static void put_floats(struct buf *out, const float *v, size_t count, bool binary)
{
    if (binary)
        grpc_put_floats(out, v, count);
    else
        json_put_floats(out, v, count);
}

void qd_print_vectors(struct buf *out, const struct collection *c, const float *const *vectors,
                      uint64_t which, bool binary)
{
    size_t count = node_field_count(c);
    bool first = true;

    print_key(out, true, "vector");
    if (which == 0) {
        buf_put_text(out, "null");
        return;
    }
    if (count == 1 && node_field(c, 0)->name[0] == '\0' && vectors != NULL && vectors[0] != NULL) {
        put_floats(out, vectors[0], node_field(c, 0)->dimension, binary);
        return;
    }
    buf_put_text(out, "{");
    for (size_t i = 0; i < count && vectors != NULL; i++) {
        if ((which >> i & 1) == 0 || vectors[i] == NULL)
            continue;
        if (!first)
            buf_put_text(out, ",");
        first = false;
        json_put_string(out, slice_text(node_field(c, i)->name));
        buf_put_text(out, ":");
        put_floats(out, vectors[i], node_field(c, i)->dimension, binary);
    }
    buf_put_text(out, "}");
}

/* --- what is given back --- */

static bool want_paths(struct qd_parse *p, struct request *req, const char *member, struct jval v,
                       enum payload_part part, struct qd_want *out)
{
    const struct path **paths;
    size_t count = 0;

    if (jval_type(v) != J_ARRAY)
        return qd_bad(p, QD_FORMAT, "%s: invalid type: %s, expected a list of keys", member,
                      jtype_name(jval_type(v)));
    if (jval_count(v) > PAYLOAD_PATHS_MAX)
        return qd_bad(p, QD_INPUT, "%s: at most %d keys are taken", member, PAYLOAD_PATHS_MAX);
    paths = arena_array(&req->arena, jval_count(v) + 1, sizeof *paths);
    if (paths == NULL)
        return qd_no_memory(p);
    for (struct jiter it = jval_iter(v); jiter_next(&it);)
        if (!qd_path(p, req, member, it.value, &paths[count++]))
            return false;
    out->payload = (struct payload_selection){.part = part, .paths = paths, .count = count};
    return true;
}

static bool want_payload(struct qd_parse *p, struct request *req, struct jval v,
                         struct qd_want *out)
{
    struct jval include;
    struct jval exclude;
    bool includes;
    bool excludes;

    switch (jval_type(v)) {
    case J_TRUE:
    case J_FALSE:
        out->payload.part = jval_bool(v) ? PAYLOAD_WHOLE : PAYLOAD_NONE;
        return true;
    case J_ARRAY:
        return want_paths(p, req, "with_payload", v, PAYLOAD_INCLUDE, out);
    case J_OBJECT:
        includes = qd_member(v, "include", &include);
        excludes = qd_member(v, "exclude", &exclude);
        if (includes && !excludes)
            return want_paths(p, req, "with_payload.include", include, PAYLOAD_INCLUDE, out);
        if (excludes && !includes)
            return want_paths(p, req, "with_payload.exclude", exclude, PAYLOAD_EXCLUDE, out);
        break;
    case J_NULL:
    case J_U64:
    case J_I64:
    case J_F64:
    case J_STRING:
        break;
    }
    return qd_bad(p, QD_FORMAT,
                  "with_payload: expected a boolean, a list of keys, {\"include\": [..]} or "
                  "{\"exclude\": [..]}");
}

static bool want_vectors(struct qd_parse *p, struct request *req, struct jval v,
                         struct qd_want *out)
{
    size_t position = 0;

    out->vectors = 0;
    if (jval_type(v) == J_TRUE || jval_type(v) == J_FALSE) {
        out->vectors = jval_bool(v) ? qd_all_fields(req->collection) : 0;
        return true;
    }
    if (jval_type(v) != J_ARRAY)
        return qd_bad(p, QD_FORMAT, "with_vector: expected a boolean or a list of vector names");
    for (struct jiter it = jval_iter(v); jiter_next(&it);) {
        if (jval_type(it.value) != J_STRING)
            return qd_bad(p, QD_FORMAT, "with_vector: invalid type: %s, expected a vector name",
                          jtype_name(jval_type(it.value)));
        if (!qd_field(p, req, jval_string(it.value), &position))
            return false;
        out->vectors |= (uint64_t)1 << position;
    }
    return true;
}

bool qd_want(struct qd_parse *p, struct request *req, struct jval body, bool payload_default,
             struct qd_want *out)
{
    struct jval v;

    *out = (struct qd_want){.payload.part = payload_default ? PAYLOAD_WHOLE : PAYLOAD_NONE,
                            .binary = req->grpc != NULL};
    if (qd_member(body, "with_payload", &v) && !want_payload(p, req, v, out))
        return false;
    /* Older clients write with_vectors. */
    if (qd_member(body, "with_vector", &v) || qd_member(body, "with_vectors", &v))
        return want_vectors(p, req, v, out);
    return true;
}

void qd_print_record(struct buf *out, const struct collection *c, const struct document *d,
                     const struct qd_want *want)
{
    const float *one[1] = {d->vector};

    buf_put_text(out, "{\"id\":");
    qd_print_id(out, &d->id);
    buf_put_text(out, ",\"payload\":");
    payload_print(out, d->payload, &want->payload);
    buf_put_text(out, ",");
    qd_print_vectors(out, c,
                     d->vectors != NULL  ? (const float *const *)d->vectors
                     : d->vector != NULL ? one
                                         : NULL,
                     d->vectors == NULL && d->vector != NULL ? want->vectors & 1 : want->vectors,
                     want->binary);
    buf_put_text(out, "}");
}
