/* api_internal.h - what the files of api/ share: the door itself, its loop and its meters. */
#ifndef API_API_INTERNAL_H
#define API_API_INTERNAL_H

#include "api/api.h"
#include "api/metrics.h"
#include "api/request.h"

/* What nobody reads any more is counted under nginx's number for it; it is never sent. */
enum { HTTP_CLIENT_GONE = 499 };

struct imports;
struct server;
struct snapshots;

struct api {
    /* Set by api_open(), never changed after it. */
    struct api_options options;
    struct server *server;
    struct metrics *metrics;
    struct imports *imports;     /* what is told of them (import.h) */
    struct snapshots *snapshots; /* which are being made (qdrant_snapshot.h) */
    struct jdoc **docs; /* one a worker and cold thread, made when first needed; its alone */
    unsigned worker_count, doc_count;
    uint64_t id_seed;
    uint64_t start_ns; /* monotonic */

    _Atomic uint64_t id_count;
    _Atomic uint32_t
        running;           /* workers inside request_run(), which outlasts its request's answer */
    _Atomic bool draining; /* set by api_drain(), read by the loop and /ready */
    _Atomic uint64_t reply_bytes;   /* of large answers between worker and socket */
    _Atomic uint64_t query_bytes;   /* what queries hold that wait between their slices */
    _Atomic uint64_t line_bytes;    /* of lines of imports that are not whole yet */
    _Atomic uint64_t message_bytes; /* of bodies that large gRPC messages became */
};

/* The routes (handlers.c). */
extern const struct route API_ROUTES[];
extern const size_t API_ROUTE_COUNT;

/* Runs on a worker: the first step of every request. */
task_state request_run(struct task *task);
/* The JSON reader of the calling thread, a worker or a cold thread: a place in api->docs. */
struct jdoc **request_doc(struct api *api);
/* What a request may cost before anything of it was read. */
uint64_t request_cost_ns(const struct request *req);
/* Prints a problem into req's answer without giving the request back. */
void request_set_problem(struct request *req, enum problem p, const char *detail);
/* 16 hex digits. */
void request_make_id(struct api *api, char id[REQUEST_ID_BYTES_MAX + 1]);
/* What a client sent, without what does not belong in an id; false if nothing is left. */
bool request_clean_id(struct slice sent, char id[REQUEST_ID_BYTES_MAX + 1]);

/* server.c */
NODISCARD
status server_open(struct api *api, struct server **out, struct err *err);
void server_drain(struct server *s, uint32_t drain_ms);
void server_close(struct server *s);
uint16_t server_port(const struct server *s);
uint16_t server_qdrant_port(const struct server *s); /* 0: none */
uint16_t server_grpc_port(const struct server *s);   /* 0: none */
/* Work that goes on behind an answer: server_close() waits until it has ended. */
void server_job_begin(struct server *s);
void server_job_end(struct server *s);
/* From any thread: the loop looks at what it is told by other means. */
void server_wake(struct server *s);
/* From any thread, never waits: the request goes back to the loop. */
void server_reply(struct server *s, struct request *req);
uint32_t server_connections(const struct server *s);

#endif
