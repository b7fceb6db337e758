/* cli_run.h - a command run in the test's own process: its exit code, and what went to which
 * stream. The working folder is the test's to give: two files are made there. */
#ifndef TESTS_UNIT_CLI_CLI_RUN_H
#define TESTS_UNIT_CLI_CLI_RUN_H

#include <stddef.h>

struct cli_ran {
    int code;
    char out[1 << 20];
    char err[1 << 14];
};
extern struct cli_ran cli_ran; /* of the last run */

/* Words with single blanks between them; standard input is empty and no terminal. */
void cli_run(int (*command)(int, char **), const char *line);
/* Runs, and fails the test unless it ends with code and says text: on standard output where the
 * code is 0, else on standard error. */
void cli_check(int (*command)(int, char **), const char *line, int code, const char *text);
void cli_read_back(const char *path, char *into, size_t bytes);

#endif
