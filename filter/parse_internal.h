/* parse_internal.h - what the parsers of both dialects share: saying where something is wrong,
 * reading members, making nodes. Everything made lives in the parser's arena. */
#ifndef FILTER_PARSE_INTERNAL_H
#define FILTER_PARSE_INTERNAL_H

#include "filter/numbers.h"

struct parser {
    struct arena *arena;
    struct err *err;
    bool string_ids;
    uint32_t depth;
    uint32_t conditions;
};

/* Where a value stands in the request: a chain on the stack, from the inside out. */
struct place {
    const struct place *up; /* NULL: the filter itself */
    struct slice name;      /* of a member; empty and NULL: an element */
    size_t index;
};
struct place place_of(const struct place *up, const char *name);
struct place place_of_key(const struct place *up, struct slice name);
struct place place_at(const struct place *up, size_t index);
/* err says "filter.must[2].range.lt: " and the text. */
status parse_refuse(struct parser *p, const struct place *at, status code, const char *format, ...)
    PRINTF_LIKE(4, 5);
/* "... is needed, not a string" */
status parse_needs(struct parser *p, const struct place *at, const char *what, struct jval v);
status parse_nomem(struct parser *p);

struct member {
    const char *name;
    struct jval value;
    bool there; /* null is not */
};
/* Of doubled members the last counts. ST_INVALID: v is no object, or has a member of another name
 * (with a value); what: "a filter", for the text. */
NODISCARD
status parse_members(struct parser *p, const struct place *at, struct jval v, const char *what,
                     struct member *members, size_t count);

/* One more condition, and one level deeper. */
NODISCARD
status parse_count(struct parser *p, const struct place *at);
NODISCARD
status parse_enter(struct parser *p, const struct place *at);
void parse_leave(struct parser *p);

NODISCARD
status parse_node(struct parser *p, enum filter_kind kind, const struct path *path,
                  struct filter **out);
struct nodes {
    struct filter **items;
    size_t count, capacity;
};
NODISCARD
status nodes_add(struct parser *p, struct nodes *list, struct filter *f);
/* FILTER_AND or FILTER_OR, or less where less says the same. */
NODISCARD
status parse_group(struct parser *p, enum filter_kind kind, const struct nodes *list,
                   struct filter **out);
NODISCARD
status parse_not(struct parser *p, struct filter *f, struct filter **out);

NODISCARD
status parse_path(struct parser *p, const struct place *at, struct jval v, const struct path **out);
NODISCARD
status parse_path_text(struct parser *p, const struct place *at, struct slice text,
                       const struct path **out);
NODISCARD
status parse_flag(struct parser *p, const struct place *at, struct jval v, bool *out);
NODISCARD
status parse_string(struct parser *p, const struct place *at, struct jval v, struct slice *out);

/* FILTER_ANY_OF or FILTER_EXCEPT of the elements of a list. loose: floats and null too. */
NODISCARD
status parse_list(struct parser *p, const struct place *at, enum filter_kind kind,
                  const struct path *path, struct jval list, bool loose, struct filter **out);
NODISCARD
status parse_one_value(struct parser *p, const struct place *at, const struct path *path,
                       struct jval v, bool loose, struct filter **out);

/* parse_bounds.c: FILTER_RANGE or FILTER_DATETIME, whichever the bounds are, and FILTER_COUNT. A
 * bound that is not there is not asked. */
enum { BOUND_LT, BOUND_LTE, BOUND_GT, BOUND_GTE, BOUND_NAMES };
NODISCARD
status parse_range(struct parser *p, const struct place *at, const struct path *path,
                   const struct member bounds[BOUND_NAMES], struct filter **out);
NODISCARD
status parse_value_counts(struct parser *p, const struct place *at, const struct path *path,
                          const struct member bounds[BOUND_NAMES], struct filter **out);

/* parse_geo.c */
NODISCARD
status parse_geo_box(struct parser *p, const struct place *at, const struct path *path,
                     struct jval v, struct filter **out);
NODISCARD
status parse_geo_radius(struct parser *p, const struct place *at, const struct path *path,
                        struct jval v, struct filter **out);
NODISCARD
status parse_geo_polygon(struct parser *p, const struct place *at, const struct path *path,
                         struct jval v, struct filter **out);

/* parse_match.c */
NODISCARD
status parse_match(struct parser *p, const struct place *at, const struct path *path, struct jval v,
                   struct filter **out);
NODISCARD
status parse_has_id(struct parser *p, const struct place *at, struct jval v, struct filter **out);
NODISCARD
status parse_has_vector(struct parser *p, const struct place *at, struct jval v,
                        struct filter **out);

/* parse_qdrant.c: below `at`, for the member "qdrant" of ours. */
NODISCARD
status parse_compatible(struct parser *p, const struct place *at, struct jval v,
                        struct filter **out);

#endif
