/* What a query wants, in blocks as the cache has them: the rows of those that are there are taken
 * at once, as they cost neither GETs nor bytes; the others are units of a plan. */
#include "base/mem.h"
#include "tiering/cold_query_internal.h"

#include <stdlib.h>

enum { LOOKED_UP = 1024 }; /* of the likeliest cells */

static void had(struct cold_routing *g, const struct cold_block *b)
{
    g->had[g->had_count++] = cold_block_key(b->part, b->span.first);
    g->r->stats->cells++;
    g->r->done++;
}

static void borrow(struct cold_routing *g, struct cold_blocks *b)
{
    cold_blocks_wants(b);
    cold_borrow(g->r->set, g->r->terms, b->wants, b->count, g->r->stats);
}

static void end(struct cold_routing *g, struct cold_blocks *b)
{
    cache_give_back(g->r->set->cache, b->wants, b->count);
    cold_blocks_free(b);
    cold_had_sort(g);
}

/* --- rows --- */
struct ranked {
    uint64_t key;
    uint32_t rank;
};

static int compare_rows(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    return x->key < y->key ? -1 : x->key > y->key;
}

static status blocks_of_rows(struct cold_routing *g, const struct ranked *rows, size_t count,
                             struct cold_blocks *b, struct err *err)
{
    status st = cold_blocks_room(b, count, err);

    for (size_t i = 0; st == ST_OK && i < count; i++) {
        uint32_t part = (uint32_t)(rows[i].key >> 32), position = (uint32_t)rows[i].key;
        struct cold_block *last = b->count > 0 ? &b->blocks[b->count - 1] : NULL;
        const struct cold_part *p = &g->r->parts[part];

        if (last != NULL && last->part == part && position - last->span.first < last->span.count) {
            last->count++;
            continue;
        }
        last = &b->blocks[b->count++];
        *last = (struct cold_block){.part = part, .from = (uint32_t)i, .count = 1};
        (void)cold_cell_spans(p->m->segment, p->position, position, 1, &last->span);
    }
    return st;
}

/* A block's rows that are worth a GET make it a unit. */
static void unit_of_rows(struct cold_routing *g, const struct cells_range *ranked,
                         const struct ranked *rows, const struct cold_block *b)
{
    float worth = 0;

    for (uint32_t i = b->from; i < b->from + b->count; i++)
        if (rows[i].rank < g->caps.best)
            worth += ranked[rows[i].rank].worth;
    if (worth > 0)
        g->units[g->unit_count++] =
            (struct cells_range){b->part, b->span.first, b->span.count, worth};
}

static int compare_worth(const void *a, const void *b)
{
    const struct cells_range *x = a, *y = b;

    if (x->worth != y->worth)
        return x->worth > y->worth ? -1 : 1;
    if (x->part != y->part)
        return x->part < y->part ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

static void take_rows(struct cold_routing *g, const struct cells_range *ranked,
                      const struct ranked *rows, const struct cold_blocks *b)
{
    for (size_t i = 0; i < b->count; i++) {
        const struct cold_block *block = &b->blocks[i];

        if (b->wants[i].block == NULL) {
            unit_of_rows(g, ranked, rows, block);
            continue;
        }
        for (uint32_t k = block->from; k < block->from + block->count; k++)
            cold_run_row(g->r, block->part, &block->span, b->wants[i].body, (uint32_t)rows[k].key);
        had(g, block);
    }
    if (g->unit_count > 1)
        qsort(g->units, g->unit_count, sizeof *g->units, compare_worth);
}

status cold_units_of_rows(struct cold_routing *g, const struct cells_range *ranked, size_t count,
                          struct err *err)
{
    struct ranked *rows = mem_alloc_array(count + 1, sizeof *rows);
    struct cold_blocks b = {0};
    status st = ST_OK;

    g->units = mem_alloc_array(count + 1, sizeof *g->units);
    if (rows == NULL || g->units == NULL)
        st = err_set(err, ST_NOMEM, "out of memory for the best %zu rows", count);
    for (uint32_t i = 0; st == ST_OK && i < count; i++)
        rows[i] = (struct ranked){cold_block_key(ranked[i].part, ranked[i].first), i};
    if (st == ST_OK) {
        qsort(rows, count, sizeof *rows, compare_rows);
        st = blocks_of_rows(g, rows, count, &b, err);
    }
    if (st == ST_OK)
        st = cold_had_room(g, b.count, err);
    if (st == ST_OK) {
        borrow(g, &b);
        take_rows(g, ranked, rows, &b);
    }
    end(g, &b);
    mem_free(rows);
    return st;
}

/* --- cells --- */
static status blocks_of_cells(struct cold_routing *g, size_t count, struct cold_blocks *b,
                              struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct cells_range *u = &g->units[i];
        const struct cold_part *p = &g->r->parts[u->part];
        struct cold_span *spans = NULL;
        size_t found = cold_cell_spans(p->m->segment, p->position, u->first, u->count, NULL);
        status st = found == 1 ? cold_blocks_room(b, 1, err) : ST_OK;

        if (st != ST_OK)
            return st;
        if (found != 1) /* a large one: as the plan has it */
            continue;
        b->blocks[b->count] = (struct cold_block){.part = u->part, .from = (uint32_t)i};
        spans = &b->blocks[b->count++].span;
        (void)cold_cell_spans(p->m->segment, p->position, u->first, u->count, spans);
    }
    return ST_OK;
}

static void take_cells(struct cold_routing *g, const struct cold_blocks *b)
{
    size_t kept = 0;

    for (size_t i = 0; i < b->count; i++) {
        const struct cold_block *block = &b->blocks[i];

        if (b->wants[i].block == NULL)
            continue;
        cold_run_span(g->r, block->part, &block->span, b->wants[i].body);
        had(g, block);
        g->units[block->from].count = 0;
    }
    for (size_t i = 0; i < g->unit_count; i++)
        if (g->units[i].count > 0)
            g->units[kept++] = g->units[i];
    g->unit_count = kept;
}

status cold_units_of_cells(struct cold_routing *g, struct err *err)
{
    size_t count = g->unit_count < LOOKED_UP ? g->unit_count : LOOKED_UP;
    struct cold_blocks b = {0};
    status st = cold_blocks_room(&b, count, err);

    if (st == ST_OK)
        st = blocks_of_cells(g, count, &b, err);
    if (st == ST_OK)
        st = cold_had_room(g, b.count, err);
    if (st == ST_OK) {
        borrow(g, &b);
        take_cells(g, &b);
    }
    end(g, &b);
    return st;
}
