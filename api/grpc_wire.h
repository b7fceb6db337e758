/* grpc_wire.h - protobuf's wire format: fields read one by one from bytes that were not trusted,
 * and written into a buf. Nothing here knows what a field means.
 *
 * Source     the encoding page of Protocol Buffers. Groups (kinds 3 and 4) are refused.
 * Ownership  what is read borrows from the message. */
#ifndef API_GRPC_WIRE_H
#define API_GRPC_WIRE_H

#include "base/bytes.h"

enum wire_kind { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct wire_field {
    uint32_t number;
    enum wire_kind kind;
    uint64_t value;     /* of the numbers, as they lie there */
    struct slice bytes; /* of WIRE_BYTES */
};
/* The next field; false at the end, or with r->bad set when that is no field. */
bool wire_next(struct rd *r, struct wire_field *out);

void wire_put_tag(struct buf *b, uint32_t number, enum wire_kind kind);
void wire_put_bytes(struct buf *b, uint32_t number, struct slice bytes);
/* A message within the message: what is appended between the two is its content. */
size_t wire_open(struct buf *b, uint32_t number);
void wire_close(struct buf *b, size_t opened);

#endif
