#include "cli/remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void remote_close(struct remote *r)
{
    http_line_close(&r->line);
    http_answer_free(&r->answer);
    jdoc_destroy(r->doc);
    r->doc = NULL;
}

const char *remote_url(const struct remote *r)
{
    const char *env = getenv("TIERVEC_URL");

    if (r->url != NULL)
        return r->url;
    return env != NULL && env[0] != '\0' ? env : "http://127.0.0.1:8080";
}

/* --- members --- */

struct slice remote_text(struct jval v, const char *name)
{
    struct jval member;

    if (!jval_member(v, name, &member) || jval_type(member) != J_STRING)
        return slice_text("");
    return jval_string(member);
}

uint64_t remote_u64(struct jval v, const char *name)
{
    struct jval member;
    uint64_t n = 0;

    return jval_member(v, name, &member) && jval_u64(member, &n) ? n : 0;
}

double remote_f64(struct jval v, const char *name)
{
    struct jval member;
    double n = 0;

    return jval_member(v, name, &member) && jval_f64(member, &n) ? n : 0;
}

bool remote_bool(struct jval v, const char *name)
{
    struct jval member;

    return jval_member(v, name, &member) && jval_type(member) == J_TRUE;
}

void remote_path(struct buf *out, const char *before, const char *name, const char *behind)
{
    buf_put_text(out, before);
    http_put_encoded(out, name);
    buf_put_text(out, behind);
    buf_put_u8(out, 0);
}

/* --- asking --- */

static int exit_of(int http_status, const char *code)
{
    if (http_status == 404)
        return CLI_NOT_FOUND;
    if (http_status == 409)
        return CLI_CONFLICT;
    if (strcmp(code, "corrupt") == 0)
        return CLI_INTEGRITY;
    return http_status == 503 ? CLI_UNREACHABLE : CLI_FAILED;
}

static int problem(struct remote *r, const char *what, const struct jval *root)
{
    char why[1024];
    char hint[512] = "";
    struct slice detail = {0};

    r->code[0] = '\0';
    if (root != NULL) {
        struct slice code = remote_text(*root, "code");
        struct slice try = remote_text(*root, "hint");

        detail = remote_text(*root, "detail");
        (void)snprintf(r->code, sizeof r->code, "%.*s", (int)code.bytes, (const char *)code.data);
        (void)snprintf(hint, sizeof hint, "%.*s", (int)try.bytes, (const char *)try.data);
    }
    if (detail.bytes > 0)
        (void)snprintf(why, sizeof why, "%.*s", (int)detail.bytes, (const char *)detail.data);
    else
        (void)snprintf(why, sizeof why, "the answer was %d", r->answer.status);
    return cli_error(exit_of(r->answer.status, r->code), what, why,
                     hint[0] == '\0' ? "tiervec status" : hint);
}

/* *parsed: the body is JSON. */
static int parse(struct remote *r, const char *what, struct jval *root, bool *parsed)
{
    struct err err;

    *parsed = strstr(r->answer.content_type, "json") != NULL &&
              strstr(r->answer.content_type, "ndjson") == NULL;
    if (!*parsed)
        return CLI_OK;
    if (r->doc == NULL && jdoc_create(&r->doc, &err) != ST_OK)
        return cli_error(CLI_FAILED, what, err.text, NULL);
    if (jdoc_parse(r->doc, buf_slice(&r->answer.body), root, &err) != ST_OK)
        return cli_error(CLI_FAILED, what, err.text, "--url of a tiervec node");
    return CLI_OK;
}

static status ask_once(struct remote *r, const char *method, const char *path, struct slice body,
                       struct err *err)
{
    http_answer_free(&r->answer);
    if (r->keeps)
        return http_line_ask(&r->line, remote_url(r), method, path, r->header, body, &r->answer,
                             err);
    return http_ask_with(remote_url(r), method, path, r->header, body, &r->answer, err);
}

/* Again while there is patience: a node that starts anew, or waits for its bucket. */
static status ask_patiently(struct remote *r, const char *method, const char *path,
                            struct slice body, struct err *err)
{
    uint32_t waited_s = 0;
    uint32_t wait_s = 1;
    status st;

    for (;;) {
        st = ask_once(r, method, path, body, err);
        if (st != ST_UNAVAILABLE &&
            (st != ST_OK || (r->answer.status != 429 && r->answer.status != 503)))
            return st;
        if (st == ST_OK && r->answer.retry_after_s > wait_s)
            wait_s = r->answer.retry_after_s;
        if (waited_s + wait_s > r->patience_s)
            return st;
        (void)sleep(wait_s);
        waited_s += wait_s;
        wait_s = wait_s < 8 ? 2 * wait_s : 8;
        r->retries++;
    }
}

int remote_refused(struct remote *r, const char *what, struct jval root)
{
    if (r->json)
        (void)cli_write(&r->answer.body);
    return problem(r, what, &root);
}

int remote_ask_or(struct remote *r, const char *what, const char *method, const char *path,
                  const struct buf *body, int also, struct jval *root)
{
    struct slice bytes = body == NULL ? (struct slice){0} : buf_slice(body);
    bool parsed = false;
    struct jval v = {0};
    struct err err;
    status st;
    int code;

    if (body != NULL && body->failed)
        return cli_error(CLI_FAILED, what, "out of memory", NULL);
    st = ask_patiently(r, method, path, bytes, &err);
    if (st != ST_OK)
        return cli_error(st == ST_INVALID ? CLI_USAGE : CLI_UNREACHABLE, what, err.text,
                         "--url or TIERVEC_URL; `tiervec serve` runs a node");
    code = parse(r, what, &v, &parsed);
    if (code != CLI_OK)
        return code;
    if (also == REMOTE_WHATEVER) {
        *root = v;
        return CLI_OK;
    }
    if ((r->answer.status >= 200 && r->answer.status < 300) || r->answer.status == also ||
        (also == REMOTE_ANY && parsed)) {
        if (!parsed && strcmp(r->answer.content_type, "application/x-ndjson") != 0)
            return cli_error(CLI_FAILED, what, "who answers there is no tiervec node",
                             "--url of a tiervec node");
        *root = v;
        return CLI_OK;
    }
    return parsed ? remote_refused(r, what, v) : problem(r, what, NULL);
}

int remote_ask(struct remote *r, const char *what, const char *method, const char *path,
               const struct buf *body, struct jval *root)
{
    return remote_ask_or(r, what, method, path, body, 0, root);
}

bool remote_printed(const struct remote *r, int *code)
{
    *code = CLI_OK;
    if (!r->quiet && r->json)
        *code = cli_write(&r->answer.body);
    return r->quiet || r->json;
}
