/* container_memory.h - a container in memory: a sink that appends to a buf and a source over a
 * slice.
 *
 * Threads    one.
 * Ownership  the sink's buf is the caller's to free; the source borrows the bytes. Both structs
 * stay where they are while a container uses them. */
#ifndef SEGMENT_CONTAINER_MEMORY_H
#define SEGMENT_CONTAINER_MEMORY_H

#include "segment/container.h"

struct container_memory_sink {
    struct container_sink sink; /* pass &m->sink */
    struct buf bytes;
};
void container_memory_sink_init(struct container_memory_sink *m, size_t bytes_max);

struct container_memory_source {
    struct container_source source; /* pass &m->source */
    const uint8_t *data;
};
void container_memory_source_init(struct container_memory_source *m, struct slice bytes);

#endif
