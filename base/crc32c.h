/* crc32c.h - CRC-32C (Castagnoli, reflected, RFC 3720 B.4), by the CPU's instruction where it has
 * one (SSE4.2, three streams folded), else by table.
 *
 * crc32c(0, "123456789", 9) == 0xE3069283. crc32c(crc32c(0, a), b) is the checksum of a then b.
 *
 * Threads    any; the implementation is chosen once, at the first call. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t bytes);
uint32_t crc32c_table(uint32_t crc, const void *data, size_t bytes);    /* the twin, for tests */
uint32_t crc32c_hardware(uint32_t crc, const void *data, size_t bytes); /* == table where absent */

#endif
