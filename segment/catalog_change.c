/* Changes of a catalog: each is whole or leaves everything as it was. */
#include "base/mem.h"
#include "segment/catalog_internal.h"

static status nomem(struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for the catalog");
}

static bool has_tenant(const struct catalog *c, const uint8_t id[16])
{
    for (size_t i = 0; i < c->tenant_count; i++)
        if (catalog_id_equal(c->tenants[i].id, id))
            return true;
    return catalog_id_is_default(id);
}

static bool has_database(const struct catalog *c, const uint8_t id[16])
{
    for (size_t i = 0; i < c->database_count; i++)
        if (catalog_id_equal(c->databases[i].id, id))
            return true;
    return catalog_id_is_default(id);
}

static bool was_dropped(const struct catalog *c, const uint8_t id[16])
{
    for (size_t i = 0; i < c->dropped_count; i++)
        if (catalog_id_equal(c->dropped[i].id, id))
            return true;
    return false;
}

/* Makes *array one longer, the new item zero; the count is the caller's to raise. */
static bool grow(void **array, size_t count, size_t item)
{
    size_t bytes;
    void *longer;

    if (!size_mul(count + 1, item, &bytes))
        return false;
    longer = mem_resize(*array, bytes);
    if (longer == NULL)
        return false;
    memset((char *)longer + count * item, 0, item);
    *array = longer;
    return true;
}

status catalog_add_collection(struct catalog *c, const struct catalog_collection *collection,
                              struct err *err)
{
    struct catalog_collection copy;
    void *array = c->collections;
    status st = catalog_check_collection(collection, ST_INVALID, err);

    if (st != ST_OK)
        return st;
    if (!has_database(c, collection->database_id))
        return err_set(err, ST_NOT_FOUND, "the database of collection %s does not exist",
                       collection->name);
    if (catalog_find_name(c, collection->database_id, collection->name) != NULL)
        return err_set(err, ST_EXISTS, "the name %s is taken", collection->name);
    if (catalog_find_id(c, collection->id) != NULL || was_dropped(c, collection->id))
        return err_set(err, ST_EXISTS, "the id of collection %s was used before", collection->name);
    if (c->collection_count >= CATALOG_COLLECTIONS_MAX)
        return err_set(err, ST_INVALID,
                       "there are %d collections already: drop one that is not needed",
                       CATALOG_COLLECTIONS_MAX);
    st = catalog_collection_copy(collection, &copy, err);
    if (st != ST_OK)
        return st;
    if (!grow(&array, c->collection_count, sizeof copy)) {
        catalog_collection_free(&copy);
        return nomem(err);
    }
    c->collections = array;
    c->collections[c->collection_count++] = copy;
    return ST_OK;
}

static void drop_aliases(struct catalog *c, const uint8_t collection_id[16])
{
    size_t kept = 0;

    for (size_t i = 0; i < c->alias_count; i++) {
        if (catalog_id_equal(c->aliases[i].collection_id, collection_id))
            mem_free(c->aliases[i].name);
        else
            c->aliases[kept++] = c->aliases[i];
    }
    c->alias_count = kept;
}

static status add_dropped(struct catalog *c, const uint8_t id[16], uint64_t dropped_at_ns,
                          struct err *err)
{
    struct catalog_dropped entry = {.dropped_at_ns = dropped_at_ns};
    void *array = c->dropped;

    memcpy(entry.id, id, sizeof entry.id);
    if (c->dropped_count == CATALOG_DROPPED_MAX) {
        memmove(c->dropped, c->dropped + 1, (CATALOG_DROPPED_MAX - 1) * sizeof entry);
        c->dropped[CATALOG_DROPPED_MAX - 1] = entry;
        return ST_OK;
    }
    if (!grow(&array, c->dropped_count, sizeof entry))
        return nomem(err);
    c->dropped = array;
    c->dropped[c->dropped_count++] = entry;
    return ST_OK;
}

status catalog_remove_collection(struct catalog *c, const uint8_t id[16], uint64_t dropped_at_ns,
                                 struct err *err)
{
    struct catalog_collection *found = catalog_find_id(c, id);
    size_t at;
    status st;

    if (found == NULL)
        return err_set(err, ST_NOT_FOUND, "no such collection");
    st = add_dropped(c, found->id, dropped_at_ns, err);
    if (st != ST_OK)
        return st;
    drop_aliases(c, found->id);
    at = (size_t)(found - c->collections);
    catalog_collection_free(found);
    memmove(found, found + 1, (c->collection_count - at - 1) * sizeof *found);
    c->collection_count--;
    return ST_OK;
}

status catalog_rename_collection(struct catalog *c, const uint8_t id[16], const char *name,
                                 struct err *err)
{
    struct catalog_collection *found = catalog_find_id(c, id);
    struct catalog_collection *other;
    char *copy;
    status st;

    if (found == NULL)
        return err_set(err, ST_NOT_FOUND, "no such collection");
    st = catalog_name_check(name, strlen(name), err);
    if (st != ST_OK)
        return st;
    if (strcmp(found->name, name) == 0)
        return ST_OK;
    other = catalog_find_name(c, found->database_id, name);
    if (other != NULL)
        return err_set(err, ST_EXISTS, "the name %s is taken", name);
    copy = mem_strdup(name);
    if (copy == NULL)
        return nomem(err);
    mem_free(found->name);
    found->name = copy;
    return ST_OK;
}

status catalog_add_tenant(struct catalog *c, const uint8_t id[16], const char *name,
                          struct err *err)
{
    struct catalog_tenant tenant;
    void *array = c->tenants;
    status st = catalog_name_check(name, strlen(name), err);

    if (st != ST_OK)
        return st;
    if (has_tenant(c, id))
        return err_set(err, ST_EXISTS, "the id of tenant %s is taken", name);
    for (size_t i = 0; i < c->tenant_count; i++)
        if (strcmp(c->tenants[i].name, name) == 0)
            return err_set(err, ST_EXISTS, "the tenant name %s is taken", name);
    memcpy(tenant.id, id, sizeof tenant.id);
    tenant.name = mem_strdup(name);
    if (tenant.name == NULL)
        return nomem(err);
    if (!grow(&array, c->tenant_count, sizeof tenant)) {
        mem_free(tenant.name);
        return nomem(err);
    }
    c->tenants = array;
    c->tenants[c->tenant_count++] = tenant;
    return ST_OK;
}

status catalog_add_database(struct catalog *c, const uint8_t id[16], const uint8_t tenant_id[16],
                            const char *name, struct err *err)
{
    struct catalog_database database;
    void *array = c->databases;
    status st = catalog_name_check(name, strlen(name), err);

    if (st != ST_OK)
        return st;
    if (!has_tenant(c, tenant_id))
        return err_set(err, ST_NOT_FOUND, "the tenant of database %s does not exist", name);
    if (has_database(c, id))
        return err_set(err, ST_EXISTS, "the id of database %s is taken", name);
    for (size_t i = 0; i < c->database_count; i++)
        if (catalog_id_equal(c->databases[i].tenant_id, tenant_id) &&
            strcmp(c->databases[i].name, name) == 0)
            return err_set(err, ST_EXISTS, "the database name %s is taken", name);
    memcpy(database.id, id, sizeof database.id);
    memcpy(database.tenant_id, tenant_id, sizeof database.tenant_id);
    database.name = mem_strdup(name);
    if (database.name == NULL)
        return nomem(err);
    if (!grow(&array, c->database_count, sizeof database)) {
        mem_free(database.name);
        return nomem(err);
    }
    c->databases = array;
    c->databases[c->database_count++] = database;
    return ST_OK;
}

/* --- aliases --- */

static struct catalog_alias *find_alias(const struct catalog *c, const uint8_t database_id[16],
                                        const char *name)
{
    for (size_t i = 0; i < c->alias_count; i++)
        if (catalog_id_equal(c->aliases[i].database_id, database_id) &&
            strcmp(c->aliases[i].name, name) == 0)
            return &c->aliases[i];
    return NULL;
}

static status add_alias(struct catalog *c, const uint8_t database_id[16], const char *name,
                        const uint8_t collection_id[16], struct err *err)
{
    struct catalog_alias alias = {.name = mem_strdup(name)};
    void *array = c->aliases;

    if (alias.name == NULL)
        return nomem(err);
    memcpy(alias.database_id, database_id, sizeof alias.database_id);
    memcpy(alias.collection_id, collection_id, sizeof alias.collection_id);
    if (!grow(&array, c->alias_count, sizeof alias)) {
        mem_free(alias.name);
        return nomem(err);
    }
    c->aliases = array;
    c->aliases[c->alias_count++] = alias;
    return ST_OK;
}

status catalog_set_alias(struct catalog *c, const uint8_t database_id[16], const char *name,
                         const uint8_t collection_id[16], struct err *err)
{
    const struct catalog_collection *target = catalog_find_id(c, collection_id);
    struct catalog_alias *alias = find_alias(c, database_id, name);
    status st = catalog_name_check(name, strlen(name), err);

    if (st != ST_OK)
        return st;
    if (target == NULL || !catalog_id_equal(target->database_id, database_id))
        return err_set(err, ST_NOT_FOUND, "alias %s: its database has no such collection", name);
    if (alias != NULL) {
        memcpy(alias->collection_id, target->id, sizeof alias->collection_id);
        return ST_OK;
    }
    if (catalog_find_name(c, database_id, name) != NULL)
        return err_set(err, ST_EXISTS, "the name %s is a collection's", name);
    return add_alias(c, database_id, name, collection_id, err);
}

status catalog_remove_alias(struct catalog *c, const uint8_t database_id[16], const char *name,
                            struct err *err)
{
    struct catalog_alias *alias = find_alias(c, database_id, name);
    char *text;

    if (alias == NULL)
        return err_set(err, ST_NOT_FOUND, "there is no alias %s", name);
    text = alias->name; /* which `name` may be */
    memmove(alias, alias + 1, (size_t)(c->aliases + c->alias_count - alias - 1) * sizeof *alias);
    c->alias_count--;
    mem_free(text);
    return ST_OK;
}

status catalog_remove_database(struct catalog *c, const uint8_t id[16], struct err *err)
{
    size_t at = 0;

    while (at < c->database_count && !catalog_id_equal(c->databases[at].id, id))
        at++;
    if (at == c->database_count)
        return err_set(err, catalog_id_is_default(id) ? ST_INVALID : ST_NOT_FOUND,
                       catalog_id_is_default(id) ? "the default database stays"
                                                 : "no such database");
    for (size_t i = 0; i < c->collection_count; i++)
        if (catalog_id_equal(c->collections[i].database_id, id))
            return err_set(err, ST_CONFLICT, "database %s still has collection %s",
                           c->databases[at].name, c->collections[i].name);
    mem_free(c->databases[at].name);
    c->database_count--;
    memmove(&c->databases[at], &c->databases[at + 1],
            (c->database_count - at) * sizeof *c->databases);
    return ST_OK;
}

status catalog_remove_tenant(struct catalog *c, const uint8_t id[16], struct err *err)
{
    size_t at = 0;

    while (at < c->tenant_count && !catalog_id_equal(c->tenants[at].id, id))
        at++;
    if (at == c->tenant_count)
        return err_set(err, catalog_id_is_default(id) ? ST_INVALID : ST_NOT_FOUND,
                       catalog_id_is_default(id) ? "the default tenant stays" : "no such tenant");
    for (size_t i = 0; i < c->database_count; i++)
        if (catalog_id_equal(c->databases[i].tenant_id, id))
            return err_set(err, ST_CONFLICT, "tenant %s still has database %s", c->tenants[at].name,
                           c->databases[i].name);
    mem_free(c->tenants[at].name);
    c->tenant_count--;
    memmove(&c->tenants[at], &c->tenants[at + 1], (c->tenant_count - at) * sizeof *c->tenants);
    return ST_OK;
}
