/* The manifest's bytes. What they say is judged by manifest_check.c. */
#include "base/mem.h"
#include "segment/catalog_internal.h"
#include "segment/frame.h"
#include "segment/manifest_internal.h"
#include "segment/root_internal.h"

enum { /* docs/formats/manifest.md */
       SEGMENT_ENTRY_BYTES = OBJECT_REF_BYTES + 29,
       IMAGE_ENTRY_BYTES = OBJECT_REF_BYTES + 26,
       GAP_ENTRY_BYTES = 41,
       GAP_FLAG_DROPPED = 1,
       COLD_ENTRY_BYTES = 2 * OBJECT_REF_BYTES + 41,
       TAG_GRAPHS = 1,     /* with what the graphs of the images were made */
       TAG_COLDS = 0x8002, /* required: rows that are in no segment and no log */
};
static const struct frame_kind KIND = {
    .name = "manifest", .magic = "TVMF", .version = 1, .bytes_max = MANIFEST_BYTES_MAX};

static void put_lists(struct buf *b, const struct manifest *m)
{
    buf_put_u32(b, (uint32_t)m->lineage_count);
    for (size_t i = 0; i < m->lineage_count; i++)
        put_lineage(b, &m->lineages[i]);
    buf_put_u32(b, (uint32_t)m->segment_count);
    for (size_t i = 0; i < m->segment_count; i++) {
        const struct manifest_segment *s = &m->segments[i];

        put_object_ref(b, &s->object);
        buf_put_u64(b, s->start_lsn);
        buf_put_u64(b, s->lsn_min);
        buf_put_u64(b, s->lsn_max);
        buf_put_u32(b, s->rows);
        buf_put_u8(b, s->level);
    }
    buf_put_u32(b, (uint32_t)m->image_count);
    for (size_t i = 0; i < m->image_count; i++) {
        const struct manifest_image *p = &m->images[i];

        put_object_ref(b, &p->object);
        buf_put_u16(b, p->field);
        buf_put_u64(b, p->start_lsn);
        buf_put_u32(b, p->slot_first);
        buf_put_u32(b, p->slot_end);
        buf_put_u32(b, p->slots_end);
        buf_put_u32(b, p->nodes);
    }
    buf_put_u32(b, (uint32_t)m->gap_count);
    for (size_t i = 0; i < m->gap_count; i++) {
        const struct manifest_gap *g = &m->gaps[i];

        buf_put_u64(b, g->first_lsn);
        buf_put_u64(b, g->last_lsn);
        buf_put_u64(b, g->epoch);
        buf_put_u64(b, g->seq);
        buf_put_u64(b, g->at_ns);
        buf_put_u8(b, g->dropped ? GAP_FLAG_DROPPED : 0);
    }
}

static void put_graphs(struct buf *graphs, const struct manifest *m)
{
    for (size_t i = 0; i < m->image_count; i++) {
        const struct manifest_image *p = &m->images[i];

        if (p->slot_first != 0 || p->m == 0)
            continue;
        buf_put_u16(graphs, p->field);
        buf_put_u16(graphs, p->m);
        buf_put_u16(graphs, p->ef_construction);
    }
}

static void put_colds(struct buf *out, const struct manifest *m)
{
    for (size_t i = 0; i < m->cold_count; i++) {
        const struct manifest_cold *c = &m->colds[i];

        put_object_ref(out, &c->object);
        buf_put_u64(out, c->footer_offset);
        buf_put_u32(out, c->footer_bytes);
        buf_put_u32(out, c->footer_crc);
        buf_put_u64(out, c->lsn_min);
        buf_put_u64(out, c->lsn_max);
        buf_put_u32(out, c->rows);
        buf_put_u32(out, c->dead_rows);
        put_object_ref(out, &c->dead);
        buf_put_u8(out, c->level);
    }
}

static void put_extensions(struct buf *out, const struct manifest *m)
{
    struct buf graphs;
    struct buf colds;

    buf_init(&graphs, MANIFEST_BYTES_MAX);
    buf_init(&colds, MANIFEST_BYTES_MAX);
    put_graphs(&graphs, m);
    put_colds(&colds, m);
    frame_put_extensions(out,
                         (const struct frame_extension[]){{TAG_GRAPHS, buf_slice(&graphs)},
                                                          {TAG_COLDS, buf_slice(&colds)}},
                         2);
    out->failed = out->failed || graphs.failed || colds.failed;
    buf_free(&graphs);
    buf_free(&colds);
}

status manifest_encode(const struct manifest *m, struct buf *out, struct err *err)
{
    status st = manifest_check(m, ST_INVALID, err);
    size_t begin;

    if (st != ST_OK)
        return st;
    begin = frame_begin(out, &KIND);
    buf_put(out, m->collection, sizeof m->collection);
    buf_put_u64(out, m->revision);
    buf_put_u64(out, m->parent_revision);
    buf_put_u64(out, m->created_at_ns);
    buf_put_u64(out, m->lsn);
    buf_put_u64(out, m->rows);
    put_log_floor(out, &m->floor);
    catalog_put_collection(out, &m->schema);
    put_lists(out, m);
    put_extensions(out, m);
    return frame_end(out, begin, &KIND, err);
}

/* A list's count, and zeroed room for its items. */
static status rd_list(struct rd *r, const char *what, size_t bytes, size_t item, size_t *count,
                      void **out, struct err *err)
{
    size_t n = rd_u32(r);

    if (r->bad || n > MANIFEST_OBJECTS_MAX || n > rd_left(r) / bytes)
        return err_set(err, ST_CORRUPT, "manifest: %zu %s do not fit into what is left", n, what);
    *out = manifest_room(n, item);
    if (*out == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a manifest");
    *count = n;
    return ST_OK;
}

static status rd_lineages(struct rd *r, struct manifest *m, struct err *err)
{
    void *list = NULL;
    status st =
        rd_list(r, "lineages", LINEAGE_BYTES, sizeof *m->lineages, &m->lineage_count, &list, err);

    m->lineages = list;
    for (size_t i = 0; st == ST_OK && i < m->lineage_count; i++)
        rd_lineage(r, &m->lineages[i]);
    return st;
}

static status rd_segments(struct rd *r, struct manifest *m, struct err *err)
{
    void *list = NULL;
    status st = rd_list(r, "segments", SEGMENT_ENTRY_BYTES, sizeof *m->segments, &m->segment_count,
                        &list, err);

    m->segments = list;
    for (size_t i = 0; st == ST_OK && i < m->segment_count; i++) {
        struct manifest_segment *s = &m->segments[i];

        rd_object_ref(r, &s->object);
        s->start_lsn = rd_u64(r);
        s->lsn_min = rd_u64(r);
        s->lsn_max = rd_u64(r);
        s->rows = rd_u32(r);
        s->level = rd_u8(r);
    }
    return st;
}

static status rd_images(struct rd *r, struct manifest *m, struct err *err)
{
    void *list = NULL;
    status st = rd_list(r, "image parts", IMAGE_ENTRY_BYTES, sizeof *m->images, &m->image_count,
                        &list, err);

    m->images = list;
    for (size_t i = 0; st == ST_OK && i < m->image_count; i++) {
        struct manifest_image *p = &m->images[i];

        rd_object_ref(r, &p->object);
        p->field = rd_u16(r);
        p->start_lsn = rd_u64(r);
        p->slot_first = rd_u32(r);
        p->slot_end = rd_u32(r);
        p->slots_end = rd_u32(r);
        p->nodes = rd_u32(r);
    }
    return st;
}

static status rd_gaps(struct rd *r, struct manifest *m, struct err *err)
{
    void *list = NULL;
    status st = rd_list(r, "gaps", GAP_ENTRY_BYTES, sizeof *m->gaps, &m->gap_count, &list, err);

    m->gaps = list;
    for (size_t i = 0; st == ST_OK && i < m->gap_count; i++) {
        struct manifest_gap *g = &m->gaps[i];
        uint8_t flags;

        g->first_lsn = rd_u64(r);
        g->last_lsn = rd_u64(r);
        g->epoch = rd_u64(r);
        g->seq = rd_u64(r);
        g->at_ns = rd_u64(r);
        flags = rd_u8(r);
        g->dropped = (flags & GAP_FLAG_DROPPED) != 0;
        if ((flags & ~GAP_FLAG_DROPPED) != 0)
            st = err_set(err, ST_CORRUPT, "manifest: flags of gap %zu out of range", i);
    }
    return st;
}

/* Of each field that has an image, whose parts stand together. */
static status rd_graphs(struct slice content, struct manifest *m, struct err *err)
{
    struct rd r = rd_make(content);
    size_t at = 0;

    while (rd_left(&r) > 0) {
        uint16_t field = rd_u16(&r);
        uint16_t links = rd_u16(&r);
        uint16_t ef = rd_u16(&r);

        while (at < m->image_count && m->images[at].field < field)
            at++;
        if (r.bad || links == 0 || at == m->image_count || m->images[at].field != field)
            return err_set(err, ST_CORRUPT, "manifest: a graph of field %u that has no image",
                           field);
        for (; at < m->image_count && m->images[at].field == field; at++) {
            m->images[at].m = links;
            m->images[at].ef_construction = ef;
        }
    }
    return ST_OK;
}

static status rd_colds(struct slice content, struct manifest *m, struct err *err)
{
    struct rd r = rd_make(content);
    size_t count = content.bytes / COLD_ENTRY_BYTES;

    if (content.bytes % COLD_ENTRY_BYTES != 0 || count > MANIFEST_COLDS_MAX)
        return err_set(err, ST_CORRUPT, "manifest: %zu bytes are no list of cold segments",
                       content.bytes);
    m->colds = manifest_room(count, sizeof *m->colds);
    if (m->colds == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a manifest");
    for (m->cold_count = 0; m->cold_count < count; m->cold_count++) {
        struct manifest_cold *c = &m->colds[m->cold_count];

        rd_object_ref(&r, &c->object);
        c->footer_offset = rd_u64(&r);
        c->footer_bytes = rd_u32(&r);
        c->footer_crc = rd_u32(&r);
        c->lsn_min = rd_u64(&r);
        c->lsn_max = rd_u64(&r);
        c->rows = rd_u32(&r);
        c->dead_rows = rd_u32(&r);
        rd_object_ref(&r, &c->dead);
        c->level = rd_u8(&r);
    }
    return ST_OK;
}

static status rd_extensions(struct rd *r, struct manifest *m, struct err *err)
{
    struct frame_extension known[] = {{.tag = TAG_GRAPHS}, {.tag = TAG_COLDS}};
    status st = frame_find_extensions(r, &KIND, known, COUNT_OF(known), err);

    if (st == ST_OK)
        st = rd_graphs(known[0].content, m, err);
    return st == ST_OK ? rd_colds(known[1].content, m, err) : st;
}

static status rd_manifest(struct rd *r, struct manifest *m, struct err *err)
{
    status st;

    frame_rd_id(r, m->collection);
    m->revision = rd_u64(r);
    m->parent_revision = rd_u64(r);
    m->created_at_ns = rd_u64(r);
    m->lsn = rd_u64(r);
    m->rows = rd_u64(r);
    rd_log_floor(r, &m->floor);
    st = catalog_rd_collection(r, &m->schema, err);
    if (st != ST_OK)
        return err_wrap(err, st, "manifest");
    st = rd_lineages(r, m, err);
    if (st == ST_OK)
        st = rd_segments(r, m, err);
    if (st == ST_OK)
        st = rd_images(r, m, err);
    if (st == ST_OK)
        st = rd_gaps(r, m, err);
    return st == ST_OK ? rd_extensions(r, m, err) : st;
}

status manifest_decode(struct slice bytes, const uint8_t collection[16], struct manifest *out,
                       struct err *err)
{
    struct manifest m;
    struct rd r;
    status st = frame_open(bytes, &KIND, &r, err);

    if (st != ST_OK)
        return st;
    manifest_init(&m);
    st = rd_manifest(&r, &m, err);
    if (st == ST_OK && !catalog_id_equal(m.collection, collection))
        st = err_set(err, ST_CORRUPT, "manifest belongs to another collection");
    if (st == ST_OK)
        st = manifest_check(&m, ST_CORRUPT, err);
    if (st != ST_OK) {
        manifest_free(&m);
        return st;
    }
    *out = m;
    return ST_OK;
}
