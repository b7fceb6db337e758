/* cli_snapshot.c - `tiervec snapshot` and `tiervec compact`: what is in RAM written down now. */
#include "cli/commands.h"
#include "cli/remote.h"

#include <inttypes.h>
#include <stdio.h>

static const char snapshot_help[] = "usage: tiervec snapshot COLLECTION [--name NAME]\n"
                                    "\n"
                                    "Writes a checkpoint; of a bucket-backed collection everything "
                                    "up to now is in the bucket then.\n"
                                    "--name pins that state in the bucket under a name.\n"
                                    "\n"
                                    "example: tiervec snapshot products --name before-import\n"
                                    "\n" REMOTE_FLAGS_HELP;

static const char compact_help[] =
    "usage: tiervec compact COLLECTION [--wait] [--anew]\n"
    "\n"
    "Writes a checkpoint, and of a bucket-backed collection new base segments without what is "
    "dead.\n"
    "--anew writes segments and graph whatever there is to gain: when `tiervec verify` names "
    "damaged "
    "objects.\n"
    "Without --wait it goes on behind the answer, and its end stands in the node's log.\n"
    "\n"
    "example: tiervec compact products --wait\n"
    "\n" REMOTE_FLAGS_HELP;

static void print_snapshot(struct jval root)
{
    struct jval snapshot;
    struct jval bucket;
    struct slice pin;

    if (!jval_member(root, "snapshot", &snapshot)) { /* a job behind the answer */
        printf("started, job %.*s\n", (int)remote_text(root, "job_id").bytes,
               (const char *)remote_text(root, "job_id").data);
        return;
    }
    printf("checkpoint at lsn %" PRIu64 ", %" PRIu64 " bytes\n", remote_u64(snapshot, "lsn"),
           remote_u64(snapshot, "bytes"));
    if (!jval_member(snapshot, "bucket", &bucket))
        return;
    pin = remote_text(bucket, "pin");
    printf("bucket at lsn %" PRIu64 ", %" PRIu64 " objects of %" PRIu64 " bytes sent%s%.*s\n",
           remote_u64(bucket, "lsn"), remote_u64(bucket, "objects"), remote_u64(bucket, "bytes"),
           pin.bytes > 0 ? ", pin " : "", (int)pin.bytes, (const char *)pin.data);
}

static int ask(struct remote *r, const char *what, const char *collection, const char *behind,
               const struct buf *body)
{
    struct jval root;
    struct buf path;
    int code;

    buf_init(&path, 8192);
    remote_path(&path, "/admin/collections/", collection, behind);
    code = path.failed ? cli_error(CLI_USAGE, what, "the name is too long", NULL)
                       : remote_ask(r, what, "POST", (const char *)path.data, body, &root);
    buf_free(&path);
    if (code == CLI_OK && !remote_printed(r, &code))
        print_snapshot(root);
    remote_close(r);
    return code;
}

int cli_snapshot(int argc, char **argv)
{
    struct remote r = {0};
    const char *name = NULL;
    const struct cli_flag flags[] = {REMOTE_FLAGS(&r), {"--name", NULL, &name}};
    static struct cli_words w;
    struct buf body;
    int code;

    if (!cli_parse(argc, argv, flags, COUNT_OF(flags), &w))
        return CLI_USAGE;
    if (r.help) {
        (void)fputs(snapshot_help, stdout);
        return CLI_OK;
    }
    if (w.count != 1)
        return cli_usage(snapshot_help);
    buf_init(&body, 64 * 1024);
    if (name != NULL) {
        buf_put_text(&body, "{\"name\":");
        json_put_string(&body, slice_text(name));
        buf_put_text(&body, "}");
    }
    code = ask(&r, "take a snapshot", w.words[0], "/snapshot", name == NULL ? NULL : &body);
    buf_free(&body);
    return code;
}

int cli_compact(int argc, char **argv)
{
    struct remote r = {0};
    bool wait = false;
    bool anew = false;
    const struct cli_flag flags[] = {
        REMOTE_FLAGS(&r), {"--wait", &wait, NULL}, {"--anew", &anew, NULL}};
    static struct cli_words w;

    if (!cli_parse(argc, argv, flags, COUNT_OF(flags), &w))
        return CLI_USAGE;
    if (r.help) {
        (void)fputs(compact_help, stdout);
        return CLI_OK;
    }
    if (w.count != 1)
        return cli_usage(compact_help);
    return ask(&r, "compact", w.words[0],
               wait && anew ? "/compact?wait=true&anew=true"
               : anew       ? "/compact?anew=true"
               : wait       ? "/compact?wait=true"
                            : "/compact",
               NULL);
}
