/* A cold segment, its checksums mended after each change. What passes its check can be read part by
 * part and written again to a segment that says the same; the dead rows of one are tried too. */
#include "segment/cold.h"
#include "segment/container_memory.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"
#include "tests/support/seal_cold.h"

#include <stdlib.h>

enum { OWNER_AT = 8, BYTES_MIN = 96 };

/* Lengths stay: what lies where follows from the footer. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
    size_t at, n;

    (void)bytes_max;
    if (bytes < BYTES_MIN)
        return LLVMFuzzerMutate(data, bytes, bytes_max);
    at = (seed * 2654435761u) % bytes;
    n = 1 + seed % 16;
    n = n < bytes - at ? n : bytes - at;
    if (seed % 5 == 0) { /* a number, where numbers are */
        data[at] = (uint8_t)(data[at] + (seed >> 8) % 3 - 1);
    } else {
        (void)LLVMFuzzerMutate(data + at, n, n);
    }
    if (seed % 16 != 1)
        seal_cold(data, bytes);
    return bytes;
}

struct copy {
    struct container_source *source;
    struct cold_footer f;
    struct cold_writer *w;
    struct buf io, unpacked;
    /* the id of one row, looked up */
    uint32_t wanted;
    struct docid id;
    uint8_t text[DOCID_BYTES_MAX];
};

static struct slice fetch(struct copy *c, uint64_t offset, uint64_t bytes)
{
    buf_reset(&c->io);
    FUZZ_CHECK(offset + bytes <= c->source->bytes && buf_reserve(&c->io, (size_t)bytes));
    FUZZ_CHECK(c->source->read(c->source, offset, c->io.data, (size_t)bytes, NULL) == ST_OK);
    return slice_make(c->io.data, (size_t)bytes);
}

static status take_id(void *arg, uint32_t ordinal, const struct cold_payload_row *row,
                      struct err *err)
{
    struct copy *c = arg;

    (void)err;
    if (ordinal != c->wanted)
        return ST_OK;
    c->id = row->id;
    if (row->id.kind == DOCID_BYTES) {
        memcpy(c->text, row->id.bytes.data, row->id.bytes.bytes);
        c->id.bytes.data = c->text;
    }
    return ST_OK;
}

/* A record that has but the hash of its id. */
static void whole_id(struct copy *c, struct cold_record *r)
{
    uint32_t block = cold_payload_block(&c->f, r->ordinal);
    uint64_t offset, bytes;

    c->wanted = r->ordinal;
    cold_payload_range(&c->f, block, &offset, &bytes);
    FUZZ_CHECK(cold_payload_each(&c->f, block, fetch(c, offset, bytes), &c->unpacked, take_id, c,
                                 NULL) == ST_OK);
    FUZZ_CHECK(docid_hash(&c->id) == r->id_hash);
    r->id = c->id;
}

static void copy_field(struct copy *c, uint16_t at)
{
    const struct cold_field *f = &c->f.fields[at];
    size_t code = rabitq_code_bytes((struct rabitq_shape){f->dim, f->short_bits});
    float *values = malloc(f->dim * sizeof *values);
    uint64_t offset, bytes;

    for (uint32_t i = 0; i < f->rows; i++) {
        struct cold_record r;
        uint8_t *own;

        cold_records_range(&c->f, at, i, 1, &offset, &bytes);
        own = fuzz_copy(fetch(c, offset, bytes).data, (size_t)bytes);
        FUZZ_CHECK(cold_records_check(&c->f, at, i, slice_make(own, (size_t)bytes), NULL) == ST_OK);
        cold_record_at(&c->f, at, i, slice_make(own, (size_t)bytes), 0, &r);
        if (r.id_is_hash)
            whole_id(c, &r);
        FUZZ_CHECK(cold_writer_record(c->w, at, &r, NULL) == ST_OK);
        free(own);
    }
    for (uint32_t i = 0; i < f->coarse; i++) {
        const uint8_t *codes;

        cold_codes_range(&c->f, at, i, &offset, &bytes);
        FUZZ_CHECK(cold_codes_check(&c->f, at, i, fetch(c, offset, bytes), &codes, NULL) == ST_OK);
        for (uint32_t k = 0; k < f->coarse_first_row[i + 1] - f->coarse_first_row[i]; k++)
            FUZZ_CHECK(cold_writer_code(c->w, at, codes + k * code, NULL) == ST_OK);
    }
    for (uint32_t i = 0; i < f->rows; i++) {
        cold_vectors_range(&c->f, at, i, 1, &offset, &bytes);
        FUZZ_CHECK(cold_vectors_check(&c->f, at, i, fetch(c, offset, bytes), NULL) == ST_OK);
        cold_vector_at(&c->f, at, buf_slice(&(struct buf){.data = c->io.data, .bytes = bytes}), 0,
                       values);
        FUZZ_CHECK(cold_writer_vector(c->w, at, values, NULL) == ST_OK);
    }
    free(values);
}

static status copy_row(void *arg, uint32_t ordinal, const struct cold_payload_row *row,
                       struct err *err)
{
    struct copy *c = arg;

    (void)ordinal;
    return cold_writer_payload(c->w, row, err);
}

static status copy_id(void *arg, const struct docid *id, uint32_t ordinal, uint64_t lsn,
                      struct err *err)
{
    struct copy *c = arg;

    return cold_writer_id(c->w, id, ordinal, lsn, err);
}

static void copy_blocks(struct copy *c)
{
    uint64_t offset, bytes;

    for (uint32_t i = 0; i < c->f.payload_blocks; i++) {
        cold_payload_range(&c->f, i, &offset, &bytes);
        FUZZ_CHECK(cold_payload_each(&c->f, i, fetch(c, offset, bytes), &c->unpacked, copy_row, c,
                                     NULL) == ST_OK);
    }
    for (uint32_t i = 0; i < c->f.id_blocks; i++) {
        cold_id_range(&c->f, i, &offset, &bytes);
        FUZZ_CHECK(cold_id_each(&c->f, i, fetch(c, offset, bytes), copy_id, c, NULL) == ST_OK);
    }
}

static status copy_key(void *arg, struct slice key, const uint32_t *rows, uint32_t count,
                       struct err *err)
{
    struct copy *c = arg;
    status st = ST_OK;

    for (uint32_t i = 0; st == ST_OK && i < count; i++)
        st = cold_writer_index_row(c->w, key, rows[i], err);
    return st;
}

static void copy_indexes(struct copy *c)
{
    struct cold_index_cursor *cursor = malloc(sizeof *cursor);
    uint64_t offset, bytes;

    for (uint16_t i = 0; c->f.indexes != NULL && i < c->f.indexes->count; i++) {
        const struct cold_index *x = &c->f.indexes->items[i];

        cursor->key_bytes = 0;
        FUZZ_CHECK(cold_writer_index_begin(c->w, x, NULL) == ST_OK);
        for (uint32_t b = x->first; b < x->first + x->blocks; b++) {
            cold_index_range(&c->f, b, &offset, &bytes);
            FUZZ_CHECK(cold_index_each(&c->f, i, b, fetch(c, offset, bytes), &c->unpacked, cursor,
                                       copy_key, c, NULL) == ST_OK);
        }
        FUZZ_CHECK(cold_writer_index_end(c->w, NULL) == ST_OK);
    }
    free(cursor);
}

/* Ids may lie in blocks otherwise packed, and records then name other ones: the copy is checked
 * only where none does. */
static void write_again(struct container_source *source, const uint8_t owner[16])
{
    struct container_memory_source again;
    struct container_memory_sink sink;
    struct manifest_cold m = {0};
    struct copy c = {.source = source};
    struct buf footer;

    buf_init(&footer, SIZE_MAX);
    buf_init(&c.io, SIZE_MAX);
    buf_init(&c.unpacked, COLD_PAYLOAD_BLOCK_BYTES_MAX);
    container_memory_sink_init(&sink, SIZE_MAX);
    FUZZ_CHECK(cold_footer_find(source, owner, &footer, &c.f, NULL) == ST_OK);
    {
        struct cold_writer_options o = {.salt = c.f.salt,
                                        .rows = c.f.rows,
                                        .id_form = c.f.id_form,
                                        .id_bytes = c.f.id_bytes,
                                        .lsn_min = c.f.lsn_min,
                                        .lsn_max = c.f.lsn_max,
                                        .plain = true,
                                        .field_count = c.f.field_count,
                                        .fields = c.f.fields};

        memcpy(o.collection, owner, 16);
        FUZZ_CHECK(cold_writer_create(&sink.sink, &o, &c.w, NULL) == ST_OK);
    }
    for (uint16_t i = 0; i < c.f.field_count; i++)
        copy_field(&c, i);
    copy_blocks(&c);
    copy_indexes(&c);
    FUZZ_CHECK(cold_writer_finish(c.w, &m, NULL) == ST_OK);
    FUZZ_CHECK(m.rows == c.f.rows && m.object.bytes == sink.bytes.bytes);
    container_memory_source_init(&again, buf_slice(&sink.bytes));
    if (c.f.id_form != COLD_ID_MIXED)
        FUZZ_CHECK(cold_check(&again.source, owner, &m, NULL) == ST_OK);
    cold_writer_destroy(c.w);
    cold_footer_free(&c.f);
    buf_free(&footer);
    buf_free(&c.io);
    buf_free(&c.unpacked);
    buf_free(&sink.bytes);
}

/* The same bytes as the frame of dead rows. */
static void try_dead(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = fuzz_copy(data, bytes);
    struct manifest_cold named = {0};
    struct err err = {0};
    struct cold_dead d;

    seal_frame(copy, bytes);
    memcpy(named.object.uuid, copy + 32, 16);
    named.rows = le_u32(copy + 48);
    named.dead_rows = le_u32(copy + 52);
    named.dead.bytes = bytes;
    named.dead.crc = crc32c(0, copy, bytes);
    if (named.rows < 1u << 24 &&
        fuzz_said(cold_dead_decode(slice_make(copy, bytes), copy + 16, &named, &d, &err), &err) ==
            ST_OK) {
        struct buf b;

        buf_init(&b, SIZE_MAX);
        FUZZ_CHECK(d.dead == named.dead_rows && d.rows == named.rows);
        FUZZ_CHECK(cold_dead_encode(&d, copy + 16, copy + 32, &b, NULL) == ST_OK);
        FUZZ_CHECK(b.bytes <= bytes); /* a varint may have been longer than it need be */
        buf_free(&b);
        cold_dead_free(&d);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = fuzz_copy(data, bytes);
    struct container_memory_source source;
    struct err err = {0};

    if (bytes >= BYTES_MIN) {
        container_memory_source_init(&source, slice_make(copy, bytes));
        if (fuzz_said(cold_check(&source.source, copy + OWNER_AT, NULL, &err), &err) == ST_OK)
            write_again(&source.source, copy + OWNER_AT);
    }
    if (bytes >= 56 && memcmp(data, "TVDR", 4) == 0)
        try_dead(data, bytes);
    free(copy);
    return 0;
}
