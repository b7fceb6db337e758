/* A query of a collection whose rows are not all in RAM.
 *
 *   the cold set   its best rows, by what it keeps of vectors (tiering/cold_set.h)
 *   the head       as of any collection, afterwards: cold_reads.h says why
 *   both           of an id its newer record; in order, cut, and what is told of the cold ones
 *                  fetched in one more wave */
#include "node/cold_reads.h"
#include "node/query_internal.h"

#include "index/codes.h"

#include <inttypes.h>
#include <stdlib.h>

struct candidate {
    struct match *match; /* of the head; NULL: */
    struct cold_row row;
    struct docid id;
    uint64_t lsn;
    float distance, score, rank;
};

struct cold_query_run {
    struct querying *q;
    struct cold_reads *reads;
    struct cache_budget budget; /* what is left of the query's GETs and bytes */
    const struct filter *filter;
    struct candidate *items;
    uint32_t count;
    bool partial;
};

static status no_memory(struct cold_query_run *run)
{
    return err_set(run->q->err, ST_NOMEM, "out of memory for %" PRIu32 " matches",
                   run->q->options->top_k);
}

/* --- what the set gives --- */

static void add(struct cold_query_run *run, const struct cold_row *row, float distance)
{
    struct candidate *c = &run->items[run->count++];

    *c = (struct candidate){.row = *row, .id = row->id, .lsn = row->lsn, .distance = distance};
    c->score = query_score(run->q, distance);
    c->rank = query_rank(run->q, distance, c->score);
}

static bool admits(const struct cold_query_run *run, const struct cold_row *row)
{
    const struct querying *q = run->q;
    uint64_t bits = 0;

    for (size_t i = 0; i < q->c->field_count; i++)
        bits |= (uint64_t)(row->vectors[i] != NULL) << i;
    return row->vectors[q->points->field] != NULL &&
           !ids_have(q->without, q->without_count, &row->id) &&
           (run->filter == NULL ||
            filter_match(run->filter, &(struct filter_row){&row->id, row->payload, bits}));
}

/* Of some ids only: the rows are read and compared, exactly. */
static status take_within(struct cold_query_run *run)
{
    struct querying *q = run->q;
    const struct code_shape shape = code_shape((enum vmetric)q->field->metric, q->field->dimension);
    uint64_t vectors =
        cold_asks_vectors(run->filter) ? cold_all_fields(q->c) : UINT64_C(1) << q->points->field;
    size_t count = q->within_count;
    struct cold_row *rows = arena_zero(q->arena, (count + 1) * sizeof *rows);
    status st = ST_OK;

    run->items = arena_array(q->arena, count + q->options->top_k + 1, sizeof *run->items);
    if (rows == NULL || run->items == NULL)
        return no_memory(run);
    if (count > 0)
        st = cold_set_get(run->reads->set, q->within, count, run->filter != NULL ? COLD_PAYLOAD : 0,
                          vectors, &run->reads->terms, q->arena, rows, &run->reads->stats, q->err);
    for (size_t i = 0; st == ST_OK && i < count; i++)
        if (rows[i].found && admits(run, &rows[i]))
            add(run, &rows[i],
                key_distance(
                    (enum vmetric)q->field->metric,
                    full_key(&shape, kernels_get(), q->query, rows[i].vectors[q->points->field])));
    return st;
}

/* So many ids are left out that they are a condition on rows. */
static status filter_without(struct cold_query_run *run)
{
    struct querying *q = run->q;
    struct filter *all = arena_zero(q->arena, 3 * sizeof *all);
    struct filter **children = arena_array(q->arena, 3, sizeof *children);

    if (all == NULL || children == NULL)
        return no_memory(run);
    all[1] =
        (struct filter){.kind = FILTER_HAS_ID, .ids = q->without, .id_count = q->without_count};
    children[2] = &all[1];
    all[2] = (struct filter){.kind = FILTER_NOT, .children = &children[2], .child_count = 1};
    children[0] = (struct filter *)(uintptr_t)run->filter;
    children[1] = &all[2];
    all[0] = (struct filter){.kind = FILTER_AND, .children = children, .child_count = 2};
    run->filter = run->filter == NULL ? &all[2] : &all[0];
    return ST_OK;
}

static uint32_t room_for(const struct querying *q, uint32_t spare)
{
    uint64_t room =
        (uint64_t)q->options->top_k + spare + (q->ask_without ? 0 : (uint32_t)q->without_count);

    return room > VINDEX_K_MAX ? VINDEX_K_MAX : (uint32_t)room;
}

/* Equal ones at the end may not all be here. */
static bool is_tied(const struct cold_query_run *run, const struct cold_hit *hits, uint32_t count,
                    uint32_t room)
{
    uint32_t wanted = run->q->options->top_k;

    return count == room && wanted < count && hits[count - 1].key == hits[wanted - 1].key;
}

/* external ids lie beside the payload, and the native door tells them always. */
static struct read_want want_of(const struct querying *q)
{
    const struct query_options *o = q->options;
    struct read_want want = {.payload = o->with_payload,
                             .external_id = o->by_distance || o->points == NULL,
                             .vectors = q->points->vectors};

    if (o->with_vector && q->c->field_count > 0)
        want.vectors |= 1;
    return want;
}

/* More than records have to tell. */
static bool wants_rest(const struct cold_query_run *run, const struct read_want *want)
{
    return want->payload || want->vectors != 0 ||
           (want->external_id && cold_set_external_ids(run->reads->set));
}

static status take_nearest(struct cold_query_run *run)
{
    struct querying *q = run->q;
    struct cold_query ask = {.field = q->c->fields[q->points->field].id,
                             .vector = q->query,
                             .exact = q->options->exact,
                             .filter = run->filter};
    const struct read_want want = want_of(q);
    uint32_t most = room_for(q, QUERY_TIES_MAX);
    struct cold_hit *hits = NULL;
    uint32_t count = 0;
    status st;

    ask.rest = wants_rest(run, &want) ? q->options->top_k : 0;
    run->reads->terms.budget = &run->budget;
    run->budget = cold_no_budget();
    ask.limit = room_for(q, QUERY_SPARE);
    for (;;) {
        ask.spare = ask.limit - room_for(q, 0);
        st = cold_set_query(run->reads->set, &ask, &run->reads->terms, q->arena, &hits, &count,
                            &run->partial, &run->reads->stats, q->err);
        if (st != ST_OK || run->partial || ask.limit >= most ||
            !is_tied(run, hits, count, ask.limit))
            break;
        ask.limit = 4 * ask.limit > most ? most : 4 * ask.limit;
    }
    run->items = arena_array(q->arena, (size_t)count + q->options->top_k + 1, sizeof *run->items);
    if (st == ST_OK && run->items == NULL)
        return no_memory(run);
    for (uint32_t i = 0; st == ST_OK && i < count; i++) {
        const struct cold_row row = {.found = true,
                                     .id = hits[i].id,
                                     .lsn = hits[i].lsn,
                                     .segment = hits[i].segment,
                                     .ordinal = hits[i].ordinal,
                                     .placed = true,
                                     .field = ask.field,
                                     .position = hits[i].position};

        if (q->ask_without || !ids_have(q->without, q->without_count, &row.id))
            add(run, &row, key_distance((enum vmetric)q->field->metric, hits[i].key));
    }
    return st;
}

/* --- both --- */

static void add_matches(struct cold_query_run *run)
{
    struct querying *q = run->q;

    for (uint32_t i = 0; i < q->out->count; i++) {
        struct match *m = &q->out->matches[i];

        run->items[run->count++] = (struct candidate){.match = m,
                                                      .id = m->id,
                                                      .lsn = m->lsn,
                                                      .distance = m->distance,
                                                      .score = m->score,
                                                      .rank = query_rank(q, m->distance, m->score)};
    }
}

static int newest_first(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    int order = docid_compare(&x->id, &y->id);

    if (order != 0)
        return order;
    if (x->lsn != y->lsn)
        return x->lsn > y->lsn ? -1 : 1;
    return (x->match == NULL) - (y->match == NULL);
}

static int best_first(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return docid_compare(&x->id, &y->id);
}

static void rank(struct cold_query_run *run)
{
    const struct querying *q = run->q;
    uint32_t kept = 0;

    if (run->count == 0)
        return;
    qsort(run->items, run->count, sizeof *run->items, newest_first);
    for (uint32_t i = 0; i < run->count; i++)
        if (kept == 0 || !docid_equal(&run->items[i].id, &run->items[kept - 1].id))
            run->items[kept++] = run->items[i];
    qsort(run->items, kept, sizeof *run->items, best_first);
    run->count = kept < q->options->top_k ? kept : q->options->top_k;
    while (run->count > 0 && !query_within_threshold(q, run->items[run->count - 1].score))
        run->count--;
}

/* --- the answer --- */

static void tell(const struct querying *q, const struct candidate *c, const struct document *d,
                 struct match *out)
{
    *out = (struct match){.id = c->id,
                          .external_id = d->external_id,
                          .distance = c->distance,
                          .score = c->score,
                          .lsn = c->lsn};
    if (q->options->with_payload)
        out->payload = d->payload;
    if (q->options->with_vector && d->vectors != NULL)
        out->vector = d->vectors[0];
    if (q->points->vectors == 0 || d->vectors == NULL)
        return;
    out->vectors = d->vectors;
    if ((q->points->vectors & 1) == 0) /* it was read for `vector` alone */
        out->vectors[0] = NULL;
}

/* The time was over before what is told of cold rows came: those of the head are all there is. */
static void keep_head_alone(struct cold_query_run *run)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < run->count; i++)
        if (run->items[i].match != NULL)
            run->items[kept++] = run->items[i];
    run->count = kept;
    run->partial = true;
}

static status answer(struct cold_query_run *run)
{
    struct querying *q = run->q;
    const struct read_want want = want_of(q);
    struct match *matches = arena_array(q->arena, (size_t)run->count + 1, sizeof *matches);
    struct document *docs = arena_zero(q->arena, ((size_t)run->count + 1) * sizeof *docs);
    struct cold_row *rows = arena_array(q->arena, (size_t)run->count + 1, sizeof *rows);
    uint32_t wanted = 0;
    status st = ST_OK;

    if (matches == NULL || docs == NULL || rows == NULL)
        return no_memory(run);
    for (uint32_t i = 0; i < run->count; i++)
        if (run->items[i].match == NULL)
            rows[wanted++] = run->items[i].row;
    if (wants_rest(run, &want))
        st = cold_docs_at(run->reads, rows, wanted, &want, q->arena, docs, q->err);
    if (st == ST_TIMEOUT) {
        keep_head_alone(run);
        st = ST_OK;
    }
    for (uint32_t i = 0; st == ST_OK && i < run->count; i++) {
        const struct candidate *c = &run->items[i];

        if (c->match != NULL)
            matches[i] = *c->match;
        else
            tell(q, c, docs++, &matches[i]);
    }
    q->out->matches = matches;
    q->out->count = run->count;
    return st;
}

static const char *plan_name(const struct cold_query_run *run)
{
    if (run->q->within != NULL)
        return "cold matches";
    if (run->q->options->exact)
        return "cold scan";
    return run->filter != NULL ? "cold filtered cells" : "cold cells";
}

static void tell_stats(struct cold_query_run *run)
{
    const struct cold_stats *s = &run->reads->stats;
    struct query_result *out = run->q->out;

    out->plan = plan_name(run);
    out->used_graph = false;
    out->partial = run->partial;
    out->filter_rows += s->filter_rows;
    out->scanned += (uint32_t)(s->rows_scanned < UINT32_MAX ? s->rows_scanned : UINT32_MAX);
    out->distances += (uint32_t)(s->rows_scanned < UINT32_MAX ? s->rows_scanned : UINT32_MAX);
    out->cold = (struct query_cold_stats){.asked = true,
                                          .gets = s->gets,
                                          .waves = s->waves,
                                          .bytes = s->bytes,
                                          .cells = s->cells,
                                          .hits = s->cache_hits,
                                          .misses = s->cache_misses,
                                          .rows = s->rows_scanned};
}

/* The time was over for what is far away; what is in RAM takes little. */
static void give_head_time(struct querying *q)
{
    enum { HEAD_NS = 250000000 };

    if (q->limits.deadline_ns != 0)
        q->limits.deadline_ns = clock_mono_ns(q->c->node->options.clock) + HEAD_NS;
}

static status run_all(struct cold_query_run *run)
{
    struct querying *q = run->q;
    status st = ST_OK;

    run->filter = filter_is_all(q->points->filter) ? NULL : q->points->filter;
    if (q->within == NULL && q->ask_without)
        st = filter_without(run);
    if (st == ST_OK)
        st = q->within != NULL ? take_within(run) : take_nearest(run);
    if (st == ST_TIMEOUT) { /* nothing came of it in time */
        run->items = arena_array(q->arena, (size_t)q->options->top_k + 1, sizeof *run->items);
        run->count = 0;
        run->partial = true;
        give_head_time(q);
        st = run->items != NULL ? ST_OK : no_memory(run);
    }
    if (st == ST_OK)
        st = query_head(q);
    if (st == ST_OK) {
        add_matches(run);
        rank(run);
        st = answer(run);
    }
    tell_stats(run);
    return st;
}

status query_cold(struct querying *q)
{
    const struct query_result before = *q->out;
    struct cold_query_run run;
    struct cold_reads reads;
    status st = cold_reads_begin(q->c, &q->limits, &reads, q->err);

    if (st == ST_OK && reads.set == NULL)
        st = query_head(q);
    else if (st == ST_OK)
        do {
            *q->out = before;
            run = (struct cold_query_run){.q = q, .reads = &reads};
            st = run_all(&run);
        } while (cold_reads_again(&reads, st));
    return cold_reads_end(&reads, st, q->err);
}
