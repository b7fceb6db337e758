/* Payload indexes of a segment, read by range: which runs of keys are wanted, which blocks have
 * them, and into a set of indexes with what is in the runs. */
#include "tiering/cold_index.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>

enum {
    WAVE_BYTES = 8 * 1024 * 1024,
    GET_BYTES = 1024 * 1024,
    WAVE_BLOCKS = 1024,
    /* Of one filter, of one segment: what is loaded takes up to some twelve bytes an entry. Beyond
     * it payloads are read, as without an index. */
    ENTRIES_MAX = 8 * 1024 * 1024,
    PAYLOAD_PART = 2, /* nor more than so much of what payloads would be, where that is much */
    FEW_BYTES = 64 * 1024,
};

struct need { /* a run of keys */
    uint32_t item;
    struct slice low, high;
};
struct loading {
    struct cold_set *set;
    const struct cold_segment *segment;
    const struct cold_terms *terms;
    struct cold_stats *stats;
    struct cold_loaded *out;
    uint16_t *index_of; /* of an item, in the directory */
    uint32_t item_count;
    struct need *needs;
    size_t count, room;
    uint32_t *blocks; /* rising: items have rising indexes, and these their blocks */
    size_t block_count;
    bool scan; /* past the cache */
    bool no_memory;
    /* While blocks are walked: */
    size_t at; /* the first need that may still have keys */
    uint32_t item;
};

static status no_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for the payload indexes of a segment");
}

/* --- which indexes --- */

static bool type_is_known(const struct cold_index *x)
{
    return x->type >= PINDEX_KEYWORD && x->type <= PINDEX_TEXT;
}

/* Those this program knows; on `only`, or all. */
static status open_items(struct loading *l, const struct path *only, struct err *err)
{
    const struct cold_indexes *d = l->segment->footer.indexes;
    struct pindex_stored *items = arena_zero(&l->out->arena, d->count * sizeof *items);

    l->index_of = arena_array(&l->out->arena, d->count, sizeof *l->index_of);
    if (items == NULL || l->index_of == NULL)
        return no_memory(err);
    for (uint16_t i = 0; i < d->count; i++) {
        const struct cold_index *x = &d->items[i];
        struct pindex_stored *item = &items[l->item_count];

        if (!type_is_known(x))
            continue;
        item->spec.type = (enum pindex_type)x->type;
        item->spec.words = (struct filter_words){.tokenizer = x->tokenizer,
                                                 .keep_case = x->keep_case,
                                                 .min_bytes = x->min_bytes,
                                                 .max_bytes = x->max_bytes};
        item->entries = x->entries;
        memcpy(item->sets, x->sets, sizeof item->sets);
        if (path_parse(x->path, &l->out->arena, &item->spec.path, NULL) != ST_OK ||
            (only != NULL && !path_equal(only, item->spec.path)))
            continue;
        l->index_of[l->item_count++] = i;
    }
    return pindex_stored_open(items, l->item_count, l->segment->footer.rows, &l->out->set, err);
}

/* --- which keys --- */

static struct slice keep(struct loading *l, struct slice key)
{
    uint8_t *copy = arena_alloc(&l->out->arena, key.bytes + 1);

    l->no_memory = l->no_memory || copy == NULL;
    if (copy == NULL)
        return (struct slice){0};
    memcpy(copy, key.data, key.bytes);
    return slice_make(copy, key.bytes);
}

static bool add_need(void *arg, uint32_t item, struct slice low, struct slice high)
{
    struct loading *l = arg;

    if (l->count == l->room) {
        size_t room = l->room == 0 ? 64 : 2 * l->room;
        struct need *longer = mem_resize(l->needs, room * sizeof *longer);

        l->no_memory = longer == NULL;
        if (longer == NULL)
            return false;
        l->needs = longer;
        l->room = room;
    }
    l->needs[l->count++] = (struct need){item, keep(l, low), keep(l, high)};
    return !l->no_memory;
}

static int key_order(struct slice a, struct slice b)
{
    int order = memcmp(a.data, b.data, a.bytes < b.bytes ? a.bytes : b.bytes);

    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static int by_low(const void *a, const void *b)
{
    const struct need *x = a, *y = b;

    return x->item != y->item ? (x->item < y->item ? -1 : 1) : key_order(x->low, y->low);
}

/* Runs that overlap become one. */
static void merge_needs(struct loading *l)
{
    size_t kept = 0;

    if (l->count > 0)
        qsort(l->needs, l->count, sizeof *l->needs, by_low);
    for (size_t i = 0; i < l->count; i++) {
        struct need *last = kept > 0 ? &l->needs[kept - 1] : NULL;

        if (last == NULL || last->item != l->needs[i].item ||
            key_order(l->needs[i].low, last->high) > 0)
            l->needs[kept++] = l->needs[i];
        else if (key_order(l->needs[i].high, last->high) > 0)
            last->high = l->needs[i].high;
    }
    l->count = kept;
}

/* --- which blocks --- */

/* *much: more than there is room for, or than it is worth. */
static status choose_blocks(struct loading *l, bool *much, struct err *err)
{
    const struct cold_footer *f = &l->segment->footer;
    uint64_t bytes = 0, entries = 0;
    uint32_t next = 0;

    l->blocks = mem_alloc_array((size_t)f->indexes->blocks + 1, sizeof *l->blocks);
    if (l->blocks == NULL)
        return no_memory(err);
    for (size_t i = 0; i < l->count; i++) {
        const struct cold_index *x = &f->indexes->items[l->index_of[l->needs[i].item]];
        uint32_t first, count;

        cold_index_blocks(f, l->index_of[l->needs[i].item], l->needs[i].low, l->needs[i].high,
                          &first, &count);
        for (uint32_t b = first < next ? next : first; b < first + count; b++) {
            bytes += f->indexes->offsets[b + 1] - f->indexes->offsets[b];
            entries += (x->entries + x->sets[0]) / x->blocks + 1;
            l->blocks[l->block_count++] = b;
        }
        next = first + count > next ? first + count : next;
    }
    *much = entries > ENTRIES_MAX ||
            (bytes > FEW_BYTES && bytes > f->payload_offsets[f->payload_blocks] / PAYLOAD_PART);
    l->scan = bytes > cache_room(l->set->cache) / 4;
    return ST_OK;
}

/* --- reading --- */

struct wave {
    struct cold_span spans[WAVE_BLOCKS];
    struct cache_want wants[2 * WAVE_BLOCKS]; /* and what lies between */
    size_t want_of[WAVE_BLOCKS];
};

/* Blocks from `at` on; returns how many. */
static size_t plan_wave(const struct loading *l, struct wave *w, size_t at, size_t *wants)
{
    uint64_t bytes = 0, run = 0;
    size_t count = 0, n = 0;

    for (; count < WAVE_BLOCKS && bytes < WAVE_BYTES && at + count < l->block_count; count++) {
        struct cache_want want;

        w->spans[count] = (struct cold_span){
            .segment = l->segment, .kind = COLD_INDEX_BLOCK, .first = l->blocks[at + count]};
        cold_want(&w->spans[count], l->scan, &want);
        want.joined = count > 0 && run + want.bytes <= GET_BYTES;
        if (want.joined && w->spans[count].first != w->spans[count - 1].first + 1) {
            want.joined = cold_want_gap(&w->wants[n - 1], &want, &w->wants[n]);
            if (want.joined)
                run += w->wants[n++].bytes;
        }
        run = want.joined ? run + want.bytes : want.bytes;
        bytes += want.bytes;
        w->want_of[count] = n;
        w->wants[n++] = want;
    }
    *wants = n;
    return count;
}

static status load_key(void *arg, struct slice key, const uint32_t *rows, uint32_t count,
                       struct err *err)
{
    struct loading *l = arg;

    while (l->at < l->count && l->needs[l->at].item == l->item &&
           key_order(l->needs[l->at].high, key) < 0)
        l->at++;
    if (l->at == l->count || l->needs[l->at].item != l->item ||
        key_order(key, l->needs[l->at].low) < 0)
        return ST_OK;
    return pindex_stored_load(l->out->set, l->item, key, rows, count, err);
}

static void item_of(struct loading *l, uint32_t block, struct cold_index_cursor *cursor)
{
    const struct cold_indexes *d = l->segment->footer.indexes;
    uint32_t item = l->item;

    while (block - d->items[l->index_of[item]].first >= d->items[l->index_of[item]].blocks)
        item++;
    if (item != l->item)
        cursor->key_bytes = 0;
    l->item = item;
    while (l->at < l->count && l->needs[l->at].item < item)
        l->at++;
}

static status read_blocks(struct loading *l, struct wave *w, struct cold_index_cursor *cursor,
                          struct buf *unpacked, struct err *err)
{
    const struct cold_footer *f = &l->segment->footer;
    status st = ST_OK;

    for (size_t at = 0; st == ST_OK && at < l->block_count;) {
        size_t wants, count = plan_wave(l, w, at, &wants);

        st = cold_read(l->set, l->terms, w->wants, wants, l->stats, err);
        for (size_t i = 0; st == ST_OK && i < count; i++) {
            item_of(l, w->spans[i].first, cursor);
            st = cold_index_each(f, l->index_of[l->item], w->spans[i].first,
                                 w->wants[w->want_of[i]].body, unpacked, cursor, load_key, l, err);
        }
        cache_give_back(l->set->cache, w->wants, wants);
        at += count;
    }
    return st;
}

static status read_all(struct loading *l, struct err *err)
{
    struct wave *w = mem_alloc(sizeof *w);
    struct cold_index_cursor *cursor = mem_zero(sizeof *cursor);
    struct buf unpacked;
    status st = ST_OK;

    buf_init(&unpacked, COLD_INDEX_BLOCK_BYTES_MAX);
    if (w == NULL || cursor == NULL)
        st = no_memory(err);
    if (st == ST_OK)
        st = read_blocks(l, w, cursor, &unpacked, err);
    if (st == ST_OK)
        st = pindex_stored_loaded(l->out->set, err);
    buf_free(&unpacked);
    mem_free(cursor);
    mem_free(w);
    return st;
}

/* --- */

static status find_needs(struct loading *l, const struct filter *filter, struct err *err)
{
    static const uint8_t FIRST[1] = {0}, LAST[1] = {0xff};

    if (filter != NULL)
        (void)pindex_stored_needs(l->out->set, filter, add_need, l);
    else if (l->item_count > 0)
        (void)add_need(l, 0, slice_make(FIRST, 1), slice_make(LAST, 1));
    merge_needs(l);
    return l->no_memory ? no_memory(err) : ST_OK;
}

static status load(struct loading *l, const struct filter *filter, const struct path *only,
                   struct err *err)
{
    bool much = false;
    status st = open_items(l, only, err);

    if (st == ST_OK)
        st = find_needs(l, filter, err);
    if (st == ST_OK)
        st = choose_blocks(l, &much, err);
    if (st == ST_OK && !much)
        st = read_all(l, err);
    mem_free(l->needs);
    mem_free(l->blocks);
    if (st == ST_OK && !much && l->item_count > 0)
        return ST_OK;
    cold_loaded_free(l->out);
    if (st != ST_CORRUPT && st != ST_UNSUPPORTED)
        return st;
    log_warn("a payload index in the bucket is damaged, payloads are read instead",
             "object=%s err=%s", l->segment->key, err != NULL ? err->text : "");
    return ST_OK;
}

status cold_index_load(struct cold_set *s, const struct cold_segment *segment,
                       const struct filter *filter, const struct cold_terms *terms,
                       struct cold_stats *stats, struct cold_loaded *out, struct err *err)
{
    struct loading l = {.set = s, .segment = segment, .terms = terms, .stats = stats, .out = out};

    *out = (struct cold_loaded){.set = NULL};
    arena_init(&out->arena, SIZE_MAX);
    return segment->footer.indexes == NULL ? ST_OK : load(&l, filter, NULL, err);
}

status cold_index_load_all(struct cold_set *s, const struct cold_segment *segment,
                           const struct path *path, const struct cold_terms *terms,
                           struct cold_stats *stats, struct cold_loaded *out, struct err *err)
{
    struct loading l = {.set = s, .segment = segment, .terms = terms, .stats = stats, .out = out};

    *out = (struct cold_loaded){.set = NULL};
    arena_init(&out->arena, SIZE_MAX);
    return segment->footer.indexes == NULL ? ST_OK : load(&l, NULL, path, err);
}

void cold_loaded_free(struct cold_loaded *l)
{
    pindex_destroy(l->set);
    arena_free(&l->arena);
    *l = (struct cold_loaded){.set = NULL};
}
