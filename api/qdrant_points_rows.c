/* qdrant_points_rows.c - points in JSON, one by one or by columns, into typed rows in the request's
 * arena: floats straight from the parsed text, payloads as blobs. */
#include "api/qdrant_points.h"

#include "segment/record.h"

bool points_missing(struct qd_parse *p, const char *member)
{
    return qd_bad(p, QD_FORMAT, "missing field `%s`", member);
}

bool points_wrong_type(struct qd_parse *p, const char *member, struct jval v, const char *expected)
{
    return qd_bad(p, QD_FORMAT, "%s: invalid type: %s, expected %s", member,
                  jtype_name(jval_type(v)), expected);
}

bool points_room(struct qd_parse *p, struct request *req, void **items, size_t count,
                 size_t *capacity, size_t more, size_t size)
{
    enum { ROOM_MIN = 64 };
    size_t wanted = *capacity < ROOM_MIN / 2 ? ROOM_MIN : 2 * *capacity;
    void *moved;

    if (count + more > RECORD_ROWS_MAX)
        return qd_bad(p, QD_INPUT, "a request has at most %d points, send several",
                      RECORD_ROWS_MAX);
    if (more <= *capacity - count)
        return true;
    if (wanted < count + more)
        wanted = count + more;
    moved = arena_array(&req->arena, wanted, size);
    if (moved == NULL)
        return qd_no_memory(p);
    if (count > 0)
        memcpy(moved, *items, count * size);
    *items = moved;
    *capacity = wanted;
    return true;
}

bool points_payload(struct qd_parse *p, struct request *req, struct jval v, struct slice *out)
{
    struct buf *b = &req->payloads;
    uint8_t *copy;

    *out = (struct slice){0};
    if (jval_type(v) == J_NULL)
        return true;
    if (jval_type(v) != J_OBJECT)
        return points_wrong_type(p, "payload", v, "an object");
    if (b->bytes_max == 0) /* a blob is never larger than this many times its text */
        buf_init(b, 16 * req->body.bytes + 1024);
    buf_reset(b);
    jbin_put(b, v);
    if (b->failed)
        return jbin_too_deep(v)
                   ? qd_bad(p, QD_INPUT, "a payload is more than %d levels deep", JBIN_DEPTH_MAX)
                   : qd_no_memory(p);
    if (b->bytes > RECORD_PAYLOAD_BYTES_MAX)
        return qd_bad(p, QD_INPUT, "a payload has %zu bytes, the limit is %d", b->bytes,
                      RECORD_PAYLOAD_BYTES_MAX);
    copy = arena_alloc(&req->arena, b->bytes);
    if (copy == NULL)
        return qd_no_memory(p);
    memcpy(copy, b->data, b->bytes);
    *out = slice_make(copy, b->bytes);
    return true;
}

/* --- vectors --- */

/* The collection has one field, the unnamed one: rows are as node_write() takes them. */
static bool is_plain(const struct collection *c)
{
    return node_field_count(c) == 1 && node_field(c, 0)->name[0] == '\0';
}

static bool take_list(struct qd_parse *p, struct request *req, struct jval v, size_t position,
                      float **out)
{
    if (jval_type(v) == J_OBJECT || jval_type(v) == J_STRING)
        return qd_bad(p, QD_INPUT,
                      "this vector is of type %s: sparse vectors, texts and images are not "
                      "supported, a list of numbers is needed",
                      jtype_name(jval_type(v)));
    return qd_vector(p, req, v, position, out);
}

static bool make_fields(struct qd_parse *p, struct request *req, struct write_row *row)
{
    size_t count = node_field_count(req->collection);

    row->vectors = arena_zero(&req->arena, (count == 0 ? 1 : count) * sizeof(float *));
    return row->vectors != NULL || qd_no_memory(p);
}

static bool take_named(struct qd_parse *p, struct request *req, struct jval v,
                       struct write_row *row)
{
    if (!make_fields(p, req, row))
        return false;
    for (struct jiter it = jval_iter(v); jiter_next(&it);) {
        size_t position = 0;

        if (jval_type(it.value) == J_NULL)
            continue;
        if (!qd_field(p, req, it.key, &position) ||
            !take_list(p, req, it.value, position, &row->vectors[position]))
            return false;
    }
    return true;
}

static bool take_vector(struct qd_parse *p, struct request *req, struct jval v,
                        struct write_row *row)
{
    size_t position = 0;

    if (jval_type(v) == J_OBJECT)
        return take_named(p, req, v, row);
    if (jval_type(v) != J_ARRAY)
        return points_wrong_type(p, "vector", v, "a list of numbers or an object of named ones");
    if (!qd_field(p, req, slice_text(""), &position))
        return false;
    if (is_plain(req->collection))
        return take_list(p, req, v, position, &row->vector);
    return make_fields(p, req, row) && take_list(p, req, v, position, &row->vectors[position]);
}

/* --- points --- */

struct point { /* the members of one; of doubled ones the last */
    struct jval id, vector, payload;
    bool has_id, has_vector, has_payload;
};

static struct point members_of(struct jval v)
{
    struct point out = {0};

    for (struct jiter it = jval_iter(v); jiter_next(&it);) {
        bool there = jval_type(it.value) != J_NULL;

        if (slice_equal(it.key, slice_text("vector"))) {
            out.vector = it.value;
            out.has_vector = there;
        } else if (slice_equal(it.key, slice_text("id"))) {
            out.id = it.value;
            out.has_id = there;
        } else if (slice_equal(it.key, slice_text("payload"))) {
            out.payload = it.value;
            out.has_payload = there;
        }
    }
    return out;
}

static bool take_point(struct qd_parse *p, struct request *req, struct jval v, bool without_payload,
                       struct point_rows *rows)
{
    struct write_row *row;
    struct point m;

    if (jval_type(v) != J_OBJECT)
        return points_wrong_type(p, "points", v, "an object");
    m = members_of(v);
    if (!m.has_id)
        return points_missing(p, "id");
    if (!m.has_vector)
        return points_missing(p, "vector");
    if (!points_room(p, req, (void **)&rows->rows, rows->count, &rows->capacity, 1, sizeof *row))
        return false;
    row = &rows->rows[rows->count];
    *row = (struct write_row){0};
    if (m.has_payload && without_payload)
        return qd_bad(p, QD_INPUT, "`payload` does not go with vectors");
    if (!qd_id(p, req, m.id, &row->id) || !take_vector(p, req, m.vector, row) ||
        (m.has_payload && !points_payload(p, req, m.payload, &row->payload)))
        return false;
    rows->count++;
    return true;
}

bool points_take(struct qd_parse *p, struct request *req, struct jval v, bool without_payload,
                 struct point_rows *rows)
{
    size_t index = rows->count;

    return take_point(p, req, v, without_payload, rows) || qd_bad_at(p, "points", index);
}

/* --- columns --- */

bool points_columns_begin(struct qd_parse *p, struct request *req, struct point_columns *c)
{
    size_t count = node_field_count(req->collection);

    *c = (struct point_columns){0};
    c->fields = arena_zero(&req->arena, (count == 0 ? 1 : count) * sizeof *c->fields);
    return c->fields != NULL || qd_no_memory(p);
}

bool points_column_id(struct qd_parse *p, struct request *req, struct jval v,
                      struct point_columns *c)
{
    size_t at = c->id_count;

    if (!points_room(p, req, (void **)&c->ids, at, &c->id_capacity, 1, sizeof *c->ids))
        return false;
    c->id_count++;
    return qd_id(p, req, v, &c->ids[at]) || qd_bad_at(p, "ids", at);
}

bool points_column_vector(struct qd_parse *p, struct request *req, struct jval v, size_t position,
                          struct point_columns *c)
{
    struct point_column *column = &c->fields[position];

    size_t at = column->count;

    if (!points_room(p, req, (void **)&column->vectors, at, &column->capacity, 1,
                     sizeof *column->vectors))
        return false;
    column->count++;
    return take_list(p, req, v, position, &column->vectors[at]) || qd_bad_at(p, "vectors", at);
}

bool points_column_payload(struct qd_parse *p, struct request *req, struct jval v,
                           struct point_columns *c)
{
    size_t at = c->payload_count;

    if (!points_room(p, req, (void **)&c->payloads, at, &c->payload_capacity, 1,
                     sizeof *c->payloads))
        return false;
    c->payload_count++;
    return points_payload(p, req, v, &c->payloads[at]) || qd_bad_at(p, "payloads", at);
}

static bool take_ids(struct qd_parse *p, struct request *req, struct jval v,
                     struct point_columns *c)
{
    c->has_ids = true;
    if (jval_type(v) != J_ARRAY)
        return points_wrong_type(p, "ids", v, "a list");
    for (struct jiter it = jval_iter(v); jiter_next(&it);)
        if (!points_column_id(p, req, it.value, c))
            return false;
    return true;
}

static bool take_column(struct qd_parse *p, struct request *req, struct jval v, struct slice name,
                        struct point_columns *c)
{
    size_t position = 0;

    if (jval_type(v) != J_ARRAY)
        return points_wrong_type(p, "vectors", v, "a list of vectors");
    if (!qd_field(p, req, name, &position))
        return false;
    c->named |= UINT64_C(1) << position;
    c->fields[position].count = 0; /* of doubled names the last */
    for (struct jiter it = jval_iter(v); jiter_next(&it);)
        if (!points_column_vector(p, req, it.value, position, c))
            return false;
    return true;
}

static bool take_columns(struct qd_parse *p, struct request *req, struct jval v,
                         struct point_columns *c)
{
    c->has_vectors = true;
    if (jval_type(v) != J_OBJECT)
        return take_column(p, req, v, slice_text(""), c);
    for (struct jiter it = jval_iter(v); jiter_next(&it);)
        if (jval_type(it.value) != J_NULL && !take_column(p, req, it.value, it.key, c))
            return false;
    return true;
}

static bool take_payloads(struct qd_parse *p, struct request *req, struct jval v,
                          struct point_columns *c)
{
    c->has_payloads = true;
    if (jval_type(v) != J_ARRAY)
        return points_wrong_type(p, "payloads", v, "a list");
    for (struct jiter it = jval_iter(v); jiter_next(&it);)
        if (!points_column_payload(p, req, it.value, c))
            return false;
    return true;
}

bool points_columns_take(struct qd_parse *p, struct request *req, struct jval batch,
                         struct point_columns *c)
{
    struct jval v;

    if (jval_type(batch) != J_OBJECT)
        return points_wrong_type(p, "batch", batch, "an object");
    return (!qd_member(batch, "ids", &v) || take_ids(p, req, v, c)) &&
           (!qd_member(batch, "vectors", &v) || take_columns(p, req, v, c)) &&
           (!qd_member(batch, "payloads", &v) || take_payloads(p, req, v, c));
}

static bool lengths_agree(struct qd_parse *p, const struct point_columns *c, size_t fields)
{
    for (size_t i = 0; i < fields; i++)
        if ((c->named >> i & 1) != 0 && c->fields[i].count != c->id_count)
            return qd_bad(p, QD_INPUT, "number of ids and vectors must be equal (%zu != %zu)",
                          c->id_count, c->fields[i].count);
    if (c->has_payloads && c->payload_count != c->id_count)
        return qd_bad(p, QD_INPUT, "number of ids and payloads must be equal (%zu != %zu)",
                      c->id_count, c->payload_count);
    return true;
}

bool points_columns_end(struct qd_parse *p, struct request *req, struct point_columns *c,
                        struct point_rows *rows)
{
    size_t fields = node_field_count(req->collection);
    bool plain = is_plain(req->collection) && c->named == 1;

    if (!c->has_ids)
        return points_missing(p, "ids");
    if (!c->has_vectors)
        return points_missing(p, "vectors");
    if (!lengths_agree(p, c, fields) ||
        !points_room(p, req, (void **)&rows->rows, 0, &rows->capacity, c->id_count,
                     sizeof *rows->rows))
        return false;
    for (size_t i = 0; i < c->id_count; i++) {
        struct write_row *row = &rows->rows[i];

        *row = (struct write_row){.id = c->ids[i]};
        if (c->has_payloads)
            row->payload = c->payloads[i];
        if (plain) {
            row->vector = c->fields[0].vectors[i];
            continue;
        }
        if (!make_fields(p, req, row))
            return false;
        for (size_t f = 0; f < fields; f++)
            row->vectors[f] = (c->named >> f & 1) != 0 ? c->fields[f].vectors[i] : NULL;
    }
    rows->count = c->id_count;
    return true;
}
