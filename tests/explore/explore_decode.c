/* The bytes of explore_code.c read again: what was not written is as in a process that just began.
 */
#include "explore.h"

#include "tiering/stream_internal.h"

#include <assert.h>
#include <string.h>

enum { TOKEN_OP = 1, TOKEN_TAKE, TOKEN_SEAL, TOKENS = 1000 };

struct reader {
    const uint8_t *data;
    size_t at, bytes;
};

static uint8_t get(struct reader *r)
{
    assert(r->at < r->bytes);
    return r->data[r->at++];
}

static ex_code get_code(struct reader *r)
{
    unsigned high = get(r);

    return (ex_code)(high << 8 | get(r));
}

static void get_two(struct reader *r, uint64_t *high, uint64_t *low)
{
    uint8_t v = get(r);

    *high = v >> 4;
    *low = v & 15;
}

static void get_root(struct reader *r, struct ex_root *out)
{
    uint8_t v = get(r);

    memset(out, 0, sizeof *out);
    out->state = v & 3;
    out->nonce = v >> 2 & 3;
    out->nonces = v >> 4;
    out->revision = get(r);
    out->epoch = get(r);
    out->session = get(r);
    v = get(r);
    out->open_count = v >> 4;
    out->lineage_count = v & 15;
    for (size_t i = 0; i < out->open_count; i++)
        out->open[i] = get(r);
    for (size_t i = 0; i < out->lineage_count; i++) {
        v = get(r);
        out->lineages[i].epoch = v >> 4;
        out->lineages[i].end_seq = v & 15;
        out->lineages[i].code = get_code(r);
    }
    v = get(r);
    out->floor_epoch = v >> 4;
    out->floor_seq = v & 15;
    out->floor_code = get_code(r);
    out->manifest = get(r);
    out->manifest_revision = get(r);
    out->gc_mark = get(r);
}

static void get_op(struct reader *r, struct ex_node *n)
{
    struct stream_op *op = &n->s->core.op;
    struct ex_root next;
    uint8_t v;

    op->purpose = get(r);
    if (op->purpose == OP_NONE)
        return;
    v = get(r);
    op->write = (v & 1) != 0;
    op->resolve = (v & 2) != 0;
    op->maybe = (v & 4) != 0;
    op->wait.token = (v & 8) != 0 ? TOKEN_OP : 0;
    op->wait.next_try_ms = n->s->core.now_ms + (op->wait.token == 0);
    n->op_etag_now = (v & 16) != 0;
    op->misses = v >> 5;
    if (!op->write)
        return;
    get_root(r, &next);
    code_to_root(&next, &op->next);
}

static void get_take(struct reader *r, struct stream *s)
{
    struct stream_take *t = &s->core.take;
    uint8_t v = get(r);

    t->step = v & 15;
    t->wait.token = (v & 16) != 0 ? TOKEN_TAKE : 0;
    t->wait.next_try_ms = s->core.now_ms + (t->wait.token == 0);
    t->wait.failures = get(r);
    t->end_lsn = get(r);
    t->end_chain = get_code(r);
    get_two(r, &t->tail_epoch, &t->tail_seq);
    t->tail_first_lsn = get(r);
    t->tail_chain_before = get_code(r);
    if ((v & 32) == 0)
        return;
    t->index = get(r);
    get_two(r, &t->first, &t->run);
    t->found_count = get(r);
    for (size_t i = 0; i < t->found_count; i++) {
        get_two(r, &t->found[i].epoch, &t->found[i].end_seq);
        t->found[i].chain = get_code(r);
        t->found[i].last_lsn = code_lsn((ex_code)t->found[i].chain);
    }
}

static void get_seals(struct reader *r, struct stream *s)
{
    s->seal_count = get(r);
    for (size_t i = 0; i < s->seal_count; i++) {
        struct stream_seal *seal = &s->seals[i];
        uint8_t v = get(r);

        seal->seq = get(r);
        seal->chain = get_code(r);
        seal->chain_before = seal->chain >> 4;
        seal->first_lsn = seal->last_lsn = code_lsn((ex_code)seal->chain);
        seal->encoded = true;
        seal->state = (unsigned)v & 7;
        seal->token = (v & 8) != 0 ? TOKEN_SEAL + i : 0;
        seal->next_try_ms = s->core.now_ms + (seal->token == 0);
        seal->first_failed_ms = (v & 16) != 0 ? s->core.now_ms : 0;
    }
}

static void get_commit(struct reader *r, struct ex_node *n)
{
    struct stream_commit *c = &n->s->core.commit;

    n->commit = get(r);
    n->s->core.mark_wanted = n->commit >> 4 != 0;
    n->commit &= 15;
    if (n->s->core.mark_wanted)
        n->s->core.mark_revision = get(r);
    if (!n->s->core.commit_wanted)
        return;
    c->revision = get(r);
    get_two(r, &c->floor.epoch, &c->floor.seq);
    c->floor.chain = get_code(r);
    c->floor.lsn = code_lsn((ex_code)c->floor.chain);
    c->manifest.uuid[0] = n->commit;
    c->manifest.bytes = 1;
}

static void get_request(struct reader *r, const struct ex_world *w, struct ex_node *n,
                        uint64_t token)
{
    struct ex_request *q;
    uint8_t v;

    if (token == 0)
        return;
    assert(n->req_count < EX_REQUESTS);
    q = &n->req[n->req_count++];
    q->token = token;
    q->kind = get(r);
    v = get(r);
    q->applied = (v & 1) != 0;
    q->conditional = (v & 2) != 0;
    q->etag_now = (v & 4) != 0;
    q->local = (unsigned)v >> 3 & 3;
    q->lsn = v >> 5;
    q->class = get(r);
    v = get(r);
    q->epoch = v >> 4;
    q->seq = v & 15;
    q->code = get_code(r);
    if (q->applied && q->kind == STREAM_DO_READ_ROOT && q->class == OBJSTORE_OK && !q->etag_now)
        get_root(r, &q->root);
    else if (q->kind == STREAM_DO_PUT_ROOT)
        code_root(&n->s->core.op.next, &q->root);
    else
        q->root = w->root;
}

static void get_lsns(struct reader *r, struct stream *s)
{
    struct stream_private *c = &s->core;

    get_two(r, &s->shipped_lsn, &s->remote_lsn);
    get_two(r, &s->sealed_lsn, &c->hint_lsn);
    get_two(r, &s->remote_wanted_lsn, &c->remote_first_lsn);
    get_two(r, &s->next_seq, &c->shipped_seq);
    s->chain = get_code(r);
    c->shipped_chain = get_code(r);
    c->remote_chain = get_code(r);
    c->fence_lsn = get(r);
    c->fence_chain = get_code(r);
    get_two(r, &c->own_epoch, &c->diverged_lsn);
}

static void get_stream(struct reader *r, const struct ex_world *w, struct ex_node *n)
{
    struct stream *s = n->s;
    struct stream_private *c = &s->core;
    uint8_t v = get(r), flags = get(r);
    struct ex_root root;

    s->phase = (unsigned)v & 15;
    c->take_wanted = (v & 16) != 0;
    c->take_by_command = (v & 32) != 0;
    c->commit_wanted = (v & 64) != 0;
    c->compared = (v & 128) != 0;
    s->has_root = (flags & 1) != 0;
    n->etag_now = (flags & 2) != 0;
    c->fenced_end_known = (flags & 4) != 0;
    c->last_token = (flags & 8) != 0 ? TOKENS : 0;
    c->fenced_at_ms = (flags & 16) != 0 ? c->now_ms : 0;
    get_lsns(r, s);
    root = w->root;
    if (s->has_root && !n->etag_now)
        get_root(r, &root);
    if (s->has_root)
        code_to_root(&root, &s->root);
    get_op(r, n);
    if (s->phase == STREAM_TAKING && c->op.purpose != OP_TAKE_READ && c->op.purpose != OP_TAKE &&
        c->op.purpose != OP_TAKE_AGAIN)
        get_take(r, s);
    get_seals(r, s);
    get_commit(r, n);
    get_request(r, w, n, c->op.wait.token);
    get_request(r, w, n, c->take.wait.token);
    for (size_t i = 0; i < s->seal_count; i++)
        get_request(r, w, n, s->seals[i].token);
}

static void get_node(struct reader *r, struct ex_world *w, size_t node, struct stream *s)
{
    struct ex_node *n = &w->node[node];
    struct stream_options options;
    uint8_t v;

    n->s = s;
    n->log = get_code(r);
    n->hint = get_code(r);
    n->hint_before = get_code(r);
    v = get(r);
    n->hint_loaded = (v & 1) != 0;
    n->log_first = v >> 1 & 7;
    n->crashes = v >> 4 & 7;
    n->hint_before_loaded = (v & 128) != 0;
    v = get(r);
    n->written = v >> 4;
    n->session = v & 15;
    node_options(w, node, &options);
    stream_init(s, &options, code_lsn(n->log), 0, 0, EX_NOW_MS);
    if ((w->bounds->twins & STREAM_TWIN_REUSE_NONCE) != 0)
        s->core.nonce[0] = (uint8_t)(1 + node);
    get_stream(r, w, n);
}

static struct ex_place get_place(struct reader *r)
{
    uint8_t epoch = get(r);

    return (struct ex_place){epoch, get(r)};
}

static void get_kept(struct reader *r, struct ex_kept *m)
{
    uint8_t v;

    m->revision = get(r);
    m->parent = get(r);
    v = get(r);
    m->id = v >> 3;
    m->kept = (v & 4) != 0;
    m->pinned = (v & 2) != 0;
    m->read = (v & 1) != 0;
    m->floor = get_place(r);
}

static void get_counts(struct reader *r, struct ex_collector *c)
{
    uint8_t v = get(r);

    c->open_count = v >> 4;
    c->lineage_count = v & 15;
    v = get(r);
    c->manifest_count = v >> 4;
    c->pin_count = v & 15;
    v = get(r);
    c->span_count = v >> 4;
    c->plan_count = v & 15;
}

static void get_collector(struct reader *r, struct ex_collector *c)
{
    uint8_t v;

    c->at = get(r);
    if (c->at == 0)
        return;
    c->node = get(r);
    c->pending = get(r);
    c->epoch = get(r);
    c->mark = get(r);
    c->gc_mark = get(r);
    c->manifest_revision = get(r);
    c->manifest = get(r);
    v = get(r);
    c->level = v >> 2;
    c->versions = v & 3;
    c->floor = get_place(r);
    get_counts(r, c);
    for (size_t i = 0; i < c->open_count; i++)
        c->open[i] = get(r);
    for (size_t i = 0; i < c->lineage_count; i++)
        c->lineages[i] = get_place(r);
    for (size_t i = 0; i < c->manifest_count; i++)
        get_kept(r, &c->manifests[i]);
    for (size_t i = 0; i < c->pin_count; i++) {
        c->pins[i].revision = get(r);
        c->pins[i].id = get(r);
        c->pins[i].to = get_place(r);
    }
    for (size_t i = 0; i < c->span_count; i++) {
        c->spans[i].from = get_place(r);
        c->spans[i].to = get_place(r);
    }
    for (size_t i = 0; i < c->plan_count; i++) {
        c->plan[i].place = get_place(r);
        c->plan[i].revision = get(r);
        c->plan[i].manifest = get(r);
    }
}

static void get_deletes(struct reader *r, struct ex_world *w)
{
    w->dead_delete_count = get(r);
    for (size_t i = 0; i < w->dead_delete_count; i++) {
        w->dead_deletes[i].place = get_place(r);
        w->dead_deletes[i].manifest = get(r);
    }
}

static void get_reader(struct reader *r, struct ex_reader *out)
{
    uint8_t v = get(r);

    out->step = (unsigned)v & 7;
    out->pins = (v & 8) != 0;
    out->node = v >> 4;
    if (out->step == READER_AWAY)
        return;
    get_root(r, &out->root);
    out->need = get_code(r);
    out->run = get(r);
    for (size_t i = 0; i < reader_runs(out); i++)
        out->ends[i] = get(r);
}

static void get_bucket(struct reader *r, struct ex_world *w)
{
    uint8_t v;

    get_root(r, &w->root);
    w->group_count = get(r);
    for (size_t i = 0; i < w->group_count; i++) {
        v = get(r);
        w->groups[i].epoch = v >> 4;
        w->groups[i].seq = v & 15;
        w->groups[i].code = get_code(r);
    }
    w->manifest_count = get(r);
    for (size_t i = 0; i < w->manifest_count; i++) {
        v = get(r);
        w->manifests[i].there = (v & 1) != 0;
        w->manifests[i].named = (v & 2) != 0;
        w->manifests[i].refused = (v & 4) != 0;
        w->manifests[i].revision = get(r);
        w->manifests[i].parent = get(r);
        w->manifests[i].floor = get_place(r);
        w->manifests[i].code = get_code(r);
    }
}

static void get_dead(struct reader *r, struct ex_world *w)
{
    uint8_t v = get(r);

    w->dead_group_count = v >> 4;
    w->dead_root_count = v & 15;
    for (size_t i = 0; i < w->dead_group_count; i++) {
        v = get(r);
        w->dead_groups[i].epoch = v >> 4;
        w->dead_groups[i].seq = v & 15;
        w->dead_groups[i].code = get_code(r);
    }
    for (size_t i = 0; i < w->dead_root_count; i++)
        get_root(r, &w->dead_roots[i]);
}

void code_read(struct ex_world *w, const struct ex_bounds *bounds, struct stream *streams,
               const uint8_t *data, size_t bytes)
{
    struct reader r = {.data = data, .bytes = bytes};
    uint8_t v;

    memset(w, 0, sizeof *w);
    w->bounds = bounds;
    get_bucket(&r, w);
    v = get(&r);
    w->writes = v >> 4;
    w->faults = v & 15;
    v = get(&r);
    w->takes = v >> 6;
    w->collectors = v >> 4 & 3;
    w->commits = v >> 2 & 3;
    w->readers = v & 3;
    w->remote = get_code(&r);
    w->lettered = get_code(&r);
    get_dead(&r, w);
    get_deletes(&r, w);
    get_reader(&r, &w->reader);
    get_collector(&r, &w->collector);
    for (size_t i = 0; i < EX_NODES; i++)
        get_node(&r, w, i, &streams[i]);
    assert(r.at == r.bytes);
}
