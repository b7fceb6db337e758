/* Documents by id, and the rest of rows that are known by segment and ordinal. */
#include "base/mem.h"
#include "tiering/cold_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct piece { /* what is fetched of a row: its payload block, or a vector */
    size_t row, want;
    uint32_t ordinal;
    struct cold_span span;
    uint16_t place; /* of a vector, in the collection's list */
};
struct rest {
    struct cold_set *set;
    struct cold_row *rows;
    unsigned what;
    bool names; /* ids are told, not held against rows */
    uint64_t vectors;
    const struct cold_terms *terms;
    struct arena *arena;
    struct cold_stats *stats;
    struct piece *pieces; /* sorted by where they lie */
    struct cache_want *wants;
    size_t count, want_count;
    struct buf unpacked;
    uint32_t *ordinals;           /* of one block, room for all */
    const struct piece *at, *end; /* those of the payload block that is walked */
    struct piece *later;          /* vectors whose positions a payload block has told */
    size_t later_count;
};

static int compare_pieces(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;

    if (x->span.segment != y->span.segment)
        return x->span.segment < y->span.segment ? -1 : 1;
    if (x->span.kind != y->span.kind)
        return x->span.kind < y->span.kind ? -1 : 1;
    if (x->span.position != y->span.position)
        return x->span.position < y->span.position ? -1 : 1;
    if (x->span.first != y->span.first)
        return x->span.first < y->span.first ? -1 : 1;
    return x->ordinal < y->ordinal ? -1 : x->ordinal > y->ordinal;
}

static status no_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for documents");
}

static bool same_kind(const struct piece *a, const struct piece *b)
{
    return a->span.segment == b->span.segment && a->span.kind == b->span.kind &&
           a->span.position == b->span.position;
}

/* --- in as few GETs as are left --- */
struct asked { /* bytes that some pieces have in common */
    struct cache_want want;
    uint64_t
        gap;   /* to the one before that is missing, of the same kind; UINT64_MAX: there is none */
    size_t at; /* in the wants that are read */
};

static size_t pieces_asked(struct rest *r, struct asked *asked)
{
    size_t count = 0;

    for (size_t i = 0; i < r->count; i++) {
        const struct piece *before = i > 0 ? &r->pieces[i - 1] : NULL;
        struct piece *p = &r->pieces[i];

        if (before == NULL || !same_kind(before, p) || before->span.first != p->span.first)
            cold_want(&p->span, false, &r->wants[count++]);
        p->want = count - 1;
    }
    cold_borrow(r->set, r->terms, r->wants, count, r->stats);
    for (size_t i = 0, last = count; i < count; i++) {
        const struct cache_want *w = &r->wants[i], *before = last < count ? &r->wants[last] : NULL;

        asked[i] = (struct asked){.want = *w, .gap = UINT64_MAX};
        if (w->block != NULL)
            continue;
        if (before != NULL && before->object == w->object && before->class == w->class &&
            before->offset + before->bytes <= w->offset)
            asked[i].gap = w->offset - before->offset - before->bytes;
        last = i;
    }
    return count;
}

static int compare_gaps(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* What is no further apart is read in one GET: usually little; where more GETs were needed than are
 * left, as much as it takes and the bytes allow. */
static uint64_t gap_limit(const struct rest *r, const struct asked *asked, size_t count,
                          uint64_t *gaps)
{
    const struct cache_budget *left = r->terms->budget;
    uint64_t limit = COLD_GAP_BYTES, bytes = 0;
    size_t gets = 0, found = 0;

    for (size_t i = 0; i < count; i++) {
        if (asked[i].want.block != NULL)
            continue;
        gets += asked[i].gap > limit;
        bytes += asked[i].want.bytes + (asked[i].gap <= limit ? asked[i].gap : 0);
        if (asked[i].gap > limit && asked[i].gap != UINT64_MAX)
            gaps[found++] = asked[i].gap;
    }
    qsort(gaps, found, sizeof *gaps, compare_gaps);
    for (size_t i = 0; left != NULL && i < found && gets > left->gets; i++, gets--) {
        bytes += gaps[i];
        if (bytes > left->bytes)
            break;
        limit = gaps[i];
    }
    return limit;
}

/* What is missing, with the gaps between; then what is there. */
static void order_asked(struct rest *r, struct asked *asked, size_t count, uint64_t limit)
{
    r->want_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct cache_want *want = &asked[i].want;

        if (want->block != NULL)
            continue;
        want->joined = asked[i].gap <= limit;
        if (want->joined && asked[i].gap > 0) {
            cold_want_between(&r->wants[r->want_count - 1], want, &r->wants[r->want_count]);
            r->want_count++;
        }
        asked[i].at = r->want_count;
        r->wants[r->want_count++] = *want;
    }
    for (size_t i = 0; i < count; i++)
        if (asked[i].want.block != NULL) {
            asked[i].at = r->want_count;
            r->wants[r->want_count++] = asked[i].want;
        }
    for (size_t i = 0; i < r->count; i++)
        r->pieces[i].want = asked[r->pieces[i].want].at;
}

/* Pieces of the same bytes have one want. */
static status read_pieces(struct rest *r, struct err *err)
{
    struct asked *asked = mem_alloc_array(r->count + 1, sizeof *asked);
    uint64_t *gaps = mem_alloc_array(r->count + 1, sizeof *gaps);
    size_t count;

    r->want_count = 0;
    if (asked == NULL || gaps == NULL) {
        mem_free(asked);
        mem_free(gaps);
        return no_memory(err);
    }
    qsort(r->pieces, r->count, sizeof *r->pieces, compare_pieces);
    count = pieces_asked(r, asked);
    order_asked(r, asked, count, gap_limit(r, asked, count, gaps));
    mem_free(asked);
    mem_free(gaps);
    return cold_read(r->set, r->terms, r->wants, r->want_count, r->stats, err);
}

static bool copy_slice(struct arena *arena, struct slice from, struct slice *to)
{
    uint8_t *at = arena_alloc(arena, from.bytes + 1);

    if (at == NULL)
        return false;
    if (from.bytes > 0)
        memcpy(at, from.data, from.bytes);
    *to = slice_make(at, from.bytes);
    return true;
}

bool cold_copy_id(struct arena *arena, struct docid *id)
{
    return id->kind != DOCID_BYTES || copy_slice(arena, id->bytes, &id->bytes);
}

/* Where a vector of a field but the first lies a query has found out. */
static bool is_placed(const struct cold_row *row, const struct cold_segment *s, int position)
{
    const struct cold_field *f = &s->footer.fields[position];

    return row->placed && f->field == row->field && row->position < f->rows;
}

/* Vectors of fields but the first: where they are is known now. */
static void note_positions(struct rest *r, const struct piece *piece,
                           const struct cold_payload_row *row)
{
    const struct cold_segment *s = piece->span.segment;

    for (uint16_t place = 0; place < r->set->field_count; place++) {
        int position = s->position_of[place];

        if ((r->vectors >> place & 1) == 0 || position <= 0 ||
            row->positions[position] == UINT32_MAX || is_placed(&r->rows[piece->row], s, position))
            continue;
        r->later[r->later_count++] = (struct piece){.row = piece->row,
                                                    .ordinal = piece->ordinal,
                                                    .place = place,
                                                    .span = {.segment = s,
                                                             .kind = COLD_VECTORS,
                                                             .position = (uint16_t)position,
                                                             .first = row->positions[position],
                                                             .count = 1}};
    }
}

static status name_row(struct rest *r, const struct piece *piece, const struct docid *id,
                       uint64_t lsn, struct err *err)
{
    struct cold_row *out = &r->rows[piece->row];

    if (lsn != out->lsn)
        return err_set(err, ST_CORRUPT, "row %" PRIu32 " is another than its record says",
                       piece->ordinal);
    out->id = *id;
    out->found = cold_copy_id(r->arena, &out->id);
    return out->found ? ST_OK : no_memory(err);
}

static status take_row(struct rest *r, const struct piece *piece,
                       const struct cold_payload_row *row, struct err *err)
{
    struct cold_row *out = &r->rows[piece->row];

    if (r->names)
        return name_row(r, piece, &row->id, row->lsn, err);
    if (row->lsn != out->lsn || !docid_equal(&row->id, &out->id))
        return err_set(err, ST_CORRUPT, "row %" PRIu32 " is another than its index says",
                       piece->ordinal);
    note_positions(r, piece, row);
    if (r->what != 0 && !copy_slice(r->arena, row->external_id, &out->external_id))
        return no_memory(err);
    if ((r->what & COLD_PAYLOAD) == 0)
        return ST_OK;
    out->inserted_at_ns = row->inserted_at_ns;
    return copy_slice(r->arena, row->payload, &out->payload) ? ST_OK : no_memory(err);
}

/* Both sides rise; a row may be asked for twice. */
static status take_payload(void *arg, uint32_t ordinal, const struct cold_payload_row *row,
                           struct err *err)
{
    struct rest *r = arg;
    status st = ST_OK;

    while (st == ST_OK && r->at < r->end && r->at->ordinal == ordinal)
        st = take_row(r, r->at++, row, err);
    return st;
}

static status take_vector(struct rest *r, const struct piece *p, struct slice body, struct err *err)
{
    const struct cold_footer *f = &p->span.segment->footer;
    float *values = arena_array(r->arena, f->fields[p->span.position].dim, sizeof *values);

    if (values == NULL)
        return no_memory(err);
    cold_vector_at(f, p->span.position, body, 0, values);
    r->rows[p->row].vectors[p->place] = values;
    return ST_OK;
}

static status take_block(struct rest *r, struct slice body, struct err *err)
{
    const struct cold_span *span = &r->at->span;
    size_t count = 0;

    for (const struct piece *p = r->at; p < r->end; p++)
        if (count == 0 || r->ordinals[count - 1] != p->ordinal)
            r->ordinals[count++] = p->ordinal;
    return cold_payload_some(&span->segment->footer, span->first, body, r->ordinals, count,
                             &r->unpacked, take_payload, r, err);
}

static status take_pieces(struct rest *r, struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0, next; st == ST_OK && i < r->count; i = next) {
        const struct piece *p = &r->pieces[i];
        struct slice body = r->wants[p->want].body;

        for (next = i + 1; next < r->count && r->pieces[next].want == p->want;)
            next++;
        r->at = p;
        r->end = r->pieces + next;
        for (; st == ST_OK && p->span.kind == COLD_VECTORS && r->at < r->end; r->at++)
            st = take_vector(r, r->at, body, err);
        if (st == ST_OK && p->span.kind != COLD_VECTORS)
            st = take_block(r, body, err);
        if (st != ST_OK)
            (void)err_wrap(err, st, "cold segment %s", p->span.segment->key);
    }
    return st;
}

static void plan_vector(struct rest *r, size_t index, uint16_t place, uint16_t position,
                        uint32_t first)
{
    r->pieces[r->count++] =
        (struct piece){.row = index,
                       .ordinal = r->rows[index].ordinal,
                       .place = place,
                       .span = {.segment = r->set->members[r->rows[index].segment].segment,
                                .kind = COLD_VECTORS,
                                .position = position,
                                .first = first,
                                .count = 1}};
}

static void plan_row(struct rest *r, size_t index)
{
    const struct cold_row *row = &r->rows[index];
    const struct cold_segment *s = r->set->members[row->segment].segment;
    bool payload = (r->what & COLD_PAYLOAD) != 0 ||
                   ((r->what & COLD_EXTERNAL_ID) != 0 && !s->footer.no_external_ids);

    for (uint16_t place = 0; place < r->set->field_count; place++) {
        int position = s->position_of[place];

        if ((r->vectors >> place & 1) == 0 || position < 0)
            continue;
        if (position == 0 && row->ordinal < s->footer.fields[0].rows)
            plan_vector(r, index, place, (uint16_t)position, row->ordinal);
        else if (is_placed(row, s, position))
            plan_vector(r, index, place, (uint16_t)position, row->position);
        else
            payload = payload || position > 0;
    }
    if (payload)
        r->pieces[r->count++] =
            (struct piece){.row = index,
                           .ordinal = row->ordinal,
                           .span = {.segment = s,
                                    .kind = COLD_PAYLOAD_BLOCK,
                                    .first = cold_payload_block(&s->footer, row->ordinal)}};
}

static status prepare_rows(struct rest *r, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        struct cold_row *row = &r->rows[i];

        if (!row->found)
            continue;
        row->vectors = arena_zero(r->arena, (r->set->field_count + 1u) * sizeof *row->vectors);
        if (row->vectors == NULL)
            return no_memory(err);
        plan_row(r, i);
    }
    return ST_OK;
}

static status read_and_take(struct rest *r, struct err *err)
{
    status st = read_pieces(r, err);

    if (st == ST_OK)
        st = take_pieces(r, err);
    cache_give_back(r->set->cache, r->wants, r->want_count);
    return st;
}

/* Of rows with found = true. */
static status fill_rows(struct rest *r, size_t count, struct err *err)
{
    size_t room = count * (r->set->field_count + 1u) + 1;
    struct piece *first, *later;
    status st;

    first = r->pieces = mem_alloc_array(room, sizeof *r->pieces);
    later = r->later = mem_alloc_array(room, sizeof *r->later);
    r->wants = mem_alloc_array(2 * room, sizeof *r->wants);
    r->ordinals = mem_alloc_array(count + 1, sizeof *r->ordinals);
    buf_init(&r->unpacked, COLD_PAYLOAD_BLOCK_BYTES_MAX);
    st = first == NULL || later == NULL || r->wants == NULL || r->ordinals == NULL
             ? no_memory(err)
             : prepare_rows(r, count, err);
    if (st == ST_OK)
        st = read_and_take(r, err);
    if (st == ST_OK && r->later_count > 0) {
        r->pieces = later;
        r->count = r->later_count;
        st = read_and_take(r, err);
    }
    buf_free(&r->unpacked);
    mem_free(r->ordinals);
    mem_free(r->wants);
    mem_free(later);
    mem_free(first);
    return st;
}

status cold_set_rows_at(struct cold_set *s, struct cold_row *rows, size_t count, unsigned what,
                        uint64_t vectors, const struct cold_terms *terms, struct arena *arena,
                        struct cold_stats *stats, struct err *err)
{
    struct rest r = {.set = s,
                     .rows = rows,
                     .what = what,
                     .vectors = vectors,
                     .terms = terms,
                     .arena = arena,
                     .stats = stats};
    status st;

    for (size_t i = 0; i < count; i++)
        if (rows[i].segment >= s->count ||
            rows[i].ordinal >= s->members[rows[i].segment].segment->footer.rows)
            return err_set(err, ST_BUG, "a row of another set");
    for (size_t i = 0; i < count; i++)
        rows[i].found = true;
    st = fill_rows(&r, count, err);
    for (size_t i = 0; st == ST_OK && i < count; i++)
        rows[i].found = !cold_member_dead(&s->members[rows[i].segment], rows[i].ordinal) &&
                        !cold_newer_than(terms, &rows[i].id, rows[i].lsn);
    return st;
}

status cold_set_get(struct cold_set *s, const struct docid *ids, size_t count, unsigned what,
                    uint64_t vectors, const struct cold_terms *terms, struct arena *arena,
                    struct cold_row *out, struct cold_stats *stats, struct err *err)
{
    struct cold_where *where = mem_alloc_array(count + 1, sizeof *where);
    struct rest r = {.set = s,
                     .rows = out,
                     .what = what,
                     .vectors = vectors,
                     .terms = terms,
                     .arena = arena,
                     .stats = stats};
    status st = where != NULL ? cold_find(s, ids, count, terms, where, stats, err) : no_memory(err);

    for (size_t i = 0; st == ST_OK && i < count; i++) {
        out[i] = (struct cold_row){.found = where[i].found,
                                   .id = ids[i],
                                   .lsn = where[i].lsn,
                                   .segment = where[i].member,
                                   .ordinal = where[i].ordinal};
        if (!cold_copy_id(arena, &out[i].id))
            st = no_memory(err);
    }
    mem_free(where);
    return st == ST_OK ? fill_rows(&r, count, err) : st;
}

/* --- names --- */
enum { NAME_BYTES = 64 * 1024 }; /* of a payload block that is read for a name */

static status match_name(void *arg, const struct docid *id, uint32_t ordinal, uint64_t lsn,
                         struct err *err)
{
    struct rest *r = arg;
    status st = ST_OK;

    for (const struct piece *p = r->at; st == ST_OK && p < r->end; p++)
        if (p->ordinal == ordinal)
            st = name_row(r, p, id, lsn, err);
    return st;
}

/* A block that cannot be had, or is not as it should be, names nobody. */
static status take_names(struct rest *r, struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0, next; st != ST_NOMEM && i < r->count; i = next) {
        const struct piece *p = &r->pieces[i];
        const struct cache_want *want = &r->wants[p->want];

        for (next = i + 1; next < r->count && r->pieces[next].want == p->want;)
            next++;
        r->at = p;
        r->end = r->pieces + next;
        if (want->st != ST_OK)
            continue;
        if (p->span.kind == COLD_ID_BLOCK)
            st = cold_id_each(&p->span.segment->footer, p->span.first, want->body, match_name, r,
                              err);
        else
            st = take_block(r, want->body, err);
    }
    return st == ST_NOMEM ? st : ST_OK;
}

status cold_name_rows(struct cold_set *s, struct cold_row *rows, const uint32_t *places,
                      size_t count, const struct cold_terms *terms, struct arena *arena,
                      struct cold_stats *stats, status *read, struct err *err)
{
    struct rest r = {
        .set = s, .rows = rows, .names = true, .terms = terms, .arena = arena, .stats = stats};
    status st = ST_OK;

    r.pieces = mem_alloc_array(count + 1, sizeof *r.pieces);
    r.wants = mem_alloc_array(2 * count + 1, sizeof *r.wants);
    r.ordinals = mem_alloc_array(count + 1, sizeof *r.ordinals);
    buf_init(&r.unpacked, COLD_PAYLOAD_BLOCK_BYTES_MAX);
    if (r.pieces == NULL || r.wants == NULL || r.ordinals == NULL)
        st = no_memory(err);
    for (size_t i = 0; st == ST_OK && i < count; i++) {
        const struct cold_segment *segment = s->members[rows[i].segment].segment;
        const uint32_t block = cold_payload_block(&segment->footer, rows[i].ordinal);
        struct cold_span span = {.segment = segment, .kind = COLD_PAYLOAD_BLOCK, .first = block};
        uint64_t offset, bytes;

        cold_payload_range(&segment->footer, block, &offset, &bytes);
        if (bytes > NAME_BYTES)
            span =
                (struct cold_span){.segment = segment, .kind = COLD_ID_BLOCK, .first = places[i]};
        r.pieces[r.count++] = (struct piece){.row = i, .ordinal = rows[i].ordinal, .span = span};
        rows[i].found = false;
    }
    if (st == ST_OK) {
        *read = read_pieces(&r, err);
        st = r.want_count > 0 ? take_names(&r, err) : ST_OK;
        cache_give_back(s->cache, r.wants, r.want_count);
    }
    buf_free(&r.unpacked);
    mem_free(r.ordinals);
    mem_free(r.wants);
    mem_free(r.pieces);
    return st;
}
