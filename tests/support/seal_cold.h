/* seal_cold.h - checksums of a cold segment made right again over whatever is there: footer, then
 * the items that footer speaks of, table, trailer. For attacks in unit tests and for fuzzers.
 * Threads: any. */
#ifndef TESTS_SUPPORT_SEAL_COLD_H
#define TESTS_SUPPORT_SEAL_COLD_H

#include "segment/cold_index.h"
#include "segment/cold_internal.h"
#include "tests/support/seal.h"

struct seal_cold {
    uint8_t *data;
    size_t bytes;
    uint32_t header_crc;
    uint32_t of_all; /* crc of the checksums of a section */
};

static inline void seal_cold_item(struct seal_cold *s, uint16_t section, uint32_t number,
                                  uint64_t at, uint64_t bytes, size_t crc_at)
{
    uint8_t *item = s->data + at;

    if (at > s->bytes || bytes > s->bytes - at || bytes < crc_at + 4)
        return;
    le_put_u32(item + crc_at,
               container_item_crc(s->header_crc, section, number, slice_make(item, crc_at),
                                  slice_make(item + crc_at + 4, (size_t)bytes - crc_at - 4)));
    s->of_all = crc32c(s->of_all, item + crc_at, 4);
}

/* The blocks of a footer that lies at `at`, as far as they hold together. */
static inline void seal_cold_footer(struct seal_cold *s, uint64_t at, uint64_t bytes)
{
    uint64_t end = at + bytes;
    uint32_t number = 0;

    while (at < end && end <= s->bytes && end - at >= BLOCK_HEADER_BYTES) {
        uint64_t n = BLOCK_HEADER_BYTES + (uint64_t)le_u32(s->data + at + BLOCK_AT_BYTES);

        if (n > end - at)
            break;
        seal_cold_item(s, COLD_SECTION_FOOTER, number++, at, n, BLOCK_AT_CRC);
        at += n;
    }
}

static inline void seal_cold_section(struct seal_cold *s, const struct cold_footer *f,
                                     uint16_t section)
{
    uint16_t at = section & 0xff;
    uint16_t part = section & 0xff00;
    uint64_t offset, bytes;

    if (part == COLD_SECTION_PAYLOAD)
        for (uint32_t i = 0; i < f->payload_blocks; i++) {
            cold_payload_range(f, i, &offset, &bytes);
            seal_cold_item(s, section, i, offset, bytes, PAYLOAD_AT_CRC);
        }
    if (part == COLD_SECTION_IDS)
        for (uint32_t i = 0; i < f->id_blocks; i++) {
            cold_id_range(f, i, &offset, &bytes);
            seal_cold_item(s, section, i, offset, bytes, 0);
        }
    if (part == COLD_SECTION_INDEXES && f->indexes != NULL)
        for (uint32_t i = 0; i < f->indexes->blocks; i++) {
            cold_index_range(f, i, &offset, &bytes);
            seal_cold_item(s, section, i, offset, bytes, INDEX_AT_CRC);
        }
    if (at >= f->field_count)
        return;
    for (uint32_t i = 0; part == COLD_SECTION_RECORDS && i < f->fields[at].rows; i++) {
        cold_records_range(f, at, i, 1, &offset, &bytes);
        seal_cold_item(s, section, i, offset, bytes, 0);
    }
    for (uint32_t i = 0; part == COLD_SECTION_CODES && i < f->fields[at].coarse; i++) {
        cold_codes_range(f, at, i, &offset, &bytes);
        seal_cold_item(s, section, i, offset, bytes, 0);
    }
    for (uint32_t i = 0; part == COLD_SECTION_VECTORS && i < f->fields[at].rows; i++) {
        cold_vectors_range(f, at, i, 1, &offset, &bytes);
        seal_cold_item(s, section, i, offset, bytes, 0);
    }
}

/* By the table's lines; the footer's is the last. A footer that says nonsense leaves the others'
 * items as they are. bytes >= header and trailer. */
static inline void seal_cold_lines(struct seal_cold *s, uint8_t *table, size_t count)
{
    uint8_t *last = table + (count - 1) * SEAL_ENTRY_BYTES;
    uint64_t at = le_u64(last + 8);
    uint64_t bytes = le_u64(last + 16);
    struct cold_footer f;

    if (at > s->bytes || bytes > s->bytes - at)
        return;
    seal_cold_footer(s, at, bytes);
    le_put_u32(last + 32, s->of_all);
    if (cold_footer_decode(slice_make(s->data + at, (size_t)bytes), s->data + 8, NULL, &f, NULL) !=
        ST_OK)
        return;
    for (size_t i = 0; i + 1 < count; i++) {
        uint8_t *line = table + i * SEAL_ENTRY_BYTES;

        s->of_all = 0;
        seal_cold_section(s, &f, le_u16(line));
        le_put_u32(line + 32, s->of_all);
    }
    cold_footer_free(&f);
}

static inline void seal_cold(uint8_t *data, size_t bytes)
{
    uint8_t *trailer = data + bytes - SEAL_TRAILER_BYTES;
    uint64_t table = le_u64(trailer + 8);
    uint64_t count = le_u32(trailer + 16);
    struct seal_cold s = {.data = data, .bytes = bytes, .header_crc = crc32c(0, data, 28)};

    le_put_u32(data + 28, s.header_crc);
    le_put_u32(trailer + 32, s.header_crc);
    if (count > 0 && count < 256 && table >= SEAL_HEADER_BYTES &&
        table <= bytes - SEAL_TRAILER_BYTES &&
        count * SEAL_ENTRY_BYTES == bytes - SEAL_TRAILER_BYTES - table) {
        seal_cold_lines(&s, data + table, (size_t)count);
        le_put_u32(trailer + 20, crc32c(0, data + table, count * SEAL_ENTRY_BYTES));
    }
    le_put_u32(trailer + 60, crc32c(0, trailer, 60));
}

#endif
