/* The wave of a query: blocks of records in as few GETs as ranges, codes that come along, and what
 * of it is in the cache. Blocks that are there are borrowed first, so what is counted is what is
 * sent. */
#include "base/mem.h"
#include "tiering/cold_query_internal.h"

#include <stdlib.h>
#include <string.h>

enum { SPLIT_BYTES = 1024 * 1024 }; /* of one GET: beyond it, it is split while GETs are left */

/* --- lists --- */
status cold_blocks_room(struct cold_blocks *b, size_t more, struct err *err)
{
    size_t room = b->count + more;

    if (room > b->room) {
        room = room > 2 * b->room ? room : 2 * b->room;
        struct cold_block *blocks = mem_resize(b->blocks, room * sizeof *blocks);
        struct cache_want *wants;

        if (blocks != NULL)
            b->blocks = blocks;
        wants = mem_resize(b->wants, room * sizeof *wants);
        if (wants != NULL)
            b->wants = wants;
        if (blocks == NULL || wants == NULL)
            return err_set(err, ST_NOMEM, "out of memory for a wave of %zu blocks", room);
        memset(b->wants + b->room, 0, (room - b->room) * sizeof *wants); /* nothing to give back */
        b->room = room;
    }
    return ST_OK;
}

void cold_blocks_wants(struct cold_blocks *b)
{
    for (size_t i = 0; i < b->count; i++)
        cold_want(&b->blocks[i].span, false, &b->wants[i]);
}

void cold_blocks_free(struct cold_blocks *b)
{
    mem_free(b->blocks);
    mem_free(b->wants);
    *b = (struct cold_blocks){0};
}

status cold_had_room(struct cold_routing *g, size_t count, struct err *err)
{
    uint64_t *had = mem_resize(g->had, (g->had_count + count + 1) * sizeof *had);

    if (had == NULL)
        return err_set(err, ST_NOMEM, "out of memory for %zu blocks of a query", count);
    g->had = had;
    return ST_OK;
}

static int compare_keys(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

void cold_had_sort(struct cold_routing *g)
{
    if (g->had_count > 1)
        qsort(g->had, g->had_count, sizeof *g->had, compare_keys);
}

static bool was_had(const struct cold_routing *g, const struct cold_block *b)
{
    uint64_t key = cold_block_key(b->part, b->span.first);

    return g->had_count > 0 &&
           bsearch(&key, g->had, g->had_count, sizeof *g->had, compare_keys) != NULL;
}

/* --- blocks of ranges --- */
struct wave {
    struct cold_routing *g;
    struct cold_blocks b;     /* of ranges */
    struct cold_blocks codes; /* that come along */
    struct cache_want *wants; /* as they are asked: missing with gaps, codes, what is there */
    size_t count;
    bool past; /* rows would push out what is worth more: past the cache */
};

/* The blocks of one range; of a block that two ranges touch (they were widened to whole ones) each
 * once. */
static status add_range(struct wave *w, uint32_t number, struct err *err)
{
    const struct cells_range *range = &w->g->ranges[number];
    const struct cold_part *p = &w->g->r->parts[range->part];
    size_t count = cold_cell_spans(p->m->segment, p->position, range->first, range->count, NULL);
    struct cold_span *spans = mem_alloc_array(count + 1, sizeof *spans);
    status st = spans != NULL ? cold_blocks_room(&w->b, count, err)
                              : err_set(err, ST_NOMEM, "out of memory for %zu blocks", count);

    if (st == ST_OK)
        (void)cold_cell_spans(p->m->segment, p->position, range->first, range->count, spans);
    for (size_t i = 0; st == ST_OK && i < count; i++) {
        const struct cold_block *last = w->b.count > 0 ? &w->b.blocks[w->b.count - 1] : NULL;
        const struct cold_block in = {.span = spans[i], .part = range->part, .from = number};

        if (was_had(w->g, &in) ||
            (last != NULL && last->part == in.part && last->span.first >= in.span.first))
            continue;
        w->b.blocks[w->b.count++] = in;
    }
    mem_free(spans);
    return st;
}

/* Rows that would push out what is worth more, codes above all, are read past the cache. */
static bool is_large(const struct wave *w)
{
    struct cache_status now;
    uint64_t rows = 0;

    for (size_t i = 0; i < w->b.count; i++)
        if (w->b.wants[i].block == NULL)
            rows += w->b.blocks[i].span.count;
    cache_status(w->g->r->set->cache, &now);
    return now.pinned_bytes >= now.bytes_max ||
           rows * w->g->record_bytes > (now.bytes_max - now.pinned_bytes) / 8;
}

/* What one range asks for, from want `at` of the blocks on. */
struct asking {
    size_t end;     /* behind its blocks */
    uint64_t bytes; /* that travel, with what is read over */
    uint32_t gets, missing;
};

static struct asking measure(const struct wave *w, size_t at)
{
    const struct cold_block *b = w->b.blocks;
    struct asking a = {.end = at};
    uint64_t to = 0;
    uint32_t blocks = 0;

    for (; a.end < w->b.count && b[a.end].from == b[at].from; a.end++) {
        const struct cache_want *want = &w->b.wants[a.end];

        if (want->block != NULL)
            continue;
        a.bytes += a.missing > 0 ? want->offset + want->bytes - to : want->bytes;
        blocks += a.missing > 0 && want->offset > to ? 2 : 1;
        a.missing++;
        to = want->offset + want->bytes;
    }
    a.gets = (blocks + CACHE_RUN_MAX - 2) / (CACHE_RUN_MAX - 1);
    return a;
}

/* Appends what is missing of blocks [at, end): one GET, or several while some are left. */
static void ask_range(struct wave *w, size_t at, const struct asking *a, uint32_t *spare)
{
    const struct cache_want *before = NULL;
    uint64_t run = 0;

    for (; at < a->end; at++) {
        struct cache_want *want = &w->b.wants[at];
        uint64_t gap = before != NULL ? want->offset - before->offset - before->bytes : 0;

        if (want->block != NULL)
            continue;
        if (w->past)
            want->class = CACHE_SCAN;
        want->joined = before != NULL;
        if (want->joined && run + gap + want->bytes > SPLIT_BYTES && *spare > 0) {
            want->joined = false;
            (*spare)--;
        }
        if (want->joined && gap > 0) {
            cold_want_between(before, want, &w->wants[w->count]);
            w->count++;
        }
        run = want->joined ? run + gap + want->bytes : want->bytes;
        w->wants[w->count] = *want;
        before = &w->wants[w->count++];
    }
}

static void order_records(struct wave *w)
{
    const struct cold_caps *caps = &w->g->caps;
    uint32_t gets = 0, gets_now = 0, spare;
    uint64_t bytes = 0;

    /* Planned ranges fit; those that need a second GET for their many blocks may not. */
    for (size_t at = 0; at < w->b.count;) {
        struct asking a = measure(w, at);

        gets += a.gets;
        at = a.end;
    }
    spare = caps->gets > gets ? caps->gets - gets : 0;
    for (size_t at = 0; at < w->b.count;) {
        struct asking a = measure(w, at);

        if (gets_now + a.gets <= caps->gets && bytes + a.bytes <= caps->bytes) {
            gets_now += a.gets;
            bytes += a.bytes;
            ask_range(w, at, &a, &spare);
        }
        at = a.end;
    }
}

/* Of the budget, when the records are asked. */
static struct cache_budget left_of(const struct wave *w)
{
    struct cache_budget left = w->g->r->budget;

    for (size_t i = 0; i < w->count; i++) {
        left.gets -= !w->wants[i].joined && left.gets > 0;
        left.bytes -= w->wants[i].bytes < left.bytes ? w->wants[i].bytes : left.bytes;
    }
    return left;
}

static status no_memory(const struct wave *w, struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for a wave of %zu blocks", w->b.count);
}

/* --- the read --- */
static void take_rows(struct wave *w, uint32_t *wanted, uint32_t *done, status *worst)
{
    struct cold_run *r = w->g->r;

    for (size_t i = 0; i < w->count; i++) {
        const struct cache_want *want = &w->wants[i];
        const struct cold_block *b = want->check_arg; /* its span comes first */

        if (want->gap || b->span.kind != COLD_RECORDS)
            continue;
        (*wanted)++;
        if (want->st == ST_OK) {
            cold_run_span(r, b->part, &b->span, want->body);
            (*done)++;
        } else if (*worst == ST_OK || want->st == ST_CORRUPT)
            *worst = want->st;
    }
}

static status read_and_take(struct wave *w, struct err *err)
{
    struct cold_run *r = w->g->r;
    uint32_t wanted = 0, done = 0;
    status st, worst = ST_OK;

    st = cold_read_wave(r->set, r->terms, w->wants, w->count, r->stats, err);
    take_rows(w, &wanted, &done, &worst);
    cache_give_back(r->set->cache, w->wants, w->count);
    r->stats->cells += wanted;
    r->done += done;
    if (st == ST_OK || done == wanted) /* codes that come along may fail */
        return ST_OK;
    return cold_run_judge(r, worst == ST_OK ? st : worst);
}

/* Codes behind the records, one GET where they adjoin. */
static void ask_codes(struct wave *w)
{
    cold_blocks_wants(&w->codes);
    for (size_t i = 0; i < w->codes.count; i++) {
        struct cache_want *want = &w->wants[w->count++];

        *want = w->codes.wants[i];
        want->joined = w->codes.blocks[i].from != 0;
    }
}

/* What is there comes last: it must not part what goes into one GET. */
static void ask_there(struct wave *w)
{
    for (size_t i = 0; i < w->b.count; i++)
        if (w->b.wants[i].block != NULL)
            w->wants[w->count++] = w->b.wants[i];
}

static status wave_run(struct wave *w, bool load_codes, struct err *err)
{
    struct cache_want *wants;
    status st = ST_OK;

    w->past = is_large(w);
    w->wants = mem_alloc_array(2 * w->b.count + 1, sizeof *w->wants);
    if (w->wants == NULL)
        return no_memory(w, err);
    order_records(w);
    if (load_codes)
        st = cold_load_codes(w->g, &w->codes, left_of(w), err);
    if (st != ST_OK)
        return st;
    wants = mem_resize(w->wants, (2 * w->b.count + w->codes.count + 1) * sizeof *wants);
    if (wants == NULL)
        return no_memory(w, err);
    w->wants = wants;
    ask_codes(w);
    ask_there(w);
    for (size_t i = 0; i < w->b.count; i++)
        w->b.wants[i].block = NULL; /* given back with the others from here on */
    return read_and_take(w, err);
}

status cold_wave(struct cold_routing *g, bool load_codes, struct err *err)
{
    struct wave w = {.g = g};
    status st = ST_OK;

    for (uint32_t i = 0; st == ST_OK && i < g->range_count; i++)
        st = add_range(&w, i, err);
    cold_blocks_wants(&w.b);
    cold_borrow(g->r->set, g->r->terms, w.b.wants, w.b.count, g->r->stats);
    if (st == ST_OK)
        st = wave_run(&w, load_codes, err);
    cache_give_back(g->r->set->cache, w.b.wants, w.b.count);
    mem_free(w.wants);
    cold_blocks_free(&w.b);
    cold_blocks_free(&w.codes);
    return st;
}
