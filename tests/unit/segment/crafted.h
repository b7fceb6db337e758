/* crafted.h - containers whose checksums are right and whose sections say what a test wants.
 *
 * A test makes good parts, changes one of them, and expects the change to be found. */
#ifndef TESTS_SEGMENT_CRAFTED_H
#define TESTS_SEGMENT_CRAFTED_H

#include "segment/container_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

enum { CRAFTED_PARTS_MAX = 6 };

struct crafted_part {
    uint16_t section; /* 0: left out */
    uint16_t flags;
    struct buf bytes;
};
struct crafted {
    struct crafted_part parts[CRAFTED_PARTS_MAX];
    size_t count;
};

static inline struct buf *crafted_add(struct crafted *c, uint16_t section)
{
    struct crafted_part *p = &c->parts[c->count++];

    p->section = section;
    p->flags = 0;
    buf_init(&p->bytes, 1 << 20);
    return &p->bytes;
}

static inline void crafted_free(struct crafted *c)
{
    for (size_t i = 0; i < c->count; i++)
        buf_free(&c->parts[i].bytes);
}

/* buf_free() the result. */
static inline struct buf crafted_build(const struct crafted *c, enum container_kind kind,
                                       const uint8_t owner[16])
{
    struct container_memory_sink sink;
    struct container_writer *w;
    uint64_t bytes;
    uint32_t crc;

    container_memory_sink_init(&sink, 1 << 24);
    assert_int_equal(container_create(&sink.sink, kind, owner, &w, NULL), ST_OK);
    for (size_t i = 0; i < c->count; i++) {
        const struct crafted_part *p = &c->parts[i];

        if (p->section == 0)
            continue;
        assert_int_equal(container_section(w, p->section, p->flags, NULL), ST_OK);
        assert_int_equal(container_write(w, buf_slice(&p->bytes), NULL), ST_OK);
    }
    assert_int_equal(container_finish(w, &bytes, &crc, NULL), ST_OK);
    container_writer_destroy(w);
    return sink.bytes;
}

/* Makes room for one byte at `at`. */
static inline void crafted_insert(struct buf *b, size_t at, uint8_t byte)
{
    buf_put_u8(b, 0);
    assert_false(b->failed);
    memmove(b->data + at + 1, b->data + at, b->bytes - at - 1);
    b->data[at] = byte;
}

#endif
