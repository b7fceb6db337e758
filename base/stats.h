/* stats.h - counters, gauges and histograms, and their Prometheus text.
 *
 * A family has a name, a type, a help text and label names; a metric is one set of label values. A
 * metric once made is never moved; adding to it is one relaxed atomic. Families of the seed's names
 * are exposed as `untyped` so that no exposition format renames them.
 *
 * Threads    any. Making a metric takes a lock, adding to one does not.
 * Ownership  the registry owns families and metrics; stats_metric_drop() takes one out (a dropped
 *            collection's), after which its pointer must not be used. Where two may use the same
 *            labels one after the other, each holds it: stats_metric_hold().
 * Limits     STATS_SERIES_MAX metrics a family; beyond it, or without memory, stats_metric()
 *            returns the family's overflow metric (label values "other"), never NULL. Label values
 *            are cut at 256 bytes. */
#ifndef BASE_STATS_H
#define BASE_STATS_H

#include "base/bytes.h"

struct stats;
struct stats_family;
struct stats_metric;
enum { STATS_LABELS_MAX = 4, STATS_SERIES_MAX = 100000 };
enum stats_type { STATS_COUNTER, STATS_GAUGE, STATS_HISTOGRAM, STATS_UNTYPED };

NODISCARD
status stats_create(struct stats **out, struct err *err);
void stats_destroy(struct stats *s);
/* Names and help are copied. Again with the same name: the same family. NULL when memory is out; a
 * NULL family gives NULL metrics and adding to a NULL metric does nothing. buckets: rising upper
 * bounds of a histogram, +Inf is added. labels: NULL terminated. */
struct stats_family *stats_family(struct stats *s, const char *name, enum stats_type type,
                                  const char *help, const char *const *labels,
                                  const double *buckets, size_t bucket_count);
/* One value for each of the family's labels; NULL for a family without any. */
struct stats_metric *stats_metric(struct stats_family *f, const char *const *label_values);
/* The same, counted: it stays until as many stats_metric_drop() were called as it was held. */
struct stats_metric *stats_metric_hold(struct stats_family *f, const char *const *label_values);
void stats_metric_drop(struct stats_metric *m);
void stats_add(struct stats_metric *m, uint64_t n);   /* counter, untyped */
void stats_set(struct stats_metric *m, double v);     /* gauge, untyped; a total kept elsewhere */
void stats_observe(struct stats_metric *m, double v); /* histogram; not finite: ignored */
double stats_value(const struct stats_metric *m);     /* histogram: the count */
/* Called before each exposition, to set gauges that are read from elsewhere. */
typedef void stats_collect_fn(void *arg);
NODISCARD
status stats_on_collect(struct stats *s, stats_collect_fn *fn, void *arg, struct err *err);
/* Prometheus text format 0.0.4 appended to out: families by name, HELP and TYPE lines once. */
void stats_print(struct stats *s, struct buf *out);

extern const double STATS_LATENCY_BUCKETS[]; /* 50 us .. 10 s */
extern const size_t STATS_LATENCY_BUCKET_COUNT;

#endif
