/* Records, short codes and full vectors: where they lie, and whether they are what was written. */
#include "segment/cold_internal.h"

#include <math.h>

static const struct cold_field *field_of(const struct cold_footer *f, uint16_t position)
{
    assert(position < f->field_count);
    return &f->fields[position];
}

static status bad(const char *what, uint16_t section, uint32_t number, const char *why,
                  struct err *err)
{
    return err_set(err, ST_CORRUPT, "cold segment section %u %s %" PRIu32 ": %s", section, what,
                   number, why);
}

/* --- records --- */

void cold_records_range(const struct cold_footer *f, uint16_t position, uint32_t first,
                        uint32_t count, uint64_t *offset, uint64_t *bytes)
{
    const struct cold_field *c = field_of(f, position);

    assert(first <= c->rows && count <= c->rows - first);
    *offset = c->records_at + (uint64_t)first * c->record_bytes;
    *bytes = (uint64_t)count * c->record_bytes;
}

static bool zeros(const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (data[i] != 0)
            return false;
    return true;
}

/* The id of a record, and what stands there instead of one that is too long; false if neither. */
static bool id_read(const struct cold_footer *f, const uint8_t *at, struct cold_record *out)
{
    uint8_t kind = at[0];
    uint8_t n = at[1];
    const uint8_t *bytes = at + ID_PREFIX_BYTES;

    if (f->id_form == COLD_ID_U64) {
        out->id = docid_u64(le_u64(at));
        return true;
    }
    if (f->id_form == COLD_ID_UUID) {
        out->id.kind = DOCID_UUID;
        memcpy(out->id.uuid, at, sizeof out->id.uuid);
        return true;
    }
    if (n > f->id_bytes - ID_PREFIX_BYTES ||
        !zeros(bytes + n, (size_t)f->id_bytes - ID_PREFIX_BYTES - n))
        return false;
    out->id.kind = kind;
    switch (kind) {
    case DOCID_U64:
        out->id.u64 = n == 8 ? le_u64(bytes) : 0;
        return n == 8;
    case DOCID_UUID:
        memcpy(out->id.uuid, bytes, sizeof out->id.uuid);
        return n == sizeof out->id.uuid;
    case DOCID_BYTES:
        out->id.bytes = slice_make(bytes, n);
        return n > 0;
    case ID_HASHED:
        out->id = (struct docid){0};
        out->id_is_hash = true;
        out->id_hash = le_u64(bytes);
        out->id_place = le_u32(bytes + 8);
        return n == ID_HASHED_BYTES && out->id_place < f->id_blocks;
    default:
        return false;
    }
}

static const char *record_read(const struct cold_footer *f, uint16_t position, uint32_t number,
                               const uint8_t *at, struct cold_record *out)
{
    const struct cold_field *c = &f->fields[position];
    const uint8_t *code = at + RECORD_AT_ID + f->id_bytes;
    size_t code_bytes = cold_row_code_bytes(c);

    *out = (struct cold_record){.lsn = le_u64(at + RECORD_AT_LSN), .ordinal = number, .code = code};
    if (position > 0)
        out->ordinal = le_u32(code + code_bytes);
    if (out->lsn < f->lsn_min || out->lsn > f->lsn_max)
        return "lsn out of range";
    if (!id_read(f, at + RECORD_AT_ID, out))
        return "id out of range";
    return out->ordinal < f->rows ? NULL : "ordinal out of range";
}

static bool factors_finite(const struct cold_field *c, const uint8_t *code)
{
    const uint8_t *factors = code + cold_row_code_bytes(c) - 2 * sizeof(float);

    return isfinite(cold_f32(factors)) && isfinite(cold_f32(factors + sizeof(float)));
}

status cold_records_check(const struct cold_footer *f, uint16_t position, uint32_t first,
                          struct slice bytes, struct err *err)
{
    const struct cold_field *c = field_of(f, position);
    uint16_t section = COLD_SECTION_RECORDS + position;
    size_t count = bytes.bytes / c->record_bytes;

    if (bytes.bytes % c->record_bytes != 0 || first > c->rows || count > c->rows - first)
        return bad("record", section, first, "cut short", err);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = bytes.data + i * c->record_bytes;
        uint32_t number = first + (uint32_t)i;
        struct cold_record record;
        const char *why;

        if (container_item_crc(f->header_crc, section, number, slice_make(at, 0),
                               slice_make(at + 4, c->record_bytes - 4)) != le_u32(at))
            return bad("record", section, number, "crc mismatch", err);
        why = record_read(f, position, number, at, &record);
        if (why == NULL && !factors_finite(c, record.code))
            why = "factors that are not finite";
        if (why != NULL)
            return bad("record", section, number, why, err);
    }
    return ST_OK;
}

void cold_record_at(const struct cold_footer *f, uint16_t position, uint32_t first,
                    struct slice bytes, uint32_t index, struct cold_record *out)
{
    const struct cold_field *c = field_of(f, position);

    assert((uint64_t)(index + 1) * c->record_bytes <= bytes.bytes);
    (void)record_read(f, position, first + index, bytes.data + (size_t)index * c->record_bytes,
                      out);
}

/* --- short codes --- */

void cold_codes_range(const struct cold_footer *f, uint16_t position, uint32_t coarse,
                      uint64_t *offset, uint64_t *bytes)
{
    const struct cold_field *c = field_of(f, position);
    size_t code = cold_short_code_bytes(c);
    uint32_t first;

    assert(coarse < c->coarse);
    first = c->coarse_first_row[coarse];
    *offset = c->codes_at + (uint64_t)coarse * CODES_HEADER_BYTES + (uint64_t)first * code;
    *bytes = CODES_HEADER_BYTES + (uint64_t)(c->coarse_first_row[coarse + 1] - first) * code;
}

status cold_codes_check(const struct cold_footer *f, uint16_t position, uint32_t coarse,
                        struct slice bytes, const uint8_t **codes, struct err *err)
{
    const struct cold_field *c = field_of(f, position);
    uint16_t section = COLD_SECTION_CODES + position;
    uint64_t offset, want;

    if (coarse >= c->coarse)
        return bad("codes", section, coarse, "there is no such cell", err);
    cold_codes_range(f, position, coarse, &offset, &want);
    if (bytes.bytes != want)
        return bad("codes", section, coarse, "cut short", err);
    if (container_item_crc(f->header_crc, section, coarse, slice_make(bytes.data, 0),
                           slice_make(bytes.data + 4, bytes.bytes - 4)) != le_u32(bytes.data))
        return bad("codes", section, coarse, "crc mismatch", err);
    if (le_u32(bytes.data + 4) != c->coarse_first_row[coarse + 1] - c->coarse_first_row[coarse])
        return bad("codes", section, coarse, "other rows than the cell has", err);
    *codes = bytes.data + CODES_HEADER_BYTES;
    return ST_OK;
}

/* --- full vectors --- */

void cold_vectors_range(const struct cold_footer *f, uint16_t position, uint32_t first,
                        uint32_t count, uint64_t *offset, uint64_t *bytes)
{
    const struct cold_field *c = field_of(f, position);

    assert(first <= c->rows && count <= c->rows - first);
    *offset = c->vectors_at + (uint64_t)first * cold_vector_bytes(c);
    *bytes = (uint64_t)count * cold_vector_bytes(c);
}

status cold_vectors_check(const struct cold_footer *f, uint16_t position, uint32_t first,
                          struct slice bytes, struct err *err)
{
    const struct cold_field *c = field_of(f, position);
    uint16_t section = COLD_SECTION_VECTORS + position;
    size_t each = cold_vector_bytes(c);
    size_t count = bytes.bytes / each;

    if (bytes.bytes % each != 0 || first > c->rows || count > c->rows - first)
        return bad("vector", section, first, "cut short", err);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = bytes.data + i * each;
        uint32_t number = first + (uint32_t)i;

        if (container_item_crc(f->header_crc, section, number, slice_make(at, 0),
                               slice_make(at + VECTOR_HEADER_BYTES, each - VECTOR_HEADER_BYTES)) !=
            le_u32(at))
            return bad("vector", section, number, "crc mismatch", err);
        for (uint32_t d = 0; d < c->dim; d++)
            if (!isfinite(cold_f32(at + VECTOR_HEADER_BYTES + d * sizeof(float))))
                return bad("vector", section, number, "a value that is not finite", err);
    }
    return ST_OK;
}

void cold_vector_at(const struct cold_footer *f, uint16_t position, struct slice bytes,
                    uint32_t index, float *out)
{
    const struct cold_field *c = field_of(f, position);
    const uint8_t *at = bytes.data + (size_t)index * cold_vector_bytes(c) + VECTOR_HEADER_BYTES;

    assert((uint64_t)(index + 1) * cold_vector_bytes(c) <= bytes.bytes);
    for (uint32_t d = 0; d < c->dim; d++)
        out[d] = cold_f32(at + d * sizeof(float));
}
