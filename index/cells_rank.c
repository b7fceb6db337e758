/* Fine cells in order of how likely a row of theirs is near. Rows lie around a centroid at mean
 * squared distance s in all directions, so the squared distance of one to the query, d away from
 * the centroid, is about d + s, give or take a multiple of sqrt(d s). The aim is four fifths of the
 * least d + s. Under dot: about -2 <c, q>, give or take a multiple of |q| sqrt(s). */
#include "index/cells_internal.h"

#include <float.h>
#include <math.h>

enum { SAMPLES = 512 };

static float spread_floor(struct cells_query *const *parts, size_t count)
{
    double sum = 0, cells = 0;

    for (size_t p = 0; p < count; p++) {
        const struct cells *c = parts[p]->c;

        cells += c->fine;
        for (uint32_t f = 0; f < c->fine; f++)
            sum += (double)bf16_value(c->fine_spread[f]);
    }
    sum = cells > 0 ? sum / cells / 1000 : 0;
    return sum > (double)FLT_MIN ? (float)sum : FLT_MIN;
}

static float least_of(const struct cells_query *q, float floor_s)
{
    const struct cells *c = q->c;
    bool dot = c->metric == VMETRIC_DOT;
    float least = FLT_MAX;

    for (uint32_t f = 0; f < c->fine; f++) {
        float s = bf16_value(c->fine_spread[f]), v;

        s = s > floor_s ? s : floor_s;
        if (dot)
            v = q->fine[f] - 0.4f * sqrtf((float)q->norm2 * s);
        else
            v = 0.8f * ((q->fine[f] > 0 ? q->fine[f] : 0) + s);
        least = v < least ? v : least;
    }
    return least;
}

static float score_of(float d, float s, float aim, bool dot, float norm2)
{
    float score, apart = dot ? norm2 : d > 1e-9f ? d : 1e-9f;

    if (dot)
        score = (d - aim) / sqrtf(apart * s);
    else
        score = (apart + s - aim) / sqrtf(apart * s);
    return score < FLT_MAX ? score : FLT_MAX; /* NaN, too */
}

static void score_part(const struct cells_query *q, float floor_s, float aim, float *out)
{
    const struct cells *c = q->c;
    bool dot = c->metric == VMETRIC_DOT;

    for (uint32_t f = 0; f < c->fine; f++) {
        float s = bf16_value(c->fine_spread[f]);

        out[f] = score_of(q->fine[f], s > floor_s ? s : floor_s, aim, dot, (float)q->norm2);
    }
}

/* --- choosing the least --- */
void cells_sort(struct cells_keyed *items, struct cells_keyed *scratch, uint32_t count)
{
    for (unsigned shift = 0; shift < 32; shift += 8) {
        uint32_t first[257] = {0};

        for (uint32_t i = 0; i < count; i++)
            first[(items[i].key >> shift & 255) + 1]++;
        if (count > 0 && first[(items[0].key >> shift & 255) + 1] == count)
            continue; /* all alike */
        for (unsigned b = 0; b < 256; b++)
            first[b + 1] += first[b];
        for (uint32_t i = 0; i < count; i++)
            scratch[first[items[i].key >> shift & 255]++] = items[i];
        memcpy(items, scratch, count * sizeof(*items));
    }
}

/* A score that at least about `most` of `count` are not above; +infinity where that does not pay.
 */
static float bound_of(const float *scores, uint32_t count, uint32_t most)
{
    struct cells_keyed some[SAMPLES], scratch[SAMPLES];
    uint64_t at = (uint64_t)most * SAMPLES * 5 / 4 / (count > 0 ? count : 1) + 8;

    if (count < 4 * SAMPLES || at >= SAMPLES)
        return INFINITY;
    for (uint32_t i = 0; i < SAMPLES; i++) {
        uint32_t from = (uint32_t)((uint64_t)count * i / SAMPLES);

        some[i] = (struct cells_keyed){cells_float_key(scores[from]), from};
    }
    cells_sort(some, scratch, SAMPLES);
    return scores[some[at].value];
}

struct ranking {
    struct cells_query *const *parts;
    size_t part_count;
    const struct cells_plan_options *options;
    uint32_t total;   /* cells of all parts */
    uint32_t *starts; /* part_count: the first cell's number among all */
    float *scores;
    struct cells_keyed *chosen, *scratch;
    uint32_t chosen_count;
};

static bool wanted(const struct ranking *r, size_t part, uint32_t cell)
{
    const struct cells_query *q = r->parts[part];

    return r->options->any == NULL || r->options->any(r->options->any_arg, (uint32_t)part,
                                                      q->fine_first[cell], q->c->fine_rows[cell]);
}

static void choose(struct ranking *r, float bound)
{
    r->chosen_count = 0;
    for (size_t p = 0; p < r->part_count; p++) {
        const float *scores = r->scores + r->starts[p];

        for (uint32_t f = 0; f < r->parts[p]->c->fine; f++)
            if (scores[f] <= bound && wanted(r, p, f))
                r->chosen[r->chosen_count++] =
                    (struct cells_keyed){cells_float_key(scores[f]), r->starts[p] + f};
    }
}

static struct cells_unit unit_of(const struct ranking *r, uint32_t number, uint32_t rank)
{
    size_t part = r->part_count - 1;
    const struct cells_query *q;

    while (r->starts[part] > number)
        part--;
    q = r->parts[part];
    return (struct cells_unit){
        .part = (uint32_t)part,
        .first = q->fine_first[number - r->starts[part]],
        .end = q->fine_first[number - r->starts[part] + 1],
        .rank = rank,
    };
}

static status rank_all(struct ranking *r, uint32_t most, struct cells_unit **out, uint32_t *count,
                       struct err *err)
{
    uint32_t some = most > 0 && most < r->total ? most : r->total;
    float floor_s = spread_floor(r->parts, r->part_count), aim = FLT_MAX;
    struct cells_unit *units;

    for (size_t p = 0; p < r->part_count; p++) {
        float least = least_of(r->parts[p], floor_s);

        aim = least < aim ? least : aim;
    }
    for (size_t p = 0; p < r->part_count; p++)
        score_part(r->parts[p], floor_s, aim, r->scores + r->starts[p]);
    choose(r, some < r->total ? bound_of(r->scores, r->total, some) : INFINITY);
    if (r->chosen_count < some)
        choose(r, INFINITY);
    cells_sort(r->chosen, r->scratch, r->chosen_count);
    some = some < r->chosen_count ? some : r->chosen_count;
    units = mem_alloc_array(some, sizeof(*units));
    if (units == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the ranking of %u cells", r->total);
    for (uint32_t i = 0; i < some; i++)
        units[i] = unit_of(r, r->chosen[i].value, i);
    *out = units;
    *count = some;
    return ST_OK;
}

status cells_rank(struct cells_query *const *parts, size_t part_count,
                  const struct cells_plan_options *options, uint32_t most, struct cells_unit **out,
                  uint32_t *count, struct err *err)
{
    struct ranking r = {.parts = parts, .part_count = part_count, .options = options};
    status st = ST_OK;

    r.starts = mem_alloc_array(part_count, sizeof(*r.starts));
    for (size_t p = 0; p < part_count && r.starts != NULL && st == ST_OK; p++) {
        r.starts[p] = r.total;
        r.total += parts[p]->c->fine;
        st = cells_query_fine(parts[p], err);
    }
    r.scores = mem_alloc_array(r.total, sizeof(*r.scores));
    r.chosen = mem_alloc_array(r.total, sizeof(*r.chosen));
    r.scratch = mem_alloc_array(r.total, sizeof(*r.scratch));
    if (r.starts == NULL || r.scores == NULL || r.chosen == NULL || r.scratch == NULL)
        st = err_set(err, ST_NOMEM, "out of memory for the ranking of %u cells", r.total);
    if (st == ST_OK)
        st = rank_all(&r, most, out, count, err);
    mem_free(r.starts);
    mem_free(r.scores);
    mem_free(r.chosen);
    mem_free(r.scratch);
    return st;
}
