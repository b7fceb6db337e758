/* qdrant_points_cut.h - walking the outline of a large body, so that its pieces can be parsed one
 * after the other.
 *
 * Only strings and brackets are looked at. A piece that begins with a bracket ends where JSON says
 * or does not parse: an object or an array cannot be a part of a longer one that begins at the same
 * byte. Whatever is not as expected gives false or CUT_OTHER, and the body must be parsed whole to
 * be understood or refused.
 *
 * Threads    one at a time.
 * Ownership  the text is borrowed as long as the walk goes on. */
#ifndef API_QDRANT_POINTS_CUT_H
#define API_QDRANT_POINTS_CUT_H

#include "base/bytes.h"

struct cut {
    struct slice text;
    size_t at;
};
struct cut_list { /* an array or an object that is open */
    bool object;
    bool begun; /* an item has come */
};

struct cut cut_make(struct slice text);
/* The next character that is no blank, '\0' at the end. */
char cut_peek(struct cut *c);
/* False when it is another one. */
bool cut_open(struct cut *c, struct cut_list *list, char bracket);

enum cut_step { CUT_ITEM, CUT_END, CUT_OTHER };
/* Moves in front of the next item's value; of an object's, *key is its name as it
 * stands there, without an escape, and for the caller to compare with what it knows.
 * At the end, behind the closing bracket. */
enum cut_step cut_next(struct cut *c, struct cut_list *list, struct slice *key);
/* The value here; moves behind it. */
bool cut_value(struct cut *c, struct slice *value);
/* Nothing but blanks is left. */
bool cut_at_end(struct cut *c);

#endif
