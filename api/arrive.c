/* arrive.c - what is decided about a request when its head has come, without a worker: its route,
 * and what no route takes. */
#include "api/qdrant_door.h"
#include "api/server_internal.h"

static status find(struct request *req, struct slice path, struct err *err)
{
    return req->qdrant ? route_find(QDRANT_ROUTES, QDRANT_ROUTE_COUNT, req->method, path,
                                    &req->arena, &req->match, err)
                       : route_find(API_ROUTES, API_ROUTE_COUNT, req->method, path, &req->arena,
                                    &req->match, err);
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
    const struct http1_header *encoding = http1_header(head, "content-encoding");

    if (req->http_status != 0)
        return;
    if (encoding != NULL && !slice_equal(encoding->value, slice_text("identity")))
        request_set_problem(req, PROBLEM_CONTENT_ENCODING, "the body is compressed");
    else if (http1_header(head, "x-tiervec-database") != NULL)
        request_set_problem(req, PROBLEM_NOT_SUPPORTED, "the header X-Tiervec-Database");
}

void request_arrived(struct request *req, const struct http1_head *head)
{
    req->qdrant = qd_owns(head->path);
    find_route(req, head);
    check_headers(req, head);
}
