#include "tests/unit/node/nworld.h"

#include "objstore/memory.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { READY_WAIT_MS = 60000 };

void nworld_init(struct nworld *w, bool sim, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->seed = seed;
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/tiervec-node-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    if (sim)
        assert_non_null(w->sim = fs_sim_create());
    rand_seeded_init(&w->rand, seed);
    clock_manual_init(&w->clock, UINT64_C(1000000000000), UINT64_C(1700000000000000000));
    assert_int_equal(exec_open(&(struct exec_options){.workers = 2}, &w->exec, NULL), ST_OK);
    w->options = (struct node_options){
        .fs = sim ? fs_sim_fs(w->sim) : fs_real(),
        .clock = clock_real(),
        .rand = &w->rand.source,
        .exec = w->exec,
        .data_dir = w->dir,
        .node_id = "test",
        .policy = NODE_MEMORY,
        .memory_bytes_max = UINT64_C(4) << 30,
        .wal_bytes_max = UINT64_C(1) << 30,
        .checkpoint_interval_ns = UINT64_C(3600) * 1000000000,
        .auto_initialize = true,
        .m = 8,
        .ef_construction = 40,
        .ef_search = 60,
        .threshold = 64,
        .batch_max = 10000,
    };
}

void nworld_bucket(struct nworld *w, const char *name)
{
    struct objstore *memory = NULL;

    (void)snprintf(w->bucket_name, sizeof w->bucket_name, "%s", name);
    assert_int_equal(objstore_memory_open(name, NULL, &memory, NULL), ST_OK);
    assert_int_equal(objstore_faults_open(memory, w->seed, &w->bucket, NULL), ST_OK);
    w->options.store = w->bucket;
    w->options.rpo_ms = 50;
    w->options.max_retries = 3;
    w->options.base_backoff_ms = 10;
    w->options.max_backoff_ms = 100;
    w->options.remote_wait_ms = 10000;
}

void npause_ms(unsigned ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)nanosleep(&pause, NULL);
}

struct collection_info ninfo(struct collection *c)
{
    struct collection_info info;

    node_collection_info(c, &info);
    return info;
}

struct fs *nworld_fs(struct nworld *w)
{
    return w->sim != NULL ? fs_sim_fs(w->sim) : fs_real();
}

void nworld_fini(struct nworld *w)
{
    nworld_close(w);
    objstore_close(w->bucket);
    if (w->bucket != NULL)
        objstore_memory_forget(w->bucket_name);
    exec_close(w->exec);
    fs_sim_destroy(w->sim);
    assert_int_equal(fs_remove_all(fs_real(), w->dir, NULL), ST_OK);
}

static void wait_ready(struct nworld *w)
{
    const struct timespec pause = {.tv_nsec = 200000};
    double progress = -1;

    for (uint64_t i = 0; !node_ready(w->node, &progress); i++) {
        assert_true(progress >= 0 && progress < 1);
        if (i > (uint64_t)READY_WAIT_MS * 5)
            fail_msg("not ready after %d s seed=%llu", READY_WAIT_MS / 1000,
                     (unsigned long long)w->seed);
        (void)nanosleep(&pause, NULL);
    }
    assert_true(progress == 1);
}

status nworld_try_open(struct nworld *w, struct err *err)
{
    status st = stats_create(&w->stats, err);

    if (st != ST_OK)
        return st;
    assert_null(w->node);
    w->options.stats = w->stats;
    st = node_open(&w->options, &w->node, err);
    if (st != ST_OK) {
        assert_null(w->node);
        stats_destroy(w->stats);
        w->stats = NULL;
        return st;
    }
    wait_ready(w);
    return ST_OK;
}

void nworld_open(struct nworld *w)
{
    struct err err = {0};

    if (nworld_try_open(w, &err) != ST_OK)
        fail_msg("open seed=%llu: %s", (unsigned long long)w->seed, err.text);
}

void nworld_close(struct nworld *w)
{
    node_close(w->node);
    stats_destroy(w->stats);
    w->node = NULL;
    w->stats = NULL;
}

void nworld_crash(struct nworld *w)
{
    assert_true(fs_sim_stopped(w->sim));
    nworld_close(w);
    fs_sim_power_cut(w->sim, &w->rand.source);
}

void nworld_power_cut(struct nworld *w)
{
    fs_sim_stop_after(w->sim, 0);
    nworld_close(w);
    fs_sim_power_cut(w->sim, &w->rand.source);
}

/* --- calls --- */

void call_init(struct call *c)
{
    memset(c, 0, sizeof *c);
    lock_init(&c->lock, LOCK_RANK_LEAF, "call");
    cond_init(&c->cond);
}

static void call_done(struct call *c, status st, const struct err *err)
{
    lock_take(&c->lock);
    if (c->done)
        fail_msg("a callback ran twice");
    c->done = true;
    c->st = st;
    if (err != NULL)
        c->err = *err;
    cond_broadcast(&c->cond);
    lock_drop(&c->lock);
}

void call_write_done(void *arg, status st, const struct write_result *result, const struct err *err)
{
    struct call *c = arg;

    if (st == ST_OK)
        c->result = *result;
    else
        assert_true(result == NULL && err != NULL && err->text[0] != '\0');
    call_done(c, st, err);
}

void call_admin_done(void *arg, status st, const struct collection_info *info,
                     const struct err *err)
{
    struct call *c = arg;

    if (info != NULL)
        c->info = *info;
    call_done(c, st, err);
}

void call_wait(struct call *c)
{
    lock_take(&c->lock);
    while (!c->done)
        cond_wait(&c->cond, &c->lock);
    lock_drop(&c->lock);
    cond_fini(&c->cond);
    lock_fini(&c->lock);
}

static status call_end(struct call *c, struct err *err)
{
    call_wait(c);
    if (err != NULL)
        *err = c->err;
    return c->st;
}

status ncreate(struct nworld *w, const char *name, uint32_t dim, enum vmetric metric,
               uint32_t threshold, struct err *err)
{
    const struct collection_spec spec = {
        .name = name, .dimension = dim, .metric = (int)metric, .threshold = threshold};
    struct call call;
    status st;

    call_init(&call);
    node_collection_create(w->node, &spec, call_admin_done, &call);
    st = call_end(&call, err);
    if (st == ST_OK)
        assert_string_equal(call.info.name, name);
    return st;
}

status ndrop(struct nworld *w, struct collection *c, struct err *err)
{
    struct call call;

    call_init(&call);
    node_collection_drop(w->node, c, call_admin_done, &call);
    return call_end(&call, err);
}

status npatch(struct nworld *w, struct collection *c, const char *name, uint16_t ef_search,
              struct err *err)
{
    const struct collection_patch patch = {.name = name, .ef_search = ef_search};
    struct call call;

    call_init(&call);
    node_collection_patch(w->node, c, &patch, call_admin_done, &call);
    return call_end(&call, err);
}

status ncheckpoint(struct collection *c, struct err *err)
{
    struct call call;

    call_init(&call);
    node_checkpoint(c, call_admin_done, &call);
    return call_end(&call, err);
}

status nwrite(struct collection *c, struct write_row *rows, size_t count,
              struct write_result *result, struct err *err)
{
    struct call call;
    status st;

    call_init(&call);
    node_write(c, rows, count, call_write_done, &call);
    st = call_end(&call, err);
    if (result != NULL)
        *result = call.result;
    return st;
}

status ndelete(struct collection *c, const struct docid *ids, size_t count,
               struct write_result *result, struct err *err)
{
    struct call call;
    status st;

    call_init(&call);
    node_delete(c, ids, count, call_write_done, &call);
    st = call_end(&call, err);
    if (result != NULL)
        *result = call.result;
    return st;
}

/* --- documents that know what they should be --- */

static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

void nvector(uint64_t id, uint32_t version, uint32_t dim, float *out)
{
    uint64_t at = mix(id * 1000003 + version);

    for (uint32_t i = 0; i < dim; i++) {
        at = mix(at);
        out[i] = (float)(at >> 40) / (float)(1 << 23) - 1.0f;
    }
}

void npayload(uint32_t version, struct buf *out)
{
    buf_init(out, 16);
    buf_put_u8(out, 1); /* docs/formats/payload.md: version, an integer */
    buf_put_u8(out, 3);
    buf_put_varint(out, version);
}

uint32_t npayload_version(struct slice payload)
{
    struct rd r = rd_make(payload);
    uint32_t version;

    assert_int_equal(rd_u8(&r), 1);
    assert_int_equal(rd_u8(&r), 3);
    version = (uint32_t)rd_varint(&r);
    assert_false(r.bad);
    assert_true(version > 0);
    return version;
}

status nput(struct collection *c, uint64_t id, uint32_t version, struct err *err)
{
    float *vector = malloc(collection_dimension(c) * sizeof *vector);
    struct buf payload;
    struct write_row row = {.id = docid_u64(id), .vector = vector};
    struct write_result result = {0};
    status st;

    assert_non_null(vector);
    npayload(version, &payload);
    row.payload = buf_slice(&payload);
    nvector(id, version, collection_dimension(c), vector);
    st = nwrite(c, &row, 1, &result, err);
    if (st == ST_OK) {
        assert_int_equal(result.count, 1);
        assert_true(result.lsn > 0);
    }
    free(vector);
    buf_free(&payload);
    return st;
}

status ndel(struct collection *c, uint64_t id, struct err *err)
{
    const struct docid key = docid_u64(id);

    return ndelete(c, &key, 1, NULL, err);
}

static void vector_must_be(struct collection *c, uint64_t id, uint32_t version, const float *got)
{
    float *want = malloc(collection_dimension(c) * sizeof *want);

    assert_non_null(want);
    nvector(id, version, collection_dimension(c), want);
    if (c->fields[0].info.metric == VMETRIC_COSINE)
        (void)vindex_normalise(want, collection_dimension(c));
    for (uint32_t i = 0; i < collection_dimension(c); i++)
        assert_true(fabsf(want[i] - got[i]) < 1e-6f);
    free(want);
}

uint32_t nversion(struct collection *c, uint64_t id)
{
    const struct docid key = docid_u64(id);
    struct document doc = {0};
    struct arena arena;
    struct err err = {0};
    uint32_t version = 0;
    status st;

    arena_init(&arena, 1 << 20);
    st = node_get(c, &key, &arena, &doc, &err);
    if (st == ST_OK) {
        version = npayload_version(doc.payload);
        assert_int_equal(doc.id.u64, id);
        vector_must_be(c, id, version, doc.vector);
    } else if (st != ST_NOT_FOUND) {
        fail_msg("get %llu: %s", (unsigned long long)id, err.text);
    }
    arena_free(&arena);
    return version;
}

struct collection *npin(struct nworld *w, const char *name)
{
    struct collection *c = node_collection_pin(w->node, name, strlen(name));

    if (c == NULL)
        fail_msg("no collection %s seed=%llu", name, (unsigned long long)w->seed);
    return c;
}

uint64_t ncount(struct collection *c)
{
    struct collection_info info;

    node_collection_info(c, &info);
    return info.document_count;
}

void nstate(struct collection *c, const char *state, const char *reason_part)
{
    struct collection_info info;

    node_collection_info(c, &info);
    if (strcmp(info.state, state) != 0 || strstr(info.reason, reason_part) == NULL)
        fail_msg("state %s, reason \"%s\"; wanted %s, \"%s\"", info.state, info.reason, state,
                 reason_part);
}

static bool all_linked(struct collection *c)
{
    for (size_t i = 0; i < c->field_count; i++) {
        struct vindex *v = c->fields[i].vindex;

        if (vindex_graph_wanted(v) && vindex_pending(v) > 0)
            return false;
    }
    return true;
}

void ninvariants(struct collection *c)
{
    const struct timespec pause = {.tv_nsec = 200000};
    struct vindex_check check;
    struct err err = {0};

    while (!all_linked(c))
        (void)nanosleep(&pause, NULL);
    if (slots_dead_count(c->slots) >= NODE_REPAIR_DEAD_MIN)
        return;
    slots_reuse_pause(c->slots); /* the reclaim thread would free what is looked at */
    /* A repair at its last step takes rows out one by one. */
    for (int i = 0; slots_check(c->slots, &err) != ST_OK; i++) {
        if (i > 6000)
            fail_msg("%s", err.text);
        npause_ms(10);
    }
    for (size_t i = 0; i < c->field_count; i++) {
        if (vindex_check(c->fields[i].vindex, &check, &err) != ST_OK)
            fail_msg("field %zu: %s", i, err.text);
    }
    slots_reuse_resume(c->slots);
}

bool nhealth_has(struct nworld *w, const char *part)
{
    struct node_health health;

    node_health(w->node, &health);
    assert_int_equal(health.degraded, health.reason_count > 0);
    for (size_t i = 0; i < health.reason_count; i++) {
        if (strstr(health.reasons[i], part) != NULL)
            return true;
    }
    return false;
}

/* --- files --- */

void nflip(struct nworld *w, const char *path, int64_t offset)
{
    struct fs *fs = nworld_fs(w);
    struct fs_file *file = NULL;
    uint64_t bytes = 0;
    uint64_t at;
    uint8_t byte;

    assert_int_equal(fs_open(fs, path, FS_READ | FS_WRITE, &file, NULL), ST_OK);
    assert_int_equal(fs_size(fs, file, &bytes, NULL), ST_OK);
    at = offset < 0 ? bytes - (uint64_t)-offset : (uint64_t)offset;
    assert_true(at < bytes);
    assert_int_equal(fs_pread_full(fs, file, &byte, 1, at, NULL), ST_OK);
    byte ^= 0x10;
    assert_int_equal(fs_pwrite(fs, file, &byte, 1, at, NULL), ST_OK);
    assert_int_equal(fs_sync(fs, file, NULL), ST_OK);
    fs_close(fs, file);
}

struct pick {
    const char *part;
    bool last;
    char best[256];
};

static status look(void *arg, const char *name, bool is_dir, struct err *err)
{
    struct pick *p = arg;
    int order = p->best[0] == '\0' ? 0 : strcmp(name, p->best);

    (void)err;
    if (!is_dir && strstr(name, p->part) != NULL &&
        (p->best[0] == '\0' || (p->last ? order > 0 : order < 0)))
        (void)snprintf(p->best, sizeof p->best, "%s", name);
    return ST_OK;
}

void nfile(struct nworld *w, const char *folder, struct collection *c, const char *part, bool last,
           char out[FS_PATH_BYTES])
{
    struct pick p = {.part = part, .last = last};
    char above[FS_PATH_BYTES];
    char dir[FS_PATH_BYTES];

    assert_int_equal(fs_join(above, w->dir, folder, NULL), ST_OK);
    assert_int_equal(fs_join(dir, above, c->id_text, NULL), ST_OK);
    assert_int_equal(fs_list(nworld_fs(w), dir, look, &p, NULL), ST_OK);
    if (p.best[0] == '\0')
        fail_msg("no file %s in %s", part, dir);
    assert_int_equal(fs_join(out, dir, p.best, NULL), ST_OK);
}

/* --- the bucket --- */

status ncreate_s3(struct nworld *w, const char *name, uint32_t dim, enum node_durability durability,
                  struct err *err)
{
    const struct collection_spec spec = {.name = name,
                                         .dimension = dim,
                                         .metric = VMETRIC_L2,
                                         .threshold = 64,
                                         .policy = NODE_MEMORY_S3,
                                         .durability = durability};
    struct call call;

    call_init(&call);
    node_collection_create(w->node, &spec, call_admin_done, &call);
    return call_end(&call, err);
}

struct snapshot_call {
    struct call call;
    struct node_snapshot_result result;
};

static void snapshot_done(void *arg, status st, const struct node_snapshot_result *result,
                          const struct err *err)
{
    struct snapshot_call *s = arg;

    if (result != NULL)
        s->result = *result;
    call_done(&s->call, st, err);
}

static status snapshot_end(struct snapshot_call *s, struct node_snapshot_result *out,
                           struct err *err)
{
    status st = call_end(&s->call, err);

    if (st == ST_OK && out != NULL)
        *out = s->result;
    return st;
}

status nsnapshot(struct collection *c, const char *name, struct node_snapshot_result *out,
                 struct err *err)
{
    struct snapshot_call s = {0};

    call_init(&s.call);
    node_snapshot(c, name, snapshot_done, &s);
    return snapshot_end(&s, out, err);
}

status ncompact(struct collection *c, struct node_snapshot_result *out, struct err *err)
{
    struct snapshot_call s = {0};

    call_init(&s.call);
    node_compact(c, false, snapshot_done, &s);
    return snapshot_end(&s, out, err);
}

status ncompact_anew(struct collection *c, struct err *err)
{
    struct snapshot_call s = {0};

    call_init(&s.call);
    node_compact(c, true, snapshot_done, &s);
    return snapshot_end(&s, NULL, err);
}

status npatch_policy(struct nworld *w, struct collection *c, enum node_policy policy,
                     struct err *err)
{
    const struct collection_patch patch = {.policy = policy};
    struct call call;

    call_init(&call);
    node_collection_patch(w->node, c, &patch, call_admin_done, &call);
    return call_end(&call, err);
}
