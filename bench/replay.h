/* replay.h - sends requests that were made beforehand, as fast as they are answered, and tells what
 * that cost: the same client for every server, whatever it speaks.
 *
 * What a client spends is little and the same for all: a send, a receive, a look for the answer's
 * end. Requests go out whole; each client has one connection and one request under way.
 *
 * Threads    replay_run() starts one a client and joins them.
 * Ownership  requests borrow from the caller. */
#ifndef BENCH_REPLAY_H
#define BENCH_REPLAY_H

#include "base/bytes.h"

#include <stdio.h>
#include <sys/types.h>

enum replay_protocol {
    REPLAY_HTTP, /* HTTP/1.1, Content-Length or chunks */
    REPLAY_RESP, /* Redis */
    REPLAY_PG,   /* PostgreSQL, version 3: an answer ends with ReadyForQuery */
};

struct replay {
    uint16_t port; /* of 127.0.0.1 */
    enum replay_protocol protocol;
    /* Said first on each connection, each awaiting its answer: u32 lengths (little endian), each
     * before its bytes; may be empty. */
    struct slice hello;
    const struct slice *requests;
    uint32_t count; /* of requests; client i begins with one of its own and goes round */
    unsigned clients;
    double seconds;
    const pid_t *servers; /* whose CPU is told together */
    unsigned server_count;
};

struct replay_told {
    uint64_t answers, failures;
    double wall_s, server_cpu_s, client_cpu_s;
    double p50_us, p95_us, p99_us;
};
/* False: no connection, no thread or no memory; said on stderr. */
NODISCARD
bool replay_run(const struct replay *r, struct replay_told *out);
/* Each request once on one connection; each answer as a u32 length (little endian) and its bytes,
 * the body alone of HTTP. False as above, or when one failed. */
NODISCARD
bool replay_once(const struct replay *r, FILE *answers);

double replay_cpu_s(pid_t process); /* spent by all its threads, ended ones too; 0: no process */

#endif
