/* One step: write down what happened, start what is due, ask for the next tick. */
#include "tiering/stream_internal.h"

#include "base/hash.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

const char *stream_phase_name(enum stream_phase p)
{
    static const char *const NAMES[] = {
        [STREAM_IDLE] = "idle",         [STREAM_CREATING] = "creating",
        [STREAM_TAKING] = "taking",     [STREAM_OWNED] = "owned",
        [STREAM_FOREIGN] = "foreign",   [STREAM_FENCED] = "fenced",
        [STREAM_DIVERGED] = "diverged", [STREAM_ROOT_LOST] = "root_lost",
        [STREAM_DROPPED] = "dropped",   [STREAM_HALTED] = "halted",
    };

    return (size_t)p < COUNT_OF(NAMES) ? NAMES[p] : "unknown";
}

struct stream_effect *stream_emit(struct stream_effects *out, enum stream_effect_kind kind)
{
    struct stream_effect *effect;

    assert(out->count < STREAM_EFFECTS_MAX);
    effect = &out->items[out->count++];
    memset(effect, 0, sizeof *effect);
    effect->kind = kind;
    return effect;
}

uint64_t stream_token(struct stream *s)
{
    return ++s->core.last_token;
}

void stream_wake(struct stream *s, uint64_t at_ms)
{
    if (at_ms < s->core.wake_ms)
        s->core.wake_ms = at_ms;
}

bool stream_twin(const struct stream *s, enum stream_twin twin)
{
    return (s->options.twins & (uint32_t)twin) != 0;
}

bool stream_hard(enum objstore_class class)
{
    return class == OBJSTORE_PERMANENT || class == OBJSTORE_REFRESHABLE ||
           class == OBJSTORE_NOT_FOUND || class == OBJSTORE_INTEGRITY;
}

uint64_t stream_random_below(struct stream *s, uint64_t bound)
{
    s->core.random += 0x9E3779B97F4A7C15u;
    return bound == 0 ? 0 : hash_u64(s->core.random) % bound;
}

uint64_t stream_backoff_ms(struct stream *s, uint32_t failures, uint64_t retry_after_ms)
{
    uint64_t cap = s->options.base_backoff_ms > 0 ? s->options.base_backoff_ms : 1;
    uint64_t wait;

    for (uint32_t i = 1; i < failures && cap < s->options.max_backoff_ms; i++)
        cap *= 2;
    if (cap > s->options.max_backoff_ms && s->options.max_backoff_ms > 0)
        cap = s->options.max_backoff_ms;
    wait = 1 + stream_random_below(s, cap);
    if (retry_after_ms > STREAM_PARKED_RETRY_MS) /* a wish, and it came from outside */
        retry_after_ms = STREAM_PARKED_RETRY_MS;
    return wait > retry_after_ms ? wait : retry_after_ms;
}

void stream_trouble(struct stream *s, const char *what, const struct stream_event *e)
{
    const char *text = e->text;

    if (text == NULL && e->class != OBJSTORE_OK)
        text = objstore_class_name(e->class);
    (void)snprintf(s->trouble, sizeof s->trouble, "%s%s%s", what, text != NULL ? ": " : "",
                   text != NULL ? text : "");
}

static bool phase_refuses(enum stream_phase p)
{
    return p == STREAM_FOREIGN || p == STREAM_FENCED || p == STREAM_DIVERGED ||
           p == STREAM_ROOT_LOST || p == STREAM_DROPPED || p == STREAM_HALTED;
}

void stream_set_phase(struct stream *s, struct stream_effects *out, enum stream_phase phase,
                      const char *format, ...)
{
    char reason[STREAM_REASON_BYTES] = "";
    va_list ap;

    if (format != NULL) {
        va_start(ap, format);
        (void)vsnprintf(reason, sizeof reason, format, ap);
        va_end(ap);
    }
    if (s->phase == phase && strcmp(s->reason, reason) == 0)
        return;
    s->phase = phase;
    memcpy(s->reason, reason, sizeof reason);
    stream_emit(out, STREAM_DO_PHASE)->text = s->reason;
    if (!phase_refuses(phase))
        return;
    commit_refuse(s, out, OBJSTORE_PRECONDITION, s->reason);
    mark_refuse(s, out, OBJSTORE_PRECONDITION, s->reason);
    remote_refuse(s, out);
}

void stream_wait_start(struct stream *s, struct stream_wait *w)
{
    memset(w, 0, sizeof *w);
    w->next_try_ms = s->core.now_ms;
}

bool stream_wait_due(struct stream *s, const struct stream_wait *w)
{
    if (w->token != 0)
        return false;
    if (w->next_try_ms <= s->core.now_ms)
        return true;
    stream_wake(s, w->next_try_ms);
    return false;
}

void stream_wait_failed(struct stream *s, struct stream_wait *w, const char *what,
                        const struct stream_event *e)
{
    w->token = 0;
    w->failures++;
    if (stream_hard(e->class))
        w->hard_failures++;
    w->next_try_ms = s->core.now_ms + stream_backoff_ms(s, w->failures, e->retry_after_ms);
    stream_trouble(s, what, e);
}

void stream_init(struct stream *s, const struct stream_options *options, uint64_t durable_lsn,
                 uint64_t durable_bytes, uint64_t shipped_hint, uint64_t now_ms)
{
    memset(s, 0, sizeof *s);
    assert(options->max_in_flight > 0 && options->max_in_flight <= STREAM_FLIGHT_MAX);
    s->options = *options;
    s->core.now_ms = now_ms;
    s->core.timer_ms = STREAM_NEVER;
    s->core.random = options->seed;
    s->core.hint_lsn = shipped_hint;
    s->shipped_lsn = shipped_hint < durable_lsn ? shipped_hint : durable_lsn;
    s->remote_lsn = s->shipped_lsn;
    s->sealed_lsn = s->shipped_lsn;
    s->durable_lsn = s->shipped_lsn;
    marks_log(s, durable_lsn, durable_bytes);
}

/* A log that ends before the hint has lost what was confirmed: that is looked at at once. */
static bool idle_wants(const struct stream *s)
{
    const struct stream_private *c = &s->core;

    return s->durable_lsn != c->hint_lsn || c->take_wanted || c->commit_wanted || c->mark_wanted ||
           s->remote_wanted_lsn > s->remote_lsn;
}

static void retry_all(struct stream *s, struct stream_effects *out)
{
    s->core.op.wait.next_try_ms = s->core.now_ms;
    s->core.take.wait.next_try_ms = s->core.now_ms;
    ship_retry(s);
    if (s->core.drop_wanted)
        return;
    if (s->phase == STREAM_HALTED || s->phase == STREAM_ROOT_LOST || s->phase == STREAM_FOREIGN)
        owner_take(s, out);
}

static void take_by_command(struct stream *s, struct stream_effects *out)
{
    if (s->phase == STREAM_OWNED || s->phase == STREAM_DROPPED || s->phase == STREAM_CREATING ||
        s->phase == STREAM_DIVERGED || s->core.drop_wanted)
        return;
    s->core.take_by_command = true;
    s->core.take_wanted = true;
    if (s->phase != STREAM_TAKING && s->phase != STREAM_IDLE)
        owner_take(s, out);
}

static void own(struct stream *s, struct stream_effects *out)
{
    if (s->phase == STREAM_IDLE)
        s->core.take_wanted = true;
    else if (s->phase == STREAM_FOREIGN && !s->core.drop_wanted)
        owner_take(s, out);
}

static void on_log(struct stream *s, const struct stream_event *e, struct stream_effects *out)
{
    if (e->lsn < s->sealed_lsn && s->phase == STREAM_OWNED) {
        owner_halt(s, out, "the local log fell back behind what was sealed");
        return;
    }
    marks_log(s, e->lsn, e->bytes);
    if ((s->phase == STREAM_FENCED && s->core.fenced_end_known) || s->phase == STREAM_FOREIGN ||
        s->phase == STREAM_DIVERGED)
        owner_raise_tail(s, out, s->core.diverged_lsn);
}

static void dispatch(struct stream *s, const struct stream_event *e, struct stream_effects *out)
{
    switch (e->kind) {
    case STREAM_TICK:
        break;
    case STREAM_LOG:
        on_log(s, e, out);
        break;
    case STREAM_WANT_REMOTE:
        remote_wanted(s, e->lsn, out);
        break;
    case STREAM_FLUSH:
        remote_flush(s, out);
        break;
    case STREAM_CREATE:
    case STREAM_RECREATE:
        create_start(s, e, out);
        break;
    case STREAM_TAKE:
        take_by_command(s, out);
        break;
    case STREAM_OWN:
        own(s, out);
        break;
    case STREAM_DROP:
        drop_start(s, e, out);
        break;
    case STREAM_RETRY:
        retry_all(s, out);
        break;
    case STREAM_DISCARD:
        ship_discard(s, e, out);
        break;
    case STREAM_COMMIT:
        commit_wanted(s, e, out);
        break;
    case STREAM_MARK:
        mark_wanted(s, e, out);
        break;
    case STREAM_STOP:
        s->core.stopped = true;
        break;
    case STREAM_ROOT_READ:
        op_on_read(s, e, out);
        break;
    case STREAM_ROOT_DONE:
        op_on_written(s, e, out);
        break;
    case STREAM_LISTED:
        take_on_listed(s, e, out);
        break;
    case STREAM_GROUP_READ:
        take_on_group(s, e, out);
        break;
    case STREAM_LOCAL_CHECKED:
        take_on_local(s, e, out);
        break;
    case STREAM_ENCODED:
        ship_on_encoded(s, e, out);
        break;
    case STREAM_PUT_DONE:
        ship_on_put(s, e, out);
        break;
    case STREAM_COMPARED:
        ship_on_compared(s, e, out);
        break;
    }
}

static void calm_trouble(struct stream *s)
{
    if (s->trouble[0] == '\0' || s->core.op.wait.failures > 0 || s->core.take.wait.failures > 0)
        return;
    for (size_t i = 0; i < s->seal_count; i++)
        if (s->seals[i].first_failed_ms != 0)
            return;
    s->trouble[0] = '\0';
}

static void ask_for_tick(struct stream *s, struct stream_effects *out)
{
    struct stream_private *c = &s->core;

    if (c->wake_ms == STREAM_NEVER || c->wake_ms >= c->timer_ms)
        return;
    c->timer_ms = c->wake_ms;
    stream_emit(out, STREAM_DO_TIMER)->at_ms = c->timer_ms;
}

void stream_step(struct stream *s, const struct stream_event *event, const uint8_t nonce[16],
                 struct stream_effects *out)
{
    struct stream_private *c = &s->core;

    out->count = 0;
    c->now_ms = event->now_ms;
    c->wake_ms = STREAM_NEVER;
    if (!stream_twin(s, STREAM_TWIN_REUSE_NONCE) || c->last_token == 0)
        memcpy(c->nonce, nonce, sizeof c->nonce);
    if (c->timer_ms <= c->now_ms)
        c->timer_ms = STREAM_NEVER;

    dispatch(s, event, out);
    if (s->phase == STREAM_IDLE && !c->stopped && !c->drop_wanted && idle_wants(s))
        owner_take(s, out);
    if (s->phase == STREAM_TAKING)
        take_advance(s, out);
    if (s->phase == STREAM_OWNED && !c->drop_wanted) {
        ship_advance(s, out);
        commit_advance(s, out);
        mark_advance(s, out);
        remote_advance(s, out);
    }
    op_advance(s, out);
    calm_trouble(s);
    if (!c->stopped)
        ask_for_tick(s, out);
}

uint64_t stream_lag_ms(const struct stream *s, uint64_t now_ms)
{
    uint64_t since = marks_durable_at(s, s->shipped_lsn);

    return since == STREAM_NEVER || since > now_ms ? 0 : now_ms - since;
}

bool stream_floor(const struct stream *s, struct log_floor *out)
{
    if (s->phase != STREAM_OWNED || s->core.drop_wanted)
        return false;
    *out = (struct log_floor){.lsn = s->shipped_lsn,
                              .epoch = s->root.epoch,
                              .seq = s->core.shipped_seq + 1,
                              .chain = s->core.shipped_chain};
    return true;
}
