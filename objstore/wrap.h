/* wrap.h - how a store stands around another: it takes done() and arg of a request into a slot of
 * the request itself, and gives them back before it calls done(). Nothing is allocated, and the
 * request keeps its address, so cancelling goes straight through.
 *
 * Slots are a stack: the outermost wrapper's is the first, and done() unwinds from the last.
 *
 * Threads    between submit and done() the slot is its owner's alone. */
#ifndef OBJSTORE_WRAP_H
#define OBJSTORE_WRAP_H

#include "objstore/objstore.h"

#include <assert.h>

static inline struct objstore_slot *wrap_push(struct objstore_req *req, void *owner,
                                              objstore_done_fn *done)
{
    struct objstore_slot *slot = &req->slots[req->slot_count];

    assert(req->slot_count < OBJSTORE_WRAPPERS_MAX);
    *slot = (struct objstore_slot){.owner = owner, .done = req->done, .arg = req->arg};
    req->slot_count++;
    req->done = done;
    return slot;
}

static inline struct objstore_slot *wrap_top(struct objstore_req *req)
{
    assert(req->slot_count > 0);
    return &req->slots[req->slot_count - 1];
}

/* The last thing a wrapper does with the request. */
static inline void wrap_done(struct objstore_req *req)
{
    const struct objstore_slot *slot = wrap_top(req);

    req->slot_count--;
    req->done = slot->done;
    req->arg = slot->arg;
    req->done(req);
}

#endif
