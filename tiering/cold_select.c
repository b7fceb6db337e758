/* Which rows of a segment a filter lets through: found by its payload indexes and by reading the
 * payloads of rows that these do not decide, then remembered for the next query of the same filter.
 */
#include "base/bits.h"
#include "base/mem.h"
#include "tiering/cold_index.h"
#include "tiering/cold_scan.h"

#include <stdatomic.h>
#include <string.h>

enum { SELECTIONS_MAX = 4 }; /* a segment remembers */

static uint64_t words_of(uint32_t rows)
{
    return ((uint64_t)rows + 63) / 64;
}

static uint64_t bytes_of(uint32_t rows, bool exact)
{
    return sizeof(struct cold_selection) + words_of(rows) * sizeof(uint64_t) * (exact ? 1 : 2);
}

void cold_selection_drop(struct cold_selection *s)
{
    if (s == NULL || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    cache_uncharge(s->cache, bytes_of(s->rows, s->sure == NULL));
    mem_free(s);
}

bool cold_filter_row(const struct cold_segment *s, const struct filter *filter,
                     const struct cold_payload_row *row)
{
    struct filter_row asked = {.id = &row->id, .payload = row->payload};

    if (filter_is_all(filter))
        return true;
    for (uint16_t i = 0; i < s->footer.field_count; i++)
        if ((row->fields >> i & 1) != 0 && s->place_of[i] >= 0)
            asked.vectors |= UINT64_C(1) << s->place_of[i];
    return filter_match(filter, &asked);
}

/* --- remembered --- */

static struct cold_selection *recall(struct cold_segment *s, const uint64_t key[2])
{
    struct cold_selection *found = NULL;

    lock_take(&s->lock);
    for (struct cold_selection **at = &s->newest; *at != NULL; at = &(*at)->older) {
        if ((*at)->key[0] != key[0] || (*at)->key[1] != key[1])
            continue;
        found = *at; /* to the front */
        *at = found->older;
        found->older = s->newest;
        s->newest = found;
        atomic_fetch_add(&found->refs, 1);
        break;
    }
    lock_drop(&s->lock);
    return found;
}

static void remember(struct cold_segment *s, struct cold_selection *selection)
{
    struct cold_selection **at = &s->newest, *oldest;

    atomic_fetch_add(&selection->refs, 1);
    lock_take(&s->lock);
    selection->older = s->newest;
    s->newest = selection;
    for (unsigned i = 0; i < SELECTIONS_MAX && *at != NULL; i++)
        at = &(*at)->older;
    oldest = *at;
    *at = NULL;
    lock_drop(&s->lock);
    cold_selection_drop(oldest); /* one at most */
}

/* --- by indexes --- */

static struct cold_selection *make(struct cold_set *s, uint32_t rows, const uint64_t key[2],
                                   bool exact)
{
    struct cold_selection *selection = mem_zero((size_t)bytes_of(rows, exact));

    if (selection == NULL)
        return NULL;
    selection->refs = 1;
    selection->cache = s->cache;
    selection->rows = rows;
    selection->exact = exact;
    selection->sure = exact ? NULL : selection->bits + words_of(rows);
    memcpy(selection->key, key, sizeof selection->key);
    cache_charge(s->cache, bytes_of(rows, exact));
    return selection;
}

static status no_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for a filter's rows");
}

static bool goes_on(void *arg)
{
    const struct cold_terms *terms = arg;

    return terms->deadline_ns == 0 || clock_mono_ns(clock_real()) < terms->deadline_ns;
}

static struct cold_selection *take_answer(struct cold_set *s, const struct cold_segment *segment,
                                          const uint64_t key[2], const struct pindex_answer *a)
{
    struct cold_selection *out = make(s, segment->footer.rows, key, a->exact);
    size_t bytes = (size_t)words_of(segment->footer.rows) * sizeof(uint64_t);

    if (out == NULL)
        return NULL;
    memcpy(out->bits, a->bits, bytes);
    if (!a->exact && a->sure != NULL)
        memcpy(out->sure, a->sure, bytes);
    out->matched = (uint32_t)a->count;
    out->asked = segment->footer.rows;
    out->whole = true;
    return out;
}

static status ask_indexes(struct cold_set *s, struct cold_segment *segment,
                          const struct filter *filter, const uint64_t key[2],
                          const struct cold_terms *terms, struct cold_stats *stats,
                          struct cold_selection **out, struct err *err)
{
    struct pindex_answer answer = {.used = false};
    struct cold_loaded loaded;
    status st = cold_index_load(s, segment, filter, terms, stats, &loaded, err);

    *out = NULL;
    if (st != ST_OK || loaded.set == NULL)
        return st;
    st = pindex_lookup_while(loaded.set, filter, &loaded.arena, goes_on, (void *)(uintptr_t)terms,
                             &answer, err);
    if (st == ST_OK && answer.used) {
        *out = take_answer(s, segment, key, &answer);
        if (*out == NULL)
            st = no_memory(err);
    }
    cold_loaded_free(&loaded);
    if (*out != NULL && (*out)->exact)
        remember(segment, *out);
    return st;
}

status cold_narrow(struct cold_set *s, uint32_t member, const struct filter *filter,
                   const struct cold_terms *terms, struct cold_stats *stats,
                   struct cold_selection **out, struct err *err)
{
    struct cold_segment *segment = s->members[member].segment;
    uint64_t key[2];
    status st = cold_filter_key(filter, key, err);

    *out = NULL;
    if (st != ST_OK)
        return st;
    *out = recall(segment, key);
    return *out != NULL ? ST_OK : ask_indexes(s, segment, filter, key, terms, stats, out, err);
}

/* --- by payloads --- */

struct selecting {
    const struct cold_segment *segment;
    const struct filter *filter;
    struct cold_selection *selection;
    struct cold_stats *stats;
};

static status ask_row(void *arg, uint32_t ordinal, const struct cold_payload_row *row,
                      struct err *err)
{
    struct selecting *s = arg;
    struct cold_selection *out = s->selection;

    (void)err;
    if (s->stats != NULL)
        s->stats->filter_rows++;
    if (cold_filter_row(s->segment, s->filter, row)) {
        out->bits[ordinal / 64] |= UINT64_C(1) << ordinal % 64;
        out->matched++;
    }
    out->asked = ordinal + 1;
    return ST_OK;
}

/* Begins with what must match; the rest of what may is asked, or all rows are. */
static status ask_rows(struct cold_set *s, struct selecting *by, struct cold_selection *narrowed,
                       const struct cold_terms *terms, struct err *err)
{
    struct cold_selection *out = by->selection;
    uint32_t rows = by->segment->footer.rows;

    if (narrowed == NULL)
        return cold_scan_payload(s, by->segment, terms, ask_row, by, by->stats, err);
    for (size_t i = 0; i < words_of(rows); i++) {
        out->bits[i] = narrowed->sure[i];
        out->matched += (uint32_t)bits_in_word(out->bits[i]);
        narrowed->bits[i] &= ~narrowed->sure[i];
    }
    return cold_scan_some(s, by->segment, narrowed->bits, terms, ask_row, by, by->stats, err);
}

status cold_select(struct cold_set *s, uint32_t member, const struct filter *filter,
                   const struct cold_terms *terms, struct cold_stats *stats,
                   struct cold_selection **out, struct err *err)
{
    struct cold_segment *segment = s->members[member].segment;
    struct selecting selecting = {.segment = segment, .filter = filter, .stats = stats};
    struct cold_selection *narrowed;
    uint64_t key[2];
    status st = cold_narrow(s, member, filter, terms, stats, &narrowed, err);

    if (st == ST_OK && narrowed != NULL && narrowed->exact) {
        *out = narrowed;
        return ST_OK;
    }
    if (st == ST_OK)
        st = cold_filter_key(filter, key, err);
    selecting.selection = st == ST_OK ? make(s, segment->footer.rows, key, true) : NULL;
    if (st == ST_OK && selecting.selection == NULL)
        st = no_memory(err);
    if (st == ST_OK)
        st = ask_rows(s, &selecting, narrowed, terms, err);
    cold_selection_drop(narrowed);
    if (st == ST_OK) {
        selecting.selection->whole = true;
        remember(segment, selecting.selection);
    } else if (selecting.selection == NULL || selecting.selection->asked == 0 || st == ST_CORRUPT ||
               st == ST_CLOSED || st == ST_NOMEM) {
        cold_selection_drop(selecting.selection);
        return st;
    }
    *out = selecting.selection;
    return ST_OK;
}
