/* qdrant_create.c - the body a collection is created with. */
#include "api/qdrant_config.h"
#include "api/qdrant_handlers.h"

#include "base/utf8.h"
#include "index/vindex.h"

/* What a graph has where the body does not say: the dialect's own defaults, which the collection's
 * info tells back. */
enum { M_DEFAULT = 16, EF_CONSTRUCT_DEFAULT = 100, FULL_SCAN_DEFAULT = 10000 };

static uint64_t clamp(uint64_t v, uint64_t min, uint64_t max)
{
    return v < min ? min : v > max ? max : v;
}

static bool parse_object(struct qd_parse *p, struct jval body, const char *key, struct jval *out)
{
    if (!qd_member(body, key, out))
        return true;
    return jval_type(*out) == J_OBJECT ||
           qd_bad(p, QD_FORMAT, "%s: invalid type: %s, expected an object", key,
                  jtype_name(jval_type(*out)));
}

/* Values beyond what the node's graph takes are stored as sent and met as far as it goes. m 0, "no
 * graph of all points", has no counterpart. */
bool qd_parse_hnsw(struct qd_parse *p, struct jval body, struct field_info *field)
{
    struct jval hnsw = body;
    struct jval given;
    bool on_disk;
    uint64_t m = 0;
    uint64_t ef = 0;
    uint64_t threshold = 0;
    uint64_t threads;

    if (!qd_member(body, "hnsw_config", &hnsw))
        return true;
    if (!parse_object(p, body, "hnsw_config", &hnsw) || !qd_uint(p, hnsw, "m", 0, UINT32_MAX, &m) ||
        !qd_uint(p, hnsw, "ef_construct", 4, UINT32_MAX, &ef) ||
        !qd_uint(p, hnsw, "full_scan_threshold", 0, UINT64_MAX, &threshold) ||
        !qd_uint(p, hnsw, "max_indexing_threads", 0, UINT64_MAX, &threads) ||
        !qd_uint(p, hnsw, "payload_m", 0, UINT64_MAX, &threads) ||
        !qd_bool(p, hnsw, "on_disk", &on_disk))
        return false;
    if (m > 0)
        field->m = (uint16_t)clamp(m, VINDEX_M_MIN, VINDEX_M_MAX);
    if (ef > 0)
        field->ef_construction = (uint16_t)clamp(ef, 2, VINDEX_EF_MAX);
    if (qd_member(hnsw, "full_scan_threshold", &given))
        field->threshold = (uint32_t)clamp(threshold, 0, 1000000000);
    return true;
}

/* `turboquant`, and what no index has, is kept as sent and searched on 8-bit codes: what comes back
 * is ranked by full vectors under each of them. */
bool qd_parse_quantization(struct qd_parse *p, struct jval body, struct field_info *field)
{
    static const struct {
        const char *name;
        enum vquantization kind;
    } known[] = {{"binary", VQUANT_BINARY}, {"product", VQUANT_PRODUCT}};
    struct jval config, v;

    if (!qd_member(body, "quantization_config", &config))
        return true;
    field->quantization = 1 + VQUANT_SCALAR;
    if (jval_type(config) == J_STRING && slice_equal(jval_string(config), slice_text("Disabled")))
        return true;
    if (!parse_object(p, body, "quantization_config", &config))
        return false;
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (qd_member(config, known[i].name, &v) &&
            vquantization_check(known[i].kind, NULL) == ST_OK)
            field->quantization = (uint8_t)(1 + known[i].kind);
    return true;
}

static bool parse_distance(struct qd_parse *p, struct jval v, int *out)
{
    static const struct {
        const char *name;
        enum vmetric metric;
    } known[] = {{"Cosine", VMETRIC_COSINE},
                 {"Dot", VMETRIC_DOT},
                 {"Euclid", VMETRIC_L2},
                 {"Manhattan", VMETRIC_L1}};
    struct slice text = {0};

    if (!qd_string(p, v, "distance", &text))
        return false;
    if (text.data == NULL)
        return qd_bad(p, QD_FORMAT, "vectors: missing field `distance`");
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        if (slice_equal(text, slice_text(known[i].name))) {
            *out = (int)known[i].metric;
            return true;
        }
    }
    return qd_bad(
        p, QD_FORMAT,
        "distance: unknown variant `%.*s`, expected one of `Cosine`, `Euclid`, `Dot`, `Manhattan`",
        (int)(text.bytes < 64 ? text.bytes : 64), (const char *)text.data);
}

/* What would change an answer and is not there is refused. */
static bool check_unsupported(struct qd_parse *p, struct jval v)
{
    struct slice datatype = {0};
    struct jval multi;

    if (qd_member(v, "multivector_config", &multi))
        return qd_bad(p, QD_INPUT, "multivector_config is not supported by this version");
    if (!qd_string(p, v, "datatype", &datatype))
        return false;
    return datatype.data == NULL || slice_equal(datatype, slice_text("float32")) ||
           qd_bad(p, QD_INPUT, "datatype `%.*s` is not supported by this version: float32 is",
                  (int)(datatype.bytes < 64 ? datatype.bytes : 64), (const char *)datatype.data);
}

static bool parse_field(struct qd_parse *p, struct jval v, struct field_info *field)
{
    uint64_t size = 0;
    bool on_disk;

    if (jval_type(v) != J_OBJECT)
        return qd_bad(p, QD_FORMAT, "vectors: invalid type: %s, expected an object",
                      jtype_name(jval_type(v)));
    if (!qd_uint(p, v, "size", 1, VINDEX_DIM_MAX, &size))
        return false;
    if (size == 0)
        return qd_bad(p, QD_FORMAT, "vectors: missing field `size`");
    field->dimension = (uint32_t)size;
    return parse_distance(p, v, &field->metric) && check_unsupported(p, v) &&
           qd_parse_hnsw(p, v, field) && qd_bool(p, v, "on_disk", &on_disk) &&
           qd_parse_quantization(p, v, field);
}

/* {"size": 4, "distance": ..} is the unnamed vector; a map of names may have one called size. */
static bool is_one(struct jval vectors)
{
    struct jval v;

    return (qd_member(vectors, "size", &v) && jval_type(v) != J_OBJECT) ||
           (qd_member(vectors, "distance", &v) && jval_type(v) != J_OBJECT);
}

static struct field_info *field_called(struct qd_create *out, const char *name)
{
    for (size_t i = 0; i < out->spec.field_count; i++)
        if (strcmp(out->fields[i].name, name) == 0)
            return &out->fields[i];
    return &out->fields[out->spec.field_count++];
}

static bool has_nul(struct slice text)
{
    return text.bytes > 0 && memchr(text.data, '\0', text.bytes) != NULL;
}

static bool parse_named(struct qd_parse *p, struct request *req, struct jval vectors,
                        const struct field_info *defaults, struct qd_create *out)
{
    for (struct jiter it = jval_iter(vectors); jiter_next(&it);) {
        struct field_info *field;
        const char *name;

        if (jval_type(it.value) == J_NULL)
            continue;
        if (it.key.bytes > API_NAME_BYTES_MAX || has_nul(it.key))
            return qd_bad(p, QD_VALIDATION,
                          "vectors: a vector's name has at most %d bytes and no NUL",
                          API_NAME_BYTES_MAX);
        name = it.key.bytes == 0
                   ? ""
                   : arena_strndup(&req->arena, (const char *)it.key.data, it.key.bytes);
        if (name == NULL)
            return qd_no_memory(p);
        if (out->spec.field_count == NODE_FIELDS_MAX)
            return qd_bad(p, QD_INPUT, "a collection has at most %d named vectors",
                          NODE_FIELDS_MAX);
        field = field_called(out, name); /* of doubled names the last counts */
        *field = *defaults;
        field->name = name;
        if (!parse_field(p, it.value, field))
            return false;
    }
    return true;
}

static bool parse_vectors(struct qd_parse *p, struct request *req, struct jval body,
                          struct qd_create *out)
{
    struct field_info defaults = {.name = "",
                                  .m = M_DEFAULT,
                                  .ef_construction = EF_CONSTRUCT_DEFAULT,
                                  .threshold = FULL_SCAN_DEFAULT};
    struct jval vectors;

    out->fields = arena_array(&req->arena, NODE_FIELDS_MAX, sizeof *out->fields);
    if (out->fields == NULL)
        return qd_no_memory(p);
    out->spec.fields = out->fields;
    if (!qd_parse_hnsw(p, body, &defaults) || !qd_parse_quantization(p, body, &defaults))
        return false;
    if (!qd_member(body, "vectors", &vectors))
        return true; /* payloads only */
    if (jval_type(vectors) != J_OBJECT)
        return qd_bad(p, QD_FORMAT, "vectors: invalid type: %s, expected an object",
                      jtype_name(jval_type(vectors)));
    if (!is_one(vectors))
        return parse_named(p, req, vectors, &defaults, out);
    out->fields[0] = defaults;
    out->spec.field_count = 1;
    return parse_field(p, vectors, &out->fields[0]);
}

bool qd_parse_tier(struct qd_parse *p, struct jval body, enum node_policy *out)
{
    struct slice tier = {0};
    struct jval metadata;

    if (!qd_member(body, "metadata", &metadata) || jval_type(metadata) != J_OBJECT)
        return true;
    if (!qd_string(p, metadata, "tier", &tier))
        return false;
    if (tier.data == NULL)
        return true;
    if (slice_equal(tier, slice_text("memory")))
        *out = NODE_MEMORY;
    else if (slice_equal(tier, slice_text("memory_s3")))
        *out = NODE_MEMORY_S3;
    else if (slice_equal(tier, slice_text("s3_only")))
        *out = NODE_S3_ONLY;
    else
        return qd_bad(p, QD_INPUT,
                      "metadata.tier is `%.*s`, it must be `memory`, `memory_s3` or `s3_only`",
                      (int)(tier.bytes < 64 ? tier.bytes : 64), (const char *)tier.data);
    return true;
}

static bool check_sharding(struct qd_parse *p, struct jval body)
{
    struct slice method = {0};
    struct jval v;
    uint64_t n = 0;

    if (!qd_string(p, body, "sharding_method", &method) ||
        !qd_uint(p, body, "shard_number", 1, UINT32_MAX, &n) ||
        !qd_uint(p, body, "replication_factor", 1, UINT32_MAX, &n) ||
        !qd_uint(p, body, "write_consistency_factor", 1, UINT32_MAX, &n))
        return false;
    if (method.data != NULL && !slice_equal(method, slice_text("auto")))
        return qd_bad(p, QD_INPUT, "sharding_method `%.*s` is not supported: `auto` is",
                      (int)(method.bytes < 64 ? method.bytes : 64), (const char *)method.data);
    if (qd_member(body, "init_from", &v))
        return qd_bad(
            p, QD_INPUT,
            "init_from is not supported by this version: copy the points with scroll and upsert");
    return true;
}

static bool check_sparse(struct qd_parse *p, struct jval body)
{
    struct jval sparse;

    if (!qd_member(body, "sparse_vectors", &sparse))
        return true;
    if (jval_type(sparse) != J_OBJECT)
        return qd_bad(p, QD_FORMAT, "sparse_vectors: invalid type: %s, expected an object",
                      jtype_name(jval_type(sparse)));
    return jval_count(sparse) == 0 ||
           qd_bad(p, QD_INPUT, "sparse_vectors are not supported by this version");
}

static bool check_sections(struct qd_parse *p, struct jval body)
{
    static const char *const objects[] = {"optimizers_config", "wal_config", "quantization_config",
                                          "strict_mode_config"};
    struct jval v;
    bool flag;

    for (size_t i = 0; i < COUNT_OF(objects); i++)
        if (!parse_object(p, body, objects[i], &v))
            return false;
    return qd_bool(p, body, "on_disk_payload", &flag);
}

static bool keep(struct qd_parse *p, struct request *req, struct jval body, struct slice *out)
{
    struct buf text;
    char *copy;

    buf_init(&text, NODE_SETTING_BYTES_MAX);
    qd_put_json(&text, body);
    if (text.failed) {
        bool over = text.over;

        buf_free(&text);
        return over ? qd_bad(p, QD_INPUT,
                             "a collection's configuration is over %d bytes, `metadata` included",
                             NODE_SETTING_BYTES_MAX)
               : jbin_too_deep(body)
                   ? qd_bad(p, QD_INPUT, "a collection's configuration is over %d levels deep",
                            JBIN_DEPTH_MAX)
                   : qd_no_memory(p);
    }
    copy = arena_strndup(&req->arena, (const char *)text.data, text.bytes);
    *out = slice_make(copy, text.bytes);
    buf_free(&text);
    return copy != NULL || qd_no_memory(p);
}

bool qd_parse_create(struct qd_parse *p, struct request *req, struct jval body,
                     struct qd_create *out)
{
    *out = (struct qd_create){.spec.threshold = UINT32_MAX};
    if (!parse_vectors(p, req, body, out) || !check_sparse(p, body) || !check_sharding(p, body) ||
        !check_sections(p, body) || !qd_parse_tier(p, body, &out->spec.policy) ||
        !keep(p, req, body, &out->stored))
        return false;
    out->spec.setting_key = QD_SETTING;
    out->spec.setting_value = out->stored;
    return true;
}

bool qd_check_name(struct qd_parse *p, const char *member, struct slice name)
{
    static const char forbidden[] = "<>:\"/\\|?*";

    if (name.bytes == 0 || name.bytes > API_NAME_BYTES_MAX)
        return qd_bad(p, QD_VALIDATION, "%s: a name has 1 to %d bytes, this one has %zu", member,
                      API_NAME_BYTES_MAX, name.bytes);
    if (!utf8_valid((const char *)name.data, name.bytes))
        return qd_bad(p, QD_VALIDATION, "%s: a name must be valid UTF-8", member);
    for (size_t i = 0; i < name.bytes; i++) {
        unsigned char c = name.data[i];

        if (c < 0x20 || c == 0x7F || strchr(forbidden, c) != NULL)
            return qd_bad(p, QD_VALIDATION,
                          "%s: a name holds none of %s and no control characters (byte %zu)",
                          member, forbidden, i);
    }
    return true;
}

static void on_created(void *arg, status st, const struct collection_info *info,
                       const struct err *err)
{
    struct request *req = arg;
    struct slice name = req->match.params[0];

    (void)info;
    if (st == ST_EXISTS)
        qd_fail(req, 409, "Wrong input: Collection `%.*s` already exists!", (int)name.bytes,
                (const char *)name.data);
    else if (st != ST_OK)
        fail_bucket(req, st, err);
    else
        qd_send_true(req);
}

task_state handle_qd_create(struct request *req)
{
    struct qd_parse p = {0};
    struct qd_create create;
    struct qd_terms terms;
    struct jval body;

    if (!qd_terms(req, &terms) || !qd_body_optional(req, &body))
        return TASK_DONE;
    if (!qd_check_name(&p, "collection_name", req->match.params[0]) ||
        !qd_parse_create(&p, req, body, &create))
        return qd_fail_parse(req, &p);
    create.spec.name = arena_strndup(&req->arena, (const char *)req->match.params[0].data,
                                     req->match.params[0].bytes);
    if (create.spec.name == NULL) {
        (void)qd_no_memory(&p);
        return qd_fail_parse(req, &p);
    }
    create.spec.string_ids = req->api->options.qdrant_string_ids;
    node_collection_create(req->api->options.node, &create.spec, on_created, req);
    return TASK_DONE;
}
