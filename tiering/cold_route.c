/* Which ranges of records a query reads. Where the short codes of the likeliest cells are resident
 * they say which rows; else the footers say which cells, and some codes that are missing come along
 * in the same wave, as long as the cache has room for all of them. Where a filter lets through few
 * rows these are read. Caps are for all segments together. */
#include "base/mem.h"
#include "tiering/cold_query_internal.h"

#include <math.h>

enum {
    LIMIT_USUAL = 10,
    GAP_BYTES = 64 * 1024,
    SPLIT_BYTES = 1024 * 1024, /* of one GET: beyond it, it is split while GETs are left */
    FEW_ROWS = 64,             /* of a filter: read as they are */
    GETS_MOST = 128,
    SMALL_ROWS = 50000,
};

/* --- caps --- */
static struct cold_caps widened(struct cold_caps c, uint32_t limit, uint64_t bytes_most)
{
    double times = limit > LIMIT_USUAL ? (double)limit / LIMIT_USUAL : 1;
    uint64_t gets = (uint64_t)(c.gets * sqrt(times)), bytes = (uint64_t)((double)c.bytes * times);

    c.gets = gets < GETS_MOST ? (uint32_t)gets : GETS_MOST;
    c.bytes = bytes < bytes_most ? bytes : bytes_most > c.bytes ? bytes_most : c.bytes;
    return c;
}

static uint32_t wanted(const struct cold_run *r)
{
    return r->query->limit - r->query->spare;
}

struct cold_caps cold_footer_caps(const struct cold_run *r)
{
    struct cold_caps c = {24, 7500000, 0};

    if (r->rows <= SMALL_ROWS)
        c = (struct cold_caps){16, 5000000, 0};
    if (r->part_count > 1 || r->parts[0].selection != NULL || r->query->recall > 0.95f)
        c = (struct cold_caps){32, 10000000, 0};
    if (r->query->recall >= 0.99f)
        c = (struct cold_caps){64, 40000000, 0};
    return widened(c, wanted(r), 20000000);
}

struct cold_caps cold_code_caps(const struct cold_run *r)
{
    struct cold_caps c = {16, 1000000, 50};
    uint64_t best = 3 * (uint64_t)wanted(r) + 20;

    if (r->part_count > 1)
        c.gets = 32;
    if (r->parts[0].selection != NULL)
        c = (struct cold_caps){32, 4000000, 100};
    if (r->query->recall >= 0.99f)
        c = (struct cold_caps){32, c.bytes, 100};
    best = best > c.best ? best : c.best;
    c.best = best < r->rows ? (uint32_t)best : (uint32_t)r->rows;
    return widened(c, wanted(r), 16000000);
}

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

struct cells_plan_options cold_plan_options(struct cold_routing *g, const struct cold_caps *c)
{
    return (struct cells_plan_options){.gets_max = c->gets,
                                       .bytes_max = c->bytes,
                                       .record_bytes = g->record_bytes,
                                       .any = any_counts,
                                       .any_arg = g->r};
}

/* --- the wave --- */
status cold_wave_room(struct cold_wave *w, size_t more, struct err *err)
{
    size_t room = w->count + more;

    if (room > w->room) {
        room = room > 2 * w->room ? room : 2 * w->room;
        struct cold_span *spans = mem_resize(w->spans, room * sizeof *spans);
        struct cache_want *wants;
        uint32_t *part;

        if (spans != NULL)
            w->spans = spans;
        wants = mem_resize(w->wants, room * sizeof *wants);
        if (wants != NULL)
            w->wants = wants;
        part = mem_resize(w->part, room * sizeof *part);
        if (part != NULL)
            w->part = part;
        if (spans == NULL || wants == NULL || part == NULL)
            return err_set(err, ST_NOMEM, "out of memory for a wave of %zu blocks", room);
        w->room = room;
    }
    return ST_OK;
}

static status wave_ranges(struct cold_routing *g, struct err *err)
{
    struct cold_wave *w = &g->wave;

    for (size_t i = 0; i < g->range_count; i++) {
        const struct cells_range *range = &g->ranges[i];
        const struct cold_part *p = &g->r->parts[range->part];
        size_t count =
            cold_cell_spans(p->m->segment, p->position, range->first, range->count, NULL);
        status st = cold_wave_room(w, count, err);

        if (st != ST_OK)
            return st;
        (void)cold_cell_spans(p->m->segment, p->position, range->first, range->count,
                              w->spans + w->count);
        for (size_t k = 0; k < count; k++)
            w->part[w->count + k] = range->part;
        w->count += count;
    }
    return ST_OK;
}

bool cold_wave_follows(const struct cold_span *a, const struct cold_span *b)
{
    if (a->segment != b->segment || a->kind != b->kind || a->position != b->position)
        return false;
    return b->first == a->first + (a->kind == COLD_CODES ? 1 : a->count);
}

/* Ranges that were widened to whole cells may have come to overlap: each cell once. */
static void wave_once(struct cold_wave *w)
{
    size_t kept = 0;

    for (size_t i = 0; i < w->count; i++) {
        const struct cold_span *last = kept > 0 ? &w->spans[kept - 1] : NULL;

        if (last != NULL && last->segment == w->spans[i].segment &&
            last->kind == w->spans[i].kind && last->first >= w->spans[i].first)
            continue;
        w->spans[kept] = w->spans[i];
        w->part[kept++] = w->part[i];
    }
    w->count = kept;
}

/* Rows that would push out what is worth more, codes above all, are read past the cache. */
static bool wave_is_large(const struct cold_routing *g)
{
    struct cache_status now;
    uint64_t rows = 0;

    for (size_t i = 0; i < g->wave.count; i++)
        if (g->wave.spans[i].kind == COLD_RECORDS)
            rows += g->wave.spans[i].count;
    cache_status(g->r->set->cache, &now);
    return now.pinned_bytes >= now.bytes_max ||
           rows * g->record_bytes > (now.bytes_max - now.pinned_bytes) / 8;
}

void cold_wave_wants(struct cold_routing *g)
{
    struct cold_wave *w = &g->wave;
    uint64_t run = 0;
    bool large;

    wave_once(w);
    large = wave_is_large(g);
    for (size_t i = 0; i < w->count; i++) {
        struct cache_want *want = &w->wants[i];

        cold_want(&w->spans[i], large && w->spans[i].kind == COLD_RECORDS, want);
        want->joined = i > 0 && cold_wave_follows(&w->spans[i - 1], &w->spans[i]);
        if (want->joined && run + want->bytes > SPLIT_BYTES && g->gets_left > 0) {
            want->joined = false;
            g->gets_left--;
        }
        run = want->joined ? run + want->bytes : want->bytes;
    }
}

static status wave_read(struct cold_routing *g, struct err *err)
{
    struct cold_wave *w = &g->wave;
    uint32_t wanted = 0, done = 0;
    status st, worst = ST_OK;

    cold_wave_wants(g);
    st = cold_read_wave(g->r->set, g->r->terms, w->wants, w->count, g->r->stats, err);
    for (size_t i = 0; i < w->count; i++) {
        if (w->part[i] == UINT32_MAX)
            continue;
        wanted++;
        if (w->wants[i].st == ST_OK) {
            cold_run_span(g->r, w->part[i], &w->spans[i], w->wants[i].body);
            done++;
        } else if (worst == ST_OK || w->wants[i].st == ST_CORRUPT)
            worst = w->wants[i].st;
    }
    cache_give_back(g->r->set->cache, w->wants, w->count);
    g->r->stats->cells += wanted;
    g->r->done += done;
    if (st == ST_OK || done == wanted) /* codes that come along may fail */
        return ST_OK;
    return cold_run_judge(g->r, worst == ST_OK ? st : worst);
}

/* --- a filter that lets through few rows --- */
static status plan_by_rows(struct cold_routing *g, bool *used, struct err *err)
{
    struct cold_run *r = g->r;
    struct cold_caps caps = {GETS_MOST / 2, 10000000, FEW_ROWS};
    struct cells_plan_options o = cold_plan_options(g, &caps);
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
    o.gap_bytes = GAP_BYTES / 4;
    if (st == ST_OK)
        st = cells_plan_best(r->queries, r->part_count, &o, &g->ranges, &g->range_count, err);
    *used = st == ST_OK;
    return st;
}

/* --- with footers only --- */
static status plan_by_footers(struct cold_routing *g, struct err *err)
{
    struct cold_run *r = g->r;
    struct cold_caps caps = cold_footer_caps(r);
    struct cells_plan_options o = cold_plan_options(g, &caps);
    status st = cells_plan(r->queries, r->part_count, &o, &g->ranges, &g->range_count, err);

    if (st == ST_OK)
        g->gets_left = caps.gets - (uint32_t)g->range_count;
    return st;
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
    st = plan_by_rows(&g, &used, err);
    if (st == ST_OK && !used && !by_luck)
        st = cold_plan_by_codes(&g, &used, err);
    if (st == ST_OK && !used)
        st = plan_by_footers(&g, err);
    if (st == ST_OK)
        st = wave_ranges(&g, err);
    if (st == ST_OK && !used)
        st = cold_load_codes(&g, err);
    if (st == ST_OK)
        st = wave_read(&g, err);
    mem_free(g.wave.spans);
    mem_free(g.wave.wants);
    mem_free(g.wave.part);
    return st;
}
