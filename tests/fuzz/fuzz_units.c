/* The body of an import: the first byte chooses the format, the second the cuts. Whole, byte by
 * byte and cut, the same documents come out and the same thing is wrong. */
#include "api/units.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { UNIT_MAX = 512, ROOM = 1 << 23, STEPS_MAX = 1 << 20 };

static void note_unit(struct buf *text, const struct units *u, struct slice unit)
{
    FUZZ_CHECK(unit.bytes > 0);
    if (u->format == UNITS_NDJSON)
        FUZZ_CHECK(unit.bytes <= UNIT_MAX && memchr(unit.data, '\n', unit.bytes) == NULL);
    else
        FUZZ_CHECK(unit.bytes == (size_t)u->dim * 4);
    buf_printf(text, "[%zu ", (size_t)u->count);
    buf_put_slice(text, unit);
    buf_put_text(text, "]");
}

/* piece_max 0: all at once. */
static struct buf read_units(enum units_format format, struct slice body, size_t piece_max,
                             uint32_t seed)
{
    size_t come = 0;
    size_t at = 0;
    size_t steps = 0;
    struct units u;
    struct buf text;

    buf_init(&text, ROOM);
    units_init(&u, format, 0, UNIT_MAX);
    for (;;) {
        struct slice unit = {0};
        struct err err = {0};
        size_t used = 0;
        uint8_t *copy = fuzz_copy(body.data + at, come - at);
        enum units_step step =
            units_next(&u, slice_make(copy, come - at), come == body.bytes, &used, &unit, &err);

        FUZZ_CHECK(used <= come - at && steps++ < STEPS_MAX);
        at += used;
        if (step == UNITS_UNIT)
            note_unit(&text, &u, unit);
        free(copy);
        if (step == UNITS_BAD) {
            fuzz_printable(err.text);
            buf_printf(&text, "<%zu %s>", (size_t)u.count, err.text);
            break;
        }
        if (step == UNITS_END) {
            FUZZ_CHECK(at == body.bytes);
            buf_printf(&text, "{%zu}", (size_t)u.count);
            break;
        }
        if (step == UNITS_MORE) {
            FUZZ_CHECK(come < body.bytes);
            seed = seed * 1103515245u + 12345u;
            come += piece_max == 0 ? body.bytes : piece_max == 1 ? 1 : 1 + seed / 65536 % piece_max;
            if (come > body.bytes)
                come = body.bytes;
        }
    }
    FUZZ_CHECK(!text.failed);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const size_t pieces[] = {1, 7, 300};
    enum units_format format;
    struct slice body;
    struct buf whole;

    if (bytes < 2)
        return 0;
    format = (enum units_format)(data[0] % 3);
    body = slice_make(data + 2, bytes - 2);
    whole = read_units(format, body, 0, 0);
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        struct buf cut = read_units(format, body, pieces[i], data[1]);

        FUZZ_CHECK(slice_equal(buf_slice(&whole), buf_slice(&cut)));
        buf_free(&cut);
    }
    buf_free(&whole);
    return 0;
}
