/* The reader: a restore as snapshot/restore.c does it, with or without a pin. It reads the root,
 * then lists the runs that are open, one by one. With a pin: it writes the pin and reads the root
 * again; the pin holds if the root's mark is not above what is pinned.
 *
 * Groups and manifests never change, so that only whether they are there can depend on when they
 * are read. Without a pin they are read with the last listing. With one that holds, everything it
 * keeps has to be there in every state from then on: whenever it is read, it is not missed. */
#include "explore.h"

void reader_comes(struct ex_world *w, bool pins)
{
    w->readers--;
    w->reader =
        (struct ex_reader){.step = READER_LIST, .pins = pins, .root = w->root, .need = w->remote};
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
        r->step = READER_LISTED;
        if (!r->pins) {
            (void)has_read(w);
            done(w);
        }
        break;
    case READER_LISTED:
        r->step = READER_PINNED;
        break;
    case READER_PINNED:
        if (w->root.gc_mark <= r->root.manifest_revision && has_read(w))
            r->step = READER_HOLDS;
        else
            done(w);
        break;
    }
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
