/* server_internal.h - the loop thread and its connections. Everything here is the loop's alone but
 * for what says otherwise. */
#ifndef API_SERVER_INTERNAL_H
#define API_SERVER_INTERNAL_H

#include "api/api_internal.h"
#include "api/download.h"
#include "api/http1.h"
#include "api/upload.h"
#include "base/lock.h"

#include <uv.h>

enum {
    /* One read; also what a connection may hold of requests that wait behind the one under way. */
    SERVER_READ_BYTES = 64 * 1024,
    SERVER_IDLE_MS = 75000,
    /* After its deadline a request that is still under way gets this long before the client is
     * told that it came too late. */
    SERVER_LATE_MS = 1000,
    /* A connection we close is read on for this long, so that the answer is not lost in a reset:
     * many clients send all of a body before they read. */
    SERVER_LINGER_MS = 1000,
    SERVER_LINGER_BYTES_MAX = 64 * 1024 * 1024,
    /* One whose upload was answered before its end, whatever its length. */
    SERVER_UPLOAD_LINGER_MS = 60000,
    SERVER_TICK_MS = 50, /* between looks at what uploads wait for */
    /* Connections over the limit that are being told so; beyond these they are closed unheard. */
    SERVER_REFUSALS_MAX = 64,
    SERVER_BACKLOG = 511,
    SERVER_LISTENERS = 3,        /* ours, the compatible dialect's own, gRPC's */
    SERVER_HEAD_BYTES_MAX = 640, /* of an answer */
    SERVER_DATE_BYTES = 32,
};

enum conn_state {
    CONN_IDLE,      /* nothing of a next request has come */
    CONN_READING,   /* a head or a body */
    CONN_STREAMING, /* its request is with a worker, and the body goes on coming (upload.h) */
    CONN_BUSY,      /* its request is with a worker */
    CONN_WRITING,   /* an answer, or a piece of it, did not fit into the socket at once */
    CONN_LINGER,    /* answered for the last time; what still comes is dropped */
    CONN_CLOSING,
};

struct conn {
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_write_t write;
    uv_shutdown_t shutdown;
    unsigned handles; /* open ones; the memory goes with the last */
    struct server *server;
    struct conn *prev, *next;
    enum conn_state state;
    struct http1 http;
    struct request *req; /* being read, or lent to a worker (CONN_BUSY) */
    struct buf pending;  /* bytes behind the request under way */
    size_t pending_at;
    uint64_t linger_bytes;
    uint64_t begun_ms; /* loop time of the first byte of the request */
    uint64_t late_ms;  /* loop time when the client of a request under way is told so */
    bool waits_less;   /* its client wants to know sooner that a write is under way */
    bool refusal;      /* over the connection limit: counted apart */
    bool qdrant;       /* came by the compatible dialect's own listener */
    bool reading;      /* uv_read_start is on */
    bool eof;          /* the client sends no more */
    bool keep_alive;   /* after the answer under way */
    bool head_only;    /* HEAD: the answer has no body */
    bool pumping;      /* feed() is running */
    bool paused;       /* its upload is full */
    bool timed;        /* the request being read has its timeout running */
    bool piece_sent;   /* of a download: its head has gone out */
    bool sends_on;     /* it was answered in the middle of its upload */

    char out_head[SERVER_HEAD_BYTES_MAX];
    struct buf out;
    struct slice out_tail; /* constant text behind out */
    uint64_t out_charged;
};

/* Where connections come from. */
struct listener {
    uv_tcp_t tcp;
    struct server *server;
    bool open;
    bool qdrant; /* what has no path yet is answered in the compatible dialect */
    bool grpc;   /* speaks HTTP/2 */
    bool wanted; /* a connection waits for the spare handle */
    uint16_t port;
};

struct server {
    /* Set by server_open(), never changed after it. */
    struct api *api; /* borrowed */
    uint64_t bodies_bytes_max;
    uint64_t body_bytes_max; /* the larger of both dialects */
    uint32_t idle_ms;
    struct thread thread;

    uv_loop_t loop;
    struct listener listeners[SERVER_LISTENERS];
    uv_async_t wake;
    uv_timer_t tick; /* runs while there are uploads */
    struct upload *uploads;
    bool listening;
    bool wake_open;
    uv_tcp_t spare;
    bool spare_busy;
    struct conn *conns;
    struct h2_conn *h2_conns;
    struct h2_conn *h2_dirty;   /* have something to send */
    struct grpc_stream *hungry; /* wait for room among the bodies */
    uint64_t grpc_lent_bytes;   /* of bodies with workers: room that will come */
    struct buf h2_out;          /* what goes out next */
    uint32_t refusals;
    uint64_t body_bytes; /* of all requests that have not ended */
    time_t date_at;
    char date[SERVER_DATE_BYTES];
    uint8_t scratch[SERVER_READ_BYTES];

    _Atomic uint32_t conn_count;         /* written by the loop, read by /metrics */
    _Atomic uint32_t under_way;          /* requests lent out, and jobs behind answers */
    _Atomic uint32_t callers;            /* threads inside server_wake(); the loop waits for them */
    _Atomic bool closing;                /* set by server_close(), read by the loop */
    _Atomic(struct request *) reply_top; /* newest first; pushed by any thread, taken whole by the
                                            loop */
    struct {                             /* guarded by lock */
        struct lock lock;                /* LOCK_RANK_API */
        struct cond changed;
        bool quiet; /* draining, and nothing is left */
    } drain;
};

/* arrive.c */
/* Finds the route and what of the head is refused; the answer's status is then set. */
void request_arrived(struct request *req, const struct http1_head *head);
/* What a whole request has of left_ms: a read less, if its client says so. */
uint64_t request_time_ms(const struct request *req, uint64_t left_ms);

/* conn_upload.c: a body that goes to a worker while it comes. Each does what its like in conn.c
 * does for other requests. */
bool conn_upload_any_length(const struct http1_head *head);
/* The head is whole; false when the connection was answered for good. */
bool conn_upload_begin(struct conn *c, bool more_is_here);
void conn_upload_piece(struct conn *c, struct slice piece);
void conn_upload_end(struct conn *c, enum upload_end end);
/* No byte came, or the task got nothing done, for the time of a request. */
void conn_upload_timer(struct conn *c);
/* Bytes came from the socket. */
void conn_upload_touch(struct conn *c);
void conn_upload_forget(struct server *s, struct upload *u);
/* What tasks and time ask for. */
void server_look_at_uploads(struct server *s);
void server_on_tick(uv_timer_t *tick);

/* conn_download.c: an answer in pieces. */
void conn_download_piece(struct conn *c, struct request *req);
/* The piece is with the socket. */
void conn_download_sent(struct conn *c);
/* The socket took nothing more for the time of a request? */
bool conn_download_stuck(struct conn *c);

/* conn.c */
/* An empty one of this connection; NULL: out of memory. */
struct request *conn_request_new(struct conn *c);
void conn_say_continue(struct conn *c, bool more_is_here);
void conn_arm(struct conn *c, uint64_t timeout_ms);
void conn_reading(struct conn *c, bool on);
void conn_lend(struct conn *c, struct request *req);
/* Bytes that waited behind the last request; then the socket again. */
void conn_resume(struct conn *c);
void conn_close(struct conn *c);
/* The client is told that its request is still under way, which goes on without it. */
void conn_answer_late(struct conn *c);
/* Draining: what is idle goes at once, what is busy after its answer. */
void conn_drain(struct conn *c);

/* conn_answer.c */
/* A request came back: its answer goes out, or is dropped if nobody waits. */
void conn_answer(struct request *req);
/* Answers what was being read with a problem, and closes. */
void conn_refuse(struct conn *c, enum problem p, const char *detail);
/* All of an answer is with the socket. */
void conn_answered(struct conn *c);
/* Sends out_head[0..head_bytes), out and out_tail. */
void conn_write_out(struct conn *c, size_t head_bytes);
/* The head of an answer without the blank line, as far as room goes. */
size_t conn_print_head(struct conn *c, const struct request *req, const char *framing);
void conn_account(struct server *s, const struct request *req);

/* conn_accept.c */
void conn_accept(struct listener *l);
/* No memory for a connection. */
void conn_turn_away(struct listener *l);

/* grpc_stream.c: conn_answer() for what came by the gRPC door. */
void grpc_answer(struct request *req);

/* server.c */
void server_accept(struct listener *l);
void server_request_free(struct server *s, struct request *req);
const char *server_date(struct server *s);
void server_check_quiet(struct server *s);

#endif
