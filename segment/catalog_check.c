/* The rules that make lists a catalog. Ids and names are sorted once and compared with their
 * neighbours, so that 10,000 collections are checked in milliseconds. */
#include "base/mem.h"
#include "base/utf8.h"
#include "index/vindex.h"
#include "segment/catalog_internal.h"

#include <stdlib.h>

struct entry { /* something with an id, or with a name that is unique within a scope */
    const uint8_t *id;
    const uint8_t *scope;
    const char *name;
};
struct list {
    struct entry *items;
    size_t count;
};

static int compare_ids(const void *a, const void *b)
{
    return memcmp(((const struct entry *)a)->id, ((const struct entry *)b)->id, 16);
}

static int compare_names(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;
    int scopes = memcmp(x->scope, y->scope, 16);

    return scopes != 0 ? scopes : strcmp(x->name, y->name);
}

static void list_put(struct list *l, const uint8_t *id, const uint8_t *scope, const char *name)
{
    l->items[l->count++] = (struct entry){.id = id, .scope = scope, .name = name};
}

static status ids_sort(struct list *l, const char *what, status code, struct err *err)
{
    qsort(l->items, l->count, sizeof *l->items, compare_ids);
    for (size_t i = 1; i < l->count; i++)
        if (compare_ids(&l->items[i - 1], &l->items[i]) == 0)
            return err_set(err, code, "catalog: two %s have one id", what);
    return ST_OK;
}

static const struct entry *ids_find(const struct list *l, const uint8_t *id)
{
    const struct entry key = {.id = id};

    if (l->count == 0)
        return NULL;
    return bsearch(&key, l->items, l->count, sizeof key, compare_ids);
}

/* Names within their scopes; sorts l. */
static status names_check(struct list *l, const char *what, status code, struct err *err)
{
    for (size_t i = 0; i < l->count; i++) {
        const char *name = l->items[i].name;

        if (catalog_name_check(name, strlen(name), err) != ST_OK)
            return err_wrap(err, code, "catalog: %s", what);
    }
    qsort(l->items, l->count, sizeof *l->items, compare_names);
    for (size_t i = 1; i < l->count; i++)
        if (compare_names(&l->items[i - 1], &l->items[i]) == 0)
            return err_set(err, code, "catalog: two %s have the name %s", what, l->items[i].name);
    return ST_OK;
}

static bool field_name_ok(const struct catalog_field *f)
{
    size_t bytes = strlen(f->name);

    return bytes <= CATALOG_NAME_BYTES_MAX && (bytes == 0) == (f->id == 0) &&
           utf8_valid(f->name, bytes);
}

static const char *field_problem(const struct catalog_field *f)
{
    if (!field_name_ok(f))
        return "its name";
    if (f->dim == 0 || f->dim > VINDEX_DIM_MAX)
        return "dim";
    if (f->metric < VMETRIC_COSINE || f->metric > VMETRIC_L1)
        return "metric";
    if (f->m < VINDEX_M_MIN || f->m > VINDEX_M_MAX)
        return "m";
    if (f->ef_construction == 0)
        return "ef_construction";
    if (f->ef_search == 0)
        return "ef_search";
    if (f->quantization == 0 || f->quantization > QUANTIZATION_SCALAR)
        return "quantization";
    return NULL;
}

status catalog_check_collection(const struct catalog_collection *c, status code, struct err *err)
{
    if (catalog_name_check(c->name, strlen(c->name), err) != ST_OK)
        return err_wrap(err, code, "collection");
    if (c->policy < POLICY_MEMORY || c->policy > POLICY_S3_ONLY ||
        c->durability < DURABILITY_LOCAL || c->durability > DURABILITY_REMOTE)
        return err_set(err, code, "collection %s: policy=%u or durability=%u is unknown", c->name,
                       c->policy, c->durability);
    if (c->field_count > CATALOG_FIELDS_MAX)
        return err_set(err, code, "collection %s has %zu vector fields, not up to %d", c->name,
                       c->field_count, CATALOG_FIELDS_MAX);
    for (size_t i = 0; i < c->field_count; i++) {
        const char *problem = field_problem(&c->fields[i]);

        if (problem != NULL)
            return err_set(err, code, "collection %s, vector field %u: %s is out of range", c->name,
                           c->fields[i].id, problem);
        for (size_t k = 0; k < i; k++)
            if (c->fields[k].id == c->fields[i].id ||
                strcmp(c->fields[k].name, c->fields[i].name) == 0)
                return err_set(err, code, "collection %s has vector field %u twice", c->name,
                               c->fields[i].id);
    }
    return catalog_check_settings(c, code, err);
}

struct check { /* lists sorted by id, but `names`, which is made anew for each kind of name */
    struct list tenants, databases, collections, used, names;
};

static status check_tenants(const struct catalog *c, struct check *k, status code, struct err *err)
{
    static const uint8_t everywhere[16];
    status st;

    for (size_t i = 0; i < c->tenant_count; i++) {
        if (catalog_id_is_default(c->tenants[i].id))
            return err_set(err, code, "catalog: tenant %s has the default's id",
                           c->tenants[i].name);
        list_put(&k->tenants, c->tenants[i].id, NULL, NULL);
        list_put(&k->names, NULL, everywhere, c->tenants[i].name);
    }
    st = ids_sort(&k->tenants, "tenants", code, err);
    return st != ST_OK ? st : names_check(&k->names, "tenants", code, err);
}

static status check_databases(const struct catalog *c, struct check *k, status code,
                              struct err *err)
{
    status st;

    k->names.count = 0;
    for (size_t i = 0; i < c->database_count; i++) {
        const struct catalog_database *d = &c->databases[i];

        if (catalog_id_is_default(d->id))
            return err_set(err, code, "catalog: database %s has the default's id", d->name);
        if (!catalog_id_is_default(d->tenant_id) && ids_find(&k->tenants, d->tenant_id) == NULL)
            return err_set(err, code, "catalog: the tenant of database %s does not exist", d->name);
        list_put(&k->databases, d->id, NULL, NULL);
        list_put(&k->names, NULL, d->tenant_id, d->name);
    }
    st = ids_sort(&k->databases, "databases", code, err);
    return st != ST_OK ? st : names_check(&k->names, "databases", code, err);
}

static status check_collections(const struct catalog *c, struct check *k, status code,
                                struct err *err)
{
    status st;

    k->names.count = 0;
    for (size_t i = 0; i < c->collection_count; i++) {
        const struct catalog_collection *col = &c->collections[i];

        st = catalog_check_collection(col, code, err);
        if (st != ST_OK)
            return st;
        if (!catalog_id_is_default(col->database_id) &&
            ids_find(&k->databases, col->database_id) == NULL)
            return err_set(err, code, "catalog: the database of collection %s does not exist",
                           col->name);
        list_put(&k->collections, col->id, col->database_id, NULL);
        list_put(&k->used, col->id, NULL, NULL);
        list_put(&k->names, NULL, col->database_id, col->name);
    }
    for (size_t i = 0; i < c->dropped_count; i++)
        list_put(&k->used, c->dropped[i].id, NULL, NULL);
    st = ids_sort(&k->collections, "collections", code, err);
    return st != ST_OK ? st : ids_sort(&k->used, "collections, live or dropped,", code, err);
}

/* After check_collections(), whose names are still in the list: they share one space. */
static status check_aliases(const struct catalog *c, struct check *k, status code, struct err *err)
{
    for (size_t i = 0; i < c->alias_count; i++) {
        const struct catalog_alias *a = &c->aliases[i];
        const struct entry *of = ids_find(&k->collections, a->collection_id);

        if (of == NULL || !catalog_id_equal(of->scope, a->database_id))
            return err_set(err, code, "catalog: alias %s names no collection of its database",
                           a->name);
        list_put(&k->names, NULL, a->database_id, a->name);
    }
    return names_check(&k->names, "collections or aliases", code, err);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

status catalog_check(const struct catalog *c, status code, struct err *err)
{
    size_t names =
        larger(larger(c->tenant_count, c->database_count), c->collection_count + c->alias_count);
    size_t used = c->collection_count + c->dropped_count;
    size_t count = c->tenant_count + c->database_count + c->collection_count + used + names;
    struct entry *entries;
    struct check k = {0};
    status st;

    if (c->collection_count > CATALOG_COLLECTIONS_MAX || c->dropped_count > CATALOG_DROPPED_MAX)
        return err_set(err, code, "catalog: more collections or dropped ids than allowed");
    entries = mem_alloc_array(count, sizeof *entries);
    if (entries == NULL)
        return err_set(err, ST_NOMEM, "out of memory for checking the catalog");
    k.tenants.items = entries;
    k.databases.items = k.tenants.items + c->tenant_count;
    k.collections.items = k.databases.items + c->database_count;
    k.used.items = k.collections.items + c->collection_count;
    k.names.items = k.used.items + used;
    st = check_tenants(c, &k, code, err);
    if (st == ST_OK)
        st = check_databases(c, &k, code, err);
    if (st == ST_OK)
        st = check_collections(c, &k, code, err);
    if (st == ST_OK)
        st = check_aliases(c, &k, code, err);
    mem_free(entries);
    return st;
}
