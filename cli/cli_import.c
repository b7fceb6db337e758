/* cli_import.c - `tiervec import`: documents of a file, or of another server, into a collection. */
#include "cli/bulk.h"
#include "cli/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help_text[] =
    "usage: tiervec import FILE --collection COLLECTION [--format ndjson|npy|fvecs]\n"
    "       tiervec import qdrant URL --collection NAME [--into COLLECTION] [--vector NAME]\n"
    "\n"
    "ndjson: a document a line, as POST .../insert takes it, and as `tiervec export` writes it.\n"
    "npy, fvecs: a vector a row; the row's number is the id. npy: float32, two dimensions.\n"
    "qdrant: every point of a collection there; --into is made if it is not there.\n"
    "        QDRANT_API_KEY in the environment is sent along.\n"
    "\n"
    "  --batch N     documents a request (1000)\n"
    "  --resume      keeps the place in a small file, and goes on from there after a failure\n"
    "  --state FILE  that file (else FILE.import-state)\n"
    "\n"
    "example: tiervec import words.ndjson --collection words --resume\n"
    "\n" REMOTE_FLAGS_HELP;

struct import_command {
    struct remote node;
    const char *collection, *into, *format, *vector, *batch, *state;
    bool resume;
};

static bool take_batch(const char *text, uint64_t *out)
{
    char *end = NULL;
    unsigned long n = text == NULL ? BULK_BATCH : strtoul(text, &end, 10);

    *out = n;
    return n >= 1 && n <= BULK_BATCH_MAX && (end == NULL || *end == '\0');
}

static int run(struct import_command *c, const struct cli_words *w)
{
    bool from_server = w->count == 2 && strcmp(w->words[0], "qdrant") == 0;
    const char *source = w->words[w->count == 0 ? 0 : w->count - 1];
    struct bulk b = {.node = &c->node, .what = "import"};
    char source_name[2048];
    char state[2048];
    char what[512];
    int code;

    if (c->collection == NULL || (!from_server && (w->count != 1 || c->into != NULL)) ||
        !take_batch(c->batch, &b.batch))
        return cli_usage(help_text);
    (void)snprintf(what, sizeof what, "import %s", source);
    (void)snprintf(state, sizeof state, "%s.import-state", from_server ? c->collection : source);
    (void)snprintf(source_name, sizeof source_name, "%s%s%s", source, from_server ? " " : "",
                   from_server ? c->collection : "");
    b.what = what;
    b.collection = c->into != NULL ? c->into : c->collection;
    b.place.source = source_name;
    if (c->resume || c->state != NULL)
        b.place.path = c->state != NULL ? c->state : state;
    if (!c->resume && b.place.path != NULL)
        place_remove(&b.place);
    code = from_server ? import_qdrant(&b, source, c->collection, c->vector)
                       : import_file(&b, source, c->format);
    if (code == CLI_OK)
        code = bulk_end(&b);
    bulk_free(&b);
    return code;
}

int cli_import(int argc, char **argv)
{
    struct import_command c = {0};
    const struct cli_flag flags[] = {
        REMOTE_FLAGS(&c.node),         {"--collection", NULL, &c.collection},
        {"--into", NULL, &c.into},     {"--format", NULL, &c.format},
        {"--vector", NULL, &c.vector}, {"--batch", NULL, &c.batch},
        {"--state", NULL, &c.state},   {"--resume", &c.resume, NULL}};
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
