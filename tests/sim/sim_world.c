#include "sim.h"

#include "base/hash.h"

#include <stdio.h>
#include <string.h>

const uint8_t SIM_COLLECTION[16] = {'s', 'i', 'm'};

uint64_t sim_random(struct sim *w)
{
    w->random += 0x9E3779B97F4A7C15u;
    return hash_u64(w->random);
}

uint64_t sim_below(struct sim *w, uint64_t bound)
{
    return sim_random(w) % bound;
}

bool sim_chance(struct sim *w, uint32_t per_mille)
{
    return sim_below(w, 1000) < per_mille;
}

/* The first failure counts; the run stops at the next event. */
void sim_fail(struct sim *w, const char *format, ...)
{
    va_list ap;

    if (w->failed)
        return;
    w->failed = true;
    va_start(ap, format);
    (void)vsnprintf(w->text, sizeof w->text, format, ap);
    va_end(ap);
    if (w->trace)
        printf("%9llu FAILED %s\n", (unsigned long long)w->now_ms, w->text);
}

void sim_say(struct sim *w, const char *format, ...)
{
    va_list ap;

    if (!w->trace)
        return;
    printf("%9llu ", (unsigned long long)w->now_ms);
    va_start(ap, format);
    (void)vprintf(format, ap);
    va_end(ap);
    putchar('\n');
}

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

/* A new event, to be filled in; events are few enough to be looked through. */
struct sim_event *sim_at(struct sim *w, uint64_t at_ms, enum sim_event_kind kind, size_t node)
{
    static struct sim_event spare;
    struct sim_event *e = &spare;

    if (w->event_count < SIM_EVENTS)
        e = &w->events[w->event_count++];
    else
        sim_fail(w, "the simulator has no room for more events");
    memset(e, 0, sizeof *e);
    e->at_ms = at_ms;
    e->order = ++w->order;
    e->kind = kind;
    e->node = node;
    e->gen = w->node[node].gen;
    return e;
}

bool sim_next(struct sim *w, struct sim_event *out)
{
    size_t first = 0;

    if (w->event_count == 0)
        return false;
    for (size_t i = 1; i < w->event_count; i++)
        if (before(&w->events[i], &w->events[first]))
            first = i;
    *out = w->events[first];
    w->events[first] = w->events[--w->event_count];
    return true;
}

uint64_t sim_bytes(uint32_t value)
{
    return 100 + hash_u64(value) % 300;
}
