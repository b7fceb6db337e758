/* filter.h - one syntax tree of conditions on a document, behind both dialects.
 *
 * What each condition means is fixed by docs/filters.md (missing keys, null, arrays, types that
 * never mix). A filter is parsed once, bound to a collection, and then asked of rows.
 *
 * Threads    a bound filter is constant: any number of threads may ask it.
 * Ownership  lives in the arena; texts are copied into it.
 * Limits     FILTER_DEPTH_MAX levels, FILTER_CONDITIONS_MAX conditions: ST_INVALID beyond. */
#ifndef FILTER_FILTER_H
#define FILTER_FILTER_H

#include "base/docid.h"
#include "filter/path.h"

enum { FILTER_DEPTH_MAX = 64, FILTER_CONDITIONS_MAX = 10000, FILTER_TEXT_WORDS_MAX = 1024 };

enum filter_kind {
    FILTER_ALL, /* matches every row */
    FILTER_NONE,
    FILTER_AND, /* children */
    FILTER_OR,
    FILTER_NOT,      /* one child */
    FILTER_AT_LEAST, /* min_count of the children */
    FILTER_ANY_OF,   /* match.value, match.any: a value is one of `values` */
    FILTER_EXCEPT,   /* a value is there, is not null, and is none of `values` */
    FILTER_TEXT,     /* all words of `words` */
    FILTER_TEXT_ANY, /* one of them */
    FILTER_PHRASE,   /* adjacent, in order */
    FILTER_PREFIX,   /* a string begins with `text` */
    FILTER_RANGE,    /* numbers */
    FILTER_DATETIME, /* times, as text in the payload */
    FILTER_GEO_BOX,
    FILTER_GEO_RADIUS,
    FILTER_GEO_POLYGON,
    FILTER_COUNT, /* values_count */
    FILTER_IS_EMPTY,
    FILTER_IS_NULL,
    FILTER_HAS_ID,
    FILTER_HAS_VECTOR,
    FILTER_NESTED, /* one child, asked of single elements of the array at `path` */
    FILTER_EXISTS, /* native $exists: the path reaches something */
};

/* For switches to which all kinds of a sort are one: those that stand for other filters, and those
 * that ask the row. */
#define FILTER_CASES_OF_GROUPS                                                                     \
    case FILTER_ALL:                                                                               \
    case FILTER_NONE:                                                                              \
    case FILTER_AND:                                                                               \
    case FILTER_OR:                                                                                \
    case FILTER_NOT:                                                                               \
    case FILTER_AT_LEAST
#define FILTER_CASES_OF_CONDITIONS                                                                 \
    case FILTER_ANY_OF:                                                                            \
    case FILTER_EXCEPT:                                                                            \
    case FILTER_TEXT:                                                                              \
    case FILTER_TEXT_ANY:                                                                          \
    case FILTER_PHRASE:                                                                            \
    case FILTER_PREFIX:                                                                            \
    case FILTER_RANGE:                                                                             \
    case FILTER_DATETIME:                                                                          \
    case FILTER_GEO_BOX:                                                                           \
    case FILTER_GEO_RADIUS:                                                                        \
    case FILTER_GEO_POLYGON:                                                                       \
    case FILTER_COUNT:                                                                             \
    case FILTER_IS_EMPTY:                                                                          \
    case FILTER_IS_NULL:                                                                           \
    case FILTER_HAS_ID:                                                                            \
    case FILTER_HAS_VECTOR:                                                                        \
    case FILTER_NESTED:                                                                            \
    case FILTER_EXISTS

/* A scalar a payload value is compared with. Integers and floats never equal each other unless
 * `loose` (the native dialect: 1 equals 1.0). */
struct filter_value {
    enum jbin_type type; /* BOOL, U64, I64, F64, STRING; NULL in the native dialect */
    bool boolean;
    uint64_t u64;
    int64_t i64;
    double f64;
    struct slice text;
};
enum filter_bound { BOUND_NONE, BOUND_OPEN, BOUND_CLOSED };
struct filter_point {
    double lat, lon;
};
struct filter_ring {
    const struct filter_point *points; /* first = last */
    size_t count;
};
/* How text is cut into words: the defaults, or what a text index says. */
struct filter_words {
    int tokenizer; /* enum filter_tokenizer of filter/words.h; 0: words */
    bool keep_case;
    uint32_t min_bytes, max_bytes; /* code points of a word; 0: no bound */
};
struct filter {
    enum filter_kind kind;
    const struct path *path; /* of conditions on a value */
    bool loose;
    struct filter **children;
    size_t child_count;
    uint64_t min_count;                /* FILTER_AT_LEAST */
    const struct filter_value *values; /* FILTER_ANY_OF, FILTER_EXCEPT: sorted, without doubles */
    size_t value_count;
    /* FILTER_TEXT, FILTER_TEXT_ANY: sorted, without doubles; FILTER_PHRASE: in order. As cut by the
     * bound settings, at most FILTER_TEXT_WORDS_MAX. */
    const struct slice *words;
    size_t word_count;
    const uint32_t *fallback; /* FILTER_PHRASE: Knuth, Morris and Pratt's */
    struct slice text;        /* FILTER_TEXT..., FILTER_PREFIX: as sent */
    struct filter_words cut;
    enum filter_bound lower, upper;            /* FILTER_RANGE, FILTER_DATETIME, FILTER_COUNT */
    double low, high;                          /* FILTER_RANGE */
    struct filter_value low_exact, high_exact; /* the same, with integers exact */
    int64_t low_ticks, high_ticks;             /* FILTER_DATETIME, of filter/datetime.h */
    uint64_t low_count, high_count;            /* FILTER_COUNT */
    struct filter_point center, corner;        /* radius: center. box: top left, bottom right */
    double radius_m;
    struct filter_ring exterior;
    const struct filter_ring *interiors;
    size_t interior_count;
    const struct docid *ids; /* FILTER_HAS_ID, sorted */
    size_t id_count;
    struct slice vector_name; /* FILTER_HAS_VECTOR */
    int vector_position;      /* bound; -1: the collection has none of that name */
};

/* The compatible dialect: {"must": ..}. v NULL-type or absent members: FILTER_ALL. ST_INVALID says
 * what and where; ST_LIMIT for a value out of its range (min_count below 1), which the compatible
 * door answers with 422. */
NODISCARD
status filter_parse_qdrant(struct jval v, bool string_ids, struct arena *arena, struct filter **out,
                           struct err *err);
/* Ours: {"category": "x", "price": {"$lt": 5}}, $and $or $not, or {"qdrant": {...}}. */
NODISCARD
status filter_parse_native(struct jval v, bool string_ids, struct arena *arena, struct filter **out,
                           struct err *err);
/* Gives the names of vectors their positions, and texts the settings of the index on their path.
 * Either callback may be NULL. words_of returns false where there is no text index. */
struct filter_binding {
    int (*vector_of)(void *arg, struct slice name); /* position or -1 */
    bool (*words_of)(void *arg, const struct path *path, struct filter_words *out);
    void *arg;
};
NODISCARD
status filter_bind(struct filter *f, const struct filter_binding *binding, struct arena *arena,
                   struct err *err);

struct filter_row {
    const struct docid *id;
    struct slice payload; /* checked blob; empty: {} */
    uint64_t vectors;     /* bit per field position: the row has one */
};
/* Never fails, never allocates. */
bool filter_match(const struct filter *f, const struct filter_row *row);
bool filter_is_all(const struct filter *f); /* true also for NULL */
/* About how many nanoseconds one filter_match() takes, for the planner. */
uint64_t filter_cost_ns(const struct filter *f);
/* The values a condition on a path looks at: those reached, an array at the end opened one level.
 * For payload indexes, so that they see exactly what filter_match() sees. */
bool filter_each_value(const struct path *path, const struct jbin_value *root, path_value_fn *fn,
                       void *arg);

#endif
