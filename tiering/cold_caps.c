/* What a query may ask of the bucket. One budget has all of it: ranges, short codes that come
 * along, hedges, and the rest of the answer. What is in the cache costs nothing and is not bounded
 * here. */
#include "tiering/cold_query_internal.h"

#include <math.h>

enum {
    LIMIT_USUAL = 10,
    GETS_MOST = 128,
    SMALL_ROWS = 50000,
    REST_GETS = 4,           /* payload of the usual answer */
    REST_BYTES = 112 * 1024, /* of one */
    ALSO_ROWS = 100,
};

static uint32_t wanted(const struct cold_run *r)
{
    return (r->query->limit - r->query->spare) * r->wider;
}

static double times_usual(const struct cold_run *r)
{
    return wanted(r) > LIMIT_USUAL ? (double)wanted(r) / LIMIT_USUAL : 1;
}

static struct cache_budget rest_of(const struct cold_run *r)
{
    uint32_t gets = (uint32_t)ceil(REST_GETS * sqrt(times_usual(r)));

    gets = gets < r->query->rest ? gets : r->query->rest;
    return (struct cache_budget){gets, (uint64_t)gets * REST_BYTES};
}

/* What the usual answer would need and this one does not, ranges may have. */
static struct cold_caps without_rest(const struct cold_run *r, struct cold_caps c)
{
    uint32_t gets = r->query->rest < REST_GETS ? REST_GETS - r->query->rest : 0;

    c.gets += gets * 3 / 4;
    c.bytes += (uint64_t)gets * REST_BYTES * 3 / 4;
    return c;
}

/* Farther than usual: GETs by the root, bytes in proportion. */
static struct cold_caps widened(const struct cold_run *r, struct cold_caps c, uint64_t bytes_most)
{
    const uint32_t more_gets = c.all.gets - c.gets;
    const uint64_t more_bytes = c.all.bytes - c.bytes;
    double times = times_usual(r);
    uint64_t gets = (uint64_t)(c.gets * sqrt(times)), bytes = (uint64_t)((double)c.bytes * times);

    c.gets = gets < GETS_MOST ? (uint32_t)gets : GETS_MOST;
    c.bytes = bytes < bytes_most ? bytes : bytes_most > c.bytes ? bytes_most : c.bytes;
    c.all.gets = c.gets + (uint32_t)(more_gets * sqrt(times));
    c.all.bytes = c.bytes + (uint64_t)((double)more_bytes * sqrt(times));
    return c;
}

struct cold_caps cold_footer_caps(const struct cold_run *r)
{
    struct cold_caps c = {.gets = 24, .bytes = 7500000, .all = {32, 10000000}};

    if (r->rows <= SMALL_ROWS && r->part_count == 1)
        c = (struct cold_caps){.gets = 16, .bytes = 5000000, .all = {24, 7500000}};
    if (r->part_count > 1 || r->parts[0].selection != NULL) /* less merges: nearly all of it */
        c = (struct cold_caps){.gets = 27, .bytes = 8800000, .all = {32, 10000000}};
    if (r->query->recall > 0.95f)
        c = (struct cold_caps){.gets = 32, .bytes = 10000000, .all = {40, 12500000}};
    if (r->query->recall >= 0.99f)
        c = (struct cold_caps){.gets = 64, .bytes = 40000000, .all = {80, 45000000}};
    return widened(r, without_rest(r, c), 20000000);
}

struct cold_caps cold_code_caps(const struct cold_run *r)
{
    struct cold_caps c = {.gets = 11, .bytes = 650000, .best = 50, .all = {16, 1000000}};
    uint64_t best = 3 * (uint64_t)wanted(r) + 20, also;

    if (r->parts[0].selection != NULL)
        c = (struct cold_caps){.gets = 26, .bytes = 3400000, .best = 100, .all = {32, 4000000}};
    if (r->query->recall >= 0.99f) {
        c.best = 100;
        c.gets = 32;
        c.bytes = c.bytes > 1000000 ? c.bytes : 1000000;
        c.all = (struct cache_budget){40, c.bytes + 600000};
    }
    best = best > c.best ? best : c.best;
    also = best + ALSO_ROWS;
    c.best = best < r->rows ? (uint32_t)best : (uint32_t)r->rows;
    c.also = (also < r->rows ? (uint32_t)also : (uint32_t)r->rows) - c.best;
    return widened(r, without_rest(r, c), 16000000);
}

struct cold_caps cold_few_caps(uint32_t rows)
{
    return (struct cold_caps){.gets = GETS_MOST / 2,
                              .bytes = 10000000,
                              .best = rows,
                              .all = {GETS_MOST / 2 + 8, 12500000}};
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

void cold_run_limit(struct cold_run *r, struct cold_caps *caps)
{
    const struct cache_budget *given = r->terms->budget, rest = rest_of(r);
    struct cache_budget all = caps->all;

    if (given != NULL) { /* asked again: what is left */
        all.gets = given->gets < all.gets ? given->gets : all.gets;
        all.bytes = given->bytes < all.bytes ? given->bytes : all.bytes;
    }
    r->kept = (struct cache_budget){rest.gets < all.gets ? rest.gets : all.gets,
                                    rest.bytes < all.bytes ? rest.bytes : all.bytes};
    r->budget = (struct cache_budget){(uint32_t)less(all.gets, r->kept.gets),
                                      less(all.bytes, r->kept.bytes)};
    caps->gets = caps->gets < r->budget.gets ? caps->gets : r->budget.gets;
    caps->bytes = caps->bytes < r->budget.bytes ? caps->bytes : r->budget.bytes;
    r->own_terms.budget = &r->budget;
}

struct cache_budget cold_run_left(const struct cold_run *r)
{
    if (r->own_terms.budget != &r->budget) /* nothing bounded it */
        return cold_no_budget();
    return (struct cache_budget){r->budget.gets + r->kept.gets, r->budget.bytes + r->kept.bytes};
}
