/* image_internal.h - the layout of docs/formats/image.md, for writer and reader. */
#ifndef SEGMENT_IMAGE_INTERNAL_H
#define SEGMENT_IMAGE_INTERNAL_H

#include "segment/container_items.h"
#include "segment/container_memory.h"
#include "segment/pack.h"
#include "segment/segment.h"

#include <assert.h>

enum {
    /* section 1 of this kind of container is the graph file of a local checkpoint */
    IMAGE_SECTION_HEAD = 2,
    IMAGE_SECTION_SLOTS = 3,
    IMAGE_SECTION_NODES = 4,

    IMAGE_HEAD_AT_FIELD = 0,
    IMAGE_HEAD_AT_BITS = 2,
    IMAGE_HEAD_AT_ZERO = 3,
    IMAGE_HEAD_AT_FIRST = 4,
    IMAGE_HEAD_AT_END = 8,
    IMAGE_HEAD_AT_SLOTS_END = 12,
    IMAGE_HEAD_AT_ENTRIES = 16,
    IMAGE_HEAD_AT_NODES = 20,
    IMAGE_HEAD_AT_START = 24,
    IMAGE_HEAD_BYTES = 32,

    IMAGE_SLOT_BYTES_MIN = 6, /* two varints and a u32 */
    IMAGE_SLOT_BYTES_MAX = 24,
    IMAGE_NODE_PREFIX_BYTES = 5, /* u32 slot, u8 level */
    IMAGE_NODE_BYTES_MIN = IMAGE_NODE_PREFIX_BYTES + 2,
    IMAGE_OVERHEAD_BYTES = 64 * 1024, /* what units, table and trailer may take */
};
static_assert(IMAGE_HEAD_AT_START + 8 == IMAGE_HEAD_BYTES, "docs/formats/image.md, head");

#endif
