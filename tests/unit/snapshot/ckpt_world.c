#include "tests/unit/snapshot/ckpt_world.h"

#include "base/json.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define world_assert(w, condition)                                                                 \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("%s:%d: %s seed=%llu", __FILE__, __LINE__, #condition,                        \
                     (unsigned long long)(w)->seed);                                               \
    } while (0)

void world_make(struct world *w)
{
    struct vindex_options o = {.dim = WORLD_DIM,
                               .metric = VMETRIC_L2,
                               .m = 4,
                               .ef_construction = 20,
                               .ef_search = 20,
                               .threshold = 8,
                               .seed = w->seed};
    struct slots_options so;

    world_assert(w, epoch_create(&w->epoch, NULL) == ST_OK);
    mem_budget_init(&w->budget, NULL, 0);
    so = (struct slots_options){.epoch = w->epoch, .budget = &w->budget};
    world_assert(w, slots_create(&so, &w->slots, NULL) == ST_OK);
    o.slots = w->slots;
    o.epoch = w->epoch;
    o.budget = &w->budget;
    world_assert(w, vindex_create(&o, &w->vindex, NULL) == ST_OK);
    w->field = (struct checkpoint_field){.id = 0, .vindex = w->vindex, .dim = WORLD_DIM};
    w->state = (struct checkpoint_state){.fs = fs_sim_fs(w->sim),
                                         .dir = WORLD_DIR,
                                         .collection_id = {7, 7, 7},
                                         .slots = w->slots,
                                         .fields = &w->field,
                                         .field_count = 1,
                                         .epoch = w->epoch};
}

void world_open(struct world *w, uint64_t seed)
{
    *w = (struct world){.seed = seed, .ops_per_step = 2};
    rand_seeded_init(&w->rand, seed);
    w->sim = fs_sim_create();
    w->log = malloc(WORLD_OPS_MAX * sizeof *w->log);
    assert_non_null(w->log);
    world_make(w);
}

void world_drop(struct world *w)
{
    vindex_destroy(w->vindex);
    slots_destroy(w->slots);
    epoch_destroy(w->epoch);
    w->vindex = NULL;
    w->slots = NULL;
    w->epoch = NULL;
}

void world_close(struct world *w)
{
    if (w->slots != NULL)
        world_drop(w);
    fs_sim_destroy(w->sim);
    free(w->log);
}

/* What a row is follows from its id and lsn alone. */
static void row_vector(uint32_t id, uint64_t lsn, float out[WORLD_DIM])
{
    for (unsigned i = 0; i < WORLD_DIM; i++)
        out[i] = (float)((id * 31 + lsn * 17 + i * 7) % 101) / 10.0f;
}

static void row_texts(uint32_t id, uint64_t lsn, char external[64], struct buf *payload)
{
    (void)snprintf(external, 64, "ext-%u-%llu", id, (unsigned long long)lsn);
    buf_init(payload, 256);
    if (lsn % 3 != 0) { /* some rows have no payload */
        struct jdoc *doc;
        struct jval root;
        char json[64];

        (void)snprintf(json, sizeof json, "{\"id\":%u,\"lsn\":%llu}", id, (unsigned long long)lsn);
        assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
        assert_int_equal(jdoc_parse(doc, slice_text(json), &root, NULL), ST_OK);
        jbin_put(payload, root);
        jdoc_destroy(doc);
    }
}

struct docid world_docid(uint32_t id)
{
    struct docid d = docid_u64(id);

    if (id % 3 == 1) {
        d.kind = DOCID_UUID;
        memset(d.uuid, 0, sizeof d.uuid);
        d.uuid[15] = (uint8_t)id;
    } else if (id % 3 == 2) {
        static char texts[WORLD_IDS][16];

        (void)snprintf(texts[id], sizeof texts[id], "key-%u", id);
        d = (struct docid){.kind = DOCID_BYTES, .bytes = slice_text(texts[id])};
    }
    return d;
}

static void apply_row(struct world *w, uint32_t id, uint64_t lsn)
{
    struct docid docid = world_docid(id);
    float vector[WORLD_DIM];
    char external[64];
    struct buf payload;
    uint32_t slot;

    row_vector(id, lsn, vector);
    row_texts(id, lsn, external, &payload);
    world_assert(w, slots_reserve(w->slots, 1, &slot, NULL) == ST_OK);
    world_assert(w, vindex_reserve(w->vindex, slots_end(w->slots), NULL) == ST_OK);
    world_assert(w, slots_fill(w->slots, slot, &docid, slice_text(external), buf_slice(&payload),
                               lsn * 1000, NULL) == ST_OK);
    vindex_fill(w->vindex, slot, vector);
    (void)slots_publish(w->slots, slot, lsn);
    vindex_publish(w->vindex, slot);
    buf_free(&payload);
}

static void apply(struct world *w, const struct world_op *op)
{
    for (unsigned i = 0; i < op->count; i++) {
        struct docid docid = world_docid(op->ids[i]);

        if (op->is_delete)
            (void)slots_erase(w->slots, &docid);
        else
            apply_row(w, op->ids[i], op->lsn);
    }
}

static void log_and_apply(struct world *w, struct world_op op)
{
    assert_true(w->log_count < WORLD_OPS_MAX);
    op.lsn = ++w->lsn;
    w->log[w->log_count++] = op;
    for (unsigned i = 0; i < op.count; i++)
        w->expected[op.ids[i]] = op.is_delete ? 0 : op.lsn;
    apply(w, &op);
}

void world_upsert(struct world *w, uint32_t id)
{
    log_and_apply(w, (struct world_op){.count = 1, .ids = {id}});
}

void world_delete(struct world *w, uint32_t id)
{
    log_and_apply(w, (struct world_op){.is_delete = true, .count = 1, .ids = {id}});
}

void world_repair(struct world *w)
{
    uint32_t dead[256];
    uint32_t count = slots_dead_list(w->slots, dead, COUNT_OF(dead));

    if (count == 0)
        return;
    world_assert(w, vindex_repair(w->vindex, dead, count, NULL, NULL) == ST_OK);
    for (uint32_t i = 0; i < count; i++)
        slots_retire(w->slots, dead[i]);
}

static uint32_t some(struct world *w, uint64_t bound)
{
    return (uint32_t)rand_below(&w->rand.source, bound);
}

static void one_op(struct world *w)
{
    uint32_t what = some(w, 100);
    uint32_t id = some(w, WORLD_IDS - WORLD_BATCH);

    if (what < 45)
        world_upsert(w, id);
    else if (what < 55)
        log_and_apply(w, (struct world_op){.count = 3, .ids = {id, id + 2, id + 1}});
    else if (what < 75)
        world_delete(w, id);
    else if (what < 90)
        (void)vindex_link(w->vindex, 1 + some(w, 8));
    else if (what < 94)
        world_repair(w);
    else
        (void)epoch_collect(w->epoch);
}

void world_ops(struct world *w, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        one_op(w);
}

void world_step(void *world)
{
    struct world *w = world;

    world_ops(w, some(w, w->ops_per_step * 2 + 1));
}

status world_checkpoint(struct world *w, struct checkpoint_info *info, struct err *err)
{
    const struct ckpt_tuning tuning = {
        .block_slots = 16, .batch_rows = 3, .step = world_step, .arg = w};

    return ckpt_write(&w->state, w->lsn, w->lsn * 5, NULL, &tuning, info, err);
}

static void put_record_row(struct record_writer *writer, uint32_t id, uint64_t lsn)
{
    struct docid docid = world_docid(id);
    float vector[WORLD_DIM];
    const struct record_vector v = {.field = 0, .dim = WORLD_DIM, .values = vector};
    char external[64];
    struct buf payload;

    row_vector(id, lsn, vector);
    row_texts(id, lsn, external, &payload);
    record_put_row(writer, &docid, slice_text(external), buf_slice(&payload), &v, 1);
    buf_free(&payload);
}

void world_record(const struct world_op *op, struct buf *out)
{
    struct record_writer writer;

    record_begin(&writer, out, op->is_delete ? RECORD_DELETE : RECORD_UPSERT, op->lsn * 1000);
    for (unsigned i = 0; i < op->count; i++) {
        struct docid docid = world_docid(op->ids[i]);

        if (op->is_delete)
            record_put_id(&writer, &docid);
        else
            put_record_row(&writer, op->ids[i], op->lsn);
    }
    assert_int_equal(record_end(&writer, NULL), ST_OK);
}

void world_expected_at(const struct world *w, uint64_t lsn, uint64_t out[WORLD_IDS])
{
    memset(out, 0, WORLD_IDS * sizeof out[0]);
    for (size_t i = 0; i < w->log_count && w->log[i].lsn <= lsn; i++)
        for (unsigned k = 0; k < w->log[i].count; k++)
            out[w->log[i].ids[k]] = w->log[i].is_delete ? 0 : w->log[i].lsn;
}

/* The rule of docs/formats/checkpoint.md, "Loading". */
void world_replay(struct world *w, uint64_t start_lsn)
{
    for (size_t i = 0; i < w->log_count; i++) {
        const struct world_op *op = &w->log[i];

        if (op->lsn <= start_lsn)
            continue;
        for (unsigned k = 0; k < op->count; k++) {
            struct docid docid = world_docid(op->ids[k]);
            uint32_t slot = slots_find(w->slots, &docid);
            struct row row = {.lsn = 0};

            if (slot != SLOT_NONE)
                slots_row(w->slots, slot, &row);
            if (op->is_delete && row.lsn < op->lsn)
                (void)slots_erase(w->slots, &docid);
            else if (!op->is_delete && row.lsn < op->lsn)
                apply_row(w, op->ids[k], op->lsn);
        }
    }
}

uint64_t world_restart(struct world *w)
{
    struct checkpoint_info info = {0};
    struct err err = {0};
    status st;

    if (w->slots != NULL)
        world_drop(w);
    world_make(w);
    st = checkpoint_load(&w->state, false, &info, &err);
    if (st != ST_OK && st != ST_NOT_FOUND)
        fail_msg("load: %s seed=%llu", err.text, (unsigned long long)w->seed);
    world_assert(w, info.lsn_max <= w->lsn);
    world_replay(w, info.start_lsn);
    return info.start_lsn;
}

static void check_row(struct world *w, uint32_t id)
{
    struct docid docid = world_docid(id);
    uint32_t slot = slots_find(w->slots, &docid);
    float vector[WORLD_DIM];
    char external[64];
    struct buf payload;
    struct row row;

    if (w->expected[id] == 0) {
        world_assert(w, slot == SLOT_NONE);
        return;
    }
    world_assert(w, slot != SLOT_NONE);
    slots_row(w->slots, slot, &row);
    world_assert(w, row.lsn == w->expected[id]);
    world_assert(w, row.inserted_at_ns == row.lsn * 1000);
    world_assert(w, docid_equal(&row.id, &docid));
    row_texts(id, row.lsn, external, &payload);
    world_assert(w, slice_equal(row.external_id, slice_text(external)));
    world_assert(w, slice_equal(row.payload, buf_slice(&payload)));
    buf_free(&payload);
    row_vector(id, row.lsn, vector);
    world_assert(w, vindex_filled(w->vindex, slot));
    world_assert(w, memcmp(vindex_vector(w->vindex, slot), vector, sizeof vector) == 0);
}

/* Every live row is found by an approximate search for all of them, none twice, none dead. */
static void check_search(struct world *w, uint32_t live)
{
    struct vindex_scratch *scratch;
    const float query[WORLD_DIM] = {5, 5, 5, 5, 5};
    struct vsearch s = {.query = query, .k = WORLD_IDS, .ef = 4 * WORLD_IDS};
    struct vhit hits[WORLD_IDS];
    struct vsearch_stats stats;
    uint32_t count = 0;

    world_assert(w, vindex_scratch_create(&scratch, NULL) == ST_OK);
    world_assert(w, vindex_search(w->vindex, scratch, &s, hits, &count, &stats, NULL) == ST_OK);
    world_assert(w, count == live);
    for (uint32_t i = 0; i < count; i++)
        world_assert(w, slots_current(w->slots, hits[i].slot));
    vindex_scratch_destroy(scratch);
}

void world_check(struct world *w)
{
    struct vindex_check graph;
    struct err err = {0};
    uint32_t live = 0;

    for (uint32_t id = 0; id < WORLD_IDS; id++) {
        check_row(w, id);
        live += w->expected[id] != 0;
    }
    world_assert(w, slots_live_count(w->slots) == live);
    if (slots_check(w->slots, &err) != ST_OK)
        fail_msg("slots: %s seed=%llu", err.text, (unsigned long long)w->seed);
    if (vindex_check(w->vindex, &graph, &err) != ST_OK)
        fail_msg("graph: %s seed=%llu", err.text, (unsigned long long)w->seed);
    check_search(w, live);
}

static status count_file(void *arg, const char *name, bool is_dir, struct err *err)
{
    unsigned *count = arg;

    (void)name;
    (void)is_dir;
    (void)err;
    (*count)++;
    return ST_OK;
}

unsigned world_files(struct world *w)
{
    unsigned count = 0;

    assert_int_equal(fs_list(w->state.fs, WORLD_DIR, count_file, &count, NULL), ST_OK);
    return count;
}

struct buf world_file_read(struct world *w, const char *name)
{
    char path[FS_PATH_BYTES];
    struct buf b;

    buf_init(&b, 1u << 24);
    assert_int_equal(fs_join(path, WORLD_DIR, name, NULL), ST_OK);
    assert_int_equal(fs_read_file(w->state.fs, path, 1u << 24, &b, NULL), ST_OK);
    return b;
}

void world_file_write(struct world *w, const char *name, struct slice bytes)
{
    char path[FS_PATH_BYTES];
    struct fs_file *file;

    assert_int_equal(fs_join(path, WORLD_DIR, name, NULL), ST_OK);
    assert_int_equal(fs_open(w->state.fs, path, FS_WRITE | FS_CREATE | FS_TRUNCATE, &file, NULL),
                     ST_OK);
    assert_int_equal(fs_pwrite(w->state.fs, file, bytes.data, bytes.bytes, 0, NULL), ST_OK);
    fs_close(w->state.fs, file);
}
