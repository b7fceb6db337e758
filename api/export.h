/* export.h - documents of a collection as text, page by page in id order: lines that an import
 * takes, or rows of vectors alone.
 *
 * A page begins behind the id that the one before it ended with: what is there all the time comes
 * exactly once, what is written meanwhile may come or not.
 *
 * Threads    a worker's, one at a time.
 * Ownership  the collection is pinned by the caller, the filter lives as long as the export. */
#ifndef API_EXPORT_H
#define API_EXPORT_H

#include "node/points.h"

enum { EXPORT_PAGE_BYTES = 256 * 1024 }; /* of text, about */

struct export
{
    struct collection *collection;
    const struct filter *filter; /* NULL: all */
    struct read_limits limits;
    bool fvecs;
    size_t field; /* of fvecs */
    bool has_after;
    struct docid after;
    char after_bytes[DOCID_BYTES_MAX]; /* what it points to, if it is bytes */
    uint32_t rows;                     /* of the next page */
    uint64_t printed;                  /* documents so far */
};

/* From the first document. *e is zeroed, but for what the caller wants otherwise. */
void export_begin(struct export *e, struct collection *c);
/* The next page begins behind id. */
void export_go_behind(struct export *e, const struct docid *id);
/* One page behind what out holds; *last: no other follows. A page may be of no text. Fewer
 * documents where memory is out. */
NODISCARD
status export_page(struct export *e, struct buf *out, bool *last, struct err *err);

#endif
