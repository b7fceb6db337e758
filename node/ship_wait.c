/* Writes that are durable here and wait for the bucket. */
#include "node/node_internal.h"

#include <stdatomic.h>

static struct remote_wait *take_waits(struct collection *c, uint64_t up_to_lsn, uint64_t due_ns)
{
    struct remote_wait *taken = NULL;
    struct remote_wait **last = &taken;

    lock_take(&c->remote.lock);
    if (due_ns == 0 && up_to_lsn != UINT64_MAX && up_to_lsn > c->remote.reached_lsn)
        c->remote.reached_lsn = up_to_lsn;
    while (c->remote.first != NULL && c->remote.first->lsn <= up_to_lsn &&
           (due_ns == 0 || c->remote.first->deadline_ns <= due_ns)) {
        *last = c->remote.first;
        last = &c->remote.first->next;
        c->remote.first = c->remote.first->next;
        atomic_fetch_sub(&c->node->remote_waits, 1);
    }
    *last = NULL;
    if (c->remote.first == NULL)
        c->remote.last = &c->remote.first;
    lock_drop(&c->remote.lock);
    return taken;
}

static void answer_all(struct remote_wait *waits, bool remote)
{
    while (waits != NULL) {
        struct remote_wait *next = waits->next; /* answering gives it back */

        waits->answer(waits, remote);
        waits = next;
    }
}

void ship_wait(struct collection *c, struct remote_wait *wait)
{
    bool reached;
    bool now;

    wait->next = NULL;
    lock_take(&c->remote.lock);
    reached = c->remote.reached_lsn >= wait->lsn;
    now = reached || c->remote.closed;
    if (!now) {
        *c->remote.last = wait;
        c->remote.last = &wait->next;
        atomic_fetch_add(&c->node->remote_waits, 1);
    }
    lock_drop(&c->remote.lock);
    if (now)
        wait->answer(wait, reached);
}

void ship_waits_close(struct collection *c, bool closed)
{
    lock_take(&c->remote.lock);
    c->remote.closed = closed || atomic_load(&c->node->waits_over);
    lock_drop(&c->remote.lock);
    if (closed)
        answer_all(take_waits(c, UINT64_MAX, 0), false);
}

void ship_waits_reached(struct collection *c, uint64_t lsn)
{
    answer_all(take_waits(c, lsn, 0), true);
}

void ship_waits_give_up(struct collection *c, uint64_t lsn)
{
    answer_all(take_waits(c, lsn, UINT64_MAX), false); /* every deadline is over */
}

void ship_waits_expire(struct collection *c, uint64_t now_ns)
{
    answer_all(take_waits(c, UINT64_MAX, now_ns), false);
}
