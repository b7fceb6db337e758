/* Folds of collections of every shape: no vector fields, several, rows without a vector, each
 * metric, ids of each kind and length, payloads of any size, objects in parts. What comes back is
 * what was written, to the last byte, whether side vectors wait on disk or in RAM. */
#include "base/json.h"
#include "base/mem.h"
#include "objstore/memory.h"
#include "snapshot/fold_internal.h"
#include "snapshot/restore.h"
#include "tests/support/fs_sim.h"
#include "tests/unit/snapshot/counting_store.h"
#include "tests/unit/snapshot/fold_codes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { IDS = 6000, FIELDS = 3, DIM_MAX = 130, U64_STEP = 1000003 };
static uint64_t seed = 20261122;
static const uint8_t ID[16] = {9, 9, 1};

struct shape {
    const char *name;
    size_t fields;
    uint32_t dims[FIELDS];
    uint8_t metrics[FIELDS];
    unsigned with_percent[FIELDS]; /* rows that have the vector */
    bool u64, uuid, bytes, long_bytes;
    uint32_t ids; /* that are used */
    size_t text_bytes;
    unsigned folds;
    unsigned change_percent; /* in a fold but the first; 0: 20 */
    uint32_t part_bytes;
};
struct trial {
    const struct shape *shape;
    struct fs_sim *sim;
    struct objstore *memory;
    struct counting_store counting;
    struct rand_seeded rand;
    char bucket[64];
    struct catalog_field fields[FIELDS];
    struct catalog_collection schema;
    struct root root;
    struct manifest manifest;
    uint64_t lsn;
    uint64_t rows[IDS]; /* lsn, 0: none */
    uint64_t head[IDS]; /* lsn of what is in the head, 0: nothing */
    uint32_t seen;
    size_t most_segments;
    uint64_t dead;
    uint64_t resolver_gets; /* of folds that merged nothing: id blocks */
};

/* --- what a row is follows from its id and lsn --- */

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = a * 0x9E3779B97F4A7C15u ^ (b + 0x632BE59BD9B4E019u);

    x ^= x >> 29;
    x *= 0xBF58476D1CE4E5B9u;
    return x ^ x >> 32;
}

static struct docid docid_of(const struct shape *s, uint32_t id, char text[600])
{
    unsigned kinds[3], count = 0;
    struct docid out = docid_u64((uint64_t)id * U64_STEP);

    if (s->u64)
        kinds[count++] = DOCID_U64;
    if (s->uuid)
        kinds[count++] = DOCID_UUID;
    if (s->bytes)
        kinds[count++] = DOCID_BYTES;
    switch (kinds[id % count]) {
    case DOCID_UUID:
        out.kind = DOCID_UUID;
        le_put_u64(out.uuid, mix(id, 1));
        le_put_u64(out.uuid + 8, mix(id, 2));
        break;
    case DOCID_BYTES:
        (void)snprintf(text, 600, "id-%0*u", s->long_bytes ? (int)(id % 500 + 1) : 1, id);
        out = (struct docid){.kind = DOCID_BYTES, .bytes = slice_text(text)};
        break;
    default:
        break;
    }
    return out;
}

static bool has_vector(const struct shape *s, uint32_t id, uint64_t lsn, size_t field)
{
    return mix(id * 31 + lsn, field) % 100 < s->with_percent[field];
}

static void vector_of(const struct shape *s, uint32_t id, uint64_t lsn, size_t field,
                      float out[DIM_MAX])
{
    float norm = 0;

    for (uint32_t i = 0; i < s->dims[field]; i++) {
        out[i] = (float)(mix(id * 7 + lsn * 13, field * 1000 + i) % 2001) / 1000.0f - 1.0f;
        norm += out[i] * out[i];
    }
    if (s->metrics[field] == VMETRIC_COSINE)
        for (uint32_t i = 0; i < s->dims[field]; i++)
            out[i] /= sqrtf(norm);
}

static void payload_of(const struct shape *s, uint32_t id, uint64_t lsn, struct buf *out)
{
    struct jdoc *doc;
    struct jval root;
    struct buf json;

    buf_init(out, RECORD_PAYLOAD_BYTES_MAX);
    if (lsn % 4 == 0)
        return;
    buf_init(&json, RECORD_PAYLOAD_BYTES_MAX);
    buf_printf(&json, "{\"id\":%u,\"text\":\"", id);
    for (uint64_t i = 0; i < (s->text_bytes == 0 ? 0 : mix(id, lsn) % s->text_bytes); i += 16)
        buf_printf(&json, "%016llx", (unsigned long long)mix(i, id + lsn));
    buf_printf(&json, "\"}");
    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    assert_int_equal(jdoc_parse(doc, buf_slice(&json), &root, NULL), ST_OK);
    jbin_put(out, root);
    assert_false(out->failed);
    jdoc_destroy(doc);
    buf_free(&json);
}

/* --- the head --- */

static status each_row(void *arg,
                       status (*fn)(void *fn_arg, const struct fold_row *row, struct err *err),
                       void *fn_arg, struct err *err)
{
    struct trial *t = arg;
    const struct shape *s = t->shape;
    status st = ST_OK;

    for (uint32_t id = 0; st == ST_OK && id < s->ids; id++) {
        float vectors[FIELDS][DIM_MAX];
        const float *pointers[FIELDS];
        char text[600], external[64];
        struct fold_row row = {.lsn = t->head[id], .vectors = pointers};
        struct buf payload;

        if (t->head[id] == 0 || t->rows[id] != t->head[id])
            continue;
        for (size_t i = 0; i < s->fields; i++) {
            vector_of(s, id, row.lsn, i, vectors[i]);
            pointers[i] = has_vector(s, id, row.lsn, i) ? vectors[i] : NULL;
        }
        payload_of(s, id, row.lsn, &payload);
        (void)snprintf(external, sizeof external, "x%u-%llu", id, (unsigned long long)row.lsn);
        row.id = docid_of(s, id, text);
        row.inserted_at_ns = row.lsn * 3;
        row.external_id = slice_text(external);
        row.payload = buf_slice(&payload);
        st = fn(fn_arg, &row, err);
        buf_free(&payload);
    }
    return st;
}

static status each_tombstone(void *arg,
                             status (*fn)(void *fn_arg, const struct docid *id, uint64_t lsn,
                                          struct err *err),
                             void *fn_arg, struct err *err)
{
    struct trial *t = arg;
    status st = ST_OK;

    for (uint32_t id = 0; st == ST_OK && id < t->shape->ids; id++) {
        char text[600];
        struct docid docid;

        if (t->head[id] == 0 || t->rows[id] != 0)
            continue;
        docid = docid_of(t->shape, id, text);
        st = fn(fn_arg, &docid, t->head[id], err);
    }
    return st;
}

static void write_some(struct trial *t, unsigned fold)
{
    struct rand_source *rand = &t->rand.source;
    unsigned percent = t->shape->change_percent == 0 ? 20 : t->shape->change_percent;

    for (uint32_t id = 0; id < t->shape->ids; id++) {
        if (fold > 0 && rand_below(rand, 100) >= percent)
            continue;
        t->lsn += 1 + rand_below(rand, 3);
        t->head[id] = t->lsn;
        t->rows[id] = fold > 0 && rand_below(rand, 3) == 0 ? 0 : t->lsn;
    }
}

/* --- the fold --- */

static status commit(void *arg, uint64_t revision, const struct object_ref *manifest,
                     const struct log_floor *floor, size_t absorbed, bool base_complete,
                     struct err *err)
{
    struct trial *t = arg;

    (void)err;
    assert_true(base_complete);
    assert_int_equal(absorbed, 0);
    assert_int_equal(floor->lsn, t->lsn);
    t->root.revision = revision;
    t->root.has_manifest = true;
    t->root.manifest_revision = revision;
    t->root.manifest = *manifest;
    return ST_OK;
}

static void fold(struct trial *t, struct fold_report *report)
{
    const struct fold_tuning tuning = {.part_bytes = t->shape->part_bytes};
    struct fold_options o = {
        .publish = {.store = &t->counting.store,
                    .clock = clock_real(),
                    .rand = &t->rand.source,
                    .fs = fs_sim_fs(t->sim),
                    .schema = &t->schema,
                    .root = &t->root,
                    .lsn = t->lsn,
                    .shipped = {.lsn = t->lsn, .epoch = 1, .seq = 1, .chain = 1},
                    .max_retries = 1,
                    .base_backoff_ms = 1,
                    .max_backoff_ms = 2,
                    .commit = commit,
                    .commit_arg = t},
        .head = {.each_row = each_row, .each_tombstone = each_tombstone, .arg = t},
        .scratch_dir = "fold/1",
        .seed = seed};
    uint64_t before = t->counting.counts[OBJSTORE_GET], gets = 0;
    struct manifest after;
    struct fs_stat found;
    struct err err = {0};

    memcpy(o.publish.collection, ID, 16);
    if (fold_run_tuned(&o, t->root.has_manifest ? &t->manifest : NULL, &tuning, &after, report,
                       &err) != ST_OK)
        fail_msg("%s: %s seed=%llu", t->shape->name, err.text, (unsigned long long)seed);
    assert_int_equal(fs_stat(o.publish.fs, "fold/1", &found, NULL), ST_NOT_FOUND);
    if (report->merged == 0) /* what opens the segments that stay is not the resolver's */
        for (size_t i = 0; i < t->manifest.cold_count; i++)
            gets += t->manifest.colds[i].dead.bytes > 0 ? 2 : 1;
    if (report->merged == 0)
        t->resolver_gets += t->counting.counts[OBJSTORE_GET] - before - gets;
    manifest_free(&t->manifest);
    t->manifest = after;
    t->dead += report->rows_dead;
    t->most_segments = after.cold_count > t->most_segments ? after.cold_count : t->most_segments;
    memset(t->head, 0, sizeof t->head);
}

/* --- reading it back --- */

static void check_row(struct trial *t, uint32_t id, const struct fold_row *row)
{
    const struct shape *s = t->shape;
    char external[64];
    struct buf payload;

    if (row->lsn != t->rows[id])
        fail_msg("%s: id %u has lsn %llu seed=%llu", s->name, id, (unsigned long long)row->lsn,
                 (unsigned long long)seed);
    assert_int_equal(row->inserted_at_ns, row->lsn * 3);
    (void)snprintf(external, sizeof external, "x%u-%llu", id, (unsigned long long)row->lsn);
    assert_true(slice_equal(row->external_id, slice_text(external)));
    payload_of(s, id, row->lsn, &payload);
    assert_true(slice_equal(row->payload, buf_slice(&payload)));
    buf_free(&payload);
    for (size_t i = 0; i < s->fields; i++) {
        float vector[DIM_MAX];

        assert_true((row->vectors[i] != NULL) == has_vector(s, id, row->lsn, i));
        if (row->vectors[i] == NULL)
            continue;
        vector_of(s, id, row->lsn, i, vector);
        assert_memory_equal(row->vectors[i], vector, s->dims[i] * sizeof *vector);
    }
}

static uint32_t number_of(const struct shape *s, const struct docid *id)
{
    uint32_t first = id->kind == DOCID_U64 ? (uint32_t)(id->u64 / U64_STEP) : 0;

    for (uint32_t at = first; at < s->ids; at++) {
        char text[600];
        struct docid docid = docid_of(s, at, text);

        if (docid_equal(&docid, id))
            return at;
    }
    fail_msg("%s: an id that nobody wrote", s->name);
    return 0;
}

static status on_row(void *arg, const struct cold_stream_row *row, struct err *err)
{
    struct trial *t = arg;

    (void)err;
    check_row(t, number_of(t->shape, &row->row.id), &row->row);
    t->seen++;
    return ST_OK;
}

static status on_restored(void *arg, const struct segment_row *row, struct err *err)
{
    struct trial *t = arg;
    float vectors[FIELDS][DIM_MAX];
    const float *pointers[FIELDS];
    struct fold_row out = {.lsn = row->lsn,
                           .inserted_at_ns = row->inserted_at_ns,
                           .id = row->row.id,
                           .external_id = row->row.external_id,
                           .payload = row->row.payload,
                           .vectors = pointers};

    for (size_t i = 0; i < t->shape->fields; i++) {
        status st =
            record_row_vector(&row->row, t->fields[i].id, vectors[i], t->shape->dims[i], err);

        assert_true(st == ST_OK || st == ST_NOT_FOUND);
        pointers[i] = st == ST_OK ? vectors[i] : NULL;
    }
    check_row(t, number_of(t->shape, &out.id), &out);
    t->seen++;
    return ST_OK;
}

static struct ask ask_of(struct trial *t)
{
    return (struct ask){.store = &t->counting.store,
                        .clock = clock_real(),
                        .rand = &t->rand.source,
                        .policy = objstore_retry_background(1, 2, 1)};
}

static uint32_t rows_of(const struct trial *t)
{
    uint32_t rows = 0;

    for (uint32_t id = 0; id < t->shape->ids; id++)
        rows += t->rows[id] != 0;
    return rows;
}

/* As rows of a restore into RAM. */
static void restore(struct trial *t)
{
    struct restore_plan *plan = mem_zero(sizeof *plan);
    const struct restore_sink sink = {.arg = t, .on_row = on_restored};
    struct restore_options o = {
        .store = &t->counting.store, .clock = clock_real(), .rand = &t->rand.source};
    struct restore_report report;
    struct err err = {0};

    assert_non_null(plan);
    memcpy(o.collection, ID, 16);
    plan->root = t->root;
    plan->has_manifest = true;
    plan->manifest = t->manifest;
    t->seen = 0;
    if (restore_run(&o, plan, &sink, &report, &err) != ST_OK)
        fail_msg("%s: %s seed=%llu", t->shape->name, err.text, (unsigned long long)seed);
    assert_int_equal(t->seen, rows_of(t));
    assert_int_equal(report.rows, t->seen);
    assert_int_equal(report.objects, t->manifest.cold_count);
    assert_int_equal(report.last_lsn, t->lsn);
    mem_free(plan);
}

static void read_back(struct trial *t, bool on_disk)
{
    struct ask ask = ask_of(t);

    t->seen = 0;
    assert_int_equal(fs_mkdir(fs_sim_fs(t->sim), "side", NULL), ST_OK);
    for (size_t i = 0; i < t->manifest.cold_count; i++) {
        const struct cold_stream_options o = {.ask = &ask,
                                              .collection = ID,
                                              .segment = &t->manifest.colds[i],
                                              .schema = &t->schema,
                                              .fs = fs_sim_fs(t->sim),
                                              .scratch_dir = on_disk ? "side" : NULL,
                                              .bytes_in_flight = 20000};
        struct cold_stream_report report;
        struct err err = {0};
        uint64_t bytes;

        if (cold_stream(&o, on_row, t, &report, &err) != ST_OK ||
            cold_verify(&ask, ID, &t->manifest.colds[i], &bytes, &err) != ST_OK)
            fail_msg("%s: %s seed=%llu", t->shape->name, err.text, (unsigned long long)seed);
        (void)fold_codes_check(&ask, ID, &t->manifest.colds[i]);
    }
    assert_int_equal(fs_remove_all(fs_sim_fs(t->sim), "side", NULL), ST_OK);
    assert_int_equal(t->seen, rows_of(t));
    assert_int_equal(t->manifest.rows, t->seen);
    restore(t);
}

static void open_trial(struct trial *t, const struct shape *s)
{
    static char names[FIELDS][4] = {"", "b", "c"};
    static char name[] = "docs";
    static unsigned count;

    *t = (struct trial){.shape = s};
    rand_seeded_init(&t->rand, seed);
    t->sim = fs_sim_create();
    (void)snprintf(t->bucket, sizeof t->bucket, "shapes-%u", count++);
    assert_int_equal(objstore_memory_open(t->bucket, NULL, &t->memory, NULL), ST_OK);
    counting_store_init(&t->counting, t->memory);
    t->schema = (struct catalog_collection){.name = name,
                                            .policy = POLICY_MEMORY_S3,
                                            .durability = DURABILITY_LOCAL,
                                            .string_ids = true,
                                            .fields = t->fields,
                                            .field_count = s->fields};
    memcpy(t->schema.id, ID, 16);
    for (size_t i = 0; i < s->fields; i++)
        t->fields[i] = (struct catalog_field){.id = (uint16_t)(3 * i),
                                              .name = names[i],
                                              .dim = s->dims[i],
                                              .metric = s->metrics[i],
                                              .m = 8,
                                              .ef_construction = 50,
                                              .ef_search = 50,
                                              .threshold = 100,
                                              .quantization = QUANTIZATION_SCALAR};
    t->root = (struct root){.state = ROOT_LIVE, .epoch = 1};
    memcpy(t->root.collection, ID, 16);
    manifest_init(&t->manifest);
}

static void close_trial(struct trial *t)
{
    manifest_free(&t->manifest);
    objstore_close(t->memory);
    objstore_memory_forget(t->bucket);
    fs_sim_destroy(t->sim);
}

static void run_shape(const struct shape *s, struct trial *last)
{
    struct fold_report report;
    static struct trial t; /* large */

    open_trial(&t, s);
    for (unsigned i = 0; i < s->folds; i++) {
        write_some(&t, i);
        fold(&t, &report);
        read_back(&t, i % 2 == 0);
    }
    if (last != NULL)
        *last = t;
    close_trial(&t);
}

#define SHAPE(shape_name, ...)                                                                     \
    static void shape_name(void **state)                                                           \
    {                                                                                              \
        const struct shape s = {.name = #shape_name, .folds = 4, __VA_ARGS__};                     \
                                                                                                   \
        (void)state;                                                                               \
        run_shape(&s, NULL);                                                                       \
    }

SHAPE(a_collection_without_vector_fields, .ids = 300, .u64 = true, .text_bytes = 900)
SHAPE(one_field_and_whole_numbers, .fields = 1, .dims = {24}, .metrics = {VMETRIC_COSINE},
      .with_percent = {100}, .ids = 400, .u64 = true, .text_bytes = 200)
SHAPE(rows_without_a_vector_lie_behind, .fields = 1, .dims = {5}, .metrics = {VMETRIC_L2},
      .with_percent = {60}, .ids = 300, .uuid = true, .text_bytes = 100)
SHAPE(three_fields_of_their_own_orders, .fields = 3, .dims = {7, 130, 16},
      .metrics = {VMETRIC_L2, VMETRIC_DOT, VMETRIC_COSINE}, .with_percent = {90, 50, 10},
      .ids = 300, .u64 = true, .uuid = true, .bytes = true, .text_bytes = 300)
SHAPE(a_first_field_that_no_row_has, .fields = 2, .dims = {4, 9},
      .metrics = {VMETRIC_L2, VMETRIC_L2}, .with_percent = {0, 100}, .ids = 120, .bytes = true)
SHAPE(fields_that_no_row_has, .fields = 2, .dims = {4, 9}, .metrics = {VMETRIC_L2, VMETRIC_DOT},
      .with_percent = {0, 0}, .ids = 50, .u64 = true, .bytes = true)
SHAPE(the_metric_that_has_no_estimate, .fields = 1, .dims = {12}, .metrics = {VMETRIC_L1},
      .with_percent = {100}, .ids = 200, .u64 = true)
SHAPE(ids_longer_than_a_record_has_room_for, .fields = 2, .dims = {6, 6},
      .metrics = {VMETRIC_L2, VMETRIC_L2}, .with_percent = {80, 80}, .ids = 400, .bytes = true,
      .long_bytes = true, .u64 = true)
SHAPE(one_row, .fields = 1, .dims = {3}, .metrics = {VMETRIC_DOT}, .with_percent = {100}, .ids = 1,
      .u64 = true, .text_bytes = 50)
SHAPE(payloads_larger_than_a_block, .fields = 1, .dims = {3}, .metrics = {VMETRIC_L2},
      .with_percent = {100}, .ids = 20, .u64 = true, .text_bytes = 200000)

/* An object in parts, as those over 64 MiB are. */
static void a_large_object_goes_in_parts(void **state)
{
    const struct shape s = {.name = "parts",
                            .folds = 2,
                            .fields = 1,
                            .dims = {4},
                            .metrics = {VMETRIC_L2},
                            .with_percent = {100},
                            .ids = 24,
                            .u64 = true,
                            .text_bytes = 3000000,
                            .part_bytes = OBJSTORE_PART_BYTES_MIN};
    static struct trial t;

    (void)state;
    run_shape(&s, &t);
    assert_true(t.counting.counts[OBJSTORE_UPLOAD_PART] >= 3);
    assert_true(t.counting.counts[OBJSTORE_UPLOAD_COMPLETE] >= 1);
}

/* Ids are asked for in many blocks, here and there, of a segment that is not read. */
static void a_segment_of_many_id_blocks_stays(void **state)
{
    const struct shape s = {.name = "stays",
                            .folds = 6,
                            .change_percent = 2,
                            .fields = 1,
                            .dims = {3},
                            .metrics = {VMETRIC_L2},
                            .with_percent = {100},
                            .ids = IDS,
                            .u64 = true,
                            .text_bytes = 40};
    static struct trial t;

    (void)state;
    run_shape(&s, &t);
    assert_true(t.most_segments >= 2);
    assert_true(t.dead > 400);
    assert_true(t.resolver_gets <= 2 * s.folds); /* blocks that are near come in one GET */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_collection_without_vector_fields),
        cmocka_unit_test(one_field_and_whole_numbers),
        cmocka_unit_test(rows_without_a_vector_lie_behind),
        cmocka_unit_test(three_fields_of_their_own_orders),
        cmocka_unit_test(a_first_field_that_no_row_has),
        cmocka_unit_test(fields_that_no_row_has),
        cmocka_unit_test(the_metric_that_has_no_estimate),
        cmocka_unit_test(ids_longer_than_a_record_has_room_for),
        cmocka_unit_test(one_row),
        cmocka_unit_test(payloads_larger_than_a_block),
        cmocka_unit_test(a_large_object_goes_in_parts),
        cmocka_unit_test(a_segment_of_many_id_blocks_stays),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 0);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
