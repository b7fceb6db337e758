/* A node: what its shell makes of effects, as docs/protocol.md says, and what its disk keeps. */
#include "explore.h"

#include "tiering/stream_internal.h"

#include <assert.h>
#include <string.h>

enum { FRESH_NONCE = 100 };

void node_options(const struct ex_world *w, size_t node, struct stream_options *out)
{
    *out = (struct stream_options){.take_ownership = true,
                                   .group_bytes = 1,
                                   .max_in_flight = w->bounds->in_flight,
                                   .max_retries = 1000,
                                   .base_backoff_ms = 1,
                                   .max_backoff_ms = 1,
                                   .twins = w->bounds->twins & 0xFFFF};
    memcpy(out->collection, "explore", 8);
    out->node_id[0] = (char)('a' + node);
    out->session[0] = code_session(node, w->node[node].session);
}

bool node_takes_writes(const struct ex_node *n)
{
    enum stream_phase p = n->s->phase;

    return p == STREAM_IDLE || p == STREAM_TAKING || p == STREAM_OWNED;
}

/* --- effects --- */

static struct ex_request *request_new(struct ex_node *n, const struct stream_effect *effect)
{
    struct ex_request *r;

    assert(n->req_count < EX_REQUESTS);
    r = &n->req[n->req_count++];
    memset(r, 0, sizeof *r);
    r->kind = effect->kind;
    r->token = effect->token;
    r->epoch = (uint8_t)effect->epoch;
    r->seq = (uint8_t)effect->seq;
    r->conditional = effect->conditional;
    return r;
}

static void do_put_group(struct ex_world *w, size_t node, const struct stream_effect *effect)
{
    struct ex_node *n = &w->node[node];
    struct ex_request *r = request_new(n, effect);

    r->code = (ex_code)effect->chain;
    if (effect->gap || effect->first_lsn != effect->last_lsn ||
        code_record(n->log, (uint8_t)effect->last_lsn) != (r->code & 15))
        check_fail(w, "a group is put that is not the record of the log");
}

static void do_check_local(struct ex_world *w, size_t node, const struct stream_effect *effect)
{
    struct ex_node *n = &w->node[node];
    struct ex_request *r = request_new(n, effect);
    uint8_t end = (uint8_t)effect->last_lsn, hint = code_lsn(n->hint), durable = code_lsn(n->log);
    ex_code code = n->hint;

    for (uint8_t lsn = (uint8_t)(hint + 1); lsn <= end && lsn <= durable; lsn++)
        code = code_push(code, code_record(n->log, lsn));
    r->epoch = r->seq = 0;
    r->applied = true;
    r->lsn = hint;
    if (end < hint)
        r->local = n->hint_loaded ? STREAM_LOCAL_DIVERGED : STREAM_LOCAL_AHEAD;
    else if (durable < end)
        r->local = durable <= hint ? STREAM_LOCAL_BEHIND : STREAM_LOCAL_DIVERGED;
    else if (code == effect->chain || (w->bounds->twins & EX_TWIN_CHECK_REACHES) != 0)
        r->local = STREAM_LOCAL_SAME;
    else
        r->local = STREAM_LOCAL_DIVERGED;
}

static void do_remote(struct ex_world *w, size_t node, const struct stream_effect *effect)
{
    struct ex_node *n = &w->node[node];

    check_remote(w, node, effect->lsn);
    if (effect->lsn < code_lsn(n->hint))
        return;
    n->hint = (ex_code)effect->chain;
    n->hint_loaded = false;
    if (code_lsn(n->hint) != effect->lsn)
        check_fail(w, "node %c: the chain of lsn %d is another lsn's", 'a' + (int)node,
                   (int)effect->lsn);
}

static void do_diverged(struct ex_world *w, size_t node, const struct stream_effect *effect)
{
    struct ex_node *n = &w->node[node];

    if (effect->last_lsn > code_lsn(n->log) ||
        (effect->first_lsn < n->log_first && code_lsn(n->hint) != 0))
        check_fail(w, "node %c: a letter for lsns its log has not", 'a' + (int)node);
    for (uint64_t lsn = effect->first_lsn; lsn <= effect->last_lsn; lsn++)
        if ((w->bounds->twins & EX_TWIN_LOSE_TAIL) == 0)
            w->lettered = (uint16_t)(w->lettered | 1 << code_record(n->log, (uint8_t)lsn));
}

static void do_phase(struct ex_world *w, size_t node)
{
    const struct stream *s = w->node[node].s;

    if (s->phase == STREAM_HALTED || s->phase == STREAM_ROOT_LOST || s->phase == STREAM_FOREIGN ||
        s->phase == STREAM_DROPPED)
        check_fail(w, "node %c is %s: %s", 'a' + (int)node, stream_phase_name(s->phase), s->reason);
}

static void do_committed(struct ex_world *w, size_t node, const struct stream_effect *effect)
{
    struct ex_node *n = &w->node[node];
    struct ex_manifest *m;

    assert(n->commit > 0);
    m = &w->manifests[n->commit - 1];
    n->commit = 0;
    if (effect->class == OBJSTORE_OK && !m->named)
        check_fail(w, "node %c: a commit that never stood in the root was confirmed",
                   'a' + (int)node);
    if (effect->class != OBJSTORE_PRECONDITION ||
        (n->s->phase != STREAM_OWNED && n->s->phase != STREAM_FENCED))
        return;
    m->refused = true;
    if (m->named)
        check_fail(w, "node %c: a commit that stands in the root was refused", 'a' + (int)node);
}

static void do_effect(struct ex_world *w, size_t node, const struct stream_effect *effect)
{
    struct ex_request *r;

    switch ((int)effect->kind) {
    case STREAM_DO_READ_ROOT:
    case STREAM_DO_LIST:
    case STREAM_DO_READ_GROUP:
        (void)request_new(&w->node[node], effect);
        break;
    case STREAM_DO_COMPARE:
        request_new(&w->node[node], effect)->code = (ex_code)effect->chain;
        break;
    case STREAM_DO_PUT_ROOT:
        r = request_new(&w->node[node], effect);
        code_root(effect->root, &r->root);
        r->etag_now = effect->etag[0] == 'n';
        break;
    case STREAM_DO_PUT_GROUP:
        do_put_group(w, node, effect);
        break;
    case STREAM_DO_CHECK_LOCAL:
        do_check_local(w, node, effect);
        break;
    case STREAM_DO_REMOTE:
        do_remote(w, node, effect);
        break;
    case STREAM_DO_DIVERGED:
        do_diverged(w, node, effect);
        break;
    case STREAM_DO_PHASE:
        do_phase(w, node);
        break;
    case STREAM_DO_COMMITTED:
        do_committed(w, node, effect);
        break;
    case STREAM_DO_MARKED:
        collector_marked(w, effect->class);
        break;
    case STREAM_DO_TIMER:
    case STREAM_DO_SHIPPED:
    case STREAM_DO_ENCODE: /* after the others */
        break;
    default:
        check_fail(w, "node %c: an effect that nothing here leads to", 'a' + (int)node);
    }
}

/* --- steps --- */

static bool waited_for(const struct stream *s, uint64_t token)
{
    if (s->core.op.wait.token == token || s->core.take.wait.token == token)
        return true;
    for (size_t i = 0; i < s->seal_count; i++)
        if (s->seals[i].token == token)
            return true;
    return false;
}

static void drop_requests(struct ex_world *w, size_t node, bool all)
{
    struct ex_node *n = &w->node[node];
    size_t kept = 0;

    for (size_t i = 0; i < n->req_count; i++) {
        if (!all && waited_for(n->s, n->req[i].token)) {
            if (kept != i)
                n->req[kept] = n->req[i];
            kept++;
        } else {
            store_abandon(w, node, &n->req[i]);
        }
    }
    n->req_count = kept;
}

/* Nothing may wait for a time without a tick that was asked for. */
static void check_timer(struct ex_world *w, size_t node)
{
    const struct stream *s = w->node[node].s;
    const struct stream_private *c = &s->core;
    bool waits = c->op.purpose != OP_NONE && c->op.wait.token == 0;

    waits = waits ||
            (s->phase == STREAM_TAKING && c->take.step != TAKE_ROOT && c->take.wait.token == 0);
    for (size_t i = 0; i < s->seal_count; i++)
        waits = waits || (s->seals[i].token == 0 && s->seals[i].state != SEAL_STORED);
    if (waits && c->timer_ms == STREAM_NEVER)
        check_fail(w, "node %c waits for a time and has asked for no tick", 'a' + (int)node);
}

static void encode(struct ex_world *w, size_t node, const struct stream_effect *effect)
{
    struct ex_node *n = &w->node[node];
    uint8_t lsn = (uint8_t)effect->first_lsn;

    if (lsn < n->log_first || lsn > code_lsn(n->log)) {
        check_fail(w, "node %c is to encode lsn %d, which its log has not", 'a' + (int)node, lsn);
        return;
    }
    node_step(w, node,
              (struct stream_event){
                  .kind = STREAM_ENCODED,
                  .token = effect->token,
                  .first_lsn = lsn,
                  .last_lsn = lsn,
                  .chain = code_push((ex_code)effect->chain_before, code_record(n->log, lsn))});
}

void node_step(struct ex_world *w, size_t node, struct stream_event e)
{
    struct ex_node *n = &w->node[node];
    struct stream *s = n->s;
    uint8_t nonce[16] = {(uint8_t)(FRESH_NONCE + node)};
    struct stream_effects out;
    struct stream_effect later = {0};

    s->core.random = 0;
    s->core.timer_ms = STREAM_NEVER;
    s->etag[0] = n->etag_now ? 'n' : 'o';
    s->core.op.etag[0] = n->op_etag_now ? 'n' : 'o';
    e.now_ms = EX_NOW_MS;
    stream_step(s, &e, nonce, &out);
    n->etag_now = s->etag[0] == 'n';
    n->op_etag_now = s->core.op.etag[0] == 'n';
    drop_requests(w, node, false);
    for (size_t i = 0; i < out.count; i++) {
        do_effect(w, node, &out.items[i]);
        if (out.items[i].kind == STREAM_DO_ENCODE)
            later = out.items[i];
    }
    if (later.token != 0 && w->problem[0] == '\0')
        encode(w, node, &later);
    else
        check_timer(w, node);
}

static enum stream_event_kind answer_kind(enum stream_effect_kind kind)
{
    switch ((int)kind) {
    case STREAM_DO_READ_ROOT:
        return STREAM_ROOT_READ;
    case STREAM_DO_PUT_ROOT:
        return STREAM_ROOT_DONE;
    case STREAM_DO_LIST:
        return STREAM_LISTED;
    case STREAM_DO_READ_GROUP:
        return STREAM_GROUP_READ;
    case STREAM_DO_CHECK_LOCAL:
        return STREAM_LOCAL_CHECKED;
    case STREAM_DO_PUT_GROUP:
        return STREAM_PUT_DONE;
    default:
        return STREAM_COMPARED;
    }
}

/* By value: the step may send others. */
void node_answer(struct ex_world *w, size_t node, struct ex_request r)
{
    struct stream_event e = {.kind = answer_kind(r.kind), .token = r.token, .class = r.class};
    static struct root root;

    e.etag = r.etag_now ? "n" : "o";
    if (r.kind == STREAM_DO_READ_ROOT && r.class == OBJSTORE_OK) {
        code_to_root(&r.root, &root);
        e.root = &root;
    }
    if (r.kind == STREAM_DO_LIST)
        e.end_seq = r.lsn;
    if (r.kind == STREAM_DO_CHECK_LOCAL) {
        e.local = r.local;
        e.lsn = r.lsn;
    }
    if (r.kind == STREAM_DO_READ_GROUP && r.class == OBJSTORE_OK) {
        e.first_lsn = e.last_lsn = code_lsn(r.code);
        e.chain_before = r.code >> 4;
        e.chain = r.code;
    }
    node_step(w, node, e);
}

void node_fail(struct ex_world *w, size_t node, size_t at, enum objstore_class class, bool maybe)
{
    struct ex_request *r = &w->node[node].req[at];
    struct stream_event e = {
        .kind = answer_kind(r->kind), .token = r->token, .class = class, .maybe_applied = maybe};

    if (!maybe)
        r->applied = true; /* it is over */
    node_step(w, node, e);
}

/* --- what happens to it --- */

void node_start(struct ex_world *w, size_t node)
{
    struct ex_node *n = &w->node[node];
    struct stream_options options;

    node_options(w, node, &options);
    stream_init(n->s, &options, code_lsn(n->log), 0, code_lsn(n->hint), EX_NOW_MS);
    n->etag_now = n->op_etag_now = false;
    n->commit = 0;
}

void node_write(struct ex_world *w, size_t node, bool remote)
{
    struct ex_node *n = &w->node[node];
    uint8_t lsn;

    w->writes--;
    n->log = code_push(n->log, (uint8_t)(8 * node + 1 + n->written++));
    lsn = code_lsn(n->log);
    if (remote)
        node_step(w, node, (struct stream_event){.kind = STREAM_WANT_REMOTE, .lsn = lsn});
    node_step(w, node, (struct stream_event){.kind = STREAM_LOG, .lsn = lsn});
}

void node_commit(struct ex_world *w, size_t node)
{
    struct ex_node *n = &w->node[node];
    struct stream_event e = {.kind = STREAM_COMMIT};

    if (!stream_floor(n->s, &e.floor))
        return;
    w->commits--;
    w->manifests[w->manifest_count++] =
        (struct ex_manifest){.there = true,
                             .revision = (uint8_t)(n->s->root.revision + 1),
                             .parent = (uint8_t)n->s->root.manifest_revision,
                             .floor = {(uint8_t)e.floor.epoch, (uint8_t)e.floor.seq},
                             .code = (ex_code)e.floor.chain};
    n->commit = (uint8_t)w->manifest_count;
    e.manifest.uuid[0] = n->commit;
    e.manifest.bytes = 1;
    e.manifest_revision = n->s->root.revision + 1;
    node_step(w, node, e);
}

void node_crash(struct ex_world *w, size_t node, bool hint_written)
{
    struct ex_node *n = &w->node[node];

    drop_requests(w, node, true);
    if (w->collector.at != 0 && w->collector.node == node)
        collector_dies(w);
    if (w->reader.pins && w->reader.node == node && w->reader.step != READER_HOLDS)
        w->reader = (struct ex_reader){.step = READER_AWAY};
    n->crashes--;
    for (size_t i = 0; i < EX_NODES && w->bounds->one_crash; i++)
        w->node[i].crashes = 0;
    n->session++;
    if (!hint_written) {
        n->hint = n->hint_before;
        n->hint_loaded = n->hint_before_loaded;
    }
    n->hint_before = n->hint;
    n->hint_before_loaded = n->hint_loaded;
    node_start(w, node);
    node_step(w, node, (struct stream_event){.kind = STREAM_TICK});
}

/* The collection is loaded anew: everything on its disk, and what is remembered, in one. */
void node_load(struct ex_world *w, size_t node)
{
    struct ex_node *n = &w->node[node];
    const char *why;

    if (!check_content(w, &n->log, &why)) {
        check_fail(w, "node %c is loaded anew: %s", 'a' + (int)node, why);
        return;
    }
    drop_requests(w, node, true);
    n->log_first = (uint8_t)(code_lsn(n->log) + 1);
    n->hint = n->hint_before = n->log;
    n->hint_loaded = n->hint_before_loaded = true;
    node_start(w, node);
}

/* The waits end in any order: this one does now. */
void node_timer(struct ex_world *w, size_t node, uint8_t which)
{
    struct stream *s = w->node[node].s;

    if (which == EX_TIMER_FENCE) {
        s->core.fenced_at_ms = 0;
        if (s->seal_count > 0 && s->seals[0].first_failed_ms != 0)
            s->seals[0].first_failed_ms = 1;
    } else if (which == 0) {
        s->core.op.wait.next_try_ms = EX_NOW_MS;
    } else if (which == 1) {
        s->core.take.wait.next_try_ms = EX_NOW_MS;
    } else {
        s->seals[which - 2].next_try_ms = EX_NOW_MS;
    }
    node_step(w, node, (struct stream_event){.kind = STREAM_TICK});
}
