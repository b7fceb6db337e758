/* qdrant_aliases.c - other names of collections: listed, and changed all or none. */
#include "api/qdrant_config.h"
#include "api/qdrant_handlers.h"

#include "node/bucket.h"

enum { ALIAS_PAGE = 64 };

/* id NULL: of all collections. */
static task_state send_aliases(struct request *req, const char *id)
{
    struct node_alias *page = arena_array(&req->arena, ALIAS_PAGE, sizeof *page);
    char after[sizeof page->alias];
    bool begun = false;
    bool first = true;
    size_t count;
    struct buf *out;

    if (page == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for the list of aliases");
        return TASK_DONE;
    }
    out = qd_begin(req);
    buf_put_text(out, "{\"aliases\":[");
    do {
        count = node_alias_list(req->api->options.node, begun ? after : NULL, page, ALIAS_PAGE);
        for (size_t i = 0; i < count; i++) {
            if (id != NULL && strcmp(page[i].collection_id, id) != 0)
                continue;
            buf_put_text(out, first ? "{" : ",{");
            first = false;
            print_text(out, true, "alias_name", page[i].alias);
            print_text(out, false, "collection_name", page[i].collection);
            buf_put_text(out, "}");
        }
        begun = true;
        if (count > 0)
            memcpy(after, page[count - 1].alias, sizeof after);
    } while (count == ALIAS_PAGE && !out->failed);
    buf_put_text(out, "]}");
    qd_send(req);
    return TASK_DONE;
}

task_state handle_qd_aliases(struct request *req)
{
    return send_aliases(req, NULL);
}

task_state handle_qd_collection_aliases(struct request *req)
{
    return qd_collection(req) ? send_aliases(req, collection_id_text(req->collection)) : TASK_DONE;
}

/* --- changing --- */

/* A name as text that ends; with `checked` one that a collection or alias may have. */
static bool take_name(struct qd_parse *p, struct request *req, struct jval action, const char *key,
                      bool checked, const char **out)
{
    struct slice name = {0};

    if (!qd_string(p, action, key, &name))
        return false;
    if (name.data == NULL)
        return qd_bad(p, QD_FORMAT, "missing field `%s`", key);
    if (checked && !qd_check_name(p, key, name))
        return false;
    *out = arena_strndup(&req->arena, (const char *)name.data, name.bytes);
    return *out != NULL || qd_no_memory(p);
}

static bool parse_action(struct qd_parse *p, struct request *req, struct jval v,
                         struct node_alias_action *out)
{
    struct jval a;

    if (jval_type(v) != J_OBJECT)
        return qd_bad(p, QD_FORMAT, "actions: invalid type: %s, expected an object",
                      jtype_name(jval_type(v)));
    if (jval_count(v) != 1)
        return qd_bad(p, QD_FORMAT,
                      "actions: each has exactly one of create_alias, delete_alias "
                      "and rename_alias");
    if (qd_member(v, "create_alias", &a))
        return take_name(p, req, a, "collection_name", false, &out->collection) &&
               take_name(p, req, a, "alias_name", true, &out->alias);
    if (qd_member(v, "delete_alias", &a))
        return take_name(p, req, a, "alias_name", true, &out->alias);
    if (qd_member(v, "rename_alias", &a))
        return take_name(p, req, a, "old_alias_name", true, &out->alias) &&
               take_name(p, req, a, "new_alias_name", true, &out->renamed);
    return qd_bad(p, QD_FORMAT,
                  "actions: expected one of create_alias, delete_alias and rename_alias");
}

static bool parse_actions(struct qd_parse *p, struct request *req, struct jval body,
                          struct node_alias_action **out, size_t *count)
{
    struct node_alias_action *actions;
    struct jval list;
    size_t n = 0;

    if (!qd_member(body, "actions", &list))
        return qd_bad(p, QD_FORMAT, "missing field `actions`");
    if (jval_type(list) != J_ARRAY)
        return qd_bad(p, QD_FORMAT, "actions: invalid type: %s, expected a list",
                      jtype_name(jval_type(list)));
    actions = arena_zero(&req->arena, (jval_count(list) + 1) * sizeof *actions);
    if (actions == NULL)
        return qd_no_memory(p);
    for (struct jiter it = jval_iter(list); jiter_next(&it);)
        if (!parse_action(p, req, it.value, &actions[n++]))
            return false;
    *out = actions;
    *count = n;
    return true;
}

static void on_changed(void *arg, status st, const struct collection_info *info,
                       const struct err *err)
{
    struct request *req = arg;

    (void)info;
    if (st != ST_OK)
        fail_bucket(req, st, err);
    else
        qd_send_true(req);
}

task_state handle_qd_alias_change(struct request *req)
{
    struct node_alias_action *actions = NULL;
    struct qd_parse p = {0};
    struct qd_terms terms;
    struct jval body;
    size_t count = 0;

    if (!qd_terms(req, &terms) || !qd_body(req, &body))
        return TASK_DONE;
    if (!parse_actions(&p, req, body, &actions, &count))
        return qd_fail_parse(req, &p);
    node_alias_change(req->api->options.node, actions, count, on_changed, req);
    return TASK_DONE;
}
