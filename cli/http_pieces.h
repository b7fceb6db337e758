/* http_pieces.h - an answer that comes in chunks, read as it comes.
 *
 * Threads    the caller's; blocks.
 * Limits     HTTP_HEAD_BYTES_MAX of head, HTTP_WAIT_MS without a byte; a piece of what one read
 * gave. Failure    as http.h. An answer that ends before its last chunk is ST_UNAVAILABLE: it was
 * cut off. */
#ifndef CLI_HTTP_PIECES_H
#define CLI_HTTP_PIECES_H

#include "cli/http.h"

enum http_pieces_state { HTTP_PIECES_SIZE, HTTP_PIECES_DATA, HTTP_PIECES_BEHIND, HTTP_PIECES_DONE };

struct http_pieces { /* zeroed at the start */
    int status;
    uint32_t retry_after_s; /* 0: the answer does not say */
    int fd;
    bool open;
    enum http_pieces_state state;
    struct buf raw;
    size_t at;
    uint64_t left; /* of the chunk */
};

/* Asks, and reads the head. Of another status than 200 there are no pieces. */
NODISCARD
status http_pieces_open(struct http_pieces *p, const char *url, const char *path,
                        const char *header, struct err *err);
/* *end: the answer was whole, and *piece is empty. A piece dies with the next one. */
NODISCARD
status http_pieces_next(struct http_pieces *p, struct slice *piece, bool *end, struct err *err);
void http_pieces_close(struct http_pieces *p);

#endif
