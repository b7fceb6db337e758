/* wal_format.h - the bytes of a log file: header block and records, encoded and checked.
 *
 * Pure functions on memory. docs/formats/wal.md is the specification; the offsets below repeat it.
 *
 * Threads    any. */
#ifndef WAL_WAL_FORMAT_H
#define WAL_WAL_FORMAT_H

#include "base/bytes.h"

#include <assert.h>

enum { /* header block */
       WAL_HEAD_MAGIC = 0,
       WAL_HEAD_VERSION = 8,
       WAL_HEAD_FLAGS = 12,
       WAL_HEAD_LOG_ID = 16,
       WAL_HEAD_NUMBER = 32,
       WAL_HEAD_SALT = 40,
       WAL_HEAD_FIRST_LSN = 48,
       WAL_HEAD_DURABLE_LSN = 56,
       WAL_HEAD_ZERO = 64,
       WAL_HEAD_CRC = 4092,
       WAL_HEAD_BYTES = 4096,
};
static_assert(WAL_HEAD_CRC + 4 == WAL_HEAD_BYTES, "docs/formats/wal.md, header block");
static_assert(WAL_HEAD_DURABLE_LSN + 8 == WAL_HEAD_ZERO, "docs/formats/wal.md, header block");

enum { /* record header */
       WAL_REC_HEAD_CRC = 0,
       WAL_REC_BODY_CRC = 4,
       WAL_REC_LSN = 8,
       WAL_REC_DURABLE_LSN = 16,
       WAL_REC_BYTES = 24,
       WAL_REC_KIND = 28,
       WAL_REC_ZERO = 29,
       WAL_REC_HEADER_BYTES = 32,
       WAL_REC_ALIGN = 8,
       WAL_END_MARK_BYTES = WAL_REC_HEADER_BYTES,
};
static_assert(WAL_REC_ZERO + 3 == WAL_REC_HEADER_BYTES, "docs/formats/wal.md, record");
static_assert(WAL_REC_KIND + 4 == WAL_REC_HEADER_BYTES, "kind and zeros are read as one u32");

enum {
    WAL_VERSION = 1,
    WAL_FLAG_UNSYNCED = 1,  /* written without fdatasync */
    WAL_FLAG_ANEW = 2,      /* the log begins with this file, behind a checkpoint */
    WAL_LENGTH_GRAIN = 512, /* a file's length is a multiple of it, whatever crashes */
};
/* Neither an lsn nor a file number comes near it; sums with it do not overflow. */
#define WAL_LSN_MAX (UINT64_MAX / 4)

enum wal_kind { /* on disk, never renumbered */
                WAL_KIND_DATA = 1,
                WAL_KIND_MARKER = 2,
};

struct wal_head {
    uint32_t flags;
    uint8_t log_id[16];
    uint64_t number;
    uint64_t salt;
    uint64_t first_lsn;   /* records of files with smaller numbers are void from this lsn on */
    uint64_t durable_lsn; /* up to here all was on disk when the file got its name */
};
void wal_head_encode(const struct wal_head *head, uint8_t out[WAL_HEAD_BYTES]);
/* ST_CORRUPT, or ST_UNSUPPORTED for a whole header of another version. */
NODISCARD
status wal_head_decode(const uint8_t in[WAL_HEAD_BYTES], struct wal_head *out, struct err *err);
/* A header block whose checksum fails and would pass with one bit changed: changes it. A checksum
 * of 32 bits tells every single bit of so short a block apart. */
NODISCARD
bool wal_head_mend(uint8_t block[WAL_HEAD_BYTES]);
/* What the checksums of this file's records begin with. */
uint32_t wal_head_seed(const struct wal_head *head);

struct wal_rec {
    uint64_t lsn;
    uint64_t durable_lsn;
    uint32_t payload_bytes;
    uint8_t kind; /* enum wal_kind */
};
/* Of the whole record with its padding. */
static inline size_t wal_rec_frame_bytes(uint32_t payload_bytes)
{
    return WAL_REC_HEADER_BYTES +
           (((size_t)payload_bytes + WAL_REC_ALIGN - 1) & ~(size_t)(WAL_REC_ALIGN - 1));
}
/* Writes the header of the record at `frame`; payload and padding are there already. */
void wal_rec_seal(uint8_t *frame, uint32_t seed, uint64_t offset, const struct wal_rec *rec);
/* Is this the header of a record of this file at this offset? Looks at 32 bytes. */
NODISCARD
bool wal_rec_check_header(const uint8_t *frame, uint32_t seed, uint64_t offset,
                          struct wal_rec *out);
/* Is its body whole? Looks at wal_rec_frame_bytes(). */
NODISCARD
bool wal_rec_check_body(const uint8_t *frame, uint32_t seed, uint64_t offset,
                        const struct wal_rec *rec);
NODISCARD
bool wal_end_mark_is_zero(const uint8_t *frame);

/* "00000000000000a1.wal"; the suffix without its dot. */
enum { WAL_NAME_BYTES = 32 };
void wal_name_format(char name[WAL_NAME_BYTES], uint64_t number, const char *suffix);
NODISCARD
bool wal_name_parse(const char *name, const char *suffix, uint64_t *number);

#endif
