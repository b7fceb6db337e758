/* What providers say, read; and what of it may be shown. */
#include "objstore/credentials_read.h"

#include "tests/support/alloc_sweep.h"

#include <stdlib.h>

#define PROCESS                                                                                    \
    "{\"Version\": 1, \"AccessKeyId\": \"AKID\", \"SecretAccessKey\": \"se/cr+et=\","              \
    " \"SessionToken\": \"tok\", \"Expiration\": \"2026-11-21T12:00:00Z\"}"
#define METADATA                                                                                   \
    "{\"Code\": \"Success\", \"Type\": \"AWS-HMAC\", \"AccessKeyId\": \"AKID\","                   \
    " \"SecretAccessKey\": \"se/cr+et=\", \"Token\": \"tok\","                                     \
    " \"Expiration\": \"2026-11-21T12:00:00Z\", \"LastUpdated\": null}"
#define STS                                                                                        \
    "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"      \
    "<AssumeRoleWithWebIdentityResult><Audience>a</Audience><Credentials>"                         \
    "<SessionToken>tok</SessionToken><SecretAccessKey>se/cr+et=</SecretAccessKey>"                 \
    "<Expiration>2026-11-21T12:00:00Z</Expiration><AccessKeyId>AKID</AccessKeyId>"                 \
    "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
enum { END_S = 1795262400 };

static status json(const char *text, bool process, struct credentials *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    return credentials_read_json(slice_text(text), process, out, err);
}

static void check_whole(const struct credentials *c)
{
    assert_string_equal(c->access, "AKID");
    assert_string_equal(c->secret, "se/cr+et=");
    assert_string_equal(c->token, "tok");
    assert_int_equal(c->expires_s, END_S);
}

static void good_answers_are_taken(void **state)
{
    struct credentials c;
    struct err err;

    (void)state;
    assert_int_equal(json(PROCESS, true, &c, &err), ST_OK);
    check_whole(&c);
    assert_int_equal(json(METADATA, false, &c, &err), ST_OK);
    check_whole(&c);
    assert_int_equal(credentials_read_sts(slice_text(STS), "AssumeRoleWithWebIdentity", &c, &err),
                     ST_OK);
    check_whole(&c);
    assert_int_equal(
        json("{\"Version\":1,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\"}", true, &c, &err),
        ST_OK);
    assert_string_equal(c.token, "");
    assert_int_equal(c.expires_s, 0); /* a process may give keys that stay */
}

/* The member is named, its value is not. */
static void what_is_missing_or_wrong_is_named(void **state)
{
    static const struct {
        const char *text;
        bool process;
        const char *says;
    } tries[] = {
        {"", true, "no JSON"},
        {"{\"SecretAccessKey\": \"hush", true, "no JSON"},
        {"[]", true, "no JSON object"},
        {"{}", true, "\"Version\": 1"},
        {"{\"Version\": 2}", true, "\"Version\": 1"},
        {"{\"Version\": \"1\"}", true, "\"Version\": 1"},
        {"{\"Version\": 1}", true, "without AccessKeyId"},
        {"{\"Version\": 1, \"AccessKeyId\": null}", true, "without AccessKeyId"},
        {"{\"Version\": 1, \"AccessKeyId\": 7}", true, "whose AccessKeyId is"},
        {"{\"Version\": 1, \"AccessKeyId\": \"\"}", true, "whose AccessKeyId is"},
        {"{\"Version\": 1, \"AccessKeyId\": \"a\"}", true, "without SecretAccessKey"},
        {"{\"Version\": 1, \"AccessKeyId\": \"a\", \"SecretAccessKey\": \"hush hush\"}", true,
         "whose SecretAccessKey is"},
        {"{\"Version\": 1, \"AccessKeyId\": \"a\", \"SecretAccessKey\": \"hush\\u0000\"}", true,
         "whose SecretAccessKey is"},
        {"{\"Version\": 1, \"AccessKeyId\": \"a\", \"SecretAccessKey\": \"hush\", \"Expiration\": "
         "\"soon\"}",
         true, "whose Expiration is no date"},
        {"{\"AccessKeyId\": \"a\", \"SecretAccessKey\": \"hush\"}", false, "without Token"},
        {"{\"AccessKeyId\": \"a\", \"SecretAccessKey\": \"hush\", \"Token\": \"t\"}", false,
         "without Expiration"},
        {"{\"Code\": \"AssumeRoleUnauthorizedAccess\", \"Message\": \"EC2 cannot assume the "
         "role\"}",
         false, "AssumeRoleUnauthorizedAccess: EC2 cannot assume the role"},
    };
    struct credentials c;
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        assert_true(json(tries[i].text, tries[i].process, &c, &err) != ST_OK);
        assert_non_null(strstr(err.text, tries[i].says));
        assert_null(strstr(err.text, "hush"));
        assert_string_equal(c.secret, "");
        assert_int_equal(c.expires_s, 0);
    }
}

static void answers_of_sts_that_are_none_are_told(void **state)
{
    static const char *const tries[] = {
        "",
        "<a>",
        "<a/>",
        "<!DOCTYPE x><a/>",
        "<AssumeRoleWithWebIdentityResponse/>",
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
        "<AccessKeyId>A</AccessKeyId><SecretAccessKey>hush hush</SecretAccessKey>"
        "<SessionToken>t</SessionToken><Expiration>2026-11-21T12:00:00Z</Expiration>"
        "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"};
    struct credentials c;
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        assert_int_equal(
            credentials_read_sts(slice_text(tries[i]), "AssumeRoleWithWebIdentity", &c, &err),
            ST_CORRUPT);
        assert_null(strstr(err.text, "hush"));
        assert_string_equal(c.secret, "");
    }
    assert_int_equal(credentials_read_sts(slice_text(STS), "AssumeRole", &c, &err), ST_CORRUPT);
}

static void dates_have_zones_and_fractions(void **state)
{
    static const struct {
        const char *text;
        int64_t wanted; /* 0: none */
    } tries[] = {
        {"2026-11-21T12:00:00Z", END_S},
        {"2026-11-21T12:00:00z", END_S},
        {"2026-11-21T12:00:00.123456789Z", END_S},
        {"2026-11-21T12:00:00+00:00", END_S},
        {"2026-11-21T13:30:00.5+01:30", END_S},
        {"2026-11-21T07:00:00-0500", END_S},
        {"2026-11-21T12:00:00", 0},
        {"2026-11-21T12:00:00.Z", 0},
        {"2026-11-21T12:00:00Zulu", 0},
        {"2026-11-21T12:00:00+1:00", 0},
        {"2026-11-21T12:00:00+01:0", 0},
        {"2026-11-21T12:00:00+24:00", 0},
        {"2026-11-21 12:00:00Z", 0},
        {"1950-01-01T00:00:00Z", 0},
        {"", 0},
        {"9999999999999999999999999999999999999999999999999999999999999999999999999", 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        int64_t got = 0;

        assert_int_equal(credentials_time(slice_text(tries[i].text), &got), tries[i].wanted != 0);
        assert_int_equal(got, tries[i].wanted);
    }
}

static void commands_are_split_without_a_shell(void **state)
{
    static const struct {
        const char *command;
        const char *words; /* joined by |; NULL: refused */
    } tries[] = {
        {"a", "a"},
        {"  a\tb  c ", "a|b|c"},
        {"a 'b c' \"d e\"", "a|b c|d e"},
        {"a b\\ c", "a|b c"},
        {"a 'b\\c' \"b\\c\" \"b\\\"c\\\\\"", "a|b\\c|b\\c|b\"c\\"},
        {"a ''", "a|"},
        {"a\"b\"'c'", "abc"},
        {"a $HOME `id` $(id) ; b > c | d & *", "a|$HOME|`id`|$(id)|;|b|>|c|||d|&|*"},
        {"", NULL},
        {"  ", NULL},
        {"'' a", NULL},
        {"a 'b", NULL},
        {"a \"b", NULL},
        {"a \\", NULL},
    };
    char *argv[CREDENTIALS_WORDS_MAX + 1];
    char room[256];
    char joined[256];
    char many[4 * CREDENTIALS_WORDS_MAX] = "";

    (void)state;
    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        status st = credentials_words(tries[i].command, room, argv, NULL);

        assert_int_equal(st, tries[i].words != NULL ? ST_OK : ST_INVALID);
        joined[0] = '\0';
        for (size_t w = 0; st == ST_OK && argv[w] != NULL; w++) {
            if (w > 0)
                strcat(joined, "|");
            strcat(joined, argv[w]);
        }
        if (st == ST_OK)
            assert_string_equal(joined, tries[i].words);
    }
    for (int i = 0; i < CREDENTIALS_WORDS_MAX; i++)
        strcat(many, "a ");
    assert_int_equal(credentials_words(many, room, argv, NULL), ST_OK);
    assert_null(argv[CREDENTIALS_WORDS_MAX]);
    strcat(many, "a");
    assert_int_equal(credentials_words(many, room, argv, NULL), ST_INVALID);
}

static void secrets_are_covered(void **state)
{
    static const struct {
        const char *text;
        const char *shown;
    } tries[] = {
        {"no such profile: dev\n", "no such profile: dev"},
        {"secret=hunter2 and more", "secret=*** and more"},
        {"\"SecretAccessKey\": \"hunter2\", \"x\": 1", "\"SecretAccessKey\": \"***\", \"x\": 1"},
        {"the token is hunter2", "the token is ***"},
        {"password hunter2", "password ***"},
        {"password: hunter", "password: ***"},
        {"password hunter", "password ***"},
        {"Token is expired.", "Token is expired."},
        {"the security token included in the request",
         "the security token included in the request"},
        {"aws_session_token hunter2", "aws_session_token ***"},
        {"key wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY!", "key ***!"},
        {"InvalidIdentityToken AbcdefghijklmnopqrstuvwxyzAbcdef Abcdefghijklmnopqrs1",
         "InvalidIdentityToken *** ***"},
        {"got KNOWN1 and KNOWN1x", "got *** and ***x"},
        {"a\x01\x1b[2J\xff"
         "b",
         "a  [2J b"},
    };
    static const char *const known[] = {"KNOWN1", "", NULL, "got"};
    char out[256];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        credentials_show(out, sizeof out, slice_text(tries[i].text), known, COUNT_OF(known));
        assert_string_equal(out, tries[i].shown);
    }
    credentials_show(out, 8, slice_text("abcdefghijk"), NULL, 0);
    assert_string_equal(out, "abcdefg");
}

static void read_any(const uint8_t *bytes, size_t count)
{
    struct credentials c;

    memset(&c, 0, sizeof c);
    if (credentials_read_json(slice_make(bytes, count), true, &c, NULL) == ST_OK ||
        credentials_read_json(slice_make(bytes, count), false, &c, NULL) == ST_OK ||
        credentials_read_sts(slice_make(bytes, count), "AssumeRoleWithWebIdentity", &c, NULL) ==
            ST_OK)
        assert_true(c.access[0] != '\0' && c.secret[0] != '\0');
}

static void damage_is_borne(void **state)
{
    static const char *const texts[] = {PROCESS, METADATA, STS};

    (void)state;
    for (size_t t = 0; t < COUNT_OF(texts); t++) {
        size_t bytes = strlen(texts[t]);

        for (size_t cut = 0; cut < bytes; cut++) {
            uint8_t *exact = malloc(cut + 1);

            memcpy(exact, texts[t], cut);
            read_any(exact, cut);
            free(exact);
        }
        for (size_t at = 0; at < bytes; at++)
            for (unsigned bit = 0; bit < 8; bit++) {
                uint8_t *copy = malloc(bytes);

                memcpy(copy, texts[t], bytes);
                copy[at] = (uint8_t)(copy[at] ^ (1u << bit));
                read_any(copy, bytes);
                free(copy);
            }
    }
}

static status json_once(void *arg)
{
    struct credentials c;

    (void)arg;
    return json(METADATA, false, &c, NULL);
}

static status sts_once(void *arg)
{
    struct credentials c;

    (void)arg;
    return credentials_read_sts(slice_text(STS), "AssumeRoleWithWebIdentity", &c, NULL);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(alloc_sweep(json_once, NULL) >= 1);
    assert_true(alloc_sweep(sts_once, NULL) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_answers_are_taken),
        cmocka_unit_test(what_is_missing_or_wrong_is_named),
        cmocka_unit_test(answers_of_sts_that_are_none_are_told),
        cmocka_unit_test(dates_have_zones_and_fractions),
        cmocka_unit_test(commands_are_split_without_a_shell),
        cmocka_unit_test(secrets_are_covered),
        cmocka_unit_test(damage_is_borne),
        cmocka_unit_test(each_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
