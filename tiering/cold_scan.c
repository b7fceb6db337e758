/* Every row, streaming past the cache: payload blocks in waves of a few large ranges, then what
 * vectors are asked for of the rows that passed. Of a filter that payload indexes know, or that was
 * asked before, only blocks with rows that may pass; the id index where that has all that is asked
 * for. */
#include "tiering/cold_scan.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum {
    WAVE_BYTES = 8 * 1024 * 1024,
    GET_BYTES = 1024 * 1024,
    WAVE_BLOCKS = 2048,
    WAVE_ROWS = 4096, /* whose vectors are read together */
};

/* --- payload, block by block --- */

struct scan_wave {
    struct cold_span spans[WAVE_BLOCKS];
    struct cache_want wants[WAVE_BLOCKS];
};

static size_t plan_wave(struct scan_wave *w, const struct cold_segment *s, uint32_t first)
{
    uint64_t bytes = 0, run = 0;
    size_t count = 0;

    while (count < WAVE_BLOCKS && bytes < WAVE_BYTES && first + count < s->footer.payload_blocks) {
        struct cache_want *want = &w->wants[count];

        w->spans[count] = (struct cold_span){
            .segment = s, .kind = COLD_PAYLOAD_BLOCK, .first = first + (uint32_t)count};
        cold_want(&w->spans[count], true, want);
        want->joined = count > 0 && run + want->bytes <= GET_BYTES;
        run = want->joined ? run + want->bytes : want->bytes;
        bytes += want->bytes;
        count++;
    }
    return count;
}

status cold_scan_payload(struct cold_set *s, const struct cold_segment *segment,
                         const struct cold_terms *terms, cold_scan_fn *fn, void *arg,
                         struct cold_stats *stats, struct err *err)
{
    struct scan_wave *wave = mem_alloc(sizeof *wave);
    struct buf unpacked;
    status st = ST_OK;

    if (wave == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a scan");
    buf_init(&unpacked, COLD_PAYLOAD_BLOCK_BYTES_MAX);
    for (uint32_t at = 0; st == ST_OK && at < segment->footer.payload_blocks;) {
        size_t count = plan_wave(wave, segment, at);

        st = cold_read(s, terms, wave->wants, count, stats, err);
        for (size_t i = 0; st == ST_OK && i < count; i++) {
            st = cold_payload_each(&segment->footer, at + (uint32_t)i, wave->wants[i].body,
                                   &unpacked, fn, arg, err);
            if (st == ST_CORRUPT)
                (void)err_wrap(err, st, "cold segment %s", segment->key);
        }
        cache_give_back(s->cache, wave->wants, count);
        at += (uint32_t)count;
    }
    buf_free(&unpacked);
    mem_free(wave);
    return st;
}

/* --- rows --- */

struct pending { /* a row that waits for its vectors */
    struct cold_row row;
    uint32_t positions[COLD_FIELDS_MAX];
    size_t want; /* of its vector of the field that is read; SIZE_MAX: none */
};
struct scan {
    struct cold_set *set;
    uint32_t member;
    const struct filter *filter; /* NULL: those that come have passed it */
    unsigned what;
    uint64_t vectors;
    const struct cold_terms *terms;
    cold_row_fn *fn;
    void *arg;
    struct cold_stats *stats;
    const float **no_vectors;
    /* With vectors alone: rows of a batch, and what they are read with. */
    struct arena batch;
    struct pending *pending; /* WAVE_ROWS, as spans; twice as many wants */
    struct pending **sorted;
    struct cold_span *spans;
    struct cache_want *wants;
    size_t count;
};

static status no_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for a scan");
}

static int by_place(const void *a, const void *b, void *at)
{
    uint16_t position = *(uint16_t *)at;
    uint32_t x = (*(struct pending *const *)a)->positions[position];
    uint32_t y = (*(struct pending *const *)b)->positions[position];

    return x < y ? -1 : x > y;
}

/* The vectors of one field of the batch. Rows that lie beside each other do so too in the first
 * field, in others by chance: as they lie there, with what little is between. */
static size_t plan_vectors(struct scan *s, const struct cold_segment *segment, uint16_t position)
{
    uint64_t run = 0;
    size_t count = 0;

    for (size_t i = 0; i < s->count; i++)
        s->sorted[i] = &s->pending[i];
    qsort_r(s->sorted, s->count, sizeof *s->sorted, by_place, &position);
    for (size_t i = 0; i < s->count; i++) {
        struct pending *p = s->sorted[i];
        struct cold_span *span = &s->spans[i];
        struct cache_want want;

        p->want = SIZE_MAX;
        if (p->positions[position] == UINT32_MAX)
            continue;
        *span = (struct cold_span){.segment = segment,
                                   .kind = COLD_VECTORS,
                                   .position = position,
                                   .first = p->positions[position],
                                   .count = 1};
        cold_want(span, true, &want);
        want.joined = count > 0 && run + want.bytes <= GET_BYTES;
        if (want.joined && cold_want_gap(&s->wants[count - 1], &want, &s->wants[count]))
            run += s->wants[count++].bytes;
        run = want.joined ? run + want.bytes : want.bytes;
        p->want = count;
        s->wants[count++] = want;
    }
    return count;
}

static status take_vectors(struct scan *s, const struct cold_segment *segment, uint16_t position,
                           uint16_t place, struct err *err)
{
    for (size_t i = 0; i < s->count; i++) {
        float *values;

        if (s->pending[i].want == SIZE_MAX)
            continue;
        values = arena_array(&s->batch, segment->cells[position].dim, sizeof *values);
        if (values == NULL)
            return no_memory(err);
        cold_vector_at(&segment->footer, position, s->wants[s->pending[i].want].body, 0, values);
        s->pending[i].row.vectors[place] = values;
    }
    return ST_OK;
}

/* In one wave. */
static status read_vectors(struct scan *s, uint16_t place, struct err *err)
{
    const struct cold_segment *segment = s->set->members[s->member].segment;
    int position = segment->position_of[place];
    size_t count;
    status st;

    if (position < 0)
        return ST_OK;
    count = plan_vectors(s, segment, (uint16_t)position);
    st = cold_read(s->set, s->terms, s->wants, count, s->stats, err);
    if (st == ST_OK)
        st = take_vectors(s, segment, (uint16_t)position, place, err);
    cache_give_back(s->set->cache, s->wants, count);
    return st;
}

static status flush(struct scan *s, struct err *err)
{
    status st = ST_OK;

    for (uint16_t place = 0; st == ST_OK && place < s->set->field_count; place++)
        if ((s->vectors >> place & 1) != 0)
            st = read_vectors(s, place, err);
    for (size_t i = 0; st == ST_OK && i < s->count; i++)
        if (!cold_newer_than(s->terms, &s->pending[i].row.id, s->pending[i].row.lsn))
            st = s->fn(s->arg, &s->pending[i].row, err);
    s->count = 0;
    arena_reset(&s->batch);
    return st;
}

static bool copy(struct arena *arena, struct slice *s)
{
    uint8_t *at = arena_alloc(arena, s->bytes + 1);

    if (at == NULL)
        return false;
    if (s->bytes > 0)
        memcpy(at, s->data, s->bytes);
    s->data = at;
    return true;
}

static status keep(struct scan *s, const struct cold_row *row, const struct cold_payload_row *from,
                   struct err *err)
{
    struct pending *p = &s->pending[s->count];

    p->row = *row;
    p->row.vectors = arena_zero(&s->batch, (s->set->field_count + 1u) * sizeof *row->vectors);
    if (p->row.vectors == NULL || !cold_copy_id(&s->batch, &p->row.id) ||
        !copy(&s->batch, &p->row.external_id) || !copy(&s->batch, &p->row.payload))
        return no_memory(err);
    for (uint16_t i = 0; i < COLD_FIELDS_MAX; i++)
        p->positions[i] = UINT32_MAX;
    memcpy(p->positions, from->positions,
           s->set->members[s->member].segment->footer.field_count * sizeof p->positions[0]);
    s->count++;
    return s->count == WAVE_ROWS || s->batch.bytes > WAVE_BYTES ? flush(s, err) : ST_OK;
}

static status scan_row(void *arg, uint32_t ordinal, const struct cold_payload_row *row,
                       struct err *err)
{
    struct scan *s = arg;
    const struct cold_member *m = &s->set->members[s->member];
    struct cold_row out = {.found = true,
                           .id = row->id,
                           .lsn = row->lsn,
                           .inserted_at_ns = row->inserted_at_ns,
                           .vectors = s->no_vectors,
                           .segment = s->member,
                           .ordinal = ordinal};

    if (s->stats != NULL)
        s->stats->rows_scanned++;
    if (cold_member_dead(m, ordinal) || cold_newer_than(s->terms, &row->id, row->lsn) ||
        !cold_filter_row(m->segment, s->filter, row))
        return ST_OK;
    if ((s->what & COLD_PAYLOAD) != 0) {
        out.external_id = row->external_id;
        out.payload = row->payload;
    }
    return s->vectors == 0 ? s->fn(s->arg, &out, err) : keep(s, &out, row, err);
}

static status scan_prepare(struct scan *s, struct err *err)
{
    s->no_vectors = mem_zero_array(s->set->field_count + 1u, sizeof *s->no_vectors);
    if (s->no_vectors == NULL)
        return no_memory(err);
    if (s->vectors == 0)
        return ST_OK;
    s->pending = mem_alloc_array(WAVE_ROWS, sizeof *s->pending);
    s->sorted = mem_alloc_array(WAVE_ROWS, sizeof *s->sorted);
    s->spans = mem_alloc_array(WAVE_ROWS, sizeof *s->spans);
    s->wants = mem_alloc_array(2 * (size_t)WAVE_ROWS, sizeof *s->wants);
    return s->pending == NULL || s->sorted == NULL || s->spans == NULL || s->wants == NULL
               ? no_memory(err)
               : ST_OK;
}

static status scan_id(void *arg, uint32_t ordinal, const struct docid *id, uint64_t lsn,
                      struct err *err)
{
    struct scan *s = arg;
    struct cold_row out = {.found = true,
                           .id = *id,
                           .lsn = lsn,
                           .vectors = s->no_vectors,
                           .segment = s->member,
                           .ordinal = ordinal};

    if (s->stats != NULL)
        s->stats->rows_scanned++;
    if (cold_member_dead(&s->set->members[s->member], ordinal) ||
        cold_newer_than(s->terms, id, lsn))
        return ST_OK;
    return s->fn(s->arg, &out, err);
}

/* The rows of the member that may pass are known. */
static status scan_narrowed(struct scan *s, const struct cold_selection *may, struct err *err)
{
    const struct cold_segment *segment = s->set->members[s->member].segment;
    const struct filter *filter = s->filter;
    status st;

    if (may->exact)
        s->filter = NULL;
    if (may->exact && s->what == 0 && s->vectors == 0 && cold_scan_ids_pay(segment, may->bits))
        st = cold_scan_ids(s->set, segment, may->bits, s->terms, scan_id, s, s->stats, err);
    else
        st = cold_scan_some(s->set, segment, may->bits, s->terms, scan_row, s, s->stats, err);
    s->filter = filter;
    return st;
}

static status scan_member(struct scan *s, struct err *err)
{
    struct cold_selection *may = NULL;
    status st = ST_OK;

    if (!filter_is_all(s->filter))
        st = cold_narrow(s->set, s->member, s->filter, s->terms, s->stats, &may, err);
    if (st == ST_OK && may != NULL)
        st = scan_narrowed(s, may, err);
    else if (st == ST_OK)
        st = cold_scan_payload(s->set, s->set->members[s->member].segment, s->terms, scan_row, s,
                               s->stats, err);
    cold_selection_drop(may);
    return st == ST_OK ? flush(s, err) : st;
}

status cold_set_each(struct cold_set *set, const struct filter *filter, unsigned what,
                     uint64_t vectors, const struct cold_terms *terms, cold_row_fn *fn, void *arg,
                     struct cold_stats *stats, struct err *err)
{
    struct scan s = {.set = set,
                     .filter = filter,
                     .what = what,
                     .vectors = vectors,
                     .terms = terms,
                     .fn = fn,
                     .arg = arg,
                     .stats = stats};
    status st;

    arena_init(&s.batch, SIZE_MAX);
    st = scan_prepare(&s, err);
    for (; st == ST_OK && s.member < set->count; s.member++)
        st = scan_member(&s, err);
    arena_free(&s.batch);
    mem_free(s.no_vectors);
    mem_free(s.pending);
    mem_free(s.sorted);
    mem_free(s.spans);
    mem_free(s.wants);
    return st;
}
