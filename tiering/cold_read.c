/* What is asked of the cache for a cold segment: where it lies, and how it is checked. And the
 * cache by hand. */
#include "base/mem.h"
#include "segment/cold_index.h"
#include "tiering/cold_internal.h"

#include <assert.h>
#include <stdatomic.h>

/* Short codes are scanned in groups. */
static status group_codes(const struct cold_span *span, uint8_t *body, size_t bytes,
                          struct err *err)
{
    const struct cells *c = &span->segment->cells[span->position];
    const struct rabitq_shape shape = {c->dim, c->short_bits};
    const uint32_t rows = c->coarse_first_row[span->first + 1] - c->coarse_first_row[span->first];
    const size_t code = rabitq_code_bytes(shape);
    uint8_t *scratch = mem_alloc_array(KERNEL_GROUP, code);

    if (scratch == NULL)
        return err_set(err, ST_NOMEM, "out of memory for short codes");
    rabitq_group(shape, body + bytes - rows * code, rows, scratch);
    mem_free(scratch);
    return ST_OK;
}

static status check_span(void *arg, uint8_t *body, size_t bytes, struct err *err)
{
    const struct cold_span *span = arg;
    const struct cold_footer *f = &span->segment->footer;
    struct slice slice = slice_make(body, bytes);
    const uint8_t *codes;
    status st = ST_BUG;

    switch (span->kind) {
    case COLD_RECORDS:
        st = cold_records_check(f, span->position, span->first, slice, err);
        break;
    case COLD_CODES:
        st = cold_codes_check(f, span->position, span->first, slice, &codes, err);
        if (st == ST_OK)
            st = group_codes(span, body, bytes, err);
        break;
    case COLD_VECTORS:
        st = cold_vectors_check(f, span->position, span->first, slice, err);
        break;
    case COLD_PAYLOAD_BLOCK:
        st = cold_payload_check(f, span->first, slice, err);
        break;
    case COLD_ID_BLOCK:
        st = cold_id_check(f, span->first, slice, err);
        break;
    case COLD_INDEX_BLOCK:
        st = cold_index_check(f, span->first, slice, err);
        break;
    }
    return st == ST_OK ? ST_OK : err_wrap(err, st, "cold segment %s", span->segment->key);
}

static void range_of(const struct cold_span *span, uint64_t *offset, uint64_t *bytes)
{
    const struct cold_footer *f = &span->segment->footer;

    switch (span->kind) {
    case COLD_RECORDS:
        cold_records_range(f, span->position, span->first, span->count, offset, bytes);
        break;
    case COLD_CODES:
        cold_codes_range(f, span->position, span->first, offset, bytes);
        break;
    case COLD_VECTORS:
        cold_vectors_range(f, span->position, span->first, span->count, offset, bytes);
        break;
    case COLD_PAYLOAD_BLOCK:
        cold_payload_range(f, span->first, offset, bytes);
        break;
    case COLD_ID_BLOCK:
        cold_id_range(f, span->first, offset, bytes);
        break;
    case COLD_INDEX_BLOCK:
        cold_index_range(f, span->first, offset, bytes);
        break;
    }
}

void cold_want(const struct cold_span *span, bool scan, struct cache_want *want)
{
    static const enum cache_class CLASSES[] = {
        [COLD_RECORDS] = CACHE_ROWS,    [COLD_CODES] = CACHE_CODES,
        [COLD_VECTORS] = CACHE_PAYLOAD, [COLD_PAYLOAD_BLOCK] = CACHE_PAYLOAD,
        [COLD_ID_BLOCK] = CACHE_IDS,    [COLD_INDEX_BLOCK] = CACHE_IDS};

    *want = (struct cache_want){.object = span->segment->named.object.uuid,
                                .key = span->segment->key,
                                .class = scan ? CACHE_SCAN : CLASSES[span->kind],
                                .check = check_span,
                                .check_arg = (void *)(uintptr_t)span};
    range_of(span, &want->offset, &want->bytes);
}

void cold_want_between(const struct cache_want *before, const struct cache_want *next,
                       struct cache_want *gap)
{
    uint64_t from = before->offset + before->bytes;

    *gap = (struct cache_want){.object = next->object,
                               .key = next->key,
                               .offset = from,
                               .bytes = next->offset - from,
                               .class = CACHE_SCAN,
                               .joined = true,
                               .gap = true};
}

bool cold_want_gap(const struct cache_want *before, const struct cache_want *next,
                   struct cache_want *gap)
{
    uint64_t from = before->offset + before->bytes;

    if (next->offset <= from || next->offset - from > COLD_GAP_BYTES)
        return false;
    cold_want_between(before, next, gap);
    return true;
}

static status read_by(struct cold_set *s, const struct cold_terms *terms, enum objstore_pool pool,
                      struct cache_want *wants, size_t count, struct cold_stats *stats,
                      struct err *err)
{
    struct cache_counts counts = {0};
    const struct cache_terms t = {.account = s->account,
                                  .deadline_ns = terms->deadline_ns,
                                  .stop = terms->stop,
                                  .pool = pool,
                                  .counts = &counts,
                                  .budget = terms->budget};
    status st;

    if (count == 0)
        return ST_OK;
    st = cache_read(s->cache, &t, wants, count, err);
    for (size_t i = 0; st != ST_OK && i < count; i++)
        if (wants[i].st == ST_NOT_FOUND)
            atomic_store_explicit(&s->missing, true, memory_order_relaxed);
    if (stats != NULL) {
        stats->gets += counts.gets;
        stats->bytes += counts.get_bytes;
        stats->cache_hits += counts.hits;
        stats->cache_misses += counts.misses;
        stats->waves += counts.misses > 0;
    }
    return st;
}

void cold_borrow(struct cold_set *s, const struct cold_terms *terms, struct cache_want *wants,
                 size_t count, struct cold_stats *stats)
{
    struct cache_counts counts = {0};
    const struct cache_terms t = {.account = s->account, .stop = terms->stop, .counts = &counts};

    if (count > 0)
        cache_borrow(s->cache, &t, wants, count);
    if (stats != NULL)
        stats->cache_hits += counts.hits;
}

/* What passes by the cache is long and does not hold up what is short. */
status cold_read(struct cold_set *s, const struct cold_terms *terms, struct cache_want *wants,
                 size_t count, struct cold_stats *stats, struct err *err)
{
    bool scan = count > 0 && wants[0].class == CACHE_SCAN;

    return read_by(s, terms, scan ? OBJSTORE_BULK : OBJSTORE_FOREGROUND, wants, count, stats, err);
}

status cold_read_wave(struct cold_set *s, const struct cold_terms *terms, struct cache_want *wants,
                      size_t count, struct cold_stats *stats, struct err *err)
{
    return read_by(s, terms, OBJSTORE_FOREGROUND, wants, count, stats, err);
}

size_t cold_cell_spans(const struct cold_segment *s, uint16_t position, uint32_t first,
                       uint32_t count, struct cold_span *spans)
{
    const struct cells *c = &s->cells[position];
    uint32_t end = first + count, coarse = cells_coarse_of(c, first);
    size_t found = 0;

    assert(count > 0 && end <= c->rows);
    for (; coarse < c->coarse && c->coarse_first_row[coarse] < end; coarse++) {
        uint32_t at = c->coarse_first_row[coarse];

        for (uint32_t i = c->coarse_first_fine[coarse];
             i < c->coarse_first_fine[coarse + 1] && at < end; i++) {
            uint32_t to = at + c->fine_rows[i];

            for (uint32_t rows; at < to && at < end; at += rows) {
                rows = to - at < COLD_BLOCK_ROWS_MAX ? to - at : COLD_BLOCK_ROWS_MAX;
                if (at + rows <= first)
                    continue;
                if (spans != NULL)
                    spans[found] = (struct cold_span){.segment = s,
                                                      .kind = COLD_RECORDS,
                                                      .position = position,
                                                      .first = at,
                                                      .count = rows};
                found++;
            }
            at = to;
        }
    }
    return found;
}

/* --- by hand --- */

enum { WARM_WAVE_BYTES = 8 * 1024 * 1024, WARM_GET_BYTES = 1024 * 1024, WARM_WANTS = 2048 };

struct warming {
    struct cold_set *set;
    const struct cold_terms *terms;
    struct cold_span *spans; /* WARM_WANTS of both */
    struct cache_want *wants;
    size_t count;
    uint64_t bytes, run_bytes; /* of the wave, of its last GET */
    uint64_t room, warmed;
};

static status warm_flush(struct warming *w, struct err *err)
{
    struct cold_stats stats = {0};
    status st = read_by(w->set, w->terms, OBJSTORE_BULK, w->wants, w->count, &stats, err);

    cache_give_back(w->set->cache, w->wants, w->count);
    w->warmed += w->bytes;
    w->count = 0;
    w->bytes = w->run_bytes = 0;
    return st;
}

/* ST_LIMIT without a text: there is no more room. */
static status warm_add(struct warming *w, const struct cold_span *span, struct err *err)
{
    struct cache_want *want = &w->wants[w->count];

    w->spans[w->count] = *span;
    cold_want(&w->spans[w->count], false, want);
    if (want->bytes > w->room)
        return ST_LIMIT;
    w->room -= want->bytes;
    want->joined = w->run_bytes > 0 && w->run_bytes + want->bytes <= WARM_GET_BYTES;
    w->run_bytes = want->joined ? w->run_bytes + want->bytes : want->bytes;
    w->bytes += want->bytes;
    w->count++;
    return w->count == WARM_WANTS || w->bytes >= WARM_WAVE_BYTES ? warm_flush(w, err) : ST_OK;
}

static status warm_codes(struct warming *w, const struct cold_segment *s, struct err *err)
{
    status st = ST_OK;

    for (uint16_t p = 0; p < s->footer.field_count; p++)
        for (uint32_t i = 0; st == ST_OK && i < s->cells[p].coarse; i++)
            st = warm_add(
                w, &(struct cold_span){.segment = s, .kind = COLD_CODES, .position = p, .first = i},
                err);
    return st;
}

static status warm_rows(struct warming *w, const struct cold_segment *s, struct err *err)
{
    status st = ST_OK;

    for (uint16_t p = 0; p < s->footer.field_count; p++) {
        const struct cells *c = &s->cells[p];

        for (uint32_t i = 0; st == ST_OK && i < c->coarse; i++) {
            uint32_t first = c->coarse_first_row[i], count = c->coarse_first_row[i + 1] - first;
            size_t found = count == 0 ? 0 : cold_cell_spans(s, p, first, count, NULL);
            struct cold_span *spans = mem_alloc_array(found + 1, sizeof *spans);

            if (spans == NULL)
                return err_set(err, ST_NOMEM, "out of memory for warming the cache");
            if (found > 0)
                (void)cold_cell_spans(s, p, first, count, spans);
            for (size_t k = 0; st == ST_OK && k < found; k++)
                st = warm_add(w, &spans[k], err);
            mem_free(spans);
        }
    }
    return st;
}

static status warm_kind(struct warming *w,
                        status (*kind)(struct warming *w, const struct cold_segment *s,
                                       struct err *err),
                        uint64_t room, struct err *err)
{
    status st = ST_OK;

    w->room = room;
    for (uint32_t i = 0; st == ST_OK && i < w->set->count; i++)
        st = kind(w, w->set->members[i].segment, err);
    if (st == ST_OK || st == ST_LIMIT)
        st = warm_flush(w, err);
    return st;
}

static uint64_t room_left(struct cache *c)
{
    struct cache_status now;

    cache_status(c, &now);
    return now.bytes < now.bytes_max ? (now.bytes_max - now.bytes) / 8 * 7 : 0;
}

status cold_set_warm(struct cold_set *s, const struct cold_terms *terms, uint64_t *bytes,
                     struct err *err)
{
    struct warming w = {.set = s,
                        .terms = terms,
                        .spans = mem_alloc_array(WARM_WANTS, sizeof *w.spans),
                        .wants = mem_alloc_array(WARM_WANTS, sizeof *w.wants)};
    status st = ST_OK;

    if (w.spans == NULL || w.wants == NULL)
        st = err_set(err, ST_NOMEM, "out of memory for warming the cache");
    if (st == ST_OK)
        st = warm_kind(&w, warm_codes, cache_room(s->cache), err);
    if (st == ST_OK)
        st = warm_kind(&w, warm_rows, room_left(s->cache), err);
    *bytes = w.warmed;
    mem_free(w.spans);
    mem_free(w.wants);
    return st;
}

uint64_t cold_set_unload(struct cold_set *s)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < s->count; i++)
        bytes += cache_forget(s->cache, s->members[i].segment->named.object.uuid);
    return bytes;
}
