#include "base/mem.h"
#include "segment/segment_internal.h"

#include <inttypes.h>

static bool fits(const struct segment *s, uint16_t section, uint64_t count, uint64_t bytes_min)
{
    struct container_section_info info;

    return container_find(s->container, section, &info, NULL) == ST_OK &&
           count * bytes_min <= info.bytes;
}

static status read_head(struct segment *s, struct err *err)
{
    uint8_t head[SEGMENT_HEAD_BYTES];
    struct segment_head *h = &s->head;
    status st = items_read_head(s->container, SEGMENT_SECTION_HEAD, head, sizeof head, err);

    if (st != ST_OK)
        return st;
    h->start_lsn = le_u64(head + SEGMENT_HEAD_AT_START);
    h->lsn_min = le_u64(head + SEGMENT_HEAD_AT_MIN);
    h->lsn_max = le_u64(head + SEGMENT_HEAD_AT_MAX);
    h->rows = le_u32(head + SEGMENT_HEAD_AT_ROWS);
    h->tombstones = le_u32(head + SEGMENT_HEAD_AT_TOMBSTONES);
    if (h->lsn_min > h->lsn_max || (h->rows == 0) != (h->lsn_max == 0) ||
        (h->rows == 0) != (h->lsn_min == 0) ||
        !fits(s, SEGMENT_SECTION_ROWS, h->rows, SEGMENT_ROW_BYTES_MIN) ||
        !fits(s, SEGMENT_SECTION_IDS, h->rows, SEGMENT_ID_BYTES_MIN) ||
        !fits(s, SEGMENT_SECTION_TOMBSTONES, h->tombstones, SEGMENT_TOMBSTONE_BYTES_MIN))
        return err_set(err, ST_CORRUPT,
                       "segment head out of range rows=%" PRIu32 " tombstones=%" PRIu32, h->rows,
                       h->tombstones);
    return ST_OK;
}

status segment_open(struct slice bytes, const uint8_t collection[16], struct segment **out,
                    struct err *err)
{
    static const uint16_t known[] = {SEGMENT_SECTION_HEAD, SEGMENT_SECTION_ROWS,
                                     SEGMENT_SECTION_IDS, SEGMENT_SECTION_TOMBSTONES};
    struct segment *s;
    status st;

    if (bytes.bytes > SEGMENT_BYTES_MAX)
        return err_set(err, ST_CORRUPT, "segment is too large bytes=%zu", bytes.bytes);
    s = mem_zero(sizeof *s);
    if (s == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a segment");
    memcpy(s->head.collection, collection, sizeof s->head.collection);
    container_memory_source_init(&s->source, bytes);
    st = container_open(&s->source.source, CONTAINER_SEGMENT, collection, &s->container, err);
    if (st == ST_OK)
        st = container_check_sections(s->container, known, COUNT_OF(known), err);
    if (st == ST_OK)
        st = read_head(s, err);
    if (st != ST_OK) {
        segment_close(s);
        return st;
    }
    *out = s;
    return ST_OK;
}

void segment_close(struct segment *s)
{
    if (s == NULL)
        return;
    container_close(s->container);
    mem_free(s);
}

const struct segment_head *segment_head(const struct segment *s)
{
    return &s->head;
}

static status decode_row(struct slice bytes, struct segment_row *out, struct err *err)
{
    struct rd r = rd_make(bytes);
    status st;

    out->lsn = rd_u64(&r);
    out->inserted_at_ns = rd_u64(&r);
    st = record_row_read(&r, &out->row, err);
    if (st == ST_OK && rd_left(&r) > 0)
        st = err_set(err, ST_CORRUPT, "bytes follow the row");
    return st;
}

static status take_row(struct container_stream *stream, const struct segment_head *h, uint32_t row,
                       struct segment_row *out, struct err *err)
{
    struct slice bytes;
    status st = container_stream_take(stream, 4, &bytes, err);

    if (st == ST_OK)
        st = container_stream_take(stream, le_u32(bytes.data), &bytes, err);
    if (st == ST_OK)
        st = decode_row(bytes, out, err);
    if (st == ST_OK && (out->lsn < h->lsn_min || out->lsn > h->lsn_max))
        st = err_set(err, ST_CORRUPT, "lsn %" PRIu64 " is not within the segment's", out->lsn);
    return st == ST_OK ? st : err_wrap(err, st, "segment row %" PRIu32, row);
}

status segment_walk_rows(struct segment *s, segment_walk_fn *fn, void *arg, struct err *err)
{
    struct container_stream stream = {0};
    struct segment_at at = {0};
    struct segment_row row;
    bool min_seen = s->head.rows == 0;
    bool max_seen = min_seen;
    uint64_t bytes = 0;
    status st = items_open(s->container, SEGMENT_SECTION_ROWS, &stream, err);

    if (st == ST_OK)
        bytes = container_stream_left(&stream);
    for (; st == ST_OK && at.row < s->head.rows; at.row++) {
        at.offset = (uint32_t)(bytes - container_stream_left(&stream));
        st = take_row(&stream, &s->head, at.row, &row, err);
        if (st != ST_OK)
            break;
        min_seen = min_seen || row.lsn == s->head.lsn_min;
        max_seen = max_seen || row.lsn == s->head.lsn_max;
        st = fn(arg, at, &row, err);
    }
    if (st == ST_OK)
        st = container_stream_end(&stream, err);
    if (st == ST_OK && !(min_seen && max_seen))
        st = err_set(err, ST_CORRUPT, "segment: its rows have other lsns than its head says");
    container_stream_close(&stream);
    return st;
}

struct each {
    segment_row_fn *fn;
    void *arg;
};

static status each_row(void *arg, struct segment_at at, const struct segment_row *row,
                       struct err *err)
{
    const struct each *e = arg;

    (void)at;
    return e->fn(e->arg, row, err);
}

status segment_each_row(struct segment *s, segment_row_fn *fn, void *arg, struct err *err)
{
    struct each e = {.fn = fn, .arg = arg};

    return segment_walk_rows(s, each_row, &e, err);
}

struct last { /* the tombstone before, with a copy of its bytes */
    struct docid id;
    uint64_t lsn;
    uint8_t bytes[DOCID_BYTES_MAX];
};

static void remember(struct last *last, uint64_t lsn, const struct docid *id)
{
    last->id = *id;
    last->lsn = lsn;
    if (id->kind == DOCID_BYTES) {
        memcpy(last->bytes, id->bytes.data, id->bytes.bytes);
        last->id.bytes.data = last->bytes;
    }
}

status segment_each_tombstone(struct segment *s, segment_tombstone_fn *fn, void *arg,
                              struct err *err)
{
    struct container_stream stream = {0};
    struct last last;
    struct slice raw;
    struct docid id;
    status st = items_open(s->container, SEGMENT_SECTION_TOMBSTONES, &stream, err);

    for (uint32_t i = 0; st == ST_OK && i < s->head.tombstones; i++) {
        uint64_t lsn = 0;

        st = container_stream_take(&stream, SEGMENT_LSN_BYTES, &raw, err);
        if (st == ST_OK) {
            lsn = le_u64(raw.data);
            st = items_take_docid(&stream, &id, err);
        }
        if (st == ST_OK &&
            (lsn == 0 || (i > 0 && segment_compare(&last.id, last.lsn, &id, lsn) >= 0)))
            st = err_set(err, ST_CORRUPT, "segment tombstone %" PRIu32 " is out of order", i);
        if (st == ST_OK) {
            remember(&last, lsn, &id);
            st = fn(arg, lsn, &last.id, err);
        }
    }
    if (st == ST_OK)
        st = container_stream_end(&stream, err);
    container_stream_close(&stream);
    return st;
}
