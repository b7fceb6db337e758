/* Whole objects and pieces of them: what was put comes back, under every key there may be. */
#include "base/clock.h"
#include "base/mem.h"
#include "tests/conformance/objstore_conformance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void what_was_put_comes_back(void **state)
{
    static const size_t sizes[] = {0, 1, 7, 1000, 65536, 1000003};
    struct oc *oc = *state;

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        uint8_t *bytes = oc_bytes(sizes[i], i);
        const char *key = oc_key(oc, "object");
        char etag[OBJSTORE_ETAG_BYTES];
        struct objstore_req head = {.op = OBJSTORE_HEAD, .key = key};
        struct objstore_req get = {.op = OBJSTORE_GET, .key = key};

        oc_put(oc, key, slice_make(bytes, sizes[i]), etag);
        oc_expect_content(oc, key, slice_make(bytes, sizes[i]));
        oc_expect(oc, &head, OBJSTORE_OK);
        assert_int_equal(head.result.object_bytes, sizes[i]);
        assert_string_equal(head.result.etag, etag);
        assert_int_equal(head.result.body.bytes, 0);
        oc_expect(oc, &get, OBJSTORE_OK);
        assert_string_equal(get.result.etag, etag);
        assert_int_equal(get.result.received_bytes, sizes[i]);
        objstore_result_fini(&head.result);
        objstore_result_fini(&get.result);
        mem_free(bytes);
    }
}

static void an_overwrite_replaces_the_whole_object(void **state)
{
    struct oc *oc = *state;
    const char *key = oc_key(oc, "object");
    char first[OBJSTORE_ETAG_BYTES];
    char second[OBJSTORE_ETAG_BYTES];
    char third[OBJSTORE_ETAG_BYTES];

    oc_put(oc, key, slice_text("a longer first text"), first);
    oc_put(oc, key, slice_text("second"), second);
    oc_expect_content(oc, key, slice_text("second"));
    assert_string_not_equal(first, second);
    oc_put(oc, key, slice_text("a longer first text"), third);
    if (!oc->subject->etag_not_content)
        assert_string_equal(first, third);
}

static void what_is_absent_is_not_found_and_may_be_deleted(void **state)
{
    struct oc *oc = *state;
    const char *key = oc_key(oc, "object");
    struct objstore_req get = {.op = OBJSTORE_GET, .key = key};

    oc_expect(oc, &get, OBJSTORE_NOT_FOUND);
    assert_int_equal(get.result.http_status, 404);
    assert_string_equal(get.result.s3_code, "NoSuchKey");
    assert_non_null(strstr(get.result.err.text, "object"));
    objstore_result_fini(&get.result);
    oc_expect_free(oc, (struct objstore_req){.op = OBJSTORE_HEAD, .key = key}, OBJSTORE_NOT_FOUND);
    oc_expect_free(oc, (struct objstore_req){.op = OBJSTORE_DELETE, .key = key}, OBJSTORE_OK);
    oc_put(oc, key, slice_text("x"), NULL);
    oc_expect_free(oc, (struct objstore_req){.op = OBJSTORE_DELETE, .key = key}, OBJSTORE_OK);
    oc_expect_absent(oc, key);
    oc_expect_free(oc, (struct objstore_req){.op = OBJSTORE_DELETE, .key = key}, OBJSTORE_OK);
    oc_put(oc, key, slice_text("y"), NULL);
    oc_expect_content(oc, key, slice_text("y"));
}

/* Of every answer, an absence too: what is compared with `modified_ns` needs the same clock. */
static void a_store_tells_its_clock(void **state)
{
    const uint64_t minute = UINT64_C(60) * 1000000000;
    struct oc *oc = *state;
    const char *key = oc_key(oc, "object");
    struct objstore_req asks[] = {
        {.op = OBJSTORE_GET, .key = key},
        {.op = OBJSTORE_PUT, .key = key, .body = slice_text("x")},
        {.op = OBJSTORE_GET, .key = key},
        {.op = OBJSTORE_LIST, .key = oc->root},
        {.op = OBJSTORE_DELETE, .key = key},
    };

    for (size_t i = 0; i < COUNT_OF(asks); i++) {
        uint64_t before = clock_wall_ns(clock_real());
        uint64_t told;

        oc_expect(oc, &asks[i], i == 0 ? OBJSTORE_NOT_FOUND : OBJSTORE_OK);
        told = asks[i].result.date_ns;
        assert_true(told + minute > before && told < clock_wall_ns(clock_real()) + minute);
        if (asks[i].op == OBJSTORE_LIST && asks[i].result.entries[0].modified_ns != 0)
            assert_true(asks[i].result.entries[0].modified_ns < told + minute);
        objstore_result_fini(&asks[i].result);
    }
}

static void the_largest_object_is_taken_and_a_larger_one_refused(void **state)
{
    struct oc *oc = *state;
    const char *key = oc_key(oc, "large");
    uint8_t *bytes = oc_bytes(OBJSTORE_OBJECT_BYTES_MAX + 1, 1);
    struct objstore_req more = {
        .op = OBJSTORE_PUT, .key = key, .body = {bytes, OBJSTORE_OBJECT_BYTES_MAX + 1}};

    oc_put(oc, key, slice_make(bytes, OBJSTORE_OBJECT_BYTES_MAX), NULL);
    oc_expect_content(oc, key, slice_make(bytes, OBJSTORE_OBJECT_BYTES_MAX));
    oc_expect(oc, &more, OBJSTORE_PERMANENT);
    assert_false(more.result.maybe_applied);
    objstore_result_fini(&more.result);
    mem_free(bytes);
}

static void every_key_that_is_allowed_holds_its_own_object(void **state)
{
    static const char *const names[] = {"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
                                        "abcdefghijklmnopqrstuvwxyz",
                                        "0123456789",
                                        "-_.-",
                                        "...",
                                        "a..b",
                                        ".hidden",
                                        "_",
                                        "-",
                                        "UPPER",
                                        "Upper",
                                        "x/y/z",
                                        "x/y-",
                                        "x/y.tmp",
                                        "x.y",
                                        "x-",
                                        "a.b/c.d",
                                        "lock/lock",
                                        "tmp/tmp"};
    struct oc *oc = *state;

    for (size_t i = 0; i < COUNT_OF(names); i++)
        oc_put(oc, oc_key(oc, names[i]), slice_text(names[i]), NULL);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        oc_expect_content(oc, oc_key(oc, names[i]), slice_text(names[i]));
}

static void a_key_may_be_as_long_as_is_said(void **state)
{
    struct oc *oc = *state;
    char key[OBJSTORE_KEY_BYTES_MAX + 1];
    struct objstore_req list = {.op = OBJSTORE_LIST, .key = oc->root};

    memset(key, 'k', sizeof key);
    memcpy(key, oc->root, strlen(oc->root));
    for (size_t i = strlen(oc->root); i < OBJSTORE_KEY_BYTES_MAX - 1; i += 200)
        key[i] = '/';
    key[OBJSTORE_KEY_BYTES_MAX] = '\0';
    oc_put(oc, key, slice_text("long"), NULL);
    oc_expect_content(oc, key, slice_text("long"));
    oc_expect(oc, &list, OBJSTORE_OK);
    assert_int_equal(list.result.entry_count, 1);
    assert_string_equal(list.result.entries[0].key, key);
    objstore_result_fini(&list.result);
    oc_expect_free(oc, (struct objstore_req){.op = OBJSTORE_DELETE, .key = key}, OBJSTORE_OK);
    oc_expect_absent(oc, key);
}

static void one_part_may_be_the_whole_key(void **state)
{
    struct oc *oc = *state;
    char key[OBJSTORE_KEY_BYTES_MAX + 1];
    size_t at = strlen(oc->root);

    if (oc->subject->no_long_parts)
        return;
    for (size_t bytes = at + 190; bytes <= OBJSTORE_KEY_BYTES_MAX; bytes += bytes < 700 ? 1 : 67) {
        memset(key, 'k', sizeof key);
        memcpy(key, oc->root, at);
        key[at] = '/';
        key[bytes] = '\0';
        oc_put(oc, key, slice_make(key, bytes), NULL);
        oc_expect_content(oc, key, slice_make(key, bytes));
        if (bytes > at + 260 && bytes < 620)
            bytes += 91;
    }
}

static void a_key_may_be_an_object_and_a_prefix(void **state)
{
    struct oc *oc = *state;
    struct objstore_req list = {.op = OBJSTORE_LIST, .key = oc->root};

    if (oc->subject->no_object_below_object)
        return;
    oc_put(oc, oc_key(oc, "a/b/c"), slice_text("3"), NULL);
    oc_put(oc, oc_key(oc, "a"), slice_text("1"), NULL);
    oc_put(oc, oc_key(oc, "a/b"), slice_text("2"), NULL);
    oc_expect_content(oc, oc_key(oc, "a"), slice_text("1"));
    oc_expect_content(oc, oc_key(oc, "a/b"), slice_text("2"));
    oc_expect_content(oc, oc_key(oc, "a/b/c"), slice_text("3"));
    oc_expect(oc, &list, OBJSTORE_OK);
    assert_int_equal(list.result.entry_count, 3);
    objstore_result_fini(&list.result);
    oc_expect_free(oc, (struct objstore_req){.op = OBJSTORE_DELETE, .key = oc_key(oc, "a/b")},
                   OBJSTORE_OK);
    oc_expect_absent(oc, oc_key(oc, "a/b"));
    oc_expect_content(oc, oc_key(oc, "a"), slice_text("1"));
    oc_expect_content(oc, oc_key(oc, "a/b/c"), slice_text("3"));
}

static void expect_range(struct oc *oc, const char *key, struct objstore_req ask, struct slice want)
{
    ask.op = OBJSTORE_GET;
    ask.key = key;
    oc_expect(oc, &ask, OBJSTORE_OK);
    assert_int_equal(ask.result.body.bytes, want.bytes);
    assert_true(slice_equal(buf_slice(&ask.result.body), want));
    assert_int_equal(ask.result.object_bytes, 10);
    objstore_result_fini(&ask.result);
}

static void ranges_give_exactly_their_bytes(void **state)
{
    struct oc *oc = *state;
    const char *key = oc_key(oc, "ten");
    const struct {
        struct objstore_req ask;
        const char *want;
    } cases[] = {
        {{.range_bytes = 1}, "0"},
        {{.range_bytes = 10}, "0123456789"},
        {{.range_bytes = OBJSTORE_RANGE_ALL}, "0123456789"},
        {{.range_offset = 3, .range_bytes = 4}, "3456"},
        {{.range_offset = 9, .range_bytes = 1}, "9"},
        {{.range_offset = 3}, "3456789"},
        {{.range_offset = 3, .range_bytes = OBJSTORE_RANGE_ALL}, "3456789"},
        {{.range_offset = 8, .range_bytes = 100}, "89"}, /* ends beyond: what there is */
        {{.range_bytes = 1000}, "0123456789"},
        {{.range_offset = 1, .range_bytes = OBJSTORE_RANGE_ALL - 1}, "123456789"},
    };
    const struct objstore_req beyond[] = {{.range_offset = 10, .range_bytes = 1},
                                          {.range_offset = 10},
                                          {.range_offset = 1000, .range_bytes = 5}};

    oc_put(oc, key, slice_text("0123456789"), NULL);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect_range(oc, key, cases[i].ask, slice_text(cases[i].want));
    for (size_t i = 0; i < COUNT_OF(beyond); i++) {
        struct objstore_req ask = beyond[i];

        ask.op = OBJSTORE_GET;
        ask.key = key;
        oc_expect(oc, &ask, OBJSTORE_PERMANENT);
        assert_int_equal(ask.result.http_status, 416);
        assert_int_equal(ask.result.body.bytes, 0);
        objstore_result_fini(&ask.result);
    }
    oc_expect_free(
        oc,
        (struct objstore_req){
            .op = OBJSTORE_GET, .key = oc_key(oc, "none"), .range_offset = 1, .range_bytes = 1},
        OBJSTORE_NOT_FOUND);
}

static void a_suffix_is_the_last_bytes(void **state)
{
    struct oc *oc = *state;
    const char *key = oc_key(oc, "ten");

    if (oc->subject->suffix_unsound)
        return;
    oc_put(oc, key, slice_text("0123456789"), NULL);
    expect_range(oc, key, (struct objstore_req){.range_suffix = true, .range_bytes = 3},
                 slice_text("789"));
    expect_range(oc, key, (struct objstore_req){.range_suffix = true, .range_bytes = 10},
                 slice_text("0123456789"));
    expect_range(oc, key, (struct objstore_req){.range_suffix = true, .range_bytes = 99},
                 slice_text("0123456789"));
    oc_expect_free(oc, (struct objstore_req){.op = OBJSTORE_GET, .key = key, .range_suffix = true},
                   OBJSTORE_PERMANENT);
}

static void a_longer_body_than_expected_is_not_read(void **state)
{
    struct oc *oc = *state;
    const char *key = oc_key(oc, "hundred");
    uint8_t *bytes = oc_bytes(100, 5);
    struct objstore_req get = {.op = OBJSTORE_GET, .key = key, .bytes_max = 99};

    oc_put(oc, key, slice_make(bytes, 100), NULL);
    oc_expect(oc, &get, OBJSTORE_INTEGRITY);
    assert_int_equal(get.result.body.bytes, 0);
    objstore_req_reset(&get);
    get.bytes_max = 100;
    oc_expect(oc, &get, OBJSTORE_OK);
    objstore_req_reset(&get);
    get.bytes_max = 5;
    get.range_offset = 90;
    get.range_bytes = 5;
    oc_expect(oc, &get, OBJSTORE_OK);
    assert_memory_equal(get.result.body.data, bytes + 90, 5);
    objstore_result_fini(&get.result);
    mem_free(bytes);
}

size_t oc_objects(struct CMUnitTest *out)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_comes_back),
        cmocka_unit_test(an_overwrite_replaces_the_whole_object),
        cmocka_unit_test(what_is_absent_is_not_found_and_may_be_deleted),
        cmocka_unit_test(a_store_tells_its_clock),
        cmocka_unit_test(the_largest_object_is_taken_and_a_larger_one_refused),
        cmocka_unit_test(every_key_that_is_allowed_holds_its_own_object),
        cmocka_unit_test(a_key_may_be_as_long_as_is_said),
        cmocka_unit_test(one_part_may_be_the_whole_key),
        cmocka_unit_test(a_key_may_be_an_object_and_a_prefix),
        cmocka_unit_test(ranges_give_exactly_their_bytes),
        cmocka_unit_test(a_suffix_is_the_last_bytes),
        cmocka_unit_test(a_longer_body_than_expected_is_not_read),
    };

    memcpy(out, tests, sizeof tests);
    return COUNT_OF(tests);
}
