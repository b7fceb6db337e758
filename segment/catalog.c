#include "segment/catalog.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "segment/catalog_internal.h"

void catalog_init(struct catalog *c)
{
    *c = (struct catalog){0};
}

void catalog_collection_free(struct catalog_collection *c)
{
    for (size_t i = 0; i < c->field_count; i++)
        mem_free(c->fields[i].name);
    mem_free(c->fields);
    catalog_settings_free(c);
    mem_free(c->name);
    *c = (struct catalog_collection){0};
}

void catalog_free(struct catalog *c)
{
    for (size_t i = 0; i < c->tenant_count; i++)
        mem_free(c->tenants[i].name);
    for (size_t i = 0; i < c->database_count; i++)
        mem_free(c->databases[i].name);
    for (size_t i = 0; i < c->collection_count; i++)
        catalog_collection_free(&c->collections[i]);
    for (size_t i = 0; i < c->alias_count; i++)
        mem_free(c->aliases[i].name);
    mem_free(c->tenants);
    mem_free(c->databases);
    mem_free(c->collections);
    mem_free(c->aliases);
    mem_free(c->dropped);
    catalog_init(c);
}

static status nomem(struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for the catalog");
}

status catalog_collection_copy(const struct catalog_collection *from,
                               struct catalog_collection *out, struct err *err)
{
    struct catalog_collection c = *from;

    c.field_count = 0;
    c.settings = NULL;
    c.setting_count = 0;
    c.name = mem_strdup(from->name);
    c.fields = mem_zero_array(from->field_count, sizeof *c.fields);
    if (c.name == NULL || c.fields == NULL)
        goto failed;
    for (size_t i = 0; i < from->field_count; i++) {
        c.fields[i] = from->fields[i];
        c.fields[i].name = mem_strdup(from->fields[i].name);
        if (c.fields[i].name == NULL)
            goto failed;
        c.field_count++;
    }
    if (catalog_settings_copy(from, &c, err) != ST_OK)
        goto failed;
    *out = c;
    return ST_OK;
failed:
    catalog_collection_free(&c);
    return nomem(err);
}

/* The arrays and their texts. Counts rise one by one, so that what failed half-way can be freed. */
static status copy_lists(const struct catalog *from, struct catalog *c, struct err *err)
{
    status st;

    for (size_t i = 0; i < from->tenant_count; i++) {
        c->tenants[i] = from->tenants[i];
        c->tenants[i].name = mem_strdup(from->tenants[i].name);
        if (c->tenants[i].name == NULL)
            return nomem(err);
        c->tenant_count++;
    }
    for (size_t i = 0; i < from->database_count; i++) {
        c->databases[i] = from->databases[i];
        c->databases[i].name = mem_strdup(from->databases[i].name);
        if (c->databases[i].name == NULL)
            return nomem(err);
        c->database_count++;
    }
    for (size_t i = 0; i < from->collection_count; i++) {
        st = catalog_collection_copy(&from->collections[i], &c->collections[i], err);
        if (st != ST_OK)
            return st;
        c->collection_count++;
    }
    for (size_t i = 0; i < from->alias_count; i++) {
        c->aliases[i] = from->aliases[i];
        c->aliases[i].name = mem_strdup(from->aliases[i].name);
        if (c->aliases[i].name == NULL)
            return nomem(err);
        c->alias_count++;
    }
    return ST_OK;
}

status catalog_copy(const struct catalog *from, struct catalog *out, struct err *err)
{
    struct catalog c = {.revision = from->revision};
    status st = ST_OK;

    memcpy(c.nonce, from->nonce, sizeof c.nonce);
    c.tenants = mem_zero_array(from->tenant_count, sizeof *c.tenants);
    c.databases = mem_zero_array(from->database_count, sizeof *c.databases);
    c.collections = mem_zero_array(from->collection_count, sizeof *c.collections);
    c.aliases = mem_zero_array(from->alias_count, sizeof *c.aliases);
    c.dropped = mem_zero_array(from->dropped_count, sizeof *c.dropped);
    if (c.tenants == NULL || c.databases == NULL || c.collections == NULL || c.aliases == NULL ||
        c.dropped == NULL)
        st = nomem(err);
    if (st == ST_OK)
        st = copy_lists(from, &c, err);
    if (st != ST_OK) {
        catalog_free(&c);
        return st;
    }
    if (from->dropped_count > 0)
        memcpy(c.dropped, from->dropped, from->dropped_count * sizeof *c.dropped);
    c.dropped_count = from->dropped_count;
    *out = c;
    return ST_OK;
}

struct catalog_collection *catalog_find_id(const struct catalog *c, const uint8_t id[16])
{
    for (size_t i = 0; i < c->collection_count; i++)
        if (catalog_id_equal(c->collections[i].id, id))
            return &c->collections[i];
    return NULL;
}

struct catalog_collection *catalog_find_name(const struct catalog *c, const uint8_t database_id[16],
                                             const char *name)
{
    for (size_t i = 0; i < c->collection_count; i++)
        if (catalog_id_equal(c->collections[i].database_id, database_id) &&
            strcmp(c->collections[i].name, name) == 0)
            return &c->collections[i];
    for (size_t i = 0; i < c->alias_count; i++)
        if (catalog_id_equal(c->aliases[i].database_id, database_id) &&
            strcmp(c->aliases[i].name, name) == 0)
            return catalog_find_id(c, c->aliases[i].collection_id);
    return NULL;
}

status catalog_name_check(const char *name, size_t bytes, struct err *err)
{
    static const char forbidden[] = "<>:\"/\\|?*";

    if (bytes == 0)
        return err_set(err, ST_INVALID, "a name must not be empty");
    if (bytes > CATALOG_NAME_BYTES_MAX)
        return err_set(err, ST_INVALID, "a name has at most %d bytes, this one has %zu",
                       CATALOG_NAME_BYTES_MAX, bytes);
    if (!utf8_valid(name, bytes))
        return err_set(err, ST_INVALID, "a name must be valid UTF-8");
    for (size_t i = 0; i < bytes; i++) {
        unsigned char ch = (unsigned char)name[i];

        if (ch < 0x20 || ch == 0x7F)
            return err_set(err, ST_INVALID,
                           "a name must not hold control characters (byte %zu is 0x%02x)", i, ch);
        if (strchr(forbidden, ch) != NULL)
            return err_set(err, ST_INVALID, "a name must not hold any of %s (byte %zu is %c)",
                           forbidden, i, ch);
    }
    return ST_OK;
}
