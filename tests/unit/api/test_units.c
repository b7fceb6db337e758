/* A body that is cut into documents: however its bytes come in, the same ones come out, and the
 * same thing is wrong with it. */
#include "api/units.h"
#include "base/npy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { DIM = 2, LINE_MAX_BYTES = 40, TEXT_BYTES = 4096 };

struct said {
    struct buf text; /* units and how it ended, as text */
    bool ended;
};

static void note_unit(struct said *s, const struct units *u, struct slice unit)
{
    if (u->format == UNITS_NDJSON) {
        buf_printf(&s->text, "[%d %.*s]", (int)u->count, (int)unit.bytes, (const char *)unit.data);
        return;
    }
    buf_printf(&s->text, "[%d", (int)u->count);
    for (size_t i = 0; i < unit.bytes; i += 4) {
        struct rd r = rd_make(slice_make(unit.data + i, 4));

        buf_printf(&s->text, " %g", (double)rd_f32(&r));
    }
    buf_put_text(&s->text, "]");
}

/* All that can be had of the first `come` bytes; *at: used up to here. An allocation of exactly the
 * bytes that are shown: reading past them is found by the sanitizer. */
static void read_units(struct units *u, struct said *s, struct slice body, size_t come, size_t *at)
{
    while (!s->ended) {
        size_t bytes = come - *at;
        uint8_t *copy = malloc(bytes == 0 ? 1 : bytes);
        struct slice unit = {0};
        struct err err = {0};
        size_t used = 0;
        enum units_step step;

        if (bytes > 0)
            memcpy(copy, body.data + *at, bytes);
        step = units_next(u, slice_make(copy, bytes), come == body.bytes, &used, &unit, &err);
        assert_true(used <= bytes);
        *at += used;
        if (step == UNITS_UNIT)
            note_unit(s, u, unit);
        else if (step == UNITS_BAD)
            buf_printf(&s->text, "<%d %s>", (int)u->count, err.text);
        else if (step == UNITS_END)
            buf_printf(&s->text, "{%d}", (int)u->count);
        s->ended = step == UNITS_BAD || step == UNITS_END;
        free(copy);
        if (step == UNITS_MORE) {
            assert_true(come < body.bytes);
            return;
        }
    }
}

/* cuts: offsets in rising order. The caller frees the answer. */
static char *read_cut(enum units_format format, struct slice body, const size_t *cuts, size_t count)
{
    struct said s = {0};
    struct units u;
    size_t at = 0;

    buf_init(&s.text, 16 * TEXT_BYTES);
    units_init(&u, format, format == UNITS_NDJSON ? 0 : DIM, LINE_MAX_BYTES);
    for (size_t i = 0; i <= count; i++)
        read_units(&u, &s, body, i < count ? cuts[i] : body.bytes, &at);
    assert_true(s.ended);
    buf_put_u8(&s.text, 0);
    assert_false(s.text.failed);
    return (char *)s.text.data;
}

/* Whole, byte by byte, and in two and three pieces at every place. */
static void check_units(enum units_format format, struct slice body, const char *want)
{
    char *whole = read_cut(format, body, NULL, 0);
    size_t *all = calloc(body.bytes + 1, sizeof *all);
    char *said;

    if (want != NULL)
        assert_string_equal(whole, want);
    for (size_t i = 0; i < body.bytes; i++)
        all[i] = i;
    for (size_t i = 0; i <= body.bytes; i++) {
        for (size_t j = i; j <= body.bytes; j += 1 + body.bytes / 64) {
            const size_t cuts[2] = {i, j};

            said = read_cut(format, body, cuts, 2);
            assert_string_equal(said, whole);
            free(said);
        }
    }
    said = read_cut(format, body, all, body.bytes);
    assert_string_equal(said, whole);
    free(said);
    free(all);
    free(whole);
}

static void lines_are_the_same_however_they_come(void **state)
{
    (void)state;
    check_units(UNITS_NDJSON, slice_text(""), "{0}");
    check_units(UNITS_NDJSON, slice_text("\n\n"), "{2}");
    check_units(UNITS_NDJSON, slice_text("{}"), "[1 {}]{1}");
    check_units(UNITS_NDJSON, slice_text("{\"a\":1}\n{\"b\":\"\\n\"}\r\n\n \t\r\n{}  \n"),
                "[1 {\"a\":1}][2 {\"b\":\"\\n\"}][5 {}]{5}");
    check_units(UNITS_NDJSON, slice_text("\n\n{}\n\n{}"), "[3 {}][5 {}]{5}");
    check_units(UNITS_NDJSON, slice_make("{\0}\n", 4), NULL);
}

static void a_line_over_its_limit_is_named(void **state)
{
    char text[2 * LINE_MAX_BYTES + 8];

    (void)state;
    memset(text, 'x', sizeof text);
    text[2] = '\n';
    text[3 + LINE_MAX_BYTES] = '\n'; /* exactly as long as it may be */
    check_units(UNITS_NDJSON, slice_make(text, sizeof text),
                "[1 xx][2 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]<2 it has more than 40 bytes>");
}

static void put_rows(struct buf *out, size_t rows, bool lengths)
{
    for (size_t row = 0; row < rows; row++) {
        if (lengths)
            buf_put_u32(out, DIM);
        for (size_t i = 0; i < DIM; i++)
            buf_put_f32(out, (float)(row * DIM + i));
    }
}

static void rows_are_the_same_however_they_come(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, TEXT_BYTES);
    put_rows(&b, 3, true);
    check_units(UNITS_FVECS, buf_slice(&b), "[1 0 1][2 2 3][3 4 5]{3}");
    for (size_t bytes = 0; bytes < b.bytes; bytes++)
        check_units(UNITS_FVECS, slice_make(b.data, bytes),
                    bytes % 12 != 0 ? NULL
                    : bytes == 0    ? "{0}"
                    : bytes == 12   ? "[1 0 1]{1}"
                                    : "[1 0 1][2 2 3]{2}");
    le_put_u32(b.data + 12, 3);
    check_units(UNITS_FVECS, buf_slice(&b), "[1 0 1]<1 a row has 3 values, 2 are needed>");
    buf_reset(&b);
    npy_put_header(&b, 2, DIM);
    put_rows(&b, 2, false);
    check_units(UNITS_NPY, buf_slice(&b), "[1 0 1][2 2 3]{2}");
    for (size_t bytes = 0; bytes < b.bytes; bytes += 3)
        check_units(UNITS_NPY, slice_make(b.data, bytes), NULL);
    buf_put_u8(&b, 0);
    check_units(UNITS_NPY, buf_slice(&b),
                "[1 0 1][2 2 3]<2 the .npy goes on behind the 2 rows of its header>");
    buf_reset(&b);
    npy_put_header(&b, 0, DIM);
    check_units(UNITS_NPY, buf_slice(&b), "{0}");
    buf_reset(&b);
    npy_put_header(&b, 1, DIM + 1);
    put_rows(&b, 2, false);
    check_units(UNITS_NPY, buf_slice(&b), "<0 a row has 3 values, 2 are needed>");
    buf_free(&b);
}

/* A body cut short never gives a row more than the whole one, and says that it ends too soon. */
static void a_body_cut_short_gives_a_prefix(void **state)
{
    struct buf b;
    char *whole;

    (void)state;
    buf_init(&b, TEXT_BYTES);
    npy_put_header(&b, 2, DIM);
    put_rows(&b, 2, false);
    whole = read_cut(UNITS_NPY, buf_slice(&b), NULL, 0);
    for (size_t bytes = 0; bytes < b.bytes; bytes++) {
        char *said = read_cut(UNITS_NPY, slice_make(b.data, bytes), NULL, 0);
        size_t same = strcspn(said, "<");

        assert_true(said[same] == '<');
        assert_memory_equal(said, whole, same);
        free(said);
    }
    free(whole);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_the_same_however_they_come),
        cmocka_unit_test(a_line_over_its_limit_is_named),
        cmocka_unit_test(rows_are_the_same_however_they_come),
        cmocka_unit_test(a_body_cut_short_gives_a_prefix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
