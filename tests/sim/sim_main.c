/* Usage: sim [--trace] [--sweep] [--cold] [--twin NAME] [FIRST_SEED [COUNT [CRASH]]]
 *        sim --seeds FILE        (a seed a line, with the effect before which it crashes, or not)
 *        sim --outage 8h [SEED]  (sim_outage.c)
 *
 * Runs the seeds; the first that fails is printed as `seed N: why`, and the exit status is 1. With
 * --cold the collection is under S3Only (sim_fold.c). With
 * --sweep each seed is run again and again, with a crash before the first effect, the second, ...
 * With --twin the core is broken in one place and a seed must fail: exit status 0 if one does.
 * Without, the seeds together must also have reached what is in SIM_SEEN_NAMES (from 10,000 seeds
 * on).
 */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS = 3000, SEEN_FROM = 10000 };

const char *const SIM_SEEN_NAMES[SEEN_COUNT] = {
    [SEEN_TAKEOVER_DURING_COMMIT] = "a takeover while a commit was under way",
    [SEEN_LOST_200] = "a CAS that won and whose answer was lost",
    [SEEN_LATE_PUT_AFTER_TAKEOVER] = "a PUT of an old owner that arrived after a takeover",
    [SEEN_TWO_OPEN_EPOCHS] = "a root with two open epochs",
    [SEEN_DIVERGED_RELOAD] = "a log that had diverged and was loaded anew",
    [SEEN_DIVERGENT_TAIL] = "a divergent tail",
    [SEEN_PARKED_AND_STORED] = "a parked seal that was stored later",
    [SEEN_GAP] = "a gap",
    [SEEN_DISCARDED_BUT_STORED] = "a discarded seal that had been stored",
    [SEEN_FENCED_WHILE_REMOTE_WAITS] = "an owner that was fenced while a remote write waited",
    [SEEN_FOREIGN] = "a node without the right to take",
    [SEEN_ROOT_LOST_AND_FOUND] = "a root that was lost and found",
    [SEEN_HALTED_BY_BAD_BYTES] = "a group whose bytes were wrong twice",
    [SEEN_COMMIT_RESOLVED] = "a CAS that was answered with 412 and had won",
    [SEEN_FLOOR_IN_OPEN_EPOCH] = "an open epoch with the floor in it",
    [SEEN_SAME_NAME_FENCED] = "two nodes of one name, one of them fenced",
    [SEEN_DROPPED_UNDER_FAULTS] = "a drop while others ship and requests are lost",
    [SEEN_HINT_LOST] = "a trimmed log without its hint that went on by its last group",
    [SEEN_END_LOST] = "a log that ended before its hint",
    [SEEN_COLLECTED] = "a run that collected something",
    [SEEN_COLLECTOR_FENCED] = "a collector that lost the collection in the middle",
    [SEEN_LATE_DELETE] = "a delete that arrived after its process",
    [SEEN_DEAD_PIN] = "a pin whose manifest is not there",
    [SEEN_PIN_HELD] = "a pin that held",
    [SEEN_PIN_TOO_LATE] = "a pin that came too late",
    [SEEN_READER_404] = "a reader that missed something",
    [SEEN_READ_THROUGH] = "a reader that came to the end",
    [SEEN_TAIL_SETTLED] = "a tail that nobody vouched for, opened on a full disk",
    [SEEN_THROTTLED] = "a store that throttles",
    [SEEN_STORE_FULL] = "a full store",
    [SEEN_SLOW] = "an answer after minutes",
    [SEEN_PARTIAL] = "an answer that was cut short",
    [SEEN_HALF_OPEN] = "a breaker that tries again",
    [SEEN_RED] = "writes refused at red",
    [SEEN_TORN_TAIL] = "a log with a torn tail",
    [SEEN_POWER_CUT] = "a power cut",
    [SEEN_CRASH_IN_WRITE] = "a crash between two effects on the disk",
    [SEEN_REFUSED_IN_FLIGHT] = "a failed sync with records in flight, which were refused",
    [SEEN_UNKNOWN_OUTCOME] = "a failed sync whose cut could not be stated",
    [SEEN_FULL_DISK_AND_BACK] = "a full disk, and a write after it",
    [SEEN_BIT_ROT] = "a bit of a log that turned",
    [SEEN_DAMAGED_LOG] = "a log that was found damaged",
    [SEEN_HEALED_FROM_BUCKET] = "a damaged log whose collection was loaded from the bucket",
    [SEEN_FOLDED] = "a fold",
    [SEEN_MERGED] = "a fold that merged segments",
    [SEEN_CRASH_BETWEEN_EFFECTS] = "a crash between two effects of a step",
};

static const struct {
    const char *name;
    uint32_t twin;
} TWINS[] = {
    {"skip_epoch_check", STREAM_TWIN_SKIP_EPOCH_CHECK},
    {"skip_fence_read", STREAM_TWIN_SKIP_FENCE_READ},
    {"forget_open", STREAM_TWIN_FORGET_OPEN},
    {"trust_404", STREAM_TWIN_TRUST_404},
    {"cursor_from_local", STREAM_TWIN_CURSOR_FROM_LOCAL},
    {"409_as_412", STREAM_TWIN_409_AS_412},
    {"reuse_nonce", STREAM_TWIN_REUSE_NONCE},
    {"advance_over_hole", STREAM_TWIN_ADVANCE_OVER_HOLE},
    {"trim_shipped", SIM_TWIN_TRIM_SHIPPED},
    {"lose_tail", SIM_TWIN_LOSE_TAIL},
    {"forget_sync", SIM_TWIN_FORGET_SYNC},
    {"believe_partial", SIM_TWIN_BELIEVE_PARTIAL},
    {"believe_pin", SIM_TWIN_BELIEVE_PIN},
    {"list_from_one", SIM_TWIN_LIST_FROM_ONE},
    {"collect_without_revalidating", COLLECT_TWIN_NO_REVALIDATION << SIM_TWIN_COLLECT_SHIFT},
    {"delete_by_local_clock", COLLECT_TWIN_LOCAL_CLOCK << SIM_TWIN_COLLECT_SHIFT},
    {"ignore_pins", COLLECT_TWIN_IGNORE_PINS << SIM_TWIN_COLLECT_SHIFT},
    {"mark_last", COLLECT_TWIN_MARK_LAST << SIM_TWIN_COLLECT_SHIFT},
    {"check_reaches", SIM_TWIN_CHECK_REACHES},
    {"forget_cold", COLLECT_TWIN_FORGET_COLD << SIM_TWIN_COLLECT_SHIFT},
    {"fold_early", SIM_TWIN_FOLD_EARLY},
    {"fold_fenced", SIM_TWIN_FOLD_FENCED},
};

static struct sim world;

static uint32_t twin_of(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(TWINS); i++)
        if (strcmp(TWINS[i].name, name) == 0)
            return TWINS[i].twin;
    fprintf(stderr, "no twin is called %s\n", name);
    exit(2);
}

static int verdict(const char *twin, bool cold, uint64_t failed, uint64_t count)
{
    int missing = 0;

    if (twin != NULL) {
        if (failed == 0)
            printf("twin %s passed %llu seeds: the checks do not see it\n", twin,
                   (unsigned long long)count);
        return failed == 0;
    }
    if (failed > 0)
        return 1;
    for (size_t i = 0; i < (cold ? SEEN_COUNT : SEEN_FOLDED) && count >= SEEN_FROM; i++)
        if (!world.seen[i]) {
            printf("never reached: %s\n", SIM_SEEN_NAMES[i]);
            missing = 1;
        }
    return missing;
}

struct totals {
    uint64_t failed, runs, steps, requests;
};

static void run(const struct sim_options *o, struct totals *t)
{
    sim_run(&world, o);
    t->runs++;
    t->steps += world.steps;
    t->requests += world.request_count;
    if (!world.failed)
        return;
    t->failed++;
    printf("%sseed %llu", o->twins != 0 ? "caught by " : "", (unsigned long long)o->seed);
    if (o->crash_at != 0)
        printf(" with a crash before effect %llu", (unsigned long long)o->crash_at);
    printf(": %s\n", world.text);
}

/* The same seed again: every step of it. */
static bool replays(uint64_t seed, bool cold)
{
    const struct sim_options o = {.seed = seed, .cold = cold};
    uint64_t steps, random;

    sim_run(&world, &o);
    steps = world.steps;
    random = world.random;
    sim_run(&world, &o);
    if (steps == world.steps && random == world.random)
        return true;
    printf("seed %llu does not replay\n", (unsigned long long)seed);
    return false;
}

static void sweep(struct sim_options o, struct totals *t)
{
    uint64_t effects = world.effect_count;

    for (o.crash_at = 1; o.crash_at <= effects && t->failed == 0; o.crash_at++)
        run(&o, t);
}

/* Seeds that failed once. */
static int run_file(const char *path)
{
    FILE *file = fopen(path, "r");
    struct totals t = {0};
    char line[128];

    if (file == NULL) {
        perror(path);
        return 2;
    }
    while (t.failed == 0 && fgets(line, sizeof line, file) != NULL) {
        struct sim_options o = {0};
        char *end;

        if (line[0] == '#')
            continue;
        o.seed = strtoull(line, &end, 10);
        o.crash_at = strtoull(end, NULL, 10);
        run(&o, &t);
    }
    (void)fclose(file);
    printf("%llu runs\n", (unsigned long long)t.runs);
    return t.failed > 0 || t.runs == 0;
}

int main(int argc, char **argv)
{
    struct sim_options o = {.seed = 1};
    struct totals t = {0};
    uint64_t count = SEEDS, end;
    const char *twin = NULL;
    bool sweeps = false;
    int i = 1;

    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        if (strcmp(argv[i], "--trace") == 0)
            o.trace = true;
        else if (strcmp(argv[i], "--sweep") == 0)
            sweeps = true;
        else if (strcmp(argv[i], "--cold") == 0)
            o.cold = true;
        else if (strcmp(argv[i], "--twin") == 0 && i + 1 < argc)
            o.twins = twin_of(twin = argv[++i]);
        else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc)
            return run_file(argv[i + 1]);
        else if (strcmp(argv[i], "--outage") == 0 && i + 1 < argc)
            return sim_outage(strtod(argv[i + 1], NULL),
                              i + 2 < argc ? strtoull(argv[i + 2], NULL, 10) : 1);
        else
            return 2;
    }
    if (i < argc)
        o.seed = strtoull(argv[i++], NULL, 10);
    if (i < argc)
        count = strtoull(argv[i++], NULL, 10);
    if (i < argc) /* a crash of a sweep, alone */
        o.crash_at = strtoull(argv[i++], NULL, 10);
    for (end = o.seed + count; o.seed < end && t.failed == 0; o.seed++) {
        run(&o, &t);
        if (sweeps && t.failed == 0)
            sweep(o, &t);
    }
    if (twin == NULL && !o.trace && t.failed == 0 && !replays(o.seed, o.cold))
        t.failed++;
    printf("%llu runs, %llu steps, %llu requests\n", (unsigned long long)t.runs,
           (unsigned long long)t.steps, (unsigned long long)t.requests);
    return verdict(twin, o.cold, t.failed, count);
}
