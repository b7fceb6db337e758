/* Requests: made from effects, waiting until the breaker and memory let them go, sent, and come
 * back as messages. done() runs on the store's thread and only posts. */
#include "tiering/tier_internal.h"

#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>

/* Which request this thread is cancelling, where the store answers from inside the call. */
static _Thread_local const struct tier_io *cancelling;

/* ---- the store's thread ---- */

void tier_io_on_done(struct objstore_req *req)
{
    struct tier_io *io = req->arg;
    int state = TIER_IO_RUNNING;

    /* Who cancels must have left objstore_cancel() before the request may be freed. */
    while (cancelling != io && !atomic_compare_exchange_weak(&io->state, &state, TIER_IO_ENDED)) {
        if (state != TIER_IO_RUNNING)
            (void)sched_yield();
        state = TIER_IO_RUNNING;
    }
    tier_post(io->tier, &io->msg);
}

static void cancel(struct tier_io *io)
{
    int state = TIER_IO_RUNNING;

    if (!atomic_compare_exchange_strong(&io->state, &state, TIER_IO_CANCELLING))
        return;
    cancelling = io;
    objstore_cancel(io->tier->options.store, &io->req);
    cancelling = NULL;
    atomic_store(&io->state, TIER_IO_RUNNING);
}

/* ---- making ---- */

static struct tier_io **list_of(struct tier *t, struct tier_stream *s)
{
    return s != NULL ? &s->ship.ios : &t->ship.orphans;
}

static struct tier_io *make(struct tier *t, struct tier_stream *s, enum tier_io_kind kind,
                            const struct stream_effect *e)
{
    struct tier_io *io = mem_zero(sizeof *io);
    struct tier_io **list = list_of(t, s);

    if (io == NULL)
        return NULL;
    io->msg = (struct tier_msg){.kind = TIER_MSG_IO};
    io->tier = t;
    io->stream = s;
    io->kind = kind;
    if (e != NULL) {
        io->token = e->token;
        io->effect = *e;
        io->effect.root = NULL;
        io->effect.etag = io->effect.text = NULL;
    }
    io->after = *list;
    if (*list != NULL)
        (*list)->before = io;
    *list = io;
    t->ship.ios++;
    return io;
}

static void unlist(struct tier_io *io)
{
    *(io->before != NULL ? &io->before->after : list_of(io->tier, io->stream)) = io->after;
    if (io->after != NULL)
        io->after->before = io->before;
    io->before = io->after = NULL;
}

void tier_io_free(struct tier_io *io)
{
    struct tier *t = io->tier;

    unlist(io);
    t->ship.ios--;
    tier_bytes_free(t, &io->bytes);
    group_list_destroy(io->list);
    buf_free(&io->body);
    objstore_result_fini(&io->req.result);
    mem_free(io);
}

void tier_io_owe(struct tier_stream *s, enum tier_io_kind kind, uint64_t token)
{
    assert(s->ship.failed_count < TIER_FAILED_MAX);
    s->ship.failed[s->ship.failed_count].kind = kind;
    s->ship.failed[s->ship.failed_count].token = token;
    s->ship.failed_count++;
}

/* ---- queues ---- */

void tier_queue_push(struct tier_queue *q, struct tier_io *io)
{
    io->next = NULL;
    if (q->last != NULL)
        q->last->next = io;
    else
        q->first = io;
    q->last = io;
}

void tier_queue_pop(struct tier_queue *q)
{
    q->first = q->first->next;
    if (q->first == NULL)
        q->last = NULL;
}

static struct tier_queue *queue_of(struct tier_io *io)
{
    struct tier *t = io->tier;

    return io->kind == TIER_IO_PUT || io->kind == TIER_IO_ORPHAN ? &t->ship.puts : &t->ship.reads;
}

void tier_io_queue(struct tier_io *io)
{
    tier_queue_push(queue_of(io), io);
}

/* ---- from effects ---- */

static bool fill_root(struct tier_io *io, const struct stream_effect *e)
{
    struct err err;

    objkey_root(io->stream->options.collection, io->key);
    (void)snprintf(io->etag, sizeof io->etag, "%s", e->etag != NULL ? e->etag : "");
    if (io->kind == TIER_IO_ROOT_READ)
        return true;
    buf_init(&io->body, ROOT_BYTES_MAX);
    if (root_encode(e->root, &io->body, &err) == ST_OK)
        return true;
    log_error("a root cannot be encoded", "collection_id=%s err=%s", io->stream->id, err.text);
    return false;
}

static bool fill(struct tier_io *io, const struct stream_effect *e)
{
    const uint8_t *collection = io->stream->options.collection;

    switch (io->kind) {
    case TIER_IO_ROOT_READ:
    case TIER_IO_ROOT_WRITE:
        return fill_root(io, e);
    case TIER_IO_LIST:
        io->list = group_list_create(collection, e->epoch, e->seq);
        if (io->list != NULL)
            (void)snprintf(io->key, sizeof io->key, "%s", group_list_prefix(io->list));
        return io->list != NULL;
    case TIER_IO_GROUP_READ:
    case TIER_IO_CHECK:
    case TIER_IO_ENCODE:
        objkey_group(collection, e->epoch, e->seq, io->key);
        return true;
    case TIER_IO_PUT:
    case TIER_IO_COMPARE:
        objkey_group(collection, e->epoch, e->seq, io->key);
        io->seal = tier_seal_get(io->stream, e);
        return io->seal != NULL;
    case TIER_IO_EPOCHS:
    case TIER_IO_ORPHAN:
        break;
    }
    return false;
}

void tier_io_start(struct tier_stream *s, enum tier_io_kind kind, const struct stream_effect *e)
{
    struct tier_io *io = make(s->tier, s, kind, e);

    if (io == NULL || !fill(io, e)) {
        if (io != NULL)
            tier_io_free(io);
        tier_io_owe(s, kind, e->token);
        return;
    }
    if (kind == TIER_IO_ENCODE || kind == TIER_IO_CHECK)
        tier_queue_push(&s->tier->ship.work, io); /* the log's part comes first */
    else
        tier_io_queue(io);
}

void tier_io_epochs(struct tier_stream *s, struct tier_op *op)
{
    struct tier_io *io = make(s->tier, s, TIER_IO_EPOCHS, NULL);
    size_t bytes;

    if (io == NULL) {
        tier_op_epoch_known(s, op, 0, OBJSTORE_TRANSIENT, "out of memory");
        return;
    }
    io->op = op;
    objkey_prefix_collection(s->options.collection, io->key);
    bytes = strlen(io->key);
    (void)snprintf(io->key + bytes, sizeof io->key - bytes, "w/");
    tier_io_queue(io);
}

void tier_io_orphan(struct tier_stream *s, const char *key, const char *file)
{
    struct tier_io *io = make(s->tier, NULL, TIER_IO_ORPHAN, NULL);

    if (io == NULL)
        return; /* the letter has the records */
    (void)snprintf(io->key, sizeof io->key, "%s", key);
    (void)snprintf(io->file, sizeof io->file, "%s", file);
    tier_io_queue(io);
}

/* ---- answers ---- */

static void say_breaker(struct tier *t, enum breaker_state before, enum breaker_state after,
                        const char *text)
{
    uint64_t now = tier_now_ms(t);

    t->ship.open = after != BREAKER_CLOSED;
    if (before == BREAKER_CLOSED && after != BREAKER_CLOSED) {
        t->ship.opened_ms = now;
        log_warn("the object store is in trouble, requests back off", "store=%s err=%s",
                 t->options.store->description, text);
    } else if (before != BREAKER_CLOSED && after == BREAKER_CLOSED) {
        log_info("the object store answers again", "store=%s after_ms=%" PRIu64,
                 t->options.store->description, now - t->ship.opened_ms);
    }
}

/* Of the store as a whole: it does not answer, or it refuses for good. */
static void note_answer(struct tier *t, const struct objstore_req *req)
{
    const struct objstore_result *r = &req->result;
    enum breaker_state before;
    enum breaker_state after;
    bool refused = r->class == OBJSTORE_PERMANENT || r->class == OBJSTORE_REFRESHABLE ||
                   r->class == OBJSTORE_CAPACITY;

    lock_take(&t->lock);
    before = t->shared.breaker.state;
    breaker_answer(&t->shared.breaker, r->class, r->retry_after_ms, tier_now_ms(t));
    after = t->shared.breaker.state;
    if (refused || after != BREAKER_CLOSED)
        (void)snprintf(t->shared.trouble, sizeof t->shared.trouble, "%.80s: %.280s",
                       t->options.store->description, r->err.text);
    else if (!t->ship.refused || t->ship.refused_op == req->op)
        t->shared.trouble[0] = '\0'; /* reads that go well say nothing of refused writes */
    t->ship.refused = refused || (t->ship.refused && t->shared.trouble[0] != '\0');
    if (refused)
        t->ship.refused_op = req->op;
    t->ship.broke_off = r->class == OBJSTORE_TRANSIENT || r->class == OBJSTORE_INTEGRITY;
    lock_drop(&t->lock);
    say_breaker(t, before, after, r->err.text);
}

void tier_io_done(struct tier_io *io)
{
    struct tier *t = io->tier;

    atomic_fetch_sub(&t->in_flight, 1);
    if (io->kind == TIER_IO_PUT)
        atomic_fetch_sub(&t->uploading, 1);
    note_answer(t, &io->req);
    if (io->kind == TIER_IO_ORPHAN ? tier_answer_orphan(io)
                                   : io->stream == NULL || tier_answer(io)) {
        tier_io_free(io);
        return;
    }
    objstore_req_reset(&io->req);
    tier_io_queue(io);
}

/* ---- the end of a stream, and of the tier ---- */

static void drop_from(struct tier_queue *q, const struct tier_stream *s)
{
    struct tier_queue kept = {0};
    struct tier_io *io = q->first;

    while (io != NULL) {
        struct tier_io *next = io->next;

        if (io->stream == s)
            tier_io_free(io);
        else
            tier_queue_push(&kept, io);
        io = next;
    }
    *q = kept;
}

/* What is under way is told to end, and ends among the tier's own. */
static void disown(struct tier_io *io)
{
    struct tier *t = io->tier;

    unlist(io);
    io->stream = NULL;
    io->seal = NULL;
    io->op = NULL;
    io->after = t->ship.orphans;
    if (t->ship.orphans != NULL)
        t->ship.orphans->before = io;
    t->ship.orphans = io;
    cancel(io);
}

void tier_io_abandon(struct tier_stream *s)
{
    struct tier *t = s->tier;

    drop_from(&t->ship.work, s);
    drop_from(&t->ship.reads, s);
    drop_from(&t->ship.puts, s);
    while (s->ship.ios != NULL)
        disown(s->ship.ios);
}

void tier_io_cancel_orphans(struct tier *t)
{
    drop_from(&t->ship.puts, NULL);
    for (struct tier_io *io = t->ship.orphans; io != NULL; io = io->after)
        cancel(io);
}
