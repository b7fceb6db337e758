/* Changes of the catalog, one at a time on the meta thread (the order of their steps and what a
 * crash leaves: catalog_store.c). */
#include "node/cold_internal.h"

#include <assert.h>
#include <stdatomic.h>

struct admin_job {
    struct meta_job job;
    struct node *node;
    struct collection *c;            /* pinned; drop and checkpoint */
    struct catalog_collection entry; /* create */
    node_admin_fn *done;
    void *arg;
};

static void finish(struct admin_job *job, status st, struct collection *c, const struct err *err)
{
    struct collection_info info;
    node_admin_fn *done = job->done;
    void *arg = job->arg;

    if (st == ST_OK)
        node_collection_info(c, &info);
    node_collection_unpin(job->c);
    catalog_collection_free(&job->entry);
    mem_free(job);
    done(arg, st, st == ST_OK ? &info : NULL, err);
}

static struct admin_job *job_create(struct node *node, struct collection *c, node_admin_fn *done,
                                    void *arg)
{
    struct admin_job *job = mem_zero(sizeof *job);

    if (job == NULL)
        return NULL;
    job->node = node;
    job->done = done;
    job->arg = arg;
    if (c != NULL) {
        collection_pin(c);
        job->c = c;
    }
    return job;
}

static void submit(struct job_queue *queue, struct admin_job *job, void (*run)(struct meta_job *),
                   node_admin_fn *done, void *arg)
{
    struct err err = {0};

    if (job == NULL) {
        done(arg, err_set(&err, ST_NOMEM, "out of memory"), NULL, &err);
        return;
    }
    job->job.run = run;
    if (!jobs_push(queue, &job->job))
        finish(job, err_set(&err, ST_UNAVAILABLE, "the node is stopping"), NULL, &err);
}

status node_check_writable(struct node *node, struct err *err)
{
    if (atomic_load(&node->readonly))
        return err_set(err, ST_DENIED,
                       "the node is read-only; POST /admin/readwrite takes writes again");
    return ST_OK;
}

/* --- create --- */

status node_check_range(const char *what, uint64_t value, uint64_t low, uint64_t high,
                        struct err *err)
{
    if (value < low || value > high)
        return err_set(err, ST_INVALID, "%s is %llu, %llu to %llu is taken", what,
                       (unsigned long long)value, (unsigned long long)low,
                       (unsigned long long)high);
    return ST_OK;
}

status node_check_policy(struct node *node, enum node_policy policy, struct err *err)
{
    if (policy_has_bucket((uint8_t)policy) && node->tier == NULL)
        return err_set(err, ST_INVALID,
                       "tiering_policy %s needs a bucket, and this node was started without one: "
                       "set [storage] s3_bucket",
                       node_policy_name(policy));
    return policy_has_bucket((uint8_t)policy) ? bucket_check_refused(node, err) : ST_OK;
}

/* Takes back a create whose catalog is certainly not on disk. What stays is found by its intent at
 * the next start. */
static void undo_create(struct node *node, const struct catalog_collection *entry,
                        const char *id_text)
{
    struct err err = {0};

    if (remove_files(node, id_text, &err) != ST_OK || intent_remove(node, entry->id, &err) != ST_OK)
        log_warn("what a failed create left stays until the next start",
                 "collection=%s collection_id=%s err=%s", entry->name, id_text, err.text);
}

/* Again after an unknown outcome: it may stand there already. */
status admin_add_entry(void *arg, struct catalog *catalog, struct err *err)
{
    const struct catalog_collection *entry = arg;

    if (catalog_find_id(catalog, entry->id) != NULL)
        return ST_OK;
    return catalog_add_collection(catalog, entry, err);
}

/* The root, then the bucket's catalog: from there on it exists. */
static status create_in_bucket(struct collection *c, const struct catalog_collection *entry,
                               struct err *err)
{
    struct catalog_collection copy;
    status st = ship_create(c, 0, false, err);

    if (st != ST_OK)
        return st;
    st = catalog_collection_copy(entry, &copy, err);
    if (st == ST_OK) {
        st = bucket_catalog_change(c->node, admin_add_entry, &copy, err);
        catalog_collection_free(&copy);
    }
    return st;
}

/* From the intent to the commit point; *out is served from then on. */
static status create_steps(struct node *node, struct catalog *next,
                           const struct catalog_collection *entry, struct collection **out,
                           struct err *err)
{
    struct collection *c = NULL;
    char id_text[UUID_TEXT_BYTES];
    bool told = false;
    status st = intent_put(node, entry->id, err);

    if (st != ST_OK)
        return st;
    uuid_format(entry->id, id_text);
    st = collection_create(node, entry, &c, err);
    if (st == ST_OK)
        st = collection_open_log(c, err);
    if (st == ST_OK && entry->policy == NODE_S3_ONLY)
        st = cold_begin(c, err);
    if (st == ST_OK && policy_has_bucket(entry->policy))
        told = (st = create_in_bucket(c, entry, err)) == ST_OK;
    if (st == ST_OK)
        st = catalog_store_write(node, next, err);
    if (st == ST_OK) {
        *out = c;
        return ST_OK;
    }
    if (c != NULL)
        collection_close_log(c);
    collection_destroy(c);
    dlq_remove_collection(node->dlq, entry->id); /* there is nothing a person could mend */
    /* With the catalog on disk unknown, files and intent stay: the next start knows. */
    if (st != ST_UNKNOWN)
        undo_create(node, entry, id_text);
    return told ? catalog_store_missed(node, err) : st; /* then it comes from the bucket */
}

/* What comes from the bucket has its name and aliases before it is in the catalog. */
status admin_check_name_free(struct node *node, const char *name, struct err *err)
{
    struct collection *c = node_collection_pin(node, name, strlen(name));
    bool arrives = c != NULL && catalog_find_id(&node->catalog, c->id) == NULL;

    node_collection_unpin(c);
    return arrives ? err_set(err, ST_EXISTS,
                             "the name %s is of a collection that is being loaded from the bucket",
                             name)
                   : ST_OK;
}

static void run_create(struct meta_job *base)
{
    struct admin_job *job = (struct admin_job *)(void *)base;
    struct node *node = job->node;
    struct catalog_collection *entry = &job->entry;
    struct collection *c = NULL;
    struct catalog next;
    struct err err = {0};
    status st = node_check_writable(node, &err);

    catalog_init(&next);
    uuid_make_v4(node->options.rand, entry->id);
    entry->created_at_ns = clock_wall_ns(node->options.clock);
    if (st == ST_OK)
        st = catalog_copy(&node->catalog, &next, &err);
    if (st == ST_OK)
        st = admin_check_name_free(node, entry->name, &err);
    if (st == ST_OK)
        st = catalog_add_collection(&next, entry, &err);
    if (st == ST_OK)
        st = catalog_fits(&next, &err);
    if (st == ST_OK)
        st = create_steps(node, &next, entry, &c, &err);
    catalog_free(&next);
    if (st == ST_OK) {
        atomic_store(&c->checkpoint_mono_ns, clock_mono_ns(node->options.clock));
        collection_set_state(c, COLLECTION_SERVING, NULL);
        table_add(node, c);
        log_info("collection created", "collection_id=%s name=%s vectors=%zu", c->id_text,
                 entry->name, entry->field_count);
        /* Left in place it would be taken out at the next start. */
        if (intent_remove(node, entry->id, &err) != ST_OK)
            log_warn("an intent stays until the next start", "err=%s", err.text);
    }
    finish(job, st, c, &err);
}

void node_collection_create(struct node *node, const struct collection_spec *spec,
                            node_admin_fn *done, void *arg)
{
    struct catalog_collection entry;
    struct admin_job *job;
    struct err err = {0};

    if (schema_entry(node, spec, &entry, &err) != ST_OK) {
        done(arg, err.code, NULL, &err);
        return;
    }
    job = job_create(node, NULL, done, arg);
    if (job != NULL)
        job->entry = entry;
    else
        catalog_collection_free(&entry);
    submit(&node->meta, job, run_create, done, arg);
}

/* --- drop --- */

static void run_bury(struct meta_job *base)
{
    struct collection *c =
        (struct collection *)(void *)((char *)(void *)base - offsetof(struct collection, bury_job));

    bury(c);
}

void bury(struct collection *c)
{
    struct err err = {0};

    collection_close_log(c);
    dlq_remove_collection(c->node->dlq, c->id); /* what its stream still put until now */
    if (remove_all_files(c->node, c->id_text, &err) != ST_OK)
        log_warn("files of a dropped collection stay until the next start",
                 "collection_id=%s err=%s", c->id_text, err.text);
    node_collection_unpin(c); /* the table's pin */
}

void collection_is_dropped(struct collection *c)
{
    struct node *node = c->node;

    if (policy_has_bucket(atomic_load(&c->policy)))
        drop_is_over(c);
    log_info("collection dropped", "collection_id=%s", c->id_text);
    ship_forget(node, c->id);
    dlq_remove_collection(node->dlq, c->id);
    c->bury_job.run = run_bury;
    if (!jobs_push(&node->upkeep, &c->bury_job))
        bury(c);
}

static void take_out(struct collection *c)
{
    collection_set_state(c, COLLECTION_DROPPED, NULL);
    table_remove(c->node, c);
    collection_is_dropped(c);
}

static void start_drop(struct tier_stream *s, tier_done_fn *done, void *arg, const void *what)
{
    (void)what;
    tier_stream_drop(s, done, arg);
}

static status remove_entry(void *arg, struct catalog *catalog, struct err *err)
{
    struct collection *c = arg;

    if (catalog_find_id(catalog, c->id) == NULL)
        return ST_OK;
    return catalog_remove_collection(catalog, c->id, clock_wall_ns(c->node->options.clock), err);
}

/* was_unsure: one before it may have come about, whatever becomes of this one. */
static status drop_in_catalog(struct collection *c, bool was_unsure, catalog_change_fn *change,
                              void *arg, struct err *err)
{
    status st = drop_begin(c, err);

    if (st != ST_OK)
        return st;
    st = bucket_catalog_change(c->node, change, arg, err);
    if (st == ST_UNKNOWN)
        drop_is_unsure(c);
    else if (st != ST_OK && !was_unsure)
        drop_is_over(c);
    return st;
}

/* The bucket's catalog first: from there on it is dropped. The root's mark is for those who come by
 * later; it is not waited for longer than a moment. */
status collection_drop_there(struct collection *c, catalog_change_fn *change, void *arg,
                             struct err *err)
{
    struct err ignored = {0};
    bool fenced;
    bool streams;
    bool unsure;
    status st = ST_OK;

    lock_take(&c->seq.lock);
    unsure = c->seq.dropping; /* its root may say that it is dropped */
    fenced = c->seq.fenced && !unsure;
    streams = c->seq.stream != NULL;
    lock_drop(&c->seq.lock);
    if (unsure || (!fenced && !streams)) /* its root alone tells whose it is */
        st = drop_unloaded_allowed(c, err);
    if (st != ST_OK)
        return st;
    if (fenced)
        return err_set(err, ST_DENIED,
                       "the collection has another owner; drop it there, or take ownership first");
    st = drop_in_catalog(c, unsure, change, arg, err);
    if (st == ST_OK && ship_call(c, start_drop, NULL, NODE_BUCKET_WAIT_MS, &ignored) != ST_OK)
        log_warn("the root of a dropped collection is not marked yet", "collection_id=%s err=%s",
                 c->id_text, ignored.text);
    return st;
}

static status drop_in_bucket(struct collection *c, bool unloaded, struct err *err)
{
    status st;

    if (!unloaded)
        return collection_drop_there(c, remove_entry, c, err);
    st = drop_unloaded_allowed(c, err);
    return st == ST_OK ? bucket_catalog_change(c->node, remove_entry, c, err) : st;
}

static void run_drop(struct meta_job *base)
{
    struct admin_job *job = (struct admin_job *)(void *)base;
    struct node *node = job->node;
    struct catalog next;
    struct err err = {0};
    status st = collection_pin_now(&job->c, &err);
    struct collection *c = job->c;
    enum collection_state now = atomic_load(&c->seq.state);
    bool unloaded = now == COLLECTION_FAILED && catalog_find_id(&node->catalog, c->id) == NULL;
    bool backed = policy_has_bucket(atomic_load(&c->policy)) && node->tier != NULL;

    catalog_init(&next);
    if (st == ST_OK)
        st = node_check_writable(node, &err);
    if (st == ST_OK && (now == COLLECTION_LOADING || atomic_load(&c->in_load)))
        st = err_set(&err, ST_UNAVAILABLE, "the collection is still loading");
    if (st == ST_OK)
        st = catalog_copy(&node->catalog, &next, &err);
    if (st == ST_OK && !unloaded)
        st = catalog_remove_collection(&next, c->id, clock_wall_ns(node->options.clock), &err);
    if (st == ST_OK && backed)
        st = drop_in_bucket(c, unloaded, &err);
    if (st == ST_OK && !unloaded) {
        st = catalog_store_write(node, &next, &err);
        if (st != ST_OK && backed) {
            drop_is_unsure(c);
            st = catalog_store_missed(node, &err);
        }
    }
    catalog_free(&next);
    /* What were written to it now could be gone after the next start. */
    if (st == ST_UNKNOWN && !backed && atomic_load(&c->seq.state) == COLLECTION_SERVING)
        collection_set_state(c, COLLECTION_READ_ONLY,
                             "its drop failed on the way to the disk and may be done at the next "
                             "start: drop it again, or restart the node to see");
    if (st == ST_OK && unloaded)
        alias_expect_no_more(node, c->id);
    if (st == ST_OK)
        take_out(c);
    finish(job, st, c, &err);
}

void collection_drop_here(struct collection *c)
{
    struct node *node = c->node;
    struct catalog next;
    struct err err = {0};
    status st;

    catalog_init(&next);
    st = catalog_copy(&node->catalog, &next, &err);
    /* Another may have its place already. */
    if (st == ST_OK && catalog_find_id(&next, c->id) != NULL) {
        st = catalog_remove_collection(&next, c->id, clock_wall_ns(node->options.clock), &err);
        if (st == ST_OK)
            st = catalog_store_write(node, &next, &err);
    }
    catalog_free(&next);
    if (st == ST_OK)
        take_out(c);
    else
        log_error("a dropped collection stays until the disk takes the catalog",
                  "collection_id=%s err=%s", c->id_text, err.text);
    if (st != ST_OK)
        drop_is_unsure(c); /* and takes no writes */
}

void node_collection_drop(struct node *node, struct collection *c, node_admin_fn *done, void *arg)
{
    submit(&node->meta, job_create(node, c, done, arg), run_drop, done, arg);
}

/* --- checkpoint by command, on the upkeep thread --- */

static void run_checkpoint(struct meta_job *base)
{
    struct admin_job *job = (struct admin_job *)(void *)base;
    struct err err = {0};
    status st = checkpoint_run(job->c, &job->node->stopping, &err);

    finish(job, st, job->c, &err);
}

void node_checkpoint(struct collection *c, node_admin_fn *done, void *arg)
{
    submit(&c->node->upkeep, job_create(c->node, c, done, arg), run_checkpoint, done, arg);
}

/* --- reload --- */

enum { RELOAD_JSON_BYTES_MAX = 256 * 1024 };

struct reload_job {
    struct meta_job job;
    struct node *node;
    node_reload_done_fn *done;
    void *arg;
};

static void run_reload(struct meta_job *base)
{
    struct reload_job job = *(struct reload_job *)(void *)base;
    const struct node_options *o = &job.node->options;
    struct err err = {0};
    struct buf json;
    status st = ST_OK;

    mem_free(base);
    buf_init(&json, RELOAD_JSON_BYTES_MAX);
    if (o->reload != NULL)
        st = o->reload(o->reload_arg, &json, &err);
    else
        buf_put_text(&json, "{\"changed\":[],\"needs_restart\":[]}");
    if (st == ST_OK)
        st = buf_status(&json, &err);
    if (st == ST_OK && job.node->tier != NULL)
        tier_reload(job.node->tier); /* new keys may be what it waited for */
    if (st == ST_OK)
        log_info("configuration read again", "result=%.*s", (int)json.bytes,
                 (const char *)json.data);
    else
        log_warn("the new configuration is refused, nothing changed", "err=%s", err.text);
    job.done(job.arg, st, st == ST_OK ? &json : NULL, &err);
    buf_free(&json);
}

void node_reload(struct node *node, node_reload_done_fn *done, void *arg)
{
    struct reload_job *job = mem_zero(sizeof *job);
    struct err err = {0};

    if (job == NULL) {
        done(arg, err_set(&err, ST_NOMEM, "out of memory"), NULL, &err);
        return;
    }
    *job = (struct reload_job){.job = {.run = run_reload}, .node = node, .done = done, .arg = arg};
    if (!jobs_push(&node->meta, &job->job)) {
        mem_free(job);
        done(arg, err_set(&err, ST_UNAVAILABLE, "the node is stopping"), NULL, &err);
    }
}
