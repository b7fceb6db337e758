/* id -> live slot: buckets chained through the rows, grown by linear hashing (Litwin 1980).
 *
 * A row carries its own link and one bucket head, so the room for an id is there since its slot was
 * reserved, and publishing cannot fail. There are as many buckets as there were ever live rows. A
 * new id may split one bucket in two; that looks at the two or three rows of one chain, whatever
 * the size of the map: no publish ever moves a table.
 *
 * A chain is sorted by the bits of the hash from the lowest up. So the rows that a split moves are
 * the chain's tail, and splitting is: the new head points at the tail, the count of buckets rises,
 * the link in front of the tail is cut (the idea of split-ordered lists, Shalev and Shavit 2006).
 *
 * There is one writer, the applier. Readers walk without waiting, inside an epoch guard. A row that
 * was unlinked keeps its link until no reader stands on it. A reader that reaches the end of a
 * chain without finding its id looks at the count of buckets again: if its id belongs elsewhere by
 * now, a split may have cut the chain before it, and it goes on there. Otherwise every row it
 * stepped over was linked at that moment to the next one, in order, so an id that was there all the
 * time was not missed. */
#include "index/slots_internal.h"

#include <inttypes.h>

#include "base/hash.h"

/* Seeded, so that nobody can send ids that all meet in one bucket. */
static uint64_t id_hash(const struct slots *s, const struct docid *id)
{
    switch ((enum docid_kind)id->kind) {
    case DOCID_U64:
        return hash_u64(id->u64 ^ s->hash_seed);
    case DOCID_UUID:
        return hash_bytes(id->uuid, sizeof id->uuid, s->hash_seed);
    case DOCID_BYTES:
        return hash_bytes(id->bytes.data, id->bytes.bytes, ~s->hash_seed);
    }
    return 0;
}

static uint64_t slot_hash(const struct slots *s, uint32_t slot)
{
    struct docid id = row_docid(row_at(s, slot));

    return id_hash(s, &id);
}

/* The order within a chain: by the lowest bit that differs. */
static bool hash_before(uint64_t a, uint64_t b)
{
    uint64_t differ = a ^ b;

    return (a & (differ & (0 - differ))) == 0 && differ != 0;
}

static uint32_t highest_bit(uint32_t v)
{
    return UINT32_C(1) << (31 - __builtin_clz(v));
}

/* With `count` buckets, those from the highest bit of count - 1 up are split off from below. */
static uint32_t bucket_of(uint64_t hash, uint32_t count)
{
    uint32_t high = count == 1 ? 0 : highest_bit(count - 1);
    uint32_t bucket = (uint32_t)hash & (high * 2 - (high > 0));

    return bucket < count ? bucket : bucket & (high - 1);
}

static _Atomic uint32_t *head_at(const struct slots *s, uint32_t bucket)
{
    struct place p = place_of(s, bucket);

    return &p.piece->heads[p.at];
}

static uint32_t chain_find(const struct slots *s, uint32_t bucket, const struct docid *id)
{
    uint32_t link = atomic_load_explicit(head_at(s, bucket), memory_order_acquire);

    while (link != LINK_END) {
        const struct row_store *row = row_at(s, link - 1);

        if (row_has_id(row, id))
            return link - 1;
        link = atomic_load_explicit(&row->chain, memory_order_acquire);
    }
    return SLOT_NONE;
}

uint32_t idmap_find(const struct slots *s, const struct docid *id)
{
    uint32_t count = atomic_load_explicit(&s->buckets, memory_order_acquire);
    uint64_t hash;

    if (count == 0)
        return SLOT_NONE;
    hash = id_hash(s, id);
    for (;;) {
        uint32_t bucket = bucket_of(hash, count);
        uint32_t slot = chain_find(s, bucket, id);

        if (slot != SLOT_NONE)
            return slot;
        count = atomic_load_explicit(&s->buckets, memory_order_acquire);
        if (bucket_of(hash, count) == bucket)
            return SLOT_NONE;
    }
}

void idmap_prefetch(const struct slots *s, uint32_t slot)
{
    uint32_t count = atomic_load_explicit(&s->buckets, memory_order_relaxed);

    if (count > 0 && slot < slots_end(s) && state_load(s, slot) == SLOT_FILLED)
        __builtin_prefetch(head_at(s, bucket_of(slot_hash(s, slot), count)));
}

/* A place in a chain: the link that leads to it, and how many rows were passed. */
struct spot {
    _Atomic uint32_t *link;
    uint32_t walked;
};

static uint32_t spot_next(const struct spot *spot)
{
    return atomic_load_explicit(spot->link, memory_order_relaxed);
}

static void spot_step(const struct slots *s, struct spot *spot)
{
    spot->link = &row_at(s, spot_next(spot) - 1)->chain;
    spot->walked++;
}

/* The link to the row of id, or to where it would be put. */
static struct spot spot_find(const struct slots *s, const struct docid *id, uint64_t hash)
{
    uint32_t count = atomic_load_explicit(&s->buckets, memory_order_relaxed);
    struct spot spot = {.link = head_at(s, bucket_of(hash, count))};
    uint32_t next;

    while ((next = spot_next(&spot)) != LINK_END) {
        uint64_t at = slot_hash(s, next - 1);

        if (hash_before(hash, at) || (hash == at && row_has_id(row_at(s, next - 1), id)))
            break;
        spot_step(s, &spot);
    }
    return spot;
}

static bool spot_has(const struct slots *s, const struct spot *spot, const struct docid *id)
{
    uint32_t next = spot_next(spot);

    return next != LINK_END && row_has_id(row_at(s, next - 1), id);
}

/* Returns how many rows it looked at. */
static uint32_t split_one(struct slots *s)
{
    uint32_t count = atomic_load_explicit(&s->buckets, memory_order_relaxed);
    uint32_t bit = highest_bit(count);
    struct spot spot = {.link = head_at(s, count ^ bit)};
    uint32_t tail;

    while ((tail = spot_next(&spot)) != LINK_END && (slot_hash(s, tail - 1) & bit) == 0)
        spot_step(s, &spot);
    /* In this order: who finds the chain cut must find the new count, who has the new count the new
     * head. */
    atomic_store_explicit(head_at(s, count), tail, memory_order_release);
    atomic_store_explicit(&s->buckets, count + 1, memory_order_release);
    atomic_store_explicit(spot.link, LINK_END, memory_order_release);
    return spot.walked + 1;
}

static void note_walk(struct slots *s, uint32_t walked)
{
    if (walked > s->walked_max)
        s->walked_max = walked;
}

uint32_t idmap_put(struct slots *s, uint32_t slot)
{
    struct row_store *row = row_at(s, slot);
    struct docid id = row_docid(row);
    uint64_t hash = id_hash(s, &id);
    uint32_t old = SLOT_NONE;
    uint32_t after;
    struct spot spot;

    if (atomic_load_explicit(&s->buckets, memory_order_relaxed) == 0)
        atomic_store_explicit(&s->buckets, 1, memory_order_release);
    spot = spot_find(s, &id, hash);
    after = spot_next(&spot);
    if (spot_has(s, &spot, &id)) {
        old = after - 1;
        after = atomic_load_explicit(&row_at(s, old)->chain, memory_order_relaxed);
    }
    atomic_store_explicit(&row->chain, after, memory_order_relaxed);
    atomic_store_explicit(spot.link, slot + 1, memory_order_release);
    if (old == SLOT_NONE && atomic_load_explicit(&s->live, memory_order_relaxed) >=
                                atomic_load_explicit(&s->buckets, memory_order_relaxed))
        spot.walked += split_one(s);
    note_walk(s, spot.walked);
    return old;
}

uint32_t idmap_remove(struct slots *s, const struct docid *id)
{
    uint64_t hash = id_hash(s, id);
    struct spot spot;
    uint32_t slot;

    if (atomic_load_explicit(&s->buckets, memory_order_relaxed) == 0)
        return SLOT_NONE;
    spot = spot_find(s, id, hash);
    note_walk(s, spot.walked);
    if (!spot_has(s, &spot, id))
        return SLOT_NONE;
    slot = spot_next(&spot) - 1;
    atomic_store_explicit(spot.link,
                          atomic_load_explicit(&row_at(s, slot)->chain, memory_order_relaxed),
                          memory_order_release);
    return slot;
}

static status bucket_check(const struct slots *s, uint32_t bucket, uint32_t *rows, struct err *err)
{
    uint32_t count = atomic_load_explicit(&s->buckets, memory_order_relaxed);
    uint32_t end = atomic_load_explicit(&s->end, memory_order_relaxed);
    uint32_t link = atomic_load_explicit(head_at(s, bucket), memory_order_relaxed);
    uint64_t before = 0;

    for (uint32_t n = 0; link != LINK_END; n++) {
        uint32_t slot = link - 1;
        uint64_t hash;

        if (slot >= end || n > end || state_load(s, slot) != SLOT_LIVE)
            return err_set(err, ST_CORRUPT,
                           "id map names a slot that is not live bucket=%" PRIu32 " slot=%" PRIu32,
                           bucket, slot);
        hash = slot_hash(s, slot);
        if (bucket_of(hash, count) != bucket || (n > 0 && hash_before(hash, before)))
            return err_set(err, ST_CORRUPT,
                           "id map chain out of order bucket=%" PRIu32 " slot=%" PRIu32, bucket,
                           slot);
        before = hash;
        link = atomic_load_explicit(&row_at(s, slot)->chain, memory_order_relaxed);
        *rows += 1;
    }
    return ST_OK;
}

status idmap_check(const struct slots *s, uint32_t *count, struct err *err)
{
    uint32_t buckets = atomic_load_explicit(&s->buckets, memory_order_relaxed);
    status st = ST_OK;

    *count = 0;
    if (buckets > atomic_load_explicit(&s->end, memory_order_relaxed))
        return err_set(err, ST_CORRUPT, "id map has more buckets than slots buckets=%" PRIu32,
                       buckets);
    for (uint32_t i = 0; st == ST_OK && i < buckets; i++)
        st = bucket_check(s, i, count, err);
    return st;
}
