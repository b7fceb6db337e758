/* cli_tier.c - `tiervec tier` and `tiervec take-ownership`: where a collection lives, and whose it
 * is. */
#include "cli/commands.h"
#include "cli/remote.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { TAKE_POLL_MS = 200, TAKE_WAIT_MS = 120000 };

static const char tier_help[] =
    "usage: tiervec tier COLLECTION [Memory|MemoryS3|S3Only]\n"
    "\n"
    "Without a policy: how the collection stands, in the bucket too. With one: switches while it\n"
    "serves; until its base is in the bucket it says `switching`. To S3Only its rows leave memory\n"
    "with the next fold; back from there it takes no writes until all is in memory again.\n"
    "\n"
    "example: tiervec tier products MemoryS3\n"
    "\n" REMOTE_FLAGS_HELP;

static const char take_help[] = "usage: tiervec take-ownership COLLECTION [--dry-run] [--yes]\n"
                                "\n"
                                "Makes this node the owner of a collection that another node owns "
                                "in the bucket: only when that\n"
                                "node is gone for good. What it had not shipped is not here; "
                                "should it come back, it keeps that\n"
                                "as a dead letter of kind divergent_tail. Asks for the name of the "
                                "collection; --yes answers it.\n"
                                "\n"
                                "example: tiervec take-ownership products\n"
                                "\n" REMOTE_FLAGS_HELP;

static void put_line(struct buf *out, const char *name, struct slice text)
{
    if (text.bytes == 0)
        return;
    buf_printf(out, "%-14s ", name);
    cli_put(out, text);
    buf_put_text(out, "\n");
}

static int print_tier(struct jval tier)
{
    struct jval bucket;
    struct buf out;
    int code;

    buf_init(&out, 64 * 1024);
    put_line(&out, "policy", remote_text(tier, "tiering_policy"));
    put_line(&out, "durability", remote_text(tier, "durability"));
    put_line(&out, "state", remote_text(tier, "state"));
    buf_printf(&out, "%-14s %" PRIu64 " bytes\n", "in RAM", remote_u64(tier, "resident_bytes"));
    if (remote_bool(tier, "switching"))
        put_line(&out, "switching",
                 slice_text("its base is on the way to the bucket; not restorable yet"));
    if (jval_member(tier, "bucket", &bucket) && jval_type(bucket) == J_OBJECT) {
        put_line(&out, "phase", remote_text(bucket, "phase"));
        put_line(&out, "owner", remote_text(bucket, "owner"));
        buf_printf(&out, "%-14s %" PRIu64 "\n", "shipped lsn", remote_u64(bucket, "shipped_lsn"));
        buf_printf(&out, "%-14s %" PRIu64 " records, %" PRIu64 " bytes, the oldest for %.1f s\n",
                   "not in bucket", remote_u64(bucket, "unshipped_records"),
                   remote_u64(bucket, "unshipped_bytes"),
                   (double)remote_u64(bucket, "lag_ms") / 1e3);
        buf_printf(&out, "%-14s %" PRIu64 " bytes, %" PRIu64 " segments\n", "in bucket",
                   remote_u64(bucket, "bytes"), remote_u64(bucket, "segments"));
        put_line(&out, "published", remote_text(bucket, "published_at"));
        buf_printf(&out, "%-14s %" PRIu64 "\n", "dead letters", remote_u64(bucket, "dlq"));
        put_line(&out, "trouble", remote_text(bucket, "trouble"));
    }
    code = cli_write(&out);
    buf_free(&out);
    return code;
}

static int ask_quietly(struct remote *r, const char *what, const char *method, const char *before,
                       const char *collection, const char *behind, const struct buf *body,
                       struct jval *tier)
{
    struct jval root;
    struct buf path;
    int code;

    buf_init(&path, 8192);
    remote_path(&path, before, collection, behind);
    code = path.failed ? cli_error(CLI_USAGE, what, "the name is too long", NULL)
                       : remote_ask(r, what, method, (const char *)path.data, body, &root);
    buf_free(&path);
    if (code == CLI_OK && !jval_member(root, "tier", tier))
        return cli_error(CLI_FAILED, what, "the answer tells of no tier", NULL);
    return code;
}

static int ask(struct remote *r, const char *what, const char *method, const char *before,
               const char *collection, const char *behind, const struct buf *body)
{
    struct jval tier;
    int code = ask_quietly(r, what, method, before, collection, behind, body, &tier);

    return code != CLI_OK || remote_printed(r, &code) ? code : print_tier(tier);
}

int cli_tier(int argc, char **argv)
{
    struct remote r = {0};
    const struct cli_flag flags[] = {REMOTE_FLAGS(&r)};
    static struct cli_words w;
    struct buf body;
    int code;

    if (!cli_parse(argc, argv, flags, COUNT_OF(flags), &w))
        return CLI_USAGE;
    if (r.help) {
        (void)fputs(tier_help, stdout);
        return CLI_OK;
    }
    if (w.count < 1 || w.count > 2)
        return cli_usage(tier_help);
    buf_init(&body, 1024);
    if (w.count == 2) {
        buf_put_text(&body, "{\"tiering_policy\":");
        json_put_string(&body, slice_text(w.words[1]));
        buf_put_text(&body, "}");
    }
    code = ask(&r, w.count == 2 ? "switch the tier" : "look at the tier",
               w.count == 2 ? "POST" : "GET", "/api/v1/collections/", w.words[0], "/tier",
               w.count == 2 ? &body : NULL);
    buf_free(&body);
    remote_close(&r);
    return code;
}

static bool settled(struct jval tier)
{
    struct slice state = remote_text(tier, "state");
    struct slice phase = slice_text("");
    struct jval bucket;

    if (jval_member(tier, "bucket", &bucket) && jval_type(bucket) == J_OBJECT)
        phase = remote_text(bucket, "phase");
    return slice_equal(state, slice_text("failed")) ||
           (slice_equal(state, slice_text("serving")) &&
            (slice_equal(phase, slice_text("owned")) || slice_equal(phase, slice_text("idle"))));
}

/* A node that was behind the old owner loads the collection anew: until that is over. */
static int wait_settled(struct remote *r, const char *collection, struct jval *tier)
{
    const struct timespec pause = {.tv_nsec = TAKE_POLL_MS * 1000000L};
    int code = CLI_OK;

    for (int turn = 0; turn < TAKE_WAIT_MS / TAKE_POLL_MS && code == CLI_OK; turn++) {
        if (settled(*tier))
            return CLI_OK;
        (void)nanosleep(&pause, NULL);
        code = ask_quietly(r, "take ownership", "GET", "/api/v1/collections/", collection, "/tier",
                           NULL, tier);
    }
    return code != CLI_OK ? code
                          : cli_error(CLI_FAILED, "take ownership",
                                      "the collection is still being loaded from the bucket",
                                      "tiervec tier, in a while");
}

static int take(struct remote *r, const char *collection, bool yes, bool dry_run)
{
    struct jval tier;
    char what[512];
    int code;

    if (dry_run)
        return ask(r, "look at the owner", "GET", "/api/v1/collections/", collection, "/tier",
                   NULL);
    (void)snprintf(what, sizeof what, "take %s away from the node that owns it", collection);
    code = cli_confirm(yes, what, collection);
    if (code != CLI_OK)
        return code;
    code = ask_quietly(r, "take ownership", "POST", "/admin/collections/", collection,
                       "/take-ownership", NULL, &tier);
    if (code == CLI_OK && r->answer.status == 202)
        code = wait_settled(r, collection, &tier);
    return code != CLI_OK || remote_printed(r, &code) ? code : print_tier(tier);
}

int cli_take_ownership(int argc, char **argv)
{
    struct remote r = {0};
    bool yes = false;
    bool dry_run = false;
    const struct cli_flag flags[] = {
        REMOTE_FLAGS(&r), {"--yes", &yes, NULL}, {"--dry-run", &dry_run, NULL}};
    static struct cli_words w;
    int code;

    if (!cli_parse(argc, argv, flags, COUNT_OF(flags), &w))
        return CLI_USAGE;
    if (r.help) {
        (void)fputs(take_help, stdout);
        return CLI_OK;
    }
    if (w.count != 1)
        return cli_usage(take_help);
    code = take(&r, w.words[0], yes, dry_run);
    remote_close(&r);
    return code;
}
