/* Between a node's cores and the network, as tiering/tier_send.c is: requests wait in order, reads
 * before groups, and one breaker decides whether the next one goes out. And how hard the node
 * pushes back on its writers meanwhile (tiering/pressure.h). */
#include "sim.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { WAITING_MAX = STREAM_FLIGHT_MAX + 4 }; /* what one core may have asked for at a time */

static struct sim_request *request_make(struct sim *w)
{
    for (size_t i = 0; i < SIM_REQUESTS; i++)
        if (!w->requests[i].used)
            return &w->requests[i];
    return NULL;
}

static bool is_group(const struct sim_request *r)
{
    return r->effect.kind == STREAM_DO_PUT_GROUP;
}

/* The first that waits: of the reads, else of the groups. */
static struct sim_request *first_waiting(struct sim *w, size_t node)
{
    struct sim_request *first = NULL;

    for (size_t i = 0; i < SIM_REQUESTS; i++) {
        struct sim_request *r = &w->requests[i];

        if (!r->used || !r->waits || r->node != node)
            continue;
        if (first == NULL || is_group(r) < is_group(first) ||
            (is_group(r) == is_group(first) && r->order < first->order))
            first = r;
    }
    return first;
}

void send_pump(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];
    struct sim_request *r;

    while (n->waiting > 0 && (r = first_waiting(w, node)) != NULL) {
        if (r->gen != n->gen) { /* its core is gone */
            r->used = r->waits = false;
            n->waiting--;
            continue;
        }
        if (breaker_next_ms(&n->breaker) > w->now_ms) {
            if (breaker_next_ms(&n->breaker) != UINT64_MAX)
                (void)sim_at(w, breaker_next_ms(&n->breaker), EV_PUMP, node);
            return;
        }
        if (!breaker_admit(&n->breaker, w->now_ms))
            return;
        if (n->breaker.state == BREAKER_HALF_OPEN)
            w->seen[SEEN_HALF_OPEN] = true;
        r->waits = false;
        n->waiting--;
        r->sent_in = n->session;
        store_send(w, r);
    }
}

struct sim_request *send_make(struct sim *w, size_t node)
{
    struct sim_request *r = request_make(w);

    if (r == NULL) {
        sim_fail(w, "the simulator has no room for more requests");
        return NULL;
    }
    memset(r, 0, offsetof(struct sim_request, root));
    r->used = true;
    r->node = node;
    r->gen = w->node[node].gen;
    r->order = ++w->order;
    return r;
}

void send_request(struct sim *w, size_t node, const struct stream_effect *effect,
                  const uint32_t *values)
{
    struct sim_node *n = &w->node[node];
    struct sim_request *r = send_make(w, node);
    size_t mine = 0;

    if (r == NULL)
        return;
    r->waits = true;
    r->effect = *effect;
    if (effect->root != NULL)
        r->root = *effect->root;
    if (effect->etag != NULL)
        (void)snprintf(r->etag, sizeof r->etag, "%s", effect->etag);
    if (values != NULL)
        memcpy(r->values, values, sizeof r->values);
    else
        memset(r->values, 0, sizeof r->values);
    r->answer =
        (struct stream_event){.kind = store_answer_kind(effect->kind), .token = effect->token};
    n->waiting++;
    for (size_t i = 0; i < SIM_REQUESTS; i++)
        mine += w->requests[i].used && w->requests[i].gen == n->gen &&
                w->requests[i].node == node && !w->requests[i].answered && !w->requests[i].collects;
    if (mine > WAITING_MAX)
        sim_fail(w, "node %zu: %zu requests at a time", node, mine);
    send_pump(w, node);
}

/* What the answer says of the store as a whole. */
void send_answered(struct sim *w, struct sim_request *r, enum objstore_class class)
{
    struct sim_node *n = &w->node[r->node];

    r->answered = true;
    if (n->up && r->sent_in == n->session)
        breaker_answer(&n->breaker, class, r->retry_after_ms, w->now_ms);
}

void send_forget(struct sim *w, size_t node)
{
    for (size_t i = 0; i < SIM_REQUESTS; i++)
        if (w->requests[i].used && w->requests[i].waits && w->requests[i].node == node)
            w->requests[i].used = w->requests[i].waits = false;
    w->node[node].waiting = 0;
}

/* --- pushing back --- */

enum pressure_level send_pressure(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];
    const struct stream *s = &n->stream;
    struct pressure p;
    const struct pressure_facts facts = {
        .unshipped_bytes = n->streams ? s->durable_bytes - s->shipped_bytes : 0,
        .unshipped_bytes_max = w->unshipped_bytes_max,
        .disk_free = disk_free_bytes(n),
        .disk_reserve = w->disk_reserve,
        .lag_ms = n->streams ? stream_lag_ms(s, w->now_ms) : 0,
        .rpo_ms = s->options.rpo_ms,
    };

    pressure_level(&facts, &p);
    if (p.level == PRESSURE_RED)
        w->seen[SEEN_RED] = true;
    if (p.level != n->pressure)
        sim_say(w, "node %zu is %s: %s", node, pressure_level_name(p.level), p.text);
    n->pressure = p.level;
    return p.level;
}
