/* Aliases: another name of a collection. They change on the meta thread, with the bucket's catalog
 * first where the collection is bucket-backed; readers see a copy. */
#include "node/node_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* The default database, which has no entry. */
static const uint8_t DATABASE[16];

void alias_show(struct node *node)
{
    struct catalog copy;
    struct err err = {0};

    if (catalog_copy(&node->catalog, &copy, &err) != ST_OK) {
        log_error("out of memory: aliases are shown as they were", "err=%s", err.text);
        return;
    }
    for (size_t i = 0; i < copy.collection_count; i++) /* collections show theirs */
        catalog_settings_free(&copy.collections[i]);
    lock_take(&node->bucket.lock);
    {
        struct catalog old = node->bucket.aliases;

        node->bucket.aliases = copy;
        copy = old;
    }
    lock_drop(&node->bucket.lock);
    catalog_free(&copy);
}

struct collection *alias_pin(struct node *node, const char *name, size_t bytes)
{
    uint8_t id[16];
    bool found = false;

    lock_take(&node->bucket.lock);
    for (size_t i = 0; i < node->bucket.aliases.alias_count && !found; i++) {
        const struct catalog_alias *a = &node->bucket.aliases.aliases[i];

        found = strlen(a->name) == bytes && memcmp(a->name, name, bytes) == 0;
        if (found)
            memcpy(id, a->collection_id, sizeof id);
    }
    lock_drop(&node->bucket.lock);
    return found ? node_collection_pin_id(node, id) : NULL;
}

static int by_alias(const void *a, const void *b)
{
    return strcmp(((const struct node_alias *)a)->alias, ((const struct node_alias *)b)->alias);
}

size_t node_alias_list(struct node *node, const char *after, struct node_alias *out, size_t max)
{
    struct node_alias *all;
    size_t count = 0;
    size_t written = 0;

    lock_take(&node->bucket.lock);
    all = mem_alloc_array(node->bucket.aliases.alias_count, sizeof *all);
    for (size_t i = 0; all != NULL && i < node->bucket.aliases.alias_count; i++) {
        const struct catalog_alias *a = &node->bucket.aliases.aliases[i];
        const struct catalog_collection *c =
            catalog_find_id(&node->bucket.aliases, a->collection_id);

        (void)snprintf(all[count].alias, sizeof all[count].alias, "%s", a->name);
        uuid_format(a->collection_id, all[count].collection_id);
        (void)snprintf(all[count].collection, sizeof all[count].collection, "%s",
                       c == NULL ? "" : c->name);
        count++;
    }
    lock_drop(&node->bucket.lock);
    if (all == NULL)
        return 0;
    qsort(all, count, sizeof *all, by_alias);
    for (size_t i = 0; i < count && written < max; i++) {
        if (after == NULL || strcmp(all[i].alias, after) > 0)
            out[written++] = all[i];
    }
    mem_free(all);
    return written;
}

/* --- changing --- */

struct alias_job {
    struct meta_job job;
    struct node *node;
    struct collection *c; /* pinned; NULL: the alias goes */
    char alias[CATALOG_NAME_BYTES_MAX + 1];
    node_admin_fn *done;
    void *arg;
};

static status change(void *arg, struct catalog *catalog, struct err *err)
{
    struct alias_job *job = arg;

    if (job->c != NULL)
        return catalog_set_alias(catalog, DATABASE, job->alias, job->c->id, err);
    return catalog_remove_alias(catalog, DATABASE, job->alias, err);
}

/* Whether the bucket's catalog has to know. */
static bool is_backed(const struct alias_job *job)
{
    const struct catalog_collection *now =
        catalog_find_name(&job->node->catalog, DATABASE, job->alias);

    return job->node->tier != NULL &&
           ((job->c != NULL && policy_has_bucket(atomic_load(&job->c->policy))) ||
            (now != NULL && policy_has_bucket(now->policy)));
}

/* In the bucket an alias may move away from a collection, or to one, that only this node knows. */
static status change_there(void *arg, struct catalog *catalog, struct err *err)
{
    struct alias_job *job = arg;
    bool known = job->c != NULL && catalog_find_id(catalog, job->c->id) != NULL;
    status st;

    if (known)
        return catalog_set_alias(catalog, DATABASE, job->alias, job->c->id, err);
    st = catalog_remove_alias(catalog, DATABASE, job->alias, err);
    return st == ST_NOT_FOUND ? ST_OK : st;
}

static void run_alias(struct meta_job *base)
{
    struct alias_job *job = (struct alias_job *)(void *)base;
    struct node *node = job->node;
    struct collection *c = job->c;
    struct collection_info info;
    struct catalog next;
    struct err err = {0};
    status st = node_check_writable(node, &err);

    catalog_init(&next);
    if (st == ST_OK)
        st = catalog_copy(&node->catalog, &next, &err);
    if (st == ST_OK)
        st = change(job, &next, &err);
    if (st == ST_OK && is_backed(job))
        st = bucket_catalog_change(node, change_there, job, &err);
    if (st == ST_OK)
        st = catalog_store_write(node, &next, &err);
    catalog_free(&next);
    memset(&info, 0, sizeof info);
    if (st == ST_OK && c != NULL)
        node_collection_info(c, &info);
    node_collection_unpin(c);
    job->done(job->arg, st, st == ST_OK ? &info : NULL, &err);
    mem_free(job);
}

static void submit(struct node *node, const char *alias, struct collection *c, node_admin_fn *done,
                   void *arg)
{
    struct alias_job *job = mem_zero(sizeof *job);
    struct err err = {0};
    status st = catalog_name_check(alias, strlen(alias), &err);

    if (st == ST_OK && job == NULL)
        st = err_set(&err, ST_NOMEM, "out of memory");
    if (st != ST_OK) {
        mem_free(job);
        done(arg, st, NULL, &err);
        return;
    }
    job->job.run = run_alias;
    job->node = node;
    job->done = done;
    job->arg = arg;
    (void)snprintf(job->alias, sizeof job->alias, "%s", alias);
    if (c != NULL) {
        collection_pin(c);
        job->c = c;
    }
    if (!jobs_push(&node->meta, &job->job)) {
        node_collection_unpin(c);
        mem_free(job);
        done(arg, err_set(&err, ST_UNAVAILABLE, "the node is stopping"), NULL, &err);
    }
}

void node_alias_set(struct node *node, const char *alias, struct collection *c, node_admin_fn *done,
                    void *arg)
{
    submit(node, alias, c, done, arg);
}

void node_alias_remove(struct node *node, const char *alias, node_admin_fn *done, void *arg)
{
    submit(node, alias, NULL, done, arg);
}
