#include "api/import.h"

#include "api/handlers.h"
#include "index/vindex.h"
#include "segment/record.h"

#include <assert.h>
#include <math.h>

enum { PAYLOAD_TIMES_TEXT = 16 }; /* a blob is never larger than this many times its text */

static_assert(IMPORT_TABLE >= 4 * IMPORT_BATCH_ROWS, "chains in it stay short");

bool import_batch_begin(struct import_batch *b, struct request *req)
{
    struct request *holder = &b->holder;
    uint64_t text_max = req->api->options.body_bytes_max + IMPORT_BATCH_BYTES;

    import_batch_free(b);
    b->upload = req->upload;
    holder->api = req->api;
    holder->collection = req->collection;
    arena_init(&holder->arena, REQUEST_ARENA_BYTES_MAX);
    buf_init(&holder->payloads, PAYLOAD_TIMES_TEXT * text_max);
    b->rows = arena_array(&holder->arena, IMPORT_BATCH_ROWS, sizeof *b->rows);
    b->payload_at = arena_array(&holder->arena, IMPORT_BATCH_ROWS, sizeof *b->payload_at);
    b->state = IMPORT_FILLING;
    return b->rows != NULL && b->payload_at != NULL;
}

void import_batch_free(struct import_batch *b)
{
    arena_free(&b->holder.arena);
    buf_free(&b->holder.payloads);
    *b = (struct import_batch){.options = b->options};
}

struct write_row *import_batch_row(struct import_batch *b)
{
    b->rows[b->count] = (struct write_row){0};
    b->payload_at[b->count] = 0;
    return &b->rows[b->count];
}

/* As our reads give it: normalising it once more could only change its last bits. */
static bool is_normal(const float *v, uint32_t dim)
{
    double sum = 0;

    for (uint32_t i = 0; i < dim; i++)
        sum += (double)v[i] * (double)v[i];
    return fabs(sum - 1) < 2.5e-7;
}

static void note_stored(const struct collection *c, struct write_row *row)
{
    for (size_t i = 0; i < node_field_count(c); i++) {
        const struct field_info *f = node_field(c, i);
        const float *v = row->vectors != NULL ? row->vectors[i] : i == 0 ? row->vector : NULL;

        if (v != NULL && f->metric == VMETRIC_COSINE && is_normal(v, f->dimension))
            row->as_stored |= UINT64_C(1) << i;
    }
}

static uint32_t id_hash(const struct docid *id)
{
    uint32_t hash = (uint32_t)(docid_hash(id) >> 16);

    return hash == 0 ? 1 : hash;
}

/* Where it is, or where it would be. */
static uint32_t place_of(const struct import_batch *b, uint32_t hash)
{
    uint32_t at = hash & (IMPORT_TABLE - 1);

    while (b->ids[at] != 0 && b->ids[at] != hash)
        at = (at + 1) & (IMPORT_TABLE - 1);
    return at;
}

void import_batch_keep(struct import_batch *b, size_t bytes, uint64_t line)
{
    struct write_row *row = &b->rows[b->count];
    uint32_t hash = id_hash(&row->id);

    note_stored(b->holder.collection, row);
    b->ids[place_of(b, hash)] = hash;
    if (b->count == 0)
        b->first_line = line;
    b->count++;
    b->bytes += bytes;
}

bool import_batch_full(const struct import_batch *b)
{
    return b->count == IMPORT_BATCH_ROWS || b->bytes >= IMPORT_BATCH_BYTES;
}

bool import_batch_shares(const struct import_batch *a, const struct import_batch *b)
{
    for (size_t i = 0; i < a->count; i++)
        if (b->ids[place_of(b, id_hash(&a->rows[i].id))] != 0)
            return true;
    return false;
}

/* On the commit thread, or where it was handed over. */
static void on_written(void *arg, status st, const struct write_result *result,
                       const struct err *err)
{
    struct import_batch *b = arg;
    struct upload *u = b->upload;

    lock_take(&u->shared.lock);
    b->st = st;
    if (st == ST_OK)
        b->result = *result;
    else if (err != NULL)
        b->err = *err;
    b->state = IMPORT_ENDED;
    upload_wake_locked(u); /* from here on all of it may be gone */
}

void import_batch_write(struct import_batch *b)
{
    for (size_t i = 0; i < b->count; i++) /* the buffer has stopped moving */
        if (b->rows[i].payload.bytes > 0)
            b->rows[i].payload.data = b->holder.payloads.data + b->payload_at[i];
    b->state = IMPORT_WRITING;
    if (b->options.durability == 0)
        node_write(b->holder.collection, b->rows, b->count, on_written, b);
    else
        node_write_with(b->holder.collection, b->rows, b->count, &b->options, on_written, b);
}
