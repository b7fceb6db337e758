/* cli_dlq.c - `tiervec dlq`: what could not be uploaded, and what to do about it. */
#include "cli/commands.h"
#include "cli/remote.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char help_text[] =
    "usage: tiervec dlq list    [COLLECTION] [--kind KIND] [--class CLASS]\n"
    "       tiervec dlq show    COLLECTION ID\n"
    "       tiervec dlq retry   COLLECTION [ID ...]\n"
    "       tiervec dlq replay  COLLECTION ID ...\n"
    "       tiervec dlq split   COLLECTION ID ...\n"
    "       tiervec dlq export  COLLECTION ID [--output FILE]\n"
    "       tiervec dlq discard COLLECTION [ID ...] [--drop] [--dry-run] [--yes]\n"
    "\n"
    "A dead letter is an upload that failed for a reason that does not go away by itself; what it\n"
    "stands for is still in the node's log. Mend the reason, then retry: without ids, all of "
    "them.\n"
    "\n"
    "replay   writes the records of a divergent tail again, as upserts and deletes\n"
    "export   prints the records, one JSON object a line\n"
    "discard  gives up what the letters stand for: exports it to a file on the node, then writes\n"
    "         the documents anew, or with --drop deletes them. Asks for the range of lsns first;\n"
    "         --yes takes it as shown, --dry-run only shows it\n"
    "\n"
    "example: tiervec dlq list\n"
    "         tiervec dlq retry products\n"
    "\n" REMOTE_FLAGS_HELP;

struct dlq_command {
    struct remote remote;
    const char *kind, *class, *output;
    bool drop, yes, dry_run;
    struct cli_words words; /* the subcommand first */
    const char *collection; /* NULL: not said */
};

/* --- list --- */

static void put_letter(struct buf *out, const char *collection, struct jval l)
{
    uint64_t first = remote_u64(l, "lsn_first");
    uint64_t last = remote_u64(l, "lsn_last");
    uint64_t http = remote_u64(l, "http_status");
    struct slice code = remote_text(l, "s3_code");

    cli_put(out, slice_text(collection));
    buf_put_text(out, "  ");
    cli_put(out, remote_text(l, "id"));
    buf_put_text(out, "  ");
    cli_put(out, remote_text(l, "kind"));
    buf_printf(out, "  lsn %" PRIu64 "-%" PRIu64 "  ", first, last);
    cli_put(out, remote_text(l, "class"));
    if (http != 0)
        buf_printf(out, " %" PRIu64, http);
    if (code.bytes > 0) {
        buf_put_text(out, " ");
        cli_put(out, code);
    }
    buf_printf(out, "  %" PRIu64 " attempts, last ", remote_u64(l, "attempts"));
    cli_put(out, remote_text(l, "last_failed_at"));
    buf_put_text(out, remote_bool(l, "blocking") ? "  blocking\n    " : "\n    ");
    cli_put(out, remote_text(l, "message"));
    buf_put_text(out, "\n");
}

static void put_query(struct buf *path, const char *name, const char *value)
{
    if (value == NULL)
        return;
    buf_printf(path, "&%s=", name);
    http_put_encoded(path, value);
}

/* One page; *cursor: of the next one, "" after the last. */
static int list_page(struct dlq_command *c, const char *collection, char cursor[64],
                     struct buf *out, uint64_t *count)
{
    struct jval root;
    struct jval entries;
    struct buf path;
    struct slice next;
    int code;

    buf_init(&path, 8192);
    buf_put_text(&path, "/admin/collections/");
    http_put_encoded(&path, collection);
    buf_put_text(&path, "/dlq?limit=1000");
    put_query(&path, "kind", c->kind);
    put_query(&path, "class", c->class);
    put_query(&path, "cursor", cursor[0] == '\0' ? NULL : cursor);
    buf_put_u8(&path, 0);
    code = path.failed ? cli_error(CLI_USAGE, "dlq list", "the filter is too long", NULL)
                       : remote_ask(&c->remote, "list dead letters", "GET", (const char *)path.data,
                                    NULL, &root);
    buf_free(&path);
    if (code != CLI_OK)
        return code;
    if (c->remote.json) {
        buf_put_text(out, *count == 0 ? "{\"collection\":" : ",{\"collection\":");
        json_put_string(out, slice_text(collection));
        buf_put_text(out, ",\"dlq\":");
        buf_put_slice(out, buf_slice(&c->remote.answer.body));
        buf_put_text(out, "}");
        (*count)++;
    }
    if (!c->remote.json && jval_member(root, "entries", &entries))
        for (struct jiter it = jval_iter(entries); jiter_next(&it); (*count)++)
            put_letter(out, collection, it.value);
    next = remote_text(root, "next_cursor");
    (void)snprintf(cursor, 64, "%.*s", (int)next.bytes, (const char *)next.data);
    return CLI_OK;
}

static int list_one(struct dlq_command *c, const char *collection, struct buf *out, uint64_t *count)
{
    char cursor[64] = "";
    int code;

    do
        code = list_page(c, collection, cursor, out, count);
    while (code == CLI_OK && cursor[0] != '\0');
    return code;
}

/* The names first: the parser's values die with the next answer. */
static int list_all(struct dlq_command *c, struct buf *out, uint64_t *count)
{
    struct jval collections;
    struct jval root;
    struct buf names;
    int code =
        remote_ask(&c->remote, "list collections", "GET", "/api/v1/collections", NULL, &root);

    if (code != CLI_OK)
        return code;
    buf_init(&names, 16 * 1024 * 1024);
    if (jval_member(root, "collections", &collections))
        for (struct jiter it = jval_iter(collections); jiter_next(&it);) {
            buf_put_slice(&names, remote_text(it.value, "name"));
            buf_put_u8(&names, 0);
        }
    if (names.failed)
        code = cli_error(CLI_FAILED, "list dead letters", "out of memory", NULL);
    for (size_t at = 0; code == CLI_OK && at < names.bytes;) {
        const char *name = (const char *)names.data + at;

        code = list_one(c, name, out, count);
        at += strlen(name) + 1;
    }
    buf_free(&names);
    return code;
}

static int list(struct dlq_command *c)
{
    uint64_t count = 0;
    struct buf out;
    int code;

    buf_init(&out, HTTP_BODY_BYTES_MAX);
    if (c->remote.json)
        buf_put_text(&out, "{\"collections\":[");
    code = c->collection != NULL ? list_one(c, c->collection, &out, &count)
                                 : list_all(c, &out, &count);
    if (c->remote.json)
        buf_put_text(&out, "]}\n");
    else if (count == 0)
        buf_put_text(&out, "no dead letters\n");
    if (code == CLI_OK && !c->remote.quiet)
        code = cli_write(&out);
    buf_free(&out);
    return code;
}

/* --- one letter --- */

static int letter_path(struct dlq_command *c, struct buf *path, const char *behind)
{
    if (c->collection == NULL || c->words.count != 3)
        return cli_usage(help_text);
    buf_init(path, 8192);
    buf_put_text(path, "/admin/collections/");
    http_put_encoded(path, c->collection);
    buf_put_text(path, "/dlq/");
    remote_path(path, "", c->words.words[2], behind);
    return path->failed ? cli_error(CLI_USAGE, "dlq", "the name is too long", NULL) : CLI_OK;
}

static int show(struct dlq_command *c)
{
    static const char *const members[] = {
        "kind",  "class",          "s3_code",       "key",  "message",      "first_failed_at",
        "state", "last_failed_at", "s3_request_id", "file", "collection_id"};
    struct jval entry;
    struct jval root;
    struct buf path = {0};
    struct buf out;
    int code = letter_path(c, &path, "");

    if (code == CLI_OK)
        code = remote_ask(&c->remote, "show a dead letter", "GET", (const char *)path.data, NULL,
                          &root);
    buf_free(&path);
    if (code != CLI_OK || remote_printed(&c->remote, &code) || !jval_member(root, "entry", &entry))
        return code;
    buf_init(&out, 64 * 1024);
    buf_printf(&out, "%-16s %.*s\n%-16s %" PRIu64 "-%" PRIu64 "\n", "id",
               (int)remote_text(entry, "id").bytes, (const char *)remote_text(entry, "id").data,
               "lsn", remote_u64(entry, "lsn_first"), remote_u64(entry, "lsn_last"));
    buf_printf(&out, "%-16s %" PRIu64 "\n%-16s %" PRIu64 "\n%-16s %" PRIu64 "\n%-16s %" PRIu64 "\n",
               "attempts", remote_u64(entry, "attempts"), "bytes of log",
               remote_u64(entry, "bytes"), "epoch", remote_u64(entry, "epoch"), "seq",
               remote_u64(entry, "seq"));
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        if (remote_text(entry, members[i]).bytes == 0)
            continue;
        buf_printf(&out, "%-16s ", members[i]);
        cli_put(&out, remote_text(entry, members[i]));
        buf_put_text(&out, "\n");
    }
    code = cli_write(&out);
    buf_free(&out);
    return code;
}

static int write_file(const char *path, const struct buf *bytes)
{
    FILE *f = fopen(path, "wxe");
    bool fine;

    if (f == NULL)
        return cli_error(CLI_FAILED, path, "it cannot be made (is it there already?)",
                         "another --output");
    fine = bytes->bytes == 0 || fwrite(bytes->data, 1, bytes->bytes, f) == bytes->bytes;
    fine = fclose(f) == 0 && fine;
    return fine ? CLI_OK : cli_error(CLI_FAILED, path, "it cannot be written", "another --output");
}

static int export_letter(struct dlq_command *c)
{
    struct jval root;
    struct buf path = {0};
    int code = letter_path(c, &path, "/export");

    if (code == CLI_OK)
        code = remote_ask(&c->remote, "export a dead letter", "GET", (const char *)path.data, NULL,
                          &root);
    buf_free(&path);
    if (code != CLI_OK)
        return code;
    if (c->output != NULL)
        return write_file(c->output, &c->remote.answer.body);
    return c->remote.quiet ? CLI_OK : cli_write(&c->remote.answer.body);
}

/* --- doing something --- */

/* "ids":[...] of the words behind the collection, nothing where there are none. */
static void put_ids(struct buf *body, const struct cli_words *words)
{
    buf_put_text(body, "{");
    for (size_t i = 2; i < words->count; i++) {
        buf_put_text(body, i == 2 ? "\"ids\":[" : ",");
        json_put_string(body, slice_text(words->words[i]));
    }
    if (words->count > 2)
        buf_put_text(body, "]");
}

static int ask(struct dlq_command *c, const char *what, const char *method, const char *behind,
               struct buf *body, int also, struct jval *root)
{
    struct buf path;
    int code;

    if (c->collection == NULL)
        return cli_usage(help_text);
    buf_init(&path, 8192);
    remote_path(&path, "/admin/collections/", c->collection, behind);
    code = path.failed
               ? cli_error(CLI_USAGE, what, "the name is too long", NULL)
               : remote_ask_or(&c->remote, what, method, (const char *)path.data, body, also, root);
    buf_free(&path);
    return code;
}

/* retry, replay, split. */
static int act(struct dlq_command *c, const char *what, const char *behind, bool ids_needed)
{
    struct jval root;
    struct buf body;
    int code;

    if (ids_needed && c->words.count < 3)
        return cli_usage(help_text);
    buf_init(&body, 1024 * 1024);
    put_ids(&body, &c->words);
    buf_put_text(&body, "}");
    code = ask(c, what, "POST", behind, &body, 0, &root);
    buf_free(&body);
    if (code != CLI_OK)
        return code;
    if (remote_u64(root, "failed_count") > 0) {
        struct slice why = remote_text(root, "message");
        char text[1024];

        (void)snprintf(text, sizeof text, "%" PRIu64 " of %" PRIu64 " failed again: %.*s",
                       remote_u64(root, "failed_count"), remote_u64(root, "retried_count"),
                       (int)why.bytes, (const char *)why.data);
        if (c->remote.json)
            (void)cli_write(&c->remote.answer.body);
        return cli_error(CLI_FAILED, what, text, "tiervec dlq show");
    }
    if (remote_printed(&c->remote, &code))
        return code;
    if (remote_u64(root, "retried_count") + remote_u64(root, "replayed_count") == 0)
        printf("nothing to do\n");
    else if (remote_u64(root, "retried_count") > 0)
        printf("%" PRIu64 " stored\n", remote_u64(root, "success_count"));
    else
        printf("%" PRIu64 " records written again\n", remote_u64(root, "replayed_count"));
    return CLI_OK;
}

/* First without the range: the answer is the range, and nothing has happened. */
static int ask_range(struct dlq_command *c, uint64_t *first, uint64_t *last)
{
    struct jval confirm;
    struct jval root;
    struct buf body;
    int code;

    buf_init(&body, 1024 * 1024);
    put_ids(&body, &c->words);
    buf_put_text(&body, "}");
    code = ask(c, "discard dead letters", "DELETE", "/dlq", &body, 409, &root);
    buf_free(&body);
    if (code != CLI_OK)
        return code;
    if (!jval_member(root, "confirm", &confirm)) {
        struct slice why = remote_text(root, "detail");
        char text[1024];

        (void)snprintf(text, sizeof text, "%.*s", (int)why.bytes, (const char *)why.data);
        return cli_error(CLI_CONFLICT, "discard dead letters", text, "tiervec dlq list");
    }
    *first = remote_u64(confirm, "lsn_first");
    *last = remote_u64(confirm, "lsn_last");
    return CLI_OK;
}

static int discard_range(struct dlq_command *c, uint64_t first, uint64_t last)
{
    struct jval gone;
    struct jval root;
    struct buf body;
    int code;

    buf_init(&body, 1024 * 1024);
    put_ids(&body, &c->words);
    buf_printf(&body, "%s\"confirm\":{\"lsn_first\":%" PRIu64 ",\"lsn_last\":%" PRIu64 "}%s}",
               body.bytes > 1 ? "," : "", first, last, c->drop ? ",\"drop\":true" : "");
    code = ask(c, "discard dead letters", "DELETE", "/dlq", &body, 0, &root);
    buf_free(&body);
    if (code != CLI_OK || remote_printed(&c->remote, &code) ||
        !jval_member(root, "discarded", &gone))
        return code;
    printf("discarded lsn %" PRIu64 "-%" PRIu64 ", %" PRIu64 " records; their export lies on the "
           "node in %.*s\n",
           remote_u64(gone, "lsn_first"), remote_u64(gone, "lsn_last"), remote_u64(gone, "records"),
           (int)remote_text(root, "export").bytes, (const char *)remote_text(root, "export").data);
    return CLI_OK;
}

static int discard(struct dlq_command *c)
{
    uint64_t first = 0;
    uint64_t last = 0;
    char what[512];
    char answer[64];
    int code = ask_range(c, &first, &last);

    if (code != CLI_OK)
        return code;
    (void)snprintf(answer, sizeof answer, "%" PRIu64 "-%" PRIu64, first, last);
    (void)snprintf(what, sizeof what, "discard lsn %s of %s: %s", answer, c->collection,
                   c->drop ? "documents whose newest write is in it are deleted"
                           : "documents whose newest write is in it are written anew");
    if (c->dry_run) {
        if (!remote_printed(&c->remote, &code))
            printf("would %s\n", what);
        return code;
    }
    code = cli_confirm(c->yes, what, answer);
    return code != CLI_OK ? code : discard_range(c, first, last);
}

static int run(struct dlq_command *c)
{
    const char *sub = c->words.count == 0 ? "" : c->words.words[0];

    if (c->words.count > 1)
        c->collection = c->words.words[1];
    if (strcmp(sub, "list") == 0 && c->words.count <= 2)
        return list(c);
    if (strcmp(sub, "show") == 0)
        return show(c);
    if (strcmp(sub, "export") == 0)
        return export_letter(c);
    if (strcmp(sub, "retry") == 0)
        return act(c, "retry dead letters", "/dlq/retry", false);
    if (strcmp(sub, "replay") == 0)
        return act(c, "replay dead letters", "/dlq/replay", true);
    if (strcmp(sub, "split") == 0)
        return act(c, "split dead letters", "/dlq/split", true);
    if (strcmp(sub, "discard") == 0)
        return discard(c);
    return cli_usage(help_text);
}

int cli_dlq(int argc, char **argv)
{
    static struct dlq_command c; /* too large for a stack, and there is one */
    const struct cli_flag flags[] = {REMOTE_FLAGS(&c.remote),        {"--kind", NULL, &c.kind},
                                     {"--class", NULL, &c.class},    {"--output", NULL, &c.output},
                                     {"--drop", &c.drop, NULL},      {"--yes", &c.yes, NULL},
                                     {"--dry-run", &c.dry_run, NULL}};
    int code;

    c = (struct dlq_command){0};
    if (!cli_parse(argc, argv, flags, COUNT_OF(flags), &c.words))
        return CLI_USAGE;
    if (c.remote.help) {
        (void)fputs(help_text, stdout);
        return CLI_OK;
    }
    code = run(&c);
    remote_close(&c.remote);
    return code;
}
