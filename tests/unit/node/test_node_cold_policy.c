/* Into S3Only and out of it again: whatever is cut short, nothing is lost and nothing that was
 * deleted comes back. */
#include "tests/unit/node/nhead.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static struct nworld w;
/* More than either change takes is 10; an argument says how many. */
static uint64_t requests = 2;

static int set_up(void **state)
{
    (void)state;
    nlog();
    nworld_init(&w, true, 977);
    nworld_bucket(&w, "cold-policy");
    w.options.wal_file_bytes = 4096;
    nworld_open(&w);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    nworld_fini(&w);
    return 0;
}

static bool folded(struct collection *c)
{
    struct nhead_facts facts = nhead_facts(c);

    return facts.floor > 0 && facts.live == 0 && facts.tombstones == 0;
}

static void patch(struct collection *c, enum node_policy policy)
{
    struct err err = {0};

    if (npatch_policy(&w, c, policy, &err) != ST_OK)
        fail_msg("patch: %s", err.text);
}

/* Ids 1 to 5 and 31 to 40 are gone, 6 to 10 have version 2, 11 to 30 version 1. */
static void fill(struct collection *c)
{
    nput_batch(c, 1, 40, 1);
    nput_batch(c, 6, 10, 2);
    assert_int_equal(nhead_delete(c, 1, 5, NULL), ST_OK);
    assert_int_equal(nhead_delete(c, 31, 40, NULL), ST_OK);
}

static void holds_in_segments(struct collection *c)
{
    nhead_open(c);
    nhead_has_range(c, 1, 5, 0);
    nhead_has_range(c, 6, 10, 2);
    nhead_has_range(c, 11, 30, 1);
    nhead_has_range(c, 31, 40, 0);
}

static void holds_in_ram(struct collection *c)
{
    for (uint64_t id = 1; id <= 40; id++)
        assert_int_equal(nversion(c, id), id <= 5 || id > 30 ? 0 : id <= 10 ? 2 : 1);
    assert_int_equal(ncount(c), 25);
}

static void from_memory_s3_the_rows_leave_ram(void **state)
{
    struct collection *c = nmake(&w, "docs", NODE_LOCAL);

    (void)state;
    fill(c);
    assert_int_equal(ncheckpoint(c, NULL), ST_OK);
    patch(c, NODE_S3_ONLY);
    holds_in_segments(c);
    neventually(folded(c));
    holds_in_segments(c);
    neventually(!nhead_has_checkpoint(&w, c));
    node_collection_unpin(c);
    nworld_close(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    assert_string_equal(ninfo(c).policy, "S3Only");
    holds_in_segments(c);
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    nsettled(&w);
    c = npin(&w, "docs");
    holds_in_segments(c);
    node_collection_unpin(c);
}

static void from_memory_it_goes_by_a_base(void **state)
{
    struct collection *c;

    (void)state;
    assert_int_equal(ncreate(&w, "docs", NDIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    fill(c);
    patch(c, NODE_S3_ONLY);
    holds_in_segments(c);
    neventually(folded(c));
    holds_in_segments(c);
    node_collection_unpin(c);
    nworld_close(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    holds_in_segments(c);
    node_collection_unpin(c);
}

static bool serves_again(const char *policy)
{
    struct collection *c = npin(&w, "docs");
    struct collection_info info = ninfo(c);
    bool does = strcmp(info.state, "serving") == 0 && strcmp(info.policy, policy) == 0 &&
                !info.arriving && !atomic_load(&c->in_load);

    node_collection_unpin(c);
    return does;
}

static bool base_is_there(struct collection *c)
{
    return !cold_left(c) && nshipped(c);
}

static void back_in_memory_s3_all_rows_are_in_ram(void **state)
{
    const struct objstore_fault held = {.kind = OBJSTORE_FAULT_DELAY,
                                        .ops = 1u << OBJSTORE_PUT,
                                        .key_part = "/m/",
                                        .times = OBJSTORE_FAULT_FOR_EVER,
                                        .delay_ms = OBJSTORE_FAULT_HOLD};
    struct collection *c = nhead_make(&w, "docs", NODE_LOCAL);
    struct err err = {0};

    (void)state;
    nput_range(c, 1, 40, 1);
    nhead_folded(c);
    fill(c);
    (void)nfault(&w, held);
    patch(c, NODE_MEMORY_S3);
    node_collection_unpin(c);
    neventually(serves_again("MemoryS3"));
    c = npin(&w, "docs");
    holds_in_ram(c);
    assert_true(cold_left(c)); /* its base does not name yet what is here */
    assert_int_equal(npatch_policy(&w, c, NODE_S3_ONLY, &err), ST_UNAVAILABLE);
    objstore_faults_clear(w.bucket);
    (void)objstore_faults_release(w.bucket);
    neventually(base_is_there(c));
    node_collection_unpin(c);
    nworld_close(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    holds_in_ram(c);
    patch(c, NODE_S3_ONLY);
    neventually(folded(c));
    holds_in_segments(c);
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    nsettled(&w);
    c = npin(&w, "docs");
    holds_in_segments(c);
    node_collection_unpin(c);
}

static void what_cannot_be_shipped_stays_as_it_is(void **state)
{
    const struct objstore_fault gone = objstore_fault_outage();
    struct collection *c = nhead_make(&w, "docs", NODE_LOCAL);
    struct err err = {0};

    (void)state;
    fill(c);
    neventually(nshipped(c));
    assert_int_equal(objstore_faults_add(w.bucket, &gone, NULL, NULL), ST_OK);
    assert_int_equal(nput(c, 6, 2, NULL), ST_OK);
    assert_int_not_equal(npatch_policy(&w, c, NODE_MEMORY_S3, &err), ST_OK);
    nstate(c, "serving", "");
    assert_int_equal(nput(c, 7, 2, NULL), ST_OK);
    objstore_faults_clear(w.bucket);
    node_collection_unpin(c);
    nworld_close(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    assert_string_equal(ninfo(c).policy, "S3Only");
    holds_in_segments(c);
    node_collection_unpin(c);
}

/* --- cut short at each request --- */

static struct nkill kill;

static bool settles(void)
{
    return serves_again("S3Only") || serves_again("MemoryS3");
}

static void holds(void)
{
    struct collection *c = npin(&w, "docs");

    if (cold_is(c))
        holds_in_segments(c);
    else
        holds_in_ram(c);
    node_collection_unpin(c);
}

static bool is_done(struct call *call)
{
    bool done;

    lock_take(&call->lock);
    done = call->done;
    lock_drop(&call->lock);
    return done;
}

/* The n-th request from the PATCH on is the process's last; nobody is left to wait for an answer.
 * What follows the answer is given a moment. */
static void patch_and_die(struct collection *c, enum node_policy to, uint64_t n, bool after_effect)
{
    const struct collection_patch patch = {.policy = to};
    struct call call;

    call_init(&call);
    nkill_arm(&kill, n, after_effect);
    node_collection_patch(w.node, c, &patch, call_admin_done, &call);
    neventually(is_done(&call) || nkill_dead(&kill));
    for (int i = 0; i < 150 && !nkill_dead(&kill); i++)
        npause_ms(10);
    node_collection_unpin(c);
    nkill_bury(&kill);
    call_wait(&call);
}

/* from, then to. */
static void cut(enum node_policy from, uint64_t n, bool after_effect, bool lose)
{
    const struct collection_spec spec = {.name = "docs",
                                         .dimension = NDIM,
                                         .metric = VMETRIC_L2,
                                         .threshold = 64,
                                         .policy = from,
                                         .durability = NODE_REMOTE};
    enum node_policy to = from == NODE_S3_ONLY ? NODE_MEMORY_S3 : NODE_S3_ONLY;
    struct call call;
    struct collection *c;

    call_init(&call);
    node_collection_create(w.node, &spec, call_admin_done, &call);
    call_wait(&call);
    assert_int_equal(call.st, ST_OK);
    c = npin(&w, "docs");
    nput_batch(c, 1, 40, 1);
    if (from == NODE_S3_ONLY)
        nhead_folded(c);
    else
        assert_int_equal(ncheckpoint(c, NULL), ST_OK);
    fill(c);
    patch_and_die(c, to, n, after_effect);
    if (lose)
        nlose_disk(&w);
    nworld_open(&w);
    nsettled(&w);
    neventually(settles());
    holds();
    nworld_close(&w); /* and once more from what that left */
    nworld_open(&w);
    nsettled(&w);
    neventually(settles());
    holds();
    c = npin(&w, "docs");
    assert_int_equal(nput(c, 6, 2, NULL), ST_OK);
    assert_int_equal(ndrop(&w, c, NULL), ST_OK);
    node_collection_unpin(c);
}

static void a_cut_at_any_request_loses_nothing(void **state)
{
    (void)state;
    nworld_close(&w);
    nkill_init(&kill, &w);
    nworld_open(&w);
    for (uint64_t n = 1; n <= requests; n++) {
        cut(NODE_MEMORY_S3, n, n % 2 == 0, n % 3 == 0);
        cut(NODE_S3_ONLY, n, n % 2 == 1, n % 3 == 1);
    }
}

/* The second fold: segments, dead rows, manifest, root. */
static void cut_fold(uint64_t n, bool after_effect)
{
    struct collection *c = nhead_make(&w, "docs", NODE_REMOTE);

    nput_batch(c, 1, 40, 1);
    nhead_folded(c);
    fill(c);
    nkill_arm(&kill, n, after_effect);
    atomic_store(&c->cold->fold_wanted, true);
    for (int i = 0; i < 150 && !nkill_dead(&kill) && atomic_load(&c->cold->fold_wanted); i++)
        npause_ms(10);
    node_collection_unpin(c);
    nkill_bury(&kill);
    nworld_open(&w);
    nsettled(&w);
    c = npin(&w, "docs");
    holds_in_segments(c);
    nhead_folded(c);
    holds_in_segments(c);
    assert_int_equal(ndrop(&w, c, NULL), ST_OK);
    node_collection_unpin(c);
}

static void a_fold_cut_at_any_request_is_done_or_nothing(void **state)
{
    (void)state;
    nworld_close(&w);
    nkill_init(&kill, &w);
    nworld_open(&w);
    for (uint64_t n = 1; n <= 3 * requests; n++) {
        cut_fold(n, n % 2 == 0);
        if (requests > 2)
            cut_fold(n, n % 2 == 1);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(from_memory_s3_the_rows_leave_ram, set_up, tear_down),
        cmocka_unit_test_setup_teardown(from_memory_it_goes_by_a_base, set_up, tear_down),
        cmocka_unit_test_setup_teardown(back_in_memory_s3_all_rows_are_in_ram, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_shipped_stays_as_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cut_at_any_request_loses_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_fold_cut_at_any_request_is_done_or_nothing, set_up,
                                        tear_down),
    };

    if (argc > 1)
        requests = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
