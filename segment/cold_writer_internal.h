/* cold_writer_internal.h - what the files of the cold segment's writer share. */
#ifndef SEGMENT_COLD_WRITER_INTERNAL_H
#define SEGMENT_COLD_WRITER_INTERNAL_H

#include "base/compress.h"
#include "segment/cold_index.h"
#include "segment/cold_internal.h"

enum part { PART_RECORDS, PART_CODES, PART_VECTORS, PART_COUNT };

struct cold_writer {
    struct container_writer *out;
    struct cold_footer f;      /* as a reader will have it; the arrays are the options' */
    bool failed;               /* the sink, or memory: what follows would have a hole */
    unsigned section;          /* part of a field, from 0; then payload, then ids */
    uint32_t done;             /* rows of it */
    uint64_t lsn_min, lsn_max; /* seen */
    struct buf item;           /* what is put together now */
    struct {                   /* short codes */
        uint32_t coarse;
    } codes;
    struct {
        struct compressor *zip; /* NULL: plain */
        struct buf block, row;
        struct buf frames;
        uint32_t first, rows; /* of the block */
        bool external_ids;    /* some row had one */
    } payload;
    struct {
        struct cold_id_packer packer;
        uint8_t block[COLD_ID_BLOCK_BYTES];
        uint16_t entries, used;
        uint8_t last[ID_KEY_BYTES_MAX]; /* key of the id before */
        size_t last_bytes;
        struct buf lengths, fences;
        uint8_t *filter;
    } ids;
    struct { /* payload indexes */
        struct buf directory, block, entry;
        uint16_t count;
        bool open;
        uint32_t total, blocks;     /* of the section, of the index */
        size_t counts_at, fence_at; /* in the directory: of the index, of the block */
        uint32_t sets[COLD_INDEX_SETS];
        uint64_t entries;
        uint32_t in_block; /* entries */
        uint32_t row;      /* the last of the key */
        uint32_t key_bytes, last_bytes;
        uint8_t key[COLD_INDEX_KEY_BYTES_MAX];  /* whose rows are gathered */
        uint8_t last[COLD_INDEX_KEY_BYTES_MAX]; /* of the entry before */
        uint32_t row_count;
        uint32_t rows[COLD_INDEX_ROWS_MAX];
    } index;
};

/* Sections count up: the parts of each field, then payload, then ids. */
unsigned cold_payload_section(const struct cold_writer *w);
/* Goes on to the wanted section, past those that are whole. */
NODISCARD
status cold_writer_turn(struct cold_writer *w, unsigned wanted, struct err *err);
/* After a failure nothing is taken any more. Returns st. */
status cold_writer_fail(struct cold_writer *w, status st);
status cold_writer_invalid(const struct cold_writer *w, const char *what, struct err *err);

#endif
