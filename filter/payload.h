/* payload.h - changing a payload by paths, and printing a part of it.
 *
 * Threads    any.
 * Ownership  results are appended to the caller's buf; a payload in and out is a whole blob
 *            (docs/formats/payload.md), an empty one stands for {}. What is written has passed
 *            jbin_check() if what was read had. A buf that failed sticks.
 * Limits     PAYLOAD_PATHS_MAX paths at once: time goes with their number times the members on
 *            their way, so doors refuse more. */
#ifndef FILTER_PAYLOAD_H
#define FILTER_PAYLOAD_H

#include "filter/path.h"

enum { PAYLOAD_PATHS_MAX = 1024 };

/* Top-level members of `patch`, an object, overwrite those of `payload`; null is a value like any
 * other. With `at`, the merge happens in the object at that path: objects are made on the way, in
 * the place of what is none; `[]` and `[n]` touch existing elements only, and nothing is made in
 * front of them; a value at the end that is not an object is replaced.
 * ST_INVALID: the result would be nested deeper than a payload may be, or patch is no object;
 * ST_NOSPACE, ST_NOMEM of the buf. Then out holds a part. */
NODISCARD
status payload_merge(struct buf *out, struct slice payload, struct slice patch,
                     const struct path *at, struct err *err);
/* Takes out what the paths lead to; what is not there is fine. All of them mean the payload as it
 * was: "a[0]" and "a[1]" are its first two elements. */
void payload_delete(struct buf *out, struct slice payload, const struct path *const *keys,
                    size_t count);

enum payload_part { PAYLOAD_NONE, PAYLOAD_WHOLE, PAYLOAD_INCLUDE, PAYLOAD_EXCLUDE };
struct payload_selection {
    enum payload_part part;
    const struct path *const *paths;
    size_t count;
};
/* JSON text of the selected part: {} when nothing is left; `null` for PAYLOAD_NONE. Include keeps
 * the structure around the chosen parts: of an object or array on the way of a path what is chosen,
 * {} or [] if that is nothing; a scalar on the way stays. Exclude is what payload_delete() leaves.
 */
void payload_print(struct buf *out, struct slice payload, const struct payload_selection *what);

#endif
