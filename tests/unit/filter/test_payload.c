/* Merging into payloads, taking parts out, printing parts: by table, against a simple model, and
 * with memory running out. */
#include "filter/payload.h"

#include "base/rand.h"
#include "jsons.h"
#include "tests/support/alloc_sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct arena arena;
static struct buf payload, patch, out, text;
static uint64_t seed;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 24);
    buf_init(&payload, 1 << 20);
    buf_init(&patch, 1 << 20);
    buf_init(&out, 1 << 20);
    buf_init(&text, 1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    buf_free(&payload);
    buf_free(&patch);
    buf_free(&out);
    buf_free(&text);
    jsons_free();
    return 0;
}

static const struct path *parse(const char *written)
{
    const struct path *p = NULL;
    struct err err;

    if (path_parse(slice_text(written), &arena, &p, &err) != ST_OK)
        fail_msg("%s: %s", written, err.text);
    return p;
}

/* Blanks separate paths. */
static size_t parse_all(const char *written, const struct path **paths)
{
    size_t count = 0;

    while (*written != '\0') {
        size_t bytes = strcspn(written, " ");

        assert_int_equal(path_parse(slice_make(written, bytes), &arena, &paths[count++], NULL),
                         ST_OK);
        written += bytes + (written[bytes] == ' ');
    }
    return count;
}

static const char *as_text(const struct buf *b)
{
    buf_reset(&text);
    buf_put_slice(&text, buf_slice(b));
    buf_put_u8(&text, 0);
    return (const char *)text.data;
}

static const char *blob_text(const struct buf *blob)
{
    struct err err;

    assert_false(blob->failed);
    if (jbin_check(buf_slice(blob), &err) != ST_OK)
        fail_msg("not a payload: %s", err.text);
    buf_reset(&text);
    jbin_print(&text, buf_slice(blob));
    buf_put_u8(&text, 0);
    return (const char *)text.data;
}

static const char *merged(const char *into, const char *with, const char *at)
{
    struct err err;

    buf_reset(&payload);
    if (into[0] != '\0')
        jsons_blob(&payload, into);
    jsons_blob(&patch, with);
    buf_reset(&out);
    if (payload_merge(&out, buf_slice(&payload), buf_slice(&patch), at == NULL ? NULL : parse(at),
                      &err) != ST_OK)
        fail_msg("%s into %s at %s: %s", with, into, at, err.text);
    return blob_text(&out);
}

static void a_merge_overwrites_members_and_makes_objects_on_the_way(void **state)
{
    static const struct {
        const char *payload, *patch, *at, *then;
    } cases[] = {
        {"{}", "{}", NULL, "{}"},
        {"", "{\"a\":1}", NULL, "{\"a\":1}"},
        {"{\"a\":1,\"b\":2}", "{\"b\":3,\"c\":4}", NULL, "{\"a\":1,\"b\":3,\"c\":4}"},
        {"{\"a\":{\"x\":1}}", "{\"a\":{\"y\":2}}", NULL, "{\"a\":{\"y\":2}}"}, /* not deeper */
        {"{\"a\":1}", "{\"a\":null}", NULL, "{\"a\":null}"},
        {"{\"a\":1}", "{\"a\":18446744073709551615}", NULL, "{\"a\":18446744073709551615}"},
        {"{}", "{\"m\":1}", "a", "{\"a\":{\"m\":1}}"},
        {"{\"z\":0}", "{\"m\":1}", "a.b.c", "{\"z\":0,\"a\":{\"b\":{\"c\":{\"m\":1}}}}"},
        {"{\"a\":{\"b\":{\"m\":0,\"n\":1}}}", "{\"m\":1}", "a.b",
         "{\"a\":{\"b\":{\"m\":1,\"n\":1}}}"},
        {"{\"a\":5}", "{\"m\":1}", "a", "{\"a\":{\"m\":1}}"},
        {"{\"a\":[1]}", "{\"m\":1}", "a", "{\"a\":{\"m\":1}}"},
        {"{\"a\":5}", "{\"m\":1}", "a.b", "{\"a\":{\"b\":{\"m\":1}}}"},
        {"{\"a\":null}", "{\"m\":1}", "a.b", "{\"a\":{\"b\":{\"m\":1}}}"},
        {"{\"a\":[1,2]}", "{\"m\":1}", "a.b", "{\"a\":{\"b\":{\"m\":1}}}"},
        {"{}", "{\"m\":1}", "a[]", "{}"},
        {"{}", "{\"m\":1}", "a[].b", "{}"},
        {"{\"x\":1}", "{\"m\":1}", "x.y[].z", "{\"x\":1}"},
        {"{\"x\":{}}", "{\"m\":1}", "x.y[0].z", "{\"x\":{}}"},
        {"{\"a\":5}", "{\"m\":1}", "a[]", "{\"a\":5}"},
        {"{\"a\":{\"b\":1}}", "{\"m\":1}", "a[].b", "{\"a\":{\"b\":1}}"},
        {"{\"a\":[]}", "{\"m\":1}", "a[]", "{\"a\":[]}"},
        {"{\"a\":[1,{\"b\":2},[3]]}", "{\"m\":1}", "a[]",
         "{\"a\":[{\"m\":1},{\"b\":2,\"m\":1},{\"m\":1}]}"},
        {"{\"a\":[1,{\"b\":2},[3]]}", "{\"m\":1}", "a[].b",
         "{\"a\":[{\"b\":{\"m\":1}},{\"b\":{\"m\":1}},{\"b\":{\"m\":1}}]}"},
        {"{\"a\":[1,2]}", "{\"m\":1}", "a[1]", "{\"a\":[1,{\"m\":1}]}"},
        {"{\"a\":[1,2]}", "{\"m\":1}", "a[7]", "{\"a\":[1,2]}"},
        {"{\"a\":[[1,{}],[{}]]}", "{\"m\":1}", "a[][0]", "{\"a\":[[{\"m\":1},{}],[{\"m\":1}]]}"},
        {"{\"a\":[{\"k\":1},{\"k\":2}]}",
         "{\"p\":1,\"q\":2,\"r\":3,\"s\":4,\"t\":5,\"u\":6,\"v\":7,\"w\":8,\"k\":9}", "a[]",
         "{\"a\":[{\"k\":9,\"p\":1,\"q\":2,\"r\":3,\"s\":4,\"t\":5,\"u\":6,\"v\":7,\"w\":8},"
         "{\"k\":9,\"p\":1,\"q\":2,\"r\":3,\"s\":4,\"t\":5,\"u\":6,\"v\":7,\"w\":8}]}"},
        {"{\"odd.key\":{}}", "{\"m\":1}", "\"odd.key\".x", "{\"odd.key\":{\"x\":{\"m\":1}}}"},
        {"3", "{\"m\":1}", NULL, "{\"m\":1}"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_string_equal(merged(cases[i].payload, cases[i].patch, cases[i].at), cases[i].then);
}

static void what_is_no_object_is_not_merged(void **state)
{
    struct err err;

    (void)state;
    jsons_blob(&patch, "[1]");
    assert_int_equal(payload_merge(&out, (struct slice){0}, buf_slice(&patch), NULL, &err),
                     ST_INVALID);
}

/* A payload may have 128 levels. The patch has `levels`, and goes below `at`. */
static status merge_deep(unsigned levels, const char *at)
{
    char deep[2048] = "";
    size_t used = 0;

    for (unsigned i = 1; i < levels; i++)
        used += (size_t)snprintf(deep + used, sizeof deep - used, "{\"d\":");
    used += (size_t)snprintf(deep + used, sizeof deep - used, "{}");
    for (unsigned i = 1; i < levels; i++)
        used += (size_t)snprintf(deep + used, sizeof deep - used, "}");
    jsons_blob(&patch, deep);
    jsons_blob(&payload, "{\"l\":[1,2]}");
    buf_reset(&out);
    return payload_merge(&out, buf_slice(&payload), buf_slice(&patch),
                         at == NULL ? NULL : parse(at), NULL);
}

static void nothing_is_merged_deeper_than_a_payload_may_be(void **state)
{
    (void)state;
    assert_int_equal(merge_deep(128, NULL), ST_OK);
    assert_int_equal(jbin_check(buf_slice(&out), NULL), ST_OK);
    assert_int_equal(merge_deep(127, "a"), ST_OK);
    assert_int_equal(jbin_check(buf_slice(&out), NULL), ST_OK);
    assert_int_equal(merge_deep(128, "a"), ST_INVALID);
    assert_int_equal(merge_deep(126, "l[]"), ST_OK);
    assert_int_equal(jbin_check(buf_slice(&out), NULL), ST_OK);
    assert_int_equal(merge_deep(127, "l[]"), ST_INVALID);
    assert_int_equal(merge_deep(128, "l[5]"), ST_OK); /* nothing is there */
    assert_int_equal(
        merge_deep(96, "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a"), ST_OK);
    assert_int_equal(jbin_check(buf_slice(&out), NULL), ST_OK);
    assert_int_equal(
        merge_deep(97, "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a"),
        ST_INVALID);
}

/* The buf's bound is what keeps `[]` from multiplying a patch. */
static void a_merge_stays_inside_the_bound_of_its_buf(void **state)
{
    struct buf small;
    struct err err;

    (void)state;
    buf_init(&small, 64);
    jsons_blob(&payload, "{\"a\":[1,2,3,4,5,6,7,8]}");
    jsons_blob(&patch, "{\"key\":\"a value\"}");
    assert_int_equal(
        payload_merge(&small, buf_slice(&payload), buf_slice(&patch), parse("a[]"), &err),
        ST_NOSPACE);
    buf_free(&small);
}

static void keys_are_deleted_where_their_paths_lead(void **state)
{
    static const struct {
        const char *payload, *keys, *then;
    } cases[] = {
        {"", "a", "{}"},
        {"{\"a\":1}", "", "{\"a\":1}"},
        {"{\"a\":1,\"b\":2}", "a", "{\"b\":2}"},
        {"{\"a\":1,\"b\":2}", "a b c", "{}"},
        {"{\"a\":{\"b\":1,\"c\":2}}", "a.b", "{\"a\":{\"c\":2}}"},
        {"{\"a\":{\"b\":{\"c\":1}}}", "a.b.c", "{\"a\":{\"b\":{}}}"},
        {"{\"a\":{\"b\":1}}", "a.b a", "{}"},
        {"{\"a\":5}", "a.b a[]", "{\"a\":5}"},
        {"{\"a\":[1,2,3]}", "a[]", "{\"a\":[]}"},
        {"{\"a\":[1,2,3]}", "a[0]", "{\"a\":[2,3]}"},
        {"{\"a\":[1,2,3]}", "a[0] a[1]", "{\"a\":[3]}"},
        {"{\"a\":[1,2,3]}", "a[9]", "{\"a\":[1,2,3]}"},
        {"{\"a\":[{\"b\":1,\"c\":1},{\"b\":2},5]}", "a[].b", "{\"a\":[{\"c\":1},{},5]}"},
        {"{\"a\":[{\"b\":1}]}", "a.b", "{\"a\":[{\"b\":1}]}"},
        {"{\"a\":[[1,2],[3]]}", "a[][0]", "{\"a\":[[2],[]]}"},
        {"{\"a\":[{\"b\":1,\"c\":1},{\"b\":1,\"c\":1}]}", "a[0].b a[].c", "{\"a\":[{},{\"b\":1}]}"},
    };
    const struct path *paths[8];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t count = parse_all(cases[i].keys, paths);

        buf_reset(&payload);
        if (cases[i].payload[0] != '\0')
            jsons_blob(&payload, cases[i].payload);
        buf_reset(&out);
        payload_delete(&out, buf_slice(&payload), paths, count);
        assert_string_equal(blob_text(&out), cases[i].then);
    }
}

static const char *part(enum payload_part what, const struct path **paths, size_t count)
{
    const struct payload_selection s = {.part = what, .paths = paths, .count = count};

    buf_reset(&out);
    payload_print(&out, buf_slice(&payload), &s);
    assert_false(out.failed);
    return as_text(&out);
}

#define DOCUMENT                                                                                   \
    "{\"a\":5,\"o\":{\"x\":1,\"y\":{\"z\":2},\"e\":{}},\"l\":[1,{\"b\":2,\"c\":3},[{\"b\":4}],"    \
    "{\"c\":9}],\"e\":[]}"

static void a_part_keeps_the_structure_around_what_is_chosen(void **state)
{
    static const struct {
        const char *paths, *included;
    } cases[] = {
        {"", "{}"},
        {"a", "{\"a\":5}"},
        {"a.b", "{\"a\":5}"},
        {"o", "{\"o\":{\"x\":1,\"y\":{\"z\":2},\"e\":{}}}"},
        {"o.x", "{\"o\":{\"x\":1}}"},
        {"o.y.q", "{\"o\":{\"y\":{}}}"},
        {"o.q", "{\"o\":{}}"},
        {"l", "{\"l\":[1,{\"b\":2,\"c\":3},[{\"b\":4}],{\"c\":9}]}"},
        {"l[]", "{\"l\":[1,{\"b\":2,\"c\":3},[{\"b\":4}],{\"c\":9}]}"},
        {"l[] l[].b", "{\"l\":[1,{\"b\":2,\"c\":3},[{\"b\":4}],{\"c\":9}]}"},
        {"l[].b", "{\"l\":[1,{\"b\":2},[],{}]}"},
        {"l.b", "{\"l\":[]}"},
        {"l[0]", "{\"l\":[1]}"},
        {"l[1].b", "{\"l\":[{\"b\":2}]}"},
        {"l[3].c l[1].c", "{\"l\":[{\"c\":3},{\"c\":9}]}"},
        {"l[][].b", "{\"l\":[1,{},[{\"b\":4}],{}]}"},
        {"e", "{\"e\":[]}"},
        {"zz", "{}"},
        {"o.y a", "{\"a\":5,\"o\":{\"y\":{\"z\":2}}}"},
    };
    const struct path *paths[8];

    (void)state;
    jsons_blob(&payload, DOCUMENT);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_string_equal(part(PAYLOAD_INCLUDE, paths, parse_all(cases[i].paths, paths)),
                            cases[i].included);
    assert_string_equal(part(PAYLOAD_EXCLUDE, paths, parse_all("o l[].b zz e", paths)),
                        "{\"a\":5,\"l\":[1,{\"c\":3},[{\"b\":4}],{\"c\":9}]}");
    assert_string_equal(part(PAYLOAD_EXCLUDE, paths, 0), DOCUMENT);
    assert_string_equal(part(PAYLOAD_WHOLE, NULL, 0), DOCUMENT);
    assert_string_equal(part(PAYLOAD_NONE, NULL, 0), "null");
    buf_reset(&payload);
    assert_string_equal(part(PAYLOAD_WHOLE, NULL, 0), "{}");
    assert_string_equal(part(PAYLOAD_INCLUDE, paths, parse_all("a", paths)), "{}");
}

/* More paths than have room inside. */
static void many_paths_are_taken_at_once(void **state)
{
    const struct path *paths[PAYLOAD_PATHS_MAX];
    struct buf written, wanted;

    (void)state;
    buf_init(&written, 1 << 20);
    buf_init(&wanted, 1 << 20);
    buf_put_text(&written, "{");
    buf_put_text(&wanted, "{");
    for (unsigned i = 0; i < PAYLOAD_PATHS_MAX; i++) {
        char key[32];

        (void)snprintf(key, sizeof key, "k%u.x", i);
        paths[i] = parse(key);
        buf_printf(&written, "%s\"k%u\":{\"x\":%u,\"y\":0}", i > 0 ? "," : "", i, i);
        buf_printf(&wanted, "%s\"k%u\":{\"x\":%u}", i > 0 ? "," : "", i, i);
    }
    buf_put_text(&written, "}");
    buf_put_text(&wanted, "}");
    buf_put_u8(&written, 0);
    buf_put_u8(&wanted, 0);
    jsons_blob(&payload, (const char *)written.data);
    assert_string_equal(part(PAYLOAD_INCLUDE, paths, PAYLOAD_PATHS_MAX), (char *)wanted.data);
    buf_free(&written);
    buf_free(&wanted);
}

static status all_of_it(void *arg)
{
    const struct path *const *paths = arg;
    const struct payload_selection s = {PAYLOAD_INCLUDE, paths, 10};
    struct buf b;
    status st;

    buf_init(&b, 1 << 20);
    st = payload_merge(&b, buf_slice(&payload), buf_slice(&patch), paths[0], NULL);
    assert_true(st != ST_OK || jbin_check(buf_slice(&b), NULL) == ST_OK);
    buf_reset(&b);
    if (st == ST_OK) {
        payload_delete(&b, buf_slice(&payload), paths, 10);
        st = buf_status(&b, NULL);
    }
    buf_reset(&b);
    if (st == ST_OK) {
        payload_print(&b, buf_slice(&payload), &s);
        st = buf_status(&b, NULL);
    }
    buf_free(&b);
    return st;
}

static void without_memory_a_change_fails(void **state)
{
    const struct path *paths[10];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(paths); i++)
        paths[i] = parse("l[].b");
    jsons_blob(&payload, DOCUMENT);
    jsons_blob(&patch, "{\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6\":1,\"7\":1,\"8\":1,\"9\":1}");
    assert_true(alloc_sweep(all_of_it, paths) >= 5);
}

/* --- a model: a tree that is marked, changed in place and printed --- */

struct tree {
    enum { SCALAR, ARRAY, OBJECT } kind;
    unsigned scalar;
    char key;
    bool chosen, on_the_way;
    struct tree *children[6];
    unsigned count;
};

static struct rand_seeded rand_state;

static unsigned below(unsigned bound)
{
    return (unsigned)rand_below(&rand_state.source, bound);
}

static struct tree *tree_make(unsigned depth)
{
    struct tree *t = arena_zero(&arena, sizeof *t);
    unsigned keys = 0;

    assert_non_null(t);
    t->kind = depth == 0 ? SCALAR : below(3);
    t->scalar = below(100);
    for (unsigned i = 0; t->kind != SCALAR && i < below(5); i++) {
        unsigned key = below(4);

        if (t->kind == OBJECT && (keys & (1u << key)) != 0)
            continue;
        keys |= 1u << key;
        t->children[t->count] = tree_make(depth - 1);
        t->children[t->count++]->key = (char)('a' + key);
    }
    return t;
}

static struct tree *tree_object(unsigned depth)
{
    struct tree *t;

    do
        t = tree_make(depth);
    while (t->kind != OBJECT);
    return t;
}

enum printing { ALL, CHOSEN, OTHERS };

static void tree_print(struct buf *b, const struct tree *t, enum printing what)
{
    bool first = true;

    if (t->chosen)
        what = what == CHOSEN ? ALL : what;
    if (t->kind == SCALAR) {
        buf_printf(b, "%u", t->scalar);
        return;
    }
    buf_put_text(b, t->kind == OBJECT ? "{" : "[");
    for (unsigned i = 0; i < t->count; i++) {
        const struct tree *child = t->children[i];

        if ((what == OTHERS && child->chosen) ||
            (what == CHOSEN && !child->chosen && !child->on_the_way))
            continue;
        if (!first)
            buf_put_text(b, ",");
        first = false;
        if (t->kind == OBJECT)
            buf_printf(b, "\"%c\":", child->key);
        tree_print(b, child, what);
    }
    buf_put_text(b, t->kind == OBJECT ? "}" : "]");
}

static const char *tree_text(const struct tree *t, enum printing what)
{
    static char written[1 << 16];
    struct buf b;

    buf_init(&b, sizeof written - 1);
    tree_print(&b, t, what);
    assert_false(b.failed);
    memcpy(written, b.data, b.bytes);
    written[b.bytes] = '\0';
    buf_free(&b);
    return written;
}

static bool leads_to(const struct path_step *s, const struct tree *parent, unsigned i)
{
    if (s->kind == PATH_KEY)
        return parent->kind == OBJECT && s->key.data[0] == (uint8_t)parent->children[i]->key;
    return parent->kind == ARRAY && (s->kind == PATH_EACH || s->index == i);
}

static void tree_mark(struct tree *t, const struct path *p, uint32_t step)
{
    for (unsigned i = 0; i < t->count; i++) {
        if (!leads_to(&p->steps[step], t, i))
            continue;
        if (step + 1 == p->count) {
            t->children[i]->chosen = true;
        } else {
            t->children[i]->on_the_way = true;
            tree_mark(t->children[i], p, step + 1);
        }
    }
}

static struct tree *tree_child(struct tree *t, char key)
{
    for (unsigned i = 0; i < t->count; i++)
        if (t->children[i]->key == key)
            return t->children[i];
    return NULL;
}

static void tree_set(struct tree *t, char key, struct tree *value)
{
    struct tree *copy = arena_zero(&arena, sizeof *copy);

    assert_non_null(copy);
    *copy = *value;
    copy->key = key;
    for (unsigned i = 0; i < t->count; i++) {
        if (t->children[i]->key == key) {
            t->children[i] = copy;
            return;
        }
    }
    assert_true(t->count < COUNT_OF(t->children));
    t->children[t->count++] = copy;
}

static void tree_merge(struct tree *t, const struct path *p, uint32_t step, struct tree *with)
{
    bool makes = true;

    for (uint32_t i = step; p != NULL && i < p->count; i++)
        makes = makes && p->steps[i].kind == PATH_KEY;
    if (makes && t->kind != OBJECT) {
        t->kind = OBJECT;
        t->count = 0;
    }
    if (p == NULL || step == p->count) {
        for (unsigned i = 0; i < with->count; i++)
            tree_set(t, with->children[i]->key, with->children[i]);
        return;
    }
    if (p->steps[step].kind != PATH_KEY) {
        for (unsigned i = 0; i < t->count; i++)
            if (leads_to(&p->steps[step], t, i))
                tree_merge(t->children[i], p, step + 1, with);
        return;
    }
    if (t->kind != OBJECT)
        return;
    if (makes && tree_child(t, (char)p->steps[step].key.data[0]) == NULL)
        tree_set(t, (char)p->steps[step].key.data[0], &(struct tree){.kind = OBJECT});
    if (tree_child(t, (char)p->steps[step].key.data[0]) != NULL)
        tree_merge(tree_child(t, (char)p->steps[step].key.data[0]), p, step + 1, with);
}

static const struct path *some_path(void)
{
    char written[64];
    size_t used = (size_t)snprintf(written, sizeof written, "%c", 'a' + below(4));

    for (unsigned i = 0, steps = below(4); i < steps; i++) {
        if (below(2) == 0)
            used += (size_t)snprintf(written + used, sizeof written - used, ".%c", 'a' + below(4));
        else if (below(2) == 0)
            used += (size_t)snprintf(written + used, sizeof written - used, "[]");
        else
            used += (size_t)snprintf(written + used, sizeof written - used, "[%u]", below(4));
    }
    return parse(written);
}

static void one_round(void)
{
    struct tree *t = tree_object(4);
    struct tree *with = tree_object(2);
    const struct path *paths[12];
    size_t count = below(COUNT_OF(paths) + 1);
    const struct path *at = below(4) == 0 ? NULL : some_path();

    for (size_t i = 0; i < count; i++) {
        paths[i] = some_path();
        tree_mark(t, paths[i], 0);
    }
    jsons_blob(&payload, tree_text(t, ALL));
    assert_string_equal(part(PAYLOAD_INCLUDE, paths, count), tree_text(t, CHOSEN));
    assert_string_equal(part(PAYLOAD_EXCLUDE, paths, count), tree_text(t, OTHERS));
    buf_reset(&out);
    payload_delete(&out, buf_slice(&payload), paths, count);
    assert_string_equal(blob_text(&out), tree_text(t, OTHERS));
    jsons_blob(&patch, tree_text(with, ALL));
    buf_reset(&out);
    assert_int_equal(payload_merge(&out, buf_slice(&payload), buf_slice(&patch), at, NULL), ST_OK);
    tree_merge(t, at, 0, with);
    assert_string_equal(blob_text(&out), tree_text(t, ALL));
}

static void random_changes_are_what_the_model_says(void **state)
{
    (void)state;
    rand_seeded_init(&rand_state, seed);
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < 20000; i++) {
        one_round();
        arena_reset(&arena);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_merge_overwrites_members_and_makes_objects_on_the_way),
        cmocka_unit_test(what_is_no_object_is_not_merged),
        cmocka_unit_test(nothing_is_merged_deeper_than_a_payload_may_be),
        cmocka_unit_test(a_merge_stays_inside_the_bound_of_its_buf),
        cmocka_unit_test(keys_are_deleted_where_their_paths_lead),
        cmocka_unit_test(a_part_keeps_the_structure_around_what_is_chosen),
        cmocka_unit_test(many_paths_are_taken_at_once),
        cmocka_unit_test(without_memory_a_change_fails),
        cmocka_unit_test(random_changes_are_what_the_model_says),
    };

    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
