/* Frames written by hand: what hostile peers send, what looks like it and is none, and a call for
 * which there is no memory. */
#include "tests/support/alloc_sweep.h"
#include "tests/unit/api/h2_pair.h"

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static void put_frame(struct buf *b, uint8_t type, uint8_t flags, uint32_t id, struct slice payload)
{
    uint8_t hd[9] = {(uint8_t)(payload.bytes >> 16),
                     (uint8_t)(payload.bytes >> 8),
                     (uint8_t)payload.bytes,
                     type,
                     flags,
                     (uint8_t)(id >> 24),
                     (uint8_t)(id >> 16),
                     (uint8_t)(id >> 8),
                     (uint8_t)id};

    buf_put(b, hd, sizeof hd);
    buf_put_slice(b, payload);
}

/* :method POST, :scheme http, :path / from the static table, :authority x. */
static const char small_head[] = "\203\206\204\101\1x";

enum {
    DATA_FRAME = 0,
    HEADERS = 1,
    PRIORITY = 2,
    RST = 3,
    SETTINGS = 4,
    PING = 6,
    WINDOW_UPDATE = 8,
    CONTINUATION = 9,
    END_HEADERS = 4,
    END_STREAM = 1
};

static void put_hello(struct buf *b)
{
    buf_put_text(b, preface);
    put_frame(b, SETTINGS, 0, 0, slice_make("", 0));
}

/* Feeds the same frame until the connection is given up; tells how many it took. */
static unsigned flood(struct side *s, const struct buf *frame, unsigned max)
{
    struct buf hello, out;
    unsigned n = 0;

    buf_init(&hello, 1024);
    buf_init(&out, 1 << 24);
    put_hello(&hello);
    assert_true(h2_feed(s->h, hello.data, hello.bytes, 1));
    buf_free(&hello);
    while (n < max && h2_feed(s->h, frame->data, frame->bytes, 1)) {
        n++;
        if (n % 100 == 0) /* a client that reads what we say */
            assert_true(h2_take(s->h, &out, SIZE_MAX));
        buf_reset(&out);
    }
    buf_free(&out);
    return n;
}

/* The client hears GOAWAY with ENHANCE_YOUR_CALM and the session is over. */
static void check_calmed(struct side *s, const char *trouble)
{
    struct buf out;
    bool found = false;

    buf_init(&out, 1 << 24);
    (void)h2_take(s->h, &out, SIZE_MAX);
    for (size_t at = 0; at + 17 <= out.bytes && !found;) {
        size_t n = (size_t)out.data[at] << 16 | (size_t)out.data[at + 1] << 8 | out.data[at + 2];

        found = out.data[at + 3] == 7 && out.data[at + 16] == H2_ENHANCE_YOUR_CALM;
        at += 9 + n;
    }
    buf_free(&out);
    assert_true(found);
    assert_string_equal(h2_trouble(s->h), trouble);
    assert_true(h2_over(s->h));
    assert_false(h2_feed(s->h, (const uint8_t *)"x", 1, 1));
}

static void check_flood(uint8_t type, uint8_t flags, struct slice payload, unsigned enough,
                        const char *trouble)
{
    struct side s;
    struct buf frame;
    unsigned n;

    side_start(&s);
    buf_init(&frame, 1 << 16);
    put_frame(&frame, type, flags, 0, payload);
    n = flood(&s, &frame, enough + 100);
    if (n > enough)
        fail_msg("%u frames of type %u were taken", n, type);
    assert_true(n >= 250);
    check_calmed(&s, trouble);
    buf_free(&frame);
    side_end(&s);
}

static void floods_of_frames_that_carry_nothing_end_the_connection(void **state)
{
    static const char controls[] = "flood of control frames";

    (void)state;
    check_flood(PING, 0, slice_make("12345678", 8), H2_CONTROLS, controls);
    check_flood(PING, 1, slice_make("12345678", 8), H2_CONTROLS, controls);
    check_flood(SETTINGS, 0, slice_make("", 0), H2_CONTROLS, controls);
    check_flood(WINDOW_UPDATE, 0, slice_make("\0\0\0\1", 4), H2_CONTROLS, controls);
}

/* Pings of a client that never reads our answers to them. */
static void acks_nobody_reads_are_bounded(void **state)
{
    struct side s;
    struct buf b;

    (void)state;
    side_start(&s);
    buf_init(&b, 1 << 20);
    put_hello(&b);
    for (int i = 0; i < 1000; i++)
        put_frame(&b, PING, 0, 0, slice_make("12345678", 8));
    assert_false(h2_feed(s.h, b.data, b.bytes, 1));
    check_calmed(&s, "flood of frames that are to be answered");
    buf_free(&b);
    side_end(&s);
}

static void empty_data_and_priority_on_a_stream_are_floods_too(void **state)
{
    static const struct {
        uint8_t type;
        struct slice payload;
        const char *trouble;
    } floods[] = {
        {DATA_FRAME, {(const uint8_t *)"", 0}, "flood of empty DATA"},
        {PRIORITY, {(const uint8_t *)"\0\0\0\0\1", 5}, "flood of control frames"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(floods); i++) {
        struct side s;
        struct buf b, out;
        unsigned n = 0;

        side_start(&s);
        buf_init(&b, 4096);
        buf_init(&out, 1 << 20);
        put_hello(&b);
        put_frame(&b, HEADERS, END_HEADERS, 1, slice_text(small_head));
        assert_true(h2_feed(s.h, b.data, b.bytes, 1));
        buf_reset(&b);
        put_frame(&b, floods[i].type, 0, 1, floods[i].payload);
        while (n <= H2_CONTROLS && h2_feed(s.h, b.data, b.bytes, 1))
            n++;
        assert_true(n <= H2_CONTROLS);
        check_calmed(&s, floods[i].trouble);
        buf_free(&b);
        buf_free(&out);
        side_end(&s);
    }
}

static void a_rapid_reset_ends_the_connection(void **state)
{
    struct side s;
    struct buf b, out;
    uint32_t id = 1;

    (void)state;
    side_start(&s);
    s.silent = true;
    buf_init(&b, 4096);
    buf_init(&out, 1 << 24);
    put_hello(&b);
    assert_true(h2_feed(s.h, b.data, b.bytes, 1));
    for (; id < 4 * H2_RESETS; id += 2) {
        buf_reset(&b);
        put_frame(&b, HEADERS, END_HEADERS | END_STREAM, id, slice_text(small_head));
        put_frame(&b, RST, 0, id, slice_make("\0\0\0\10", 4));
        if (!h2_feed(s.h, b.data, b.bytes, 1))
            break;
        assert_true(h2_take(s.h, &out, SIZE_MAX));
        buf_reset(&out);
    }
    assert_int_equal(id / 2, H2_RESETS);
    check_calmed(&s, "flood of resets");
    buf_free(&b);
    buf_free(&out);
    side_end(&s);
}

/* The client has us reset its streams, by requests that are none. */
static void resets_we_are_made_to_send_count_too(void **state)
{
    struct side s;
    struct buf b, out;
    uint32_t id = 1;

    (void)state;
    side_start(&s);
    buf_init(&b, 4096);
    buf_init(&out, 1 << 24);
    put_hello(&b);
    assert_true(h2_feed(s.h, b.data, b.bytes, 1));
    for (; id < 4 * H2_RESETS; id += 2) {
        buf_reset(&b);
        /* a head without a path */
        put_frame(&b, HEADERS, END_HEADERS | END_STREAM, id, slice_make("\203\206", 2));
        if (!h2_feed(s.h, b.data, b.bytes, 1))
            break;
        if (!h2_take(s.h, &out, SIZE_MAX))
            break;
        buf_reset(&out);
    }
    assert_true(id / 2 <= H2_RESETS + 2);
    assert_string_equal(h2_trouble(s.h), "flood of requests that are none");
    assert_int_equal(s.ends, 0);
    buf_free(&b);
    buf_free(&out);
    side_end(&s);
}

/* What is regained with time is enough for a client that cancels now and then. */
static void a_reset_now_and_then_is_fine(void **state)
{
    struct side s;
    struct buf b, out;

    (void)state;
    side_start(&s);
    s.silent = true;
    buf_init(&b, 4096);
    buf_init(&out, 1 << 24);
    put_hello(&b);
    assert_true(h2_feed(s.h, b.data, b.bytes, 1));
    for (uint32_t i = 0; i < 5 * H2_RESETS; i++) {
        buf_reset(&b);
        put_frame(&b, HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, slice_text(small_head));
        put_frame(&b, RST, 0, 2 * i + 1, slice_make("\0\0\0\10", 4));
        assert_true(h2_feed(s.h, b.data, b.bytes, 1 + i * 1000 / H2_RESETS_PER_S));
        assert_true(h2_take(s.h, &out, SIZE_MAX));
        buf_reset(&out);
    }
    assert_int_equal(s.heads, 5 * H2_RESETS);
    assert_false(h2_over(s.h));
    buf_free(&b);
    buf_free(&out);
    side_end(&s);
}

/* As many calls are answered as are given up. */
static void a_client_in_a_hurry_is_no_flood(void **state)
{
    struct side s;
    struct buf b, out;

    (void)state;
    side_start(&s);
    buf_init(&b, 4096);
    buf_init(&out, 1 << 24);
    put_hello(&b);
    assert_true(h2_feed(s.h, b.data, b.bytes, 1));
    for (uint32_t i = 0; i < 5 * H2_RESETS; i++) {
        buf_reset(&b);
        s.silent = i % 2 == 0;
        put_frame(&b, HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, slice_text(small_head));
        if (s.silent)
            put_frame(&b, RST, 0, 2 * i + 1, slice_make("\0\0\0\10", 4));
        assert_true(h2_feed(s.h, b.data, b.bytes, 1));
        assert_true(h2_take(s.h, &out, SIZE_MAX));
        buf_reset(&out);
        /* the client's windows, which our answers use up */
        put_frame(&out, WINDOW_UPDATE, 0, 0, slice_make("\0\0\0\100", 4));
        assert_true(h2_feed(s.h, out.data, out.bytes, 1));
        buf_reset(&out);
    }
    assert_int_equal(s.closes, 5 * H2_RESETS);
    buf_free(&b);
    buf_free(&out);
    side_end(&s);
}

static void continuation_without_end_is_given_up(void **state)
{
    struct side s;
    struct buf b;
    unsigned n = 0;

    (void)state;
    side_start(&s);
    buf_init(&b, 4096);
    put_hello(&b);
    put_frame(&b, HEADERS, END_STREAM, 1, slice_text(small_head));
    assert_true(h2_feed(s.h, b.data, b.bytes, 1));
    buf_reset(&b);
    put_frame(&b, CONTINUATION, 0, 1, slice_make("\0\1a\1b", 5));
    while (n < H2_CONTROLS && h2_feed(s.h, b.data, b.bytes, 1))
        n++;
    assert_true(n < 100);
    assert_int_equal(s.heads, 0);
    buf_free(&b);
    side_end(&s);
}

/* nghttp2 counts the reads in which its CONTINUATION frames come, not the frames. */
static void a_head_in_two_frames_may_come_byte_by_byte(void **state)
{
    struct side s;
    struct buf b;

    (void)state;
    side_start(&s);
    buf_init(&b, 4096);
    put_hello(&b);
    put_frame(&b, HEADERS, END_STREAM, 1, slice_make(small_head, 3));
    for (int i = 0; i < 6; i++)
        put_frame(&b, CONTINUATION, 0, 1, slice_make("", 0));
    put_frame(&b, CONTINUATION, END_HEADERS, 1, slice_text(small_head + 3));
    assert_true(side_feed(&s, &b, 1));
    assert_int_equal(s.ends, 1);
    buf_free(&b);
    side_end(&s);
}

static void what_is_not_http2_is_known_by_its_first_bytes(void **state)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/1.1\r\n",
                                        "\x16\x03\x01", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct side s;

        side_start(&s);
        assert_false(h2_feed(s.h, (const uint8_t *)texts[i], strlen(texts[i]), 1));
        assert_true(h2_bad_preface(s.h));
        assert_true(h2_over(s.h));
        side_end(&s);
    }
}

/* --- memory --- */

static status one_call(void *arg)
{
    const struct buf *bytes = arg;
    struct side s = {0};
    struct buf out;
    status st = side_open(&s);

    if (st != ST_OK)
        return st;
    buf_init(&out, 1 << 20);
    (void)h2_feed(s.h, bytes->data, bytes->bytes, 1);
    if (!h2_take(s.h, &out, SIZE_MAX) || memmem(out.data, out.bytes, "answer", 6) == NULL)
        st = ST_NOMEM;
    buf_free(&out);
    side_end(&s);
    return st;
}

static void a_call_without_memory_fails_alone(void **state)
{
    struct buf bytes;

    (void)state;
    buf_init(&bytes, 4096);
    put_hello(&bytes);
    put_frame(&bytes, HEADERS, END_HEADERS, 1, slice_text(small_head));
    put_frame(&bytes, DATA_FRAME, END_STREAM, 1, slice_text("question"));
    assert_true(alloc_sweep(one_call, &bytes) > 10);
    buf_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floods_of_frames_that_carry_nothing_end_the_connection),
        cmocka_unit_test(acks_nobody_reads_are_bounded),
        cmocka_unit_test(empty_data_and_priority_on_a_stream_are_floods_too),
        cmocka_unit_test(a_rapid_reset_ends_the_connection),
        cmocka_unit_test(resets_we_are_made_to_send_count_too),
        cmocka_unit_test(a_reset_now_and_then_is_fine),
        cmocka_unit_test(a_client_in_a_hurry_is_no_flood),
        cmocka_unit_test(continuation_without_end_is_given_up),
        cmocka_unit_test(a_head_in_two_frames_may_come_byte_by_byte),
        cmocka_unit_test(what_is_not_http2_is_known_by_its_first_bytes),
        cmocka_unit_test(a_call_without_memory_fails_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
