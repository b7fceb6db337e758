/* Rows drawn from a seed. */
#include "tests/support/cold_make.h"

#include "base/arena.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rand.h"
#include "index/vindex.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CENTRES = 20 };

struct drawing {
    struct arena arena;
    struct rand_seeded rand;
    const struct cold_rows_options *options;
    float *centres[4];
    struct jdoc *json;
};

static float bell(struct drawing *d) /* about normal */
{
    float sum = 0;

    for (unsigned i = 0; i < 4; i++)
        sum += (float)(rand_u64(&d->rand.source) >> 40) / (float)(1 << 24) - 0.5f;
    return sum;
}

static struct slice text(struct drawing *d, const char *before, uint64_t number, size_t digits)
{
    size_t bytes = strlen(before) + digits;
    char *out = arena_alloc(&d->arena, bytes);

    if (out == NULL)
        return (struct slice){0};
    memcpy(out, before, strlen(before));
    for (size_t i = bytes; i > strlen(before); i--, number /= 10)
        out[i - 1] = (char)('0' + number % 10);
    return slice_make(out, bytes);
}

static struct docid draw_id(struct drawing *d, uint32_t i)
{
    struct docid id = docid_u64(d->options->first_id + i);

    if (!d->options->mixed_ids)
        return id;
    switch (i % 4) {
    case 1:
        id.kind = DOCID_UUID;
        memset(id.uuid, 0, sizeof id.uuid);
        le_put_u64(id.uuid + 3, hash_u64(d->options->first_id + i));
        return id;
    case 2:
        id.kind = DOCID_BYTES;
        id.bytes = text(d, "id-", d->options->first_id + i, 8);
        return id;
    case 3: /* longer than a record has room for */
        id.kind = DOCID_BYTES;
        id.bytes = text(d, "a rather long name, as some have ", d->options->first_id + i, 90);
        return id;
    default:
        return id;
    }
}

enum { RICH_BYTES_MAX = 4096 };

static const char *const ODD[] = {",\"odd\":null",      ",\"odd\":3",     "",
                                  ",\"odd\":[3,\"x\"]", ",\"odd\":2.5",   ",\"odd\":[]",
                                  ",\"odd\":{\"a\":1}", ",\"odd\":\"x\"", ",\"odd\":[null]"};

static int put_rich(struct drawing *d, char *out, size_t room, uint64_t number)
{
    struct rand_source *r = &d->rand.source;
    size_t pad = d->options->rich < RICH_BYTES_MAX - 512 ? d->options->rich : RICH_BYTES_MAX - 512;
    int bytes = snprintf(out, room,
                         ",\"of\":%u,\"half\":%u,\"price\":%.2f,\"tags\":[\"t%u\",\"t%u\"],\"day\":"
                         "\"2024-%02u-%02uT%02u:"
                         "00:00Z\",\"at\":{\"lat\":%.3f,\"lon\":%.3f},\"text\":\"red apple %u and "
                         "pear %u\"%s,\"pad\":\"",
                         (unsigned)rand_below(r, 100), (unsigned)rand_below(r, 2),
                         (double)rand_below(r, 1000000) / 100, (unsigned)rand_below(r, 9),
                         (unsigned)rand_below(r, 900), (unsigned)(1 + rand_below(r, 12)),
                         (unsigned)(1 + rand_below(r, 28)), (unsigned)rand_below(r, 24),
                         (double)rand_below(r, 170000) / 1000 - 85,
                         (double)rand_below(r, 350000) / 1000 - 175, (unsigned)rand_below(r, 30),
                         (unsigned)(number % 7), ODD[rand_below(r, sizeof ODD / sizeof *ODD)]);

    for (; pad > 0; pad--)
        out[bytes++] = (char)('a' + rand_below(r, 26));
    out[bytes++] = '"';
    return bytes;
}

static struct slice draw_payload(struct drawing *d, uint64_t number)
{
    struct slice out = {0};
    struct jval root;
    char json[RICH_BYTES_MAX];
    uint8_t *at;
    struct buf b;
    int bytes =
        snprintf(json, sizeof json, "{\"n\":%" PRIu64 ",\"even\":%s,\"word\":\"w%" PRIu64 "\"",
                 number, number % 2 == 0 ? "true" : "false", number % 17);

    if (d->options->rich > 0)
        bytes += put_rich(d, json + bytes, sizeof json - (size_t)bytes, number);
    json[bytes++] = '}';

    if (jdoc_parse(d->json, slice_make(json, (size_t)bytes), &root, NULL) != ST_OK)
        return out;
    buf_init(&b, (size_t)2 * RICH_BYTES_MAX);
    jbin_put(&b, root);
    at = b.failed ? NULL : arena_alloc(&d->arena, b.bytes);
    if (at != NULL) {
        memcpy(at, b.data, b.bytes);
        out = slice_make(at, b.bytes);
    }
    buf_free(&b);
    return out;
}

static const float *draw_vector(struct drawing *d, size_t field)
{
    const struct catalog_field *f = &d->options->fields[field];
    const float *centre = d->centres[field] + rand_below(&d->rand.source, CENTRES) * f->dim;
    float *v = arena_array(&d->arena, f->dim, sizeof *v);
    double square = 0;

    for (uint32_t i = 0; v != NULL && i < f->dim; i++) {
        v[i] = centre[i] + 0.4f * bell(d);
        square += (double)v[i] * (double)v[i];
    }
    for (uint32_t i = 0; v != NULL && f->metric == VMETRIC_COSINE && i < f->dim; i++)
        v[i] = (float)(v[i] / sqrt(square));
    return v;
}

static bool draw_row(struct drawing *d, uint32_t i, struct cold_make_row *row)
{
    const struct cold_rows_options *o = d->options;
    uint32_t without = o->without_vector;

    *row = (struct cold_make_row){.id = draw_id(d, i),
                                  .lsn = o->first_lsn + i,
                                  .inserted_at_ns = 1000 * (o->first_lsn + i),
                                  .payload = draw_payload(d, o->first_id + i)};
    if (i % 5 == 0 && !o->no_external_ids)
        row->external_id = text(d, "ext-", o->first_id + i, 6);
    for (size_t f = 0; f < o->field_count; f++) {
        if (without > 0 && (i + f) % without == 0)
            continue;
        row->vectors[f] = draw_vector(d, f);
        if (row->vectors[f] == NULL)
            return false;
    }
    return row->payload.data != NULL;
}

static bool draw_centres(struct drawing *d)
{
    for (size_t f = 0; f < d->options->field_count; f++) {
        size_t count = (size_t)CENTRES * d->options->fields[f].dim;

        d->centres[f] = arena_array(&d->arena, count, sizeof(float));
        if (d->centres[f] == NULL)
            return false;
        for (size_t i = 0; i < count; i++)
            d->centres[f][i] = bell(d);
    }
    return true;
}

status cold_rows_make(const struct cold_rows_options *options, struct cold_rows *out,
                      struct err *err)
{
    struct drawing *d = mem_zero(sizeof *d);
    bool made = d != NULL;

    *out = (struct cold_rows){.count = options->count, .own = d};
    if (made) {
        arena_init(&d->arena, SIZE_MAX);
        rand_seeded_init(&d->rand, options->seed);
        d->options = options;
        out->rows = arena_array(&d->arena, options->count, sizeof *out->rows);
        made = out->rows != NULL && draw_centres(d) && jdoc_create(&d->json, NULL) == ST_OK;
    }
    for (uint32_t i = 0; made && i < options->count; i++)
        made = draw_row(d, i, &out->rows[i]);
    if (made)
        return ST_OK;
    cold_rows_free(out);
    return err_set(err, ST_NOMEM, "out of memory for rows");
}

void cold_rows_free(struct cold_rows *r)
{
    struct drawing *d = r->own;

    if (d != NULL) {
        jdoc_destroy(d->json);
        arena_free(&d->arena);
    }
    mem_free(d);
    *r = (struct cold_rows){0};
}
