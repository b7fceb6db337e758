/* Numbers in few bits: they come back, and nothing is read or written beside them. */
#include "segment/pack.h"

#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 20240611;

static void a_link_has_the_bits_that_the_last_slot_needs(void **state)
{
    (void)state;
    assert_int_equal(link_bits(0), 1);
    assert_int_equal(link_bits(2), 1);
    assert_int_equal(link_bits(3), 2);
    assert_int_equal(link_bits(65536), 16);
    assert_int_equal(link_bits(65537), 17);
    assert_int_equal(link_bits(UINT32_MAX), 32);
}

static void packed_links_come_back_in_every_width(void **state)
{
    struct rand_seeded rand;

    (void)state;
    rand_seeded_init(&rand, seed);
    for (unsigned bits = 1; bits <= 32; bits++)
        for (size_t count = 0; count < 70; count++) {
            size_t bytes = link_packed_bytes(count, bits);
            uint8_t *packed = malloc(bytes + 1);
            uint32_t in[70];
            uint32_t out[70];

            assert_non_null(packed);
            packed[bytes] = 0xA5;
            for (size_t i = 0; i < count; i++)
                in[i] = (uint32_t)(rand_u64(&rand.source) & (((uint64_t)1 << bits) - 1));
            link_pack(in, count, bits, packed);
            link_unpack(packed, count, bits, out);
            assert_int_equal(packed[bytes], 0xA5);
            if (count > 0)
                assert_memory_equal(in, out, count * sizeof in[0]);
            free(packed);
        }
}

static void small_numbers_of_either_sign_are_small(void **state)
{
    const int64_t some[] = {0, -1, 1, -2, 2, INT64_MAX, INT64_MIN};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(some); i++)
        assert_true(unzigzag(zigzag(some[i])) == some[i]);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(zigzag(some[i]), i);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_has_the_bits_that_the_last_slot_needs),
        cmocka_unit_test(packed_links_come_back_in_every_width),
        cmocka_unit_test(small_numbers_of_either_sign_are_small),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
