/* credentials.h - whose keys requests are signed with, and what else the usual environment and
 * files say about a store.
 *
 * Looked for in this order: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (AWS_SESSION_TOKEN) of the
 * environment; the profile (AWS_PROFILE, AWS_DEFAULT_PROFILE, "default") in
 * AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials); the same in AWS_CONFIG_FILE (~/.aws/config).
 * Roles, web identity, credential processes and metadata services come behind these, and are not
 * here yet: a profile or an environment that asks for one is told so by name.
 *
 * Files are read each time; what cannot be read or understood is told, never fatal. Texts name
 * places, never a secret.
 *
 * Threads    any; nothing is shared.
 * Ownership  struct credentials is the caller's memory and holds no pointer. */
#ifndef OBJSTORE_CREDENTIALS_H
#define OBJSTORE_CREDENTIALS_H

#include "base/fs.h"

enum {
    CREDENTIALS_ACCESS_BYTES = 160,
    CREDENTIALS_SECRET_BYTES = 256,
    CREDENTIALS_TOKEN_BYTES = 8192,
    CREDENTIALS_REGION_BYTES = 64,
    CREDENTIALS_ENDPOINT_BYTES = 320,
};

struct credentials {
    bool found; /* access and secret are there */
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

/* env: "NAME=value", NULL-terminated; NULL: the process's own. ST_NOMEM alone is a failure. */
NODISCARD
status credentials_load(char *const *env, struct fs *fs, struct credentials *out, struct err *err);
void credentials_wipe(struct credentials *c); /* overwrites the secrets */

/* The value of a name in env, or NULL; an empty value is NULL too. */
const char *credentials_env(char *const *env, const char *name);

#endif
