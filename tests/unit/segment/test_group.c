/* Groups: what comes back, that equal logs are equal bytes, the chain, released bytes, damage. */
#include "base/hash.h"
#include "base/mem.h"
#include "segment/group.h"
#include "segment/record.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/golden.h"
#include "tests/unit/segment/attack.h"

static uint64_t seed = 20261123;
static const uint8_t DOCS[16] = {0x33, 1};
#define CHAIN_START 0xe33e4aef2829a7c4u
#define CHAIN_ONE   0x549bdf0af0e21bf3u
#define CHAIN_GAP   0xbacfb08ab3a78b82u
static const struct group_head HEAD = {
    .collection = {0x33, 1}, .epoch = 3, .seq = 7, .first_lsn = 100, .chain_before = 0x1234};

/* A record of `bytes`, which lsn and salt tell from others; inserted at 1000 + lsn. */
static struct buf record_of(uint64_t lsn, size_t bytes, uint8_t salt)
{
    struct buf b;

    buf_init(&b, SIZE_MAX);
    buf_put_u8(&b, RECORD_DELETE);
    buf_put_u8(&b, 1);
    buf_put_u16(&b, 0);
    buf_put_u32(&b, 0);
    buf_put_u64(&b, 1000 + lsn);
    for (size_t i = b.bytes; i < bytes; i++)
        buf_put_u8(&b, (uint8_t)(i * 31 + lsn + salt));
    return b;
}

/* Sizes around a unit, and small ones. */
static size_t size_of(uint64_t lsn)
{
    static const size_t sizes[] = {16, 17, 127, 128, 200};

    return sizes[lsn % COUNT_OF(sizes)];
}

static status write_group(const struct group_head *head, uint64_t records, uint8_t salt,
                          struct group_writer **out, struct group_head *done, struct slice *bytes)
{
    struct group_writer *w = NULL;
    status st = group_create(head, &w, NULL);

    for (uint64_t i = 0; st == ST_OK && i < records; i++) {
        struct buf r = record_of(head->first_lsn + i, size_of(i), salt);

        st = buf_status(&r, NULL);
        if (st == ST_OK)
            st = group_add(w, head->first_lsn + i, buf_slice(&r), NULL);
        buf_free(&r);
    }
    if (st == ST_OK)
        st = group_finish(w, done, bytes, NULL);
    if (st != ST_OK) {
        group_writer_destroy(w);
        return st;
    }
    *out = w;
    return ST_OK;
}

struct seen {
    uint64_t next;
    uint64_t stop_at; /* 0: never */
};

static status see(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct seen *s = arg;
    struct buf want = record_of(lsn, size_of(lsn - HEAD.first_lsn), 0);

    assert_int_equal(lsn, s->next++);
    assert_true(slice_equal(payload, buf_slice(&want)));
    buf_free(&want);
    return lsn == s->stop_at ? err_set(err, ST_DENIED, "enough") : ST_OK;
}

static void what_was_added_comes_back_in_order(void **state)
{
    struct seen s = {.next = HEAD.first_lsn};
    struct group_writer *w;
    struct group_head head;
    struct slice bytes;
    struct group *g;

    (void)state;
    assert_int_equal(write_group(&HEAD, 5000, 0, &w, &head, &bytes), ST_OK);
    assert_true(group_bytes(w) > 5000 * 90 && group_bytes(w) <= bytes.bytes);
    assert_int_equal(group_open(bytes, DOCS, 3, 7, &g, NULL), ST_OK);
    assert_memory_equal(group_head(g), &head, sizeof head);
    assert_int_equal(head.kind, GROUP_RECORDS);
    assert_int_equal(head.first_lsn, 100);
    assert_int_equal(head.last_lsn, 5099);
    assert_int_equal(head.chain_before, 0x1234);
    assert_int_equal(head.oldest_ns, 1100);
    assert_int_equal(group_each(g, see, &s, NULL), ST_OK);
    assert_int_equal(s.next, 5100);
    s = (struct seen){.next = HEAD.first_lsn, .stop_at = 200};
    assert_int_equal(group_each(g, see, &s, NULL), ST_DENIED);
    assert_int_equal(s.next, 201);
    group_close(g);
    group_writer_destroy(w);
}

static void a_large_record_runs_over_units(void **state)
{
    struct buf large = record_of(100, 3u << 20, 0);
    struct group_writer *w;
    struct group_head head;
    struct slice bytes;
    struct group *g;

    (void)state;
    assert_int_equal(group_create(&HEAD, &w, NULL), ST_OK);
    assert_int_equal(group_add(w, 100, buf_slice(&large), NULL), ST_OK);
    assert_int_equal(group_finish(w, &head, &bytes, NULL), ST_OK);
    assert_int_equal(group_open(bytes, DOCS, 3, 7, &g, NULL), ST_OK);
    assert_int_equal(head.chain, group_chain(0x1234, 100, buf_slice(&large)));
    group_close(g);
    group_writer_destroy(w);
    buf_free(&large);
}

/* The bytes depend on the records alone: not on the run, nor on how the records were cut before. */
static void the_same_records_are_the_same_bytes(void **state)
{
    struct group_writer *a;
    struct group_writer *b;
    struct group_head head;
    struct slice x;
    struct slice y;

    (void)state;
    assert_int_equal(write_group(&HEAD, 3000, 0, &a, &head, &x), ST_OK);
    assert_int_equal(write_group(&HEAD, 3000, 0, &b, &head, &y), ST_OK);
    assert_true(slice_equal(x, y));
    group_writer_destroy(b);
    assert_int_equal(write_group(&HEAD, 3000, 1, &b, &head, &y), ST_OK);
    assert_false(slice_equal(x, y));
    group_writer_destroy(b);
    group_writer_destroy(a);
}

/* The chain runs over records: two groups in a row end where one group of the same records does. */
static void the_chain_does_not_depend_on_where_groups_end(void **state)
{
    uint64_t chain = HEAD.chain_before;
    struct group_writer *w;
    struct group_head head;
    struct slice bytes;

    (void)state;
    assert_int_equal(write_group(&HEAD, 50, 0, &w, &head, &bytes), ST_OK);
    for (uint64_t i = 0; i < 50; i++) {
        struct buf r = record_of(100 + i, size_of(i), 0);

        chain = group_chain(chain, 100 + i, buf_slice(&r));
        buf_free(&r);
    }
    assert_int_equal(head.chain, chain);
    group_writer_destroy(w);
}

/* Numbers that are stored: they may never change. */
static void chains_are_what_they_were(void **state)
{
    (void)state;
    assert_int_equal(group_chain_start(DOCS), hash_bytes(DOCS, 16, 0));
    assert_true(group_chain_start(DOCS) == CHAIN_START);
    assert_true(group_chain(CHAIN_START, 1, slice_text("payload")) == CHAIN_ONE);
    assert_true(group_chain_gap(CHAIN_ONE, 2, 9) == CHAIN_GAP);
}

static void a_chain_tells_payload_lsn_and_what_was_before(void **state)
{
    struct slice p = slice_text("payload");
    uint64_t chain = group_chain(5, 6, p);

    (void)state;
    assert_int_not_equal(chain, group_chain(6, 5, p));
    assert_int_not_equal(chain, group_chain(4, 6, p));
    assert_int_not_equal(chain, group_chain(5, 7, p));
    assert_int_not_equal(chain, group_chain(5, 6, slice_text("paylobd")));
    assert_int_not_equal(group_chain_gap(5, 6, 7), group_chain_gap(5, 6, 8));
    assert_int_not_equal(group_chain_gap(5, 6, 7), group_chain_gap(5, 7, 7));
    assert_int_not_equal(group_chain_gap(5, 6, 7), group_chain_gap(6, 6, 7));
}

static void a_gap_covers_lsns_and_holds_nothing(void **state)
{
    struct group_head gap = HEAD;
    struct seen s = {.next = 0};
    struct group *g;
    struct buf b;

    (void)state;
    gap.last_lsn = 2000000000000u;
    gap.chain = 0x5678;
    buf_init(&b, 4096);
    assert_int_equal(group_encode_gap(&gap, &b, NULL), ST_OK);
    assert_int_equal(group_open(buf_slice(&b), DOCS, 3, 7, &g, NULL), ST_OK);
    assert_int_equal(group_head(g)->kind, GROUP_GAP);
    assert_int_equal(group_head(g)->first_lsn, 100);
    assert_int_equal(group_head(g)->last_lsn, 2000000000000u);
    assert_int_equal(group_head(g)->chain, 0x5678);
    assert_int_equal(group_head(g)->oldest_ns, 0);
    assert_int_equal(group_each(g, see, &s, NULL), ST_OK);
    assert_int_equal(s.next, 0);
    group_close(g);
    buf_free(&b);

    gap.last_lsn = 99;
    assert_int_equal(group_encode_gap(&gap, &b, NULL), ST_INVALID);
    assert_int_equal(b.bytes, 0);
    gap.last_lsn = UINT64_MAX;
    assert_int_equal(group_encode_gap(&gap, &b, NULL), ST_INVALID);
}

static void a_group_of_another_place_is_corruption(void **state)
{
    const uint8_t other[16] = {0x33, 2};
    struct group_writer *w;
    struct group_head head;
    struct slice bytes;
    struct group *g;

    (void)state;
    assert_int_equal(write_group(&HEAD, 3, 0, &w, &head, &bytes), ST_OK);
    assert_int_equal(group_open(bytes, DOCS, 4, 7, &g, NULL), ST_CORRUPT);
    assert_int_equal(group_open(bytes, DOCS, 3, 8, &g, NULL), ST_CORRUPT);
    assert_int_equal(group_open(bytes, other, 3, 7, &g, NULL), ST_CORRUPT);
    group_writer_destroy(w);
}

static void records_come_without_gaps(void **state)
{
    struct buf r = record_of(100, 20, 0);
    struct group_head bad = HEAD;
    struct group_writer *w;
    struct group_head head;
    struct slice bytes;

    (void)state;
    bad.epoch = 0;
    assert_int_equal(group_create(&bad, &w, NULL), ST_INVALID);
    bad = HEAD;
    bad.seq = 0;
    assert_int_equal(group_create(&bad, &w, NULL), ST_INVALID);
    bad = HEAD;
    bad.first_lsn = 0;
    assert_int_equal(group_create(&bad, &w, NULL), ST_INVALID);

    assert_int_equal(group_create(&HEAD, &w, NULL), ST_OK);
    assert_int_equal(group_finish(w, &head, &bytes, NULL), ST_INVALID); /* nothing in it */
    assert_int_equal(group_add(w, 101, buf_slice(&r), NULL), ST_INVALID);
    assert_int_equal(group_add(w, 99, buf_slice(&r), NULL), ST_INVALID);
    assert_int_equal(group_add(w, 100, slice_make(r.data, 15), NULL), ST_INVALID);
    assert_int_equal(group_add(w, 100, buf_slice(&r), NULL), ST_OK);
    assert_int_equal(group_add(w, 100, buf_slice(&r), NULL), ST_INVALID);
    assert_int_equal(group_finish(w, &head, &bytes, NULL), ST_OK);
    assert_int_equal(head.last_lsn, 100); /* refused ones left nothing behind */
    assert_int_equal(group_add(w, 101, buf_slice(&r), NULL), ST_INVALID);
    assert_int_equal(group_finish(w, &head, &bytes, NULL), ST_BUG);
    group_writer_destroy(w);
    buf_free(&r);
}

/* A full one refuses the next record and can be finished. */
static void a_group_is_full_at_a_million_records(void **state)
{
    struct buf r = record_of(1, 16, 0);
    struct group_head one = HEAD;
    struct group_writer *w;
    struct group_head head;
    struct slice bytes;
    struct group *g;

    (void)state;
    one.first_lsn = 1;
    assert_int_equal(group_create(&one, &w, NULL), ST_OK);
    for (uint64_t lsn = 1; lsn <= GROUP_RECORDS_MAX; lsn++)
        assert_int_equal(group_add(w, lsn, buf_slice(&r), NULL), ST_OK);
    assert_int_equal(group_add(w, GROUP_RECORDS_MAX + 1u, buf_slice(&r), NULL), ST_NOSPACE);
    assert_int_equal(group_finish(w, &head, &bytes, NULL), ST_OK);
    assert_int_equal(group_open(bytes, DOCS, 3, 7, &g, NULL), ST_OK);
    group_close(g);
    group_writer_destroy(w);
    buf_free(&r);
}

static struct group_writer *golden_group(struct slice *bytes)
{
    struct group_writer *w;
    struct group_head head;

    assert_int_equal(write_group(&HEAD, 3, 0, &w, &head, bytes), ST_OK);
    return w;
}

static status pass(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    (void)lsn;
    (void)err;
    *(uint64_t *)arg += payload.bytes;
    return ST_OK;
}

static status decode(struct slice bytes)
{
    uint64_t sum = 0;
    struct group *g;
    status st = group_open(bytes, DOCS, 3, 7, &g, NULL);

    if (st != ST_OK)
        return st;
    assert_int_equal(group_each(g, pass, &sum, NULL), ST_OK);
    group_close(g);
    return ST_OK;
}

static void released_bytes_are_read_and_written_again(void **state)
{
    struct group_head gap = HEAD;
    struct group_writer *w;
    struct slice stored;
    struct slice bytes;
    struct buf b;

    (void)state;
    w = golden_group(&bytes);
    golden_check("group-v1.hex", bytes);
    stored = golden_read("group-v1.hex");
    assert_int_equal(decode(stored), ST_OK);
    mem_free((void *)(uintptr_t)stored.data);
    group_writer_destroy(w);

    gap.last_lsn = 104;
    gap.chain = group_chain_gap(gap.chain_before, gap.first_lsn, gap.last_lsn);
    buf_init(&b, 4096);
    assert_int_equal(group_encode_gap(&gap, &b, NULL), ST_OK);
    golden_check("group-v1-gap.hex", buf_slice(&b));
    stored = golden_read("group-v1-gap.hex");
    assert_int_equal(decode(stored), ST_OK);
    mem_free((void *)(uintptr_t)stored.data);
    buf_free(&b);
}

static void a_cut_or_a_flipped_bit_is_corruption(void **state)
{
    struct group_head gap = HEAD;
    struct group_writer *w;
    struct slice bytes;
    struct buf b;

    (void)state;
    w = golden_group(&bytes);
    attack_cuts_and_flips(decode, bytes);
    group_writer_destroy(w);
    gap.last_lsn = 104;
    buf_init(&b, 4096);
    assert_int_equal(group_encode_gap(&gap, &b, NULL), ST_OK);
    attack_cuts_and_flips(decode, buf_slice(&b));
    buf_free(&b);
}

/* The chain and the time bind every byte of the entries and the head: only what is no byte of
 * theirs could be changed, and there is nothing such. */
static void damage_under_good_checksums_never_leads_outside(void **state)
{
    struct group_writer *w;
    struct slice bytes;

    (void)state;
    w = golden_group(&bytes);
    (void)attack_container_edits(decode, bytes, 30000, seed);
    group_writer_destroy(w);
}

/* Bytes of a record or of the head changed under checksums that are right again. */
static void the_chain_finds_what_the_checksums_do_not(void **state)
{
    size_t entries = SEAL_HEADER_BYTES + CONTAINER_UNIT_HEADER_BYTES;
    struct group_writer *w;
    struct slice bytes;
    size_t head;

    (void)state;
    w = golden_group(&bytes);
    head = entries + 17 + 18 + 128 + CONTAINER_UNIT_HEADER_BYTES;
    assert_int_equal(le_u64(bytes.data + head + 8), 3); /* the epoch is where we think */
    for (size_t at = entries; at < head + 64; at++) {
        uint8_t *copy = malloc(bytes.bytes);

        if (at == entries + 17 + 18 + 128)
            at = head;
        assert_non_null(copy);
        memcpy(copy, bytes.data, bytes.bytes);
        copy[at] ^= 1;
        seal_container(copy, bytes.bytes);
        if (decode(slice_make(copy, bytes.bytes)) != ST_CORRUPT)
            fail_msg("byte %zu was changed", at);
        free(copy);
    }
    group_writer_destroy(w);
}

static status write_and_read(void *arg)
{
    struct group_head gap = HEAD;
    struct group_writer *w = NULL;
    struct group_head head;
    struct slice bytes;
    struct buf b;
    status st = write_group(&HEAD, 3, 0, &w, &head, &bytes);

    (void)arg;
    if (st == ST_OK)
        st = decode(bytes);
    group_writer_destroy(w);
    if (st != ST_OK)
        return st;
    gap.last_lsn = 200;
    buf_init(&b, 4096);
    st = group_encode_gap(&gap, &b, NULL);
    buf_free(&b);
    return st;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(alloc_sweep(write_and_read, NULL) >= 8);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_comes_back_in_order),
        cmocka_unit_test(a_large_record_runs_over_units),
        cmocka_unit_test(the_same_records_are_the_same_bytes),
        cmocka_unit_test(the_chain_does_not_depend_on_where_groups_end),
        cmocka_unit_test(chains_are_what_they_were),
        cmocka_unit_test(a_chain_tells_payload_lsn_and_what_was_before),
        cmocka_unit_test(a_gap_covers_lsns_and_holds_nothing),
        cmocka_unit_test(a_group_of_another_place_is_corruption),
        cmocka_unit_test(records_come_without_gaps),
        cmocka_unit_test(a_group_is_full_at_a_million_records),
        cmocka_unit_test(released_bytes_are_read_and_written_again),
        cmocka_unit_test(a_cut_or_a_flipped_bit_is_corruption),
        cmocka_unit_test(damage_under_good_checksums_never_leads_outside),
        cmocka_unit_test(the_chain_finds_what_the_checksums_do_not),
        cmocka_unit_test(each_allocation_may_fail),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
