/* arrive.c - what is decided about a request when its head has come, without a worker: its route,
 * and what no route takes. */
#include "api/qdrant_door.h"
#include "api/server_internal.h"

/* A path of neither dialect is answered as the listener it came by would have it. */
static status find(struct request *req, struct slice path, struct err *err)
{
    bool own = qd_owns(path);
    status st =
        route_find(own ? QDRANT_ROUTES : API_ROUTES, own ? QDRANT_ROUTE_COUNT : API_ROUTE_COUNT,
                   req->method, path, &req->arena, &req->match, err);

    req->qdrant = own || (req->qdrant && st == ST_NOT_FOUND);
    return st;
}

/* The router refuses a NUL of any path; here it stands in a name. */
static bool is_bad_name(const struct request *req, struct slice path)
{
    return req->qdrant && memmem(path.data, path.bytes, "%00", 3) != NULL;
}

static void find_route(struct request *req, const struct http1_head *head)
{
    struct err err = {0};
    status st = find(req, head->path, &err);

    if (st == ST_OK)
        st = query_parse(&req->arena, head->query, req->query, &req->query_count, &err);
    if (st == ST_NOT_FOUND)
        request_set_problem(req, PROBLEM_NO_ROUTE, err.text);
    else if (st == ST_DENIED)
        request_set_problem(req, PROBLEM_METHOD, err.text);
    else if (st == ST_INVALID && is_bad_name(req, head->path))
        qd_set_failure(req, 422, "Validation error in JSON body: [a name holds no NUL]");
    else if (st == ST_INVALID)
        request_set_problem(req, PROBLEM_BAD_PATH, err.text);
    else if (st != ST_OK)
        request_set_problem(req, problem_of_status(st), err.text);
    else if (req->match.route->kind == ROUTE_UNSUPPORTED)
        request_set_problem(req, PROBLEM_NOT_SUPPORTED, req->match.route->pattern);
    if (req->match.allow[0] != '\0')
        req->allow = req->match.allow;
}

static void check_headers(struct request *req, const struct http1_head *head)
{
    const struct http1_header *key = http1_header(head, "idempotency-key");
    const struct http1_header *encoding = http1_header(head, "content-encoding");

    if (key != NULL) {
        req->idempotency_key = key->value;
        if (key->value.data == NULL)
            req->idempotency_key = slice_text("");
    }
    if (req->http_status != 0)
        return;
    if (encoding != NULL && !slice_equal(encoding->value, slice_text("identity")))
        request_set_problem(req, PROBLEM_CONTENT_ENCODING, "the body is compressed");
    else if (http1_header(head, "x-tiervec-database") != NULL)
        request_set_problem(req, PROBLEM_NOT_SUPPORTED, "the header X-Tiervec-Database");
}

void request_arrived(struct request *req, const struct http1_head *head)
{
    find_route(req, head);
    check_headers(req, head);
}

uint64_t request_time_ms(const struct request *req, uint64_t left_ms)
{
    uint64_t own_ms = 0;

    if (req->qdrant && req->http_status == 0 && req->match.route->kind == ROUTE_READ)
        own_ms = qd_timeout_s(req) * 1000u;
    return own_ms > 0 && own_ms < left_ms ? own_ms : left_ms;
}
