/* http1.h - HTTP/1.1 framing of one connection's bytes: heads, bodies, nothing else.
 *
 * Bytes go in as they come from the socket, events come out: a whole head, pieces of its body, the
 * end of the request, or a refusal after which the connection must be closed. How the bytes were
 * cut never changes the events. The reader is strict where two programs could disagree about where
 * a request ends (docs/decisions/http1-reader.md); everything it refuses has an HTTP status and a
 * reason.
 *
 * Threads    one at a time: the loop's.
 * Ownership  the head's slices point into h->head_bytes, which http1_take_head() hands over. A body
 *            piece borrows from the bytes that were fed.
 * Limits     header_bytes_max for the request line, headers and trailers, HTTP1_HEADERS_MAX
 * headers, body_bytes_max but for what any_length lets pass; chunk lines may cost
 * HTTP1_CHUNK_COST_MAX bytes a byte of body. */
#ifndef API_HTTP1_H
#define API_HTTP1_H

#include "base/bytes.h"

enum {
    HTTP1_HEADERS_MAX = 64,
    HTTP1_METHOD_BYTES_MAX = 16,
    HTTP1_BLANK_LINES_MAX = 4, /* before a request line, tolerated as RFC 9112 2.2 asks */
    HTTP1_CHUNK_LINE_BYTES_MAX = 256,
    HTTP1_CHUNK_COST_MAX = 8,
};

struct http1_header {
    struct slice name;
    struct slice value; /* without the white space around it */
};

struct http1_head {
    struct slice method;
    struct slice path;  /* as sent: still percent-encoded, begins with '/' or is "*" */
    struct slice query; /* behind '?', as sent; empty if none */
    bool version_1_0;
    bool keep_alive;
    bool expect_continue;
    bool chunked;
    bool has_length;
    uint64_t content_length;
    size_t header_count;
    struct http1_header headers[HTTP1_HEADERS_MAX];
};

enum http1_event {
    HTTP1_MORE, /* everything fed was used; feed more */
    HTTP1_HEAD, /* h->head is complete */
    HTTP1_BODY, /* *piece is the next part of the body */
    HTTP1_END,  /* the request is whole; http1_reset() before the next */
    HTTP1_BAD,  /* h->bad_status and h->bad_reason; nothing more is read */
};

enum http1_state {
    HTTP1_AT_HEAD,
    HTTP1_AT_LENGTH,
    HTTP1_AT_CHUNK_LINE,
    HTTP1_AT_CHUNK_DATA,
    HTTP1_AT_CHUNK_END,
    HTTP1_AT_TRAILER,
    HTTP1_AT_END,
    HTTP1_AT_BAD,
};

struct http1 {
    uint64_t body_bytes_max;
    size_t header_bytes_max;
    /* Says of a head whether its body may have any length; NULL: none may. Stays over a reset. */
    bool (*any_length)(const struct http1_head *head);

    struct http1_head head;
    int bad_status;
    const char *bad_reason;

    /* what follows is the reader's own */
    enum http1_state state;
    bool unbounded; /* this request's body */
    struct buf head_bytes;
    size_t line_at;     /* where the current line begins in head_bytes */
    size_t lines;       /* whole lines of this head so far */
    size_t blank_lines; /* before the request line */
    struct buf line;    /* a chunk line or a trailer */
    uint64_t left;      /* of a body with a length, or of a chunk */
    uint64_t body_bytes;
    uint64_t chunk_cost; /* bytes of chunk lines */
    size_t trailer_bytes;
};

void http1_init(struct http1 *h, size_t header_bytes_max, uint64_t body_bytes_max);
void http1_fini(struct http1 *h);
/* Ready for the next request of the connection; keeps nothing. */
void http1_reset(struct http1 *h);

/* Uses up to bytes of data, says how many in *used, and returns the next event. Call again with the
 * rest, which may be empty, until HTTP1_MORE or HTTP1_BAD. */
enum http1_event http1_next(struct http1 *h, const uint8_t *data, size_t bytes, size_t *used,
                            struct slice *piece);

/* True when nothing of a next request has been read. */
bool http1_idle(const struct http1 *h);

/* Hands the memory behind the head's slices to the caller (once, after HTTP1_HEAD). */
struct buf http1_take_head(struct http1 *h);

/* The first header of that name (any case), or NULL. */
const struct http1_header *http1_header(const struct http1_head *head, const char *name);

/* For reading a body straight from the socket into its buffer: how many bytes of a body with a
 * length are still to come (0 in every other state), and that `bytes` of them came. */
uint64_t http1_length_left(const struct http1 *h);
void http1_length_took(struct http1 *h, uint64_t bytes);

#endif
