/* The catalog's bytes. What they say is judged by catalog_check.c. */
#include "base/mem.h"
#include "segment/catalog_internal.h"
#include "segment/frame.h"

enum { /* docs/formats/catalog.md */
       CATALOG_FLAG_STRING_IDS = 1,
       /* the smallest entries: a count that cannot fit is refused before it is allocated for */
       TENANT_BYTES_MIN = 18,
       DATABASE_BYTES_MIN = 34,
       COLLECTION_BYTES_MIN = 47,
       FIELD_BYTES_MIN = 20,
       ALIAS_BYTES_MIN = 34,
       DROPPED_BYTES = 24,
};
static const struct frame_kind KIND = {
    .name = "catalog", .magic = "TVCG", .version = 2, .bytes_max = CATALOG_BYTES_MAX};

void catalog_put_collection(struct buf *b, const struct catalog_collection *c)
{
    buf_put(b, c->id, sizeof c->id);
    buf_put(b, c->database_id, sizeof c->database_id);
    frame_put_text(b, c->name);
    buf_put_u8(b, c->policy);
    buf_put_u8(b, c->durability);
    buf_put_u8(b, c->string_ids ? CATALOG_FLAG_STRING_IDS : 0);
    buf_put_u64(b, c->created_at_ns);
    buf_put_u16(b, (uint16_t)c->field_count);
    for (size_t i = 0; i < c->field_count; i++) {
        const struct catalog_field *f = &c->fields[i];

        buf_put_u16(b, f->id);
        frame_put_text(b, f->name);
        buf_put_u32(b, f->dim);
        buf_put_u8(b, f->metric);
        buf_put_u8(b, f->quantization);
        buf_put_u16(b, f->m);
        buf_put_u16(b, f->ef_construction);
        buf_put_u16(b, f->ef_search);
        buf_put_u32(b, f->threshold);
    }
}

static void put_lists(struct buf *b, const struct catalog *c)
{
    buf_put_u32(b, (uint32_t)c->tenant_count);
    for (size_t i = 0; i < c->tenant_count; i++) {
        buf_put(b, c->tenants[i].id, 16);
        frame_put_text(b, c->tenants[i].name);
    }
    buf_put_u32(b, (uint32_t)c->database_count);
    for (size_t i = 0; i < c->database_count; i++) {
        buf_put(b, c->databases[i].id, 16);
        buf_put(b, c->databases[i].tenant_id, 16);
        frame_put_text(b, c->databases[i].name);
    }
    buf_put_u32(b, (uint32_t)c->collection_count);
    for (size_t i = 0; i < c->collection_count; i++)
        catalog_put_collection(b, &c->collections[i]);
    buf_put_u32(b, (uint32_t)c->alias_count);
    for (size_t i = 0; i < c->alias_count; i++) {
        buf_put(b, c->aliases[i].database_id, 16);
        buf_put(b, c->aliases[i].collection_id, 16);
        frame_put_text(b, c->aliases[i].name);
    }
    buf_put_u32(b, (uint32_t)c->dropped_count);
    for (size_t i = 0; i < c->dropped_count; i++) {
        buf_put(b, c->dropped[i].id, 16);
        buf_put_u64(b, c->dropped[i].dropped_at_ns);
    }
    catalog_put_settings(b, c);
}

status catalog_encode(const struct catalog *c, struct buf *out, struct err *err)
{
    status st = catalog_check(c, ST_INVALID, err);
    size_t begin;

    if (st != ST_OK)
        return st;
    begin = frame_begin(out, &KIND);
    buf_put_u64(out, c->revision);
    buf_put(out, c->nonce, sizeof c->nonce);
    put_lists(out, c);
    return frame_end(out, begin, &KIND, err);
}

/* NULL and ST_OK never come together. Contents are judged by catalog_check(); a NUL inside is not,
 * as it would hide what follows. */
static status rd_text(struct rd *r, char **out, struct err *err)
{
    struct slice text = rd_bytes(r, rd_u16(r));

    if (r->bad)
        return err_set(err, ST_CORRUPT, "catalog: a text is cut short");
    if (memchr(text.data, 0, text.bytes) != NULL)
        return err_set(err, ST_CORRUPT, "catalog: a text holds a NUL");
    *out = mem_strndup((const char *)text.data, text.bytes);
    return *out != NULL ? ST_OK : err_set(err, ST_NOMEM, "out of memory for the catalog");
}

/* A list's count, and zeroed room for its items. */
static status rd_list(struct rd *r, const char *what, size_t count, size_t bytes_min, size_t item,
                      void **out, struct err *err)
{
    if (r->bad || count > rd_left(r) / bytes_min)
        return err_set(err, ST_CORRUPT, "catalog: %zu %s do not fit into what is left", count,
                       what);
    *out = mem_zero_array(count, item);
    return *out != NULL ? ST_OK : err_set(err, ST_NOMEM, "out of memory for the catalog");
}

static status rd_field(struct rd *r, struct catalog_field *f, struct err *err)
{
    status st;

    f->id = rd_u16(r);
    st = rd_text(r, &f->name, err);
    f->dim = rd_u32(r);
    f->metric = rd_u8(r);
    f->quantization = rd_u8(r);
    f->m = rd_u16(r);
    f->ef_construction = rd_u16(r);
    f->ef_search = rd_u16(r);
    f->threshold = rd_u32(r);
    return st;
}

status catalog_rd_collection(struct rd *r, struct catalog_collection *c, struct err *err)
{
    void *fields;
    uint8_t flags;
    size_t count;
    status st;

    frame_rd_id(r, c->id);
    frame_rd_id(r, c->database_id);
    st = rd_text(r, &c->name, err);
    if (st != ST_OK)
        return st;
    c->policy = rd_u8(r);
    c->durability = rd_u8(r);
    flags = rd_u8(r);
    c->string_ids = (flags & CATALOG_FLAG_STRING_IDS) != 0;
    c->created_at_ns = rd_u64(r);
    count = rd_u16(r);
    if ((flags & ~CATALOG_FLAG_STRING_IDS) != 0 || count > CATALOG_FIELDS_MAX)
        return err_set(err, ST_CORRUPT, "catalog: flags or field count of %s out of range",
                       c->name);
    st = rd_list(r, "fields", count, FIELD_BYTES_MIN, sizeof *c->fields, &fields, err);
    if (st != ST_OK)
        return st;
    c->fields = fields;
    for (size_t i = 0; st == ST_OK && i < count; i++)
        st = rd_field(r, &c->fields[c->field_count++], err);
    return st;
}

static status rd_tenants(struct rd *r, struct catalog *c, struct err *err)
{
    size_t count = rd_u32(r);
    void *items;
    status st = rd_list(r, "tenants", count, TENANT_BYTES_MIN, sizeof *c->tenants, &items, err);

    if (st != ST_OK)
        return st;
    c->tenants = items;
    for (size_t i = 0; st == ST_OK && i < count; i++) {
        struct catalog_tenant *t = &c->tenants[c->tenant_count++];

        frame_rd_id(r, t->id);
        st = rd_text(r, &t->name, err);
    }
    return st;
}

static status rd_databases(struct rd *r, struct catalog *c, struct err *err)
{
    size_t count = rd_u32(r);
    void *items;
    status st =
        rd_list(r, "databases", count, DATABASE_BYTES_MIN, sizeof *c->databases, &items, err);

    if (st != ST_OK)
        return st;
    c->databases = items;
    for (size_t i = 0; st == ST_OK && i < count; i++) {
        struct catalog_database *d = &c->databases[c->database_count++];

        frame_rd_id(r, d->id);
        frame_rd_id(r, d->tenant_id);
        st = rd_text(r, &d->name, err);
    }
    return st;
}

static status rd_collections(struct rd *r, struct catalog *c, struct err *err)
{
    size_t count = rd_u32(r);
    void *items;
    status st =
        rd_list(r, "collections", count, COLLECTION_BYTES_MIN, sizeof *c->collections, &items, err);

    if (st != ST_OK)
        return st;
    c->collections = items;
    for (size_t i = 0; st == ST_OK && i < count; i++)
        st = catalog_rd_collection(r, &c->collections[c->collection_count++], err);
    return st;
}

static status rd_aliases(struct rd *r, struct catalog *c, struct err *err)
{
    size_t count = rd_u32(r);
    void *items;
    status st = rd_list(r, "aliases", count, ALIAS_BYTES_MIN, sizeof *c->aliases, &items, err);

    if (st != ST_OK)
        return st;
    c->aliases = items;
    for (size_t i = 0; st == ST_OK && i < count; i++) {
        struct catalog_alias *a = &c->aliases[c->alias_count++];

        frame_rd_id(r, a->database_id);
        frame_rd_id(r, a->collection_id);
        st = rd_text(r, &a->name, err);
    }
    return st;
}

static status rd_dropped(struct rd *r, struct catalog *c, struct err *err)
{
    size_t count = rd_u32(r);
    void *items;
    status st = rd_list(r, "dropped ids", count, DROPPED_BYTES, sizeof *c->dropped, &items, err);

    if (st != ST_OK)
        return st;
    c->dropped = items;
    for (size_t i = 0; i < count; i++) {
        frame_rd_id(r, c->dropped[i].id);
        c->dropped[i].dropped_at_ns = rd_u64(r);
    }
    c->dropped_count = count;
    return ST_OK;
}

static status rd_lists(struct rd *r, unsigned version, struct catalog *c, struct err *err)
{
    status st = rd_tenants(r, c, err);

    if (st == ST_OK)
        st = rd_databases(r, c, err);
    if (st == ST_OK)
        st = rd_collections(r, c, err);
    if (st == ST_OK)
        st = rd_aliases(r, c, err);
    if (st == ST_OK)
        st = rd_dropped(r, c, err);
    if (st == ST_OK && version >= 2)
        st = catalog_rd_settings(r, c, err);
    if (st == ST_OK && (r->bad || rd_left(r) > 0))
        st = err_set(err, ST_CORRUPT, "catalog: its lists do not end where the file does");
    return st;
}

status catalog_decode(struct slice bytes, struct catalog *out, struct err *err)
{
    struct catalog c;
    struct rd r;
    status st = frame_open(bytes, &KIND, &r, err);

    if (st != ST_OK)
        return st;
    catalog_init(&c);
    c.revision = rd_u64(&r);
    frame_rd_id(&r, c.nonce);
    st = rd_lists(&r, frame_version(bytes), &c, err);
    if (st == ST_OK)
        st = catalog_check(&c, ST_CORRUPT, err);
    if (st != ST_OK) {
        catalog_free(&c);
        return st;
    }
    *out = c;
    return ST_OK;
}
