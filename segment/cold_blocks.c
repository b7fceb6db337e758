/* Payload blocks and blocks of the id index: found, checked, walked. */
#include "base/compress.h"
#include "base/jbin.h"
#include "segment/cold_internal.h"

/* --- payload --- */

uint32_t cold_payload_block(const struct cold_footer *f, uint32_t ordinal)
{
    uint32_t low = 0;
    uint32_t high = f->payload_blocks;

    assert(ordinal < f->rows);
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;

        if (f->payload_first[mid] <= ordinal)
            low = mid;
        else
            high = mid;
    }
    return low;
}

void cold_payload_range(const struct cold_footer *f, uint32_t block, uint64_t *offset,
                        uint64_t *bytes)
{
    assert(block < f->payload_blocks);
    *offset = f->payload_at + f->payload_offsets[block];
    *bytes = f->payload_offsets[block + 1] - f->payload_offsets[block];
}

static status payload_bad(uint32_t block, const char *why, struct err *err)
{
    return err_set(err, ST_CORRUPT, "cold segment payload block %" PRIu32 ": %s", block, why);
}

static struct slice rd_blob(struct rd *r, uint64_t bytes_max)
{
    uint64_t bytes = rd_varint(r);

    if (bytes > bytes_max)
        r->bad = true;
    return rd_bytes(r, r->bad ? 0 : (size_t)bytes);
}

/* Which fields it has, and where: of the first that follows from the ordinal. */
static const char *positions_read(const struct cold_footer *f, uint32_t ordinal, struct rd *r,
                                  struct cold_payload_row *row, uint32_t *positions)
{
    row->fields = rd_varint(r);
    row->positions = positions;
    if (f->field_count < COLD_FIELDS_MAX && row->fields >> f->field_count != 0)
        return "a field that is not there";
    if (f->field_count > 0 && (row->fields & 1) != (uint64_t)(ordinal < f->fields[0].rows))
        return "its ordinal and its first field do not fit";
    for (uint16_t i = 0; i < f->field_count; i++) {
        uint64_t position = i == 0 ? ordinal : UINT32_MAX;
        bool has = (row->fields >> i & 1) != 0;

        if (i > 0 && has)
            position = rd_varint(r);
        if (has && position >= f->fields[i].rows)
            return "a position out of range";
        positions[i] = has ? (uint32_t)position : UINT32_MAX;
    }
    return NULL;
}

/* full: else it is passed over, and nobody looks at its payload. */
static status row_read(const struct cold_footer *f, uint32_t block, uint32_t ordinal, bool full,
                       struct rd *r, struct cold_payload_row *row, uint32_t *positions,
                       struct err *err)
{
    const char *why;

    row->lsn = rd_u64(r);
    row->inserted_at_ns = rd_u64(r);
    row->id = rd_docid(r);
    row->external_id = rd_blob(r, RECORD_EXTERNAL_ID_BYTES_MAX);
    row->payload = rd_blob(r, RECORD_PAYLOAD_BYTES_MAX);
    why = positions_read(f, ordinal, r, row, positions);
    if (r->bad)
        return payload_bad(block, "a row is cut short", err);
    if (why == NULL && (row->lsn < f->lsn_min || row->lsn > f->lsn_max))
        why = "lsn out of range";
    if (why == NULL && !cold_id_fits_form(f->id_form, &row->id))
        why = "an id of another kind";
    if (why == NULL && f->no_external_ids && row->external_id.bytes > 0)
        why = "an external id, which the footer says no row has";
    if (why == NULL && full && row->payload.bytes > 0 && jbin_check(row->payload, err) != ST_OK)
        why = "a payload that is none";
    return why == NULL ? ST_OK : payload_bad(block, why, err);
}

status cold_payload_check(const struct cold_footer *f, uint32_t block, struct slice bytes,
                          struct err *err)
{
    const uint8_t *at = bytes.data;
    uint32_t rows = f->payload_first[block + 1] - f->payload_first[block];

    if (bytes.bytes != f->payload_offsets[block + 1] - f->payload_offsets[block])
        return payload_bad(block, "cut short", err);
    if (container_item_crc(f->header_crc, COLD_SECTION_PAYLOAD, block,
                           slice_make(at, PAYLOAD_AT_CRC),
                           slice_make(at + PAYLOAD_AT_ROWS, bytes.bytes - PAYLOAD_AT_ROWS)) !=
        le_u32(at + PAYLOAD_AT_CRC))
        return payload_bad(block, "crc mismatch", err);
    if (le_u32(at + PAYLOAD_AT_BYTES) != bytes.bytes || le_u16(at + PAYLOAD_AT_ROWS) != rows ||
        le_u32(at + PAYLOAD_AT_FIRST) != f->payload_first[block] || at[PAYLOAD_AT_ZERO] != 0 ||
        le_u32(at + PAYLOAD_AT_UNPACKED) > COLD_PAYLOAD_BLOCK_BYTES_MAX)
        return payload_bad(block, "its header is not the footer's", err);
    if (at[PAYLOAD_AT_FORM] > PAYLOAD_ZSTD)
        return err_set(err, ST_UNSUPPORTED,
                       "cold segment payload block %" PRIu32 ": form %u is newer than this program",
                       block, at[PAYLOAD_AT_FORM]);
    return ST_OK;
}

/* Checked, and its rows as they were packed. */
static status unpack(const struct cold_footer *f, uint32_t block, struct slice bytes,
                     struct buf *unpacked, struct slice *rows, struct err *err)
{
    struct slice packed;
    status st = cold_payload_check(f, block, bytes, err);

    if (st != ST_OK)
        return st;
    packed = slice_make(bytes.data + PAYLOAD_HEADER_BYTES, bytes.bytes - PAYLOAD_HEADER_BYTES);
    *rows = packed;
    if (bytes.data[PAYLOAD_AT_FORM] == PAYLOAD_ZSTD) {
        buf_reset(unpacked);
        st = decompress_block(packed, le_u32(bytes.data + PAYLOAD_AT_UNPACKED), unpacked, err);
        if (st != ST_OK)
            return err_wrap(err, st, "cold segment payload block %" PRIu32, block);
        *rows = buf_slice(unpacked);
    } else if (packed.bytes != le_u32(bytes.data + PAYLOAD_AT_UNPACKED)) {
        return payload_bad(block, "its header is not its length", err);
    }
    return ST_OK;
}

status cold_payload_each(const struct cold_footer *f, uint32_t block, struct slice bytes,
                         struct buf *unpacked, cold_payload_fn *fn, void *arg, struct err *err)
{
    struct slice rows = {0};
    uint32_t positions[COLD_FIELDS_MAX];
    struct cold_payload_row row;
    struct rd r;
    status st;

    assert(block < f->payload_blocks);
    st = unpack(f, block, bytes, unpacked, &rows, err);
    r = rd_make(rows);
    for (uint32_t i = f->payload_first[block]; st == ST_OK && i < f->payload_first[block + 1];
         i++) {
        st = row_read(f, block, i, true, &r, &row, positions, err);
        if (st == ST_OK)
            st = fn(arg, i, &row, err);
    }
    if (st == ST_OK && rd_left(&r) > 0)
        st = payload_bad(block, "bytes follow its last row", err);
    return st;
}

status cold_payload_some(const struct cold_footer *f, uint32_t block, struct slice bytes,
                         const uint32_t *ordinals, size_t count, struct buf *unpacked,
                         cold_payload_fn *fn, void *arg, struct err *err)
{
    struct slice rows = {0};
    uint32_t positions[COLD_FIELDS_MAX];
    struct cold_payload_row row;
    uint32_t at;
    struct rd r;
    status st;

    assert(block < f->payload_blocks);
    st = unpack(f, block, bytes, unpacked, &rows, err);
    r = rd_make(rows);
    at = f->payload_first[block];
    for (size_t i = 0; st == ST_OK && i < count; i++) {
        assert(ordinals[i] >= at && ordinals[i] < f->payload_first[block + 1]);
        for (; st == ST_OK && at <= ordinals[i]; at++)
            st = row_read(f, block, at, at == ordinals[i], &r, &row, positions, err);
        if (st == ST_OK)
            st = fn(arg, ordinals[i], &row, err);
    }
    return st;
}

/* --- id index --- */

void cold_id_range(const struct cold_footer *f, uint32_t block, uint64_t *offset, uint64_t *bytes)
{
    assert(block < f->id_blocks);
    *offset = f->ids_at + (uint64_t)block * COLD_ID_BLOCK_BYTES;
    *bytes = COLD_ID_BLOCK_BYTES;
}

static status ids_bad(uint32_t block, const char *why, struct err *err)
{
    return err_set(err, ST_CORRUPT, "cold segment id block %" PRIu32 ": %s", block, why);
}

status cold_id_check(const struct cold_footer *f, uint32_t block, struct slice bytes,
                     struct err *err)
{
    const uint8_t *at = bytes.data;
    size_t used;

    if (bytes.bytes != COLD_ID_BLOCK_BYTES)
        return ids_bad(block, "cut short", err);
    if (container_item_crc(f->header_crc, COLD_SECTION_IDS, block, slice_make(at, 0),
                           slice_make(at + 4, COLD_ID_BLOCK_BYTES - 4)) != le_u32(at))
        return ids_bad(block, "crc mismatch", err);
    used = le_u16(at + IDS_AT_USED);
    if (used > IDS_ROOM || le_u16(at + IDS_AT_ENTRIES) == 0)
        return ids_bad(block, "its header is out of range", err);
    for (size_t i = used; i < IDS_ROOM; i++)
        if (at[IDS_HEADER_BYTES + i] != 0)
            return ids_bad(block, "bytes follow its entries", err);
    return ST_OK;
}

/* Ids rise: so all are those the fences say if the first and the last one are. */
static const char *id_problem(const struct cold_footer *f, uint32_t block, const struct docid *id,
                              const struct docid *before, bool last, uint32_t ordinal, uint64_t lsn)
{
    if (!cold_id_fits_form(f->id_form, id))
        return "an id of another kind";
    if (before != NULL && docid_compare(before, id) >= 0)
        return "ids out of order";
    if (ordinal >= f->rows || lsn < f->lsn_min || lsn > f->lsn_max)
        return "an ordinal or a lsn out of range";
    if ((before == NULL || last) && cold_id_block(f, id) != block)
        return "an id of another block";
    return NULL;
}

status cold_id_each(const struct cold_footer *f, uint32_t block, struct slice bytes, cold_id_fn *fn,
                    void *arg, struct err *err)
{
    struct docid before = {0};
    uint32_t entries;
    struct rd r;
    status st;

    assert(block < f->id_blocks);
    st = cold_id_check(f, block, bytes, err);
    if (st != ST_OK)
        return st;
    r = rd_make(slice_make(bytes.data + IDS_HEADER_BYTES, le_u16(bytes.data + IDS_AT_USED)));
    entries = le_u16(bytes.data + IDS_AT_ENTRIES);
    for (uint32_t i = 0; st == ST_OK && i < entries; i++) {
        struct docid id = rd_docid(&r);
        uint32_t ordinal = rd_u32(&r);
        uint64_t lsn = rd_u64(&r);
        const char *why = r.bad ? "an entry is cut short"
                                : id_problem(f, block, &id, i == 0 ? NULL : &before,
                                             i + 1 == entries, ordinal, lsn);

        st = why == NULL ? fn(arg, &id, ordinal, lsn, err) : ids_bad(block, why, err);
        before = id;
    }
    if (st == ST_OK && rd_left(&r) > 0)
        st = ids_bad(block, "more entries than it says", err);
    return st;
}
