/* cli_alias.c - `tiervec alias`: other names of collections. */
#include "cli/commands.h"
#include "cli/remote.h"

#include <stdio.h>
#include <string.h>

static const char help_text[] =
    "usage: tiervec alias list\n"
    "       tiervec alias set ALIAS COLLECTION\n"
    "       tiervec alias remove ALIAS\n"
    "\n"
    "An alias stands for one collection wherever its name may stand. set moves one that is there,\n"
    "in one step: readers see the one collection or the other.\n"
    "\n"
    "example: tiervec alias set products products-2026-11\n"
    "\n" REMOTE_FLAGS_HELP;

static int list(struct remote *r)
{
    struct jval aliases;
    struct jval root;
    struct buf out;
    int code = remote_ask(r, "list aliases", "GET", "/api/v1/aliases", NULL, &root);

    if (code != CLI_OK || remote_printed(r, &code) || !jval_member(root, "aliases", &aliases))
        return code;
    buf_init(&out, 16 * 1024 * 1024);
    for (struct jiter it = jval_iter(aliases); jiter_next(&it);) {
        cli_put(&out, remote_text(it.value, "alias"));
        buf_put_text(&out, " -> ");
        cli_put(&out, remote_text(it.value, "collection"));
        buf_put_text(&out, "\n");
    }
    code = cli_write(&out);
    buf_free(&out);
    return code;
}

/* collection NULL: it is removed. */
static int change(struct remote *r, const char *alias, const char *collection)
{
    const char *what = collection == NULL ? "remove an alias" : "set an alias";
    struct jval root;
    struct buf body;
    int code;

    buf_init(&body, 64 * 1024);
    buf_put_text(&body, "{\"alias\":");
    json_put_string(&body, slice_text(alias));
    if (collection != NULL) {
        buf_put_text(&body, ",\"collection\":");
        json_put_string(&body, slice_text(collection));
    }
    buf_put_text(&body, "}");
    code = remote_ask(r, what, collection == NULL ? "DELETE" : "POST", "/api/v1/aliases", &body,
                      &root);
    buf_free(&body);
    if (code != CLI_OK || remote_printed(r, &code))
        return code;
    if (collection == NULL)
        printf("removed %s\n", alias);
    else
        printf("%s -> %.*s\n", alias, (int)remote_text(root, "collection").bytes,
               (const char *)remote_text(root, "collection").data);
    return CLI_OK;
}

static int run(struct remote *r, const struct cli_words *w)
{
    const char *sub = w->count == 0 ? "" : w->words[0];

    if (strcmp(sub, "list") == 0 && w->count == 1)
        return list(r);
    if (strcmp(sub, "set") == 0 && w->count == 3)
        return change(r, w->words[1], w->words[2]);
    if (strcmp(sub, "remove") == 0 && w->count == 2)
        return change(r, w->words[1], NULL);
    return cli_usage(help_text);
}

int cli_alias(int argc, char **argv)
{
    struct remote r = {0};
    const struct cli_flag flags[] = {REMOTE_FLAGS(&r)};
    static struct cli_words words;
    int code;

    if (!cli_parse(argc, argv, flags, COUNT_OF(flags), &words))
        return CLI_USAGE;
    if (r.help) {
        (void)fputs(help_text, stdout);
        return CLI_OK;
    }
    code = run(&r, &words);
    remote_close(&r);
    return code;
}
