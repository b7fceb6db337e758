/* Which ranges are asked for. Units (fine cells, or rows) no further apart than a gap are a clump;
 * the clumps of most worth are taken as far as the caps go, one that breaks the bytes is left out.
 * With footers only this is tried for some numbers of likeliest cells and some gaps, and the plan
 * of most worth is asked. */
#include "index/cells_internal.h"

#include <math.h>
#include <stdlib.h>

enum { CLUMPS_LOOKED_AT = 4, BEST_DAMPING = 20 };

struct clump {
    uint32_t from, to; /* units [from, to) */
    uint32_t rows;     /* with what is read over */
    float weight;      /* of the units that were asked for */
};
struct planner {
    const struct cells_plan_options *o;
    struct cells_unit *units; /* by part and place */
    uint32_t count;
    double *total;        /* count + 1: weights up to each unit */
    struct clump *clumps; /* count */
    struct clump *top;    /* top_max: of most weight */
    uint32_t top_max;
    struct clump *kept, *best; /* gets_max */
    uint32_t best_count;
    double best_worth;
};

static uint64_t bytes_of(const struct planner *p, uint64_t rows)
{
    return rows * p->o->record_bytes;
}

/* Units of rank below m that lie no further apart than gap. */
static uint32_t clumps_make(struct planner *p, uint32_t m, uint64_t gap, uint64_t *bytes)
{
    uint32_t count = 0;

    *bytes = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        const struct cells_unit *u = &p->units[i], *last;
        struct clump *c;

        if (u->rank >= m)
            continue;
        if (count > 0) {
            c = &p->clumps[count - 1];
            last = &p->units[c->to - 1];
            if (last->part == u->part && bytes_of(p, u->first - last->end) <= gap) {
                *bytes += bytes_of(p, u->end - last->end);
                c->rows += u->end - last->end;
                c->weight += u->weight;
                c->to = i + 1;
                continue;
            }
        }
        *bytes += bytes_of(p, u->end - u->first);
        p->clumps[count++] = (struct clump){i, i + 1, u->end - u->first, u->weight};
    }
    return count;
}

/* The top_max clumps of most weight, in that order. */
static uint32_t clumps_top(struct planner *p, uint32_t count)
{
    uint32_t have = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct clump in = p->clumps[i];
        uint32_t at;

        if (have == p->top_max && !(in.weight > p->top[have - 1].weight))
            continue;
        for (at = have < p->top_max ? have++ : have - 1;
             at > 0 && in.weight > p->top[at - 1].weight; at--)
            p->top[at] = p->top[at - 1];
        p->top[at] = in;
    }
    return have;
}

static int by_place(const void *a, const void *b)
{
    const struct clump *x = a, *y = b;

    return x->from < y->from ? -1 : x->from > y->from;
}

static void try_clumps(struct planner *p, uint32_t m, uint64_t gap)
{
    uint64_t bytes;
    uint32_t count = clumps_make(p, m, gap, &bytes), kept = 0;
    double worth = 0;

    if (count <= p->o->gets_max && bytes <= p->o->bytes_max) {
        memcpy(p->kept, p->clumps, count * sizeof(*p->kept));
        kept = count;
    } else {
        uint32_t have = clumps_top(p, count);

        bytes = 0;
        for (uint32_t i = 0; i < have && kept < p->o->gets_max; i++)
            if (bytes + bytes_of(p, p->top[i].rows) <= p->o->bytes_max) {
                bytes += bytes_of(p, p->top[i].rows);
                p->kept[kept++] = p->top[i];
            }
        qsort(p->kept, kept, sizeof(*p->kept), by_place);
    }
    for (uint32_t i = 0; i < kept; i++)
        worth += p->total[p->kept[i].to] - p->total[p->kept[i].from];
    if (kept > 0 && worth > p->best_worth) {
        struct clump *other = p->best;

        p->best = p->kept;
        p->kept = other;
        p->best_count = kept;
        p->best_worth = worth;
    }
}

/* Units in order of their places; they come by rank. */
static status units_place(struct planner *p, struct err *err)
{
    struct cells_keyed *items = mem_alloc_array(2 * (size_t)p->count, sizeof(*items));
    struct cells_unit *placed = mem_alloc_array(p->count, sizeof(*placed));
    uint32_t parts = 0, at = 0;

    if (items == NULL || placed == NULL) {
        mem_free(items);
        mem_free(placed);
        return err_set(err, ST_NOMEM, "out of memory for a plan over %u cells", p->count);
    }
    for (uint32_t i = 0; i < p->count; i++) {
        items[i] = (struct cells_keyed){p->units[i].first, i};
        parts = p->units[i].part > parts ? p->units[i].part : parts;
    }
    cells_sort(items, items + p->count, p->count);
    for (uint32_t part = 0; part <= parts; part++)
        for (uint32_t i = 0; i < p->count; i++)
            if (p->units[items[i].value].part == part)
                placed[at++] = p->units[items[i].value];
    mem_free(items);
    mem_free(p->units);
    p->units = placed;
    return ST_OK;
}

static status planner_init(struct planner *p, struct err *err)
{
    size_t gets = p->o->gets_max > 0 ? p->o->gets_max : 1;
    status st = units_place(p, err);

    if (st != ST_OK)
        return st;
    p->best_worth = -1;
    p->top_max = (uint32_t)gets * CLUMPS_LOOKED_AT;
    p->total = mem_alloc_array((size_t)p->count + 1, sizeof(*p->total));
    p->clumps = mem_alloc_array(p->count, sizeof(*p->clumps));
    p->top = mem_alloc_array(p->top_max, sizeof(*p->top));
    p->kept = mem_alloc_array(gets, sizeof(*p->kept));
    p->best = mem_alloc_array(gets, sizeof(*p->best));
    if (p->total == NULL || p->clumps == NULL || p->top == NULL || p->kept == NULL ||
        p->best == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a plan over %u cells", p->count);
    p->total[0] = 0;
    for (uint32_t i = 0; i < p->count; i++)
        p->total[i + 1] = p->total[i] + (double)p->units[i].weight;
    return ST_OK;
}

static void planner_free(struct planner *p)
{
    mem_free(p->units);
    mem_free(p->total);
    mem_free(p->clumps);
    mem_free(p->top);
    mem_free(p->kept);
    mem_free(p->best);
}

/* Where no unit fits the bytes whole (a cell of rows that are all alike may be large): the
 * beginning of the likeliest. */
static uint32_t beginning(const struct planner *p, struct cells_range *out)
{
    uint64_t rows = p->o->record_bytes > 0 ? p->o->bytes_max / p->o->record_bytes : 0;

    for (uint32_t i = 0; i < p->count && rows > 0 && p->o->gets_max > 0; i++) {
        const struct cells_unit *u = &p->units[i];

        if (u->rank != 0)
            continue;
        *out = (struct cells_range){u->part, u->first, u->end - u->first, u->weight};
        out->count = out->count < rows ? out->count : (uint32_t)rows;
        return 1;
    }
    return 0;
}

static status ranges_make(uint32_t count, struct cells_range **out, struct err *err)
{
    *out = mem_alloc_array((size_t)count + 1, sizeof(**out));
    return *out != NULL ? ST_OK
                        : err_set(err, ST_NOMEM, "out of memory for a plan of %u ranges", count);
}

static const struct cells_range *owned(struct cells_query *owner, struct cells_range *ranges)
{
    mem_free(owner->ranges);
    owner->ranges = ranges;
    return ranges;
}

static status planner_ranges(struct planner *p, struct cells_range **out, size_t *count,
                             struct err *err)
{
    struct cells_range *ranges;
    status st = ranges_make(p->best_count, &ranges, err);

    if (st != ST_OK)
        return st;
    for (uint32_t i = 0; i < p->best_count; i++) {
        const struct clump *c = &p->best[i];
        const struct cells_unit *first = &p->units[c->from];

        ranges[i] = (struct cells_range){first->part, first->first, c->rows,
                                         (float)(p->total[c->to] - p->total[c->from])};
    }
    *count = p->best_count > 0 ? p->best_count : beginning(p, ranges);
    *out = ranges;
    return ST_OK;
}

/* --- with footers only --- */
static const struct cells *largest(struct cells_query *const *parts, size_t count)
{
    const struct cells *c = parts[0]->c;

    for (size_t p = 1; p < count; p++)
        c = parts[p]->c->rows > c->rows ? parts[p]->c : c;
    return c;
}

static void try_all(struct planner *p)
{
    static const uint64_t gaps[] = {2048, 512, 128, 64}; /* of the bytes that may be read */

    for (uint64_t m = 32;; m *= 2) {
        uint32_t here = m < p->count ? (uint32_t)m : p->count;

        for (size_t g = 0; g < COUNT_OF(gaps); g++)
            if (p->o->gap_bytes == 0 || g == 0)
                try_clumps(p, here,
                           p->o->gap_bytes > 0 ? p->o->gap_bytes : p->o->bytes_max / gaps[g]);
        if (here == p->count)
            return;
    }
}

status cells_likely(struct cells_query *const *parts, size_t part_count,
                    const struct cells_plan_options *options, struct cells_range **out,
                    size_t *count, struct err *err)
{
    uint32_t most = options->cells_max > 0 ? options->cells_max : CELLS_PLAN_MAX, found = 0;
    const struct cells *large = largest(parts, part_count);
    struct cells_unit *units = NULL;
    status st = cells_rank(parts, part_count, options, most, &units, &found, err);

    if (st == ST_OK)
        st = ranges_make(found, out, err);
    for (uint32_t i = 0; st == ST_OK && i < found; i++)
        (*out)[i] = (struct cells_range){units[i].part, units[i].first,
                                         units[i].end - units[i].first, cells_worth_at(large, i)};
    mem_free(units);
    *count = st == ST_OK ? found : 0;
    return st;
}

/* Rows are few, and what lies between them is cheap: one GET has more of them with a larger gap. */
static void try_gaps(struct planner *p)
{
    for (unsigned shift = 0; shift < 3; shift++)
        try_clumps(p, UINT32_MAX, (uint64_t)p->o->gap_bytes << shift);
}

status cells_plan_units(const struct cells_range *units, size_t unit_count,
                        const struct cells_plan_options *options, bool tries,
                        struct cells_range **out, size_t *count, struct err *err)
{
    struct planner p = {.o = options, .count = (uint32_t)unit_count};
    status st = ST_OK;

    p.units = mem_alloc_array(unit_count, sizeof(*p.units));
    if (p.units == NULL)
        st = err_set(err, ST_NOMEM, "out of memory for a plan over %zu cells", unit_count);
    for (uint32_t i = 0; st == ST_OK && i < p.count; i++)
        p.units[i] = (struct cells_unit){units[i].part, units[i].first,
                                         units[i].first + units[i].count, i, units[i].worth};
    if (st == ST_OK)
        st = planner_init(&p, err);
    if (st == ST_OK && tries)
        try_all(&p);
    else if (st == ST_OK)
        try_gaps(&p);
    if (st == ST_OK)
        st = planner_ranges(&p, out, count, err);
    planner_free(&p);
    return st;
}

status cells_plan(struct cells_query *const *parts, size_t part_count,
                  const struct cells_plan_options *options, const struct cells_range **out,
                  size_t *count, struct err *err)
{
    struct cells_range *units = NULL, *ranges;
    size_t found = 0;
    status st = cells_likely(parts, part_count, options, &units, &found, err);

    if (st == ST_OK)
        st = cells_plan_units(units, found, options, true, &ranges, count, err);
    if (st == ST_OK)
        *out = owned(parts[0], ranges);
    mem_free(units);
    return st;
}

/* --- which short codes are looked at --- */
status cells_plan_likely(struct cells_query *const *parts, size_t part_count, uint64_t rows_max,
                         const struct cells_plan_options *options, const struct cells_range **out,
                         size_t *count, struct err *err)
{
    struct planner p = {.o = options};
    uint64_t rows = 0, all = 1, fine = 0;
    uint32_t runs = 0, some = 0;
    struct cells_range *ranges;
    status st;

    for (size_t i = 0; i < part_count; i++) {
        all += parts[i]->c->rows;
        fine += parts[i]->c->fine;
    }
    /* So many usual cells and some more; all where that is not less. */
    fine = rows_max < all ? fine * (rows_max * 5 / 4) / all + 64 : 0;
    st = cells_rank(parts, part_count, options, (uint32_t)fine, &p.units, &p.count, err);

    for (; st == ST_OK && some < p.count && rows < rows_max; some++)
        rows += p.units[some].end - p.units[some].first;
    p.count = some;
    if (st == ST_OK)
        st = units_place(&p, err);
    if (st == ST_OK)
        st = ranges_make(p.count, &ranges, err);
    for (uint32_t i = 0; st == ST_OK && i < p.count; i++) {
        const struct cells_unit *u = &p.units[i];
        struct cells_range *last = runs > 0 ? &ranges[runs - 1] : NULL;

        if (last != NULL && last->part == u->part && last->first + last->count == u->first)
            last->count += u->end - u->first;
        else
            ranges[runs++] = (struct cells_range){u->part, u->first, u->end - u->first, 0};
    }
    mem_free(p.units);
    if (st != ST_OK)
        return st;
    *out = owned(parts[0], ranges);
    *count = runs;
    return ST_OK;
}

/* --- around the best rows by short codes --- */
struct candidate {
    struct cells_best row;
    uint32_t part;
};

static int by_estimate(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    if (x->row.estimate != y->row.estimate)
        return x->row.estimate < y->row.estimate ? -1 : 1;
    if (x->part != y->part)
        return x->part < y->part ? -1 : 1;
    return x->row.position < y->row.position ? -1 : x->row.position > y->row.position;
}

status cells_best_rows(struct cells_query *const *parts, size_t part_count,
                       struct cells_range **out, size_t *count, struct err *err)
{
    struct candidate *all;
    struct cells_range *rows;
    size_t total = 0, at = 0;
    uint32_t most = 0;
    status st;

    for (size_t i = 0; i < part_count; i++) {
        total += parts[i]->best_count;
        most = parts[i]->best_max > most ? parts[i]->best_max : most;
    }
    most = total < most ? (uint32_t)total : most;
    all = mem_alloc_array(total, sizeof(*all));
    if (all == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the best %zu rows", total);
    for (size_t i = 0; i < part_count; i++)
        for (uint32_t r = 0; r < parts[i]->best_count; r++)
            all[at++] = (struct candidate){parts[i]->best[r], (uint32_t)i};
    qsort(all, total, sizeof(*all), by_estimate);
    st = ranges_make(most, &rows, err);
    for (uint32_t i = 0; st == ST_OK && i < most; i++)
        rows[i] = (struct cells_range){all[i].part, all[i].row.position, 1,
                                       1.0f / (float)(BEST_DAMPING + i)};
    mem_free(all);
    if (st != ST_OK)
        return st;
    *out = rows;
    *count = most;
    return ST_OK;
}

status cells_plan_best(struct cells_query *const *parts, size_t part_count,
                       const struct cells_plan_options *options, const struct cells_range **out,
                       size_t *count, struct err *err)
{
    struct cells_range *rows = NULL, *ranges;
    size_t found = 0;
    status st = cells_best_rows(parts, part_count, &rows, &found, err);

    if (st == ST_OK)
        st = cells_plan_units(rows, found, options, false, &ranges, count, err);
    if (st == ST_OK)
        *out = owned(parts[0], ranges);
    mem_free(rows);
    return st;
}
