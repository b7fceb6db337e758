/* A drop of a bucket-backed collection that was begun, and of which this node does not know whether
 * it is done: the process died, the bucket's answer was lost, or the local disk did not take the
 * catalog. The bucket's catalog decides. Until it was asked the collection is read-only here: what
 * were acknowledged now could be gone a moment later, or, where the bucket is away, hours later.
 *
 * An intent in LMDB stands from before the bucket is asked for the drop until its end is known. */
#include "node/node_internal.h"

#include <stdatomic.h>

static const char DROP[] = "drop/";
enum { DROP_KEY_BYTES = sizeof DROP - 1 + 16, DROPS_AT_ONCE = 64 };

status drop_begin(struct collection *c, struct err *err)
{
    return intent_write(c->node, DROP, c->id, err);
}

bool drop_begun(struct node *node, const uint8_t id[16])
{
    return intent_stands(node, DROP, id);
}

void drop_is_unsure(struct collection *c)
{
    lock_take(&c->seq.lock);
    c->seq.dropping = true;
    lock_drop(&c->seq.lock);
    atomic_store(&c->node->sync_later, true);
}

void drop_is_over(struct collection *c)
{
    struct err err = {0};

    lock_take(&c->seq.lock);
    c->seq.dropping = false;
    lock_drop(&c->seq.lock);
    if (drop_begun(c->node, c->id) && intent_clear(c->node, DROP, c->id, &err) != ST_OK)
        log_warn("the intent of a drop stays; the next start asks the bucket again",
                 "collection_id=%s err=%s", c->id_text, err.text);
}

/* --- what became of it --- */

struct look {
    const uint8_t *id;
    bool there, dropped;
};

static status look_at(void *arg, struct catalog *bucket, struct err *err)
{
    struct look *look = arg;

    (void)err;
    look->there = catalog_find_id(bucket, look->id) != NULL;
    look->dropped = bucket_dropped(bucket, look->id);
    return ST_OK;
}

/* A request of the drop may still be on its way. So the catalog is written as it is: what comes
 * late then finds another than it asked for. */
static void settle(struct collection *c, bool *again)
{
    struct look look = {.id = c->id};
    struct err err = {0};

    if (bucket_catalog_change(c->node, look_at, &look, &err) != ST_OK) {
        log_warn("whether a collection was dropped is asked again", "collection_id=%s err=%s",
                 c->id_text, err.text);
        atomic_store(&c->node->sync_later, true);
    } else if (look.dropped) {
        *again = true;
    } else if (look.there) {
        log_info("a drop did not come about; the collection takes writes again", "collection_id=%s",
                 c->id_text);
        drop_is_over(c);
    }
}

void drop_settle(struct node *node, const struct catalog *bucket, bool *again)
{
    struct collection **items = NULL;
    size_t count = 0;

    if (table_snapshot(node, &items, &count, NULL) != ST_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        bool dropping;

        lock_take(&items[i]->seq.lock);
        dropping = items[i]->seq.dropping;
        lock_drop(&items[i]->seq.lock);
        if (dropping && !bucket_dropped(bucket, items[i]->id))
            settle(items[i], again);
    }
    table_snapshot_free(items, count);
}

/* --- the start --- */

struct drops {
    struct node *node;
    uint8_t ids[DROPS_AT_ONCE][16];
    size_t count;
};

static status collect(void *arg, struct slice key, struct slice value, struct err *err)
{
    struct drops *drops = arg;

    (void)value;
    (void)err;
    if (key.bytes != DROP_KEY_BYTES || drops->count == DROPS_AT_ONCE)
        return ST_OK;
    memcpy(drops->ids[drops->count], key.data + sizeof DROP - 1, 16);
    if (catalog_find_id(&drops->node->catalog, drops->ids[drops->count]) == NULL)
        drops->count++;
    return ST_OK;
}

status drop_settle_start(struct node *node, struct err *err)
{
    struct drops drops = {.node = node};
    status st = kv_each_or_damaged(node->kv, slice_text(DROP), collect, &drops, err);

    for (size_t i = 0; i < drops.count && st == ST_OK; i++) {
        if (intent_clear(node, DROP, drops.ids[i], err) != ST_OK)
            break; /* the next start does it */
    }
    return st;
}
