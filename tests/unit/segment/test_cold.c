/* Cold segments: what was written is read, range by range, block by block, over all forms of ids,
 * fields and missing vectors; released bytes. */
#include "base/mem.h"
#include "index/cells.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/golden.h"
#include "tests/unit/segment/cold_case.h"

#include <stdlib.h>

static uint64_t seed = 20261122;

/* --- reading it back --- */

static void fields_are_the_same(const struct cold_case *c, const struct cold_footer *f)
{
    for (uint16_t i = 0; i < f->field_count; i++) {
        const struct cold_field *want = &c->fields[i].f;
        const struct cold_field *got = &f->fields[i];
        struct cells cells;

        assert_int_equal(got->field, want->field);
        assert_int_equal(got->dim, want->dim);
        assert_int_equal(got->metric, want->metric);
        assert_int_equal(got->short_bits, want->short_bits);
        assert_int_equal(got->rows, want->rows);
        assert_int_equal(got->coarse, want->coarse);
        assert_int_equal(got->fine, want->fine);
        cold_field_cells(got, &cells);
        assert_int_equal(cells.fine, want->fine);
        if (want->rows == 0)
            continue;
        assert_memory_equal(got->signs, want->signs, rabitq_signs_bytes(want->dim));
        assert_memory_equal(got->mean, want->mean, want->dim * sizeof(float));
        assert_memory_equal(got->coarse_codes, want->coarse_codes,
                            want->coarse * c->fields[i].row_code_bytes);
        assert_memory_equal(got->fine_codes, want->fine_codes,
                            want->fine * c->fields[i].short_code_bytes);
        assert_memory_equal(got->fine_rows, want->fine_rows, want->fine * 2);
        assert_memory_equal(got->fine_spread, want->fine_spread, want->fine * 2);
        assert_memory_equal(got->worth, want->worth, COLD_WORTH * 2);
        assert_memory_equal(got->coarse_first_fine, want->coarse_first_fine,
                            (want->coarse + 1) * sizeof(uint32_t));
        assert_memory_equal(got->coarse_first_row, want->coarse_first_row,
                            (want->coarse + 1) * sizeof(uint32_t));
    }
}

/* In runs of 1 to 7, as a plan might want them. */
static void records_are_read(const struct cold_case *c, const struct cold_footer *f, uint16_t at)
{
    const struct cold_case_field *k = &c->fields[at];

    for (uint32_t first = 0, count; first < k->f.rows; first += count) {
        uint64_t offset, bytes;
        struct slice part;

        count = 1 + first % 7;
        count = count < k->f.rows - first ? count : k->f.rows - first;
        cold_records_range(f, at, first, count, &offset, &bytes);
        part = cold_case_part(c, offset, bytes);
        assert_int_equal(cold_records_check(f, at, first, part, NULL), ST_OK);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t ordinal = k->ordinals[first + i];
            const struct cold_case_row *want = &c->rows[ordinal];
            struct cold_record got;

            cold_record_at(f, at, first, part, i, &got);
            assert_int_equal(got.lsn, want->lsn);
            assert_int_equal(got.ordinal, ordinal);
            assert_int_equal(got.id_is_hash, cold_id_needs_place(f->id_bytes, &want->id));
            if (got.id_is_hash) {
                assert_true(got.id_hash == docid_hash(&want->id));
                assert_int_equal(got.id_place, want->place);
                assert_int_equal(got.id.kind, 0);
            } else {
                assert_true(docid_equal(&got.id, &want->id));
            }
            assert_memory_equal(got.code, k->row_codes + (first + i) * k->row_code_bytes,
                                k->row_code_bytes);
        }
    }
}

static void codes_are_read(const struct cold_case *c, const struct cold_footer *f, uint16_t at)
{
    const struct cold_case_field *k = &c->fields[at];

    for (uint32_t i = 0; i < k->f.coarse; i++) {
        uint32_t first = k->f.coarse_first_row[i];
        const uint8_t *codes;
        uint64_t offset, bytes;

        cold_codes_range(f, at, i, &offset, &bytes);
        assert_int_equal(cold_codes_check(f, at, i, cold_case_part(c, offset, bytes), &codes, NULL),
                         ST_OK);
        assert_memory_equal(codes, k->short_codes + first * k->short_code_bytes,
                            (k->f.coarse_first_row[i + 1] - first) * k->short_code_bytes);
    }
}

static void vectors_are_read(const struct cold_case *c, const struct cold_footer *f, uint16_t at)
{
    const struct cold_case_field *k = &c->fields[at];
    float got[CASE_DIM_MAX];

    for (uint32_t first = 0, count; first < k->f.rows; first += count) {
        uint64_t offset, bytes;
        struct slice part;

        count = 1 + first % 5;
        count = count < k->f.rows - first ? count : k->f.rows - first;
        cold_vectors_range(f, at, first, count, &offset, &bytes);
        part = cold_case_part(c, offset, bytes);
        assert_int_equal(cold_vectors_check(f, at, first, part, NULL), ST_OK);
        for (uint32_t i = 0; i < count; i++) {
            cold_vector_at(f, at, part, i, got);
            assert_memory_equal(got, k->vectors + (size_t)(first + i) * k->f.dim,
                                k->f.dim * sizeof(float));
        }
    }
}

struct walk {
    const struct cold_case *c;
    const struct cold_footer *f;
    uint32_t next;
};

static status see_row(void *arg, uint32_t ordinal, const struct cold_payload_row *row,
                      struct err *err)
{
    struct walk *w = arg;
    const struct cold_case_row *want = &w->c->rows[ordinal];

    (void)err;
    assert_int_equal(ordinal, w->next++);
    assert_true(docid_equal(&row->id, &want->id));
    assert_int_equal(row->lsn, want->lsn);
    assert_true(row->inserted_at_ns == want->inserted_at_ns);
    assert_true(slice_equal(row->payload, buf_slice(&want->payload)));
    assert_int_equal(row->external_id.bytes, ordinal % 4 == 0 ? 7 : 0);
    assert_true(row->fields == want->fields);
    assert_memory_equal(row->positions, want->positions, w->c->options.fields * sizeof(uint32_t));
    return ST_OK;
}

struct thirds {
    struct walk walk;
    size_t seen;
};

static status see_third(void *arg, uint32_t ordinal, const struct cold_payload_row *row,
                        struct err *err)
{
    struct thirds *t = arg;

    t->seen++;
    t->walk.next = ordinal;
    return see_row(&t->walk, ordinal, row, err);
}

static void payload_is_read(const struct cold_case *c, const struct cold_footer *f)
{
    struct walk w = {.c = c, .f = f};
    struct buf unpacked;

    buf_init(&unpacked, COLD_PAYLOAD_BLOCK_BYTES_MAX);
    for (uint32_t b = 0; b < f->payload_blocks; b++) {
        uint64_t offset, bytes;

        assert_int_equal(cold_payload_block(f, w.next), b);
        cold_payload_range(f, b, &offset, &bytes);
        assert_int_equal(
            cold_payload_each(f, b, cold_case_part(c, offset, bytes), &unpacked, see_row, &w, NULL),
            ST_OK);
        assert_int_equal(cold_payload_block(f, w.next - 1), b);
    }
    assert_int_equal(w.next, c->options.rows);
    buf_free(&unpacked);
}

/* Every third row of each block, by themselves. */
static void some_of_the_payload_is_read(const struct cold_case *c, const struct cold_footer *f)
{
    uint32_t *ordinals = calloc(c->options.rows, sizeof *ordinals);
    struct buf unpacked;

    buf_init(&unpacked, COLD_PAYLOAD_BLOCK_BYTES_MAX);
    for (uint32_t b = 0; b < f->payload_blocks; b++) {
        uint64_t offset, bytes;
        size_t count = 0;

        cold_payload_range(f, b, &offset, &bytes);
        for (uint32_t i = f->payload_first[b] + b % 2; i < f->payload_first[b + 1]; i += 3)
            ordinals[count++] = i;
        for (size_t i = 0; i < count; i++) {
            struct walk w = {.c = c, .f = f, .next = ordinals[i]};

            assert_int_equal(cold_payload_some(f, b, cold_case_part(c, offset, bytes), &ordinals[i],
                                               1, &unpacked, see_row, &w, NULL),
                             ST_OK);
            assert_int_equal(w.next, ordinals[i] + 1);
        }
        if (count > 1) {
            struct thirds t = {.walk = {.c = c, .f = f}};

            assert_int_equal(cold_payload_some(f, b, cold_case_part(c, offset, bytes), ordinals,
                                               count, &unpacked, see_third, &t, NULL),
                             ST_OK);
            assert_int_equal(t.seen, count);
        }
    }
    buf_free(&unpacked);
    free(ordinals);
}

static status see_id(void *arg, const struct docid *id, uint32_t ordinal, uint64_t lsn,
                     struct err *err)
{
    struct walk *w = arg;

    (void)err;
    assert_int_equal(ordinal, w->c->by_id[w->next++]);
    assert_true(docid_equal(id, &w->c->rows[ordinal].id));
    assert_int_equal(lsn, w->c->rows[ordinal].lsn);
    assert_true(cold_id_may(w->f, id));
    return ST_OK;
}

static void ids_are_read(const struct cold_case *c, const struct cold_footer *f)
{
    struct walk w = {.c = c, .f = f};

    for (uint32_t b = 0; b < f->id_blocks; b++) {
        uint32_t first = w.next;
        uint64_t offset, bytes;

        cold_id_range(f, b, &offset, &bytes);
        assert_int_equal(cold_id_each(f, b, cold_case_part(c, offset, bytes), see_id, &w, NULL),
                         ST_OK);
        for (uint32_t i = first; i < w.next; i++) {
            const struct cold_case_row *row = &c->rows[c->by_id[i]];

            assert_int_equal(cold_id_block(f, &row->id), b);
            assert_int_equal(row->place, b);
        }
    }
    assert_int_equal(w.next, c->options.rows);
}

static void everything_is_read(const struct cold_case *c)
{
    struct cold_footer f;

    assert_int_equal(cold_footer_decode(cold_case_footer(c), COLD_CASE_DOCS, &c->named, &f, NULL),
                     ST_OK);
    assert_int_equal(f.rows, c->options.rows);
    assert_int_equal(f.lsn_min, c->writer.lsn_min);
    assert_int_equal(f.lsn_max, c->writer.lsn_max);
    fields_are_the_same(c, &f);
    for (uint16_t i = 0; i < f.field_count; i++) {
        records_are_read(c, &f, i);
        codes_are_read(c, &f, i);
        vectors_are_read(c, &f, i);
    }
    payload_is_read(c, &f);
    some_of_the_payload_is_read(c, &f);
    ids_are_read(c, &f);
    cold_footer_free(&f);
    assert_int_equal(cold_case_check(c), ST_OK);
}

static void what_was_written_is_read(void **state)
{
    static const uint32_t rows[] = {1, 2, 17, 300};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(rows); i++)
        for (uint16_t fields = 0; fields <= CASE_FIELDS_MAX; fields++)
            for (unsigned ids = 0; ids < CASE_IDS_COUNT; ids++) {
                struct cold_case_options o = {.seed = seed + i * 100 + fields * 10u + ids,
                                              .rows = rows[i],
                                              .fields = fields,
                                              .ids = (enum cold_case_ids)ids,
                                              .payload_bytes = ids == 1 ? 40000 : 500,
                                              .missing = (i + ids) % 2 == 0,
                                              .nobody_has =
                                                  ids == 4 ? (uint16_t)(fields / 2 + 1) : 0};
                struct cold_case c;

                if (rows[i] == 300 && ids == 1)
                    o.rows = 40;
                cold_case_make(&o, &c);
                cold_case_write(&c);
                everything_is_read(&c);
                cold_case_free(&c);
            }
}

static void a_footer_says_that_no_row_has_an_external_id(void **state)
{
    (void)state;
    for (int none = 0; none < 2; none++) {
        struct cold_case_options o = {
            .seed = seed, .rows = 9, .fields = 1, .payload_bytes = 90, .no_external_ids = none};
        struct cold_footer f;
        struct cold_case c;

        cold_case_make(&o, &c);
        cold_case_write(&c);
        assert_int_equal(
            cold_footer_decode(cold_case_footer(&c), COLD_CASE_DOCS, &c.named, &f, NULL), ST_OK);
        assert_int_equal(f.no_external_ids, none);
        assert_int_equal(cold_case_check(&c), ST_OK);
        cold_footer_free(&f);
        cold_case_free(&c);
    }
}

/* The salt: the same rows again are other bytes, and none of the one passes for the other's. */
static void no_other_segment_s_bytes_pass(void **state)
{
    const struct cold_case_options o = {.seed = seed, .rows = 30, .fields = 1, .payload_bytes = 90};
    struct cold_case a, b;
    struct cold_footer f;
    uint64_t offset, bytes;
    const uint8_t *codes;
    struct walk w = {0};
    struct buf unpacked;

    (void)state;
    cold_case_make(&o, &a);
    cold_case_write(&a);
    cold_case_make(&o, &b);
    b.writer.salt++;
    cold_case_write(&b);
    buf_init(&unpacked, 1 << 20);
    assert_int_equal(cold_footer_decode(cold_case_footer(&b), COLD_CASE_DOCS, NULL, &f, NULL),
                     ST_OK);
    cold_records_range(&f, 0, 3, 5, &offset, &bytes);
    assert_int_equal(cold_records_check(&f, 0, 3, cold_case_part(&b, offset, bytes), NULL), ST_OK);
    assert_int_equal(cold_records_check(&f, 0, 3, cold_case_part(&a, offset, bytes), NULL),
                     ST_CORRUPT);
    assert_int_equal(cold_records_check(&f, 0, 4, cold_case_part(&b, offset, bytes), NULL),
                     ST_CORRUPT);
    cold_codes_range(&f, 0, 0, &offset, &bytes);
    assert_int_equal(cold_codes_check(&f, 0, 0, cold_case_part(&a, offset, bytes), &codes, NULL),
                     ST_CORRUPT);
    cold_vectors_range(&f, 0, 3, 1, &offset, &bytes);
    assert_int_equal(cold_vectors_check(&f, 0, 3, cold_case_part(&a, offset, bytes), NULL),
                     ST_CORRUPT);
    cold_id_range(&f, 0, &offset, &bytes);
    assert_int_equal(cold_id_each(&f, 0, cold_case_part(&a, offset, bytes), see_id, &w, NULL),
                     ST_CORRUPT);
    cold_payload_range(&f, 0, &offset, &bytes);
    assert_int_equal(
        cold_payload_each(&f, 0, cold_case_part(&a, offset, bytes), &unpacked, see_row, &w, NULL),
        ST_CORRUPT);
    cold_footer_free(&f);
    assert_int_equal(cold_footer_decode(cold_case_footer(&a), COLD_CASE_DOCS, &b.named, &f, NULL),
                     ST_CORRUPT);
    buf_free(&unpacked);
    cold_case_free(&a);
    cold_case_free(&b);
}

static void few_ids_that_are_not_there_pass_the_filter(void **state)
{
    const struct cold_case_options o = {.seed = seed, .rows = 3000};
    struct cold_footer f;
    struct cold_case c;
    unsigned passed = 0;
    struct docid text = {.kind = DOCID_BYTES, .bytes = slice_text("7")};

    (void)state;
    cold_case_make(&o, &c);
    cold_case_write(&c);
    assert_int_equal(cold_footer_decode(cold_case_footer(&c), COLD_CASE_DOCS, NULL, &f, NULL),
                     ST_OK);
    for (uint64_t i = 0; i < 20000; i++) {
        struct docid id = docid_u64(1000000 + i); /* the case's are below 3,000 or above 2^24 */

        passed += cold_id_may(&f, &id);
    }
    print_message("%u of 20000 pass\n", passed);
    assert_true(passed > 20 && passed < 500);
    assert_false(cold_id_may(&f, &text)); /* there is none of its kind */
    cold_footer_free(&f);
    cold_case_free(&c);
}

static void without_a_manifest_the_footer_is_found(void **state)
{
    const struct cold_case_options o = {
        .seed = seed, .rows = 50, .fields = 2, .payload_bytes = 90, .ids = CASE_MIXED};
    struct container_memory_source source;
    const uint8_t other[16] = {0x33, 2};
    struct cold_footer f;
    struct cold_case c;
    struct buf bytes;

    (void)state;
    cold_case_make(&o, &c);
    cold_case_write(&c);
    buf_init(&bytes, SIZE_MAX);
    container_memory_source_init(&source, buf_slice(&c.bytes));
    assert_int_equal(cold_footer_find(&source.source, COLD_CASE_DOCS, &bytes, &f, NULL), ST_OK);
    assert_int_equal(f.rows, 50);
    payload_is_read(&c, &f);
    cold_footer_free(&f);
    assert_int_equal(cold_footer_find(&source.source, other, &bytes, &f, NULL), ST_CORRUPT);
    assert_int_equal(cold_check(&source.source, COLD_CASE_DOCS, NULL, NULL), ST_OK);
    buf_free(&bytes);
    cold_case_free(&c);
}

/* --- released bytes --- */

static void golden_is_read(struct cold_case *c, const char *name)
{
    struct slice stored = golden_read(name);
    struct container_memory_source source;
    struct buf footer;
    struct cold_footer f;

    buf_reset(&c->bytes);
    buf_put_slice(&c->bytes, stored);
    mem_free((void *)(uintptr_t)stored.data);
    container_memory_source_init(&source, buf_slice(&c->bytes));
    assert_int_equal(cold_check(&source.source, COLD_CASE_DOCS, NULL, NULL), ST_OK);
    buf_init(&footer, SIZE_MAX);
    assert_int_equal(cold_footer_find(&source.source, COLD_CASE_DOCS, &footer, &f, NULL), ST_OK);
    payload_is_read(c, &f);
    ids_are_read(c, &f);
    for (uint16_t i = 0; i < f.field_count; i++)
        records_are_read(c, &f, i);
    cold_footer_free(&f);
    buf_free(&footer);
}

/* Another libzstd may pack the same rows otherwise: those bytes are only read. */
static void released_bytes_are_read_and_written_again(void **state)
{
    const struct cold_case_options o = {
        .seed = 7, .rows = 9, .fields = 2, .missing = true, .ids = CASE_LONG};
    struct cold_case c;

    (void)state;
    cold_case_make(&o, &c);
    if (getenv("TV_GOLDEN_WRITE") != NULL) {
        cold_case_write(&c);
        golden_check("cold-v1-zstd.hex", buf_slice(&c.bytes));
    }
    c.writer.plain = true;
    cold_case_write(&c);
    golden_check("cold-v1.hex", buf_slice(&c.bytes));
    golden_is_read(&c, "cold-v1.hex");
    golden_is_read(&c, "cold-v1-zstd.hex");
    cold_case_free(&c);
}

/* --- memory --- */

static status write_and_check(void *arg)
{
    struct cold_case *c = arg;
    struct container_memory_sink sink;
    struct container_memory_source source;
    struct manifest_cold m = {0};
    struct cold_footer f = {0};
    struct buf bytes;
    status st;

    container_memory_sink_init(&sink, 1 << 24);
    buf_init(&bytes, SIZE_MAX);
    st = cold_case_write_to(c, &sink.sink, &m);
    container_memory_source_init(&source, buf_slice(&sink.bytes));
    if (st == ST_OK)
        st = cold_footer_find(&source.source, COLD_CASE_DOCS, &bytes, &f, NULL);
    cold_footer_free(&f);
    if (st == ST_OK)
        st = cold_check(&source.source, COLD_CASE_DOCS, &m, NULL);
    buf_free(&bytes);
    buf_free(&sink.bytes);
    return st;
}

static void each_allocation_may_fail(void **state)
{
    const struct cold_case_options o = {
        .seed = seed, .rows = 20, .fields = 2, .payload_bytes = 4000, .ids = CASE_LONG};
    struct cold_case c;

    (void)state;
    cold_case_make(&o, &c);
    assert_true(alloc_sweep(write_and_check, &c) >= 20);
    cold_case_free(&c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(a_footer_says_that_no_row_has_an_external_id),
        cmocka_unit_test(no_other_segment_s_bytes_pass),
        cmocka_unit_test(few_ids_that_are_not_there_pass_the_filter),
        cmocka_unit_test(without_a_manifest_the_footer_is_found),
        cmocka_unit_test(released_bytes_are_read_and_written_again),
        cmocka_unit_test(each_allocation_may_fail),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
