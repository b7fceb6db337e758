#include "tiering/pressure.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *pressure_level_name(enum pressure_level level)
{
    static const char *const NAMES[] = {[PRESSURE_GREEN] = "green",
                                        [PRESSURE_YELLOW] = "yellow",
                                        [PRESSURE_ORANGE] = "orange",
                                        [PRESSURE_RED] = "red"};

    return (size_t)level < COUNT_OF(NAMES) ? NAMES[level] : "unknown";
}

/* whole * percent / 100, rounded up, without a product that runs over. */
static uint64_t share(uint64_t whole, uint64_t percent)
{
    return whole / 100 * percent + (whole % 100 * percent + 99) / 100;
}

static enum pressure_level of_budget(uint64_t bytes, uint64_t max)
{
    if (max == 0)
        return PRESSURE_GREEN;
    if (bytes >= share(max, PRESSURE_RED_PERCENT))
        return PRESSURE_RED;
    if (bytes >= share(max, PRESSURE_ORANGE_PERCENT))
        return PRESSURE_ORANGE;
    return bytes >= share(max, PRESSURE_YELLOW_PERCENT) ? PRESSURE_YELLOW : PRESSURE_GREEN;
}

static enum pressure_level of_disk(uint64_t free_bytes, uint64_t reserve)
{
    uint64_t above = free_bytes >= reserve ? free_bytes - reserve : 0;

    if (reserve == 0)
        return PRESSURE_GREEN;
    if (free_bytes < reserve)
        return PRESSURE_RED;
    if (above < reserve / 2)
        return PRESSURE_ORANGE;
    return above < reserve ? PRESSURE_YELLOW : PRESSURE_GREEN;
}

enum pressure_level pressure_find(uint64_t unshipped_bytes, uint64_t unshipped_max,
                                  uint64_t disk_free, uint64_t disk_reserve, struct pressure *out)
{
    enum pressure_level budget = of_budget(unshipped_bytes, unshipped_max);
    enum pressure_level disk = of_disk(disk_free, disk_reserve);

    memset(out, 0, sizeof *out);
    out->level = disk > budget ? disk : budget;
    if (out->level == PRESSURE_ORANGE)
        out->retry_after_s = PRESSURE_ORANGE_RETRY_S;
    if (out->level == PRESSURE_RED)
        out->retry_after_s = PRESSURE_RED_RETRY_S;
    if (out->level == PRESSURE_GREEN)
        return out->level;
    if (budget >= disk)
        (void)snprintf(out->text, sizeof out->text,
                       "%" PRIu64 " of at most %" PRIu64
                       " bytes wait for the bucket, which does not take them fast enough",
                       unshipped_bytes, unshipped_max);
    else
        (void)snprintf(out->text, sizeof out->text,
                       "%" PRIu64 " bytes are free on the data directory's disk, %" PRIu64
                       " are reserved",
                       disk_free, disk_reserve);
    return out->level;
}
