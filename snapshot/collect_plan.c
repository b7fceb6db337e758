/* What is alive, and what is not: docs/protocol.md, "Collecting garbage", steps 1, 4 and 5. */
#include "snapshot/collect_internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static const struct collect_place FIRST = {0, 0};
static const struct collect_place LAST = {UINT64_MAX, UINT64_MAX};

/* Room for one more in an array; NULL when memory is out. */
static void *grown(struct collect *c, void *items, size_t count, size_t *room, size_t size)
{
    size_t next = *room == 0 ? 16 : *room * 2;
    size_t bytes;
    void *more;

    if (count < *room)
        return items;
    more = size_mul(next, size, &bytes) ? mem_resize(items, bytes) : NULL;
    if (more == NULL)
        c->out_of_memory = true;
    else
        *room = next;
    return more;
}

void plan_reset(struct collect *c)
{
    c->manifest_count = c->pin_count = c->span_count = c->alive_count = c->plan_count = 0;
    c->out_of_memory = false;
    c->aged = false;
}

void plan_root(struct collect *c, const struct root *root)
{
    c->dropped = root->state == ROOT_DROPPED;
    c->epoch = root->epoch;
    c->gc_mark = root->gc_mark;
    c->manifest_revision = root->manifest_revision;
    memcpy(c->manifest_uuid, root->manifest.uuid, sizeof c->manifest_uuid);
    c->floor = (struct collect_place){root->floor.epoch, root->floor.seq};
    c->open_count = root->open_count;
    memcpy(c->open, root->open, root->open_count * sizeof c->open[0]);
    c->lineage_count = root->lineage_count;
    memcpy(c->lineages, root->lineages, root->lineage_count * sizeof c->lineages[0]);
}

/* --- manifests --- */

/* The one of this name, which is added where it is new. NULL: no memory. */
static struct collect_manifest *manifest_of(struct collect *c, uint64_t revision,
                                            const uint8_t uuid[16])
{
    struct collect_manifest *m;
    void *items;

    for (size_t i = 0; i < c->manifest_count; i++)
        if (c->manifests[i].revision == revision && memcmp(c->manifests[i].uuid, uuid, 16) == 0)
            return &c->manifests[i];
    items = grown(c, c->manifests, c->manifest_count, &c->manifest_room, sizeof c->manifests[0]);
    if (items == NULL)
        return NULL;
    c->manifests = items;
    m = &c->manifests[c->manifest_count++];
    *m = (struct collect_manifest){.revision = revision};
    memcpy(m->uuid, uuid, sizeof m->uuid);
    return m;
}

void plan_manifest_listed(struct collect *c, const struct objstore_entry *entry)
{
    struct objkey key = objkey_parse(entry->key);
    struct collect_manifest *m;

    if (key.kind != OBJKEY_IS_MANIFEST || memcmp(key.collection, c->options.collection, 16) != 0)
        return;
    m = manifest_of(c, key.revision, key.uuid);
    if (m != NULL)
        m->modified_ns = entry->modified_ns;
}

static bool is_current(const struct collect *c, const struct collect_manifest *m)
{
    return m->revision == c->manifest_revision && memcmp(m->uuid, c->manifest_uuid, 16) == 0;
}

/* Replaced so long ago that nobody is promised it any more. A time that is not told is no age. */
static bool is_old(const struct collect *c, uint64_t replaced_ns)
{
    uint64_t age_ms = 0;

    return c->options.keep_ms == 0 ||
           (collect_age_ms(c->listed_at_ns, replaced_ns, &age_ms) && age_ms >= c->options.keep_ms);
}

bool plan_manifests_begin(struct collect *c, uint64_t now_ns)
{
    bool found = c->manifest_revision == 0;

    c->listed_at_ns = now_ns;
    c->level = c->manifest_revision;
    c->versions = 1;
    for (size_t i = 0; i < c->manifest_count; i++) {
        c->manifests[i].kept = c->manifest_revision > 0 && is_current(c, &c->manifests[i]);
        found = found || c->manifests[i].kept;
    }
    c->mark = c->level > c->gc_mark ? c->level : c->gc_mark;
    return found;
}

/* The highest revision below this level that one that is kept came after, and when it did. A parent
 * is known by its revision alone, which a manifest that was never named may have too: both are
 * kept, and because levels go down one by one, none of the named is skipped. */
static uint64_t level_below(const struct collect *c, uint64_t *replaced_ns)
{
    uint64_t below = 0;

    *replaced_ns = 0;
    for (size_t i = 0; i < c->manifest_count; i++) {
        const struct collect_manifest *m = &c->manifests[i];

        if (!m->kept || !m->read || m->parent_revision >= c->level || m->parent_revision < below)
            continue;
        if (m->parent_revision > below || m->modified_ns > *replaced_ns)
            *replaced_ns = m->modified_ns;
        below = m->parent_revision;
    }
    return below;
}

/* One level further back, where it is young enough. */
static bool keep_one_more(struct collect *c)
{
    uint64_t replaced_ns;
    uint64_t below = level_below(c, &replaced_ns);
    bool found = false;

    if (below == 0 || below < c->gc_mark ||
        (c->versions >= c->options.keep_versions && is_old(c, replaced_ns)))
        return false;
    for (size_t i = 0; i < c->manifest_count; i++)
        if (c->manifests[i].revision == below)
            found = c->manifests[i].kept = true;
    if (!found) /* from here on back they are gone */
        return false;
    c->level = c->mark = below;
    c->versions++;
    return true;
}

bool plan_manifest_next(struct collect *c, bool pinned)
{
    do {
        for (c->next = 0; c->next < c->manifest_count; c->next++) {
            const struct collect_manifest *m = &c->manifests[c->next];

            if (!m->read && (pinned ? m->pinned : m->kept))
                return true;
        }
    } while (!pinned && keep_one_more(c));
    return false;
}

/* --- pins --- */

void plan_pin_listed(struct collect *c, const struct objstore_entry *entry)
{
    struct objkey key = objkey_parse(entry->key);
    void *items;

    if (key.kind != OBJKEY_IS_PIN || memcmp(key.collection, c->options.collection, 16) != 0)
        return;
    items = grown(c, c->pins, c->pin_count, &c->pin_room, sizeof c->pins[0]);
    if (items == NULL)
        return;
    c->pins = items;
    c->pins[c->pin_count] = (struct collect_pin){0};
    memcpy(c->pins[c->pin_count++].uuid, key.uuid, 16);
}

static void span_add(struct collect *c, struct collect_place from, struct collect_place to)
{
    void *items = grown(c, c->spans, c->span_count, &c->span_room, sizeof c->spans[0]);

    if (items == NULL)
        return;
    c->spans = items;
    c->spans[c->span_count++] = (struct collect_span){from, to};
}

void plan_pin_read(struct collect *c, struct collect_pin *at, const struct pin *pin)
{
    struct collect_manifest *m;

    at->to = (struct collect_place){pin->epoch, pin->seq};
    at->manifest_revision = pin->manifest_revision;
    memcpy(at->manifest_uuid, pin->manifest.uuid, sizeof at->manifest_uuid);
    if (pin->manifest_revision == 0) {
        span_add(c, FIRST, at->to);
        return;
    }
    m = manifest_of(c, pin->manifest_revision, pin->manifest.uuid);
    if (m != NULL)
        m->pinned = true;
}

/* --- what they need --- */

static void alive_add(struct collect *c, const uint8_t uuid[16])
{
    void *items = grown(c, c->alive, c->alive_count, &c->alive_room, sizeof c->alive[0]);

    if (items == NULL)
        return;
    c->alive = items;
    memcpy(c->alive[c->alive_count++], uuid, 16);
}

void plan_manifest_read(struct collect *c, struct collect_manifest *at, const struct manifest *body)
{
    at->read = true;
    at->parent_revision = body->parent_revision;
    at->floor = (struct collect_place){body->floor.epoch, body->floor.seq};

    for (size_t i = 0; i < body->segment_count; i++)
        alive_add(c, body->segments[i].object.uuid);
    for (size_t i = 0; i < body->image_count; i++)
        alive_add(c, body->images[i].object.uuid);
    for (size_t i = 0; i < body->cold_count && !collect_twin(c, COLLECT_TWIN_FORGET_COLD); i++) {
        alive_add(c, body->colds[i].object.uuid);
        if (body->colds[i].dead.bytes > 0)
            alive_add(c, body->colds[i].dead.uuid);
    }
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

static void spans_of(struct collect *c, const struct collect_manifest *m)
{
    if (m->kept)
        span_add(c, m->floor, LAST);
    for (size_t i = 0; i < c->pin_count && m->pinned; i++)
        if (c->pins[i].manifest_revision == m->revision &&
            memcmp(c->pins[i].manifest_uuid, m->uuid, 16) == 0)
            span_add(c, m->floor, c->pins[i].to);
}

void plan_settle(struct collect *c)
{
    if (!c->dropped)
        span_add(c, c->floor, LAST);
    for (size_t i = 0; i < c->manifest_count; i++)
        if (c->manifests[i].read)
            spans_of(c, &c->manifests[i]);
    if (c->alive_count > 0)
        qsort(c->alive, c->alive_count, sizeof c->alive[0], by_bytes);
}

/* --- one name --- */

static bool before(struct collect_place a, struct collect_place b)
{
    return a.epoch < b.epoch || (a.epoch == b.epoch && a.seq < b.seq);
}

static bool needed(const struct collect *c, struct collect_place at)
{
    for (size_t i = 0; i < c->span_count; i++)
        if (!before(at, c->spans[i].from) && !before(c->spans[i].to, at))
            return true;
    return false;
}

static bool group_is_garbage(const struct collect *c, const struct objkey *key)
{
    struct collect_place at = {key->epoch, key->seq};

    if (c->dropped)
        return !needed(c, at);
    if (key->epoch > c->epoch)
        return false;
    for (size_t i = 0; i < c->open_count; i++)
        if (c->open[i] == key->epoch)
            return false;
    for (size_t i = 0; i < c->lineage_count; i++)
        if (c->lineages[i].epoch == key->epoch && key->seq > c->lineages[i].end_seq)
            return true;
    return !needed(c, at);
}

static bool manifest_is_garbage(const struct collect *c, const struct objkey *key)
{
    for (size_t i = 0; i < c->manifest_count; i++)
        if (c->manifests[i].revision == key->revision &&
            memcmp(c->manifests[i].uuid, key->uuid, 16) == 0)
            return !c->manifests[i].kept && !c->manifests[i].pinned;
    return true;
}

static bool is_garbage(const struct collect *c, const struct objkey *key)
{
    switch (key->kind) {
    case OBJKEY_IS_GROUP:
        return group_is_garbage(c, key);
    case OBJKEY_IS_MANIFEST:
        return manifest_is_garbage(c, key);
    case OBJKEY_IS_DATA:
        return c->alive_count == 0 ||
               bsearch(key->uuid, c->alive, c->alive_count, sizeof c->alive[0], by_bytes) == NULL;
    case OBJKEY_IS_ORPHAN:
        return c->dropped;
    case OBJKEY_IS_ROOT:
    case OBJKEY_IS_PIN:
    case OBJKEY_IS_FORMAT:
    case OBJKEY_IS_CATALOG:
    case OBJKEY_IS_PINNED:
    case OBJKEY_IS_PROBE:
    case OBJKEY_OTHER:
        break;
    }
    return false;
}

void plan_judge(struct collect *c, const struct objstore_entry *entry, uint64_t now_ns)
{
    struct objkey key = objkey_parse(entry->key);
    uint64_t age_ms = 0;
    void *items;

    c->report.listed++;
    if (key.kind == OBJKEY_OTHER || memcmp(key.collection, c->options.collection, 16) != 0)
        return;
    if (key.kind == OBJKEY_IS_ROOT && c->dropped)
        c->aged = c->options.keep_dropped_ms == 0 ||
                  (collect_age_ms(now_ns, entry->modified_ns, &age_ms) &&
                   age_ms >= c->options.keep_dropped_ms);
    if (!is_garbage(c, &key))
        return;
    if (c->plan_count == COLLECT_PLAN_MAX && !c->options.plan_only) {
        c->report.more = true;
        return;
    }
    c->report.planned++;
    c->report.planned_bytes += entry->bytes;
    if (c->options.plan_only)
        return;
    items = grown(c, c->plan, c->plan_count, &c->plan_room, sizeof c->plan[0]);
    if (items == NULL)
        return;
    c->plan = items;
    c->plan[c->plan_count++] = key;
}
