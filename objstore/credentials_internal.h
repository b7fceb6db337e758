/* credentials_internal.h - what credentials.c (environment and files) and credentials_plan.c (whose
 * turn it is) share. */
#ifndef OBJSTORE_CREDENTIALS_INTERNAL_H
#define OBJSTORE_CREDENTIALS_INTERNAL_H

#include "objstore/credentials.h"

/* What one profile says in one file. */
struct credentials_profile {
    struct credentials *out;
    const char *name; /* of the profile */
    char path[FS_PATH_BYTES];
    bool is_there;
    bool is_config;
    char access[CREDENTIALS_ACCESS_BYTES];
    char secret[CREDENTIALS_SECRET_BYTES];
    char token[CREDENTIALS_TOKEN_BYTES];
    char role[CREDENTIALS_ROLE_BYTES];
    char session[CREDENTIALS_SESSION_BYTES];
    char token_file[FS_PATH_BYTES];
    char command[CREDENTIALS_COMMAND_BYTES];
    char endpoint[CREDENTIALS_ENDPOINT_BYTES];
    char source_profile[128];
    char credential_source[32];
    char external_id[CREDENTIALS_EXTERNAL_BYTES];
    char duration_s[16];
    char asks_for[64]; /* a key that this version does not follow */
    const char *fault;
};

struct credentials_chain {
    char *const *env;
    struct fs *fs;
    struct credentials *out;
    struct credentials_plan *plan;
    struct credentials_profile *shared, *config;
};

/* Chooses who is behind the environment: fills out, or the plan. named: the profile is by a
 * variable. What was found wrong on the way ends the chain. */
NODISCARD
status credentials_follow(const struct credentials_chain *c, bool named, struct err *err);
/* The environment's keys, without a note. */
NODISCARD
bool credentials_env_keys(char *const *env, char *access, char *secret, char *token);
/* Reads p->name of p->path. */
NODISCARD
status credentials_read_profile(struct credentials_profile *p, struct fs *fs, struct err *err);
/* credentials_role.c: plans a role, or notes why it cannot be taken on. */
NODISCARD
status credentials_plan_role(const struct credentials_chain *c, struct err *err);
/* Both set plan->url. */
NODISCARD
bool credentials_plan_sts(const struct credentials_chain *c);
NODISCARD
bool credentials_plan_container(const struct credentials_chain *c);
void credentials_plan_instance(const struct credentials_chain *c);
/* Appends what the file lacks, or what is wrong in it. */
void credentials_note_file(struct credentials *c, const struct credentials_profile *p);

/* "~/x" is x in the home directory. given NULL: in_home there. */
NODISCARD
bool credentials_path(char *const *env, const char *given, const char *in_home,
                      char out[FS_PATH_BYTES]);
bool credentials_says_true(const char *text);

#endif
