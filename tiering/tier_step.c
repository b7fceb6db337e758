/* One step of a core: an event goes in, its effects are carried out in order, and what others see
 * is renewed. Nothing here feeds another event while effects are carried out: they borrow from the
 * state until the next step. */
#include "tiering/tier_internal.h"

#include <inttypes.h>

static void say_phase(struct tier_stream *s)
{
    const struct stream *core = &s->ship.core;

    switch (core->phase) {
    case STREAM_ROOT_LOST:
    case STREAM_HALTED:
        log_error("shipping stands still until a person looks",
                  "collection_id=%s phase=%s reason=%s", s->id, stream_phase_name(core->phase),
                  core->reason);
        break;
    case STREAM_OWNED:
        log_info("the collection is ours in the bucket", "collection_id=%s epoch=%" PRIu64, s->id,
                 core->root.epoch);
        break;
    case STREAM_FOREIGN: /* the node says what it means for writers */
    case STREAM_FENCED:
    case STREAM_DIVERGED:
    case STREAM_DROPPED:
    case STREAM_IDLE:
    case STREAM_CREATING:
    case STREAM_TAKING:
        break;
    }
}

static void phase_changed(struct tier_stream *s)
{
    const struct stream *core = &s->ship.core;

    say_phase(s);
    if (core->phase != STREAM_DIVERGED)
        s->ship.diverged_told = false;
    if (s->options.on_phase != NULL)
        s->options.on_phase(s->options.arg, core->phase, core->reason);
    tier_op_phase(s);
    if (core->phase == STREAM_DIVERGED) { /* also when there is nothing to keep */
        s->ship.tail_ms = 0;
        tier_timed(s);
    }
}

static void confirmed(struct tier_stream *s, const struct stream_effect *e)
{
    uint64_t before = s->ship.hint_lsn;

    if (e->lsn != before || e->chain != s->ship.hint_chain) {
        s->ship.hint_lsn = e->lsn;
        s->ship.hint_chain = e->chain;
        s->options.hint_loaded = false;
        atomic_store(&s->remote_lsn, e->lsn);
        if (s->options.on_shipped != NULL)
            s->options.on_shipped(s->options.arg, e->lsn, e->chain);
        dlq_remove_shipped(s->tier->options.dlq, s->options.collection, e->lsn);
        tier_tail_release(s, before, e->lsn);
    }
    if (s->options.on_remote != NULL)
        s->options.on_remote(s->options.arg, e->lsn);
}

static void set_timer(struct tier_stream *s, uint64_t at_ms)
{
    s->ship.timer_ms = at_ms;
    tier_timed(s);
}

static void carry_out(struct tier_stream *s, const struct stream_effect *e)
{
    switch (e->kind) {
    case STREAM_DO_TIMER:
        set_timer(s, e->at_ms);
        break;
    case STREAM_DO_READ_ROOT:
        tier_io_start(s, TIER_IO_ROOT_READ, e);
        break;
    case STREAM_DO_PUT_ROOT:
        tier_io_start(s, TIER_IO_ROOT_WRITE, e);
        break;
    case STREAM_DO_LIST:
        tier_io_start(s, TIER_IO_LIST, e);
        break;
    case STREAM_DO_READ_GROUP:
        tier_io_start(s, TIER_IO_GROUP_READ, e);
        break;
    case STREAM_DO_CHECK_LOCAL:
        tier_io_start(s, TIER_IO_CHECK, e);
        break;
    case STREAM_DO_ENCODE:
        tier_io_start(s, TIER_IO_ENCODE, e);
        break;
    case STREAM_DO_PUT_GROUP:
        tier_io_start(s, TIER_IO_PUT, e);
        break;
    case STREAM_DO_COMPARE:
        tier_io_start(s, TIER_IO_COMPARE, e);
        break;
    case STREAM_DO_SHIPPED:
        break; /* the view has it */
    case STREAM_DO_REMOTE:
        confirmed(s, e);
        break;
    case STREAM_DO_LETTER:
        tier_letter_put(s, e);
        tier_op_parked(s, e);
        break;
    case STREAM_DO_LETTER_OUT:
        tier_letter_out(s, e);
        break;
    case STREAM_DO_PHASE:
        phase_changed(s);
        break;
    case STREAM_DO_DIVERGED:
        tier_tail_raise(s, e);
        break;
    case STREAM_DO_COMMITTED:
        tier_op_finish(s, TIER_OP_COMMIT, e->class, e->text);
        break;
    case STREAM_DO_MARKED:
        tier_op_finish(s, TIER_OP_MARK, e->class, e->text);
        break;
    case STREAM_DO_CREATED:
        tier_op_created(s, e);
        break;
    case STREAM_DO_FLUSHED:
        tier_op_flushed(s, e);
        break;
    case STREAM_DO_DISCARDED:
        tier_op_discarded(s, e);
        break;
    }
}

/* The first failure after a success and the first success after one are said, nothing between; and
 * nothing while the store as a whole is in trouble, which is said once for all. */
static void say_trouble(struct tier_stream *s)
{
    const struct stream *core = &s->ship.core;
    bool trouble = core->trouble[0] != '\0';

    if (trouble && !s->ship.said_trouble && !s->tier->ship.open) {
        s->ship.said_trouble = true;
        log_warn("shipping a collection meets trouble, it is tried again",
                 "collection_id=%s err=%s", s->id, core->trouble);
    } else if (!trouble && s->ship.said_trouble) {
        s->ship.said_trouble = false;
        log_info("shipping a collection goes on", "collection_id=%s shipped_lsn=%" PRIu64, s->id,
                 core->shipped_lsn);
    }
}

static void step(struct tier_stream *s, struct stream_event *event)
{
    struct tier *t = s->tier;
    struct stream_effects *effects = &t->ship.effects;
    uint8_t nonce[16];

    t->options.rand->fill(t->options.rand, nonce, sizeof nonce);
    event->now_ms = tier_now_ms(t);
    stream_step(&s->ship.core, event, nonce, effects);
    tier_publish(s); /* before anybody is told */
    for (size_t i = 0; i < effects->count; i++)
        carry_out(s, &effects->items[i]);
    say_trouble(s);
    tier_seal_sweep(s);
}

void tier_feed(struct tier_stream *s, struct stream_event *event)
{
    step(s, event);
    while (s->ship.failed_count > 0) { /* what could not even be asked for is answered now */
        struct stream_event owed;

        s->ship.failed_count--;
        owed = (struct stream_event){
            .kind = tier_event_of(s->ship.failed[s->ship.failed_count].kind),
            .token = s->ship.failed[s->ship.failed_count].token,
            .class = OBJSTORE_TRANSIENT,
            .text = "out of memory",
        };
        step(s, &owed);
    }
}
