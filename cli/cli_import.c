/* cli_import.c - `tiervec import`: documents from a file, a pipe or another server. */
#include "cli/commands.h"
#include "cli/import_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { HEAD_BYTES = 64 * 1024, BATCH_BYTES_MAX = 16 * 1024 * 1024 };

static const char help_text[] =
    "usage: tiervec import --collection COLLECTION FILE|-\n"
    "       tiervec import qdrant URL --from NAME --collection COLLECTION [--vector NAME]\n"
    "\n"
    "FILE is NDJSON (doc_id or id, external_id, vector, vectors by name, payload a line), .npy\n"
    "(two dimensions of float32) or .fvecs; - is NDJSON from standard input. `qdrant` reads a\n"
    "collection of another server that speaks the compatible API, tiervec too: ids, payloads and\n"
    "all dense vectors; QDRANT_API_KEY in the environment is sent along.\n"
    "Documents of the same id are replaced. A line without an id gets one made of its number and\n"
    "text, so that it is the same document whenever it is sent.\n"
    "\n"
    "  --collection C   where the documents go\n"
    "  --resume FILE    keeps there how far it came; the same command goes on behind that\n"
    "  --create         makes the collection where it is absent, with the vectors that the first\n"
    "                   batch has (qdrant: as the other one's) and --metric cosine|dot|l2|l1\n"
    "  --metric M       of all vectors of a new collection (qdrant: as the other one's)\n"
    "  --dimension N    of a new collection (else as the input says)\n"
    "  --string-ids     a new collection takes any text as an id (qdrant: as the other one)\n"
    "  --format F       ndjson, npy or fvecs (else by the file's name)\n"
    "  --first-id N     id of the first row of .npy and .fvecs (0)\n"
    "  --from NAME      the other server's collection\n"
    "  --vector NAME    qdrant: this named vector alone, for a collection of one. .npy, .fvecs: "
    "the\n"
    "                   vector that rows are, where the collection's have names\n"
    "  --batch-rows N   documents a request (1000, at most 10000)\n"
    "  --batch-bytes N  bytes a request, about (4194304, at most 16777216)\n"
    "  --dry-run        reads and checks all of it, writes nothing\n"
    "\n"
    "A node that asks for patience (429, 503) or goes away is asked again for five minutes.\n"
    "\n"
    "example: tiervec import --collection words --create --metric cosine --resume words.state "
    "words.ndjson\n"
    "\n" REMOTE_FLAGS_HELP;

/* --- the collection --- */

/* --dimension of a new collection. */
static int first_field(struct import *in)
{
    struct bulk_field *f = NULL;
    struct err err;

    if (bulk_field_meant(&in->run.rows, in->named, &f, &err) != ST_OK)
        return cli_error(CLI_FAILED, in->run.collection, err.text, NULL);
    f->dim = in->dimension;
    return CLI_OK;
}

int import_look(struct import *in)
{
    struct bulk_run *run = &in->run;
    const struct bulk_field *one;
    char why[256];
    int code = bulk_run_look(run, in->create);

    if (code != CLI_OK)
        return code;
    if (run->collection_id[0] == '\0') {
        run->rows.string_ids = in->string_ids;
        return in->dimension == 0 || in->url != NULL ? CLI_OK : first_field(in);
    }
    one = run->rows.field_count == 1 ? &run->rows.fields[0] : NULL;
    if (in->dimension != 0 && (one == NULL || in->dimension != one->dim)) {
        if (one == NULL)
            (void)snprintf(why, sizeof why, "it is there with %zu vectors a document",
                           run->rows.field_count);
        else
            (void)snprintf(why, sizeof why, "it is there with dimension %" PRIu32, one->dim);
        return cli_error(CLI_CONFLICT, run->collection, why, "without --dimension");
    }
    for (size_t i = 0; in->metric != NULL && in->url == NULL && i < run->rows.field_count; i++) {
        if (strcmp(in->metric, run->rows.fields[i].metric) == 0)
            continue;
        (void)snprintf(why, sizeof why, "it is there with metric %s", run->rows.fields[i].metric);
        return cli_error(CLI_CONFLICT, run->collection, why, "without --metric");
    }
    if (in->string_ids && !run->rows.string_ids)
        return cli_error(CLI_CONFLICT, run->collection, "it is there without string ids",
                         "without --string-ids");
    return CLI_OK;
}

static void put_field(const struct import *in, struct buf *body, const struct bulk_field *f)
{
    buf_printf(body, "\"dimension\":%" PRIu32 ",\"metric\":", f->dim);
    json_put_string(body, slice_text(f->metric[0] != '\0' ? f->metric : in->metric));
}

/* What the collection is made with, but its name. */
static void put_fields(const struct import *in, struct buf *body)
{
    const struct bulk_rows *rows = &in->run.rows;

    if (rows->field_count == 1 && rows->fields[0].name[0] == '\0') {
        buf_put_text(body, ",");
        put_field(in, body, &rows->fields[0]);
        return;
    }
    buf_put_text(body, ",\"vectors\":{");
    for (size_t i = 0; i < rows->field_count; i++) {
        if (i > 0)
            buf_put_text(body, ",");
        json_put_string(body, slice_text(rows->fields[i].name));
        buf_put_text(body, ":{");
        put_field(in, body, &rows->fields[i]);
        buf_put_text(body, "}");
    }
    buf_put_text(body, "}");
}

int import_create(struct import *in)
{
    struct bulk_run *run = &in->run;
    struct jval root;
    struct slice id;
    struct buf body;
    int code;

    if (run->collection_id[0] != '\0' || run->dry_run)
        return CLI_OK;
    if (run->rows.field_count == 0 && in->url == NULL)
        return cli_error(CLI_FAILED, "create the collection", "the input holds no vector",
                         "--dimension, or `tiervec collections create` first");
    buf_init(&body, 64 * 1024);
    buf_put_text(&body, "{\"name\":");
    json_put_string(&body, slice_text(run->collection));
    put_fields(in, &body);
    buf_put_text(&body, run->rows.string_ids ? ",\"string_ids\":true}" : "}");
    code = remote_ask(&run->remote, "create a collection", "POST", "/api/v1/collections", &body,
                      &root);
    buf_free(&body);
    if (code != CLI_OK)
        return code;
    id = remote_text(root, "collection_id");
    (void)snprintf(run->collection_id, sizeof run->collection_id, "%.*s", (int)id.bytes,
                   (const char *)id.data);
    memcpy(run->state.collection_id, run->collection_id, sizeof run->state.collection_id);
    run->rows.open = false;
    return CLI_OK;
}

int import_send(struct import *in)
{
    int code = import_create(in);

    return code != CLI_OK ? code : bulk_batch_send(&in->run);
}

int import_end(struct import *in)
{
    int code = import_send(in);

    in->run.state.done = true;
    if (code == CLI_OK && !in->run.dry_run)
        code = bulk_run_save(&in->run);
    return code != CLI_OK ? code : bulk_run_end(&in->run, false);
}

/* --- a file --- */

static int cannot_open(const char *path, const char *why)
{
    return cli_error(CLI_FAILED, path, why, "the path of a file, or - for standard input");
}

/* What makes the file the same one: its size and how it begins. */
static int put_words(struct import_command *c, const char *path, struct buf *words)
{
    struct stat about;

    buf_printf(words, "import file %s %" PRIu64, bulk_format_name(c->reader.format),
               c->in.first_id);
    if (c->in.named != NULL)
        buf_printf(words, " vector %s", c->in.named);
    if (c->in.run.resume == NULL)
        return CLI_OK;
    if (fstat(fileno(c->file), &about) != 0 || !S_ISREG(about.st_mode))
        return cli_error(CLI_USAGE, path, "only a file can be read again from where it was left",
                         "without --resume");
    buf_printf(words, " %" PRIu64 " ", (uint64_t)about.st_size);
    if (buf_reserve(words, HEAD_BYTES))
        words->bytes += fread(words->data + words->bytes, 1, HEAD_BYTES, c->file);
    rewind(c->file);
    return CLI_OK;
}

static int bad_input(struct import_command *c, const struct err *err)
{
    return bulk_run_bad_row(&c->in.run, "the input", err);
}

static status put_row(struct import_command *c, struct slice row, char label[BULK_LABEL_BYTES],
                      struct err *err)
{
    struct bulk_run *run = &c->in.run;
    uint64_t index = c->reader.row - 1;

    if (c->reader.format == BULK_NDJSON) {
        (void)snprintf(label, BULK_LABEL_BYTES, "line %" PRIu64, c->reader.row);
        bulk_batch_next(run, label);
        return bulk_put_line(&run->rows, &run->body, row, c->reader.row, err);
    }
    (void)snprintf(label, BULK_LABEL_BYTES, "row %" PRIu64, index);
    bulk_batch_next(run, label);
    if (index > UINT64_MAX - c->in.first_id)
        return err_set(err, ST_INVALID, "its id is beyond 18446744073709551615");
    return bulk_put_vector(&run->rows, &run->body, c->field, row, c->in.first_id + index, err);
}

static int import_rows(struct import_command *c)
{
    struct bulk_run *run = &c->in.run;
    char label[BULK_LABEL_BYTES];
    struct slice row;
    struct err err;
    bool all = false;
    int code = CLI_OK;

    c->streams = import_may_stream(c);
    while (code == CLI_OK) {
        bool got = false;

        if (bulk_reader_next(&c->reader, &row, &got, &err) != ST_OK)
            return bad_input(c, &err);
        if (!got)
            return import_end(&c->in);
        if (put_row(c, row, label, &err) != ST_OK)
            return bulk_run_bad_row(run, label, &err);
        run->state.position = c->reader.offset;
        run->state.row = c->reader.row;
        run->state.rows++;
        if (!bulk_batch_full(run))
            continue;
        code = import_send(&c->in);
        if (code == CLI_OK && c->streams)
            code = import_stream(c, &all);
        if (code == CLI_OK && all)
            return import_end(&c->in);
    }
    return code;
}

static status choose_field(struct import_command *c, struct err *err)
{
    status st = bulk_field_meant(&c->in.run.rows, c->in.named, &c->field, err);

    if (st != ST_OK)
        return st;
    if (c->reader.dim != 0 && c->field->dim != 0 && c->reader.dim != c->field->dim)
        return err_set(err, ST_INVALID,
                       "its rows have %" PRIu32 " values, the collection's dimension is %" PRIu32,
                       c->reader.dim, c->field->dim);
    if (c->field->dim == 0)
        c->field->dim = c->reader.dim;
    return ST_OK;
}

static int start_reading(struct import_command *c, const char *path)
{
    struct bulk_run *run = &c->in.run;
    struct buf words;
    struct err err;
    int code;

    buf_init(&words, 2 * HEAD_BYTES);
    code = put_words(c, path, &words);
    if (code == CLI_OK && bulk_reader_open(&c->reader, c->file, c->reader.format, &err) != ST_OK)
        code = bad_input(c, &err);
    if (code == CLI_OK)
        code = import_look(&c->in);
    if (code == CLI_OK)
        code = bulk_run_resume(run, &words);
    buf_free(&words);
    if (code != CLI_OK)
        return code;
    if (c->reader.format != BULK_NDJSON && choose_field(c, &err) != ST_OK)
        return bad_input(c, &err);
    if (run->resumed && !run->state.done &&
        bulk_reader_seek(&c->reader, run->state.position, run->state.row, &err) != ST_OK)
        code = bad_input(c, &err);
    return code;
}

static int import_file(struct import_command *c, const char *path)
{
    struct bulk_run *run = &c->in.run;
    bool standard = strcmp(path, "-") == 0;
    struct stat about;
    int code;

    c->reader.format = standard ? BULK_NDJSON : bulk_format_of(path);
    if (c->format != NULL && !bulk_format_parse(c->format, &c->reader.format))
        return cli_usage(help_text);
    if (c->in.named != NULL && c->reader.format == BULK_NDJSON)
        return cli_error(CLI_USAGE, "import --vector", "lines of NDJSON name their vectors",
                         "without --vector");
    c->file = standard ? stdin : fopen(path, "rbe");
    if (c->file == NULL)
        return cannot_open(path, strerror(errno));
    if (fstat(fileno(c->file), &about) == 0 && S_ISDIR(about.st_mode))
        code = cannot_open(path, "it is a directory");
    else
        code = start_reading(c, path);
    if (code == CLI_OK)
        code = run->state.done ? bulk_run_end(run, false) : import_rows(c);
    bulk_reader_close(&c->reader);
    if (!standard)
        (void)fclose(c->file);
    return code;
}

/* --- flags --- */

static bool take_number(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    char *end = NULL;

    if (text == NULL)
        return true;
    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *out >= least && *out <= most;
}

static bool take_numbers(struct import_command *c)
{
    uint64_t dimension = 0;
    uint64_t rows = BULK_BATCH_ROWS;
    uint64_t bytes = BULK_BATCH_BYTES;

    if (!take_number(c->dimension, 1, BULK_DIM_MAX, &dimension) ||
        !take_number(c->first_id, 0, UINT64_MAX, &c->in.first_id) ||
        !take_number(c->batch_rows, 1, BULK_BATCH_ROWS_MAX, &rows) ||
        !take_number(c->batch_bytes, 1, BATCH_BYTES_MAX, &bytes))
        return false;
    c->in.dimension = (uint32_t)dimension;
    c->in.run.batch_rows_max = (size_t)rows;
    c->in.run.batch_bytes_max = (size_t)bytes;
    return true;
}

static int run_it(struct import_command *c, const struct cli_words *w)
{
    bool qdrant = w->count == 2 && strcmp(w->words[0], "qdrant") == 0;
    struct import *in = &c->in;
    struct err err;
    int code;

    if (in->run.collection == NULL || !take_numbers(c) || (!qdrant && w->count != 1) ||
        qdrant != (in->from != NULL) || (qdrant && (c->format != NULL || c->first_id != NULL)))
        return cli_usage(help_text);
    if (in->create && in->metric == NULL && !qdrant)
        return cli_error(CLI_USAGE, "import --create", "a new collection needs a metric",
                         "--metric cosine");
    if (bulk_run_open(&in->run, &err) != ST_OK)
        code = cli_error(CLI_FAILED, "import", err.text, NULL);
    else if (qdrant) {
        in->url = w->words[1];
        code = import_qdrant(in);
    } else
        code = import_file(c, w->words[0]);
    bulk_run_close(&in->run);
    return code;
}

int cli_import(int argc, char **argv)
{
    struct import_command c = {.in.run.what = "import"};
    const struct cli_flag flags[] = {
        REMOTE_FLAGS(&c.in.run.remote),        {"--collection", NULL, &c.in.run.collection},
        {"--resume", NULL, &c.in.run.resume},  {"--dry-run", &c.in.run.dry_run, NULL},
        {"--create", &c.in.create, NULL},      {"--metric", NULL, &c.in.metric},
        {"--dimension", NULL, &c.dimension},   {"--format", NULL, &c.format},
        {"--first-id", NULL, &c.first_id},     {"--from", NULL, &c.in.from},
        {"--vector", NULL, &c.in.named},       {"--string-ids", &c.in.string_ids, NULL},
        {"--batch-rows", NULL, &c.batch_rows}, {"--batch-bytes", NULL, &c.batch_bytes}};
    static struct cli_words words;

    if (!cli_parse(argc, argv, flags, COUNT_OF(flags), &words))
        return CLI_USAGE;
    if (c.in.run.remote.help) {
        (void)fputs(help_text, stdout);
        return CLI_OK;
    }
    return run_it(&c, &words);
}
