/* seal.h - checksums made right again over whatever is there, so that damage meets the decoders
 * behind them. For attacks in unit tests and for fuzzers. Threads: any. */
#ifndef TESTS_SUPPORT_SEAL_H
#define TESTS_SUPPORT_SEAL_H

#include "base/bytes.h"
#include "base/crc32c.h"
#include "segment/container.h"

enum {
    SEAL_FRAME_BYTES = 16,
    SEAL_HEADER_BYTES = 32, /* of a container */
    SEAL_ENTRY_BYTES = 40,
    SEAL_TRAILER_BYTES = 64,
    SEAL_UNIT_CRC = 8,
};

/* The header of docs/formats/frame.md; its magic is left as it is. bytes >= SEAL_FRAME_BYTES. */
static inline void seal_frame(uint8_t *data, size_t bytes)
{
    le_put_u32(data + 8, (uint32_t)bytes);
    le_put_u32(data + 12,
               crc32c(crc32c(0, data, 12), data + SEAL_FRAME_BYTES, bytes - SEAL_FRAME_BYTES));
}

static inline uint32_t seal_unit_crc(uint32_t file_crc, uint16_t section, uint32_t unit,
                                     const uint8_t *header, size_t payload_bytes)
{
    uint8_t place[12] = {0};
    uint32_t crc;

    le_put_u32(place, file_crc);
    le_put_u16(place + 4, section);
    le_put_u32(place + 8, unit);
    crc = crc32c(0, place, sizeof place);
    crc = crc32c(crc, header, SEAL_UNIT_CRC);
    return crc32c(crc, header + 12, 16 + payload_bytes);
}

/* The units of one line of the table, as far as they hold together. */
static inline void seal_units(uint8_t *data, size_t table, uint32_t file_crc, uint8_t *entry)
{
    uint64_t at = le_u64(entry + 8);
    uint32_t units = le_u32(entry + 4);
    uint32_t crc = 0;

    for (uint32_t u = 0; u < units && at < table && table - at >= CONTAINER_UNIT_HEADER_BYTES;
         u++) {
        uint32_t bytes = le_u32(data + at);

        if (bytes > table - at - CONTAINER_UNIT_HEADER_BYTES)
            break;
        le_put_u32(data + at + SEAL_UNIT_CRC,
                   seal_unit_crc(file_crc, le_u16(entry), u, data + at, bytes));
        crc = crc32c(crc, data + at, CONTAINER_UNIT_HEADER_BYTES);
        at += CONTAINER_UNIT_HEADER_BYTES + bytes;
    }
    le_put_u32(entry + 32, crc);
}

/* bytes >= header and trailer. */
static inline void seal_container(uint8_t *data, size_t bytes)
{
    uint8_t *trailer = data + bytes - SEAL_TRAILER_BYTES;
    uint64_t table = le_u64(trailer + 8);
    uint64_t count = le_u32(trailer + 16);
    uint32_t file_crc = crc32c(0, data, 28);

    le_put_u32(data + 28, file_crc);
    le_put_u32(trailer + 32, file_crc);
    if (table >= SEAL_HEADER_BYTES && table <= bytes - SEAL_TRAILER_BYTES &&
        count * SEAL_ENTRY_BYTES == bytes - SEAL_TRAILER_BYTES - table) {
        for (uint64_t i = 0; i < count; i++)
            seal_units(data, table, file_crc, data + table + i * SEAL_ENTRY_BYTES);
        le_put_u32(trailer + 20, crc32c(0, data + table, count * SEAL_ENTRY_BYTES));
    }
    le_put_u32(trailer + 60, crc32c(0, trailer, 60));
}

#endif
