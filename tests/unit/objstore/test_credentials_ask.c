/* Each provider against a fake on loopback: what is asked, what is believed, what is said. */
#include "objstore/credentials_ask.h"
#include "objstore/credentials_http.h"

#include "tests/support/alloc_sweep.h"
#include "tests/support/http_script.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HUSH "HUSHHUSH" /* in every secret here; in no text */
#define HEAD(status)                                                                               \
    "HTTP/1.1 " status "\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\nConnection: close\r\n\r\n"
#define JSON_KEYS                                                                                  \
    "{\"Code\":\"Success\",\"AccessKeyId\":\"AKID\",\"SecretAccessKey\":\"" HUSH "1\","            \
    "\"Token\":\"" HUSH "2\",\"Expiration\":\"2026-11-21T12:00:00Z\"}"
#define STS_KEYS                                                                                   \
    "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"      \
    "<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKID</AccessKeyId>"                \
    "<SecretAccessKey>" HUSH "1</SecretAccessKey><SessionToken>" HUSH "2</SessionToken>"           \
    "<Expiration>2026-11-21T12:00:00Z</Expiration></Credentials>"                                  \
    "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
#define STS_REFUSES                                                                                \
    "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code>"                   \
    "<Message>the token " HUSH "TOKEN is not for us</Message></Error></ErrorResponse>"
enum { TOLD_S = 1795255200, END_S = TOLD_S + 7200 };

/* For what is to come, on a busy machine; and for what never comes. */
static const struct credentials_timings LONG = {
    .instance_ms = 20000, .container_ms = 20000, .sts_ms = 20000, .process_ms = 20000};
static const struct credentials_timings SHORT = {
    .instance_ms = 300, .container_ms = 300, .sts_ms = 300, .process_ms = 500};

struct world {
    struct http_script *server;
    struct credentials_plan plan;
    struct credentials out;
    struct err err;
    _Atomic bool stop;
    bool hurry;    /* SHORT */
    char path[64]; /* of a token's file */
};

static void write_token(struct world *w, const char *text)
{
    assert_int_equal(fs_write_file(fs_real(), w->path, slice_text(text), NULL), ST_OK);
}

static void begin(struct world *w, enum credentials_from from, const struct http_line *lines,
                  size_t count)
{
    memset(w, 0, sizeof *w);
    w->plan.from = from;
    (void)snprintf(w->path, sizeof w->path, "/tmp/tiervec-token-%d", (int)getpid());
    w->server = http_script_start(lines, count);
    (void)snprintf(w->plan.url, sizeof w->plan.url, "http://127.0.0.1:%u",
                   (unsigned)http_script_port(w->server));
    if (from == CREDENTIALS_FROM_WEB_IDENTITY) {
        (void)snprintf(w->plan.role, sizeof w->plan.role, "arn:aws:iam::1:role/a b");
        (void)snprintf(w->plan.token_file, sizeof w->plan.token_file, "%s", w->path);
        write_token(w, HUSH "TOKEN\n");
    } else if (from == CREDENTIALS_FROM_CONTAINER) {
        strcat(w->plan.url, "/keys?id=" HUSH);
        (void)snprintf(w->plan.bearer, sizeof w->plan.bearer, "Basic %s", HUSH "B");
    }
}

static status ask(struct world *w)
{
    struct credentials_doors doors = {.fs = fs_real(),
                                      .timings = w->hurry ? &SHORT : &LONG,
                                      .stop = &w->stop,
                                      .random = 0xabc,
                                      .now_s = TOLD_S};
    status st;

    memset(&w->err, 0, sizeof w->err);
    st = credentials_ask(&w->plan, &doors, &w->out, &w->err);
    assert_null(strstr(w->err.text, HUSH));
    if (st != ST_OK) {
        assert_string_equal(w->out.secret, "");
        assert_string_equal(w->out.token, "");
    }
    return st;
}

static void end(struct world *w)
{
    http_script_stop(w->server);
    (void)remove(w->path);
}

static void check_has(const char *text, const char *part)
{
    if (strcasestr(text, part) == NULL)
        fail_msg("no \"%s\" in:\n%s", part, text);
}

static void check_keys(const struct world *w)
{
    assert_string_equal(w->out.access, "AKID");
    assert_string_equal(w->out.secret, HUSH "1");
    assert_string_equal(w->out.token, HUSH "2");
    assert_int_equal(w->out.expires_s, END_S);
    assert_int_equal(w->out.told_s, TOLD_S);
}

static uint64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* The token's file is read each time: the second request has the second token. */
static void sts_gives_keys_for_a_web_identity(void **state)
{
    static const struct http_line fine = {.answer = HEAD("200 OK") STS_KEYS, .end = HTTP_CLOSE};
    struct world w;

    (void)state;
    begin(&w, CREDENTIALS_FROM_WEB_IDENTITY, &fine, 1);
    assert_int_equal(ask(&w), ST_OK);
    check_keys(&w);
    check_has(http_script_head(w.server, 0), "POST / HTTP/1.1\r\n");
    check_has(http_script_head(w.server, 0),
              "\r\nContent-Type: application/x-www-form-urlencoded\r\n");
    assert_null(strcasestr(http_script_head(w.server, 0), "\r\nAuthorization:"));
    assert_string_equal(http_script_body(w.server, 0),
                        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%"
                        "3Aiam%3A%3A1%3Arole%2Fa%20b&RoleSessionName=tiervec-0000000000000abc&"
                        "WebIdentityToken=" HUSH "TOKEN");
    write_token(&w, "  second.token \n");
    strcpy(w.plan.session, "mine");
    assert_int_equal(ask(&w), ST_OK);
    check_has(http_script_body(w.server, 1), "&RoleSessionName=mine&WebIdentityToken=second.token");
    /* What a person has to mend. */
    write_token(&w, " \n");
    assert_int_equal(ask(&w), ST_INVALID);
    check_has(w.err.text, "holds no token");
    (void)remove(w.path);
    assert_int_equal(ask(&w), ST_NOT_FOUND);
    check_has(w.err.text, w.path);
    w.plan.role[0] = '\0';
    assert_int_equal(ask(&w), ST_INVALID);
    check_has(w.err.text, "set AWS_ROLE_ARN");
    assert_int_equal(http_script_requests(w.server), 2);
    end(&w);
}

#define ROLE_KEYS                                                                                  \
    "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>AKID</AccessKeyId>"           \
    "<SecretAccessKey>" HUSH "1</SecretAccessKey><SessionToken>" HUSH "2</SessionToken>"           \
    "<Expiration>2026-11-21T12:00:00Z</Expiration></Credentials></AssumeRoleResult>"               \
    "</AssumeRoleResponse>"

/* The question is signed with the keys of the base, and its session token goes with it. That the
 * signature is right says a real STS (tests/conformance/test_s3_real.c). */
static void sts_gives_keys_for_a_role(void **state)
{
    static const struct http_line lines[] = {
        {.answer = HEAD("200 OK") ROLE_KEYS, .end = HTTP_CLOSE},
        {.answer = HEAD("200 OK") ROLE_KEYS, .end = HTTP_CLOSE},
        {.answer = HEAD("403 Forbidden") "<ErrorResponse><Error><Code>AccessDenied</Code></Error>"
                                         "</ErrorResponse>",
         .end = HTTP_CLOSE}};
    struct world w;

    (void)state;
    begin(&w, CREDENTIALS_FROM_ROLE, lines, COUNT_OF(lines));
    strcpy(w.plan.role, "arn:x");
    strcpy(w.plan.base.access, "BASE");
    strcpy(w.plan.base.secret, HUSH "3");
    strcpy(w.plan.region, "eu-1");
    assert_int_equal(ask(&w), ST_OK);
    check_keys(&w);
    check_has(http_script_head(w.server, 0), "POST / HTTP/1.1\r\n");
    check_has(http_script_head(w.server, 0),
              "\r\nAuthorization: AWS4-HMAC-SHA256 Credential=BASE/20261121/eu-1/sts/aws4_request");
    check_has(http_script_head(w.server, 0), "SignedHeaders=content-type;host;x-amz-date,");
    check_has(http_script_head(w.server, 0), "\r\nx-amz-date: 20261121T100000Z\r\n");
    assert_null(strcasestr(http_script_head(w.server, 0), "x-amz-security-token"));
    assert_string_equal(http_script_body(w.server, 0),
                        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Ax&"
                        "RoleSessionName=tiervec-0000000000000abc");
    strcpy(w.plan.base.token, HUSH "4");
    strcpy(w.plan.external_id, "e/1");
    strcpy(w.plan.duration_s, "900");
    assert_int_equal(ask(&w), ST_OK);
    check_has(http_script_head(w.server, 1),
              "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token,");
    check_has(http_script_head(w.server, 1), "\r\nx-amz-security-token: " HUSH "4\r\n");
    check_has(http_script_body(w.server, 1), "&ExternalId=e%2F1&DurationSeconds=900");
    assert_int_equal(ask(&w), ST_DENIED);
    check_has(w.err.text, "HTTP 403 AccessDenied");
    /* The base has to be asked first, and fails. */
    w.plan.base.from = CREDENTIALS_FROM_PROCESS;
    strcpy(w.plan.command, "false");
    assert_int_equal(ask(&w), ST_UNAVAILABLE);
    check_has(w.err.text, "the keys it is taken on with: ended with exit code 1");
    strcat(w.plan.url, "/deeper");
    w.plan.base.from = CREDENTIALS_FROM_NOWHERE;
    assert_int_equal(ask(&w), ST_INVALID);
    assert_int_equal(http_script_requests(w.server), 3);
    end(&w);
}

static void a_container_gives_keys(void **state)
{
    static const struct http_line fine = {.answer = HEAD("200 OK") JSON_KEYS, .end = HTTP_CLOSE};
    struct world w;

    (void)state;
    begin(&w, CREDENTIALS_FROM_CONTAINER, &fine, 1);
    assert_int_equal(ask(&w), ST_OK);
    check_keys(&w);
    check_has(http_script_head(w.server, 0), "GET /keys?id=" HUSH " HTTP/1.1\r\n");
    check_has(http_script_head(w.server, 0), "\r\nAuthorization: Basic " HUSH "B\r\n");
    write_token(&w, "first\n");
    strcpy(w.plan.token_file, w.path);
    assert_int_equal(ask(&w), ST_OK);
    check_has(http_script_head(w.server, 1), "\r\nAuthorization: first\r\n");
    write_token(&w, "second");
    assert_int_equal(ask(&w), ST_OK);
    check_has(http_script_head(w.server, 2), "\r\nAuthorization: second\r\n");
    write_token(&w, "a\r\nx: y");
    assert_int_equal(ask(&w), ST_INVALID);
    w.plan.token_file[0] = w.plan.bearer[0] = '\0';
    assert_int_equal(ask(&w), ST_OK);
    assert_null(strcasestr(http_script_head(w.server, 3), "\r\nAuthorization:"));
    end(&w);
}

/* A bearer in clear goes nowhere but to this machine and the addresses of containers. */
static void where_a_bearer_may_go(void **state)
{
    static const struct {
        const char *url;
        bool safe;
    } tries[] = {
        {"http://127.0.0.1/x", true},
        {"http://127.1.2.3:99/x", true},
        {"http://localhost:1338/latest", true},
        {"http://[::1]:80/", true},
        {"http://169.254.170.2/v2", true},
        {"http://169.254.170.23/v1/credentials", true},
        {"http://[fd00:ec2::23]/v1/credentials", true},
        {"https://example.com/keys", true},
        {"http://example.com/keys", false},
        {"http://169.254.169.254/", false},
        {"http://169.254.170.2.example.com/", false},
        {"http://127.0.0.1.example.com/", false},
        {"http://127.example.com/", false},
        {"http://localhost.example.com/", false},
        {"http://example.com#@127.0.0.1/", false},
        {"http://example.com\\@127.0.0.1/", false},
        {"http://0x7f.evil/", false},
        {"ftp://127.0.0.1/", false},
        {"file:///etc/passwd", false},
        {"127.0.0.1/x", true}, /* http is meant */
        {"", false},
    };
    struct world w;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(tries); i++)
        if (tries[i].url[0] != '1' && credentials_url_is_safe(tries[i].url) != tries[i].safe)
            fail_msg("%s", tries[i].url);
    begin(&w, CREDENTIALS_FROM_CONTAINER, &(struct http_line){0}, 1);
    strcpy(w.plan.url, "http://192.0.2.1/keys");
    assert_int_equal(ask(&w), ST_INVALID);
    check_has(w.err.text, "169.254.170.23");
    (void)snprintf(w.plan.url, sizeof w.plan.url, "http://" HUSH "@127.0.0.1:1/");
    assert_int_equal(ask(&w), ST_INVALID);
    end(&w);
}

static void an_instance_gives_keys_by_version_2(void **state)
{
    static const struct http_line lines[] = {
        {.answer = HEAD("200 OK") HUSH "IMDS", .end = HTTP_CLOSE},
        {.answer = HEAD("200 OK") "my-role\n", .end = HTTP_CLOSE},
        {.answer = HEAD("200 OK") JSON_KEYS, .end = HTTP_CLOSE}};
    struct world w;

    (void)state;
    begin(&w, CREDENTIALS_FROM_INSTANCE, lines, COUNT_OF(lines));
    assert_int_equal(ask(&w), ST_OK);
    check_keys(&w);
    check_has(http_script_head(w.server, 0), "PUT /latest/api/token HTTP/1.1\r\n");
    check_has(http_script_head(w.server, 0), "\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n");
    check_has(http_script_head(w.server, 0), "\r\nContent-Length: 0\r\n");
    check_has(http_script_head(w.server, 1),
              "GET /latest/meta-data/iam/security-credentials/ HTTP/1.1\r\n");
    check_has(http_script_head(w.server, 1), "\r\nx-aws-ec2-metadata-token: " HUSH "IMDS\r\n");
    check_has(http_script_head(w.server, 2),
              "GET /latest/meta-data/iam/security-credentials/my-role HTTP/1.1\r\n");
    check_has(http_script_head(w.server, 2), "\r\nx-aws-ec2-metadata-token: " HUSH "IMDS\r\n");
    end(&w);
}

static void an_instance_without_a_role_is_told(void **state)
{
    static const struct http_line none[] = {
        {.answer = HEAD("200 OK") HUSH "IMDS", .end = HTTP_CLOSE},
        {.answer = HEAD("404 Not Found") "<html>" HUSH "</html>", .end = HTTP_CLOSE}};
    static const struct http_line odd[] = {
        {.answer = HEAD("200 OK") HUSH "IMDS", .end = HTTP_CLOSE},
        {.answer = HEAD("200 OK") "../../x", .end = HTTP_CLOSE}};
    static const struct http_line only_1[] = {
        {.answer = HEAD("405 Method Not Allowed"), .end = HTTP_CLOSE}};
    struct world w;

    (void)state;
    begin(&w, CREDENTIALS_FROM_INSTANCE, none, COUNT_OF(none));
    assert_int_equal(ask(&w), ST_DENIED);
    check_has(w.err.text, "the role's name answered HTTP 404");
    assert_int_equal(http_script_requests(w.server), 2);
    end(&w);
    begin(&w, CREDENTIALS_FROM_INSTANCE, odd, COUNT_OF(odd));
    assert_int_equal(ask(&w), ST_CORRUPT);
    assert_int_equal(http_script_requests(w.server), 2);
    end(&w);
    begin(&w, CREDENTIALS_FROM_INSTANCE, only_1, COUNT_OF(only_1));
    assert_int_equal(ask(&w), ST_DENIED);
    check_has(w.err.text, "the token answered HTTP 405");
    assert_int_equal(http_script_requests(w.server), 1);
    end(&w);
}

/* The last of a provider's requests gets each of these. */
static void bad_answers_are_told(void **state)
{
    static const struct {
        struct http_line line;
        status wanted;
        const char *says;
    } tries[] = {
        {{.answer = HEAD("500 Oops") HUSH, .end = HTTP_CLOSE}, ST_UNAVAILABLE, "HTTP 500"},
        {{.answer = HEAD("503 Busy"), .end = HTTP_CLOSE}, ST_UNAVAILABLE, "HTTP 503"},
        {{.answer = HEAD("429 Slow") HUSH, .end = HTTP_CLOSE}, ST_UNAVAILABLE, "HTTP 429"},
        {{.answer = HEAD("403 No") STS_REFUSES, .end = HTTP_CLOSE}, ST_DENIED, "HTTP 403"},
        {{.answer = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/" HUSH
                    "\r\nContent-Length: 0\r\n\r\n",
          .end = HTTP_CLOSE},
         ST_DENIED,
         "redirects are not followed"},
        {{.answer = HEAD("200 OK") "<html>" HUSH, .end = HTTP_CLOSE}, ST_CORRUPT, "that"},
        {{.answer = HEAD("200 OK"), .end = HTTP_CLOSE}, ST_CORRUPT, ""},
        {{.answer = HEAD("200 OK") "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"" HUSH "\"}",
          .end = HTTP_CLOSE},
         ST_CORRUPT,
         ""},
        {{.answer = HEAD("200 OK"), .repeats = 1000000, .more = "endless ", .end = HTTP_CLOSE},
         ST_LIMIT,
         "more than 65536 bytes"},
        {{.answer = "HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nshort", .end = HTTP_CLOSE},
         ST_UNAVAILABLE,
         "no answer"},
        {{.answer = HEAD("200 OK") "dripping dripping dripping", .drip_ms = 200, .end = HTTP_CLOSE},
         ST_UNAVAILABLE,
         "no answer"},
        {{.answer = "SSH-2.0-OpenSSH_9.2\r\n", .end = HTTP_CLOSE}, ST_UNAVAILABLE, "no answer"},
        {{.end = HTTP_HANG}, ST_UNAVAILABLE, "no answer"},
        {{.end = HTTP_RESET}, ST_UNAVAILABLE, "no answer"},
    };
    static const enum credentials_from from[] = {
        CREDENTIALS_FROM_WEB_IDENTITY, CREDENTIALS_FROM_CONTAINER, CREDENTIALS_FROM_INSTANCE};
    struct world w;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(tries); i++)
        for (size_t f = 0; f < COUNT_OF(from); f++) {
            const struct http_line lines[] = {
                {.answer = HEAD("200 OK") HUSH "IMDS", .end = HTTP_CLOSE},
                {.answer = HEAD("200 OK") "role", .end = HTTP_CLOSE},
                tries[i].line};
            bool three = from[f] == CREDENTIALS_FROM_INSTANCE;

            begin(&w, from[f], three ? lines : lines + 2, three ? 3 : 1);
            w.hurry = tries[i].line.drip_ms > 0 || tries[i].line.end == HTTP_HANG;
            assert_int_equal(ask(&w), tries[i].wanted);
            check_has(w.err.text, tries[i].says);
            check_has(w.err.text, "http://127.0.0.1:");
            if (from[f] == CREDENTIALS_FROM_WEB_IDENTITY && i == 3)
                check_has(w.err.text, "InvalidIdentityToken: the token *** is not for us");
            end(&w);
        }
    begin(&w, CREDENTIALS_FROM_INSTANCE, &tries[0].line, 1);
    http_script_stop(w.server);
    assert_int_equal(ask(&w), ST_UNAVAILABLE);
    check_has(w.err.text, "no answer");
}

/* --- processes --- */

static status run(struct world *w, const char *command)
{
    w->plan.from = CREDENTIALS_FROM_PROCESS;
    (void)snprintf(w->plan.command, sizeof w->plan.command, "%s", command);
    return ask(w);
}

/* Prints what stands in a file: no quoting to get wrong. */
static status print(struct world *w, const char *text)
{
    char command[256];

    write_token(w, text);
    (void)snprintf(command, sizeof command, "cat '%s'", w->path);
    return run(w, command);
}

static void begin_process(struct world *w)
{
    memset(w, 0, sizeof *w);
    (void)snprintf(w->path, sizeof w->path, "/tmp/tiervec token-%d", (int)getpid());
}

#define PROCESS_KEYS                                                                               \
    "{\"Version\":1,\"AccessKeyId\":\"AKID\",\"SecretAccessKey\":\"" HUSH "1\","                   \
    "\"SessionToken\":\"" HUSH "2\",\"Expiration\":\"2026-11-21T12:00:00Z\"}"

static void a_process_gives_keys(void **state)
{
    struct world w;

    (void)state;
    begin_process(&w);
    assert_int_equal(print(&w, PROCESS_KEYS), ST_OK);
    assert_string_equal(w.out.access, "AKID");
    assert_string_equal(w.out.secret, HUSH "1");
    assert_string_equal(w.out.token, HUSH "2");
    assert_int_equal(w.out.expires_s, END_S);
    assert_int_equal(w.out.told_s, 0);
    /* There is no shell: what one would do is an argument. */
    assert_int_equal(run(&w, "true; echo x > /tmp/tiervec-no"), ST_UNAVAILABLE);
    assert_int_equal(access("/tmp/tiervec-no", F_OK), -1);
    (void)remove(w.path);
}

static void a_process_that_fails_is_told(void **state)
{
    static const struct {
        const char *command;
        status wanted;
        const char *says;
    } tries[] = {
        {"/nowhere/tiervec", ST_UNAVAILABLE, "cannot start /nowhere/tiervec: No such file"},
        {"false", ST_UNAVAILABLE, "exit code 1"},
        {"sh -c 'exit 77'", ST_UNAVAILABLE, "exit code 77"},
        {"sh -c 'kill -TERM $$'", ST_UNAVAILABLE, "signal 15"},
        {"sh -c 'echo no profile dev >&2; exit 3'", ST_UNAVAILABLE,
         "exit code 3; it said: no profile dev"},
        {"sh -c 'echo secret " HUSH " >&2; echo \"{\\\"SessionToken\\\": \\\"" HUSH
         "\\\"}\" >&2; exit 3'",
         ST_UNAVAILABLE, "it said: secret *** "},
        {"true", ST_CORRUPT, "no JSON"},
        {"echo '{\"Version\": 3}'", ST_CORRUPT, "\"Version\": 1"},
        {"echo " HUSH, ST_CORRUPT, "no JSON"},
        {"'unfinished", ST_INVALID, "not closed"},
        {"yes", ST_LIMIT, "printed more than 65536 bytes"},
        {"sh -c 'yes >&2'", ST_UNAVAILABLE, "took too long"},
        {"sleep 100", ST_UNAVAILABLE, "took too long"},
        {"sh -c 'sleep 100 & sleep 100'", ST_UNAVAILABLE, "took too long"},
        {"sh -c 'exec >&- 2>&-; sleep 100'", ST_UNAVAILABLE, "took too long"},
    };
    struct world w;

    (void)state;
    begin_process(&w);
    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        w.hurry = strcmp(tries[i].says, "took too long") == 0;
        assert_int_equal(run(&w, tries[i].command), tries[i].wanted);
        check_has(w.err.text, tries[i].says);
    }
}

/* What it prints on both outputs is known as a secret, though its error output does not call it
 * one. */
static void a_secret_on_the_error_output_is_covered(void **state)
{
    struct world w;
    char command[256];

    (void)state;
    begin_process(&w);
    write_token(&w, PROCESS_KEYS);
    (void)snprintf(command, sizeof command, "sh -c 'cat \"%s\"; echo debug: %s1, %s2 >&2; exit 1'",
                   w.path, HUSH, HUSH);
    assert_int_equal(run(&w, command), ST_UNAVAILABLE);
    check_has(w.err.text, "it said: debug: ***, ***");
    (void)remove(w.path);
}

/* Nothing of it stays: the whole group is killed. Its files are its own: of ours none is open. */
static void a_process_leaves_nothing_behind(void **state)
{
    struct world w;
    char command[256];
    char line[2048];
    struct buf text;
    long pid;
    int held = open("/dev/null", O_RDONLY); /* without O_CLOEXEC */

    (void)state;
    begin_process(&w);
    w.hurry = true;
    (void)snprintf(command, sizeof command, "sh -c 'sleep 100 & echo $! > \"%s\"; wait'", w.path);
    assert_int_equal(run(&w, command), ST_UNAVAILABLE);
    buf_init(&text, sizeof line - 1);
    assert_int_equal(fs_read_file(fs_real(), w.path, 64, &text, NULL), ST_OK);
    buf_put_u8(&text, 0);
    pid = strtol((const char *)text.data, NULL, 10);
    assert_true(pid > 1);
    (void)snprintf(command, sizeof command, "/proc/%ld/stat", pid);
    for (int i = 0;; i++) { /* gone, or dead and waiting for whoever adopted it */
        buf_reset(&text);
        if (fs_read_file(fs_real(), command, sizeof line - 1, &text, NULL) != ST_OK)
            break;
        memcpy(line, text.data, text.bytes);
        line[text.bytes] = '\0';
        if (strstr(line, ") Z ") != NULL)
            break;
        if (i == 6000)
            fail_msg("still there: %s", line);
        (void)usleep(10000);
    }
    buf_free(&text);
    w.hurry = false;
    assert_int_equal(run(&w, "sh -c 'ls /proc/self/fd | tr \"\\n\" \" \" >&2; exit 1'"),
                     ST_UNAVAILABLE);
    check_has(w.err.text, "it said: 0 1 2 3"); /* 3: the folder it lists */
    assert_null(strstr(w.err.text, "2 3 4"));
    (void)close(held);
    (void)remove(w.path);
}

/* Closing a store does not wait for a provider. */
static void a_stop_ends_it_soon(void **state)
{
    static const struct http_line hangs = {.end = HTTP_HANG};
    struct world w;
    uint64_t began;

    (void)state;
    begin(&w, CREDENTIALS_FROM_CONTAINER, &hangs, 1);
    began = now_ms();
    w.stop = true;
    assert_int_equal(ask(&w), ST_CLOSED);
    assert_int_equal(run(&w, "sleep 100"), ST_CLOSED);
    assert_true(now_ms() - began < 10000); /* of 40 s */
    end(&w);
}

static status process_once(void *arg)
{
    return ask(arg);
}

/* Nobody listens any more: a server of ours would meet the failing allocations too. What is read of
 * answers is swept in test_credentials_read. */
static status ask_nobody(void *arg)
{
    status st = ask(arg);

    return st == ST_UNAVAILABLE ? ST_OK : st;
}

static void each_allocation_may_fail(void **state)
{
    static const enum credentials_from from[] = {
        CREDENTIALS_FROM_ROLE, CREDENTIALS_FROM_WEB_IDENTITY, CREDENTIALS_FROM_CONTAINER,
        CREDENTIALS_FROM_INSTANCE};
    static const struct http_line any = {.end = HTTP_CLOSE};
    struct world w;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(from); i++) {
        begin(&w, from[i], &any, 1);
        http_script_stop(w.server);
        assert_true(alloc_sweep(ask_nobody, &w) >= 1);
        (void)remove(w.path);
    }
    begin_process(&w);
    assert_int_equal(print(&w, PROCESS_KEYS), ST_OK);
    assert_true(alloc_sweep(process_once, &w) >= 3);
    (void)remove(w.path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sts_gives_keys_for_a_web_identity),
        cmocka_unit_test(sts_gives_keys_for_a_role),
        cmocka_unit_test(a_container_gives_keys),
        cmocka_unit_test(where_a_bearer_may_go),
        cmocka_unit_test(an_instance_gives_keys_by_version_2),
        cmocka_unit_test(an_instance_without_a_role_is_told),
        cmocka_unit_test(bad_answers_are_told),
        cmocka_unit_test(a_process_gives_keys),
        cmocka_unit_test(a_process_that_fails_is_told),
        cmocka_unit_test(a_secret_on_the_error_output_is_covered),
        cmocka_unit_test(a_process_leaves_nothing_behind),
        cmocka_unit_test(a_stop_ends_it_soon),
        cmocka_unit_test(each_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
