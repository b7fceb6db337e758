/* clock.h - time as a table of functions, so that a test can move it.
 *
 * Monotonic time is for durations and deadlines, wall time for what people read; they are never
 * mixed. clock_manual() starts at what it is told and moves only when told.
 *
 * Threads    any; a manual clock too. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/status.h"

struct clock {
    uint64_t (*mono_ns)(struct clock *c);
    uint64_t (*wall_ns)(struct clock *c); /* since 1970-01-01 UTC */
};

struct clock *clock_real(void); /* static, never freed */

struct clock_manual {
    struct clock clock; /* pass &m->clock */
    _Atomic uint64_t mono_ns;
    _Atomic uint64_t wall_ns;
};
void clock_manual_init(struct clock_manual *m, uint64_t mono_ns, uint64_t wall_ns);
void clock_manual_advance(struct clock_manual *m, uint64_t ns);

static inline uint64_t clock_mono_ns(struct clock *c)
{
    return c->mono_ns(c);
}
static inline uint64_t clock_wall_ns(struct clock *c)
{
    return c->wall_ns(c);
}

enum { CLOCK_TEXT_BYTES = 32 };
/* RFC 3339 with nine digits and Z: 2026-01-02T03:04:05.000000006Z. */
void clock_format_rfc3339(uint64_t wall_ns, char text[CLOCK_TEXT_BYTES]);

#endif
