/* The bucket: a request takes effect in one instant. Requests that nobody waits for are kept only
 * while they could have an effect. */
#include "explore.h"

#include "tiering/stream_internal.h"

#include <assert.h>
#include <string.h>

const struct ex_group *store_group(const struct ex_world *w, uint8_t epoch, uint8_t seq)
{
    for (size_t i = 0; i < w->group_count; i++)
        if (w->groups[i].epoch == epoch && w->groups[i].seq == seq)
            return &w->groups[i];
    return NULL;
}

static bool group_put(struct ex_world *w, const struct ex_group *g)
{
    size_t at = w->group_count;

    if (store_group(w, g->epoch, g->seq) != NULL)
        return false;
    assert(w->group_count < EX_GROUPS);
    while (at > 0 && (w->groups[at - 1].epoch > g->epoch ||
                      (w->groups[at - 1].epoch == g->epoch && w->groups[at - 1].seq > g->seq))) {
        w->groups[at] = w->groups[at - 1];
        at--;
    }
    w->groups[at] = *g;
    w->group_count++;
    return true;
}

/* Every etag of before is an old one now, and what waited for it can have no effect. */
static void root_put(struct ex_world *w, const struct ex_root *root)
{
    struct ex_root before = w->root;

    w->root = *root;
    w->dead_root_count = 0;
    for (size_t i = 0; i < EX_NODES; i++) {
        struct ex_node *n = &w->node[i];

        n->etag_now = n->op_etag_now = false;
        for (size_t k = 0; k < n->req_count; k++)
            n->req[k].etag_now = false;
    }
    if (root->manifest > 0)
        w->manifests[root->manifest - 1].named = true;
    check_root_change(w, &before);
}

static void apply_read_root(struct ex_world *w, size_t node, struct ex_request *r)
{
    r->class = r->conditional && w->node[node].etag_now ? OBJSTORE_NOT_MODIFIED : OBJSTORE_OK;
    r->root = w->root;
    r->etag_now = true;
}

static void apply_read_group(struct ex_world *w, struct ex_request *r)
{
    const struct ex_group *g = store_group(w, r->epoch, r->seq);

    r->class = g != NULL ? OBJSTORE_OK : OBJSTORE_NOT_FOUND;
    if (r->kind == STREAM_DO_READ_GROUP)
        r->code = g != NULL ? g->code : 0;
    else if (g != NULL && g->code != r->code)
        r->class = OBJSTORE_PRECONDITION;
}

static void apply_list(struct ex_world *w, struct ex_request *r)
{
    uint8_t seq = r->seq;

    while (store_group(w, r->epoch, seq) != NULL)
        seq++;
    r->lsn = seq > r->seq ? (uint8_t)(seq - 1) : 0;
}

void store_apply(struct ex_world *w, size_t node, struct ex_request *r)
{
    struct ex_group g = {.epoch = r->epoch, .seq = r->seq, .code = r->code};

    r->applied = true;
    r->class = OBJSTORE_OK;
    switch ((int)r->kind) {
    case STREAM_DO_READ_ROOT:
        apply_read_root(w, node, r);
        break;
    case STREAM_DO_PUT_ROOT:
        if (!r->etag_now) {
            r->class = OBJSTORE_PRECONDITION;
            break;
        }
        root_put(w, &r->root);
        r->etag_now = true;
        break;
    case STREAM_DO_LIST:
        apply_list(w, r);
        break;
    case STREAM_DO_PUT_GROUP:
        if (!group_put(w, &g))
            r->class = OBJSTORE_PRECONDITION;
        break;
    case STREAM_DO_READ_GROUP:
    case STREAM_DO_COMPARE:
        apply_read_group(w, r);
        break;
    default:
        assert(!"no request");
    }
}

/* --- what nobody waits for --- */

void store_late_group(struct ex_world *w, size_t at)
{
    struct ex_group g = w->dead_groups[at];

    w->dead_groups[at] = w->dead_groups[--w->dead_group_count];
    (void)group_put(w, &g);
}

void store_late_root(struct ex_world *w, size_t at)
{
    struct ex_root root = w->dead_roots[at];

    root_put(w, &root);
}

static bool same_root(const struct ex_root *a, const struct ex_root *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

void store_abandon(struct ex_world *w, size_t node, const struct ex_request *r)
{
    struct ex_group g = {.epoch = r->epoch, .seq = r->seq, .code = r->code};

    (void)node;
    if (r->applied)
        return;
    if (r->kind == STREAM_DO_PUT_GROUP) {
        for (size_t i = 0; i < w->dead_group_count; i++)
            if (memcmp(&w->dead_groups[i], &g, sizeof g) == 0)
                return;
        assert(w->dead_group_count < EX_DEAD);
        w->dead_groups[w->dead_group_count++] = g;
    } else if (r->kind == STREAM_DO_PUT_ROOT && r->etag_now) {
        for (size_t i = 0; i < w->dead_root_count; i++)
            if (same_root(&w->dead_roots[i], &r->root))
                return;
        assert(w->dead_root_count < EX_DEAD);
        w->dead_roots[w->dead_root_count++] = r->root;
    }
}

/* Whether any reader, taker or owner of now or later can come to groups of this epoch behind its
 * recorded end. A taker's list counts only what the root's open epochs have; a restore that began
 * with an older root goes by that. */
static bool run_is_open(const struct ex_root *r, uint8_t epoch)
{
    if (r->epoch == epoch)
        return true;
    for (size_t i = 0; i < r->open_count; i++)
        if (r->open[i] == epoch)
            return true;
    return false;
}

void store_forget(struct ex_world *w)
{
    size_t kept = 0;

    for (size_t i = 0; i < w->dead_group_count; i++) {
        const struct ex_group *g = &w->dead_groups[i];
        bool seen = run_is_open(&w->root, g->epoch) ||
                    (w->reader.step == READER_LIST && run_is_open(&w->reader.root, g->epoch));
        const struct ex_group *stands = store_group(w, g->epoch, g->seq);

        if (seen && stands == NULL)
            w->dead_groups[kept++] = *g;
    }
    memset(&w->dead_groups[kept], 0, (EX_DEAD - kept) * sizeof w->dead_groups[0]);
    w->dead_group_count = kept;
}
