#include "api/handlers.h"

#include "node/points.h"

/* What docs/api.md lists, in its order. Behind the routes of this version stand those of later
 * ones: they answer not_supported_yet, so that nobody takes them for a misspelt path. */
const struct route API_ROUTES[] = {
    {METHOD_GET, ROUTE_PROBE, "/health", handle_health},
    {METHOD_GET, ROUTE_LIVENESS, "/livez", handle_liveness},
    {METHOD_GET, ROUTE_LIVENESS, "/healthz", handle_liveness},
    {METHOD_GET, ROUTE_PROBE, "/ready", handle_ready},
    {METHOD_GET, ROUTE_PROBE, "/readyz", handle_readyz},
    {METHOD_GET, ROUTE_PROBE, "/metrics", handle_metrics},
    {METHOD_GET, ROUTE_PROBE, "/api/v1/status", handle_status},
    {METHOD_GET, ROUTE_PROBE, "/openapi.json", handle_openapi},

    {METHOD_POST, ROUTE_WRITE, "/api/v1/collections", handle_create},
    {METHOD_GET, ROUTE_READ, "/api/v1/collections", handle_collections},
    {METHOD_GET, ROUTE_READ, "/api/v1/collections/{id}", handle_collection},
    {METHOD_PATCH, ROUTE_WRITE, "/api/v1/collections/{id}", handle_patch},
    {METHOD_DELETE, ROUTE_WRITE, "/api/v1/collections/{id}", handle_drop},

    {METHOD_POST, ROUTE_WRITE, "/api/v1/collections/{id}/insert", handle_insert},
    {METHOD_POST, ROUTE_READ, "/api/v1/collections/{id}/query", handle_query},
    {METHOD_GET, ROUTE_READ, "/api/v1/collections/{id}/docs/{doc_id}", handle_document},
    {METHOD_DELETE, ROUTE_WRITE, "/api/v1/collections/{id}/docs/{doc_id}", handle_delete_one},
    {METHOD_POST, ROUTE_WRITE, "/api/v1/collections/{id}/delete", handle_delete_many},
    {METHOD_GET, ROUTE_READ, "/api/v1/collections/{id}/docs", handle_documents},
    {METHOD_POST, ROUTE_UPLOAD, "/api/v1/collections/{id}/import", handle_import},
    {METHOD_GET, ROUTE_READ, "/api/v1/collections/{id}/import", handle_imports},
    {METHOD_GET, ROUTE_DOWNLOAD, "/api/v1/collections/{id}/export", handle_export},

    {METHOD_GET, ROUTE_PROBE, "/admin/health", handle_admin_health},
    {METHOD_POST, ROUTE_PROBE, "/admin/readonly", handle_readonly},
    {METHOD_POST, ROUTE_PROBE, "/admin/readwrite", handle_readwrite},
    {METHOD_POST, ROUTE_PROBE, "/admin/reload", handle_reload},
    {METHOD_POST, ROUTE_WRITE, "/admin/collections/{id}/snapshot", handle_snapshot},
    {METHOD_POST, ROUTE_WRITE, "/admin/collections/{id}/compact", handle_compact},

    {METHOD_GET, ROUTE_READ, "/api/v1/collections/{id}/tier", handle_tier},
    {METHOD_POST, ROUTE_WRITE, "/api/v1/collections/{id}/tier", handle_tier_change},
    {METHOD_POST, ROUTE_READ, "/api/v1/collections/{id}/warm", handle_warm},
    {METHOD_POST, ROUTE_READ, "/api/v1/collections/{id}/unload", handle_unload},
    {METHOD_POST, ROUTE_WRITE, "/admin/collections/{id}/take-ownership", handle_take_ownership},
    {METHOD_POST, ROUTE_PROBE, "/admin/circuit-breaker/reset", handle_breaker_reset},
    {METHOD_POST, ROUTE_WRITE, "/admin/bucket/probe", handle_probe_store},
    {METHOD_POST, ROUTE_PROBE, "/admin/bucket/vacuum", handle_vacuum},
    {METHOD_GET, ROUTE_PROBE, "/admin/bucket/vacuum", handle_vacuum_shown},
    {METHOD_GET, ROUTE_READ, "/api/v1/aliases", handle_aliases},
    {METHOD_POST, ROUTE_WRITE, "/api/v1/aliases", handle_alias_set},
    {METHOD_DELETE, ROUTE_WRITE, "/api/v1/aliases", handle_alias_remove},

    {METHOD_GET, ROUTE_PROBE, "/admin/collections/{id}/dlq", handle_dlq},
    {METHOD_DELETE, ROUTE_WRITE, "/admin/collections/{id}/dlq", handle_dlq_discard},
    {METHOD_POST, ROUTE_WRITE, "/admin/collections/{id}/dlq/retry", handle_dlq_retry},
    {METHOD_POST, ROUTE_WRITE, "/admin/collections/{id}/dlq/replay", handle_dlq_replay},
    {METHOD_POST, ROUTE_WRITE, "/admin/collections/{id}/dlq/split", handle_dlq_split},
    {METHOD_GET, ROUTE_PROBE, "/admin/collections/{id}/dlq/{entry}", handle_letter},
    {METHOD_GET, ROUTE_READ, "/admin/collections/{id}/dlq/{entry}/export", handle_letter_export},

    {METHOD_POST, ROUTE_UNSUPPORTED, "/api/v1/collections/{id}/branch", NULL},
    {METHOD_GET, ROUTE_UNSUPPORTED, "/api/v1/tenants", NULL},
    {METHOD_POST, ROUTE_UNSUPPORTED, "/api/v1/tenants", NULL},
    {METHOD_DELETE, ROUTE_UNSUPPORTED, "/api/v1/tenants/{t}", NULL},
    {METHOD_GET, ROUTE_UNSUPPORTED, "/api/v1/tenants/{t}/databases", NULL},
    {METHOD_POST, ROUTE_UNSUPPORTED, "/api/v1/tenants/{t}/databases", NULL},
    {METHOD_DELETE, ROUTE_UNSUPPORTED, "/api/v1/tenants/{t}/databases/{d}", NULL},
    {METHOD_GET, ROUTE_UNSUPPORTED, "/api/v1/tenants/{t}/databases/{d}/collections", NULL},
    {METHOD_POST, ROUTE_UNSUPPORTED, "/api/v1/tenants/{t}/databases/{d}/collections", NULL},
};
const size_t API_ROUTE_COUNT = COUNT_OF(API_ROUTES);

task_state fail_parse(struct request *req, const struct parse *p)
{
    reply_problem(req, p->problem, "%s", p->text);
    return TASK_DONE;
}

bool parse_filter(struct request *req, struct parse *p, const char *member, struct jval v,
                  const struct filter **out)
{
    struct filter *f = NULL;
    struct err err = {0};
    status st = filter_parse_native(v, node_string_ids(req->collection), &req->arena, &f, &err);

    if (st == ST_OK)
        st = node_filter_bind(req->collection, f, &req->arena, &err);
    *out = f;
    if (st == ST_NOMEM)
        return parse_fail(p, PROBLEM_NO_MEMORY, "out of memory for a filter");
    return st == ST_OK || parse_fail(p, PROBLEM_INVALID, "`%s`: %s", member, err.text);
}

bool parse_name(struct arena *arena, struct parse *p, const char *member, struct jval v,
                const char **out)
{
    struct slice text;

    if (!parse_text(p, member, v, API_NAME_BYTES_MAX, &text))
        return false;
    *out = arena_strndup(arena, (const char *)text.data, text.bytes);
    return *out != NULL || parse_fail(p, PROBLEM_NO_MEMORY, "out of memory for a name");
}

void print_key(struct buf *out, bool first, const char *name)
{
    buf_put_text(out, first ? "\"" : ",\"");
    buf_put_text(out, name);
    buf_put_text(out, "\":");
}

void print_text(struct buf *out, bool first, const char *name, const char *text)
{
    print_key(out, first, name);
    if (text == NULL)
        buf_put_text(out, "null");
    else
        json_put_string(out, slice_text(text));
}

void print_bool(struct buf *out, const char *name, bool v)
{
    print_key(out, false, name);
    buf_put_text(out, v ? "true" : "false");
}

void print_u64(struct buf *out, bool first, const char *name, uint64_t v)
{
    print_key(out, first, name);
    json_put_u64(out, v);
}

void print_time(struct buf *out, bool first, const char *name, uint64_t wall_ns)
{
    char text[CLOCK_TEXT_BYTES];

    clock_format_rfc3339(wall_ns, text);
    print_text(out, first, name, wall_ns == 0 ? NULL : text);
}

void print_doc_id(struct buf *out, const struct docid *id, bool string_ids)
{
    char text[DOCID_TEXT_BYTES];
    size_t bytes;

    if (id->kind == DOCID_U64 && !string_ids) {
        json_put_u64(out, id->u64);
        return;
    }
    bytes = docid_format(id, text);
    json_put_string(out, slice_make(text, bytes));
}

void print_external_id(struct buf *out, struct slice external_id)
{
    print_key(out, false, "external_id");
    if (external_id.bytes == 0)
        buf_put_text(out, "null");
    else
        json_put_string(out, external_id);
}

void print_payload(struct buf *out, struct slice payload)
{
    print_key(out, false, "payload");
    if (payload.bytes == 0)
        buf_put_text(out, "{}");
    else
        jbin_print(out, payload);
}
