/* The suite of objstore_conformance.h over every store that is here; with the argument `s3` over
 * the bucket that TIERVEC_TEST_S3_URL names (AWS_* as it needs them) and nothing else:
 *
 *     scripts/s3_servers run minio build/dev/tests/conformance/objstore_conformance s3
 *
 * TIERVEC_TEST_S3_QUIRKS   words for what that server cannot: objects_below_objects, long_parts,
 *                          conditions, content_etags, suffixes, list_order, part_checks */
#include "tests/conformance/objstore_conformance.h"
#include "objstore/directory.h"
#include "objstore/memory.h"
#include "objstore/open.h"
#include "tests/support/fs_sim.h"

#include <stdio.h>
#include <stdlib.h>

static status open_memory(void *arg, struct objstore **out, struct err *err)
{
    return objstore_memory_open(arg, NULL, out, err);
}

static status open_url(void *arg, struct objstore **out, struct err *err)
{
    struct objstore_options options = {.url = arg,
                                       .endpoint = getenv("TIERVEC_TEST_S3_ENDPOINT"),
                                       .fs = fs_real(),
                                       .clock = clock_real(),
                                       .rand = rand_kernel()};

    return objstore_open(&options, out, err);
}

static status open_simulated(void *arg, struct objstore **out, struct err *err)
{
    return objstore_directory_open("/bucket", fs_sim_fs(arg), clock_real(), rand_kernel(), out,
                                   err);
}

static int run_directory(void)
{
    char root[] = "/tmp/objstore_conformance.XXXXXX";
    char url[64];
    struct fs_sim *sim = fs_sim_create();
    int failed = 1;

    if (mkdtemp(root) != NULL) {
        (void)snprintf(url, sizeof url, "file://%s", root);
        failed = objstore_conformance_run(&(struct objstore_subject){
            .name = "directory", .open = open_url, .arg = url, .race_rounds = 5});
        failed += fs_remove_all(fs_real(), root, NULL) != ST_OK;
    }
    failed += objstore_conformance_run(&(struct objstore_subject){
        .name = "directory on a simulated disk", .open = open_simulated, .arg = sim});
    fs_sim_destroy(sim);
    return failed;
}

static int run_s3(void)
{
    const char *quirks = getenv("TIERVEC_TEST_S3_QUIRKS");
    struct objstore_subject subject = {
        .name = "s3", .open = open_url, .arg = getenv("TIERVEC_TEST_S3_URL")};

    if (subject.arg == NULL) {
        (void)fprintf(stderr, "TIERVEC_TEST_S3_URL is not set: no bucket to try\n");
        return 1;
    }
    if (quirks != NULL) {
        subject.no_object_below_object = strstr(quirks, "objects_below_objects") != NULL;
        subject.no_long_parts = strstr(quirks, "long_parts") != NULL;
        subject.no_conditions = strstr(quirks, "conditions") != NULL;
        subject.etag_not_content = strstr(quirks, "content_etags") != NULL;
        subject.suffix_unsound = strstr(quirks, "suffixes") != NULL;
        subject.slash_sorts_first = strstr(quirks, "list_order") != NULL;
        subject.parts_unchecked = strstr(quirks, "part_checks") != NULL;
    }
    return objstore_conformance_run(&subject);
}

int main(int argc, char **argv)
{
    static char name[] = "conformance";
    static char url[] = "memory:conformance-url";
    int failed = 0;

    if (argc > 1)
        return strcmp(argv[1], "s3") == 0 ? run_s3() : 2;
    failed += objstore_conformance_run(&(struct objstore_subject){
        .name = "memory", .open = open_memory, .arg = name, .race_rounds = 20});
    objstore_memory_forget("conformance");
    failed += objstore_conformance_run(
        &(struct objstore_subject){.name = "memory by url", .open = open_url, .arg = url});
    objstore_memory_forget("conformance-url");
    failed += run_directory();
    return failed;
}
