#include "base/crc32c.h"

#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef uint32_t crc_fn(uint32_t crc, const void *data, size_t bytes);

static crc_fn *const twins[] = {crc32c, crc32c_table, crc32c_hardware};

/* The definition, bit by bit. */
static uint32_t by_definition(uint32_t crc, const uint8_t *data, size_t bytes)
{
    crc = ~crc;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= data[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82F63B78u : crc >> 1;
    }
    return ~crc;
}

/* RFC 3720, B.4, and the check value of the catalogues. */
static void known_vectors(void **state)
{
    static const uint8_t read_command[48] = {
        0x01, 0xC0, 0, 0, 0, 0, 0,    0, 0, 0, 0,    0,    0, 0, 0, 0, 0x14, 0, 0, 0,    0,
        0,    0x04, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0,    0, 0, 0x02, 0};
    uint8_t raw[32];

    (void)state;
    for (size_t t = 0; t < COUNT_OF(twins); t++) {
        assert_int_equal(twins[t](0, "", 0), 0);
        assert_int_equal(twins[t](0, "123456789", 9), 0xE3069283);
        memset(raw, 0, sizeof raw);
        assert_int_equal(twins[t](0, raw, sizeof raw), 0x8A9136AA);
        memset(raw, 0xFF, sizeof raw);
        assert_int_equal(twins[t](0, raw, sizeof raw), 0x62A8AB43);
        for (unsigned i = 0; i < sizeof raw; i++)
            raw[i] = (uint8_t)i;
        assert_int_equal(twins[t](0, raw, sizeof raw), 0x46DD794E);
        for (unsigned i = 0; i < sizeof raw; i++)
            raw[i] = (uint8_t)(31 - i);
        assert_int_equal(twins[t](0, raw, sizeof raw), 0x113FDB5C);
        assert_int_equal(twins[t](0, read_command, sizeof read_command), 0xD9963A56);
    }
}

static void every_short_length_at_every_alignment(void **state)
{
    uint8_t raw[320];

    (void)state;
    rand_kernel()->fill(rand_kernel(), raw, sizeof raw);
    for (size_t align = 0; align < 16; align++)
        for (size_t bytes = 0; bytes <= 300; bytes++) {
            uint32_t want = by_definition((uint32_t)bytes, raw + align, bytes);

            for (size_t t = 0; t < COUNT_OF(twins); t++)
                assert_int_equal(twins[t]((uint32_t)bytes, raw + align, bytes), want);
        }
}

/* Around each length at which the three streams begin, and around their multiples. */
static void lengths_around_the_blocks_of_streams(void **state)
{
    static const size_t edges[] = {768, 1536, 12288, 12288 + 768, 2 * 12288, 2 * 12288 + 1536};
    static uint8_t raw[30000];

    (void)state;
    rand_kernel()->fill(rand_kernel(), raw, sizeof raw);
    for (size_t e = 0; e < COUNT_OF(edges); e++)
        for (size_t bytes = edges[e] - 10; bytes <= edges[e] + 10; bytes++) {
            size_t align = bytes % 8;
            uint32_t want = by_definition(7, raw + align, bytes);

            for (size_t t = 0; t < COUNT_OF(twins); t++)
                assert_int_equal(twins[t](7, raw + align, bytes), want);
        }
}

static void parts_add_up_to_the_whole(void **state)
{
    static uint8_t raw[3000];

    (void)state;
    rand_kernel()->fill(rand_kernel(), raw, sizeof raw);
    for (size_t cut = 0; cut <= sizeof raw; cut += 13)
        for (size_t t = 0; t < COUNT_OF(twins); t++)
            assert_int_equal(twins[t](twins[t](0, raw, cut), raw + cut, sizeof raw - cut),
                             crc32c_table(0, raw, sizeof raw));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_vectors),
        cmocka_unit_test(every_short_length_at_every_alignment),
        cmocka_unit_test(lengths_around_the_blocks_of_streams),
        cmocka_unit_test(parts_add_up_to_the_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
