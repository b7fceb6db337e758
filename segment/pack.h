/* pack.h - numbers in as few bits as they need: links of graphs, and differences that may fall.
 *
 * Both the local checkpoint and the graph image in the bucket are written this way
 * (docs/formats/checkpoint.md, docs/formats/image.md). Threads: any. */
#ifndef SEGMENT_PACK_H
#define SEGMENT_PACK_H

#include <stddef.h>
#include <stdint.h>

/* Bits that a slot below slots_end needs, 1 to 32. */
unsigned link_bits(uint32_t slots_end);
static inline size_t link_packed_bytes(size_t links, unsigned bits)
{
    return (links * bits + 7) / 8;
}
/* Low bits first, padded with zeros to a byte; link_packed_bytes() are written and read. */
void link_pack(const uint32_t *links, size_t count, unsigned bits, uint8_t *out);
void link_unpack(const uint8_t *packed, size_t count, unsigned bits, uint32_t *out);

/* Small numbers of either sign as small numbers. */
static inline uint64_t zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}
static inline int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

#endif
