/* Conditions: create-if-absent, replace-if-match, get-if-changed, one by one. */
#include "tests/conformance/objstore_conformance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct objstore_req put_if(const char *key, const char *text, enum objstore_condition when,
                                  const char *etag)
{
    return (struct objstore_req){
        .op = OBJSTORE_PUT, .key = key, .body = slice_text(text), .condition = when, .etag = etag};
}

static void create_if_absent_creates_once(void **state)
{
    struct oc *oc = *state;
    const char *key = oc_key(oc, "object");
    struct objstore_req again = put_if(key, "second", OBJSTORE_IF_ABSENT, NULL);

    if (oc->subject->no_conditions)
        return;
    oc_expect_free(oc, put_if(key, "first", OBJSTORE_IF_ABSENT, NULL), OBJSTORE_OK);
    oc_expect(oc, &again, OBJSTORE_PRECONDITION);
    assert_int_equal(again.result.http_status, 412);
    assert_false(again.result.maybe_applied);
    objstore_result_fini(&again.result);
    oc_expect_content(oc, key, slice_text("first"));
    oc_expect_free(oc, put_if(key, "first", OBJSTORE_IF_ABSENT, NULL), OBJSTORE_PRECONDITION);
    oc_expect_free(oc, (struct objstore_req){.op = OBJSTORE_DELETE, .key = key}, OBJSTORE_OK);
    oc_expect_free(oc, put_if(key, "third", OBJSTORE_IF_ABSENT, NULL), OBJSTORE_OK);
    oc_expect_content(oc, key, slice_text("third"));
}

static void replace_if_match_replaces_what_was_meant(void **state)
{
    struct oc *oc = *state;
    const char *key = oc_key(oc, "object");
    char first[OBJSTORE_ETAG_BYTES];
    struct objstore_req right;

    if (oc->subject->no_conditions)
        return;
    oc_put(oc, key, slice_text("first"), first);
    right = put_if(key, "second", OBJSTORE_IF_MATCH, first);
    oc_expect(oc, &right, OBJSTORE_OK);
    oc_expect_content(oc, key, slice_text("second"));
    oc_expect_free(oc, put_if(key, "third", OBJSTORE_IF_MATCH, first), OBJSTORE_PRECONDITION);
    oc_expect_content(oc, key, slice_text("second"));
    oc_expect_free(oc, put_if(key, "third", OBJSTORE_IF_MATCH, right.result.etag), OBJSTORE_OK);
    oc_expect_content(oc, key, slice_text("third"));
    objstore_result_fini(&right.result);
}

/* 404 on most servers, 412 on some; an old one said 200 and created it. */
static void replace_if_match_creates_nothing(void **state)
{
    struct oc *oc = *state;
    const char *key = oc_key(oc, "object");
    char etag[OBJSTORE_ETAG_BYTES];

    if (oc->subject->no_conditions)
        return;
    oc_put(oc, key, slice_text("first"), etag);
    oc_expect_free(oc, (struct objstore_req){.op = OBJSTORE_DELETE, .key = key}, OBJSTORE_OK);
    oc_expect_free(oc, put_if(key, "x", OBJSTORE_IF_MATCH, etag), OBJSTORE_PRECONDITION);
    oc_expect_absent(oc, key);
}

static void get_if_changed_says_not_modified(void **state)
{
    struct oc *oc = *state;
    const char *key = oc_key(oc, "object");
    char first[OBJSTORE_ETAG_BYTES];
    struct objstore_req get = {
        .op = OBJSTORE_GET, .key = key, .condition = OBJSTORE_IF_CHANGED, .etag = first};

    oc_put(oc, key, slice_text("first"), first);
    oc_expect(oc, &get, OBJSTORE_NOT_MODIFIED);
    assert_int_equal(get.result.http_status, 304);
    assert_int_equal(get.result.body.bytes, 0);
    objstore_req_reset(&get);
    oc_put(oc, key, slice_text("second"), NULL);
    oc_expect(oc, &get, OBJSTORE_OK);
    assert_true(slice_equal(buf_slice(&get.result.body), slice_text("second")));
    objstore_req_reset(&get);
    oc_expect_free(oc, (struct objstore_req){.op = OBJSTORE_DELETE, .key = key}, OBJSTORE_OK);
    oc_expect(oc, &get, OBJSTORE_NOT_FOUND);
    objstore_result_fini(&get.result);
}

/* The root protocol's question: was the lost answer a success? */
static void the_same_create_again_finds_its_own_object(void **state)
{
    struct oc *oc = *state;
    const char *key = oc_key(oc, "object");
    struct objstore_req put = put_if(key, "nonce", OBJSTORE_IF_ABSENT, NULL);
    struct objstore_req get = {.op = OBJSTORE_GET, .key = key};

    if (oc->subject->no_conditions)
        return;
    oc_expect(oc, &put, OBJSTORE_OK);
    objstore_req_reset(&put);
    oc_expect(oc, &put, OBJSTORE_PRECONDITION);
    objstore_req_reset(&put);
    oc_expect(oc, &get, OBJSTORE_OK);
    assert_true(slice_equal(buf_slice(&get.result.body), put.body));
    objstore_result_fini(&get.result);
}

static void conditions_that_do_not_belong_are_refused(void **state)
{
    struct oc *oc = *state;
    const char *key = oc_key(oc, "object");

    oc_put(oc, key, slice_text("x"), NULL);
    oc_expect_free(oc, put_if(key, "y", OBJSTORE_IF_CHANGED, "\"e\""), OBJSTORE_PERMANENT);
    oc_expect_free(oc, put_if(key, "y", OBJSTORE_IF_MATCH, NULL), OBJSTORE_PERMANENT);
    oc_expect_free(
        oc,
        (struct objstore_req){
            .op = OBJSTORE_DELETE, .key = key, .condition = OBJSTORE_IF_MATCH, .etag = "\"e\""},
        OBJSTORE_PERMANENT);
    oc_expect_content(oc, key, slice_text("x"));
}

size_t oc_conditions(struct CMUnitTest *out)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_if_absent_creates_once),
        cmocka_unit_test(replace_if_match_replaces_what_was_meant),
        cmocka_unit_test(replace_if_match_creates_nothing),
        cmocka_unit_test(get_if_changed_says_not_modified),
        cmocka_unit_test(the_same_create_again_finds_its_own_object),
        cmocka_unit_test(conditions_that_do_not_belong_are_refused),
    };

    memcpy(out, tests, sizeof tests);
    return COUNT_OF(tests);
}
