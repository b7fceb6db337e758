/* Settings of collections: texts under keys, in order of the keys. In a catalog they are one list
 * behind the others, so that the entry of a collection is the same in every version, and in
 * manifests, which have none. */
#include "base/mem.h"
#include "base/utf8.h"
#include "segment/catalog_internal.h"
#include "segment/frame.h"

enum { SETTING_BYTES_MIN = 24 }; /* docs/formats/catalog.md */

static status nomem(struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for the catalog");
}

void catalog_settings_free(struct catalog_collection *c)
{
    for (size_t i = 0; i < c->setting_count; i++) {
        mem_free(c->settings[i].key);
        mem_free(c->settings[i].value);
    }
    mem_free(c->settings);
    c->settings = NULL;
    c->setting_count = 0;
}

static bool make(struct catalog_setting *s, const char *key, struct slice value)
{
    s->key = mem_strdup(key);
    s->value = mem_alloc(value.bytes);
    if (s->key == NULL || s->value == NULL) {
        mem_free(s->key);
        mem_free(s->value);
        return false;
    }
    memcpy(s->value, value.data, value.bytes);
    s->bytes = (uint32_t)value.bytes;
    return true;
}

status catalog_settings_copy(const struct catalog_collection *from, struct catalog_collection *to,
                             struct err *err)
{
    struct catalog_collection fresh = {0};

    if (from->setting_count > 0) {
        fresh.settings = mem_alloc_array(from->setting_count, sizeof *fresh.settings);
        if (fresh.settings == NULL)
            return nomem(err);
    }
    for (size_t i = 0; i < from->setting_count; i++) {
        const struct catalog_setting *s = &from->settings[i];

        if (!make(&fresh.settings[i], s->key, slice_make(s->value, s->bytes))) {
            catalog_settings_free(&fresh);
            return nomem(err);
        }
        fresh.setting_count++;
    }
    catalog_settings_free(to);
    to->settings = fresh.settings;
    to->setting_count = fresh.setting_count;
    return ST_OK;
}

bool catalog_settings_equal(const struct catalog_collection *a, const struct catalog_collection *b)
{
    if (a->setting_count != b->setting_count)
        return false;
    for (size_t i = 0; i < a->setting_count; i++) {
        const struct catalog_setting *x = &a->settings[i];
        const struct catalog_setting *y = &b->settings[i];

        if (strcmp(x->key, y->key) != 0 || x->bytes != y->bytes ||
            memcmp(x->value, y->value, x->bytes) != 0)
            return false;
    }
    return true;
}

/* Where the key is, or would be. */
static size_t place_of(const struct catalog_collection *c, const char *key)
{
    size_t low = 0;
    size_t high = c->setting_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(c->settings[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct catalog_setting *catalog_find_setting(const struct catalog_collection *c,
                                                   const char *key)
{
    size_t at = place_of(c, key);
    bool found = at < c->setting_count && strcmp(c->settings[at].key, key) == 0;

    return found ? &c->settings[at] : NULL;
}

static const char *setting_problem(const char *key, size_t bytes)
{
    size_t key_bytes = strlen(key);

    if (key_bytes == 0 || key_bytes > CATALOG_SETTING_KEY_BYTES_MAX || !utf8_valid(key, key_bytes))
        return "its key is not 1 to 1,280 bytes of UTF-8";
    if (bytes == 0 || bytes > CATALOG_SETTING_BYTES_MAX)
        return "its value is not 1 to 65,536 bytes";
    return NULL;
}

status catalog_check_settings(const struct catalog_collection *c, status code, struct err *err)
{
    if (c->setting_count > CATALOG_SETTINGS_MAX)
        return err_set(err, code, "collection %s has %zu settings, %d are allowed", c->name,
                       c->setting_count, CATALOG_SETTINGS_MAX);
    for (size_t i = 0; i < c->setting_count; i++) {
        const struct catalog_setting *s = &c->settings[i];
        const char *problem = setting_problem(s->key, s->bytes);

        if (problem != NULL)
            return err_set(err, code, "collection %s, setting %zu: %s", c->name, i, problem);
        if (i > 0 && strcmp(s[-1].key, s->key) >= 0)
            return err_set(err, code, "collection %s: settings are twice or out of order at %zu",
                           c->name, i);
    }
    return ST_OK;
}

static void remove_at(struct catalog_collection *c, size_t at)
{
    struct catalog_setting *s = &c->settings[at];

    mem_free(s->key);
    mem_free(s->value);
    c->setting_count--;
    memmove(s, s + 1, (c->setting_count - at) * sizeof *s);
}

static status insert_at(struct catalog_collection *c, size_t at, struct catalog_setting setting,
                        struct err *err)
{
    struct catalog_setting *longer;

    if (c->setting_count >= CATALOG_SETTINGS_MAX)
        return err_set(err, ST_INVALID,
                       "a collection has at most %d settings, payload indexes among them: drop one "
                       "that is not needed",
                       CATALOG_SETTINGS_MAX);
    longer = mem_resize(c->settings, (c->setting_count + 1) * sizeof *longer);
    if (longer == NULL)
        return nomem(err);
    memmove(&longer[at + 1], &longer[at], (c->setting_count - at) * sizeof *longer);
    longer[at] = setting;
    c->settings = longer;
    c->setting_count++;
    return ST_OK;
}

status catalog_put_setting(struct catalog_collection *c, const char *key, struct slice value,
                           struct err *err)
{
    const char *problem = setting_problem(key, value.bytes == 0 ? 1 : value.bytes);
    struct catalog_setting fresh;
    size_t at = place_of(c, key);
    bool found = at < c->setting_count && strcmp(c->settings[at].key, key) == 0;
    status st = ST_OK;

    if (problem != NULL)
        return err_set(err, ST_INVALID, "a setting: %s", problem);
    if (value.bytes == 0) {
        if (found)
            remove_at(c, at);
        return ST_OK;
    }
    if (!make(&fresh, key, value))
        return nomem(err);
    if (!found)
        st = insert_at(c, at, fresh, err);
    if (found) {
        struct catalog_setting old = c->settings[at];

        c->settings[at] = fresh;
        fresh = old;
    }
    if (found || st != ST_OK) {
        mem_free(fresh.key);
        mem_free(fresh.value);
    }
    return st;
}

/* --- bytes --- */

void catalog_put_settings(struct buf *b, const struct catalog *c)
{
    size_t count = 0;

    for (size_t i = 0; i < c->collection_count; i++)
        count += c->collections[i].setting_count;
    buf_put_u32(b, (uint32_t)count);
    for (size_t i = 0; i < c->collection_count; i++) {
        for (size_t k = 0; k < c->collections[i].setting_count; k++) {
            const struct catalog_setting *s = &c->collections[i].settings[k];

            buf_put(b, c->collections[i].id, 16);
            frame_put_text(b, s->key);
            buf_put_u32(b, s->bytes);
            buf_put(b, s->value, s->bytes);
        }
    }
}

static status rd_setting(struct rd *r, struct catalog_collection *c, struct err *err)
{
    struct slice key = rd_bytes(r, rd_u16(r));
    struct slice value = rd_bytes(r, rd_u32(r));
    char text[CATALOG_SETTING_KEY_BYTES_MAX + 1];
    status st;

    if (r->bad || key.bytes >= sizeof text || memchr(key.data, 0, key.bytes) != NULL ||
        value.bytes > CATALOG_SETTING_BYTES_MAX || c->setting_count >= CATALOG_SETTINGS_MAX)
        return err_set(err, ST_CORRUPT, "catalog: a setting of %s is cut short or out of range",
                       c->name);
    memcpy(text, key.data, key.bytes);
    text[key.bytes] = '\0';
    if (value.bytes == 0 ||
        (c->setting_count > 0 && strcmp(c->settings[c->setting_count - 1].key, text) >= 0))
        return err_set(err, ST_CORRUPT, "catalog: settings of %s are empty or out of order",
                       c->name);
    st = catalog_put_setting(c, text, value, err);
    return st == ST_OK || st == ST_NOMEM ? st : err_wrap(err, ST_CORRUPT, "catalog");
}

status catalog_rd_settings(struct rd *r, struct catalog *c, struct err *err)
{
    size_t count = rd_u32(r);
    size_t at = 0;
    status st = ST_OK;

    if (r->bad || count > rd_left(r) / SETTING_BYTES_MIN)
        return err_set(err, ST_CORRUPT, "catalog: %zu settings do not fit into what is left",
                       count);
    for (size_t i = 0; st == ST_OK && i < count; i++) {
        uint8_t id[16] = {0};

        frame_rd_id(r, id);
        while (at < c->collection_count && !catalog_id_equal(c->collections[at].id, id))
            at++;
        if (at == c->collection_count)
            return err_set(err, ST_CORRUPT,
                           "catalog: settings of no collection, or not in their order");
        st = rd_setting(r, &c->collections[at], err);
    }
    return st;
}
