/* The rows of a spool as one segment: written in one pass to a scratch file, in the order that
 * fold_order.c found, and sent in parts. */
#include "base/mem.h"
#include "index/cells.h"
#include "objstore/upload.h"
#include "segment/objkey.h"
#include "snapshot/fold_internal.h"

#include <stdio.h>

enum { STEP_ROWS = 1024, CODES_READ_BYTES = 256 * 1024 };

struct writing {
    struct fold *f;
    const struct spool *s;
    struct fold_order order;
    struct cold_writer *writer;
    struct fold_index *index;   /* NULL: no payload indexes */
    struct container_sink sink; /* into `object` */
    struct spool_file object, codes;
    uint64_t object_bytes;
};

/* Between rows: ST_CLOSED when it shall stop. */
static status pause_at(struct writing *w, uint32_t row, struct err *err)
{
    return row % STEP_ROWS == 0 ? publish_step(&w->f->p, err) : ST_OK;
}

/* --- the object --- */

static status write_object(struct container_sink *sink, struct slice bytes, struct err *err)
{
    struct writing *w =
        (struct writing *)(void *)((uint8_t *)sink - offsetof(struct writing, sink));
    status st = spool_file_put(&w->object, w->object_bytes, bytes.data, bytes.bytes, err);

    w->object_bytes += bytes.bytes;
    return st;
}

struct coder { /* codes of one field's rows */
    const struct cells *cells;
    struct cells_centroids *centroids;
    size_t row_bytes, short_bytes;
    uint8_t *row, *small;
    float *scratch;
};

static status coder_open(const struct cells *cells, struct coder *out, struct err *err)
{
    *out = (struct coder){
        .cells = cells,
        .row_bytes = rabitq_code_bytes((struct rabitq_shape){cells->dim, CELLS_ROW_BITS}),
        .short_bytes = rabitq_code_bytes((struct rabitq_shape){cells->dim, cells->short_bits})};
    out->row = mem_zero(out->row_bytes);
    out->small = mem_zero(out->short_bytes);
    out->scratch = mem_alloc_array(2 * (size_t)cells->dim, sizeof *out->scratch);
    if (out->row == NULL || out->small == NULL || out->scratch == NULL)
        return err_set(err, ST_NOMEM, "out of memory for codes");
    return cells_centroids(cells, &out->centroids, err);
}

static void coder_close(struct coder *c)
{
    if (c->centroids != NULL)
        cells_centroids_free(c->centroids);
    mem_free(c->row);
    mem_free(c->small);
    mem_free(c->scratch);
}

static status write_record(struct writing *w, size_t field, uint32_t position, uint32_t coarse,
                           const struct coder *c, struct err *err)
{
    uint32_t number = w->order.fields[field].items[position];
    const struct spool_item *item = &w->s->items[number];
    struct cold_record record = {.lsn = item->lsn,
                                 .id = item->id,
                                 .id_place =
                                     w->order.place_of != NULL ? w->order.place_of[number] : 0,
                                 .ordinal = w->order.ordinal_of[number],
                                 .code = c->row};
    status st;

    cells_encode(c->cells, c->centroids, coarse, spool_vector(w->s, field, number), c->scratch,
                 c->row, c->small);
    st = spool_status(w->s, field, err);
    if (st == ST_OK)
        st = cold_writer_record(w->writer, (uint16_t)field, &record, err);
    if (st == ST_OK)
        st = spool_file_put(&w->codes, position * (uint64_t)c->short_bytes, c->small,
                            c->short_bytes, err);
    return st == ST_OK ? pause_at(w, position, err) : st;
}

static status write_records(struct writing *w, size_t field, const struct coder *c, struct err *err)
{
    status st = ST_OK;

    for (uint32_t coarse = 0; coarse < c->cells->coarse; coarse++)
        for (uint32_t p = c->cells->coarse_first_row[coarse];
             st == ST_OK && p < c->cells->coarse_first_row[coarse + 1]; p++)
            st = write_record(w, field, p, coarse, c, err);
    return st == ST_OK ? spool_file_flush(&w->codes, err) : st;
}

/* Short codes come behind all records: they waited in a file. */
static status write_codes(struct writing *w, size_t field, size_t each, struct err *err)
{
    uint32_t rows = w->order.fields[field].rows;
    uint32_t at_once = (uint32_t)(CODES_READ_BYTES / each > 0 ? CODES_READ_BYTES / each : 1);
    uint8_t *codes = mem_alloc_array(at_once, each);
    status st = codes != NULL ? ST_OK : err_set(err, ST_NOMEM, "out of memory for codes");

    for (uint32_t p = 0; st == ST_OK && p < rows; p += at_once) {
        uint32_t count = rows - p < at_once ? rows - p : at_once;

        st = fs_pread_full(w->s->fs, w->codes.file, codes, count * each, p * (uint64_t)each, err);
        for (uint32_t i = 0; st == ST_OK && i < count; i++)
            st = cold_writer_code(w->writer, (uint16_t)field, codes + i * each, err);
    }
    mem_free(codes);
    return st;
}

static status write_vectors(struct writing *w, size_t field, struct err *err)
{
    status st = ST_OK;

    for (uint32_t p = 0; st == ST_OK && p < w->order.fields[field].rows; p++) {
        const float *vector = spool_vector(w->s, field, w->order.fields[field].items[p]);

        st = spool_status(w->s, field, err);
        if (st == ST_OK)
            st = cold_writer_vector(w->writer, (uint16_t)field, vector, err);
        if (st == ST_OK)
            st = pause_at(w, p, err);
    }
    return st;
}

static status write_field(struct writing *w, size_t field, struct err *err)
{
    struct coder c = {.cells = NULL};
    status st = ST_OK;

    if (w->order.fields[field].rows == 0)
        return ST_OK;
    st = spool_file_open(&w->codes, w->s->fs, w->s->dir, "codes", err);
    if (st == ST_OK)
        st = coder_open(&w->order.fields[field].build.cells, &c, err);
    if (st == ST_OK)
        st = write_records(w, field, &c, err);
    if (st == ST_OK)
        st = write_codes(w, field, c.short_bytes, err);
    if (st == ST_OK)
        st = write_vectors(w, field, err);
    coder_close(&c);
    spool_file_close(&w->codes);
    return st;
}

static status write_payloads(struct writing *w, struct err *err)
{
    uint32_t positions[RECORD_FIELDS_MAX];
    struct buf bytes;
    status st = ST_OK;

    buf_init(&bytes, COLD_PAYLOAD_BLOCK_BYTES_MAX);
    for (uint32_t ordinal = 0; st == ST_OK && ordinal < w->order.rows; ordinal++) {
        uint32_t number = w->order.by_ordinal[ordinal];
        const struct spool_item *item = &w->s->items[number];
        struct cold_payload_row row = {
            .lsn = item->lsn, .id = item->id, .fields = item->fields, .positions = positions};
        struct spool_blob blob;

        for (size_t i = 0; i < w->order.schema->field_count; i++)
            positions[i] = (item->fields >> i & 1) == 0 ? UINT32_MAX
                           : i == 0                     ? ordinal
                                                        : w->order.position_of[i][number];
        st = spool_blob(w->s, number, &bytes, &blob, err);
        if (st != ST_OK)
            break;
        row.inserted_at_ns = blob.inserted_at_ns;
        row.external_id = blob.external_id;
        row.payload = blob.payload;
        st = cold_writer_payload(w->writer, &row, err);
        if (st == ST_OK && w->index != NULL)
            st = fold_index_row(w->index, ordinal, row.payload, err);
        if (st == ST_OK)
            st = pause_at(w, ordinal, err);
    }
    buf_free(&bytes);
    return st;
}

static status write_ids(struct writing *w, struct err *err)
{
    status st = ST_OK;

    for (uint32_t i = 0; st == ST_OK && i < w->order.rows; i++) {
        const struct spool_item *item = &w->s->items[w->order.by_id[i]];

        st = cold_writer_id(w->writer, &item->id, w->order.ordinal_of[w->order.by_id[i]], item->lsn,
                            err);
    }
    return st;
}

static status open_indexes(struct writing *w, struct err *err)
{
    const struct fold_options *o = w->f->options;

    return o->index_count == 0 ? ST_OK
                               : fold_index_open(w->s->fs, w->s->dir, o->indexes, o->index_count,
                                                 w->f->tuning->index_bytes, &w->index, err);
}

static status pause_here(void *arg, struct err *err)
{
    return pause_at(arg, 0, err);
}

static status write_all(struct writing *w, struct manifest_cold *out, struct err *err)
{
    const struct fold_order *order = &w->order;
    struct cold_writer_options o = {.salt = (uint32_t)rand_u64(w->f->options->publish.rand),
                                    .rows = order->rows,
                                    .id_form = order->id_form,
                                    .id_bytes = order->id_bytes,
                                    .lsn_min = order->lsn_min,
                                    .lsn_max = order->lsn_max,
                                    .field_count = (uint16_t)order->schema->field_count,
                                    .fields = order->cold_fields};
    status st;

    memcpy(o.collection, w->f->p.now.collection, sizeof o.collection);
    st = spool_file_open(&w->object, w->s->fs, w->s->dir, "object", err);
    if (st == ST_OK)
        st = cold_writer_create(&w->sink, &o, &w->writer, err);
    for (size_t i = 0; st == ST_OK && i < w->order.schema->field_count; i++)
        st = write_field(w, i, err);
    if (st == ST_OK)
        st = open_indexes(w, err);
    if (st == ST_OK)
        st = write_payloads(w, err);
    if (st == ST_OK)
        st = write_ids(w, err);
    if (st == ST_OK && w->index != NULL)
        st = fold_index_write(w->index, w->writer, pause_here, w, err);
    if (st == ST_OK)
        st = cold_writer_finish(w->writer, out, err);
    return st == ST_OK ? spool_file_flush(&w->object, err) : st;
}

/* --- sending --- */

static status read_object(void *arg, uint64_t offset, uint8_t *out, size_t bytes, struct err *err)
{
    struct writing *w = arg;

    return fs_pread_full(w->s->fs, w->object.file, out, bytes, offset, err);
}

static status send_object(struct writing *w, struct manifest_cold *segment, struct err *err)
{
    const struct publish_options *o = &w->f->options->publish;
    struct publish_report *r = &w->f->p.report;
    char key[OBJKEY_BYTES];
    const struct upload_options options = {.key = key,
                                           .bytes = segment->object.bytes,
                                           .read = read_object,
                                           .arg = w,
                                           .pool = OBJSTORE_BULK,
                                           .condition = OBJSTORE_IF_ABSENT,
                                           .policy = w->f->p.ask.policy,
                                           .part_bytes = w->f->tuning->part_bytes,
                                           .stop = o->stop,
                                           .clock = o->clock,
                                           .rand = o->rand};
    struct upload_report report = {.requests = 0};
    status st;

    uuid_make_v4(o->rand, segment->object.uuid);
    objkey_data(w->f->p.now.collection, segment->object.uuid, key);
    st = objstore_upload(o->store, &options, &report, err);
    if (st != ST_OK) {
        w->f->requests += report.requests;
        r->class = report.class;
        r->attempts = report.requests;
        (void)snprintf(r->key, sizeof r->key, "%s", key);
        return st;
    }
    w->f->requests += report.requests - 1; /* one of them counts as an object */
    r->objects++;
    r->bytes += segment->object.bytes;
    r->rows += segment->rows;
    if (o->on_object != NULL)
        o->on_object(o->commit_arg, key, segment->object.bytes);
    return ST_OK;
}

status fold_write(struct fold *f, struct err *err)
{
    const struct publish_options *o = &f->options->publish;
    struct writing w = {.f = f, .s = &f->spool, .sink = {.write = write_object}};
    struct manifest_cold segment = {.level = 1};
    status st = fold_order_make(&f->spool, o->schema, f->options->seed, o->stop, &w.order, err);

    if (st == ST_OK)
        st = write_all(&w, &segment, err);
    if (st == ST_OK)
        st = send_object(&w, &segment, err);
    if (st == ST_OK)
        st = manifest_add_cold(&f->p.now, &segment, err);
    fold_index_close(w.index);
    cold_writer_destroy(w.writer);
    spool_file_close(&w.object);
    fold_order_free(&w.order);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "write a cold segment");
}
