/* Dropping a collection that the bucket's catalog has and this node could not load: one whose
 * switch to MemoryS3 was never finished, or whose objects are gone. It is in the table, failed, and
 * not in the local catalog; who may drop it is in its root alone. */
#include "node/node_internal.h"

enum { ROOT_ATTEMPT_MS = 5000 };

/* ST_NOT_FOUND: there is no root any more, so nobody owns it. */
static status read_root(struct collection *c, struct root *out, struct err *err)
{
    char key[OBJKEY_BYTES];
    struct objstore_req req = {.op = OBJSTORE_GET,
                               .pool = OBJSTORE_LOG,
                               .key = key,
                               .bytes_max = ROOT_BYTES_MAX,
                               .timeout_ms = ROOT_ATTEMPT_MS};
    status st;

    objkey_root(c->id, key);
    st = objstore_wait(c->node->options.store, &req, err);
    if (st == ST_OK)
        st = root_decode(buf_slice(&req.result.body), c->id, out, err);
    objstore_result_fini(&req.result);
    return st;
}

status drop_unloaded_allowed(struct collection *c, struct err *err)
{
    struct root *root = mem_zero(sizeof *root);
    status st = root == NULL ? err_set(err, ST_NOMEM, "out of memory") : read_root(c, root, err);

    if (st == ST_OK && root->state != ROOT_DROPPED &&
        strcmp(root->node_id, c->node->owner_id) != 0 && !c->node->options.take_ownership)
        st = err_set(err, ST_DENIED,
                     "the bucket has the collection as %s's: drop it there, or start this node "
                     "with --take-ownership if that one is gone for good",
                     root->node_id);
    else if (st == ST_NOT_FOUND || st == ST_CORRUPT)
        st = ST_OK; /* nobody can do anything with it */
    mem_free(root);
    return st;
}
