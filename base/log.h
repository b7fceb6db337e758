/* log.h - the structured log: one event, one line, JSON or pretty, to stderr or a file.
 *
 *     log_warn("upload failed, will retry", "key=%s attempt=%u err=%s", key, attempt, err.text);
 *
 * The first text is the constant message; the second is a format of blank-separated key=value pairs
 * whose values become members of `fields` (quoted and escaped as JSON needs; a value runs to the
 * next " key="). Credentials, signatures and vectors are never printed.
 *
 * A record is {timestamp (RFC 3339, nanoseconds, Z), level, target (the folder), message, fields}.
 * request_id and collection_id come from the thread's context (log_context_set) unless given.
 *
 * Threads    any; a line is written with one write(2).
 * Failure    a line that cannot be written is counted (log_dropped()), nothing else happens. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/clock.h"

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_JSON, LOG_FORMAT_PRETTY };

struct log_options {
    enum log_level level;
    /* "wal=debug,api=warn": levels by target; NULL for none. Copied. */
    const char *levels;
    enum log_format format; /* AUTO: pretty on a terminal, else JSON */
    const char *path;       /* NULL or "": stderr */
    struct clock *clock;
};
NODISCARD
status log_open(const struct log_options *options, struct err *err); /* again: reconfigures */
void log_close(void);
bool log_enabled(enum log_level level, const char *target);
void log_write(enum log_level level, const char *target, const char *message, const char *format,
               ...) PRINTF_LIKE(4, 5);
uint64_t log_dropped(void);
NODISCARD
bool log_level_parse(const char *text, enum log_level *out);
/* This thread's request and collection until the next call; NULL for none. The texts are borrowed.
 */
void log_context_set(const char *request_id, const char *collection_id);

/* The target is the folder of the file that logs. */
#ifndef LOG_TARGET
#define LOG_TARGET log_target_of(__FILE__)
#endif
const char *log_target_of(const char *file);

#define log_at(level, message, ...)                                                                \
    do {                                                                                           \
        if (log_enabled((level), LOG_TARGET))                                                      \
            log_write((level), LOG_TARGET, (message), __VA_ARGS__);                                \
    } while (0)
#define log_debug(message, ...) log_at(LOG_DEBUG, message, __VA_ARGS__)
#define log_info(message, ...)  log_at(LOG_INFO, message, __VA_ARGS__)
#define log_warn(message, ...)  log_at(LOG_WARN, message, __VA_ARGS__)
#define log_error(message, ...) log_at(LOG_ERROR, message, __VA_ARGS__)

#endif
