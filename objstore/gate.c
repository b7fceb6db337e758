#include "objstore/gate.h"

#include "base/hash.h"
#include "base/lock.h"
#include "base/mem.h"
#include "objstore/store.h"
#include "objstore/wrap.h"

#include <stdatomic.h>
#include <stdio.h>

enum { GATE_LOOK_MS = 20 };
enum { REQ_HELD = 1, REQ_UNWANTED };

struct gate {
    struct objstore store;
    struct objstore *inner; /* borrowed */
    struct clock *clock;
    uint64_t until_ns; /* nothing is held for longer */
    struct thread thread;
    _Atomic int state; /* enum objstore_gate_state; changed under lock */
    _Atomic uint64_t server;
    struct {              /* guarded by lock */
        struct lock lock; /* LOCK_RANK_LEAF */
        struct cond woken;
        struct cond idle;
        struct objstore_req *first, **last; /* what does not pass now */
        uint64_t under_way;                 /* with the inner store */
        bool stopping;
        char text[OBJSTORE_GATE_TEXT_BYTES];
    } shared;
};

static bool writes(const struct objstore_req *req)
{
    return req->op != OBJSTORE_GET && req->op != OBJSTORE_HEAD && req->op != OBJSTORE_LIST;
}

uint64_t objstore_gate_hash(const char *server)
{
    uint64_t hash = hash_bytes(server, strlen(server), 0);

    return server[0] == '\0' ? 0 : hash == 0 ? 1 : hash;
}

static void on_done(struct objstore_req *req)
{
    struct gate *g = wrap_top(req)->owner;

    if (req->result.server[0] != '\0')
        atomic_store_explicit(&g->server, objstore_gate_hash(req->result.server),
                              memory_order_relaxed);
    wrap_done(req);
    lock_take(&g->shared.lock);
    if (--g->shared.under_way == 0)
        cond_broadcast(&g->shared.idle);
    lock_drop(&g->shared.lock);
}

static void pass(struct gate *g, struct objstore_req *req)
{
    lock_take(&g->shared.lock);
    g->shared.under_way++;
    lock_drop(&g->shared.lock);
    (void)wrap_push(req, g, on_done);
    objstore_submit(g->inner, req);
}

/* --- what is held --- */

static void end_held(struct gate *g, struct objstore_req *req, bool unwanted)
{
    int state = atomic_load(&g->state);
    char text[OBJSTORE_GATE_TEXT_BYTES];

    if (!unwanted && state == OBJSTORE_GATE_OPEN) {
        pass(g, req);
        return;
    }
    lock_take(&g->shared.lock);
    memcpy(text, g->shared.text, sizeof text);
    lock_drop(&g->shared.lock);
    if (unwanted)
        objstore_answer(req, OBJSTORE_CANCELLED, 0, "", "cancelled before it was sent");
    else
        objstore_answer(req,
                        state == OBJSTORE_GATE_REFUSE ? OBJSTORE_PERMANENT : OBJSTORE_TRANSIENT, 0,
                        "", "not sent: %s", text[0] == '\0' ? "the store is not proven yet" : text);
    req->done(req);
}

/* The first that need not wait any longer. */
static struct objstore_req *take_locked(struct gate *g, bool *unwanted)
{
    bool all = g->shared.stopping || atomic_load(&g->state) != OBJSTORE_GATE_WAIT ||
               clock_mono_ns(g->clock) >= g->until_ns;

    for (struct objstore_req **at = &g->shared.first; *at != NULL; at = &(*at)->next) {
        struct objstore_req *req = *at;

        *unwanted = g->shared.stopping || req->state == REQ_UNWANTED;
        if (!all && !*unwanted)
            continue;
        *at = req->next;
        if (req->next == NULL)
            g->shared.last = at;
        req->next = NULL;
        return req;
    }
    return NULL;
}

static void run(void *arg)
{
    const uint64_t look_ns = (uint64_t)GATE_LOOK_MS * 1000000;
    struct gate *g = arg;
    bool stopped = false;

    while (!stopped) {
        struct objstore_req *req;
        bool unwanted = false;

        lock_take(&g->shared.lock);
        req = take_locked(g, &unwanted);
        stopped = req == NULL && g->shared.stopping;
        if (req == NULL && !stopped && g->shared.first == NULL)
            cond_wait(&g->shared.woken, &g->shared.lock);
        else if (req == NULL && !stopped)
            (void)cond_wait_ns(&g->shared.woken, &g->shared.lock, look_ns);
        lock_drop(&g->shared.lock);
        if (req != NULL)
            end_held(g, req, unwanted);
    }
}

static void hold(struct gate *g, struct objstore_req *req)
{
    lock_take(&g->shared.lock);
    req->state = REQ_HELD;
    req->next = NULL;
    *g->shared.last = req;
    g->shared.last = &req->next;
    cond_signal(&g->shared.woken);
    lock_drop(&g->shared.lock);
}

static void on_submit(struct objstore *s, struct objstore_req *req)
{
    struct gate *g = (struct gate *)s;

    if (writes(req) && atomic_load(&g->state) != OBJSTORE_GATE_OPEN)
        hold(g, req);
    else
        pass(g, req);
}

/* Found by its address alone: a request that ended meanwhile is not looked into. The inner store
 * takes no harm from the name of what is not its own as long as it has not ended. */
static void on_cancel(struct objstore *s, struct objstore_req *req)
{
    struct gate *g = (struct gate *)s;
    bool held = false;

    lock_take(&g->shared.lock);
    for (struct objstore_req *at = g->shared.first; at != NULL && !held; at = at->next)
        if (at == req) {
            at->state = REQ_UNWANTED;
            held = true;
        }
    cond_signal(&g->shared.woken);
    lock_drop(&g->shared.lock);
    if (!held)
        objstore_cancel(g->inner, req);
}

static void on_reload(struct objstore *s)
{
    objstore_reload(((struct gate *)s)->inner);
}

static void on_trouble(struct objstore *s, char text[ERR_TEXT_BYTES])
{
    objstore_trouble(((struct gate *)s)->inner, text);
}

static void on_close(struct objstore *s)
{
    struct gate *g = (struct gate *)s;

    lock_take(&g->shared.lock);
    g->shared.stopping = true;
    cond_signal(&g->shared.woken);
    lock_drop(&g->shared.lock);
    thread_join(&g->thread);
    lock_take(&g->shared.lock);
    while (g->shared.under_way > 0)
        cond_wait(&g->shared.idle, &g->shared.lock);
    lock_drop(&g->shared.lock);
    cond_fini(&g->shared.idle);
    cond_fini(&g->shared.woken);
    lock_fini(&g->shared.lock);
    mem_free(g);
}

static const struct objstore_ops OPS = {.submit = on_submit,
                                        .cancel = on_cancel,
                                        .reload = on_reload,
                                        .trouble = on_trouble,
                                        .close = on_close};

status objstore_gate_open(struct objstore *inner, struct clock *clock, uint64_t hold_ms,
                          struct objstore **out, struct err *err)
{
    struct gate *g = mem_zero(sizeof *g);
    status st;

    if (g == NULL)
        return err_set(err, ST_NOMEM, "open %s: out of memory", inner->description);
    g->store.ops = &OPS;
    g->inner = inner;
    g->clock = clock;
    g->until_ns = clock_mono_ns(clock) + hold_ms * 1000000;
    g->shared.last = &g->shared.first;
    memcpy(g->store.description, inner->description, sizeof g->store.description);
    lock_init(&g->shared.lock, LOCK_RANK_LEAF, "objstore gate");
    cond_init(&g->shared.woken);
    cond_init(&g->shared.idle);
    st = thread_start(&g->thread, "objgate", THREAD_NORMAL, run, g, err);
    if (st != ST_OK) {
        cond_fini(&g->shared.idle);
        cond_fini(&g->shared.woken);
        lock_fini(&g->shared.lock);
        mem_free(g);
        return st;
    }
    *out = &g->store;
    return ST_OK;
}

void objstore_gate_set(struct objstore *s, enum objstore_gate_state state, const char *text)
{
    struct gate *g = (struct gate *)s;

    assert(s->ops == &OPS);
    lock_take(&g->shared.lock);
    (void)snprintf(g->shared.text, sizeof g->shared.text, "%s", text == NULL ? "" : text);
    atomic_store(&g->state, (int)state);
    cond_signal(&g->shared.woken);
    lock_drop(&g->shared.lock);
}

uint64_t objstore_gate_server(struct objstore *s)
{
    struct gate *g = (struct gate *)s;

    assert(s->ops == &OPS);
    return atomic_load_explicit(&g->server, memory_order_relaxed);
}
