#include "objstore/gate.h"

#include "base/hash.h"
#include "base/mem.h"
#include "objstore/crew.h"
#include "objstore/store.h"
#include "objstore/wrap.h"

#include <stdatomic.h>
#include <stdio.h>

struct gate {
    struct objstore store;
    struct objstore *inner; /* borrowed */
    struct crew crew;       /* answers what does not pass */
    _Atomic int state;      /* enum objstore_gate_state */
    _Atomic uint64_t server;
    struct {              /* guarded by lock */
        struct lock lock; /* LOCK_RANK_LEAF */
        struct cond idle;
        uint64_t under_way; /* with the inner store */
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

/* On the crew's thread: it may have been opened since. The answer is the one of then. */
static void run(void *arg, struct objstore_req *req)
{
    struct gate *g = arg;
    bool refused = atomic_load(&g->state) == OBJSTORE_GATE_REFUSE;
    char text[OBJSTORE_GATE_TEXT_BYTES];

    lock_take(&g->shared.lock);
    memcpy(text, g->shared.text, sizeof text);
    lock_drop(&g->shared.lock);
    objstore_answer(req, refused ? OBJSTORE_PERMANENT : OBJSTORE_TRANSIENT, 0, "", "not sent: %s",
                    text[0] == '\0' ? "the store is not proven yet" : text);
}

static void on_submit(struct objstore *s, struct objstore_req *req)
{
    struct gate *g = (struct gate *)s;

    if (writes(req) && atomic_load(&g->state) != OBJSTORE_GATE_OPEN) {
        crew_submit(&g->crew, req);
        return;
    }
    lock_take(&g->shared.lock);
    g->shared.under_way++;
    lock_drop(&g->shared.lock);
    (void)wrap_push(req, g, on_done);
    objstore_submit(g->inner, req);
}

static void on_cancel(struct objstore *s, struct objstore_req *req)
{
    struct gate *g = (struct gate *)s;

    /* What does not pass is answered at once; the inner store takes no harm from the name of what
     * is not its own as long as it has not ended. */
    crew_cancel(&g->crew, req);
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

    crew_stop(&g->crew);
    lock_take(&g->shared.lock);
    while (g->shared.under_way > 0)
        cond_wait(&g->shared.idle, &g->shared.lock);
    lock_drop(&g->shared.lock);
    cond_fini(&g->shared.idle);
    lock_fini(&g->shared.lock);
    mem_free(g);
}

static const struct objstore_ops OPS = {.submit = on_submit,
                                        .cancel = on_cancel,
                                        .reload = on_reload,
                                        .trouble = on_trouble,
                                        .close = on_close};

status objstore_gate_open(struct objstore *inner, struct objstore **out, struct err *err)
{
    struct gate *g = mem_zero(sizeof *g);
    status st;

    if (g == NULL)
        return err_set(err, ST_NOMEM, "open %s: out of memory", inner->description);
    g->store.ops = &OPS;
    g->inner = inner;
    memcpy(g->store.description, inner->description, sizeof g->store.description);
    st = crew_start(&g->crew, "objgate", 1, run, g, err);
    if (st != ST_OK) {
        mem_free(g);
        return st;
    }
    lock_init(&g->shared.lock, LOCK_RANK_LEAF, "objstore gate");
    cond_init(&g->shared.idle);
    *out = &g->store;
    return ST_OK;
}

void objstore_gate_set(struct objstore *s, enum objstore_gate_state state, const char *text)
{
    struct gate *g = (struct gate *)s;

    assert(s->ops == &OPS);
    lock_take(&g->shared.lock);
    (void)snprintf(g->shared.text, sizeof g->shared.text, "%s", text == NULL ? "" : text);
    lock_drop(&g->shared.lock);
    atomic_store(&g->state, (int)state);
}

uint64_t objstore_gate_server(struct objstore *s)
{
    struct gate *g = (struct gate *)s;

    assert(s->ops == &OPS);
    return atomic_load_explicit(&g->server, memory_order_relaxed);
}
