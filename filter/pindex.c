/* The set of payload indexes: which there are, how rows come into them and leave them.
 *
 * Why a lookup misses no row and trusts no stale entry. Let a row be in slot s.
 *
 *   1. pindex_publish() sets the pending bit of s before the row goes live.
 *   2. pindex_step() looks at a pending slot only under `work`, and clears its bit under the write
 *      lock, after the row's values are in every index: READY ones, and ones that are being built.
 *      A slot that is not live yet is left pending. A row that is dead is not needed: who replaced
 *      it was pending before it died.
 *   3. A new index passes over all slots below the end of now. A row that went live before is put
 *      in by the pass, unless it is pending; one that goes live later is pending then. Only when
 * the pass is through is the index READY, and only READY ones are asked.
 *   4. A reader takes the pending bits first, then the read lock. A row that was live before it did
 *      has its bit set, and is asked by the reader itself; or the bit was cleared, by 2 under a
 *      write lock that the reader's read lock comes after: so every READY index knows the row.
 *   5. pindex_forget() takes the values of dead rows out, and their pending bits, while their
 *      payloads can be read, and before the slots are handed out again (slots_retire()). So what an
 *      index says of s is about the row that is in s now, or about a dead one: the reader asks
 *      whether s is live, inside the guard in which it took the bits. What dies during that guard
 *      is not used again before it is left.
 *
 * So a set bit of a live slot speaks of the row that is there, and a live slot without a bit in an
 * exact answer, and not pending, does not match.
 *
 * Locks: who changes anything holds `work`, and `lock` for writing while readers could see it half
 * done, for PINDEX_BATCH_ROWS rows at most. Readers hold `lock` for reading. Setting a pending bit
 * takes none. */
#include "filter/pindex_internal.h"

enum { FULL_ROOM_BYTES_MIN = 64 * 1024 };

static const char *const TYPES[] = {
    [PINDEX_KEYWORD] = "keyword", [PINDEX_INTEGER] = "integer", [PINDEX_FLOAT] = "float",
    [PINDEX_BOOL] = "bool",       [PINDEX_GEO] = "geo",         [PINDEX_DATETIME] = "datetime",
    [PINDEX_UUID] = "uuid",       [PINDEX_TEXT] = "text"};

const char *pindex_type_name(enum pindex_type t)
{
    return TYPES[t];
}

bool pindex_type_parse(struct slice text, enum pindex_type *out)
{
    for (size_t i = PINDEX_KEYWORD; i <= PINDEX_TEXT; i++) {
        if (!slice_equal(text, slice_text(TYPES[i])))
            continue;
        *out = (enum pindex_type)i;
        return true;
    }
    return false;
}

/* --- life --- */

static struct rwlock *lock_of(const struct pindex_set *set)
{
    return (struct rwlock *)(uintptr_t)&set->lock;
}

status pindex_create(const struct pindex_rows *rows, struct mem_budget *budget,
                     struct pindex_set **out, struct err *err)
{
    struct pindex_set *set = mem_zero(sizeof *set);

    if (set == NULL)
        return err_set(err, ST_NOMEM, "out of memory for payload indexes");
    set->rows = *rows;
    set->charge.budget = budget;
    set->known_charge.budget = budget;
    lock_init(&set->work, LOCK_RANK_PINDEX_WORK, "payload indexer");
    rwlock_init(&set->lock, LOCK_RANK_PINDEX, "payload indexes");
    *out = set;
    return ST_OK;
}

static void index_destroy(struct pindex *index)
{
    if (index == NULL)
        return;
    pindex_clear(index);
    arena_free(&index->arena);
    mem_free(index);
}

void pindex_destroy(struct pindex_set *set)
{
    if (set == NULL)
        return;
    for (uint32_t i = 0; i < set->count; i++)
        index_destroy(set->indexes[i]);
    slot_set_free(&set->known, &set->known_charge);
    pending_free(&set->pending);
    charge_give(&set->charge, set->charge.bytes);
    rwlock_fini(&set->lock);
    lock_fini(&set->work);
    mem_free(set);
}

static status index_create(const struct pindex_set *set, const struct pindex_spec *spec,
                           struct pindex **out, struct err *err)
{
    struct pindex *index = mem_zero(sizeof *index);
    status st;

    if (index == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a payload index");
    arena_init(&index->arena, 256 * 1024);
    index->type = spec->type;
    index->words = spec->words;
    index->charge.budget = set->charge.budget;
    st = path_parse(spec->path->text, &index->arena, &index->path, err);
    if (st == ST_OK)
        *out = index;
    else
        index_destroy(index);
    return st;
}

static bool is_spec(const struct pindex *index, const struct pindex_spec *spec)
{
    return index->type == spec->type && index->words.tokenizer == spec->words.tokenizer &&
           index->words.keep_case == spec->words.keep_case &&
           index->words.min_bytes == spec->words.min_bytes &&
           index->words.max_bytes == spec->words.max_bytes;
}

/* The index on a path, whatever its state; count: none. */
static uint32_t find_locked(const struct pindex_set *set, const struct path *path)
{
    uint32_t i = 0;

    while (i < set->count && !path_equal(set->indexes[i]->path, path))
        i++;
    return i;
}

const struct pindex *pindex_on_locked(const struct pindex_set *set, const struct path *path)
{
    uint32_t i = find_locked(set, path);

    return i < set->count && set->indexes[i]->state == PINDEX_READY ? set->indexes[i] : NULL;
}

static void count_states(struct pindex_set *set)
{
    uint32_t building = 0;
    uint32_t full = 0;

    for (uint32_t i = 0; i < set->count; i++) {
        building += set->indexes[i]->state == PINDEX_BUILDING;
        full += set->indexes[i]->state == PINDEX_FULL;
    }
    atomic_store(&set->building, building);
    atomic_store(&set->full, full);
}

/* `work` is held: nobody else changes the table. */
static status put_index(struct pindex_set *set, const struct pindex_spec *spec, struct pindex **old,
                        struct err *err)
{
    uint32_t i = find_locked(set, spec->path);
    struct pindex *index = NULL;
    status st;

    if (i < set->count && is_spec(set->indexes[i], spec) && set->indexes[i]->state != PINDEX_FULL)
        return ST_OK;
    if (i == PINDEX_COUNT_MAX)
        return err_set(err, ST_LIMIT, "a collection has at most %d payload indexes",
                       PINDEX_COUNT_MAX);
    st = index_create(set, spec, &index, err);
    if (st != ST_OK)
        return st;
    rwlock_take_write(&set->lock);
    *old = i < set->count ? set->indexes[i] : NULL;
    set->indexes[i] = index;
    set->count += i == set->count;
    count_states(set);
    rwlock_drop(&set->lock);
    return ST_OK;
}

status pindex_add(struct pindex_set *set, const struct pindex_spec *spec, struct err *err)
{
    struct pindex *old = NULL;
    status st;

    lock_take(&set->work);
    st = put_index(set, spec, &old, err);
    lock_drop(&set->work);
    index_destroy(old);
    return st;
}

bool pindex_remove(struct pindex_set *set, const struct path *path)
{
    struct pindex *old = NULL;
    uint32_t i;

    lock_take(&set->work);
    i = find_locked(set, path);
    if (i < set->count) {
        rwlock_take_write(&set->lock);
        old = set->indexes[i];
        set->indexes[i] = set->indexes[set->count - 1];
        set->count--;
        count_states(set);
        rwlock_drop(&set->lock);
    }
    lock_drop(&set->work);
    index_destroy(old);
    return old != NULL;
}

static void info_of(const struct pindex *index, struct pindex_info *out)
{
    *out = (struct pindex_info){.path = index->path->text,
                                .type = index->type,
                                .state = index->state,
                                .points = index->indexed.count,
                                .bytes = index->charge.bytes};
}

size_t pindex_list(const struct pindex_set *set, struct pindex_info *out, size_t max)
{
    size_t n = 0;

    rwlock_take_read(lock_of(set));
    for (; n < set->count && n < max; n++)
        info_of(set->indexes[n], &out[n]);
    rwlock_drop(lock_of(set));
    return n;
}

bool pindex_info_of(const struct pindex_set *set, const struct path *path, struct pindex_info *out)
{
    uint32_t i;
    bool found;

    rwlock_take_read(lock_of(set));
    i = find_locked(set, path);
    found = i < set->count;
    if (found)
        info_of(set->indexes[i], out);
    rwlock_drop(lock_of(set));
    out->path = path->text;
    return found;
}

bool pindex_has(const struct pindex_set *set, const struct pindex_spec *spec)
{
    uint32_t i;
    bool has;

    rwlock_take_read(lock_of(set));
    i = find_locked(set, spec->path);
    has = i < set->count && is_spec(set->indexes[i], spec);
    rwlock_drop(lock_of(set));
    return has;
}

uint32_t pindex_points_among(const struct pindex_set *set, const struct path *path,
                             const uint32_t *slots, uint32_t count)
{
    uint32_t among = 0;
    uint32_t i;

    rwlock_take_read(lock_of(set));
    i = find_locked(set, path);
    for (uint32_t k = 0; i < set->count && k < count; k++)
        among += slot_set_has(&set->indexes[i]->indexed, slots[k]);
    rwlock_drop(lock_of(set));
    return among;
}

bool pindex_words_of(const struct pindex_set *set, const struct path *path,
                     struct filter_words *out)
{
    bool found;
    uint32_t i;

    rwlock_take_read(lock_of(set));
    i = find_locked(set, path);
    found = i < set->count && set->indexes[i]->type == PINDEX_TEXT;
    if (found)
        *out = set->indexes[i]->words;
    rwlock_drop(lock_of(set));
    return found;
}

/* --- rows --- */

status pindex_reserve(struct pindex_set *set, uint32_t slot_end, struct err *err)
{
    bool there;

    if (slot_end == 0 || pending_reserved(&set->pending, slot_end))
        return ST_OK;
    lock_take(&set->work);
    there = pending_reserve(&set->pending, slot_end, &set->charge);
    lock_drop(&set->work);
    return there ? ST_OK
                 : err_set(err, ST_NOSPACE, "no memory for the payload indexes' pending rows");
}

void pindex_publish(struct pindex_set *set, uint32_t slot)
{
    pending_add(&set->pending, slot);
}

uint32_t pindex_pending(const struct pindex_set *set)
{
    uint64_t count = atomic_load(&set->pending.count);

    return count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
}

void pindex_pending_bits(const struct pindex_set *set, uint64_t *bits, uint32_t bit_count)
{
    pending_bits(&set->pending, bits, bit_count);
}

/* An index that finds no memory is emptied and not asked any more. */
static void index_full(struct pindex_set *set, struct pindex *index)
{
    uint64_t wanted = 2 * index->charge.bytes + FULL_ROOM_BYTES_MIN;

    index->room_wanted = wanted > 2 * index->room_wanted ? wanted : 2 * index->room_wanted;
    pindex_clear(index);
    index->state = PINDEX_FULL;
    count_states(set);
}

static bool note_known(struct pindex_set *set, uint32_t slot)
{
    bool added;

    if (!slot_set_add(&set->known, slot, &added, &set->known_charge))
        return false;
    set->known_end = slot >= set->known_end ? slot + 1 : set->known_end;
    return true;
}

/* One row into the indexes; both locks are held. With `only`, into that one. False: a pending row
 * could not even be noted, and stays pending. */
static bool put_row(struct pindex_set *set, uint32_t slot, struct pindex *only)
{
    struct slice payload;

    if (!note_known(set, slot)) {
        if (only != NULL) /* no index that is asked is without its rows: they are noted already */
            index_full(set, only);
        return only != NULL;
    }
    if (set->count == 0)
        return true;
    payload = set->rows.payload(set->rows.arg, slot);
    for (uint32_t i = 0; i < set->count; i++) {
        struct pindex *index = set->indexes[i];

        if (only != NULL ? index != only : index->state == PINDEX_FULL)
            continue;
        if (!pindex_put_row(index, slot, payload))
            index_full(set, index);
    }
    return true;
}

/* Pending rows of one batch; returns how many are pending no more. */
static uint32_t take_in(struct pindex_set *set, const uint32_t *slots, uint32_t count)
{
    uint32_t done = 0;

    rwlock_take_write(&set->lock);
    for (uint32_t i = 0; i < count; i++) {
        enum pindex_row state = set->rows.state(set->rows.arg, slots[i]);

        if (state == PINDEX_ROW_NONE || !pending_has(&set->pending, slots[i]) ||
            (state == PINDEX_ROW_LIVE && !put_row(set, slots[i], NULL)))
            continue;
        pending_drop(&set->pending, slots[i]);
        done++;
    }
    rwlock_drop(&set->lock);
    return done;
}

/* Up to max of the pending rows; returns how many are pending no more. Those that go live in a
 * moment are passed over. */
static uint32_t step_pending(struct pindex_set *set, uint32_t *max)
{
    uint32_t slots[PINDEX_BATCH_ROWS];
    uint32_t from = 0;
    uint32_t done = 0;

    while (*max > 0) {
        uint32_t wanted = *max < PINDEX_BATCH_ROWS ? *max : PINDEX_BATCH_ROWS;
        uint32_t count;

        lock_take(&set->work);
        count = pending_find(&set->pending, from, slots, wanted);
        if (count > 0)
            done += take_in(set, slots, count);
        lock_drop(&set->work);
        *max -= count;
        if (count < wanted || slots[count - 1] == UINT32_MAX)
            break;
        from = slots[count - 1] + 1;
    }
    return done;
}

static struct pindex *unbuilt(const struct pindex_set *set)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (set->indexes[i]->state == PINDEX_BUILDING)
            return set->indexes[i];
    return NULL;
}

/* A batch of slots for the first index that is not built; false: there is none, or no memory. */
static bool build_batch_locked(struct pindex_set *set, uint32_t *max, uint32_t *done)
{
    struct pindex *index = unbuilt(set);
    uint32_t end = set->rows.end(set->rows.arg);
    uint32_t rows = 0;
    bool room = true;

    if (index == NULL)
        return false;
    rwlock_take_write(&set->lock);
    while (index->state == PINDEX_BUILDING && index->built<end && * max> 0 && room &&
           rows < PINDEX_BATCH_ROWS) {
        uint32_t slot = index->built;

        if (set->rows.state(set->rows.arg, slot) == PINDEX_ROW_LIVE &&
            !pending_has(&set->pending, slot)) {
            room = put_row(set, slot, index);
            rows++;
        }
        index->built += room;
        *done += room;
        (*max)--;
    }
    if (index->state == PINDEX_BUILDING && index->built >= end)
        index->state = PINDEX_READY;
    count_states(set);
    rwlock_drop(&set->lock);
    return room;
}

struct pindex_progress pindex_step(struct pindex_set *set, uint32_t max)
{
    struct pindex_progress p = {.done = step_pending(set, &max)};
    bool more = true;
    uint64_t left;

    while (more && max > 0) {
        lock_take(&set->work);
        more = build_batch_locked(set, &max, &p.done);
        lock_drop(&set->work);
    }
    lock_take(&set->work);
    left = pindex_pending(set);
    for (uint32_t i = 0; i < set->count; i++) {
        const struct pindex *index = set->indexes[i];
        uint32_t end = set->rows.end(set->rows.arg);

        if (index->state == PINDEX_BUILDING)
            left += 1 + (end > index->built ? end - index->built : 0);
    }
    lock_drop(&set->work);
    p.left = left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
    return p;
}

bool pindex_any(const struct pindex_set *set)
{
    return atomic_load_explicit(&set->count, memory_order_relaxed) > 0;
}

bool pindex_building(const struct pindex_set *set)
{
    return atomic_load_explicit(&set->building, memory_order_relaxed) > 0;
}

bool pindex_retry(struct pindex_set *set)
{
    bool began = false;

    if (atomic_load_explicit(&set->full, memory_order_relaxed) == 0)
        return false;
    lock_take(&set->work);
    for (uint32_t i = 0; i < set->count; i++) {
        struct pindex *index = set->indexes[i];

        if (index->state != PINDEX_FULL ||
            mem_reserve(index->charge.budget, index->room_wanted, NULL) != ST_OK)
            continue;
        mem_release(index->charge.budget, index->room_wanted);
        rwlock_take_write(&set->lock);
        index->state = PINDEX_BUILDING;
        index->built = 0;
        count_states(set);
        rwlock_drop(&set->lock);
        began = true;
    }
    lock_drop(&set->work);
    return began;
}

/* --- rows that go --- */

static void forget_row(struct pindex_set *set, uint32_t slot)
{
    struct slice payload;

    pending_drop(&set->pending, slot);
    if (!slot_set_remove(&set->known, slot, &set->known_charge) || set->count == 0)
        return; /* no index has it */
    payload = set->rows.payload(set->rows.arg, slot);
    for (uint32_t i = 0; i < set->count; i++)
        if (set->indexes[i]->state != PINDEX_FULL)
            pindex_take_row(set->indexes[i], slot, payload);
}

void pindex_forget(struct pindex_set *set, const uint32_t *slots, uint32_t count)
{
    for (uint32_t first = 0; first < count; first += PINDEX_BATCH_ROWS) {
        uint32_t end = count - first < PINDEX_BATCH_ROWS ? count : first + PINDEX_BATCH_ROWS;

        lock_take(&set->work);
        rwlock_take_write(&set->lock);
        for (uint32_t i = first; i < end; i++)
            forget_row(set, slots[i]);
        rwlock_drop(&set->lock);
        lock_drop(&set->work);
    }
}
