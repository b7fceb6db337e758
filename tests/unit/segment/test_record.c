/* The record codec: round trips, the released bytes, and what damage may not do. */
#include "base/json.h"
#include "base/mem.h"
#include "base/rand.h"
#include "segment/record.h"
#include "tests/support/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

enum { DIM = 3 };
static uint64_t seed = 20240601;

static void put_payload(struct buf *b, const char *json)
{
    struct jdoc *doc;
    struct jval root;

    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    assert_int_equal(jdoc_parse(doc, slice_text(json), &root, NULL), ST_OK);
    jbin_put(b, root);
    assert_false(b->failed);
    jdoc_destroy(doc);
}

/* Three rows: one for each kind of id, with none, one and two vectors. */
static status put_upsert(struct buf *out, struct slice payload)
{
    static const float first[DIM] = {1.0f, -0.5f, 0.25f};
    static const float second[2] = {3.5f, -4.0f};
    const struct record_vector vectors[] = {{.field = 0, .dim = DIM, .values = first},
                                            {.field = 7, .dim = 2, .values = second}};
    struct docid id = docid_u64(42);
    struct record_writer w;

    record_begin(&w, out, RECORD_UPSERT, 1700000000123456789u);
    record_put_row(&w, &id, slice_text("ext-42"), payload, vectors, 1);
    id.kind = DOCID_UUID;
    for (unsigned i = 0; i < 16; i++)
        id.uuid[i] = (uint8_t)(i * 17);
    record_put_row(&w, &id, slice_text(""), (struct slice){0}, vectors, 2);
    id = (struct docid){.kind = DOCID_BYTES, .bytes = slice_text("a key")};
    record_put_row(&w, &id, slice_text("x"), payload, NULL, 0);
    return record_end(&w, NULL);
}

static void put_delete(struct buf *out)
{
    struct docid id = docid_u64(UINT64_MAX);
    struct record_writer w;

    record_begin(&w, out, RECORD_DELETE, 5);
    record_put_id(&w, &id);
    id = (struct docid){.kind = DOCID_BYTES, .bytes = slice_text("gone")};
    record_put_id(&w, &id);
    assert_int_equal(record_end(&w, NULL), ST_OK);
}

static void put_settings(struct buf *out)
{
    struct record_writer w;

    record_begin(&w, out, RECORD_SETTINGS, 6);
    record_put_setting(&w, slice_text("ef_search"), slice_text("120"));
    record_put_setting(&w, slice_text("empty"), slice_text(""));
    assert_int_equal(record_end(&w, NULL), ST_OK);
}

/* Reads all of it, vectors too; the status that ended it, ST_OK for a whole record. */
static status read_all(struct slice bytes, uint32_t *items)
{
    struct record r;
    struct record_row row;
    struct slice key;
    struct slice value;
    struct docid id;
    float vector[DIM];
    status st = record_open(bytes, &r, NULL);

    *items = 0;
    while (st == ST_OK) {
        if (r.kind == RECORD_UPSERT)
            st = record_next_row(&r, &row, NULL);
        else if (r.kind == RECORD_DELETE)
            st = record_next_id(&r, &id, NULL);
        else
            st = record_next_setting(&r, &key, &value, NULL);
        if (st != ST_OK)
            break;
        (*items)++;
        if (r.kind == RECORD_UPSERT) {
            status vst = record_row_vector(&row, 0, vector, DIM, NULL);

            assert_true(vst == ST_OK || vst == ST_NOT_FOUND || vst == ST_CORRUPT);
        }
    }
    return st == ST_NOT_FOUND ? ST_OK : st;
}

/* As read_all, from memory that ends where the record does, so that a read outside is seen. */
static status read_copy(const uint8_t *data, size_t bytes, uint32_t *items)
{
    uint8_t *copy = malloc(bytes == 0 ? 1 : bytes);
    status st;

    assert_non_null(copy);
    memcpy(copy, data, bytes);
    st = read_all(slice_make(copy, bytes), items);
    free(copy);
    return st;
}

struct fixture {
    struct buf payload, upsert, erase, settings;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    buf_init(&f->payload, 4096);
    buf_init(&f->upsert, 4096);
    buf_init(&f->erase, 4096);
    buf_init(&f->settings, 4096);
    put_payload(&f->payload, "{\"title\":\"caf\\u00e9\",\"n\":[1,2.5,null,true]}");
    assert_int_equal(put_upsert(&f->upsert, buf_slice(&f->payload)), ST_OK);
    put_delete(&f->erase);
    put_settings(&f->settings);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    buf_free(&f->payload);
    buf_free(&f->upsert);
    buf_free(&f->erase);
    buf_free(&f->settings);
    free(f);
    return 0;
}

static void rows_come_back_as_they_were_put(void **state)
{
    struct fixture *f = *state;
    struct record r;
    struct record_row row;
    float v[DIM];

    assert_int_equal(record_open(buf_slice(&f->upsert), &r, NULL), ST_OK);
    assert_int_equal(r.kind, RECORD_UPSERT);
    assert_int_equal(r.rows, 3);
    assert_int_equal(r.inserted_at_ns, 1700000000123456789u);

    assert_int_equal(record_next_row(&r, &row, NULL), ST_OK);
    assert_int_equal(row.id.kind, DOCID_U64);
    assert_int_equal(row.id.u64, 42);
    assert_true(slice_equal(row.external_id, slice_text("ext-42")));
    assert_true(slice_equal(row.payload, buf_slice(&f->payload)));
    assert_int_equal(record_row_vector(&row, 0, v, DIM, NULL), ST_OK);
    assert_true(v[0] == 1.0f && v[1] == -0.5f && v[2] == 0.25f);
    assert_int_equal(record_row_vector(&row, 7, v, 2, NULL), ST_NOT_FOUND);
    assert_int_equal(record_row_vector(&row, 0, v, 2, NULL), ST_CORRUPT);

    assert_int_equal(record_next_row(&r, &row, NULL), ST_OK);
    assert_int_equal(row.id.kind, DOCID_UUID);
    assert_int_equal(row.id.uuid[15], 255);
    assert_int_equal(row.payload.bytes, 0);
    assert_int_equal(record_row_vector(&row, 7, v, 2, NULL), ST_OK);
    assert_true(v[0] == 3.5f && v[1] == -4.0f);

    assert_int_equal(record_next_row(&r, &row, NULL), ST_OK);
    assert_int_equal(row.id.kind, DOCID_BYTES);
    assert_true(slice_equal(row.id.bytes, slice_text("a key")));
    assert_int_equal(row.vector_count, 0);
    assert_int_equal(record_next_row(&r, &row, NULL), ST_NOT_FOUND);
}

static void ids_and_settings_come_back_as_they_were_put(void **state)
{
    struct fixture *f = *state;
    struct record r;
    struct docid id;
    struct slice key;
    struct slice value;

    assert_int_equal(record_open(buf_slice(&f->erase), &r, NULL), ST_OK);
    assert_int_equal(record_next_id(&r, &id, NULL), ST_OK);
    assert_int_equal(id.u64, UINT64_MAX);
    assert_int_equal(record_next_id(&r, &id, NULL), ST_OK);
    assert_true(slice_equal(id.bytes, slice_text("gone")));
    assert_int_equal(record_next_id(&r, &id, NULL), ST_NOT_FOUND);

    assert_int_equal(record_open(buf_slice(&f->settings), &r, NULL), ST_OK);
    assert_int_equal(record_next_setting(&r, &key, &value, NULL), ST_OK);
    assert_true(slice_equal(key, slice_text("ef_search")));
    assert_true(slice_equal(value, slice_text("120")));
    assert_int_equal(record_next_setting(&r, &key, &value, NULL), ST_OK);
    assert_int_equal(value.bytes, 0);
    assert_int_equal(record_next_setting(&r, &key, &value, NULL), ST_NOT_FOUND);
}

static void released_bytes_are_read_and_written_again(void **state)
{
    struct fixture *f = *state;
    const char *names[] = {"record-v1-upsert.hex", "record-v1-delete.hex",
                           "record-v1-settings.hex"};
    const struct buf *today[] = {&f->upsert, &f->erase, &f->settings};
    const uint32_t items[] = {3, 2, 2};

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct slice stored;
        uint32_t n;

        golden_check(names[i], buf_slice(today[i]));
        stored = golden_read(names[i]);
        assert_int_equal(read_all(stored, &n), ST_OK);
        assert_int_equal(n, items[i]);
        mem_free((void *)(uintptr_t)stored.data);
    }
}

/* Every proper prefix misses something its header promised. */
static void a_cut_at_any_byte_is_corruption(void **state)
{
    struct fixture *f = *state;
    const struct buf *records[] = {&f->upsert, &f->erase, &f->settings};

    for (size_t i = 0; i < COUNT_OF(records); i++)
        for (size_t cut = 0; cut < records[i]->bytes; cut++) {
            uint32_t n;

            assert_int_equal(read_copy(records[i]->data, cut, &n), ST_CORRUPT);
        }
}

/* The frame's crc finds flips; here they may only not lead outside or give more than was there. */
static void a_flipped_bit_never_leads_outside(void **state)
{
    struct fixture *f = *state;
    const struct buf *records[] = {&f->upsert, &f->erase, &f->settings};

    for (size_t i = 0; i < COUNT_OF(records); i++)
        for (size_t bit = 0; bit < records[i]->bytes * 8; bit++) {
            uint8_t copy[4096];
            uint32_t n;
            status st;

            memcpy(copy, records[i]->data, records[i]->bytes);
            copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
            st = read_copy(copy, records[i]->bytes, &n);
            assert_true(st == ST_OK || st == ST_CORRUPT || st == ST_UNSUPPORTED);
            assert_in_range(n, 0, 64);
        }
}

static void random_damage_never_leads_outside(void **state)
{
    struct fixture *f = *state;
    const struct buf *records[] = {&f->upsert, &f->erase, &f->settings};
    struct rand_seeded rand;

    rand_seeded_init(&rand, seed);
    for (unsigned round = 0; round < 30000; round++) {
        const struct buf *from = records[rand_below(&rand.source, 3)];
        uint8_t copy[4096];
        size_t bytes = from->bytes - rand_below(&rand.source, from->bytes / 2);
        uint64_t edits = 1 + rand_below(&rand.source, 8);
        uint32_t n;
        status st;

        memcpy(copy, from->data, from->bytes);
        for (uint64_t e = 0; e < edits; e++)
            copy[rand_below(&rand.source, bytes)] = (uint8_t)rand_u64(&rand.source);
        st = read_copy(copy, bytes, &n);
        if (st != ST_OK && st != ST_CORRUPT && st != ST_UNSUPPORTED)
            fail_msg("status %s seed=%llu round=%u", status_name(st), (unsigned long long)seed,
                     round);
    }
}

static void a_newer_version_and_reserved_kinds_are_unsupported(void **state)
{
    struct fixture *f = *state;
    struct record r;
    struct err err;
    uint8_t copy[4096];

    memcpy(copy, f->upsert.data, f->upsert.bytes);
    copy[1] = 2;
    assert_int_equal(record_open(slice_make(copy, f->upsert.bytes), &r, &err), ST_UNSUPPORTED);
    assert_non_null(strstr(err.text, "newer"));
    copy[1] = 1;
    copy[0] = 3;
    assert_int_equal(record_open(slice_make(copy, f->upsert.bytes), &r, &err), ST_UNSUPPORTED);
    copy[0] = 9;
    assert_int_equal(record_open(slice_make(copy, f->upsert.bytes), &r, &err), ST_CORRUPT);
}

static void bytes_after_the_last_item_are_corruption(void **state)
{
    struct fixture *f = *state;
    uint32_t n;

    buf_put_u8(&f->upsert, 0);
    assert_int_equal(read_copy(f->upsert.data, f->upsert.bytes, &n), ST_CORRUPT);
    assert_int_equal(n, 3);
}

static void a_row_count_the_bytes_cannot_hold_is_refused_at_once(void **state)
{
    struct fixture *f = *state;
    struct record r;

    buf_set_u32(&f->upsert, 4, RECORD_ROWS_MAX);
    assert_int_equal(record_open(buf_slice(&f->upsert), &r, NULL), ST_CORRUPT);
    buf_set_u32(&f->upsert, 4, UINT32_MAX);
    assert_int_equal(record_open(buf_slice(&f->upsert), &r, NULL), ST_CORRUPT);
}

static void one_row(struct buf *out, const struct record_vector *vectors, uint16_t count)
{
    struct docid id = docid_u64(1);
    struct record_writer w;

    buf_reset(out);
    record_begin(&w, out, RECORD_UPSERT, 0);
    record_put_row(&w, &id, (struct slice){0}, (struct slice){0}, vectors, count);
    assert_int_equal(record_end(&w, NULL), ST_OK);
}

static void a_field_that_occurs_twice_is_corruption(void **state)
{
    struct fixture *f = *state;
    const float v[DIM] = {0};
    const struct record_vector doubled[] = {{.field = 4, .dim = DIM, .values = v},
                                            {.field = 4, .dim = DIM, .values = v}};
    uint32_t n;

    one_row(&f->upsert, doubled, 2);
    assert_int_equal(read_all(buf_slice(&f->upsert), &n), ST_CORRUPT);
}

static void values_that_are_not_finite_are_corruption(void **state)
{
    struct fixture *f = *state;
    const float bad[] = {INFINITY, -INFINITY, NAN};

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        float v[DIM] = {1, 2, bad[i]};
        const struct record_vector vector = {.field = 0, .dim = DIM, .values = v};
        struct record r;
        struct record_row row;

        one_row(&f->upsert, &vector, 1);
        assert_int_equal(record_open(buf_slice(&f->upsert), &r, NULL), ST_OK);
        assert_int_equal(record_next_row(&r, &row, NULL), ST_OK);
        assert_int_equal(record_row_vector(&row, 0, v, DIM, NULL), ST_CORRUPT);
    }
}

static void a_payload_that_is_no_blob_is_corruption(void **state)
{
    struct fixture *f = *state;
    struct docid id = docid_u64(1);
    struct record_writer w;
    uint32_t n;

    buf_reset(&f->upsert);
    record_begin(&w, &f->upsert, RECORD_UPSERT, 0);
    record_put_row(&w, &id, (struct slice){0}, slice_text("\xff\xff\xff"), NULL, 0);
    assert_int_equal(record_end(&w, NULL), ST_OK);
    assert_int_equal(read_all(buf_slice(&f->upsert), &n), ST_CORRUPT);
}

static void an_item_over_its_limit_is_refused_by_the_writer(void **state)
{
    static uint8_t big[RECORD_VALUE_BYTES_MAX + 1];
    struct fixture *f = *state;
    const struct record_vector flat = {.field = 0, .dim = 0, .values = NULL};
    const struct docid id = docid_u64(1);
    const struct docid empty = {.kind = DOCID_BYTES, .bytes = {0}};
    struct slice none = {0};
    struct record_writer w;

    for (unsigned which = 0; which < 7; which++) {
        enum record_kind kind = which < 4   ? RECORD_UPSERT
                                : which < 5 ? RECORD_DELETE
                                            : RECORD_SETTINGS;

        buf_reset(&f->upsert);
        record_begin(&w, &f->upsert, kind, 0);
        if (which == 0)
            record_put_row(&w, &id, slice_make(big, RECORD_EXTERNAL_ID_BYTES_MAX + 1), none, NULL,
                           0);
        else if (which == 1)
            record_put_row(&w, &id, none, none, &flat, 1);
        else if (which == 2)
            record_put_row(&w, &empty, none, none, NULL, 0);
        else if (which == 3)
            record_put_row(&w, &id, none, none, &flat, RECORD_FIELDS_MAX + 1);
        else if (which == 4)
            record_put_id(&w, &empty);
        else if (which == 5)
            record_put_setting(&w, none, slice_text("v"));
        else
            record_put_setting(&w, slice_text("k"), slice_make(big, sizeof big));
        assert_int_equal(record_end(&w, NULL), ST_INVALID);
    }
}

static void a_record_over_the_buffer_says_so(void **state)
{
    struct fixture *f = *state;
    struct buf small;

    buf_init(&small, f->upsert.bytes - 1);
    assert_int_equal(put_upsert(&small, buf_slice(&f->payload)), ST_NOSPACE);
    buf_free(&small);
}

static void encoding_survives_each_allocation_failing(void **state)
{
    struct fixture *f = *state;

    for (int64_t n = 0;; n++) {
        struct buf out;
        int64_t asked;
        status st;

        buf_init(&out, 4096);
        mem_test_fail_after(n);
        st = put_upsert(&out, buf_slice(&f->payload));
        asked = mem_test_count();
        mem_test_fail_after(-1);
        buf_free(&out);
        assert_int_equal(st, asked > n ? ST_NOMEM : ST_OK);
        if (asked <= n)
            return;
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_come_back_as_they_were_put, setup, teardown),
        cmocka_unit_test_setup_teardown(ids_and_settings_come_back_as_they_were_put, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(released_bytes_are_read_and_written_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cut_at_any_byte_is_corruption, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flipped_bit_never_leads_outside, setup, teardown),
        cmocka_unit_test_setup_teardown(random_damage_never_leads_outside, setup, teardown),
        cmocka_unit_test_setup_teardown(a_newer_version_and_reserved_kinds_are_unsupported, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(bytes_after_the_last_item_are_corruption, setup, teardown),
        cmocka_unit_test_setup_teardown(a_row_count_the_bytes_cannot_hold_is_refused_at_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_field_that_occurs_twice_is_corruption, setup, teardown),
        cmocka_unit_test_setup_teardown(values_that_are_not_finite_are_corruption, setup, teardown),
        cmocka_unit_test_setup_teardown(a_payload_that_is_no_blob_is_corruption, setup, teardown),
        cmocka_unit_test_setup_teardown(an_item_over_its_limit_is_refused_by_the_writer, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_record_over_the_buffer_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(encoding_survives_each_allocation_failing, setup, teardown),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
