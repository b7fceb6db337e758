/* Short codes of rows. Where those of the likeliest cells are in the cache they say which rows are
 * read. Where they are not, some come along with each query, as long as the cache has room for all
 * of them. */
#include "base/mem.h"
#include "tiering/cold_query_internal.h"

enum {
    LIKELY_ROWS = 256 * 1024, /* whose short codes are looked at */
    GAP_BYTES = 64 * 1024,
    GET_BYTES = 1024 * 1024,
    LOAD_BYTES = 2 * 1024 * 1024, /* codes that come along with a query */
    LOAD_GETS = 2,
};

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

static bool position_counts(void *arg, uint32_t position)
{
    return cold_part_counts(arg, position);
}

/* Of codes that are not in the cache. What is there already has taken its part of the room. */
static uint64_t codes_missing(const struct cold_run *r)
{
    uint64_t missing = 0, bytes;

    for (uint32_t i = 0; i < r->part_count; i++)
        for (uint32_t c = 0; c < r->parts[i].cells->coarse; c++)
            missing += code_there(&r->parts[i], c, &bytes) ? 0 : bytes;
    return missing;
}

/* A wave for codes alone: where recall is asked for, the rows it takes without them are more. */
static bool worth_a_wave(const struct cold_run *r)
{
    uint64_t bytes = codes_missing(r);

    return r->query->recall >= 0.99f && bytes <= cold_footer_caps(r).bytes / 2 &&
           bytes <= cache_room(r->set->cache);
}

struct run_of_codes {
    uint32_t part, coarse, first, count;
};

/* Short codes of rows [first, first + count), which lie in one coarse cell. The block was checked
 * as it came; its codes are its end. */
static void scan_codes(struct cold_routing *g, const struct run_of_codes *run, struct slice body)
{
    struct cold_part *p = &g->r->parts[run->part];
    struct rabitq_shape shape = {p->cells->dim, p->cells->short_bits};
    uint32_t end = p->cells->coarse_first_row[run->coarse + 1];
    bool plain = p->selection == NULL && p->m->graves->dead.bits == NULL;
    size_t behind = (end - run->first) * rabitq_code_bytes(shape);

    cells_query_best_add(p->query, run->coarse, run->first, body.data + body.bytes - behind,
                         run->count, plain || !cold_part_ordered(p) ? NULL : position_counts, p);
    g->r->stats->rows_scanned += run->count;
}

/* One block of codes at a time would be a wave each if they were gone: all at once. */
static status read_codes(struct cold_routing *g, const struct cells_range *runs, size_t count,
                         struct err *err)
{
    struct cold_wave *w = &g->wave;
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < count; i++) {
        const struct cold_part *p = &g->r->parts[runs[i].part];
        uint32_t end = runs[i].first + runs[i].count;

        for (uint32_t c = cells_coarse_of(p->cells, runs[i].first);
             st == ST_OK && c < p->cells->coarse && p->cells->coarse_first_row[c] < end; c++) {
            bool again = w->count > 0 && w->part[w->count - 1] == runs[i].part &&
                         w->spans[w->count - 1].first == c;

            st = again ? ST_OK : cold_wave_room(w, 1, err);
            if (again || st != ST_OK)
                continue;
            w->spans[w->count] = (struct cold_span){
                .segment = p->m->segment, .kind = COLD_CODES, .position = p->position, .first = c};
            w->part[w->count++] = runs[i].part;
        }
    }
    if (st != ST_OK) {
        w->count = 0; /* nothing was asked for */
        return st;
    }
    cold_wave_wants(g);
    return cold_read(g->r->set, g->r->terms, w->wants, w->count, g->r->stats, err);
}

static void scan_runs(struct cold_routing *g, const struct cells_range *runs, size_t count)
{
    const struct cold_wave *w = &g->wave;
    size_t at = 0;

    for (size_t i = 0; i < count; i++) {
        const struct cells *cells = g->r->parts[runs[i].part].cells;
        uint32_t first = runs[i].first, end = first + runs[i].count;

        for (uint32_t c = cells_coarse_of(cells, first); first < end; c++) {
            uint32_t to =
                cells->coarse_first_row[c + 1] < end ? cells->coarse_first_row[c + 1] : end;
            struct run_of_codes run = {runs[i].part, c, first, to - first};

            while (w->part[at] != run.part || w->spans[at].first != c)
                at++;
            scan_codes(g, &run, w->wants[at].body);
            first = to;
        }
    }
}

status cold_plan_by_codes(struct cold_routing *g, bool *used, struct err *err)
{
    struct cold_run *r = g->r;
    struct cold_caps caps = cold_code_caps(r);
    struct cells_plan_options o = cold_plan_options(g, &caps);
    const struct cells_range *runs;
    size_t count;
    status st = cells_plan_likely(r->queries, r->part_count, LIKELY_ROWS, &o, &runs, &count, err);

    if (st != ST_OK || !(codes_there(r, runs, count) || worth_a_wave(r)))
        return st;
    g->gets_left = caps.gets;
    for (uint32_t i = 0; st == ST_OK && i < r->part_count; i++)
        st = cells_query_best_reset(r->queries[i], caps.best, err);
    if (st == ST_OK)
        st = read_codes(g, runs, count, err);
    if (st == ST_OK)
        scan_runs(g, runs, count);
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

status cold_load_codes(struct cold_routing *g, struct err *err)
{
    struct cold_run *r = g->r;
    uint64_t run = 0, taken = 0;
    uint32_t gets = 0;
    struct cold_wave *w = &g->wave;

    if (codes_missing(r) > cache_room(r->set->cache))
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
            joins = run > 0 && cold_wave_follows(&w->spans[w->count - 1], &span) &&
                    run + bytes <= GET_BYTES;
            gets += !joins;
            taken += bytes;
            if (gets > LOAD_GETS || taken > LOAD_BYTES)
                return ST_OK;
            st = cold_wave_room(w, 1, err);
            if (st != ST_OK)
                return st;
            w->spans[w->count] = span;
            w->part[w->count++] = UINT32_MAX;
            run = joins ? run + bytes : bytes;
        }
    return ST_OK;
}
