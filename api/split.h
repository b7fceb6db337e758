/* split.h - the elements of a large body's list one after the other, so that the whole of it need
 * not be parsed in one piece.
 *
 * A body that begins `{"name":[` and ends `]}` is cut where its elements begin and end; only
 * strings and brackets are looked at. What lies between the cuts is for the JSON reader to judge:
 * if each element is one JSON object, the whole is JSON. Whatever has another shape is SPLIT_OTHER,
 * and must be parsed whole to be understood or refused.
 *
 * Threads    one at a time.
 * Ownership  the text is borrowed as long as the split is used. */
#ifndef API_SPLIT_H
#define API_SPLIT_H

#include "base/bytes.h"

struct split {
    struct slice text;
    size_t at;
    bool first; /* no element has come yet */
};

enum split_step { SPLIT_ELEMENT, SPLIT_END, SPLIT_OTHER };

/* False when the text does not begin so. */
bool split_begin(struct split *s, struct slice text, const char *name);
/* The next element, which begins with '{' and ends with '}'. */
enum split_step split_next(struct split *s, struct slice *element);

#endif
