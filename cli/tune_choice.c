#include "cli/tune.h"

#include <string.h>

/* slack: what may be slower than the fastest by this much, where it takes less memory. */
static const struct {
    const char *name;
    double floor, slack;
} PROFILES[] = {
    [TUNE_HIGH_RECALL] = {"high-recall", 0.99, 1.25},
    [TUNE_BALANCED] = {"balanced", 0.95, 1.25},
    [TUNE_LOW_LATENCY] = {"low-latency", 0.90, 1.05},
};

bool tune_profile_parse(const char *name, enum tune_profile *out)
{
    for (size_t i = 0; i < COUNT_OF(PROFILES); i++)
        if (strcmp(name, PROFILES[i].name) == 0) {
            *out = (enum tune_profile)i;
            return true;
        }
    return false;
}

const char *tune_profile_name(enum tune_profile profile)
{
    return PROFILES[profile].name;
}

double tune_floor(enum tune_profile profile)
{
    return PROFILES[profile].floor;
}

uint64_t tune_bytes(const struct tune_point *p, uint64_t rows)
{
    return (uint64_t)(p->row_bytes * (double)rows);
}

static bool fits(const struct tune_point *p, const struct tune_wish *wish)
{
    return wish->memory_bytes == 0 || tune_bytes(p, wish->rows) <= wish->memory_bytes;
}

static bool serves(const struct tune_point *p, const struct tune_wish *wish)
{
    return fits(p, wish) && p->recall >= tune_floor(wish->profile);
}

/* Each says whether a is to be taken rather than b; what is level, by what follows. */
static bool faster(const struct tune_point *a, const struct tune_point *b)
{
    if (a->p50_us < b->p50_us || a->p50_us > b->p50_us)
        return a->p50_us < b->p50_us;
    return a->row_bytes < b->row_bytes;
}

static bool smaller(const struct tune_point *a, const struct tune_point *b)
{
    if (a->row_bytes < b->row_bytes || a->row_bytes > b->row_bytes)
        return a->row_bytes < b->row_bytes;
    return faster(a, b);
}

static bool finds_more(const struct tune_point *a, const struct tune_point *b)
{
    if (a->recall < b->recall || a->recall > b->recall)
        return a->recall > b->recall;
    return faster(a, b);
}

enum tune_verdict tune_choose(const struct tune_point *points, size_t count,
                              const struct tune_wish *wish, size_t *best)
{
    const struct tune_point *quick = NULL, *most = NULL, *least = &points[0], *taken;

    for (size_t i = 0; i < count; i++) {
        const struct tune_point *p = &points[i];

        if (smaller(p, least))
            least = p;
        if (fits(p, wish) && (most == NULL || finds_more(p, most)))
            most = p;
        if (serves(p, wish) && (quick == NULL || faster(p, quick)))
            quick = p;
    }
    taken = quick;
    for (size_t i = 0; quick != NULL && i < count; i++)
        if (serves(&points[i], wish) &&
            points[i].p50_us <= quick->p50_us * PROFILES[wish->profile].slack &&
            smaller(&points[i], taken))
            taken = &points[i];
    *best = (size_t)((taken != NULL ? taken : most != NULL ? most : least) - points);
    return taken != NULL ? TUNE_FINE : most != NULL ? TUNE_BELOW : TUNE_TOO_BIG;
}

bool tune_parse_bytes(const char *text, uint64_t *out)
{
    static const char prefixes[] = "KMGT";
    uint64_t n = 0, unit = 1;
    const char *at = text;
    const char *prefix;

    for (; *at >= '0' && *at <= '9' && n <= UINT64_MAX / 100; at++)
        n = n * 10 + (uint64_t)(*at - '0');
    if (at == text)
        return false;
    prefix = *at == '\0' ? NULL : strchr(prefixes, *at == 'k' ? 'K' : *at);
    if (prefix != NULL) {
        uint64_t step = at[1] == 'i' ? 1024 : 1000;

        for (const char *p = prefixes; p <= prefix; p++)
            unit *= step;
        at += at[1] == 'i' ? 2 : 1;
    }
    if (*at == 'B')
        at++;
    if (*at != '\0' || n == 0 || n > UINT64_MAX / unit)
        return false;
    *out = n * unit;
    return true;
}
