/* handlers_vacuum.c - the bucket cleared of what no owner collects: begun, and looked at. */
#include "api/handlers.h"

#include "node/bucket.h"

static const char *const NO_PARAMETERS[] = {NULL};

static void print_amount(struct buf *out, const char *name, const struct node_vacuum_amount *a)
{
    print_key(out, false, name);
    buf_put_text(out, "{");
    print_u64(out, true, "collections", a->collections);
    print_u64(out, false, "objects", a->objects);
    print_u64(out, false, "bytes", a->bytes);
    buf_put_text(out, "}");
}

static void print_items(struct buf *out, const struct node_vacuum *v)
{
    print_key(out, false, "collections");
    buf_put_text(out, "[");
    for (size_t i = 0; i < v->item_count; i++) {
        const struct node_vacuum_item *item = &v->items[i];

        buf_put_text(out, i == 0 ? "{" : ",{");
        print_text(out, true, "collection_id", item->collection_id);
        print_text(out, false, "fate", item->fate);
        print_u64(out, false, "objects", item->objects);
        print_u64(out, false, "bytes", item->bytes);
        print_u64(out, false, "pins", item->pins);
        buf_put_text(out, "}");
    }
    buf_put_text(out, "]");
    print_bool(out, "more_collections", v->more_items);
}

static void print_when(struct buf *out, const char *name, uint64_t wall_ns)
{
    if (wall_ns == 0)
        print_text(out, false, name, NULL);
    else
        print_time(out, false, name, wall_ns);
}

static void print_vacuum(struct buf *out, const struct node_vacuum *v)
{
    buf_put_text(out, "{");
    print_text(out, true, "state", v->running ? "running" : v->st == ST_OK ? "done" : "failed");
    print_bool(out, "dry_run", v->dry_run);
    print_when(out, "started_at", v->started_at_ns);
    print_when(out, "ended_at", v->ended_at_ns);
    print_text(out, false, "error", v->error[0] == '\0' ? NULL : v->error);
    print_u64(out, false, "deleted", v->deleted);
    print_amount(out, "goes", &v->goes);
    print_amount(out, "waits", &v->waits);
    print_amount(out, "unknown", &v->unknown);
    print_u64(out, false, "served", v->served);
    print_u64(out, false, "pins", v->pins);
    print_u64(out, false, "marked", v->marked);
    print_u64(out, false, "probe_objects", v->probe_objects);
    print_u64(out, false, "probe_bytes", v->probe_bytes);
    print_u64(out, false, "failed", v->failed);
    print_text(out, false, "trouble", v->trouble[0] == '\0' ? NULL : v->trouble);
    print_items(out, v);
    buf_put_text(out, "}");
}

static void answer(struct request *req, int http_status)
{
    struct node_vacuum *v = arena_alloc(&req->arena, sizeof *v);
    struct buf *out;
    bool any;

    if (v == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for the state of a vacuum");
        return;
    }
    any = node_vacuum_shown(req->api->options.node, v);
    out = reply_begin(req);
    buf_put_text(out, "{\"vacuum\":");
    if (any)
        print_vacuum(out, v);
    else
        buf_put_text(out, "null");
    buf_put_text(out, "}\n");
    reply_send(req, http_status);
}

task_state handle_vacuum_shown(struct request *req)
{
    if (request_parameters(req, NO_PARAMETERS))
        answer(req, 200);
    return TASK_DONE;
}

task_state handle_vacuum(struct request *req)
{
    static const struct member members[] = {{"dry_run", false}};
    bool dry_run = false;
    struct parse p = {0};
    struct err err = {0};
    struct jval root;
    status st;

    if (!request_parameters(req, NO_PARAMETERS) || !request_json(req, true, &root))
        return TASK_DONE;
    for (struct jiter it = jval_iter(root); jiter_next(&it);) {
        int which = parse_member(&p, members, COUNT_OF(members), &it);

        if (which < 0 || (which == 0 && !parse_bool(&p, "dry_run", it.value, &dry_run)))
            return fail_parse(req, &p);
    }
    st = node_vacuum(req->api->options.node, dry_run, &err);
    if (st == ST_OK)
        answer(req, 202);
    else
        fail_bucket(req, st, &err);
    return TASK_DONE;
}
