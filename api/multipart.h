/* multipart.h - the file in a body of multipart/form-data (RFC 7578, RFC 2046), which comes in
 * pieces: its first part with a file name, or called `snapshot`. What else there is, is passed
 * over.
 *
 * The caller keeps the bytes that were not used yet and shows them, longer each time: how the body
 * was cut never changes what comes out.
 *
 * Threads    one at a time.
 * Limits     MULTIPART_HEADER_BYTES_MAX of the headers of a part. */
#ifndef API_MULTIPART_H
#define API_MULTIPART_H

#include "base/bytes.h"

enum { MULTIPART_BOUNDARY_BYTES_MAX = 70, MULTIPART_HEADER_BYTES_MAX = 16 * 1024 };

struct multipart {
    uint8_t delimiter[4 + MULTIPART_BOUNDARY_BYTES_MAX]; /* CR LF - - boundary */
    size_t delimiter_bytes;
    size_t header_bytes; /* of the part, so far */
    int state;
    bool wanted; /* the part is the file */
};

/* Whether a Content-Type is multipart/form-data. */
bool multipart_is(struct slice content_type);
/* ST_INVALID: it names no boundary that can be. */
NODISCARD
status multipart_init(struct multipart *m, struct slice content_type, struct err *err);

enum multipart_step {
    MULTIPART_MORE, /* more bytes are needed */
    MULTIPART_END,  /* the file is whole; what is shown from now on is passed over */
    MULTIPART_BAD,  /* err says what is wrong */
};
/* have: all bytes not used yet; *used: how many of them are done with now. What the file has of
 * them is appended to out, whose state the caller looks at. last: no more will come. */
enum multipart_step multipart_take(struct multipart *m, struct slice have, bool last, size_t *used,
                                   struct buf *out, struct err *err);

#endif
