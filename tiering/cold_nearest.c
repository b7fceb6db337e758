/* The nearest rows of a query so far, and what becomes of them at the end. */
#include "base/mem.h"
#include "tiering/cold_query_internal.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 256 };

static bool farther(const struct cold_nearest *a, const struct cold_nearest *b)
{
    if (a->key != b->key)
        return a->key > b->key;
    if (a->part != b->part)
        return a->part > b->part;
    return a->ordinal > b->ordinal;
}

static void push(struct cold_run *r, const struct cold_nearest *in)
{
    struct cold_nearest *heap = r->heap;
    uint32_t at, child;

    if (r->heap_count < r->heap_max) {
        for (at = r->heap_count++; at > 0 && farther(in, &heap[(at - 1) / 2]); at = (at - 1) / 2)
            heap[at] = heap[(at - 1) / 2];
        heap[at] = *in;
        return;
    }
    for (at = 0; (child = 2 * at + 1) < r->heap_count; at = child) {
        if (child + 1 < r->heap_count && farther(&heap[child + 1], &heap[child]))
            child++;
        if (!farther(&heap[child], in))
            break;
        heap[at] = heap[child];
    }
    heap[at] = *in;
}

void cold_run_offer(struct cold_run *r, uint32_t part, const struct cold_record *record, float key)
{
    struct cold_nearest in = {.key = key,
                              .part = part,
                              .ordinal = record->ordinal,
                              .lsn = record->lsn,
                              .id = record->id,
                              .placed = record->id_is_hash,
                              .place = record->id_place};

    if (!cold_run_wants(r, key) || !cold_part_counts(&r->parts[part], record->ordinal))
        return;
    if (!in.placed && cold_newer_than(r->terms, &record->id, record->lsn))
        return;
    in.inside = !in.placed && in.id.kind == DOCID_BYTES;
    if (in.inside) /* the block it lies in goes */
        memcpy(in.id_bytes, in.id.bytes.data, in.id.bytes.bytes);
    push(r, &in);
}

void cold_run_row(struct cold_run *r, uint32_t part, const struct cold_span *span,
                  struct slice body, uint32_t position)
{
    const struct cold_footer *f = &span->segment->footer;
    struct cold_record record;
    float key;

    r->stats->rows_scanned++;
    cold_record_at(f, span->position, span->first, body, position - span->first, &record);
    cells_keys(r->parts[part].query, position, record.code, f->fields[span->position].record_bytes,
               1, &key);
    cold_run_offer(r, part, &record, key);
}

void cold_run_span(struct cold_run *r, uint32_t part, const struct cold_span *span,
                   struct slice body)
{
    const struct cold_footer *f = &span->segment->footer;
    const size_t stride = f->fields[span->position].record_bytes;
    float keys[BATCH];

    r->stats->rows_scanned += span->count;
    for (uint32_t at = 0; at < span->count; at += BATCH) {
        uint32_t here = span->count - at < BATCH ? span->count - at : BATCH;
        struct cold_record record;

        cold_record_at(f, span->position, span->first, body, at, &record);
        cells_keys(r->parts[part].query, span->first + at, record.code, stride, here, keys);
        for (uint32_t i = 0; i < here; i++) {
            if (!cold_run_wants(r, keys[i]))
                continue;
            cold_record_at(f, span->position, span->first, body, at + i, &record);
            cold_run_offer(r, part, &record, keys[i]);
        }
    }
}

status cold_run_judge(struct cold_run *r, status st)
{
    if (st == ST_OK)
        return ST_OK;
    if (st == ST_NOMEM || st == ST_CLOSED || st == ST_BUG || st == ST_NOSPACE)
        return st;
    r->partial = true;
    return r->done > 0 ? ST_OK : st;
}

/* --- ids that stand in no record --- */
struct placing {
    struct cold_run *r;
    struct cold_nearest *row;
    bool found;
};

static status match_place(void *arg, const struct docid *id, uint32_t ordinal, uint64_t lsn,
                          struct err *err)
{
    struct placing *p = arg;

    (void)lsn;
    if (ordinal != p->row->ordinal)
        return ST_OK;
    p->row->id = *id;
    p->found = true;
    return cold_copy_id(p->r->arena, &p->row->id)
               ? ST_OK
               : err_set(err, ST_NOMEM, "out of memory for the ids of an answer");
}

/* A row whose block cannot be had, or knows no such row, goes. */
static status place_one(struct cold_run *r, struct cold_nearest *row, const struct cold_span *span,
                        const struct cache_want *want, struct err *err)
{
    struct placing p = {.r = r, .row = row};
    status st = want->st;

    if (st == ST_OK)
        st = cold_id_each(&span->segment->footer, span->first, want->body, match_place, &p, err);
    if (st == ST_NOMEM)
        return st;
    row->placed = st != ST_OK || !p.found;
    r->partial = r->partial || row->placed;
    return ST_OK;
}

static status place_all(struct cold_run *r, uint32_t placed, struct err *err)
{
    struct cold_span *spans = mem_zero_array(placed, sizeof *spans);
    struct cache_want *wants = mem_zero_array(placed, sizeof *wants);
    uint32_t count = 0, kept = 0;
    status st = ST_OK;

    if (spans == NULL || wants == NULL) {
        mem_free(spans);
        mem_free(wants);
        return err_set(err, ST_NOMEM, "out of memory for the ids of an answer");
    }
    for (uint32_t i = 0; i < r->heap_count; i++) {
        const struct cold_part *p = &r->parts[r->heap[i].part];

        if (!r->heap[i].placed)
            continue;
        spans[count] = (struct cold_span){
            .segment = p->m->segment, .kind = COLD_ID_BLOCK, .first = r->heap[i].place};
        cold_want(&spans[count], false, &wants[count]);
        count++;
    }
    st = cold_run_judge(r, cold_read(r->set, r->terms, wants, count, r->stats, err));
    for (uint32_t i = 0, w = 0; st == ST_OK && i < r->heap_count; i++) {
        struct cold_nearest *row = &r->heap[i];

        if (row->placed) {
            st = place_one(r, row, &spans[w], &wants[w], err);
            w++;
            if (row->placed || cold_newer_than(r->terms, &row->id, row->lsn))
                continue;
        }
        r->heap[kept++] = *row;
    }
    r->heap_count = kept;
    cache_give_back(r->set->cache, wants, count);
    mem_free(spans);
    mem_free(wants);
    return st;
}

static int by_key(const void *a, const void *b)
{
    return farther(a, b) ? 1 : -1;
}

static struct docid id_of(const struct cold_nearest *row)
{
    struct docid id = row->id;

    if (row->inside)
        id.bytes.data = row->id_bytes;
    return id;
}

static int by_id(const void *a, const void *b)
{
    const struct cold_nearest *x = a, *y = b;
    struct docid xi = id_of(x), yi = id_of(y);
    int order = docid_compare(&xi, &yi);

    if (order != 0)
        return order;
    return x->lsn > y->lsn ? -1 : x->lsn < y->lsn;
}

/* The newest row of each id. */
static void once_an_id(struct cold_run *r)
{
    uint32_t kept = 0;

    qsort(r->heap, r->heap_count, sizeof *r->heap, by_id);
    for (uint32_t i = 0; i < r->heap_count; i++) {
        struct docid id = id_of(&r->heap[i]), last = {0};

        if (kept > 0)
            last = id_of(&r->heap[kept - 1]);
        if (kept == 0 || !docid_equal(&id, &last))
            r->heap[kept++] = r->heap[i];
    }
    r->heap_count = kept;
}

status cold_run_finish(struct cold_run *r, struct cold_hit **hits, uint32_t *count, struct err *err)
{
    uint32_t placed = 0;
    struct cold_hit *out;
    status st;

    for (uint32_t i = 0; i < r->heap_count; i++)
        placed += r->heap[i].placed;
    st = placed > 0 ? place_all(r, placed, err) : ST_OK;
    if (st != ST_OK)
        return st;
    if (r->part_count > 1)
        once_an_id(r);
    qsort(r->heap, r->heap_count, sizeof *r->heap, by_key);
    *count = r->heap_count < r->query->limit ? r->heap_count : r->query->limit;
    out = arena_array(r->arena, *count > 0 ? *count : 1, sizeof *out);
    for (uint32_t i = 0; out != NULL && i < *count; i++) {
        const struct cold_nearest *row = &r->heap[i];
        const struct cold_part *p = &r->parts[row->part];

        out[i] = (struct cold_hit){.id = id_of(row),
                                   .lsn = row->lsn,
                                   .key = row->key,
                                   .segment = p->member,
                                   .ordinal = row->ordinal};
        if (row->inside && !cold_copy_id(r->arena, &out[i].id))
            out = NULL;
    }
    *hits = out;
    return out != NULL ? ST_OK : err_set(err, ST_NOMEM, "out of memory for an answer");
}
