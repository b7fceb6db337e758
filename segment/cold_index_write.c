/* Payload indexes as they come, key by key, into blocks; what the directory says of them is kept.
 */
#include "segment/cold_index.h"
#include "segment/cold_writer_internal.h"
#include "segment/container_items.h"

/* --- blocks --- */

static status pack(struct cold_writer *w, uint8_t *form, struct err *err)
{
    struct slice entries = buf_slice(&w->index.block);
    status st = ST_OK;

    *form = PAYLOAD_ZSTD;
    if (w->payload.zip != NULL)
        st = compress_block(w->payload.zip, entries, &w->item, err);
    if (st != ST_OK ||
        (w->payload.zip != NULL && w->item.bytes - INDEX_HEADER_BYTES < entries.bytes))
        return st;
    *form = PAYLOAD_PLAIN;
    w->item.bytes = INDEX_HEADER_BYTES;
    buf_put_slice(&w->item, entries);
    return ST_OK;
}

static status end_block(struct cold_writer *w, struct err *err)
{
    struct buf *b = &w->item;
    uint8_t form;
    uint32_t crc;
    status st;

    if (w->index.in_block == 0)
        return ST_OK;
    buf_reset(b);
    buf_put_zeros(b, INDEX_HEADER_BYTES);
    st = pack(w, &form, err);
    if (st == ST_OK)
        st = buf_status(b, err);
    if (st != ST_OK)
        return st;
    le_put_u32(b->data + INDEX_AT_BYTES, (uint32_t)b->bytes);
    le_put_u16(b->data + INDEX_AT_ENTRIES, (uint16_t)w->index.in_block);
    b->data[INDEX_AT_FORM] = form;
    le_put_u32(b->data + INDEX_AT_UNPACKED, (uint32_t)w->index.block.bytes);
    crc = container_item_crc(w->f.header_crc, COLD_SECTION_INDEXES, w->index.total,
                             slice_make(b->data, INDEX_AT_CRC),
                             slice_make(b->data + INDEX_AT_ENTRIES, b->bytes - INDEX_AT_ENTRIES));
    le_put_u32(b->data + INDEX_AT_CRC, crc);
    buf_set_u32(&w->index.directory, w->index.fence_at, (uint32_t)b->bytes);
    w->index.total++;
    w->index.blocks++;
    w->index.in_block = 0;
    buf_reset(&w->index.block);
    return container_item(w->out, buf_slice(b), crc, err);
}

static size_t in_common(struct slice a, struct slice b)
{
    size_t n = 0;

    while (n < a.bytes && n < b.bytes && a.data[n] == b.data[n])
        n++;
    return n;
}

/* The shortest start of the key that is above the one before, as far as there is room; what is not
 * above it is loose. */
static status put_fence(struct cold_writer *w, struct slice key, struct slice before,
                        struct err *err)
{
    struct buf *d = &w->index.directory;
    size_t bytes = w->index.blocks == 0 ? 0 : in_common(key, before) + 1;
    bool loose = bytes > key.bytes || bytes > INDEX_FENCE_BYTES_MAX;

    if (loose)
        bytes = key.bytes < INDEX_FENCE_BYTES_MAX ? key.bytes : INDEX_FENCE_BYTES_MAX;
    w->index.fence_at = d->bytes;
    buf_put_u32(d, 0);
    buf_put_u8(d, loose);
    buf_put_u8(d, (uint8_t)bytes);
    buf_put(d, key.data, bytes);
    return buf_status(d, err);
}

/* --- entries --- */

static size_t varint_bytes(uint32_t v)
{
    size_t n = 1;

    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}

/* In the shorter form. */
static void put_rows(struct buf *b, const uint32_t *rows, uint32_t count)
{
    uint32_t first = rows[0] / 8, bytes = rows[count - 1] / 8 - first + 1;
    size_t deltas = varint_bytes(rows[0]);
    size_t at;

    for (uint32_t i = 1; i < count; i++)
        deltas += varint_bytes(rows[i] - rows[i - 1] - 1);
    if (deltas <= varint_bytes(first) + varint_bytes(bytes) + (size_t)bytes) {
        buf_put_varint(b, (uint64_t)count << 1);
        buf_put_varint(b, rows[0]);
        for (uint32_t i = 1; i < count; i++)
            buf_put_varint(b, rows[i] - rows[i - 1] - 1);
        return;
    }
    buf_put_varint(b, (uint64_t)count << 1 | 1);
    buf_put_varint(b, first);
    buf_put_varint(b, bytes);
    at = b->bytes;
    buf_put_zeros(b, bytes);
    for (uint32_t i = 0; !b->failed && i < count; i++)
        b->data[at + rows[i] / 8 - first] |= (uint8_t)(1u << rows[i] % 8);
}

static void put_entry(struct buf *b, struct slice key, struct slice before, const uint32_t *rows,
                      uint32_t count)
{
    size_t common = in_common(key, before);

    buf_reset(b);
    buf_put_varint(b, common);
    buf_put_varint(b, key.bytes - common);
    buf_put(b, key.data + common, key.bytes - common);
    put_rows(b, rows, count);
}

/* The rows that were gathered of one key. A block begins with a whole key. */
static status end_list(struct cold_writer *w, struct err *err)
{
    struct slice key = slice_make(w->index.key, w->index.key_bytes);
    struct slice before = slice_make(w->index.last, w->index.last_bytes);
    struct slice none = {0};
    status st = ST_OK;

    if (w->index.row_count == 0)
        return ST_OK;
    put_entry(&w->index.entry, key, w->index.in_block == 0 ? none : before, w->index.rows,
              w->index.row_count);
    if (w->index.in_block > 0 &&
        (w->index.in_block == UINT16_MAX ||
         w->index.block.bytes + w->index.entry.bytes > COLD_INDEX_BLOCK_BYTES)) {
        st = end_block(w, err);
        put_entry(&w->index.entry, key, none, w->index.rows, w->index.row_count);
    }
    if (st == ST_OK && w->index.in_block == 0)
        st = put_fence(w, key, before, err);
    buf_put_slice(&w->index.block, buf_slice(&w->index.entry));
    if (st == ST_OK)
        st = buf_status(&w->index.entry, err);
    if (st == ST_OK)
        st = buf_status(&w->index.block, err);
    w->index.in_block++;
    memcpy(w->index.last, key.data, key.bytes);
    w->index.last_bytes = w->index.key_bytes;
    w->index.row_count = 0;
    return st;
}

/* --- an index --- */

static status invalid(const char *what, struct err *err)
{
    return err_set(err, ST_INVALID, "cold segment, payload indexes: %s", what);
}

static status first_index(struct cold_writer *w, struct err *err)
{
    struct buf *d = &w->index.directory;
    status st = container_section(w->out, COLD_SECTION_INDEXES,
                                  CONTAINER_SECTION_FRAMED | CONTAINER_SECTION_OPTIONAL, err);

    buf_put_u16(d, INDEX_VERSION);
    buf_put_u16(d, 0);
    buf_put_u32(d, 0);
    buf_put_u64(d, container_offset(w->out));
    return st == ST_OK ? buf_status(d, err) : st;
}

static void put_index(struct buf *d, const struct cold_index *what)
{
    buf_put_u8(d, what->type);
    buf_put_u8(d, what->tokenizer);
    buf_put_u8(d, what->keep_case);
    buf_put_u8(d, 0);
    buf_put_u32(d, what->min_bytes);
    buf_put_u32(d, what->max_bytes);
    buf_put_u16(d, (uint16_t)what->path.bytes);
    buf_put_slice(d, what->path);
}

status cold_writer_index_begin(struct cold_writer *w, const struct cold_index *what,
                               struct err *err)
{
    struct buf *d = &w->index.directory;
    status st = ST_OK;

    if (w->failed || w->section != cold_payload_section(w) + 1 || w->done != w->f.rows ||
        w->index.open)
        return invalid("out of turn", err);
    if (what->path.bytes == 0 || what->path.bytes > COLD_INDEX_PATH_BYTES_MAX ||
        w->index.count == COLD_INDEXES_MAX)
        return invalid("too many, or a path of no bytes or too many", err);
    if (w->index.count == 0)
        st = first_index(w, err);
    put_index(d, what);
    w->index.counts_at = d->bytes;
    buf_put_zeros(d, COLD_INDEX_SETS * 4 + 8 + 4);
    w->index.count++;
    w->index.open = true;
    w->index.blocks = 0;
    w->index.key_bytes = w->index.last_bytes = 0;
    w->index.entries = 0;
    memset(w->index.sets, 0, sizeof w->index.sets);
    return cold_writer_fail(w, st == ST_OK ? buf_status(d, err) : st);
}

static status new_key(struct cold_writer *w, struct slice key, struct err *err)
{
    status st = end_list(w, err);

    memcpy(w->index.key, key.data, key.bytes);
    w->index.key_bytes = (uint32_t)key.bytes;
    return st;
}

status cold_writer_index_row(struct cold_writer *w, struct slice key, uint32_t row, struct err *err)
{
    struct slice last = slice_make(w->index.key, w->index.key_bytes);
    status st = ST_OK;

    if (w->failed || !w->index.open || key.bytes == 0 || key.bytes > COLD_INDEX_KEY_BYTES_MAX ||
        row >= w->f.rows)
        return invalid("a key or a row out of range", err);
    if (slice_equal(last, key)) {
        if (row == w->index.row)
            return ST_OK;
        if (row < w->index.row)
            return invalid("rows out of order", err);
        if (w->index.row_count == COLD_INDEX_ROWS_MAX)
            st = end_list(w, err);
    } else if (last.bytes > 0 && !cold_key_below(last, key)) {
        return invalid("keys out of order", err);
    } else {
        st = new_key(w, key, err);
    }
    w->index.rows[w->index.row_count++] = w->index.row = row;
    if (key.data[0] < COLD_INDEX_SETS)
        w->index.sets[key.data[0]]++;
    else
        w->index.entries++;
    return cold_writer_fail(w, st);
}

status cold_writer_index_end(struct cold_writer *w, struct err *err)
{
    struct buf *d = &w->index.directory;
    size_t at = w->index.counts_at;
    status st;

    if (w->failed || !w->index.open)
        return invalid("out of turn", err);
    st = end_list(w, err);
    if (st == ST_OK)
        st = end_block(w, err);
    w->index.open = false;
    if (st != ST_OK)
        return cold_writer_fail(w, st);
    for (unsigned i = 0; i < COLD_INDEX_SETS; i++)
        buf_set_u32(d, at + i * 4, w->index.sets[i]);
    buf_set_u64(d, at + COLD_INDEX_SETS * 4, w->index.entries);
    buf_set_u32(d, at + COLD_INDEX_SETS * 4 + 8, w->index.blocks);
    le_put_u16(d->data + 2, w->index.count);
    buf_set_u32(d, 4, w->index.total);
    return ST_OK;
}
