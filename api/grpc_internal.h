/* grpc_internal.h - the gRPC door's connections and streams. Everything here is the loop's alone
 * but for what says otherwise. */
#ifndef API_GRPC_INTERNAL_H
#define API_GRPC_INTERNAL_H

#include "api/grpc_frame.h"
#include "api/h2.h"
#include "api/server_internal.h"

enum {
    H2_STREAMS_MAX = 256, /* under way on one connection */
    H2_WINDOW_BYTES = 1024 * 1024,
    H2_CONN_WINDOW_BYTES = 4 * 1024 * 1024,
    H2_WRITE_BYTES = 64 * 1024, /* put together for one write */
    /* What a client has for its first frames. */
    H2_HELLO_MS = 10000,
    /* Streams are open and nothing comes: asked after so long whether someone is there, and given
     * up when no answer came in so long. */
    H2_QUIET_MS = 60000,
    H2_PONG_MS = 20000,
    /* Between the two GOAWAYs, when the client does not answer the PING between them. */
    H2_NOTICE_MS = 1000,
    GRPC_PATH_BYTES = 160,            /* of a path we repeat */
    GRPC_SAID_BYTES_MAX = 256 * 1024, /* of a stream's messages that were not taken */
    GRPC_WORDS_BYTES = 1024,          /* of them, said when all answers are over their bound too */
    GRPC_WATCH_MS = 250,              /* how often those who watch are told of a change */
    GRPC_WAIT_MS = 1000,              /* the shortest a client of a write may want to wait */
    GRPC_LOOK_MS = 50,                /* between looks at one that is not with node yet */
};

enum h2_conn_state {
    H2_OPEN,
    H2_NOTICED, /* the first GOAWAY is out */
    H2_LEAVING, /* the second one: ends with its last stream */
    H2_LINGER,  /* all was sent; what still comes is dropped */
    H2_CLOSING,
};

struct h2_conn {
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_write_t write;
    uv_shutdown_t shutdown;
    unsigned handles; /* open ones; the memory goes with the last */
    struct server *server;
    struct h2_conn *prev, *next;
    struct h2_conn *dirty_next;
    bool dirty;
    enum h2_conn_state state;
    struct h2 *h2;
    struct grpc_stream *streams;
    uint32_t stream_count;
    bool refusal; /* over the connection limit: counted apart */
    bool reading, writing;
    bool greeted; /* a first request came */
    bool asked;   /* a PING of ours has no answer yet */
    uint64_t linger_bytes;
    uint64_t timer_ms; /* loop time the timer is set to; UINT64_MAX: it is not */
    uint64_t idle_ms;  /* loop time since when there is no stream */
    uint64_t heard_ms; /* of the last bytes */
    uint64_t state_ms; /* since when it is in its state */
    uint64_t write_ms; /* since when a write waits */
    struct buf rest;   /* what the socket did not take at once */
};

enum grpc_stream_state {
    GRPC_STREAM_HEAD,
    GRPC_STREAM_BODY,
    GRPC_STREAM_LENT,     /* its request is with a worker */
    GRPC_STREAM_WATCHING, /* has its head and goes on */
    GRPC_STREAM_ANSWERED, /* all of the answer is handed over */
};

/* A method of the transport's own. */
struct grpc_own {
    const char *path;
    bool streams; /* is given each message as it comes; others are given the one when it is whole */
    void (*message)(struct grpc_stream *g, struct slice message);
};

struct grpc_stream {
    struct h2_conn *conn;
    struct h2_stream *h2;
    struct grpc_stream *prev, *next;               /* the connection's */
    struct grpc_stream *hungry_prev, *hungry_next; /* who waits for a window, the server's */
    enum grpc_stream_state state;

    /* The head. */
    const struct grpc_method *method; /* or own, or neither */
    const struct grpc_own *own;
    char path[GRPC_PATH_BYTES];
    char id[REQUEST_ID_BYTES_MAX + 1];
    bool is_post, is_grpc, is_encoded, bad_timeout;
    bool is_qdrant;
    uint64_t timeout_ns; /* UINT64_MAX: none */

    /* The message. */
    struct grpc_reader in;
    bool whole;
    bool hungry;
    uint64_t charged; /* of the bound on bodies */
    size_t bytes_in;
    size_t withheld;   /* came, and the window was not opened for it again */
    uint64_t begun_ms; /* loop time */
    uint64_t due_ms;   /* loop time when something has to happen; UINT64_MAX: never */
    uint64_t lent_ms;  /* loop time when its request went to a worker */
    uint64_t late_ms;  /* loop time when it is not waited for any more */
    struct request *req;

    /* The answer. */
    uint64_t start_ns;
    enum grpc_status status;
    char text[ERR_TEXT_BYTES];
    uint32_t retry_after_s;
    uint64_t out_charged;
    size_t bytes_out;
    bool accounted;
    uint8_t watched; /* what a watcher was told last */
    bool known;      /* it watches a service that is here */
};

/* h2_conn.c */
void h2_conn_accept(struct listener *l);
void h2_conn_drain(struct h2_conn *c);
void h2_conn_close(struct h2_conn *c);
/* Something is to be sent: by the next server_flush(). */
void h2_conn_touch(struct h2_conn *c);
/* The timer comes no later than at_ms. */
void h2_conn_want(struct h2_conn *c, uint64_t at_ms);
void h2_flush(struct server *s);
void h2_conn_pong(void *conn);

/* grpc_stream.c: what comes */
struct h2_owner grpc_owner(struct h2_conn *c);
/* Streams that waited for room among the bodies go on if there is some. */
void grpc_open_windows(struct server *s);
/* The message is not needed any more, or belongs to a request now. */
void grpc_drop_message(struct grpc_stream *g);

/* grpc_answer.c: what goes */
/* A stream whose time has come. */
void grpc_stream_due(struct grpc_stream *g);
/* The server ends: who watches is told. */
void grpc_stream_drain(struct grpc_stream *g);
void grpc_account(struct grpc_stream *g, enum grpc_status code);
void grpc_drained(void *conn, struct h2_stream *h2);
/* The answer's memory counts no more. */
void grpc_uncharge(struct grpc_stream *g);
void grpc_fail_http(struct grpc_stream *g);
/* Answers without a message: before a head was sent with trailers alone. */
void grpc_fail(struct grpc_stream *g, enum grpc_status code, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* One message of an own method; the stream stays open. False: the stream is gone. */
bool grpc_say(struct grpc_stream *g, struct slice message);
/* After the last message: OK. */
void grpc_done(struct grpc_stream *g);

/* grpc_reflection.c */
extern const struct grpc_own GRPC_REFLECTION, GRPC_REFLECTION_ALPHA;

/* grpc_health.c */
extern const struct grpc_own GRPC_HEALTH_CHECK, GRPC_HEALTH_WATCH;
void grpc_watch_look(struct grpc_stream *g); /* tells a watcher what changed */

#endif
