#include "json_gen.h"

#include <inttypes.h>
#include <stdlib.h>

static uint64_t seed;

void json_gen_seed_init(int argc, char **argv)
{
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : rand_u64(rand_kernel());
}

uint64_t json_gen_seed(void)
{
    return seed;
}

static void gen_blank(struct buf *b, struct rand_source *r)
{
    static const char *const blanks[] = {"", "", "", "", " ", "\n", "\t ", "\r\n"};

    buf_put_text(b, blanks[rand_below(r, COUNT_OF(blanks))]);
}

static void gen_string(struct buf *b, struct rand_source *r)
{
    static const char *const pieces[] = {"a",
                                         "key",
                                         "0",
                                         "\\n",
                                         "\\\"",
                                         "\\\\",
                                         "\\/",
                                         "\\u00e9",
                                         "\xC3\xA9",
                                         "\xF0\x9F\x98\x80",
                                         "\\ud83d\\ude00",
                                         " ",
                                         "\x7F",
                                         "]",
                                         "{\\t}",
                                         ",:"};

    buf_put_text(b, "\"");
    for (uint64_t n = rand_below(r, 6); n > 0; n--)
        buf_put_text(b, pieces[rand_below(r, COUNT_OF(pieces))]);
    if (rand_below(r, 20) == 0) /* past what one byte of length says */
        for (unsigned i = 0; i < 140; i++)
            buf_put_text(b, "long");
    buf_put_text(b, "\"");
}

static void gen_number(struct buf *b, struct rand_source *r)
{
    uint64_t v = rand_u64(r) >> rand_below(r, 64);

    switch (rand_below(r, 5)) {
    case 0:
        buf_printf(b, "%" PRIu64, v);
        break;
    case 1:
        buf_printf(b, "-%" PRIu64, v >> 1);
        break;
    case 2:
        buf_printf(b, "%" PRIu64 ".%03" PRIu64, v >> 40, v & 511);
        break;
    case 3:
        buf_printf(b, "-%" PRIu64 "e-%" PRIu64, v >> 40, v & 255);
        break;
    default:
        buf_printf(b, "%" PRIu64 ".5E+%" PRIu64, v >> 40, v & 127);
        break;
    }
}

static void gen_scalar(struct buf *b, struct rand_source *r)
{
    static const char *const words[] = {"null", "true", "false", "-0", "0", "-0.0"};

    switch (rand_below(r, 3)) {
    case 0:
        gen_string(b, r);
        break;
    case 1:
        gen_number(b, r);
        break;
    default:
        buf_put_text(b, words[rand_below(r, COUNT_OF(words))]);
    }
}

void json_gen(struct buf *b, struct rand_source *r, unsigned depth)
{
    bool object = rand_below(r, 2) == 0;
    uint64_t count = rand_below(r, 10) == 0 ? rand_below(r, 20) : rand_below(r, 5);

    gen_blank(b, r);
    if (depth == 0 || rand_below(r, 4) == 0) {
        gen_scalar(b, r);
        gen_blank(b, r);
        return;
    }
    buf_put_text(b, object ? "{" : "[");
    gen_blank(b, r);
    for (uint64_t i = 0; i < count; i++) {
        if (i > 0)
            buf_put_text(b, ",");
        gen_blank(b, r);
        if (object) {
            gen_string(b, r);
            gen_blank(b, r);
            buf_put_text(b, ":");
        }
        json_gen(b, r, depth - 1);
    }
    buf_put_text(b, object ? "}" : "]");
    gen_blank(b, r);
}
