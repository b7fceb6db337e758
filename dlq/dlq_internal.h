/* dlq_internal.h - a letter's bytes in the small store (docs/formats/dlq.md). Pure. */
#ifndef DLQ_DLQ_INTERNAL_H
#define DLQ_DLQ_INTERNAL_H

#include "dlq/dlq.h"

#define DLQ_PREFIX   "dlq/"
#define DLQ_NEXT_KEY "dlq.next"
enum {
    DLQ_KEY_BYTES = 4 + 16 + 8,
    DLQ_VALUE_BYTES_MAX = 2048, /* more than the largest letter */
};

void letter_key(const uint8_t collection[16], uint64_t id, uint8_t out[DLQ_KEY_BYTES]);
/* ST_INVALID for a letter whose fields are out of range, ST_NOMEM. Appends. */
NODISCARD
status letter_encode(const struct letter *l, struct buf *out, struct err *err);
/* ST_CORRUPT, or ST_UNSUPPORTED for a newer version. */
NODISCARD
status letter_decode(struct slice key, struct slice value, struct letter *out, struct err *err);

#endif
