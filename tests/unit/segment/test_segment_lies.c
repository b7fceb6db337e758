/* Segments under good checksums that are not what they say: each lie alone is found. */
#include "segment/segment.h"
#include "tests/unit/segment/crafted.h"

#include <stdlib.h>

static const uint8_t DOCS[16] = {0x33, 1};
enum { HEAD, ROWS, IDS, TOMBSTONES, EXTRA };
enum { ROW_BYTES = 20 + 9 + 4, TEXT_ROW_BYTES = 20 + 4 + 4, ID_BYTES = 8 + 9 };

static void put_row(struct buf *b, const struct docid *id, uint64_t lsn)
{
    size_t at = b->bytes;

    buf_put_u32(b, 0);
    buf_put_u64(b, lsn);
    buf_put_u64(b, 1000);
    assert_null(record_row_put(b, id, (struct slice){0}, (struct slice){0}, NULL, 0));
    buf_set_u32(b, at, (uint32_t)(b->bytes - at - 4));
}

static void put_id(struct buf *b, const struct docid *id, uint32_t row, uint32_t offset)
{
    buf_put_u32(b, row);
    buf_put_u32(b, offset);
    buf_put_docid(b, id);
}

static void put_tombstone(struct buf *b, const struct docid *id, uint64_t lsn)
{
    buf_put_u64(b, lsn);
    buf_put_docid(b, id);
}

/* Rows: integer 7 at lsn 9, text "ab" at 5, integer 1 at 6. Tombstones: 3, "x", "y". */
static void make(struct crafted *c)
{
    struct docid seven = docid_u64(7);
    struct docid one = docid_u64(1);
    struct docid three = docid_u64(3);
    struct docid ab = {.kind = DOCID_BYTES, .bytes = slice_text("ab")};
    struct docid x = {.kind = DOCID_BYTES, .bytes = slice_text("x")};
    struct docid y = {.kind = DOCID_BYTES, .bytes = slice_text("y")};
    struct buf *b;

    *c = (struct crafted){0};
    b = crafted_add(c, 1);
    buf_put_u64(b, 8);
    buf_put_u64(b, 5);
    buf_put_u64(b, 9);
    buf_put_u32(b, 3);
    buf_put_u32(b, 3);
    b = crafted_add(c, 2);
    put_row(b, &seven, 9);
    put_row(b, &ab, 5);
    put_row(b, &one, 6);
    assert_int_equal(b->bytes, 2 * ROW_BYTES + TEXT_ROW_BYTES);
    b = crafted_add(c, 3);
    put_id(b, &one, 2, ROW_BYTES + TEXT_ROW_BYTES);
    put_id(b, &seven, 0, 0);
    put_id(b, &ab, 1, ROW_BYTES);
    b = crafted_add(c, 4);
    put_tombstone(b, &three, 4);
    put_tombstone(b, &x, 6);
    put_tombstone(b, &y, 6);
}

static uint8_t *at(struct crafted *c, unsigned part, size_t offset)
{
    assert_true(offset < c->parts[part].bytes.bytes);
    return c->parts[part].bytes.data + offset;
}

static const char *lie_of_the_head(struct crafted *c, unsigned which)
{
    switch (which) {
    case 0:
        le_put_u64(at(c, HEAD, 8), 6);
        return "a row below the smallest lsn";
    case 1:
        le_put_u64(at(c, HEAD, 16), 8);
        return "a row above the largest lsn";
    case 2:
        le_put_u64(at(c, HEAD, 8), 4);
        return "a smallest lsn that no row has";
    case 3:
        le_put_u64(at(c, HEAD, 16), 10);
        return "a largest lsn that no row has";
    case 4:
        le_put_u64(at(c, HEAD, 8), 10);
        return "a smallest lsn above the largest";
    case 5:
        le_put_u32(at(c, HEAD, 24), 0);
        return "lsns without rows";
    case 6:
        le_put_u32(at(c, HEAD, 24), 2);
        return "a row more than it says";
    case 7:
        le_put_u32(at(c, HEAD, 24), 4);
        return "a row less than it says";
    case 8:
        le_put_u32(at(c, HEAD, 24), UINT32_MAX);
        return "more rows than can be";
    case 9:
        le_put_u32(at(c, HEAD, 28), 2);
        return "a tombstone more than it says";
    case 10:
        le_put_u32(at(c, HEAD, 28), UINT32_MAX);
        return "more tombstones than can be";
    case 11:
        buf_put_u8(&c->parts[HEAD].bytes, 0);
        return "a head that is too long";
    case 12:
        c->parts[HEAD].bytes.bytes--;
        return "a head that is too short";
    case 13:
    case 14:
    case 15:
    case 16:
        c->parts[which - 13].section = 0;
        return "a section that is missing";
    default:
        return NULL;
    }
}

static const char *lie_of_the_rows(struct crafted *c, unsigned which)
{
    switch (which) {
    case 0:
        crafted_insert(&c->parts[ROWS].bytes, ROW_BYTES, 0);
        le_put_u32(at(c, ROWS, 0), ROW_BYTES - 4 + 1);
        le_put_u32(at(c, IDS, ID_BYTES * 2 + 4), ROW_BYTES + 1);
        le_put_u32(at(c, IDS, 4), ROW_BYTES + TEXT_ROW_BYTES + 1);
        return "a byte behind a row";
    case 1:
        le_put_u32(at(c, ROWS, 0), ROW_BYTES - 5);
        return "a row that is cut short";
    case 2:
        le_put_u32(at(c, ROWS, 0), UINT32_MAX);
        return "a row longer than the section";
    case 3:
        *at(c, ROWS, 20) = 9;
        return "an id of no kind";
    case 4:
        buf_put_u8(&c->parts[ROWS].bytes, 0);
        return "a byte behind the rows";
    default:
        return NULL;
    }
}

static const char *lie_of_the_ids(struct crafted *c, unsigned which)
{
    uint8_t entry[ID_BYTES];

    switch (which) {
    case 0:
        le_put_u32(at(c, IDS, 0), 3);
        return "a row that is not there";
    case 1:
        le_put_u32(at(c, IDS, 4), ROW_BYTES);
        return "another row's offset";
    case 2:
        le_put_u64(at(c, IDS, 9), 2);
        return "an id that is not its row's";
    case 3:
        memcpy(entry, at(c, IDS, 0), ID_BYTES);
        memmove(at(c, IDS, 0), at(c, IDS, ID_BYTES), ID_BYTES);
        memcpy(at(c, IDS, ID_BYTES), entry, ID_BYTES);
        return "ids out of order";
    case 4:
        memmove(at(c, IDS, 0), at(c, IDS, ID_BYTES), ID_BYTES);
        return "an id twice, another not";
    case 5:
        *at(c, IDS, 8) = 0;
        return "an id of no kind";
    case 6:
        buf_put_u8(&c->parts[IDS].bytes, 0);
        return "a byte behind the ids";
    default:
        return NULL;
    }
}

static const char *lie_of_the_tombstones(struct crafted *c, unsigned which)
{
    static const uint8_t text[DOCID_BYTES_MAX + 1] = {'z'};
    struct buf *b = &c->parts[TOMBSTONES].bytes;
    size_t x = 8 + 9; /* where that of "x" begins */

    switch (which) {
    case 0:
        le_put_u64(at(c, TOMBSTONES, 0), 0);
        return "a tombstone without an lsn";
    case 1:
        *at(c, TOMBSTONES, x + 8 + 2) = 'z';
        return "texts out of order";
    case 2:
        *at(c, TOMBSTONES, x + 8 + 2) = 'y';
        return "a tombstone twice";
    case 3:
        *at(c, TOMBSTONES, x + 8 + 2) = 'y';
        le_put_u64(at(c, TOMBSTONES, x), 7);
        return "lsns of one id out of order";
    case 4:
        *at(c, TOMBSTONES, 8) = 4;
        return "an id of no kind";
    case 5:
        *at(c, TOMBSTONES, x + 9) = 0;
        return "an empty text";
    case 6:
        *at(c, TOMBSTONES, x + 9) = 0x81;
        crafted_insert(b, x + 10, 0);
        return "a length in more bytes than it needs";
    case 7:
        b->bytes -= 2; /* "y" and its length */
        buf_put_varint(b, sizeof text);
        buf_put(b, text, sizeof text);
        return "an id that is too long";
    case 8:
        buf_put_u8(b, 0);
        return "a byte behind the tombstones";
    default:
        return NULL;
    }
}

static status pass_row(void *arg, const struct segment_row *row, struct err *err)
{
    (void)arg;
    (void)row;
    (void)err;
    return ST_OK;
}

static status pass_tombstone(void *arg, uint64_t lsn, const struct docid *id, struct err *err)
{
    (void)arg;
    (void)lsn;
    (void)id;
    (void)err;
    return ST_OK;
}

struct outcome {
    status open, rows, tombstones, check;
};

static struct outcome read_all(const struct crafted *c)
{
    struct buf b = crafted_build(c, CONTAINER_SEGMENT, DOCS);
    struct outcome o = {0};
    struct segment *s = NULL;

    o.open = segment_open(buf_slice(&b), DOCS, &s, NULL);
    if (o.open == ST_OK) {
        o.rows = segment_each_row(s, pass_row, NULL, NULL);
        o.tombstones = segment_each_tombstone(s, pass_tombstone, NULL, NULL);
        o.check = segment_check(s, NULL);
    }
    segment_close(s);
    buf_free(&b);
    return o;
}

typedef const char *lie_fn(struct crafted *c, unsigned which);

/* Runs every lie of a kind; returns how many. `found` says who must find it. */
static unsigned each_lie(lie_fn *lie, bool (*found)(const struct outcome *o))
{
    for (unsigned which = 0;; which++) {
        struct crafted c;
        struct outcome o;
        const char *what;

        make(&c);
        what = lie(&c, which);
        o = read_all(&c);
        crafted_free(&c);
        if (what == NULL)
            return which;
        if (!found(&o))
            fail_msg("%s: open %s, rows %s, tombstones %s, check %s", what, status_name(o.open),
                     status_name(o.rows), status_name(o.tombstones), status_name(o.check));
    }
}

static bool found_at_all(const struct outcome *o)
{
    return o->open == ST_CORRUPT || o->rows == ST_CORRUPT || o->tombstones == ST_CORRUPT;
}
static bool found_by_rows(const struct outcome *o)
{
    return o->open == ST_OK && o->rows == ST_CORRUPT && o->check == ST_CORRUPT;
}
static bool found_by_tombstones(const struct outcome *o)
{
    return o->open == ST_OK && o->rows == ST_OK && o->tombstones == ST_CORRUPT &&
           o->check == ST_CORRUPT;
}
static bool found_by_check(const struct outcome *o)
{
    return o->open == ST_OK && o->rows == ST_OK && o->tombstones == ST_OK && o->check == ST_CORRUPT;
}

static void what_is_crafted_well_is_read(void **state)
{
    struct crafted c;
    struct outcome o;

    (void)state;
    make(&c);
    o = read_all(&c);
    assert_int_equal(o.open, ST_OK);
    assert_int_equal(o.rows, ST_OK);
    assert_int_equal(o.tombstones, ST_OK);
    assert_int_equal(o.check, ST_OK);
    crafted_free(&c);
}

static void lies_of_the_head_are_found(void **state)
{
    (void)state;
    assert_int_equal(each_lie(lie_of_the_head, found_at_all), 17);
}

static void lies_of_the_rows_are_found_by_reading_them(void **state)
{
    (void)state;
    assert_int_equal(each_lie(lie_of_the_rows, found_by_rows), 5);
}

static void lies_of_the_ids_are_found_by_checking(void **state)
{
    (void)state;
    assert_int_equal(each_lie(lie_of_the_ids, found_by_check), 7);
}

static void lies_of_the_tombstones_are_found_by_reading_them(void **state)
{
    (void)state;
    assert_int_equal(each_lie(lie_of_the_tombstones, found_by_tombstones), 9);
}

/* Later versions may add sections. */
static void an_unknown_section_is_skipped_only_if_optional(void **state)
{
    struct crafted c;
    struct outcome o;

    (void)state;
    make(&c);
    buf_put_text(crafted_add(&c, 9), "from the future");
    assert_int_equal(read_all(&c).open, ST_UNSUPPORTED);
    c.parts[EXTRA].flags = CONTAINER_SECTION_OPTIONAL;
    o = read_all(&c);
    assert_int_equal(o.open, ST_OK);
    assert_int_equal(o.check, ST_OK);
    crafted_free(&c);
}

struct order {
    unsigned seen;
    uint8_t last[DOCID_BYTES_MAX];
};

static status rising(void *arg, uint64_t lsn, const struct docid *id, struct err *err)
{
    struct order *o = arg;

    (void)err;
    assert_int_equal(lsn, 1 + o->seen);
    assert_int_equal(id->bytes.bytes, DOCID_BYTES_MAX);
    assert_true(o->seen == 0 || memcmp(o->last, id->bytes.data, DOCID_BYTES_MAX) < 0);
    memcpy(o->last, id->bytes.data, DOCID_BYTES_MAX);
    o->seen++;
    return ST_OK;
}

/* The id before is compared with after the unit it lay in is gone. */
static void long_tombstones_run_over_units(void **state)
{
    uint8_t text[DOCID_BYTES_MAX] = {0};
    struct docid id = {.kind = DOCID_BYTES, .bytes = slice_make(text, sizeof text)};
    struct order order = {0};
    struct segment_writer *w;
    struct segment_head head;
    struct segment *s;
    struct slice bytes;

    (void)state;
    assert_int_equal(segment_create(DOCS, 1, &w, NULL), ST_OK);
    for (unsigned i = 2000; i-- > 0;) {
        text[0] = (uint8_t)(i >> 8);
        text[1] = (uint8_t)i;
        memset(text + 2, (int)(i % 251), sizeof text - 2);
        assert_int_equal(segment_add_tombstone(w, 1 + i, &id, NULL), ST_OK);
    }
    assert_int_equal(segment_finish(w, &head, &bytes, NULL), ST_OK);
    assert_int_equal(segment_open(bytes, DOCS, &s, NULL), ST_OK);
    assert_int_equal(segment_each_tombstone(s, rising, &order, NULL), ST_OK);
    assert_int_equal(order.seen, 2000);
    segment_close(s);
    segment_writer_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_crafted_well_is_read),
        cmocka_unit_test(lies_of_the_head_are_found),
        cmocka_unit_test(lies_of_the_rows_are_found_by_reading_them),
        cmocka_unit_test(lies_of_the_ids_are_found_by_checking),
        cmocka_unit_test(lies_of_the_tombstones_are_found_by_reading_them),
        cmocka_unit_test(an_unknown_section_is_skipped_only_if_optional),
        cmocka_unit_test(long_tombstones_run_over_units),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
