/* credentials_process.h - runs a program that prints keys, without a shell.
 *
 * In a group of its own, its input empty, no file of ours open in it. What it prints is bounded,
 * and so is its time; then the group is killed. What it says on its error output is told in the
 * text, with whatever looks like a secret covered (credentials_show()).
 *
 * Threads    blocks the calling thread; *stop turning true ends it within CREDENTIALS_SLICE_MS. */
#ifndef OBJSTORE_CREDENTIALS_PROCESS_H
#define OBJSTORE_CREDENTIALS_PROCESS_H

#include "objstore/credentials.h"

#include <stdatomic.h>

/* Sets access, secret, token and expires_s of *out on ST_OK. ST_INVALID: no command line;
 * ST_UNAVAILABLE: could not be started, failed, or took too long; ST_LIMIT; ST_CORRUPT; ST_NOMEM;
 * ST_CLOSED. */
NODISCARD
status credentials_process(const char *command, char *const *env, uint32_t timeout_ms,
                           const _Atomic bool *stop, struct credentials *out, struct err *err);

#endif
