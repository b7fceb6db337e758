#include "tests/unit/snapshot/counting_store.h"

#include <stdio.h>

static void submit(struct objstore *s, struct objstore_req *req)
{
    struct counting_store *c = (struct counting_store *)(void *)s;

    atomic_fetch_add(&c->counts[req->op], 1);
    atomic_fetch_add(&c->fresh, req->fresh_connection);
    if (atomic_fetch_add(&c->all, 1) + 1 == c->stop_at)
        atomic_store(c->stop, true);
    objstore_submit(c->inner, req);
}

static void cancel(struct objstore *s, struct objstore_req *req)
{
    objstore_cancel(((struct counting_store *)(void *)s)->inner, req);
}

static void close_nothing(struct objstore *s)
{
    (void)s;
}

void counting_store_init(struct counting_store *c, struct objstore *inner)
{
    static const struct objstore_ops ops = {
        .submit = submit, .cancel = cancel, .close = close_nothing};

    *c = (struct counting_store){.store = {.ops = &ops}, .inner = inner};
    (void)snprintf(c->store.description, sizeof c->store.description, "counting");
}
