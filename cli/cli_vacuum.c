/* cli_vacuum.c - `tiervec vacuum`: what no owner collects leaves the bucket. */
#include "cli/commands.h"
#include "cli/remote.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static const char help_text[] =
    "usage: tiervec vacuum [--dry-run] [--yes]\n"
    "\n"
    "Deletes from the bucket what dropped collections have left, once they were dropped for\n"
    "[storage.retention] keep_days, and what probes of lost nodes left. Named snapshots keep what\n"
    "they need. What nobody knows is told and left alone. It looks first, says what would go, and\n"
    "asks; --yes answers, --dry-run only looks.\n"
    "\n" REMOTE_FLAGS_HELP "\n"
    "example: tiervec vacuum --dry-run\n";

static const char PATH[] = "/admin/bucket/vacuum";
enum { LOOK_MS_MIN = 50, LOOK_MS_MAX = 1000 };

static void rest(uint32_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)nanosleep(&t, NULL);
}

static bool is(struct jval vacuum, const char *state)
{
    return slice_equal(remote_text(vacuum, "state"), slice_text(state));
}

/* Begins one and waits for its end. */
static int run(struct remote *r, bool dry_run, struct jval *vacuum)
{
    struct jval root;
    struct buf body;
    uint32_t ms = LOOK_MS_MIN;
    int code;

    *vacuum = (struct jval){0};
    buf_init(&body, 64);
    buf_put_text(&body, dry_run ? "{\"dry_run\":true}" : "{}");
    code = remote_ask(r, "vacuum the bucket", "POST", PATH, &body, &root);
    buf_free(&body);
    while (code == CLI_OK && jval_member(root, "vacuum", vacuum) && is(*vacuum, "running")) {
        rest(ms);
        ms = 2 * ms < LOOK_MS_MAX ? 2 * ms : LOOK_MS_MAX;
        code = remote_ask(r, "look at a vacuum", "GET", PATH, NULL, &root);
    }
    if (code == CLI_OK && (!jval_member(root, "vacuum", vacuum) || !is(*vacuum, "done"))) {
        struct slice why = remote_text(*vacuum, "error");
        char text[512];

        (void)snprintf(text, sizeof text, "%.*s", (int)why.bytes, (const char *)why.data);
        code =
            cli_error(CLI_FAILED, "vacuum the bucket", text, "it may be begun again at any time");
    }
    return code;
}

static void print_amount(struct jval vacuum, const char *name, const char *what)
{
    struct jval a;

    if (jval_member(vacuum, name, &a) && remote_u64(a, "collections") > 0)
        printf("%s: %" PRIu64 " collections, %" PRIu64 " objects, %" PRIu64 " bytes\n", what,
               remote_u64(a, "collections"), remote_u64(a, "objects"), remote_u64(a, "bytes"));
}

static void print_collections(struct jval vacuum)
{
    struct jval all;

    if (!jval_member(vacuum, "collections", &all))
        return;
    for (struct jiter it = jval_iter(all); jiter_next(&it);) {
        struct slice id = remote_text(it.value, "collection_id");
        struct slice fate = remote_text(it.value, "fate");

        printf("  %.*s  %-7.*s  %" PRIu64 " objects, %" PRIu64 " bytes\n", (int)id.bytes,
               (const char *)id.data, (int)fate.bytes, (const char *)fate.data,
               remote_u64(it.value, "objects"), remote_u64(it.value, "bytes"));
    }
    if (remote_bool(vacuum, "more_collections"))
        printf("  and more\n");
}

static void print_vacuum(struct jval vacuum)
{
    struct slice trouble = remote_text(vacuum, "trouble");

    print_collections(vacuum);
    print_amount(vacuum, "goes", remote_bool(vacuum, "dry_run") ? "would go" : "gone");
    print_amount(vacuum, "waits", "dropped too short a time ago");
    print_amount(vacuum, "unknown", "left alone, nobody knows them");
    if (remote_u64(vacuum, "probe_objects") > 0)
        printf("of lost probes: %" PRIu64 " objects\n", remote_u64(vacuum, "probe_objects"));
    if (remote_u64(vacuum, "marked") > 0)
        printf("marked as dropped: %" PRIu64 " roots\n", remote_u64(vacuum, "marked"));
    if (remote_u64(vacuum, "failed") > 0)
        printf("failed: %" PRIu64 " collections; %.*s\n", remote_u64(vacuum, "failed"),
               (int)trouble.bytes, (const char *)trouble.data);
    if (!remote_bool(vacuum, "dry_run"))
        printf("%" PRIu64 " objects deleted\n", remote_u64(vacuum, "deleted"));
}

static bool finds_something(struct jval vacuum)
{
    struct jval goes;

    return remote_u64(vacuum, "probe_objects") > 0 ||
           (jval_member(vacuum, "goes", &goes) && remote_u64(goes, "objects") > 0);
}

/* Looks, unless nobody is to be asked. */
static int look(struct remote *r, bool dry_run, bool *goes_on)
{
    struct jval vacuum;
    int code = run(r, true, &vacuum);

    *goes_on = code == CLI_OK && !dry_run;
    if (code != CLI_OK)
        return code;
    if (dry_run) {
        if (!remote_printed(r, &code))
            print_vacuum(vacuum);
        return code;
    }
    if (!r->json && !r->quiet)
        print_vacuum(vacuum);
    if (finds_something(vacuum))
        return cli_confirm(false, "delete that from the bucket", "yes");
    return CLI_OK; /* what is to be marked is */
}

int cli_vacuum(int argc, char **argv)
{
    struct remote r = {0};
    bool yes = false, dry_run = false, goes_on = true;
    const struct cli_flag flags[] = {
        REMOTE_FLAGS(&r), {"--yes", &yes, NULL}, {"--dry-run", &dry_run, NULL}};
    static struct cli_words w;
    struct jval vacuum;
    int code = CLI_OK;

    if (!cli_parse(argc, argv, flags, COUNT_OF(flags), &w))
        return CLI_USAGE;
    if (r.help) {
        (void)fputs(help_text, stdout);
        return CLI_OK;
    }
    if (w.count != 0)
        return cli_usage(help_text);
    if (dry_run || !yes)
        code = look(&r, dry_run, &goes_on);
    if (code == CLI_OK && goes_on) {
        code = run(&r, false, &vacuum);
        if (code == CLI_OK && !remote_printed(&r, &code))
            print_vacuum(vacuum);
    }
    remote_close(&r);
    return code;
}
