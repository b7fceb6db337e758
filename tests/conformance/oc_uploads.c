/* Objects in parts: nothing is there before the completion, then all of it at once. */
#include "base/mem.h"
#include "objstore/faults.h"
#include "objstore/upload.h"
#include "tests/conformance/objstore_conformance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { PART = OBJSTORE_PART_BYTES_MIN };

struct upload {
    struct oc *oc;
    const char *key;
    char id[OBJSTORE_UPLOAD_BYTES];
    struct objstore_part parts[4];
};

static void begin(struct upload *u, struct oc *oc, const char *key)
{
    struct objstore_req req = {.op = OBJSTORE_UPLOAD_BEGIN, .key = key};

    *u = (struct upload){.oc = oc, .key = key};
    oc_expect(oc, &req, OBJSTORE_OK);
    memcpy(u->id, req.result.upload_id, sizeof u->id);
    assert_true(u->id[0] != '\0');
    objstore_result_fini(&req.result);
}

static void put_part(struct upload *u, size_t at, uint32_t number, struct slice body)
{
    struct objstore_req req = {.op = OBJSTORE_UPLOAD_PART,
                               .key = u->key,
                               .upload_id = u->id,
                               .part_number = number,
                               .body = body};

    oc_expect(u->oc, &req, OBJSTORE_OK);
    u->parts[at].number = number;
    memcpy(u->parts[at].etag, req.result.etag, sizeof u->parts[at].etag);
    assert_true(u->parts[at].etag[0] != '\0');
    objstore_result_fini(&req.result);
}

static struct objstore_req complete_of(struct upload *u, size_t count)
{
    return (struct objstore_req){.op = OBJSTORE_UPLOAD_COMPLETE,
                                 .key = u->key,
                                 .upload_id = u->id,
                                 .parts = u->parts,
                                 .part_count = count};
}

static void abort_it(struct upload *u)
{
    oc_expect_free(
        u->oc,
        (struct objstore_req){.op = OBJSTORE_UPLOAD_ABORT, .key = u->key, .upload_id = u->id},
        OBJSTORE_OK);
}

static void expect_etag(struct oc *oc, const char *key, const char *etag)
{
    struct objstore_req head = {.op = OBJSTORE_HEAD, .key = key};

    oc_expect(oc, &head, OBJSTORE_OK);
    assert_string_equal(head.result.etag, etag);
    objstore_result_fini(&head.result);
}

static void parts_become_one_object(void **state)
{
    struct oc *oc = *state;
    uint8_t *bytes = oc_bytes(2 * PART + 1000, 3);
    struct upload u;
    struct objstore_req end;

    begin(&u, oc, oc_key(oc, "parts"));
    put_part(&u, 0, 1, slice_make(bytes, PART));
    put_part(&u, 1, 2, slice_make(bytes + PART, PART));
    put_part(&u, 2, 3, slice_make(bytes + 2 * (size_t)PART, 1000));
    oc_expect_absent(oc, u.key);
    end = complete_of(&u, 3);
    oc_expect(oc, &end, OBJSTORE_OK);
    oc_expect_content(oc, u.key, slice_make(bytes, 2 * PART + 1000));
    expect_etag(oc, u.key, end.result.etag);
    objstore_result_fini(&end.result);
    mem_free(bytes);
}

static void parts_come_in_any_order_and_may_come_again(void **state)
{
    struct oc *oc = *state;
    uint8_t *bytes = oc_bytes(PART + 10, 4);
    struct upload u;
    struct objstore_req range;

    begin(&u, oc, oc_key(oc, "parts"));
    put_part(&u, 1, 7, slice_text("wrong, comes again"));
    put_part(&u, 0, 2, slice_make(bytes, PART));
    put_part(&u, 1, 7, slice_make(bytes + PART, 10));
    oc_expect_free(oc, complete_of(&u, 2), OBJSTORE_OK);
    oc_expect_content(oc, u.key, slice_make(bytes, PART + 10));
    range = (struct objstore_req){
        .op = OBJSTORE_GET, .key = u.key, .range_offset = PART - 5, .range_bytes = 10};
    oc_expect(oc, &range, OBJSTORE_OK);
    assert_memory_equal(range.result.body.data, bytes + PART - 5, 10);
    objstore_result_fini(&range.result);
    mem_free(bytes);
}

static void one_small_part_is_enough(void **state)
{
    struct oc *oc = *state;
    struct upload u;

    begin(&u, oc, oc_key(oc, "parts"));
    put_part(&u, 0, 1, slice_text("small"));
    oc_expect_free(oc, complete_of(&u, 1), OBJSTORE_OK);
    oc_expect_content(oc, u.key, slice_text("small"));
}

static void an_aborted_upload_is_gone(void **state)
{
    struct oc *oc = *state;
    struct upload u;
    struct objstore_req part;

    begin(&u, oc, oc_key(oc, "parts"));
    put_part(&u, 0, 1, slice_text("x"));
    abort_it(&u);
    oc_expect_absent(oc, u.key);
    oc_expect_free(oc, complete_of(&u, 1), OBJSTORE_NOT_FOUND);
    part = (struct objstore_req){.op = OBJSTORE_UPLOAD_PART,
                                 .key = u.key,
                                 .upload_id = u.id,
                                 .part_number = 2,
                                 .body = slice_text("y")};
    oc_expect(oc, &part, OBJSTORE_NOT_FOUND);
    assert_string_equal(part.result.s3_code, "NoSuchUpload");
    objstore_result_fini(&part.result);
    abort_it(&u); /* of what is gone too */
}

static void a_missing_or_exchanged_part_completes_nothing(void **state)
{
    struct oc *oc = *state;
    struct upload u;
    char etag[OBJSTORE_ETAG_BYTES];

    if (oc->subject->parts_unchecked)
        return;
    begin(&u, oc, oc_key(oc, "parts"));
    put_part(&u, 0, 1, slice_text("x"));
    memcpy(etag, u.parts[0].etag, sizeof etag);
    u.parts[0].number = 2;
    oc_expect_free(oc, complete_of(&u, 1), OBJSTORE_PERMANENT);
    put_part(&u, 0, 1, slice_text("another"));
    memcpy(u.parts[0].etag, etag, sizeof etag);
    oc_expect_free(oc, complete_of(&u, 1), OBJSTORE_PERMANENT);
    oc_expect_absent(oc, u.key);
    abort_it(&u);
}

static void a_small_part_before_the_last_completes_nothing(void **state)
{
    struct oc *oc = *state;
    struct upload u;

    begin(&u, oc, oc_key(oc, "parts"));
    put_part(&u, 0, 1, slice_text("small"));
    put_part(&u, 1, 2, slice_text("last"));
    oc_expect_free(oc, complete_of(&u, 2), OBJSTORE_PERMANENT);
    oc_expect_absent(oc, u.key);
    abort_it(&u);
}

static void a_completion_keeps_to_its_condition(void **state)
{
    struct oc *oc = *state;
    char etag[OBJSTORE_ETAG_BYTES];
    struct upload u;
    struct objstore_req end;

    if (oc->subject->no_conditions)
        return;
    begin(&u, oc, oc_key(oc, "parts"));
    put_part(&u, 0, 1, slice_text("of parts"));
    oc_put(oc, u.key, slice_text("was first"), etag);
    end = complete_of(&u, 1);
    end.condition = OBJSTORE_IF_ABSENT;
    oc_expect_free(oc, end, OBJSTORE_PRECONDITION);
    oc_expect_content(oc, u.key, slice_text("was first"));
    abort_it(&u);

    begin(&u, oc, u.key);
    put_part(&u, 0, 1, slice_text("of parts"));
    oc_put(oc, u.key, slice_text("changed"), NULL);
    end = complete_of(&u, 1);
    end.condition = OBJSTORE_IF_MATCH;
    end.etag = etag;
    oc_expect_free(oc, end, OBJSTORE_PRECONDITION);
    oc_expect_content(oc, u.key, slice_text("changed"));
    abort_it(&u);

    oc_expect_free(oc, (struct objstore_req){.op = OBJSTORE_DELETE, .key = u.key}, OBJSTORE_OK);
    begin(&u, oc, u.key);
    put_part(&u, 0, 1, slice_text("of parts"));
    end = complete_of(&u, 1);
    end.condition = OBJSTORE_IF_ABSENT;
    oc_expect_free(oc, end, OBJSTORE_OK);
    oc_expect_content(oc, u.key, slice_text("of parts"));
}

/* The answer to the first may have been lost. Stores say 404, or that it is done; never a second
 * effect. */
static void a_repeated_completion_changes_nothing(void **state)
{
    struct oc *oc = *state;
    struct upload u;
    struct objstore_req again;
    enum objstore_class got;

    begin(&u, oc, oc_key(oc, "parts"));
    put_part(&u, 0, 1, slice_text("of parts"));
    oc_expect_free(oc, complete_of(&u, 1), OBJSTORE_OK);
    oc_put(oc, u.key, slice_text("written behind it"), NULL);
    again = complete_of(&u, 1);
    got = oc_run(oc->s, &again);
    assert_true(got == OBJSTORE_NOT_FOUND || got == OBJSTORE_OK);
    objstore_result_fini(&again.result);
    oc_expect_content(oc, u.key, slice_text("written behind it"));
}

static void uploads_of_one_key_do_not_meet(void **state)
{
    struct oc *oc = *state;
    const char *key = oc_key(oc, "parts");
    struct upload a;
    struct upload b;

    begin(&a, oc, key);
    begin(&b, oc, key);
    assert_string_not_equal(a.id, b.id);
    put_part(&a, 0, 1, slice_text("a"));
    put_part(&b, 0, 1, slice_text("b"));
    oc_expect_free(oc, complete_of(&b, 1), OBJSTORE_OK);
    oc_expect_content(oc, key, slice_text("b"));
    oc_expect_free(oc, complete_of(&a, 1), OBJSTORE_OK);
    oc_expect_content(oc, key, slice_text("a"));
}

static struct upload_options upload_of(const char *key, struct slice *object)
{
    return (struct upload_options){.key = key,
                                   .bytes = object->bytes,
                                   .read = upload_read_slice,
                                   .arg = object,
                                   .pool = OBJSTORE_BULK,
                                   .policy = objstore_retry_foreground(),
                                   .part_bytes = PART,
                                   .clock = clock_real(),
                                   .rand = rand_kernel()};
}

static void an_object_of_any_size_goes_up(void **state)
{
    static const size_t sizes[] = {0, 1000, PART, PART + 1, 3 * PART + 17};
    struct oc *oc = *state;
    uint8_t *bytes = oc_bytes(3 * (size_t)PART + 17, 9);

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        const char *key = oc_key(oc, "large");
        struct slice object = slice_make(bytes, sizes[i]);
        struct upload_options options = upload_of(key, &object);
        struct upload_report report;
        struct err err = {0};

        options.condition = oc->subject->no_conditions ? OBJSTORE_ALWAYS : OBJSTORE_IF_ABSENT;
        if (objstore_upload(oc->s, &options, &report, &err) != ST_OK)
            fail_msg("%zu bytes: %s", sizes[i], err.text);
        assert_false(report.found);
        oc_expect_content(oc, key, object);
        expect_etag(oc, key, report.etag);
        if (oc->subject->no_conditions)
            continue;
        assert_int_equal(objstore_upload(oc->s, &options, &report, NULL), ST_OK);
        assert_true(report.found);
        oc_expect_free(oc, (struct objstore_req){.op = OBJSTORE_DELETE, .key = key}, OBJSTORE_OK);
    }
    mem_free(bytes);
}

/* What the store says to the second completion decides nothing; the object does. */
static void an_upload_whose_completion_was_lost_is_there(void **state)
{
    struct oc *oc = *state;
    uint8_t *bytes = oc_bytes(PART + 17, 10);
    struct slice object = slice_make(bytes, PART + 17);

    for (unsigned round = 0; round < 2; round++) {
        const struct objstore_fault lost = {.kind = OBJSTORE_FAULT_LOSE,
                                            .ops = 1u << OBJSTORE_UPLOAD_COMPLETE};
        struct upload_options options = upload_of(oc_key(oc, "large"), &object);
        struct objstore *faults = NULL;
        struct upload_report report;
        struct err err = {0};

        if (round == 1 && !oc->subject->no_conditions)
            options.condition = OBJSTORE_IF_ABSENT;
        assert_int_equal(objstore_faults_open(oc_open(oc), 1, &faults, NULL), ST_OK);
        assert_int_equal(objstore_faults_add(faults, &lost, NULL, NULL), ST_OK);
        if (objstore_upload(faults, &options, &report, &err) != ST_OK)
            fail_msg("%s", err.text);
        assert_false(report.left_behind);
        objstore_close(faults);
        oc_expect_content(oc, options.key, object);
        oc_expect_free(oc, (struct objstore_req){.op = OBJSTORE_DELETE, .key = options.key},
                       OBJSTORE_OK);
    }
    mem_free(bytes);
}

size_t oc_uploads(struct CMUnitTest *out)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_become_one_object),
        cmocka_unit_test(parts_come_in_any_order_and_may_come_again),
        cmocka_unit_test(one_small_part_is_enough),
        cmocka_unit_test(an_aborted_upload_is_gone),
        cmocka_unit_test(a_missing_or_exchanged_part_completes_nothing),
        cmocka_unit_test(a_small_part_before_the_last_completes_nothing),
        cmocka_unit_test(a_completion_keeps_to_its_condition),
        cmocka_unit_test(a_repeated_completion_changes_nothing),
        cmocka_unit_test(uploads_of_one_key_do_not_meet),
        cmocka_unit_test(an_object_of_any_size_goes_up),
        cmocka_unit_test(an_upload_whose_completion_was_lost_is_there),
    };

    memcpy(out, tests, sizeof tests);
    return COUNT_OF(tests);
}
