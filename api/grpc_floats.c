/* grpc_floats.c - vectors that stay binary between a message and its route: on the way in the body
 * says `["@7"]` and means the request's floats[7], on the way out a vector is a string of two
 * letters a byte, of 'a' to 'p'. Neither is read or printed for any other door. */
#include "api/grpc_map.h"

#include "base/json.h"

#include <math.h>
#include <stdio.h>

/* --- out of the message --- */

bool grpc_in_floats(struct grpc_in *in, const void *at, size_t bytes)
{
    if (bytes % sizeof(float) != 0)
        return grpc_in_bad(in, "a vector is cut short");
    if (in->float_count == in->float_capacity) {
        size_t capacity = in->float_capacity == 0 ? 16 : 2 * in->float_capacity;
        struct grpc_floats *moved = arena_array(in->arena, capacity, sizeof *moved);

        if (moved == NULL)
            return grpc_in_no_memory(in);
        if (in->float_count > 0)
            memcpy(moved, in->floats, in->float_count * sizeof *moved);
        in->floats = moved;
        in->float_capacity = capacity;
    }
    buf_printf(in->out, "[\"@%zu\"]", in->float_count);
    in->floats[in->float_count++] = (struct grpc_floats){at, bytes / sizeof(float)};
    return true;
}

bool grpc_in_float_field(struct grpc_in *in, struct slice message, uint32_t number)
{
    struct rd r = rd_make(message);
    struct slice whole = {0};
    struct wire_field w;
    size_t runs = 0;
    size_t bytes = 0;
    uint8_t *all;

    while (grpc_in_next(in, &r, &w)) {
        if (w.number != number || (w.kind != WIRE_BYTES && w.kind != WIRE_FIXED32))
            continue;
        runs += w.kind == WIRE_BYTES ? 1 : 2;
        whole = w.bytes;
    }
    if (runs <= 1) /* as every writer does it */
        return grpc_in_floats(in, whole.data, whole.bytes);
    all = arena_alloc(in->arena, message.bytes);
    if (all == NULL)
        return grpc_in_no_memory(in);
    for (r = rd_make(message); grpc_in_next(in, &r, &w);) {
        if (w.number != number)
            continue;
        if (w.kind == WIRE_BYTES && w.bytes.bytes % sizeof(float) != 0)
            return grpc_in_bad(in, "a vector is cut short");
        if (w.kind == WIRE_BYTES && w.bytes.bytes > 0)
            memcpy(all + bytes, w.bytes.data, w.bytes.bytes);
        else if (w.kind == WIRE_FIXED32)
            le_put_u32(all + bytes, (uint32_t)w.value);
        bytes += w.kind == WIRE_BYTES ? w.bytes.bytes : sizeof(float);
    }
    return grpc_in_floats(in, all, bytes);
}

/* --- into rows --- */

bool grpc_floats_named(const struct request *req, struct jval v, struct grpc_floats *out)
{
    struct jiter it;
    struct slice name;
    size_t n = 0;

    if (req->grpc == NULL || jval_type(v) != J_ARRAY)
        return false;
    it = jval_iter(v);
    if (!jiter_next(&it) || jval_type(it.value) != J_STRING)
        return false;
    name = jval_string(it.value);
    if (name.bytes < 2 || name.data[0] != '@')
        return false;
    for (size_t i = 1; i < name.bytes && n < req->grpc->float_count; i++)
        n = 10 * n + (size_t)(name.data[i] - '0');
    if (n >= req->grpc->float_count)
        return false;
    *out = req->grpc->floats[n];
    return true;
}

status grpc_floats_take(struct grpc_floats from, float *out, struct err *err)
{
    if (from.count > 0)
        memcpy(out, from.at, from.count * sizeof *out);
    for (size_t i = 0; i < from.count; i++)
        if (!isfinite(out[i]))
            return err_set(err, ST_INVALID, "element %zu is not finite", i);
    return ST_OK;
}

/* --- answers --- */

/* Four bytes are eight letters, the upper half of each byte first: the bytes are spread over a word
 * and cut in halves there, all at once. */
#define LOW_BYTES  UINT64_C(0x00FF00FF00FF00FF)
#define LOW_HALVES UINT64_C(0x000F000F000F000F)
#define LETTERS_A  UINT64_C(0x6161616161616161)

static uint64_t letters_of(uint32_t four)
{
    uint64_t v = four;

    v = (v | v << 16) & UINT64_C(0x0000FFFF0000FFFF);
    v = (v | v << 8) & LOW_BYTES;
    return ((v >> 4 & LOW_HALVES) | (v & LOW_HALVES) << 8) + LETTERS_A;
}

static uint32_t four_of(uint64_t letters)
{
    uint64_t v = letters - LETTERS_A;

    v = ((v & LOW_HALVES) << 4 | (v >> 8 & LOW_HALVES)) & LOW_BYTES;
    v = (v | v >> 8) & UINT64_C(0x0000FFFF0000FFFF);
    return (uint32_t)(v | v >> 16);
}

void grpc_put_floats(struct buf *out, const float *v, size_t count)
{
    const uint8_t *from = (const uint8_t *)v;
    size_t letters = 2 * count * sizeof *v;
    uint8_t *to;

    if (!buf_reserve(out, letters + 2))
        return;
    to = out->data + out->bytes;
    *to++ = '"';
    for (size_t i = 0; i < count; i++) {
        uint64_t eight;
        uint32_t four;

        memcpy(&four, from + 4 * i, sizeof four);
        eight = letters_of(four);
        memcpy(to + 8 * i, &eight, sizeof eight);
    }
    to[letters] = '"';
    out->bytes += letters + 2;
}

void grpc_out_vector(struct grpc_out *o, uint32_t number, struct jval v)
{
    struct slice letters = jval_string(v);
    size_t count = letters.bytes / 8;
    uint8_t *to;

    wire_put_tag(o->out, number, WIRE_BYTES);
    buf_put_varint(o->out, 4 * count);
    if (!buf_reserve(o->out, 4 * count))
        return;
    to = o->out->data + o->out->bytes;
    for (size_t i = 0; i < count; i++) {
        uint64_t eight;
        uint32_t four;

        memcpy(&eight, letters.data + 8 * i, sizeof eight);
        four = four_of(eight);
        memcpy(to + 4 * i, &four, sizeof four);
    }
    o->out->bytes += 4 * count;
}
