/* container_internal.h - the layout of docs/formats/container.md, for writer and reader. */
#ifndef SEGMENT_CONTAINER_INTERNAL_H
#define SEGMENT_CONTAINER_INTERNAL_H

#include "segment/container.h"

#include <assert.h>

enum {
    CONTAINER_VERSION = 1,

    HEADER_AT_MAGIC = 0,
    HEADER_AT_VERSION = 4,
    HEADER_AT_KIND = 6,
    HEADER_AT_OWNER = 8,
    HEADER_AT_SALT = 24, /* zero, but for CONTAINER_COLD */
    HEADER_AT_CRC = 28,
    HEADER_BYTES = CONTAINER_HEADER_BYTES,

    UNIT_AT_BYTES = 0,
    UNIT_AT_FLAGS = 4,
    UNIT_AT_KEY = 6,
    UNIT_AT_CRC = 8,
    UNIT_AT_TAG = 12,
    UNIT_TAG_BYTES = 16,

    ENTRY_AT_SECTION = 0,
    ENTRY_AT_FLAGS = 2,
    ENTRY_AT_UNITS = 4,
    ENTRY_AT_OFFSET = 8,
    ENTRY_AT_BYTES = 16,
    ENTRY_AT_PAYLOAD = 24,
    ENTRY_AT_CRC = 32,
    ENTRY_AT_ZERO = 36,
    ENTRY_BYTES = 40,

    TRAILER_AT_MAGIC = 0,
    TRAILER_AT_VERSION = 4,
    TRAILER_AT_KIND = 6,
    TRAILER_AT_TABLE = 8,
    TRAILER_AT_SECTIONS = 16,
    TRAILER_AT_TABLE_CRC = 20,
    TRAILER_AT_BYTES = 24,
    TRAILER_AT_HEADER_CRC = 32,
    TRAILER_AT_ZERO = 36,
    TRAILER_AT_CRC = 60,
    TRAILER_BYTES = 64,
};
static_assert(HEADER_AT_CRC + 4 == HEADER_BYTES, "docs/formats/container.md, header");
static_assert(UNIT_AT_TAG + UNIT_TAG_BYTES == CONTAINER_UNIT_HEADER_BYTES,
              "docs/formats/container.md, unit");
static_assert(ENTRY_AT_ZERO + 4 == ENTRY_BYTES, "docs/formats/container.md, section table");
static_assert(TRAILER_AT_CRC + 4 == TRAILER_BYTES, "docs/formats/container.md, trailer");

#define CONTAINER_MAGIC_HEADER  "TVC1"
#define CONTAINER_MAGIC_TRAILER "TVCE"

struct container_entry { /* one line of the section table */
    struct container_section_info info;
    uint64_t bytes; /* unit headers included */
};

/* Of a unit at its place; `header` is the stored unit header, whose own crc is left out. */
uint32_t container_unit_crc(uint32_t file_crc, uint16_t section, uint32_t unit,
                            const uint8_t *header, struct slice payload);

#endif
