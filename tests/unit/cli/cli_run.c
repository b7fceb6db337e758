#include "tests/unit/cli/cli_run.h"

#include "base/fs.h"
#include "cli/cli.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct cli_ran cli_ran;

static int redirect(int to, const char *path, int flags)
{
    int kept = dup(to);
    int fd = open(path, flags | O_CLOEXEC, 0600);

    assert_true(kept >= 0 && fd >= 0 && dup2(fd, to) >= 0);
    (void)close(fd);
    return kept;
}

static void put_back(int to, int kept)
{
    assert_true(dup2(kept, to) >= 0);
    (void)close(kept);
}

void cli_read_back(const char *path, char *into, size_t bytes)
{
    struct buf text;

    buf_init(&text, bytes - 1);
    assert_int_equal(fs_read_file(fs_real(), path, bytes - 1, &text, NULL), ST_OK);
    if (text.bytes > 0)
        memcpy(into, text.data, text.bytes);
    into[text.bytes] = '\0';
    buf_free(&text);
}

void cli_run(int (*command)(int, char **), const char *line)
{
    char text[1024];
    char *argv[32];
    int argc = 0;
    int in;
    int out;
    int err;

    (void)snprintf(text, sizeof text, "%s", line);
    for (char *w = strtok(text, " "); w != NULL; w = strtok(NULL, " "))
        argv[argc++] = w;
    (void)fflush(stdout);
    in = redirect(STDIN_FILENO, "/dev/null", O_RDONLY);
    out = redirect(STDOUT_FILENO, "out", O_CREAT | O_TRUNC | O_RDWR);
    err = redirect(STDERR_FILENO, "err", O_CREAT | O_TRUNC | O_RDWR);
    cli_ran.code = command(argc, argv);
    (void)fflush(stdout);
    put_back(STDIN_FILENO, in);
    put_back(STDOUT_FILENO, out);
    put_back(STDERR_FILENO, err);
    cli_read_back("out", cli_ran.out, sizeof cli_ran.out);
    cli_read_back("err", cli_ran.err, sizeof cli_ran.err);
}

void cli_check(int (*command)(int, char **), const char *line, int code, const char *out)
{
    cli_run(command, line);
    if (cli_ran.code != code || strstr(code == CLI_OK ? cli_ran.out : cli_ran.err, out) == NULL)
        fail_msg("%s: %d\n%s\n%s\nwanted %d %s", line, cli_ran.code, cli_ran.out, cli_ran.err, code,
                 out);
}
