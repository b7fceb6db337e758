/* pressure.h - how hard the node pushes back on writers, a pure rule (DESIGN section 4).
 *
 * Threads    pure. */
#ifndef TIERING_PRESSURE_H
#define TIERING_PRESSURE_H

#include "base/status.h"

enum pressure_level {
    PRESSURE_GREEN = 0,
    PRESSURE_YELLOW = 1,
    PRESSURE_ORANGE = 2,
    PRESSURE_RED = 3
};
const char *pressure_level_name(enum pressure_level l); /* "green", ... */
enum { PRESSURE_YELLOW_PERCENT = 50, PRESSURE_ORANGE_PERCENT = 75, PRESSURE_RED_PERCENT = 92 };
struct pressure_facts {
    uint64_t unshipped_bytes, unshipped_bytes_max;
    uint64_t disk_free, disk_reserve; /* reserve: below twice of it orange, below it red; 0: not
                                       * looked at */
    uint64_t lag_ms, rpo_ms;          /* lag over five times rpo: at least yellow */
};
struct pressure {
    enum pressure_level level;
    uint32_t retry_after_s; /* ORANGE and RED */
    /* Of writes of one document, from ORANGE on: rises evenly to 100 at RED. Those of many wait
     * all, so that who writes little still gets through. */
    uint32_t refuse_percent;
    bool disk;      /* it is the disk's room, not what waits for the bucket */
    char text[256]; /* why, and what to do; "" when green */
};
void pressure_level(const struct pressure_facts *facts, struct pressure *out);

#endif
