#include "cli/cli_config.h"
#include "cli/cli_serve.h"

#include "base/status.h"

#include <stdio.h>
#include <string.h>

enum { EXIT_USAGE = 2 };

static const char help_text[] = "usage: tiervec <command> [flags]\n"
                                "\n"
                                "  serve    run a node (no configuration needed)\n"
                                "  config   check, show, example: what a node would start with\n"
                                "  version  print the version\n"
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
    } commands[] = {{"serve", cli_serve}, {"config", cli_config}, {"version", cli_version}};

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
