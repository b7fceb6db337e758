/* The dead rows of a cold segment: differences in the object, bits in RAM. */
#include "base/crc32c.h"
#include "base/mem.h"
#include "segment/cold.h"
#include "segment/frame.h"

#include <assert.h>
#include <inttypes.h>

enum { DEAD_BYTES_MAX = 1 << 30 }; /* a row takes one byte at the least, five at the most */
static const struct frame_kind KIND = {
    .name = "list of dead rows", .magic = "TVDR", .version = 1, .bytes_max = DEAD_BYTES_MAX};

static size_t words_of(uint32_t rows)
{
    return ((size_t)rows + 63) / 64;
}

status cold_dead_init(struct cold_dead *d, uint32_t rows, struct err *err)
{
    uint64_t *bits = mem_zero_array(words_of(rows), sizeof *bits);

    if (bits == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the dead rows of a cold segment");
    *d = (struct cold_dead){.rows = rows, .bits = bits};
    return ST_OK;
}

void cold_dead_free(struct cold_dead *d)
{
    mem_free(d->bits);
    *d = (struct cold_dead){0};
}

bool cold_dead_add(struct cold_dead *d, uint32_t ordinal)
{
    assert(ordinal < d->rows);
    if (cold_dead_has(d, ordinal))
        return false;
    d->bits[ordinal / 64] |= (uint64_t)1 << ordinal % 64;
    d->dead++;
    return true;
}

status cold_dead_encode(const struct cold_dead *d, const uint8_t collection[16],
                        const uint8_t segment[16], struct buf *out, struct err *err)
{
    uint32_t before = 0;
    size_t begin;

    if (d->dead == 0)
        return err_set(err, ST_INVALID, "a list of dead rows without one");
    begin = frame_begin(out, &KIND);
    buf_put(out, collection, 16);
    buf_put(out, segment, 16);
    buf_put_u32(out, d->rows);
    buf_put_u32(out, d->dead);
    for (size_t word = 0; word < words_of(d->rows); word++)
        for (uint64_t left = d->bits[word]; left != 0; left &= left - 1) {
            uint32_t ordinal = (uint32_t)(word * 64 + (size_t)__builtin_ctzll(left));

            buf_put_varint(out, ordinal - before);
            before = ordinal;
        }
    return frame_end(out, begin, &KIND, err);
}

static status dead_read(struct rd *r, struct cold_dead *d, uint32_t count, struct err *err)
{
    uint64_t ordinal = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t step = rd_varint(r);

        if (r->bad || (step == 0 && i > 0) || step >= d->rows || ordinal + step >= d->rows)
            return err_set(err, ST_CORRUPT, "dead row %" PRIu32 " of %" PRIu32 " is out of range",
                           i, count);
        ordinal += step;
        (void)cold_dead_add(d, (uint32_t)ordinal);
    }
    if (rd_left(r) > 0)
        return err_set(err, ST_CORRUPT, "bytes follow the last dead row");
    return ST_OK;
}

status cold_dead_decode(struct slice bytes, const uint8_t collection[16],
                        const struct manifest_cold *named, struct cold_dead *out, struct err *err)
{
    uint8_t ids[2][16] = {{0}};
    struct cold_dead d;
    uint32_t rows, dead;
    struct rd r;
    status st = frame_open(bytes, &KIND, &r, err);

    if (st != ST_OK)
        return st;
    frame_rd_id(&r, ids[0]);
    frame_rd_id(&r, ids[1]);
    rows = rd_u32(&r);
    dead = rd_u32(&r);
    if (r.bad || memcmp(ids[0], collection, 16) != 0 ||
        memcmp(ids[1], named->object.uuid, 16) != 0 || rows != named->rows ||
        dead != named->dead_rows || dead == 0 || bytes.bytes != named->dead.bytes ||
        crc32c(0, bytes.data, bytes.bytes) != named->dead.crc)
        return err_set(err, ST_CORRUPT,
                       "a list of %" PRIu32 " dead rows of %" PRIu32 " is not the one meant", dead,
                       rows);
    if (dead > rd_left(&r))
        return err_set(err, ST_CORRUPT, "a list of dead rows is cut short");
    st = cold_dead_init(&d, rows, err);
    if (st != ST_OK)
        return st;
    st = dead_read(&r, &d, dead, err);
    if (st != ST_OK) {
        cold_dead_free(&d);
        return st;
    }
    *out = d;
    return ST_OK;
}
