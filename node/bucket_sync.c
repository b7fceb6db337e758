/* What the bucket's catalog says, taken over on the meta thread: at the start, and when something
 * waited for a load. What cannot be taken over is left as it is here, and health says so. */
#include "node/cold.h"

#include <stdatomic.h>
#include <stdio.h>

struct sync_job {
    struct meta_job job;
    struct node *node;
    struct catalog bucket;
    uint64_t changes; /* catalog_changes when the read of it began */
    char reason[256]; /* the first thing that was not taken over; "" */
    bool again;       /* something waits for a collection that is being loaded */
};

static void not_taken(struct sync_job *job, const char *name, const char *why)
{
    log_warn("the bucket's catalog is not taken over whole", "name=%s reason=%s", name, why);
    if (job->reason[0] == '\0')
        (void)snprintf(job->reason, sizeof job->reason,
                       "of the bucket's catalog collection %.64s is not taken over: %.120s", name,
                       why);
}

static bool takes_names(struct catalog *next, const struct catalog *bucket, bool *changed,
                        struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; i < bucket->tenant_count && st == ST_OK; i++) {
        st = catalog_add_tenant(next, bucket->tenants[i].id, bucket->tenants[i].name, err);
        *changed = *changed || st == ST_OK;
        st = st == ST_EXISTS ? ST_OK : st;
    }
    for (size_t i = 0; i < bucket->database_count && st == ST_OK; i++) {
        st = catalog_add_database(next, bucket->databases[i].id, bucket->databases[i].tenant_id,
                                  bucket->databases[i].name, err);
        *changed = *changed || st == ST_OK;
        st = st == ST_EXISTS ? ST_OK : st;
    }
    return st == ST_OK;
}

/* Of fields that are the same otherwise: they never change. */
static bool hnsw_differs(const struct catalog_collection *a, const struct catalog_collection *b)
{
    for (size_t i = 0; i < a->field_count && i < b->field_count; i++) {
        const struct catalog_field *x = &a->fields[i], *y = &b->fields[i];

        if (x->ef_search != y->ef_search || x->m != y->m ||
            x->ef_construction != y->ef_construction || x->threshold != y->threshold ||
            x->quantization != y->quantization)
            return true;
    }
    return false;
}

static void take_hnsw(const struct catalog_field *from, struct catalog_field *to)
{
    to->m = from->m;
    to->ef_construction = from->ef_construction;
    to->ef_search = from->ef_search;
    to->threshold = from->threshold;
    to->quantization = from->quantization;
}

static bool differs(const struct catalog_collection *a, const struct catalog_collection *b)
{
    return strcmp(a->name, b->name) != 0 || a->policy != b->policy ||
           a->durability != b->durability || hnsw_differs(a, b) || !catalog_settings_equal(a, b);
}

/* A collection that is Memory here was switched by a node with newer files than ours. */
static const char OLDER_HERE[] =
    "it is Memory here and bucket-backed there, so the local files are older than the bucket: "
    "drop it here or move the data directory away, and it is loaded from the bucket";
static const char NAME_TAKEN[] = "another collection here has its name: rename or drop that one, "
                                 "then restart the node";

/* One that is on its way into RAM is its loader's, who may be about to open its log. */
static bool is_being_loaded(struct collection *c)
{
    return atomic_load(&c->seq.state) == COLLECTION_LOADING || atomic_load(&c->in_load);
}

/* Whose name another has taken in the bucket's catalog, where it was dropped for it (replace.c):
 * both in one change here too, so that the name leads to one of them all the time. */
static status take_out_replaced(struct sync_job *job, struct catalog *next, const char *name,
                                struct err *err)
{
    static const uint8_t database[16];
    const struct catalog_collection *old = catalog_find_name(next, database, name);
    struct collection *c;
    bool loading;

    if (old == NULL || !bucket_dropped(&job->bucket, old->id) || !policy_has_bucket(old->policy))
        return ST_OK;
    c = node_collection_pin_id(job->node, old->id);
    loading = c != NULL && is_being_loaded(c);
    node_collection_unpin(c);
    if (loading) {
        job->again = true;
        return ST_OK;
    }
    return catalog_remove_collection(next, old->id, clock_wall_ns(job->node->options.clock), err);
}

/* Settings of collections that both know: the bucket's count. */
static status take_settings(struct sync_job *job, struct catalog *next, bool *changed,
                            struct err *err)
{
    const struct catalog *bucket = &job->bucket;
    status st = ST_OK;

    for (size_t i = 0; i < bucket->collection_count && st == ST_OK; i++) {
        const struct catalog_collection *there = &bucket->collections[i];
        struct catalog_collection *here = catalog_find_id(next, there->id);

        if (here == NULL || !differs(here, there))
            continue;
        if (strcmp(here->name, there->name) != 0 && policy_has_bucket(here->policy)) {
            st = take_out_replaced(job, next, there->name, err);
            here = catalog_find_id(next, there->id); /* it may have moved */
        }
        if (st != ST_OK)
            break;
        if (!policy_has_bucket(here->policy)) {
            not_taken(job, there->name, OLDER_HERE);
            continue;
        }
        if (strcmp(here->name, there->name) != 0)
            st = catalog_rename_collection(next, there->id, there->name, err);
        if (st == ST_EXISTS) {
            not_taken(job, there->name, NAME_TAKEN);
            st = ST_OK;
        }
        here->policy = there->policy;
        here->durability = there->durability;
        for (size_t k = 0; k < here->field_count && k < there->field_count; k++)
            take_hnsw(&there->fields[k], &here->fields[k]);
        if (st == ST_OK)
            st = catalog_settings_copy(there, here, err);
        *changed = true;
        log_info("a collection is named and set as the bucket's catalog has it", "name=%s",
                 there->name);
    }
    return st;
}

/* Aliases of bucket-backed collections are the bucket's. */
static status take_aliases(struct catalog *next, const struct catalog *bucket, bool *changed,
                           struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; i < bucket->alias_count && st == ST_OK; i++) {
        const struct catalog_alias *there = &bucket->aliases[i];
        struct catalog_collection *now;

        if (catalog_find_id(next, there->collection_id) == NULL)
            continue; /* comes with its collection */
        now = catalog_find_name(next, there->database_id, there->name);
        if (now != NULL && memcmp(now->id, there->collection_id, 16) == 0)
            continue;
        st = catalog_set_alias(next, there->database_id, there->name, there->collection_id, err);
        *changed = *changed || st == ST_OK;
        if (st == ST_EXISTS) /* a Memory collection of this node has the name */
            st = ST_OK;
    }
    for (size_t i = next->alias_count; i-- > 0 && st == ST_OK;) {
        struct catalog_alias a = next->aliases[i];
        bool backed = catalog_find_id(bucket, a.collection_id) != NULL;
        bool there = false;

        for (size_t j = 0; j < bucket->alias_count; j++)
            there = there || (strcmp(bucket->aliases[j].name, a.name) == 0 &&
                              memcmp(bucket->aliases[j].database_id, a.database_id, 16) == 0);
        if (!backed || there)
            continue;
        st = catalog_remove_alias(next, a.database_id, a.name, err);
        *changed = true;
    }
    return st;
}

/* What is set apart from the catalog: names in the table, policy, durability. */
static void show_settings(struct node *node)
{
    for (size_t i = 0; i < node->catalog.collection_count; i++) {
        const struct catalog_collection *entry = &node->catalog.collections[i];
        struct collection *c = node_collection_pin_id(node, entry->id);
        struct collection_stats *stats;

        if (c == NULL)
            continue;
        atomic_store(&c->durability, entry->durability);
        cold_follow(c, entry->policy);
        collection_take_hnsw(c, entry);
        collection_settings_take(c, entry);
        if (strcmp(c->table.name, entry->name) != 0 &&
            (stats = collection_stats_create(node, c->id_text, entry->name)) != NULL) {
            table_rename(node, c, entry->name);
            collection_stats_replace(c, stats);
        }
        node_collection_unpin(c);
    }
}

static void drop_the_dropped(struct sync_job *job)
{
    struct node *node = job->node;
    struct collection **items = NULL;
    size_t count = 0;

    if (table_snapshot(node, &items, &count, NULL) != ST_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        if (!policy_has_bucket(atomic_load(&items[i]->policy)) ||
            !bucket_dropped(&job->bucket, items[i]->id))
            continue;
        if (is_being_loaded(items[i])) {
            job->again = true;
            continue;
        }
        log_info("a collection was dropped in the bucket's catalog; it is dropped here too",
                 "collection_id=%s", items[i]->id_text);
        collection_drop_here(items[i]);
    }
    table_snapshot_free(items, count);
}

/* A switch to MemoryS3 was cut short between its root and the bucket's catalog. */
static void tell_of_the_missing(struct node *node, const struct catalog *bucket)
{
    for (size_t i = 0; i < node->catalog.collection_count; i++) {
        const struct catalog_collection *here = &node->catalog.collections[i];
        struct err err = {0};

        status st;

        if (!policy_has_bucket(here->policy) || catalog_find_id(bucket, here->id) != NULL ||
            bucket_dropped(bucket, here->id))
            continue;
        st = bucket_has_root(node, here->id, &err);
        if (st == ST_OK)
            st = bucket_tell(node, here->id, &err);
        if (st == ST_OK || st == ST_NOT_FOUND) /* told, or the bucket has nothing of it */
            continue;
        log_warn("the bucket's catalog lacks a collection", "name=%s err=%s", here->name, err.text);
        if (status_is_transient(st) || st == ST_UNKNOWN)
            atomic_store(&node->sync_later, true);
    }
}

static void load_the_new(struct sync_job *job)
{
    struct node *node = job->node;

    for (size_t i = 0; i < job->bucket.collection_count; i++) {
        const struct catalog_collection *there = &job->bucket.collections[i];
        struct err err = {0};

        if (catalog_find_id(&node->catalog, there->id) != NULL ||
            bucket_dropped(&node->catalog, there->id))
            continue;
        if (catalog_find_name(&node->catalog, there->database_id, there->name) != NULL)
            not_taken(job, there->name, NAME_TAKEN);
        else if (load_from_bucket(node, there, &err) != ST_OK)
            not_taken(job, there->name, err.text);
    }
    alias_expect(node, &job->bucket);
}

static status take_over(struct sync_job *job, struct err *err)
{
    struct node *node = job->node;
    struct catalog next;
    bool changed = false;
    status st;

    catalog_init(&next);
    st = catalog_copy(&node->catalog, &next, err);
    if (st == ST_OK && !takes_names(&next, &job->bucket, &changed, err))
        st = err->code;
    if (st == ST_OK)
        st = take_settings(job, &next, &changed, err);
    if (st == ST_OK)
        st = take_aliases(&next, &job->bucket, &changed, err);
    if (st == ST_OK && changed)
        st = catalog_store_write(node, &next, err);
    catalog_free(&next);
    return st;
}

/* What was read before this node changed it would take that change back. On this thread nothing
 * comes in between. */
static bool is_news(struct sync_job *job)
{
    struct err err = {0};

    if (job->changes == atomic_load(&job->node->catalog_changes))
        return true;
    catalog_free(&job->bucket);
    if (bucket_catalog_read(job->node, &job->bucket, &err) == ST_OK)
        return true;
    log_warn("the bucket's catalog is read again in a moment", "err=%s", err.text);
    return false;
}

static void take_all(struct sync_job *job)
{
    struct node *node = job->node;
    struct err err = {0};

    if (take_over(job, &err) != ST_OK) {
        log_error("the bucket's catalog cannot be taken over", "err=%s", err.text);
        (void)snprintf(job->reason, sizeof job->reason,
                       "names and settings of the bucket's catalog cannot be taken over: %.150s",
                       err.text);
        atomic_store(&node->sync_later, true);
    }
    show_settings(node);
    drop_the_dropped(job);
    tell_of_the_missing(node, &job->bucket);
    drop_settle(node, &job->bucket, &job->again); /* by what the bucket has then */
    load_the_new(job);
    lock_take(&node->bucket.lock);
    memcpy(node->bucket.catalog_reason, job->reason, sizeof job->reason);
    lock_drop(&node->bucket.lock);
    if (job->again)
        atomic_store(&node->sync_wanted, true);
    atomic_store(&node->catalog_seen, true);
    atomic_store(&node->load_first, false);
}

static void run_sync(struct meta_job *base)
{
    struct sync_job *job = (struct sync_job *)(void *)base;

    if (is_news(job))
        take_all(job);
    else
        atomic_store(&job->node->sync_later, true);
    catalog_free(&job->bucket);
    mem_free(job);
}

status bucket_catalog_sync(struct node *node, struct err *err)
{
    struct sync_job *job = mem_zero(sizeof *job);
    status st;

    if (job == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    job->job.run = run_sync;
    job->node = node;
    job->changes = atomic_load(&node->catalog_changes);
    st = bucket_check_format(node, err);
    if (st == ST_OK)
        st = bucket_catalog_read(node, &job->bucket, err);
    else
        catalog_init(&job->bucket);
    if (st == ST_OK && jobs_push(&node->meta, &job->job))
        return ST_OK;
    catalog_free(&job->bucket);
    mem_free(job);
    return st == ST_OK ? err_set(err, ST_UNAVAILABLE, "the node is stopping") : st;
}
