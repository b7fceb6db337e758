/* cold_index.h - payload indexes of a cold segment: sorted maps from keys to rows, in blocks that
 * are read by range, under a directory in the footer. docs/formats/cold-segment.md, "Payload
 * indexes".
 *
 * What keys mean is filter/pindex_stored.h's to know; here they are bytes that rise.
 *
 * Threads    as cold.h.
 * Memory     the directory is the footer's: 12 bytes a block beside its own.
 * Failure    as cold.h. A directory of a newer version counts as none. */
#ifndef SEGMENT_COLD_INDEX_H
#define SEGMENT_COLD_INDEX_H

#include "segment/cold.h"

enum {
    COLD_INDEXES_MAX = 256,
    COLD_INDEX_SETS = 4, /* keys of one byte below it are sets of rows */
    COLD_INDEX_PATH_BYTES_MAX = 1024,
    COLD_INDEX_KEY_BYTES_MAX = 1025,
    COLD_INDEX_ROWS_MAX = 8192,         /* told at once */
    COLD_INDEX_BLOCK_BYTES = 16 * 1024, /* what a writer aims at, before compression */
    COLD_INDEX_BLOCK_BYTES_MAX = 64 * 1024,
};
struct cold_index {
    uint8_t type, tokenizer; /* as the catalog's settings have them */
    bool keep_case;
    uint32_t min_bytes, max_bytes; /* of words */
    struct slice path;
    /* Of the writer found out: */
    uint32_t sets[COLD_INDEX_SETS]; /* rows of each */
    uint64_t entries;               /* of all other keys */
    uint32_t first, blocks;         /* of the section */
};
struct cold_indexes {
    uint16_t count;
    uint32_t blocks;
    uint64_t at, end; /* in the object */
    struct cold_index *items;
    uint64_t *offsets;       /* of blocks, from at; + 1: their end */
    const uint8_t **entries; /* of blocks, in the directory */
};

/* The blocks of an index that may have keys from low to high, both included: *count is at least 1
 * where the index has any. */
void cold_index_blocks(const struct cold_footer *f, uint16_t index, struct slice low,
                       struct slice high, uint32_t *first, uint32_t *count);
void cold_index_range(const struct cold_footer *f, uint32_t block, uint64_t *offset,
                      uint64_t *bytes);
NODISCARD
status cold_index_check(const struct cold_footer *f, uint32_t block, struct slice bytes,
                        struct err *err);
/* Keys and their rows in order, a key with many rows several times. What is read of an index in
 * order goes by one cursor, zeroed before the first block. */
typedef status cold_index_fn(void *arg, struct slice key, const uint32_t *rows, uint32_t count,
                             struct err *err);
struct cold_index_cursor {
    uint32_t key_bytes, row; /* the last; 0: none yet */
    uint8_t key[COLD_INDEX_KEY_BYTES_MAX];
    uint32_t rows[COLD_INDEX_ROWS_MAX];
};
NODISCARD
status cold_index_each(const struct cold_footer *f, uint16_t index, uint32_t block,
                       struct slice bytes, struct buf *unpacked, struct cold_index_cursor *cursor,
                       cold_index_fn *fn, void *arg, struct err *err);

/* --- writing: behind the last id, one index after the other --- */
/* what: type, words and path; borrowed until _end(). */
NODISCARD
status cold_writer_index_begin(struct cold_writer *w, const struct cold_index *what,
                               struct err *err);
/* Keys rise, and the rows of one key; the same once more is passed over. */
NODISCARD
status cold_writer_index_row(struct cold_writer *w, struct slice key, uint32_t row,
                             struct err *err);
NODISCARD
status cold_writer_index_end(struct cold_writer *w, struct err *err);

#endif
