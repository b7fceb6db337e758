/* cli_export.c - `tiervec export`: documents into a file or a pipe, in id order. Rows are asked for
 * page by page, lines come in one stream (cli_export_lines.c). */
#include "cli/commands.h"
#include "cli/export.h"

#include "base/fs.h"
#include "base/npy.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum {
    PAGE_ROWS_MAX = 1000,
    PAGE_BYTES = 4 * 1024 * 1024, /* of vectors as text, about */
    TEXT_BYTES_A_FLOAT = 13,
    PAGE_OUT_BYTES_MAX = 256 * 1024 * 1024,
};

static const char help_text[] =
    "usage: tiervec export --collection COLLECTION [flags] FILE|-\n"
    "\n"
    "Documents in id order, in pieces; what is written meanwhile is in it or not. NDJSON\n"
    "holds all of a document and can be imported again. .npy and .fvecs hold vectors alone, "
    "without\n"
    "ids and payloads, in that order. FILE appears, or is replaced, when all of it is there: "
    "until\n"
    "then it is FILE.part. - is standard output, not for .npy, whose head says how many follow.\n"
    "\n"
    "  --collection C  which\n"
    "  --filter JSON   only documents that match\n"
    "  --format F      ndjson, npy or fvecs (else by the file's name)\n"
    "  --vector NAME   of .npy and .fvecs: which, where the collection's vectors have names\n"
    "  --resume FILE   keeps there how far it came; the same command goes on behind that\n"
    "\n"
    "example: tiervec export --collection words --filter '{\"word\":\"east\"}' words.ndjson\n"
    "\n" REMOTE_FLAGS_HELP;

int export_cannot_write(struct export_command *c, const char *why)
{
    return cli_error(CLI_FAILED, c->path, why, "room, or another file");
}

/* --- the file --- */

/* Cut to what the state says, or new. */
static int open_file(struct export_command *c)
{
    const struct bulk_state *s = &c->run.state;
    struct buf head;
    bool fine;

    if (strcmp(c->path, "-") == 0) {
        c->file = stdout;
        return CLI_OK;
    }
    c->file = fopen(c->part, c->run.resumed ? "r+be" : "wbe");
    if (c->file == NULL)
        return export_cannot_write(c, strerror(errno));
    if (c->run.resumed) {
        if (fseeko(c->file, 0, SEEK_END) != 0 || (uint64_t)ftello(c->file) < s->position)
            return export_cannot_write(c, "it is shorter than --resume's file says");
        fine = ftruncate(fileno(c->file), (off_t)s->position) == 0 &&
               fseeko(c->file, (off_t)s->position, SEEK_SET) == 0;
        return fine ? CLI_OK : export_cannot_write(c, strerror(errno));
    }
    if (c->format != BULK_NPY)
        return CLI_OK;
    buf_init(&head, 4096);
    npy_put_header(&head, 0, c->field->dim);
    fine = !head.failed && fwrite(head.data, 1, head.bytes, c->file) == head.bytes;
    c->run.state.position = head.bytes;
    buf_free(&head);
    return fine ? CLI_OK : export_cannot_write(c, strerror(errno));
}

/* The page is on disk before the state says so. */
int export_write(struct export_command *c)
{
    struct bulk_run *run = &c->run;

    if (c->out.failed)
        return export_cannot_write(c, "out of memory for a page");
    if (fwrite(c->out.data, 1, c->out.bytes, c->file) != c->out.bytes || fflush(c->file) != 0)
        return export_cannot_write(c, strerror(errno));
    run->state.position += c->out.bytes;
    if (run->resume == NULL)
        return CLI_OK;
    if (fdatasync(fileno(c->file)) != 0)
        return export_cannot_write(c, strerror(errno));
    return bulk_run_save(run);
}

/* The head says how many came; then the file gets its name. */
static int end_file(struct export_command *c)
{
    struct buf head;
    struct err err;
    bool fine = true;

    if (c->file == stdout)
        return CLI_OK;
    buf_init(&head, 4096);
    if (c->format == BULK_NPY) {
        npy_put_header(&head, c->run.state.rows, c->field->dim);
        fine = !head.failed && fseeko(c->file, 0, SEEK_SET) == 0 &&
               fwrite(head.data, 1, head.bytes, c->file) == head.bytes;
    }
    buf_free(&head);
    fine = fine && fflush(c->file) == 0 && fdatasync(fileno(c->file)) == 0;
    if (!fine)
        return export_cannot_write(c, strerror(errno));
    if (fs_rename(fs_real(), c->part, c->path, &err) != ST_OK)
        return export_cannot_write(c, err.text);
    c->run.state.done = true;
    return c->run.resume == NULL ? CLI_OK : bulk_run_save(&c->run);
}

/* --- pages --- */

/* The vector that is written. */
static void put_wanted(const struct export_command *c, struct buf *path)
{
    struct buf names;

    buf_init(&names, 4096);
    buf_put_text(&names, "[");
    json_put_string(&names, slice_text(c->field->name));
    buf_put_text(&names, "]");
    buf_put_u8(&names, 0);
    path->failed = path->failed || names.failed;
    if (!names.failed)
        http_put_encoded(path, (const char *)names.data);
    buf_free(&names);
}

static int ask_page(struct export_command *c, struct jval *root)
{
    struct bulk_run *run = &c->run;
    struct buf path;
    int code;

    buf_init(&path, 64 * 1024);
    buf_put_text(&path, "/api/v1/collections/");
    http_put_encoded(&path, run->collection_id);
    buf_printf(&path, "/docs?limit=%" PRIu32 "&with_vector=", c->page_rows);
    put_wanted(c, &path);
    if (c->filter != NULL) {
        buf_put_text(&path, "&filter=");
        http_put_encoded(&path, c->filter);
    }
    if (run->state.cursor[0] != '\0') {
        buf_put_text(&path, "&cursor=");
        http_put_encoded(&path, run->state.cursor);
    }
    buf_put_u8(&path, 0);
    code = path.failed ? cli_error(CLI_USAGE, "export", "the filter is too long", "a shorter one")
                       : remote_ask_or(&run->remote, "export", "GET", (const char *)path.data, NULL,
                                       REMOTE_ANY, root);
    buf_free(&path);
    return code;
}

/* Fewer documents where an answer would be too large. */
static int get_page(struct export_command *c, struct jval *root)
{
    struct remote *r = &c->run.remote;

    for (;;) {
        int code = ask_page(c, root);

        if (code != CLI_OK || r->answer.status / 100 == 2)
            return code;
        if (!slice_equal(remote_text(*root, "code"), slice_text("answer_too_large")) ||
            c->page_rows == 1)
            return remote_refused(r, "export", *root);
        c->page_rows /= 2;
    }
}

static status put_document(struct export_command *c, struct jval v, struct err *err)
{
    if (c->format == BULK_FVECS)
        buf_put_u32(&c->out, c->field->dim);
    return bulk_put_floats(&c->run.rows, &c->out, c->field, v, err);
}

static int take_page(struct export_command *c, bool *more)
{
    struct bulk_run *run = &c->run;
    char label[BULK_LABEL_BYTES];
    struct jval root;
    struct jval documents;
    struct slice next;
    struct err err;
    int code = get_page(c, &root);

    if (code != CLI_OK)
        return code;
    if (!jval_member(root, "documents", &documents))
        return cli_error(CLI_FAILED, "export", "a page without documents", "--url of a node");
    next = remote_text(root, "next_cursor");
    if (next.bytes >= BULK_CURSOR_BYTES)
        return cli_error(CLI_FAILED, "export", "the node's cursor is too long", NULL);
    buf_reset(&c->out);
    for (struct jiter it = jval_iter(documents); jiter_next(&it); run->state.rows++) {
        (void)snprintf(label, sizeof label, "document %" PRIu64, run->state.rows);
        if (put_document(c, it.value, &err) != ST_OK)
            return bulk_run_bad_row(run, label, &err);
    }
    (void)snprintf(run->state.cursor, sizeof run->state.cursor, "%.*s", (int)next.bytes,
                   (const char *)next.data);
    *more = next.bytes > 0;
    run->batches++;
    bulk_run_progress(run);
    return export_write(c);
}

static int export_all(struct export_command *c)
{
    struct bulk_run *run = &c->run;
    bool more;
    struct buf words;
    struct err err;
    uint64_t dim;
    int code = bulk_run_look(run, false);

    if (code != CLI_OK)
        return code;
    if (c->format != BULK_NDJSON &&
        bulk_field_meant(&run->rows, c->named, &c->field, &err) != ST_OK)
        return cli_error(CLI_FAILED, "export", err.text, "--vector NAME of one of them, or NDJSON");
    buf_init(&words, 1024 * 1024);
    /* The cursor of lines is a document's id, that of rows a page's. */
    buf_printf(&words, "export %s %s %s",
               c->format == BULK_NDJSON ? "lines" : bulk_format_name(c->format), c->path,
               c->filter != NULL ? c->filter : "");
    if (c->named != NULL)
        buf_printf(&words, " vector %s", c->named);
    code = bulk_run_resume(run, &words);
    buf_free(&words);
    if (code != CLI_OK || run->state.done)
        return code;
    more = !run->resumed || run->state.cursor[0] != '\0';
    dim = c->field != NULL ? c->field->dim : 1;
    c->page_rows = (uint32_t)(PAGE_BYTES / TEXT_BYTES_A_FLOAT / (dim == 0 ? 1 : dim)) + 1;
    if (c->page_rows > PAGE_ROWS_MAX)
        c->page_rows = PAGE_ROWS_MAX;
    code = open_file(c);
    if (code == CLI_OK && c->format == BULK_NDJSON)
        code = export_lines(c);
    while (code == CLI_OK && c->format != BULK_NDJSON && more)
        code = take_page(c, &more);
    return code != CLI_OK ? code : end_file(c);
}

/* --- flags --- */

static int run_it(struct export_command *c, const struct cli_words *w)
{
    struct bulk_run *run = &c->run;
    bool standard;
    struct err err;
    int code;

    if (run->collection == NULL || w->count != 1)
        return cli_usage(help_text);
    c->path = w->words[0];
    standard = strcmp(c->path, "-") == 0;
    c->format = standard ? BULK_NDJSON : bulk_format_of(c->path);
    if (c->format_name != NULL && !bulk_format_parse(c->format_name, &c->format))
        return cli_usage(help_text);
    if (standard && (c->format == BULK_NPY || run->resume != NULL || run->remote.json))
        return cli_error(CLI_USAGE, "export -",
                         "standard output takes neither .npy nor --resume nor --json", "a file");
    if (c->named != NULL && c->format == BULK_NDJSON)
        return cli_error(CLI_USAGE, "export --vector", "NDJSON holds all vectors of a document",
                         "--format npy or fvecs, or without --vector");
    if (snprintf(c->part, sizeof c->part, "%s.part", c->path) >= (int)sizeof c->part)
        return cli_error(CLI_USAGE, "export", "the path is too long", NULL);
    buf_init(&c->out, PAGE_OUT_BYTES_MAX);
    if (bulk_run_open(run, &err) != ST_OK)
        code = cli_error(CLI_FAILED, "export", err.text, NULL);
    else
        code = export_all(c);
    if (code == CLI_OK)
        code = bulk_run_end(run, standard);
    if (c->file != NULL && !standard)
        (void)fclose(c->file);
    bulk_run_close(run);
    buf_free(&c->out);
    return code;
}

int cli_export(int argc, char **argv)
{
    struct export_command c = {.run.what = "export"};
    const struct cli_flag flags[] = {
        REMOTE_FLAGS(&c.run.remote),        {"--collection", NULL, &c.run.collection},
        {"--filter", NULL, &c.filter},      {"--vector", NULL, &c.named},
        {"--format", NULL, &c.format_name}, {"--resume", NULL, &c.run.resume}};
    static struct cli_words words;

    if (!cli_parse(argc, argv, flags, COUNT_OF(flags), &words))
        return CLI_USAGE;
    if (c.run.remote.help) {
        (void)fputs(help_text, stdout);
        return CLI_OK;
    }
    return run_it(&c, &words);
}
