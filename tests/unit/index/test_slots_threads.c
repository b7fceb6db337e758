/* One applier, a sequencer that reserves ahead of it, readers, pages, an image writer and the
 * collector, all at once; for the thread sanitizer, and for what readers may rely on:
 *
 *   - an id that always has a row is always found, whatever else is inserted, moved or split;
 *   - a row seen inside a guard does not change until the guard is left;
 *   - who has seen a newer row of an id never sees an older one as the current one;
 *   - a walk in pages meets every id that was there all the time once, in order;
 *   - no slot changes its row while reuse is paused.
 *
 * Payloads are made from id and version, so that any mixture of two rows shows. */
#include "tests/unit/index/slots_fixture.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/lock.h"

/* What cmocka does on failure, a jump, must not leave another thread's stack. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: seed %d: %s\n", __FILE__, __LINE__, (int)SEED,           \
                          #condition);                                                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum {
    ANCHORS = 300, /* ids that are replaced again and again, never erased */
    GUESTS = 300,  /* ids that come and go */
    STEPS = 25000, /* of the applier, at least; every third inserts an id never seen before */
    STEPS_MAX = 20 * STEPS, /* where the collector gets little time, until slots were reused */
    READERS = 3,
    AHEAD = 64, /* filled rows waiting for the applier */
    PAYLOAD_WORDS = 6,
    PAGE = 37,
    KEPT_DEAD = 200, /* dead slots before the oldest are retired */
    SEED = 20,
};

struct payload {
    uint64_t words[PAYLOAD_WORDS];
};

struct filled { /* what the sequencer hands to the applier */
    uint32_t slot;
    uint64_t id;
};

struct world {
    struct table t;
    _Atomic bool stop;
    struct { /* guarded by lock */
        struct lock lock;
        struct cond changed;
        struct filled queue[AHEAD];
        uint32_t first, count;
        bool done;
    } shared;
    _Atomic uint64_t versions[ANCHORS]; /* published, at least */
    _Atomic uint64_t walks;
    uint64_t steps; /* the sequencer's alone until it was joined */
};

/* Anchors are even and small, guests odd and small, others large: splits of buckets and of the
 * order concern all. A third of the ids are byte strings. */
static struct docid world_id(uint64_t number, char text[24])
{
    if (number % 3 != 0)
        return docid_u64(number);
    for (int i = 0; i < 23; i++)
        text[i] = (char)('a' + ((number >> (i < 16 ? 60 - 4 * i : 0)) & 15));
    text[23] = '\0';
    return (struct docid){.kind = DOCID_BYTES, .bytes = slice_make(text, 23)};
}

static void payload_make(struct payload *p, uint64_t id, uint64_t version)
{
    uint64_t random = id * 31 + version;

    p->words[0] = id;
    p->words[1] = version;
    for (int i = 2; i < PAYLOAD_WORDS; i++)
        p->words[i] = next_random(&random);
}

/* The version of a row that must be whole and be of this id. */
static uint64_t payload_check(const struct row *row, uint64_t id)
{
    struct payload want;
    struct payload have;

    CHECK(row->payload.bytes == sizeof have);
    memcpy(&have, row->payload.data, sizeof have);
    payload_make(&want, id, have.words[1]);
    CHECK(memcmp(&have, &want, sizeof have) == 0);
    return have.words[1];
}

/* --- the writers --- */

static void sequencer_push(struct world *w, struct filled f)
{
    lock_take(&w->shared.lock);
    while (w->shared.count == AHEAD)
        cond_wait(&w->shared.changed, &w->shared.lock);
    w->shared.queue[(w->shared.first + w->shared.count++) % AHEAD] = f;
    cond_broadcast(&w->shared.changed);
    lock_drop(&w->shared.lock);
}

/* Reserves and fills, and refuses some of it again. */
static void sequencer(void *arg)
{
    struct world *w = arg;
    uint64_t random = SEED;
    uint64_t versions[ANCHORS + GUESTS] = {0};

    for (uint64_t step = 0; step < STEPS || (slots_end(w->t.s) >= step && step < STEPS_MAX);
         step++) {
        bool fresh = step % 3 == 0;
        uint32_t known = step < ANCHORS ? (uint32_t)step : random_below(&random, ANCHORS + GUESTS);
        uint64_t number = fresh && step >= ANCHORS ? 1000 + step : known;
        uint64_t version = number < 1000 ? ++versions[known] : 1;
        char text[24];
        struct docid id = world_id(number, text);
        struct payload payload;
        uint32_t slots[2];

        payload_make(&payload, number, version);
        CHECK(slots_reserve(w->t.s, 2, slots, NULL) == ST_OK);
        for (int i = 0; i < 2; i++)
            CHECK(slots_fill(w->t.s, slots[i], &id, (struct slice){0},
                             slice_make(&payload, sizeof payload), version, NULL) == ST_OK);
        slots_abandon(w->t.s, slots[1]);
        sequencer_push(w, (struct filled){.slot = slots[0], .id = number});
        w->steps = step + 1;
    }
    lock_take(&w->shared.lock);
    w->shared.done = true;
    cond_broadcast(&w->shared.changed);
    lock_drop(&w->shared.lock);
}

static bool applier_pop(struct world *w, struct filled *f)
{
    bool some;

    lock_take(&w->shared.lock);
    while (w->shared.count == 0 && !w->shared.done)
        cond_wait(&w->shared.changed, &w->shared.lock);
    some = w->shared.count > 0;
    if (some) {
        *f = w->shared.queue[w->shared.first];
        w->shared.first = (w->shared.first + 1) % AHEAD;
        w->shared.count--;
        cond_broadcast(&w->shared.changed);
    }
    lock_drop(&w->shared.lock);
    return some;
}

struct dead_ring {
    uint32_t slots[KEPT_DEAD];
    uint32_t count;
};

/* Retires at once or after others died, as repair would. */
static void dead_push(struct world *w, struct dead_ring *ring, uint32_t slot, uint64_t step)
{
    if (slot == SLOT_NONE)
        return;
    if (step % 2 == 0) {
        slots_retire(w->t.s, slot);
        return;
    }
    if (ring->count == KEPT_DEAD) {
        for (uint32_t i = 0; i < ring->count; i++)
            slots_retire(w->t.s, ring->slots[i]);
        ring->count = 0;
    }
    ring->slots[ring->count++] = slot;
}

static void applier(void *arg)
{
    struct world *w = arg;
    uint64_t random = SEED + 1;
    struct dead_ring *ring = calloc(1, sizeof *ring);
    struct filled f;

    CHECK(ring != NULL);
    for (uint64_t lsn = 1; applier_pop(w, &f); lsn++) {
        char text[24];
        struct docid guest;
        uint64_t erased = lsn % 4 == 0 && lsn > 500 ? 1000 + (lsn - 500) / 3 * 3
                                                    : ANCHORS + random_below(&random, GUESTS);

        dead_push(w, ring, slots_publish(w->t.s, f.slot, lsn), lsn);
        if (f.id < ANCHORS)
            atomic_fetch_add(&w->versions[f.id], 1);
        if (lsn % 2 != 0)
            continue;
        guest = world_id(erased, text);
        dead_push(w, ring, slots_erase(w->t.s, &guest), lsn / 2);
    }
    free(ring);
    atomic_store(&w->stop, true);
}

static void collector(void *arg)
{
    struct world *w = arg;

    while (!atomic_load(&w->stop))
        (void)epoch_collect(w->t.epoch);
}

/* --- the readers --- */

static void read_twice(struct world *w, uint32_t slot, uint64_t number, uint64_t *version)
{
    struct row row;
    uint64_t first;

    slots_row(w->t.s, slot, &row);
    first = payload_check(&row, number);
    CHECK(row.inserted_at_ns == first);
    for (int i = 0; i < 20; i++)
        (void)slots_current(w->t.s, slot);
    slots_row(w->t.s, slot, &row);
    CHECK(payload_check(&row, number) == first);
    *version = first;
}

static void reader(void *arg)
{
    struct world *w = arg;
    static _Atomic uint64_t readers;
    uint64_t random = SEED + 100 + atomic_fetch_add(&readers, 1);
    uint64_t seen[ANCHORS] = {0};

    while (!atomic_load(&w->stop)) {
        uint64_t number = random_below(&random, ANCHORS + GUESTS);
        char text[24];
        struct docid id = world_id(number, text);
        uint64_t least = number < ANCHORS ? atomic_load(&w->versions[number]) : 0;
        struct epoch_guard guard = epoch_enter(w->t.epoch);
        uint32_t slot = slots_find(w->t.s, &id);
        uint64_t version = 0;

        if (slot != SLOT_NONE)
            read_twice(w, slot, number, &version);
        if (number < ANCHORS) {
            uint32_t again = slots_find(w->t.s, &id);

            CHECK(least == 0 || slot != SLOT_NONE);
            CHECK(version >= least && version >= seen[number]);
            seen[number] = version;
            /* Once the newer row was found, the older one is not current. */
            if (slot != SLOT_NONE && again != slot)
                CHECK(!slots_current(w->t.s, slot));
        }
        epoch_leave(w->t.epoch, guard);
    }
}

/* Which anchors had a row before the walk began. */
static void anchors_before(struct world *w, bool there[ANCHORS])
{
    for (uint32_t i = 0; i < ANCHORS; i++)
        there[i] = atomic_load(&w->versions[i]) > 0;
}

static void walk_all(struct world *w)
{
    bool there[ANCHORS];
    bool met[ANCHORS] = {false};
    char text[DOCID_BYTES_MAX];
    struct docid after;
    uint32_t count = PAGE;
    bool first = true;

    anchors_before(w, there);
    while (count == PAGE) {
        struct epoch_guard guard = epoch_enter(w->t.epoch);
        uint32_t page[PAGE];

        CHECK(slots_page(w->t.s, first ? NULL : &after, PAGE, page, &count, NULL) == ST_OK);
        for (uint32_t i = 0; i < count; i++) {
            struct row row;
            uint64_t number;

            slots_row(w->t.s, page[i], &row);
            memcpy(&number, row.payload.data, sizeof number);
            CHECK(first || docid_compare(&row.id, &after) > 0);
            first = false;
            after = row.id;
            if (number < ANCHORS)
                met[number] = true;
        }
        if (count > 0 && after.kind == DOCID_BYTES) { /* beyond the guard */
            memcpy(text, after.bytes.data, after.bytes.bytes);
            after.bytes.data = (const uint8_t *)text;
        }
        epoch_leave(w->t.epoch, guard);
    }
    for (uint32_t i = 0; i < ANCHORS; i++)
        CHECK(met[i] || !there[i]);
    atomic_fetch_add(&w->walks, 1);
}

static void pager(void *arg)
{
    struct world *w = arg;

    while (!atomic_load(&w->stop))
        walk_all(w);
}

/* Notes lsn and time of what is live or dead, and finds them again before it lets go. */
static void imager(void *arg)
{
    struct world *w = arg;
    enum { NOTED = 4096 };
    struct noted {
        uint32_t slot;
        uint64_t lsn;
        uint64_t at;
    } *noted = calloc(NOTED, sizeof *noted);

    CHECK(noted != NULL);
    while (!atomic_load(&w->stop)) {
        uint32_t count = 0;

        slots_reuse_pause(w->t.s);
        for (int pass = 0; pass < 2; pass++) {
            struct epoch_guard guard = epoch_enter(w->t.epoch);
            uint32_t end = slots_end(w->t.s);
            struct row row;

            for (uint32_t i = 0; pass == 0 && i < end && count < NOTED; i++) {
                enum slot_state state = slots_state(w->t.s, i);

                if (state != SLOT_LIVE && state != SLOT_DEAD)
                    continue;
                slots_row(w->t.s, i, &row);
                noted[count++] = (struct noted){i, row.lsn, row.inserted_at_ns};
            }
            for (uint32_t i = 0; pass == 1 && i < count; i++) {
                slots_row(w->t.s, noted[i].slot, &row);
                CHECK(row.lsn == noted[i].lsn);
                CHECK(row.inserted_at_ns == noted[i].at);
                CHECK(slots_state(w->t.s, noted[i].slot) >= SLOT_LIVE);
            }
            epoch_leave(w->t.epoch, guard);
        }
        slots_reuse_resume(w->t.s);
    }
    free(noted);
}

static void readers_writers_pages_and_images_agree(void **state)
{
    thread_fn *const fns[] = {sequencer, applier, collector, pager, pager, imager};
    struct thread threads[COUNT_OF(fns) + READERS] = {0};
    struct world *w = calloc(1, sizeof *w);

    (void)state;
    assert_non_null(w);
    table_open(&w->t, 0);
    lock_init(&w->shared.lock, LOCK_RANK_QUEUE, "test");
    cond_init(&w->shared.changed);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(thread_start(&threads[i], "slots", THREAD_NORMAL,
                                      i < COUNT_OF(fns) ? fns[i] : reader, w, NULL),
                         ST_OK);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        thread_join(&threads[i]);
    assert_true(atomic_load(&w->walks) > 0);
    walk_all(w);
    table_collect(&w->t);
    /* Slots were reused: fewer than were published. */
    assert_true(slots_end(w->t.s) < w->steps);
    cond_fini(&w->shared.changed);
    lock_fini(&w->shared.lock);
    table_close(&w->t);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(readers_writers_pages_and_images_agree)};

    return cmocka_run_group_tests_name("slots_threads", tests, NULL, NULL);
}
