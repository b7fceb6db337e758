#include "snapshot/pin.h"

#include "base/mem.h"
#include "segment/objkey.h"

#include <inttypes.h>
#include <stdio.h>

/* Its last group was stored before this root was read. It counts where the root still shows its
 * epoch, as whoever takes that over lists later, or shows an end of it that is not before. */
static bool group_counts(const struct pin *p, const struct root *root)
{
    if (p->seq == 0 || root->epoch == p->epoch)
        return true;
    for (size_t i = 0; i < root->lineage_count; i++)
        if (root->lineages[i].epoch == p->epoch)
            return root->lineages[i].end_seq >= p->seq;
    return false;
}

static const char *problem(const struct pin *p, const struct root *root, char text[256])
{
    if (root->state == ROOT_DROPPED)
        return "the collection is dropped";
    if (root->gc_mark > p->manifest_revision)
        (void)snprintf(text, 256,
                       "manifest %" PRIu64 " may be collected: the root's mark is %" PRIu64,
                       p->manifest_revision, root->gc_mark);
    else if (!group_counts(p, root))
        (void)snprintf(text, 256,
                       "group %" PRIu64 " of epoch %" PRIu64
                       " may not be the collection's: the root shows epoch %" PRIu64,
                       p->seq, p->epoch, root->epoch);
    else
        return NULL;
    return text;
}

bool pin_holds(const struct pin *p, const struct root *root)
{
    char text[256];

    return problem(p, root, text) == NULL;
}

static status put(const struct ask *a, const struct pin *p, const char *key, struct err *err)
{
    struct objstore_req req = {
        .op = OBJSTORE_PUT, .pool = OBJSTORE_BULK, .key = key, .condition = OBJSTORE_IF_ABSENT};
    struct ask_tries tries = {0};
    struct buf bytes;
    status st;

    buf_init(&bytes, 4096);
    st = pin_encode(p, &bytes, err);
    if (st == ST_OK) {
        req.body = buf_slice(&bytes);
        st = ask_send(a, &req, &tries, err);
        if (req.result.class == OBJSTORE_PRECONDITION) /* ours: the id is random */
            st = ST_OK;
        objstore_result_fini(&req.result);
    }
    buf_free(&bytes);
    return st;
}

static status root_now(const struct ask *a, const struct pin *p, struct root *root, struct err *err)
{
    char key[OBJKEY_BYTES];
    struct buf bytes = {0};
    status st;

    objkey_root(p->collection, key);
    st = ask_get(a, key, ROOT_BYTES_MAX, &bytes, NULL, err);
    if (st == ST_OK)
        st = root_decode(buf_slice(&bytes), p->collection, root, err);
    buf_free(&bytes);
    return st;
}

/* One that stays keeps more than it has to, and nothing else. */
static const char *take_back(const struct ask *a, const char *key)
{
    struct objstore_req req = {.op = OBJSTORE_DELETE, .pool = OBJSTORE_BULK, .key = key};
    struct ask_tries tries = {0};
    status st = ask_send(a, &req, &tries, NULL);

    objstore_result_fini(&req.result);
    return st == ST_OK ? "" : "; the pin itself could not be taken back";
}

status pin_put(const struct ask *a, const struct pin *p, struct err *err)
{
    struct root *root = mem_alloc(sizeof *root);
    char key[OBJKEY_BYTES], text[256];
    const char *why;
    status st;

    if (root == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    objkey_pin(p->collection, p->id, key);
    st = put(a, p, key, err);
    if (st == ST_OK)
        st = root_now(a, p, root, err);
    if (st == ST_OK && (why = problem(p, root, text)) != NULL)
        st = err_set(err, ST_CONFLICT, "%s%s", why, take_back(a, key));
    mem_free(root);
    return st;
}
