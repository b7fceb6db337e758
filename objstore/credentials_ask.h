/* credentials_ask.h - keys from who has to be asked: STS for a role or a web identity, a process, a
 * container, an instance (credentials.h, struct credentials_plan).
 *
 * Over plain http a bearer goes to this machine and the link-local addresses of containers alone;
 * STS is asked where it was configured to be. No redirect is followed.
 *
 * Threads    blocks the calling thread, for the sum of the timeouts at most; *stop turning true
 * ends it soon. Failure    the text says what was asked and what came, never a secret. */
#ifndef OBJSTORE_CREDENTIALS_ASK_H
#define OBJSTORE_CREDENTIALS_ASK_H

#include "objstore/credentials.h"

#include <stdatomic.h>

struct credentials_timings {
    uint32_t instance_ms; /* of each of its three requests */
    uint32_t container_ms;
    uint32_t sts_ms;
    uint32_t process_ms;
};
extern const struct credentials_timings CREDENTIALS_TIMINGS;

struct credentials_doors {
    char *const *env; /* of a process; NULL: our own */
    struct fs *fs;
    const char *ca_file; /* NULL or "": the system's */
    const struct credentials_timings *timings;
    const _Atomic bool *stop;
    uint64_t random; /* 64 bits; for the name of a session */
    int64_t now_s;   /* since 1970; for signatures */
};
/* Sets access, secret, token, expires_s and told_s of *out on ST_OK. */
NODISCARD
status credentials_ask(const struct credentials_plan *plan, const struct credentials_doors *doors,
                       struct credentials *out, struct err *err);

#endif
