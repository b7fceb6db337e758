/* What was published since a moment: exactly that, live or dead, in pages of any size, over pieces
 * and blocks of slots. */
#include "tests/unit/index/slots_fixture.h"

#include <stdlib.h>

enum { IDS = 9000, MOMENTS = 40, SLOTS = 40000 };

static uint64_t publish_at[SLOTS]; /* 0: nobody lives there, or lived and is retired */
static uint64_t publishes;

static void publish(struct table *t, uint64_t id)
{
    const struct docid key = docid_u64(id);
    uint32_t slot = table_fill(t, &key, (struct slice){0});

    assert_true(slot < SLOTS);
    (void)slots_publish(t->s, slot, ++publishes);
    publish_at[slot] = publishes;
}

static void check_since(struct table *t, uint64_t moment, uint64_t publishes_then, uint32_t max)
{
    static uint8_t seen[SLOTS];
    uint32_t out[1000];
    uint32_t at = 0, count;

    memset(seen, 0, sizeof seen);
    while ((count = slots_since(t->s, moment, &at, out, max)) > 0) {
        assert_true(count <= max);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(seen[out[i]]++, 0);
            assert_true(publish_at[out[i]] > publishes_then);
        }
    }
    for (uint32_t slot = 0; slot < slots_end(t->s); slot++) {
        assert_int_equal(seen[slot], publish_at[slot] > publishes_then ? 1 : 0);
        if (publish_at[slot] != 0)
            assert_int_equal(slots_is_since(t->s, slot, moment), seen[slot]);
    }
    assert_int_equal(slots_quiet_since(t->s, moment), publishes == publishes_then);
}

static void what_was_published_since_is_told(void **state)
{
    static const uint32_t pages[] = {1, 7, 64, 1000};
    uint64_t moments[MOMENTS], then[MOMENTS], seed = 1;
    struct table t;

    (void)state;
    table_open(&t, 0);
    memset(publish_at, 0, sizeof publish_at);
    publishes = 0;
    assert_int_equal(slots_moment(t.s), 0);
    for (uint64_t id = 1; id <= IDS; id++)
        publish(&t, id);
    for (uint32_t m = 0; m < MOMENTS; m++) {
        moments[m] = slots_moment(t.s);
        then[m] = publishes;
        for (uint32_t i = 0; i < m * m; i++) {
            struct docid id;

            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            id = docid_u64(1 + (seed >> 33) % IDS);
            if (seed >> 60 == 0)
                (void)slots_erase(t.s, &id);
            else
                publish(&t, id.u64);
        }
        for (uint32_t slot = 0; m % 5 == 4 && slot < slots_end(t.s); slot++) {
            if (slots_state(t.s, slot) != SLOT_DEAD)
                continue;
            publish_at[slot] = 0;
            slots_retire(t.s, slot);
        }
        if (m % 5 == 4)
            table_collect(&t);
        for (uint32_t k = 0; k <= m; k += 1 + m / 4)
            check_since(&t, moments[k], then[k], pages[m % COUNT_OF(pages)]);
    }
    table_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_published_since_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
