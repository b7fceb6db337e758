/* The directory of a segment's payload indexes, and their blocks: found, checked, walked. */
#include "segment/cold_index.h"

#include "base/bits.h"
#include "base/compress.h"
#include "base/mem.h"
#include "segment/cold_internal.h"

/* --- the directory --- */

static status directory_bad(const char *what, struct err *err)
{
    return err_set(err, ST_CORRUPT, "cold segment footer: payload indexes: %s", what);
}

static struct slice fence_of(const uint8_t *entry)
{
    return slice_make(entry + FENCE_AT_KEY, entry[FENCE_AT_KEY_BYTES]);
}

static bool is_loose(const uint8_t *entry)
{
    return entry[FENCE_AT_LOOSE] != 0;
}

/* One allocation; counts were held against the directory's bytes. */
static struct cold_indexes *directory_make(uint16_t count, uint32_t blocks, uint64_t *bytes)
{
    struct cold_indexes *d;

    *bytes = sizeof *d + (blocks + UINT64_C(1)) * sizeof *d->offsets +
             blocks * (uint64_t)sizeof *d->entries + count * sizeof *d->items;
    d = mem_zero(*bytes);
    if (d == NULL)
        return NULL;
    d->offsets = (uint64_t *)(void *)(d + 1);
    d->entries = (const uint8_t **)(void *)(d->offsets + blocks + 1);
    d->items = (struct cold_index *)(void *)(d->entries + blocks);
    d->count = count;
    d->blocks = blocks;
    return d;
}

/* Fences rise; where they do not, keys may be the same on both sides. */
static const char *fence_problem(const uint8_t *entry, const uint8_t *before)
{
    struct slice fence = fence_of(entry);

    if (entry[FENCE_AT_LOOSE] > 1 || fence.bytes > INDEX_FENCE_BYTES_MAX ||
        le_u32(entry) <= INDEX_HEADER_BYTES ||
        le_u32(entry) > INDEX_HEADER_BYTES + COLD_INDEX_BLOCK_BYTES_MAX)
        return "a block out of range";
    if ((before == NULL) != (fence.bytes == 0) || (before == NULL && is_loose(entry)))
        return "fences out of order";
    if (before != NULL && !cold_key_below(fence_of(before), fence) &&
        !(is_loose(entry) && slice_equal(fence_of(before), fence)))
        return "fences out of order";
    return NULL;
}

static status blocks_read(struct rd *r, struct cold_indexes *d, struct cold_index *x, uint32_t *at,
                          struct err *err)
{
    const uint8_t *before = NULL;

    for (uint32_t i = 0; i < x->blocks; i++) {
        struct rd peek = *r;
        struct slice head = rd_bytes(&peek, FENCE_AT_KEY);
        struct slice entry =
            peek.bad ? (struct slice){0}
                     : rd_bytes(r, FENCE_AT_KEY + (size_t)head.data[FENCE_AT_KEY_BYTES]);
        const char *why;

        if (peek.bad || r->bad || *at == d->blocks)
            return directory_bad("it is cut short", err);
        why = fence_problem(entry.data, before);
        if (why != NULL)
            return directory_bad(why, err);
        before = d->entries[*at] = entry.data;
        d->offsets[*at + 1] = d->offsets[*at] + le_u32(entry.data);
        ++*at;
    }
    return ST_OK;
}

static status index_read(struct rd *r, uint32_t rows, struct cold_index *x, struct err *err)
{
    uint8_t keep_case, zero;

    x->type = rd_u8(r);
    x->tokenizer = rd_u8(r);
    keep_case = rd_u8(r);
    zero = rd_u8(r);
    x->keep_case = keep_case != 0;
    x->min_bytes = rd_u32(r);
    x->max_bytes = rd_u32(r);
    x->path = rd_bytes(r, rd_u16(r));
    for (unsigned i = 0; i < COLD_INDEX_SETS; i++)
        x->sets[i] = rd_u32(r);
    x->entries = rd_u64(r);
    x->blocks = rd_u32(r);
    if (r->bad)
        return directory_bad("it is cut short", err);
    if (keep_case > 1 || zero != 0 || x->path.bytes == 0 ||
        x->path.bytes > COLD_INDEX_PATH_BYTES_MAX)
        return directory_bad("an index that is none", err);
    for (unsigned i = 0; i < COLD_INDEX_SETS; i++)
        if (x->sets[i] > rows)
            return directory_bad("an index of more rows than there are", err);
    return ST_OK;
}

static status items_read(struct rd *r, const struct cold_footer *f, struct cold_indexes *d,
                         struct err *err)
{
    uint32_t at = 0;
    status st = ST_OK;

    for (uint16_t i = 0; st == ST_OK && i < d->count; i++) {
        struct cold_index *x = &d->items[i];

        st = index_read(r, f->rows, x, err);
        x->first = at;
        if (st == ST_OK)
            st = blocks_read(r, d, x, &at, err);
    }
    if (st == ST_OK && (at != d->blocks || rd_left(r) > 0))
        st = directory_bad("other blocks than it says", err);
    return st;
}

status cold_indexes_decode(struct slice bytes, struct cold_footer *f, struct err *err)
{
    struct rd r = rd_make(bytes);
    uint16_t version = rd_u16(&r), count = rd_u16(&r);
    uint32_t blocks = rd_u32(&r);
    uint64_t at = rd_u64(&r), own;
    struct cold_indexes *d;
    status st;

    if (r.bad || version == 0 || f->indexes != NULL)
        return directory_bad(f->indexes != NULL ? "it is there twice" : "it is cut short", err);
    if (version > INDEX_VERSION)
        return ST_OK; /* it is optional */
    if (count == 0 || count > COLD_INDEXES_MAX || blocks > rd_left(&r) / FENCE_AT_KEY)
        return directory_bad("more indexes or blocks than it has", err);
    d = directory_make(count, blocks, &own);
    if (d == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the payload indexes of a cold segment");
    st = items_read(&r, f, d, err);
    d->at = at;
    d->end = at + d->offsets[blocks];
    if (st == ST_OK && d->end < at)
        st = directory_bad("its blocks are out of range", err);
    if (st != ST_OK) {
        mem_free(d);
        return st;
    }
    f->indexes = d;
    f->own_bytes += own;
    return ST_OK;
}

/* --- finding blocks --- */

/* The last block of the index whose fence is not above the key. */
static uint32_t block_of(const struct cold_indexes *d, const struct cold_index *x, struct slice key)
{
    uint32_t low = x->first, high = x->first + x->blocks;

    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;

        if (cold_key_below(key, fence_of(d->entries[mid])))
            high = mid;
        else
            low = mid;
    }
    return low;
}

static bool begins_with(struct slice key, struct slice start)
{
    return key.bytes >= start.bytes && memcmp(key.data, start.data, start.bytes) == 0;
}

void cold_index_blocks(const struct cold_footer *f, uint16_t index, struct slice low,
                       struct slice high, uint32_t *first, uint32_t *count)
{
    const struct cold_indexes *d = f->indexes;
    const struct cold_index *x = &d->items[index];
    uint32_t last;

    assert(index < d->count);
    *first = x->first;
    *count = 0;
    if (x->blocks == 0)
        return;
    last = block_of(d, x, high);
    *first = block_of(d, x, low);
    while (is_loose(d->entries[*first]) && begins_with(low, fence_of(d->entries[*first])))
        --*first;
    *count = last < *first ? 1 : last - *first + 1;
}

void cold_index_range(const struct cold_footer *f, uint32_t block, uint64_t *offset,
                      uint64_t *bytes)
{
    const struct cold_indexes *d = f->indexes;

    assert(block < d->blocks);
    *offset = d->at + d->offsets[block];
    *bytes = d->offsets[block + 1] - d->offsets[block];
}

/* --- blocks --- */

static status block_bad(uint32_t block, const char *why, struct err *err)
{
    return err_set(err, ST_CORRUPT, "cold segment index block %" PRIu32 ": %s", block, why);
}

status cold_index_check(const struct cold_footer *f, uint32_t block, struct slice bytes,
                        struct err *err)
{
    const struct cold_indexes *d = f->indexes;
    const uint8_t *at = bytes.data;

    if (bytes.bytes != d->offsets[block + 1] - d->offsets[block])
        return block_bad(block, "cut short", err);
    if (container_item_crc(f->header_crc, COLD_SECTION_INDEXES, block, slice_make(at, INDEX_AT_CRC),
                           slice_make(at + INDEX_AT_ENTRIES, bytes.bytes - INDEX_AT_ENTRIES)) !=
        le_u32(at + INDEX_AT_CRC))
        return block_bad(block, "crc mismatch", err);
    if (le_u32(at + INDEX_AT_BYTES) != bytes.bytes || le_u16(at + INDEX_AT_ENTRIES) == 0 ||
        at[INDEX_AT_ZERO] != 0 || le_u32(at + INDEX_AT_UNPACKED) > COLD_INDEX_BLOCK_BYTES_MAX)
        return block_bad(block, "its header is out of range", err);
    if (at[INDEX_AT_FORM] > PAYLOAD_ZSTD)
        return err_set(err, ST_UNSUPPORTED,
                       "cold segment index block %" PRIu32 ": form %u is newer than this program",
                       block, at[INDEX_AT_FORM]);
    return ST_OK;
}

static status unpack(const struct cold_footer *f, uint32_t block, struct slice bytes,
                     struct buf *unpacked, struct slice *out, struct err *err)
{
    struct slice packed;
    uint32_t whole;
    status st = cold_index_check(f, block, bytes, err);

    if (st != ST_OK)
        return st;
    packed = slice_make(bytes.data + INDEX_HEADER_BYTES, bytes.bytes - INDEX_HEADER_BYTES);
    whole = le_u32(bytes.data + INDEX_AT_UNPACKED);
    *out = packed;
    if (bytes.data[INDEX_AT_FORM] == PAYLOAD_ZSTD) {
        buf_reset(unpacked);
        st = decompress_block(packed, whole, unpacked, err);
        if (st != ST_OK)
            return err_wrap(err, st, "cold segment index block %" PRIu32, block);
        *out = buf_slice(unpacked);
    } else if (packed.bytes != whole) {
        return block_bad(block, "its header is not its length", err);
    }
    return ST_OK;
}

/* The key of an entry: what it has in common with the one before, and its rest. */
static const char *key_read(struct rd *r, bool first, struct cold_index_cursor *c, bool *same)
{
    uint64_t common = rd_varint(r), more = rd_varint(r);
    struct slice rest;
    uint8_t before[COLD_INDEX_KEY_BYTES_MAX];
    uint32_t before_bytes = c->key_bytes;
    struct slice key;

    if (common > (first ? 0 : c->key_bytes) || more > COLD_INDEX_KEY_BYTES_MAX - common ||
        common + more == 0)
        return "a key out of range";
    rest = rd_bytes(r, (size_t)more);
    if (r->bad)
        return "an entry is cut short";
    memcpy(before, c->key, before_bytes);
    if (more > 0)
        memcpy(c->key + common, rest.data, (size_t)more);
    c->key_bytes = (uint32_t)(common + more);
    key = slice_make(c->key, c->key_bytes);
    *same = slice_equal(key, slice_make(before, before_bytes));
    if (!*same && before_bytes > 0 && !cold_key_below(slice_make(before, before_bytes), key))
        return "keys out of order";
    return NULL;
}

static const char *deltas_read(struct rd *r, uint32_t rows, uint32_t count, uint32_t *out)
{
    uint64_t row = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t step = rd_varint(r);

        if (step >= rows)
            return "a row out of range";
        row += step + (i > 0);
        if (row >= rows)
            return "a row out of range";
        out[i] = (uint32_t)row;
    }
    return NULL;
}

static const char *bitmap_read(struct rd *r, uint32_t rows, uint32_t count, uint32_t *out)
{
    uint64_t first = rd_varint(r), bytes = rd_varint(r);
    struct slice bits;
    uint32_t n = 0;

    if (first > rows / 8 || bytes == 0 || bytes > rows / 8 + 1 - first)
        return "a row out of range";
    bits = rd_bytes(r, (size_t)bytes);
    if (r->bad)
        return "an entry is cut short";
    for (size_t i = 0; i < bits.bytes; i++)
        for (uint8_t left = bits.data[i]; left != 0; left &= (uint8_t)(left - 1)) {
            uint64_t row = (first + i) * 8 + (uint64_t)__builtin_ctz(left);

            if (row >= rows || n == count)
                return "a row out of range";
            out[n++] = (uint32_t)row;
        }
    return n == count ? NULL : "other rows than it says";
}

static const char *entry_read(struct rd *r, uint32_t rows, bool first, struct cold_index_cursor *c,
                              uint32_t *count)
{
    bool same = false;
    const char *why = key_read(r, first, c, &same);
    uint64_t form;

    if (why != NULL)
        return why;
    form = rd_varint(r);
    if (form >> 1 == 0 || form >> 1 > COLD_INDEX_ROWS_MAX)
        return "a list out of range";
    *count = (uint32_t)(form >> 1);
    why = ((form & 1) == 0 ? deltas_read : bitmap_read)(r, rows, *count, c->rows);
    if (why == NULL && r->bad)
        why = "an entry is cut short";
    if (why == NULL && same && c->rows[0] <= c->row)
        why = "rows out of order";
    c->row = why == NULL ? c->rows[*count - 1] : 0;
    return why;
}

/* The first key is at its block's fence, the last one before the next. */
static const char *fence_kept(const struct cold_indexes *d, const struct cold_index *x,
                              uint32_t block, struct slice key, bool first)
{
    const uint8_t *next = d->entries[block + 1 < x->first + x->blocks ? block + 1 : block];

    if (first && !begins_with(key, fence_of(d->entries[block])))
        return "a key of another block";
    if (next != d->entries[block] && !cold_key_below(key, fence_of(next)) &&
        !(is_loose(next) && begins_with(key, fence_of(next))))
        return "a key of another block";
    return NULL;
}

status cold_index_each(const struct cold_footer *f, uint16_t index, uint32_t block,
                       struct slice bytes, struct buf *unpacked, struct cold_index_cursor *cursor,
                       cold_index_fn *fn, void *arg, struct err *err)
{
    const struct cold_indexes *d = f->indexes;
    const struct cold_index *x = &d->items[index];
    struct slice entries = {0};
    uint32_t count = 0, entry_count;
    struct rd r;
    status st;

    assert(index < d->count && block - x->first < x->blocks);
    st = unpack(f, block, bytes, unpacked, &entries, err);
    if (st != ST_OK)
        return st;
    r = rd_make(entries);
    entry_count = le_u16(bytes.data + INDEX_AT_ENTRIES);
    for (uint32_t i = 0; st == ST_OK && i < entry_count; i++) {
        const char *why = entry_read(&r, f->rows, i == 0, cursor, &count);
        struct slice key = slice_make(cursor->key, cursor->key_bytes);

        if (why == NULL)
            why = fence_kept(d, x, block, key, i == 0);
        st = why == NULL ? fn(arg, key, cursor->rows, count, err) : block_bad(block, why, err);
    }
    if (st == ST_OK && rd_left(&r) > 0)
        st = block_bad(block, "more entries than it says", err);
    return st;
}
