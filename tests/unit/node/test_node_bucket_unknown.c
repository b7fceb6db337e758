/* A change of the bucket's catalog whose answer is lost, another node's write on top, and then a
 * store that refuses for certain: what is known is told, and what is not is told as unknown. */
#include "tests/unit/node/nbucket.h"

#include <stdio.h>

enum what { CREATE, DROP, RENAME, ALIAS, SETTING, REPLACE, COLD, WHATS };

static const char BEFORE[] = "docs=5/MemoryS3 fresh=2/MemoryS3 a>docs ";
static const char *const AFTER[WHATS] = {
    [CREATE] = "docs=5/MemoryS3 fresh=2/MemoryS3 new=0/MemoryS3 a>docs ",
    [DROP] = "fresh=2/MemoryS3 ",
    [RENAME] = "fresh=2/MemoryS3 renamed=5/MemoryS3 a>renamed ",
    [ALIAS] = "docs=5/MemoryS3 fresh=2/MemoryS3 a>docs b>docs ",
    [SETTING] = BEFORE,
    [REPLACE] = "docs=2/MemoryS3 a>docs ",
    [COLD] = "docs=5/S3Only fresh=2/MemoryS3 a>docs ",
};

static void begin(struct nworld *w, const char *bucket, uint64_t seed)
{
    struct collection *c;

    nworld_init(w, true, seed);
    nworld_bucket(w, bucket);
    nworld_open(w);
    c = nmake(w, "docs", NODE_LOCAL);
    nput_range(c, 1, 5, 1);
    assert_int_equal(nsnapshot(c, NULL, NULL, NULL), ST_OK); /* shipped at once */
    assert_int_equal(nalias(w, "a", c, NULL), ST_OK);
    node_collection_unpin(c);
    c = nmake(w, "fresh", NODE_LOCAL);
    nput_range(c, 1, 2, 1);
    assert_int_equal(nsnapshot(c, NULL, NULL, NULL), ST_OK);
    node_collection_unpin(c);
    nsettled(w);
}

static void ask(struct nworld *w, enum what what, struct call *call)
{
    const struct collection_spec spec = {.name = "new",
                                         .dimension = NDIM,
                                         .metric = VMETRIC_L2,
                                         .threshold = 64,
                                         .policy = NODE_MEMORY_S3};
    const struct collection_patch rename = {.name = "renamed"};
    const struct collection_patch cold = {.policy = NODE_S3_ONLY};
    struct collection *docs = npin(w, "docs");
    struct collection *fresh = npin(w, "fresh");

    call_init(call);
    switch (what) {
    case CREATE:
        node_collection_create(w->node, &spec, call_admin_done, call);
        break;
    case DROP:
        node_collection_drop(w->node, docs, call_admin_done, call);
        break;
    case RENAME:
        node_collection_patch(w->node, docs, &rename, call_admin_done, call);
        break;
    case ALIAS:
        node_alias_set(w->node, "b", docs, call_admin_done, call);
        break;
    case SETTING:
        node_setting_put(w->node, docs, "note", slice_text("new"), call_admin_done, call);
        break;
    case REPLACE:
        node_collection_replace(w->node, fresh, "docs", call_admin_done, call);
        break;
    case COLD:
        node_collection_patch(w->node, docs, &cold, call_admin_done, call);
        break;
    case WHATS:
        fail();
    }
    node_collection_unpin(fresh);
    node_collection_unpin(docs);
}

static struct objstore_fault of_catalog(enum objstore_fault_kind kind, uint32_t nth)
{
    return (struct objstore_fault){.kind = kind,
                                   .ops = 1u << OBJSTORE_PUT,
                                   .key_prefix = OBJKEY_CATALOG,
                                   .nth = nth,
                                   .times = 1,
                                   .delay_ms = OBJSTORE_FAULT_HOLD};
}

/* The first PUT is lost as `lost` says; the same once more waits until the others have written. */
static void meet(struct nworld *w, enum what what, enum objstore_fault_kind lost,
                 void (*others)(struct nworld *), struct call *call)
{
    const size_t held = lost == OBJSTORE_FAULT_LATE ? 2 : 1;
    struct objstore_fault denied = objstore_fault_denied();

    (void)nfault(w, of_catalog(lost, 1));
    (void)nfault(w, of_catalog(OBJSTORE_FAULT_DELAY, 2));
    ask(w, what, call);
    neventually(objstore_faults_held(w->bucket) == held);
    others(w);
    denied.ops = 1u << OBJSTORE_PUT;
    denied.key_prefix = OBJKEY_CATALOG;
    (void)nfault(w, denied);
    assert_int_equal(objstore_faults_release(w->bucket), held);
    call_wait(call);
}

static bool note_is_new(struct nworld *w)
{
    struct collection *c = node_collection_pin(w->node, "docs", 4);
    struct slice value = {0};
    struct arena arena;
    bool is;

    arena_init(&arena, 1 << 16);
    is = c != NULL && node_setting(c, "note", &arena, &value, NULL) == ST_OK &&
         slice_equal(value, slice_text("new"));
    arena_free(&arena);
    node_collection_unpin(c);
    return is;
}

static bool is(struct nworld *w, enum what what, bool done)
{
    char text[NTEXT_BYTES];

    ntext(w, false, text);
    return strcmp(text, done ? AFTER[what] : BEFORE) == 0 &&
           (what != SETTING || note_is_new(w) == done);
}

/* Here, and after a start or on a fresh disk. */
static void stays(struct nworld *w, enum what what, bool done)
{
    neventually(is(w, what, done));
    if (what % 2 == 0)
        nworld_close(w);
    else
        nlose_disk(w);
    nworld_open(w);
    nsettled(w);
    neventually(is(w, what, done));
}

/* What a collection that may be gone must not do. */
static status write_docs(struct nworld *w, struct err *err)
{
    struct collection *c = npin(w, "docs");
    status st = nput(c, 5, 1, err); /* as it is there */

    node_collection_unpin(c);
    return st;
}

static void nothing(struct catalog *catalog, void *arg)
{
    (void)catalog;
    (void)arg;
}

static void write_once(struct nworld *w)
{
    nchange_catalog(w, nothing, NULL);
}

static void write_twice(struct nworld *w)
{
    write_once(w);
    write_once(w);
}

/* The change stands in what the other wrote: it need not be written again. */
static void a_change_that_another_wrote_upon_is_done(void **state)
{
    (void)state;
    for (enum what what = CREATE; what < WHATS; what++) {
        struct nworld w;
        struct call call;

        begin(&w, "upon", 1 + what);
        meet(&w, what, OBJSTORE_FAULT_LOSE, write_once, &call);
        if (call.st != ST_OK)
            fail_msg("what=%d: %s", (int)what, call.err.text);
        assert_true(is(&w, what, true));
        objstore_faults_clear(w.bucket);
        stays(&w, what, true);
        nworld_fini(&w);
    }
}

/* It is not there, and of several revisions one may have been ours. */
static void a_lost_answer_is_not_forgotten_for_what_others_wrote(void **state)
{
    (void)state;
    for (enum what what = CREATE; what < WHATS; what++) {
        struct nworld w;
        struct call call;

        begin(&w, "others", 11 + what);
        meet(&w, what, OBJSTORE_FAULT_LATE, write_twice, &call);
        if (call.st != ST_UNKNOWN)
            fail_msg("what=%d st=%d: %s", (int)what, (int)call.st, call.err.text);
        if (what == DROP || what == REPLACE) {
            struct err err = {0};

            assert_int_equal(write_docs(&w, &err), ST_UNAVAILABLE);
            assert_non_null(strstr(err.text, "being dropped"));
        }
        objstore_faults_clear(w.bucket);
        stays(&w, what, false);
        neventually(write_docs(&w, NULL) == ST_OK);
        nworld_fini(&w);
    }
}

/* The revision that it wanted to be is another's. */
static void a_change_that_certainly_was_not_made_is_told_as_what_refused_it(void **state)
{
    (void)state;
    for (enum what what = CREATE; what < WHATS; what++) {
        struct nworld w;
        struct call call;

        begin(&w, "not-made", 21 + what);
        meet(&w, what, OBJSTORE_FAULT_LATE, write_once, &call);
        if (call.st != ST_DENIED)
            fail_msg("what=%d st=%d: %s", (int)what, (int)call.st, call.err.text);
        assert_int_equal(write_docs(&w, NULL), ST_OK);
        objstore_faults_clear(w.bucket);
        stays(&w, what, false);
        nworld_fini(&w);
    }
}

static void drop_docs(struct catalog *catalog, void *arg)
{
    static const uint8_t database[16];
    uint8_t id[16];

    (void)arg;
    memcpy(id, catalog_find_name(catalog, database, "renamed")->id, sizeof id);
    assert_int_equal(catalog_remove_collection(catalog, id, 1, NULL), ST_OK);
}

static void drop_it(struct nworld *w)
{
    nchange_catalog(w, drop_docs, NULL);
}

/* It was made, and then what it changed went: the change itself fails the second time. */
static void a_change_that_cannot_be_made_again_may_have_been_made(void **state)
{
    struct nworld w;
    struct call call;

    (void)state;
    begin(&w, "gone", 31);
    meet(&w, RENAME, OBJSTORE_FAULT_LOSE, drop_it, &call);
    if (call.st != ST_UNKNOWN)
        fail_msg("st=%d: %s", (int)call.st, call.err.text);
    objstore_faults_clear(w.bucket);
    neventually(!nthere(&w, "docs"));
    assert_false(nthere(&w, "renamed"));
    nworld_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_that_another_wrote_upon_is_done),
        cmocka_unit_test(a_lost_answer_is_not_forgotten_for_what_others_wrote),
        cmocka_unit_test(a_change_that_certainly_was_not_made_is_told_as_what_refused_it),
        cmocka_unit_test(a_change_that_cannot_be_made_again_may_have_been_made),
    };

    nlog();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
