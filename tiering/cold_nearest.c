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

void cold_run_offer(struct cold_run *r, uint32_t part, const struct cold_record *record,
                    uint32_t position, float key)
{
    struct cold_nearest in = {.key = key,
                              .part = part,
                              .ordinal = record->ordinal,
                              .position = position,
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
    cold_run_offer(r, part, &record, position, key);
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
            cold_run_offer(r, part, &record, span->first + at + i, keys[i]);
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
/* Those of rows [from, to). A row whose block cannot be had, or knows no such row, stays as it is.
 */
static status name_rows(struct cold_run *r, uint32_t from, uint32_t to, struct err *err)
{
    struct cold_row *rows = mem_zero_array(to - from + 1, sizeof *rows);
    uint32_t *places = mem_alloc_array(to - from + 1, sizeof *places);
    size_t count = 0, at = 0;
    status st = ST_OK, read = ST_OK;

    if (rows == NULL || places == NULL)
        st = err_set(err, ST_NOMEM, "out of memory for the ids of an answer");
    for (uint32_t i = from; st == ST_OK && i < to; i++) {
        const struct cold_nearest *row = &r->heap[i];

        if (!row->placed)
            continue;
        places[count] = row->place;
        rows[count++] = (struct cold_row){
            .lsn = row->lsn, .segment = r->parts[row->part].member, .ordinal = row->ordinal};
    }
    if (st == ST_OK && count > 0)
        st = cold_name_rows(r->set, rows, places, count, r->terms, r->arena, r->stats, &read, err);
    if (st == ST_OK)
        st = cold_run_judge(r, read);
    for (uint32_t i = from; st == ST_OK && i < to; i++) {
        struct cold_nearest *row = &r->heap[i];

        if (!row->placed)
            continue;
        row->placed = !rows[at].found;
        row->id = rows[at++].id;
    }
    mem_free(rows);
    mem_free(places);
    return st;
}

/* Rows [from, *to) that have names now: those that are known newer go, and those without a name.
 * What follows moves up. */
static void leave_out(struct cold_run *r, const bool *asked, uint32_t from, uint32_t *to)
{
    uint32_t kept = from, end = *to;

    for (uint32_t i = from; i < end; i++) {
        const struct cold_nearest *row = &r->heap[i];

        r->partial = r->partial || row->placed;
        if (!row->placed && !(asked[i - from] && cold_newer_than(r->terms, &row->id, row->lsn)))
            r->heap[kept++] = *row;
    }
    *to = kept;
    for (uint32_t i = end; i < r->heap_count; i++)
        r->heap[kept++] = r->heap[i];
    r->heap_count = kept;
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

static int by_hash(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* Ids among the first `count` rows. */
static status count_ids(const struct cold_run *r, uint32_t count, uint32_t *ids, struct err *err)
{
    uint64_t *hashes;

    *ids = count;
    if (r->part_count == 1 || count == 0)
        return ST_OK;
    hashes = mem_alloc_array(count, sizeof *hashes);
    if (hashes == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the ids of an answer");
    for (uint32_t i = 0; i < count; i++) {
        struct docid id = id_of(&r->heap[i]);

        hashes[i] = docid_hash(&id);
    }
    qsort(hashes, count, sizeof *hashes, by_hash);
    *ids = 1;
    for (uint32_t i = 1; i < count; i++)
        *ids += hashes[i] != hashes[i - 1];
    mem_free(hashes);
    return ST_OK;
}

/* The nearest rows get their names, and more of them as long as there are fewer ids than wanted. */
static status settle(struct cold_run *r, uint32_t *ids, struct err *err)
{
    const uint32_t wanted = r->query->limit - r->query->spare;
    bool *asked = mem_alloc_array((size_t)r->heap_count + 1, sizeof *asked);
    uint32_t settled = 0;
    status st =
        asked != NULL ? ST_OK : err_set(err, ST_NOMEM, "out of memory for the ids of an answer");

    *ids = 0;
    while (st == ST_OK && *ids < wanted && settled < r->heap_count) {
        uint32_t left = r->heap_count - settled;
        uint32_t to = settled + (wanted - *ids < left ? wanted - *ids : left);

        for (uint32_t i = settled; i < to; i++)
            asked[i - settled] = r->heap[i].placed;
        st = name_rows(r, settled, to, err);
        if (st != ST_OK)
            break;
        leave_out(r, asked, settled, &to);
        settled = to;
        st = count_ids(r, settled, ids, err);
    }
    mem_free(asked);
    if (st != ST_OK)
        return st;
    for (uint32_t i = settled; i < r->heap_count; i++) /* what has a name may be newer than those */
        if (!r->heap[i].placed)
            r->heap[settled++] = r->heap[i];
    r->heap_count = settled;
    return ST_OK;
}

/* Where most of what is near is known newer, more has to be looked at than usual. */
static bool may_widen(const struct cold_run *r, uint32_t wanted)
{
    enum { WIDEST = 64 };
    uint64_t may = 0;

    for (uint32_t i = 0; i < r->part_count; i++)
        may += r->parts[i].selection != NULL ? r->parts[i].selection->matched
                                             : r->parts[i].cells->rows;
    return !r->partial && !r->query->exact && r->wider < WIDEST && may > 4 * (uint64_t)wanted;
}

status cold_run_finish(struct cold_run *r, struct cold_hit **hits, uint32_t *count, struct err *err)
{
    const uint32_t wanted = r->query->limit - r->query->spare;
    struct cold_hit *out;
    uint32_t ids;
    status st;

    r->was_full = r->heap_count == r->heap_max && r->heap_max < r->rows;
    r->budget.gets += r->kept.gets; /* names come with what the rest of the answer needs */
    r->budget.bytes += r->kept.bytes;
    r->kept = (struct cache_budget){0};
    if (r->heap_count > 1)
        qsort(r->heap, r->heap_count, sizeof *r->heap, by_key);
    st = settle(r, &ids, err);
    if (st != ST_OK)
        return st;
    r->came_short = ids < wanted && (r->was_full || may_widen(r, wanted));
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
                                   .ordinal = row->ordinal,
                                   .position = row->position};
        if (row->inside && !cold_copy_id(r->arena, &out[i].id))
            out = NULL;
    }
    *hits = out;
    return out != NULL ? ST_OK : err_set(err, ST_NOMEM, "out of memory for an answer");
}
