/* The network before the bucket, and a bucket that is not well: requests and answers are lost, held
 * back until nobody waits for them, delivered twice, cut short; for a while everything is refused,
 * throttled, full or slow. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

enum { GIVES_UP_MS = 30000, SLOW_MS = 90000, RETRY_AFTER_MS = 30000 };

bool store_away(const struct sim *w)
{
    return w->now_ms < w->outage_until_ms || w->now_ms < w->miss_until_ms;
}

void store_forget(struct sim *w, struct sim_request *r)
{
    (void)w;
    if (--r->refs == 0)
        r->used = false;
}

static void at(struct sim *w, struct sim_request *r, enum sim_event_kind kind, uint64_t after_ms)
{
    sim_at(w, w->now_ms + after_ms, kind, r->node)->request = (size_t)(r - w->requests);
    r->refs++;
}

static void instead(struct sim_request *r, enum objstore_class class, bool maybe)
{
    r->replace = true;
    r->class = class;
    r->maybe = maybe;
}

static bool writes(const struct sim_request *r)
{
    return r->effect.kind == STREAM_DO_PUT_ROOT || r->effect.kind == STREAM_DO_PUT_GROUP;
}

static bool reads_body(const struct sim_request *r)
{
    return r->effect.kind == STREAM_DO_LIST || r->effect.kind == STREAM_DO_READ_GROUP ||
           r->effect.kind == STREAM_DO_COMPARE || r->effect.kind == STREAM_DO_READ_ROOT;
}

static void throttle(struct sim *w, struct sim_request *r)
{
    instead(r, OBJSTORE_THROTTLE, false);
    if (sim_chance(w, 500))
        r->retry_after_ms = 1000 + sim_below(w, RETRY_AFTER_MS);
    w->seen[SEEN_THROTTLED] = true;
}

/* Everything or all writes are answered with one class, and have no effect. */
static bool period(struct sim *w, struct sim_request *r)
{
    if (w->now_ms < w->outage_until_ms) {
        instead(r, OBJSTORE_TRANSIENT, false);
        return true;
    }
    if (w->now_ms < w->throttle_until_ms && sim_chance(w, 800)) {
        throttle(w, r);
        return true;
    }
    if (w->now_ms < w->full_until_ms && writes(r)) {
        instead(r, OBJSTORE_CAPACITY, false);
        w->seen[SEEN_STORE_FULL] = true;
        return true;
    }
    if (w->now_ms < w->deny_until_ms && (w->deny_all || r->effect.kind == STREAM_DO_PUT_GROUP)) {
        instead(r, OBJSTORE_PERMANENT, false);
        return true;
    }
    if (w->now_ms < w->miss_until_ms && r->effect.kind == STREAM_DO_READ_ROOT) {
        instead(r, OBJSTORE_NOT_FOUND, false);
        return true;
    }
    return false;
}

/* Refused before it had an effect. */
static bool refusal(struct sim *w, struct sim_request *r)
{
    const struct sim_faults *f = &w->faults;

    if (sim_chance(w, f->error)) {
        if (sim_chance(w, 500))
            throttle(w, r);
        else
            instead(r, OBJSTORE_TRANSIENT, false);
    } else if (writes(r) && sim_chance(w, f->conflict)) {
        instead(r, OBJSTORE_CONFLICT, false);
    } else if (sim_chance(w, f->lost_before)) {
        instead(r, OBJSTORE_TRANSIENT, true);
    } else if (sim_chance(w, f->miss) &&
               (r->effect.kind == STREAM_DO_READ_ROOT || r->effect.kind == STREAM_DO_READ_GROUP)) {
        instead(r, OBJSTORE_NOT_FOUND, false);
    } else if (sim_chance(w, f->bad) && r->effect.kind == STREAM_DO_READ_GROUP) {
        instead(r, OBJSTORE_INTEGRITY, false);
    }
    return r->replace;
}

/* A body that ends early is noticed by its length, a page by what its end should say. */
static bool partial(struct sim *w, struct sim_request *r, uint64_t there, uint64_t back)
{
    if (!reads_body(r) || !sim_chance(w, w->faults.partial))
        return false;
    w->seen[SEEN_PARTIAL] = true;
    at(w, r, EV_APPLY, there);
    at(w, r, EV_ANSWER, there + back);
    if ((w->twins & SIM_TWIN_BELIEVE_PARTIAL) != 0)
        r->cut_short = true;
    else
        instead(r, OBJSTORE_TRANSIENT, false);
    return true;
}

/* Who asked waits for so long, or gives up before it arrives. */
static void slow(struct sim *w, struct sim_request *r)
{
    uint64_t there = sim_below(w, SLOW_MS), back = sim_below(w, SLOW_MS);

    w->seen[SEEN_SLOW] = w->seen[SEEN_SLOW] || there + back > 2 * GIVES_UP_MS;
    at(w, r, EV_APPLY, there);
    if (there + back > GIVES_UP_MS && sim_chance(w, 500)) {
        instead(r, OBJSTORE_TRANSIENT, true);
        back = 0;
        there = GIVES_UP_MS;
    }
    at(w, r, EV_ANSWER, there + back);
}

void store_send(struct sim *w, struct sim_request *r)
{
    const struct sim_faults *f = &w->faults;
    uint64_t there = 1 + sim_below(w, 20), back = 1 + sim_below(w, 20);
    uint64_t gives_up = 1000 + sim_below(w, 4000);

    w->request_count++;
    if (period(w, r) || refusal(w, r)) {
        at(w, r, EV_ANSWER, r->maybe ? gives_up : there + back);
    } else if (w->now_ms < w->slow_until_ms) {
        slow(w, r);
    } else if (partial(w, r, there, back)) {
        return;
    } else if (sim_chance(w, f->late)) {
        instead(r, OBJSTORE_TRANSIENT, true);
        at(w, r, EV_ANSWER, gives_up);
        at(w, r, EV_APPLY, gives_up + sim_below(w, 40000));
    } else if (sim_chance(w, f->lost_after)) {
        instead(r, OBJSTORE_TRANSIENT, true);
        at(w, r, EV_APPLY, there);
        at(w, r, EV_ANSWER, gives_up);
    } else {
        at(w, r, EV_APPLY, there);
        if (sim_chance(w, f->twice))
            at(w, r, EV_APPLY, there + 1 + sim_below(w, 20000));
        at(w, r, EV_ANSWER, there + back);
    }
}
