/* A store gets the grade it deserves: every twin that breaks one thing is found out by that thing,
 * and nothing a network does (answers lost, late, twice, throttled, 409, an outage) makes a sound
 * store look broken or a broken one sound.
 *
 *     test_probe [seed]   of the answers that are lost at random; printed when a test fails */
#include "base/lock.h"
#include "objstore/directory.h"
#include "objstore/faults.h"
#include "objstore/memory.h"
#include "objstore/probe.h"

#include "tests/support/alloc_sweep.h"
#include "tests/support/fs_sim.h"
#include "tests/unit/objstore/liar_store.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t seed = 20261121;

/* --- the pure part --- */

static void all_hold(struct probe_fact facts[PROBE_FACTS])
{
    memset(facts, 0, sizeof(struct probe_fact) * PROBE_FACTS);
    for (unsigned i = 0; i < PROBE_FACTS; i++)
        facts[i].answer = PROBE_HOLDS;
}

static enum probe_grade grade_without(enum probe_fact_id id, enum probe_answer answer)
{
    struct probe_fact facts[PROBE_FACTS];

    all_hold(facts);
    facts[id].answer = answer;
    return probe_grade(facts);
}

static void one_fact_decides_the_grade(void **state)
{
    static const struct {
        enum probe_fact_id id;
        enum probe_grade grade;
    } expected[] = {
        {PROBE_READ, PROBE_GRADE_UNFIT},      {PROBE_OVERWRITE, PROBE_GRADE_UNFIT},
        {PROBE_LIST, PROBE_GRADE_UNFIT},      {PROBE_RANGE, PROBE_GRADE_UNFIT},
        {PROBE_CREATE_TWICE, PROBE_GRADE_C},  {PROBE_CREATE_RACE, PROBE_GRADE_C},
        {PROBE_MATCH_RIGHT, PROBE_GRADE_B},   {PROBE_MATCH_STALE, PROBE_GRADE_B},
        {PROBE_MATCH_MISSING, PROBE_GRADE_B}, {PROBE_MATCH_RACE, PROBE_GRADE_B},
        {PROBE_LIST_ORDER, PROBE_GRADE_A},    {PROBE_NOT_MODIFIED, PROBE_GRADE_A},
        {PROBE_CHECKSUM, PROBE_GRADE_A},      {PROBE_COMPLETE_TWICE, PROBE_GRADE_A},
        {PROBE_CLOCK, PROBE_GRADE_A},
    };

    (void)state;
    assert_int_equal(COUNT_OF(expected), PROBE_FACTS);
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        bool counts = probe_fact_counts(expected[i].id);

        assert_int_equal(counts, expected[i].grade != PROBE_GRADE_A);
        assert_int_equal(grade_without(expected[i].id, PROBE_BROKEN), expected[i].grade);
        assert_int_equal(grade_without(expected[i].id, PROBE_REFUSED), expected[i].grade);
        assert_int_equal(grade_without(expected[i].id, PROBE_UNKNOWN),
                         counts ? PROBE_GRADE_NONE : PROBE_GRADE_A);
    }
}

/* Of every combination of the ten that count: A needs all of them, and no answer is never better
 * than an answer that is bad. */
static void what_is_not_known_is_never_taken_for_good(void **state)
{
    enum { COUNTING = 10, ALL = 59049 };

    (void)state;
    for (unsigned code = 0; code < ALL; code++) {
        struct probe_fact facts[PROBE_FACTS];
        bool whole = true;
        unsigned rest = code;
        enum probe_grade grade;

        all_hold(facts);
        for (unsigned i = 0; i < COUNTING; i++, rest /= 3) {
            facts[i].answer = (enum probe_answer)(rest % 3);
            whole = whole && facts[i].answer == PROBE_HOLDS;
        }
        grade = probe_grade(facts);
        assert_int_equal(grade == PROBE_GRADE_A, whole);
        if (grade == PROBE_GRADE_B)
            assert_true(facts[PROBE_CREATE_TWICE].answer == PROBE_HOLDS &&
                        facts[PROBE_CREATE_RACE].answer == PROBE_HOLDS);
        if (grade != PROBE_GRADE_NONE && grade != PROBE_GRADE_UNFIT)
            assert_true(facts[PROBE_READ].answer == PROBE_HOLDS &&
                        facts[PROBE_LIST].answer == PROBE_HOLDS &&
                        facts[PROBE_RANGE].answer == PROBE_HOLDS);
    }
}

static void a_verdict_says_what_happened_and_what_to_do(void **state)
{
    struct probe_report report = {.grade = PROBE_GRADE_C};
    char text[PROBE_VERDICT_BYTES];

    (void)state;
    all_hold(report.facts);
    report.facts[PROBE_CREATE_TWICE].answer = PROBE_BROKEN;
    (void)snprintf(report.facts[PROBE_CREATE_TWICE].text, PROBE_TEXT_BYTES, "it overwrote");
    probe_verdict(&report, text);
    assert_non_null(strstr(text, "grade C: it overwrote; "));
    assert_non_null(strstr(text, "pinned_owner"));
    all_hold(report.facts);
    report.grade = PROBE_GRADE_A;
    probe_verdict(&report, text);
    assert_string_equal(text, "grade A: it keeps every condition the node relies on");
    for (unsigned i = 0; i < PROBE_FACTS; i++) {
        assert_true(probe_fact_name((enum probe_fact_id)i)[0] != '\0');
        assert_true(probe_fact_says((enum probe_fact_id)i)[0] != '\0');
    }
}

/* --- probing --- */

static struct objstore *memory(void)
{
    struct objstore *s = NULL;

    objstore_memory_forget("probe");
    assert_int_equal(objstore_memory_open("probe", NULL, &s, NULL), ST_OK);
    return s;
}

static status probe(struct objstore *s, struct probe_report *out, struct err *err)
{
    const struct probe_options options = {.store = s,
                                          .clock = clock_real(),
                                          .rand = rand_kernel(),
                                          .prefix = "probe/node-1/",
                                          .pause_ms = 1};

    return objstore_probe(&options, out, err);
}

static size_t objects(struct objstore *s, const char *prefix)
{
    struct objstore_req req = {.op = OBJSTORE_LIST, .key = prefix};
    size_t count;

    assert_int_equal(objstore_wait(s, &req, NULL), ST_OK);
    count = req.result.entry_count;
    objstore_result_fini(&req.result);
    return count;
}

static void expect_all_hold(const struct probe_report *r)
{
    for (unsigned i = 0; i < PROBE_FACTS; i++)
        if (r->facts[i].answer != PROBE_HOLDS)
            fail_msg("%s: %s, %s", probe_fact_name((enum probe_fact_id)i),
                     probe_answer_name(r->facts[i].answer), r->facts[i].text);
    assert_int_equal(r->grade, PROBE_GRADE_A);
}

static void a_sound_store_gets_an_a_and_keeps_nothing(void **state)
{
    struct objstore *s = memory();
    struct probe_report r;

    (void)state;
    assert_int_equal(probe(s, &r, NULL), ST_OK);
    expect_all_hold(&r);
    assert_int_equal(objects(s, ""), 0);
    if (r.requests > 400)
        fail_msg("a probe of %u requests", r.requests);
    objstore_close(s);
}

static void a_directory_gets_an_a(void **state)
{
    struct fs_sim *sim = fs_sim_create();
    struct objstore *s = NULL;
    struct probe_report r;

    (void)state;
    assert_non_null(sim);
    assert_int_equal(
        objstore_directory_open("/bucket", fs_sim_fs(sim), clock_real(), rand_kernel(), &s, NULL),
        ST_OK);
    assert_int_equal(probe(s, &r, NULL), ST_OK);
    expect_all_hold(&r);
    assert_int_equal(objects(s, ""), 0);
    objstore_close(s);
    fs_sim_destroy(sim);
}

static const struct {
    enum lie lie;
    enum probe_fact_id found_by;
    enum probe_answer answer;
    enum probe_grade grade;
} LIARS[] = {
    {LIE_IGNORES_ABSENT, PROBE_CREATE_TWICE, PROBE_BROKEN, PROBE_GRADE_C},
    {LIE_IGNORES_MATCH, PROBE_MATCH_STALE, PROBE_BROKEN, PROBE_GRADE_B},
    {LIE_IGNORES_CONDITIONS, PROBE_CREATE_TWICE, PROBE_BROKEN, PROBE_GRADE_C},
    {LIE_MATCH_MAKES, PROBE_MATCH_MISSING, PROBE_BROKEN, PROBE_GRADE_B},
    {LIE_TWO_CREATE, PROBE_CREATE_RACE, PROBE_BROKEN, PROBE_GRADE_C},
    {LIE_TWO_REPLACE, PROBE_MATCH_RACE, PROBE_BROKEN, PROBE_GRADE_B},
    {LIE_LOSER_WRITES, PROBE_CREATE_RACE, PROBE_BROKEN, PROBE_GRADE_C},
    {LIE_REFUSED_WRITES, PROBE_CREATE_TWICE, PROBE_BROKEN, PROBE_GRADE_C},
    {LIE_NEVER_MATCHES, PROBE_MATCH_RIGHT, PROBE_BROKEN, PROBE_GRADE_B},
    {LIE_REFUSES_CONDITIONS, PROBE_CREATE_TWICE, PROBE_REFUSED, PROBE_GRADE_C},
    {LIE_REFUSES_MATCH, PROBE_MATCH_RIGHT, PROBE_REFUSED, PROBE_GRADE_B},
    {LIE_ONE_ETAG, PROBE_MATCH_RIGHT, PROBE_BROKEN, PROBE_GRADE_B},
    {LIE_STALE_LIST, PROBE_LIST, PROBE_BROKEN, PROBE_GRADE_UNFIT},
    {LIE_LISTS_THE_DELETED, PROBE_LIST, PROBE_BROKEN, PROBE_GRADE_UNFIT},
    {LIE_STALE_READ, PROBE_OVERWRITE, PROBE_BROKEN, PROBE_GRADE_UNFIT},
    {LIE_NO_RANGES, PROBE_RANGE, PROBE_BROKEN, PROBE_GRADE_UNFIT},
    {LIE_FIRST_FOR_LAST, PROBE_RANGE, PROBE_BROKEN, PROBE_GRADE_UNFIT},
    {LIE_LOSES, PROBE_READ, PROBE_BROKEN, PROBE_GRADE_UNFIT},
    {LIE_UNSORTED, PROBE_LIST_ORDER, PROBE_BROKEN, PROBE_GRADE_A},
    {LIE_TAKES_CHECKSUMS, PROBE_CHECKSUM, PROBE_BROKEN, PROBE_GRADE_A},
    {LIE_COMPLETES, PROBE_COMPLETE_TWICE, PROBE_BROKEN, PROBE_GRADE_A},
};

static void every_liar_is_found_out_by_its_lie(void **state)
{
    (void)state;
    assert_int_equal(COUNT_OF(LIARS), LIES - 1);
    for (size_t i = 0; i < COUNT_OF(LIARS); i++) {
        struct objstore *s = liar_open(memory(), LIARS[i].lie);
        struct probe_report r = {0};
        struct err err = {0};
        status st = probe(s, &r, &err);
        const struct probe_fact *fact = &r.facts[LIARS[i].found_by];

        if (st != ST_OK)
            fail_msg("lie %d: %s", (int)LIARS[i].lie, err.text);
        if (fact->answer != LIARS[i].answer || r.grade != LIARS[i].grade)
            fail_msg("lie %d: %s is %s (%s), grade %s", (int)LIARS[i].lie,
                     probe_fact_name(LIARS[i].found_by), probe_answer_name(fact->answer),
                     fact->text, probe_grade_name(r.grade));
        if (fact->text[0] == '\0')
            fail_msg("lie %d: found, and nothing said of it", (int)LIARS[i].lie);
        objstore_close(s);
    }
}

/* --- what a network does --- */

struct rig {
    struct objstore *faults;
    struct probe_report report;
    struct err err;
};

static void rig_open(struct rig *rig, struct objstore *inner)
{
    memset(rig, 0, sizeof *rig);
    assert_int_equal(objstore_faults_open(inner, seed, &rig->faults, NULL), ST_OK);
}

static void rig_add(struct rig *rig, struct objstore_fault fault)
{
    assert_int_equal(objstore_faults_add(rig->faults, &fault, NULL, NULL), ST_OK);
}

/* One fault at every request of a probe in turn: the grade is the one it would be without, or there
 * is none. */
static void expect_grade_whatever_is_met(enum objstore_fault_kind kind, enum objstore_class class,
                                         int http_status, enum lie lie, enum probe_grade grade)
{
    uint32_t step = lie == LIE_NONE ? 3 : 11;

    for (uint32_t nth = 1 + (uint32_t)(seed % step); nth < 340; nth += step) {
        struct rig rig;
        status st;

        rig_open(&rig, lie == LIE_NONE ? memory() : liar_open(memory(), lie));
        rig_add(&rig, (struct objstore_fault){.kind = kind,
                                              .nth = nth,
                                              .class = class,
                                              .http_status = http_status,
                                              .delay_ms = kind == OBJSTORE_FAULT_TWICE ? 1 : 3});
        st = probe(rig.faults, &rig.report, &rig.err);
        if (st == ST_OK && rig.report.grade != grade)
            fail_msg("fault %d at request %u, seed %llu: grade %s", (int)kind, nth,
                     (unsigned long long)seed, probe_grade_name(rig.report.grade));
        if (st != ST_OK) /* one fault is what it copes with */
            fail_msg("fault %d at request %u: %s", (int)kind, nth, rig.err.text);
        objstore_close(rig.faults);
    }
}

static void a_lost_answer_changes_no_grade(void **state)
{
    (void)state;
    expect_grade_whatever_is_met(OBJSTORE_FAULT_LOSE, OBJSTORE_OK, 0, LIE_NONE, PROBE_GRADE_A);
    expect_grade_whatever_is_met(OBJSTORE_FAULT_LOSE, OBJSTORE_OK, 0, LIE_IGNORES_MATCH,
                                 PROBE_GRADE_B);
    expect_grade_whatever_is_met(OBJSTORE_FAULT_LOSE, OBJSTORE_OK, 0, LIE_IGNORES_CONDITIONS,
                                 PROBE_GRADE_C);
}

static void a_late_or_doubled_effect_changes_no_grade(void **state)
{
    (void)state;
    expect_grade_whatever_is_met(OBJSTORE_FAULT_LATE, OBJSTORE_OK, 0, LIE_NONE, PROBE_GRADE_A);
    expect_grade_whatever_is_met(OBJSTORE_FAULT_TWICE, OBJSTORE_OK, 0, LIE_NONE, PROBE_GRADE_A);
}

static void a_refused_or_damaged_answer_changes_no_grade(void **state)
{
    (void)state;
    expect_grade_whatever_is_met(OBJSTORE_FAULT_REFUSE, OBJSTORE_OK, 0, LIE_NONE, PROBE_GRADE_A);
    expect_grade_whatever_is_met(OBJSTORE_FAULT_REFUSE, OBJSTORE_CONFLICT, 409, LIE_NONE,
                                 PROBE_GRADE_A);
    expect_grade_whatever_is_met(OBJSTORE_FAULT_CORRUPT, OBJSTORE_OK, 0, LIE_NONE, PROBE_GRADE_A);
    expect_grade_whatever_is_met(OBJSTORE_FAULT_TRUNCATE, OBJSTORE_OK, 0, LIE_NONE, PROBE_GRADE_A);
}

/* Each request is lost, refused or throttled with the same chance, up to every third. */
static void a_bad_network_gives_no_wrong_grade(void **state)
{
    static const enum lie lies[] = {LIE_NONE, LIE_IGNORES_CONDITIONS, LIE_TWO_REPLACE};
    static const enum probe_grade grades[] = {PROBE_GRADE_A, PROBE_GRADE_C, PROBE_GRADE_B};
    unsigned graded = 0;

    (void)state;
    for (unsigned round = 0; round < 24; round++) {
        unsigned which = round % 3;
        struct rig rig;
        status st;
        uint32_t at = 1;
        uint64_t random = seed + round * 0x9e3779b97f4a7c15u;
        uint32_t every = 3 + round * 8;

        rig_open(&rig, lies[which] == LIE_NONE ? memory() : liar_open(memory(), lies[which]));
        for (unsigned i = 0; i < OBJSTORE_FAULTS_MAX; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            at += 1 + (uint32_t)(random >> 33) % (2 * every);
            rig_add(&rig,
                    (struct objstore_fault){
                        .kind = (random >> 20) % 2 ? OBJSTORE_FAULT_LOSE : OBJSTORE_FAULT_REFUSE,
                        .nth = at,
                        .class = (random >> 21) % 3 ? OBJSTORE_OK : OBJSTORE_THROTTLE,
                        .http_status = 0});
        }
        st = probe(rig.faults, &rig.report, &rig.err);
        if (st != ST_OK && st != ST_UNAVAILABLE)
            fail_msg("seed %llu round %u: %s", (unsigned long long)seed, round, rig.err.text);
        if (st == ST_OK && rig.report.grade != grades[which])
            fail_msg("seed %llu round %u: grade %s", (unsigned long long)seed, round,
                     probe_grade_name(rig.report.grade));
        graded += st == ST_OK;
        objstore_close(rig.faults);
    }
    if (graded < 8) /* else it says nothing */
        fail_msg("seed %llu: only %u of 24 came to a grade", (unsigned long long)seed, graded);
}

/* Behind each request of a probe the store goes away, for good. */
static void an_outage_in_the_middle_gives_no_grade(void **state)
{
    struct probe_report untouched = {.grade = PROBE_GRADE_B, .requests = 77};
    uint32_t whole;
    struct rig rig;

    (void)state;
    rig_open(&rig, memory());
    assert_int_equal(probe(rig.faults, &rig.report, NULL), ST_OK);
    whole = rig.report.requests;
    objstore_close(rig.faults);
    for (uint32_t nth = 1; nth < whole - 120; nth += 29) { /* the last ones only tidy up */
        struct objstore_fault outage = objstore_fault_outage();

        rig_open(&rig, memory());
        outage.nth = nth;
        rig_add(&rig, outage);
        rig.report = untouched;
        assert_int_equal(probe(rig.faults, &rig.report, &rig.err), ST_UNAVAILABLE);
        assert_int_equal(rig.report.requests, untouched.requests);
        objstore_close(rig.faults);
    }
}

static void a_denied_missing_or_full_bucket_is_named(void **state)
{
    const struct {
        struct objstore_fault fault;
        status st;
    } cases[] = {{objstore_fault_denied(), ST_DENIED},
                 {objstore_fault_bucket_gone(), ST_DENIED},
                 {objstore_fault_full(), ST_NOSPACE},
                 {objstore_fault_throttle(1), ST_UNAVAILABLE}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rig rig;

        rig_open(&rig, memory());
        rig_add(&rig, cases[i].fault);
        assert_int_equal(probe(rig.faults, &rig.report, &rig.err), cases[i].st);
        assert_non_null(strstr(rig.err.text, "probe memory:probe: "));
        objstore_close(rig.faults);
    }
}

static void a_stopped_probe_ends(void **state)
{
    const _Atomic bool stop = true;
    struct objstore *s = memory();
    struct probe_options options = {.store = s,
                                    .clock = clock_real(),
                                    .rand = rand_kernel(),
                                    .prefix = "probe/node-1/",
                                    .stop = &stop};
    struct probe_report r;

    (void)state;
    assert_int_equal(objstore_probe(&options, &r, NULL), ST_CLOSED);
    options.stop = NULL;
    options.prefix = "probe/no-slash";
    assert_int_equal(objstore_probe(&options, &r, NULL), ST_INVALID);
    objstore_close(s);
}

struct stopping {
    struct objstore *store;
    _Atomic bool stop;
    status st;
};

static void probe_until_stopped(void *arg)
{
    struct stopping *s = arg;
    const struct probe_options options = {.store = s->store,
                                          .clock = clock_real(),
                                          .rand = rand_kernel(),
                                          .prefix = "probe/node-1/",
                                          .stop = &s->stop};
    struct probe_report r;

    s->st = objstore_probe(&options, &r, NULL);
}

/* Requests that nobody answers are given up when the node stops: at each of them. */
static void a_probe_that_waits_is_stopped(void **state)
{
    (void)state;
    for (uint32_t nth = 1; nth < 120; nth += 20) {
        struct stopping s = {.stop = false, .st = ST_BUG};
        struct objstore_fault hold = {.kind = OBJSTORE_FAULT_DELAY,
                                      .delay_ms = OBJSTORE_FAULT_HOLD,
                                      .nth = nth,
                                      .times = OBJSTORE_FAULT_FOR_EVER};
        struct thread thread = {0};
        struct rig rig;

        rig_open(&rig, memory());
        rig_add(&rig, hold);
        s.store = rig.faults;
        assert_int_equal(
            thread_start(&thread, "prober", THREAD_NORMAL, probe_until_stopped, &s, NULL), ST_OK);
        while (objstore_faults_held(rig.faults) == 0) {
        }
        s.stop = true;
        thread_join(&thread);
        assert_int_equal(s.st, ST_CLOSED);
        objstore_close(rig.faults);
    }
}

/* --- what is left behind --- */

static void leave(struct objstore *s, const char *key)
{
    struct objstore_req req = {.op = OBJSTORE_PUT, .key = key, .body = slice_text("left")};

    assert_int_equal(objstore_wait(s, &req, NULL), ST_OK);
    objstore_result_fini(&req.result);
}

/* Those of a probe that may still run, and of other nodes, stay. Time is the store's. */
static void old_leftovers_of_the_same_prober_go(void **state)
{
    struct probe_options all = {.clock = clock_real(),
                                .rand = rand_kernel(),
                                .prefix = "probe/node-1/",
                                .leftovers = "probe/"};
    struct clock_manual clock;
    struct objstore *s = NULL;
    struct probe_report r;

    (void)state;
    clock_manual_init(&clock, 1, UINT64_C(1800000000) * 1000000000);
    objstore_memory_forget("probe");
    assert_int_equal(objstore_memory_open("probe", &clock.clock, &s, NULL), ST_OK);
    for (unsigned i = 0; i < 70; i++) {
        char key[64];

        (void)snprintf(key, sizeof key, "probe/node-1/0123456789abcdef/%u", i);
        leave(s, key);
    }
    leave(s, "probe/node-2/0123456789abcdef/1");
    leave(s, "c/00/data");
    clock_manual_advance(&clock, UINT64_C(3601) * 1000000000);
    leave(s, "probe/node-1/fedcba9876543210/1");
    assert_int_equal(probe(s, &r, NULL), ST_OK);
    assert_int_equal(objects(s, "probe/node-1/0123456789abcdef/"), 0);
    assert_int_equal(objects(s, "probe/node-1/"), 1);
    assert_int_equal(objects(s, ""), 3);
    all.store = s;
    assert_int_equal(objstore_probe(&all, &r, NULL), ST_OK);
    assert_int_equal(objects(s, "probe/node-2/"), 0);
    assert_int_equal(objects(s, ""), 2);
    objstore_close(s);
}

/* Two that probe at once with one prefix do not disturb each other. */
struct other {
    struct objstore *store;
    struct probe_report report;
    status st;
};

static void probe_too(void *arg)
{
    struct other *o = arg;

    o->st = probe(o->store, &o->report, NULL);
}

static void two_probers_of_one_name_both_come_to_a_grade(void **state)
{
    struct objstore *s = memory();
    struct other others[2] = {{.store = s}, {.store = s}};
    struct thread threads[2] = {{0}};

    (void)state;
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(
            thread_start(&threads[i], "prober", THREAD_NORMAL, probe_too, &others[i], NULL), ST_OK);
    for (unsigned i = 0; i < 2; i++) {
        thread_join(&threads[i]);
        assert_int_equal(others[i].st, ST_OK);
        expect_all_hold(&others[i].report);
    }
    assert_int_equal(objects(s, ""), 0);
    objstore_close(s);
}

static void a_clock_that_is_wrong_is_told(void **state)
{
    struct clock_manual clock;
    struct objstore *s = NULL;
    struct probe_report r;

    (void)state;
    clock_manual_init(&clock, 1, clock_wall_ns(clock_real()) - UINT64_C(3600) * 1000000000);
    objstore_memory_forget("probe");
    assert_int_equal(objstore_memory_open("probe", &clock.clock, &s, NULL), ST_OK);
    assert_int_equal(probe(s, &r, NULL), ST_OK);
    assert_int_equal(r.grade, PROBE_GRADE_A);
    assert_int_equal(r.facts[PROBE_CLOCK].answer, PROBE_BROKEN);
    assert_non_null(strstr(r.facts[PROBE_CLOCK].text, "3600 s behind ours"));
    objstore_close(s);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_fact_decides_the_grade),
        cmocka_unit_test(what_is_not_known_is_never_taken_for_good),
        cmocka_unit_test(a_verdict_says_what_happened_and_what_to_do),
        cmocka_unit_test(a_sound_store_gets_an_a_and_keeps_nothing),
        cmocka_unit_test(a_directory_gets_an_a),
        cmocka_unit_test(every_liar_is_found_out_by_its_lie),
        cmocka_unit_test(a_lost_answer_changes_no_grade),
        cmocka_unit_test(a_late_or_doubled_effect_changes_no_grade),
        cmocka_unit_test(a_refused_or_damaged_answer_changes_no_grade),
        cmocka_unit_test(a_bad_network_gives_no_wrong_grade),
        cmocka_unit_test(an_outage_in_the_middle_gives_no_grade),
        cmocka_unit_test(a_denied_missing_or_full_bucket_is_named),
        cmocka_unit_test(a_stopped_probe_ends),
        cmocka_unit_test(a_probe_that_waits_is_stopped),
        cmocka_unit_test(old_leftovers_of_the_same_prober_go),
        cmocka_unit_test(two_probers_of_one_name_both_come_to_a_grade),
        cmocka_unit_test(a_clock_that_is_wrong_is_told),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
