/* cli_import.c - `tiervec import`: documents from a file, a pipe or another server. */
#include "cli/commands.h"
#include "cli/remote.h"

#include <stdio.h>

static const char help_text[] =
    "usage: tiervec import --collection COLLECTION FILE|-\n"
    "       tiervec import qdrant URL --from NAME --collection COLLECTION\n"
    "\n"
    "not there yet\n"
    "\n" REMOTE_FLAGS_HELP;

int cli_import(int argc, char **argv)
{
    struct remote r = {0};
    const struct cli_flag flags[] = {REMOTE_FLAGS(&r)};
    static struct cli_words words;

    if (!cli_parse(argc, argv, flags, COUNT_OF(flags), &words))
        return CLI_USAGE;
    if (!r.help)
        return cli_usage(help_text);
    (void)fputs(help_text, stdout);
    return CLI_OK;
}
