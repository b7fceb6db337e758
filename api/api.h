/* api.h - the REST door: one libuv loop that frames HTTP/1.1, workers that parse, decide and print.
 *
 * The loop thread does sockets and framing only. A whole request becomes a task (base/exec.h) with
 * an estimated cost; its handler runs on a worker, either answers there or starts an asynchronous
 * operation whose callback answers. Replies go back to the loop in batches.
 *
 * Threads    api_open starts the loop thread ("api-loop-0"). api_close waits until node has called
 *            back for everything it was handed: call it before exec_close and node_close.
 * Limits     options below; each refused with a 4xx or 503 that says which limit and its number.
 * Failure    bad input never gets a 5xx; every error is application/problem+json. */
#ifndef API_API_H
#define API_API_H

#include "node/node.h"

struct api;
struct api_options {
    struct node *node;   /* borrowed */
    struct exec *exec;   /* borrowed */
    struct stats *stats; /* borrowed */
    struct clock *clock;
    struct rand_source *rand;
    const char *host;    /* address to bind, IPv4 or IPv6 */
    uint16_t port;       /* 0: any; api_port() tells */
    uint32_t timeout_ms; /* of a request, whole */
    uint32_t connections_max;
    uint32_t header_bytes_max; /* 16 KiB */
    uint64_t body_bytes_max;
    uint32_t batch_max; /* documents a request */
    uint32_t slow_query_ms;
    uint64_t bodies_bytes_max;  /* of all requests under way; 0: 4 x the larger bound of a body */
    uint64_t replies_bytes_max; /* of large answers not yet read; 0: 4 x REPLY_BYTES_MAX */
    uint32_t idle_ms;           /* a kept connection without a request; 0: 75 s */
    bool metrics_enabled;
    bool log_requests;
    /* gRPC, on a port of its own of the same host. */
    bool grpc;
    uint16_t grpc_port; /* 0: any; api_grpc_port() tells */
    bool grpc_optional; /* nobody chose the port: without it if somebody else has it */
    /* The compatible dialect, which the first listener answers too. */
    const char *qdrant_host;        /* a listener of its own; NULL or "": none */
    uint16_t qdrant_port;           /* 0: any; api_qdrant_port() tells */
    uint64_t qdrant_body_bytes_max; /* 0: body_bytes_max */
    bool qdrant_string_ids;         /* collections made by it take any text as an id */
};
NODISCARD
status api_open(const struct api_options *options, struct api **out, struct err *err);
uint16_t api_port(const struct api *api);
uint16_t api_qdrant_port(const struct api *api); /* 0: it has no listener of its own */
uint16_t api_grpc_port(const struct api *api);   /* 0: there is no gRPC */
/* Stops accepting, /ready says 503, answers what is under way (at most drain_ms), closes. */
void api_drain(struct api *api, uint32_t drain_ms);
void api_close(struct api *api);

#endif
