/* Metrics are kept by the text of their labels, written once as the exposition shows it: to look
 * one up is to write its labels and find the text. The lock guards which families and metrics
 * there are; their numbers are atomics that nobody locks. Sums of doubles are atomics of their
 * bits. All numbers are relaxed: they order nothing. */
#include "base/stats.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/json_internal.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>

enum {
    LABEL_VALUE_BYTES_MAX = 256, /* longer values are cut */
    LABELS_BYTES_MAX = 8192,     /* STATS_LABELS_MAX values, escaped, and their names */
    TABLE_FIRST = 8,
    METRIC_ALIGN = 64, /* counters of two threads share no cache line */
};

struct stats_metric {
    _Atomic uint64_t count; /* counter; what was added to an untyped */
    _Atomic uint64_t value; /* bits of a double: gauge, what another was set to, a sum */
    struct stats_family *family;
    char *labels; /* `a="x",b="y"`, owned */
    uint64_t hash;
    uint32_t holders;                   /* under the lock; 0 for one that nobody counts */
    struct stats_metric *chained;       /* same place of the table */
    struct stats_metric *older, *newer; /* in the order they were made */
    _Atomic uint64_t buckets[];         /* histogram: one a bound, and one for what is above */
};

struct stats_family {
    struct stats *stats;
    char *name;
    char *help;
    enum stats_type type;
    char *label_names[STATS_LABELS_MAX];
    size_t label_count;
    double *bounds;
    size_t bound_count;
    /* What there is no room for, and the one metric of a family without labels. */
    struct stats_metric *other;
    bool other_used;
    struct stats_metric **table;
    size_t table_size; /* a power of two */
    struct stats_metric *oldest, *newest;
    size_t metric_count; /* without `other` */
};

struct collector {
    stats_collect_fn *fn;
    void *arg;
};

struct stats {
    struct lock lock;               /* LOCK_RANK_STATS */
    struct stats_family **families; /* by name */
    size_t family_count;
    struct collector *collectors;
    size_t collector_count;
};

const double STATS_LATENCY_BUCKETS[] = {0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025,
                                        0.005,   0.01,   0.025,   0.05,   0.1,   0.25,
                                        0.5,     1,      2.5,     5,      10};
const size_t STATS_LATENCY_BUCKET_COUNT = COUNT_OF(STATS_LATENCY_BUCKETS);

static uint64_t bits_of(double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits)
{
    double v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

/* [a-zA-Z_:][a-zA-Z0-9_:]*, labels without the colon. */
static bool name_is_valid(const char *name, bool label)
{
    for (const char *p = name; *p != '\0'; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_' ||
                      (*p == ':' && !label);

        if (!letter && (p == name || *p < '0' || *p > '9'))
            return false;
    }
    return name[0] != '\0';
}

status stats_create(struct stats **out, struct err *err)
{
    struct stats *s = mem_zero(sizeof *s);

    if (s == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a stats registry");
    lock_init(&s->lock, LOCK_RANK_STATS, "stats");
    *out = s;
    return ST_OK;
}

static void metric_free(struct stats_metric *m)
{
    if (m != NULL)
        mem_free(m->labels);
    mem_free(m);
}

static void family_free(struct stats_family *f)
{
    if (f == NULL)
        return;
    for (struct stats_metric *m = f->oldest; m != NULL;) {
        struct stats_metric *newer = m->newer;

        metric_free(m);
        m = newer;
    }
    metric_free(f->other);
    for (size_t i = 0; i < f->label_count; i++)
        mem_free(f->label_names[i]);
    mem_free(f->table);
    mem_free(f->bounds);
    mem_free(f->help);
    mem_free(f->name);
    mem_free(f);
}

void stats_destroy(struct stats *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->family_count; i++)
        family_free(s->families[i]);
    mem_free(s->families);
    mem_free(s->collectors);
    lock_fini(&s->lock);
    mem_free(s);
}

/* Text format: in label values backslash, quote and newline are escaped, in help the quote is not.
 * What is not UTF-8 becomes U+FFFD. */
static void put_escaped(struct buf *b, const char *text, size_t bytes, bool quoted)
{
    for (size_t at = 0; at < bytes;) {
        size_t step = utf8_char((const uint8_t *)text + at, bytes - at);

        if (step == 0)
            buf_put_text(b, "\xEF\xBF\xBD");
        else if (text[at] == '\n')
            buf_put_text(b, "\\n");
        else if (text[at] == '\\' || (quoted && text[at] == '"'))
            buf_printf(b, "\\%c", text[at]);
        else
            buf_put(b, text + at, step);
        at += step == 0 ? 1 : step;
    }
}

static void put_labels(struct buf *b, const struct stats_family *f, const char *const *values)
{
    for (size_t i = 0; i < f->label_count; i++) {
        const char *value = values[i] == NULL ? "" : values[i];

        buf_printf(b, "%s%s=\"", i == 0 ? "" : ",", f->label_names[i]);
        put_escaped(b, value, strnlen(value, LABEL_VALUE_BYTES_MAX), true);
        buf_put_text(b, "\"");
    }
    buf_put_u8(b, '\0');
}

/* NULL when memory is out. */
static struct stats_metric *metric_make(struct stats_family *f, const char *labels)
{
    size_t buckets = f->type == STATS_HISTOGRAM ? f->bound_count + 1 : 0;
    size_t bytes = sizeof(struct stats_metric) + buckets * sizeof(_Atomic uint64_t);
    struct stats_metric *m = mem_aligned(METRIC_ALIGN, bytes);

    if (m == NULL)
        return NULL;
    memset(m, 0, bytes);
    m->family = f;
    m->labels = mem_strdup(labels);
    if (m->labels == NULL) {
        mem_free(m);
        return NULL;
    }
    m->hash = hash_bytes(labels, strlen(labels), 0);
    return m;
}

static bool family_fill(struct stats_family *f, const char *help, const char *const *labels,
                        const double *bounds, size_t bound_count)
{
    static const char *const others[STATS_LABELS_MAX] = {"other", "other", "other", "other"};
    struct buf text;

    f->help = mem_strdup(help);
    f->table = mem_zero_array(TABLE_FIRST, sizeof(struct stats_metric *));
    f->table_size = TABLE_FIRST;
    f->bounds = mem_alloc_array(bound_count, sizeof *bounds);
    if (f->help == NULL || f->table == NULL || f->bounds == NULL)
        return false;
    if (bound_count > 0)
        memcpy(f->bounds, bounds, bound_count * sizeof *bounds);
    f->bound_count = bound_count;
    for (; labels != NULL && labels[f->label_count] != NULL; f->label_count++) {
        assert(f->label_count < STATS_LABELS_MAX && name_is_valid(labels[f->label_count], true));
        f->label_names[f->label_count] = mem_strdup(labels[f->label_count]);
        if (f->label_names[f->label_count] == NULL)
            return false;
    }
    buf_init(&text, LABELS_BYTES_MAX);
    put_labels(&text, f, others);
    f->other = text.failed ? NULL : metric_make(f, (const char *)text.data);
    buf_free(&text);
    return f->other != NULL;
}

static struct stats_family *family_make(struct stats *s, const char *name, enum stats_type type,
                                        const char *help, const char *const *labels,
                                        const double *bounds, size_t bound_count)
{
    struct stats_family *f = mem_zero(sizeof *f);

    if (f == NULL)
        return NULL;
    f->stats = s;
    f->type = type;
    f->name = mem_strdup(name);
    if (f->name != NULL && family_fill(f, help, labels, bounds, bound_count))
        return f;
    family_free(f);
    return NULL;
}

/* Where it is, or where it belongs. */
static size_t family_place_locked(const struct stats *s, const char *name, bool *found)
{
    size_t low = 0;
    size_t high = s->family_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(s->families[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < s->family_count && strcmp(s->families[low]->name, name) == 0;
    return low;
}

static bool family_insert_locked(struct stats *s, struct stats_family *f, size_t at)
{
    struct stats_family **families =
        mem_resize(s->families, (s->family_count + 1) * sizeof *families);

    if (families == NULL)
        return false;
    memmove(families + at + 1, families + at, (s->family_count - at) * sizeof *families);
    families[at] = f;
    s->families = families;
    s->family_count++;
    return true;
}

struct stats_family *stats_family(struct stats *s, const char *name, enum stats_type type,
                                  const char *help, const char *const *labels,
                                  const double *buckets, size_t bucket_count)
{
    struct stats_family *f;
    bool found;
    size_t at;

    assert(name_is_valid(name, false));
    for (size_t i = 0; i + 1 < bucket_count; i++)
        assert(buckets[i] < buckets[i + 1]);
    lock_take(&s->lock);
    at = family_place_locked(s, name, &found);
    if (found) {
        f = s->families[at];
        assert(f->type == type);
    } else {
        f = family_make(s, name, type, help, labels, buckets, bucket_count);
        if (f != NULL && !family_insert_locked(s, f, at)) {
            family_free(f);
            f = NULL;
        }
    }
    lock_drop(&s->lock);
    return f;
}

static struct stats_metric **place_of(struct stats_family *f, uint64_t hash)
{
    return &f->table[hash & (f->table_size - 1)];
}

/* Doubles the table; without memory the chains grow instead. */
static void table_grow_locked(struct stats_family *f)
{
    struct stats_metric **table;

    if (f->metric_count < f->table_size)
        return;
    table = mem_zero_array(2 * f->table_size, sizeof(struct stats_metric *));
    if (table == NULL)
        return;
    mem_free(f->table);
    f->table = table;
    f->table_size *= 2;
    for (struct stats_metric *m = f->oldest; m != NULL; m = m->newer) {
        m->chained = *place_of(f, m->hash);
        *place_of(f, m->hash) = m;
    }
}

static struct stats_metric *find_locked(struct stats_family *f, const char *labels)
{
    uint64_t hash = hash_bytes(labels, strlen(labels), 0);

    for (struct stats_metric *m = *place_of(f, hash); m != NULL; m = m->chained)
        if (m->hash == hash && strcmp(m->labels, labels) == 0)
            return m;
    return NULL;
}

static struct stats_metric *add_locked(struct stats_family *f, const char *labels)
{
    struct stats_metric *m;

    if (f->metric_count >= STATS_SERIES_MAX)
        return NULL;
    m = metric_make(f, labels);
    if (m == NULL)
        return NULL;
    table_grow_locked(f);
    m->chained = *place_of(f, m->hash);
    *place_of(f, m->hash) = m;
    m->older = f->newest;
    *(f->newest == NULL ? &f->oldest : &f->newest->newer) = m;
    f->newest = m;
    f->metric_count++;
    return m;
}

static struct stats_metric *metric_get(struct stats_family *f, const char *const *label_values,
                                       bool hold)
{
    struct stats_metric *m = NULL;
    struct buf labels;

    if (f == NULL)
        return NULL;
    buf_init(&labels, LABELS_BYTES_MAX);
    if (f->label_count > 0)
        put_labels(&labels, f, label_values);
    lock_take(&f->stats->lock);
    if (f->label_count > 0 && !labels.failed &&
        strcmp((const char *)labels.data, f->other->labels) != 0) {
        m = find_locked(f, (const char *)labels.data);
        if (m == NULL)
            m = add_locked(f, (const char *)labels.data);
    }
    if (m == NULL) {
        m = f->other;
        f->other_used = true;
    }
    if (hold)
        m->holders++;
    lock_drop(&f->stats->lock);
    buf_free(&labels);
    return m;
}

struct stats_metric *stats_metric(struct stats_family *f, const char *const *label_values)
{
    return metric_get(f, label_values, false);
}

struct stats_metric *stats_metric_hold(struct stats_family *f, const char *const *label_values)
{
    return metric_get(f, label_values, true);
}

void stats_metric_drop(struct stats_metric *m)
{
    struct stats_family *f;
    struct stats_metric **link;

    if (m == NULL || m == m->family->other) /* others may hold that one */
        return;
    f = m->family;
    lock_take(&f->stats->lock);
    if (m->holders > 1) {
        m->holders--;
        lock_drop(&f->stats->lock);
        return;
    }
    for (link = place_of(f, m->hash); *link != m; link = &(*link)->chained)
        ;
    *link = m->chained;
    *(m->older == NULL ? &f->oldest : &m->older->newer) = m->newer;
    *(m->newer == NULL ? &f->newest : &m->newer->older) = m->older;
    f->metric_count--;
    lock_drop(&f->stats->lock);
    metric_free(m);
}

void stats_add(struct stats_metric *m, uint64_t n)
{
    if (m == NULL)
        return;
    assert(m->family->type == STATS_COUNTER || m->family->type == STATS_UNTYPED);
    atomic_fetch_add_explicit(&m->count, n, memory_order_relaxed);
}

void stats_set(struct stats_metric *m, double v)
{
    if (m == NULL)
        return;
    assert(m->family->type != STATS_HISTOGRAM);
    atomic_store_explicit(&m->value, bits_of(v), memory_order_relaxed);
}

void stats_observe(struct stats_metric *m, double v)
{
    const struct stats_family *f;
    uint64_t before;
    size_t low = 0;
    size_t high;

    if (m == NULL || !isfinite(v)) /* one of those would spoil the sum for good */
        return;
    f = m->family;
    assert(f->type == STATS_HISTOGRAM);
    high = f->bound_count;
    while (low < high) { /* the first bound that is not below v */
        size_t middle = low + (high - low) / 2;

        if (f->bounds[middle] < v)
            low = middle + 1;
        else
            high = middle;
    }
    atomic_fetch_add_explicit(&m->buckets[low], 1, memory_order_relaxed);
    before = atomic_load_explicit(&m->value, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&m->value, &before,
                                                  bits_of(double_of(before) + v),
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

static uint64_t load(const _Atomic uint64_t *a)
{
    return atomic_load_explicit(a, memory_order_relaxed);
}

double stats_value(const struct stats_metric *m)
{
    uint64_t count = 0;

    if (m == NULL)
        return 0;
    if (m->family->type != STATS_HISTOGRAM)
        return (double)load(&m->count) + double_of(load(&m->value));
    for (size_t i = 0; i <= m->family->bound_count; i++)
        count += load(&m->buckets[i]);
    return (double)count;
}

status stats_on_collect(struct stats *s, stats_collect_fn *fn, void *arg, struct err *err)
{
    struct collector *collectors;

    lock_take(&s->lock);
    collectors = mem_resize(s->collectors, (s->collector_count + 1) * sizeof *collectors);
    if (collectors != NULL) {
        collectors[s->collector_count++] = (struct collector){fn, arg};
        s->collectors = collectors;
    }
    lock_drop(&s->lock);
    if (collectors == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a stats collector");
    return ST_OK;
}

static void put_double(struct buf *b, double v)
{
    char text[JSON_CHARS_MAX];

    if (isnan(v))
        buf_put_text(b, "NaN");
    else if (isinf(v))
        buf_put_text(b, v > 0 ? "+Inf" : "-Inf");
    else
        buf_put(b, text, json_chars_f64(text, v));
}

/* name_suffix{labels,le="bound"} and a blank; le is NULL for none. */
static void put_series(struct buf *b, const struct stats_metric *m, const char *suffix,
                       const double *le)
{
    bool braces = m->labels[0] != '\0' || le != NULL;

    buf_put_text(b, m->family->name);
    buf_put_text(b, suffix);
    if (braces)
        buf_put_text(b, "{");
    buf_put_text(b, m->labels);
    if (le != NULL) {
        buf_put_text(b, m->labels[0] != '\0' ? ",le=\"" : "le=\"");
        put_double(b, *le);
        buf_put_text(b, "\"");
    }
    buf_put_text(b, braces ? "} " : " ");
}

/* The count is that of the buckets just read, so that it is never below one of them. */
static void print_histogram(const struct stats_metric *m, struct buf *b)
{
    const struct stats_family *f = m->family;
    uint64_t count = 0;

    for (size_t i = 0; i <= f->bound_count; i++) {
        double bound = i < f->bound_count ? f->bounds[i] : INFINITY;

        count += load(&m->buckets[i]);
        put_series(b, m, "_bucket", &bound);
        json_put_u64(b, count);
        buf_put_text(b, "\n");
    }
    put_series(b, m, "_sum", NULL);
    put_double(b, double_of(load(&m->value)));
    buf_put_text(b, "\n");
    put_series(b, m, "_count", NULL);
    json_put_u64(b, count);
    buf_put_text(b, "\n");
}

static void print_metric(const struct stats_metric *m, struct buf *b)
{
    double value = double_of(load(&m->value));
    uint64_t count = load(&m->count);

    if (m->family->type == STATS_HISTOGRAM) {
        print_histogram(m, b);
        return;
    }
    put_series(b, m, "", NULL);
    if (value == 0 && (m->family->type == STATS_COUNTER || count > 0))
        json_put_u64(b, count); /* to the last digit */
    else
        put_double(b, value + (double)count);
    buf_put_text(b, "\n");
}

static void print_family_locked(const struct stats_family *f, struct buf *b)
{
    static const char *const types[] = {"counter", "gauge", "histogram", "untyped"};

    if (f->oldest == NULL && !f->other_used)
        return;
    buf_printf(b, "# HELP %s ", f->name);
    put_escaped(b, f->help, strlen(f->help), false);
    buf_printf(b, "\n# TYPE %s %s\n", f->name, types[f->type]);
    for (const struct stats_metric *m = f->oldest; m != NULL && !b->failed; m = m->newer)
        print_metric(m, b);
    if (f->other_used)
        print_metric(f->other, b);
}

/* Collectors run without the lock: they may make metrics. */
static void collect(struct stats *s)
{
    for (size_t i = 0;; i++) {
        struct collector c = {0};

        lock_take(&s->lock);
        if (i < s->collector_count)
            c = s->collectors[i];
        lock_drop(&s->lock);
        if (c.fn == NULL)
            return;
        c.fn(c.arg);
    }
}

void stats_print(struct stats *s, struct buf *out)
{
    collect(s);
    lock_take(&s->lock);
    for (size_t i = 0; i < s->family_count; i++)
        print_family_locked(s->families[i], out);
    lock_drop(&s->lock);
}
