/* The rows of a spool as one segment: sorted by id, put into cells field by field, written in one
 * pass to a scratch file, sent in parts. The order of the first field's cells is the order of all
 * (docs/formats/cold-segment.md); rows without its vector come behind, in order of ids. */
#include "base/mem.h"
#include "index/cells.h"
#include "objstore/upload.h"
#include "segment/objkey.h"
#include "snapshot/fold_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { STEP_ROWS = 1024, CODES_READ_BYTES = 256 * 1024 };

struct out_field {
    struct cells_build build;
    bool built;
    uint32_t rows;
    uint32_t *items; /* by number while cells are made, then by position */
};
struct writing {
    struct fold *f;
    const struct spool *s;
    const struct catalog_collection *schema;
    uint32_t rows;
    uint32_t *by_id, *by_ordinal; /* items */
    uint32_t *ordinal_of;         /* of an item */
    uint32_t *place_of;           /* of an item: block of the id index; NULL: none needs one */
    uint32_t **position_of;       /* of fields but the first, of an item */
    struct out_field *fields;
    struct cold_field *cold_fields;
    struct cold_ids_seen seen;
    struct cold_writer_options options;
    struct cold_writer *writer;
    struct container_sink sink; /* into `object` */
    struct spool_file object, codes;
    uint64_t object_bytes;
};

static uint32_t *numbers(size_t count, struct err *err, status *st)
{
    uint32_t *list = mem_alloc_array(count, sizeof *list);

    if (list == NULL && *st == ST_OK)
        *st = err_set(err, ST_NOMEM, "out of memory for the order of a fold's rows");
    return list;
}

/* Between rows: ST_CLOSED when it shall stop. */
static status pause_at(struct writing *w, uint32_t row, struct err *err)
{
    return row % STEP_ROWS == 0 ? publish_step(&w->f->p, err) : ST_OK;
}

/* --- ids --- */

static int by_id(const void *a, const void *b, void *arg)
{
    const struct spool_item *items = arg;

    return docid_compare(&items[*(const uint32_t *)a].id, &items[*(const uint32_t *)b].id);
}

static bool is_kept(const struct spool_item *i)
{
    return !i->tombstone && !i->gone;
}

static status sort_ids(struct writing *w, struct err *err)
{
    const struct spool *s = w->s;
    char text[DOCID_TEXT_BYTES];
    uint32_t rows = 0;

    w->options.lsn_min = UINT64_MAX;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct spool_item *item = &s->items[i];

        if (!is_kept(item))
            continue;
        w->by_id[rows++] = i;
        cold_ids_note(&w->seen, &item->id);
        if (item->lsn < w->options.lsn_min)
            w->options.lsn_min = item->lsn;
        if (item->lsn > w->options.lsn_max)
            w->options.lsn_max = item->lsn;
    }
    qsort_r(w->by_id, rows, sizeof *w->by_id, by_id, s->items);
    for (uint32_t i = 1; i < rows; i++)
        if (docid_equal(&s->items[w->by_id[i - 1]].id, &s->items[w->by_id[i]].id)) {
            (void)docid_format(&s->items[w->by_id[i]].id, text);
            return err_set(err, ST_CORRUPT, "id %s lives in two cold segments", text);
        }
    cold_ids_form(&w->seen, &w->options.id_form, &w->options.id_bytes);
    return ST_OK;
}

/* Where long ids will stand in the id index: records name the block. */
static status place_ids(struct writing *w, struct err *err)
{
    struct cold_id_packer packer = {0};
    const struct spool *s = w->s;
    status st = ST_OK;

    if (!w->seen.bytes)
        return ST_OK;
    w->place_of = numbers(s->count, err, &st);
    for (uint32_t i = 0; st == ST_OK && i < w->rows; i++)
        w->place_of[w->by_id[i]] = cold_id_pack(&packer, &s->items[w->by_id[i]].id);
    return st;
}

/* --- cells --- */

struct members { /* the rows of a field, for index/cells.h */
    const struct spool *s;
    size_t field;
    const uint32_t *items;
};

static const float *member_at(void *arg, uint32_t row)
{
    const struct members *m = arg;

    return spool_vector(m->s, m->field, m->items[row]);
}

static status members_of(struct writing *w, size_t field, struct err *err)
{
    struct out_field *out = &w->fields[field];
    const struct spool *s = w->s;
    status st = ST_OK;

    out->items = numbers(w->rows, err, &st);
    for (uint32_t i = 0; st == ST_OK && i < s->count; i++)
        if (is_kept(&s->items[i]) && (s->items[i].fields >> field & 1) != 0)
            out->items[out->rows++] = i;
    return st;
}

static status make_cells(struct writing *w, size_t field, struct err *err)
{
    struct out_field *out = &w->fields[field];
    struct members members = {.s = w->s, .field = field, .items = out->items};
    const struct cells_source source = {.at = member_at, .arg = &members};
    const struct cells_options options = {.dim = w->schema->fields[field].dim,
                                          .metric = (enum vmetric)w->schema->fields[field].metric,
                                          .rows = out->rows,
                                          .seed = w->f->options->seed + field,
                                          .stop = w->f->options->publish.stop};
    status st = cells_build(&options, &source, &out->build, err);
    uint32_t *items = NULL;

    if (st != ST_OK)
        return st;
    out->built = true;
    items = numbers(out->rows, err, &st);
    for (uint32_t p = 0; st == ST_OK && p < out->rows; p++)
        items[p] = out->items[out->build.order[p]];
    mem_free(out->items);
    out->items = items;
    return st;
}

static void describe(struct writing *w, size_t field)
{
    const struct cells *c = &w->fields[field].build.cells;

    w->cold_fields[field] = (struct cold_field){
        .field = w->schema->fields[field].id,
        .dim = w->schema->fields[field].dim,
        .metric = (uint8_t)w->schema->fields[field].metric,
        .short_bits = c->short_bits,
        .rows = w->fields[field].rows,
        .coarse = c->coarse,
        .fine = c->fine,
        .signs = c->signs,
        .mean = c->mean,
        .coarse_codes = c->coarse_codes,
        .fine_codes = c->fine_codes,
        .fine_rows = c->fine_rows,
        .fine_spread = c->fine_spread,
        .worth = c->worth,
        .coarse_first_fine = c->coarse_first_fine,
        .coarse_first_row = c->coarse_first_row,
    };
}

static status order_field(struct writing *w, size_t field, struct err *err)
{
    status st = members_of(w, field, err);

    if (st == ST_OK)
        st = make_cells(w, field, err);
    if (st != ST_OK)
        return err_wrap(err, st, "vector field %u", w->schema->fields[field].id);
    describe(w, field);
    if (field == 0)
        return ST_OK;
    w->position_of[field] = numbers(w->s->count, err, &st);
    for (uint32_t p = 0; st == ST_OK && p < w->fields[field].rows; p++)
        w->position_of[field][w->fields[field].items[p]] = p;
    return st;
}

static void order_rows(struct writing *w)
{
    uint32_t rows = 0;

    if (w->schema->field_count > 0)
        for (; rows < w->fields[0].rows; rows++)
            w->by_ordinal[rows] = w->fields[0].items[rows];
    for (uint32_t i = 0; i < w->rows; i++)
        if (w->schema->field_count == 0 || (w->s->items[w->by_id[i]].fields & 1) == 0)
            w->by_ordinal[rows++] = w->by_id[i];
    for (uint32_t ordinal = 0; ordinal < rows; ordinal++)
        w->ordinal_of[w->by_ordinal[ordinal]] = ordinal;
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
    uint32_t number = w->fields[field].items[position];
    const struct spool_item *item = &w->s->items[number];
    struct cold_record record = {.lsn = item->lsn,
                                 .id = item->id,
                                 .id_place = w->place_of != NULL ? w->place_of[number] : 0,
                                 .ordinal = w->ordinal_of[number],
                                 .code = c->row};
    status st;

    cells_encode(c->cells, c->centroids, coarse, spool_vector(w->s, field, number), c->scratch,
                 c->row, c->small);
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
    uint32_t rows = w->fields[field].rows;
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

    for (uint32_t p = 0; st == ST_OK && p < w->fields[field].rows; p++) {
        st = cold_writer_vector(w->writer, (uint16_t)field,
                                spool_vector(w->s, field, w->fields[field].items[p]), err);
        if (st == ST_OK)
            st = pause_at(w, p, err);
    }
    return st;
}

static status write_field(struct writing *w, size_t field, struct err *err)
{
    struct coder c = {.cells = NULL};
    status st = ST_OK;

    if (w->fields[field].rows == 0)
        return ST_OK;
    st = spool_file_open(&w->codes, w->s->fs, w->s->dir, "codes", err);
    if (st == ST_OK)
        st = coder_open(&w->fields[field].build.cells, &c, err);
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
    for (uint32_t ordinal = 0; st == ST_OK && ordinal < w->rows; ordinal++) {
        uint32_t number = w->by_ordinal[ordinal];
        const struct spool_item *item = &w->s->items[number];
        struct cold_payload_row row = {
            .lsn = item->lsn, .id = item->id, .fields = item->fields, .positions = positions};
        struct spool_blob blob;

        for (size_t i = 0; i < w->schema->field_count; i++)
            positions[i] = (item->fields >> i & 1) == 0 ? UINT32_MAX
                           : i == 0                     ? ordinal
                                                        : w->position_of[i][number];
        st = spool_blob(w->s, number, &bytes, &blob, err);
        if (st != ST_OK)
            break;
        row.inserted_at_ns = blob.inserted_at_ns;
        row.external_id = blob.external_id;
        row.payload = blob.payload;
        st = cold_writer_payload(w->writer, &row, err);
        if (st == ST_OK)
            st = pause_at(w, ordinal, err);
    }
    buf_free(&bytes);
    return st;
}

static status write_ids(struct writing *w, struct err *err)
{
    status st = ST_OK;

    for (uint32_t i = 0; st == ST_OK && i < w->rows; i++) {
        const struct spool_item *item = &w->s->items[w->by_id[i]];

        st = cold_writer_id(w->writer, &item->id, w->ordinal_of[w->by_id[i]], item->lsn, err);
    }
    return st;
}

static status write_all(struct writing *w, struct manifest_cold *out, struct err *err)
{
    struct cold_writer_options *o = &w->options;
    status st;

    memcpy(o->collection, w->f->p.now.collection, sizeof o->collection);
    o->salt = (uint32_t)rand_u64(w->f->options->publish.rand);
    o->rows = w->rows;
    o->field_count = (uint16_t)w->schema->field_count;
    o->fields = w->cold_fields;
    st = spool_file_open(&w->object, w->s->fs, w->s->dir, "object", err);
    if (st == ST_OK)
        st = cold_writer_create(&w->sink, o, &w->writer, err);
    for (size_t i = 0; st == ST_OK && i < w->schema->field_count; i++)
        st = write_field(w, i, err);
    if (st == ST_OK)
        st = write_payloads(w, err);
    if (st == ST_OK)
        st = write_ids(w, err);
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
    w->f->requests += report.requests;
    if (st != ST_OK) {
        r->class = report.class;
        r->attempts = report.requests;
        (void)snprintf(r->key, sizeof r->key, "%s", key);
        return st;
    }
    r->objects++;
    r->bytes += segment->object.bytes;
    r->rows += segment->rows;
    if (o->on_object != NULL)
        o->on_object(o->commit_arg, key, segment->object.bytes);
    return ST_OK;
}

/* --- all of it --- */

static status make_room(struct writing *w, struct err *err)
{
    size_t fields = w->schema->field_count;
    status st = ST_OK;

    w->by_id = numbers(w->rows, err, &st);
    w->by_ordinal = numbers(w->rows, err, &st);
    w->ordinal_of = numbers(w->s->count, err, &st);
    w->fields = mem_zero_array(fields, sizeof *w->fields);
    w->cold_fields = mem_zero_array(fields, sizeof *w->cold_fields);
    w->position_of = mem_zero_array(fields, sizeof *w->position_of);
    if (w->fields == NULL || w->cold_fields == NULL || w->position_of == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a fold");
    return st;
}

static void give_back(struct writing *w)
{
    for (size_t i = 0; i < w->schema->field_count; i++) {
        if (w->fields != NULL && w->fields[i].built)
            cells_build_free(&w->fields[i].build);
        if (w->fields != NULL)
            mem_free(w->fields[i].items);
        if (w->position_of != NULL)
            mem_free(w->position_of[i]);
    }
    cold_writer_destroy(w->writer);
    spool_file_close(&w->object);
    mem_free(w->by_id);
    mem_free(w->by_ordinal);
    mem_free(w->ordinal_of);
    mem_free(w->place_of);
    mem_free(w->position_of);
    mem_free(w->fields);
    mem_free(w->cold_fields);
}

status fold_write(struct fold *f, struct err *err)
{
    struct writing w = {.f = f,
                        .s = &f->spool,
                        .schema = f->options->publish.schema,
                        .rows = f->spool.rows,
                        .sink = {.write = write_object}};
    struct manifest_cold segment = {.level = 1};
    status st = make_room(&w, err);

    if (st == ST_OK)
        st = sort_ids(&w, err);
    if (st == ST_OK)
        st = place_ids(&w, err);
    for (size_t i = 0; st == ST_OK && i < w.schema->field_count; i++)
        st = order_field(&w, i, err);
    if (st == ST_OK) {
        order_rows(&w);
        st = write_all(&w, &segment, err);
    }
    if (st == ST_OK)
        st = send_object(&w, &segment, err);
    if (st == ST_OK)
        st = manifest_add_cold(&f->p.now, &segment, err);
    give_back(&w);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "write a cold segment");
}
