#include "objstore/credentials_ask.h"

#include "base/mem.h"
#include "objstore/credentials_http.h"
#include "objstore/credentials_process.h"
#include "objstore/credentials_read.h"
#include "objstore/s3_xml.h"
#include "objstore/sigv4.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    ROLE_NAME_BYTES = 129,
    IMDS_TOKEN_BYTES = 1024,
    HEADER_BYTES = 32,
    FORM_BYTES_MAX = 128 * 1024,
};
#define WEB_ACTION  "AssumeRoleWithWebIdentity"
#define ROLE_ACTION "AssumeRole"

const struct credentials_timings CREDENTIALS_TIMINGS = {
    .instance_ms = 1000, .container_ms = 2000, .sts_ms = 10000, .process_ms = 60000};

static struct slice trim(struct slice s)
{
    while (s.bytes > 0 && s.data[s.bytes - 1] <= ' ')
        s.bytes--;
    while (s.bytes > 0 && s.data[0] <= ' ')
        s = slice_make(s.data + 1, s.bytes - 1);
    return s;
}

/* Of a URL what may be shown: no query. */
struct place {
    char text[160];
};
static struct place place_of(const char *url)
{
    struct place p;

    (void)snprintf(p.text, sizeof p.text, "%.*s", (int)strcspn(url, "?#"), url);
    return p;
}

/* What can be the value of a header. */
static bool take_bearer(char *out, struct slice value)
{
    for (size_t i = 0; i < value.bytes; i++)
        if (value.data[i] < 0x20 || value.data[i] > 0x7e)
            return false;
    if (value.bytes >= CREDENTIALS_BEARER_BYTES)
        return false;
    memcpy(out, value.data, value.bytes);
    out[value.bytes] = '\0';
    return true;
}

/* Read each time: it rotates. */
static status read_bearer(struct fs *fs, const char *path, char out[CREDENTIALS_BEARER_BYTES],
                          struct err *err)
{
    struct buf text;
    status st;

    buf_init(&text, CREDENTIALS_BEARER_BYTES);
    st = fs_read_file(fs, path, CREDENTIALS_BEARER_BYTES, &text, err);
    if (st == ST_OK &&
        (trim(buf_slice(&text)).bytes == 0 || !take_bearer(out, trim(buf_slice(&text)))))
        st = err_set(err, ST_INVALID, "%.200s holds no token", path);
    if (text.data != NULL)
        explicit_bzero(text.data, text.capacity);
    buf_free(&text);
    return st;
}

/* An answer that is no success, in words: its code and message where it is S3's kind of XML. */
static status refuse(const char *what, const struct credentials_answer *a, const char *secret,
                     struct err *err)
{
    char code[64] = "";
    char message[S3_XML_TEXT_BYTES_MAX] = "";
    char shown[160];
    const struct s3_xml_field fields[] = {
        {"ErrorResponse/Error/Code", code, sizeof code},
        {"ErrorResponse/Error/Message", message, sizeof message},
    };
    status st = a->http_status >= 500 || a->http_status == 429 ? ST_UNAVAILABLE : ST_DENIED;

    if (s3_xml_fields(buf_slice(&a->body), fields, COUNT_OF(fields), NULL) != ST_OK)
        code[0] = message[0] = '\0';
    credentials_show(shown, sizeof shown, slice_text(message), &secret, 1);
    credentials_show(code, sizeof code, slice_text(code), &secret, 1);
    return err_set(
        err, st, "%.150s answered HTTP %d%s%s%s%s%s", what, a->http_status,
        code[0] != '\0' ? " " : "", code, shown[0] != '\0' ? ": " : "", shown,
        a->http_status >= 300 && a->http_status < 400 ? ", and redirects are not followed" : "");
}

/* --- web identity --- */

static void put_field(struct buf *b, const char *name, const char *value)
{
    if (b->bytes > 0)
        buf_put_u8(b, '&');
    buf_put_text(b, name);
    buf_put_u8(b, '=');
    sigv4_escape(b, value);
}

/* headers: NULL-terminated. known: a secret that the answer might repeat. */
static status ask_sts(const struct credentials_plan *plan, const struct credentials_doors *doors,
                      const char *action, const char *const *headers, struct slice form,
                      const char *known, struct credentials *out, struct err *err)
{
    struct credentials_question q = {.method = "POST",
                                     .url = plan->url,
                                     .headers = headers,
                                     .body = form,
                                     .timeout_ms = doors->timings->sts_ms,
                                     .ca_file = doors->ca_file};
    struct credentials_answer a;
    status st = credentials_http(&q, doors->stop, &a, err);

    if (st != ST_OK)
        return err_wrap(err, st, "STS at %s", place_of(plan->url).text);
    if (a.http_status != 200)
        st = refuse(place_of(plan->url).text, &a, known, err);
    else
        st = credentials_read_sts(buf_slice(&a.body), action, out, err);
    if (st != ST_OK && a.http_status == 200)
        st = err_wrap(err, st, "STS at %s", place_of(plan->url).text);
    out->told_s = a.date_s;
    credentials_answer_fini(&a);
    return st;
}

/* What every question to STS says. */
static void put_form(struct buf *form, const char *action, const struct credentials_plan *plan,
                     uint64_t random)
{
    char session[CREDENTIALS_SESSION_BYTES];

    (void)snprintf(session, sizeof session, "tiervec-%016" PRIx64, random);
    put_field(form, "Action", action);
    put_field(form, "Version", "2011-06-15");
    put_field(form, "RoleArn", plan->role);
    put_field(form, "RoleSessionName", plan->session[0] != '\0' ? plan->session : session);
}

static void free_form(struct buf *form)
{
    if (form->data != NULL)
        explicit_bzero(form->data, form->capacity);
    buf_free(form);
}

static status ask_web_identity(const struct credentials_plan *plan,
                               const struct credentials_doors *doors, char *room,
                               struct credentials *out, struct err *err)
{
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded", NULL};
    struct buf form;
    status st;

    if (plan->role[0] == '\0')
        return err_set(err, ST_INVALID,
                       "no role to take on: set AWS_ROLE_ARN, or role_arn of the profile");
    st = read_bearer(doors->fs, plan->token_file, room, err);
    if (st != ST_OK)
        return err_wrap(err, st, "the token file");
    buf_init(&form, FORM_BYTES_MAX);
    put_form(&form, WEB_ACTION, plan, doors->random);
    put_field(&form, "WebIdentityToken", room);
    st = buf_status(&form, err);
    if (st == ST_OK)
        st = ask_sts(plan, doors, WEB_ACTION, headers, buf_slice(&form), room, out, err);
    free_form(&form);
    return st;
}

/* --- a role --- */

/* Signed with the base's keys, as any request to AWS is. */
static status sign(const struct credentials_plan *plan, const struct credentials *base,
                   const char *host, struct slice form, const char *time, struct buf *out,
                   struct err *err)
{
    char hash[CRYPTO_SHA256_HEX_BYTES];
    struct sigv4_pair headers[4] = {
        {"content-type", "application/x-www-form-urlencoded"},
        {"host", host},
        {"x-amz-date", time},
        {"x-amz-security-token", base->token},
    };
    const struct sigv4_request r = {.method = "POST",
                                    .path = "/",
                                    .headers = headers,
                                    .header_count = base->token[0] != '\0' ? 4 : 3,
                                    .payload_hash = hash,
                                    .time = time,
                                    .region = plan->region[0] != '\0' ? plan->region : "us-east-1",
                                    .service = "sts"};
    const struct sigv4_keys keys = {base->access, base->secret, base->token};
    status st = crypto_sha256_hex(form, hash, err);

    return st == ST_OK ? sigv4_sign(&r, &keys, out, err) : st;
}

static status ask_signed(const struct credentials_plan *plan, const struct credentials_doors *doors,
                         const struct credentials *base, struct slice form, struct buf *text,
                         struct credentials *out, struct err *err)
{
    char date[SIGV4_TIME_BYTES + HEADER_BYTES] = "x-amz-date: ";
    char host[CREDENTIALS_HOST_BYTES + HEADER_BYTES] = "Host: ";
    const char *headers[6] = {"Content-Type: application/x-www-form-urlencoded", host, date};
    char *time = date + strlen(date);
    size_t token_at;
    status st;

    if (!credentials_url_host(plan->url, host + strlen(host)))
        return err_set(err, ST_INVALID, "the endpoint of STS is none: http or https, and a host");
    sigv4_time(doors->now_s, time);
    buf_put_text(text, "Authorization: ");
    st = sign(plan, base, host + strlen("Host: "), form, time, text, err);
    if (st != ST_OK)
        return st;
    buf_put_u8(text, 0);
    token_at = text->bytes;
    buf_printf(text, "x-amz-security-token: %s", base->token);
    buf_put_u8(text, 0);
    st = buf_status(text, err);
    if (st != ST_OK)
        return st;
    headers[3] = (const char *)text->data;
    headers[4] = base->token[0] != '\0' ? (const char *)text->data + token_at : NULL;
    return ask_sts(plan, doors, ROLE_ACTION, headers, form, base->token, out, err);
}

/* The keys that sign, where they are not in the plan. */
static status ask_base(const struct credentials_plan *plan, const struct credentials_doors *doors,
                       struct credentials *base, struct err *err)
{
    struct credentials_plan *other;
    status st;

    if (plan->base.from == CREDENTIALS_FROM_NOWHERE) {
        memcpy(base->access, plan->base.access, sizeof base->access);
        memcpy(base->secret, plan->base.secret, sizeof base->secret);
        memcpy(base->token, plan->base.token, sizeof base->token);
        return ST_OK;
    }
    other = mem_alloc(sizeof *other);
    if (other == NULL)
        return err_set(err, ST_NOMEM, "no memory to ask for credentials");
    *other = *plan;
    other->from = plan->base.from;
    memcpy(other->url, plan->base.url, sizeof other->url);
    st = credentials_ask(other, doors, base, err);
    explicit_bzero(other, sizeof *other);
    mem_free(other);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "the keys it is taken on with");
}

static status ask_role(const struct credentials_plan *plan, const struct credentials_doors *doors,
                       struct credentials *out, struct err *err)
{
    struct credentials *base = mem_zero(sizeof *base);
    struct buf form;
    struct buf text;
    status st;

    if (base == NULL)
        return err_set(err, ST_NOMEM, "no memory to ask for credentials");
    buf_init(&form, FORM_BYTES_MAX);
    buf_init(&text, FORM_BYTES_MAX);
    put_form(&form, ROLE_ACTION, plan, doors->random);
    if (plan->external_id[0] != '\0')
        put_field(&form, "ExternalId", plan->external_id);
    if (plan->duration_s[0] != '\0')
        put_field(&form, "DurationSeconds", plan->duration_s);
    st = buf_status(&form, err);
    if (st == ST_OK)
        st = ask_base(plan, doors, base, err);
    if (st == ST_OK)
        st = ask_signed(plan, doors, base, buf_slice(&form), &text, out, err);
    credentials_wipe(base);
    mem_free(base);
    free_form(&form);
    free_form(&text);
    return st;
}

/* --- a container --- */

static status ask_container(const struct credentials_plan *plan,
                            const struct credentials_doors *doors, char *room,
                            struct credentials *out, struct err *err)
{
    static const char name[] = "Authorization: ";
    const char *headers[] = {NULL, NULL};
    char *token = room + sizeof name - 1;
    struct credentials_question q = {.method = "GET",
                                     .url = plan->url,
                                     .headers = headers,
                                     .timeout_ms = doors->timings->container_ms,
                                     .local = true,
                                     .ca_file = doors->ca_file};
    struct credentials_answer a;
    status st = ST_OK;

    if (!credentials_url_is_safe(plan->url))
        return err_set(err, ST_INVALID,
                       "\"%s\" is not asked: https, or http to this machine, 169.254.170.2, "
                       "169.254.170.23 or [fd00:ec2::23]",
                       place_of(plan->url).text);
    memcpy(room, name, sizeof name);
    if (plan->token_file[0] != '\0')
        st = read_bearer(doors->fs, plan->token_file, token, err);
    else if (!take_bearer(token, slice_text(plan->bearer)))
        st = err_set(err, ST_INVALID, "AWS_CONTAINER_AUTHORIZATION_TOKEN cannot be sent");
    if (st != ST_OK)
        return err_wrap(err, st, "the authorization");
    headers[0] = token[0] != '\0' ? room : NULL;
    st = credentials_http(&q, doors->stop, &a, err);
    if (st != ST_OK)
        return err_wrap(err, st, "%s", place_of(plan->url).text);
    if (a.http_status != 200)
        st = refuse(place_of(plan->url).text, &a, token, err);
    else
        st = credentials_read_json(buf_slice(&a.body), false, out, err);
    if (st != ST_OK && a.http_status == 200)
        st = err_wrap(err, st, "%s", place_of(plan->url).text);
    out->told_s = a.date_s;
    credentials_answer_fini(&a);
    return st;
}

/* --- an instance --- */

/* One step of IMDSv2, its answer as one word. */
static status ask_word(const struct credentials_question *q, const struct credentials_doors *doors,
                       const char *what, char *out, size_t bytes_max, struct err *err)
{
    struct credentials_answer a;
    struct slice word;
    const uint8_t *end;
    status st = credentials_http(q, doors->stop, &a, err);

    if (st != ST_OK)
        return st;
    word = trim(buf_slice(&a.body));
    end = word.bytes > 0 ? memchr(word.data, '\n', word.bytes) : NULL;
    if (end != NULL)
        word = trim(slice_make(word.data, (size_t)(end - word.data)));
    if (a.http_status != 200)
        st = refuse(what, &a, NULL, err);
    else if (word.bytes == 0 || !credentials_take(out, bytes_max, word))
        st = err_set(err, ST_CORRUPT, "%s is none", what);
    credentials_answer_fini(&a);
    return st;
}

static bool is_role_name(const char *name)
{
    return name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                             "+=,.@_-")] == '\0' &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static status ask_keys_of_role(const struct credentials_question *q,
                               const struct credentials_doors *doors, struct credentials *out,
                               struct err *err)
{
    struct credentials_answer a;
    status st = credentials_http(q, doors->stop, &a, err);

    if (st != ST_OK)
        return st;
    if (a.http_status != 200)
        st = refuse("the role's keys", &a, NULL, err);
    else
        st = credentials_read_json(buf_slice(&a.body), false, out, err);
    out->told_s = a.date_s;
    credentials_answer_fini(&a);
    return st;
}

static status ask_instance(const struct credentials_plan *plan,
                           const struct credentials_doors *doors, struct credentials *out,
                           struct err *err)
{
    static const char *const ttl[] = {"x-aws-ec2-metadata-token-ttl-seconds: 21600", NULL};
    static const char path[] = "latest/meta-data/iam/security-credentials/";
    char token[IMDS_TOKEN_BYTES + HEADER_BYTES] = "x-aws-ec2-metadata-token: ";
    const char *const with_token[] = {token, NULL};
    const char *slash = plan->url[0] != '\0' && plan->url[strlen(plan->url) - 1] == '/' ? "" : "/";
    char role[ROLE_NAME_BYTES];
    char url[CREDENTIALS_URL_BYTES + 256];
    struct credentials_question q = {.method = "PUT",
                                     .url = url,
                                     .headers = ttl,
                                     .timeout_ms = doors->timings->instance_ms,
                                     .local = true};
    status st;

    (void)snprintf(url, sizeof url, "%s%slatest/api/token", plan->url, slash);
    st = ask_word(&q, doors, "the token", token + strlen(token), IMDS_TOKEN_BYTES, err);
    if (st == ST_OK) {
        q.method = "GET";
        q.headers = with_token;
        (void)snprintf(url, sizeof url, "%s%s%s", plan->url, slash, path);
        st = ask_word(&q, doors, "the role's name", role, sizeof role, err);
    }
    if (st == ST_OK && !is_role_name(role))
        st = err_set(err, ST_CORRUPT, "the role's name is none");
    if (st == ST_OK) {
        (void)snprintf(url, sizeof url, "%s%s%s%s", plan->url, slash, path, role);
        st = ask_keys_of_role(&q, doors, out, err);
    }
    explicit_bzero(token, sizeof token);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "%s", place_of(plan->url).text);
}

status credentials_ask(const struct credentials_plan *plan, const struct credentials_doors *doors,
                       struct credentials *out, struct err *err)
{
    enum { ROOM_BYTES = CREDENTIALS_BEARER_BYTES + HEADER_BYTES };
    char *room = mem_alloc(ROOM_BYTES);
    status st = ST_NOT_FOUND;

    credentials_wipe(out);
    out->told_s = out->expires_s = 0;
    if (room == NULL)
        return err_set(err, ST_NOMEM, "no memory to ask for credentials");
    if (strchr(plan->url, '@') != NULL) {
        mem_free(room);
        return err_set(err, ST_INVALID, "a URL with a user's name in it is not asked");
    }
    switch (plan->from) {
    case CREDENTIALS_FROM_ROLE:
        st = ask_role(plan, doors, out, err);
        break;
    case CREDENTIALS_FROM_WEB_IDENTITY:
        st = ask_web_identity(plan, doors, room, out, err);
        break;
    case CREDENTIALS_FROM_PROCESS:
        st = credentials_process(plan->command, doors->env, doors->timings->process_ms, doors->stop,
                                 out, err);
        break;
    case CREDENTIALS_FROM_CONTAINER:
        st = ask_container(plan, doors, room, out, err);
        break;
    case CREDENTIALS_FROM_INSTANCE:
        st = ask_instance(plan, doors, out, err);
        break;
    case CREDENTIALS_FROM_NOWHERE:
    case CREDENTIALS_FROM_ENVIRONMENT:
    case CREDENTIALS_FROM_SHARED_FILE:
    case CREDENTIALS_FROM_CONFIG_FILE:
        st = err_set(err, ST_NOT_FOUND, "nobody to ask");
        break;
    }
    explicit_bzero(room, ROOM_BYTES);
    mem_free(room);
    return st;
}
