/* handlers_collections.c - making, listing, changing and dropping collections. */
#include "api/handlers.h"

#include "index/vindex.h"

static const char *const NO_PARAMETERS[] = {NULL};

/* --- printing --- */

static void print_summary(struct buf *out, const struct collection_info *info)
{
    print_text(out, true, "collection_id", info->id);
    print_text(out, false, "name", info->name);
    print_u64(out, false, "dimension", info->dimension);
    print_text(out, false, "metric", info->metric);
}

static void print_hnsw(struct buf *out, const struct collection_info *info)
{
    print_key(out, false, "hnsw");
    buf_put_text(out, "{");
    print_u64(out, true, "m", info->m);
    print_u64(out, false, "ef_construction", info->ef_construction);
    print_u64(out, false, "ef_search", info->ef_search);
    print_u64(out, false, "threshold", info->threshold);
    buf_put_text(out, "}");
}

/* Of graphs that are made anew with what `hnsw` says now; the old ones serve meanwhile. */
static void print_rebuild(struct buf *out, const struct rebuild_info *info)
{
    if (info->state == NULL) {
        buf_put_text(out, ",\"rebuild\":null");
        return;
    }
    buf_put_text(out, ",\"rebuild\":{");
    print_text(out, true, "state", info->state);
    print_u64(out, false, "m", info->m);
    print_u64(out, false, "ef_construction", info->ef_construction);
    print_text(out, false, "quantization", info->quantization);
    print_u64(out, false, "linked", info->linked);
    print_u64(out, false, "rows", info->rows);
    print_time(out, false, "started_at", info->started_ns);
    buf_put_text(out, "}");
}

void print_bucket_state(struct buf *out, const struct collection_info *info)
{
    if (!info->has_bucket) {
        buf_put_text(out, ",\"bucket\":null");
        return;
    }
    buf_put_text(out, ",\"bucket\":{");
    print_text(out, true, "phase", info->phase);
    print_text(out, false, "owner", info->owner[0] == '\0' ? NULL : info->owner);
    print_u64(out, false, "epoch", info->epoch);
    print_u64(out, false, "shipped_lsn", info->shipped_lsn);
    print_u64(out, false, "remote_lsn", info->remote_lsn);
    print_u64(out, false, "unshipped_bytes", info->unshipped_bytes);
    print_u64(out, false, "unshipped_records", info->unshipped_records);
    print_u64(out, false, "lag_ms", info->lag_ms);
    print_u64(out, false, "published_lsn", info->published_lsn);
    print_time(out, false, "published_at", info->published_at_ns);
    print_u64(out, false, "segments", info->segments);
    print_u64(out, false, "bytes", info->bucket_bytes);
    print_u64(out, false, "dlq", info->dlq);
    print_text(out, false, "trouble", info->trouble[0] == '\0' ? NULL : info->trouble);
    buf_put_text(out, "}");
}

static void print_collection(struct request *req, const struct collection_info *info)
{
    struct buf *out = reply_begin(req);

    buf_put_text(out, "{\"collection\":{");
    print_summary(out, info);
    print_u64(out, false, "document_count", info->document_count);
    print_text(out, false, "tiering_policy", info->policy);
    print_text(out, false, "durability", info->durability);
    print_bool(out, "string_ids", node_string_ids(req->collection));
    print_time(out, false, "created_at", info->created_at_ns);
    print_text(out, false, "state", info->state);
    if (info->reason[0] != '\0')
        print_text(out, false, "reason", info->reason);
    print_hnsw(out, info);
    print_text(out, false, "quantization", info->quantization);
    print_vectors_spec(out, req->collection);
    print_u64(out, false, "last_lsn", info->last_lsn);
    print_u64(out, false, "durable_lsn", info->durable_lsn);
    if (info->has_bucket)
        print_u64(out, false, "shipped_lsn", info->shipped_lsn);
    else
        print_text(out, false, "shipped_lsn", NULL); /* nothing is shipped */
    print_u64(out, false, "snapshot_lsn", info->snapshot_lsn);
    print_u64(out, false, "segments", info->segments);
    print_u64(out, false, "pending_rows", info->pending_rows);
    print_u64(out, false, "linked_rows", info->linked_rows);
    print_u64(out, false, "dead_rows", info->dead_rows);
    print_u64(out, false, "memory_bytes", info->memory_bytes);
    buf_put_text(out, ",\"index_bytes\":{");
    print_u64(out, true, "vectors", info->vectors_bytes);
    print_u64(out, false, "codes", info->codes_bytes);
    print_u64(out, false, "links", info->links_bytes);
    buf_put_text(out, "}");
    print_u64(out, false, "wal_bytes", info->wal_bytes);
    print_u64(out, false, "checkpoint_bytes", info->checkpoint_bytes);
    print_u64(out, false, "bucket_bytes", info->bucket_bytes);
    print_time(out, false, "last_checkpoint_at", info->last_checkpoint_ns);
    print_rebuild(out, &info->rebuild);
    print_bool(out, "switching", info->switching);
    print_bucket_state(out, info);
    buf_put_text(out, "}}\n");
}

/* --- creating --- */

bool parse_graph(struct parse *p, struct jval v, struct collection_spec *spec)
{
    static const struct member members[] = {
        {"m", false}, {"ef_construction", false}, {"ef_search", false}, {"threshold", false}};
    uint64_t n = 0;

    if (jval_type(v) != J_OBJECT)
        return parse_fail(p, PROBLEM_INVALID, "`hnsw` is of type %s, an object is needed",
                          jtype_name(jval_type(v)));
    for (struct jiter it = jval_iter(v); jiter_next(&it);) {
        switch (parse_member(p, members, COUNT_OF(members), &it)) {
        case -1:
            return false;
        case 0:
            if (!parse_uint(p, "hnsw.m", it.value, VINDEX_M_MIN, VINDEX_M_MAX, &n))
                return false;
            spec->m = (uint16_t)n;
            break;
        case 1:
            if (!parse_uint(p, "hnsw.ef_construction", it.value, 1, VINDEX_EF_MAX, &n))
                return false;
            spec->ef_construction = (uint16_t)n;
            break;
        case 2:
            if (!parse_uint(p, "hnsw.ef_search", it.value, 1, VINDEX_EF_MAX, &n))
                return false;
            spec->ef_search = (uint16_t)n;
            break;
        case 3:
            if (!parse_uint(p, "hnsw.threshold", it.value, 0, UINT32_MAX - 1, &n))
                return false;
            spec->threshold = (uint32_t)n;
            break;
        default: /* null */
            break;
        }
    }
    return true;
}

bool parse_metric(struct parse *p, struct jval v, struct collection_spec *spec)
{
    struct slice text;
    char name[16];
    enum vmetric metric;

    if (!parse_text(p, "metric", v, API_NAME_BYTES_MAX, &text))
        return false;
    if (text.bytes < sizeof name) {
        memcpy(name, text.data, text.bytes);
        name[text.bytes] = '\0';
        if (vmetric_parse(name, &metric)) {
            spec->metric = (int)metric;
            return true;
        }
    }
    return parse_fail(p, PROBLEM_INVALID, "`metric` is `%.*s`, it must be cosine, dot, l2 or l1",
                      (int)text.bytes, (const char *)text.data);
}

/* A copy that ends in NUL; "" for what is longer than any choice. */
enum { CHOICE_BYTES = 16 };
static void take_choice(struct slice text, char out[CHOICE_BYTES])
{
    size_t bytes = text.bytes < CHOICE_BYTES ? text.bytes : 0;

    memcpy(out, text.data, bytes);
    out[bytes] = '\0';
}

bool parse_policy(struct parse *p, struct jval v, enum node_policy *out)
{
    enum node_policy policy = NODE_MEMORY;
    char choice[CHOICE_BYTES];
    struct slice text;

    if (!parse_text(p, "tiering_policy", v, API_NAME_BYTES_MAX, &text))
        return false;
    take_choice(text, choice);
    if (!node_policy_parse(choice, &policy))
        return parse_fail(p, PROBLEM_INVALID,
                          "`tiering_policy` is `%.*s`, it must be \"Memory\", \"MemoryS3\" or "
                          "\"S3Only\"",
                          (int)text.bytes, (const char *)text.data);
    *out = policy;
    return true;
}

static bool parse_durability(struct parse *p, struct jval v, enum node_durability *out)
{
    char choice[CHOICE_BYTES];
    struct slice text;

    if (!parse_text(p, "durability", v, API_NAME_BYTES_MAX, &text))
        return false;
    take_choice(text, choice);
    return node_durability_parse(choice, out) ||
           parse_fail(p, PROBLEM_INVALID,
                      "`durability` is `%.*s`, it must be \"local\" or \"remote\"", (int)text.bytes,
                      (const char *)text.data);
}

static bool parse_spec_member(struct request *req, struct parse *p, int which, struct jval v,
                              struct collection_spec *spec)
{
    uint64_t n = 0;

    switch (which) {
    case 0:
        return parse_name(&req->arena, p, "name", v, &spec->name);
    case 1:
        if (!parse_uint(p, "dimension", v, 1, VINDEX_DIM_MAX, &n))
            return false;
        spec->dimension = (uint32_t)n;
        return true;
    case 2:
        return parse_metric(p, v, spec);
    case 3:
        return parse_policy(p, v, &spec->policy);
    case 4:
        return parse_graph(p, v, spec);
    case 5:
        return parse_durability(p, v, &spec->durability);
    case 6:
        return parse_bool(p, "string_ids", v, &spec->string_ids);
    case 8:
        return parse_quantization(p, v, &spec->quantization);
    default: /* null counts as absent */
        return which >= 0;
    }
}

enum { SPEC_VECTORS = 7 };

static bool parse_spec(struct request *req, struct parse *p, struct jval root,
                       struct collection_spec *spec)
{
    static const struct member members[] = {
        {"name", false},           {"dimension", false}, {"metric", false},
        {"tiering_policy", false}, {"hnsw", false},      {"durability", false},
        {"string_ids", false},     {"vectors", false},   {"quantization", false}};
    struct jval vectors = {0};
    bool has_vectors = false;

    for (struct jiter it = jval_iter(root); jiter_next(&it);) {
        int which = parse_member(p, members, COUNT_OF(members), &it);

        if (which < 0 || !parse_spec_member(req, p, which, it.value, spec))
            return false;
        if (which == SPEC_VECTORS) {
            vectors = it.value;
            has_vectors = true;
        }
    }
    if (spec->name == NULL)
        return parse_fail(p, PROBLEM_INVALID, "`name` is missing");
    if (has_vectors)
        return parse_vectors_spec(req, p, vectors, spec);
    if (spec->dimension == 0)
        return parse_fail(p, PROBLEM_INVALID,
                          "`dimension` is missing, or `vectors` for named ones");
    if (spec->metric == 0)
        return parse_fail(p, PROBLEM_INVALID, "`metric` is missing: cosine, dot, l2 or l1");
    return true;
}

static void on_created(void *arg, status st, const struct collection_info *info,
                       const struct err *err)
{
    struct request *req = arg;
    struct buf *out;

    if (st != ST_OK) {
        fail_bucket(req, st, err);
        return;
    }
    out = reply_begin(req);
    buf_put_text(out, "{");
    print_summary(out, info);
    print_text(out, false, "tiering_policy", info->policy);
    buf_put_text(out, "}\n");
    reply_send(req, 201);
}

task_state handle_create(struct request *req)
{
    struct collection_spec spec = {.threshold = UINT32_MAX};
    struct parse p = {0};
    struct jval root;

    if (!request_parameters(req, NO_PARAMETERS) || !request_is_new(req) ||
        !request_json(req, false, &root))
        return TASK_DONE;
    if (!parse_spec(req, &p, root, &spec))
        return fail_parse(req, &p);
    node_collection_create(req->api->options.node, &spec, on_created, req);
    return TASK_DONE;
}

/* --- listing and describing --- */

enum { LIST_PAGE = 32 };

static void print_page(struct buf *out, const struct collection_info *infos, size_t count,
                       bool *first)
{
    for (size_t i = 0; i < count; i++) {
        buf_put_text(out, *first ? "{" : ",{");
        *first = false;
        print_summary(out, &infos[i]);
        print_u64(out, false, "document_count", infos[i].document_count);
        print_text(out, false, "tiering_policy", infos[i].policy);
        print_time(out, false, "created_at", infos[i].created_at_ns);
        buf_put_text(out, "}");
    }
}

task_state handle_collections(struct request *req)
{
    struct collection_info *page;
    char after[sizeof page->name];
    struct buf *out;
    bool first = true;
    size_t count;

    if (!request_parameters(req, NO_PARAMETERS))
        return TASK_DONE;
    page = arena_array(&req->arena, LIST_PAGE, sizeof *page);
    if (page == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for the list of collections");
        return TASK_DONE;
    }
    out = reply_begin(req);
    buf_put_text(out, "{\"collections\":[");
    do {
        count = node_collection_list(req->api->options.node, first ? NULL : after, page, LIST_PAGE);
        print_page(out, page, count, &first);
        if (count > 0)
            memcpy(after, page[count - 1].name, sizeof after);
    } while (count == LIST_PAGE && !out->failed);
    buf_put_text(out, "]}\n");
    reply_send(req, 200);
    return TASK_DONE;
}

task_state handle_collection(struct request *req)
{
    struct collection_info info;

    if (!request_parameters(req, NO_PARAMETERS) || !request_pin_collection(req))
        return TASK_DONE;
    node_collection_info(req->collection, &info);
    print_collection(req, &info);
    reply_send(req, 200);
    return TASK_DONE;
}

/* --- changing and dropping --- */

static void on_patched(void *arg, status st, const struct collection_info *info,
                       const struct err *err)
{
    struct request *req = arg;

    if (st != ST_OK) {
        fail_bucket(req, st, err);
        return;
    }
    print_collection(req, info);
    reply_send(req, 200);
}

/* `hnsw` and `quantization`: the same for each of the vectors. */
static bool take_common(struct request *req, struct parse *p, const struct collection_spec *said,
                        struct collection_patch *patch)
{
    struct collection_spec spec = *said;
    struct hnsw_patch *hnsw = arena_array(&req->arena, NODE_FIELDS_MAX, sizeof *hnsw);

    if (hnsw == NULL)
        return parse_fail(p, PROBLEM_NO_MEMORY, "out of memory for a change");
    for (size_t i = 0; i < NODE_FIELDS_MAX; i++)
        hnsw[i] = (struct hnsw_patch){.m = spec.m,
                                      .ef_construction = spec.ef_construction,
                                      .ef_search = spec.ef_search,
                                      .threshold = spec.threshold,
                                      .quantization = spec.quantization};
    patch->hnsw = hnsw;
    return true;
}

static bool parse_patch(struct request *req, struct parse *p, struct jval root,
                        struct collection_patch *patch)
{
    static const struct member members[] = {
        {"name", false}, {"ef_search", false}, {"tiering_policy", false}, {"durability", false},
        {"hnsw", false}, {"vectors", false},   {"quantization", false}};
    struct jval vectors = {0};
    struct collection_spec said = {.threshold = UINT32_MAX};
    bool has_vectors = false, common = false;
    uint64_t n = 0;

    for (struct jiter it = jval_iter(root); jiter_next(&it);) {
        switch (parse_member(p, members, COUNT_OF(members), &it)) {
        case -1:
            return false;
        case 0:
            if (!parse_name(&req->arena, p, "name", it.value, &patch->name))
                return false;
            break;
        case 1:
            if (!parse_uint(p, "ef_search", it.value, 1, VINDEX_EF_MAX, &n))
                return false;
            patch->ef_search = (uint16_t)n;
            break;
        case 2:
            if (!parse_policy(p, it.value, &patch->policy))
                return false;
            break;
        case 3:
            if (!parse_durability(p, it.value, &patch->durability))
                return false;
            break;
        case 4:
            if (!parse_graph(p, it.value, &said))
                return false;
            common = true;
            break;
        case 5:
            vectors = it.value;
            has_vectors = true;
            break;
        case 6:
            if (!parse_quantization(p, it.value, &said.quantization))
                return false;
            common = true;
            break;
        default: /* null */
            break;
        }
    }
    if (common && !take_common(req, p, &said, patch))
        return false;
    if (has_vectors && !parse_vectors_patch(req, p, vectors, patch))
        return false;
    if (patch->name != NULL || patch->ef_search != 0 || patch->policy != 0 ||
        patch->durability != 0 || patch->hnsw != NULL)
        return true;
    return parse_fail(p, PROBLEM_INVALID,
                      "nothing to change: `name`, `ef_search`, `hnsw`, `quantization`, "
                      "`vectors`, `tiering_policy` or `durability` is needed");
}

task_state handle_patch(struct request *req)
{
    struct collection_patch patch = {0};
    struct parse p = {0};
    struct jval root;

    if (!request_parameters(req, NO_PARAMETERS) || !request_pin_collection(req) ||
        !request_json(req, false, &root))
        return TASK_DONE;
    if (!parse_patch(req, &p, root, &patch))
        return fail_parse(req, &p);
    node_collection_patch(req->api->options.node, req->collection, &patch, on_patched, req);
    return TASK_DONE;
}

static void on_dropped(void *arg, status st, const struct collection_info *info,
                       const struct err *err)
{
    struct request *req = arg;
    struct buf *out;

    (void)info;
    if (st != ST_OK) {
        fail_bucket(req, st, err);
        return;
    }
    out = reply_begin(req);
    buf_put_text(out, "{\"deleted\":true");
    print_text(out, false, "collection_id", collection_id_text(req->collection));
    buf_put_text(out, "}\n");
    reply_send(req, 200);
}

task_state handle_drop(struct request *req)
{
    if (request_parameters(req, NO_PARAMETERS) && request_no_members(req) &&
        request_pin_collection(req))
        node_collection_drop(req->api->options.node, req->collection, on_dropped, req);
    return TASK_DONE;
}
