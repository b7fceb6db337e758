#include "tests/unit/tiering/cold_world.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TWICE_EACH = 97 }; /* one row in so many is in two segments, and dead in none */

static struct cold_world *world_of(struct objstore *s)
{
    return (struct cold_world *)(void *)((char *)s - offsetof(struct cold_world, counting));
}

static void submit(struct objstore *s, struct objstore_req *req)
{
    struct cold_world *w = world_of(s);

    w->counts[req->op]++;
    w->get_bytes += req->range_bytes;
    objstore_submit(w->faults, req);
}

static void cancel(struct objstore *s, struct objstore_req *req)
{
    objstore_cancel(world_of(s)->faults, req);
}

static void make_segment(struct cold_world *w, const struct cold_world_options *o, uint32_t number,
                         uint64_t first_id, uint64_t first_lsn, uint32_t count)
{
    const struct cold_rows_options draw = {.fields = w->fields,
                                           .field_count = o->fields > 0 ? o->fields : WORLD_FIELDS,
                                           .count = count,
                                           .seed = o->seed + number,
                                           .first_lsn = first_lsn,
                                           .first_id = first_id,
                                           .mixed_ids = o->mixed_ids,
                                           .without_vector = o->without_vector,
                                           .rich = o->rich,
                                           .no_external_ids = o->no_external_ids};
    struct cold_make make = {.fields = w->fields,
                             .field_count = draw.field_count,
                             .seed = o->seed * 100 + number,
                             .row_count = count,
                             .indexes = o->indexes,
                             .index_count = o->index_count[number]};
    struct manifest_cold named;
    struct buf bytes;
    struct err err = {0};

    assert_int_equal(cold_rows_make(&draw, &w->rows[number], NULL), ST_OK);
    make.rows = w->rows[number].rows;
    memcpy(make.collection, w->collection, sizeof make.collection);
    w->ordinals[number] = mem_alloc_array(count, sizeof *w->ordinals[number]);
    buf_init(&bytes, SIZE_MAX);
    if (cold_make_segment(&make, &bytes, &named, w->ordinals[number], &err) != ST_OK)
        fail_msg("%s", err.text);
    assert_int_equal(
        cold_make_put(w->memory, w->collection, named.object.uuid, buf_slice(&bytes), NULL), ST_OK);
    w->object_bytes[number] = bytes.bytes;
    buf_free(&bytes);
    assert_int_equal(manifest_add_cold(&w->manifest, &named, NULL), ST_OK);
    assert_int_equal(cold_dead_init(&w->dead[number], count, NULL), ST_OK);
    w->segments++;
}

/* Rows of a segment that a later one has again. */
static void bury(struct cold_world *w, uint32_t number)
{
    struct manifest_cold *named = &w->manifest.colds[number];

    for (uint32_t i = 0; i < w->rows[number].count; i++) {
        bool again = false;

        for (uint32_t s = number + 1; s < w->segments; s++)
            again =
                again || (w->rows[number].rows[i].payload.bytes > 0 &&
                          docid_compare(&w->rows[number].rows[i].id, &w->rows[s].rows[0].id) >= 0 &&
                          i >= w->rows[number].count / 2);
        if (i % 50 == 7 || (again && i % TWICE_EACH != 0))
            (void)cold_dead_add(&w->dead[number], w->ordinals[number][i]);
    }
    if (w->dead[number].dead > 0)
        assert_int_equal(cold_make_dead(w->memory, w->collection, &w->dead[number],
                                        7000 + number + w->manifest.revision, named, NULL),
                         ST_OK);
}

static void make_manifest(struct cold_world *w, const struct cold_world_options *o)
{
    static char names[WORLD_FIELDS][8] = {"", "b"};
    struct catalog_collection *schema = &w->manifest.schema;

    for (uint16_t i = 0; i < WORLD_FIELDS; i++)
        w->fields[i] = (struct catalog_field){.id = i == 0 ? 0 : 3,
                                              .name = names[i],
                                              .dim = i == 0 ? o->dim : o->dim / 2,
                                              .metric = i == 0 ? VMETRIC_COSINE : VMETRIC_L2};
    manifest_init(&w->manifest);
    schema->fields = w->fields;
    schema->field_count = o->fields > 0 ? o->fields : WORLD_FIELDS;
}

void world_open(struct cold_world *w, const struct cold_world_options *o)
{
    static const struct objstore_ops ops = {.submit = submit, .cancel = cancel};
    static unsigned opened;
    struct cache_options options = {.clock = clock_real(),
                                    .bytes_max = o->cache_bytes > 0 ? o->cache_bytes : 64 << 20};
    uint64_t first_id = 1000, first_lsn = 1;
    uint32_t count = o->rows;
    char name[32];

    memset(w, 0, sizeof *w);
    w->counting.ops = &ops;
    rand_seeded_init(&w->rand, o->seed);
    memset(w->collection, 0xC0, sizeof w->collection);
    (void)snprintf(name, sizeof name, "cold-%u", opened++);
    assert_int_equal(objstore_memory_open(name, NULL, &w->memory, NULL), ST_OK);
    objstore_memory_forget(name);
    assert_int_equal(objstore_faults_open(w->memory, o->seed, &w->faults, NULL), ST_OK);
    make_manifest(w, o);
    for (uint32_t i = 0; i < o->segments; i++) {
        make_segment(w, o, i, first_id, first_lsn, count);
        first_id += count / 2;
        first_lsn += count;
        count /= 2;
    }
    for (uint32_t i = 0; i < w->segments; i++)
        bury(w, i);
    w->manifest.floor.lsn = first_lsn;
    options.store = &w->counting;
    options.rand = &w->rand.source;
    assert_int_equal(cache_open(&options, &w->cache, NULL), ST_OK);
}

void world_close(struct cold_world *w)
{
    assert_int_equal(w->counts[OBJSTORE_HEAD], 0);
    assert_int_equal(w->counts[OBJSTORE_LIST], 0);
    cache_close(w->cache);
    objstore_close(w->faults);
    w->manifest.schema.fields = NULL;
    w->manifest.schema.field_count = 0;
    manifest_free(&w->manifest);
    for (uint32_t i = 0; i < w->segments; i++) {
        cold_rows_free(&w->rows[i]);
        mem_free(w->ordinals[i]);
        cold_dead_free(&w->dead[i]);
    }
}

struct cold_set *world_set(struct cold_world *w, const struct cold_set *before)
{
    struct cold_set_options options = {
        .cache = w->cache, .account = &w->account, .manifest = &w->manifest, .before = before};
    struct cold_set *set = NULL;
    struct err err = {0};

    memcpy(options.collection, w->collection, sizeof options.collection);
    if (cold_set_open(&options, &set, &err) != ST_OK)
        fail_msg("%s", err.text);
    return set;
}

struct cold_terms world_terms(void)
{
    return (struct cold_terms){.newer = NULL};
}

uint64_t world_gets(const struct cold_world *w)
{
    return w->counts[OBJSTORE_GET];
}

bool world_is_dead(const struct cold_world *w, uint32_t segment, uint32_t row)
{
    return cold_dead_has(&w->dead[segment], w->ordinals[segment][row]);
}

const struct cold_make_row *world_newest(const struct cold_world *w, const struct docid *id,
                                         uint32_t *segment, uint32_t *ordinal)
{
    const struct cold_make_row *newest = NULL;

    for (uint32_t s = 0; s < w->segments; s++)
        for (uint32_t i = 0; i < w->rows[s].count; i++) {
            const struct cold_make_row *row = &w->rows[s].rows[i];

            if (!docid_equal(&row->id, id) || world_is_dead(w, s, i) ||
                (newest != NULL && newest->lsn > row->lsn))
                continue;
            newest = row;
            if (segment != NULL)
                *segment = s;
            if (ordinal != NULL)
                *ordinal = w->ordinals[s][i];
        }
    return newest;
}

static int compare_ids(const void *a, const void *b)
{
    return docid_compare(a, b);
}

struct docid *world_ids(const struct cold_world *w, size_t *count)
{
    size_t all = 0, kept = 0;
    struct docid *ids;

    for (uint32_t s = 0; s < w->segments; s++)
        all += w->rows[s].count;
    ids = mem_alloc_array(all + 1, sizeof *ids);
    assert_non_null(ids);
    all = 0;
    for (uint32_t s = 0; s < w->segments; s++)
        for (uint32_t i = 0; i < w->rows[s].count; i++)
            if (!world_is_dead(w, s, i))
                ids[all++] = w->rows[s].rows[i].id;
    qsort(ids, all, sizeof *ids, compare_ids);
    for (size_t i = 0; i < all; i++)
        if (i == 0 || !docid_equal(&ids[i], &ids[kept - 1]))
            ids[kept++] = ids[i];
    *count = kept;
    return ids;
}

/* By its lsn, which is of one row alone. */
static const struct cold_make_row *row_of_lsn(const struct cold_world *w, uint64_t lsn)
{
    for (uint32_t s = 0; s < w->segments; s++)
        if (w->rows[s].count > 0 && lsn >= w->rows[s].rows[0].lsn &&
            lsn - w->rows[s].rows[0].lsn < w->rows[s].count)
            return &w->rows[s].rows[lsn - w->rows[s].rows[0].lsn];
    return NULL;
}

void world_check_row(const struct cold_world *w, const struct cold_row *row, unsigned what,
                     uint64_t vectors)
{
    const struct cold_make_row *from = row_of_lsn(w, row->lsn);

    assert_true(row->found);
    assert_non_null(from);
    assert_true(docid_equal(&from->id, &row->id));
    if ((what & COLD_PAYLOAD) != 0) {
        assert_true(slice_equal(from->payload, row->payload));
        assert_true(slice_equal(from->external_id, row->external_id));
        assert_int_equal(from->inserted_at_ns, row->inserted_at_ns);
    }
    for (size_t f = 0; f < w->manifest.schema.field_count; f++) {
        bool is_there = (vectors >> f & 1) != 0 && from->vectors[f] != NULL;

        assert_int_equal(row->vectors[f] != NULL, is_there);
        if (is_there)
            assert_memory_equal(row->vectors[f], from->vectors[f],
                                w->fields[f].dim * sizeof(float));
    }
}
