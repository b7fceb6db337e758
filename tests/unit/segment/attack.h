/* attack.h - what every decoder has to stand: cuts, flipped bits, damage under good checksums.
 *
 * Each attempt decodes a copy of exactly its size, so that the sanitizer sees a read behind it. */
#ifndef TESTS_SEGMENT_ATTACK_H
#define TESTS_SEGMENT_ATTACK_H

#include "base/bytes.h"
#include "base/rand.h"
#include "tests/support/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

typedef status attack_decode_fn(struct slice bytes); /* frees what it decoded */
typedef void attack_seal_fn(uint8_t *data, size_t bytes);

static inline status attack_copy(attack_decode_fn *decode, const uint8_t *data, size_t bytes)
{
    uint8_t *copy = malloc(bytes == 0 ? 1 : bytes);
    status st;

    assert_non_null(copy);
    memcpy(copy, data, bytes);
    st = decode(slice_make(copy, bytes));
    free(copy);
    return st;
}

static inline void attack_cuts_and_flips(attack_decode_fn *decode, struct slice good)
{
    uint8_t *copy = malloc(good.bytes + 1);

    assert_non_null(copy);
    memcpy(copy, good.data, good.bytes);
    copy[good.bytes] = 0;
    assert_int_equal(attack_copy(decode, copy, good.bytes), ST_OK);
    assert_int_equal(attack_copy(decode, copy, good.bytes + 1), ST_CORRUPT);
    for (size_t cut = 0; cut < good.bytes; cut++)
        if (attack_copy(decode, copy, cut) != ST_CORRUPT)
            fail_msg("cut at byte %zu of %zu", cut, good.bytes);
    for (size_t bit = 0; bit < good.bytes * 8; bit++) {
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (attack_copy(decode, copy, good.bytes) != ST_CORRUPT)
            fail_msg("bit %zu of byte %zu", bit % 8, bit / 8);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(copy);
}

/* Up to three changed bytes, and each fourth time a cut, under checksums made right again. Nothing
 * but ST_OK, ST_CORRUPT and ST_UNSUPPORTED may come out. Returns how many were accepted. */
static inline unsigned attack_edits(attack_decode_fn *decode, attack_seal_fn *seal,
                                    struct slice good, size_t bytes_min, unsigned rounds,
                                    uint64_t seed)
{
    struct rand_seeded rand;
    unsigned accepted = 0;

    rand_seeded_init(&rand, seed);
    for (unsigned round = 0; round < rounds; round++) {
        size_t cut = round % 4 == 0 ? rand_below(&rand.source, good.bytes - bytes_min) : 0;
        size_t bytes = good.bytes - cut;
        uint64_t edits = 1 + rand_below(&rand.source, 3);
        uint8_t *copy = malloc(bytes);
        status st;

        assert_non_null(copy);
        memcpy(copy, good.data, bytes);
        for (uint64_t e = 0; e < edits; e++)
            copy[rand_below(&rand.source, bytes)] ^= (uint8_t)rand_u64(&rand.source);
        seal(copy, bytes);
        st = decode(slice_make(copy, bytes));
        free(copy);
        accepted += st == ST_OK;
        if (st != ST_OK && st != ST_CORRUPT && st != ST_UNSUPPORTED)
            fail_msg("status %s seed=%llu round=%u", status_name(st), (unsigned long long)seed,
                     round);
    }
    return accepted;
}

/* A container's units end where its trailer begins, so no cut there leaves one: bytes only change.
 */
static inline unsigned attack_container_edits(attack_decode_fn *decode, struct slice good,
                                              unsigned rounds, uint64_t seed)
{
    return attack_edits(decode, seal_container, good, good.bytes - 1, rounds, seed);
}

#endif
