#include "segment/pack.h"

unsigned link_bits(uint32_t slots_end)
{
    return slots_end <= 2 ? 1 : 32 - (unsigned)__builtin_clz(slots_end - 1);
}

void link_pack(const uint32_t *links, size_t count, unsigned bits, uint8_t *out)
{
    uint64_t held = 0;
    unsigned have = 0;

    for (size_t i = 0; i < count; i++) {
        held |= (uint64_t)links[i] << have;
        for (have += bits; have >= 8; have -= 8) {
            *out++ = (uint8_t)held;
            held >>= 8;
        }
    }
    if (have > 0)
        *out = (uint8_t)held;
}

void link_unpack(const uint8_t *packed, size_t count, unsigned bits, uint32_t *out)
{
    uint64_t mask = ((uint64_t)1 << bits) - 1;
    uint64_t held = 0;
    unsigned have = 0;

    for (size_t i = 0; i < count; i++) {
        for (; have < bits; have += 8)
            held |= (uint64_t)*packed++ << have;
        out[i] = (uint32_t)(held & mask);
        held >>= bits;
        have -= bits;
    }
}
