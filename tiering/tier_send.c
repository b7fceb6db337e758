/* Sending: what waits goes out when its bytes are there, memory has room and the breaker admits it,
 * first what steps a core, then groups. Encoding and comparing with the log are work of a turn. */
#include "tiering/tier_internal.h"

#include <inttypes.h>

/* ---- sending ---- */

static void fill_put(struct tier_io *io, struct objstore_req *req)
{
    req->op = OBJSTORE_PUT;
    req->pool = OBJSTORE_LOG;
    req->condition = OBJSTORE_IF_ABSENT;
    if (io->kind == TIER_IO_PUT) {
        req->body = io->bytes.bytes;
    } else {
        req->body = buf_slice(&io->body);
        if (io->kind == TIER_IO_ORPHAN)
            req->pool = OBJSTORE_BULK;
        else if (io->etag[0] != '\0')
            req->condition = OBJSTORE_IF_MATCH;
    }
}

static void fill_get(const struct tier_io *io, struct objstore_req *req)
{
    req->op = OBJSTORE_GET;
    req->pool = OBJSTORE_LOG;
    if (io->kind == TIER_IO_ROOT_READ) {
        req->bytes_max = ROOT_BYTES_MAX;
        if (io->etag[0] != '\0')
            req->condition = OBJSTORE_IF_CHANGED;
    }
}

static void fill_list(const struct tier_io *io, struct objstore_req *req)
{
    const char *start_after = io->start_after;

    req->op = OBJSTORE_LIST;
    req->pool = OBJSTORE_LOG;
    if (io->kind == TIER_IO_EPOCHS)
        req->list_max = 1;
    else
        start_after = group_list_start_after(io->list);
    req->start_after = start_after[0] != '\0' ? start_after : NULL;
}

static void submit(struct tier_io *io)
{
    struct tier *t = io->tier;
    struct objstore_req *req = &io->req;

    *req = (struct objstore_req){.key = io->key,
                                 .etag = io->etag,
                                 .fresh_connection = t->ship.broke_off,
                                 .done = tier_io_on_done,
                                 .arg = io};
    switch (io->kind) {
    case TIER_IO_ROOT_WRITE:
    case TIER_IO_PUT:
    case TIER_IO_ORPHAN:
        fill_put(io, req);
        break;
    case TIER_IO_ROOT_READ:
    case TIER_IO_GROUP_READ:
    case TIER_IO_CHECK:
    case TIER_IO_COMPARE:
    case TIER_IO_ENCODE:
        fill_get(io, req);
        break;
    case TIER_IO_LIST:
    case TIER_IO_EPOCHS:
        fill_list(io, req);
        break;
    }
    if (io->kind == TIER_IO_PUT && io->seal->sent++ > 0)
        io->stream->ship.retries++;
    atomic_store(&io->state, TIER_IO_RUNNING);
    atomic_fetch_add(&t->in_flight, 1);
    if (io->kind == TIER_IO_PUT)
        atomic_fetch_add(&t->uploading, 1);
    objstore_submit(t->options.store, req);
}

/* What a PUT needs, found before the breaker is asked: a probe must not be wasted. */
static status prepare_group(struct tier_io *io, struct err *err)
{
    struct stream_effect *e = &io->effect;
    struct tier_bytes *held = &io->seal->bytes;
    status st;

    if (io->bytes.bytes.data != NULL)
        return ST_OK;
    if (held->bytes.data != NULL && (held->writer == NULL) == e->gap) {
        io->bytes = *held;
        *held = (struct tier_bytes){0};
        return ST_OK;
    }
    st = e->gap ? tier_encode_gap(io->stream, e, &io->bytes, err)
                : tier_encode(io->stream, e, 0, &io->bytes, err);
    if (st == ST_OK && !e->gap && io->bytes.crc != e->crc)
        st = err_set(err, ST_CORRUPT, "group %" PRIu64 " encodes to other bytes than before",
                     e->seq);
    return st;
}

static status prepare_orphan(struct tier_io *io, struct err *err)
{
    if (io->body.bytes > 0)
        return ST_OK;
    buf_free(&io->body);
    buf_init(&io->body, OBJSTORE_OBJECT_BYTES_MAX);
    return fs_read_file(io->tier->options.fs, io->file, OBJSTORE_OBJECT_BYTES_MAX, &io->body, err);
}

static bool has_room(struct tier_io *io)
{
    if (io->kind != TIER_IO_PUT || io->bytes.bytes.data != NULL ||
        io->seal->bytes.bytes.data != NULL)
        return true;
    return tier_room(io->tier, tier_effect_bytes(io->stream, &io->effect));
}

static status prepare(struct tier_io *io, struct err *err)
{
    if (io->kind == TIER_IO_PUT)
        return prepare_group(io, err);
    if (io->kind == TIER_IO_ORPHAN)
        return prepare_orphan(io, err);
    return ST_OK;
}

/* UINT64_MAX: when an answer comes. */
static uint64_t admit(struct tier *t, bool ask)
{
    uint64_t now = tier_now_ms(t);
    uint64_t at = 0;

    lock_take(&t->lock);
    if (breaker_next_ms(&t->shared.breaker) > now)
        at = breaker_next_ms(&t->shared.breaker);
    else if (ask && !breaker_admit(&t->shared.breaker, now))
        at = TIER_NEVER;
    lock_drop(&t->lock);
    return at;
}

/* Whether the queue's first was sent or ended; *again: when to ask if not. */
static bool pump_one(struct tier *t, struct tier_queue *q, uint64_t *again)
{
    struct tier_io *io = q->first;
    struct err err = {0};
    uint64_t at;
    status st;

    if (io == NULL || !has_room(io))
        return false;
    at = admit(t, false);
    if (at == 0) {
        st = prepare(io, &err);
        if (st != ST_OK) {
            tier_queue_pop(q);
            tier_answer_fail(io, tier_class_of(st), err.text);
            tier_io_free(io);
            return true;
        }
        at = admit(t, true);
    }
    if (at != 0) {
        if (at < *again)
            *again = at;
        return false;
    }
    tier_queue_pop(q);
    submit(io);
    return true;
}

uint64_t tier_io_pump(struct tier *t)
{
    uint64_t again = TIER_NEVER;

    while (pump_one(t, &t->ship.reads, &again))
        ;
    while (pump_one(t, &t->ship.puts, &again))
        ;
    while (pump_one(t, &t->ship.reads, &again)) /* asked for by what just failed */
        ;
    return again;
}

/* ---- work without a request ---- */

static void encode(struct tier_io *io)
{
    struct tier_stream *s = io->stream;
    struct stream_effect *e = &io->effect;
    struct tier_bytes bytes = {0};
    struct tier_seal *seal;
    struct stream_event event = {.kind = STREAM_ENCODED, .token = io->token};
    struct err err = {0};
    status st = tier_encode(s, e, s->tier->options.group_bytes, &bytes, &err);

    event.class = tier_class_of(st);
    event.text = err.text;
    if (st == ST_OK) {
        event.first_lsn = bytes.head.first_lsn;
        event.last_lsn = bytes.head.last_lsn;
        event.chain_before = bytes.head.chain_before;
        event.chain = bytes.head.chain;
        event.bytes = bytes.payload_bytes;
        event.crc = bytes.crc;
        e->last_lsn = bytes.head.last_lsn;
        seal = tier_seal_get(s, e);
        if (seal != NULL && tier_room(s->tier, 0)) {
            tier_bytes_free(s->tier, &seal->bytes);
            seal->bytes = bytes;
            tier_seal_unuse(s, seal);
        } else { /* encoded again when it is sent */
            tier_bytes_free(s->tier, &bytes);
        }
    }
    tier_feed(s, &event);
}

void tier_io_work(struct tier *t)
{
    struct tier_io *io = t->ship.work.first;

    tier_queue_pop(&t->ship.work);
    if (io->stream == NULL) {
        tier_io_free(io);
    } else if (io->kind == TIER_IO_ENCODE) {
        encode(io);
        tier_io_free(io);
    } else if (tier_check_by_log(io->stream, io->token, &io->effect)) {
        tier_io_free(io);
    } else {
        tier_io_queue(io);
    }
}
