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
/* In place: a build for every x86-64 has no instruction for it, the compiler calls a library. */
static inline uint32_t bits_in_word(uint64_t w)
{
    w -= w >> 1 & UINT64_C(0x5555555555555555);
    w = (w & UINT64_C(0x3333333333333333)) + (w >> 2 & UINT64_C(0x3333333333333333));
    w = (w + (w >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (uint32_t)(w * UINT64_C(0x0101010101010101) >> 56);
}
static inline uint64_t bits_count(const uint64_t *bits, uint32_t bit_count)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < bit_count / 64; i++)
        count += bits_in_word(bits[i]);
    return count;
}

#endif
