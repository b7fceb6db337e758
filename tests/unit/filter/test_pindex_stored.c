/* Stored payload indexes against the rows themselves: entries of random rows are kept sorted, of
 * each random filter what it needs is loaded and nothing else, and the answer must be what
 * filter_match() says. A seed may be given as the only argument. */
#include "jsons.h"
#include "pindex_gen.h"

#include "filter/pindex_stored.h"
#include "tests/support/alloc_sweep.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 300, ITEMS = 8, FILTERS = 250, SEEDS = 8, NEEDS_MAX = 4096 };

struct entry {
    uint32_t item, row;
    uint32_t bytes;
    uint8_t key[PINDEX_STORED_KEY_BYTES_MAX];
};
struct needed {
    uint32_t item;
    uint32_t low_bytes, high_bytes;
    uint8_t low[64], high[64];
};
struct world {
    struct gen gen;
    uint64_t seed;
    struct buf payloads[ROWS];
    struct entry *entries;
    size_t count, room;
    struct pindex_stored items[ITEMS];
    struct arena specs, arena;
    struct buf text;
    struct needed needs[NEEDS_MAX];
    size_t need_count;
    uint32_t item, row; /* being told */
    uint64_t used, exact, loaded;
};

#define CHECK(w, condition)                                                                        \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("seed %" PRIu64 ": %s\n%s", (w)->seed, #condition,                            \
                     (w)->text.bytes > 0 ? (const char *)(w)->text.data : "");                     \
    } while (0)

static uint64_t only_seed;

/* --- what is stored --- */

static bool take_entry(void *arg, struct slice key)
{
    struct world *w = arg;
    struct entry *e;

    if (w->count == w->room) {
        w->room = w->room == 0 ? 1024 : 2 * w->room;
        w->entries = realloc(w->entries, w->room * sizeof *w->entries);
        assert_non_null(w->entries);
    }
    assert_true(key.bytes > 0 && key.bytes <= sizeof e->key);
    e = &w->entries[w->count++];
    *e = (struct entry){.item = w->item, .row = w->row, .bytes = (uint32_t)key.bytes};
    memcpy(e->key, key.data, key.bytes);
    return true;
}

static int key_order(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes)
{
    int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);

    return order != 0 ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int by_key(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = x->item != y->item ? (x->item < y->item ? -1 : 1)
                                   : key_order(x->key, x->bytes, y->key, y->bytes);

    return order != 0 ? order : (x->row > y->row) - (x->row < y->row);
}

static void sort_entries(struct world *w)
{
    size_t kept = 0;

    qsort(w->entries, w->count, sizeof *w->entries, by_key);
    for (size_t i = 0; i < w->count; i++) {
        struct entry *e = &w->entries[i];
        struct pindex_stored *item = &w->items[e->item];

        if (kept > 0 && by_key(e, &w->entries[kept - 1]) == 0)
            continue;
        if (pindex_stored_is_entry(slice_make(e->key, e->bytes)))
            item->entries++;
        else
            item->sets[e->key[0]]++;
        w->entries[kept++] = *e;
    }
    w->count = kept;
}

static void make_items(struct world *w)
{
    bool taken[GEN_PATHS] = {false};

    for (size_t i = 0; i < ITEMS; i++) {
        struct pindex_spec *spec = &w->items[i].spec;
        size_t at = gen_below(&w->gen, GEN_PATHS);

        while (taken[at])
            at = (at + 1) % GEN_PATHS;
        taken[at] = true;
        assert_int_equal(
            path_parse(slice_text(gen_path(at, &spec->type)), &w->specs, &spec->path, NULL), ST_OK);
        if (gen_below(&w->gen, 6) == 0)
            spec->type = (enum pindex_type)(1 + gen_below(&w->gen, PINDEX_TEXT));
        if (spec->type == PINDEX_TEXT && gen_below(&w->gen, 3) == 0)
            spec->words.tokenizer = (int)gen_below(&w->gen, 4);
    }
}

static void world_init(struct world *w, uint64_t seed)
{
    w->seed = seed;
    w->gen = (struct gen){.random = seed, .clean = seed % 2 == 0};
    arena_init(&w->specs, SIZE_MAX);
    arena_init(&w->arena, SIZE_MAX);
    buf_init(&w->text, 1024 * 1024);
    make_items(w);
    for (uint32_t r = 0; r < ROWS; r++) {
        buf_init(&w->payloads[r], 1024 * 1024);
        buf_reset(&w->text);
        gen_payload(&w->gen, &w->text);
        jsons_blob(&w->payloads[r], (const char *)w->text.data);
        w->row = r;
        for (w->item = 0; w->item < ITEMS; w->item++)
            assert_true(pindex_entries_of(&w->items[w->item].spec, buf_slice(&w->payloads[r]),
                                          take_entry, w));
    }
    sort_entries(w);
}

static void world_fini(struct world *w)
{
    for (uint32_t r = 0; r < ROWS; r++)
        buf_free(&w->payloads[r]);
    free(w->entries);
    arena_free(&w->specs);
    arena_free(&w->arena);
    buf_free(&w->text);
    jsons_free();
}

/* --- what is needed of it --- */

static bool take_need(void *arg, uint32_t item, struct slice low, struct slice high)
{
    struct world *w = arg;
    struct needed *n = &w->needs[w->need_count++];

    assert_true(w->need_count <= NEEDS_MAX && item < ITEMS);
    assert_true(low.bytes <= sizeof n->low && high.bytes <= sizeof n->high);
    *n = (struct needed){
        .item = item, .low_bytes = (uint32_t)low.bytes, .high_bytes = (uint32_t)high.bytes};
    memcpy(n->low, low.data, low.bytes);
    memcpy(n->high, high.data, high.bytes);
    return true;
}

static bool is_needed(const struct world *w, const struct entry *e)
{
    for (size_t i = 0; i < w->need_count; i++) {
        const struct needed *n = &w->needs[i];

        if (n->item == e->item && key_order(n->low, n->low_bytes, e->key, e->bytes) <= 0 &&
            key_order(e->key, e->bytes, n->high, n->high_bytes) <= 0)
            return true;
    }
    return false;
}

static status load_needed(struct world *w, struct pindex_set *set, struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < w->count;) {
        const struct entry *e = &w->entries[i];
        uint32_t rows[ROWS];
        uint32_t count = 0;

        for (; i < w->count && w->entries[i].item == e->item &&
               key_order(w->entries[i].key, w->entries[i].bytes, e->key, e->bytes) == 0;
             i++)
            rows[count++] = w->entries[i].row;
        if (!is_needed(w, e))
            continue;
        w->loaded += count;
        st = pindex_stored_load(set, e->item, slice_make(e->key, e->bytes), rows, count, err);
    }
    return st == ST_OK ? pindex_stored_loaded(set, err) : st;
}

/* --- filters --- */

static bool words_of(void *arg, const struct path *path, struct filter_words *out)
{
    const struct world *w = arg;

    for (size_t i = 0; i < ITEMS; i++) {
        if (w->items[i].spec.type != PINDEX_TEXT || !path_equal(w->items[i].spec.path, path))
            continue;
        *out = w->items[i].spec.words;
        return true;
    }
    return false;
}

static struct filter *make_filter(struct world *w)
{
    const struct filter_binding binding = {.words_of = words_of, .arg = w};
    struct filter *f = NULL;
    bool ours = gen_below(&w->gen, 4) == 0;
    struct jval v;

    buf_reset(&w->text);
    (ours ? gen_own_filter : gen_filter)(&w->gen, &w->text);
    v = jsons_value((const char *)w->text.data);
    CHECK(w, (ours ? filter_parse_native : filter_parse_qdrant)(v, false, &w->arena, &f, NULL) ==
                 ST_OK);
    CHECK(w, filter_bind(f, &binding, &w->arena, NULL) == ST_OK);
    return f;
}

static bool bit(const uint64_t *bits, uint32_t row)
{
    return bits != NULL && (bits[row / 64] >> row % 64 & 1) != 0;
}

static void check_filter(struct world *w)
{
    struct pindex_set *set;
    struct pindex_answer a;
    struct filter *f;

    arena_reset(&w->arena);
    f = make_filter(w);
    CHECK(w, pindex_stored_open(w->items, ITEMS, ROWS, &set, NULL) == ST_OK);
    w->need_count = 0;
    CHECK(w, pindex_stored_needs(set, f, take_need, w));
    CHECK(w, load_needed(w, set, NULL) == ST_OK);
    CHECK(w, pindex_lookup(set, f, &w->arena, &a, NULL) == ST_OK);
    for (uint32_t row = 0; a.used && row < ROWS; row++) {
        const struct docid id = docid_u64(row);
        bool match = filter_match(
            f, &(struct filter_row){.id = &id, .payload = buf_slice(&w->payloads[row])});

        CHECK(w, !match || bit(a.bits, row));
        CHECK(w, match || !bit(a.sure, row));
        CHECK(w, !a.exact || match == bit(a.bits, row));
    }
    w->used += a.used;
    w->exact += a.exact;
    pindex_destroy(set);
}

static void what_is_loaded_answers_as_the_rows_do(void **state)
{
    uint64_t used = 0, exact = 0, loaded = 0, stored = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= (only_seed == 0 ? SEEDS : 1); seed++) {
        struct world *w = calloc(1, sizeof *w);

        assert_non_null(w);
        world_init(w, only_seed == 0 ? seed : only_seed);
        for (int i = 0; i < FILTERS; i++)
            check_filter(w);
        used += w->used;
        exact += w->exact;
        loaded += w->loaded;
        stored += w->count * FILTERS;
        world_fini(w);
        free(w);
    }
    print_message("filters an index helped %" PRIu64 ", exactly %" PRIu64
                  "; entries loaded %" PRIu64 " of %" PRIu64 "\n",
                  used, exact, loaded, stored);
    if (only_seed != 0)
        return;
    assert_true(used > 200 && exact > 50);
    assert_true(loaded < stored / 4); /* what a filter needs is little of what there is */
}

/* --- what is not believed --- */

static struct pindex_stored item_of(struct arena *arena, const char *path, enum pindex_type type)
{
    struct pindex_stored item = {.spec.type = type};

    assert_int_equal(path_parse(slice_text(path), arena, &item.spec.path, NULL), ST_OK);
    return item;
}

static status open_and_load(const struct pindex_stored *item, const char *key, size_t key_bytes,
                            const uint32_t *rows, uint32_t count)
{
    struct pindex_set *set;
    status st = pindex_stored_open(item, 1, 100, &set, NULL);

    if (st != ST_OK)
        return st;
    st = pindex_stored_load(set, 0, slice_make((const uint8_t *)key, key_bytes), rows, count, NULL);
    if (st == ST_OK)
        st = pindex_stored_loaded(set, NULL);
    pindex_destroy(set);
    return st;
}

static void what_is_no_such_index_is_corrupt(void **state)
{
    const uint32_t rows[] = {3, 99, 100};
    struct arena arena;
    struct pindex_stored items[2];
    struct pindex_set *set;

    (void)state;
    arena_init(&arena, SIZE_MAX);
    items[0] = item_of(&arena, "a", PINDEX_INTEGER);
    items[1] = item_of(&arena, "\"a\"", PINDEX_KEYWORD);
    assert_int_equal(pindex_stored_open(items, 2, 100, &set, NULL), ST_CORRUPT); /* one path */
    items[0].sets[0] = 101;
    items[0].entries = 200;
    assert_int_equal(pindex_stored_open(items, 1, 100, &set, NULL), ST_CORRUPT);
    items[0].sets[0] = 50;
    items[0].entries = 49;
    assert_int_equal(pindex_stored_open(items, 1, 100, &set, NULL), ST_CORRUPT);
    items[0].entries = 60;
    items[0].sets[1] = 2;

    assert_int_equal(open_and_load(items, "\x21\0\0\0\0\0\0\0\1", 9, rows, 2), ST_OK);
    assert_int_equal(open_and_load(items, "\x21\0\0\0\0\0\0\0\1", 9, rows, 3), ST_CORRUPT);
    assert_int_equal(open_and_load(items, "\x21\0\0\0\0\0\0\0", 8, rows, 2), ST_CORRUPT);
    assert_int_equal(open_and_load(items, "\x23\0\0\0\0\0\0\0\1", 9, rows, 2), ST_CORRUPT);
    assert_int_equal(open_and_load(items, "\x10x", 2, rows, 2), ST_CORRUPT); /* a keyword */
    assert_int_equal(open_and_load(items, "\1", 1, rows, 2), ST_OK);
    assert_int_equal(open_and_load(items, "\1", 1, rows, 1), ST_CORRUPT); /* fewer than is said */
    assert_int_equal(open_and_load(items, "\1x", 2, rows, 2), ST_CORRUPT);
    assert_int_equal(open_and_load(items, "\0", 1, rows, 2), ST_CORRUPT);
    items[0].sets[1] = 1;
    assert_int_equal(open_and_load(items, "\1", 1, rows, 2), ST_CORRUPT); /* more */
    items[1].spec.type = PINDEX_DATETIME;
    assert_int_equal(open_and_load(items + 1, "\x20\0\0\0\0\0\0\0\1", 9, rows, 2), ST_CORRUPT);
    items[1].spec.type = PINDEX_BOOL;
    assert_int_equal(open_and_load(items + 1, "\x10", 1, rows, 2), ST_CORRUPT);
    assert_int_equal(open_and_load(items + 1, "\x10\1", 2, rows, 2), ST_OK);
    arena_free(&arena);
}

static void numbers_out_of_order_are_corrupt(void **state)
{
    const uint32_t rows[] = {3, 7};
    struct pindex_stored item;
    struct pindex_set *set;
    struct arena arena;

    (void)state;
    arena_init(&arena, SIZE_MAX);
    item = item_of(&arena, "a", PINDEX_FLOAT);
    assert_int_equal(pindex_stored_open(&item, 1, 100, &set, NULL), ST_OK);
    for (int round = 0; round < 2; round++)
        assert_int_equal(pindex_stored_load(set, 0,
                                            slice_make((const uint8_t *)"\x22\0\0\0\0\0\0\0\5", 9),
                                            rows, 2, NULL),
                         round == 0 ? ST_OK : ST_CORRUPT);
    assert_int_equal(pindex_stored_load(set, 0,
                                        slice_make((const uint8_t *)"\x22\0\0\0\0\0\0\0\4", 9),
                                        rows, 2, NULL),
                     ST_CORRUPT);
    pindex_destroy(set);
    arena_free(&arena);
}

/* --- no memory --- */

static status load_all(void *arg)
{
    struct world *w = arg;
    struct pindex_set *set;
    status st = pindex_stored_open(w->items, ITEMS, ROWS, &set, NULL);

    if (st != ST_OK)
        return st;
    w->need_count = ITEMS; /* all there is */
    st = load_needed(w, set, NULL);
    pindex_destroy(set);
    return st;
}

static void every_allocation_may_fail(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct pindex_set *set;

    (void)state;
    assert_non_null(w);
    world_init(w, 2);
    for (uint32_t i = 0; i < ITEMS; i++)
        w->needs[i] = (struct needed){.item = i, .high_bytes = 1, .high = {0xff}};
    assert_int_equal(pindex_stored_open(w->items, ITEMS, ROWS, &set, NULL), ST_OK);
    pindex_destroy(set);
    assert_true(alloc_sweep(load_all, w) > ITEMS);
    world_fini(w);
    free(w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_loaded_answers_as_the_rows_do),
        cmocka_unit_test(what_is_no_such_index_is_corrupt),
        cmocka_unit_test(numbers_out_of_order_are_corrupt),
        cmocka_unit_test(every_allocation_may_fail),
    };

    only_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
