/* How many documents have which value at a path.
 *
 * An index tells it of the rows it knows; the others, and all without one, are looked at. A value
 * counts once a document, however often an array has it. Texts, integers and booleans are values;
 * floats are none, as in the compatible API. */
#include "base/hash.h"
#include "base/rand.h"
#include "filter/numbers.h"
#include "node/cold_reads.h"
#include "node/select.h"

#include <stdlib.h>

enum { INDEX_ATTEMPTS = 4 };

struct tally {
    struct filter_value value;
    uint64_t count;
    uint32_t last; /* slot + 1 that counted last */
    bool used;
};

struct faceting {
    struct collection *c;
    const struct path *key;
    struct arena *arena;
    struct asker asker; /* the time */
    bool uuids;         /* texts are uuids, in their usual form */
    struct tally *tallies;
    size_t room, count; /* room: a power of two */
    uint32_t slot;      /* being looked at */
    uint64_t values;    /* that an index told */
    bool no_memory;
    struct cold_seen seen; /* of cold rows */
};

/* --- the tallies --- */

static uint64_t hash_of(const struct filter_value *v)
{
    if (v->type == JBIN_T_STRING)
        return hash_bytes(v->text.data, v->text.bytes, 1);
    if (v->type == JBIN_T_BOOL)
        return v->boolean ? 2 : 3;
    if (v->type == JBIN_T_I64)
        return hash_bytes(&v->i64, sizeof v->i64, 4);
    return hash_bytes(&v->u64, sizeof v->u64, 5);
}

static struct tally *place_of(struct tally *tallies, size_t room, const struct filter_value *v)
{
    size_t at = hash_of(v) & (room - 1);

    while (tallies[at].used && filter_value_compare(&tallies[at].value, v) != 0)
        at = (at + 1) & (room - 1);
    return &tallies[at];
}

static bool grow(struct faceting *f)
{
    size_t room = f->room == 0 ? 64 : 4 * f->room;
    struct tally *tallies = arena_zero(f->arena, room * sizeof *tallies);

    if (tallies == NULL)
        return false;
    for (size_t i = 0; i < f->room; i++)
        if (f->tallies[i].used)
            *place_of(tallies, room, &f->tallies[i].value) = f->tallies[i];
    f->tallies = tallies;
    f->room = room;
    return true;
}

static struct tally *tally_of(struct faceting *f, const struct filter_value *v)
{
    struct tally *t;

    if (2 * (f->count + 1) > f->room && !grow(f))
        return NULL;
    t = place_of(f->tallies, f->room, v);
    if (t->used)
        return t;
    t->value = *v;
    if (v->type == JBIN_T_STRING && !keep_bytes(f->arena, v->text, &t->value.text))
        return NULL;
    t->used = true;
    f->count++;
    return t;
}

/* --- by looking at rows --- */

static bool look(void *arg, const struct jbin_value *v)
{
    struct faceting *f = arg;
    struct filter_value value = {
        .type = v->type, .boolean = v->boolean, .u64 = v->u64, .i64 = v->i64, .text = v->text};
    char usual[UUID_TEXT_BYTES];
    struct tally *t;
    uint8_t uuid[16];

    if (v->type != JBIN_T_STRING && v->type != JBIN_T_BOOL && v->type != JBIN_T_U64 &&
        v->type != JBIN_T_I64)
        return true;
    if (f->uuids && v->type == JBIN_T_STRING &&
        uuid_parse((const char *)v->text.data, v->text.bytes, uuid)) {
        uuid_format(uuid, usual);
        value.text = slice_text(usual);
    }
    t = tally_of(f, &value);
    f->no_memory = t == NULL;
    if (t != NULL && t->last != f->slot + 1) {
        t->count++;
        t->last = f->slot + 1;
    }
    return t != NULL;
}

/* --- cold rows --- */

static status look_at_cold(void *arg, const struct cold_row *row, struct err *err)
{
    struct faceting *f = arg;
    struct jbin_value root = jbin_root(row->payload);

    cold_seen_add(&f->seen, &row->id);
    f->slot++;
    (void)filter_each_value(f->key, &root, look, f);
    return f->no_memory ? err_set(err, ST_NOMEM, "out of memory for a facet of so many values")
                        : ST_OK;
}

/* They are counted apart, as an index that tells of the head may have to begin anew. r is held
 * until the head was looked at. */
static status count_cold_rows(struct faceting *f, const struct filter *filter, struct cold_reads *r,
                              struct err *err)
{
    struct pindex_info index;
    status st = collection_index_on(f->c, f->key, &index, NULL);

    f->uuids = st == ST_OK && index.type == PINDEX_UUID;
    if (r->set == NULL)
        return ST_OK;
    st = cold_seen_begin(r, f->arena, &f->seen, err);
    if (st != ST_OK)
        return st;
    return cold_set_each(r->set, filter, COLD_PAYLOAD, 0, &r->terms, look_at_cold, f, &r->stats,
                         err);
}

static status add_tallies(struct faceting *to, const struct faceting *from, struct err *err)
{
    for (size_t i = 0; i < from->room; i++) {
        struct tally *t = from->tallies[i].used ? tally_of(to, &from->tallies[i].value) : NULL;

        if (from->tallies[i].used && t == NULL)
            return err_set(err, ST_NOMEM, "out of memory for a facet");
        if (t != NULL)
            t->count += from->tallies[i].count;
    }
    return ST_OK;
}

static void look_at_rows(struct faceting *f, const struct selected *rows)
{
    uint32_t looked = 0;

    for (uint32_t slot = 0; (slot = selected_next(rows, slot)) != SLOT_NONE; slot++) {
        struct jbin_value root;
        struct row row;

        if (looked++ % SELECT_LOOK_ROWS == 0 && !asker_goes_on(&f->asker))
            return;
        slots_row(f->c->slots, slot, &row);
        f->slot = slot;
        root = jbin_root(row.payload);
        (void)filter_each_value(f->key, &root, look, f);
        if (f->no_memory)
            return;
    }
}

/* --- by an index --- */

static bool count_value(void *arg, const struct filter_value *value, uint64_t count)
{
    struct faceting *f = arg;
    struct filter_value v = *value;
    struct tally *t;

    if (f->values++ % SELECT_LOOK_ROWS == 0 && !asker_goes_on(&f->asker))
        return false;
    if (v.type == JBIN_T_I64 && v.i64 >= 0) {
        v.type = JBIN_T_U64;
        v.u64 = (uint64_t)v.i64;
    }
    t = tally_of(f, &v);
    f->no_memory = t == NULL;
    if (t != NULL)
        t->count += count;
    return t != NULL;
}

/* Clears dead rows; whether there were any. */
static bool clear_dead(const struct collection *c, uint64_t *bits, size_t words)
{
    bool any = false;

    for (size_t i = 0; i < words; i++) {
        for (uint64_t left = bits[i]; left != 0; left &= left - 1) {
            uint32_t at = (uint32_t)__builtin_ctzll(left);

            if (slots_live(c->slots, (uint32_t)(i * 64) + at))
                continue;
            bits_clear(bits, (uint32_t)(i * 64) + at);
            any = true;
        }
    }
    return any;
}

static void forget_all(struct faceting *f)
{
    f->tallies = NULL;
    f->room = f->count = 0;
}

/* Takes out of `rows` what the index counted; all of them stay where no index tells. Dead rows may
 * be taken out of it at any time: they are not its to count, and if some died meanwhile nobody
 * knows which of them it counted. */
static status count_by_index(struct faceting *f, struct selected *rows, struct err *err)
{
    size_t words = rows->bit_count / 64;
    uint64_t *pending = arena_zero(f->arena, words * 8 + 8);
    uint64_t *known = arena_zero(f->arena, words * 8 + 8);

    if (pending == NULL || known == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a facet");
    pindex_pending_bits(f->c->pindex, pending, rows->bit_count);
    for (size_t i = 0; i < words; i++)
        known[i] = rows->bits[i] & ~pending[i];
    (void)clear_dead(f->c, known, words);
    for (int i = 0; i < INDEX_ATTEMPTS; i++) {
        status st =
            pindex_facet(f->c->pindex, f->key, known, rows->bit_count, count_value, f, NULL);

        if (st != ST_OK && st != ST_NOT_FOUND)
            return err_set(err, st, "out of memory for a facet");
        if (f->asker.gave_up)
            return asker_status(&f->asker, err);
        if (st == ST_OK && !clear_dead(f->c, known, words)) {
            for (size_t n = 0; n < words; n++)
                rows->bits[n] &= ~known[n];
            return ST_OK;
        }
        forget_all(f);
        if (st == ST_NOT_FOUND)
            break;
    }
    return ST_OK;
}

/* --- the answer --- */

static int by_count(const void *a, const void *b)
{
    const struct facet_hit *x = a, *y = b;

    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    if (number_is(x->value.type) && number_is(y->value.type))
        return number_compare(filter_value_number(&x->value), filter_value_number(&y->value));
    return filter_value_compare(&x->value, &y->value);
}

static status make_hits(struct faceting *f, uint32_t limit, struct facet_hit **out, uint32_t *count,
                        struct err *err)
{
    struct facet_hit *hits = arena_array(f->arena, f->count + 1, sizeof *hits);
    size_t n = 0;

    if (hits == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a facet");
    for (size_t i = 0; i < f->room; i++)
        if (f->tallies[i].used && f->tallies[i].count > 0)
            hits[n++] = (struct facet_hit){f->tallies[i].value, f->tallies[i].count};
    qsort(hits, n, sizeof *hits, by_count);
    *out = hits;
    *count = n < limit ? (uint32_t)n : limit;
    return ST_OK;
}

static status facet(struct faceting *f, const struct filter *filter,
                    const struct read_limits *limits, struct cold_seen *seen, struct err *err)
{
    struct pindex_info index;
    struct selected rows;
    status st = select_make(f->c, filter, limits, f->arena, &rows, err);

    if (st != ST_OK)
        return st;
    if (seen->hashes != NULL)
        cold_seen_leave_out(seen, f->c, &rows);
    st = collection_index_on(f->c, f->key, &index, err);
    if (st == ST_OK) {
        f->uuids = index.type == PINDEX_UUID;
        st = count_by_index(f, &rows, err);
    } else if (st == ST_NOT_FOUND) {
        st = ST_OK;
    }
    if (st == ST_OK && !f->no_memory)
        look_at_rows(f, &rows);
    if (st == ST_OK && f->no_memory)
        st = err_set(err, ST_NOMEM, "out of memory for a facet of so many values");
    return st == ST_OK ? asker_status(&f->asker, err) : st;
}

status node_facet(struct collection *c, const struct path *key, const struct filter *filter,
                  uint32_t limit, bool exact, const struct read_limits *limits, struct arena *arena,
                  struct facet_hit **out, uint32_t *count, struct err *err)
{
    const struct faceting fresh = {.c = c, .key = key, .arena = arena};
    struct faceting f = fresh, cold = fresh;
    struct cold_reads reads = {0};
    struct epoch_guard guard;
    const bool waits = cold_is(c);
    status st = collection_check_readable(c, err);

    (void)exact; /* they all are */
    *count = 0;
    if (st != ST_OK)
        return st;
    asker_init(&f.asker, c, NULL, limits);
    if (waits)
        st = cold_reads_begin(c, limits, &reads, err);
    if (st == ST_OK)
        do {
            cold = fresh;
            st = count_cold_rows(&cold, filter, &reads, err);
        } while (cold_reads_again(&reads, st));
    if (st == ST_OK) {
        guard = epoch_enter(c->node->epoch);
        st = facet(&f, filter, limits, &cold.seen, err);
        if (st == ST_OK)
            st = add_tallies(&f, &cold, err);
        if (st == ST_OK)
            st = make_hits(&f, limit, out, count, err);
        epoch_leave(c->node->epoch, guard);
    }
    return waits ? cold_reads_end(&reads, st, err) : st;
}
