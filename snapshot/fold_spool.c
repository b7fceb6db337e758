/* Rows wait on the local disk until their order is known. What decides about them (id, lsn, where
 * they lie) is in RAM; vectors lie by field, each at its row's number. Nothing here is synced: who
 * starts again begins anew. */
#include "base/log.h"
#include "base/mem.h"
#include "snapshot/fold_internal.h"

#include <stdio.h>

enum {
    ITEMS_FIRST = 1024,
    ROW_HEADER_BYTES = 16, /* u64 inserted_at, u32 external id, u32 payload */
};
#define ID_BYTES_MAX ((size_t)1 << 40) /* what ids take is bounded by what rows take */

/* --- files --- */

status spool_file_open(struct spool_file *f, struct fs *fs, const char *dir, const char *name,
                       struct err *err)
{
    char path[FS_PATH_BYTES];
    status st = fs_join(path, dir, name, err);

    f->fs = fs;
    buf_init(&f->pending, SPOOL_BUFFER_BYTES);
    return st == ST_OK
               ? fs_open(fs, path, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNCATE, &f->file, err)
               : st;
}

status spool_file_flush(struct spool_file *f, struct err *err)
{
    status st = ST_OK;

    if (f->pending.bytes > 0)
        st = fs_pwrite(f->fs, f->file, f->pending.data, f->pending.bytes, f->at, err);
    f->at += f->pending.bytes;
    buf_reset(&f->pending);
    return st;
}

status spool_file_put(struct spool_file *f, uint64_t offset, const void *data, size_t bytes,
                      struct err *err)
{
    status st = ST_OK;

    if (offset != f->at + f->pending.bytes || bytes > SPOOL_BUFFER_BYTES - f->pending.bytes) {
        st = spool_file_flush(f, err);
        f->at = offset;
    }
    if (st != ST_OK)
        return st;
    if (bytes > SPOOL_BUFFER_BYTES) {
        f->at = offset + bytes;
        return fs_pwrite(f->fs, f->file, data, bytes, offset, err);
    }
    if (!buf_reserve(&f->pending, bytes))
        return err_set(err, ST_NOMEM, "out of memory for a fold's scratch file");
    buf_put(&f->pending, data, bytes);
    return ST_OK;
}

void spool_file_close(struct spool_file *f)
{
    buf_free(&f->pending);
    fs_close(f->fs, f->file);
    *f = (struct spool_file){.at = 0};
}

/* --- the spool --- */

static status open_files(struct spool *s, struct err *err)
{
    status st = spool_file_open(&s->rows_file, s->fs, s->dir, "rows", err);

    for (size_t i = 0; st == ST_OK && i < s->field_count; i++) {
        char name[32];

        (void)snprintf(name, sizeof name, "vectors%zu", i);
        st = spool_file_open(&s->fields[i].file, s->fs, s->dir, name, err);
    }
    return st;
}

status spool_open(struct spool *s, struct fs *fs, const char *dir,
                  const struct catalog_collection *schema, struct err *err)
{
    status st;

    *s = (struct spool){.fs = fs, .dir = dir, .field_count = schema->field_count};
    arena_init(&s->ids, ID_BYTES_MAX);
    s->fields = mem_zero_array(schema->field_count, sizeof *s->fields);
    if (s->fields == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a fold");
    for (size_t i = 0; i < schema->field_count; i++)
        s->fields[i].dim = schema->fields[i].dim;
    st = fs_remove_all(fs, dir, err); /* of one that was cut short */
    if (st == ST_OK) {
        s->made = true;
        st = fs_mkdir_all(fs, dir, err);
    }
    return st == ST_OK ? open_files(s, err) : st;
}

void spool_close(struct spool *s)
{
    struct err err = {0};

    for (size_t i = 0; s->fields != NULL && i < s->field_count; i++) {
        vector_file_close(&s->fields[i].vectors);
        spool_file_close(&s->fields[i].file);
    }
    spool_file_close(&s->rows_file);
    mem_free(s->fields);
    mem_free(s->items);
    mem_free(s->table);
    arena_free(&s->ids);
    if (s->made && fs_remove_all(s->fs, s->dir, &err) != ST_OK)
        log_warn("a fold's scratch files stay until the next start", "dir=%s err=%s", s->dir,
                 err.text);
    *s = (struct spool){.count = 0};
}

/* --- ids --- */

static uint32_t *place_of(const struct spool *s, const struct docid *id)
{
    uint32_t at = (uint32_t)docid_hash(id) & (s->table_size - 1);

    while (s->table[at] != 0 && !docid_equal(&s->items[s->table[at] - 1].id, id))
        at = (at + 1) & (s->table_size - 1);
    return &s->table[at];
}

struct spool_item *spool_find(const struct spool *s, const struct docid *id)
{
    uint32_t place = s->table_size == 0 ? 0 : *place_of(s, id);

    return place == 0 ? NULL : &s->items[place - 1];
}

void spool_drop(struct spool *s, struct spool_item *item)
{
    if (!item->tombstone && !item->gone)
        s->rows--;
    item->gone = true;
}

/* At most half full. */
static status table_room(struct spool *s, struct err *err)
{
    struct spool longer = *s;

    if (s->table_used < s->table_size / 2)
        return ST_OK;
    longer.table_size = s->table_size == 0 ? 2 * ITEMS_FIRST : 2 * s->table_size;
    longer.table = mem_zero_array(longer.table_size, sizeof *longer.table);
    if (longer.table == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a fold's ids");
    for (uint32_t i = 0; i < s->table_size; i++)
        if (s->table[i] != 0)
            *place_of(&longer, &s->items[s->table[i] - 1].id) = s->table[i];
    mem_free(s->table);
    s->table = longer.table;
    s->table_size = longer.table_size;
    return ST_OK;
}

static status items_room(struct spool *s, struct err *err)
{
    uint32_t room = s->room == 0               ? ITEMS_FIRST
                    : s->room < UINT32_MAX / 2 ? 2 * s->room
                                               : UINT32_MAX;
    struct spool_item *longer = NULL;
    size_t bytes;

    if (s->count < s->room)
        return ST_OK;
    if (s->room == UINT32_MAX)
        return err_set(err, ST_LIMIT, "a fold has at most %u rows", UINT32_MAX);
    if (size_mul(room, sizeof *longer, &bytes))
        longer = mem_resize(s->items, bytes);
    if (longer == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a fold's rows");
    s->items = longer;
    s->room = room;
    return ST_OK;
}

static status add_item(struct spool *s, const struct docid *id, uint64_t lsn,
                       struct spool_item **out, struct err *err)
{
    status st = items_room(s, err);
    struct spool_item *item;

    if (st != ST_OK)
        return st;
    item = &s->items[s->count];
    *item = (struct spool_item){.id = *id, .lsn = lsn};
    if (id->kind == DOCID_BYTES) {
        uint8_t *copy = arena_alloc(&s->ids, id->bytes.bytes);

        if (copy == NULL)
            return err_set(err, ST_NOMEM, "out of memory for a fold's ids");
        memcpy(copy, id->bytes.data, id->bytes.bytes);
        item->id.bytes.data = copy;
    }
    s->count++;
    *out = item;
    return ST_OK;
}

/* --- rows --- */

static status put_vectors(struct spool *s, struct spool_item *item, const struct fold_row *row,
                          struct err *err)
{
    uint64_t number = (uint64_t)(item - s->items);
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < s->field_count; i++) {
        struct spool_field *field = &s->fields[i];
        size_t bytes = (size_t)field->dim * sizeof(float);

        if (row->vectors[i] == NULL)
            continue;
        item->fields |= UINT64_C(1) << i;
        st = spool_file_put(&field->file, number * bytes, row->vectors[i], bytes, err);
        field->end = (number + 1) * bytes;
    }
    return st;
}

static status put_blob(struct spool *s, struct spool_item *item, const struct fold_row *row,
                       struct err *err)
{
    uint8_t header[ROW_HEADER_BYTES];
    struct slice parts[] = {{header, sizeof header}, row->external_id, row->payload};
    status st = ST_OK;

    le_put_u64(header, row->inserted_at_ns);
    le_put_u32(header + 8, (uint32_t)row->external_id.bytes);
    le_put_u32(header + 12, (uint32_t)row->payload.bytes);
    item->offset = s->rows_end;
    for (size_t i = 0; st == ST_OK && i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].bytes > 0)
            st = spool_file_put(&s->rows_file, s->rows_end, parts[i].data, parts[i].bytes, err);
        s->rows_end += parts[i].bytes;
        item->bytes += (uint32_t)parts[i].bytes;
    }
    return st;
}

static status put_row(struct spool *s, struct spool_item *item, const struct fold_row *row,
                      struct err *err)
{
    status st = put_blob(s, item, row, err);

    s->rows++;
    return st == ST_OK ? put_vectors(s, item, row, err) : st;
}

/* *item NULL: there is something newer. */
static status add_of_head(struct spool *s, const struct docid *id, uint64_t lsn,
                          struct spool_item **item, struct err *err)
{
    status st = table_room(s, err);
    struct spool_item *older;

    *item = NULL;
    if (st != ST_OK)
        return st;
    older = spool_find(s, id);
    if (older != NULL && older->lsn >= lsn)
        return ST_OK;
    if (older != NULL)
        spool_drop(s, older);
    st = add_item(s, id, lsn, item, err);
    if (st == ST_OK) {
        uint32_t *place = place_of(s, &(*item)->id);

        s->head_count = s->count;
        s->table_used += *place == 0;
        *place = (uint32_t)(*item - s->items) + 1;
    }
    return st;
}

status spool_head_row(struct spool *s, const struct fold_row *row, struct err *err)
{
    struct spool_item *item;
    status st = add_of_head(s, &row->id, row->lsn, &item, err);

    return st == ST_OK && item != NULL ? put_row(s, item, row, err) : st;
}

status spool_head_tombstone(struct spool *s, const struct docid *id, uint64_t lsn, struct err *err)
{
    struct spool_item *item;
    status st = add_of_head(s, id, lsn, &item, err);

    if (st == ST_OK && item != NULL)
        item->tombstone = true;
    return st;
}

status spool_cold_row(struct spool *s, const struct fold_row *row, struct err *err)
{
    struct spool_item *head = spool_find(s, &row->id);
    struct spool_item *item;
    status st;

    if (head != NULL && head->lsn >= row->lsn)
        return ST_OK;
    if (head != NULL)
        spool_drop(s, head);
    st = add_item(s, &row->id, row->lsn, &item, err);
    return st == ST_OK ? put_row(s, item, row, err) : st;
}

/* --- reading --- */

status spool_rewind(struct spool *s, struct err *err)
{
    status st = spool_file_flush(&s->rows_file, err);

    for (size_t i = 0; st == ST_OK && i < s->field_count; i++) {
        struct spool_field *field = &s->fields[i];

        st = spool_file_flush(&field->file, err);
        if (st == ST_OK && field->end > 0)
            st = vector_file_open(&field->vectors, s->fs, field->file.file, field->dim, err);
    }
    return st;
}

const float *spool_vector(const struct spool *s, size_t field, uint32_t item)
{
    return vector_file_at(&s->fields[field].vectors, item);
}

status spool_status(const struct spool *s, size_t field, struct err *err)
{
    return vector_file_status(&s->fields[field].vectors, err);
}

status spool_blob(const struct spool *s, uint32_t item, struct buf *bytes, struct spool_blob *out,
                  struct err *err)
{
    const struct spool_item *i = &s->items[item];
    struct rd r;
    uint32_t external, payload;
    status st;

    buf_reset(bytes);
    if (!buf_reserve(bytes, i->bytes))
        return err_set(err, ST_NOMEM, "out of memory for a fold's row");
    st = fs_pread_full(s->fs, s->rows_file.file, bytes->data, i->bytes, i->offset, err);
    if (st != ST_OK)
        return st;
    bytes->bytes = i->bytes;
    r = rd_make(buf_slice(bytes));
    out->inserted_at_ns = rd_u64(&r);
    external = rd_u32(&r);
    payload = rd_u32(&r);
    out->external_id = rd_bytes(&r, external);
    out->payload = rd_bytes(&r, payload);
    return r.bad ? err_set(err, ST_IO, "a fold's scratch file was changed") : ST_OK;
}
