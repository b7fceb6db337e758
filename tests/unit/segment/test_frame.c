/* The frame of small objects: header, texts, extensions. */
#include "segment/frame.h"
#include "tests/unit/segment/attack.h"

static const struct frame_kind KIND = {
    .name = "thing", .magic = "TVXX", .version = 3, .bytes_max = 64};

static struct buf thing(size_t body)
{
    struct buf b;
    size_t begin;

    buf_init(&b, 1000);
    buf_put_text(&b, "before"); /* a frame is appended */
    begin = frame_begin(&b, &KIND);
    buf_put_zeros(&b, body);
    frame_put_no_extensions(&b);
    assert_int_equal(frame_end(&b, begin, &KIND, NULL), ST_OK);
    memmove(b.data, b.data + 6, b.bytes - 6);
    b.bytes -= 6;
    return b;
}

static status open_and_skip(struct slice bytes)
{
    struct rd body;
    status st = frame_open(bytes, &KIND, &body, NULL);

    if (st != ST_OK)
        return st;
    rd_skip(&body, 5);
    return frame_skip_extensions(&body, &KIND, NULL);
}

static void damage_is_found_before_anything_is_believed(void **state)
{
    struct buf b = thing(5);

    (void)state;
    attack_cuts_and_flips(open_and_skip, buf_slice(&b));
    buf_free(&b);
}

static void an_older_version_is_read_and_a_newer_one_is_not(void **state)
{
    struct buf b = thing(5);

    (void)state;
    for (unsigned version = 0; version < 6; version++) {
        b.data[4] = (uint8_t)version;
        seal_frame(b.data, b.bytes);
        assert_int_equal(open_and_skip(buf_slice(&b)), version == 0  ? ST_CORRUPT
                                                       : version > 3 ? ST_UNSUPPORTED
                                                                     : ST_OK);
    }
    buf_free(&b);
}

static void what_should_be_zero_is(void **state)
{
    struct buf b = thing(5);

    (void)state;
    b.data[6] = 1;
    seal_frame(b.data, b.bytes);
    assert_int_equal(open_and_skip(buf_slice(&b)), ST_CORRUPT);
    buf_free(&b);
}

/* More or fewer than the extensions' length says, and a body that is too short for its fields. */
static void nothing_follows_the_extensions(void **state)
{
    const uint8_t extension[] = {1, 0, 0, 0, 0, 0};
    struct buf b = thing(5);

    (void)state;
    buf_put(&b, extension, sizeof extension);
    seal_frame(b.data, b.bytes);
    assert_int_equal(open_and_skip(buf_slice(&b)), ST_CORRUPT); /* a good one, but not counted */
    le_put_u32(b.data + b.bytes - sizeof extension - 4, sizeof extension);
    seal_frame(b.data, b.bytes);
    assert_int_equal(open_and_skip(buf_slice(&b)), ST_OK);
    buf_free(&b);
    b = thing(5);
    buf_put_u8(&b, 0);
    seal_frame(b.data, b.bytes);
    assert_int_equal(open_and_skip(buf_slice(&b)), ST_CORRUPT);
    le_put_u32(b.data + b.bytes - 5, 2);
    seal_frame(b.data, b.bytes);
    assert_int_equal(open_and_skip(buf_slice(&b)), ST_CORRUPT);
    buf_free(&b);
    for (size_t body = 0; body < 5; body++) {
        b = thing(body);
        assert_int_equal(open_and_skip(buf_slice(&b)), ST_CORRUPT);
        buf_free(&b);
    }
}

static void the_largest_fits_and_one_more_does_not(void **state)
{
    struct buf b = thing(64 - 20);
    struct rd body;
    size_t begin;

    (void)state;
    assert_int_equal(b.bytes, 64);
    assert_int_equal(frame_open(buf_slice(&b), &KIND, &body, NULL), ST_OK);
    assert_int_equal(rd_left(&body), 48);
    buf_put_u8(&b, 0);
    seal_frame(b.data, b.bytes);
    assert_int_equal(frame_open(buf_slice(&b), &KIND, &body, NULL), ST_CORRUPT);
    buf_reset(&b);
    begin = frame_begin(&b, &KIND);
    buf_put_zeros(&b, 49);
    assert_int_equal(frame_end(&b, begin, &KIND, NULL), ST_NOSPACE);
    buf_free(&b);
}

static void a_text_needs_room_for_its_end(void **state)
{
    const struct {
        const char *bytes;
        size_t count;
        bool good;
    } texts[] = {{"\0\0", 2, true},      {"\2\0ab", 4, true}, {"\3\0abc", 5, true},
                 {"\4\0abcd", 6, false}, {"\2\0a", 3, false}, {"\2", 1, false},
                 {"\2\0a\0", 4, false}};
    char out[4];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct rd r = rd_make(slice_make(texts[i].bytes, texts[i].count));

        memset(out, 'x', sizeof out);
        frame_rd_text(&r, out, sizeof out);
        assert_int_equal(r.bad, !texts[i].good);
        if (texts[i].good)
            assert_string_equal(out, texts[i].count > 2 ? texts[i].bytes + 2 : "");
        else
            assert_memory_equal(out, "xxxx", 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_is_found_before_anything_is_believed),
        cmocka_unit_test(an_older_version_is_read_and_a_newer_one_is_not),
        cmocka_unit_test(what_should_be_zero_is),
        cmocka_unit_test(nothing_follows_the_extensions),
        cmocka_unit_test(the_largest_fits_and_one_more_does_not),
        cmocka_unit_test(a_text_needs_room_for_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
