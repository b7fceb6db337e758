/* cli_config.h - `tiervec config check|show|example`: what a node would start with, without
 * starting it.
 *
 * argv[0] is "config". The flags are those of `serve`, and --origins, --json, --quiet, --help.
 * Exit: 0 fine, 1 the configuration is refused (the text says why), 2 usage. */
#ifndef CLI_CLI_CONFIG_H
#define CLI_CLI_CONFIG_H

int cli_config(int argc, char **argv);

#endif
