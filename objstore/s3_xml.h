/* s3_xml.h - the answers of a store that come as XML: errors, listings, uploads. By expat.
 *
 * What is read comes from outside: a document type (and with it any entity of its own) is refused,
 * depth, names, texts and the number of entries have bounds, and what is not understood is passed
 * over. Blanks in front of a document are fine: a store sends them while it works.
 *
 * Threads    any; nothing is shared.
 * Memory     expat's too comes from base/mem.h. */
#ifndef OBJSTORE_S3_XML_H
#define OBJSTORE_S3_XML_H

#include "objstore/objstore.h"

enum {
    S3_XML_DEPTH_MAX = 8,
    S3_XML_PATH_BYTES = 256,
    S3_XML_TEXT_BYTES_MAX =
        8192, /* a key of 1024 bytes, each escaped as %XX, and a session token */
    S3_MESSAGE_BYTES = 256,
};

struct s3_error {
    char code[64];                  /* "AccessDenied" */
    char message[S3_MESSAGE_BYTES]; /* what can be printed of it */
    char request_id[64];
    char region[64]; /* the right one, where the wrong one was the error */
};
/* False when the body is no error document of S3; out is then zero. */
bool s3_xml_error(struct slice body, struct s3_error *out);

/* Fills entries and truncated of the result, keys without the prefix (an entry that is the prefix
 * itself is left out). ST_CORRUPT: no listing, or one with keys beside the prefix; ST_NOMEM.
 * Entries that were made stay the result's. */
NODISCARD
status s3_xml_list(struct slice body, const char *prefix, struct objstore_result *r,
                   struct err *err);
NODISCARD
status s3_xml_upload_id(struct slice body, char out[OBJSTORE_UPLOAD_BYTES], struct err *err);
/* etag with quotes; "" when the document has none. ST_CORRUPT: neither this nor an error. */
NODISCARD
status s3_xml_complete(struct slice body, char etag[OBJSTORE_ETAG_BYTES], struct err *err);
/* Appends what a completion sends. */
void s3_xml_put_parts(struct buf *out, const struct objstore_part *parts, size_t count);

/* The texts of single elements by their path, "Error/Code"; out stays as it is where there is none.
 * ST_CORRUPT: no XML, or a text that does not fit; ST_NOMEM. */
struct s3_xml_field {
    const char *path;
    char *out;
    size_t bytes_max;
};
NODISCARD
status s3_xml_fields(struct slice body, const struct s3_xml_field *fields, size_t count,
                     struct err *err);

/* Seconds of "2026-01-02T03:04:05.678Z" since 1970, in ns; 0 when it is none. */
uint64_t s3_xml_time_ns(const char *text);

#endif
