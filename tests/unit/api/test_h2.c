/* Calls over HTTP/2: a client of nghttp2 on the other side. */
#include "tests/unit/api/h2_pair.h"

#include <stdlib.h>

static const char heard_whole[] = ":method=POST;:scheme=http;:path=/a.B/C;:authority=x;te=trailers;"
                                  "[head]question[end]";
static const char said_whole[] =
    ":status=200;content-type=application/grpc;\0\0\0\0\6answergrpc-status=0;";

static void a_call_is_answered_however_its_bytes_are_cut(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 160; piece++) {
        struct side s;
        struct peer p;

        side_start(&s);
        peer_start(&p);
        (void)peer_ask(&p, "question");
        pair_talk(&s, &p, piece);
        assert_int_equal(s.heard_bytes, sizeof heard_whole - 1);
        assert_memory_equal(s.heard, heard_whole, s.heard_bytes);
        assert_int_equal(p.said.bytes, sizeof said_whole - 1);
        assert_memory_equal(p.said.data, said_whole, p.said.bytes);
        assert_int_equal(p.closed, 1);
        assert_true(h2_settled(s.h));
        assert_false(h2_over(s.h));
        peer_end(&p);
        side_end(&s);
    }
}

static void a_thousand_calls_leave_nothing_behind(void **state)
{
    struct side s;
    struct peer p;

    (void)state;
    side_start(&s);
    peer_start(&p);
    for (int i = 0; i < 1000; i++) {
        (void)peer_ask(&p, "question");
        pair_talk(&s, &p, 1000);
    }
    assert_int_equal(s.ends, 1000);
    assert_int_equal(s.closes, 1000);
    assert_int_equal(p.closed, 1000);
    assert_string_equal(h2_trouble(s.h), "");
    peer_end(&p);
    side_end(&s);
}

static void streams_over_the_limit_are_refused_until_one_ends(void **state)
{
    struct side s;
    struct peer p;

    (void)state;
    side_start(&s);
    s.silent = true;
    peer_start(&p);
    /* before the client knows the limit */
    for (int i = 0; i < STREAMS_MAX + 3; i++)
        (void)peer_ask(&p, "");
    pair_talk(&s, &p, 1000);
    assert_int_equal(s.begun, STREAMS_MAX);
    assert_int_equal(p.refused, 3);
    peer_end(&p);
    side_end(&s);
}

static void a_window_opens_as_the_owner_takes(void **state)
{
    enum { LONG = 3 * 1024 * 1024 };
    char *text = malloc(LONG + 1);
    struct side s;
    struct peer p;

    (void)state;
    assert_non_null(text);
    memset(text, 'x', LONG);
    text[LONG] = '\0';
    side_start(&s);
    s.holds = true;
    peer_start(&p);
    pair_talk(&s, &p, 1000); /* the settings: the window is ours to say */
    (void)peer_ask(&p, text);
    pair_talk(&s, &p, OUT_MAX);
    assert_int_equal(s.data_bytes, WINDOW);
    assert_int_equal(s.ends, 0);
    peer_end(&p);
    side_end(&s);

    side_start(&s);
    peer_start(&p);
    (void)peer_ask(&p, text);
    pair_talk(&s, &p, OUT_MAX);
    assert_int_equal(s.data_bytes, LONG);
    assert_int_equal(s.ends, 1);
    peer_end(&p);
    side_end(&s);
    free(text);
}

static void a_head_too_long_is_told(void **state)
{
    char value[HEAD_MAX] = "";
    nghttp2_nv head[] = {NV(":method", "POST"), NV(":scheme", "http"), NV(":path", "/a.B/C"),
                         NV(":authority", "x"), NV("x-long", value)};
    struct side s;
    struct peer p;

    (void)state;
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    head[4].valuelen = sizeof value - 1;
    side_start(&s);
    peer_start(&p);
    assert_true(nghttp2_submit_request(p.session, NULL, head, COUNT_OF(head), NULL, NULL) > 0);
    pair_talk(&s, &p, 1000);
    assert_non_null(memmem(s.heard, s.heard_bytes, "[over][end]", 11));
    assert_null(memmem(s.heard, s.heard_bytes, "x-long", 6));
    peer_end(&p);
    side_end(&s);
}

static void an_answer_before_the_end_stops_the_client(void **state)
{
    struct h2_field fields[] = {{slice_text(":status"), slice_text("200")},
                                {slice_text("grpc-status"), slice_text("8")}};
    struct side s;
    struct peer p;
    nghttp2_nv head[] = {NV(":method", "POST"), NV(":scheme", "http"), NV(":path", "/a.B/C"),
                         NV(":authority", "x")};

    (void)state;
    side_start(&s);
    s.silent = true;
    peer_start(&p);
    pair_talk(&s, &p, 1000);
    /* a head alone: the body comes never */
    assert_int_equal(nghttp2_submit_headers(p.session, 0, -1, NULL, head, COUNT_OF(head), NULL), 1);
    pair_talk(&s, &p, 1000);
    assert_int_equal(s.heads, 1);
    assert_int_equal(s.ends, 0);
    assert_non_null(h2_first(s.h));
    h2_head(h2_first(s.h), fields, COUNT_OF(fields), true);
    pair_talk(&s, &p, 1000);
    assert_non_null(memmem(p.said.data, p.said.bytes, "grpc-status=8;", 14));
    assert_int_equal(p.closed, 1);
    assert_int_equal(s.closes, 1);
    peer_end(&p);
    side_end(&s);
}

static void two_goaways_and_the_last_stream_is_served(void **state)
{
    struct side s;
    struct peer p;

    (void)state;
    side_start(&s);
    s.stays = true;
    peer_start(&p);
    (void)peer_ask(&p, "q");
    pair_talk(&s, &p, 1000);
    h2_notice(s.h);
    pair_talk(&s, &p, 1000);
    assert_int_equal(p.goaways, 1);
    assert_int_equal(p.goaway_last, INT32_MAX);
    assert_int_equal(s.pongs, 1);
    assert_false(h2_over(s.h));
    h2_goaway(s.h, H2_NO_ERROR, NULL);
    pair_talk(&s, &p, 1000);
    assert_int_equal(p.goaways, 2);
    assert_int_equal(p.goaway_last, 1);
    assert_int_equal(p.goaway_code, 0);
    assert_false(h2_over(s.h)); /* its stream is open */
    h2_end(h2_first(s.h));
    pair_talk(&s, &p, 1000);
    assert_non_null(memmem(p.said.data, p.said.bytes, "grpc-status=0;", 14));
    assert_true(h2_over(s.h));
    peer_end(&p);
    side_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_answered_however_its_bytes_are_cut),
        cmocka_unit_test(a_thousand_calls_leave_nothing_behind),
        cmocka_unit_test(streams_over_the_limit_are_refused_until_one_ends),
        cmocka_unit_test(a_window_opens_as_the_owner_takes),
        cmocka_unit_test(a_head_too_long_is_told),
        cmocka_unit_test(an_answer_before_the_end_stops_the_client),
        cmocka_unit_test(two_goaways_and_the_last_stream_is_served),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
