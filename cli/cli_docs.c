/* cli_docs.c - `tiervec get`, `insert`, `query`: one document of a running node, and a search. */
#include "cli/commands.h"
#include "cli/remote.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_BYTES_MAX = 16 * 1024 * 1024, OUT_BYTES_MAX = 256 * 1024 * 1024 };

static const char get_help[] =
    "usage: tiervec get COLLECTION DOC_ID\n"
    "\n"
    "The document as JSON: its id, vectors, payload, when it was written and at which lsn.\n"
    "\n"
    "example: tiervec get products 42\n"
    "\n" REMOTE_FLAGS_HELP;

static const char insert_help[] =
    "usage: tiervec insert COLLECTION --vector JSON [flags]\n"
    "\n"
    "Writes one document; one of the same id is replaced, with all its vectors. Many documents:\n"
    "`tiervec import`.\n"
    "\n"
    "  --id ID             an integer or a UUID, or any text where the collection takes it (else "
    "one\n"
    "                      is made)\n"
    "  --vector JSON       '[1,0,0]': the unnamed vector, or that of a collection which has one "
    "alone\n"
    "  --vector-name NAME  --vector is this one\n"
    "  --vectors JSON      several by name: '{\"title\":[1,0],\"body\":[1,2,3]}'\n"
    "  --payload JSON      an object\n"
    "  --external-id TEXT  a name of your own\n"
    "\n"
    "example: tiervec insert products --id 42 --vector '[1,0,0]' --payload '{\"colour\":\"red\"}'\n"
    "\n" REMOTE_FLAGS_HELP;

static const char query_help[] =
    "usage: tiervec query COLLECTION VECTOR [flags]\n"
    "\n"
    "The documents whose vectors are nearest to VECTOR ('[1,0,0]'), best first: distance, id and\n"
    "payload.\n"
    "\n"
    "  --using NAME   the vector that is searched, where the collection's have names\n"
    "  --top-k N      how many (10)\n"
    "  --filter JSON  only documents that match\n"
    "  --exact        looks at every document\n"
    "  --explain      and how it was found\n"
    "\n"
    "example: tiervec query products '[1,0,0]' --top-k 3 --filter '{\"colour\":\"red\"}'\n"
    "\n" REMOTE_FLAGS_HELP;

struct docs_command {
    struct remote remote;
    const char *id, *external_id, *vector, *vector_name, *vectors, *payload;
    const char *using, *top_k, *filter;
    bool exact, explain;
};

/* --- JSON from the command line --- */

/* `,"name":text`; what is wrong with the text is said here, in the flag's name. */
static int put_json(struct buf *body, const char *name, const char *flag, const char *text)
{
    struct jdoc *doc = NULL;
    struct err err = {0};
    struct jval v;
    char what[64];
    status st;

    if (text == NULL)
        return CLI_OK;
    st = jdoc_create(&doc, &err);
    if (st == ST_OK)
        st = jdoc_parse(doc, slice_text(text), &v, &err);
    jdoc_destroy(doc);
    (void)snprintf(what, sizeof what, "%s", flag);
    if (st != ST_OK)
        return cli_error(CLI_USAGE, what, err.text, "JSON in quotes of the shell");
    json_put_string(body, slice_text(name));
    buf_printf(body, ":%s", text);
    return CLI_OK;
}

static void put_text(struct buf *body, const char *name, const char *text)
{
    if (text == NULL)
        return;
    buf_printf(body, ",\"%s\":", name);
    json_put_string(body, slice_text(text));
}

/* An id as JSON: digits are a number. */
static void put_id(struct buf *body, const char *id)
{
    size_t bytes = strlen(id);
    uint64_t n = 0;
    bool number = bytes > 0 && bytes < 21 && (id[0] != '0' || bytes == 1);

    for (size_t i = 0; number && i < bytes; i++) {
        uint64_t digit = (uint64_t)(id[i] - '0');

        number = id[i] >= '0' && id[i] <= '9' && n <= (UINT64_MAX - digit) / 10;
        n = 10 * n + digit;
    }
    buf_put_text(body, ",\"doc_id\":");
    if (number)
        json_put_u64(body, n);
    else
        json_put_string(body, slice_text(id));
}

static int ask_of(struct docs_command *c, const char *what, const char *method,
                  const char *collection, const char *behind, const struct buf *body,
                  struct jval *root)
{
    struct buf path;
    int code;

    buf_init(&path, 16 * 1024);
    remote_path(&path, "/api/v1/collections/", collection, behind);
    code = path.failed ? cli_error(CLI_USAGE, what, "the name is too long", NULL)
                       : remote_ask(&c->remote, what, method, (const char *)path.data, body, root);
    buf_free(&path);
    return code;
}

/* As the node said it. */
static void put_value(struct buf *out, struct jval v)
{
    struct buf blob;

    buf_init(&blob, OUT_BYTES_MAX);
    jbin_put(&blob, v);
    out->failed = out->failed || blob.failed;
    if (!blob.failed)
        jbin_print(out, buf_slice(&blob));
    buf_free(&blob);
}

/* --- get --- */

static int get(struct docs_command *c, const struct cli_words *w)
{
    struct jval document;
    struct jval root;
    struct buf behind;
    struct buf out;
    int code;

    if (w->count != 2)
        return cli_usage(get_help);
    buf_init(&behind, 8192);
    buf_put_text(&behind, "/docs/");
    http_put_encoded(&behind, w->words[1]);
    buf_put_u8(&behind, 0);
    code = behind.failed ? cli_error(CLI_USAGE, "get", "the id is too long", NULL)
                         : ask_of(c, "get a document", "GET", w->words[0],
                                  (const char *)behind.data, NULL, &root);
    buf_free(&behind);
    if (code != CLI_OK || remote_printed(&c->remote, &code) ||
        !jval_member(root, "document", &document))
        return code;
    buf_init(&out, OUT_BYTES_MAX);
    put_value(&out, document);
    buf_put_text(&out, "\n");
    code = cli_write(&out);
    buf_free(&out);
    return code;
}

/* --- insert --- */

static int put_vectors(const struct docs_command *c, struct buf *body)
{
    int code = CLI_OK;

    if (c->vectors != NULL) {
        buf_put_text(body, ",");
        code = put_json(body, "vectors", "--vectors", c->vectors);
    }
    if (code != CLI_OK || c->vector == NULL)
        return code;
    buf_put_text(body, c->vector_name != NULL ? ",\"vectors\":{" : ",");
    code =
        put_json(body, c->vector_name != NULL ? c->vector_name : "vector", "--vector", c->vector);
    buf_put_text(body, c->vector_name != NULL ? "}" : "");
    return code;
}

static int put_document(const struct docs_command *c, struct buf *body)
{
    int code;

    buf_put_text(body, "{\"payload\":null"); /* null counts as absent */
    if (c->id != NULL)
        put_id(body, c->id);
    put_text(body, "external_id", c->external_id);
    code = put_vectors(c, body);
    if (code == CLI_OK && c->payload != NULL) {
        buf_put_text(body, ",");
        code = put_json(body, "payload", "--payload", c->payload);
    }
    buf_put_text(body, "}");
    return code;
}

static int insert(struct docs_command *c, const struct cli_words *w)
{
    struct jval root;
    struct jval id;
    struct buf body;
    struct buf out;
    int code;

    if (w->count != 1 || (c->vector_name != NULL && (c->vector == NULL || c->vectors != NULL)))
        return cli_usage(insert_help);
    buf_init(&body, BODY_BYTES_MAX);
    code = put_document(c, &body);
    if (code == CLI_OK)
        code = ask_of(c, "insert a document", "POST", w->words[0], "/insert", &body, &root);
    buf_free(&body);
    if (code != CLI_OK || remote_printed(&c->remote, &code) || !jval_member(root, "doc_id", &id))
        return code;
    buf_init(&out, 64 * 1024);
    buf_put_text(&out, "inserted ");
    put_value(&out, id);
    buf_printf(&out, ", lsn %" PRIu64 ", durability ", remote_u64(root, "lsn"));
    cli_put(&out, remote_text(root, "durability"));
    buf_put_text(&out, "\n");
    code = cli_write(&out);
    buf_free(&out);
    return code;
}

/* --- query --- */

static int put_query(const struct docs_command *c, const char *vector, struct buf *body)
{
    char *end = NULL;
    unsigned long top_k = c->top_k == NULL ? 10 : strtoul(c->top_k, &end, 10);
    int code;

    if (top_k == 0 || (end != NULL && *end != '\0'))
        return cli_usage(query_help);
    buf_put_text(body, "{");
    code = put_json(body, "query_vector", "VECTOR", vector);
    if (code == CLI_OK && c->filter != NULL) {
        buf_put_text(body, ",");
        code = put_json(body, "filter", "--filter", c->filter);
    }
    put_text(body, "using", c->using);
    buf_printf(body, ",\"top_k\":%lu,\"exact\":%s,\"explain\":%s}", top_k,
               c->exact ? "true" : "false", c->explain ? "true" : "false");
    return code;
}

static int print_matches(struct jval root)
{
    struct jval matches = {0};
    struct jval v;
    struct buf out;
    int code;

    buf_init(&out, OUT_BYTES_MAX);
    if (jval_member(root, "matches", &matches) && jval_count(matches) == 0)
        buf_put_text(&out, "no document matches\n");
    for (struct jiter it = jval_iter(matches); jiter_next(&it);) {
        buf_printf(&out, "%-14.7g ", remote_f64(it.value, "distance"));
        if (jval_member(it.value, "doc_id", &v))
            put_value(&out, v);
        buf_put_text(&out, " ");
        if (jval_member(it.value, "payload", &v))
            put_value(&out, v);
        buf_put_text(&out, "\n");
    }
    if (jval_member(root, "explain", &v)) {
        put_value(&out, v);
        buf_put_text(&out, "\n");
    }
    code = cli_write(&out);
    buf_free(&out);
    return code;
}

static int query(struct docs_command *c, const struct cli_words *w)
{
    struct jval root;
    struct buf body;
    int code;

    if (w->count != 2)
        return cli_usage(query_help);
    buf_init(&body, BODY_BYTES_MAX);
    code = put_query(c, w->words[1], &body);
    if (code == CLI_OK)
        code = ask_of(c, "query", "POST", w->words[0], "/query", &body, &root);
    buf_free(&body);
    return code != CLI_OK || remote_printed(&c->remote, &code) ? code : print_matches(root);
}

/* --- flags --- */

static int run(struct docs_command *c, int argc, char **argv, const struct cli_flag *flags,
               size_t count, const char *help,
               int (*command)(struct docs_command *, const struct cli_words *))
{
    static struct cli_words words;
    int code;

    if (!cli_parse(argc, argv, flags, count, &words))
        return CLI_USAGE;
    if (c->remote.help) {
        (void)fputs(help, stdout);
        return CLI_OK;
    }
    code = command(c, &words);
    remote_close(&c->remote);
    return code;
}

int cli_get(int argc, char **argv)
{
    struct docs_command c = {0};
    const struct cli_flag flags[] = {REMOTE_FLAGS(&c.remote)};

    return run(&c, argc, argv, flags, COUNT_OF(flags), get_help, get);
}

int cli_insert(int argc, char **argv)
{
    struct docs_command c = {0};
    const struct cli_flag flags[] = {REMOTE_FLAGS(&c.remote),
                                     {"--id", NULL, &c.id},
                                     {"--external-id", NULL, &c.external_id},
                                     {"--vector", NULL, &c.vector},
                                     {"--vector-name", NULL, &c.vector_name},
                                     {"--vectors", NULL, &c.vectors},
                                     {"--payload", NULL, &c.payload}};

    return run(&c, argc, argv, flags, COUNT_OF(flags), insert_help, insert);
}

int cli_query(int argc, char **argv)
{
    struct docs_command c = {0};
    const struct cli_flag flags[] = {REMOTE_FLAGS(&c.remote),     {"--using", NULL, &c.using},
                                     {"--top-k", NULL, &c.top_k}, {"--filter", NULL, &c.filter},
                                     {"--exact", &c.exact, NULL}, {"--explain", &c.explain, NULL}};

    return run(&c, argc, argv, flags, COUNT_OF(flags), query_help, query);
}
