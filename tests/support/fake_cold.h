/* fake_cold.h - tiering/cold_set.h over rows in RAM: every row is compared, exactly, and answers
 * may be late, partial, or fail. The slow independent reading of what a cold set is; link it
 * instead of the one over a bucket.
 *
 * Threads    ways: any time. Rows: before the set is shown to anybody. */
#ifndef SUPPORT_FAKE_COLD_H
#define SUPPORT_FAKE_COLD_H

#include "index/vindex.h"
#include "tiering/cold_set.h"

enum { FAKE_COLD_FIELDS = 8 };
struct fake_cold_field {
    uint16_t id;
    enum vmetric metric;
    uint32_t dimension;
};
struct fake_cold_row {
    struct docid id;
    uint64_t lsn, inserted_at_ns;
    struct slice external_id, payload;
    const float *vectors[FAKE_COLD_FIELDS]; /* by position, NULL: none */
};

/* What its calls do beside answering. */
struct fake_cold_ways {
    _Atomic uint32_t delay_ms; /* each call; up to its deadline or stop, then ST_TIMEOUT */
    _Atomic int fail;          /* status of the next call; ST_OK: none */
    _Atomic bool keep_failing;
    _Atomic bool partial; /* queries say so, and leave every second hit out */
    _Atomic uint32_t calls, gets;
    _Atomic uint32_t on_workers; /* calls from threads that must not wait */
    _Atomic uint32_t inside;     /* sets that are held */
};

struct cold_set *fake_cold_create(const struct fake_cold_field *fields, size_t count,
                                  uint64_t floor, struct fake_cold_ways *ways);
void fake_cold_add(struct cold_set *s, const struct fake_cold_row *row); /* copies */
/* Every row of `from` that says so goes into `to` as well. */
void fake_cold_take(struct cold_set *to, struct cold_set *from,
                    bool (*stays)(void *arg, const struct docid *id, uint64_t lsn), void *arg);
/* All rows are there: in order from now on. */
void fake_cold_seal(struct cold_set *s);

#endif
