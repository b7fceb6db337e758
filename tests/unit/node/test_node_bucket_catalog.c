/* Changes of the catalog of a node with a bucket, cut short at every effect on the disk and at
 * every request to the store, and failed at every request: what was acknowledged holds, what was
 * refused does not, what is unknown is one of the two for ever, and the bucket alone says the same.
 *
 * Arguments: the name of one test, or "*"; then "all" for every step instead of a part. */
#include "tests/unit/node/nbucket.h"

#include <stdatomic.h>
#include <stdio.h>

enum { DIM = 4, DOCS = 3, STEPS_MAX = 400, PATIENCE = 3000 };

enum catalog_step { CREATE, RENAME, ALIAS_SET, ALIAS_MOVE, ALIAS_REMOVE, DROP, SWITCH, SETTING };
/* How the n-th step goes wrong. */
enum trouble {
    DISK_STOPS,  /* power fails at the n-th effect on the disk */
    REFUSED,     /* the n-th request: not now */
    DENIED,      /* 403 */
    ANSWER_LOST, /* took effect */
    DIES_BEFORE, /* the process dies as the n-th request is on its way */
    DIES_AFTER,  /* the same, and the request arrives */
    TROUBLES
};

struct world {
    struct nworld w;
    struct nkill kill;
    enum catalog_step what;
    enum trouble trouble;
    uint64_t n;
};

static void put_docs(struct collection *c)
{
    struct err err = {0};

    for (uint64_t id = 1; id <= DOCS; id++) {
        if (nput(c, id, 7, &err) != ST_OK)
            fail_msg("put: %s", err.text);
    }
}

static void make_named(struct nworld *w, const char *name, bool backed, bool docs)
{
    struct collection *c;
    struct err err = {0};
    status st = backed ? ncreate_s3(w, name, DIM, NODE_LOCAL, &err)
                       : ncreate(w, name, DIM, VMETRIC_L2, UINT32_MAX, &err);

    if (st != ST_OK)
        fail_msg("create %s: %s", name, err.text);
    c = npin(w, name);
    if (docs)
        put_docs(c);
    node_collection_unpin(c);
}

static void drop_named(struct nworld *w, const char *name)
{
    struct collection *c = node_collection_pin(w->node, name, strlen(name));
    struct err err = {0};

    if (c == NULL)
        return;
    if (ndrop(w, c, &err) != ST_OK)
        fail_msg("drop %s: %s", name, err.text);
    node_collection_unpin(c);
}

/* What stands before a change and after it. */
static const char *text_before(enum catalog_step what)
{
    static const char *const texts[] = {
        [CREATE] = "base=3/MemoryS3 ",
        [RENAME] = "base=3/MemoryS3 victim=3/MemoryS3 alias>victim ",
        [ALIAS_SET] = "base=3/MemoryS3 ",
        [ALIAS_MOVE] = "base=3/MemoryS3 victim=3/MemoryS3 alias>victim ",
        [ALIAS_REMOVE] = "base=3/MemoryS3 victim=3/MemoryS3 alias>victim ",
        [DROP] = "base=3/MemoryS3 victim=3/MemoryS3 alias>victim ",
        [SWITCH] = "base=3/MemoryS3 victim=3/Memory ",
        [SETTING] = "base=3/MemoryS3 victim=3/MemoryS3 note=- ",
    };

    return texts[what];
}

static const char *text_after(enum catalog_step what)
{
    static const char *const texts[] = {
        [CREATE] = "base=3/MemoryS3 new=0/MemoryS3 ",
        [RENAME] = "base=3/MemoryS3 renamed=3/MemoryS3 alias>renamed ",
        [ALIAS_SET] = "base=3/MemoryS3 alias>base ",
        [ALIAS_MOVE] = "base=3/MemoryS3 victim=3/MemoryS3 alias>base ",
        [ALIAS_REMOVE] = "base=3/MemoryS3 victim=3/MemoryS3 ",
        [DROP] = "base=3/MemoryS3 ",
        [SWITCH] = "base=3/MemoryS3 victim=3/MemoryS3 ",
        [SETTING] = "base=3/MemoryS3 victim=3/MemoryS3 note=new ",
    };

    return texts[what];
}

static void at_fault(const struct world *t, const char *what, const char *text)
{
    fail_msg("%s: \"%s\"; change=%d trouble=%d n=%llu seed=%llu", what, text, (int)t->what,
             (int)t->trouble, (unsigned long long)t->n, (unsigned long long)t->w.seed);
}

/* ntext(), and where settings are changed victim's. */
static void describe(struct world *t, bool backed, char out[NTEXT_BYTES])
{
    struct collection *c = node_collection_pin(t->w.node, "victim", strlen("victim"));
    struct slice value;
    struct arena arena;

    ntext(&t->w, backed, out);
    arena_init(&arena, 1 << 16);
    if (c != NULL && t->what == SETTING) {
        if (node_setting(c, "note", &arena, &value, NULL) != ST_OK)
            value = slice_text("-");
        (void)snprintf(out + strlen(out), NTEXT_BYTES - strlen(out), "note=%.*s ", (int)value.bytes,
                       (const char *)value.data);
    }
    arena_free(&arena);
    node_collection_unpin(c);
}

/* Every change that this takes has to work, whatever went before. */
static void prepare(struct world *t)
{
    struct nworld *w = &t->w;
    char text[NTEXT_BYTES];
    struct collection *c;

    drop_named(w, "new");
    drop_named(w, "renamed");
    drop_named(w, "victim");
    if (nthere(w, "alias"))
        assert_int_equal(nalias(w, "alias", NULL, NULL), ST_OK);
    if (t->what != CREATE && t->what != ALIAS_SET)
        make_named(w, "victim", t->what != SWITCH, true);
    if (strstr(text_before(t->what), "alias>victim") != NULL) {
        c = npin(w, "victim");
        assert_int_equal(nalias(w, "alias", c, NULL), ST_OK);
        node_collection_unpin(c);
    }
    nall_shipped(w);
    describe(t, false, text);
    if (strcmp(text, text_before(t->what)) != 0)
        at_fault(t, "not what was prepared", text);
}

/* --- the change --- */

static void begin(struct world *t, struct call *call)
{
    const struct collection_spec spec = {.name = "new",
                                         .dimension = DIM,
                                         .metric = VMETRIC_L2,
                                         .threshold = 64,
                                         .policy = NODE_MEMORY_S3};
    const struct collection_patch rename = {.name = "renamed"};
    const struct collection_patch policy = {.policy = NODE_MEMORY_S3};
    struct nworld *w = &t->w;
    struct collection *base = npin(w, "base");
    struct collection *victim = node_collection_pin(w->node, "victim", strlen("victim"));

    call_init(call);
    switch (t->what) {
    case CREATE:
        node_collection_create(w->node, &spec, call_admin_done, call);
        break;
    case RENAME:
        node_collection_patch(w->node, victim, &rename, call_admin_done, call);
        break;
    case ALIAS_SET:
    case ALIAS_MOVE:
        node_alias_set(w->node, "alias", base, call_admin_done, call);
        break;
    case ALIAS_REMOVE:
        node_alias_remove(w->node, "alias", call_admin_done, call);
        break;
    case DROP:
        node_collection_drop(w->node, victim, call_admin_done, call);
        break;
    case SWITCH:
        node_collection_patch(w->node, victim, &policy, call_admin_done, call);
        break;
    case SETTING:
        node_setting_put(w->node, victim, "note", slice_text("new"), call_admin_done, call);
        break;
    }
    node_collection_unpin(victim);
    node_collection_unpin(base);
}

static bool is_done(struct call *call)
{
    bool done;

    lock_take(&call->lock);
    done = call->done;
    lock_drop(&call->lock);
    return done;
}

static bool is_dead(const struct world *t)
{
    return fs_sim_stopped(t->w.sim) || nkill_dead(&t->kill);
}

static bool is_switching(struct nworld *w)
{
    struct collection *c = node_collection_pin(w->node, "victim", strlen("victim"));
    bool is = c != NULL && ninfo(c).switching;

    node_collection_unpin(c);
    return is;
}

static bool is_in_catalog(struct nworld *w, const char *name)
{
    struct catalog catalog;
    bool is = false;

    if (bucket_catalog_read(w->node, &catalog, NULL) == ST_OK)
        for (size_t i = 0; i < catalog.collection_count; i++)
            is = is || strcmp(catalog.collections[i].name, name) == 0;
    catalog_free(&catalog);
    return is;
}

/* Also what goes on behind the answer. Returns whether it was answered by a living process. */
static bool run_change(struct world *t, struct call *call, bool *died)
{
    bool answered;

    begin(t, call);
    neventually(is_done(call) || is_dead(t));
    answered = is_done(call) && (call->st == ST_OK || !is_dead(t));
    if (t->what == SWITCH && call->done && call->st == ST_OK)
        neventually(is_dead(t) || (!is_switching(&t->w) && is_in_catalog(&t->w, "victim")));
    if (t->what == DROP && call->done && call->st == ST_OK) { /* files go */
        struct collection *c = npin(&t->w, "base");

        (void)ncheckpoint(c, NULL);
        node_collection_unpin(c);
    }
    *died = is_dead(t);
    return answered;
}

static void arm(struct world *t, unsigned *fault)
{
    struct objstore_fault plan = {.nth = (uint32_t)t->n};

    switch (t->trouble) {
    case DISK_STOPS:
        fs_sim_stop_after(t->w.sim, t->n - 1);
        return;
    case DIES_BEFORE:
    case DIES_AFTER:
        nkill_arm(&t->kill, t->n, t->trouble == DIES_AFTER);
        return;
    case REFUSED:
        break;
    case DENIED:
        plan = objstore_fault_denied();
        plan.nth = (uint32_t)t->n;
        plan.times = 1;
        break;
    case ANSWER_LOST:
        plan.kind = OBJSTORE_FAULT_LOSE;
        break;
    case TROUBLES:
        fail();
    }
    assert_int_equal(objstore_faults_add(t->w.bucket, &plan, fault, NULL), ST_OK);
}

static bool was_met(struct world *t, bool died, unsigned fault)
{
    if (t->trouble == REFUSED || t->trouble == DENIED || t->trouble == ANSWER_LOST)
        return objstore_faults_met(t->w.bucket, fault) > 0;
    return died;
}

/* --- what must hold --- */

struct allowed {
    const char *texts[2];
    size_t count;
};

static bool is_allowed(const struct allowed *a, const char *text)
{
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(text, a->texts[i]) == 0)
            return true;
    }
    return false;
}

static void docs_are_whole(struct world *t)
{
    static const char *const names[] = {"base", "victim", "renamed", "new"};

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct collection *c = node_collection_pin(t->w.node, names[i], strlen(names[i]));

        for (uint64_t id = 1; c != NULL && ncount(c) > 0 && id <= DOCS; id++) {
            if (nversion(c, id) != 7)
                at_fault(t, "a document is missing", names[i]);
        }
        node_collection_unpin(c);
    }
}

/* What the node holds comes to one of the two; out: to which. */
static void holds(struct world *t, const struct allowed *a, bool backed, const char *when,
                  char out[NTEXT_BYTES])
{
    nsettled(&t->w);
    for (int i = 0; i < PATIENCE; i++) {
        describe(t, backed, out);
        if (is_allowed(a, out)) {
            docs_are_whole(t);
            return;
        }
        npause_ms(i < 100 ? 1 : 10);
    }
    at_fault(t, when, out);
}

static bool is_healthy(struct nworld *w, char reason[256])
{
    struct node_health health;

    node_health(w->node, &health);
    (void)snprintf(reason, 256, "%.255s", health.degraded ? health.reasons[0] : "");
    return !health.degraded;
}

static void becomes_healthy(struct world *t)
{
    char reason[256] = "";

    for (int i = 0; i < PATIENCE; i++) {
        if (is_healthy(&t->w, reason))
            return;
        npause_ms(i < 100 ? 1 : 10);
    }
    at_fault(t, "not healthy", reason);
}

static void restart(struct world *t)
{
    nkill_bury(&t->kill);
    nworld_open(&t->w);
}

/* A start on the same disk, another one, and the bucket alone. */
static void all_agree(struct world *t, const struct allowed *a)
{
    char first[NTEXT_BYTES];
    char backed[NTEXT_BYTES];
    char again[NTEXT_BYTES];
    struct allowed same = {.texts = {first}, .count = 1};

    nworld_open(&t->w);
    holds(t, a, false, "after the restart", first);
    becomes_healthy(t);
    nall_shipped(&t->w);
    restart(t);
    holds(t, &same, false, "after another restart", again);
    becomes_healthy(t);
    nall_shipped(&t->w);
    describe(t, true, backed);
    same.texts[0] = backed;
    nlose_disk(&t->w);
    nworld_open(&t->w);
    holds(t, &same, true, "from the bucket alone", again);
    becomes_healthy(t);
}

/* The disk went with the process. A switch that is not published, or that the bucket's catalog was
 * not told of, has left nothing to come back from. */
static void bucket_agrees(struct world *t, bool acknowledged, bool complete)
{
    static const char nothing[] = "base=3/MemoryS3 ";
    struct allowed a = {.texts = {text_before(t->what), text_after(t->what)}, .count = 2};
    char text[NTEXT_BYTES];

    if (acknowledged)
        a = (struct allowed){.texts = {text_after(t->what)}, .count = 1};
    if (t->what == SWITCH && complete)
        a = (struct allowed){.texts = {text_after(SWITCH)}, .count = 1};
    else if (t->what == SWITCH)
        a = (struct allowed){.texts = {nothing, text_after(SWITCH)}, .count = 2};
    nlose_disk(&t->w);
    nworld_open(&t->w);
    if (t->what == SWITCH && !complete && nthere(&t->w, "victim")) {
        struct collection *c = npin(&t->w, "victim");

        neventually(strcmp(ninfo(c).state, "loading") != 0);
        if (strcmp(ninfo(c).state, "failed") == 0) { /* and says why */
            assert_non_null(strstr(ninfo(c).reason, "not yet restorable"));
            node_collection_unpin(c);
            return;
        }
        node_collection_unpin(c);
    }
    holds(t, &a, true, "from the bucket alone, at once", text);
}

/* Returns whether the trouble was met. */
static bool one(struct world *t, bool disk_lost)
{
    struct allowed a = {.texts = {text_before(t->what), text_after(t->what)}, .count = 2};
    char text[NTEXT_BYTES];
    struct call call;
    unsigned fault = 0;
    bool died, answered, complete, met;

    prepare(t);
    arm(t, &fault);
    answered = run_change(t, &call, &died);
    met = was_met(t, died, fault);
    complete = !died && t->what == SWITCH && !is_switching(&t->w);
    if (answered && call.st == ST_OK)
        a = (struct allowed){.texts = {text_after(t->what)}, .count = 1};
    else if (answered && call.st != ST_UNKNOWN)
        a = (struct allowed){.texts = {text_before(t->what)}, .count = 1};
    if (!met && !(answered && call.st == ST_OK))
        at_fault(t, "refused without a reason", call.err.text);
    if (answered && !died)
        holds(t, &a, false, "at once", text);
    nkill_bury(&t->kill);
    call_wait(&call);
    if (disk_lost)
        bucket_agrees(t, answered && call.st == ST_OK, complete && call.st == ST_OK);
    else
        all_agree(t, &a);
    return met;
}

static void begin_world(struct world *t, enum catalog_step what, enum trouble trouble,
                        uint64_t seed)
{
    char name[64];

    memset(t, 0, sizeof *t);
    t->what = what;
    t->trouble = trouble;
    (void)snprintf(name, sizeof name, "catalog-%llu", (unsigned long long)seed);
    nworld_init(&t->w, true, seed);
    nworld_bucket(&t->w, name);
    nkill_init(&t->kill, &t->w);
    nworld_open(&t->w);
    make_named(&t->w, "base", true, true);
}

static bool all_steps; /* else as many as a minute has room for */

/* every: so many steps are left out between two that are tried. */
static void each_step(enum catalog_step what, unsigned every)
{
    if (all_steps)
        every = 1;
    for (int trouble = 0; trouble < TROUBLES; trouble++) {
        uint64_t seed = 100 * ((uint64_t)what + 1) + 10 * (uint64_t)trouble;
        struct world t;
        bool met = true;
        uint64_t tries = 0;

        begin_world(&t, what, (enum trouble)trouble, seed);
        for (t.n = 1; met && t.n < STEPS_MAX; t.n += every, tries++) {
            met = one(&t, tries % 2 == 1);
            if (all_steps)
                met = one(&t, tries % 2 == 0) || met;
        }
        assert_true(t.n > 2 && t.n < STEPS_MAX);
        nworld_fini(&t.w);
    }
}

static void a_create_is_there_whole_or_not_at_all(void **state)
{
    (void)state;
    each_step(CREATE, 4);
}

static void a_rename_has_one_of_the_two_names(void **state)
{
    (void)state;
    each_step(RENAME, 3);
}

static void an_alias_is_set_or_not(void **state)
{
    (void)state;
    each_step(ALIAS_SET, 3);
}

static void an_alias_that_moves_stands_for_one_of_the_two(void **state)
{
    (void)state;
    each_step(ALIAS_MOVE, 3);
}

static void an_alias_is_removed_or_not(void **state)
{
    (void)state;
    each_step(ALIAS_REMOVE, 3);
}

static void a_drop_is_done_or_not_begun(void **state)
{
    (void)state;
    each_step(DROP, 4);
}

static void a_switch_is_done_in_the_end_or_not_begun(void **state)
{
    (void)state;
    each_step(SWITCH, 6);
}

static void a_setting_is_put_or_not(void **state)
{
    (void)state;
    each_step(SETTING, 3);
}

static void a_catalog_damaged_on_its_way_is_read_once_more(void **state)
{
    struct objstore_fault damage = {
        .kind = OBJSTORE_FAULT_CORRUPT, .ops = 1u << OBJSTORE_GET, .key_part = "catalog"};
    struct nworld w;
    struct collection *c;
    struct err err = {0};

    (void)state;
    nworld_init(&w, false, 31);
    nworld_bucket(&w, "damaged-catalog");
    nworld_open(&w);
    make_named(&w, "base", true, false);
    c = npin(&w, "base");
    for (int i = 0; i < 5; i++) {
        (void)nfault(&w, damage);
        if (nalias(&w, "alias", c, &err) != ST_OK)
            fail_msg("%s", err.text);
        assert_int_equal(nalias(&w, "alias", NULL, &err), ST_OK);
        objstore_faults_clear(w.bucket);
    }
    damage.times = OBJSTORE_FAULT_FOR_EVER;
    (void)nfault(&w, damage);
    assert_int_equal(nalias(&w, "alias", c, &err), ST_CORRUPT);
    node_collection_unpin(c);
    nworld_close(&w);
    nworld_fini(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_create_is_there_whole_or_not_at_all),
        cmocka_unit_test(a_rename_has_one_of_the_two_names),
        cmocka_unit_test(an_alias_is_set_or_not),
        cmocka_unit_test(an_alias_that_moves_stands_for_one_of_the_two),
        cmocka_unit_test(an_alias_is_removed_or_not),
        cmocka_unit_test(a_drop_is_done_or_not_begun),
        cmocka_unit_test(a_switch_is_done_in_the_end_or_not_begun),
        cmocka_unit_test(a_setting_is_put_or_not),
        cmocka_unit_test(a_catalog_damaged_on_its_way_is_read_once_more),
    };

    nlog();
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    all_steps = argc > 2 && strcmp(argv[2], "all") == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
