/* cli.h - what the commands share: exit codes, flags and words, errors, questions.
 *
 * A command is `int cli_<name>(int argc, char **argv)` with argv[0] the command's own name. Errors
 * are one line on standard error, `error: what; why; try: ...`. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/bytes.h"
#include "base/status.h"

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_NOT_FOUND = 3,
    CLI_CONFLICT = 4,
    CLI_UNREACHABLE = 5,
    CLI_INTEGRITY = 6,
};

struct cli_flag { /* one of the two is set */
    const char *name;
    bool *on;
    const char **value; /* "--name VALUE" and "--name=VALUE" */
};
enum { CLI_WORDS_MAX = 1024 };
struct cli_words {
    size_t count;
    const char *words[CLI_WORDS_MAX]; /* borrowed from argv */
};
/* Everything behind argv[0]; `--` ends the flags, `-` is a word. False: said on standard error what
 * is wrong. */
NODISCARD
bool cli_parse(int argc, char **argv, const struct cli_flag *flags, size_t flag_count,
               struct cli_words *out);

/* `error: what; why; try: hint`, without "try" when hint is NULL. Unprintable characters become
 * '?'. Returns code. */
int cli_error(int code, const char *what, const char *why, const char *hint);
/* The exit code that stands for a status. */
int cli_exit_of(status st);
/* Prints usage on standard error. */
int cli_usage(const char *help);
/* Writes out to standard output; a code. */
int cli_write(const struct buf *out);
/* Text as it may stand on a terminal. */
void cli_put(struct buf *out, struct slice text);
/* CLI_OK with `yes`, or when a person on a terminal types `answer`. Else says what was wanted. */
int cli_confirm(bool yes, const char *what, const char *answer);
/* True where standard error is a terminal: progress is shown only there. */
bool cli_on_terminal(void);

#endif
