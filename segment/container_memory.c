#include "segment/container_memory.h"

#include <inttypes.h>

static status sink_write(struct container_sink *sink, struct slice bytes, struct err *err)
{
    struct container_memory_sink *m = (struct container_memory_sink *)sink;

    buf_put_slice(&m->bytes, bytes);
    return buf_status(&m->bytes, err);
}

void container_memory_sink_init(struct container_memory_sink *m, size_t bytes_max)
{
    *m = (struct container_memory_sink){.sink = {.write = sink_write}};
    buf_init(&m->bytes, bytes_max);
}

static status source_read(struct container_source *source, uint64_t offset, void *out, size_t bytes,
                          struct err *err)
{
    const struct container_memory_source *m = (const struct container_memory_source *)source;

    if (offset > source->bytes || bytes > source->bytes - offset)
        return err_set(err, ST_CORRUPT, "container is cut short offset=%" PRIu64 " bytes=%" PRIu64,
                       offset, source->bytes);
    memcpy(out, m->data + offset, bytes);
    return ST_OK;
}

void container_memory_source_init(struct container_memory_source *m, struct slice bytes)
{
    *m = (struct container_memory_source){.source = {.read = source_read, .bytes = bytes.bytes},
                                          .data = bytes.data};
}
