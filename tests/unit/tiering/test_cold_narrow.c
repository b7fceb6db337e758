/* Filters of cold segments that have payload indexes: the answers are those of the rows, whichever
 * segments have which indexes, and little is read for them. test_cold_narrow [seed]. */
#include "tests/support/alloc_sweep.h"
#include "tests/unit/tiering/cold_world.h"
#include "tiering/cold_index.h"

#include "base/mem.h"
#include "filter/words.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 31;

/* --- indexes --- */

enum { SPECS = 10 };
static const struct {
    const char *path;
    enum pindex_type type;
} INDEXED[SPECS] = {
    {"n", PINDEX_INTEGER},    {"even", PINDEX_BOOL},   {"word", PINDEX_KEYWORD},
    {"of", PINDEX_INTEGER},   {"price", PINDEX_FLOAT}, {"tags[]", PINDEX_KEYWORD},
    {"day", PINDEX_DATETIME}, {"at", PINDEX_GEO},      {"text", PINDEX_TEXT},
    {"odd", PINDEX_INTEGER},
};
static struct pindex_spec specs[SPECS];
static struct arena paths;

static void make_specs(void)
{
    arena_init(&paths, SIZE_MAX);
    for (size_t i = 0; i < SPECS; i++) {
        specs[i].type = INDEXED[i].type;
        assert_int_equal(path_parse(slice_text(INDEXED[i].path), &paths, &specs[i].path, NULL),
                         ST_OK);
    }
}

/* --- filters --- */

struct asked {
    struct jdoc *json;
    struct arena arena;
    struct filter *filter;
    char text[1024];
};

static int vector_of(void *arg, struct slice name)
{
    (void)arg;
    return slice_equal(name, slice_text("b")) ? 1 : -1;
}

static void ask(struct asked *a, const char *text)
{
    const struct filter_binding binding = {.vector_of = vector_of};
    struct jval root;
    struct err err = {0};

    (void)snprintf(a->text, sizeof a->text, "%s", text);
    arena_init(&a->arena, SIZE_MAX);
    assert_int_equal(jdoc_create(&a->json, NULL), ST_OK);
    if (jdoc_parse(a->json, slice_text(text), &root, &err) != ST_OK ||
        filter_parse_qdrant(root, true, &a->arena, &a->filter, &err) != ST_OK)
        fail_msg("%s\n%s", err.text, text);
    assert_int_equal(filter_bind(a->filter, &binding, &a->arena, NULL), ST_OK);
}

static void asked_free(struct asked *a)
{
    arena_free(&a->arena);
    jdoc_destroy(a->json);
}

static void draw_condition(struct rand_source *r, char *out, size_t room)
{
    unsigned x = (unsigned)rand_below(r, 1000), y = (unsigned)rand_below(r, 100);

    switch (rand_below(r, 18)) {
    case 0:
        (void)snprintf(out, room, "{\"key\":\"n\",\"range\":{\"gte\":%u,\"lt\":%u}}", 800 + x,
                       900 + x + y * 5);
        break;
    case 1:
        (void)snprintf(out, room, "{\"key\":\"even\",\"match\":{\"value\":%s}}",
                       x % 2 == 0 ? "true" : "false");
        break;
    case 2:
        (void)snprintf(out, room, "{\"key\":\"word\",\"match\":{\"any\":[\"w%u\",\"w%u\"]}}",
                       x % 17, y % 20);
        break;
    case 3:
        (void)snprintf(out, room, "{\"key\":\"word\",\"match\":{\"except\":[\"w%u\",\"w1\"]}}",
                       x % 17);
        break;
    case 4:
        (void)snprintf(out, room, "{\"key\":\"of\",\"match\":{\"value\":%u}}", y);
        break;
    case 5:
        (void)snprintf(out, room, "{\"key\":\"of\",\"match\":{\"any\":[%u,%u,%u]}}", y, x % 100,
                       x % 7);
        break;
    case 6:
        (void)snprintf(out, room, "{\"key\":\"price\",\"range\":{\"gt\":%u.5,\"lte\":%u}}", 9 * x,
                       9 * x + 11 * y);
        break;
    case 7:
        (void)snprintf(out, room, "{\"key\":\"tags[]\",\"match\":{\"value\":\"t%u\"}}", x % 30);
        break;
    case 8:
        (void)snprintf(out, room,
                       "{\"key\":\"day\",\"range\":{\"gte\":\"2024-%02u-10T00:00:00Z\",\"lt\":"
                       "\"2024-%02u-20T12:00:00Z\"}}",
                       1 + x % 12, 1 + y % 12);
        break;
    case 9:
        (void)snprintf(out, room,
                       "{\"key\":\"at\",\"geo_radius\":{\"center\":{\"lat\":%u,\"lon\":%u},"
                       "\"radius\":%u}}",
                       x % 80, y, 1 + x * 3000);
        break;
    case 10:
        (void)snprintf(out, room, "{\"key\":\"text\",\"match\":{\"text\":\"apple %u\"}}", x % 30);
        break;
    case 11:
        (void)snprintf(out, room, "{\"key\":\"odd\",\"match\":{\"value\":3}}");
        break;
    case 12:
        (void)snprintf(out, room, "{\"%s\":{\"key\":\"odd\"}}",
                       x % 2 == 0 ? "is_null" : "is_empty");
        break;
    case 13: /* no index knows it */
        (void)snprintf(out, room, "{\"key\":\"half\",\"match\":{\"value\":%u}}", x % 2);
        break;
    case 14:
        (void)snprintf(out, room, "{\"key\":\"tags\",\"values_count\":{\"gt\":%u}}", x % 3);
        break;
    case 15:
        (void)snprintf(out, room, "{\"has_id\":[%u,%u,%u]}", 1000 + x, 1100 + y, 1204);
        break;
    case 16:
        (void)snprintf(out, room, "{\"has_vector\":\"b\"}");
        break;
    default:
        (void)snprintf(out, room, "{\"key\":\"odd\",\"range\":{\"gte\":%u}}", x % 4);
        break;
    }
}

static void draw_filter(struct rand_source *r, char *out, size_t room)
{
    static const char *const GROUPS[] = {"must", "should", "must_not"};
    size_t at = (size_t)snprintf(out, room, "{");
    bool any = false;

    for (size_t g = 0; g < 3; g++) {
        uint64_t count = rand_below(r, g == 0 ? 3 : 2);

        if (count == 0 && (g < 2 || any))
            continue;
        count += count == 0;
        at += (size_t)snprintf(out + at, room - at, "%s\"%s\":[", any ? "," : "", GROUPS[g]);
        for (uint64_t i = 0; i < count; i++) {
            if (i > 0)
                out[at++] = ',';
            draw_condition(r, out + at, room - at);
            at += strlen(out + at);
        }
        at += (size_t)snprintf(out + at, room - at, "]");
        any = true;
    }
    (void)snprintf(out + at, room - at, "}");
}

/* --- what is true --- */

static bool row_matches(const struct filter *f, const struct cold_make_row *row)
{
    const struct filter_row asked = {.id = &row->id,
                                     .payload = row->payload,
                                     .vectors = (uint64_t)(row->vectors[0] != NULL) |
                                                (uint64_t)(row->vectors[1] != NULL) << 1};

    return filter_match(f, &asked);
}

static size_t truth(const struct cold_world *w, const struct filter *f, uint64_t *lsn_sum)
{
    size_t count = 0;

    *lsn_sum = 0;
    for (uint32_t s = 0; s < w->segments; s++)
        for (uint32_t i = 0; i < w->rows[s].count; i++)
            if (!world_is_dead(w, s, i) && row_matches(f, &w->rows[s].rows[i])) {
                *lsn_sum += w->rows[s].rows[i].lsn;
                count++;
            }
    return count;
}

struct told {
    struct cold_world *w;
    const struct filter *filter;
    unsigned what;
    uint64_t vectors;
    size_t count;
    uint64_t lsn_sum;
};

static status tell(void *arg, const struct cold_row *row, struct err *err)
{
    struct told *t = arg;

    (void)err;
    assert_true(row->found && row->id.kind != 0);
    if (t->what != 0 || t->vectors != 0)
        world_check_row(t->w, row, t->what, t->vectors);
    t->lsn_sum += row->lsn;
    t->count++;
    return ST_OK;
}

static void each_is_right(struct cold_world *w, struct cold_set *set, const struct asked *a,
                          unsigned what, uint64_t vectors, struct cold_stats *stats)
{
    struct told told = {.w = w, .filter = a->filter, .what = what, .vectors = vectors};
    struct cold_terms terms = world_terms();
    struct err err = {0};
    uint64_t lsn_sum;
    size_t count = truth(w, a->filter, &lsn_sum);

    if (cold_set_each(set, a->filter, what, vectors, &terms, tell, &told, stats, &err) != ST_OK)
        fail_msg("seed %" PRIu64 ": %s", seed, err.text);
    if (told.count != count || told.lsn_sum != lsn_sum)
        fail_msg("seed %" PRIu64 ": %zu rows, not %zu\n%s", seed, told.count, count, a->text);
}

/* All that match, by an exact query without a bound that matters. */
static void query_is_right(struct cold_world *w, struct cold_set *set, const struct asked *a)
{
    struct cold_terms terms = world_terms();
    struct cold_query q = {.field = 0,
                           .vector = w->rows[0].rows[1].vectors[0],
                           .limit = 5000,
                           .exact = true,
                           .filter = a->filter};
    struct cold_stats stats = {0};
    struct cold_hit *hits;
    struct arena arena;
    size_t wanted = 0;
    uint32_t count;
    bool partial;

    for (uint32_t s = 0; s < w->segments; s++)
        for (uint32_t i = 0; i < w->rows[s].count; i++) {
            const struct cold_make_row *row = &w->rows[s].rows[i];
            uint32_t segment;

            if (world_is_dead(w, s, i) || row->vectors[0] == NULL || !row_matches(a->filter, row))
                continue;
            /* An id that is in two segments counts where it matches in the newer one, or in the
             * older: a set does not know which is newer but by their keys. */
            (void)world_newest(w, &row->id, &segment, NULL);
            wanted += segment == s;
        }
    arena_init(&arena, SIZE_MAX);
    assert_int_equal(cold_set_query(set, &q, &terms, &arena, &hits, &count, &partial, &stats, NULL),
                     ST_OK);
    assert_false(partial);
    if (count < wanted)
        fail_msg("seed %" PRIu64 ": %u hits, not %zu\n%s", seed, count, wanted, a->text);
    arena_free(&arena);
}

/* Of every row, where indexes say it. Whether they do. */
static bool matches_are_right(struct cold_world *w, struct cold_set *set, const struct asked *a)
{
    struct cold_terms terms = world_terms();
    struct cold_matches *m = NULL;
    uint64_t lsn_sum;

    assert_int_equal(cold_set_matches(set, a->filter, &terms, NULL, &m, NULL), ST_OK);
    if (m == NULL)
        return false;
    if (cold_matches_count(m) != truth(w, a->filter, &lsn_sum))
        fail_msg("seed %" PRIu64 ": %" PRIu64 " matches\n%s", seed, cold_matches_count(m), a->text);
    for (uint32_t s = 0; s < w->segments; s++)
        for (uint32_t i = 0; i < w->rows[s].count; i++)
            assert_int_equal(cold_matches_has(m, s, w->ordinals[s][i]),
                             row_matches(a->filter, &w->rows[s].rows[i]));
    cold_matches_drop(m);
    return true;
}

/* --- --- */

static struct cold_world_options mixed(uint64_t round)
{
    return (struct cold_world_options){.segments = 3,
                                       .rows = 500,
                                       .dim = 8,
                                       .seed = seed + round,
                                       .mixed_ids = round % 2 == 0,
                                       .without_vector = round % 2 == 0 ? 9 : 0,
                                       .rich = 1,
                                       .indexes = specs,
                                       .index_count = {round % 3 == 0 ? 0 : SPECS, 4, SPECS}};
}

static void indexes_change_no_answer(void **state)
{
    uint64_t without = 0, with = 0;
    unsigned known = 0, remembered = 0;

    (void)state;
    for (uint64_t round = 0; round < 6; round++) {
        struct cold_world_options o = mixed(round);
        struct rand_seeded rand;
        struct cold_world w;
        struct cold_set *set;
        size_t all = 0;

        rand_seeded_init(&rand, seed * 31 + round);
        world_open(&w, &o);
        for (uint32_t s = 0; s < w.segments; s++)
            all += w.rows[s].count;
        set = world_set(&w, NULL);
        for (int n = 0; n < 40; n++) {
            struct cold_stats first = {0}, second = {0};
            struct asked a;
            char text[1024];
            uint64_t lsn_sum;
            size_t matched;

            draw_filter(&rand.source, text, sizeof text);
            ask(&a, text);
            known += matches_are_right(&w, set, &a);
            each_is_right(&w, set, &a, 0, 0, &first);
            each_is_right(&w, set, &a, COLD_PAYLOAD, n % 2 == 0 ? 3 : 0, &second);
            query_is_right(&w, set, &a);
            remembered += matches_are_right(&w, set, &a); /* of the query */
            matched = truth(&w, a.filter, &lsn_sum);
            with += first.rows_scanned - matched;
            without += all - matched;
            asked_free(&a);
        }
        cold_set_drop(set);
        world_close(&w);
    }
    print_message("rows looked at in vain: %" PRIu64 " of %" PRIu64 "\n", with, without);
    assert_true(with < without * 3 / 4);
    assert_true(known > 0 && remembered > known);
}

static void a_damaged_index_is_not_believed(void **state)
{
    struct objstore_fault fault = {
        .kind = OBJSTORE_FAULT_CORRUPT, .ops = 1u << OBJSTORE_GET, .times = 2};
    struct cold_world_options o = mixed(1);
    struct cold_stats stats = {0};
    struct cold_world w;
    struct cold_set *set;
    struct asked a;
    unsigned id;

    (void)state;
    o.segments = 1;
    world_open(&w, &o);
    set = world_set(&w, NULL);
    ask(&a, "{\"must\":[{\"key\":\"of\",\"match\":{\"value\":7}}]}");
    assert_int_equal(objstore_faults_add(w.faults, &fault, &id, NULL), ST_OK);
    each_is_right(&w, set, &a, 0, 0, &stats);
    assert_int_equal(objstore_faults_met(w.faults, id), 2);
    assert_true(stats.rows_scanned >= 500); /* payloads were read */
    objstore_faults_clear(w.faults);
    stats = (struct cold_stats){0};
    each_is_right(&w, set, &a, 0, 0, &stats);
    assert_true(stats.rows_scanned < 100);
    asked_free(&a);
    cold_set_drop(set);
    world_close(&w);
}

static void what_was_found_is_remembered(void **state)
{
    struct cold_world_options o = mixed(1);
    struct cold_stats stats = {0};
    struct cold_world w;
    struct cold_set *set;
    struct asked a;
    uint64_t gets;

    (void)state;
    world_open(&w, &o);
    set = world_set(&w, NULL);
    ask(&a, "{\"must\":[{\"key\":\"of\",\"match\":{\"value\":7}}]}");
    query_is_right(&w, set, &a);
    (void)cold_set_unload(set);
    gets = world_gets(&w);
    each_is_right(&w, set, &a, 0, 0, &stats);
    assert_true(world_gets(&w) - gets <= 3 * 6); /* rows, no indexes */
    assert_true(stats.rows_scanned < 100);
    asked_free(&a);
    cold_set_drop(set);
    world_close(&w);
}

/* --- how much is read --- */

static void few_bytes_are_read_for_a_filter(void **state)
{
    static const struct {
        const char *filter;
        uint32_t gets_max, query_gets_max;
        uint64_t percent_max, query_percent_max; /* of the payloads */
    } cases[] = {
        {"{\"must\":[{\"key\":\"of\",\"match\":{\"value\":7}}]}", 4, 40, 8, 60},
        {"{\"must\":[{\"key\":\"price\",\"range\":{\"gte\":100,\"lt\":110}}]}", 25, 70, 8, 30},
        {"{\"must\":[{\"key\":\"of\",\"range\":{\"lt\":50}}]}", 5, 40, 12, 60},
        {"{\"must\":[{\"key\":\"text\",\"match\":{\"text\":\"apple 11\"}}]}", 5, 40, 10, 60},
    };
    struct cold_world_options o = {.segments = 1,
                                   .rows = 20000,
                                   .dim = 8,
                                   .seed = seed,
                                   .fields = 1,
                                   .rich = 400,
                                   .indexes = specs,
                                   .index_count = {SPECS}};
    struct cold_terms terms = world_terms();
    struct cold_world w;
    struct cold_set *set;
    uint64_t payloads;

    (void)state;
    world_open(&w, &o);
    set = world_set(&w, NULL);
    payloads = set->members[0]
                   .segment->footer.payload_offsets[set->members[0].segment->footer.payload_blocks];
    print_message(
        "payloads %" PRIu64 " bytes, indexes %" PRIu64 ", directory %" PRIu64 "\n", payloads,
        set->members[0].segment->footer.indexes->end - set->members[0].segment->footer.indexes->at,
        (uint64_t)set->members[0].segment->footer.indexes->blocks);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct cold_query q = {.field = 0, .vector = w.rows[0].rows[5].vectors[0], .limit = 10};
        struct cold_stats count = {0}, query = {0};
        struct cold_hit *hits;
        struct arena arena;
        struct asked a;
        uint32_t found;
        bool partial;

        arena_init(&arena, SIZE_MAX);
        ask(&a, cases[i].filter);
        each_is_right(&w, set, &a, 0, 0, &count);
        cold_set_drop(set);
        set = world_set(&w, NULL); /* nothing is remembered */
        (void)cold_set_unload(set);
        q.filter = a.filter;
        assert_int_equal(
            cold_set_query(set, &q, &terms, &arena, &hits, &found, &partial, &query, NULL), ST_OK);
        assert_int_equal(found, 10);
        print_message("%s\n    count %u GETs %" PRIu64 " bytes, query %u GETs %" PRIu64 " bytes\n",
                      cases[i].filter, count.gets, count.bytes, query.gets, query.bytes);
        assert_true(count.gets <= cases[i].gets_max);
        assert_true(count.bytes * 100 <= payloads * cases[i].percent_max);
        assert_true(query.gets <= cases[i].query_gets_max);
        assert_true(query.bytes * 100 <= payloads * cases[i].query_percent_max);
        assert_int_equal(query.filter_rows, 0); /* no payload was asked */
        asked_free(&a);
        arena_free(&arena);
    }
    cold_set_drop(set);
    world_close(&w);
}

/* --- memory --- */

struct sweeping {
    struct cold_world *w;
    struct cold_set *set;
    struct asked asked;
};

static status select_once(void *arg)
{
    struct sweeping *s = arg;
    struct cold_selection *out = NULL;
    struct cold_terms terms = world_terms();
    struct err err = {0};
    status st = cold_select(s->set, 0, s->asked.filter, &terms, NULL, &out, &err);

    cold_selection_drop(out);
    for (struct cold_selection *x = s->set->members[0].segment->newest; x != NULL;) {
        struct cold_selection *older = x->older;

        cold_selection_drop(x);
        x = older;
    }
    s->set->members[0].segment->newest = NULL;
    return st;
}

static void each_allocation_may_fail(void **state)
{
    struct cold_world_options o = mixed(1);
    struct cold_world w;
    struct sweeping s = {.w = &w};

    (void)state;
    o.segments = 1;
    world_open(&w, &o);
    s.set = world_set(&w, NULL);
    ask(&s.asked, "{\"must\":[{\"key\":\"price\",\"range\":{\"lt\":3000}},"
                  "{\"key\":\"word\",\"match\":{\"any\":[\"w3\",\"w4\"]}}],"
                  "\"must_not\":[{\"key\":\"half\",\"match\":{\"value\":1}}]}");
    assert_true(alloc_sweep(select_once, &s) > 10);
    asked_free(&s.asked);
    cold_set_drop(s.set);
    world_close(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(indexes_change_no_answer),
        cmocka_unit_test(a_damaged_index_is_not_believed),
        cmocka_unit_test(what_was_found_is_remembered),
        cmocka_unit_test(few_bytes_are_read_for_a_filter),
        cmocka_unit_test(each_allocation_may_fail),
    };
    int failed;

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed %" PRIu64 "\n", seed);
    make_specs();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(&paths);
    return failed;
}
