/* h2_pair.h - HTTP/2 without a socket: our session, a client of nghttp2, and what both say carried
 * to and fro.
 *
 * Threads    one. */
#ifndef TESTS_UNIT_API_H2_PAIR_H
#define TESTS_UNIT_API_H2_PAIR_H

#include "api/h2.h"

#include <nghttp2/nghttp2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { STREAMS_MAX = 8, WINDOW = 1024 * 1024, HEAD_MAX = 1024, OUT_MAX = 64 * 1024 };

/* The server's: answers each request, and keeps what it heard as text. */
struct side {
    struct h2 *h;
    char heard[4096];
    size_t heard_bytes;
    unsigned begun, heads, ends, closes, pongs;
    size_t data_bytes;
    bool holds;  /* gives no window back */
    bool silent; /* does not answer */
    bool stays;  /* answers and does not end */
};
NODISCARD
status side_open(struct side *s); /* flags are the caller's to set before */
void side_start(struct side *s);
void side_end(struct side *s); /* and every stream was closed */
/* In copies of `piece` bytes; false: the connection was given up. */
bool side_feed(struct side *s, const struct buf *in, size_t piece);

/* The client's. */
struct peer {
    nghttp2_session *session;
    struct buf said; /* what it heard, as text */
    const uint8_t *body;
    size_t body_bytes, body_at;
    unsigned closed, refused;
    uint32_t goaway_code;
    unsigned goaways;
    int32_t goaway_last;
};
void peer_start(struct peer *p);
void peer_end(struct peer *p);
/* POST /a.B/C with this body, borrowed; the stream's id. */
int32_t peer_ask(struct peer *p, const char *body);
#define NV(n, v)                                                                                   \
    {                                                                                              \
        (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), 0              \
    }

/* Both sides until neither has more to say; what the client says comes in pieces. */
void pair_talk(struct side *s, struct peer *p, size_t piece);

#endif
