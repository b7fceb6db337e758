#include "tests/unit/snapshot/bucket_world.h"

#include "segment/group.h"
#include "segment/objkey.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define must(b, call)                                                                              \
    do {                                                                                           \
        struct err must_err = {0};                                                                 \
        struct err *err = &must_err;                                                               \
        status must_st = (call);                                                                   \
        if (must_st != ST_OK)                                                                      \
            fail_msg("%s:%d: %s: %s seed=%llu", __FILE__, __LINE__, #call, must_err.text,          \
                     (unsigned long long)(b)->w.seed);                                             \
    } while (0)

static const uint8_t *id_of(const struct bucket *b)
{
    return b->w.state.collection_id;
}

void bucket_put(struct bucket *b, const char *key, struct slice body)
{
    struct objstore_req req = {.op = OBJSTORE_PUT, .key = key, .body = body};

    must(b, objstore_wait(b->direct, &req, err));
    objstore_result_fini(&req.result);
}

static void end(struct bucket *b, struct objstore_req *req)
{
    must(b, objstore_wait(b->direct, req, err));
}

char *bucket_key(struct bucket *b, size_t n)
{
    struct objstore_req req = {.op = OBJSTORE_LIST, .key = ""};
    char *key = NULL;

    end(b, &req);
    assert_false(req.result.truncated);
    if (n < req.result.entry_count)
        key = strdup(req.result.entries[n].key);
    objstore_result_fini(&req.result);
    return key;
}

void bucket_delete(struct bucket *b, const char *key)
{
    struct objstore_req req = {.op = OBJSTORE_DELETE, .key = key};

    end(b, &req);
    objstore_result_fini(&req.result);
}

struct buf bucket_get(struct bucket *b, const char *key)
{
    struct objstore_req req = {.op = OBJSTORE_GET, .key = key};
    struct buf body;

    end(b, &req);
    body = req.result.body;
    req.result.body = (struct buf){0};
    objstore_result_fini(&req.result);
    return body;
}

void bucket_root_put(struct bucket *b)
{
    char key[OBJKEY_BYTES];
    uint8_t nonce[16];
    struct buf bytes;

    buf_init(&bytes, ROOT_BYTES_MAX);
    uuid_make_v4(&b->w.rand.source, nonce);
    root_next(&b->root, nonce);
    must(b, root_encode(&b->root, &bytes, err));
    objkey_root(id_of(b), key);
    bucket_put(b, key, buf_slice(&bytes));
    buf_free(&bytes);
}

void bucket_open(struct bucket *b, uint64_t seed)
{
    static unsigned count;

    *b = (struct bucket){.group_records_max = 7,
                         .ship_per_step = 5,
                         .object_bytes = 700,
                         .batch_rows = 3,
                         .busy = true,
                         .next_seq = 1};
    world_open(&b->w, seed);
    (void)snprintf(b->name, sizeof b->name, "bucket-%u", count++);
    must(b, objstore_memory_open(b->name, NULL, &b->direct, err));
    must(b, objstore_memory_open(b->name, NULL, &b->faults, err));
    must(b, objstore_faults_open(b->faults, seed, &b->faults, err));
    b->store = b->faults;
    b->root = (struct root){.state = ROOT_LIVE, .epoch = 1};
    memcpy(b->root.collection, id_of(b), 16);
    (void)snprintf(b->root.node_id, sizeof b->root.node_id, "node-a");
    b->chain = group_chain_start(id_of(b));
    b->root.floor.chain = b->chain;
    manifest_init(&b->manifest);
    bucket_root_put(b);
}

void bucket_close(struct bucket *b)
{
    manifest_free(&b->manifest);
    objstore_close(b->faults);
    objstore_close(b->direct);
    objstore_memory_forget(b->name);
    world_close(&b->w);
}

static void ship_group(struct bucket *b, uint64_t last)
{
    struct group_head head = {.epoch = b->root.epoch,
                              .seq = b->next_seq,
                              .first_lsn = b->shipped_lsn + 1,
                              .chain_before = b->chain};
    struct group_writer *writer;
    char key[OBJKEY_BYTES];
    struct slice bytes;

    memcpy(head.collection, id_of(b), 16);
    must(b, group_create(&head, &writer, err));
    for (uint64_t lsn = head.first_lsn; lsn <= last; lsn++) {
        struct buf record;

        buf_init(&record, 1 << 16);
        world_record(&b->w.log[lsn - 1], &record);
        must(b, group_add(writer, lsn, buf_slice(&record), err));
        buf_free(&record);
    }
    must(b, group_finish(writer, &head, &bytes, err));
    objkey_group(id_of(b), head.epoch, head.seq, key);
    bucket_put(b, key, bytes);
    group_writer_destroy(writer);
    b->next_seq++;
    b->shipped_lsn = last;
    b->chain = head.chain;
}

void bucket_ship(struct bucket *b, uint64_t lsn)
{
    while (b->shipped_lsn < lsn) {
        uint64_t records = 1 + rand_below(&b->w.rand.source, b->group_records_max);
        uint64_t last = b->shipped_lsn + records;

        ship_group(b, last < lsn ? last : lsn);
    }
}

void bucket_gap(struct bucket *b, uint64_t lsn)
{
    struct group_head head = {.kind = GROUP_GAP,
                              .epoch = b->root.epoch,
                              .seq = b->next_seq,
                              .first_lsn = b->shipped_lsn + 1,
                              .last_lsn = lsn,
                              .chain_before = b->chain};
    char key[OBJKEY_BYTES];
    struct buf bytes;

    memcpy(head.collection, id_of(b), 16);
    head.chain = group_chain_gap(b->chain, head.first_lsn, lsn);
    buf_init(&bytes, 1 << 16);
    must(b, group_encode_gap(&head, &bytes, err));
    objkey_group(id_of(b), head.epoch, head.seq, key);
    bucket_put(b, key, buf_slice(&bytes));
    buf_free(&bytes);
    b->next_seq++;
    b->shipped_lsn = lsn;
    b->chain = head.chain;
}

void bucket_step(void *bucket)
{
    struct bucket *b = bucket;

    if (b->checkpoint_at > 0 && --b->checkpoint_at == 0)
        bucket_checkpoint(b);
    if (!b->busy)
        return;
    world_step(&b->w);
    if (b->shipped_lsn < b->w.lsn && rand_below(&b->w.rand.source, 10) < b->ship_per_step)
        bucket_ship(b,
                    b->shipped_lsn + 1 + rand_below(&b->w.rand.source, b->w.lsn - b->shipped_lsn));
}

void bucket_take(struct bucket *b, bool open)
{
    struct root *r = &b->root;

    if (open) {
        r->open[r->open_count++] = r->epoch;
    } else if (b->next_seq > 1 && b->shipped_lsn > r->floor.lsn) {
        r->lineages[r->lineage_count++] = (struct lineage){.epoch = r->epoch,
                                                           .end_seq = b->next_seq - 1,
                                                           .last_lsn = b->shipped_lsn,
                                                           .chain = b->chain};
    }
    r->epoch++;
    b->next_seq = 1;
    bucket_root_put(b);
}

static status settle(void *arg, uint64_t *lsn, struct err *err)
{
    struct bucket *b = arg;

    (void)err;
    bucket_ship(b, b->w.lsn);
    *lsn = b->shipped_lsn;
    return ST_OK;
}

static status commit(void *arg, uint64_t revision, const struct object_ref *manifest,
                     const struct log_floor *floor, size_t absorbed, bool base_complete,
                     struct err *err)
{
    struct bucket *b = arg;
    struct root *r = &b->root;

    if (b->refuse_commit)
        return err_set(err, ST_CLOSED, "no commit today");
    assert_true(r->lineage_count == 0 || absorbed < r->lineage_count);
    r->has_manifest = true;
    r->manifest_revision = revision;
    r->manifest = *manifest;
    if (floor->lsn != 0 || floor->epoch != 0)
        r->floor = *floor;
    r->lineage_count -= absorbed;
    memmove(r->lineages, r->lineages + absorbed, r->lineage_count * sizeof r->lineages[0]);
    if (base_complete)
        r->state = ROOT_LIVE;
    bucket_root_put(b);
    return ST_OK;
}

static char field_name[] = "";
static char collection_name[] = "docs";
static struct catalog_field field = {.id = 0,
                                     .name = field_name,
                                     .dim = WORLD_DIM,
                                     .metric = VMETRIC_L2,
                                     .m = 4,
                                     .ef_construction = 20,
                                     .ef_search = 20,
                                     .threshold = 8,
                                     .quantization = QUANTIZATION_SCALAR};
static struct catalog_collection schema = {.name = collection_name,
                                           .policy = POLICY_MEMORY_S3,
                                           .durability = DURABILITY_LOCAL,
                                           .string_ids = true,
                                           .fields = &field,
                                           .field_count = 1};

void bucket_options(struct bucket *b, unsigned what, struct publish_options *out)
{
    memcpy(schema.id, id_of(b), 16);
    *out = (struct publish_options){.store = b->store,
                                    .clock = clock_real(),
                                    .rand = &b->w.rand.source,
                                    .fs = b->w.state.fs,
                                    .what = what,
                                    .slots = b->w.slots,
                                    .fields = &b->w.field,
                                    .field_count = 1,
                                    .epoch = b->w.epoch,
                                    .checkpoint_dir = WORLD_DIR,
                                    .schema = &schema,
                                    .root = &b->root,
                                    .lsn = b->shipped_lsn,
                                    .shipped = {.lsn = b->shipped_lsn,
                                                .epoch = b->root.epoch,
                                                .seq = b->next_seq,
                                                .chain = b->chain},
                                    .max_retries = 2,
                                    .base_backoff_ms = 1,
                                    .max_backoff_ms = 2,
                                    .stop = &b->stop,
                                    .settle = settle,
                                    .settle_arg = b,
                                    .commit = commit,
                                    .commit_arg = b};
    memcpy(out->collection, id_of(b), 16);
}

status bucket_publish(struct bucket *b, unsigned what, struct publish_report *report,
                      struct err *err)
{
    const struct publish_tuning tuning = {.object_bytes = b->object_bytes,
                                          .batch_rows = b->batch_rows,
                                          .step = bucket_step,
                                          .arg = b};
    struct publish_options options;
    struct manifest after;
    status st;

    bucket_options(b, what, &options);
    st = publish_run_tuned(&options, b->root.has_manifest ? &b->manifest : NULL, &tuning, &after,
                           report, err);
    if (st == ST_OK) {
        manifest_free(&b->manifest);
        b->manifest = after;
    }
    return st;
}

void bucket_checkpoint(struct bucket *b)
{
    struct checkpoint_info info;

    must(b, world_checkpoint(&b->w, &info, err));
    b->has_checkpoint = true;
}

void bucket_restore_options(struct bucket *b, struct restore_options *out)
{
    *out = (struct restore_options){.store = b->store,
                                    .clock = clock_real(),
                                    .rand = &b->w.rand.source,
                                    .fetch_ahead_bytes = 4096,
                                    .fetch_ahead = 4,
                                    .give_up_ms = 5000};
    memcpy(out->collection, id_of(b), 16);
}

status bucket_restore_into(struct bucket *b, struct world *to, struct restore_into_report *report,
                           struct err *err)
{
    struct restore_options options;
    struct restore_plan plan;
    struct restore_rows rows = {
        .slots = to->slots, .fields = &to->field, .field_count = 1, .epoch = to->epoch};
    status st;

    bucket_restore_options(b, &options);
    st = restore_plan_read(&options, &plan, err);
    if (st != ST_OK)
        return st;
    st = restore_into(&options, &plan, &rows, report, err);
    restore_plan_free(&plan);
    return st;
}

void bucket_restore_and_check(struct bucket *b, struct restore_into_report *report)
{
    struct world to;

    world_open(&to, b->w.seed);
    must(b, bucket_restore_into(b, &to, report, err));
    if (report->bucket.last_lsn != b->shipped_lsn)
        fail_msg("restored up to %llu, the bucket has %llu seed=%llu",
                 (unsigned long long)report->bucket.last_lsn, (unsigned long long)b->shipped_lsn,
                 (unsigned long long)b->w.seed);
    world_expected_at(&b->w, b->shipped_lsn, to.expected);
    world_check(&to);
    while (vindex_link(to.vindex, 16) > 0)
        ;
    world_check(&to);
    world_close(&to);
}

/* --- what many tests begin with --- */

void bucket_ok(status st, const struct err *err, const struct bucket *b)
{
    if (st != ST_OK)
        fail_msg("%s seed=%llu", err->text, (unsigned long long)b->w.seed);
}

void bucket_open_full(struct bucket *b, uint64_t s)
{
    struct publish_report report;
    struct err err = {0};

    bucket_open(b, s);
    world_ops(&b->w, 100);
    bucket_ship(b, b->w.lsn);
    bucket_take(b, false);
    world_ops(&b->w, 20);
    bucket_ship(b, b->w.lsn);
    bucket_ok(bucket_publish(b, PUBLISH_BASE, &report, &err), &err, b);
    world_ops(&b->w, 20);
    while (vindex_link(b->w.vindex, 16) > 0)
        ;
    b->w.ops_per_step = 0;
    bucket_checkpoint(b);
    bucket_ship(b, b->w.lsn);
    bucket_take(b, false);
    world_ops(&b->w, 8);
    bucket_ship(b, b->w.lsn);
    bucket_ok(bucket_publish(b, PUBLISH_IMAGE, &report, &err), &err, b);
    bucket_take(b, true);
    world_ops(&b->w, 8);
    bucket_ship(b, b->w.lsn);
}

status bucket_try_restore(struct bucket *b, struct err *err)
{
    struct restore_into_report report;
    struct world to;
    status st;

    world_open(&to, b->w.seed);
    st = bucket_restore_into(b, &to, &report, err);
    world_close(&to);
    return st;
}

status bucket_try_read(struct bucket *b, struct err *err)
{
    struct restore_report report;
    struct restore_options options;

    bucket_restore_options(b, &options);
    return restore_verify(&options, &report, err);
}
