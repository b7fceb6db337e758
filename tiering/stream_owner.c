/* Whose the collection is: asking, being told no, losing it, and what is left behind then. The
 * steps between the first CAS and owning are in stream_take.c. */
#include "tiering/stream_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool owner_root_is_ours(const struct stream *s)
{
    return s->core.own_epoch != 0 && s->root.epoch == s->core.own_epoch &&
           memcmp(s->root.session, s->options.session, sizeof s->root.session) == 0;
}

void owner_halt(struct stream *s, struct stream_effects *out, const char *format, ...)
{
    char text[STREAM_REASON_BYTES];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    op_stop(s);
    s->core.take.wait = (struct stream_wait){0};
    ship_reset(s, out);
    stream_set_phase(s, out, STREAM_HALTED, "%s", text);
}

void owner_take(struct stream *s, struct stream_effects *out)
{
    ship_reset(s, out);
    s->core.take_wanted = false;
    s->core.take.step = TAKE_ROOT;
    s->core.take.wait = (struct stream_wait){0};
    op_read(s, OP_TAKE_READ, s->core.now_ms);
    stream_set_phase(s, out, STREAM_TAKING, "taking ownership in the bucket");
}

void owner_root_lost(struct stream *s, struct stream_effects *out)
{
    ship_reset(s, out);
    s->core.take.wait = (struct stream_wait){0};
    op_read(s, OP_LOST_READ, s->core.now_ms + STREAM_PARKED_RETRY_MS);
    stream_set_phase(s, out, STREAM_ROOT_LOST, "the bucket has no root of this collection");
}

static void dropped(struct stream *s, struct stream_effects *out)
{
    ship_reset(s, out);
    stream_set_phase(s, out, STREAM_DROPPED, "dropped in the bucket");
}

static void foreign(struct stream *s, struct stream_effects *out)
{
    stream_set_phase(s, out, STREAM_FOREIGN, "owned by node %.200s", s->root.node_id);
    owner_raise_tail(s, out, s->remote_lsn);
}

/* The first CAS: a new epoch of ours, the one it replaces among those whose end is not recorded. */
static void take_cas(struct stream *s, struct stream_effects *out)
{
    struct root *next = &s->core.op.next;

    if (s->root.open_count == ROOT_OPEN_MAX) {
        owner_halt(s, out, "%d epochs are open in the root: taking failed too often",
                   (int)ROOT_OPEN_MAX);
        return;
    }
    s->core.taken_revision = s->root.revision;
    *next = s->root;
    next->open[next->open_count++] = next->epoch;
    next->epoch++;
    memset(next->node_id, 0, sizeof next->node_id);
    (void)snprintf(next->node_id, sizeof next->node_id, "%s", s->options.node_id);
    memcpy(next->session, s->options.session, sizeof next->session);
    s->core.compared = false;
    s->core.take.step = TAKE_ROOT;
    s->core.take.wait = (struct stream_wait){0};
    op_write(s, OP_TAKE);
    stream_set_phase(s, out, STREAM_TAKING, "taking ownership in the bucket");
}

/* s->root was read in order to take it. */
void owner_root_known(struct stream *s, struct stream_effects *out)
{
    bool named = strncmp(s->root.node_id, s->options.node_id, sizeof s->root.node_id) == 0;
    bool session = memcmp(s->root.session, s->options.session, sizeof s->root.session) == 0;

    if (s->root.state == ROOT_DROPPED)
        dropped(s, out);
    else if (s->core.own_epoch != 0 && !session && !s->core.take_by_command)
        owner_fenced(s, out);
    else if (!named && !s->options.take_ownership && !s->core.take_by_command)
        foreign(s, out);
    else
        take_cas(s, out);
}

void owner_taken(struct stream *s, struct stream_effects *out, bool won)
{
    if (!won) {
        owner_root_known(s, out);
        return;
    }
    s->core.own_epoch = s->core.op.next.epoch;
    if (s->root.state == ROOT_DROPPED)
        dropped(s, out);
    else if (!owner_root_is_ours(s))
        owner_fenced(s, out);
    else
        take_begin(s, out);
}

void owner_closed(struct stream *s, struct stream_effects *out, bool won)
{
    if (s->root.state == ROOT_DROPPED)
        dropped(s, out);
    else if (!owner_root_is_ours(s))
        owner_fenced(s, out);
    else if (won)
        take_finish(s, out);
    else
        take_begin(s, out); /* someone changed something else: from its lists again */
}

void owner_still_taking(struct stream *s, struct stream_effects *out)
{
    if (s->root.state == ROOT_DROPPED)
        dropped(s, out);
    else if (!owner_root_is_ours(s))
        owner_fenced(s, out);
    else
        take_begin(s, out);
}

void owner_owned(struct stream *s, struct stream_effects *out, uint64_t lsn, uint64_t chain)
{
    struct stream_private *c = &s->core;

    s->shipped_bytes = marks_bytes_at(s, lsn, s->shipped_bytes);
    if (lsn >= s->durable_lsn)
        s->shipped_bytes = s->durable_bytes;
    if (stream_twin(s, STREAM_TWIN_CURSOR_FROM_LOCAL))
        lsn = s->durable_lsn;
    c->compared = true;
    c->take_by_command = false;
    c->fenced_end_known = false;
    c->diverged_lsn = 0;
    s->shipped_lsn = lsn;
    c->shipped_chain = chain;
    c->shipped_seq = 0;
    s->sealed_lsn = lsn;
    c->sealed_bytes = s->shipped_bytes;
    s->chain = chain;
    s->next_seq = 1;
    c->remote_since_ms = c->now_ms;
    c->fenced_at_ms = c->now_ms;
    marks_shipped(s);
    stream_set_phase(s, out, STREAM_OWNED, NULL);
    remote_moved(s, out, lsn, chain);
}

/* --- after having owned --- */

void owner_raise_tail(struct stream *s, struct stream_effects *out, uint64_t lsn)
{
    struct stream_private *c = &s->core;
    struct stream_effect *effect;

    if (lsn < c->diverged_lsn)
        lsn = c->diverged_lsn;
    c->diverged_lsn = lsn;
    if (s->durable_lsn <= lsn)
        return;
    effect = stream_emit(out, STREAM_DO_DIVERGED);
    effect->epoch = c->own_epoch != 0 ? c->own_epoch : s->root.epoch;
    effect->first_lsn = lsn + 1;
    effect->last_lsn = s->durable_lsn;
    c->diverged_lsn = s->durable_lsn;
}

/* Where our epoch was closed. False: it is not yet. What cannot be told is told too low: a letter
 * for too much, never for too little. */
static bool fenced_end(const struct stream *s, uint64_t *end)
{
    const struct stream_private *c = &s->core;
    const struct root *r = &s->root;

    for (size_t i = 0; i < r->open_count; i++)
        if (r->open[i] == c->own_epoch)
            return false;
    *end = s->remote_lsn;
    for (size_t i = 0; i < r->lineage_count && c->compared; i++)
        if (r->lineages[i].epoch == c->own_epoch && r->lineages[i].last_lsn > *end)
            *end = r->lineages[i].last_lsn;
    return true;
}

void owner_fenced_read(struct stream *s, struct stream_effects *out)
{
    struct stream_private *c = &s->core;
    uint64_t end;

    if (s->root.state == ROOT_DROPPED) {
        dropped(s, out);
        return;
    }
    if (fenced_end(s, &end)) {
        c->fenced_end_known = true;
        owner_raise_tail(s, out, end);
        return;
    }
    op_read(s, OP_FENCED_READ, c->now_ms + c->fenced_wait_ms);
    c->fenced_wait_ms *= 2;
    if (c->fenced_wait_ms > STREAM_FENCED_WAIT_MAX_MS)
        c->fenced_wait_ms = STREAM_FENCED_WAIT_MAX_MS;
}

void owner_fenced(struct stream *s, struct stream_effects *out)
{
    op_stop(s);
    s->core.take.wait = (struct stream_wait){0};
    ship_reset(s, out);
    if (s->root.state == ROOT_DROPPED) {
        dropped(s, out);
        return;
    }
    if (s->root.epoch <= s->core.own_epoch) {
        owner_halt(s, out, "epoch %" PRIu64 " is in two hands: the root names another session",
                   s->root.epoch);
        return;
    }
    s->core.take_by_command = false;
    s->core.fenced_end_known = false;
    s->core.fenced_wait_ms = STREAM_FENCED_WAIT_MS;
    stream_set_phase(s, out, STREAM_FENCED, "node %.120s took it over with epoch %" PRIu64,
                     s->root.node_id, s->root.epoch);
    owner_fenced_read(s, out);
}
