/* cold_source.h - a cold segment opened for a reader that wants all of it, past any cache: merging,
 * resolving, restoring, verify.
 *
 * Threads    none of it is shared.
 * Ownership  cold_source_close() frees what it holds; fine on a zeroed one.
 * Memory     the footer, a bit a row where there are dead ones.
 * Failure    answers are repeated by their class (ask.h), wrong bytes are asked for once more over
 *            another connection. ST_CORRUPT names the object, be it damaged or missing. */
#ifndef SNAPSHOT_COLD_SOURCE_H
#define SNAPSHOT_COLD_SOURCE_H

#include "segment/cold.h"
#include "segment/objkey.h"
#include "snapshot/ask.h"
#include "snapshot/fetch.h"

struct cold_source {
    struct ask ask;
    uint8_t collection[16];
    char key[OBJKEY_BYTES];
    const struct manifest_cold *named; /* borrowed */
    struct buf footer_bytes;
    struct cold_footer footer;
    struct cold_dead dead; /* bits NULL: none is */
    uint64_t bytes, requests;
};
/* Footer and dead rows. *out is to be closed whatever came. */
NODISCARD
status cold_source_open(const struct ask *ask, const uint8_t collection[16],
                        const struct manifest_cold *named, struct cold_source *out,
                        struct err *err);
void cold_source_close(struct cold_source *s);
static inline bool cold_source_dead(const struct cold_source *s, uint32_t ordinal)
{
    return s->dead.bits != NULL && cold_dead_has(&s->dead, ordinal);
}

typedef status cold_check_fn(void *arg, struct slice bytes, struct err *err);
/* [offset, offset + bytes) of the object; tries: how often wrong bytes are asked for in all. */
NODISCARD
status cold_source_get(struct cold_source *s, uint64_t offset, uint64_t bytes, unsigned tries,
                       cold_check_fn *check, void *arg, struct buf *out, struct err *err);
/* An item of fetch.h for such a part. */
void cold_source_item(const struct cold_source *s, uint64_t offset, uint64_t bytes,
                      struct fetch_item *out);
/* The next item of `f`, which is [offset, offset + bytes): wrong bytes are asked for once more. */
NODISCARD
status cold_source_take(struct cold_source *s, struct fetch *f, uint64_t offset, uint64_t bytes,
                        cold_check_fn *check, void *arg, struct buf *out, struct err *err);

#endif
