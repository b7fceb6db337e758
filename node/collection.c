#include "filter/pindex.h"
#include "node/cold_internal.h"
#include "node/fields.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

const char *node_policy_name(enum node_policy p)
{
    switch (p) {
    case NODE_MEMORY:
        return "Memory";
    case NODE_MEMORY_S3:
        return "MemoryS3";
    case NODE_S3_ONLY:
        return "S3Only";
    }
    return "Memory";
}

bool node_policy_parse(const char *text, enum node_policy *out)
{
    static const enum node_policy all[] = {NODE_MEMORY, NODE_MEMORY_S3, NODE_S3_ONLY};

    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (strcmp(text, node_policy_name(all[i])) == 0) {
            *out = all[i];
            return true;
        }
    }
    return false;
}

static void destroy_rows(struct collection *c)
{
    fields_destroy(c);
    pindex_destroy(c->pindex);
    slots_destroy(c->slots);
    c->pindex = NULL;
    c->slots = NULL;
}

/* From the collection itself: the catalog is the meta thread's, who may be changing it. */
static status create_rows(struct collection *c, struct err *err)
{
    const struct slots_options rows = {.epoch = c->node->epoch, .budget = &c->budget};
    status st = slots_create(&rows, &c->slots, err);

    if (st == ST_OK)
        st = indexes_create(c, err);
    if (st == ST_OK)
        st = fields_create(c, err);
    if (st != ST_OK)
        destroy_rows(c);
    return st;
}

void collection_rows_drop(struct collection *c)
{
    /* Retired memory of the failed load may wait in the epoch; its owner is the slots. */
    epoch_synchronize(c->node->epoch);
    while (epoch_collect(c->node->epoch) > 0)
        ;
    destroy_rows(c);
}

status collection_rows_renew(struct collection *c, struct err *err)
{
    collection_rows_drop(c);
    return create_rows(c, err);
}

status collection_create(struct node *node, const struct catalog_collection *entry,
                         struct collection **out, struct err *err)
{
    struct collection *c = mem_zero(sizeof *c);
    struct collection_stats *stats;
    status st;

    if (c == NULL)
        return err_set(err, ST_NOMEM, "create collection: out of memory");
    c->node = node;
    memcpy(c->id, entry->id, sizeof c->id);
    uuid_format(c->id, c->id_text);
    stats = collection_stats_create(node, c->id_text, entry->name);
    atomic_init(&c->stats, stats);
    c->created_at_ns = entry->created_at_ns;
    c->fair_key = hash_bytes(c->id, sizeof c->id, 1) | 1;
    (void)snprintf(c->table.name, sizeof c->table.name, "%s", entry->name);
    atomic_init(&c->pins, 1);
    atomic_init(&c->policy, entry->policy);
    atomic_init(&c->durability, entry->durability);
    c->remote.last = &c->remote.first;
    c->remote.closed = true; /* until its stream is open */
    lock_init(&c->indexes_lock, LOCK_RANK_INDEXES, "indexes of a collection");
    lock_init(&c->remote.lock, LOCK_RANK_REMOTE, "remote waits");
    lock_init(&c->bucket.lock, LOCK_RANK_BUCKET, "bucket marks");
    atomic_init(&c->seq.state, COLLECTION_LOADING);
    mem_budget_init(&c->budget, &node->budget, 0);
    lock_init(&c->seq.lock, LOCK_RANK_SEQUENCER, "sequencer");
    id_table_init(&c->seq.overlay);
    id_table_init(&c->seq.turns);
    cond_init(&c->seq.released);
    c->seq.dropping = policy_has_bucket(entry->policy) && drop_begun(node, entry->id);
    st = collection_settings_init(c, entry, err);
    if (st == ST_OK)
        st = schema_init(c, entry, err);
    if (st == ST_OK)
        st = cold_create(c, err);
    if (st == ST_OK && stats == NULL)
        st = err_set(err, ST_NOMEM, "out of memory");
    if (st == ST_OK)
        st = create_rows(c, err);
    if (st != ST_OK) {
        collection_destroy(c);
        return err_wrap(err, st, "create collection %s", entry->name);
    }
    *out = c;
    return ST_OK;
}

void collection_destroy(struct collection *c)
{
    if (c == NULL)
        return;
    assert(c->seq.wal == NULL);
    collection_stats_destroy(atomic_load_explicit(&c->stats, memory_order_relaxed));
    destroy_rows(c);
    schema_fini(c);
    collection_settings_fini(c);
    cold_destroy(c);
    lock_fini(&c->bucket.lock);
    lock_fini(&c->indexes_lock);
    lock_fini(&c->remote.lock);
    cond_fini(&c->seq.released);
    id_table_fini(&c->seq.overlay);
    id_table_fini(&c->seq.turns);
    lock_fini(&c->seq.lock);
    collector_drop(c);
    mem_free(c);
}

void collection_pin(struct collection *c)
{
    atomic_fetch_add_explicit(&c->pins, 1, memory_order_relaxed);
}

/* The last pin may go on any thread; freeing gigabytes is the upkeep thread's work. */
void node_collection_unpin(struct collection *c)
{
    struct node *node;

    if (c == NULL || atomic_fetch_sub_explicit(&c->pins, 1, memory_order_acq_rel) != 1)
        return;
    node = c->node;
    lock_take(&node->table.lock);
    c->table.next_grave = node->table.graves;
    node->table.graves = c;
    lock_drop(&node->table.lock);
}

void graves_free(struct node *node)
{
    struct collection *c;

    lock_take(&node->table.lock);
    c = node->table.graves;
    node->table.graves = NULL;
    lock_drop(&node->table.lock);
    if (c == NULL)
        return;
    /* What readers of these rows retired must run before the rows are gone. */
    epoch_synchronize(node->epoch);
    while (epoch_collect(node->epoch) > 0)
        ;
    while (c != NULL) {
        struct collection *next = c->table.next_grave;

        collection_destroy(c);
        c = next;
    }
}

/* The sequencer's lock is held. Indexes of a collection that loads are the loader's. */
static void show_hnsw_locked(struct collection *c, enum collection_state state)
{
    if (state != COLLECTION_SERVING && state != COLLECTION_READ_ONLY)
        return;
    for (size_t i = 0; i < c->field_count; i++) {
        const struct collection_field *f = &c->fields[i];

        vindex_set_ef_search(f->vindex, atomic_load(&f->ef_search));
        vindex_set_threshold(f->vindex, atomic_load(&f->threshold));
    }
}

/* Indexes are begun before the first query, because what is in a text is asked in their way; and
 * again, for settings that came in between. */
void collection_set_state(struct collection *c, enum collection_state state, const char *reason)
{
    bool serves = state == COLLECTION_SERVING || state == COLLECTION_READ_ONLY;

    if (serves)
        indexes_follow(c);
    lock_take(&c->seq.lock);
    show_hnsw_locked(c, state);
    atomic_store_explicit(&c->seq.state, state, memory_order_release);
    (void)snprintf(c->seq.reason, sizeof c->seq.reason, "%s", reason == NULL ? "" : reason);
    lock_drop(&c->seq.lock);
    if (serves)
        indexes_follow(c);
}

void collection_take_hnsw(struct collection *c, const struct catalog_collection *entry)
{
    lock_take(&c->seq.lock);
    for (size_t i = 0; i < c->field_count && i < entry->field_count; i++) {
        struct collection_field *f = &c->fields[i];

        atomic_store(&f->m, entry->fields[i].m);
        atomic_store(&f->ef_construction, entry->fields[i].ef_construction);
        atomic_store(&f->ef_search, entry->fields[i].ef_search);
        atomic_store(&f->threshold, entry->fields[i].threshold);
        atomic_store(&f->quantization, (uint8_t)schema_quantization(entry->fields[i].quantization));
    }
    show_hnsw_locked(c, atomic_load(&c->seq.state));
    lock_drop(&c->seq.lock);
}

status collection_check_loaded(struct collection *c, struct err *err)
{
    status st = ST_OK;

    lock_take(&c->seq.lock);
    switch (atomic_load(&c->seq.state)) {
    case COLLECTION_LOADING:
        st = err_set(err, ST_UNAVAILABLE, "the collection is still loading; ask again then");
        break;
    case COLLECTION_FAILED:
        st = err_set(err, ST_UNAVAILABLE, "the collection could not be loaded: %s", c->seq.reason);
        break;
    case COLLECTION_DROPPED:
        st = err_set(err, ST_NOT_FOUND, "the collection was dropped");
        break;
    case COLLECTION_SERVING:
    case COLLECTION_READ_ONLY:
        break;
    }
    lock_drop(&c->seq.lock);
    return st;
}

status collection_paths(const struct collection *c, char wal[FS_PATH_BYTES],
                        char snapshot[FS_PATH_BYTES], struct err *err)
{
    status st = fs_join(wal, c->node->wal_dir, c->id_text, err);

    return st == ST_OK ? fs_join(snapshot, c->node->snapshot_dir, c->id_text, err) : st;
}

static struct collection **bucket_of_id(struct node *node, const uint8_t id[16])
{
    return &node->table.by_id[hash_bytes(id, 16, 0) % NODE_BUCKETS];
}

static struct collection **bucket_of_name(struct node *node, const char *name)
{
    return &node->table.by_name[hash_bytes(name, strlen(name), 0) % NODE_BUCKETS];
}

static void link_name(struct node *node, struct collection *c)
{
    struct collection **bucket = bucket_of_name(node, c->table.name);

    c->table.next_by_name = *bucket;
    *bucket = c;
}

static void unlink_name(struct node *node, struct collection *c)
{
    struct collection **at = bucket_of_name(node, c->table.name);

    while (*at != c)
        at = &(*at)->table.next_by_name;
    *at = c->table.next_by_name;
}

static void add_locked(struct node *node, struct collection *c)
{
    struct collection **bucket = bucket_of_id(node, c->id);

    c->table.next_by_id = *bucket;
    *bucket = c;
    link_name(node, c);
    node->table.count++;
}

static void remove_locked(struct node *node, struct collection *c)
{
    struct collection **at = bucket_of_id(node, c->id);

    while (*at != c)
        at = &(*at)->table.next_by_id;
    *at = c->table.next_by_id;
    unlink_name(node, c);
    node->table.count--;
}

void table_add(struct node *node, struct collection *c)
{
    lock_take(&node->table.lock);
    add_locked(node, c);
    lock_drop(&node->table.lock);
}

void table_remove(struct node *node, struct collection *c)
{
    lock_take(&node->table.lock);
    remove_locked(node, c);
    lock_drop(&node->table.lock);
}

void table_replace(struct node *node, struct collection *old, struct collection *fresh)
{
    lock_take(&node->table.lock);
    remove_locked(node, old);
    add_locked(node, fresh);
    lock_drop(&node->table.lock);
}

void table_rename(struct node *node, struct collection *c, const char *name)
{
    lock_take(&node->table.lock);
    unlink_name(node, c);
    (void)snprintf(c->table.name, sizeof c->table.name, "%s", name);
    link_name(node, c);
    lock_drop(&node->table.lock);
}

void table_succeed(struct node *node, struct collection *old, struct collection *fresh,
                   const char *name)
{
    if (old != NULL)
        collection_set_state(old, COLLECTION_DROPPED, NULL);
    lock_take(&node->table.lock);
    if (old != NULL)
        remove_locked(node, old);
    unlink_name(node, fresh);
    (void)snprintf(fresh->table.name, sizeof fresh->table.name, "%s", name);
    link_name(node, fresh);
    lock_drop(&node->table.lock);
}

struct collection *node_collection_pin(struct node *node, const char *key, size_t key_bytes)
{
    char name[CATALOG_NAME_BYTES_MAX + 1];
    struct collection *c = NULL;
    uint8_t id[16];

    lock_take(&node->table.lock);
    if (uuid_parse(key, key_bytes, id)) {
        c = *bucket_of_id(node, id);
        while (c != NULL && memcmp(c->id, id, sizeof id) != 0)
            c = c->table.next_by_id;
    }
    if (c == NULL && key_bytes < sizeof name && memchr(key, '\0', key_bytes) == NULL) {
        memcpy(name, key, key_bytes);
        name[key_bytes] = '\0';
        c = *bucket_of_name(node, name);
        while (c != NULL && strcmp(c->table.name, name) != 0)
            c = c->table.next_by_name;
    }
    if (c != NULL)
        collection_pin(c);
    lock_drop(&node->table.lock);
    return c == NULL && key_bytes < sizeof name ? alias_pin(node, key, key_bytes) : c;
}

struct collection *node_collection_pin_id(struct node *node, const uint8_t id[16])
{
    struct collection *c;

    lock_take(&node->table.lock);
    c = *bucket_of_id(node, id);
    while (c != NULL && memcmp(c->id, id, 16) != 0)
        c = c->table.next_by_id;
    if (c != NULL)
        collection_pin(c);
    lock_drop(&node->table.lock);
    return c;
}

status collection_pin_now(struct collection **c, struct err *err)
{
    struct collection *now = node_collection_pin_id((*c)->node, (*c)->id);

    if (now == NULL)
        return err_set(err, ST_NOT_FOUND, "the collection was dropped");
    node_collection_unpin(*c);
    *c = now;
    return ST_OK;
}

status table_snapshot(struct node *node, struct collection ***out, size_t *count, struct err *err)
{
    struct collection **items;
    size_t n = 0;

    lock_take(&node->table.lock);
    items = mem_alloc_array(node->table.count, sizeof *items);
    for (size_t b = 0; items != NULL && b < NODE_BUCKETS; b++) {
        for (struct collection *c = node->table.by_id[b]; c != NULL; c = c->table.next_by_id) {
            collection_pin(c);
            items[n++] = c;
        }
    }
    lock_drop(&node->table.lock);
    if (items == NULL)
        return err_set(err, ST_NOMEM, "list collections: out of memory");
    *out = items;
    *count = n;
    return ST_OK;
}

void table_snapshot_free(struct collection **items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        node_collection_unpin(items[i]);
    mem_free(items);
}

static const char *state_name(enum collection_state state)
{
    switch (state) {
    case COLLECTION_LOADING:
        return "loading";
    case COLLECTION_SERVING:
        return "serving";
    case COLLECTION_READ_ONLY:
        return "read_only";
    case COLLECTION_FAILED:
        return "failed";
    case COLLECTION_DROPPED:
        return "dropped";
    }
    return "dropped";
}

bool collection_log_stopped_locked(struct collection *c, char *why, size_t why_bytes)
{
    struct err err = {0};

    if (atomic_load_explicit(&c->seq.state, memory_order_acquire) != COLLECTION_SERVING ||
        c->seq.wal == NULL || wal_state(c->seq.wal, &err) == ST_OK)
        return false;
    (void)snprintf(why, why_bytes, "%s", err.text);
    return true;
}

/* The native door knows one field, the first. */
static void info_of_field(const struct collection *c, struct collection_info *out)
{
    const struct field_info *f = node_field(c, 0);

    out->metric = f == NULL ? "none" : vmetric_name((enum vmetric)f->metric);
    out->quantization = "none";
    if (f == NULL)
        return;
    out->dimension = f->dimension;
    out->m = atomic_load(&c->fields[0].m);
    out->ef_construction = atomic_load(&c->fields[0].ef_construction);
    out->threshold = atomic_load(&c->fields[0].threshold);
    out->quantization =
        vquantization_name((enum vquantization)atomic_load(&c->fields[0].quantization));
}

static void add_sizes(const struct collection *c, struct collection_info *out)
{
    for (size_t i = 0; i < c->field_count; i++) {
        struct vindex_sizes sizes;

        vindex_sizes(c->fields[i].vindex, &sizes);
        out->vectors_bytes += sizes.vectors;
        out->codes_bytes += sizes.codes;
        out->links_bytes += sizes.links;
    }
}

void node_collection_info(struct collection *c, struct collection_info *out)
{
    struct fields_counts counts;
    enum collection_state state;

    memset(out, 0, sizeof *out);
    memcpy(out->id, c->id_text, sizeof out->id);
    lock_take(&c->node->table.lock);
    memcpy(out->name, c->table.name, sizeof out->name);
    lock_drop(&c->node->table.lock);
    info_of_field(c, out);
    out->policy = node_policy_name(atomic_load(&c->policy));
    out->durability = node_durability_name(atomic_load(&c->durability));
    out->created_at_ns = c->created_at_ns;
    out->snapshot_lsn = atomic_load(&c->snapshot_lsn);
    out->checkpoint_bytes = atomic_load(&c->checkpoint_bytes);
    out->last_checkpoint_ns = atomic_load(&c->checkpoint_wall_ns);

    lock_take(&c->seq.lock);
    state = atomic_load_explicit(&c->seq.state, memory_order_acquire);
    out->last_lsn = c->seq.last_lsn;
    out->durable_lsn = atomic_load(&c->applied_lsn);
    if (c->seq.wal != NULL) {
        if (wal_durable_lsn(c->seq.wal) > out->durable_lsn)
            out->durable_lsn = wal_durable_lsn(c->seq.wal);
        out->wal_bytes = wal_bytes(c->seq.wal);
    }
    (void)snprintf(out->reason, sizeof out->reason, "%s",
                   c->seq.reason[0] == '\0' && c->seq.fenced ? c->seq.fence_reason : c->seq.reason);
    if (state == COLLECTION_SERVING && c->seq.fenced)
        state = COLLECTION_READ_ONLY;
    if (state == COLLECTION_SERVING && c->seq.dropping) {
        state = COLLECTION_READ_ONLY;
        (void)snprintf(out->reason, sizeof out->reason, "%s", DROP_REASON);
    }
    out->log_stopped = collection_log_stopped_locked(c, out->reason, sizeof out->reason);
    if (state == COLLECTION_SERVING && out->log_stopped)
        state = COLLECTION_READ_ONLY;
    lock_drop(&c->seq.lock);
    bucket_info(c, out);

    out->state = state_name(state);
    if (state == COLLECTION_LOADING || state == COLLECTION_FAILED || c->slots == NULL)
        return; /* rows and vectors are the loader's, or could not be made */
    fields_counts(c, &counts);
    if (c->field_count > 0)
        out->ef_search = vindex_ef_search(c->fields[0].vindex);
    out->document_count = slots_live_count(c->slots) + cold_rows_now(c);
    out->dead_rows = slots_dead_count(c->slots);
    out->pending_rows = counts.pending;
    out->linked_rows = counts.linked;
    out->rows_to_link = fields_to_link(c);
    rebuild_info_of(c, &out->rebuild);
    out->memory_bytes = mem_budget_bytes(&c->budget);
    add_sizes(c, out);
}

struct named {
    char name[CATALOG_NAME_BYTES_MAX + 1];
    struct collection *c;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

size_t node_collection_list(struct node *node, const char *after, struct collection_info *out,
                            size_t max)
{
    struct collection **items = NULL;
    struct named *sorted;
    size_t count = 0;
    size_t written = 0;

    if (table_snapshot(node, &items, &count, NULL) != ST_OK)
        return 0;
    sorted = mem_alloc_array(count, sizeof *sorted);
    if (sorted != NULL) {
        lock_take(&node->table.lock);
        for (size_t i = 0; i < count; i++) {
            memcpy(sorted[i].name, items[i]->table.name, sizeof sorted[i].name);
            sorted[i].c = items[i];
        }
        lock_drop(&node->table.lock);
        qsort(sorted, count, sizeof *sorted, by_name);
        for (size_t i = 0; i < count && written < max; i++) {
            if (after == NULL || strcmp(sorted[i].name, after) > 0)
                node_collection_info(sorted[i].c, &out[written++]);
        }
        mem_free(sorted);
    }
    table_snapshot_free(items, count);
    return written;
}

uint32_t collection_dimension(const struct collection *c)
{
    return c->field_count > 0 ? c->fields[0].info.dimension : 0;
}

bool collection_needs_nonzero(const struct collection *c)
{
    return c->field_count > 0 && c->fields[0].info.metric == VMETRIC_COSINE;
}

const char *collection_id_text(const struct collection *c)
{
    return c->id_text;
}

uint64_t collection_fair_key(const struct collection *c)
{
    return c->fair_key;
}
