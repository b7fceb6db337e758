/* cli_probe.c - `tiervec probe`: what a store really does, as a table and a grade. */
#include "cli/commands.h"
#include "cli/offline.h"
#include "cli/remote.h"

#include "base/json.h"
#include "base/log.h"
#include "objstore/probe.h"
#include "segment/objkey.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static const char help_text[] =
    "usage: tiervec probe [BUCKET_URL]\n"
    "       tiervec probe --node [--accept] [--url URL]\n"
    "\n"
    "Tries on some objects of its own, under probe/ in the bucket, whether the store does what a\n"
    "node relies on: conditions of writes, many writers at once, ranges, listings. Removes what "
    "it\n"
    "made. Without a URL: the bucket of the configuration. A node does the same by itself before\n"
    "it writes to a bucket for the first time.\n"
    "\n"
    "  A      everything a node relies on\n"
    "  B, C   conditions of writes are ignored or refused: a node does not write there, unless\n"
    "         [storage] pinned_owner says that it alone does\n"
    "  unfit  reads, listings or ranges are wrong: no node can use it\n"
    "\n"
    "  --node           a running node probes its store now and says what it does about it\n"
    "  --accept         and trusts one it had found wanting, if it has grade A now\n"
    "  --config FILE    settings, as of serve\n"
    "  --endpoint URL   the store's address when it is not AWS\n"
    "  --region REGION  of the bucket\n"
    "  --json           the report as JSON\n"
    "  --quiet          no output, the exit code says it\n"
    "\n"
    "exit: 0 grade A, 4 grade B or C, 6 unfit, 5 it does not answer, 1 it denies what is asked\n"
    "\n"
    "example: tiervec probe http://127.0.0.1:9000/vectors/prod\n";

enum { REPORT_BYTES_MAX = 64 << 10 };

static int exit_of(enum probe_grade grade)
{
    switch (grade) {
    case PROBE_GRADE_A:
        return CLI_OK;
    case PROBE_GRADE_B:
    case PROBE_GRADE_C:
        return CLI_CONFLICT;
    case PROBE_GRADE_UNFIT:
        return CLI_INTEGRITY;
    case PROBE_GRADE_NONE:
        break;
    }
    return CLI_UNREACHABLE;
}

static void put_table(struct buf *out, const char *store, const struct probe_report *r)
{
    char verdict[PROBE_VERDICT_BYTES];

    buf_put_text(out, "store   ");
    cli_put(out, slice_text(store));
    buf_put_text(out, "\nserver  ");
    cli_put(out, slice_text(r->server[0] == '\0' ? "does not say" : r->server));
    buf_printf(out, "\nasked   %" PRIu32 " requests in %" PRIu64 " ms\n\n", r->requests,
               r->took_ms);
    for (unsigned i = 0; i < PROBE_FACTS; i++) {
        const struct probe_fact *f = &r->facts[i];
        const enum probe_fact_id id = (enum probe_fact_id)i;
        bool bad = f->answer != PROBE_HOLDS;

        buf_printf(out, "%-8s %-14s %s%s",
                   bad && probe_fact_counts(id) ? "NO"
                   : bad                        ? "no"
                                                : "yes",
                   probe_fact_name(id), probe_fact_says(id), f->text[0] != '\0' ? "\n" : "");
        if (f->text[0] != '\0') {
            buf_printf(out, "%-8s %-14s   ", "", "");
            cli_put(out, slice_text(f->text));
        }
        buf_put_text(out, "\n");
    }
    probe_verdict(r, verdict);
    buf_put_text(out, "\n");
    cli_put(out, slice_text(verdict));
    buf_put_text(out, "\n");
}

static void put_json(struct buf *out, const char *store, const struct probe_report *r)
{
    char verdict[PROBE_VERDICT_BYTES];

    probe_verdict(r, verdict);
    buf_put_text(out, "{\"store\":");
    json_put_string(out, slice_text(store));
    buf_put_text(out, ",\"server\":");
    json_put_string(out, slice_text(r->server));
    buf_printf(out, ",\"grade\":\"%s\",\"verdict\":", probe_grade_name(r->grade));
    json_put_string(out, slice_text(verdict));
    buf_printf(out,
               ",\"requests\":%" PRIu32 ",\"took_ms\":%" PRIu64 ",\"clock_skew_ms\":%" PRId64
               ",\"facts\":[",
               r->requests, r->took_ms, r->clock_skew_ms);
    for (unsigned i = 0; i < PROBE_FACTS; i++) {
        const enum probe_fact_id id = (enum probe_fact_id)i;

        buf_printf(out, "%s{\"name\":\"%s\",\"answer\":\"%s\",\"counts\":%s,\"text\":",
                   i == 0 ? "" : ",", probe_fact_name(id), probe_answer_name(r->facts[i].answer),
                   probe_fact_counts(id) ? "true" : "false");
        json_put_string(out, slice_text(r->facts[i].text));
        buf_put_text(out, "}");
    }
    buf_put_text(out, "]}\n");
}

static int run(const struct offline *o, const struct config *c)
{
    struct probe_options options = {.clock = clock_real(), .rand = rand_kernel()};
    struct probe_report report = {0};
    struct objstore *store = NULL;
    char host[128] = "host";
    char prober[160];
    char prefix[OBJKEY_BYTES];
    struct err err;
    struct buf out;
    int code;
    status st = offline_store(c, NULL, &store, &err);

    if (st == ST_OK && store == NULL)
        return cli_error(CLI_USAGE, "probe", "no bucket is named",
                         "tiervec probe http://host:9000/bucket/prefix");
    if (st != ST_OK)
        return cli_error(cli_exit_of(st), "probe", err.text, "tiervec probe --help");
    (void)gethostname(host, sizeof host - 1);
    (void)snprintf(prober, sizeof prober, "cli-%s", host);
    objkey_prefix_probe(prober, prefix);
    options.store = store;
    options.prefix = prefix;
    options.leftovers = OBJKEY_PROBES;
    st = objstore_probe(&options, &report, &err);
    if (st != ST_OK) {
        code = cli_error(cli_exit_of(st), "probe", err.text, NULL);
    } else {
        buf_init(&out, REPORT_BYTES_MAX);
        if (o->json)
            put_json(&out, store->description, &report);
        else
            put_table(&out, store->description, &report);
        code = o->quiet ? CLI_OK : cli_write(&out);
        buf_free(&out);
    }
    objstore_close(store);
    return code != CLI_OK ? code : exit_of(report.grade);
}

/* --- by a running node --- */

static int ask_node(struct remote *r, bool accept)
{
    struct jval root;
    struct buf out;
    int code;

    buf_init(&out, REPORT_BYTES_MAX);
    buf_put_text(&out, accept ? "{\"accept\":true}" : "{}");
    code = remote_ask(r, "probe the store", "POST", "/admin/bucket/probe", &out, &root);
    buf_free(&out);
    if (code != CLI_OK || remote_printed(r, &code))
        return code;
    buf_init(&out, REPORT_BYTES_MAX);
    buf_put_text(&out, "server  ");
    cli_put(&out, remote_text(root, "server"));
    buf_put_text(&out, "\nmode    ");
    cli_put(&out, remote_text(root, "mode"));
    buf_put_text(&out, "\n\n");
    cli_put(&out, remote_text(root, "verdict"));
    buf_put_text(&out, "\n");
    cli_put(&out, remote_text(root, "reason"));
    buf_put_text(&out, remote_text(root, "reason").bytes > 0 ? "\n" : "");
    code = cli_write(&out);
    buf_free(&out);
    if (code != CLI_OK || slice_equal(remote_text(root, "mode"), slice_text("full")))
        return code;
    return CLI_CONFLICT;
}

int cli_probe(int argc, char **argv)
{
    struct offline o = {0};
    struct remote r = {0};
    bool node = false;
    bool accept = false;
    const struct cli_flag flags[] = {OFFLINE_FLAGS(&o),
                                     {"--url", NULL, &r.url},
                                     {"--node", &node, NULL},
                                     {"--accept", &accept, NULL}};
    static struct cli_words words;
    struct config c;
    struct err err;
    int code;

    if (!cli_parse(argc, argv, flags, COUNT_OF(flags), &words))
        return CLI_USAGE;
    if (o.help) {
        (void)fputs(help_text, stdout);
        return CLI_OK;
    }
    if (words.count > 1 || (words.count == 1 && (node || o.from != NULL)) || (accept && !node))
        return cli_usage(help_text);
    if (node) {
        r.json = o.json;
        r.quiet = o.quiet;
        code = ask_node(&r, accept);
        remote_close(&r);
        return code;
    }
    if (words.count == 1)
        o.from = words.words[0];
    if (offline_load(&o, &c, &err) != ST_OK)
        return cli_error(CLI_USAGE, "probe", err.text, "tiervec probe --help");
    code = run(&o, &c);
    config_free(&c);
    log_close();
    return code;
}
