/* Who reads the bucket step by step while it changes: root, manifest, segments, groups. With a pin
 * nothing is missing; without one a 404 means that the root is read again, and never comes within
 * the grace. */
#include "sim.h"

#include <inttypes.h>
#include <string.h>

enum { STEP_MS = 900, HOLD_MS = 40000, ROUNDS = 2 };
enum stage {
    READ_ROOT = 0,
    PIN_WRITE,
    PIN_LOOK,
    READ_MANIFEST,
    READ_SEGMENT,
    READ_RUN,
    READ_GROUP,
    HOLD
};

static struct sim_manifest *manifest_of(struct sim *w, const struct sim_reader *r)
{
    return r->root.has_manifest ? gc_manifest(w, gc_id(r->root.manifest.uuid)) : NULL;
}

static void end(struct sim *w, struct sim_reader *r)
{
    if (r->pin != 0 && r->holds && !sim_chance(w, 200)) /* else it is left lying */
        w->pins[r->pin - 1].there = w->pins[r->pin - 1].holds = false;
    r->on = false;
}

/* --- what there is to read --- */

static void run_add(struct sim_reader *r, uint64_t epoch, uint64_t first, uint64_t last)
{
    if (r->run_count < SIM_RUNS)
        r->runs[r->run_count++] = (struct sim_run){epoch, first, last};
}

static uint64_t first_of(const struct log_floor *f, uint64_t epoch)
{
    return epoch == f->epoch ? f->seq : 1;
}

/* last 0: as far as a listing shows. */
static void runs_of(struct sim *w, struct sim_reader *r)
{
    const struct sim_manifest *m = manifest_of(w, r);
    const struct root *root = &r->root;
    const struct log_floor *f = m != NULL ? &m->floor : &root->floor;

    r->run_count = 0;
    for (size_t i = 0; m != NULL && i < m->lineage_count; i++)
        if (m->lineages[i].epoch >= f->epoch)
            run_add(r, m->lineages[i].epoch, first_of(f, m->lineages[i].epoch),
                    m->lineages[i].end_seq);
    for (size_t i = 0; i < root->lineage_count; i++)
        if (root->lineages[i].epoch >= f->epoch)
            run_add(r, root->lineages[i].epoch, first_of(f, root->lineages[i].epoch),
                    root->lineages[i].end_seq);
    if (r->pinned)
        return;
    for (size_t i = 0; i < root->open_count; i++)
        run_add(r, root->open[i], first_of(f, root->open[i]), 0);
    run_add(r, root->epoch, first_of(f, root->epoch), 0);
}

/* --- a pin --- */

static void pin_write(struct sim *w, struct sim_reader *r)
{
    const struct sim_manifest *m = manifest_of(w, r);
    struct sim_pin *p;

    runs_of(w, r);
    if (r->pin == 0 && w->pin_count == SIM_PINS) {
        r->on = false;
        return;
    }
    if (r->pin == 0)
        r->pin = ++w->pin_count;
    p = &w->pins[r->pin - 1];
    memset(p, 0, sizeof *p);
    p->there = true;
    p->manifest = m != NULL ? m->id : 0;
    for (size_t i = 0; i < r->run_count; i++) {
        p->epoch = r->runs[i].epoch;
        p->seq = r->runs[i].last;
    }
    r->stage = PIN_LOOK;
    sim_say(w, "reader %zu pins manifest %" PRIu64 " up to group %" PRIu64 "/%" PRIu64,
            (size_t)(r - w->readers), p->manifest, p->epoch, p->seq);
}

/* The mark decides whether the pin came early enough. */
static void pin_look(struct sim *w, struct sim_reader *r)
{
    const struct sim_manifest *m = manifest_of(w, r);
    struct sim_pin *p = &w->pins[r->pin - 1];
    bool believed = (w->twins & SIM_TWIN_BELIEVE_PIN) != 0;

    if (!believed &&
        (w->root.state == ROOT_DROPPED || w->root.gc_mark > (m != NULL ? m->revision : 0))) {
        w->seen[SEEN_PIN_TOO_LATE] = true;
        p->there = false;
        r->root = w->root;
        r->stage = PIN_WRITE;
        if (w->root.state == ROOT_DROPPED)
            r->on = false;
        return;
    }
    r->holds = p->holds = true;
    r->stage = READ_MANIFEST;
    w->seen[SEEN_PIN_HELD] = true;
}

/* --- reading --- */

static void again(struct sim *w, struct sim_reader *r)
{
    r->root = w->root;
    memcpy(r->etag, w->etag, sizeof r->etag);
    r->root_ms = w->now_ms;
    r->index = r->seq = 0;
    r->stage = r->pinned && r->pin == 0 ? PIN_WRITE : READ_MANIFEST;
    if (r->root.state != ROOT_LIVE)
        r->on = false;
}

static void missed(struct sim *w, struct sim_reader *r, const char *what, uint64_t a, uint64_t b)
{
    size_t at = (size_t)(r - w->readers);

    w->seen[SEEN_READER_404] = true;
    sim_say(w, "reader %zu misses %s %" PRIu64 "/%" PRIu64, at, what, a, b);
    if (w->root.state == ROOT_DROPPED && !r->pinned) {
        r->on = false;
        return;
    }
    if (r->pinned)
        sim_fail(w, "reader %zu with a pin misses %s %" PRIu64 "/%" PRIu64, at, what, a, b);
    else if (w->now_ms - r->root_ms <= w->grace_ms)
        sim_fail(w, "reader %zu misses %s %" PRIu64 "/%" PRIu64 " within the grace", at, what, a,
                 b);
    else if (strcmp(r->etag, w->etag) == 0)
        sim_fail(w, "reader %zu misses %s %" PRIu64 "/%" PRIu64 ", which the root still names", at,
                 what, a, b);
    again(w, r);
}

static void read_manifest(struct sim *w, struct sim_reader *r)
{
    const struct sim_manifest *m = manifest_of(w, r);

    if (m != NULL && !m->there) {
        missed(w, r, "manifest", m->revision, m->id);
        return;
    }
    runs_of(w, r);
    r->index = 0;
    r->stage = READ_SEGMENT;
}

static void read_segment(struct sim *w, struct sim_reader *r)
{
    const struct sim_manifest *m = manifest_of(w, r);

    if (m == NULL || r->index == m->segment_count) {
        r->index = 0;
        r->stage = READ_RUN;
        return;
    }
    if (!w->segments[m->segments[r->index]].there)
        missed(w, r, "segment", m->segments[r->index], 0);
    else
        r->index++;
}

static void done(struct sim *w, struct sim_reader *r)
{
    w->seen[SEEN_READ_THROUGH] = true;
    r->stage = HOLD;
    if (!r->pinned || ++r->rounds == ROUNDS)
        end(w, r);
}

static void read_run(struct sim *w, struct sim_reader *r)
{
    struct sim_run *run = &r->runs[r->index];

    if (r->index == r->run_count) {
        done(w, r);
        return;
    }
    r->seq = run->first;
    while (run->last == 0 && store_group(w, run->epoch, r->seq) != NULL)
        r->seq++;
    if (run->last == 0)
        run->last = r->seq - 1;
    r->seq = run->first;
    r->stage = READ_GROUP;
}

static void read_group(struct sim *w, struct sim_reader *r)
{
    const struct sim_run *run = &r->runs[r->index];

    if (run->last < run->first || r->seq > run->last) {
        r->index++;
        r->stage = READ_RUN;
    } else if (store_group(w, run->epoch, r->seq) == NULL) {
        missed(w, r, "group", run->epoch, r->seq);
    } else {
        r->seq++;
    }
}

static void step(struct sim *w, struct sim_reader *r)
{
    switch ((enum stage)r->stage) {
    case READ_ROOT:
        again(w, r);
        break;
    case PIN_WRITE:
        pin_write(w, r);
        break;
    case PIN_LOOK:
        pin_look(w, r);
        break;
    case READ_MANIFEST:
    case HOLD:
        read_manifest(w, r);
        break;
    case READ_SEGMENT:
        read_segment(w, r);
        break;
    case READ_RUN:
        read_run(w, r);
        break;
    case READ_GROUP:
        read_group(w, r);
        break;
    }
}

static uint64_t pace_ms(const struct sim_reader *r)
{
    if (r->stage == HOLD)
        return HOLD_MS;
    return r->stage == PIN_WRITE || r->stage == PIN_LOOK ? 4 * r->pace_ms : r->pace_ms;
}

void reader_step(struct sim *w, size_t at)
{
    struct sim_reader *r = &w->readers[at];

    if (!r->on)
        return;
    if (r->pinned && sim_chance(w, 10)) { /* its process dies, its pin stays */
        r->on = false;
        return;
    }
    if (!store_away(w) && w->has_root)
        step(w, r);
    if (r->on)
        sim_at(w, w->now_ms + 1 + sim_below(w, pace_ms(r)), EV_READER, 0)->request = at;
}

void reader_begin(struct sim *w, bool pinned)
{
    for (size_t i = 0; i < SIM_READERS; i++) {
        struct sim_reader *r = &w->readers[i];

        if (r->on)
            continue;
        memset(r, 0, sizeof *r);
        r->on = true;
        r->pinned = pinned;
        r->pace_ms = sim_chance(w, 300) ? STEP_MS * 5 : STEP_MS;
        sim_at(w, w->now_ms + 1, EV_READER, 0)->request = i;
        return;
    }
}
