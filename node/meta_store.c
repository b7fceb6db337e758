/* The small store meta/data.mdb, and what is done when it is damaged: it holds nothing that a
 * collection needs, so it is moved aside and begun anew. Hints are asked of the bucket again,
 * letters for groups come again with the next refusal, those of tails are made anew from their
 * files. */
#include "node/node_internal.h"
#include "segment/group.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { TAIL_SEQ = 1 };
static const char ASIDE[] = "meta" NODE_ASIDE;

static status move_store_aside(struct node *node, const char *meta, struct err *err)
{
    char aside[FS_PATH_BYTES];
    status st = fs_join(aside, node->data_dir, ASIDE, err);

    if (st == ST_OK) /* of an earlier time: only the newest is kept */
        st = fs_remove_all(fs_real(), aside, err);
    if (st == ST_OK)
        st = fs_rename(fs_real(), meta, aside, err);
    return st == ST_OK ? fs_sync_dir(fs_real(), node->data_dir, err) : st;
}

/* A node that has a catalog has had this store too. */
static void note_if_gone(struct node *node, const char *meta)
{
    char path[FS_PATH_BYTES];
    char catalog[FS_PATH_BYTES];
    char reason[NODE_REASON_BYTES];
    struct fs_stat found;

    if (fs_join(path, meta, "data.mdb", NULL) != ST_OK ||
        fs_join(catalog, node->data_dir, "catalog", NULL) != ST_OK ||
        fs_stat(fs_real(), path, &found, NULL) != ST_NOT_FOUND ||
        fs_stat(node->options.fs, catalog, &found, NULL) != ST_OK)
        return;
    node->meta_damaged = true;
    (void)snprintf(reason, sizeof reason,
                   "%.200s is gone and was begun anew: hints are asked of the bucket again, dead "
                   "letters that had no file of their own come again if they must",
                   path);
    node_add_reason(node, reason);
}

status meta_open(struct node *node, struct err *err)
{
    char meta[FS_PATH_BYTES];
    char reason[NODE_REASON_BYTES];
    struct err damage = {0};
    status st = fs_join(meta, node->data_dir, "meta", err);

    if (st == ST_OK)
        note_if_gone(node, meta);
    if (st == ST_OK)
        st = kv_open(meta, NODE_META_BYTES, &node->kv, &damage);
    if (st == ST_OK && kv_damaged(node->kv) > 0) {
        node->meta_damaged = true;
        (void)snprintf(reason, sizeof reason,
                       "%zu entries of %.150s/data.mdb are damaged: hints are asked of the bucket "
                       "again; a dead letter may be among them, see letters/ in the data directory",
                       kv_damaged(node->kv), meta);
        node_add_reason(node, reason);
    }
    if (st != ST_CORRUPT) {
        if (st != ST_OK && err != NULL)
            *err = damage;
        return st;
    }
    log_error("the small store is damaged, it is moved aside and begun anew", "err=%s",
              damage.text);
    st = move_store_aside(node, meta, err);
    if (st == ST_OK)
        st = kv_open(meta, NODE_META_BYTES, &node->kv, err);
    if (st != ST_OK)
        return st;
    node->meta_damaged = true;
    (void)snprintf(
        reason, sizeof reason,
        "%.300s; it was moved to %s and begun anew: hints are asked of the bucket again, "
        "dead letters that had no file of their own come again if they must",
        damage.text, ASIDE);
    node_add_reason(node, reason);
    return ST_OK;
}

/* --- letters anew --- */

struct looking {
    struct node *node;
    char folder[FS_PATH_BYTES]; /* below the data directory */
    uint8_t collection[16];
    size_t made;
};

static bool has_letter(struct looking *l, const char *file)
{
    const struct dlq_filter filter = {.collection = l->collection};
    struct letter letter;
    uint64_t after = 0;

    while (dlq_list(l->node->dlq, &filter, after, &letter, 1, NULL) == 1) {
        if (strcmp(letter.file, file) == 0)
            return true;
        after = letter.id;
    }
    return false;
}

/* "<epoch>-<first lsn>.group", or "heal-..." of epoch 1 (tiering/tier_letter.c, heal_tail.c). */
static uint64_t epoch_of(const char *name)
{
    return strncmp(name, "heal-", 5) == 0 ? 1 : strtoull(name, NULL, 16);
}

/* A file says itself which records it holds. */
static status make_letter(struct looking *l, const char *path, const char *file, const char *name,
                          struct err *err)
{
    struct letter letter = {.kind = LETTER_DIVERGENT_TAIL, .state = LETTER_PARKED};
    struct group *group = NULL;
    struct buf bytes;
    uint64_t id;
    status st;

    buf_init(&bytes, GROUP_BYTES_MAX);
    st = fs_read_file(l->node->options.fs, path, GROUP_BYTES_MAX, &bytes, err);
    if (st == ST_OK)
        st = group_open(buf_slice(&bytes), l->collection, epoch_of(name), TAIL_SEQ, &group, err);
    if (st == ST_OK) {
        const struct group_head *head = group_head(group);

        letter.epoch = head->epoch;
        letter.seq = head->seq;
        letter.lsn_first = head->first_lsn;
        letter.lsn_last = head->last_lsn;
        letter.bytes = bytes.bytes;
        letter.first_failed_ns = letter.last_failed_ns = clock_wall_ns(l->node->options.clock);
        memcpy(letter.collection, l->collection, sizeof letter.collection);
        (void)snprintf(letter.file, sizeof letter.file, "%.191s", file);
        (void)snprintf(letter.class, sizeof letter.class, "%s",
                       strncmp(name, "heal-", 5) == 0 ? "healing" : "divergent");
        (void)snprintf(letter.message, sizeof letter.message,
                       "its letter was lost with a damaged meta/data.mdb; made anew from its file");
        st = dlq_put(l->node->dlq, &letter, &id, err);
    }
    group_close(group);
    buf_free(&bytes);
    return st;
}

static status see_file(void *arg, const char *name, bool is_dir, struct err *err)
{
    struct looking *l = arg;
    const char *suffix = strrchr(name, '.');
    char file[FS_PATH_BYTES];
    char path[FS_PATH_BYTES];
    struct err why = {0};

    (void)err;
    if (is_dir || suffix == NULL || strcmp(suffix, ".group") != 0 ||
        fs_join(file, l->folder, name, NULL) != ST_OK ||
        fs_join(path, l->node->data_dir, file, NULL) != ST_OK || has_letter(l, file))
        return ST_OK;
    if (make_letter(l, path, file, name, &why) == ST_OK)
        l->made++;
    else
        log_error("a letter's file without its letter cannot be read, it is kept", "file=%s err=%s",
                  file, why.text);
    return ST_OK;
}

static status see_folder(void *arg, const char *name, bool is_dir, struct err *err)
{
    struct looking *l = arg;
    char path[FS_PATH_BYTES];

    if (!is_dir || !uuid_parse(name, strlen(name), l->collection) ||
        fs_join(l->folder, "letters", name, NULL) != ST_OK ||
        fs_join(path, l->node->data_dir, l->folder, NULL) != ST_OK)
        return ST_OK;
    return fs_list(l->node->options.fs, path, see_file, l, err);
}

void meta_letters_anew(struct node *node)
{
    struct looking l = {.node = node};
    char path[FS_PATH_BYTES];

    if (!node->meta_damaged || fs_join(path, node->data_dir, "letters", NULL) != ST_OK)
        return;
    if (fs_list(node->options.fs, path, see_folder, &l, NULL) != ST_OK)
        return; /* there are none */
    if (l.made > 0)
        log_warn("dead letters were made anew from their files", "letters=%zu", l.made);
}
