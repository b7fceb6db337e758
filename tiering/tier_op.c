/* Who waits for something of a stream: from the call in any thread to its one answer on the ship
 * thread. */
#include "tiering/tier_internal.h"

#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* ---- from any thread ---- */

static struct tier_op *make(struct tier_stream *s, enum tier_op_kind kind, tier_done_fn *done,
                            void *arg)
{
    struct tier_op *op = mem_zero(sizeof *op);
    struct err err;

    if (op == NULL) {
        (void)err_set(&err, ST_NOMEM, "out of memory to ask for it");
        if (done != NULL)
            done(arg, ST_NOMEM, &err);
        return NULL;
    }
    op->msg = (struct tier_msg){.kind = TIER_MSG_OP, .stream = s};
    op->kind = kind;
    op->done = done;
    op->arg = arg;
    return op;
}

static void post(struct tier_stream *s, struct tier_op *op)
{
    if (op != NULL)
        tier_post(s->tier, &op->msg);
}

void tier_stream_flush(struct tier_stream *s, tier_done_fn *done, void *arg)
{
    post(s, make(s, TIER_OP_FLUSH, done, arg));
}

void tier_stream_own(struct tier_stream *s, tier_done_fn *done, void *arg)
{
    post(s, make(s, TIER_OP_OWN, done, arg));
}

void tier_stream_drop(struct tier_stream *s, tier_done_fn *done, void *arg)
{
    post(s, make(s, TIER_OP_DROP, done, arg));
}

void tier_stream_retry(struct tier_stream *s, tier_done_fn *done, void *arg)
{
    post(s, make(s, TIER_OP_RETRY, done, arg));
}

void tier_stream_create(struct tier_stream *s, uint64_t floor_lsn, bool switching,
                        tier_done_fn *done, void *arg)
{
    struct tier_op *op = make(s, TIER_OP_CREATE, done, arg);

    if (op == NULL)
        return;
    op->lsn = floor_lsn;
    op->switching = switching;
    post(s, op);
}

void tier_stream_recreate(struct tier_stream *s, uint64_t floor_lsn, tier_done_fn *done, void *arg)
{
    struct tier_op *op = make(s, TIER_OP_RECREATE, done, arg);

    if (op == NULL)
        return;
    op->lsn = floor_lsn;
    op->switching = true;
    post(s, op);
}

void tier_stream_discard(struct tier_stream *s, uint64_t first_lsn, uint64_t last_lsn, bool drop,
                         tier_done_fn *done, void *arg)
{
    struct tier_op *op = make(s, TIER_OP_DISCARD, done, arg);

    if (op == NULL)
        return;
    op->first_lsn = first_lsn;
    op->last_lsn = last_lsn;
    op->drop = drop;
    post(s, op);
}

void tier_stream_commit(struct tier_stream *s, uint64_t revision, const struct object_ref *manifest,
                        const struct log_floor *floor, size_t lineages_absorbed, bool base_complete,
                        tier_done_fn *done, void *arg)
{
    struct tier_op *op = make(s, TIER_OP_COMMIT, done, arg);

    if (op == NULL)
        return;
    op->revision = revision;
    op->manifest = *manifest;
    op->floor = floor != NULL ? *floor : (struct log_floor){0};
    op->absorbed = lineages_absorbed;
    op->base_complete = base_complete;
    post(s, op);
}

void tier_stream_mark(struct tier_stream *s, uint64_t revision, tier_done_fn *done, void *arg)
{
    struct tier_op *op = make(s, TIER_OP_MARK, done, arg);

    if (op == NULL)
        return;
    op->revision = revision;
    post(s, op);
}

/* ---- answers ---- */

static void answer(struct tier_op *op, status st, const char *text)
{
    struct err err = {.code = st};

    (void)snprintf(err.text, sizeof err.text, "%s", text != NULL ? text : "");
    if (op->done != NULL)
        op->done(op->arg, st, &err);
    mem_free(op);
}

static void add(struct tier_stream *s, struct tier_op *op)
{
    struct tier_op **at = &s->ship.ops;

    op->next = NULL;
    while (*at != NULL)
        at = &(*at)->next;
    *at = op;
}

static void take_out(struct tier_stream *s, struct tier_op *op)
{
    struct tier_op **at = &s->ship.ops;

    while (*at != op)
        at = &(*at)->next;
    *at = op->next;
}

static void finish(struct tier_stream *s, struct tier_op *op, status st, const char *text)
{
    take_out(s, op);
    answer(op, st, text);
}

static struct tier_op *oldest(struct tier_stream *s, unsigned kinds)
{
    struct tier_op *op = s->ship.ops;

    while (op != NULL && (kinds & 1U << op->kind) == 0)
        op = op->next;
    return op;
}

void tier_op_finish(struct tier_stream *s, enum tier_op_kind kind, enum objstore_class class,
                    const char *text)
{
    struct tier_op *op = oldest(s, 1U << kind);

    if (op != NULL)
        finish(s, op, objstore_class_status(class), text);
}

/* The core answers create and drop with one effect, in the order they began. Drops are one. */
void tier_op_created(struct tier_stream *s, const struct stream_effect *e)
{
    const unsigned kinds = 1U << TIER_OP_CREATE | 1U << TIER_OP_RECREATE | 1U << TIER_OP_DROP;
    struct tier_op *op = oldest(s, kinds);
    bool drop = op != NULL && op->kind == TIER_OP_DROP;

    if (op == NULL)
        return;
    finish(s, op, objstore_class_status(e->class), e->text);
    while (drop && (op = oldest(s, 1U << TIER_OP_DROP)) != NULL)
        finish(s, op, objstore_class_status(e->class), e->text);
}

void tier_op_flushed(struct tier_stream *s, const struct stream_effect *e)
{
    struct tier_op *op = s->ship.ops;

    while (op != NULL) {
        struct tier_op *next = op->next;

        if (op->kind == TIER_OP_FLUSH && (e->class != OBJSTORE_OK || op->lsn <= e->lsn))
            finish(s, op, objstore_class_status(e->class), e->text);
        op = next;
    }
}

void tier_op_parked(struct tier_stream *s, const struct stream_effect *e)
{
    struct tier_op *op = s->ship.ops;

    while (op != NULL) {
        struct tier_op *next = op->next;

        if (op->kind == TIER_OP_FLUSH && op->retries && e->first_lsn <= op->lsn)
            finish(s, op, objstore_class_status(e->class), e->text);
        op = next;
    }
}

void tier_op_discarded(struct tier_stream *s, const struct stream_effect *e)
{
    struct tier_op *op = s->ship.ops;

    while (op != NULL) {
        struct tier_op *next = op->next;

        if (op->kind == TIER_OP_DISCARD && op->first_lsn == e->first_lsn &&
            op->last_lsn == e->last_lsn)
            finish(s, op, objstore_class_status(e->class), e->text);
        op = next;
    }
}

/* An answer to a group's PUT or comparison, after the core has heard of it. */
void tier_op_answered(struct tier_stream *s, uint64_t seq, enum objstore_class class,
                      const char *text)
{
    struct tier_op *op = s->ship.ops;

    while (op != NULL) {
        struct tier_op *next = op->next;
        size_t left = 0;

        if (op->kind == TIER_OP_RETRY) {
            for (size_t i = 0; i < op->seq_count; i++)
                if (op->seqs[i] != seq)
                    op->seqs[left++] = op->seqs[i];
            if (left < op->seq_count && class != OBJSTORE_OK && op->trouble.code == ST_OK)
                (void)err_set(&op->trouble, objstore_class_status(class), "%s",
                              text != NULL ? text : objstore_class_name(class));
            op->seq_count = left;
            if (left == 0)
                finish(s, op, op->trouble.code, op->trouble.text);
        }
        op = next;
    }
}

/* ---- phases ---- */

static bool on_the_way(enum stream_phase p)
{
    return p == STREAM_IDLE || p == STREAM_CREATING || p == STREAM_TAKING;
}

void tier_op_phase(struct tier_stream *s)
{
    enum stream_phase phase = s->ship.core.phase;
    struct tier_op *op = s->ship.ops;

    while (op != NULL) {
        struct tier_op *next = op->next;

        if (op->kind == TIER_OP_OWN && op->begun && phase == STREAM_OWNED)
            finish(s, op, ST_OK, "");
        else if (op->kind == TIER_OP_OWN && op->begun && !on_the_way(phase))
            finish(s, op,
                   phase == STREAM_FOREIGN || phase == STREAM_FENCED ? ST_DENIED : ST_UNAVAILABLE,
                   s->ship.core.reason);
        else if (op->kind == TIER_OP_RETRY && op->seq_count > 0 && phase != STREAM_OWNED)
            finish(s, op, ST_UNAVAILABLE, s->ship.core.reason);
        op = next;
    }
}

/* ---- beginning ---- */

static void begin_flush(struct tier_stream *s, struct tier_op *op)
{
    struct stream_event event = {.kind = STREAM_FLUSH};

    tier_stream_look(s, true);
    op->kind = TIER_OP_FLUSH;
    op->lsn = s->ship.told_lsn;
    tier_feed(s, &event);
}

/* Nothing is parked: letters of an earlier process leave when what they stand for is confirmed. */
static void begin_retry(struct tier_stream *s, struct tier_op *op)
{
    struct stream_event event = {.kind = STREAM_RETRY};
    const struct stream *core = &s->ship.core;

    for (size_t i = 0; i < core->seal_count; i++)
        if (core->seals[i].letter)
            op->seqs[op->seq_count++] = core->seals[i].seq;
    if (op->seq_count == 0) {
        op->retries = true;
        tier_feed(s, &event);
        begin_flush(s, op);
        return;
    }
    tier_letter_retrying(s);
    tier_feed(s, &event);
}

static void begin_create(struct tier_stream *s, const struct tier_op *op, uint64_t epoch)
{
    struct stream_event event = {
        .kind = op->kind == TIER_OP_CREATE ? STREAM_CREATE : STREAM_RECREATE,
        .floor_lsn = op->lsn,
        .root_state = op->switching ? ROOT_SWITCHING : ROOT_LIVE,
        .epoch = epoch,
    };

    /* What the chain is at a floor is settled by whoever writes it there: a log that was trimmed
     * cannot tell, and a value of its own differs from that of every other history. */
    event.chain =
        op->lsn == 0 ? group_chain_start(s->options.collection) : rand_u64(s->tier->options.rand);
    tier_feed(s, &event);
}

void tier_op_epoch_known(struct tier_stream *s, struct tier_op *op, uint64_t epoch,
                         enum objstore_class class, const char *text)
{
    if (class == OBJSTORE_OK)
        begin_create(s, op, epoch + 1);
    else
        finish(s, op, objstore_class_status(class), text);
}

static void begin_commit(struct tier_stream *s, const struct tier_op *op)
{
    struct stream_event event = {
        .kind = STREAM_COMMIT,
        .manifest = op->manifest,
        .manifest_revision = op->revision,
        .floor = op->floor,
        .lineages_absorbed = op->absorbed,
        .base_complete = op->base_complete,
    };

    tier_feed(s, &event);
}

static void begin_own(struct tier_stream *s, struct tier_op *op)
{
    struct stream_event event = {.kind = STREAM_OWN};

    /* A command given before this counts before any answer that is handled behind this. */
    tier_stream_tell_wishes(s);
    tier_feed(s, &event);
    op->begun = true;
    tier_op_phase(s);
}

static void begin(struct tier_stream *s, struct tier_op *op)
{
    struct stream_event event = {0};

    switch (op->kind) {
    case TIER_OP_FLUSH:
        begin_flush(s, op);
        break;
    case TIER_OP_CREATE:
        begin_create(s, op, 0);
        break;
    case TIER_OP_RECREATE:
        tier_io_epochs(s, op);
        break;
    case TIER_OP_DROP:
        event.kind = STREAM_DROP;
        event.wall_ns = clock_wall_ns(s->tier->options.clock);
        tier_feed(s, &event);
        break;
    case TIER_OP_OWN:
        begin_own(s, op);
        break;
    case TIER_OP_RETRY:
        begin_retry(s, op);
        break;
    case TIER_OP_DISCARD:
        event.kind = STREAM_DISCARD;
        event.first_lsn = op->first_lsn;
        event.last_lsn = op->last_lsn;
        event.drop = op->drop;
        tier_feed(s, &event);
        break;
    case TIER_OP_COMMIT:
        begin_commit(s, op);
        break;
    case TIER_OP_MARK:
        event.kind = STREAM_MARK;
        event.manifest_revision = op->revision;
        tier_feed(s, &event);
        break;
    }
}

void tier_op_begin(struct tier_stream *s, struct tier_op *op)
{
    op->next = NULL;
    if (!s->ship.ready) {
        if (s->ship.early_last != NULL)
            s->ship.early_last->next = op;
        else
            s->ship.early_first = op;
        s->ship.early_last = op;
        return;
    }
    if (op->kind == TIER_OP_COMMIT && oldest(s, 1U << TIER_OP_COMMIT) != NULL) {
        answer(op, ST_CONFLICT, "a commit is under way");
        return;
    }
    if (op->kind == TIER_OP_MARK && oldest(s, 1U << TIER_OP_MARK) != NULL) {
        answer(op, ST_CONFLICT, "a mark is under way");
        return;
    }
    add(s, op);
    begin(s, op);
}

void tier_op_close(struct tier_stream *s)
{
    while (s->ship.early_first != NULL) {
        struct tier_op *op = s->ship.early_first;

        s->ship.early_first = op->next;
        answer(op, ST_UNAVAILABLE, "shipping of the collection has ended");
    }
    while (s->ship.ops != NULL)
        finish(s, s->ship.ops, ST_UNAVAILABLE, "shipping of the collection has ended");
}
