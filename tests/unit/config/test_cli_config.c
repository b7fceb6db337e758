/* `tiervec config`: exit codes, what goes to which stream, JSON that is JSON. */
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/cli_config.h"
#include "tests/unit/config/config_case.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct answer {
    int code;
    char out[1 << 16];
    char err[4096];
};

static void read_back(const char *path, char *into, size_t bytes)
{
    struct buf text;

    buf_init(&text, bytes - 1);
    assert_int_equal(fs_read_file(fs_real(), path, bytes - 1, &text, NULL), ST_OK);
    if (text.bytes > 0)
        memcpy(into, text.data, text.bytes);
    into[text.bytes] = '\0';
    buf_free(&text);
}

static int redirect(int to, const char *path)
{
    int kept = dup(to);
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

    assert_true(kept >= 0 && fd >= 0);
    assert_true(dup2(fd, to) >= 0);
    (void)close(fd);
    return kept;
}

static void restore(int to, int kept)
{
    assert_true(dup2(kept, to) >= 0);
    (void)close(kept);
}

/* Runs "config" with these arguments; `file` becomes ./config.toml. */
static void run(struct answer *answer, const char *file, const char *const args[])
{
    char *argv[16] = {(char *)(uintptr_t) "config"};
    int argc = 1;
    int out;
    int err;

    assert_int_equal(fs_write_file(fs_real(), "config.toml", slice_text(file), NULL), ST_OK);
    for (; args[argc - 1] != NULL; argc++)
        argv[argc] = (char *)(uintptr_t)args[argc - 1];
    (void)fflush(NULL);
    out = redirect(STDOUT_FILENO, "stdout.txt");
    err = redirect(STDERR_FILENO, "stderr.txt");
    answer->code = cli_config(argc, argv);
    (void)fflush(NULL);
    restore(STDOUT_FILENO, out);
    restore(STDERR_FILENO, err);
    read_back("stdout.txt", answer->out, sizeof answer->out);
    read_back("stderr.txt", answer->err, sizeof answer->err);
}

#define RUN(answer, file, ...) run(&(answer), (file), (const char *const[]){__VA_ARGS__, NULL})

static struct answer answer; /* too large for a stack */

static void check_says_whether_a_node_would_start(void **state)
{
    (void)state;
    RUN(answer, "[wal]\nsync = \"none\"\n", "check");
    assert_int_equal(answer.code, 0);
    assert_non_null(strstr(answer.out, "fine: ./config.toml, 1 warning\n"));
    assert_non_null(strstr(answer.err, "warning: ./config.toml:2: wal.sync"));
    RUN(answer, "[wal]\nsync = \"none\"\n", "check", "--quiet");
    assert_int_equal(answer.code, 0);
    assert_string_equal(answer.out, "");
    assert_string_equal(answer.err, "");
    RUN(answer, "[server]\nhots = 1\n", "check", "--quiet");
    assert_int_equal(answer.code, 1);
    assert_string_equal(answer.out, "");
    assert_non_null(strstr(answer.err, "there is no key server.hots"));
    RUN(answer, "", "check", "--rest-port", "99999");
    assert_int_equal(answer.code, 1);
    assert_non_null(strstr(answer.err, "--rest-port"));
}

static void show_prints_values_and_origins(void **state)
{
    (void)state;
    RUN(answer, "[hnsw]\nm = 5\n", "show");
    assert_int_equal(answer.code, 0);
    assert_non_null(strstr(answer.out, "[hnsw]\nm = 5\n"));
    RUN(answer, "[hnsw]\nm = 5\n", "show", "--origins", "--set", "hnsw.threshold=9");
    assert_non_null(strstr(answer.out, "m = 5  # file ./config.toml:2\n"));
    assert_non_null(strstr(answer.out, "threshold = 9  # flag --set\n"));
}

static void json_answers_are_json(void **state)
{
    struct json_small *j = NULL;

    (void)state;
    RUN(answer, "[wal]\nsync = \"none\"\n", "check", "--json");
    assert_int_equal(json_small_parse(slice_text(answer.out), &j, NULL), ST_OK);
    assert_string_equal(json_small_text(j, "file"), "./config.toml");
    assert_non_null(json_small_text(j, "warnings.0"));
    json_small_free(j);
    RUN(answer, "[\"a\\\"b\"]\nx = 1\n", "check", "--json");
    assert_int_equal(answer.code, 1);
    assert_int_equal(json_small_parse(slice_text(answer.out), &j, NULL), ST_OK);
    assert_non_null(strstr(json_small_text(j, "error"), "no section [a\"b]"));
    json_small_free(j);
    RUN(answer, "[server]\nhost = \"::1\"\n", "show", "--json");
    assert_int_equal(json_small_parse(slice_text(answer.out), &j, NULL), ST_OK);
    assert_string_equal(json_small_text(j, "settings.0.key"), "host");
    assert_string_equal(json_small_text(j, "settings.0.value"), "\"::1\"");
    assert_string_equal(json_small_text(j, "settings.0.origin"), "file");
    json_small_free(j);
}

static void usage_and_help(void **state)
{
    (void)state;
    RUN(answer, "", "--help");
    assert_int_equal(answer.code, 0);
    assert_non_null(strstr(answer.out, "example: tiervec config show"));
    RUN(answer, "", "chekc");
    assert_int_equal(answer.code, 2);
    assert_non_null(strstr(answer.err, "usage:"));
    run(&answer, "", (const char *const[]){NULL});
    assert_int_equal(answer.code, 2);
    RUN(answer, "", "example", "--host=::1");
    assert_int_equal(answer.code, 2);
    RUN(answer, "", "example");
    assert_int_equal(answer.code, 0);
    assert_non_null(strstr(answer.out, "\n[server]\n"));
}

static void each_failing_allocation_is_survived(void **state)
{
    bool answered = false;

    (void)state;
    for (int64_t n = 0; !answered; n += 7) { /* config_load() has its own sweep of every one */
        char *argv[] = {(char *)(uintptr_t) "config", (char *)(uintptr_t) "show",
                        (char *)(uintptr_t) "--json"};
        int out = redirect(STDOUT_FILENO, "stdout.txt");
        int err = redirect(STDERR_FILENO, "stderr.txt");

        mem_test_fail_after(n);
        answered = cli_config(3, argv) == 0;
        mem_test_fail_after(-1);
        (void)fflush(NULL);
        restore(STDOUT_FILENO, out);
        restore(STDERR_FILENO, err);
    }
    read_back("stdout.txt", answer.out, sizeof answer.out);
    assert_non_null(strstr(answer.out, "\"settings\":["));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_says_whether_a_node_would_start),
        cmocka_unit_test(show_prints_values_and_origins),
        cmocka_unit_test(json_answers_are_json),
        cmocka_unit_test(usage_and_help),
        cmocka_unit_test(each_failing_allocation_is_survived),
    };

    return cmocka_run_group_tests(tests, config_case_begin, config_case_end);
}
