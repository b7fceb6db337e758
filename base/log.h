/* log.h - the structured log: one event, one line, JSON or pretty, to stderr or a file.
 *
 *     log_warn("upload failed, will retry", "key=%s attempt=%u err=%s", key, attempt, err.text);
 *     log_info("the node is ready", "");
 *
 * The first text is the constant message; the second is a literal format of blank-separated
 * key=value pairs whose values become members of `fields`. Where a key starts is read from the
 * format, never from what was printed: a value that holds ` key=` is a value. A value is a JSON
 * number if its format is one numeric conversion (%d %i %u %f %e %g, any length) and its text is a
 * number, else a string. Text in front of the first key is the field `text`. Credentials,
 * signatures and vectors are never printed.
 *
 * JSON       {timestamp (RFC 3339, nanoseconds, Z), level, target (the folder), message, fields}.
 *            Strings are escaped as JSON needs; what is not UTF-8 becomes U+FFFD.
 * Pretty     `timestamp LEVEL target: message key=value ...`; a value that is empty or holds a
 *            blank, a quote, a backslash, '=' or a control character is written as a JSON string,
 *            so that a line stays a line, a key a key, and no terminal obeys it.
 *
 * request_id and collection_id come from the thread's context (log_context_set) unless given.
 *
 * Threads    any, but log_open() and log_close() from one, and log_close() when the others have
 *            stopped logging. A line is written with one write(2). Nothing is logged before
 *            log_open().
 * Limits     LOG_FIELDS_MAX fields, LOG_TEXT_BYTES_MAX bytes of all values; what is beyond is cut
 *            and the field log_cut says so. No heap is used.
 * Failure    a line that cannot be written is counted (log_dropped()), nothing else happens. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/clock.h"

#include <stdatomic.h>

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };
enum { LOG_FIELDS_MAX = 24, LOG_TEXT_BYTES_MAX = 4096 };
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_JSON, LOG_FORMAT_PRETTY };

struct log_options {
    enum log_level level;
    /* "wal=debug,api=warn": levels by target; NULL for none. Copied. */
    const char *levels;
    enum log_format format; /* AUTO: pretty on a terminal, else JSON */
    const char *path;       /* NULL or "": stderr */
    struct clock *clock;
};
/* Again: reconfigures, and opens the file anew; on failure nothing has changed. */
NODISCARD
status log_open(const struct log_options *options, struct err *err);
void log_close(void);
bool log_enabled(enum log_level level, const char *target);
void log_write(enum log_level level, const char *target, const char *message, const char *format,
               ...) PRINTF_LIKE(4, 5);
uint64_t log_dropped(void);
NODISCARD
bool log_level_parse(const char *text, enum log_level *out);
/* This thread's request and collection until the next call; NULL for none. The texts are copied,
 * up to 159 bytes each. */
void log_context_set(const char *request_id, const char *collection_id);

/* For what may happen a thousand times a second: true the first time, and then at most once in
 * LOG_REPEAT_NS; *left_out is how often it was false in between. A zeroed one is ready. */
#define LOG_REPEAT_NS UINT64_C(10000000000)
struct log_repeat {
    _Atomic uint64_t next_ns; /* monotonic; 0: not yet */
    _Atomic uint64_t left_out;
};
bool log_repeat(struct log_repeat *repeat, uint64_t *left_out);

/* The target is the folder of the file that logs. The text is this thread's until its next call. */
#ifndef LOG_TARGET
#define LOG_TARGET log_target_of(__FILE__)
#endif
const char *log_target_of(const char *file);

/* The lowest level that any target logs at: what is below costs one load. */
extern _Atomic int log_floor;

#define log_at(level, message, ...)                                                                \
    do {                                                                                           \
        if ((int)(level) >= atomic_load_explicit(&log_floor, memory_order_relaxed) &&              \
            log_enabled((level), LOG_TARGET))                                                      \
            log_write((level), LOG_TARGET, (message), " " __VA_ARGS__);                            \
    } while (0)
#define log_debug(message, ...) log_at(LOG_DEBUG, message, __VA_ARGS__)
#define log_info(message, ...)  log_at(LOG_INFO, message, __VA_ARGS__)
#define log_warn(message, ...)  log_at(LOG_WARN, message, __VA_ARGS__)
#define log_error(message, ...) log_at(LOG_ERROR, message, __VA_ARGS__)

#endif
