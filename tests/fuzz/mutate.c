#include "tests/fuzz/mutate.h"

#include "segment/container_memory.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/seal.h"

#include <stdlib.h>

enum { SECTION_ROOM = 4096 };

size_t mutate_frame(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed,
                    const char magic[4])
{
    if (bytes < SEAL_FRAME_BYTES) { /* nothing yet: a header of version 1 */
        if (bytes_max < SEAL_FRAME_BYTES)
            return LLVMFuzzerMutate(data, bytes, bytes_max);
        memset(data, 0, SEAL_FRAME_BYTES);
        le_put_u16(data + 4, 1);
        bytes = SEAL_FRAME_BYTES;
    }
    if (seed % 32 == 1)
        bytes = LLVMFuzzerMutate(data, bytes, bytes_max);
    else
        bytes =
            SEAL_FRAME_BYTES + LLVMFuzzerMutate(data + SEAL_FRAME_BYTES, bytes - SEAL_FRAME_BYTES,
                                                bytes_max - SEAL_FRAME_BYTES);
    if (seed % 16 != 0 && bytes >= SEAL_FRAME_BYTES) {
        memcpy(data, magic, 4);
        seal_frame(data, bytes);
    }
    return bytes;
}

/* --- containers --- */

static size_t take_apart(struct slice bytes, enum container_kind kind,
                         struct mutate_section sections[MUTATE_SECTIONS_MAX])
{
    struct container_memory_source source;
    struct container *c;
    size_t count;

    if (bytes.bytes < SEAL_HEADER_BYTES + SEAL_TRAILER_BYTES)
        return 0;
    container_memory_source_init(&source, bytes);
    if (container_open(&source.source, kind, bytes.data + 8, &c, NULL) != ST_OK)
        return 0;
    count = container_section_count(c);
    for (size_t i = 0; i < count && i < MUTATE_SECTIONS_MAX; i++) {
        struct container_section_info info;
        struct container_cursor cursor;
        struct slice payload;
        status st;

        container_section_at(c, i, &info);
        sections[i] = (struct mutate_section){.section = info.section, .flags = info.flags};
        buf_init(&sections[i].bytes, 1 << 20);
        st = container_seek(c, info.section, &cursor, NULL);
        while (st == ST_OK) {
            st = container_next(&cursor, &payload, NULL);
            if (st == ST_OK)
                buf_put_slice(&sections[i].bytes, payload);
        }
    }
    container_close(c);
    return count < MUTATE_SECTIONS_MAX ? count : MUTATE_SECTIONS_MAX;
}

/* Units are cut at random where `cuts` is odd. 0: it does not fit. */
static size_t put_together(uint8_t *data, size_t bytes_max, enum container_kind kind,
                           const struct mutate_section *sections, size_t count, unsigned cuts)
{
    struct container_memory_sink sink;
    struct container_writer *w = NULL;
    uint8_t owner[16];
    uint64_t bytes = 0;
    uint32_t crc;
    status st;

    memcpy(owner, data + 8, sizeof owner);
    container_memory_sink_init(&sink, bytes_max);
    st = container_create(&sink.sink, kind, owner, &w, NULL);
    for (size_t i = 0; st == ST_OK && i < count; i++) {
        struct slice all = buf_slice(&sections[i].bytes);
        size_t first = cuts % 2 == 0 || all.bytes == 0 ? all.bytes : cuts % all.bytes;

        st = container_section(w, sections[i].section, sections[i].flags, NULL);
        if (st == ST_OK && first > 0)
            st = container_write(w, slice_make(all.data, first), NULL);
        if (st == ST_OK && first < all.bytes)
            st = container_cut(w, NULL);
        if (st == ST_OK && first < all.bytes)
            st = container_write(w, slice_make(all.data + first, all.bytes - first), NULL);
    }
    if (st == ST_OK)
        st = container_finish(w, &bytes, &crc, NULL);
    container_writer_destroy(w);
    if (st == ST_OK)
        memcpy(data, sink.bytes.data, sink.bytes.bytes);
    bytes = st == ST_OK ? sink.bytes.bytes : 0;
    buf_free(&sink.bytes);
    return (size_t)bytes;
}

static void change(struct mutate_section *s)
{
    size_t bytes = s->bytes.bytes;

    if (!buf_reserve(&s->bytes, SECTION_ROOM))
        return;
    if (bytes == 0)
        s->bytes.data[bytes++] = 0;
    s->bytes.bytes = LLVMFuzzerMutate(s->bytes.data, bytes, bytes + SECTION_ROOM);
}

static void rearrange(struct mutate_section *sections, size_t *count, unsigned random)
{
    size_t which = random / 8 % *count;
    struct mutate_section moved = sections[which];

    switch (random % 4) {
    case 0: /* left out */
        buf_free(&moved.bytes);
        memmove(sections + which, sections + which + 1, (*count - which - 1) * sizeof sections[0]);
        (*count)--;
        break;
    case 1:
        sections[which] = sections[0];
        sections[0] = moved;
        break;
    case 2:
        sections[which].flags ^= CONTAINER_SECTION_OPTIONAL;
        break;
    default:
        sections[which].section = (uint16_t)(random / 64 % 6);
        break;
    }
}

static bool doubled(const struct mutate_section *sections, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (sections[i].section == sections[j].section)
                return true;
    return false;
}

static size_t change_section(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed,
                             enum container_kind kind, mutate_mend_fn *mend)
{
    struct mutate_section sections[MUTATE_SECTIONS_MAX];
    size_t count = take_apart(slice_make(data, bytes), kind, sections);
    size_t now = 0;

    if (count > 0) {
        if (seed % 64 == 2)
            rearrange(sections, &count, seed / 64);
        else
            change(&sections[seed / 64 % count]);
        if (mend != NULL && seed % 8 != 7)
            mend(sections, count, data + 8);
        if (!doubled(sections, count))
            now =
                put_together(data, bytes_max, kind, sections, count, seed / 16 % 8 == 3 ? seed : 0);
    }
    for (size_t i = 0; i < count; i++)
        buf_free(&sections[i].bytes);
    return now;
}

size_t mutate_container(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed,
                        enum container_kind kind, mutate_mend_fn *mend)
{
    size_t now = seed % 16 < 2 ? 0 : change_section(data, bytes, bytes_max, seed, kind, mend);

    if (now > 0)
        return now;
    bytes = LLVMFuzzerMutate(data, bytes, bytes_max);
    if (seed % 16 != 0 && bytes >= SEAL_HEADER_BYTES + SEAL_TRAILER_BYTES)
        seal_container(data, bytes);
    return bytes;
}
