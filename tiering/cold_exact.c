/* Every row, by its full vector: records and vectors stream past the cache, wave by wave. */
#include "base/mem.h"
#include "index/codes.h"
#include "tiering/cold_query_internal.h"

enum {
    WAVE_BYTES = 8 * 1024 * 1024,
    GET_BYTES = 1024 * 1024,
    WAVE_WANTS = 2 * WAVE_BYTES / GET_BYTES + 4,
};

struct exact {
    struct cold_run *run;
    uint32_t part;
    struct code_shape shape;
    float *vector;
    status failed; /* the first that did */
    bool late;
    struct cold_span spans[WAVE_WANTS]; /* records and vectors of the same rows, by turns */
    struct cache_want wants[WAVE_WANTS];
};

/* Rows of one GET of each kind. */
static uint32_t rows_a_get(const struct cold_part *p)
{
    uint64_t offset, bytes;

    cold_vectors_range(&p->m->segment->footer, p->position, 0, 1, &offset, &bytes);
    return bytes < GET_BYTES ? (uint32_t)(GET_BYTES / bytes) : 1;
}

static size_t plan_wave(struct exact *e, uint32_t *at)
{
    const struct cold_part *p = &e->run->parts[e->part];
    uint32_t step = rows_a_get(p);
    uint64_t bytes = 0;
    size_t count = 0;

    while (count + 2 <= WAVE_WANTS && bytes < WAVE_BYTES && *at < p->cells->rows) {
        uint32_t left = p->cells->rows - *at, here = left < step ? left : step;

        for (int k = 0; k < 2; k++, count++) {
            e->spans[count] = (struct cold_span){.segment = p->m->segment,
                                                 .kind = k == 0 ? COLD_RECORDS : COLD_VECTORS,
                                                 .position = p->position,
                                                 .first = *at,
                                                 .count = here};
            cold_want(&e->spans[count], true, &e->wants[count]);
            bytes += e->wants[count].bytes;
        }
        *at += here;
    }
    return count;
}

static void take(struct exact *e, const struct cold_span *span, struct slice records,
                 struct slice vectors)
{
    struct cold_run *r = e->run;
    const struct cold_footer *f = &span->segment->footer;

    r->stats->rows_scanned += span->count;
    for (uint32_t i = 0; i < span->count; i++) {
        struct cold_record record;
        float key;

        cold_vector_at(f, span->position, vectors, i, e->vector);
        key = full_key(&e->shape, kernels_get(), r->query->vector, e->vector);
        if (!cold_run_wants(r, key))
            continue;
        cold_record_at(f, span->position, span->first, records, i, &record);
        cold_run_offer(r, e->part, &record, span->first + i, key);
    }
}

static status read_part(struct exact *e, struct err *err)
{
    struct cold_run *r = e->run;
    status st = ST_OK;

    for (uint32_t at = 0; st == ST_OK && at < r->parts[e->part].cells->rows;) {
        size_t count = plan_wave(e, &at);

        st = cold_read(r->set, r->terms, e->wants, count, r->stats, err);
        for (size_t i = 0; i < count; i += 2)
            if (e->wants[i].st == ST_OK && e->wants[i + 1].st == ST_OK) {
                take(e, &e->spans[i], e->wants[i].body, e->wants[i + 1].body);
                r->done++;
            }
        cache_give_back(r->set->cache, e->wants, count);
        if (st == ST_OK)
            continue;
        e->failed = e->failed == ST_OK ? st : e->failed;
        r->partial = true;
        e->late = st == ST_TIMEOUT || st == ST_UNAVAILABLE; /* what follows would be, too */
        st = e->late || st == ST_CORRUPT || st == ST_NOT_FOUND ? ST_OK : st;
        if (e->late)
            break;
    }
    return st;
}

status cold_run_exact(struct cold_run *r, struct err *err)
{
    struct exact *e = mem_zero(sizeof *e);
    status st = ST_OK;

    if (e != NULL) {
        e->run = r;
        e->shape = code_shape(r->parts[0].cells->metric, r->parts[0].cells->dim);
        e->vector = mem_alloc_array(e->shape.dim, sizeof *e->vector);
    }
    if (e == NULL || e->vector == NULL)
        st = err_set(err, ST_NOMEM, "out of memory for an exact query");
    for (uint32_t i = 0; st == ST_OK && i < r->part_count && !e->late; i++) {
        e->part = i;
        st = read_part(e, err);
    }
    if (st == ST_OK && r->done == 0)
        st = e->failed;
    if (e != NULL)
        mem_free(e->vector);
    mem_free(e);
    return st;
}
