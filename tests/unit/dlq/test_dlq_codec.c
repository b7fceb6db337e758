/* A letter's bytes: what was written by version 1, every cut, every flipped bit, every field out of
 * range. */
#include "dlq/dlq_internal.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/golden.h"

#include <stdio.h>
#include <stdlib.h>

static struct letter sample(void)
{
    struct letter l = {.id = 0x0102030405060708,
                       .kind = LETTER_WAL_GROUP,
                       .state = LETTER_PARKED,
                       .epoch = 7,
                       .seq = 9,
                       .lsn_first = 100,
                       .lsn_last = 220,
                       .bytes = 4096,
                       .http_status = 403,
                       .attempts = 5,
                       .first_failed_ns = UINT64_C(1700000000000000000),
                       .last_failed_ns = UINT64_C(1700000005000000000),
                       .blocking = true};

    for (uint8_t i = 0; i < 16; i++)
        l.collection[i] = (uint8_t)(0xa0 + i);
    (void)snprintf(l.key, sizeof l.key, "c/0f/id/w/7/9");
    (void)snprintf(l.class, sizeof l.class, "permanent");
    (void)snprintf(l.s3_code, sizeof l.s3_code, "AccessDenied");
    (void)snprintf(l.request_id, sizeof l.request_id, "4442587FB7D0A2F9");
    (void)snprintf(l.message, sizeof l.message, "Access Denied.");
    return l;
}

static struct slice encode(const struct letter *l, struct buf *out)
{
    struct err err;

    buf_init(out, DLQ_VALUE_BYTES_MAX);
    if (letter_encode(l, out, &err) != ST_OK)
        fail_msg("%s", err.text);
    return buf_slice(out);
}

static void assert_same(const struct letter *a, const struct letter *b)
{
    assert_int_equal(a->id, b->id);
    assert_memory_equal(a->collection, b->collection, 16);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->epoch, b->epoch);
    assert_int_equal(a->seq, b->seq);
    assert_int_equal(a->lsn_first, b->lsn_first);
    assert_int_equal(a->lsn_last, b->lsn_last);
    assert_int_equal(a->bytes, b->bytes);
    assert_string_equal(a->key, b->key);
    assert_string_equal(a->file, b->file);
    assert_string_equal(a->class, b->class);
    assert_string_equal(a->s3_code, b->s3_code);
    assert_string_equal(a->request_id, b->request_id);
    assert_string_equal(a->message, b->message);
    assert_int_equal(a->http_status, b->http_status);
    assert_int_equal(a->attempts, b->attempts);
    assert_int_equal(a->first_failed_ns, b->first_failed_ns);
    assert_int_equal(a->last_failed_ns, b->last_failed_ns);
    assert_int_equal(a->blocking, b->blocking);
}

static void released_bytes_are_read_and_written_again(void **state)
{
    struct letter want = sample();
    struct letter got;
    struct slice golden;
    struct buf bytes;
    uint8_t key[DLQ_KEY_BYTES];
    struct err err;

    (void)state;
    golden_check("letter-v1.hex", encode(&want, &bytes));
    golden = golden_read("letter-v1.hex");
    letter_key(want.collection, want.id, key);
    if (letter_decode(slice_make(key, sizeof key), golden, &got, &err) != ST_OK)
        fail_msg("%s", err.text);
    assert_same(&got, &want);
    mem_free((void *)(uintptr_t)golden.data);
    buf_free(&bytes);
}

static void keys_sort_by_collection_and_id(void **state)
{
    uint8_t collection[16] = {1};
    uint8_t a[DLQ_KEY_BYTES];
    uint8_t b[DLQ_KEY_BYTES];

    (void)state;
    letter_key(collection, 255, a);
    letter_key(collection, 256, b);
    assert_true(memcmp(a, b, sizeof a) < 0);
    collection[0] = 2;
    letter_key(collection, 1, a);
    assert_true(memcmp(a, b, sizeof a) > 0);
}

/* A cut is always found. A flipped bit is the store's to find (its checksum covers key and value):
 * here it is refused or gives a letter in range, and nothing is read outside. */
static void cuts_and_flipped_bits_are_refused_or_in_range(void **state)
{
    struct letter want = sample();
    struct letter got;
    struct buf bytes;
    struct slice whole = encode(&want, &bytes);
    uint8_t key[DLQ_KEY_BYTES];
    struct err err;
    size_t refused = 0;

    (void)state;
    letter_key(want.collection, want.id, key);
    for (size_t cut = 0; cut < whole.bytes; cut++) {
        uint8_t *copy = malloc(cut > 0 ? cut : 1);

        assert_non_null(copy);
        memcpy(copy, whole.data, cut);
        assert_int_equal(
            letter_decode(slice_make(key, sizeof key), slice_make(copy, cut), &got, &err),
            ST_CORRUPT);
        assert_int_equal(err.code, ST_CORRUPT);
        free(copy);
    }
    for (size_t bit = 0; bit < whole.bytes * 8; bit++) {
        status st;

        bytes.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        st = letter_decode(slice_make(key, sizeof key), whole, &got, &err);
        refused += st != ST_OK;
        if (st == ST_OK) {
            struct buf again;

            assert_true(slice_equal(encode(&got, &again), whole));
            buf_free(&again);
        }
        bytes.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    assert_true(refused > 100);
    for (size_t cut = 0; cut < sizeof key; cut++)
        assert_int_equal(letter_decode(slice_make(key, cut), whole, &got, &err), ST_CORRUPT);
    buf_free(&bytes);
}

static void fields_out_of_range_are_not_written(void **state)
{
    struct letter bad[5];
    struct buf out;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        bad[i] = sample();
    bad[0].kind = 0;
    bad[1].kind = 7;
    bad[2].state = 3;
    bad[3].http_status = 1000;
    bad[4].lsn_first = bad[4].lsn_last + 1;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        buf_init(&out, DLQ_VALUE_BYTES_MAX);
        assert_int_equal(letter_encode(&bad[i], &out, NULL), ST_INVALID);
        assert_int_equal(out.bytes, 0);
        buf_free(&out);
    }
}

static void a_newer_version_is_named(void **state)
{
    struct letter l = sample();
    struct letter got;
    struct buf bytes;
    struct slice whole = encode(&l, &bytes);
    uint8_t key[DLQ_KEY_BYTES];
    struct err err;

    (void)state;
    letter_key(l.collection, l.id, key);
    bytes.data[0] = 2;
    assert_int_equal(letter_decode(slice_make(key, sizeof key), whole, &got, &err), ST_UNSUPPORTED);
    assert_non_null(strstr(err.text, "version 2"));
    buf_free(&bytes);
}

static void the_longest_texts_fit(void **state)
{
    struct letter l = sample();
    struct letter got;
    struct buf bytes;
    uint8_t key[DLQ_KEY_BYTES];

    (void)state;
    memset(l.key, 'k', sizeof l.key - 1);
    memset(l.file, 'f', sizeof l.file - 1);
    memset(l.class, 'c', sizeof l.class - 1);
    memset(l.s3_code, 's', sizeof l.s3_code - 1);
    memset(l.request_id, 'r', sizeof l.request_id - 1);
    memset(l.message, 'm', sizeof l.message - 1);
    letter_key(l.collection, l.id, key);
    assert_int_equal(letter_decode(slice_make(key, sizeof key), encode(&l, &bytes), &got, NULL),
                     ST_OK);
    assert_same(&got, &l);
    buf_free(&bytes);
}

static void kinds_have_names_that_parse(void **state)
{
    enum letter_kind kind;

    (void)state;
    for (int k = LETTER_WAL_GROUP; k <= LETTER_GC_DELETE; k++) {
        assert_true(letter_kind_parse(letter_kind_name((enum letter_kind)k), &kind));
        assert_int_equal(kind, k);
    }
    assert_false(letter_kind_parse("wal", &kind));
    assert_string_equal(letter_kind_name((enum letter_kind)99), "unknown");
    assert_string_equal(letter_state_name(LETTER_RETRYING), "retrying");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(released_bytes_are_read_and_written_again),
        cmocka_unit_test(keys_sort_by_collection_and_id),
        cmocka_unit_test(cuts_and_flipped_bits_are_refused_or_in_range),
        cmocka_unit_test(fields_out_of_range_are_not_written),
        cmocka_unit_test(a_newer_version_is_named),
        cmocka_unit_test(the_longest_texts_fit),
        cmocka_unit_test(kinds_have_names_that_parse),
    };

    return cmocka_run_group_tests_name("dlq_codec", tests, NULL, NULL);
}
