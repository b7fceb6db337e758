#include "api/export.h"

#include "api/document.h"
#include "api/handlers.h"

enum {
    PAGE_ROWS_MAX = 1000,
    FLOAT_TEXT_BYTES = 13,
    ROW_TEXT_BYTES = 64, /* of a document without its vectors, as a first guess */
};

/* Documents with a page's ids behind the one before it; *more: others follow. */
static status read_page(const struct export *e, struct arena *arena, struct scrolled *out,
                        struct err *err)
{
    struct scroll s = {
        .filter = e->filter,
        .from = e->has_after ? &e->after : NULL,
        .limit = e->rows + e->has_after,
        .want = {.payload = !e->fvecs,
                 .vectors = e->fvecs ? UINT64_C(1) << e->field : DOCUMENT_ALL_VECTORS},
        .limits = e->limits};
    status st = node_scroll(e->collection, &s, arena, out, err);

    if (st != ST_OK)
        return st;
    /* It begins with the last of the page before, if that is still there and matches. */
    if (e->has_after && out->count > 0 && docid_equal(&out->documents[0].id, &e->after)) {
        out->documents++;
        out->count--;
    } else if (out->count > e->rows) {
        out->count = e->rows;
        out->more = true;
    }
    return ST_OK;
}

/* None and an empty one are the same. */
static void put_payload(struct buf *out, struct slice payload)
{
    static const char none[] = ",\"payload\":{}";
    size_t before = out->bytes;

    print_payload(out, payload);
    if (out->bytes - before == sizeof none - 1 &&
        memcmp(out->data + before, none, sizeof none - 1) == 0)
        out->bytes = before;
}

static void print_line(struct buf *out, const struct collection *c, const struct document *doc)
{
    buf_put_text(out, "{\"doc_id\":");
    print_doc_id(out, &doc->id, node_string_ids(c));
    if (doc->external_id.bytes > 0)
        print_external_id(out, doc->external_id);
    document_print_vectors(out, c, (const float *const *)doc->vectors, DOCUMENT_ALL_VECTORS);
    put_payload(out, doc->payload);
    buf_put_text(out, "}\n");
}

/* A document without the vector has no row. */
static void print_row(struct buf *out, uint32_t dim, const float *vector)
{
    if (vector == NULL)
        return;
    buf_put_u32(out, dim);
    for (uint32_t i = 0; i < dim; i++)
        buf_put_f32(out, vector[i]);
}

static void print_page(const struct export *e, const struct scrolled *page, struct buf *out)
{
    for (uint32_t i = 0; i < page->count; i++) {
        if (e->fvecs)
            print_row(out, node_field(e->collection, e->field)->dimension,
                      page->documents[i].vectors[e->field]);
        else
            print_line(out, e->collection, &page->documents[i]);
    }
}

void export_go_behind(struct export *e, const struct docid *id)
{
    e->has_after = true;
    e->after = *id;
    if (id->kind != DOCID_BYTES)
        return;
    memcpy(e->after_bytes, id->bytes.data, id->bytes.bytes);
    e->after.bytes.data = (const uint8_t *)e->after_bytes;
}

/* The next page as long as this one should have been. */
static void fit(struct export *e, size_t bytes, uint32_t rows)
{
    uint64_t next = rows == 0 || bytes == 0 ? e->rows : (uint64_t)EXPORT_PAGE_BYTES * rows / bytes;

    if (next > 2 * (uint64_t)e->rows)
        next = 2 * (uint64_t)e->rows;
    e->rows = next > PAGE_ROWS_MAX ? PAGE_ROWS_MAX : next == 0 ? 1 : (uint32_t)next;
}

status export_page(struct export *e, struct buf *out, bool *last, struct err *err)
{
    struct scrolled page = {0};
    size_t before = out->bytes;
    struct arena arena;
    status st;

    arena_init(&arena, REQUEST_ARENA_BYTES_MAX);
    st = read_page(e, &arena, &page, err);
    while (st == ST_NOMEM && e->rows > 1) {
        e->rows /= 2;
        arena_free(&arena);
        arena_init(&arena, REQUEST_ARENA_BYTES_MAX);
        st = read_page(e, &arena, &page, err);
    }
    if (st == ST_OK) {
        *last = !page.more || page.count == 0;
        print_page(e, &page, out);
        if (page.count > 0)
            export_go_behind(e, &page.documents[page.count - 1].id);
        e->printed += page.count;
        fit(e, out->bytes - before, page.count);
    }
    arena_free(&arena);
    return st;
}

void export_begin(struct export *e, struct collection *c)
{
    uint64_t row_bytes =
        ROW_TEXT_BYTES + FLOAT_TEXT_BYTES * document_floats(c, DOCUMENT_ALL_VECTORS);
    uint64_t rows = EXPORT_PAGE_BYTES / row_bytes;

    e->collection = c;
    e->rows = rows > PAGE_ROWS_MAX ? PAGE_ROWS_MAX : rows == 0 ? 1 : (uint32_t)rows;
}
