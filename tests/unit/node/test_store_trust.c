/* Who may write to which store: from every combination of what can be known. */
#include "node/store_trust.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char *const NAMES[] = {"", "me", "other"};

/* However the facts lie: written is only to a store that keeps conditions and was never found
 * wanting, or by the one node that a person named, where nobody else is named. */
static void nobody_writes_who_should_not(void **state)
{
    unsigned full = 0;
    unsigned pinned = 0;

    (void)state;
    for (unsigned code = 0; code < 5 * 2 * 2 * 3 * 3; code++) {
        const struct store_facts f = {.grade = (enum probe_grade)(code % 5),
                                      .verdict = "verdict",
                                      .distrusted = code / 5 % 2 != 0,
                                      .marker_known = code / 10 % 2 != 0,
                                      .marker = NAMES[code / 20 % 3],
                                      .pinned_owner = NAMES[code / 60 % 3],
                                      .node_id = "me"};
        char text[STORE_TEXT_BYTES];
        enum store_mode mode = store_decide(&f, text);
        bool others = strcmp(f.marker, "other") == 0 || strcmp(f.pinned_owner, "other") == 0;

        if (others)
            assert_int_equal(mode, STORE_REFUSED);
        if (mode == STORE_FULL) {
            full++;
            assert_int_equal(f.grade, PROBE_GRADE_A);
            assert_false(f.distrusted);
            assert_string_equal(f.marker, "");
            assert_string_equal(f.pinned_owner, "");
        }
        if (mode == STORE_PINNED) {
            pinned++;
            assert_string_equal(f.pinned_owner, "me");
            assert_true(f.marker_known);
            assert_true(f.grade != PROBE_GRADE_NONE && f.grade != PROBE_GRADE_UNFIT);
        }
        if (f.grade == PROBE_GRADE_UNFIT)
            assert_int_equal(mode, STORE_REFUSED);
        assert_int_equal(text[0] == '\0', mode == STORE_FULL || mode == STORE_UNPROVEN);
    }
    assert_int_equal(full, 2); /* marker_known or not */
    assert_int_equal(pinned, 3 * 2 * 2);
}

static void a_grade_never_mends_what_was_seen(void **state)
{
    struct store_facts f = {.grade = PROBE_GRADE_A,
                            .verdict = "",
                            .distrusted = true,
                            .marker_known = true,
                            .marker = "",
                            .pinned_owner = "",
                            .node_id = "me"};
    char text[STORE_TEXT_BYTES];

    (void)state;
    assert_int_equal(store_decide(&f, text), STORE_REFUSED);
    assert_non_null(strstr(text, "--accept"));
    f.distrusted = false;
    f.marker = "me";
    assert_int_equal(store_decide(&f, text), STORE_REFUSED);
    assert_non_null(strstr(text, "--accept"));
    f.marker = "";
    assert_int_equal(store_decide(&f, text), STORE_FULL);
}

static struct store_memory whole(void)
{
    struct store_memory m = {.grade = PROBE_GRADE_C,
                             .distrusted = true,
                             .probed_at_ns = 0x0123456789abcdef,
                             .server = "MinIO",
                             .store = "s3 http://127.0.0.1:9000/bucket"};

    memset(m.verdict, 'v', sizeof m.verdict - 1);
    return m;
}

/* Cut at every byte it is none; one more byte too. */
static void memory_comes_back_whole_or_not_at_all(void **state)
{
    struct store_memory m = whole();
    struct store_memory back = {0};
    struct buf b;

    (void)state;
    buf_init(&b, STORE_MEMORY_BYTES_MAX);
    store_memory_encode(&m, &b);
    assert_false(b.failed);
    assert_true(store_memory_decode(buf_slice(&b), &back));
    assert_memory_equal(&back, &m, sizeof m);
    for (size_t n = 0; n < b.bytes; n++)
        assert_false(store_memory_decode(slice_make(b.data, n), &back));
    buf_put_u8(&b, 0);
    assert_false(store_memory_decode(buf_slice(&b), &back));
    b.bytes--;
    for (size_t bit = 0; bit < b.bytes * 8; bit++) { /* kv has a checksum; nothing may break here */
        b.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        (void)!store_memory_decode(buf_slice(&b), &back);
        b.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_writes_who_should_not),
        cmocka_unit_test(a_grade_never_mends_what_was_seen),
        cmocka_unit_test(memory_comes_back_whole_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
