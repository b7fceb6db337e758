/* What is written about the configuration is what the program does: the example file and the tables
 * of the reference are those of the table of keys, and the fixed limits are those of the headers.
 */
#include "base/fs.h"
#include "index/vindex.h"
#include "segment/catalog.h"
#include "segment/record.h"
#include "tests/unit/config/config_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define EXAMPLE TV_SOURCE_DIR "/config.example.toml"
#define PAGE    TV_SOURCE_DIR "/docs/configuration.md"

static void read_text(const char *path, struct buf *out)
{
    buf_init(out, 1 << 20);
    assert_int_equal(fs_read_file(fs_real(), path, (1 << 20) - 1, out, NULL), ST_OK);
    buf_put_u8(out, 0);
    assert_false(out->failed);
}

static void the_example_file_is_the_generated_one(void **state)
{
    struct buf committed;
    struct buf generated;

    (void)state;
    read_text(EXAMPLE, &committed);
    buf_init(&generated, 1 << 20);
    assert_int_equal(config_print_example(&generated, NULL), ST_OK);
    buf_put_u8(&generated, 0);
    if (!slice_equal(buf_slice(&committed), buf_slice(&generated)))
        fail_msg("config.example.toml is old: run scripts/gen_config_example.sh");
    buf_free(&committed);
    buf_free(&generated);
}

static void the_reference_holds_the_generated_tables(void **state)
{
    struct buf page;
    struct buf generated;

    (void)state;
    read_text(PAGE, &page);
    buf_init(&generated, 1 << 20);
    buf_put_text(&generated, "<!-- keys: generated -->\n");
    assert_int_equal(config_print_reference(&generated, NULL), ST_OK);
    buf_put_text(&generated, "<!-- keys: end -->\n");
    buf_put_u8(&generated, 0);
    if (strstr((const char *)page.data, (const char *)generated.data) == NULL)
        fail_msg("docs/configuration.md is old: run scripts/gen_config_example.sh");
    buf_free(&page);
    buf_free(&generated);
}

/* Each value it names is the default, and it brings no warning. */
static void the_example_file_changes_nothing(void **state)
{
    struct config with;
    struct config without;
    struct buf text;

    (void)state;
    read_text(EXAMPLE, &text);
    config_case_ok(&(struct config_case){.file = (const char *)text.data}, &with);
    config_case_ok(&(struct config_case){.file = ""}, &without);
    assert_int_equal(with.warning_count, 0);
    assert_int_equal(without.warning_count, 0);
    for (size_t i = 0; i < with.entry_count; i++) {
        if (with.entries[i].value == NULL) {
            assert_null(without.entries[i].value);
            continue;
        }
        assert_string_equal(with.entries[i].value, without.entries[i].value);
    }
    config_free(&with);
    config_free(&without);
    buf_free(&text);
}

/* Each commented line of the example is a value that is accepted as well. */
static void what_the_example_comments_out_is_accepted_too(void **state)
{
    struct buf text;
    struct buf all;
    struct config c;
    char *line;

    (void)state;
    read_text(EXAMPLE, &text);
    buf_init(&all, 1 << 20);
    line = strtok((char *)text.data, "\n");
    for (; line != NULL; line = strtok(NULL, "\n")) {
        const char *equals = strstr(line, " = ");
        bool key = equals != NULL && memchr(line + 2, ' ', (size_t)(equals - line - 2)) == NULL;

        buf_put_text(&all, line[0] == '#' && key ? line + 2 : line);
        buf_put_u8(&all, '\n');
    }
    buf_put_u8(&all, 0);
    config_case_ok(&(struct config_case){.file = (const char *)all.data}, &c);
    assert_int_equal(config_case_entry(&c, "storage", "cache_size")->origin, CONFIG_FILE);
    config_free(&c);
    buf_free(&all);
    buf_free(&text);
}

/* What is printed as effective can be read again and gives the same. */
static void printed_values_are_a_configuration(void **state)
{
    static const struct config_case given = {
        .file = "[logging]\nfile = \"/odd \\\"name\\\" \\\\ \\u0001\"\n[hnsw]\nm = 7\n",
        .args = {"--host=::1", "--wal-sync=none"}};
    struct config first;
    struct config second;
    struct buf text;

    (void)state;
    config_case_ok(&given, &first);
    buf_init(&text, 1 << 20);
    assert_int_equal(config_print(&first, true, &text, NULL), ST_OK);
    buf_put_u8(&text, 0);
    assert_non_null(strstr((const char *)text.data, "m = 7  # file ./config.toml:4\n"));
    assert_non_null(strstr((const char *)text.data, "host = \"::1\"  # flag --host\n"));
    assert_non_null(strstr((const char *)text.data, "rest_port = 8080  # default\n"));
    config_case_ok(&(struct config_case){.file = (const char *)text.data}, &second);
    for (size_t i = 0; i < first.entry_count; i++)
        if (first.entries[i].value != NULL)
            assert_string_equal(first.entries[i].value, second.entries[i].value);
    assert_string_equal(first.logging.file, second.logging.file);
    config_free(&first);
    config_free(&second);
    buf_free(&text);
}

/* 65535 -> "65,535" */
static void with_commas(uint64_t n, char *out, size_t bytes)
{
    if (n < 1000)
        (void)snprintf(out, bytes, "%u", (unsigned)n);
    else
        (void)snprintf(out, bytes, "%u,%03u", (unsigned)(n / 1000), (unsigned)(n % 1000));
}

static void expect_limit(const char *page, const char *what, uint64_t n, const char *unit)
{
    char number[32];
    char row[128];

    with_commas(n, number, sizeof number);
    (void)snprintf(row, sizeof row, "| %s | %s%s", what, number, unit);
    if (strstr(page, row) == NULL)
        fail_msg("docs/configuration.md has no row \"%s\"", row);
}

static void the_fixed_limits_are_those_of_the_headers(void **state)
{
    struct buf page;
    struct config c;
    const char *text;

    (void)state;
    read_text(PAGE, &page);
    text = (const char *)page.data;
    config_case_ok(&(struct config_case){0}, &c);
    assert_int_equal(VINDEX_DIM_MAX, RECORD_DIM_MAX);
    expect_limit(text, "dimension of a vector", VINDEX_DIM_MAX, " |");
    expect_limit(text, "`top_k`", VINDEX_K_MAX, " |");
    expect_limit(text, "external id", RECORD_EXTERNAL_ID_BYTES_MAX, " bytes |");
    expect_limit(text, "payload of a document", RECORD_PAYLOAD_BYTES_MAX >> 20, " MiB |");
    expect_limit(text, "name of a collection or alias", CATALOG_NAME_BYTES_MAX, " bytes |");
    expect_limit(text, "collections of a node", CATALOG_COLLECTIONS_MAX, " |");
    expect_limit(text, "body of a request", c.server.max_body_bytes >> 20, " MiB (");
    expect_limit(text, "documents in one request", c.server.max_batch, " (");
    expect_limit(text, "connections at one time", c.server.max_connections, " (");
    expect_limit(text, "header of a request", 16, " KiB |");
    config_free(&c);
    buf_free(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_file_is_the_generated_one),
        cmocka_unit_test(the_reference_holds_the_generated_tables),
        cmocka_unit_test(the_example_file_changes_nothing),
        cmocka_unit_test(what_the_example_comments_out_is_accepted_too),
        cmocka_unit_test(printed_values_are_a_configuration),
        cmocka_unit_test(the_fixed_limits_are_those_of_the_headers),
    };

    return cmocka_run_group_tests(tests, config_case_begin, config_case_end);
}
