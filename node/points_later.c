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

status node_retrieve(struct collection *c, const struct docid *ids, size_t count,
                     const struct read_want *want, struct arena *arena, struct document **out,
                     uint32_t *out_count, struct err *err)
{
    (void)c;
    (void)ids;
    (void)count;
    (void)want;
    (void)arena;
    (void)out;
    (void)out_count;
    return err_set(err, ST_UNSUPPORTED, "not supported yet");
}

status node_scroll(struct collection *c, const struct scroll *s, struct arena *arena,
                   struct scrolled *out, struct err *err)
{
    (void)c;
    (void)s;
    (void)arena;
    (void)out;
    return err_set(err, ST_UNSUPPORTED, "not supported yet");
}

status node_count(struct collection *c, const struct filter *filter, bool exact,
                  const struct read_limits *limits, struct arena *arena, uint64_t *out,
                  struct err *err)
{
    (void)c;
    (void)filter;
    (void)exact;
    (void)limits;
    (void)arena;
    (void)out;
    return err_set(err, ST_UNSUPPORTED, "not supported yet");
}

status node_facet(struct collection *c, const struct path *key, const struct filter *filter,
                  uint32_t limit, bool exact, const struct read_limits *limits, struct arena *arena,
                  struct facet_hit **out, uint32_t *count, struct err *err)
{
    (void)c;
    (void)key;
    (void)filter;
    (void)limit;
    (void)exact;
    (void)limits;
    (void)arena;
    (void)out;
    (void)count;
    return err_set(err, ST_UNSUPPORTED, "not supported yet");
}

status node_sample(struct collection *c, const struct filter *filter, uint32_t count,
                   const struct read_want *want, const struct read_limits *limits,
                   struct arena *arena, struct document **out, uint32_t *out_count, struct err *err)
{
    (void)c;
    (void)filter;
    (void)count;
    (void)want;
    (void)limits;
    (void)arena;
    (void)out;
    (void)out_count;
    return err_set(err, ST_UNSUPPORTED, "not supported yet");
}
