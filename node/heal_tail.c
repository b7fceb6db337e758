/* What only the local log has when a damaged collection comes from the bucket: the records behind
 * the bucket's end. They are kept as letters with files of their own before anything is moved, and
 * go into the new log under the lsns they had. A letter leaves like any divergent tail: once the
 * bucket has its records. So a crash in between leaves them where the next start looks for them,
 * and if the bucket went on without them meanwhile, they stay a letter for a person. */
#include "node/fields.h"
#include "node/refill.h"
#include "segment/group.h"
#include "snapshot/replay.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

static const char HEALING[] = "healing"; /* the class of these letters */

enum {
    TAIL_FILE_BYTES = 16 * 1024 * 1024, /* of records in one file */
    TAIL_EPOCH = 1,                     /* a letter's file is a group: it has both */
    TAIL_SEQ = 1,
};

/* --- keeping --- */

struct keeping {
    struct collection *c;
    uint64_t next_lsn, last_lsn;
    struct group_writer *writer; /* NULL: no file is begun */
    uint64_t bytes;
};

static status begin_file(struct keeping *k, struct err *err)
{
    struct group_head head = {.epoch = TAIL_EPOCH, .seq = TAIL_SEQ, .first_lsn = k->next_lsn};

    memcpy(head.collection, k->c->id, sizeof head.collection);
    k->bytes = 0;
    return group_create(&head, &k->writer, err);
}

/* Named by what it holds: it replaces nothing but itself. */
static status write_file(struct keeping *k, const struct group_head *head, struct slice bytes,
                         struct letter *l, struct err *err)
{
    struct fs *fs = k->c->node->options.fs;
    char path[FS_PATH_BYTES];
    char dir[FS_PATH_BYTES];
    status st;

    (void)snprintf(l->file, sizeof l->file,
                   "letters/%s/heal-%016" PRIx64 "-%016" PRIx64 "-%016" PRIx64 ".group",
                   k->c->id_text, head->first_lsn, head->last_lsn, head->chain);
    st = fs_join(path, k->c->node->data_dir, l->file, err);
    if (st != ST_OK)
        return st;
    (void)snprintf(dir, sizeof dir, "%s", path);
    *strrchr(dir, '/') = '\0';
    st = fs_mkdir_all(fs, dir, err);
    if (st == ST_OK)
        st = fs_sync_above(fs, dir, err);
    return st == ST_OK ? fs_write_file(fs, path, bytes, err) : st;
}

static status put_letter(struct keeping *k, const struct group_head *head, struct letter *l,
                         struct err *err)
{
    uint64_t id;

    l->kind = LETTER_DIVERGENT_TAIL;
    l->state = LETTER_PARKED;
    memcpy(l->collection, k->c->id, sizeof l->collection);
    l->epoch = head->epoch;
    l->seq = head->seq;
    l->lsn_first = head->first_lsn;
    l->lsn_last = head->last_lsn;
    l->bytes = k->bytes;
    l->first_failed_ns = l->last_failed_ns = clock_wall_ns(k->c->node->options.clock);
    (void)snprintf(l->class, sizeof l->class, "%s", HEALING);
    (void)snprintf(l->message, sizeof l->message,
                   "records behind the bucket's end, kept while the damaged log is replaced");
    return dlq_put(k->c->node->dlq, l, &id, err);
}

static status end_file(struct keeping *k, struct err *err)
{
    struct group_head head = {0};
    struct letter letter = {0};
    struct slice bytes;
    status st = ST_OK;

    if (k->writer == NULL)
        return ST_OK;
    st = group_finish(k->writer, &head, &bytes, err);
    if (st == ST_OK)
        st = write_file(k, &head, bytes, &letter, err);
    if (st == ST_OK)
        st = put_letter(k, &head, &letter, err);
    group_writer_destroy(k->writer);
    k->writer = NULL;
    return st;
}

static status keep_record(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct keeping *k = arg;
    status st = ST_OK;

    if (lsn != k->next_lsn || lsn > k->last_lsn)
        return ST_OK;
    if (k->writer != NULL && k->bytes + payload.bytes > TAIL_FILE_BYTES)
        st = end_file(k, err);
    if (st == ST_OK && k->writer == NULL)
        st = begin_file(k, err);
    if (st == ST_OK)
        st = group_add(k->writer, lsn, payload, err);
    if (st == ST_OK) {
        k->bytes += payload.bytes;
        k->next_lsn++;
    }
    return st;
}

status heal_tail_keep(struct collection *c, uint64_t first, uint64_t last, struct err *err)
{
    struct keeping k = {.c = c, .next_lsn = first, .last_lsn = last};
    char wal_dir[FS_PATH_BYTES];
    char snapshot_dir[FS_PATH_BYTES];
    struct wal_salvage found;
    status st = collection_paths(c, wal_dir, snapshot_dir, err);

    if (st == ST_OK && first <= last)
        st = wal_salvage(c->node->options.fs, wal_dir, c->id, keep_record, &k, &found, err);
    if (st == ST_OK)
        st = end_file(&k, err);
    group_writer_destroy(k.writer);
    if (st == ST_OK && first <= last && k.next_lsn != last + 1)
        st = err_set(err, ST_CORRUPT, "record %" PRIu64 " cannot be read any more", k.next_lsn);
    return st;
}

/* --- putting back --- */

struct appending {
    struct collection *c;
    struct replay replay;
    struct refill log;
};

static status append_record(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct appending *a = arg;
    status st;

    if (lsn != a->log.next_lsn)
        return err_set(err, ST_CORRUPT, "record %" PRIu64 " would come to lie at %" PRIu64, lsn,
                       a->log.next_lsn);
    st = refill_put(&a->log, payload, err);
    return st == ST_OK ? replay_record(&a->replay, lsn, payload, err) : st;
}

static bool next_letter(struct appending *a, struct letter *out)
{
    const struct dlq_filter filter = {
        .collection = a->c->id, .kind = LETTER_DIVERGENT_TAIL, .class = HEALING};
    uint64_t after = 0;

    while (dlq_list(a->c->node->dlq, &filter, after, out, 1, NULL) == 1) {
        if (out->lsn_first == a->log.next_lsn)
            return true;
        after = out->id;
    }
    return false;
}

static status append_letters(struct appending *a, struct err *err)
{
    struct node *node = a->c->node;
    struct letter letter;
    status st = ST_OK;

    while (st == ST_OK && next_letter(a, &letter))
        st = tier_letter_read(node->options.fs, node->data_dir, NULL, &letter, append_record, a,
                              err);
    return st;
}

status heal_tail_append(struct collection *c, uint64_t lsn, struct err *err)
{
    struct checkpoint_field fields[NODE_FIELDS_MAX];
    struct appending a = {.c = c,
                          .log.next_lsn = lsn + 1,
                          .replay = {.slots = c->slots,
                                     .epoch = c->node->epoch,
                                     .fields = fields,
                                     .field_count = fields_list(c, fields)}};
    struct letter letter;
    status st;

    if (!next_letter(&a, &letter))
        return ST_OK;
    refill_begin(&a.log, c, lsn + 1);
    st = replay_init(&a.replay, err);
    if (st == ST_OK)
        st = append_letters(&a, err);
    st = refill_end(&a.log, st, err);
    replay_fini(&a.replay);
    if (st != ST_OK)
        return err_wrap(err, st, "the tail that was kept");
    log_info("records of the damaged log are in the new one",
             "collection_id=%s lsn_first=%" PRIu64 " lsn_last=%" PRIu64, c->id_text, lsn + 1,
             a.log.next_lsn - 1);
    return ST_OK;
}
