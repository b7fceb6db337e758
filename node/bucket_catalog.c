/* The object meta/catalog: bucket-backed collections by name, for every node that uses the bucket
 * (docs/protocol.md, "Catalog").
 *
 * A change is read, change, write if it is still what was read. A lost answer is neither success
 * nor failure: the same bytes are sent until the store decides, and what another node put there
 * meanwhile is looked at for our nonce. Changes are made so that making one twice is harmless, as
 * another node's write may already stand on ours. */
#include "node/node_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>

enum { CATALOG_PAUSE_MS = 100, CATALOG_ATTEMPT_MS = 5000 };

struct attempt {
    struct node *node;
    uint64_t deadline_ns;
    char etag[OBJSTORE_ETAG_BYTES]; /* "": there is none yet */
    struct catalog catalog;
};

void bucket_pause(struct node *node, uint64_t ms)
{
    lock_take(&node->reclaim.lock);
    if (!atomic_load(&node->stopping))
        (void)cond_wait_ns(&node->reclaim.stop, &node->reclaim.lock, ms * 1000000);
    lock_drop(&node->reclaim.lock);
}

static bool out_of_time(const struct attempt *a)
{
    return atomic_load(&a->node->stopping) ||
           clock_mono_ns(a->node->options.clock) >= a->deadline_ns;
}

/* One GET; ST_NOT_FOUND: none, out is empty. */
static status read_once(struct node *node, struct catalog *out, char etag[OBJSTORE_ETAG_BYTES],
                        enum objstore_class *class, struct err *err)
{
    struct objstore_req req = {.op = OBJSTORE_GET,
                               .pool = OBJSTORE_LOG,
                               .key = OBJKEY_CATALOG,
                               .bytes_max = CATALOG_BYTES_MAX,
                               .timeout_ms = CATALOG_ATTEMPT_MS};
    status st = objstore_wait(node->options.store, &req, err);

    catalog_init(out);
    etag[0] = '\0';
    *class = req.result.class;
    if (st == ST_OK) {
        st = catalog_decode(buf_slice(&req.result.body), out, err);
        if (st != ST_OK)
            st = err_wrap(err, st,
                          "the bucket's %s (an older one may be brought back by the "
                          "store's versions)",
                          OBJKEY_CATALOG);
        memcpy(etag, req.result.etag, OBJSTORE_ETAG_BYTES);
    }
    objstore_result_fini(&req.result);
    return st;
}

status bucket_catalog_read(struct node *node, struct catalog *out, struct err *err)
{
    char etag[OBJSTORE_ETAG_BYTES];
    enum objstore_class class;
    status st = read_once(node, out, etag, &class, err);

    return st == ST_NOT_FOUND ? ST_OK : st;
}

static status read_for_change(struct attempt *a, struct err *err)
{
    enum objstore_class class;
    status st;

    for (;;) {
        catalog_free(&a->catalog);
        st = read_once(a->node, &a->catalog, a->etag, &class, err);
        if (st == ST_OK || st == ST_NOT_FOUND)
            return ST_OK;
        if (!objstore_class_retries(class) || out_of_time(a))
            return err_wrap(err, st == ST_CLOSED ? ST_UNAVAILABLE : st,
                            "read the bucket's catalog");
        bucket_pause(a->node, CATALOG_PAUSE_MS);
    }
}

enum decision { WON, LOST, GIVE_UP };

/* Sends the same bytes until it is decided. */
static enum decision send(struct attempt *a, struct slice bytes, const uint8_t nonce[16],
                          status *st, struct err *err)
{
    bool maybe = false;

    for (;;) {
        struct objstore_req req = {
            .op = OBJSTORE_PUT,
            .pool = OBJSTORE_LOG,
            .key = OBJKEY_CATALOG,
            .body = bytes,
            .condition = a->etag[0] == '\0' ? OBJSTORE_IF_ABSENT : OBJSTORE_IF_MATCH,
            .etag = a->etag,
            .timeout_ms = CATALOG_ATTEMPT_MS,
        };
        enum objstore_class class;

        *st = objstore_wait(a->node->options.store, &req, err);
        class = req.result.class;
        maybe = maybe || req.result.maybe_applied;
        objstore_result_fini(&req.result);
        if (class == OBJSTORE_OK)
            return WON;
        if (class == OBJSTORE_PRECONDITION) {
            *st = read_for_change(a, err);
            if (*st == ST_OK)
                return memcmp(a->catalog.nonce, nonce, 16) == 0 ? WON : LOST;
        } else if (objstore_class_retries(class) && !out_of_time(a)) {
            bucket_pause(a->node, CATALOG_PAUSE_MS);
            continue;
        }
        if (maybe)
            *st = err_wrap(err, ST_UNKNOWN,
                           "whether the bucket's catalog took the change is not known: look again "
                           "once the bucket answers");
        else
            *st = err_wrap(err, *st == ST_CLOSED ? ST_UNAVAILABLE : *st,
                           "write the bucket's catalog");
        return GIVE_UP;
    }
}

static status try_once(struct attempt *a, catalog_change_fn *change, void *arg,
                       enum decision *decision, struct err *err)
{
    struct catalog next;
    struct buf bytes;
    status st = catalog_copy(&a->catalog, &next, err);

    *decision = GIVE_UP;
    if (st != ST_OK)
        return st;
    buf_init(&bytes, CATALOG_BYTES_MAX);
    st = change(arg, &next, err);
    next.revision++;
    a->node->options.rand->fill(a->node->options.rand, next.nonce, sizeof next.nonce);
    if (st == ST_OK)
        st = catalog_encode(&next, &bytes, err);
    if (st == ST_OK)
        *decision = send(a, buf_slice(&bytes), next.nonce, &st, err);
    buf_free(&bytes);
    catalog_free(&next);
    return st;
}

status bucket_catalog_change(struct node *node, catalog_change_fn *change, void *arg,
                             struct err *err)
{
    struct attempt a = {
        .node = node,
        .deadline_ns = clock_mono_ns(node->options.clock) + (uint64_t)NODE_BUCKET_WAIT_MS * 1000000,
    };
    enum decision decision = GIVE_UP;
    status st;

    catalog_init(&a.catalog);
    st = read_for_change(&a, err);
    while (st == ST_OK) {
        st = try_once(&a, change, arg, &decision, err);
        if (st != ST_OK || decision == WON)
            break;
        if (out_of_time(&a))
            st = err_set(err, ST_UNAVAILABLE,
                         "others change the bucket's catalog all the time; try again");
    }
    catalog_free(&a.catalog);
    return st;
}

/* --- meta/format --- */

status bucket_check_format(struct node *node, struct err *err)
{
    struct bucket_format format = {.version = 1, .reader_min = 1, .writer_min = 1};
    struct objstore_req get = {.op = OBJSTORE_GET,
                               .pool = OBJSTORE_LOG,
                               .key = OBJKEY_FORMAT,
                               .bytes_max = 65536,
                               .timeout_ms = CATALOG_ATTEMPT_MS};
    struct objstore_req put = {.op = OBJSTORE_PUT,
                               .pool = OBJSTORE_LOG,
                               .key = OBJKEY_FORMAT,
                               .condition = OBJSTORE_IF_ABSENT,
                               .timeout_ms = CATALOG_ATTEMPT_MS};
    struct buf bytes;
    status st = objstore_wait(node->options.store, &get, err);

    if (st == ST_OK)
        st = bucket_format_decode(buf_slice(&get.result.body), &format, err);
    if (st != ST_NOT_FOUND) {
        objstore_result_fini(&get.result);
        return st == ST_OK ? ST_OK : err_wrap(err, st, "the bucket's %s", OBJKEY_FORMAT);
    }
    objstore_result_fini(&get.result);
    uuid_make_v4(node->options.rand, format.cluster_id);
    format.created_at_ns = clock_wall_ns(node->options.clock);
    buf_init(&bytes, 65536);
    st = bucket_format_encode(&format, &bytes, err);
    if (st == ST_OK) {
        put.body = buf_slice(&bytes);
        st = objstore_wait(node->options.store, &put, err);
        if (put.result.class == OBJSTORE_PRECONDITION)
            st = ST_OK; /* another node was first, or an answer was lost */
        objstore_result_fini(&put.result);
    }
    buf_free(&bytes);
    return st;
}

/* --- the start: what the bucket says, taken over on the meta thread --- */

struct sync_job {
    struct meta_job job;
    struct node *node;
    struct catalog bucket;
};

static bool was_dropped_there(const struct catalog *bucket, const uint8_t id[16])
{
    for (size_t i = 0; i < bucket->dropped_count; i++) {
        if (memcmp(bucket->dropped[i].id, id, 16) == 0)
            return true;
    }
    return false;
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

static bool differs(const struct catalog_collection *a, const struct catalog_collection *b)
{
    return strcmp(a->name, b->name) != 0 || a->policy != b->policy ||
           a->durability != b->durability || a->fields[0].ef_search != b->fields[0].ef_search;
}

/* Settings of collections that both know: the bucket's count. */
static status take_settings(struct node *node, struct catalog *next, const struct catalog *bucket,
                            bool *changed, struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; i < bucket->collection_count && st == ST_OK; i++) {
        const struct catalog_collection *there = &bucket->collections[i];
        struct catalog_collection *here = catalog_find_id(next, there->id);

        if (here == NULL || !differs(here, there))
            continue;
        if (strcmp(here->name, there->name) != 0)
            st = catalog_rename_collection(next, there->id, there->name, err);
        here->policy = there->policy;
        here->durability = there->durability;
        here->fields[0].ef_search = there->fields[0].ef_search;
        *changed = true;
        log_info("a collection is named and set as the bucket's catalog has it", "name=%s",
                 there->name);
    }
    (void)node;
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
        if (c->vindex != NULL)
            vindex_set_ef_search(c->vindex, entry->fields[0].ef_search);
        if (strcmp(c->table.name, entry->name) != 0 &&
            (stats = collection_stats_create(node, c->id_text, entry->name)) != NULL) {
            table_rename(node, c, entry->name);
            collection_stats_replace(c, stats);
        }
        node_collection_unpin(c);
    }
}

static void drop_the_dropped(struct node *node, const struct catalog *bucket)
{
    struct collection **items = NULL;
    size_t count = 0;

    if (table_snapshot(node, &items, &count, NULL) != ST_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        if (!policy_has_bucket(atomic_load(&items[i]->policy)) ||
            !was_dropped_there(bucket, items[i]->id))
            continue;
        log_info("a collection was dropped in the bucket's catalog; it is dropped here too",
                 "collection_id=%s", items[i]->id_text);
        collection_drop_here(items[i]);
    }
    table_snapshot_free(items, count);
}

static status add_missing(void *arg, struct catalog *bucket, struct err *err)
{
    return admin_add_entry(arg, bucket, err);
}

static bool has_root(struct node *node, const uint8_t id[16])
{
    char key[OBJKEY_BYTES];
    struct objstore_req req = {.op = OBJSTORE_GET,
                               .pool = OBJSTORE_LOG,
                               .key = key,
                               .bytes_max = ROOT_BYTES_MAX,
                               .timeout_ms = CATALOG_ATTEMPT_MS};
    status st;

    objkey_root(id, key);
    st = objstore_wait(node->options.store, &req, NULL);
    objstore_result_fini(&req.result);
    return st == ST_OK;
}

/* A switch to MemoryS3 was cut short between its root and the bucket's catalog. */
static void tell_of_the_missing(struct node *node, const struct catalog *bucket)
{
    for (size_t i = 0; i < node->catalog.collection_count; i++) {
        struct catalog_collection *here = &node->catalog.collections[i];
        struct err err = {0};

        if (!policy_has_bucket(here->policy) || catalog_find_id(bucket, here->id) != NULL ||
            was_dropped_there(bucket, here->id) || !has_root(node, here->id))
            continue;
        if (bucket_catalog_change(node, add_missing, here, &err) != ST_OK)
            log_warn("the bucket's catalog lacks a collection until the next start",
                     "name=%s err=%s", here->name, err.text);
    }
}

static void load_the_new(struct node *node, const struct catalog *bucket)
{
    for (size_t i = 0; i < bucket->collection_count; i++) {
        const struct catalog_collection *there = &bucket->collections[i];
        struct err err = {0};

        if (catalog_find_id(&node->catalog, there->id) != NULL ||
            was_dropped_there(&node->catalog, there->id))
            continue;
        if (load_from_bucket(node, there, &err) != ST_OK)
            log_error("a collection of the bucket cannot be loaded", "name=%s err=%s", there->name,
                      err.text);
    }
}

static void run_sync(struct meta_job *base)
{
    struct sync_job *job = (struct sync_job *)(void *)base;
    struct node *node = job->node;
    struct catalog next;
    struct err err = {0};
    bool changed = false;
    status st = catalog_copy(&node->catalog, &next, &err);

    if (st == ST_OK && !takes_names(&next, &job->bucket, &changed, &err))
        st = err.code;
    if (st == ST_OK)
        st = take_settings(node, &next, &job->bucket, &changed, &err);
    if (st == ST_OK)
        st = take_aliases(&next, &job->bucket, &changed, &err);
    if (st == ST_OK && changed)
        st = catalog_store_write(node, &next, &err);
    catalog_free(&next);
    if (st != ST_OK)
        log_error("the bucket's catalog cannot be taken over", "err=%s", err.text);
    show_settings(node);
    drop_the_dropped(node, &job->bucket);
    tell_of_the_missing(node, &job->bucket);
    load_the_new(node, &job->bucket);
    atomic_store(&node->catalog_seen, true);
    atomic_store(&node->load_first, false);
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
