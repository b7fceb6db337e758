/* qdrant_config.c - what a collection's configuration is told back as: what is stored of it, and
 * this dialect's defaults where that says nothing. */
#include "api/qdrant_config.h"

#include <inttypes.h>
#include <stdio.h>

/* A member and what it is where the body says nothing. */
struct preset {
    const char *key, *json;
};

static const struct preset HNSW[] = {{"m", "16"},
                                     {"ef_construct", "100"},
                                     {"full_scan_threshold", "10000"},
                                     {"max_indexing_threads", "0"},
                                     {"on_disk", "false"}};
static const struct preset OPTIMIZER[] = {
    {"deleted_threshold", "0.2"},    {"vacuum_min_vector_number", "1000"},
    {"default_segment_number", "0"}, {"max_segment_size", "null"},
    {"memmap_threshold", "null"},    {"indexing_threshold", "10000"},
    {"flush_interval_sec", "5"},     {"max_optimization_threads", "null"}};
static const struct preset WAL[] = {{"wal_capacity_mb", "32"}, {"wal_segments_ahead", "0"}};
static const struct preset PARAMS[] = {{"shard_number", "1"},
                                       {"replication_factor", "1"},
                                       {"write_consistency_factor", "1"},
                                       {"on_disk_payload", "true"}};

void qd_put_json(struct buf *out, struct jval v)
{
    struct buf blob;

    buf_init(&blob, REPLY_BYTES_MAX);
    jbin_put(&blob, v);
    if (blob.failed)
        out->failed = true;
    else
        jbin_print(out, buf_slice(&blob));
    buf_free(&blob);
}

bool qd_stored(struct request *req, struct jval *root)
{
    struct slice stored;

    return qd_stored_text(req, root, &stored);
}

bool qd_stored_text(struct request *req, struct jval *root, struct slice *stored)
{
    struct slice text = {0};
    struct err err = {0};
    status st = node_setting(req->collection, QD_SETTING, &req->arena, &text, &err);

    *stored = st == ST_OK ? text : slice_make(NULL, 0);
    if (st == ST_NOT_FOUND || (st == ST_OK && text.bytes == 0)) {
        text = slice_text("{}");
        st = ST_OK;
    }
    if (st == ST_OK)
        st = request_json_text(req, text, root, &err);
    if (st == ST_OK)
        return true;
    qd_fail_status(req, st, &err);
    return false;
}

/* --- printing --- */

static bool is_preset(struct slice key, const struct preset *presets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equal(key, slice_text(presets[i].key)))
            return true;
    return false;
}

static void print_presets(struct buf *out, struct jval from, const struct preset *presets,
                          size_t count, bool first)
{
    struct jval v;

    for (size_t i = 0; i < count; i++) {
        print_key(out, first && i == 0, presets[i].key);
        if (qd_member(from, presets[i].key, &v))
            qd_put_json(out, v);
        else
            buf_put_text(out, presets[i].json);
    }
}

/* `,"name":{...}`: presets, then what else is stored there. */
static void print_section(struct buf *out, const char *name, struct jval stored, const char *key,
                          const struct preset *presets, size_t count)
{
    struct jval section = stored;
    bool there = qd_member(stored, key, &section);

    print_key(out, false, name);
    buf_put_text(out, "{");
    for (size_t i = 0; !there && i < count; i++) {
        print_key(out, i == 0, presets[i].key);
        buf_put_text(out, presets[i].json);
    }
    if (there) {
        print_presets(out, section, presets, count, true);
        for (struct jiter it = jval_iter(section); jiter_next(&it);) {
            if (jval_type(it.value) == J_NULL || is_preset(it.key, presets, count))
                continue;
            buf_put_text(out, ",");
            json_put_string(out, it.key);
            buf_put_text(out, ":");
            qd_put_json(out, it.value);
        }
    }
    buf_put_text(out, "}");
}

static const char *distance_name(int metric)
{
    static const char *const names[] = {
        [1] = "Cosine", [2] = "Dot", [3] = "Euclid", [4] = "Manhattan"};

    return metric >= 1 && metric <= 4 ? names[metric] : "Cosine";
}

/* {"size":4,"distance":"Dot"} and of what else was asked for what has a meaning. */
static void print_field(struct buf *out, const struct field_info *field, bool has_stored,
                        struct jval stored)
{
    static const char *const more[] = {"hnsw_config", "quantization_config", "on_disk", "memory",
                                       "datatype"};
    struct jval v;

    buf_put_text(out, "{");
    print_u64(out, true, "size", field->dimension);
    print_text(out, false, "distance", distance_name(field->metric));
    for (size_t i = 0; has_stored && i < COUNT_OF(more); i++) {
        if (!qd_member(stored, more[i], &v))
            continue;
        print_key(out, false, more[i]);
        qd_put_json(out, v);
    }
    buf_put_text(out, "}");
}

bool qd_is_unnamed(const struct collection *c, struct jval stored)
{
    struct jval vectors;
    struct jval v;

    return node_field_count(c) == 1 && node_field(c, 0)->name[0] == '\0' &&
           (!qd_member(stored, "vectors", &vectors) || !qd_member(vectors, "", &v));
}

static void print_vectors(struct buf *out, const struct collection *c, struct jval stored)
{
    size_t count = node_field_count(c);
    struct jval vectors = stored;
    struct jval v = stored;
    bool has = qd_member(stored, "vectors", &vectors);

    print_key(out, true, "vectors");
    if (qd_is_unnamed(c, stored)) {
        print_field(out, node_field(c, 0), has, vectors);
        return;
    }
    buf_put_text(out, "{");
    for (size_t i = 0; i < count; i++) {
        const struct field_info *field = node_field(c, i);
        bool known = has && qd_member(vectors, field->name, &v);

        if (i > 0)
            buf_put_text(out, ",");
        json_put_string(out, slice_text(field->name));
        buf_put_text(out, ":");
        print_field(out, field, known, v);
    }
    buf_put_text(out, "}");
}

/* What is there only where it was given. */
static void print_as_stored(struct buf *out, struct jval stored, const char *const *names,
                            size_t count)
{
    struct jval v;

    for (size_t i = 0; i < count; i++) {
        if (!qd_member(stored, names[i], &v))
            continue;
        print_key(out, false, names[i]);
        qd_put_json(out, v);
    }
}

enum { HNSW_MADE = 3, NUMBER_BYTES = 24 };

/* Where nothing was said of the graph in this dialect, what our own made or changed it with: the
 * first vector's. */
static void presets_of(const struct collection *c, struct jval stored,
                       struct preset out[COUNT_OF(HNSW)], char text[HNSW_MADE][NUMBER_BYTES])
{
    struct field_info f;
    struct jval v;

    memcpy(out, HNSW, sizeof HNSW);
    if (node_field_count(c) == 0 || qd_member(stored, "hnsw_config", &v))
        return;
    node_field_now(c, 0, &f);
    if (qd_member(stored, "vectors", &v) &&
        (qd_is_unnamed(c, stored) || qd_member(v, f.name, &v)) && qd_member(v, "hnsw_config", &v))
        return;
    (void)snprintf(text[0], NUMBER_BYTES, "%u", (unsigned)f.m);
    (void)snprintf(text[1], NUMBER_BYTES, "%u", (unsigned)f.ef_construction);
    (void)snprintf(text[2], NUMBER_BYTES, "%" PRIu32, f.threshold);
    for (size_t i = 0; i < HNSW_MADE; i++)
        out[i].json = text[i];
}

void qd_print_config(struct buf *out, const struct collection *c, struct jval stored)
{
    static const char *const params_as_stored[] = {"sharding_method", "read_fan_out_factor"};
    static const char *const as_stored[] = {"strict_mode_config", "metadata"};
    struct preset hnsw[COUNT_OF(HNSW)];
    char text[HNSW_MADE][NUMBER_BYTES];
    struct jval v;

    presets_of(c, stored, hnsw, text);
    buf_put_text(out, "\"config\":{\"params\":{");
    print_vectors(out, c, stored);
    print_presets(out, stored, PARAMS, COUNT_OF(PARAMS), false);
    print_as_stored(out, stored, params_as_stored, COUNT_OF(params_as_stored));
    buf_put_text(out, "}");
    print_section(out, "hnsw_config", stored, "hnsw_config", hnsw, COUNT_OF(hnsw));
    print_section(out, "optimizer_config", stored, "optimizers_config", OPTIMIZER,
                  COUNT_OF(OPTIMIZER));
    print_section(out, "wal_config", stored, "wal_config", WAL, COUNT_OF(WAL));
    print_key(out, false, "quantization_config");
    if (qd_member(stored, "quantization_config", &v))
        qd_put_json(out, v);
    else
        buf_put_text(out, "null");
    print_as_stored(out, stored, as_stored, COUNT_OF(as_stored));
    buf_put_text(out, "}");
}

/* --- the body it would be made anew with --- */

static const struct field_info *asked_of(const struct qd_create *create, const char *name)
{
    for (size_t i = 0; i < create->spec.field_count; i++)
        if (strcmp(create->fields[i].name, name) == 0)
            return &create->fields[i];
    return NULL;
}

static bool is_asked(const struct field_info *asked, const struct field_info *now)
{
    return asked != NULL && asked->m == now->m && asked->ef_construction == now->ef_construction &&
           asked->threshold == now->threshold;
}

/* As stored, with the graph it has now where that says otherwise. */
static void print_create_field(struct buf *out, const struct field_info *now, bool asked,
                               bool has_stored, struct jval stored)
{
    static const char *const ours[] = {"size", "distance"};

    buf_put_text(out, "{");
    print_u64(out, true, "size", now->dimension);
    print_text(out, false, "distance", distance_name(now->metric));
    if (!asked)
        buf_printf(out,
                   ",\"hnsw_config\":{\"m\":%u,\"ef_construct\":%u,\"full_scan_threshold\":%" PRIu32
                   "}",
                   (unsigned)now->m, (unsigned)now->ef_construction, now->threshold);
    for (struct jiter it = jval_iter(stored); has_stored && jiter_next(&it);) {
        if (jval_type(it.value) == J_NULL || slice_equal(it.key, slice_text(ours[0])) ||
            slice_equal(it.key, slice_text(ours[1])) ||
            (!asked && slice_equal(it.key, slice_text("hnsw_config"))))
            continue;
        buf_put_text(out, ",");
        json_put_string(out, it.key);
        buf_put_text(out, ":");
        qd_put_json(out, it.value);
    }
    buf_put_text(out, "}");
}

static void print_create_vectors(struct buf *out, const struct collection *c, struct jval stored,
                                 const struct qd_create *create)
{
    struct jval vectors = stored;
    struct jval v = stored;
    bool has = qd_member(stored, "vectors", &vectors);
    bool unnamed = qd_is_unnamed(c, stored);

    print_key(out, true, "vectors");
    buf_put_text(out, unnamed ? "" : "{");
    for (size_t i = 0; i < node_field_count(c); i++) {
        struct field_info now;
        bool known;

        node_field_now(c, i, &now);
        known = has && (unnamed || qd_member(vectors, now.name, &v));
        if (!unnamed) {
            buf_put_text(out, i == 0 ? "" : ",");
            json_put_string(out, slice_text(now.name));
            buf_put_text(out, ":");
        }
        print_create_field(out, &now, is_asked(asked_of(create, now.name), &now), known,
                           unnamed ? vectors : v);
    }
    buf_put_text(out, unnamed ? "" : "}");
}

bool qd_print_create(struct buf *out, struct request *req, struct jval stored)
{
    struct qd_create create;
    struct qd_parse p = {0};
    bool first = true;
    struct jval v;

    if (!qd_parse_create(&p, req, stored, &create)) {
        if (p.problem == QD_TOO_MUCH)
            return false;
        create.spec.field_count = 0;
    }
    buf_put_text(out, "{");
    if (qd_member(stored, "vectors", &v) || node_field_count(req->collection) > 0) {
        print_create_vectors(out, req->collection, stored, &create);
        first = false;
    }
    for (struct jiter it = jval_iter(stored); jiter_next(&it);) {
        if (jval_type(it.value) == J_NULL || slice_equal(it.key, slice_text("vectors")))
            continue;
        buf_put_text(out, first ? "" : ",");
        first = false;
        json_put_string(out, it.key);
        buf_put_text(out, ":");
        qd_put_json(out, it.value);
    }
    buf_put_text(out, "}");
    return true;
}
