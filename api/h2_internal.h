/* h2_internal.h - one HTTP/2 session, as h2.c (what comes) and h2_send.c (what goes) share it. */
#ifndef API_H2_INTERNAL_H
#define API_H2_INTERNAL_H

#include "api/h2.h"

#include <nghttp2/nghttp2.h>

/* What a client may spend and regains with time. */
struct h2_purse {
    uint32_t left, full, per_s;
    uint64_t filled_ms;
};

struct h2 {
    nghttp2_session *session;
    struct h2_owner owner;
    uint32_t head_bytes_max;
    struct h2_stream *streams; /* that are open */
    struct h2_purse resets, controls;
    uint64_t now_ms;
    bool dead; /* memory is out, or the session cannot go on */
    bool settled;
    bool client_leaves; /* said GOAWAY: nghttp2 reads no further once no stream is open */
    bool bad_preface;
    const char *trouble;
};

/* Takes one from the purse; when it is empty the connection is told to calm down. */
void h2_spend(struct h2 *h, struct h2_purse *p, const char *trouble);
struct h2_stream *h2_stream_of(struct h2 *h, int32_t id); /* NULL: it is not open */
/* h2_send.c: a frame was sent. */
int h2_on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user);

#endif
