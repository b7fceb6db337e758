/* A query over the cold segments of a set together. Footers rank cells, or short codes rank rows
 * where they are resident; ranges of records come in one wave; rows are keyed by their 8-bit codes;
 * what is dead, let out by the filter or known newer does not count. */
#include "base/mem.h"
#include "tiering/cold_query_internal.h"

#include <string.h>

static void run_free(struct cold_run *r)
{
    for (uint32_t i = 0; i < r->part_count; i++) {
        cells_query_destroy(r->parts[i].query);
        cold_selection_drop(r->parts[i].selection);
    }
    mem_free(r->parts);
    mem_free(r->queries);
    mem_free(r->heap);
}

/* Ids that stand in no record are asked about only at the end, and an id is told once: so some more
 * rows are kept. */
static uint64_t heap_wanted(const struct cold_run *r, bool mixed)
{
    uint64_t wanted = r->query->limit;

    if (mixed)
        wanted = 4 * wanted + 64;
    else if (r->part_count > 1)
        wanted += wanted / 8 + 4;

    return wanted < r->rows ? wanted : r->rows;
}

static status parts_make(struct cold_run *r, struct err *err)
{
    bool mixed = false;
    status st = ST_OK;

    r->parts = mem_zero_array(r->set->count, sizeof *r->parts);
    r->queries = mem_zero_array(r->set->count, sizeof *r->queries);
    if (r->parts == NULL || r->queries == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a query of %u segments", r->set->count);
    for (uint32_t m = 0; st == ST_OK && m < r->set->count; m++) {
        const struct cold_segment *s = r->set->members[m].segment;
        int position = cold_segment_field(s, r->query->field);
        struct cold_part *p = &r->parts[r->part_count];

        if (position < 0 || s->cells[position].rows == 0)
            continue;
        *p = (struct cold_part){.member = m,
                                .position = (uint16_t)position,
                                .m = &r->set->members[m],
                                .cells = &s->cells[position]};
        st = cells_query_create(p->cells, r->query->vector, &p->query, err);
        if (st != ST_OK)
            break;
        r->queries[r->part_count++] = p->query;
        r->rows += p->cells->rows;
        mixed = mixed || s->footer.id_form == COLD_ID_MIXED;
    }
    r->heap_max = (uint32_t)heap_wanted(r, mixed);
    r->heap = st == ST_OK ? mem_alloc_array(r->heap_max, sizeof *r->heap) : NULL;
    if (st == ST_OK && r->heap == NULL)
        st = err_set(err, ST_NOMEM, "out of memory for %u nearest rows", r->heap_max);
    return st;
}

/* A filter may take three quarters of the time: what it let through is to be read, too. */
static struct cold_terms terms_of_filter(const struct cold_terms *terms)
{
    struct cold_terms out = *terms;
    uint64_t now = clock_mono_ns(clock_real());

    out.budget = NULL; /* its reads are beside those of ranges */
    if (terms->deadline_ns > now)
        out.deadline_ns = now + (terms->deadline_ns - now) / 4 * 3;
    return out;
}

static void part_remove(struct cold_run *r, uint32_t i)
{
    cells_query_destroy(r->parts[i].query);
    r->part_count--;
    for (; i < r->part_count; i++) {
        r->parts[i] = r->parts[i + 1];
        r->queries[i] = r->queries[i + 1];
    }
}

/* Rows behind a deadline are not known, so they do not count, and the answer says so; so it does
 * where nothing of a segment can be asked. */
static status parts_select(struct cold_run *r, struct err *err)
{
    const struct filter *filter = r->query->filter;
    struct cold_terms terms = terms_of_filter(r->terms);
    status st = ST_OK, failed = ST_OK;

    if (filter == NULL || filter_is_all(filter))
        return ST_OK;
    for (uint32_t i = 0; i < r->part_count;) {
        struct cold_part *p = &r->parts[i];

        st = cold_select(r->set, p->member, filter, &terms, r->stats, &p->selection, err);
        if (st == ST_OK) {
            r->partial = r->partial || !p->selection->whole;
            i++;
            continue;
        }
        if (!status_is_transient(st) && st != ST_CORRUPT && st != ST_NOT_FOUND)
            return st;
        r->partial = true;
        failed = st;
        part_remove(r, i);
    }
    return r->part_count == 0 ? failed : ST_OK;
}

static status ask(struct cold_run *r, struct cold_hit **hits, uint32_t *count, struct err *err)
{
    status st;

    if (r->query->exact || r->parts[0].cells->metric == VMETRIC_L1)
        st = cold_run_exact(r, err);
    else
        st = cold_run_route(r, err);
    return st == ST_OK ? cold_run_finish(r, hits, count, err) : st;
}

/* Nearly all rows that were kept, or read, turned out to be known newer: once more with eight times
 * as many, under caps of its own; what came the first time is in the cache as a rule. */
static status keep_more(struct cold_run *r, struct err *err)
{
    uint64_t more = 8 * (uint64_t)r->heap_max;

    mem_free(r->heap);
    r->wider *= r->was_full ? 1 : 8;
    r->heap_max = (uint32_t)(more < r->rows ? more : r->rows);
    r->heap_count = 0;
    r->done = 0;
    r->own_terms.budget = NULL;
    r->heap = mem_alloc_array(r->heap_max, sizeof *r->heap);
    return r->heap != NULL
               ? ST_OK
               : err_set(err, ST_NOMEM, "out of memory for %u nearest rows", r->heap_max);
}

static status run(struct cold_run *r, struct cold_hit **hits, uint32_t *count, struct err *err)
{
    status st = parts_make(r, err);

    if (st == ST_OK)
        st = parts_select(r, err);
    if (st != ST_OK || r->part_count == 0 || r->heap_max == 0)
        return st;
    st = ask(r, hits, count, err);
    while (st == ST_OK && r->came_short) {
        st = keep_more(r, err);
        if (st == ST_OK)
            st = ask(r, hits, count, err);
    }
    return st;
}

status cold_set_query(struct cold_set *s, const struct cold_query *query,
                      const struct cold_terms *terms, struct arena *arena, struct cold_hit **hits,
                      uint32_t *count, bool *partial, struct cold_stats *stats, struct err *err)
{
    struct cold_stats own = {0};
    struct cold_run r = {.set = s,
                         .query = query,
                         .own_terms = *terms,
                         .budget = cold_no_budget(),
                         .wider = 1,
                         .arena = arena,
                         .stats = stats != NULL ? stats : &own};
    struct cold_hit *found = NULL;
    uint32_t found_count = 0;
    status st;

    r.terms = &r.own_terms;
    st = run(&r, &found, &found_count, err);
    if (terms->budget != NULL)
        *terms->budget = cold_run_left(&r);
    if (st == ST_OK) {
        *hits = found;
        *count = found_count;
        *partial = r.partial;
    }
    run_free(&r);
    return st;
}
