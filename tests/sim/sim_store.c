/* The bucket is linearizable: a request takes effect in one instant. */
#include "sim.h"

#include "base/hash.h"
#include "tiering/group_list.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_PAGE = 7 };

static size_t group_slot(const struct sim *w, uint64_t epoch, uint64_t seq)
{
    size_t slot = hash_u64(epoch * 65536 + seq) % SIM_GROUP_SLOTS;

    while (w->group_index[slot] != 0) {
        const struct sim_group *g = &w->groups[w->group_index[slot] - 1];

        if (g->epoch == epoch && g->seq == seq)
            break;
        slot = (slot + 1) % SIM_GROUP_SLOTS;
    }
    return slot;
}

const struct sim_group *store_group_ever(const struct sim *w, uint64_t epoch, uint64_t seq)
{
    size_t slot = group_slot(w, epoch, seq);

    return w->group_index[slot] == 0 ? NULL : &w->groups[w->group_index[slot] - 1];
}

const struct sim_group *store_group(const struct sim *w, uint64_t epoch, uint64_t seq)
{
    const struct sim_group *g = store_group_ever(w, epoch, seq);

    return g != NULL && !g->deleted ? g : NULL;
}

/* As a store without encryption does it: equal content, equal etag. */
static void etag_of(const struct root *r, char out[OBJSTORE_ETAG_BYTES])
{
    (void)snprintf(out, OBJSTORE_ETAG_BYTES, "%016llx",
                   (unsigned long long)hash_bytes(r, sizeof *r, 7));
}

static void apply_read_root(struct sim *w, struct sim_request *r)
{
    if (!w->has_root) {
        r->answer.class = OBJSTORE_NOT_FOUND;
        return;
    }
    if (r->effect.conditional && strcmp(r->etag, w->etag) == 0) {
        r->answer.class = OBJSTORE_NOT_MODIFIED;
        return;
    }
    r->answer_root = w->root;
    memcpy(r->answer_etag, w->etag, sizeof r->answer_etag);
}

static void apply_put_root(struct sim *w, struct sim_request *r)
{
    struct root old = w->root;
    bool had = w->has_root;

    if (strcmp(r->etag, had ? w->etag : "") != 0) {
        r->answer.class = OBJSTORE_PRECONDITION;
        return;
    }
    w->root = r->root;
    w->has_root = true;
    w->root_modified_ms = w->now_ms;
    etag_of(&w->root, w->etag);
    memcpy(r->answer_etag, w->etag, sizeof r->answer_etag);
    sim_say(w, "  bucket: root rev %llu epoch %llu of %s open %zu lineages %zu",
            (unsigned long long)w->root.revision, (unsigned long long)w->root.epoch,
            w->root.node_id, w->root.open_count, w->root.lineage_count);
    check_root_change(w, had ? &old : NULL, &w->root);
    check_bucket(w);
}

static void apply_put_group(struct sim *w, struct sim_request *r)
{
    size_t slot = group_slot(w, r->effect.epoch, r->effect.seq);
    struct sim_group *g;

    if (store_group(w, r->effect.epoch, r->effect.seq) != NULL) {
        r->answer.class = OBJSTORE_PRECONDITION;
        return;
    }
    if (w->group_count == SIM_GROUPS) {
        sim_fail(w, "the simulator has no room for more groups");
        return;
    }
    if (w->group_index[slot] == 0)
        w->group_index[slot] = (uint16_t)++w->group_count;
    g = &w->groups[w->group_index[slot] - 1];
    memset(g, 0, sizeof *g);
    g->epoch = r->effect.epoch;
    g->seq = r->effect.seq;
    g->first_lsn = r->effect.first_lsn;
    g->last_lsn = r->effect.last_lsn;
    g->chain_before = r->effect.chain_before;
    g->chain = r->effect.chain;
    g->gap = r->effect.gap;
    memcpy(g->values, r->values, sizeof g->values);
    sim_say(w, "  bucket: group %llu/%llu lsn %llu..%llu%s", (unsigned long long)g->epoch,
            (unsigned long long)g->seq, (unsigned long long)g->first_lsn,
            (unsigned long long)g->last_lsn, g->gap ? " gap" : "");
    if (g->gap)
        w->seen[SEEN_GAP] = true;
    if (g->epoch < w->root.epoch)
        w->seen[SEEN_LATE_PUT_AFTER_TAKEOVER] = true;
    check_bucket(w);
}

static void apply_group_read(struct sim *w, struct sim_request *r)
{
    const struct sim_group *g = store_group(w, r->effect.epoch, r->effect.seq);

    if (g == NULL) {
        r->answer.class = OBJSTORE_NOT_FOUND;
        return;
    }
    r->answer.first_lsn = g->first_lsn;
    r->answer.last_lsn = g->last_lsn;
    r->answer.chain_before = g->chain_before;
    r->answer.chain = g->chain;
    r->answer.gap = g->gap;
}

static void apply_compare(struct sim *w, struct sim_request *r)
{
    const struct sim_group *g = store_group(w, r->effect.epoch, r->effect.seq);
    const struct stream_effect *e = &r->effect;

    if (g == NULL) {
        r->answer.class = OBJSTORE_NOT_FOUND;
        return;
    }
    if (g->first_lsn != e->first_lsn || g->last_lsn != e->last_lsn ||
        g->chain_before != e->chain_before || g->chain != e->chain || (g->gap && !e->gap)) {
        r->answer.class = OBJSTORE_PRECONDITION;
        return;
    }
    r->answer.original = e->gap && !g->gap;
}

struct group_names {
    char keys[LIST_PAGE][OBJKEY_BYTES];
    struct objstore_entry entries[LIST_PAGE];
    size_t count, shown; /* of all behind the name it began with; on the page */
};

static int by_seq(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* A page of the epoch's names, in no order within itself. */
static void page_of(const struct sim *w, uint64_t epoch, const char *start_after,
                    struct group_names *out)
{
    static uint64_t seqs[SIM_GROUPS];
    char key[OBJKEY_BYTES];

    out->count = 0;
    for (size_t i = 0; i < w->group_count; i++) {
        objkey_group(SIM_COLLECTION, w->groups[i].epoch, w->groups[i].seq, key);
        if (w->groups[i].epoch == epoch && !w->groups[i].deleted && strcmp(key, start_after) > 0)
            seqs[out->count++] = w->groups[i].seq;
    }
    qsort(seqs, out->count, sizeof seqs[0], by_seq);
    out->shown = out->count < LIST_PAGE ? out->count : LIST_PAGE;
    for (size_t i = 0; i < out->shown; i++) {
        objkey_group(SIM_COLLECTION, epoch, seqs[out->shown - 1 - i], out->keys[i]);
        out->entries[i] = (struct objstore_entry){.key = out->keys[i]};
    }
}

/* As the shell asks and understands it (tiering/group_list.h); the pages of one listing are one
 * moment here. */
static void apply_list(struct sim *w, struct sim_request *r)
{
    bool from_one = (w->twins & SIM_TWIN_LIST_FROM_ONE) != 0;
    struct group_list *l =
        group_list_create(SIM_COLLECTION, r->effect.epoch, from_one ? 1 : r->effect.seq);
    enum group_list_next next = GROUP_LIST_MORE;
    uint64_t left = UINT64_MAX;
    struct group_names page;

    assert(l != NULL);
    while (next == GROUP_LIST_MORE) {
        page_of(w, r->effect.epoch, group_list_start_after(l), &page);
        if (left == UINT64_MAX && r->cut_short && page.count > 0)
            left = sim_below(w, page.count);
        if (left <= page.shown) /* as if it ended here */
            next = group_list_page(l, page.entries + (page.shown - left), (size_t)left, false);
        else
            next = group_list_page(l, page.entries, page.shown, page.count > page.shown);
        left -= left == UINT64_MAX ? 0 : page.shown;
    }
    assert(next == GROUP_LIST_DONE);
    r->answer.end_seq = group_list_end(l);
    group_list_destroy(l);
}

enum stream_event_kind store_answer_kind(enum stream_effect_kind kind)
{
    switch ((int)kind) {
    case STREAM_DO_READ_ROOT:
        return STREAM_ROOT_READ;
    case STREAM_DO_PUT_ROOT:
        return STREAM_ROOT_DONE;
    case STREAM_DO_LIST:
        return STREAM_LISTED;
    case STREAM_DO_READ_GROUP:
        return STREAM_GROUP_READ;
    case STREAM_DO_PUT_GROUP:
        return STREAM_PUT_DONE;
    default:
        return STREAM_COMPARED;
    }
}

/* The first time it is applied is what its answer tells of; the second is the network's doing. */
void store_apply(struct sim *w, struct sim_request *r)
{
    struct stream_event first = r->answer;
    struct root root;
    char etag[OBJSTORE_ETAG_BYTES];
    bool again = r->applied;

    if (r->collects) {
        gc_apply(w, r);
        return;
    }
    if (again) {
        root = r->answer_root;
        memcpy(etag, r->answer_etag, sizeof etag);
    }
    r->answer =
        (struct stream_event){.kind = store_answer_kind(r->effect.kind), .token = r->effect.token};
    switch ((int)r->effect.kind) {
    case STREAM_DO_READ_ROOT:
        apply_read_root(w, r);
        break;
    case STREAM_DO_PUT_ROOT:
        apply_put_root(w, r);
        break;
    case STREAM_DO_LIST:
        apply_list(w, r);
        break;
    case STREAM_DO_READ_GROUP:
        apply_group_read(w, r);
        break;
    case STREAM_DO_PUT_GROUP:
        apply_put_group(w, r);
        break;
    default:
        apply_compare(w, r);
        break;
    }
    if (again) {
        r->answer = first;
        r->answer_root = root;
        memcpy(r->answer_etag, etag, sizeof etag);
    }
    r->applied = true;
    if (r->replace && r->class == OBJSTORE_TRANSIENT && r->effect.kind == STREAM_DO_PUT_ROOT &&
        r->answer.class == OBJSTORE_OK)
        w->seen[SEEN_LOST_200] = true;
}
