/* Any text as the URL of a store, and as an endpoint: what is accepted, put together again from its
 * parts, is taken apart the same. */
#include "base/mem.h"
#include "objstore/url.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

static void print(const struct objstore_url *u, char *out, size_t bytes)
{
    switch (u->kind) {
    case OBJSTORE_URL_S3:
        (void)snprintf(out, bytes, "s3://%s/%s", u->bucket, u->prefix);
        break;
    case OBJSTORE_URL_HTTP:
        (void)snprintf(out, bytes, "%s/%s/%s", u->endpoint, u->bucket, u->prefix);
        break;
    case OBJSTORE_URL_FILE:
        (void)snprintf(out, bytes, "file://%s", u->path);
        break;
    case OBJSTORE_URL_MEMORY:
        (void)snprintf(out, bytes, "memory:%s", u->name);
        break;
    }
}

static void try_url(const char *text)
{
    struct objstore_url u, again;
    struct err err = {0};
    char out[FS_PATH_BYTES + 1024];
    char endpoint[OBJSTORE_ENDPOINT_BYTES];
    char twice[OBJSTORE_ENDPOINT_BYTES];

    if (fuzz_said(objstore_url_parse(text, &u, &err), &err) == ST_OK) {
        print(&u, out, sizeof out);
        if (fuzz_said(objstore_url_parse(out, &again, &err), &err) != ST_OK) {
            (void)fprintf(stderr, "%s\n%s\n", text, out);
            fuzz_stop(__FILE__, __LINE__, "accepted, and not again");
        }
        FUZZ_CHECK(again.kind == u.kind && strcmp(again.endpoint, u.endpoint) == 0 &&
                   strcmp(again.bucket, u.bucket) == 0 && strcmp(again.prefix, u.prefix) == 0 &&
                   strcmp(again.path, u.path) == 0 && strcmp(again.name, u.name) == 0);
        if (u.kind != OBJSTORE_URL_FILE)
            fuzz_printable(out);
    }
    if (fuzz_said(objstore_endpoint_parse(text, endpoint, &err), &err) == ST_OK) {
        FUZZ_CHECK(objstore_endpoint_parse(endpoint, twice, NULL) == ST_OK);
        FUZZ_CHECK(strcmp(endpoint, twice) == 0);
        fuzz_printable(endpoint);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *text = mem_strndup((const char *)data, bytes);

    if (text != NULL)
        try_url(text);
    mem_free(text);
    return 0;
}
