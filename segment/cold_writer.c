/* A cold segment in one pass. What the footer needs at the end is kept: filter, fences, frames; the
 * rest goes out as it comes. Everything is held against the readers' rules before it is written. */
#include "base/mem.h"
#include "segment/cold_writer_internal.h"
#include "segment/container_items.h"

#include <math.h>

/* --- which section it is --- */

unsigned cold_payload_section(const struct cold_writer *w)
{
    return (unsigned)w->f.field_count * PART_COUNT;
}

static uint16_t section_number(const struct cold_writer *w, unsigned section)
{
    static const uint16_t parts[PART_COUNT] = {COLD_SECTION_RECORDS, COLD_SECTION_CODES,
                                               COLD_SECTION_VECTORS};

    if (section == cold_payload_section(w))
        return COLD_SECTION_PAYLOAD;
    if (section > cold_payload_section(w))
        return COLD_SECTION_IDS;
    return (uint16_t)(parts[section % PART_COUNT] + section / PART_COUNT);
}

static uint32_t rows_of(const struct cold_writer *w, unsigned section)
{
    return section >= cold_payload_section(w) ? w->f.rows : w->f.fields[section / PART_COUNT].rows;
}

static status usable(const struct cold_writer *w, struct err *err)
{
    return w->failed ? err_set(err, ST_INVALID, "the cold segment could not be written before")
                     : ST_OK;
}

status cold_writer_fail(struct cold_writer *w, status st)
{
    w->failed = w->failed || st != ST_OK;
    return st;
}

/* Goes on to the wanted section, past those that are whole. */
status cold_writer_turn(struct cold_writer *w, unsigned wanted, struct err *err)
{
    status st = usable(w, err);

    while (st == ST_OK && w->section < wanted && w->done == rows_of(w, w->section)) {
        w->section++;
        w->done = 0;
        if (w->section <= cold_payload_section(w) + 1)
            st = cold_writer_fail(w, container_section(w->out, section_number(w, w->section),
                                                       CONTAINER_SECTION_FRAMED, err));
    }
    if (st != ST_OK)
        return st;
    if (w->section != wanted || w->done == rows_of(w, wanted))
        return err_set(err, ST_INVALID,
                       "cold segment: out of turn, or a row too many, in section %u: %" PRIu32
                       " of %" PRIu32 " are written",
                       section_number(w, w->section), w->done, rows_of(w, w->section));
    return ST_OK;
}

status cold_writer_invalid(const struct cold_writer *w, const char *what, struct err *err)
{
    return err_set(err, ST_INVALID, "cold segment section %u row %" PRIu32 ": %s",
                   section_number(w, w->section), w->done, what);
}

/* The item, its checksum at its begin. */
static status put_item(struct cold_writer *w, uint32_t number, struct err *err)
{
    status st = buf_status(&w->item, err);
    uint32_t crc;

    if (st != ST_OK)
        return cold_writer_fail(w, st);
    crc = container_item_crc(w->f.header_crc, section_number(w, w->section), number,
                             slice_make(w->item.data, 0),
                             slice_make(w->item.data + 4, w->item.bytes - 4));
    buf_set_u32(&w->item, 0, crc);
    return cold_writer_fail(w, container_item(w->out, buf_slice(&w->item), crc, err));
}

/* --- records, codes, vectors --- */

static void put_id(struct buf *b, const struct cold_footer *f, const struct cold_record *r)
{
    size_t room = (size_t)f->id_bytes - ID_PREFIX_BYTES;
    size_t begin = b->bytes + ID_PREFIX_BYTES;

    if (f->id_form == COLD_ID_U64) {
        buf_put_u64(b, r->id.u64);
    } else if (f->id_form == COLD_ID_UUID) {
        buf_put(b, r->id.uuid, sizeof r->id.uuid);
    } else if (cold_id_needs_place(f->id_bytes, &r->id)) {
        buf_put_u8(b, ID_HASHED);
        buf_put_u8(b, ID_HASHED_BYTES);
        buf_put_u64(b, docid_hash(&r->id));
        buf_put_u32(b, r->id_place);
        buf_put_zeros(b, room - ID_HASHED_BYTES);
    } else {
        buf_put_u8(b, r->id.kind);
        buf_put_u8(b, 0);
        if (r->id.kind == DOCID_U64)
            buf_put_u64(b, r->id.u64);
        else if (r->id.kind == DOCID_UUID)
            buf_put(b, r->id.uuid, sizeof r->id.uuid);
        else
            buf_put_slice(b, r->id.bytes);
        if (b->failed)
            return;
        b->data[begin - 1] = (uint8_t)(b->bytes - begin);
        buf_put_zeros(b, room - (b->bytes - begin));
    }
}

static const char *record_problem(const struct cold_writer *w, uint16_t position,
                                  const struct cold_record *r)
{
    const struct cold_footer *f = &w->f;
    size_t code_bytes = cold_row_code_bytes(&f->fields[position]);

    if (r->lsn < f->lsn_min || r->lsn > f->lsn_max)
        return "lsn out of range";
    if (!docid_ok(&r->id) || !cold_id_fits_form(f->id_form, &r->id))
        return "an id of another kind";
    if (position > 0 && r->ordinal >= f->rows)
        return "ordinal out of range";
    if (!isfinite(cold_f32(r->code + code_bytes - 8)) ||
        !isfinite(cold_f32(r->code + code_bytes - 4)))
        return "factors that are not finite";
    return NULL;
}

status cold_writer_record(struct cold_writer *w, uint16_t position,
                          const struct cold_record *record, struct err *err)
{
    struct buf *b = &w->item;
    const char *problem;
    status st;

    assert(position < w->f.field_count);
    st = cold_writer_turn(w, (unsigned)position * PART_COUNT + PART_RECORDS, err);

    if (st != ST_OK)
        return st;
    problem = record_problem(w, position, record);
    if (problem != NULL)
        return cold_writer_invalid(w, problem, err);
    buf_reset(b);
    buf_put_u32(b, 0);
    buf_put_u64(b, record->lsn);
    put_id(b, &w->f, record);
    buf_put(b, record->code, cold_row_code_bytes(&w->f.fields[position]));
    if (position > 0)
        buf_put_u32(b, record->ordinal);
    st = put_item(w, w->done, err);
    w->done++;
    return st;
}

status cold_writer_code(struct cold_writer *w, uint16_t position, const uint8_t *code,
                        struct err *err)
{
    const struct cold_field *c = &w->f.fields[position];
    status st;

    assert(position < w->f.field_count);
    st = cold_writer_turn(w, (unsigned)position * PART_COUNT + PART_CODES, err);

    if (st != ST_OK)
        return st;
    if (w->done == 0)
        w->codes.coarse = 0;
    if (w->done == c->coarse_first_row[w->codes.coarse]) {
        buf_reset(&w->item);
        buf_put_u32(&w->item, 0);
        buf_put_u32(&w->item, c->coarse_first_row[w->codes.coarse + 1] - w->done);
    }
    buf_put(&w->item, code, cold_short_code_bytes(c));
    w->done++;
    if (w->done < c->coarse_first_row[w->codes.coarse + 1])
        return cold_writer_fail(w, buf_status(&w->item, err));
    return put_item(w, w->codes.coarse++, err);
}

status cold_writer_vector(struct cold_writer *w, uint16_t position, const float *values,
                          struct err *err)
{
    const struct cold_field *c = &w->f.fields[position];
    status st;

    assert(position < w->f.field_count);
    st = cold_writer_turn(w, (unsigned)position * PART_COUNT + PART_VECTORS, err);

    if (st != ST_OK)
        return st;
    buf_reset(&w->item);
    buf_put_u32(&w->item, 0);
    for (uint32_t d = 0; d < c->dim; d++) {
        if (!isfinite(values[d]))
            return cold_writer_invalid(w, "a value that is not finite", err);
        buf_put_f32(&w->item, values[d]);
    }
    st = put_item(w, w->done, err);
    w->done++;
    return st;
}

/* --- begin and end --- */

static status options_take(const struct cold_writer_options *o, struct cold_footer *f,
                           struct err *err)
{
    status st;

    if (o->field_count > COLD_FIELDS_MAX)
        return err_set(err, ST_INVALID, "cold segment: %u fields are too many", o->field_count);
    memcpy(f->collection, o->collection, 16);
    f->salt = o->salt;
    f->rows = o->rows;
    f->lsn_min = o->lsn_min;
    f->lsn_max = o->lsn_max;
    f->id_form = o->id_form;
    f->id_bytes = o->id_bytes;
    f->field_count = o->field_count;
    for (uint16_t i = 0; i < o->field_count; i++)
        f->fields[i] = o->fields[i];
    f->header_crc = container_cold_header_crc(o->collection, o->salt);
    f->id_filter_blocks = cold_filter_blocks(o->rows);
    st = cold_head_check(f, ST_INVALID, err);
    return st == ST_OK ? cold_fields_check(f, ST_INVALID, err) : st;
}

static status first_section(struct cold_writer *w, struct err *err)
{
    return container_section(w->out, section_number(w, 0), CONTAINER_SECTION_FRAMED, err);
}

status cold_writer_create(struct container_sink *sink, const struct cold_writer_options *options,
                          struct cold_writer **out, struct err *err)
{
    struct cold_writer *w = mem_zero(sizeof *w);
    status st;

    if (w == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a cold segment");
    buf_init(&w->item, SIZE_MAX);
    buf_init(&w->payload.block, COLD_PAYLOAD_BLOCK_BYTES_MAX);
    buf_init(&w->payload.row, COLD_PAYLOAD_BLOCK_BYTES_MAX);
    buf_init(&w->payload.frames, UINT32_MAX);
    buf_init(&w->ids.lengths, UINT32_MAX);
    buf_init(&w->ids.fences, UINT32_MAX);
    buf_init(&w->index.directory, UINT32_MAX);
    buf_init(&w->index.block, COLD_INDEX_BLOCK_BYTES_MAX);
    buf_init(&w->index.entry, COLD_INDEX_BLOCK_BYTES_MAX);
    st = options_take(options, &w->f, err);
    if (st == ST_OK) {
        w->ids.filter = mem_zero_array(w->f.id_filter_blocks, FILTER_BLOCK_BYTES);
        if (w->ids.filter == NULL)
            st = err_set(err, ST_NOMEM, "out of memory for a cold segment");
    }
    if (st == ST_OK && !options->plain)
        st = compressor_create(&w->payload.zip, err);
    if (st == ST_OK)
        st = container_create_cold(sink, options->collection, options->salt, &w->out, err);
    if (st == ST_OK)
        st = first_section(w, err);
    if (st != ST_OK) {
        cold_writer_destroy(w);
        return st;
    }
    *out = w;
    return ST_OK;
}

void cold_writer_destroy(struct cold_writer *w)
{
    if (w == NULL)
        return;
    container_writer_destroy(w->out);
    compressor_destroy(w->payload.zip);
    buf_free(&w->item);
    buf_free(&w->payload.block);
    buf_free(&w->payload.row);
    buf_free(&w->payload.frames);
    buf_free(&w->ids.lengths);
    buf_free(&w->ids.fences);
    buf_free(&w->index.directory);
    buf_free(&w->index.block);
    buf_free(&w->index.entry);
    mem_free(w->ids.filter);
    mem_free(w);
}

static status put_footer(struct cold_writer *w, struct manifest_cold *out, struct err *err)
{
    struct cold_footer_tail tail;
    uint64_t bytes = 0;
    status st = container_section(w->out, COLD_SECTION_FOOTER, CONTAINER_SECTION_FRAMED, err);

    out->footer_offset = container_offset(w->out);
    buf_put_slice(&w->ids.lengths, buf_slice(&w->ids.fences));
    if (st == ST_OK)
        st = buf_status(&w->ids.lengths, err);
    w->f.no_external_ids = !w->payload.external_ids;
    tail = (struct cold_footer_tail){
        .id_filter = slice_make(w->ids.filter, (size_t)w->f.id_filter_blocks * FILTER_BLOCK_BYTES),
        .id_fences = buf_slice(&w->ids.lengths),
        .frames = buf_slice(&w->payload.frames),
        .indexes = buf_slice(&w->index.directory),
    };
    if (st == ST_OK)
        st = cold_footer_write(w->out, &w->f, &tail, &out->footer_crc, err);
    bytes = container_offset(w->out) - out->footer_offset;
    if (st == ST_OK && bytes > UINT32_MAX)
        st = err_set(err, ST_NOSPACE, "a cold segment's footer of %" PRIu64 " bytes", bytes);
    out->footer_bytes = (uint32_t)bytes;
    return st;
}

status cold_writer_finish(struct cold_writer *w, struct manifest_cold *out, struct err *err)
{
    struct manifest_cold m = *out;
    status st = usable(w, err);

    if (st != ST_OK)
        return st;
    if (w->index.open)
        return err_set(err, ST_INVALID, "cold segment: a payload index is not at its end");
    if (w->section != cold_payload_section(w) + 1 || w->done != w->f.rows)
        return err_set(err, ST_INVALID,
                       "cold segment: section %u ends at row %" PRIu32 " of %" PRIu32,
                       section_number(w, w->section), w->done, rows_of(w, w->section));
    if (w->lsn_min != w->f.lsn_min || w->lsn_max != w->f.lsn_max)
        return err_set(err, ST_INVALID,
                       "cold segment: lsns %" PRIu64 " to %" PRIu64 ", %" PRIu64 " to %" PRIu64
                       " were said",
                       w->lsn_min, w->lsn_max, w->f.lsn_min, w->f.lsn_max);
    st = put_footer(w, &m, err);
    if (st == ST_OK)
        st = container_finish(w->out, &m.object.bytes, &m.object.crc, err);
    w->failed = true; /* there is nothing more to write */
    if (st != ST_OK)
        return st;
    m.lsn_min = w->f.lsn_min;
    m.lsn_max = w->f.lsn_max;
    m.rows = w->f.rows;
    *out = m;
    return ST_OK;
}
