/* path.h - where in a payload: "a.b", "a[].b", "a[3]", "\"odd.key\".x".
 *
 * Keys joined with '.'; `[]` is every element of an array, `[n]` one of them; a key with dots,
 * blanks or brackets stands in double quotes. A step that is not there yields no values. `a[]`
 * reaches the elements, `a` the array itself.
 *
 * Threads    a parsed path is constant.
 * Ownership  lives in the arena, keys included. */
#ifndef FILTER_PATH_H
#define FILTER_PATH_H

#include "base/arena.h"
#include "base/jbin.h"

enum { PATH_STEPS_MAX = 32, PATH_BYTES_MAX = 1024 };

enum path_step_kind { PATH_KEY, PATH_EACH, PATH_AT };
struct path_step {
    enum path_step_kind kind;
    struct slice key; /* PATH_KEY */
    uint32_t index;   /* PATH_AT; UINT32_MAX: beyond every array */
};
struct path {
    struct slice text; /* as it was written */
    uint32_t count;    /* at least 1 */
    struct path_step steps[];
};
/* ST_INVALID with what is wrong with it (empty, unbalanced quotes or brackets, over a limit),
 * ST_NOMEM. */
NODISCARD
status path_parse(struct slice text, struct arena *arena, const struct path **out, struct err *err);
/* Whether both lead to the same places, whatever their spelling. */
bool path_equal(const struct path *a, const struct path *b);

/* Calls fn for each value the path reaches below root, in order, until it returns false. Returns
 * false if fn did. A path that ends at an array gives the array itself. */
typedef bool path_value_fn(void *arg, const struct jbin_value *v);
bool path_each(const struct path *p, const struct jbin_value *root, path_value_fn *fn, void *arg);

#endif
