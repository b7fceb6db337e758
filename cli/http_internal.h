/* http_internal.h - what http.c and http_pieces.c share. */
#ifndef CLI_HTTP_INTERNAL_H
#define CLI_HTTP_INTERNAL_H

#include "cli/http.h"

/* Connects and sends the head of a request whose body has so many bytes; the connection is for it
 * alone. */
NODISCARD
status http_send_head(const char *url, const char *method, const char *path, const char *header,
                      uint64_t body_bytes, int *fd, struct err *err);
/* A whole answer, in one piece. */
NODISCARD
status http_read_answer(int fd, struct http_answer *out, struct err *err);
/* Appends what comes to out, at least a byte; *end: the other side has closed. */
NODISCARD
status http_receive(int fd, struct buf *out, bool *end, struct err *err);
/* The value of a header, NULL if absent; head ends in NUL. */
const char *http_find_header(const char *head, const char *name);

#endif
