/* catalog_internal.h - what the catalog's files share, and the manifest with them. */
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

NODISCARD
status catalog_check_settings(const struct catalog_collection *c, status code, struct err *err);

/* One collection's entry, without settings, which stands in manifests too. A reader puts ownership
 * into *c even if it fails: catalog_collection_free(). r->bad is the caller's to ask for. */
void catalog_put_collection(struct buf *b, const struct catalog_collection *c);
NODISCARD
status catalog_rd_collection(struct rd *r, struct catalog_collection *c, struct err *err);

/* The list of settings; read once the collections are. */
void catalog_put_settings(struct buf *b, const struct catalog *c);
NODISCARD
status catalog_rd_settings(struct rd *r, struct catalog *c, struct err *err);

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
