/* A bucket-backed collection beside its log, under seeded random work and trouble: batches of
 * upserts and deletes, snapshots, compactions, outages, refused and lost answers, throttling,
 * restarts, power cuts, the loss of the disk, and another node that takes it and gives it back.
 *
 * The model is the log itself, so that what a node holds is compared with the log up to the lsn the
 * node says it has: after a restart on the same disk every acknowledged record is there; after the
 * loss of the disk a prefix that has every record acknowledged as remote or seen as shipped; what
 * another owner cut off is in letters, record by record.
 *
 * The same beside a store that ignores every condition, in pinned-owner mode: without another
 * owner, and without writes that take effect late or twice, which nothing could tell from new ones
 * there.
 *
 * Arguments: a seed, or two: from and to; `careless` as the third: the second kind alone. */
#include "tests/unit/node/nbucket.h"
#include "tests/unit/objstore/liar_store.h"

#include "objstore/memory.h"

#include <stdio.h>
#include <stdlib.h>

enum { IDS = 60, DIM = 4, BATCH_MAX = 12, RECORDS_MAX = 2000, STEPS = 60, SEEDS = 2 };

struct rec {
    bool erase;
    size_t count;
    uint32_t ids[BATCH_MAX], versions[BATCH_MAX];
};

struct world {
    struct nworld w;
    struct nkill kill;
    struct collection *c;
    struct rec log[RECORDS_MAX]; /* by lsn */
    uint64_t last_lsn;           /* acknowledged */
    uint64_t safe_lsn;           /* in the bucket for sure */
    bool maybe;                  /* log[last_lsn + 1] may have been logged */
    uint32_t version;
    bool outage;
    bool careless; /* the store ignores conditions */
    unsigned step;
    uint64_t remote_acks, losses, takeovers, tails;
};

#define told(t, ...)                                                                               \
    do {                                                                                           \
        if (getenv("TIERVEC_TEST_STEPS") != NULL) {                                                \
            (void)fprintf(stderr, "seed %llu step %u: ", (unsigned long long)(t)->w.seed,          \
                          (t)->step);                                                              \
            (void)fprintf(stderr, __VA_ARGS__);                                                    \
            (void)fprintf(stderr, "\n");                                                           \
        }                                                                                          \
    } while (0)

static uint64_t below(struct world *t, uint64_t bound)
{
    return rand_below(&t->w.rand.source, bound);
}

/* --- the model --- */

static void at_lsn(const struct world *t, uint64_t lsn, uint32_t out[IDS])
{
    memset(out, 0, IDS * sizeof *out);
    for (uint64_t l = 1; l <= lsn; l++) {
        const struct rec *r = &t->log[l];

        for (size_t i = 0; i < r->count; i++)
            out[r->ids[i]] = r->erase ? 0 : r->versions[i];
    }
}

static void must_hold(struct world *t, struct collection *c, uint64_t lsn, const char *when)
{
    uint32_t want[IDS];
    uint64_t live = 0;

    at_lsn(t, lsn, want);
    for (uint64_t id = 1; id < IDS; id++) {
        uint32_t got = nversion(c, id);

        live += want[id] != 0;
        if (got != want[id])
            fail_msg("%s: id %llu has version %u, the log up to %llu says %u; seed=%llu step=%u",
                     when, (unsigned long long)id, got, (unsigned long long)lsn, want[id],
                     (unsigned long long)t->w.seed, t->step);
    }
    if (ncount(c) != live)
        fail_msg("%s: %llu documents are counted, %llu are there; seed=%llu step=%u", when,
                 (unsigned long long)ncount(c), (unsigned long long)live,
                 (unsigned long long)t->w.seed, t->step);
}

static void note_shipped(struct world *t)
{
    uint64_t shipped = ninfo(t->c).shipped_lsn;

    if (shipped > t->safe_lsn)
        t->safe_lsn = shipped;
}

/* --- writing --- */

static void fill(struct world *t, struct rec *r)
{
    r->erase = below(t, 4) == 0;
    r->count = 1 + below(t, BATCH_MAX);
    for (size_t i = 0; i < r->count; i++) {
        r->ids[i] = (uint32_t)(1 + below(t, IDS - 1));
        for (size_t j = 0; j < i; j++) {
            if (r->ids[j] == r->ids[i]) /* once in a batch */
                r->ids[i] = 0;
        }
        if (r->ids[i] == 0) {
            r->count = i;
            break;
        }
        r->versions[i] = ++t->version;
    }
}

/* Deletes log what is there. */
static void keep_present(const struct world *t, struct rec *r)
{
    uint32_t now[IDS];
    size_t left = 0;

    at_lsn(t, t->last_lsn, now);
    for (size_t i = 0; i < r->count; i++) {
        if (now[r->ids[i]] != 0)
            r->ids[left++] = r->ids[i];
    }
    r->count = left;
}

static status send(struct collection *c, const struct rec *r, struct write_result *result,
                   struct err *err)
{
    struct write_row rows[BATCH_MAX];
    struct docid ids[BATCH_MAX];
    struct buf payloads[BATCH_MAX];
    float vectors[BATCH_MAX][DIM];
    status st;

    for (size_t i = 0; i < r->count; i++) {
        ids[i] = docid_u64(r->ids[i]);
        if (r->erase)
            continue;
        npayload(r->versions[i], &payloads[i]);
        nvector(r->ids[i], r->versions[i], DIM, vectors[i]);
        rows[i] = (struct write_row){
            .id = ids[i], .vector = vectors[i], .payload = buf_slice(&payloads[i])};
    }
    st = r->erase ? ndelete(c, ids, r->count, result, err) : nwrite(c, rows, r->count, result, err);
    for (size_t i = 0; i < r->count && !r->erase; i++)
        buf_free(&payloads[i]);
    return st;
}

/* Returns false when the disk failed under it. */
static bool write_one(struct world *t, struct collection *c)
{
    struct rec *r = &t->log[t->last_lsn + 1];
    struct write_result result = {0};
    struct err err = {0};
    status st;

    assert_true(t->last_lsn + 2 < RECORDS_MAX);
    fill(t, r);
    if (r->erase)
        keep_present(t, r);
    if (r->count == 0)
        return true;
    st = send(c, r, &result, &err);
    if (st == ST_OK) {
        if (result.lsn != t->last_lsn + 1)
            fail_msg("lsn %llu after %llu; seed=%llu step=%u", (unsigned long long)result.lsn,
                     (unsigned long long)t->last_lsn, (unsigned long long)t->w.seed, t->step);
        t->last_lsn++;
        if (strcmp(result.durability, "remote") == 0) {
            t->safe_lsn = t->last_lsn;
            t->remote_acks++;
        }
        return true;
    }
    if (!fs_sim_stopped(t->w.sim) && st != ST_UNKNOWN)
        fail_msg("refused: %s; seed=%llu step=%u", err.text, (unsigned long long)t->w.seed,
                 t->step);
    t->maybe = true;
    return false;
}

/* --- trouble --- */

static void clear_trouble(struct world *t)
{
    objstore_faults_clear(t->w.bucket);
    t->outage = false;
}

static void make_trouble(struct world *t)
{
    struct objstore_fault fault = {.nth = (uint32_t)(1 + below(t, 6)),
                                   .times = (uint32_t)(1 + below(t, 3))};

    switch (below(t, 7)) {
    case 0:
        fault.kind = OBJSTORE_FAULT_LOSE;
        break;
    case 1:
        fault.kind = OBJSTORE_FAULT_LOSE;
        fault.ops = 1u << OBJSTORE_PUT;
        break;
    case 2: /* refused */
        break;
    case 3:
        fault = objstore_fault_throttle(below(t, 30));
        fault.times = (uint32_t)(1 + below(t, 10));
        break;
    case 4:
        if (t->careless)
            return;
        fault.kind = OBJSTORE_FAULT_TWICE;
        fault.delay_ms = below(t, 50);
        break;
    case 5:
        if (t->careless)
            return;
        fault.kind = OBJSTORE_FAULT_LATE;
        fault.ops = 1u << OBJSTORE_PUT;
        fault.delay_ms = below(t, 50);
        break;
    case 6:
        fault = objstore_fault_outage();
        t->outage = true;
        break;
    }
    assert_int_equal(objstore_faults_add(t->w.bucket, &fault, NULL, NULL), ST_OK);
    told(t, "trouble kind %d times %u", (int)fault.kind, fault.times);
}

/* --- starts --- */

static bool is_ours(struct nworld *w)
{
    struct collection *c = node_collection_pin(w->node, "docs", 4);
    struct collection_info info;
    bool is = false;

    if (c != NULL) {
        info = ninfo(c);
        is = strcmp(info.state, "serving") == 0 && !info.arriving &&
             (strcmp(info.phase, "idle") == 0 || strcmp(info.phase, "owned") == 0 ||
              strcmp(info.phase, "taking") == 0);
    }
    node_collection_unpin(c);
    return is;
}

/* The same disk: all that was acknowledged. */
static void open_again(struct world *t)
{
    uint64_t lsn;

    nworld_open(&t->w);
    t->c = npin(&t->w, "docs");
    lsn = ninfo(t->c).last_lsn;
    if (lsn != t->last_lsn && !(t->maybe && lsn == t->last_lsn + 1))
        fail_msg("the log ends at %llu, %llu were acknowledged; seed=%llu step=%u",
                 (unsigned long long)lsn, (unsigned long long)t->last_lsn,
                 (unsigned long long)t->w.seed, t->step);
    t->last_lsn = lsn;
    t->maybe = false;
    must_hold(t, t->c, lsn, "after a restart");
}

static void restart(struct world *t)
{
    told(t, "restart");
    note_shipped(t);
    node_collection_unpin(t->c);
    nworld_close(&t->w);
    open_again(t);
}

static void power_cut(struct world *t)
{
    bool writing = below(t, 2) == 0;

    told(t, "power cut");
    if (writing) {
        fs_sim_stop_after(t->w.sim, below(t, 6));
        while (write_one(t, t->c) && !fs_sim_stopped(t->w.sim))
            ;
    }
    note_shipped(t);
    node_collection_unpin(t->c);
    nkill_bury(&t->kill); /* and the store answers again */
    t->outage = false;
    open_again(t);
}

/* What the bucket has is a prefix. */
static uint64_t prefix_of(struct world *t, struct collection *c, const char *when)
{
    uint64_t lsn = ninfo(c).last_lsn;

    if (lsn < t->safe_lsn || lsn > t->last_lsn + t->maybe)
        fail_msg("%s: the bucket has the log up to %llu, %llu were safe and %llu acknowledged; "
                 "seed=%llu step=%u",
                 when, (unsigned long long)lsn, (unsigned long long)t->safe_lsn,
                 (unsigned long long)t->last_lsn, (unsigned long long)t->w.seed, t->step);
    must_hold(t, c, lsn, when);
    return lsn;
}

static void lose_disk(struct world *t)
{
    told(t, "disk lost");
    note_shipped(t);
    node_collection_unpin(t->c);
    if (below(t, 2) == 0)
        nkill_bury(&t->kill);
    else
        nworld_close(&t->w);
    nlose_disk(&t->w);
    clear_trouble(t);
    nworld_open(&t->w);
    nsettled(&t->w);
    t->c = npin(&t->w, "docs");
    t->last_lsn = prefix_of(t, t->c, "after the loss of the disk");
    t->maybe = false;
    t->losses++;
    neventually(is_ours(&t->w));
}

/* --- another owner --- */

static bool in_text(const struct buf *text, uint64_t lsn, const struct rec *r, size_t i)
{
    char part[96];

    (void)snprintf(part, sizeof part, "{\"op\":\"%s\",\"lsn\":%llu,\"doc_id\":%u%s",
                   r->erase ? "delete" : "upsert", (unsigned long long)lsn, r->ids[i],
                   r->erase ? "}" : ",");
    return strstr((const char *)text->data, part) != NULL;
}

/* Every record of before[from .. to] is in a letter; then the letters go. */
static void account_for(struct world *t, const struct rec *before, uint64_t from, uint64_t to)
{
    struct node_dlq_result result = {0};
    struct letter letter = {0};
    struct err err = {0};
    struct buf text;
    size_t letters;

    buf_init(&text, 16 << 20);
    letters = nletter(t->c, 0, &letter);
    for (size_t i = 0; i < letters; i++) {
        (void)nletter(t->c, i, &letter);
        assert_int_equal(letter.kind, LETTER_DIVERGENT_TAIL);
        assert_int_equal(ndlq_export(t->c, letter.id, &text, NULL), ST_OK);
    }
    buf_put_u8(&text, 0);
    for (uint64_t lsn = from; lsn <= to; lsn++) {
        for (size_t i = 0; i < before[lsn].count; i++) {
            if (!in_text(&text, lsn, &before[lsn], i))
                fail_msg("record %llu of the tail %llu to %llu is in none of %zu letters; "
                         "seed=%llu step=%u",
                         (unsigned long long)lsn, (unsigned long long)from, (unsigned long long)to,
                         letters, (unsigned long long)t->w.seed, t->step);
        }
        t->tails++;
    }
    buf_free(&text);
    if (letters == 0)
        return;
    (void)ndlq_discard(t->c, 0, 0, false, &result, &err);
    if (ndlq_discard(t->c, result.lsn_first, result.lsn_last, false, &result, &err) != ST_OK)
        fail_msg("discard: %s", err.text);
    assert_int_equal(nletter(t->c, 0, &letter), 0);
}

static bool is_loaded_up_to(struct world *t, uint64_t lsn)
{
    struct collection *c = node_collection_pin(t->w.node, "docs", 4);
    struct collection_info info = {0};
    bool is = false;

    if (c != NULL) {
        info = ninfo(c);
        is = is_ours(&t->w) && strcmp(info.phase, "owned") == 0 && info.last_lsn == lsn;
    }
    node_collection_unpin(c);
    return is;
}

/* This one is cut off with what it has; the other takes the collection, writes, and is stopped. */
static void give_and_take(struct world *t)
{
    const struct objstore_fault outage = objstore_fault_outage();
    struct rec *before = malloc(sizeof t->log);
    uint64_t mine, shared;
    struct collection *c;
    struct nworld b;

    assert_non_null(before);
    told(t, "another owner");
    note_shipped(t);
    if (below(t, 2) == 0) {
        assert_int_equal(objstore_faults_add(t->w.bucket, &outage, NULL, NULL), ST_OK);
        for (uint64_t i = below(t, 6); i > 0; i--)
            assert_true(write_one(t, t->c));
    }
    mine = t->last_lsn;
    memcpy(before, t->log, sizeof t->log);
    node_collection_unpin(t->c);
    nkill_bury(&t->kill);

    nworld_init(&b, true, t->w.seed + 1000000 + t->step);
    nworld_bucket(&b, t->w.bucket_name);
    b.options.node_id = "node-b";
    b.options.take_ownership = true;
    nworld_open(&b);
    neventually(is_ours(&b));
    c = npin(&b, "docs");
    neventually(strcmp(ninfo(c).phase, "owned") == 0);
    shared = prefix_of(t, c, "another owner");
    t->last_lsn = shared;
    do {
        assert_true(write_one(t, c));
    } while (t->last_lsn == shared || below(t, 4) != 0);
    neventually(nshipped(c));
    t->safe_lsn = t->last_lsn;
    must_hold(t, c, t->last_lsn, "the other owner");
    node_collection_unpin(c);
    nworld_close(&b);
    b.bucket_name[0] = '\0'; /* the bucket is not forgotten with it */
    nworld_fini(&b);

    nworld_open(&t->w);
    neventually(is_loaded_up_to(t, t->last_lsn));
    t->c = npin(&t->w, "docs");
    must_hold(t, t->c, t->last_lsn, "given back");
    account_for(t, before, shared + 1, mine);
    t->takeovers++;
    free(before);
}

/* --- steps --- */

static void publish(struct world *t)
{
    struct node_snapshot_result result = {0};
    bool compact = below(t, 2) == 0;
    status st;

    if (t->outage)
        return; /* it would be waited for a minute */
    told(t, compact ? "compact" : "snapshot");
    st = compact ? ncompact(t->c, &result, NULL) : nsnapshot(t->c, NULL, &result, NULL);
    if (st == ST_OK) {
        if (result.lsn < t->last_lsn)
            fail_msg("a snapshot has the log up to %llu of %llu; seed=%llu step=%u",
                     (unsigned long long)result.lsn, (unsigned long long)t->last_lsn,
                     (unsigned long long)t->w.seed, t->step);
        t->safe_lsn = t->last_lsn;
    }
}

static void set_durability(struct world *t)
{
    const struct collection_patch patch = {.durability =
                                               below(t, 2) == 0 ? NODE_LOCAL : NODE_REMOTE};
    struct call call;

    if (t->outage)
        return;
    call_init(&call);
    node_collection_patch(t->w.node, t->c, &patch, call_admin_done, &call);
    call_wait(&call);
}

static void one_step(struct world *t)
{
    uint64_t what = below(t, 100);

    if (what < 55) {
        for (uint64_t i = 1 + below(t, 5); i > 0; i--)
            assert_true(write_one(t, t->c));
    } else if (what < 65)
        make_trouble(t);
    else if (what < 72)
        clear_trouble(t);
    else if (what < 76)
        publish(t);
    else if (what < 80)
        set_durability(t);
    else if (what < 84)
        restart(t);
    else if (what < 90)
        power_cut(t);
    else if (what < 94)
        lose_disk(t);
    else if (what < 97 && !t->careless)
        give_and_take(t);
    else
        npause_ms((unsigned)below(t, 60));
    note_shipped(t);
}

/* Instead of what nworld_bucket() made. */
static void make_careless(struct world *t, const char *name)
{
    struct objstore *memory = NULL;
    struct objstore *liar;

    objstore_close(t->w.bucket);
    assert_int_equal(objstore_memory_open(name, NULL, &memory, NULL), ST_OK);
    liar = liar_open(memory, LIE_IGNORES_CONDITIONS);
    assert_int_equal(objstore_faults_open(liar, t->w.seed, &t->w.bucket, NULL), ST_OK);
    t->careless = true;
    t->w.options.take_ownership = false;
    t->w.options.probe_store = true;
    t->w.options.pinned_owner = t->w.options.node_id;
    t->w.options.pinned_quiet_ms = 20;
}

static void run_seed(uint64_t seed, bool careless)
{
    static struct world t;
    struct err err = {0};
    char name[64];

    memset(&t, 0, sizeof t);
    (void)snprintf(name, sizeof name, "model-%llu", (unsigned long long)seed);
    nworld_init(&t.w, true, seed);
    nworld_bucket(&t.w, name);
    t.w.options.take_ownership = true;
    if (careless)
        make_careless(&t, name);
    nkill_init(&t.kill, &t.w);
    t.w.options.rpo_ms = 1 + below(&t, 30);
    t.w.options.group_bytes = 1024;
    t.w.options.max_retries = 1000;
    t.w.options.remote_wait_ms = 100;
    t.w.options.max_backoff_ms = 30;
    nworld_open(&t.w);
    if (ncreate_s3(&t.w, "docs", DIM, below(&t, 2) == 0 ? NODE_LOCAL : NODE_REMOTE, &err) != ST_OK)
        fail_msg("create: %s", err.text);
    t.c = npin(&t.w, "docs");
    for (t.step = 1; t.step <= STEPS; t.step++)
        one_step(&t);
    must_hold(&t, t.c, t.last_lsn, "in the end");
    clear_trouble(&t);
    neventually(nshipped(t.c));
    note_shipped(&t);
    assert_int_equal(t.safe_lsn, t.last_lsn);
    lose_disk(&t);
    ninvariants(t.c);
    told(&t, "%llu records, %llu remote, %llu losses, %llu takeovers, tails of %llu",
         (unsigned long long)t.last_lsn, (unsigned long long)t.remote_acks,
         (unsigned long long)t.losses, (unsigned long long)t.takeovers,
         (unsigned long long)t.tails);
    node_collection_unpin(t.c);
    nworld_fini(&t.w);
}

static uint64_t seed_from = 1, seed_to = SEEDS, careless_to = 1;

static void the_node_and_its_bucket_are_as_the_log_says(void **state)
{
    (void)state;
    for (uint64_t seed = seed_from; seed <= seed_to; seed++)
        run_seed(seed, false);
}

static void one_named_node_needs_no_conditions(void **state)
{
    (void)state;
    for (uint64_t seed = seed_from; seed <= careless_to; seed++)
        run_seed(seed, true);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_node_and_its_bucket_are_as_the_log_says),
        cmocka_unit_test(one_named_node_needs_no_conditions),
    };
    const struct CMUnitTest careless[] = {cmocka_unit_test(one_named_node_needs_no_conditions)};

    nlog();
    if (argc > 1)
        seed_from = seed_to = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        seed_to = strtoull(argv[2], NULL, 10);
    if (argc > 1)
        careless_to = seed_to;
    if (argc > 3)
        return cmocka_run_group_tests(careless, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
