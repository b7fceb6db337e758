/* qdrant_root.c - what a client asks first: who is there. */
#include "api/qdrant_handlers.h"

/* The version of the API that is spoken; clients compare it with their own. */
#define SPOKEN_VERSION "1.19.0"

task_state handle_qd_root(struct request *req)
{
    struct buf *out = reply_begin(req);

    buf_put_text(out, "{");
    print_text(out, true, "title", "tiervec - vector database, Qdrant-compatible API");
    print_text(out, false, "version", SPOKEN_VERSION);
    print_text(out, false, "commit", TIERVEC_VERSION);
    buf_put_text(out, "}");
    reply_send(req, 200);
    return TASK_DONE;
}

task_state handle_qd_telemetry(struct request *req)
{
    struct node_status state;
    struct buf *out;

    node_status(req->api->options.node, &state);
    out = qd_begin(req);
    buf_put_text(out, "{");
    print_text(out, true, "id", state.node_id);
    buf_put_text(out, ",\"app\":{");
    print_text(out, true, "name", "tiervec");
    print_text(out, false, "version", SPOKEN_VERSION);
    buf_put_text(out, "},\"collections\":{");
    print_u64(out, true, "number_of_collections", state.collections);
    buf_put_text(out, "},\"cluster\":{\"enabled\":false}}");
    qd_send(req);
    return TASK_DONE;
}

task_state handle_qd_cluster(struct request *req)
{
    buf_put_text(qd_begin(req), "{\"status\":\"disabled\"}");
    qd_send(req);
    return TASK_DONE;
}
