/* Rows that are replaced while the order is being made: the scan is stopped at each block, and rows
 * move from where it has not been yet to where it was. An id with a row all the time is met, once.
 *
 * To step in, the scan and the applier are compiled here once more, with names of ours for asking
 * for a block's place and for storing a state. */
#include "tests/unit/index/slots_fixture.h"

#include <sched.h>
#include <stdlib.h>

#include "index/slots_internal.h"

static struct place scan_place(const struct slots *s, uint32_t slot);
static void publish_state(struct slots *s, uint32_t slot, enum slot_state state);

#define place_of scan_place
#include "index/slots_news.c"
#undef place_of
#define state_store publish_state
#include "index/slots.c"
#undef state_store

static struct {
    void (*fn)(void *arg, uint32_t slot);
    void *arg;
} at_block; /* called with the first slot of each block the scan comes to */

static struct place scan_place(const struct slots *s, uint32_t slot)
{
    if (at_block.fn != NULL)
        at_block.fn(at_block.arg, slot);
    return place_of(s, slot);
}

static struct {
    _Atomic bool armed;   /* the next publish stops before its row is live */
    _Atomic bool reached; /* it has */
    _Atomic bool go_on;
} halfway;

static void publish_state(struct slots *s, uint32_t slot, enum slot_state state)
{
    if (state == SLOT_LIVE && atomic_exchange(&halfway.armed, false)) {
        atomic_store(&halfway.reached, true);
        while (!atomic_load(&halfway.go_on))
            (void)sched_yield();
    }
    state_store(s, slot, state);
}

/* Ids 0 to HALF - 1 in the upper half of the slots, which is a piece of its own; the lower half is
 * reserved. */
enum { HALF = 512 };

struct halves {
    struct table t;
    uint32_t slots[2 * HALF];
    uint32_t moved;     /* so many of the ids are in the lower half by now */
    uint32_t per_block; /* move whenever the scan comes to the upper half */
};

static void halves_publish(struct halves *h, uint32_t slot, uint64_t id)
{
    struct docid doc = docid_u64(id);

    assert_int_equal(slots_fill(h->t.s, slot, &doc, (struct slice){0}, (struct slice){0}, 0, NULL),
                     ST_OK);
    (void)slots_publish(h->t.s, slot, 1);
}

static void halves_open(struct halves *h, uint32_t ids)
{
    *h = (struct halves){0};
    table_open(&h->t, 0);
    assert_int_equal(slots_reserve(h->t.s, 2 * HALF, h->slots, NULL), ST_OK);
    assert_int_equal(h->slots[HALF], HALF);
    for (uint32_t id = 0; id < ids; id++)
        halves_publish(h, HALF + id, id);
}

static void halves_move(void *arg, uint32_t slot)
{
    struct halves *h = arg;

    for (uint32_t i = 0; slot == HALF && i < h->per_block && h->moved < HALF; i++, h->moved++) {
        halves_publish(h, h->moved, h->moved);
        slots_retire(h->t.s, HALF + h->moved);
    }
    (void)epoch_collect(h->t.epoch);
}

static void halves_page(struct halves *h, uint32_t ids)
{
    struct epoch_guard guard = epoch_enter(h->t.epoch);
    uint32_t page[2 * HALF];
    uint32_t count;

    assert_int_equal(slots_page(h->t.s, NULL, 2 * HALF, page, &count, NULL), ST_OK);
    assert_int_equal(count, ids);
    for (uint32_t i = 0; i < count; i++) {
        struct row row;

        slots_row(h->t.s, page[i], &row);
        assert_int_equal(row.id.u64, i);
    }
    epoch_leave(h->t.epoch, guard);
}

/* One row for each pass of the scan, as many as the log keeps, more than it keeps; into a first
 * order and into one that was there. */
static void rows_that_move_behind_the_scan_are_met(void **state)
{
    const uint32_t per_block[] = {
        1, 2, SLOTS_REPLACED_KEPT - 1, SLOTS_REPLACED_KEPT, SLOTS_REPLACED_KEPT + 1, HALF};
    struct halves h;

    (void)state;
    for (size_t i = 0; i < 2 * COUNT_OF(per_block); i++) {
        halves_open(&h, 0);
        if (i % 2 == 1)
            halves_page(&h, 0); /* an order, empty */
        for (uint32_t id = 0; id < HALF; id++)
            halves_publish(&h, HALF + id, id);
        h.per_block = per_block[i / 2];
        at_block.arg = &h;
        at_block.fn = halves_move;
        halves_page(&h, HALF);
        assert_true(h.moved >= h.per_block);
        halves_page(&h, HALF);
        at_block.fn = NULL;
        halves_page(&h, HALF);
        table_close(&h.t);
    }
}

/* Every time the scan comes to the upper half more rows than the log keeps move to where it was,
 * and back: whoever tried again would never come to an end. */
enum { ROUNDS_MAX = 20 };

struct swings {
    struct halves h;
    uint32_t passes;
    uint32_t at[HALF]; /* the slot of each id */
};

static void swing(void *arg, uint32_t slot)
{
    struct swings *w = arg;

    if (slot != HALF || ++w->passes > ROUNDS_MAX)
        return;
    for (uint32_t id = 0; id <= SLOTS_REPLACED_KEPT; id++) {
        uint32_t old = w->at[id];

        assert_int_equal(slots_reserve(w->h.t.s, 1, &w->at[id], NULL), ST_OK);
        halves_publish(&w->h, w->at[id], id);
        slots_retire(w->h.t.s, old);
    }
}

static void a_page_ends_however_many_are_replaced(void **state)
{
    struct swings w;

    (void)state;
    for (int made_before = 0; made_before < 2; made_before++) {
        w = (struct swings){0};
        halves_open(&w.h, 0);
        if (made_before)
            halves_page(&w.h, 0);
        for (uint32_t id = 0; id < HALF; id++)
            halves_publish(&w.h, w.at[id] = HALF + id, id);
        at_block.arg = &w;
        at_block.fn = swing;
        halves_page(&w.h, HALF);
        assert_int_equal(w.passes, 1);
        at_block.fn = NULL;
        halves_page(&w.h, HALF);
        table_close(&w.h.t);
    }
}

static void publish_into_the_first(void *arg)
{
    struct halves *h = arg;

    halves_publish(h, 0, 0);
}

static void let_the_publish_end(void *arg, uint32_t slot)
{
    struct thread *applier = arg;

    if (slot != HALF || atomic_exchange(&halfway.go_on, true))
        return;
    thread_join(applier);
}

/* A publish that began before the page call did, was noted, and ends when the scan has passed the
 * new row; or does not end before the call. */
static void a_publish_that_is_halfway_is_met(void **state)
{
    struct thread applier = {0};
    struct halves h;

    (void)state;
    for (int ends_meanwhile = 0; ends_meanwhile < 2; ends_meanwhile++) {
        halves_open(&h, 1);
        atomic_store(&halfway.reached, false);
        atomic_store(&halfway.go_on, false);
        atomic_store(&halfway.armed, true);
        assert_int_equal(
            thread_start(&applier, "applier", THREAD_NORMAL, publish_into_the_first, &h, NULL),
            ST_OK);
        while (!atomic_load(&halfway.reached))
            (void)sched_yield();
        at_block.arg = &applier;
        at_block.fn = ends_meanwhile ? let_the_publish_end : NULL;
        halves_page(&h, 1);
        at_block.fn = NULL;
        let_the_publish_end(&applier, HALF);
        halves_page(&h, 1);
        table_close(&h.t);
    }
}

/* --- anything at any block --- */

enum { IDS = 300, WALKS = 300, AHEAD = 40 };

struct churn {
    struct table t;
    uint64_t random;
    uint32_t ahead[AHEAD]; /* reserved: a slot may come to be used long after later ones */
    bool there[IDS];       /* has a row */
    bool always[IDS];      /* had one since the walk began */
    uint32_t busy;         /* of 100 blocks, so many see changes */
};

static void churn_step(struct churn *c)
{
    uint32_t id = random_below(&c->random, IDS);
    struct docid doc = docid_u64(id);
    uint32_t *slot = &c->ahead[random_below(&c->random, AHEAD)];
    uint32_t dead;

    if (random_below(&c->random, 8) == 0) {
        dead = slots_erase(c->t.s, &doc);
        c->there[id] = false;
        c->always[id] = false;
    } else {
        assert_int_equal(
            slots_fill(c->t.s, *slot, &doc, (struct slice){0}, (struct slice){0}, 0, NULL), ST_OK);
        dead = slots_publish(c->t.s, *slot, 1);
        c->there[id] = true;
        assert_int_equal(slots_reserve(c->t.s, 1, slot, NULL), ST_OK);
    }
    if (dead != SLOT_NONE)
        slots_retire(c->t.s, dead);
    if (random_below(&c->random, 4) == 0)
        (void)epoch_collect(c->t.epoch);
}

static void churn_some(void *arg, uint32_t slot)
{
    struct churn *c = arg;
    uint32_t steps = random_below(&c->random, 50) == 0 ? 2 * SLOTS_REPLACED_KEPT : 20;

    (void)slot;
    if (random_below(&c->random, 100) >= c->busy)
        return;
    for (uint32_t i = random_below(&c->random, steps); i > 0; i--)
        churn_step(c);
}

static void churn_walk(struct churn *c, uint32_t max)
{
    bool met[IDS] = {false};
    uint32_t page[IDS];
    struct docid after;
    uint32_t count = max;
    bool first = true;

    memcpy(c->always, c->there, sizeof c->always);
    while (count == max) {
        struct epoch_guard guard = epoch_enter(c->t.epoch);

        assert_int_equal(slots_page(c->t.s, first ? NULL : &after, max, page, &count, NULL), ST_OK);
        for (uint32_t i = 0; i < count; i++) {
            struct row row;

            slots_row(c->t.s, page[i], &row);
            assert_true(first || row.id.u64 > after.u64);
            first = false;
            after = row.id;
            met[row.id.u64] = true;
        }
        epoch_leave(c->t.epoch, guard);
    }
    for (uint32_t i = 0; i < IDS; i++)
        if (c->always[i] && !met[i])
            fail_msg("id %u was not met", (unsigned)i);
}

static void whatever_happens_at_a_block_ids_that_stay_are_met_once(void **state)
{
    struct churn *c = calloc(1, sizeof *c);

    (void)state;
    assert_non_null(c);
    for (uint64_t seed = 0; seed < 4; seed++) {
        *c = (struct churn){.random = seed, .busy = 20 + 20 * (uint32_t)seed};
        table_open(&c->t, 0);
        assert_int_equal(slots_reserve(c->t.s, AHEAD, c->ahead, NULL), ST_OK);
        at_block.arg = c;
        at_block.fn = churn_some;
        for (int walk = 0; walk < WALKS; walk++) {
            churn_walk(c, 1 + random_below(&c->random, IDS));
            for (uint32_t i = random_below(&c->random, 30); i > 0; i--)
                churn_step(c);
        }
        at_block.fn = NULL;
        assert_true(slots_end(c->t.s) < 10000); /* slots were used again and again */
        table_close(&c->t);
    }
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_move_behind_the_scan_are_met),
        cmocka_unit_test(a_page_ends_however_many_are_replaced),
        cmocka_unit_test(a_publish_that_is_halfway_is_met),
        cmocka_unit_test(whatever_happens_at_a_block_ids_that_stay_are_met_once),
    };

    return cmocka_run_group_tests_name("slots_order", tests, NULL, NULL);
}
