/* Folds of a collection under S3Only (docs/s3only.md), where the seed is a cold one: rows up to a
 * floor move into segments, the head gives them up once the root names them, and the log is trimmed
 * to there. A record is a row of its lsn; what a head has beside its set is told by two numbers.
 * What must be true: every row is in the head or in the set that its node reads, with the content
 * it was written with, and the segments of the owner's set are there. */
#include "sim.h"

#include <inttypes.h>
#include <string.h>

enum { READERS_MS = 3000 };

static uint64_t base_of(const struct sim_manifest *m)
{
    return m != NULL ? m->base_lsn : 0;
}

/* The rows of a manifest's segments; NULL, or why there is a hole. */
const char *fold_content(const struct sim *w, const struct sim_manifest *m,
                         uint32_t values[SIM_LSNS + 1])
{
    uint64_t next = 1;

    for (size_t i = 0; i < m->segment_count; i++) {
        const struct sim_segment *s = &w->segments[m->segments[i]];

        if (s->first_lsn != next)
            return "cold segments do not adjoin";
        for (; next <= s->last_lsn; next++)
            values[next] = w->segment_rows[m->segments[i]][next];
    }
    return next == m->base_lsn + 1 ? NULL : "cold segments end before their floor";
}

/* Those behind `keep` are merged with the head's rows. */
static void write_segment(struct sim *w, const struct sim_node *n, struct sim_manifest *m,
                          size_t keep, uint64_t from_lsn)
{
    uint64_t id = w->segment_next++;
    struct sim_segment *s = &w->segments[id];

    s->first_lsn = keep > 0 ? w->segments[m->segments[keep - 1]].last_lsn + 1 : 1;
    s->last_lsn = m->base_lsn;
    for (size_t i = keep; i < m->segment_count; i++) {
        const struct sim_segment *old = &w->segments[m->segments[i]];

        for (uint64_t lsn = old->first_lsn; lsn <= old->last_lsn; lsn++)
            w->segment_rows[id][lsn] = w->segment_rows[m->segments[i]][lsn];
    }
    for (uint64_t lsn = from_lsn; lsn <= m->base_lsn; lsn++)
        w->segment_rows[id][lsn] = n->hist[lsn];
    m->segments[keep] = id;
    m->segment_count = keep + 1;
    w->seen[SEEN_FOLDED] = true;
}

bool fold_begin(struct sim *w, size_t node, struct sim_manifest *m)
{
    struct sim_node *n = &w->node[node];
    uint64_t from = m->base_lsn, most = m->segment_count;
    size_t keep;

    if (most == SIM_BASE_SEGMENTS)
        most--;
    keep = (size_t)sim_below(w, most + 1);
    if (m->floor.lsn == from && keep == m->segment_count)
        return false;
    if (n->given_up > from) {
        sim_fail(w, "node %zu folds behind %" PRIu64 " and its head begins behind %" PRIu64, node,
                 from, n->given_up);
        return false;
    }
    w->seen[SEEN_MERGED] = w->seen[SEEN_MERGED] || keep < m->segment_count;
    m->base_lsn = m->floor.lsn;
    write_segment(w, n, m, keep, from + 1);
    n->publish.done = keep;
    n->publish.segments = keep + 1;
    return true;
}

void fold_done(struct sim *w, size_t node, const struct sim_manifest *m)
{
    struct sim_event *e;

    w->node[node].cold_set = m->id;
    e = sim_at(w, w->now_ms + 1 + sim_below(w, READERS_MS), EV_GIVE_UP, node);
    e->lsn = m->base_lsn;
}

/* A sweep crashes before each step of a fold, too. */
bool fold_crashes(struct sim *w, size_t node)
{
    if (!w->cold || ++w->effect_count != w->crash_at || !w->node[node].created)
        return false;
    w->seen[SEEN_CRASH_BETWEEN_EFFECTS] = true;
    node_crash(w, node);
    return true;
}

/* The last reader of the set before is gone. The log is trimmed behind it. */
void fold_give_up(struct sim *w, size_t node, uint64_t lsn)
{
    struct sim_node *n = &w->node[node];

    if (fold_crashes(w, node))
        return;
    if (lsn > n->given_up)
        n->given_up = lsn;
    if (lsn > n->head_kept) {
        n->head_kept = lsn;
        if (lsn > n->hint_lsn)
            lsn = n->hint_lsn; /* what is noted on the disk bounds it, as ever */
        if (lsn >= n->log_first)
            disk_trim(w, node, lsn);
    }
    fold_check(w, node);
}

/* The set that the root names. */
void fold_open(struct sim *w, size_t node, const struct root *root)
{
    struct sim_node *n = &w->node[node];
    const struct sim_manifest *m =
        root->has_manifest ? gc_manifest(w, gc_id(root->manifest.uuid)) : NULL;

    if (!w->cold)
        return;
    if (base_of(m) < n->given_up) {
        sim_fail(w, "node %zu: rows between %" PRIu64 " and %" PRIu64 " are nowhere", node,
                 base_of(m), n->given_up);
        return;
    }
    n->cold_set = m != NULL ? m->id : 0;
    fold_check(w, node);
}

void fold_start(struct sim_node *n)
{
    n->cold_set = 0;
    n->given_up = n->head_kept;
}

static bool owns(const struct sim *w, const struct sim_node *n)
{
    return n->streams && n->stream.phase == STREAM_OWNED && w->has_root &&
           w->root.state != ROOT_DROPPED &&
           memcmp(w->root.session, n->stream.options.session, sizeof w->root.session) == 0;
}

void fold_check(struct sim *w, size_t node)
{
    static uint32_t values[SIM_LSNS + 1];
    const struct sim_node *n = &w->node[node];
    const struct sim_manifest *m = gc_manifest(w, n->cold_set);
    const char *problem;

    if (!w->cold || !n->up || m == NULL || w->failed)
        return;
    problem = fold_content(w, m, values);
    if (problem != NULL)
        sim_fail(w, "node %zu reads a set whose %s", node, problem);
    if (n->given_up > m->base_lsn)
        sim_fail(w, "node %zu: its head begins behind %" PRIu64 ", its set ends at %" PRIu64, node,
                 n->given_up, m->base_lsn);
    for (uint64_t lsn = 1; lsn <= n->given_up && !w->failed; lsn++)
        if (values[lsn] != n->hist[lsn] && values[lsn] != 0 && n->hist[lsn] != 0) /* 0: a gap */
            sim_fail(w, "node %zu: the row of lsn %" PRIu64 " is another one in its set", node,
                     lsn);
    for (size_t i = 0; i < m->segment_count && owns(w, n); i++)
        if (!w->segments[m->segments[i]].there)
            sim_fail(w, "node %zu: segment %" PRIu64 " of its set is gone", node, m->segments[i]);
}

void fold_check_all(struct sim *w)
{
    for (size_t i = 0; i < w->nodes; i++)
        fold_check(w, i);
}
