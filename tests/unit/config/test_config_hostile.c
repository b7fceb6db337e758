/* Files nobody means: nothing that is read may end the process, and each failing allocation is
 * survived. */
#include "base/fs.h"
#include "base/mem.h"
#include "base/rand.h"
#include "config/toml_shim.h"
#include "tests/unit/config/config_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 20260101;

static const char fine[] = "# a file that is fine\n"
                           "[server]\n"
                           "host = '127.0.0.1'\n"
                           "rest_port = 0x1f90 # 8080\n"
                           "node_id = \"\"\"one.two\"\"\"\n"
                           "[database]\n"
                           "path = \"sqlite:///a/b.db\"\n"
                           "max_connections = 1_000\n"
                           "[hnsw]\n"
                           "m = 16\n"
                           "[storage]\n"
                           "retry = {max_retries = 5, base_backoff_secs = 1}\n";

static void load_any(const char *text, size_t bytes)
{
    struct config c;
    struct err err = {0};
    status st;

    if (bytes == 0) {
        bytes = 1;
        text = "\n";
    }
    st = config_case_load(&(struct config_case){.file = text, .file_bytes = bytes}, &c, &err);
    if (st == ST_OK)
        config_free(&c);
    else if (st != ST_INVALID || err.text[0] == '\0')
        fail_msg("%s: %s", status_name(st), err.text);
}

static char *repeated(const char *part, size_t times, size_t *bytes)
{
    size_t one = strlen(part);
    char *text = malloc(one * times + 1);

    assert_non_null(text);
    for (size_t i = 0; i < times; i++)
        memcpy(text + i * one, part, one);
    text[one * times] = '\0';
    *bytes = one * times;
    return text;
}

static void refused_when_repeated(const char *part, size_t times, const char *reason)
{
    size_t bytes;
    char *text = repeated(part, times, &bytes);

    config_case_refused(&(struct config_case){.file = text, .file_bytes = bytes}, "config.toml",
                        reason);
    free(text);
}

static void deep_nesting_is_refused_before_the_parser(void **state)
{
    (void)state;
    refused_when_repeated("a.", 100000, "too many parts");
    refused_when_repeated("[a", 100000, "too deep");
    refused_when_repeated("[", 200000, "too deep");
    refused_when_repeated("a = [{", 40000, "too deep");
    refused_when_repeated("x={y=", 40000, "too deep");
    refused_when_repeated("\"a\" . 'b' .", 20000, "too many parts");
}

static void the_scan_steps_over_strings_and_comments(void **state)
{
    static const char *const taken[] = {
        "a = \"[[[[[[[[[[[[[[[[[[[[\"\n",
        "a = '{{{{{{{{{{{{{{{{{{{'\n",
        "a = \"\"\"\n[[[[[[[[[[[[ \"\" \\\" [[[[[[[[[[\n\"\"\"\n",
        "a = '''\n....................''..'''\n",
        "# .......................... [[[[[[[[[[[[[[\n",
        "a = \"\\\"[[[[[[[[[[[[[[[[[[[[\"\n",
        "a = 1.5\nb = 2.5\nc = [1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5]\n",
        "a = \"unterminated\nb = 1\n",
        "a = \"\\",
        "",
    };
    struct toml_fault fault;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(taken); i++)
        assert_true(toml_scan(taken[i], strlen(taken[i]), &fault));
    assert_true(toml_scan("a.b.c.d.e.f.g.h = 1", 19, &fault)); /* eight parts */
    assert_false(toml_scan("\n\na.b.c.d.e.f.g.h.i = 1", 23, &fault));
    assert_int_equal(fault.line, 3);
    assert_true(toml_scan("a = [[[[[[[[1]]]]]]]]\n", 22, &fault));
    assert_false(toml_scan("a = [[[[[[[[[1]]]]]]]]]\n", 24, &fault));
    assert_false(toml_scan("a = 'x'\n\0", 9, &fault));
    assert_int_equal(fault.line, 2);
}

static void odd_files_are_refused_with_their_line(void **state)
{
    static const struct {
        const char *text;
        size_t bytes;
        const char *part;
    } odd[] = {
        {"[server]\nhost = \"a\0b\"\n", 22, "config.toml:2: a NUL byte"},
        {"[server\n", 0, "config.toml:"},
        {"[server]\nrest_port = \n", 0, "config.toml:2"},
        {"[server]\nrest_port = 99999999999999999999\n", 0, "config.toml:2"},
        {"[server]\nrest_port = 9223372036854775807\n", 0, "out of range"},
        {"[server]\nrest_port = 1\nrest_port = 2\n", 0, "config.toml:3"},
        {"[server]\nhost = \"\xff\xfe\"\n", 0, "config.toml:2"},
        {"[server]\nhost = \"\\ud800\"\n", 0, "config.toml:2"},
        {"\x7f"
         "ELF\x02\x01\x01",
         0, "config.toml:1"},
        {"{\"server\": {}}", 0, "config.toml:1"},
        {"\xc3\xa4 = 1\n", 0, "config.toml:1"},
        {"[server]\nhost = \xc3\xa4\n", 0, "config.toml:2"},
        {"[server]\nhost = {a = 1,,}\n", 0, "config.toml"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(odd); i++)
        config_case_refused(&(struct config_case){.file = odd[i].text, .file_bytes = odd[i].bytes},
                            odd[i].part, "config.toml");
}

/* What a file could not say is no value of a variable either: what is shown could not be read. */
static void a_variable_that_is_not_utf8_is_refused(void **state)
{
    (void)state;
    config_case_refused(&(struct config_case){.env = {"TIERVEC_DATA_DIR=/x\xa6\xff"}},
                        "TIERVEC_DATA_DIR", "is not UTF-8");
    config_case_refused(&(struct config_case){.args = {"--data-dir=/x\xc3"}}, "--data-dir",
                        "is not UTF-8");
}

static void a_huge_file_is_refused(void **state)
{
    size_t bytes;
    char *text = repeated("# a comment\n", CONFIG_FILE_BYTES_MAX / 12 + 1, &bytes);
    char *value = repeated("x", CONFIG_TEXT_BYTES_MAX + 100, &bytes);
    char *file = malloc(bytes + 100);
    struct config c;

    (void)state;
    assert_non_null(file);
    config_case_refused(&(struct config_case){.file = text}, "larger than", "config.toml");
    text[CONFIG_FILE_BYTES_MAX] = '\0';
    config_case_ok(&(struct config_case){.file = text}, &c);
    config_free(&c);
    (void)sprintf(file, "[logging]\nfile = \"%s\"\n", value);
    config_case_refused(&(struct config_case){.file = file}, "longer than 4096", "logging.file");
    value[CONFIG_TEXT_BYTES_MAX] = '\0';
    (void)sprintf(file, "[logging]\nfile = \"%s\"\n", value);
    config_case_ok(&(struct config_case){.file = file}, &c);
    assert_int_equal(strlen(c.logging.file), CONFIG_TEXT_BYTES_MAX);
    config_free(&c);
    config_case_refused(&(struct config_case){.args = {"--config", "/dev/zero"}}, "larger than",
                        "/dev/zero");
    free(text);
    free(value);
    free(file);
}

/* The file cut at every byte and with each bit flipped: an answer each time, never a signal. */
static void cuts_and_flips_are_answered(void **state)
{
    char text[sizeof fine];

    (void)state;
    for (size_t n = 0; n <= strlen(fine); n++)
        load_any(fine, n);
    for (size_t i = 0; i < strlen(fine); i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(text, fine, sizeof fine);
            text[i] = (char)(text[i] ^ (1 << bit));
            load_any(text, strlen(fine));
        }
}

static void random_pieces_are_answered(void **state)
{
    static const char *const pieces[] = {"[",
                                         "]",
                                         "{",
                                         "}",
                                         "=",
                                         ".",
                                         ",",
                                         "\"",
                                         "'",
                                         "\n",
                                         "#",
                                         "server",
                                         "rest_port",
                                         "storage",
                                         "retry",
                                         "1",
                                         "-",
                                         "true",
                                         "\"\"\"",
                                         "'''",
                                         "\\",
                                         "1979-05-27",
                                         "e",
                                         "_",
                                         "0x",
                                         "\t",
                                         "\xc3\xa4",
                                         "\xef\xbb\xbf",
                                         "\xe2\x80\xa8",
                                         "\xf4\x90\x80\x80"};
    struct rand_seeded rng;

    (void)state;
    rand_seeded_init(&rng, seed);
    for (unsigned round = 0; round < 2000; round++) {
        char text[256] = "";
        size_t used = 0;
        uint64_t count = 1 + rand_below(&rng.source, 30);

        for (uint64_t i = 0; i < count && used < sizeof text - 16; i++) {
            const char *piece = pieces[rand_below(&rng.source, COUNT_OF(pieces))];

            memcpy(text + used, piece, strlen(piece));
            used += strlen(piece);
        }
        load_any(text, used);
    }
}

static void each_failing_allocation_is_survived(void **state)
{
    static const struct config_case cases[] = {
        {.file = fine, .env = {"TIERVEC_REST_PORT=1", "RUST_LOG=debug"}, .args = {"--hnsw-m=8"}},
        {.file = fine, .args = {"--no-such"}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        unsigned failed = 0;
        status st;
        struct config c;
        struct err err;

        assert_int_equal(config_case_load(&cases[i], &c, &err), i == 0 ? ST_OK : ST_INVALID);
        if (i == 0)
            config_free(&c);
        for (int64_t n = 0;; n++) {
            char *env[] = {(char *)(uintptr_t) "TIERVEC_REST_PORT=1", NULL};
            char *args[] = {(char *)(uintptr_t)(i == 0 ? "--hnsw-m=8" : "--no-such")};

            mem_test_fail_after(n);
            st = config_load(1, args, env, &c, &err);
            mem_test_fail_after(-1);
            if (st != ST_NOMEM)
                break;
            failed++;
        }
        assert_int_equal(st, i == 0 ? ST_OK : ST_INVALID);
        assert_true(failed > 150);
        if (st == ST_OK)
            config_free(&c);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deep_nesting_is_refused_before_the_parser),
        cmocka_unit_test(the_scan_steps_over_strings_and_comments),
        cmocka_unit_test(odd_files_are_refused_with_their_line),
        cmocka_unit_test(a_variable_that_is_not_utf8_is_refused),
        cmocka_unit_test(a_huge_file_is_refused),
        cmocka_unit_test(cuts_and_flips_are_answered),
        cmocka_unit_test(random_pieces_are_answered),
        cmocka_unit_test(each_failing_allocation_is_survived),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, config_case_begin, config_case_end);
}
