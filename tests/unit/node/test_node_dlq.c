/* Dead letters as an operator meets them: permissions taken away, the bucket deleted, another
 * owner. Nothing that was acknowledged is only in a letter, and after each way out of it the bucket
 * alone says what the node says. */
#include "tests/unit/node/nbucket.h"

#include <stdio.h>

enum { DIM = 4, IDS = 80 };

static void put_range(struct collection *c, uint64_t first, uint64_t last, uint32_t version)
{
    struct err err = {0};

    for (uint64_t id = first; id <= last; id++) {
        if (nput(c, id, version, &err) != ST_OK)
            fail_msg("put %llu: %s", (unsigned long long)id, err.text);
    }
}

static struct collection *make(struct nworld *w)
{
    struct err err = {0};

    if (ncreate_s3(w, "docs", DIM, NODE_LOCAL, &err) != ST_OK)
        fail_msg("create: %s", err.text);
    return npin(w, "docs");
}

static unsigned refuse_groups(struct nworld *w)
{
    struct objstore_fault fault = objstore_fault_denied();
    unsigned id = 0;

    fault.ops = 1u << OBJSTORE_PUT;
    fault.key_part = "/w/";
    assert_int_equal(objstore_faults_add(w->bucket, &fault, &id, NULL), ST_OK);
    return id;
}

/* The disk is lost: what comes back is what was there. */
static void restore_agrees(struct nworld *w, struct collection *c)
{
    uint32_t here[IDS], there[IDS];
    uint64_t count;

    neventually(nshipped(c));
    nversions(c, here, IDS);
    count = ncount(c);
    node_collection_unpin(c);
    nlose_disk(w);
    nworld_open(w);
    nsettled(w);
    c = npin(w, "docs");
    nversions(c, there, IDS);
    for (size_t id = 1; id < IDS; id++) {
        if (here[id] != there[id])
            fail_msg("id %zu: version %u on the node, %u from the bucket, seed=%llu", id, here[id],
                     there[id], (unsigned long long)w->seed);
    }
    assert_int_equal(ncount(c), count);
    node_collection_unpin(c);
}

/* Shipped: 1 to 20. Parked: 2 replaced, 3 deleted, 30 to 39 new, 35 deleted again. Behind it: 4 and
 * 30 replaced, 5 and 31 deleted, 40 to 44 new. */
static struct collection *with_a_parked_group(struct nworld *w, unsigned *fault)
{
    struct collection *c = make(w);

    put_range(c, 1, 20, 1);
    neventually(nshipped(c));
    *fault = refuse_groups(w);
    put_range(c, 2, 2, 2);
    assert_int_equal(ndel(c, 3, NULL), ST_OK);
    put_range(c, 30, 39, 2);
    assert_int_equal(ndel(c, 35, NULL), ST_OK);
    neventually(ninfo(c).dlq > 0);
    put_range(c, 4, 4, 3);
    put_range(c, 30, 30, 3);
    assert_int_equal(ndel(c, 5, NULL), ST_OK);
    assert_int_equal(ndel(c, 31, NULL), ST_OK);
    put_range(c, 40, 44, 3);
    return c;
}

static void begin(struct nworld *w, bool sim, uint64_t seed)
{
    char name[32];

    nworld_init(w, sim, seed);
    (void)snprintf(name, sizeof name, "dlq-%llu", (unsigned long long)seed);
    nworld_bucket(w, name);
    w->options.rpo_ms = 200; /* what the tests park is one group */
}

static void permissions_taken_away_and_given_back(void **state)
{
    struct node_dlq_result result;
    struct letter letter = {0};
    struct collection *c;
    struct err err = {0};
    struct nworld w;
    unsigned fault;

    (void)state;
    begin(&w, false, 1);
    nworld_open(&w);
    c = with_a_parked_group(&w, &fault);
    assert_true(nhealth_has(&w, "docs"));
    assert_true(nletter(c, 0, &letter) >= 1);
    assert_int_equal(letter.kind, LETTER_WAL_GROUP);
    assert_int_equal(letter.http_status, 403);
    assert_string_equal(letter.s3_code, "AccessDenied");
    assert_string_equal(letter.class, "permanent");
    assert_non_null(strstr(letter.key, "/w/"));
    assert_int_equal(letter.lsn_first, 21);
    assert_true(letter.lsn_last >= 21 && letter.attempts >= w.options.max_retries);
    assert_true(letter.first_failed_ns > 0 && letter.last_failed_ns >= letter.first_failed_ns);

    assert_int_equal(ndlq_retry(c, NULL, 0, &result, &err), ST_OK);
    assert_int_equal(result.succeeded, 0);
    assert_true(result.failed >= 1 && result.retried == result.failed);
    assert_non_null(strstr(result.text, letter.key)); /* what the store said of it */
    node_collection_unpin(c);

    nworld_close(&w); /* a restart, permissions still gone */
    nworld_open(&w);
    c = npin(&w, "docs");
    assert_true(ninfo(c).dlq >= 1);
    neventually(nhealth_has(&w, "docs"));
    put_range(c, 45, 49, 3);
    assert_int_equal(ncount(c), 20 - 2 + 10 - 2 + 10);
    neventually(nletter(c, 0, &letter) >= 1);
    assert_int_equal(ndlq_retry(c, NULL, 0, &result, &err), ST_OK);
    assert_true(result.failed >= 1 && result.text[0] != '\0');

    objstore_faults_remove(w.bucket, fault);
    assert_int_equal(ndlq_retry(c, NULL, 0, &result, &err), ST_OK);
    if (result.failed != 0)
        fail_msg("retry: %s", result.text);
    assert_true(result.succeeded >= 1);
    assert_int_equal(nletter(c, 0, &letter), 0);
    neventually(nshipped(c));
    neventually(!nhealth_has(&w, "docs"));
    restore_agrees(&w, c);
    nworld_fini(&w);
}

static size_t lines_of(struct nworld *w, const char *path, struct buf *text)
{
    size_t lines = 0;

    assert_int_equal(fs_read_file(nworld_fs(w), path, 1 << 20, text, NULL), ST_OK);
    for (size_t i = 0; i < text->bytes; i++)
        lines += text->data[i] == '\n';
    return lines;
}

static void discard_all(struct nworld *w, struct collection *c, bool drop)
{
    struct node_dlq_result asked = {0};
    struct node_dlq_result result = {0};
    struct letter letter = {0};
    struct err err = {0};
    struct buf text;

    assert_int_equal(ndlq_discard(c, 0, 0, drop, &asked, &err), ST_CONFLICT);
    (void)nletter(c, 0, &letter);
    assert_int_equal(asked.lsn_first, letter.lsn_first);
    assert_true(asked.lsn_last >= letter.lsn_last);
    assert_int_equal(ndlq_discard(c, asked.lsn_first, asked.lsn_last + 1, drop, &result, &err),
                     ST_CONFLICT);
    assert_true(nletter(c, 0, &letter) >= 1);
    if (ndlq_discard(c, asked.lsn_first, asked.lsn_last, drop, &result, &err) != ST_OK)
        fail_msg("discard: %s", err.text);
    assert_int_equal(result.lsn_first, asked.lsn_first);
    assert_int_equal(result.lsn_last, asked.lsn_last);
    buf_init(&text, 1 << 20);
    assert_true(lines_of(w, result.file, &text) >= asked.lsn_last - asked.lsn_first + 1);
    buf_free(&text);
    assert_int_equal(nletter(c, 0, &letter), 0);
}

static void discard_leaves_node_and_bucket_agreeing(uint64_t seed, bool drop, bool restart)
{
    struct letter letter = {0};
    struct collection *c;
    struct nworld w;
    unsigned fault;

    begin(&w, false, seed);
    nworld_open(&w);
    c = with_a_parked_group(&w, &fault);
    if (restart) { /* the seal is another one then, and may have grown */
        node_collection_unpin(c);
        nworld_close(&w);
        nworld_open(&w);
        c = npin(&w, "docs");
        put_range(c, 50, 59, 3);
        neventually(nletter(c, 0, &letter) == 1 && letter.epoch == 2);
    }
    (void)nletter(c, 0, &letter);
    objstore_faults_remove(w.bucket, fault);
    discard_all(&w, c, drop);
    assert_int_equal(nversion(c, 2), drop ? 0 : 2); /* its newest record was in the range */
    assert_int_equal(nversion(c, 3), 0);
    assert_int_equal(nversion(c, 35), 0);
    if (!restart) {
        assert_int_equal(nversion(c, 30), 3);
        assert_int_equal(nversion(c, 4), 3);
        assert_int_equal(nversion(c, 40), 3);
    }
    put_range(c, 60, 65, 4);
    neventually(!nhealth_has(&w, "docs"));
    restore_agrees(&w, c);
    nworld_fini(&w);
}

static void a_discard_keeps_what_was_newest(void **state)
{
    (void)state;
    discard_leaves_node_and_bucket_agreeing(2, false, false);
}

static void a_discard_with_drop_removes_it(void **state)
{
    (void)state;
    discard_leaves_node_and_bucket_agreeing(3, true, false);
}

static void a_discard_after_a_restart_is_the_same(void **state)
{
    (void)state;
    discard_leaves_node_and_bucket_agreeing(4, false, true);
    discard_leaves_node_and_bucket_agreeing(5, true, true);
}

static void discarded(void *arg, status st, const struct node_dlq_result *result,
                      const struct err *err)
{
    (void)result;
    call_admin_done(arg, st, NULL, err);
}

static bool is_done(struct call *call)
{
    bool done;

    lock_take(&call->lock);
    done = call->done;
    lock_drop(&call->lock);
    return done;
}

/* The process dies at every request of a discard; what is left agrees with the bucket in the end.
 */
static void a_discard_cut_short_anywhere(void **state)
{
    bool dead = true;

    (void)state;
    for (uint64_t n = 1; dead && n < 40; n++) {
        struct node_dlq_result result = {0};
        struct letter letter = {0};
        struct collection *c;
        struct nworld w;
        struct nkill kill;
        unsigned fault;

        begin(&w, true, 100 + n);
        nkill_init(&kill, &w);
        nworld_open(&w);
        c = with_a_parked_group(&w, &fault);
        objstore_faults_remove(w.bucket, fault);
        (void)ndlq_discard(c, 0, 0, n % 4 >= 2, &result, NULL);
        nkill_arm(&kill, n, n % 2 == 0);
        {
            struct call call; /* asynchronous: nobody waits for the dead */

            call_init(&call);
            node_dlq_discard(c, NULL, 0, result.lsn_first, result.lsn_last, n % 4 >= 2, discarded,
                             &call);
            neventually(is_done(&call) || nkill_dead(&kill));
            dead = nkill_dead(&kill);
            node_collection_unpin(c);
            nkill_bury(&kill);
            call_wait(&call);
        }
        nworld_open(&w);
        nsettled(&w);
        c = npin(&w, "docs");
        put_range(c, 70, 72, 5);
        neventually(nshipped(c));
        neventually(nletter(c, 0, &letter) == 0);
        assert_int_equal(nversion(c, 3), 0);
        assert_int_equal(nversion(c, 30), 3);
        restore_agrees(&w, c);
        nworld_fini(&w);
    }
    assert_false(dead);
}

static void a_deleted_bucket_is_filled_again(void **state)
{
    const struct objstore_fault gone = objstore_fault_bucket_gone();
    struct node_dlq_result result = {0};
    struct letter letter = {0};
    struct collection *c;
    struct err err = {0};
    struct nworld w;

    (void)state;
    begin(&w, false, 6);
    nworld_open(&w);
    c = make(&w);
    put_range(c, 1, 20, 1);
    neventually(nshipped(c));
    nwipe_bucket(&w);
    assert_int_equal(objstore_faults_add(w.bucket, &gone, NULL, NULL), ST_OK);
    put_range(c, 21, 30, 2);
    neventually(nhealth_has(&w, "NoSuchBucket") || nhealth_has(&w, "bucket"));
    neventually(nletter(c, 0, &letter) >= 1);
    assert_int_equal(ndel(c, 1, NULL), ST_OK);
    put_range(c, 2, 2, 2);
    objstore_faults_clear(w.bucket);
    assert_int_equal(ndlq_retry(c, NULL, 0, &result, &err), ST_OK); /* the group's: no root */
    neventually(strcmp(ninfo(c).phase, "root_lost") == 0);
    assert_true(nletter(c, 0, &letter) >= 1);
    put_range(c, 31, 35, 3); /* writes go on */
    assert_int_equal(ndlq_retry(c, NULL, 0, &result, &err), ST_OK);
    if (result.failed > 0)
        fail_msg("retry: %s", result.text);
    neventually(nshipped(c));
    neventually(nletter(c, 0, &letter) == 0);
    put_range(c, 36, 38, 3);
    neventually(!nhealth_has(&w, "docs"));
    restore_agrees(&w, c);
    nworld_fini(&w);
}

/* a is the owner again, with a letter of ten records: 21 to 28 in version 2, 1 and 2 deleted. */
static void with_a_tail(struct nworld *a, struct nworld *b, bool b_writes, uint64_t seed)
{
    const struct objstore_fault outage = objstore_fault_outage();
    struct collection *c;

    begin(a, false, seed);
    begin(b, false, seed + 1);
    objstore_close(b->bucket);
    nworld_bucket(b, a->bucket_name);
    a->options.node_id = "node-a";
    b->options.node_id = "node-b";
    nworld_open(a);
    c = make(a);
    put_range(c, 1, 20, 1);
    neventually(nshipped(c));
    assert_int_equal(objstore_faults_add(a->bucket, &outage, NULL, NULL), ST_OK);
    put_range(c, 21, 28, 2);
    assert_int_equal(ndel(c, 1, NULL), ST_OK);
    assert_int_equal(ndel(c, 2, NULL), ST_OK);
    b->options.take_ownership = true;
    nworld_open(b);
    neventually(nphase_is(b, "docs", "owned"));
    if (b_writes) {
        struct collection *cb = npin(b, "docs");

        put_range(cb, 70, 72, 3);
        neventually(nshipped(cb));
        node_collection_unpin(cb);
    }
    objstore_faults_clear(a->bucket);
    neventually(ninfo(c).dlq == 1);
    node_collection_unpin(c);
    nworld_close(b);
    nworld_close(a);
    a->options.take_ownership = true;
    nworld_open(a);
    neventually(nphase_is(a, "docs", "owned"));
}

static void a_tail_is_exported_and_replayed(void **state)
{
    struct node_dlq_result result = {0};
    struct letter letter = {0};
    struct collection *c;
    struct nworld a, b;
    struct err err = {0};
    struct buf text;

    (void)state;
    with_a_tail(&a, &b, true, 7);
    c = npin(&a, "docs");
    assert_int_equal(nversion(c, 21), 0);
    assert_int_equal(nversion(c, 1), 1);
    assert_int_equal(nletter(c, 0, &letter), 1);
    assert_int_equal(letter.kind, LETTER_DIVERGENT_TAIL);
    assert_int_equal(letter.lsn_last - letter.lsn_first + 1, 10);
    buf_init(&text, 1 << 20);
    assert_int_equal(ndlq_export(c, letter.id, &text, &err), ST_OK);
    buf_put_u8(&text, 0);
    for (unsigned id = 21; id <= 28; id++) {
        char part[64];

        (void)snprintf(part, sizeof part, "{\"op\":\"upsert\",\"lsn\":%u,\"doc_id\":%u,", id, id);
        if (strstr((const char *)text.data, part) == NULL)
            fail_msg("%s is not in the export: %s", part, (const char *)text.data);
    }
    assert_non_null(strstr((const char *)text.data, "{\"op\":\"delete\",\"lsn\":29,\"doc_id\":1}"));
    buf_free(&text);
    assert_int_equal(ndlq_retry(c, NULL, 0, &result, &err), ST_OK);
    assert_true(result.failed == 1 && strstr(result.text, "replay") != NULL);
    if (ndlq_replay(c, &result, &err) != ST_OK)
        fail_msg("replay: %s", err.text);
    assert_int_equal(result.records, 10);
    assert_int_equal(nletter(c, 0, &letter), 0);
    for (uint64_t id = 21; id <= 28; id++)
        assert_int_equal(nversion(c, id), 2);
    assert_int_equal(nversion(c, 1), 0);
    restore_agrees(&a, c);
    nworld_fini(&a);
    nworld_fini(&b);
}

static void a_tail_is_discarded(void **state)
{
    struct collection *c;
    struct nworld a, b;

    (void)state;
    with_a_tail(&a, &b, true, 9);
    c = npin(&a, "docs");
    discard_all(&a, c, false);
    assert_int_equal(nversion(c, 21), 0);
    assert_int_equal(nversion(c, 1), 1);
    restore_agrees(&a, c);
    nworld_fini(&a);
    nworld_fini(&b);
}

/* The other one wrote nothing: what this one has goes on where the bucket ends. */
static void a_tail_that_goes_on_is_shipped_and_its_letter_leaves(void **state)
{
    struct letter letter = {0};
    struct collection *c;
    struct nworld a, b;

    (void)state;
    with_a_tail(&a, &b, false, 11);
    c = npin(&a, "docs");
    for (uint64_t id = 21; id <= 28; id++)
        assert_int_equal(nversion(c, id), 2);
    assert_int_equal(nversion(c, 1), 0);
    neventually(nletter(c, 0, &letter) == 0);
    restore_agrees(&a, c);
    nworld_fini(&a);
    nworld_fini(&b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permissions_taken_away_and_given_back),
        cmocka_unit_test(a_discard_keeps_what_was_newest),
        cmocka_unit_test(a_discard_with_drop_removes_it),
        cmocka_unit_test(a_discard_after_a_restart_is_the_same),
        cmocka_unit_test(a_discard_cut_short_anywhere),
        cmocka_unit_test(a_deleted_bucket_is_filled_again),
        cmocka_unit_test(a_tail_is_exported_and_replayed),
        cmocka_unit_test(a_tail_is_discarded),
        cmocka_unit_test(a_tail_that_goes_on_is_shipped_and_its_letter_leaves),
    };

    nlog();
    if (argc > 1)
        cmocka_set_test_filter(argv[1]); /* one test by name */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
