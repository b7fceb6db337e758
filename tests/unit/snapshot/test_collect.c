/* The collector over a small bucket: what goes, what stays, and in which order it asks. */
#include "snapshot/collect.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { KEYS_MAX = 64, MS = 1000000, HOUR = 3600 * 1000, EFFECTS_MAX = 400 };
static const uint8_t ID[16] = {1, 2, 3};
static const uint8_t US[16] = {7};
static const uint64_t NOON_NS = 1000000000ull * MS;

static struct world {
    struct root root;
    char keys[KEYS_MAX][OBJKEY_BYTES];
    uint64_t modified_ns[KEYS_MAX];
    size_t count;
    struct manifest manifests[8];
    struct pin pins[4];
    size_t manifest_count, pin_count;
    uint64_t now_ms, date_ns;
    size_t page; /* names in an answer */
    enum collect_effect_kind asked[EFFECTS_MAX];
    size_t asked_count;
    /* what goes wrong: so many answers to such an effect, or a change before it */
    enum collect_effect_kind fault_kind;
    enum objstore_class fault;
    uint32_t faults;
    bool taken_before_delete;
    struct collect c;
    struct collect_effect last;
} w;

static void name(uint64_t n, uint8_t out[16])
{
    memset(out, 0, 16);
    memcpy(out, &n, sizeof n);
}

static void has(const char *key, uint64_t modified_ns)
{
    assert_true(w.count < KEYS_MAX);
    (void)snprintf(w.keys[w.count], sizeof w.keys[0], "%s", key);
    w.modified_ns[w.count++] = modified_ns;
}

static void group(uint64_t epoch, uint64_t seq)
{
    char key[OBJKEY_BYTES];

    objkey_group(ID, epoch, seq, key);
    has(key, NOON_NS);
}

static void data(uint64_t n)
{
    char key[OBJKEY_BYTES];
    uint8_t uuid[16];

    name(n, uuid);
    objkey_data(ID, uuid, key);
    has(key, NOON_NS);
}

/* With one segment, and the log from (epoch, seq) on. */
static struct manifest *manifest(uint64_t revision, uint64_t parent, uint64_t n, uint64_t segment,
                                 struct log_floor floor, uint64_t modified_ns)
{
    struct manifest *m = &w.manifests[w.manifest_count++];
    struct manifest_segment s = {.rows = 0};
    struct err err = {0};
    char key[OBJKEY_BYTES];
    uint8_t uuid[16];

    manifest_init(m);
    m->revision = revision;
    m->parent_revision = parent;
    m->floor = floor;
    name(segment, s.object.uuid);
    assert_int_equal(manifest_add_segment(m, &s, &err), ST_OK);
    name(n, uuid);
    memcpy(m->collection, uuid, 16); /* the tests' way to find it by its name */
    objkey_manifest(ID, revision, uuid, key);
    has(key, modified_ns);
    return m;
}

static void root_names(uint64_t revision, uint64_t n, struct log_floor floor)
{
    w.root.has_manifest = true;
    w.root.manifest_revision = revision;
    name(n, w.root.manifest.uuid);
    w.root.floor = floor;
    w.root.revision = revision + 1;
}

static void pin(uint64_t n, uint64_t revision, uint64_t manifest_name, uint64_t epoch, uint64_t seq)
{
    struct pin *p = &w.pins[w.pin_count++];
    char key[OBJKEY_BYTES];

    *p = (struct pin){
        .root_revision = revision, .manifest_revision = revision, .epoch = epoch, .seq = seq};
    name(n, p->id);
    name(manifest_name, p->manifest.uuid);
    objkey_pin(ID, p->id, key);
    has(key, NOON_NS);
}

static struct log_floor at(uint64_t epoch, uint64_t seq)
{
    return (struct log_floor){.epoch = epoch, .seq = seq};
}

static const struct collect_options OPTIONS = {
    .collection = {1, 2, 3}, .session = {7}, .keep_versions = 1, .batch = 1000};

static int setup(void **state)
{
    char key[OBJKEY_BYTES];

    (void)state;
    memset(&w, 0, sizeof w);
    memcpy(w.root.collection, ID, sizeof ID);
    memcpy(w.root.session, US, sizeof US);
    (void)snprintf(w.root.node_id, sizeof w.root.node_id, "b");
    w.root.state = ROOT_LIVE;
    w.root.revision = 1;
    w.root.epoch = 3;
    w.page = 1000;
    w.now_ms = 5;
    w.date_ns = NOON_NS;
    objkey_root(ID, key);
    has(key, NOON_NS);
    collect_init(&w.c, &OPTIONS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < w.manifest_count; i++)
        manifest_free(&w.manifests[i]);
    collect_fini(&w.c);
    return 0;
}

static bool there(const char *key)
{
    for (size_t i = 0; i < w.count; i++)
        if (strcmp(w.keys[i], key) == 0)
            return true;
    return false;
}

static bool group_there(uint64_t epoch, uint64_t seq)
{
    char key[OBJKEY_BYTES];

    objkey_group(ID, epoch, seq, key);
    return there(key);
}

static bool data_there(uint64_t n)
{
    char key[OBJKEY_BYTES];
    uint8_t uuid[16];

    name(n, uuid);
    objkey_data(ID, uuid, key);
    return there(key);
}

static bool manifest_there(uint64_t revision, uint64_t n)
{
    char key[OBJKEY_BYTES];
    uint8_t uuid[16];

    name(n, uuid);
    objkey_manifest(ID, revision, uuid, key);
    return there(key);
}

/* --- the bucket's side --- */

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct objstore_entry *)a)->key, ((const struct objstore_entry *)b)->key);
}

static void answer_list(struct collect_event *e, struct objstore_entry *entries)
{
    for (size_t i = 0; i < w.count; i++)
        if (strncmp(w.keys[i], w.last.prefix, strlen(w.last.prefix)) == 0 &&
            strcmp(w.keys[i], w.last.start_after) > 0)
            entries[e->entry_count++] = (struct objstore_entry){
                .key = w.keys[i], .bytes = 10, .modified_ns = w.modified_ns[i]};
    qsort(entries, e->entry_count, sizeof entries[0], by_key);
    e->truncated = e->entry_count > w.page;
    e->entry_count = e->truncated ? w.page : e->entry_count;
    e->entries = entries;
}

static void answer_delete(void)
{
    for (size_t i = w.last.first; i < w.last.first + w.last.count; i++) {
        char key[OBJKEY_BYTES];

        collect_key(&w.c, i, key);
        for (size_t k = 0; k < w.count; k++)
            if (strcmp(w.keys[k], key) == 0) {
                memmove(w.keys[k], w.keys[w.count - 1], sizeof w.keys[0]);
                w.modified_ns[k] = w.modified_ns[--w.count];
            }
    }
}

static void answer_manifest(struct collect_event *e)
{
    struct objkey key = objkey_parse(w.last.key);

    e->class = OBJSTORE_NOT_FOUND;
    for (size_t i = 0; i < w.manifest_count && there(w.last.key); i++)
        if (w.manifests[i].revision == key.revision &&
            memcmp(w.manifests[i].collection, key.uuid, 16) == 0) {
            e->class = OBJSTORE_OK;
            e->body = &w.manifests[i];
        }
}

static void answer_pin(struct collect_event *e)
{
    struct objkey key = objkey_parse(w.last.key);

    e->class = OBJSTORE_NOT_FOUND;
    for (size_t i = 0; i < w.pin_count; i++)
        if (memcmp(w.pins[i].id, key.uuid, 16) == 0) {
            e->class = OBJSTORE_OK;
            e->pin = &w.pins[i];
        }
}

static void answer(void)
{
    struct objstore_entry entries[KEYS_MAX];
    struct collect_event e = {
        .kind = COLLECT_ANSWER, .now_ms = w.now_ms, .date_ns = w.date_ns, .text = "what it said"};

    assert_true(w.asked_count < EFFECTS_MAX);
    w.asked[w.asked_count++] = w.last.kind;
    if (w.last.kind == COLLECT_TIMER) {
        w.date_ns += (w.last.at_ms - w.now_ms) * MS;
        w.now_ms = w.last.at_ms;
        e = (struct collect_event){.kind = COLLECT_TICK, .now_ms = w.now_ms};
    } else if (w.faults > 0 && w.last.kind == w.fault_kind) {
        w.faults--;
        e.class = w.fault;
    } else if (w.last.kind == COLLECT_READ_ROOT) {
        e.root = &w.root;
    } else if (w.last.kind == COLLECT_LIST) {
        answer_list(&e, entries);
    } else if (w.last.kind == COLLECT_MARK) {
        w.root.gc_mark = w.last.revision;
    } else if (w.last.kind == COLLECT_READ_MANIFEST) {
        answer_manifest(&e);
    } else if (w.last.kind == COLLECT_READ_PIN) {
        answer_pin(&e);
    } else if (w.last.kind == COLLECT_DELETE) {
        answer_delete();
    }
    collect_step(&w.c, &e, &w.last);
    if (w.taken_before_delete && w.c.at == COLLECT_AT_CHECK) {
        w.root.epoch++;
        memset(w.root.session, 9, sizeof w.root.session);
    }
}

static enum objstore_class run(void)
{
    w.asked_count = 0;
    collect_step(&w.c, &(struct collect_event){.kind = COLLECT_BEGIN, .now_ms = w.now_ms}, &w.last);
    while (w.last.kind != COLLECT_FINISHED)
        answer();
    return w.last.class;
}

static size_t asked(enum collect_effect_kind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < w.asked_count; i++)
        n += w.asked[i] == kind;
    return n;
}

/* Two bases: the second moved the floor from 1/1 to 2/3 and replaced segment 21 by 22. */
static void two_versions(void)
{
    manifest(5, 0, 11, 21, at(1, 1), NOON_NS - 10ull * HOUR * MS);
    manifest(9, 5, 12, 22, at(2, 3), NOON_NS - 2ull * HOUR * MS);
    root_names(9, 12, at(2, 3));
    data(21);
    data(22);
    group(1, 1);
    group(1, 2);
    for (uint64_t seq = 1; seq <= 4; seq++)
        group(2, seq);
    group(3, 1);
    w.root.lineages[w.root.lineage_count++] = (struct lineage){.epoch = 2, .end_seq = 4};
}

/* --- what goes --- */

static void an_empty_collection_keeps_all(void **state)
{
    (void)state;
    group(3, 1);
    assert_int_equal(run(), OBJSTORE_OK);
    assert_int_equal(asked(COLLECT_DELETE), 0);
    assert_int_equal(w.c.report.listed, 2);
}

static void what_was_replaced_goes(void **state)
{
    (void)state;
    two_versions();
    assert_int_equal(run(), OBJSTORE_OK);
    assert_int_equal(w.root.gc_mark, 9);
    assert_false(manifest_there(5, 11));
    assert_false(data_there(21));
    assert_false(group_there(1, 1));
    assert_false(group_there(1, 2));
    assert_false(group_there(2, 2));
    assert_true(manifest_there(9, 12));
    assert_true(data_there(22));
    assert_true(group_there(2, 3));
    assert_true(group_there(2, 4));
    assert_true(group_there(3, 1));
    assert_int_equal(w.c.report.deleted, 6);
    assert_int_equal(w.c.report.planned_bytes, 60);
    assert_int_equal(run(), OBJSTORE_OK);
    assert_int_equal(w.c.report.planned, 0);
    assert_int_equal(asked(COLLECT_DELETE), 0);
}

static void versions_are_kept(void **state)
{
    (void)state;
    two_versions();
    w.c.options.keep_versions = 2;
    assert_int_equal(run(), OBJSTORE_OK);
    assert_int_equal(w.root.gc_mark, 5);
    assert_int_equal(w.c.report.planned, 0);
}

/* It was written ten hours ago and replaced two hours ago. */
static void age_counts_from_the_replacement(void **state)
{
    (void)state;
    two_versions();
    w.c.options.keep_ms = 3 * HOUR;
    assert_int_equal(run(), OBJSTORE_OK);
    assert_true(manifest_there(5, 11));
    w.date_ns += 2ull * HOUR * MS;
    assert_int_equal(run(), OBJSTORE_OK);
    assert_false(manifest_there(5, 11));
    assert_false(data_there(21));
}

static void a_store_without_time_keeps_by_age(void **state)
{
    (void)state;
    two_versions();
    w.c.options.keep_ms = 1;
    w.date_ns = 0;
    assert_int_equal(run(), OBJSTORE_OK);
    assert_true(manifest_there(5, 11));
    w.c.options.keep_ms = 0;
    w.c.options.grace_ms = 1;
    assert_int_equal(run(), OBJSTORE_PERMANENT);
    assert_true(manifest_there(5, 11));
}

/* What a publish left that was cut short: with the revision of one that was named, too. */
static void orphans_go_and_shorten_nothing(void **state)
{
    (void)state;
    two_versions();
    manifest(5, 0, 13, 31, at(1, 1), NOON_NS - 9ull * HOUR * MS);
    manifest(7, 5, 14, 32, at(1, 2), NOON_NS - 8ull * HOUR * MS);
    manifest(10, 9, 15, 33, at(2, 3), NOON_NS);
    data(31);
    data(32);
    data(33);
    w.c.options.keep_versions = 2;
    assert_int_equal(run(), OBJSTORE_OK);
    assert_int_equal(w.root.gc_mark, 5);
    assert_true(manifest_there(5, 11));
    assert_true(data_there(21));
    assert_true(manifest_there(5, 13)); /* cannot be told from it */
    assert_false(manifest_there(7, 14));
    assert_false(data_there(32));
    assert_false(manifest_there(10, 15));
    assert_false(data_there(33));
}

static void the_mark_never_goes_back(void **state)
{
    (void)state;
    two_versions();
    w.root.gc_mark = 9;
    w.c.options.keep_versions = 5;
    assert_int_equal(run(), OBJSTORE_OK);
    assert_int_equal(w.root.gc_mark, 9);
    assert_false(manifest_there(5, 11));
}

static void zombies_groups_go_and_open_epochs_stay(void **state)
{
    (void)state;
    two_versions();
    group(2, 5); /* behind the recorded end */
    group(4, 1); /* of an owner we do not know */
    w.root.epoch = 3;
    w.root.open[w.root.open_count++] = 1;
    assert_int_equal(run(), OBJSTORE_OK);
    assert_false(group_there(2, 5));
    assert_true(group_there(4, 1));
    assert_true(group_there(1, 1));
    assert_false(group_there(2, 1));
}

/* --- pins --- */

static void a_pin_keeps_what_it_needs(void **state)
{
    (void)state;
    two_versions();
    pin(1, 5, 11, 1, 2);
    assert_int_equal(run(), OBJSTORE_OK);
    assert_true(manifest_there(5, 11));
    assert_true(data_there(21));
    assert_true(group_there(1, 1));
    assert_true(group_there(1, 2));
    assert_false(group_there(2, 1));
    assert_int_equal(w.c.report.pins, 1);
    assert_int_equal(w.c.report.manifests, 2);
}

static void a_pin_of_a_log_without_manifest_keeps_it_from_the_start(void **state)
{
    (void)state;
    two_versions();
    pin(1, 0, 0, 2, 1);
    assert_int_equal(run(), OBJSTORE_OK);
    assert_true(group_there(1, 1));
    assert_true(group_there(2, 1));
    assert_false(group_there(2, 2));
    assert_false(data_there(21));
}

/* Its maker died before it read the root again. */
static void a_pin_that_never_held_stops_nothing(void **state)
{
    (void)state;
    two_versions();
    pin(1, 2, 99, 1, 2);
    assert_int_equal(run(), OBJSTORE_OK);
    assert_int_equal(w.c.report.dead_pins, 1);
    assert_false(data_there(21));
    assert_true(data_there(22));
}

static void a_pin_that_cannot_be_read_ends_the_run(void **state)
{
    (void)state;
    two_versions();
    pin(1, 5, 11, 1, 2);
    w.fault_kind = COLLECT_READ_PIN;
    w.fault = OBJSTORE_INTEGRITY;
    w.faults = 1;
    assert_int_equal(run(), OBJSTORE_INTEGRITY);
    assert_non_null(strstr(w.last.text, "what it said"));
    assert_int_equal(asked(COLLECT_DELETE), 0);
}

/* --- order --- */

static size_t first(enum collect_effect_kind kind, size_t from)
{
    while (from < w.asked_count && w.asked[from] != kind)
        from++;
    return from;
}

static void the_pins_are_listed_behind_the_mark(void **state)
{
    size_t mark;

    (void)state;
    two_versions();
    pin(1, 5, 11, 1, 2);
    assert_int_equal(run(), OBJSTORE_OK);
    mark = first(COLLECT_MARK, 0);
    assert_int_equal(w.asked[mark + 1], COLLECT_READ_ROOT);
    assert_int_equal(w.asked[mark + 2], COLLECT_LIST);
    assert_int_equal(w.asked[mark + 3], COLLECT_READ_PIN);
}

static void each_batch_is_behind_a_look_at_the_root(void **state)
{
    (void)state;
    two_versions();
    w.c.options.batch = 2;
    assert_int_equal(run(), OBJSTORE_OK);
    assert_int_equal(asked(COLLECT_DELETE), 3);
    for (size_t i = first(COLLECT_DELETE, 0); i < w.asked_count; i++)
        if (w.asked[i] == COLLECT_DELETE)
            assert_int_equal(w.asked[i - 1], COLLECT_READ_ROOT);
}

static void a_new_owner_ends_the_run(void **state)
{
    (void)state;
    two_versions();
    w.taken_before_delete = true;
    assert_int_equal(run(), OBJSTORE_PRECONDITION);
    assert_int_equal(asked(COLLECT_DELETE), 0);
    assert_true(data_there(21));
}

static void another_owners_collection_is_left_alone(void **state)
{
    (void)state;
    two_versions();
    memset(w.root.session, 9, sizeof w.root.session);
    assert_int_equal(run(), OBJSTORE_PRECONDITION);
    assert_non_null(strstr(w.last.text, "node b owns"));
    assert_int_equal(asked(COLLECT_LIST), 0);
}

static void readers_have_their_time(void **state)
{
    size_t timer;

    (void)state;
    two_versions();
    w.c.options.grace_ms = HOUR;
    assert_int_equal(run(), OBJSTORE_OK);
    timer = first(COLLECT_TIMER, 0);
    assert_int_equal(w.asked[timer + 1], COLLECT_READ_ROOT);
    assert_true(first(COLLECT_DELETE, 0) > timer);
    assert_int_equal(w.now_ms, 5 + HOUR);
    assert_int_equal(w.c.report.deleted, 6);
}

static void listings_go_on_page_by_page(void **state)
{
    (void)state;
    two_versions();
    w.page = 1;
    assert_int_equal(run(), OBJSTORE_OK);
    assert_int_equal(w.c.report.deleted, 6);
    assert_true(asked(COLLECT_LIST) > 12);
}

static void a_listing_without_the_roots_manifest_is_not_believed(void **state)
{
    (void)state;
    two_versions();
    root_names(9, 77, at(2, 3));
    assert_int_equal(run(), OBJSTORE_INTEGRITY);
    assert_non_null(strstr(w.last.text, "manifest 9"));
    assert_true(data_there(22));
}

/* --- failures --- */

static void what_may_succeed_later_is_asked_again(void **state)
{
    (void)state;
    two_versions();
    for (int kind = COLLECT_READ_ROOT; kind < COLLECT_FINISHED; kind++) {
        if (kind == COLLECT_READ_PIN)
            continue;
        (void)teardown(NULL);
        (void)setup(NULL);
        two_versions();
        w.fault_kind = (enum collect_effect_kind)kind;
        w.fault = OBJSTORE_THROTTLE;
        w.faults = COLLECT_TRIES;
        assert_int_equal(run(), OBJSTORE_OK);
        assert_int_equal(asked(COLLECT_TIMER), COLLECT_TRIES);
        assert_int_equal(w.c.report.deleted, 6);
    }
}

static void what_stays_away_ends_the_run(void **state)
{
    (void)state;
    for (int kind = COLLECT_READ_ROOT; kind < COLLECT_FINISHED; kind++) {
        if (kind == COLLECT_READ_PIN)
            continue;
        (void)teardown(NULL);
        (void)setup(NULL);
        two_versions();
        w.fault_kind = (enum collect_effect_kind)kind;
        w.fault = kind % 2 == 0 ? OBJSTORE_TRANSIENT : OBJSTORE_PERMANENT;
        w.faults = UINT32_MAX;
        assert_int_equal(run(), w.fault);
        assert_true(w.last.text[0] != '\0');
        assert_true(data_there(22));
        assert_true(kind == COLLECT_DELETE || data_there(21));
    }
}

static void a_stop_ends_the_run(void **state)
{
    (void)state;
    two_versions();
    collect_step(&w.c, &(struct collect_event){.kind = COLLECT_BEGIN}, &w.last);
    for (int i = 0; i < 4; i++)
        answer();
    collect_step(&w.c, &(struct collect_event){.kind = COLLECT_STOP}, &w.last);
    assert_int_equal(w.last.kind, COLLECT_FINISHED);
    assert_int_equal(w.last.class, OBJSTORE_CANCELLED);
    assert_int_equal(run(), OBJSTORE_OK);
    assert_int_equal(w.c.report.deleted, 6);
}

static void memory_that_runs_out_ends_the_run(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        enum objstore_class class;
        bool met;

        (void)teardown(NULL);
        (void)setup(NULL);
        two_versions();
        pin(1, 5, 11, 1, 2);
        mem_test_fail_after(n);
        class = run();
        met = mem_test_count() > n;
        mem_test_fail_after(-1);
        if (!met)
            break;
        assert_int_equal(class, OBJSTORE_TRANSIENT);
        assert_string_equal(w.last.text, "out of memory");
        assert_int_equal(asked(COLLECT_DELETE), 0);
        assert_true(n < 100);
    }
}

/* --- dropped --- */

static void a_dropped_collection_goes_but_for_pins_and_root(void **state)
{
    char key[OBJKEY_BYTES];

    (void)state;
    two_versions();
    pin(1, 5, 11, 1, 2);
    objkey_orphan(ID, 1, US, 3, key);
    has(key, NOON_NS);
    w.root.state = ROOT_DROPPED;
    memset(w.root.session, 9, sizeof w.root.session); /* whoever dropped it */
    w.c.options.keep_dropped_ms = HOUR;
    assert_int_equal(run(), OBJSTORE_OK);
    assert_int_equal(w.c.report.planned, 0);
    w.date_ns += 2ull * HOUR * MS;
    assert_int_equal(run(), OBJSTORE_OK);
    assert_false(there(key));
    assert_true(manifest_there(5, 11));
    assert_true(data_there(21));
    assert_true(group_there(1, 2));
    assert_false(group_there(3, 1));
    assert_false(manifest_there(9, 12));
    assert_false(data_there(22));
    objkey_root(ID, key);
    assert_true(there(key));
    assert_int_equal(asked(COLLECT_MARK), 0);
}

static void a_switching_collection_is_left_alone(void **state)
{
    (void)state;
    data(1);
    w.root.state = ROOT_SWITCHING;
    assert_int_equal(run(), OBJSTORE_OK);
    assert_true(data_there(1));
}

#define TRIAL(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TRIAL(an_empty_collection_keeps_all),
        TRIAL(what_was_replaced_goes),
        TRIAL(versions_are_kept),
        TRIAL(age_counts_from_the_replacement),
        TRIAL(a_store_without_time_keeps_by_age),
        TRIAL(orphans_go_and_shorten_nothing),
        TRIAL(the_mark_never_goes_back),
        TRIAL(zombies_groups_go_and_open_epochs_stay),
        TRIAL(a_pin_keeps_what_it_needs),
        TRIAL(a_pin_of_a_log_without_manifest_keeps_it_from_the_start),
        TRIAL(a_pin_that_never_held_stops_nothing),
        TRIAL(a_pin_that_cannot_be_read_ends_the_run),
        TRIAL(the_pins_are_listed_behind_the_mark),
        TRIAL(each_batch_is_behind_a_look_at_the_root),
        TRIAL(a_new_owner_ends_the_run),
        TRIAL(another_owners_collection_is_left_alone),
        TRIAL(readers_have_their_time),
        TRIAL(listings_go_on_page_by_page),
        TRIAL(a_listing_without_the_roots_manifest_is_not_believed),
        TRIAL(what_may_succeed_later_is_asked_again),
        TRIAL(what_stays_away_ends_the_run),
        TRIAL(a_stop_ends_the_run),
        TRIAL(memory_that_runs_out_ends_the_run),
        TRIAL(a_dropped_collection_goes_but_for_pins_and_root),
        TRIAL(a_switching_collection_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
