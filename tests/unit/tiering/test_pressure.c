/* The levels at their borders, and what they say. */
#include "tiering/pressure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void levels_begin_where_the_table_says(void **state)
{
    static const struct {
        struct pressure_facts facts;
        enum pressure_level level;
    } TABLE[] = {
        {{.unshipped_bytes = 0, .unshipped_bytes_max = 1000}, PRESSURE_GREEN},
        {{.unshipped_bytes = 499, .unshipped_bytes_max = 1000}, PRESSURE_GREEN},
        {{.unshipped_bytes = 500, .unshipped_bytes_max = 1000}, PRESSURE_YELLOW},
        {{.unshipped_bytes = 749, .unshipped_bytes_max = 1000}, PRESSURE_YELLOW},
        {{.unshipped_bytes = 750, .unshipped_bytes_max = 1000}, PRESSURE_ORANGE},
        {{.unshipped_bytes = 919, .unshipped_bytes_max = 1000}, PRESSURE_ORANGE},
        {{.unshipped_bytes = 920, .unshipped_bytes_max = 1000}, PRESSURE_RED},
        {{.unshipped_bytes = 5000, .unshipped_bytes_max = 1000}, PRESSURE_RED},
        {{.unshipped_bytes = 5000, .unshipped_bytes_max = 0}, PRESSURE_GREEN},
        {{.unshipped_bytes = UINT64_MAX, .unshipped_bytes_max = UINT64_MAX}, PRESSURE_RED},
        {{.unshipped_bytes = UINT64_MAX / 4, .unshipped_bytes_max = UINT64_MAX}, PRESSURE_GREEN},
        {{.disk_free = 200, .disk_reserve = 100}, PRESSURE_GREEN},
        {{.disk_free = 199, .disk_reserve = 100}, PRESSURE_ORANGE},
        {{.disk_free = 100, .disk_reserve = 100}, PRESSURE_ORANGE},
        {{.disk_free = 99, .disk_reserve = 100}, PRESSURE_RED},
        {{.disk_free = 0, .disk_reserve = 0}, PRESSURE_GREEN},
        {{.disk_free = UINT64_MAX, .disk_reserve = UINT64_MAX}, PRESSURE_ORANGE},
        {{.lag_ms = 5000, .rpo_ms = 1000}, PRESSURE_GREEN},
        {{.lag_ms = 5001, .rpo_ms = 1000}, PRESSURE_YELLOW},
        {{.lag_ms = UINT64_MAX, .rpo_ms = 1000}, PRESSURE_YELLOW},
        {{.lag_ms = 5001, .rpo_ms = 0}, PRESSURE_GREEN},
    };
    struct pressure p;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(TABLE); i++) {
        pressure_level(&TABLE[i].facts, &p);
        if (p.level != TABLE[i].level)
            fail_msg("line %zu is %s", i, pressure_level_name(p.level));
        assert_int_equal(p.text[0] == '\0', p.level == PRESSURE_GREEN);
        assert_int_equal(p.retry_after_s != 0, p.level >= PRESSURE_ORANGE);
    }
}

/* The worst of them counts, and is what the text speaks of. */
static void the_worst_is_told(void **state)
{
    struct pressure_facts f = {.unshipped_bytes = 950,
                               .unshipped_bytes_max = 1000,
                               .disk_free = 150,
                               .disk_reserve = 100,
                               .lag_ms = 60000,
                               .rpo_ms = 1000};
    struct pressure p;

    (void)state;
    pressure_level(&f, &p);
    assert_int_equal(p.level, PRESSURE_RED);
    assert_non_null(strstr(p.text, "950 of at most 1000"));
    assert_non_null(strstr(p.text, "refused"));
    assert_false(p.disk);
    f.unshipped_bytes = 600;
    pressure_level(&f, &p);
    assert_int_equal(p.level, PRESSURE_ORANGE);
    assert_non_null(strstr(p.text, "disk is nearly full: 150 bytes are free"));
    assert_true(p.disk);
    f.disk_free = 99;
    pressure_level(&f, &p);
    assert_int_equal(p.level, PRESSURE_RED);
    assert_non_null(strstr(p.text, "disk is full: 99 bytes are free"));
    assert_true(p.disk);
    f.disk_free = 1000;
    f.unshipped_bytes = 1;
    pressure_level(&f, &p);
    assert_int_equal(p.level, PRESSURE_YELLOW);
    assert_non_null(strstr(p.text, "60 s old"));
    assert_false(p.disk);
}

/* Between orange and red ever more of what is written waits: all of it at red, a little at once. */
static void what_waits_rises_with_the_level(void **state)
{
    struct pressure_facts f = {.unshipped_bytes_max = 1000};
    struct pressure p;
    uint32_t last = 0;

    (void)state;
    for (f.unshipped_bytes = 0; f.unshipped_bytes <= 1000; f.unshipped_bytes++) {
        pressure_level(&f, &p);
        assert_true(p.refuse_percent >= last && p.refuse_percent <= 100);
        assert_int_equal(p.refuse_percent > 0, p.level >= PRESSURE_ORANGE);
        assert_int_equal(p.refuse_percent == 100, p.level == PRESSURE_RED);
        last = p.refuse_percent;
    }
    f = (struct pressure_facts){.unshipped_bytes_max = 1000, .disk_reserve = 100};
    last = 100;
    for (f.disk_free = 0; f.disk_free < 300; f.disk_free++) {
        pressure_level(&f, &p);
        assert_true(p.refuse_percent <= last);
        assert_int_equal(p.refuse_percent > 0, p.level >= PRESSURE_ORANGE);
        last = p.refuse_percent;
    }
    f = (struct pressure_facts){.unshipped_bytes = UINT64_MAX / 100 * 80,
                                .unshipped_bytes_max = UINT64_MAX,
                                .disk_free = UINT64_MAX,
                                .disk_reserve = UINT64_MAX};
    pressure_level(&f, &p);
    assert_in_range(p.refuse_percent, 99, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_begin_where_the_table_says),
        cmocka_unit_test(the_worst_is_told),
        cmocka_unit_test(what_waits_rises_with_the_level),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
