/* Which ranges of records a query reads. Where the short codes of the likeliest cells are resident
 * they say which rows; else the footers say which cells, and some codes that are missing come along
 * in the same wave, as long as the cache has room for all of them. Where a filter lets through few
 * rows these are read. Caps are for all segments together. */
#include "base/mem.h"
#include "tiering/cold_query_internal.h"

#include <math.h>

enum {
    LIMIT_USUAL = 10,
    LIKELY_ROWS = 256 * 1024, /* whose short codes are looked at */
    GAP_BYTES = 64 * 1024,
    SPLIT_BYTES = 1024 * 1024,    /* of one GET: beyond it, it is split while GETs are left */
    FEW_ROWS = 64,                /* of a filter: read as they are */
    LOAD_BYTES = 2 * 1024 * 1024, /* codes that come along with a query */
    LOAD_GETS = 2,
    GETS_MOST = 128,
};

struct caps {
    uint32_t gets;
    uint64_t bytes;
    uint32_t best;
};
struct wave {
    struct cold_span *spans;
    struct cache_want *wants;
    uint32_t *part; /* of each want; UINT32_MAX: codes that come along */
    size_t count, room;
};
struct routing {
    struct cold_run *r;
    struct wave wave;
    uint32_t record_bytes; /* the largest of the parts */
    const struct cells_range *ranges;
    size_t range_count;
    uint32_t gets_left; /* beyond one a range */
};

/* --- caps --- */
static struct caps widened(struct caps c, uint32_t limit, uint64_t bytes_most)
{
    double times = limit > LIMIT_USUAL ? (double)limit / LIMIT_USUAL : 1;
    uint64_t gets = (uint64_t)(c.gets * sqrt(times)), bytes = (uint64_t)((double)c.bytes * times);

    c.gets = gets < GETS_MOST ? (uint32_t)gets : GETS_MOST;
    c.bytes = bytes < bytes_most ? bytes : bytes_most > c.bytes ? bytes_most : c.bytes;
    return c;
}

static struct caps footer_caps(const struct cold_run *r)
{
    struct caps c = {24, 7500000, 0};

    if (r->rows <= 100000)
        c = (struct caps){16, 5000000, 0};
    if (r->part_count > 1 || r->parts[0].selection != NULL || r->query->recall > 0.95f)
        c = (struct caps){32, 10000000, 0};
    if (r->query->recall >= 0.99f)
        c = (struct caps){64, 40000000, 0};
    return widened(c, r->query->limit, 20000000);
}

static struct caps code_caps(const struct cold_run *r)
{
    struct caps c = {16, 1000000, 50};
    uint64_t best = 3 * (uint64_t)r->query->limit + 20;

    if (r->part_count > 1)
        c.gets = 32;
    if (r->parts[0].selection != NULL)
        c = (struct caps){32, 4000000, 100};
    if (r->query->recall >= 0.99f)
        c = (struct caps){32, c.bytes, 100};
    best = best > c.best ? best : c.best;
    c.best = best < r->rows ? (uint32_t)best : (uint32_t)r->rows;
    return widened(c, r->query->limit, 16000000);
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

static struct cells_plan_options plan_options(struct routing *g, const struct caps *c)
{
    return (struct cells_plan_options){.gets_max = c->gets,
                                       .bytes_max = c->bytes,
                                       .record_bytes = g->record_bytes,
                                       .any = any_counts,
                                       .any_arg = g->r};
}

static bool position_counts(void *arg, uint32_t position)
{
    return cold_part_counts(arg, position);
}

/* --- the wave --- */
static status wave_room(struct wave *w, size_t more, struct err *err)
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

static status wave_ranges(struct routing *g, struct err *err)
{
    struct wave *w = &g->wave;

    for (size_t i = 0; i < g->range_count; i++) {
        const struct cells_range *range = &g->ranges[i];
        const struct cold_part *p = &g->r->parts[range->part];
        size_t count =
            cold_cell_spans(p->m->segment, p->position, range->first, range->count, NULL);
        status st = wave_room(w, count, err);

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

static bool follows(const struct cold_span *a, const struct cold_span *b)
{
    if (a->segment != b->segment || a->kind != b->kind || a->position != b->position)
        return false;
    return b->first == a->first + (a->kind == COLD_CODES ? 1 : a->count);
}

/* Ranges that were widened to whole cells may have come to overlap: each cell once. */
static void wave_once(struct wave *w)
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

/* Wants point to their spans: made when these stay where they are. */
static void wave_wants(struct routing *g)
{
    struct wave *w = &g->wave;
    uint64_t run = 0;

    wave_once(w);
    for (size_t i = 0; i < w->count; i++) {
        struct cache_want *want = &w->wants[i];

        cold_want(&w->spans[i], false, want);
        want->joined = i > 0 && follows(&w->spans[i - 1], &w->spans[i]);
        if (want->joined && run + want->bytes > SPLIT_BYTES && g->gets_left > 0) {
            want->joined = false;
            g->gets_left--;
        }
        run = want->joined ? run + want->bytes : want->bytes;
    }
}

static status wave_read(struct routing *g, struct err *err)
{
    struct wave *w = &g->wave;
    uint32_t wanted = 0, done = 0;
    status st, worst = ST_OK;

    wave_wants(g);
    st = cold_read(g->r->set, g->r->terms, w->wants, w->count, g->r->stats, err);
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

/* --- with codes resident --- */
static bool code_there(const struct cold_part *p, uint32_t coarse, uint64_t *bytes)
{
    const struct cold_segment *s = p->m->segment;
    uint64_t offset;

    cold_codes_range(&s->footer, p->position, coarse, &offset, bytes);
    return cache_has(p->m->segment->cache, s->named.object.uuid, offset, *bytes);
}

/* Whether the codes of all these runs of rows are in the cache. */
static bool codes_there(const struct cold_run *r, const struct cells_range *runs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct cold_part *p = &r->parts[runs[i].part];
        uint32_t end = runs[i].first + runs[i].count;
        uint64_t bytes;

        for (uint32_t g = cells_coarse_of(p->cells, runs[i].first);
             g < p->cells->coarse && p->cells->coarse_first_row[g] < end; g++)
            if (!code_there(p, g, &bytes))
                return false;
    }
    return true;
}

struct run_of_codes {
    uint32_t part, coarse, first, count;
};

/* Short codes of rows [first, first + count), which lie in one coarse cell. */
static status scan_codes(struct routing *g, const struct run_of_codes *run, struct slice body,
                         struct err *err)
{
    struct cold_part *p = &g->r->parts[run->part];
    struct rabitq_shape shape = {p->cells->dim, p->cells->short_bits};
    uint32_t skipped = run->first - p->cells->coarse_first_row[run->coarse];
    bool plain = p->selection == NULL && p->m->graves->dead.bits == NULL;
    const uint8_t *codes;
    status st =
        cold_codes_check(&p->m->segment->footer, p->position, run->coarse, body, &codes, err);

    if (st != ST_OK)
        return st;
    cells_query_best_add(p->query, run->coarse, run->first,
                         codes + skipped * rabitq_code_bytes(shape), run->count,
                         plain || !cold_part_ordered(p) ? NULL : position_counts, p);
    g->r->stats->rows_scanned += run->count;
    return ST_OK;
}

/* One block of codes at a time would be a wave each if they were gone: all at once. */
static status read_codes(struct routing *g, const struct cells_range *runs, size_t count,
                         struct err *err)
{
    struct wave *w = &g->wave;
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < count; i++) {
        const struct cold_part *p = &g->r->parts[runs[i].part];
        uint32_t end = runs[i].first + runs[i].count;

        for (uint32_t c = cells_coarse_of(p->cells, runs[i].first);
             st == ST_OK && c < p->cells->coarse && p->cells->coarse_first_row[c] < end; c++) {
            bool again = w->count > 0 && w->part[w->count - 1] == runs[i].part &&
                         w->spans[w->count - 1].first == c;

            st = again ? ST_OK : wave_room(w, 1, err);
            if (again || st != ST_OK)
                continue;
            w->spans[w->count] = (struct cold_span){
                .segment = p->m->segment, .kind = COLD_CODES, .position = p->position, .first = c};
            w->part[w->count++] = runs[i].part;
        }
    }
    if (st != ST_OK)
        return st;
    wave_wants(g);
    return cold_read(g->r->set, g->r->terms, w->wants, w->count, g->r->stats, err);
}

static status scan_runs(struct routing *g, const struct cells_range *runs, size_t count,
                        struct err *err)
{
    const struct wave *w = &g->wave;
    size_t at = 0;
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < count; i++) {
        const struct cells *cells = g->r->parts[runs[i].part].cells;
        uint32_t first = runs[i].first, end = first + runs[i].count;

        for (uint32_t c = cells_coarse_of(cells, first); st == ST_OK && first < end; c++) {
            uint32_t to =
                cells->coarse_first_row[c + 1] < end ? cells->coarse_first_row[c + 1] : end;
            struct run_of_codes run = {runs[i].part, c, first, to - first};

            while (w->part[at] != run.part || w->spans[at].first != c)
                at++;
            st = scan_codes(g, &run, w->wants[at].body, err);
            first = to;
        }
    }
    return st;
}

/* *used: the codes are there, and ranges were made around the best rows. */
static status plan_by_codes(struct routing *g, bool *used, struct err *err)
{
    struct cold_run *r = g->r;
    struct caps caps = code_caps(r);
    struct cells_plan_options o = plan_options(g, &caps);
    const struct cells_range *runs;
    size_t count;
    status st = cells_plan_likely(r->queries, r->part_count, LIKELY_ROWS, &o, &runs, &count, err);

    if (st != ST_OK || !codes_there(r, runs, count))
        return st;
    for (uint32_t i = 0; st == ST_OK && i < r->part_count; i++)
        st = cells_query_best_reset(r->queries[i], caps.best, err);
    if (st == ST_OK)
        st = read_codes(g, runs, count, err);
    if (st == ST_OK)
        st = scan_runs(g, runs, count, err);
    cache_give_back(r->set->cache, g->wave.wants, g->wave.count);
    g->wave.count = 0;
    if (st != ST_OK) /* went meanwhile, and could not be had again: without them */
        return st == ST_NOMEM || st == ST_CLOSED ? st : ST_OK;
    o.gap_bytes = GAP_BYTES;
    st = cells_plan_best(r->queries, r->part_count, &o, &g->ranges, &g->range_count, err);
    g->gets_left = caps.gets > g->range_count ? caps.gets - (uint32_t)g->range_count : 0;
    *used = st == ST_OK;
    r->stats->codes_resident = *used;
    return st;
}

/* --- a filter that lets through few rows --- */
static status plan_by_rows(struct routing *g, bool *used, struct err *err)
{
    struct cold_run *r = g->r;
    struct caps caps = {GETS_MOST / 2, 10000000, FEW_ROWS};
    struct cells_plan_options o = plan_options(g, &caps);
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
/* Codes that are missing, from the first on, while all of them have room. */
static status load_codes(struct routing *g, struct err *err)
{
    struct cold_run *r = g->r;
    uint64_t all = 0, run = 0, taken = 0;
    uint32_t gets = 0;
    struct wave *w = &g->wave;

    for (uint32_t i = 0; i < r->part_count; i++)
        all += (uint64_t)r->parts[i].cells->rows *
               rabitq_code_bytes(
                   (struct rabitq_shape){r->parts[i].cells->dim, r->parts[i].cells->short_bits});
    if (all > cache_room(r->set->cache))
        return ST_OK;
    for (uint32_t i = 0; i < r->part_count; i++)
        for (uint32_t c = 0; c < r->parts[i].cells->coarse; c++) {
            const struct cold_part *p = &r->parts[i];
            struct cold_span span = {
                .segment = p->m->segment, .kind = COLD_CODES, .position = p->position, .first = c};
            uint64_t bytes;
            bool joins;
            status st;

            if (code_there(p, c, &bytes))
                continue;
            joins =
                run > 0 && follows(&w->spans[w->count - 1], &span) && run + bytes <= SPLIT_BYTES;
            gets += !joins;
            taken += bytes;
            if (gets > LOAD_GETS || taken > LOAD_BYTES)
                return ST_OK;
            st = wave_room(w, 1, err);
            if (st != ST_OK)
                return st;
            w->spans[w->count] = span;
            w->part[w->count++] = UINT32_MAX;
            run = joins ? run + bytes : bytes;
        }
    return ST_OK;
}

static status plan_by_footers(struct routing *g, struct err *err)
{
    struct cold_run *r = g->r;
    struct caps caps = footer_caps(r);
    struct cells_plan_options o = plan_options(g, &caps);
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

static bool needle(const struct routing *g)
{
    uint64_t matched = 0;

    for (uint32_t i = 0; i < g->r->part_count; i++)
        matched += g->r->parts[i].selection->matched;
    return matched * 5 < g->r->rows && g->r->rows * g->record_bytes > footer_caps(g->r).bytes;
}

status cold_run_route(struct cold_run *r, struct err *err)
{
    struct routing g = {.r = r};
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
        st = plan_by_codes(&g, &used, err);
    if (st == ST_OK && !used)
        st = plan_by_footers(&g, err);
    if (st == ST_OK)
        st = wave_ranges(&g, err);
    if (st == ST_OK && !used)
        st = load_codes(&g, err);
    if (st == ST_OK)
        st = wave_read(&g, err);
    mem_free(g.wave.spans);
    mem_free(g.wave.wants);
    mem_free(g.wave.part);
    return st;
}
