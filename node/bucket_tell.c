/* A collection that is bucket-backed here and that the bucket's catalog does not have: a switch to
 * MemoryS3 was cut short between the local catalog and the bucket's. It is told with its aliases,
 * which were here alone; an alias whose name is taken there stays out. */
#include "node/node_internal.h"

enum { ROOT_ATTEMPT_MS = 5000 };

bool bucket_dropped(const struct catalog *bucket, const uint8_t id[16])
{
    for (size_t i = 0; i < bucket->dropped_count; i++) {
        if (memcmp(bucket->dropped[i].id, id, 16) == 0)
            return true;
    }
    return false;
}

status bucket_has_root(struct node *node, const uint8_t id[16], struct err *err)
{
    char key[OBJKEY_BYTES];
    struct objstore_req req = {.op = OBJSTORE_GET,
                               .pool = OBJSTORE_LOG,
                               .key = key,
                               .bytes_max = ROOT_BYTES_MAX,
                               .timeout_ms = ROOT_ATTEMPT_MS};
    status st;

    objkey_root(id, key);
    st = objstore_wait(node->options.store, &req, err);
    objstore_result_fini(&req.result);
    return st;
}

status bucket_add_missing(struct node *node, const uint8_t id[16], struct catalog *bucket,
                          struct err *err)
{
    const struct catalog *here = &node->catalog;
    const struct catalog_collection *entry = catalog_find_id(here, id);
    status st;

    if (entry == NULL)
        return err_set(err, ST_NOT_FOUND, "the collection was dropped");
    if (catalog_find_id(bucket, id) != NULL)
        return ST_OK;
    st = catalog_add_collection(bucket, entry, err);
    for (size_t i = 0; st == ST_OK && i < here->alias_count; i++) {
        const struct catalog_alias *a = &here->aliases[i];

        if (memcmp(a->collection_id, id, sizeof a->collection_id) == 0 &&
            catalog_find_name(bucket, a->database_id, a->name) == NULL)
            st = catalog_set_alias(bucket, a->database_id, a->name, id, err);
    }
    return st;
}

struct told {
    struct node *node;
    const uint8_t *id;
};

static status add(void *arg, struct catalog *bucket, struct err *err)
{
    const struct told *told = arg;

    return bucket_add_missing(told->node, told->id, bucket, err);
}

status bucket_tell(struct node *node, const uint8_t id[16], struct err *err)
{
    struct told told = {node, id};

    return bucket_catalog_change(node, add, &told, err);
}
