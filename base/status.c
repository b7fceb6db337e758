#include "base/status.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Of the outer text of an error whose inner text fills the rest. */
enum { FRONT_BYTES_MIN = 160 };

/* A text that is cut keeps whole UTF-8 characters: continuation bytes at the end go with their
 * lead. */
static void cut_at_character(char *text, size_t bytes)
{
    size_t at = bytes;

    while (at > 0 && ((unsigned char)text[at - 1] & 0xC0u) == 0x80u)
        at--;
    if (at > 0 && ((unsigned char)text[at - 1] & 0x80u) != 0) {
        unsigned char lead = (unsigned char)text[at - 1];
        size_t want = lead >= 0xF0u ? 4 : lead >= 0xE0u ? 3 : 2;

        if (bytes - (at - 1) < want)
            text[at - 1] = '\0';
    }
}

static PRINTF_LIKE(2, 0) void format_text(char *out, const char *format, va_list args)
{
    int n = vsnprintf(out, ERR_TEXT_BYTES, format, args);

    if (n < 0)
        out[0] = '\0';
    else if (n >= ERR_TEXT_BYTES)
        cut_at_character(out, ERR_TEXT_BYTES - 1);
    utf8_make_printable(out);
}

status err_set(struct err *err, status code, const char *format, ...)
{
    va_list args;

    if (err == NULL)
        return code;
    err->code = code;
    va_start(args, format);
    format_text(err->text, format, args);
    va_end(args);
    return code;
}

static status status_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        return ST_NOSPACE;
    case ENOENT:
        return ST_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return ST_DENIED;
    case ENOMEM:
        return ST_NOMEM;
    case EEXIST:
        return ST_EXISTS;
    default:
        return ST_IO;
    }
}

/* Puts `tail` behind `text`. When both do not fit, the text in front gives way first, down to
 * FRONT_BYTES_MIN: what lies behind is nearer to the cause. */
static void append_tail(char *text, const char *tail)
{
    size_t used = strlen(text);
    size_t wanted = strlen(tail);
    size_t room = ERR_TEXT_BYTES - 1 - used;

    if (wanted > room) {
        size_t front = wanted < ERR_TEXT_BYTES - 1 - FRONT_BYTES_MIN ? ERR_TEXT_BYTES - 1 - wanted
                                                                     : FRONT_BYTES_MIN;

        if (used > front) {
            text[front] = '\0';
            cut_at_character(text, front);
            used = strlen(text);
        }
    }
    if (snprintf(text + used, ERR_TEXT_BYTES - used, "%s", tail) >= (int)(ERR_TEXT_BYTES - used))
        cut_at_character(text, ERR_TEXT_BYTES - 1);
}

status err_set_errno(struct err *err, int errnum, const char *format, ...)
{
    status code = status_of_errno(errnum);
    char reason[128];
    char tail[192];
    va_list args;

    if (err == NULL)
        return code;
    err->code = code;
    va_start(args, format);
    format_text(err->text, format, args);
    va_end(args);
    (void)snprintf(tail, sizeof tail, ": %s (errno %d)", strerror_r(errnum, reason, sizeof reason),
                   errnum);
    append_tail(err->text, tail);
    return code;
}

status err_wrap(struct err *err, status code, const char *format, ...)
{
    char tail[ERR_TEXT_BYTES + 2];
    va_list args;

    if (err == NULL)
        return code;
    (void)snprintf(tail, sizeof tail, ": %s", err->text);
    err->code = code;
    va_start(args, format);
    format_text(err->text, format, args);
    va_end(args);
    append_tail(err->text, tail);
    return code;
}

const char *status_name(status code)
{
    switch (code) {
    case ST_OK:
        return "ok";
    case ST_INVALID:
        return "invalid";
    case ST_NOT_FOUND:
        return "not_found";
    case ST_EXISTS:
        return "exists";
    case ST_CONFLICT:
        return "conflict";
    case ST_LIMIT:
        return "limit";
    case ST_NOSPACE:
        return "no_space";
    case ST_DENIED:
        return "denied";
    case ST_UNAVAILABLE:
        return "unavailable";
    case ST_TIMEOUT:
        return "timeout";
    case ST_UNKNOWN:
        return "outcome_unknown";
    case ST_IO:
        return "io";
    case ST_NOMEM:
        return "no_memory";
    case ST_CORRUPT:
        return "corrupt";
    case ST_CLOSED:
        return "closed";
    case ST_UNSUPPORTED:
        return "unsupported";
    case ST_BUG:
        return "bug";
    }
    return "bug";
}

bool status_is_transient(status code)
{
    return code == ST_LIMIT || code == ST_NOSPACE || code == ST_UNAVAILABLE || code == ST_TIMEOUT;
}
