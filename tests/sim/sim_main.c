/* Usage: sim [--trace] [--twin NAME] [FIRST_SEED [COUNT]]
 *
 * Runs the seeds; the first that fails is printed as `seed N: why`, and the exit status is 1. With
 * --twin the core is broken in one place and a seed must fail: exit status 0 if one does. Without,
 * the seeds together must also have reached what is in SIM_SEEN_NAMES (from 500 seeds on). */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS = 1000, SEEN_FROM = 500 };

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
    [SEEN_CRASH_BETWEEN_CASES] = "a crash between two effects of a step",
};

static const struct {
    const char *name;
    enum stream_twin twin;
} TWINS[] = {
    {"skip_epoch_check", STREAM_TWIN_SKIP_EPOCH_CHECK},
    {"skip_fence_read", STREAM_TWIN_SKIP_FENCE_READ},
    {"forget_open", STREAM_TWIN_FORGET_OPEN},
    {"trust_404", STREAM_TWIN_TRUST_404},
    {"cursor_from_local", STREAM_TWIN_CURSOR_FROM_LOCAL},
    {"409_as_412", STREAM_TWIN_409_AS_412},
    {"reuse_nonce", STREAM_TWIN_REUSE_NONCE},
    {"advance_over_hole", STREAM_TWIN_ADVANCE_OVER_HOLE},
};

static struct sim world;

static uint32_t twin_of(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(TWINS); i++)
        if (strcmp(TWINS[i].name, name) == 0)
            return (uint32_t)TWINS[i].twin;
    fprintf(stderr, "no twin is called %s\n", name);
    exit(2);
}

static int verdict(const char *twin, uint64_t failed, uint64_t count)
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
    for (size_t i = 0; i < SEEN_COUNT && count >= SEEN_FROM; i++)
        if (!world.seen[i]) {
            printf("never reached: %s\n", SIM_SEEN_NAMES[i]);
            missing = 1;
        }
    return missing;
}

int main(int argc, char **argv)
{
    uint64_t first = 1, count = SEEDS, failed = 0, steps = 0, requests = 0;
    const char *twin = NULL;
    bool trace = false;
    int i = 1;

    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        if (strcmp(argv[i], "--trace") == 0)
            trace = true;
        else if (strcmp(argv[i], "--twin") == 0 && i + 1 < argc)
            twin = argv[++i];
        else
            return 2;
    }
    if (i < argc)
        first = strtoull(argv[i++], NULL, 10);
    if (i < argc)
        count = strtoull(argv[i++], NULL, 10);
    for (uint64_t seed = first; seed < first + count && failed == 0; seed++) {
        sim_run(&world, seed, twin != NULL ? twin_of(twin) : 0, trace);
        steps += world.steps;
        requests += world.request_count;
        if (!world.failed)
            continue;
        failed++;
        printf("%sseed %llu: %s\n", twin != NULL ? "caught by " : "", (unsigned long long)seed,
               world.text);
    }
    printf("%llu steps, %llu requests\n", (unsigned long long)steps, (unsigned long long)requests);
    return verdict(twin, failed, count);
}
