/* attack_container.h - a container's checksums made right again over whatever is there. */
#ifndef TESTS_SEGMENT_ATTACK_CONTAINER_H
#define TESTS_SEGMENT_ATTACK_CONTAINER_H

#include "segment/container.h"
#include "tests/unit/segment/attack.h"

enum { ATTACK_HEADER = 32, ATTACK_ENTRY = 40, ATTACK_TRAILER = 64, ATTACK_UNIT_CRC = 8 };

static inline uint32_t attack_unit_crc(uint32_t file_crc, uint16_t section, uint32_t unit,
                                       const uint8_t *header, size_t payload_bytes)
{
    uint8_t place[12] = {0};
    uint32_t crc;

    le_put_u32(place, file_crc);
    le_put_u16(place + 4, section);
    le_put_u32(place + 8, unit);
    crc = crc32c(0, place, sizeof place);
    crc = crc32c(crc, header, ATTACK_UNIT_CRC);
    return crc32c(crc, header + 12, 16 + payload_bytes);
}

/* The units of one line of the table. */
static inline void attack_seal_units(uint8_t *data, size_t table, uint32_t file_crc, uint8_t *entry)
{
    uint64_t at = le_u64(entry + 8);
    uint32_t units = le_u32(entry + 4);
    uint32_t crc = 0;

    for (uint32_t u = 0; u < units && at < table && table - at >= CONTAINER_UNIT_HEADER_BYTES;
         u++) {
        uint32_t bytes = le_u32(data + at);

        if (bytes > table - at - CONTAINER_UNIT_HEADER_BYTES)
            break;
        le_put_u32(data + at + ATTACK_UNIT_CRC,
                   attack_unit_crc(file_crc, le_u16(entry), u, data + at, bytes));
        crc = crc32c(crc, data + at, CONTAINER_UNIT_HEADER_BYTES);
        at += CONTAINER_UNIT_HEADER_BYTES + bytes;
    }
    le_put_u32(entry + 32, crc);
}

static inline void attack_seal_container(uint8_t *data, size_t bytes)
{
    uint8_t *trailer = data + bytes - ATTACK_TRAILER;
    uint64_t table = le_u64(trailer + 8);
    uint64_t count = le_u32(trailer + 16);
    uint32_t file_crc = crc32c(0, data, 28);

    le_put_u32(data + 28, file_crc);
    le_put_u32(trailer + 32, file_crc);
    if (table >= ATTACK_HEADER && table <= bytes - ATTACK_TRAILER &&
        count * ATTACK_ENTRY == bytes - ATTACK_TRAILER - table) {
        for (uint64_t i = 0; i < count; i++)
            attack_seal_units(data, table, file_crc, data + table + i * ATTACK_ENTRY);
        le_put_u32(trailer + 20, crc32c(0, data + table, count * ATTACK_ENTRY));
    }
    le_put_u32(trailer + 60, crc32c(0, trailer, 60));
}

/* attack_edits() cuts at the end, where a container has its trailer: so here bytes only change. */
static inline unsigned attack_container_edits(attack_decode_fn *decode, struct slice good,
                                              unsigned rounds, uint64_t seed)
{
    return attack_edits(decode, attack_seal_container, good, good.bytes - 1, rounds, seed);
}

#endif
