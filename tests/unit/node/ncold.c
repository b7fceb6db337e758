#include "tests/unit/node/ncold.h"

#include "node/keep.h"

#include <stdatomic.h>

static struct cold_set *make(struct collection *c, uint64_t floor, struct fake_cold_ways *ways)
{
    struct fake_cold_field fields[FAKE_COLD_FIELDS];

    assert_true(c->field_count <= FAKE_COLD_FIELDS);
    for (size_t i = 0; i < c->field_count; i++)
        fields[i] = (struct fake_cold_field){.id = c->fields[i].id,
                                             .metric = (enum vmetric)c->fields[i].info.metric,
                                             .dimension = c->fields[i].info.dimension};
    return fake_cold_create(fields, c->field_count, floor, ways);
}

static struct cold_set *swap(struct collection *c, struct cold_set *set)
{
    struct cold_set *before;

    lock_take(&c->cold->set.lock);
    before = c->cold->set.now;
    c->cold->set.now = set;
    c->cold->set.floor = set == NULL ? 0 : cold_set_floor(set);
    lock_drop(&c->cold->set.lock);
    return before;
}

void ncold_begin(struct collection *c, struct fake_cold_ways *ways)
{
    struct cold_set *set = make(c, 0, ways);

    fake_cold_seal(set);
    assert_null(swap(c, set));
    atomic_store(&c->policy, NODE_S3_ONLY);
}

void ncold_end(struct collection *c)
{
    cold_set_drop(swap(c, NULL));
    atomic_store(&c->policy, NODE_MEMORY);
}

uint64_t ncold_rows(struct collection *c)
{
    return cold_set_rows(c->cold->set.now);
}

static bool stays(void *arg, const struct docid *id, uint64_t lsn)
{
    struct collection *c = arg;
    struct epoch_guard guard = epoch_enter(c->node->epoch);
    bool in_head = slots_find(c->slots, id) != SLOT_NONE;

    epoch_leave(c->node->epoch, guard);
    return !in_head && !cold_newer(c, id, lsn);
}

/* The head's rows go into `set`; their ids into ids. */
static size_t add_head(struct collection *c, struct cold_set *set, struct docid **ids,
                       struct arena *arena)
{
    struct epoch_guard guard = epoch_enter(c->node->epoch);
    uint32_t count = 0, all = slots_live_count(c->slots);
    uint32_t *slots = arena_array(arena, (size_t)all + 1, sizeof *slots);

    *ids = arena_array(arena, (size_t)all + 1, sizeof **ids);
    assert_true(slots != NULL && *ids != NULL);
    assert_int_equal(slots_page(c->slots, NULL, all + 1, slots, &count, NULL), ST_OK);
    for (uint32_t i = 0; i < count; i++) {
        struct fake_cold_row out;
        struct row row;

        slots_row(c->slots, slots[i], &row);
        out = (struct fake_cold_row){.id = row.id,
                                     .lsn = row.lsn,
                                     .inserted_at_ns = row.inserted_at_ns,
                                     .external_id = row.external_id,
                                     .payload = row.payload};
        for (size_t f = 0; f < c->field_count; f++)
            if (vindex_filled(c->fields[f].vindex, slots[i]))
                out.vectors[f] = vindex_vector(c->fields[f].vindex, slots[i]);
        fake_cold_add(set, &out);
        assert_true(keep_id(arena, &row.id, &(*ids)[i]));
    }
    epoch_leave(c->node->epoch, guard);
    return count;
}

static void say_free(void *arg)
{
    atomic_store((_Atomic bool *)arg, true);
}

void ncold_fold(struct collection *c, struct fake_cold_ways *ways)
{
    uint64_t floor = atomic_load(&c->applied_lsn);
    struct cold_set *set = make(c, floor, ways);
    struct cold_set *before;
    _Atomic bool is_free = false;
    struct docid *ids;
    struct arena arena;
    size_t count;

    arena_init(&arena, SIZE_MAX);
    fake_cold_take(set, c->cold->set.now, stays, c);
    count = add_head(c, set, &ids, &arena);
    fake_cold_seal(set);
    before = swap(c, set);
    cold_set_when_free(before, say_free, &is_free);
    cold_set_drop(before);
    neventually(atomic_load(&is_free));
    cold_apply_begin(c);
    for (size_t i = 0; i < count; i++)
        (void)slots_erase(c->slots, &ids[i]);
    cold_apply_end(c);
    tombstones_give_up(c, floor);
    arena_free(&arena);
}
