/* Routes of the dialect that are not written yet. */
#include "api/qdrant_handlers.h"

static task_state later(struct request *req)
{
    reply_problem(req, PROBLEM_NOT_SUPPORTED, "%s %s", http_method_name(req->method),
                  req->match.route->pattern);
    return TASK_DONE;
}

task_state handle_qd_upsert(struct request *req)
{
    return later(req);
}

task_state handle_qd_retrieve(struct request *req)
{
    return later(req);
}

task_state handle_qd_point(struct request *req)
{
    return later(req);
}

task_state handle_qd_delete(struct request *req)
{
    return later(req);
}

task_state handle_qd_set_payload(struct request *req)
{
    return later(req);
}

task_state handle_qd_overwrite_payload(struct request *req)
{
    return later(req);
}

task_state handle_qd_delete_payload(struct request *req)
{
    return later(req);
}

task_state handle_qd_clear_payload(struct request *req)
{
    return later(req);
}

task_state handle_qd_scroll(struct request *req)
{
    return later(req);
}

task_state handle_qd_count(struct request *req)
{
    return later(req);
}

task_state handle_qd_batch(struct request *req)
{
    return later(req);
}

task_state handle_qd_update_vectors(struct request *req)
{
    return later(req);
}

task_state handle_qd_delete_vectors(struct request *req)
{
    return later(req);
}

task_state handle_qd_facet(struct request *req)
{
    return later(req);
}
