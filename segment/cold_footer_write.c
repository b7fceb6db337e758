/* The footer's bytes, as cold_footer.c reads them. */
#include "base/crc32c.h"
#include "segment/cold_internal.h"

struct put {
    struct container_writer *w;
    uint32_t header_crc;
    uint32_t number;
    uint32_t crc; /* of all bytes */
    struct buf block;
};

static void begin(struct put *p, uint16_t kind, uint16_t field)
{
    buf_reset(&p->block);
    buf_put_u32(&p->block, 0);
    buf_put_u16(&p->block, kind);
    buf_put_u16(&p->block, field);
    buf_put_u32(&p->block, 0);
}

static status end(struct put *p, struct err *err)
{
    struct buf *b = &p->block;
    size_t bytes = b->bytes - BLOCK_HEADER_BYTES;
    status st = buf_status(b, err);
    uint32_t crc;

    if (st != ST_OK)
        return st;
    if (bytes > UINT32_MAX)
        return err_set(err, ST_NOSPACE, "a block of a cold segment's footer is over 4 GiB");
    buf_set_u32(b, BLOCK_AT_BYTES, (uint32_t)bytes);
    crc = container_item_crc(p->header_crc, COLD_SECTION_FOOTER, p->number++,
                             slice_make(b->data, BLOCK_AT_CRC),
                             slice_make(b->data + BLOCK_HEADER_BYTES, bytes));
    buf_set_u32(b, BLOCK_AT_CRC, crc);
    p->crc = crc32c(p->crc, b->data, b->bytes);
    return container_item(p->w, buf_slice(b), crc, err);
}

static status put_block(struct put *p, uint16_t kind, uint16_t field, struct slice content,
                        struct err *err)
{
    begin(p, kind, field);
    buf_put_slice(&p->block, content);
    return end(p, err);
}

static status put_head(struct put *p, const struct cold_footer *f, struct err *err)
{
    struct buf *b = &p->block;

    begin(p, BLOCK_HEAD, 0);
    buf_put_u16(b, COLD_VERSION);
    buf_put_u16(b, f->field_count);
    buf_put_u32(b, f->salt);
    buf_put_u32(b, f->rows);
    buf_put_u8(b, (uint8_t)f->id_form);
    buf_put_u8(b, f->id_bytes);
    buf_put_u16(b, 0);
    buf_put_u64(b, f->lsn_min);
    buf_put_u64(b, f->lsn_max);
    buf_put_u32(b, f->id_blocks);
    buf_put_u32(b, f->payload_blocks);
    for (uint16_t i = 0; i < f->field_count; i++) {
        const struct cold_field *c = &f->fields[i];

        buf_put_u16(b, c->field);
        buf_put_u8(b, c->metric);
        buf_put_u8(b, c->short_bits);
        buf_put_u32(b, c->dim);
        buf_put_u32(b, c->rows);
        buf_put_u32(b, c->coarse);
        buf_put_u32(b, c->fine);
    }
    return end(p, err);
}

static status put_coarse(struct put *p, const struct cold_field *c, uint16_t at, struct err *err)
{
    begin(p, BLOCK_COARSE, at);
    for (uint32_t d = 0; c->rows > 0 && d < c->dim; d++)
        buf_put_f32(&p->block, c->mean[d]);
    buf_put(&p->block, c->coarse_codes, c->coarse * cold_row_code_bytes(c));
    return end(p, err);
}

static void put_u16s(struct buf *b, const uint16_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_put_u16(b, values[i]);
}

static status put_cells(struct put *p, const struct cold_field *c, uint16_t at, struct err *err)
{
    begin(p, BLOCK_CELLS, at);
    for (uint32_t i = 0; i < c->coarse; i++)
        buf_put_u32(&p->block, c->coarse_first_fine[i + 1] - c->coarse_first_fine[i]);
    put_u16s(&p->block, c->fine_rows, c->fine);
    put_u16s(&p->block, c->fine_spread, c->fine);
    return end(p, err);
}

static status put_field(struct put *p, const struct cold_field *c, uint16_t at, struct err *err)
{
    size_t signs = c->rows > 0 ? rabitq_signs_bytes(c->dim) : 0;
    status st = put_block(p, BLOCK_ROTATION, at, slice_make(c->signs, signs), err);

    if (st == ST_OK)
        st = put_coarse(p, c, at, err);
    if (st == ST_OK)
        st = put_block(p, BLOCK_FINE, at,
                       slice_make(c->fine_codes, c->fine * cold_short_code_bytes(c)), err);
    if (st == ST_OK)
        st = put_cells(p, c, at, err);
    if (st != ST_OK)
        return st;
    begin(p, BLOCK_WORTH, at);
    put_u16s(&p->block, c->worth, c->rows > 0 ? COLD_WORTH : 0);
    return end(p, err);
}

status cold_footer_write(struct container_writer *w, const struct cold_footer *f,
                         const struct cold_footer_tail *tail, uint32_t *footer_crc, struct err *err)
{
    struct put p = {.w = w, .header_crc = f->header_crc};
    status st;

    buf_init(&p.block, (size_t)UINT32_MAX + BLOCK_HEADER_BYTES);
    st = put_head(&p, f, err);
    for (uint16_t i = 0; st == ST_OK && i < f->field_count; i++)
        st = put_field(&p, &f->fields[i], i, err);
    if (st == ST_OK)
        st = put_block(&p, BLOCK_ID_FILTER, 0, tail->id_filter, err);
    if (st == ST_OK)
        st = put_block(&p, BLOCK_ID_FENCES, 0, tail->id_fences, err);
    if (st == ST_OK)
        st = put_block(&p, BLOCK_FRAMES, 0, tail->frames, err);
    if (st == ST_OK && tail->indexes.bytes > 0)
        st = put_block(&p, BLOCK_INDEXES, 0, tail->indexes, err);
    if (st == ST_OK && f->no_external_ids)
        st = put_block(&p, BLOCK_NO_EXTERNAL_IDS, 0, (struct slice){0}, err);
    *footer_crc = p.crc;
    buf_free(&p.block);
    return st;
}
