/* Routes of the dialect that are not written yet. */
#include "api/qdrant_handlers.h"

static task_state later(struct request *req)
{
    reply_problem(req, PROBLEM_NOT_SUPPORTED, "%s %s", http_method_name(req->method),
                  req->match.route->pattern);
    return TASK_DONE;
}

task_state handle_qd_query_groups(struct request *req)
{
    return later(req);
}

task_state handle_qd_matrix_pairs(struct request *req)
{
    return later(req);
}

task_state handle_qd_matrix_offsets(struct request *req)
{
    return later(req);
}
