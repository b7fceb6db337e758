/* The suite of objstore_conformance.h over every store that is here; with the argument `s3` over
 * the bucket that TIERVEC_TEST_S3_URL names (AWS_* as it needs them) and nothing else:
 *
 *     scripts/s3_servers run minio build/dev/tests/conformance/objstore_conformance s3
 *
 * TIERVEC_TEST_S3_ADDRESSING  virtual: the bucket in the host
 * TIERVEC_TEST_S3_QUIRKS   words for what that server cannot: objects_below_objects, long_parts,
 *                          conditions, content_etags, suffixes, list_order, part_checks */
#include "tests/conformance/objstore_conformance.h"
#include "objstore/directory.h"
#include "objstore/faults.h"
#include "objstore/memory.h"
#include "objstore/meter.h"
#include "objstore/open.h"
#include "tests/support/fs_sim.h"

#include <stdio.h>
#include <stdlib.h>

static status open_memory(void *arg, struct objstore **out, struct err *err)
{
    return objstore_memory_open(arg, NULL, out, err);
}

/* As a node opens its bucket: with a registry, so with the meter around it. */
static struct stats *registry;

static status open_url(void *arg, struct objstore **out, struct err *err)
{
    struct objstore_options options = {
        .url = arg, .endpoint = getenv("TIERVEC_TEST_S3_ENDPOINT"), .stats = registry};
    const char *addressing = getenv("TIERVEC_TEST_S3_ADDRESSING");

    if (addressing != NULL && strcmp(addressing, "virtual") == 0)
        options.addressing = OBJSTORE_ADDRESS_VIRTUAL;
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

/* A meter around faults around memory. Half of all requests go a moment late, through the other
 * store's thread, so the order in which they were submitted is not the one they run in. */
static status open_wrapped(void *arg, struct objstore **out, struct err *err)
{
    struct objstore *memory = NULL;
    struct objstore *faults = NULL;
    const struct objstore_fault late = {.kind = OBJSTORE_FAULT_DELAY,
                                        .ops = 1u << OBJSTORE_PUT | 1u << OBJSTORE_LIST |
                                               1u << OBJSTORE_UPLOAD_COMPLETE,
                                        .times = OBJSTORE_FAULT_FOR_EVER,
                                        .delay_ms = 1};
    status st = objstore_memory_open(arg, NULL, &memory, err);

    if (st == ST_OK)
        st = objstore_faults_open(memory, 1, &faults, err);
    if (st == ST_OK)
        st = objstore_faults_add(faults, &late, NULL, err);
    return st != ST_OK ? st : objstore_meter_open(faults, NULL, clock_real(), out, err);
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
    static char wrapped[] = "conformance-wrapped";
    static char url[] = "memory:conformance-url";
    int failed = 0;

    if (stats_create(&registry, NULL) != ST_OK)
        return 1;
    if (argc > 1) {
        failed = strcmp(argv[1], "s3") == 0 ? run_s3() : 2;
        stats_destroy(registry);
        return failed;
    }
    failed += objstore_conformance_run(&(struct objstore_subject){
        .name = "memory", .open = open_memory, .arg = name, .race_rounds = 20});
    objstore_memory_forget("conformance");
    failed += objstore_conformance_run(
        &(struct objstore_subject){.name = "memory by url", .open = open_url, .arg = url});
    objstore_memory_forget("conformance-url");
    failed += objstore_conformance_run(&(struct objstore_subject){
        .name = "memory, wrapped", .open = open_wrapped, .arg = wrapped});
    objstore_memory_forget(wrapped);
    failed += run_directory();
    stats_destroy(registry);
    return failed;
}
