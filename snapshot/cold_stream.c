/* Payload blocks in order, and beside them the vectors of the first field, which lie in the same
 * order: some blocks at a time are one GET, their vectors another. The other fields' vectors lie in
 * orders of their own, so they are read first, each in its order, to where they can be reached at
 * random. */
#include "base/mem.h"
#include "snapshot/cold_source.h"
#include "snapshot/fold.h"
#include "snapshot/vector_file.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    PART_BYTES = 4 * 1024 * 1024, /* of a GET, about; one block may be more */
    IN_FLIGHT_BYTES = 64 * 1024 * 1024,
    WINDOW = 8,
};

struct side {             /* all vectors of a field but the first, by position */
    struct fs_file *file; /* NULL: in `memory` */
    struct vector_file vectors;
    void *memory;
    size_t bytes;
};
struct part { /* blocks [block, block_end): ordinals [first, end) */
    uint32_t block, block_end, first, end;
    uint32_t vectors; /* of the first field, from `first` on */
    uint64_t payload_offset, payload_bytes, vectors_offset, vectors_bytes;
};
struct stream {
    const struct cold_stream_options *options;
    status (*fn)(void *arg, const struct cold_stream_row *row, struct err *err);
    void *arg;
    struct cold_source source;
    struct fetch *fetch;
    struct {
        uint32_t block;
        bool vectors; /* of the part that begins there */
    } ahead;
    struct side sides[COLD_FIELDS_MAX]; /* by position; 0 unused */
    size_t
        of[RECORD_FIELDS_MAX]; /* position of each of the schema's fields; COLD_FIELDS_MAX: none */
    const float *vectors[RECORD_FIELDS_MAX];
    float *first_vector; /* of the row, aligned */
    struct part part;
    struct slice part_vectors;
    struct buf unpacked;
    uint64_t handed; /* rows of the block under way */
    struct cold_stream_report report;
};

static uint64_t in_flight(const struct stream *s)
{
    return s->options->bytes_in_flight != 0 ? s->options->bytes_in_flight : IN_FLIGHT_BYTES;
}

static uint32_t window(const struct stream *s)
{
    return s->options->window != 0 ? s->options->window : WINDOW;
}

/* --- which position is which field --- */

static status match_fields(struct stream *s, struct err *err)
{
    const struct catalog_collection *schema = s->options->schema;
    const struct cold_footer *f = &s->source.footer;

    for (size_t i = 0; i < schema->field_count; i++) {
        s->of[i] = COLD_FIELDS_MAX;
        for (uint16_t at = 0; at < f->field_count; at++) {
            if (f->fields[at].field != schema->fields[i].id)
                continue;
            if (f->fields[at].dim != schema->fields[i].dim)
                return err_set(err, ST_CORRUPT,
                               "%s: vector field %u has %" PRIu32 " dimensions, the collection's "
                               "%" PRIu32,
                               s->source.key, schema->fields[i].id, f->fields[at].dim,
                               schema->fields[i].dim);
            s->of[i] = at;
        }
    }
    return ST_OK;
}

/* --- fields but the first --- */

struct side_reader {
    struct stream *s;
    uint16_t at;
    uint32_t each, ahead, next; /* vectors a GET */
};

static uint32_t side_count(const struct side_reader *r, uint32_t first)
{
    uint32_t left = r->s->source.footer.fields[r->at].rows - first;

    return left < r->each ? left : r->each;
}

static bool name_side(void *arg, struct fetch_item *out)
{
    struct side_reader *r = arg;
    uint64_t offset, bytes;

    if (r->ahead == r->s->source.footer.fields[r->at].rows)
        return false;
    cold_vectors_range(&r->s->source.footer, r->at, r->ahead, side_count(r, r->ahead), &offset,
                       &bytes);
    cold_source_item(&r->s->source, offset, bytes, out);
    r->ahead += side_count(r, r->ahead);
    return true;
}

static status check_side(void *arg, struct slice bytes, struct err *err)
{
    struct side_reader *r = arg;

    return cold_vectors_check(&r->s->source.footer, r->at, r->next, bytes, err);
}

static status put_side(struct side_reader *r, struct slice bytes, float *plain, uint32_t count,
                       struct err *err)
{
    struct stream *s = r->s;
    struct side *side = &s->sides[r->at];
    size_t dim = s->source.footer.fields[r->at].dim;
    uint64_t offset = (uint64_t)r->next * dim * sizeof(float);

    for (uint32_t i = 0; i < count; i++)
        cold_vector_at(&s->source.footer, r->at, bytes, i, plain + i * dim);
    if (side->file != NULL)
        return fs_pwrite(s->options->fs, side->file, plain, count * dim * sizeof(float), offset,
                         err);
    memcpy((uint8_t *)side->memory + offset, plain, count * dim * sizeof(float));
    return ST_OK;
}

static status read_side(struct side_reader *r, float *plain, struct err *err)
{
    struct cold_source *source = &r->s->source;
    struct fetch *f = NULL;
    status st = fetch_open(&source->ask, window(r->s), in_flight(r->s) / 2, name_side, r, &f, err);

    while (st == ST_OK && r->next < source->footer.fields[r->at].rows) {
        uint32_t count = side_count(r, r->next);
        uint64_t offset, bytes;
        struct buf body = {0};

        cold_vectors_range(&source->footer, r->at, r->next, count, &offset, &bytes);
        st = cold_source_take(source, f, offset, bytes, check_side, r, &body, err);
        if (st == ST_OK)
            st = put_side(r, buf_slice(&body), plain, count, err);
        buf_free(&body);
        r->next += count;
    }
    if (f != NULL)
        source->requests += fetch_requests(f);
    fetch_close(f);
    return st;
}

static status make_side(struct stream *s, uint16_t at, struct err *err)
{
    const struct cold_stream_options *o = s->options;
    struct side *side = &s->sides[at];
    char path[FS_PATH_BYTES], name[32];
    status st;

    if (o->scratch_dir == NULL) {
        side->memory = mem_map(side->bytes, false);
        return side->memory == NULL
                   ? err_set(err, ST_NOMEM, "out of memory for a segment's vectors")
                   : ST_OK;
    }
    (void)snprintf(name, sizeof name, "side%u", at);
    st = fs_join(path, o->scratch_dir, name, err);
    if (st == ST_OK)
        st = fs_open(o->fs, path, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNCATE, &side->file, err);
    return st;
}

static status load_side(struct stream *s, uint16_t at, struct err *err)
{
    const struct cold_field *field = &s->source.footer.fields[at];
    struct side_reader r = {.s = s, .at = at};
    struct side *side = &s->sides[at];
    size_t row_bytes = (size_t)field->dim * sizeof(float);
    float *plain;
    status st;

    if (field->rows == 0)
        return ST_OK;
    side->bytes = field->rows * row_bytes;
    r.each = (uint32_t)(PART_BYTES / row_bytes > 0 ? PART_BYTES / row_bytes : 1);
    plain = mem_alloc_array(r.each, row_bytes);
    if (plain == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a segment's vectors");
    st = make_side(s, at, err);
    if (st == ST_OK)
        st = read_side(&r, plain, err);
    if (st == ST_OK && side->file != NULL)
        st = vector_file_open(&side->vectors, s->options->fs, side->file, field->dim, err);
    mem_free(plain);
    return st;
}

static void close_side(const struct stream *s, struct side *side)
{
    if (side->memory != NULL)
        mem_unmap(side->memory, side->bytes);
    vector_file_close(&side->vectors);
    fs_close(s->options->fs, side->file);
}

static status load_sides(struct stream *s, struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < s->options->schema->field_count; i++)
        if (s->of[i] != 0 && s->of[i] != COLD_FIELDS_MAX)
            st = load_side(s, (uint16_t)s->of[i], err);
    return st;
}

/* --- rows --- */

static struct part part_at(const struct stream *s, uint32_t block)
{
    const struct cold_footer *f = &s->source.footer;
    struct part p = {.block = block, .block_end = block, .first = f->payload_first[block]};
    uint32_t with = f->field_count > 0 ? f->fields[0].rows : 0;
    uint64_t each = f->field_count > 0 ? (uint64_t)f->fields[0].dim * sizeof(float) + 4 : 0;

    p.payload_offset = f->payload_at + f->payload_offsets[block];
    do {
        p.block_end++;
        p.end = f->payload_first[p.block_end];
        p.payload_bytes = f->payload_offsets[p.block_end] - f->payload_offsets[block];
        p.vectors = p.first >= with ? 0 : (p.end < with ? p.end : with) - p.first;
    } while (p.block_end < f->payload_blocks && p.payload_bytes < PART_BYTES &&
             p.vectors * each < PART_BYTES);
    if (p.vectors > 0)
        cold_vectors_range(f, 0, p.first, p.vectors, &p.vectors_offset, &p.vectors_bytes);
    return p;
}

static bool name_part(void *arg, struct fetch_item *out)
{
    struct stream *s = arg;
    struct part p;

    if (s->ahead.block == s->source.footer.payload_blocks)
        return false;
    p = part_at(s, s->ahead.block);
    if (s->ahead.vectors)
        cold_source_item(&s->source, p.vectors_offset, p.vectors_bytes, out);
    else
        cold_source_item(&s->source, p.payload_offset, p.payload_bytes, out);
    s->ahead.vectors = !s->ahead.vectors && p.vectors > 0;
    if (!s->ahead.vectors)
        s->ahead.block = p.block_end;
    return true;
}

static status side_vector(struct side *side, uint32_t position, uint32_t dim, const float **out,
                          struct err *err)
{
    if (side->file == NULL) {
        *out = (const float *)side->memory + (size_t)position * dim;
        return ST_OK;
    }
    *out = vector_file_at(&side->vectors, position);
    return vector_file_status(&side->vectors, err);
}

static status vectors_of(struct stream *s, uint32_t ordinal, const struct cold_payload_row *row,
                         struct err *err)
{
    const struct cold_footer *f = &s->source.footer;
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < s->options->schema->field_count; i++) {
        size_t at = s->of[i];

        s->vectors[i] = NULL;
        if (at == COLD_FIELDS_MAX || (row->fields >> at & 1) == 0)
            continue;
        if (at == 0 ? ordinal - s->part.first >= s->part.vectors
                    : row->positions == NULL || row->positions[at] >= f->fields[at].rows)
            return err_set(err, ST_CORRUPT, "row %" PRIu32 " has a vector that is not there",
                           ordinal);
        if (at == 0)
            cold_vector_at(f, 0, s->part_vectors, ordinal - s->part.first, s->first_vector);
        s->vectors[i] = s->first_vector;
        if (at != 0)
            st = side_vector(&s->sides[at], row->positions[at], f->fields[at].dim, &s->vectors[i],
                             err);
    }
    return st;
}

static status hand_row(void *arg, uint32_t ordinal, const struct cold_payload_row *row,
                       struct err *err)
{
    struct stream *s = arg;
    struct cold_stream_row out = {.row = {.lsn = row->lsn,
                                          .inserted_at_ns = row->inserted_at_ns,
                                          .id = row->id,
                                          .external_id = row->external_id,
                                          .payload = row->payload,
                                          .vectors = s->vectors},
                                  .ordinal = ordinal};
    status st;

    s->handed++;
    if (cold_source_dead(&s->source, ordinal))
        return ST_OK;
    st = vectors_of(s, ordinal, row, err);
    if (st != ST_OK)
        return st;
    s->report.rows++;
    return s->fn(s->arg, &out, err);
}

/* A block that is wrong is asked for once more, by itself. */
static status read_block(struct stream *s, uint32_t block, struct slice bytes, struct err *err)
{
    const struct cold_footer *f = &s->source.footer;
    struct buf again = {0};
    uint64_t offset, length;
    status st;

    s->handed = 0;
    st = cold_payload_each(f, block, bytes, &s->unpacked, hand_row, s, err);
    if (st != ST_CORRUPT || s->handed > 0)
        return st == ST_OK ? ST_OK : err_wrap(err, st, "%s", s->source.key);
    cold_payload_range(f, block, &offset, &length);
    st = cold_source_get(&s->source, offset, length, 1, NULL, NULL, &again, err);
    if (st != ST_OK)
        return st;
    st = cold_payload_each(f, block, buf_slice(&again), &s->unpacked, hand_row, s, err);
    buf_free(&again);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "%s", s->source.key);
}

static status check_vectors(void *arg, struct slice bytes, struct err *err)
{
    struct stream *s = arg;

    return cold_vectors_check(&s->source.footer, 0, s->part.first, bytes, err);
}

static status read_part(struct stream *s, struct err *err)
{
    const struct cold_footer *f = &s->source.footer;
    const struct part *p = &s->part;
    struct buf payload = {0}, vectors = {0};
    status st = cold_source_take(&s->source, s->fetch, p->payload_offset, p->payload_bytes, NULL,
                                 NULL, &payload, err);

    if (st == ST_OK && p->vectors > 0)
        st = cold_source_take(&s->source, s->fetch, p->vectors_offset, p->vectors_bytes,
                              check_vectors, s, &vectors, err);
    s->part_vectors = buf_slice(&vectors);
    for (uint32_t block = p->block; st == ST_OK && block < p->block_end; block++) {
        uint64_t from = f->payload_offsets[block] - f->payload_offsets[p->block];
        uint64_t to = f->payload_offsets[block + 1] - f->payload_offsets[p->block];

        st = read_block(s, block, slice_make(payload.data + from, (size_t)(to - from)), err);
    }
    buf_free(&payload);
    buf_free(&vectors);
    return st;
}

static status read_rows(struct stream *s, struct err *err)
{
    const struct cold_footer *f = &s->source.footer;
    size_t dim = f->field_count > 0 ? f->fields[0].dim : 1;
    status st = ST_OK;

    s->first_vector = mem_alloc_array(dim, sizeof *s->first_vector);
    if (s->first_vector == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a segment's rows");
    st = fetch_open(&s->source.ask, window(s), in_flight(s), name_part, s, &s->fetch, err);
    for (uint32_t block = 0; st == ST_OK && block < f->payload_blocks; block = s->part.block_end) {
        s->part = part_at(s, block);
        st = read_part(s, err);
    }
    if (s->fetch != NULL)
        s->source.requests += fetch_requests(s->fetch);
    fetch_close(s->fetch);
    return st;
}

status cold_stream(const struct cold_stream_options *options,
                   status (*fn)(void *arg, const struct cold_stream_row *row, struct err *err),
                   void *arg, struct cold_stream_report *report, struct err *err)
{
    struct stream *s = mem_zero(sizeof *s); /* the footer alone is large */
    status st;

    *report = (struct cold_stream_report){.rows = 0};
    if (s == NULL)
        return err_set(err, ST_NOMEM, "out of memory for reading a cold segment");
    s->options = options;
    s->fn = fn;
    s->arg = arg;
    buf_init(&s->unpacked, COLD_PAYLOAD_BLOCK_BYTES_MAX);
    st = cold_source_open(options->ask, options->collection, options->segment, &s->source, err);
    if (st == ST_OK)
        st = match_fields(s, err);
    if (st == ST_OK)
        st = load_sides(s, err);
    if (st == ST_OK)
        st = read_rows(s, err);
    for (size_t i = 0; i < COLD_FIELDS_MAX; i++)
        close_side(s, &s->sides[i]);
    s->report.bytes = s->source.bytes;
    s->report.requests = s->source.requests;
    *report = s->report;
    mem_free(s->first_vector);
    buf_free(&s->unpacked);
    cold_source_close(&s->source);
    mem_free(s);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "cold segment");
}
