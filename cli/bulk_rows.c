#include "cli/bulk_rows.h"

#include "base/crypto.h"
#include "base/mem.h"
#include "base/rand.h"
#include "cli/bulk_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum {
    BLOB_BYTES_MAX = 256 * 1024 * 1024,
    NAME_SHOWN_BYTES = 64,
    NAMES_BYTES = 256,
    MEMBER_BYTES = NAME_SHOWN_BYTES + 16,
};

status bulk_rows_open(struct bulk_rows *w, struct err *err)
{
    buf_init(&w->blob, BLOB_BYTES_MAX);
    w->vector = mem_alloc_array(BULK_DIM_MAX, sizeof *w->vector);
    w->fields = mem_zero_array(BULK_FIELDS_MAX, sizeof *w->fields);
    if (w->vector == NULL || w->fields == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    return jdoc_create(&w->doc, err);
}

void bulk_rows_close(struct bulk_rows *w)
{
    buf_free(&w->blob);
    mem_free(w->vector);
    mem_free(w->fields);
    jdoc_destroy(w->doc);
    w->vector = NULL;
    w->fields = NULL;
    w->doc = NULL;
}

/* --- the collection's vectors --- */

static int shown(struct slice name)
{
    return (int)(name.bytes < NAME_SHOWN_BYTES ? name.bytes : NAME_SHOWN_BYTES);
}

struct bulk_field *bulk_field_called(const struct bulk_rows *w, struct slice name)
{
    for (size_t i = 0; i < w->field_count; i++)
        if (slice_equal(name, slice_text(w->fields[i].name)))
            return &w->fields[i];
    return NULL;
}

status bulk_field_add(struct bulk_rows *w, struct slice name, uint32_t dim, struct slice metric,
                      struct bulk_field **out, struct err *err)
{
    struct bulk_field *f = &w->fields[w->field_count];

    if (w->field_count == BULK_FIELDS_MAX)
        return err_set(err, ST_INVALID, "a collection has at most %d vectors a document",
                       BULK_FIELDS_MAX);
    if (name.bytes >= sizeof f->name || metric.bytes >= sizeof f->metric ||
        (name.bytes > 0 && memchr(name.data, 0, name.bytes) != NULL) ||
        bulk_field_called(w, name) != NULL)
        return err_set(err, ST_INVALID,
                       "the vector `%.*s` is there twice, or its name is none that is taken",
                       shown(name), (const char *)name.data);
    *f = (struct bulk_field){.dim = dim};
    if (name.bytes > 0)
        memcpy(f->name, name.data, name.bytes);
    if (metric.bytes > 0)
        memcpy(f->metric, metric.data, metric.bytes);
    w->field_count++;
    if (out != NULL)
        *out = f;
    return ST_OK;
}

/* "`a`, `b`", as far as there is room. */
static const char *names_of(const struct bulk_rows *w, char out[NAMES_BYTES])
{
    size_t used = 0;

    (void)snprintf(out, NAMES_BYTES, "none");
    for (size_t i = 0; i < w->field_count && used + NAME_SHOWN_BYTES + 8 < NAMES_BYTES; i++) {
        const char *name = w->fields[i].name;

        used += (size_t)snprintf(out + used, NAMES_BYTES - used, "%s%s%.*s%s", i == 0 ? "" : ", ",
                                 name[0] == '\0' ? "" : "`", NAME_SHOWN_BYTES,
                                 name[0] == '\0' ? "one without a name" : name,
                                 name[0] == '\0' ? "" : "`");
    }
    return out;
}

/* NULL name: the unnamed one, or the only one; which of several comes first says nothing yet. */
static struct bulk_field *find(const struct bulk_rows *w, const char *name)
{
    struct bulk_field *f = bulk_field_called(w, slice_text(name != NULL ? name : ""));

    return f == NULL && name == NULL && !w->open && w->field_count == 1 ? &w->fields[0] : f;
}

status bulk_field_meant(struct bulk_rows *w, const char *name, struct bulk_field **out,
                        struct err *err)
{
    char names[NAMES_BYTES];

    *out = find(w, name);
    if (*out == NULL && w->open)
        return bulk_field_add(w, slice_text(name != NULL ? name : ""), 0, slice_text(""), out, err);
    if (*out != NULL)
        return ST_OK;
    if (name == NULL)
        return err_set(err, ST_INVALID,
                       "the collection's vectors have names, and --vector says which: %s",
                       names_of(w, names));
    return err_set(err, ST_INVALID, "the collection has no vector `%.64s`; it has %s", name,
                   names_of(w, names));
}

uint64_t bulk_fields_dim(const struct bulk_rows *w)
{
    uint64_t dim = 0;

    for (size_t i = 0; i < w->field_count; i++)
        dim += w->fields[i].dim;
    return dim;
}

/* --- reading --- */

struct document {
    struct jval id, external_id, vector, vectors, payload;
    bool has_id, has_external_id, has_vector, has_vectors, has_payload;
};

static status put_member_of(struct document *d, struct slice key, struct jval v, struct err *err)
{
    /* What a page of documents and a scroll say beside it. */
    static const char *const passed_over[] = {"inserted_at", "lsn", "version"};
    const struct {
        const char *name;
        struct jval *value;
        bool *has;
    } members[] = {{"doc_id", &d->id, &d->has_id},
                   {"id", &d->id, &d->has_id},
                   {"external_id", &d->external_id, &d->has_external_id},
                   {"vector", &d->vector, &d->has_vector},
                   {"vectors", &d->vectors, &d->has_vectors},
                   {"payload", &d->payload, &d->has_payload}};
    enum { IDS = 2 };

    if (jval_type(v) == J_NULL)
        return ST_OK;
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        if (!slice_equal(key, slice_text(members[i].name)))
            continue;
        if (i < IDS && d->has_id)
            return err_set(err, ST_INVALID, "`doc_id` and `id` are both there");
        *members[i].value = v;
        *members[i].has = true;
        return ST_OK;
    }
    for (size_t i = 0; i < COUNT_OF(passed_over); i++)
        if (slice_equal(key, slice_text(passed_over[i])))
            return ST_OK;
    return err_set(err, ST_INVALID, "`%.*s` is no member of a document", shown(key),
                   (const char *)key.data);
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
    if (st != ST_OK || !d->has_vector || jval_type(d->vector) != J_OBJECT)
        return st;
    if (d->has_vectors)
        return err_set(err, ST_INVALID, "`vector` and `vectors` both hold named vectors");
    d->vectors = d->vector; /* as the compatible form has them */
    d->has_vectors = true;
    d->has_vector = false;
    return ST_OK;
}

/* "`vector`" or "`vectors.name`". */
static const char *member_of(const char *name, char out[MEMBER_BYTES])
{
    (void)snprintf(out, MEMBER_BYTES, "`vector%s%.*s`", name[0] == '\0' ? "" : "s.",
                   NAME_SHOWN_BYTES, name);
    return out;
}

/* Into the scratch. *dim 0: as many as there are. */
static status read_floats(struct bulk_rows *w, struct jval v, const char *name, uint32_t *dim,
                          struct err *err)
{
    char member[MEMBER_BYTES];
    size_t count = 0;
    struct jiter it;
    status st;

    (void)member_of(name, member);
    if (jval_type(v) == J_OBJECT)
        return err_set(err, ST_INVALID, "%s is sparse: dense vectors alone are taken here", member);
    if (jval_type(v) != J_ARRAY)
        return err_set(err, ST_INVALID, "%s is of type %s, an array of numbers is needed", member,
                       jtype_name(jval_type(v)));
    it = jval_iter(v);
    if (jiter_next(&it) && jval_type(it.value) == J_ARRAY)
        return err_set(err, ST_INVALID, "%s holds many vectors, and one of a name is taken here",
                       member);
    st = jval_floats(v, w->vector, BULK_DIM_MAX, &count, err);
    if (st != ST_OK)
        return err_wrap(err, st, "%s", member);
    if (count == 0 || (*dim != 0 && count != *dim))
        return err_set(err, ST_INVALID, "%s has %zu values, %" PRIu32 " are needed", member, count,
                       *dim);
    *dim = (uint32_t)count;
    return ST_OK;
}

static status field_for(struct bulk_rows *w, struct slice name, struct bulk_field **out,
                        struct err *err)
{
    char names[NAMES_BYTES];

    *out = bulk_field_called(w, name);
    if (*out != NULL)
        return ST_OK;
    if (w->open)
        return bulk_field_add(w, name, 0, slice_text(""), out, err);
    return err_set(err, ST_INVALID, "the collection has no vector `%.*s`; it has %s", shown(name),
                   (const char *)name.data, names_of(w, names));
}

/* --- printing --- */

static void put_values(const struct bulk_rows *w, struct buf *out, const struct bulk_field *f)
{
    if (f->name[0] == '\0') {
        buf_put_text(out, ",\"vector\":");
        json_put_floats(out, w->vector, f->dim);
        return;
    }
    buf_put_text(out, ",\"vectors\":{");
    json_put_string(out, slice_text(f->name));
    buf_put_text(out, ":");
    json_put_floats(out, w->vector, f->dim);
    buf_put_text(out, "}");
}

/* The one that alone is taken. */
static status put_taken(struct bulk_rows *w, struct buf *out, const struct document *d,
                        struct err *err)
{
    struct jval v = d->vectors;
    status st;

    if (!d->has_vectors || !jval_member(v, w->take, &v) || jval_type(v) == J_NULL)
        return err_set(err, ST_INVALID, "it has no vector `%.64s`", w->take);
    st = read_floats(w, v, w->take, &w->into->dim, err);
    if (st == ST_OK)
        put_values(w, out, w->into);
    return st;
}

static status put_named(struct bulk_rows *w, struct buf *out, struct jval vectors, struct err *err)
{
    bool first = true;

    if (jval_type(vectors) != J_OBJECT)
        return err_set(err, ST_INVALID, "`vectors` is of type %s, an object of them is needed",
                       jtype_name(jval_type(vectors)));
    buf_put_text(out, ",\"vectors\":{");
    for (struct jiter it = jval_iter(vectors); jiter_next(&it);) {
        struct bulk_field *f = NULL;
        status st;

        if (jval_type(it.value) == J_NULL)
            continue;
        st = field_for(w, it.key, &f, err);
        if (st == ST_OK)
            st = read_floats(w, it.value, f->name, &f->dim, err);
        if (st != ST_OK)
            return st;
        if (!first)
            buf_put_text(out, ",");
        first = false;
        json_put_string(out, it.key);
        buf_put_text(out, ":");
        json_put_floats(out, w->vector, f->dim);
    }
    buf_put_text(out, "}");
    return ST_OK;
}

static status put_unsaid(struct bulk_rows *w, struct buf *out, struct jval vector, struct err *err)
{
    struct bulk_field *f = find(w, NULL);
    char names[NAMES_BYTES];
    status st = ST_OK;

    if (f == NULL && !w->open)
        return err_set(err, ST_INVALID,
                       "`vector` does not say which: the collection has %s, name them with "
                       "`vectors`",
                       names_of(w, names));
    if (f == NULL)
        st = bulk_field_add(w, slice_text(""), 0, slice_text(""), &f, err);
    if (st == ST_OK)
        st = read_floats(w, vector, "", &f->dim, err);
    if (st != ST_OK)
        return st;
    buf_put_text(out, ",\"vector\":");
    json_put_floats(out, w->vector, f->dim);
    return ST_OK;
}

static status put_vectors(struct bulk_rows *w, struct buf *out, const struct document *d,
                          struct err *err)
{
    status st = ST_OK;

    if (w->take != NULL)
        return put_taken(w, out, d, err);
    if (!d->has_vector && !d->has_vectors && w->may_lack) {
        buf_put_text(out, ",\"vectors\":{}");
        return ST_OK;
    }
    if (!d->has_vector && !d->has_vectors)
        return w->field_count == 0 && !w->open
                   ? ST_OK
                   : err_set(err, ST_INVALID, "`vector` is missing, or `vectors`");
    if (d->has_vector)
        st = put_unsaid(w, out, d->vector, err);
    return st == ST_OK && d->has_vectors ? put_named(w, out, d->vectors, err) : st;
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
        st = put_id(w, out, &d, made, err);
    if (st == ST_OK)
        st = put_external_id(out, &d, err);
    if (st == ST_OK)
        st = put_vectors(w, out, &d, err);
    if (st == ST_OK)
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

status bulk_put_vector(struct bulk_rows *w, struct buf *out, struct bulk_field *field,
                       struct slice floats, uint64_t id, struct err *err)
{
    struct rd r = rd_make(floats);
    size_t count = floats.bytes / sizeof *w->vector;

    if (field->dim != 0 && count != field->dim)
        return err_set(err, ST_INVALID, "the vector has %zu values, %" PRIu32 " are needed", count,
                       field->dim);
    field->dim = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        w->vector[i] = rd_f32(&r);
        if (!isfinite(w->vector[i]))
            return err_set(err, ST_INVALID, "value %zu is not finite", i);
    }
    buf_printf(out, "{\"doc_id\":%" PRIu64, id);
    put_values(w, out, field);
    buf_put_text(out, "}");
    return buf_status(out, err);
}

status bulk_put_floats(struct bulk_rows *w, struct buf *out, const struct bulk_field *field,
                       struct jval document, struct err *err)
{
    uint32_t dim = field->dim;
    struct jval v = {0};
    struct document d;
    bool has;
    status st = look_at(&d, document, err);

    if (st != ST_OK)
        return st;
    has = field->name[0] == '\0' ? d.has_vector
                                 : d.has_vectors && jval_member(d.vectors, field->name, &v);
    if (!has)
        return err_set(err, ST_INVALID,
                       "it has no vector%s%.64s; --filter '{\"qdrant\":{\"must\":[{\"has_vector\":"
                       "\"%.64s\"}]}}' leaves such out",
                       field->name[0] == '\0' ? "" : " ", field->name, field->name);
    st = read_floats(w, field->name[0] == '\0' ? d.vector : v, field->name, &dim, err);
    for (uint32_t i = 0; st == ST_OK && i < dim; i++)
        buf_put_f32(out, w->vector[i]);
    return st != ST_OK ? st : buf_status(out, err);
}
