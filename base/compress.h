/* compress.h - zstd for blocks of bytes (libzstd is met here alone).
 *
 * Threads    a compressor belongs to its user; decompress() from any.
 * Memory     zstd's own, from malloc: about 1 MB a compressor, 100 KB while a block is unpacked.
 * Failure    what is unpacked is hostile: it has exactly the bytes that were promised, or is
 *            ST_CORRUPT. */
#ifndef BASE_COMPRESS_H
#define BASE_COMPRESS_H

#include "base/bytes.h"

struct compressor;
NODISCARD
status compressor_create(struct compressor **out, struct err *err);
void compressor_destroy(struct compressor *c); /* accepts NULL */
/* Appends one frame. ST_NOMEM, ST_NOSPACE (out's bound). */
NODISCARD
status compress_block(struct compressor *c, struct slice in, struct buf *out, struct err *err);
/* Appends exactly `bytes`. ST_CORRUPT: it is no frame, or one of more or fewer. */
NODISCARD
status decompress_block(struct slice in, size_t bytes, struct buf *out, struct err *err);

#endif
