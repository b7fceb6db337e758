/* Log levels as texts: ours, checked strictly, and RUST_LOG's, of which what is understood is
 * taken. */
#include "config/config_internal.h"

#include <assert.h>
#include <stdio.h>
#include <strings.h>

/* In the order of enum log_level. */
static const char *const level_names[] = {"trace", "debug", "info", "warn", "error", "off"};
static_assert(LOG_TRACE == 0 && LOG_OFF == 5, "level_names");
/* Log targets are the folders that log. */
static const char *const target_names[] = {"base", "index",   "wal",      "objstore",
                                           "dlq",  "segment", "snapshot", "tiering",
                                           "node", "api",     "config",   "cli"};

static const char *level_of(struct slice s)
{
    for (size_t i = 0; i < COUNT_OF(level_names); i++)
        if (s.bytes == strlen(level_names[i]) &&
            strncasecmp((const char *)s.data, level_names[i], s.bytes) == 0)
            return level_names[i];
    return NULL;
}

static const char *target_of(struct slice s)
{
    for (size_t i = 0; i < COUNT_OF(target_names); i++)
        if (slice_equal(s, slice_text(target_names[i])))
            return target_names[i];
    return NULL;
}

static struct slice trimmed(struct slice s)
{
    while (s.bytes > 0 && s.data[0] == ' ')
        s = slice_make(s.data + 1, s.bytes - 1);
    while (s.bytes > 0 && s.data[s.bytes - 1] == ' ')
        s.bytes--;
    return s;
}

/* Cuts the next part, up to `end`, off *rest. */
static struct slice cut_part(struct slice *rest, char end)
{
    const uint8_t *found = rest->bytes == 0 ? NULL : memchr(rest->data, end, rest->bytes);
    struct slice part = *rest;

    if (found == NULL) {
        *rest = slice_make(rest->data + rest->bytes, 0);
    } else {
        part.bytes = (size_t)(found - rest->data);
        *rest = slice_make(found + 1, rest->bytes - part.bytes - 1);
    }
    return trimmed(part);
}

struct levels {
    const char *level;
    char targets[CONFIG_LEVELS_BYTES / 2];
};

static bool add_target(struct levels *levels, const char *target, const char *level)
{
    size_t used = strlen(levels->targets);

    return snprintf(levels->targets + used, sizeof levels->targets - used, ",%s=%s", target,
                    level) < (int)(sizeof levels->targets - used);
}

/* The level comes first, "info" if none is said, then those of targets. */
static void print(const struct levels *levels, char out[CONFIG_LEVELS_BYTES])
{
    (void)snprintf(out, CONFIG_LEVELS_BYTES, "%s%s", levels->level == NULL ? "info" : levels->level,
                   levels->targets);
}

bool config_levels_parse(struct slice text, char out[CONFIG_LEVELS_BYTES])
{
    struct levels levels = {0};

    do {
        struct slice part = cut_part(&text, ',');
        bool targeted = part.bytes > 0 && memchr(part.data, '=', part.bytes) != NULL;
        const char *target = targeted ? target_of(cut_part(&part, '=')) : NULL;
        const char *level = level_of(trimmed(part));

        if (level == NULL || (targeted && target == NULL))
            return false;
        if (!targeted)
            levels.level = level;
        else if (!add_target(&levels, target, level))
            return false;
    } while (text.bytes > 0);
    print(&levels, out);
    return true;
}

/* RUST_LOG's directives: "info", "akidb=debug", "akidb::storage=trace", "akidb_rest[span]=warn". A
 * level alone, or that of the program as a whole, is ours; of targets those that are our folders.
 */
static bool is_the_program(struct slice target)
{
    const char *const names[] = {"akidb", "tiervec"};

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (target.bytes >= strlen(names[i]) &&
            memcmp(target.data, names[i], strlen(names[i])) == 0)
            return memchr(target.data, ':', target.bytes) == NULL;
    return false;
}

static void take_directive(struct levels *levels, struct slice part)
{
    bool targeted = memchr(part.data, '=', part.bytes) != NULL;
    struct slice target = targeted ? cut_part(&part, '=') : slice_text("");
    const char *level = level_of(trimmed(part));

    if (level == NULL)
        return;
    if (!targeted || is_the_program(target))
        levels->level = level;
    else if (target_of(target) != NULL)
        (void)add_target(levels, target_of(target), level); /* what does not fit is not taken */
}

bool config_levels_from_rust(struct slice rust, char out[CONFIG_LEVELS_BYTES])
{
    struct levels levels = {0};

    while (rust.bytes > 0) {
        struct slice part = cut_part(&rust, ',');

        if (part.bytes > 0)
            take_directive(&levels, part);
    }
    if (levels.level == NULL && levels.targets[0] == '\0')
        return false;
    print(&levels, out);
    return true;
}

void config_log_options(const struct config *c, struct log_options *out)
{
    const char *levels = strchr(c->logging.level, ',');
    size_t bytes = levels == NULL ? strlen(c->logging.level) : (size_t)(levels - c->logging.level);

    *out = (struct log_options){.level = LOG_INFO, .path = c->logging.file};
    for (size_t i = 0; i < COUNT_OF(level_names); i++)
        if (slice_equal(slice_make(c->logging.level, bytes), slice_text(level_names[i])))
            out->level = (enum log_level)i;
    out->levels = levels == NULL ? NULL : levels + 1;
    if (strcmp(c->logging.format, "json") == 0)
        out->format = LOG_FORMAT_JSON;
    else if (strcmp(c->logging.format, "pretty") == 0)
        out->format = LOG_FORMAT_PRETTY;
}
