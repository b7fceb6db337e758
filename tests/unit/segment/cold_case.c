#include "tests/unit/segment/cold_case.h"

#include "base/jbin.h"
#include "index/rabitq.h"

#include <stdio.h>
#include <stdlib.h>

const uint8_t COLD_CASE_DOCS[16] = {0x33, 1};

static void *make(size_t count, size_t size)
{
    void *p = calloc(count + 1, size);

    assert_non_null(p);
    return p;
}

/* --- rows --- */

static void make_id(const struct cold_case *c, struct rand_source *r, uint32_t i,
                    struct cold_case_row *row)
{
    unsigned kind = c->options.ids == CASE_MIXED ? (unsigned)rand_below(r, 3) : c->options.ids;
    size_t prefix = kind == CASE_LONG ? (size_t)rand_below(r, 500) : 0;
    int n;

    if (kind == CASE_U64) {
        row->id = docid_u64(i % 3 == 0 ? i : (rand_u64(r) << 24 | i));
    } else if (kind == CASE_UUID) {
        row->id.kind = DOCID_UUID;
        uuid_make_v4(r, row->id.uuid);
    } else {
        memset(row->text, 'x', prefix);
        n = snprintf((char *)row->text + prefix, CASE_TEXT_BYTES - prefix, "%u", i);
        row->id.kind = DOCID_BYTES;
        row->id.bytes = slice_make(row->text, prefix + (size_t)n);
    }
}

static void make_payload(const struct cold_case *c, struct rand_source *r,
                         struct cold_case_row *row)
{
    uint64_t bytes = c->options.payload_bytes == 0 ? 0 : rand_below(r, c->options.payload_bytes);
    struct buf *b = &row->payload;
    size_t at;

    buf_init(b, 1 << 24);
    if (bytes == 0 || rand_below(r, 10) == 0)
        return;
    jbin_put_version(b);
    at = jbin_open(b, true);
    jbin_put_key(b, slice_text("k"));
    {
        struct buf text;

        buf_init(&text, 1 << 24);
        for (uint64_t i = 0; i < bytes; i++)
            buf_put_u8(&text, (uint8_t)('a' + rand_below(r, i % 2 == 0 ? 2 : 26)));
        jbin_put_key(b, buf_slice(&text));
        buf_free(&text);
    }
    jbin_close(b, at);
}

static struct cold_case *sorting;

static int by_id(const void *a, const void *b)
{
    return docid_compare(&sorting->rows[*(const uint32_t *)a].id,
                         &sorting->rows[*(const uint32_t *)b].id);
}

static void make_rows(struct cold_case *c, struct rand_source *r)
{
    struct cold_ids_seen seen = {0};
    struct cold_id_packer packer = {0};
    struct cold_writer_options *w = &c->writer;

    w->lsn_min = UINT64_MAX;
    for (uint32_t i = 0; i < c->options.rows; i++) {
        struct cold_case_row *row = &c->rows[i];

        make_id(c, r, i, row);
        make_payload(c, r, row);
        row->lsn = 1000 + rand_below(r, 500);
        row->inserted_at_ns = rand_u64(r);
        w->lsn_min = row->lsn < w->lsn_min ? row->lsn : w->lsn_min;
        w->lsn_max = row->lsn > w->lsn_max ? row->lsn : w->lsn_max;
        cold_ids_note(&seen, &row->id);
        c->by_id[i] = i;
    }
    cold_ids_form(&seen, &w->id_form, &w->id_bytes);
    sorting = c;
    qsort(c->by_id, c->options.rows, sizeof *c->by_id, by_id);
    for (uint32_t i = 0; i < c->options.rows; i++) {
        struct cold_case_row *row = &c->rows[c->by_id[i]];

        row->place = cold_id_pack(&packer, &row->id);
    }
}

/* --- fields --- */

/* The first field has the first rows, in their order; another has some of all, in any order. */
static void choose_rows(struct cold_case *c, struct rand_source *r, uint16_t at)
{
    struct cold_case_field *f = &c->fields[at];
    uint32_t rows = c->options.rows;

    f->ordinals = make(rows, sizeof *f->ordinals);
    if (at + 1 == c->options.nobody_has)
        return;
    if (at == 0) {
        f->f.rows = c->options.missing ? 1 + (uint32_t)rand_below(r, rows) : rows;
        for (uint32_t i = 0; i < f->f.rows; i++)
            f->ordinals[i] = i;
    } else {
        for (uint32_t i = 0; i < rows; i++)
            if (!c->options.missing || i == 0 || rand_below(r, 3) > 0)
                f->ordinals[f->f.rows++] = i;
        for (uint32_t i = f->f.rows; i > 1; i--) {
            uint32_t with = (uint32_t)rand_below(r, i);
            uint32_t was = f->ordinals[i - 1];

            f->ordinals[i - 1] = f->ordinals[with];
            f->ordinals[with] = was;
        }
    }
    for (uint32_t i = 0; i < f->f.rows; i++) {
        struct cold_case_row *row = &c->rows[f->ordinals[i]];

        row->fields |= (uint64_t)1 << at;
        row->positions[at] = i;
    }
}

static void make_cells(struct cold_field *f, struct rand_source *r)
{
    uint32_t *first_fine = make(f->rows + 1, sizeof *first_fine);
    uint32_t *first_row = make(f->rows + 1, sizeof *first_row);
    uint16_t *fine_rows = make(f->rows, sizeof *fine_rows);
    uint16_t *spread = make(f->rows, sizeof *spread);
    uint32_t at = 0;

    while (at < f->rows) {
        for (uint64_t n = 1 + rand_below(r, 4); n > 0 && at < f->rows; n--) {
            uint32_t rows = 1 + (uint32_t)rand_below(r, 5);

            rows = rows < f->rows - at ? rows : f->rows - at;
            spread[f->fine] = (uint16_t)rand_u64(r);
            fine_rows[f->fine++] = (uint16_t)rows;
            at += rows;
        }
        f->coarse++;
        first_fine[f->coarse] = f->fine;
        first_row[f->coarse] = at;
    }
    f->fine_rows = fine_rows;
    f->fine_spread = spread;
    f->coarse_first_fine = first_fine;
    f->coarse_first_row = first_row;
}

static const uint8_t *noise(struct rand_source *r, size_t bytes)
{
    uint8_t *out = make(bytes, 1);

    r->fill(r, out, bytes);
    return out;
}

/* Noise but for the two factors. */
static uint8_t *codes(struct rand_source *r, size_t count, size_t each)
{
    uint8_t *out = make(count, each);

    r->fill(r, out, count * each);
    for (size_t i = 0; i < count; i++) {
        const float factors[2] = {-(float)i, 0.5F};

        memcpy(out + (i + 1) * each - sizeof factors, factors, sizeof factors);
    }
    return out;
}

static void make_field(struct cold_case *c, struct rand_source *r, uint16_t at)
{
    struct cold_case_field *k = &c->fields[at];
    struct cold_field *f = &k->f;
    uint16_t *worth = make(COLD_WORTH, sizeof *worth);
    float *mean = make(CASE_DIM_MAX, sizeof *mean);

    f->field = (uint16_t)(at * 3);
    f->dim = 1 + (uint32_t)rand_below(r, CASE_DIM_MAX);
    f->metric = (uint8_t)(1 + at % 4);
    f->short_bits = (uint8_t)(1u << at % 3);
    choose_rows(c, r, at);
    make_cells(f, r);
    k->row_code_bytes = rabitq_code_bytes((struct rabitq_shape){f->dim, 8});
    k->short_code_bytes = rabitq_code_bytes((struct rabitq_shape){f->dim, f->short_bits});
    for (uint32_t i = 0; i < f->dim; i++)
        mean[i] = (float)i - 1.5F;
    for (unsigned i = 0; i < COLD_WORTH; i++)
        worth[i] = (uint16_t)(COLD_WORTH - i);
    f->mean = mean;
    f->worth = worth;
    f->signs = noise(r, rabitq_signs_bytes(f->dim));
    f->coarse_codes = noise(r, f->coarse * k->row_code_bytes);
    f->fine_codes = noise(r, f->fine * k->short_code_bytes);
    k->row_codes = codes(r, f->rows, k->row_code_bytes);
    k->short_codes = codes(r, f->rows, k->short_code_bytes);
    k->vectors = make((size_t)f->rows * f->dim, sizeof *k->vectors);
    for (size_t i = 0; i < (size_t)f->rows * f->dim; i++)
        k->vectors[i] = (float)rand_below(r, 1000) / 7;
    c->cold_fields[at] = *f;
}

void cold_case_make(const struct cold_case_options *options, struct cold_case *out)
{
    struct rand_seeded r;

    *out = (struct cold_case){.options = *options};
    rand_seeded_init(&r, options->seed);
    out->rows = make(options->rows, sizeof *out->rows);
    out->by_id = make(options->rows, sizeof *out->by_id);
    buf_init(&out->bytes, 1 << 26);
    make_rows(out, &r.source);
    for (uint32_t i = 0; i < options->rows; i++)
        for (unsigned f = 0; f < CASE_FIELDS_MAX; f++)
            out->rows[i].positions[f] = UINT32_MAX;
    for (uint16_t f = 0; f < options->fields; f++)
        make_field(out, &r.source, f);
    memcpy(out->writer.collection, COLD_CASE_DOCS, 16);
    out->writer.salt = (uint32_t)options->seed * 2654435761u;
    out->writer.rows = options->rows;
    out->writer.field_count = options->fields;
    out->writer.fields = out->cold_fields;
}

static void free_const(const void *p)
{
    free((void *)(uintptr_t)p);
}

void cold_case_free(struct cold_case *c)
{
    for (uint16_t i = 0; i < c->options.fields; i++) {
        struct cold_case_field *k = &c->fields[i];

        free_const(k->f.signs);
        free_const(k->f.mean);
        free_const(k->f.coarse_codes);
        free_const(k->f.fine_codes);
        free_const(k->f.fine_rows);
        free_const(k->f.fine_spread);
        free_const(k->f.worth);
        free_const(k->f.coarse_first_fine);
        free_const(k->f.coarse_first_row);
        free(k->ordinals);
        free(k->row_codes);
        free(k->short_codes);
        free(k->vectors);
    }
    for (uint32_t i = 0; i < c->options.rows; i++)
        buf_free(&c->rows[i].payload);
    free(c->rows);
    free(c->by_id);
    buf_free(&c->bytes);
}

/* --- writing --- */

static status write_field(const struct cold_case *c, struct cold_writer *w, uint16_t at)
{
    const struct cold_case_field *k = &c->fields[at];
    status st = ST_OK;

    for (uint32_t i = 0; st == ST_OK && i < k->f.rows; i++) {
        const struct cold_case_row *row = &c->rows[k->ordinals[i]];
        const struct cold_record record = {.lsn = row->lsn,
                                           .id = row->id,
                                           .id_place = row->place,
                                           .ordinal = k->ordinals[i],
                                           .code = k->row_codes + i * k->row_code_bytes};

        st = cold_writer_record(w, at, &record, NULL);
    }
    for (uint32_t i = 0; st == ST_OK && i < k->f.rows; i++)
        st = cold_writer_code(w, at, k->short_codes + i * k->short_code_bytes, NULL);
    for (uint32_t i = 0; st == ST_OK && i < k->f.rows; i++)
        st = cold_writer_vector(w, at, k->vectors + (size_t)i * k->f.dim, NULL);
    return st;
}

static status write_rows(const struct cold_case *c, struct cold_writer *w)
{
    status st = ST_OK;

    for (uint32_t i = 0; st == ST_OK && i < c->options.rows; i++) {
        const struct cold_case_row *row = &c->rows[i];
        bool outside = i % 4 == 0 && !c->options.no_external_ids;
        const struct cold_payload_row out = {.external_id = slice_text(outside ? "outside" : ""),
                                             .payload = buf_slice(&row->payload),
                                             .inserted_at_ns = row->inserted_at_ns,
                                             .lsn = row->lsn,
                                             .id = row->id,
                                             .fields = row->fields,
                                             .positions =
                                                 c->options.fields < 2 ? NULL : row->positions};

        st = cold_writer_payload(w, &out, NULL);
    }
    for (uint32_t i = 0; st == ST_OK && i < c->options.rows; i++) {
        const struct cold_case_row *row = &c->rows[c->by_id[i]];

        st = cold_writer_id(w, &row->id, c->by_id[i], row->lsn, NULL);
    }
    return st;
}

status cold_case_write_to(const struct cold_case *c, struct container_sink *sink,
                          struct manifest_cold *out)
{
    struct cold_writer *w = NULL;
    status st = cold_writer_create(sink, &c->writer, &w, NULL);

    for (uint16_t i = 0; st == ST_OK && i < c->options.fields; i++)
        st = write_field(c, w, i);
    if (st == ST_OK)
        st = write_rows(c, w);
    if (st == ST_OK && c->indexes != NULL)
        st = c->indexes(c, w);
    if (st == ST_OK)
        st = cold_writer_finish(w, out, NULL);
    cold_writer_destroy(w);
    return st;
}

void cold_case_write(struct cold_case *c)
{
    struct container_memory_sink sink;

    container_memory_sink_init(&sink, 1 << 28);
    assert_int_equal(cold_case_write_to(c, &sink.sink, &c->named), ST_OK);
    assert_int_equal(sink.bytes.bytes, c->named.object.bytes);
    buf_free(&c->bytes);
    c->bytes = sink.bytes;
}

struct slice cold_case_part(const struct cold_case *c, uint64_t offset, uint64_t bytes)
{
    assert_true(offset + bytes <= c->bytes.bytes);
    return slice_make(c->bytes.data + offset, (size_t)bytes);
}

struct slice cold_case_footer(const struct cold_case *c)
{
    return cold_case_part(c, c->named.footer_offset, c->named.footer_bytes);
}

status cold_case_check(const struct cold_case *c)
{
    struct container_memory_source source;

    container_memory_source_init(&source, buf_slice(&c->bytes));
    return cold_check(&source.source, COLD_CASE_DOCS, &c->named, NULL);
}
