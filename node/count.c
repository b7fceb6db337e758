/* How many documents match, and some of them at random. */
#include "node/cold.h"
#include "node/count_internal.h"
#include "node/keep.h"
#include "node/select.h"

enum { SAMPLE_TRIES_EACH = 64, SAMPLE_TRIES = 1024 };

/* --- counting --- */

static status count_exactly(struct collection *c, const struct filter *filter,
                            const struct read_limits *limits, struct arena *arena, uint64_t *out,
                            struct err *err)
{
    struct selected selected;
    status st = select_make(c, filter, limits, arena, &selected, err);

    if (st == ST_OK)
        *out = selected.count;
    return st;
}

status count_head(struct collection *c, const struct filter *filter, bool exact,
                  const struct read_limits *limits, struct arena *arena, uint64_t *out,
                  struct err *err)
{
    struct epoch_guard guard;
    status st;

    if (filter_is_all(filter)) {
        *out = slots_live_count(c->slots);
        return ST_OK;
    }
    guard = epoch_enter(c->node->epoch);
    st = exact ? count_exactly(c, filter, limits, arena, out, err)
               : select_about(c, filter, limits, arena, out, err);
    epoch_leave(c->node->epoch, guard);
    return st;
}

status node_count(struct collection *c, const struct filter *filter, bool exact,
                  const struct read_limits *limits, struct arena *arena, uint64_t *out,
                  struct err *err)
{
    status st = collection_check_readable(c, err);

    if (st != ST_OK)
        return st;
    return cold_is(c) ? count_cold(c, filter, exact, limits, arena, out, err)
                      : count_head(c, filter, exact, limits, arena, out, err);
}

/* --- sampling --- */

struct sampling {
    struct collection *c;
    struct asker asker;
    struct arena *arena;
    uint32_t *slots;
    uint32_t count, wanted;
};

static bool is_taken(const struct sampling *s, uint32_t slot)
{
    struct row row, other;

    slots_row(s->c->slots, slot, &row);
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->slots[i] == slot)
            return true;
        slots_row(s->c->slots, s->slots[i], &other);
        if (docid_equal(&row.id, &other.id))
            return true;
    }
    return false;
}

/* Random slots, where many of them match. */
static void sample_slots(struct sampling *s)
{
    struct rand_source *rand = s->c->node->options.rand;
    uint32_t end = slots_end(s->c->slots);
    uint64_t tries = (uint64_t)s->wanted * SAMPLE_TRIES_EACH + SAMPLE_TRIES;

    /* Near the end most that come by are taken already. */
    if (end == 0 || s->wanted > slots_live_count(s->c->slots) / 2)
        return;
    for (; tries > 0 && s->count < s->wanted && !s->asker.gave_up; tries--) {
        uint32_t slot = (uint32_t)rand_below(rand, end);

        if (slots_current(s->c->slots, slot) && asker_matches(&s->asker, slot) &&
            !is_taken(s, slot))
            s->slots[s->count++] = slot;
    }
}

/* From all that match: each has the same chance, in a random order. */
static status sample_selected(struct sampling *s, const struct filter *filter,
                              const struct read_limits *limits, struct err *err)
{
    struct rand_source *rand = s->c->node->options.rand;
    struct selected selected;
    status st = select_make(s->c, filter, limits, s->arena, &selected, err);
    uint64_t seen = 0;

    if (st != ST_OK)
        return st;
    s->count = 0;
    for (uint32_t slot = 0; (slot = selected_next(&selected, slot)) != SLOT_NONE; slot++) {
        uint64_t at = s->count < s->wanted ? s->count++ : rand_below(rand, seen + 1);

        if (at < s->wanted)
            s->slots[at] = slot;
        seen++;
    }
    for (uint32_t i = s->count; i > 1; i--) {
        uint32_t at = (uint32_t)rand_below(rand, i), slot = s->slots[i - 1];

        s->slots[i - 1] = s->slots[at];
        s->slots[at] = slot;
    }
    return ST_OK;
}

static status sample(struct sampling *s, const struct filter *filter,
                     const struct read_limits *limits, struct err *err)
{
    status st;

    asker_init(&s->asker, s->c, filter, limits);
    sample_slots(s);
    st = asker_status(&s->asker, err);
    return st == ST_OK && s->count < s->wanted ? sample_selected(s, filter, limits, err) : st;
}

status sample_head(struct collection *c, const struct filter *filter, uint32_t count,
                   const struct read_want *want, const struct read_limits *limits,
                   struct arena *arena, struct document **out, uint32_t *out_count, struct err *err)
{
    uint32_t live, wanted;
    struct sampling s = {.c = c, .arena = arena};
    struct document *documents;
    struct epoch_guard guard;
    status st = ST_OK;

    *out_count = 0;
    live = slots_live_count(c->slots) + 1;
    wanted = count < live ? count : live;
    s.wanted = wanted;
    s.slots = arena_array(arena, wanted + 1, sizeof *s.slots);
    documents = arena_array(arena, wanted + 1, sizeof *documents);
    *out = documents;
    if (s.slots == NULL || documents == NULL)
        return err_set(err, ST_NOMEM, "out of memory for %u documents", wanted);
    guard = epoch_enter(c->node->epoch);
    if (wanted > 0)
        st = sample(&s, filter, limits, err);
    for (uint32_t i = 0; st == ST_OK && i < s.count; i++)
        if (!keep_document(arena, c, s.slots[i], want, &documents[i]))
            st = err_set(err, ST_NOMEM, "out of memory for %u documents; ask for fewer", s.count);
    epoch_leave(c->node->epoch, guard);
    *out_count = st == ST_OK ? s.count : 0;
    return st;
}

status node_sample(struct collection *c, const struct filter *filter, uint32_t count,
                   const struct read_want *want, const struct read_limits *limits,
                   struct arena *arena, struct document **out, uint32_t *out_count, struct err *err)
{
    status st = collection_check_readable(c, err);

    *out_count = 0;
    if (st != ST_OK)
        return st;
    return cold_is(c) ? sample_cold(c, filter, count, want, limits, arena, out, out_count, err)
                      : sample_head(c, filter, count, want, limits, arena, out, out_count, err);
}
