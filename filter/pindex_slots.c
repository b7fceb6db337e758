/* A set of slots. Most values of a keyword index have few rows, so a set begins with two slots in
 * place, goes on as a sorted array, and becomes a Roaring bitmap when that is the shorter.
 *
 * CRoaring does not say what its memory is; it is charged by what the set would take on disk, asked
 * again whenever the set grew by a quarter. Its allocations are not those of base/mem.h: they are
 * small, and made only after the budget had room for them. */
#include "filter/pindex_internal.h"

#include <roaring/roaring.h>

enum {
    SLOT_SET_MAP = UINT32_MAX, /* `room` of a set that is a bitmap */
    SLOT_SET_ABSENT = UINT32_MAX - 1,
    MANY_FIRST = 8,
    MANY_MAX = 256,
    MAP_BYTES = 160, /* of an empty one, about */
    CONTAINER_BYTES = 112,
    CHECK_SLOTS = 64,       /* growth between looks at the size, at least */
    CONTAINER_SLOTS = 65536 /* of one key of a Roaring bitmap */
};
struct slot_map {
    roaring_bitmap_t *bits;
    uint64_t bytes;    /* charged */
    uint32_t check_at; /* the count at which the size is looked at again */
};

bool charge_take(struct charge *c, uint64_t bytes)
{
    if (mem_reserve(c->budget, bytes, NULL) != ST_OK)
        return false;
    c->bytes += bytes;
    return true;
}

void charge_give(struct charge *c, uint64_t bytes)
{
    mem_release(c->budget, bytes);
    c->bytes -= bytes;
}

static uint32_t *slots_of(const struct slot_set *s)
{
    return s->room == 0 ? (uint32_t *)(uintptr_t)s->few : s->many;
}

/* Where slot is, or would be. */
static uint32_t place_in(const struct slot_set *s, uint32_t slot)
{
    const uint32_t *slots = slots_of(s);
    uint32_t low = 0;
    uint32_t high = s->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (slots[middle] < slot)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* --- the bitmap --- */

/* What it would take on disk, and a quarter more; of each container its head, its spare room and
 * the heap's own (measured). */
static uint64_t map_bytes(const roaring_bitmap_t *bits)
{
    uint64_t stored = roaring_bitmap_portable_size_in_bytes(bits);

    return MAP_BYTES + stored + stored / 4 +
           CONTAINER_BYTES * (uint64_t)bits->high_low_container.size;
}

static bool map_check(struct slot_set *s, struct charge *charge)
{
    struct slot_map *map = s->map;
    uint64_t bytes = map_bytes(map->bits);

    map->check_at = s->count + s->count / 4 + CHECK_SLOTS;
    if (bytes > map->bytes && !charge_take(charge, bytes - map->bytes))
        return false;
    if (bytes < map->bytes)
        charge_give(charge, map->bytes - bytes);
    map->bytes = bytes;
    return true;
}

static bool to_map(struct slot_set *s, struct charge *charge)
{
    struct slot_map *map = NULL;
    uint32_t *many = s->many;
    uint32_t room = s->room;
    uint64_t first = sizeof *map + MAP_BYTES;

    if (!charge_take(charge, first))
        return false;
    map = mem_zero(sizeof *map);
    if (map != NULL)
        map->bits = roaring_bitmap_of_ptr(s->count, many);
    if (map == NULL || map->bits == NULL) {
        mem_free(map);
        charge_give(charge, first);
        return false;
    }
    map->bytes = MAP_BYTES;
    s->map = map;
    s->room = SLOT_SET_MAP;
    if (!map_check(s, charge)) {
        roaring_bitmap_free(map->bits);
        mem_free(map);
        s->many = many;
        s->room = room;
        charge_give(charge, first);
        return false;
    }
    mem_free(many);
    charge_give(charge, room * sizeof *many);
    return true;
}

static bool map_add(struct slot_set *s, uint32_t slot, bool *added, struct charge *charge)
{
    if (s->count >= s->map->check_at && !map_check(s, charge))
        return false;
    *added = roaring_bitmap_add_checked(s->map->bits, slot);
    s->count += *added;
    return true;
}

static bool map_remove(struct slot_set *s, uint32_t slot, struct charge *charge)
{
    struct slot_map *map = s->map;

    if (!roaring_bitmap_remove_checked(map->bits, slot))
        return false;
    s->count--;
    if (s->count == 0)
        slot_set_free(s, charge);
    else if (s->count + s->count / 2 + 2 * CHECK_SLOTS < map->check_at)
        (void)map_check(s, charge); /* smaller: nothing is taken */
    return true;
}

/* --- the array --- */

static bool grow(struct slot_set *s, struct charge *charge)
{
    uint32_t room = s->room == 0 ? MANY_FIRST : 2 * s->room;
    uint32_t *many;

    if (room > MANY_MAX)
        return to_map(s, charge);
    if (!charge_take(charge, room * sizeof *many))
        return false;
    many = mem_alloc_array(room, sizeof *many);
    if (many == NULL) {
        charge_give(charge, room * sizeof *many);
        return false;
    }
    memcpy(many, slots_of(s), s->count * sizeof *many);
    if (s->room != 0) {
        mem_free(s->many);
        charge_give(charge, s->room * sizeof *many);
    }
    s->many = many;
    s->room = room;
    return true;
}

bool slot_set_add(struct slot_set *s, uint32_t slot, bool *added, struct charge *charge)
{
    uint32_t room = s->room == 0 ? COUNT_OF(s->few) : s->room;
    uint32_t *slots;
    uint32_t at;

    *added = false;
    if (s->room == SLOT_SET_MAP)
        return map_add(s, slot, added, charge);
    at = place_in(s, slot);
    if (at < s->count && slots_of(s)[at] == slot)
        return true;
    if (s->count == room) {
        if (!grow(s, charge))
            return false;
        if (s->room == SLOT_SET_MAP)
            return map_add(s, slot, added, charge);
    }
    slots = slots_of(s);
    memmove(slots + at + 1, slots + at, (s->count - at) * sizeof *slots);
    slots[at] = slot;
    s->count++;
    *added = true;
    return true;
}

bool slot_set_remove(struct slot_set *s, uint32_t slot, struct charge *charge)
{
    uint32_t *slots;
    uint32_t at;

    if (s->room == SLOT_SET_MAP)
        return map_remove(s, slot, charge);
    at = place_in(s, slot);
    slots = slots_of(s);
    if (at == s->count || slots[at] != slot)
        return false;
    memmove(slots + at, slots + at + 1, (s->count - at - 1) * sizeof *slots);
    s->count--;
    if (s->count == 0)
        slot_set_free(s, charge);
    return true;
}

/* --- sets of stored indexes --- */

void slot_set_make_absent(struct slot_set *s, uint32_t count)
{
    *s = (struct slot_set){.count = count, .room = SLOT_SET_ABSENT};
}

bool slot_set_is_absent(const struct slot_set *s)
{
    return s->room == SLOT_SET_ABSENT;
}

bool slot_set_append(struct slot_set *s, const uint32_t *slots, uint32_t count,
                     struct charge *charge)
{
    uint32_t i = 0;

    for (; i < count && s->room != SLOT_SET_MAP; i++) {
        bool added;

        if (!slot_set_add(s, slots[i], &added, charge))
            return false;
    }
    if (i == count)
        return true;
    roaring_bitmap_add_many(s->map->bits, count - i, slots + i);
    s->count += count - i;
    return s->count < s->map->check_at || map_check(s, charge);
}

bool slot_set_fill(struct slot_set *s, uint32_t end, struct charge *charge)
{
    bool added = false;

    for (uint32_t i = 0; i < end && s->room != SLOT_SET_MAP; i++)
        if (!slot_set_add(s, i, &added, charge))
            return false;
    if (s->room == SLOT_SET_MAP) {
        roaring_bitmap_add_range(s->map->bits, 0, end);
        s->count = end;
    }
    return true;
}

bool slot_set_has(const struct slot_set *s, uint32_t slot)
{
    uint32_t at;

    assert(s->room != SLOT_SET_ABSENT);
    if (s->room == SLOT_SET_MAP)
        return roaring_bitmap_contains(s->map->bits, slot);
    at = place_in(s, slot);
    return at < s->count && slots_of(s)[at] == slot;
}

void slot_set_free(struct slot_set *s, struct charge *charge)
{
    if (s->room == SLOT_SET_MAP) {
        charge_give(charge, s->map->bytes + sizeof *s->map);
        roaring_bitmap_free(s->map->bits);
        mem_free(s->map);
    } else if (s->room != 0 && s->room != SLOT_SET_ABSENT) {
        charge_give(charge, s->room * sizeof *s->many);
        mem_free(s->many);
    }
    *s = (struct slot_set){0};
}

/* --- into bits --- */

/* How many words of a container lie within bit_count. */
static uint32_t words_within(uint32_t base, uint32_t bit_count)
{
    uint32_t left = bit_count > base ? bit_count - base : 0;

    return (left < CONTAINER_SLOTS ? left : CONTAINER_SLOTS) / 64;
}

/* Containers are read in place: a bitmap of 65,536 slots is 1,024 words here and there. */
static void or_container(const roaring_array_t *ra, int32_t i, uint64_t *bits, uint32_t bit_count)
{
    uint32_t base = (uint32_t)ra->keys[i] << 16;

    if (ra->typecodes[i] == BITSET_CONTAINER_TYPE_CODE) {
        const bitset_container_t *c = ra->containers[i];
        uint32_t words = words_within(base, bit_count);

        for (uint32_t w = 0; w < words; w++)
            bits[base / 64 + w] |= c->array[w];
    } else if (ra->typecodes[i] == ARRAY_CONTAINER_TYPE_CODE) {
        const array_container_t *c = ra->containers[i];

        for (int32_t k = 0; k < c->cardinality; k++)
            bits_set(bits, base + c->array[k]);
    } else {
        const run_container_t *c = ra->containers[i];

        for (int32_t k = 0; k < c->n_runs; k++)
            for (uint32_t v = 0; v <= c->runs[k].length; v++)
                bits_set(bits, base + c->runs[k].value + v);
    }
}

static uint64_t count_container(const roaring_array_t *ra, int32_t i, const uint64_t *bits,
                                uint32_t bit_count)
{
    uint32_t base = (uint32_t)ra->keys[i] << 16;
    uint64_t count = 0;

    if (ra->typecodes[i] == BITSET_CONTAINER_TYPE_CODE) {
        const bitset_container_t *c = ra->containers[i];
        uint32_t words = words_within(base, bit_count);

        for (uint32_t w = 0; w < words; w++)
            count += bits_in_word(bits[base / 64 + w] & c->array[w]);
    } else if (ra->typecodes[i] == ARRAY_CONTAINER_TYPE_CODE) {
        const array_container_t *c = ra->containers[i];

        for (int32_t k = 0; k < c->cardinality; k++)
            count += base + c->array[k] < bit_count && bits_get(bits, base + c->array[k]);
    } else {
        const run_container_t *c = ra->containers[i];

        for (int32_t k = 0; k < c->n_runs; k++)
            for (uint32_t v = 0; v <= c->runs[k].length; v++)
                count += base + c->runs[k].value + v < bit_count &&
                         bits_get(bits, base + c->runs[k].value + v);
    }
    return count;
}

void slot_set_or(const struct slot_set *s, uint64_t *bits, uint32_t bit_count)
{
    assert(s->room != SLOT_SET_ABSENT);
    if (s->room == SLOT_SET_MAP) {
        const roaring_array_t *ra = &s->map->bits->high_low_container;

        for (int32_t i = 0; i < ra->size; i++)
            or_container(ra, i, bits, bit_count);
        return;
    }
    for (uint32_t i = 0; i < s->count; i++)
        bits_set(bits, slots_of(s)[i]);
}

uint64_t slot_set_count_in(const struct slot_set *s, const uint64_t *bits, uint32_t bit_count)
{
    uint64_t count = 0;

    assert(s->room != SLOT_SET_ABSENT);
    if (s->room == SLOT_SET_MAP) {
        const roaring_array_t *ra = &s->map->bits->high_low_container;

        for (int32_t i = 0; i < ra->size; i++)
            count += count_container(ra, i, bits, bit_count);
        return count;
    }
    for (uint32_t i = 0; i < s->count; i++)
        count += slots_of(s)[i] < bit_count && bits_get(bits, slots_of(s)[i]);
    return count;
}
