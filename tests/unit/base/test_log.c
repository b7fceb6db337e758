/* The log: each event is one line that parses, whatever the values hold. */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/tiervec-test-log-XXXXXX";
static char path[128];
static struct clock_manual manual;
static struct jdoc *doc;
static struct buf content;

static status open_log(enum log_level level, const char *levels, enum log_format format)
{
    struct log_options options = {
        .level = level, .levels = levels, .format = format, .path = path, .clock = &manual.clock};

    return log_open(&options, NULL);
}

static int set_up(void **state)
{
    (void)state;
    clock_manual_init(&manual, 0, UINT64_C(1767323045000000006));
    (void)truncate(path, 0);
    return open_log(LOG_TRACE, NULL, LOG_FORMAT_JSON) == ST_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    log_close();
    log_context_set(NULL, NULL);
    return 0;
}

/* The file's text, NUL terminated. */
static const char *read_back(const char *file)
{
    FILE *f = fopen(file, "r");
    char piece[4096];
    size_t n;

    assert_non_null(f);
    buf_reset(&content);
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        buf_put(&content, piece, n);
    (void)fclose(f);
    buf_put_u8(&content, 0);
    assert_false(content.failed);
    return (const char *)content.data;
}

/* The one line there is, parsed; its fields. The file is emptied. */
static struct jval the_line(struct jval *record)
{
    const char *text = read_back(path);
    const char *end = strchr(text, '\n');
    struct jval fields;
    struct err err;

    if (end == NULL || end[1] != '\0')
        fail_msg("not one line: %s", text);
    if (jdoc_parse(doc, slice_make(text, (size_t)(end - text)), record, &err) != ST_OK)
        fail_msg("%s: %s", err.text, text);
    assert_int_equal(truncate(path, 0), 0);
    assert_true(jval_member(*record, "fields", &fields));
    assert_int_equal(jval_type(fields), J_OBJECT);
    return fields;
}

static void expect_text(struct jval object, const char *key, const char *expected)
{
    struct jval v;

    if (!jval_member(object, key, &v) || jval_type(v) != J_STRING)
        fail_msg("no text %s", key);
    if (!slice_equal(jval_string(v), slice_text(expected)))
        fail_msg("%s is '%.*s', not '%s'", key, (int)jval_string(v).bytes,
                 (const char *)jval_string(v).data, expected);
}

static void a_record_has_its_members(void **state)
{
    struct jval record;
    struct jval fields;
    struct jval v;
    uint64_t attempt = 0;

    (void)state;
    log_warn("upload failed, will retry", "key=%s attempt=%u err=%s", "c/1", 3u, "no route: x");
    fields = the_line(&record);
    assert_int_equal(jval_count(record), 5);
    expect_text(record, "timestamp", "2026-01-02T03:04:05.000000006Z");
    expect_text(record, "level", "warn");
    expect_text(record, "target", "base");
    expect_text(record, "message", "upload failed, will retry");
    assert_int_equal(jval_count(fields), 3);
    expect_text(fields, "key", "c/1");
    expect_text(fields, "err", "no route: x");
    assert_true(jval_member(fields, "attempt", &v) && jval_u64(v, &attempt) && attempt == 3);
}

static void numbers_are_numbers_by_their_format(void **state)
{
    struct jval record;
    struct jval fields;
    struct jval v;
    uint64_t u = 0;
    int64_t i = 0;
    double f = 0;

    (void)state;
    log_info("kinds",
             "u=%llu i=%ld f=%.3f z=%zu text=%s hex=%x pad=%04d nan=%f plus=%+d unit=%dms fixed=12 "
             "last=%g",
             18446744073709551615ull, -5L, 0.5, (size_t)7, "12", 10u, 42, NAN, 3, 8, 1e300);
    fields = the_line(&record);
    assert_true(jval_member(fields, "u", &v) && jval_u64(v, &u) && u == UINT64_MAX);
    assert_true(jval_member(fields, "i", &v) && jval_i64(v, &i) && i == -5);
    assert_true(jval_member(fields, "f", &v) && jval_f64(v, &f) && f == 0.5);
    assert_true(jval_member(fields, "z", &v) && jval_u64(v, &u) && u == 7);
    assert_true(jval_member(fields, "last", &v) && jval_f64(v, &f) && f == 1e300);
    expect_text(fields, "text", "12");
    expect_text(fields, "hex", "a");
    expect_text(fields, "pad", "0042");
    expect_text(fields, "nan", "nan");
    expect_text(fields, "plus", "+3");
    expect_text(fields, "unit", "8ms");
    expect_text(fields, "fixed", "12");
}

static const char *const hostile[] = {
    "",
    " ",
    "a b",
    "a key=evil level=error",
    "x\nlevel=error",
    "x\r\n{\"level\":\"error\"}",
    "\"",
    "\",\"level\":\"error",
    "\\",
    "\\\"",
    "\x1B[31mred",
    "\x01\x02\x7F",
    "caf\xC3\xA9 \xF0\x9F\x98\x80",
    "\xC2\x9B"
    "31m",
    "=",
    "%s%n%d",
    "{}[],:",
};

static void hostile_values_stay_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(hostile); i++) {
        struct jval record;
        struct jval fields;

        log_error("hostile", "before=%s key=%s after=%s", hostile[i], "k", hostile[i]);
        fields = the_line(&record);
        assert_int_equal(jval_count(fields), 3);
        expect_text(fields, "before", hostile[i]);
        expect_text(fields, "key", "k");
        expect_text(fields, "after", hostile[i]);
        expect_text(record, "level", "error");
    }
}

static void bytes_that_are_no_text_are_replaced(void **state)
{
    struct jval record;
    struct jval fields;

    (void)state;
    log_error("hostile", "a=%s b=%s", "x\xFF\xC3", "\xED\xA0\x80");
    fields = the_line(&record);
    expect_text(fields, "a", "x\xEF\xBF\xBD\xEF\xBF\xBD");
    expect_text(fields, "b", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

static void a_pretty_line_stays_a_line_and_a_key_a_key(void **state)
{
    (void)state;
    assert_int_equal(open_log(LOG_TRACE, NULL, LOG_FORMAT_PRETTY), ST_OK);
    log_context_set("r-1", NULL);
    log_warn("upload failed", "n=%d key=%s e=%s", -3, "a/b", "no route");
    assert_string_equal(read_back(path), "2026-01-02T03:04:05.000000006Z WARN  base: upload failed "
                                         "n=-3 key=a/b e=\"no route\" request_id=r-1\n");
    for (size_t i = 0; i < COUNT_OF(hostile); i++) {
        const char *text;

        assert_int_equal(truncate(path, 0), 0);
        log_info("m", "a=%s b=%s", hostile[i], "end");
        text = read_back(path);
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
        assert_non_null(strstr(text, " b=end request_id=r-1\n"));
        for (const char *p = text; p[1] != '\0'; p++) {
            assert_true((unsigned char)*p >= 0x20 && *p != 0x7F);
            assert_false((unsigned char)*p == 0xC2 && (unsigned char)p[1] < 0xA0);
        }
    }
    assert_int_equal(truncate(path, 0), 0);
    log_info("m", "a=%s b=%s c=%s d=%s", "x level=error", "",
             "\x1B[0m\xC2\x9B"
             "1m",
             "caf\xC3\xA9");
    assert_string_equal(read_back(path),
                        "2026-01-02T03:04:05.000000006Z INFO  base: m a=\"x level=error\" b=\"\" "
                        "c=\"\\u001b[0m\\u009b1m\" d=caf\xC3\xA9 request_id=r-1\n");
}

static void the_context_is_added_unless_given(void **state)
{
    struct jval record;
    struct jval fields;

    (void)state;
    log_context_set("r-1\"\n", "c-1");
    log_info("m", "a=%d", 1);
    fields = the_line(&record);
    assert_int_equal(jval_count(fields), 3);
    expect_text(fields, "request_id", "r-1\"\n");
    expect_text(fields, "collection_id", "c-1");
    log_info("m", "collection_id=%s", "c-2");
    fields = the_line(&record);
    assert_int_equal(jval_count(fields), 2);
    expect_text(fields, "collection_id", "c-2");
    log_context_set(NULL, NULL);
    log_info("m", "");
    assert_int_equal(jval_count(the_line(&record)), 0);
}

/* A disk that is full refuses a thousand writes a second; the log must not fill with that too. */
static void what_repeats_is_told_once_a_while_with_its_count(void **state)
{
    struct log_repeat repeat = {0};
    uint64_t left_out = 7;

    (void)state;
    assert_true(log_repeat(&repeat, &left_out));
    assert_int_equal(left_out, 0);
    for (int i = 0; i < 1000; i++)
        assert_false(log_repeat(&repeat, &left_out));
    clock_manual_advance(&manual, LOG_REPEAT_NS - 1);
    assert_false(log_repeat(&repeat, &left_out));
    clock_manual_advance(&manual, 1);
    assert_true(log_repeat(&repeat, &left_out));
    assert_int_equal(left_out, 1001);
    assert_false(log_repeat(&repeat, &left_out));
}

/* A request is freed by another thread as soon as it is answered, while its worker goes on. */
static void the_context_outlives_the_texts_it_was_set_from(void **state)
{
    char request[] = "r-1";
    char collection[] = "c-1";
    struct jval record;
    struct jval fields;

    (void)state;
    log_context_set(request, collection);
    memset(request, 'x', sizeof request - 1);
    memset(collection, 'x', sizeof collection - 1);
    log_info("m", "a=%d", 1);
    fields = the_line(&record);
    expect_text(fields, "request_id", "r-1");
    expect_text(fields, "collection_id", "c-1");
}

static void text_without_a_key_is_kept(void **state)
{
    struct jval record;
    struct jval fields;

    (void)state;
    log_info("m", "%s or so a=%d", "ten x=1", 1);
    fields = the_line(&record);
    assert_int_equal(jval_count(fields), 2);
    expect_text(fields, "text", "ten x=1 or so");
    log_info("m", "%d", 7);
    expect_text(the_line(&record), "text", "7");
    log_info("m", "a=%s  b.c_2=%s d =%s E=%s =%s", "1", "2", "3", "4", "5");
    fields = the_line(&record);
    assert_int_equal(jval_count(fields), 2);
    expect_text(fields, "a", "1 ");
    expect_text(fields, "b.c_2", "2 d =3 E=4 =5");
}

static void what_is_too_long_is_cut_and_says_so(void **state)
{
    static char large[3 * LOG_TEXT_BYTES_MAX];

    (void)state;
    for (size_t bytes = LOG_TEXT_BYTES_MAX - 60; bytes < LOG_TEXT_BYTES_MAX + 60; bytes++) {
        struct jval record;
        struct jval fields;
        struct jval v;
        bool cut;

        memset(large, '\x01', bytes); /* six bytes each when escaped */
        large[bytes] = '\0';
        log_info("m", "a=%d large=%s b=%d", 12345, large, 67890);
        fields = the_line(&record);
        cut = jval_member(fields, "log_cut", &v);
        assert_true(jval_member(fields, "large", &v));
        assert_true(cut || jval_string(v).bytes == bytes);
        assert_int_equal(cut, bytes + strlen(" a=12345 large= b=67890") > LOG_TEXT_BYTES_MAX);
        assert_true(!jval_member(fields, "b", &v) || cut || jval_type(v) == J_U64);
    }
    memset(large, 'x', sizeof large - 1);
    for (unsigned i = 0; i < 2; i++) {
        struct jval record;
        struct jval v;

        log_info("m", "a=%s b=%s c=%s", large, large, "x");
        assert_true(jval_member(the_line(&record), "log_cut", &v));
    }
}

static void more_fields_than_there_is_room_for_are_cut(void **state)
{
    struct jval record;
    struct jval fields;
    struct jval v;

    (void)state;
    log_context_set("r", "c");
    log_info("m",
             "a=%d b=%d c=%d d=%d e=%d f=%d g=%d h=%d i=%d j=%d k=%d l=%d m=%d n=%d o=%d p=%d "
             "q=%d r=%d s=%d t=%d u=%d v=%d w=%d x=%d y=%d z=%d",
             1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
             25, 26);
    fields = the_line(&record);
    assert_int_equal(jval_count(fields), LOG_FIELDS_MAX + 1);
    assert_true(jval_member(fields, "log_cut", &v));
}

static void levels_are_by_target(void **state)
{
    (void)state;
    assert_int_equal(open_log(LOG_WARN, "wal=debug, api=off,wal=trace", LOG_FORMAT_JSON), ST_OK);
    assert_true(log_enabled(LOG_TRACE, "wal"));
    assert_false(log_enabled(LOG_ERROR, "api"));
    assert_true(log_enabled(LOG_WARN, "node"));
    assert_false(log_enabled(LOG_INFO, "node"));
    assert_false(log_enabled(LOG_OFF, "node"));
    log_info("not this", "");
    log_debug("nor this", "");
    assert_string_equal(read_back(path), "");
    assert_string_equal(log_target_of("/x/wal/wal_file.c"), "wal");
    assert_string_equal(log_target_of("wal/wal.c"), "wal");
    assert_string_equal(log_target_of("wal.c"), "main");
    assert_string_equal(log_target_of("/wal.c"), "");
    assert_string_equal(log_target_of("abcdefghijklmnopqrstuvwxyz/x.c"), "abcdefghijklmnopqrstuvw");
    log_close();
    assert_false(log_enabled(LOG_ERROR, "wal"));
    log_error("to nobody", "");
    assert_string_equal(read_back(path), "");
}

static void level_names_are_parsed(void **state)
{
    static const char *const names[] = {"trace", "debug", "info", "warn", "error", "off"};
    enum log_level level = LOG_INFO;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_true(log_level_parse(names[i], &level));
        assert_int_equal(level, i);
    }
    assert_false(log_level_parse("warning", &level));
    assert_false(log_level_parse("WARN", &level));
    assert_false(log_level_parse("", &level));
}

static void bad_options_change_nothing(void **state)
{
    static const char *const bad[] = {"wal",
                                      "wal=",
                                      "=info",
                                      "wal=loud",
                                      "w al=info",
                                      "WAL=info",
                                      "abcdefghijklmnopqrstuvwxyz=info",
                                      "a=info,,b"};
    struct log_options options = {.level = LOG_ERROR, .path = "/nonexistent/folder/x.log"};
    struct err err;
    char many[512];
    struct jval record;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (open_log(LOG_ERROR, bad[i], LOG_FORMAT_JSON) != ST_INVALID)
            fail_msg("'%s' is taken", bad[i]);
    many[0] = '\0';
    for (unsigned i = 0; i < 33; i++)
        (void)snprintf(many + strlen(many), sizeof many - strlen(many), "t%u=info,", i);
    assert_int_equal(open_log(LOG_ERROR, many, LOG_FORMAT_JSON), ST_INVALID);
    assert_int_equal(log_open(&options, &err), ST_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/folder/x.log"));
    log_info("still here", "");
    (void)the_line(&record);
}

static void opened_again_it_writes_to_the_new_file(void **state)
{
    char other[160];
    struct jval record;
    struct log_options options = {.level = LOG_INFO, .path = other, .format = LOG_FORMAT_AUTO};

    (void)state;
    (void)snprintf(other, sizeof other, "%s.2", path);
    assert_int_equal(log_open(&options, NULL), ST_OK);
    log_info("to the other", "");
    assert_string_equal(read_back(path), "");
    assert_non_null(
        strstr(read_back(other), "\"message\":\"to the other\"")); /* no terminal: JSON */
    assert_int_equal(open_log(LOG_INFO, NULL, LOG_FORMAT_JSON), ST_OK);
    log_info("back", "");
    (void)the_line(&record);
    (void)unlink(other);
}

static void what_cannot_be_written_is_counted(void **state)
{
    struct log_options options = {.level = LOG_INFO, .path = "/dev/full"};
    uint64_t before = log_dropped();

    (void)state;
    assert_int_equal(log_open(&options, NULL), ST_OK);
    errno = 77;
    log_info("lost", "");
    assert_int_equal(errno, 77);
    assert_int_equal(log_dropped(), before + 1);
}

static void logging_takes_no_heap_and_opening_may_lack_it(void **state)
{
    struct jval record;

    (void)state;
    mem_test_fail_after(0);
    assert_int_equal(open_log(LOG_ERROR, NULL, LOG_FORMAT_JSON), ST_NOMEM);
    mem_test_fail_after(0);
    log_info("no heap", "a=%s", "x");
    assert_int_equal(mem_test_count(), 0);
    mem_test_fail_after(-1);
    (void)the_line(&record);
}

static void to_stderr_without_a_path(void **state)
{
    int saved = dup(STDERR_FILENO);
    FILE *f = fopen(path, "a");
    struct log_options options = {.level = LOG_INFO, .path = ""};
    struct jval record;

    (void)state;
    assert_non_null(f);
    assert_true(dup2(fileno(f), STDERR_FILENO) >= 0);
    assert_int_equal(log_open(&options, NULL), ST_OK);
    log_info("here", "");
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    (void)close(saved);
    (void)fclose(f);
    (void)the_line(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_record_has_its_members, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_are_numbers_by_their_format, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hostile_values_stay_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bytes_that_are_no_text_are_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_pretty_line_stays_a_line_and_a_key_a_key, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_context_is_added_unless_given, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_repeats_is_told_once_a_while_with_its_count, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_context_outlives_the_texts_it_was_set_from, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(text_without_a_key_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_too_long_is_cut_and_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_fields_than_there_is_room_for_are_cut, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(levels_are_by_target, set_up, tear_down),
        cmocka_unit_test_setup_teardown(level_names_are_parsed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_options_change_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(opened_again_it_writes_to_the_new_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_written_is_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(logging_takes_no_heap_and_opening_may_lack_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(to_stderr_without_a_path, set_up, tear_down),
    };
    int failed;

    if (mkdtemp(folder) == NULL || jdoc_create(&doc, NULL) != ST_OK)
        return 1;
    (void)snprintf(path, sizeof path, "%s/log", folder);
    buf_init(&content, 1 << 20);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_free(&content);
    jdoc_destroy(doc);
    (void)unlink(path);
    (void)rmdir(folder);
    return failed;
}
