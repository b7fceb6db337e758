/* What an operator does with dead letters, on the operator thread. */
#include "node/letters.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

enum { RETRY_WAIT_MS = 120000, DISCARD_WAIT_MS = 60000 };

enum dlq_op { OP_RETRY, OP_REPLAY, OP_DISCARD };

struct dlq_job {
    struct meta_job job;
    struct collection *c; /* pinned */
    enum dlq_op op;
    uint64_t *ids; /* NULL: all */
    size_t count;
    uint64_t confirm_first, confirm_last;
    bool drop;
    node_dlq_fn *done;
    void *arg;
    struct letter *letters;
    size_t letter_count;
    struct node_dlq_result result;
};

/* --- which letters --- */

static status all_letters(struct dlq_job *job, struct err *err)
{
    const struct dlq_filter filter = {.collection = job->c->id};
    struct dlq *dlq = job->c->node->dlq;
    size_t total = 0;
    struct letter one;

    (void)dlq_list(dlq, &filter, 0, &one, 1, &total);
    job->letters = mem_alloc_array(total == 0 ? 1 : total, sizeof *job->letters);
    if (job->letters == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    job->letter_count = dlq_list(dlq, &filter, 0, job->letters, total, &total);
    return ST_OK;
}

static status named_letters(struct dlq_job *job, struct err *err)
{
    job->letters = mem_alloc_array(job->count, sizeof *job->letters);
    if (job->letters == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    for (size_t i = 0; i < job->count; i++) {
        status st = dlq_get(job->c->node->dlq, job->ids[i], &job->letters[i], NULL);

        if (st != ST_OK || memcmp(job->letters[i].collection, job->c->id, 16) != 0)
            return err_set(err, ST_NOT_FOUND,
                           "the collection has no dead letter %" PRIu64
                           "; it may have been resolved",
                           job->ids[i]);
        job->letter_count++;
    }
    return ST_OK;
}

static void range_of(const struct dlq_job *job, uint64_t *first, uint64_t *last)
{
    *first = job->letter_count == 0 ? 0 : UINT64_MAX;
    *last = 0;
    for (size_t i = 0; i < job->letter_count; i++) {
        const struct letter *l = &job->letters[i];

        *first = l->lsn_first < *first ? l->lsn_first : *first;
        *last = l->lsn_last > *last ? l->lsn_last : *last;
    }
}

/* --- retry --- */

static void start_retry(struct tier_stream *s, tier_done_fn *done, void *arg, const void *what)
{
    (void)what;
    tier_stream_retry(s, done, arg);
}

static bool still_there(struct dlq_job *job, uint64_t id)
{
    struct letter now;

    return dlq_get(job->c->node->dlq, id, &now, NULL) == ST_OK;
}

/* A letter of an epoch before also leaves when its records are parked anew. */
static bool was_stored(struct dlq_job *job, const struct letter *letter)
{
    struct tier_stream_status now;

    return !still_there(job, letter->id) &&
           (letter->kind != LETTER_WAL_GROUP ||
            (ship_status(job->c, &now) && now.shipped_lsn >= letter->lsn_last));
}

static bool has_kind(const struct dlq_job *job, enum letter_kind kind)
{
    for (size_t i = 0; i < job->letter_count; i++) {
        if (job->letters[i].kind == kind)
            return true;
    }
    return false;
}

static void retry(struct dlq_job *job)
{
    struct tier_stream_status s = {0};
    struct err err = {0};
    status st = ST_OK;
    bool halted = ship_status(job->c, &s) && s.phase == STREAM_HALTED;

    if (halted || has_kind(job, LETTER_WAL_GROUP))
        st = ship_call(job->c, start_retry, NULL, RETRY_WAIT_MS, &err);
    if (halted && st == ST_OK) /* what it halted at is read again */
        st = ship_own(job->c, RETRY_WAIT_MS, &err);
    if (has_kind(job, LETTER_SEGMENT) || has_kind(job, LETTER_MANIFEST_COMMIT)) {
        struct err why = {0};
        status published = publish_again(job->c, &why);

        if (st == ST_OK && published != ST_OK) {
            st = published;
            err = why;
        }
    }
    job->result.retried = job->letter_count;
    for (size_t i = 0; i < job->letter_count; i++) {
        if (was_stored(job, &job->letters[i])) {
            job->result.succeeded++;
            continue;
        }
        job->result.failed++;
        if (job->letters[i].kind == LETTER_DIVERGENT_TAIL && st == ST_OK)
            st = err_set(&err, ST_INVALID,
                         "a divergent tail is not uploaded: replay applies it, export shows it, "
                         "discard drops it");
    }
    if (job->result.failed > 0)
        (void)snprintf(job->result.text, sizeof job->result.text, "%s", err.text);
}

/* --- replay --- */

/* The letter is gone, from LMDB too: else a crash would leave one without its records. The file may
 * stay, it harms nobody. */
static void forget_file(struct node *node, const struct letter *letter)
{
    const struct kv_write nothing = {.key = slice_text("written"), .remove = true};
    struct err err = {0};

    if (letter->file[0] == '\0')
        return;
    if (kv_writer_apply(node->kv_writer, &nothing, 1, &err) != ST_OK ||
        tier_letter_forget(node->options.fs, node->data_dir, letter, &err) != ST_OK)
        log_warn("the file of a resolved dead letter stays", "file=%s err=%s", letter->file,
                 err.text);
}

static status replay(struct dlq_job *job, struct err *err)
{
    struct node *node = job->c->node;
    status st = ST_OK;

    for (size_t i = 0; i < job->letter_count; i++) {
        if (job->letters[i].kind != LETTER_DIVERGENT_TAIL)
            return err_set(err, ST_INVALID,
                           "letter %" PRIu64 " is a %s: only a divergent_tail is replayed; retry "
                           "uploads the others",
                           job->letters[i].id, letter_kind_name(job->letters[i].kind));
    }
    for (size_t i = 0; i < job->letter_count && st == ST_OK; i++) {
        st = letter_apply(job->c, &job->letters[i], &job->result.records, err);
        if (st == ST_OK)
            st = dlq_remove(node->dlq, job->letters[i].id, err);
        if (st == ST_OK) {
            job->result.succeeded++;
            forget_file(node, &job->letters[i]);
        }
    }
    job->result.retried = job->letter_count;
    job->result.failed = job->letter_count - job->result.succeeded;
    return st;
}

/* --- discard --- */

/* A letter whose own file cannot be read cannot be exported either, now or later. What is left of
 * the file stays where it is. */
static bool is_unreadable(const struct letter *letter, status st)
{
    return letter->file[0] != '\0' && (st == ST_NOT_FOUND || st == ST_CORRUPT);
}

static status export_one(struct dlq_job *job, struct letter *letter, struct buf *text,
                         struct err *err)
{
    size_t before = text->bytes;
    status st = letter_print(job->c, letter, text, err);

    if (!is_unreadable(letter, st))
        return st;
    log_error("a dead letter that is discarded cannot be exported: its file cannot be read",
              "collection_id=%s letter=%" PRIu64 " file=%s err=%s", job->c->id_text, letter->id,
              letter->file, err->text);
    text->bytes = before;
    letter->file[0] = '\0';
    return ST_OK;
}

static status export_all(struct dlq_job *job, struct err *err)
{
    struct node *node = job->c->node;
    struct buf text;
    char dir[FS_PATH_BYTES];
    char name[128];
    status st = fs_join(dir, node->data_dir, "letters", err);

    if (st == ST_OK) {
        char above[FS_PATH_BYTES];

        memcpy(above, dir, sizeof above);
        st = fs_join(dir, above, job->c->id_text, err);
    }
    if (st == ST_OK)
        st = fs_mkdir_all(node->options.fs, dir, err);
    (void)snprintf(name, sizeof name, "discarded-%" PRIu64 "-%" PRIu64 "-%" PRIu64 ".ndjson",
                   job->result.lsn_first, job->result.lsn_last, job->letters[0].id);
    if (st == ST_OK)
        st = fs_join(job->result.file, dir, name, err);
    buf_init(&text, NODE_EXPORT_BYTES_MAX);
    for (size_t i = 0; i < job->letter_count && st == ST_OK; i++)
        st = export_one(job, &job->letters[i], &text, err);
    if (st == ST_OK)
        st = fs_write_file(node->options.fs, job->result.file, buf_slice(&text), err);
    buf_free(&text);
    return st == ST_OK ? ST_OK
                       : err_wrap(err, st, "nothing was discarded: export the letters first");
}

static void start_discard(struct tier_stream *s, tier_done_fn *done, void *arg, const void *what)
{
    const struct dlq_job *job = what;

    tier_stream_discard(s, job->confirm_first, job->confirm_last, job->drop, done, arg);
}

static status discard_group(struct dlq_job *job, const struct letter *letter, struct err *err)
{
    struct dlq_job one = *job;
    status st = letter_relog(job->c, letter, job->drop, &job->result.records, err);

    one.confirm_first = letter->lsn_first;
    one.confirm_last = letter->lsn_last;
    if (st == ST_OK) {
        ship_waits_give_up(job->c, letter->lsn_last);
        st = ship_call(job->c, start_discard, &one, DISCARD_WAIT_MS, err);
    }
    return st;
}

static status discard_one(struct dlq_job *job, const struct letter *letter, struct err *err)
{
    struct node *node = job->c->node;
    status st = ST_OK;

    if (letter->kind == LETTER_WAL_GROUP)
        st = discard_group(job, letter, err);
    if (st == ST_OK) {
        st = dlq_remove(node->dlq, letter->id, err);
        if (st == ST_NOT_FOUND) /* the tier saw the gap stored, and was first */
            st = ST_OK;
    }
    if (st == ST_OK)
        forget_file(node, letter);
    if (st == ST_OK)
        log_warn("a dead letter was discarded by an operator",
                 "collection_id=%s kind=%s lsn_first=%" PRIu64 " lsn_last=%" PRIu64 " drop=%s",
                 job->c->id_text, letter_kind_name(letter->kind), letter->lsn_first,
                 letter->lsn_last, job->drop ? "true" : "false");
    return st;
}

static status discard(struct dlq_job *job, struct err *err)
{
    status st;

    if (job->letter_count == 0)
        return err_set(err, ST_NOT_FOUND, "the collection has no dead letters");
    range_of(job, &job->result.lsn_first, &job->result.lsn_last);
    if (job->confirm_first != job->result.lsn_first || job->confirm_last != job->result.lsn_last)
        return err_set(err, ST_CONFLICT,
                       "discarding needs the exact range as confirmation: lsn %" PRIu64
                       " to %" PRIu64,
                       job->result.lsn_first, job->result.lsn_last);
    st = export_all(job, err);
    for (size_t i = 0; i < job->letter_count && st == ST_OK; i++) {
        st = discard_one(job, &job->letters[i], err);
        job->result.succeeded += st == ST_OK;
    }
    return st;
}

/* --- the job --- */

static void run_dlq(struct meta_job *base)
{
    struct dlq_job *job = (struct dlq_job *)(void *)base;
    struct err err = {0};
    status st = collection_check_loaded(job->c, &err);

    if (st == ST_OK)
        st = job->ids != NULL ? named_letters(job, &err) : all_letters(job, &err);
    if (st == ST_OK) {
        switch (job->op) {
        case OP_RETRY:
            retry(job);
            break;
        case OP_REPLAY:
            st = replay(job, &err);
            break;
        case OP_DISCARD:
            st = discard(job, &err);
            break;
        }
    }
    job->done(job->arg, st, &job->result, &err);
    node_collection_unpin(job->c);
    mem_free(job->letters);
    mem_free(job->ids);
    mem_free(job);
}

static void submit(struct collection *c, enum dlq_op op, const uint64_t *ids, size_t count,
                   uint64_t first, uint64_t last, bool drop, node_dlq_fn *done, void *arg)
{
    struct dlq_job *job = mem_zero(sizeof *job);
    struct err err = {0};
    status st = job == NULL ? err_set(&err, ST_NOMEM, "out of memory") : ST_OK;

    if (st == ST_OK && c->node->tier == NULL)
        st = err_set(&err, ST_INVALID, "this node has no bucket, so no dead letters");
    if (st == ST_OK && ids != NULL) {
        job->ids = mem_alloc_array(count == 0 ? 1 : count, sizeof *job->ids);
        if (job->ids == NULL)
            st = err_set(&err, ST_NOMEM, "out of memory");
        else if (count > 0)
            memcpy(job->ids, ids, count * sizeof *ids);
    }
    if (st == ST_OK) {
        job->job.run = run_dlq;
        job->c = c;
        job->op = op;
        job->count = count;
        job->confirm_first = first;
        job->confirm_last = last;
        job->drop = drop;
        job->done = done;
        job->arg = arg;
        collection_pin(c);
        if (jobs_push(&c->node->operator, & job->job))
            return;
        node_collection_unpin(c);
        st = err_set(&err, ST_UNAVAILABLE, "the node is stopping");
    }
    if (job != NULL)
        mem_free(job->ids);
    mem_free(job);
    done(arg, st, NULL, &err);
}

void node_dlq_retry(struct collection *c, const uint64_t *ids, size_t count, node_dlq_fn *done,
                    void *arg)
{
    submit(c, OP_RETRY, ids, count, 0, 0, false, done, arg);
}

void node_dlq_replay(struct collection *c, const uint64_t *ids, size_t count, node_dlq_fn *done,
                     void *arg)
{
    submit(c, OP_REPLAY, ids, count, 0, 0, false, done, arg);
}

void node_dlq_discard(struct collection *c, const uint64_t *ids, size_t count,
                      uint64_t confirm_first, uint64_t confirm_last, bool drop, node_dlq_fn *done,
                      void *arg)
{
    submit(c, OP_DISCARD, ids, count, confirm_first, confirm_last, drop, done, arg);
}

void node_dlq_split(struct collection *c, const uint64_t *ids, size_t count, node_dlq_fn *done,
                    void *arg)
{
    struct err err = {0};

    (void)c;
    (void)ids;
    (void)count;
    done(arg,
         err_set(&err, ST_UNSUPPORTED,
                 "groups of this version are small enough for every store; there is nothing to "
                 "split"),
         NULL, &err);
}

/* --- export --- */

struct export_job {
    struct meta_job job;
    struct collection *c; /* pinned */
    uint64_t id;
    node_export_fn *done;
    void *arg;
};

static void run_export(struct meta_job *base)
{
    struct export_job *job = (struct export_job *)(void *)base;
    struct letter letter;
    struct buf text;
    struct err err = {0};
    status st = dlq_get(job->c->node->dlq, job->id, &letter, &err);

    buf_init(&text, NODE_EXPORT_BYTES_MAX);
    if (st == ST_OK && memcmp(letter.collection, job->c->id, 16) != 0)
        st = err_set(&err, ST_NOT_FOUND, "the collection has no dead letter %" PRIu64, job->id);
    if (st == ST_OK)
        st = letter_print(job->c, &letter, &text, &err);
    job->done(job->arg, st, st == ST_OK ? &text : NULL, &err);
    buf_free(&text);
    node_collection_unpin(job->c);
    mem_free(job);
}

void node_dlq_export(struct collection *c, uint64_t id, node_export_fn *done, void *arg)
{
    struct export_job *job = mem_zero(sizeof *job);
    struct err err = {0};
    status st = job == NULL ? err_set(&err, ST_NOMEM, "out of memory") : ST_OK;

    if (st == ST_OK && c->node->tier == NULL)
        st = err_set(&err, ST_NOT_FOUND, "this node has no bucket, so no dead letters");
    if (st != ST_OK) {
        mem_free(job);
        done(arg, st, NULL, &err);
        return;
    }
    *job =
        (struct export_job){.job = {.run = run_export}, .c = c, .id = id, .done = done, .arg = arg};
    collection_pin(c);
    if (jobs_push(&c->node->operator, & job->job))
        return;
    node_collection_unpin(c);
    mem_free(job);
    done(arg, err_set(&err, ST_UNAVAILABLE, "the node is stopping"), NULL, &err);
}
