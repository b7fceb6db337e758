/* Rows go out as they come; their ids are kept aside, sorted at the end and written behind them. */
#include "base/mem.h"
#include "segment/segment_internal.h"

#include <inttypes.h>
#include <stdlib.h>

enum { ROOM_FIRST = 64 };

struct item { /* an id of the id section, or a tombstone */
    struct docid id;
    uint64_t lsn;
    struct segment_at at;
    size_t bytes_at; /* of a byte string: in `texts` until segment_finish() */
};
struct list {
    struct item *items;
    size_t count;
    size_t room;
    struct buf texts;
};

struct segment_writer {
    struct container_memory_sink sink;
    struct container_writer *container;
    struct segment_head head;
    struct buf row; /* scratch */
    struct list ids;
    struct list tombstones;
    size_t rows_bytes;
    size_t rest_bytes; /* ids and tombstones, as they will be written */
    bool finished;
};

static void list_init(struct list *l)
{
    buf_init(&l->texts, SEGMENT_BYTES_MAX);
}

static void list_free(struct list *l)
{
    mem_free(l->items);
    buf_free(&l->texts);
}

/* Room for one more, so that list_put() cannot fail. */
static status list_reserve(struct list *l, const struct docid *id, struct err *err)
{
    size_t room = l->room == 0 ? ROOM_FIRST : l->room * 2;
    struct item *longer;

    if (id->kind == DOCID_BYTES && !buf_reserve(&l->texts, id->bytes.bytes))
        return buf_status(&l->texts, err);
    if (l->count < l->room)
        return ST_OK;
    longer = mem_resize(l->items, room * sizeof *longer);
    if (longer == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a segment's ids");
    l->items = longer;
    l->room = room;
    return ST_OK;
}

static void list_put(struct list *l, const struct docid *id, uint64_t lsn, struct segment_at at)
{
    struct item *item = &l->items[l->count++];

    *item = (struct item){.id = *id, .lsn = lsn, .at = at, .bytes_at = l->texts.bytes};
    if (id->kind == DOCID_BYTES)
        buf_put_slice(&l->texts, id->bytes);
}

static int compare_items(const void *a, const void *b)
{
    const struct item *x = a;
    const struct item *y = b;

    return segment_compare(&x->id, x->lsn, &y->id, y->lsn);
}

static status list_sort(struct list *l, const char *what, struct err *err)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->items[i].id.kind == DOCID_BYTES)
            l->items[i].id.bytes.data = l->texts.data + l->items[i].bytes_at;
    if (l->count > 1)
        qsort(l->items, l->count, sizeof *l->items, compare_items);
    for (size_t i = 1; i < l->count; i++)
        if (compare_items(&l->items[i - 1], &l->items[i]) == 0)
            return err_set(err, ST_INVALID, "segment has a %s twice lsn=%" PRIu64, what,
                           l->items[i].lsn);
    return ST_OK;
}

status segment_create(const uint8_t collection[16], uint64_t start_lsn, struct segment_writer **out,
                      struct err *err)
{
    struct segment_writer *w = mem_zero(sizeof *w);
    status st;

    if (w == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a segment");
    memcpy(w->head.collection, collection, sizeof w->head.collection);
    w->head.start_lsn = start_lsn;
    container_memory_sink_init(&w->sink, SEGMENT_BYTES_MAX);
    buf_init(&w->row, SEGMENT_BYTES_MAX);
    list_init(&w->ids);
    list_init(&w->tombstones);
    st = container_create(&w->sink.sink, CONTAINER_SEGMENT, collection, &w->container, err);
    if (st == ST_OK)
        st = container_section(w->container, SEGMENT_SECTION_ROWS, 0, err);
    if (st != ST_OK) {
        segment_writer_destroy(w);
        return st;
    }
    *out = w;
    return ST_OK;
}

void segment_writer_destroy(struct segment_writer *w)
{
    if (w == NULL)
        return;
    container_writer_destroy(w->container);
    buf_free(&w->sink.bytes);
    buf_free(&w->row);
    list_free(&w->ids);
    list_free(&w->tombstones);
    mem_free(w);
}

size_t segment_bytes(const struct segment_writer *w)
{
    return w->rows_bytes + w->rest_bytes;
}

static size_t docid_bytes(const struct docid *id)
{
    switch (id->kind) {
    case DOCID_U64:
        return 9;
    case DOCID_UUID:
        return 17;
    default:
        return (id->bytes.bytes < 0x80 ? 2 : 3) + id->bytes.bytes;
    }
}

static status check_usable(const struct segment_writer *w, uint64_t lsn, const struct docid *id,
                           struct err *err)
{
    if (w->finished)
        return err_set(err, ST_BUG, "segment was finished before");
    if (lsn == 0 || !docid_ok(id))
        return err_set(err, ST_INVALID, "segment: lsn %" PRIu64 " or document id is out of range",
                       lsn);
    return ST_OK;
}

static status check_room(const struct segment_writer *w, size_t bytes, struct err *err)
{
    if (segment_bytes(w) + bytes > SEGMENT_BYTES_MAX - SEGMENT_OVERHEAD_BYTES)
        return err_set(err, ST_NOSPACE, "segment is full bytes=%zu", segment_bytes(w));
    return ST_OK;
}

/* The row as it is stored, in w->row. */
static status encode_row(struct segment_writer *w, uint64_t lsn, uint64_t inserted_at_ns,
                         const struct docid *id, struct slice external_id, struct slice payload,
                         const struct record_vector *vectors, uint16_t vector_count,
                         struct err *err)
{
    const char *problem;
    status st;

    buf_reset(&w->row);
    buf_put_u32(&w->row, 0);
    buf_put_u64(&w->row, lsn);
    buf_put_u64(&w->row, inserted_at_ns);
    problem = record_row_put(&w->row, id, external_id, payload, vectors, vector_count);
    if (problem != NULL)
        return err_set(err, ST_INVALID, "segment: %s", problem);
    st = buf_status(&w->row, err);
    if (st == ST_OK)
        buf_set_u32(&w->row, 0, (uint32_t)(w->row.bytes - 4));
    return st;
}

status segment_add_row(struct segment_writer *w, uint64_t lsn, uint64_t inserted_at_ns,
                       const struct docid *id, struct slice external_id, struct slice payload,
                       const struct record_vector *vectors, uint16_t vector_count, struct err *err)
{
    struct segment_at at = {.row = w->head.rows, .offset = (uint32_t)w->rows_bytes};
    size_t id_bytes = SEGMENT_ID_PREFIX_BYTES;
    status st = check_usable(w, lsn, id, err);

    if (st == ST_OK)
        st = encode_row(w, lsn, inserted_at_ns, id, external_id, payload, vectors, vector_count,
                        err);
    if (st != ST_OK)
        return st;
    id_bytes += docid_bytes(id);
    st = check_room(w, w->row.bytes + id_bytes, err);
    if (st == ST_OK)
        st = list_reserve(&w->ids, id, err);
    if (st == ST_OK)
        st = container_write(w->container, buf_slice(&w->row), err);
    if (st != ST_OK)
        return st;
    list_put(&w->ids, id, lsn, at);
    w->rows_bytes += w->row.bytes;
    w->rest_bytes += id_bytes;
    if (w->head.rows == 0 || lsn < w->head.lsn_min)
        w->head.lsn_min = lsn;
    if (lsn > w->head.lsn_max)
        w->head.lsn_max = lsn;
    w->head.rows++;
    return ST_OK;
}

status segment_add_tombstone(struct segment_writer *w, uint64_t lsn, const struct docid *id,
                             struct err *err)
{
    status st = check_usable(w, lsn, id, err);
    size_t bytes;

    if (st != ST_OK)
        return st;
    bytes = SEGMENT_LSN_BYTES + docid_bytes(id);
    st = check_room(w, bytes, err);
    if (st == ST_OK)
        st = list_reserve(&w->tombstones, id, err);
    if (st != ST_OK)
        return st;
    list_put(&w->tombstones, id, lsn, (struct segment_at){0});
    w->rest_bytes += bytes;
    w->head.tombstones++;
    return ST_OK;
}

static status write_item(struct segment_writer *w, struct err *err)
{
    status st = buf_status(&w->row, err);

    return st == ST_OK ? container_write(w->container, buf_slice(&w->row), err) : st;
}

static status write_ids(struct segment_writer *w, struct err *err)
{
    status st = list_sort(&w->ids, "row", err);

    if (st == ST_OK)
        st = container_section(w->container, SEGMENT_SECTION_IDS, 0, err);
    for (size_t i = 0; st == ST_OK && i < w->ids.count; i++) {
        buf_reset(&w->row);
        buf_put_u32(&w->row, w->ids.items[i].at.row);
        buf_put_u32(&w->row, w->ids.items[i].at.offset);
        buf_put_docid(&w->row, &w->ids.items[i].id);
        st = write_item(w, err);
    }
    return st;
}

static status write_tombstones(struct segment_writer *w, struct err *err)
{
    status st = list_sort(&w->tombstones, "tombstone", err);

    if (st == ST_OK)
        st = container_section(w->container, SEGMENT_SECTION_TOMBSTONES, 0, err);
    for (size_t i = 0; st == ST_OK && i < w->tombstones.count; i++) {
        buf_reset(&w->row);
        buf_put_u64(&w->row, w->tombstones.items[i].lsn);
        buf_put_docid(&w->row, &w->tombstones.items[i].id);
        st = write_item(w, err);
    }
    return st;
}

static status write_head(struct segment_writer *w, struct err *err)
{
    uint8_t head[SEGMENT_HEAD_BYTES];

    le_put_u64(head + SEGMENT_HEAD_AT_START, w->head.start_lsn);
    le_put_u64(head + SEGMENT_HEAD_AT_MIN, w->head.lsn_min);
    le_put_u64(head + SEGMENT_HEAD_AT_MAX, w->head.lsn_max);
    le_put_u32(head + SEGMENT_HEAD_AT_ROWS, w->head.rows);
    le_put_u32(head + SEGMENT_HEAD_AT_TOMBSTONES, w->head.tombstones);
    return items_write_head(w->container, SEGMENT_SECTION_HEAD, slice_make(head, sizeof head), err);
}

status segment_finish(struct segment_writer *w, struct segment_head *head, struct slice *bytes,
                      struct err *err)
{
    uint64_t size;
    uint32_t crc;
    status st;

    if (w->finished)
        return err_set(err, ST_BUG, "segment was finished before");
    w->finished = true;
    st = write_ids(w, err);
    if (st == ST_OK)
        st = write_tombstones(w, err);
    if (st == ST_OK)
        st = write_head(w, err);
    if (st == ST_OK)
        st = container_finish(w->container, &size, &crc, err);
    if (st != ST_OK)
        return st;
    *head = w->head;
    *bytes = buf_slice(&w->sink.bytes);
    return ST_OK;
}
