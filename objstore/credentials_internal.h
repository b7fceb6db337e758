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
    char asks_for[64]; /* a key that this version does not follow */
    const char *fault;
};

struct credentials_chain {
    char *const *env;
    struct credentials *out;
    struct credentials_plan *plan;
    struct credentials_profile *shared, *config;
};

/* Chooses who is behind the environment: fills out, or the plan. named: the profile is by a
 * variable. What was found wrong on the way ends the chain. */
void credentials_follow(const struct credentials_chain *c, bool named);
/* Appends what the file lacks, or what is wrong in it. */
void credentials_note_file(struct credentials *c, const struct credentials_profile *p);

/* "~/x" is x in the home directory. given NULL: in_home there. */
NODISCARD
bool credentials_path(char *const *env, const char *given, const char *in_home,
                      char out[FS_PATH_BYTES]);
bool credentials_says_true(const char *text);

#endif
