#include "tests/support/fake_cold.h"

#include "base/exec.h"
#include "index/codes.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SEGMENTS = 3 };

struct cold_set {
    _Atomic int refs;
    void (*on_free)(void *arg);
    void *on_free_arg;
    uint64_t floor;
    struct fake_cold_field fields[FAKE_COLD_FIELDS];
    size_t field_count;
    struct fake_cold_row *rows;
    size_t count, room;
    bool sealed;
    struct fake_cold_ways *ways;
};

struct cold_set *fake_cold_create(const struct fake_cold_field *fields, size_t count,
                                  uint64_t floor, struct fake_cold_ways *ways)
{
    struct cold_set *s = calloc(1, sizeof *s);

    assert(s != NULL && count <= FAKE_COLD_FIELDS);
    s->refs = 1;
    s->floor = floor;
    s->ways = ways;
    s->field_count = count;
    if (count > 0)
        memcpy(s->fields, fields, count * sizeof *fields);
    return s;
}

static void *copy(const void *from, size_t bytes)
{
    void *to = malloc(bytes + 1);

    assert(to != NULL);
    if (bytes > 0)
        memcpy(to, from, bytes);
    return to;
}

static struct slice copy_slice(struct slice from)
{
    return slice_make(copy(from.data, from.bytes), from.bytes);
}

void fake_cold_add(struct cold_set *s, const struct fake_cold_row *row)
{
    struct fake_cold_row *out;

    assert(!s->sealed);
    if (s->count == s->room) {
        s->room = s->room == 0 ? 64 : 2 * s->room;
        s->rows = realloc(s->rows, s->room * sizeof *s->rows);
        assert(s->rows != NULL);
    }
    out = &s->rows[s->count++];
    *out = *row;
    if (row->id.kind == DOCID_BYTES)
        out->id.bytes = copy_slice(row->id.bytes);
    out->external_id = copy_slice(row->external_id);
    out->payload = copy_slice(row->payload);
    for (size_t i = 0; i < s->field_count; i++)
        if (row->vectors[i] != NULL)
            out->vectors[i] = copy(row->vectors[i], s->fields[i].dimension * sizeof(float));
}

void fake_cold_take(struct cold_set *to, struct cold_set *from,
                    bool (*stays)(void *arg, const struct docid *id, uint64_t lsn), void *arg)
{
    for (size_t i = 0; from != NULL && i < from->count; i++)
        if (stays(arg, &from->rows[i].id, from->rows[i].lsn))
            fake_cold_add(to, &from->rows[i]);
}

static int by_id(const void *a, const void *b)
{
    const struct fake_cold_row *x = a, *y = b;

    return docid_compare(&x->id, &y->id);
}

void fake_cold_seal(struct cold_set *s)
{
    if (s->count > 0)
        qsort(s->rows, s->count, sizeof *s->rows, by_id);
    s->sealed = true;
}

/* --- a set --- */

struct cold_set *cold_set_hold(struct cold_set *s)
{
    atomic_fetch_add(&s->refs, 1);
    if (s->ways != NULL)
        atomic_fetch_add(&s->ways->inside, 1);
    return s;
}

static void free_row(struct cold_set *s, struct fake_cold_row *row)
{
    if (row->id.kind == DOCID_BYTES)
        free((void *)(uintptr_t)row->id.bytes.data);
    free((void *)(uintptr_t)row->external_id.data);
    free((void *)(uintptr_t)row->payload.data);
    for (size_t i = 0; i < s->field_count; i++)
        free((void *)(uintptr_t)row->vectors[i]);
}

void cold_set_drop(struct cold_set *s)
{
    if (s == NULL)
        return;
    if (atomic_load(&s->refs) > 1 && s->ways != NULL)
        atomic_fetch_sub(&s->ways->inside, 1);
    if (atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    for (size_t i = 0; i < s->count; i++)
        free_row(s, &s->rows[i]);
    free(s->rows);
    if (s->on_free != NULL)
        s->on_free(s->on_free_arg);
    free(s);
}

bool cold_set_missing(const struct cold_set *s)
{
    (void)s;
    return false;
}

void cold_set_when_free(struct cold_set *s, void (*on_free)(void *arg), void *arg)
{
    s->on_free = on_free;
    s->on_free_arg = arg;
}

status cold_set_open(const struct cold_set_options *options, struct cold_set **out, struct err *err)
{
    (void)options;
    (void)out;
    return err_set(err, ST_UNSUPPORTED, "a fake has no bucket");
}

uint64_t cold_set_floor(const struct cold_set *s)
{
    return s->floor;
}

uint64_t cold_set_rows(const struct cold_set *s)
{
    return s->count;
}

bool cold_set_external_ids(const struct cold_set *s)
{
    return s->count > 0; /* no footer says otherwise */
}

uint32_t cold_set_segments(const struct cold_set *s)
{
    return s->count == 0 ? 0 : SEGMENTS;
}

uint64_t cold_set_resident_bytes(const struct cold_set *s)
{
    return s->count * 64;
}

/* --- a call --- */

static bool is_over(const struct cold_terms *terms)
{
    return (terms->stop != NULL && atomic_load(terms->stop)) ||
           (terms->deadline_ns != 0 && clock_mono_ns(clock_real()) > terms->deadline_ns);
}

static status begin(struct cold_set *s, const struct cold_terms *terms, struct cold_stats *stats,
                    struct err *err)
{
    const struct timespec ms = {.tv_nsec = 1000000};
    struct fake_cold_ways *w = s->ways;
    int fail;

    assert(s->sealed && atomic_load(&s->refs) > 0);
    if (stats != NULL) {
        stats->gets++;
        stats->waves++;
        stats->cache_misses++;
    }
    if (w == NULL)
        return ST_OK;
    atomic_fetch_add(&w->calls, 1);
    atomic_fetch_add(&w->gets, 1);
    if (exec_worker_index() >= 0 && exec_worker_index() < EXEC_WORKERS_MAX)
        atomic_fetch_add(&w->on_workers, 1);
    for (uint32_t i = atomic_load(&w->delay_ms); i > 0 && !is_over(terms); i--)
        (void)nanosleep(&ms, NULL);
    if (is_over(terms))
        return err_set(err, ST_TIMEOUT, "the time was over, says the fake");
    fail = atomic_load(&w->keep_failing) ? atomic_load(&w->fail) : atomic_exchange(&w->fail, ST_OK);
    return fail == ST_OK ? ST_OK : err_set(err, (status)fail, "segment 0 fails, says the fake");
}

static bool counts(const struct fake_cold_row *row, const struct cold_terms *terms)
{
    return terms->newer == NULL || !terms->newer(terms->newer_arg, &row->id, row->lsn);
}

static uint64_t bits_of(const struct cold_set *s, const struct fake_cold_row *row)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < s->field_count; i++)
        bits |= (uint64_t)(row->vectors[i] != NULL) << i;
    return bits;
}

static bool matches(const struct cold_set *s, const struct filter *f,
                    const struct fake_cold_row *row)
{
    return filter_is_all(f) ||
           filter_match(f, &(struct filter_row){&row->id, row->payload, bits_of(s, row)});
}

static bool keep(struct arena *arena, struct slice from, struct slice *out)
{
    uint8_t *to = arena_alloc(arena, from.bytes + 1);

    *out = (struct slice){0};
    if (to == NULL)
        return false;
    if (from.bytes == 0)
        return true;
    memcpy(to, from.data, from.bytes);
    *out = slice_make(to, from.bytes);
    return true;
}

static bool keep_id(struct arena *arena, const struct docid *from, struct docid *out)
{
    *out = *from;
    return from->kind != DOCID_BYTES || keep(arena, from->bytes, &out->bytes);
}

/* id, lsn and place; then what was asked for. */
static status fill(const struct cold_set *s, const struct fake_cold_row *row, unsigned what,
                   uint64_t vectors, struct arena *arena, struct cold_row *out, struct err *err)
{
    size_t ordinal = (size_t)(row - s->rows);
    bool fine;

    *out = (struct cold_row){.found = true,
                             .lsn = row->lsn,
                             .segment = (uint32_t)(ordinal % SEGMENTS),
                             .ordinal = (uint32_t)(ordinal / SEGMENTS)};
    fine = keep_id(arena, &row->id, &out->id);
    if (fine && (what & (COLD_PAYLOAD | COLD_EXTERNAL_ID)) != 0) {
        out->inserted_at_ns = row->inserted_at_ns;
        fine = keep(arena, row->external_id, &out->external_id) &&
               keep(arena, row->payload, &out->payload);
    }
    if (fine && vectors != 0) {
        out->vectors = arena_zero(arena, (s->field_count + 1) * sizeof *out->vectors);
        fine = out->vectors != NULL;
    }
    for (size_t i = 0; fine && vectors != 0 && i < s->field_count; i++) {
        size_t bytes = s->fields[i].dimension * sizeof(float);
        float *to;

        if ((vectors >> i & 1) == 0 || row->vectors[i] == NULL)
            continue;
        to = arena_alloc(arena, bytes);
        fine = to != NULL;
        if (fine)
            memcpy(to, row->vectors[i], bytes);
        out->vectors[i] = to;
    }
    return fine ? ST_OK : err_set(err, ST_NOMEM, "out of memory for a cold row");
}

static const struct fake_cold_row *find(const struct cold_set *s, const struct docid *id)
{
    const struct fake_cold_row key = {.id = *id};

    return s->count == 0 ? NULL : bsearch(&key, s->rows, s->count, sizeof *s->rows, by_id);
}

/* --- queries --- */

static int by_key(const void *a, const void *b)
{
    const struct cold_hit *x = a, *y = b;

    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return docid_compare(&x->id, &y->id);
}

static size_t position_of(const struct cold_set *s, uint16_t field)
{
    for (size_t i = 0; i < s->field_count; i++)
        if (s->fields[i].id == field)
            return i;
    assert(false);
    return 0;
}

status cold_set_query(struct cold_set *s, const struct cold_query *query,
                      const struct cold_terms *terms, struct arena *arena, struct cold_hit **hits,
                      uint32_t *count, bool *partial, struct cold_stats *stats, struct err *err)
{
    size_t field = position_of(s, query->field);
    const struct code_shape shape = code_shape(s->fields[field].metric, s->fields[field].dimension);
    struct cold_hit *all = malloc((s->count + 1) * sizeof *all);
    size_t n = 0, kept = 0;
    status st = begin(s, terms, stats, err);

    assert(all != NULL);
    *count = 0;
    *partial = s->ways != NULL && atomic_load(&s->ways->partial);
    for (size_t i = 0; st == ST_OK && i < s->count; i++) {
        const struct fake_cold_row *row = &s->rows[i];

        if (row->vectors[field] == NULL || !matches(s, query->filter, row) || !counts(row, terms))
            continue;
        all[n++] = (struct cold_hit){
            .id = row->id,
            .lsn = row->lsn,
            .key = full_key(&shape, kernels_get(), query->vector, row->vectors[field]),
            .segment = (uint32_t)(i % SEGMENTS),
            .ordinal = (uint32_t)(i / SEGMENTS)};
        stats->rows_scanned++;
    }
    if (n > 0)
        qsort(all, n, sizeof *all, by_key);
    *hits = arena_array(arena, (size_t)query->limit + 1, sizeof **hits);
    if (st == ST_OK && *hits == NULL)
        st = err_set(err, ST_NOMEM, "out of memory for hits");
    for (size_t i = 0; st == ST_OK && i < n && kept < query->limit; i += 1 + *partial) {
        (*hits)[kept] = all[i];
        if (!keep_id(arena, &all[i].id, &(*hits)[kept++].id))
            st = err_set(err, ST_NOMEM, "out of memory for hits");
    }
    free(all);
    *count = st == ST_OK ? (uint32_t)kept : 0;
    return st;
}

/* --- documents --- */

status cold_set_get(struct cold_set *s, const struct docid *ids, size_t count, unsigned what,
                    uint64_t vectors, const struct cold_terms *terms, struct arena *arena,
                    struct cold_row *out, struct cold_stats *stats, struct err *err)
{
    status st = begin(s, terms, stats, err);

    for (size_t i = 0; st == ST_OK && i < count; i++) {
        const struct fake_cold_row *row = find(s, &ids[i]);

        out[i] = (struct cold_row){0};
        if (row != NULL && counts(row, terms))
            st = fill(s, row, what, vectors, arena, &out[i], err);
    }
    return st;
}

status cold_set_rows_at(struct cold_set *s, struct cold_row *rows, size_t count, unsigned what,
                        uint64_t vectors, const struct cold_terms *terms, struct arena *arena,
                        struct cold_stats *stats, struct err *err)
{
    status st = begin(s, terms, stats, err);

    for (size_t i = 0; st == ST_OK && i < count; i++) {
        const struct fake_cold_row *row = &s->rows[rows[i].ordinal * SEGMENTS + rows[i].segment];

        assert(docid_equal(&row->id, &rows[i].id) && row->lsn == rows[i].lsn);
        st = fill(s, row, what, vectors, arena, &rows[i], err);
    }
    return st;
}

status cold_set_find(struct cold_set *s, const struct docid *ids, size_t count,
                     const struct cold_terms *terms, uint64_t *lsns, struct err *err)
{
    status st = begin(s, terms, NULL, err);

    for (size_t i = 0; st == ST_OK && i < count; i++) {
        const struct fake_cold_row *row = find(s, &ids[i]);

        lsns[i] = row != NULL && counts(row, terms) ? row->lsn : 0;
    }
    return st;
}

/* Fewer than are wanted, at times, though there are more. */
status cold_set_page(struct cold_set *s, const struct docid *after, uint32_t max,
                     const struct cold_terms *terms, struct arena *arena, struct cold_row *out,
                     uint32_t *count, struct err *err)
{
    status st = begin(s, terms, NULL, err);
    uint32_t most = max > 3 ? max - max / 3 : max;

    *count = 0;
    for (size_t i = 0; st == ST_OK && i < s->count && *count < most; i++) {
        const struct fake_cold_row *row = &s->rows[i];

        if ((after == NULL || docid_compare(&row->id, after) > 0) && counts(row, terms))
            st = fill(s, row, 0, 0, arena, &out[(*count)++], err);
    }
    return st;
}

status cold_set_each(struct cold_set *s, const struct filter *filter, unsigned what,
                     uint64_t vectors, const struct cold_terms *terms, cold_row_fn *fn, void *arg,
                     struct cold_stats *stats, struct err *err)
{
    status st = begin(s, terms, stats, err);

    for (size_t segment = 0; segment < SEGMENTS; segment++) {
        for (size_t i = segment; st == ST_OK && i < s->count; i += SEGMENTS) {
            const struct fake_cold_row *row = &s->rows[s->count - 1 - i];
            struct cold_row told;
            struct arena arena;

            if (i % 64 == 0 && is_over(terms))
                return err_set(err, ST_TIMEOUT, "the time was over, says the fake");
            stats->filter_rows++;
            if (!matches(s, filter, row) || !counts(row, terms))
                continue;
            arena_init(&arena, SIZE_MAX);
            st = fill(s, row, what, vectors, &arena, &told, err);
            if (st == ST_OK)
                st = fn(arg, &told, err);
            arena_free(&arena);
        }
    }
    return st;
}

/* --- rows that match: known every second time --- */

struct cold_matches {
    uint64_t count;
    bool has[];
};

status cold_set_matches(struct cold_set *s, const struct filter *filter,
                        const struct cold_terms *terms, struct cold_stats *stats,
                        struct cold_matches **out, struct err *err)
{
    static _Atomic uint32_t asked;

    (void)terms;
    (void)stats;
    (void)err;
    *out = NULL;
    if (atomic_fetch_add(&asked, 1) % 2 == 0)
        return ST_OK;
    *out = calloc(1, sizeof **out + s->count * sizeof(bool));
    assert(*out != NULL);
    for (size_t i = 0; i < s->count; i++) {
        (*out)->has[i] = matches(s, filter, &s->rows[i]);
        (*out)->count += (*out)->has[i];
    }
    return ST_OK;
}

void cold_matches_drop(struct cold_matches *m)
{
    free(m);
}

uint64_t cold_matches_count(const struct cold_matches *m)
{
    return m->count;
}

bool cold_matches_has(const struct cold_matches *m, uint32_t segment, uint32_t ordinal)
{
    return m->has[ordinal * SEGMENTS + segment];
}

/* --- the cache by hand --- */

status cold_set_warm(struct cold_set *s, const struct cold_terms *terms, uint64_t *bytes,
                     struct err *err)
{
    *bytes = 64 * s->count;
    return begin(s, terms, NULL, err);
}

uint64_t cold_set_unload(struct cold_set *s)
{
    return 64 * s->count;
}
