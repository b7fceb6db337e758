/* Loads from the bucket that failed: damage on the way and a store that denies may pass. The load
 * thread tries them again, each time after twice as long; the collection stays `failed` and says
 * why until one succeeds. What is no longer in the table, or in another state, is let go. */
#include "node/node_internal.h"

#include <stdatomic.h>

enum {
    AGAIN_MS = 10000,
    AGAIN_MS_MAX = 600000,
    LOOK_MS = 60000, /* at those that were let go by others */
};

static uint64_t now_ns(const struct node *node)
{
    return clock_mono_ns(node->options.clock);
}

static bool has_failed(const struct load_job *load)
{
    struct collection *c = node_collection_pin_id(load->node, load->c->id);
    bool failed = c == load->c && atomic_load(&c->seq.state) == COLLECTION_FAILED &&
                  !atomic_load(&c->in_load);

    node_collection_unpin(c);
    return failed;
}

/* On the meta thread: nobody is dropping it, and nobody will before it is given back. */
static status do_claim(void *arg, struct err *err)
{
    struct load_job *load = arg;

    if (!has_failed(load))
        return err_set(err, ST_CLOSED, "it is not what it was");
    atomic_store(&load->c->in_load, true);
    return ST_OK;
}

void load_later(struct load_job *load)
{
    const uint64_t first = load->node->options.load_again_ms;
    uint64_t ms = first > 0 ? first : AGAIN_MS;

    for (uint32_t i = 1; i < load->failures && ms < AGAIN_MS_MAX; i++)
        ms *= 2;
    load->next_ns = now_ns(load->node) + (ms < AGAIN_MS_MAX ? ms : AGAIN_MS_MAX) * 1000000;
    load->later = load->node->loads_later;
    load->node->loads_later = load;
}

uint64_t load_later_wait_ns(const struct node *node)
{
    uint64_t now = now_ns(node), wait = UINT64_MAX / 4;

    for (const struct load_job *l = node->loads_later; l != NULL; l = l->later) {
        uint64_t left = l->next_ns > now ? l->next_ns - now : 1;

        left = left < LOOK_MS * UINT64_C(1000000) ? left : LOOK_MS * UINT64_C(1000000);
        wait = left < wait ? left : wait;
    }
    return wait;
}

static void try_again(struct load_job *load)
{
    struct err err = {0};

    if (jobs_run(&load->node->meta, do_claim, load, &err) == ST_OK)
        load_run(load);
    else
        load_end(load);
}

void load_later_run(struct node *node)
{
    struct load_job *all = node->loads_later, *load;

    node->loads_later = NULL;
    while ((load = all) != NULL) {
        all = load->later;
        if (!has_failed(load)) {
            load_end(load);
        } else if (load->next_ns <= now_ns(node) && !atomic_load(&node->stopping)) {
            try_again(load);
        } else {
            load->later = node->loads_later;
            node->loads_later = load;
        }
    }
}

void load_later_end(struct node *node)
{
    struct load_job *load;

    while ((load = node->loads_later) != NULL) {
        node->loads_later = load->later;
        load_end(load);
    }
}
