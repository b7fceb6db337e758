/* Two nodes and one bucket: who may write is one of them, the other says so, and what an ex-owner
 * had not shipped is kept where a person can read it. */
#include "tests/unit/tiering/ship_world.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

static struct ship_world w;

static int setup(void **state)
{
    (void)state;
    ship_world_init(&w, 3);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ship_world_fini(&w);
    return 0;
}

static size_t tails(struct ship_node *n, struct letter *first)
{
    const struct dlq_filter filter = {.kind = LETTER_DIVERGENT_TAIL};
    size_t total;

    (void)dlq_list(n->dlq, &filter, 0, first, 1, &total);
    return total;
}

struct expected {
    struct ship_node *n;
    uint64_t next;
};
static status expect_next(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct expected *e = arg;
    struct buf want;

    (void)err;
    assert_int_equal(lsn, e->next++);
    ship_record(&w, e->n->node_id, lsn, &want);
    assert_int_equal(payload.bytes, want.bytes);
    assert_memory_equal(payload.data + 16, want.data + 16, want.bytes - 16);
    buf_free(&want);
    return ST_OK;
}

/* What n wrote, kept on the disk of `at`. */
static void expect_letter_of(struct ship_node *n, struct ship_node *at, const struct letter *l,
                             uint64_t first, uint64_t last)
{
    struct expected e = {.n = n, .next = first};
    struct err err;

    assert_int_equal(l->lsn_first, first);
    assert_int_equal(l->lsn_last, last);
    if (tier_letter_read(fs_sim_fs(at->sim), "/node", NULL, l, expect_next, &e, &err) != ST_OK)
        fail_msg("%s", err.text);
    assert_int_equal(e.next, last + 1);
}

static void expect_letter(struct ship_node *n, const struct letter *l, uint64_t first,
                          uint64_t last)
{
    expect_letter_of(n, n, l, first, last);
}

static bool is_there(const char *key)
{
    struct objstore_req req = {.op = OBJSTORE_HEAD, .key = key};
    status st = objstore_wait(w.memory, &req, NULL);

    objstore_result_fini(&req.result);
    return st == ST_OK;
}

static void another_node_is_told_whose_it_is_and_the_owner_never_notices(void **state)
{
    struct ship_node *one = ship_node(&w, "one");
    struct ship_node *two = ship_node(&w, "two");
    struct ship_answer owned = {0};
    struct ship_content got;
    struct letter l;

    (void)state;
    ship_create(one);
    ship_append(one, 10);
    ship_run(&w, 7000, 100);
    ship_open(two);
    tier_stream_own(two->stream, ship_answered, &owned);
    ship_settle(&w);
    assert_true(owned.done);
    assert_int_equal(owned.st, ST_DENIED);
    assert_int_equal(two->phase, STREAM_FOREIGN);
    assert_non_null(strstr(ship_status(two).reason, "one"));
    assert_string_equal(ship_status(two).owner, "one");
    ship_append(one, 10);
    ship_run(&w, 7000, 100);
    ship_read_bucket(&w, one, &got);
    assert_int_equal(got.last_lsn, 20);
    assert_int_equal(got.root.epoch, 1);
    assert_int_equal(one->phase, STREAM_OWNED);
    assert_int_equal(tails(two, &l), 0);
}

/* The store's thread stands in a request of ours until the gate opens. */
struct gate {
    struct ship_node *n;
    struct objstore_req before, behind; /* the root's read lies between them */
    struct ship_answer owned;
    _Atomic bool asked, open, passed;
};

static void stand(struct objstore_req *req)
{
    struct gate *g = req->arg;

    while (!atomic_load(&g->open))
        (void)sched_yield();
    objstore_result_fini(&req->result);
}

static void pass(struct objstore_req *req)
{
    struct gate *g = req->arg;

    objstore_result_fini(&req->result);
    atomic_store(&g->passed, true);
}

/* On the ship thread, whose read of the root is under way: the command comes before the answer
 * does, and both are there at its next turn. */
static void command_before_the_answer(void *arg, status st, const struct err *err)
{
    struct gate *g = arg;

    (void)st;
    (void)err;
    if (atomic_exchange(&g->asked, true))
        return;
    tier_stream_take(g->n->stream);
    tier_stream_own(g->n->stream, ship_answered, &g->owned);
    g->behind = (struct objstore_req){.op = OBJSTORE_HEAD, .key = "behind", .done = pass, .arg = g};
    objstore_submit(w.memory, &g->behind);
    atomic_store(&g->open, true);
    while (!atomic_load(&g->passed))
        (void)sched_yield();
}

static void a_command_counts_for_a_read_that_was_begun_before_it(void **state)
{
    struct ship_node *one = ship_node(&w, "one");
    struct ship_node *two = ship_node(&w, "two");
    struct ship_answer asked = {0};
    static struct gate g;

    (void)state;
    ship_create(one);
    ship_append(one, 10);
    ship_run(&w, 7000, 100);
    ship_open(two);
    tier_stream_own(two->stream, ship_answered, &asked);
    ship_settle(&w);
    assert_int_equal(asked.st, ST_DENIED);
    asked = (struct ship_answer){0};
    g = (struct gate){.n = two};
    g.before =
        (struct objstore_req){.op = OBJSTORE_HEAD, .key = "before", .done = stand, .arg = &g};
    objstore_submit(w.memory, &g.before);
    tier_stream_own(two->stream, ship_answered, &asked);
    tier_stream_mark(two->stream, 1, command_before_the_answer, &g);
    tier_stream_mark(two->stream, 1, command_before_the_answer, &g); /* answered at once */
    ship_settle(&w);
    assert_true(g.owned.done);
    assert_int_not_equal(g.owned.st, ST_DENIED);
    assert_string_equal(ship_status(two).owner, "two");
}

/* The first goes on writing while the second takes over: what it had not shipped becomes a letter
 * that can be read back, its writes are refused, and the second's records stand. */
static void a_fenced_owner_keeps_its_tail_as_a_letter(void **state)
{
    struct ship_node *one = ship_node(&w, "one");
    struct ship_node *two = ship_node(&w, "two");
    const struct ship_fault no_puts = {OBJSTORE_PUT, OBJKEY_IS_GROUP, OBJSTORE_TRANSIENT,
                                       SHIP_FOR_EVER, false};
    struct ship_content got;
    struct letter l;

    (void)state;
    ship_create(one);
    ship_append(one, 10);
    ship_run(&w, 7000, 100);
    ship_store_fail(w.store, &no_puts);
    ship_append(one, 6); /* durable, acknowledged locally, not in the bucket */
    ship_run(&w, 300, 100);
    two->options.take_ownership = true;
    ship_open(two);
    tier_stream_take(two->stream);
    ship_settle(&w);
    /* two's log is empty: it is behind the bucket's end and is to be loaded anew */
    assert_int_equal(two->phase, STREAM_DIVERGED);
    assert_int_equal(two->diverged, 1);
    assert_int_equal(two->diverged_first, 0);
    assert_int_equal(tails(two, &l), 0);
    ship_store_heal(w.store);
    ship_run(&w, 20000, 100);
    assert_int_equal(one->phase, STREAM_FENCED);
    assert_non_null(strstr(ship_status(one).reason, "two"));
    assert_int_equal(one->diverged, 0); /* it serves on; nobody loads anew by itself */
    assert_int_equal(tails(one, &l), 1);
    expect_letter(one, &l, 11, 16);
    assert_int_equal(l.state, LETTER_PARKED);
    assert_false(l.blocking);
    assert_true(is_there(l.key));
    assert_int_equal(objkey_parse(l.key).kind, OBJKEY_IS_ORPHAN);
    assert_int_equal(one->said_too_early, 0);
    assert_int_equal(one->remote_lsn, 10);
    ship_read_bucket(&w, one, &got);
    assert_int_equal(got.last_lsn, 10);
    assert_int_equal(got.root.epoch, 2);
    assert_string_equal(got.root.node_id, "two");
    ship_append(one, 2); /* what became durable meanwhile is kept as well */
    ship_run(&w, 2000, 100);
    assert_int_equal(tails(one, &l), 2);
}

/* A node that starts with unshipped records and finds another owner keeps them as a letter. It
 * takes the collection by command, nobody had written meanwhile: they are shipped, and the letter
 * leaves with its file. */
static void a_tail_that_is_the_collections_after_all_leaves(void **state)
{
    struct ship_node *one = ship_node(&w, "one");
    struct ship_content got;
    struct letter l;
    char path[FS_PATH_BYTES];
    struct fs_stat found;

    (void)state;
    ship_create(one);
    ship_append(one, 10);
    ship_run(&w, 7000, 100);
    ship_append(one, 5);
    ship_close(one);
    (void)snprintf(one->node_id, sizeof one->node_id, "renamed");
    ship_open(one);
    ship_run(&w, 1000, 100);
    assert_int_equal(one->phase, STREAM_FOREIGN);
    assert_int_equal(tails(one, &l), 1);
    (void)snprintf(one->node_id, sizeof one->node_id, "one");
    expect_letter(one, &l, 11, 15);
    assert_int_equal(fs_join(path, "/node", l.file, NULL), ST_OK);
    assert_int_equal(fs_stat(fs_sim_fs(one->sim), path, &found, NULL), ST_OK);
    tier_stream_take(one->stream);
    ship_run(&w, 10000, 100);
    assert_int_equal(one->phase, STREAM_OWNED);
    ship_read_bucket(&w, one, &got);
    assert_int_equal(got.last_lsn, 15);
    assert_int_equal(tails(one, &l), 0);
    assert_int_equal(fs_stat(fs_sim_fs(one->sim), path, &found, NULL), ST_NOT_FOUND);
}

static void copy_log(struct ship_node *from, struct ship_node *to, uint64_t last_lsn)
{
    for (uint64_t lsn = 1; lsn <= last_lsn; lsn++) {
        struct buf bytes;
        uint64_t at;

        buf_init(&bytes, 4096);
        ship_copy_record(from, lsn, &bytes);
        assert_int_equal(wal_append_wait(to->wal, buf_slice(&bytes), &at, NULL), ST_OK);
        buf_free(&bytes);
    }
}

/* An ex-owner takes again where the other has written other records under the same lsns: its own
 * are kept, the common part is found, and the node is told to load anew. The letter stays. */
static void a_log_that_parted_is_found_out_and_its_tail_kept(void **state)
{
    struct ship_node *one = ship_node(&w, "one");
    struct ship_node *two = ship_node(&w, "two");
    struct ship_node *anew;
    struct ship_content got;
    struct letter l;

    (void)state;
    ship_create(one);
    ship_append(one, 10);
    ship_run(&w, 7000, 100);
    ship_close(one);
    ship_append(one, 7); /* 11..17, on one alone */
    /* two has the common part as its own, as if it had been restored from the bucket */
    copy_log(one, two, 10);
    two->options.take_ownership = true;
    ship_append(two, 4); /* 11..14 */
    ship_open(two);
    ship_run(&w, 10000, 100);
    assert_int_equal(two->phase, STREAM_OWNED);
    ship_read_bucket(&w, NULL, &got);
    assert_int_equal(got.last_lsn, 14);

    one->options.take_ownership = true;
    ship_open(one);
    ship_run(&w, 10000, 100);
    assert_int_equal(one->phase, STREAM_DIVERGED);
    assert_int_equal(one->diverged, 1);
    assert_int_equal(one->diverged_first, 11);
    assert_int_equal(one->diverged_last, 17);
    assert_int_equal(tails(one, &l), 1);
    expect_letter(one, &l, 11, 17);
    ship_run(&w, 60000, 1000);
    assert_int_equal(one->diverged, 1);
    ship_close(one);

    /* Loaded anew it has two's records, and goes on behind the letter's lsns: the letter stays. */
    anew = ship_node(&w, "one");
    copy_log(two, anew, 14);
    anew->options.dlq = one->dlq;
    anew->options.fs = fs_sim_fs(one->sim);
    anew->options.take_ownership = true;
    ship_append(anew, 10);
    ship_open(anew);
    ship_run(&w, 10000, 100);
    assert_int_equal(anew->phase, STREAM_OWNED);
    assert_int_equal(anew->remote_lsn, 24);
    assert_int_equal(tails(one, &l), 1);
    expect_letter(one, &l, 11, 17);
}

/* A letter of an earlier history lies at the same lsns: the new tail is kept beside it, whole. */
static void a_tail_of_another_history_has_its_own_letter(void **state)
{
    struct ship_node *one = ship_node(&w, "one");
    struct ship_node *two = ship_node(&w, "two");
    struct ship_node *anew;
    const struct dlq_filter filter = {.kind = LETTER_DIVERGENT_TAIL};
    struct letter all[4];
    size_t total;

    (void)state;
    ship_create(one);
    ship_append(one, 10);
    ship_run(&w, 7000, 100);
    ship_close(one);
    ship_append(one, 7);
    copy_log(one, two, 10);
    two->options.take_ownership = true;
    ship_append(two, 4);
    ship_open(two);
    ship_run(&w, 10000, 100);
    one->options.take_ownership = true;
    ship_open(one);
    ship_run(&w, 10000, 100);
    assert_int_equal(tails(one, all), 1);
    ship_close(one);

    anew = ship_node(&w, "uno"); /* its log was taken from an older copy of the disk */
    copy_log(two, anew, 10);
    anew->options.dlq = one->dlq;
    anew->options.fs = fs_sim_fs(one->sim);
    anew->options.take_ownership = true;
    ship_append(anew, 14); /* 11..24 */
    ship_open(anew);
    ship_run(&w, 10000, 100);
    assert_int_equal(anew->phase, STREAM_DIVERGED);
    assert_int_equal(dlq_list(one->dlq, &filter, 0, all, COUNT_OF(all), &total), 2);
    expect_letter(one, &all[0], 11, 17);
    expect_letter_of(anew, one, &all[1], 11, 24);
}

/* The disk refuses the letter's file: the node is not told to load anew before it is written. */
static void a_tail_that_cannot_be_kept_is_tried_until_it_is(void **state)
{
    struct ship_node *one = ship_node(&w, "one");
    struct ship_node *two = ship_node(&w, "two");
    const struct fs_sim_fault full = {.op = FS_SIM_WRITE,
                                      .nth = 1,
                                      .errnum = 28 /* ENOSPC */,
                                      .for_ever = true,
                                      .path_part = "letters"};
    struct letter l;

    (void)state;
    ship_create(one);
    ship_append(one, 5);
    ship_run(&w, 7000, 100);
    ship_append(two, 3); /* a log of its own under the same lsns */
    two->options.take_ownership = true;
    fs_sim_fail(two->sim, &full);
    ship_open(two);
    ship_run(&w, 20000, 100);
    assert_int_equal(two->phase, STREAM_DIVERGED);
    assert_int_equal(two->diverged, 0);
    assert_int_equal(tails(two, &l), 0);
    fs_sim_fail_clear(two->sim);
    ship_run(&w, 6000, 100);
    assert_int_equal(two->diverged, 1);
    assert_int_equal(tails(two, &l), 1);
    expect_letter(two, &l, 1, 3);
}

/* When the node is told to load anew, and so to give its log up, the tail must survive a power cut.
 */
static void a_kept_tail_survives_a_power_cut(void **state)
{
    struct ship_node *one = ship_node(&w, "one");
    struct ship_node *two = ship_node(&w, "two");
    struct letter l;

    (void)state;
    ship_create(one);
    ship_append(one, 5);
    ship_run(&w, 7000, 100);
    ship_append(two, 300);
    two->options.take_ownership = true;
    ship_open(two);
    ship_run(&w, 1000, 100);
    assert_int_equal(two->diverged, 1);
    ship_close(two);
    fs_sim_power_cut(two->sim, NULL); /* whatever was not synced is lost */
    assert_int_equal(tails(two, &l), 1);
    expect_letter(two, &l, 1, 300);
}

/* Damage in a letter's file is found, and no letter makes us read outside our folder. */
static void damaged_letters_are_refused(void **state)
{
    struct ship_node *one = ship_node(&w, "one");
    struct letter l;
    struct buf bytes;
    char path[FS_PATH_BYTES];
    struct expected e = {.n = one, .next = 11};
    struct fs *fs = fs_sim_fs(one->sim);

    (void)state;
    ship_create(one);
    ship_append(one, 10);
    ship_run(&w, 7000, 100);
    ship_append(one, 1);
    ship_close(one);
    (void)snprintf(one->node_id, sizeof one->node_id, "renamed");
    ship_open(one);
    ship_run(&w, 1000, 100);
    assert_int_equal(tails(one, &l), 1);
    assert_int_equal(fs_join(path, "/node", l.file, NULL), ST_OK);
    buf_init(&bytes, 1 << 20);
    assert_int_equal(fs_read_file(fs, path, 1 << 20, &bytes, NULL), ST_OK);
    bytes.data[bytes.bytes / 2] ^= 1;
    assert_int_equal(fs_write_file(fs, path, buf_slice(&bytes), NULL), ST_OK);
    assert_int_equal(tier_letter_read(fs, "/node", NULL, &l, expect_next, &e, NULL), ST_CORRUPT);
    buf_free(&bytes);
    (void)snprintf(l.file, sizeof l.file, "letters/../../etc/passwd");
    assert_int_equal(tier_letter_read(fs, "/node", NULL, &l, expect_next, &e, NULL), ST_CORRUPT);
    assert_int_equal(tier_letter_forget(fs, "/node", &l, NULL), ST_CORRUPT);
    l.file[0] = '\0'; /* from the log then */
    (void)snprintf(one->node_id, sizeof one->node_id, "one");
    assert_int_equal(tier_letter_read(fs, "/node", one->wal, &l, expect_next, &e, NULL), ST_OK);
    l.lsn_last = 99;
    assert_int_equal(tier_letter_read(fs, "/node", one->wal, &l, expect_next, &e, NULL),
                     ST_NOT_FOUND);
}

/* A trimmed log is compared by what is remembered of the last confirmed record. */
static void a_trimmed_log_goes_on_by_what_is_remembered(void **state)
{
    struct ship_node *one = ship_node(&w, "one");
    struct ship_content got;

    (void)state;
    one->options.group_bytes = 1 << 20;
    ship_create(one);
    ship_append(one, 6000); /* more than one file of the log */
    ship_run(&w, 10000, 100);
    assert_int_equal(one->hint_lsn, 6000);
    ship_append(one, 3);
    ship_close(one);
    assert_int_equal(wal_trim(one->wal, 6000, NULL), ST_OK);
    ship_restart_log(one);
    assert_int_equal(wal_read(one->wal, 1, 1, expect_next, NULL, NULL), ST_NOT_FOUND);
    ship_open(one);
    ship_run(&w, 10000, 100);
    assert_int_equal(one->phase, STREAM_OWNED);
    ship_read_bucket(&w, one, &got);
    assert_int_equal(got.last_lsn, 6003);
    assert_int_equal(got.records, 6003);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(another_node_is_told_whose_it_is_and_the_owner_never_notices),
        TEST(a_command_counts_for_a_read_that_was_begun_before_it),
        TEST(a_fenced_owner_keeps_its_tail_as_a_letter),
        TEST(a_tail_that_is_the_collections_after_all_leaves),
        TEST(a_log_that_parted_is_found_out_and_its_tail_kept),
        TEST(a_tail_of_another_history_has_its_own_letter),
        TEST(a_tail_that_cannot_be_kept_is_tried_until_it_is),
        TEST(a_kept_tail_survives_a_power_cut),
        TEST(damaged_letters_are_refused),
        TEST(a_trimmed_log_goes_on_by_what_is_remembered),
    };

    return cmocka_run_group_tests_name("tier_owners", tests, NULL, NULL);
}
