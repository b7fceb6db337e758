/* h2.c - HTTP/2 over nghttp2's session on memory, and the bounds it does not have. */
#include "api/h2.h"

#include "base/mem.h"

#include <nghttp2/nghttp2.h>

/* What a client may spend and regains with time. */
struct purse {
    uint32_t left, full, per_s;
    uint64_t filled_ms;
};

struct h2 {
    nghttp2_session *session;
    struct h2_owner owner;
    uint32_t head_bytes_max;
    struct h2_stream *streams; /* that are open */
    struct purse resets, controls;
    uint64_t now_ms;
    bool dead; /* memory is out, or the session cannot go on */
    bool settled;
    bool bad_preface;
    const char *trouble;
};

/* --- memory, as the rest of the program has it --- */

static void *take_memory(size_t bytes, void *arg)
{
    (void)arg;
    return mem_alloc(bytes);
}

static void free_memory(void *memory, void *arg)
{
    (void)arg;
    mem_free(memory);
}

static void *take_zeros(size_t count, size_t bytes, void *arg)
{
    (void)arg;
    return mem_zero_array(count, bytes);
}

static void *resize_memory(void *memory, size_t bytes, void *arg)
{
    (void)arg;
    return mem_resize(memory, bytes);
}

/* --- counting --- */

static void fill(struct purse *p, uint64_t now_ms)
{
    uint64_t more;

    if (now_ms <= p->filled_ms)
        return;
    more = (now_ms - p->filled_ms) * p->per_s / 1000u;
    if (more == 0)
        return;
    p->left = more >= p->full - p->left ? p->full : p->left + (uint32_t)more;
    p->filled_ms = now_ms;
}

static void calm_down(struct h2 *h, const char *trouble)
{
    if (h->trouble != NULL)
        return;
    h->trouble = trouble;
    if (nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM) != 0)
        h->dead = true;
}

static void spend(struct h2 *h, struct purse *p, const char *trouble)
{
    fill(p, h->now_ms);
    if (p->left > 0)
        p->left--;
    else
        calm_down(h, trouble);
}

static void regain(struct purse *p, uint32_t more)
{
    p->left = more >= p->full - p->left ? p->full : p->left + more;
}

/* Called for each frame, before anything of it is looked at: those it ignores too. */
static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    struct h2 *h = user;

    (void)session;
    switch (hd->type) {
    case NGHTTP2_HEADERS:
        break;
    case NGHTTP2_DATA:
        if (hd->length == 0 && (hd->flags & NGHTTP2_FLAG_END_STREAM) == 0)
            spend(h, &h->controls, "flood of empty DATA");
        break;
    case NGHTTP2_RST_STREAM:
        spend(h, &h->resets, "flood of resets");
        break;
    default:
        spend(h, &h->controls, "flood of control frames");
        break;
    }
    return 0;
}

/* --- what has come --- */

static struct h2_stream *stream_of(struct h2 *h, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h->session, id);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;
    struct h2_stream *st;

    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    st = mem_zero(sizeof *st);
    if (st == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    st->h2 = h;
    st->id = frame->hd.stream_id;
    if (!h->owner.begin(h->owner.arg, st)) {
        mem_free(st);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    st->next = h->streams;
    if (st->next != NULL)
        st->next->prev = st;
    h->streams = st;
    return nghttp2_session_set_stream_user_data(session, st->id, st) == 0
               ? 0
               : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_bytes, const uint8_t *value, size_t value_bytes, uint8_t flags,
                     void *user)
{
    enum { FIELD_BYTES = 32 }; /* what each counts beside its text: RFC 9113, 6.5.2 */
    struct h2 *h = user;
    struct h2_stream *st = stream_of(h, frame->hd.stream_id);

    (void)session;
    (void)flags;
    if (st == NULL || st->head_done || st->head_over)
        return 0;
    if (name_bytes + value_bytes + FIELD_BYTES > h->head_bytes_max - st->head_bytes ||
        st->field_count == H2_FIELDS_MAX) {
        st->head_over = true;
        return 0;
    }
    st->head_bytes += (uint32_t)(name_bytes + value_bytes + FIELD_BYTES);
    st->field_count++;
    h->owner.field(h->owner.arg, st, slice_make(name, name_bytes), slice_make(value, value_bytes));
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t bytes, void *user)
{
    struct h2 *h = user;
    struct h2_stream *st = stream_of(h, id);

    (void)flags;
    /* The connection's window never waits for one stream. */
    if (nghttp2_session_consume_connection(session, bytes) != 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (st != NULL)
        h->owner.data(h->owner.arg, st, slice_make(data, bytes));
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;
    struct h2_stream *st;

    (void)session;
    if (frame->hd.type == NGHTTP2_SETTINGS)
        h->settled = true;
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0)
        h->owner.pong(h->owner.arg);
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    st = stream_of(h, frame->hd.stream_id);
    if (st == NULL)
        return 0;
    if (!st->head_done) {
        st->head_done = true;
        h->owner.head(h->owner.arg, st);
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        st->client_ended = true;
        h->owner.end(h->owner.arg, st);
    }
    return 0;
}

static void end_stream(struct h2 *h, struct h2_stream *st)
{
    st->closed = true;
    if (st->prev != NULL)
        st->prev->next = st->next;
    else
        h->streams = st->next;
    if (st->next != NULL)
        st->next->prev = st->prev;
    h->owner.closed(h->owner.arg, st);
    buf_free(&st->body);
    mem_free(st);
}

static int on_closed(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct h2 *h = user;
    struct h2_stream *st = stream_of(h, id);

    (void)code;
    if (st == NULL)
        return 0;
    (void)nghttp2_session_set_stream_user_data(session, id, NULL);
    end_stream(h, st);
    return 0;
}

/* --- what goes out --- */

static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;
    struct h2_stream *st;

    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
        regain(&h->controls, H2_CONTROLS_PER_ANSWER);
        break;
    case NGHTTP2_RST_STREAM: /* a client that makes us reset streams costs us what resetting does */
        if (frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
            spend(h, &h->resets, "flood of requests that are none");
        return 0;
    default:
        return 0;
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        return 0;
    /* Answered before the client said all it has: it may stop. Not earlier, or the answer would be
     * dropped with the stream. */
    st = stream_of(h, frame->hd.stream_id);
    if (st != NULL && !st->client_ended &&
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_NO_ERROR) != 0)
        h->dead = true;
    return 0;
}

static size_t copy_out(struct h2_stream *st, uint8_t *to, size_t room)
{
    size_t lead = st->lead_bytes - st->lead_at;
    size_t left = st->body.bytes - st->body_at;

    if (lead > room)
        lead = room;
    memcpy(to, st->lead + st->lead_at, lead);
    st->lead_at = (uint8_t)(st->lead_at + lead);
    if (left > room - lead)
        left = room - lead;
    if (left > 0)
        memcpy(to + lead, st->body.data + st->body_at, left);
    st->body_at += left;
    return lead + left;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct h2 *h = user;
    struct h2_stream *st = source->ptr;
    size_t bytes = copy_out(st, to, room);

    (void)session;
    (void)id;
    if (st->lead_at < st->lead_bytes || st->body_at < st->body.bytes)
        return (ssize_t)bytes;
    buf_free(&st->body);
    st->body_at = 0;
    if (st->ended)
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    h->owner.drained(h->owner.arg, st);
    return bytes > 0 || st->ended ? (ssize_t)bytes : NGHTTP2_ERR_DEFERRED;
}

static void failed(struct h2_stream *st, int code)
{
    if (code == 0)
        return;
    if (nghttp2_is_fatal(code))
        st->h2->dead = true;
    else
        h2_reset(st, H2_INTERNAL_ERROR);
}

enum { SEND_FIELDS_MAX = 12 };

static size_t fields_out(const struct h2_field *fields, size_t count,
                         nghttp2_nv out[SEND_FIELDS_MAX])
{
    if (count > SEND_FIELDS_MAX)
        count = SEND_FIELDS_MAX;
    for (size_t i = 0; i < count; i++)
        out[i] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)fields[i].name.data,
                              .namelen = fields[i].name.bytes,
                              .value = (uint8_t *)(uintptr_t)fields[i].value.data,
                              .valuelen = fields[i].value.bytes,
                              .flags = NGHTTP2_NV_FLAG_NONE};
    return count;
}

void h2_head(struct h2_stream *st, const struct h2_field *fields, size_t count, bool last)
{
    nghttp2_nv out[SEND_FIELDS_MAX];
    nghttp2_data_provider body = {.source.ptr = st, .read_callback = read_body};

    if (st->closed || st->answered)
        return;
    st->answered = true;
    count = fields_out(fields, count, out);
    failed(st, nghttp2_submit_response(st->h2->session, st->id, out, count, last ? NULL : &body));
}

static void go_on(struct h2_stream *st)
{
    int code = nghttp2_session_resume_data(st->h2->session, st->id);

    if (nghttp2_is_fatal(code)) /* any other: it was not waiting */
        st->h2->dead = true;
}

bool h2_body(struct h2_stream *st, const uint8_t lead[H2_LEAD_BYTES], struct buf *body)
{
    bool first = st->lead_at == st->lead_bytes && st->body.bytes == 0;

    if (st->closed || st->ended) {
        buf_free(body);
        return false;
    }
    if (first) {
        if (lead != NULL)
            memcpy(st->lead, lead, H2_LEAD_BYTES);
        st->lead_at = 0;
        st->lead_bytes = lead != NULL ? H2_LEAD_BYTES : 0;
        st->body = *body;
        st->body_at = 0;
    } else {
        st->body.bytes_max = SIZE_MAX;
        if (lead != NULL)
            buf_put(&st->body, lead, H2_LEAD_BYTES);
        buf_put_slice(&st->body, buf_slice(body));
        buf_free(body);
    }
    if (first)
        buf_init(body, 0);
    if (st->body.failed) {
        h2_reset(st, H2_INTERNAL_ERROR);
        return false;
    }
    go_on(st);
    return true;
}

void h2_end(struct h2_stream *st)
{
    if (st->closed || st->ended)
        return;
    st->ended = true;
    go_on(st);
}

void h2_trailers(struct h2_stream *st, const struct h2_field *fields, size_t count)
{
    nghttp2_nv out[SEND_FIELDS_MAX];

    if (st->closed)
        return;
    count = fields_out(fields, count, out);
    failed(st, nghttp2_submit_trailer(st->h2->session, st->id, out, count));
}

void h2_reset(struct h2_stream *st, enum h2_code code)
{
    if (nghttp2_submit_rst_stream(st->h2->session, NGHTTP2_FLAG_NONE, st->id, (uint32_t)code) != 0)
        st->h2->dead = true;
}

void h2_took(struct h2_stream *st, size_t bytes)
{
    if (bytes > 0 && !st->closed && !st->client_ended &&
        nghttp2_session_consume_stream(st->h2->session, st->id, bytes) != 0)
        st->h2->dead = true;
}

bool h2_take(struct h2 *h, struct buf *out, size_t bytes_max)
{
    while (!h->dead && out->bytes < bytes_max) {
        const uint8_t *data;
        ssize_t bytes = nghttp2_session_mem_send(h->session, &data);

        if (bytes == 0)
            break;
        if (bytes < 0)
            h->dead = true;
        else
            buf_put(out, data, (size_t)bytes);
    }
    return !h->dead && !out->failed;
}

/* --- the whole --- */

bool h2_feed(struct h2 *h, const uint8_t *data, size_t bytes, uint64_t now_ms)
{
    ssize_t used;

    h->now_ms = now_ms;
    if (h->dead || h->trouble != NULL)
        return false;
    used = nghttp2_session_mem_recv(h->session, data, bytes);
    if (used == NGHTTP2_ERR_BAD_CLIENT_MAGIC) {
        h->bad_preface = true;
        h->trouble = "bad preface";
    } else if (used == NGHTTP2_ERR_FLOODED) {
        calm_down(h, "flood of frames that are to be answered");
    } else if (used < 0) {
        h->dead = true;
        h->trouble = nghttp2_strerror((int)used);
    }
    return !h->dead && h->trouble == NULL;
}

bool h2_over(const struct h2 *h)
{
    return h->dead || h->bad_preface ||
           (nghttp2_session_want_read(h->session) == 0 &&
            nghttp2_session_want_write(h->session) == 0);
}

bool h2_settled(const struct h2 *h)
{
    return h->settled;
}

const char *h2_trouble(const struct h2 *h)
{
    return h->trouble == NULL ? "" : h->trouble;
}

bool h2_bad_preface(const struct h2 *h)
{
    return h->bad_preface;
}

void h2_notice(struct h2 *h)
{
    if (nghttp2_submit_shutdown_notice(h->session) != 0)
        h->dead = true;
    h2_ping(h);
}

void h2_goaway(struct h2 *h, enum h2_code code, const char *why)
{
    int32_t last = nghttp2_session_get_last_proc_stream_id(h->session);
    size_t bytes = why == NULL ? 0 : strlen(why);

    if (nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, last, (uint32_t)code,
                              (const uint8_t *)why, bytes) != 0)
        h->dead = true;
}

void h2_ping(struct h2 *h)
{
    if (nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL) != 0)
        h->dead = true;
}

static int set_callbacks(nghttp2_session_callbacks **out)
{
    int code = nghttp2_session_callbacks_new(out);

    if (code != 0)
        return code;
    nghttp2_session_callbacks_set_on_begin_frame_callback(*out, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(*out, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(*out, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(*out, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(*out, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(*out, on_closed);
    nghttp2_session_callbacks_set_on_frame_send_callback(*out, on_sent);
    return 0;
}

/* Windows are given back by us, and closed streams are not kept for their priority. */
static int set_options(nghttp2_option **out)
{
    enum { ACKS_MAX = 256 };
    int code = nghttp2_option_new(out);

    if (code != 0)
        return code;
    nghttp2_option_set_no_auto_window_update(*out, 1);
    nghttp2_option_set_no_closed_streams(*out, 1);
    nghttp2_option_set_max_outbound_ack(*out, ACKS_MAX);
    return 0;
}

static int open_session(struct h2 *h, const struct h2_options *o)
{
    nghttp2_mem memory = {NULL, take_memory, free_memory, take_zeros, resize_memory};
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, o->streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, o->window_bytes},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, o->head_bytes_max},
    };
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int code = set_callbacks(&callbacks);

    if (code == 0)
        code = set_options(&option);
    if (code == 0)
        code = nghttp2_session_server_new3(&h->session, callbacks, h, option, &memory);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    if (code == 0)
        code = nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, COUNT_OF(settings));
    if (code == 0)
        code = nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                                     (int32_t)o->conn_window_bytes);
    return code;
}

status h2_open(const struct h2_options *options, struct h2 **out, struct err *err)
{
    struct h2 *h = mem_zero(sizeof *h);

    if (h == NULL)
        return err_set(err, ST_NOMEM, "out of memory for an HTTP/2 connection");
    h->owner = options->owner;
    h->head_bytes_max = options->head_bytes_max;
    h->resets = (struct purse){H2_RESETS, H2_RESETS, H2_RESETS_PER_S, 0};
    h->controls = (struct purse){H2_CONTROLS, H2_CONTROLS, H2_CONTROLS_PER_S, 0};
    if (open_session(h, options) != 0) {
        h2_close(h);
        return err_set(err, ST_NOMEM, "out of memory for an HTTP/2 connection");
    }
    *out = h;
    return ST_OK;
}

void h2_close(struct h2 *h)
{
    if (h == NULL)
        return;
    while (h->streams != NULL)
        end_stream(h, h->streams);
    nghttp2_session_del(h->session);
    mem_free(h);
}
