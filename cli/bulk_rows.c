#include "cli/bulk_rows.h"

#include "base/crypto.h"
#include "base/mem.h"
#include "base/rand.h"
#include "cli/bulk_file.h"

#include <inttypes.h>
#include <math.h>

enum { BLOB_BYTES_MAX = 256 * 1024 * 1024 };

status bulk_rows_open(struct bulk_rows *w, struct err *err)
{
    buf_init(&w->blob, BLOB_BYTES_MAX);
    w->vector = mem_alloc_array(BULK_DIM_MAX, sizeof *w->vector);
    if (w->vector == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    return jdoc_create(&w->doc, err);
}

void bulk_rows_close(struct bulk_rows *w)
{
    buf_free(&w->blob);
    mem_free(w->vector);
    jdoc_destroy(w->doc);
    w->vector = NULL;
    w->doc = NULL;
}

struct document {
    struct jval id, external_id, vector, payload;
    bool has_id, has_external_id, has_vector, has_payload;
};

static status put_member_of(struct document *d, struct slice key, struct jval v, struct err *err)
{
    /* What a page of documents and a scroll say beside it. */
    static const char *const passed_over[] = {"inserted_at", "lsn", "version"};
    const bool id = slice_equal(key, slice_text("doc_id")) || slice_equal(key, slice_text("id"));

    if (jval_type(v) == J_NULL)
        return ST_OK;
    if (id && d->has_id)
        return err_set(err, ST_INVALID, "`doc_id` and `id` are both there");
    if (id) {
        d->id = v;
        d->has_id = true;
        return ST_OK;
    }
    if (slice_equal(key, slice_text("external_id"))) {
        d->external_id = v;
        d->has_external_id = true;
        return ST_OK;
    }
    if (slice_equal(key, slice_text("vector"))) {
        d->vector = v;
        d->has_vector = true;
        return ST_OK;
    }
    if (slice_equal(key, slice_text("payload"))) {
        d->payload = v;
        d->has_payload = true;
        return ST_OK;
    }
    if (slice_equal(key, slice_text("vectors")))
        return err_set(err, ST_INVALID,
                       "several vectors a document are not taken here: the native "
                       "API knows one, unnamed");
    for (size_t i = 0; i < COUNT_OF(passed_over); i++)
        if (slice_equal(key, slice_text(passed_over[i])))
            return ST_OK;
    return err_set(err, ST_INVALID, "`%.*s` is no member of a document",
                   (int)(key.bytes < 64 ? key.bytes : 64), (const char *)key.data);
}

static status look_at(struct document *d, struct jval v, struct err *err)
{
    status st = ST_OK;

    *d = (struct document){0};
    if (jval_type(v) != J_OBJECT)
        return err_set(err, ST_INVALID, "it is of type %s, an object is needed",
                       jtype_name(jval_type(v)));
    for (struct jiter it = jval_iter(v); st == ST_OK && jiter_next(&it);)
        st = put_member_of(d, it.key, it.value, err);
    return st;
}

/* The one of named vectors that was asked for. */
static status named(const struct bulk_rows *w, struct jval *v, struct err *err)
{
    if (jval_type(*v) != J_OBJECT)
        return ST_OK;
    if (w->vector_name == NULL)
        return err_set(err, ST_INVALID,
                       "`vector` holds named vectors, and the native API knows one, unnamed");
    if (!jval_member(*v, w->vector_name, v) || jval_type(*v) == J_NULL)
        return err_set(err, ST_INVALID, "it has no vector `%s`", w->vector_name);
    return ST_OK;
}

static status read_vector(struct bulk_rows *w, const struct document *d, struct err *err)
{
    struct jval v = d->vector;
    size_t count = 0;
    status st;

    if (!d->has_vector)
        return err_set(err, ST_INVALID, "`vector` is missing");
    st = named(w, &v, err);
    if (st != ST_OK)
        return st;
    if (jval_type(v) != J_ARRAY)
        return err_set(err, ST_INVALID, "`vector` is of type %s, an array of numbers is needed",
                       jtype_name(jval_type(v)));
    st = jval_floats(v, w->vector, BULK_DIM_MAX, &count, err);
    if (st != ST_OK)
        return err_wrap(err, st, "`vector`");
    if (count == 0 || (w->dim != 0 && count != w->dim))
        return err_set(err, ST_INVALID, "`vector` has %zu values, %" PRIu32 " are needed", count,
                       w->dim);
    w->dim = (uint32_t)count;
    return ST_OK;
}

static status put_id(const struct bulk_rows *w, struct buf *out, const struct document *d,
                     const char *made, struct err *err)
{
    struct slice text;
    uint8_t uuid[16];
    uint64_t n;

    if (!d->has_id && made == NULL)
        return err_set(err, ST_INVALID, "`doc_id` is missing");
    if (!d->has_id) {
        buf_printf(out, "{\"doc_id\":\"%s\"", made);
        return ST_OK;
    }
    if (jval_u64(d->id, &n)) {
        buf_printf(out, "{\"doc_id\":%" PRIu64, n);
        return ST_OK;
    }
    text = jval_type(d->id) == J_STRING ? jval_string(d->id) : slice_text("");
    if (text.bytes == 0 ||
        (!w->string_ids && !uuid_parse((const char *)text.data, text.bytes, uuid)))
        return err_set(err, ST_INVALID,
                       "the id is neither an integer from 0 to 18446744073709551615 nor a UUID");
    buf_put_text(out, "{\"doc_id\":");
    json_put_string(out, text);
    return ST_OK;
}

static status put_external_id(struct buf *out, const struct document *d, struct err *err)
{
    if (!d->has_external_id)
        return ST_OK;
    if (jval_type(d->external_id) != J_STRING)
        return err_set(err, ST_INVALID, "`external_id` is of type %s, a string is needed",
                       jtype_name(jval_type(d->external_id)));
    buf_put_text(out, ",\"external_id\":");
    json_put_string(out, jval_string(d->external_id));
    return ST_OK;
}

static status put_payload(struct bulk_rows *w, struct buf *out, const struct document *d,
                          struct err *err)
{
    if (!d->has_payload)
        return ST_OK;
    if (jval_type(d->payload) != J_OBJECT)
        return err_set(err, ST_INVALID, "`payload` is of type %s, an object is needed",
                       jtype_name(jval_type(d->payload)));
    buf_reset(&w->blob);
    jbin_put(&w->blob, d->payload);
    if (w->blob.failed)
        return buf_status(&w->blob, err);
    buf_put_text(out, ",\"payload\":");
    jbin_print(out, buf_slice(&w->blob));
    return ST_OK;
}

status bulk_put_document(struct bulk_rows *w, struct buf *out, struct jval v, const char *made,
                         struct err *err)
{
    struct document d;
    status st = look_at(&d, v, err);

    if (st == ST_OK)
        st = read_vector(w, &d, err);
    if (st == ST_OK)
        st = put_id(w, out, &d, made, err);
    if (st == ST_OK)
        st = put_external_id(out, &d, err);
    if (st != ST_OK)
        return st;
    buf_put_text(out, ",\"vector\":");
    json_put_floats(out, w->vector, w->dim);
    st = put_payload(w, out, &d, err);
    buf_put_text(out, "}");
    return st != ST_OK ? st : buf_status(out, err);
}

/* Version 8 of RFC 9562: what the rest holds is ours to say. */
static status make_id(struct bulk_rows *w, struct slice line, uint64_t number,
                      char text[UUID_TEXT_BYTES], struct err *err)
{
    uint8_t hash[CRYPTO_SHA256_BYTES];
    status st;

    buf_reset(&w->blob);
    buf_put_u64(&w->blob, number);
    buf_put_slice(&w->blob, line);
    st = buf_status(&w->blob, err);
    if (st == ST_OK)
        st = crypto_sha256(buf_slice(&w->blob), hash, err);
    if (st != ST_OK)
        return st;
    hash[6] = (uint8_t)((hash[6] & 0x0f) | 0x80);
    hash[8] = (uint8_t)((hash[8] & 0x3f) | 0x80);
    uuid_format(hash, text);
    return ST_OK;
}

static bool has_id(struct jval v)
{
    struct jval id;

    return (jval_member(v, "doc_id", &id) && jval_type(id) != J_NULL) ||
           (jval_member(v, "id", &id) && jval_type(id) != J_NULL);
}

status bulk_put_line(struct bulk_rows *w, struct buf *out, struct slice line, uint64_t line_number,
                     struct err *err)
{
    char made[UUID_TEXT_BYTES];
    struct jval v;
    status st = jdoc_parse(w->doc, line, &v, err);

    if (st != ST_OK || has_id(v))
        return st != ST_OK ? st : bulk_put_document(w, out, v, NULL, err);
    st = make_id(w, line, line_number, made, err);
    return st != ST_OK ? st : bulk_put_document(w, out, v, made, err);
}

status bulk_put_vector(struct bulk_rows *w, struct buf *out, struct slice floats, uint64_t id,
                       struct err *err)
{
    struct rd r = rd_make(floats);
    size_t count = floats.bytes / sizeof *w->vector;

    if (w->dim != 0 && count != w->dim)
        return err_set(err, ST_INVALID, "the vector has %zu values, %" PRIu32 " are needed", count,
                       w->dim);
    w->dim = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        w->vector[i] = rd_f32(&r);
        if (!isfinite(w->vector[i]))
            return err_set(err, ST_INVALID, "value %zu is not finite", i);
    }
    buf_printf(out, "{\"doc_id\":%" PRIu64 ",\"vector\":", id);
    json_put_floats(out, w->vector, count);
    buf_put_text(out, "}");
    return buf_status(out, err);
}

status bulk_put_floats(struct bulk_rows *w, struct buf *out, struct jval document, struct err *err)
{
    struct document d;
    status st = look_at(&d, document, err);

    if (st == ST_OK)
        st = read_vector(w, &d, err);
    for (uint32_t i = 0; st == ST_OK && i < w->dim; i++)
        buf_put_f32(out, w->vector[i]);
    return st != ST_OK ? st : buf_status(out, err);
}
