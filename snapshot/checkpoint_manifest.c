/* The manifest's bytes, and which files a directory has beside it. */
#include "base/crc32c.h"
#include "base/mem.h"
#include "snapshot/checkpoint_internal.h"

#include <inttypes.h>
#include <stdio.h>

enum { /* docs/formats/checkpoint.md */
       MANIFEST_VERSION = 1,
       MANIFEST_AT_VERSION = 4,
       MANIFEST_AT_ZERO = 6,
       MANIFEST_AT_BYTES = 8,
       MANIFEST_AT_CRC = 12,
       MANIFEST_AT_GENERATION = 16,
       MANIFEST_AT_START_LSN = 24,
       MANIFEST_AT_LSN_MAX = 32,
       MANIFEST_AT_CREATED = 40,
       MANIFEST_AT_COLLECTION = 48,
       MANIFEST_AT_BLOCK_SLOTS = 64,
       MANIFEST_AT_SLOTS_END = 68,
       MANIFEST_AT_LIVE = 72,
       MANIFEST_AT_DEAD = 76,
       MANIFEST_AT_FIELDS = 80,
       MANIFEST_AT_FILES = 84,
       MANIFEST_HEADER_BYTES = 88,
       MANIFEST_FIELD_BYTES = 8,
       MANIFEST_FILE_BYTES = 40,
};
static_assert(MANIFEST_AT_FILES + 4 == MANIFEST_HEADER_BYTES, "docs/formats/checkpoint.md");
static_assert(CKPT_FILES_MAX * MANIFEST_FILE_BYTES + MANIFEST_HEADER_BYTES +
                      RECORD_FIELDS_MAX * MANIFEST_FIELD_BYTES <=
                  CKPT_MANIFEST_BYTES_MAX,
              "a full manifest fits");
static_assert(SLOTS_MAX / CHECKPOINT_BLOCK_SLOTS + 2 + RECORD_FIELDS_MAX <= CKPT_FILES_MAX,
              "a full collection fits");
static const char MAGIC[4] = {'T', 'V', 'C', 'P'};
static const char MANIFEST_NAME[] = "manifest";

void ckpt_manifest_free(struct ckpt_manifest *m)
{
    mem_free(m->files);
    *m = (struct ckpt_manifest){0};
}

status ckpt_manifest_add(struct ckpt_manifest *m, const struct ckpt_file *file, struct err *err)
{
    if (m->file_count == m->file_room) {
        size_t room = m->file_room == 0 ? 16 : m->file_room * 2;
        struct ckpt_file *files;

        if (m->file_count >= CKPT_FILES_MAX)
            return err_set(err, ST_NOSPACE, "a checkpoint has at most %d files", CKPT_FILES_MAX);
        files = mem_resize(m->files, room * sizeof *files);
        if (files == NULL)
            return err_set(err, ST_NOMEM, "out of memory for a checkpoint's manifest");
        m->files = files;
        m->file_room = room;
    }
    m->files[m->file_count++] = *file;
    return ST_OK;
}

static uint32_t manifest_crc(const uint8_t *data, size_t bytes)
{
    return crc32c(crc32c(0, data, MANIFEST_AT_CRC), data + MANIFEST_AT_CRC + 4,
                  bytes - MANIFEST_AT_CRC - 4);
}

static void put_file(struct buf *b, const struct ckpt_file *f)
{
    buf_put_u8(b, f->kind);
    buf_put_zeros(b, 3);
    buf_put_u32(b, f->number);
    buf_put_u64(b, f->generation);
    buf_put_u64(b, f->start_lsn);
    buf_put_u64(b, f->bytes);
    buf_put_u32(b, f->crc);
    buf_put_u32(b, f->items);
}

status ckpt_manifest_encode(const struct ckpt_manifest *m, struct buf *out, struct err *err)
{
    status st;

    assert(out->bytes == 0);
    buf_put(out, MAGIC, sizeof MAGIC);
    buf_put_u16(out, MANIFEST_VERSION);
    buf_put_u16(out, 0);
    buf_put_u64(out, 0); /* bytes, crc: below */
    buf_put_u64(out, m->generation);
    buf_put_u64(out, m->start_lsn);
    buf_put_u64(out, m->lsn_max);
    buf_put_u64(out, m->created_at_ns);
    buf_put(out, m->collection_id, sizeof m->collection_id);
    buf_put_u32(out, m->block_slots);
    buf_put_u32(out, m->slots_end);
    buf_put_u32(out, m->live);
    buf_put_u32(out, m->dead);
    buf_put_u32(out, (uint32_t)m->field_count);
    buf_put_u32(out, (uint32_t)m->file_count);
    for (size_t i = 0; i < m->field_count; i++) {
        buf_put_u16(out, m->fields[i].id);
        buf_put_u16(out, 0);
        buf_put_u32(out, m->fields[i].dim);
    }
    for (size_t i = 0; i < m->file_count; i++)
        put_file(out, &m->files[i]);
    st = buf_status(out, err);
    if (st != ST_OK)
        return st;
    buf_set_u32(out, MANIFEST_AT_BYTES, (uint32_t)out->bytes);
    buf_set_u32(out, MANIFEST_AT_CRC, manifest_crc(out->data, out->bytes));
    return ST_OK;
}

static status envelope_check(struct slice bytes, struct err *err)
{
    const uint8_t *at = bytes.data;

    if (bytes.bytes < MANIFEST_HEADER_BYTES || bytes.bytes > CKPT_MANIFEST_BYTES_MAX ||
        memcmp(at, MAGIC, sizeof MAGIC) != 0)
        return err_set(err, ST_CORRUPT, "not a checkpoint manifest bytes=%zu", bytes.bytes);
    if (le_u32(at + MANIFEST_AT_BYTES) != bytes.bytes)
        return err_set(err, ST_CORRUPT, "manifest has %zu bytes, its header says %" PRIu32,
                       bytes.bytes, le_u32(at + MANIFEST_AT_BYTES));
    if (le_u32(at + MANIFEST_AT_CRC) != manifest_crc(at, bytes.bytes))
        return err_set(err, ST_CORRUPT, "manifest crc mismatch");
    if (le_u16(at + MANIFEST_AT_VERSION) > MANIFEST_VERSION)
        return err_set(err, ST_UNSUPPORTED,
                       "manifest version %u is newer than this program, which reads up to %d",
                       le_u16(at + MANIFEST_AT_VERSION), MANIFEST_VERSION);
    if (le_u16(at + MANIFEST_AT_VERSION) == 0 || le_u16(at + MANIFEST_AT_ZERO) != 0)
        return err_set(err, ST_CORRUPT, "manifest header is not one");
    return ST_OK;
}

static status rd_head(struct rd *r, struct ckpt_manifest *m, uint32_t *files, struct err *err)
{
    struct slice id;
    uint32_t fields;

    rd_skip(r, MANIFEST_AT_GENERATION);
    m->generation = rd_u64(r);
    m->start_lsn = rd_u64(r);
    m->lsn_max = rd_u64(r);
    m->created_at_ns = rd_u64(r);
    id = rd_bytes(r, sizeof m->collection_id);
    m->block_slots = rd_u32(r);
    m->slots_end = rd_u32(r);
    m->live = rd_u32(r);
    m->dead = rd_u32(r);
    fields = rd_u32(r);
    *files = rd_u32(r);
    if (r->bad)
        return err_set(err, ST_CORRUPT, "manifest is cut short");
    memcpy(m->collection_id, id.data, sizeof m->collection_id);
    if (m->generation == 0 || m->lsn_max < m->start_lsn || m->block_slots == 0 ||
        m->block_slots > CKPT_BLOCK_SLOTS_MAX || m->slots_end > SLOTS_MAX ||
        (uint64_t)m->live + m->dead > m->slots_end || fields > RECORD_FIELDS_MAX ||
        *files > CKPT_FILES_MAX ||
        rd_left(r) != fields * (size_t)MANIFEST_FIELD_BYTES + *files * (size_t)MANIFEST_FILE_BYTES)
        return err_set(err, ST_CORRUPT, "manifest header out of range");
    m->field_count = fields;
    return ST_OK;
}

static status rd_fields(struct rd *r, struct ckpt_manifest *m, struct err *err)
{
    for (size_t i = 0; i < m->field_count; i++) {
        uint16_t zero;

        m->fields[i].id = rd_u16(r);
        zero = rd_u16(r);
        m->fields[i].dim = rd_u32(r);
        if (zero != 0 || m->fields[i].dim == 0 || m->fields[i].dim > RECORD_DIM_MAX)
            return err_set(err, ST_CORRUPT, "manifest field %u out of range", m->fields[i].id);
        for (size_t k = 0; k < i; k++)
            if (m->fields[k].id == m->fields[i].id)
                return err_set(err, ST_CORRUPT, "manifest has field %u twice", m->fields[i].id);
    }
    return ST_OK;
}

static bool has_field(const struct ckpt_manifest *m, uint32_t id)
{
    for (size_t i = 0; i < m->field_count; i++)
        if (m->fields[i].id == id)
            return true;
    return false;
}

/* Kind by kind, numbers rising within a kind: then none is there twice. */
static bool file_ok(const struct ckpt_manifest *m, const struct ckpt_file *f)
{
    const struct ckpt_file *last = m->file_count > 0 ? &m->files[m->file_count - 1] : NULL;

    if (last != NULL &&
        (f->kind < last->kind || (f->kind == last->kind && f->number <= last->number)))
        return false;
    if (f->generation == 0 || f->generation > m->generation || f->start_lsn > m->start_lsn)
        return false;
    switch ((enum ckpt_file_kind)f->kind) {
    case CKPT_ROWS:
        return (uint64_t)f->number * m->block_slots < m->slots_end && f->items <= m->block_slots;
    case CKPT_LIVE:
        return f->number == 0 && f->generation == m->generation &&
               f->items == (uint64_t)m->live + m->dead;
    case CKPT_GRAPH:
        return has_field(m, f->number) && f->generation == m->generation;
    }
    return false;
}

static status rd_files(struct rd *r, struct ckpt_manifest *m, uint32_t count, struct err *err)
{
    bool has_live = false;

    for (uint32_t i = 0; i < count; i++) {
        struct ckpt_file f;
        uint32_t zero;
        status st;

        f.kind = rd_u8(r);
        zero = rd_u8(r);
        zero |= rd_u16(r);
        f.number = rd_u32(r);
        f.generation = rd_u64(r);
        f.start_lsn = rd_u64(r);
        f.bytes = rd_u64(r);
        f.crc = rd_u32(r);
        f.items = rd_u32(r);
        if (r->bad || zero != 0 || !file_ok(m, &f))
            return err_set(err, ST_CORRUPT,
                           "manifest file %" PRIu32 " of %" PRIu32 " out of range or order", i,
                           count);
        has_live = has_live || f.kind == CKPT_LIVE;
        st = ckpt_manifest_add(m, &f, err);
        if (st != ST_OK)
            return st;
    }
    return has_live ? ST_OK : err_set(err, ST_CORRUPT, "manifest names no live file");
}

status ckpt_manifest_decode(struct slice bytes, struct ckpt_manifest *out, struct err *err)
{
    struct ckpt_manifest m = {0};
    struct rd r = rd_make(bytes);
    uint32_t files = 0;
    status st = envelope_check(bytes, err);

    if (st == ST_OK)
        st = rd_head(&r, &m, &files, err);
    if (st == ST_OK)
        st = rd_fields(&r, &m, err);
    if (st == ST_OK)
        st = rd_files(&r, &m, files, err);
    if (st != ST_OK) {
        ckpt_manifest_free(&m);
        return st;
    }
    *out = m;
    return ST_OK;
}

status ckpt_manifest_read(struct fs *fs, const char *dir, const uint8_t collection_id[16],
                          struct ckpt_manifest *out, struct err *err)
{
    char path[FS_PATH_BYTES];
    struct ckpt_manifest m = {0};
    struct buf bytes;
    status st;

    buf_init(&bytes, CKPT_MANIFEST_BYTES_MAX);
    st = fs_join(path, dir, MANIFEST_NAME, err);
    if (st == ST_OK)
        st = fs_read_file(fs, path, CKPT_MANIFEST_BYTES_MAX, &bytes, err);
    if (st == ST_INVALID) /* larger than any manifest */
        st = err_wrap(err, ST_CORRUPT, "checkpoint manifest");
    if (st == ST_OK) {
        st = ckpt_manifest_decode(buf_slice(&bytes), &m, err);
        if (st == ST_OK && memcmp(m.collection_id, collection_id, 16) != 0)
            st = err_set(err, ST_CORRUPT, "it belongs to another collection");
        if (st != ST_OK)
            (void)err_wrap(err, st, "checkpoint file %s", path);
    }
    buf_free(&bytes);
    if (st != ST_OK) {
        ckpt_manifest_free(&m);
        return st;
    }
    *out = m;
    return ST_OK;
}

status ckpt_manifest_write(struct fs *fs, const char *dir, const struct ckpt_manifest *m,
                           uint64_t *bytes, struct err *err)
{
    char path[FS_PATH_BYTES];
    struct buf out;
    status st;

    buf_init(&out, CKPT_MANIFEST_BYTES_MAX);
    st = ckpt_manifest_encode(m, &out, err);
    if (st == ST_OK)
        st = fs_join(path, dir, MANIFEST_NAME, err);
    if (st == ST_OK)
        st = fs_write_file(fs, path, buf_slice(&out), err);
    if (st == ST_OK)
        *bytes = out.bytes;
    buf_free(&out);
    return st;
}

const struct ckpt_file *ckpt_manifest_find(const struct ckpt_manifest *m, enum ckpt_file_kind kind,
                                           uint32_t number)
{
    size_t low = 0;
    size_t high = m->file_count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct ckpt_file *f = &m->files[mid];

        if (f->kind == kind && f->number == number)
            return f;
        if (f->kind < kind || (f->kind == kind && f->number < number))
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

void ckpt_manifest_info(const struct ckpt_manifest *m, struct checkpoint_info *out)
{
    *out = (struct checkpoint_info){
        .start_lsn = m->start_lsn,
        .created_at_ns = m->created_at_ns,
        .generation = m->generation,
        .lsn_max = m->lsn_max,
        .rows = m->live,
        .bytes_total = MANIFEST_HEADER_BYTES + m->field_count * MANIFEST_FIELD_BYTES +
                       m->file_count * MANIFEST_FILE_BYTES,
    };
    for (size_t i = 0; i < m->file_count; i++)
        out->bytes_total += m->files[i].bytes;
}

void ckpt_file_name(const struct ckpt_file *file, char name[CKPT_NAME_BYTES])
{
    switch ((enum ckpt_file_kind)file->kind) {
    case CKPT_ROWS:
        (void)snprintf(name, CKPT_NAME_BYTES, "rows-%" PRIu32 "-%" PRIu64, file->number,
                       file->generation);
        return;
    case CKPT_LIVE:
        (void)snprintf(name, CKPT_NAME_BYTES, "live-%" PRIu64, file->generation);
        return;
    case CKPT_GRAPH:
        (void)snprintf(name, CKPT_NAME_BYTES, "graph-%" PRIu32 "-%" PRIu64, file->number,
                       file->generation);
        return;
    }
    assert(!"a checkpoint file has one of three kinds");
}

status ckpt_file_path(const char *dir, const struct ckpt_file *file, char path[FS_PATH_BYTES],
                      struct err *err)
{
    char name[CKPT_NAME_BYTES];

    ckpt_file_name(file, name);
    return fs_join(path, dir, name, err);
}

/* The inverse of ckpt_file_name(): whatever does not print the same again is not ours. */
static bool name_parse(const char *name, struct ckpt_file *out)
{
    char again[CKPT_NAME_BYTES];
    struct ckpt_file f = {0};

    if (sscanf(name, "rows-%" SCNu32 "-%" SCNu64, &f.number, &f.generation) == 2)
        f.kind = CKPT_ROWS;
    else if (sscanf(name, "graph-%" SCNu32 "-%" SCNu64, &f.number, &f.generation) == 2)
        f.kind = CKPT_GRAPH;
    else if (sscanf(name, "live-%" SCNu64, &f.generation) == 1)
        f.kind = CKPT_LIVE;
    else
        return false;
    ckpt_file_name(&f, again);
    if (strcmp(name, again) != 0)
        return false;
    *out = f;
    return true;
}

static status max_of(void *arg, const char *name, bool is_dir, struct err *err)
{
    uint64_t *max = arg;
    struct ckpt_file f;

    (void)err;
    if (!is_dir && name_parse(name, &f) && f.generation > *max)
        *max = f.generation;
    return ST_OK;
}

status ckpt_generation_max(struct fs *fs, const char *dir, uint64_t *out, struct err *err)
{
    *out = 0;
    return fs_list(fs, dir, max_of, out, err);
}

struct leftovers {
    const struct ckpt_manifest *m;
    uint64_t only;
    struct ckpt_manifest found; /* its list alone is used */
};

static status collect(void *arg, const char *name, bool is_dir, struct err *err)
{
    struct leftovers *l = arg;
    const struct ckpt_file *named;
    struct ckpt_file f;

    if (is_dir || !name_parse(name, &f) || (l->only != 0 && f.generation != l->only))
        return ST_OK;
    named = ckpt_manifest_find(l->m, (enum ckpt_file_kind)f.kind, f.number);
    if (named != NULL && named->generation == f.generation)
        return ST_OK;
    return ckpt_manifest_add(&l->found, &f, err);
}

void ckpt_remove_unnamed(struct fs *fs, const char *dir, const struct ckpt_manifest *m,
                         uint64_t only)
{
    struct leftovers l = {.m = m, .only = only};
    char path[FS_PATH_BYTES];
    status st = fs_list(fs, dir, collect, &l, NULL);

    /* Also when the list is not whole: what is on it has no use. */
    for (size_t i = 0; i < l.found.file_count; i++) {
        st = ckpt_file_path(dir, &l.found.files[i], path, NULL);
        if (st == ST_OK)
            st = fs_unlink(fs, path, NULL);
    }
    if (only == 0) {
        st = fs_join(path, dir, "manifest.tmp", NULL);
        if (st == ST_OK)
            st = fs_unlink(fs, path, NULL);
    }
    (void)st;
    ckpt_manifest_free(&l.found);
}
