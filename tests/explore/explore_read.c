/* The reader: a restore as snapshot/restore.c does it, with or without a pin. It reads the root,
 * then lists the runs that are open, one by one. A pin is made by a node that owns, of what it has
 * shipped: it is written, then the root is read again, and the pin holds if the root's mark is not
 * above what is pinned.
 *
 * Groups and manifests never change, so that only whether they are there can depend on when they
 * are read. Without a pin they are read with the last listing. With one that holds, everything it
 * keeps has to be there in every state from then on: whenever it is read, it is not missed. */
#include "explore.h"

#include "snapshot/pin.h"

#include <assert.h>

void reader_comes(struct ex_world *w)
{
    w->readers--;
    w->reader = (struct ex_reader){.step = READER_LIST, .root = w->root, .need = w->remote};
}

/* As node/bucket.c makes one: the root as the stream knows it, and what is shipped. */
void reader_pins(struct ex_world *w, size_t node)
{
    const struct ex_node *n = &w->node[node];
    struct ex_reader *r = &w->reader;

    w->readers--;
    *r = (struct ex_reader){.step = READER_LISTED,
                            .pins = true,
                            .node = (uint8_t)node,
                            .need = code_upto(n->log, (uint8_t)n->s->shipped_lsn)};
    code_root(&n->s->root, &r->root);
    r->root.nonce = r->root.nonces = 0;
    for (r->run = 0; r->run < r->root.lineage_count; r->run++)
        r->ends[r->run] = r->root.lineages[r->run].epoch < r->root.floor_epoch
                              ? 0
                              : r->root.lineages[r->run].end_seq;
    assert(r->root.open_count == 0);
    r->ends[r->run++] = (uint8_t)n->s->core.shipped_seq;
}

struct ex_place reader_pinned_to(const struct ex_reader *r)
{
    size_t newest = r->root.lineage_count;

    if (r->ends[newest] > 0)
        return (struct ex_place){r->root.epoch, r->ends[newest]};
    if (newest == 0)
        return (struct ex_place){0};
    return (struct ex_place){r->root.lineages[newest - 1].epoch,
                             r->root.lineages[newest - 1].end_seq};
}

size_t reader_runs(const struct ex_reader *r)
{
    return (size_t)r->root.lineage_count + r->root.open_count + 1;
}

static uint8_t run_epoch(const struct ex_root *root, size_t run)
{
    if (run < root->lineage_count)
        return root->lineages[run].epoch;
    run -= root->lineage_count;
    return run < root->open_count ? root->open[run] : root->epoch;
}

static uint8_t run_first(const struct ex_root *root, size_t run)
{
    return run_epoch(root, run) == root->floor_epoch ? root->floor_seq : 1;
}

/* Every open run is listed by itself; where the others end the root says. */
static void list(struct ex_world *w)
{
    struct ex_reader *r = &w->reader;
    bool listed = false;

    for (; r->run < reader_runs(r) && !listed; r->run++) {
        uint8_t epoch = run_epoch(&r->root, r->run), seq = run_first(&r->root, r->run);

        if (r->run < r->root.lineage_count) {
            r->ends[r->run] = epoch < r->root.floor_epoch ? 0 : r->root.lineages[r->run].end_seq;
            continue;
        }
        while (store_group(w, epoch, seq) != NULL)
            seq++;
        r->ends[r->run] = (uint8_t)(seq - 1);
        listed = true;
    }
}

static void done(struct ex_world *w)
{
    w->reader = (struct ex_reader){.step = READER_AWAY};
}

/* NULL: it has everything, and as it follows one another. `gone`: something is not there. */
static const char *read_all(const struct ex_world *w, ex_code *code, bool *gone)
{
    const struct ex_reader *r = &w->reader;

    *gone = true;
    *code = r->root.floor_code;
    if (r->root.manifest > 0 && !w->manifests[r->root.manifest - 1].there)
        return "misses its manifest";
    for (size_t run = 0; run < reader_runs(r); run++)
        for (uint8_t seq = run_first(&r->root, run); seq <= r->ends[run]; seq++) {
            const struct ex_group *g = store_group(w, run_epoch(&r->root, run), seq);

            *gone = g == NULL;
            if (g == NULL)
                return "misses a group that was there";
            if (g->code >> 4 != *code)
                return "finds a group that does not follow the one before it";
            *code = g->code;
        }
    *gone = false;
    return NULL;
}

/* One that meets what it did not expect begins anew if the root is another by now; here it is
 * done. */
static bool has_read(struct ex_world *w)
{
    const struct ex_reader *r = &w->reader;
    bool gone;
    ex_code code;
    const char *problem = read_all(w, &code, &gone);

    if (problem != NULL) {
        if (r->root.revision == w->root.revision || (gone && r->pins))
            check_fail(w, "the reader %s", problem);
        return false;
    }
    if (code_lsn(code) < code_lsn(r->need) || code_upto(code, code_lsn(r->need)) != r->need)
        check_fail(w, "the reader did not get what was acknowledged before it began");
    return true;
}

static bool holds(const struct ex_world *w)
{
    static struct root root;
    const struct ex_reader *r = &w->reader;
    struct ex_place to = reader_pinned_to(r);
    struct pin pin = {
        .manifest_revision = r->root.manifest_revision, .epoch = to.epoch, .seq = to.seq};

    code_to_root(&w->root, &root);
    return pin_holds(&pin, &root);
}

void reader_step(struct ex_world *w)
{
    struct ex_reader *r = &w->reader;

    switch (r->step) {
    case READER_AWAY:
    case READER_HOLDS:
        break;
    case READER_LIST:
        list(w);
        if (r->run < reader_runs(r))
            break;
        (void)has_read(w);
        done(w);
        break;
    case READER_LISTED:
        r->step = READER_PINNED;
        break;
    case READER_PINNED:
        if (!holds(w) || !has_read(w)) {
            done(w);
            break;
        }
        r->step = READER_HOLDS;
        r->need = 1; /* from here on only names count */
        r->root.session = r->root.revision = r->node = 0;
        break;
    }
}

/* Nothing can be deleted any more: whoever would pin, or has, misses nothing. */
void reader_forget(struct ex_world *w)
{
    if (!w->bounds->pins || w->collectors > 0 || w->collector.at != 0 || w->dead_delete_count > 0)
        return;
    w->readers = 0;
    done(w);
}

void reader_check(struct ex_world *w)
{
    const char *problem;
    bool gone;
    ex_code code;

    if (w->reader.step != READER_HOLDS)
        return;
    problem = read_all(w, &code, &gone);
    if (problem != NULL)
        check_fail(w, "the reader whose pin holds %s", problem);
}
