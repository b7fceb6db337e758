/* How many documents there are, or match, where not all are in RAM.
 *
 * All of them: the set's rows, less those of ids that the head has a record of, and the head's.
 * Those that match: the set's are read, all of them; then the head's are selected. What was written
 * in between may have been counted in both: these ids are remembered, as long as they are few. */
#include "node/cold_internal.h"
#include "node/cold_reads.h"
#include "node/count_internal.h"
#include "node/select.h"

enum { IDS_AT_ONCE = 4096, EXACT_HEAD_MAX = 16384 };

/* --- all --- */

struct overridden {
    struct cold_reads *r;
    struct arena arena; /* bytes of the ids */
    struct docid *ids;
    uint64_t *lsns, *own; /* of the set's records, and of the head's */
    size_t count;
    uint64_t rows; /* of the head that were met */
    uint64_t cold; /* of the set, that do not count */
    struct err *err;
};

static status ask(struct overridden *o)
{
    const struct cold_terms terms = {.deadline_ns = o->r->terms.deadline_ns,
                                     .stop = o->r->terms.stop};
    status st = ST_OK;

    if (o->count > 0)
        st = cold_set_find(o->r->set, o->ids, o->count, &terms, o->lsns, o->err);
    for (size_t i = 0; st == ST_OK && i < o->count; i++)
        o->cold += o->lsns[i] != 0 && o->lsns[i] <= o->own[i];
    o->count = 0;
    arena_reset(&o->arena);
    return st;
}

static status add(struct overridden *o, const struct docid *id, uint64_t lsn)
{
    if (!keep_id(&o->arena, id, &o->ids[o->count]))
        return err_set(o->err, ST_NOMEM, "out of memory to count");
    o->own[o->count++] = lsn;
    return ST_OK;
}

static status add_tombstone(void *arg, const struct docid *id, uint64_t lsn, struct err *err)
{
    struct overridden *o = arg;
    struct epoch_guard guard = epoch_enter(o->r->c->node->epoch);
    bool there = slots_find(o->r->c->slots, id) != SLOT_NONE;

    status st = ST_OK;

    (void)err;
    epoch_leave(o->r->c->node->epoch, guard);
    if (!there)
        st = add(o, id, lsn);
    return st == ST_OK && o->count == IDS_AT_ONCE ? ask(o) : st;
}

/* Ids of rows are copied inside a guard, and asked for outside. */
static status add_rows(struct overridden *o)
{
    struct collection *c = o->r->c;
    struct docid last = {0};
    uint8_t last_text[DOCID_BYTES_MAX];
    status st = ST_OK;
    uint32_t found;

    do {
        uint32_t page[256];
        struct epoch_guard guard = epoch_enter(c->node->epoch);

        found = 0;
        st = slots_page(c->slots, last.kind == 0 ? NULL : &last, COUNT_OF(page), page, &found,
                        o->err);
        for (uint32_t i = 0; st == ST_OK && i < found; i++) {
            struct row row;

            slots_row(c->slots, page[i], &row);
            st = add(o, &row.id, row.lsn);
            if (i + 1 < found)
                continue;
            last = row.id;
            if (row.id.kind == DOCID_BYTES) {
                memcpy(last_text, row.id.bytes.data, row.id.bytes.bytes);
                last.bytes = slice_make(last_text, row.id.bytes.bytes);
            }
        }
        epoch_leave(c->node->epoch, guard);
        o->rows += found;
        if (st == ST_OK && o->count + COUNT_OF(page) > IDS_AT_ONCE)
            st = ask(o);
    } while (st == ST_OK && found > 0);
    return st == ST_OK ? ask(o) : st;
}

static status count_all(struct cold_reads *r, uint64_t *out, struct err *err)
{
    struct overridden o = {.r = r, .err = err};
    status st;

    arena_init(&o.arena, SIZE_MAX); /* IDS_AT_ONCE bounds it */
    o.ids = mem_alloc_array(IDS_AT_ONCE, sizeof *o.ids);
    o.lsns = mem_alloc_array(IDS_AT_ONCE, sizeof *o.lsns);
    o.own = mem_alloc_array(IDS_AT_ONCE, sizeof *o.own);
    st = o.ids != NULL && o.lsns != NULL && o.own != NULL
             ? add_rows(&o)
             : err_set(err, ST_NOMEM, "out of memory to count");
    if (st == ST_OK)
        st = tombstones_each(r->c, UINT64_MAX, add_tombstone, &o, err);
    if (st == ST_OK)
        st = ask(&o);
    *out = cold_set_rows(r->set) + o.rows - o.cold;
    mem_free(o.ids);
    mem_free(o.lsns);
    mem_free(o.own);
    arena_free(&o.arena);
    return st;
}

/* --- those that match --- */

struct matching {
    struct cold_seen seen;
    uint64_t count;
};

static status count_row(void *arg, const struct cold_row *row, struct err *err)
{
    struct matching *m = arg;

    (void)err;
    cold_seen_add(&m->seen, &row->id);
    m->count++;
    return ST_OK;
}

static bool head_is_empty(struct collection *c)
{
    return slots_live_count(c->slots) == 0 && tombstones_count(c) == 0;
}

/* Where the head has nothing, and indexes say which rows match. *done: it was so all the time. */
static status count_by_indexes(struct cold_reads *r, const struct filter *filter, uint64_t *out,
                               bool *done, struct err *err)
{
    struct cold_matches *matches = NULL;
    status st = ST_OK;

    *done = false;
    if (head_is_empty(r->c))
        st = cold_set_matches(r->set, filter, &r->terms, &r->stats, &matches, err);
    if (st == ST_OK && matches != NULL && head_is_empty(r->c)) {
        *out = cold_matches_count(matches);
        *done = true;
    }
    cold_matches_drop(matches);
    return st;
}

static status count_matching(struct cold_reads *r, const struct filter *filter,
                             const struct read_limits *limits, struct arena *arena, uint64_t *out,
                             struct err *err)
{
    struct collection *c = r->c;
    struct matching m = {0};
    struct selected selected;
    struct epoch_guard guard;
    bool done;
    status st = count_by_indexes(r, filter, out, &done, err);

    if (st != ST_OK || done)
        return st;
    st = cold_seen_begin(r, arena, &m.seen, err);
    if (st == ST_OK)
        st = cold_set_each(r->set, filter, 0, 0, &r->terms, count_row, &m, &r->stats, err);
    if (st != ST_OK)
        return st;
    guard = epoch_enter(c->node->epoch);
    st = select_make(c, filter, limits, arena, &selected, err);
    if (st == ST_OK) {
        cold_seen_leave_out(&m.seen, c, &selected);
        *out = m.count + selected.count;
    }
    epoch_leave(c->node->epoch, guard);
    return st;
}

/* --- */

static status count_both(struct cold_reads *r, const struct filter *filter, bool exact,
                         const struct read_limits *limits, struct arena *arena, uint64_t *out,
                         struct err *err)
{
    struct collection *c = r->c;
    uint64_t head = slots_live_count(c->slots);

    if (!filter_is_all(filter))
        return count_matching(r, filter, limits, arena, out, err);
    if (exact || head + tombstones_count(c) <= EXACT_HEAD_MAX)
        return count_all(r, out, err);
    *out = cold_set_rows(r->set) + head;
    return ST_OK;
}

status count_cold(struct collection *c, const struct filter *filter, bool exact,
                  const struct read_limits *limits, struct arena *arena, uint64_t *out,
                  struct err *err)
{
    struct cold_reads r;
    status st = cold_reads_begin(c, limits, &r, err);

    if (st == ST_OK && r.set == NULL)
        st = count_head(c, filter, exact, limits, arena, out, err);
    else if (st == ST_OK)
        do
            st = count_both(&r, filter, exact, limits, arena, out, err);
        while (cold_reads_again(&r, st));
    return cold_reads_end(&r, st, err);
}
