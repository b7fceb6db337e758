#include "segment/container_items.h"

status items_open(struct container *c, uint16_t section, struct container_stream *out,
                  struct err *err)
{
    status st = container_stream_open(c, section, out, err);

    return st == ST_NOT_FOUND ? err_wrap(err, ST_CORRUPT, "a required section is missing") : st;
}

status items_read_head(struct container *c, uint16_t section, void *out, size_t bytes,
                       struct err *err)
{
    struct container_stream s = {0};
    struct slice head;
    status st = items_open(c, section, &s, err);

    if (st == ST_OK)
        st = container_stream_take(&s, bytes, &head, err);
    if (st == ST_OK) {
        memcpy(out, head.data, bytes);
        st = container_stream_end(&s, err);
    }
    container_stream_close(&s);
    return st;
}

status items_write_head(struct container_writer *w, uint16_t section, struct slice head,
                        struct err *err)
{
    status st = container_section(w, section, 0, err);

    return st == ST_OK ? container_write(w, head, err) : st;
}

status items_take_varint(struct container_stream *s, uint64_t *out, struct err *err)
{
    uint8_t bytes[10];
    size_t count = 0;
    struct slice byte;
    struct rd r;
    status st;

    do {
        st = container_stream_take(s, 1, &byte, err);
        if (st != ST_OK)
            return st;
        bytes[count++] = byte.data[0];
    } while (bytes[count - 1] >= 0x80 && count < sizeof bytes);
    r = rd_make(slice_make(bytes, count));
    *out = rd_varint(&r);
    if (r.bad || (count > 1 && bytes[count - 1] == 0))
        return err_set(err, ST_CORRUPT, "a varint is not one");
    return ST_OK;
}

status items_take_docid(struct container_stream *s, struct docid *out, struct err *err)
{
    uint64_t bytes = 0;
    struct slice raw;
    struct docid id;
    status st = container_stream_take(s, 1, &raw, err);

    if (st != ST_OK)
        return st;
    id.kind = raw.data[0];
    switch (id.kind) {
    case DOCID_U64:
        bytes = 8;
        break;
    case DOCID_UUID:
        bytes = 16;
        break;
    case DOCID_BYTES:
        st = items_take_varint(s, &bytes, err);
        break;
    default:
        bytes = SIZE_MAX;
    }
    if (st == ST_OK && (bytes == 0 || bytes > DOCID_BYTES_MAX))
        st = err_set(err, ST_CORRUPT, "a document id is out of range kind=%u", id.kind);
    if (st == ST_OK)
        st = container_stream_take(s, bytes, &raw, err);
    if (st != ST_OK)
        return st;
    if (id.kind == DOCID_U64)
        id.u64 = le_u64(raw.data);
    else if (id.kind == DOCID_UUID)
        memcpy(id.uuid, raw.data, sizeof id.uuid);
    else
        id.bytes = raw;
    *out = id;
    return ST_OK;
}

status items_check_units(struct container *c, struct err *err)
{
    for (size_t i = 0; i < container_section_count(c); i++) {
        struct container_section_info info;
        struct container_cursor cursor;
        struct slice payload;
        status st;

        container_section_at(c, i, &info);
        st = container_seek(c, info.section, &cursor, err);
        while (st == ST_OK)
            st = container_next(&cursor, &payload, err);
        if (st != ST_NOT_FOUND)
            return st;
    }
    return ST_OK;
}

bool docid_ok(const struct docid *id)
{
    if (id->kind == DOCID_BYTES)
        return id->bytes.bytes > 0 && id->bytes.bytes <= DOCID_BYTES_MAX;
    return id->kind == DOCID_U64 || id->kind == DOCID_UUID;
}
