#include "api/grpc_wire.h"

enum { WIRE_NUMBER_MAX = (1 << 29) - 1, WIRE_LENGTH_BYTES_MAX = 10 };

bool wire_next(struct rd *r, struct wire_field *out)
{
    uint64_t tag;
    uint64_t bytes;

    if (r->bad || rd_left(r) == 0)
        return false;
    tag = rd_varint(r);
    if (tag >> 3 == 0 || tag >> 3 > WIRE_NUMBER_MAX)
        r->bad = true;
    *out = (struct wire_field){.number = (uint32_t)(tag >> 3), .kind = (enum wire_kind)(tag & 7)};
    switch (tag & 7) {
    case WIRE_VARINT:
        out->value = rd_varint(r);
        break;
    case WIRE_FIXED64:
        out->value = rd_u64(r);
        break;
    case WIRE_FIXED32:
        out->value = rd_u32(r);
        break;
    case WIRE_BYTES:
        bytes = rd_varint(r);
        if (bytes > rd_left(r))
            r->bad = true;
        else
            out->bytes = rd_bytes(r, (size_t)bytes);
        break;
    default:
        r->bad = true;
        break;
    }
    return !r->bad;
}

void wire_put_tag(struct buf *b, uint32_t number, enum wire_kind kind)
{
    buf_put_varint(b, (uint64_t)number << 3 | (uint64_t)kind);
}

void wire_put_bytes(struct buf *b, uint32_t number, struct slice bytes)
{
    wire_put_tag(b, number, WIRE_BYTES);
    buf_put_varint(b, bytes.bytes);
    buf_put_slice(b, bytes);
}

/* One byte is kept for the length; a longer one moves the content when it is known. */
size_t wire_open(struct buf *b, uint32_t number)
{
    wire_put_tag(b, number, WIRE_BYTES);
    buf_put_u8(b, 0);
    return b->bytes;
}

void wire_close(struct buf *b, size_t opened)
{
    size_t bytes = b->bytes - opened;
    uint8_t length[WIRE_LENGTH_BYTES_MAX];
    size_t count = 0;

    if (b->failed)
        return;
    for (uint64_t left = bytes; count == 0 || left > 0; left >>= 7)
        length[count++] = (uint8_t)((left & 0x7F) | (left > 0x7F ? 0x80 : 0));
    buf_put_zeros(b, count - 1);
    if (b->failed)
        return;
    if (count > 1)
        memmove(b->data + opened + count - 1, b->data + opened, bytes);
    memcpy(b->data + opened - 1, length, count);
}
