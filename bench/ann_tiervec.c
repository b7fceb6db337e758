#include "bench/ann_engine.h"

#include "base/lock.h"
#include "index/vindex.h"

#include <stdio.h>
#include <stdlib.h>

enum { THREADS_MAX = 64, K_MAX = 1024 };

struct ours {
    struct mem_budget budget;
    struct epoch *epoch;
    struct slots *slots;
    struct vindex *index;
    struct vindex_scratch *scratch;
    uint32_t rows;
};

static void ours_destroy(void *index)
{
    struct ours *o = index;

    vindex_scratch_destroy(o->scratch);
    vindex_destroy(o->index);
    slots_destroy(o->slots);
    epoch_destroy(o->epoch);
    free(o);
}

static status ours_open(struct ours *o, const struct ann_spec *spec, struct err *err)
{
    struct slots_options so = {.budget = &o->budget};
    struct vindex_options vo = {.dim = spec->dim,
                                .metric = (enum vmetric)spec->metric,
                                .m = (uint16_t)spec->m,
                                .ef_construction = (uint16_t)spec->ef_construction,
                                .ef_search = 64,
                                .threshold = 1,
                                .seed = 1,
                                .budget = &o->budget};
    status st;

    mem_budget_init(&o->budget, NULL, 0);
    st = epoch_create(&o->epoch, err);
    if (st != ST_OK)
        return st;
    so.epoch = vo.epoch = o->epoch;
    st = slots_create(&so, &o->slots, err);
    if (st != ST_OK)
        return st;
    vo.slots = o->slots;
    st = vindex_create(&vo, &o->index, err);
    if (st != ST_OK)
        return st;
    return vindex_scratch_create(&o->scratch, err);
}

static status row_add(struct ours *o, uint32_t number, const float *row, struct err *err)
{
    struct docid id = docid_u64(number);
    struct slice none = {0};
    uint32_t slot;
    status st = slots_reserve(o->slots, 1, &slot, err);

    if (st == ST_OK)
        st = vindex_reserve(o->index, slots_end(o->slots), err);
    if (st == ST_OK)
        st = slots_fill(o->slots, slot, &id, none, none, 0, err);
    if (st != ST_OK)
        return st;
    if (slot != number)
        return err_set(err, ST_BUG, "slots are not handed out in order");
    vindex_fill(o->index, slot, row);
    (void)slots_publish(o->slots, slot, number + 1);
    vindex_publish(o->index, slot);
    return ST_OK;
}

static void link_all(void *arg)
{
    struct ours *o = arg;

    while (vindex_link(o->index, 256) > 0)
        ;
}

static status ours_fill(struct ours *o, const struct ann_spec *spec, const float *rows,
                        unsigned threads, struct err *err)
{
    struct thread workers[THREADS_MAX] = {0};
    status st = ST_OK;

    for (uint32_t i = 0; i < spec->rows && st == ST_OK; i++)
        st = row_add(o, i, rows + (size_t)i * spec->dim, err);
    for (unsigned t = 1; t < threads && t < THREADS_MAX && st == ST_OK; t++)
        st = thread_start(&workers[t], "bench-link", THREAD_NORMAL, link_all, o, err);
    link_all(o);
    for (unsigned t = 1; t < THREADS_MAX; t++)
        thread_join(&workers[t]);
    return st;
}

static void *ours_build(const struct ann_spec *spec, const float *rows, unsigned threads)
{
    struct ours *o = calloc(1, sizeof(*o));
    struct err err;
    status st;

    if (o == NULL)
        return NULL;
    o->rows = spec->rows;
    st = ours_open(o, spec, &err);
    if (st == ST_OK)
        st = ours_fill(o, spec, rows, threads, &err);
    if (st == ST_OK)
        return o;
    fprintf(stderr, "tiervec: %s\n", err.text);
    exit(1);
}

static uint32_t ours_search(void *index, const float *query, uint32_t k, uint32_t ef, uint32_t *out)
{
    struct ours *o = index;
    struct epoch_guard guard = epoch_enter(o->epoch);
    struct vsearch s = {.query = query, .k = k, .ef = ef};
    struct vhit hits[K_MAX];
    uint32_t count = 0;

    if (k > K_MAX || vindex_search(o->index, o->scratch, &s, hits, &count, NULL, NULL) != ST_OK)
        count = 0;
    epoch_leave(o->epoch, guard);
    for (uint32_t i = 0; i < count; i++)
        out[i] = hits[i].slot;
    return count;
}

static double ours_bytes(void *index)
{
    struct ours *o = index;

    return (double)vindex_bytes(o->index) / o->rows;
}

const struct ann_engine ann_tiervec = {
    .name = "tiervec",
    .build = ours_build,
    .search = ours_search,
    .bytes_per_row = ours_bytes,
    .destroy = ours_destroy,
};
