/* Many threads on one collection: writers whose order only the lsns tell, and readers while rows
 * come, go, are linked, repaired and written to checkpoints. */
#include "tests/unit/node/nworld.h"

#include "base/lock.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { DIM = 8, THRESHOLD = 64 };

/* --- writers of the same ids --- */

enum { WRITERS = 4, WRITES = 250, SHARED_IDS = 12 };

struct note { /* one acknowledged write */
    uint64_t lsn;
    uint64_t id;
    uint32_t version; /* 0: a delete */
};

struct writer {
    struct collection *c;
    struct rand_seeded rand;
    struct thread thread;
    uint32_t number;
    struct note notes[WRITES];
    size_t count;
};

static void write_loop(void *arg)
{
    struct writer *me = arg;

    for (uint32_t i = 0; i < WRITES; i++) {
        uint64_t id = 1 + rand_below(&me->rand.source, SHARED_IDS);
        bool erase = rand_below(&me->rand.source, 3) == 0;
        uint32_t version = erase ? 0 : 1 + me->number * WRITES + i;
        const struct docid key = docid_u64(id);
        struct write_result result = {0};
        float vector[DIM];
        struct buf payload;
        struct write_row row = {.id = key, .vector = vector};
        status st;

        npayload(version, &payload);
        row.payload = buf_slice(&payload);
        nvector(id, version, DIM, vector);
        st = erase ? ndelete(me->c, &key, 1, &result, NULL) : nwrite(me->c, &row, 1, &result, NULL);
        buf_free(&payload);
        assert_int_equal(st, ST_OK);
        if (result.lsn != 0)
            me->notes[me->count++] = (struct note){result.lsn, id, version};
    }
}

static int by_lsn(const void *a, const void *b)
{
    const struct note *x = a;
    const struct note *y = b;

    return x->lsn < y->lsn ? -1 : x->lsn > y->lsn;
}

static void the_order_of_the_lsns_is_what_happened(void **state)
{
    static struct writer writers[WRITERS];
    static struct note all[WRITERS * WRITES];
    uint32_t version[SHARED_IDS + 1] = {0};
    struct nworld w;
    struct collection *c;
    size_t count = 0;

    (void)state;
    nworld_init(&w, true, 201);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, THRESHOLD, NULL), ST_OK);
    c = npin(&w, "docs");
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.c = c, .number = i};
        rand_seeded_init(&writers[i].rand, 300 + i);
        assert_int_equal(thread_start(&writers[i].thread, "writer", THREAD_NORMAL, write_loop,
                                      &writers[i], NULL),
                         ST_OK);
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        thread_join(&writers[i].thread);
        memcpy(all + count, writers[i].notes, writers[i].count * sizeof *all);
        count += writers[i].count;
    }
    qsort(all, count, sizeof *all, by_lsn);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(all[i].lsn, i + 1); /* each lsn once, none missing */
        version[all[i].id] = all[i].version;
    }
    for (int round = 0; round < 2; round++) {
        for (uint64_t id = 1; id <= SHARED_IDS; id++)
            assert_int_equal(nversion(c, id), version[id]);
        ninvariants(c);
        node_collection_unpin(c);
        nworld_power_cut(&w);
        nworld_open(&w);
        c = npin(&w, "docs");
    }
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* --- readers during everything --- */

enum {
    STABLE = 200, /* ids 1 .. STABLE never change */
    CHURN = 120,  /* ids STABLE + 1 .. STABLE + CHURN, each one churner's */
    CHURNERS = 2,
    CHURN_ROUNDS = 70, /* each replaces or deletes every one of its rows once a round */
    CHURN_ROUNDS_MAX = 2000,
    READERS = 2,
    ALL = STABLE + CHURN,
};

/* What readers may rely on: surely there, surely gone (settled), or neither while a write is under
 * way; the rest counts the changes. */
enum { THERE = 1, SETTLED = 2, CHANGE = 4 };

struct scene {
    struct collection *c;
    _Atomic uint32_t said[ALL + 1];
    _Atomic bool stop;
    _Atomic uint32_t churning; /* churners at work */
    _Atomic uint32_t puts;
    _Atomic uint32_t queries;
    _Atomic uint32_t self_wanted, self_found;
};

struct churner {
    struct scene *scene;
    struct thread thread;
    uint32_t number;
};

static void say(struct scene *s, uint64_t id, uint32_t bits)
{
    uint32_t before = atomic_load(&s->said[id]);

    atomic_store(&s->said[id], ((before / CHANGE) + 1) * CHANGE + bits);
}

/* On until repaired slots were used again, however slow the upkeep thread is today. */
static bool enough(struct scene *s, uint32_t round)
{
    return round >= CHURN_ROUNDS && slots_end(s->c->slots) < atomic_load(&s->puts);
}

static void churn_loop(void *arg)
{
    struct churner *me = arg;
    struct scene *s = me->scene;
    struct rand_seeded rand;

    rand_seeded_init(&rand, 400 + me->number);
    for (uint32_t round = 0; round < CHURN_ROUNDS_MAX && !enough(s, round); round++) {
        for (uint64_t id = STABLE + 1 + me->number; id <= ALL; id += CHURNERS) {
            bool there = (atomic_load(&s->said[id]) & THERE) != 0;

            if (there && rand_below(&rand.source, 3) == 0) {
                say(s, id, 0); /* may be there or not */
                assert_int_equal(ndel(s->c, id, NULL), ST_OK);
                say(s, id, SETTLED);
                continue;
            }
            /* A document that is replaced is there all the time. */
            if (!there)
                say(s, id, 0);
            assert_int_equal(nput(s->c, id, round + 2, NULL), ST_OK);
            atomic_fetch_add(&s->puts, 1);
            if (!there)
                say(s, id, THERE);
        }
    }
    atomic_fetch_sub(&s->churning, 1);
}

static void check_all_of_it(struct scene *s, const struct query_result *r,
                            const uint32_t before[ALL + 1])
{
    bool seen[ALL + 1] = {false};

    for (uint32_t i = 0; i < r->count; i++) {
        uint64_t id = r->matches[i].id.u64;

        assert_true(id >= 1 && id <= ALL);
        if (seen[id])
            fail_msg("id %llu twice in one answer", (unsigned long long)id);
        seen[id] = true;
        assert_true(i == 0 || r->matches[i - 1].distance <= r->matches[i].distance);
    }
    for (uint64_t id = 1; id <= ALL; id++) {
        bool held = atomic_load(&s->said[id]) == before[id];

        if (held && (before[id] & THERE) != 0 && !seen[id])
            fail_msg("id %llu was there all the time and is not in the answer",
                     (unsigned long long)id);
        if (held && (before[id] & (THERE | SETTLED)) == SETTLED && seen[id])
            fail_msg("id %llu was deleted before the query began and is in the answer",
                     (unsigned long long)id);
    }
}

/* Everything there is, by exact scan, then the neighbours of a stable row, by the graph. */
static void read_once(struct scene *s, struct rand_seeded *rand)
{
    const struct query_options everything = {.top_k = 2 * ALL, .exact = true};
    const struct query_options nearest = {.top_k = 5};
    uint64_t stable = 1 + rand_below(&rand->source, STABLE);
    uint32_t before[ALL + 1];
    struct query_result r;
    struct arena arena;
    float query[DIM];

    arena_init(&arena, 4 << 20);
    nvector(stable, 1, DIM, query);
    for (uint64_t id = 0; id <= ALL; id++)
        before[id] = atomic_load(&s->said[id]);
    assert_int_equal(node_query(s->c, query, &everything, &arena, &r, NULL), ST_OK);
    check_all_of_it(s, &r, before);
    for (uint64_t id = 0; id <= ALL; id++)
        before[id] = atomic_load(&s->said[id]);
    assert_int_equal(node_query(s->c, query, &nearest, &arena, &r, NULL), ST_OK);
    assert_true(r.count == 5);
    for (uint32_t i = 0; i < r.count; i++) {
        uint64_t id = r.matches[i].id.u64;

        for (uint32_t j = 0; j < i; j++)
            assert_true(r.matches[j].id.u64 != id);
        if (atomic_load(&s->said[id]) == before[id])
            assert_true((before[id] & (THERE | SETTLED)) != SETTLED);
    }
    atomic_fetch_add(&s->self_wanted, 1);
    if (r.matches[0].id.u64 == stable)
        atomic_fetch_add(&s->self_found, 1);
    atomic_fetch_add(&s->queries, 1);
    arena_free(&arena);
}

static void read_loop(void *arg)
{
    struct scene *s = arg;
    struct rand_seeded rand;

    rand_seeded_init(&rand, (uint64_t)(uintptr_t)&rand);
    while (!atomic_load(&s->stop))
        read_once(s, &rand);
}

static void readers_see_each_row_once_and_no_row_that_is_gone(void **state)
{
    static struct scene s;
    struct churner churners[CHURNERS];
    struct thread readers[READERS];
    struct nworld w;

    (void)state;
    nworld_init(&w, true, 202);
    w.options.clock = &w.clock.clock;
    w.options.wal_file_bytes = 64 * 1024;
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, THRESHOLD, NULL), ST_OK);
    s.c = npin(&w, "docs");
    for (uint64_t id = 1; id <= STABLE; id++) {
        assert_int_equal(nput(s.c, id, 1, NULL), ST_OK);
        atomic_store(&s.said[id], THERE);
    }
    for (uint64_t id = STABLE + 1; id <= ALL; id++)
        atomic_store(&s.said[id], SETTLED);
    for (uint32_t i = 0; i < READERS; i++)
        assert_int_equal(thread_start(&readers[i], "reader", THREAD_NORMAL, read_loop, &s, NULL),
                         ST_OK);
    atomic_store(&s.churning, CHURNERS);
    for (uint32_t i = 0; i < CHURNERS; i++) {
        churners[i] = (struct churner){.scene = &s, .number = i};
        assert_int_equal(thread_start(&churners[i].thread, "churner", THREAD_NORMAL, churn_loop,
                                      &churners[i], NULL),
                         ST_OK);
    }
    while (atomic_load(&s.churning) > 0) { /* checkpoints, and ticks that look for what to repair */
        clock_manual_advance(&w.clock, UINT64_C(1000000000));
        assert_int_equal(ncheckpoint(s.c, NULL), ST_OK);
    }
    for (uint32_t i = 0; i < CHURNERS; i++)
        thread_join(&churners[i].thread);
    for (int i = 0; i < 2; i++) {
        clock_manual_advance(&w.clock, UINT64_C(1000000000));
        assert_int_equal(ncheckpoint(s.c, NULL), ST_OK);
    }
    atomic_store(&s.stop, true);
    for (uint32_t i = 0; i < READERS; i++)
        thread_join(&readers[i]);
    assert_true(atomic_load(&s.queries) > 10);
    if (atomic_load(&s.self_found) * 100 < atomic_load(&s.self_wanted) * 95)
        fail_msg("%u of %u rows found themselves", atomic_load(&s.self_found),
                 atomic_load(&s.self_wanted));
    assert_true(enough(&s, CHURN_ROUNDS));
    node_collection_unpin(s.c);
    nworld_power_cut(&w);
    nworld_open(&w);
    s.c = npin(&w, "docs");
    for (uint64_t id = 1; id <= ALL; id++)
        assert_int_equal(nversion(s.c, id) != 0, (atomic_load(&s.said[id]) & THERE) != 0);
    ninvariants(s.c);
    node_collection_unpin(s.c);
    nworld_fini(&w);
}

/* Collections come and go under whoever reads, writes, lists and scrapes. */
enum { GUESTS = 30 };

static void guest_loop(void *arg)
{
    struct nworld *w = arg;
    struct collection_info infos[8];
    struct node_health health;
    struct node_status now;
    struct buf text;

    for (int i = 0; i < 4 * GUESTS; i++) {
        struct collection *c = node_collection_pin(w->node, "guest", 5);

        (void)node_collection_list(w->node, NULL, infos, COUNT_OF(infos));
        node_health(w->node, &health);
        node_status(w->node, &now);
        buf_init(&text, 1 << 20);
        stats_print(w->stats, &text);
        buf_free(&text);
        if (c == NULL)
            continue;
        (void)nput(c, 1, 1, NULL);
        (void)ncheckpoint(c, NULL);
        (void)npatch(w, c, NULL, 50, NULL);
        node_collection_unpin(c);
    }
}

static void collections_come_and_go_under_their_users(void **state)
{
    struct thread users[2];
    struct nworld w;

    (void)state;
    nworld_init(&w, true, 203);
    nworld_open(&w);
    for (size_t i = 0; i < COUNT_OF(users); i++)
        assert_int_equal(thread_start(&users[i], "user", THREAD_NORMAL, guest_loop, &w, NULL),
                         ST_OK);
    for (int i = 0; i < GUESTS; i++) {
        struct collection *c;

        assert_int_equal(ncreate(&w, "guest", DIM, VMETRIC_L2, THRESHOLD, NULL), ST_OK);
        c = npin(&w, "guest");
        assert_int_equal(npatch(&w, c, "moved", 0, NULL), ST_OK);
        assert_int_equal(npatch(&w, c, "guest", 0, NULL), ST_OK);
        assert_int_equal(nput(c, 2, 1, NULL), ST_OK);
        assert_int_equal(ndrop(&w, c, NULL), ST_OK);
        assert_int_equal(nput(c, 3, 1, NULL), ST_NOT_FOUND);
        node_collection_unpin(c);
    }
    for (size_t i = 0; i < COUNT_OF(users); i++)
        thread_join(&users[i]);
    nworld_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_of_the_lsns_is_what_happened),
        cmocka_unit_test(readers_see_each_row_once_and_no_row_that_is_gone),
        cmocka_unit_test(collections_come_and_go_under_their_users),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
