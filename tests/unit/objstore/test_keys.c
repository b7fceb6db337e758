/* Keys that come and go under requests: a store in front of a scripted server, its keys from fakes
 * on loopback. What was said in all of it, in texts, log and metrics, holds no secret: looked for
 * at the end.
 *
 * The fakes' clock stands still at TOLD: so long as their Expiration says, so long their keys live.
 */
#include "base/log.h"
#include "tests/unit/objstore/s3_try.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define HUSH "HUSHHUSH"
#define TOLD "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\nConnection: close\r\n\r\n"
#define JSON(access, clock)                                                                        \
    TOLD "{\"AccessKeyId\":\"" access "\",\"SecretAccessKey\":\"" HUSH "1\",\"Token\":\"" HUSH     \
         "2\",\"Expiration\":\"2026-11-21T" clock "Z\"}"
#define STS(access, clock)                                                                         \
    TOLD "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"       \
         "<AccessKeyId>" access "</AccessKeyId><SecretAccessKey>" HUSH "1</SecretAccessKey>"       \
         "<SessionToken>" HUSH "2</SessionToken><Expiration>2026-11-21T" clock "Z</Expiration>"    \
         "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
#define OOPS "HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n" HUSH
#define EXPIRED                                                                                    \
    "HTTP/1.1 400 Bad Request\r\nConnection: "                                                     \
    "close\r\n\r\n<Error><Code>ExpiredToken</Code></Error>"

static const struct http_line FINE = {.answer = HTTP_OK HTTP_EMPTY};
static const struct objstore_req PUT = {
    .op = OBJSTORE_PUT, .key = "k", .body = {(const uint8_t *)"body", 4}};

static struct stats *stats;
static char log_path[] = "/tmp/tiervec-keys-log-XXXXXX";

static uint64_t now_ms(void)
{
    return clock_mono_ns(clock_real()) / 1000000;
}

static void sleep_ms(uint32_t ms)
{
    (void)usleep(ms * 1000);
}

static void check_has(const char *text, const char *part)
{
    if (strcasestr(text, part) == NULL)
        fail_msg("no \"%s\" in:\n%s", part, text);
}

struct world {
    struct s3_try s3;
    struct http_script *provider; /* NULL: none */
    char variables[8][256];
    char *env[9];
    char path[64]; /* of a file with a token or keys */
};

static void set(struct world *w, const char *format, ...) PRINTF_LIKE(2, 3);
static void set(struct world *w, const char *format, ...)
{
    size_t n = 0;
    va_list args;

    while (w->env[n] != NULL)
        n++;
    va_start(args, format);
    (void)vsnprintf(w->variables[n], sizeof w->variables[n], format, args);
    va_end(args);
    w->env[n] = w->variables[n];
}

static void prepare(struct world *w, const struct http_line *lines, size_t count)
{
    static int files;

    memset(w, 0, sizeof *w);
    (void)snprintf(w->path, sizeof w->path, "/tmp/tiervec-keys-%d-%d", (int)getpid(), files++);
    if (count > 0)
        w->provider = http_script_start(lines, count);
    set(w, "AWS_CONFIG_FILE=/nowhere/config");
    set(w, "AWS_EC2_METADATA_DISABLED=true");
}

static void write_file(struct world *w, const char *text)
{
    assert_int_equal(fs_write_file(fs_real(), w->path, slice_text(text), NULL), ST_OK);
}

static void open_store(struct world *w, const struct http_line *lines, size_t count,
                       struct clock *clock)
{
    struct objstore_options options = {.env = w->env, .stats = stats, .clock = clock};

    s3_try_open_with(&w->s3, lines, count, &options);
}

static void open_container(struct world *w, const struct http_line *lines, size_t count,
                           const struct http_line *answers, size_t answer_count)
{
    prepare(w, lines, count);
    set(w, "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:%u/keys",
        (unsigned)http_script_port(w->provider));
    set(w, "AWS_CONTAINER_AUTHORIZATION_TOKEN=" HUSH "3");
    open_store(w, answers, answer_count, NULL);
}

static void end(struct world *w)
{
    s3_try_close(&w->s3);
    if (w->provider != NULL)
        http_script_stop(w->provider);
    (void)remove(w->path);
}

static enum objstore_class put(struct world *w, char text[ERR_TEXT_BYTES])
{
    struct objstore_req req = PUT;
    enum objstore_class class;

    status st = objstore_wait(w->s3.store, &req, NULL);

    class = req.result.class;
    assert_int_equal(st, objstore_class_status(class));
    if (text != NULL)
        memcpy(text, req.result.err.text, ERR_TEXT_BYTES);
    assert_null(strstr(req.result.err.text, HUSH));
    objstore_result_fini(&req.result);
    return class;
}

static bool signed_with(struct world *w, size_t n, const char *access)
{
    char part[64];

    (void)snprintf(part, sizeof part, "Credential=%s/", access);
    return strstr(http_script_head(w->s3.server, n), part) != NULL;
}

/* --- rotation --- */

static void write_process_keys(struct world *w, const char *access, time_t life_s)
{
    time_t end_s = time(NULL) + life_s;
    char text[512];
    char date[64];
    struct tm tm;

    (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&end_s, &tm));
    (void)snprintf(text, sizeof text,
                   "{\"Version\":1,\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"" HUSH "1\","
                   "\"SessionToken\":\"" HUSH "2\",\"Expiration\":\"%s\"}",
                   access, date);
    write_file(w, text);
}

/* Of each provider the first keys live 3 s; requests go on for longer, and not one of them fails.
 */
static void renewals_go_unnoticed(void **state)
{
    static const struct http_line container[] = {
        {.answer = JSON("FIRST", "10:00:03"), .end = HTTP_CLOSE},
        {.answer = JSON("SECOND", "11:00:00"), .end = HTTP_CLOSE}};
    static const struct http_line instance[] = {
        {.answer = TOLD HUSH "4", .end = HTTP_CLOSE},
        {.answer = TOLD "role", .end = HTTP_CLOSE},
        {.answer = JSON("FIRST", "10:00:03"), .end = HTTP_CLOSE},
        {.answer = TOLD HUSH "5", .end = HTTP_CLOSE},
        {.answer = TOLD "role", .end = HTTP_CLOSE},
        {.answer = JSON("SECOND", "11:00:00"), .end = HTTP_CLOSE}};
    static const struct http_line sts[] = {
        {.answer = STS("FIRST", "10:00:03"), .end = HTTP_CLOSE},
        {.answer = STS("SECOND", "11:00:00"), .end = HTTP_CLOSE}};
    enum { CONTAINER, INSTANCE, WEB, PROCESS, PROVIDERS, ROUNDS = 45 };
    static struct world w[PROVIDERS];
    bool changed = false;

    (void)state;
    open_container(&w[CONTAINER], container, COUNT_OF(container), &FINE, 1);
    prepare(&w[INSTANCE], instance, COUNT_OF(instance));
    w[INSTANCE].env[1] = NULL; /* not disabled */
    set(&w[INSTANCE], "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:%u",
        (unsigned)http_script_port(w[INSTANCE].provider));
    open_store(&w[INSTANCE], &FINE, 1, NULL);
    prepare(&w[WEB], sts, COUNT_OF(sts));
    write_file(&w[WEB], HUSH "6");
    set(&w[WEB], "AWS_WEB_IDENTITY_TOKEN_FILE=%s", w[WEB].path);
    set(&w[WEB], "AWS_ROLE_ARN=arn:aws:iam::1:role/x");
    set(&w[WEB], "AWS_ENDPOINT_URL_STS=http://127.0.0.1:%u",
        (unsigned)http_script_port(w[WEB].provider));
    open_store(&w[WEB], &FINE, 1, NULL);
    prepare(&w[PROCESS], NULL, 0);
    {
        char config[128];
        char text[256];

        (void)snprintf(config, sizeof config, "%s-config", w[PROCESS].path);
        (void)snprintf(text, sizeof text, "[default]\ncredential_process = cat %s\n",
                       w[PROCESS].path);
        assert_int_equal(fs_write_file(fs_real(), config, slice_text(text), NULL), ST_OK);
        (void)snprintf(w[PROCESS].variables[0], sizeof w[PROCESS].variables[0],
                       "AWS_CONFIG_FILE=%s", config);
        write_process_keys(&w[PROCESS], "FIRST", 4);
        open_store(&w[PROCESS], &FINE, 1, NULL);
        for (int round = 0; round < ROUNDS; round++) {
            char why[ERR_TEXT_BYTES];

            for (size_t i = 0; i < PROVIDERS; i++)
                if (put(&w[i], why) != OBJSTORE_OK)
                    fail_msg("provider %zu round %d: %s", i, round, why);
            if (!changed) /* behind the first answer */
                write_process_keys(&w[PROCESS], "SECOND", 3600);
            changed = true;
            sleep_ms(90);
        }
        (void)remove(config);
    }
    for (size_t i = 0; i < PROVIDERS; i++) {
        assert_true(signed_with(&w[i], 0, "FIRST"));
        assert_true(signed_with(&w[i], ROUNDS - 1, "SECOND"));
        check_has(http_script_head(w[i].s3.server, ROUNDS - 1),
                  "\r\nx-amz-security-token: " HUSH "2\r\n");
        if (w[i].provider != NULL)
            assert_int_equal(http_script_requests(w[i].provider), i == INSTANCE ? 6 : 2);
        end(&w[i]);
    }
}

/* --- failures --- */

static void old_keys_stay_in_use_until_they_end(void **state)
{
    static const struct http_line lines[] = {
        {.answer = JSON("FIRST", "10:00:04"), .end = HTTP_CLOSE},
        {.answer = OOPS, .end = HTTP_CLOSE},
        {.answer = OOPS, .end = HTTP_CLOSE},
        {.answer = JSON("SECOND", "11:00:00"), .end = HTTP_CLOSE}};
    struct world w;
    char why[ERR_TEXT_BYTES] = "";
    char trouble[ERR_TEXT_BYTES] = "";
    uint64_t began = now_ms();
    size_t fine_in_trouble = 0;
    size_t refused = 0;

    (void)state;
    open_container(&w, lines, COUNT_OF(lines), &FINE, 1);
    for (;;) {
        enum objstore_class class = put(&w, why);

        objstore_trouble(w.s3.store, trouble);
        assert_null(strstr(trouble, HUSH));
        if (class == OBJSTORE_OK) {
            assert_true(now_ms() - began < 6000 || refused > 0);
            fine_in_trouble += refused == 0 && trouble[0] != '\0';
            if (refused > 0)
                break;
        } else {
            assert_int_equal(class, OBJSTORE_REFRESHABLE);
            check_has(why, "the keys ended ");
            check_has(why, "had: the container (AWS_CONTAINER_CREDENTIALS_FULL_URI): http://127.");
            check_has(why, "HTTP 500");
            check_has(why, "mend that, or give others and reload");
            check_has(trouble, "HTTP 500");
            refused++;
        }
        assert_true(now_ms() - began < 20000);
        sleep_ms(120);
    }
    assert_true(fine_in_trouble > 0);
    assert_string_equal(trouble, "");
    assert_true(signed_with(&w, http_script_requests(w.s3.server) - 1, "SECOND"));
    end(&w);
}

/* Returns how long closing took. */
static uint64_t close_beside_a_hanging_provider(void)
{
    static const struct http_line lines[] = {
        {.answer = JSON("FIRST", "10:00:04"), .end = HTTP_CLOSE}, {.end = HTTP_HANG}};
    struct world w;
    uint64_t began, took;

    open_container(&w, lines, COUNT_OF(lines), &FINE, 1);
    assert_int_equal(put(&w, NULL), OBJSTORE_OK);
    http_script_wait(w.provider, 2); /* it hangs, from 3 s on */
    assert_int_equal(put(&w, NULL), OBJSTORE_OK);
    began = now_ms();
    objstore_close(w.s3.store);
    took = now_ms() - began;
    http_script_stop(w.s3.server);
    http_script_stop(w.provider);
    return took;
}

/* The thread s3 waits for nobody: requests with good keys go on, others can be cancelled, and
 * closing is quick: less than the 2 s that the provider has, or once more if the machine was slow.
 */
static void a_hanging_provider_holds_nobody_up(void **state)
{
    unsigned tries = 0;

    (void)state;
    while (close_beside_a_hanging_provider() >= 1500)
        assert_true(tries++ < 5);
}

/* What is asked behind a reload goes with what the reload brings, but does not wait for ever. */
static void a_reload_holds_requests_for_a_moment_only(void **state)
{
    static const struct http_line lines[] = {
        {.answer = JSON("FIRST", "11:00:00"), .end = HTTP_CLOSE},
        {.answer = JSON("SECOND", "11:00:00"), .drip_ms = 2, .end = HTTP_CLOSE}};
    struct world w;
    char text[128];
    char config[128];
    uint64_t began;

    (void)state;
    open_container(&w, lines, COUNT_OF(lines), &FINE, 1);
    assert_int_equal(put(&w, NULL), OBJSTORE_OK);
    objstore_reload(w.s3.store);
    assert_int_equal(put(&w, NULL), OBJSTORE_OK);
    assert_true(signed_with(&w, 0, "FIRST"));
    assert_true(signed_with(&w, 1, "SECOND"));
    end(&w);

    prepare(&w, NULL, 0);
    (void)snprintf(config, sizeof config, "%s-config", w.path);
    (void)snprintf(w.variables[0], sizeof w.variables[0], "AWS_CONFIG_FILE=%s", config);
    (void)snprintf(text, sizeof text, "[default]\ncredential_process = cat %s\n", w.path);
    assert_int_equal(fs_write_file(fs_real(), config, slice_text(text), NULL), ST_OK);
    write_process_keys(&w, "FIRST", 3600);
    open_store(&w, &FINE, 1, NULL);
    assert_int_equal(put(&w, NULL), OBJSTORE_OK);
    (void)snprintf(text, sizeof text, "[default]\ncredential_process = sleep 100\n");
    assert_int_equal(fs_write_file(fs_real(), config, slice_text(text), NULL), ST_OK);
    began = now_ms();
    objstore_reload(w.s3.store);
    assert_int_equal(put(&w, NULL), OBJSTORE_OK);
    assert_true(now_ms() - began >= KEYS_RELOAD_WAIT_MS - 100);
    assert_true(now_ms() - began < 30000); /* the process has 60 s */
    assert_true(signed_with(&w, 1, "FIRST"));
    (void)remove(config);
    end(&w);
}

static _Atomic size_t done_count;

static void count_done(struct objstore_req *req)
{
    (void)req;
    done_count++;
}

static void wait_for(size_t count)
{
    for (int i = 0; i < 2000 && done_count < count; i++)
        sleep_ms(10);
    assert_int_equal(done_count, count);
}

static void who_waits_for_the_first_keys_can_be_cancelled(void **state)
{
    struct world w;
    struct objstore_req first = PUT;
    struct objstore_req second = PUT;
    char text[256];

    (void)state;
    prepare(&w, NULL, 0);
    (void)snprintf(w.variables[0], sizeof w.variables[0], "AWS_CONFIG_FILE=%s", w.path);
    (void)snprintf(text, sizeof text, "[default]\ncredential_process = sleep 100\n");
    write_file(&w, text);
    open_store(&w, &FINE, 1, NULL);
    done_count = 0;
    first.done = second.done = count_done;
    objstore_submit(w.s3.store, &first);
    objstore_submit(w.s3.store, &second);
    sleep_ms(100);
    assert_int_equal(done_count, 0);
    objstore_cancel(w.s3.store, &first);
    wait_for(1);
    assert_int_equal(first.result.class, OBJSTORE_CANCELLED);
    objstore_close(w.s3.store);
    assert_int_equal(done_count, 2);
    assert_int_equal(second.result.class, OBJSTORE_CANCELLED);
    assert_int_equal(http_script_connections(w.s3.server), 0);
    objstore_result_fini(&first.result);
    objstore_result_fini(&second.result);
    http_script_stop(w.s3.server);
    (void)remove(w.path);
}

/* Many are refused at once: one question, and all of them go on with its answer. */
static void refused_keys_are_asked_for_once(void **state)
{
    enum { MANY = 5 };
    static const struct http_line lines[] = {
        {.answer = JSON("FIRST", "11:00:00"), .end = HTTP_CLOSE},
        {.answer = JSON("SECOND", "11:00:00"), .drip_ms = 4, .end = HTTP_CLOSE}};
    static const struct http_line answers[] = {
        {.answer = EXPIRED, .end = HTTP_CLOSE}, {.answer = EXPIRED, .end = HTTP_CLOSE},
        {.answer = EXPIRED, .end = HTTP_CLOSE}, {.answer = EXPIRED, .end = HTTP_CLOSE},
        {.answer = EXPIRED, .end = HTTP_CLOSE}, {.answer = HTTP_OK HTTP_EMPTY}};
    struct objstore_req reqs[MANY];
    struct world w;

    (void)state;
    open_container(&w, lines, COUNT_OF(lines), answers, COUNT_OF(answers));
    done_count = 0;
    for (size_t i = 0; i < MANY; i++) {
        reqs[i] = PUT;
        reqs[i].done = count_done;
        objstore_submit(w.s3.store, &reqs[i]);
    }
    wait_for(MANY);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(reqs[i].result.class, OBJSTORE_OK);
        assert_true(signed_with(&w, i, "FIRST"));
        assert_true(signed_with(&w, MANY + i, "SECOND"));
        objstore_result_fini(&reqs[i].result);
    }
    assert_int_equal(http_script_requests(w.provider), 2);
    end(&w);
}

static void refused_keys_without_others_say_both(void **state)
{
    static const struct http_line lines[] = {
        {.answer = JSON("FIRST", "11:00:00"), .end = HTTP_CLOSE},
        {.answer = OOPS, .end = HTTP_CLOSE}};
    static const struct http_line expired = {.answer = EXPIRED, .end = HTTP_CLOSE};
    char why[ERR_TEXT_BYTES];
    struct world w;

    (void)state;
    open_container(&w, lines, COUNT_OF(lines), &expired, 1);
    assert_int_equal(put(&w, why), OBJSTORE_REFRESHABLE);
    check_has(why, "ExpiredToken");
    check_has(why, "no others are to be had: the container (AWS_CONTAINER_CREDENTIALS_FULL_URI)");
    check_has(why, "HTTP 500");
    assert_int_equal(http_script_requests(w.s3.server), 1);
    /* A store that refuses all the time does not make us ask all the time. */
    for (int i = 0; i < 20; i++)
        assert_int_equal(put(&w, why), OBJSTORE_REFRESHABLE);
    assert_true(http_script_requests(w.provider) < 6);
    end(&w);
}

#define UNKNOWN                                                                                    \
    "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n"                                          \
    "<Error><Code>InvalidAccessKeyId</Code></Error>"

/* MinIO forgets keys that have ended: it does not know them any more. Others help; the same do not,
 * and are not sent again. */
static void forgotten_keys_are_asked_for_anew(void **state)
{
    static const struct http_line lines[] = {
        {.answer = JSON("FIRST", "11:00:00"), .end = HTTP_CLOSE},
        {.answer = JSON("SECOND", "11:00:00"), .end = HTTP_CLOSE}};
    static const struct http_line answers[] = {{.answer = UNKNOWN, .end = HTTP_CLOSE},
                                               {.answer = HTTP_OK HTTP_EMPTY},
                                               {.answer = UNKNOWN, .end = HTTP_CLOSE}};
    char why[ERR_TEXT_BYTES];
    struct world w;

    (void)state;
    open_container(&w, lines, COUNT_OF(lines), answers, COUNT_OF(answers));
    assert_int_equal(put(&w, NULL), OBJSTORE_OK);
    assert_true(signed_with(&w, 0, "FIRST"));
    assert_true(signed_with(&w, 1, "SECOND"));
    assert_int_equal(http_script_requests(w.provider), 2);
    assert_int_equal(put(&w, why), OBJSTORE_PERMANENT);
    check_has(why, "the store does not know this access key");
    assert_int_equal(http_script_requests(w.s3.server), 3);
    end(&w);
}

static void a_provider_that_never_answered_is_named(void **state)
{
    static const struct http_line oops = {.answer = OOPS, .end = HTTP_CLOSE};
    char why[ERR_TEXT_BYTES];
    struct world w;

    (void)state;
    open_container(&w, &oops, 1, &FINE, 1);
    assert_int_equal(put(&w, why), OBJSTORE_PERMANENT);
    check_has(why, "no credentials; looked in the container (AWS_CONTAINER_CREDENTIALS_FULL_URI)");
    check_has(why, "/keys answered HTTP 500");
    assert_int_equal(http_script_connections(w.s3.server), 0);
    end(&w);
}

/* A file that is being written while it is read, or was taken away: what was good stays. */
static void a_reload_that_finds_nothing_keeps_the_old_keys(void **state)
{
    static const char *const wrong[] = {"", "[default]\n", "[default]\naws_access_key_id=HALF\n"};
    struct world w;
    char trouble[ERR_TEXT_BYTES];
    size_t sent = 0;

    (void)state;
    prepare(&w, NULL, 0);
    set(&w, "AWS_SHARED_CREDENTIALS_FILE=%s", w.path);
    write_file(&w, "[default]\naws_access_key_id=FIRST\naws_secret_access_key=" HUSH "1\n");
    open_store(&w, &FINE, 1, NULL);
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        write_file(&w, wrong[i]);
        objstore_reload(w.s3.store);
        assert_int_equal(put(&w, NULL), OBJSTORE_OK);
        assert_true(signed_with(&w, sent++, "FIRST"));
        objstore_trouble(w.s3.store, trouble);
        check_has(trouble, w.path);
    }
    write_file(&w, "[default]\naws_access_key_id=SECOND\naws_secret_access_key=" HUSH "1\n");
    objstore_reload(w.s3.store);
    assert_int_equal(put(&w, NULL), OBJSTORE_OK);
    assert_true(signed_with(&w, sent, "SECOND"));
    objstore_trouble(w.s3.store, trouble);
    assert_string_equal(trouble, "");
    end(&w);
}

static void keys_of_the_environment_end(void **state)
{
    struct clock_manual clock;
    char why[ERR_TEXT_BYTES];
    struct world w;

    (void)state;
    clock_manual_init(&clock, 5, UINT64_C(1795255200) * 1000000000); /* 10:00:00 */
    prepare(&w, NULL, 0);
    set(&w, "AWS_ACCESS_KEY_ID=FIRST");
    set(&w, "AWS_SECRET_ACCESS_KEY=" HUSH "1");
    set(&w, "AWS_CREDENTIAL_EXPIRATION=2026-11-21T10:30:00Z");
    open_store(&w, &FINE, 1, &clock.clock);
    assert_int_equal(put(&w, NULL), OBJSTORE_OK);
    clock_manual_advance(&clock, UINT64_C(1799) * 1000000000);
    assert_int_equal(put(&w, NULL), OBJSTORE_OK);
    clock_manual_advance(&clock, UINT64_C(2) * 1000000000);
    assert_int_equal(put(&w, why), OBJSTORE_REFRESHABLE);
    check_has(why, "the keys ended 1 s ago and no new ones are to be had: the environment (");
    end(&w);
}

/* --- what was said --- */

static void the_log_and_the_metrics_hold_no_secret(void **state)
{
    struct buf text;
    struct buf metrics;

    (void)state;
    log_close();
    buf_init(&text, 16 * 1024 * 1024);
    buf_init(&metrics, 1024 * 1024);
    assert_int_equal(fs_read_file(fs_real(), log_path, 16 * 1024 * 1024, &text, NULL), ST_OK);
    buf_put_u8(&text, 0);
    stats_print(stats, &metrics);
    buf_put_u8(&metrics, 0);
    check_has((const char *)text.data, "requests are signed with new keys");
    check_has((const char *)text.data, "keys could not be renewed, the old ones stay in use");
    check_has((const char *)text.data, "there are no keys for the bucket");
    check_has((const char *)metrics.data,
              "tiervec_s3_credentials_refreshes_total{outcome=\"failed\"} ");
    check_has((const char *)metrics.data, "tiervec_s3_credentials_expire_timestamp_seconds ");
    if (strstr((const char *)text.data, HUSH) != NULL)
        fail_msg("in the log: %.400s", strstr((const char *)text.data, HUSH));
    assert_null(strstr((const char *)metrics.data, HUSH));
    buf_free(&text);
    buf_free(&metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renewals_go_unnoticed),
        cmocka_unit_test(old_keys_stay_in_use_until_they_end),
        cmocka_unit_test(a_hanging_provider_holds_nobody_up),
        cmocka_unit_test(a_reload_holds_requests_for_a_moment_only),
        cmocka_unit_test(who_waits_for_the_first_keys_can_be_cancelled),
        cmocka_unit_test(refused_keys_are_asked_for_once),
        cmocka_unit_test(refused_keys_without_others_say_both),
        cmocka_unit_test(forgotten_keys_are_asked_for_anew),
        cmocka_unit_test(a_provider_that_never_answered_is_named),
        cmocka_unit_test(a_reload_that_finds_nothing_keeps_the_old_keys),
        cmocka_unit_test(keys_of_the_environment_end),
        cmocka_unit_test(the_log_and_the_metrics_hold_no_secret),
    };
    struct log_options log = {
        .level = LOG_TRACE, .format = LOG_FORMAT_JSON, .path = log_path, .clock = clock_real()};
    int fd = mkstemp(log_path);
    int failed;

    if (fd < 0 || close(fd) != 0 || log_open(&log, NULL) != ST_OK ||
        stats_create(&stats, NULL) != ST_OK)
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    stats_destroy(stats);
    (void)remove(log_path);
    return failed;
}
