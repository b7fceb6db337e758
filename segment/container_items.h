/* container_items.h - what groups, segments and images do alike within their containers.
 *
 * Threads    one.
 * Failure    ST_CORRUPT where stored bytes are not what they should be. */
#ifndef SEGMENT_CONTAINER_ITEMS_H
#define SEGMENT_CONTAINER_ITEMS_H

#include "base/docid.h"
#include "segment/container.h"

/* A section of exactly `bytes`, copied; ST_CORRUPT if there is none. */
NODISCARD
status items_read_head(struct container *c, uint16_t section, void *out, size_t bytes,
                       struct err *err);
NODISCARD
status items_write_head(struct container_writer *w, uint16_t section, struct slice head,
                        struct err *err);
/* As container_stream_open(), but ST_CORRUPT if there is no such section. */
NODISCARD
status items_open(struct container *c, uint16_t section, struct container_stream *out,
                  struct err *err);
/* A varint of at most 64 bits in as few bytes as it needs; anything else is corruption. */
NODISCARD
status items_take_varint(struct container_stream *s, uint64_t *out, struct err *err);
/* What buf_put_docid() wrote; bytes borrow until the next call on the stream. */
NODISCARD
status items_take_docid(struct container_stream *s, struct docid *out, struct err *err);
/* Every unit of every section, those that are not known too. */
NODISCARD
status items_check_units(struct container *c, struct err *err);

bool docid_ok(const struct docid *id);

#endif
