/* vectors_spec.c - the named vectors of a collection: `vectors` of the request that makes it or
 * changes it, and as it is described. */
#include "api/document.h"
#include "api/handlers.h"

#include "index/vindex.h"

#include <stdio.h>

enum { NAME_SHOWN_BYTES = 64 };

/* A problem inside one vector's description says whose. */
static bool fail_in(struct parse *p, struct slice name)
{
    char text[sizeof p->text];

    memcpy(text, p->text, sizeof text);
    (void)snprintf(p->text, sizeof p->text, "vectors.%.*s: %.*s",
                   (int)(name.bytes < NAME_SHOWN_BYTES ? name.bytes : NAME_SHOWN_BYTES),
                   (const char *)name.data, (int)sizeof text - NAME_SHOWN_BYTES - 32, text);
    return false;
}

bool parse_quantization(struct parse *p, struct jval v, uint8_t *out)
{
    enum vquantization kind = VQUANT_SCALAR;
    char choice[16] = "";
    struct err err = {0};
    struct slice text;

    if (!parse_text(p, "quantization", v, API_NAME_BYTES_MAX, &text))
        return false;
    if (text.bytes < sizeof choice)
        memcpy(choice, text.data, text.bytes);
    if (!vquantization_parse(choice, &kind))
        return parse_fail(p, PROBLEM_INVALID,
                          "`quantization` is `%.*s`, it must be \"scalar\", \"none\", \"binary\" "
                          "(or \"rabitq\") or \"product\"",
                          (int)text.bytes, (const char *)text.data);
    if (vquantization_check(kind, &err) != ST_OK)
        return parse_fail(p, PROBLEM_NOT_SUPPORTED, "`quantization`: %s", err.text);
    *out = (uint8_t)(1 + kind);
    return true;
}

/* one: what all vectors have where they do not say; what this one has. */
static bool take_field(struct parse *p, struct jval v, struct collection_spec *one)
{
    static const struct member members[] = {
        {"dimension", false}, {"metric", false}, {"hnsw", false}, {"quantization", false}};
    uint64_t n = 0;

    if (jval_type(v) != J_OBJECT)
        return parse_fail(p, PROBLEM_INVALID, "it is of type %s, an object is needed",
                          jtype_name(jval_type(v)));
    for (struct jiter it = jval_iter(v); jiter_next(&it);) {
        int which = parse_member(p, members, COUNT_OF(members), &it);

        if (which < 0 ||
            (which == 0 && !parse_uint(p, "dimension", it.value, 1, VINDEX_DIM_MAX, &n)) ||
            (which == 1 && !parse_metric(p, it.value, one)) ||
            (which == 2 && !parse_graph(p, it.value, one)) ||
            (which == 3 && !parse_quantization(p, it.value, &one->quantization)))
            return false;
    }
    one->dimension = (uint32_t)n;
    if (one->dimension == 0)
        return parse_fail(p, PROBLEM_INVALID, "`dimension` is missing");
    return one->metric != 0 ||
           parse_fail(p, PROBLEM_INVALID, "`metric` is missing: cosine, dot, l2 or l1");
}

static bool take_name(struct request *req, struct parse *p, struct slice name,
                      const struct field_info *fields, size_t count, const char **out)
{
    if (name.bytes > API_NAME_BYTES_MAX ||
        (name.bytes > 0 && memchr(name.data, '\0', name.bytes) != NULL))
        return parse_fail(p, PROBLEM_INVALID,
                          "`vectors`: a vector's name has at most %d bytes and no NUL",
                          API_NAME_BYTES_MAX);
    for (size_t i = 0; i < count; i++)
        if (slice_equal(name, slice_text(fields[i].name)))
            return parse_fail(p, PROBLEM_INVALID, "`vectors` holds `%.*s` twice",
                              (int)(name.bytes < NAME_SHOWN_BYTES ? name.bytes : NAME_SHOWN_BYTES),
                              (const char *)name.data);
    *out = name.bytes == 0 ? "" : arena_strndup(&req->arena, (const char *)name.data, name.bytes);
    return *out != NULL || parse_fail(p, PROBLEM_NO_MEMORY, "out of memory for a name");
}

bool parse_vectors_spec(struct request *req, struct parse *p, struct jval v,
                        struct collection_spec *spec)
{
    struct field_info *fields = arena_array(&req->arena, NODE_FIELDS_MAX, sizeof *fields);
    size_t count = 0;

    if (fields == NULL)
        return parse_fail(p, PROBLEM_NO_MEMORY, "out of memory for a collection");
    if (spec->dimension != 0 || spec->metric != 0)
        return parse_fail(p, PROBLEM_INVALID,
                          "`%s` is of a collection with one unnamed vector, `vectors` says it for "
                          "each: send one or the other",
                          spec->dimension != 0 ? "dimension" : "metric");
    if (jval_type(v) != J_OBJECT)
        return parse_fail(p, PROBLEM_INVALID,
                          "`vectors` is of type %s, an object like {\"title\":{\"dimension\":3,"
                          "\"metric\":\"cosine\"}} is needed",
                          jtype_name(jval_type(v)));
    for (struct jiter it = jval_iter(v); jiter_next(&it);) {
        struct collection_spec one = *spec;
        const char *name = NULL;

        if (jval_type(it.value) == J_NULL)
            continue;
        if (count == NODE_FIELDS_MAX)
            return parse_fail(p, PROBLEM_INVALID, "`vectors`: a collection has at most %d",
                              NODE_FIELDS_MAX);
        if (!take_name(req, p, it.key, fields, count, &name))
            return false;
        if (!take_field(p, it.value, &one))
            return fail_in(p, it.key);
        fields[count++] = (struct field_info){.name = name,
                                              .dimension = one.dimension,
                                              .metric = one.metric,
                                              .m = one.m,
                                              .ef_construction = one.ef_construction,
                                              .ef_search = one.ef_search,
                                              .threshold = one.threshold,
                                              .quantization = one.quantization};
    }
    spec->fields = fields;
    spec->field_count = count;
    return true;
}

/* --- changing --- */

static bool take_change(struct parse *p, struct jval v, struct hnsw_patch *out)
{
    static const struct member members[] = {{"hnsw", false}, {"quantization", false}};
    struct collection_spec one = {.m = out->m,
                                  .ef_construction = out->ef_construction,
                                  .ef_search = out->ef_search,
                                  .threshold = out->threshold,
                                  .quantization = out->quantization};

    if (jval_type(v) != J_OBJECT)
        return parse_fail(p, PROBLEM_INVALID, "it is of type %s, an object is needed",
                          jtype_name(jval_type(v)));
    for (struct jiter it = jval_iter(v); jiter_next(&it);) {
        int which = parse_member(p, members, COUNT_OF(members), &it);

        if (which < 0 || (which == 0 && !parse_graph(p, it.value, &one)) ||
            (which == 1 && !parse_quantization(p, it.value, &one.quantization)))
            return false;
    }
    *out = (struct hnsw_patch){.m = one.m,
                               .ef_construction = one.ef_construction,
                               .ef_search = one.ef_search,
                               .threshold = one.threshold,
                               .quantization = one.quantization};
    return true;
}

bool parse_vectors_patch(struct request *req, struct parse *p, struct jval v,
                         struct collection_patch *patch)
{
    struct hnsw_patch *hnsw = arena_array(&req->arena, NODE_FIELDS_MAX, sizeof *hnsw);
    size_t position = 0;

    if (hnsw == NULL)
        return parse_fail(p, PROBLEM_NO_MEMORY, "out of memory for a change");
    for (size_t i = 0; i < NODE_FIELDS_MAX; i++)
        hnsw[i] =
            patch->hnsw != NULL ? patch->hnsw[i] : (struct hnsw_patch){.threshold = UINT32_MAX};
    if (jval_type(v) != J_OBJECT)
        return parse_fail(
            p, PROBLEM_INVALID,
            "`vectors` is of type %s, an object like {\"title\":{\"hnsw\":{\"m\":16}}} is "
            "needed",
            jtype_name(jval_type(v)));
    for (struct jiter it = jval_iter(v); jiter_next(&it);) {
        if (jval_type(it.value) == J_NULL)
            continue;
        if (!document_field(req, p, "vectors", it.key, &position))
            return false;
        if (!take_change(p, it.value, &hnsw[position]))
            return fail_in(p, it.key);
        patch->hnsw = hnsw;
    }
    return true;
}

/* --- telling --- */

void print_vectors_spec(struct buf *out, const struct collection *c)
{
    size_t count = node_field_count(c);

    if (count == 1 && node_field(c, 0)->name[0] == '\0')
        return;
    print_key(out, false, "vectors");
    buf_put_text(out, "{");
    for (size_t i = 0; i < count; i++) {
        struct field_info f;

        node_field_now(c, i, &f);
        if (i > 0)
            buf_put_text(out, ",");
        json_put_string(out, slice_text(f.name));
        buf_put_text(out, ":{");
        print_u64(out, true, "dimension", f.dimension);
        print_text(out, false, "metric", vmetric_name((enum vmetric)f.metric));
        print_key(out, false, "hnsw");
        buf_put_text(out, "{");
        print_u64(out, true, "m", f.m);
        print_u64(out, false, "ef_construction", f.ef_construction);
        print_u64(out, false, "ef_search", f.ef_search);
        print_u64(out, false, "threshold", f.threshold);
        buf_put_text(out, "}");
        print_text(
            out, false, "quantization",
            vquantization_name((enum vquantization)(f.quantization == 0 ? 0 : f.quantization - 1)));
        buf_put_text(out, "}");
    }
    buf_put_text(out, "}");
}
