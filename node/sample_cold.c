/* Some documents at random where not all are in RAM: every cold row that matches is met once and
 * has the same chance as every one of the head's. */
#include "node/cold_reads.h"
#include "node/count_internal.h"

struct sampling {
    struct collection *c;
    struct arena *arena;
    struct cold_row *rows;
    uint32_t count, wanted;
    uint64_t seen;
};

static status meet(void *arg, const struct cold_row *row, struct err *err)
{
    struct sampling *s = arg;
    uint64_t at = s->seen++;
    struct cold_row *out;

    if (s->count < s->wanted)
        at = s->count++;
    else
        at = rand_below(s->c->node->options.rand, at + 1);
    if (at >= s->wanted)
        return ST_OK;
    out = &s->rows[at];
    *out = (struct cold_row){
        .found = true, .lsn = row->lsn, .segment = row->segment, .ordinal = row->ordinal};
    return keep_id(s->arena, &row->id, &out->id) ? ST_OK : err_set(err, ST_NOMEM, "out of memory");
}

static void shuffle(struct rand_source *rand, struct document *documents, uint32_t count)
{
    for (uint32_t i = count; i > 1; i--) {
        uint32_t at = (uint32_t)rand_below(rand, i);
        struct document d = documents[i - 1];

        documents[i - 1] = documents[at];
        documents[at] = d;
    }
}

/* Of both, as many of each as chance has it; an id once. */
static uint32_t mix(struct sampling *s, struct document *out, const struct document *cold,
                    const struct document *head, uint32_t head_count, uint64_t head_all)
{
    struct rand_source *rand = s->c->node->options.rand;
    uint64_t left_cold = s->seen, left_head = head_all;
    uint32_t n = 0, at_cold = 0, at_head = 0;

    while (n < s->wanted && (at_cold < s->count || at_head < head_count)) {
        bool takes_cold =
            at_head == head_count || (at_cold < s->count && left_cold + left_head > 0 &&
                                      rand_below(rand, left_cold + left_head) < left_cold);
        bool twice = false;

        if (takes_cold) {
            out[n] = cold[at_cold++];
            left_cold -= left_cold > 0;
        } else {
            out[n] = head[at_head++];
            left_head -= left_head > 0;
        }
        for (uint32_t i = 0; i < n && !twice; i++)
            twice = docid_equal(&out[i].id, &out[n].id);
        n += !twice;
    }
    return n;
}

static status sample(struct sampling *s, struct cold_reads *r, const struct filter *filter,
                     const struct read_want *want, const struct read_limits *limits,
                     struct document **out, uint32_t *out_count, struct err *err)
{
    struct rand_source *rand = s->c->node->options.rand;
    struct document *cold, *head = NULL, *both;
    uint64_t rows = cold_set_rows(r->set), head_all = 0;
    uint32_t head_count = 0;
    status st;

    s->wanted = s->wanted < rows + slots_live_count(s->c->slots)
                    ? s->wanted
                    : (uint32_t)(rows + slots_live_count(s->c->slots));
    s->rows = arena_array(s->arena, (size_t)s->wanted + 1, sizeof *s->rows);
    cold = arena_array(s->arena, (size_t)s->wanted + 1, sizeof *cold);
    both = arena_array(s->arena, (size_t)s->wanted + 1, sizeof *both);
    if (s->rows == NULL || cold == NULL || both == NULL)
        return err_set(err, ST_NOMEM, "out of memory for %u documents", s->wanted);
    st = cold_set_each(r->set, filter, 0, 0, &r->terms, meet, s, &r->stats, err);
    if (st == ST_OK)
        st = cold_docs_at(r, s->rows, s->count, want, s->arena, cold, err);
    if (st == ST_OK)
        st = count_head(s->c, filter, true, limits, s->arena, &head_all, err);
    if (st == ST_OK)
        st = sample_head(s->c, filter, s->wanted, want, limits, s->arena, &head, &head_count, err);
    if (st != ST_OK)
        return st;
    shuffle(rand, cold, s->count);
    *out = both;
    *out_count = mix(s, both, cold, head, head_count, head_all);
    return ST_OK;
}

status sample_cold(struct collection *c, const struct filter *filter, uint32_t count,
                   const struct read_want *want, const struct read_limits *limits,
                   struct arena *arena, struct document **out, uint32_t *out_count, struct err *err)
{
    struct sampling s;
    struct cold_reads r;
    status st = cold_reads_begin(c, limits, &r, err);

    if (st == ST_OK && r.set == NULL)
        st = sample_head(c, filter, count, want, limits, arena, out, out_count, err);
    else if (st == ST_OK && count > 0)
        do {
            s = (struct sampling){.c = c, .arena = arena, .wanted = count};
            st = sample(&s, &r, filter, want, limits, out, out_count, err);
        } while (cold_reads_again(&r, st));
    return cold_reads_end(&r, st, err);
}
