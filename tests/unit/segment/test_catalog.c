/* The catalog as a value and as bytes: rules of names and ids, released bytes, damage. */
#include "base/crc32c.h"
#include "base/mem.h"
#include "base/rand.h"
#include "segment/catalog.h"
#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 20240602;
static const uint8_t DEFAULT_ID[16];
static const uint8_t TENANT[16] = {0x11, 1};
static const uint8_t DATABASE[16] = {0x22, 1};
static const uint8_t DOCS[16] = {0x33, 1};
static const uint8_t IMAGES[16] = {0x33, 2};
static const uint8_t OLD[16] = {0x33, 3};

static struct catalog_field field_of(uint16_t id, char *name)
{
    return (struct catalog_field){.id = id,
                                  .name = name,
                                  .dim = 384,
                                  .metric = 1,
                                  .m = 16,
                                  .ef_construction = 200,
                                  .ef_search = 100,
                                  .threshold = 10000,
                                  .quantization = QUANTIZATION_SCALAR};
}

static status add(struct catalog *c, const uint8_t id[16], const uint8_t database_id[16],
                  const char *name, struct err *err)
{
    char text[600];
    char empty[] = "";
    char image[] = "image/text";
    struct catalog_field fields[] = {field_of(0, empty), field_of(3, image)};
    struct catalog_collection col = {.name = text,
                                     .policy = POLICY_MEMORY_S3,
                                     .durability = DURABILITY_REMOTE,
                                     .string_ids = true,
                                     .created_at_ns = 1700000000000000007u,
                                     .fields = fields,
                                     .field_count = 2};

    (void)snprintf(text, sizeof text, "%s", name);
    memcpy(col.id, id, 16);
    memcpy(col.database_id, database_id, 16);
    return catalog_add_collection(c, &col, err);
}

static void add_alias(struct catalog *c, const uint8_t database_id[16],
                      const uint8_t collection_id[16], const char *name)
{
    struct catalog_alias *a;

    c->aliases = mem_resize(c->aliases, (c->alias_count + 1) * sizeof *c->aliases);
    assert_non_null(c->aliases);
    a = &c->aliases[c->alias_count++];
    memcpy(a->database_id, database_id, 16);
    memcpy(a->collection_id, collection_id, 16);
    a->name = mem_strdup(name);
    assert_non_null(a->name);
}

static status set(struct catalog *c, const uint8_t id[16], const char *key, const char *value)
{
    struct catalog_collection *col = catalog_find_id(c, id);

    return col == NULL ? ST_NOT_FOUND : catalog_put_setting(col, key, slice_text(value), NULL);
}

/* One of everything. */
static int setup(void **state)
{
    struct catalog *c = calloc(1, sizeof *c);

    catalog_init(c);
    c->revision = 77;
    memset(c->nonce, 0xAB, sizeof c->nonce);
    assert_int_equal(catalog_add_tenant(c, TENANT, "acme", NULL), ST_OK);
    assert_int_equal(catalog_add_database(c, DATABASE, TENANT, "shop", NULL), ST_OK);
    assert_int_equal(add(c, OLD, DEFAULT_ID, "old", NULL), ST_OK);
    assert_int_equal(add(c, DOCS, DEFAULT_ID, "docs", NULL), ST_OK);
    assert_int_equal(add(c, IMAGES, DATABASE, "caf\xC3\xA9 images", NULL), ST_OK);
    add_alias(c, DEFAULT_ID, DOCS, "latest");
    assert_int_equal(catalog_remove_collection(c, OLD, 5, NULL), ST_OK);
    assert_int_equal(set(c, DOCS, "qdrant", "{\"vectors\":{}}"), ST_OK);
    assert_int_equal(set(c, IMAGES, "index:a[].b", "{\"type\":\"keyword\"}"), ST_OK);
    assert_int_equal(set(c, IMAGES, "caf\xC3\xA9", "1"), ST_OK);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    catalog_free(*state);
    free(*state);
    return 0;
}

static struct buf encode(const struct catalog *c)
{
    struct buf b;

    buf_init(&b, CATALOG_BYTES_MAX);
    assert_int_equal(catalog_encode(c, &b, NULL), ST_OK);
    return b;
}

/* Encoding tells all of a catalog, so equal bytes are equal catalogs. */
static void assert_same(const struct catalog *a, const struct catalog *b)
{
    struct buf x = encode(a);
    struct buf y = encode(b);

    assert_true(slice_equal(buf_slice(&x), buf_slice(&y)));
    buf_free(&x);
    buf_free(&y);
}

static void what_was_encoded_is_decoded(void **state)
{
    struct buf b = encode(*state);
    struct catalog c;
    const struct catalog_collection *images;

    assert_int_equal(catalog_decode(buf_slice(&b), &c, NULL), ST_OK);
    assert_same(*state, &c);
    assert_int_equal(c.revision, 77);
    assert_int_equal(c.nonce[15], 0xAB);
    images = catalog_find_name(&c, DATABASE, "caf\xC3\xA9 images");
    assert_non_null(images);
    assert_memory_equal(images->id, IMAGES, 16);
    assert_int_equal(images->policy, POLICY_MEMORY_S3);
    assert_int_equal(images->durability, DURABILITY_REMOTE);
    assert_true(images->string_ids);
    assert_int_equal(images->created_at_ns, 1700000000000000007u);
    assert_int_equal(images->field_count, 2);
    assert_string_equal(images->fields[1].name, "image/text");
    assert_int_equal(images->fields[1].id, 3);
    assert_int_equal(images->fields[1].dim, 384);
    assert_int_equal(images->fields[1].m, 16);
    assert_int_equal(images->fields[1].ef_construction, 200);
    assert_int_equal(images->fields[1].ef_search, 100);
    assert_int_equal(images->fields[1].threshold, 10000);
    assert_int_equal(images->fields[1].quantization, 8);
    assert_int_equal(c.dropped_count, 1);
    assert_int_equal(c.dropped[0].dropped_at_ns, 5);
    assert_memory_equal(c.dropped[0].id, OLD, 16);
    assert_int_equal(images->setting_count, 2);
    assert_string_equal(images->settings[0].key, "caf\xC3\xA9");
    assert_int_equal(images->settings[1].bytes, 18);
    assert_memory_equal(images->settings[1].value, "{\"type\":\"keyword\"}", 18);
    assert_ptr_equal(catalog_find_setting(images, "index:a[].b"), &images->settings[1]);
    assert_null(catalog_find_setting(images, "index:a[].c"));
    catalog_free(&c);
    buf_free(&b);
}

static void an_empty_catalog_is_one(void **state)
{
    struct catalog c;
    struct catalog back;
    struct buf b;

    (void)state;
    catalog_init(&c);
    b = encode(&c);
    assert_int_equal(catalog_decode(buf_slice(&b), &back, NULL), ST_OK);
    assert_int_equal(back.collection_count, 0);
    catalog_free(&back);
    buf_free(&b);
}

static void released_bytes_are_read_and_written_again(void **state)
{
    struct buf b = encode(*state);
    struct slice stored;
    struct catalog c;

    golden_check("catalog-v2.hex", buf_slice(&b));
    stored = golden_read("catalog-v2.hex");
    assert_int_equal(catalog_decode(stored, &c, NULL), ST_OK);
    assert_same(*state, &c);
    catalog_free(&c);
    mem_free((void *)(uintptr_t)stored.data);
    buf_free(&b);
}

/* It had everything but settings. */
static void version_1_is_read(void **state)
{
    struct slice stored = golden_read("catalog-v1.hex");
    struct catalog *want = *state;
    struct catalog c;

    assert_int_equal(catalog_decode(stored, &c, NULL), ST_OK);
    assert_int_equal(c.collections[0].setting_count, 0);
    for (size_t i = 0; i < want->collection_count; i++)
        catalog_settings_free(&want->collections[i]);
    assert_same(want, &c);
    catalog_free(&c);
    mem_free((void *)(uintptr_t)stored.data);
}

static status decode_copy(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = malloc(bytes == 0 ? 1 : bytes);
    struct catalog c;
    status st;

    assert_non_null(copy);
    memcpy(copy, data, bytes);
    st = catalog_decode(slice_make(copy, bytes), &c, NULL);
    if (st == ST_OK)
        catalog_free(&c);
    free(copy);
    return st;
}

static void a_cut_or_a_flipped_bit_is_corruption(void **state)
{
    struct buf b = encode(*state);

    for (size_t cut = 0; cut < b.bytes; cut++)
        assert_int_equal(decode_copy(b.data, cut), ST_CORRUPT);
    for (size_t bit = 0; bit < b.bytes * 8; bit++) {
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(decode_copy(b.data, b.bytes), ST_CORRUPT);
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buf_free(&b);
}

static void seal(uint8_t *data, size_t bytes)
{
    le_put_u32(data + 8, (uint32_t)bytes);
    le_put_u32(data + 12, crc32c(crc32c(0, data, 12), data + 16, bytes - 16));
}

/* A good checksum over bad bytes: a writer's error, or a stranger's file. What is accepted must be
 * a catalog that could be written again. */
static void damage_under_a_good_checksum_never_leads_outside(void **state)
{
    struct buf b = encode(*state);
    struct rand_seeded rand;
    unsigned accepted = 0;

    rand_seeded_init(&rand, seed);
    for (unsigned round = 0; round < 20000; round++) {
        size_t bytes = b.bytes - (round % 4 == 0 ? rand_below(&rand.source, b.bytes - 40) : 0);
        uint64_t edits = 1 + rand_below(&rand.source, 3);
        uint8_t *copy = malloc(bytes);
        struct catalog c;
        status st;

        assert_non_null(copy);
        memcpy(copy, b.data, bytes);
        for (uint64_t e = 0; e < edits; e++)
            copy[rand_below(&rand.source, bytes)] ^= (uint8_t)rand_u64(&rand.source);
        seal(copy, bytes);
        st = catalog_decode(slice_make(copy, bytes), &c, NULL);
        if (st == ST_OK) {
            struct buf again = encode(&c);

            accepted++;
            buf_free(&again);
            catalog_free(&c);
        } else if (st != ST_CORRUPT && st != ST_UNSUPPORTED) {
            fail_msg("status %s seed=%llu round=%u", status_name(st), (unsigned long long)seed,
                     round);
        }
        free(copy);
    }
    assert_true(accepted > 0);
    buf_free(&b);
}

static void a_newer_version_is_unsupported(void **state)
{
    struct buf b = encode(*state);
    struct catalog c;
    struct err err;

    b.data[4] = 3;
    seal(b.data, b.bytes);
    assert_int_equal(catalog_decode(buf_slice(&b), &c, &err), ST_UNSUPPORTED);
    assert_non_null(strstr(err.text, "newer"));
    buf_free(&b);
}

static void names_are_text_without_path_characters(void **state)
{
    const char *bad[] = {"",  "a/b", "a\\b", "a:b",  "a*",    "a?",   "\"",
                         "<", ">",   "|",    "\x01", "a\x7F", "\xC3", "\xED\xA0\x80"};
    const char *good[] = {"a", "docs", "caf\xC3\xA9", "a b", "..", "\xF0\x9F\x98\x80"};
    char text[257];
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        err.text[0] = 0;
        assert_int_equal(catalog_name_check(bad[i], strlen(bad[i]), &err), ST_INVALID);
        assert_true(strlen(err.text) > 10);
    }
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_int_equal(catalog_name_check(good[i], strlen(good[i]), NULL), ST_OK);
    assert_int_equal(catalog_name_check("a\0b", 3, NULL), ST_INVALID);
    memset(text, 'x', sizeof text);
    assert_int_equal(catalog_name_check(text, 255, NULL), ST_OK);
    assert_int_equal(catalog_name_check(text, 256, NULL), ST_INVALID);
}

static void names_are_unique_within_a_database_aliases_too(void **state)
{
    struct catalog *c = *state;
    const uint8_t id[16] = {0x33, 9};

    assert_int_equal(add(c, id, DEFAULT_ID, "docs", NULL), ST_EXISTS);
    assert_int_equal(add(c, id, DEFAULT_ID, "latest", NULL), ST_EXISTS);
    assert_int_equal(catalog_rename_collection(c, DOCS, "latest", NULL), ST_EXISTS);
    assert_int_equal(add(c, id, DATABASE, "docs", NULL), ST_OK);
    assert_int_equal(catalog_rename_collection(c, id, "caf\xC3\xA9 images", NULL), ST_EXISTS);
    assert_int_equal(catalog_rename_collection(c, id, "a/b", NULL), ST_INVALID);
    assert_int_equal(catalog_rename_collection(c, id, "docs", NULL), ST_OK);
    assert_int_equal(catalog_rename_collection(c, id, "papers", NULL), ST_OK);
    assert_ptr_equal(catalog_find_name(c, DATABASE, "papers"), catalog_find_id(c, id));
    assert_null(catalog_find_name(c, DATABASE, "docs"));
    assert_ptr_equal(catalog_find_name(c, DEFAULT_ID, "latest"), catalog_find_id(c, DOCS));
}

static void ids_are_never_used_again(void **state)
{
    struct catalog *c = *state;

    assert_int_equal(add(c, OLD, DEFAULT_ID, "new", NULL), ST_EXISTS);
    assert_int_equal(add(c, DOCS, DATABASE, "new", NULL), ST_EXISTS);
    assert_int_equal(catalog_add_tenant(c, TENANT, "other", NULL), ST_EXISTS);
    assert_int_equal(catalog_add_tenant(c, DEFAULT_ID, "other", NULL), ST_EXISTS);
    assert_int_equal(catalog_add_database(c, DATABASE, TENANT, "other", NULL), ST_EXISTS);
    assert_int_equal(catalog_remove_collection(c, OLD, 6, NULL), ST_NOT_FOUND);
}

static void what_something_belongs_to_must_exist(void **state)
{
    struct catalog *c = *state;
    const uint8_t nowhere[16] = {0x99};
    const uint8_t id[16] = {0x33, 9};

    assert_int_equal(add(c, id, nowhere, "new", NULL), ST_NOT_FOUND);
    assert_int_equal(catalog_add_database(c, id, nowhere, "new", NULL), ST_NOT_FOUND);
    assert_int_equal(catalog_rename_collection(c, nowhere, "new", NULL), ST_NOT_FOUND);
}

static void removing_takes_the_aliases_along(void **state)
{
    struct catalog *c = *state;

    assert_int_equal(catalog_remove_collection(c, DOCS, 9, NULL), ST_OK);
    assert_null(catalog_find_name(c, DEFAULT_ID, "latest"));
    assert_null(catalog_find_id(c, DOCS));
    assert_non_null(catalog_find_id(c, IMAGES));
    assert_int_equal(c->alias_count, 0);
    assert_int_equal(c->dropped_count, 2);
}

/* Each value out of range, on its own, is refused when added, when encoded, and when read. */
static void values_out_of_range_are_refused(void **state)
{
    for (unsigned which = 0; which < 14; which++) {
        struct catalog c;
        struct buf b;
        struct catalog_collection *col;

        assert_int_equal(catalog_copy(*state, &c, NULL), ST_OK);
        col = catalog_find_id(&c, DOCS);
        switch (which) {
        case 0:
            col->policy = 0;
            break;
        case 1:
            col->policy = 4;
            break;
        case 2:
            col->durability = 3;
            break;
        case 3:
            col->fields[0].dim = 0;
            break;
        case 4:
            col->fields[0].dim = 65536;
            break;
        case 5:
            col->fields[0].metric = 5;
            break;
        case 6:
            col->fields[0].m = 1;
            break;
        case 7:
            col->fields[0].ef_construction = 0;
            break;
        case 8:
            col->fields[0].ef_search = 0;
            break;
        case 9:
            col->fields[0].quantization = 9;
            break;
        case 10:
            col->fields[1].id = 0;
            break;
        case 11:
            col->fields[1].name[0] = 0;
            break;
        case 12:
            c.dropped[0].id[1] = 1;
            break; /* DOCS, which lives */
        default:
            c.aliases[0].database_id[0] = 0x22;
            c.aliases[0].database_id[1] = 1;
            break;
        }
        buf_init(&b, CATALOG_BYTES_MAX);
        if (catalog_encode(&c, &b, NULL) != ST_INVALID)
            fail_msg("case %u was encoded", which);
        if (which < 12 && which != 10) {
            struct catalog fresh;
            status st;

            catalog_init(&fresh);
            st = catalog_add_collection(&fresh, col, NULL);
            if (st != ST_INVALID)
                fail_msg("case %u was added: %s", which, status_name(st));
            catalog_free(&fresh);
        }
        buf_free(&b);
        catalog_free(&c);
    }
}

/* Each wrong under a good checksum; the catalog they are in can say everything else. */
static void settings_out_of_order_or_range_are_refused(void **state)
{
    for (unsigned which = 0; which < 7; which++) {
        struct catalog c;
        struct catalog back;
        struct catalog_collection *images;
        struct buf b;
        size_t at;

        assert_int_equal(catalog_copy(*state, &c, NULL), ST_OK);
        images = catalog_find_id(&c, IMAGES);
        b = encode(&c);
        at = b.bytes - (16 + 2 + 11 + 4 + 18); /* the last one: index:a[].b */
        switch (which) {
        case 0: /* below the one before it */
            b.data[at + 18] = 'a';
            images->settings[1].key[0] = 'a';
            break;
        case 1: /* of no collection */
            b.data[at] ^= 1;
            images->settings[1].bytes = 0;
            break;
        case 2: /* of one whose turn is over */
            memcpy(b.data + at, DOCS, 16);
            images->settings[1].bytes = CATALOG_SETTING_BYTES_MAX + 1;
            break;
        case 3:
            b.data[at + 18] = 0xFF;
            images->settings[1].key[0] = (char)0xFF;
            break;
        case 4:
            b.data[at + 18] = 0;
            images->settings[1].key[0] = 0;
            break;
        case 5: /* empty */
            le_put_u32(b.data + at + 29, 0);
            b.bytes -= 18;
            (void)snprintf(images->settings[1].key, 12, "%s", images->settings[0].key);
            break;
        default: /* one more than there are */
            b.data[at - (16 + 2 + 5 + 4 + 1) - (16 + 2 + 6 + 4 + 14) - 4]++;
            images->settings[0].key[0] = 'z';
            break;
        }
        seal(b.data, b.bytes);
        if (catalog_decode(buf_slice(&b), &back, NULL) != ST_CORRUPT)
            fail_msg("case %u was read", which);
        buf_reset(&b);
        if (catalog_encode(&c, &b, NULL) != ST_INVALID)
            fail_msg("case %u was written", which);
        buf_free(&b);
        catalog_free(&c);
    }
}

static void settings_are_put_and_taken_out(void **state)
{
    struct catalog *c = *state;
    struct catalog_collection *docs = catalog_find_id(c, DOCS);
    uint8_t *large = calloc(1, CATALOG_SETTING_BYTES_MAX + 1);
    char key[CATALOG_SETTING_KEY_BYTES_MAX + 2];

    memset(key, 'k', sizeof key);
    key[sizeof key - 1] = '\0';
    assert_int_equal(set(c, DOCS, key, "1"), ST_INVALID);
    key[sizeof key - 2] = '\0';
    assert_int_equal(set(c, DOCS, key, "1"), ST_OK);
    assert_int_equal(set(c, DOCS, "", "1"), ST_INVALID);
    assert_int_equal(set(c, DOCS, "\xC3", "1"), ST_INVALID);
    assert_int_equal(
        catalog_put_setting(docs, "large", slice_make(large, CATALOG_SETTING_BYTES_MAX + 1), NULL),
        ST_INVALID);
    assert_int_equal(
        catalog_put_setting(docs, "large", slice_make(large, CATALOG_SETTING_BYTES_MAX), NULL),
        ST_OK);
    assert_int_equal(docs->setting_count, 3);
    assert_int_equal(set(c, DOCS, "qdrant", "other"), ST_OK);
    assert_memory_equal(catalog_find_setting(docs, "qdrant")->value, "other", 5);
    assert_int_equal(set(c, DOCS, "qdrant", ""), ST_OK);
    assert_null(catalog_find_setting(docs, "qdrant"));
    assert_int_equal(set(c, DOCS, "qdrant", ""), ST_OK);
    assert_int_equal(docs->setting_count, 2);
    for (int i = 0; docs->setting_count < CATALOG_SETTINGS_MAX; i++) {
        (void)snprintf(key, sizeof key, "n%d", i * 7919 % 1000);
        assert_int_equal(set(c, DOCS, key, "1"), ST_OK);
    }
    assert_int_equal(set(c, DOCS, "one more", "1"), ST_INVALID);
    assert_int_equal(set(c, DOCS, "large", "1"), ST_OK);
    {
        struct buf b = encode(c);
        struct catalog back;

        assert_int_equal(catalog_decode(buf_slice(&b), &back, NULL), ST_OK);
        assert_true(catalog_settings_equal(catalog_find_id(&back, DOCS), docs));
        assert_int_equal(
            catalog_put_setting(catalog_find_id(&back, DOCS), "large", slice_text("2"), NULL),
            ST_OK);
        assert_false(catalog_settings_equal(catalog_find_id(&back, DOCS), docs));
        catalog_free(&back);
        buf_free(&b);
    }
    free(large);
}

static void a_collection_may_have_no_fields(void **state)
{
    struct catalog *c = *state;
    struct catalog_collection *docs = catalog_find_id(c, DOCS);
    struct catalog back;
    struct buf b;

    for (size_t i = 0; i < docs->field_count; i++)
        mem_free(docs->fields[i].name);
    docs->field_count = 0;
    b = encode(c);
    assert_int_equal(catalog_decode(buf_slice(&b), &back, NULL), ST_OK);
    assert_int_equal(catalog_find_id(&back, DOCS)->field_count, 0);
    catalog_free(&back);
    buf_free(&b);
}

static void the_oldest_dropped_ids_are_forgotten(void **state)
{
    struct catalog *c = *state;

    c->dropped = mem_resize(c->dropped, CATALOG_DROPPED_MAX * sizeof *c->dropped);
    assert_non_null(c->dropped);
    for (uint32_t i = 0; c->dropped_count < CATALOG_DROPPED_MAX; i++) {
        struct catalog_dropped *d = &c->dropped[c->dropped_count++];

        memset(d, 0, sizeof *d);
        d->id[0] = 0x77;
        le_put_u32(d->id + 4, i);
    }
    assert_int_equal(catalog_remove_collection(c, DOCS, 9, NULL), ST_OK);
    assert_int_equal(c->dropped_count, CATALOG_DROPPED_MAX);
    assert_memory_equal(c->dropped[CATALOG_DROPPED_MAX - 1].id, DOCS, 16);
    assert_int_equal(c->dropped[0].id[0], 0x77); /* OLD was the first to go */
}

#define FIFTY        "01234567890123456789012345678901234567890123456789"
#define FIVE_HUNDRED FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY

/* 10,000 collections fit, one more does not, and it all still reads back. */
static void ten_thousand_collections_fit(void **state)
{
    struct catalog c;
    struct catalog back;
    struct buf b;
    uint8_t id[16] = {0x44};
    char name[CATALOG_NAME_BYTES_MAX + 1];

    (void)state;
    catalog_init(&c);
    c.collections = mem_zero_array(CATALOG_COLLECTIONS_MAX, sizeof *c.collections);
    assert_non_null(c.collections);
    for (uint32_t i = 0; i < CATALOG_COLLECTIONS_MAX; i++) {
        struct catalog_collection *col = &c.collections[c.collection_count++];

        le_put_u32(id + 8, i);
        memcpy(col->id, id, 16);
        (void)snprintf(name, sizeof name, "%0255u", i);
        col->name = mem_strdup(name);
        col->policy = POLICY_MEMORY;
        col->durability = DURABILITY_LOCAL;
        col->fields = mem_zero_array(1, sizeof *col->fields);
        assert_non_null(col->fields);
        col->fields[0] = field_of(0, mem_strdup(""));
        col->field_count = 1;
        assert_int_equal(set(&c, id, "qdrant", FIVE_HUNDRED), ST_OK);
    }
    b = encode(&c);
    assert_int_equal(catalog_decode(buf_slice(&b), &back, NULL), ST_OK);
    assert_int_equal(back.collection_count, CATALOG_COLLECTIONS_MAX);
    assert_int_equal(add(&back, DOCS, DEFAULT_ID, "one more", NULL), ST_INVALID);
    catalog_free(&back);
    catalog_free(&c);
    buf_free(&b);
}

/* Every function, with each allocation failing once: ST_NOMEM and nothing changed. */
static void each_allocation_may_fail(void **state)
{
    const uint8_t id[16] = {0x55};
    struct buf before = encode(*state);

    for (int64_t n = 0;; n++) {
        struct catalog copy;
        struct catalog back;
        struct buf b;
        struct buf same;
        int64_t asked;
        status st;

        buf_init(&b, CATALOG_BYTES_MAX);
        catalog_init(&back);
        mem_test_fail_after(n);
        st = catalog_copy(*state, &copy, NULL);
        if (st == ST_OK) {
            st = add(&copy, id, DEFAULT_ID, "new", NULL);
            if (st == ST_OK)
                st = catalog_add_tenant(&copy, id, "other", NULL);
            if (st == ST_OK)
                st = catalog_add_database(&copy, id, id, "other", NULL);
            if (st == ST_OK)
                st = catalog_rename_collection(&copy, id, "newer", NULL);
            if (st == ST_OK)
                st = set(&copy, id, "key", "one");
            if (st == ST_OK)
                st = set(&copy, id, "key", "two");
            if (st == ST_OK)
                st = catalog_remove_collection(&copy, id, 1, NULL);
            if (st == ST_OK)
                st = catalog_encode(&copy, &b, NULL);
            if (st == ST_OK)
                st = catalog_decode(buf_slice(&b), &back, NULL);
            asked = mem_test_count();
            mem_test_fail_after(-1);
            same = encode(&copy); /* whatever failed, what is left holds together */
            buf_free(&same);
            catalog_free(&copy);
        } else {
            asked = mem_test_count();
            mem_test_fail_after(-1);
        }
        catalog_free(&back);
        buf_free(&b);
        assert_int_equal(st, asked > n ? ST_NOMEM : ST_OK);
        same = encode(*state);
        assert_true(slice_equal(buf_slice(&same), buf_slice(&before)));
        buf_free(&same);
        if (asked <= n)
            break;
    }
    buf_free(&before);
}

int main(int argc, char **argv)
{
#define WITH_CATALOG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_CATALOG(what_was_encoded_is_decoded),
        WITH_CATALOG(an_empty_catalog_is_one),
        WITH_CATALOG(released_bytes_are_read_and_written_again),
        WITH_CATALOG(version_1_is_read),
        WITH_CATALOG(a_cut_or_a_flipped_bit_is_corruption),
        WITH_CATALOG(damage_under_a_good_checksum_never_leads_outside),
        WITH_CATALOG(a_newer_version_is_unsupported),
        WITH_CATALOG(names_are_text_without_path_characters),
        WITH_CATALOG(names_are_unique_within_a_database_aliases_too),
        WITH_CATALOG(ids_are_never_used_again),
        WITH_CATALOG(what_something_belongs_to_must_exist),
        WITH_CATALOG(removing_takes_the_aliases_along),
        WITH_CATALOG(values_out_of_range_are_refused),
        WITH_CATALOG(settings_out_of_order_or_range_are_refused),
        WITH_CATALOG(settings_are_put_and_taken_out),
        WITH_CATALOG(a_collection_may_have_no_fields),
        WITH_CATALOG(the_oldest_dropped_ids_are_forgotten),
        WITH_CATALOG(ten_thousand_collections_fit),
        WITH_CATALOG(each_allocation_may_fail),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
