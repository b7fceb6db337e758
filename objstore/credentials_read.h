/* credentials_read.h - what providers say, read: JSON of processes, containers and instances, XML
 * of STS, dates, command lines; and texts of theirs made fit to be shown. Pure.
 *
 * All of it comes from outside: bounded, and what is missing or cannot stand in a header is an
 * error whose text names the member, never its value.
 *
 * Threads    any; nothing is shared. */
#ifndef OBJSTORE_CREDENTIALS_READ_H
#define OBJSTORE_CREDENTIALS_READ_H

#include "objstore/credentials.h"

enum {
    CREDENTIALS_ANSWER_BYTES_MAX = 64 * 1024,
    CREDENTIALS_WORDS_MAX = 64,
};

/* Seconds since 1970 of "2026-01-02T03:04:05Z", with a fraction, or with +01:00, +0100 for Z. */
NODISCARD
bool credentials_time(struct slice text, int64_t *out);

/* Sets access, secret, token and expires_s of *out, on ST_OK only. ST_CORRUPT: it cannot be used;
 * ST_DENIED: it says so itself (a Code that is no success). A process says Version 1, calls the
 * token SessionToken and may leave out the end; a container and an instance say Token and
 * Expiration. */
NODISCARD
status credentials_read_json(struct slice text, bool process, struct credentials *out,
                             struct err *err);
/* root: "AssumeRoleWithWebIdentity". */
NODISCARD
status credentials_read_sts(struct slice text, const char *root, struct credentials *out,
                            struct err *err);

/* A command line as words, without any shell: blanks part them, '...' is as it is, in "..." a
 * backslash goes before " and \, elsewhere before anything. Nothing is expanded. The words are in
 * `room` (as large as the text and its NUL), argv is NULL-terminated. ST_INVALID. */
NODISCARD
status credentials_words(const char *command, char *room, char *argv[CREDENTIALS_WORDS_MAX + 1],
                         struct err *err);

/* Copies what somebody else wrote so that it can be shown: one line, printable, without anything
 * that may be a secret: the given ones (those of 4 bytes and more), what stands behind a name like
 * secret, token or password, and every run of 20 letters, digits and + / = _ - (of letters alone:
 * 32, InvalidIdentityToken is none). */
void credentials_show(char *out, size_t bytes_max, struct slice text, const char *const *secrets,
                      size_t secret_count);

#endif
