/* cli_tune.c - `tiervec tune`: settings for a collection, measured on its own vectors. */
#include "cli/commands.h"
#include "cli/tune.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OUT_BYTES_MAX = 1024 * 1024, THREADS_DEFAULT_MAX = 4 };

static const char help_text[] =
    "usage: tiervec tune --profile PROFILE [--memory-budget SIZE] [--apply] [flags] COLLECTION\n"
    "\n"
    "Reads a sample of the collection's vectors, builds an index of them here for several m and\n"
    "each quantization, asks each with rising ef_search, and proposes what serves the profile\n"
    "best: the fastest that finds enough, or what takes less memory and is hardly slower. The\n"
    "node only hands out the sample. Figures are of the index alone, on one thread of this "
    "machine.\n"
    "\n"
    "  --profile P           high-recall (recall@10 of 0.99), balanced (0.95), low-latency (0.90)\n"
    "  --memory-budget SIZE  for all of the collection's rows: 500MB, 4GiB (no bound)\n"
    "  --apply               sets it; waits while the node makes the graph anew, and raises\n"
    "                        ef_search until the node's own answers find enough\n"
    "  --vector NAME         which, where the collection's vectors have names\n"
    "  --sample N            rows (20000)\n"
    "  --queries N           rows of their own that are asked for (300)\n"
    "  --seed N              which rows are queries (1)\n"
    "  --threads N           that build (half of the processors, at most 4)\n"
    "\n"
    "example: tiervec tune --profile balanced --memory-budget 4GiB products\n"
    "\n" REMOTE_FLAGS_HELP;

struct tune_words {
    const char *profile, *budget, *vector, *sample, *queries, *seed, *threads;
    bool apply;
};

void tune_progress(struct tune_command *c, const char *format, ...)
{
    va_list args;

    if (c->run.remote.quiet || c->run.remote.json || !cli_on_terminal())
        return;
    (void)fputs("\r\033[Ktune: ", stderr);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    c->shown = true;
}

static void clear_progress(struct tune_command *c)
{
    if (c->shown)
        (void)fputs("\r\033[K", stderr);
    c->shown = false;
}

/* --- the collection --- */

static status take_graph(struct jval v, struct tune_graph *out)
{
    struct slice text = remote_text(v, "quantization");
    char name[16];
    struct jval hnsw;

    *out = (struct tune_graph){.quantization = VQUANT_SCALAR};
    (void)snprintf(name, sizeof name, "%.*s", (int)(text.bytes < sizeof name ? text.bytes : 0),
                   (const char *)text.data);
    if ((text.bytes > 0 && !vquantization_parse(name, &out->quantization)) ||
        !jval_member(v, "hnsw", &hnsw))
        return ST_INVALID;
    out->m = (uint16_t)remote_u64(hnsw, "m");
    out->ef_construction = (uint16_t)remote_u64(hnsw, "ef_construction");
    out->ef_search = (uint16_t)remote_u64(hnsw, "ef_search");
    return out->m >= VINDEX_M_MIN && out->m <= VINDEX_M_MAX && out->ef_construction > 0 &&
                   out->ef_search > 0 && out->ef_search <= VINDEX_EF_MAX
               ? ST_OK
               : ST_INVALID;
}

static int take_info(struct tune_command *c, struct jval info)
{
    struct slice name = remote_text(info, "name");
    struct jval vectors, own = info;

    (void)snprintf(c->name, sizeof c->name, "%.*s", (int)name.bytes, (const char *)name.data);
    c->rows = remote_u64(info, "document_count");
    if (slice_equal(remote_text(info, "tiering_policy"), slice_text("S3Only")))
        return cli_error(CLI_FAILED, "tune", "a collection of S3Only has no graph",
                         "tiervec tier, to another policy");
    if ((jval_member(info, "vectors", &vectors) && !jval_member(vectors, c->field->name, &own)) ||
        !vmetric_parse(c->field->metric, &c->metric) || take_graph(own, &c->now) != ST_OK)
        return cli_error(CLI_FAILED, "tune", "the node describes the collection in an odd way",
                         "--url of a tiervec node of this version");
    return CLI_OK;
}

static int look(struct tune_command *c, const char *vector)
{
    struct jval root, info;
    struct err err;
    struct buf path;
    int code = bulk_run_look(&c->run, false);

    if (code != CLI_OK)
        return code;
    if (bulk_field_meant(&c->run.rows, vector, &c->field, &err) != ST_OK)
        return cli_error(CLI_FAILED, "tune", err.text, "--vector NAME of one of them");
    buf_init(&path, 8192);
    remote_path(&path, "/api/v1/collections/", c->run.collection_id, "");
    code = path.failed
               ? cli_error(CLI_FAILED, "tune", "out of memory", NULL)
               : remote_ask(&c->run.remote, "tune", "GET", (const char *)path.data, NULL, &root);
    buf_free(&path);
    if (code == CLI_OK && jval_member(root, "collection", &info))
        code = take_info(c, info);
    return code;
}

/* --- what is told --- */

static void put_row(struct buf *out, const struct tune_command *c, const struct tune_point *p)
{
    buf_printf(out, "%-12s %3u %9u %9.4f %8.1f %8.1f %9.0f %9.1f\n",
               vquantization_name(p->graph.quantization), p->graph.m, p->graph.ef_search, p->recall,
               p->p50_us, p->p99_us, p->row_bytes, (double)tune_bytes(p, c->rows) / 1048576.0);
}

static bool same_index(const struct tune_point *a, const struct tune_point *b)
{
    return a->graph.m == b->graph.m && a->graph.quantization == b->graph.quantization;
}

/* Of each index the point its own wish for this floor would be; the rest is in --json. */
static void put_table(struct buf *out, const struct tune_command *c)
{
    struct tune_wish any = c->wish;

    any.memory_bytes = 0;
    buf_printf(out, "%-12s %3s %9s %9s %8s %8s %9s %9s\n", "quantization", "m", "ef_search",
               "recall@10", "p50 us", "p99 us", "bytes/row", "MiB");
    for (size_t from = 0, end; from < c->point_count; from = end) {
        size_t best;

        for (end = from + 1; end < c->point_count && same_index(&c->points[end], &c->points[from]);)
            end++;
        (void)tune_choose(c->points + from, end - from, &any, &best);
        put_row(out, c, &c->points[from + best]);
    }
}

static void json_point(struct buf *out, const struct tune_command *c, const struct tune_point *p)
{
    buf_printf(out,
               "{\"quantization\":\"%s\",\"hnsw\":{\"m\":%u,\"ef_construction\":%u,"
               "\"ef_search\":%u},\"recall\":%.5f,\"p50_us\":%.2f,\"p99_us\":%.2f,"
               "\"bytes_per_row\":%.1f,\"memory_bytes\":%" PRIu64 "}",
               vquantization_name(p->graph.quantization), p->graph.m, p->graph.ef_construction,
               p->graph.ef_search, p->recall, p->p50_us, p->p99_us, p->row_bytes,
               tune_bytes(p, c->rows));
}

static const char *const VERDICTS[] = {
    [TUNE_FINE] = "fine", [TUNE_BELOW] = "below_the_floor", [TUNE_TOO_BIG] = "over_the_budget"};

static void put_json(struct buf *out, const struct tune_command *c, enum tune_verdict verdict,
                     const struct tune_point *best, const struct tune_applied *applied)
{
    buf_put_text(out, "{\"collection\":");
    json_put_string(out, slice_text(c->name));
    buf_put_text(out, ",\"vector\":");
    json_put_string(out, slice_text(c->field->name));
    buf_printf(
        out,
        ",\"profile\":\"%s\",\"recall_floor\":%.2f,\"memory_budget\":%" PRIu64 ",\"rows\":%" PRIu64
        ",\"sample\":%" PRIu32 ",\"queries\":%" PRIu32 ",\"verdict\":\"%s\",\"proposal\":",
        tune_profile_name(c->wish.profile), tune_floor(c->wish.profile), c->wish.memory_bytes,
        c->rows, c->sample.count, c->sample.query_count, VERDICTS[verdict]);
    json_point(out, c, best);
    buf_put_text(out, ",\"applied\":");
    if (applied == NULL)
        buf_put_text(out, "null");
    else
        buf_printf(out, "{\"ef_search\":%u,\"recall\":%.5f,\"queries\":%" PRIu32 "}",
                   applied->ef_search, applied->recall, applied->queries);
    buf_put_text(out, ",\"measured\":[");
    for (size_t i = 0; i < c->point_count; i++) {
        buf_put_text(out, i > 0 ? "," : "");
        json_point(out, c, &c->points[i]);
    }
    buf_put_text(out, "]}\n");
}

static void put_words(struct buf *out, const struct tune_command *c, const struct tune_point *best,
                      const struct tune_applied *applied)
{
    const struct tune_graph *g = &best->graph;

    put_table(out, c);
    buf_printf(out,
               "\nproposed for %s: quantization %s, m %u, ef_search %u (recall@10 %.4f of a sample "
               "of %" PRIu32 " of %" PRIu64 " rows)\n",
               tune_profile_name(c->wish.profile), vquantization_name(g->quantization), g->m,
               g->ef_search, best->recall, c->sample.count, c->rows);
    if (applied == NULL)
        buf_put_text(out, c->rows > 2 * (uint64_t)c->sample.count
                              ? "the whole collection needs a larger ef_search than a sample: "
                                "--apply finds it\n"
                              : "--apply sets it\n");
    else
        buf_printf(out,
                   "set, with ef_search %u: recall@10 %.4f of %" PRIu32 " queries to the node\n",
                   applied->ef_search, applied->recall, applied->queries);
}

static int say(struct tune_command *c, enum tune_verdict verdict, const struct tune_point *best,
               const struct tune_applied *applied)
{
    struct buf out;
    int code = CLI_OK;

    clear_progress(c);
    if (c->run.remote.quiet)
        return CLI_OK;
    buf_init(&out, OUT_BYTES_MAX);
    if (c->run.remote.json)
        put_json(&out, c, verdict, best, applied);
    else if (verdict == TUNE_FINE)
        put_words(&out, c, best, applied);
    else
        put_table(&out, c);
    code = cli_write(&out);
    buf_free(&out);
    return code;
}

static int refuse(const struct tune_command *c, enum tune_verdict verdict,
                  const struct tune_point *best)
{
    char why[256];

    if (verdict == TUNE_TOO_BIG) {
        (void)snprintf(why, sizeof why, "the smallest of all takes %" PRIu64 " bytes",
                       tune_bytes(best, c->rows));
        return cli_error(CLI_FAILED, "tune --memory-budget", why, "a larger one");
    }
    (void)snprintf(why, sizeof why,
                   "no setting%s finds enough: the best has a recall@10 of %.4f, %.2f is wanted",
                   c->wish.memory_bytes != 0 ? " within the budget" : "", best->recall,
                   tune_floor(c->wish.profile));
    return cli_error(CLI_FAILED, "tune", why,
                     c->wish.memory_bytes != 0 ? "a larger --memory-budget, or another --profile"
                                               : "another --profile, or a larger ef_construction");
}

/* --- the command --- */

static int tune(struct tune_command *c, const struct tune_words *w)
{
    struct tune_applied applied;
    enum tune_verdict verdict;
    size_t at = 0;
    int code = look(c, w->vector);

    c->wish.rows = c->rows;
    if (code == CLI_OK)
        code = tune_take_sample(c);
    if (code == CLI_OK)
        code = tune_measure(c);
    if (code != CLI_OK)
        return code;
    verdict = tune_choose(c->points, c->point_count, &c->wish, &at);
    if (verdict == TUNE_FINE && w->apply)
        code = tune_apply(c, &c->points[at].graph, &applied);
    if (code == CLI_OK)
        code = say(c, verdict, &c->points[at], verdict == TUNE_FINE && w->apply ? &applied : NULL);
    if (code != CLI_OK)
        return code;
    if (verdict != TUNE_FINE)
        return refuse(c, verdict, &c->points[at]);
    if (w->apply && applied.recall < tune_floor(c->wish.profile))
        return cli_error(CLI_FAILED, "tune --apply",
                         "it is set, and the node's own answers find less than the profile asks",
                         "a larger --sample, or ef_search by hand");
    return CLI_OK;
}

/* NULL: as it is. */
static bool take_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;

    if (text == NULL)
        return true;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || n > (UINT64_MAX - 9) / 10)
            return false;
        n = n * 10 + (uint64_t)(*at - '0');
    }
    *out = n;
    return text[0] != '\0' && n >= min && n <= max;
}

static int take_words(struct tune_command *c, const struct tune_words *w)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t sample = TUNE_SAMPLE_ROWS, queries = TUNE_QUERIES;
    uint64_t threads = processors < 4 ? 1 : (uint64_t)processors / 2;

    if (w->profile == NULL || !tune_profile_parse(w->profile, &c->wish.profile))
        return cli_error(CLI_USAGE, "tune --profile", "it is high-recall, balanced or low-latency",
                         "tiervec tune --help");
    if (w->budget != NULL && !tune_parse_bytes(w->budget, &c->wish.memory_bytes))
        return cli_error(CLI_USAGE, "tune --memory-budget", "it is a size like 500MB or 4GiB",
                         "tiervec tune --help");
    if (threads > THREADS_DEFAULT_MAX)
        threads = THREADS_DEFAULT_MAX;
    if (!take_number(w->sample, TUNE_ROWS_MIN, TUNE_SAMPLE_ROWS_MAX, &sample) ||
        !take_number(w->queries, 1, TUNE_QUERIES_MAX, &queries) ||
        !take_number(w->seed, 0, UINT64_MAX, &c->seed) ||
        !take_number(w->threads, 1, VINDEX_LINKERS_MAX, &threads))
        return cli_error(CLI_USAGE, "tune",
                         "--sample is 100 to 1000000, --queries 1 to 10000, --threads 1 to 32",
                         "tiervec tune --help");
    c->sample_rows = (uint32_t)sample;
    c->queries = (uint32_t)queries;
    c->threads = (uint32_t)threads;
    return CLI_OK;
}

static int run_it(struct tune_command *c, const struct tune_words *w)
{
    struct err err;
    int code = take_words(c, w);

    if (code != CLI_OK)
        return code;
    if (bulk_run_open(&c->run, &err) != ST_OK)
        code = cli_error(CLI_FAILED, "tune", err.text, NULL);
    else
        code = tune(c, w);
    clear_progress(c);
    mem_free(c->sample.rows);
    bulk_run_close(&c->run);
    return code;
}

int cli_tune(int argc, char **argv)
{
    static struct tune_command c;
    struct tune_words w = {0};
    const struct cli_flag flags[] = {
        REMOTE_FLAGS(&c.run.remote),          {"--profile", NULL, &w.profile},
        {"--memory-budget", NULL, &w.budget}, {"--apply", &w.apply, NULL},
        {"--vector", NULL, &w.vector},        {"--sample", NULL, &w.sample},
        {"--queries", NULL, &w.queries},      {"--seed", NULL, &w.seed},
        {"--threads", NULL, &w.threads}};
    static struct cli_words words;

    c = (struct tune_command){.run.what = "tune", .seed = 1};
    if (!cli_parse(argc, argv, flags, COUNT_OF(flags), &words))
        return CLI_USAGE;
    if (c.run.remote.help) {
        (void)fputs(help_text, stdout);
        return CLI_OK;
    }
    if (words.count != 1)
        return cli_usage(help_text);
    c.run.collection = words.words[0];
    return run_it(&c, &w);
}
