#include "api/document.h"

#include "api/grpc.h"
#include "api/handlers.h"
#include "index/vindex.h"
#include "segment/record.h"

#include <inttypes.h>
#include <stdio.h>

enum { NAMES_BYTES = 256, NAME_SHOWN_BYTES = 64 };

bool document_is_plain(const struct collection *c)
{
    return node_field_count(c) == 1 && node_field(c, 0)->name[0] == '\0';
}

/* --- fields --- */

/* "`a`, `b`" of the collection's vectors, as far as there is room. */
static const char *names_of(const struct collection *c, char out[NAMES_BYTES])
{
    size_t count = node_field_count(c);
    size_t used = 0;

    (void)snprintf(out, NAMES_BYTES, "%s", count == 0 ? "none" : "");
    for (size_t i = 0; i < count; i++) {
        const char *name = node_field(c, i)->name;

        if (used + NAME_SHOWN_BYTES + 16 > NAMES_BYTES) {
            (void)snprintf(out + used, NAMES_BYTES - used, ", ...");
            break;
        }
        used += (size_t)snprintf(out + used, NAMES_BYTES - used, "%s%s%.*s%s", i == 0 ? "" : ", ",
                                 name[0] == '\0' ? "" : "`", NAME_SHOWN_BYTES,
                                 name[0] == '\0' ? "one without a name" : name,
                                 name[0] == '\0' ? "" : "`");
    }
    return out;
}

bool document_field(const struct request *req, struct parse *p, const char *member,
                    struct slice name, size_t *position)
{
    int at = node_field_position(req->collection, name);
    char names[NAMES_BYTES];

    if (at < 0)
        return parse_fail(p, PROBLEM_INVALID,
                          "`%s` names the vector `%.*s`, which the collection has not; it has %s",
                          member,
                          (int)(name.bytes < NAME_SHOWN_BYTES ? name.bytes : NAME_SHOWN_BYTES),
                          (const char *)name.data, names_of(req->collection, names));
    *position = (size_t)at;
    return true;
}

bool document_field_unsaid(const struct request *req, struct parse *p, const char *member,
                           const char *instead, size_t *position)
{
    const struct collection *c = req->collection;
    int at = node_field_count(c) == 1 ? 0 : node_field_position(c, slice_text(""));
    char names[NAMES_BYTES];

    if (at < 0 && node_field_count(c) == 0)
        return parse_fail(p, PROBLEM_INVALID,
                          "`%s`: the collection has no vectors, its documents are payloads alone",
                          member);
    if (at < 0)
        return parse_fail(
            p, PROBLEM_INVALID,
            "`%s` does not say which vector: the collection has %s; name it with `%s`", member,
            names_of(c, names), instead);
    *position = (size_t)at;
    return true;
}

/* As parse_vector_length() and parse_vector(), of numbers that came in binary. */
static bool take_floats(struct request *req, struct parse *p, const char *member,
                        struct grpc_floats floats, const struct field_info *f, float **out)
{
    struct err err = {0};

    if (floats.count != f->dimension)
        return parse_fail(p, PROBLEM_INVALID,
                          "`%s` has %zu values, the collection's dimension is %" PRIu32, member,
                          floats.count, f->dimension);
    if (*out == NULL)
        *out = arena_array(&req->arena, f->dimension, sizeof **out);
    if (*out == NULL)
        return parse_fail(p, PROBLEM_NO_MEMORY, "out of memory for a vector");
    if (grpc_floats_take(floats, *out, &err) != ST_OK)
        return parse_fail(p, PROBLEM_INVALID, "`%s`: %s", member, err.text);
    for (uint32_t i = 0; f->metric == VMETRIC_COSINE && i < f->dimension; i++)
        if ((*out)[i] != 0.0f)
            return true;
    return f->metric != VMETRIC_COSINE ||
           parse_fail(p, PROBLEM_ZERO_VECTOR, "`%s` is all zeros, which has no cosine to anything",
                      member);
}

bool document_field_of_rows(struct request *req, bool lines, size_t *position)
{
    const struct slice *name = request_parameter(req, "vector");
    char names[NAMES_BYTES];
    struct parse p = {0};

    *position = 0;
    if (lines && name == NULL)
        return true;
    if (lines) {
        reply_problem(req, PROBLEM_INVALID, "`vector` is for npy and fvecs: lines name their own");
        return false;
    }
    if (name != NULL ? document_field(req, &p, "vector", *name, position)
                     : document_field_unsaid(req, &p, "vector", "vector", position))
        return true;
    if (name == NULL && node_field_count(req->collection) > 0)
        reply_problem(req, PROBLEM_INVALID,
                      "the query parameter `vector` is missing: rows are one of %s",
                      names_of(req->collection, names));
    else
        (void)fail_parse(req, &p);
    return false;
}

bool document_vector(struct request *req, struct parse *p, const char *member, struct jval v,
                     size_t position, float **out)
{
    const struct field_info *f = node_field(req->collection, position);
    struct grpc_floats floats;

    if (grpc_floats_named(req, v, &floats))
        return take_floats(req, p, member, floats, f, out);
    if (!parse_vector_length(p, member, v, f->dimension,
                             document_is_plain(req->collection) ? "the collection" : "the vector"))
        return false;
    if (*out == NULL)
        *out = arena_array(&req->arena, f->dimension, sizeof **out);
    if (*out == NULL)
        return parse_fail(p, PROBLEM_NO_MEMORY, "out of memory for a vector");
    return parse_vector(p, member, v, f->dimension, f->metric == VMETRIC_COSINE, *out);
}

bool document_want_vectors(const struct request *req, struct parse *p, struct jval v, uint64_t *out)
{
    size_t position = 0;

    *out = jval_type(v) == J_TRUE ? DOCUMENT_ALL_VECTORS : 0;
    if (jval_type(v) == J_TRUE || jval_type(v) == J_FALSE)
        return true;
    if (jval_type(v) != J_ARRAY)
        return parse_fail(p, PROBLEM_INVALID,
                          "`with_vector` is of type %s, true, false or a list of names is needed",
                          jtype_name(jval_type(v)));
    for (struct jiter it = jval_iter(v); jiter_next(&it);) {
        if (jval_type(it.value) != J_STRING)
            return parse_fail(p, PROBLEM_INVALID,
                              "`with_vector` holds a value of type %s, names are needed",
                              jtype_name(jval_type(it.value)));
        if (!document_field(req, p, "with_vector", jval_string(it.value), &position))
            return false;
        *out |= UINT64_C(1) << position;
    }
    return true;
}

uint64_t document_floats(const struct collection *c, uint64_t which)
{
    uint64_t floats = 0;

    for (size_t i = 0; i < node_field_count(c); i++)
        floats += (which >> i & 1) != 0 ? node_field(c, i)->dimension : 0;
    return floats;
}

/* --- reading --- */

enum document_member { DOC_ID, DOC_EXTERNAL_ID, DOC_VECTOR, DOC_VECTORS, DOC_PAYLOAD };

static const struct member MEMBERS[] = {[DOC_ID] = {"doc_id", false},
                                        [DOC_EXTERNAL_ID] = {"external_id", false},
                                        [DOC_VECTOR] = {"vector", false},
                                        [DOC_VECTORS] = {"vectors", false},
                                        [DOC_PAYLOAD] = {"payload", false}};

struct vectors_said { /* what they mean is known when all members are */
    struct jval vector, vectors;
    bool has_vector, has_vectors;
};

static bool take_payload(struct request *req, struct parse *p, struct jval v, struct write_row *row,
                         size_t *at)
{
    struct buf *b = &req->payloads;

    if (jval_type(v) != J_OBJECT)
        return parse_fail(p, PROBLEM_INVALID, "`payload` is of type %s, an object is needed",
                          jtype_name(jval_type(v)));
    *at = b->bytes;
    jbin_put(b, v);
    if (b->failed && jbin_too_deep(v))
        return parse_fail(p, PROBLEM_INVALID, "`payload` is more than %d levels deep",
                          JBIN_DEPTH_MAX);
    if (b->failed)
        return parse_fail(p, PROBLEM_NO_MEMORY, "out of memory for a payload");
    row->payload.bytes = b->bytes - *at;
    if (row->payload.bytes > RECORD_PAYLOAD_BYTES_MAX)
        return parse_fail(p, PROBLEM_INVALID, "`payload` has %zu bytes, the limit is %d",
                          row->payload.bytes, RECORD_PAYLOAD_BYTES_MAX);
    return true;
}

static bool take_external_id(struct request *req, struct parse *p, struct jval v,
                             struct write_row *row)
{
    struct slice text;
    char *copy;

    if (!parse_text(p, "external_id", v, RECORD_EXTERNAL_ID_BYTES_MAX, &text))
        return false;
    copy = arena_strndup(&req->arena, (const char *)text.data, text.bytes);
    if (copy == NULL)
        return parse_fail(p, PROBLEM_NO_MEMORY, "out of memory for an external_id");
    row->external_id = slice_make(copy, text.bytes);
    return true;
}

bool take_id(struct request *req, struct parse *p, struct jval v, struct docid *out)
{
    char *copy;

    if (!parse_doc_id(p, "doc_id", v, node_string_ids(req->collection), out))
        return false;
    if (out->kind != DOCID_BYTES)
        return true;
    copy = arena_strndup(&req->arena, (const char *)out->bytes.data, out->bytes.bytes);
    out->bytes.data = (const uint8_t *)copy;
    return copy != NULL || parse_fail(p, PROBLEM_NO_MEMORY, "out of memory for an id");
}

static bool make_fields(struct request *req, struct parse *p, struct write_row *row)
{
    size_t count = node_field_count(req->collection);

    row->vectors = arena_zero(&req->arena, (count == 0 ? 1 : count) * sizeof *row->vectors);
    return row->vectors != NULL || parse_fail(p, PROBLEM_NO_MEMORY, "out of memory for a document");
}

bool document_set_vector(struct request *req, struct write_row *row, size_t position, float *vector)
{
    struct parse p = {0};

    if (document_is_plain(req->collection)) {
        row->vector = vector;
        return true;
    }
    if (!make_fields(req, &p, row))
        return false;
    row->vectors[position] = vector;
    return true;
}

static bool take_named(struct request *req, struct parse *p, struct jval v, struct write_row *row)
{
    char member[NAME_SHOWN_BYTES + 16];
    size_t position = 0;

    if (jval_type(v) != J_OBJECT)
        return parse_fail(p, PROBLEM_INVALID,
                          "`vectors` is of type %s, an object of vectors by name is needed",
                          jtype_name(jval_type(v)));
    for (struct jiter it = jval_iter(v); jiter_next(&it);) {
        if (jval_type(it.value) == J_NULL)
            continue;
        if (!document_field(req, p, "vectors", it.key, &position))
            return false;
        (void)snprintf(member, sizeof member, "vectors.%.*s", NAME_SHOWN_BYTES,
                       node_field(req->collection, position)->name);
        if (!document_vector(req, p, member, it.value, position, &row->vectors[position]))
            return false;
    }
    return true;
}

static bool take_unsaid(struct request *req, struct parse *p, struct jval v, struct write_row *row)
{
    size_t position = 0;

    if (!document_field_unsaid(req, p, "vector", "vectors", &position))
        return false;
    if (row->vectors == NULL)
        return document_vector(req, p, "vector", v, position, &row->vector);
    if (row->vectors[position] != NULL)
        return parse_fail(p, PROBLEM_INVALID, "`vector` and `vectors` both hold the vector `%.*s`",
                          NAME_SHOWN_BYTES, node_field(req->collection, position)->name);
    return document_vector(req, p, "vector", v, position, &row->vectors[position]);
}

static bool take_vectors(struct request *req, struct parse *p, const struct vectors_said *said,
                         struct write_row *row)
{
    const struct collection *c = req->collection;

    if (!said->has_vector && !said->has_vectors && node_field_count(c) > 0)
        return parse_fail(p, PROBLEM_INVALID,
                          document_is_plain(c)
                              ? "`vector` is missing"
                              : "`vectors` is missing; {} says that the document has none");
    if ((said->has_vectors || !document_is_plain(c)) && !make_fields(req, p, row))
        return false;
    return (!said->has_vectors || take_named(req, p, said->vectors, row)) &&
           (!said->has_vector || take_unsaid(req, p, said->vector, row));
}

bool document_take(struct request *req, struct parse *p, struct jval v, struct write_row *row,
                   size_t *payload_at)
{
    struct vectors_said said = {0};

    if (jval_type(v) != J_OBJECT)
        return parse_fail(p, PROBLEM_INVALID, "the document is of type %s, an object is needed",
                          jtype_name(jval_type(v)));
    for (struct jiter it = jval_iter(v); jiter_next(&it);) {
        int which = parse_member(p, MEMBERS, COUNT_OF(MEMBERS), &it);
        bool fine = which >= 0;

        if (which == DOC_ID) {
            fine = take_id(req, p, it.value, &row->id);
        } else if (which == DOC_EXTERNAL_ID) {
            fine = take_external_id(req, p, it.value, row);
        } else if (which == DOC_VECTOR) {
            said.vector = it.value;
            said.has_vector = true;
        } else if (which == DOC_VECTORS) {
            said.vectors = it.value;
            said.has_vectors = true;
        } else if (which == DOC_PAYLOAD) {
            fine = take_payload(req, p, it.value, row, payload_at);
        }
        if (!fine)
            return false;
    }
    return take_vectors(req, p, &said, row);
}

/* --- printing --- */

static void print_named(struct buf *out, const struct collection *c, const float *const *vectors,
                        uint64_t which)
{
    bool first = true;

    buf_put_text(out, ",\"vectors\":{");
    for (size_t i = 0; i < node_field_count(c); i++) {
        const struct field_info *f = node_field(c, i);

        if ((which >> i & 1) == 0 || f->name[0] == '\0' || vectors[i] == NULL)
            continue;
        if (!first)
            buf_put_text(out, ",");
        first = false;
        json_put_string(out, slice_text(f->name));
        buf_put_text(out, ":");
        json_put_floats(out, vectors[i], f->dimension);
    }
    buf_put_text(out, "}");
}

void document_print_vectors(struct buf *out, const struct collection *c,
                            const float *const *vectors, uint64_t which)
{
    bool named = false;
    bool there = false;

    for (size_t i = 0; i < node_field_count(c); i++) {
        if ((which >> i & 1) == 0)
            continue;
        there = there || vectors[i] != NULL;
        named = named || node_field(c, i)->name[0] != '\0';
        if (node_field(c, i)->name[0] != '\0')
            continue;
        print_key(out, false, "vector");
        if (vectors[i] != NULL)
            json_put_floats(out, vectors[i], node_field(c, i)->dimension);
        else
            buf_put_text(out, "null");
    }
    if (which != 0 && (named || !there))
        print_named(out, c, vectors, which);
}

void document_print(struct buf *out, const struct collection *c, const struct document *doc,
                    uint64_t which)
{
    const float *const one[1] = {doc->vector};

    buf_put_text(out, "{\"doc_id\":");
    print_doc_id(out, &doc->id, node_string_ids(c));
    print_external_id(out, doc->external_id);
    /* Reads of a plain collection may give its vector alone. */
    document_print_vectors(out, c, doc->vectors != NULL ? (const float *const *)doc->vectors : one,
                           which);
    print_payload(out, doc->payload);
    print_time(out, false, "inserted_at", doc->inserted_at_ns);
    print_u64(out, false, "lsn", doc->lsn);
    buf_put_text(out, "}");
}
