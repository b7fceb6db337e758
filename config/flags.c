/* The flags behind the subcommand: --key value, --key=value, --set section.key=value. */
#include "config/config_internal.h"

#include <ctype.h>
#include <stdio.h>

struct flag {
    char name[CONFIG_NAME_BYTES]; /* "--rest-port" */
    const char *value;            /* behind '=', or NULL */
};

static status split(const char *text, struct flag *out, struct err *err)
{
    const char *equals = strchr(text, '=');
    size_t bytes = equals == NULL ? strlen(text) : (size_t)(equals - text);
    char shown[CONFIG_SHOWN_BYTES];

    config_show(shown, slice_text(text));
    if (strncmp(text, "--", 2) != 0 || bytes < 3)
        return err_set(
            err, ST_INVALID,
            "%s is no flag; right is --key value, --key=value or --set section.key=value", shown);
    if (bytes >= sizeof out->name)
        return err_set(err, ST_INVALID, "there is no flag %s", shown);
    memcpy(out->name, text, bytes);
    out->name[bytes] = '\0';
    for (char *c = out->name + 2; *c != '\0'; c++)
        *c = *c == '_' || *c == '.' ? '-' : *c;
    out->value = equals == NULL ? NULL : equals + 1;
    return ST_OK;
}

static void short_flag(const struct config_key *key, char out[CONFIG_NAME_BYTES])
{
    (void)snprintf(out, CONFIG_NAME_BYTES, "--%s", key->short_name);
    for (char *c = out; *c != '\0'; c++)
        *c = *c == '_' ? '-' : *c;
}

/* True when name is the key's short or long flag; distance: to the nearer of the two. */
static bool is_flag_of(const struct config_key *key, const char *name, size_t *distance)
{
    char other[CONFIG_NAME_BYTES];
    size_t shorter;

    config_key_flag(key, other);
    *distance = config_distance(name, strlen(name), other, strlen(other));
    if (strcmp(name, other) == 0)
        return true;
    if (key->short_name == NULL)
        return false;
    short_flag(key, other);
    shorter = config_distance(name, strlen(name), other, strlen(other));
    *distance = shorter < *distance ? shorter : *distance;
    return strcmp(name, other) == 0;
}

static status find_flag(const char *name, size_t *index, struct err *err)
{
    size_t nearest = 0;
    size_t nearest_distance = SIZE_MAX;
    char other[CONFIG_NAME_BYTES];
    char shown[CONFIG_SHOWN_BYTES];

    for (size_t i = 0; i < config_key_count; i++) {
        size_t distance;

        if (is_flag_of(&config_keys[i], name, &distance)) {
            *index = i;
            return ST_OK;
        }
        if (config_keys[i].use != CONFIG_SEED && distance < nearest_distance) {
            nearest = i;
            nearest_distance = distance;
        }
    }
    if (config_keys[nearest].short_name != NULL)
        short_flag(&config_keys[nearest], other);
    else
        config_key_flag(&config_keys[nearest], other);
    config_show(shown, slice_text(name));
    return err_set(err, ST_INVALID, "there is no flag %s; the nearest is %s", shown, other);
}

/* The value of argv[*at]: behind its '=', or the next argument, which *at then moves to. */
static status take_value(int argc, char *const *argv, int *at, const struct flag *flag,
                         const char **out, struct err *err)
{
    if (flag->value == NULL && *at + 1 >= argc)
        return err_set(err, ST_INVALID, "%s wants a value: %s=...", flag->name, flag->name);
    *out = flag->value != NULL ? flag->value : argv[++*at];
    return ST_OK;
}

static status take_set(struct config_load *load, const char *text, struct err *err)
{
    const char *equals = strchr(text, '=');
    struct slice name = slice_make(text, equals == NULL ? strlen(text) : (size_t)(equals - text));
    struct config_raw raw = {.kind = CONFIG_RAW_WORD};
    struct slice section = slice_text("");
    struct slice key = name;
    char shown[CONFIG_SHOWN_BYTES];
    size_t index;

    config_show(shown, name);
    if (equals == NULL)
        return err_set(err, ST_INVALID, "--set %s: right is --set section.key=value", shown);
    for (size_t i = name.bytes; i > 0; i--) {
        if (text[i - 1] != '.')
            continue;
        section = slice_make(text, i - 1);
        key = slice_make(text + i, name.bytes - i);
        break;
    }
    if (!config_key_find(section, key, &index)) {
        const struct config_key *nearest = config_key_nearest(section, key);

        return err_set(err, ST_INVALID, "--set: there is no key %s; the nearest is %s.%s", shown,
                       nearest->section, nearest->key);
    }
    raw.text = slice_text(equals + 1);
    return config_apply(load, index, &raw, CONFIG_FLAG, "--set", err);
}

static status take_key(struct config_load *load, int argc, char *const *argv, int *at,
                       const struct flag *flag, struct err *err)
{
    struct config_raw raw = {.kind = CONFIG_RAW_WORD};
    const char *value = NULL;
    size_t index = 0;
    status st = find_flag(flag->name, &index, err);

    if (st != ST_OK)
        return st;
    if (config_keys[index].kind == CONFIG_BOOL && flag->value == NULL)
        value = "true"; /* --log-requests alone; =false is the other way */
    else
        st = take_value(argc, argv, at, flag, &value, err);
    if (st != ST_OK)
        return st;
    raw.text = slice_text(value);
    return config_apply(load, index, &raw, CONFIG_FLAG, flag->name, err);
}

static status take_flag(struct config_load *load, int argc, char *const *argv, int *at,
                        struct err *err)
{
    struct flag flag;
    const char *value = NULL;
    status st = split(argv[*at], &flag, err);

    if (st != ST_OK)
        return st;
    if (strcmp(flag.name, "--config") != 0 && strcmp(flag.name, "--set") != 0)
        return take_key(load, argc, argv, at, &flag, err);
    st = take_value(argc, argv, at, &flag, &value, err);
    if (st == ST_OK && strcmp(flag.name, "--set") == 0)
        st = take_set(load, value, err);
    return st; /* --config was read before everything else */
}

status config_read_flags(struct config_load *load, int argc, char *const *argv, struct err *err)
{
    status st = ST_OK;

    for (int at = 0; at < argc && st == ST_OK; at++)
        st = take_flag(load, argc, argv, &at, err);
    return st;
}

static bool takes_next(const struct flag *flag)
{
    size_t distance;

    if (flag->value != NULL)
        return false;
    for (size_t i = 0; i < config_key_count; i++)
        if (is_flag_of(&config_keys[i], flag->name, &distance))
            return config_keys[i].kind != CONFIG_BOOL;
    return true;
}

status config_find_file_flag(struct config_load *load, int argc, char *const *argv, struct err *err)
{
    for (int at = 0; at < argc; at++) {
        struct flag flag;
        status st = split(argv[at], &flag, err);

        if (st != ST_OK)
            return st;
        if (strcmp(flag.name, "--config") != 0) {
            at += takes_next(&flag);
            continue;
        }
        st = take_value(argc, argv, &at, &flag, &load->file, err);
        if (st != ST_OK)
            return st;
        if (load->file[0] == '\0')
            return err_set(err, ST_INVALID, "--config: the path is empty");
        load->file_origin = "--config";
    }
    return ST_OK;
}
