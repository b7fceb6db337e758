/* cli_serve.h - `tiervec serve`: the node in the foreground, until SIGTERM or SIGINT.
 *
 * argv[0] is "serve"; the flags are those of config/config.h, and --quiet (no greeting), --help,
 * --take-ownership (of the bucket's collections that another node owns).
 * SIGHUP reloads, it never stops. Exit: 0 stopped as asked, 1 could not start, 2 usage. */
#ifndef CLI_CLI_SERVE_H
#define CLI_CLI_SERVE_H

int cli_serve(int argc, char **argv);

#endif
