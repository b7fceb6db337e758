/* The conformance suite over Debian's libs3: how much of the contract a backend of signature
 * version 2 could keep. Not a test of ours: it is expected to fail
 * (docs/decisions/sigv2-backend.md).
 *
 *     scripts/s3_servers run minio build/release/tests/conformance/libs3_trial */
#include "tests/conformance/libs3_store.h"
#include "tests/conformance/objstore_conformance.h"

#include <stdlib.h>
#include <string.h>

static status open_it(void *arg, struct objstore **out, struct err *err)
{
    (void)arg;
    return libs3_store_open(true, out, err);
}

int main(void)
{
    const char *quirks = getenv("TIERVEC_TEST_S3_QUIRKS");

    return objstore_conformance_run(&(struct objstore_subject){
        .name = "libs3",
        .open = open_it,
        .race_rounds = 1,
        .no_object_below_object = true,
        .no_long_parts = true,
        .slash_sorts_first = quirks != NULL && strstr(quirks, "list_order") != NULL,
        .no_conditions = true});
}
