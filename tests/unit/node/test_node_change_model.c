/* Random conditional and partial writes against a simple model, with the power cut at any effect:
 * what was acknowledged is there, what was under way is there or not, each document for itself
 * where a filter chose, all or nothing where ids were named.
 * Usage: test_node_change_model [seed [rounds]] */
#include "tests/unit/node/nchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { DIM = 4, IDS = 12, OPS = 40 };

static uint64_t seed;
static unsigned rounds = 40;
static struct nworld w;
static struct collection *c;
static struct rand_seeded rand_state;

/* A payload has at most these members, in this order. */
struct model {
    bool there;
    int a, b, in; /* "a", "b", "o": {"in"}; -1: not there */
};

static unsigned below(unsigned bound)
{
    return (unsigned)rand_below(&rand_state.source, bound);
}

static const char *text_of(const struct model *m)
{
    static char text[128];
    size_t used = 0;

    if (!m->there)
        return "";
    used += (size_t)snprintf(text, sizeof text, "{");
    if (m->a >= 0)
        used += (size_t)snprintf(text + used, sizeof text - used, "\"a\":%d,", m->a);
    if (m->b >= 0)
        used += (size_t)snprintf(text + used, sizeof text - used, "\"b\":%d,", m->b);
    if (m->in >= 0)
        used += (size_t)snprintf(text + used, sizeof text - used, "\"o\":{\"in\":%d},", m->in);
    if (used > 1)
        used--;
    (void)snprintf(text + used, sizeof text - used, "}");
    return text;
}

/* The members as they are, whatever their order. */
static struct model found(uint64_t id)
{
    const struct docid key = docid_u64(id);
    struct model m = {.a = -1, .b = -1, .in = -1};
    struct document d;
    struct arena arena;

    arena_init(&arena, 1 << 20);
    m.there = node_get(c, &key, &arena, &d, NULL) == ST_OK;
    if (m.there) {
        struct rd r = rd_make(jbin_root(d.payload).body);
        struct jbin_value v;
        struct slice name;

        while (jbin_member(&r, &name, &v)) {
            struct rd inner = rd_make(v.body);

            if (slice_equal(name, slice_text("a")))
                m.a = (int)v.u64;
            else if (slice_equal(name, slice_text("b")))
                m.b = (int)v.u64;
            else if (jbin_member(&inner, &name, &v))
                m.in = (int)v.u64;
        }
    }
    arena_free(&arena);
    return m;
}

static bool same(const struct model *x, const struct model *y)
{
    return x->there == y->there && (!x->there || (x->a == y->a && x->b == y->b && x->in == y->in));
}

/* --- operations: each makes `after` of `before`, and says what the node should count --- */

struct op {
    struct model after[IDS + 1];
    uint64_t count;
    bool piecewise; /* a filter chose: several records are allowed */
    status st, wanted;
};

static const struct filter *a_is(int a)
{
    static struct filter_value value;
    static struct filter f;
    static const struct path *path;

    if (path == NULL)
        path = npath("a");
    value = (struct filter_value){.type = JBIN_T_U64, .u64 = (uint64_t)a};
    f = (struct filter){.kind = FILTER_ANY_OF, .path = path, .values = &value, .value_count = 1};
    return &f;
}

static void write_some(struct op *op)
{
    static const enum write_mode modes[] = {WRITE_UPSERT, WRITE_INSERT_ONLY, WRITE_UPDATE_ONLY};
    struct write_options options = {.mode = modes[below(3)]};
    int only_a = below(2) == 0 ? (int)below(3) : -1;
    int a = (int)below(3);
    float vector[DIM] = {1, 2, 3, 4};
    struct write_row rows[3];
    char json[64];
    struct write_result result = {0};

    (void)snprintf(json, sizeof json, "{\"a\":%d}", a);
    if (only_a >= 0)
        options.update_filter = a_is(only_a);
    for (uint64_t i = 0, first = 1 + below(IDS - 3); i < 3; i++) {
        struct model *m = &op->after[first + i];

        rows[i] = (struct write_row){
            .id = docid_u64(first + i), .vector = vector, .payload = njson(json)};
        if (m->there ? options.mode == WRITE_INSERT_ONLY || (only_a >= 0 && m->a != only_a)
                     : options.mode == WRITE_UPDATE_ONLY)
            continue;
        *m = (struct model){.there = true, .a = a, .b = -1, .in = -1};
        op->count++;
    }
    op->st = nwrite_with(c, rows, 3, &options, &result, NULL);
    if (op->st == ST_OK)
        assert_int_equal(result.count, op->count);
}

static void apply(struct model *m, enum change_kind kind, bool inner, int value)
{
    if (kind == CHANGE_CLEAR_PAYLOAD || kind == CHANGE_REPLACE_PAYLOAD)
        *m = (struct model){.there = true, .a = -1, .b = -1, .in = -1};
    if (kind == CHANGE_DELETE_KEYS)
        m->a = -1;
    if (kind == CHANGE_MERGE_PAYLOAD && inner)
        m->in = value;
    if ((kind == CHANGE_MERGE_PAYLOAD && !inner) || kind == CHANGE_REPLACE_PAYLOAD)
        m->b = value;
}

static void change_some(struct op *op, bool by_filter)
{
    static const enum change_kind kinds[] = {CHANGE_MERGE_PAYLOAD, CHANGE_MERGE_PAYLOAD,
                                             CHANGE_REPLACE_PAYLOAD, CHANGE_DELETE_KEYS,
                                             CHANGE_CLEAR_PAYLOAD};
    enum change_kind kind = kinds[below(COUNT_OF(kinds))];
    bool inner = kind == CHANGE_MERGE_PAYLOAD && below(2) == 0;
    int value = (int)below(1000), only_a = (int)below(3);
    const struct path *a = npath("a"), *o = npath("o");
    struct docid ids[3];
    struct selector which = {.ids = ids, .count = 3};
    struct change change = {.kind = kind, .at = inner ? o : NULL, .keys = &a, .key_count = 1};
    struct write_result result = {0};
    char json[64];

    (void)snprintf(json, sizeof json, inner ? "{\"in\":%d}" : "{\"b\":%d}", value);
    change.payload = njson(json);
    op->piecewise = by_filter;
    for (uint64_t id = 1; by_filter && id <= IDS; id++) {
        if (!op->after[id].there || op->after[id].a != only_a)
            continue;
        apply(&op->after[id], kind, inner, value);
        op->count++;
    }
    for (size_t i = 0; !by_filter && i < COUNT_OF(ids); i++) {
        uint64_t id = 1 + below(IDS);
        bool again = false;

        ids[i] = docid_u64(id);
        for (size_t k = 0; k < i; k++)
            again = again || ids[k].u64 == id;
        if (!op->after[id].there)
            op->wanted = ST_NOT_FOUND;
        if (!op->after[id].there || again)
            continue;
        apply(&op->after[id], kind, inner, value);
        op->count++;
    }
    if (by_filter)
        which = (struct selector){.filter = a_is(only_a)};
    op->st = nchange(c, &which, &change, NULL, &result, NULL);
    if (op->st == ST_OK)
        assert_int_equal(result.count, op->count);
}

static void delete_some(struct op *op)
{
    int only_a = (int)below(3);
    const struct write_options options = {0};
    const struct selector which = {.filter = a_is(only_a)};
    struct write_result result = {0};

    op->piecewise = true;
    for (uint64_t id = 1; id <= IDS; id++) {
        if (!op->after[id].there || op->after[id].a != only_a)
            continue;
        op->after[id].there = false;
        op->count++;
    }
    op->st = ndelete_with(c, &which, &options, &result, NULL);
    if (op->st == ST_OK)
        assert_int_equal(result.count, op->count);
}

static void one_op(struct op *op, const struct model before[IDS + 1])
{
    *op = (struct op){.wanted = ST_OK};
    memcpy(op->after, before, sizeof op->after);
    switch (below(6)) {
    case 0:
    case 1:
        write_some(op);
        break;
    case 2:
        delete_some(op);
        break;
    case 3:
        change_some(op, true);
        break;
    default:
        change_some(op, false);
    }
}

/* --- rounds --- */

static void holds(const struct model m[IDS + 1])
{
    for (uint64_t id = 1; id <= IDS; id++) {
        struct model now = found(id);

        if (!same(&now, &m[id]))
            fail_msg("seed=%llu: id %llu is %s, not %s", (unsigned long long)seed,
                     (unsigned long long)id, njson_of(c, id, NULL), text_of(&m[id]));
    }
}

/* After a cut: the state before the operation under way, or behind it. */
static void holds_either(struct model before[IDS + 1], const struct op *op)
{
    struct model now[IDS + 1];
    bool old = true, new = true, each = true;

    for (uint64_t id = 1; id <= IDS; id++) {
        bool is_old, is_new;

        now[id] = found(id);
        is_old = same(&now[id], &before[id]);
        is_new = same(&now[id], &op->after[id]);
        old = old && is_old;
        new = new &&is_new;
        each = each && (is_old || is_new);
    }
    if (!(op->piecewise ? each : old || new))
        fail_msg("seed=%llu: half of an operation is there", (unsigned long long)seed);
    memcpy(before, now, sizeof now);
}

static void changes_hold_through_power_cuts(void **state)
{
    struct model model[IDS + 1] = {0};

    (void)state;
    rand_seeded_init(&rand_state, seed);
    print_message("seed %llu\n", (unsigned long long)seed);
    nchange_init();
    nworld_init(&w, true, seed);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 16, NULL), ST_OK);
    c = npin(&w, "docs");
    for (unsigned round = 0; round < rounds; round++) {
        unsigned cut_in = below(OPS);

        for (unsigned i = 0; i < OPS; i++) {
            struct op op;

            if (i == cut_in)
                fs_sim_stop_after(w.sim, below(4));
            one_op(&op, model);
            if (op.st != op.wanted) {
                assert_true(fs_sim_stopped(w.sim));
                assert_int_equal(c->seq.turns.count, 0);
                node_collection_unpin(c);
                nworld_crash(&w);
                nworld_open(&w);
                c = npin(&w, "docs");
                holds_either(model, &op);
                break;
            }
            memcpy(model, op.after, sizeof model);
        }
        if (fs_sim_stopped(w.sim)) {
            node_collection_unpin(c);
            nworld_crash(&w);
            nworld_open(&w);
            c = npin(&w, "docs");
        }
        holds(model);
        ninvariants(c);
    }
    node_collection_unpin(c);
    nworld_fini(&w);
    nchange_free();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_hold_through_power_cuts),
    };

    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    if (argc > 2)
        rounds = (unsigned)strtoul(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
