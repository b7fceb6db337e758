/* Threads log while another reopens: every line is whole and none is missing. */
#include "base/json.h"
#include "base/lock.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { THREADS = 4, LINES = 1000 };

static char folder[] = "/tmp/tiervec-test-log-XXXXXX";
static char path[64];
static struct log_options options = {.level = LOG_INFO, .format = LOG_FORMAT_JSON, .path = path};

static void write_lines(void *arg)
{
    char request[32];

    (void)snprintf(request, sizeof request, "r-%s", (const char *)arg);
    log_context_set(request, NULL);
    for (unsigned i = 0; i < LINES; i++) {
        log_info("a line", "thread=%s i=%u text=%s", (const char *)arg, i, "\" line\n=");
        log_debug("not this", "i=%u", i);
    }
}

/* Whose the line is; lines of one thread are in order. */
static void check_line(struct jdoc *doc, const char *line, size_t bytes, uint64_t next[THREADS])
{
    struct jval root;
    struct jval fields;
    struct jval v;
    uint64_t i = 0;
    unsigned thread;

    if (jdoc_parse(doc, slice_make(line, bytes), &root, NULL) != ST_OK)
        fail_msg("%.*s", (int)bytes, line);
    assert_true(jval_member(root, "fields", &fields));
    assert_int_equal(jval_count(fields), 4);
    assert_true(jval_member(fields, "thread", &v));
    thread = (unsigned)(jval_string(v).data[0] - '0');
    assert_true(jval_member(fields, "request_id", &v));
    assert_int_equal(jval_string(v).data[2] - '0', thread);
    assert_true(jval_member(fields, "i", &v) && jval_u64(v, &i));
    assert_int_equal(i, next[thread]++);
}

static void no_line_is_torn_or_lost(void **state)
{
    static char names[THREADS][2] = {"0", "1", "2", "3"};
    struct thread threads[THREADS] = {0};
    uint64_t next[THREADS] = {0};
    struct jdoc *doc = NULL;
    char line[512];
    FILE *f;

    (void)state;
    assert_int_equal(log_open(&options, NULL), ST_OK);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(
            thread_start(&threads[i], "log", THREAD_NORMAL, write_lines, names[i], NULL), ST_OK);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(log_open(&options, NULL), ST_OK);
    for (size_t i = 0; i < THREADS; i++)
        thread_join(&threads[i]);
    log_close();
    assert_int_equal(log_dropped(), 0);
    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL)
        check_line(doc, line, strlen(line), next);
    (void)fclose(f);
    for (size_t i = 0; i < THREADS; i++)
        if (next[i] != LINES)
            fail_msg("thread %s: %u lines", names[i], (unsigned)next[i]);
    jdoc_destroy(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_line_is_torn_or_lost),
    };
    int failed;

    if (mkdtemp(folder) == NULL)
        return 1;
    (void)snprintf(path, sizeof path, "%s/log", folder);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(path);
    (void)rmdir(folder);
    return failed;
}
