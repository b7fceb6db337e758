/* The configuration file: which one, and its items one by one. */
#include "config/config_internal.h"

#include "base/fs.h"
#include "base/mem.h"
#include "config/toml_shim.h"

#include <stdio.h>
#include <unistd.h>

struct reading {
    struct config_load *load;
    status st;
    struct err *err;
};

/* What a file is called in texts: "config.toml:12". */
static void place_of(const struct config_load *load, unsigned line, char *out, size_t bytes)
{
    (void)snprintf(out, bytes, "%.400s:%u", load->file, line);
}

static bool is_section(struct slice name)
{
    for (size_t i = 0; i < config_key_count; i++) {
        const char *section = config_keys[i].section;
        size_t bytes = strlen(section);

        if (name.bytes <= bytes && memcmp(section, name.data, name.bytes) == 0 &&
            (section[name.bytes] == '\0' || section[name.bytes] == '.'))
            return true;
    }
    return false;
}

/* "storage" and "retry" -> "storage.retry", which is a section or leads to one. False if not. */
static bool names_section(struct slice section, struct slice key)
{
    char name[CONFIG_NAME_BYTES];

    if (section.bytes + 1 + key.bytes >= sizeof name || key.bytes == 0 ||
        memchr(key.data, '.', key.bytes) != NULL)
        return false;
    if (section.bytes == 0)
        return is_section(key);
    memcpy(name, section.data, section.bytes);
    name[section.bytes] = '.';
    memcpy(name + section.bytes + 1, key.data, key.bytes);
    return is_section(slice_make(name, section.bytes + 1 + key.bytes));
}

static status unknown(struct slice section, struct slice key, const char *where, struct err *err)
{
    const struct config_key *nearest = config_key_nearest(section, key);
    char shown_section[CONFIG_SHOWN_BYTES];
    char shown_key[CONFIG_SHOWN_BYTES];

    config_show(shown_section, section);
    config_show(shown_key, key);
    return err_set(err, ST_INVALID, "%s: there is no key %s%s%s; the nearest is %s.%s", where,
                   shown_section, section.bytes > 0 ? "." : "", shown_key, nearest->section,
                   nearest->key);
}

/* A header of a table: the nearest section, as a header. */
static status unknown_section(struct slice section, struct slice key, const char *where,
                              struct err *err)
{
    char name[CONFIG_NAME_BYTES];
    char shown[CONFIG_SHOWN_BYTES];
    size_t bytes = (size_t)snprintf(name, sizeof name, "%.*s%s%.*s", (int)section.bytes,
                                    (const char *)section.data, section.bytes > 0 ? "." : "",
                                    (int)key.bytes, (const char *)key.data);
    const char *nearest = config_keys[0].section;
    size_t least = SIZE_MAX;

    bytes = bytes < sizeof name ? bytes : sizeof name - 1;
    for (size_t i = 0; i < config_key_count; i++) {
        const char *candidate = config_keys[i].section;
        size_t distance = config_distance(name, bytes, candidate, strlen(candidate));

        if (distance < least) {
            least = distance;
            nearest = candidate;
        }
    }
    config_show(shown, slice_make(name, bytes));
    return err_set(err, ST_INVALID, "%s: there is no section [%s]; the nearest is [%s]", where,
                   shown, nearest);
}

static struct config_raw raw_of(const struct toml_item *item)
{
    struct config_raw raw = {.kind = CONFIG_RAW_OTHER,
                             .text = slice_make(item->text, item->text_bytes),
                             .number = item->integer,
                             .boolean = item->boolean};

    if (item->kind == TOML_TEXT)
        raw.kind = CONFIG_RAW_TEXT;
    else if (item->kind == TOML_INTEGER)
        raw.kind = CONFIG_RAW_NUMBER;
    else if (item->kind == TOML_BOOLEAN)
        raw.kind = CONFIG_RAW_BOOL;
    else if (item->kind == TOML_ARRAY)
        raw.kind = CONFIG_RAW_LIST;
    return raw;
}

static bool take_item(void *arg, const struct toml_item *item)
{
    struct reading *reading = arg;
    struct slice section = slice_make(item->section, item->section_bytes);
    struct slice key = slice_make(item->key, item->key_bytes);
    struct config_raw raw = raw_of(item);
    char where[448];
    size_t index;

    place_of(reading->load, item->line, where, sizeof where);
    if (config_key_find(section, key, &index)) {
        reading->st = config_apply(reading->load, index, &raw, CONFIG_FILE, where, reading->err);
    } else if (names_section(section, key)) {
        if (item->kind != TOML_TABLE)
            reading->st =
                err_set(reading->err, ST_INVALID, "%s: %.*s is a section: write [%s%s%.*s]", where,
                        (int)key.bytes, item->key, item->section, section.bytes > 0 ? "." : "",
                        (int)key.bytes, item->key);
    } else if (item->kind == TOML_TABLE) {
        reading->st = unknown_section(section, key, where, reading->err);
    } else {
        reading->st = unknown(section, key, where, reading->err);
    }
    return reading->st == ST_OK;
}

static status read_text(struct config_load *load, struct slice text, struct err *err)
{
    struct reading reading = {.load = load, .err = err};
    struct toml_fault fault = {0};
    char shown[sizeof fault.text];
    char where[448];

    switch (toml_read((const char *)text.data, text.bytes, take_item, &reading, &fault)) {
    case TOML_OK:
        return ST_OK;
    case TOML_STOPPED:
        return reading.st;
    case TOML_NO_MEMORY:
        return err_set(err, ST_NOMEM, "read %.400s: out of memory", load->file);
    case TOML_BAD:
        break;
    }
    (void)snprintf(shown, sizeof shown, "%s", fault.text);
    for (char *c = shown; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
            *c = '?';
    place_of(load, fault.line, where, sizeof where);
    return err_set(err, ST_INVALID, "%s: %s", where, shown);
}

/* Not fs_read_file(): that believes the size a pipe or a device claims to have. */
static status read_bytes(struct config_load *load, uint8_t *into, size_t *bytes, struct err *err)
{
    struct fs *fs = fs_real();
    struct fs_file *file = NULL;
    status st = fs_open(fs, load->file, FS_READ, &file, err);

    if (st == ST_OK)
        st = fs_pread(fs, file, into, CONFIG_FILE_BYTES_MAX + 1, 0, bytes, err);
    fs_close(fs, file);
    if (st != ST_OK && st != ST_NOMEM)
        return err_wrap(err, ST_INVALID, "configuration file%s%s",
                        load->file_origin == NULL ? "" : " named by ",
                        load->file_origin == NULL ? "" : load->file_origin);
    if (st == ST_OK && *bytes > CONFIG_FILE_BYTES_MAX)
        return err_set(err, ST_INVALID, "%.400s: larger than %d bytes; this is no configuration",
                       load->file, CONFIG_FILE_BYTES_MAX);
    return st;
}

static void find_file(struct config_load *load)
{
    static const char *const variables[] = {"TIERVEC_CONFIG", "AKIDB_CONFIG"};
    static const char *const places[] = {"./config.toml", "/etc/tiervec/config.toml"};

    for (size_t i = 0; i < COUNT_OF(variables) && load->file == NULL; i++) {
        load->file = config_variable(load->env, variables[i]);
        load->file_origin = load->file == NULL ? NULL : variables[i];
    }
    for (size_t i = 0; i < COUNT_OF(places) && load->file == NULL; i++)
        if (access(places[i], F_OK) == 0)
            load->file = places[i];
}

status config_read_file(struct config_load *load, struct err *err)
{
    uint8_t *bytes;
    size_t count = 0;
    status st;

    if (load->file == NULL)
        find_file(load);
    if (load->file == NULL)
        return ST_OK;
    bytes = mem_alloc(CONFIG_FILE_BYTES_MAX + 1);
    load->out->file = mem_strdup(load->file);
    if (bytes == NULL || load->out->file == NULL) {
        mem_free(bytes);
        return err_set(err, ST_NOMEM, "read %.400s: out of memory", load->file);
    }
    st = read_bytes(load, bytes, &count, err);
    if (st == ST_OK)
        st = read_text(load, slice_make(bytes, count), err);
    mem_free(bytes);
    return st;
}
