/* What points.h promises and is not written yet. */
#include "node/points.h"

void node_index_create(struct node *node, struct collection *c, const struct pindex_spec *spec,
                       struct slice schema, uint64_t wait_ms, node_admin_fn *done, void *arg)
{
    struct err err = {0};
    status st = err_set(&err, ST_UNSUPPORTED, "not supported yet");

    (void)node;
    (void)c;
    (void)spec;
    (void)schema;
    (void)wait_ms;
    done(arg, st, NULL, &err);
}

void node_index_drop(struct node *node, struct collection *c, const struct path *path,
                     node_admin_fn *done, void *arg)
{
    struct err err = {0};
    status st = err_set(&err, ST_UNSUPPORTED, "not supported yet");

    (void)node;
    (void)c;
    (void)path;
    done(arg, st, NULL, &err);
}

status node_index_list(struct collection *c, struct arena *arena, struct index_info **out,
                       size_t *count, struct err *err)
{
    (void)c;
    (void)arena;
    (void)out;
    (void)count;
    return err_set(err, ST_UNSUPPORTED, "not supported yet");
}
