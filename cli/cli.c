#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_BYTES = 512 };

static const struct cli_flag *find_flag(const char *arg, const struct cli_flag *flags, size_t count,
                                        const char **value)
{
    size_t bytes = strcspn(arg, "=");

    for (size_t i = 0; i < count; i++) {
        if (strlen(flags[i].name) != bytes || strncmp(flags[i].name, arg, bytes) != 0)
            continue;
        *value = arg[bytes] == '=' ? arg + bytes + 1 : NULL;
        return &flags[i];
    }
    return NULL;
}

static bool wrong(const char *command, const char *text, const char *arg)
{
    char what[ANSWER_BYTES];

    (void)snprintf(what, sizeof what, "%s %s", command, arg);
    (void)cli_error(CLI_USAGE, what, text, "tiervec <command> --help");
    return false;
}

bool cli_parse(int argc, char **argv, const struct cli_flag *flags, size_t flag_count,
               struct cli_words *out)
{
    bool words_only = false;

    out->count = 0;
    for (int at = 1; at < argc; at++) {
        const char *value = NULL;
        const struct cli_flag *flag;

        if (!words_only && strcmp(argv[at], "--") == 0) {
            words_only = true;
            continue;
        }
        if (words_only || argv[at][0] != '-' || argv[at][1] == '\0') { /* - is a file */
            if (out->count == CLI_WORDS_MAX)
                return wrong(argv[0], "there are too many arguments", argv[at]);
            out->words[out->count++] = argv[at];
            continue;
        }
        flag = find_flag(argv[at], flags, flag_count, &value);
        if (flag == NULL)
            return wrong(argv[0], "there is no such flag", argv[at]);
        if (flag->on != NULL) {
            if (value != NULL)
                return wrong(argv[0], "the flag takes no value", argv[at]);
            *flag->on = true;
            continue;
        }
        if (value == NULL && at + 1 == argc)
            return wrong(argv[0], "the flag needs a value", argv[at]);
        *flag->value = value != NULL ? value : argv[++at];
    }
    return true;
}

void cli_put(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.bytes; i++)
        buf_put_u8(out, text.data[i] < 0x20 || text.data[i] == 0x7f ? '?' : text.data[i]);
}

int cli_error(int code, const char *what, const char *why, const char *hint)
{
    struct buf line;

    buf_init(&line, 16384);
    buf_put_text(&line, "error: ");
    cli_put(&line, slice_text(what));
    buf_put_text(&line, "; ");
    cli_put(&line, slice_text(why));
    if (hint != NULL) {
        buf_put_text(&line, "; try: ");
        cli_put(&line, slice_text(hint));
    }
    buf_put_text(&line, "\n");
    if (line.failed)
        (void)fputs("error: out of memory\n", stderr);
    else
        (void)fwrite(line.data, 1, line.bytes, stderr);
    buf_free(&line);
    return code;
}

int cli_exit_of(status st)
{
    switch (st) {
    case ST_OK:
        return CLI_OK;
    case ST_NOT_FOUND:
        return CLI_NOT_FOUND;
    case ST_EXISTS:
    case ST_CONFLICT:
        return CLI_CONFLICT;
    case ST_UNAVAILABLE:
    case ST_TIMEOUT:
        return CLI_UNREACHABLE;
    case ST_CORRUPT:
        return CLI_INTEGRITY;
    case ST_INVALID:
    case ST_LIMIT:
    case ST_NOSPACE:
    case ST_DENIED:
    case ST_UNKNOWN:
    case ST_IO:
    case ST_NOMEM:
    case ST_CLOSED:
    case ST_UNSUPPORTED:
    case ST_BUG:
        break;
    }
    return CLI_FAILED;
}

int cli_usage(const char *help)
{
    (void)fputs(help, stderr);
    return CLI_USAGE;
}

int cli_write(const struct buf *out)
{
    bool written = !out->failed;

    if (written && out->bytes > 0)
        written = fwrite(out->data, 1, out->bytes, stdout) == out->bytes;
    if (written && fflush(stdout) == 0)
        return CLI_OK;
    return cli_error(CLI_FAILED, "print the answer", "standard output takes no more", NULL);
}

bool cli_on_terminal(void)
{
    return isatty(STDERR_FILENO) == 1;
}

int cli_confirm(bool yes, const char *what, const char *answer)
{
    char typed[ANSWER_BYTES] = "";

    if (yes)
        return CLI_OK;
    if (isatty(STDIN_FILENO) != 1)
        return cli_error(CLI_USAGE, what, "this is not undone",
                         "--yes, or --dry-run to look first");
    (void)fprintf(stderr, "%s\ntype %s to go on: ", what, answer);
    if (fgets(typed, sizeof typed, stdin) != NULL)
        typed[strcspn(typed, "\n")] = '\0';
    if (strcmp(typed, answer) == 0)
        return CLI_OK;
    (void)fputs("nothing was done\n", stderr);
    return CLI_FAILED;
}
