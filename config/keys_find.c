/* Finding keys, their other names, and the nearest to a name that is none. */
#include "config/config_internal.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>

enum { DISTANCE_BYTES_MAX = 64, OTHER_SECTION_COST = 1 };

static bool equal(struct slice a, const char *b)
{
    return slice_equal(a, slice_text(b));
}

bool config_key_find(struct slice section, struct slice key, size_t *index)
{
    for (size_t i = 0; i < config_key_count; i++)
        if (equal(section, config_keys[i].section) && equal(key, config_keys[i].key)) {
            *index = i;
            return true;
        }
    return false;
}

size_t config_key_index(const char *section, const char *key)
{
    size_t index = 0;
    bool found = config_key_find(slice_text(section), slice_text(key), &index);

    assert(found);
    return index;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The restricted edit distance (Damerau, Levenshtein), three rows of the table at a time. */
size_t config_distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    size_t rows[3][DISTANCE_BYTES_MAX + 1];
    size_t *before = rows[0];
    size_t *last = rows[1];
    size_t *now = rows[2];

    a_bytes = least(a_bytes, DISTANCE_BYTES_MAX);
    b_bytes = least(b_bytes, DISTANCE_BYTES_MAX);
    memset(rows, 0, sizeof rows);
    for (size_t j = 0; j <= b_bytes; j++)
        last[j] = j;
    for (size_t i = 1; i <= a_bytes; i++) {
        size_t *free_row = before;

        now[0] = i;
        for (size_t j = 1; j <= b_bytes; j++) {
            now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], before[j - 2] + 1);
        }
        before = last;
        last = now;
        now = free_row;
    }
    return last[b_bytes];
}

/* "section.key" in lower case, dashes as underscores; cut when too long. */
static size_t full_name(char out[DISTANCE_BYTES_MAX + 1], struct slice section, struct slice key)
{
    size_t n = 0;

    for (size_t i = 0; i < section.bytes && n < DISTANCE_BYTES_MAX; i++)
        out[n++] = (char)tolower(section.data[i]);
    if (section.bytes > 0 && n < DISTANCE_BYTES_MAX)
        out[n++] = '.';
    for (size_t i = 0; i < key.bytes && n < DISTANCE_BYTES_MAX; i++)
        out[n++] = key.data[i] == '-' ? '_' : (char)tolower(key.data[i]);
    return n;
}

const struct config_key *config_key_nearest(struct slice section, struct slice key)
{
    const struct config_key *nearest = &config_keys[0];
    size_t nearest_distance = SIZE_MAX;
    char wanted[DISTANCE_BYTES_MAX + 1];
    char wanted_key[DISTANCE_BYTES_MAX + 1];
    size_t wanted_bytes = full_name(wanted, section, key);
    size_t wanted_key_bytes = full_name(wanted_key, slice_text(""), key);

    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *k = &config_keys[i];
        char name[DISTANCE_BYTES_MAX + 1];
        size_t bytes = full_name(name, slice_text(k->section), slice_text(k->key));
        size_t whole = config_distance(wanted, wanted_bytes, name, bytes);
        size_t moved = OTHER_SECTION_COST +
                       config_distance(wanted_key, wanted_key_bytes, k->key, strlen(k->key));

        if (k->use != CONFIG_SEED && least(whole, moved) < nearest_distance) {
            nearest = k;
            nearest_distance = least(whole, moved);
        }
    }
    return nearest;
}

static void put_name(char out[CONFIG_NAME_BYTES], const char *prefix, const struct config_key *key,
                     char between)
{
    size_t n;

    (void)snprintf(out, CONFIG_NAME_BYTES, "%s%s%c%s", prefix, key->section, between, key->key);
    for (n = strlen(prefix); out[n] != '\0'; n++)
        if (out[n] == '.' || out[n] == '_' || out[n] == '-')
            out[n] = between;
}

void config_key_variable(const struct config_key *key, char out[CONFIG_NAME_BYTES])
{
    put_name(out, "TIERVEC_", key, '_');
    for (char *c = out; *c != '\0'; c++)
        *c = (char)toupper((unsigned char)*c);
}

void config_key_flag(const struct config_key *key, char out[CONFIG_NAME_BYTES])
{
    put_name(out, "--", key, '-');
}
