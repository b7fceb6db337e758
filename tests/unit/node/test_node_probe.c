/* A node writes to its bucket once the store has proven itself, and else says why not. */
#include "tests/unit/node/nbucket.h"
#include "tests/unit/objstore/liar_store.h"

#include "objstore/memory.h"

#include <stdio.h>

#include <stdatomic.h>

struct store { /* as nworld_bucket(), with a liar between the faults and the memory */
    struct nworld w;
    char name[32];
};

static void set_up(struct store *s, const char *name, enum lie lie)
{
    struct objstore *memory = NULL;

    nworld_init(&s->w, false, 7);
    nworld_bucket(&s->w, name);
    if (lie != LIE_NONE) {
        objstore_close(s->w.bucket);
        assert_int_equal(objstore_memory_open(name, NULL, &memory, NULL), ST_OK);
        assert_int_equal(objstore_faults_open(liar_open(memory, lie), 7, &s->w.bucket, NULL),
                         ST_OK);
        s->w.options.store = s->w.bucket;
    }
    s->w.options.probe_store = true;
    s->w.options.pinned_quiet_ms = 300;
}

/* The same bucket, mended or broken. */
static void swap_store(struct store *s, const char *name, enum lie lie)
{
    struct objstore *memory = NULL;
    struct objstore *old = s->w.bucket;
    char description[sizeof old->description];

    memcpy(description, old->description, sizeof description);
    assert_int_equal(objstore_memory_open(name, NULL, &memory, NULL), ST_OK);
    assert_int_equal(objstore_faults_open(lie == LIE_NONE ? memory : liar_open(memory, lie), 7,
                                          &s->w.bucket, NULL),
                     ST_OK);
    memcpy(s->w.bucket->description, description, sizeof description);
    s->w.options.store = s->w.bucket;
    objstore_close(old);
}

static bool mode_is(struct nworld *w, const char *mode)
{
    struct node_status s;

    node_status(w->node, &s);
    return strcmp(s.store_mode, mode) == 0;
}

static bool grade_is(struct nworld *w, const char *grade)
{
    struct node_status s;

    node_status(w->node, &s);
    return strcmp(s.store_grade, grade) == 0;
}

/* How many objects lie under a prefix of the bucket, past the node. */
static size_t objects(struct nworld *w, const char *prefix)
{
    struct objstore_req req = {.op = OBJSTORE_LIST, .key = prefix};
    size_t count;

    assert_int_equal(objstore_wait(w->bucket, &req, NULL), ST_OK);
    count = req.result.entry_count;
    objstore_result_fini(&req.result);
    return count;
}

static void a_sound_store_is_probed_once_and_trusted(void **state)
{
    struct store s;
    struct collection *c;
    struct objstore_fault probes = {
        .kind = OBJSTORE_FAULT_DELAY, .key_prefix = "probe/", .times = OBJSTORE_FAULT_FOR_EVER};
    unsigned id;

    (void)state;
    set_up(&s, "np-sound", LIE_NONE);
    nworld_open(&s.w);
    assert_int_equal(ncreate_s3(&s.w, "docs", 4, NODE_REMOTE, NULL), ST_OK);
    assert_true(mode_is(&s.w, "full") && grade_is(&s.w, "A"));
    c = npin(&s.w, "docs");
    assert_int_equal(nput(c, 1, 1, NULL), ST_OK);
    node_collection_unpin(c);
    assert_false(nhealth_has(&s.w, "store"));
    neventually(objects(&s.w, "meta/format") == 1);
    nworld_close(&s.w);
    assert_int_equal(objects(&s.w, "probe/"), 0);
    /* What is remembered spares the next start the probe. */
    assert_int_equal(objstore_faults_add(s.w.bucket, &probes, &id, NULL), ST_OK);
    nworld_open(&s.w);
    assert_true(mode_is(&s.w, "full"));
    c = npin(&s.w, "docs");
    assert_int_equal(nput(c, 2, 1, NULL), ST_OK);
    node_collection_unpin(c);
    neventually(s.w.node->trust.marker_known);
    assert_int_equal(objstore_faults_met(s.w.bucket, id), 0);
    nworld_fini(&s.w);
}

/* Nothing but the probe's own objects reaches a store that ignores conditions. */
static void a_lying_store_is_refused(void **state)
{
    static const enum lie lies[] = {LIE_IGNORES_CONDITIONS, LIE_TWO_REPLACE, LIE_MATCH_MAKES,
                                    LIE_STALE_LIST};
    static const char *const grades[] = {"C", "B", "B", "unfit"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        struct store s;
        struct err err = {0};

        set_up(&s, "np-liar", lies[i]);
        nworld_open(&s.w);
        neventually(mode_is(&s.w, "refused"));
        assert_true(grade_is(&s.w, grades[i]));
        assert_int_equal(ncreate_s3(&s.w, "docs", 4, NODE_LOCAL, &err), ST_UNSUPPORTED);
        assert_non_null(strstr(err.text, "nothing is written to the bucket"));
        assert_true(nhealth_has(&s.w, "nothing is written to the bucket: grade"));
        assert_int_equal(ncreate(&s.w, "mem", 4, VMETRIC_L2, 64, NULL), ST_OK);
        assert_int_equal(objects(&s.w, "meta/") + objects(&s.w, "c/"), 0);
        nworld_fini(&s.w);
    }
}

/* An empty or never graded node whose bucket is away serves what it has, and asks again. */
static void a_store_that_is_away_gets_no_grade(void **state)
{
    struct store s;
    struct collection *c;
    const struct objstore_fault outage = objstore_fault_outage();
    struct objstore_fault writes_lost = {
        .kind = OBJSTORE_FAULT_REFUSE, .ops = 1u << OBJSTORE_PUT, .times = OBJSTORE_FAULT_FOR_EVER};

    (void)state;
    set_up(&s, "np-away", LIE_NONE);
    assert_int_equal(objstore_faults_add(s.w.bucket, &writes_lost, NULL, NULL), ST_OK);
    nworld_open(&s.w);
    assert_int_equal(ncreate(&s.w, "mem", 4, VMETRIC_L2, 64, NULL), ST_OK);
    neventually(nhealth_has(&s.w, "could not be proven yet"));
    assert_true(mode_is(&s.w, "unproven"));
    objstore_faults_clear(s.w.bucket);
    neventually(mode_is(&s.w, "full"));
    assert_false(nhealth_has(&s.w, "could not be proven yet"));
    assert_int_equal(ncreate_s3(&s.w, "docs", 4, NODE_LOCAL, NULL), ST_OK);
    nworld_close(&s.w);
    /* Graded before: nothing waits for a probe, though the bucket is away at start. */
    assert_int_equal(objstore_faults_add(s.w.bucket, &outage, NULL, NULL), ST_OK);
    nworld_open(&s.w);
    assert_true(mode_is(&s.w, "full") && grade_is(&s.w, "A"));
    c = npin(&s.w, "docs");
    assert_int_equal(nput(c, 1, 1, NULL), ST_OK);
    objstore_faults_clear(s.w.bucket);
    nall_shipped(&s.w);
    node_collection_unpin(c);
    nworld_fini(&s.w);
}

static void pinned_mode_writes_says_so_and_survives(void **state)
{
    struct store s;
    struct collection *c;
    struct err err = {0};

    (void)state;
    set_up(&s, "np-pinned", LIE_IGNORES_CONDITIONS);
    s.w.options.pinned_owner = "test";
    nworld_open(&s.w);
    neventually(mode_is(&s.w, "pinned"));
    assert_true(grade_is(&s.w, "C"));
    assert_int_equal(objects(&s.w, "meta/pinned"), 1);
    neventually(s.w.node->trust.is_open);
    assert_int_equal(ncreate_s3(&s.w, "docs", 4, NODE_REMOTE, &err), ST_OK);
    assert_true(nhealth_has(&s.w, "pinned-owner mode"));
    c = npin(&s.w, "docs");
    for (uint64_t id = 1; id <= 20; id++)
        assert_int_equal(nput(c, id, 1, NULL), ST_OK);
    nall_shipped(&s.w);
    node_collection_unpin(c);
    /* A new disk under the same name: everything comes back, and writes go on. */
    nlose_disk(&s.w);
    nworld_open(&s.w);
    nsettled(&s.w);
    c = npin(&s.w, "docs");
    for (uint64_t id = 1; id <= 20; id++)
        assert_int_equal(nversion(c, id), 1);
    neventually(mode_is(&s.w, "pinned") && s.w.node->trust.is_open);
    neventually(nput(c, 21, 1, NULL) == ST_OK);
    nall_shipped(&s.w);
    node_collection_unpin(c);
    nworld_fini(&s.w);
}

/* By its configuration, by what the bucket says, and when it asks to take over. */
static void another_name_is_refused_on_a_pinned_store(void **state)
{
    struct store s;
    struct store second;
    struct err err = {0};

    (void)state;
    set_up(&s, "np-two", LIE_IGNORES_CONDITIONS);
    s.w.options.pinned_owner = "test";
    nworld_open(&s.w);
    neventually(s.w.node->trust.is_open);
    set_up(&second, "np-two", LIE_IGNORES_CONDITIONS);
    second.w.options.node_id = "second";
    second.w.options.pinned_owner = "test";
    nworld_open(&second.w);
    assert_true(mode_is(&second.w, "refused"));
    assert_true(nhealth_has(&second.w, "names test as the only node"));
    assert_int_equal(ncreate_s3(&second.w, "x", 4, NODE_LOCAL, &err), ST_UNSUPPORTED);
    nworld_close(&second.w);
    /* One that claims the store for itself finds whose it is, even if its probe sees nothing. */
    second.w.options.pinned_owner = "second";
    nworld_open(&second.w);
    neventually(nhealth_has(&second.w, "meta/pinned names test"));
    assert_int_equal(ncreate_s3(&second.w, "x", 4, NODE_LOCAL, &err), ST_UNSUPPORTED);
    nworld_close(&second.w);
    swap_store(&second, "np-two", LIE_NONE);
    second.w.options.pinned_owner = NULL;
    nworld_open(&second.w);
    neventually(nhealth_has(&second.w, "meta/pinned names test"));
    nworld_close(&second.w);
    second.w.options.pinned_owner = "second";
    second.w.options.take_ownership = true;
    assert_int_equal(nworld_try_open(&second.w, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "--take-ownership"));
    assert_int_equal(objects(&s.w, "c/"), 0);
    nworld_close(&s.w);
    nworld_fini(&second.w);
    nworld_fini(&s.w);
}

static void take_done(void *arg, status st, const struct collection_info *info,
                      const struct err *err)
{
    (void)info;
    *(_Atomic int *)arg = (int)st + 1;
    if (st != ST_OK)
        assert_non_null(strstr(err->text, "pinned-owner mode"));
}

static void nothing_is_taken_over_in_pinned_mode(void **state)
{
    struct store s;
    struct collection *c;
    _Atomic int said = 0;

    (void)state;
    set_up(&s, "np-take", LIE_IGNORES_CONDITIONS);
    s.w.options.pinned_owner = "test";
    nworld_open(&s.w);
    neventually(s.w.node->trust.is_open);
    assert_int_equal(ncreate_s3(&s.w, "docs", 4, NODE_LOCAL, NULL), ST_OK);
    c = npin(&s.w, "docs");
    node_take_ownership(c, take_done, &said);
    neventually(atomic_load(&said) != 0);
    assert_int_equal(atomic_load(&said), (int)ST_UNSUPPORTED + 1);
    node_collection_unpin(c);
    nworld_fini(&s.w);
}

struct answer {
    _Atomic bool done;
    status st;
    struct node_probe_result result;
    struct err err;
};

static void on_probed(void *arg, status st, const struct node_probe_result *result,
                      const struct err *err)
{
    struct answer *a = arg;

    a->st = st;
    if (result != NULL)
        a->result = *result;
    if (err != NULL)
        a->err = *err;
    atomic_store(&a->done, true);
}

static struct answer probe_now(struct nworld *w, bool accept)
{
    struct answer a = {.st = ST_BUG};

    node_probe_store(w->node, accept, on_probed, &a);
    neventually(atomic_load(&a.done));
    return a;
}

/* Whatever later probes say, and on an empty disk too: only an operator brings the trust back. */
static void a_store_once_found_wanting_is_not_trusted_again(void **state)
{
    struct store s;
    struct answer a;

    (void)state;
    set_up(&s, "np-mended", LIE_IGNORES_CONDITIONS);
    nworld_open(&s.w);
    neventually(mode_is(&s.w, "refused"));
    a = probe_now(&s.w, true);
    assert_int_equal(a.st, ST_UNSUPPORTED);
    nworld_close(&s.w);
    swap_store(&s, "np-mended", LIE_NONE);
    nworld_open(&s.w);
    a = probe_now(&s.w, false);
    assert_int_equal(a.st, ST_OK);
    assert_string_equal(a.result.grade, "A");
    assert_string_equal(a.result.mode, "refused");
    assert_non_null(strstr(a.result.text, "--accept"));
    nworld_close(&s.w);
    /* A pin outlives the disk. */
    swap_store(&s, "np-mended", LIE_IGNORES_CONDITIONS);
    s.w.options.pinned_owner = "test";
    nworld_open(&s.w);
    a = probe_now(&s.w, false);
    assert_string_equal(a.result.pinned, "test");
    s.w.options.pinned_owner = NULL;
    nlose_disk(&s.w);
    swap_store(&s, "np-mended", LIE_NONE);
    nworld_open(&s.w);
    neventually(mode_is(&s.w, "refused") && grade_is(&s.w, "A"));
    a = probe_now(&s.w, true);
    assert_int_equal(a.st, ST_OK);
    assert_string_equal(a.result.mode, "full");
    assert_int_equal(objects(&s.w, "meta/pinned"), 0);
    assert_int_equal(ncreate_s3(&s.w, "docs", 4, NODE_REMOTE, NULL), ST_OK);
    nworld_fini(&s.w);
}

/* Trusted once, and then found to lie: nothing more is written, what is here is served. */
static void a_trusted_store_that_begins_to_lie_is_closed(void **state)
{
    struct store s;
    struct collection *c;
    struct answer a;

    (void)state;
    set_up(&s, "np-turned", LIE_NONE);
    nworld_open(&s.w);
    assert_int_equal(ncreate_s3(&s.w, "docs", 4, NODE_LOCAL, NULL), ST_OK);
    c = npin(&s.w, "docs");
    assert_int_equal(nput(c, 1, 1, NULL), ST_OK);
    nall_shipped(&s.w);
    node_collection_unpin(c);
    nworld_close(&s.w);
    swap_store(&s, "np-turned", LIE_IGNORES_MATCH);
    nworld_open(&s.w);
    assert_true(mode_is(&s.w, "full"));
    a = probe_now(&s.w, false);
    assert_string_equal(a.result.grade, "B");
    assert_string_equal(a.result.mode, "refused");
    c = npin(&s.w, "docs");
    assert_int_equal(nput(c, 2, 1, NULL), ST_OK); /* on the local disk, as in an outage */
    assert_int_equal(nversion(c, 2), 1);
    assert_true(nhealth_has(&s.w, "grade B"));
    node_collection_unpin(c);
    nworld_fini(&s.w);
}

/* With an old verdict, and with one of another time: probed again, and trusted meanwhile. */
static void an_old_verdict_is_made_anew(void **state)
{
    struct store s;

    (void)state;
    set_up(&s, "np-old", LIE_NONE);
    s.w.options.clock = &s.w.clock.clock;
    nworld_open(&s.w);
    for (unsigned i = 0; !mode_is(&s.w, "full"); i++) {
        assert_true(i < 3000);
        clock_manual_advance(&s.w.clock, 20000000);
        npause_ms(10);
    }
    nworld_close(&s.w);
    clock_manual_advance(&s.w.clock, UINT64_C(8 * 24 * 3600) * 1000000000);
    nworld_open(&s.w);
    assert_true(mode_is(&s.w, "full"));
    for (unsigned i = 0; s.w.node->trust.probed_ms == 0; i++) {
        assert_true(i < 3000);
        clock_manual_advance(&s.w.clock, 20000000);
        npause_ms(10);
    }
    assert_true(mode_is(&s.w, "full"));
    nworld_fini(&s.w);
}

static size_t warnings(const char *path)
{
    struct buf text;
    size_t count = 0;

    buf_init(&text, 1 << 20);
    assert_int_equal(fs_read_file(fs_real(), path, 1 << 20, &text, NULL), ST_OK);
    buf_put_u8(&text, 0);
    for (const char *at = (const char *)text.data; (at = strstr(at, "pinned-owner mode")) != NULL;
         at++)
        count += strstr(at, "\n") != NULL;
    buf_free(&text);
    return count;
}

/* Nobody gets used to it in silence: at start, and every hour. */
static void pinned_mode_warns_every_hour(void **state)
{
    struct store s;
    char path[128];
    struct log_options log = {
        .level = LOG_WARN, .format = LOG_FORMAT_JSON, .path = path, .clock = clock_real()};
    size_t before;

    (void)state;
    set_up(&s, "np-hourly", LIE_IGNORES_CONDITIONS);
    (void)snprintf(path, sizeof path, "%s.log", s.w.dir);
    assert_int_equal(log_open(&log, NULL), ST_OK);
    s.w.options.clock = &s.w.clock.clock;
    s.w.options.pinned_owner = "test";
    nworld_open(&s.w);
    for (unsigned i = 0; !mode_is(&s.w, "pinned"); i++) {
        assert_true(i < 3000);
        clock_manual_advance(&s.w.clock, 20000000);
        npause_ms(10);
    }
    neventually(warnings(path) >= 1);
    for (size_t hour = 1; hour <= 3; hour++) {
        nlooked(&s.w); /* and notes what time it was */
        before = warnings(path);
        clock_manual_advance(&s.w.clock, UINT64_C(3601) * 1000000000);
        neventually(warnings(path) > before);
    }
    nworld_fini(&s.w);
    log_close();
    assert_int_equal(fs_unlink(fs_real(), path, NULL), ST_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_store_is_probed_once_and_trusted),
        cmocka_unit_test(a_lying_store_is_refused),
        cmocka_unit_test(a_store_that_is_away_gets_no_grade),
        cmocka_unit_test(pinned_mode_writes_says_so_and_survives),
        cmocka_unit_test(another_name_is_refused_on_a_pinned_store),
        cmocka_unit_test(nothing_is_taken_over_in_pinned_mode),
        cmocka_unit_test(a_store_once_found_wanting_is_not_trusted_again),
        cmocka_unit_test(a_trusted_store_that_begins_to_lie_is_closed),
        cmocka_unit_test(an_old_verdict_is_made_anew),
        cmocka_unit_test(pinned_mode_warns_every_hour),
    };

    nlog();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
