/* Whose turn it is in the chain, behind the environment. */
#include "objstore/credentials_internal.h"

#include <stdio.h>
#include <strings.h>

static bool has_keys(const struct credentials_profile *p)
{
    return p->access[0] != '\0' && p->secret[0] != '\0';
}

/* What a file lacks, or what is wrong in it. */
void credentials_note_file(struct credentials *c, const struct credentials_profile *p)
{
    if (p->path[0] == '\0')
        return;
    if (p->fault != NULL && p->fault[0] == '\0')
        credentials_note(c, "%.200s (no such file)", p->path);
    else if (p->fault != NULL && !p->is_there)
        credentials_note(c, "%.200s (%s)", p->path, p->fault);
    else if (p->fault != NULL)
        credentials_note(c, "profile %.60s of %.200s has %s", p->name, p->path, p->fault);
    else if (p->access[0] != '\0' || p->secret[0] != '\0')
        credentials_note(c, "profile %.60s of %.200s (has %s alone)", p->name, p->path,
                         p->access[0] != '\0' ? "aws_access_key_id" : "aws_secret_access_key");
    else if (p->asks_for[0] != '\0')
        credentials_note(c, "profile %.60s of %.200s (asks for %s, which this version does not do)",
                         p->name, p->path, p->asks_for);
    else if (p->role[0] != '\0')
        credentials_note(c, "profile %.60s of %.200s (has a role_arn)", p->name, p->path);
    else
        credentials_note(c,
                         p->is_there ? "profile %.60s of %.200s (has no keys)"
                                     : "profile %.60s of %.200s (not there)",
                         p->name, p->path);
}

/* Wrong in itself: whoever comes behind it in the chain would be someone else. */
static bool is_faulty(const struct credentials_profile *p)
{
    return (p->is_there && p->fault != NULL) || (p->access[0] != '\0') != (p->secret[0] != '\0');
}

static void take_keys(struct credentials *c, const struct credentials_profile *p)
{
    c->found = true;
    c->from = p->is_config ? CREDENTIALS_FROM_CONFIG_FILE : CREDENTIALS_FROM_SHARED_FILE;
    memcpy(c->access, p->access, sizeof c->access);
    memcpy(c->secret, p->secret, sizeof c->secret);
    memcpy(c->token, p->token, sizeof c->token);
    (void)snprintf(c->source, sizeof c->source, "profile %.60s of %.300s", p->name, p->path);
}

static bool copy(char *out, size_t bytes_max, const char *text)
{
    int written = snprintf(out, bytes_max, "%s", text != NULL ? text : "");

    return written >= 0 && (size_t)written < bytes_max;
}

static const char *either(const char *first, const char *second, const char *third)
{
    if (first != NULL && first[0] != '\0')
        return first;
    return second[0] != '\0' ? second : third;
}

bool credentials_plan_sts(const struct credentials_chain *c)
{
    struct credentials_plan *plan = c->plan;
    const char *global = credentials_env(c->env, "AWS_ENDPOINT_URL");
    const char *own = credentials_env(c->env, "AWS_ENDPOINT_URL_STS");
    const char *region = c->out->region;
    bool china = strncmp(region, "cn-", 3) == 0;

    memcpy(plan->region, region, sizeof plan->region);
    if (!credentials_says_true(credentials_env(c->env, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"))) {
        own = either(own != NULL ? own : global, c->shared->endpoint, c->config->endpoint);
        if (own[0] != '\0')
            return copy(plan->url, sizeof plan->url, own);
    }
    (void)snprintf(plan->url, sizeof plan->url, "https://sts%s%s.amazonaws.com%s",
                   region[0] != '\0' ? "." : "", region, china ? ".cn" : "");
    return true;
}

/* False: none is asked for. */
static bool plan_web_identity(const struct credentials_chain *c)
{
    struct credentials_plan *plan = c->plan;
    const char *from_env = credentials_env(c->env, "AWS_WEB_IDENTITY_TOKEN_FILE");
    const char *file = either(from_env, c->shared->token_file, c->config->token_file);

    if (file[0] == '\0')
        return false;
    plan->from = CREDENTIALS_FROM_WEB_IDENTITY;
    if (from_env != NULL)
        (void)copy(plan->name, sizeof plan->name, "web identity (AWS_WEB_IDENTITY_TOKEN_FILE)");
    else
        (void)snprintf(plan->name, sizeof plan->name, "web identity of profile %.60s",
                       c->shared->name);
    if (!credentials_path(c->env, file, "", plan->token_file) || !credentials_plan_sts(c) ||
        !copy(plan->role, sizeof plan->role,
              either(credentials_env(c->env, "AWS_ROLE_ARN"), c->shared->role, c->config->role)) ||
        !copy(plan->session, sizeof plan->session,
              either(credentials_env(c->env, "AWS_ROLE_SESSION_NAME"), c->shared->session,
                     c->config->session)))
        plan->role[0] = '\0'; /* told by who asks */
    return true;
}

static bool plan_process(const struct credentials_chain *c)
{
    struct credentials_plan *plan = c->plan;
    const char *command = either(c->shared->command, c->config->command, "");

    if (command[0] == '\0')
        return false;
    plan->from = CREDENTIALS_FROM_PROCESS;
    (void)snprintf(plan->name, sizeof plan->name, "credential_process of profile %.60s",
                   c->shared->name);
    return copy(plan->command, sizeof plan->command, command);
}

/* A URL that does not fit is left empty, and told by who asks. */
bool credentials_plan_container(const struct credentials_chain *c)
{
    struct credentials_plan *plan = c->plan;
    const char *relative = credentials_env(c->env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = credentials_env(c->env, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    const char *file = credentials_env(c->env, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    int written;

    if (relative == NULL && full == NULL)
        return false;
    plan->from = CREDENTIALS_FROM_CONTAINER;
    (void)snprintf(plan->name, sizeof plan->name,
                   "the container (AWS_CONTAINER_CREDENTIALS_%s_URI)",
                   relative != NULL ? "RELATIVE" : "FULL");
    written = snprintf(
        plan->url, sizeof plan->url, "%s%s%s", relative != NULL ? "http://169.254.170.2" : "",
        relative != NULL && relative[0] != '/' ? "/" : "", relative != NULL ? relative : full);
    if (written < 0 || (size_t)written >= sizeof plan->url ||
        !copy(plan->token_file, sizeof plan->token_file, file) ||
        !copy(plan->bearer, sizeof plan->bearer,
              file == NULL ? credentials_env(c->env, "AWS_CONTAINER_AUTHORIZATION_TOKEN") : NULL))
        plan->url[0] = '\0';
    return true;
}

void credentials_plan_instance(const struct credentials_chain *c)
{
    struct credentials_plan *plan = c->plan;
    const char *endpoint = credentials_env(c->env, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *mode = credentials_env(c->env, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");

    if (credentials_says_true(credentials_env(c->env, "AWS_EC2_METADATA_DISABLED")))
        return;
    if (endpoint == NULL)
        endpoint = mode != NULL && strcasecmp(mode, "ipv6") == 0 ? "http://[fd00:ec2::254]"
                                                                 : "http://169.254.169.254";
    plan->from = CREDENTIALS_FROM_INSTANCE;
    (void)copy(plan->name, sizeof plan->name, "instance metadata");
    if (!copy(plan->url, sizeof plan->url, endpoint))
        plan->url[0] = '\0';
}

/* With a web identity's token beside it, it is that one's. */
static bool is_role(const struct credentials_chain *c)
{
    const struct credentials_profile *shared = c->shared;
    const struct credentials_profile *config = c->config;
    bool has_source = shared->source_profile[0] != '\0' || config->source_profile[0] != '\0' ||
                      shared->credential_source[0] != '\0' || config->credential_source[0] != '\0';

    return (shared->role[0] != '\0' || config->role[0] != '\0') && shared->token_file[0] == '\0' &&
           config->token_file[0] == '\0' &&
           (has_source || credentials_env(c->env, "AWS_WEB_IDENTITY_TOKEN_FILE") == NULL);
}

/* True when it is settled whose keys they are. */
static bool follow_files(const struct credentials_chain *c)
{
    if (!is_faulty(c->shared) && has_keys(c->shared)) {
        take_keys(c->out, c->shared);
        return true;
    }
    credentials_note_file(c->out, c->shared);
    if (!is_faulty(c->shared) && !is_faulty(c->config)) {
        if (c->plan != NULL && plan_process(c))
            return true;
        if (has_keys(c->config)) {
            take_keys(c->out, c->config);
            return true;
        }
    }
    credentials_note_file(c->out, c->config);
    return false;
}

status credentials_follow(const struct credentials_chain *c, bool named, struct err *err)
{
    bool stays_with = c->shared->asks_for[0] != '\0' || c->config->asks_for[0] != '\0' ||
                      (named && !c->shared->is_there && !c->config->is_there);

    if (is_role(c) && c->plan != NULL)
        return credentials_plan_role(c, err);
    if (is_role(c)) {
        credentials_note_file(c->out, c->shared);
        credentials_note_file(c->out, c->config);
        return ST_OK;
    }
    if (c->plan != NULL && plan_web_identity(c))
        return ST_OK;
    if (follow_files(c) || stays_with || is_faulty(c->shared) || is_faulty(c->config) ||
        c->plan == NULL)
        return ST_OK;
    if (!credentials_plan_container(c))
        credentials_plan_instance(c);
    return ST_OK;
}
