/* What only a real server can say: refused keys, a bucket that is not there, a clock or a region
 * that is wrong, a certificate nobody vouches for; and an object of ours in the eyes of libs3.
 *
 *     scripts/s3_servers run minio build/dev/tests/conformance/test_s3_real
 * build/dev/.../libs3_reader
 */
#include "objstore/open.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *reader; /* the path of libs3_reader */

static char *variable(const char *name, const char *value)
{
    char *out = malloc(strlen(name) + strlen(value) + 2);

    assert_non_null(out);
    (void)sprintf(out, "%s=%s", name, value);
    return out;
}

static const char *from_env(const char *name)
{
    const char *value = getenv(name);

    if (value == NULL)
        fail_msg("%s is not set: this runs below scripts/s3_servers run", name);
    return value;
}

struct wrong { /* NULL: as it is right */
    const char *access, *secret, *region, *bucket, *ca;
    struct clock *clock;
};

static struct objstore *open_with(const struct wrong *w)
{
    char *env[] = {variable("AWS_ACCESS_KEY_ID",
                            w->access != NULL ? w->access : from_env("AWS_ACCESS_KEY_ID")),
                   variable("AWS_SECRET_ACCESS_KEY",
                            w->secret != NULL ? w->secret : from_env("AWS_SECRET_ACCESS_KEY")),
                   variable("AWS_REGION", w->region != NULL ? w->region : from_env("AWS_REGION")),
                   variable("AWS_CA_BUNDLE", w->ca != NULL ? w->ca
                                             : getenv("AWS_CA_BUNDLE") != NULL
                                                 ? getenv("AWS_CA_BUNDLE")
                                                 : ""),
                   NULL};
    char url[512];
    struct objstore_options options = {.url = url, .env = env, .clock = w->clock};
    struct objstore *s = NULL;
    struct err err;

    (void)snprintf(url, sizeof url, "%s/%s/real", from_env("TIERVEC_TEST_S3_ENDPOINT"),
                   w->bucket != NULL ? w->bucket : from_env("TIERVEC_TEST_S3_BUCKET"));
    if (objstore_open(&options, &s, &err) != ST_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; env[i] != NULL; i++)
        free(env[i]);
    return s;
}

static void check_put(const struct wrong *w, enum objstore_class want, const char *text)
{
    struct objstore *s = open_with(w);
    struct objstore_req req = {.op = OBJSTORE_PUT, .key = "k", .body = slice_text("body")};
    struct err err = {0};

    if (objstore_wait(s, &req, &err) != objstore_class_status(want) || req.result.class != want ||
        strstr(err.text, text) == NULL)
        fail_msg("%s: %s", objstore_class_name(req.result.class), err.text);
    assert_false(req.result.maybe_applied);
    objstore_result_fini(&req.result);
    objstore_close(s);
}

static void refusals_are_permanent_and_say_what_to_do(void **state)
{
    (void)state;
    check_put(&(struct wrong){.secret = "wrong"}, OBJSTORE_PERMANENT,
              "the secret key is not the one");
    check_put(&(struct wrong){.access = "nobody"}, OBJSTORE_PERMANENT,
              "does not know this access key");
    check_put(&(struct wrong){.bucket = "not-there"}, OBJSTORE_PERMANENT,
              "create the bucket, or correct");
}

/* Half an hour off, which every store refuses: signed for its time, taken. */
static void a_wrong_clock_is_mended(void **state)
{
    struct clock_manual early;
    struct clock_manual late;
    const uint64_t off = UINT64_C(1800) * 1000000000;

    (void)state;
    clock_manual_init(&early, 0, clock_wall_ns(clock_real()) - off);
    clock_manual_init(&late, 0, clock_wall_ns(clock_real()) + off);
    check_put(&(struct wrong){.clock = &early.clock}, OBJSTORE_OK, "");
    check_put(&(struct wrong){.clock = &late.clock}, OBJSTORE_OK, "");
}

static void a_wrong_region_is_mended(void **state)
{
    (void)state;
    check_put(&(struct wrong){.region = "eu-nowhere-1"}, OBJSTORE_OK, "");
}

static void a_certificate_nobody_vouches_for_is_refused(void **state)
{
    (void)state;
    if (strncmp(from_env("TIERVEC_TEST_S3_ENDPOINT"), "https:", 6) != 0)
        return;
    check_put(&(struct wrong){.ca = "/etc/ssl/certs/ca-certificates.crt"}, OBJSTORE_PERMANENT,
              "its certificate is not trusted");
    check_put(&(struct wrong){0}, OBJSTORE_OK, "");
}

static void check_by_libs3(const char *key, const uint8_t *want, size_t bytes)
{
    const char *host = strstr(from_env("TIERVEC_TEST_S3_ENDPOINT"), "://") + 3;
    uint8_t *got = malloc(bytes + 1);
    char command[1024];
    FILE *pipe;

    assert_non_null(got);
    (void)snprintf(command, sizeof command, "%s %s %s real/%s", reader, host,
                   from_env("TIERVEC_TEST_S3_BUCKET"), key);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_int_equal(fread(got, 1, bytes + 1, pipe), bytes);
    assert_int_equal(pclose(pipe), 0);
    assert_memory_equal(got, want, bytes);
    free(got);
}

static void another_client_reads_what_we_wrote(void **state)
{
    enum { BYTES = 3 * 1024 * 1024 + 17 };
    static const char *const keys[] = {"a", "c/0f/0-9_z.Z/w/1/2", "x/-_."};
    uint8_t *bytes = malloc(BYTES);
    struct objstore *s = open_with(&(struct wrong){0});

    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    for (size_t i = 0; i < COUNT_OF(keys) && reader != NULL; i++) {
        size_t count = i == 0 ? BYTES : 100 + i;
        struct objstore_req req = {
            .op = OBJSTORE_PUT, .key = keys[i], .body = slice_make(bytes, count)};
        struct err err;

        if (objstore_wait(s, &req, &err) != ST_OK)
            fail_msg("%s", err.text);
        objstore_result_fini(&req.result);
        check_by_libs3(keys[i], bytes, count);
    }
    objstore_close(s);
    free(bytes);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_are_permanent_and_say_what_to_do),
        cmocka_unit_test(a_wrong_clock_is_mended),
        cmocka_unit_test(a_wrong_region_is_mended),
        cmocka_unit_test(a_certificate_nobody_vouches_for_is_refused),
        cmocka_unit_test(another_client_reads_what_we_wrote),
    };

    reader = argc > 1 ? argv[1] : NULL;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
