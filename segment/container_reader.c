/* Units are read one pread each: with a unit's payload comes the header of the next one, which is
 * kept aside. A unit is read, checked and used while it is in the cache of the CPU. */
#include "base/crc32c.h"
#include "base/mem.h"
#include "segment/container_internal.h"

#include <inttypes.h>

enum { ITEM_CRC_BYTES = 4 }; /* an item of a framed section has one */

struct container {
    struct container_source *source; /* borrowed */
    enum container_kind kind;
    uint32_t header_crc;
    uint32_t salt;
    uint32_t crc; /* the trailer's */
    struct container_entry *entries;
    size_t entry_count;
    uint64_t table_offset;
    uint64_t ahead_offset; /* of the unit header in `ahead`; 0: none */
    uint8_t ahead[CONTAINER_UNIT_HEADER_BYTES];
    uint8_t unit[CONTAINER_UNIT_BYTES_MAX + CONTAINER_UNIT_HEADER_BYTES];
};

static status source_read(struct container *c, uint64_t offset, void *out, size_t bytes,
                          struct err *err)
{
    return c->source->read(c->source, offset, out, bytes, err);
}

static bool is_zero(const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (data[i] != 0)
            return false;
    return true;
}

static status version_check(uint16_t version, struct err *err)
{
    if (version > CONTAINER_VERSION)
        return err_set(err, ST_UNSUPPORTED,
                       "container version %u is newer than this program, which reads up to %d",
                       version, CONTAINER_VERSION);
    return version == 0 ? err_set(err, ST_CORRUPT, "container version 0") : ST_OK;
}

static status read_header(struct container *c, const uint8_t owner_id[16], struct err *err)
{
    uint8_t h[HEADER_BYTES];
    status st = source_read(c, 0, h, sizeof h, err);

    if (st != ST_OK)
        return st;
    c->header_crc = le_u32(h + HEADER_AT_CRC);
    c->salt = le_u32(h + HEADER_AT_SALT);
    if (memcmp(h + HEADER_AT_MAGIC, CONTAINER_MAGIC_HEADER, 4) != 0 ||
        c->header_crc != crc32c(0, h, HEADER_AT_CRC) || (c->kind != CONTAINER_COLD && c->salt != 0))
        return err_set(err, ST_CORRUPT, "container header fails its check");
    st = version_check(le_u16(h + HEADER_AT_VERSION), err);
    if (st != ST_OK)
        return st;
    if (le_u16(h + HEADER_AT_KIND) != c->kind)
        return err_set(err, ST_CORRUPT, "container is of kind %u, not %d",
                       le_u16(h + HEADER_AT_KIND), (int)c->kind);
    if (memcmp(h + HEADER_AT_OWNER, owner_id, 16) != 0)
        return err_set(err, ST_CORRUPT, "container belongs to another collection");
    return ST_OK;
}

/* The trailer's part about the table; everything else in it is checked here. */
static status read_trailer(struct container *c, uint32_t *table_crc, struct err *err)
{
    uint64_t bytes = c->source->bytes;
    uint8_t t[TRAILER_BYTES];
    status st;

    if (bytes < HEADER_BYTES + TRAILER_BYTES)
        return err_set(err, ST_CORRUPT, "container is cut short bytes=%" PRIu64, bytes);
    st = source_read(c, bytes - TRAILER_BYTES, t, sizeof t, err);
    if (st != ST_OK)
        return st;
    c->crc = le_u32(t + TRAILER_AT_CRC);
    if (memcmp(t + TRAILER_AT_MAGIC, CONTAINER_MAGIC_TRAILER, 4) != 0 ||
        c->crc != crc32c(0, t, TRAILER_AT_CRC))
        return err_set(err, ST_CORRUPT, "container trailer fails its check: cut short or damaged");
    st = version_check(le_u16(t + TRAILER_AT_VERSION), err);
    if (st != ST_OK)
        return st;
    c->entry_count = le_u32(t + TRAILER_AT_SECTIONS);
    c->table_offset = le_u64(t + TRAILER_AT_TABLE);
    *table_crc = le_u32(t + TRAILER_AT_TABLE_CRC);
    if (le_u64(t + TRAILER_AT_BYTES) != bytes || le_u16(t + TRAILER_AT_KIND) != c->kind ||
        le_u32(t + TRAILER_AT_HEADER_CRC) != c->header_crc ||
        !is_zero(t + TRAILER_AT_ZERO, TRAILER_AT_CRC - TRAILER_AT_ZERO))
        return err_set(err, ST_CORRUPT, "container trailer does not fit the file bytes=%" PRIu64,
                       bytes);
    if (c->entry_count > CONTAINER_SECTIONS_MAX || c->table_offset < HEADER_BYTES ||
        c->table_offset > bytes - TRAILER_BYTES ||
        bytes - TRAILER_BYTES - c->table_offset != c->entry_count * ENTRY_BYTES)
        return err_set(err, ST_CORRUPT, "container table is out of range sections=%zu",
                       c->entry_count);
    return ST_OK;
}

/* A section begins at `offset` and all its numbers agree. */
static bool entry_ok(const struct container *c, const struct container_entry *e, const uint8_t *raw,
                     uint64_t offset)
{
    uint64_t headers = (uint64_t)e->info.units * CONTAINER_UNIT_HEADER_BYTES;
    unsigned known = CONTAINER_SECTION_OPTIONAL;

    if (c->kind == CONTAINER_COLD)
        known |= CONTAINER_SECTION_FRAMED;
    if (e->info.offset != offset || e->bytes > c->table_offset - offset ||
        (e->info.flags & ~known) != 0 || le_u32(raw + ENTRY_AT_ZERO) != 0)
        return false;
    if ((e->info.flags & CONTAINER_SECTION_FRAMED) != 0)
        return e->info.bytes == e->bytes && e->info.units <= e->bytes / ITEM_CRC_BYTES;
    return e->bytes >= headers && e->bytes - headers == e->info.bytes &&
           e->info.bytes >= e->info.units &&
           e->info.bytes <= (uint64_t)e->info.units * CONTAINER_UNIT_BYTES_MAX;
}

static status decode_table(struct container *c, const uint8_t *table, struct err *err)
{
    uint64_t offset = HEADER_BYTES;

    for (size_t i = 0; i < c->entry_count; i++) {
        const uint8_t *raw = table + i * ENTRY_BYTES;
        struct container_entry *e = &c->entries[i];

        e->info.section = le_u16(raw + ENTRY_AT_SECTION);
        e->info.flags = le_u16(raw + ENTRY_AT_FLAGS);
        e->info.units = le_u32(raw + ENTRY_AT_UNITS);
        e->info.bytes = le_u64(raw + ENTRY_AT_PAYLOAD);
        e->info.offset = le_u64(raw + ENTRY_AT_OFFSET);
        e->bytes = le_u64(raw + ENTRY_AT_BYTES);
        e->info.crc = le_u32(raw + ENTRY_AT_CRC);
        if (!entry_ok(c, e, raw, offset))
            return err_set(err, ST_CORRUPT, "container section %u is out of range",
                           e->info.section);
        for (size_t k = 0; k < i; k++)
            if (c->entries[k].info.section == e->info.section)
                return err_set(err, ST_CORRUPT, "container has section %u twice", e->info.section);
        offset += e->bytes;
    }
    if (offset != c->table_offset)
        return err_set(err, ST_CORRUPT, "container has bytes that belong to no section");
    return ST_OK;
}

static status read_table(struct container *c, uint32_t table_crc, struct err *err)
{
    size_t bytes = c->entry_count * ENTRY_BYTES;
    uint8_t *table = mem_alloc(bytes);
    status st;

    c->entries = mem_zero_array(c->entry_count, sizeof *c->entries);
    if (table == NULL || c->entries == NULL)
        st = err_set(err, ST_NOMEM, "out of memory for a container");
    else
        st = source_read(c, c->table_offset, table, bytes, err);
    if (st == ST_OK && crc32c(0, table, bytes) != table_crc)
        st = err_set(err, ST_CORRUPT, "container section table crc mismatch");
    if (st == ST_OK)
        st = decode_table(c, table, err);
    mem_free(table);
    return st;
}

status container_open(struct container_source *source, enum container_kind kind,
                      const uint8_t owner_id[16], struct container **out, struct err *err)
{
    struct container *c = mem_alloc(sizeof *c);
    uint32_t table_crc = 0;
    status st;

    if (c == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a container");
    memset(c, 0, offsetof(struct container, unit));
    c->source = source;
    c->kind = kind;
    st = source->bytes < HEADER_BYTES
             ? err_set(err, ST_CORRUPT, "container is cut short bytes=%" PRIu64, source->bytes)
             : read_header(c, owner_id, err);
    if (st == ST_OK)
        st = read_trailer(c, &table_crc, err);
    if (st == ST_OK)
        st = read_table(c, table_crc, err);
    if (st != ST_OK) {
        container_close(c);
        return st;
    }
    *out = c;
    return ST_OK;
}

void container_close(struct container *c)
{
    if (c == NULL)
        return;
    mem_free(c->entries);
    mem_free(c);
}

uint32_t container_crc(const struct container *c)
{
    return c->crc;
}

uint32_t container_salt(const struct container *c)
{
    return c->salt;
}

uint32_t container_header_crc(const struct container *c)
{
    return c->header_crc;
}

size_t container_section_count(const struct container *c)
{
    return c->entry_count;
}

void container_section_at(const struct container *c, size_t index,
                          struct container_section_info *out)
{
    assert(index < c->entry_count);
    *out = c->entries[index].info;
}

static size_t find(const struct container *c, uint16_t section)
{
    size_t i = 0;

    while (i < c->entry_count && c->entries[i].info.section != section)
        i++;
    return i;
}

status container_find(const struct container *c, uint16_t section,
                      struct container_section_info *out, struct err *err)
{
    size_t i = find(c, section);

    if (i == c->entry_count)
        return err_set(err, ST_NOT_FOUND, "container has no section %u", section);
    *out = c->entries[i].info;
    return ST_OK;
}

status container_check_sections(const struct container *c, const uint16_t *known, size_t count,
                                struct err *err)
{
    for (size_t i = 0; i < c->entry_count; i++) {
        const struct container_section_info *info = &c->entries[i].info;
        size_t k = 0;

        while (k < count && known[k] != info->section)
            k++;
        if (k == count && (info->flags & CONTAINER_SECTION_OPTIONAL) == 0)
            return err_set(err, ST_UNSUPPORTED, "container section %u is newer than this program",
                           info->section);
    }
    return ST_OK;
}

status container_seek(struct container *c, uint16_t section, struct container_cursor *out,
                      struct err *err)
{
    size_t i = find(c, section);

    if (i == c->entry_count)
        return err_set(err, ST_NOT_FOUND, "container has no section %u", section);
    if ((c->entries[i].info.flags & CONTAINER_SECTION_FRAMED) != 0)
        return err_set(err, ST_CORRUPT, "container section %u has no units", section);
    *out =
        (struct container_cursor){.container = c, .index = i, .offset = c->entries[i].info.offset};
    return ST_OK;
}

static status unit_corrupt(const struct container_cursor *cursor, const char *what, struct err *err)
{
    return err_set(err, ST_CORRUPT, "container section %u unit %" PRIu32 " at byte %" PRIu64 ": %s",
                   cursor->container->entries[cursor->index].info.section, cursor->unit,
                   cursor->offset, what);
}

static status unit_check(const struct container_cursor *cursor, const uint8_t *header,
                         struct slice payload, struct err *err)
{
    const struct container *c = cursor->container;

    if (container_unit_crc(c->header_crc, c->entries[cursor->index].info.section, cursor->unit,
                           header, payload) != le_u32(header + UNIT_AT_CRC))
        return unit_corrupt(cursor, "crc mismatch", err);
    if (le_u16(header + UNIT_AT_FLAGS) != 0 || le_u16(header + UNIT_AT_KEY) != 0)
        return err_set(err, ST_UNSUPPORTED,
                       "container unit is compressed or encrypted flags=%u key=%u",
                       le_u16(header + UNIT_AT_FLAGS), le_u16(header + UNIT_AT_KEY));
    if (!is_zero(header + UNIT_AT_TAG, UNIT_TAG_BYTES))
        return unit_corrupt(cursor, "authentication tag without a key", err);
    return ST_OK;
}

/* The header of the cursor's unit, from what was read ahead where it can be. */
static status unit_header(struct container_cursor *cursor, uint8_t *header, struct err *err)
{
    struct container *c = cursor->container;

    if (c->ahead_offset == cursor->offset) {
        memcpy(header, c->ahead, CONTAINER_UNIT_HEADER_BYTES);
        return ST_OK;
    }
    return source_read(c, cursor->offset, header, CONTAINER_UNIT_HEADER_BYTES, err);
}

static status section_end(const struct container_cursor *cursor, uint64_t end, struct err *err)
{
    const struct container_entry *e = &cursor->container->entries[cursor->index];

    if (cursor->unit != e->info.units)
        return ST_OK;
    if (cursor->offset != end || cursor->headers_crc != e->info.crc)
        return unit_corrupt(cursor, "the section ends elsewhere or with other units", err);
    return ST_OK;
}

status container_next(struct container_cursor *cursor, struct slice *payload, struct err *err)
{
    struct container *c = cursor->container;
    const struct container_entry *e = &c->entries[cursor->index];
    uint64_t end = e->info.offset + e->bytes;
    struct container_cursor next = *cursor;
    uint8_t header[CONTAINER_UNIT_HEADER_BYTES];
    uint64_t left;
    size_t bytes;
    size_t ahead;
    status st;

    if (cursor->unit == e->info.units)
        return ST_NOT_FOUND;
    left = end - cursor->offset;
    if (left < CONTAINER_UNIT_HEADER_BYTES)
        return unit_corrupt(cursor, "the section ends within a unit", err);
    st = unit_header(cursor, header, err);
    if (st != ST_OK)
        return st;
    left -= CONTAINER_UNIT_HEADER_BYTES;
    bytes = le_u32(header + UNIT_AT_BYTES);
    if (bytes == 0 || bytes > CONTAINER_UNIT_BYTES_MAX || bytes > left)
        return unit_corrupt(cursor, "length is out of range", err);
    ahead = left - bytes >= CONTAINER_UNIT_HEADER_BYTES ? CONTAINER_UNIT_HEADER_BYTES : 0;
    st = source_read(c, cursor->offset + CONTAINER_UNIT_HEADER_BYTES, c->unit, bytes + ahead, err);
    if (st == ST_OK)
        st = unit_check(cursor, header, slice_make(c->unit, bytes), err);
    if (st != ST_OK)
        return st;

    next.unit++;
    next.offset += CONTAINER_UNIT_HEADER_BYTES + bytes;
    next.headers_crc = crc32c(cursor->headers_crc, header, sizeof header);
    memcpy(c->ahead, c->unit + bytes, ahead);
    c->ahead_offset = ahead > 0 ? next.offset : 0;
    st = section_end(&next, end, err);
    if (st != ST_OK)
        return st;
    *cursor = next;
    *payload = slice_make(c->unit, bytes);
    return ST_OK;
}

status container_stream_open(struct container *c, uint16_t section, struct container_stream *out,
                             struct err *err)
{
    struct container_stream s = {0};
    status st = container_seek(c, section, &s.cursor, err);

    if (st != ST_OK)
        return st;
    s.left = c->entries[s.cursor.index].info.bytes;
    buf_init(&s.assembled, SIZE_MAX);
    *out = s;
    return ST_OK;
}

void container_stream_close(struct container_stream *s)
{
    buf_free(&s->assembled);
}

/* What runs over from one unit to the next. `bytes` are known to be in the section. */
static status assemble(struct container_stream *s, size_t bytes, struct slice *out, struct err *err)
{
    status st = ST_OK;

    buf_reset(&s->assembled);
    if (!buf_reserve(&s->assembled, bytes))
        return err_set(err, ST_NOMEM, "out of memory for %zu bytes of a container", bytes);
    while (st == ST_OK && s->assembled.bytes < bytes) {
        size_t want = bytes - s->assembled.bytes;
        size_t n = s->unit.bytes < want ? s->unit.bytes : want;

        buf_put(&s->assembled, s->unit.data, n);
        s->unit.data += n;
        s->unit.bytes -= n;
        if (s->assembled.bytes < bytes)
            st = container_next(&s->cursor, &s->unit, err);
    }
    if (st == ST_NOT_FOUND)
        return unit_corrupt(&s->cursor, "the section ends early", err);
    *out = buf_slice(&s->assembled);
    return st;
}

status container_stream_take(struct container_stream *s, size_t bytes, struct slice *out,
                             struct err *err)
{
    struct slice taken;
    status st = ST_OK;

    if (bytes > s->left)
        return unit_corrupt(&s->cursor, "an item is longer than what is left of the section", err);
    if (s->unit.bytes == 0 && bytes > 0)
        st = container_next(&s->cursor, &s->unit, err);
    if (st == ST_NOT_FOUND)
        return unit_corrupt(&s->cursor, "the section ends early", err);
    if (st != ST_OK)
        return st;
    if (bytes > s->unit.bytes) {
        st = assemble(s, bytes, &taken, err);
        if (st != ST_OK)
            return st;
    } else {
        taken = slice_make(s->unit.data, bytes);
        s->unit.data += bytes;
        s->unit.bytes -= bytes;
    }
    s->left -= bytes;
    *out = taken;
    return ST_OK;
}

uint64_t container_stream_left(const struct container_stream *s)
{
    return s->left;
}

status container_stream_end(struct container_stream *s, struct err *err)
{
    const struct container_entry *e = &s->cursor.container->entries[s->cursor.index];

    if (s->left > 0 || s->cursor.unit != e->info.units)
        return unit_corrupt(&s->cursor, "items end before the section does", err);
    return ST_OK;
}
