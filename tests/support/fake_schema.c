/* The schema of points.h in front of a node in memory: one setting, and payload indexes that are
 * only remembered. */
#include "tests/support/fake_node_internal.h"

#include <assert.h>
#include <stdio.h>

static void finish(struct collection *c, status st, node_admin_fn *done, void *arg)
{
    struct node *n = c->node;
    struct completion *made;

    lock_take(&n->s.lock);
    made = fake_completion(arg, st, st == ST_OK ? "" : "there is none");
    made->admin = done;
    made->info = c->info;
    fake_queue_locked(n, made);
    lock_drop(&n->s.lock);
}

status node_setting(struct collection *c, const char *key, struct arena *arena, struct slice *out,
                    struct err *err)
{
    char *copy = NULL;
    size_t bytes;

    lock_take(&c->node->s.lock);
    bytes = c->setting.bytes;
    if (bytes > 0)
        copy = arena_strndup(arena, (const char *)c->setting.data, bytes);
    lock_drop(&c->node->s.lock);
    if (bytes == 0)
        return err_set(err, ST_NOT_FOUND, "there is no setting %s", key);
    if (copy == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    *out = slice_make(copy, bytes);
    return ST_OK;
}

void node_setting_put(struct node *node, struct collection *c, const char *key, struct slice value,
                      node_admin_fn *done, void *arg)
{
    (void)node;
    (void)key;
    lock_take(&c->node->s.lock);
    buf_reset(&c->setting);
    buf_put_slice(&c->setting, value);
    lock_drop(&c->node->s.lock);
    finish(c, ST_OK, done, arg);
}

static size_t at_locked(const struct collection *c, struct slice path)
{
    size_t at = 0;

    while (at < c->index_count && !slice_equal(slice_text(c->indexes[at].path), path))
        at++;
    return at;
}

void node_index_create(struct node *node, struct collection *c, const struct pindex_spec *spec,
                       struct slice schema, uint64_t wait_ms, node_admin_fn *done, void *arg)
{
    status st;
    size_t at;

    (void)node;
    lock_take(&c->node->s.lock);
    st = c->node->s.fail_write;
    c->node->s.fail_write = ST_OK;
    at = at_locked(c, spec->path->text);
    if (st != ST_OK) {
        lock_drop(&c->node->s.lock);
        finish(c, st, done, arg);
        return;
    }
    if (at == c->index_count)
        c->index_count++;
    assert(c->index_count <= FAKE_INDEXES);
    (void)snprintf(c->indexes[at].path, sizeof c->indexes[at].path, "%.*s",
                   (int)spec->path->text.bytes, (const char *)spec->path->text.data);
    (void)snprintf(c->indexes[at].schema, sizeof c->indexes[at].schema, "%.*s", (int)schema.bytes,
                   (const char *)schema.data);
    c->indexes[at].type = spec->type;
    c->indexes[at].state = wait_ms > 0 ? PINDEX_READY : PINDEX_BUILDING;
    lock_drop(&c->node->s.lock);
    finish(c, ST_OK, done, arg);
}

void node_index_drop(struct node *node, struct collection *c, const struct path *path,
                     node_admin_fn *done, void *arg)
{
    size_t at;

    (void)node;
    lock_take(&c->node->s.lock);
    at = at_locked(c, path->text);
    if (at < c->index_count)
        c->indexes[at] = c->indexes[--c->index_count];
    lock_drop(&c->node->s.lock);
    finish(c, ST_OK, done, arg);
}

status node_index_list(struct collection *c, struct arena *arena, struct index_info **out,
                       size_t *count, struct err *err)
{
    struct index_info *infos = arena_array(arena, FAKE_INDEXES, sizeof *infos);

    if (infos == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    lock_take(&c->node->s.lock);
    for (size_t i = 0; i < c->index_count; i++)
        infos[i] = (struct index_info){.path = slice_text(c->indexes[i].path),
                                       .schema = slice_text(c->indexes[i].schema),
                                       .type = c->indexes[i].type,
                                       .state = c->indexes[i].state,
                                       .points = c->count};
    *out = infos;
    *count = c->index_count;
    lock_drop(&c->node->s.lock);
    return ST_OK;
}

void fake_node_set_rows(struct node *n, const char *name, uint64_t documents, uint64_t pending,
                        uint64_t to_link, uint64_t linked)
{
    struct collection *c;

    lock_take(&n->s.lock);
    c = fake_find_locked(n, name, strlen(name));
    assert(c != NULL);
    c->info.document_count = documents;
    c->info.pending_rows = pending;
    c->info.rows_to_link = to_link;
    c->info.linked_rows = linked;
    lock_drop(&n->s.lock);
}
