/* cold_scan.h - all payload of a segment, in order, past the cache: for scans and filters. */
#ifndef TIERING_COLD_SCAN_H
#define TIERING_COLD_SCAN_H

#include "tiering/cold_internal.h"

/* A row is valid during fn; its status but ST_OK ends the scan. */
typedef cold_payload_fn cold_scan_fn;
NODISCARD
status cold_scan_payload(struct cold_set *s, const struct cold_segment *segment,
                         const struct cold_terms *terms, cold_scan_fn *fn, void *arg,
                         struct cold_stats *stats, struct err *err);

/* Rows whose bits are set, in order; blocks without one are not read. */
NODISCARD
status cold_scan_some(struct cold_set *s, const struct cold_segment *segment, const uint64_t *bits,
                      const struct cold_terms *terms, cold_scan_fn *fn, void *arg,
                      struct cold_stats *stats, struct err *err);
/* The same of ids alone, in their order, from the id index. */
typedef status cold_scan_id_fn(void *arg, uint32_t ordinal, const struct docid *id, uint64_t lsn,
                               struct err *err);
NODISCARD
status cold_scan_ids(struct cold_set *s, const struct cold_segment *segment, const uint64_t *bits,
                     const struct cold_terms *terms, cold_scan_id_fn *fn, void *arg,
                     struct cold_stats *stats, struct err *err);
/* Whether ids of these rows are cheaper read from the id index than from payload blocks. */
bool cold_scan_ids_pay(const struct cold_segment *segment, const uint64_t *bits);

/* What a filter is, as 128 bits: equal filters, equal keys. Filters that differ in nothing but
 * spelling may have two. */
NODISCARD
status cold_filter_key(const struct filter *f, uint64_t key[2], struct err *err);

#endif
