/* Ids that were deleted above the floor, with the lsn of the newest delete.
 *
 * A hash table of chains, each entry an allocation of its own, made and charged before the lsn is
 * given: putting links it, and where the table could not grow chains are longer. A later upsert of
 * the id leaves the entry alone: its row has the greater lsn and counts before it. */
#include "base/arena.h"
#include "node/cold_internal.h"
#include "node/keep.h"

#include <stdatomic.h>

enum {
    TOMBSTONE_BUCKETS_MIN = 64,
    TOMBSTONE_CHAIN = 2,      /* entries a bucket before the table grows */
    TOMBSTONE_SLICE = 1024,   /* buckets looked at with the lock held */
    TOMBSTONE_HEAP_BYTES = 16 /* of an allocation, about */
};

struct tombstone {
    struct tombstone *next;
    uint64_t hash;
    uint64_t lsn;
    struct docid id; /* its bytes lie behind */
};
struct tombstones_batch {
    struct tombstone *first;
};
struct tombstones {
    struct rwlock lock; /* LOCK_RANK_LEAF */
    struct mem_budget *budget;
    struct tombstone **buckets;
    size_t bucket_count;
    unsigned walks; /* under way: buckets stay what they are */
    _Atomic uint64_t count, bytes;
};

static uint64_t bytes_of(const struct tombstone *t)
{
    return sizeof *t + TOMBSTONE_HEAP_BYTES + (t->id.kind == DOCID_BYTES ? t->id.bytes.bytes : 0);
}

status tombstones_create(struct mem_budget *budget, struct tombstones **out, struct err *err)
{
    struct tombstones *t = mem_zero(sizeof *t);

    if (t == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    rwlock_init(&t->lock, LOCK_RANK_LEAF, "tombstones");
    t->budget = budget;
    *out = t;
    return ST_OK;
}

static void entry_free(struct tombstones *t, struct tombstone *e)
{
    mem_release(t->budget, bytes_of(e));
    mem_free(e);
}

void tombstones_destroy(struct tombstones *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->bucket_count; i++) {
        while (t->buckets[i] != NULL) {
            struct tombstone *e = t->buckets[i];

            t->buckets[i] = e->next;
            entry_free(t, e);
        }
    }
    mem_release(t->budget, t->bucket_count * sizeof *t->buckets);
    mem_free(t->buckets);
    rwlock_fini(&t->lock);
    mem_free(t);
}

/* --- room --- */

static status make_entry(struct tombstones *t, const struct docid *id, struct tombstone **out,
                         struct err *err)
{
    size_t text = id->kind == DOCID_BYTES ? id->bytes.bytes : 0;
    struct tombstone *e;
    status st = mem_reserve(t->budget, sizeof *e + TOMBSTONE_HEAP_BYTES + text, err);

    if (st != ST_OK)
        return st;
    e = mem_alloc(sizeof *e + text);
    if (e == NULL) {
        mem_release(t->budget, sizeof *e + TOMBSTONE_HEAP_BYTES + text);
        return err_set(err, ST_NOMEM, "out of memory for a delete");
    }
    *e = (struct tombstone){.hash = docid_hash(id), .id = *id};
    if (text > 0) {
        memcpy(e + 1, id->bytes.data, text);
        e->id.bytes = slice_make(e + 1, text);
    }
    *out = e;
    return ST_OK;
}

static void link_entry(struct tombstone **buckets, size_t count, struct tombstone *e)
{
    struct tombstone **at = &buckets[e->hash & (count - 1)];

    e->next = *at;
    *at = e;
}

/* The lock is held for writing. Chains grow where there is no memory. */
static status grow(struct tombstones *t, size_t wanted, struct err *err)
{
    size_t count = t->bucket_count != 0 ? t->bucket_count : TOMBSTONE_BUCKETS_MIN;
    struct tombstone **buckets;

    while (count * TOMBSTONE_CHAIN < wanted)
        count *= 2;
    if (count == t->bucket_count || (t->walks > 0 && t->bucket_count > 0))
        return ST_OK;
    if (mem_reserve(t->budget, count * sizeof *buckets, err) != ST_OK)
        return t->bucket_count > 0 ? ST_OK : ST_NOSPACE;
    buckets = mem_zero_array(count, sizeof *buckets);
    if (buckets == NULL) {
        mem_release(t->budget, count * sizeof *buckets);
        return t->bucket_count > 0 ? ST_OK : err_set(err, ST_NOMEM, "out of memory for a delete");
    }
    for (size_t i = 0; i < t->bucket_count; i++) {
        while (t->buckets[i] != NULL) {
            struct tombstone *e = t->buckets[i];

            t->buckets[i] = e->next;
            link_entry(buckets, count, e);
        }
    }
    mem_release(t->budget, t->bucket_count * sizeof *buckets);
    mem_free(t->buckets);
    t->buckets = buckets;
    t->bucket_count = count;
    return ST_OK;
}

status tombstones_reserve(struct collection *c, const struct docid *ids, size_t count,
                          struct tombstones_batch **out, struct err *err)
{
    struct tombstones *t = c->cold->tombstones;
    struct tombstones_batch *batch = mem_zero(sizeof *batch);
    status st = ST_OK;

    if (batch == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a delete");
    for (size_t i = 0; st == ST_OK && i < count; i++) {
        struct tombstone *e = NULL;

        st = make_entry(t, &ids[i], &e, err);
        if (st != ST_OK)
            break;
        e->next = batch->first;
        batch->first = e;
    }
    if (st == ST_OK) {
        rwlock_take_write(&t->lock);
        st = grow(t, (size_t)atomic_load(&t->count) + count, err);
        rwlock_drop(&t->lock);
    }
    if (st == ST_OK)
        *out = batch;
    else
        tombstones_release(c, batch);
    return st;
}

void tombstones_release(struct collection *c, struct tombstones_batch *batch)
{
    while (batch != NULL && batch->first != NULL) {
        struct tombstone *e = batch->first;

        batch->first = e->next;
        entry_free(c->cold->tombstones, e);
    }
    mem_free(batch);
}

/* --- putting, finding --- */

/* The lock is held. */
static struct tombstone *find(const struct tombstones *t, const struct docid *id, uint64_t hash)
{
    struct tombstone *e = t->bucket_count == 0 ? NULL : t->buckets[hash & (t->bucket_count - 1)];

    while (e != NULL && (e->hash != hash || !docid_equal(&e->id, id)))
        e = e->next;
    return e;
}

static void put(struct tombstones *t, struct tombstone *e, uint64_t lsn)
{
    struct tombstone *there = find(t, &e->id, e->hash);

    if (there != NULL) {
        if (there->lsn < lsn)
            there->lsn = lsn;
        entry_free(t, e);
        return;
    }
    e->lsn = lsn;
    link_entry(t->buckets, t->bucket_count, e);
    atomic_fetch_add(&t->bytes, bytes_of(e));
    atomic_fetch_add(&t->count, 1);
}

void tombstones_put(struct collection *c, struct tombstones_batch *batch, uint64_t lsn)
{
    struct tombstones *t = c->cold->tombstones;

    if (batch == NULL)
        return;
    rwlock_take_write(&t->lock);
    while (batch->first != NULL) {
        struct tombstone *e = batch->first;

        batch->first = e->next;
        put(t, e, lsn);
    }
    rwlock_drop(&t->lock);
    mem_free(batch);
}

bool tombstones_find(struct collection *c, const struct docid *id, uint64_t *lsn)
{
    struct tombstones *t = c->cold->tombstones;
    const struct tombstone *e;

    *lsn = 0;
    /* Counted before the lock is dropped: who knows of the delete sees it. */
    if (atomic_load(&t->count) == 0)
        return false;
    rwlock_take_read(&t->lock);
    e = find(t, id, docid_hash(id));
    if (e != NULL)
        *lsn = e->lsn;
    rwlock_drop(&t->lock);
    return e != NULL;
}

uint64_t tombstones_count(struct collection *c)
{
    return atomic_load(&c->cold->tombstones->count);
}

uint64_t tombstones_bytes(struct collection *c)
{
    return atomic_load(&c->cold->tombstones->bytes);
}

status tombstones_replay(void *collection, uint64_t lsn, const struct docid *id, struct err *err)
{
    struct tombstones_batch *batch = NULL;
    status st = tombstones_reserve(collection, id, 1, &batch, err);

    if (st == ST_OK)
        tombstones_put(collection, batch, lsn);
    return st;
}

/* --- all of them, in slices --- */

static void walk_begin(struct tombstones *t)
{
    rwlock_take_write(&t->lock);
    t->walks++;
    rwlock_drop(&t->lock);
}

static void walk_end(struct tombstones *t)
{
    rwlock_take_write(&t->lock);
    t->walks--;
    rwlock_drop(&t->lock);
}

static void give_up_chain(struct tombstones *t, struct tombstone **at, uint64_t lsn)
{
    while (*at != NULL) {
        struct tombstone *e = *at;

        if (e->lsn > lsn) {
            at = &e->next;
            continue;
        }
        *at = e->next;
        atomic_fetch_sub(&t->bytes, bytes_of(e));
        atomic_fetch_sub(&t->count, 1);
        entry_free(t, e);
    }
}

void tombstones_give_up(struct collection *c, uint64_t lsn)
{
    struct tombstones *t = c->cold->tombstones;
    bool more = true;

    walk_begin(t);
    for (size_t at = 0; more; at += TOMBSTONE_SLICE) {
        rwlock_take_write(&t->lock);
        for (size_t i = at; i < at + TOMBSTONE_SLICE && i < t->bucket_count; i++)
            give_up_chain(t, &t->buckets[i], lsn);
        more = at + TOMBSTONE_SLICE < t->bucket_count;
        rwlock_drop(&t->lock);
    }
    walk_end(t);
}

struct found {
    struct found *next;
    struct docid id;
    uint64_t lsn;
};

/* The lock is held. */
static bool copy_chain(struct arena *arena, const struct tombstone *e, uint64_t lsn,
                       struct found **list)
{
    for (; e != NULL; e = e->next) {
        struct found *f;

        if (e->lsn > lsn)
            continue;
        f = arena_alloc(arena, sizeof *f);
        if (f == NULL || !keep_id(arena, &e->id, &f->id))
            return false;
        f->lsn = e->lsn;
        f->next = *list;
        *list = f;
    }
    return true;
}

static status each_slice(struct tombstones *t, size_t at, uint64_t lsn, tombstone_fn *fn, void *arg,
                         bool *more, struct err *err)
{
    struct found *list = NULL;
    struct arena arena;
    bool copied = true;
    status st = ST_OK;

    arena_init(&arena, SIZE_MAX);
    rwlock_take_read(&t->lock);
    for (size_t i = at; copied && i < at + TOMBSTONE_SLICE && i < t->bucket_count; i++)
        copied = copy_chain(&arena, t->buckets[i], lsn, &list);
    *more = at + TOMBSTONE_SLICE < t->bucket_count;
    rwlock_drop(&t->lock);
    if (!copied)
        st = err_set(err, ST_NOMEM, "out of memory for a list of deleted ids");
    for (const struct found *f = list; st == ST_OK && f != NULL; f = f->next)
        st = fn(arg, &f->id, f->lsn, err);
    arena_free(&arena);
    return st;
}

status tombstones_each(struct collection *c, uint64_t lsn, tombstone_fn *fn, void *arg,
                       struct err *err)
{
    struct tombstones *t = c->cold->tombstones;
    bool more = true;
    status st = ST_OK;

    walk_begin(t);
    for (size_t at = 0; st == ST_OK && more; at += TOMBSTONE_SLICE)
        st = each_slice(t, at, lsn, fn, arg, &more, err);
    walk_end(t);
    return st;
}
