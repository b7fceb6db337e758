/* cli_status.c - `tiervec status`: how a running node is. */
#include "cli/commands.h"
#include "cli/remote.h"

#include <inttypes.h>
#include <stdio.h>

static const char help_text[] =
    "usage: tiervec status [--components]\n"
    "\n"
    "What a running node holds, what of it the bucket lacks, and what needs attention.\n"
    "Exit 1 when the node is degraded.\n"
    "\n"
    "  --components  each component of the node with its message\n" REMOTE_FLAGS_HELP "\n"
    "example: tiervec status --url http://127.0.0.1:8080\n";

static void put_line(struct buf *out, const char *name, struct slice text)
{
    buf_printf(out, "%-14s ", name);
    cli_put(out, text);
    buf_put_text(out, "\n");
}

static void put_bucket(struct buf *out, struct jval root)
{
    struct jval bucket = {0};
    struct jval clock = {0};

    if (!jval_member(root, "bucket", &bucket) || jval_type(bucket) != J_OBJECT ||
        !jval_member(root, "durability_clock", &clock)) {
        put_line(out, "bucket", slice_text("none"));
        return;
    }
    put_line(out, "bucket", remote_text(bucket, "name"));
    if (remote_text(bucket, "store_grade").bytes > 0) {
        buf_printf(out, "%-14s grade ", "store");
        cli_put(out, remote_text(bucket, "store_grade"));
        buf_put_text(out, ", ");
        cli_put(out, remote_text(bucket, "store_mode"));
        buf_put_text(out, "\n");
    }
    put_line(out, "breaker", remote_text(bucket, "breaker"));
    if (remote_text(bucket, "trouble").bytes > 0)
        put_line(out, "trouble", remote_text(bucket, "trouble"));
    buf_printf(out, "%-14s %" PRIu64 " records, %" PRIu64 " bytes, the oldest for %.1f s\n%-14s ",
               "not in bucket", remote_u64(clock, "records_at_risk"),
               remote_u64(clock, "bytes_at_risk"),
               remote_f64(clock, "oldest_unshipped_write_seconds"), "backpressure");
    cli_put(out, remote_text(root, "backpressure_level"));
    buf_printf(out, "\n%-14s %" PRIu64 "\n", "dead letters", remote_u64(root, "dlq_total"));
}

static void put_status(struct buf *out, struct jval root)
{
    struct jval memory = {0};
    struct jval disk = {0};

    put_line(out, "node", remote_text(root, "node_id"));
    put_line(out, "version", remote_text(root, "version"));
    buf_printf(out, "%-14s %.0f s\n", "up for", remote_f64(root, "uptime_seconds"));
    buf_printf(out, "%-14s %" PRIu64 "\n", "collections", remote_u64(root, "collections"));
    buf_printf(out, "%-14s %" PRIu64 "\n", "documents", remote_u64(root, "documents"));
    if (remote_bool(root, "readonly"))
        put_line(out, "writes", slice_text("refused by an operator"));
    if (jval_member(root, "memory", &memory))
        buf_printf(out, "%-14s %" PRIu64 " of %" PRIu64 " bytes\n", "memory",
                   remote_u64(memory, "bytes"), remote_u64(memory, "bytes_max"));
    if (jval_member(root, "disk", &disk))
        buf_printf(out,
                   "%-14s %" PRIu64 " bytes of log, %" PRIu64 " of checkpoints, %" PRIu64 " free\n",
                   "disk", remote_u64(disk, "wal_bytes"), remote_u64(disk, "checkpoint_bytes"),
                   remote_u64(disk, "bytes_free"));
    put_bucket(out, root);
}

static void put_health(struct buf *out, struct jval root, bool components)
{
    struct jval list = {0};

    put_line(out, "health", remote_text(root, "status"));
    if (jval_member(root, "reasons", &list) && jval_type(list) == J_ARRAY)
        for (struct jiter it = jval_iter(list); jiter_next(&it);)
            if (jval_type(it.value) == J_STRING)
                put_line(out, "  reason", jval_string(it.value));
    if (!components || !jval_member(root, "components", &list) || jval_type(list) != J_OBJECT)
        return;
    for (struct jiter it = jval_iter(list); jiter_next(&it);) {
        struct slice message = remote_text(it.value, "message");
        struct slice grade = remote_text(it.value, "status");

        buf_printf(out, "  %-12.*s %-9.*s ", (int)it.key.bytes, (const char *)it.key.data,
                   (int)grade.bytes, (const char *)grade.data);
        cli_put(out, message);
        buf_put_text(out, "\n");
    }
}

/* Both answers as one object. */
static void put_json(struct buf *out, const struct buf *health, bool first)
{
    buf_put_text(out, first ? "{\"health\":" : ",\"node\":");
    buf_put_slice(out, buf_slice(health));
    if (!first)
        buf_put_text(out, "}\n");
}

static int run(struct remote *r, bool components, struct buf *out)
{
    struct jval root;
    bool degraded = false;
    int code = remote_ask(r, "ask how the node is", "GET", "/admin/health", NULL, &root);

    if (code != CLI_OK)
        return code;
    degraded = !slice_equal(remote_text(root, "status"), slice_text("healthy"));
    if (r->json)
        put_json(out, &r->answer.body, true);
    else
        put_health(out, root, components);
    code = remote_ask(r, "ask how the node is", "GET", "/api/v1/status", NULL, &root);
    if (code != CLI_OK)
        return code;
    if (r->json)
        put_json(out, &r->answer.body, false);
    else
        put_status(out, root);
    code = r->quiet ? CLI_OK : cli_write(out);
    return code == CLI_OK && degraded ? CLI_FAILED : code;
}

int cli_status(int argc, char **argv)
{
    struct remote r = {0};
    bool components = false;
    const struct cli_flag flags[] = {REMOTE_FLAGS(&r), {"--components", &components, NULL}};
    static struct cli_words words;
    struct buf out;
    int code;

    if (!cli_parse(argc, argv, flags, COUNT_OF(flags), &words))
        return CLI_USAGE;
    if (r.help) {
        (void)fputs(help_text, stdout);
        return CLI_OK;
    }
    if (words.count > 0)
        return cli_usage(help_text);
    buf_init(&out, 4 * 1024 * 1024);
    code = run(&r, components, &out);
    buf_free(&out);
    remote_close(&r);
    return code;
}
