/* grpc_client.h - a small gRPC client for tests: nghttp2's client session over a blocking socket.
 *
 * Threads    one. A client that waits longer than 10 s fails the test. */
#ifndef TESTS_API_GRPC_CLIENT_H
#define TESTS_API_GRPC_CLIENT_H

#include "tests/unit/api/world.h"

enum { GRPC_CLIENT_CALLS = 512 };

struct grpc_said {
    int32_t id;      /* of the stream; 0: none */
    bool ended;      /* the stream is closed */
    uint32_t code;   /* of the reset, 0: none */
    int http_status; /* 0: no head came */
    int status;      /* -1: no grpc-status came */
    char text[512];  /* as sent */
    char retry_after[16];
    char request_id[132];
    char content_type[64];
    struct buf body;  /* with gRPC's prefixes */
    struct buf *sent; /* the client's own */
};

struct grpc_client {
    int fd;
    void *session;
    struct grpc_said calls[GRPC_CLIENT_CALLS];
    unsigned count;
    unsigned goaways;
    uint32_t goaway_code;
    char goaway_text[128];
    bool ended;      /* the connection */
    bool no_windows; /* takes nothing of what it is sent */
};

int grpc_client_connect(const struct world *w); /* a socket alone */
/* window: the client's, of a stream; 0: HTTP/2's own 64 KiB. */
void grpc_client_open(struct grpc_client *c, const struct world *w, int32_t window);
void grpc_client_close(struct grpc_client *c);
struct grpc_ask {
    const char *path;
    struct slice message;     /* without prefix */
    const char *timeout;      /* grpc-timeout, or NULL */
    const char *encoding;     /* grpc-encoding, or NULL */
    const char *content_type; /* NULL: application/grpc */
    const char *verb;         /* NULL: POST */
    const char *id;           /* x-request-id, or NULL */
    const struct slice *wire; /* what is sent in place of prefix and message */
    bool open;                /* the stream is not ended: nothing is sent but the head */
};
/* Begins a call; its place among `calls`. */
unsigned grpc_client_begin(struct grpc_client *c, const struct grpc_ask *ask);
void grpc_client_cancel(struct grpc_client *c, unsigned call);
/* Until that call is over, or the connection is. */
void grpc_client_wait(struct grpc_client *c, unsigned call);
/* Until the call's answer has as many bytes, or it is over. */
void grpc_client_wait_bytes(struct grpc_client *c, unsigned call, size_t bytes);
/* One read of whatever comes, and what is to be said to it; false at the end. */
bool grpc_client_listen(struct grpc_client *c);
/* nghttp2 reads no GOAWAY once one came and no call is open. */
void grpc_client_wait_goaways(struct grpc_client *c, unsigned count);
void grpc_client_wait_end(struct grpc_client *c);
/* The same of a client that says nothing any more, to a PING neither. */
void grpc_client_wait_end_unanswered(struct grpc_client *c);
/* begin and wait */
const struct grpc_said *grpc_client_ask(struct grpc_client *c, const char *path,
                                        struct slice message);

#endif
