#include "base/compress.h"

#include "base/mem.h"

#include <zstd.h>
#include <zstd_errors.h>

enum { LEVEL = 3 };

struct compressor {
    ZSTD_CCtx *context;
};

status compressor_create(struct compressor **out, struct err *err)
{
    struct compressor *c = mem_zero_array(1, sizeof *c);

    if (c != NULL)
        c->context = ZSTD_createCCtx();
    if (c == NULL || c->context == NULL) {
        compressor_destroy(c);
        return err_set(err, ST_NOMEM, "out of memory for compressing");
    }
    *out = c;
    return ST_OK;
}

void compressor_destroy(struct compressor *c)
{
    if (c == NULL)
        return;
    (void)ZSTD_freeCCtx(c->context);
    mem_free(c);
}

status compress_block(struct compressor *c, struct slice in, struct buf *out, struct err *err)
{
    size_t bound = ZSTD_compressBound(in.bytes);
    size_t bytes;

    if (!buf_reserve(out, bound))
        return buf_status(out, err);
    bytes = ZSTD_compressCCtx(c->context, out->data + out->bytes, bound, in.data, in.bytes, LEVEL);
    if (ZSTD_isError(bytes))
        return err_set(err, ST_NOMEM, "compress %zu bytes: %s", in.bytes, ZSTD_getErrorName(bytes));
    out->bytes += bytes;
    return ST_OK;
}

status decompress_block(struct slice in, size_t bytes, struct buf *out, struct err *err)
{
    uint8_t none[1];
    size_t got;

    /* What the frame says of itself comes before memory for it. */
    if (ZSTD_getFrameContentSize(in.data, in.bytes) != bytes ||
        ZSTD_findFrameCompressedSize(in.data, in.bytes) != in.bytes)
        return err_set(err, ST_CORRUPT, "%zu bytes are no frame of %zu", in.bytes, bytes);
    if (!buf_reserve(out, bytes))
        return buf_status(out, err);
    got = ZSTD_decompress(bytes == 0 ? none : out->data + out->bytes, bytes, in.data, in.bytes);
    if (ZSTD_isError(got) && ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation)
        return err_set(err, ST_NOMEM, "out of memory for unpacking");
    if (ZSTD_isError(got) || got != bytes)
        return err_set(err, ST_CORRUPT, "unpack %zu bytes: %s", in.bytes,
                       ZSTD_isError(got) ? ZSTD_getErrorName(got) : "too few");
    out->bytes += got;
    return ST_OK;
}
