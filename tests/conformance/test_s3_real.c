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
#include <unistd.h>

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

/* The store's own STS gives keys for a role, for a question that is signed with the user's; what is
 * signed with them and their session token is taken. With a wrong secret it is STS that refuses. */
static void a_role_is_taken_on(void **state)
{
    static const struct {
        const char *more; /* behind the secret */
        enum objstore_class want;
        const char *says;
    } tries[] = {
        {"", OBJSTORE_OK, ""},
        {"wrong", OBJSTORE_PERMANENT, "no credentials; looked in role of profile default: http"}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        char path[] = "/tmp/tiervec-role-XXXXXX";
        char text[512];
        char url[512];
        int fd = mkstemp(path);
        char *env[] = {variable("AWS_CONFIG_FILE", path),
                       variable("AWS_ENDPOINT_URL_STS", from_env("TIERVEC_TEST_S3_ENDPOINT")),
                       variable("AWS_REGION", from_env("AWS_REGION")),
                       variable("AWS_EC2_METADATA_DISABLED", "true"),
                       variable("AWS_CA_BUNDLE",
                                getenv("AWS_CA_BUNDLE") != NULL ? getenv("AWS_CA_BUNDLE") : ""),
                       NULL};
        struct objstore_options options = {.url = url, .env = env};
        struct objstore_req req = {.op = OBJSTORE_PUT, .key = "role", .body = slice_text("body")};
        struct objstore *s = NULL;
        struct err err = {0};

        assert_true(fd >= 0);
        (void)close(fd);
        (void)snprintf(text, sizeof text,
                       "[default]\nrole_arn = arn:aws:iam::123456789012:role/node\n"
                       "source_profile = base\nduration_seconds = 900\n"
                       "[profile base]\naws_access_key_id = %s\naws_secret_access_key = %s%s\n",
                       from_env("AWS_ACCESS_KEY_ID"), from_env("AWS_SECRET_ACCESS_KEY"),
                       tries[i].more);
        (void)snprintf(url, sizeof url, "%s/%s/real", from_env("TIERVEC_TEST_S3_ENDPOINT"),
                       from_env("TIERVEC_TEST_S3_BUCKET"));
        assert_int_equal(fs_write_file(fs_real(), path, slice_text(text), NULL), ST_OK);
        assert_int_equal(objstore_open(&options, &s, &err), ST_OK);
        if (objstore_wait(s, &req, &err) != objstore_class_status(tries[i].want) ||
            strstr(err.text, tries[i].says) == NULL)
            fail_msg("%s: %s", objstore_class_name(req.result.class), err.text);
        assert_null(strstr(err.text, from_env("AWS_SECRET_ACCESS_KEY")));
        objstore_result_fini(&req.result);
        objstore_close(s);
        (void)remove(path);
        for (size_t e = 0; env[e] != NULL; e++)
            free(env[e]);
    }
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
        cmocka_unit_test(a_role_is_taken_on),
        cmocka_unit_test(a_wrong_region_is_mended),
        cmocka_unit_test(a_certificate_nobody_vouches_for_is_refused),
        cmocka_unit_test(another_client_reads_what_we_wrote),
    };

    reader = argc > 1 ? argv[1] : NULL;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
