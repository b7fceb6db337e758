/* Remote acknowledgements: what is shipped counts once a root read that began later still shows our
 * epoch and session (docs/protocol.md, rule 5). One read serves all that wait. */
#include "tiering/stream_internal.h"

void remote_moved(struct stream *s, struct stream_effects *out, uint64_t lsn, uint64_t chain)
{
    struct stream_private *c = &s->core;
    struct stream_effect *effect;

    s->remote_lsn = lsn;
    c->remote_chain = chain;
    if (c->remote_first_lsn <= lsn)
        c->remote_first_lsn = lsn + 1;
    effect = stream_emit(out, STREAM_DO_REMOTE);
    effect->lsn = lsn;
    effect->chain = chain;
    if (c->flush_wanted && c->flush_lsn <= lsn) {
        c->flush_wanted = false;
        stream_emit(out, STREAM_DO_FLUSHED)->lsn = c->flush_lsn;
    }
}

void remote_fence_seen(struct stream *s, struct stream_effects *out)
{
    struct stream_private *c = &s->core;

    if (s->phase != STREAM_OWNED)
        return;
    if ((!owner_root_is_ours(s) || s->root.state == ROOT_DROPPED) &&
        !stream_twin(s, STREAM_TWIN_SKIP_EPOCH_CHECK)) {
        owner_fenced(s, out);
        return;
    }
    if (c->fence_lsn > s->remote_lsn)
        remote_moved(s, out, c->fence_lsn, c->fence_chain);
}

/* At once where somebody waits, else every few seconds while groups are stored, or fail to be. */
static bool fence_due(struct stream *s)
{
    struct stream_private *c = &s->core;
    uint64_t since = c->fenced_at_ms;

    if (s->shipped_lsn <= s->remote_lsn) {
        if (s->seal_count == 0 || s->seals[0].first_failed_ms == 0)
            return false;
        if (s->seals[0].first_failed_ms > since)
            since = s->seals[0].first_failed_ms;
    } else if ((s->remote_wanted_lsn > s->remote_lsn && c->remote_first_lsn <= s->shipped_lsn) ||
               (c->flush_wanted && c->flush_lsn <= s->shipped_lsn)) {
        return true;
    }
    if (since + STREAM_FENCE_READ_MS <= c->now_ms)
        return true;
    stream_wake(s, since + STREAM_FENCE_READ_MS);
    return false;
}

void remote_advance(struct stream *s, struct stream_effects *out)
{
    struct stream_private *c = &s->core;

    if (stream_twin(s, STREAM_TWIN_SKIP_FENCE_READ) && s->shipped_lsn > s->remote_lsn)
        remote_moved(s, out, s->shipped_lsn, c->shipped_chain);
    if (c->stopped || !op_idle(s) || !fence_due(s))
        return;
    c->fence_lsn = s->shipped_lsn;
    c->fence_chain = c->shipped_chain;
    c->fenced_at_ms = c->now_ms;
    op_read(s, OP_FENCE, c->now_ms);
}

void remote_wanted(struct stream *s, uint64_t lsn, struct stream_effects *out)
{
    struct stream_private *c = &s->core;
    struct stream_effect *effect;

    if (lsn <= s->remote_lsn) {
        effect = stream_emit(out, STREAM_DO_REMOTE);
        effect->lsn = s->remote_lsn;
        effect->chain = c->remote_chain;
        return;
    }
    if (s->remote_wanted_lsn <= s->remote_lsn || lsn < c->remote_first_lsn)
        c->remote_first_lsn = lsn;
    if (lsn <= s->remote_wanted_lsn)
        return;
    if (s->remote_wanted_lsn <= s->sealed_lsn)
        c->remote_since_ms = c->now_ms;
    s->remote_wanted_lsn = lsn;
}

void remote_flush(struct stream *s, struct stream_effects *out)
{
    struct stream_private *c = &s->core;

    c->flush_lsn = s->durable_lsn;
    c->flush_wanted = true;
    if (c->flush_lsn <= s->remote_lsn) {
        c->flush_wanted = false;
        stream_emit(out, STREAM_DO_FLUSHED)->lsn = c->flush_lsn;
        return;
    }
    if (s->phase != STREAM_IDLE && s->phase != STREAM_CREATING && s->phase != STREAM_TAKING &&
        s->phase != STREAM_OWNED)
        remote_refuse(s, out);
}

void remote_refuse(struct stream *s, struct stream_effects *out)
{
    struct stream_private *c = &s->core;
    struct stream_effect *effect;

    if (!c->flush_wanted)
        return;
    c->flush_wanted = false;
    effect = stream_emit(out, STREAM_DO_FLUSHED);
    effect->lsn = c->flush_lsn;
    effect->class = OBJSTORE_PRECONDITION;
    effect->text = s->reason;
}
