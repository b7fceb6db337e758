/* cli_collections.c - `tiervec collections`: what a running node holds. */
#include "cli/commands.h"
#include "cli/remote.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help_text[] =
    "usage: tiervec collections list\n"
    "       tiervec collections create NAME --dimension N --metric cosine|dot|l2|l1 [flags]\n"
    "       tiervec collections create NAME --vectors JSON [flags]\n"
    "       tiervec collections rename COLLECTION NAME\n"
    "       tiervec collections delete COLLECTION [--dry-run] [--yes]\n"
    "\n"
    "delete asks for the name; --yes answers it, --dry-run only says what would go.\n"
    "\n"
    "  --vectors JSON      named vectors: '{\"title\":{\"dimension\":384,\"metric\":\"cosine\"}}'\n"
    "  --tiering-policy P  Memory, MemoryS3 or S3Only\n"
    "  --durability D      local or remote\n"
    "  --quantization Q    scalar, none or binary: what graphs are walked on\n"
    "  --string-ids        any text may be an id\n"
    "\n"
    "example: tiervec collections create products --dimension 384 --metric cosine\n"
    "\n" REMOTE_FLAGS_HELP;

struct collections_command {
    struct remote remote;
    const char *dimension, *metric, *vectors, *policy, *durability, *quantization;
    bool string_ids, yes, dry_run;
};

static int list(struct collections_command *c)
{
    struct jval collections;
    struct jval root;
    struct buf out;
    int code =
        remote_ask(&c->remote, "list collections", "GET", "/api/v1/collections", NULL, &root);

    if (code != CLI_OK || remote_printed(&c->remote, &code) ||
        !jval_member(root, "collections", &collections))
        return code;
    buf_init(&out, 16 * 1024 * 1024);
    buf_printf(&out, "%-36s %12s %9s %-6s %-8s %s\n", "id", "documents", "dimension", "metric",
               "tier", "name");
    for (struct jiter it = jval_iter(collections); jiter_next(&it);) {
        struct slice id = remote_text(it.value, "collection_id");
        struct slice metric = remote_text(it.value, "metric");
        struct slice tier = remote_text(it.value, "tiering_policy");

        buf_printf(&out, "%-36.*s %12" PRIu64 " %9" PRIu64 " %-6.*s %-8.*s ", (int)id.bytes,
                   (const char *)id.data, remote_u64(it.value, "document_count"),
                   remote_u64(it.value, "dimension"), (int)metric.bytes, (const char *)metric.data,
                   (int)tier.bytes, (const char *)tier.data);
        cli_put(&out, remote_text(it.value, "name"));
        buf_put_text(&out, "\n");
    }
    code = cli_write(&out);
    buf_free(&out);
    return code;
}

static void put_member(struct buf *body, const char *name, const char *text)
{
    if (text == NULL)
        return;
    buf_printf(body, ",\"%s\":", name);
    json_put_string(body, slice_text(text));
}

static int create(struct collections_command *c, const char *name)
{
    char *end = NULL;
    unsigned long dimension = c->dimension == NULL ? 0 : strtoul(c->dimension, &end, 10);
    struct jval root;
    struct buf body;
    int code;

    if (c->vectors != NULL ? c->dimension != NULL || c->metric != NULL
                           : dimension == 0 || *end != '\0' || c->metric == NULL)
        return cli_usage(help_text);
    buf_init(&body, 64 * 1024);
    buf_put_text(&body, "{\"name\":");
    json_put_string(&body, slice_text(name));
    if (c->vectors != NULL)
        buf_printf(&body, ",\"vectors\":%s", c->vectors);
    else
        buf_printf(&body, ",\"dimension\":%lu", dimension);
    if (c->string_ids)
        buf_put_text(&body, ",\"string_ids\":true");
    put_member(&body, "metric", c->metric);
    put_member(&body, "tiering_policy", c->policy);
    put_member(&body, "durability", c->durability);
    put_member(&body, "quantization", c->quantization);
    buf_put_text(&body, "}");
    code =
        remote_ask(&c->remote, "create a collection", "POST", "/api/v1/collections", &body, &root);
    buf_free(&body);
    if (code == CLI_OK && !remote_printed(&c->remote, &code))
        printf("created %s, %.*s\n", name, (int)remote_text(root, "collection_id").bytes,
               (const char *)remote_text(root, "collection_id").data);
    return code;
}

static int ask_of(struct collections_command *c, const char *what, const char *method,
                  const char *collection, const struct buf *body, struct jval *root)
{
    struct buf path;
    int code;

    buf_init(&path, 8192);
    remote_path(&path, "/api/v1/collections/", collection, "");
    code = path.failed ? cli_error(CLI_USAGE, what, "the name is too long", NULL)
                       : remote_ask(&c->remote, what, method, (const char *)path.data, body, root);
    buf_free(&path);
    return code;
}

static int rename_it(struct collections_command *c, const char *collection, const char *name)
{
    struct jval root;
    struct buf body;
    int code;

    buf_init(&body, 64 * 1024);
    buf_put_text(&body, "{\"name\":");
    json_put_string(&body, slice_text(name));
    buf_put_text(&body, "}");
    code = ask_of(c, "rename a collection", "PATCH", collection, &body, &root);
    buf_free(&body);
    if (code == CLI_OK && !remote_printed(&c->remote, &code))
        printf("%s is %s now\n", collection, name);
    return code;
}

static int delete_it(struct collections_command *c, const char *collection)
{
    struct jval root;
    struct jval info;
    char what[1024];
    int code = ask_of(c, "look at a collection", "GET", collection, NULL, &root);

    if (code != CLI_OK || !jval_member(root, "collection", &info))
        return code;
    (void)snprintf(what, sizeof what, "delete collection %.*s with %" PRIu64 " documents%s",
                   (int)remote_text(info, "name").bytes,
                   (const char *)remote_text(info, "name").data, remote_u64(info, "document_count"),
                   slice_equal(remote_text(info, "tiering_policy"), slice_text("Memory"))
                       ? ""
                       : ", here and in the bucket");
    if (c->dry_run) {
        if (!remote_printed(&c->remote, &code))
            printf("would %s\n", what);
        return code;
    }
    code = cli_confirm(c->yes, what, collection);
    if (code == CLI_OK)
        code = ask_of(c, "delete a collection", "DELETE", collection, NULL, &root);
    if (code == CLI_OK && !remote_printed(&c->remote, &code))
        printf("deleted %s\n", collection);
    return code;
}

static int run(struct collections_command *c, const struct cli_words *w)
{
    const char *sub = w->count == 0 ? "" : w->words[0];

    if (strcmp(sub, "list") == 0 && w->count == 1)
        return list(c);
    if (strcmp(sub, "create") == 0 && w->count == 2)
        return create(c, w->words[1]);
    if (strcmp(sub, "rename") == 0 && w->count == 3)
        return rename_it(c, w->words[1], w->words[2]);
    if (strcmp(sub, "delete") == 0 && w->count == 2)
        return delete_it(c, w->words[1]);
    return cli_usage(help_text);
}

int cli_collections(int argc, char **argv)
{
    struct collections_command c = {0};
    const struct cli_flag flags[] = {REMOTE_FLAGS(&c.remote),
                                     {"--dimension", NULL, &c.dimension},
                                     {"--metric", NULL, &c.metric},
                                     {"--vectors", NULL, &c.vectors},
                                     {"--string-ids", &c.string_ids, NULL},
                                     {"--tiering-policy", NULL, &c.policy},
                                     {"--durability", NULL, &c.durability},
                                     {"--quantization", NULL, &c.quantization},
                                     {"--yes", &c.yes, NULL},
                                     {"--dry-run", &c.dry_run, NULL}};
    static struct cli_words words;
    int code;

    if (!cli_parse(argc, argv, flags, COUNT_OF(flags), &words))
        return CLI_USAGE;
    if (c.remote.help) {
        (void)fputs(help_text, stdout);
        return CLI_OK;
    }
    code = run(&c, &words);
    remote_close(&c.remote);
    return code;
}
