/* Settings of a collection as readers see them: a copy of the catalog's, which is the meta
 * thread's. They change like a patch (patch.c). */
#include "node/node_internal.h"
#include "node/points.h"

status collection_settings_init(struct collection *c, const struct catalog_collection *entry,
                                struct err *err)
{
    lock_init(&c->settings.lock, LOCK_RANK_LEAF, "collection settings");
    return catalog_settings_copy(entry, &c->settings.now, err);
}

void collection_settings_fini(struct collection *c)
{
    catalog_settings_free(&c->settings.now);
    lock_fini(&c->settings.lock);
}

void collection_settings_show(struct collection *c, struct catalog_collection *fresh)
{
    struct catalog_collection old;
    enum collection_state state;

    lock_take(&c->settings.lock);
    old = c->settings.now;
    c->settings.now = *fresh;
    lock_drop(&c->settings.lock);
    *fresh = old;
    catalog_settings_free(fresh);
    state = atomic_load_explicit(&c->seq.state, memory_order_acquire);
    if (state == COLLECTION_SERVING || state == COLLECTION_READ_ONLY)
        indexes_follow(c);
}

void collection_settings_take(struct collection *c, const struct catalog_collection *entry)
{
    struct catalog_collection fresh = {0};
    struct err err = {0};
    bool same;

    lock_take(&c->settings.lock);
    same = catalog_settings_equal(&c->settings.now, entry);
    lock_drop(&c->settings.lock);
    if (same)
        return;
    if (catalog_settings_copy(entry, &fresh, &err) != ST_OK) {
        log_error("out of memory: settings of a collection are shown as they were",
                  "collection_id=%s err=%s", c->id_text, err.text);
        return;
    }
    collection_settings_show(c, &fresh);
}

/* The copy ends with a NUL that is not counted. */
static bool copy_text(struct arena *arena, const void *data, size_t bytes, struct slice *out)
{
    char *copy = arena_alloc(arena, bytes + 1);

    if (copy == NULL)
        return false;
    memcpy(copy, data, bytes);
    copy[bytes] = '\0';
    *out = slice_make(copy, bytes);
    return true;
}

status node_setting(struct collection *c, const char *key, struct arena *arena, struct slice *out,
                    struct err *err)
{
    const struct catalog_setting *s;
    status st = ST_OK;

    lock_take(&c->settings.lock);
    s = catalog_find_setting(&c->settings.now, key);
    if (s == NULL)
        st = err_set(err, ST_NOT_FOUND, "the collection has no setting %s", key);
    else if (!copy_text(arena, s->value, s->bytes, out))
        st = err_set(err, ST_NOMEM, "out of memory");
    lock_drop(&c->settings.lock);
    return st;
}

status node_settings_list(struct collection *c, const char *prefix, struct arena *arena,
                          struct setting_text **out, size_t *count, struct err *err)
{
    size_t prefix_bytes = strlen(prefix);
    struct setting_text *found;
    size_t n = 0;
    bool room = true;

    lock_take(&c->settings.lock);
    found = arena_array(arena, c->settings.now.setting_count + 1, sizeof *found);
    for (size_t i = 0; found != NULL && room && i < c->settings.now.setting_count; i++) {
        const struct catalog_setting *s = &c->settings.now.settings[i];

        if (strncmp(s->key, prefix, prefix_bytes) != 0)
            continue;
        room =
            copy_text(arena, s->key + prefix_bytes, strlen(s->key) - prefix_bytes, &found[n].key) &&
            copy_text(arena, s->value, s->bytes, &found[n].value);
        n++;
    }
    lock_drop(&c->settings.lock);
    if (found == NULL || !room)
        return err_set(err, ST_NOMEM, "out of memory");
    *out = found;
    *count = n;
    return ST_OK;
}
