#include "tests/support/cold_make.h"

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/rand.h"
#include "filter/pindex_stored.h"
#include "index/cells.h"
#include "segment/cold_index.h"
#include "segment/container_memory.h"
#include "segment/objkey.h"

#include <stdlib.h>
#include <string.h>

enum { FIELDS_MAX = 4 };

struct field {
    struct cells_build build;
    bool built;
    uint32_t rows;
    uint32_t *numbers;   /* of rows that have it, then by position */
    uint32_t *positions; /* of a row, UINT32_MAX: none */
};
struct making {
    const struct cold_make *make;
    struct field fields[FIELDS_MAX];
    struct cold_field cold_fields[FIELDS_MAX];
    uint32_t *by_ordinal, *ordinals, *by_id, *places; /* of a row: ordinal, id block */
    struct container_memory_sink sink;
    struct cold_writer_options options;
    struct cold_writer *writer;
};

static status no_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for a cold segment");
}

static uint32_t *numbers(const struct making *m)
{
    return mem_zero_array(m->make->row_count, sizeof(uint32_t));
}

struct members {
    const struct making *m;
    size_t field;
};

static const float *vector_at(void *arg, uint32_t number)
{
    const struct members *s = arg;

    return s->m->make->rows[s->m->fields[s->field].numbers[number]].vectors[s->field];
}

static status make_field(struct making *m, size_t i, struct err *err)
{
    const struct catalog_field *catalog = &m->make->fields[i];
    struct field *f = &m->fields[i];
    struct members members = {.m = m, .field = i};
    const struct cells_source source = {.at = vector_at, .arg = &members};
    struct cells_options options = {
        .dim = catalog->dim, .metric = (enum vmetric)catalog->metric, .seed = m->make->seed + i};
    uint32_t *sorted = numbers(m);
    status st;

    f->numbers = numbers(m);
    f->positions = numbers(m);
    if (sorted == NULL || f->numbers == NULL || f->positions == NULL) {
        mem_free(sorted);
        return no_memory(err);
    }
    for (uint32_t r = 0; r < m->make->row_count; r++) {
        f->positions[r] = UINT32_MAX;
        if (m->make->rows[r].vectors[i] != NULL)
            f->numbers[f->rows++] = r;
    }
    options.rows = f->rows;
    st = cells_build(&options, &source, &f->build, err);
    f->built = st == ST_OK;
    for (uint32_t p = 0; st == ST_OK && p < f->rows; p++) {
        sorted[p] = f->numbers[f->build.order[p]];
        f->positions[sorted[p]] = p;
    }
    mem_free(f->numbers);
    f->numbers = sorted;
    return st;
}

static void describe(struct making *m, size_t i)
{
    const struct cells *c = &m->fields[i].build.cells;

    m->cold_fields[i] = (struct cold_field){.field = m->make->fields[i].id,
                                            .dim = m->make->fields[i].dim,
                                            .metric = m->make->fields[i].metric,
                                            .short_bits = c->short_bits,
                                            .rows = m->fields[i].rows,
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
                                            .coarse_first_row = c->coarse_first_row};
}

static int by_id(const void *a, const void *b, void *arg)
{
    const struct cold_make_row *rows = arg;

    return docid_compare(&rows[*(const uint32_t *)a].id, &rows[*(const uint32_t *)b].id);
}

/* The order of the first field's cells; rows without it behind, by id. */
static status order_rows(struct making *m, struct err *err)
{
    const struct cold_make *make = m->make;
    struct cold_id_packer packer = {0};
    struct cold_ids_seen seen = {0};
    uint32_t ordinal = 0;

    m->by_ordinal = numbers(m);
    m->ordinals = numbers(m);
    m->by_id = numbers(m);
    m->places = numbers(m);
    if (m->by_ordinal == NULL || m->ordinals == NULL || m->by_id == NULL || m->places == NULL)
        return no_memory(err);
    m->options.lsn_min = UINT64_MAX;
    for (uint32_t i = 0; i < make->row_count; i++) {
        m->by_id[i] = i;
        cold_ids_note(&seen, &make->rows[i].id);
        if (make->rows[i].lsn < m->options.lsn_min)
            m->options.lsn_min = make->rows[i].lsn;
        if (make->rows[i].lsn > m->options.lsn_max)
            m->options.lsn_max = make->rows[i].lsn;
    }
    cold_ids_form(&seen, &m->options.id_form, &m->options.id_bytes);
    qsort_r(m->by_id, make->row_count, sizeof *m->by_id, by_id, (void *)(uintptr_t)make->rows);
    if (make->field_count > 0)
        for (; ordinal < m->fields[0].rows; ordinal++)
            m->by_ordinal[ordinal] = m->fields[0].numbers[ordinal];
    for (uint32_t i = 0; i < make->row_count; i++) {
        m->places[m->by_id[i]] = cold_id_pack(&packer, &make->rows[m->by_id[i]].id);
        if (make->field_count == 0 || make->rows[m->by_id[i]].vectors[0] == NULL)
            m->by_ordinal[ordinal++] = m->by_id[i];
    }
    for (uint32_t i = 0; i < make->row_count; i++)
        m->ordinals[m->by_ordinal[i]] = i;
    return ST_OK;
}

/* --- sections --- */

static status write_field(struct making *m, size_t i, struct err *err)
{
    const struct field *f = &m->fields[i];
    const struct cells *c = &f->build.cells;
    size_t row_bytes = rabitq_code_bytes((struct rabitq_shape){c->dim, CELLS_ROW_BITS});
    size_t short_bytes = rabitq_code_bytes((struct rabitq_shape){c->dim, c->short_bits});
    uint8_t *row = mem_zero(row_bytes), *codes = mem_zero((f->rows + 1) * short_bytes);
    float *scratch = mem_alloc_array(2 * (size_t)c->dim, sizeof *scratch);
    struct cells_centroids *centroids = NULL;
    status st = row == NULL || codes == NULL || scratch == NULL
                    ? no_memory(err)
                    : cells_centroids(c, &centroids, err);

    for (uint32_t coarse = 0; st == ST_OK && coarse < c->coarse; coarse++)
        for (uint32_t p = c->coarse_first_row[coarse];
             st == ST_OK && p < c->coarse_first_row[coarse + 1]; p++) {
            uint32_t number = f->numbers[p];
            const struct cold_make_row *from = &m->make->rows[number];
            const struct cold_record record = {.lsn = from->lsn,
                                               .id = from->id,
                                               .id_place = m->places[number],
                                               .ordinal = m->ordinals[number],
                                               .code = row};

            cells_encode(c, centroids, coarse, from->vectors[i], scratch, row,
                         codes + p * short_bytes);
            st = cold_writer_record(m->writer, (uint16_t)i, &record, err);
        }
    for (uint32_t p = 0; st == ST_OK && p < f->rows; p++)
        st = cold_writer_code(m->writer, (uint16_t)i, codes + p * short_bytes, err);
    for (uint32_t p = 0; st == ST_OK && p < f->rows; p++)
        st = cold_writer_vector(m->writer, (uint16_t)i, m->make->rows[f->numbers[p]].vectors[i],
                                err);
    if (centroids != NULL)
        cells_centroids_free(centroids);
    mem_free(scratch);
    mem_free(codes);
    mem_free(row);
    return st;
}

static status write_payload(struct making *m, uint32_t ordinal, struct err *err)
{
    uint32_t number = m->by_ordinal[ordinal], positions[COLD_FIELDS_MAX];
    const struct cold_make_row *from = &m->make->rows[number];
    struct cold_payload_row row = {.external_id = from->external_id,
                                   .payload = from->payload,
                                   .inserted_at_ns = from->inserted_at_ns,
                                   .lsn = from->lsn,
                                   .id = from->id,
                                   .positions = positions};

    for (size_t i = 0; i < m->make->field_count; i++) {
        positions[i] = m->fields[i].positions[number];
        if (positions[i] != UINT32_MAX)
            row.fields |= UINT64_C(1) << i;
    }
    return cold_writer_payload(m->writer, &row, err);
}

/* --- payload indexes --- */

struct pair {
    uint32_t row, bytes;
    uint8_t *key;
};
struct pairs {
    struct pair *items;
    size_t count, room;
    uint32_t row;
};

static bool take_pair(void *arg, struct slice key)
{
    struct pairs *p = arg;
    uint8_t *copy = mem_alloc(key.bytes);

    if (p->count == p->room) {
        size_t room = p->room == 0 ? 1024 : 2 * p->room;
        struct pair *longer = mem_resize(p->items, room * sizeof *longer);

        if (longer == NULL)
            return false;
        p->items = longer;
        p->room = room;
    }
    if (copy == NULL)
        return false;
    memcpy(copy, key.data, key.bytes);
    p->items[p->count++] = (struct pair){p->row, (uint32_t)key.bytes, copy};
    return true;
}

static int by_pair(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int order = memcmp(x->key, y->key, x->bytes < y->bytes ? x->bytes : y->bytes);

    if (order == 0)
        order = (x->bytes > y->bytes) - (x->bytes < y->bytes);
    return order != 0 ? order : (x->row > y->row) - (x->row < y->row);
}

static status write_index(struct making *m, const struct pindex_spec *spec, struct err *err)
{
    const struct cold_index what = {.type = (uint8_t)spec->type,
                                    .tokenizer = (uint8_t)spec->words.tokenizer,
                                    .keep_case = spec->words.keep_case,
                                    .min_bytes = spec->words.min_bytes,
                                    .max_bytes = spec->words.max_bytes,
                                    .path = spec->path->text};
    struct pairs p = {.count = 0};
    bool told = true;
    status st;

    for (; told && p.row < m->make->row_count; p.row++)
        told = pindex_entries_of(spec, m->make->rows[m->by_ordinal[p.row]].payload, take_pair, &p);
    st = told ? cold_writer_index_begin(m->writer, &what, err) : no_memory(err);
    if (p.count > 0)
        qsort(p.items, p.count, sizeof *p.items, by_pair);
    for (size_t i = 0; i < p.count; i++) {
        if (st == ST_OK)
            st = cold_writer_index_row(m->writer, slice_make(p.items[i].key, p.items[i].bytes),
                                       p.items[i].row, err);
        mem_free(p.items[i].key);
    }
    mem_free(p.items);
    return st == ST_OK ? cold_writer_index_end(m->writer, err) : st;
}

static status write_all(struct making *m, struct manifest_cold *named, struct err *err)
{
    status st = cold_writer_create(&m->sink.sink, &m->options, &m->writer, err);

    for (size_t i = 0; st == ST_OK && i < m->make->field_count; i++)
        if (m->fields[i].rows > 0)
            st = write_field(m, i, err);
    for (uint32_t i = 0; st == ST_OK && i < m->make->row_count; i++)
        st = write_payload(m, i, err);
    for (uint32_t i = 0; st == ST_OK && i < m->make->row_count; i++)
        st = cold_writer_id(m->writer, &m->make->rows[m->by_id[i]].id, m->ordinals[m->by_id[i]],
                            m->make->rows[m->by_id[i]].lsn, err);
    for (size_t i = 0; st == ST_OK && i < m->make->index_count; i++)
        st = write_index(m, &m->make->indexes[i], err);
    return st == ST_OK ? cold_writer_finish(m->writer, named, err) : st;
}

static void uuid_of(uint64_t seed, uint8_t out[16])
{
    struct rand_seeded r;

    rand_seeded_init(&r, seed);
    uuid_make_v4(&r.source, out);
}

status cold_make_segment(const struct cold_make *make, struct buf *out, struct manifest_cold *named,
                         uint32_t *ordinals, struct err *err)
{
    struct making m = {.make = make};
    status st = ST_OK;

    container_memory_sink_init(&m.sink, SIZE_MAX);
    for (size_t i = 0; st == ST_OK && i < make->field_count; i++) {
        st = make_field(&m, i, err);
        if (st == ST_OK)
            describe(&m, i);
    }
    if (st == ST_OK)
        st = order_rows(&m, err);
    memcpy(m.options.collection, make->collection, sizeof m.options.collection);
    m.options.salt = (uint32_t)make->seed;
    m.options.rows = make->row_count;
    m.options.field_count = (uint16_t)make->field_count;
    m.options.fields = m.cold_fields;
    *named = (struct manifest_cold){.level = 1};
    uuid_of(make->seed, named->object.uuid);
    if (st == ST_OK)
        st = write_all(&m, named, err);
    if (st == ST_OK)
        buf_put_slice(out, buf_slice(&m.sink.bytes));
    if (st == ST_OK)
        st = buf_status(out, err);
    if (st == ST_OK && ordinals != NULL)
        memcpy(ordinals, m.ordinals, make->row_count * sizeof *ordinals);
    cold_writer_destroy(m.writer);
    for (size_t i = 0; i < make->field_count; i++) {
        if (m.fields[i].built)
            cells_build_free(&m.fields[i].build);
        mem_free(m.fields[i].numbers);
        mem_free(m.fields[i].positions);
    }
    mem_free(m.by_ordinal);
    mem_free(m.ordinals);
    mem_free(m.by_id);
    mem_free(m.places);
    buf_free(&m.sink.bytes);
    return st;
}

/* --- into a store --- */

static status send(struct objstore *store, struct objstore_req *req, struct objstore_part *part,
                   char upload_id[OBJSTORE_UPLOAD_BYTES], struct err *err)
{
    status st = objstore_wait(store, req, err);

    if (st == ST_OK && part != NULL)
        memcpy(part->etag, req->result.etag, sizeof part->etag);
    if (st == ST_OK && upload_id != NULL)
        memcpy(upload_id, req->result.upload_id, OBJSTORE_UPLOAD_BYTES);
    objstore_result_fini(&req->result);
    return st;
}

static status put_parts(struct objstore *store, const char *key, struct slice bytes,
                        struct err *err)
{
    enum { PART = 32 * 1024 * 1024, PARTS = 256 };
    struct objstore_part *parts = mem_zero_array(PARTS, sizeof *parts);
    char upload_id[OBJSTORE_UPLOAD_BYTES] = "";
    struct objstore_req req = {.op = OBJSTORE_UPLOAD_BEGIN, .key = key};
    uint32_t count = 0;
    status st = parts == NULL ? no_memory(err) : send(store, &req, NULL, upload_id, err);

    for (size_t at = 0; st == ST_OK && at < bytes.bytes && count < PARTS; at += PART) {
        size_t left = bytes.bytes - at;

        parts[count].number = count + 1;
        req = (struct objstore_req){.op = OBJSTORE_UPLOAD_PART,
                                    .key = key,
                                    .upload_id = upload_id,
                                    .part_number = count + 1,
                                    .body = slice_make(bytes.data + at, left < PART ? left : PART)};
        st = send(store, &req, &parts[count++], NULL, err);
    }
    req = (struct objstore_req){.op = OBJSTORE_UPLOAD_COMPLETE,
                                .key = key,
                                .upload_id = upload_id,
                                .parts = parts,
                                .part_count = count};
    if (st == ST_OK)
        st = send(store, &req, NULL, NULL, err);
    mem_free(parts);
    return st;
}

status cold_make_put(struct objstore *store, const uint8_t collection[16], const uint8_t uuid[16],
                     struct slice bytes, struct err *err)
{
    char key[OBJKEY_BYTES];
    struct objstore_req req = {.op = OBJSTORE_PUT, .key = key, .body = bytes};

    objkey_data(collection, uuid, key);
    return bytes.bytes <= OBJSTORE_OBJECT_BYTES_MAX ? send(store, &req, NULL, NULL, err)
                                                    : put_parts(store, key, bytes, err);
}

status cold_make_dead(struct objstore *store, const uint8_t collection[16],
                      const struct cold_dead *dead, uint64_t seed, struct manifest_cold *named,
                      struct err *err)
{
    struct buf bytes;
    status st;

    buf_init(&bytes, SIZE_MAX);
    st = cold_dead_encode(dead, collection, named->object.uuid, &bytes, err);
    if (st == ST_OK) {
        uuid_of(seed, named->dead.uuid);
        named->dead.bytes = bytes.bytes;
        named->dead.crc = crc32c(0, bytes.data, bytes.bytes);
        named->dead_rows = dead->dead;
        st = cold_make_put(store, collection, named->dead.uuid, buf_slice(&bytes), err);
    }
    buf_free(&bytes);
    return st;
}
