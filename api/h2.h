/* h2.h - HTTP/2 of one connection, without a socket: bytes in, requests out, bytes to send.
 *
 * nghttp2 is met in h2.c alone: frames, header compression, windows. Around it are the bounds it
 * does not have: how long a head may be, and how many frames a client may send that cost it
 * nothing (resets, PING, SETTINGS, empty DATA). Who goes beyond gets GOAWAY with ENHANCE_YOUR_CALM.
 *
 * Threads    one connection, one thread. The owner's functions are called inside h2_feed() and
 *            h2_take() and may call everything here but these two and h2_close().
 * Ownership  an h2_stream is h2's; it is gone when closed() returns.
 * Limits     struct h2_options; what is received and not given back by h2_took() is bounded by
 *            window_bytes a stream. What is to be sent is the owner's to bound. */
#ifndef API_H2_H
#define API_H2_H

#include "base/bytes.h"

enum {
    H2_FIELDS_MAX = 64,         /* of a head */
    H2_FRAME_BYTES_MAX = 16384, /* what one frame carries */
    H2_LEAD_BYTES = 5,          /* in front of a body (gRPC's prefix) */
    H2_RESETS = 1000,           /* streams ended by a reset, saved up ... */
    H2_RESETS_PER_S = 100,      /* ... and regained, with one for each stream we answered */
    H2_CONTROLS = 2000,         /* frames that carry nothing */
    H2_CONTROLS_PER_S = 200,    /* and this many more for each frame we had to send */
    H2_CONTROLS_PER_ANSWER = 8,
};

/* RFC 9113, section 7. */
enum h2_code {
    H2_NO_ERROR = 0,
    H2_INTERNAL_ERROR = 2,
    H2_REFUSED_STREAM = 7,
    H2_CANCEL = 8,
    H2_ENHANCE_YOUR_CALM = 11,
};

struct h2;
struct h2_stream {
    struct h2 *h2;
    struct h2_stream *prev, *next;
    int32_t id;
    void *user; /* the owner's */

    /* What has come. */
    uint32_t head_bytes, field_count;
    bool head_over; /* longer than the limit: what came behind it was dropped */
    bool head_done;
    bool client_ended;

    /* What goes out. */
    bool answered; /* a head was handed to us */
    bool ended;    /* after what waits come the trailers */
    bool closed;   /* all was sent, or the stream was reset */
    uint8_t lead[H2_LEAD_BYTES];
    uint8_t lead_at, lead_bytes;
    struct buf body;
    size_t body_at;
};

struct h2_field {
    struct slice name, value;
};

struct h2_owner {
    /* A request begins; false: no memory for it, the stream is reset. */
    bool (*begin)(void *arg, struct h2_stream *stream);
    void (*field)(void *arg, struct h2_stream *stream, struct slice name, struct slice value);
    void (*head)(void *arg, struct h2_stream *stream); /* the head is whole */
    /* A piece of the body; the window opens again when h2_took() says so. */
    void (*data)(void *arg, struct h2_stream *stream, struct slice piece);
    void (*end)(void *arg, struct h2_stream *stream); /* the client sends no more on it */
    /* Everything of the body was taken; after h2_end() the trailers are due: h2_trailers(). */
    void (*drained)(void *arg, struct h2_stream *stream);
    void (*closed)(void *arg, struct h2_stream *stream); /* only after begin() */
    void (*pong)(void *arg);
    void *arg;
};

struct h2_options {
    struct h2_owner owner;
    uint32_t streams_max;
    uint32_t head_bytes_max;
    uint32_t window_bytes;      /* of a stream */
    uint32_t conn_window_bytes; /* of the connection: given back at once */
};
NODISCARD
status h2_open(const struct h2_options *options, struct h2 **out, struct err *err);
/* closed() is called for each stream that is open. Accepts NULL. */
void h2_close(struct h2 *h);

/* False: what came cannot be gone on with; what h2_take() still gives is to be sent, then the
 * connection closed. now_ms: monotonic, for the counting. */
bool h2_feed(struct h2 *h, const uint8_t *data, size_t bytes, uint64_t now_ms);
/* Appends what is to be sent, until there is no more or out holds bytes_max. False when memory is
 * out: the connection is done for. */
bool h2_take(struct h2 *h, struct buf *out, size_t bytes_max);
struct h2_stream *h2_first(const struct h2 *h); /* of those that are open; NULL: none is */
bool h2_settled(const struct h2 *h);            /* the client's first SETTINGS have come */
/* Nothing will come or go any more. */
bool h2_over(const struct h2 *h);
/* Why h2_feed() said false, for a log: "bad preface", "flood". "" else. */
const char *h2_trouble(const struct h2 *h);
bool h2_bad_preface(const struct h2 *h); /* it was not HTTP/2 at all */

void h2_took(struct h2_stream *stream, size_t bytes);
/* The answer's head; `last`: nothing follows. */
void h2_head(struct h2_stream *stream, const struct h2_field *fields, size_t count, bool last);
/* Appends a message: the lead (NULL: none) and body, whose memory is taken. One with a lead only
 * when nothing waits. False when there is no memory: the stream is reset. */
bool h2_body(struct h2_stream *stream, const uint8_t lead[H2_LEAD_BYTES], struct buf *body);
void h2_end(struct h2_stream *stream);
void h2_trailers(struct h2_stream *stream, const struct h2_field *fields, size_t count);
void h2_reset(struct h2_stream *stream, enum h2_code code);

/* First GOAWAY: no stream is refused for it yet. A PING goes with it, whose pong() says that the
 * client has read it. */
void h2_notice(struct h2 *h);
/* Second GOAWAY: names the last stream that is served. `why`: a few words, or NULL. */
void h2_goaway(struct h2 *h, enum h2_code code, const char *why);
void h2_ping(struct h2 *h);

#endif
