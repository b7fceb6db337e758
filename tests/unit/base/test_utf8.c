/* What is text: every code point once, and what RFC 3629 forbids. */
#include "base/bytes.h"
#include "base/utf8.h"

#include <setjmp.h>

#include <cmocka.h>

static size_t put_char(uint8_t out[4], uint32_t c)
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xC0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xE0 | c >> 12);
        out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (c & 0x3F));
    return 4;
}

/* Each code point in its shortest form, cut short, and with a byte that continues nothing. */
static void every_code_point_is_text_and_surrogates_are_not(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x110FFF; c++) {
        bool is_text = c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);
        uint8_t at[4];
        size_t bytes = put_char(at, c);

        if (utf8_char(at, bytes) != (is_text ? bytes : 0))
            fail_msg("U+%X", c);
        if (bytes > 1 && utf8_valid(at, bytes - 1))
            fail_msg("U+%X cut short", c);
        at[bytes - 1] = 0xC0;
        if (utf8_valid(at, bytes))
            fail_msg("U+%X with a bad last byte", c);
    }
}

static void longer_forms_than_needed_are_no_text(void **state)
{
    const char *overlong[] = {
        "\xC0\x80",         "\xC1\xBF",         "\xE0\x80\x80",        "\xE0\x9F\xBF",
        "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF", "\xF8\x88\x80\x80\x80"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(overlong); i++)
        assert_false(utf8_valid(overlong[i], strlen(overlong[i])));
    assert_true(utf8_valid("", 0));
    assert_true(utf8_valid("caf\xC3\xA9 \xF0\x9F\x98\x80", 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_is_text_and_surrogates_are_not),
        cmocka_unit_test(longer_forms_than_needed_are_no_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
