/* A collection takes another's place: name and aliases at once, through a restart, a full disk and
 * a crash at every effect on the disk, and with the bucket's catalog where either is bucket-backed.
 */
#include "tests/unit/node/nbucket.h"

#include <errno.h>
#include <stdio.h>

enum { DIM = 4 };

static struct collection *create(struct nworld *w, const char *name, enum node_policy policy,
                                 uint64_t documents)
{
    const struct collection_spec spec = {
        .name = name, .dimension = DIM, .metric = VMETRIC_L2, .policy = policy};
    struct collection *c;
    struct call call;

    call_init(&call);
    node_collection_create(w->node, &spec, call_admin_done, &call);
    call_wait(&call);
    assert_int_equal(call.st, ST_OK);
    c = npin(w, name);
    for (uint64_t id = 1; id <= documents; id++)
        assert_int_equal(nput(c, id, 7, NULL), ST_OK);
    return c;
}

static status replace(struct nworld *w, struct collection *fresh, const char *name, struct err *err)
{
    struct call call;

    call_init(&call);
    node_collection_replace(w->node, fresh, name, call_admin_done, &call);
    call_wait(&call);
    *err = call.err;
    return call.st;
}

static void holds(struct nworld *w, const char *want)
{
    char text[NTEXT_BYTES];

    ntext(w, false, text);
    assert_string_equal(text, want);
}

/* "c" with an alias, and "d", which is to take its place; d is pinned. */
static struct collection *begin(struct nworld *w, enum node_policy old, enum node_policy fresh)
{
    struct collection *c = create(w, "c", old, 1);
    struct err err = {0};

    assert_int_equal(nalias(w, "a", c, &err), ST_OK);
    node_collection_unpin(c);
    return create(w, "d", fresh, 2);
}

static const char BEFORE[] = "c=1/Memory d=2/Memory a>c ";
static const char AFTER[] = "c=2/Memory a>c ";
static const char BEFORE_S3[] = "c=1/MemoryS3 d=2/MemoryS3 a>c ";
static const char AFTER_S3[] = "c=2/MemoryS3 a>c ";

static void name_and_aliases_go_over(void **state)
{
    struct collection *fresh;
    struct nworld w;
    struct err err = {0};

    (void)state;
    nworld_init(&w, false, 1);
    nworld_open(&w);
    fresh = begin(&w, NODE_MEMORY, NODE_MEMORY);
    holds(&w, BEFORE);
    assert_int_equal(replace(&w, fresh, "a", &err), ST_EXISTS);
    assert_int_equal(replace(&w, fresh, "x/y", &err), ST_INVALID);
    holds(&w, BEFORE);
    assert_int_equal(replace(&w, fresh, "c", &err), ST_OK);
    holds(&w, AFTER);
    assert_int_equal(replace(&w, fresh, "c", &err), ST_OK); /* it has it already */
    assert_int_equal(nput(fresh, 9, 9, &err), ST_OK);
    assert_int_equal(replace(&w, fresh, "e", &err), ST_OK); /* nobody's */
    holds(&w, "e=3/Memory a>e ");
    node_collection_unpin(fresh);
    nworld_close(&w);
    nworld_open(&w);
    holds(&w, "e=3/Memory a>e ");
    nworld_fini(&w);
}

static void of_two_at_once_one_wins(void **state)
{
    struct collection *fresh, *other;
    struct call first, second;
    struct nworld w;
    struct err err = {0};

    (void)state;
    nworld_init(&w, false, 2);
    nworld_open(&w);
    fresh = begin(&w, NODE_MEMORY, NODE_MEMORY);
    other = create(&w, "f", NODE_MEMORY, 3);
    call_init(&first);
    call_init(&second);
    node_collection_replace(w.node, fresh, "c", call_admin_done, &first);
    node_collection_replace(w.node, other, "c", call_admin_done, &second);
    call_wait(&first);
    call_wait(&second);
    assert_int_equal(first.st, ST_OK);
    assert_int_equal(second.st, ST_OK);
    holds(&w, "c=3/Memory a>c ");
    assert_int_equal(replace(&w, fresh, "c", &err), ST_NOT_FOUND); /* it was replaced itself */
    node_collection_unpin(fresh);
    node_collection_unpin(other);
    nworld_fini(&w);
}

static void a_full_disk_changes_nothing(void **state)
{
    const struct fs_sim_fault full = {
        .op = FS_SIM_EFFECT, .nth = 1, .errnum = ENOSPC, .for_ever = true, .path_part = "catalog"};
    struct collection *fresh;
    struct nworld w;
    struct err err = {0};

    (void)state;
    nworld_init(&w, true, 3);
    nworld_open(&w);
    fresh = begin(&w, NODE_MEMORY, NODE_MEMORY);
    fs_sim_fail(w.sim, &full);
    assert_int_not_equal(replace(&w, fresh, "c", &err), ST_OK);
    holds(&w, BEFORE);
    fs_sim_fail_clear(w.sim);
    assert_int_equal(replace(&w, fresh, "c", &err), ST_OK);
    holds(&w, AFTER);
    node_collection_unpin(fresh);
    nworld_fini(&w);
}

/* Power is cut at each effect in turn, until one replacement comes through. */
static void a_crash_leaves_one_or_the_other(void **state)
{
    bool was_old = false;
    status st = ST_IO;

    (void)state;
    for (uint64_t effects = 0; effects < 40 && st != ST_OK; effects++) {
        struct collection *fresh;
        char text[NTEXT_BYTES];
        struct nworld w;
        struct err err = {0};

        nworld_init(&w, true, 100 + effects);
        nworld_open(&w);
        fresh = begin(&w, NODE_MEMORY, NODE_MEMORY);
        fs_sim_stop_after(w.sim, effects);
        st = replace(&w, fresh, "c", &err);
        node_collection_unpin(fresh);
        nworld_power_cut(&w);
        nworld_open(&w);
        ntext(&w, false, text);
        if (strcmp(text, AFTER) != 0 && (st == ST_OK || strcmp(text, BEFORE) != 0))
            fail_msg("after %d effects: %s", (int)effects, text);
        was_old = was_old || strcmp(text, BEFORE) == 0;
        nworld_fini(&w);
    }
    assert_int_equal(st, ST_OK);
    assert_true(was_old);
}

static void the_bucket_knows(void **state)
{
    static const struct {
        enum node_policy old, fresh;
        const char *after, *bucket;
    } cases[] = {
        {NODE_MEMORY_S3, NODE_MEMORY_S3, "c=2/MemoryS3 a>c ", "c=2/MemoryS3 a>c "},
        {NODE_MEMORY_S3, NODE_MEMORY, "c=2/Memory a>c ", ""},
        {NODE_MEMORY, NODE_MEMORY_S3, "c=2/MemoryS3 a>c ", "c=2/MemoryS3 a>c "},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct collection *fresh;
        struct nworld w;
        struct err err = {0};
        unsigned away;

        nworld_init(&w, false, 10 + i);
        nworld_bucket(&w, "replace");
        nworld_open(&w);
        fresh = begin(&w, cases[i].old, cases[i].fresh);
        nall_shipped(&w);
        away = nfault(&w, objstore_fault_outage());
        (void)away;
        assert_int_not_equal(replace(&w, fresh, "c", &err), ST_OK);
        objstore_faults_clear(w.bucket);
        neventually(replace(&w, fresh, "c", &err) == ST_OK);
        holds(&w, cases[i].after);
        assert_int_equal(nput(fresh, 1, 8, &err), ST_OK);
        node_collection_unpin(fresh);
        nall_shipped(&w);
        nlose_disk(&w);
        nworld_open(&w);
        nsettled(&w);
        holds(&w, cases[i].bucket);
        nworld_fini(&w);
    }
}

static bool is_done(struct call *call)
{
    bool done;

    lock_take(&call->lock);
    done = call->done;
    lock_drop(&call->lock);
    return done;
}

static bool is_settled(struct nworld *w, status st, char text[NTEXT_BYTES])
{
    ntext(w, false, text);
    return strcmp(text, AFTER_S3) == 0 || (st != ST_OK && strcmp(text, BEFORE_S3) == 0);
}

/* The process dies at each request to the bucket in turn, before or after it took effect. */
static void a_death_between_the_catalogs_is_settled(void **state)
{
    bool done = false;

    (void)state;
    for (uint64_t n = 1; n < 40 && !done; n++) {
        for (int after_effect = 0; after_effect < 2; after_effect++) {
            struct collection *fresh;
            char text[NTEXT_BYTES] = "";
            struct nworld w;
            struct nkill k;
            struct call call;
            status st;

            nworld_init(&w, true, 200 + 2 * n + (uint64_t)after_effect);
            nworld_bucket(&w, "replace-kill");
            nkill_init(&k, &w);
            nworld_open(&w);
            fresh = begin(&w, NODE_MEMORY_S3, NODE_MEMORY_S3);
            nall_shipped(&w);
            nsettled(&w);
            nkill_arm(&k, n, after_effect != 0);
            call_init(&call);
            node_collection_replace(w.node, fresh, "c", call_admin_done, &call);
            neventually(nkill_dead(&k) || is_done(&call));
            done = done || !nkill_dead(&k);
            node_collection_unpin(fresh);
            nkill_bury(&k);
            call_wait(&call);
            st = call.st;
            nworld_open(&w);
            nsettled(&w);
            for (int i = 0; i < 6000 && !is_settled(&w, st, text); i++)
                npause_ms(10);
            if (!is_settled(&w, st, text))
                fail_msg("request %d, %d: %s", (int)n, after_effect, text);
            nworld_fini(&w);
        }
    }
    assert_true(done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_and_aliases_go_over),
        cmocka_unit_test(of_two_at_once_one_wins),
        cmocka_unit_test(a_full_disk_changes_nothing),
        cmocka_unit_test(a_crash_leaves_one_or_the_other),
        cmocka_unit_test(the_bucket_knows),
        cmocka_unit_test(a_death_between_the_catalogs_is_settled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
