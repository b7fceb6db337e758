/* qdrant_query_steps.c - forms that take many steps: diverse picks, pages by id, and scores by
 * several examples, which no index knows: every row is looked at, a page a step. */
#include "api/qdrant_query.h"

/* --- maximal marginal relevance --- */

struct picking {
    struct rank_mmr m;
    struct scored_list candidates, picked;
    uint64_t wanted;
};

static status begin_picking(struct query_run *run, const struct level *level, struct err *err)
{
    const struct read_want want = {.vectors = (uint64_t)1 << level->field};
    const struct field_info *field = node_field(run->req->collection, level->field);
    struct picking *p = arena_zero(run->scratch, sizeof *p);
    const float **vectors;
    const float *query = NULL;
    status st;

    if (p == NULL)
        return err_set(err, ST_NOMEM, "out of memory for candidates");
    st = query_nearest(run, level, level->candidates != 0 ? level->candidates : level->limit, &want,
                       &p->candidates, &query, err);
    if (st != ST_OK)
        return st;
    vectors = arena_array(run->scratch, (size_t)p->candidates.count + 1, sizeof(const float *));
    p->picked.items =
        arena_array(run->scratch, (size_t)p->candidates.count + 1, sizeof(struct scored));
    if (vectors == NULL || p->picked.items == NULL)
        return err_set(err, ST_NOMEM, "out of memory for %u candidates", p->candidates.count);
    for (uint32_t i = 0; i < p->candidates.count; i++) {
        const struct scored *s = &p->candidates.items[i];

        if (s->vectors == NULL || s->vectors[level->field] == NULL)
            return err_set(err, ST_BUG, "a match without the vector it was found by");
        vectors[i] = s->vectors[level->field];
    }
    p->wanted = query_wanted(level);
    if (p->wanted > p->candidates.count)
        p->wanted = p->candidates.count;
    run->inside = p;
    return rank_mmr_begin(&p->m, run->scratch, (enum vmetric)field->metric, field->dimension, query,
                          vectors, p->candidates.count, level->diversity, err);
}

status query_step_mmr(struct query_run *run, struct level *level, bool *done, struct err *err)
{
    struct picking *p = run->inside;

    *done = false;
    if (p == NULL)
        return begin_picking(run, level, err);
    if (p->picked.count < p->wanted)
        p->picked.items[p->picked.count++] = p->candidates.items[rank_mmr_pick(&p->m)];
    *done = p->picked.count == p->wanted;
    if (*done)
        level->result = p->picked;
    return ST_OK;
}

/* --- by rising id --- */

struct paging {
    struct scroll ask;
    struct docid from;
    uint64_t skip, left;
};

static status begin_pages(struct query_run *run, struct level *level, bool *none, struct err *err)
{
    struct paging *p = arena_zero(run->scratch, sizeof *p);
    uint32_t room = 0;
    status st;

    level->result = (struct scored_list){0};
    if (p == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a page");
    p->ask.limits = run->limits;
    st = query_filter(run, level, &p->ask.filter, none, err);
    if (st == ST_OK)
        st = query_bounded(run, level->limit, UINT32_MAX, &room, err);
    if (st != ST_OK)
        return st;
    p->skip = level->offset;
    p->left = room;
    level->result.items = arena_array(run->scratch, room, sizeof *level->result.items);
    if (level->result.items == NULL)
        return err_set(err, ST_NOMEM, "out of memory for %u points", room);
    run->inside = p;
    return ST_OK;
}

static status take_page(struct query_run *run, struct level *level, struct paging *p,
                        const struct scrolled *got, struct err *err)
{
    struct scored_list *to = &level->result;
    status st = ST_OK;

    if (p->skip > 0) {
        p->skip -= got->count;
        return ST_OK;
    }
    for (uint32_t i = 0; st == ST_OK && i < got->count; i++)
        st = query_take_document(run, &got->documents[i], 0, &to->items[to->count++], err);
    p->left -= got->count;
    return st;
}

/* What is left out by the offset is not read. */
status query_step_pages(struct query_run *run, struct level *level, bool *done, struct err *err)
{
    struct paging *p = run->inside;
    struct scrolled got = {0};
    uint64_t rows;
    status st;

    if (p == NULL)
        return begin_pages(run, level, done, err);
    p->ask.want = p->skip > 0 ? (struct read_want){0} : query_want(run);
    rows = points_page(run->req->collection, p->skip > 0 ? &(struct qd_want){0} : &run->plan->want);
    if (p->skip > 0 ? rows > p->skip : rows > p->left)
        rows = p->skip > 0 ? p->skip : p->left;
    p->ask.limit = (uint32_t)rows;
    st = node_scroll(run->req->collection, &p->ask, run->scratch, &got, err);
    if (st == ST_OK)
        st = take_page(run, level, p, &got, err);
    p->from = got.next;
    p->ask.from = &p->from;
    *done = st == ST_OK && (!got.more || p->left == 0);
    return st;
}

/* --- scores by examples --- */

struct scan {
    struct query_examples examples;
    struct rank_examples rank;
    struct rank_top top;
    struct scroll ask;
    struct docid from;
    uint8_t text[DOCID_BYTES_MAX]; /* of `from` */
};

static void normalise(const struct level *level, struct scan *s)
{
    if (s->rank.metric != VMETRIC_COSINE)
        return;
    for (size_t i = 0; i < level->example_count; i++)
        (void)vindex_normalise(s->examples.vectors[i], (uint32_t)s->rank.dim);
}

/* Rows that are not examples themselves, and that the levels before gave. */
static status choose_rows(struct query_run *run, const struct level *level, struct scan *s,
                          bool *none, struct err *err)
{
    struct docid *within = NULL;
    size_t count = 0;
    status st;

    *none = false;
    s->ask.filter = level->filter;
    if (s->examples.leave_out_count > 0 &&
        !query_with_ids(run->scratch, s->examples.leave_out, s->examples.leave_out_count, true,
                        &s->ask.filter))
        return err_set(err, ST_NOMEM, "out of memory for a filter");
    if (level->source_count == 0)
        return ST_OK;
    st = query_within(run, level, &within, &count, err);
    *none = count == 0;
    if (st == ST_OK && !query_with_ids(run->scratch, within, count, false, &s->ask.filter))
        return err_set(err, ST_NOMEM, "out of memory for a filter");
    return st;
}

static status begin_scan(struct query_run *run, const struct level *level, bool *none,
                         struct err *err)
{
    const struct field_info *field = node_field(run->req->collection, level->field);
    struct scan *s = arena_zero(run->scratch, sizeof *s);
    uint64_t room = query_wanted(level);
    status st;

    if (s == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a scan");
    if (room > VINDEX_K_MAX)
        return err_set(err, ST_INVALID,
                       "limit and offset of a recommendation by scores are at most %d together",
                       VINDEX_K_MAX);
    st = query_examples(run, level, &s->examples, err);
    if (st != ST_OK)
        return st;
    s->rank = (struct rank_examples){
        .metric = (enum vmetric)field->metric,
        .dim = field->dimension,
        .positive = (const float *const *)s->examples.vectors,
        .positive_count = level->positive_count,
        .negative = (const float *const *)s->examples.vectors + level->positive_count,
        .negative_count = level->example_count - level->positive_count};
    normalise(level, s);
    s->ask.want.vectors = (uint64_t)1 << level->field;
    s->ask.limits = run->limits;
    run->inside = s;
    st = choose_rows(run, level, s, none, err);
    return st == ST_OK ? rank_top_begin(&s->top, run->scratch, (uint32_t)room, false, err) : st;
}

static status offer_page(const struct level *level, struct scan *s, const struct scrolled *got,
                         struct err *err)
{
    status st = ST_OK;

    for (uint32_t i = 0; st == ST_OK && i < got->count; i++) {
        const struct document *d = &got->documents[i];
        const float *v = d->vectors != NULL  ? d->vectors[level->field]
                         : level->field == 0 ? d->vector
                                             : NULL;
        struct scored one = {.id = d->id, .lsn = d->lsn};

        if (v == NULL)
            continue;
        one.score = level->strategy == RECOMMEND_BEST ? rank_best_score(&s->rank, v)
                                                      : rank_sum_scores(&s->rank, v);
        if (!level->has_threshold || one.score >= level->threshold)
            st = rank_top_offer(&s->top, &one, err);
    }
    return st;
}

static void keep_next(struct scan *s, const struct docid *next)
{
    s->from = *next;
    if (next->kind == DOCID_BYTES) {
        memcpy(s->text, next->bytes.data, next->bytes.bytes);
        s->from.bytes.data = s->text;
    }
    s->ask.from = &s->from;
}

static uint32_t page_rows(const struct scan *s)
{
    enum { PRODUCTS = 256 * 1024, ROWS_MAX = 512 }; /* of a step */
    size_t row = s->rank.dim * (s->rank.positive_count + s->rank.negative_count);
    size_t rows = PRODUCTS / row;

    return rows == 0 ? 1 : rows > ROWS_MAX ? ROWS_MAX : (uint32_t)rows;
}

status query_step_scan(struct query_run *run, struct level *level, bool *done, struct err *err)
{
    struct scan *s = run->inside;
    struct scrolled got = {0};
    struct arena page;
    status st;

    if (s == NULL) {
        level->result = (struct scored_list){0};
        return begin_scan(run, level, done, err);
    }
    *done = false;
    arena_init(&page, REQUEST_ARENA_BYTES_MAX);
    s->ask.limit = page_rows(s);
    st = node_scroll(run->req->collection, &s->ask, &page, &got, err);
    if (st == ST_OK)
        st = offer_page(level, s, &got, err);
    if (st == ST_OK && got.more)
        keep_next(s, &got.next);
    arena_free(&page);
    *done = st == ST_OK && !got.more;
    if (*done)
        level->result = rank_top_end(&s->top);
    return st;
}
