#include "filter/pindex.h"

struct pindex_set {
    struct mem_budget *budget;
};

static const char *const TYPES[] = {
    [PINDEX_KEYWORD] = "keyword", [PINDEX_INTEGER] = "integer", [PINDEX_FLOAT] = "float",
    [PINDEX_BOOL] = "bool",       [PINDEX_GEO] = "geo",         [PINDEX_DATETIME] = "datetime",
    [PINDEX_UUID] = "uuid",       [PINDEX_TEXT] = "text"};

const char *pindex_type_name(enum pindex_type t)
{
    return TYPES[t];
}

bool pindex_type_parse(struct slice text, enum pindex_type *out)
{
    for (size_t i = PINDEX_KEYWORD; i <= PINDEX_TEXT; i++) {
        if (!slice_equal(text, slice_text(TYPES[i])))
            continue;
        *out = (enum pindex_type)i;
        return true;
    }
    return false;
}

status pindex_create(const struct pindex_rows *rows, struct mem_budget *budget,
                     struct pindex_set **out, struct err *err)
{
    struct pindex_set *set = mem_zero(sizeof *set);

    (void)rows;
    if (set == NULL)
        return err_set(err, ST_NOMEM, "out of memory for payload indexes");
    set->budget = budget;
    *out = set;
    return ST_OK;
}

void pindex_destroy(struct pindex_set *set)
{
    mem_free(set);
}

status pindex_add(struct pindex_set *set, const struct pindex_spec *spec, struct err *err)
{
    (void)set;
    (void)spec;
    return err_set(err, ST_UNSUPPORTED, "payload indexes are not supported yet");
}

bool pindex_remove(struct pindex_set *set, const struct path *path)
{
    (void)set;
    (void)path;
    return false;
}

status pindex_reserve(struct pindex_set *set, uint32_t slot_end, struct err *err)
{
    (void)set;
    (void)slot_end;
    (void)err;
    return ST_OK;
}

void pindex_publish(struct pindex_set *set, uint32_t slot)
{
    (void)set;
    (void)slot;
}

uint32_t pindex_step(struct pindex_set *set, uint32_t max)
{
    (void)set;
    (void)max;
    return 0;
}

uint32_t pindex_pending(const struct pindex_set *set)
{
    (void)set;
    return 0;
}

void pindex_forget(struct pindex_set *set, const uint32_t *slots, uint32_t count)
{
    (void)set;
    (void)slots;
    (void)count;
}

size_t pindex_list(const struct pindex_set *set, struct pindex_info *out, size_t max)
{
    (void)set;
    (void)out;
    (void)max;
    return 0;
}

bool pindex_words_of(const struct pindex_set *set, const struct path *path,
                     struct filter_words *out)
{
    (void)set;
    (void)path;
    (void)out;
    return false;
}

status pindex_lookup(const struct pindex_set *set, const struct filter *f, struct arena *arena,
                     struct pindex_answer *out, struct err *err)
{
    (void)set;
    (void)f;
    (void)arena;
    (void)err;
    *out = (struct pindex_answer){0};
    return ST_OK;
}

void pindex_pending_bits(const struct pindex_set *set, uint64_t *bits, uint32_t bit_count)
{
    (void)set;
    (void)bits;
    (void)bit_count;
}

void pindex_estimate(const struct pindex_set *set, const struct filter *f, uint64_t rows,
                     struct pindex_estimate *out)
{
    (void)set;
    (void)f;
    *out = (struct pindex_estimate){.likely = rows, .high = rows};
}

status pindex_ordered(const struct pindex_set *set, const struct path *path, bool falling,
                      const struct filter_value *from, pindex_order_fn *fn, void *arg,
                      struct err *err)
{
    (void)set;
    (void)path;
    (void)falling;
    (void)from;
    (void)fn;
    (void)arg;
    return err_set(err, ST_NOT_FOUND, "no index on this path");
}

status pindex_facet(const struct pindex_set *set, const struct path *path, const uint64_t *among,
                    uint32_t bit_count, pindex_facet_fn *fn, void *arg, struct err *err)
{
    (void)set;
    (void)path;
    (void)among;
    (void)bit_count;
    (void)fn;
    (void)arg;
    return err_set(err, ST_NOT_FOUND, "no index on this path");
}
