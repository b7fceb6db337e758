#include "segment/container_file.h"

static status sink_write(struct container_sink *sink, struct slice bytes, struct err *err)
{
    struct container_file_sink *f = (struct container_file_sink *)sink;
    status st = fs_pwrite(f->fs, f->file, bytes.data, bytes.bytes, f->offset, err);

    if (st == ST_OK)
        f->offset += bytes.bytes;
    if (st == ST_OK && f->offset - f->synced >= CONTAINER_FILE_UNSYNCED_MAX)
        st = container_file_sync(f, err);
    return st;
}

status container_file_create(struct fs *fs, const char *path, struct container_file_sink *out,
                             struct err *err)
{
    struct container_file_sink f = {.sink = {.write = sink_write}, .fs = fs};
    status st = fs_open(fs, path, FS_WRITE | FS_CREATE | FS_TRUNCATE, &f.file, err);

    if (st == ST_OK)
        *out = f;
    return st;
}

status container_file_sync(struct container_file_sink *f, struct err *err)
{
    f->synced = f->offset;
    return fs_sync(f->fs, f->file, err);
}

void container_file_sink_close(struct container_file_sink *f)
{
    if (f->file != NULL)
        fs_close(f->fs, f->file);
    f->file = NULL;
}

static status source_read(struct container_source *source, uint64_t offset, void *out, size_t bytes,
                          struct err *err)
{
    struct container_file_source *f = (struct container_file_source *)source;

    return fs_pread_full(f->fs, f->file, out, bytes, offset, err);
}

status container_file_open(struct fs *fs, const char *path, struct container_file_source *out,
                           struct err *err)
{
    struct container_file_source f = {.source = {.read = source_read}, .fs = fs};
    status st = fs_open(fs, path, FS_READ, &f.file, err);

    if (st != ST_OK)
        return st;
    st = fs_size(fs, f.file, &f.source.bytes, err);
    if (st != ST_OK) {
        container_file_source_close(&f);
        return st;
    }
    *out = f;
    return ST_OK;
}

void container_file_source_close(struct container_file_source *f)
{
    if (f->file != NULL)
        fs_close(f->fs, f->file);
    f->file = NULL;
}
