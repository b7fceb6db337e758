/* Which segments a fold merges: how many stay, what has most rows, and what it costs over long
 * histories. Random ones print their seed and take it as an argument. */
#include "base/rand.h"
#include "snapshot/fold.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SEGMENTS = 64 };
static uint64_t seed = 20261122;

struct history {
    struct manifest_cold segments[SEGMENTS];
    size_t count;
    uint64_t in, out; /* rows of heads, rows of segments written for them */
    uint32_t most;    /* segments at a time */
};

static uint64_t live(const struct manifest_cold *s)
{
    return s->rows - s->dead_rows;
}

static uint64_t rows_of(const struct history *h)
{
    uint64_t rows = 0;

    for (size_t i = 0; i < h->count; i++)
        rows += live(&h->segments[i]);
    return rows;
}

static uint64_t largest_of(const struct history *h)
{
    uint64_t rows = 0;

    for (size_t i = 0; i < h->count; i++)
        rows = live(&h->segments[i]) > rows ? live(&h->segments[i]) : rows;
    return rows;
}

static void fold(struct history *h, uint32_t head_rows, bool all)
{
    struct fold_facts facts = {
        .head_rows = head_rows, .segments = h->segments, .segment_count = h->count, .all = all};
    bool merge[SEGMENTS];
    uint64_t rows = head_rows;
    size_t kept = 0;

    fold_plan(&facts, merge);
    for (size_t i = 0; i < h->count; i++) {
        if (merge[i])
            rows += live(&h->segments[i]);
        else
            h->segments[kept++] = h->segments[i];
    }
    h->count = kept;
    if (rows > 0) {
        assert_true(h->count < SEGMENTS);
        h->segments[h->count++] = (struct manifest_cold){.rows = (uint32_t)rows};
    }
    h->in += head_rows;
    h->out += rows;
    h->most = h->count > h->most ? (uint32_t)h->count : h->most;
}

/* Of each row of the head one of a segment dies, wherever it lies. */
static void overwrite(struct history *h, struct rand_source *rand, uint32_t count)
{
    for (uint32_t n = 0; n < count; n++) {
        uint64_t at = rand_below(rand, rows_of(h));
        size_t i = 0;

        while (at >= live(&h->segments[i]))
            at -= live(&h->segments[i++]);
        h->segments[i].dead_rows++;
    }
}

static void assert_shape(const struct history *h)
{
    uint64_t rows = rows_of(h);

    if (rows >= FOLD_ROWS_MANY)
        return;
    assert_true(h->count <= FOLD_SEGMENTS_MAX);
    if (h->count > 1 && largest_of(h) * 10 < rows * 7)
        fail_msg("the largest has %llu of %llu rows seed=%llu", (unsigned long long)largest_of(h),
                 (unsigned long long)rows, (unsigned long long)seed);
    for (size_t i = 0; i < h->count; i++)
        assert_true(h->segments[i].dead_rows * 5 < h->segments[i].rows);
}

static void say(const char *what, const struct history *h)
{
    print_message("%s: %llu rows, %u segments at most, %.2f written for each\n", what,
                  (unsigned long long)h->in, h->most, (double)h->out / (double)h->in);
}

static void a_collection_that_grows_to_ten_million_writes_each_row_few_times(void **state)
{
    struct history h = {.count = 0};

    (void)state;
    while (h.in < FOLD_ROWS_MANY) {
        fold(&h, 10000, false);
        assert_shape(&h);
    }
    say("10,000 at a time", &h);
    assert_true(h.out <= 12 * h.in);
    assert_true(h.most >= 3);
}

static void overwriting_a_collection_writes_each_row_few_times_and_keeps_few_dead(void **state)
{
    struct history h = {.count = 0};
    struct rand_seeded rand;

    (void)state;
    rand_seeded_init(&rand, seed);
    fold(&h, 1000000, false);
    for (unsigned i = 0; i < 300; i++) {
        overwrite(&h, &rand.source, 10000);
        fold(&h, 10000, false);
        assert_shape(&h);
        assert_int_equal(rows_of(&h), 1000000);
    }
    say("a million overwritten by 10,000", &h);
    assert_true(h.out <= 12 * h.in);
}

static void any_history_has_few_segments_and_one_with_most_rows(void **state)
{
    struct rand_seeded rand;

    (void)state;
    rand_seeded_init(&rand, seed);
    for (unsigned round = 0; round < 200; round++) {
        struct history h = {.count = 0};
        uint64_t scale = UINT64_C(1) << rand_below(&rand.source, 17);

        for (unsigned i = 0; i < 100; i++) {
            uint32_t head = (uint32_t)rand_below(&rand.source, scale + 1);
            uint64_t rows = rows_of(&h);

            if (rows > 0 && rand_below(&rand.source, 2) == 0)
                overwrite(&h, &rand.source,
                          (uint32_t)rand_below(&rand.source, rows < 3000 ? rows + 1 : 3000));
            fold(&h, head, rand_below(&rand.source, 50) == 0);
            assert_shape(&h);
        }
    }
}

static void all_makes_one_of_them_unless_there_is_one_that_is_whole(void **state)
{
    struct manifest_cold segments[3] = {
        {.rows = 1000000}, {.rows = 10}, {.rows = 1, .dead_rows = 0}};
    struct fold_facts facts = {.segments = segments, .segment_count = 3, .all = true};
    bool merge[3] = {false};

    (void)state;
    fold_plan(&facts, merge);
    assert_true(merge[0] && merge[1] && merge[2]);
    facts.segment_count = 1;
    fold_plan(&facts, merge);
    assert_false(merge[0]);
    segments[0].dead_rows = 1;
    fold_plan(&facts, merge);
    assert_true(merge[0]);
    segments[0].dead_rows = 0;
    facts.head_rows = 1;
    fold_plan(&facts, merge);
    assert_true(merge[0]);
}

static void tombstones_alone_merge_nothing(void **state)
{
    struct manifest_cold segments[2] = {{.rows = 1000, .dead_rows = 199}, {.rows = 100}};
    struct fold_facts facts = {.head_tombstones = 50, .segments = segments, .segment_count = 2};
    bool merge[2] = {true, true};

    (void)state;
    fold_plan(&facts, merge);
    assert_false(merge[0] || merge[1]);
    segments[0].dead_rows = 200;
    fold_plan(&facts, merge);
    assert_true(merge[0] && merge[1]); /* the small one goes along with the large */
}

static void a_segment_whose_rows_are_all_dead_goes(void **state)
{
    struct manifest_cold segments[2] = {{.rows = 7, .dead_rows = 7}, {.rows = 100000}};
    struct fold_facts facts = {.segments = segments, .segment_count = 2};
    bool merge[2];

    (void)state;
    fold_plan(&facts, merge);
    assert_true(merge[0]);
    assert_false(merge[1]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_collection_that_grows_to_ten_million_writes_each_row_few_times),
        cmocka_unit_test(overwriting_a_collection_writes_each_row_few_times_and_keeps_few_dead),
        cmocka_unit_test(any_history_has_few_segments_and_one_with_most_rows),
        cmocka_unit_test(all_makes_one_of_them_unless_there_is_one_that_is_whole),
        cmocka_unit_test(tombstones_alone_merge_nothing),
        cmocka_unit_test(a_segment_whose_rows_are_all_dead_goes),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 0);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
