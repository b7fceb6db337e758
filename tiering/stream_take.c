/* Between the first CAS and owning: every open epoch's run is listed and read at both ends, the
 * second CAS records where each ends, and the local log is compared with the last end. */
#include "tiering/stream_internal.h"

#include <inttypes.h>
#include <string.h>

static uint64_t take_epoch(const struct stream *s)
{
    const struct stream_take *t = &s->core.take;

    return t->step == TAKE_TAIL ? t->tail_epoch : s->root.open[t->index];
}

static uint64_t take_seq(const struct stream *s)
{
    const struct stream_take *t = &s->core.take;

    if (t->step == TAKE_FIRST)
        return t->first;
    return t->step == TAKE_TAIL ? t->tail_seq : t->run;
}

static void take_go(struct stream *s, enum take_step step)
{
    s->core.take.step = step;
    s->core.take.bad = 0;
    stream_wait_start(s, &s->core.take.wait);
}

/* The second CAS. Lineages that lie before the floor are of no use to anyone and make room. */
static void take_close(struct stream *s, struct stream_effects *out)
{
    struct stream_take *t = &s->core.take;
    struct root *next = &s->core.op.next;

    *next = s->root;
    while (next->lineage_count > ROOT_LINEAGES_MAX / 2 &&
           next->lineages[0].epoch < next->floor.epoch) {
        next->lineage_count--;
        memmove(next->lineages, next->lineages + 1, next->lineage_count * sizeof next->lineages[0]);
    }
    if (next->lineage_count + t->found_count > ROOT_LINEAGES_MAX) {
        owner_halt(s, out, "the root holds %zu lineages and has no room for %zu more",
                   next->lineage_count, t->found_count);
        return;
    }
    for (size_t i = 0; i < t->found_count; i++)
        next->lineages[next->lineage_count++] = t->found[i];
    next->open_count = 0;
    t->step = TAKE_ROOT;
    t->wait = (struct stream_wait){0};
    op_write(s, OP_CLOSE);
}

static void take_next_epoch(struct stream *s, struct stream_effects *out)
{
    const struct log_floor *floor = &s->root.floor;
    struct stream_take *t = &s->core.take;

    if (t->index == s->root.open_count) {
        take_close(s, out);
        return;
    }
    t->first = s->root.open[t->index] == floor->epoch ? floor->seq : 1;
    take_go(s, TAKE_LIST);
}

void take_begin(struct stream *s, struct stream_effects *out)
{
    struct stream_take *t = &s->core.take;

    memset(t, 0, sizeof *t);
    root_end(&s->root, &t->end_lsn, &t->end_chain);
    if (stream_twin(s, STREAM_TWIN_FORGET_OPEN) && s->root.open_count > 1)
        t->index = s->root.open_count - 1;
    take_next_epoch(s, out);
}

/* Everything is closed: the end is what the root says. */
void take_finish(struct stream *s, struct stream_effects *out)
{
    struct stream_take *t = &s->core.take;
    const struct lineage *newest;

    (void)out;
    root_end(&s->root, &t->end_lsn, &t->end_chain);
    newest = s->root.lineage_count > 0 ? &s->root.lineages[s->root.lineage_count - 1] : NULL;
    if (newest == NULL || newest->last_lsn <= s->root.floor.lsn) { /* its group may be gone */
        t->tail_seq = 0;
        take_go(s, TAKE_CHECK);
        return;
    }
    if (t->tail_epoch == newest->epoch && t->tail_seq == newest->end_seq) {
        take_go(s, TAKE_CHECK);
        return;
    }
    t->tail_epoch = newest->epoch;
    t->tail_seq = newest->end_seq;
    take_go(s, TAKE_TAIL);
}

void take_advance(struct stream *s, struct stream_effects *out)
{
    struct stream_take *t = &s->core.take;
    struct stream_effect *effect;

    if (t->step == TAKE_ROOT || s->core.stopped || s->core.drop_wanted ||
        !stream_wait_due(s, &t->wait))
        return;
    t->wait.token = stream_token(s);
    if (t->step == TAKE_LIST) {
        effect = stream_emit(out, STREAM_DO_LIST);
        effect->epoch = take_epoch(s);
        effect->seq = t->first;
    } else if (t->step == TAKE_CHECK) {
        effect = stream_emit(out, STREAM_DO_CHECK_LOCAL);
        effect->epoch = t->tail_epoch;
        effect->seq = t->tail_seq;
        effect->gap = t->tail_gap;
        effect->first_lsn = t->tail_first_lsn;
        effect->last_lsn = t->end_lsn;
        effect->chain_before = t->tail_chain_before;
        effect->chain = t->end_chain;
    } else {
        effect = stream_emit(out, STREAM_DO_READ_GROUP);
        effect->epoch = take_epoch(s);
        effect->seq = take_seq(s);
    }
    effect->token = t->wait.token;
}

static bool take_expects(const struct stream *s, const struct stream_event *e, bool step)
{
    return s->phase == STREAM_TAKING && step && e->token != 0 &&
           e->token == s->core.take.wait.token;
}

void take_on_listed(struct stream *s, const struct stream_event *e, struct stream_effects *out)
{
    struct stream_take *t = &s->core.take;

    if (!take_expects(s, e, t->step == TAKE_LIST))
        return;
    if (e->class != OBJSTORE_OK) {
        stream_wait_failed(s, &t->wait, "list groups", e);
        return;
    }
    t->run = e->end_seq;
    if (t->run >= t->first) {
        take_go(s, TAKE_FIRST);
        return;
    }
    t->index++;
    take_next_epoch(s, out);
}

static void group_is_bad(struct stream *s, struct stream_effects *out, const struct stream_event *e,
                         const char *why)
{
    uint64_t epoch = take_epoch(s), seq = take_seq(s);
    struct stream_effect *letter = stream_emit(out, STREAM_DO_LETTER);

    stream_trouble(s, why, e);
    letter->epoch = epoch;
    letter->seq = seq;
    letter->first_lsn = s->core.take.end_lsn + 1;
    letter->attempts = s->core.take.bad;
    letter->class = OBJSTORE_INTEGRITY;
    letter->text = s->trouble;
    owner_halt(s, out, "group %" PRIu64 " of epoch %" PRIu64 ": %s", seq, epoch, why);
}

/* Group e of the run: where the epoch ends. */
static void run_ends(struct stream *s, const struct stream_event *e, struct stream_effects *out)
{
    struct stream_take *t = &s->core.take;

    t->tail_epoch = take_epoch(s);
    t->tail_seq = t->run;
    t->tail_first_lsn = e->first_lsn;
    t->tail_chain_before = e->chain_before;
    t->tail_gap = e->gap;
    t->found[t->found_count++] = (struct lineage){
        .epoch = t->tail_epoch, .end_seq = t->run, .last_lsn = e->last_lsn, .chain = e->chain};
    t->end_lsn = e->last_lsn;
    t->end_chain = e->chain;
    t->index++;
    take_next_epoch(s, out);
}

static void group_known(struct stream *s, const struct stream_event *e, struct stream_effects *out)
{
    struct stream_take *t = &s->core.take;

    if (t->step == TAKE_TAIL) {
        if (e->last_lsn != t->end_lsn || e->chain != t->end_chain) {
            group_is_bad(s, out, e, "does not end where the root says");
            return;
        }
        t->tail_first_lsn = e->first_lsn;
        t->tail_chain_before = e->chain_before;
        t->tail_gap = e->gap;
        take_go(s, TAKE_CHECK);
        return;
    }
    if (t->step == TAKE_FIRST &&
        (e->first_lsn != t->end_lsn + 1 || e->chain_before != t->end_chain)) {
        group_is_bad(s, out, e, "does not begin where the epoch before it ends");
        return;
    }
    if (e->last_lsn <= t->end_lsn) {
        group_is_bad(s, out, e, "lies before the end of the epoch before it");
        return;
    }
    if (t->step == TAKE_FIRST && t->run > t->first)
        take_go(s, TAKE_LAST);
    else
        run_ends(s, e, out);
}

void take_on_group(struct stream *s, const struct stream_event *e, struct stream_effects *out)
{
    struct stream_take *t = &s->core.take;

    if (!take_expects(s, e, t->step == TAKE_FIRST || t->step == TAKE_LAST || t->step == TAKE_TAIL))
        return;
    if (e->class == OBJSTORE_OK) {
        group_known(s, e, out);
        return;
    }
    if (e->class == OBJSTORE_NOT_FOUND && stream_twin(s, STREAM_TWIN_TRUST_404) &&
        t->step != TAKE_TAIL) {
        t->index++;
        take_next_epoch(s, out);
        return;
    }
    stream_wait_failed(s, &t->wait, "read group", e);
    if (e->class == OBJSTORE_NOT_FOUND && t->wait.failures >= STREAM_ROOT_MISSES) {
        uint64_t at = t->wait.next_try_ms; /* a later owner may have moved the floor past it */

        t->step = TAKE_ROOT;
        op_read(s, OP_TAKE_AGAIN, at);
        return;
    }
    if (e->class != OBJSTORE_INTEGRITY) {
        t->bad = 0;
        return;
    }
    if (++t->bad > 1)
        group_is_bad(s, out, e, "its bytes are wrong");
}

void take_on_local(struct stream *s, const struct stream_event *e, struct stream_effects *out)
{
    struct stream_take *t = &s->core.take;

    if (!take_expects(s, e, t->step == TAKE_CHECK))
        return;
    if (e->class != OBJSTORE_OK) {
        stream_wait_failed(s, &t->wait, "compare the local log", e);
        return;
    }
    t->wait = (struct stream_wait){0};
    if (e->local == STREAM_LOCAL_AHEAD) {
        owner_halt(s, out,
                   "the bucket ends at lsn %" PRIu64
                   ", before what it had confirmed: was an older state of it brought back?",
                   t->end_lsn);
        return;
    }
    if (e->local != STREAM_LOCAL_SAME && s->root.state == ROOT_SWITCHING) {
        owner_halt(s, out,
                   "the local log is not the bucket's at lsn %" PRIu64
                   ", and without its base the bucket cannot be loaded from",
                   t->end_lsn);
        return;
    }
    if (e->local == STREAM_LOCAL_SAME) {
        owner_owned(s, out, t->end_lsn, t->end_chain);
        return;
    }
    if (e->local == STREAM_LOCAL_DIVERGED) {
        stream_set_phase(s, out, STREAM_DIVERGED,
                         "the local log and the bucket's part before lsn %" PRIu64, t->end_lsn);
        owner_raise_tail(s, out, e->lsn);
        return;
    }
    stream_set_phase(s, out, STREAM_DIVERGED,
                     "the local log ends before the bucket's end, lsn %" PRIu64, t->end_lsn);
    owner_raise_tail(s, out, s->remote_lsn); /* what became durable since it was compared */
}
