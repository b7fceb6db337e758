/* A collection takes another's place: its name and the aliases that led to it. The other is
 * dropped.
 *
 * All of it is one change of the catalog, and where the bucket knows of either, one of the bucket's
 * before it: whatever dies on the way, the name leads to the one or the other, whole. */
#include "node/node_internal.h"

#include <stdatomic.h>
#include <stdio.h>

/* The default database, which has no entry. */
static const uint8_t DATABASE[16];

struct replace_job {
    struct meta_job job;
    struct node *node;
    struct collection *fresh; /* pinned */
    struct collection *old;   /* pinned; NULL: nobody has the name */
    char name[CATALOG_NAME_BYTES_MAX + 1];
    const struct catalog *next; /* what the local catalog is to be */
    node_admin_fn *done;
    void *arg;
};

static void finish(struct replace_job *job, status st, const struct err *err)
{
    struct collection_info info;

    if (st == ST_OK)
        node_collection_info(job->fresh, &info);
    node_collection_unpin(job->old);
    node_collection_unpin(job->fresh);
    job->done(job->arg, st, st == ST_OK ? &info : NULL, err);
    mem_free(job);
}

/* Made twice it is the same. */
static status take_place(const struct replace_job *job, struct catalog *catalog, struct err *err)
{
    uint64_t now = clock_wall_ns(job->node->options.clock);
    const struct collection *fresh = job->fresh;
    const struct collection *old = job->old;
    bool is_there = catalog_find_id(catalog, fresh->id) != NULL;
    status st = ST_OK;

    for (size_t i = 0; is_there && old != NULL && i < catalog->alias_count; i++) {
        struct catalog_alias *a = &catalog->aliases[i];

        if (memcmp(a->collection_id, old->id, sizeof old->id) == 0)
            memcpy(a->collection_id, fresh->id, sizeof fresh->id);
    }
    if (old != NULL && catalog_find_id(catalog, old->id) != NULL)
        st = catalog_remove_collection(catalog, old->id, now, err);
    if (st == ST_OK && is_there)
        st = catalog_rename_collection(catalog, fresh->id, job->name, err);
    return st;
}

/* The bucket may not have known the aliases: the old one was this disk's alone. */
static status take_place_there(void *arg, struct catalog *bucket, struct err *err)
{
    const struct replace_job *job = arg;
    const struct catalog *next = job->next;
    status st = take_place(job, bucket, err);

    if (catalog_find_id(bucket, job->fresh->id) == NULL)
        return st;
    for (size_t i = 0; i < next->alias_count && st == ST_OK; i++) {
        const struct catalog_alias *a = &next->aliases[i];

        if (memcmp(a->collection_id, job->fresh->id, sizeof job->fresh->id) == 0)
            st = catalog_set_alias(bucket, DATABASE, a->name, job->fresh->id, err);
    }
    return st;
}

static status check_loaded(const struct collection *c, struct err *err)
{
    if (atomic_load(&c->seq.state) == COLLECTION_LOADING || atomic_load(&c->in_load))
        return err_set(err, ST_UNAVAILABLE, "the collection is still loading");
    if (catalog_find_id(&c->node->catalog, c->id) == NULL)
        return err_set(
            err, ST_UNAVAILABLE,
            "the collection comes from the bucket and is not whole on the local disk yet: wait "
            "until its phase is no longer arriving (tiervec tier NAME)");
    return ST_OK;
}

/* Who has the name now; not by an alias, which is another's. */
static status find_old(struct replace_job *job, struct err *err)
{
    struct node *node = job->node;
    const struct catalog_collection *entry = catalog_find_name(&node->catalog, DATABASE, job->name);

    if (entry == NULL)
        return admin_check_name_free(node, job->name, err);
    if (strcmp(entry->name, job->name) != 0)
        return err_set(err, ST_EXISTS, "the name %s is an alias", job->name);
    if (memcmp(entry->id, job->fresh->id, sizeof entry->id) == 0)
        return ST_OK;
    job->old = node_collection_pin_id(node, entry->id);
    if (job->old == NULL)
        return err_set(err, ST_UNAVAILABLE, "the collection is still loading");
    return check_loaded(job->old, err);
}

static status prepare(struct replace_job *job, struct catalog *next,
                      struct collection_stats **stats, struct err *err)
{
    status st = node_check_writable(job->node, err);

    if (st == ST_OK)
        st = collection_pin_now(&job->fresh, err);
    if (st == ST_OK)
        st = check_loaded(job->fresh, err);
    if (st == ST_OK)
        st = find_old(job, err);
    if (st == ST_OK)
        st = catalog_copy(&job->node->catalog, next, err);
    if (st == ST_OK)
        st = take_place(job, next, err);
    if (st != ST_OK)
        return st;
    *stats = collection_stats_create(job->node, job->fresh->id_text, job->name);
    return *stats != NULL ? ST_OK : err_set(err, ST_NOMEM, "out of memory");
}

static bool is_backed(const struct collection *c)
{
    return c != NULL && policy_has_bucket(atomic_load(&c->policy)) && c->node->tier != NULL;
}

static status replace_there(struct replace_job *job, const struct catalog *next, struct err *err)
{
    status st = ST_OK;

    job->next = next;
    if (is_backed(job->old) || is_backed(job->fresh))
        st = catalog_fits(next, err);
    if (st == ST_OK && is_backed(job->old))
        return collection_drop_there(job->old, take_place_there, job, err);
    if (st == ST_OK && is_backed(job->fresh))
        st = bucket_catalog_change(job->node, take_place_there, job, err);
    return st;
}

static status replace_here(struct replace_job *job, struct catalog *next, struct err *err)
{
    status st = catalog_store_write(job->node, next, err);

    if (st == ST_OK)
        return ST_OK;
    if (is_backed(job->old))
        drop_is_unsure(job->old);
    else if (st == ST_UNKNOWN && job->old != NULL &&
             atomic_load(&job->old->seq.state) == COLLECTION_SERVING)
        collection_set_state(job->old, COLLECTION_READ_ONLY,
                             "its replacement failed on the way to the disk and may be done at the "
                             "next start: replace it again, or restart the node to see");
    return is_backed(job->old) || is_backed(job->fresh) ? catalog_store_missed(job->node, err) : st;
}

static void run_replace(struct meta_job *base)
{
    struct replace_job *job = (struct replace_job *)(void *)base;
    struct collection_stats *stats = NULL;
    struct catalog next;
    struct err err = {0};
    status st;

    catalog_init(&next);
    st = prepare(job, &next, &stats, &err);
    if (st == ST_OK)
        st = replace_there(job, &next, &err);
    if (st == ST_OK)
        st = replace_here(job, &next, &err);
    catalog_free(&next);
    if (st == ST_OK) {
        table_succeed(job->node, job->old, job->fresh, job->name);
        collection_stats_replace(job->fresh, stats);
        stats = NULL;
        if (job->old != NULL) {
            exports_move(job->old, job->fresh);
            collection_is_dropped(job->old);
        }
    }
    collection_stats_destroy(stats);
    finish(job, st, &err);
}

void node_collection_replace(struct node *node, struct collection *fresh, const char *name,
                             node_admin_fn *done, void *arg)
{
    struct replace_job *job = mem_zero(sizeof *job);
    struct err err = {0};
    status st = catalog_name_check(name, strlen(name), &err);

    if (st == ST_OK && job == NULL)
        st = err_set(&err, ST_NOMEM, "out of memory");
    if (st != ST_OK) {
        mem_free(job);
        done(arg, st, NULL, &err);
        return;
    }
    job->job.run = run_replace;
    job->node = node;
    job->done = done;
    job->arg = arg;
    (void)snprintf(job->name, sizeof job->name, "%s", name);
    collection_pin(fresh);
    job->fresh = fresh;
    if (!jobs_push(&node->meta, &job->job))
        finish(job, err_set(&err, ST_UNAVAILABLE, "the node is stopping"), &err);
}
