/* http_script.h - an HTTP server that says exactly what a test wrote down: the n-th request that
 * arrives, over whatever connection, gets the n-th line of the script, later ones the last.
 *
 *     static const struct http_line lines[] = {{.answer = "HTTP/1.1 200 OK\r\n...", .end =
 * HTTP_RESET}}; struct http_script *h = http_script_start(lines, COUNT_OF(lines));
 *     ... http_script_port(h) ...
 *     http_script_stop(h);
 *
 * Threads    one for accepting and one a connection, all ended by _stop(). 127.0.0.1 alone.
 * Limits     HTTP_SCRIPT_REQUESTS requests are kept, HTTP_SCRIPT_TEXT_BYTES of each head. */
#ifndef TESTS_SUPPORT_HTTP_SCRIPT_H
#define TESTS_SUPPORT_HTTP_SCRIPT_H

#include "base/status.h"

enum { HTTP_SCRIPT_REQUESTS = 64, HTTP_SCRIPT_TEXT_BYTES = 8192 };

enum http_end {
    HTTP_KEEP = 0, /* the connection waits for the next request */
    HTTP_CLOSE,
    HTTP_RESET, /* RST instead of FIN: what was sent may be lost */
    HTTP_HANG,  /* says nothing more until the script is stopped */
};

struct http_line {
    const char *answer; /* NULL: nothing */
    size_t repeats;     /* `more` is sent so often behind it */
    const char *more;
    uint32_t drip_ms;   /* between the bytes of `answer` behind its head */
    bool before_body;   /* answers when the head is there; the body is not read */
    bool says_continue; /* 100 Continue, then reads the body */
    enum http_end end;
};

struct http_script;
struct http_script *http_script_start(const struct http_line *lines, size_t count);
void http_script_stop(struct http_script *h);
/* From here on the first line is for so many requests a second and the second for the rest; 0: the
 * first for all. Heads are kept no more, and there may be any number. */
void http_script_limit(struct http_script *h, unsigned per_second);
uint16_t http_script_port(const struct http_script *h);
size_t http_script_requests(struct http_script *h);
size_t http_script_connections(struct http_script *h);
/* Head of the n-th request, and how many bytes of body came behind it. */
const char *http_script_head(struct http_script *h, size_t n);
size_t http_script_body_bytes(struct http_script *h, size_t n);
/* Its first HTTP_SCRIPT_TEXT_BYTES - 1 bytes, as a text. */
const char *http_script_body(struct http_script *h, size_t n);
/* Waits until so many requests have arrived. */
void http_script_wait(struct http_script *h, size_t requests);

#endif
