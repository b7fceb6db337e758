/* What a collection is created with, and what it then is for good: its vector fields by position,
 * and whether it takes strings as ids. */
#include "node/node_internal.h"
#include "node/points.h"

#include <stdatomic.h>

/* --- quantizations: the catalog's number, the index's, and a door's (0: not said) --- */

static const uint8_t BYTES[] = {[VQUANT_SCALAR] = QUANTIZATION_SCALAR,
                                [VQUANT_NONE] = QUANTIZATION_NONE,
                                [VQUANT_BINARY] = QUANTIZATION_BINARY,
                                [VQUANT_PRODUCT] = QUANTIZATION_PRODUCT};

uint8_t schema_byte_of(uint8_t asked)
{
    return asked == 0 || asked > COUNT_OF(BYTES) ? QUANTIZATION_SCALAR : BYTES[asked - 1];
}

/* What this program does not have, a newer one's, serves as scalar and stays in the catalog. */
enum vquantization schema_quantization(uint8_t byte)
{
    for (size_t i = 0; i < COUNT_OF(BYTES); i++)
        if (BYTES[i] == byte && vquantization_check((enum vquantization)i, NULL) == ST_OK)
            return (enum vquantization)i;
    return VQUANT_SCALAR;
}

status schema_check_quantization(uint8_t asked, struct err *err)
{
    return asked == 0 ? ST_OK : vquantization_check((enum vquantization)(asked - 1), err);
}

/* --- from what a door asks for to the catalog's entry --- */

static status check_field(const struct catalog_field *f, struct err *err)
{
    status st = node_check_range("dimension", f->dim, 1, VINDEX_DIM_MAX, err);

    if (st == ST_OK)
        st = node_check_range("hnsw.m", f->m, VINDEX_M_MIN, VINDEX_M_MAX, err);
    if (st == ST_OK)
        st = node_check_range("hnsw.ef_construction", f->ef_construction, 1, VINDEX_EF_MAX, err);
    if (st == ST_OK)
        st = node_check_range("hnsw.ef_search", f->ef_search, 1, VINDEX_EF_MAX, err);
    return st == ST_OK || f->id == 0 ? st : err_wrap(err, st, "vector %s", f->name);
}

static status make_field(const struct node_options *o, const struct field_info *from,
                         size_t position, struct catalog_field *out, struct err *err)
{
    *out = (struct catalog_field){
        .id = from->name[0] == '\0' ? 0 : (uint16_t)(position + 1),
        .name = mem_strdup(from->name),
        .dim = from->dimension,
        .metric = (uint8_t)from->metric,
        .m = from->m == 0 ? o->m : from->m,
        .ef_construction = from->ef_construction == 0 ? o->ef_construction : from->ef_construction,
        .ef_search = from->ef_search == 0 ? o->ef_search : from->ef_search,
        .threshold = from->threshold == UINT32_MAX ? o->threshold : from->threshold,
        .quantization = schema_byte_of(from->quantization),
    };
    return out->name == NULL ? err_set(err, ST_NOMEM, "out of memory") : check_field(out, err);
}

static status make_fields(const struct node_options *o, const struct collection_spec *spec,
                          struct catalog_collection *entry, struct err *err)
{
    const struct field_info unnamed = {.name = "",
                                       .dimension = spec->dimension,
                                       .metric = spec->metric,
                                       .m = spec->m,
                                       .ef_construction = spec->ef_construction,
                                       .ef_search = spec->ef_search,
                                       .threshold = spec->threshold,
                                       .quantization = spec->quantization};
    const struct field_info *from = spec->fields == NULL ? &unnamed : spec->fields;
    size_t count = spec->fields == NULL ? 1 : spec->field_count;
    status st = ST_OK;

    if (count > NODE_FIELDS_MAX)
        return err_set(err, ST_INVALID, "a collection has at most %d vectors, not %zu",
                       NODE_FIELDS_MAX, count);
    entry->fields = mem_zero_array(count, sizeof *entry->fields);
    if (entry->fields == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    for (size_t i = 0; st == ST_OK && i < count; i++)
        st = schema_check_quantization(from[i].quantization, err);
    for (size_t i = 0; st == ST_OK && i < count; i++)
        st = make_field(o, &from[i], i, &entry->fields[entry->field_count++], err);
    return st;
}

status schema_entry(struct node *node, const struct collection_spec *spec,
                    struct catalog_collection *entry, struct err *err)
{
    const struct node_options *o = &node->options;
    enum node_policy policy = spec->policy != 0 ? spec->policy
                              : o->policy != 0  ? o->policy
                                                : NODE_MEMORY;
    enum node_durability durability = spec->durability != 0    ? spec->durability
                                      : policy == NODE_S3_ONLY ? NODE_REMOTE
                                      : o->durability != 0     ? o->durability
                                                               : NODE_LOCAL;
    status st = catalog_name_check(spec->name, strlen(spec->name), err);

    *entry = (struct catalog_collection){
        .policy = (uint8_t)policy,
        .durability = (uint8_t)(policy == NODE_MEMORY ? NODE_LOCAL : durability),
        .string_ids = spec->string_ids,
    };
    if (st == ST_OK && (entry->name = mem_strdup(spec->name)) == NULL)
        st = err_set(err, ST_NOMEM, "out of memory");
    if (st == ST_OK)
        st = make_fields(o, spec, entry, err);
    if (st == ST_OK)
        st = node_check_policy(node, policy, err);
    if (st == ST_OK && spec->setting_key != NULL)
        st = catalog_put_setting(entry, spec->setting_key, spec->setting_value, err);
    if (st != ST_OK)
        catalog_collection_free(entry);
    return st;
}

/* --- the collection's --- */

status schema_init(struct collection *c, const struct catalog_collection *entry, struct err *err)
{
    c->string_ids = entry->string_ids;
    c->fields = mem_zero_array(entry->field_count, sizeof *c->fields);
    if (c->fields == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    for (size_t i = 0; i < entry->field_count; i++) {
        const struct catalog_field *from = &entry->fields[i];
        struct collection_field *f = &c->fields[i];

        f->id = from->id;
        f->info = (struct field_info){.name = mem_strdup(from->name),
                                      .dimension = from->dim,
                                      .metric = from->metric,
                                      .m = from->m,
                                      .ef_construction = from->ef_construction,
                                      .ef_search = from->ef_search,
                                      .threshold = from->threshold};
        atomic_init(&f->m, from->m);
        atomic_init(&f->ef_construction, from->ef_construction);
        atomic_init(&f->ef_search, from->ef_search);
        atomic_init(&f->threshold, from->threshold);
        atomic_init(&f->quantization, (uint8_t)schema_quantization(from->quantization));
        c->vector_bytes += from->dim * sizeof(float);
        if (f->info.name == NULL)
            return err_set(err, ST_NOMEM, "out of memory");
        c->field_count++;
    }
    return ST_OK;
}

void schema_fini(struct collection *c)
{
    for (size_t i = 0; i < c->field_count; i++)
        mem_free((void *)(uintptr_t)c->fields[i].info.name);
    mem_free(c->fields);
}

size_t node_field_count(const struct collection *c)
{
    return c->field_count;
}

const struct field_info *node_field(const struct collection *c, size_t position)
{
    return position < c->field_count ? &c->fields[position].info : NULL;
}

void node_field_now(const struct collection *c, size_t position, struct field_info *out)
{
    *out = c->fields[position].info;
    out->m = atomic_load(&c->fields[position].m);
    out->ef_construction = atomic_load(&c->fields[position].ef_construction);
    out->ef_search = atomic_load(&c->fields[position].ef_search);
    out->threshold = atomic_load(&c->fields[position].threshold);
    out->quantization = (uint8_t)(1 + atomic_load(&c->fields[position].quantization));
}

int node_field_position(const struct collection *c, struct slice name)
{
    for (size_t i = 0; i < c->field_count; i++) {
        if (slice_equal(name, slice_text(c->fields[i].info.name)))
            return (int)i;
    }
    return -1;
}

bool node_string_ids(const struct collection *c)
{
    return c->string_ids;
}
