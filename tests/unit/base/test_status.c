#include "base/status.h"
#include "base/utf8.h"

#include <errno.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void a_text_is_set_and_the_code_returned(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(err_set(&err, ST_CORRUPT, "crc mismatch lsn=%d", 7), ST_CORRUPT);
    assert_int_equal(err.code, ST_CORRUPT);
    assert_string_equal(err.text, "crc mismatch lsn=7");
    assert_int_equal(err_set(NULL, ST_LIMIT, "nobody listens"), ST_LIMIT);
    assert_int_equal(err_wrap(NULL, ST_IO, "nobody listens"), ST_IO);
    assert_int_equal(err_set_errno(NULL, ENOENT, "nobody listens"), ST_NOT_FOUND);
}

static void a_wrapped_text_reads_from_the_outside_in(void **state)
{
    struct err err;

    (void)state;
    (void)err_set_errno(&err, ENOENT, "read");
    (void)err_wrap(&err, ST_IO, "open segment %s", "7.seg");
    assert_int_equal(err_wrap(&err, ST_UNAVAILABLE, "restore collection docs"), ST_UNAVAILABLE);
    assert_string_equal(err.text, "restore collection docs: open segment 7.seg: read: No such "
                                  "file or directory (errno 2)");
    assert_int_equal(err.code, ST_UNAVAILABLE);
}

static void an_errno_chooses_the_code(void **state)
{
    const struct {
        int errnum;
        status code;
    } cases[] = {
        {ENOSPC, ST_NOSPACE}, {EDQUOT, ST_NOSPACE}, {ENOENT, ST_NOT_FOUND},
        {EACCES, ST_DENIED},  {EPERM, ST_DENIED},   {EROFS, ST_DENIED},
        {ENOMEM, ST_NOMEM},   {EEXIST, ST_EXISTS},  {EIO, ST_IO},
        {99999, ST_IO},       {0, ST_IO},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct err err;
        char number[32];

        assert_int_equal(err_set_errno(&err, cases[i].errnum, "write"), cases[i].code);
        assert_int_equal(err.code, cases[i].code);
        (void)snprintf(number, sizeof number, "(errno %d)", cases[i].errnum);
        assert_non_null(strstr(err.text, number));
    }
}

/* `bytes` bytes: some ASCII, then a character of `width` bytes again and again. */
static void fill(char *text, size_t bytes, size_t ascii, size_t width)
{
    static const char *const characters[] = {"x", "\u00e9", "\u20ac", "\U0001F600"};
    size_t at = 0;

    while (at < ascii)
        text[at++] = 'a';
    while (at + width <= bytes) {
        memcpy(text + at, characters[width - 1], width);
        at += width;
    }
    text[at] = '\0';
}

static void assert_whole(const struct err *err)
{
    size_t bytes = strnlen(err->text, sizeof err->text);

    assert_true(bytes < sizeof err->text);
    assert_true(utf8_valid(err->text, bytes));
}

/* Every way to be too long, with characters of every width cut at every place. */
static void a_text_too_long_is_cut_at_a_character(void **state)
{
    char text[2 * ERR_TEXT_BYTES];

    (void)state;
    for (size_t width = 1; width <= 4; width++)
        for (size_t ascii = 0; ascii < 5; ascii++)
            for (size_t bytes = ERR_TEXT_BYTES - 220; bytes < ERR_TEXT_BYTES + 8; bytes++) {
                struct err err;

                fill(text, bytes, ascii, width);
                (void)err_set(&err, ST_IO, "%s", text);
                assert_whole(&err);
                assert_true(strlen(err.text) + width >= ERR_TEXT_BYTES ||
                            strcmp(err.text, text) == 0);
                (void)err_set_errno(&err, EIO, "%s", text);
                assert_whole(&err);
                assert_non_null(strstr(err.text, ": Input/output error (errno 5)"));
                (void)err_wrap(&err, ST_IO, "%s", text);
                assert_whole(&err);
                (void)err_set(&err, ST_IO, "the cause");
                (void)err_wrap(&err, ST_IO, "%s", text);
                assert_whole(&err);
                assert_non_null(strstr(err.text, ": the cause"));
            }
}

static void many_wraps_never_lose_the_front_nor_overflow(void **state)
{
    struct err err;

    (void)state;
    (void)err_set(&err, ST_IO, "the cause");
    for (unsigned i = 0; i < 300; i++) {
        char front[32];

        (void)err_wrap(&err, ST_IO, "layer %u", i);
        assert_whole(&err);
        (void)snprintf(front, sizeof front, "layer %u: ", i);
        assert_memory_equal(err.text, front, strlen(front));
    }
}

/* Texts hold names from files, buckets and clients: they go to logs, terminals and headers. */
static void what_cannot_be_printed_is_replaced(void **state)
{
    struct err err;

    (void)state;
    (void)err_set(&err, ST_CORRUPT, "name %s end", "a\nb\x1b[1m\x7f\t");
    assert_string_equal(err.text, "name a?b?[1m?? end");
    (void)err_set(&err, ST_CORRUPT, "%s", "caf\xc3\xa9 \xc3( \xff \xed\xa0\x80 \xc2\x9b.");
    assert_string_equal(err.text, "caf\xc3\xa9 ?( ? ??? ??.");
    (void)err_wrap(&err, ST_CORRUPT, "line\r\n");
    assert_memory_equal(err.text, "line??: caf", 11);
    (void)err_set_errno(&err, 5, "file %s", "\001x\xe2\x82");
    assert_memory_equal(err.text, "file ?x??: Input", 16);
}

static void every_code_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int a = ST_OK; a <= ST_BUG; a++) {
        assert_true(strlen(status_name((status)a)) > 0);
        for (int b = ST_OK; b < a; b++)
            assert_string_not_equal(status_name((status)a), status_name((status)b));
    }
    assert_string_equal(status_name((status)999), "bug");
}

static void what_may_be_tried_again_is_said_once(void **state)
{
    (void)state;
    for (int code = ST_OK; code <= ST_BUG; code++)
        assert_int_equal(status_is_transient((status)code),
                         code == ST_LIMIT || code == ST_NOSPACE || code == ST_UNAVAILABLE ||
                             code == ST_TIMEOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_set_and_the_code_returned),
        cmocka_unit_test(a_wrapped_text_reads_from_the_outside_in),
        cmocka_unit_test(an_errno_chooses_the_code),
        cmocka_unit_test(a_text_too_long_is_cut_at_a_character),
        cmocka_unit_test(many_wraps_never_lose_the_front_nor_overflow),
        cmocka_unit_test(what_cannot_be_printed_is_replaced),
        cmocka_unit_test(every_code_has_a_name_of_its_own),
        cmocka_unit_test(what_may_be_tried_again_is_said_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
