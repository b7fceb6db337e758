/* slots_fixture.h - a slot table with an epoch and a budget of its own, for tests. */
#ifndef TESTS_UNIT_INDEX_SLOTS_FIXTURE_H
#define TESTS_UNIT_INDEX_SLOTS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "index/slots.h"

struct table {
    struct epoch *epoch;
    struct mem_budget budget;
    struct slots *s;
};

static inline void table_open(struct table *t, uint64_t bytes_max)
{
    const struct slots_options *options;

    mem_budget_init(&t->budget, NULL, bytes_max);
    assert_int_equal(epoch_create(&t->epoch, NULL), ST_OK);
    options = &(struct slots_options){.epoch = t->epoch, .budget = &t->budget};
    assert_int_equal(slots_create(options, &t->s, NULL), ST_OK);
}

static inline void table_check(const struct table *t)
{
    struct err err = {0};

    if (slots_check(t->s, &err) != ST_OK)
        fail_msg("%s", err.text);
}

static inline void table_collect(struct table *t)
{
    while (epoch_collect(t->epoch) > 0)
        ;
}

/* The budget is back where it was before there was a table, even while the epoch holds memory. */
static inline void table_close(struct table *t)
{
    table_check(t);
    slots_destroy(t->s);
    assert_int_equal(mem_budget_bytes(&t->budget), 0);
    epoch_destroy(t->epoch);
}

static inline uint32_t table_fill(struct table *t, const struct docid *id, struct slice payload)
{
    uint32_t slot;

    assert_int_equal(slots_reserve(t->s, 1, &slot, NULL), ST_OK);
    assert_int_equal(slots_fill(t->s, slot, id, (struct slice){0}, payload, 0, NULL), ST_OK);
    return slot;
}

/* Returns the new slot; the one it replaced in *old, which may be NULL. */
static inline uint32_t table_put(struct table *t, const struct docid *id, const char *payload,
                                 uint64_t lsn, uint32_t *old)
{
    uint32_t slot = table_fill(t, id, slice_text(payload));
    uint32_t replaced = slots_publish(t->s, slot, lsn);

    if (old != NULL)
        *old = replaced;
    return slot;
}

static inline struct docid text_id(const char *text)
{
    return (struct docid){.kind = DOCID_BYTES, .bytes = slice_text(text)};
}

static inline struct docid uuid_id(uint8_t first, uint8_t last)
{
    struct docid id = {.kind = DOCID_UUID};

    id.uuid[0] = first;
    id.uuid[15] = last;
    return id;
}

/* splitmix64 */
static inline uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}
static inline uint32_t random_below(uint64_t *state, uint32_t bound)
{
    return (uint32_t)(next_random(state) % bound);
}

#endif
