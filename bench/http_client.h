/* http_client.h - the smallest blocking HTTP/1.1 client, for benchmarks: one kept connection, whole
 * requests in, whole answers out. Threads: a client belongs to one. */
#ifndef BENCH_HTTP_CLIENT_H
#define BENCH_HTTP_CLIENT_H

#include "base/bytes.h"

/* -1 when nobody listens. */
int http_connect(uint16_t port);
/* Sends and reads one answer into `answer` (capacity bytes, NUL terminated); its HTTP status, or 0
 * when the connection broke or the answer is larger. *body: where the answer's body begins. */
int http_exchange(int fd, struct slice request, char *answer, size_t capacity, const char **body);
/* "METHOD path" with a JSON body (which may be empty), appended to out. */
void http_request(struct buf *out, const char *method, const char *path, struct slice body);

#endif
