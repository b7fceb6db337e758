/* Bucket URLs: what each form becomes, and that every wrong one is answered with what is right. */
#include "objstore/open.h"
#include "objstore/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void each_form_is_taken_apart(void **state)
{
    static const struct {
        const char *text;
        struct objstore_url want;
    } cases[] = {
        {"s3://bucket", {OBJSTORE_URL_S3, "", "bucket", "", "", ""}},
        {"s3://bucket/", {OBJSTORE_URL_S3, "", "bucket", "", "", ""}},
        {"S3://my.bucket-1/a/b", {OBJSTORE_URL_S3, "", "my.bucket-1", "a/b/", "", ""}},
        {"s3://bucket/a/b/", {OBJSTORE_URL_S3, "", "bucket", "a/b/", "", ""}},
        {"http://127.0.0.1:9000/bucket",
         {OBJSTORE_URL_HTTP, "http://127.0.0.1:9000", "bucket", "", "", ""}},
        {"HTTPS://Minio.example/bucket/p_1",
         {OBJSTORE_URL_HTTP, "https://Minio.example", "bucket", "p_1/", "", ""}},
        {"http://[::1]:9000/bucket",
         {OBJSTORE_URL_HTTP, "http://[::1]:9000", "bucket", "", "", ""}},
        {"http://[::1]/bucket", {OBJSTORE_URL_HTTP, "http://[::1]", "bucket", "", "", ""}},
        {"https://s3.eu-west-1.amazonaws.com/bucket",
         {OBJSTORE_URL_HTTP, "https://s3.eu-west-1.amazonaws.com", "bucket", "", "", ""}},
        {"file:///var/bucket", {OBJSTORE_URL_FILE, "", "", "", "/var/bucket", ""}},
        {"file:///var/b c%20@?/", {OBJSTORE_URL_FILE, "", "", "", "/var/b c%20@?", ""}},
        {"file:///", {OBJSTORE_URL_FILE, "", "", "", "/", ""}},
        {"memory:a.b-1_", {OBJSTORE_URL_MEMORY, "", "", "", "", "a.b-1_"}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct objstore_url url;
        struct err err = {0};

        if (objstore_url_parse(cases[i].text, &url, &err) != ST_OK)
            fail_msg("%s: %s", cases[i].text, err.text);
        assert_int_equal(url.kind, cases[i].want.kind);
        assert_string_equal(url.endpoint, cases[i].want.endpoint);
        assert_string_equal(url.bucket, cases[i].want.bucket);
        assert_string_equal(url.prefix, cases[i].want.prefix);
        assert_string_equal(url.path, cases[i].want.path);
        assert_string_equal(url.name, cases[i].want.name);
    }
}

static void every_wrong_url_gets_a_text_that_says_what_is_right(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "s3://bucket/prefix"},
        {"bucket", "s3://bucket/prefix"},
        {"ftp://host/bucket", "file:///path"},
        {"gs://bucket", "s3://bucket/prefix"},
        {"/var/bucket", "file:///path"},
        {"127.0.0.1:9000/bucket", "http://host:9000/bucket/prefix"},
        {"s3:bucket", "s3://bucket/prefix"},
        {"s3://", "s3://bucket/prefix"},
        {"s3:///prefix", "s3://bucket/prefix"},
        {"s3://Bucket", "a-z"},
        {"s3://ab", "3 to 63"},
        {"s3://a..b", "bucket name"},
        {"s3://-ab", "begin and end"},
        {"s3://buc_ket", "a-z 0-9 - ."},
        {"s3://bucket:9000/x", "bucket name"},
        {"s3://0123456789012345678901234567890123456789012345678901234567890123", "3 to 63"},
        {"s3://bucket//a", "single slashes"},
        {"s3://bucket/a//", "single slashes"},
        {"s3://bucket/a/../b", "no part . or .."},
        {"s3://bucket/a b", "A-Z a-z 0-9"},
        {"s3://bucket/?region=x", "[storage]"},
        {"s3://bucket/a#b", "[storage]"},
        {"s3://AKIA:PASSW0RD@bucket/a", "AWS_ACCESS_KEY_ID"},
        {"http://AKIA:PASSW0RD@host/bucket", "AWS_ACCESS_KEY_ID"},
        {"http://AKIA:PASSW0RD@host:9000/bucket", "AWS_ACCESS_KEY_ID"},
        {"http://", "no host"},
        {"http:///bucket", "no host"},
        {"http://host", "names no bucket"},
        {"http://host:9000/", "names no bucket"},
        {"http://host:/bucket", "1 to 65535"},
        {"http://host:70000/bucket", "1 to 65535"},
        {"http://host:0/bucket", "1 to 65535"},
        {"http://host:9a/bucket", "1 to 65535"},
        {"http://ho st/bucket", "no host"},
        {"http://h%6fst/bucket", "no host"},
        {"http://[::g]/bucket", "no host"},
        {"https://bucket.s3.eu-west-1.amazonaws.com/p", "s3://bucket/prefix"},
        {"file:/var/x", "file:///path"},
        {"file://var/x", "file:///path"},
        {"file:", "file:///path"},
        {"memory:", "memory:name"},
        {"memory://name", "memory:name"},
        {"memory:a/b", "memory:name"},
        {"memory:..", "memory:name"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct objstore_url url = {.kind = OBJSTORE_URL_S3, .bucket = "untouched"};
        struct err err = {0};

        if (objstore_url_parse(cases[i].text, &url, &err) != ST_INVALID)
            fail_msg("%s was taken", cases[i].text);
        if (strstr(err.text, cases[i].says) == NULL)
            fail_msg("%s: %s", cases[i].text, err.text);
        assert_null(strstr(err.text, "PASSW0RD"));
        assert_string_equal(url.bucket, "untouched");
    }
}

static void a_prefix_leaves_room_for_the_longest_key(void **state)
{
    char text[256] = "s3://bucket/";
    struct objstore_url url;
    struct err err;
    size_t at = strlen(text);

    (void)state;
    memset(text + at, 'p', OBJSTORE_PREFIX_BYTES - 2);
    text[at + OBJSTORE_PREFIX_BYTES - 2] = '\0';
    assert_int_equal(objstore_url_parse(text, &url, &err), ST_OK);
    assert_int_equal(strlen(url.prefix), OBJSTORE_PREFIX_BYTES - 1);
    text[at + OBJSTORE_PREFIX_BYTES - 2] = 'p';
    text[at + OBJSTORE_PREFIX_BYTES - 1] = '\0';
    assert_int_equal(objstore_url_parse(text, &url, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "at most 122"));
}

static void endpoints_are_host_and_port_alone(void **state)
{
    char out[OBJSTORE_ENDPOINT_BYTES];
    struct err err;

    (void)state;
    assert_int_equal(objstore_endpoint_parse("http://127.0.0.1:9000", out, &err), ST_OK);
    assert_string_equal(out, "http://127.0.0.1:9000");
    assert_int_equal(objstore_endpoint_parse("https://s3.example.org/", out, &err), ST_OK);
    assert_string_equal(out, "https://s3.example.org");
    assert_int_equal(objstore_endpoint_parse("127.0.0.1:9000", out, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "http://host:9000"));
    assert_int_equal(objstore_endpoint_parse("http://host/bucket", out, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "bucket URL"));
    assert_int_equal(objstore_endpoint_parse("http://a:b@host", out, &err), ST_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_is_taken_apart),
        cmocka_unit_test(every_wrong_url_gets_a_text_that_says_what_is_right),
        cmocka_unit_test(a_prefix_leaves_room_for_the_longest_key),
        cmocka_unit_test(endpoints_are_host_and_port_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
