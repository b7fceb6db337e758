/* Names of objects: what they are, that they parse back, and that nothing else does. */
#include "segment/objkey.h"

#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 20261121;
static const uint8_t DOCS[16] = {0x01, 0x8f, 0x3a, 0x5c, 0x10, 0x20, 0x70, 0x30,
                                 0x80, 0x40, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
static const uint8_t UUID[16] = {0xde, 0xad, 0xbe, 0xef, 0, 1, 0x40, 3,
                                 0x80, 5,    6,    7,    8, 9, 10,   11};
#define DIR "c/85/018f3a5c-1020-7030-8040-aabbccddeeff/"

static void names_are_what_the_page_says(void **state)
{
    char key[OBJKEY_BYTES];

    (void)state;
    objkey_root(DOCS, key);
    assert_string_equal(key, DIR "root");
    objkey_group(DOCS, 3, 0xABCDEF0123456789u, key);
    assert_string_equal(key, DIR "w/0000000000000003/abcdef0123456789");
    objkey_manifest(DOCS, 17, UUID, key);
    assert_string_equal(key, DIR "m/0000000000000011-deadbeef-0001-4003-8005-060708090a0b");
    objkey_data(DOCS, UUID, key);
    assert_string_equal(key, DIR "g/deadbeef-0001-4003-8005-060708090a0b");
    objkey_pin(DOCS, UUID, key);
    assert_string_equal(key, DIR "pin/deadbeef-0001-4003-8005-060708090a0b");
    objkey_orphan(DOCS, UINT64_MAX, UUID, 1, key);
    assert_string_equal(key, DIR "orphan/ffffffffffffffff/deadbeef-0001-4003-8005-060708090a0b/"
                                 "0000000000000001");
    assert_int_equal(strlen(key), 119);
    objkey_prefix_collection(DOCS, key);
    assert_string_equal(key, DIR);
    objkey_prefix_groups(DOCS, 3, key);
    assert_string_equal(key, DIR "w/0000000000000003/");
    objkey_prefix_pins(DOCS, key);
    assert_string_equal(key, DIR "pin/");
    objkey_prefix_manifests(DOCS, key);
    assert_string_equal(key, DIR "m/");
}

static void a_prober_has_a_place_of_its_own(void **state)
{
    char key[OBJKEY_BYTES];
    char name[300];

    (void)state;
    objkey_prefix_probe("node-1.example:9", key);
    assert_string_equal(key, "probe/node-1_example_9/");
    objkey_prefix_probe("", key);
    assert_string_equal(key, "probe/_/");
    objkey_prefix_probe("../..", key);
    assert_string_equal(key, "probe/_____/");
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    objkey_prefix_probe(name, key);
    assert_int_equal(strlen(key), 6 + 100 + 1);
    assert_int_equal(objkey_parse("probe/node/0123456789abcdef/7").kind, OBJKEY_IS_PROBE);
    assert_int_equal(objkey_parse("meta/pinned").kind, OBJKEY_IS_PINNED);
    assert_int_equal(objkey_parse("meta/pinned/").kind, OBJKEY_OTHER);
    assert_int_equal(objkey_parse("probes").kind, OBJKEY_OTHER);
}

static struct objkey random_key(struct rand_source *rand, char key[OBJKEY_BYTES])
{
    struct objkey k = {.kind = (enum objkey_kind)(1 + rand_below(rand, OBJKEY_IS_ORPHAN))};
    bool has_collection = k.kind != OBJKEY_IS_FORMAT && k.kind != OBJKEY_IS_CATALOG;

    if (has_collection)
        rand->fill(rand, k.collection, 16);
    if (k.kind >= OBJKEY_IS_MANIFEST)
        rand->fill(rand, k.uuid, 16);
    if (k.kind == OBJKEY_IS_GROUP || k.kind == OBJKEY_IS_ORPHAN)
        k.epoch = rand_u64(rand) >> rand_below(rand, 64);
    switch (k.kind) {
    case OBJKEY_OTHER:
    case OBJKEY_IS_PINNED:
    case OBJKEY_IS_PROBE:
        break;
    case OBJKEY_IS_FORMAT:
        (void)snprintf(key, OBJKEY_BYTES, "%s", OBJKEY_FORMAT);
        break;
    case OBJKEY_IS_CATALOG:
        (void)snprintf(key, OBJKEY_BYTES, "%s", OBJKEY_CATALOG);
        break;
    case OBJKEY_IS_ROOT:
        objkey_root(k.collection, key);
        break;
    case OBJKEY_IS_GROUP:
        k.seq = rand_u64(rand);
        objkey_group(k.collection, k.epoch, k.seq, key);
        break;
    case OBJKEY_IS_MANIFEST:
        k.revision = rand_u64(rand);
        objkey_manifest(k.collection, k.revision, k.uuid, key);
        break;
    case OBJKEY_IS_DATA:
        objkey_data(k.collection, k.uuid, key);
        break;
    case OBJKEY_IS_PIN:
        objkey_pin(k.collection, k.uuid, key);
        break;
    case OBJKEY_IS_ORPHAN:
        k.lsn = rand_u64(rand);
        objkey_orphan(k.collection, k.epoch, k.uuid, k.lsn, key);
        break;
    }
    return k;
}

static void assert_same_key(const struct objkey *a, const struct objkey *b, const char *key)
{
    if (a->kind != b->kind || memcmp(a->collection, b->collection, 16) != 0 ||
        a->epoch != b->epoch || a->seq != b->seq || a->revision != b->revision ||
        a->lsn != b->lsn || memcmp(a->uuid, b->uuid, 16) != 0)
        fail_msg("%s came back different seed=%llu", key, (unsigned long long)seed);
}

static void what_was_built_parses_back(void **state)
{
    struct rand_seeded rand;
    char key[OBJKEY_BYTES];

    (void)state;
    rand_seeded_init(&rand, seed);
    for (unsigned i = 0; i < 2000; i++) {
        struct objkey want = random_key(&rand.source, key);
        struct objkey got = objkey_parse(key);

        assert_same_key(&want, &got, key);
    }
}

/* A name with one character changed, taken away or added is none of ours, or another's. */
static void no_two_names_are_one_thing(void **state)
{
    static const char characters[] = "0123456789abcdefABCDEFxgmwpc/-. ";
    struct rand_seeded rand;
    char key[OBJKEY_BYTES];

    (void)state;
    rand_seeded_init(&rand, seed);
    for (unsigned i = 0; i < 20000; i++) {
        struct objkey k = random_key(&rand.source, key);
        size_t at = rand_below(&rand.source, strlen(key));
        char other[OBJKEY_BYTES + 1];
        char was = key[at];

        key[at] = characters[rand_below(&rand.source, sizeof characters - 1)];
        if (key[at] != was) {
            struct objkey got = objkey_parse(key);

            if (got.kind != OBJKEY_OTHER && memcmp(&got, &k, sizeof k) == 0)
                fail_msg("%s is two names' seed=%llu", key, (unsigned long long)seed);
        }
        key[at] = was;
        (void)snprintf(other, sizeof other, "%.*s%s", (int)at, key, key + at + 1);
        assert_int_equal(objkey_parse(other).kind, OBJKEY_OTHER);
        (void)snprintf(other, sizeof other, "%s%c", key, '0');
        assert_int_equal(objkey_parse(other).kind, OBJKEY_OTHER);
        key[at] = '\0';
        assert_int_equal(objkey_parse(key).kind, OBJKEY_OTHER);
    }
}

static void strangers_are_none_of_ours(void **state)
{
    const char *others[] = {
        "",
        "c",
        "c/",
        "c/85",
        "c/85/",
        "meta/",
        "meta/format2",
        "x/meta/format",
        DIR,
        DIR "roots",
        DIR "w/",
        DIR "w/3/4",
        DIR "w/0000000000000003/ABCDEF0123456789",
        DIR "w/0000000000000003/-bcdef0123456789",
        DIR "g/DEADBEEF-0001-4003-8005-060708090a0b",
        DIR "g/deadbeef000140038005060708090a0b",
        DIR "g/deadbeef-0001-4003-8005-060708090a0b/",
        DIR "x/deadbeef-0001-4003-8005-060708090a0b",
        "c/86/018f3a5c-1020-7030-8040-aabbccddeeff/root", /* another h2 */
        "c/85/018f3a5c-1020-7030-8040-aabbccddeefg/root",
        "c/85/018F3A5C-1020-7030-8040-AABBCCDDEEFF/root",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(others); i++)
        if (objkey_parse(others[i]).kind != OBJKEY_OTHER)
            fail_msg("%s is taken for one of ours", others[i]);
    assert_int_equal(objkey_parse(DIR "root").kind, OBJKEY_IS_ROOT);
}

static void the_order_of_names_is_the_order_of_numbers(void **state)
{
    struct rand_seeded rand;
    char a[OBJKEY_BYTES];
    char b[OBJKEY_BYTES];

    (void)state;
    rand_seeded_init(&rand, seed);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t x = rand_u64(&rand.source) >> rand_below(&rand.source, 64);
        uint64_t y = rand_u64(&rand.source) >> rand_below(&rand.source, 64);

        objkey_group(DOCS, 1, x, a);
        objkey_group(DOCS, 1, y, b);
        assert_int_equal(x < y, strcmp(a, b) < 0);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_what_the_page_says),
        cmocka_unit_test(a_prober_has_a_place_of_its_own),
        cmocka_unit_test(what_was_built_parses_back),
        cmocka_unit_test(no_two_names_are_one_thing),
        cmocka_unit_test(strangers_are_none_of_ours),
        cmocka_unit_test(the_order_of_names_is_the_order_of_numbers),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
