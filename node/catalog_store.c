/* The catalog on local disk, and what a crash may leave between the steps of a change.
 *
 * Create: the intent in LMDB, the log's directory, the catalog (the commit point), the intent out.
 * Drop: the catalog without the collection and with its id among the dropped (the commit point),
 * then the files. So at start, by id:
 *
 *   intent, not in the catalog      a create that was never acknowledged: its files go
 *   intent, in the catalog          acknowledged or about to be: the intent goes
 *   dropped, files there            a drop cut short: the files go
 *   unknown directory               nobody here made it: kept and reported */
#include "node/node_internal.h"

#include <stdatomic.h>
#include <stdio.h>

static const char INTENT[] = "create/";
enum { INTENT_KEY_BYTES = 7 + 16 };

status intent_put(struct node *node, const uint8_t id[16], struct err *err)
{
    return intent_write(node, INTENT, id, err);
}

status intent_remove(struct node *node, const uint8_t id[16], struct err *err)
{
    return intent_clear(node, INTENT, id, err);
}

status catalog_store_read(struct node *node, struct err *err)
{
    char path[FS_PATH_BYTES];
    struct buf bytes;
    status st = fs_join(path, node->data_dir, "catalog", err);

    buf_init(&bytes, CATALOG_BYTES_MAX);
    if (st == ST_OK)
        st = fs_read_file(node->options.fs, path, CATALOG_BYTES_MAX, &bytes, err);
    if (st == ST_NOT_FOUND) {
        catalog_init(&node->catalog);
        st = ST_OK;
    } else if (st == ST_OK) {
        st = catalog_decode(buf_slice(&bytes), &node->catalog, err);
        if (st != ST_OK)
            st = err_wrap(err, st,
                          "%s (nothing was changed; put back a whole catalog, or move the file "
                          "away to serve none of its collections)",
                          path);
    }
    buf_free(&bytes);
    return st;
}

/* After a failed write: whether programs see the catalog that was there before. */
static bool is_unchanged(struct node *node, const char *path, struct slice written)
{
    struct buf now;
    status st;
    bool unchanged;

    buf_init(&now, CATALOG_BYTES_MAX);
    st = fs_read_file(node->options.fs, path, CATALOG_BYTES_MAX, &now, NULL);
    unchanged =
        st == ST_NOT_FOUND ||
        (st == ST_OK && (now.bytes != written.bytes || memcmp(now.data, written.data, now.bytes)));
    buf_free(&now);
    return unchanged;
}

/* Where the new catalog took its name, but the folder could not be synced, it is written whole once
 * more: another sync of the same folder would prove nothing. */
static status write_catalog(struct node *node, const char *path, struct slice bytes,
                            struct err *err)
{
    status st = fs_write_file(node->options.fs, path, bytes, err);

    if (st == ST_OK || is_unchanged(node, path, bytes))
        return st;
    if (fs_write_file(node->options.fs, path, bytes, NULL) == ST_OK)
        return ST_OK;
    return err_wrap(err, ST_UNKNOWN, "the next start finds the change done or not done");
}

status catalog_bytes(const struct catalog *c, struct buf *out, struct err *err)
{
    status st = catalog_encode(c, out, err);

    if (st != ST_NOSPACE)
        return st;
    return err_set(
        err, ST_INVALID,
        "all collections, aliases and payload indexes together take more than the %d MiB "
        "a catalog may have: drop what is not needed",
        CATALOG_BYTES_MAX >> 20);
}

status catalog_fits(const struct catalog *c, struct err *err)
{
    struct buf bytes;
    status st;

    buf_init(&bytes, CATALOG_BYTES_MAX);
    st = catalog_bytes(c, &bytes, err);
    buf_free(&bytes);
    return st;
}

status catalog_store_write(struct node *node, struct catalog *next, struct err *err)
{
    char path[FS_PATH_BYTES];
    struct buf bytes;
    status st = fs_join(path, node->data_dir, "catalog", err);

    next->revision++;
    node->options.rand->fill(node->options.rand, next->nonce, sizeof next->nonce);
    buf_init(&bytes, CATALOG_BYTES_MAX);
    if (st == ST_OK)
        st = catalog_bytes(next, &bytes, err);
    if (st == ST_OK)
        st = write_catalog(node, path, buf_slice(&bytes), err);
    buf_free(&bytes);
    if (st != ST_OK)
        return err_wrap(err, st, "write the catalog");
    catalog_free(&node->catalog);
    node->catalog = *next;
    catalog_init(next);
    alias_show(node);
    return ST_OK;
}

status catalog_store_missed(struct node *node, struct err *err)
{
    atomic_store(&node->sync_later, true);
    return err_wrap(err, ST_UNKNOWN,
                    "the bucket has the change and keeps it, this node goes by it as soon as its "
                    "disk takes it");
}

status remove_files(struct node *node, const char *id_text, struct err *err)
{
    char path[FS_PATH_BYTES];
    status st = fs_join(path, node->snapshot_dir, id_text, err);

    if (st == ST_OK)
        st = fs_remove_all(node->options.fs, path, err);
    if (st == ST_OK)
        st = fs_join(path, node->wal_dir, id_text, err);
    return st == ST_OK ? fs_remove_all(node->options.fs, path, err) : st;
}

static status remove_below(struct node *node, const char *dir, const char *name, struct err *err)
{
    char path[FS_PATH_BYTES];
    status st = fs_join(path, dir, name, err);

    return st == ST_OK ? fs_remove_all(node->options.fs, path, err) : st;
}

static status exports_dir(const struct node *node, const char *id_text, char out[FS_PATH_BYTES],
                          struct err *err)
{
    char exports[FS_PATH_BYTES];
    status st = fs_join(exports, node->data_dir, "exports", err);

    return st == ST_OK ? fs_join(out, exports, id_text, err) : st;
}

status node_exports_dir(const struct collection *c, struct fs **fs, char out[FS_PATH_BYTES],
                        struct err *err)
{
    *fs = c->node->options.fs;
    return exports_dir(c->node, c->id_text, out, err);
}

static status remove_exports(struct node *node, const char *id_text, struct err *err)
{
    char path[FS_PATH_BYTES];
    status st = exports_dir(node, id_text, path, err);

    return st == ST_OK ? fs_remove_all(node->options.fs, path, err) : st;
}

/* The log directory last: it is what a start finds. */
status remove_all_files(struct node *node, const char *id_text, struct err *err)
{
    char aside[UUID_TEXT_BYTES + 16];
    status st;

    (void)snprintf(aside, sizeof aside, "%s" NODE_ASIDE, id_text);
    st = remove_below(node, node->snapshot_dir, aside, err);
    if (st == ST_OK)
        st = remove_below(node, node->wal_dir, aside, err);
    if (st == ST_OK)
        st = remove_exports(node, id_text, err);
    return st == ST_OK ? remove_files(node, id_text, err) : st;
}

enum { INTENTS_AT_ONCE = 256 };
struct intents {
    uint8_t ids[INTENTS_AT_ONCE][16];
    size_t count;
};

static status collect_intent(void *arg, struct slice key, struct slice value, struct err *err)
{
    struct intents *list = arg;

    (void)value;
    (void)err;
    if (key.bytes == INTENT_KEY_BYTES && list->count < INTENTS_AT_ONCE)
        memcpy(list->ids[list->count++], key.data + 7, 16);
    return ST_OK;
}

/* False: files could not be removed, the intent stays for the next start. */
static bool settle_intent(struct node *node, const uint8_t id[16])
{
    char text[UUID_TEXT_BYTES];
    struct err err = {0};
    status st = ST_OK;

    uuid_format(id, text);
    if (catalog_find_id(&node->catalog, id) == NULL) {
        log_info("a collection whose creation was cut short is cleared away", "collection_id=%s",
                 text);
        st = remove_files(node, text, &err);
    }
    if (st == ST_OK)
        st = intent_remove(node, id, &err);
    if (st != ST_OK)
        log_warn("what a create left could not be cleared away", "collection_id=%s err=%s", text,
                 err.text);
    return st == ST_OK;
}

static status settle_intents(struct node *node, struct err *err)
{
    struct intents list;
    bool settled = true;
    status st = ST_OK;

    do {
        list.count = 0;
        st = kv_each_or_damaged(node->kv, slice_text(INTENT), collect_intent, &list, err);
        for (size_t i = 0; i < list.count && st == ST_OK; i++)
            settled = settle_intent(node, list.ids[i]) && settled;
    } while (st == ST_OK && settled && list.count == INTENTS_AT_ONCE);
    return st;
}

static bool was_dropped(const struct catalog *c, const uint8_t id[16])
{
    for (size_t i = 0; i < c->dropped_count; i++) {
        if (memcmp(c->dropped[i].id, id, 16) == 0)
            return true;
    }
    return false;
}

struct directories {
    struct node *node;
    size_t unknown;
};

static status look_at_directory(void *arg, const char *name, bool is_dir, struct err *err)
{
    struct directories *d = arg;
    uint8_t id[16];
    char reason[256];
    struct err why = {0};

    (void)err;
    if (!is_dir || !uuid_parse(name, strlen(name), id))
        return ST_OK;
    if (catalog_find_id(&d->node->catalog, id) != NULL)
        return ST_OK;
    if (load_intended(d->node, id)) { /* what came from the bucket and was not complete yet */
        if (remove_files(d->node, name, &why) != ST_OK)
            log_warn("what a load from the bucket left stays until the next start",
                     "collection_id=%s err=%s", name, why.text);
        return ST_OK;
    }
    if (was_dropped(&d->node->catalog, id)) {
        if (remove_all_files(d->node, name, &why) != ST_OK)
            log_warn("files of a dropped collection stay until the next start",
                     "collection_id=%s err=%s", name, why.text);
        return ST_OK;
    }
    log_warn("a log directory the catalog does not know is kept", "directory=%s", name);
    if (d->unknown++ < NODE_DIRECTORIES_TOLD) {
        (void)snprintf(reason, sizeof reason,
                       "log directory %s is not in the catalog: it is kept, not served; restore "
                       "the catalog it belongs to, or move it away",
                       name);
        node_add_reason(d->node, reason);
    }
    return ST_OK;
}

status catalog_store_settle(struct node *node, struct err *err)
{
    struct directories d = {.node = node};
    status st = settle_intents(node, err);

    if (st == ST_OK)
        st = drop_settle_start(node, err);
    if (st == ST_OK)
        st = fs_list(node->options.fs, node->wal_dir, look_at_directory, &d, err);
    return st;
}
