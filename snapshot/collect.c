/* From step to step of a run: what is asked next, and what an answer means. */
#include "snapshot/collect_internal.h"

#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NS_PER_MS = 1000000 };

const char *collect_step_name(enum collect_step_kind at)
{
    static const char *const NAMES[] = {
        [COLLECT_AT_REST] = "rest",           [COLLECT_AT_ROOT] = "root",
        [COLLECT_AT_MANIFESTS] = "manifests", [COLLECT_AT_KEPT] = "kept",
        [COLLECT_AT_MARK] = "mark",           [COLLECT_AT_MARKED] = "marked",
        [COLLECT_AT_PINS] = "pins",           [COLLECT_AT_PIN] = "pin",
        [COLLECT_AT_PINNED] = "pinned",       [COLLECT_AT_ALL] = "all",
        [COLLECT_AT_CHECK] = "check",         [COLLECT_AT_DELETE] = "delete",
    };

    return (size_t)at < COUNT_OF(NAMES) ? NAMES[at] : "unknown";
}

bool collect_twin(const struct collect *c, enum collect_twin twin)
{
    return (c->options.twins & (uint32_t)twin) != 0;
}

bool collect_age_ms(uint64_t now_ns, uint64_t then_ns, uint64_t *age_ms)
{
    if (now_ns == 0 || then_ns == 0)
        return false;
    *age_ms = now_ns > then_ns ? (now_ns - then_ns) / NS_PER_MS : 0;
    return true;
}

void collect_init(struct collect *c, const struct collect_options *options)
{
    memset(c, 0, sizeof *c);
    assert(options->batch > 0 && options->batch <= COLLECT_BATCH_MAX);
    c->options = *options;
}

void collect_fini(struct collect *c)
{
    mem_free(c->manifests);
    mem_free(c->pins);
    mem_free(c->spans);
    mem_free(c->alive);
    mem_free(c->plan);
    memset(c, 0, sizeof *c);
}

void collect_key(const struct collect *c, size_t i, char out[OBJKEY_BYTES])
{
    const struct objkey *k = &c->plan[i];

    if (k->kind == OBJKEY_IS_GROUP)
        objkey_group(k->collection, k->epoch, k->seq, out);
    else if (k->kind == OBJKEY_IS_MANIFEST)
        objkey_manifest(k->collection, k->revision, k->uuid, out);
    else if (k->kind == OBJKEY_IS_DATA)
        objkey_data(k->collection, k->uuid, out);
    else
        objkey_orphan(k->collection, k->epoch, k->uuid, k->lsn, out);
}

/* --- asking --- */

static void finish(struct collect *c, struct collect_effect *out, enum objstore_class class,
                   const char *format, ...) PRINTF_LIKE(4, 5);

static void finish(struct collect *c, struct collect_effect *out, enum objstore_class class,
                   const char *format, ...)
{
    va_list ap;

    c->reason[0] = '\0';
    if (format != NULL) {
        va_start(ap, format);
        (void)vsnprintf(c->reason, sizeof c->reason, format, ap);
        va_end(ap);
    }
    c->at = COLLECT_AT_REST;
    c->waiting = false;
    out->kind = COLLECT_FINISHED;
    out->class = class;
    out->text = c->reason;
}

static void ask_list(const struct collect *c, struct collect_effect *out)
{
    out->kind = COLLECT_LIST;
    memcpy(out->start_after, c->start_after, sizeof out->start_after);
    if (c->at == COLLECT_AT_MANIFESTS)
        objkey_prefix_manifests(c->options.collection, out->prefix);
    else if (c->at == COLLECT_AT_PINS)
        objkey_prefix_pins(c->options.collection, out->prefix);
    else
        objkey_prefix_collection(c->options.collection, out->prefix);
}

/* The effect of the step the run is at. */
static void ask(struct collect *c, struct collect_effect *out)
{
    const struct collect_manifest *m;

    c->waiting = false;
    switch (c->at) {
    case COLLECT_AT_ROOT:
    case COLLECT_AT_MARKED:
    case COLLECT_AT_CHECK:
        out->kind = COLLECT_READ_ROOT;
        break;
    case COLLECT_AT_MANIFESTS:
    case COLLECT_AT_PINS:
    case COLLECT_AT_ALL:
        ask_list(c, out);
        break;
    case COLLECT_AT_MARK:
        out->kind = COLLECT_MARK;
        out->revision = c->mark;
        break;
    case COLLECT_AT_PIN:
        out->kind = COLLECT_READ_PIN;
        objkey_pin(c->options.collection, c->pins[c->next].uuid, out->key);
        break;
    case COLLECT_AT_KEPT:
    case COLLECT_AT_PINNED:
        m = &c->manifests[c->next];
        out->kind = COLLECT_READ_MANIFEST;
        out->revision = m->revision;
        objkey_manifest(c->options.collection, m->revision, m->uuid, out->key);
        break;
    case COLLECT_AT_DELETE:
        out->kind = COLLECT_DELETE;
        out->first = c->next;
        out->count = c->plan_count - c->next;
        if (out->count > c->options.batch)
            out->count = c->options.batch;
        break;
    case COLLECT_AT_REST:
        break;
    }
}

static void go(struct collect *c, struct collect_effect *out, enum collect_step_kind at)
{
    c->at = at;
    c->failures = 0;
    c->start_after[0] = '\0';
    ask(c, out);
}

static void wait_until(struct collect *c, struct collect_effect *out, uint64_t at_ms)
{
    c->waiting = true;
    c->retry_at_ms = at_ms;
    out->kind = COLLECT_TIMER;
    out->at_ms = at_ms;
}

static void try_again(struct collect *c, struct collect_effect *out, const struct collect_event *e)
{
    uint64_t wait = COLLECT_BACKOFF_MS;

    for (uint32_t i = 1; i < c->failures && wait < COLLECT_BACKOFF_MAX_MS; i++)
        wait *= 2;
    if (wait < e->retry_after_ms)
        wait = e->retry_after_ms;
    if (wait > COLLECT_BACKOFF_MAX_MS)
        wait = COLLECT_BACKOFF_MAX_MS;
    wait_until(c, out, e->now_ms + wait);
}

/* --- the root --- */

static bool is_ours(const struct collect *c, const struct root *root)
{
    return memcmp(root->session, c->options.session, sizeof root->session) == 0;
}

static void root_read(struct collect *c, const struct collect_event *e, struct collect_effect *out)
{
    if (e->root->state != ROOT_DROPPED && !is_ours(c, e->root)) {
        finish(c, out, OBJSTORE_PRECONDITION, "node %.100s owns the collection", e->root->node_id);
        return;
    }
    if (e->root->state == ROOT_SWITCHING || /* nothing was replaced yet */
        (e->root->state == ROOT_DROPPED && !c->options.dropped_too)) {
        finish(c, out, OBJSTORE_OK, NULL);
        return;
    }
    plan_root(c, e->root);
    c->mark = c->gc_mark;
    go(c, out,
       c->dropped || collect_twin(c, COLLECT_TWIN_MARK_LAST) ? COLLECT_AT_PINS
                                                             : COLLECT_AT_MANIFESTS);
}

/* The root shows what the run rests on. */
static bool still(struct collect *c, const struct collect_event *e, struct collect_effect *out)
{
    const struct root *root = e->root;

    if (c->dropped && root->state == ROOT_DROPPED)
        return true;
    if (!c->dropped && root->state != ROOT_DROPPED && is_ours(c, root) && root->epoch == c->epoch &&
        root->gc_mark == c->mark)
        return true;
    finish(c, out, OBJSTORE_PRECONDITION,
           "the root has changed hands since: epoch %" PRIu64 ", mark %" PRIu64, root->epoch,
           root->gc_mark);
    return false;
}

static void pinned_next(struct collect *c, struct collect_effect *out)
{
    if (plan_manifest_next(c, true)) {
        go(c, out, COLLECT_AT_PINNED);
        return;
    }
    plan_settle(c);
    go(c, out, COLLECT_AT_ALL);
}

static void marked(struct collect *c, const struct collect_event *e, struct collect_effect *out)
{
    bool same = e->root->manifest_revision == c->manifest_revision &&
                memcmp(e->root->manifest.uuid, c->manifest_uuid, sizeof c->manifest_uuid) == 0;

    if (!still(c, e, out))
        return;
    if (!same) { /* the next run sees it */
        finish(c, out, OBJSTORE_CONFLICT, "something was published meanwhile");
        return;
    }
    plan_root(c, e->root);
    if (collect_twin(c, COLLECT_TWIN_MARK_LAST))
        pinned_next(c, out);
    else
        go(c, out, COLLECT_AT_PINS);
}

static void checked(struct collect *c, const struct collect_event *e, uint64_t now_ns,
                    struct collect_effect *out)
{
    uint64_t age_ms = 0;

    if (!still(c, e, out))
        return;
    if (c->options.grace_ms > 0 && !collect_age_ms(now_ns, c->planned_at_ns, &age_ms)) {
        finish(c, out, OBJSTORE_PERMANENT, "the store does not tell its time");
        return;
    }
    if (age_ms < c->options.grace_ms)
        wait_until(c, out, e->now_ms + c->options.grace_ms - age_ms);
    else
        go(c, out, COLLECT_AT_DELETE);
}

/* --- listings and what they name --- */

/* On the way back from the root's manifest. The mark goes through the stream where the root has it
 * already, too: a commit of ours that is not decided yet would be in its way. */
static void kept_next(struct collect *c, struct collect_effect *out)
{
    if (plan_manifest_next(c, false)) {
        go(c, out, COLLECT_AT_KEPT);
        return;
    }
    c->report.mark = c->mark;
    go(c, out, COLLECT_AT_MARK);
}

static void manifests_listed(struct collect *c, uint64_t now_ns, struct collect_effect *out)
{
    if (plan_manifests_begin(c, now_ns))
        kept_next(c, out);
    else
        finish(c, out, OBJSTORE_INTEGRITY,
               "manifest %" PRIu64 ", which the root names, is not in the listing",
               c->manifest_revision);
}

static void pins_next(struct collect *c, struct collect_effect *out)
{
    if (c->next < c->pin_count && !collect_twin(c, COLLECT_TWIN_IGNORE_PINS))
        go(c, out, COLLECT_AT_PIN);
    else if (collect_twin(c, COLLECT_TWIN_MARK_LAST) && !c->dropped)
        go(c, out, COLLECT_AT_MANIFESTS);
    else
        pinned_next(c, out);
}

static void listed_all(struct collect *c, const struct collect_event *e, uint64_t now_ns,
                       struct collect_effect *out)
{
    c->planned_at_ns = now_ns;
    if (c->dropped && !c->aged) {
        c->plan_count = 0;
        c->report.young = c->report.planned;
        c->report.young_bytes = c->report.planned_bytes;
        c->report.planned = c->report.planned_bytes = 0;
    }
    if (c->plan_count == 0 || c->options.plan_only) {
        finish(c, out, OBJSTORE_OK, NULL);
        return;
    }
    c->next = 0;
    c->at = COLLECT_AT_CHECK;
    c->failures = 0;
    if (c->options.grace_ms > 0)
        wait_until(c, out, e->now_ms + c->options.grace_ms);
    else if (collect_twin(c, COLLECT_TWIN_NO_REVALIDATION))
        go(c, out, COLLECT_AT_DELETE);
    else
        ask(c, out);
}

static void page_ended(struct collect *c, const struct collect_event *e, uint64_t now_ns,
                       struct collect_effect *out)
{
    if (c->at == COLLECT_AT_MANIFESTS) {
        manifests_listed(c, now_ns, out);
    } else if (c->at == COLLECT_AT_PINS) {
        c->report.pins = c->pin_count;
        c->next = 0;
        pins_next(c, out);
    } else {
        listed_all(c, e, now_ns, out);
    }
}

static void page(struct collect *c, const struct collect_event *e, uint64_t now_ns,
                 struct collect_effect *out)
{
    const char *largest = c->start_after;

    for (size_t i = 0; i < e->entry_count; i++) {
        const struct objstore_entry *entry = &e->entries[i];

        if (strcmp(entry->key, largest) > 0)
            largest = entry->key;
        if (c->at == COLLECT_AT_MANIFESTS)
            plan_manifest_listed(c, entry);
        else if (c->at == COLLECT_AT_PINS)
            plan_pin_listed(c, entry);
        else
            plan_judge(c, entry, now_ns);
    }
    if (e->truncated && !c->report.more) {
        if (largest == c->start_after || strlen(largest) >= sizeof c->start_after) {
            finish(c, out, OBJSTORE_INTEGRITY, "a listing goes on behind no name");
            return;
        }
        (void)snprintf(c->start_after, sizeof c->start_after, "%s", largest);
        c->failures = 0;
        ask(c, out);
        return;
    }
    page_ended(c, e, now_ns, out);
}

/* --- answers --- */

/* A pin whose manifest is not there never held: its maker found out, or died before. */
static bool dead_pin(struct collect *c, const struct collect_event *e)
{
    if (c->at != COLLECT_AT_PINNED || e->class != OBJSTORE_NOT_FOUND)
        return false;
    c->report.dead_pins++;
    c->manifests[c->next].pinned = false;
    return true;
}

static void failed(struct collect *c, const struct collect_event *e, struct collect_effect *out)
{
    bool again = objstore_class_retries(e->class) || e->class == OBJSTORE_NOT_FOUND;

    if (again && c->failures++ < COLLECT_TRIES) {
        try_again(c, out, e);
        return;
    }
    if (c->at == COLLECT_AT_PIN && e->class == OBJSTORE_NOT_FOUND) { /* taken back meanwhile */
        c->pins[c->next++].manifest_revision = 0;
        pins_next(c, out);
        return;
    }
    if (dead_pin(c, e)) {
        pinned_next(c, out);
        return;
    }
    finish(c, out, e->class, "%s: %.180s", collect_step_name(c->at),
           e->text != NULL ? e->text : objstore_class_name(e->class));
}

static void succeeded(struct collect *c, const struct collect_event *e, uint64_t now_ns,
                      struct collect_effect *out)
{
    size_t count;

    switch (c->at) {
    case COLLECT_AT_ROOT:
        root_read(c, e, out);
        break;
    case COLLECT_AT_MARK:
        go(c, out, COLLECT_AT_MARKED);
        break;
    case COLLECT_AT_MARKED:
        marked(c, e, out);
        break;
    case COLLECT_AT_MANIFESTS:
    case COLLECT_AT_PINS:
    case COLLECT_AT_ALL:
        page(c, e, now_ns, out);
        break;
    case COLLECT_AT_PIN:
        plan_pin_read(c, &c->pins[c->next++], e->pin);
        pins_next(c, out);
        break;
    case COLLECT_AT_KEPT:
    case COLLECT_AT_PINNED:
        c->report.manifests++;
        plan_manifest_read(c, &c->manifests[c->next], e->body);
        if (c->at == COLLECT_AT_KEPT)
            kept_next(c, out);
        else
            pinned_next(c, out);
        break;
    case COLLECT_AT_CHECK:
        checked(c, e, now_ns, out);
        break;
    case COLLECT_AT_DELETE:
        count = c->plan_count - c->next;
        count = count > c->options.batch ? c->options.batch : count;
        c->next += count;
        c->report.deleted += count;
        if (c->next == c->plan_count)
            finish(c, out, OBJSTORE_OK, NULL);
        else
            go(c, out,
               collect_twin(c, COLLECT_TWIN_NO_REVALIDATION) ? COLLECT_AT_DELETE
                                                             : COLLECT_AT_CHECK);
        break;
    case COLLECT_AT_REST:
        break;
    }
}

static void answered(struct collect *c, const struct collect_event *e, struct collect_effect *out)
{
    uint64_t now_ns = collect_twin(c, COLLECT_TWIN_LOCAL_CLOCK) ? e->wall_ns : e->date_ns;

    if (e->class == OBJSTORE_OK)
        succeeded(c, e, now_ns, out);
    else
        failed(c, e, out);
}

static void began(struct collect *c, struct collect_effect *out)
{
    plan_reset(c);
    memset(&c->report, 0, sizeof c->report);
    go(c, out, COLLECT_AT_ROOT);
}

static void ticked(struct collect *c, const struct collect_event *e, struct collect_effect *out)
{
    if (e->now_ms < c->retry_at_ms)
        wait_until(c, out, c->retry_at_ms);
    else if (c->at == COLLECT_AT_CHECK && collect_twin(c, COLLECT_TWIN_NO_REVALIDATION))
        go(c, out, COLLECT_AT_DELETE);
    else
        ask(c, out);
}

void collect_step(struct collect *c, const struct collect_event *e, struct collect_effect *out)
{
    memset(out, 0, sizeof *out);
    out->at_ms = UINT64_MAX;
    if (e->kind == COLLECT_BEGIN && c->at == COLLECT_AT_REST)
        began(c, out);
    else if (e->kind == COLLECT_STOP && c->at != COLLECT_AT_REST)
        finish(c, out, OBJSTORE_CANCELLED, "stopped");
    else if (e->kind == COLLECT_TICK && c->waiting)
        ticked(c, e, out);
    else if (e->kind == COLLECT_AGAIN && c->at != COLLECT_AT_REST && !c->waiting)
        ask(c, out);
    else if (e->kind == COLLECT_ANSWER && c->at != COLLECT_AT_REST && !c->waiting)
        answered(c, e, out);
    if (c->out_of_memory && c->at != COLLECT_AT_REST)
        finish(c, out, OBJSTORE_TRANSIENT, "out of memory");
}
