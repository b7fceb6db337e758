/* Rows in id order: the id indexes of all segments, merged. */
#include "base/mem.h"
#include "tiering/cold_internal.h"

#include <string.h>

enum {
    PAGE_BLOCKS = 64,              /* of a segment in one wave, at most */
    PAGE_BYTES = 64 * 1024 * 1024, /* of entries, of one call */
};

struct entry {
    struct docid id;
    uint64_t lsn;
    uint32_t ordinal;
};
struct cursor { /* on one segment's ids */
    const struct cold_segment *segment;
    uint32_t member, block; /* the first that is not read */
    struct entry *entries;
    size_t at, count, room;
};
struct paging {
    struct cold_set *set;
    const struct docid *after;
    uint32_t max;
    const struct cold_terms *terms;
    struct arena entries; /* their ids, and themselves */
    struct cursor *cursors;
    struct cursor *filled; /* the one that takes entries */
    struct cold_span *spans;
    struct cache_want *wants;
};

static status no_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for a page of cold rows");
}

static bool is_dry(const struct cursor *c)
{
    return c->at == c->count && c->block < c->segment->footer.id_blocks;
}

static bool any_dry(const struct paging *p)
{
    for (uint32_t i = 0; i < p->set->count; i++)
        if (is_dry(&p->cursors[i]))
            return true;
    return false;
}

/* As many blocks as this segment has of so many ids, and one. */
static uint32_t blocks_for(const struct cursor *c, uint32_t wanted)
{
    const struct cold_footer *f = &c->segment->footer;
    uint64_t per_block = f->rows / f->id_blocks + 1;
    uint64_t blocks = wanted / per_block + 2;
    uint32_t left = f->id_blocks - c->block;

    blocks = blocks < PAGE_BLOCKS ? blocks : PAGE_BLOCKS;
    return blocks < left ? (uint32_t)blocks : left;
}

static status keep_entry(void *arg, const struct docid *id, uint32_t ordinal, uint64_t lsn,
                         struct err *err)
{
    struct paging *p = arg;
    struct cursor *c = p->filled;
    struct entry *e;

    if ((p->after != NULL && docid_compare(id, p->after) <= 0) ||
        cold_member_dead(&p->set->members[c->member], ordinal))
        return ST_OK;
    if (c->count == c->room) {
        size_t room = c->room > 0 ? 2 * c->room : 256;
        struct entry *grown = arena_array(&p->entries, room, sizeof *grown);

        if (grown == NULL)
            return no_memory(err);
        if (c->count > 0)
            memcpy(grown, c->entries, c->count * sizeof *grown);
        c->entries = grown;
        c->room = room;
    }
    e = &c->entries[c->count];
    *e = (struct entry){.id = *id, .lsn = lsn, .ordinal = ordinal};
    if (!cold_copy_id(&p->entries, &e->id))
        return no_memory(err);
    c->count++;
    return ST_OK;
}

static size_t plan_wave(struct paging *p, uint32_t wanted)
{
    size_t count = 0;

    for (uint32_t i = 0; i < p->set->count; i++) {
        struct cursor *c = &p->cursors[i];
        uint32_t blocks = is_dry(c) ? blocks_for(c, wanted) : 0;

        if (blocks > 0)
            c->at = c->count = 0;
        for (uint32_t k = 0; k < blocks; k++, count++) {
            p->spans[count] = (struct cold_span){
                .segment = c->segment, .kind = COLD_ID_BLOCK, .first = c->block + k};
            cold_want(&p->spans[count], false, &p->wants[count]);
            p->wants[count].joined = k > 0;
        }
    }
    return count;
}

static status take_wave(struct paging *p, size_t count, struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < count; i++) {
        for (uint32_t m = 0; m < p->set->count; m++)
            if (p->cursors[m].segment == p->spans[i].segment)
                p->filled = &p->cursors[m];
        st = cold_id_each(&p->spans[i].segment->footer, p->spans[i].first, p->wants[i].body,
                          keep_entry, p, err);
        if (st != ST_OK)
            (void)err_wrap(err, st, "cold segment %s", p->spans[i].segment->key);
        p->filled->block = p->spans[i].first + 1;
    }
    return st;
}

/* All that have run dry, in one wave. */
static status fill(struct paging *p, uint32_t wanted, struct err *err)
{
    status st = ST_OK;

    while (st == ST_OK && any_dry(p)) {
        size_t count = plan_wave(p, wanted);

        st = cold_read(p->set, p->terms, p->wants, count, NULL, err);
        if (st == ST_OK)
            st = take_wave(p, count, err);
        cache_give_back(p->set->cache, p->wants, count);
    }
    return st;
}

/* The lowest id, of these the newest row; the others of it are passed over. */
static bool take_lowest(struct paging *p, struct cold_row *out)
{
    const struct entry *lowest = NULL;

    for (uint32_t i = 0; i < p->set->count; i++) {
        struct cursor *c = &p->cursors[i];
        const struct entry *e = c->at < c->count ? &c->entries[c->at] : NULL;
        int order = e == NULL ? 1 : lowest == NULL ? -1 : docid_compare(&e->id, &lowest->id);

        if (order > 0 || (order == 0 && e->lsn < lowest->lsn))
            continue;
        lowest = e;
        *out = (struct cold_row){
            .id = e->id, .lsn = e->lsn, .segment = c->member, .ordinal = e->ordinal};
    }
    if (lowest == NULL)
        return false;
    for (uint32_t i = 0; i < p->set->count; i++) {
        struct cursor *c = &p->cursors[i];

        if (c->at < c->count && docid_equal(&c->entries[c->at].id, &out->id))
            c->at++;
    }
    return true;
}

static status merge(struct paging *p, struct arena *arena, struct cold_row *out, uint32_t *count,
                    struct err *err)
{
    struct cold_row row;
    uint32_t taken = 0;

    while (taken < p->max) {
        status st = fill(p, p->max - taken, err);

        if (st != ST_OK)
            return st;
        if (!take_lowest(p, &row))
            break;
        if (cold_newer_than(p->terms, &row.id, row.lsn))
            continue;
        if (!cold_copy_id(arena, &row.id))
            return no_memory(err);
        row.found = true;
        out[taken++] = row;
    }
    *count = taken;
    return ST_OK;
}

status cold_set_page(struct cold_set *s, const struct docid *after, uint32_t max,
                     const struct cold_terms *terms, struct arena *arena, struct cold_row *out,
                     uint32_t *count, struct err *err)
{
    struct paging p = {.set = s, .after = after, .max = max, .terms = terms};
    size_t room = (size_t)s->count * PAGE_BLOCKS + 1;
    status st;

    arena_init(&p.entries, PAGE_BYTES);
    p.cursors = mem_zero_array(s->count + 1u, sizeof *p.cursors);
    p.spans = mem_alloc_array(room, sizeof *p.spans);
    p.wants = mem_alloc_array(room, sizeof *p.wants);
    if (p.cursors == NULL || p.spans == NULL || p.wants == NULL) {
        st = no_memory(err);
    } else {
        for (uint32_t i = 0; i < s->count; i++) {
            const struct cold_segment *segment = s->members[i].segment;

            p.cursors[i] = (struct cursor){
                .segment = segment,
                .member = i,
                .block = after != NULL ? cold_id_block(&segment->footer, after) : 0};
        }
        st = merge(&p, arena, out, count, err);
    }
    arena_free(&p.entries);
    mem_free(p.cursors);
    mem_free(p.spans);
    mem_free(p.wants);
    return st;
}
