/* The blocks of a cold segment: rows with their payload, and the id index with its fences. */
#include "segment/cold_writer_internal.h"
#include "segment/container_items.h"

/* --- payload --- */

/* The block's rows, packed if that is shorter. */
static status pack_block(struct cold_writer *w, uint8_t *form, struct err *err)
{
    struct slice rows = buf_slice(&w->payload.block);
    size_t header = w->item.bytes;
    status st = ST_OK;

    *form = PAYLOAD_ZSTD;
    if (w->payload.zip != NULL)
        st = compress_block(w->payload.zip, rows, &w->item, err);
    if (st != ST_OK || (w->payload.zip != NULL && w->item.bytes - header < rows.bytes))
        return st;
    *form = PAYLOAD_PLAIN;
    w->item.bytes = header;
    buf_put_slice(&w->item, rows);
    return ST_OK;
}

static status end_payload_block(struct cold_writer *w, struct err *err)
{
    struct buf *b = &w->item;
    uint8_t form;
    uint32_t crc;
    status st;

    if (w->payload.rows == 0)
        return ST_OK;
    buf_reset(b);
    buf_put_zeros(b, PAYLOAD_HEADER_BYTES);
    st = pack_block(w, &form, err);
    if (st == ST_OK)
        st = buf_status(b, err);
    if (st != ST_OK)
        return st;
    le_put_u32(b->data + PAYLOAD_AT_BYTES, (uint32_t)b->bytes);
    le_put_u16(b->data + PAYLOAD_AT_ROWS, (uint16_t)w->payload.rows);
    b->data[PAYLOAD_AT_FORM] = form;
    le_put_u32(b->data + PAYLOAD_AT_FIRST, w->payload.first);
    le_put_u32(b->data + PAYLOAD_AT_UNPACKED, (uint32_t)w->payload.block.bytes);
    crc = container_item_crc(w->f.header_crc, COLD_SECTION_PAYLOAD, w->f.payload_blocks,
                             slice_make(b->data, PAYLOAD_AT_CRC),
                             slice_make(b->data + PAYLOAD_AT_ROWS, b->bytes - PAYLOAD_AT_ROWS));
    le_put_u32(b->data + PAYLOAD_AT_CRC, crc);
    buf_put_u32(&w->payload.frames, w->payload.first);
    buf_put_u32(&w->payload.frames, (uint32_t)b->bytes);
    st = buf_status(&w->payload.frames, err);
    if (st == ST_OK)
        st = container_item(w->out, buf_slice(b), crc, err);
    w->f.payload_blocks++;
    w->payload.first += w->payload.rows;
    w->payload.rows = 0;
    buf_reset(&w->payload.block);
    return st;
}

static const char *payload_problem(const struct cold_writer *w, const struct cold_payload_row *row)
{
    const struct cold_footer *f = &w->f;

    if (row->lsn < f->lsn_min || row->lsn > f->lsn_max)
        return "lsn out of range";
    if (!docid_ok(&row->id) || !cold_id_fits_form(f->id_form, &row->id))
        return "an id of another kind";
    if (row->external_id.bytes > RECORD_EXTERNAL_ID_BYTES_MAX ||
        row->payload.bytes > RECORD_PAYLOAD_BYTES_MAX)
        return "an external id or payload over its limit";
    if (f->field_count < COLD_FIELDS_MAX && row->fields >> f->field_count != 0)
        return "a field that is not there";
    if (f->field_count > 0 && (row->fields & 1) != (uint64_t)(w->done < f->fields[0].rows))
        return "rows with a vector of the first field come first, and no others";
    for (uint16_t i = 1; i < f->field_count; i++)
        if ((row->fields >> i & 1) != 0 &&
            (row->positions == NULL || row->positions[i] >= f->fields[i].rows))
            return "a position out of range";
    return NULL;
}

static void put_blob(struct buf *b, struct slice blob)
{
    buf_put_varint(b, blob.bytes);
    buf_put_slice(b, blob);
}

status cold_writer_payload(struct cold_writer *w, const struct cold_payload_row *row,
                           struct err *err)
{
    struct buf *b = &w->payload.row;
    const char *problem;
    status st = cold_writer_turn(w, cold_payload_section(w), err);

    if (st != ST_OK)
        return st;
    problem = payload_problem(w, row);
    if (problem != NULL)
        return cold_writer_invalid(w, problem, err);
    buf_reset(b);
    buf_put_u64(b, row->lsn);
    buf_put_u64(b, row->inserted_at_ns);
    buf_put_docid(b, &row->id);
    put_blob(b, row->external_id);
    put_blob(b, row->payload);
    buf_put_varint(b, row->fields);
    for (uint16_t i = 1; i < w->f.field_count; i++)
        if ((row->fields >> i & 1) != 0)
            buf_put_varint(b, row->positions[i]);
    if (w->payload.block.bytes + b->bytes > COLD_PAYLOAD_BLOCK_BYTES)
        st = end_payload_block(w, err);
    buf_put_slice(&w->payload.block, buf_slice(b));
    w->payload.rows++;
    w->payload.external_ids = w->payload.external_ids || row->external_id.bytes > 0;
    w->done++;
    w->lsn_min = w->lsn_min == 0 || row->lsn < w->lsn_min ? row->lsn : w->lsn_min;
    w->lsn_max = row->lsn > w->lsn_max ? row->lsn : w->lsn_max;
    if (st == ST_OK)
        st = buf_status(b, err);
    if (st == ST_OK)
        st = buf_status(&w->payload.block, err);
    if (st == ST_OK && w->done == w->f.rows)
        st = end_payload_block(w, err);
    return cold_writer_fail(w, st);
}

/* --- ids --- */

static status end_id_block(struct cold_writer *w, struct err *err)
{
    uint8_t *at = w->ids.block;
    uint32_t crc;

    le_put_u16(at + IDS_AT_ENTRIES, w->ids.entries);
    le_put_u16(at + IDS_AT_USED, w->ids.used);
    memset(at + IDS_HEADER_BYTES + w->ids.used, 0, (size_t)IDS_ROOM - w->ids.used);
    crc = container_item_crc(w->f.header_crc, COLD_SECTION_IDS, w->f.id_blocks, slice_make(at, 0),
                             slice_make(at + 4, COLD_ID_BLOCK_BYTES - 4));
    le_put_u32(at, crc);
    w->f.id_blocks++;
    w->ids.entries = 0;
    w->ids.used = 0;
    return container_item(w->out, slice_make(at, COLD_ID_BLOCK_BYTES), crc, err);
}

/* The shortest start of the key that is above the one before; nothing before the first. */
static status put_fence(struct cold_writer *w, struct slice key, struct err *err)
{
    size_t common = 0;
    size_t bytes = 0;
    status st;

    if (w->done > 0) {
        while (common < key.bytes && common < w->ids.last_bytes &&
               key.data[common] == w->ids.last[common])
            common++;
        bytes = common + 1;
    }
    buf_put_u16(&w->ids.lengths, (uint16_t)bytes);
    buf_put(&w->ids.fences, key.data, bytes);
    st = buf_status(&w->ids.lengths, err);
    return st == ST_OK ? buf_status(&w->ids.fences, err) : st;
}

static status put_entry(struct cold_writer *w, const struct docid *id, uint32_t ordinal,
                        uint64_t lsn, struct err *err)
{
    struct buf *b = &w->item;
    status st;

    buf_reset(b);
    buf_put_docid(b, id);
    buf_put_u32(b, ordinal);
    buf_put_u64(b, lsn);
    st = buf_status(b, err);
    if (st != ST_OK)
        return st;
    memcpy(w->ids.block + IDS_HEADER_BYTES + w->ids.used, b->data, b->bytes);
    w->ids.used = (uint16_t)(w->ids.used + b->bytes);
    w->ids.entries++;
    return ST_OK;
}

status cold_writer_id(struct cold_writer *w, const struct docid *id, uint32_t ordinal, uint64_t lsn,
                      struct err *err)
{
    uint8_t bytes[ID_KEY_BYTES_MAX];
    struct slice key;
    uint32_t block;
    status st = cold_writer_turn(w, cold_payload_section(w) + 1, err);

    if (st != ST_OK)
        return st;
    if (!docid_ok(id) || !cold_id_fits_form(w->f.id_form, id) || ordinal >= w->f.rows ||
        lsn < w->f.lsn_min || lsn > w->f.lsn_max)
        return cold_writer_invalid(w, "an id, an ordinal or a lsn out of range", err);
    key = slice_make(bytes, cold_id_key(id, bytes));
    if (w->done > 0 && !cold_key_below(slice_make(w->ids.last, w->ids.last_bytes), key))
        return cold_writer_invalid(w, "ids out of order", err);
    block = w->ids.packer.block;
    if (cold_id_pack(&w->ids.packer, id) != block)
        st = end_id_block(w, err);
    if (st == ST_OK && w->ids.entries == 0)
        st = put_fence(w, key, err);
    if (st == ST_OK)
        st = put_entry(w, id, ordinal, lsn, err);
    cold_filter_add(w->ids.filter, w->f.id_filter_blocks, id);
    memcpy(w->ids.last, bytes, key.bytes);
    w->ids.last_bytes = key.bytes;
    w->done++;
    if (st == ST_OK && w->done == w->f.rows)
        st = end_id_block(w, err);
    return cold_writer_fail(w, st);
}
