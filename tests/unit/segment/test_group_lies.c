/* Groups under good checksums, with a chain made right for what is there, that are not what they
 * say; and the largest group. */
#include "base/mem.h"
#include "segment/group.h"
#include "tests/unit/segment/crafted.h"
#include "wal/wal.h"

static const uint8_t DOCS[16] = {0x33, 1};

struct shape {
    const char *what;
    uint8_t kind;
    uint8_t payload_bytes;
    bool long_varint;
    bool entries;
    uint64_t oldest_ns;
    status want;
    uint8_t second_bytes; /* 0: there is one record */
};

static status open_shape(const struct shape *s)
{
    uint8_t payload[64] = {0};
    struct slice p = slice_make(payload, s->payload_bytes);
    uint64_t chain;
    uint64_t last_lsn = 5;
    struct crafted c = {0};
    struct group *g = NULL;
    struct buf *b = NULL;
    struct buf bytes;
    status st;

    if (s->payload_bytes >= 16)
        le_put_u64(payload + 8, 77);
    chain = group_chain(0x1234, 5, p);
    if (s->entries) {
        b = crafted_add(&c, 2);
        buf_put_u8(b, (uint8_t)(s->payload_bytes | (s->long_varint ? 0x80 : 0)));
        if (s->long_varint)
            buf_put_u8(b, 0);
        buf_put_slice(b, p);
    }
    if (s->second_bytes > 0) {
        buf_put_u8(b, s->second_bytes);
        buf_put(b, payload, s->second_bytes);
        last_lsn++;
        chain = group_chain(chain, last_lsn, slice_make(payload, s->second_bytes));
    }
    b = crafted_add(&c, 1);
    buf_put_u64(b, s->kind);
    buf_put_u64(b, 1);
    buf_put_u64(b, 1);
    buf_put_u64(b, 5);
    buf_put_u64(b, last_lsn);
    buf_put_u64(b, 0x1234);
    buf_put_u64(b, chain);
    buf_put_u64(b, s->oldest_ns);
    bytes = crafted_build(&c, CONTAINER_GROUP, DOCS);
    st = group_open(buf_slice(&bytes), DOCS, 1, 1, &g, NULL);
    group_close(g);
    buf_free(&bytes);
    crafted_free(&c);
    return st;
}

static void groups_that_lie_are_found(void **state)
{
    const struct shape shapes[] = {
        {"nothing", GROUP_RECORDS, 16, false, true, 77, ST_OK, 0},
        {"nothing, two records", GROUP_RECORDS, 16, false, true, 77, ST_OK, 16},
        {"nothing, a gap", GROUP_GAP, 0, false, false, 0, ST_OK, 0},
        {"a record shorter than its header", GROUP_RECORDS, 16, false, true, 77, ST_CORRUPT, 15},
        {"a length in more bytes than it needs", GROUP_RECORDS, 16, true, true, 77, ST_CORRUPT, 0},
        {"another time than the record's", GROUP_RECORDS, 16, false, true, 78, ST_CORRUPT, 0},
        {"no entries", GROUP_RECORDS, 16, false, false, 77, ST_CORRUPT, 0},
        {"entries in a gap", GROUP_GAP, 16, false, true, 0, ST_CORRUPT, 0},
        {"a time in a gap", GROUP_GAP, 0, false, false, 77, ST_CORRUPT, 0},
        {"a kind that is not known", 2, 16, false, true, 77, ST_CORRUPT, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        status st = open_shape(&shapes[i]);

        if (st != shapes[i].want)
            fail_msg("%s: %s", shapes[i].what, status_name(st));
    }
}

/* One record of all the bytes that the log takes; a second one is refused, and the group is
 * finished without it. */
static void the_largest_record_of_the_log_fits(void **state)
{
    const struct group_head one = {.collection = {0x33, 1}, .epoch = 1, .seq = 1, .first_lsn = 1};
    uint8_t *payload = mem_zero((size_t)WAL_PAYLOAD_BYTES_MAX + 1);
    struct slice largest = slice_make(payload, WAL_PAYLOAD_BYTES_MAX);
    struct slice larger = slice_make(payload, (size_t)WAL_PAYLOAD_BYTES_MAX + 1);
    struct group_writer *w;
    struct group_head head;
    struct slice bytes;
    struct group *g;

    (void)state;
    assert_non_null(payload);
    assert_int_equal(group_create(&one, &w, NULL), ST_OK);
    assert_int_equal(group_add(w, 1, larger, NULL), ST_INVALID);
    assert_int_equal(group_add(w, 1, largest, NULL), ST_OK);
    assert_int_equal(group_add(w, 2, largest, NULL), ST_NOSPACE);
    assert_int_equal(group_finish(w, &head, &bytes, NULL), ST_OK);
    assert_int_equal(head.last_lsn, 1);
    assert_true(bytes.bytes <= GROUP_BYTES_MAX);
    assert_int_equal(group_open(bytes, DOCS, 1, 1, &g, NULL), ST_OK);
    group_close(g);
    group_writer_destroy(w);
    mem_free(payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_that_lie_are_found),
        cmocka_unit_test(the_largest_record_of_the_log_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
