/* Reads of many rows while writers replace them: an id that is there all the time, and matches, is
 * in every answer, once. */
#include "tests/unit/node/npoints.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    DIM = 4,
    IDS = 1500,   /* replaced again and again */
    COMING = 200, /* deleted and written anew */
    BATCH = 300,  /* more than slots remember of replacements */
    WRITERS = 2,
    READERS = 2,
#ifdef __SANITIZE_THREAD__ /* which takes twenty times as long */
    READS = 200,
    ROUNDS = 8,
#else
    READS = 1500,
    ROUNDS = 40, /* of all kinds of reads */
#endif
};

struct world {
    struct nworld w;
    struct collection *c;
    _Atomic bool stop;
    bool exact;   /* without a graph */
    bool indexed; /* "same" and "n" */
};

struct worker {
    struct world *world;
    struct thread thread;
    uint32_t number;
};

static void replace_loop(void *arg)
{
    struct worker *me = arg;

    for (uint32_t version = 2; !atomic_load(&me->world->stop); version++) {
        uint32_t part = IDS / WRITERS;
        uint64_t from = 1 + me->number * part;

        if (version % 2 == 0)
            for (uint32_t at = 0; at < part; at += BATCH)
                pput(me->world->c, from + at, part - at < BATCH ? part - at : BATCH, version);
        else
            for (uint32_t at = 0; at < part; at += 7)
                pput(me->world->c, from + at, 1, version);
        for (uint32_t i = me->number; i < COMING; i += WRITERS) {
            const struct docid id = docid_u64(IDS + 1 + i);

            if (version % 3 == 0)
                pput(me->world->c, id.u64, 1, version);
            else if (version % 3 == 1)
                assert_int_equal(ndelete(me->world->c, &id, 1, NULL, NULL), ST_OK);
        }
    }
}

static void check_selected(struct world *x, const struct selected *s)
{
    static _Thread_local uint8_t seen[IDS + COMING + 1];
    uint32_t all = 0;
    uint64_t count = 0;

    memset(seen, 0, sizeof seen);
    for (uint32_t slot = 0; (slot = selected_next(s, slot)) != SLOT_NONE; slot++) {
        struct row row;

        slots_row(x->c->slots, slot, &row);
        assert_in_range(row.id.u64, 1, IDS + COMING);
        if (seen[row.id.u64]++ > 0)
            fail_msg("id %llu is selected twice", (unsigned long long)row.id.u64);
        all += row.id.u64 <= IDS ? 1 : 0;
        count++;
    }
    assert_int_equal(all, IDS);
    assert_int_equal(count, s->count);
}

static void select_loop(void *arg)
{
    struct worker *me = arg;
    struct world *x = me->world;
    struct arena arena;

    arena_init(&arena, 64 << 20);
    for (uint32_t i = 0; i < READS; i++) {
        struct epoch_guard guard = epoch_enter(x->w.node->epoch);
        struct selected selected;
        struct err err = {0};

        if (select_make(x->c, NULL, NULL, &arena, &selected, &err) != ST_OK)
            fail_msg("%s", err.text);
        check_selected(x, &selected);
        epoch_leave(x->w.node->epoch, guard);
        arena_reset(&arena);
    }
    arena_free(&arena);
}

/* Of 1 .. IDS each once; of the others perhaps. */
static void check_ids(uint64_t (*id_at)(const void *items, uint32_t at), const void *items,
                      uint32_t count, const char *what)
{
    static _Thread_local uint8_t seen[IDS + COMING + 1];
    uint32_t all = 0;

    memset(seen, 0, sizeof seen);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t id = id_at(items, i);

        assert_in_range(id, 1, IDS + COMING);
        if (seen[id]++ > 0)
            fail_msg("id %llu comes twice in a %s", (unsigned long long)id, what);
        all += id <= IDS ? 1 : 0;
    }
    for (uint64_t id = 1; id <= IDS && all < IDS; id++)
        if (seen[id] == 0)
            fail_msg("id %llu is missing in a %s, %u of %u are there", (unsigned long long)id, what,
                     all, IDS);
}

static uint64_t id_of_match(const void *items, uint32_t at)
{
    return ((const struct match *)items)[at].id.u64;
}

static uint64_t id_of_document(const void *items, uint32_t at)
{
    return ((const struct document *)items)[at].id.u64;
}

/* All that match, or the nearest of them, which are always the same. */
static void query(struct world *x, const struct filter *filter, uint32_t k, struct arena *arena)
{
    const struct point_query points = {.filter = filter};
    struct query_options o = {.top_k = k, .points = &points, .ef_search = 100};
    float origin[DIM] = {0};
    struct query_result r;
    struct err err = {0};

    if (node_query(x->c, origin, &o, arena, &r, &err) != ST_OK)
        fail_msg("%s", err.text);
    if (k >= IDS)
        check_ids(id_of_match, r.matches, r.count, "query");
    else
        assert_int_equal(r.count, k);
    for (uint32_t i = 0; i < k && i < IDS / 100 && x->exact; i++)
        if (r.matches[i].id.u64 != 100 * (i + 1))
            fail_msg("rank %u of %u is id %llu plan %s", i, k,
                     (unsigned long long)r.matches[i].id.u64, r.plan);
}

static void scroll(struct world *x, const struct filter *filter, uint32_t limit,
                   struct arena *arena)
{
    static _Thread_local struct document all[2 * (IDS + COMING)];
    struct scroll ask = {.filter = filter, .limit = limit};
    struct scrolled got;
    struct docid from;
    uint32_t count = 0;
    struct err err = {0};

    do {
        if (node_scroll(x->c, &ask, arena, &got, &err) != ST_OK)
            fail_msg("%s", err.text);
        assert_true(count + got.count <= COUNT_OF(all));
        memcpy(all + count, got.documents, got.count * sizeof *all);
        count += got.count;
        from = got.next;
        ask.from = &from;
    } while (got.more);
    check_ids(id_of_document, all, count, "scroll");
}

static void order(struct world *x, const struct filter *filter, struct arena *arena)
{
    struct scroll ask = {.filter = filter, .limit = IDS + COMING + 10};
    struct scrolled got;
    struct err err = {0};

    assert_int_equal(path_parse(slice_text("n"), arena, &ask.order_by, NULL), ST_OK);
    if (node_scroll(x->c, &ask, arena, &got, &err) != ST_OK)
        fail_msg("%s", err.text);
    for (uint32_t i = 1; i < got.count; i++)
        assert_true(got.order_values[i].u64 >= got.order_values[i - 1].u64);
    check_ids(id_of_document, got.documents, got.count, "scroll by value");
}

static void count(struct world *x, const struct filter *filter, struct arena *arena)
{
    uint64_t n = 0;

    assert_int_equal(node_count(x->c, filter, true, NULL, arena, &n, NULL), ST_OK);
    assert_in_range(n, IDS, IDS + COMING);
}

static void facet(struct world *x, const struct filter *filter, struct arena *arena)
{
    const struct path *key;
    struct facet_hit *hits;
    uint32_t n = 0;

    assert_int_equal(path_parse(slice_text("same"), arena, &key, NULL), ST_OK);
    assert_int_equal(node_facet(x->c, key, filter, 10, true, NULL, arena, &hits, &n, NULL), ST_OK);
    assert_int_equal(n, 1);
    assert_in_range(hits[0].count, IDS, IDS + COMING);
}

static void read_loop(void *arg)
{
    struct worker *me = arg;
    struct world *x = me->world;
    struct arena arena, filters;
    const struct filter *f;

    arena_init(&arena, 64 << 20);
    arena_init(&filters, 1 << 20);
    f = pfilter(x->c, "{\"must\":{\"key\":\"same\",\"match\":{\"value\":true}}}", &filters);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        query(x, i % 2 == 0 ? f : NULL, 3000, &arena);
        query(x, i % 2 == 1 ? f : NULL, IDS / 100, &arena);
        scroll(x, i % 2 == 0 ? f : NULL, 700, &arena);
        count(x, i % 2 == 1 ? f : NULL, &arena);
        facet(x, i % 2 == 0 ? f : NULL, &arena);
        if (x->indexed)
            order(x, i % 2 == 0 ? f : NULL, &arena);
        arena_reset(&arena);
    }
    arena_free(&filters);
    arena_free(&arena);
}

static void run(struct world *x, void (*reader)(void *arg))
{
    struct worker writers[WRITERS], readers[READERS];

    for (uint32_t i = 0; i < WRITERS + READERS; i++) {
        struct worker *me = i < WRITERS ? &writers[i] : &readers[i - WRITERS];

        *me = (struct worker){.world = x, .number = i < WRITERS ? i : i - WRITERS};
        assert_int_equal(thread_start(&me->thread, "points", THREAD_NORMAL,
                                      i < WRITERS ? replace_loop : reader, me, NULL),
                         ST_OK);
    }
    for (uint32_t i = 0; i < READERS; i++)
        thread_join(&readers[i].thread);
    atomic_store(&x->stop, true);
    for (uint32_t i = 0; i < WRITERS; i++)
        thread_join(&writers[i].thread);
}

static void begin(struct world *x, uint64_t seed, bool exact)
{
    memset(x, 0, sizeof *x);
    x->exact = exact;
    nworld_init(&x->w, true, seed);
    nworld_open(&x->w);
    assert_int_equal(ncreate(&x->w, "docs", DIM, VMETRIC_L2, exact ? 100000 : 64, NULL), ST_OK);
    x->c = npin(&x->w, "docs");
    pput(x->c, 1, IDS + COMING, 1);
}

static void end(struct world *x)
{
    node_collection_unpin(x->c);
    nworld_fini(&x->w);
}

static void what_is_there_all_the_time_is_selected_once(void **state)
{
    static struct world x;

    (void)state;
    begin(&x, 900, false);
    run(&x, select_loop);
    end(&x);
}

static void what_matches_all_the_time_is_in_every_answer_once(void **state)
{
    static struct world x;

    (void)state;
    for (int exact = 0; exact < 2; exact++) {
        begin(&x, 901, exact == 1);
        if (exact == 1) {
            pindexed(&x.w, x.c, "same", PINDEX_BOOL);
            pindexed(&x.w, x.c, "n", PINDEX_INTEGER);
            x.indexed = true;
        }
        run(&x, read_loop);
        end(&x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_there_all_the_time_is_selected_once),
        cmocka_unit_test(what_matches_all_the_time_is_in_every_answer_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
