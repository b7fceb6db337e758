/* `tiervec verify` of a bucket: whole, and with each object damaged or gone; of a directory see
 * tests/integration/verify.py. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "segment/catalog.h"
#include "segment/objkey.h"
#include "tests/unit/cli/cli_run.h"
#include "tests/unit/snapshot/bucket_world.h"

#include "base/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct bucket bucket;
static char folder[64];
static char line[256];

static void put_catalog(void)
{
    static char name[] = "docs";
    static char unnamed[] = "";
    struct catalog_field field = {.name = unnamed,
                                  .dim = WORLD_DIM,
                                  .metric = 1,
                                  .m = 16,
                                  .ef_construction = 100,
                                  .ef_search = 100,
                                  .quantization = QUANTIZATION_SCALAR};
    struct catalog_collection c = {.name = name,
                                   .policy = POLICY_MEMORY_S3,
                                   .durability = DURABILITY_LOCAL,
                                   .created_at_ns = 1,
                                   .fields = &field,
                                   .field_count = 1};
    struct catalog catalog;
    struct buf bytes;

    memcpy(c.id, bucket.w.state.collection_id, sizeof c.id);
    catalog_init(&catalog);
    catalog.revision = 1;
    assert_int_equal(catalog_add_collection(&catalog, &c, NULL), ST_OK);
    buf_init(&bytes, CATALOG_BYTES_MAX);
    assert_int_equal(catalog_encode(&catalog, &bytes, NULL), ST_OK);
    bucket_put(&bucket, OBJKEY_CATALOG, buf_slice(&bytes));
    buf_free(&bytes);
    catalog_free(&catalog);
}

/* Base segments, a manifest, groups of two epochs. */
static int setup(void **state)
{
    struct publish_report report;

    (void)state;
    bucket_open(&bucket, 20261121);
    world_ops(&bucket.w, 60);
    bucket_ship(&bucket, bucket.w.lsn);
    bucket_take(&bucket, false);
    assert_int_equal(bucket_publish(&bucket, PUBLISH_BASE, &report, NULL), ST_OK);
    world_ops(&bucket.w, 20);
    bucket_ship(&bucket, bucket.w.lsn);
    put_catalog();
    (void)snprintf(line, sizeof line, "verify --from memory:%s", bucket.name);
    (void)snprintf(folder, sizeof folder, "/tmp/test_cli.XXXXXX");
    return mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    bucket_close(&bucket);
    return chdir("/") == 0 && fs_remove_all(fs_real(), folder, NULL) == ST_OK ? 0 : -1;
}

static void a_whole_bucket_is_whole(void **state)
{
    char want[128];

    (void)state;
    (void)snprintf(want, sizeof want, "docs  bucket: up to lsn %llu, ",
                   (unsigned long long)bucket.w.lsn);
    cli_check(cli_verify, line, CLI_OK, want);
    cli_check(cli_verify, line, CLI_OK, "everything is whole\n");
    cli_check(cli_verify, "verify --from memory:another", CLI_NOT_FOUND, "");
    assert_non_null(strstr(cli_ran.out, "there is no catalog"));
    cli_check(cli_verify, "verify --from nowhere", CLI_USAGE, "error: verify; ");
    cli_check(cli_verify, "verify something", CLI_USAGE, "usage: tiervec verify");
}

/* One flipped bit, or nothing where an object was. What no root leads to is not read. */
static void each_object_that_counts_is_missed(void **state)
{
    unsigned counted = 0;

    (void)state;
    for (size_t n = 0;; n++) {
        char *key = bucket_key(&bucket, n);
        struct buf body;

        if (key == NULL)
            break;
        body = bucket_get(&bucket, key);
        bucket_delete(&bucket, key);
        cli_run(cli_verify, line);
        if (cli_ran.code == CLI_INTEGRITY || strcmp(key, OBJKEY_CATALOG) == 0) {
            assert_int_equal(cli_ran.code,
                             strcmp(key, OBJKEY_CATALOG) == 0 ? CLI_NOT_FOUND : CLI_INTEGRITY);
            body.data[body.bytes / 2] ^= 4;
            bucket_put(&bucket, key, buf_slice(&body));
            cli_run(cli_verify, line);
            if (cli_ran.code != CLI_INTEGRITY || strstr(cli_ran.out, "DAMAGED") == NULL)
                fail_msg("%s: %d %s", key, cli_ran.code, cli_ran.out);
            body.data[body.bytes / 2] ^= 4;
            counted++;
        } else {
            assert_int_equal(cli_ran.code, CLI_OK);
        }
        bucket_put(&bucket, key, buf_slice(&body));
        buf_free(&body);
        free(key);
    }
    assert_true(counted >= 6); /* catalog, root, manifest, segments, groups */
    cli_check(cli_verify, line, CLI_OK, "everything is whole\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_whole_bucket_is_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(each_object_that_counts_is_missed, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
