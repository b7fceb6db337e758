/* Which segment has the newest row of an id: filters, then id blocks, in one wave where there are
 * not very many. */
#include "base/mem.h"
#include "tiering/cold_internal.h"

#include <stdlib.h>
#include <string.h>

enum { WAVE_BLOCKS = 1024 }; /* id blocks of one wave: 4 MiB */

struct lookup { /* an id that a segment's filter lets through */
    uint32_t member, block;
    size_t index;
};
struct finding {
    struct cold_set *set;
    const struct docid *ids;
    size_t count;
    const struct cold_terms *terms;
    struct cold_where *where;
    struct lookup *lookups;
    size_t lookup_count;
    struct cold_span *spans; /* WAVE_BLOCKS of both */
    struct cache_want *wants;
    const struct lookup *at, *end; /* those of the block that is walked */
};

static int compare_lookups(const void *a, const void *b, void *ids)
{
    const struct lookup *x = a, *y = b;

    if (x->member != y->member)
        return x->member < y->member ? -1 : 1;
    if (x->block != y->block)
        return x->block < y->block ? -1 : 1;
    return docid_compare(&((const struct docid *)ids)[x->index],
                         &((const struct docid *)ids)[y->index]);
}

static status plan_lookups(struct finding *f, struct err *err)
{
    size_t room = f->count * f->set->count;

    f->lookups = mem_alloc_array(room > 0 ? room : 1, sizeof *f->lookups);
    f->spans = mem_alloc_array(WAVE_BLOCKS, sizeof *f->spans);
    f->wants = mem_alloc_array(WAVE_BLOCKS, sizeof *f->wants);
    if (f->lookups == NULL || f->spans == NULL || f->wants == NULL)
        return err_set(err, ST_NOMEM, "out of memory for finding ids");
    for (uint32_t m = 0; m < f->set->count; m++) {
        const struct cold_footer *footer = &f->set->members[m].segment->footer;

        for (size_t i = 0; i < f->count; i++)
            if (cold_id_may(footer, &f->ids[i]))
                f->lookups[f->lookup_count++] = (struct lookup){
                    .member = m, .block = cold_id_block(footer, &f->ids[i]), .index = i};
    }
    qsort_r(f->lookups, f->lookup_count, sizeof *f->lookups, compare_lookups,
            (void *)(uintptr_t)f->ids);
    return ST_OK;
}

static void found(struct finding *f, const struct lookup *l, uint32_t ordinal, uint64_t lsn)
{
    struct cold_where *w = &f->where[l->index];

    if (cold_member_dead(&f->set->members[l->member], ordinal) || (w->found && w->lsn >= lsn) ||
        cold_newer_than(f->terms, &f->ids[l->index], lsn))
        return;
    *w = (struct cold_where){.found = true, .member = l->member, .ordinal = ordinal, .lsn = lsn};
}

/* Both sides rise. */
static status match_entry(void *arg, const struct docid *id, uint32_t ordinal, uint64_t lsn,
                          struct err *err)
{
    struct finding *f = arg;

    (void)err;
    while (f->at < f->end && docid_compare(&f->ids[f->at->index], id) < 0)
        f->at++;
    /* One id may have been asked for twice. */
    for (const struct lookup *l = f->at; l < f->end && docid_equal(&f->ids[l->index], id); l++)
        found(f, l, ordinal, lsn);
    return ST_OK;
}

static bool same_block(const struct lookup *a, const struct lookup *b)
{
    return a->member == b->member && a->block == b->block;
}

/* Makes the wants of the blocks from *at on, at most a wave of them. */
static size_t next_blocks(struct finding *f, size_t *at)
{
    size_t count = 0;

    while (count < WAVE_BLOCKS && *at < f->lookup_count) {
        const struct lookup *l = &f->lookups[*at];
        struct cold_span *span = &f->spans[count];

        *span = (struct cold_span){.segment = f->set->members[l->member].segment,
                                   .kind = COLD_ID_BLOCK,
                                   .first = l->block};
        cold_want(span, false, &f->wants[count]);
        f->wants[count].joined = count > 0 && f->spans[count - 1].segment == span->segment &&
                                 f->spans[count - 1].first + 1 == span->first;
        count++;
        while (*at < f->lookup_count && same_block(&f->lookups[*at], l))
            (*at)++;
    }
    return count;
}

static status walk_blocks(struct finding *f, size_t from, size_t count, struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < count; i++) {
        size_t to = from;

        while (to < f->lookup_count && same_block(&f->lookups[to], &f->lookups[from]))
            to++;
        f->at = &f->lookups[from];
        f->end = &f->lookups[to];
        st = cold_id_each(&f->spans[i].segment->footer, f->spans[i].first, f->wants[i].body,
                          match_entry, f, err);
        if (st != ST_OK)
            (void)err_wrap(err, st, "cold segment %s", f->spans[i].segment->key);
        from = to;
    }
    return st;
}

status cold_find(struct cold_set *s, const struct docid *ids, size_t count,
                 const struct cold_terms *terms, struct cold_where *where, struct cold_stats *stats,
                 struct err *err)
{
    struct finding f = {.set = s, .ids = ids, .count = count, .terms = terms, .where = where};
    status st = plan_lookups(&f, err);

    for (size_t i = 0; i < count; i++)
        where[i] = (struct cold_where){0};
    for (size_t at = 0; st == ST_OK && at < f.lookup_count;) {
        size_t from = at, blocks = next_blocks(&f, &at);

        st = cold_read(s, terms, f.wants, blocks, stats, err);
        if (st == ST_OK)
            st = walk_blocks(&f, from, blocks, err);
        cache_give_back(s->cache, f.wants, blocks);
    }
    mem_free(f.lookups);
    mem_free(f.spans);
    mem_free(f.wants);
    return st;
}

status cold_set_find(struct cold_set *s, const struct docid *ids, size_t count,
                     const struct cold_terms *terms, uint64_t *lsns, struct err *err)
{
    struct cold_where *where = mem_alloc_array(count + 1, sizeof *where);
    status st = where != NULL ? cold_find(s, ids, count, terms, where, NULL, err)
                              : err_set(err, ST_NOMEM, "out of memory for finding ids");

    for (size_t i = 0; st == ST_OK && i < count; i++)
        lsns[i] = where[i].found ? where[i].lsn : 0;
    mem_free(where);
    return st;
}
