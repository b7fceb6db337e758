/* A slot table against a model of plain arrays, through seeded random calls.
 *
 * The model knows what each slot and each id must be. After every few calls everything is compared:
 * states, rows, the id map, the order, dead slots, and the table's own invariants. Now and then the
 * table is written out as a checkpoint would and loaded into a new one. A seed may be given as the
 * only argument. */
#include "tests/unit/index/slots_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    IDS = 160,
    SLOTS = 4096, /* more than a run can use */
    STEPS = 6000,
    COMPARE_EVERY = 64,
    TEXT_BYTES = 40,
    BATCH_MAX = 5,
};

struct model_slot {
    enum slot_state state;
    uint32_t id;      /* index into ids */
    uint64_t content; /* what payload and external id are made from */
    uint64_t lsn;
    bool guarded; /* retired while the guard was held */
    bool paused;  /* retired, and there was a pause since */
};

struct model {
    struct table t;
    uint64_t random;
    uint64_t seed;
    uint64_t lsn;
    uint64_t contents;
    struct docid ids[IDS];
    char texts[IDS][TEXT_BYTES];
    uint32_t current[IDS]; /* slot or SLOT_NONE */
    struct model_slot slots[SLOTS];
    bool inside; /* a guard is held */
    struct epoch_guard guard;
    bool paused;
};

#define CHECK(m, condition)                                                                        \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("seed %" PRIu64 ": %s", (m)->seed, #condition);                               \
    } while (0)

static uint64_t only_seed;

static void make_ids(struct model *m)
{
    for (uint32_t i = 0; i < IDS; i++) {
        m->current[i] = SLOT_NONE;
        switch (i % 3) {
        case 0:
            m->ids[i] = docid_u64(i < IDS / 2 ? i : next_random(&m->random));
            break;
        case 1:
            m->ids[i] = uuid_id((uint8_t)(i % 7), (uint8_t)i);
            break;
        default: /* many share the first fourteen bytes and more */
            (void)snprintf(m->texts[i], TEXT_BYTES, "%.*s-%u", (int)(i % 20),
                           "a common beginning of it", i);
            m->ids[i] = text_id(m->texts[i]);
            break;
        }
    }
}

/* Payload and external id of a content number: lengths from nothing up. */
struct content {
    uint8_t bytes[400];
    struct slice payload;
    struct slice external_id;
};

static void make_content(uint64_t number, struct content *c)
{
    uint64_t random = number;

    for (size_t i = 0; i < sizeof c->bytes; i++)
        c->bytes[i] = (uint8_t)next_random(&random);
    c->payload = slice_make(c->bytes, number % 3 == 0 ? 0 : number % 300);
    c->external_id = slice_make(c->bytes + 300, number % 4 == 0 ? 0 : number % 100);
}

static void compare_row(struct model *m, uint32_t slot)
{
    const struct model_slot *want = &m->slots[slot];
    struct content content;
    struct row row;

    slots_row(m->t.s, slot, &row);
    make_content(want->content, &content);
    CHECK(m, docid_equal(&row.id, &m->ids[want->id]));
    CHECK(m, want->state == SLOT_FILLED || row.lsn == want->lsn);
    CHECK(m, row.inserted_at_ns == want->content);
    CHECK(m, slice_equal(row.payload, content.payload));
    CHECK(m, slice_equal(row.external_id, content.external_id));
}

static void compare_slots(struct model *m)
{
    uint32_t end = slots_end(m->t.s);
    uint32_t counts[SLOT_RETIRED + 1] = {0};

    CHECK(m, end <= SLOTS);
    for (uint32_t i = 0; i < end; i++) {
        enum slot_state state = slots_state(m->t.s, i);
        const struct model_slot *want = &m->slots[i];

        counts[state]++;
        /* The model does not know when exactly the readers are found to be gone. */
        if (want->state == SLOT_RETIRED && state == SLOT_FREE)
            CHECK(m, !want->guarded && !want->paused);
        else
            CHECK(m, state == want->state);
        if (state == SLOT_FILLED || state == SLOT_LIVE || state == SLOT_DEAD)
            compare_row(m, i);
        CHECK(m, slots_live(m->t.s, i) == (state == SLOT_LIVE));
        CHECK(m, slots_current(m->t.s, i) == (state == SLOT_LIVE && m->current[want->id] == i));
    }
    CHECK(m, counts[SLOT_LIVE] == slots_live_count(m->t.s));
    CHECK(m, counts[SLOT_DEAD] == slots_dead_count(m->t.s));
}

static int by_id(const void *a, const void *b)
{
    return docid_compare(a, b);
}

/* Pages of a random size over everything: each id that has a row, once, in order. */
static void compare_order(struct model *m)
{
    struct docid sorted[IDS];
    uint32_t wanted = 0;
    uint32_t seen = 0;
    uint32_t max = 1 + random_below(&m->random, 20);
    struct docid after;
    struct row row;

    for (uint32_t i = 0; i < IDS; i++)
        if (m->current[i] != SLOT_NONE)
            sorted[wanted++] = m->ids[i];
    qsort(sorted, wanted, sizeof sorted[0], by_id);
    for (;;) {
        uint32_t page[20];
        uint32_t count;
        struct epoch_guard guard = epoch_enter(m->t.epoch);
        struct err err = {0};

        if (slots_page(m->t.s, seen == 0 ? NULL : &after, max, page, &count, &err) != ST_OK)
            fail_msg("seed %" PRIu64 ": %s", m->seed, err.text);
        CHECK(m, count <= max);
        for (uint32_t i = 0; i < count; i++) {
            slots_row(m->t.s, page[i], &row);
            CHECK(m, seen < wanted && docid_equal(&row.id, &sorted[seen]));
            CHECK(m, slots_current(m->t.s, page[i]));
            after = sorted[seen++];
        }
        epoch_leave(m->t.epoch, guard);
        if (count < max)
            break;
    }
    CHECK(m, seen == wanted);
}

static void compare(struct model *m)
{
    struct err err = {0};

    if (slots_check(m->t.s, &err) != ST_OK)
        fail_msg("seed %" PRIu64 ": %s", m->seed, err.text);
    for (uint32_t i = 0; i < IDS; i++)
        CHECK(m, slots_find(m->t.s, &m->ids[i]) == m->current[i]);
    compare_slots(m);
}

/* --- one call of each kind --- */

/* A random slot in this state, or SLOT_NONE. */
static uint32_t pick(struct model *m, enum slot_state state)
{
    uint32_t end = slots_end(m->t.s);
    uint32_t start = end == 0 ? 0 : random_below(&m->random, end);

    for (uint32_t i = 0; i < end; i++)
        if (m->slots[(start + i) % end].state == state)
            return (start + i) % end;
    return SLOT_NONE;
}

static void do_reserve(struct model *m)
{
    uint32_t slots[BATCH_MAX];
    uint32_t count = random_below(&m->random, BATCH_MAX + 1);

    CHECK(m, slots_reserve(m->t.s, count, slots, NULL) == ST_OK);
    for (uint32_t i = 0; i < count; i++) {
        struct model_slot *slot = &m->slots[slots[i]];

        CHECK(m, slots[i] < slots_end(m->t.s) && slots[i] < SLOTS);
        CHECK(m, !slot->guarded && !slot->paused);
        CHECK(m, slot->state == SLOT_FREE || slot->state == SLOT_RETIRED);
        *slot = (struct model_slot){.state = SLOT_RESERVED};
    }
}

static void do_fill(struct model *m)
{
    uint32_t slot = pick(m, SLOT_RESERVED);
    struct content content;
    uint32_t id = random_below(&m->random, IDS);

    if (slot == SLOT_NONE)
        return;
    make_content(++m->contents, &content);
    CHECK(m, slots_fill(m->t.s, slot, &m->ids[id], content.external_id, content.payload,
                        m->contents, NULL) == ST_OK);
    m->slots[slot] = (struct model_slot){.state = SLOT_FILLED, .id = id, .content = m->contents};
}

static void do_publish(struct model *m)
{
    uint32_t slot = pick(m, SLOT_FILLED);
    uint32_t id;

    if (slot == SLOT_NONE)
        return;
    id = m->slots[slot].id;
    m->lsn += random_below(&m->random, 2); /* rows of one record share an lsn */
    CHECK(m, slots_publish(m->t.s, slot, m->lsn) == m->current[id]);
    if (m->current[id] != SLOT_NONE)
        m->slots[m->current[id]].state = SLOT_DEAD;
    m->current[id] = slot;
    m->slots[slot].state = SLOT_LIVE;
    m->slots[slot].lsn = m->lsn;
}

static void do_abandon(struct model *m)
{
    uint32_t slot = pick(m, random_below(&m->random, 2) == 0 ? SLOT_RESERVED : SLOT_FILLED);

    if (slot == SLOT_NONE)
        return;
    slots_abandon(m->t.s, slot);
    m->slots[slot].state = SLOT_FREE;
}

static void do_erase(struct model *m)
{
    uint32_t id = random_below(&m->random, IDS);

    CHECK(m, slots_erase(m->t.s, &m->ids[id]) == m->current[id]);
    if (m->current[id] != SLOT_NONE)
        m->slots[m->current[id]].state = SLOT_DEAD;
    m->current[id] = SLOT_NONE;
}

static void do_retire(struct model *m)
{
    uint32_t dead[4];
    uint32_t count = slots_dead_list(m->t.s, dead, 4);

    for (uint32_t i = 0; i < count; i++) {
        CHECK(m, m->slots[dead[i]].state == SLOT_DEAD);
        slots_retire(m->t.s, dead[i]);
        m->slots[dead[i]].state = SLOT_RETIRED;
        m->slots[dead[i]].guarded = m->inside;
        m->slots[dead[i]].paused = m->paused;
    }
}

static void do_guard(struct model *m)
{
    m->inside = !m->inside;
    if (m->inside)
        m->guard = epoch_enter(m->t.epoch);
    else
        epoch_leave(m->t.epoch, m->guard);
    for (uint32_t i = 0; i < SLOTS && !m->inside; i++)
        m->slots[i].guarded = false;
}

/* What is not free yet when the pause begins stays so until it ends. */
static void do_pause(struct model *m)
{
    m->paused = !m->paused;
    if (m->paused)
        slots_reuse_pause(m->t.s);
    else
        slots_reuse_resume(m->t.s);
    for (uint32_t i = 0; i < slots_end(m->t.s); i++)
        m->slots[i].paused = m->paused && slots_state(m->t.s, i) == SLOT_RETIRED;
}

static void load_all(struct model *m, struct slots *to)
{
    uint32_t end = slots_end(m->t.s);
    uint32_t turn = end == 0 ? 0 : random_below(&m->random, end);

    for (uint32_t i = 0; i < end; i++) {
        uint32_t slot = (i + turn) % end; /* from any slot on: the order must not matter */
        enum slot_state state = slots_state(m->t.s, slot);
        struct row row;

        if (state == SLOT_LIVE || state == SLOT_DEAD) {
            slots_row(m->t.s, slot, &row);
            CHECK(m, slots_load(to, slot, state == SLOT_DEAD, &row, NULL) == ST_OK);
        } else {
            m->slots[slot] = (struct model_slot){.state = SLOT_FREE};
        }
    }
    CHECK(m, slots_load_finish(to, NULL) == ST_OK);
}

/* A restart: live and dead rows come back where they were, all else is free. */
static void do_reload(struct model *m)
{
    struct slots *fresh;

    if (m->inside)
        do_guard(m);
    if (m->paused)
        do_pause(m);
    CHECK(m, slots_create(&(struct slots_options){.epoch = m->t.epoch, .budget = &m->t.budget},
                          &fresh, NULL) == ST_OK);
    load_all(m, fresh);
    slots_destroy(m->t.s);
    m->t.s = fresh;
    CHECK(m, slots_bytes(fresh) == mem_budget_bytes(&m->t.budget));
    compare(m);
}

static void step(struct model *m)
{
    uint32_t what = random_below(&m->random, 100);

    if (what < 18)
        do_reserve(m);
    else if (what < 43)
        do_fill(m);
    else if (what < 68)
        do_publish(m);
    else if (what < 72)
        do_abandon(m);
    else if (what < 82)
        do_erase(m);
    else if (what < 90)
        do_retire(m);
    else if (what < 95)
        (void)epoch_collect(m->t.epoch);
    else if (what < 97)
        do_guard(m);
    else if (what < 98)
        do_pause(m);
    else
        compare_order(m);
}

static void run(uint64_t seed)
{
    struct model *m = calloc(1, sizeof *m);

    assert_non_null(m);
    m->seed = seed;
    m->random = seed;
    table_open(&m->t, 0);
    make_ids(m);
    for (uint32_t i = 0; i < STEPS; i++) {
        step(m);
        if (i % COMPARE_EVERY == 0)
            compare(m);
        if (i % (STEPS / 5) == STEPS / 7)
            do_reload(m);
    }
    compare(m);
    compare_order(m);
    if (m->inside)
        do_guard(m);
    if (m->paused)
        do_pause(m);
    table_close(&m->t);
    free(m);
}

static void the_table_behaves_like_its_model(void **state)
{
    (void)state;
    if (only_seed != 0) {
        run(only_seed);
        return;
    }
    for (uint64_t seed = 1; seed <= 40; seed++)
        run(seed);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_table_behaves_like_its_model)};

    if (argc > 1)
        only_seed = strtoull(argv[1], NULL, 0);
    return cmocka_run_group_tests_name("slots_model", tests, NULL, NULL);
}
