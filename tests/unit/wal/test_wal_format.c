/* The bytes of header block and record: what is written is read, and nothing else passes. */
#include "base/crc32c.h"
#include "tests/support/golden.h"
#include "tests/unit/wal/wal_test.h"

#include <string.h>

static const struct wal_head head = {.flags = WAL_FLAG_UNSYNCED,
                                     .log_id = "0123456789abcde",
                                     .number = 7,
                                     .salt = 0x1122334455667788,
                                     .first_lsn = 100,
                                     .durable_lsn = 99};

static void a_header_block_comes_back(void **state)
{
    uint8_t bytes[WAL_HEAD_BYTES];
    struct wal_head back;

    (void)state;
    wal_head_encode(&head, bytes);
    assert_st_ok(wal_head_decode(bytes, &back, NULL));
    assert_memory_equal(back.log_id, head.log_id, 16);
    assert_int_equal(back.flags, head.flags);
    assert_int_equal(back.number, head.number);
    assert_int_equal(back.salt, head.salt);
    assert_int_equal(back.first_lsn, head.first_lsn);
    assert_int_equal(back.durable_lsn, head.durable_lsn);
}

static void no_flipped_bit_of_a_header_block_passes(void **state)
{
    uint8_t bytes[WAL_HEAD_BYTES];
    struct wal_head back;

    (void)state;
    wal_head_encode(&head, bytes);
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(wal_head_decode(bytes, &back, NULL), ST_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* With a right crc, so that the range is what refuses. */
static void fields_out_of_range_do_not_pass(void **state)
{
    static const struct {
        size_t at;
        uint64_t value;
    } bad[] = {{WAL_HEAD_FIRST_LSN, 0},
               {WAL_HEAD_FIRST_LSN, UINT64_MAX},
               {WAL_HEAD_DURABLE_LSN, UINT64_MAX},
               {WAL_HEAD_NUMBER, UINT64_MAX}};
    uint8_t bytes[WAL_HEAD_BYTES];
    struct wal_head back;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        wal_head_encode(&head, bytes);
        le_put_u64(bytes + bad[i].at, bad[i].value);
        le_put_u32(bytes + WAL_HEAD_CRC, crc32c(0, bytes, WAL_HEAD_CRC));
        assert_int_equal(wal_head_decode(bytes, &back, NULL), ST_CORRUPT);
    }
    wal_head_encode(&head, bytes);
    le_put_u32(bytes + WAL_HEAD_FLAGS, 4);
    le_put_u32(bytes + WAL_HEAD_CRC, crc32c(0, bytes, WAL_HEAD_CRC));
    assert_int_equal(wal_head_decode(bytes, &back, NULL), ST_CORRUPT);
}

enum { FRAME_BYTES = 32 + 16 };

static const struct wal_rec rec = {
    .lsn = 101, .durable_lsn = 99, .payload_bytes = 11, .kind = WAL_KIND_DATA};

static void make_frame(uint8_t frame[FRAME_BYTES], uint32_t seed, uint64_t offset)
{
    memset(frame, 0, FRAME_BYTES);
    memcpy(frame + WAL_REC_HEADER_BYTES, "hello there", 11);
    wal_rec_seal(frame, seed, offset, &rec);
}

static bool passes(const uint8_t frame[FRAME_BYTES], uint32_t seed, uint64_t offset)
{
    struct wal_rec back;

    return wal_rec_check_header(frame, seed, offset, &back) &&
           wal_rec_frame_bytes(back.payload_bytes) == FRAME_BYTES &&
           wal_rec_check_body(frame, seed, offset, &back);
}

static void no_flipped_bit_of_a_record_passes(void **state)
{
    uint8_t frame[FRAME_BYTES];
    uint32_t seed = wal_head_seed(&head);
    struct wal_rec back;

    (void)state;
    assert_int_equal(wal_rec_frame_bytes(rec.payload_bytes), FRAME_BYTES);
    make_frame(frame, seed, 4096);
    assert_true(wal_rec_check_header(frame, seed, 4096, &back));
    assert_int_equal(back.lsn, rec.lsn);
    assert_int_equal(back.durable_lsn, rec.durable_lsn);
    assert_int_equal(back.payload_bytes, rec.payload_bytes);
    assert_true(passes(frame, seed, 4096));
    for (size_t bit = 0; bit < FRAME_BYTES * 8; bit++) {
        frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(passes(frame, seed, 4096));
        frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* A record of the file's former life, of another file, of another log, or moved. */
static void a_record_out_of_its_place_does_not_pass(void **state)
{
    uint8_t frame[FRAME_BYTES];
    uint32_t seed = wal_head_seed(&head);
    struct wal_head other = head;

    (void)state;
    make_frame(frame, seed, 8192);
    for (uint64_t offset = 0; offset < 64 * 1024; offset += WAL_REC_ALIGN)
        assert_int_equal(passes(frame, seed, offset), offset == 8192);
    other.salt ^= 1;
    assert_false(passes(frame, wal_head_seed(&other), 8192));
    other = head;
    other.number++;
    assert_false(passes(frame, wal_head_seed(&other), 8192));
    other = head;
    other.log_id[0] ^= 0x80;
    assert_false(passes(frame, wal_head_seed(&other), 8192));
}

/* Sealed by us, and still nonsense. */
static void records_that_claim_too_much_do_not_pass(void **state)
{
    static const struct wal_rec bad[] = {
        {.lsn = 5, .durable_lsn = 5, .payload_bytes = 11, .kind = WAL_KIND_DATA},
        {.lsn = 5, .durable_lsn = 6, .payload_bytes = 0, .kind = WAL_KIND_MARKER},
        {.lsn = 5, .durable_lsn = 4, .payload_bytes = 0, .kind = WAL_KIND_DATA},
        {.lsn = 5, .durable_lsn = 4, .payload_bytes = 11, .kind = WAL_KIND_MARKER},
        {.lsn = 5, .durable_lsn = 4, .payload_bytes = 11, .kind = 3},
        {.lsn = UINT64_MAX, .durable_lsn = 4, .payload_bytes = 11, .kind = WAL_KIND_DATA}};
    uint8_t frame[FRAME_BYTES];
    struct wal_rec back;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        memset(frame, 0, sizeof(frame));
        wal_rec_seal(frame, 1, 4096, &bad[i]);
        assert_false(wal_rec_check_header(frame, 1, 4096, &back));
    }
    memset(frame, 0, sizeof(frame));
    assert_true(wal_end_mark_is_zero(frame));
    assert_false(wal_rec_check_header(frame, 1, 4096, &back));
    frame[31] = 1;
    assert_false(wal_end_mark_is_zero(frame));
}

static void only_our_names_are_taken_for_files(void **state)
{
    static const char *const others[] = {"",
                                         "1.wal",
                                         "00000000000000A1.wal",
                                         "00000000000000a1.wal.tmp",
                                         "00000000000000a1wal",
                                         "000000000000000a1.wal",
                                         "00000000000000a1.spare",
                                         "-000000000000001.wal"};
    char name[WAL_NAME_BYTES];
    uint64_t number;

    (void)state;
    wal_name_format(name, 0xa1, "wal");
    assert_string_equal(name, "00000000000000a1.wal");
    assert_true(wal_name_parse(name, "wal", &number));
    assert_int_equal(number, 0xa1);
    for (size_t i = 0; i < COUNT_OF(others); i++)
        assert_false(wal_name_parse(others[i], "wal", &number));
}

/* Version 1 as it was released: header block, a record, a marker. */
static void the_bytes_of_version_1_do_not_change(void **state)
{
    struct wal_rec marker = {.lsn = 101, .durable_lsn = 101, .kind = WAL_KIND_MARKER};
    uint8_t bytes[WAL_HEAD_BYTES + FRAME_BYTES + WAL_REC_HEADER_BYTES];
    uint32_t seed = wal_head_seed(&head);

    (void)state;
    wal_head_encode(&head, bytes);
    make_frame(bytes + WAL_HEAD_BYTES, seed, WAL_HEAD_BYTES);
    wal_rec_seal(bytes + WAL_HEAD_BYTES + FRAME_BYTES, seed, WAL_HEAD_BYTES + FRAME_BYTES, &marker);
    golden_check("wal-v1.hex", slice_make(bytes, sizeof(bytes)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_block_comes_back),
        cmocka_unit_test(no_flipped_bit_of_a_header_block_passes),
        cmocka_unit_test(fields_out_of_range_do_not_pass),
        cmocka_unit_test(no_flipped_bit_of_a_record_passes),
        cmocka_unit_test(a_record_out_of_its_place_does_not_pass),
        cmocka_unit_test(records_that_claim_too_much_do_not_pass),
        cmocka_unit_test(only_our_names_are_taken_for_files),
        cmocka_unit_test(the_bytes_of_version_1_do_not_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
