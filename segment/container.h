/* container.h - the one file shape of groups, segments and images: a header, units of bytes, a
 * section table, a trailer.
 *
 * A section is a run of units of at most CONTAINER_UNIT_BYTES_MAX payload; each unit carries
 * {length, flags, key id, crc32c} and room for an authentication tag, so it can be fetched, checked
 * and (later) decrypted alone. Sections are numbered by what they hold (enum in the user's header);
 * a reader skips unknown optional sections and refuses unknown required ones.
 *
 * Threads    a writer and a reader belong to one thread.
 * Ownership  the writer streams through `sink`; the reader reads through `source`; both borrowed.
 * On disk    docs/formats/container.md, version 1.
 * Failure    any flipped bit or cut is ST_CORRUPT with section, unit and offset. */
#ifndef SEGMENT_CONTAINER_H
#define SEGMENT_CONTAINER_H

#include "base/bytes.h"

enum {
    CONTAINER_UNIT_BYTES = 128 * 1024, /* what a writer aims at */
    CONTAINER_UNIT_BYTES_MAX = 256 * 1024,
    CONTAINER_SECTIONS_MAX = 256,
    CONTAINER_UNIT_HEADER_BYTES = 28,
    CONTAINER_HEADER_BYTES = 32,
};
enum container_kind { /* on disk, never renumbered */
                      CONTAINER_GROUP = 1,
                      CONTAINER_SEGMENT = 2,
                      CONTAINER_IMAGE = 3,
                      CONTAINER_ROWS = 4, /* a row block of a local checkpoint */
                      CONTAINER_COLD = 5, /* a cold segment: its header has a salt, its sections may
                                           * be framed by their own */
};
enum {                                 /* section flags */
       CONTAINER_SECTION_OPTIONAL = 1, /* a reader that does not know it may skip it */
       CONTAINER_SECTION_FRAMED = 2,   /* items with checksums of their own instead of units */
};

struct container_sink {
    status (*write)(struct container_sink *sink, struct slice bytes, struct err *err);
};
struct container_source { /* random access */
    status (*read)(struct container_source *source, uint64_t offset, void *out, size_t bytes,
                   struct err *err);
    uint64_t bytes;
};

struct container_writer;
NODISCARD
status container_create(struct container_sink *sink, enum container_kind kind,
                        const uint8_t owner_id[16], struct container_writer **out, struct err *err);
/* As container_create() for CONTAINER_COLD. */
NODISCARD
status container_create_cold(struct container_sink *sink, const uint8_t owner_id[16], uint32_t salt,
                             struct container_writer **out, struct err *err);
/* What runs into every checksum. */
uint32_t container_cold_header_crc(const uint8_t owner_id[16], uint32_t salt);
/* Of an item of a framed section: `before` and `after` are its bytes around the checksum. */
uint32_t container_item_crc(uint32_t header_crc, uint16_t section, uint32_t number,
                            struct slice before, struct slice after);
/* Sections come one after the other; bytes are cut into units as they come. `cut` ends the unit
 * here, so that what follows begins a new one (units hold whole items where the user cuts so). */
NODISCARD
status container_section(struct container_writer *w, uint16_t section, uint16_t flags,
                         struct err *err);
NODISCARD
status container_write(struct container_writer *w, struct slice bytes, struct err *err);
NODISCARD
status container_cut(struct container_writer *w, struct err *err);
/* Of a framed section: one whole item, whose checksum is as said. */
NODISCARD
status container_item(struct container_writer *w, struct slice item, uint32_t checksum,
                      struct err *err);
uint64_t container_offset(const struct container_writer *w); /* bytes so far */
/* Section table and trailer. *bytes: the whole size; *crc: the trailer's, which through the table
 * stands for every byte of the file (container_crc() of the file when it is opened again). */
NODISCARD
status container_finish(struct container_writer *w, uint64_t *bytes, uint32_t *crc,
                        struct err *err);
void container_writer_destroy(struct container_writer *w);

struct container;
NODISCARD
status container_open(struct container_source *source, enum container_kind kind,
                      const uint8_t owner_id[16], struct container **out, struct err *err);
void container_close(struct container *c);
struct container_section_info {
    uint16_t section;
    uint16_t flags;
    uint32_t units; /* framed: items */
    uint64_t bytes; /* payload, without unit headers */
    uint64_t offset;
    uint32_t crc; /* of all unit headers; framed: of all checksums */
};
uint32_t container_crc(const struct container *c);
uint32_t container_salt(const struct container *c);
uint32_t container_header_crc(const struct container *c);
/* ST_UNSUPPORTED if there is a section that is neither in `known` nor optional. */
NODISCARD
status container_check_sections(const struct container *c, const uint16_t *known, size_t count,
                                struct err *err);
/* ST_NOT_FOUND if there is none. */
NODISCARD
status container_find(const struct container *c, uint16_t section,
                      struct container_section_info *out, struct err *err);
size_t container_section_count(const struct container *c);
void container_section_at(const struct container *c, size_t index,
                          struct container_section_info *out);
/* Reads a section in order (not a framed one: that is read by its own rules): each call gives the
 * next unit's payload (checked), borrowed until the next call on the container; ST_NOT_FOUND after
 * the last (without a text: the end of a loop). */
struct container_cursor {
    struct container *container;
    size_t index;
    uint32_t unit;
    uint64_t offset;
    uint32_t headers_crc;
};
NODISCARD
status container_seek(struct container *c, uint16_t section, struct container_cursor *out,
                      struct err *err);
NODISCARD
status container_next(struct container_cursor *cursor, struct slice *payload, struct err *err);

/* Reads a section as one run of bytes. One stream (or cursor) a container at a time. */
struct container_stream {
    struct container_cursor cursor;
    struct slice unit;    /* what is left of the current one */
    struct buf assembled; /* what ran over from one unit to the next */
    uint64_t left;        /* payload bytes not taken yet */
};
/* ST_NOT_FOUND if there is no such section. */
NODISCARD
status container_stream_open(struct container *c, uint16_t section, struct container_stream *out,
                             struct err *err);
void container_stream_close(struct container_stream *s); /* fine on a zeroed one */
/* The next `bytes` in one piece, borrowed until the next call. ST_CORRUPT if the section has fewer;
 * nothing is allocated for bytes that are not there. */
NODISCARD
status container_stream_take(struct container_stream *s, size_t bytes, struct slice *out,
                             struct err *err);
uint64_t container_stream_left(const struct container_stream *s);
/* To be called when all was taken: checks that it was, and the section's own checksum. */
NODISCARD
status container_stream_end(struct container_stream *s, struct err *err);

#endif
