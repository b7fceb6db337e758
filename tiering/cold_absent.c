/* cold_set.h where nothing opens sets yet: weak, so that what does takes the place of it. To be
 * removed with that. */
#include "tiering/cold_set.h"

#define WEAK __attribute__((weak))

static status none(struct err *err)
{
    return err_set(err, ST_UNSUPPORTED, "this version opens no cold segments");
}

WEAK struct cold_set *cold_set_hold(struct cold_set *s)
{
    return s;
}

WEAK void cold_set_drop(struct cold_set *s)
{
    (void)s;
}

WEAK uint64_t cold_set_rows(const struct cold_set *s)
{
    (void)s;
    return 0;
}

WEAK status cold_set_query(struct cold_set *s, const struct cold_query *query,
                           const struct cold_terms *terms, struct arena *arena,
                           struct cold_hit **hits, uint32_t *count, bool *partial,
                           struct cold_stats *stats, struct err *err)
{
    (void)s, (void)query, (void)terms, (void)arena, (void)hits, (void)count, (void)partial,
        (void)stats;
    return none(err);
}

WEAK status cold_set_get(struct cold_set *s, const struct docid *ids, size_t count, unsigned what,
                         uint64_t vectors, const struct cold_terms *terms, struct arena *arena,
                         struct cold_row *out, struct cold_stats *stats, struct err *err)
{
    (void)s, (void)ids, (void)count, (void)what, (void)vectors, (void)terms, (void)arena, (void)out,
        (void)stats;
    return none(err);
}

WEAK status cold_set_rows_at(struct cold_set *s, struct cold_row *rows, size_t count, unsigned what,
                             uint64_t vectors, const struct cold_terms *terms, struct arena *arena,
                             struct cold_stats *stats, struct err *err)
{
    (void)s, (void)rows, (void)count, (void)what, (void)vectors, (void)terms, (void)arena,
        (void)stats;
    return none(err);
}

WEAK status cold_set_find(struct cold_set *s, const struct docid *ids, size_t count,
                          const struct cold_terms *terms, uint64_t *lsns, struct err *err)
{
    (void)s, (void)ids, (void)count, (void)terms, (void)lsns;
    return none(err);
}

WEAK status cold_set_page(struct cold_set *s, const struct docid *after, uint32_t max,
                          const struct cold_terms *terms, struct arena *arena, struct cold_row *out,
                          uint32_t *count, struct err *err)
{
    (void)s, (void)after, (void)max, (void)terms, (void)arena, (void)out, (void)count;
    return none(err);
}

WEAK status cold_set_each(struct cold_set *s, const struct filter *filter, unsigned what,
                          uint64_t vectors, const struct cold_terms *terms, cold_row_fn *fn,
                          void *arg, struct cold_stats *stats, struct err *err)
{
    (void)s, (void)filter, (void)what, (void)vectors, (void)terms, (void)fn, (void)arg, (void)stats;
    return none(err);
}

WEAK status cold_set_warm(struct cold_set *s, const struct cold_terms *terms, uint64_t *bytes,
                          struct err *err)
{
    (void)s, (void)terms, (void)bytes;
    return none(err);
}

WEAK uint64_t cold_set_unload(struct cold_set *s)
{
    (void)s;
    return 0;
}
