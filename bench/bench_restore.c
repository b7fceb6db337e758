/* bench_restore.c - a collection into a bucket and back: what publishing and restoring take beside
 * the bare GETs of the same objects.
 *
 * Usage: bench_restore <bucket url> <directory> [rows] [dim] [m]
 *
 * Random rows around random centres, one a record, shipped in groups of 4 MiB, linked by two
 * threads. Then, each into empty slots and index: the log alone; base and image. The bare GETs are
 * made with the same number in flight and throw everything away. */
#include "base/lock.h"
#include "base/mem.h"
#include "objstore/open.h"
#include "segment/group.h"
#include "segment/objkey.h"
#include "snapshot/fetch.h"
#include "snapshot/publish.h"
#include "snapshot/restore_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CENTRES = 200, GROUP_BYTES = 4 * 1024 * 1024, LINKERS = 2, DIM_MAX = 4096 };

struct index {
    struct epoch *epoch;
    struct mem_budget budget;
    struct slots *slots;
    struct vindex *vindex;
    struct checkpoint_field field;
};

struct bench {
    struct objstore *store;
    char dir[FS_PATH_BYTES];
    uint32_t rows, dim;
    uint16_t m;
    uint8_t collection[16];
    struct rand_seeded rand;
    float *centres;
    struct index live;
    struct root root;
    struct manifest manifest;
    uint64_t chain, seq, log_bytes;
};

static void must(status st, const struct err *err)
{
    if (st == ST_OK)
        return;
    fprintf(stderr, "bench_restore: %s\n", err->text);
    exit(1);
}

static double now_s(void)
{
    return (double)clock_mono_ns(clock_real()) / 1e9;
}

static void index_open(const struct bench *b, struct index *x)
{
    struct vindex_options o = {.dim = b->dim,
                               .metric = VMETRIC_L2,
                               .m = b->m,
                               .ef_construction = 100,
                               .ef_search = 64,
                               .threshold = 100,
                               .seed = 1};
    struct slots_options so;
    struct err err;

    memset(x, 0, sizeof *x);
    must(epoch_create(&x->epoch, &err), &err);
    mem_budget_init(&x->budget, NULL, 0);
    so = (struct slots_options){.epoch = x->epoch, .budget = &x->budget};
    must(slots_create(&so, &x->slots, &err), &err);
    o.slots = x->slots;
    o.epoch = x->epoch;
    o.budget = &x->budget;
    must(vindex_create(&o, &x->vindex, &err), &err);
    x->field = (struct checkpoint_field){.vindex = x->vindex, .dim = b->dim};
}

static void index_close(struct index *x)
{
    vindex_destroy(x->vindex);
    slots_destroy(x->slots);
    epoch_destroy(x->epoch);
}

static void put(struct bench *b, const char *key, struct slice body)
{
    struct objstore_req req = {.op = OBJSTORE_PUT, .pool = OBJSTORE_BULK, .key = key, .body = body};
    struct err err;

    must(objstore_wait(b->store, &req, &err), &err);
    objstore_result_fini(&req.result);
}

static void put_root(struct bench *b)
{
    char key[OBJKEY_BYTES];
    uint8_t nonce[16];
    struct buf bytes;
    struct err err;

    buf_init(&bytes, ROOT_BYTES_MAX);
    uuid_make_v4(&b->rand.source, nonce);
    root_next(&b->root, nonce);
    must(root_encode(&b->root, &bytes, &err), &err);
    objkey_root(b->collection, key);
    put(b, key, buf_slice(&bytes));
    buf_free(&bytes);
}

static void random_vector(struct bench *b, float *v)
{
    const float *centre = b->centres + rand_below(&b->rand.source, CENTRES) * b->dim;

    for (uint32_t i = 0; i < b->dim; i++)
        v[i] = centre[i] + (float)(rand_u64(&b->rand.source) >> 40) / 16777216.0f;
}

static void apply(struct bench *b, uint64_t lsn, const float *v)
{
    struct docid id = docid_u64(lsn * 7919);
    struct err err;
    uint32_t slot;

    must(slots_reserve(b->live.slots, 1, &slot, &err), &err);
    must(vindex_reserve(b->live.vindex, slot + 1, &err), &err);
    must(slots_fill(b->live.slots, slot, &id, (struct slice){0}, (struct slice){0}, lsn, &err),
         &err);
    vindex_fill(b->live.vindex, slot, v);
    vindex_publish(b->live.vindex, slot);
    (void)slots_publish(b->live.slots, slot, lsn);
}

static void record_of(uint64_t lsn, const float *v, uint32_t dim, struct buf *out)
{
    const struct record_vector vector = {.field = 0, .dim = dim, .values = v};
    struct docid id = docid_u64(lsn * 7919);
    struct record_writer w;
    struct err err;

    buf_reset(out);
    record_begin(&w, out, RECORD_UPSERT, lsn);
    record_put_row(&w, &id, (struct slice){0}, (struct slice){0}, &vector, 1);
    must(record_end(&w, &err), &err);
}

/* From *lsn + 1 on, until the group is full. */
static void ship_group(struct bench *b, uint64_t *lsn, struct buf *record, float *v)
{
    struct group_head head = {
        .epoch = 1, .seq = b->seq++, .first_lsn = *lsn + 1, .chain_before = b->chain};
    struct group_writer *group;
    char key[OBJKEY_BYTES];
    struct slice bytes;
    struct err err;

    memcpy(head.collection, b->collection, 16);
    must(group_create(&head, &group, &err), &err);
    while (*lsn < b->rows && group_bytes(group) < GROUP_BYTES) {
        ++*lsn;
        random_vector(b, v);
        record_of(*lsn, v, b->dim, record);
        must(group_add(group, *lsn, buf_slice(record), &err), &err);
        apply(b, *lsn, v);
    }
    must(group_finish(group, &head, &bytes, &err), &err);
    objkey_group(b->collection, 1, head.seq, key);
    put(b, key, bytes);
    b->log_bytes += bytes.bytes;
    b->chain = head.chain;
    group_writer_destroy(group);
}

static void ship_all(struct bench *b)
{
    float *v = malloc(b->dim * sizeof *v);
    struct buf record;
    uint64_t lsn = 0;
    double begin = now_s();

    buf_init(&record, 1 << 20);
    while (lsn < b->rows)
        ship_group(b, &lsn, &record, v);
    buf_free(&record);
    free(v);
    printf("shipped   %u rows of %u, %.1f MB in %llu groups, %.1f s\n", b->rows, b->dim,
           (double)b->log_bytes / 1e6, (unsigned long long)(b->seq - 1), now_s() - begin);
}

static void link_loop(void *arg)
{
    struct vindex *v = arg;

    while (vindex_link(v, 256) > 0)
        ;
}

static void link_all(struct bench *b)
{
    struct thread threads[LINKERS] = {0};
    double begin = now_s();
    struct err err;

    for (unsigned i = 0; i < LINKERS; i++)
        must(thread_start(&threads[i], "link", THREAD_NORMAL, link_loop, b->live.vindex, &err),
             &err);
    for (unsigned i = 0; i < LINKERS; i++)
        thread_join(&threads[i]);
    printf("linked    %.1f s\n", now_s() - begin);
}

static status commit(void *arg, uint64_t revision, const struct object_ref *manifest,
                     const struct log_floor *floor, size_t absorbed, bool base_complete,
                     struct err *err)
{
    struct bench *b = arg;

    (void)absorbed;
    (void)base_complete;
    (void)err;
    b->root.has_manifest = true;
    b->root.manifest_revision = revision;
    b->root.manifest = *manifest;
    if (floor->epoch != 0)
        b->root.floor = *floor;
    put_root(b);
    return ST_OK;
}

static void publish(struct bench *b, unsigned what, const char *name)
{
    static char docs[] = "docs", none[] = "";
    struct catalog_field field = {.name = none,
                                  .dim = b->dim,
                                  .metric = VMETRIC_L2,
                                  .m = b->m,
                                  .ef_construction = 100,
                                  .ef_search = 64,
                                  .threshold = 100,
                                  .quantization = QUANTIZATION_SCALAR};
    struct catalog_collection schema = {.name = docs,
                                        .policy = POLICY_MEMORY_S3,
                                        .durability = DURABILITY_LOCAL,
                                        .fields = &field,
                                        .field_count = 1};
    struct publish_options o = {
        .store = b->store,
        .clock = clock_real(),
        .rand = &b->rand.source,
        .fs = fs_real(),
        .what = what,
        .slots = b->live.slots,
        .fields = &b->live.field,
        .field_count = 1,
        .epoch = b->live.epoch,
        .checkpoint_dir = b->dir,
        .schema = &schema,
        .root = &b->root,
        .lsn = b->rows,
        .shipped = {.lsn = b->rows, .epoch = 1, .seq = b->seq, .chain = b->chain},
        .base_backoff_ms = 100,
        .max_backoff_ms = 1000,
        .commit = commit,
        .commit_arg = b,
    };
    struct publish_report r;
    struct manifest after;
    double begin = now_s();
    struct err err;

    memcpy(o.collection, b->collection, 16);
    memcpy(schema.id, b->collection, 16);
    must(publish_run(&o, b->root.has_manifest ? &b->manifest : NULL, &after, &r, &err), &err);
    manifest_free(&b->manifest);
    b->manifest = after;
    printf("published %-15s %.1f MB in %llu objects, %.2f s, %.0f bytes a row\n", name,
           (double)r.bytes / 1e6, (unsigned long long)r.objects, now_s() - begin,
           (double)r.bytes / b->rows);
}

static void checkpoint(struct bench *b)
{
    struct checkpoint_state state = {.fs = fs_real(),
                                     .dir = b->dir,
                                     .slots = b->live.slots,
                                     .fields = &b->live.field,
                                     .field_count = 1,
                                     .epoch = b->live.epoch};
    struct checkpoint_info info;
    struct err err;

    memcpy(state.collection_id, b->collection, 16);
    must(checkpoint_write(&state, b->rows, 1, NULL, &info, &err), &err);
}

static struct restore_options options_of(struct bench *b)
{
    struct restore_options o = {.store = b->store, .clock = clock_real(), .rand = &b->rand.source};

    memcpy(o.collection, b->collection, 16);
    return o;
}

struct names { /* of the bare GETs */
    struct bench *b;
    struct restore_plan *plan;
    size_t segment, image, run;
    uint64_t seq;
};

static bool name_next(void *arg, struct fetch_item *out)
{
    struct names *n = arg;
    const struct manifest *m = &n->plan->manifest;

    *out = (struct fetch_item){.bytes_max = OBJSTORE_OBJECT_BYTES_MAX};
    if (n->segment < m->segment_count) {
        out->bytes = m->segments[n->segment].object.bytes;
        objkey_data(n->b->collection, m->segments[n->segment++].object.uuid, out->key);
        return true;
    }
    if (n->image < m->image_count) {
        out->bytes = m->images[n->image].object.bytes;
        objkey_data(n->b->collection, m->images[n->image++].object.uuid, out->key);
        return true;
    }
    if (n->run == n->plan->run_count)
        return false;
    if (n->seq < n->plan->runs[n->run].first_seq)
        n->seq = n->plan->runs[n->run].first_seq;
    objkey_group(n->b->collection, n->plan->runs[n->run].epoch, n->seq, out->key);
    if (n->seq++ == n->plan->runs[n->run].end_seq) {
        n->run++;
        n->seq = 0;
    }
    return true;
}

static void bare(struct bench *b, struct restore_plan *plan)
{
    struct names n = {.b = b, .plan = plan};
    const struct ask ask = {.store = b->store,
                            .clock = clock_real(),
                            .rand = &b->rand.source,
                            .policy = objstore_retry_foreground()};
    struct fetch_item item;
    struct buf body;
    struct fetch *f;
    double begin = now_s();
    uint64_t bytes = 0;
    struct err err;

    must(fetch_open(&ask, 8, 64 * 1024 * 1024, name_next, &n, &f, &err), &err);
    while (fetch_next(f, &item, &body, &err) == ST_OK) {
        bytes += body.bytes;
        buf_free(&body);
    }
    fetch_close(f);
    printf("bare GETs %15s %.1f MB, %.2f s, %.0f MB/s\n", "", (double)bytes / 1e6, now_s() - begin,
           (double)bytes / 1e6 / (now_s() - begin));
}

static void restore(struct bench *b, const char *name)
{
    struct restore_options o = options_of(b);
    struct restore_into_report r;
    struct restore_plan plan;
    struct restore_rows rows;
    struct index to;
    struct err err;
    double begin, plan_s, all_s;

    begin = now_s();
    must(restore_plan_read(&o, &plan, &err), &err);
    plan_s = now_s() - begin;
    bare(b, &plan);
    index_open(b, &to);
    rows = (struct restore_rows){
        .slots = to.slots, .fields = &to.field, .field_count = 1, .epoch = to.epoch};
    begin = now_s();
    must(restore_into(&o, &plan, &rows, &r, &err), &err);
    all_s = now_s() - begin;
    printf(
        "restored  %-15s %.1f MB in %llu objects, plan %.3f s, all %.2f s, %.0f MB/s, %.0f rows/s, "
        "%u rows, %u to link\n",
        name, (double)r.bucket.bytes / 1e6, (unsigned long long)r.bucket.objects, plan_s, all_s,
        (double)r.bucket.bytes / 1e6 / all_s, r.live / all_s, r.live, r.pending);
    restore_plan_free(&plan);
    index_close(&to);
}

int main(int argc, char **argv)
{
    static struct bench b = {.rows = 100000, .dim = 384, .m = 16, .seq = 1};
    struct objstore_options options = {.clock = clock_real(), .rand = rand_kernel()};
    struct err err;

    if (argc < 3) {
        fprintf(stderr, "usage: bench_restore <bucket url> <directory> [rows] [dim] [m]\n");
        return 2;
    }
    options.url = argv[1];
    (void)snprintf(b.dir, sizeof b.dir, "%s/checkpoint", argv[2]);
    if (argc > 3)
        b.rows = (uint32_t)strtoul(argv[3], NULL, 10);
    if (argc > 4)
        b.dim = (uint32_t)strtoul(argv[4], NULL, 10);
    if (argc > 5)
        b.m = (uint16_t)strtoul(argv[5], NULL, 10);
    if (b.rows == 0 || b.dim == 0 || b.dim > DIM_MAX || b.m < VINDEX_M_MIN || b.m > VINDEX_M_MAX)
        return 2;
    uuid_make_v4(rand_kernel(), b.collection);
    rand_seeded_init(&b.rand, 1);
    must(objstore_open(&options, &b.store, &err), &err);
    b.centres = malloc(sizeof *b.centres * CENTRES * b.dim);
    for (size_t i = 0; i < (size_t)CENTRES * b.dim; i++)
        b.centres[i] = (float)rand_below(&b.rand.source, 1000) / 250.0f;
    b.chain = group_chain_start(b.collection);
    b.root = (struct root){.state = ROOT_LIVE, .epoch = 1, .floor = {.chain = b.chain}};
    memcpy(b.root.collection, b.collection, 16);
    (void)snprintf(b.root.node_id, sizeof b.root.node_id, "bench");
    manifest_init(&b.manifest);
    index_open(&b, &b.live);
    put_root(&b);
    ship_all(&b);
    restore(&b, "log alone");
    link_all(&b);
    checkpoint(&b);
    publish(&b, PUBLISH_IMAGE, "image");
    restore(&b, "log and image");
    publish(&b, PUBLISH_BASE, "base");
    restore(&b, "base and image");
    manifest_free(&b.manifest);
    index_close(&b.live);
    free(b.centres);
    objstore_close(b.store);
    return 0;
}
