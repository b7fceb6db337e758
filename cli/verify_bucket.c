/* verify_bucket.c - a bucket read whole: its catalog, and of each collection every object that its
 * root leads to. */
#include "cli/verify.h"

#include "snapshot/restore.h"

#include <inttypes.h>

static void check_collection(struct verify *v, struct objstore *store,
                             const struct catalog_collection *c)
{
    struct restore_options options = {.store = store, .clock = clock_real(), .rand = rand_kernel()};
    struct restore_report r;
    struct err err = {0};
    status st;

    memcpy(options.collection, c->id, sizeof options.collection);
    st = restore_verify(&options, &r, &err);
    if (st == ST_NOT_FOUND) /* what the catalog names has to be there */
        verify_found(v, VERIFY_DAMAGED, c->name, "bucket", "%s", err.text);
    else if (st != ST_OK)
        verify_failure(v, c->name, "bucket", st, &err);
    else if (r.gaps > 0)
        verify_found(v, VERIFY_NOTE, c->name, "bucket",
                     "up to lsn %" PRIu64 ", %" PRIu64 " objects, %" PRIu64 " bytes; %" PRIu64
                     " gaps: letters were discarded there",
                     r.last_lsn, r.objects, r.bytes, r.gaps);
    else
        verify_found(v, VERIFY_OK, c->name, "bucket",
                     "up to lsn %" PRIu64 ", %" PRIu64 " objects, %" PRIu64 " bytes, %" PRIu64
                     " rows and %" PRIu64 " records%s",
                     r.last_lsn, r.objects, r.bytes, r.rows, r.records,
                     r.used_image ? ", with a graph image" : "");
}

void verify_bucket(struct verify *v, const struct config *c)
{
    struct objstore *store = NULL;
    struct catalog catalog;
    struct err err = {0};
    status st = offline_store(c, NULL, &store, &err);

    if (st != ST_OK) {
        verify_failure(v, c->storage.s3_bucket, "bucket", st, &err);
        return;
    }
    st = restore_catalog(store, &catalog, NULL, &err);
    if (st != ST_OK && st != ST_NOT_FOUND)
        verify_failure(v, store->description, "catalog", st, &err);
    if (st == ST_NOT_FOUND) {
        (void)err_set(&err, st,
                      "there is no catalog: no bucket-backed collection was ever made "
                      "here");
        verify_failure(v, store->description, "catalog", st, &err);
    }
    if (st == ST_OK) {
        verify_found(v, VERIFY_OK, store->description, "catalog", "%zu collections, %zu aliases",
                     catalog.collection_count, catalog.alias_count);
        for (size_t i = 0; i < catalog.collection_count; i++)
            check_collection(v, store, &catalog.collections[i]);
    }
    if (st == ST_OK || st == ST_NOT_FOUND)
        catalog_free(&catalog);
    objstore_close(store);
}
