#include "objstore/credentials.h"

#include "base/mem.h"
#include "objstore/credentials_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

extern char **environ;

enum { FILE_BYTES_MAX = 1024 * 1024 };

const char *credentials_env(char *const *env, const char *name)
{
    size_t bytes = strlen(name);

    for (char *const *at = env != NULL ? env : environ; *at != NULL; at++)
        if (strncmp(*at, name, bytes) == 0 && (*at)[bytes] == '=')
            return (*at)[bytes + 1] != '\0' ? *at + bytes + 1 : NULL;
    return NULL;
}

/* What one profile says in one file. */
struct profile {
    struct credentials *out;
    bool is_there;
    char access[CREDENTIALS_ACCESS_BYTES];
    char secret[CREDENTIALS_SECRET_BYTES];
    char token[CREDENTIALS_TOKEN_BYTES];
    char asks_for[64]; /* a key that this version does not follow */
    const char *fault;
};

/* The reasons why nothing was found, one behind the other. */
static void note(struct credentials *c, const char *format, ...) PRINTF_LIKE(2, 3);
static void note(struct credentials *c, const char *format, ...)
{
    size_t used = strlen(c->source);
    va_list args;

    if (used > 0 && used + 2 < sizeof c->source) {
        memcpy(c->source + used, ", ", 3);
        used += 2;
    }
    va_start(args, format);
    (void)vsnprintf(c->source + used, sizeof c->source - used, format, args);
    va_end(args);
}

/* False when it does not fit, or holds what cannot stand in a header. */
static bool take(char *out, size_t bytes_max, struct slice value)
{
    if (value.bytes >= bytes_max)
        return false;
    for (size_t i = 0; i < value.bytes; i++)
        if (value.data[i] <= 0x20 || value.data[i] > 0x7e)
            return false;
    memcpy(out, value.data, value.bytes);
    out[value.bytes] = '\0';
    return true;
}

static bool key_is(struct slice key, const char *name)
{
    return key.bytes == strlen(name) && strncasecmp((const char *)key.data, name, key.bytes) == 0;
}

/* What the environment said already stays. */
static bool take_if_empty(char *out, size_t bytes_max, struct slice value)
{
    return out[0] != '\0' || take(out, bytes_max, value);
}

static void on_key(void *arg, struct slice key, struct slice value)
{
    static const char *const others[] = {
        "role_arn",    "source_profile", "credential_process", "web_identity_token_file",
        "sso_session", "sso_start_url",  "credential_source"};
    struct profile *p = arg;
    struct credentials *c = p->out;

    if (key_is(key, "aws_access_key_id") && !take(p->access, sizeof p->access, value))
        p->fault = "an aws_access_key_id that is too long or holds blanks";
    else if (key_is(key, "aws_secret_access_key") && !take(p->secret, sizeof p->secret, value))
        p->fault = "an aws_secret_access_key that is too long or holds blanks";
    else if (key_is(key, "aws_session_token") && !take(p->token, sizeof p->token, value))
        p->fault = "an aws_session_token that is too long or holds blanks";
    else if (key_is(key, "region") && !take_if_empty(c->region, sizeof c->region, value))
        p->fault = "a region that is none";
    else if (key_is(key, "endpoint_url") && !take_if_empty(c->endpoint, sizeof c->endpoint, value))
        p->fault = "an endpoint_url that is none";
    else if (key_is(key, "ca_bundle"))
        (void)take_if_empty(c->ca_file, sizeof c->ca_file, value);
    for (size_t i = 0; i < COUNT_OF(others); i++)
        if (key_is(key, others[i]) && p->asks_for[0] == '\0')
            (void)snprintf(p->asks_for, sizeof p->asks_for, "%s", others[i]);
}

/* "~/x" is x in the home directory. */
static bool path_of(char *const *env, const char *given, const char *in_home,
                    char out[FS_PATH_BYTES])
{
    const char *home = credentials_env(env, "HOME");
    int written;

    if (given == NULL && home == NULL)
        return false;
    if (given == NULL)
        written = snprintf(out, FS_PATH_BYTES, "%s/%s", home, in_home);
    else if (strncmp(given, "~/", 2) == 0 && home != NULL)
        written = snprintf(out, FS_PATH_BYTES, "%s/%s", home, given + 2);
    else
        written = snprintf(out, FS_PATH_BYTES, "%s", given);
    return written > 0 && written < FS_PATH_BYTES;
}

static void settle(struct profile *p, const char *name, const char *path)
{
    struct credentials *c = p->out;

    if (p->fault != NULL)
        note(c, "profile %.60s of %.200s has %s", name, path, p->fault);
    else if (p->access[0] != '\0' && p->secret[0] != '\0') {
        c->found = true;
        memcpy(c->access, p->access, sizeof c->access);
        memcpy(c->secret, p->secret, sizeof c->secret);
        memcpy(c->token, p->token, sizeof c->token);
        (void)snprintf(c->source, sizeof c->source, "profile %.60s of %.300s", name, path);
    } else if (p->access[0] != '\0' || p->secret[0] != '\0')
        note(c, "profile %.60s of %.200s (has %s alone)", name, path,
             p->access[0] != '\0' ? "aws_access_key_id" : "aws_secret_access_key");
    else if (p->asks_for[0] != '\0')
        note(c, "profile %.60s of %.200s (asks for %s, which this version does not do)", name, path,
             p->asks_for);
    else
        note(c,
             p->is_there ? "profile %.60s of %.200s (has no keys)"
                         : "profile %.60s of %.200s (not there)",
             name, path);
}

static status load_file(struct credentials *c, struct fs *fs, const char *path, const char *name,
                        bool config, struct err *err)
{
    struct profile *p = mem_zero(sizeof *p);
    struct err why = {0};
    struct buf text;
    status st;

    if (p == NULL)
        return err_set(err, ST_NOMEM, "no memory to read %s", path);
    p->out = c;
    buf_init(&text, FILE_BYTES_MAX);
    st = fs_read_file(fs, path, FILE_BYTES_MAX, &text, &why);
    if (st == ST_NOMEM) {
        (void)err_set(err, st, "%s", why.text);
    } else if (st != ST_OK) {
        if (!c->found)
            note(c, st == ST_NOT_FOUND ? "%.200s (no such file)" : "%.200s (cannot be read)", path);
        st = ST_OK;
    } else {
        bool found = c->found;

        p->is_there = profile_read(buf_slice(&text), name, config, on_key, p);
        if (!found)
            settle(p, name, path);
        if (text.data != NULL)
            explicit_bzero(text.data, text.bytes);
    }
    explicit_bzero(p, sizeof *p);
    mem_free(p);
    buf_free(&text);
    return st;
}

static void load_env_keys(struct credentials *c, char *const *env)
{
    const char *access = credentials_env(env, "AWS_ACCESS_KEY_ID");
    const char *secret = credentials_env(env, "AWS_SECRET_ACCESS_KEY");
    const char *token = credentials_env(env, "AWS_SESSION_TOKEN");

    if (token == NULL)
        token = credentials_env(env, "AWS_SECURITY_TOKEN");
    if (access == NULL && secret == NULL) {
        note(c, "the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY not set)");
        if (credentials_env(env, "AWS_WEB_IDENTITY_TOKEN_FILE") != NULL)
            note(c, "AWS_WEB_IDENTITY_TOKEN_FILE is set, which this version does not do");
    } else if (access == NULL || secret == NULL) {
        note(c, "the environment (%s is set, %s is not)",
             access != NULL ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
             access != NULL ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
    } else if (!take(c->access, sizeof c->access, slice_text(access)) ||
               !take(c->secret, sizeof c->secret, slice_text(secret)) ||
               (token != NULL && !take(c->token, sizeof c->token, slice_text(token)))) {
        note(c, "the environment (keys that are too long or hold blanks)");
    } else {
        c->found = true;
        (void)snprintf(c->source, sizeof c->source, "the environment (AWS_ACCESS_KEY_ID)");
    }
}

static void load_env_rest(struct credentials *c, char *const *env)
{
    static const char *const regions[] = {"AWS_REGION", "AWS_DEFAULT_REGION"};
    static const char *const endpoints[] = {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"};
    const char *ca = credentials_env(env, "AWS_CA_BUNDLE");

    for (size_t i = 0; i < COUNT_OF(regions); i++)
        if (credentials_env(env, regions[i]) != NULL)
            (void)take_if_empty(c->region, sizeof c->region,
                                slice_text(credentials_env(env, regions[i])));
    for (size_t i = 0; i < COUNT_OF(endpoints); i++)
        if (credentials_env(env, endpoints[i]) != NULL)
            (void)take_if_empty(c->endpoint, sizeof c->endpoint,
                                slice_text(credentials_env(env, endpoints[i])));
    if (ca != NULL)
        (void)snprintf(c->ca_file, sizeof c->ca_file, "%s", ca);
}

status credentials_load(char *const *env, struct fs *fs, struct credentials *out, struct err *err)
{
    const char *name = credentials_env(env, "AWS_PROFILE");
    const char *ignore = credentials_env(env, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    char path[FS_PATH_BYTES];
    status st = ST_OK;

    memset(out, 0, sizeof *out);
    if (name == NULL)
        name = credentials_env(env, "AWS_DEFAULT_PROFILE");
    if (name == NULL)
        name = "default";
    load_env_keys(out, env);
    load_env_rest(out, env);
    if (path_of(env, credentials_env(env, "AWS_SHARED_CREDENTIALS_FILE"), ".aws/credentials", path))
        st = load_file(out, fs, path, name, false, err);
    if (st == ST_OK && path_of(env, credentials_env(env, "AWS_CONFIG_FILE"), ".aws/config", path))
        st = load_file(out, fs, path, name, true, err);
    if (ignore != NULL && strcasecmp(ignore, "true") == 0)
        out->endpoint[0] = '\0';
    return st;
}

void credentials_wipe(struct credentials *c)
{
    explicit_bzero(c->access, sizeof c->access);
    explicit_bzero(c->secret, sizeof c->secret);
    explicit_bzero(c->token, sizeof c->token);
    c->found = false;
}
