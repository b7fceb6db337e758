/* What a node takes over from the bucket's catalog, and what it does not let itself be taken: a
 * change that was acknowledged stands, whenever the catalog was read. */
#include "tests/unit/node/nbucket.h"

#include <errno.h>
#include <stdatomic.h>

enum { DIM = 4 };

/* The catalog is read now; what was read waits behind what is queued on the held thread. */
static void read_catalog(struct nworld *w)
{
    size_t before = nqueued(w);

    atomic_store(&w->node->sync_wanted, true);
    neventually(nqueued(w) == before + 1);
}

/* --- changes --- */

static void put_setting(struct nworld *w, struct collection *c, const char *value,
                        struct call *call)
{
    call_init(call);
    node_setting_put(w->node, c, "note", slice_text(value), call_admin_done, call);
}

static bool note_is(struct collection *c, const char *want)
{
    struct slice value = {0};
    struct arena arena;
    bool is;

    arena_init(&arena, 1 << 16);
    is = node_setting(c, "note", &arena, &value, NULL) == ST_OK &&
         slice_equal(value, slice_text(want));
    arena_free(&arena);
    return is;
}

static void patch(struct nworld *w, struct collection *c, const struct collection_patch *p,
                  struct call *call)
{
    call_init(call);
    node_collection_patch(w->node, c, p, call_admin_done, call);
}

/* Read before the changes, taken over after them. */
static void an_acknowledged_change_outlasts_a_read_that_began_before_it(void **state)
{
    const struct collection_patch p = {
        .name = "renamed", .ef_search = 77, .durability = NODE_REMOTE};
    struct node_alias aliases[4];
    struct collection_info info;
    struct call calls[4];
    struct nhold hold;
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, false, 1);
    nworld_bucket(&w, "stale-read");
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    assert_int_equal(nalias(&w, "gone", c, NULL), ST_OK);
    nsettled(&w);
    nhold_meta(&w, &hold);
    put_setting(&w, c, "new", &calls[0]);
    patch(&w, c, &p, &calls[1]);
    call_init(&calls[2]);
    node_alias_set(w.node, "alias", c, call_admin_done, &calls[2]);
    call_init(&calls[3]);
    node_alias_remove(w.node, "gone", call_admin_done, &calls[3]);
    read_catalog(&w);
    nlet_go(&hold);
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        call_wait(&calls[i]);
        assert_int_equal(calls[i].st, ST_OK);
    }
    nlet_through(&w, &hold);
    info = ninfo(c);
    assert_string_equal(info.name, "renamed");
    assert_int_equal(info.ef_search, 77);
    assert_string_equal(info.durability, "remote");
    assert_true(note_is(c, "new"));
    assert_int_equal(node_alias_list(w.node, NULL, aliases, 4), 1);
    assert_string_equal(aliases[0].alias, "alias");
    assert_string_equal(aliases[0].collection, "renamed");
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* What is old is read again before it is taken over; without the bucket it is left for later. */
static void a_read_that_is_old_is_done_again(void **state)
{
    struct objstore_fault outage = objstore_fault_outage();
    struct nworld w;
    struct nhold hold;
    struct collection *c;
    struct call call;
    unsigned fault;

    (void)state;
    outage.key_prefix = OBJKEY_CATALOG;
    outage.ops = 1u << OBJSTORE_GET;
    nworld_init(&w, false, 2);
    nworld_bucket(&w, "read-again");
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    nsettled(&w);
    nhold_meta(&w, &hold);
    read_catalog(&w);
    atomic_fetch_add(&w.node->catalog_changes, 1); /* as a change does */
    fault = nfault(&w, outage);
    nlet_go(&hold);
    nlet_through(&w, &hold);
    neventually(objstore_faults_met(w.bucket, fault) > 0);
    objstore_faults_clear(w.bucket);
    put_setting(&w, c, "new", &call);
    call_wait(&call);
    assert_int_equal(call.st, ST_OK);
    nsettled(&w); /* it was taken over then */
    assert_true(note_is(c, "new"));
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* --- a collection that the bucket's catalog was not told of --- */

static struct objstore_fault catalog_denied(void)
{
    struct objstore_fault f = objstore_fault_denied();

    f.key_prefix = OBJKEY_CATALOG;
    f.ops = 1u << OBJSTORE_PUT;
    return f;
}

/* Switched, with an alias; the bucket's catalog takes nothing. */
static struct collection *switch_untold(struct nworld *w, const char *bucket, uint64_t seed)
{
    struct collection *c;

    nworld_init(w, false, seed);
    nworld_bucket(w, bucket);
    nworld_open(w);
    assert_int_equal(ncreate(w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(w, "docs");
    nput_range(c, 1, 5, 1);
    assert_int_equal(nalias(w, "alias", c, NULL), ST_OK);
    nsettled(w);
    (void)nfault(w, catalog_denied());
    assert_int_equal(npatch_policy(w, c, NODE_MEMORY_S3, NULL), ST_OK);
    return c;
}

static void comes_back_whole(struct nworld *w, const char *note)
{
    struct node_alias aliases[4];
    struct collection *c;

    for (int i = 0; i < 2; i++) {
        if (i == 0)
            nworld_close(w);
        else
            nlose_disk(w);
        nworld_open(w);
        nsettled(w);
        c = npin(w, "docs");
        nhas_range(c, 1, 5, 1);
        assert_true(note == NULL || note_is(c, note));
        nall_shipped(w);
        node_collection_unpin(c);
        assert_int_equal(node_alias_list(w->node, NULL, aliases, 4), 1);
        assert_string_equal(aliases[0].alias, "alias");
    }
}

static void a_setting_of_a_collection_that_was_not_told_of_takes_it_along(void **state)
{
    struct nworld w;
    struct collection *c = switch_untold(&w, "untold-setting", 3);
    struct nhold hold;
    struct call call;

    (void)state;
    put_setting(&w, c, "refused", &call);
    call_wait(&call);
    assert_int_equal(call.st, ST_DENIED);
    assert_false(note_is(c, "refused"));
    nhold_meta(&w, &hold); /* no look at the catalog comes before the setting */
    put_setting(&w, c, "x", &call);
    objstore_faults_clear(w.bucket);
    nlet_through(&w, &hold);
    call_wait(&call);
    assert_int_equal(call.st, ST_OK);
    nall_shipped(&w);
    node_collection_unpin(c);
    comes_back_whole(&w, "x");
    nworld_fini(&w);
}

static void a_collection_that_was_not_told_of_is_told_with_its_aliases(void **state)
{
    struct nworld w;
    struct collection *c = switch_untold(&w, "untold", 4);

    (void)state;
    nall_shipped(&w);
    node_collection_unpin(c);
    nworld_close(&w);
    objstore_faults_clear(w.bucket);
    nworld_open(&w);
    nsettled(&w);
    comes_back_whole(&w, NULL);
    nworld_fini(&w);
}

static bool is_in_catalog(struct nworld *w, const char *name)
{
    struct catalog catalog;
    bool is = bucket_catalog_read(w->node, &catalog, NULL) == ST_OK &&
              catalog_find_name(&catalog, catalog.collections[0].database_id, name) != NULL;

    catalog_free(&catalog);
    return is;
}

/* The look after the switch cannot read the root: another look comes, without a start. */
static void it_is_told_though_its_root_could_not_be_read_at_first(void **state)
{
    struct objstore_fault away = objstore_fault_outage();
    struct nworld w;
    struct collection *c;
    unsigned denied;
    unsigned fault;
    uint64_t met;

    (void)state;
    nworld_init(&w, false, 8);
    nworld_bucket(&w, "root-away");
    nworld_open(&w);
    node_collection_unpin(nmake(&w, "other", NODE_LOCAL)); /* so that there is a catalog */
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    nsettled(&w);
    c = npin(&w, "docs");
    denied = nfault(&w, catalog_denied());
    assert_int_equal(npatch_policy(&w, c, NODE_MEMORY_S3, NULL), ST_OK);
    neventually(nshipped(c));
    away.ops = 1u << OBJSTORE_GET;
    away.key_part = c->id_text;
    fault = nfault(&w, away);
    nlooked(&w); /* who has read the root may still tell the catalog */
    met = objstore_faults_met(w.bucket, fault);
    objstore_faults_remove(w.bucket, denied);
    atomic_store(&w.node->sync_wanted, true);
    neventually(objstore_faults_met(w.bucket, fault) > met);
    assert_false(is_in_catalog(&w, "docs"));
    objstore_faults_clear(w.bucket);
    neventually(is_in_catalog(&w, "docs"));
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* Of a wiped bucket nothing is known: the change is refused, not lost in silence. */
static void a_setting_of_a_collection_without_a_root_is_refused(void **state)
{
    struct nworld w;
    struct collection *c;
    struct call call;

    (void)state;
    nworld_init(&w, false, 5);
    nworld_bucket(&w, "wiped");
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    nall_shipped(&w);
    nsettled(&w);
    nwipe_bucket(&w);
    put_setting(&w, c, "x", &call);
    call_wait(&call);
    assert_int_equal(call.st, ST_UNAVAILABLE);
    assert_false(note_is(c, "x"));
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* --- a full disk --- */

static void catalog_is_full(struct nworld *w)
{
    const struct fs_sim_fault fault = {
        .op = FS_SIM_EFFECT, .nth = 1, .errnum = ENOSPC, .for_ever = true, .path_part = "catalog"};

    fs_sim_fail(w->sim, &fault);
}

static void is_told(status st, const struct err *err)
{
    if (st != ST_UNKNOWN || strstr(err->text, "the bucket has the change") == NULL)
        fail_msg("%s: %s", status_name(st), err->text);
}

/* The answer says that the bucket has it; nothing of it shows until all of it does, which is as
 * soon as there is room. */
static void what_the_bucket_has_follows_when_the_disk_has_room(void **state)
{
    const struct collection_patch p = {
        .name = "renamed", .ef_search = 77, .durability = NODE_REMOTE};
    struct node_alias aliases[4];
    struct collection_info info;
    struct nworld w;
    struct collection *c;
    struct call call;
    struct err err = {0};

    (void)state;
    nworld_init(&w, true, 6);
    nworld_bucket(&w, "full-disk");
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    nput_range(c, 1, 5, 1);
    nsettled(&w);
    catalog_is_full(&w);
    put_setting(&w, c, "new", &call);
    call_wait(&call);
    is_told(call.st, &call.err);
    patch(&w, c, &p, &call);
    call_wait(&call);
    is_told(call.st, &call.err);
    is_told(nalias(&w, "alias", c, &err), &err);
    info = ninfo(c);
    assert_string_equal(info.name, "docs");
    assert_int_equal(info.ef_search, 60);
    assert_string_equal(info.durability, "local");
    assert_false(note_is(c, "new"));
    assert_int_equal(node_alias_list(w.node, NULL, aliases, 4), 0);
    is_told(ncreate_s3(&w, "other", DIM, NODE_LOCAL, &err), &err);
    assert_int_equal(nput(c, 6, 1, &err), ST_OK);
    fs_sim_fail_clear(w.sim);
    neventually(nthere(&w, "renamed") && nthere(&w, "alias") && nstate_is(&w, "other", "serving"));
    info = ninfo(c);
    assert_int_equal(info.ef_search, 77);
    assert_string_equal(info.durability, "remote");
    assert_true(note_is(c, "new"));
    node_collection_unpin(c);
    c = npin(&w, "other");
    neventually(nput(c, 1, 1, NULL) == ST_OK);
    node_collection_unpin(c);
    nworld_close(&w);
    nworld_open(&w);
    c = npin(&w, "alias");
    nhas_range(c, 1, 6, 1);
    node_collection_unpin(c);
    c = npin(&w, "other");
    nhas_range(c, 1, 1, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* Answers are lost for longer than a change waits for them: what the bucket took is gone by in a
 * while, without a start. */
static void what_the_bucket_took_and_nobody_knew_follows(void **state)
{
    struct objstore_fault lost = {.kind = OBJSTORE_FAULT_LOSE,
                                  .ops = 1u << OBJSTORE_PUT,
                                  .key_prefix = OBJKEY_CATALOG,
                                  .nth = 1,
                                  .times = 1};
    struct objstore_fault away = objstore_fault_outage();
    struct nworld w;
    struct collection *c;
    struct call call;

    (void)state;
    away.ops = 1u << OBJSTORE_PUT;
    away.key_prefix = OBJKEY_CATALOG;
    nworld_init(&w, false, 7);
    nworld_bucket(&w, "lost-answer");
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    nsettled(&w);
    (void)nfault(&w, lost);
    (void)nfault(&w, away);
    put_setting(&w, c, "new", &call);
    call_wait(&call);
    assert_int_equal(call.st, ST_UNKNOWN);
    assert_false(note_is(c, "new"));
    objstore_faults_clear(w.bucket);
    neventually(note_is(c, "new"));
    node_collection_unpin(c);
    nworld_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_acknowledged_change_outlasts_a_read_that_began_before_it),
        cmocka_unit_test(a_read_that_is_old_is_done_again),
        cmocka_unit_test(a_setting_of_a_collection_that_was_not_told_of_takes_it_along),
        cmocka_unit_test(a_collection_that_was_not_told_of_is_told_with_its_aliases),
        cmocka_unit_test(it_is_told_though_its_root_could_not_be_read_at_first),
        cmocka_unit_test(a_setting_of_a_collection_without_a_root_is_refused),
        cmocka_unit_test(what_the_bucket_has_follows_when_the_disk_has_room),
        cmocka_unit_test(what_the_bucket_took_and_nobody_knew_follows),
    };

    nlog();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
