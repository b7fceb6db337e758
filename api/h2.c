/* h2.c - HTTP/2 over nghttp2's session on memory, and the bounds it does not have. */
#include "api/h2_internal.h"

#include "base/mem.h"

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

static void fill(struct h2_purse *p, uint64_t now_ms)
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

void h2_spend(struct h2 *h, struct h2_purse *p, const char *trouble)
{
    fill(p, h->now_ms);
    if (p->left > 0)
        p->left--;
    else
        calm_down(h, trouble);
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
            h2_spend(h, &h->controls, "flood of empty DATA");
        break;
    case NGHTTP2_RST_STREAM:
        h2_spend(h, &h->resets, "flood of resets");
        break;
    default:
        h2_spend(h, &h->controls, "flood of control frames");
        break;
    }
    return 0;
}

/* --- what has come --- */

struct h2_stream *h2_stream_of(struct h2 *h, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h->session, id);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;
    struct h2_stream *st;

    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    if (h->client_leaves)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
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
    struct h2_stream *st = h2_stream_of(h, frame->hd.stream_id);

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
    struct h2_stream *st = h2_stream_of(h, id);

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
    if (frame->hd.type == NGHTTP2_GOAWAY)
        h->client_leaves = true;
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0)
        h->owner.pong(h->owner.arg);
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    st = h2_stream_of(h, frame->hd.stream_id);
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
    struct h2_stream *st = h2_stream_of(h, id);

    (void)code;
    if (st == NULL)
        return 0;
    (void)nghttp2_session_set_stream_user_data(session, id, NULL);
    end_stream(h, st);
    return 0;
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

struct h2_stream *h2_first(const struct h2 *h)
{
    return h->streams;
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
    nghttp2_session_callbacks_set_on_frame_send_callback(*out, h2_on_sent);
    return 0;
}

/* Windows are given back by us, and closed streams are not kept for their priority. */
static int set_options(nghttp2_option **out)
{
    enum { ACKS_MAX = 256, MANY = 1 << 30, CONTINUATIONS_MAX = 8, FRAME_HEAD_BYTES = 9 };
    int code = nghttp2_option_new(out);

    if (code != 0)
        return code;
    nghttp2_option_set_no_auto_window_update(*out, 1);
    nghttp2_option_set_no_closed_streams(*out, 1);
    nghttp2_option_set_max_outbound_ack(*out, ACKS_MAX);
    /* It counts each piece in which the head of such a frame comes. */
    nghttp2_option_set_max_continuations(*out, CONTINUATIONS_MAX * FRAME_HEAD_BYTES);
    /* Resets are counted here: its own count goes by another clock and ends in INTERNAL_ERROR. */
    nghttp2_option_set_stream_reset_rate_limit(*out, MANY, MANY);
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
    h->resets = (struct h2_purse){H2_RESETS, H2_RESETS, H2_RESETS_PER_S, 0};
    h->controls = (struct h2_purse){H2_CONTROLS, H2_CONTROLS, H2_CONTROLS_PER_S, 0};
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
