/* qdrant_patch.c - changing a collection's configuration: what may change is merged into what is
 * stored. Sizes, distances and graphs stay as they were made; the tier moves. */
#include "api/qdrant_config.h"
#include "api/qdrant_handlers.h"

#include "base/jbin.h"
#include "base/log.h"
#include "filter/payload.h"

#include <stdio.h>

enum { TRIES_MAX = 32 };

/* One blob after the other: what is stored, with one more part of the patch in it. */
struct merge {
    struct qd_parse *p;
    struct request *req;
    struct buf now, next;
    bool unnamed; /* its vector was created without a name */
    /* By position: what graphs are to have from now on. What a vector has of its own, the
     * collection's hnsw_config and quantization_config do not change. */
    struct hnsw_patch *hnsw;
    const struct hnsw_own *own;
    bool graphs; /* something of it changes */
};

struct hnsw_own {
    bool m, ef_construct, threshold, quantization;
};

static bool too_long(struct qd_parse *p)
{
    return qd_bad(p, QD_INPUT, "a collection's configuration is over %d bytes, `metadata` included",
                  NODE_SETTING_BYTES_MAX);
}

static bool merge_blob(struct merge *m, struct slice patch, const char *at_text)
{
    const struct path *at = NULL;
    struct err err = {0};
    struct buf was;
    status st;

    if (at_text != NULL && path_parse(slice_text(at_text), &m->req->arena, &at, &err) != ST_OK)
        return qd_bad(m->p, QD_INPUT, "%s", err.text);
    buf_reset(&m->next);
    st = payload_merge(&m->next, buf_slice(&m->now), patch, at, &err);
    if (st == ST_NOSPACE)
        return too_long(m->p);
    if (st == ST_INVALID)
        return qd_bad(m->p, QD_INPUT, "%s", err.text);
    if (st != ST_OK)
        return qd_no_memory(m->p);
    was = m->now;
    m->now = m->next;
    m->next = was;
    return true;
}

/* The members of an object that are not null, as a blob. */
static void put_members(struct buf *blob, struct jval object, const char *only)
{
    size_t opened;

    jbin_put_version(blob);
    opened = jbin_open(blob, true);
    for (struct jiter it = jval_iter(object); jiter_next(&it);) {
        struct buf one;

        if (jval_type(it.value) == J_NULL ||
            (only != NULL && !slice_equal(it.key, slice_text(only))))
            continue;
        buf_init(&one, REPLY_BYTES_MAX);
        jbin_put(&one, it.value);
        if (one.failed) {
            blob->failed = true;
        } else {
            jbin_put_key(blob, it.key);
            jbin_put_raw(blob, jbin_root(buf_slice(&one)).bytes);
        }
        buf_free(&one);
    }
    jbin_close(blob, opened);
}

static bool merge_members(struct merge *m, struct jval object, const char *only, const char *at)
{
    struct buf blob;
    bool done;

    buf_init(&blob, REPLY_BYTES_MAX);
    put_members(&blob, object, only);
    if (!blob.failed)
        done = merge_blob(m, buf_slice(&blob), at);
    else if (jbin_too_deep(object))
        done = qd_bad(m->p, QD_INPUT, "a collection's configuration is over %d levels deep",
                      JBIN_DEPTH_MAX);
    else
        done = qd_no_memory(m->p);
    buf_free(&blob);
    return done;
}

static bool remove_key(struct merge *m, const char *key)
{
    const struct path *path = NULL;
    struct err err = {0};
    struct buf was;

    if (path_parse(slice_text(key), &m->req->arena, &path, &err) != ST_OK)
        return qd_no_memory(m->p);
    buf_reset(&m->next);
    payload_delete(&m->next, buf_slice(&m->now), &path, 1);
    if (m->next.failed)
        return qd_no_memory(m->p);
    was = m->now;
    m->now = m->next;
    m->next = was;
    return true;
}

static bool need_object(struct qd_parse *p, const char *key, struct jval v)
{
    return jval_type(v) == J_OBJECT ||
           qd_bad(p, QD_FORMAT, "%s: invalid type: %s, expected an object", key,
                  jtype_name(jval_type(v)));
}

static void take_hnsw(struct merge *m, size_t position, const struct field_info *asked,
                      const struct hnsw_own *own)
{
    struct hnsw_patch *to = &m->hnsw[position];

    if (asked->m != 0 && !own->m)
        to->m = asked->m;
    if (asked->ef_construction != 0 && !own->ef_construct)
        to->ef_construction = asked->ef_construction;
    if (asked->threshold != UINT32_MAX && !own->threshold)
        to->threshold = asked->threshold;
    if (asked->quantization != 0 && !own->quantization)
        to->quantization = asked->quantization;
    m->graphs = m->graphs || to->m != 0 || to->ef_construction != 0 ||
                to->threshold != UINT32_MAX || to->quantization != 0;
}

/* The collection's: before that of single vectors, whatever their order in the body. */
static bool take_common_hnsw(struct merge *m, struct jval body)
{
    struct field_info asked = {.threshold = UINT32_MAX};

    if (!qd_parse_hnsw(m->p, body, &asked) || !qd_parse_quantization(m->p, body, &asked))
        return false;
    for (size_t i = 0; i < node_field_count(m->req->collection); i++)
        take_hnsw(m, i, &asked, &m->own[i]);
    return true;
}

/* Which of them vectors were given of their own. */
static bool note_own(struct merge *m, struct jval stored)
{
    size_t count = node_field_count(m->req->collection);
    struct hnsw_own *own = arena_array(&m->req->arena, count + 1, sizeof *own);
    struct jval vectors, v, hnsw, given;

    m->hnsw = arena_array(&m->req->arena, NODE_FIELDS_MAX, sizeof *m->hnsw);
    if (own == NULL || m->hnsw == NULL)
        return false;
    for (size_t i = 0; i < NODE_FIELDS_MAX; i++)
        m->hnsw[i] = (struct hnsw_patch){.threshold = UINT32_MAX};
    m->own = own;
    for (size_t i = 0; i < count; i++) {
        own[i] = (struct hnsw_own){0};
        if (!qd_member(stored, "vectors", &vectors))
            continue;
        v = vectors;
        if (!m->unnamed && !qd_member(vectors, node_field(m->req->collection, i)->name, &v))
            continue;
        own[i].quantization = qd_member(v, "quantization_config", &given);
        if (!qd_member(v, "hnsw_config", &hnsw))
            continue;
        own[i].m = qd_member(hnsw, "m", &given);
        own[i].ef_construct = qd_member(hnsw, "ef_construct", &given);
        own[i].threshold = qd_member(hnsw, "full_scan_threshold", &given);
    }
    return true;
}

static bool merge_vector(struct merge *m, struct slice name, struct jval v)
{
    struct field_info asked = {.threshold = UINT32_MAX};
    struct jval fixed;
    size_t position;
    char at[API_NAME_BYTES_MAX + 16];

    if (!need_object(m->p, "vectors", v) || !qd_parse_hnsw(m->p, v, &asked) ||
        !qd_parse_quantization(m->p, v, &asked) || !qd_field(m->p, m->req, name, &position))
        return false;
    take_hnsw(m, position, &asked, &(struct hnsw_own){0});
    if (qd_member(v, "size", &fixed) || qd_member(v, "distance", &fixed) ||
        qd_member(v, "multivector_config", &fixed) || qd_member(v, "datatype", &fixed))
        return qd_bad(m->p, QD_INPUT,
                      "size, distance, datatype and multivector_config of a vector never change");
    if (name.bytes > 0 && memchr(name.data, '"', name.bytes) != NULL)
        return qd_bad(m->p, QD_INPUT,
                      "the configuration of a vector whose name holds a quote "
                      "cannot change");
    (void)snprintf(at, sizeof at, m->unnamed ? "vectors" : "vectors.\"%.*s\"", (int)name.bytes,
                   (const char *)name.data);
    return merge_members(m, v, NULL, at);
}

static bool merge_vectors(struct merge *m, struct jval patch)
{
    for (struct jiter it = jval_iter(patch); jiter_next(&it);)
        if (jval_type(it.value) != J_NULL && !merge_vector(m, it.key, it.value))
            return false;
    return true;
}

static bool merge_metadata(struct merge *m, struct jval v)
{
    if (!need_object(m->p, "metadata", v))
        return false;
    return jval_count(v) == 0 ? remove_key(m, "metadata") : merge_members(m, v, NULL, "metadata");
}

static bool merge_quantization(struct merge *m, struct jval body, struct jval v)
{
    if (jval_type(v) == J_STRING && slice_equal(jval_string(v), slice_text("Disabled")))
        return remove_key(m, "quantization_config");
    return need_object(m->p, "quantization_config", v) &&
           merge_members(m, body, "quantization_config", NULL);
}

static bool merge_sparse(struct merge *m, struct jval v)
{
    return need_object(m->p, "sparse_vectors", v) &&
           (jval_count(v) == 0 ||
            qd_bad(m->p, QD_INPUT, "sparse_vectors are not supported by this version"));
}

static const char *const SCALARS[] = {"replication_factor", "write_consistency_factor",
                                      "read_fan_out_factor", "on_disk_payload"};

static bool is_scalar(struct slice key, const char **out)
{
    for (size_t i = 0; i < COUNT_OF(SCALARS); i++) {
        *out = SCALARS[i];
        if (slice_equal(key, slice_text(SCALARS[i])))
            return true;
    }
    return false;
}

static bool never_changes(struct merge *m, struct slice key)
{
    return qd_bad(m->p, QD_INPUT, "`%.*s` of a collection cannot be changed",
                  (int)(key.bytes < 64 ? key.bytes : 64), (const char *)key.data);
}

static bool merge_params(struct merge *m, struct jval params)
{
    const char *name;

    if (!need_object(m->p, "params", params))
        return false;
    for (struct jiter it = jval_iter(params); jiter_next(&it);) {
        if (jval_type(it.value) == J_NULL)
            continue;
        if (!is_scalar(it.key, &name))
            return never_changes(m, it.key);
        if (!merge_members(m, params, name, NULL))
            return false;
    }
    return true;
}

static bool merge_section(struct merge *m, const char *name, struct jval v)
{
    return need_object(m->p, name, v) && merge_members(m, v, NULL, name);
}

static bool merge_member(struct merge *m, struct jval body, const struct jiter *it)
{
    static const char *const sections[] = {"hnsw_config", "optimizers_config",
                                           "strict_mode_config"};
    const char *name;

    for (size_t i = 0; i < COUNT_OF(sections); i++)
        if (slice_equal(it->key, slice_text(sections[i])))
            return merge_section(m, sections[i], it->value);
    if (is_scalar(it->key, &name))
        return merge_members(m, body, name, NULL);
    if (slice_equal(it->key, slice_text("params")))
        return merge_params(m, it->value);
    if (slice_equal(it->key, slice_text("vectors")))
        return need_object(m->p, "vectors", it->value) && merge_vectors(m, it->value);
    if (slice_equal(it->key, slice_text("metadata")))
        return merge_metadata(m, it->value);
    if (slice_equal(it->key, slice_text("quantization_config")))
        return merge_quantization(m, body, it->value);
    if (slice_equal(it->key, slice_text("sparse_vectors")))
        return merge_sparse(m, it->value);
    return never_changes(m, it->key);
}

static bool merge_body(struct merge *m, struct jval body, struct slice *out)
{
    struct buf text;
    char *copy;

    for (struct jiter it = jval_iter(body); jiter_next(&it);)
        if (jval_type(it.value) != J_NULL && !merge_member(m, body, &it))
            return false;
    buf_init(&text, NODE_SETTING_BYTES_MAX);
    jbin_print(&text, buf_slice(&m->now));
    if (text.failed) {
        bool over = text.over;

        buf_free(&text);
        return over ? too_long(m->p) : qd_no_memory(m->p);
    }
    copy = arena_strndup(&m->req->arena, (const char *)text.data, text.bytes);
    *out = slice_make(copy, text.bytes);
    buf_free(&text);
    return copy != NULL || qd_no_memory(m->p);
}

/* --- the request --- */

static task_state run_again(struct task *task);

/* What it was merged into has changed meanwhile: merged anew, on a worker. */
static bool may_try_again(struct request *req)
{
    unsigned *tries = req->state;

    return (*tries)++ < TRIES_MAX && clock_mono_ns(req->api->options.clock) < req->deadline_ns;
}

static void on_patched(void *arg, status st, const struct collection_info *info,
                       const struct err *err)
{
    struct request *req = arg;

    (void)info;
    if (st == ST_CONFLICT && may_try_again(req)) {
        req->task.run = run_again;
        exec_resubmit(req->api->options.exec, &req->task);
    } else if (st != ST_OK) {
        fail_bucket(req, st, err);
    } else {
        qd_send_true(req);
    }
}

/* Of what is stored, which dies when the body is parsed: a blob, and the shape of its vectors. */
static bool begin_merge(struct merge *m, struct slice *was)
{
    struct jval stored;

    if (!qd_stored_text(m->req, &stored, was))
        return false;
    m->unnamed = qd_is_unnamed(m->req->collection, stored);
    jbin_put(&m->now, stored);
    if (!m->now.failed && note_own(m, stored))
        return true;
    (void)qd_no_memory(m->p);
    (void)qd_fail_parse(m->req, m->p);
    return false;
}

static void patch(struct request *req, struct merge *m)
{
    struct collection_patch patch = {.setting_key = QD_SETTING, .setting_merged = true};
    struct jval body;

    if (!begin_merge(m, &patch.setting_was) || !qd_body(req, &body))
        return;
    if (!take_common_hnsw(m, body) || !qd_parse_tier(m->p, body, &patch.policy) ||
        !merge_body(m, body, &patch.setting_value)) {
        (void)qd_fail_parse(req, m->p);
        return;
    }
    patch.hnsw = m->graphs ? m->hnsw : NULL;
    node_collection_patch(req->api->options.node, req->collection, &patch, on_patched, req);
}

static void patch_once(struct request *req)
{
    struct qd_parse p = {0};
    struct merge m = {.p = &p, .req = req};

    buf_init(&m.now, 4 * NODE_SETTING_BYTES_MAX);
    buf_init(&m.next, 4 * NODE_SETTING_BYTES_MAX);
    patch(req, &m);
    buf_free(&m.now);
    buf_free(&m.next);
}

static task_state run_again(struct task *task)
{
    struct request *req = (struct request *)task;

    log_context_set(req->id, collection_id_text(req->collection));
    patch_once(req);
    log_context_set(NULL, NULL);
    return TASK_DONE;
}

task_state handle_qd_patch(struct request *req)
{
    struct qd_terms terms;

    if (!qd_terms(req, &terms) || !qd_collection(req))
        return TASK_DONE;
    req->state = arena_zero(&req->arena, sizeof(unsigned));
    if (req->state == NULL)
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for this request");
    else
        patch_once(req);
    return TASK_DONE;
}
