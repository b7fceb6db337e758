/* credentials.h - whose keys requests are signed with, and what else the usual environment and
 * files say about a store.
 *
 * Looked for in this order; the first that is configured is the one, and what is wrong with it is
 * told rather than another's keys taken:
 *   environment    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN,
 *                  AWS_CREDENTIAL_EXPIRATION
 *   role           role_arn of the profile, taken on with the keys of its source_profile (keys or a
 *                  process of its own) or credential_source: asked of STS
 *   web identity   AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN, AWS_ROLE_SESSION_NAME, or the
 *                  profile's web_identity_token_file, role_arn, role_session_name: asked of STS
 *   shared file    the profile (AWS_PROFILE, AWS_DEFAULT_PROFILE, "default") in
 *                  AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials)
 *   process        credential_process of the profile, in either file
 *   config file    the profile in AWS_CONFIG_FILE (~/.aws/config)
 *   container      AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI
 *   instance       IMDSv2, unless AWS_EC2_METADATA_DISABLED=true
 *
 * Environment and files are read here, each time; the others have to be asked
 * (credentials_ask.h), which takes a while: the plan says whom. What cannot be read or understood
 * is told, never fatal. Texts name places, never a secret.
 *
 * Threads    any; nothing is shared.
 * Ownership  the structs are the caller's memory and hold no pointer. */
#ifndef OBJSTORE_CREDENTIALS_H
#define OBJSTORE_CREDENTIALS_H

#include "base/fs.h"

enum {
    CREDENTIALS_ACCESS_BYTES = 160,
    CREDENTIALS_SECRET_BYTES = 256,
    CREDENTIALS_TOKEN_BYTES = 8192,
    CREDENTIALS_REGION_BYTES = 64,
    CREDENTIALS_ENDPOINT_BYTES = 320,
    CREDENTIALS_ROLE_BYTES = 2049,
    CREDENTIALS_SESSION_BYTES = 65,
    CREDENTIALS_EXTERNAL_BYTES = 1225,
    CREDENTIALS_COMMAND_BYTES = 4096,
    CREDENTIALS_URL_BYTES = 2048,
    CREDENTIALS_BEARER_BYTES = 16 * 1024, /* of a container, or a web identity */
};

enum credentials_from { /* in the order of the chain */
                        CREDENTIALS_FROM_NOWHERE = 0,
                        CREDENTIALS_FROM_ENVIRONMENT,
                        CREDENTIALS_FROM_ROLE,
                        CREDENTIALS_FROM_WEB_IDENTITY,
                        CREDENTIALS_FROM_SHARED_FILE,
                        CREDENTIALS_FROM_PROCESS,
                        CREDENTIALS_FROM_CONFIG_FILE,
                        CREDENTIALS_FROM_CONTAINER,
                        CREDENTIALS_FROM_INSTANCE,
};

struct credentials {
    bool found; /* access and secret are there */
    bool ended; /* not found: there were some, and they have ended */
    enum credentials_from from;
    int64_t expires_s; /* when they end, since 1970; 0: they stay */
    int64_t told_s;    /* what the provider's clock said then; 0: ours counts */
    char access[CREDENTIALS_ACCESS_BYTES];
    char secret[CREDENTIALS_SECRET_BYTES];
    char token[CREDENTIALS_TOKEN_BYTES]; /* "": none */
    /* found: "the environment (AWS_ACCESS_KEY_ID)", "profile dev of /root/.aws/credentials". Else
     * where was looked, and what was wrong there. */
    char source[ERR_TEXT_BYTES];
    char region[CREDENTIALS_REGION_BYTES];     /* AWS_REGION, AWS_DEFAULT_REGION, the profile's */
    char endpoint[CREDENTIALS_ENDPOINT_BYTES]; /* AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the
                                                * profile's; "" with
                                                * AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true */
    char ca_file[FS_PATH_BYTES];               /* AWS_CA_BUNDLE, the profile's ca_bundle */
};

/* Whom to ask, and how; from is NOWHERE where credentials_load() found keys, or nothing to ask. */
struct credentials_plan {
    enum credentials_from from;
    char name[ERR_TEXT_BYTES / 2];         /* "credential_process of profile dev": for texts */
    char url[CREDENTIALS_URL_BYTES];       /* of STS, the container, the instance */
    char region[CREDENTIALS_REGION_BYTES]; /* "": none known */
    char role[CREDENTIALS_ROLE_BYTES];
    char session[CREDENTIALS_SESSION_BYTES];
    char token_file[FS_PATH_BYTES];        /* of the web identity, or of the container's bearer */
    char bearer[CREDENTIALS_BEARER_BYTES]; /* the container's */
    char command[CREDENTIALS_COMMAND_BYTES];
    struct {                        /* of FROM_ROLE: whose keys sign the question */
        enum credentials_from from; /* NOWHERE: these */
        char url[CREDENTIALS_URL_BYTES];
        char access[CREDENTIALS_ACCESS_BYTES];
        char secret[CREDENTIALS_SECRET_BYTES];
        char token[CREDENTIALS_TOKEN_BYTES];
    } base;
    char external_id[CREDENTIALS_EXTERNAL_BYTES]; /* "": none */
    char duration_s[16];
};

/* env: "NAME=value", NULL-terminated; NULL: the process's own. plan: NULL where nobody is asked.
 * ST_NOMEM alone is a failure. */
NODISCARD
status credentials_load(char *const *env, struct fs *fs, struct credentials *out,
                        struct credentials_plan *plan, struct err *err);
void credentials_wipe(struct credentials *c); /* overwrites the secrets */

/* The value of a name in env, or NULL; an empty value is NULL too. */
const char *credentials_env(char *const *env, const char *name);
/* What can stand in a header as one word. */
bool credentials_plain(struct slice value);
/* Copies it; false when it does not fit or is not plain. */
NODISCARD
bool credentials_take(char *out, size_t bytes_max, struct slice value);
/* Appends a reason to c->source, behind a comma. */
void credentials_note(struct credentials *c, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
