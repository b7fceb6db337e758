/* Queries of cold_set.h until they are there: weak, so that they take the place of it. To be
 * removed with that. */
#include "tiering/cold_set.h"

#define WEAK __attribute__((weak))

static status none(struct err *err)
{
    return err_set(err, ST_UNSUPPORTED, "this version searches no cold segments");
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
