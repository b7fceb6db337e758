/* Routes of the dialect that are not written yet. */
#include "api/qdrant_handlers.h"

static task_state later(struct request *req)
{
    reply_problem(req, PROBLEM_NOT_SUPPORTED, "%s %s", http_method_name(req->method),
                  req->match.route->pattern);
    return TASK_DONE;
}

task_state handle_qd_create(struct request *req)
{
    return later(req);
}

task_state handle_qd_patch(struct request *req)
{
    return later(req);
}

task_state handle_qd_info(struct request *req)
{
    return later(req);
}

task_state handle_qd_drop(struct request *req)
{
    return later(req);
}

task_state handle_qd_exists(struct request *req)
{
    return later(req);
}

task_state handle_qd_collections(struct request *req)
{
    return later(req);
}

task_state handle_qd_aliases(struct request *req)
{
    return later(req);
}

task_state handle_qd_collection_aliases(struct request *req)
{
    return later(req);
}

task_state handle_qd_alias_change(struct request *req)
{
    return later(req);
}

task_state handle_qd_index_create(struct request *req)
{
    return later(req);
}

task_state handle_qd_index_drop(struct request *req)
{
    return later(req);
}

task_state handle_qd_snapshots(struct request *req)
{
    return later(req);
}

task_state handle_qd_snapshot_create(struct request *req)
{
    return later(req);
}

task_state handle_qd_snapshot(struct request *req)
{
    return later(req);
}

task_state handle_qd_snapshot_drop(struct request *req)
{
    return later(req);
}
