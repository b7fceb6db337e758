/* payload.h - changing a payload by paths, and printing a part of it.
 *
 * Threads    any.
 * Ownership  results are appended to the caller's buf; a payload in and out is a whole blob
 *            (docs/formats/payload.md), an empty one stands for {}. A buf that failed sticks. */
#ifndef FILTER_PAYLOAD_H
#define FILTER_PAYLOAD_H

#include "filter/path.h"

/* Top-level members of `patch` overwrite those of `payload`. With `at`, the merge happens in the
 * object at that path: objects are made on the way, `[]` and `[n]` touch existing elements only, a
 * value at the end that is not an object is replaced. */
void payload_merge(struct buf *out, struct slice payload, struct slice patch,
                   const struct path *at);
/* Takes out what the paths lead to; what is not there is fine. */
void payload_delete(struct buf *out, struct slice payload, const struct path *const *keys,
                    size_t count);

enum payload_part { PAYLOAD_NONE, PAYLOAD_WHOLE, PAYLOAD_INCLUDE, PAYLOAD_EXCLUDE };
struct payload_selection {
    enum payload_part part;
    const struct path *const *paths;
    size_t count;
};
/* JSON text of the selected part: {} when nothing is left; `null` for PAYLOAD_NONE. Include keeps
 * the structure around the chosen parts. */
void payload_print(struct buf *out, struct slice payload, const struct payload_selection *what);

#endif
