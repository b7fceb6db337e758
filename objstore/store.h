/* store.h - what every store needs to answer alike: requests that are wrong in themselves,
 * conditions, ranges, and answers. For the files of this folder only.
 *
 * Threads    whoever holds the request.
 * Memory     nothing here allocates. */
#ifndef OBJSTORE_STORE_H
#define OBJSTORE_STORE_H

#include "objstore/objstore.h"

/* What is wrong with a request is found here, the same for every store: true, or an answer of
 * OBJSTORE_PERMANENT with HTTP 400 in the result. */
NODISCARD
bool objstore_req_check(struct objstore_req *req);

/* Fills class and err of the result; http_status and s3_code as S3 would say it (0 and "" leave
 * them empty). The text is put behind "put c/00/...: ". */
void objstore_answer(struct objstore_req *req, enum objstore_class c, int http_status,
                     const char *s3_code, const char *format, ...) PRINTF_LIKE(5, 6);
void objstore_answer_ok(struct objstore_req *req, int http_status);
/* For stores that keep objects here: a local failure as S3 would have told it. `applied`: the
 * effect may be there. */
void objstore_answer_status(struct objstore_req *req, status st, const struct err *err,
                            bool applied);

/* Whether a PUT or a completion may go ahead where the key holds `etag` (NULL: nothing); else the
 * answer is given. */
NODISCARD
bool objstore_condition_holds(struct objstore_req *req, const char *etag);
/* Whether the body is what req->crc32c says; else the answer is given. */
NODISCARD
bool objstore_checksum_holds(struct objstore_req *req);
/* Whether a GET has more to say than 304; else the answer is given. */
NODISCARD
bool objstore_condition_changed(struct objstore_req *req, const char *etag);

/* Where the bytes of a GET stand in an object of object_bytes, bytes_max checked; else the answer
 * is given. */
NODISCARD
bool objstore_range_find(struct objstore_req *req, uint64_t object_bytes, uint64_t *offset,
                         size_t *bytes);

/* "<32 hex digits>" with the quotes: the same for the same content. */
void objstore_etag_of(struct slice content, char out[OBJSTORE_ETAG_BYTES]);
/* Of an object put together from parts: "<32 hex digits>-<count>". */
void objstore_etag_of_parts(const struct objstore_part *parts, size_t count,
                            char out[OBJSTORE_ETAG_BYTES]);

#endif
