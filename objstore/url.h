/* url.h - the URL of a store taken apart (open.h says what there is). Pure.
 *
 * Errors     ST_INVALID, with what the URL should look like; a text never repeats what may be a
 *            password. */
#ifndef OBJSTORE_URL_H
#define OBJSTORE_URL_H

#include "base/fs.h"

enum objstore_url_kind {
    OBJSTORE_URL_S3,   /* s3://bucket/prefix: endpoint is "" */
    OBJSTORE_URL_HTTP, /* http(s)://host:port/bucket/prefix */
    OBJSTORE_URL_FILE,
    OBJSTORE_URL_MEMORY,
};

enum {
    OBJSTORE_ENDPOINT_BYTES = 320,
    OBJSTORE_BUCKET_BYTES = 64,
    /* A key of the service has at most 1024 bytes, one of ours OBJSTORE_KEY_BYTES_MAX. */
    OBJSTORE_PREFIX_BYTES = 124,
    OBJSTORE_NAME_BYTES = 64,
};

struct objstore_url {
    enum objstore_url_kind kind;
    char endpoint[OBJSTORE_ENDPOINT_BYTES]; /* "https://host:9000": no slash at its end */
    char bucket[OBJSTORE_BUCKET_BYTES];
    char prefix[OBJSTORE_PREFIX_BYTES]; /* "", or "a/b/" with the slash at its end */
    char path[FS_PATH_BYTES];           /* file: absolute, no slash at its end but of "/" */
    char name[OBJSTORE_NAME_BYTES];     /* memory */
};
NODISCARD
status objstore_url_parse(const char *text, struct objstore_url *out, struct err *err);

/* "http://host" or "https://host:port", a path of "/" allowed: what s3_endpoint and
 * AWS_ENDPOINT_URL say. out without the slash. */
NODISCARD
status objstore_endpoint_parse(const char *text, char out[OBJSTORE_ENDPOINT_BYTES],
                               struct err *err);

#endif
