/* Collections: made, changed, found and dropped. */
#include "tests/support/fake_node_internal.h"

#include "index/vindex.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

struct collection *fake_find_locked(struct node *n, const char *key, size_t bytes)
{
    for (struct collection *c = n->s.collections; c != NULL; c = c->next)
        if (!c->dropped &&
            ((strlen(c->info.name) == bytes && memcmp(c->info.name, key, bytes) == 0) ||
             (bytes == 36 && memcmp(c->info.id, key, bytes) == 0)))
            return c;
    for (size_t i = 0; i < n->s.alias_count; i++)
        if (strlen(n->s.aliases[i].alias) == bytes &&
            memcmp(n->s.aliases[i].alias, key, bytes) == 0)
            return n->s.aliases[i].collection;
    return NULL;
}

static bool name_is_fine(const char *name)
{
    for (const char *at = name; *at != '\0'; at++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", *at) ==
            NULL)
            return false;
    return true;
}

static const char *quantization_name(uint8_t asked)
{
    return vquantization_name(asked == 0 ? VQUANT_SCALAR : (enum vquantization)(asked - 1));
}

static struct collection *make_locked(struct node *n, const struct collection_spec *spec)
{
    static unsigned made;
    struct collection *c = calloc(1, sizeof *c);

    assert(c != NULL);
    c->node = n;
    c->metric = spec->metric;
    c->string_ids = spec->string_ids;
    buf_init(&c->setting, NODE_SETTING_BYTES_MAX);
    buf_put_slice(&c->setting, spec->setting_value);
    c->field_count = spec->fields == NULL ? 1 : spec->field_count;
    assert(c->field_count <= FAKE_FIELDS);
    c->fields[0] = (struct field_info){
        .name = c->names[0], .dimension = spec->dimension, .metric = spec->metric};
    for (size_t i = 0; spec->fields != NULL && i < c->field_count; i++) {
        c->fields[i] = spec->fields[i];
        c->fields[i].name = c->names[i];
        (void)snprintf(c->names[i], sizeof c->names[i], "%s", spec->fields[i].name);
    }
    c->info.dimension = c->fields[0].dimension;
    c->info.metric = c->field_count == 0 ? "none" : vmetric_name((enum vmetric)c->fields[0].metric);
    c->info.policy = node_policy_name(spec->policy == 0 ? NODE_MEMORY : spec->policy);
    c->info.durability =
        node_durability_name(spec->durability == 0 ? NODE_LOCAL : spec->durability);
    c->info.has_bucket = spec->policy == NODE_MEMORY_S3;
    c->info.phase = c->info.has_bucket ? "owned" : "";
    c->info.state = "serving";
    c->info.m = spec->m != 0 ? spec->m : 32;
    c->info.ef_construction = spec->ef_construction != 0 ? spec->ef_construction : 200;
    c->info.ef_search = spec->ef_search != 0 ? spec->ef_search : 100;
    c->info.threshold = spec->threshold != UINT32_MAX ? spec->threshold : 10000;
    c->info.quantization = quantization_name(spec->quantization);
    if (spec->fields == NULL) {
        c->fields[0].m = c->info.m;
        c->fields[0].ef_construction = c->info.ef_construction;
        c->fields[0].ef_search = c->info.ef_search;
        c->fields[0].threshold = c->info.threshold;
        c->fields[0].quantization = spec->quantization;
    }
    c->info.created_at_ns = 1700000000000000000u;
    (void)snprintf(c->info.name, sizeof c->info.name, "%s", spec->name);
    (void)snprintf(c->info.id, sizeof c->info.id, "00000000-0000-7000-8000-%012u", ++made);
    c->next = n->s.collections;
    n->s.collections = c;
    return c;
}

void node_collection_create(struct node *n, const struct collection_spec *spec, node_admin_fn *done,
                            void *arg)
{
    struct completion *made;

    fake_take(n);
    if (!name_is_fine(spec->name))
        made = fake_completion(arg, ST_INVALID, "the name holds a character that is not allowed");
    else if ((spec->policy == NODE_MEMORY_S3 || spec->durability == NODE_REMOTE) &&
             !n->s.bucket.has_bucket)
        made = fake_completion(arg, ST_INVALID, "there is no bucket: say [storage] s3_bucket");
    else if (n->s.fail_bucket != ST_OK)
        made =
            fake_completion(arg, fake_refusal_of_bucket_locked(n), "the bucket was told to refuse");
    else if (fake_find_locked(n, spec->name, strlen(spec->name)) != NULL)
        made = fake_completion(arg, ST_EXISTS, "a collection has this name");
    else
        made = fake_completion(arg, ST_OK, "");
    made->admin = done;
    if (made->st == ST_OK)
        made->info = make_locked(n, spec)->info;
    fake_queue_locked(n, made);
    fake_drop(n);
}

static void admin_done(struct collection *c, node_admin_fn *done, void *arg)
{
    struct completion *made = fake_completion(arg, ST_OK, "");

    made->admin = done;
    made->info = c->info;
    fake_queue_locked(c->node, made);
}

void fake_node_set_exports(struct node *n, struct fs *fs, const char *dir)
{
    fake_take(n);
    n->s.exports_fs = fs;
    n->s.exports_dir = dir;
    fake_drop(n);
}

status node_exports_dir(const struct collection *c, struct fs **fs, char out[FS_PATH_BYTES],
                        struct err *err)
{
    const char *dir;

    fake_take(c->node);
    *fs = c->node->s.exports_fs;
    dir = c->node->s.exports_dir;
    fake_drop(c->node);
    return dir == NULL ? err_set(err, ST_UNSUPPORTED, "this node keeps no files")
                       : fs_join(out, dir, c->info.id, err);
}

status node_exports_root(const struct node *n, struct fs **fs, char out[FS_PATH_BYTES],
                         struct err *err)
{
    *fs = n->s.exports_fs;
    if (n->s.exports_dir == NULL)
        return err_set(err, ST_UNSUPPORTED, "this node keeps no files");
    (void)snprintf(out, FS_PATH_BYTES, "%s", n->s.exports_dir);
    return ST_OK;
}

void node_collection_replace(struct node *n, struct collection *fresh, const char *name,
                             node_admin_fn *done, void *arg)
{
    struct collection *old;
    struct completion *made;

    fake_take(n);
    old = fake_find_locked(n, name, strlen(name));
    for (size_t i = 0; old != NULL && i < n->s.alias_count; i++)
        if (n->s.aliases[i].collection == old)
            n->s.aliases[i].collection = fresh;
    if (old != NULL)
        old->dropped = true;
    (void)snprintf(fresh->info.name, sizeof fresh->info.name, "%s", name);
    made = fake_completion(arg, ST_OK, NULL);
    made->info = fresh->info;
    made->admin = done;
    fake_queue_locked(n, made);
    fake_drop(n);
}

void node_collection_drop(struct node *n, struct collection *c, node_admin_fn *done, void *arg)
{
    fake_take(n);
    c->dropped = true;
    admin_done(c, done, arg);
    fake_drop(n);
}

void node_collection_patch(struct node *n, struct collection *c,
                           const struct collection_patch *patch, node_admin_fn *done, void *arg)
{
    status fail;

    fake_take(n);
    fail = n->s.fail_write;
    n->s.fail_write = ST_OK;
    if (fail == ST_OK && patch->setting_merged &&
        !slice_equal(patch->setting_was, buf_slice(&c->setting)))
        fail = ST_CONFLICT;
    if (fail != ST_OK) {
        struct completion *made = fake_completion(arg, fail, "the node was told to fail");

        made->admin = done;
        fake_queue_locked(n, made);
        fake_drop(n);
        return;
    }
    if (patch->name != NULL)
        (void)snprintf(c->info.name, sizeof c->info.name, "%s", patch->name);
    if (patch->ef_search != 0)
        c->info.ef_search = patch->ef_search;
    for (size_t i = 0; patch->hnsw != NULL && i < c->field_count; i++) {
        struct field_info *f = &c->fields[i];

        f->m = patch->hnsw[i].m != 0 ? patch->hnsw[i].m : f->m;
        f->ef_search = patch->hnsw[i].ef_search != 0 ? patch->hnsw[i].ef_search : f->ef_search;
        if (patch->hnsw[i].quantization != 0)
            f->quantization = patch->hnsw[i].quantization;
        c->info.quantization = quantization_name(c->fields[0].quantization);
    }
    if (patch->hnsw != NULL && patch->hnsw[0].m != 0) {
        c->info.rebuild = (struct rebuild_info){.state = "linking",
                                                .m = patch->hnsw[0].m,
                                                .ef_construction = 200,
                                                .quantization = c->info.quantization,
                                                .linked = 1,
                                                .rows = 2};
        c->info.m = patch->hnsw[0].m;
    }
    if (patch->setting_key != NULL) {
        buf_reset(&c->setting);
        buf_put_slice(&c->setting, patch->setting_value);
    }
    if (patch->durability != 0)
        c->info.durability = node_durability_name(patch->durability);
    if (patch->policy != 0) {
        c->info.policy = node_policy_name(patch->policy);
        c->info.switching = c->info.has_bucket = patch->policy == NODE_MEMORY_S3;
        c->info.phase = c->info.has_bucket ? "creating" : "";
    }
    admin_done(c, done, arg);
    fake_drop(n);
}

void node_checkpoint(struct collection *c, node_admin_fn *done, void *arg)
{
    fake_take(c->node);
    c->info.snapshot_lsn = c->info.last_lsn;
    c->info.last_checkpoint_ns = 1700000001000000000u;
    admin_done(c, done, arg);
    fake_drop(c->node);
}

struct collection *node_collection_pin(struct node *n, const char *key, size_t key_bytes)
{
    struct collection *c;

    fake_take(n);
    c = fake_find_locked(n, key, key_bytes);
    n->s.pins += c != NULL ? 1 : 0;
    fake_drop(n);
    return c;
}

void node_collection_unpin(struct collection *c)
{
    fake_take(c->node);
    c->node->s.pins--;
    fake_drop(c->node);
}

void node_collection_info(struct collection *c, struct collection_info *out)
{
    fake_take(c->node);
    *out = c->info;
    fake_drop(c->node);
}

size_t node_collection_list(struct node *n, const char *after, struct collection_info *out,
                            size_t max)
{
    size_t count = 0;

    fake_take(n);
    while (count < max) {
        const struct collection *best = NULL;

        for (const struct collection *c = n->s.collections; c != NULL; c = c->next)
            if (!c->dropped && (after == NULL || strcmp(c->info.name, after) > 0) &&
                (best == NULL || strcmp(c->info.name, best->info.name) < 0))
                best = c;
        if (best == NULL)
            break;
        out[count] = best->info;
        after = out[count++].name;
    }
    fake_drop(n);
    return count;
}

uint32_t collection_dimension(const struct collection *c)
{
    return c->info.dimension;
}

bool collection_needs_nonzero(const struct collection *c)
{
    return c->metric == VMETRIC_COSINE;
}

const char *collection_id_text(const struct collection *c)
{
    return c->info.id;
}

uint64_t collection_fair_key(const struct collection *c)
{
    return (uint64_t)(uintptr_t)c;
}
