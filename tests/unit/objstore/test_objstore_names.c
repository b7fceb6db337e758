/* Names, classes and keys of objstore.h, and what every store refuses before it does anything. */
#include "objstore/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void every_operation_and_class_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (unsigned a = 0; a < OBJSTORE_OPS; a++)
        for (unsigned b = 0; b < a; b++)
            assert_string_not_equal(objstore_op_name((enum objstore_op)a),
                                    objstore_op_name((enum objstore_op)b));
    for (unsigned a = 0; a < OBJSTORE_CLASSES; a++)
        for (unsigned b = 0; b < a; b++)
            assert_string_not_equal(objstore_class_name((enum objstore_class)a),
                                    objstore_class_name((enum objstore_class)b));
    assert_string_equal(objstore_op_name(OBJSTORE_UPLOAD_COMPLETE), "upload_complete");
    assert_string_equal(objstore_class_name(OBJSTORE_THROTTLE), "throttle");
    assert_string_equal(objstore_op_name((enum objstore_op)99), "unknown");
    assert_string_equal(objstore_class_name((enum objstore_class)99), "unknown");
}

static void classes_map_to_codes_as_the_header_says(void **state)
{
    static const struct {
        enum objstore_class class;
        status st;
        bool retries;
    } want[] = {
        {OBJSTORE_OK, ST_OK, false},
        {OBJSTORE_NOT_MODIFIED, ST_OK, false},
        {OBJSTORE_NOT_FOUND, ST_NOT_FOUND, false},
        {OBJSTORE_PRECONDITION, ST_CONFLICT, false},
        {OBJSTORE_CONFLICT, ST_CONFLICT, true},
        {OBJSTORE_TRANSIENT, ST_UNAVAILABLE, true},
        {OBJSTORE_THROTTLE, ST_UNAVAILABLE, true},
        {OBJSTORE_REFRESHABLE, ST_DENIED, false},
        {OBJSTORE_CAPACITY, ST_NOSPACE, true},
        {OBJSTORE_PERMANENT, ST_DENIED, false},
        {OBJSTORE_INTEGRITY, ST_CORRUPT, false},
        {OBJSTORE_CANCELLED, ST_CLOSED, false},
    };

    (void)state;
    assert_int_equal(COUNT_OF(want), OBJSTORE_CLASSES);
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        assert_int_equal(objstore_class_status(want[i].class), want[i].st);
        assert_int_equal(objstore_class_retries(want[i].class), want[i].retries);
    }
}

static void keys_are_what_every_store_can_hold(void **state)
{
    static const char *const good[] = {"a", "c/00/0-9_z.Z/w/1/2", "...", ".a", "a./b", "-", "_"};
    static const char *const bad[] = {"",     "/",      "/a",  "a/",       "a//b", ".",    "..",
                                      "a/./", "a/../b", "a b", "a\x01",    "a%",   "a+b",  "a\\b",
                                      "a:b",  "a*",     "a?",  "\xc3\xbc", "./a",  "a/..", "a\nb"};
    char key[OBJSTORE_KEY_BYTES_MAX + 2];
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_int_equal(objstore_key_check(good[i], &err), ST_OK);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(objstore_key_check(bad[i], &err), ST_INVALID);
    memset(key, 'k', sizeof key);
    key[OBJSTORE_KEY_BYTES_MAX] = '\0';
    assert_int_equal(objstore_key_check(key, &err), ST_OK);
    key[OBJSTORE_KEY_BYTES_MAX] = 'k';
    key[OBJSTORE_KEY_BYTES_MAX + 1] = '\0';
    assert_int_equal(objstore_key_check(key, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "901"));
}

static void refused(struct objstore_req req)
{
    if (objstore_req_check(&req))
        fail_msg("%s was taken", objstore_op_name(req.op));
    assert_int_equal(req.result.class, OBJSTORE_PERMANENT);
    assert_int_equal(req.result.http_status, 400);
    assert_int_equal(req.result.err.code, ST_DENIED);
    assert_true(strlen(req.result.err.text) > 10);
}

static void taken(struct objstore_req req)
{
    if (!objstore_req_check(&req))
        fail_msg("%s", req.result.err.text);
}

static void wrong_requests_are_refused_and_right_ones_are_not(void **state)
{
    static const uint8_t byte;
    char long_text[OBJSTORE_UPLOAD_BYTES + 1];
    struct objstore_part parts[2] = {{1, "\"a\""}, {2, "\"b\""}};
    struct objstore_req complete = {.op = OBJSTORE_UPLOAD_COMPLETE,
                                    .key = "k",
                                    .upload_id = "u",
                                    .parts = parts,
                                    .part_count = 2};

    (void)state;
    memset(long_text, 'x', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    taken((struct objstore_req){.op = OBJSTORE_PUT, .key = "k"});
    taken((struct objstore_req){
        .op = OBJSTORE_PUT, .key = "k", .body = {&byte, OBJSTORE_OBJECT_BYTES_MAX}});
    refused((struct objstore_req){
        .op = OBJSTORE_PUT, .key = "k", .body = {&byte, OBJSTORE_OBJECT_BYTES_MAX + 1}});
    refused((struct objstore_req){.op = OBJSTORE_PUT});
    refused((struct objstore_req){.op = OBJSTORE_PUT, .key = "a//b"});
    refused((struct objstore_req){.op = (enum objstore_op)77, .key = "k"});
    refused((struct objstore_req){.pool = (enum objstore_pool)9, .key = "k"});
    refused((struct objstore_req){.op = OBJSTORE_PUT, .key = "k", .condition = OBJSTORE_IF_MATCH});
    refused((struct objstore_req){
        .op = OBJSTORE_PUT, .key = "k", .condition = OBJSTORE_IF_MATCH, .etag = ""});
    refused((struct objstore_req){
        .op = OBJSTORE_PUT, .key = "k", .condition = OBJSTORE_IF_MATCH, .etag = "a\r\nHost: b"});
    refused((struct objstore_req){
        .op = OBJSTORE_PUT, .key = "k", .condition = OBJSTORE_IF_MATCH, .etag = long_text});
    refused((struct objstore_req){
        .op = OBJSTORE_PUT, .key = "k", .condition = OBJSTORE_IF_CHANGED, .etag = "\"a\""});
    taken((struct objstore_req){
        .op = OBJSTORE_PUT, .key = "k", .condition = OBJSTORE_IF_MATCH, .etag = "\"a\""});
    taken((struct objstore_req){
        .op = OBJSTORE_GET, .key = "k", .condition = OBJSTORE_IF_CHANGED, .etag = "\"a\""});
    refused((struct objstore_req){.op = OBJSTORE_GET, .key = "k", .condition = OBJSTORE_IF_ABSENT});
    refused((struct objstore_req){
        .op = OBJSTORE_DELETE, .key = "k", .condition = OBJSTORE_IF_MATCH, .etag = "\"a\""});
    refused((struct objstore_req){.op = OBJSTORE_GET, .key = "k", .range_suffix = true});
    taken((struct objstore_req){.op = OBJSTORE_LIST, .key = ""});
    taken((struct objstore_req){.op = OBJSTORE_LIST, .key = "a/", .start_after = "a/b/"});
    refused((struct objstore_req){.op = OBJSTORE_LIST});
    refused((struct objstore_req){.op = OBJSTORE_LIST, .key = "a b"});
    refused((struct objstore_req){.op = OBJSTORE_LIST, .key = "", .start_after = long_text});
    refused((struct objstore_req){.op = OBJSTORE_LIST, .key = "", .list_max = 1001});
    taken((struct objstore_req){.op = OBJSTORE_UPLOAD_BEGIN, .key = "k"});
    refused((struct objstore_req){.op = OBJSTORE_UPLOAD_PART, .key = "k", .part_number = 1});
    refused((struct objstore_req){.op = OBJSTORE_UPLOAD_PART, .key = "k", .upload_id = "u"});
    refused((struct objstore_req){
        .op = OBJSTORE_UPLOAD_PART, .key = "k", .upload_id = long_text, .part_number = 1});
    refused((struct objstore_req){
        .op = OBJSTORE_UPLOAD_PART, .key = "k", .upload_id = "u", .part_number = 10001});
    refused((struct objstore_req){.op = OBJSTORE_UPLOAD_ABORT, .key = "k"});
    taken(complete);
    complete.part_count = 0;
    refused(complete);
    complete.part_count = 2;
    parts[1].number = 1;
    refused(complete);
    parts[1].number = 2;
    parts[1].etag[0] = '\0';
    refused(complete);
}

static void etags_follow_the_content(void **state)
{
    struct objstore_part parts[2] = {{1, "\"a\""}, {2, "\"b\""}};
    char a[OBJSTORE_ETAG_BYTES];
    char b[OBJSTORE_ETAG_BYTES];

    (void)state;
    objstore_etag_of(slice_text("x"), a);
    objstore_etag_of(slice_text("x"), b);
    assert_string_equal(a, b);
    objstore_etag_of(slice_text("y"), b);
    assert_string_not_equal(a, b);
    objstore_etag_of_parts(parts, 2, a);
    assert_non_null(strstr(a, "-2\""));
    parts[0].etag[1] = 'c';
    objstore_etag_of_parts(parts, 2, b);
    assert_string_not_equal(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_and_class_has_a_name_of_its_own),
        cmocka_unit_test(classes_map_to_codes_as_the_header_says),
        cmocka_unit_test(keys_are_what_every_store_can_hold),
        cmocka_unit_test(wrong_requests_are_refused_and_right_ones_are_not),
        cmocka_unit_test(etags_follow_the_content),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
