/* Ids of a cold segment: how they lie in a record, which block of the index has one, and a blocked
 * Bloom filter that says of most absent ones that they are. */
#include "segment/cold_internal.h"

enum { FILTER_BITS_AN_ID = 10, FILTER_PROBES = 6, FILTER_PROBE_BITS = 9 };

void cold_ids_note(struct cold_ids_seen *seen, const struct docid *id)
{
    switch ((enum docid_kind)id->kind) {
    case DOCID_U64:
        seen->u64 = true;
        break;
    case DOCID_UUID:
        seen->uuid = true;
        break;
    case DOCID_BYTES:
        seen->bytes = true;
        if (id->bytes.bytes > seen->longest)
            seen->longest = id->bytes.bytes;
        break;
    }
}

void cold_ids_form(const struct cold_ids_seen *seen, enum cold_id_form *form, uint8_t *id_bytes)
{
    size_t inside = seen->longest;

    if (!seen->uuid && !seen->bytes) {
        *form = COLD_ID_U64;
        *id_bytes = 8;
    } else if (!seen->u64 && !seen->bytes) {
        *form = COLD_ID_UUID;
        *id_bytes = 16;
    } else {
        inside = inside < COLD_ID_INLINE_MIN ? COLD_ID_INLINE_MIN : inside;
        inside = inside > COLD_ID_INLINE_MAX ? COLD_ID_INLINE_MAX : inside;
        *form = COLD_ID_MIXED;
        *id_bytes = (uint8_t)(ID_PREFIX_BYTES + inside);
    }
}

bool cold_id_form_ok(enum cold_id_form form, unsigned id_bytes)
{
    switch (form) {
    case COLD_ID_U64:
        return id_bytes == 8;
    case COLD_ID_UUID:
        return id_bytes == 16;
    case COLD_ID_MIXED:
        return id_bytes >= ID_PREFIX_BYTES + COLD_ID_INLINE_MIN &&
               id_bytes <= ID_PREFIX_BYTES + COLD_ID_INLINE_MAX;
    }
    return false;
}

bool cold_id_fits_form(enum cold_id_form form, const struct docid *id)
{
    switch (form) {
    case COLD_ID_U64:
        return id->kind == DOCID_U64;
    case COLD_ID_UUID:
        return id->kind == DOCID_UUID;
    case COLD_ID_MIXED:
        return true;
    }
    return false;
}

bool cold_id_needs_place(uint8_t id_bytes, const struct docid *id)
{
    return id->kind == DOCID_BYTES && id->bytes.bytes + ID_PREFIX_BYTES > id_bytes;
}

size_t cold_id_entry_bytes(const struct docid *id)
{
    size_t bytes = 1 + ID_ENTRY_REST_BYTES;

    switch ((enum docid_kind)id->kind) {
    case DOCID_U64:
        return bytes + 8;
    case DOCID_UUID:
        return bytes + sizeof id->uuid;
    case DOCID_BYTES:
        return bytes + (id->bytes.bytes < 128 ? 1 : 2) + id->bytes.bytes;
    }
    return bytes;
}

uint32_t cold_id_pack(struct cold_id_packer *p, const struct docid *id)
{
    uint32_t bytes = (uint32_t)cold_id_entry_bytes(id);

    if (p->used + bytes > IDS_ROOM) {
        p->block++;
        p->used = 0;
    }
    p->used += bytes;
    return p->block;
}

size_t cold_id_key(const struct docid *id, uint8_t out[ID_KEY_BYTES_MAX])
{
    out[0] = id->kind;
    switch ((enum docid_kind)id->kind) {
    case DOCID_U64:
        for (unsigned i = 0; i < 8; i++)
            out[1 + i] = (uint8_t)(id->u64 >> (56 - 8 * i));
        return 1 + 8;
    case DOCID_UUID:
        memcpy(out + 1, id->uuid, sizeof id->uuid);
        return 1 + sizeof id->uuid;
    case DOCID_BYTES:
        memcpy(out + 1, id->bytes.data, id->bytes.bytes);
        return 1 + id->bytes.bytes;
    }
    return 1;
}

bool cold_key_below(struct slice a, struct slice b)
{
    size_t common = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);

    return order != 0 ? order < 0 : a.bytes < b.bytes;
}

static struct slice fence(const struct cold_footer *f, uint32_t block)
{
    return slice_make(f->id_fences + f->id_fence_at[block],
                      f->id_fence_at[block + 1] - f->id_fence_at[block]);
}

/* The last block whose fence is not above the key; that of the first is empty. */
uint32_t cold_id_block(const struct cold_footer *f, const struct docid *id)
{
    uint8_t bytes[ID_KEY_BYTES_MAX];
    struct slice key = slice_make(bytes, cold_id_key(id, bytes));
    uint32_t low = 0;
    uint32_t high = f->id_blocks;

    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;

        if (cold_key_below(key, fence(f, mid)))
            high = mid;
        else
            low = mid;
    }
    return low;
}

/* --- the filter --- */

uint32_t cold_filter_blocks(uint32_t rows)
{
    uint64_t bits = (uint64_t)rows * FILTER_BITS_AN_ID;
    uint64_t blocks = (bits + FILTER_BLOCK_BYTES * 8 - 1) / (FILTER_BLOCK_BYTES * 8);

    return blocks == 0 ? 1 : (uint32_t)blocks;
}

/* All bits of an id lie in one block, a line of the CPU's cache. */
static size_t filter_block(uint64_t hash, uint32_t blocks)
{
    return (size_t)((hash >> 32) * blocks >> 32) * FILTER_BLOCK_BYTES;
}

static unsigned filter_bit(uint64_t mixed, unsigned probe)
{
    return (unsigned)(mixed >> (64 - FILTER_PROBE_BITS * (probe + 1))) &
           (FILTER_BLOCK_BYTES * 8 - 1);
}

#define FILTER_MIX 0x9e3779b97f4a7c15u

void cold_filter_add(uint8_t *filter, uint32_t blocks, const struct docid *id)
{
    uint64_t hash = docid_hash(id);
    uint8_t *block = filter + filter_block(hash, blocks);

    for (unsigned i = 0; i < FILTER_PROBES; i++) {
        unsigned bit = filter_bit(hash * FILTER_MIX, i);

        block[bit / 8] |= (uint8_t)(1u << bit % 8);
    }
}

bool cold_id_may(const struct cold_footer *f, const struct docid *id)
{
    uint64_t hash = docid_hash(id);
    const uint8_t *block = f->id_filter + filter_block(hash, f->id_filter_blocks);

    if (!cold_id_fits_form(f->id_form, id))
        return false;
    for (unsigned i = 0; i < FILTER_PROBES; i++) {
        unsigned bit = filter_bit(hash * FILTER_MIX, i);

        if ((block[bit / 8] >> bit % 8 & 1) == 0)
            return false;
    }
    return true;
}
