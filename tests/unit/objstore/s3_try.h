/* s3_try.h - a store of S3 in front of a scripted server (tests/support/http_script.h). */
#ifndef TESTS_UNIT_OBJSTORE_S3_TRY_H
#define TESTS_UNIT_OBJSTORE_S3_TRY_H

#include "objstore/s3_internal.h"
#include "tests/support/http_script.h"

struct s3_try {
    struct http_script *server;
    struct objstore *store;
};
/* Keys of a made-up environment, seconds instead of minutes to wait. */
void s3_try_open(struct s3_try *t, const struct http_line *lines, size_t count);
void s3_try_open_with(struct s3_try *t, const struct http_line *lines, size_t count,
                      struct objstore_options *options);
void s3_try_close(struct s3_try *t);
/* One request against one answer; the result is freed by who asked. */
enum objstore_class s3_try_once(const struct http_line *line, struct objstore_req *req);
extern char *const S3_TRY_ENV[];

#define HTTP_OK    "HTTP/1.1 200 OK\r\nETag: \"e\"\r\n"
#define HTTP_EMPTY "Content-Length: 0\r\n\r\n"

#endif
