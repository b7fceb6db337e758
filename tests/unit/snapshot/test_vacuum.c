/* What a vacuum takes and what it leaves, in a bucket with every kind of collection; with requests
 * that fail, are lost, or are the last. */
#include "objstore/faults.h"
#include "objstore/memory.h"
#include "snapshot/pin.h"
#include "snapshot/vacuum.h"
#include "tests/support/alloc_sweep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HOUR_NS (UINT64_C(3600) * 1000000000)
enum { HOUR_MS = 3600 * 1000, GROUPS = 7, KINDS_MAX = 16 };

/* The first byte of an id says what it is. */
enum kind {
    OLD = 1,  /* dropped long ago */
    YOUNG,    /* dropped a moment ago */
    SERVED,   /* a collection */
    UNMARKED, /* among the dropped, and its root does not say so */
    STRANGE,  /* nobody knows it */
    BARE,     /* dropped, and nothing is left but the root */
    PINNED,   /* dropped, its first three groups pinned */
    ROOTLESS, /* nobody knows it, and it has no root */
    BROKEN,   /* dropped, with a pin that cannot be read */
    KINDS,
};

static struct world {
    struct clock_manual clock;
    struct objstore *bucket;
    struct rand_seeded rand;
    struct vacuum_options options;
    uint64_t asked, served_from; /* known() says so from the n-th time on of OLD; 0: never */
    uint8_t pin[16];
} w;

static void id_of(enum kind kind, uint8_t out[16])
{
    memset(out, 0, 16);
    out[0] = (uint8_t)kind;
    out[15] = 7;
}

static void put(const char *key, const char *text, size_t bytes)
{
    struct objstore_req req = {.op = OBJSTORE_PUT, .key = key, .body = slice_make(text, bytes)};

    assert_int_equal(objstore_wait(w.bucket, &req, NULL), ST_OK);
    objstore_result_fini(&req.result);
}

static void put_root(enum kind kind, enum root_state state)
{
    struct root root = {.state = state, .revision = 3, .epoch = 1};
    char key[OBJKEY_BYTES];
    struct buf bytes;

    id_of(kind, root.collection);
    memset(root.session, 5, sizeof root.session);
    memset(root.nonce, 6, sizeof root.nonce);
    (void)snprintf(root.node_id, sizeof root.node_id, "a");
    root.dropped_at_ns = state == ROOT_DROPPED ? 1 : 0;
    objkey_root(root.collection, key);
    buf_init(&bytes, ROOT_BYTES_MAX);
    assert_int_equal(root_encode(&root, &bytes, NULL), ST_OK);
    put(key, (const char *)bytes.data, bytes.bytes);
    buf_free(&bytes);
}

static void put_groups(enum kind kind, unsigned from, unsigned count)
{
    char key[OBJKEY_BYTES];
    uint8_t id[16];

    id_of(kind, id);
    for (unsigned i = 0; i < count; i++) {
        objkey_group(id, 1, from + i, key);
        put(key, "0123456789", 10);
    }
}

static void put_pin(void)
{
    struct pin pin = {.root_revision = 3, .epoch = 1, .seq = 3, .lsn = 9, .created_at_ns = 1};
    char key[OBJKEY_BYTES];
    struct buf bytes;

    id_of(PINNED, pin.collection);
    memset(pin.id, 9, sizeof pin.id);
    memcpy(w.pin, pin.id, sizeof w.pin);
    (void)snprintf(pin.name, sizeof pin.name, "kept");
    objkey_pin(pin.collection, pin.id, key);
    buf_init(&bytes, 4096);
    assert_int_equal(pin_encode(&pin, &bytes, NULL), ST_OK);
    put(key, (const char *)bytes.data, bytes.bytes);
    buf_free(&bytes);
}

static status known(void *arg, const uint8_t id[16], enum vacuum_known *out, struct err *err)
{
    (void)arg;
    (void)err;
    *out = VACUUM_NOT_KNOWN;
    if (id[0] == SERVED || (id[0] == OLD && ++w.asked == w.served_from))
        *out = VACUUM_SERVED;
    else if (id[0] == UNMARKED)
        *out = VACUUM_DROPPED;
    return ST_OK;
}

static void fill(void)
{
    static const char *const others[] = {"c/", "c/00", "c/zz/other", "probe/gone/run/0-create",
                                         "probe/gone/run/1-race"};
    char key[OBJKEY_BYTES];
    uint8_t id[16];

    for (enum kind k = OLD; k < KINDS; k++) {
        if (k != BARE)
            put_groups(k, 1, GROUPS);
        if (k != YOUNG && k != ROOTLESS)
            put_root(k, k == SERVED || k == UNMARKED || k == STRANGE ? ROOT_LIVE : ROOT_DROPPED);
    }
    id_of(OLD, id);
    objkey_data(id, id, key);
    put(key, "segment", 7);
    objkey_orphan(id, 1, id, 3, key);
    put(key, "tail", 4);
    id_of(BROKEN, id);
    objkey_pin(id, id, key);
    put(key, "no pin", 6);
    put_pin();
    for (size_t i = 1; i < COUNT_OF(others); i++)
        put(others[i], "x", 1);
    clock_manual_advance(&w.clock, 2 * HOUR_NS);
    put_root(YOUNG, ROOT_DROPPED);
    put("probe/here/run/0-create", "x", 1);
}

static int setup(void **state)
{
    static unsigned count;
    struct objstore *memory;
    char name[32];

    (void)state;
    memset(&w, 0, sizeof w);
    (void)snprintf(name, sizeof name, "vacuum-%u", count++);
    clock_manual_init(&w.clock, 1, UINT64_C(1800000000) * 1000000000);
    assert_int_equal(objstore_memory_open(name, &w.clock.clock, &memory, NULL), ST_OK);
    assert_int_equal(objstore_faults_open(memory, 1, &w.bucket, NULL), ST_OK);
    rand_seeded_init(&w.rand, 5);
    w.options = (struct vacuum_options){
        .ask = {.store = w.bucket,
                .clock = clock_real(),
                .rand = &w.rand.source,
                .policy = objstore_retry_background(1, 1, 1),
                .give_up_ms = 5},
        .keep_dropped_ms = HOUR_MS,
        .batch = 3,
        .known = known,
    };
    fill();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    objstore_close(w.bucket);
    return 0;
}

static status vacuum(bool dry_run, struct vacuum_report *out, struct err *err)
{
    struct vacuum v;
    bool more = true;
    status st = ST_OK;

    w.options.dry_run = dry_run;
    vacuum_init(&v, &w.options);
    for (int turns = 0; st == ST_OK && more; turns++) {
        assert_true(turns < 1000);
        st = vacuum_turn(&v, &more, err);
    }
    *out = v.report;
    vacuum_fini(&v);
    return st;
}

static size_t count(const char *prefix)
{
    struct objstore_req req = {.op = OBJSTORE_LIST, .key = prefix};
    size_t n;

    assert_int_equal(objstore_wait(w.bucket, &req, NULL), ST_OK);
    assert_false(req.result.truncated);
    n = req.result.entry_count;
    objstore_result_fini(&req.result);
    return n;
}

static size_t objects(enum kind kind)
{
    char prefix[OBJKEY_BYTES];
    uint8_t id[16];

    id_of(kind, id);
    objkey_prefix_collection(id, prefix);
    return count(prefix);
}

/* What no vacuum may touch, whatever went wrong. */
static void nothing_is_lost(void)
{
    char key[OBJKEY_BYTES];
    uint8_t id[16];

    assert_int_equal(objects(SERVED), GROUPS + 1);
    assert_int_equal(objects(STRANGE), GROUPS + 1);
    assert_int_equal(objects(ROOTLESS), GROUPS);
    assert_int_equal(objects(YOUNG), GROUPS + 1);
    assert_int_equal(objects(UNMARKED), GROUPS + 1);
    assert_int_equal(objects(BROKEN), GROUPS + 2);
    assert_true(objects(OLD) >= 1);
    assert_int_equal(count("c/zz/other"), 1);
    assert_int_equal(count("probe/here/"), 1);
    id_of(PINNED, id);
    for (unsigned seq = 1; seq <= 3; seq++) {
        objkey_group(id, 1, seq, key);
        assert_int_equal(count(key), 1);
    }
    objkey_pin(id, w.pin, key);
    assert_int_equal(count(key), 1);
}

static void all_is_gone_that_goes(void)
{
    nothing_is_lost();
    assert_int_equal(objects(OLD), 1); /* the root */
    assert_int_equal(objects(BARE), 1);
    assert_int_equal(objects(PINNED), 1 + 1 + 3);
    assert_int_equal(count("probe/gone/"), 0);
}

static enum vacuum_fate fate_of(const struct vacuum_report *r, enum kind kind)
{
    uint8_t id[16];

    id_of(kind, id);
    for (size_t i = 0; i < r->item_count; i++)
        if (memcmp(r->items[i].id, id, 16) == 0)
            return r->items[i].fate;
    fail_msg("kind %d is not told", (int)kind);
    return VACUUM_FAILED;
}

static void is_told(const struct vacuum_report *r)
{
    assert_int_equal(r->served, 1);
    assert_int_equal(r->goes.collections, 2);
    assert_int_equal(r->goes.objects, GROUPS + 2 + GROUPS - 3);
    assert_int_equal(r->goes.bytes, 10 * GROUPS + 7 + 4 + 10 * (GROUPS - 3));
    assert_int_equal(r->waits.collections, 2);
    assert_int_equal(r->waits.objects, 2 * GROUPS);
    assert_int_equal(r->unknown.collections, 2);
    assert_int_equal(r->unknown.objects, 2 * GROUPS);
    assert_int_equal(r->pins, 1 + 1); /* the one that cannot be read as well */
    assert_int_equal(r->failed, 1);
    assert_non_null(strstr(r->text, "/pin/"));
    assert_int_equal(r->probe_objects, 2);
    assert_int_equal(fate_of(r, OLD), VACUUM_GOES);
    assert_int_equal(fate_of(r, PINNED), VACUUM_GOES);
    assert_int_equal(fate_of(r, YOUNG), VACUUM_WAITS);
    assert_int_equal(fate_of(r, UNMARKED), VACUUM_WAITS);
    assert_int_equal(fate_of(r, STRANGE), VACUUM_UNKNOWN);
    assert_int_equal(fate_of(r, ROOTLESS), VACUUM_UNKNOWN);
    assert_int_equal(fate_of(r, BROKEN), VACUUM_FAILED);
    assert_int_equal(r->item_count, 7);
}

static void what_nobody_needs_goes_and_all_else_stays(void **state)
{
    static struct vacuum_report r;
    struct err err = {0};

    (void)state;
    if (vacuum(false, &r, &err) != ST_OK)
        fail_msg("%s", err.text);
    is_told(&r);
    assert_int_equal(r.marked, 1);
    assert_int_equal(r.deleted, r.goes.objects + r.probe_objects);
    all_is_gone_that_goes();

    assert_int_equal(vacuum(false, &r, NULL), ST_OK); /* and a second one finds nothing */
    assert_int_equal(r.deleted, 0);
    assert_int_equal(r.marked, 0);
    assert_int_equal(r.goes.objects, 0);
    assert_int_equal(fate_of(&r, PINNED), VACUUM_PINNED);

    clock_manual_advance(&w.clock, 2 * HOUR_NS); /* until its time has come */
    assert_int_equal(vacuum(false, &r, NULL), ST_OK);
    assert_int_equal(objects(YOUNG), 1);
    assert_int_equal(objects(UNMARKED), 1);
    assert_int_equal(r.deleted, 2 * GROUPS + 1);
}

static void a_dry_run_tells_the_same_and_changes_nothing(void **state)
{
    static struct vacuum_report r;
    size_t before = count("");
    struct objstore_fault writes = objstore_fault_denied();

    (void)state;
    writes.ops = 1u << OBJSTORE_PUT | 1u << OBJSTORE_DELETE;
    assert_int_equal(objstore_faults_add(w.bucket, &writes, NULL, NULL), ST_OK);
    assert_int_equal(vacuum(true, &r, NULL), ST_OK);
    is_told(&r);
    assert_int_equal(r.deleted, 0);
    assert_int_equal(r.marked, 0);
    assert_int_equal(count(""), before);
}

/* A catalog was brought back between two batches. */
static void what_is_a_collection_again_is_let_alone(void **state)
{
    static struct vacuum_report r;

    (void)state;
    w.served_from = 3;
    assert_int_equal(vacuum(false, &r, NULL), ST_OK);
    assert_int_equal(fate_of(&r, OLD), VACUUM_FAILED);
    assert_int_equal(objects(OLD), 1 + GROUPS + 2 - 3); /* one batch */
    nothing_is_lost();
}

/* Another root comes to stand there between two batches. */
static void a_root_that_is_live_again_ends_it(void **state)
{
    struct objstore_fault held = {.kind = OBJSTORE_FAULT_DELAY,
                                  .ops = 1u << OBJSTORE_DELETE,
                                  .key_prefix = "c/",
                                  .nth = 1,
                                  .times = 1};
    static struct vacuum_report r;
    struct vacuum v;
    bool more = true;
    unsigned met;

    (void)state;
    assert_int_equal(objstore_faults_add(w.bucket, &held, &met, NULL), ST_OK);
    w.options.dry_run = false;
    vacuum_init(&v, &w.options);
    while (more) {
        assert_int_equal(vacuum_turn(&v, &more, NULL), ST_OK);
        if (objstore_faults_met(w.bucket, met) == 1 && v.running) {
            put_root((enum kind)v.item.id[0], ROOT_LIVE);
            objstore_faults_clear(w.bucket);
            assert_int_equal(objstore_faults_add(w.bucket, &held, &met, NULL), ST_OK);
        }
    }
    r = v.report;
    vacuum_fini(&v);
    assert_true(r.failed >= 2);
    assert_true(objects(OLD) > 1);
}

/* A plan holds 10,000 names. */
static void more_than_a_plan_holds_goes_by_several(void **state)
{
    static struct vacuum_report r;

    (void)state;
    put_groups(BARE, 1, COLLECT_PLAN_MAX + 5);
    w.options.batch = COLLECT_BATCH_MAX;
    assert_int_equal(vacuum(true, &r, NULL), ST_OK);
    assert_int_equal(r.goes.objects, COLLECT_PLAN_MAX + 5 + 2 * GROUPS + 2 - 3);
    assert_int_equal(vacuum(false, &r, NULL), ST_OK);
    assert_int_equal(r.deleted, COLLECT_PLAN_MAX + 5 + 2 * GROUPS + 2 - 3 + 2);
    assert_int_equal(objects(BARE), 1);
}

static void a_store_without_time_keeps_by_age(void **state)
{
    static struct vacuum_report r;

    (void)state;
    atomic_store(&w.clock.wall_ns, 0);
    assert_int_equal(vacuum(false, &r, NULL), ST_OK);
    assert_int_equal(r.deleted, 0);
}

/* Each request in turn goes wrong, or is the last of its process; another vacuum does the rest. */
static void whatever_request_fails_the_next_vacuum_does_the_rest(void **state)
{
    static const struct objstore_fault kinds[] = {
        {.kind = OBJSTORE_FAULT_REFUSE, .times = 1},
        {.kind = OBJSTORE_FAULT_REFUSE,
         .times = 1,
         .class = OBJSTORE_PERMANENT,
         .http_status = 403},
        {.kind = OBJSTORE_FAULT_REFUSE,
         .times = 1,
         .class = OBJSTORE_NOT_FOUND,
         .http_status = 404},
        {.kind = OBJSTORE_FAULT_LOSE, .times = 1},
        {.kind = OBJSTORE_FAULT_REFUSE, .times = OBJSTORE_FAULT_FOR_EVER}, /* dead from here on */
        {.kind = OBJSTORE_FAULT_LOSE, .times = OBJSTORE_FAULT_FOR_EVER},
        {.kind = OBJSTORE_FAULT_CORRUPT, .ops = 1u << OBJSTORE_GET, .times = 1},
    };
    static struct vacuum_report r;
    bool met = true;

    for (size_t k = 0; k < COUNT_OF(kinds); k++, met = true)
        for (uint32_t n = 1; met; n++) {
            struct objstore_fault fault = kinds[k];
            unsigned id;

            (void)teardown(state);
            (void)setup(state);
            fault.nth = n;
            assert_int_equal(objstore_faults_add(w.bucket, &fault, &id, NULL), ST_OK);
            (void)vacuum(false, &r, NULL);
            met = objstore_faults_met(w.bucket, id) > 0;
            objstore_faults_clear(w.bucket);
            nothing_is_lost();
            if (vacuum(false, &r, NULL) != ST_OK)
                fail_msg("fault %zu at request %u", k, (unsigned)n);
            all_is_gone_that_goes();
            assert_true(n < 1000);
        }
}

static status one(void *arg)
{
    static struct vacuum_report r;

    (void)arg;
    return vacuum(false, &r, NULL) == ST_OK ? ST_OK : ST_NOMEM;
}

static void failing_allocations_are_survived(void **state)
{
    (void)state;
    w.options.batch = 100;
    assert_true(alloc_sweep(one, NULL) > 10);
    all_is_gone_that_goes();
}

int main(void)
{
#define TRIAL(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
    const struct CMUnitTest tests[] = {
        TRIAL(what_nobody_needs_goes_and_all_else_stays),
        TRIAL(a_dry_run_tells_the_same_and_changes_nothing),
        TRIAL(what_is_a_collection_again_is_let_alone),
        TRIAL(a_root_that_is_live_again_ends_it),
        TRIAL(more_than_a_plan_holds_goes_by_several),
        TRIAL(a_store_without_time_keeps_by_age),
        TRIAL(whatever_request_fails_the_next_vacuum_does_the_rest),
        TRIAL(failing_allocations_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
