/* Who logs takes no lock. The configuration is one immutable object behind a pointer; those before
 * it stay until log_close(), as a thread may still look at one, and there are as many as there were
 * reloads. The descriptor keeps its number for good: a new file is put under it with dup3(), which
 * no write falls through. */
#include "base/log_internal.h"

#include "base/json.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum {
    TARGETS_MAX = 32,
    TARGET_BYTES = 24,
    /* Every byte of the values escaped to six, and the rest of the line. */
    LINE_BYTES = 6 * LOG_TEXT_BYTES_MAX + 8192,
    FILE_MODE = 0640,
    CONTEXT_BYTES = 160, /* a request_id has 128 at most, a collection_id 36 */
};

struct target_level {
    char target[TARGET_BYTES];
    enum log_level level;
};

struct config {
    struct config *older;
    struct clock *clock; /* borrowed from log_open() */
    enum log_level level;
    bool pretty;
    size_t target_count;
    struct target_level targets[TARGETS_MAX];
};

_Atomic int log_floor = LOG_OFF;
/* Set by log_open() with release, read by who logs with acquire. */
static struct config *_Atomic current;
static _Atomic int log_fd = -1;
static _Atomic uint64_t dropped;
/* Copies: a request may be freed by another thread while this one still works. "" for none. */
static _Thread_local char context_request[CONTEXT_BYTES];
static _Thread_local char context_collection[CONTEXT_BYTES];

static const char *const level_names[] = {"trace", "debug", "info", "warn", "error", "off"};
static const char *const level_labels[] = {"TRACE", "DEBUG", "INFO ", "WARN ", "ERROR"};

static bool parse_level(const char *text, size_t bytes, enum log_level *out)
{
    for (size_t i = 0; i < COUNT_OF(level_names); i++) {
        if (strlen(level_names[i]) != bytes || memcmp(level_names[i], text, bytes) != 0)
            continue;
        *out = (enum log_level)i;
        return true;
    }
    return false;
}

bool log_level_parse(const char *text, enum log_level *out)
{
    return parse_level(text, strlen(text), out);
}

static bool is_target(const char *text, size_t bytes)
{
    return bytes > 0 && bytes < TARGET_BYTES &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") >= bytes;
}

/* One `target=level` of `bytes` characters. */
static status parse_target(struct config *c, const char *text, size_t bytes, struct err *err)
{
    const char *equals = memchr(text, '=', bytes);
    size_t name_bytes = equals == NULL ? 0 : (size_t)(equals - text);
    struct target_level *t = &c->targets[c->target_count];

    if (c->target_count == TARGETS_MAX)
        return err_set(err, ST_INVALID, "log levels for more than %d targets", TARGETS_MAX);
    if (equals == NULL || !is_target(text, name_bytes) ||
        !parse_level(equals + 1, bytes - name_bytes - 1, &t->level))
        return err_set(err, ST_INVALID,
                       "log level '%.*s' is not target=level with a level of trace, debug, info, "
                       "warn, error, off",
                       (int)(bytes < 64 ? bytes : 64), text);
    memcpy(t->target, text, name_bytes);
    t->target[name_bytes] = '\0';
    c->target_count++;
    return ST_OK;
}

static status parse_targets(struct config *c, const char *text, struct err *err)
{
    static const char separators[] = ", ";
    status st = ST_OK;

    text += strspn(text, separators);
    while (st == ST_OK && *text != '\0') {
        size_t bytes = strcspn(text, separators);

        st = parse_target(c, text, bytes, err);
        text += bytes;
        text += strspn(text, separators);
    }
    return st;
}

static enum log_level level_of(const struct config *c, const char *target)
{
    for (size_t i = c->target_count; i > 0; i--) /* of doubled ones the last */
        if (strcmp(c->targets[i - 1].target, target) == 0)
            return c->targets[i - 1].level;
    return c->level;
}

static int floor_of(const struct config *c)
{
    int lowest = (int)c->level;

    for (size_t i = 0; i < c->target_count; i++)
        if ((int)c->targets[i].level < lowest)
            lowest = (int)c->targets[i].level;
    return lowest;
}

static status open_output(const char *path, int *out, struct err *err)
{
    if (path == NULL || path[0] == '\0') {
        *out = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        return *out >= 0 ? ST_OK : err_set_errno(err, errno, "open the log on stderr");
    }
    *out = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, FILE_MODE);
    return *out >= 0 ? ST_OK : err_set_errno(err, errno, "open log file %s", path);
}

/* Puts fd under the number that who logs knows. */
static status install(int fd, struct err *err)
{
    int known = atomic_load(&log_fd);

    if (known < 0) {
        atomic_store(&log_fd, fd);
        return ST_OK;
    }
    if (dup3(fd, known, O_CLOEXEC) < 0) {
        int errnum = errno;

        (void)close(fd);
        return err_set_errno(err, errnum, "open the log anew");
    }
    (void)close(fd);
    return ST_OK;
}

status log_open(const struct log_options *options, struct err *err)
{
    struct config *c = mem_zero(sizeof *c);
    int fd = -1;
    status st;

    if (c == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the log's configuration");
    c->level = options->level;
    c->clock = options->clock == NULL ? clock_real() : options->clock;
    st = options->levels == NULL ? ST_OK : parse_targets(c, options->levels, err);
    if (st == ST_OK)
        st = open_output(options->path, &fd, err);
    if (st == ST_OK) {
        c->pretty = options->format == LOG_FORMAT_PRETTY ||
                    (options->format == LOG_FORMAT_AUTO && isatty(fd));
        st = install(fd, err);
    }
    if (st != ST_OK) {
        mem_free(c);
        return st;
    }
    c->older = atomic_load(&current);
    atomic_store_explicit(&current, c, memory_order_release);
    atomic_store(&log_floor, floor_of(c));
    return ST_OK;
}

void log_close(void)
{
    struct config *c = atomic_exchange(&current, NULL);
    int fd = atomic_exchange(&log_fd, -1);

    atomic_store(&log_floor, LOG_OFF);
    while (c != NULL) {
        struct config *older = c->older;

        mem_free(c);
        c = older;
    }
    if (fd >= 0)
        (void)close(fd);
}

bool log_enabled(enum log_level level, const char *target)
{
    const struct config *c = atomic_load_explicit(&current, memory_order_acquire);

    return c != NULL && level < LOG_OFF && level >= level_of(c, target);
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&dropped, memory_order_relaxed);
}

static void keep_context(char to[CONTEXT_BYTES], const char *text)
{
    size_t bytes = text == NULL ? 0 : strnlen(text, CONTEXT_BYTES - 1);

    if (bytes > 0)
        memcpy(to, text, bytes);
    to[bytes] = '\0';
}

void log_context_set(const char *request_id, const char *collection_id)
{
    keep_context(context_request, request_id);
    keep_context(context_collection, collection_id);
}

bool log_repeat(struct log_repeat *repeat, uint64_t *left_out)
{
    const struct config *c = atomic_load_explicit(&current, memory_order_acquire);
    uint64_t now_ns = clock_mono_ns(c == NULL ? clock_real() : c->clock);
    uint64_t next_ns = atomic_load_explicit(&repeat->next_ns, memory_order_relaxed);

    *left_out = 0;
    if (now_ns < next_ns ||
        !atomic_compare_exchange_strong_explicit(&repeat->next_ns, &next_ns, now_ns + LOG_REPEAT_NS,
                                                 memory_order_relaxed, memory_order_relaxed)) {
        atomic_fetch_add_explicit(&repeat->left_out, 1, memory_order_relaxed);
        return false;
    }
    *left_out = atomic_exchange_explicit(&repeat->left_out, 0, memory_order_relaxed);
    return true;
}

const char *log_target_of(const char *file)
{
    static _Thread_local char target[TARGET_BYTES];
    const char *end = strrchr(file, '/');
    const char *start = end;
    size_t bytes;

    if (end == NULL)
        return "main"; /* a file without a folder */
    while (start > file && start[-1] != '/')
        start--;
    bytes = (size_t)(end - start) < sizeof target ? (size_t)(end - start) : sizeof target - 1;
    memcpy(target, start, bytes);
    target[bytes] = '\0';
    return target;
}

static void add_context(struct log_fields *f, const char *key, const char *value)
{
    if (value[0] == '\0' || log_fields_has(f, key))
        return;
    if (f->count == LOG_FIELDS_MAX) {
        f->cut = true;
        return;
    }
    f->field[f->count++] = (struct log_field){.key = slice_text(key), .value = slice_text(value)};
}

static void put_json(struct buf *b, const char *timestamp, enum log_level level, const char *target,
                     const char *message, const struct log_fields *f)
{
    buf_printf(b, "{\"timestamp\":\"%s\",\"level\":\"%s\",\"target\":", timestamp,
               level_names[level]);
    json_put_string(b, slice_text(target));
    buf_put_text(b, ",\"message\":");
    json_put_string(b, slice_text(message));
    buf_put_text(b, ",\"fields\":");
    log_put_json_fields(b, f);
    buf_put_text(b, "}\n");
}

static void put_pretty(struct buf *b, const char *timestamp, enum log_level level,
                       const char *target, const char *message, const struct log_fields *f)
{
    buf_printf(b, "%s %s %s: ", timestamp, level_labels[level], target);
    json_put_escaped(b, slice_text(message));
    log_put_pretty_fields(b, f);
    buf_put_text(b, "\n");
}

/* One write(2). When it takes a part only (a disk that fills, a pipe) the rest follows, as half a
 * line would spoil the next one too. */
static bool write_line(int fd, const struct buf *line)
{
    size_t done = 0;

    while (done < line->bytes) {
        ssize_t n = write(fd, line->data + done, line->bytes - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

void log_write(enum log_level level, const char *target, const char *message, const char *format,
               ...)
{
    const struct config *c = atomic_load_explicit(&current, memory_order_acquire);
    uint8_t memory[LINE_BYTES];
    struct buf line = {.data = memory, .capacity = sizeof memory, .bytes_max = sizeof memory};
    char timestamp[CLOCK_TEXT_BYTES];
    struct log_fields fields;
    int errnum = errno; /* who logs may still want it */
    va_list args;

    if (c == NULL || level >= LOG_OFF)
        return;
    va_start(args, format);
    log_fields_make(&fields, format, args);
    va_end(args);
    add_context(&fields, "request_id", context_request);
    add_context(&fields, "collection_id", context_collection);
    clock_format_rfc3339(clock_wall_ns(c->clock), timestamp);
    if (c->pretty)
        put_pretty(&line, timestamp, level, target, message, &fields);
    else
        put_json(&line, timestamp, level, target, message, &fields);
    if (line.failed || !write_line(atomic_load(&log_fd), &line))
        atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
    errno = errnum;
}
