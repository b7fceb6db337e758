/* One applier, a collector, indexers, somebody who makes and drops indexes, and readers, at once
 * over a real slot table; for the thread sanitizer, and for what readers may rely on:
 *
 *   - an id that always matches is always found;
 *   - an exact answer has no live row that does not match;
 *   - neither does one lack a live row that matches, unless it is pending or newer.
 *
 * Slots are used again all the time, for rows with other values. A seed may be given. */
#include "base/lock.h"
#include "filter/pindex.h"
#include "index/slots.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "pindex_gen.h"
#include "tests/support/alloc_sweep.h"

/* What cmocka does on failure, a jump, must not leave another thread's stack. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum {
    ANCHORS = 200, /* ids that always have a row that matches */
    GUESTS = 100,  /* ids that come and go, and never match */
    READERS = 2,
    INDEXERS = 2,
    READS = 700,
    READS_MAX = 50 * READS, /* of each reader, where the others get little time */
    KEPT_DEAD = 150,
    ARENA_BYTES = 1 << 20,
    BITS_MAX = 1 << 16,
};

struct world {
    struct epoch *epoch;
    struct mem_budget budget;
    struct slots *slots;
    struct pindex_set *set;
    _Atomic bool stop;
    _Atomic uint64_t used, exact, published, retired;
};

static uint64_t seed = 1;

static uint32_t rows_end(void *arg)
{
    return slots_end(((struct world *)arg)->slots);
}

static enum pindex_row rows_state(void *arg, uint32_t slot)
{
    enum slot_state state = slots_state(((struct world *)arg)->slots, slot);

    return state == SLOT_LIVE   ? PINDEX_ROW_LIVE
           : state == SLOT_DEAD ? PINDEX_ROW_DEAD
                                : PINDEX_ROW_NONE;
}

static struct slice rows_payload(void *arg, uint32_t slot)
{
    struct row row;

    slots_row(((struct world *)arg)->slots, slot, &row);
    return row.payload;
}

/* {"kw": "stay" or "go", "n": number} */
static void make_payload(struct buf *out, bool anchor, uint64_t number)
{
    size_t object;

    buf_reset(out);
    jbin_put_version(out);
    object = jbin_open(out, true);
    jbin_put_key(out, slice_text("kw"));
    jbin_put_key(out, slice_text(anchor ? "stay" : "go"));
    jbin_put_key(out, slice_text("n"));
    buf_put_u8(out, 3); /* docs/formats/payload.md: an integer */
    buf_put_varint(out, anchor ? number % 50 : 1000 + number % 50);
    jbin_close(out, object);
    CHECK(!out->failed);
}

/* --- who changes --- */

static void publish(struct world *w, struct buf *payload, uint64_t id, uint64_t lsn)
{
    const struct docid doc = docid_u64(id);
    uint32_t slot;

    make_payload(payload, id < ANCHORS, lsn);
    CHECK(slots_reserve(w->slots, 1, &slot, NULL) == ST_OK);
    CHECK(pindex_reserve(w->set, slot + 1, NULL) == ST_OK);
    CHECK(slots_fill(w->slots, slot, &doc, slice_make(NULL, 0), buf_slice(payload), 1, NULL) ==
          ST_OK);
    pindex_publish(w->set, slot);
    (void)slots_publish(w->slots, slot, lsn);
    atomic_fetch_add(&w->published, 1);
}

static void apply_main(void *arg)
{
    struct world *w = arg;
    struct gen g = {.random = seed};
    struct buf payload;

    buf_init(&payload, 4096);
    for (uint64_t lsn = ANCHORS + 1; !atomic_load(&w->stop); lsn++) {
        uint64_t id = gen_below(&g, ANCHORS + GUESTS);
        const struct docid doc = docid_u64(id);

        if (id >= ANCHORS && gen_below(&g, 3) == 0)
            (void)slots_erase(w->slots, &doc);
        else
            publish(w, &payload, id, lsn);
        while (slots_dead_count(w->slots) > 4 * KEPT_DEAD && !atomic_load(&w->stop))
            (void)epoch_collect(w->epoch); /* so that slots are used again, and soon */
    }
    buf_free(&payload);
}

static void collect_main(void *arg)
{
    struct world *w = arg;
    uint32_t dead[KEPT_DEAD];

    while (!atomic_load(&w->stop)) {
        uint32_t count = slots_dead_list(w->slots, dead, COUNT_OF(dead));

        if (count == COUNT_OF(dead)) {
            pindex_forget(w->set, dead, count);
            for (uint32_t i = 0; i < count; i++)
                slots_retire(w->slots, dead[i]);
            atomic_fetch_add(&w->retired, count);
        }
    }
}

static void index_main(void *arg)
{
    struct world *w = arg;
    struct gen g = {.random = seed + 1};

    while (!atomic_load(&w->stop)) {
        struct epoch_guard guard = epoch_enter(w->epoch);

        (void)pindex_step(w->set, (uint32_t)gen_below(&g, 100));
        epoch_leave(w->epoch, guard);
    }
}

static const struct path *path(const char *text, struct arena *arena)
{
    const struct path *p;

    CHECK(path_parse(slice_text(text), arena, &p, NULL) == ST_OK);
    return p;
}

static void change_main(void *arg)
{
    struct world *w = arg;
    struct pindex_spec spec = {.type = PINDEX_KEYWORD};
    struct arena arena;
    struct pindex_info info;

    arena_init(&arena, ARENA_BYTES);
    spec.path = path("kw", &arena);
    while (!atomic_load(&w->stop)) {
        CHECK(pindex_add(w->set, &spec, NULL) == ST_OK);
        do {
            CHECK(pindex_info_of(w->set, spec.path, &info));
        } while (info.state == PINDEX_BUILDING && !atomic_load(&w->stop));
        for (int i = 0; i < 20; i++)
            CHECK(pindex_list(w->set, &info, 1) == 1);
        CHECK(pindex_remove(w->set, spec.path));
    }
    arena_free(&arena);
}

/* --- who reads --- */

static bool bit(const uint64_t *bits, uint32_t count, uint32_t slot)
{
    return slot < count && (bits[slot / 64] >> slot % 64 & 1) != 0;
}

struct look {
    struct world *w;
    const struct filter *f;
    uint64_t moment;
    struct pindex_answer answer;
    uint64_t pending[BITS_MAX / 64];
    bool seen[ANCHORS];
};

static void look_at(struct look *l, uint32_t slot)
{
    bool told = bit(l->answer.bits, l->answer.used ? l->answer.bit_count : 0, slot);
    bool pending = bit(l->pending, BITS_MAX, slot);
    struct filter_row row = {0};
    struct row r;
    bool match;

    if (!slots_live(l->w->slots, slot))
        return;
    slots_row(l->w->slots, slot, &r);
    row.payload = r.payload;
    match = filter_match(l->f, &row);
    if (l->answer.used && !told && !pending) {
        CHECK(!match || slots_is_since(l->w->slots, slot, l->moment));
        return;
    }
    if (l->answer.exact && told && !slots_is_since(l->w->slots, slot, l->moment))
        CHECK(match);
    if (match && r.id.u64 < ANCHORS)
        l->seen[r.id.u64] = true;
}

static void look_once(struct look *l, struct arena *arena)
{
    struct epoch_guard guard = epoch_enter(l->w->epoch);
    uint32_t news[64];
    uint32_t at = 0;
    uint32_t count;

    l->moment = slots_moment(l->w->slots);
    memset(l->pending, 0, sizeof l->pending);
    memset(l->seen, 0, sizeof l->seen);
    pindex_pending_bits(l->w->set, l->pending, BITS_MAX);
    CHECK(pindex_lookup(l->w->set, l->f, arena, &l->answer, NULL) == ST_OK);
    for (uint32_t slot = 0; slot < slots_end(l->w->slots); slot++)
        look_at(l, slot);
    while ((count = slots_since(l->w->slots, l->moment, &at, news, COUNT_OF(news))) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            struct row r;

            slots_row(l->w->slots, news[i], &r);
            if (r.id.u64 < ANCHORS) /* they always match */
                l->seen[r.id.u64] = true;
        }
    }
    for (size_t i = 0; i < ANCHORS; i++)
        CHECK(l->seen[i]);
    epoch_leave(l->w->epoch, guard);
    atomic_fetch_add(&l->w->used, l->answer.used);
    atomic_fetch_add(&l->w->exact, l->answer.exact);
}

static bool take_ordered(void *arg, uint32_t slot, const struct pindex_order_value *v)
{
    uint64_t *last = arg;

    (void)slot;
    CHECK(v->type == JBIN_T_U64 && v->u64 >= *last);
    *last = v->u64;
    return true;
}

/* What a run has to have met. */
static bool enough(struct world *w)
{
    return atomic_load(&w->used) > READS && atomic_load(&w->exact) > READS &&
           atomic_load(&w->retired) > KEPT_DEAD &&
           slots_end(w->slots) < atomic_load(&w->published); /* slots were used again */
}

static void read_main(void *arg)
{
    struct look *l = calloc(1, sizeof *l);
    struct filter_value stay = {.type = JBIN_T_STRING, .text = slice_text("stay")};
    struct filter kw = {.kind = FILTER_ANY_OF, .values = &stay, .value_count = 1};
    struct filter high = {.kind = FILTER_RANGE, .lower = BOUND_CLOSED};
    struct filter low = {.kind = FILTER_NOT, .child_count = 1};
    struct filter both = {.kind = FILTER_AND, .child_count = 2};
    const struct filter *filters[] = {&kw, &low, &both};
    struct filter *children[] = {&kw, &low};
    struct filter *child = &high;
    struct pindex_estimate e;
    struct arena paths, arena;
    uint64_t last;

    CHECK(l != NULL);
    arena_init(&paths, ARENA_BYTES);
    arena_init(&arena, ARENA_BYTES);
    l->w = arg;
    kw.path = path("kw", &paths);
    high.path = path("n", &paths);
    high.low = 1000;
    high.low_exact = (struct filter_value){.type = JBIN_T_U64, .u64 = 1000};
    low.children = &child;
    both.children = children;
    for (int i = 0; i < READS || (!enough(l->w) && i < READS_MAX); i++) {
        l->f = filters[i % 3];
        look_once(l, &arena);
        pindex_estimate(l->w->set, l->f, slots_live_count(l->w->slots), &e);
        CHECK(e.low <= e.likely && e.likely <= e.high);
        last = 0;
        CHECK(i % 10 != 0 || pindex_ordered(l->w->set, high.path, false, NULL, take_ordered, &last,
                                            NULL) == ST_OK);
        arena_reset(&arena);
    }
    arena_free(&arena);
    arena_free(&paths);
    free(l);
}

static void what_matches_all_the_time_is_always_found(void **state)
{
    static struct world w;
    const struct pindex_rows rows = {rows_end, rows_state, rows_payload, &w};
    const struct slots_options options = {.budget = &w.budget};
    struct slots_options with_epoch = options;
    void (*const loops[])(void *) = {apply_main, collect_main, change_main, index_main, index_main};
    struct thread others[COUNT_OF(loops)];
    struct thread readers[READERS];
    struct pindex_spec spec = {.type = PINDEX_INTEGER};
    struct arena arena;
    struct buf payload;

    (void)state;
    arena_init(&arena, ARENA_BYTES);
    buf_init(&payload, 4096);
    mem_budget_init(&w.budget, NULL, 0);
    assert_int_equal(epoch_create(&w.epoch, NULL), ST_OK);
    with_epoch.epoch = w.epoch;
    assert_int_equal(slots_create(&with_epoch, &w.slots, NULL), ST_OK);
    assert_int_equal(pindex_create(&rows, &w.budget, &w.set, NULL), ST_OK);
    for (uint64_t id = 0; id < ANCHORS; id++)
        publish(&w, &payload, id, id + 1);
    spec.path = path("n", &arena);
    assert_int_equal(pindex_add(w.set, &spec, NULL), ST_OK);
    while (pindex_step(w.set, 10).left > 0)
        ;
    for (unsigned i = 0; i < COUNT_OF(loops); i++)
        assert_int_equal(thread_start(&others[i], "pindex", THREAD_NORMAL, loops[i], &w, NULL),
                         ST_OK);
    for (unsigned i = 0; i < READERS; i++)
        assert_int_equal(thread_start(&readers[i], "reader", THREAD_NORMAL, read_main, &w, NULL),
                         ST_OK);
    for (unsigned i = 0; i < READERS; i++)
        thread_join(&readers[i]);
    atomic_store(&w.stop, true);
    for (unsigned i = 0; i < COUNT_OF(loops); i++)
        thread_join(&others[i]);
    print_message("published %d, retired %d, lookups of %d readers with an index %d, exact %d\n",
                  (int)w.published, (int)w.retired, READERS, (int)w.used, (int)w.exact);
    assert_true(enough(&w));
    pindex_destroy(w.set);
    slots_destroy(w.slots);
    epoch_destroy(w.epoch);
    assert_int_equal(mem_budget_bytes(&w.budget), 0);
    buf_free(&payload);
    arena_free(&arena);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_matches_all_the_time_is_always_found)};

    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
