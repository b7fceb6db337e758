/* Usage: explore [--config NAME] [--twin NAME] [--in-flight GROUPS] [--states MAX] [--path NUMBERS]
 * [--quiet]
 *
 * Walks all states of a configuration. Exit status 0: the search finished and every check held, or,
 * with --twin, a check failed; 1 else. What the search was bounded by is printed with what came of
 * it. */
#include "explore.h"

#include "snapshot/collect.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* One collector, and one reader with a pin. */
#define PINNING .readers = 1, .pins = true, .collectors = 1, .batch = 2

static const struct {
    const char *name;
    struct ex_bounds bounds;
} CONFIGS[] = {
    /* CI: the first two as users run it, the tiny ones under sanitizers */
    {"small", {.writes = 3, .remote = 2, .crashes = 1, .in_flight = 2, .settle = 16}},
    {"tiny", {.writes = 2, .remote = 2, .crashes = 1, .in_flight = 2, .settle = 16}},
    {"tiny_collect",
     {.writes = 2, .remote = 1, .commits = 1, PINNING, .in_flight = 2, .settle = 16}},
    /* scripts/explore */
    {"records", {.writes = 3, .remote = 2, .crashes = 1, .in_flight = 3, .settle = 1}},
    {"faults", {.writes = 3, .remote = 1, .crashes = 1, .faults = 1, .in_flight = 2}},
    {"takes", {.writes = 3, .remote = 1, .crashes = 1, .takes = 1, .in_flight = 2}},
    {"reader", {.writes = 3, .remote = 1, .crashes = 1, .readers = 1, .in_flight = 2}},
    {"publish", {.writes = 3, .remote = 1, .crashes = 1, .commits = 1, .in_flight = 2}},
    {"apart", {.writes = 2, .remote = 2, .crashes = 1, .faults = 1, .in_flight = 2, .apart = true}},
    {"faults2", {.writes = 2, .remote = 1, .faults = 2, .takes = 1, .commits = 1, .in_flight = 2}},
    {"publishes", {.writes = 2, .remote = 1, .takes = 1, .commits = 2, PINNING, .in_flight = 2}},
    {"collect2", {.writes = 2, .remote = 1, .crashes = 1, .commits = 1, PINNING, .in_flight = 2}},
    {"pins", {.writes = 3, .remote = 1, .takes = 1, PINNING, .in_flight = 2}},
    {"collect3_one",
     {.writes = 3,
      .remote = 1,
      .crashes = 1,
      .one_crash = true,
      .commits = 1,
      PINNING,
      .in_flight = 2}},
    {"collect3_alone",
     {.writes = 3,
      .remote = 1,
      .crashes = 1,
      .commits = 1,
      .collectors = 1,
      .batch = 2,
      .in_flight = 2}},
    {"collect3", {.writes = 3, .remote = 1, .crashes = 1, .commits = 1, PINNING, .in_flight = 2}},
    /* what the twins are found in */
    {"twin", {.writes = 2, .remote = 1, .crashes = 1, .faults = 1, .in_flight = 2}},
    {"twin_commit",
     {.writes = 1, .remote = 1, .faults = 2, .commits = 1, .takes = 1, .in_flight = 1}},
};

static const struct {
    const char *name, *config;
    uint32_t twin;
} TWINS[] = {
    {"skip_epoch_check", "twin", STREAM_TWIN_SKIP_EPOCH_CHECK},
    {"skip_fence_read", "twin", STREAM_TWIN_SKIP_FENCE_READ},
    {"forget_open", "twin", STREAM_TWIN_FORGET_OPEN},
    {"trust_404", "twin", STREAM_TWIN_TRUST_404},
    {"cursor_from_local", "twin", STREAM_TWIN_CURSOR_FROM_LOCAL},
    {"409_as_412", "twin_commit", STREAM_TWIN_409_AS_412},
    {"reuse_nonce", "twin_commit", STREAM_TWIN_REUSE_NONCE},
    {"advance_over_hole", "twin", STREAM_TWIN_ADVANCE_OVER_HOLE},
    {"no_revalidation", "tiny_collect", COLLECT_TWIN_NO_REVALIDATION << EX_TWIN_COLLECT_SHIFT},
    {"ignore_pins", "tiny_collect", COLLECT_TWIN_IGNORE_PINS << EX_TWIN_COLLECT_SHIFT},
    {"mark_last", "tiny_collect", COLLECT_TWIN_MARK_LAST << EX_TWIN_COLLECT_SHIFT},
    {"lose_tail", "twin", EX_TWIN_LOSE_TAIL},
    {"check_reaches", "twin", EX_TWIN_CHECK_REACHES},
};

void world_begin(struct ex_world *w, const struct ex_bounds *bounds, struct stream *streams)
{
    memset(w, 0, sizeof *w);
    w->bounds = bounds;
    w->root = (struct ex_root){.state = ROOT_LIVE,
                               .revision = 1,
                               .epoch = 1,
                               .floor_epoch = 1,
                               .floor_seq = 1,
                               .floor_code = 1};
    w->writes = bounds->writes;
    w->faults = bounds->faults;
    w->takes = bounds->takes;
    w->commits = bounds->commits;
    w->readers = bounds->readers;
    w->collectors = bounds->collectors;
    w->remote = 1;
    for (size_t i = 0; i < EX_NODES; i++) {
        struct ex_node *n = &w->node[i];

        n->s = &streams[i];
        n->log = n->hint = n->hint_before = 1;
        n->log_first = 1;
        n->crashes = bounds->crashes;
        node_start(w, i);
    }
}

static const struct ex_bounds *bounds_of(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(CONFIGS); i++)
        if (strcmp(CONFIGS[i].name, name) == 0)
            return &CONFIGS[i].bounds;
    fprintf(stderr, "no configuration is called %s\n", name);
    exit(2);
}

static size_t twin_of(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(TWINS); i++)
        if (strcmp(TWINS[i].name, name) == 0)
            return i;
    fprintf(stderr, "no twin is called %s\n", name);
    exit(2);
}

static void say(const char *config, const struct ex_bounds *b, const struct ex_result *r)
{
    printf("%s: 2 nodes, %d records of one group each, %d in flight a node, %d crashes%s, %d lost "
           "or wrong answers, %d takeovers by command, %d publishes, %d readers%s, %d collectors\n",
           config, b->writes, b->in_flight, b->crashes, b->one_crash ? " of either" : " each",
           b->faults, b->takes, b->commits, b->readers, b->pins ? " with a pin" : "",
           b->collectors);
    printf("%s: %" PRIu64 " states, %" PRIu64 " transitions, depth %" PRIu64 ", %" PRIu64
           " at rest, %" PRIu64 " settled, %.1f s, %s\n",
           config, r->states, r->transitions, r->deepest, r->quiet, r->settled, r->seconds,
           r->violated   ? r->problem
           : r->finished ? "search finished"
                         : "search not finished");
}

int main(int argc, char **argv)
{
    const char *config = NULL, *twin = NULL, *path = NULL;
    uint64_t states_max = UINT32_MAX - 1;
    uint8_t in_flight = 0;
    bool quiet = false;
    struct ex_bounds bounds;
    struct ex_result result;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quiet") == 0)
            quiet = true;
        else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            config = argv[++i];
        else if (strcmp(argv[i], "--twin") == 0 && i + 1 < argc)
            twin = argv[++i];
        else if (strcmp(argv[i], "--in-flight") == 0 && i + 1 < argc)
            in_flight = (uint8_t)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--path") == 0 && i + 1 < argc)
            path = argv[++i];
        else if (strcmp(argv[i], "--states") == 0 && i + 1 < argc)
            states_max = strtoull(argv[++i], NULL, 10);
        else
            return 2;
    }
    if (config == NULL)
        config = twin != NULL ? TWINS[twin_of(twin)].config : "small";
    bounds = *bounds_of(config);
    if (in_flight != 0 && in_flight <= EX_REQUESTS - 2)
        bounds.in_flight = in_flight;
    if (twin != NULL)
        bounds.twins = TWINS[twin_of(twin)].twin;
    if (path != NULL)
        return search_replay(&bounds, path) ? 0 : 1;
    search_run(&bounds, states_max, quiet, &result);
    say(config, &bounds, &result);
    if (twin != NULL)
        return result.violated ? 0 : 1;
    return result.finished ? 0 : 1;
}
