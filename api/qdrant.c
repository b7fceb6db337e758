/* qdrant.c - the routes of the compatible dialect, its envelopes and its errors. */
#include "api/qdrant_handlers.h"

#include "api/qdrant_door.h"
#include "base/log.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>

#define C "/collections/{collection}"

const struct route QDRANT_ROUTES[] = {
    {METHOD_GET, ROUTE_LIVENESS, "/", handle_qd_root},
    {METHOD_GET, ROUTE_PROBE, "/telemetry", handle_qd_telemetry},
    {METHOD_GET, ROUTE_PROBE, "/cluster", handle_qd_cluster},

    {METHOD_GET, ROUTE_READ, "/collections", handle_qd_collections},
    {METHOD_GET, ROUTE_READ, C "/exists", handle_qd_exists},
    {METHOD_PUT, ROUTE_WRITE, C, handle_qd_create},
    {METHOD_GET, ROUTE_READ, C, handle_qd_info},
    {METHOD_PATCH, ROUTE_WRITE, C, handle_qd_patch},
    {METHOD_DELETE, ROUTE_WRITE, C, handle_qd_drop},
    {METHOD_POST, ROUTE_WRITE, "/collections/aliases", handle_qd_alias_change},
    {METHOD_GET, ROUTE_READ, "/aliases", handle_qd_aliases},
    {METHOD_GET, ROUTE_READ, C "/aliases", handle_qd_collection_aliases},
    {METHOD_PUT, ROUTE_WRITE, C "/index", handle_qd_index_create},
    {METHOD_DELETE, ROUTE_WRITE, C "/index/{field}", handle_qd_index_drop},

    {METHOD_PUT, ROUTE_WRITE, C "/points", handle_qd_upsert},
    {METHOD_POST, ROUTE_READ, C "/points", handle_qd_retrieve},
    {METHOD_GET, ROUTE_READ, C "/points/{id}", handle_qd_point},
    {METHOD_POST, ROUTE_WRITE, C "/points/delete", handle_qd_delete},
    {METHOD_POST, ROUTE_WRITE, C "/points/payload", handle_qd_set_payload},
    {METHOD_PUT, ROUTE_WRITE, C "/points/payload", handle_qd_overwrite_payload},
    {METHOD_POST, ROUTE_WRITE, C "/points/payload/delete", handle_qd_delete_payload},
    {METHOD_POST, ROUTE_WRITE, C "/points/payload/clear", handle_qd_clear_payload},
    {METHOD_POST, ROUTE_READ, C "/points/scroll", handle_qd_scroll},
    {METHOD_POST, ROUTE_READ, C "/points/count", handle_qd_count},
    {METHOD_POST, ROUTE_WRITE, C "/points/batch", handle_qd_batch},
    {METHOD_PUT, ROUTE_WRITE, C "/points/vectors", handle_qd_update_vectors},
    {METHOD_POST, ROUTE_WRITE, C "/points/vectors/delete", handle_qd_delete_vectors},
    {METHOD_POST, ROUTE_READ, C "/facet", handle_qd_facet},

    {METHOD_POST, ROUTE_READ, C "/points/query", handle_qd_query},
    {METHOD_POST, ROUTE_READ, C "/points/query/batch", handle_qd_query_batch},
    {METHOD_POST, ROUTE_READ, C "/points/query/groups", handle_qd_query_groups},
    {METHOD_POST, ROUTE_READ, C "/points/search", handle_qd_search},
    {METHOD_POST, ROUTE_READ, C "/points/search/batch", handle_qd_search_batch},
    {METHOD_POST, ROUTE_READ, C "/points/search/matrix/pairs", handle_qd_matrix_pairs},
    {METHOD_POST, ROUTE_READ, C "/points/search/matrix/offsets", handle_qd_matrix_offsets},

    {METHOD_GET, ROUTE_READ, C "/snapshots", handle_qd_snapshots},
    {METHOD_POST, ROUTE_WRITE, C "/snapshots", handle_qd_snapshot_create},
    {METHOD_GET, ROUTE_READ, C "/snapshots/{name}", handle_qd_snapshot},
    {METHOD_DELETE, ROUTE_WRITE, C "/snapshots/{name}", handle_qd_snapshot_drop},
    {METHOD_PUT, ROUTE_UPLOAD, C "/snapshots/recover", handle_qd_recover},
    {METHOD_POST, ROUTE_UPLOAD, C "/snapshots/upload", handle_qd_recover_upload},

    {METHOD_GET, ROUTE_UNSUPPORTED, C "/cluster", NULL},
    {METHOD_POST, ROUTE_UNSUPPORTED, C "/cluster", NULL},
    {METHOD_GET, ROUTE_UNSUPPORTED, C "/shards", NULL},
    {METHOD_PUT, ROUTE_UNSUPPORTED, C "/shards", NULL},
    {METHOD_POST, ROUTE_UNSUPPORTED, C "/shards/delete", NULL},
    {METHOD_PUT, ROUTE_UNSUPPORTED, C "/vectors/{name}", NULL},
    {METHOD_DELETE, ROUTE_UNSUPPORTED, C "/vectors/{name}", NULL},
    {METHOD_GET, ROUTE_UNSUPPORTED, C "/optimizations", NULL},
    {METHOD_GET, ROUTE_UNSUPPORTED, "/issues", NULL},
    {METHOD_DELETE, ROUTE_UNSUPPORTED, "/issues", NULL},
    {METHOD_GET, ROUTE_UNSUPPORTED, "/quotas", NULL},
    {METHOD_POST, ROUTE_UNSUPPORTED, C "/points/search/groups", NULL},
    {METHOD_POST, ROUTE_UNSUPPORTED, C "/points/recommend", NULL},
    {METHOD_POST, ROUTE_UNSUPPORTED, C "/points/recommend/batch", NULL},
    {METHOD_POST, ROUTE_UNSUPPORTED, C "/points/recommend/groups", NULL},
    {METHOD_POST, ROUTE_UNSUPPORTED, C "/points/discover", NULL},
    {METHOD_POST, ROUTE_UNSUPPORTED, C "/points/discover/batch", NULL},
};
const size_t QDRANT_ROUTE_COUNT = COUNT_OF(QDRANT_ROUTES);

#undef C

/* The dialect has no prefix of its own: what begins with one of these is its. */
bool qd_owns(struct slice path)
{
    static const char *const roots[] = {"",        "collections", "aliases", "telemetry",
                                        "cluster", "issues",      "quotas",  "snapshots"};
    const uint8_t *slash;
    struct slice first;

    if (path.bytes == 0)
        return false;
    first = slice_make(path.data + 1, path.bytes - 1);
    slash = first.bytes == 0 ? NULL : memchr(first.data, '/', first.bytes);
    if (slash != NULL)
        first.bytes = (size_t)(slash - first.data);
    for (size_t i = 0; i < COUNT_OF(roots); i++)
        if (slice_equal(first, slice_text(roots[i])))
            return true;
    return false;
}

/* --- envelopes --- */

struct buf *qd_begin(struct request *req)
{
    struct buf *out = reply_begin(req);

    buf_put_text(out, "{\"usage\":null,\"result\":");
    return out;
}

void qd_send(struct request *req)
{
    uint64_t us = (clock_mono_ns(req->api->options.clock) - req->start_ns) / 1000u;

    buf_printf(&req->out, ",\"status\":\"ok\",\"time\":%" PRIu64 ".%06" PRIu64 "}", us / 1000000u,
               us % 1000000u);
    reply_send(req, 200);
}

/* Digits of at most 9 places; false for anything else. */
static bool parse_whole(struct slice text, uint64_t *out)
{
    uint64_t n = 0;

    if (text.bytes == 0 || text.bytes > 9)
        return false;
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        n = 10 * n + (uint64_t)(text.data[i] - '0');
    }
    *out = n;
    return true;
}

uint64_t qd_timeout_s(const struct request *req)
{
    const struct slice *v = request_parameter(req, "timeout");
    uint64_t seconds = 0;

    return v != NULL && parse_whole(*v, &seconds) ? seconds : 0;
}

uint64_t qd_wait_ms(const struct request *req)
{
    const struct slice *wait = request_parameter(req, "wait");

    if (!req->qdrant || req->match.route == NULL || req->match.route->kind != ROUTE_WRITE ||
        wait == NULL || !slice_equal(*wait, slice_text("true")))
        return 0;
    return qd_timeout_s(req) * 1000u;
}

void qd_put_wait_timeout(struct buf *out, const struct request *req)
{
    uint64_t us = (clock_mono_ns(req->api->options.clock) - req->start_ns) / 1000u;

    buf_put_text(out, "{\"usage\":null,\"result\":");
    if (req->put_late != NULL)
        req->put_late(req, out);
    else
        buf_put_text(out, QD_WAIT_TIMEOUT);
    buf_printf(out, ",\"status\":\"ok\",\"time\":%" PRIu64 ".%06" PRIu64 "}", us / 1000000u,
               us % 1000000u);
}

void qd_send_true(struct request *req)
{
    buf_put_text(qd_begin(req), "true");
    qd_send(req);
}

void qd_put_update(struct buf *out, const struct qd_terms *terms, uint64_t operation_id)
{
    buf_put_text(out, "{\"operation_id\":");
    json_put_u64(out, operation_id);
    buf_put_text(out, terms->wait ? ",\"status\":\"completed\"}" : ",\"status\":\"acknowledged\"}");
}

void qd_send_update(struct request *req, const struct qd_terms *terms, uint64_t operation_id)
{
    qd_put_update(qd_begin(req), terms, operation_id);
    qd_send(req);
}

/* --- failures --- */

static void put_failure(struct buf *out, const char *front, const char *text, const char *back)
{
    char shown[2 * ERR_TEXT_BYTES];

    (void)snprintf(shown, sizeof shown, "%s%s%s", front, text, back);
    utf8_make_printable(shown); /* it may hold names as a client sent them */
    buf_put_text(out, "{\"time\":0.0,\"status\":{\"error\":");
    json_put_string(out, slice_text(shown));
    buf_put_text(out, "},\"result\":null}");
}

void qd_put_problem(struct buf *out, enum problem p, const char *detail)
{
    const char *front = "Service internal error: ";
    const char *back = "";

    switch (problem_row(p)->http_status) {
    case 400:
        front = p == PROBLEM_BAD_JSON        ? "Format error in JSON body: "
                : p == PROBLEM_NOT_SUPPORTED ? "Wrong input: Not supported by this version: "
                                             : "Wrong input: ";
        break;
    case 401:
        front = "Unauthorized: ";
        break;
    case 403:
        front = "Forbidden: ";
        break;
    case 404:
        front = "Not found: ";
        break;
    case 405:
        front = "Method not allowed: ";
        break;
    case 408:
        front = "Request timeout: ";
        break;
    case 409:
        front = "Wrong input: ";
        break;
    case 413:
        front = "Payload too large: ";
        if (p == PROBLEM_BODY_TOO_LARGE)
            back = ": send fewer points a request, or raise compat.qdrant.max_body";
        break;
    case 415:
        front = "Bad request: ";
        back = ": send it as it is, without Content-Encoding";
        break;
    case 414:
    case 417:
    case 431:
        front = "Bad request: ";
        break;
    case 422:
        front = "Validation error in JSON body: [";
        back = "]";
        break;
    case 429:
        front = "Too many requests: ";
        break;
    case 504:
        front = "Service internal error: Timeout: ";
        break;
    default:
        break;
    }
    put_failure(out, front, detail, back);
}

void qd_set_failure(struct request *req, int http_status, const char *text)
{
    put_failure(reply_begin(req), "", text, "");
    req->http_status = http_status;
    req->content_type = "application/json";
    if (http_status == 429 || http_status == 503)
        req->retry_after_s = 1;
}

void qd_fail(struct request *req, int http_status, const char *format, ...)
{
    char text[ERR_TEXT_BYTES];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    qd_set_failure(req, http_status, text);
    reply_send(req, http_status);
}

void qd_fail_status(struct request *req, status st, const struct err *err)
{
    fail_write(req, st, err);
}

bool qd_bad(struct qd_parse *p, enum qd_problem problem, const char *format, ...)
{
    va_list args;

    p->problem = problem;
    va_start(args, format);
    (void)vsnprintf(p->text, sizeof p->text, format, args);
    va_end(args);
    return false;
}

bool qd_bad_at(struct qd_parse *p, const char *list, size_t index)
{
    size_t used = strlen(p->text);

    if (index > 0 && (p->problem == QD_FORMAT || p->problem == QD_VALIDATION))
        (void)snprintf(p->text + used, sizeof p->text - used, " (%s[%zu])", list, index);
    return false;
}

bool qd_no_memory(struct qd_parse *p)
{
    return qd_bad(p, QD_TOO_MUCH, "out of memory for this request");
}

task_state qd_fail_parse(struct request *req, const struct qd_parse *p)
{
    switch (p->problem) {
    case QD_FORMAT:
        reply_problem(req, PROBLEM_BAD_JSON, "%s", p->text);
        break;
    case QD_INPUT:
        reply_problem(req, PROBLEM_INVALID, "%s", p->text);
        break;
    case QD_VALIDATION:
        qd_fail(req, 422, "Validation error in JSON body: [%s]", p->text);
        break;
    case QD_NOT_FOUND:
        reply_problem(req, PROBLEM_NOT_FOUND, "%s", p->text);
        break;
    case QD_TOO_MUCH:
        if (req->arena.full)
            reply_problem(
                req, PROBLEM_BODY_TOO_LARGE,
                "what is read from the request takes more than %d MiB, send fewer points at once",
                REQUEST_ARENA_BYTES_MAX >> 20);
        else
            reply_problem(req, PROBLEM_NO_MEMORY, "%s", p->text);
        break;
    }
    return TASK_DONE;
}

/* --- what was asked --- */

bool qd_collection(struct request *req)
{
    struct slice key = req->match.params[0];

    req->collection =
        node_collection_pin(req->api->options.node, (const char *)key.data, key.bytes);
    if (req->collection != NULL && !request_stays(req))
        return false;
    if (req->collection != NULL) {
        log_context_set(req->id, collection_id_text(req->collection));
        return true;
    }
    qd_fail(req, 404, "Not found: Collection `%.*s` doesn't exist!",
            (int)(key.bytes < 255 ? key.bytes : 255), (const char *)key.data);
    return false;
}

bool qd_body(struct request *req, struct jval *root)
{
    return request_json(req, false, root);
}

bool qd_body_optional(struct request *req, struct jval *root)
{
    return request_json(req, true, root);
}

static bool bad_parameter(struct request *req, const char *name, struct slice value,
                          const char *wanted)
{
    qd_fail(req, 400, "Wrong input: Query parameter `%s`: `%.*s` is not %s", name,
            (int)(value.bytes < 64 ? value.bytes : 64), (const char *)value.data, wanted);
    return false;
}

static bool is_one_of(struct slice value, const char *const *words)
{
    while (*words != NULL && !slice_equal(value, slice_text(*words)))
        words++;
    return *words != NULL;
}

bool qd_terms(struct request *req, struct qd_terms *out)
{
    static const char *const bools[] = {"true", "false", NULL};
    static const char *const orderings[] = {"weak", "medium", "strong", NULL};
    static const char *const levels[] = {"majority", "quorum", "all", NULL};
    const struct slice *v;
    uint64_t factor;

    *out = (struct qd_terms){0};
    v = request_parameter(req, "wait");
    if (v != NULL && !is_one_of(*v, bools))
        return bad_parameter(req, "wait", *v, "`true` or `false`");
    out->wait = v != NULL && slice_equal(*v, slice_text("true"));
    v = request_parameter(req, "timeout");
    if (v != NULL && (!parse_whole(*v, &out->timeout_s) || out->timeout_s == 0))
        return bad_parameter(req, "timeout", *v, "a whole number from 1");
    v = request_parameter(req, "ordering");
    if (v != NULL && !is_one_of(*v, orderings))
        return bad_parameter(req, "ordering", *v, "`weak`, `medium` or `strong`");
    v = request_parameter(req, "consistency");
    if (v != NULL && !is_one_of(*v, levels) && !parse_whole(*v, &factor))
        return bad_parameter(req, "consistency", *v, "a number, `majority`, `quorum` or `all`");
    return true;
}
