/* The table of letters. In RAM an array by rising id; on disk what persist() was handed. A change
 * reserves its write before anything moves, so that memory that is out never leaves RAM and disk
 * apart; an entry carries the write of its own removal, so that removing cannot fail. Writes are
 * handed over outside the lock, by one thread at a time: who finds another one at it leaves its
 * write in the queue. */
#include "dlq/dlq_internal.h"

#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>

enum { PERSIST_WRITES = 64, ENTRIES_FIRST = 16 };

struct pending { /* one change on its way to persist() */
    struct pending *next;
    uint64_t next_id; /* 0: the counter is not written with it */
    bool remove;
    uint8_t key[DLQ_KEY_BYTES];
    size_t bytes;
    uint8_t value[];
};
struct entry {
    struct pending *removal;
    struct letter letter;
};
struct row { /* what searches look at, packed */
    uint64_t lsn_first, lsn_last;
    uint8_t collection[16];
    enum letter_kind kind;
    struct entry *entry;
};
struct dlq {
    /* Set by dlq_open(), never changed after it. */
    dlq_persist_fn *persist;
    void *persist_arg;

    struct lock lock;     /* LOCK_RANK_LEAF */
    struct {              /* guarded by lock */
        struct row *rows; /* ids rise */
        size_t count, capacity;
        uint64_t next_id;
        struct pending *first, *last;
        bool persisting;
    } shared;
};

/* ---- writes ---- */

static struct pending *pending_create(const struct letter *l, struct slice value)
{
    struct pending *p = mem_alloc(sizeof *p + value.bytes);

    if (p == NULL)
        return NULL;
    *p = (struct pending){.remove = value.bytes == 0, .bytes = value.bytes};
    letter_key(l->collection, l->id, p->key);
    if (value.bytes > 0)
        memcpy(p->value, value.data, value.bytes);
    return p;
}

static status pending_of(const struct letter *l, struct pending **out, struct err *err)
{
    struct buf value;
    status st;

    buf_init(&value, DLQ_VALUE_BYTES_MAX);
    st = letter_encode(l, &value, err);
    if (st == ST_OK) {
        *out = pending_create(l, buf_slice(&value));
        if (*out == NULL)
            st = err_set(err, ST_NOMEM, "out of memory for a letter");
    }
    buf_free(&value);
    return st;
}

static void enqueue_locked(struct dlq *d, struct pending *p)
{
    if (d->shared.last != NULL)
        d->shared.last->next = p;
    else
        d->shared.first = p;
    d->shared.last = p;
}

/* Hands one batch over and frees it; returns what is left of the list. */
static struct pending *hand_over(struct dlq *d, struct pending *list)
{
    struct kv_write writes[PERSIST_WRITES];
    uint8_t counters[PERSIST_WRITES][8];
    struct pending *p = list;
    size_t count = 0;

    for (; p != NULL && count + 2 <= PERSIST_WRITES; p = p->next) {
        if (p->next_id != 0) {
            le_put_u64(counters[count], p->next_id);
            writes[count] = (struct kv_write){.key = slice_text(DLQ_NEXT_KEY),
                                              .value = slice_make(counters[count], 8)};
            count++;
        }
        writes[count++] = (struct kv_write){.key = slice_make(p->key, sizeof p->key),
                                            .value = slice_make(p->value, p->bytes),
                                            .remove = p->remove};
    }
    if (d->persist != NULL)
        d->persist(d->persist_arg, writes, count);
    while (list != p) {
        struct pending *next = list->next;

        mem_free(list);
        list = next;
    }
    return p;
}

static void drain(struct dlq *d)
{
    lock_take(&d->lock);
    if (!d->shared.persisting) {
        d->shared.persisting = true;
        while (d->shared.first != NULL) {
            struct pending *list = d->shared.first;

            d->shared.first = d->shared.last = NULL;
            lock_drop(&d->lock);
            while (list != NULL)
                list = hand_over(d, list);
            lock_take(&d->lock);
        }
        d->shared.persisting = false;
    }
    lock_drop(&d->lock);
}

/* ---- the table ---- */

static void entry_destroy(struct entry *e)
{
    if (e == NULL)
        return;
    mem_free(e->removal);
    mem_free(e);
}

static struct entry *entry_create(const struct letter *l)
{
    struct entry *e = mem_alloc(sizeof *e);

    if (e == NULL)
        return NULL;
    e->letter = *l;
    e->removal = pending_create(l, (struct slice){0});
    if (e->removal == NULL) {
        mem_free(e);
        return NULL;
    }
    return e;
}

static bool reserve_row_locked(struct dlq *d)
{
    size_t capacity = d->shared.capacity == 0 ? ENTRIES_FIRST : d->shared.capacity * 2;
    struct row *rows;
    size_t bytes;

    if (d->shared.count < d->shared.capacity)
        return true;
    if (!size_mul(capacity, sizeof *rows, &bytes))
        return false;
    rows = mem_resize(d->shared.rows, bytes);
    if (rows == NULL)
        return false;
    d->shared.rows = rows;
    d->shared.capacity = capacity;
    return true;
}

/* The first row whose id is at least this one. */
static size_t lower_bound_locked(const struct dlq *d, uint64_t id)
{
    size_t low = 0;
    size_t high = d->shared.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (d->shared.rows[middle].entry->letter.id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct row row_of(struct entry *e)
{
    struct row row = {e->letter.lsn_first, e->letter.lsn_last, {0}, e->letter.kind, e};

    memcpy(row.collection, e->letter.collection, sizeof row.collection);
    return row;
}

static void insert_locked(struct dlq *d, struct entry *e)
{
    size_t at = lower_bound_locked(d, e->letter.id);
    struct row *rows = d->shared.rows;

    assert(d->shared.count < d->shared.capacity);
    memmove(rows + at + 1, rows + at, (d->shared.count - at) * sizeof *rows);
    rows[at] = row_of(e);
    d->shared.count++;
}

static struct row *find_locked(struct dlq *d, uint64_t id)
{
    size_t at = lower_bound_locked(d, id);

    if (at == d->shared.count || d->shared.rows[at].entry->letter.id != id)
        return NULL;
    return &d->shared.rows[at];
}

/* Cannot fail: the removal was allocated with the entry. */
static void retire_locked(struct dlq *d, struct entry *e)
{
    enqueue_locked(d, e->removal);
    e->removal = NULL;
    entry_destroy(e);
}

/* ---- opening ---- */

struct loading {
    struct dlq *dlq;
    size_t damaged;
};

static status load_one(void *arg, struct slice key, struct slice value, struct err *err)
{
    struct loading *loading = arg;
    struct dlq *d = loading->dlq;
    struct letter letter = {0};
    struct err why = {0};
    struct entry *e;
    status st = value.data == NULL ? err_set(&why, ST_CORRUPT, "letter: its checksum does not fit")
                                   : letter_decode(key, value, &letter, &why);

    if (st != ST_OK) {
        loading->damaged++;
        log_error("a dead letter cannot be read and is kept aside", "err=%s", why.text);
        if (key.bytes != DLQ_KEY_BYTES)
            return ST_OK;
        for (int i = 0; i < 8; i++) /* its id is not given out again */
            letter.id = letter.id << 8 | key.data[20 + i];
        if (letter.id < UINT64_MAX && letter.id >= d->shared.next_id)
            d->shared.next_id = letter.id + 1;
        return ST_OK;
    }
    letter.state = LETTER_PARKED; /* who was retrying it is gone */
    e = entry_create(&letter);
    if (e == NULL || !reserve_row_locked(d)) {
        entry_destroy(e);
        return err_set(err, ST_NOMEM, "out of memory for dead letters");
    }
    insert_locked(d, e);
    if (letter.id >= d->shared.next_id)
        d->shared.next_id = letter.id + 1;
    return ST_OK;
}

static status load(struct dlq *d, struct kv *kv, size_t *damaged, struct err *err)
{
    struct loading loading = {.dlq = d};
    struct buf next;
    status st;

    buf_init(&next, 64);
    st = kv_get(kv, slice_text(DLQ_NEXT_KEY), &next, err);
    if (st == ST_OK && next.bytes == 8 && le_u64(next.data) > d->shared.next_id)
        d->shared.next_id = le_u64(next.data);
    else if (st == ST_CORRUPT || (st == ST_OK && next.bytes != 8))
        loading.damaged++; /* ids go on behind the highest letter */
    buf_free(&next);
    if (st == ST_OK || st == ST_NOT_FOUND || st == ST_CORRUPT)
        st = kv_each_or_damaged(kv, slice_text(DLQ_PREFIX), load_one, &loading, err);
    if (st == ST_OK)
        *damaged = loading.damaged;
    return st;
}

status dlq_open(const struct dlq_options *options, struct dlq **out, size_t *damaged,
                struct err *err)
{
    struct dlq *d = mem_zero(sizeof *d);
    size_t bad = 0;
    status st = ST_OK;

    if (d == NULL)
        return err_set(err, ST_NOMEM, "out of memory for dead letters");
    d->persist = options->persist;
    d->persist_arg = options->persist_arg;
    d->shared.next_id = 1;
    lock_init(&d->lock, LOCK_RANK_LEAF, "dlq");
    if (options->kv != NULL)
        st = load(d, options->kv, &bad, err);
    if (st != ST_OK) {
        dlq_close(d);
        return err_wrap(err, st, "open dead letters");
    }
    *damaged = bad;
    *out = d;
    return ST_OK;
}

void dlq_close(struct dlq *d)
{
    if (d == NULL)
        return;
    assert(d->shared.first == NULL);
    for (size_t i = 0; i < d->shared.count; i++)
        entry_destroy(d->shared.rows[i].entry);
    mem_free(d->shared.rows);
    lock_fini(&d->lock);
    mem_free(d);
}

/* ---- changes ---- */

static struct row *same_range_locked(struct dlq *d, const struct letter *l)
{
    for (size_t i = 0; i < d->shared.count; i++) {
        struct row *row = &d->shared.rows[i];

        if (row->lsn_first == l->lsn_first && row->lsn_last == l->lsn_last &&
            row->kind == l->kind && memcmp(row->collection, l->collection, 16) == 0)
            return row;
    }
    return NULL;
}

static status update_locked(struct dlq *d, struct entry *e, const struct letter *fresh,
                            struct err *err)
{
    struct pending *p;
    status st = pending_of(fresh, &p, err);

    if (st != ST_OK)
        return st;
    e->letter = *fresh;
    enqueue_locked(d, p);
    return ST_OK;
}

static status add_locked(struct dlq *d, struct letter *fresh, struct err *err)
{
    struct pending *p;
    struct entry *e;
    status st;

    fresh->id = d->shared.next_id;
    st = pending_of(fresh, &p, err);
    if (st != ST_OK)
        return st;
    e = entry_create(fresh);
    if (e == NULL || !reserve_row_locked(d)) {
        entry_destroy(e);
        mem_free(p);
        return err_set(err, ST_NOMEM, "out of memory for a letter");
    }
    d->shared.next_id++;
    p->next_id = d->shared.next_id;
    insert_locked(d, e);
    enqueue_locked(d, p);
    return ST_OK;
}

status dlq_put(struct dlq *d, const struct letter *letter, uint64_t *id, struct err *err)
{
    struct letter fresh = *letter;
    struct row *row;
    status st;

    lock_take(&d->lock);
    row = same_range_locked(d, letter);
    if (row != NULL) {
        fresh.id = row->entry->letter.id;
        fresh.first_failed_ns = row->entry->letter.first_failed_ns;
        st = update_locked(d, row->entry, &fresh, err);
    } else {
        st = add_locked(d, &fresh, err);
    }
    lock_drop(&d->lock);
    if (st == ST_OK)
        *id = fresh.id;
    drain(d);
    return st;
}

static status no_letter(uint64_t id, struct err *err)
{
    return err_set(err, ST_NOT_FOUND, "there is no dead letter %" PRIu64, id);
}

status dlq_get(struct dlq *d, uint64_t id, struct letter *out, struct err *err)
{
    const struct row *row;

    lock_take(&d->lock);
    row = find_locked(d, id);
    if (row != NULL)
        *out = row->entry->letter;
    lock_drop(&d->lock);
    return row != NULL ? ST_OK : no_letter(id, err);
}

status dlq_set_state(struct dlq *d, uint64_t id, enum letter_state state, struct err *err)
{
    struct row *row;
    status st;

    lock_take(&d->lock);
    row = find_locked(d, id);
    if (row == NULL) {
        st = no_letter(id, err);
    } else {
        struct letter fresh = row->entry->letter;

        fresh.state = state;
        st = update_locked(d, row->entry, &fresh, err);
    }
    lock_drop(&d->lock);
    drain(d);
    return st;
}

/* Removes what `gone` says yes to; the others close up. */
struct removal {
    uint64_t id; /* 0: by the rest */
    const uint8_t *collection;
    bool shipped_only;
    uint64_t lsn;
};

static bool leaves(const struct row *row, const struct removal *r)
{
    if (r->id != 0)
        return row->entry->letter.id == r->id;
    if (memcmp(row->collection, r->collection, 16) != 0)
        return false;
    return !r->shipped_only || (row->kind == LETTER_WAL_GROUP && row->lsn_last <= r->lsn);
}

static size_t remove_where(struct dlq *d, const struct removal *r)
{
    size_t kept = 0;
    size_t count;

    lock_take(&d->lock);
    count = d->shared.count;
    for (size_t i = 0; i < count; i++) {
        struct row row = d->shared.rows[i];

        if (leaves(&row, r))
            retire_locked(d, row.entry);
        else
            d->shared.rows[kept++] = row;
    }
    d->shared.count = kept;
    lock_drop(&d->lock);
    drain(d);
    return count - kept;
}

status dlq_remove(struct dlq *d, uint64_t id, struct err *err)
{
    const struct removal removal = {.id = id};

    if (id == 0 || remove_where(d, &removal) == 0)
        return no_letter(id, err);
    return ST_OK;
}

void dlq_remove_shipped(struct dlq *d, const uint8_t collection[16], uint64_t lsn)
{
    const struct removal removal = {.collection = collection, .shipped_only = true, .lsn = lsn};

    (void)remove_where(d, &removal);
}

void dlq_remove_collection(struct dlq *d, const uint8_t collection[16])
{
    const struct removal removal = {.collection = collection};

    (void)remove_where(d, &removal);
}

/* ---- reading ---- */

static bool passes(const struct row *row, const struct dlq_filter *f)
{
    return f == NULL ||
           ((f->collection == NULL || memcmp(row->collection, f->collection, 16) == 0) &&
            (f->kind == 0 || (int)row->kind == f->kind) &&
            (f->class == NULL || strcmp(row->entry->letter.class, f->class) == 0));
}

size_t dlq_list(struct dlq *d, const struct dlq_filter *filter, uint64_t after, struct letter *out,
                size_t max, size_t *total)
{
    size_t count = 0;
    size_t all = 0;

    lock_take(&d->lock);
    for (size_t i = 0; i < d->shared.count; i++) {
        const struct row *row = &d->shared.rows[i];

        if (!passes(row, filter))
            continue;
        all++;
        if (row->entry->letter.id > after && count < max)
            out[count++] = row->entry->letter;
    }
    lock_drop(&d->lock);
    if (total != NULL)
        *total = all;
    return count;
}

void dlq_count(struct dlq *d, const uint8_t *collection, struct dlq_counts *out)
{
    *out = (struct dlq_counts){0};
    lock_take(&d->lock);
    for (size_t i = 0; i < d->shared.count; i++) {
        const struct row *row = &d->shared.rows[i];
        const struct letter *l = &row->entry->letter;

        if (collection != NULL && memcmp(row->collection, collection, 16) != 0)
            continue;
        out->letters++;
        out->blocking += l->blocking;
        out->divergent += l->kind == LETTER_DIVERGENT_TAIL;
        out->bytes += l->bytes;
        if (out->oldest_failed_ns == 0 || l->first_failed_ns < out->oldest_failed_ns)
            out->oldest_failed_ns = l->first_failed_ns;
    }
    lock_drop(&d->lock);
}
