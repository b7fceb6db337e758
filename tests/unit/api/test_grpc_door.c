/* The gRPC door over a real socket: what the transport decides by itself, and the way of a call
 * through workers, commit thread and back. */
#include "tests/unit/api/grpc_client.h"

#include "api/api_internal.h"
#include "api/grpc_wire.h"
#include "base/lock.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HEALTH "/grpc.health.v1.Health/Check"
#define WATCH  "/grpc.health.v1.Health/Watch"
#define LIST   "/qdrant.Collections/List"
#define UPSERT "/qdrant.Points/Upsert"
#define SEARCH "/qdrant.Points/Search"

enum {
    OK = 0,
    INVALID = 3,
    DEADLINE = 4,
    NOT_FOUND = 5,
    EXHAUSTED = 8,
    UNIMPLEMENTED = 12,
    INTERNAL = 13,
    UNAVAILABLE = 14
};

/* Collection c, waiting, point 1 with the vector 1 2 3. */
static const char upsert_bytes[] = "\12\1c\20\1\32\26\12\2\10\1\42\20\12\16\12\14"
                                   "\0\0\200\77\0\0\0\100\0\0\100\100";
/* Collection c, the vector 1 2 3, five of them. */
static const char search_bytes[] = "\12\1c\22\14\0\0\200\77\0\0\0\100\0\0\100\100\40\5";
#define UPSERT_ONE slice_make(upsert_bytes, sizeof upsert_bytes - 1)
#define SEARCH_ONE slice_make(search_bytes, sizeof search_bytes - 1)
#define NOTHING    slice_make("", 0)

static struct api_options options(void)
{
    struct api_options o = world_options();

    o.grpc = true;
    return o;
}

static void open_world(struct world *w, const struct api_options *o)
{
    world_open(w, o);
    assert_true(api_grpc_port(w->api) != 0);
    make_collection(w, "l2");
}

static void check_said(const struct grpc_said *s, int grpc_status, const char *part)
{
    if (!s->ended || s->status != grpc_status || strstr(s->text, part) == NULL)
        fail_msg("ended %d, http %d, status %d, \"%s\"; expected %d, \"%s\"", s->ended,
                 s->http_status, s->status, s->text, grpc_status, part);
}

/* --- answers --- */

static void a_call_goes_the_whole_way_and_back(void **state)
{
    struct api_options o = options();
    const struct grpc_said *s;
    struct grpc_client c;
    struct world w;

    (void)state;
    open_world(&w, &o);
    grpc_client_open(&c, &w, 0);
    s = grpc_client_ask(&c, LIST, NOTHING);
    check_said(s, OK, "");
    assert_int_equal(s->http_status, 200);
    assert_string_equal(s->content_type, "application/grpc");
    assert_int_equal(strlen(s->request_id), 16);
    /* one message, in it a collection with the name c */
    assert_true(s->body.bytes > 5);
    assert_int_equal(s->body.data[0], 0);
    assert_int_equal(s->body.data[4], s->body.bytes - 5);
    assert_non_null(memmem(s->body.data + 5, s->body.bytes - 5, "\12\1c", 3));
    check_said(grpc_client_ask(&c, UPSERT, UPSERT_ONE), OK, "");
    assert_int_equal(fake_node_writes(w.node), 1);
    check_said(grpc_client_ask(&c, SEARCH, SEARCH_ONE), OK, "");
    s = grpc_client_ask(&c, SEARCH, slice_make("\12\1d\22\4\0\0\0\0\40\5", 11));
    check_said(s, NOT_FOUND, "d");
    assert_int_equal(s->body.bytes, 0);
    grpc_client_close(&c);
    world_close(&w);
}

static void many_calls_of_one_connection_are_all_answered(void **state)
{
    struct api_options o = options();
    struct grpc_client *c = calloc(1, sizeof *c);
    struct world w;

    (void)state;
    assert_non_null(c);
    open_world(&w, &o);
    grpc_client_open(c, &w, 0);
    for (unsigned i = 0; i < GRPC_CLIENT_CALLS; i++)
        (void)grpc_client_begin(
            c, &(struct grpc_ask){.path = i % 2 == 0 ? UPSERT : SEARCH,
                                  .message = i % 2 == 0 ? UPSERT_ONE : SEARCH_ONE});
    for (unsigned i = 0; i < GRPC_CLIENT_CALLS; i++) {
        grpc_client_wait(c, i);
        check_said(&c->calls[i], OK, "");
    }
    assert_int_equal(fake_node_writes(w.node), GRPC_CLIENT_CALLS / 2);
    grpc_client_close(c);
    free(c);
    world_close(&w);
}

static void ids_are_taken_and_sent_back(void **state)
{
    struct api_options o = options();
    struct grpc_client c;
    struct world w;

    (void)state;
    open_world(&w, &o);
    grpc_client_open(&c, &w, 0);
    grpc_client_wait(&c, grpc_client_begin(&c, &(struct grpc_ask){.path = LIST, .id = "my id/1"}));
    assert_string_equal(c.calls[0].request_id, "myid/1");
    grpc_client_wait(&c, grpc_client_begin(&c, &(struct grpc_ask){.path = "/x/Y", .id = "a"}));
    assert_string_equal(c.calls[1].request_id, "a");
    grpc_client_close(&c);
    world_close(&w);
}

/* --- refusals --- */

static const struct slice none = {(const uint8_t *)"", 0};
static const struct slice two = {(const uint8_t *)"\0\0\0\0\0\0\0\0\0\0", 10};
static const struct slice half = {(const uint8_t *)"\0\0\0\0\7abc", 8};
static const struct slice half_prefix = {(const uint8_t *)"\0\0\0", 3};
static const struct slice squeezed = {(const uint8_t *)"\1\0\0\0\1x", 6};
static const struct slice odd = {(const uint8_t *)"\7\0\0\0\1x", 6};
static const struct slice huge = {(const uint8_t *)"\0\0\20\0\1x", 6};
static const struct slice hugest = {(const uint8_t *)"\0\377\377\377\377x", 6};

static const struct {
    struct grpc_ask ask;
    int http_status, status;
    const char *text;
} refusals[] = {
    {{.path = "/qdrant.Points/Nope"}, 200, UNIMPLEMENTED, "there is no method /qdrant.Points/Nope"},
    {{.path = "/"}, 200, UNIMPLEMENTED, "no method"},
    {{.path = LIST, .content_type = "application/json"}, 415, 2, "content-type"},
    {{.path = LIST, .content_type = "application/grpc-web"}, 415, 2, "content-type"},
    {{.path = LIST, .verb = "GET"}, 405, 2, "POST"},
    {{.path = LIST, .timeout = "soon"}, 200, INVALID, "grpc-timeout"},
    {{.path = LIST, .encoding = "gzip"}, 200, UNIMPLEMENTED, "uncompressed"},
    {{.path = LIST, .wire = &none}, 200, UNIMPLEMENTED, "none came"},
    {{.path = LIST, .wire = &two}, 200, UNIMPLEMENTED, "a second one came"},
    {{.path = LIST, .wire = &half}, 200, INTERNAL, "cut short"},
    {{.path = LIST, .wire = &half_prefix}, 200, INTERNAL, "cut short"},
    {{.path = LIST, .wire = &squeezed}, 200, INTERNAL, "compressed"},
    {{.path = LIST, .wire = &odd}, 200, INTERNAL, "neither 0 nor 1"},
    {{.path = LIST, .wire = &huge}, 200, EXHAUSTED, "1048577 bytes, the limit is 1048576"},
    {{.path = LIST, .wire = &hugest}, 200, EXHAUSTED, "4294967295 bytes"},
    {{.path = LIST, .timeout = "0n"}, 200, DEADLINE, ""},
    {{.path = HEALTH, .message = {(const uint8_t *)"\12\1x", 3}}, 200, NOT_FOUND, "service"},
    {{.path = HEALTH, .message = {(const uint8_t *)"\12\5x", 3}}, 200, INVALID, "message"},
    {{.path = HEALTH, .message = {(const uint8_t *)"\17", 1}}, 200, INVALID, "message"},
    {{.path = UPSERT, .message = {(const uint8_t *)"\377\377", 2}}, 200, INVALID, ""},
};

static void what_is_refused_is_told_and_the_connection_stays(void **state)
{
    struct api_options o = options();
    struct grpc_client c;
    struct world w;

    (void)state;
    open_world(&w, &o);
    grpc_client_open(&c, &w, 0);
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        unsigned call = grpc_client_begin(&c, &refusals[i].ask);

        grpc_client_wait(&c, call);
        assert_int_equal(c.calls[call].http_status, refusals[i].http_status);
        check_said(&c.calls[call], refusals[i].status, refusals[i].text);
        assert_int_equal(c.calls[call].body.bytes, 0);
    }
    check_said(grpc_client_ask(&c, LIST, NOTHING), OK, "");
    grpc_client_close(&c);
    world_close(&w);
}

/* --- health --- */

static void health_says_what_ready_says(void **state)
{
    struct api_options o = options();
    const struct grpc_said *s;
    struct grpc_client c;
    struct world w;

    (void)state;
    open_world(&w, &o);
    grpc_client_open(&c, &w, 0);
    s = grpc_client_ask(&c, HEALTH, NOTHING);
    check_said(s, OK, "");
    assert_int_equal(s->body.bytes, 7);
    assert_memory_equal(s->body.data, "\0\0\0\0\2\10\1", 7);
    s = grpc_client_ask(&c, HEALTH, slice_text("\12\50grpc.reflection.v1alpha.ServerReflection"));
    check_said(s, OK, "");
    fake_node_set_ready(w.node, false);
    s = grpc_client_ask(&c, HEALTH, slice_text("\12\15qdrant.Points"));
    check_said(s, OK, "");
    assert_memory_equal(s->body.data, "\0\0\0\0\2\10\2", 7);
    grpc_client_close(&c);
    world_close(&w);
}

static void who_watches_is_told_of_each_change(void **state)
{
    struct api_options o = options();
    struct grpc_client c;
    struct world w;
    unsigned known, unknown;

    (void)state;
    open_world(&w, &o);
    grpc_client_open(&c, &w, 0);
    known = grpc_client_begin(&c, &(struct grpc_ask){.path = WATCH});
    unknown =
        grpc_client_begin(&c, &(struct grpc_ask){.path = WATCH, .message = slice_text("\12\1x")});
    grpc_client_wait_bytes(&c, known, 7);
    grpc_client_wait_bytes(&c, unknown, 7);
    assert_memory_equal(c.calls[known].body.data, "\0\0\0\0\2\10\1", 7);
    assert_memory_equal(c.calls[unknown].body.data, "\0\0\0\0\2\10\3", 7);
    fake_node_set_ready(w.node, false);
    grpc_client_wait_bytes(&c, known, 14);
    assert_memory_equal(c.calls[known].body.data + 7, "\0\0\0\0\2\10\2", 7);
    fake_node_set_ready(w.node, true);
    grpc_client_wait_bytes(&c, known, 21);
    assert_memory_equal(c.calls[known].body.data + 14, "\0\0\0\0\2\10\1", 7);
    assert_int_equal(c.calls[unknown].body.bytes, 7);
    assert_false(c.calls[known].ended);
    grpc_client_cancel(&c, known);
    check_said(grpc_client_ask(&c, LIST, NOTHING), OK, "");
    grpc_client_close(&c);
    world_close(&w);
}

/* --- reflection --- */

#define REFLECT "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"

/* The file of qdrant.Points, asked for `times` over. */
static struct buf reflections(unsigned times)
{
    static const char one[] = "\0\0\0\0\17\42\15qdrant.Points";
    struct buf b;

    buf_init(&b, 1 << 20);
    for (unsigned i = 0; i < times; i++)
        buf_put(&b, one, sizeof one - 1);
    assert_false(b.failed);
    return b;
}

static unsigned messages_in(const struct buf *body)
{
    unsigned count = 0;

    for (size_t at = 0; at < body->bytes; count++) {
        const uint8_t *p = body->data + at;

        assert_true(at + 5 <= body->bytes);
        at += 5 + ((size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4]);
        assert_true(at <= body->bytes);
    }
    return count;
}

static void a_stream_of_questions_is_answered_one_by_one(void **state)
{
    struct api_options o = options();
    struct buf asked = reflections(20);
    struct slice wire = buf_slice(&asked);
    struct grpc_client c;
    struct world w;
    unsigned call;

    (void)state;
    open_world(&w, &o);
    grpc_client_open(&c, &w, 0);
    call = grpc_client_begin(&c, &(struct grpc_ask){.path = REFLECT, .wire = &wire});
    grpc_client_wait(&c, call);
    check_said(&c.calls[call], OK, "");
    assert_int_equal(messages_in(&c.calls[call].body), 20);
    assert_non_null(memmem(c.calls[call].body.data, c.calls[call].body.bytes, "Upsert", 6));
    grpc_client_close(&c);
    world_close(&w);
    buf_free(&asked);
}

static void questions_whose_answers_are_not_read_end(void **state)
{
    struct api_options o = options();
    struct buf asked = reflections(5000);
    struct slice wire = buf_slice(&asked);
    struct grpc_client c;
    struct answer a;
    struct world w;
    unsigned call;

    (void)state;
    o.timeout_ms = 1000;
    open_world(&w, &o);
    grpc_client_open(&c, &w, 1);
    c.no_windows = true;
    call = grpc_client_begin(&c, &(struct grpc_ask){.path = REFLECT, .wire = &wire});
    grpc_client_wait(&c, call);
    assert_int_equal(c.calls[call].code, 8);
    a = ask(&w, "GET", "/metrics", NULL);
    assert_non_null(strstr(a.body, "{method=\"" REFLECT "\",status=\"RESOURCE_EXHAUSTED\"} 1"));
    answer_free(&a);
    grpc_client_close(&c);
    world_close(&w);
    buf_free(&asked);
}

/* --- time --- */

static void a_deadline_that_passes_meanwhile_is_told(void **state)
{
    struct api_options o = options();
    struct grpc_client c;
    struct world w;
    unsigned call;

    (void)state;
    open_world(&w, &o);
    grpc_client_open(&c, &w, 0);
    fake_node_hold(w.node, true);
    call = grpc_client_begin(
        &c, &(struct grpc_ask){.path = UPSERT, .message = UPSERT_ONE, .timeout = "600m"});
    grpc_client_wait(&c, call);
    check_said(&c.calls[call], DEADLINE, "still under way after its deadline; whether it was done");
    fake_node_hold(w.node, false);
    check_said(grpc_client_ask(&c, UPSERT, UPSERT_ONE), OK, "");
    grpc_client_close(&c);
    world_close(&w);
}

/* As by REST: a write that takes longer than its client wants to wait is under way, not refused. */
static void who_waits_only_so_long_is_told_that_the_write_is_under_way(void **state)
{
    /* The same with a timeout of a second; the answer is a result with the status 4. */
    static const char upsert_second[] = "\12\1c\20\1\32\26\12\2\10\1\42\20\12\16\12\14"
                                        "\0\0\200\77\0\0\0\100\0\0\100\100\70\1";
    static const uint8_t under_way[] = {0, 0, 0, 0, 13, 0x0a, 2, 0x10, 4, 0x11};
    struct api_options o = options();
    struct grpc_client c;
    struct world w;
    unsigned call;

    (void)state;
    open_world(&w, &o);
    grpc_client_open(&c, &w, 0);
    fake_node_hold(w.node, true);
    call = grpc_client_begin(
        &c, &(struct grpc_ask){.path = UPSERT,
                               .message = slice_make(upsert_second, sizeof upsert_second - 1)});
    grpc_client_wait(&c, call);
    check_said(&c.calls[call], OK, "");
    assert_int_equal(c.calls[call].body.bytes, sizeof under_way + 8);
    assert_memory_equal(c.calls[call].body.data, under_way, sizeof under_way);
    fake_node_hold(w.node, false);
    check_said(grpc_client_ask(&c, UPSERT, UPSERT_ONE), OK, "");
    assert_int_equal(fake_node_writes(w.node), 2);
    grpc_client_close(&c);
    world_close(&w);
}

/* It is begun, put among the slow tasks, and read once more. */
static void a_message_of_very_many_parts_is_read_in_its_time(void **state)
{
    struct api_options o = options();
    const struct grpc_said *s;
    struct grpc_client c;
    struct buf message;
    struct world w;

    (void)state;
    o.qdrant_body_bytes_max = 1 << 20;
    open_world(&w, &o);
    grpc_client_open(&c, &w, 0);
    buf_init(&message, 1 << 20);
    buf_put_text(&message, "\12\1c");
    for (int i = 0; i < 400000; i++)
        buf_put_text(&message, "\30\1"); /* exact */
    s = grpc_client_ask(&c, "/qdrant.Points/Count", buf_slice(&message));
    check_said(s, OK, "");
    buf_free(&message);
    grpc_client_close(&c);
    world_close(&w);
}

static void a_message_that_does_not_come_is_not_waited_for(void **state)
{
    struct api_options o = options();
    struct grpc_client c;
    struct world w;
    unsigned call;

    (void)state;
    o.timeout_ms = 1000;
    open_world(&w, &o);
    grpc_client_open(&c, &w, 0);
    call = grpc_client_begin(&c, &(struct grpc_ask){.path = UPSERT, .open = true});
    grpc_client_wait(&c, call);
    check_said(&c.calls[call], DEADLINE, "not whole");
    grpc_client_close(&c);
    world_close(&w);
}

static void an_answer_nobody_takes_is_dropped(void **state)
{
    struct api_options o = options();
    struct grpc_client c;
    struct world w;
    unsigned call;

    (void)state;
    o.timeout_ms = 1000;
    open_world(&w, &o);
    grpc_client_open(&c, &w, 1); /* a window of one byte that never opens */
    c.no_windows = true;
    call = grpc_client_begin(&c, &(struct grpc_ask){.path = LIST});
    grpc_client_wait(&c, call);
    assert_int_equal(c.calls[call].body.bytes, 1);
    assert_int_equal(c.calls[call].code, 8);
    grpc_client_close(&c);
    world_close(&w);
}

static void a_connection_that_says_nothing_is_closed(void **state)
{
    struct api_options o = options();
    struct grpc_client c;
    struct world w;

    (void)state;
    o.timeout_ms = 1000;
    o.idle_ms = 100;
    open_world(&w, &o);
    grpc_client_open(&c, &w, 0);
    grpc_client_wait_end(&c);
    assert_int_equal(c.goaways, 1);
    assert_int_equal(c.goaway_code, 0);
    grpc_client_close(&c);
    world_close(&w);
}

/* A watch is open: who answers our PING stays, who does not is let go. */
static void a_client_that_is_not_there_any_more_is_noticed(void **state)
{
    struct api_options o = options();
    struct grpc_client here, gone;
    struct world w;
    unsigned a, b;

    (void)state;
    o.idle_ms = 800;
    open_world(&w, &o);
    grpc_client_open(&here, &w, 0);
    grpc_client_open(&gone, &w, 0);
    a = grpc_client_begin(&here, &(struct grpc_ask){.path = WATCH});
    b = grpc_client_begin(&gone, &(struct grpc_ask){.path = WATCH});
    grpc_client_wait_bytes(&here, a, 7);
    grpc_client_wait_bytes(&gone, b, 7);
    for (int pings = 0; pings < 2; pings++) /* nothing else comes */
        assert_true(grpc_client_listen(&here));
    assert_false(here.calls[a].ended);
    grpc_client_wait_end_unanswered(&gone);
    assert_false(gone.calls[b].ended);
    grpc_client_close(&here);
    grpc_client_close(&gone);
    world_close(&w);
}

/* --- bounds --- */

static void bodies_and_answers_over_their_bounds_are_refused(void **state)
{
    enum { LONG = 600 * 1024 };
    struct api_options o = options();
    const struct grpc_said *s;
    struct grpc_client c;
    struct world w;
    uint8_t *text = calloc(1, LONG);

    (void)state;
    assert_non_null(text);
    o.bodies_bytes_max = 256 * 1024;
    open_world(&w, &o);
    grpc_client_open(&c, &w, 0);
    s = grpc_client_ask(&c, UPSERT, slice_make(text, LONG));
    check_said(s, EXHAUSTED, "bodies of all requests");
    assert_string_equal(s->retry_after, "1");
    /* nothing of it stays counted */
    for (int i = 0; i < 20; i++)
        check_said(grpc_client_ask(&c, UPSERT, slice_make(text, 200 * 1024)), INVALID, "");
    check_said(grpc_client_ask(&c, UPSERT, UPSERT_ONE), OK, "");
    grpc_client_close(&c);
    world_close(&w);
    free(text);

    o = options();
    o.replies_bytes_max = 100;
    open_world(&w, &o);
    grpc_client_open(&c, &w, 0);
    s = grpc_client_ask(&c, LIST, NOTHING);
    check_said(s, EXHAUSTED, "answers under way");
    assert_string_equal(s->retry_after, "1");
    atomic_fetch_add(&w.api->reply_bytes, 1000); /* of others, who do not read */
    check_said(grpc_client_ask(&c, HEALTH, NOTHING), OK, "");
    atomic_fetch_sub(&w.api->reply_bytes, 1000);
    grpc_client_close(&c);
    world_close(&w);
}

/* An upsert of point 1 whose payload is `bytes` long. */
static struct buf long_upsert(size_t bytes)
{
    static const char vectors[] = "\42\20\12\16\12\14\0\0\200\77\0\0\0\100\0\0\100\100";
    struct buf b, text, value, entry, point;

    buf_init(&b, SIZE_MAX);
    buf_init(&text, SIZE_MAX);
    buf_init(&value, SIZE_MAX);
    buf_init(&entry, SIZE_MAX);
    buf_init(&point, SIZE_MAX);
    for (size_t i = 0; i < bytes; i++)
        buf_put_u8(&text, 'x');
    wire_put_bytes(&value, 4, buf_slice(&text)); /* string_value */
    wire_put_bytes(&entry, 1, slice_text("k"));
    wire_put_bytes(&entry, 2, buf_slice(&value));
    buf_put(&point, "\12\2\10\1", 4);
    wire_put_bytes(&point, 3, buf_slice(&entry));
    buf_put(&point, vectors, sizeof vectors - 1);
    buf_put(&b, "\12\1c\20\1", 5);
    wire_put_bytes(&b, 3, buf_slice(&point));
    assert_int_equal(buf_status(&b, NULL), ST_OK);
    buf_free(&text);
    buf_free(&value);
    buf_free(&entry);
    buf_free(&point);
    return b;
}

/* A write that may have been done is none that a client should send again by itself. */
static void an_outcome_that_is_unknown_asks_for_no_repetition(void **state)
{
    struct api_options o = options();
    const struct grpc_said *s;
    struct grpc_client c;
    struct world w;

    (void)state;
    open_world(&w, &o);
    grpc_client_open(&c, &w, 0);
    fake_node_fail_write(w.node, ST_UNKNOWN);
    s = grpc_client_ask(&c, UPSERT, UPSERT_ONE);
    check_said(s, DEADLINE, "");
    assert_string_equal(s->retry_after, "");
    fake_node_fail_write(w.node, ST_OK);
    check_said(grpc_client_ask(&c, UPSERT, UPSERT_ONE), OK, "");
    grpc_client_close(&c);
    world_close(&w);
}

static void what_messages_become_is_bounded_together(void **state)
{
    enum { LONG = 100 * 1024 };
    struct api_options o = options();
    struct buf large = long_upsert(LONG);
    struct grpc_client c;
    struct world w;

    (void)state;
    open_world(&w, &o);
    grpc_client_open(&c, &w, 0);
    atomic_store(&w.api->message_bytes, 4 * w.api->options.qdrant_body_bytes_max - LONG);
    check_said(grpc_client_ask(&c, UPSERT, buf_slice(&large)), UNAVAILABLE, "over its bound");
    check_said(grpc_client_ask(&c, UPSERT, UPSERT_ONE), OK, ""); /* small ones pass */
    atomic_store(&w.api->message_bytes, 0);
    for (int i = 0; i < 5; i++)
        check_said(grpc_client_ask(&c, UPSERT, buf_slice(&large)), OK, "");
    grpc_client_close(&c);
    assert_int_equal(atomic_load(&w.api->message_bytes), 0);
    world_close(&w);
    buf_free(&large);
}

/* Three quarters of the room are taken by a call that is with node: the next message is received as
 * far as its window goes, and on when there is room. */
static void a_message_waits_for_room_while_others_have_it(void **state)
{
    enum { MIB = 1024 * 1024 };
    struct api_options o = options();
    struct buf large = long_upsert(39 * MIB / 10);
    struct buf other = long_upsert(2 * MIB);
    struct grpc_client c;
    struct world w;
    unsigned first, second;

    (void)state;
    o.body_bytes_max = 8 * MIB;
    o.bodies_bytes_max = 5 * MIB;
    open_world(&w, &o);
    grpc_client_open(&c, &w, 0);
    check_said(grpc_client_ask(&c, HEALTH, NOTHING), OK, ""); /* the windows are known */
    fake_node_hold(w.node, true);
    first = grpc_client_begin(&c, &(struct grpc_ask){.path = UPSERT, .message = buf_slice(&large)});
    while (fake_node_writes(w.node) == 0) {
        (void)usleep(50000);
        check_said(grpc_client_ask(&c, HEALTH, NOTHING), OK, "");
        assert_false(c.calls[first].ended);
    }
    second =
        grpc_client_begin(&c, &(struct grpc_ask){.path = UPSERT, .message = buf_slice(&other)});
    for (int i = 0; i < 30; i++) {
        (void)usleep(10000);
        check_said(grpc_client_ask(&c, HEALTH, NOTHING), OK, "");
    }
    /* It is neither refused nor received whole. */
    assert_false(c.calls[second].ended);
    assert_int_equal(fake_node_writes(w.node), 1);
    assert_int_equal(c.calls[second].sent->capacity, MIB); /* what of it was sent */
    fake_node_hold(w.node, false);
    grpc_client_wait(&c, first);
    check_said(&c.calls[first], OK, "");
    grpc_client_wait(&c, second);
    check_said(&c.calls[second], OK, "");
    assert_int_equal(fake_node_writes(w.node), 2);
    grpc_client_close(&c);
    world_close(&w);
    buf_free(&large);
    buf_free(&other);
}

static void a_full_queue_says_when_to_come_again(void **state)
{
    struct api_options o = options();
    struct grpc_client *c = calloc(1, sizeof *c);
    struct world w;
    unsigned refused = 0;

    (void)state;
    assert_non_null(c);
    open_world(&w, &o);
    grpc_client_open(c, &w, 0);
    fake_node_query_ms(w.node, 100);
    for (unsigned i = 0; i < 250; i++)
        (void)grpc_client_begin(c, &(struct grpc_ask){.path = SEARCH, .message = SEARCH_ONE});
    for (unsigned i = 0; i < 250; i++) {
        grpc_client_wait(c, i);
        if (c->calls[i].status == OK)
            continue;
        check_said(&c->calls[i], EXHAUSTED, "");
        assert_true(atoi(c->calls[i].retry_after) >= 1);
        refused++;
    }
    assert_in_range(refused, 1, 249);
    fake_node_query_ms(w.node, 0);
    check_said(grpc_client_ask(c, SEARCH, SEARCH_ONE), OK, "");
    grpc_client_close(c);
    free(c);
    world_close(&w);
}

static void connections_over_the_limit_are_told(void **state)
{
    struct api_options o = options();
    struct grpc_client first, second;
    struct world w;

    (void)state;
    open_world(&w, &o);
    world_close(&w);
    o.connections_max = 1;
    world_open(&w, &o);
    grpc_client_open(&first, &w, 0);
    check_said(grpc_client_ask(&first, HEALTH, NOTHING), OK, "");
    grpc_client_open(&second, &w, 0);
    grpc_client_wait_end(&second);
    assert_int_equal(second.goaways, 1);
    assert_string_equal(second.goaway_text, "1 connections are open, the limit is 1");
    grpc_client_close(&second);
    check_said(grpc_client_ask(&first, HEALTH, NOTHING), OK, "");
    grpc_client_close(&first);
    world_close(&w);
}

static const char *read_rest(int fd)
{
    static char text[512];
    ssize_t n = read(fd, text, sizeof text - 1);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void http1_on_this_port_is_told_where_it_is(void **state)
{
    struct api_options o = options();
    struct grpc_client c;
    struct world w;
    struct answer a;

    (void)state;
    open_world(&w, &o);
    grpc_client_open(&c, &w, 0);
    client_close(c.fd); /* its preface is of no use here */
    c.fd = grpc_client_connect(&w);
    client_send_text(c.fd, "GET /ready HTTP/1.1\r\nHost: x\r\n\r\n");
    a = client_read(c.fd, true);
    assert_int_equal(a.status, 400);
    answer_free(&a);
    assert_non_null(strstr(read_rest(c.fd), "REST is on [server] rest_port"));
    grpc_client_close(&c);
    world_close(&w);
}

/* --- clients that go --- */

static void clients_that_vanish_or_cancel_break_nothing(void **state)
{
    struct api_options o = options();
    struct grpc_client c;
    struct world w;

    (void)state;
    open_world(&w, &o);
    for (int round = 0; round < 10; round++) {
        unsigned call;

        grpc_client_open(&c, &w, 0);
        fake_node_hold(w.node, true);
        call = grpc_client_begin(&c, &(struct grpc_ask){.path = UPSERT, .message = UPSERT_ONE});
        (void)grpc_client_begin(&c, &(struct grpc_ask){.path = SEARCH, .message = SEARCH_ONE});
        (void)grpc_client_begin(&c, &(struct grpc_ask){.path = WATCH});
        (void)grpc_client_begin(&c, &(struct grpc_ask){.path = UPSERT, .open = true});
        if (round % 2 == 0) {
            grpc_client_cancel(&c, call);
            check_said(grpc_client_ask(&c, LIST, NOTHING), OK, "");
        }
        grpc_client_close(&c);
        fake_node_hold(w.node, false);
    }
    grpc_client_open(&c, &w, 0);
    check_said(grpc_client_ask(&c, UPSERT, UPSERT_ONE), OK, "");
    grpc_client_close(&c);
    world_close(&w);
}

/* --- the end --- */

static void drain(void *arg)
{
    api_drain(arg, 10000);
}

static void what_is_under_way_is_answered_before_the_end(void **state)
{
    struct api_options o = options();
    struct thread thread;
    struct grpc_client c;
    struct world w;
    unsigned call, watch;

    (void)state;
    open_world(&w, &o);
    grpc_client_open(&c, &w, 0);
    fake_node_hold(w.node, true);
    watch = grpc_client_begin(&c, &(struct grpc_ask){.path = WATCH});
    grpc_client_wait_bytes(&c, watch, 7);
    call = grpc_client_begin(&c, &(struct grpc_ask){.path = UPSERT, .message = UPSERT_ONE});
    while (fake_node_writes(w.node) == 0)
        (void)usleep(1000);
    assert_int_equal(thread_start(&thread, "drain", THREAD_NORMAL, drain, w.api, NULL), ST_OK);
    grpc_client_wait(&c, watch);
    check_said(&c.calls[watch], UNAVAILABLE, "shutting down");
    assert_int_equal(c.calls[watch].body.bytes, 14);
    assert_memory_equal(c.calls[watch].body.data + 7, "\0\0\0\0\2\10\2", 7);
    grpc_client_wait_goaways(&c, 2);
    assert_int_equal(c.goaways, 2);
    assert_false(c.calls[call].ended);
    fake_node_hold(w.node, false);
    grpc_client_wait(&c, call);
    check_said(&c.calls[call], OK, "");
    grpc_client_wait_end(&c);
    thread_join(&thread);
    grpc_client_close(&c);
    world_close(&w);
}

/* --- memory --- */

static void a_call_for_which_memory_is_out_fails_alone(void **state)
{
    static const struct {
        const char *path;
        struct slice message;
    } calls[] = {{HEALTH, {(const uint8_t *)"", 0}},
                 {REFLECT, {(const uint8_t *)"\42\15qdrant.Points", 15}},
                 {LIST, {(const uint8_t *)"", 0}},
                 {SEARCH, {(const uint8_t *)search_bytes, sizeof search_bytes - 1}},
                 {UPSERT, {(const uint8_t *)upsert_bytes, sizeof upsert_bytes - 1}}};
    struct api_options o = options();
    struct grpc_client c;
    struct world w;

    (void)state;
    open_world(&w, &o);
    for (size_t row = 0; row < COUNT_OF(calls); row++) {
        int64_t asked = 1;

        for (int64_t n = 0; n < asked; n++) {
            unsigned call;

            grpc_client_open(&c, &w, 0);
            check_said(grpc_client_ask(&c, HEALTH, NOTHING), OK, "");
            mem_test_fail_after(n);
            call = grpc_client_begin(
                &c, &(struct grpc_ask){.path = calls[row].path, .message = calls[row].message});
            grpc_client_wait(&c, call);
            asked = mem_test_count() > n ? n + 2 : 0; /* until none fails */
            mem_test_fail_after(-1);
            assert_true(asked < 200);
            assert_true(c.ended || c.calls[call].ended);
            grpc_client_close(&c);
        }
    }
    grpc_client_open(&c, &w, 0);
    check_said(grpc_client_ask(&c, UPSERT, UPSERT_ONE), OK, "");
    grpc_client_close(&c);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_goes_the_whole_way_and_back),
        cmocka_unit_test(many_calls_of_one_connection_are_all_answered),
        cmocka_unit_test(ids_are_taken_and_sent_back),
        cmocka_unit_test(what_is_refused_is_told_and_the_connection_stays),
        cmocka_unit_test(health_says_what_ready_says),
        cmocka_unit_test(who_watches_is_told_of_each_change),
        cmocka_unit_test(a_stream_of_questions_is_answered_one_by_one),
        cmocka_unit_test(questions_whose_answers_are_not_read_end),
        cmocka_unit_test(a_deadline_that_passes_meanwhile_is_told),
        cmocka_unit_test(who_waits_only_so_long_is_told_that_the_write_is_under_way),
        cmocka_unit_test(a_message_of_very_many_parts_is_read_in_its_time),
        cmocka_unit_test(a_message_that_does_not_come_is_not_waited_for),
        cmocka_unit_test(an_answer_nobody_takes_is_dropped),
        cmocka_unit_test(a_connection_that_says_nothing_is_closed),
        cmocka_unit_test(a_client_that_is_not_there_any_more_is_noticed),
        cmocka_unit_test(bodies_and_answers_over_their_bounds_are_refused),
        cmocka_unit_test(an_outcome_that_is_unknown_asks_for_no_repetition),
        cmocka_unit_test(what_messages_become_is_bounded_together),
        cmocka_unit_test(a_message_waits_for_room_while_others_have_it),
        cmocka_unit_test(a_full_queue_says_when_to_come_again),
        cmocka_unit_test(connections_over_the_limit_are_told),
        cmocka_unit_test(http1_on_this_port_is_told_where_it_is),
        cmocka_unit_test(clients_that_vanish_or_cancel_break_nothing),
        cmocka_unit_test(what_is_under_way_is_answered_before_the_end),
        cmocka_unit_test(a_call_for_which_memory_is_out_fails_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
