/* gRPC's framing and texts: messages cut anywhere are the same messages, and what is none is told.
 */
#include "api/grpc_frame.h"

#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MESSAGE_MAX = 64 };

/* What the reader said of the bytes, given `piece` at a time: "[abc][]<8 ...>". */
static void read_all(const uint8_t *data, size_t bytes, size_t piece, char *out, size_t room)
{
    struct grpc_reader r;
    size_t said = 0;

    out[0] = '\0';
    grpc_reader_init(&r, MESSAGE_MAX);
    for (size_t at = 0; at < bytes;) {
        size_t n = bytes - at < piece ? bytes - at : piece;
        uint8_t *copy = malloc(n);
        size_t used = 0;
        enum grpc_read got;

        assert_non_null(copy);
        memcpy(copy, data + at, n);
        got = grpc_read(&r, slice_make(copy, n), &used);
        free(copy);
        assert_true(used <= n);
        assert_true(used > 0);
        at += used;
        if (got == GRPC_READ_BAD) {
            (void)snprintf(out + said, room - said, "<%d %s>", (int)r.status, r.why);
            grpc_reader_free(&r);
            return;
        }
        if (got == GRPC_READ_MESSAGE) {
            said += (size_t)snprintf(out + said, room - said, "[%.*s]", (int)r.message.bytes,
                                     r.message.bytes == 0 ? "" : (const char *)r.message.data);
            grpc_reader_next(&r);
            assert_true(grpc_reader_idle(&r));
        }
    }
    if (!grpc_reader_idle(&r))
        (void)snprintf(out + said, room - said, "...");
    grpc_reader_free(&r);
}

#define CHECK_READ(wire, said)                                                                     \
    do {                                                                                           \
        for (size_t piece = 1; piece <= sizeof(wire) - 1; piece++) {                               \
            char got[512];                                                                         \
                                                                                                   \
            read_all((const uint8_t *)(wire), sizeof(wire) - 1, piece, got, sizeof got);           \
            assert_string_equal(got, said);                                                        \
        }                                                                                          \
    } while (0)

static void messages_are_the_same_however_they_are_cut(void **state)
{
    (void)state;
    CHECK_READ("\0\0\0\0\3abc", "[abc]");
    CHECK_READ("\0\0\0\0\0", "[]");
    CHECK_READ("\0\0\0\0\3abc\0\0\0\0\0\0\0\0\0\1x", "[abc][][x]");
    CHECK_READ("\0\0\0\0\3ab", "...");
    CHECK_READ("\0\0\0\0", "...");
    CHECK_READ("\1\0\0\0\1x", "<13 the message is compressed and grpc-encoding is identity>");
    CHECK_READ("\2\0\0\0\1x", "<13 the first byte of the message's prefix is neither 0 nor 1>");
    CHECK_READ("\0\0\0\0\101x", "<8 the message has 65 bytes, the limit is 64>");
    CHECK_READ("\0\377\377\377\377x", "<8 the message has 4294967295 bytes, the limit is 64>");
}

static void a_prefix_is_what_the_reader_reads(void **state)
{
    uint8_t p[GRPC_PREFIX_BYTES];

    (void)state;
    grpc_prefix(p, 0x01020304);
    assert_memory_equal(p, "\0\1\2\3\4", 5);
}

static void timeouts_have_digits_and_a_unit(void **state)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {
        {"1n", 1},
        {"20u", 20000},
        {"100m", 100000000},
        {"5S", 5000000000},
        {"2M", 120000000000},
        {"1H", 3600000000000},
        {"0S", 0},
        {"00000001S", 1000000000},
        {"99999999n", 99999999},
        {"99999999H", UINT64_MAX},
        {"99999999M", 99999999 * 60000000000u},
    };
    static const char *const bad[] = {"",    "S",   "1",    "1s", "1h",         "-1S", "+1S", "1 S",
                                      " 1S", "1S ", "1.5S", "S1", "123456789S", "1SS", "1mm"};
    uint64_t ns;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        if (!grpc_timeout_parse(slice_text(good[i].text), &ns) || ns != good[i].ns)
            fail_msg("%s", good[i].text);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (grpc_timeout_parse(slice_text(bad[i]), &ns))
            fail_msg("%s was taken", bad[i]);
}

static void every_byte_is_a_timeout_or_none(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 256; first++)
        for (unsigned second = 0; second < 256; second++) {
            uint8_t text[2] = {(uint8_t)first, (uint8_t)second};
            uint64_t ns = 0;
            bool good = grpc_timeout_parse(slice_make(text, 2), &ns);

            assert_int_equal(good, first >= '0' && first <= '9' && second != 0 &&
                                       strchr("HMSmun", (int)second) != NULL);
        }
}

static void check_encoded(const char *text, const char *encoded)
{
    char out[64];

    assert_int_equal(grpc_message_encode(text, out, sizeof out), strlen(encoded));
    assert_string_equal(out, encoded);
}

static void messages_are_percent_encoded(void **state)
{
    (void)state;
    check_encoded("", "");
    check_encoded("no such thing ~", "no such thing ~");
    check_encoded("100%", "100%25");
    check_encoded("a\nb\x7f", "a%0Ab%7F");
    check_encoded("\xc3\xbc", "%C3%BC");
}

static void a_message_too_long_ends_at_a_character(void **state)
{
    static const char whole[] = "ab%25cd%0Ae";

    (void)state;
    for (size_t room = 1; room <= sizeof whole; room++) {
        char out[sizeof whole];
        size_t n = grpc_message_encode("ab%cd\ne", out, room);

        assert_true(n < room);
        assert_int_equal(strlen(out), n);
        assert_memory_equal(out, whole, n);
        /* no half of an escape */
        assert_true(n < 1 || out[n - 1] != '%');
        assert_true(n < 2 || out[n - 2] != '%');
    }
}

static void content_types_of_grpc_are_taken(void **state)
{
    static const char *const good[] = {"application/grpc", "application/grpc+proto",
                                       "application/grpc; charset=utf-8", "Application/GRPC",
                                       "application/grpc+proto;x=y"};
    static const char *const bad[] = {"",
                                      "application/grp",
                                      "application/grpcx",
                                      "application/grpc-web",
                                      "application/grpc-web+proto",
                                      "application/grpc+json",
                                      "application/grpc+protox",
                                      "application/json",
                                      "text/plain"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++)
        if (!grpc_content_type(slice_text(good[i])))
            fail_msg("%s was refused", good[i]);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (grpc_content_type(slice_text(bad[i])))
            fail_msg("%s was taken", bad[i]);
}

static void statuses_have_names_and_answers_have_statuses(void **state)
{
    (void)state;
    assert_string_equal(grpc_status_name(GRPC_OK), "OK");
    assert_string_equal(grpc_status_name(GRPC_UNAUTHENTICATED), "UNAUTHENTICATED");
    assert_string_equal(grpc_status_name((enum grpc_status)17), "UNKNOWN");
    assert_int_equal(grpc_status_of_http(200), GRPC_OK);
    assert_int_equal(grpc_status_of_http(201), GRPC_OK);
    assert_int_equal(grpc_status_of_http(400), GRPC_INVALID_ARGUMENT);
    assert_int_equal(grpc_status_of_http(422), GRPC_INVALID_ARGUMENT);
    assert_int_equal(grpc_status_of_http(401), GRPC_UNAUTHENTICATED);
    assert_int_equal(grpc_status_of_http(403), GRPC_PERMISSION_DENIED);
    assert_int_equal(grpc_status_of_http(404), GRPC_NOT_FOUND);
    assert_int_equal(grpc_status_of_http(409), GRPC_ALREADY_EXISTS);
    assert_int_equal(grpc_status_of_http(413), GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(grpc_status_of_http(429), GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(grpc_status_of_http(507), GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(grpc_status_of_http(503), GRPC_UNAVAILABLE);
    assert_int_equal(grpc_status_of_http(504), GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(grpc_status_of_http(408), GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(grpc_status_of_http(500), GRPC_INTERNAL);
    assert_int_equal(grpc_status_of_http(302), GRPC_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_the_same_however_they_are_cut),
        cmocka_unit_test(a_prefix_is_what_the_reader_reads),
        cmocka_unit_test(timeouts_have_digits_and_a_unit),
        cmocka_unit_test(every_byte_is_a_timeout_or_none),
        cmocka_unit_test(messages_are_percent_encoded),
        cmocka_unit_test(a_message_too_long_ends_at_a_character),
        cmocka_unit_test(content_types_of_grpc_are_taken),
        cmocka_unit_test(statuses_have_names_and_answers_have_statuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
