/* Roaring's portable form, written and read by hand: a reader of foreign bytes has every bound
 * before its eyes, and both ends want plain bits. Ordinals that share their upper 16 bits are one
 * container: sorted u16 up to 4,096 of them, else 65,536 bits; run containers are read, as others
 * may write them, and not written. */
#include "segment/dead_rows.h"

#include "base/bits.h"
#include "segment/frame.h"

#include <inttypes.h>

enum {
    COOKIE_PLAIN = 12346, /* u32, then u32 containers */
    COOKIE_RUNS = 12347,  /* u16, then u16 containers - 1, then a bit each: it is of runs */
    ARRAY_MAX = 4096,
    CONTAINER_ROWS = 65536,
    CONTAINER_WORDS = CONTAINER_ROWS / 64,
    CONTAINERS_MAX = 65536,
    NO_OFFSETS_BELOW = 4, /* containers, where there are runs */
};
static const struct frame_kind KIND = {
    .name = "dead rows", .magic = "TVDR", .version = 1, .bytes_max = DEAD_ROWS_BYTES_MAX};

struct container_bits { /* of one container; words behind the last row are not there */
    const uint64_t *words;
    size_t count;
};

static struct container_bits container_of(const uint64_t *bits, uint32_t rows, uint32_t key)
{
    size_t first = (size_t)key * CONTAINER_WORDS;
    size_t left = dead_rows_words(rows) - first;

    return (struct container_bits){bits + first, left < CONTAINER_WORDS ? left : CONTAINER_WORDS};
}

static uint32_t count_of(struct container_bits c)
{
    uint32_t count = 0;

    for (size_t i = 0; i < c.count; i++)
        count += bits_in_word(c.words[i]);
    return count;
}

static uint32_t containers_of(uint32_t rows)
{
    return (uint32_t)(((uint64_t)rows + CONTAINER_ROWS - 1) / CONTAINER_ROWS);
}

static void put_container(struct buf *out, struct container_bits c, uint32_t count)
{
    for (size_t i = 0; i < c.count; i++) {
        if (count > ARRAY_MAX)
            buf_put_u64(out, c.words[i]);
        for (uint64_t left = count > ARRAY_MAX ? 0 : c.words[i]; left != 0; left &= left - 1)
            buf_put_u16(out, (uint16_t)(i * 64 + (size_t)__builtin_ctzll(left)));
    }
    if (count > ARRAY_MAX)
        buf_put_zeros(out, (CONTAINER_WORDS - c.count) * 8);
}

static void put_roaring(struct buf *out, uint32_t rows, const uint64_t *bits)
{
    uint32_t containers = 0, offset;

    for (uint32_t key = 0; key < containers_of(rows); key++)
        containers += count_of(container_of(bits, rows, key)) > 0;
    buf_put_u32(out, COOKIE_PLAIN);
    buf_put_u32(out, containers);
    for (uint32_t key = 0; key < containers_of(rows); key++) {
        uint32_t count = count_of(container_of(bits, rows, key));

        if (count == 0)
            continue;
        buf_put_u16(out, (uint16_t)key);
        buf_put_u16(out, (uint16_t)(count - 1));
    }
    offset = 8 + 8 * containers;
    for (uint32_t key = 0; key < containers_of(rows); key++) {
        uint32_t count = count_of(container_of(bits, rows, key));

        if (count == 0)
            continue;
        buf_put_u32(out, offset);
        offset += count > ARRAY_MAX ? CONTAINER_ROWS / 8 : 2 * count;
    }
    for (uint32_t key = 0; key < containers_of(rows); key++) {
        struct container_bits c = container_of(bits, rows, key);
        uint32_t count = count_of(c);

        if (count > 0)
            put_container(out, c, count);
    }
}

static bool beyond_the_last(uint32_t rows, const uint64_t *bits)
{
    return rows % 64 != 0 && bits[rows / 64] >> (rows % 64) != 0;
}

status dead_rows_encode(const uint8_t collection[16], const uint8_t segment[16], uint32_t rows,
                        const uint64_t *bits, struct buf *out, struct err *err)
{
    uint64_t dead = 0;
    size_t begin, length_at;

    for (size_t i = 0; i < dead_rows_words(rows); i++)
        dead += bits_in_word(bits[i]);
    if (dead == 0 || beyond_the_last(rows, bits))
        return err_set(err, ST_INVALID, "dead rows: %" PRIu64 " of %" PRIu32, dead, rows);
    begin = frame_begin(out, &KIND);
    buf_put(out, collection, 16);
    buf_put(out, segment, 16);
    buf_put_u32(out, rows);
    buf_put_u32(out, (uint32_t)dead);
    length_at = out->bytes;
    buf_put_u32(out, 0);
    put_roaring(out, rows, bits);
    if (!out->failed)
        buf_set_u32(out, length_at, (uint32_t)(out->bytes - length_at - 4));
    frame_put_no_extensions(out);
    return frame_end(out, begin, &KIND, err);
}

/* --- reading --- */

struct roaring_reader {
    struct rd r;
    uint32_t rows;
    uint64_t *bits;
    uint64_t dead;
    const uint8_t *runs; /* a bit a container; NULL: none is of runs */
};

/* Rising, and of rows that there are. */
static bool set_row(struct roaring_reader *d, uint32_t key, uint32_t low, int64_t *last)
{
    uint64_t row = (uint64_t)key * CONTAINER_ROWS + low;

    if (row >= d->rows || (int64_t)row <= *last)
        return false;
    bits_set(d->bits, (uint32_t)row);
    d->dead++;
    *last = (int64_t)row;
    return true;
}

static bool read_array(struct roaring_reader *d, uint32_t key, uint32_t count)
{
    struct rd values = rd_make(rd_bytes(&d->r, (size_t)count * 2));
    int64_t last = (int64_t)key * CONTAINER_ROWS - 1;

    while (!d->r.bad && rd_left(&values) > 0)
        if (!set_row(d, key, rd_u16(&values), &last))
            return false;
    return !d->r.bad;
}

static bool read_bits(struct roaring_reader *d, uint32_t key, uint32_t count)
{
    struct rd words = rd_make(rd_bytes(&d->r, CONTAINER_ROWS / 8));
    int64_t last = (int64_t)key * CONTAINER_ROWS - 1;
    uint64_t before = d->dead;

    for (uint32_t i = 0; !d->r.bad && i < CONTAINER_WORDS; i++)
        for (uint64_t left = rd_u64(&words); left != 0; left &= left - 1)
            if (!set_row(d, key, i * 64 + (uint32_t)__builtin_ctzll(left), &last))
                return false;
    return !d->r.bad && d->dead - before == count;
}

static bool read_runs(struct roaring_reader *d, uint32_t key, uint32_t count)
{
    uint32_t runs = rd_u16(&d->r);
    int64_t last = (int64_t)key * CONTAINER_ROWS - 1;
    uint64_t before = d->dead;

    for (uint32_t i = 0; !d->r.bad && i < runs; i++) {
        uint32_t first = rd_u16(&d->r);
        uint32_t more = rd_u16(&d->r);

        for (uint32_t at = 0; !d->r.bad && at <= more; at++)
            if (first + at >= CONTAINER_ROWS || !set_row(d, key, first + at, &last))
                return false;
    }
    return !d->r.bad && d->dead - before == count;
}

static bool read_container(struct roaring_reader *d, uint32_t index, uint32_t key, uint32_t count)
{
    if (d->runs != NULL && (d->runs[index / 8] >> (index % 8) & 1) != 0)
        return read_runs(d, key, count);
    return count > ARRAY_MAX ? read_bits(d, key, count) : read_array(d, key, count);
}

static bool read_roaring(struct roaring_reader *d)
{
    uint32_t cookie = rd_u32(&d->r), containers;
    int64_t last_key = -1;
    struct rd keys;

    if ((cookie & 0xFFFF) == COOKIE_RUNS) {
        containers = (cookie >> 16) + 1;
        d->runs = rd_bytes(&d->r, (containers + 7) / 8).data;
    } else {
        containers = rd_u32(&d->r);
        if (cookie != COOKIE_PLAIN || containers > CONTAINERS_MAX)
            return false;
    }
    keys = rd_make(rd_bytes(&d->r, (size_t)containers * 4));
    if (d->runs == NULL || containers >= NO_OFFSETS_BELOW)
        rd_skip(&d->r, (size_t)containers * 4);
    for (uint32_t i = 0; !d->r.bad && i < containers; i++) {
        uint32_t key = rd_u16(&keys);
        uint32_t count = (uint32_t)rd_u16(&keys) + 1;

        if ((int64_t)key <= last_key || !read_container(d, i, key, count))
            return false;
        last_key = key;
    }
    return !d->r.bad && rd_left(&d->r) == 0;
}

status dead_rows_decode(struct slice bytes, const uint8_t collection[16], const uint8_t segment[16],
                        uint32_t rows, uint64_t *bits, uint32_t *dead, struct err *err)
{
    struct roaring_reader d = {.rows = rows, .bits = bits};
    uint8_t owner[16] = {0}, of[16] = {0};
    uint32_t said_rows, said_dead;
    struct rd r;
    status st = frame_open(bytes, &KIND, &r, err);

    if (st != ST_OK)
        return st;
    frame_rd_id(&r, owner);
    frame_rd_id(&r, of);
    said_rows = rd_u32(&r);
    said_dead = rd_u32(&r);
    d.r = rd_make(rd_bytes(&r, rd_u32(&r)));
    if (r.bad)
        return err_set(err, ST_CORRUPT, "dead rows: cut short");
    if (memcmp(owner, collection, 16) != 0 || memcmp(of, segment, 16) != 0 || said_rows != rows)
        return err_set(err, ST_CORRUPT, "dead rows: of another segment");
    if (!read_roaring(&d) || d.dead != said_dead || said_dead == 0)
        return err_set(err, ST_CORRUPT, "dead rows: the set is damaged");
    st = frame_skip_extensions(&r, &KIND, err);
    if (st == ST_OK)
        *dead = said_dead;
    return st;
}
