/* qdrant_collections.c - listing, describing and dropping collections. */
#include "api/qdrant_config.h"
#include "api/qdrant_handlers.h"

/* --- listing --- */

enum { LIST_PAGE = 32 };

task_state handle_qd_collections(struct request *req)
{
    struct collection_info *page = arena_array(&req->arena, LIST_PAGE, sizeof *page);
    char after[sizeof page->name];
    bool first = true;
    size_t count;
    struct buf *out;

    if (page == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for the list of collections");
        return TASK_DONE;
    }
    out = qd_begin(req);
    buf_put_text(out, "{\"collections\":[");
    do {
        count = node_collection_list(req->api->options.node, first ? NULL : after, page, LIST_PAGE);
        for (size_t i = 0; i < count; i++) {
            buf_put_text(out, first ? "{" : ",{");
            first = false;
            print_text(out, true, "name", page[i].name);
            buf_put_text(out, "}");
        }
        if (count > 0)
            memcpy(after, page[count - 1].name, sizeof after);
    } while (count == LIST_PAGE && !out->failed);
    buf_put_text(out, "]}");
    qd_send(req);
    return TASK_DONE;
}

task_state handle_qd_exists(struct request *req)
{
    struct slice key = req->match.params[0];

    req->collection =
        node_collection_pin(req->api->options.node, (const char *)key.data, key.bytes);
    buf_put_text(qd_begin(req),
                 req->collection != NULL ? "{\"exists\":true}" : "{\"exists\":false}");
    qd_send(req);
    return TASK_DONE;
}

/* --- describing --- */

static const char *color_of(const struct collection_info *info, bool indexes_build)
{
    if (strcmp(info->state, "failed") == 0)
        return "red";
    if (strcmp(info->state, "loading") == 0)
        return "yellow";
    return info->rows_to_link > 0 || info->rebuild.state != NULL || indexes_build ? "yellow"
                                                                                  : "green";
}

static void print_schema(struct buf *out, const struct index_info *indexes, size_t count)
{
    print_key(out, false, "payload_schema");
    buf_put_text(out, "{");
    for (size_t i = 0; i < count; i++) {
        struct slice schema = indexes[i].schema;

        buf_put_text(out, i == 0 ? "" : ",");
        json_put_string(out, indexes[i].path);
        buf_put_text(out, ":{");
        print_text(out, true, "data_type", pindex_type_name(indexes[i].type));
        print_key(out, false, "params");
        if (schema.bytes > 0 && schema.data[0] == '{')
            buf_put_slice(out, schema);
        else
            buf_put_text(out, "null");
        print_u64(out, false, "points", indexes[i].points);
        buf_put_text(out, "}");
    }
    buf_put_text(out, "}");
}

/* Dead rows stay in a graph until it is mended: never more than live points can have. */
static uint64_t indexed_vectors(const struct collection *c, const struct collection_info *info)
{
    uint64_t most = info->document_count * node_field_count(c);

    return info->linked_rows < most ? info->linked_rows : most;
}

static void print_info(struct buf *out, struct request *req, struct jval stored,
                       const struct index_info *indexes, size_t index_count)
{
    struct collection_info info;
    bool builds = false;

    node_collection_info(req->collection, &info);
    for (size_t i = 0; i < index_count; i++)
        builds = builds || indexes[i].state == PINDEX_BUILDING;
    buf_put_text(out, "{");
    print_text(out, true, "status", color_of(&info, builds));
    if (strcmp(info.state, "failed") == 0) {
        buf_put_text(out, ",\"optimizer_status\":{");
        print_text(out, true, "error", info.reason);
        buf_put_text(out, "}");
    } else if (info.rebuild.state != NULL && strcmp(info.rebuild.state, "waiting") == 0) {
        buf_put_text(out, ",\"optimizer_status\":{");
        print_text(out, true, "error",
                   "a graph waits for memory to be made anew; the old one serves");
        buf_put_text(out, "}");
    } else {
        print_text(out, false, "optimizer_status", "ok");
    }
    print_u64(out, false, "indexed_vectors_count", indexed_vectors(req->collection, &info));
    print_u64(out, false, "points_count", info.document_count);
    print_u64(out, false, "segments_count", info.segments > 0 ? info.segments : 1);
    buf_put_text(out, ",");
    qd_print_config(out, req->collection, stored);
    print_schema(out, indexes, index_count);
    buf_put_text(out, "}");
}

task_state handle_qd_info(struct request *req)
{
    struct index_info *indexes = NULL;
    struct err err = {0};
    struct jval stored;
    size_t count = 0;
    status st;

    if (!qd_collection(req))
        return TASK_DONE;
    st = node_index_list(req->collection, &req->arena, &indexes, &count, &err);
    /* One that is being loaded, or could not be, tells its state without them. */
    if (st != ST_OK && st != ST_UNAVAILABLE) {
        qd_fail_status(req, st, &err);
        return TASK_DONE;
    }
    if (!qd_stored(req, &stored))
        return TASK_DONE;
    print_info(qd_begin(req), req, stored, indexes, count);
    qd_send(req);
    return TASK_DONE;
}

/* --- dropping --- */

static task_state send_false(struct request *req)
{
    buf_put_text(qd_begin(req), "false");
    qd_send(req);
    return TASK_DONE;
}

static void on_dropped(void *arg, status st, const struct collection_info *info,
                       const struct err *err)
{
    struct request *req = arg;

    (void)info;
    if (st == ST_NOT_FOUND)
        (void)send_false(req);
    else if (st != ST_OK)
        fail_bucket(req, st, err);
    else
        qd_send_true(req);
}

/* An alias is not followed: dropping through it would take a collection that was not named. */
task_state handle_qd_drop(struct request *req)
{
    struct slice key = req->match.params[0];
    struct collection_info info;
    struct qd_terms terms;

    if (!qd_terms(req, &terms))
        return TASK_DONE;
    req->collection =
        node_collection_pin(req->api->options.node, (const char *)key.data, key.bytes);
    if (req->collection == NULL)
        return send_false(req);
    node_collection_info(req->collection, &info);
    if (!slice_equal(key, slice_text(info.name)) && !slice_equal(key, slice_text(info.id)))
        return send_false(req);
    node_collection_drop(req->api->options.node, req->collection, on_dropped, req);
    return TASK_DONE;
}
