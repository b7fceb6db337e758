/* Which ranges of records a query reads. Where the short codes of the likeliest cells are resident
 * they say which rows; else the footers say which cells, and some codes that are missing come along
 * in the same wave, as long as the cache has room for all of them. Where a filter lets through few
 * rows these are read. Caps are for all segments together, and for what is not in the cache. */
#include "base/mem.h"
#include "tiering/cold_query_internal.h"

enum {
    GAP_BYTES = 64 * 1024,
    FEW_ROWS = 64, /* of a filter: read as they are */
};

/* --- which cells and rows count --- */
static bool any_counts(void *arg, uint32_t part, uint32_t first, uint32_t count)
{
    const struct cold_run *r = arg;
    const struct cold_part *p = &r->parts[part];

    if (!cold_part_ordered(p) || (p->selection == NULL && p->m->graves->dead.bits == NULL))
        return true;
    for (uint32_t i = 0; i < count; i++)
        if (cold_part_counts(p, first + i))
            return true;
    return false;
}

struct cells_plan_options cold_plan_options(const struct cold_routing *g)
{
    return (struct cells_plan_options){.gets_max = g->caps.gets,
                                       .bytes_max = g->caps.bytes,
                                       .record_bytes = g->record_bytes,
                                       .any = any_counts,
                                       .any_arg = g->r};
}

/* --- a filter that lets through few rows --- */
static status units_by_rows(struct cold_routing *g, bool *used, struct err *err)
{
    struct cold_run *r = g->r;
    struct cells_range *rows = NULL;
    size_t count = 0;
    uint64_t matched = 0;
    status st = ST_OK;

    for (uint32_t i = 0; i < r->part_count; i++) {
        const struct cold_part *p = &r->parts[i];

        if (p->selection == NULL || !cold_part_ordered(p))
            return ST_OK;
        matched += p->selection->matched;
    }
    if (matched > FEW_ROWS)
        return ST_OK;
    for (uint32_t i = 0; st == ST_OK && i < r->part_count; i++) {
        st = cells_query_best_reset(r->queries[i], FEW_ROWS, err);
        for (uint32_t at = 0; st == ST_OK && at < r->parts[i].cells->rows; at++)
            if (cold_part_counts(&r->parts[i], at))
                cells_query_best_put(r->queries[i], at);
    }
    if (st == ST_OK)
        st = cells_best_rows(r->queries, r->part_count, &rows, &count, err);
    g->caps = cold_few_caps(FEW_ROWS);
    cold_run_limit(r, &g->caps);
    if (st == ST_OK)
        st = cold_units_of_rows(g, rows, count, err);
    mem_free(rows);
    *used = st == ST_OK;
    return st;
}

/* --- with footers only --- */
static status units_by_footers(struct cold_routing *g, struct err *err)
{
    struct cells_plan_options o;
    status st;

    g->caps = cold_footer_caps(g->r);
    cold_run_limit(g->r, &g->caps);
    o = cold_plan_options(g);
    st = cells_likely(g->r->queries, g->r->part_count, &o, &g->units, &g->unit_count, err);
    return st == ST_OK ? cold_units_of_cells(g, err) : st;
}

static status plan(struct cold_routing *g, bool by_rows, struct err *err)
{
    struct cells_plan_options o = cold_plan_options(g);

    if (g->unit_count == 0)
        return ST_OK;
    o.gap_bytes = by_rows ? GAP_BYTES : 0;
    return cells_plan_units(g->units, g->unit_count, &o, !by_rows, &g->ranges, &g->range_count,
                            err);
}

/* Of fields but the first a filter says nothing before records are read: which of the best by code
 * it lets through is luck. Few of many rows are then found by reading all. */
static bool luck(const struct cold_run *r)
{
    for (uint32_t i = 0; i < r->part_count; i++)
        if (r->parts[i].selection != NULL && !cold_part_ordered(&r->parts[i]))
            return true;
    return false;
}

static bool needle(const struct cold_routing *g)
{
    uint64_t matched = 0;

    for (uint32_t i = 0; i < g->r->part_count; i++)
        matched += g->r->parts[i].selection->matched;
    return matched * 5 < g->r->rows && g->r->rows * g->record_bytes > cold_footer_caps(g->r).bytes;
}

status cold_run_route(struct cold_run *r, struct err *err)
{
    struct cold_routing g = {.r = r};
    bool used = false, by_luck = luck(r);
    status st;

    for (uint32_t i = 0; i < r->part_count; i++) {
        const struct cold_part *p = &r->parts[i];
        uint32_t bytes = p->m->segment->footer.fields[p->position].record_bytes;

        g.record_bytes = bytes > g.record_bytes ? bytes : g.record_bytes;
    }
    if (by_luck && needle(&g))
        return cold_run_exact(r, err);
    st = units_by_rows(&g, &used, err);
    if (st == ST_OK && !used && !by_luck)
        st = cold_units_by_codes(&g, &used, err);
    if (st == ST_OK && !used)
        st = units_by_footers(&g, err);
    if (st == ST_OK)
        st = plan(&g, used, err);
    if (st == ST_OK)
        st = cold_wave(&g, !used, err);
    mem_free(g.units);
    mem_free(g.ranges);
    mem_free(g.had);
    return st;
}
