/* What lies in the bucket beside root and groups - manifests, segments, pins -, its listings, its
 * deletes, and what must be true of them: nothing that root, a kept manifest or a pin that holds
 * needs is ever deleted, and what nothing needs is gone in the end. */
#include "sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- names --- */

uint64_t gc_id(const uint8_t uuid[16])
{
    uint64_t id;

    memcpy(&id, uuid, sizeof id);
    return id;
}

static void uuid_of(uint64_t id, uint8_t out[16])
{
    memset(out, 0, 16);
    memcpy(out, &id, sizeof id);
}

struct sim_manifest *gc_manifest(struct sim *w, uint64_t id)
{
    return id > 0 && id <= w->manifest_count ? &w->manifests[id - 1] : NULL;
}

static struct sim_pin *pin_of(struct sim *w, uint64_t id)
{
    return id > 0 && id <= w->pin_count ? &w->pins[id - 1] : NULL;
}

uint64_t gc_date_ns(const struct sim *w, uint64_t at_ms)
{
    (void)w;
    return UINT64_C(1700000000000000000) + at_ms * 1000000;
}

/* --- what is needed --- */

static bool before(uint64_t epoch, uint64_t seq, uint64_t than_epoch, uint64_t than_seq)
{
    return epoch < than_epoch || (epoch == than_epoch && seq < than_seq);
}

/* A group that counts: in the run of an epoch that is open, or before the end of a closed one. */
static bool counts(const struct sim *w, uint64_t epoch, uint64_t seq)
{
    if (epoch == w->root.epoch)
        return true;
    for (size_t i = 0; i < w->root.open_count; i++)
        if (w->root.open[i] == epoch)
            return true;
    return epoch < SIM_EPOCHS && w->closed[epoch].epoch == epoch && seq <= w->closed[epoch].end_seq;
}

static bool kept(const struct sim *w, const struct sim_manifest *m)
{
    return w->root.state != ROOT_DROPPED && m->named && m->revision >= w->root.gc_mark &&
           w->root.manifest_revision >= m->revision;
}

static bool group_in_pin(const struct sim *w, const struct sim_pin *p, uint64_t epoch, uint64_t seq)
{
    const struct sim_manifest *m = p->manifest != 0 ? &w->manifests[p->manifest - 1] : NULL;

    return !before(p->epoch, p->seq, epoch, seq) &&
           (m == NULL || !before(epoch, seq, m->floor.epoch, m->floor.seq));
}

/* Why it may not go; NULL: it may. */
static const char *group_needed(const struct sim *w, uint64_t epoch, uint64_t seq)
{
    bool counted = counts(w, epoch, seq);

    for (size_t i = 0; i < w->pin_count; i++)
        if (w->pins[i].there && w->pins[i].holds && counted &&
            group_in_pin(w, &w->pins[i], epoch, seq))
            return "a pin";
    if (!counted || w->root.state == ROOT_DROPPED)
        return NULL;
    if (!before(epoch, seq, w->root.floor.epoch, w->root.floor.seq))
        return "the root";
    for (size_t i = 0; i < w->manifest_count; i++)
        if (kept(w, &w->manifests[i]) &&
            !before(epoch, seq, w->manifests[i].floor.epoch, w->manifests[i].floor.seq))
            return "a kept manifest";
    return NULL;
}

static const char *manifest_needed(const struct sim *w, const struct sim_manifest *m)
{
    for (size_t i = 0; i < w->pin_count; i++)
        if (w->pins[i].there && w->pins[i].holds && w->pins[i].manifest == m->id)
            return "a pin";
    return kept(w, m) ? "the root" : NULL;
}

static bool names_segment(const struct sim_manifest *m, uint64_t id)
{
    for (size_t i = 0; i < m->segment_count; i++)
        if (m->segments[i] == id)
            return true;
    return false;
}

static const char *segment_needed(const struct sim *w, uint64_t id)
{
    const char *why = NULL;

    for (size_t i = 0; i < w->manifest_count && why == NULL; i++)
        if (names_segment(&w->manifests[i], id))
            why = manifest_needed(w, &w->manifests[i]);
    return why;
}

/* --- deleting --- */

static void gone(struct sim *w, size_t node, const char *what, uint64_t a, uint64_t b,
                 const char *needed)
{
    sim_say(w, "  bucket: %s %" PRIu64 "/%" PRIu64 " deleted", what, a, b);
    w->deletes++;
    if (needed != NULL)
        sim_fail(w, "node %zu deleted %s %" PRIu64 "/%" PRIu64 ", which %s needs", node, what, a, b,
                 needed);
}

static void delete_one(struct sim *w, size_t node, const struct objkey *k)
{
    struct sim_group *g;
    struct sim_manifest *m;
    uint64_t id = gc_id(k->uuid);

    if (k->kind == OBJKEY_IS_GROUP) {
        g = (struct sim_group *)(uintptr_t)store_group(w, k->epoch, k->seq);
        if (g == NULL)
            return;
        g->deleted = true;
        gone(w, node, "group", k->epoch, k->seq, group_needed(w, k->epoch, k->seq));
    } else if (k->kind == OBJKEY_IS_MANIFEST) {
        m = gc_manifest(w, id);
        if (m == NULL || !m->there)
            return;
        m->there = false;
        gone(w, node, "manifest", m->revision, id, manifest_needed(w, m));
    } else if (k->kind == OBJKEY_IS_DATA && id < SIM_SEGMENTS && w->segments[id].there) {
        w->segments[id].there = false;
        gone(w, node, "segment", id, 0, segment_needed(w, id));
    }
}

/* --- listing --- */

struct listing {
    const char *prefix, *start_after;
    struct sim_name *names;
    size_t count;
};

static void list_one(struct listing *l, uint64_t modified_ms, const char *key)
{
    struct sim_name *n;

    if (strncmp(key, l->prefix, strlen(l->prefix)) != 0 || strcmp(key, l->start_after) <= 0 ||
        l->count == SIM_NAMES)
        return;
    n = &l->names[l->count++];
    memcpy(n->key, key, strlen(key) + 1);
    n->modified_ms = modified_ms;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct sim_name *)a)->key, ((const struct sim_name *)b)->key);
}

static void list_all(struct sim *w, struct listing *l)
{
    char key[OBJKEY_BYTES];
    uint8_t uuid[16];

    objkey_root(SIM_COLLECTION, key);
    if (w->has_root)
        list_one(l, w->root_modified_ms, key);
    for (size_t i = 0; i < w->manifest_count; i++) {
        uuid_of(w->manifests[i].id, uuid);
        objkey_manifest(SIM_COLLECTION, w->manifests[i].revision, uuid, key);
        if (w->manifests[i].there)
            list_one(l, w->manifests[i].modified_ms, key);
    }
    for (size_t i = 0; i < w->pin_count; i++) {
        uuid_of(i + 1, uuid);
        objkey_pin(SIM_COLLECTION, uuid, key);
        if (w->pins[i].there)
            list_one(l, 0, key);
    }
    if (strstr(l->prefix, "/m/") != NULL || strstr(l->prefix, "/pin/") != NULL)
        return;
    for (uint64_t i = 1; i < w->segment_next; i++) {
        uuid_of(i, uuid);
        objkey_data(SIM_COLLECTION, uuid, key);
        if (w->segments[i].there)
            list_one(l, w->segments[i].modified_ms, key);
    }
    for (size_t i = 0; i < w->group_count; i++) {
        if (w->groups[i].deleted)
            continue;
        objkey_group(SIM_COLLECTION, w->groups[i].epoch, w->groups[i].seq, key);
        list_one(l, 0, key);
    }
}

/* One page, in no order within itself; the next begins behind its largest name. */
static void list_page(struct sim *w, struct sim_request *r)
{
    static struct sim_name all[SIM_NAMES];
    struct sim_page *page = &w->node[r->node].page;
    struct listing l = {r->gc.prefix, r->gc.start_after, all, 0};
    size_t max = 1 + (size_t)sim_below(w, SIM_PAGE);

    list_all(w, &l);
    qsort(all, l.count, sizeof all[0], by_key);
    page->order = r->order;
    page->truncated = l.count > max;
    page->count = page->truncated ? max : l.count;
    for (size_t i = 0; i < page->count; i++)
        page->names[i] = all[page->count - 1 - i];
}

/* --- requests of a collector --- */

void gc_apply(struct sim *w, struct sim_request *r)
{
    struct objkey key = objkey_parse(r->gc.key);
    uint64_t id = gc_id(key.uuid);
    size_t count = r->name_count;

    if (r->gc.kind == COLLECT_DELETE) {
        if (r->replace && r->class == OBJSTORE_TRANSIENT && sim_chance(w, 300))
            count = (size_t)sim_below(w, count + 1); /* some of them */
        if (w->node[r->node].gen != r->gen)
            w->seen[SEEN_LATE_DELETE] = true;
        for (size_t i = 0; i < count && !w->failed; i++)
            delete_one(w, r->node, &r->names[i]);
        check_bucket(w);
    }
    if (r->applied)
        return;
    r->applied = true;
    r->date_ns = gc_date_ns(w, w->now_ms);
    r->answer.class = OBJSTORE_OK;
    if (r->gc.kind == COLLECT_READ_ROOT && w->has_root)
        r->answer_root = w->root;
    else if (r->gc.kind == COLLECT_READ_ROOT)
        r->answer.class = OBJSTORE_NOT_FOUND;
    else if (r->gc.kind == COLLECT_LIST && w->node[r->node].collect_order == r->order)
        list_page(w, r); /* else nobody waits for it any more */
    else if (r->gc.kind == COLLECT_READ_PIN)
        r->answer.class =
            pin_of(w, id) != NULL && pin_of(w, id)->there ? OBJSTORE_OK : OBJSTORE_NOT_FOUND;
    else if (r->gc.kind == COLLECT_READ_MANIFEST)
        r->answer.class = gc_manifest(w, id) != NULL && gc_manifest(w, id)->there
                              ? OBJSTORE_OK
                              : OBJSTORE_NOT_FOUND;
}

/* --- checks --- */

/* What the root names is there. */
const char *gc_problem(const struct sim *w)
{
    const struct sim_manifest *m;

    if (!w->root.has_manifest || w->root.state == ROOT_DROPPED)
        return NULL;
    m = &w->manifests[gc_id(w->root.manifest.uuid) - 1];
    if (!m->there)
        return "its manifest is not there";
    for (size_t i = 0; i < m->segment_count; i++)
        if (!w->segments[m->segments[i]].there)
            return "a segment is not there";
    return NULL;
}

/* What was replaced less than `keep` ago, and the newest versions, stay above the mark. */
void gc_marked(struct sim *w)
{
    uint32_t above = 0, named = 0;

    for (size_t i = 0; i < w->manifest_count; i++) {
        struct sim_manifest *m = &w->manifests[i];

        if (!m->named)
            continue;
        named++;
        above += m->revision >= w->root.gc_mark;
        if (m->revision < w->root.gc_mark && m->replaced_ms != 0 &&
            w->now_ms - m->replaced_ms + 1000 < w->keep_ms)
            sim_fail(w, "the mark passed manifest %" PRIu64 ", replaced %" PRIu64 " ms ago",
                     m->revision, w->now_ms - m->replaced_ms);
    }
    if (above < (named < w->keep_versions ? named : w->keep_versions))
        sim_fail(w, "the mark leaves %u of %u manifests", above, named);
}

static bool pin_has(const struct sim *w, uint64_t manifest, uint64_t epoch, uint64_t seq)
{
    for (size_t i = 0; i < w->pin_count; i++)
        if (w->pins[i].there && (manifest != 0 ? w->pins[i].manifest == manifest
                                               : group_in_pin(w, &w->pins[i], epoch, seq)))
            return true;
    return false;
}

/* A parent is known by its revision alone: another of the same stays with it. */
static bool like_a_kept_one(const struct sim *w, const struct sim_manifest *m)
{
    for (size_t i = 0; i < w->manifest_count; i++)
        if (w->manifests[i].revision == m->revision && kept(w, &w->manifests[i]))
            return true;
    return false;
}

static bool after_a_floor(const struct sim *w, uint64_t epoch, uint64_t seq)
{
    const struct log_floor *f = &w->root.floor;

    if (w->root.state == ROOT_DROPPED)
        return false;
    for (size_t i = 0; i < w->root.lineage_count; i++)
        if (w->root.lineages[i].epoch == epoch && seq > w->root.lineages[i].end_seq)
            return false;
    if (!before(epoch, seq, f->epoch, f->seq))
        return true;
    for (size_t i = 0; i < w->manifest_count; i++) {
        f = &w->manifests[i].floor;
        if (w->manifests[i].there && !before(epoch, seq, f->epoch, f->seq))
            return true;
    }
    return false;
}

/* After a collector had its time and nothing else happened. */
void gc_check_end(struct sim *w)
{
    for (size_t i = 0; i < w->manifest_count; i++) {
        const struct sim_manifest *m = &w->manifests[i];

        if (m->there && !like_a_kept_one(w, m) && !pin_has(w, m->id, 0, 0))
            sim_fail(w, "manifest %" PRIu64 " is needed by nothing and still there", m->revision);
    }
    for (uint64_t id = 1; id < w->segment_next; id++) {
        bool named = false;

        for (size_t i = 0; i < w->manifest_count; i++)
            named = named || (w->manifests[i].there && names_segment(&w->manifests[i], id));
        if (w->segments[id].there && !named)
            sim_fail(w, "segment %" PRIu64 " is named by nothing and still there", id);
    }
    for (size_t i = 0; i < w->group_count; i++) {
        const struct sim_group *g = &w->groups[i];

        if (!g->deleted && !after_a_floor(w, g->epoch, g->seq) && !pin_has(w, 0, g->epoch, g->seq))
            sim_fail(w, "group %" PRIu64 "/%" PRIu64 " is needed by nothing and still there",
                     g->epoch, g->seq);
    }
}
