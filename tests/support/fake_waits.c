/* node/cold_exec.h: threads for collections that a test says wait for the network. */
#include "tests/support/fake_node_internal.h"

#include "node/cold_exec.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

void fake_node_set_waits(struct node *n, const char *name, bool waits)
{
    struct collection *c;

    lock_take(&n->s.lock);
    c = fake_find_locked(n, name, strlen(name));
    assert(c != NULL);
    atomic_store(&c->waits, waits);
    lock_drop(&n->s.lock);
}

unsigned fake_node_waited(struct node *n)
{
    return atomic_load(&n->waited);
}

void fake_node_refuse_waits(struct node *n, status st)
{
    atomic_store(&n->refuse_waits, (int)st);
}

void node_cold_state(struct collection *c, struct node_cold_state *out)
{
    *out = (struct node_cold_state){.waits = node_collection_waits(c)};
    if (out->waits)
        *out = (struct node_cold_state){.waits = true,
                                        .is_open = true,
                                        .rows = 5,
                                        .segments = 1,
                                        .resident_bytes = 64,
                                        .cached_bytes = 128,
                                        .hits = 2,
                                        .misses = 3};
}

status node_cold_warm(struct collection *c, uint64_t deadline_ns, const _Atomic bool *stop,
                      uint64_t *bytes, struct err *err)
{
    status st;

    (void)deadline_ns;
    (void)stop;
    *bytes = 4096;
    if (!node_collection_waits(c))
        return err_set(err, ST_UNSUPPORTED, "it is all in memory");
    lock_take(&c->node->s.lock);
    st = fake_refusal_of_bucket_locked(c->node);
    lock_drop(&c->node->s.lock);
    return st == ST_OK ? st : err_set(err, st, "the bucket is away, says the test");
}

status node_cold_unload(struct collection *c, uint64_t *bytes, struct err *err)
{
    return node_cold_warm(c, 0, NULL, bytes, err);
}

bool node_cold_thread(void)
{
    return exec_worker_index() >= EXEC_WORKERS_MAX;
}

bool node_collection_waits(const struct collection *c)
{
    return atomic_load(&c->waits);
}

static struct exec *threads(struct node *n)
{
    const struct exec_options options = {
        .workers = 4, .name = "cold", .first_index = EXEC_WORKERS_MAX, .clock = clock_real()};

    lock_take(&n->s.lock);
    if (n->s.cold == NULL) {
        status st = exec_open(&options, &n->s.cold, NULL);

        assert(st == ST_OK);
        (void)st;
    }
    lock_drop(&n->s.lock);
    return n->s.cold;
}

status node_cold_submit(struct node *n, struct task *task, uint64_t *retry_after_ns,
                        struct err *err)
{
    int st = atomic_exchange(&n->refuse_waits, ST_OK);

    if (st != ST_OK)
        return err_set(err, (status)st, "the queue is full, says the test");
    atomic_fetch_add(&n->waited, 1);
    return exec_submit(threads(n), task, retry_after_ns, err);
}

status node_cold_resubmit(struct node *n, struct task *task, struct err *err)
{
    (void)err;
    atomic_fetch_add(&n->waited, 1);
    exec_resubmit(threads(n), task);
    return ST_OK;
}
