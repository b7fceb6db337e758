/* handlers_delete.c - deleting documents, by id or by what matches. */
#include "api/document.h"
#include "api/handlers.h"

static const char *const ONE_PARAMETERS[] = {"durability", "if_lsn", NULL};

static void on_deleted(void *arg, status st, const struct write_result *result,
                       const struct err *err)
{
    struct request *req = arg;
    struct buf *out;

    if (st != ST_OK) {
        fail_write(req, st, err);
        return;
    }
    if (result->count == 0 && req->state != NULL) { /* one was named, and is not there */
        reply_problem(req, PROBLEM_NO_DOCUMENT, "there is no document %s", (char *)req->state);
        return;
    }
    out = reply_begin(req);
    buf_put_text(out, "{\"deleted\":");
    json_put_u64(out, result->count);
    send_written(req, out, result);
}

/* The options and the selector must stay until the write is done. */
struct removal {
    struct selector which;
    struct write_options options;
    struct docid *ids;
};

static struct removal *removal_new(struct request *req)
{
    struct removal *r = arena_zero(&req->arena, sizeof *r);

    if (r == NULL)
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for a delete");
    return r;
}

static void remove_them(struct request *req, struct removal *r)
{
    if (r->which.filter == NULL && r->options.durability == 0 && !r->options.only_if)
        node_delete(req->collection, r->which.ids, r->which.count, on_deleted, req);
    else
        node_delete_with(req->collection, &r->which, &r->options, on_deleted, req);
}

task_state handle_delete_one(struct request *req)
{
    struct removal *r = removal_new(req);
    char text[DOCID_TEXT_BYTES];
    struct docid *id;

    if (r == NULL || !request_parameters(req, ONE_PARAMETERS) || !request_no_members(req) ||
        !request_pin_collection(req) || !take_write_options(req, &r->options) ||
        !request_is_new(req))
        return TASK_DONE;
    id = arena_zero(&req->arena, sizeof *id);
    if (id == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for a delete");
        return TASK_DONE;
    }
    if (!request_doc_id(req, id))
        return TASK_DONE;
    req->state = arena_strndup(&req->arena, text, docid_format(id, text));
    if (req->state == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for a delete");
        return TASK_DONE;
    }
    r->which = (struct selector){.ids = id, .count = 1};
    remove_them(req, r);
    return TASK_DONE;
}

static bool take_ids(struct request *req, struct parse *p, struct jval v, struct docid **out,
                     size_t *count)
{
    if (jval_type(v) != J_ARRAY)
        return parse_fail(p, PROBLEM_INVALID, "`ids` is of type %s, an array is needed",
                          jtype_name(jval_type(v)));
    *count = jval_count(v);
    if (*count == 0)
        return parse_fail(p, PROBLEM_INVALID, "`ids` is empty");
    if (*count > req->api->options.batch_max)
        return parse_fail(p, PROBLEM_BATCH_TOO_LARGE, "`ids` has %zu elements, the limit is %u",
                          *count, req->api->options.batch_max);
    *out = arena_array(&req->arena, *count, sizeof **out);
    if (*out == NULL)
        return parse_fail(p, PROBLEM_NO_MEMORY, "out of memory for %zu ids", *count);
    p->list = "ids";
    p->index = 0;
    for (struct jiter it = jval_iter(v); jiter_next(&it); p->index++)
        if (!take_id(req, p, it.value, &(*out)[p->index]))
            return false;
    p->list = NULL;
    return true;
}

task_state handle_delete_many(struct request *req)
{
    static const char *const parameters[] = {"durability", NULL};
    static const struct member members[] = {{"ids", false}, {"filter", false}};
    struct removal *r = removal_new(req);
    struct parse p = {0};
    struct jval root;

    if (r == NULL || !request_parameters(req, parameters) || !request_pin_collection(req) ||
        !take_write_options(req, &r->options) || !request_is_new(req) ||
        !request_json(req, false, &root))
        return TASK_DONE;
    for (struct jiter it = jval_iter(root); jiter_next(&it);) {
        int member = parse_member(&p, members, COUNT_OF(members), &it);

        if (member < 0 || (member == 0 && !take_ids(req, &p, it.value, &r->ids, &r->which.count)) ||
            (member == 1 && !parse_filter(req, &p, "filter", it.value, &r->which.filter)))
            return fail_parse(req, &p);
    }
    request_json_done(req);
    if ((r->ids == NULL) == (r->which.filter == NULL)) {
        reply_problem(req, PROBLEM_INVALID,
                      "one of `ids` and `filter` says what to delete; here are %s",
                      r->ids == NULL ? "neither" : "both");
        return TASK_DONE;
    }
    r->which.ids = r->ids;
    remove_them(req, r);
    return TASK_DONE;
}
