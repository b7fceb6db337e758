/* The table of keys in three forms: effective values, the example file, the reference page. */
#include "config/config_internal.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

enum { COLUMNS = 100 };

/* Starts a [section] when the key is the first of it. */
static bool new_section(size_t index)
{
    return index == 0 || strcmp(config_keys[index].section, config_keys[index - 1].section) != 0;
}

static const char *origin_name(enum config_origin origin)
{
    switch (origin) {
    case CONFIG_DEFAULT:
        return "default";
    case CONFIG_FILE:
        return "file";
    case CONFIG_ENVIRONMENT:
        return "environment";
    case CONFIG_FLAG:
        return "flag";
    }
    return "default";
}

status config_print(const struct config *c, bool origins, struct buf *out, struct err *err)
{
    const char *section = "";

    for (size_t i = 0; i < c->entry_count; i++) {
        const struct config_entry *entry = &c->entries[i];

        if (entry->value == NULL) /* the seed's, and not set */
            continue;
        if (strcmp(section, entry->section) != 0)
            buf_printf(out, "%s[%s]\n", section[0] == '\0' ? "" : "\n", entry->section);
        section = entry->section;
        buf_printf(out, "%s = %s", entry->key, entry->value);
        if (origins && entry->origin == CONFIG_DEFAULT)
            buf_put_text(out, "  # default");
        else if (origins)
            buf_printf(out, "  # %s %s", origin_name(entry->origin), entry->where);
        buf_put_u8(out, '\n');
    }
    return buf_status(out, err);
}

/* Words of text, broken at COLUMNS, each line behind "# ". */
static void put_comment(struct buf *out, const char *text)
{
    size_t column = 0;

    while (*text != '\0') {
        size_t bytes = strcspn(text, " ");

        if (column > 0 && column + 1 + bytes > COLUMNS) {
            buf_put_u8(out, '\n');
            column = 0;
        }
        buf_put_text(out, column == 0 ? "# " : " ");
        buf_put(out, text, bytes);
        column += bytes + (column == 0 ? 2 : 1);
        text += bytes;
        text += strspn(text, " ");
    }
    buf_put_u8(out, '\n');
}

static void put_default(struct buf *out, const struct config_key *key)
{
    if (key->kind == CONFIG_LIST)
        buf_put_text(out, "[]");
    else if (key->kind == CONFIG_TEXT || key->kind == CONFIG_CHOICE)
        config_put_text(out, slice_text(key->fallback));
    else
        buf_put_text(out, key->fallback);
}

static bool describes_more_than_a_text(const struct config_key *key)
{
    return key->kind == CONFIG_NUMBER || key->kind == CONFIG_CHOICE;
}

static void put_example_key(struct buf *out, const struct config_key *key)
{
    char right[256];
    char text[1024];

    config_describe(key, right);
    right[0] = (char)toupper((unsigned char)right[0]);
    (void)snprintf(
        text, sizeof text, "%s%s%s%s", key->doc, describes_more_than_a_text(key) ? " " : "",
        describes_more_than_a_text(key) ? right : "", describes_more_than_a_text(key) ? "." : "");
    put_comment(out, text);
    if (key->use == CONFIG_LATER)
        put_comment(out, "Not part of this version: anything but this value is refused.");
    buf_printf(out, "%s%s = ", key->commented ? "# " : "", key->key);
    put_default(out, key);
    buf_put_u8(out, '\n');
}

status config_print_example(struct buf *out, struct err *err)
{
    put_comment(out, "tiervec: every key with its default. Generated from the table of keys; "
                     "docs/configuration.md says more.");
    put_comment(out, "A node needs none of it: without a file, these values hold. Flags and the "
                     "environment (TIERVEC_<SECTION>_<KEY>) come before the file.");
    for (size_t i = 0; i < config_key_count; i++) {
        if (config_keys[i].use == CONFIG_SEED)
            continue;
        buf_put_u8(out, '\n');
        if (new_section(i))
            buf_printf(out, "[%s]\n", config_keys[i].section);
        put_example_key(out, &config_keys[i]);
    }
    return buf_status(out, err);
}

/* A '|' would end the cell. */
static void put_cell(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|' || *text == '<')
            buf_put_u8(out, '\\');
        buf_put_u8(out, (uint8_t)*text);
    }
}

static void put_names(struct buf *out, const struct config_key *key)
{
    if (key->short_name != NULL) {
        char flag[CONFIG_NAME_BYTES];

        (void)snprintf(flag, sizeof flag, "--%s", key->short_name);
        for (char *c = flag; *c != '\0'; c++)
            *c = *c == '_' ? '-' : *c;
        buf_printf(out, "`%s`", flag);
    }
    if (key->seed_name != NULL)
        buf_printf(out, "%s`%s`", key->short_name != NULL ? ", " : "", key->seed_name);
}

static void put_reference_key(struct buf *out, const struct config_key *key)
{
    char right[256];

    config_describe(key, right);
    buf_printf(out, "| `%s` | `", key->key);
    put_default(out, key);
    buf_put_text(out, "` | ");
    put_cell(out, right);
    buf_put_text(out, " | ");
    put_names(out, key);
    buf_put_text(out, " | ");
    put_cell(out, key->doc);
    if (key->use == CONFIG_LATER)
        buf_put_text(out, " *Not part of this version; anything else is refused.*");
    buf_put_text(out, " |\n");
}

status config_print_reference(struct buf *out, struct err *err)
{
    for (size_t i = 0; i < config_key_count; i++) {
        if (new_section(i))
            buf_printf(out,
                       "%s### [%s]\n\n| key | default | what is right | other names | what it does "
                       "|\n|---|---|---|---|---|\n",
                       i == 0 ? "" : "\n", config_keys[i].section);
        put_reference_key(out, &config_keys[i]);
    }
    return buf_status(out, err);
}
