#include "base/hash.h"
#include "base/rand.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The first outputs of splitmix64 for this seed, as its authors' code gives them. */
static void a_seeded_source_is_splitmix64(void **state)
{
    static const uint64_t want[] = {6457827717110365317u, 3203168211198807973u,
                                    9817491932198370423u, 4593380528125082431u,
                                    16408922859458223821u};
    struct rand_seeded r;

    (void)state;
    rand_seeded_init(&r, 1234567);
    for (size_t i = 0; i < COUNT_OF(want); i++)
        assert_true(rand_u64(&r.source) == want[i]);
}

static void any_number_of_bytes_is_filled_and_no_more(void **state)
{
    struct rand_seeded seeded;
    struct rand_source *sources[] = {rand_kernel(), &seeded.source};

    (void)state;
    rand_seeded_init(&seeded, 1);
    for (size_t i = 0; i < COUNT_OF(sources); i++)
        for (size_t bytes = 0; bytes < 300; bytes += bytes < 40 ? 1 : 37) {
            uint8_t sum[300] = {0};
            uint8_t raw[301];

            /* A byte that stays zero 20 times was not written. */
            for (unsigned round = 0; round < 20; round++) {
                memset(raw, 0, sizeof raw);
                sources[i]->fill(sources[i], raw, bytes);
                for (size_t at = 0; at < bytes; at++)
                    sum[at] |= raw[at];
                assert_int_equal(raw[bytes], 0);
            }
            for (size_t at = 0; at < bytes; at++)
                assert_int_not_equal(sum[at], 0);
        }
}

static void numbers_below_a_bound_are_uniform(void **state)
{
    const uint64_t bounds[] = {1, 2, 3, 7, 10, 64};
    struct rand_seeded r;

    (void)state;
    rand_seeded_init(&r, *(uint64_t *)*state);
    for (size_t i = 0; i < COUNT_OF(bounds); i++) {
        enum { DRAWS = 100000 };
        unsigned counts[64] = {0};
        double expected = (double)DRAWS / (double)bounds[i];
        double chi2 = 0;

        for (unsigned n = 0; n < DRAWS; n++) {
            uint64_t v = rand_below(&r.source, bounds[i]);

            assert_true(v < bounds[i]);
            counts[v]++;
        }
        for (uint64_t v = 0; v < bounds[i]; v++)
            chi2 += (counts[v] - expected) * (counts[v] - expected) / expected;
        /* 63 degrees of freedom pass 140 once in a hundred million runs. */
        assert_true(chi2 < 140);
    }
}

/* With bound = 3/4 of the range a plain remainder would favour a third of the results. */
static void a_huge_bound_is_not_biased(void **state)
{
    const uint64_t bound = 3ull << 62;
    struct rand_seeded r;
    unsigned below = 0;

    rand_seeded_init(&r, *(uint64_t *)*state);
    for (unsigned n = 0; n < 30000; n++) {
        uint64_t v = rand_below(&r.source, bound);

        assert_true(v < bound);
        below += v < bound / 3;
    }
    assert_in_range(below, 9500, 10500);
}

static void version_4_is_random_but_for_its_marks(void **state)
{
    uint8_t ones[16];
    uint8_t zeros[16];

    (void)state;
    memset(ones, 0xFF, sizeof ones);
    memset(zeros, 0, sizeof zeros);
    for (unsigned n = 0; n < 200; n++) {
        uint8_t uuid[16];

        uuid_make_v4(rand_kernel(), uuid);
        for (unsigned i = 0; i < 16; i++) {
            ones[i] &= uuid[i];
            zeros[i] |= uuid[i];
        }
    }
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(ones[i], i == 6 ? 0x40 : i == 8 ? 0x80 : 0);
        assert_int_equal(zeros[i], i == 6 ? 0x4F : i == 8 ? 0xBF : 0xFF);
    }
}

static void version_7_rises_with_time(void **state)
{
    const uint64_t start_ns = 1767323045123456789;
    struct clock_manual clock;
    uint8_t before[16] = {0};
    uint8_t uuid[16];

    (void)state;
    clock_manual_init(&clock, 0, start_ns);
    for (unsigned n = 0; n < 5000; n++) {
        uint64_t ms = 0;

        uuid_make_v7(rand_kernel(), &clock.clock, uuid);
        for (unsigned i = 0; i < 6; i++)
            ms = ms << 8 | uuid[i];
        assert_true(ms == (start_ns + n * 1000) / 1000000);
        assert_int_equal(uuid[6] >> 4, 7);
        assert_int_equal(uuid[8] >> 6, 2);
        assert_true(memcmp(before, uuid, sizeof uuid) < 0);
        memcpy(before, uuid, sizeof uuid);
        clock_manual_advance(&clock, 1000);
    }
}

static const uint8_t sample[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF,
                                   0xFE, 0xDC, 0xBA, 0x98, 0x76, 0x54, 0x32, 0x10};

static void a_uuid_is_printed_with_dashes(void **state)
{
    char text[UUID_TEXT_BYTES];

    (void)state;
    uuid_format(sample, text);
    assert_string_equal(text, "01234567-89ab-cdef-fedc-ba9876543210");
}

static void a_uuid_is_read_in_every_spelling(void **state)
{
    static const char *const spellings[] = {
        "01234567-89ab-cdef-fedc-ba9876543210",
        "01234567-89AB-CDEF-FEDC-BA9876543210",
        "0123456789abcdefFEDCba9876543210",
        "urn:uuid:01234567-89ab-cdef-fedc-ba9876543210",
        "URN:UUID:0123456789abcdeffedcba9876543210",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(spellings); i++) {
        uint8_t uuid[16] = {0};

        assert_true(uuid_parse(spellings[i], strlen(spellings[i]), uuid));
        assert_memory_equal(uuid, sample, sizeof uuid);
    }
}

/* Cut everywhere, one more byte, and every byte replaced by what it must not be. */
static void what_is_not_quite_a_uuid_is_none(void **state)
{
    static const char *const spellings[] = {"01234567-89ab-cdef-fedc-ba9876543210",
                                            "0123456789abcdeffedcba9876543210",
                                            "urn:uuid:01234567-89ab-cdef-fedc-ba9876543210"};
    static const char wrong[] = {'g', '/', ':', '@', 'G', '`', '\0', ' ', '\xFF'};
    uint8_t uuid[16] = {7};

    (void)state;
    for (size_t s = 0; s < COUNT_OF(spellings); s++) {
        size_t bytes = strlen(spellings[s]);
        char text[64];

        for (size_t cut = 0; cut < bytes; cut++)
            assert_false(uuid_parse(spellings[s], cut, uuid));
        for (size_t at = 0; at < bytes; at++)
            for (size_t w = 0; w < sizeof wrong; w++) {
                memcpy(text, spellings[s], bytes);
                if (text[at] == wrong[w])
                    continue;
                text[at] = wrong[w];
                assert_false(uuid_parse(text, bytes, uuid));
            }
        memcpy(text, spellings[s], bytes);
        text[bytes] = '0';
        assert_false(uuid_parse(text, bytes + 1, uuid));
    }
    assert_false(uuid_parse("0-1234567-89ab-cdef-fedc-ba987654321", 36, uuid));
    assert_int_equal(uuid[0], 7);
}

static void bytes_hash_as_xxh3_does(void **state)
{
    (void)state;
    assert_true(hash_bytes("", 0, 0) == 0x2D06800538D394C2u);
    assert_true(hash_bytes("a", 1, 0) == 0xE6C632B61E964E1Fu);
    assert_true(hash_bytes("a", 1, 1) != hash_bytes("a", 1, 0));
}

static uint64_t unshift(uint64_t v, unsigned shift)
{
    uint64_t out = v;

    for (unsigned done = shift; done < 64; done += shift)
        out = v ^ (out >> shift);
    return out;
}

static uint64_t inverse(uint64_t odd)
{
    uint64_t x = odd; /* right in 3 bits, doubled each time */

    for (unsigned i = 0; i < 5; i++)
        x *= 2 - odd * x;
    return x;
}

/* Undone step by step: two numbers never share a hash. Each bit of input moves about half of the
 * output. */
static void the_hash_of_a_number_is_a_bijection_and_mixes(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 2000; n++) {
        uint64_t v = n < 1000 ? n : rand_u64(rand_kernel());
        uint64_t h = hash_u64(v);
        uint64_t back = unshift(h, 31) * inverse(0x94D049BB133111EBu);

        back = unshift(back, 27) * inverse(0xBF58476D1CE4E5B9u);
        assert_true(unshift(back, 30) == v);
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        unsigned changed = 0;

        for (uint64_t v = 1; v <= 200; v++)
            changed += (unsigned)__builtin_popcountll(hash_u64(v) ^ hash_u64(v ^ 1ull << bit));
        assert_in_range(changed, 200 * 24, 200 * 40);
    }
}

int main(int argc, char **argv)
{
    static uint64_t seed;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seeded_source_is_splitmix64),
        cmocka_unit_test(any_number_of_bytes_is_filled_and_no_more),
        cmocka_unit_test_prestate(numbers_below_a_bound_are_uniform, &seed),
        cmocka_unit_test_prestate(a_huge_bound_is_not_biased, &seed),
        cmocka_unit_test(version_4_is_random_but_for_its_marks),
        cmocka_unit_test(version_7_rises_with_time),
        cmocka_unit_test(a_uuid_is_printed_with_dashes),
        cmocka_unit_test(a_uuid_is_read_in_every_spelling),
        cmocka_unit_test(what_is_not_quite_a_uuid_is_none),
        cmocka_unit_test(bytes_hash_as_xxh3_does),
        cmocka_unit_test(the_hash_of_a_number_is_a_bijection_and_mixes),
    };
    int failed;

    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : rand_u64(rand_kernel());
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed != 0)
        (void)fprintf(stderr, "again with: test_rand %llu\n", (unsigned long long)seed);
    return failed;
}
