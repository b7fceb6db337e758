/* Which row lies where in a new segment. The order of the first field's cells is the order of all
 * (docs/formats/cold-segment.md); rows without its vector come behind, in order of ids. */
#include "base/mem.h"
#include "snapshot/fold_internal.h"

#include <stdlib.h>

static uint32_t *numbers(size_t count, struct err *err, status *st)
{
    uint32_t *list = mem_alloc_array(count, sizeof *list);

    if (list == NULL && *st == ST_OK)
        *st = err_set(err, ST_NOMEM, "out of memory for the order of a fold's rows");
    return list;
}

/* --- ids --- */

static int by_id(const void *a, const void *b, void *arg)
{
    const struct spool_item *items = arg;

    return docid_compare(&items[*(const uint32_t *)a].id, &items[*(const uint32_t *)b].id);
}

static bool is_kept(const struct spool_item *i)
{
    return !i->tombstone && !i->gone;
}

static status sort_ids(struct fold_order *w, struct cold_ids_seen *seen, struct err *err)
{
    const struct spool *s = w->s;
    char text[DOCID_TEXT_BYTES];
    uint32_t rows = 0;

    w->lsn_min = UINT64_MAX;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct spool_item *item = &s->items[i];

        if (!is_kept(item))
            continue;
        w->by_id[rows++] = i;
        cold_ids_note(seen, &item->id);
        if (item->lsn < w->lsn_min)
            w->lsn_min = item->lsn;
        if (item->lsn > w->lsn_max)
            w->lsn_max = item->lsn;
    }
    qsort_r(w->by_id, rows, sizeof *w->by_id, by_id, s->items);
    for (uint32_t i = 1; i < rows; i++)
        if (docid_equal(&s->items[w->by_id[i - 1]].id, &s->items[w->by_id[i]].id)) {
            (void)docid_format(&s->items[w->by_id[i]].id, text);
            return err_set(err, ST_CORRUPT, "id %s lives in two cold segments", text);
        }
    cold_ids_form(seen, &w->id_form, &w->id_bytes);
    return ST_OK;
}

/* Where long ids will stand in the id index: records name the block. */
static status place_ids(struct fold_order *w, struct err *err)
{
    struct cold_id_packer packer = {0};
    const struct spool *s = w->s;
    status st = ST_OK;

    w->place_of = numbers(s->count, err, &st);
    for (uint32_t i = 0; st == ST_OK && i < w->rows; i++)
        w->place_of[w->by_id[i]] = cold_id_pack(&packer, &s->items[w->by_id[i]].id);
    return st;
}

/* --- cells --- */

struct members { /* the rows of a field, for index/cells.h */
    const struct spool *s;
    size_t field;
    const uint32_t *items;
};

static const float *member_at(void *arg, uint32_t row)
{
    const struct members *m = arg;

    return spool_vector(m->s, m->field, m->items[row]);
}

static status members_of(struct fold_order *w, size_t field, struct err *err)
{
    struct fold_field *out = &w->fields[field];
    const struct spool *s = w->s;
    status st = ST_OK;

    out->items = numbers(w->rows, err, &st);
    for (uint32_t i = 0; st == ST_OK && i < s->count; i++)
        if (is_kept(&s->items[i]) && (s->items[i].fields >> field & 1) != 0)
            out->items[out->rows++] = i;
    return st;
}

static status make_cells(struct fold_order *w, size_t field, uint64_t seed,
                         const _Atomic bool *stop, struct err *err)
{
    struct fold_field *out = &w->fields[field];
    struct members members = {.s = w->s, .field = field, .items = out->items};
    const struct cells_source source = {.at = member_at, .arg = &members};
    const struct cells_options options = {.dim = w->schema->fields[field].dim,
                                          .metric = (enum vmetric)w->schema->fields[field].metric,
                                          .rows = out->rows,
                                          .seed = seed + field,
                                          .stop = stop};
    status st = cells_build(&options, &source, &out->build, err);
    uint32_t *items = NULL;

    if (st != ST_OK)
        return st;
    out->built = true;
    if (out->rows > 0)
        st = spool_status(w->s, field, err);
    if (st != ST_OK)
        return st;
    items = numbers(out->rows, err, &st);
    for (uint32_t p = 0; st == ST_OK && p < out->rows; p++)
        items[p] = out->items[out->build.order[p]];
    mem_free(out->items);
    out->items = items;
    return st;
}

static void describe(struct fold_order *w, size_t field)
{
    const struct cells *c = &w->fields[field].build.cells;

    w->cold_fields[field] = (struct cold_field){
        .field = w->schema->fields[field].id,
        .dim = w->schema->fields[field].dim,
        .metric = (uint8_t)w->schema->fields[field].metric,
        .short_bits = c->short_bits,
        .rows = w->fields[field].rows,
        .coarse = c->coarse,
        .fine = c->fine,
        .signs = c->signs,
        .mean = c->mean,
        .coarse_codes = c->coarse_codes,
        .fine_codes = c->fine_codes,
        .fine_rows = c->fine_rows,
        .fine_spread = c->fine_spread,
        .worth = c->worth,
        .coarse_first_fine = c->coarse_first_fine,
        .coarse_first_row = c->coarse_first_row,
    };
}

static status order_field(struct fold_order *w, size_t field, uint64_t seed,
                          const _Atomic bool *stop, struct err *err)
{
    status st = members_of(w, field, err);

    if (st == ST_OK)
        st = make_cells(w, field, seed, stop, err);
    if (st != ST_OK)
        return err_wrap(err, st, "vector field %u", w->schema->fields[field].id);
    describe(w, field);
    if (field == 0)
        return ST_OK;
    w->position_of[field] = numbers(w->s->count, err, &st);
    for (uint32_t p = 0; st == ST_OK && p < w->fields[field].rows; p++)
        w->position_of[field][w->fields[field].items[p]] = p;
    return st;
}

static void order_rows(struct fold_order *w)
{
    uint32_t rows = 0;

    if (w->schema->field_count > 0)
        for (; rows < w->fields[0].rows; rows++)
            w->by_ordinal[rows] = w->fields[0].items[rows];
    for (uint32_t i = 0; i < w->rows; i++)
        if (w->schema->field_count == 0 || (w->s->items[w->by_id[i]].fields & 1) == 0)
            w->by_ordinal[rows++] = w->by_id[i];
    for (uint32_t ordinal = 0; ordinal < rows; ordinal++)
        w->ordinal_of[w->by_ordinal[ordinal]] = ordinal;
}

/* --- all of it --- */

static status make_room(struct fold_order *w, struct err *err)
{
    size_t fields = w->schema->field_count;
    status st = ST_OK;

    w->by_id = numbers(w->rows, err, &st);
    w->by_ordinal = numbers(w->rows, err, &st);
    w->ordinal_of = numbers(w->s->count, err, &st);
    w->fields = mem_zero_array(fields, sizeof *w->fields);
    w->cold_fields = mem_zero_array(fields, sizeof *w->cold_fields);
    w->position_of = mem_zero_array(fields, sizeof *w->position_of);
    if (w->fields == NULL || w->cold_fields == NULL || w->position_of == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a fold");
    return st;
}

status fold_order_make(const struct spool *s, const struct catalog_collection *schema,
                       uint64_t seed, const _Atomic bool *stop, struct fold_order *out,
                       struct err *err)
{
    struct cold_ids_seen seen = {.longest = 0};
    status st;

    *out = (struct fold_order){.s = s, .schema = schema, .rows = s->rows};
    st = make_room(out, err);
    if (st == ST_OK)
        st = sort_ids(out, &seen, err);
    if (st == ST_OK && seen.bytes)
        st = place_ids(out, err);
    for (size_t i = 0; st == ST_OK && i < schema->field_count; i++)
        st = order_field(out, i, seed, stop, err);
    if (st == ST_OK)
        order_rows(out);
    return st;
}

void fold_order_free(struct fold_order *w)
{
    for (size_t i = 0; i < w->schema->field_count; i++) {
        if (w->fields != NULL && w->fields[i].built)
            cells_build_free(&w->fields[i].build);
        if (w->fields != NULL)
            mem_free(w->fields[i].items);
        if (w->position_of != NULL)
            mem_free(w->position_of[i]);
    }
    mem_free(w->by_id);
    mem_free(w->by_ordinal);
    mem_free(w->ordinal_of);
    mem_free(w->place_of);
    mem_free(w->position_of);
    mem_free(w->fields);
    mem_free(w->cold_fields);
}
