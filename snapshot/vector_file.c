#include "snapshot/vector_file.h"

#include "base/mem.h"

#include <string.h>

status vector_file_open(struct vector_file *v, struct fs *fs, struct fs_file *file, uint32_t dim,
                        struct err *err)
{
    float *ring = mem_alloc_array(VECTOR_FILE_HELD, dim * sizeof *ring);

    if (ring == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a scratch file's vectors");
    *v = (struct vector_file){.fs = fs, .file = file, .dim = dim, .ring = ring};
    return ST_OK;
}

void vector_file_close(struct vector_file *v)
{
    mem_free(v->ring);
    *v = (struct vector_file){.next = 0};
}

const float *vector_file_at(struct vector_file *v, uint64_t number)
{
    float *out = v->ring + (size_t)v->next * v->dim;
    size_t bytes = v->dim * sizeof *out;
    struct err err = {0};
    status st = v->st;

    v->next = (v->next + 1) % VECTOR_FILE_HELD;
    if (st == ST_OK)
        st = fs_pread_full(v->fs, v->file, out, bytes, number * bytes, &err);
    if (st == ST_OK)
        return out;
    if (v->st == ST_OK) {
        v->st = st;
        v->err = err;
    }
    memset(out, 0, bytes);
    return out;
}

status vector_file_status(const struct vector_file *v, struct err *err)
{
    return v->st == ST_OK ? ST_OK : err_set(err, v->st, "%s", v->err.text);
}
