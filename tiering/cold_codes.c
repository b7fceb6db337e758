/* Short codes of rows. Where those of the likeliest cells are in the cache they say which rows are
 * read. Where they are not, some come along with each query, as long as the cache has room for all
 * of them. */
#include "base/mem.h"
#include "tiering/cold_query_internal.h"

enum {
    LIKELY_ROWS = 256 * 1024, /* whose short codes are looked at */
    GET_BYTES = 1024 * 1024,
    LOAD_BYTES = 2 * 1024 * 1024, /* codes that come along with a query */
    LOAD_GETS = 2,
};

static bool position_counts(void *arg, uint32_t position)
{
    return cold_part_counts(arg, position);
}

static bool code_there(const struct cold_part *p, uint32_t coarse, uint64_t *bytes)
{
    const struct cold_segment *s = p->m->segment;
    uint64_t offset;

    cold_codes_range(&s->footer, p->position, coarse, &offset, bytes);
    return cache_has(s->cache, s->named.object.uuid, offset, *bytes);
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

/* --- scanning what is there --- */
/* Whose codes are looked at: by part, positions rising; not to be freed where they are the query's.
 * Where all are, nobody ranks cells. */
struct likely {
    const struct cells_range *runs;
    struct cells_range *own;
    size_t count;
};

static status likely_runs(const struct cold_routing *g, struct likely *out, struct err *err)
{
    struct cold_run *r = g->r;
    struct cells_plan_options o = cold_plan_options(g);

    if (r->rows > LIKELY_ROWS)
        return cells_plan_likely(r->queries, r->part_count, LIKELY_ROWS, &o, &out->runs,
                                 &out->count, err);
    out->own = mem_alloc_array(r->part_count, sizeof *out->own);
    if (out->own == NULL)
        return err_set(err, ST_NOMEM, "out of memory for codes of %u segments", r->part_count);
    for (uint32_t i = 0; i < r->part_count; i++)
        out->own[i] = (struct cells_range){i, 0, r->parts[i].cells->rows, 0};
    out->runs = out->own;
    out->count = r->part_count;
    return ST_OK;
}

/* Blocks of codes of all runs, each once. */
static status blocks_of_runs(const struct cold_run *r, const struct likely *l,
                             struct cold_blocks *b, struct err *err)
{
    for (size_t i = 0; i < l->count; i++) {
        const struct cells_range *run = &l->runs[i];
        const struct cold_part *p = &r->parts[run->part];
        uint32_t end = run->first + run->count;

        for (uint32_t c = cells_coarse_of(p->cells, run->first);
             c < p->cells->coarse && p->cells->coarse_first_row[c] < end; c++) {
            const struct cold_block *last = b->count > 0 ? &b->blocks[b->count - 1] : NULL;
            status st = cold_blocks_room(b, 1, err);

            if (st != ST_OK)
                return st;
            last = b->count > 0 ? &b->blocks[b->count - 1] : NULL;
            if (last != NULL && last->part == run->part && last->span.first == c)
                continue;
            b->blocks[b->count++] = (struct cold_block){.span = {.segment = p->m->segment,
                                                                 .kind = COLD_CODES,
                                                                 .position = p->position,
                                                                 .first = c},
                                                        .part = run->part};
        }
    }
    return ST_OK;
}

static bool all_there(const struct cold_blocks *b)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->wants[i].block == NULL)
            return false;
    return true;
}

static void join_codes(struct cold_blocks *b)
{
    uint64_t run = 0;

    for (size_t i = 0; i < b->count; i++) {
        struct cache_want *want = &b->wants[i];

        want->joined = i > 0 && want->block == NULL && b->wants[i - 1].block == NULL &&
                       b->blocks[i].part == b->blocks[i - 1].part &&
                       b->blocks[i].span.first == b->blocks[i - 1].span.first + 1 &&
                       run + want->bytes <= GET_BYTES;
        run = want->joined ? run + want->bytes : want->bytes;
    }
}

/* Short codes of rows [first, first + count), which lie in one coarse cell. The block was checked
 * and put into groups as it came; its codes are its end. */
static void scan_block(struct cold_run *r, const struct cold_block *b, uint32_t first,
                       uint32_t count, struct slice body)
{
    struct cold_part *p = &r->parts[b->part];
    struct rabitq_shape shape = {p->cells->dim, p->cells->short_bits};
    const uint32_t begin = p->cells->coarse_first_row[b->span.first];
    const uint32_t rows = p->cells->coarse_first_row[b->span.first + 1] - begin;
    bool plain = p->selection == NULL && p->m->graves->dead.bits == NULL;

    cells_query_best_groups(
        p->query, b->span.first, begin, body.data + body.bytes - rows * rabitq_code_bytes(shape),
        rows, first - begin, count, plain || !cold_part_ordered(p) ? NULL : position_counts, p);
    r->stats->rows_scanned += count;
}

static void scan_runs(struct cold_run *r, const struct likely *l, const struct cold_blocks *b)
{
    size_t at = 0;

    for (size_t i = 0; i < l->count; i++) {
        const uint32_t part = l->runs[i].part, end = l->runs[i].first + l->runs[i].count;
        const struct cells *cells = r->parts[part].cells;
        uint32_t first = l->runs[i].first;

        for (uint32_t c = cells_coarse_of(cells, first); first < end; c++) {
            uint32_t to =
                cells->coarse_first_row[c + 1] < end ? cells->coarse_first_row[c + 1] : end;

            while (b->blocks[at].part != part || b->blocks[at].span.first != c)
                at++;
            scan_block(r, &b->blocks[at], first, to - first, b->wants[at].body);
            first = to;
        }
    }
}

static status best_by_codes(struct cold_routing *g, const struct likely *l,
                            const struct cold_blocks *b, struct err *err)
{
    struct cold_run *r = g->r;
    struct cells_range *rows = NULL;
    size_t count = 0;
    status st = ST_OK;

    for (uint32_t i = 0; st == ST_OK && i < r->part_count; i++)
        st = cells_query_best_reset(r->queries[i], g->caps.best + g->caps.also, err);
    if (st == ST_OK) {
        scan_runs(r, l, b);
        st = cells_best_rows(r->queries, r->part_count, &rows, &count, err);
    }
    if (st == ST_OK)
        st = cold_units_of_rows(g, rows, count, err);
    mem_free(rows);
    return st;
}

/* Codes first: all there, or had in a wave of their own. *used: they are. */
static status have_codes(struct cold_run *r, struct cold_blocks *b, bool *used, struct err *err)
{
    status st;

    cold_blocks_wants(b);
    cold_borrow(r->set, r->terms, b->wants, b->count, r->stats);
    *used = all_there(b);
    if (*used || !worth_a_wave(r))
        return ST_OK;
    join_codes(b);
    st = cold_read(r->set, r->terms, b->wants, b->count, r->stats, err);
    *used = st == ST_OK;
    return st == ST_NOMEM || st == ST_CLOSED ? st : ST_OK; /* else: without them */
}

status cold_units_by_codes(struct cold_routing *g, bool *used, struct err *err)
{
    struct cold_run *r = g->r;
    struct cold_blocks b = {0};
    struct likely l = {0};
    status st;

    g->caps = cold_code_caps(r);
    st = likely_runs(g, &l, err);
    if (st == ST_OK)
        st = blocks_of_runs(r, &l, &b, err);
    if (st == ST_OK)
        st = have_codes(r, &b, used, err);
    if (st == ST_OK && *used) {
        cold_run_limit(r, &g->caps);
        st = best_by_codes(g, &l, &b, err);
        r->stats->codes_resident = st == ST_OK;
    }
    cache_give_back(r->set->cache, b.wants, b.count);
    cold_blocks_free(&b);
    mem_free(l.own);
    return st;
}

/* --- what comes along --- */
struct loading {
    uint64_t run, left;
    uint32_t gets;
};

/* false: no more. from: goes into the GET of the one before. */
static bool loads(struct loading *l, bool follows, uint64_t bytes, uint32_t *from)
{
    *from = follows && l->run > 0 && l->run + bytes <= GET_BYTES;
    if (bytes > l->left || (*from == 0 && l->gets == 0))
        return false;
    l->gets -= *from == 0;
    l->left -= bytes;
    l->run = *from != 0 ? l->run + bytes : bytes;
    return true;
}

status cold_load_codes(const struct cold_routing *g, struct cold_blocks *b,
                       struct cache_budget left, struct err *err)
{
    struct cold_run *r = g->r;
    struct loading l = {.left = left.bytes < LOAD_BYTES ? left.bytes : LOAD_BYTES,
                        .gets = left.gets < LOAD_GETS ? left.gets : LOAD_GETS};

    if (codes_missing(r) > cache_room(r->set->cache))
        return ST_OK;
    for (uint32_t i = 0; i < r->part_count; i++)
        for (uint32_t c = 0; c < r->parts[i].cells->coarse; c++) {
            const struct cold_part *p = &r->parts[i];
            const struct cold_block *last = b->count > 0 ? &b->blocks[b->count - 1] : NULL;
            uint64_t bytes;
            uint32_t from;
            status st;

            if (code_there(p, c, &bytes))
                continue;
            if (!loads(&l, last != NULL && last->part == i && last->span.first + 1 == c, bytes,
                       &from))
                return ST_OK;
            st = cold_blocks_room(b, 1, err);
            if (st != ST_OK)
                return st;
            b->blocks[b->count++] = (struct cold_block){.span = {.segment = p->m->segment,
                                                                 .kind = COLD_CODES,
                                                                 .position = p->position,
                                                                 .first = c},
                                                        .part = i,
                                                        .from = from};
        }
    return ST_OK;
}
