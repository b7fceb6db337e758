/* When the root is looked at again, and the set it names opened: at the start, where another fold
 * than the set's has come into the root, and where another node owns the collection, whose
 * collector takes the objects of a set away that nobody there has any more. */
#include "node/cold_internal.h"
#include "node/cold_reads.h"

#include <stdatomic.h>

enum {
    FOLLOW_MS = 10000,      /* while another node owns it */
    FOLLOW_AGAIN_MS = 1000, /* objects that are missing without another manifest */
    FOLLOW_POLL_MS = 2,
    FOLLOWS_MAX = 3, /* of one read */
};

static uint64_t now_ms(struct node *node)
{
    return clock_mono_ns(node->options.clock) / 1000000;
}

void cold_want_open(struct collection *c)
{
    atomic_store(&c->cold->open_wanted, true);
}

static bool owned_elsewhere(struct collection *c, const struct tier_stream_status *s)
{
    return s->phase == STREAM_FOREIGN || s->phase == STREAM_FENCED ||
           (s->phase == STREAM_IDLE && atomic_load(&c->cold->foreign));
}

/* A commit whose answer nobody waited for is in the root as the stream knows it. */
static bool open_due(struct collection *c)
{
    struct cold *cold = c->cold;
    struct tier_stream_status s;

    if (cold->set.now == NULL || atomic_load(&cold->open_wanted))
        return true;
    if (!ship_status(c, &s))
        return false;
    if (owned_elsewhere(c, &s))
        return now_ms(c->node) >= cold->follow_due_ms;
    return s.manifest_revision > atomic_load(&cold->revision);
}

static void open_turn(struct collection *c)
{
    struct cold *cold = c->cold;
    const struct cold_open_terms terms = cold_open_patiently(c);
    struct err err = {0};

    if (now_ms(c->node) < cold->open_next_ms || !open_due(c))
        return;
    if (cold_open_now(c, &terms, &err) != ST_OK) {
        cold_open_failed(c, &err);
        return;
    }
    atomic_store(&cold->open_wanted, false);
    cold->open_failures = 0;
    cold->open_next_ms = 0;
    cold->follow_due_ms = now_ms(c->node) + FOLLOW_MS;
}

void cold_open_turn(struct collection *c)
{
    enum collection_state state = atomic_load_explicit(&c->seq.state, memory_order_acquire);

    if (!cold_is(c) || (state != COLLECTION_SERVING && state != COLLECTION_READ_ONLY)) {
        if (state != COLLECTION_LOADING)
            cold_decided(c);
        return;
    }
    if (!cold_work_try(c))
        return;
    open_turn(c);
    cold_work_end(c);
}

/* --- by who reads --- */

/* Where the root names what is open, the object is missing for good; it is not asked for each. */
static void follow(struct cold_reads *r)
{
    struct collection *c = r->c;
    const struct cold_open_terms terms = {.deadline_ns = r->terms.deadline_ns,
                                          .stop = r->terms.stop != NULL ? r->terms.stop
                                                                        : &c->node->stopping};
    uint64_t now = now_ms(c->node);
    unsigned misses = 0;
    status st;

    if (!cold_set_is(c, r->set) || now < c->cold->follow_next_ms)
        return;
    while ((st = cold_open_now(c, &terms, NULL)) == ST_NOT_FOUND && ++misses < FOLLOWS_MAX)
        ; /* the root has gone on meanwhile */
    if (st != ST_OK || cold_set_is(c, r->set))
        c->cold->follow_next_ms = now + FOLLOW_AGAIN_MS;
}

static bool may_wait(const struct cold_reads *r)
{
    return !atomic_load(&r->c->node->stopping) &&
           (r->terms.stop == NULL || !atomic_load(r->terms.stop)) &&
           clock_mono_ns(r->c->node->options.clock) < r->terms.deadline_ns;
}

bool cold_reads_again(struct cold_reads *r, status st)
{
    struct cold_set *next = NULL;

    if (r->set == NULL || r->c->node->cache == NULL || r->follows == FOLLOWS_MAX ||
        (st != ST_NOT_FOUND && (st != ST_OK || !cold_set_missing(r->set))))
        return false;
    while (cold_set_is(r->c, r->set) && may_wait(r)) {
        if (!cold_work_try(r->c)) {
            bucket_pause(r->c->node, FOLLOW_POLL_MS);
            continue;
        }
        follow(r);
        cold_work_end(r->c);
        break;
    }
    if (cold_set_is(r->c, r->set) || cold_hold(r->c, &next, NULL) != ST_OK)
        return false;
    cold_set_drop(r->set);
    r->set = next;
    r->follows++;
    return true;
}
