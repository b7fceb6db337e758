/* The parser and the finder of faults take the same texts: every fault has its words and place. */
#include "base/json.h"
#include "base/json_internal.h"
#include "base/mem.h"
#include "json_gen.h"

#include <inttypes.h>
#include <setjmp.h>

#include <cmocka.h>

static void hold_against_each_other(struct jdoc *doc, const struct buf *text, unsigned number)
{
    struct json_fault fault = {0};
    struct jval root;
    struct err err;
    status st = jdoc_parse(doc, buf_slice(text), &root, &err);
    bool found = json_fault_find(text->data, text->bytes, &fault);

    if (st != (found ? ST_INVALID : ST_OK))
        fail_msg("seed %" PRIu64 " document %u: parser %s, fault %s: %.*s", json_gen_seed(), number,
                 status_name(st), found ? fault.what : "none", (int)text->bytes,
                 (const char *)text->data);
    if (found)
        assert_true(fault.offset <= text->bytes);
}

/* Overwrites, cuts out or doubles a byte; bytes that mean something are likelier. */
static void spoil(struct buf *b, struct rand_source *r)
{
    static const char telling[] = "{}[],:\"\\0123456789.eE+-tfnu \n\x01\x7F\x80\xC3\xED\xF4";
    size_t at = (size_t)rand_below(r, b->bytes);
    uint8_t byte = (uint8_t)telling[rand_below(r, sizeof telling)]; /* its NUL too */

    switch (rand_below(r, 4)) {
    case 0:
        b->data[at] = byte;
        break;
    case 1:
        b->data[at] ^= (uint8_t)(1u << rand_below(r, 8));
        break;
    case 2:
        memmove(b->data + at, b->data + at + 1, b->bytes - at - 1);
        b->bytes--;
        break;
    default:
        buf_put_u8(b, 0);
        memmove(b->data + at + 1, b->data + at, b->bytes - at - 1);
        b->data[at] = byte;
        break;
    }
}

static void spoiled_documents_are_judged_alike(void **state)
{
    struct rand_seeded r;
    struct jdoc *doc;
    struct buf b;

    (void)state;
    rand_seeded_init(&r, json_gen_seed());
    buf_init(&b, 64 << 20);
    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    for (unsigned i = 0; i < 20000; i++) {
        buf_reset(&b);
        json_gen(&b, &r.source, 3);
        hold_against_each_other(doc, &b, i);
        for (uint64_t n = rand_below(&r.source, 3) + 1; n > 0 && b.bytes > 1; n--)
            spoil(&b, &r.source);
        hold_against_each_other(doc, &b, i);
    }
    jdoc_destroy(doc);
    buf_free(&b);
}

/* Every byte alone, every pair of bytes: most of the grammar's corners are that short. */
static void all_texts_of_one_and_two_bytes_are_judged_alike(void **state)
{
    struct jdoc *doc;
    struct buf b;

    (void)state;
    buf_init(&b, 1024);
    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    for (unsigned v = 0; v < 65536 + 256; v++) {
        buf_reset(&b);
        if (v < 65536)
            buf_put_u16(&b, (uint16_t)v);
        else
            buf_put_u8(&b, (uint8_t)v);
        hold_against_each_other(doc, &b, v);
    }
    jdoc_destroy(doc);
    buf_free(&b);
}

/* Numbers near the ends of what a double and 64 bits hold. */
static void numbers_are_judged_alike(void **state)
{
    struct rand_seeded r;
    struct jdoc *doc;
    struct buf b;

    (void)state;
    rand_seeded_init(&r, json_gen_seed());
    buf_init(&b, 1024);
    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    for (unsigned i = 0; i < 50000; i++) {
        uint64_t shift = rand_below(&r.source, 25);

        buf_reset(&b);
        switch (rand_below(&r.source, 4)) {
        case 0:
            buf_printf(&b, "%s1844674407370955161%" PRIu64, shift & 1 ? "-" : "", shift);
            break;
        case 1:
            buf_printf(&b, "-922337203685477580%" PRIu64, shift);
            break;
        case 2:
            buf_printf(&b, "1797693134862315%" PRIu64 "e%" PRIu64, rand_u64(&r.source),
                       270 + shift);
            break;
        default:
            buf_printf(&b, "-0.0001797693134862315807%" PRIu64 "E+%" PRIu64, rand_u64(&r.source),
                       300 + shift);
            break;
        }
        hold_against_each_other(doc, &b, i);
    }
    jdoc_destroy(doc);
    buf_free(&b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spoiled_documents_are_judged_alike),
        cmocka_unit_test(all_texts_of_one_and_two_bytes_are_judged_alike),
        cmocka_unit_test(numbers_are_judged_alike),
    };

    json_gen_seed_init(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
