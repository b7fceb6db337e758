/* cli_export.c - `tiervec export`: every document of a collection, one a line, as import reads it.
 */
#include "base/clock.h"
#include "cli/bulk.h"
#include "cli/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help_text[] =
    "usage: tiervec export COLLECTION [FILE]\n"
    "\n"
    "Documents in id order, one a line: doc_id, external_id, vector, payload. Without FILE, or "
    "with -,\n"
    "to standard output. What is written while it runs may be there or not.\n"
    "\n"
    "  --resume      keeps the place in a small file, and goes on from there after a failure\n"
    "  --state FILE  that file (else FILE.export-state)\n"
    "\n"
    "example: tiervec export words words.ndjson\n"
    "\n" REMOTE_FLAGS_HELP;

enum { PAGE_MAX = 1000, PAGE_BYTES = 4 * 1024 * 1024 };

struct export_command {
    struct remote node;
    const char *state;
    bool resume;
    const char *collection;
    const char *what;
    struct place place;
    char cursor[1024]; /* of the next page; "" for the first */
    uint64_t limit;
    FILE *out;
    bool to_file;
};

static bool put_member(struct buf *out, struct jval doc, const char *name, bool first)
{
    struct jval v;

    if (!jval_member(doc, name, &v) || jval_type(v) == J_NULL)
        return false;
    buf_printf(out, "%s\"%s\":", first ? "" : ",", name);
    bulk_put_value(out, v);
    return true;
}

static int put_documents(struct export_command *c, struct jval documents, uint64_t *count)
{
    struct buf line;
    int code = CLI_OK;

    buf_init(&line, (size_t)256 * 1024 * 1024);
    *count = 0;
    for (struct jiter it = jval_iter(documents); code == CLI_OK && jiter_next(&it); ++*count) {
        buf_reset(&line);
        buf_put_text(&line, "{");
        (void)put_member(&line, it.value, "doc_id", true);
        (void)put_member(&line, it.value, "external_id", false);
        (void)put_member(&line, it.value, "vector", false);
        (void)put_member(&line, it.value, "payload", false);
        buf_put_text(&line, "}\n");
        if (line.failed)
            code = cli_error(CLI_FAILED, c->what, "out of memory", NULL);
        else if (fwrite(line.data, 1, line.bytes, c->out) != line.bytes)
            code = cli_error(CLI_FAILED, c->what, strerror(errno), "room where it is written");
    }
    buf_free(&line);
    return code;
}

/* The place is {"cursor","bytes"} of what the file holds. */
static int keep_place(struct export_command *c)
{
    if (fflush(c->out) != 0 || (c->to_file && fsync(fileno(c->out)) != 0))
        return cli_error(CLI_FAILED, c->what, strerror(errno), "room where it is written");
    if (c->place.path == NULL)
        return CLI_OK;
    (void)snprintf(c->place.at, sizeof c->place.at, "\"%" PRIu64 " %s\"", (uint64_t)ftello(c->out),
                   c->cursor);
    return place_save(&c->place, c->what);
}

/* A page whose documents are too large together is asked for again with fewer. */
static int ask_page(struct export_command *c, struct jval *root)
{
    struct buf path;
    int code;

    for (;;) {
        char behind[1200];

        buf_init(&path, 16384);
        (void)snprintf(behind, sizeof behind, "/docs?with_vector=true&limit=%" PRIu64 "%s%s",
                       c->limit, c->cursor[0] == '\0' ? "" : "&cursor=", c->cursor);
        remote_path(&path, "/api/v1/collections/", c->collection, behind);
        code = remote_ask_or(&c->node, c->what, "GET", (const char *)path.data, NULL, 400, root);
        buf_free(&path);
        if (code != CLI_OK || c->node.answer.status != 400)
            return code;
        if (!slice_equal(remote_text(*root, "code"), slice_text("answer_too_large")) ||
            c->limit == 1) {
            char why[1024];
            struct slice detail = remote_text(*root, "detail");

            (void)snprintf(why, sizeof why, "%.*s", (int)detail.bytes, (const char *)detail.data);
            return cli_error(CLI_FAILED, c->what, why, NULL);
        }
        c->limit /= 2;
    }
}

static void show(const struct export_command *c, uint64_t total)
{
    if (c->node.quiet || c->node.json || !cli_on_terminal())
        return;
    (void)fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " documents ", c->place.count, total);
}

static int run_pages(struct export_command *c, uint64_t total)
{
    for (;;) {
        struct jval root;
        struct jval documents;
        struct slice next;
        uint64_t count;
        int code = ask_page(c, &root);

        if (code != CLI_OK)
            return code;
        if (!jval_member(root, "documents", &documents))
            return cli_error(CLI_FAILED, c->what, "a page without documents came", NULL);
        code = put_documents(c, documents, &count);
        if (code != CLI_OK)
            return code;
        c->place.count += count;
        next = remote_text(root, "next_cursor");
        if (next.bytes >= sizeof c->cursor)
            return cli_error(CLI_FAILED, c->what, "a cursor is too long", NULL);
        (void)snprintf(c->cursor, sizeof c->cursor, "%.*s", (int)next.bytes,
                       (const char *)next.data);
        show(c, total);
        if (next.bytes == 0)
            return fflush(c->out) == 0 && (!c->to_file || fsync(fileno(c->out)) == 0)
                       ? CLI_OK
                       : cli_error(CLI_FAILED, c->what, strerror(errno),
                                   "room where it is written");
        code = keep_place(c);
        if (code != CLI_OK)
            return code;
    }
}

/* What the file holds behind the place goes. */
static int open_out(struct export_command *c, const char *path)
{
    unsigned long long bytes = 0;
    int used = 0;
    int fd;

    c->to_file = path != NULL && strcmp(path, "-") != 0;
    c->out = stdout;
    if (!c->to_file)
        return CLI_OK;
    if (c->place.at[0] == '"') {
        if (sscanf(c->place.at, "\"%llu %n", &bytes, &used) != 1 || used == 0)
            return cli_error(CLI_FAILED, c->what, "the file of its place is damaged",
                             "without --resume, from the beginning");
        (void)snprintf(c->cursor, sizeof c->cursor, "%.*s", (int)strcspn(c->place.at + used, "\""),
                       c->place.at + used);
    }
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (bytes == 0 ? O_TRUNC : 0), 0644);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0 || lseek(fd, 0, SEEK_END) < 0) {
        if (fd >= 0)
            (void)close(fd);
        return cli_error(CLI_FAILED, c->what, strerror(errno), NULL);
    }
    c->out = fdopen(fd, "wb");
    if (c->out == NULL) {
        (void)close(fd);
        return cli_error(CLI_FAILED, c->what, strerror(errno), NULL);
    }
    return fseeko(c->out, 0, SEEK_END) == 0 ? CLI_OK
                                            : cli_error(CLI_FAILED, c->what, strerror(errno), NULL);
}

static int begin(struct export_command *c, uint64_t *total)
{
    struct slice id;
    struct jval root;
    struct jval info;
    struct buf path;
    int code;

    buf_init(&path, 8192);
    remote_path(&path, "/api/v1/collections/", c->collection, "");
    code = remote_ask(&c->node, c->what, "GET", (const char *)path.data, NULL, &root);
    buf_free(&path);
    if (code != CLI_OK || !jval_member(root, "collection", &info))
        return code == CLI_OK ? CLI_FAILED : code;
    *total = remote_u64(info, "document_count");
    c->limit = PAGE_BYTES / (12 * remote_u64(info, "dimension") + 200);
    c->limit = c->limit > PAGE_MAX ? PAGE_MAX : c->limit == 0 ? 1 : c->limit;
    id = remote_text(info, "collection_id");
    (void)snprintf(c->place.target, sizeof c->place.target, "%.*s", (int)id.bytes,
                   (const char *)id.data);
    return place_load(&c->place, c->what);
}

static int end(struct export_command *c, uint64_t begun_ns)
{
    double seconds = (double)(clock_mono_ns(clock_real()) - begun_ns) / 1e9;

    place_remove(&c->place);
    if (!c->node.quiet && !c->node.json && cli_on_terminal())
        (void)fputs("\r\x1b[K", stderr);
    if (c->node.quiet || !c->to_file)
        return CLI_OK;
    if (c->node.json)
        printf("{\"collection_id\":\"%s\",\"exported\":%" PRIu64 ",\"seconds\":%.3f}\n",
               c->place.target, c->place.count, seconds);
    else
        printf("exported %" PRIu64 " documents in %.1f s\n", c->place.count, seconds);
    return CLI_OK;
}

static int run(struct export_command *c, const struct cli_words *w)
{
    const char *path = w->count == 2 ? w->words[1] : NULL;
    uint64_t begun_ns = clock_mono_ns(clock_real());
    uint64_t total = 0;
    char state[2048];
    char what[512];
    int code;

    if (w->count < 1 || w->count > 2 || (c->resume && path == NULL))
        return cli_usage(help_text);
    c->collection = w->words[0];
    (void)snprintf(what, sizeof what, "export %s", c->collection);
    (void)snprintf(state, sizeof state, "%s.export-state", path == NULL ? "" : path);
    c->what = what;
    c->place.source = path == NULL ? "-" : path;
    if (c->resume)
        c->place.path = c->state != NULL ? c->state : state;
    code = begin(c, &total);
    if (code == CLI_OK)
        code = open_out(c, path);
    if (code == CLI_OK)
        code = run_pages(c, total);
    if (c->to_file && c->out != NULL && c->out != stdout && fclose(c->out) != 0 && code == CLI_OK)
        code = cli_error(CLI_FAILED, c->what, strerror(errno), NULL);
    return code == CLI_OK ? end(c, begun_ns) : code;
}

int cli_export(int argc, char **argv)
{
    struct export_command c = {0};
    const struct cli_flag flags[] = {
        REMOTE_FLAGS(&c.node), {"--state", NULL, &c.state}, {"--resume", &c.resume, NULL}};
    static struct cli_words words;
    int code;

    if (!cli_parse(argc, argv, flags, COUNT_OF(flags), &words))
        return CLI_USAGE;
    if (c.node.help) {
        (void)fputs(help_text, stdout);
        return CLI_OK;
    }
    code = run(&c, &words);
    remote_close(&c.node);
    return code;
}
