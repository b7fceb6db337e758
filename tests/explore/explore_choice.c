/* What may happen next, and doing it. The order of the list is what a path is remembered by. */
#include "explore.h"

#include "tiering/stream_internal.h"

#include <string.h>

static void add(struct ex_choice *out, size_t *count, enum ex_choice_kind kind, size_t node,
                size_t at)
{
    out[(*count)++] =
        (struct ex_choice){.kind = (uint8_t)kind, .node = (uint8_t)node, .at = (uint8_t)at};
}

static bool writes(const struct ex_request *r)
{
    return r->kind == STREAM_DO_PUT_GROUP || r->kind == STREAM_DO_PUT_ROOT;
}

/* Effect and answer in one: README.md says why. */
static bool together(const struct ex_world *w, const struct ex_node *n, const struct ex_request *r)
{
    if (w->bounds->apart)
        return false;
    return n->s->phase != STREAM_OWNED || r->kind == STREAM_DO_COMPARE;
}

static void list_requests(const struct ex_world *w, size_t node, struct ex_choice *out,
                          size_t *count)
{
    const struct ex_node *n = &w->node[node];

    for (size_t i = 0; i < n->req_count; i++) {
        const struct ex_request *r = &n->req[i];

        if (r->applied)
            add(out, count, EX_ANSWER, node, i);
        else
            add(out, count, together(w, n, r) ? EX_BOTH : EX_APPLY, node, i);
    }
}

static void list_timers(const struct ex_node *n, size_t node, struct ex_choice *out, size_t *count)
{
    const struct stream *s = n->s;
    bool fence =
        s->shipped_lsn > s->remote_lsn || (s->seal_count > 0 && s->seals[0].first_failed_ms != 0);

    if (s->core.op.purpose != OP_NONE && s->core.op.wait.token == 0)
        add(out, count, EX_TIMER, node, 0);
    if (s->phase == STREAM_TAKING && s->core.take.step != TAKE_ROOT && s->core.take.wait.token == 0)
        add(out, count, EX_TIMER, node, 1);
    for (size_t i = 0; i < s->seal_count; i++)
        if (s->seals[i].token == 0 && s->seals[i].state != SEAL_STORED)
            add(out, count, EX_TIMER, node, 2 + i);
    if (s->phase == STREAM_OWNED && s->core.op.purpose == OP_NONE && fence)
        add(out, count, EX_TIMER, node, EX_TIMER_FENCE);
}

static void list_faults(const struct ex_world *w, size_t node, struct ex_choice *out, size_t *count)
{
    const struct ex_node *n = &w->node[node];

    for (size_t i = 0; i < n->req_count && w->faults > 0; i++) {
        const struct ex_request *r = &n->req[i];

        if (r->applied && !(w->bounds->apart && writes(r)))
            continue;
        if (r->applied) {
            add(out, count, EX_LOST, node, i);
        } else if (writes(r)) {
            add(out, count, EX_LOST, node, i);
            add(out, count, EX_CONFLICT, node, i);
        } else if (r->kind == STREAM_DO_READ_GROUP) {
            add(out, count, EX_MISS, node, i);
        }
    }
}

static bool may_commit(const struct ex_world *w, size_t node)
{
    const struct ex_node *n = &w->node[node];
    struct log_floor floor;

    return w->commits > 0 && n->commit == 0 &&
           !(collector_lists(&w->collector) && w->collector.node == node) &&
           w->manifest_count < EX_MANIFESTS && stream_floor(n->s, &floor) &&
           floor.lsn > n->s->root.floor.lsn;
}

static void list_wishes(const struct ex_world *w, size_t node, struct ex_choice *out, size_t *count)
{
    const struct ex_node *n = &w->node[node];
    enum stream_phase p = n->s->phase;

    if (w->writes > 0 && node_takes_writes(n)) {
        if (w->bounds->remote != 1)
            add(out, count, EX_WRITE, node, 0);
        if (w->bounds->remote != 0)
            add(out, count, EX_WRITE, node, 1);
    }
    if (w->takes > 0 && (p == STREAM_IDLE || p == STREAM_FENCED))
        add(out, count, EX_TAKE, node, 0);
    if (may_commit(w, node))
        add(out, count, EX_COMMIT, node, 0);
    if (w->collectors > 0 && w->collector.at == 0 && p == STREAM_OWNED && n->commit == 0)
        add(out, count, EX_COLLECTOR_COMES, node, 0);
    if (w->readers > 0 && w->bounds->pins && w->reader.step == READER_AWAY && p == STREAM_OWNED &&
        n->s->root.epoch == n->s->core.own_epoch)
        add(out, count, EX_PIN, node, 0);
    if (n->crashes > 0) {
        add(out, count, EX_CRASH, node, 0);
        if (n->hint_before != n->hint || n->hint_before_loaded != n->hint_loaded)
            add(out, count, EX_CRASH, node, 1);
    }
}

size_t choice_list(const struct ex_world *w, struct ex_choice *out)
{
    size_t count = 0;

    for (size_t i = 0; i < EX_NODES; i++) {
        list_requests(w, i, out, &count);
        list_timers(&w->node[i], i, out, &count);
        if (w->node[i].s->phase == STREAM_DIVERGED)
            add(out, &count, EX_LOAD, i, 0);
        list_faults(w, i, out, &count);
        list_wishes(w, i, out, &count);
    }
    for (size_t i = 0; i < w->dead_group_count; i++)
        add(out, &count, EX_LATE_GROUP, 0, i);
    for (size_t i = 0; i < w->dead_root_count; i++)
        add(out, &count, EX_LATE_ROOT, 0, i);
    for (size_t i = 0; i < w->dead_delete_count; i++)
        add(out, &count, EX_LATE_DELETE, 0, i);
    if (collector_may_step(&w->collector))
        add(out, &count, EX_COLLECT, w->collector.node, 0);
    for (size_t i = 0; i < w->collector.plan_count; i++)
        if ((w->collector.pending & 1 << i) != 0)
            add(out, &count, EX_DELETE, w->collector.node, i);
    if (w->reader.step == READER_AWAY && w->readers > 0 && !w->bounds->pins)
        add(out, &count, EX_READER_COMES, 0, 0);
    if (w->reader.step != READER_AWAY && w->reader.step != READER_HOLDS)
        add(out, &count, EX_READ, 0, 0);
    return count;
}

/* It happens sooner or later, whatever goes wrong no more. A fenced node asks for ever. */
bool choice_must(const struct ex_world *w, const struct ex_choice *c)
{
    return c->kind < EX_LATE_GROUP &&
           (c->kind >= EX_READ || w->node[c->node].s->phase != STREAM_FENCED);
}

static void apply(struct ex_world *w, const struct ex_choice *c, bool answer)
{
    struct ex_request *r = &w->node[c->node].req[c->at];

    store_apply(w, c->node, r);
    if (answer)
        node_answer(w, c->node, *r);
}

static void wish(struct ex_world *w, const struct ex_choice *c)
{
    switch ((int)c->kind) {
    case EX_WRITE:
        node_write(w, c->node, c->at == 1);
        break;
    case EX_TAKE:
        w->takes--;
        node_step(w, c->node, (struct stream_event){.kind = STREAM_TAKE});
        break;
    case EX_COMMIT:
        node_commit(w, c->node);
        break;
    case EX_CRASH:
        node_crash(w, c->node, c->at == 0);
        break;
    case EX_PIN:
        reader_pins(w, c->node);
        break;
    case EX_COLLECTOR_COMES:
        collector_begin(w, c->node);
        break;
    default:
        reader_comes(w);
        break;
    }
}

static void fault(struct ex_world *w, const struct ex_choice *c)
{
    w->faults--;
    if (c->kind == EX_LOST)
        node_fail(w, c->node, c->at, OBJSTORE_TRANSIENT, true);
    else if (c->kind == EX_CONFLICT)
        node_fail(w, c->node, c->at, OBJSTORE_CONFLICT, false);
    else
        node_fail(w, c->node, c->at, OBJSTORE_NOT_FOUND, false);
}

void choice_do(struct ex_world *w, const struct ex_choice *c)
{
    switch ((enum ex_choice_kind)c->kind) {
    case EX_APPLY:
        apply(w, c, false);
        break;
    case EX_BOTH:
        apply(w, c, true);
        break;
    case EX_ANSWER:
        node_answer(w, c->node, w->node[c->node].req[c->at]);
        break;
    case EX_LOAD:
        node_load(w, c->node);
        break;
    case EX_TIMER:
        node_timer(w, c->node, c->at);
        break;
    case EX_READ:
        reader_step(w);
        break;
    case EX_COLLECT:
        collector_step(w);
        break;
    case EX_DELETE:
        collector_delete(w, c->at);
        break;
    case EX_LATE_DELETE:
        collector_late(w, c->at);
        break;
    case EX_LATE_GROUP:
        store_late_group(w, c->at);
        break;
    case EX_LATE_ROOT:
        store_late_root(w, c->at);
        break;
    case EX_LOST:
    case EX_CONFLICT:
    case EX_MISS:
        fault(w, c);
        break;
    case EX_WRITE:
    case EX_TAKE:
    case EX_COMMIT:
    case EX_CRASH:
    case EX_READER_COMES:
    case EX_PIN:
    case EX_COLLECTOR_COMES:
        wish(w, c);
        break;
    }
    if (w->problem[0] == '\0')
        check_state(w);
    store_forget(w); /* only now: what is forgotten was checked */
    collector_forget(w);
    reader_forget(w);
}
