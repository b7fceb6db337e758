/* A filter written out, field by field, and hashed. */
#include "base/hash.h"
#include "tiering/cold_scan.h"

enum { KEY_BYTES_MAX = 64 * 1024 * 1024 };

static void put_slice(struct buf *b, struct slice s)
{
    buf_put_u64(b, s.bytes);
    buf_put_slice(b, s);
}

static void put_value(struct buf *b, const struct filter_value *v)
{
    buf_put_u8(b, (uint8_t)v->type);
    buf_put_u8(b, v->boolean);
    buf_put_u64(b, v->u64);
    buf_put_u64(b, (uint64_t)v->i64);
    buf_put_f64(b, v->f64);
    put_slice(b, v->text);
}

static void put_point(struct buf *b, const struct filter_point *p)
{
    buf_put_f64(b, p->lat);
    buf_put_f64(b, p->lon);
}

static void put_ring(struct buf *b, const struct filter_ring *r)
{
    buf_put_u64(b, r->count);
    for (size_t i = 0; i < r->count; i++)
        put_point(b, &r->points[i]);
}

static void put_bounds(struct buf *b, const struct filter *f)
{
    buf_put_u8(b, (uint8_t)f->lower);
    buf_put_u8(b, (uint8_t)f->upper);
    buf_put_f64(b, f->low);
    buf_put_f64(b, f->high);
    put_value(b, &f->low_exact);
    put_value(b, &f->high_exact);
    buf_put_u64(b, (uint64_t)f->low_ticks);
    buf_put_u64(b, (uint64_t)f->high_ticks);
    buf_put_u64(b, f->low_count);
    buf_put_u64(b, f->high_count);
}

static void put_shape(struct buf *b, const struct filter *f)
{
    put_point(b, &f->center);
    put_point(b, &f->corner);
    buf_put_f64(b, f->radius_m);
    put_ring(b, &f->exterior);
    buf_put_u64(b, f->interior_count);
    for (size_t i = 0; i < f->interior_count; i++)
        put_ring(b, &f->interiors[i]);
}

static void put_text(struct buf *b, const struct filter *f)
{
    put_slice(b, f->text);
    buf_put_u64(b, f->word_count);
    for (size_t i = 0; i < f->word_count; i++)
        put_slice(b, f->words[i]);
    buf_put_u32(b, (uint32_t)f->cut.tokenizer);
    buf_put_u8(b, f->cut.keep_case);
    buf_put_u32(b, f->cut.min_bytes);
    buf_put_u32(b, f->cut.max_bytes);
}

/* As deep as parsers allow. */
static void put_filter(struct buf *b, const struct filter *f)
{
    buf_put_u8(b, (uint8_t)f->kind);
    buf_put_u8(b, f->loose);
    put_slice(b, f->path != NULL ? f->path->text : slice_make(NULL, 0));
    buf_put_u64(b, f->min_count);
    buf_put_u64(b, f->value_count);
    for (size_t i = 0; i < f->value_count; i++)
        put_value(b, &f->values[i]);
    put_text(b, f);
    put_bounds(b, f);
    put_shape(b, f);
    buf_put_u64(b, f->id_count);
    for (size_t i = 0; i < f->id_count; i++)
        buf_put_docid(b, &f->ids[i]);
    buf_put_u32(b, (uint32_t)f->vector_position);
    buf_put_u64(b, f->child_count);
    for (size_t i = 0; i < f->child_count; i++)
        put_filter(b, f->children[i]);
}

status cold_filter_key(const struct filter *f, uint64_t key[2], struct err *err)
{
    struct buf b;
    status st;

    buf_init(&b, KEY_BYTES_MAX);
    put_filter(&b, f);
    st = buf_status(&b, err);
    for (unsigned i = 0; st == ST_OK && i < 2; i++)
        key[i] = hash_bytes(b.data, b.bytes, i);
    buf_free(&b);
    return st;
}
