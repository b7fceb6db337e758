#include "node/select.h"

#include "base/bits.h"
#include "node/node_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

static_assert(BITS_NONE == SLOT_NONE, "bits_next() gives slots");

enum {
    PENDING_ASKED_MAX = 4096, /* rows the indexes do not know yet: asked at once up to here */
    LOOK_SLOTS = 4096,        /* slots between looks at the time, where rows are not asked */
    NEWS_AT_ONCE = 256,
};

/* --- asking rows --- */

static bool asks_vectors(const struct filter *f)
{
    if (f == NULL)
        return false;
    for (size_t i = 0; i < f->child_count; i++)
        if (asks_vectors(f->children[i]))
            return true;
    return f->kind == FILTER_HAS_VECTOR;
}

void asker_init(struct asker *a, const struct collection *c, const struct filter *filter,
                const struct read_limits *limits)
{
    *a = (struct asker){.c = c,
                        .filter = filter_is_all(filter) ? NULL : filter,
                        .limits = limits,
                        .vectors = asks_vectors(filter)};
}

uint64_t row_vectors(const struct collection *c, uint32_t slot)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < c->field_count; i++)
        bits |= (uint64_t)vindex_filled(c->fields[i].vindex, slot) << i;
    return bits;
}

bool asker_goes_on(struct asker *a)
{
    const struct read_limits *l = a->limits;

    if (l == NULL || a->gave_up)
        return !a->gave_up;
    if (l->stop != NULL && atomic_load_explicit(l->stop, memory_order_relaxed))
        a->gave_up = true;
    if (l->deadline_ns != 0 && clock_mono_ns(a->c->node->options.clock) > l->deadline_ns)
        a->gave_up = true;
    return !a->gave_up;
}

bool asker_matches(struct asker *a, uint32_t slot)
{
    struct row row;

    if (a->filter == NULL)
        return true;
    if (a->rows++ % SELECT_LOOK_ROWS == 0 && !asker_goes_on(a))
        return false;
    slots_row(a->c->slots, slot, &row);
    return !a->gave_up &&
           filter_match(a->filter,
                        &(struct filter_row){.id = &row.id,
                                             .payload = row.payload,
                                             .vectors = a->vectors ? row_vectors(a->c, slot) : 0});
}

status asker_status(const struct asker *a, struct err *err)
{
    if (!a->gave_up)
        return ST_OK;
    if (a->rows == 0)
        return err_set(err, ST_TIMEOUT, "the time for reading was over; ask for less at once");
    return err_set(err, ST_TIMEOUT,
                   "the time was over after %" PRIu64
                   " rows were asked for the filter; a payload index on its keys helps",
                   a->rows);
}

/* --- what is known --- */

static uint32_t rounded_end(const struct collection *c)
{
    return (slots_end(c->slots) + 63) & ~UINT32_C(63);
}

static status bits_make(struct arena *arena, uint32_t bit_count, uint64_t **out, struct err *err)
{
    *out = arena_zero(arena, bit_count / 8 + 8);
    if (*out == NULL)
        return err_set(err, ST_NOMEM, "out of memory to select among %u rows", bit_count);
    return ST_OK;
}

/* The condition on ids that every match fulfils, or NULL. */
static const struct filter *ids_of(const struct filter *f)
{
    if (f->kind == FILTER_HAS_ID)
        return f;
    for (size_t i = 0; f->kind == FILTER_AND && i < f->child_count; i++) {
        const struct filter *found = ids_of(f->children[i]);

        if (found != NULL)
            return found;
    }
    return NULL;
}

static status known_by_ids(struct asker *a, const struct filter *ids, struct arena *arena,
                           struct known *out, struct err *err)
{
    status st = bits_make(arena, out->bit_count, &out->bits, err);

    for (size_t i = 0; st == ST_OK && i < ids->id_count; i++) {
        uint32_t slot = slots_find(a->c->slots, &ids->ids[i]);

        if (slot < out->bit_count)
            bits_set(out->bits, slot);
    }
    out->exact = ids == a->filter;
    return st;
}

/* Rows the indexes do not know: where there are few they are asked now. */
static void ask_pending(struct asker *a, struct known *out)
{
    uint32_t slot = 0;

    if (bits_count(out->bits, out->bit_count) > PENDING_ASKED_MAX) {
        out->exact = false;
        return;
    }
    while ((slot = bits_next(out->bits, out->bit_count, slot)) != SLOT_NONE) {
        if (!slots_live(a->c->slots, slot) || !asker_matches(a, slot))
            bits_clear(out->bits, slot);
        slot++;
    }
}

static bool goes_on(void *asker)
{
    return asker_goes_on(asker);
}

static status known_by_indexes(struct asker *a, struct arena *arena, struct known *out,
                               struct err *err)
{
    struct pindex_answer answer = {0};
    uint64_t *bits;
    status st = bits_make(arena, out->bit_count, &bits, err);
    uint32_t words = out->bit_count / 64;

    if (st != ST_OK)
        return st;
    pindex_pending_bits(a->c->pindex, bits, out->bit_count);
    st = pindex_lookup_while(a->c->pindex, a->filter, arena, goes_on, a, &answer, err);
    if (st != ST_OK || !answer.used)
        return st;
    out->bits = bits;
    out->exact = answer.exact;
    out->indexes = answer.indexes;
    if (out->exact)
        ask_pending(a, out);
    for (uint32_t i = 0; i < words && i < answer.bit_count / 64; i++)
        bits[i] |= answer.bits[i];
    return ST_OK;
}

const struct filter *select_ids(const struct filter *filter)
{
    return filter_is_all(filter) ? NULL : ids_of(filter);
}

uint64_t select_ids_named(const struct filter *filter)
{
    const struct filter *ids = select_ids(filter);

    return ids == NULL ? UINT64_MAX : ids->id_count;
}

status select_known(struct asker *a, struct arena *arena, struct known *out, struct err *err)
{
    const struct filter *ids = a->filter == NULL ? NULL : ids_of(a->filter);
    status st = ST_OK;

    *out = (struct known){.bit_count = rounded_end(a->c)};
    (void)asker_goes_on(a); /* once at least, whatever rows are asked */
    if (ids != NULL)
        st = known_by_ids(a, ids, arena, out, err);
    else if (a->filter != NULL && a->c->pindex != NULL)
        st = known_by_indexes(a, arena, out, err);
    if (st == ST_OK && out->bits != NULL)
        out->count = bits_count(out->bits, out->bit_count);
    return st == ST_OK ? asker_status(a, err) : st;
}

/* --- selecting --- */

struct selecting {
    struct asker asker;
    struct arena *arena;
    struct selected *out;
    uint32_t *news; /* selected rows that were published meanwhile */
    size_t news_count, news_room;
    struct err *err;
};

static void scan_all(struct selecting *s)
{
    const struct slots *slots = s->asker.c->slots;
    uint32_t end = slots_end(slots);

    for (uint32_t slot = 0; slot < end && slot < s->out->bit_count && !s->asker.gave_up; slot++) {
        if (slot % LOOK_SLOTS == 0 && !asker_goes_on(&s->asker))
            return;
        if (slots_live(slots, slot) && asker_matches(&s->asker, slot))
            bits_set(s->out->bits, slot);
    }
}

static void scan_known(struct selecting *s, const struct known *known, uint64_t moment)
{
    const struct slots *slots = s->asker.c->slots;
    struct selected *out = s->out;
    uint32_t slot = 0, looked = 0;

    while ((slot = bits_next(out->bits, out->bit_count, slot)) != SLOT_NONE && !s->asker.gave_up) {
        bool sure = known->exact && !slots_is_since(slots, slot, moment);

        if (looked++ % LOOK_SLOTS == 0 && !asker_goes_on(&s->asker))
            return;
        if (!slots_live(slots, slot) || (!sure && !asker_matches(&s->asker, slot)))
            bits_clear(out->bits, slot);
        slot++;
    }
}

/* Room in the bitmap for rows that are newer than it. */
static bool bits_grow(struct selecting *s, uint32_t slot)
{
    struct selected *out = s->out;
    uint32_t bit_count = rounded_end(s->asker.c);
    uint64_t *bits;

    if (slot < out->bit_count)
        return true;
    if (bits_make(s->arena, bit_count, &bits, s->err) != ST_OK)
        return false;
    memcpy(bits, out->bits, out->bit_count / 8);
    out->bits = bits;
    out->bit_count = bit_count;
    return true;
}

static bool news_add(struct selecting *s, uint32_t slot)
{
    if (s->news_count == s->news_room) {
        size_t room = s->news_room == 0 ? NEWS_AT_ONCE : 2 * s->news_room;
        uint32_t *news = arena_array(s->arena, room, sizeof *news);

        if (news == NULL)
            return false;
        if (s->news_count > 0)
            memcpy(news, s->news, s->news_count * sizeof *news);
        s->news = news;
        s->news_room = room;
    }
    s->news[s->news_count++] = slot;
    return true;
}

static status news_take(struct selecting *s, uint64_t moment)
{
    uint32_t slots[NEWS_AT_ONCE];
    uint32_t at = 0, count;

    while ((count = slots_since(s->asker.c->slots, moment, &at, slots, NEWS_AT_ONCE)) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            if (!asker_matches(&s->asker, slots[i]))
                continue;
            if (!bits_grow(s, slots[i]) || !news_add(s, slots[i]))
                return err_set(s->err, ST_NOMEM, "out of memory to select rows");
            bits_set(s->out->bits, slots[i]);
        }
        if (s->asker.gave_up)
            break;
    }
    return ST_OK;
}

struct rival {
    struct row row;
    uint32_t slot;
};

static int by_id_newest_first(const void *a, const void *b)
{
    const struct rival *x = a, *y = b;
    int order = docid_compare(&x->row.id, &y->row.id);

    if (order != 0)
        return order;
    return (y->row.lsn > x->row.lsn) - (y->row.lsn < x->row.lsn);
}

/* A new row that its id does not name goes where the one it names is selected. */
static void news_settle(struct selecting *s)
{
    const struct slots *slots = s->asker.c->slots;
    struct selected *out = s->out;

    for (size_t i = 0; i < s->news_count; i++) {
        struct row row;
        uint32_t now;

        slots_row(slots, s->news[i], &row);
        now = slots_find(slots, &row.id);
        if (now != s->news[i] && now < out->bit_count && bits_get(out->bits, now))
            bits_clear(out->bits, s->news[i]);
    }
}

/* Rows of one id: all but one were published meanwhile or are not current any more. */
static status keep_one_each(struct selecting *s)
{
    const struct slots *slots = s->asker.c->slots;
    struct selected *out = s->out;
    struct rival *rivals;
    size_t count = 0;
    uint32_t slot = 0;

    news_settle(s);
    for (; (slot = bits_next(out->bits, out->bit_count, slot)) != SLOT_NONE; slot++)
        if (!slots_current(slots, slot) && !news_add(s, slot))
            return err_set(s->err, ST_NOMEM, "out of memory to select rows");
    rivals = arena_array(s->arena, s->news_count, sizeof *rivals);
    if (rivals == NULL)
        return err_set(s->err, ST_NOMEM, "out of memory to select rows");
    for (size_t i = 0; i < s->news_count; i++) {
        if (!bits_get(out->bits, s->news[i]))
            continue;
        rivals[count].slot = s->news[i];
        slots_row(slots, s->news[i], &rivals[count++].row);
    }
    qsort(rivals, count, sizeof *rivals, by_id_newest_first);
    for (size_t i = 1; i < count; i++)
        if (rivals[i].slot != rivals[i - 1].slot &&
            docid_equal(&rivals[i].row.id, &rivals[i - 1].row.id))
            bits_clear(out->bits, rivals[i].slot);
    return ST_OK;
}

/* What was published while we looked: rows we came by too early for, and the successors of those
 * we came by too late for. Once is enough, also for an id that is replaced again meanwhile: such a
 * successor was published before this begins, and though it be dead it is not retired before our
 * guard ends (fields_repair()). */
static status catch_up(struct selecting *s, uint64_t moment)
{
    status st;

    if (slots_quiet_since(s->asker.c->slots, moment))
        return ST_OK;
    st = news_take(s, moment);
    return st == ST_OK && s->news_count > 0 ? keep_one_each(s) : st;
}

status select_make(struct collection *c, const struct filter *filter,
                   const struct read_limits *limits, struct arena *arena, struct selected *out,
                   struct err *err)
{
    struct selecting s = {.arena = arena, .out = out, .err = err};
    uint64_t moment = slots_moment(c->slots);
    struct known known;
    status st;

    *out = (struct selected){0};
    asker_init(&s.asker, c, filter, limits);
    st = select_known(&s.asker, arena, &known, err);
    if (st != ST_OK)
        return st;
    out->bits = known.bits;
    out->bit_count = known.bit_count;
    out->indexes = known.indexes;
    if (out->bits != NULL) {
        scan_known(&s, &known, moment);
    } else {
        st = bits_make(arena, out->bit_count, &out->bits, err);
        if (st == ST_OK)
            scan_all(&s);
    }
    if (st == ST_OK)
        st = catch_up(&s, moment);
    out->count = st == ST_OK ? bits_count(out->bits, out->bit_count) : 0;
    out->rows = s.asker.rows;
    return st == ST_OK ? asker_status(&s.asker, err) : st;
}

uint32_t selected_next(const struct selected *s, uint32_t from)
{
    return bits_next(s->bits, s->bit_count, from);
}
