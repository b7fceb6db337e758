/* An S3Only collection beside its log, under seeded random work and trouble: batches of upserts and
 * deletes, folds by command and by threshold, restarts, power cuts, a process that dies at a
 * request or at an effect on the disk (in the middle of a fold as well), an outage, the loss of the
 * disk, another owner, the policy there and back, readers that hold a set for long.
 *
 * The model is the log itself: what head and cold set have together is compared with the log up to
 * the lsn the node says it has. After the same disk every acknowledged record is there; after the
 * loss of it a prefix that has every record seen as shipped.
 *
 * Arguments: a seed, or two: from and to. */
#include "tests/unit/node/nhead.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { IDS = 50, BATCH_MAX = 12, RECORDS_MAX = 3000, STEPS = 25, SEEDS = 1, HELD = 3 };

struct rec {
    bool erase;
    size_t count;
    uint32_t ids[BATCH_MAX], versions[BATCH_MAX];
};

static struct nworld w;
static struct nkill kill;
static struct collection *c;
static struct rec records[RECORDS_MAX]; /* by lsn */
static uint64_t last_lsn, safe_lsn;
static bool maybe; /* records[last_lsn + 1] may have been logged */
static uint32_t version;
static bool outage;
static unsigned step;
static struct cold_set *held[HELD];
static uint64_t folds, cuts, losses;

#define broken(format, ...) fail_msg(format "; seed=%" PRIu64 " step=%u", __VA_ARGS__, w.seed, step)
#define told(...)                                                                                  \
    do {                                                                                           \
        if (getenv("TIERVEC_TEST_STEPS") != NULL) {                                                \
            (void)fprintf(stderr, "seed %" PRIu64 " step %u lsn %" PRIu64 ": ", w.seed, step,      \
                          last_lsn);                                                               \
            (void)fprintf(stderr, __VA_ARGS__);                                                    \
            (void)fprintf(stderr, "\n");                                                           \
        }                                                                                          \
    } while (0)

static uint64_t below(uint64_t bound)
{
    return rand_below(&w.rand.source, bound);
}

/* --- the model --- */

static void at_lsn(uint64_t lsn, uint32_t out[IDS])
{
    memset(out, 0, IDS * sizeof *out);
    for (uint64_t l = 1; l <= lsn; l++)
        for (size_t i = 0; i < records[l].count; i++)
            out[records[l].ids[i]] = records[l].erase ? 0 : records[l].versions[i];
}

static void compare(struct cold_set *set, const char *when)
{
    uint32_t want[IDS];

    at_lsn(last_lsn, want);
    for (uint64_t id = 1; id < IDS; id++) {
        uint32_t got = nhead_version_in(c, set, id);

        if (got != want[id])
            broken("%s: id %" PRIu64 " has version %u, the log up to %" PRIu64 " says %u", when, id,
                   got, last_lsn, want[id]);
    }
}

static void must_hold(const char *when)
{
    struct cold_set *set = NULL;

    if (outage)
        return;
    nhead_open(c);
    assert_int_equal(cold_hold(c, &set, NULL), ST_OK);
    compare(set, when);
    cold_set_drop(set);
}

static void note_shipped(void)
{
    uint64_t shipped = ninfo(c).shipped_lsn;

    if (shipped > safe_lsn)
        safe_lsn = shipped;
}

/* --- writing --- */

static void fill(struct rec *r)
{
    r->erase = below(3) == 0;
    r->count = 1 + (size_t)below(BATCH_MAX);
    for (size_t i = 0; i < r->count; i++) {
        r->ids[i] = (uint32_t)(1 + below(IDS - 1));
        for (size_t j = 0; j < i; j++)
            if (r->ids[j] == r->ids[i]) { /* once in a batch */
                r->count = i;
                break;
            }
        if (i < r->count)
            r->versions[i] = ++version;
    }
}

static status send(const struct rec *r, struct write_result *result, struct err *err)
{
    struct write_row rows[BATCH_MAX];
    struct docid ids[BATCH_MAX];
    struct buf payloads[BATCH_MAX];
    float vectors[BATCH_MAX][NDIM];
    status st;

    for (size_t i = 0; i < r->count; i++) {
        ids[i] = docid_u64(r->ids[i]);
        if (r->erase)
            continue;
        npayload(r->versions[i], &payloads[i]);
        nvector(r->ids[i], r->versions[i], NDIM, vectors[i]);
        rows[i] = (struct write_row){
            .id = ids[i], .vector = vectors[i], .payload = buf_slice(&payloads[i])};
    }
    st = r->erase ? ndelete(c, ids, r->count, result, err) : nwrite(c, rows, r->count, result, err);
    for (size_t i = 0; i < r->count && !r->erase; i++)
        buf_free(&payloads[i]);
    return st;
}

static bool is_dying(void)
{
    return fs_sim_stopped(w.sim) || nkill_dead(&kill);
}

/* False when the process died under it. */
static bool write_one(void)
{
    struct rec *r = &records[last_lsn + 1];
    struct write_result result = {0};
    uint32_t now[IDS];
    struct err err = {0};
    status st;

    assert_true(last_lsn + 2 < RECORDS_MAX);
    fill(r);
    if (r->erase && outage)
        return true; /* what is there cannot be told */
    st = send(r, &result, &err);
    if (st == ST_OK && result.lsn == 0) { /* nothing was there, nothing is logged */
        at_lsn(last_lsn, now);
        for (size_t i = 0; i < r->count; i++)
            if (!r->erase || now[r->ids[i]] != 0)
                broken("a delete of %u found nothing", r->ids[i]);
        return true;
    }
    if (st == ST_OK) {
        if (result.lsn != last_lsn + 1)
            broken("lsn %" PRIu64 " after %" PRIu64, result.lsn, last_lsn);
        last_lsn++;
        return true;
    }
    if (!is_dying() && st != ST_UNKNOWN)
        broken("refused: %s", err.text);
    maybe = true;
    return false;
}

/* --- starts --- */

static void let_go(void)
{
    for (size_t i = 0; i < HELD; i++) {
        cold_set_drop(held[i]);
        held[i] = NULL;
    }
}

static bool is_whole(void)
{
    struct collection *now = node_collection_pin(w.node, "docs", 4);
    struct collection_info info = {0};
    bool is = false;

    if (now != NULL) {
        info = ninfo(now);
        is = strcmp(info.state, "serving") == 0 && !info.arriving && !atomic_load(&now->in_load);
    }
    node_collection_unpin(now);
    return is;
}

static void open_again(uint64_t from, const char *when)
{
    uint64_t lsn;

    nworld_open(&w);
    if (!outage)
        nsettled(&w);
    neventually(is_whole());
    c = npin(&w, "docs");
    lsn = ninfo(c).last_lsn;
    if (lsn < from || lsn > last_lsn + maybe)
        broken("%s: the log ends at %" PRIu64 ", %" PRIu64 " were acknowledged, %" PRIu64 " safe",
               when, lsn, last_lsn, safe_lsn);
    last_lsn = lsn;
    maybe = false;
    must_hold(when);
}

static void restart(void)
{
    told("restart");
    note_shipped();
    let_go();
    node_collection_unpin(c);
    nworld_close(&w);
    open_again(last_lsn, "after a restart");
}

static void bury_it(const char *when)
{
    note_shipped();
    let_go();
    node_collection_unpin(c);
    nkill_bury(&kill);
    outage = false;
    cuts++;
    open_again(last_lsn, when);
}

/* Dies at an effect on the disk, or at a request, while it writes and folds. */
static void die_at_work(void)
{
    bool by_request = below(2) == 0;

    if (by_request)
        nkill_arm(&kill, 1 + below(14), below(2) == 0);
    else
        fs_sim_stop_after(w.sim, below(40));
    told(by_request ? "dies at a request" : "dies at an effect");
    for (int i = 0; i < 4 && !is_dying() && write_one(); i++)
        ;
    /* In the background: it would wait for the bucket as long as the process lives. */
    atomic_store(&c->cold->fold_wanted, true);
    for (int i = 0; i < 80 && !is_dying() && atomic_load(&c->cold->fold_wanted); i++)
        npause_ms(10);
    for (int i = 0; i < 3 && !is_dying() && write_one(); i++)
        ;
    bury_it("after it died at work");
}

static void lose_disk(void)
{
    told("disk lost");
    note_shipped();
    let_go();
    node_collection_unpin(c);
    if (below(2) == 0)
        nkill_bury(&kill);
    nlose_disk(&w);
    objstore_faults_clear(w.bucket);
    outage = false;
    losses++;
    open_again(safe_lsn, "after the loss of the disk");
}

static void end_outage(void)
{
    objstore_faults_clear(w.bucket);
    outage = false;
    must_hold("after an outage");
}

static void there_and_back(void)
{
    struct err err = {0};

    told("policy");
    if (npatch_policy(&w, c, NODE_MEMORY_S3, &err) != ST_OK)
        broken("to MemoryS3: %s", err.text);
    let_go();
    node_collection_unpin(c);
    neventually(is_whole());
    c = npin(&w, "docs");
    for (int i = 0; i < 3; i++)
        assert_true(write_one());
    neventually(!cold_left(c));
    if (npatch_policy(&w, c, NODE_S3_ONLY, &err) != ST_OK)
        broken("to S3Only: %s", err.text);
    must_hold("in S3Only again");
}

/* --- steps --- */

static void fold(void)
{
    struct err err = {0};

    told("fold");
    if (nhead_fold(c, below(5) == 0, &err) != ST_OK)
        broken("fold: %s", err.text);
    folds++;
}

static void hold_or_look(void)
{
    size_t i = (size_t)below(HELD);

    if (held[i] == NULL) {
        assert_int_equal(cold_hold(c, &held[i], NULL), ST_OK);
        return;
    }
    compare(held[i], "by a set that was held");
    cold_set_drop(held[i]);
    held[i] = NULL;
}

static void one_step(void)
{
    const struct objstore_fault gone = objstore_fault_outage();
    uint64_t what = below(20);

    if (outage && what >= 8 && what < 17) {
        end_outage();
        return;
    }
    if (what < 8) {
        for (uint64_t i = 1 + below(6); i > 0; i--)
            assert_true(write_one());
    } else if (what < 11) {
        fold();
    } else if (what < 13) {
        hold_or_look();
    } else if (what < 16) {
        die_at_work();
    } else if (what < 17) {
        if (below(3) == 0)
            there_and_back();
    } else if (what < 18) {
        restart();
    } else if (what < 19) {
        lose_disk();
    } else if (!outage) {
        told("outage");
        let_go();
        assert_int_equal(objstore_faults_add(w.bucket, &gone, NULL, NULL), ST_OK);
        outage = true;
    }
    if (what % 3 == 0)
        must_hold("after a step");
}

static void run_seed(uint64_t seed)
{
    last_lsn = safe_lsn = version = 0;
    maybe = outage = false;
    nworld_init(&w, true, seed);
    nworld_bucket(&w, "cold-model");
    nkill_init(&kill, &w);
    w.options.wal_file_bytes = 4096;
    w.options.remote_wait_ms = 50;
    w.options.compaction_ops = 60; /* folds of its own now and then */
    nworld_open(&w);
    c = nhead_make(&w, "docs", NODE_LOCAL);
    for (step = 0; step < STEPS; step++)
        one_step();
    if (outage)
        end_outage();
    must_hold("in the end");
    let_go();
    node_collection_unpin(c);
    nworld_fini(&w);
}

static uint64_t first_seed = 1, last_seed = SEEDS;

static void head_and_segments_are_what_the_log_says(void **state)
{
    (void)state;
    nlog();
    for (uint64_t seed = first_seed; seed <= last_seed; seed++) {
        print_message("seed %" PRIu64 "\n", seed);
        run_seed(seed);
    }
    print_message("folds %" PRIu64 " cuts %" PRIu64 " losses %" PRIu64 "\n", folds, cuts, losses);
    assert_true(folds > 0 && cuts > 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(head_and_segments_are_what_the_log_says)};

    if (argc > 1)
        first_seed = last_seed = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        last_seed = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
