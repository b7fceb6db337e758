/* Which rows of a segment a filter lets through: found by reading all its payload once, then
 * remembered for the next query of the same filter. */
#include "base/mem.h"
#include "tiering/cold_scan.h"

#include <stdatomic.h>
#include <string.h>

enum { SELECTIONS_MAX = 4 }; /* a segment remembers */

static uint64_t bytes_of(uint32_t rows)
{
    return sizeof(struct cold_selection) + ((uint64_t)rows + 63) / 64 * sizeof(uint64_t);
}

void cold_selection_drop(struct cold_selection *s)
{
    if (s == NULL || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    cache_uncharge(s->cache, bytes_of(s->rows));
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

/* --- found out --- */

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

static struct cold_selection *make(struct cold_set *s, uint32_t rows, const uint64_t key[2])
{
    struct cold_selection *selection = mem_zero((size_t)bytes_of(rows));

    if (selection == NULL)
        return NULL;
    selection->refs = 1;
    selection->cache = s->cache;
    selection->rows = rows;
    memcpy(selection->key, key, sizeof selection->key);
    cache_charge(s->cache, bytes_of(rows));
    return selection;
}

status cold_select(struct cold_set *s, uint32_t member, const struct filter *filter,
                   const struct cold_terms *terms, struct cold_stats *stats,
                   struct cold_selection **out, struct err *err)
{
    struct cold_segment *segment = s->members[member].segment;
    struct selecting selecting = {.segment = segment, .filter = filter, .stats = stats};
    uint64_t key[2];
    status st = cold_filter_key(filter, key, err);

    if (st != ST_OK)
        return st;
    *out = recall(segment, key);
    if (*out != NULL)
        return ST_OK;
    selecting.selection = make(s, segment->footer.rows, key);
    if (selecting.selection == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a filter's rows");
    st = cold_scan_payload(s, segment, terms, ask_row, &selecting, stats, err);
    if (st == ST_OK) {
        selecting.selection->whole = true;
        remember(segment, selecting.selection);
    } else if (selecting.selection->asked == 0 || st == ST_CORRUPT || st == ST_CLOSED) {
        cold_selection_drop(selecting.selection);
        return st;
    }
    *out = selecting.selection;
    return ST_OK;
}
