/* catalog_internal.h - what catalog.c and catalog_codec.c share. */
#ifndef SEGMENT_CATALOG_INTERNAL_H
#define SEGMENT_CATALOG_INTERNAL_H

#include "segment/catalog.h"

/* The rules of docs/formats/catalog.md, "When a catalog is valid"; `code` for a breach: ST_INVALID
 * before writing, ST_CORRUPT after reading. ST_NOMEM. */
NODISCARD
status catalog_check(const struct catalog *c, status code, struct err *err);
/* Values of one collection alone: ranges, and unique fields. */
NODISCARD
status catalog_check_collection(const struct catalog_collection *c, status code, struct err *err);

static inline bool catalog_id_equal(const uint8_t a[16], const uint8_t b[16])
{
    return memcmp(a, b, 16) == 0;
}
static inline bool catalog_id_is_default(const uint8_t id[16])
{
    static const uint8_t zero[16];

    return catalog_id_equal(id, zero);
}

#endif
