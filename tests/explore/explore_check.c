/* What must be true: of every root that replaces another, of every acknowledgement, of every state,
 * and of a state in which nothing is under way any more. */
#include "explore.h"

#include "tiering/stream_internal.h"

#include <stdio.h>
#include <string.h>

/* The first failure counts. */
void check_fail(struct ex_world *w, const char *format, ...)
{
    va_list ap;

    if (w->problem[0] != '\0')
        return;
    va_start(ap, format);
    (void)vsnprintf(w->problem, sizeof w->problem, format, ap);
    va_end(ap);
}

/* --- what a restore would read --- */

static uint8_t first_seq(const struct ex_root *r, uint8_t epoch)
{
    return epoch == r->floor_epoch ? r->floor_seq : 1;
}

static bool follow(const struct ex_group *g, ex_code *code, const char **why)
{
    if (g->code >> 4 != *code) {
        *why = "a group does not follow the one before it";
        return false;
    }
    *code = g->code;
    return true;
}

static bool take_lineage(const struct ex_world *w, const struct ex_lineage *l, ex_code *code,
                         const char **why)
{
    if (l->epoch < w->root.floor_epoch)
        return true;
    for (uint8_t seq = first_seq(&w->root, l->epoch); seq <= l->end_seq; seq++) {
        const struct ex_group *g = store_group(w, l->epoch, seq);

        if (g == NULL) {
            *why = "a closed lineage has a hole";
            return false;
        }
        if (!follow(g, code, why))
            return false;
    }
    if (*code != l->code) {
        *why = "a lineage does not end where the root says";
        return false;
    }
    return true;
}

static bool take_run(const struct ex_world *w, uint8_t epoch, ex_code *code, const char **why)
{
    const struct ex_group *g;

    for (uint8_t seq = first_seq(&w->root, epoch); (g = store_group(w, epoch, seq)) != NULL; seq++)
        if (!follow(g, code, why))
            return false;
    return true;
}

bool check_content(const struct ex_world *w, ex_code *out, const char **why)
{
    const struct ex_root *r = &w->root;

    *out = r->floor_code;
    if (r->manifest > 0 && !w->manifests[r->manifest - 1].there) {
        *why = "the manifest is gone";
        return false;
    }
    for (size_t i = 0; i < r->lineage_count; i++)
        if (!take_lineage(w, &r->lineages[i], out, why))
            return false;
    for (size_t i = 0; i < r->open_count; i++)
        if (!take_run(w, r->open[i], out, why))
            return false;
    return take_run(w, r->epoch, out, why);
}

static bool begins_with(ex_code code, ex_code prefix)
{
    return code_lsn(code) >= code_lsn(prefix) && code_upto(code, code_lsn(prefix)) == prefix;
}

/* --- a root that replaces another --- */

static bool was_open(const struct ex_root *r, uint8_t epoch)
{
    for (size_t i = 0; i < r->open_count; i++)
        if (r->open[i] == epoch)
            return true;
    return false;
}

static void check_lineage(struct ex_world *w, const struct ex_root *before,
                          const struct ex_lineage *l)
{
    for (size_t i = 0; i < before->lineage_count; i++)
        if (before->lineages[i].epoch == l->epoch) {
            if (memcmp(&before->lineages[i], l, sizeof *l) != 0)
                check_fail(w, "the recorded end of epoch %d changed", l->epoch);
            return;
        }
    if (!was_open(before, l->epoch))
        check_fail(w, "epoch %d was closed and was not open", l->epoch);
}

void check_root_change(struct ex_world *w, const struct ex_root *before)
{
    const struct ex_root *after = &w->root;

    if (after->epoch < before->epoch || after->revision != before->revision + 1)
        check_fail(w, "the root went back");
    if (after->epoch == before->epoch && after->session != before->session)
        check_fail(w, "epoch %d has two owners", after->epoch);
    if (after->epoch > before->epoch && !was_open(after, before->epoch))
        check_fail(w, "epoch %d was replaced and is not among the open ones", before->epoch);
    if (after->gc_mark < before->gc_mark || after->floor_epoch < before->floor_epoch ||
        code_lsn(after->floor_code) < code_lsn(before->floor_code))
        check_fail(w, "the floor or the mark went back");
    for (size_t i = 0; i < after->lineage_count; i++)
        check_lineage(w, before, &after->lineages[i]);
    if (after->manifest > 0 && w->manifests[after->manifest - 1].refused)
        check_fail(w, "a commit that was refused stands in the root");
}

/* --- acknowledgements --- */

void check_remote(struct ex_world *w, size_t node, uint64_t lsn)
{
    const char *why = NULL;
    ex_code content, ours = code_upto(w->node[node].log, (uint8_t)lsn);

    if (!check_content(w, &content, &why))
        check_fail(w, "the bucket cannot be restored: %s", why);
    else if (code_lsn(w->node[node].log) < lsn || !begins_with(content, ours))
        check_fail(w, "node %c: remote up to lsn %d, but that is not in the bucket",
                   'a' + (int)node, (int)lsn);
    else if (code_lsn(ours) > code_lsn(w->remote))
        w->remote = ours;
}

/* --- every state --- */

static void check_acknowledged(struct ex_world *w, ex_code content)
{
    for (size_t i = 0; i < EX_NODES; i++)
        for (uint8_t k = 1; k <= w->node[i].written; k++) {
            const struct ex_node *n = &w->node[i];
            uint8_t record = (uint8_t)(8 * i + k);
            bool local = false;

            if ((w->lettered & 1 << record) != 0 || code_holds(content, record))
                continue;
            for (uint8_t lsn = n->log_first; lsn <= code_lsn(n->log); lsn++)
                local = local || code_record(n->log, lsn) == record;
            if (!local)
                check_fail(w, "record %c%d was acknowledged and is nowhere", 'a' + (int)i, k);
        }
}

static void check_twice(struct ex_world *w, ex_code content)
{
    for (ex_code rest = content; rest > 1; rest = (ex_code)(rest >> 4))
        if (code_holds((ex_code)(rest >> 4), rest & 15))
            check_fail(w, "a record is in the bucket twice");
}

/* shipped_lsn against what is stored; what an owner has that was replaced may be collected. */
static void check_run(struct ex_world *w, size_t node)
{
    const struct stream *s = w->node[node].s;
    uint64_t end, chain;

    if (s->phase != STREAM_OWNED || w->root.epoch != s->core.own_epoch)
        return;
    if (s->remote_lsn > s->shipped_lsn || s->shipped_lsn > s->sealed_lsn ||
        s->sealed_lsn > s->durable_lsn || s->durable_lsn != code_lsn(w->node[node].log))
        check_fail(w, "node %c: lsns out of order", 'a' + (int)node);
    root_end(&s->root, &end, &chain);
    for (size_t i = 0; i < w->group_count; i++) {
        const struct ex_group *g = &w->groups[i];

        if (g->epoch == s->root.epoch && code_lsn(g->code) == end + 1)
            end++;
    }
    if (s->shipped_lsn > end)
        check_fail(w, "node %c: shipped_lsn %d, but stored without a hole up to %d",
                   'a' + (int)node, (int)s->shipped_lsn, (int)end);
}

void check_state(struct ex_world *w)
{
    const char *why = NULL;
    ex_code content;

    if (!check_content(w, &content, &why)) {
        check_fail(w, "the bucket cannot be restored: %s", why);
        return;
    }
    if (!begins_with(content, w->remote))
        check_fail(w, "what was acknowledged as remote is not in the bucket");
    check_twice(w, content);
    check_acknowledged(w, content);
    for (size_t i = 0; i < EX_NODES; i++)
        check_run(w, i);
    reader_check(w);
}

/* Whoever owns has the bucket's log and everything of it confirmed; whoever waits, waits for
 * something that another can bring. */
void check_quiet(struct ex_world *w)
{
    const char *why = NULL;
    ex_code content;

    if (!check_content(w, &content, &why))
        return;
    for (size_t i = 0; i < EX_NODES; i++) {
        const struct ex_node *n = &w->node[i];
        const struct stream *s = n->s;
        bool owner = w->root.session == code_session(i, n->session);

        if (s->phase == STREAM_OWNED && owner && n->log != content)
            check_fail(w, "node %c owns, and its log is not the bucket's", 'a' + (int)i);
        if (s->phase == STREAM_OWNED && (s->seal_count > 0 || s->remote_lsn != s->durable_lsn ||
                                         s->core.commit_wanted || s->core.mark_wanted))
            check_fail(w, "node %c owns, and does not get on", 'a' + (int)i);
        if (s->phase == STREAM_TAKING || s->phase == STREAM_CREATING)
            check_fail(w, "node %c is taking, and does not get on", 'a' + (int)i);
        if (s->phase == STREAM_IDLE && code_lsn(n->log) != s->core.hint_lsn)
            check_fail(w, "node %c has something to ship, and does not", 'a' + (int)i);
    }
}
