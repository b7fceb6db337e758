/* What the sections of a segment say about each other. The rows are read once, their ids and places
 * kept; then each entry of the id section must be one of them. As entries rise strictly by id and
 * lsn, no two are of one row: as many entries as rows are exactly the rows. */
#include "base/mem.h"
#include "segment/segment_internal.h"

#include <inttypes.h>

struct place {
    uint32_t offset;
    uint32_t id_at; /* in `ids` */
    uint64_t lsn;
};
struct check {
    struct place *places;
    struct buf ids;
};

static status note_row(void *arg, struct segment_at at, const struct segment_row *row,
                       struct err *err)
{
    struct check *k = arg;

    k->places[at.row] =
        (struct place){.offset = at.offset, .id_at = (uint32_t)k->ids.bytes, .lsn = row->lsn};
    buf_put_docid(&k->ids, &row->row.id);
    return buf_status(&k->ids, err);
}

static struct docid id_of(const struct check *k, const struct place *p)
{
    struct rd r = rd_make(slice_make(k->ids.data + p->id_at, k->ids.bytes - p->id_at));

    return rd_docid(&r);
}

static status check_id(const struct check *k, uint32_t rows, struct segment_at at,
                       const struct docid *id, const struct place *before, const struct place **out,
                       struct err *err)
{
    const struct place *p;
    struct docid id_before;
    struct docid of_row;

    if (at.row >= rows || k->places[at.row].offset != at.offset)
        return err_set(err, ST_CORRUPT, "segment: an id names row %" PRIu32 ", which is not there",
                       at.row);
    p = &k->places[at.row];
    of_row = id_of(k, p);
    if (!docid_equal(&of_row, id))
        return err_set(err, ST_CORRUPT, "segment: an id names row %" PRIu32 " of another", at.row);
    if (before != NULL) {
        id_before = id_of(k, before);
        if (segment_compare(&id_before, before->lsn, id, p->lsn) >= 0)
            return err_set(err, ST_CORRUPT, "segment: ids out of order at row %" PRIu32, at.row);
    }
    *out = p;
    return ST_OK;
}

static status check_ids(struct segment *s, const struct check *k, struct err *err)
{
    const struct place *before = NULL;
    struct container_stream stream = {0};
    struct slice raw;
    struct docid id;
    status st = items_open(s->container, SEGMENT_SECTION_IDS, &stream, err);

    for (uint32_t i = 0; st == ST_OK && i < s->head.rows; i++) {
        struct segment_at at = {0};

        st = container_stream_take(&stream, SEGMENT_ID_PREFIX_BYTES, &raw, err);
        if (st == ST_OK) {
            at = (struct segment_at){.row = le_u32(raw.data), .offset = le_u32(raw.data + 4)};
            st = items_take_docid(&stream, &id, err);
        }
        if (st == ST_OK)
            st = check_id(k, s->head.rows, at, &id, before, &before, err);
    }
    if (st == ST_OK)
        st = container_stream_end(&stream, err);
    container_stream_close(&stream);
    return st;
}

static status pass(void *arg, uint64_t lsn, const struct docid *id, struct err *err)
{
    (void)arg;
    (void)lsn;
    (void)id;
    (void)err;
    return ST_OK;
}

status segment_check(struct segment *s, struct err *err)
{
    struct check k = {.places = mem_zero_array(s->head.rows, sizeof *k.places)};
    status st;

    if (k.places == NULL)
        return err_set(err, ST_NOMEM, "out of memory for checking a segment");
    buf_init(&k.ids, SEGMENT_BYTES_MAX);
    st = segment_walk_rows(s, note_row, &k, err);
    if (st == ST_OK)
        st = check_ids(s, &k, err);
    if (st == ST_OK)
        st = segment_each_tombstone(s, pass, NULL, err);
    if (st == ST_OK)
        st = items_check_units(s->container, err);
    buf_free(&k.ids);
    mem_free(k.places);
    return st;
}
