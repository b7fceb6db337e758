#include "tests/unit/api/grpc_client.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAIT_MS = 60000 }; /* a hang, and no slow machine */

/* Not by mem_alloc(): a test that has allocations fail means those of the door. */
static void add(struct buf *b, const void *data, size_t bytes)
{
    uint8_t *grown = realloc(b->data, b->bytes + bytes + 1);

    assert_non_null(grown);
    b->data = grown;
    if (bytes > 0)
        memcpy(b->data + b->bytes, data, bytes);
    b->bytes += bytes;
}

static struct grpc_said *said_of(struct grpc_client *c, int32_t id)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->calls[i].id == id)
            return &c->calls[i];
    return NULL;
}

static bool is(const uint8_t *name, size_t bytes, const char *text)
{
    return slice_equal(slice_make(name, bytes), slice_text(text));
}

static void keep(char *to, size_t room, const uint8_t *value, size_t bytes)
{
    (void)snprintf(to, room, "%.*s", (int)bytes, (const char *)value);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_bytes, const uint8_t *value, size_t value_bytes, uint8_t flags,
                     void *user)
{
    struct grpc_said *s = said_of(user, frame->hd.stream_id);
    char number[16];

    (void)session;
    (void)flags;
    if (s == NULL)
        return 0;
    keep(number, sizeof number, value, value_bytes);
    if (is(name, name_bytes, ":status"))
        s->http_status = atoi(number);
    else if (is(name, name_bytes, "grpc-status"))
        s->status = atoi(number);
    else if (is(name, name_bytes, "grpc-message"))
        keep(s->text, sizeof s->text, value, value_bytes);
    else if (is(name, name_bytes, "retry-after"))
        keep(s->retry_after, sizeof s->retry_after, value, value_bytes);
    else if (is(name, name_bytes, "x-request-id"))
        keep(s->request_id, sizeof s->request_id, value, value_bytes);
    else if (is(name, name_bytes, "content-type"))
        keep(s->content_type, sizeof s->content_type, value, value_bytes);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t bytes, void *user)
{
    struct grpc_client *c = user;
    struct grpc_said *s = said_of(c, id);

    (void)flags;
    if (s != NULL)
        add(&s->body, data, bytes);
    if (!c->no_windows)
        (void)nghttp2_session_consume(session, id, bytes);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct grpc_client *c = user;

    (void)session;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        c->goaways++;
        c->goaway_code = frame->goaway.error_code;
        keep(c->goaway_text, sizeof c->goaway_text, frame->goaway.opaque_data,
             frame->goaway.opaque_data_len);
    }
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct grpc_said *s = said_of(user, id);

    (void)session;
    if (s != NULL) {
        s->ended = true;
        s->code = code;
    }
    return 0;
}

int grpc_client_connect(const struct world *w)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(api_grpc_port(w->api))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int one = 1;

    assert_true(fd >= 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void push(struct grpc_client *c)
{
    for (;;) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(c->session, &data);

        assert_true(n >= 0);
        if (n == 0)
            return;
        client_send(c->fd, data, (size_t)n);
    }
}

/* False at the end of the connection. */
static bool pull(struct grpc_client *c)
{
    struct pollfd wait = {.fd = c->fd, .events = POLLIN};
    static uint8_t data[64 * 1024];
    ssize_t n;

    if (poll(&wait, 1, WAIT_MS) <= 0)
        fail_msg("nothing came for 10 s");
    n = recv(c->fd, data, sizeof data, 0);
    if (n <= 0 || nghttp2_session_mem_recv(c->session, data, (size_t)n) != n) {
        c->ended = true;
        return false;
    }
    return true;
}

void grpc_client_open(struct grpc_client *c, const struct world *w, int32_t window)
{
    nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)window};
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    nghttp2_session *session;

    memset(c, 0, sizeof *c);
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    assert_int_equal(nghttp2_option_new(&option), 0);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    assert_int_equal(nghttp2_session_client_new2(&session, callbacks, c, option), 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    c->session = session;
    assert_int_equal(nghttp2_submit_settings(session, 0, &entry, window > 0 ? 1 : 0), 0);
    c->fd = grpc_client_connect(w);
    push(c);
}

static void free_call(struct grpc_said *s)
{
    free(s->body.data);
    if (s->sent != NULL)
        free(s->sent->data);
    free(s->sent);
}

void grpc_client_close(struct grpc_client *c)
{
    nghttp2_session_del(c->session);
    for (unsigned i = 0; i < c->count; i++)
        free_call(&c->calls[i]);
    client_close(c->fd);
}

static ssize_t read_put(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                        uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct buf *b = source->ptr;
    size_t n = b->bytes - b->capacity < room ? b->bytes - b->capacity : room;

    (void)session;
    (void)id;
    (void)user;
    memcpy(to, b->data + b->capacity, n); /* `capacity` is how much was sent */
    b->capacity += n;
    if (b->capacity == b->bytes)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static struct buf *what_to_send(const struct grpc_ask *ask)
{
    struct buf *b = calloc(1, sizeof *b);
    uint8_t prefix[5] = {0, (uint8_t)(ask->message.bytes >> 24),
                         (uint8_t)(ask->message.bytes >> 16), (uint8_t)(ask->message.bytes >> 8),
                         (uint8_t)ask->message.bytes};

    assert_non_null(b);
    if (ask->wire != NULL) {
        add(b, ask->wire->data, ask->wire->bytes);
    } else {
        add(b, prefix, sizeof prefix);
        add(b, ask->message.data, ask->message.bytes);
    }
    return b;
}

static void put(nghttp2_nv *nv, size_t *count, const char *name, const char *value)
{
    if (value == NULL)
        return;
    nv[(*count)++] = (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value,
                                  strlen(name), strlen(value), 0};
}

unsigned grpc_client_begin(struct grpc_client *c, const struct grpc_ask *ask)
{
    struct grpc_said *s = &c->calls[c->count];
    nghttp2_data_provider data = {.read_callback = read_put};
    nghttp2_nv nv[12];
    size_t count = 0;

    assert_true(c->count < GRPC_CLIENT_CALLS);
    put(nv, &count, ":method", ask->verb == NULL ? "POST" : ask->verb);
    put(nv, &count, ":scheme", "http");
    put(nv, &count, ":path", ask->path);
    put(nv, &count, ":authority", "localhost");
    put(nv, &count, "te", "trailers");
    put(nv, &count, "content-type",
        ask->content_type == NULL ? "application/grpc" : ask->content_type);
    put(nv, &count, "grpc-timeout", ask->timeout);
    put(nv, &count, "grpc-encoding", ask->encoding);
    put(nv, &count, "x-request-id", ask->id);
    *s = (struct grpc_said){.status = -1};
    if (ask->open) {
        s->id = nghttp2_submit_headers(c->session, 0, -1, NULL, nv, count, NULL);
    } else {
        s->sent = what_to_send(ask);
        data.source.ptr = s->sent;
        s->id = nghttp2_submit_request(c->session, NULL, nv, count, &data, NULL);
    }
    assert_true(s->id > 0);
    c->count++;
    push(c);
    return c->count - 1;
}

void grpc_client_cancel(struct grpc_client *c, unsigned call)
{
    assert_int_equal(nghttp2_submit_rst_stream(c->session, 0, c->calls[call].id, NGHTTP2_CANCEL),
                     0);
    push(c);
}

void grpc_client_wait_bytes(struct grpc_client *c, unsigned call, size_t bytes)
{
    while (!c->ended && !c->calls[call].ended && c->calls[call].body.bytes < bytes) {
        push(c);
        if (!pull(c))
            break;
    }
    push(c);
}

void grpc_client_wait(struct grpc_client *c, unsigned call)
{
    grpc_client_wait_bytes(c, call, SIZE_MAX);
}

bool grpc_client_listen(struct grpc_client *c)
{
    bool more = pull(c);

    push(c);
    return more;
}

void grpc_client_wait_goaways(struct grpc_client *c, unsigned count)
{
    while (!c->ended && c->goaways < count && pull(c))
        push(c);
}

void grpc_client_wait_end(struct grpc_client *c)
{
    while (!c->ended && pull(c))
        push(c);
}

void grpc_client_wait_end_unanswered(struct grpc_client *c)
{
    while (!c->ended && pull(c))
        ;
}

const struct grpc_said *grpc_client_ask(struct grpc_client *c, const char *path,
                                        struct slice message)
{
    unsigned call = grpc_client_begin(c, &(struct grpc_ask){.path = path, .message = message});

    grpc_client_wait(c, call);
    return &c->calls[call];
}
