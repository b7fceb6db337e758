/* A role that a profile takes on: whose keys it is asked for with. */
#include "objstore/credentials_internal.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *either(const char *first, const char *second)
{
    return first[0] != '\0' ? first : second;
}

static void give_up(const struct credentials_chain *c, const char *why)
{
    c->plan->from = CREDENTIALS_FROM_NOWHERE;
    credentials_note(c->out, "role_arn of profile %.60s (%s)", c->shared->name, why);
}

static bool take_base(struct credentials_plan *plan, const struct credentials_profile *p)
{
    if (p->fault != NULL || p->access[0] == '\0' || p->secret[0] == '\0')
        return false;
    memcpy(plan->base.access, p->access, sizeof plan->base.access);
    memcpy(plan->base.secret, p->secret, sizeof plan->base.secret);
    memcpy(plan->base.token, p->token, sizeof plan->base.token);
    return true;
}

/* Keys in the shared file, a process, keys in the config file: as for any profile. */
static bool take_source(struct credentials_plan *plan, const struct credentials_profile *shared,
                        const struct credentials_profile *config)
{
    const char *command = either(shared->command, config->command);

    if (take_base(plan, shared))
        return true;
    if (command[0] == '\0')
        return take_base(plan, config);
    plan->base.from = CREDENTIALS_FROM_PROCESS;
    memcpy(plan->command, command, strlen(command) + 1);
    return true;
}

static status read_source(const struct credentials_chain *c, const char *name, bool *found,
                          struct err *err)
{
    struct credentials_profile *both = mem_zero_array(2, sizeof *both);
    struct credentials ignored;
    status st = ST_OK;

    if (both == NULL)
        return err_set(err, ST_NOMEM, "no memory to look for credentials");
    memset(&ignored, 0, sizeof ignored);
    for (size_t i = 0; i < 2; i++) {
        const struct credentials_profile *like = i == 0 ? c->shared : c->config;

        both[i].out = &ignored;
        both[i].name = name;
        both[i].is_config = like->is_config;
        memcpy(both[i].path, like->path, sizeof both[i].path);
        if (st == ST_OK && both[i].path[0] != '\0')
            st = credentials_read_profile(&both[i], c->fs, err);
    }
    *found = st == ST_OK && take_source(c->plan, &both[0], &both[1]);
    explicit_bzero(both, 2 * sizeof *both);
    mem_free(both);
    return st;
}

/* The environment, the container or the instance, by name. */
static bool take_named(const struct credentials_chain *c, const char *name)
{
    struct credentials_plan *plan = c->plan;

    if (strcasecmp(name, "Environment") == 0)
        return credentials_env_keys(c->env, plan->base.access, plan->base.secret, plan->base.token);
    if (strcasecmp(name, "EcsContainer") == 0 && !credentials_plan_container(c))
        return false;
    if (strcasecmp(name, "Ec2InstanceMetadata") == 0)
        credentials_plan_instance(c);
    plan->base.from = plan->from;
    memcpy(plan->base.url, plan->url, sizeof plan->base.url);
    return plan->base.from != CREDENTIALS_FROM_NOWHERE;
}

status credentials_plan_role(const struct credentials_chain *c, struct err *err)
{
    struct credentials_plan *plan = c->plan;
    const char *source = either(c->shared->source_profile, c->config->source_profile);
    const char *named = either(c->shared->credential_source, c->config->credential_source);
    bool found = false;
    status st = ST_OK;

    if (c->shared->fault != NULL && c->shared->is_there) {
        give_up(c, c->shared->fault);
        return ST_OK;
    }
    if (c->shared->asks_for[0] != '\0' || c->config->asks_for[0] != '\0') {
        give_up(c, "asks for mfa_serial or SSO, which this version does not do");
        return ST_OK;
    }
    if ((source[0] != '\0') == (named[0] != '\0')) {
        give_up(c, "needs source_profile or credential_source, one of them");
        return ST_OK;
    }
    if (named[0] != '\0')
        found = take_named(c, named);
    else if (strcmp(source, c->shared->name) == 0)
        found = take_source(plan, c->shared, c->config);
    else
        st = read_source(c, source, &found, err);
    if (st == ST_OK && !found)
        give_up(c, "its source has no keys, or none that this version takes");
    if (st != ST_OK || !found)
        return st;
    plan->from = CREDENTIALS_FROM_ROLE;
    (void)snprintf(plan->name, sizeof plan->name, "role of profile %.60s", c->shared->name);
    (void)snprintf(plan->role, sizeof plan->role, "%s", either(c->shared->role, c->config->role));
    (void)snprintf(plan->session, sizeof plan->session, "%s",
                   either(c->shared->session, c->config->session));
    (void)snprintf(plan->external_id, sizeof plan->external_id, "%s",
                   either(c->shared->external_id, c->config->external_id));
    (void)snprintf(plan->duration_s, sizeof plan->duration_s, "%s",
                   either(c->shared->duration_s, c->config->duration_s));
    if (!credentials_plan_sts(c))
        give_up(c, "the endpoint of STS is too long");
    return ST_OK;
}
