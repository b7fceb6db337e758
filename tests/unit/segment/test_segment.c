/* Segments: rows, ids and tombstones come back; released bytes, damage, limits. */
#include "base/mem.h"
#include "segment/segment.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/golden.h"
#include "tests/unit/segment/attack.h"

static uint64_t seed = 20261126;
static const uint8_t DOCS[16] = {0x33, 1};
enum { DIM = 3, IDS = 7 };

/* Ids of all kinds, not in their order. */
static struct docid id_of(unsigned i)
{
    static const char *const texts[] = {"b", "a long one, so that it is no u64", "ab"};
    struct docid id = {.kind = DOCID_UUID};

    switch (i % IDS) {
    case 0:
    case 1:
        return docid_u64(1000 - i);
    case 2:
    case 3:
        memset(id.uuid, (int)(200 - i), 16);
        return id;
    default:
        id.kind = DOCID_BYTES;
        id.bytes = slice_text(texts[i % IDS - 4]);
        return id;
    }
}

static uint64_t lsn_of(unsigned i)
{
    return 50 + (i * 7) % 31;
}

static status add_row(struct segment_writer *w, unsigned i)
{
    const float values[DIM] = {(float)i, 0.5F, -1};
    struct record_vector vectors[] = {{0, DIM, values}, {9, 1, values}};
    struct docid id = id_of(i);

    return segment_add_row(w, lsn_of(i), 1000 + i, &id, slice_text(i % 2 == 0 ? "" : "outside"),
                           (struct slice){0}, vectors, (uint16_t)(i % 3), NULL);
}

static status write_segment(unsigned rows, unsigned tombstones, struct segment_writer **out,
                            struct segment_head *head, struct slice *bytes)
{
    struct segment_writer *w = NULL;
    status st = segment_create(DOCS, 60, &w, NULL);

    for (unsigned i = 0; st == ST_OK && i < rows; i++)
        st = add_row(w, i);
    for (unsigned i = 0; st == ST_OK && i < tombstones; i++) {
        struct docid id = id_of(i);

        st = segment_add_tombstone(w, 900 - i, &id, NULL);
    }
    if (st == ST_OK)
        st = segment_finish(w, head, bytes, NULL);
    if (st != ST_OK) {
        segment_writer_destroy(w);
        return st;
    }
    *out = w;
    return ST_OK;
}

static status see_row(void *arg, const struct segment_row *row, struct err *err)
{
    unsigned *next = arg;
    unsigned i = (*next)++;
    struct docid id = id_of(i);
    float values[DIM];

    (void)err;
    assert_true(docid_equal(&row->row.id, &id));
    assert_int_equal(row->lsn, lsn_of(i));
    assert_int_equal(row->inserted_at_ns, 1000 + i);
    assert_true(slice_equal(row->row.external_id, slice_text(i % 2 == 0 ? "" : "outside")));
    assert_int_equal(row->row.vector_count, i % 3);
    if (i % 3 > 0) {
        assert_int_equal(record_row_vector(&row->row, 0, values, DIM, NULL), ST_OK);
        assert_true(values[0] == (float)i && values[2] == -1);
    }
    return ST_OK;
}

struct tombstones {
    unsigned seen;
    struct docid last;
    uint8_t copy[DOCID_BYTES_MAX];
};

static status see_tombstone(void *arg, uint64_t lsn, const struct docid *id, struct err *err)
{
    struct tombstones *t = arg;
    bool found = false;

    (void)err;
    for (unsigned i = 0; i < IDS; i++) {
        struct docid want = id_of(i);

        found = found || (lsn == 900 - i && docid_equal(id, &want));
    }
    assert_true(found);
    assert_true(t->seen == 0 || docid_compare(&t->last, id) < 0);
    t->seen++;
    t->last = *id;
    if (id->kind == DOCID_BYTES) {
        memcpy(t->copy, id->bytes.data, id->bytes.bytes);
        t->last.bytes.data = t->copy;
    }
    return ST_OK;
}

static void what_was_added_comes_back(void **state)
{
    struct tombstones tombstones = {0};
    struct segment_writer *w;
    struct segment_head head;
    struct segment *s;
    struct slice bytes;
    unsigned next = 0;

    (void)state;
    assert_int_equal(write_segment(IDS, IDS, &w, &head, &bytes), ST_OK);
    assert_int_equal(head.rows, IDS);
    assert_int_equal(head.tombstones, IDS);
    assert_int_equal(head.start_lsn, 60);
    assert_int_equal(head.lsn_min, 50);
    assert_int_equal(head.lsn_max, 78);
    assert_true(segment_bytes(w) < bytes.bytes && segment_bytes(w) + 500 > bytes.bytes);
    assert_int_equal(segment_open(bytes, DOCS, &s, NULL), ST_OK);
    assert_memory_equal(segment_head(s), &head, sizeof head);
    for (unsigned twice = 0; twice < 2; twice++) {
        next = 0;
        assert_int_equal(segment_each_row(s, see_row, &next, NULL), ST_OK);
        assert_int_equal(next, IDS);
    }
    assert_int_equal(segment_each_tombstone(s, see_tombstone, &tombstones, NULL), ST_OK);
    assert_int_equal(tombstones.seen, IDS);
    assert_int_equal(segment_check(s, NULL), ST_OK);
    segment_close(s);
    segment_writer_destroy(w);
}

static void an_empty_segment_is_one(void **state)
{
    struct segment_writer *w;
    struct segment_head head;
    struct segment *s;
    struct slice bytes;

    (void)state;
    assert_int_equal(write_segment(0, 0, &w, &head, &bytes), ST_OK);
    assert_int_equal(head.lsn_min, 0);
    assert_int_equal(head.lsn_max, 0);
    assert_int_equal(segment_open(bytes, DOCS, &s, NULL), ST_OK);
    assert_int_equal(segment_check(s, NULL), ST_OK);
    segment_close(s);
    segment_writer_destroy(w);
}

static status stop(void *arg, const struct segment_row *row, struct err *err)
{
    (void)row;
    return --*(unsigned *)arg == 0 ? err_set(err, ST_DENIED, "enough") : ST_OK;
}

static void a_caller_may_stop(void **state)
{
    struct segment_writer *w;
    struct segment_head head;
    struct segment *s;
    struct slice bytes;
    unsigned left = 2;

    (void)state;
    assert_int_equal(write_segment(IDS, 0, &w, &head, &bytes), ST_OK);
    assert_int_equal(segment_open(bytes, DOCS, &s, NULL), ST_OK);
    assert_int_equal(segment_each_row(s, stop, &left, NULL), ST_DENIED);
    assert_int_equal(left, 0);
    segment_close(s);
    segment_writer_destroy(w);
}

/* A row that was replaced while the segment was written stands there as it was and as it is. */
static void an_id_may_stand_there_with_two_lsns_but_not_twice_with_one(void **state)
{
    struct docid id = docid_u64(7);
    struct segment_writer *w;
    struct segment_head head;
    struct segment *s;
    struct slice bytes;

    (void)state;
    assert_int_equal(segment_create(DOCS, 1, &w, NULL), ST_OK);
    for (uint64_t lsn = 9; lsn > 3; lsn--)
        assert_int_equal(
            segment_add_row(w, lsn, 0, &id, (struct slice){0}, (struct slice){0}, NULL, 0, NULL),
            ST_OK);
    assert_int_equal(segment_finish(w, &head, &bytes, NULL), ST_OK);
    assert_int_equal(segment_open(bytes, DOCS, &s, NULL), ST_OK);
    assert_int_equal(segment_check(s, NULL), ST_OK);
    segment_close(s);
    segment_writer_destroy(w);

    assert_int_equal(segment_create(DOCS, 1, &w, NULL), ST_OK);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(
            segment_add_row(w, 9, 0, &id, (struct slice){0}, (struct slice){0}, NULL, 0, NULL),
            ST_OK);
    assert_int_equal(segment_finish(w, &head, &bytes, NULL), ST_INVALID);
    segment_writer_destroy(w);
}

static void what_does_not_fit_is_refused_and_leaves_nothing(void **state)
{
    struct docid long_id = {.kind = DOCID_BYTES, .bytes = slice_make(DOCS, DOCID_BYTES_MAX + 1)};
    struct docid unknown = {.kind = 9};
    struct docid id = docid_u64(7);
    struct slice none = {0};
    struct segment_writer *w;
    struct segment_head head;
    struct slice bytes;

    (void)state;
    assert_int_equal(segment_create(DOCS, 1, &w, NULL), ST_OK);
    assert_int_equal(segment_add_row(w, 0, 0, &id, none, none, NULL, 0, NULL), ST_INVALID);
    assert_int_equal(segment_add_row(w, 1, 0, &long_id, none, none, NULL, 0, NULL), ST_INVALID);
    assert_int_equal(segment_add_row(w, 1, 0, &unknown, none, none, NULL, 0, NULL), ST_INVALID);
    assert_int_equal(segment_add_row(w, 1, 0, &id, none, none, NULL, RECORD_FIELDS_MAX + 1, NULL),
                     ST_INVALID);
    assert_int_equal(segment_add_tombstone(w, 0, &id, NULL), ST_INVALID);
    assert_int_equal(segment_add_tombstone(w, 1, &long_id, NULL), ST_INVALID);
    assert_int_equal(segment_bytes(w), 0);
    assert_int_equal(segment_finish(w, &head, &bytes, NULL), ST_OK);
    assert_int_equal(head.rows, 0);
    assert_int_equal(head.tombstones, 0);
    assert_int_equal(segment_add_row(w, 1, 0, &id, none, none, NULL, 0, NULL), ST_BUG);
    assert_int_equal(segment_add_tombstone(w, 1, &id, NULL), ST_BUG);
    assert_int_equal(segment_finish(w, &head, &bytes, NULL), ST_BUG);
    segment_writer_destroy(w);
}

/* Full at 64 MiB; what is in it by then can be finished and read. */
static void a_full_segment_refuses_rows_and_is_finished(void **state)
{
    static float values[RECORD_DIM_MAX];
    struct record_vector vectors[] = {{0, RECORD_DIM_MAX, values},
                                      {1, RECORD_DIM_MAX, values},
                                      {2, RECORD_DIM_MAX, values},
                                      {3, RECORD_DIM_MAX, values}};
    struct slice none = {0};
    struct segment_writer *w;
    struct segment_head head;
    struct segment *s;
    struct slice bytes;
    status st = ST_OK;
    uint64_t i;

    (void)state;
    assert_int_equal(segment_create(DOCS, 1, &w, NULL), ST_OK);
    for (i = 0; st == ST_OK; i++) {
        struct docid id = docid_u64(i);

        st = segment_add_row(w, 1 + i, 0, &id, none, none, vectors, 4, NULL);
    }
    assert_int_equal(st, ST_NOSPACE);
    assert_true(i > 60);
    for (st = ST_OK; st == ST_OK; i++) { /* and to the last byte */
        struct docid id = docid_u64(i);

        st = segment_add_row(w, 1 + i, 0, &id, none, none, NULL, 0, NULL);
    }
    assert_int_equal(st, ST_NOSPACE);
    assert_int_equal(segment_finish(w, &head, &bytes, NULL), ST_OK);
    assert_true(bytes.bytes <= SEGMENT_BYTES_MAX);
    assert_int_equal(segment_open(bytes, DOCS, &s, NULL), ST_OK);
    assert_int_equal(segment_check(s, NULL), ST_OK);
    segment_close(s);
    segment_writer_destroy(w);
}

static void another_collection_s_segment_is_corruption(void **state)
{
    const uint8_t other[16] = {0x33, 2};
    struct segment_writer *w;
    struct segment_head head;
    struct segment *s;
    struct slice bytes;

    (void)state;
    assert_int_equal(write_segment(1, 0, &w, &head, &bytes), ST_OK);
    assert_int_equal(segment_open(bytes, other, &s, NULL), ST_CORRUPT);
    segment_writer_destroy(w);
}

static status pass_row(void *arg, const struct segment_row *row, struct err *err)
{
    (void)arg;
    (void)row;
    (void)err;
    return ST_OK;
}

/* What `verify` does. Whatever it accepts the readers accept. */
static status decode(struct slice bytes)
{
    struct segment *s;
    status st = segment_open(bytes, DOCS, &s, NULL);

    if (st != ST_OK)
        return st;
    st = segment_check(s, NULL);
    if (st == ST_OK)
        assert_int_equal(segment_each_row(s, pass_row, NULL, NULL), ST_OK);
    segment_close(s);
    return st;
}

static void released_bytes_are_read_and_written_again(void **state)
{
    struct segment_writer *w;
    struct segment_head head;
    struct slice stored;
    struct slice bytes;

    (void)state;
    assert_int_equal(write_segment(IDS, 3, &w, &head, &bytes), ST_OK);
    golden_check("segment-v1.hex", bytes);
    stored = golden_read("segment-v1.hex");
    assert_int_equal(decode(stored), ST_OK);
    mem_free((void *)(uintptr_t)stored.data);
    segment_writer_destroy(w);
}

static void a_cut_or_a_flipped_bit_is_corruption(void **state)
{
    struct segment_writer *w;
    struct segment_head head;
    struct slice bytes;

    (void)state;
    assert_int_equal(write_segment(IDS, 3, &w, &head, &bytes), ST_OK);
    attack_cuts_and_flips(decode, bytes);
    segment_writer_destroy(w);
}

static void damage_under_good_checksums_never_leads_outside(void **state)
{
    struct segment_writer *w;
    struct segment_head head;
    struct slice bytes;

    (void)state;
    assert_int_equal(write_segment(IDS, 3, &w, &head, &bytes), ST_OK);
    assert_true(attack_container_edits(decode, bytes, 30000, seed) > 100);
    segment_writer_destroy(w);
}

/* Two entries of the id section change places, under checksums that are right: only the check of
 * sections against each other can see it. */
static void ids_that_are_not_the_rows_are_found(void **state)
{
    const struct docid ids[] = {docid_u64(1), docid_u64(2), docid_u64(3)};
    struct slice none = {0};
    struct segment_writer *w;
    struct segment_head head;
    struct slice bytes;
    size_t entry = 8 + 9;
    size_t row = 20 + 9 + 1 + 1 + 2;
    size_t at =
        SEAL_HEADER_BYTES + CONTAINER_UNIT_HEADER_BYTES + 3 * row + CONTAINER_UNIT_HEADER_BYTES;
    uint8_t *copy;

    (void)state;
    assert_int_equal(segment_create(DOCS, 1, &w, NULL), ST_OK);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(segment_add_row(w, 9, 0, &ids[i], none, none, NULL, 0, NULL), ST_OK);
    assert_int_equal(segment_finish(w, &head, &bytes, NULL), ST_OK);
    copy = malloc(bytes.bytes);
    assert_non_null(copy);
    for (unsigned which = 0; which < 6; which++) {
        memcpy(copy, bytes.data, bytes.bytes);
        assert_int_equal(le_u32(copy + at + entry), 1); /* the second entry is where we think */
        assert_int_equal(le_u32(copy + at + entry + 4), row);
        if (which == 0) { /* swapped */
            memcpy(copy + at, bytes.data + at + entry, entry);
            memcpy(copy + at + entry, bytes.data + at, entry);
        } else if (which == 1) { /* one twice, another missing */
            memcpy(copy + at, bytes.data + at + entry, entry);
        } else if (which == 2) { /* a row that is not there */
            le_put_u32(copy + at, 3);
        } else if (which == 3) { /* an offset within a row */
            le_put_u32(copy + at + 4, 1);
        } else if (which == 4) { /* an id that no row has */
            le_put_u64(copy + at + 9, 0);
        } /* 5: nothing wrong */
        seal_container(copy, bytes.bytes);
        assert_int_equal(decode(slice_make(copy, bytes.bytes)), which == 5 ? ST_OK : ST_CORRUPT);
    }
    free(copy);
    segment_writer_destroy(w);
}

static status write_and_read(void *arg)
{
    struct segment_writer *w = NULL;
    struct segment_head head;
    struct segment *s = NULL;
    struct slice bytes;
    unsigned next = 0;
    status st = write_segment(IDS, 3, &w, &head, &bytes);

    (void)arg;
    if (st == ST_OK)
        st = segment_open(bytes, DOCS, &s, NULL);
    if (st == ST_OK)
        st = segment_each_row(s, see_row, &next, NULL);
    if (st == ST_OK)
        st = segment_check(s, NULL);
    segment_close(s);
    segment_writer_destroy(w);
    return st;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(alloc_sweep(write_and_read, NULL) >= 10);
}

/* After an allocation that failed the row is not there, and the next one may be added: what comes
 * out is a good segment. */
static void a_segment_goes_on_after_a_failed_row(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 12; n++) {
        struct segment_writer *w;
        struct segment_head head;
        struct slice bytes;
        unsigned added = 0;
        status st;

        assert_int_equal(segment_create(DOCS, 60, &w, NULL), ST_OK);
        mem_test_fail_after(n);
        for (unsigned i = 0; i < IDS; i++)
            added += add_row(w, i) == ST_OK;
        mem_test_fail_after(-1);
        st = segment_finish(w, &head, &bytes, NULL);
        assert_true(st == ST_OK || st == ST_NOMEM);
        if (st == ST_OK) {
            assert_int_equal(head.rows, added);
            assert_int_equal(decode(bytes), ST_OK);
        }
        segment_writer_destroy(w);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_comes_back),
        cmocka_unit_test(an_empty_segment_is_one),
        cmocka_unit_test(a_caller_may_stop),
        cmocka_unit_test(an_id_may_stand_there_with_two_lsns_but_not_twice_with_one),
        cmocka_unit_test(what_does_not_fit_is_refused_and_leaves_nothing),
        cmocka_unit_test(a_full_segment_refuses_rows_and_is_finished),
        cmocka_unit_test(another_collection_s_segment_is_corruption),
        cmocka_unit_test(released_bytes_are_read_and_written_again),
        cmocka_unit_test(a_cut_or_a_flipped_bit_is_corruption),
        cmocka_unit_test(damage_under_good_checksums_never_leads_outside),
        cmocka_unit_test(ids_that_are_not_the_rows_are_found),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(a_segment_goes_on_after_a_failed_row),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
