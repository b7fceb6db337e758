/* A record is decoded where it lies: rows are slices into it, and only vectors are copied out. So
 * a batch of 10,000 rows costs one walk over its lengths and one memcpy a vector. */
#include "segment/record.h"

#include "base/json.h"

#include <assert.h>
#include <inttypes.h>

enum { /* docs/formats/record.md */
       RECORD_VERSION = 1,
       RECORD_AT_KIND = 0,
       RECORD_AT_VERSION = 1,
       RECORD_AT_ZERO = 2,
       RECORD_AT_ROWS = 4,
       RECORD_AT_INSERTED = 8,
       RECORD_ROW_BYTES_MIN = 7, /* id of one byte, no external id, no payload, no vectors */
       RECORD_ID_BYTES_MIN = 3,
       RECORD_SETTING_BYTES_MIN = 3,
};
static_assert(RECORD_AT_INSERTED + 8 == RECORD_HEADER_BYTES, "docs/formats/record.md, header");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats are copied as they lie in memory");
static_assert(sizeof(float) == 4, "f32");

static void set_problem(struct record_writer *w, const char *problem)
{
    if (w->problem == NULL)
        w->problem = problem;
}

void record_begin(struct record_writer *w, struct buf *out, enum record_kind kind,
                  uint64_t inserted_at_ns)
{
    *w = (struct record_writer){
        .out = out, .count_at = out->bytes + RECORD_AT_ROWS, .rows = 0, .kind = kind};
    buf_put_u8(out, (uint8_t)kind);
    buf_put_u8(out, RECORD_VERSION);
    buf_put_u16(out, 0);
    buf_put_u32(out, 0); /* rows: record_end() */
    buf_put_u64(out, inserted_at_ns);
}

static void put_blob(struct buf *out, struct slice bytes)
{
    buf_put_varint(out, bytes.bytes);
    buf_put_slice(out, bytes);
}

static const char *row_problem(const struct docid *id, struct slice external_id,
                               struct slice payload, const struct record_vector *vectors,
                               uint16_t vector_count)
{
    if (id->kind == DOCID_BYTES && (id->bytes.bytes == 0 || id->bytes.bytes > DOCID_BYTES_MAX))
        return "document id is empty or too long";
    if (external_id.bytes > RECORD_EXTERNAL_ID_BYTES_MAX)
        return "external id is too long";
    if (payload.bytes > RECORD_PAYLOAD_BYTES_MAX)
        return "payload is too large";
    if (vector_count > RECORD_FIELDS_MAX)
        return "too many vectors in a row";
    for (uint16_t i = 0; i < vector_count; i++)
        if (vectors[i].dim == 0 || vectors[i].dim > RECORD_DIM_MAX)
            return "dimension is 0 or too large";
    return NULL;
}

const char *record_row_put(struct buf *out, const struct docid *id, struct slice external_id,
                           struct slice payload, const struct record_vector *vectors,
                           uint16_t vector_count)
{
    const char *problem = row_problem(id, external_id, payload, vectors, vector_count);

    if (problem != NULL)
        return problem;
    buf_put_docid(out, id);
    put_blob(out, external_id);
    put_blob(out, payload);
    buf_put_u16(out, vector_count);
    for (uint16_t i = 0; i < vector_count; i++) {
        buf_put_u16(out, vectors[i].field);
        buf_put_u32(out, vectors[i].dim);
        buf_put(out, vectors[i].values, (size_t)vectors[i].dim * sizeof(float));
    }
    return NULL;
}

void record_put_row(struct record_writer *w, const struct docid *id, struct slice external_id,
                    struct slice payload, const struct record_vector *vectors,
                    uint16_t vector_count)
{
    const char *problem = record_row_put(w->out, id, external_id, payload, vectors, vector_count);

    if (problem != NULL)
        set_problem(w, problem);
    else
        w->rows++;
}

void record_put_id(struct record_writer *w, const struct docid *id)
{
    if (id->kind == DOCID_BYTES && (id->bytes.bytes == 0 || id->bytes.bytes > DOCID_BYTES_MAX)) {
        set_problem(w, "document id is empty or too long");
        return;
    }
    buf_put_docid(w->out, id);
    w->rows++;
}

void record_put_setting(struct record_writer *w, struct slice key, struct slice value)
{
    if (key.bytes == 0 || key.bytes > RECORD_KEY_BYTES_MAX ||
        value.bytes > RECORD_VALUE_BYTES_MAX) {
        set_problem(w, "setting is too long or has no key");
        return;
    }
    put_blob(w->out, key);
    put_blob(w->out, value);
    w->rows++;
}

status record_end(struct record_writer *w, struct err *err)
{
    if (w->rows > RECORD_ROWS_MAX)
        set_problem(w, "too many rows");
    if (w->problem != NULL)
        return err_set(err, ST_INVALID, "record: %s", w->problem);
    buf_set_u32(w->out, w->count_at, w->rows);
    return buf_status(w->out, err);
}

static size_t item_bytes_min(enum record_kind kind)
{
    switch (kind) {
    case RECORD_UPSERT:
        return RECORD_ROW_BYTES_MIN;
    case RECORD_DELETE:
        return RECORD_ID_BYTES_MIN;
    case RECORD_SETTINGS:
        return RECORD_SETTING_BYTES_MIN;
    }
    return 0;
}

static status header_check(uint8_t kind, uint8_t version, uint16_t zero, struct err *err)
{
    if (version > RECORD_VERSION)
        return err_set(err, ST_UNSUPPORTED,
                       "record version %u is newer than this program, which reads up to %d",
                       version, RECORD_VERSION);
    if (version == 0 || zero != 0)
        return err_set(err, ST_CORRUPT, "record header is not one version=%u", version);
    if (kind == 3 || kind == 4)
        return err_set(err, ST_UNSUPPORTED, "record kind %u is reserved and not built yet", kind);
    if (kind != RECORD_UPSERT && kind != RECORD_DELETE && kind != RECORD_SETTINGS)
        return err_set(err, ST_CORRUPT, "record kind is unknown kind=%u", kind);
    return ST_OK;
}

status record_open(struct slice bytes, struct record *out, struct err *err)
{
    struct rd r = rd_make(bytes);
    uint8_t kind = rd_u8(&r);
    uint8_t version = rd_u8(&r);
    uint16_t zero = rd_u16(&r);
    uint32_t rows = rd_u32(&r);
    uint64_t inserted_at_ns = rd_u64(&r);
    status st;

    if (r.bad)
        return err_set(err, ST_CORRUPT, "record header is cut short bytes=%zu", bytes.bytes);
    st = header_check(kind, version, zero, err);
    if (st != ST_OK)
        return st;
    if (rows > RECORD_ROWS_MAX || rows * item_bytes_min(kind) > rd_left(&r))
        return err_set(err, ST_CORRUPT,
                       "record is shorter than its rows rows=%" PRIu32 " bytes=%zu", rows,
                       bytes.bytes);
    *out = (struct record){.kind = (enum record_kind)kind,
                           .inserted_at_ns = inserted_at_ns,
                           .rows = rows,
                           .bytes = bytes.bytes,
                           .body = r};
    return ST_OK;
}

static status item_corrupt(const struct record *r, size_t offset, const char *what, struct err *err)
{
    return err_set(err, ST_CORRUPT, "record item %" PRIu32 " of %" PRIu32 " at byte %zu: %s",
                   r->row, r->rows, offset, what);
}

static size_t offset_of(const struct record *r)
{
    return r->bytes - (size_t)(r->body.end - r->body.at);
}

/* Whether an item of this kind follows. */
static status item_begin(const struct record *r, enum record_kind kind, struct err *err)
{
    if (r->kind != kind)
        return err_set(err, ST_BUG, "record of kind %d read as kind %d", (int)r->kind, (int)kind);
    if (r->row < r->rows)
        return ST_OK;
    if (rd_left(&r->body) > 0)
        return item_corrupt(r, offset_of(r), "bytes follow the last one", err);
    return ST_NOT_FOUND;
}

static struct slice rd_blob(struct rd *r, uint64_t bytes_max)
{
    uint64_t bytes = rd_varint(r);

    if (bytes > bytes_max) {
        r->bad = true;
        return (struct slice){0};
    }
    return rd_bytes(r, (size_t)bytes);
}

/* Walks the vectors of a row, so that record_row_vector() need not check lengths again. NULL, or
 * what is wrong. */
static const char *vectors_problem(struct rd *r, uint16_t count)
{
    uint16_t fields[RECORD_FIELDS_MAX];

    if (count > RECORD_FIELDS_MAX)
        return "too many vectors";
    for (uint16_t i = 0; i < count; i++) {
        uint32_t dim;

        fields[i] = rd_u16(r);
        dim = rd_u32(r);
        if (!r->bad && (dim == 0 || dim > RECORD_DIM_MAX))
            return "dimension is 0 or too large";
        rd_skip(r, (size_t)dim * sizeof(float));
        for (uint16_t k = 0; k < i; k++)
            if (fields[k] == fields[i])
                return "a vector field occurs twice";
    }
    return r->bad ? "vectors are cut short" : NULL;
}

status record_row_read(struct rd *r, struct record_row *out, struct err *err)
{
    struct record_row row = {0};
    struct rd at = *r;
    const uint8_t *vectors_at;
    const char *problem;
    status st;

    row.id = rd_docid(&at);
    row.external_id = rd_blob(&at, RECORD_EXTERNAL_ID_BYTES_MAX);
    row.payload = rd_blob(&at, RECORD_PAYLOAD_BYTES_MAX);
    row.vector_count = rd_u16(&at);
    if (at.bad)
        return err_set(err, ST_CORRUPT, "a length or id is out of range");
    vectors_at = at.at;
    problem = vectors_problem(&at, row.vector_count);
    if (problem != NULL)
        return err_set(err, ST_CORRUPT, "%s", problem);
    row.vectors = slice_make(vectors_at, (size_t)(at.at - vectors_at));
    if (row.payload.bytes > 0) {
        st = jbin_check(row.payload, err);
        if (st != ST_OK)
            return err_wrap(err, ST_CORRUPT, "payload");
    }
    *r = at;
    *out = row;
    return ST_OK;
}

status record_next_row(struct record *r, struct record_row *out, struct err *err)
{
    size_t offset = offset_of(r);
    status st = item_begin(r, RECORD_UPSERT, err);

    if (st != ST_OK)
        return st;
    st = record_row_read(&r->body, out, err);
    if (st != ST_OK)
        return err_wrap(err, st, "record item %" PRIu32 " of %" PRIu32 " at byte %zu", r->row,
                        r->rows, offset);
    r->row++;
    return ST_OK;
}

status record_next_id(struct record *r, struct docid *out, struct err *err)
{
    struct rd body = r->body;
    struct docid id;
    status st = item_begin(r, RECORD_DELETE, err);

    if (st != ST_OK)
        return st;
    id = rd_docid(&body);
    if (body.bad)
        return item_corrupt(r, offset_of(r), "document id is out of range", err);
    r->body = body;
    r->row++;
    *out = id;
    return ST_OK;
}

status record_next_setting(struct record *r, struct slice *key, struct slice *value,
                           struct err *err)
{
    struct rd body = r->body;
    struct slice k;
    struct slice v;
    status st = item_begin(r, RECORD_SETTINGS, err);

    if (st != ST_OK)
        return st;
    k = rd_blob(&body, RECORD_KEY_BYTES_MAX);
    v = rd_blob(&body, RECORD_VALUE_BYTES_MAX);
    if (body.bad || k.bytes == 0)
        return item_corrupt(r, offset_of(r), "setting is out of range", err);
    r->body = body;
    r->row++;
    *key = k;
    *value = v;
    return ST_OK;
}

/* All exponent bits set is infinity or no number. One flag for all, so that the loop vectorises. */
static bool all_finite(const uint8_t *floats, uint32_t dim)
{
    uint32_t bad = 0;

    for (uint32_t i = 0; i < dim; i++) {
        uint32_t bits;

        memcpy(&bits, floats + (size_t)i * sizeof bits, sizeof bits);
        bad |= (bits & 0x7F800000u) == 0x7F800000u;
    }
    return bad == 0;
}

status record_row_vector(const struct record_row *row, uint16_t field, float *out,
                         uint32_t dim_expected, struct err *err)
{
    struct rd r = rd_make(row->vectors);

    for (uint16_t i = 0; i < row->vector_count; i++) {
        uint16_t id = rd_u16(&r);
        uint32_t dim = rd_u32(&r);
        struct slice values = rd_bytes(&r, (size_t)dim * sizeof(float));

        if (r.bad)
            return err_set(err, ST_CORRUPT, "vectors are cut short");
        if (id != field)
            continue;
        if (dim != dim_expected)
            return err_set(err, ST_CORRUPT,
                           "vector has another dimension field=%u dim=%" PRIu32
                           " expected=%" PRIu32,
                           field, dim, dim_expected);
        if (!all_finite(values.data, dim))
            return err_set(err, ST_CORRUPT, "vector has a value that is not finite field=%u",
                           field);
        memcpy(out, values.data, values.bytes);
        return ST_OK;
    }
    return err_set(err, ST_NOT_FOUND, "row has no vector of field %u", field);
}
