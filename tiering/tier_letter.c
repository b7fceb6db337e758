/* Letters for groups that are parked, and the tails that are not the collection's: written down in
 * files of their own, as the log they lie in is about to go. */
#include "tiering/tier_internal.h"

#include <inttypes.h>
#include <stdio.h>

#define LETTERS_DIR "letters"
enum { PAGE = 4, TAIL_SEQ = 1 };

/* ---- parked groups ---- */

/* The next letter of the collection and kind behind *after. */
static bool next_letter(struct tier_stream *s, enum letter_kind kind, uint64_t *after,
                        struct letter *out)
{
    const struct dlq_filter filter = {.collection = s->options.collection, .kind = (int)kind};

    if (dlq_list(s->tier->options.dlq, &filter, *after, out, 1, NULL) == 0)
        return false;
    *after = out->id;
    return true;
}

static void fill_answer(struct letter *l, struct tier_stream *s, const struct tier_seal *seal)
{
    uint64_t now_ns = clock_wall_ns(s->tier->options.clock);

    if (seal != NULL) {
        l->http_status = seal->http_status;
        memcpy(l->s3_code, seal->s3_code, sizeof l->s3_code);
        memcpy(l->request_id, seal->request_id, sizeof l->request_id);
        l->first_failed_ns = seal->first_failed_ns;
        l->last_failed_ns = seal->last_failed_ns;
    } else {
        l->http_status = s->ship.read.http_status;
        memcpy(l->s3_code, s->ship.read.s3_code, sizeof l->s3_code);
        memcpy(l->request_id, s->ship.read.request_id, sizeof l->request_id);
    }
    if (l->last_failed_ns == 0)
        l->last_failed_ns = now_ns;
    if (l->first_failed_ns == 0)
        l->first_failed_ns = now_ns;
}

static uint64_t payload_bytes(const struct tier_stream *s, uint64_t seq)
{
    const struct stream *core = &s->ship.core;

    for (size_t i = 0; i < core->seal_count; i++)
        if (core->seals[i].seq == seq)
            return core->seals[i].bytes;
    return 0;
}

/* A seal belongs to its epoch: what one of before stood for is sealed anew, with other bounds, and
 * a letter of its own says so when that is refused too. */
static void letters_of_before_out(struct tier_stream *s, uint64_t epoch)
{
    struct letter l;
    uint64_t after = 0;

    while (next_letter(s, LETTER_WAL_GROUP, &after, &l))
        if (l.epoch < epoch && dlq_remove(s->tier->options.dlq, l.id, NULL) == ST_OK)
            log_info("a dead letter leaves: its group was sealed anew",
                     "collection_id=%s letter=%" PRIu64, s->id, l.id);
}

void tier_letter_put(struct tier_stream *s, const struct stream_effect *e)
{
    bool own = e->last_lsn != 0; /* else a group of another epoch that cannot be read */
    struct tier_seal *seal = own ? tier_seal_find(s, e->epoch, e->seq) : NULL;
    struct letter l = {.kind = own ? LETTER_WAL_GROUP : LETTER_RESTORE_FETCH,
                       .state = LETTER_PARKED,
                       .epoch = e->epoch,
                       .seq = e->seq,
                       .lsn_first = e->first_lsn,
                       .lsn_last = own ? e->last_lsn : e->first_lsn,
                       .bytes = own ? payload_bytes(s, e->seq) : 0,
                       .attempts = e->attempts,
                       .blocking = true};
    char key[OBJKEY_BYTES];
    struct err err;
    uint64_t id = 0;

    memcpy(l.collection, s->options.collection, sizeof l.collection);
    objkey_group(s->options.collection, e->epoch, e->seq, key);
    (void)snprintf(l.key, sizeof l.key, "%s", key);
    (void)snprintf(l.class, sizeof l.class, "%s", objstore_class_name(e->class));
    (void)snprintf(l.message, sizeof l.message, "%s", e->text != NULL ? e->text : "");
    fill_answer(&l, s, seal);
    if (own && (seal == NULL || !seal->letter)) {
        s->ship.permanent_failures++;
        tier_publish(s); /* the step was, before its effects */
    }
    if (dlq_put(s->tier->options.dlq, &l, &id, &err) != ST_OK)
        log_error("a dead letter cannot be written", "collection_id=%s err=%s", s->id, err.text);
    else if (own)
        letters_of_before_out(s, e->epoch);
    if (seal != NULL && seal->letter)
        return; /* it was said, and counted */
    if (seal != NULL)
        seal->letter = true;
    log_error("a group is parked as a dead letter until a person acts",
              "collection_id=%s letter=%" PRIu64 " lsn_first=%" PRIu64 " lsn_last=%" PRIu64
              " key=%s err=%s",
              s->id, id, l.lsn_first, l.lsn_last, l.key, l.message);
}

void tier_letter_out(struct tier_stream *s, const struct stream_effect *e)
{
    struct letter l;
    uint64_t after = 0;

    while (next_letter(s, LETTER_WAL_GROUP, &after, &l))
        if (l.lsn_first == e->first_lsn && l.lsn_last == e->last_lsn &&
            dlq_remove(s->tier->options.dlq, l.id, NULL) == ST_OK)
            log_info("a dead letter leaves", "collection_id=%s letter=%" PRIu64, s->id, l.id);
}

void tier_letter_retrying(struct tier_stream *s)
{
    struct letter l;
    struct err err;
    uint64_t after = 0;

    while (next_letter(s, LETTER_WAL_GROUP, &after, &l))
        if (dlq_set_state(s->tier->options.dlq, l.id, LETTER_RETRYING, &err) == ST_NOMEM)
            log_warn("a dead letter cannot be marked", "letter=%" PRIu64 " err=%s", l.id, err.text);
}

/* ---- tails ---- */

void tier_tail_raise(struct tier_stream *s, const struct stream_effect *e)
{
    size_t count = s->ship.tail_count;
    struct tier_tail *last = count > 0 ? &s->ship.tails[count - 1] : NULL;

    if (s->ship.diverged_first == 0 || e->first_lsn < s->ship.diverged_first)
        s->ship.diverged_first = e->first_lsn;
    if (last != NULL && (count == TIER_TAILS_MAX ||
                         (last->epoch == e->epoch && last->last_lsn + 1 == e->first_lsn)))
        last->last_lsn = e->last_lsn;
    else
        s->ship.tails[s->ship.tail_count++] =
            (struct tier_tail){e->epoch, e->first_lsn, e->last_lsn};
    /* A node that serves on loses nothing by waiting; what comes within a moment is one letter. */
    s->ship.tail_ms =
        s->ship.core.phase == STREAM_DIVERGED ? 0 : tier_now_ms(s->tier) + TIER_TAIL_GATHER_MS;
    tier_timed(s);
}

struct tail_writing {
    struct group_writer *writer;
    uint64_t bytes;
};

static status tail_one(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct tail_writing *w = arg;

    if (w->bytes > 0 && w->bytes + payload.bytes > TIER_TAIL_BYTES)
        return err_set(err, ST_LIMIT, "enough for one file");
    w->bytes += payload.bytes;
    return group_add(w->writer, lsn, payload, err);
}

static status letter_path(const char *data_dir, const char *file, char out[FS_PATH_BYTES],
                          struct err *err)
{
    if (strncmp(file, LETTERS_DIR "/", sizeof LETTERS_DIR) != 0 || strstr(file, "..") != NULL)
        return err_set(err, ST_CORRUPT, "a letter names the file %s", file);
    return fs_join(out, data_dir, file, err);
}

static status store_file(struct tier_stream *s, const struct group_head *head, struct slice bytes,
                         struct letter *l, struct err *err)
{
    struct fs *fs = s->tier->options.fs;
    char path[FS_PATH_BYTES];
    char dir[FS_PATH_BYTES];
    status st;

    (void)snprintf(l->file, sizeof l->file, LETTERS_DIR "/%s/%016" PRIx64 "-%016" PRIx64 ".group",
                   s->id, head->epoch, head->first_lsn);
    st = letter_path(s->tier->data_dir, l->file, path, err);
    if (st != ST_OK)
        return st;
    (void)snprintf(dir, sizeof dir, "%s", path);
    *strrchr(dir, '/') = '\0';
    st = fs_mkdir_all(fs, dir, err);
    if (st == ST_OK)
        st = fs_sync_above(fs, dir, err);
    return st == ST_OK ? fs_write_file(fs, path, bytes, err) : st;
}

/* One file from tail->first_lsn on; moves tail behind it. */
static status write_part(struct tier_stream *s, struct tier_tail *tail, struct letter *l,
                         struct err *err)
{
    struct group_head head = {
        .epoch = tail->epoch > 0 ? tail->epoch : 1, .seq = TAIL_SEQ, .first_lsn = tail->first_lsn};
    struct tail_writing w = {0};
    struct slice bytes;
    status st;

    memcpy(head.collection, s->options.collection, sizeof head.collection);
    st = group_create(&head, &w.writer, err);
    if (st == ST_OK)
        st = wal_read(s->options.wal, tail->first_lsn, tail->last_lsn, tail_one, &w, err);
    if (st == ST_LIMIT)
        st = ST_OK;
    if (st == ST_OK && w.bytes == 0)
        st = err_set(err, ST_NOT_FOUND, "the log has no record %" PRIu64, tail->first_lsn);
    if (st == ST_OK)
        st = group_finish(w.writer, &head, &bytes, err);
    if (st == ST_OK)
        st = store_file(s, &head, bytes, l, err);
    if (st == ST_OK) {
        l->epoch = head.epoch;
        l->seq = head.seq;
        l->lsn_first = head.first_lsn;
        l->lsn_last = head.last_lsn;
        l->bytes = w.bytes;
    }
    group_writer_destroy(w.writer);
    return st;
}

static status put_tail_letter(struct tier_stream *s, struct letter *l, struct err *err)
{
    uint64_t id;

    memcpy(l->collection, s->options.collection, sizeof l->collection);
    l->kind = LETTER_DIVERGENT_TAIL;
    l->state = LETTER_PARKED;
    l->first_failed_ns = l->last_failed_ns = clock_wall_ns(s->tier->options.clock);
    objkey_orphan(s->options.collection, l->epoch, s->tier->options.session, l->lsn_first, l->key);
    (void)snprintf(l->class, sizeof l->class, "divergent");
    (void)snprintf(l->message, sizeof l->message, "%s", s->ship.core.reason);
    return dlq_put(s->tier->options.dlq, l, &id, err);
}

static status nothing(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    (void)arg;
    (void)lsn;
    (void)payload;
    (void)err;
    return ST_OK;
}

/* The first record in (from, to] that the log still has; 0: none. */
static uint64_t first_there(struct tier_stream *s, uint64_t from, uint64_t to)
{
    while (from + 1 < to) {
        uint64_t middle = from + (to - from) / 2;

        if (wal_read(s->options.wal, middle, middle, nothing, NULL, NULL) == ST_NOT_FOUND)
            from = middle;
        else
            to = middle;
    }
    return wal_read(s->options.wal, to, to, nothing, NULL, NULL) == ST_OK &&
                   to <= wal_durable_lsn(s->options.wal)
               ? to
               : 0;
}

static status keep_part(struct tier_stream *s, struct tier_tail *tail, struct err *err)
{
    struct letter l = {0};
    char path[FS_PATH_BYTES];
    status st = write_part(s, tail, &l, err);

    if (st == ST_NOT_FOUND) { /* trimmed: it was confirmed once, or there is nothing */
        uint64_t lsn = first_there(s, tail->first_lsn, tail->last_lsn);

        tail->first_lsn = lsn > tail->first_lsn ? lsn : tail->last_lsn + 1;
        return ST_OK;
    }
    if (st == ST_OK)
        st = put_tail_letter(s, &l, err);
    if (st != ST_OK)
        return st;
    tail->first_lsn = l.lsn_last + 1;
    log_error("records that are not the collection's are kept as a dead letter",
              "collection_id=%s lsn_first=%" PRIu64 " lsn_last=%" PRIu64 " file=%s", s->id,
              l.lsn_first, l.lsn_last, l.file);
    if (letter_path(s->tier->data_dir, l.file, path, NULL) == ST_OK)
        tier_io_orphan(s, l.key, path);
    return ST_OK;
}

static status same_payload(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    (void)lsn;
    return slice_equal(*(const struct slice *)arg, payload) ? ST_OK
                                                            : err_set(err, ST_CONFLICT, "another");
}

static status same_as_log(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct tier_stream *s = arg;

    return wal_read(s->options.wal, lsn, lsn, same_payload, &payload, err);
}

/* A letter of a process before holds these very records: what lies in front of it was in the bucket
 * when it was written, or it would begin earlier. Without this a node that was cut off before it
 * remembered anything would put its whole log into a letter, and a replay would write all of it
 * over what the new owner wrote since. */
static bool kept_before(struct tier_stream *s, struct tier_tail *tail)
{
    struct letter l;
    uint64_t after = 0;

    while (next_letter(s, LETTER_DIVERGENT_TAIL, &after, &l)) {
        if (l.file[0] == '\0' || l.lsn_first < tail->first_lsn || l.lsn_last > tail->last_lsn ||
            tier_letter_read(s->tier->options.fs, s->tier->data_dir, NULL, &l, same_as_log, s,
                             NULL) != ST_OK)
            continue;
        tail->first_lsn = l.lsn_last + 1;
        return true;
    }
    return false;
}

/* False: it is tried again later. */
static bool keep_first(struct tier_stream *s)
{
    struct tier_tail *tail = &s->ship.tails[0];
    struct err err;

    while (tail->first_lsn <= tail->last_lsn && kept_before(s, tail))
        continue;
    while (tail->first_lsn <= tail->last_lsn)
        if (keep_part(s, tail, &err) != ST_OK) {
            if (!s->ship.tail_said)
                log_error("records that are not the collection's cannot be kept, tried again",
                          "collection_id=%s lsn_first=%" PRIu64 " err=%s", s->id, tail->first_lsn,
                          err.text);
            s->ship.tail_said = true;
            return false;
        }
    s->ship.tail_said = false;
    s->ship.tail_count--;
    memmove(tail, tail + 1, s->ship.tail_count * sizeof *tail);
    return true;
}

void tier_tail_keep(struct tier_stream *s)
{
    while (s->ship.tail_count > 0)
        if (!keep_first(s)) {
            s->ship.tail_ms = tier_now_ms(s->tier) + TIER_TAIL_RETRY_MS;
            tier_timed(s);
            return;
        }
    if (s->ship.core.phase != STREAM_DIVERGED || s->ship.diverged_told)
        return;
    s->ship.diverged_told = true;
    if (s->options.on_diverged != NULL)
        s->options.on_diverged(s->options.arg, s->ship.diverged_first,
                               s->ship.core.core.diverged_lsn);
}

/* ---- reading back ---- */

static status read_file(struct fs *fs, const char *data_dir, const struct letter *l,
                        struct buf *bytes, struct group **out, struct err *err)
{
    char path[FS_PATH_BYTES];
    status st = letter_path(data_dir, l->file, path, err);

    if (st == ST_OK)
        st = fs_read_file(fs, path, GROUP_BYTES_MAX, bytes, err);
    if (st == ST_OK)
        st = group_open(buf_slice(bytes), l->collection, l->epoch, l->seq, out, err);
    return st == ST_OK ? st : err_wrap(err, st, "read letter %" PRIu64, l->id);
}

status tier_letter_read(struct fs *fs, const char *data_dir, struct wal *wal,
                        const struct letter *letter, group_each_fn *fn, void *arg, struct err *err)
{
    struct group *group = NULL;
    struct buf bytes;
    status st;

    if (letter->file[0] == '\0') {
        if (wal == NULL || letter->lsn_first == 0 || letter->lsn_last > wal_durable_lsn(wal))
            return err_set(err, ST_NOT_FOUND, "letter %" PRIu64 " stands for no records here",
                           letter->id);
        return wal_read(wal, letter->lsn_first, letter->lsn_last, fn, arg, err);
    }
    buf_init(&bytes, GROUP_BYTES_MAX);
    st = read_file(fs, data_dir, letter, &bytes, &group, err);
    if (st == ST_OK)
        st = group_each(group, fn, arg, err);
    group_close(group);
    buf_free(&bytes);
    return st;
}

status tier_letter_forget(struct fs *fs, const char *data_dir, const struct letter *letter,
                          struct err *err)
{
    char path[FS_PATH_BYTES];
    status st;

    if (letter->file[0] == '\0')
        return ST_OK;
    st = letter_path(data_dir, letter->file, path, err);
    if (st == ST_OK)
        st = fs_unlink(fs, path, err);
    return st == ST_NOT_FOUND ? ST_OK : st;
}

/* ---- tails that were the collection's after all ---- */

static status chain_one(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    uint64_t *chain = arg;

    (void)err;
    *chain = group_chain(*chain, lsn, payload);
    return ST_OK;
}

/* The log has the very records of the letter, under their lsns, and the bucket has the log's. */
static bool is_in_the_log(struct tier_stream *s, const struct letter *l)
{
    struct tier *t = s->tier;
    uint64_t kept = 0;
    uint64_t logged = 0;

    return tier_letter_read(t->options.fs, t->data_dir, NULL, l, chain_one, &kept, NULL) == ST_OK &&
           l->lsn_last <= wal_durable_lsn(s->options.wal) &&
           wal_read(s->options.wal, l->lsn_first, l->lsn_last, chain_one, &logged, NULL) == ST_OK &&
           kept == logged;
}

void tier_tail_release(struct tier_stream *s, uint64_t from_lsn, uint64_t to_lsn)
{
    struct tier *t = s->tier;
    struct letter l;
    uint64_t after = 0;

    while (next_letter(s, LETTER_DIVERGENT_TAIL, &after, &l)) {
        if (l.lsn_last <= from_lsn || l.lsn_last > to_lsn || l.file[0] == '\0' ||
            !is_in_the_log(s, &l) || dlq_remove(t->options.dlq, l.id, NULL) != ST_OK)
            continue;
        if (tier_letter_forget(t->options.fs, t->data_dir, &l, NULL) != ST_OK)
            log_warn("a letter's file stays behind", "file=%s", l.file);
        log_info("a dead letter leaves: its records are in the bucket",
                 "collection_id=%s letter=%" PRIu64, s->id, l.id);
    }
}
