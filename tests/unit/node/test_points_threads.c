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
    READS = 1500,
};

struct world {
    struct nworld w;
    struct collection *c;
    _Atomic bool stop;
    _Atomic uint32_t reads;
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
    atomic_fetch_add(&x->reads, 1);
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

static void begin(struct world *x, uint64_t seed)
{
    memset(x, 0, sizeof *x);
    nworld_init(&x->w, true, seed);
    nworld_open(&x->w);
    assert_int_equal(ncreate(&x->w, "docs", DIM, VMETRIC_L2, 64, NULL), ST_OK);
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
    begin(&x, 900);
    run(&x, select_loop);
    end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_there_all_the_time_is_selected_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
