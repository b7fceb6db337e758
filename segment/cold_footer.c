/* The footer of a cold segment: blocks of bytes on one side, arrays on the other. First all blocks
 * are found and checked, so that what is allocated after that is no more than what was read. */
#include "segment/cold_index.h"
#include "segment/cold_internal.h"

#include "base/crc32c.h"
#include "base/mem.h"

static status footer_bad(const char *what, struct err *err)
{
    return err_set(err, ST_CORRUPT, "cold segment footer: %s", what);
}

void cold_footer_free(struct cold_footer *f)
{
    mem_free(f->own);
    mem_free(f->indexes);
    *f = (struct cold_footer){0};
}

/* --- blocks --- */

struct blocks {
    struct slice left;
    uint32_t next; /* number */
    uint32_t header_crc;
};
struct found { /* what each block holds */
    struct slice head, filter, fences, frames;
    struct slice indexes; /* data NULL: none */
    struct slice fields[COLD_FIELDS_MAX][FIELD_BLOCKS];
};

/* The head says the salt, which its own checksum needs. */
static void salt_from(const uint8_t collection[16], struct slice head, struct blocks *b)
{
    b->header_crc = container_cold_header_crc(collection, le_u32(head.data + HEAD_AT_SALT));
}

static status block_next(struct blocks *b, const uint8_t *collection, uint16_t *kind,
                         uint16_t *field, struct slice *out, struct err *err)
{
    const uint8_t *at = b->left.data;
    struct slice payload;

    if (b->left.bytes < BLOCK_HEADER_BYTES ||
        le_u32(at + BLOCK_AT_BYTES) > b->left.bytes - BLOCK_HEADER_BYTES)
        return footer_bad("it is cut short", err);
    payload = slice_make(at + BLOCK_HEADER_BYTES, le_u32(at + BLOCK_AT_BYTES));
    if (b->next == 0) {
        if (payload.bytes < HEAD_BYTES)
            return footer_bad("it has no head", err);
        salt_from(collection, payload, b);
    }
    if (container_item_crc(b->header_crc, COLD_SECTION_FOOTER, b->next,
                           slice_make(at, BLOCK_AT_CRC), payload) != le_u32(at + BLOCK_AT_CRC))
        return err_set(err, ST_CORRUPT, "cold segment footer: crc mismatch block=%" PRIu32,
                       b->next);
    *kind = le_u16(at + BLOCK_AT_KIND);
    *field = le_u16(at + BLOCK_AT_FIELD);
    *out = payload;
    b->next++;
    b->left.data += BLOCK_HEADER_BYTES + payload.bytes;
    b->left.bytes -= BLOCK_HEADER_BYTES + payload.bytes;
    return ST_OK;
}

/* The next one that is not optional, which is this one. */
static status block_take(struct blocks *b, const uint8_t *collection, uint16_t kind, uint16_t field,
                         struct slice *out, struct err *err)
{
    uint16_t kind_is = BLOCK_OPTIONAL;
    uint16_t field_is = 0;

    while ((kind_is & BLOCK_OPTIONAL) != 0) {
        status st = block_next(b, collection, &kind_is, &field_is, out, err);

        if (st != ST_OK)
            return st;
    }
    if (kind_is > BLOCK_FRAMES)
        return err_set(err, ST_UNSUPPORTED,
                       "cold segment footer: block of kind %u is newer than this program", kind_is);
    if (kind_is != kind || field_is != field)
        return err_set(err, ST_CORRUPT,
                       "cold segment footer: block %u of field %u where %u of %u should be",
                       kind_is, field_is, kind, field);
    return ST_OK;
}

static status head_read(struct slice head, const uint8_t collection[16], uint32_t header_crc,
                        struct cold_footer *f, struct err *err)
{
    const uint8_t *at = head.data;

    if (le_u16(at + HEAD_AT_VERSION) > COLD_VERSION)
        return err_set(err, ST_UNSUPPORTED,
                       "cold segment version %u is newer than this program, which reads up to %d",
                       le_u16(at + HEAD_AT_VERSION), COLD_VERSION);
    memcpy(f->collection, collection, 16);
    f->header_crc = header_crc;
    f->salt = le_u32(at + HEAD_AT_SALT);
    f->rows = le_u32(at + HEAD_AT_ROWS);
    f->id_form = (enum cold_id_form)at[HEAD_AT_FORM];
    f->id_bytes = at[HEAD_AT_ID_BYTES];
    f->lsn_min = le_u64(at + HEAD_AT_LSN_MIN);
    f->lsn_max = le_u64(at + HEAD_AT_LSN_MAX);
    f->id_blocks = le_u32(at + HEAD_AT_ID_BLOCKS);
    f->payload_blocks = le_u32(at + HEAD_AT_PAYLOAD_BLOCKS);
    f->field_count = le_u16(at + HEAD_AT_FIELDS);
    if (le_u16(at + HEAD_AT_VERSION) == 0 || le_u16(at + HEAD_AT_ZERO) != 0 ||
        f->field_count > COLD_FIELDS_MAX ||
        head.bytes != HEAD_BYTES + (size_t)f->field_count * HEAD_FIELD_BYTES)
        return footer_bad("its head is not one", err);
    for (uint16_t i = 0; i < f->field_count; i++) {
        const uint8_t *e = at + HEAD_BYTES + (size_t)i * HEAD_FIELD_BYTES;
        struct cold_field *c = &f->fields[i];

        c->field = le_u16(e);
        c->metric = e[2];
        c->short_bits = e[3];
        c->dim = le_u32(e + 4);
        c->rows = le_u32(e + 8);
        c->coarse = le_u32(e + 12);
        c->fine = le_u32(e + 16);
    }
    f->id_filter_blocks = cold_filter_blocks(f->rows);
    if (f->id_blocks == 0 || f->id_blocks > f->rows || f->payload_blocks == 0 ||
        f->payload_blocks > f->rows)
        return footer_bad("more blocks than rows, or none", err);
    return cold_head_check(f, ST_CORRUPT, err);
}

static bool sizes_ok(const struct cold_footer *f, const struct found *found)
{
    for (uint16_t i = 0; i < f->field_count; i++) {
        const struct cold_field *c = &f->fields[i];
        const struct slice *b = found->fields[i];
        bool some = c->rows > 0;
        uint64_t want[FIELD_BLOCKS] = {
            some ? rabitq_signs_bytes(c->dim) : 0,
            some ? c->dim * sizeof(float) + (uint64_t)c->coarse * cold_row_code_bytes(c) : 0,
            (uint64_t)c->fine * cold_short_code_bytes(c),
            ((uint64_t)c->coarse + c->fine) * 4,
            some ? COLD_WORTH * sizeof(uint16_t) : 0,
        };

        for (unsigned k = 0; k < FIELD_BLOCKS; k++)
            if (b[k].bytes != want[k])
                return false;
    }
    return found->filter.bytes == (uint64_t)f->id_filter_blocks * FILTER_BLOCK_BYTES &&
           found->fences.bytes >= (uint64_t)f->id_blocks * 2 &&
           found->frames.bytes == (uint64_t)f->payload_blocks * 8;
}

static status blocks_find(struct slice bytes, const uint8_t collection[16], struct cold_footer *f,
                          struct found *out, struct err *err)
{
    struct blocks b = {.left = bytes};
    status st = block_take(&b, collection, BLOCK_HEAD, 0, &out->head, err);

    if (st == ST_OK)
        st = head_read(out->head, collection, b.header_crc, f, err);
    for (uint16_t i = 0; st == ST_OK && i < f->field_count; i++)
        for (uint16_t k = 0; st == ST_OK && k < FIELD_BLOCKS; k++)
            st = block_take(&b, collection, BLOCK_ROTATION + k, i, &out->fields[i][k], err);
    if (st == ST_OK)
        st = block_take(&b, collection, BLOCK_ID_FILTER, 0, &out->filter, err);
    if (st == ST_OK)
        st = block_take(&b, collection, BLOCK_ID_FENCES, 0, &out->fences, err);
    if (st == ST_OK)
        st = block_take(&b, collection, BLOCK_FRAMES, 0, &out->frames, err);
    while (st == ST_OK && b.left.bytes > 0) {
        uint16_t kind, field;
        struct slice skipped;

        st = block_next(&b, collection, &kind, &field, &skipped, err);
        if (st == ST_OK && kind == BLOCK_INDEXES && out->indexes.data != NULL)
            st = footer_bad("a block stands there twice", err);
        if (st == ST_OK && kind == BLOCK_INDEXES)
            out->indexes = skipped;
        if (st == ST_OK && kind == BLOCK_NO_EXTERNAL_IDS && skipped.bytes == 0)
            f->no_external_ids = true;
        if (st == ST_OK && (kind & BLOCK_OPTIONAL) == 0)
            st = kind > BLOCK_FRAMES
                     ? err_set(err, ST_UNSUPPORTED,
                               "cold segment footer: block of kind %u is newer than this program",
                               kind)
                     : footer_bad("a block stands there twice", err);
    }
    if (st == ST_OK && !sizes_ok(f, out))
        st = footer_bad("its blocks are not as long as its head says", err);
    return st;
}

/* --- arrays --- */

struct room { /* one allocation; u64 first, then u32, then u16 */
    uint64_t *u64;
    uint32_t *u32;
    uint16_t *u16;
};

static status room_make(struct cold_footer *f, struct room *out, struct err *err)
{
    size_t u64s = (size_t)f->payload_blocks + 1;
    size_t u32s = (size_t)f->payload_blocks + 1 + f->id_blocks + 1;
    size_t u16s = 0;

    for (uint16_t i = 0; i < f->field_count; i++) {
        u32s += f->fields[i].dim + 2 * ((size_t)f->fields[i].coarse + 1);
        u16s += 2 * (size_t)f->fields[i].fine + COLD_WORTH;
    }
    f->own_bytes = u64s * sizeof(uint64_t) + u32s * sizeof(uint32_t) + u16s * sizeof(uint16_t);
    f->own = mem_alloc(f->own_bytes);
    if (f->own == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the footer of a cold segment");
    out->u64 = f->own;
    out->u32 = (uint32_t *)(out->u64 + u64s);
    out->u16 = (uint16_t *)(out->u32 + u32s);
    return ST_OK;
}

static const uint16_t *take_u16(struct room *room, const uint8_t *from, size_t count)
{
    uint16_t *out = room->u16;

    for (size_t i = 0; i < count; i++)
        out[i] = le_u16(from + i * sizeof *out);
    room->u16 += count;
    return out;
}

static const float *take_f32(struct room *room, const uint8_t *from, size_t count)
{
    float *out = (float *)(void *)room->u32;

    for (size_t i = 0; i < count; i++)
        out[i] = cold_f32(from + i * sizeof *out);
    room->u32 += count;
    return out;
}

/* Firsts from the fine cells of each coarse one and the rows of each fine one. What does not sum up
 * is found by cold_fields_check(): here it only stays inside. */
static void take_firsts(struct room *room, const uint8_t *counts, struct cold_field *c)
{
    uint32_t *first_fine = room->u32;
    uint32_t *first_row = first_fine + c->coarse + 1;
    uint64_t fine = 0;
    uint64_t rows = 0;
    uint32_t at = 0;

    room->u32 += 2 * ((size_t)c->coarse + 1);
    for (uint32_t i = 0; i <= c->coarse; i++) {
        for (; at < fine && at < c->fine; at++)
            rows += c->fine_rows[at];
        first_fine[i] = fine > c->fine ? UINT32_MAX : (uint32_t)fine;
        first_row[i] = rows > c->rows ? UINT32_MAX : (uint32_t)rows;
        if (i < c->coarse)
            fine += le_u32(counts + (size_t)i * 4);
    }
    c->coarse_first_fine = first_fine;
    c->coarse_first_row = first_row;
}

static void field_take(struct room *room, const struct slice *blocks, struct cold_field *c)
{
    const uint8_t *coarse = blocks[BLOCK_COARSE - BLOCK_ROTATION].data;
    const uint8_t *cells = blocks[BLOCK_CELLS - BLOCK_ROTATION].data;
    size_t mean_bytes = c->dim * sizeof(float);

    if (c->rows == 0)
        return;
    c->signs = blocks[0].data;
    c->mean = take_f32(room, coarse, c->dim);
    c->coarse_codes = coarse + mean_bytes;
    c->fine_codes = blocks[BLOCK_FINE - BLOCK_ROTATION].data;
    c->fine_rows = take_u16(room, cells + (size_t)c->coarse * 4, c->fine);
    c->fine_spread = take_u16(room, cells + (size_t)c->coarse * 4 + (size_t)c->fine * 2, c->fine);
    c->worth = take_u16(room, blocks[BLOCK_WORTH - BLOCK_ROTATION].data, COLD_WORTH);
    take_firsts(room, cells, c);
}

static status fences_take(struct room *room, struct slice block, struct cold_footer *f,
                          struct err *err)
{
    struct slice fences =
        slice_make(block.data + (size_t)f->id_blocks * 2, block.bytes - (size_t)f->id_blocks * 2);
    uint32_t *at = room->u32;
    struct slice before = {0};
    size_t end = 0;

    room->u32 += (size_t)f->id_blocks + 1;
    at[0] = 0;
    for (uint32_t i = 0; i < f->id_blocks; i++) {
        struct slice fence = slice_make(fences.data + end, le_u16(block.data + (size_t)i * 2));

        if (fence.bytes > fences.bytes - end || fence.bytes > ID_KEY_BYTES_MAX ||
            (i == 0) != (fence.bytes == 0) || (i > 0 && !cold_key_below(before, fence)))
            return footer_bad("the fences of the id index are out of order", err);
        end += fence.bytes;
        at[i + 1] = (uint32_t)end;
        before = fence;
    }
    if (end != fences.bytes)
        return footer_bad("bytes follow the fences of the id index", err);
    f->id_fence_at = at;
    f->id_fences = fences.data;
    return ST_OK;
}

static status frames_take(struct room *room, const uint8_t *frames, struct cold_footer *f,
                          struct err *err)
{
    uint32_t *first = room->u32;
    uint64_t *offset = room->u64;

    room->u32 += (size_t)f->payload_blocks + 1;
    offset[0] = 0;
    for (uint32_t i = 0; i < f->payload_blocks; i++) {
        uint32_t bytes = le_u32(frames + (size_t)i * 8 + 4);

        first[i] = le_u32(frames + (size_t)i * 8);
        if ((i == 0 ? first[i] != 0 : first[i] <= first[i - 1]) || first[i] >= f->rows ||
            bytes <= PAYLOAD_HEADER_BYTES ||
            bytes > PAYLOAD_HEADER_BYTES + COLD_PAYLOAD_BLOCK_BYTES_MAX)
            return footer_bad("payload blocks are out of order or range", err);
        offset[i + 1] = offset[i] + bytes;
    }
    first[f->payload_blocks] = f->rows;
    f->payload_first = first;
    f->payload_offsets = offset;
    return ST_OK;
}

static status arrays_take(const struct found *found, struct cold_footer *f, struct err *err)
{
    struct room room = {.u16 = NULL};
    status st = room_make(f, &room, err);

    if (st != ST_OK)
        return st;
    for (uint16_t i = 0; i < f->field_count; i++)
        field_take(&room, found->fields[i], &f->fields[i]);
    f->id_filter = found->filter.data;
    st = fences_take(&room, found->fences, f, err);
    if (st == ST_OK)
        st = frames_take(&room, found->frames.data, f, err);
    return st == ST_OK ? cold_fields_check(f, ST_CORRUPT, err) : st;
}

static status named_check(const struct cold_footer *f, uint64_t end,
                          const struct manifest_cold *named, struct err *err)
{
    if (f->rows != named->rows || f->lsn_min != named->lsn_min || f->lsn_max != named->lsn_max)
        return err_set(err, ST_CORRUPT,
                       "cold segment footer: rows=%" PRIu32 " lsns %" PRIu64 " to %" PRIu64
                       ", the manifest says %" PRIu32 ", %" PRIu64 " to %" PRIu64,
                       f->rows, f->lsn_min, f->lsn_max, named->rows, named->lsn_min,
                       named->lsn_max);
    if (end > named->footer_offset)
        return err_set(err, ST_CORRUPT,
                       "cold segment footer: sections end at %" PRIu64
                       ", the manifest has the footer at %" PRIu64,
                       end, named->footer_offset);
    return ST_OK;
}

static status places_check(const struct cold_footer *f, uint64_t end,
                           const struct manifest_cold *named, struct err *err)
{
    if (f->indexes != NULL && f->indexes->at < end)
        return footer_bad("its payload indexes lie in other sections", err);
    if (f->indexes != NULL)
        end = f->indexes->end;
    return named == NULL ? ST_OK : named_check(f, end, named, err);
}

status cold_footer_decode(struct slice bytes, const uint8_t collection[16],
                          const struct manifest_cold *named, struct cold_footer *out,
                          struct err *err)
{
    struct cold_footer f = {0};
    struct found *found;
    status st;

    if (named != NULL && (bytes.bytes != named->footer_bytes ||
                          crc32c(0, bytes.data, bytes.bytes) != named->footer_crc))
        return footer_bad("it is not the one the manifest names", err);
    found = mem_zero(sizeof *found);
    if (found == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the footer of a cold segment");
    st = blocks_find(bytes, collection, &f, found, err);
    if (st == ST_OK)
        st = arrays_take(found, &f, err);
    if (st == ST_OK && found->indexes.data != NULL)
        st = cold_indexes_decode(found->indexes, &f, err);
    mem_free(found);
    if (st == ST_OK)
        st = places_check(&f, cold_place_sections(&f), named, err);
    if (st != ST_OK) {
        cold_footer_free(&f);
        return st;
    }
    *out = f;
    return ST_OK;
}
