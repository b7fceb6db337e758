/* Changes of a collection while it serves: name, settings, and Memory to MemoryS3.
 *
 * Of a bucket-backed collection the bucket's catalog is changed first: it is what a restore finds.
 * A switch goes the other way round, root, local catalog, bucket's catalog, so that no crash leaves
 * a collection that others take for shipped and this node does not ship: until the base is
 * published the root says `switching`, and a start that finds it so goes on (docs/protocol.md,
 * "Catalog"). */
#include "node/cold.h"

#include <stdatomic.h>
#include <stdio.h>

struct patch_job {
    struct meta_job job;
    struct node *node;
    struct collection *c; /* pinned */
    struct collection_patch patch;
    struct hnsw_patch hnsw[NODE_FIELDS_MAX]; /* patch.hnsw, if it is not NULL */
    struct rebuild_room room;                /* set aside for it */
    char *name;                              /* NULL: as it is */
    bool puts;                               /* a setting */
    setting_key_fn *choose;
    char key[SETTING_KEY_BYTES];
    struct buf value, was;
    struct catalog_collection settings; /* what is shown then */
    bool lacks, tells; /* the bucket's catalog has not the collection; it is to get it */
    node_admin_fn *done;
    void *arg;
};

static void job_free(struct patch_job *job)
{
    if (job == NULL)
        return;
    catalog_settings_free(&job->settings);
    buf_free(&job->value);
    buf_free(&job->was);
    mem_free(job->name);
    mem_free(job);
}

static void finish(struct patch_job *job, status st, const struct err *err)
{
    struct collection_info info;
    node_admin_fn *done = job->done;
    void *arg = job->arg;

    if (st == ST_OK)
        node_collection_info(job->c, &info);
    node_collection_unpin(job->c);
    job_free(job);
    done(arg, st, st == ST_OK ? &info : NULL, err);
}

static void set_ef_search(struct catalog_collection *entry, uint16_t ef_search)
{
    for (size_t i = 0; i < entry->field_count; i++)
        entry->fields[i].ef_search = ef_search;
}

static void set_hnsw(struct catalog_collection *entry, const struct hnsw_patch *patch)
{
    for (size_t i = 0; i < entry->field_count; i++) {
        struct catalog_field *f = &entry->fields[i];

        f->m = patch[i].m != 0 ? patch[i].m : f->m;
        f->ef_construction =
            patch[i].ef_construction != 0 ? patch[i].ef_construction : f->ef_construction;
        f->ef_search = patch[i].ef_search != 0 ? patch[i].ef_search : f->ef_search;
        f->threshold = patch[i].threshold != UINT32_MAX ? patch[i].threshold : f->threshold;
        f->quantization =
            patch[i].quantization != 0 ? schema_byte_of(patch[i].quantization) : f->quantization;
    }
}

static status apply(void *arg, struct catalog *catalog, struct err *err)
{
    struct patch_job *job = arg;
    struct catalog_collection *entry = catalog_find_id(catalog, job->c->id);
    status st = ST_OK;

    if (entry == NULL)
        return err_set(err, ST_NOT_FOUND, "the collection was dropped");
    if (job->name != NULL && strcmp(entry->name, job->name) != 0)
        st = catalog_rename_collection(catalog, job->c->id, job->name, err);
    if (st == ST_OK && job->patch.ef_search != 0)
        set_ef_search(entry, job->patch.ef_search);
    if (st == ST_OK && job->patch.hnsw != NULL)
        set_hnsw(entry, job->hnsw);
    if (st == ST_OK && job->patch.durability != 0)
        entry->durability = (uint8_t)job->patch.durability;
    if (st == ST_OK && job->patch.policy != 0)
        entry->policy = (uint8_t)job->patch.policy;
    if (st == ST_OK && job->puts)
        st = catalog_put_setting(entry, job->key, buf_slice(&job->value), err);
    return st;
}

/* The same with the bucket's catalog, which a switch may not have reached yet (tell_bucket()). */
static status apply_there(void *arg, struct catalog *bucket, struct err *err)
{
    struct patch_job *job = arg;
    const uint8_t *id = job->c->id;
    status st = ST_OK;

    if (job->tells)
        st = bucket_add_missing(job->node, id, bucket, err);
    job->lacks = catalog_find_id(bucket, id) == NULL && !bucket_dropped(bucket, id);
    return st == ST_OK ? apply(job, bucket, err) : st;
}

static status change_there(struct patch_job *job, struct err *err)
{
    struct node *node = job->node;
    status st = bucket_catalog_change(node, apply_there, job, err);

    if (st == ST_NOT_FOUND && job->lacks) {
        st = bucket_has_root(node, job->c->id, err);
        if (st != ST_OK)
            return err_wrap(err, ST_UNAVAILABLE,
                            "the bucket's catalog does not have the collection, and its root "
                            "cannot be read: see GET /health");
        job->tells = true;
        return bucket_catalog_change(node, apply_there, job, err);
    }
    if (st == ST_NOT_FOUND) /* dropped there */
        atomic_store(&node->sync_wanted, true);
    return st;
}

/* --- Memory to MemoryS3 --- */

static void switch_back(struct collection *c)
{
    ship_close(c);
    atomic_store(&c->policy, NODE_MEMORY);
    ship_forget(c->node, c->id);
}

/* The log is kept from here on; what lies before comes as base segments. */
static status begin_switch(struct collection *c, struct err *err)
{
    uint64_t floor_lsn;
    status st;

    atomic_store(&c->policy, NODE_MEMORY_S3); /* from here on the log is not trimmed */
    floor_lsn = atomic_load_explicit(&c->applied_lsn, memory_order_acquire);
    st = ship_create(c, floor_lsn, true, err);
    if (st != ST_OK)
        switch_back(c);
    return st;
}

/* For others; the next look at it makes good what is missing (bucket_sync.c). */
static void tell_bucket(struct patch_job *job)
{
    struct err err = {0};

    if (bucket_tell(job->node, job->c->id, &err) == ST_OK)
        return;
    log_warn("the bucket's catalog lacks a collection; it is told in a moment",
             "collection_id=%s err=%s", job->c->id_text, err.text);
    atomic_store(&job->node->sync_wanted, true);
}

/* --- to S3Only and back: cold.h --- */

/* Nothing has changed yet; what can fail does so here. */
static status before_switch(struct patch_job *job, struct err *err)
{
    if (job->patch.policy == NODE_S3_ONLY)
        return cold_enter_check(job->c, err);
    return cold_is(job->c) ? cold_leave_begin(job->c, err) : ST_OK;
}

/* What became of it the bucket's catalog says, if it is not known. */
static void not_switched(struct patch_job *job, status st)
{
    if (st == ST_UNKNOWN)
        atomic_store(&job->node->sync_later, true);
    else
        cold_leave_undo(job->c);
}

static void after_switch(struct patch_job *job)
{
    if (job->patch.policy == NODE_S3_ONLY)
        cold_enter(job->c);
    else if (cold_is(job->c))
        cold_leave(job->c);
}

/* --- the change --- */

static void show(struct patch_job *job, struct collection_stats **stats)
{
    const struct catalog_collection *entry = catalog_find_id(&job->node->catalog, job->c->id);
    struct collection *c = job->c;

    if (job->name != NULL) {
        table_rename(job->node, c, job->name);
        collection_stats_replace(c, *stats);
        *stats = NULL;
    }
    if (job->patch.ef_search != 0 || job->patch.hnsw != NULL)
        collection_take_hnsw(c, entry);
    if (job->patch.durability != 0)
        atomic_store(&c->durability, (uint8_t)job->patch.durability);
    if (job->puts)
        collection_settings_show(c, &job->settings);
}

static status check_now(struct patch_job *job, bool *switches, struct err *err)
{
    uint8_t now = atomic_load(&job->c->policy);
    enum node_policy then = job->patch.policy != 0 ? job->patch.policy : (enum node_policy)now;
    status st = node_check_writable(job->node, err);

    *switches = then != (enum node_policy)now;
    if (st == ST_OK)
        st = node_check_policy(job->node, then, err);
    if (st == ST_OK && *switches && then == NODE_MEMORY)
        st = err_set(err, ST_UNSUPPORTED,
                     "from %s back to Memory is not part of this version: make a Memory collection "
                     "and insert the documents there",
                     node_policy_name((enum node_policy)now));
    if (st == ST_OK && job->patch.durability == NODE_REMOTE && then == NODE_MEMORY)
        st = err_set(err, ST_INVALID,
                     "durability remote needs a bucket; the collection's policy is Memory");
    if (st == ST_OK && atomic_load(&job->c->seq.state) == COLLECTION_LOADING)
        st = err_set(err, ST_UNAVAILABLE, "the collection is still loading");
    if (st == ST_OK && catalog_find_id(&job->node->catalog, job->c->id) == NULL)
        st = err_set(err, ST_UNAVAILABLE,
                     "the collection comes from the bucket and is not whole on the local disk yet: "
                     "wait until its phase is no longer arriving (tiervec tier NAME)");
    if (st == ST_OK && *switches && atomic_load(&job->c->seq.state) != COLLECTION_SERVING)
        st = err_set(err, ST_DENIED, "the collection is not whole: see GET /health");
    return st;
}

static bool is_as_it_was(const struct patch_job *job)
{
    const struct catalog_collection *entry = catalog_find_id(&job->node->catalog, job->c->id);
    const struct catalog_setting *s = catalog_find_setting(entry, job->key);

    return !job->patch.setting_merged ||
           slice_equal(buf_slice(&job->was),
                       s == NULL ? slice_make(NULL, 0) : slice_make(s->value, s->bytes));
}

/* To a copy of the local catalog, which is what the bucket's must take as well. */
static status prepare(struct patch_job *job, struct catalog *next, struct collection_stats **stats,
                      struct err *err)
{
    status st = catalog_copy(&job->node->catalog, next, err);

    if (st == ST_OK && !is_as_it_was(job))
        st = err_set(err, ST_CONFLICT, "another change of the collection came in between");
    if (st == ST_OK && job->name != NULL)
        st = admin_check_name_free(job->node, job->name, err);
    if (st == ST_OK && job->name != NULL) {
        *stats = collection_stats_create(job->node, job->c->id_text, job->name);
        if (*stats == NULL)
            st = err_set(err, ST_NOMEM, "out of memory");
    }
    if (st == ST_OK)
        st = apply(job, next, err);
    if (st == ST_OK && job->puts)
        st = catalog_settings_copy(catalog_find_id(next, job->c->id), &job->settings, err);
    return st;
}

static void run_patch(struct meta_job *base)
{
    struct patch_job *job = (struct patch_job *)(void *)base;
    struct node *node = job->node;
    struct collection_stats *stats = NULL;
    struct catalog next;
    struct err err = {0};
    bool switches = false;
    bool nothing = false;
    status st = collection_pin_now(&job->c, &err);
    bool backed = policy_has_bucket(atomic_load(&job->c->policy)) && node->tier != NULL;

    catalog_init(&next);
    if (st == ST_OK)
        st = check_now(job, &switches, &err);
    if (st == ST_OK && job->choose != NULL)
        st = job->choose(job->arg, job->c, job->key, &nothing, &err);
    if (st != ST_OK || nothing) {
        finish(job, st, &err);
        return;
    }
    st = prepare(job, &next, &stats, &err);
    if (st == ST_OK)
        st = rebuild_reserve(job->c, catalog_find_id(&next, job->c->id), &job->room, &err);
    if (st == ST_OK && backed)
        st = catalog_fits(&next, &err);
    if (st == ST_OK && switches)
        st = before_switch(job, &err);
    if (st == ST_OK && backed) {
        st = change_there(job, &err);
        if (st != ST_OK && switches)
            not_switched(job, st);
    }
    if (st == ST_OK && switches && !backed)
        st = begin_switch(job->c, &err);
    if (st == ST_OK) {
        st = catalog_store_write(node, &next, &err);
        if (st != ST_OK && st != ST_UNKNOWN && switches && !backed)
            switch_back(job->c);
        if (st != ST_OK && backed)
            st = catalog_store_missed(node, &err);
    }
    catalog_free(&next);
    if (st == ST_OK) {
        show(job, &stats);
        if (switches && !backed)
            tell_bucket(job);
        if (switches)
            after_switch(job);
    }
    rebuild_settle(job->c, &job->room, st == ST_OK);
    collection_stats_destroy(stats);
    finish(job, st, &err);
}

static status check_hnsw(const struct hnsw_patch *h, struct err *err)
{
    status st = ST_OK;

    if (h->m != 0)
        st = node_check_range("hnsw.m", h->m, VINDEX_M_MIN, VINDEX_M_MAX, err);
    if (st == ST_OK && h->ef_construction != 0)
        st = node_check_range("hnsw.ef_construction", h->ef_construction, 1, VINDEX_EF_MAX, err);
    if (st == ST_OK && h->ef_search != 0)
        st = node_check_range("hnsw.ef_search", h->ef_search, 1, VINDEX_EF_MAX, err);
    return st == ST_OK ? schema_check_quantization(h->quantization, err) : st;
}

static status check_patch(const struct collection *c, const struct collection_patch *patch,
                          struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && patch->hnsw != NULL && i < c->field_count; i++)
        st = check_hnsw(&patch->hnsw[i], err);
    if (st != ST_OK)
        return st;

    if (patch->name != NULL)
        st = catalog_name_check(patch->name, strlen(patch->name), err);
    if (st == ST_OK && patch->ef_search != 0)
        st = node_check_range("ef_search", patch->ef_search, 1, VINDEX_EF_MAX, err);
    return st;
}

static void submit(struct node *node, struct collection *c, struct patch_job *job,
                   node_admin_fn *done, void *arg)
{
    struct err err = {0};

    job->job.run = run_patch;
    job->node = node;
    job->done = done;
    job->arg = arg;
    collection_pin(c);
    job->c = c;
    if (!jobs_push(&node->meta, &job->job))
        finish(job, err_set(&err, ST_UNAVAILABLE, "the node is stopping"), &err);
}

/* The key may be chosen later. */
static status take_setting(struct patch_job *job, const char *key, struct slice value,
                           struct err *err)
{
    if (value.bytes > NODE_SETTING_BYTES_MAX)
        return err_set(err, ST_INVALID, "a setting has at most %d bytes, this one %zu",
                       NODE_SETTING_BYTES_MAX, value.bytes);
    if (strlen(key) > CATALOG_SETTING_KEY_BYTES_MAX)
        return err_set(err, ST_INVALID, "the key of a setting has at most %d bytes",
                       CATALOG_SETTING_KEY_BYTES_MAX);
    (void)snprintf(job->key, sizeof job->key, "%s", key);
    job->puts = true;
    buf_init(&job->value, NODE_SETTING_BYTES_MAX);
    buf_put(&job->value, value.data, value.bytes);
    return buf_status(&job->value, err);
}

static status take_patch(struct patch_job *job, const struct collection_patch *patch,
                         struct err *err)
{
    status st = ST_OK;

    job->patch = *patch;
    if (patch->name != NULL && (job->name = mem_strdup(patch->name)) == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    if (patch->hnsw != NULL)
        memcpy(job->hnsw, patch->hnsw, job->c->field_count * sizeof job->hnsw[0]);
    if (patch->setting_key != NULL)
        st = take_setting(job, patch->setting_key, patch->setting_value, err);
    if (st == ST_OK && patch->setting_merged) {
        buf_init(&job->was, NODE_SETTING_BYTES_MAX);
        buf_put_slice(&job->was, patch->setting_was);
        st = buf_status(&job->was, err);
    }
    return st;
}

void node_collection_patch(struct node *node, struct collection *c,
                           const struct collection_patch *patch, node_admin_fn *done, void *arg)
{
    struct patch_job *job = mem_zero(sizeof *job);
    struct err err = {0};
    status st = check_patch(c, patch, &err);

    if (st == ST_OK && job == NULL)
        st = err_set(&err, ST_NOMEM, "out of memory");
    if (st == ST_OK) {
        job->c = c;
        st = take_patch(job, patch, &err);
    }
    if (st != ST_OK) {
        job_free(job);
        done(arg, st, NULL, &err);
        return;
    }
    submit(node, c, job, done, arg);
}

static void put_setting(struct node *node, struct collection *c, const char *key,
                        setting_key_fn *choose, struct slice value, node_admin_fn *done, void *arg)
{
    struct patch_job *job = mem_zero(sizeof *job);
    struct err err = {0};
    status st = job == NULL ? err_set(&err, ST_NOMEM, "out of memory")
                            : take_setting(job, key, value, &err);

    if (st != ST_OK) {
        job_free(job);
        done(arg, st, NULL, &err);
        return;
    }
    job->choose = choose;
    submit(node, c, job, done, arg);
}

void node_setting_put(struct node *node, struct collection *c, const char *key, struct slice value,
                      node_admin_fn *done, void *arg)
{
    put_setting(node, c, key, NULL, value, done, arg);
}

void setting_put_chosen(struct node *node, struct collection *c, setting_key_fn *choose,
                        struct slice value, node_admin_fn *done, void *arg)
{
    put_setting(node, c, "", choose, value, done, arg);
}
