/* What an answer of the store means to the core: decoded, compared, and fed as an event. */
#include "tiering/tier_internal.h"

#include "base/crc32c.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

enum stream_event_kind tier_event_of(enum tier_io_kind kind)
{
    switch (kind) {
    case TIER_IO_ROOT_READ:
        return STREAM_ROOT_READ;
    case TIER_IO_ROOT_WRITE:
        return STREAM_ROOT_DONE;
    case TIER_IO_LIST:
        return STREAM_LISTED;
    case TIER_IO_GROUP_READ:
        return STREAM_GROUP_READ;
    case TIER_IO_CHECK:
        return STREAM_LOCAL_CHECKED;
    case TIER_IO_PUT:
        return STREAM_PUT_DONE;
    case TIER_IO_COMPARE:
        return STREAM_COMPARED;
    case TIER_IO_ENCODE:
        return STREAM_ENCODED;
    case TIER_IO_EPOCHS:
    case TIER_IO_ORPHAN:
        break;
    }
    return STREAM_TICK;
}

static struct stream_event event_of(struct tier_io *io)
{
    const struct objstore_result *r = &io->req.result;

    return (struct stream_event){
        .kind = tier_event_of(io->kind),
        .token = io->token,
        /* Only a store that is being closed under us ends a request so. */
        .class = r->class == OBJSTORE_CANCELLED ? OBJSTORE_TRANSIENT : r->class,
        .maybe_applied = r->maybe_applied,
        .retry_after_ms = r->retry_after_ms,
        .etag = r->etag,
        .text = r->err.text,
    };
}

static bool went_well(const struct tier_io *io)
{
    return io->req.result.class == OBJSTORE_OK;
}

/* ---- the root ---- */

static void root_was_read(struct tier_io *io)
{
    struct tier *t = io->tier;
    struct stream_event event = event_of(io);
    struct err err;
    status st;

    if (went_well(io)) {
        st = root_decode(buf_slice(&io->req.result.body), io->stream->options.collection,
                         &t->ship.root, &err);
        event.root = &t->ship.root;
        if (st != ST_OK) {
            event.class = OBJSTORE_INTEGRITY;
            event.root = NULL;
            event.text = err.text;
        }
    }
    tier_feed(io->stream, &event);
}

/* ---- listing ---- */

static bool is_group(const struct tier_io *io, const char *name, struct objkey *key)
{
    *key = objkey_parse(name);
    return key->kind == OBJKEY_IS_GROUP &&
           memcmp(key->collection, io->stream->options.collection, 16) == 0;
}

/* False: the next page is to be asked for. */
static bool was_listed(struct tier_io *io)
{
    const struct objstore_result *r = &io->req.result;
    struct stream_event event = event_of(io);
    enum group_list_next next;

    if (went_well(io)) {
        next = group_list_page(io->list, r->entries, r->entry_count, r->truncated);
        if (next == GROUP_LIST_MORE)
            return false;
        if (next == GROUP_LIST_STUCK) {
            event.class = OBJSTORE_TRANSIENT;
            event.text = "a page of a listing without a new name";
        }
        event.end_seq = group_list_end(io->list);
    }
    tier_feed(io->stream, &event);
    return true;
}

/* One name behind all groups of an epoch is the next epoch's: a request an epoch. */
static bool epochs_were_listed(struct tier_io *io)
{
    const struct objstore_result *r = &io->req.result;
    struct objkey key;

    if (!went_well(io)) {
        tier_op_epoch_known(io->stream, io->op, 0, r->class, r->err.text);
        return true;
    }
    if (r->entry_count > 0 && is_group(io, r->entries[0].key, &key) && key.epoch > io->epoch) {
        io->epoch = key.epoch;
        objkey_group(io->stream->options.collection, key.epoch, UINT64_MAX, io->start_after);
        return false;
    }
    tier_op_epoch_known(io->stream, io->op, io->epoch, OBJSTORE_OK, NULL);
    return true;
}

/* ---- groups ---- */

static void note_read(struct tier_io *io)
{
    const struct objstore_result *r = &io->req.result;

    io->stream->ship.read.http_status = r->http_status;
    (void)snprintf(io->stream->ship.read.s3_code, LETTER_NAME_BYTES, "%.63s", r->s3_code);
    (void)snprintf(io->stream->ship.read.request_id, LETTER_NAME_BYTES, "%.63s", r->request_id);
}

static void group_was_read(struct tier_io *io)
{
    struct stream_event event = event_of(io);
    const struct stream_effect *e = &io->effect;
    struct group *group = NULL;
    struct err err;

    note_read(io);
    if (went_well(io)) {
        status st = group_open(buf_slice(&io->req.result.body), io->stream->options.collection,
                               e->epoch, e->seq, &group, &err);

        if (st == ST_OK) {
            const struct group_head *head = group_head(group);

            event.first_lsn = head->first_lsn;
            event.last_lsn = head->last_lsn;
            event.chain_before = head->chain_before;
            event.chain = head->chain;
            event.gap = head->kind == GROUP_GAP;
        } else {
            event.class = st == ST_NOMEM ? OBJSTORE_TRANSIENT : OBJSTORE_INTEGRITY;
            event.text = err.text;
        }
        group_close(group);
    }
    tier_feed(io->stream, &event);
}

static void tail_was_read(struct tier_io *io)
{
    struct stream_event event = event_of(io);

    if (went_well(io))
        tier_check(io->stream, io->token, &io->effect, buf_slice(&io->req.result.body));
    else
        tier_feed(io->stream, &event);
}

static void note_failure(struct tier_io *io)
{
    const struct objstore_result *r = &io->req.result;
    struct tier_seal *seal = io->seal;
    uint64_t now_ns = clock_wall_ns(io->tier->options.clock);

    seal->http_status = r->http_status;
    (void)snprintf(seal->s3_code, sizeof seal->s3_code, "%.63s", r->s3_code);
    (void)snprintf(seal->request_id, sizeof seal->request_id, "%.63s", r->request_id);
    if (seal->first_failed_ns == 0)
        seal->first_failed_ns = now_ns;
    seal->last_failed_ns = now_ns;
}

static void keep_bytes(struct tier_io *io)
{
    tier_bytes_free(io->tier, &io->seal->bytes);
    if (!tier_room(io->tier, 0))
        return; /* they go with the request */
    io->seal->bytes = io->bytes;
    io->bytes = (struct tier_bytes){0};
    tier_seal_unuse(io->stream, io->seal);
}

static void group_was_put(struct tier_io *io)
{
    struct tier_stream *s = io->stream;
    struct stream_event event = event_of(io);

    if (event.class == OBJSTORE_OK) {
        s->ship.uploads++;
    } else {
        keep_bytes(io);
        if (event.class != OBJSTORE_PRECONDITION)
            note_failure(io);
    }
    tier_feed(s, &event);
    if (event.class != OBJSTORE_PRECONDITION)
        tier_op_answered(s, io->effect.seq, event.class, event.text);
}

/* ---- comparing ---- */

static bool same(const struct tier_bytes *b, struct slice object)
{
    return slice_equal(b->bytes, object);
}

/* ST_OK: event.class says it. */
static status compare(struct tier_io *io, struct stream_event *event, struct err *err)
{
    const struct stream_effect *e = &io->effect;
    struct slice object = buf_slice(&io->req.result.body);
    struct tier_bytes bytes = {0};
    status st;

    event->class = OBJSTORE_PRECONDITION;
    if (e->gap) {
        st = tier_encode_gap(io->stream, e, &bytes, err);
        if (st == ST_OK && same(&bytes, object))
            event->class = OBJSTORE_OK;
        tier_bytes_free(io->tier, &bytes);
        if (st != ST_OK || event->class == OBJSTORE_OK)
            return st;
    }
    st = tier_encode(io->stream, e, 0, &bytes, err);
    if (st == ST_OK && same(&bytes, object)) {
        event->class = OBJSTORE_OK;
        event->original = e->gap;
    }
    tier_bytes_free(io->tier, &bytes);
    if (e->gap && (st == ST_CORRUPT || st == ST_NOT_FOUND))
        return ST_OK; /* what the gap stands for cannot be read: it is not what stands there */
    return st;
}

static void group_was_compared(struct tier_io *io)
{
    struct tier_stream *s = io->stream;
    struct stream_event event = event_of(io);
    struct err err;

    if (went_well(io)) {
        status st = compare(io, &event, &err);

        if (st != ST_OK) {
            event.class = tier_class_of(st);
            event.text = err.text;
        } else if (event.class != OBJSTORE_OK) {
            event.text = "other bytes stand there";
        }
    }
    if (event.class == OBJSTORE_OK)
        s->ship.uploads++;
    else
        note_failure(io);
    tier_feed(s, &event);
    tier_op_answered(s, io->effect.seq, event.class, event.text);
}

/* ---- all ---- */

bool tier_answer(struct tier_io *io)
{
    struct stream_event event;

    switch (io->kind) {
    case TIER_IO_ROOT_READ:
        root_was_read(io);
        return true;
    case TIER_IO_ROOT_WRITE:
        event = event_of(io);
        tier_feed(io->stream, &event);
        return true;
    case TIER_IO_LIST:
        return was_listed(io);
    case TIER_IO_EPOCHS:
        return epochs_were_listed(io);
    case TIER_IO_GROUP_READ:
        group_was_read(io);
        return true;
    case TIER_IO_CHECK:
        tail_was_read(io);
        return true;
    case TIER_IO_PUT:
        group_was_put(io);
        return true;
    case TIER_IO_COMPARE:
        group_was_compared(io);
        return true;
    case TIER_IO_ORPHAN:
    case TIER_IO_ENCODE:
        break;
    }
    return true;
}

void tier_answer_fail(struct tier_io *io, enum objstore_class class, const char *text)
{
    struct stream_event event = {
        .kind = tier_event_of(io->kind), .token = io->token, .class = class, .text = text};
    uint64_t seq = io->effect.seq;

    if (io->kind == TIER_IO_ORPHAN)
        return;
    if (io->seal != NULL) {
        io->req.result.http_status = 0;
        note_failure(io);
    }
    tier_feed(io->stream, &event);
    if (io->kind == TIER_IO_PUT)
        tier_op_answered(io->stream, seq, class, text);
}

/* As well as it can: the letter's file is what counts. */
bool tier_answer_orphan(struct tier_io *io)
{
    const struct objstore_result *r = &io->req.result;

    if (r->class == OBJSTORE_OK || r->class == OBJSTORE_PRECONDITION) {
        log_info("what another owner left out lies in the bucket", "key=%s", io->key);
        return true;
    }
    if (objstore_class_retries(r->class) && ++io->tries < TIER_ORPHAN_TRIES &&
        !io->tier->ship.stopping)
        return false;
    log_warn("what another owner left out is kept here alone", "key=%s err=%s", io->key,
             r->err.text);
    return true;
}
