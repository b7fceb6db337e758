#include "base/crc32c.h"
#include "base/mem.h"
#include "segment/container_internal.h"

#include <inttypes.h>

struct container_writer {
    struct container_sink *sink; /* borrowed */
    enum container_kind kind;
    uint32_t header_crc;
    status failed; /* of the first failure: a container with a hole is never finished */
    bool in_section;
    uint64_t offset; /* bytes given to the sink */
    struct container_entry entries[CONTAINER_SECTIONS_MAX];
    size_t entry_count;
    size_t unit_bytes; /* payload in the unit below; of a framed section: what is not written yet */
    uint8_t unit[CONTAINER_UNIT_HEADER_BYTES + CONTAINER_UNIT_BYTES];
};

uint32_t container_unit_crc(uint32_t file_crc, uint16_t section, uint32_t unit,
                            const uint8_t *header, struct slice payload)
{
    uint8_t place[12] = {0};
    uint32_t crc;

    le_put_u32(place, file_crc);
    le_put_u16(place + 4, section);
    le_put_u32(place + 8, unit);
    crc = crc32c(0, place, sizeof place);
    crc = crc32c(crc, header, UNIT_AT_CRC);
    crc = crc32c(crc, header + UNIT_AT_TAG, UNIT_TAG_BYTES);
    return crc32c(crc, payload.data, payload.bytes);
}

static status sink_write(struct container_writer *w, const void *data, size_t bytes,
                         struct err *err)
{
    status st = w->sink->write(w->sink, slice_make(data, bytes), err);

    if (st == ST_OK)
        w->offset += bytes;
    else
        w->failed = st;
    return st;
}

static status check_usable(const struct container_writer *w, struct err *err)
{
    if (w->failed == ST_OK)
        return ST_OK;
    return err_set(err, w->failed, "the container could not be written before");
}

uint32_t container_item_crc(uint32_t header_crc, uint16_t section, uint32_t number,
                            struct slice before, struct slice after)
{
    uint8_t place[12] = {0};
    uint32_t crc;

    le_put_u32(place, header_crc);
    le_put_u16(place + 4, section);
    le_put_u32(place + 8, number);
    crc = crc32c(0, place, sizeof place);
    crc = crc32c(crc, before.data, before.bytes);
    return crc32c(crc, after.data, after.bytes);
}

static uint32_t header_make(enum container_kind kind, const uint8_t owner_id[16], uint32_t salt,
                            uint8_t header[HEADER_BYTES])
{
    uint32_t crc;

    memcpy(header + HEADER_AT_MAGIC, CONTAINER_MAGIC_HEADER, 4);
    le_put_u16(header + HEADER_AT_VERSION, CONTAINER_VERSION);
    le_put_u16(header + HEADER_AT_KIND, (uint16_t)kind);
    memcpy(header + HEADER_AT_OWNER, owner_id, 16);
    le_put_u32(header + HEADER_AT_SALT, salt);
    crc = crc32c(0, header, HEADER_AT_CRC);
    le_put_u32(header + HEADER_AT_CRC, crc);
    return crc;
}

uint32_t container_cold_header_crc(const uint8_t owner_id[16], uint32_t salt)
{
    uint8_t header[HEADER_BYTES];

    return header_make(CONTAINER_COLD, owner_id, salt, header);
}

static status create(struct container_sink *sink, enum container_kind kind,
                     const uint8_t owner_id[16], uint32_t salt, struct container_writer **out,
                     struct err *err)
{
    struct container_writer *w = mem_alloc(sizeof *w);
    uint8_t header[HEADER_BYTES];
    status st;

    if (w == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a container");
    memset(w, 0, offsetof(struct container_writer, unit));
    w->header_crc = header_make(kind, owner_id, salt, header);
    w->sink = sink;
    w->kind = kind;
    st = sink_write(w, header, sizeof header, err);
    if (st != ST_OK) {
        container_writer_destroy(w);
        return st;
    }
    *out = w;
    return ST_OK;
}

status container_create(struct container_sink *sink, enum container_kind kind,
                        const uint8_t owner_id[16], struct container_writer **out, struct err *err)
{
    return create(sink, kind, owner_id, 0, out, err);
}

status container_create_cold(struct container_sink *sink, const uint8_t owner_id[16], uint32_t salt,
                             struct container_writer **out, struct err *err)
{
    return create(sink, CONTAINER_COLD, owner_id, salt, out, err);
}

void container_writer_destroy(struct container_writer *w)
{
    mem_free(w);
}

static struct container_entry *current(struct container_writer *w)
{
    return &w->entries[w->entry_count - 1];
}

static status flush_unit(struct container_writer *w, struct err *err)
{
    struct container_entry *e = current(w);
    struct slice payload = slice_make(w->unit + CONTAINER_UNIT_HEADER_BYTES, w->unit_bytes);
    status st;

    if (w->unit_bytes == 0)
        return ST_OK;
    memset(w->unit, 0, CONTAINER_UNIT_HEADER_BYTES);
    le_put_u32(w->unit + UNIT_AT_BYTES, (uint32_t)w->unit_bytes);
    le_put_u32(w->unit + UNIT_AT_CRC,
               container_unit_crc(w->header_crc, e->info.section, e->info.units, w->unit, payload));
    st = sink_write(w, w->unit, CONTAINER_UNIT_HEADER_BYTES + w->unit_bytes, err);
    if (st != ST_OK)
        return st;
    e->info.crc = crc32c(e->info.crc, w->unit, CONTAINER_UNIT_HEADER_BYTES);
    e->info.units++;
    e->info.bytes += w->unit_bytes;
    e->bytes += CONTAINER_UNIT_HEADER_BYTES + w->unit_bytes;
    w->unit_bytes = 0;
    return ST_OK;
}

static status flush_items(struct container_writer *w, struct err *err)
{
    status st = w->unit_bytes == 0 ? ST_OK : sink_write(w, w->unit, w->unit_bytes, err);

    w->unit_bytes = 0;
    return st;
}

static bool is_framed(struct container_writer *w)
{
    return (current(w)->info.flags & CONTAINER_SECTION_FRAMED) != 0;
}

static status end_section(struct container_writer *w, struct err *err)
{
    status st = ST_OK;

    if (w->in_section)
        st = is_framed(w) ? flush_items(w, err) : flush_unit(w, err);
    w->in_section = false;
    return st;
}

status container_section(struct container_writer *w, uint16_t section, uint16_t flags,
                         struct err *err)
{
    status st = check_usable(w, err);

    if (st == ST_OK)
        st = end_section(w, err);
    if (st != ST_OK)
        return st;
    assert(w->entry_count < CONTAINER_SECTIONS_MAX);
    assert((flags & ~(CONTAINER_SECTION_OPTIONAL | CONTAINER_SECTION_FRAMED)) == 0);
    assert(w->kind == CONTAINER_COLD || (flags & CONTAINER_SECTION_FRAMED) == 0);
    for (size_t i = 0; i < w->entry_count; i++)
        assert(w->entries[i].info.section != section);
    w->entries[w->entry_count++] =
        (struct container_entry){.info = {.section = section, .flags = flags, .offset = w->offset}};
    w->in_section = true;
    return ST_OK;
}

status container_write(struct container_writer *w, struct slice bytes, struct err *err)
{
    status st = check_usable(w, err);

    assert(w->in_section && !is_framed(w));
    while (st == ST_OK && bytes.bytes > 0) {
        size_t room = CONTAINER_UNIT_BYTES - w->unit_bytes;
        size_t n = bytes.bytes < room ? bytes.bytes : room;

        memcpy(w->unit + CONTAINER_UNIT_HEADER_BYTES + w->unit_bytes, bytes.data, n);
        w->unit_bytes += n;
        bytes.data += n;
        bytes.bytes -= n;
        if (w->unit_bytes == CONTAINER_UNIT_BYTES)
            st = flush_unit(w, err);
    }
    return st;
}

status container_cut(struct container_writer *w, struct err *err)
{
    status st = check_usable(w, err);

    assert(w->in_section && !is_framed(w));
    return st == ST_OK ? flush_unit(w, err) : st;
}

status container_item(struct container_writer *w, struct slice item, uint32_t checksum,
                      struct err *err)
{
    struct container_entry *e = current(w);
    status st = check_usable(w, err);
    uint8_t crc[4];

    assert(w->in_section && is_framed(w));
    if (st == ST_OK && item.bytes > sizeof w->unit - w->unit_bytes)
        st = flush_items(w, err);
    if (st == ST_OK && item.bytes > sizeof w->unit)
        st = sink_write(w, item.data, item.bytes, err);
    else if (st == ST_OK) {
        memcpy(w->unit + w->unit_bytes, item.data, item.bytes);
        w->unit_bytes += item.bytes;
    }
    if (st != ST_OK)
        return st;
    le_put_u32(crc, checksum);
    e->info.crc = crc32c(e->info.crc, crc, sizeof crc);
    e->info.units++;
    e->info.bytes += item.bytes;
    e->bytes += item.bytes;
    return ST_OK;
}

uint64_t container_offset(const struct container_writer *w)
{
    return w->offset + w->unit_bytes;
}

static void entry_encode(const struct container_entry *e, uint8_t out[ENTRY_BYTES])
{
    memset(out, 0, ENTRY_BYTES);
    le_put_u16(out + ENTRY_AT_SECTION, e->info.section);
    le_put_u16(out + ENTRY_AT_FLAGS, e->info.flags);
    le_put_u32(out + ENTRY_AT_UNITS, e->info.units);
    le_put_u64(out + ENTRY_AT_OFFSET, e->info.offset);
    le_put_u64(out + ENTRY_AT_BYTES, e->bytes);
    le_put_u64(out + ENTRY_AT_PAYLOAD, e->info.bytes);
    le_put_u32(out + ENTRY_AT_CRC, e->info.crc);
}

status container_finish(struct container_writer *w, uint64_t *bytes, uint32_t *crc, struct err *err)
{
    uint8_t table[CONTAINER_SECTIONS_MAX * ENTRY_BYTES];
    uint8_t trailer[TRAILER_BYTES] = {0};
    size_t table_bytes = w->entry_count * ENTRY_BYTES;
    status st = check_usable(w, err);

    if (st == ST_OK)
        st = end_section(w, err);
    if (st != ST_OK)
        return st;
    for (size_t i = 0; i < w->entry_count; i++)
        entry_encode(&w->entries[i], table + i * ENTRY_BYTES);
    memcpy(trailer + TRAILER_AT_MAGIC, CONTAINER_MAGIC_TRAILER, 4);
    le_put_u16(trailer + TRAILER_AT_VERSION, CONTAINER_VERSION);
    le_put_u16(trailer + TRAILER_AT_KIND, (uint16_t)w->kind);
    le_put_u64(trailer + TRAILER_AT_TABLE, w->offset);
    le_put_u32(trailer + TRAILER_AT_SECTIONS, (uint32_t)w->entry_count);
    le_put_u32(trailer + TRAILER_AT_TABLE_CRC, crc32c(0, table, table_bytes));
    le_put_u64(trailer + TRAILER_AT_BYTES, w->offset + table_bytes + TRAILER_BYTES);
    le_put_u32(trailer + TRAILER_AT_HEADER_CRC, w->header_crc);
    le_put_u32(trailer + TRAILER_AT_CRC, crc32c(0, trailer, TRAILER_AT_CRC));
    st = sink_write(w, table, table_bytes, err);
    if (st == ST_OK)
        st = sink_write(w, trailer, sizeof trailer, err);
    if (st != ST_OK)
        return st;
    *bytes = w->offset;
    *crc = le_u32(trailer + TRAILER_AT_CRC);
    return ST_OK;
}
