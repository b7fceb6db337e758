/* The outline of a body: its items come whole, in order, and whatever else is there is noticed. */
#include "api/qdrant_points_cut.h"
#include "base/json.h"
#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct slice text_of(const char *text)
{
    return slice_make(text, strlen(text));
}

/* "key=value;" of each item of the one object or array a text is; "!" at what is not taken. */
static void walk(struct slice text, struct buf *out)
{
    struct cut c = cut_make(text);
    struct cut_list list;
    char first = cut_peek(&c);

    if (!cut_open(&c, &list, first == '{' ? '{' : '[')) {
        buf_put_text(out, "!");
        return;
    }
    for (;;) {
        struct slice key = {0};
        struct slice value = {0};
        enum cut_step step = cut_next(&c, &list, &key);

        if (step == CUT_END)
            break;
        if (step == CUT_OTHER || !cut_value(&c, &value)) {
            buf_put_text(out, "!");
            return;
        }
        buf_put_slice(out, key);
        buf_put_text(out, "=");
        buf_put_slice(out, value);
        buf_put_text(out, ";");
    }
    buf_put_text(out, cut_at_end(&c) ? "." : "!");
}

static void items_come_whole(void **state)
{
    static const struct {
        const char *text, *walked;
    } rows[] = {
        {"{}", "."},
        {" [ ] \n", "."},
        {"[1,2.5e3 ,null,\"a\\\"]\"]", "=1;=2.5e3;=null;=\"a\\\"]\";."},
        {"{\"a\":[1,2],\"b\" : {\"c\":\"}\"} }", "a=[1,2];b={\"c\":\"}\"};."},
        {"[[1,2,3],[],[[4],[\"]\"]]]", "=[1,2,3];=[];=[[4],[\"]\"]];."},
        {"[[1,\"]\",2],[1,[2]],[1,{\"a\":[1]}]]", "=[1,\"]\",2];=[1,[2]];=[1,{\"a\":[1]}];."},
        {"[-1,[-1.5]]", "=-1;=[-1.5];."},
        {"{\"a\":1}x", "a=1;!"},
        {"{\"a\":1,}", "a=1;!"},
        {"{\"a\" 1}", "!"},
        {"{\"\\u0061\":1}", "!"},
        {"{a:1}", "!"},
        {"[1 2]", "=1;!"},
        {"[,1]", "!"},
        {"[1", "=1;!"},
        {"[\"a", "!"},
        {"[[1,2", "!"},
        {"[{\"a\":\"\\\"}]", "!"},
        {"", "!"},
        {"7", "!"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out;

        buf_init(&out, 4096);
        walk(text_of(rows[i].text), &out);
        buf_put_u8(&out, 0);
        assert_string_equal((char *)out.data, rows[i].walked);
        buf_free(&out);
    }
}

/* Random JSON, changed at random: where every item of the walk parses, the whole parses too and has
 * the same items; a text that parses is walked to its end unless a key is escaped. */
static void put_random(struct rand_source *r, struct buf *b, unsigned depth)
{
    static const char *const leaves[] = {"1",         "-2.5", "\"a\"", "\"]\"",
                                         "\"\\\"{\"", "null", "true"};
    uint64_t kind = rand_below(r, depth == 0 ? 1 : 3);
    uint64_t count = rand_below(r, 4);

    if (kind == 0) {
        buf_put_text(b, leaves[rand_below(r, sizeof leaves / sizeof *leaves)]);
        return;
    }
    buf_put_text(b, kind == 1 ? "[" : "{");
    for (uint64_t i = 0; i < count; i++) {
        if (i > 0)
            buf_put_text(b, rand_below(r, 2) == 0 ? "," : " , ");
        if (kind == 2)
            buf_printf(b, "\"k%u\":", (unsigned)i);
        put_random(r, b, depth - 1);
    }
    buf_put_text(b, kind == 1 ? "]" : "}");
}

/* The items of a text, each printed; "!" when the text, or one of them, is no JSON. */
static void read_whole(struct jdoc *doc, struct slice text, struct buf *out)
{
    struct jval root;

    if (jdoc_parse(doc, text, &root, NULL) != ST_OK ||
        (jval_type(root) != J_ARRAY && jval_type(root) != J_OBJECT)) {
        buf_put_text(out, "!");
        return;
    }
    for (struct jiter it = jval_iter(root); jiter_next(&it);) {
        struct buf blob;

        buf_init(&blob, 1 << 16);
        jbin_put(&blob, it.value);
        buf_put_slice(out, it.key);
        buf_put_text(out, "=");
        buf_put_slice(out, buf_slice(&blob));
        buf_free(&blob);
    }
}

static void read_cut(struct jdoc *doc, struct slice text, struct buf *out)
{
    struct cut c = cut_make(text);
    struct cut_list list;
    bool fine = cut_open(&c, &list, cut_peek(&c) == '{' ? '{' : '[');
    enum cut_step step = CUT_OTHER;

    while (fine) {
        struct slice key = {0};
        struct slice value;
        struct jval v;
        struct buf blob;

        step = cut_next(&c, &list, &key);
        if (step != CUT_ITEM)
            break;
        fine = cut_value(&c, &value) && jdoc_parse(doc, value, &v, NULL) == ST_OK;
        if (!fine)
            break;
        buf_init(&blob, 1 << 16);
        jbin_put(&blob, v);
        buf_put_slice(out, key);
        buf_put_text(out, "=");
        buf_put_slice(out, buf_slice(&blob));
        buf_free(&blob);
    }
    if (!fine || step != CUT_END || !cut_at_end(&c)) {
        buf_reset(out);
        buf_put_text(out, "!");
    }
}

static void what_is_cut_is_what_the_whole_holds(void **state)
{
    const char *given = getenv("TIERVEC_TEST_SEED");
    struct rand_seeded rand;
    uint64_t seed = given == NULL ? 20261121 : strtoull(given, NULL, 10);
    struct jdoc *doc = NULL;
    unsigned same = 0;

    (void)state;
    rand_seeded_init(&rand, seed);
    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    for (unsigned i = 0; i < 20000; i++) {
        struct buf text;
        struct buf whole;
        struct buf pieces;

        buf_init(&text, 1 << 16);
        buf_init(&whole, 1 << 16);
        buf_init(&pieces, 1 << 16);
        put_random(&rand.source, &text, 4);
        for (uint64_t n = rand_below(&rand.source, 3); n > 0 && text.bytes > 0; n--)
            text.data[rand_below(&rand.source, text.bytes)] =
                (uint8_t) "[]{}\",:1- x"[rand_below(&rand.source, 11)];
        read_whole(doc, buf_slice(&text), &whole);
        read_cut(doc, buf_slice(&text), &pieces);
        if (!slice_equal(buf_slice(&whole), buf_slice(&pieces)))
            fail_msg("seed %llu: %.*s", (unsigned long long)seed, (int)text.bytes,
                     (const char *)text.data);
        same += whole.bytes > 0 && whole.data[0] != '!' ? 1 : 0;
        buf_free(&text);
        buf_free(&whole);
        buf_free(&pieces);
    }
    assert_true(same > 2000);
    jdoc_destroy(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_whole),
        cmocka_unit_test(what_is_cut_is_what_the_whole_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
