/* status.h - what a call says when it fails: a code for programs, a text for people.
 *
 * A function that can fail returns `status` and takes `struct err *` last; NULL is fine. The text
 * reads from the outside in: `restore collection docs: open segment 7.seg: read: No such file`.
 * Whoever meets an errno, a library's code or an HTTP status turns it into a status there; its
 * number stays in the text. An out parameter is written on ST_OK only.
 *
 * Threads    any; a struct err belongs to one call chain. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NODISCARD         __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define COUNT_OF(array)   (sizeof(array) / sizeof((array)[0]))

typedef enum status {
    ST_OK = 0,
    ST_INVALID, /* the request or configuration is wrong; repeating it cannot help */
    ST_NOT_FOUND,
    ST_EXISTS,
    ST_CONFLICT,    /* a precondition failed: someone was first */
    ST_LIMIT,       /* over a rate or a full queue; nothing was done, later it may succeed */
    ST_NOSPACE,     /* disk, memory budget or quota is full; nothing was done */
    ST_DENIED,      /* credentials, permissions, or a read-only node */
    ST_UNAVAILABLE, /* transient, nothing was done: the same call may succeed later */
    ST_TIMEOUT,     /* transient, the deadline passed */
    ST_UNKNOWN,     /* a write whose outcome cannot be told: it may or may not be there later */
    ST_IO,          /* local disk */
    ST_NOMEM,
    ST_CORRUPT,     /* stored bytes fail their check; never retried, never skipped in silence */
    ST_CLOSED,      /* the handle takes no more work */
    ST_UNSUPPORTED, /* known and documented, but not built into this version */
    ST_BUG,         /* cannot happen; never used for input */
} status;

enum { ERR_TEXT_BYTES = 512 };

struct err {
    status code;
    char text[ERR_TEXT_BYTES]; /* NUL terminated UTF-8, cut at a character when too long; what
                                * cannot be printed (line ends too) is a question mark */
};

/* Fills err (if not NULL) and returns code. */
status err_set(struct err *err, status code, const char *format, ...) PRINTF_LIKE(3, 4);

/* As err_set, with ": " and the text of `errnum` (an errno value) behind the text. Chooses the
 * code: ENOSPC and EDQUOT -> ST_NOSPACE, ENOENT -> ST_NOT_FOUND, EACCES, EPERM and EROFS ->
 * ST_DENIED, ENOMEM -> ST_NOMEM, EEXIST -> ST_EXISTS, everything else -> ST_IO. */
status err_set_errno(struct err *err, int errnum, const char *format, ...) PRINTF_LIKE(3, 4);

/* Puts the text and ": " in front of what err says; the code becomes `code`. */
status err_wrap(struct err *err, status code, const char *format, ...) PRINTF_LIKE(3, 4);

/* Lower-case name of a code, "ok", "not_found", ... for logs and stats. Never NULL. */
const char *status_name(status code);

/* The one place that says whether the same call may be tried again: ST_LIMIT, ST_NOSPACE,
 * ST_UNAVAILABLE, ST_TIMEOUT. */
bool status_is_transient(status code);

#endif
