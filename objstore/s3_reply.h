/* s3_reply.h - what the headers of an answer say. Pure.
 *
 * Header lines come one by one, of the last of several answers too (100 Continue and the like go
 * before it): a status line begins anew. What cannot be read is as if it were not there. */
#ifndef OBJSTORE_S3_REPLY_H
#define OBJSTORE_S3_REPLY_H

#include "objstore/objstore.h"

enum { S3_CRC_TEXT_BYTES = 9 }; /* with the NUL */

struct s3_reply {
    int http_status; /* 0: none came */
    char etag[OBJSTORE_ETAG_BYTES];
    char request_id[64];
    char region[64];
    char server[64];
    int64_t date_s; /* the store's clock; 0: not told */
    uint64_t retry_after_ms;
    int64_t retry_at_s; /* Retry-After as a date; 0: not so */
    bool has_length;
    uint64_t length;
    bool is_chunked;
    bool has_range; /* Content-Range: bytes first-last/total, and sound in itself */
    uint64_t range_first, range_last, range_total;
    char crc32c[S3_CRC_TEXT_BYTES]; /* of the whole object, base64; "": not told */
    bool is_page;    /* Content-Type: text/html, which no object of ours and no success has */
    bool is_encoded; /* Content-Encoding: compressed on the way, or stored so */
};

void s3_reply_line(struct s3_reply *r, struct slice line);
/* What Retry-After comes to; now_s is for a store that does not tell its time. */
uint64_t s3_reply_wish_ms(const struct s3_reply *r, int64_t now_s);
/* "Sat, 21 Nov 2026 09:42:08 GMT" since 1970; 0 when it is none. */
int64_t s3_reply_date(const char *text);

#endif
