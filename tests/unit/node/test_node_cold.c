/* S3Only: head, tombstones, folds and cold set together. Each test is named after what holds. */
#include "node/cold_reads.h"
#include "tests/unit/node/nhead.h"
#include "tiering/cold_internal.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

static struct nworld w;

static int set_up(void **state)
{
    (void)state;
    nlog();
    nworld_init(&w, true, 811);
    nworld_bucket(&w, "cold");
    w.options.wal_file_bytes = 4096; /* what is trimmed goes */
    w.options.no_background_compaction = true;
    nworld_open(&w);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    nworld_fini(&w);
    return 0;
}

static void a_new_collection_waits_for_the_bucket(void **state)
{
    struct collection *c = nhead_make(&w, "docs", 0);

    (void)state;
    assert_string_equal(ninfo(c).durability, "remote");
    assert_string_equal(ninfo(c).policy, "S3Only");
    assert_int_equal(nhead_version(c, 1), 0); /* known at once: nothing is there */
    node_collection_unpin(c);
}

static void what_is_folded_leaves_the_head_and_is_there(void **state)
{
    struct collection *c = nhead_make(&w, "docs", NODE_LOCAL);
    struct nhead_facts facts;

    (void)state;
    nput_range(c, 1, 100, 1);
    nhead_has_range(c, 1, 100, 1);
    nhead_folded(c);
    facts = nhead_facts(c);
    assert_int_equal(facts.floor, 100);
    assert_int_equal(facts.given_up, 100);
    assert_int_equal(facts.rows, 100);
    assert_int_equal(facts.live, 0);
    nhead_has_range(c, 1, 100, 1);
    neventually(slots_dead_count(c->slots) == 0); /* their memory is back */

    nput_range(c, 1, 10, 2);
    assert_int_equal(nhead_delete(c, 11, 20, NULL), ST_OK); /* none of them in the head */
    assert_int_equal(nhead_facts(c).tombstones, 10);
    nhead_has_range(c, 1, 10, 2);
    nhead_has_range(c, 11, 20, 0);
    nhead_has_range(c, 21, 100, 1);
    nhead_folded(c);
    facts = nhead_facts(c);
    assert_int_equal(facts.tombstones, 0);
    assert_int_equal(facts.live, 0);
    nhead_has_range(c, 1, 10, 2);
    nhead_has_range(c, 11, 20, 0);
    nhead_has_range(c, 21, 100, 1);
    assert_int_equal(nhead_fold(c, true, NULL), ST_OK);
    facts = nhead_facts(c);
    assert_int_equal(facts.segments, 1);
    assert_int_equal(facts.rows, 90);
    node_collection_unpin(c);
}

static void a_start_replays_the_head_and_nothing_else(void **state)
{
    struct collection *c = nhead_make(&w, "docs", NODE_LOCAL);
    struct nhead_facts facts;
    struct nhead_log log;
    uint64_t first;

    (void)state;
    nput_range(c, 1, 200, 1);
    nhead_folded(c);
    nput_range(c, 150, 160, 2);
    assert_int_equal(nhead_delete(c, 190, 210, NULL), ST_OK);
    neventually(nshipped(c));
    assert_int_equal(nhead_facts(c).trimmed, 200);
    assert_false(nhead_has_checkpoint(&w, c));
    log = nhead_log(c);
    node_collection_unpin(c);
    nworld_close(&w);
    first = nhead_first_in_log(&w, &log);
    assert_true(first > 1 && first <= 201);
    nworld_open(&w);
    c = npin(&w, "docs");
    facts = nhead_facts(c);
    assert_int_equal(facts.live, 11);
    assert_int_equal(facts.tombstones, 11); /* of those that were there */
    nhead_open(c);
    nhead_has_range(c, 1, 149, 1);
    nhead_has_range(c, 150, 160, 2);
    nhead_has_range(c, 161, 189, 1);
    nhead_has_range(c, 190, 210, 0);
    nhead_folded(c);
    nhead_has_range(c, 190, 210, 0);
    nhead_has_range(c, 150, 160, 2);
    assert_int_equal(nhead_facts(c).live, 0);
    node_collection_unpin(c);
}

static void a_lost_machine_has_head_and_segments_again(void **state)
{
    struct collection *c = nhead_make(&w, "docs", NODE_LOCAL);
    struct nhead_facts facts;

    (void)state;
    nput_range(c, 1, 60, 1);
    nhead_folded(c);
    nput_range(c, 50, 70, 2);
    assert_int_equal(nhead_delete(c, 1, 5, NULL), ST_OK);
    neventually(nshipped(c));
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    nsettled(&w);
    for (int round = 0; round < 2; round++) { /* the second time from its own log */
        c = npin(&w, "docs");
        nstate(c, "serving", "");
        nhead_open(c);
        facts = nhead_facts(c);
        assert_int_equal(facts.live, 21);
        assert_int_equal(facts.tombstones, round == 0 ? 5 : 0);
        nhead_has_range(c, 1, 5, 0);
        nhead_has_range(c, 6, 49, 1);
        nhead_has_range(c, 50, 70, 2);
        assert_false(nhead_has_checkpoint(&w, c));
        assert_int_equal(nput(c, 100 + (uint64_t)round, 1, NULL), ST_OK);
        assert_int_equal(ndel(c, 100 + (uint64_t)round, NULL), ST_OK);
        neventually(nshipped(c));
        assert_int_equal(nhead_delete(c, 100, 101, NULL), ST_OK);
        if (round == 0) {
            node_collection_unpin(c);
            nworld_close(&w);
            nworld_open(&w);
            c = npin(&w, "docs");
            assert_int_equal(nhead_facts(c).tombstones, 6);
            nhead_folded(c);
            nhead_has_range(c, 1, 5, 0);
            nhead_has_range(c, 50, 70, 2);
            nput_range(c, 50, 70, 2);
            assert_int_equal(nhead_delete(c, 1, 5, NULL), ST_OK);
            neventually(nshipped(c));
        }
        node_collection_unpin(c);
    }
}

static void before_its_first_fold_a_lost_machine_has_all_of_the_log(void **state)
{
    struct collection *c = nhead_make(&w, "docs", NODE_LOCAL);

    (void)state;
    nput_range(c, 1, 30, 1);
    assert_int_equal(nhead_delete(c, 3, 4, NULL), ST_OK);
    neventually(nshipped(c));
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    nsettled(&w);
    c = npin(&w, "docs");
    nhead_open(c);
    nhead_has_range(c, 3, 4, 0);
    nhead_has_range(c, 5, 30, 1);
    nhead_folded(c);
    nhead_has_range(c, 3, 4, 0);
    nhead_has_range(c, 5, 30, 1);
    node_collection_unpin(c);
}

/* Nobody is told how many there were. */
static status delete_uncounted(struct collection *c, uint64_t id)
{
    const struct write_options options = {.uncounted = true};
    const struct docid ids[] = {docid_u64(id)};
    const struct selector which = {.ids = ids, .count = 1};
    struct call call;

    call_init(&call);
    node_delete_with(c, &which, &options, call_write_done, &call);
    call_wait(&call);
    return call.st;
}

static void with_the_bucket_away_the_head_serves_and_takes_writes(void **state)
{
    const struct objstore_fault gone = objstore_fault_outage();
    struct collection *c = nhead_make(&w, "docs", NODE_LOCAL);
    struct cold_set *set = NULL;
    struct err err = {0};

    (void)state;
    nput_range(c, 1, 40, 1);
    nhead_folded(c);
    nput_range(c, 41, 50, 1);
    neventually(nshipped(c));
    node_collection_unpin(c);
    nworld_close(&w);
    assert_int_equal(objstore_faults_add(w.bucket, &gone, NULL, NULL), ST_OK);
    nworld_open(&w);
    c = npin(&w, "docs");
    nstate(c, "serving", "");
    assert_int_equal(cold_hold(c, &set, &err), ST_UNAVAILABLE);
    nput_range(c, 51, 60, 1);
    assert_int_equal(nhead_delete(c, 1, 2, NULL), ST_UNAVAILABLE); /* are they there? */
    assert_int_equal(slots_live_count(c->slots), 20);
    assert_int_equal(nhead_delete(c, 57, 58, NULL), ST_OK); /* the head knows */
    assert_int_equal(nhead_delete(c, 57, 58, NULL), ST_OK); /* ... that they are gone */
    assert_int_equal(delete_uncounted(c, 3), ST_OK);        /* whether it is there or not */
    assert_int_equal(delete_uncounted(c, 999), ST_OK);
    neventually(cold_hold(c, &set, &err) == ST_UNAVAILABLE &&
                strstr(err.text, "cannot be read now") != NULL);
    objstore_faults_clear(w.bucket);
    nhead_open(c);
    assert_int_equal(nhead_delete(c, 1, 2, NULL), ST_OK);
    nhead_has_range(c, 1, 3, 0);
    nhead_has_range(c, 4, 56, 1);
    nhead_has_range(c, 57, 58, 0);
    nhead_has_range(c, 59, 60, 1);
    nhead_folded(c);
    nhead_has_range(c, 1, 3, 0);
    nhead_has_range(c, 4, 56, 1);
    nhead_has_range(c, 57, 58, 0);
    node_collection_unpin(c);
}

static void who_holds_the_set_before_misses_nothing(void **state)
{
    struct collection *c = nhead_make(&w, "docs", NODE_LOCAL);
    struct cold_set *first = NULL;
    struct cold_set *second = NULL;

    (void)state;
    nput_range(c, 1, 20, 1);
    assert_int_equal(cold_hold(c, &first, NULL), ST_OK);
    nhead_folded(c);
    assert_int_equal(nhead_facts(c).live, 20);
    assert_int_equal(ncount(c), 20); /* no row counts twice for being in both */
    assert_int_equal(nhead_facts(c).past, 1);
    assert_int_equal(cold_hold(c, &second, NULL), ST_OK);
    nput_range(c, 1, 5, 2);
    assert_int_equal(nhead_delete(c, 6, 7, NULL), ST_OK);
    nhead_folded(c);
    for (int round = 0; round < 2; round++) {
        struct cold_set *set = round == 0 ? first : second;

        for (uint64_t id = 1; id <= 20; id++)
            assert_int_equal(nhead_version_in(c, set, id), id <= 5 ? 2 : id <= 7 ? 0 : 1);
        cold_set_drop(set);
        (void)nhead_fold(c, false, NULL);
        /* Those of the first fold go when nobody holds a set from before it. */
        assert_int_equal(nhead_facts(c).given_up, round == 0 ? 20 : 26);
    }
    assert_int_equal(nhead_facts(c).live, 0);
    nhead_has_range(c, 1, 5, 2);
    nhead_has_range(c, 6, 7, 0);
    node_collection_unpin(c);
}

static bool is_read_only(void)
{
    struct collection *c = npin(&w, "docs");
    bool is = strcmp(ninfo(c).state, "read_only") == 0;

    node_collection_unpin(c);
    return is;
}

static void copy_root(struct collection *c, struct buf *root, bool put)
{
    char key[OBJKEY_BYTES];
    struct objstore_req req = {.op = put ? OBJSTORE_PUT : OBJSTORE_GET,
                               .key = key,
                               .body = put ? buf_slice(root) : slice_make(NULL, 0),
                               .bytes_max = ROOT_BYTES_MAX};

    objkey_root(c->id, key);
    assert_int_equal(objstore_wait(w.bucket, &req, NULL), ST_OK);
    if (!put)
        buf_put_slice(root, buf_slice(&req.result.body));
    objstore_result_fini(&req.result);
}

/* As when somebody restores an older version of the bucket. */
static void a_bucket_that_has_gone_back_is_not_built_upon(void **state)
{
    struct collection *c = nhead_make(&w, "docs", NODE_LOCAL);
    struct buf root;

    (void)state;
    buf_init(&root, ROOT_BYTES_MAX);
    nput_batch(c, 1, 20, 1);
    nhead_folded(c);
    neventually(nshipped(c));
    copy_root(c, &root, false);
    nput_batch(c, 21, 40, 1);
    nhead_folded(c);
    assert_int_equal(nhead_facts(c).trimmed, 2);
    node_collection_unpin(c);
    nworld_close(&w);
    c = NULL;
    nworld_open(&w);
    c = npin(&w, "docs");
    nhead_open(c);
    node_collection_unpin(c);
    nworld_close(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    copy_root(c, &root, true);
    node_collection_unpin(c);
    nworld_close(&w);
    nworld_open(&w);
    neventually(is_read_only());
    c = npin(&w, "docs");
    nstate(c, "read_only", "gone back");
    assert_int_not_equal(nhead_fold(c, false, NULL), ST_OK);
    node_collection_unpin(c);
    buf_free(&root);
}

/* Its rows are the bucket's alone: what is to be done is said, and what is open is read. */
static void a_lost_root_says_what_is_to_be_done(void **state)
{
    struct collection *c = nhead_make(&w, "docs", NODE_LOCAL);
    struct err err = {0};
    char key[OBJKEY_BYTES];
    struct objstore_req req = {.op = OBJSTORE_DELETE, .key = key};

    (void)state;
    nput_batch(c, 1, 20, 1);
    nhead_folded(c);
    objkey_root(c->id, key);
    assert_int_equal(objstore_wait(w.bucket, &req, NULL), ST_OK);
    objstore_result_fini(&req.result);
    nput_batch(c, 21, 30, 1);
    neventually(nphase_is(&w, "docs", "root_lost"));
    assert_int_equal(nrepublish(c, &err), ST_UNSUPPORTED);
    assert_non_null(strstr(err.text, "put the root back"));
    assert_non_null(strstr(err.text, "export the collection"));
    nhead_has_range(c, 1, 30, 1);
    node_collection_unpin(c);
}

/* --- threads --- */

static _Atomic bool over;
static struct collection *shared;
static _Atomic uint64_t looks;

/* Ids 1 to 50 have some version all the time; 51 to 60 are gone for good. */
static void read_all_the_time(void *arg)
{
    uint64_t last[51] = {0};

    (void)arg;
    while (!atomic_load(&over)) {
        struct cold_set *set = NULL;

        if (cold_hold(shared, &set, NULL) != ST_OK)
            continue;
        for (int round = 0; round < 2; round++) {
            for (uint64_t id = 1; id <= 60; id++) {
                uint32_t got = nhead_version_in(shared, set, id);

                assert_true(id > 50 ? got == 0 : got >= 1);
                if (id > 50)
                    continue;
                assert_true(got >= last[id]); /* never an older one */
                last[id] = got;
            }
        }
        cold_set_drop(set);
        atomic_fetch_add(&looks, 1);
    }
}

static void readers_see_every_document_beside_folds(void **state)
{
    struct thread readers[3] = {0};
    struct err err = {0};

    (void)state;
    shared = nhead_make(&w, "docs", NODE_LOCAL);
    nput_batch(shared, 1, 60, 1);
    nhead_folded(shared);
    assert_int_equal(nhead_delete(shared, 51, 60, NULL), ST_OK);
    atomic_store(&over, false);
    atomic_store(&looks, 0);
    for (size_t i = 0; i < COUNT_OF(readers); i++)
        assert_int_equal(
            thread_start(&readers[i], "reader", THREAD_NORMAL, read_all_the_time, NULL, NULL),
            ST_OK);
    for (uint32_t round = 2; round < 40; round++) {
        nput_batch(shared, 1 + round % 10, 30 + round % 20, round);
        if (round % 3 == 0 && nhead_fold(shared, round % 4 == 0, &err) != ST_OK)
            fail_msg("fold: %s", err.text);
    }
    neventually(atomic_load(&looks) > 0);
    atomic_store(&over, true);
    for (size_t i = 0; i < COUNT_OF(readers); i++)
        thread_join(&readers[i]);
    neventually(nhead_facts(shared).past == 0);
    node_collection_unpin(shared);
}

static void memory_bounds_the_head(void **state)
{
    const struct objstore_fault gone = objstore_fault_outage();
    struct collection *c;
    struct err err = {0};
    uint64_t id = 1;
    status st = ST_OK;

    (void)state;
    nworld_close(&w);
    w.options.memory_bytes_max = UINT64_C(3) << 19;
    w.options.wal_file_bytes = 0;
    nworld_open(&w);
    c = nhead_make(&w, "docs", NODE_LOCAL);
    assert_int_equal(objstore_faults_add(w.bucket, &gone, NULL, NULL), ST_OK);
    for (; st == ST_OK && id < 200000; id++)
        st = nput(c, id, 1, &err);
    assert_int_equal(st, ST_NOSPACE);
    objstore_faults_clear(w.bucket);
    neventually(nhead_fold(c, false, &err) == ST_OK);
    neventually(nput(c, id, 1, &err) == ST_OK); /* as soon as the memory is back */
    nhead_has_range(c, 1, 20, 1);
    nhead_has_range(c, id, id, 1);
    node_collection_unpin(c);
}

/* The root names the fold's manifest, and who waited for that has given up: it is read all the
 * same, and folded again nothing is. */
static void a_fold_whose_answer_came_too_late_is_followed(void **state)
{
    struct objstore_fault late = {.kind = OBJSTORE_FAULT_DELAY,
                                  .ops = 1u << OBJSTORE_PUT,
                                  .key_part = "/root",
                                  .delay_ms = OBJSTORE_FAULT_HOLD};
    struct collection *c;
    struct err err = {0};

    (void)state;
    nworld_close(&w);
    w.options.commit_wait_ms = 200;
    nworld_open(&w);
    c = nhead_make(&w, "docs", NODE_LOCAL);
    nput_range(c, 1, 30, 1);
    neventually(nshipped(c));
    assert_int_equal(objstore_faults_add(w.bucket, &late, NULL, NULL), ST_OK);
    assert_int_equal(nhead_fold(c, false, &err), ST_UNAVAILABLE);
    assert_int_equal(nhead_facts(c).floor, 0);
    neventually(objstore_faults_held(w.bucket) == 1);
    assert_int_equal(objstore_faults_release(w.bucket), 1);
    neventually(nhead_facts(c).floor == 30);
    neventually(nhead_facts(c).live == 0);
    nhead_has_range(c, 1, 30, 1);
    assert_int_equal(nhead_fold(c, false, &err), ST_OK);
    assert_int_equal(nhead_facts(c).segments, 1);
    node_collection_unpin(c);
}

/* One that takes long: another collection is published meanwhile. */
static void a_fold_does_not_hold_up_what_others_publish(void **state)
{
    struct objstore_fault held = {
        .kind = OBJSTORE_FAULT_DELAY, .ops = 1u << OBJSTORE_PUT, .delay_ms = OBJSTORE_FAULT_HOLD};
    struct collection *c = nhead_make(&w, "docs", NODE_LOCAL);
    struct collection *other = nmake(&w, "other", NODE_LOCAL);
    struct node_snapshot_result result;
    struct err err = {0};
    char part[64];

    (void)state;
    nput_batch(c, 1, 30, 1);
    nput_batch(other, 1, 30, 1);
    neventually(nshipped(c) && nshipped(other));
    (void)snprintf(part, sizeof part, "%s/g/", c->id_text);
    held.key_part = part;
    assert_int_equal(objstore_faults_add(w.bucket, &held, NULL, NULL), ST_OK);
    atomic_store(&c->cold->fold_wanted, true);
    neventually(objstore_faults_held(w.bucket) == 1);
    nput_batch(other, 20, 40, 2);
    if (ncompact(other, &result, &err) != ST_OK)
        fail_msg("compact: %s", err.text);
    assert_int_equal(nhead_version(c, 1), 1);
    assert_int_equal(objstore_faults_release(w.bucket), 1);
    neventually(nhead_facts(c).floor == 1);
    nhead_has_range(c, 1, 30, 1);
    node_collection_unpin(other);
    node_collection_unpin(c);
}

/* --- another owner --- */

static void who_takes_it_has_all_of_it(void **state)
{
    struct collection *c = nhead_make(&w, "docs", NODE_REMOTE);
    struct nworld b;

    (void)state;
    nput_batch(c, 1, 30, 1);
    nhead_folded(c);
    nput_batch(c, 25, 35, 2);
    assert_int_equal(nhead_delete(c, 1, 3, NULL), ST_OK);
    node_collection_unpin(c);
    nworld_close(&w);
    nworld_init(&b, true, 812);
    nworld_bucket(&b, "cold");
    b.options.node_id = "other";
    b.options.take_ownership = true;
    nworld_open(&b);
    nsettled(&b);
    c = npin(&b, "docs");
    nhead_open(c);
    nhead_has_range(c, 1, 3, 0);
    nhead_has_range(c, 4, 24, 1);
    nhead_has_range(c, 25, 35, 2);
    nput_batch(c, 30, 40, 3);
    assert_int_equal(nhead_delete(c, 4, 5, NULL), ST_OK);
    nhead_folded(c);
    node_collection_unpin(c);
    nworld_close(&b);
    w.options.take_ownership = true; /* and back: its own log is behind */
    nworld_open(&w);
    nsettled(&w);
    neventually(nphase_is(&w, "docs", "owned") && nstate_is(&w, "docs", "serving"));
    nsettled(&w);
    c = npin(&w, "docs");
    nhead_open(c);
    nhead_has_range(c, 1, 5, 0);
    nhead_has_range(c, 6, 24, 1);
    nhead_has_range(c, 25, 29, 2);
    nhead_has_range(c, 30, 40, 3);
    assert_int_equal(nput(c, 50, 1, NULL), ST_OK);
    nhead_folded(c);
    nhead_has_range(c, 1, 5, 0);
    node_collection_unpin(c);
    objstore_close(b.bucket);
    b.bucket = NULL;
    nworld_fini(&b);
}

static status get(struct collection *c, uint64_t number)
{
    const struct docid id = docid_u64(number);
    struct document found;
    struct arena arena;
    struct err err = {0};
    status st;

    arena_init(&arena, 1 << 20);
    st = node_get(c, &id, &arena, &found, &err);
    if (st != ST_OK && st != ST_NOT_FOUND)
        fail_msg("get %" PRIu64 ": %s", number, err.text);
    arena_free(&arena);
    return st;
}

/* As the owner's collector does: what the manifest before names and the next does not. */
static void remove_segments_of(struct collection *c, const struct cold_set *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        struct objstore_req req = {.op = OBJSTORE_DELETE, .key = set->members[i].segment->key};

        assert_int_equal(objstore_wait(c->node->options.store, &req, NULL), ST_OK);
        objstore_result_fini(&req.result);
    }
}

static uint32_t scrolled(struct collection *c)
{
    const struct scroll ask = {.limit = 1000, .want = {.payload = true}};
    struct scrolled page = {0};
    struct arena arena;
    struct err err = {0};

    arena_init(&arena, 1 << 20);
    if (node_scroll(c, &ask, &arena, &page, &err) != ST_OK)
        fail_msg("scroll: %s", err.text);
    arena_free(&arena);
    return page.count;
}

static uint32_t nearest(struct collection *c, uint64_t id)
{
    const struct query_options options = {.top_k = 5, .with_payload = true};
    struct query_result result = {0};
    float vector[NDIM];
    struct arena arena;
    struct err err = {0};

    nvector(id, 1, NDIM, vector);
    arena_init(&arena, 1 << 20);
    if (node_query(c, vector, &options, &arena, &result, &err) != ST_OK)
        fail_msg("query: %s", err.text);
    assert_false(result.partial);
    arena_free(&arena);
    return result.count;
}

/* Another node owns it, folds and collects: the reads of this one go on, in the set that the root
 * names by then, without a listing. */
static void who_does_not_own_it_follows_the_owner(void **state)
{
    struct objstore_fault banned = {.ops = 1u << OBJSTORE_LIST | 1u << OBJSTORE_HEAD,
                                    .times = OBJSTORE_FAULT_FOR_EVER};
    struct collection *c = nhead_make(&w, "docs", NODE_REMOTE), *other;
    struct cold_set *set = NULL;
    struct nworld b;
    unsigned id;
    uint64_t unloaded;

    (void)state;
    nput_batch(c, 1, 50, 1);
    nhead_folded(c);
    nworld_init(&b, true, 813);
    nworld_bucket(&b, "cold");
    b.options.node_id = "reader";
    nworld_open(&b);
    nsettled(&b);
    other = npin(&b, "docs");
    nhead_open(other);
    assert_int_equal(get(other, 1), ST_OK);
    assert_int_equal(objstore_faults_add(b.bucket, &banned, &id, NULL), ST_OK);
    for (uint32_t round = 0; round < 3; round++) {
        assert_int_equal(cold_hold(c, &set, NULL), ST_OK);
        nput_batch(c, 51 + 10 * round, 60 + 10 * round, 1);
        assert_int_equal(nhead_delete(c, 1 + round, 1 + round, NULL), ST_OK);
        assert_int_equal(nhead_fold(c, true, NULL), ST_OK);
        remove_segments_of(c, set);
        cold_set_drop(set);
        assert_int_equal(node_cold_unload(other, &unloaded, NULL), ST_OK);
        if (round == 0)
            assert_int_equal(nearest(other, 20), 5);
        else if (round == 1)
            assert_int_equal(get(other, 30), ST_OK);
        else
            assert_int_equal(scrolled(other), 77);
        assert_int_equal(get(other, 60 + 10 * round), ST_OK); /* of the new set */
        assert_int_equal(get(other, 1 + round), ST_NOT_FOUND);
    }
    assert_int_equal(objstore_faults_met(b.bucket, id), 0);
    node_collection_unpin(other);
    nworld_close(&b);
    node_collection_unpin(c);
    objstore_close(b.bucket);
    b.bucket = NULL;
    nworld_fini(&b);
}

struct late_news {
    unsigned asked, from;
};

static bool newer_from(void *arg, const struct docid *id, uint64_t lsn)
{
    struct late_news *news = arg;

    (void)id;
    (void)lsn;
    return news->asked++ >= news->from;
}

/* Rows of a page get newer records before a filter was asked of them: they are not told as they
 * were. */
static void what_is_replaced_while_a_filter_is_asked_is_left_out(void **state)
{
    struct collection *c = nhead_make(&w, "docs", NODE_LOCAL);
    const struct docid none = docid_u64(999);
    struct filter has = {
        .kind = FILTER_HAS_ID, .ids = (struct docid *)(uintptr_t)&none, .id_count = 1};
    struct filter *children[] = {&has};
    const struct filter others = {.kind = FILTER_NOT, .children = children, .child_count = 1};

    (void)state;
    nput_batch(c, 1, 20, 1);
    nhead_folded(c);
    for (unsigned round = 0; round < 2; round++) {
        struct late_news news = {.from = UINT32_MAX};
        struct cold_row page[64], *rows = NULL;
        struct cold_reads reads;
        struct arena arena;
        uint32_t seen = 0;
        size_t count = 0;

        arena_init(&arena, 1 << 20);
        assert_int_equal(cold_reads_begin(c, NULL, &reads, NULL), ST_OK);
        reads.terms.newer = newer_from;
        reads.terms.newer_arg = &news;
        assert_int_equal(
            cold_set_page(reads.set, NULL, COUNT_OF(page), &reads.terms, &arena, page, &seen, NULL),
            ST_OK);
        assert_int_equal(seen, 20);
        news = (struct late_news){.from = round == 0 ? UINT32_MAX : news.asked};
        assert_int_equal(cold_first(&reads, &others, NULL, 50, &arena, &rows, &count, NULL), ST_OK);
        assert_int_equal(count, round == 0 ? 20 : 0);
        assert_int_equal(cold_reads_end(&reads, ST_OK, NULL), ST_OK);
        arena_free(&arena);
    }
    node_collection_unpin(c);
}

static void a_fold_reads_once_more_a_manifest_that_was_damaged_on_its_way(void **state)
{
    const struct objstore_fault damage = {
        .kind = OBJSTORE_FAULT_CORRUPT, .ops = 1u << OBJSTORE_GET, .key_part = "/m/"};
    struct collection *c;
    struct err err = {0};

    (void)state;
    c = nhead_make(&w, "docs", NODE_LOCAL);
    nput_range(c, 1, 40, 1);
    nhead_folded(c);
    nput_range(c, 30, 60, 2);
    neventually(nconfirmed(c));
    (void)nfault(&w, damage);
    if (nhead_fold(c, false, &err) != ST_OK)
        fail_msg("%s", err.text);
    nhead_has_range(c, 1, 29, 1);
    nhead_has_range(c, 30, 60, 2);
    node_collection_unpin(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_collection_waits_for_the_bucket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_folded_leaves_the_head_and_is_there, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_start_replays_the_head_and_nothing_else, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_lost_machine_has_head_and_segments_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(before_its_first_fold_a_lost_machine_has_all_of_the_log,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(with_the_bucket_away_the_head_serves_and_takes_writes,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_holds_the_set_before_misses_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bucket_that_has_gone_back_is_not_built_upon, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_lost_root_says_what_is_to_be_done, set_up, tear_down),
        cmocka_unit_test_setup_teardown(readers_see_every_document_beside_folds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_bounds_the_head, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_fold_whose_answer_came_too_late_is_followed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_fold_does_not_hold_up_what_others_publish, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_takes_it_has_all_of_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_does_not_own_it_follows_the_owner, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_replaced_while_a_filter_is_asked_is_left_out,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_fold_reads_once_more_a_manifest_that_was_damaged_on_its_way, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
