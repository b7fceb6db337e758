/* Payload indexes of a collection: created, built while it serves, asked by reads, kept through
 * restarts, cuts and the loss of the disk. Whatever state they are in, the rows decide. */
#include "tests/unit/node/nbucket.h"
#include "tests/unit/node/npoints.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { DIM = 4, ROWS = 700, LONG_MS = 60000, LIMIT_BYTES = 256 * 1024 * 1024 };

static const struct path *path(const char *text, struct arena *arena)
{
    const struct path *p;

    assert_int_equal(path_parse(slice_text(text), arena, &p, NULL), ST_OK);
    return p;
}

static status index_create(struct nworld *w, struct collection *c, const char *key,
                           enum pindex_type type, const char *schema, uint64_t wait_ms)
{
    struct pindex_spec spec = {.type = type};
    struct arena arena;
    struct call call;

    arena_init(&arena, 1 << 16);
    spec.path = path(key, &arena);
    call_init(&call);
    node_index_create(w->node, c, &spec, slice_text(schema), wait_ms, call_admin_done, &call);
    arena_free(&arena);
    call_wait(&call);
    return call.st;
}

static status index_drop(struct nworld *w, struct collection *c, const char *key)
{
    struct arena arena;
    struct call call;

    arena_init(&arena, 1 << 16);
    call_init(&call);
    node_index_drop(w->node, c, path(key, &arena), call_admin_done, &call);
    call_wait(&call);
    arena_free(&arena);
    return call.st;
}

/* "n integer ready 700, tags keyword ready 700": in the order of their paths. */
static void index_text(struct collection *c, char text[1024])
{
    static const char *const states[] = {"building", "ready", "full"};
    struct index_info *infos;
    struct arena arena;
    size_t count = 0;
    size_t at = 0;

    arena_init(&arena, 1 << 20);
    assert_int_equal(node_index_list(c, &arena, &infos, &count, NULL), ST_OK);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        at += (size_t)snprintf(text + at, 1024 - at, "%s%.*s %s %s %d %.*s", i > 0 ? ", " : "",
                               (int)infos[i].path.bytes, (const char *)infos[i].path.data,
                               pindex_type_name(infos[i].type), states[infos[i].state],
                               (int)infos[i].points, (int)infos[i].schema.bytes,
                               (const char *)infos[i].schema.data);
    arena_free(&arena);
}

static bool index_is(struct collection *c, const char *want)
{
    char text[1024];

    index_text(c, text);
    return strcmp(text, want) == 0;
}

struct seen {
    uint64_t count, indexes, rows;
};

static struct seen matching(struct nworld *w, struct collection *c, const char *filter)
{
    struct epoch_guard guard = epoch_enter(w->node->epoch);
    struct selected s;
    struct arena arena;
    struct seen seen;

    arena_init(&arena, 64 << 20);
    assert_int_equal(select_make(c, pfilter(c, filter, &arena), NULL, &arena, &s, NULL), ST_OK);
    seen = (struct seen){s.count, s.indexes, s.rows};
    arena_free(&arena);
    epoch_leave(w->node->epoch, guard);
    return seen;
}

#define TAG3   "{\"must\":[{\"key\":\"tags\",\"match\":{\"value\":\"t3\"}}]}"
#define BELOW9 "{\"must\":[{\"key\":\"n\",\"range\":{\"lt\":9}}]}"

static struct collection *begin(struct nworld *w, bool sim, uint64_t seed)
{
    struct collection *c;

    nworld_init(w, sim, seed);
    w->options.memory_bytes_max = LIMIT_BYTES;
    nworld_open(w);
    assert_int_equal(ncreate(w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(w, "docs");
    pput(c, 1, ROWS, 8); /* the version gives t1 */
    return c;
}

static void an_index_is_built_over_what_is_there_and_what_comes(void **state)
{
    struct nworld w;
    struct collection *c = begin(&w, true, 1);
    struct seen seen = matching(&w, c, TAG3);

    (void)state;
    assert_int_equal(seen.count, ROWS / 10);
    assert_int_equal(seen.indexes, 0);
    assert_int_equal(index_create(&w, c, "tags", PINDEX_KEYWORD, "\"keyword\"", LONG_MS), ST_OK);
    assert_int_equal(index_create(&w, c, "n", PINDEX_INTEGER, "{\"type\":\"integer\"}", LONG_MS),
                     ST_OK);
    assert_true(index_is(c, "n integer ready 700 {\"type\":\"integer\"}, tags keyword ready 700 "
                            "\"keyword\""));
    pput(c, ROWS + 1, 100, 8);
    seen = matching(&w, c, TAG3); /* whether they are pending or not */
    assert_int_equal(seen.count, (ROWS + 100) / 10);
    assert_int_equal(seen.indexes, 1);
    neventually(pindex_pending(c->pindex) == 0);
    seen = matching(&w, c, TAG3);
    assert_int_equal(seen.count, (ROWS + 100) / 10);
    assert_int_equal(seen.rows, 0); /* no payload was looked at */
    assert_int_equal(matching(&w, c, BELOW9).count, 8);
    pput(c, 3, 1, 10); /* t3 twice */
    assert_int_equal(ndel(c, 13, NULL), ST_OK);
    assert_int_equal(matching(&w, c, TAG3).count, (ROWS + 100) / 10 - 1);
    neventually(index_is(c, "n integer ready 799 {\"type\":\"integer\"}, tags keyword ready 799 "
                            "\"keyword\"")); /* dead rows do not count */
    assert_int_equal(index_drop(&w, c, "tags"), ST_OK);
    assert_int_equal(index_drop(&w, c, "tags"), ST_OK); /* there is none: fine */
    assert_int_equal(matching(&w, c, TAG3).indexes, 0);
    assert_int_equal(matching(&w, c, BELOW9).indexes, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

static void indexes_outlive_restarts_and_power_cuts(void **state)
{
    struct nworld w;
    struct collection *c = begin(&w, true, 2);
    char before[1024];

    (void)state;
    assert_int_equal(index_create(&w, c, "tags", PINDEX_KEYWORD, "\"keyword\"", LONG_MS), ST_OK);
    assert_int_equal(index_create(&w, c, "n", PINDEX_FLOAT, "\"float\"", LONG_MS), ST_OK);
    assert_int_equal(index_create(&w, c, "gone", PINDEX_BOOL, "\"bool\"", LONG_MS), ST_OK);
    assert_int_equal(index_drop(&w, c, "gone"), ST_OK);
    assert_int_equal(ncheckpoint(c, NULL), ST_OK);
    pput(c, ROWS + 1, 10, 8); /* behind the checkpoint: from the log */
    neventually(pindex_pending(c->pindex) == 0);
    index_text(c, before);
    for (int i = 0; i < 2; i++) {
        node_collection_unpin(c);
        if (i == 0)
            nworld_close(&w);
        else
            nworld_power_cut(&w);
        nworld_open(&w);
        c = npin(&w, "docs");
        assert_int_equal(matching(&w, c, TAG3).count, (ROWS + 10) / 10); /* at once */
        neventually(index_is(c, before));
        assert_int_equal(matching(&w, c, TAG3).indexes, 1);
        assert_int_equal(matching(&w, c, TAG3).count, (ROWS + 10) / 10);
    }
    node_collection_unpin(c);
    nworld_fini(&w);
}

static void indexes_come_back_from_the_bucket(void **state)
{
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, true, 3);
    nworld_bucket(&w, "indexes-come-back");
    nworld_open(&w);
    assert_int_equal(ncreate_s3(&w, "docs", DIM, NODE_REMOTE, NULL), ST_OK);
    c = npin(&w, "docs");
    pput(c, 1, ROWS, 8);
    assert_int_equal(index_create(&w, c, "tags", PINDEX_KEYWORD, "\"keyword\"", LONG_MS), ST_OK);
    assert_int_equal(index_create(&w, c, "same", PINDEX_BOOL, "\"bool\"", LONG_MS), ST_OK);
    nall_shipped(&w);
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    nsettled(&w);
    c = npin(&w, "docs");
    assert_int_equal(matching(&w, c, TAG3).count, ROWS / 10);
    neventually(index_is(c, "same bool ready 700 \"bool\", tags keyword ready 700 \"keyword\""));
    assert_int_equal(matching(&w, c, TAG3).count, ROWS / 10);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* By another spelling it is the same index; a new schema replaces the old one. */
static void a_path_has_one_index(void **state)
{
    struct nworld w;
    struct collection *c = begin(&w, true, 4);

    (void)state;
    assert_int_equal(index_create(&w, c, "n", PINDEX_KEYWORD, "\"keyword\"", LONG_MS), ST_OK);
    assert_int_equal(index_create(&w, c, "\"n\"", PINDEX_INTEGER, "\"integer\"", LONG_MS), ST_OK);
    assert_true(index_is(c, "n integer ready 700 \"integer\""));
    assert_int_equal(index_create(&w, c, "n", PINDEX_INTEGER, "\"integer\"", LONG_MS), ST_OK);
    assert_true(index_is(c, "n integer ready 700 \"integer\""));
    assert_int_equal(index_drop(&w, c, "\"n\""), ST_OK);
    assert_true(index_is(c, ""));
    node_collection_unpin(c);
    nworld_fini(&w);
}

static void slots_that_are_used_again_are_indexed_anew(void **state)
{
    struct nworld w;
    struct collection *c = begin(&w, true, 5);

    (void)state;
    assert_int_equal(index_create(&w, c, "tags", PINDEX_KEYWORD, "\"keyword\"", LONG_MS), ST_OK);
    assert_int_equal(index_create(&w, c, "v", PINDEX_INTEGER, "\"integer\"", LONG_MS), ST_OK);
    for (uint32_t version = 9; version < 29; version++) {
        char filter[128];

        pput(c, 1, ROWS, version);
        atomic_store(&c->room_wanted, true);
        (void)snprintf(filter, sizeof filter,
                       "{\"must\":[{\"key\":\"v\",\"match\":{\"value\":%u}}]}", version);
        assert_int_equal(matching(&w, c, filter).count, ROWS);
        (void)snprintf(filter, sizeof filter,
                       "{\"must_not\":[{\"key\":\"v\",\"range\":{\"gte\":%u}}]}", version);
        assert_int_equal(matching(&w, c, filter).count, 0);
        if (version % 4 == 0)
            neventually(slots_dead_count(c->slots) == 0);
    }
    assert_true(slots_end(c->slots) < 20 * ROWS); /* slots were used again */
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* No memory for the index: it is not used, health says it, answers stay right. */
static void an_index_without_memory_is_said_and_not_used(void **state)
{
    struct nworld w;
    struct collection *c = begin(&w, true, 6);
    struct pindex_info info;
    struct arena arena;

    (void)state;
    arena_init(&arena, 1 << 16);
    mem_overdraw(&w.node->budget, LIMIT_BYTES); /* all there is */
    assert_int_equal(index_create(&w, c, "n", PINDEX_INTEGER, "\"integer\"", LONG_MS), ST_OK);
    assert_true(pindex_info_of(c->pindex, path("n", &arena), &info));
    assert_int_equal(info.state, PINDEX_FULL);
    assert_true(nhealth_has(&w, "no memory for the payload index on n"));
    assert_int_equal(matching(&w, c, BELOW9).count, 8);
    assert_int_equal(matching(&w, c, BELOW9).indexes, 0);
    mem_release(&w.node->budget, LIMIT_BYTES); /* there is room again: it begins by itself */
    neventually(index_is(c, "n integer ready 700 \"integer\""));
    assert_false(nhealth_has(&w, "no memory for the payload index on n"));
    assert_int_equal(matching(&w, c, BELOW9).indexes, 1);
    arena_free(&arena);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* As a newer version, or a hand, may have written it: left out, and said in the log. */
static void a_definition_without_sense_is_left_out(void **state)
{
    static const char *const values[] = {
        "x",
        "\n{}",
        "integer 0 0 0\n{}",
        "number 0 0 0 0\n{}",
        "text 99 0 0 0\n{}",
        "text -1 0 0 0\n{}",
        "a type with a name that is longer than any type's 0 0 0 0\n{}",
    };
    struct nworld w;
    struct collection *c = begin(&w, true, 10);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        struct call call;

        call_init(&call);
        node_setting_put(w.node, c, "index:n", slice_text(values[i]), call_admin_done, &call);
        call_wait(&call);
        assert_int_equal(call.st, ST_OK);
        assert_true(index_is(c, ""));
        assert_int_equal(matching(&w, c, BELOW9).count, 8);
    }
    assert_int_equal(index_create(&w, c, "n", PINDEX_INTEGER, "\"integer\"", LONG_MS), ST_OK);
    assert_true(index_is(c, "n integer ready 700 \"integer\""));
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* The background does nothing: writers keep the pending rows within their bound. */
static void writers_help_beyond_a_bound(void **state)
{
    enum { BATCH = 1000, BATCHES = 24 };
    struct nworld w;
    struct collection *c;
    uint32_t most = 0;

    (void)state;
    nworld_init(&w, true, 9);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 1000000, NULL), ST_OK); /* no graph */
    c = npin(&w, "docs");
    assert_int_equal(index_create(&w, c, "tags", PINDEX_KEYWORD, "\"keyword\"", LONG_MS), ST_OK);
    while (atomic_exchange(&c->indexing, true))
        npause_ms(1);
    for (uint64_t i = 0; i < BATCHES; i++) {
        pput(c, 1 + i * BATCH, BATCH, 8);
        most = pindex_pending(c->pindex) > most ? pindex_pending(c->pindex) : most;
    }
    assert_in_range(most, NODE_INDEX_PENDING_MAX - BATCH, NODE_INDEX_PENDING_MAX + 2 * BATCH);
    assert_int_equal(matching(&w, c, TAG3).count, BATCH * BATCHES / 10);
    atomic_store(&c->indexing, false);
    neventually(pindex_pending(c->pindex) == 0);
    assert_int_equal(matching(&w, c, TAG3).count, BATCH * BATCHES / 10);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* How many of the three are begun. */
static size_t begun(struct collection *c)
{
    struct pindex_info infos[8];

    return pindex_list(c->pindex, infos, COUNT_OF(infos));
}

/* Each allocation fails once while three indexes are begun: those whose own did not fail are there,
 * the other is shown as what it is, said in health, and begun a moment later. */
static void an_index_that_cannot_be_begun_keeps_no_other_from_it(void **state)
{
    static const char *const paths[] = {"n", "tags", "v"};
    static const char all[] =
        "n integer ready 700 1, tags keyword ready 700 1, v integer ready 700 1";
    struct nworld w;
    struct collection *c = begin(&w, true, 13);
    struct arena arena;
    uint32_t missed = 0;
    int64_t asked = 1;

    (void)state;
    arena_init(&arena, 1 << 16);
    for (size_t i = 0; i < COUNT_OF(paths); i++)
        assert_int_equal(
            index_create(&w, c, paths[i], i == 1 ? PINDEX_KEYWORD : PINDEX_INTEGER, "1", LONG_MS),
            ST_OK);
    for (int64_t n = 0; asked > n - 1; n++) { /* until a run met no failure */
        char text[1024];
        size_t there;
        bool full;

        for (size_t i = 0; i < COUNT_OF(paths); i++)
            (void)pindex_remove(c->pindex, path(paths[i], &arena));
        mem_test_fail_after(n);
        indexes_follow(c);
        asked = mem_test_count();
        mem_test_fail_after(-1);
        assert_true(asked < 200);
        there = begun(c);
        index_text(c, text);
        full = strstr(text, " full ") != NULL || begun(c) > there;
        if (there != 0 && there != 2 && there != 3)
            fail_msg("allocation %d: %zu of three are begun", (int)n, there);
        if (there == 2) {
            missed++;
            assert_true(full);
            assert_true(nhealth_has(&w, "no memory for the payload index") || begun(c) == 3);
        }
        neventually(index_is(c, all)); /* nobody else allocates then */
    }
    if (missed < 3)
        fail_msg("%u of %d allocations kept one from beginning", missed, (int)asked);
    assert_false(nhealth_has(&w, "no memory for the payload index"));
    arena_free(&arena);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* --- several asked for at once --- */

struct asked {
    struct call call;
    struct arena arena;
};

static void ask_index(struct nworld *w, struct collection *c, const char *key,
                      enum pindex_type type, struct asked *out)
{
    struct pindex_spec spec = {.type = type};

    arena_init(&out->arena, 1 << 16);
    spec.path = path(key, &out->arena);
    call_init(&out->call);
    node_index_create(w->node, c, &spec, slice_text("\"x\""), LONG_MS, call_admin_done, &out->call);
}

static status answer(struct asked *asked)
{
    call_wait(&asked->call);
    arena_free(&asked->arena);
    return asked->call.st;
}

/* Each was asked for before another was there. */
static void of_those_asked_for_at_once_none_is_twice_or_too_many(void **state)
{
    struct index_info *infos;
    struct asked asked[4];
    struct nhold hold;
    struct nworld w;
    struct collection *c = begin(&w, true, 11);
    struct arena arena;
    size_t count = 0;

    (void)state;
    nhold_meta(&w, &hold);
    ask_index(&w, c, "n", PINDEX_INTEGER, &asked[0]);
    ask_index(&w, c, "\"n\"", PINDEX_FLOAT, &asked[1]);
    nlet_through(&w, &hold);
    assert_int_equal(answer(&asked[0]), ST_OK);
    assert_int_equal(answer(&asked[1]), ST_OK);
    assert_true(index_is(c, "n float ready 700 \"x\""));
    for (int i = 0; i < PINDEX_COUNT_MAX - 2; i++) {
        char key[32];

        (void)snprintf(key, sizeof key, "none%d", i);
        assert_int_equal(index_create(&w, c, key, PINDEX_BOOL, "1", 0), ST_OK);
    }
    nhold_meta(&w, &hold);
    ask_index(&w, c, "a", PINDEX_BOOL, &asked[0]);
    ask_index(&w, c, "b", PINDEX_BOOL, &asked[1]);
    ask_index(&w, c, "\"a\"", PINDEX_KEYWORD, &asked[2]);
    ask_index(&w, c, "c", PINDEX_BOOL, &asked[3]);
    nlet_through(&w, &hold);
    assert_int_equal(answer(&asked[0]), ST_OK);
    assert_int_equal(answer(&asked[1]), ST_INVALID);
    assert_non_null(strstr(asked[1].call.err.text, "at most 256 payload indexes"));
    assert_int_equal(answer(&asked[2]), ST_OK);
    assert_int_equal(answer(&asked[3]), ST_INVALID);
    arena_init(&arena, 4 << 20);
    assert_int_equal(node_index_list(c, &arena, &infos, &count, NULL), ST_OK);
    assert_int_equal(count, PINDEX_COUNT_MAX);
    arena_free(&arena);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* Another takes the collection's place in the table, as after a healing. */
static void take_place(struct nworld *w, struct collection *old, struct collection **out)
{
    const struct catalog_collection *entry = catalog_find_id(&w->node->catalog, old->id);
    struct collection *fresh = NULL;

    collection_close_log(old);
    assert_int_equal(collection_create(w->node, entry, &fresh, NULL), ST_OK);
    assert_int_equal(collection_open_log(fresh, NULL), ST_OK);
    collection_set_state(fresh, COLLECTION_SERVING, NULL);
    collection_pin(fresh);
    table_replace(w->node, old, fresh);
    node_collection_unpin(old); /* the table's */
    *out = fresh;
}

static void what_waited_behind_a_healing_is_for_the_collection_that_is_there_now(void **state)
{
    const struct collection_patch patch = {.name = "renamed", .ef_search = 77};
    struct collection *fresh;
    struct asked asked[2];
    struct call calls[4];
    struct nhold hold;
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, true, 12);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    nhold_meta(&w, &hold); /* the table and the catalog do not change meanwhile */
    for (size_t i = 0; i < COUNT_OF(calls); i++)
        call_init(&calls[i]);
    node_collection_patch(w.node, c, &patch, call_admin_done, &calls[0]);
    node_setting_put(w.node, c, "note", slice_text("x"), call_admin_done, &calls[1]);
    ask_index(&w, c, "n", PINDEX_INTEGER, &asked[0]);
    take_place(&w, c, &fresh);
    nlet_through(&w, &hold);
    assert_int_equal(answer(&asked[0]), ST_OK);
    for (size_t i = 0; i < 2; i++) {
        call_wait(&calls[i]);
        assert_int_equal(calls[i].st, ST_OK);
        assert_int_equal(calls[i].info.ef_search, 77);
        assert_string_equal(calls[i].info.name, "renamed");
    }
    assert_false(nthere(&w, "docs"));
    assert_ptr_equal(node_collection_pin(w.node, "renamed", strlen("renamed")), fresh);
    node_collection_unpin(fresh);
    assert_true(index_is(fresh, "n integer ready 0 \"x\""));
    nhold_meta(&w, &hold);
    node_collection_drop(w.node, c, call_admin_done, &calls[2]);
    node_collection_patch(w.node, c, &patch, call_admin_done, &calls[3]);
    ask_index(&w, c, "n", PINDEX_KEYWORD, &asked[0]);
    nlet_through(&w, &hold);
    call_wait(&calls[2]);
    assert_int_equal(calls[2].st, ST_OK);
    call_wait(&calls[3]);
    assert_int_equal(calls[3].st, ST_NOT_FOUND);
    assert_int_equal(answer(&asked[0]), ST_NOT_FOUND);
    assert_false(nthere(&w, "renamed"));
    node_collection_unpin(fresh);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* --- beside writers --- */

struct world {
    struct nworld w;
    struct collection *c;
    _Atomic bool stop;
    _Atomic uint64_t with_index;
};

enum { IDS = 400, READS = 250, READERS = 2 };

static void replace_loop(void *arg)
{
    struct world *x = arg;

    for (uint32_t version = 9; !atomic_load(&x->stop); version++) {
        for (uint64_t first = 1; first <= IDS; first += 50)
            pput(x->c, first, 50, version);
        atomic_store(&x->c->room_wanted, true);
    }
}

static void change_indexes_loop(void *arg)
{
    struct world *x = arg;

    while (!atomic_load(&x->stop)) {
        assert_int_equal(index_create(&x->w, x->c, "same", PINDEX_BOOL, "\"bool\"", LONG_MS),
                         ST_OK);
        npause_ms(20);
        assert_int_equal(index_drop(&x->w, x->c, "same"), ST_OK);
    }
}

static void read_loop(void *arg)
{
    static const char *const filters[] = {
        "{\"must\":[{\"key\":\"same\",\"match\":{\"value\":true}}]}",
        "{\"must\":[{\"key\":\"n\",\"range\":{\"gte\":0}},"
        "{\"key\":\"same\",\"match\":{\"value\":true}}]}",
        "{\"must_not\":[{\"key\":\"n\",\"range\":{\"lt\":0}},"
        "{\"key\":\"tags\",\"match\":{\"value\":\"nobody\"}}]}",
    };
    struct world *x = arg;

    for (int i = 0; i < READS; i++) {
        struct seen seen = matching(&x->w, x->c, filters[i % 3]);

        if (seen.count != IDS)
            fail_msg("%d of %d rows for %s", (int)seen.count, IDS, filters[i % 3]);
        atomic_fetch_add(&x->with_index, seen.indexes > 0);
    }
}

static void what_matches_all_the_time_is_always_found(void **state)
{
    static struct world x;
    struct thread threads[2 + READERS];
    void (*const loops[])(void *) = {replace_loop, change_indexes_loop};

    (void)state;
    nworld_init(&x.w, true, 7);
    nworld_open(&x.w);
    assert_int_equal(ncreate(&x.w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
    x.c = npin(&x.w, "docs");
    pput(x.c, 1, IDS, 8);
    assert_int_equal(index_create(&x.w, x.c, "n", PINDEX_INTEGER, "\"integer\"", LONG_MS), ST_OK);
    for (unsigned i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(thread_start(&threads[i], "indexes", THREAD_NORMAL,
                                      i < 2 ? loops[i] : read_loop, &x, NULL),
                         ST_OK);
    for (unsigned i = 2; i < COUNT_OF(threads); i++)
        thread_join(&threads[i]);
    atomic_store(&x.stop, true);
    thread_join(&threads[0]);
    thread_join(&threads[1]);
    assert_true(atomic_load(&x.with_index) > READS);
    node_collection_unpin(x.c);
    nworld_fini(&x.w);
}

/* Who waits for an index that is not built yet is answered when the node stops. */
static void a_stop_answers_who_waits(void **state)
{
    struct nworld w;
    struct collection *c = begin(&w, true, 8);
    struct pindex_spec spec = {.type = PINDEX_KEYWORD};
    struct arena arena;
    struct call calls[8];

    (void)state;
    arena_init(&arena, 1 << 16);
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "key%zu", i);
        spec.path = path(key, &arena);
        call_init(&calls[i]);
        node_index_create(w.node, c, &spec, slice_text("{}"), LONG_MS, call_admin_done, &calls[i]);
    }
    node_collection_unpin(c);
    nworld_close(&w);
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        call_wait(&calls[i]);
        assert_true(calls[i].st == ST_OK || calls[i].st == ST_UNAVAILABLE);
    }
    arena_free(&arena);
    nworld_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_index_is_built_over_what_is_there_and_what_comes),
        cmocka_unit_test(indexes_outlive_restarts_and_power_cuts),
        cmocka_unit_test(indexes_come_back_from_the_bucket),
        cmocka_unit_test(a_path_has_one_index),
        cmocka_unit_test(slots_that_are_used_again_are_indexed_anew),
        cmocka_unit_test(an_index_without_memory_is_said_and_not_used),
        cmocka_unit_test(a_definition_without_sense_is_left_out),
        cmocka_unit_test(writers_help_beyond_a_bound),
        cmocka_unit_test(an_index_that_cannot_be_begun_keeps_no_other_from_it),
        cmocka_unit_test(of_those_asked_for_at_once_none_is_twice_or_too_many),
        cmocka_unit_test(what_waited_behind_a_healing_is_for_the_collection_that_is_there_now),
        cmocka_unit_test(what_matches_all_the_time_is_always_found),
        cmocka_unit_test(a_stop_answers_who_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
