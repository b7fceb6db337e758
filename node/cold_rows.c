/* The first cold rows that match, in the order of their ids.
 *
 * Ids a filter names are asked for; else the order of ids is walked and each row asked, which ends
 * soon where many match. When the walk has asked many rows in vain all are read once, in the order
 * in which they lie, and the first of those that match are kept. Where payload indexes say which
 * rows match a walk reads nothing but ids, and so goes further; where these are few it does not
 * begin. */
#include "node/cold_reads.h"
#include "node/select.h"

#include <stdlib.h>

enum {
    PAGE_MIN = 64,
    PAGE_MAX = 4096,
    WALKED_MIN = 512,
    WALKED_EACH = 8,
    WALKED_BY_IDS = 16384, /* at least, where no row is asked */
};

bool cold_asks_vectors(const struct filter *f)
{
    if (f == NULL)
        return false;
    for (size_t i = 0; i < f->child_count; i++)
        if (cold_asks_vectors(f->children[i]))
            return true;
    return f->kind == FILTER_HAS_VECTOR;
}

struct finding {
    struct cold_reads *r;
    const struct filter *filter; /* NULL: all */
    const struct docid *from;
    size_t max;
    struct arena *arena;
    struct err *err;
    struct cold_row *rows; /* in id order; while all are read, a heap with the last one first */
    size_t count;
    struct docid after;
    bool has_after;
    struct cold_matches *known; /* which rows match; NULL: they are asked */
};

static status no_memory(struct finding *f)
{
    return err_set(f->err, ST_NOMEM, "out of memory for %zu rows", f->max);
}

static uint64_t vectors_of_row(const struct finding *f, const struct cold_row *row)
{
    uint64_t bits = 0;

    for (size_t i = 0; row->vectors != NULL && i < f->r->c->field_count; i++)
        bits |= (uint64_t)(row->vectors[i] != NULL) << i;
    return bits;
}

static bool matches(const struct finding *f, const struct cold_row *row)
{
    const struct filter_row asked = {&row->id, row->payload, vectors_of_row(f, row)};

    if (f->known != NULL)
        return cold_matches_has(f->known, row->segment, row->ordinal);
    return f->filter == NULL || filter_match(f->filter, &asked);
}

static uint64_t vectors_asked(const struct finding *f)
{
    return cold_asks_vectors(f->filter) ? cold_all_fields(f->r->c) : 0;
}

/* What was read to decide is not kept. */
static struct cold_row place_of(const struct cold_row *row)
{
    return (struct cold_row){.found = true,
                             .id = row->id,
                             .lsn = row->lsn,
                             .segment = row->segment,
                             .ordinal = row->ordinal};
}

/* --- ids that are named --- */

static int rows_by_id(const void *a, const void *b)
{
    const struct cold_row *x = a, *y = b;

    return docid_compare(&x->id, &y->id);
}

static status find_named(struct finding *f, const struct docid *ids, size_t count)
{
    struct cold_row *rows = arena_zero(f->arena, (count + 1) * sizeof *rows);
    size_t kept = 0;
    status st;

    if (rows == NULL)
        return no_memory(f);
    f->rows = rows;
    if (count == 0)
        return ST_OK;
    st = cold_set_get(f->r->set, ids, count, COLD_PAYLOAD, vectors_asked(f), &f->r->terms, f->arena,
                      rows, &f->r->stats, f->err);
    for (size_t i = 0; st == ST_OK && i < count; i++)
        if (rows[i].found && (f->from == NULL || docid_compare(&rows[i].id, f->from) >= 0) &&
            matches(f, &rows[i]))
            rows[f->count++] = place_of(&rows[i]);
    if (st != ST_OK || f->count == 0)
        return st;
    qsort(rows, f->count, sizeof *rows, rows_by_id);
    for (size_t i = 0; i < f->count && kept < f->max; i++)
        if (kept == 0 || !docid_equal(&rows[i].id, &rows[kept - 1].id))
            rows[kept++] = rows[i];
    f->count = kept;
    return ST_OK;
}

/* --- walking the order of ids --- */

/* Rows of a page that match go to f; what is read of them lives in `page`. */
static status take_page(struct finding *f, struct cold_row *rows, uint32_t count,
                        struct arena *page)
{
    status st = ST_OK;

    if (f->filter != NULL && f->known == NULL && count > 0)
        st = cold_set_rows_at(f->r->set, rows, count, COLD_PAYLOAD, vectors_asked(f), &f->r->terms,
                              page, &f->r->stats, f->err);
    for (uint32_t i = 0; st == ST_OK && i < count && f->count < f->max; i++) {
        struct cold_row *out = &f->rows[f->count];

        /* What is not found any more has a newer record: in the head, or a tombstone. */
        if (f->filter != NULL && (!rows[i].found || !matches(f, &rows[i])))
            continue;
        *out = place_of(&rows[i]);
        if (!keep_id(f->arena, &rows[i].id, &out->id))
            return no_memory(f);
        f->count++;
    }
    return st;
}

/* `from` itself; pages go on behind what they are told. */
static status take_from(struct finding *f)
{
    struct cold_row row = {0};
    struct arena page;
    status st;

    arena_init(&page, SIZE_MAX);
    st = cold_set_get(f->r->set, f->from, 1, f->filter != NULL ? COLD_PAYLOAD : 0, vectors_asked(f),
                      &f->r->terms, &page, &row, &f->r->stats, f->err);
    if (st == ST_OK && row.found && matches(f, &row)) {
        f->rows[f->count] = place_of(&row);
        f->rows[f->count++].id = *f->from;
    }
    arena_free(&page);
    f->after = *f->from;
    f->has_after = true;
    return st;
}

static status walk_page(struct finding *f, uint32_t size, uint32_t *seen)
{
    struct cold_row *rows;
    struct arena page;
    status st = ST_OK;

    arena_init(&page, SIZE_MAX); /* a page's rows bound it */
    rows = arena_zero(&page, size * sizeof *rows);
    *seen = 0;
    if (rows == NULL)
        st = no_memory(f);
    if (st == ST_OK)
        st = cold_set_page(f->r->set, f->has_after ? &f->after : NULL, size, &f->r->terms, &page,
                           rows, seen, f->err);
    if (st == ST_OK)
        st = take_page(f, rows, *seen, &page);
    if (st == ST_OK && *seen > 0) {
        f->has_after = true;
        if (!keep_id(f->arena, &rows[*seen - 1].id, &f->after))
            st = no_memory(f);
    }
    arena_free(&page);
    return st;
}

/* How many rows a walk may ask, or only meet. */
static size_t walked_most(const struct finding *f)
{
    size_t most = WALKED_MIN + WALKED_EACH * f->max;

    if (f->known == NULL)
        return most;
    if (cold_matches_count(f->known) < WALKED_MIN)
        return 0;
    return most > WALKED_BY_IDS ? most : WALKED_BY_IDS;
}

static uint32_t page_size(const struct finding *f)
{
    size_t left = f->max - f->count;

    if (f->known != NULL && left < PAGE_MAX / 4)
        left = PAGE_MAX / 4;
    return left < PAGE_MIN ? PAGE_MIN : left > PAGE_MAX ? PAGE_MAX : (uint32_t)left;
}

/* *more: many were asked and too few of them matched. */
static status walk(struct finding *f, bool *more)
{
    size_t bound = walked_most(f);
    uint32_t size = page_size(f);
    size_t walked = 0;
    uint32_t seen = 0;
    status st = ST_OK;

    *more = false;
    do {
        *more = f->filter != NULL && walked >= bound;
        if (*more)
            return ST_OK;
        st = walk_page(f, size, &seen);
        walked += seen;
    } while (st == ST_OK && seen > 0 && f->count < f->max);
    return st;
}

/* --- reading all --- */

static void sink(struct finding *f, size_t at)
{
    struct cold_row row = f->rows[at];

    for (;;) {
        size_t child = 2 * at + 1;

        if (child + 1 < f->count && docid_compare(&f->rows[child + 1].id, &f->rows[child].id) > 0)
            child++;
        if (child >= f->count || docid_compare(&f->rows[child].id, &row.id) <= 0)
            break;
        f->rows[at] = f->rows[child];
        at = child;
    }
    f->rows[at] = row;
}

static void rise(struct finding *f, size_t at)
{
    struct cold_row row = f->rows[at];

    for (; at > 0 && docid_compare(&row.id, &f->rows[(at - 1) / 2].id) > 0; at = (at - 1) / 2)
        f->rows[at] = f->rows[(at - 1) / 2];
    f->rows[at] = row;
}

static status offer(void *arg, const struct cold_row *row, struct err *err)
{
    struct finding *heap = arg;
    struct cold_row kept = place_of(row);

    (void)err;
    if (heap->has_after && docid_compare(&row->id, &heap->after) <= 0)
        return ST_OK;
    if (heap->count == heap->max && docid_compare(&row->id, &heap->rows[0].id) >= 0)
        return ST_OK;
    if (!keep_id(heap->arena, &row->id, &kept.id))
        return no_memory(heap);
    if (heap->count < heap->max) {
        heap->rows[heap->count] = kept;
        rise(heap, heap->count++);
    } else {
        heap->rows[0] = kept;
        sink(heap, 0);
    }
    return ST_OK;
}

static status read_all(struct finding *f)
{
    struct finding heap = *f;
    status st;

    heap.rows = f->rows + f->count;
    heap.max = f->max - f->count;
    heap.count = 0;
    if (heap.max == 0)
        return ST_OK;
    st =
        cold_set_each(f->r->set, f->filter, 0, 0, &f->r->terms, offer, &heap, &f->r->stats, f->err);
    if (st == ST_OK && heap.count > 0)
        qsort(heap.rows, heap.count, sizeof *heap.rows, rows_by_id);
    f->count += heap.count;
    return st;
}

status cold_first(struct cold_reads *r, const struct filter *filter, const struct docid *from,
                  size_t max, struct arena *arena, struct cold_row **out, size_t *count,
                  struct err *err)
{
    uint64_t rows = r->set == NULL ? 0 : cold_set_rows(r->set);
    struct finding f = {.r = r,
                        .filter = filter_is_all(filter) ? NULL : filter,
                        .from = from,
                        .max = max < rows ? max : (size_t)rows,
                        .arena = arena,
                        .err = err};
    const struct filter *ids = f.filter == NULL ? NULL : select_ids(f.filter);
    bool more = false;
    status st = ST_OK;

    *out = NULL;
    *count = 0;
    if (f.max == 0)
        return ST_OK;
    if (ids != NULL) {
        st = find_named(&f, ids->ids, ids->id_count);
    } else {
        f.rows = arena_zero(arena, f.max * sizeof *f.rows);
        if (f.rows == NULL)
            return no_memory(&f);
        if (f.filter != NULL)
            st = cold_set_matches(r->set, f.filter, &r->terms, &r->stats, &f.known, err);
        if (st == ST_OK && from != NULL)
            st = take_from(&f);
        if (st == ST_OK && f.count < f.max)
            st = walk(&f, &more);
        if (st == ST_OK && more)
            st = read_all(&f);
    }
    cold_matches_drop(f.known);
    *out = f.rows;
    *count = f.count;
    return st;
}
