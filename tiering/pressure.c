#include "tiering/pressure.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ORANGE_RETRY_S = 5, RED_RETRY_S = 30, LAGS_OF_RPO = 5 };

const char *pressure_level_name(enum pressure_level l)
{
    static const char *const NAMES[] = {[PRESSURE_GREEN] = "green",
                                        [PRESSURE_YELLOW] = "yellow",
                                        [PRESSURE_ORANGE] = "orange",
                                        [PRESSURE_RED] = "red"};

    return (size_t)l < COUNT_OF(NAMES) ? NAMES[l] : "unknown";
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
    if (reserve == 0)
        return PRESSURE_GREEN;
    if (free_bytes < reserve)
        return PRESSURE_RED;
    return free_bytes - reserve < reserve ? PRESSURE_ORANGE : PRESSURE_GREEN;
}

/* How far from ORANGE (1) to RED (100). */
static uint32_t percent_of(uint64_t part, uint64_t whole)
{
    uint64_t percent =
        part > UINT64_MAX / 100 ? part / (whole / 100) : part * 100 / (whole == 0 ? 1 : whole);

    return percent < 1 ? 1 : percent > 100 ? 100 : (uint32_t)percent;
}

static uint32_t refuse_percent(const struct pressure_facts *f, enum pressure_level budget,
                               enum pressure_level disk)
{
    uint64_t orange = share(f->unshipped_bytes_max, PRESSURE_ORANGE_PERCENT);
    uint64_t red = share(f->unshipped_bytes_max, PRESSURE_RED_PERCENT);
    uint32_t percent = 0;
    uint32_t of_room = 0;

    if (budget == PRESSURE_RED || disk == PRESSURE_RED)
        return 100;
    if (budget == PRESSURE_ORANGE)
        percent = percent_of(f->unshipped_bytes - orange, red - orange);
    if (disk == PRESSURE_ORANGE)
        of_room = percent_of(f->disk_reserve - (f->disk_free - f->disk_reserve), f->disk_reserve);
    return percent > of_room ? percent : of_room;
}

static enum pressure_level of_lag(uint64_t lag_ms, uint64_t rpo_ms)
{
    return rpo_ms > 0 && lag_ms / LAGS_OF_RPO >= rpo_ms && lag_ms > LAGS_OF_RPO * rpo_ms
               ? PRESSURE_YELLOW
               : PRESSURE_GREEN;
}

static const char *consequence(enum pressure_level level)
{
    if (level == PRESSURE_RED)
        return "writes are refused until it is less";
    return level == PRESSURE_ORANGE ? "writes of many documents wait, single ones are slowed"
                                    : "nothing is refused yet";
}

static void say(const struct pressure_facts *f, enum pressure_level budget,
                enum pressure_level disk, struct pressure *out)
{
    const char *then = consequence(out->level);

    if (budget == out->level)
        (void)snprintf(out->text, sizeof out->text,
                       "%" PRIu64 " of at most %" PRIu64 " bytes wait for the bucket; %s",
                       f->unshipped_bytes, f->unshipped_bytes_max, then);
    else if (disk == out->level)
        (void)snprintf(out->text, sizeof out->text,
                       "the data directory's disk is %s: %" PRIu64 " bytes are free, %" PRIu64
                       " are reserved; %s",
                       disk == PRESSURE_RED ? "full" : "nearly full", f->disk_free, f->disk_reserve,
                       then);
    else
        (void)snprintf(out->text, sizeof out->text,
                       "the oldest write the bucket lacks is %" PRIu64 " s old; %s",
                       f->lag_ms / 1000, then);
}

void pressure_level(const struct pressure_facts *facts, struct pressure *out)
{
    enum pressure_level budget = of_budget(facts->unshipped_bytes, facts->unshipped_bytes_max);
    enum pressure_level disk = of_disk(facts->disk_free, facts->disk_reserve);
    enum pressure_level lag = of_lag(facts->lag_ms, facts->rpo_ms);

    memset(out, 0, sizeof *out);
    out->level = disk > budget ? disk : budget;
    if (lag > out->level)
        out->level = lag;
    if (out->level == PRESSURE_ORANGE)
        out->retry_after_s = ORANGE_RETRY_S;
    if (out->level == PRESSURE_RED)
        out->retry_after_s = RED_RETRY_S;
    out->refuse_percent = refuse_percent(facts, budget, disk);
    out->disk = out->level != PRESSURE_GREEN && disk == out->level && budget < disk;
    if (out->level != PRESSURE_GREEN)
        say(facts, budget, disk, out);
}
