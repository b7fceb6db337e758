/* Whatever is told to the core, by a shell that is wrong or a bucket that lies, it stays within its
 * bounds and answers what it was asked to answer. Takes a seed as its argument. */
#include "stream_case.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { STREAMS = 300, STEPS = 1500 };

static struct stream_case c;
static uint64_t seed = 1, state_of_chance;
static struct stream_effect asked_of[4]; /* the last that were asked for something */
static size_t asked_count;
static bool root_gone; /* mostly not found in this stream */

static uint64_t chance(uint64_t bound)
{
    state_of_chance += 0x9E3779B97F4A7C15u;
    return hash_u64(state_of_chance) % bound;
}

static uint64_t number(void)
{
    static const uint64_t SOME[] = {0, 1, 2, 3, 7, 50, 1000, UINT64_MAX - 1, UINT64_MAX};

    return chance(3) == 0 ? c.s.durable_lsn + chance(4) : SOME[chance(COUNT_OF(SOME))];
}

static uint64_t token(void)
{
    uint64_t last = c.s.core.last_token;

    return chance(4) == 0 || last == 0 ? number() : last - chance(last < 6 ? last : 6);
}

static void any_root(struct root *r)
{
    *r = chance(2) == 0 ? c.s.root : c.s.core.op.next;
    memcpy(r->collection, c.options.collection, sizeof r->collection);
    r->state = chance(40) == 0 ? ROOT_DROPPED : (enum root_state)(1 + chance(2));
    if (chance(9) == 0)
        r->epoch = number();
    if (chance(6) == 0)
        r->epoch += chance(3);
    if (chance(6) == 0)
        memset(r->session, (int)chance(3), sizeof r->session);
    if (chance(3) == 0)
        (void)snprintf(r->node_id, sizeof r->node_id, "%s", chance(2) == 0 ? "a" : "b");
    if (chance(5) == 0)
        r->open_count = chance(ROOT_OPEN_MAX + 1);
    if (chance(5) == 0)
        r->lineage_count = chance(ROOT_LINEAGES_MAX + 1);
    if (chance(5) == 0)
        r->floor = (struct log_floor){number(), number(), number(), number()};
}

/* Often enough what is told fits what was asked, so that it gets somewhere. */
static void fit(struct stream_event *e)
{
    static const int ANSWERS[][2] = {{STREAM_DO_READ_ROOT, STREAM_ROOT_READ},
                                     {STREAM_DO_PUT_ROOT, STREAM_ROOT_DONE},
                                     {STREAM_DO_LIST, STREAM_LISTED},
                                     {STREAM_DO_READ_GROUP, STREAM_GROUP_READ},
                                     {STREAM_DO_CHECK_LOCAL, STREAM_LOCAL_CHECKED},
                                     {STREAM_DO_ENCODE, STREAM_ENCODED},
                                     {STREAM_DO_PUT_GROUP, STREAM_PUT_DONE},
                                     {STREAM_DO_COMPARE, STREAM_COMPARED}};
    const struct stream_effect *asked;

    if (asked_count == 0 || chance(3) == 0)
        return;
    asked = &asked_of[chance(asked_count)];
    for (size_t i = 0; i < COUNT_OF(ANSWERS); i++)
        if (ANSWERS[i][0] == (int)asked->kind)
            e->kind = (enum stream_event_kind)ANSWERS[i][1];
    e->token = asked->token;
    if (chance(4) != 0)
        e->class = OBJSTORE_OK;
    if (e->kind == STREAM_ROOT_READ && root_gone && chance(4) != 0)
        e->class = OBJSTORE_NOT_FOUND;
    if (e->kind == STREAM_LISTED)
        e->end_seq = asked->seq + chance(3);
    if (e->kind == STREAM_GROUP_READ && chance(5) != 0) {
        e->first_lsn = c.s.core.take.end_lsn + 1;
        e->chain_before = c.s.core.take.end_chain;
        e->last_lsn = e->first_lsn + chance(9);
    }
    if (e->kind == STREAM_ENCODED && chance(5) != 0)
        e->last_lsn = asked->last_lsn;
}

static void remember_asked(void)
{
    for (size_t i = 0; i < c.out.count; i++)
        if (c.out.items[i].token != 0) {
            if (asked_count == COUNT_OF(asked_of))
                memmove(asked_of, asked_of + 1, --asked_count * sizeof asked_of[0]);
            asked_of[asked_count++] = c.out.items[i];
        }
}

static struct stream_event any_event(struct root *root)
{
    struct stream_event e = {
        .kind = (enum stream_event_kind)chance(STREAM_COMPARED + 1),
        .token = token(),
        .class = chance(2) == 0 ? OBJSTORE_OK : (enum objstore_class)chance(OBJSTORE_CLASSES),
        .maybe_applied = chance(2) == 0,
        .retry_after_ms = chance(9) == 0 ? number() : 0,
        .lsn = number(),
        .bytes = number(),
        .first_lsn = number(),
        .last_lsn = number(),
        .drop = chance(2) == 0,
        .chain_before = number(),
        .chain = number(),
        .end_seq = number(),
        .gap = chance(4) == 0,
        .original = chance(4) == 0,
        .local = (enum stream_local)chance(STREAM_LOCAL_AHEAD + 1),
        .root = chance(9) == 0 ? NULL : root,
        .etag = chance(9) == 0 ? NULL : "etag",
        .text = chance(2) == 0 ? NULL : "what the store said",
        .floor_lsn = number(),
        .root_state = (enum root_state)(1 + chance(2)),
        .epoch = number(),
        .manifest_revision = number(),
        .floor = {number(), number(), number(), number()},
        .lineages_absorbed = chance(4) == 0 ? SIZE_MAX : chance(5),
        .base_complete = chance(2) == 0};

    if (e.kind == STREAM_LOG && chance(8) != 0) /* mostly a log that grows */
        e.lsn = c.s.durable_lsn + chance(20);
    if ((e.kind == STREAM_STOP || e.kind == STREAM_DROP) && chance(50) != 0)
        e.kind = STREAM_TICK;
    fit(&e);
    return e;
}

static void within_bounds(void)
{
    assert_true(c.s.seal_count <= c.s.options.max_in_flight);
    assert_true(c.s.root.open_count <= ROOT_OPEN_MAX);
    assert_true(c.s.core.op.next.open_count <= ROOT_OPEN_MAX);
    assert_true(c.s.core.op.next.lineage_count <= ROOT_LINEAGES_MAX);
    assert_true(c.s.core.take.found_count <= ROOT_OPEN_MAX);
    assert_true(c.s.core.mark_count <= STREAM_MARKS_MAX);
    assert_string_not_equal(stream_phase_name(c.s.phase), "unknown");
    for (size_t i = 0; i < c.out.count; i++) {
        const struct stream_effect *e = &c.out.items[i];

        if (e->kind == STREAM_DO_TIMER)
            assert_true(e->at_ms > c.now_ms);
        if (e->kind == STREAM_DO_PUT_ROOT)
            assert_true(e->root != NULL && e->etag != NULL);
    }
}

static void anything_may_be_told(void **state)
{
    static struct root root;
    bool reached[STREAM_HALTED + 1] = {false};

    (void)state;
    for (uint64_t i = 0; i < STREAMS; i++) {
        state_of_chance = seed * STREAMS + i;
        case_init(&c);
        c.options.max_in_flight = 1 + (uint32_t)chance(STREAM_FLIGHT_MAX);
        c.options.max_retries = (uint32_t)chance(3);
        c.options.take_ownership = chance(2) == 0;
        case_bucket(&c, "a");
        c.s.root = c.bucket;
        asked_count = 0;
        root_gone = i % 8 == 7;
        case_open(&c, chance(50) + 50, chance(100));
        for (int k = 0; k < STEPS; k++) {
            any_root(&root);
            c.now_ms += chance(3) == 0 ? 0 : chance(20000);
            c.log_count = 0;
            case_step(&c, any_event(&root));
            remember_asked();
            within_bounds();
            reached[c.s.phase] = true;
        }
    }
    for (size_t i = STREAM_TAKING; i < COUNT_OF(reached);
         i++) /* it was not all refused at the door */
        if (!reached[i])
            fail_msg("never %s", stream_phase_name((enum stream_phase)i));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(anything_may_be_told)};

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    printf("seed %llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
