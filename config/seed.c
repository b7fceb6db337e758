/* AkiDB's keys and variables: its own config.toml and environment start a node unedited.
 *
 * How its configuration is recognised: by [database] path = "sqlite:..." (in the file, or as
 * AKIDB_DB_PATH), which no configuration of ours has, and by AKIDB_HOST. An address beyond loopback
 * is served anonymously, with a loud warning, when AKIDB_HOST gave it, or when the file gave it and
 * such a path stands in file or environment. Whatever our own variables and flags say is ours. */
#include "config/config_internal.h"

#include <stdio.h>

static bool starts_with(struct slice text, const char *prefix)
{
    return text.bytes >= strlen(prefix) && memcmp(text.data, prefix, strlen(prefix)) == 0;
}

/* "sqlite:///var/lib/x/meta.db?mode=rwc" -> "/var/lib/x"; "sqlite://x.db", "sqlite:x.db" -> ".".
 * False if it is no path to a file. */
static bool folder_of(struct slice url, struct slice *out)
{
    size_t skip = starts_with(url, "sqlite://") ? strlen("sqlite://") : strlen("sqlite:");
    struct slice path = slice_make(url.data + skip, url.bytes - skip);
    const uint8_t *query = path.bytes == 0 ? NULL : memchr(path.data, '?', path.bytes);

    if (query != NULL)
        path.bytes = (size_t)(query - path.data);
    if (path.bytes == 0 || path.data[0] == ':')
        return false; /* sqlite::memory: */
    while (path.bytes > 0 && path.data[path.bytes - 1] != '/')
        path.bytes--;
    while (path.bytes > 1 && path.data[path.bytes - 1] == '/')
        path.bytes--;
    *out = path.bytes == 0 ? slice_text(".") : path;
    return true;
}

static status take_path(struct config_load *load, const struct config_raw *raw,
                        enum config_origin origin, const char *where, struct err *err)
{
    size_t data_dir = config_key_index("database", "data_dir");
    bool text = raw->kind == CONFIG_RAW_TEXT || raw->kind == CONFIG_RAW_WORD;
    struct config_raw folder = {.kind = CONFIG_RAW_TEXT};
    char shown[CONFIG_SHOWN_BYTES];
    status st;

    config_show(shown, text ? raw->text : slice_text("this"));
    if (!text || !starts_with(raw->text, "sqlite:") || !folder_of(raw->text, &folder.text))
        return err_set(err, ST_INVALID,
                       "%s: database.path: %s is no \"sqlite:///folder/file.db\"; right is "
                       "database.data_dir = \"/folder\"",
                       where, shown);
    load->sqlite_path = load->sqlite_path || origin != CONFIG_FLAG;
    if (load->out->entries[data_dir].origin == origin)
        return config_warn(load->out, err, "%s: database.path is not used: %s says data_dir too",
                           where, load->out->entries[data_dir].where);
    config_show(shown, folder.text);
    st = config_warn(load->out, err,
                     "%s: database.path: its folder %s is taken as data_dir; no SQLite file is "
                     "read or written",
                     where, shown);
    return st != ST_OK ? st : config_set(load, data_dir, &folder, origin, where, err);
}

status config_apply(struct config_load *load, size_t index, const struct config_raw *raw,
                    enum config_origin origin, const char *where, struct err *err)
{
    const struct config_key *key = &config_keys[index];
    status st = ST_OK;

    if (index == config_key_index("database", "path"))
        st = take_path(load, raw, origin, where, err);
    else if (key->use == CONFIG_SEED)
        st = config_warn(load->out, err, "%s: %s.%s means nothing here: %s", where, key->section,
                         key->key, key->later);
    return st != ST_OK ? st : config_set(load, index, raw, origin, where, err);
}
