/* frame.h - what catalog, root, manifest, pin and meta/format have in common: a header that makes
 * any damage known, and at the end room for what later versions add.
 *
 * Threads    none of it is shared.
 * On disk    docs/formats/frame.md. */
#ifndef SEGMENT_FRAME_H
#define SEGMENT_FRAME_H

#include "base/bytes.h"

struct frame_kind {
    const char *name; /* in texts: "root" */
    char magic[5];    /* 4 bytes and a NUL */
    uint16_t version; /* written, and the newest that is read */
    uint32_t bytes_max;
};
enum { FRAME_HEADER_BYTES = 16 };

/* Appends the header; returns where it begins, for frame_end(). */
size_t frame_begin(struct buf *out, const struct frame_kind *kind);
/* Length and crc. ST_NOSPACE over bytes_max or the buf's bound, ST_NOMEM. */
NODISCARD
status frame_end(struct buf *out, size_t begin, const struct frame_kind *kind, struct err *err);
/* ST_CORRUPT, ST_UNSUPPORTED (a newer version); *body reads what follows the header. */
NODISCARD
status frame_open(struct slice bytes, const struct frame_kind *kind, struct rd *body,
                  struct err *err);

/* Of an object that frame_open() took. */
uint16_t frame_version(struct slice bytes);

/* The block for what came later than version 1: an empty one, or those of the list that have
 * content, tags rising. */
struct frame_extension {
    uint16_t tag;
    struct slice content;
};
void frame_put_no_extensions(struct buf *out);
void frame_put_extensions(struct buf *out, const struct frame_extension *list, size_t count);
/* Skips fields that may be skipped; they must end where the object does. ST_UNSUPPORTED for one
 * that may not. */
NODISCARD
status frame_skip_extensions(struct rd *body, const struct frame_kind *kind, struct err *err);
/* The same, and hands over the content of those whose tags are wanted: empty where there is none.
 */
NODISCARD
status frame_find_extensions(struct rd *body, const struct frame_kind *kind,
                             struct frame_extension *wanted, size_t count, struct err *err);

void frame_put_text(struct buf *out, const char *text); /* u16 bytes, then they */
void frame_rd_id(struct rd *r, uint8_t out[16]);        /* unchanged if it is cut short */
/* A text into `capacity` bytes, NUL included; r->bad if it is longer or holds a NUL. */
void frame_rd_text(struct rd *r, char *out, size_t capacity);

#endif
