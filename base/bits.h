/* bits.h - bitmaps over numbers, in words of 64: who made one says how many bits it has. */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BITS_NONE UINT32_MAX

static inline bool bits_get(const uint64_t *bits, uint32_t at)
{
    return (bits[at >> 6] >> (at & 63) & 1) != 0;
}
static inline void bits_set(uint64_t *bits, uint32_t at)
{
    bits[at >> 6] |= UINT64_C(1) << (at & 63);
}
static inline void bits_clear(uint64_t *bits, uint32_t at)
{
    bits[at >> 6] &= ~(UINT64_C(1) << (at & 63));
}
/* The first set one at or above `from`, or BITS_NONE; bit_count is a multiple of 64. */
static inline uint32_t bits_next(const uint64_t *bits, uint32_t bit_count, uint32_t from)
{
    for (uint32_t word = from >> 6; from < bit_count; from = ++word << 6) {
        uint64_t left = bits[word] & (UINT64_MAX << (from & 63));

        if (left != 0)
            return (word << 6) + (uint32_t)__builtin_ctzll(left);
    }
    return BITS_NONE;
}
static inline uint64_t bits_count(const uint64_t *bits, uint32_t bit_count)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < bit_count / 64; i++)
        count += (uint64_t)__builtin_popcountll(bits[i]);
    return count;
}

#endif
