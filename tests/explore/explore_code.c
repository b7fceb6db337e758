/* A state as bytes, field by field. What no later step can ask for is not written: the root of who
 * is about to read it, the take of who owns, counters that only make waits longer. */
#include "explore.h"

#include "tiering/stream_internal.h"

#include <assert.h>
#include <string.h>

enum { MIRROR_BIT = 8 };

static ex_code code_mirror(ex_code code)
{
    unsigned shift = 0;

    for (ex_code rest = code; rest > 1; rest = (ex_code)(rest >> 4), shift += 4)
        code = (ex_code)(code ^ MIRROR_BIT << shift);
    return code;
}

struct writer {
    struct ex_bytes *out;
    bool mirror;
    uint8_t live[EX_NODES]; /* the nonce somebody looks for, of each node */
};

static void put(struct writer *p, uint64_t v)
{
    assert(v < 256 && p->out->count < EX_STATE_BYTES);
    p->out->data[p->out->count++] = (uint8_t)v;
}

static void put_code(struct writer *p, uint64_t chain)
{
    ex_code code = (ex_code)chain;

    assert(chain <= UINT16_MAX);
    if (p->mirror && code > 0)
        code = code_mirror(code);
    put(p, code >> 8);
    put(p, code & 255);
}

static void put_place(struct writer *p, struct ex_place place)
{
    put(p, place.epoch);
    put(p, place.seq);
}

static void put_root(struct writer *p, const struct ex_root *r)
{
    uint8_t nonce = 0, nonces = 0;

    for (size_t i = 0; i < EX_NODES; i++) {
        size_t named = p->mirror ? 1 - i : i;

        if (p->live[i] == 0)
            continue;
        if (r->nonce == p->live[i])
            nonce = (uint8_t)(1 + named);
        if ((r->nonces & code_nonce_bit(p->live[i])) != 0)
            nonces = (uint8_t)(nonces | 1 << named);
    }
    put(p, (uint64_t)(r->state | nonce << 2 | nonces << 4));
    put(p, r->revision);
    put(p, r->epoch);
    put(p, p->mirror && r->session != 0 ? (uint64_t)((r->session - 1) ^ 1) + 1 : r->session);
    put(p, (uint64_t)(r->open_count << 4 | r->lineage_count));
    for (size_t i = 0; i < r->open_count; i++)
        put(p, r->open[i]);
    for (size_t i = 0; i < r->lineage_count; i++) {
        put(p, (uint64_t)(r->lineages[i].epoch << 4 | r->lineages[i].end_seq));
        put_code(p, r->lineages[i].code);
    }
    put(p, (uint64_t)(r->floor_epoch << 4 | r->floor_seq));
    put_code(p, r->floor_code);
    put(p, r->manifest);
    put(p, r->manifest_revision);
    put(p, r->gc_mark);
}

static void put_stream_root(struct writer *p, const struct root *r)
{
    struct ex_root e;

    code_root(r, &e);
    put_root(p, &e);
}

/* Whether a later step can look at stream.root. */
static bool root_counts(const struct stream *s)
{
    if (!s->has_root || s->phase == STREAM_DIVERGED)
        return false;
    if (s->phase == STREAM_FENCED && s->core.fenced_end_known)
        return false;
    return s->phase != STREAM_TAKING || s->core.op.purpose != OP_TAKE_READ;
}

static void put_op(struct writer *p, const struct ex_node *n)
{
    const struct stream_op *op = &n->s->core.op;

    put(p, (uint64_t)op->purpose);
    if (op->purpose == OP_NONE)
        return;
    put(p, (uint64_t)(op->write | op->resolve << 1 | op->maybe << 2 | (op->wait.token != 0) << 3 |
                      n->op_etag_now << 4) |
               (uint64_t)op->misses << 5);
    if (op->write)
        put_stream_root(p, &op->next);
}

static bool take_counts(const struct stream *s)
{
    int purpose = s->core.op.purpose;

    return s->phase == STREAM_TAKING && purpose != OP_TAKE_READ && purpose != OP_TAKE &&
           purpose != OP_TAKE_AGAIN;
}

static void put_take(struct writer *p, const struct stream *s)
{
    const struct stream_take *t = &s->core.take;
    bool runs = s->core.op.purpose != OP_CLOSE && t->step != TAKE_TAIL && t->step != TAKE_CHECK;

    put(p, (uint64_t)(t->step | (t->wait.token != 0) << 4 | runs << 5));
    put(p, t->wait.failures);
    put(p, t->end_lsn);
    put_code(p, t->end_chain);
    put(p, t->tail_epoch << 4 | t->tail_seq);
    put(p, t->tail_first_lsn);
    put_code(p, t->tail_chain_before);
    if (!runs)
        return;
    put(p, t->index);
    put(p, t->first << 4 | t->run);
    put(p, t->found_count);
    for (size_t i = 0; i < t->found_count; i++) {
        put(p, t->found[i].epoch << 4 | t->found[i].end_seq);
        put_code(p, t->found[i].chain);
    }
}

static void put_seals(struct writer *p, const struct stream *s)
{
    put(p, s->seal_count);
    for (size_t i = 0; i < s->seal_count; i++) {
        const struct stream_seal *seal = &s->seals[i];

        assert(seal->encoded && !seal->gap && !seal->letter && seal->first_lsn == seal->last_lsn &&
               seal->chain_before == seal->chain >> 4 &&
               seal->last_lsn == code_lsn((ex_code)seal->chain));
        put(p, (uint64_t)seal->state | (uint64_t)(seal->token != 0) << 3 |
                   (uint64_t)(seal->first_failed_ms != 0) << 4);
        put(p, seal->seq);
        put_code(p, seal->chain);
    }
}

static void put_commit(struct writer *p, const struct ex_node *n)
{
    const struct stream_commit *c = &n->s->core.commit;

    put(p, n->commit | (uint64_t)n->s->core.mark_wanted << 4);
    if (n->s->core.mark_wanted)
        put(p, n->s->core.mark_revision);
    if (!n->s->core.commit_wanted)
        return;
    put(p, c->revision);
    put(p, c->floor.epoch << 4 | c->floor.seq);
    put_code(p, c->floor.chain);
}

static const struct ex_request *request_of(const struct ex_node *n, uint64_t token)
{
    for (size_t i = 0; i < n->req_count; i++)
        if (n->req[i].token == token)
            return &n->req[i];
    assert(!"something is waited for that was never asked");
    return NULL;
}

static void put_request(struct writer *p, const struct ex_node *n, uint64_t token)
{
    const struct ex_request *r;

    if (token == 0)
        return;
    r = request_of(n, token);
    put(p, (uint64_t)r->kind);
    put(p, (uint64_t)(r->applied | r->conditional << 1 | r->etag_now << 2) |
               (uint64_t)r->local << 3 | (uint64_t)r->lsn << 5);
    put(p, (uint64_t)r->class);
    put(p, (uint64_t)(r->epoch << 4 | r->seq));
    put_code(p, r->code);
    if (r->applied && r->kind == STREAM_DO_READ_ROOT && r->class == OBJSTORE_OK && !r->etag_now)
        put_root(p, &r->root);
}

static void put_requests(struct writer *p, const struct ex_node *n)
{
    const struct stream *s = n->s;

    if (s->core.op.purpose != OP_NONE)
        put_request(p, n, s->core.op.wait.token);
    if (take_counts(s))
        put_request(p, n, s->core.take.wait.token);
    for (size_t i = 0; i < s->seal_count; i++)
        put_request(p, n, s->seals[i].token);
}

static void put_stream(struct writer *p, const struct ex_node *n)
{
    const struct stream *s = n->s;
    const struct stream_private *c = &s->core;
    bool wanted = s->remote_wanted_lsn > s->remote_lsn, root = root_counts(s);
    bool fence = c->op.purpose == OP_FENCE;

    put(p, (uint64_t)s->phase | (uint64_t)c->take_wanted << 4 | (uint64_t)c->take_by_command << 5 |
               (uint64_t)c->commit_wanted << 6 | (uint64_t)c->compared << 7);
    put(p, (uint64_t)(root | (root && n->etag_now) << 1 | c->fenced_end_known << 2 |
                      (c->last_token != 0) << 3 |
                      (s->phase == STREAM_OWNED && c->fenced_at_ms == c->now_ms) << 4));
    put(p, s->shipped_lsn << 4 | s->remote_lsn);
    put(p, s->sealed_lsn << 4 | c->hint_lsn);
    put(p, wanted ? s->remote_wanted_lsn << 4 | c->remote_first_lsn : 0);
    put(p, s->next_seq << 4 | c->shipped_seq);
    put_code(p, s->chain);
    put_code(p, c->shipped_chain);
    put_code(p, c->remote_chain);
    put(p, fence ? c->fence_lsn : 0);
    put_code(p, fence ? c->fence_chain : 0);
    put(p, c->own_epoch << 4 | c->diverged_lsn);
    if (root && !n->etag_now)
        put_stream_root(p, &s->root);
    put_op(p, n);
    if (take_counts(s))
        put_take(p, s);
    put_seals(p, s);
    put_commit(p, n);
    put_requests(p, n);
}

static void put_node(struct writer *p, const struct ex_node *n)
{
    put_code(p, n->log);
    put_code(p, n->hint);
    put_code(p, n->crashes > 0 ? n->hint_before : n->hint);
    put(p, (uint64_t)(n->hint_loaded | n->log_first << 1 | n->crashes << 4 |
                      (n->crashes > 0 ? n->hint_before_loaded : n->hint_loaded) << 7));
    put(p, (uint64_t)(n->written << 4 | n->session));
    put_stream(p, n);
}

static void put_reader(struct writer *p, const struct ex_reader *r)
{
    bool other = p->mirror && r->pins && r->step != READER_HOLDS;

    put(p, (uint64_t)r->step | (uint64_t)r->pins << 3 |
               (uint64_t)(other ? 1 - r->node : r->node) << 4);
    if (r->step == READER_AWAY)
        return;
    put_root(p, &r->root);
    put_code(p, r->need);
    put(p, r->run);
    for (size_t i = 0; i < reader_runs(r); i++)
        put(p, r->ends[i]);
}

static void put_collector(struct writer *p, const struct ex_collector *c)
{
    put(p, c->at);
    if (c->at == 0)
        return;
    put(p, p->mirror ? 1 - c->node : c->node);
    put(p, c->pending);
    put(p, c->epoch);
    put(p, c->mark);
    put(p, c->gc_mark);
    put(p, c->manifest_revision);
    put(p, c->manifest);
    put(p, (uint64_t)(c->level << 2 | c->versions));
    put_place(p, c->floor);
    put(p, (uint64_t)(c->open_count << 4 | c->lineage_count));
    put(p, (uint64_t)(c->manifest_count << 4 | c->pin_count));
    put(p, (uint64_t)(c->span_count << 4 | c->plan_count));
    for (size_t i = 0; i < c->open_count; i++)
        put(p, c->open[i]);
    for (size_t i = 0; i < c->lineage_count; i++)
        put_place(p, c->lineages[i]);
    for (size_t i = 0; i < c->manifest_count; i++) {
        const struct ex_kept *m = &c->manifests[i];

        put(p, m->revision);
        put(p, m->parent);
        put(p, (uint64_t)(m->id << 3 | m->kept << 2 | m->pinned << 1 | m->read));
        put_place(p, m->floor);
    }
    for (size_t i = 0; i < c->pin_count; i++) {
        put(p, c->pins[i].revision);
        put(p, c->pins[i].id);
        put_place(p, c->pins[i].to);
    }
    for (size_t i = 0; i < c->span_count; i++) {
        put_place(p, c->spans[i].from);
        put_place(p, c->spans[i].to);
    }
    for (size_t i = 0; i < c->plan_count; i++) {
        put_place(p, c->plan[i].place);
        put(p, c->plan[i].revision);
        put(p, c->plan[i].manifest);
    }
}

static void put_deletes(struct writer *p, const struct ex_world *w)
{
    put(p, w->dead_delete_count);
    for (size_t i = 0; i < w->dead_delete_count; i++) {
        put_place(p, w->dead_deletes[i].place);
        put(p, w->dead_deletes[i].manifest);
    }
}

static int by_group(const struct ex_group *a, const struct ex_group *b)
{
    return (a->epoch << 24 | a->seq << 16 | a->code) - (b->epoch << 24 | b->seq << 16 | b->code);
}

/* Those that wait for ever are a set. */
static void put_dead(struct writer *p, const struct ex_world *w)
{
    struct ex_group sorted[EX_DEAD];
    size_t n = w->dead_group_count;

    memcpy(sorted, w->dead_groups, n * sizeof sorted[0]);
    for (size_t i = 0; i < n; i++) {
        if (p->mirror)
            sorted[i].code = code_mirror(sorted[i].code);
        for (size_t k = i; k > 0 && by_group(&sorted[k], &sorted[k - 1]) < 0; k--) {
            struct ex_group swap = sorted[k];

            sorted[k] = sorted[k - 1];
            sorted[k - 1] = swap;
        }
    }
    put(p, n << 4 | w->dead_root_count);
    for (size_t i = 0; i < n; i++) {
        put(p, (uint64_t)(sorted[i].epoch << 4 | sorted[i].seq));
        put(p, sorted[i].code >> 8);
        put(p, sorted[i].code & 255);
    }
    for (size_t i = 0; i < w->dead_root_count; i++)
        put_root(p, &w->dead_roots[i]);
}

static void put_bucket(struct writer *p, const struct ex_world *w)
{
    put_root(p, &w->root);
    put(p, w->group_count);
    for (size_t i = 0; i < w->group_count; i++) {
        put(p, (uint64_t)(w->groups[i].epoch << 4 | w->groups[i].seq));
        put_code(p, w->groups[i].code);
    }
    put(p, w->manifest_count);
    for (size_t i = 0; i < w->manifest_count; i++) {
        put(p, (uint64_t)(w->manifests[i].there | w->manifests[i].named << 1 |
                          w->manifests[i].refused << 2));
        put(p, w->manifests[i].revision);
        put(p, w->manifests[i].parent);
        put_place(p, w->manifests[i].floor);
        put_code(p, w->manifests[i].code);
    }
}

static uint8_t live_nonce(const struct ex_world *w, size_t node)
{
    const struct stream *s = w->node[node].s;

    if ((w->bounds->twins & STREAM_TWIN_REUSE_NONCE) != 0)
        return s->core.last_token != 0 ? s->core.nonce[0] : 0;
    return s->core.op.purpose != OP_NONE && s->core.op.write ? s->core.op.next.nonce[0] : 0;
}

static void code_one(const struct ex_world *w, bool mirror, struct ex_bytes *out)
{
    struct writer p = {.out = out, .mirror = mirror};
    uint16_t lettered = w->lettered;

    out->count = 0;
    for (size_t i = 0; i < EX_NODES; i++)
        p.live[i] = live_nonce(w, i);
    if (mirror)
        lettered = (uint16_t)(lettered << 8 | lettered >> 8);
    put_bucket(&p, w);
    put(&p, (uint64_t)(w->writes << 4 | w->faults));
    put(&p, (uint64_t)(w->takes << 6 | w->collectors << 4 | w->commits << 2 | w->readers));
    put_code(&p, w->remote);
    put(&p, lettered >> 8);
    put(&p, lettered & 255);
    put_dead(&p, w);
    put_deletes(&p, w);
    put_reader(&p, &w->reader);
    put_collector(&p, &w->collector);
    put_node(&p, &w->node[mirror ? 1 : 0]);
    put_node(&p, &w->node[mirror ? 0 : 1]);
}

/* The same of a node and its image: where the two nodes differ in it, it decides. */
static uint64_t node_order(const struct ex_world *w, size_t node)
{
    const struct ex_node *n = &w->node[node];
    const struct stream *s = n->s;
    uint64_t order = (uint64_t)s->phase | (uint64_t)n->written << 4 | (uint64_t)n->crashes << 8 |
                     (uint64_t)n->session << 12 | (uint64_t)code_lsn(n->log) << 16;

    order |= s->shipped_lsn << 20 | s->remote_lsn << 24 | s->core.own_epoch << 28;
    return order | (uint64_t)n->req_count << 36 | (uint64_t)s->core.op.purpose << 40;
}

bool code_world(const struct ex_world *w, struct ex_bytes *out)
{
    static struct ex_bytes other;
    uint64_t first = node_order(w, 0), second = node_order(w, 1);
    size_t least;
    int order;

    code_one(w, first > second, out);
    if (first != second)
        return first > second;
    code_one(w, true, &other);
    least = out->count < other.count ? out->count : other.count;
    order = memcmp(out->data, other.data, least);
    if (order < 0 || (order == 0 && out->count <= other.count))
        return false;
    out->count = other.count;
    memcpy(out->data, other.data, other.count);
    return true;
}
