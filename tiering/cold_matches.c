/* Rows of a set that match a filter, as far as indexes know them. */
#include "base/bits.h"
#include "base/mem.h"
#include "tiering/cold_internal.h"

struct cold_matches {
    const struct cold_set *set; /* borrowed */
    uint64_t count;
    struct cold_selection *selections[]; /* of members */
};

void cold_matches_drop(struct cold_matches *m)
{
    for (uint32_t i = 0; m != NULL && i < m->set->count; i++)
        cold_selection_drop(m->selections[i]);
    mem_free(m);
}

static uint64_t count_alive(const struct cold_member *m, const struct cold_selection *s)
{
    const uint64_t *dead = m->graves->dead.bits;
    uint64_t count = 0;

    for (size_t i = 0; i < ((size_t)s->rows + 63) / 64; i++)
        count += bits_in_word(dead == NULL ? s->bits[i] : s->bits[i] & ~dead[i]);
    return count;
}

status cold_set_matches(struct cold_set *s, const struct filter *filter,
                        const struct cold_terms *terms, struct cold_stats *stats,
                        struct cold_matches **out, struct err *err)
{
    struct cold_matches *m = mem_zero(sizeof *m + s->count * sizeof(struct cold_selection *));
    bool known = true;
    status st = ST_OK;

    *out = NULL;
    if (m == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a filter's rows");
    m->set = s;
    for (uint32_t i = 0; st == ST_OK && known && i < s->count; i++) {
        struct cold_selection **at = &m->selections[i];

        st = cold_narrow(s, i, filter, terms, stats, at, err);
        known = *at != NULL && (*at)->exact && (*at)->whole;
        m->count += known ? count_alive(&s->members[i], *at) : 0;
    }
    if (st == ST_OK && known)
        *out = m;
    else
        cold_matches_drop(m);
    return st;
}

uint64_t cold_matches_count(const struct cold_matches *m)
{
    return m->count;
}

bool cold_matches_has(const struct cold_matches *m, uint32_t segment, uint32_t ordinal)
{
    return cold_selection_has(m->selections[segment], ordinal);
}
