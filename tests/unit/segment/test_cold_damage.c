/* Cold segments that are damaged: each cut and each bit is found, in the whole and in what is
 * fetched alone. */
#include "segment/cold_internal.h"
#include "tests/support/alloc_sweep.h"
#include "tests/unit/segment/attack.h"
#include "tests/unit/segment/cold_case.h"

static uint64_t seed = 20261122;

static void make(struct cold_case *c, uint32_t rows, uint16_t fields, enum cold_case_ids ids)
{
    const struct cold_case_options o = {.seed = seed,
                                        .rows = rows,
                                        .fields = fields,
                                        .ids = ids,
                                        .payload_bytes = 60,
                                        .missing = fields > 1};

    cold_case_make(&o, c);
    c->writer.plain = true;
    cold_case_write(c);
}

/* --- damage --- */

static status check_all(struct slice bytes)
{
    struct container_memory_source source;

    container_memory_source_init(&source, bytes);
    return cold_check(&source.source, COLD_CASE_DOCS, NULL, NULL);
}

static void a_cut_anywhere_is_corruption(void **state)
{
    struct cold_case c;

    (void)state;
    make(&c, 5, 2, CASE_MIXED);
    assert_int_equal(check_all(buf_slice(&c.bytes)), ST_OK);
    for (size_t cut = 0; cut < c.bytes.bytes; cut++)
        if (attack_copy(check_all, c.bytes.data, cut) != ST_CORRUPT)
            fail_msg("cut at byte %zu of %zu", cut, c.bytes.bytes);
    buf_put_u8(&c.bytes, 0);
    assert_int_equal(check_all(buf_slice(&c.bytes)), ST_CORRUPT);
    cold_case_free(&c);
}

/* Of the zeros at the end of id blocks one bit in 97 is tried, of all others each. */
static void each_flipped_bit_is_found(void **state)
{
    uint64_t offset, bytes;
    struct cold_footer f;
    struct cold_case c;

    (void)state;
    make(&c, 5, 2, CASE_LONG);
    assert_int_equal(cold_footer_decode(cold_case_footer(&c), COLD_CASE_DOCS, NULL, &f, NULL),
                     ST_OK);
    cold_id_range(&f, f.id_blocks - 1, &offset, &bytes);
    for (size_t bit = 0; bit < c.bytes.bytes * 8; bit++) {
        if (bit / 8 > offset + 1800 && bit / 8 < offset + bytes && bit % 97 != 0)
            continue;
        c.bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (check_all(buf_slice(&c.bytes)) != ST_CORRUPT)
            fail_msg("bit %zu of byte %zu", bit % 8, bit / 8);
        c.bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cold_footer_free(&f);
    cold_case_free(&c);
}

static const struct manifest_cold *named_now;

static status decode_footer(struct slice bytes)
{
    struct cold_footer f;
    status st = cold_footer_decode(bytes, COLD_CASE_DOCS, named_now, &f, NULL);

    if (st == ST_OK)
        cold_footer_free(&f);
    return st;
}

static void a_footer_is_found_out_by_itself(void **state)
{
    struct cold_case c;
    struct cold_footer f;

    (void)state;
    make(&c, 6, 2, CASE_MIXED);
    for (unsigned i = 0; i < 2; i++) {
        named_now = i == 0 ? NULL : &c.named;
        attack_cuts_and_flips(decode_footer, cold_case_footer(&c));
    }
    for (unsigned i = 0; i < 6; i++) {
        struct manifest_cold m = c.named;

        m.rows += i == 0;
        m.lsn_min -= i == 1;
        m.lsn_max += i == 2;
        m.footer_offset -= i == 3;
        m.footer_crc ^= i == 4;
        m.footer_bytes -= i == 5;
        assert_int_equal(cold_footer_decode(cold_case_footer(&c), COLD_CASE_DOCS, &m, &f, NULL),
                         ST_CORRUPT);
    }
    cold_case_free(&c);
}

/* What is fetched alone is checked alone. */
static struct {
    struct cold_footer f;
    unsigned what; /* which reader */
} one;

static status pass_row(void *arg, uint32_t ordinal, const struct cold_payload_row *row,
                       struct err *err)
{
    (void)arg;
    (void)ordinal;
    (void)row;
    (void)err;
    return ST_OK;
}

static status pass_id(void *arg, const struct docid *id, uint32_t ordinal, uint64_t lsn,
                      struct err *err)
{
    (void)arg;
    (void)id;
    (void)ordinal;
    (void)lsn;
    (void)err;
    return ST_OK;
}

static status read_one(struct slice bytes)
{
    const uint8_t *codes;
    struct buf unpacked;
    status st;

    switch (one.what) {
    case 0:
        /* A run that is shorter is one too: whole records at least, and as many. */
        return bytes.bytes != 2 * (size_t)one.f.fields[1].record_bytes
                   ? ST_CORRUPT
                   : cold_records_check(&one.f, 1, 1, bytes, NULL);
    case 1:
        return cold_codes_check(&one.f, 1, 0, bytes, &codes, NULL);
    case 2:
        return bytes.bytes != 2 * cold_vector_bytes(&one.f.fields[1])
                   ? ST_CORRUPT
                   : cold_vectors_check(&one.f, 1, 1, bytes, NULL);
    case 3:
        buf_init(&unpacked, 1 << 20);
        st = cold_payload_each(&one.f, 0, bytes, &unpacked, pass_row, NULL, NULL);
        buf_free(&unpacked);
        return st;
    default:
        return cold_id_each(&one.f, 0, bytes, pass_id, NULL, NULL);
    }
}

static void each_range_is_found_out_by_itself(void **state)
{
    (void)state;
    for (unsigned plain = 0; plain < 2; plain++) {
        struct cold_case c;
        uint64_t offset = 0, bytes = 0;

        make(&c, 12, 2, CASE_MIXED);
        c.writer.plain = plain == 1;
        cold_case_write(&c);
        assert_int_equal(
            cold_footer_decode(cold_case_footer(&c), COLD_CASE_DOCS, &c.named, &one.f, NULL),
            ST_OK);
        for (one.what = plain == 1 ? 0 : 3; one.what < 5; one.what++) {
            switch (one.what) {
            case 0:
                cold_records_range(&one.f, 1, 1, 2, &offset, &bytes);
                break;
            case 1:
                cold_codes_range(&one.f, 1, 0, &offset, &bytes);
                break;
            case 2:
                cold_vectors_range(&one.f, 1, 1, 2, &offset, &bytes);
                break;
            case 3:
                cold_payload_range(&one.f, 0, &offset, &bytes);
                break;
            default:
                cold_id_range(&one.f, 0, &offset, &bytes);
            }
            attack_cuts_and_flips(read_one, cold_case_part(&c, offset, bytes));
        }
        cold_footer_free(&one.f);
        cold_case_free(&c);
    }
}

static void a_run_of_part_of_a_record_is_corruption(void **state)
{
    uint64_t offset, bytes;
    struct cold_footer f;
    struct cold_case c;
    struct slice part;

    (void)state;
    make(&c, 12, 1, CASE_U64);
    assert_int_equal(cold_footer_decode(cold_case_footer(&c), COLD_CASE_DOCS, NULL, &f, NULL),
                     ST_OK);
    cold_records_range(&f, 0, 0, 12, &offset, &bytes);
    part = cold_case_part(&c, offset, bytes);
    for (size_t cut = 0; cut < part.bytes; cut++)
        assert_int_equal(cold_records_check(&f, 0, 0, slice_make(part.data, cut), NULL),
                         cut % f.fields[0].record_bytes == 0 ? ST_OK : ST_CORRUPT);
    assert_int_equal(cold_records_check(&f, 0, 1, part, NULL), ST_CORRUPT); /* one behind the end */
    assert_int_equal(cold_records_check(&f, 0, 13, slice_make(part.data, 0), NULL), ST_CORRUPT);
    cold_footer_free(&f);
    cold_case_free(&c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_anywhere_is_corruption),
        cmocka_unit_test(each_flipped_bit_is_found),
        cmocka_unit_test(a_footer_is_found_out_by_itself),
        cmocka_unit_test(each_range_is_found_out_by_itself),
        cmocka_unit_test(a_run_of_part_of_a_record_is_corruption),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
