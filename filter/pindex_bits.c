/* Sets of slots as plain bits, for one lookup: its buffers, what is done with them, and how often a
 * bit is set in many of them. */
#include "filter/pindex_internal.h"

uint64_t *lookup_take(struct lookup *l)
{
    uint64_t *bits;

    if (l->spare_count > 0) {
        bits = l->spare[--l->spare_count];
        memset(bits, 0, l->words * sizeof *bits);
        return bits;
    }
    bits = arena_zero(l->arena, (l->words + 1) * sizeof *bits);
    l->failed = l->failed || bits == NULL;
    return bits;
}

void lookup_give(struct lookup *l, uint64_t *bits)
{
    if (bits != NULL && l->spare_count < LOOKUP_SPARE_MAX)
        l->spare[l->spare_count++] = bits;
}

uint64_t *lookup_copy(struct lookup *l, const uint64_t *from)
{
    uint64_t *bits = lookup_take(l);

    if (bits != NULL)
        memcpy(bits, from, l->words * sizeof *bits);
    return bits;
}

void lookup_and(const struct lookup *l, uint64_t *a, const uint64_t *b)
{
    for (uint32_t i = 0; i < l->words; i++)
        a[i] &= b[i];
}

void lookup_or(const struct lookup *l, uint64_t *a, const uint64_t *b)
{
    for (uint32_t i = 0; i < l->words; i++)
        a[i] |= b[i];
}

void lookup_minus(const struct lookup *l, uint64_t *a, const uint64_t *b)
{
    for (uint32_t i = 0; i < l->words; i++)
        a[i] &= ~b[i];
}

uint64_t lookup_count(const struct lookup *l, const uint64_t *a)
{
    return bits_count(a, l->bit_count);
}

void lookup_tally(struct lookup *l, struct tally *t, const uint64_t *bits)
{
    uint64_t *carry = lookup_copy(l, bits);

    for (uint32_t d = 0; d < t->count && !l->failed; d++) {
        for (uint32_t i = 0; i < l->words; i++) {
            uint64_t before = t->digits[d][i];

            t->digits[d][i] = before ^ carry[i];
            carry[i] &= before;
        }
    }
    if (l->failed)
        return;
    for (uint32_t i = 0; i < l->words; i++) {
        if (carry[i] == 0)
            continue;
        t->digits[t->count++] = carry; /* at most 14: there are no more conditions */
        return;
    }
    lookup_give(l, carry);
}

/* Bits whose tally is at least `least`: from the highest digit down, those that are above it so
 * far, and those that are equal to it. */
uint64_t *lookup_tally_least(struct lookup *l, struct tally *t, uint64_t least)
{
    uint64_t *above = lookup_take(l);
    uint64_t *equal = lookup_take(l);

    if (l->failed)
        return NULL;
    memset(equal, 0xff, l->words * sizeof *equal);
    if (t->count < 64 && least >> t->count != 0)
        memset(equal, 0, l->words * sizeof *equal); /* more than all digits can say */
    for (uint32_t d = t->count; d-- > 0;) {
        bool one = (least >> d & 1) != 0;

        for (uint32_t i = 0; i < l->words; i++) {
            if (!one)
                above[i] |= equal[i] & t->digits[d][i];
            equal[i] &= one ? t->digits[d][i] : ~t->digits[d][i];
        }
    }
    lookup_or(l, above, equal);
    lookup_give(l, equal);
    for (uint32_t d = 0; d < t->count; d++)
        lookup_give(l, t->digits[d]);
    return above;
}
