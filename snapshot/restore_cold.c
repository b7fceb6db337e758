/* Rows of cold segments, handed over as rows of segments: each once, in any order among the others,
 * as the rule of docs/formats/checkpoint.md goes by lsn. */
#include "snapshot/cold_verify.h"
#include "snapshot/fold.h"
#include "snapshot/restore_internal.h"

struct cold_rows {
    const struct restore_cold *to;
    const struct catalog_collection *schema;
    struct buf item; /* the row as an upsert has it */
};

static status hand_over(void *arg, const struct cold_stream_row *row, struct err *err)
{
    struct cold_rows *c = arg;
    struct record_vector vectors[RECORD_FIELDS_MAX];
    struct segment_row out = {.lsn = row->row.lsn, .inserted_at_ns = row->row.inserted_at_ns};
    uint16_t count = 0;
    const char *problem;
    struct rd r;
    status st;

    for (size_t i = 0; i < c->schema->field_count; i++)
        if (row->row.vectors[i] != NULL)
            vectors[count++] = (struct record_vector){.field = c->schema->fields[i].id,
                                                      .dim = c->schema->fields[i].dim,
                                                      .values = row->row.vectors[i]};
    buf_reset(&c->item);
    problem = record_row_put(&c->item, &row->row.id, row->row.external_id, row->row.payload,
                             vectors, count);
    if (problem != NULL)
        return err_set(err, ST_CORRUPT, "a row of a cold segment: %s", problem);
    st = buf_status(&c->item, err);
    if (st != ST_OK)
        return st;
    r = rd_make(buf_slice(&c->item));
    st = record_row_read(&r, &out.row, err);
    return st == ST_OK ? c->to->on_row(c->to->arg, &out, err) : st;
}

static status read_one(const struct restore_cold *to, const struct manifest_cold *segment,
                       struct cold_rows *rows, struct restore_cold_report *report, struct err *err)
{
    const struct restore_options *o = to->options;
    const struct cold_stream_options options = {.ask = to->ask,
                                                .collection = o->collection,
                                                .segment = segment,
                                                .schema = rows->schema,
                                                .fs = o->fs,
                                                .scratch_dir = o->scratch_dir,
                                                .bytes_in_flight = o->fetch_ahead_bytes,
                                                .window = o->fetch_ahead};
    struct cold_stream_report streamed;
    uint64_t bytes;
    status st = ST_OK;

    if (to->deep) {
        st = cold_verify(to->ask, o->collection, segment, &bytes, err);
        report->bytes += bytes;
    }
    if (st != ST_OK || to->on_row == NULL)
        return st;
    st = cold_stream(&options, hand_over, rows, &streamed, err);
    report->bytes += streamed.bytes;
    report->requests += streamed.requests;
    return st;
}

status restore_cold_read(const struct restore_cold *to, const struct manifest *m,
                         struct restore_cold_report *report, struct err *err)
{
    struct cold_rows rows = {.to = to, .schema = &m->schema};
    struct cold_verify_report verified = {.bytes = 0};
    status st = ST_OK;

    buf_init(&rows.item, SEGMENT_BYTES_MAX);
    for (size_t i = 0; st == ST_OK && i < m->cold_count; i++) {
        uint64_t before = report->bytes;

        st = read_one(to, &m->colds[i], &rows, report, err);
        if (st == ST_OK)
            to->progress(to->arg, report->bytes - before);
    }
    if (st == ST_OK && to->deep)
        st = cold_verify_once(to->ask, m, &verified, err);
    report->requests += verified.requests;
    buf_free(&rows.item);
    return st;
}
