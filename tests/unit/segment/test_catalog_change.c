/* Changes of a catalog: aliases, and what may be taken away. Each is whole or nothing. */
#include "base/mem.h"
#include "segment/catalog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t DEFAULT_ID[16];
static const uint8_t TENANT[16] = {0x11, 1};
static const uint8_t SHOP[16] = {0x22, 1};
static const uint8_t DOCS[16] = {0x33, 1};
static const uint8_t PAPERS[16] = {0x33, 2};
static const uint8_t GOODS[16] = {0x33, 3};
static const uint8_t NOWHERE[16] = {0x99};

static status add(struct catalog *c, const uint8_t id[16], const uint8_t database_id[16],
                  const char *name)
{
    char empty[] = "";
    char text[64];
    struct catalog_field field = {.id = 0,
                                  .name = empty,
                                  .dim = 3,
                                  .metric = 1,
                                  .m = 16,
                                  .ef_construction = 200,
                                  .ef_search = 100,
                                  .quantization = QUANTIZATION_SCALAR};
    struct catalog_collection col = {.name = text,
                                     .policy = POLICY_MEMORY_S3,
                                     .durability = DURABILITY_LOCAL,
                                     .fields = &field,
                                     .field_count = 1};

    strcpy(text, name);
    memcpy(col.id, id, 16);
    memcpy(col.database_id, database_id, 16);
    return catalog_add_collection(c, &col, NULL);
}

static int setup(void **state)
{
    struct catalog *c = calloc(1, sizeof *c);

    catalog_init(c);
    assert_int_equal(catalog_add_tenant(c, TENANT, "acme", NULL), ST_OK);
    assert_int_equal(catalog_add_database(c, SHOP, TENANT, "shop", NULL), ST_OK);
    assert_int_equal(add(c, DOCS, DEFAULT_ID, "docs"), ST_OK);
    assert_int_equal(add(c, PAPERS, DEFAULT_ID, "papers"), ST_OK);
    assert_int_equal(add(c, GOODS, SHOP, "goods"), ST_OK);
    *state = c;
    return 0;
}

/* Whatever was done to it: it can be written and read. */
static void assert_holds_together(const struct catalog *c)
{
    struct catalog back;
    struct buf b;

    buf_init(&b, CATALOG_BYTES_MAX);
    assert_int_equal(catalog_encode(c, &b, NULL), ST_OK);
    assert_int_equal(catalog_decode(buf_slice(&b), &back, NULL), ST_OK);
    catalog_free(&back);
    buf_free(&b);
}

static int teardown(void **state)
{
    assert_holds_together(*state);
    catalog_free(*state);
    free(*state);
    return 0;
}

static void an_alias_leads_to_a_collection_and_then_elsewhere(void **state)
{
    struct catalog *c = *state;

    assert_int_equal(catalog_set_alias(c, DEFAULT_ID, "latest", DOCS, NULL), ST_OK);
    assert_ptr_equal(catalog_find_name(c, DEFAULT_ID, "latest"), catalog_find_id(c, DOCS));
    assert_int_equal(catalog_set_alias(c, DEFAULT_ID, "latest", PAPERS, NULL), ST_OK);
    assert_ptr_equal(catalog_find_name(c, DEFAULT_ID, "latest"), catalog_find_id(c, PAPERS));
    assert_int_equal(c->alias_count, 1);
    assert_null(catalog_find_name(c, SHOP, "latest"));
}

static void a_name_is_an_alias_or_a_collection_s(void **state)
{
    struct catalog *c = *state;

    assert_int_equal(catalog_set_alias(c, DEFAULT_ID, "papers", DOCS, NULL), ST_EXISTS);
    assert_int_equal(catalog_set_alias(c, DEFAULT_ID, "docs", DOCS, NULL), ST_EXISTS);
    assert_int_equal(catalog_set_alias(c, DEFAULT_ID, "a/b", DOCS, NULL), ST_INVALID);
    assert_int_equal(catalog_set_alias(c, DEFAULT_ID, "", DOCS, NULL), ST_INVALID);
    assert_int_equal(catalog_set_alias(c, DEFAULT_ID, "goods", DOCS, NULL), ST_OK);
    assert_int_equal(c->alias_count, 1);
}

static void an_alias_stays_within_its_database(void **state)
{
    struct catalog *c = *state;

    assert_int_equal(catalog_set_alias(c, DEFAULT_ID, "latest", GOODS, NULL), ST_NOT_FOUND);
    assert_int_equal(catalog_set_alias(c, SHOP, "latest", DOCS, NULL), ST_NOT_FOUND);
    assert_int_equal(catalog_set_alias(c, DEFAULT_ID, "latest", NOWHERE, NULL), ST_NOT_FOUND);
    assert_int_equal(c->alias_count, 0);
}

static void removing_an_alias_leaves_the_others(void **state)
{
    struct catalog *c = *state;

    assert_int_equal(catalog_set_alias(c, DEFAULT_ID, "a", DOCS, NULL), ST_OK);
    assert_int_equal(catalog_set_alias(c, DEFAULT_ID, "b", PAPERS, NULL), ST_OK);
    assert_int_equal(catalog_set_alias(c, SHOP, "b", GOODS, NULL), ST_OK);
    assert_int_equal(catalog_remove_alias(c, DEFAULT_ID, "docs", NULL), ST_NOT_FOUND);
    assert_int_equal(catalog_remove_alias(c, SHOP, "a", NULL), ST_NOT_FOUND);
    /* with its own texts, as a loop over the aliases does */
    assert_int_equal(catalog_remove_alias(c, c->aliases[1].database_id, c->aliases[1].name, NULL),
                     ST_OK);
    assert_null(catalog_find_name(c, DEFAULT_ID, "b"));
    assert_ptr_equal(catalog_find_name(c, DEFAULT_ID, "a"), catalog_find_id(c, DOCS));
    assert_ptr_equal(catalog_find_name(c, SHOP, "b"), catalog_find_id(c, GOODS));
    assert_int_equal(catalog_remove_alias(c, DEFAULT_ID, "b", NULL), ST_NOT_FOUND);
}

static void what_holds_something_stays(void **state)
{
    struct catalog *c = *state;
    struct err err;

    assert_int_equal(catalog_remove_tenant(c, TENANT, &err), ST_CONFLICT);
    assert_non_null(strstr(err.text, "shop"));
    assert_int_equal(catalog_remove_database(c, SHOP, &err), ST_CONFLICT);
    assert_non_null(strstr(err.text, "goods"));
    assert_int_equal(catalog_remove_tenant(c, DEFAULT_ID, NULL), ST_INVALID);
    assert_int_equal(catalog_remove_database(c, DEFAULT_ID, NULL), ST_INVALID);
    assert_int_equal(catalog_remove_tenant(c, NOWHERE, NULL), ST_NOT_FOUND);
    assert_int_equal(catalog_remove_database(c, NOWHERE, NULL), ST_NOT_FOUND);
    assert_int_equal(c->tenant_count, 1);
    assert_int_equal(c->database_count, 1);
}

static void what_is_empty_goes_and_its_name_is_free(void **state)
{
    const uint8_t second[16] = {0x22, 2};
    struct catalog *c = *state;

    assert_int_equal(catalog_add_database(c, second, TENANT, "second", NULL), ST_OK);
    assert_int_equal(catalog_set_alias(c, SHOP, "latest", GOODS, NULL), ST_OK);
    assert_int_equal(catalog_remove_collection(c, GOODS, 5, NULL), ST_OK);
    assert_int_equal(catalog_remove_database(c, SHOP, NULL), ST_OK);
    assert_int_equal(c->database_count, 1);
    assert_string_equal(c->databases[0].name, "second");
    assert_int_equal(add(c, NOWHERE, SHOP, "new"), ST_NOT_FOUND);
    assert_int_equal(catalog_remove_tenant(c, TENANT, NULL), ST_CONFLICT);
    assert_int_equal(catalog_remove_database(c, second, NULL), ST_OK);
    assert_int_equal(catalog_remove_tenant(c, TENANT, NULL), ST_OK);
    assert_int_equal(c->tenant_count, 0);
    assert_int_equal(catalog_add_tenant(c, TENANT, "acme", NULL), ST_OK);
}

static status change(void *arg)
{
    struct catalog copy;
    status st = catalog_copy(arg, &copy, NULL);

    if (st != ST_OK)
        return st;
    st = catalog_set_alias(&copy, DEFAULT_ID, "a", DOCS, NULL);
    if (st == ST_OK)
        st = catalog_set_alias(&copy, SHOP, "a", GOODS, NULL);
    if (st == ST_OK)
        st = catalog_remove_alias(&copy, DEFAULT_ID, "a", NULL);
    mem_test_fail_after(-1); /* what is left after a failure holds together */
    assert_holds_together(&copy);
    catalog_free(&copy);
    return st;
}

static void each_allocation_may_fail(void **state)
{
    for (int64_t n = 0;; n++) {
        status st;

        mem_test_fail_after(n);
        st = change(*state);
        mem_test_fail_after(-1);
        if (st == ST_OK) {
            assert_true(n > 10);
            break;
        }
        assert_int_equal(st, ST_NOMEM);
    }
}

int main(void)
{
#define WITH_CATALOG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_CATALOG(an_alias_leads_to_a_collection_and_then_elsewhere),
        WITH_CATALOG(a_name_is_an_alias_or_a_collection_s),
        WITH_CATALOG(an_alias_stays_within_its_database),
        WITH_CATALOG(removing_an_alias_leaves_the_others),
        WITH_CATALOG(what_holds_something_stays),
        WITH_CATALOG(what_is_empty_goes_and_its_name_is_free),
        WITH_CATALOG(each_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
