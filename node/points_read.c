/* Reading documents by id, and binding filters to a collection. */
#include "node/points.h"

#include "node/node_internal.h"

static int vector_of(void *arg, struct slice name)
{
    return node_field_position(arg, name);
}

static bool words_of(void *arg, const struct path *path, struct filter_words *out)
{
    const struct collection *c = arg;

    return c->pindex != NULL && pindex_words_of(c->pindex, path, out);
}

status node_filter_bind(struct collection *c, struct filter *f, struct arena *arena,
                        struct err *err)
{
    const struct filter_binding binding = {.vector_of = vector_of, .words_of = words_of, .arg = c};

    return filter_is_all(f) ? ST_OK : filter_bind(f, &binding, arena, err);
}
