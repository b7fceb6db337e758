/* pressure.h - how close a node is to having no room for what the bucket does not take: a level, a
 * text, and what a client is told.
 *
 *   level    unshipped bytes of their budget   free disk
 *   yellow   50 %                              under twice the reserve      an alarm
 *   orange   75 %                              under 1.5 times the reserve  bulk writes: 429
 *   red      92 %                              under the reserve            every write: 507
 *
 * The higher of the two counts. Deletes, reads and administration go on at every level.
 *
 * Threads    pure. */
#ifndef TIERING_PRESSURE_H
#define TIERING_PRESSURE_H

#include "base/status.h"

#include <stdint.h>

enum pressure_level {
    PRESSURE_GREEN = 0,
    PRESSURE_YELLOW,
    PRESSURE_ORANGE,
    PRESSURE_RED,
};
const char *pressure_level_name(enum pressure_level level);

enum {
    PRESSURE_YELLOW_PERCENT = 50,
    PRESSURE_ORANGE_PERCENT = 75,
    PRESSURE_RED_PERCENT = 92,
    PRESSURE_ORANGE_RETRY_S = 5,
    PRESSURE_RED_RETRY_S = 30,
    PRESSURE_TEXT_BYTES = 160,
};
struct pressure {
    enum pressure_level level;
    uint32_t retry_after_s;         /* 0: nothing is refused */
    char text[PRESSURE_TEXT_BYTES]; /* which of the two, with its numbers; "" when green */
};
/* unshipped_max 0: no budget; disk_reserve 0: the disk does not count. */
enum pressure_level pressure_find(uint64_t unshipped_bytes, uint64_t unshipped_max,
                                  uint64_t disk_free, uint64_t disk_reserve, struct pressure *out);

#endif
