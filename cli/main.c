#include "cli/cli_config.h"
#include "cli/cli_serve.h"
#include "cli/commands.h"

#include "base/status.h"

#include <stdio.h>
#include <string.h>

enum { EXIT_USAGE = 2 };

static const char help_text[] =
    "usage: tiervec <command> [flags]\n"
    "\n"
    "  serve           run a node (no configuration needed)\n"
    "  config          check, show, example: what a node would start with\n"
    "  version         print the version\n"
    "\n"
    "of a running node:\n"
    "  status          how it is, and what the bucket lacks\n"
    "  collections     list, create, rename, delete\n"
    "  alias           list, set, remove\n"
    "  tier            where a collection lives; switches it\n"
    "  snapshot        a checkpoint, in the bucket too\n"
    "  compact         leaves behind what is dead\n"
    "  vacuum          what dropped collections left in the bucket goes\n"
    "  dlq             dead letters: list, show, retry, replay, split, export, discard\n"
    "  get             a document\n"
    "  insert          writes a document\n"
    "  query           the nearest documents\n"
    "  import          documents from a file, a pipe or another server\n"
    "  export          documents into a file or a pipe\n"
    "  tune            m, ef_search and quantization measured on a collection's own vectors\n"
    "  take-ownership  of a collection whose owner is gone for good\n"
    "\n"
    "without a node:\n"
    "  restore         a data directory made anew from a bucket\n"
    "  verify          checks a data directory and a bucket\n"
    "  probe           what a store can do, and whether a node can rely on it\n"
    "  bench           the index alone, for who measures it\n"
    "\n"
    "Each command has --help. Everything else is REST: docs/api.md.\n";

static int cli_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("tiervec " TIERVEC_VERSION "\n");
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {{"serve", cli_serve},
                    {"config", cli_config},
                    {"version", cli_version},
                    {"status", cli_status},
                    {"collections", cli_collections},
                    {"alias", cli_alias},
                    {"tier", cli_tier},
                    {"snapshot", cli_snapshot},
                    {"compact", cli_compact},
                    {"vacuum", cli_vacuum},
                    {"dlq", cli_dlq},
                    {"get", cli_get},
                    {"insert", cli_insert},
                    {"query", cli_query},
                    {"import", cli_import},
                    {"export", cli_export},
                    {"tune", cli_tune},
                    {"take-ownership", cli_take_ownership},
                    {"restore", cli_restore},
                    {"verify", cli_verify},
                    {"probe", cli_probe},
                    {"bench", cli_bench}};

    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                      strcmp(argv[1], "help") == 0)) {
        (void)fputs(help_text, stdout);
        return 0;
    }
    if (argc >= 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0))
        return cli_version(argc, argv);
    for (size_t i = 0; argc >= 2 && i < COUNT_OF(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    if (argc >= 2)
        (void)fprintf(stderr, "error: %s is no command of tiervec\n\n", argv[1]);
    (void)fputs(help_text, stderr);
    return EXIT_USAGE;
}
