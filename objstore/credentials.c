#include "objstore/credentials.h"

#include "base/mem.h"
#include "objstore/credentials_file.h"
#include "objstore/credentials_internal.h"
#include "objstore/credentials_read.h"

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

void credentials_note(struct credentials *c, const char *format, ...)
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

bool credentials_plain(struct slice value)
{
    for (size_t i = 0; i < value.bytes; i++)
        if (value.data[i] <= 0x20 || value.data[i] > 0x7e)
            return false;
    return true;
}

bool credentials_take(char *out, size_t bytes_max, struct slice value)
{
    if (value.bytes >= bytes_max || !credentials_plain(value))
        return false;
    memcpy(out, value.data, value.bytes);
    out[value.bytes] = '\0';
    return true;
}

/* A path or a command: blanks and what is beyond ASCII too. */
static bool take_line(char *out, size_t bytes_max, struct slice value)
{
    if (value.bytes >= bytes_max)
        return false;
    for (size_t i = 0; i < value.bytes; i++)
        if (value.data[i] < 0x20 || value.data[i] == 0x7f)
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
    return out[0] != '\0' || credentials_take(out, bytes_max, value);
}

static void on_key(void *arg, struct slice key, struct slice value)
{
    static const char *const others[] = {"mfa_serial", "sso_session", "sso_start_url",
                                         "login_session"};
    struct credentials_profile *p = arg;
    struct credentials *c = p->out;
    const struct {
        const char *name;
        char *out;
        size_t bytes_max;
        bool line;
        const char *fault;
    } known[] = {
        {"aws_access_key_id", p->access, sizeof p->access, false,
         "an aws_access_key_id that is too long or holds blanks"},
        {"aws_secret_access_key", p->secret, sizeof p->secret, false,
         "an aws_secret_access_key that is too long or holds blanks"},
        {"aws_session_token", p->token, sizeof p->token, false,
         "an aws_session_token that is too long or holds blanks"},
        {"role_arn", p->role, sizeof p->role, false, "a role_arn that is none"},
        {"role_session_name", p->session, sizeof p->session, false,
         "a role_session_name that is too long or holds blanks"},
        {"web_identity_token_file", p->token_file, sizeof p->token_file, true,
         "a web_identity_token_file that is too long"},
        {"credential_process", p->command, sizeof p->command, true,
         "a credential_process that is too long"},
        {"source_profile", p->source_profile, sizeof p->source_profile, true,
         "a source_profile that is too long"},
        {"credential_source", p->credential_source, sizeof p->credential_source, false,
         "a credential_source that is none"},
        {"external_id", p->external_id, sizeof p->external_id, false,
         "an external_id that is none"},
        {"duration_seconds", p->duration_s, sizeof p->duration_s, false,
         "duration_seconds that are none"},
        {"endpoint_url", p->endpoint, sizeof p->endpoint, false, "an endpoint_url that is none"},
    };

    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (key_is(key, known[i].name) &&
            !(known[i].line ? take_line(known[i].out, known[i].bytes_max, value)
                            : credentials_take(known[i].out, known[i].bytes_max, value)))
            p->fault = known[i].fault;
    if (key_is(key, "region") && !take_if_empty(c->region, sizeof c->region, value))
        p->fault = "a region that is none";
    else if (key_is(key, "endpoint_url"))
        (void)take_if_empty(c->endpoint, sizeof c->endpoint, value);
    else if (key_is(key, "ca_bundle"))
        (void)take_if_empty(c->ca_file, sizeof c->ca_file, value);
    for (size_t i = 0; i < COUNT_OF(others); i++)
        if (key_is(key, others[i]) && p->asks_for[0] == '\0')
            (void)snprintf(p->asks_for, sizeof p->asks_for, "%s", others[i]);
}

bool credentials_path(char *const *env, const char *given, const char *in_home,
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

status credentials_read_profile(struct credentials_profile *p, struct fs *fs, struct err *err)
{
    struct err why = {0};
    struct buf text;
    status st;

    buf_init(&text, FILE_BYTES_MAX);
    st = fs_read_file(fs, p->path, FILE_BYTES_MAX, &text, &why);
    if (st == ST_OK) {
        p->is_there = profile_read(buf_slice(&text), p->name, p->is_config, on_key, p);
        if (text.data != NULL) /* an empty file has none */
            explicit_bzero(text.data, text.bytes);
    } else if (st == ST_NOMEM) {
        (void)err_set(err, st, "%s", why.text);
    } else {
        p->fault = st == ST_NOT_FOUND ? "" : "cannot be read";
        st = ST_OK;
    }
    buf_free(&text);
    return st;
}

bool credentials_env_keys(char *const *env, char *access, char *secret, char *token)
{
    const char *id = credentials_env(env, "AWS_ACCESS_KEY_ID");
    const char *key = credentials_env(env, "AWS_SECRET_ACCESS_KEY");
    const char *session = credentials_env(env, "AWS_SESSION_TOKEN");

    if (session == NULL)
        session = credentials_env(env, "AWS_SECURITY_TOKEN");
    return id != NULL && key != NULL &&
           credentials_take(access, CREDENTIALS_ACCESS_BYTES, slice_text(id)) &&
           credentials_take(secret, CREDENTIALS_SECRET_BYTES, slice_text(key)) &&
           (session == NULL ||
            credentials_take(token, CREDENTIALS_TOKEN_BYTES, slice_text(session)));
}

/* False: the environment has keys that cannot be used. */
static bool load_env_keys(struct credentials *c, char *const *env)
{
    const char *access = credentials_env(env, "AWS_ACCESS_KEY_ID");
    const char *secret = credentials_env(env, "AWS_SECRET_ACCESS_KEY");
    const char *end = credentials_env(env, "AWS_CREDENTIAL_EXPIRATION");

    if (access == NULL && secret == NULL) {
        credentials_note(c,
                         "the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY not set)");
        return true;
    }
    if (access == NULL || secret == NULL) {
        credentials_note(c, "the environment (%s is set, %s is not)",
                         access != NULL ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
                         access != NULL ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
        return false;
    }
    if (!credentials_env_keys(env, c->access, c->secret, c->token)) {
        credentials_note(c, "the environment (keys that are too long or hold blanks)");
        credentials_wipe(c);
        return false;
    }
    if (end != NULL && !credentials_time(slice_text(end), &c->expires_s)) {
        credentials_note(c, "the environment (AWS_CREDENTIAL_EXPIRATION is no date)");
        credentials_wipe(c);
        return false;
    }
    c->found = true;
    c->from = CREDENTIALS_FROM_ENVIRONMENT;
    (void)snprintf(c->source, sizeof c->source, "the environment (AWS_ACCESS_KEY_ID)");
    return true;
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

bool credentials_says_true(const char *text)
{
    return text != NULL && strcasecmp(text, "true") == 0;
}

static status read_all(struct credentials_chain *c, struct fs *fs, struct err *err)
{
    const char *profile = credentials_env(c->env, "AWS_PROFILE");
    bool sound;
    bool named;
    status st = ST_OK;

    if (profile == NULL)
        profile = credentials_env(c->env, "AWS_DEFAULT_PROFILE");
    named = profile != NULL;
    c->shared->out = c->config->out = c->out;
    c->shared->name = c->config->name = named ? profile : "default";
    c->config->is_config = true;
    sound = load_env_keys(c->out, c->env);
    load_env_rest(c->out, c->env);
    if (credentials_path(c->env, credentials_env(c->env, "AWS_SHARED_CREDENTIALS_FILE"),
                         ".aws/credentials", c->shared->path))
        st = credentials_read_profile(c->shared, fs, err);
    if (st == ST_OK && credentials_path(c->env, credentials_env(c->env, "AWS_CONFIG_FILE"),
                                        ".aws/config", c->config->path))
        st = credentials_read_profile(c->config, fs, err);
    if (st == ST_OK && !c->out->found && sound) {
        st = credentials_follow(c, named, err);
    } else if (st == ST_OK && !c->out->found) {
        credentials_note_file(c->out, c->shared);
        credentials_note_file(c->out, c->config);
    }
    return st;
}

status credentials_load(char *const *env, struct fs *fs, struct credentials *out,
                        struct credentials_plan *plan, struct err *err)
{
    struct credentials_profile *profiles = mem_zero_array(2, sizeof *profiles);
    struct credentials_chain c = {env, fs, out, plan, profiles, profiles + 1};
    status st;

    memset(out, 0, sizeof *out);
    if (plan != NULL)
        memset(plan, 0, sizeof *plan);
    if (profiles == NULL)
        return err_set(err, ST_NOMEM, "no memory to look for credentials");
    st = read_all(&c, fs, err);
    if (credentials_says_true(credentials_env(env, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")))
        out->endpoint[0] = '\0';
    explicit_bzero(profiles, 2 * sizeof *profiles);
    mem_free(profiles);
    return st;
}

void credentials_wipe(struct credentials *c)
{
    explicit_bzero(c->access, sizeof c->access);
    explicit_bzero(c->secret, sizeof c->secret);
    explicit_bzero(c->token, sizeof c->token);
    c->found = false;
}
