/* What an operator asks about the bucket. */
#include "node/bucket.h"

#include "node/node_internal.h"

const char *node_durability_name(enum node_durability d)
{
    return d == NODE_REMOTE ? "remote" : "local";
}

bool node_durability_parse(const char *text, enum node_durability *out)
{
    if (strcmp(text, "local") == 0)
        *out = NODE_LOCAL;
    else if (strcmp(text, "remote") == 0)
        *out = NODE_REMOTE;
    else
        return false;
    return true;
}

struct dlq *node_dlq(struct node *node)
{
    (void)node;
    return NULL;
}

static status not_yet(struct err *err)
{
    return err_set(err, ST_UNSUPPORTED, "this is being built");
}

void node_dlq_retry(struct collection *c, const uint64_t *ids, size_t count, node_dlq_fn *done,
                    void *arg)
{
    struct err err = {0};

    (void)c;
    (void)ids;
    (void)count;
    done(arg, not_yet(&err), NULL, &err);
}

void node_dlq_replay(struct collection *c, const uint64_t *ids, size_t count, node_dlq_fn *done,
                     void *arg)
{
    node_dlq_retry(c, ids, count, done, arg);
}

void node_dlq_discard(struct collection *c, const uint64_t *ids, size_t count,
                      uint64_t confirm_first, uint64_t confirm_last, bool drop, node_dlq_fn *done,
                      void *arg)
{
    (void)confirm_first;
    (void)confirm_last;
    (void)drop;
    node_dlq_retry(c, ids, count, done, arg);
}

void node_dlq_split(struct collection *c, const uint64_t *ids, size_t count, node_dlq_fn *done,
                    void *arg)
{
    node_dlq_retry(c, ids, count, done, arg);
}

void node_dlq_export(struct collection *c, uint64_t id, node_export_fn *done, void *arg)
{
    struct err err = {0};

    (void)c;
    (void)id;
    done(arg, not_yet(&err), NULL, &err);
}

void node_snapshot(struct collection *c, const char *name, node_snapshot_fn *done, void *arg)
{
    struct err err = {0};

    (void)c;
    (void)name;
    done(arg, not_yet(&err), NULL, &err);
}

void node_compact(struct collection *c, node_snapshot_fn *done, void *arg)
{
    node_snapshot(c, NULL, done, arg);
}

void node_take_ownership(struct collection *c, node_admin_fn *done, void *arg)
{
    struct err err = {0};

    (void)c;
    done(arg, not_yet(&err), NULL, &err);
}

void node_republish(struct collection *c, node_admin_fn *done, void *arg)
{
    node_take_ownership(c, done, arg);
}

void node_breaker_reset(struct node *node, const char **before, const char **after)
{
    (void)node;
    *before = NULL;
    *after = NULL;
}

void node_alias_set(struct node *node, const char *alias, struct collection *c, node_admin_fn *done,
                    void *arg)
{
    (void)node;
    (void)alias;
    node_take_ownership(c, done, arg);
}

void node_alias_remove(struct node *node, const char *alias, node_admin_fn *done, void *arg)
{
    (void)node;
    (void)alias;
    node_take_ownership(NULL, done, arg);
}

size_t node_alias_list(struct node *node, const char *after, struct node_alias *out, size_t max)
{
    (void)node;
    (void)after;
    (void)out;
    (void)max;
    return 0;
}
