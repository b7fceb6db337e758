/* Seals: when one is made, what is asked for it, and how the run without holes moves. Sealing goes
 * one by one, as where a seal begins is known once the one before it is encoded; putting does not.
 */
#include "tiering/stream_internal.h"

#include "segment/group.h"

#include <inttypes.h>
#include <string.h>

static bool seal_letter(const struct stream *s)
{
    for (size_t i = 0; i < s->seal_count; i++)
        if (s->seals[i].letter)
            return true;
    return false;
}

static struct stream_effect *seal_effect(const struct stream *s, const struct stream_seal *seal,
                                         struct stream_effects *out, enum stream_effect_kind kind)
{
    struct stream_effect *effect = stream_emit(out, kind);

    effect->epoch = s->core.own_epoch;
    effect->seq = seal->seq;
    effect->first_lsn = seal->first_lsn;
    effect->last_lsn = seal->last_lsn;
    effect->chain_before = seal->chain_before;
    effect->chain = seal->chain;
    effect->crc = seal->crc;
    effect->gap = seal->gap;
    effect->drop = seal->gap_drop;
    effect->attempts = seal->attempts;
    return effect;
}

void ship_reset(struct stream *s, struct stream_effects *out)
{
    struct stream_effect *effect;

    for (size_t i = 0; i < s->seal_count; i++) {
        if (s->seals[i].gap) {
            effect = seal_effect(s, &s->seals[i], out, STREAM_DO_DISCARDED);
            effect->class = OBJSTORE_CANCELLED;
            effect->text = "ownership changed while it was discarded";
        }
        if (s->seals[i].letter)
            (void)seal_effect(s, &s->seals[i], out, STREAM_DO_LETTER_OUT);
    }
    s->seal_count = 0;
    s->sealed_lsn = s->shipped_lsn;
    s->chain = s->core.shipped_chain;
}

void ship_retry(struct stream *s)
{
    for (size_t i = 0; i < s->seal_count; i++)
        if (s->seals[i].token == 0)
            s->seals[i].next_try_ms = s->core.now_ms;
}

/* --- making seals --- */

static bool seal_due(struct stream *s)
{
    struct stream_private *c = &s->core;
    uint64_t linger = c->remote_since_ms + STREAM_REMOTE_LINGER_MS;
    uint64_t aged;

    if (s->durable_lsn <= s->sealed_lsn)
        return false;
    if (s->durable_bytes - c->sealed_bytes >= s->options.group_bytes)
        return true;
    if (c->flush_wanted && c->flush_lsn > s->sealed_lsn)
        return true;
    if (s->remote_wanted_lsn > s->sealed_lsn) {
        if (s->seal_count == 0 || linger <= c->now_ms)
            return true;
        stream_wake(s, linger);
    }
    aged = marks_durable_at(s, s->sealed_lsn);
    if (aged == STREAM_NEVER || aged + s->options.rpo_ms <= c->now_ms)
        return true;
    stream_wake(s, aged + s->options.rpo_ms);
    return false;
}

static void seal_make(struct stream *s)
{
    struct stream_seal *seal;

    if (s->seal_count >= s->options.max_in_flight || seal_letter(s) ||
        (s->seal_count > 0 && !s->seals[s->seal_count - 1].encoded) || !seal_due(s))
        return;
    seal = &s->seals[s->seal_count++];
    memset(seal, 0, sizeof *seal);
    seal->seq = s->next_seq++;
    seal->first_lsn = s->sealed_lsn + 1;
    seal->last_lsn = s->durable_lsn;
    seal->chain_before = s->chain;
    seal->next_try_ms = s->core.now_ms;
}

/* Later seals begin behind this one. */
static void seal_encoded(struct stream *s, const struct stream_seal *seal)
{
    struct stream_private *c = &s->core;

    s->sealed_lsn = seal->last_lsn;
    s->chain = seal->chain;
    c->sealed_bytes += seal->bytes;
    if (c->sealed_bytes > s->durable_bytes || s->sealed_lsn >= s->durable_lsn)
        c->sealed_bytes = s->durable_bytes;
    c->remote_since_ms = c->now_ms;
}

/* --- asking for what is due --- */

static void seal_send(struct stream *s, struct stream_seal *seal, struct stream_effects *out)
{
    enum stream_effect_kind kind = STREAM_DO_PUT_GROUP;

    if (seal->state == SEAL_STORED || seal->token != 0)
        return;
    if (seal->next_try_ms > s->core.now_ms) {
        stream_wake(s, seal->next_try_ms);
        return;
    }
    if (seal->state == SEAL_COMPARING)
        kind = STREAM_DO_COMPARE;
    else
        seal->state = SEAL_SENT;
    if (!seal->encoded)
        kind = STREAM_DO_ENCODE;
    seal->token = stream_token(s);
    seal_effect(s, seal, out, kind)->token = seal->token;
}

/* --- the run without holes --- */

static void seal_shipped(struct stream *s, const struct stream_seal *seal,
                         struct stream_effects *out)
{
    struct stream_private *c = &s->core;

    s->shipped_lsn = seal->last_lsn;
    s->shipped_bytes += seal->bytes;
    if (s->shipped_bytes > s->durable_bytes || s->shipped_lsn >= s->durable_lsn)
        s->shipped_bytes = s->durable_bytes;
    c->shipped_seq = seal->seq;
    c->shipped_chain = seal->chain;
    if (seal->gap)
        (void)seal_effect(s, seal, out, STREAM_DO_DISCARDED);
    if (seal->letter)
        (void)seal_effect(s, seal, out, STREAM_DO_LETTER_OUT);
}

/* A broken twin: the last stored group counts, whatever is missing before it. */
static void over_holes(struct stream *s)
{
    for (size_t i = 0; i < s->seal_count; i++)
        if (s->seals[i].state == SEAL_STORED && s->seals[i].last_lsn > s->shipped_lsn) {
            s->shipped_lsn = s->seals[i].last_lsn;
            s->core.shipped_chain = s->seals[i].chain;
        }
}

static void ship_run(struct stream *s, struct stream_effects *out)
{
    uint64_t before = s->shipped_lsn;
    struct stream_effect *effect;
    size_t gone = 0;

    while (gone < s->seal_count && s->seals[gone].state == SEAL_STORED)
        seal_shipped(s, &s->seals[gone++], out);
    s->seal_count -= gone;
    memmove(s->seals, s->seals + gone, s->seal_count * sizeof s->seals[0]);
    if (stream_twin(s, STREAM_TWIN_ADVANCE_OVER_HOLE))
        over_holes(s);
    if (s->shipped_lsn == before)
        return;
    marks_shipped(s);
    effect = stream_emit(out, STREAM_DO_SHIPPED);
    effect->lsn = s->shipped_lsn;
    effect->chain = s->core.shipped_chain;
}

void ship_advance(struct stream *s, struct stream_effects *out)
{
    ship_run(s, out);
    if (s->core.stopped)
        return;
    seal_make(s);
    for (size_t i = 0; i < s->seal_count; i++)
        seal_send(s, &s->seals[i], out);
}

/* --- what came of it --- */

static struct stream_seal *seal_of(struct stream *s, uint64_t token)
{
    for (size_t i = 0; i < s->seal_count && token != 0; i++)
        if (s->seals[i].token == token)
            return &s->seals[i];
    return NULL;
}

static void seal_park(struct stream *s, struct stream_seal *seal, const struct stream_event *e,
                      struct stream_effects *out)
{
    struct stream_effect *effect;

    seal->state = SEAL_PARKED;
    seal->letter = true;
    seal->next_try_ms = s->core.now_ms + STREAM_PARKED_RETRY_MS +
                        stream_random_below(s, STREAM_PARKED_RETRY_MS / 10);
    effect = seal_effect(s, seal, out, STREAM_DO_LETTER);
    effect->class = e->class;
    effect->text = s->trouble;
}

static void seal_failed(struct stream *s, struct stream_seal *seal, const char *what,
                        const struct stream_event *e, struct stream_effects *out)
{
    seal->token = 0;
    if (seal->state == SEAL_SENT)
        seal->state = SEAL_WAITING;
    seal->attempts++;
    if (seal->first_failed_ms == 0)
        seal->first_failed_ms = s->core.now_ms;
    if (stream_hard(e->class))
        seal->hard_failures++;
    if (e->class == OBJSTORE_INTEGRITY)
        seal->integrity_failures++;
    stream_trouble(s, what, e);
    if (stream_hard(e->class) &&
        (seal->integrity_failures > 1 || seal->hard_failures > s->options.max_retries)) {
        seal_park(s, seal, e, out);
        return;
    }
    seal->next_try_ms = s->core.now_ms + stream_backoff_ms(s, seal->attempts, e->retry_after_ms);
}

void ship_on_encoded(struct stream *s, const struct stream_event *e, struct stream_effects *out)
{
    struct stream_seal *seal = seal_of(s, e->token);

    if (seal == NULL || seal->encoded)
        return;
    if (e->class != OBJSTORE_OK) {
        seal_failed(s, seal, "read the local log", e, out);
        return;
    }
    if (e->last_lsn < seal->first_lsn || e->last_lsn > seal->last_lsn) {
        owner_halt(s, out, "group of lsn %" PRIu64 " was encoded up to %" PRIu64, seal->first_lsn,
                   e->last_lsn);
        return;
    }
    seal->last_lsn = e->last_lsn;
    seal->chain = e->chain;
    seal->crc = e->crc;
    seal->bytes = e->bytes;
    seal->encoded = true;
    seal->token = 0;
    seal->attempts = 0;
    seal->state = SEAL_WAITING;
    seal->next_try_ms = s->core.now_ms;
    seal_encoded(s, seal);
}

static void seal_stored(struct stream_seal *seal)
{
    seal->token = 0;
    seal->state = SEAL_STORED;
    seal->first_failed_ms = 0;
}

void ship_on_put(struct stream *s, const struct stream_event *e, struct stream_effects *out)
{
    struct stream_seal *seal = seal_of(s, e->token);

    if (seal == NULL || !seal->encoded || seal->state != SEAL_SENT)
        return;
    if (e->class == OBJSTORE_OK) {
        seal_stored(seal);
        return;
    }
    if (e->class == OBJSTORE_PRECONDITION) {
        seal->token = 0;
        seal->state = SEAL_COMPARING;
        seal->next_try_ms = s->core.now_ms;
        return;
    }
    seal_failed(s, seal, "put group", e, out);
}

void ship_on_compared(struct stream *s, const struct stream_event *e, struct stream_effects *out)
{
    struct stream_seal *seal = seal_of(s, e->token);
    struct stream_effect *effect;

    if (seal == NULL || seal->state != SEAL_COMPARING)
        return;
    if (e->class == OBJSTORE_PRECONDITION) {
        owner_halt(s, out, "group %" PRIu64 " of epoch %" PRIu64 " holds other bytes than ours",
                   seal->seq, s->core.own_epoch);
        return;
    }
    if (e->class == OBJSTORE_NOT_FOUND) { /* 412 and then nothing: it is put again */
        seal->state = SEAL_WAITING;
        seal->token = 0;
        seal->attempts++;
        seal->next_try_ms = s->core.now_ms + stream_backoff_ms(s, seal->attempts, 0);
        return;
    }
    if (e->class != OBJSTORE_OK) {
        seal_failed(s, seal, "compare group", e, out);
        return;
    }
    if (seal->gap && e->original) {
        seal->gap = false;
        effect = seal_effect(s, seal, out, STREAM_DO_DISCARDED);
        effect->text = "it had been stored after all";
    }
    seal_stored(seal);
}

/* --- discarding --- */

static struct stream_seal *seal_parked(struct stream *s, uint64_t first_lsn, uint64_t last_lsn)
{
    for (size_t i = 0; i < s->seal_count; i++) {
        struct stream_seal *seal = &s->seals[i];

        if (seal->letter && seal->state != SEAL_STORED && seal->first_lsn == first_lsn &&
            seal->last_lsn == last_lsn)
            return seal;
    }
    return NULL;
}

void ship_discard(struct stream *s, const struct stream_event *e, struct stream_effects *out)
{
    struct stream_seal *seal = seal_parked(s, e->first_lsn, e->last_lsn);
    struct stream_effect *effect;

    if (seal == NULL || s->phase != STREAM_OWNED) {
        effect = stream_emit(out, STREAM_DO_DISCARDED);
        effect->class = OBJSTORE_NOT_FOUND;
        effect->first_lsn = e->first_lsn;
        effect->last_lsn = e->last_lsn;
        effect->text = "no group with exactly these lsns is parked";
        return;
    }
    seal->gap = true;
    seal->gap_drop = e->drop;
    seal->state = SEAL_WAITING;
    seal->token = 0;
    seal->hard_failures = 0;
    seal->integrity_failures = 0;
    seal->next_try_ms = s->core.now_ms;
    if (seal->encoded)
        return;
    seal->encoded = true;
    seal->chain = group_chain_gap(seal->chain_before, seal->first_lsn, seal->last_lsn);
    seal_encoded(s, seal);
}
