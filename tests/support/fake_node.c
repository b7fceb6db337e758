#include "tests/support/fake_node_internal.h"

#include "base/json.h"
#include "base/mem.h"
#include "index/vindex.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void take(struct node *n)
{
    lock_take(&n->s.lock);
}

static void drop(struct node *n)
{
    lock_drop(&n->s.lock);
}

const char *node_policy_name(enum node_policy p)
{
    return p == NODE_MEMORY ? "Memory" : p == NODE_MEMORY_S3 ? "MemoryS3" : "S3Only";
}

bool node_policy_parse(const char *text, enum node_policy *out)
{
    for (int p = NODE_MEMORY; p <= NODE_S3_ONLY; p++) {
        if (strcmp(text, node_policy_name((enum node_policy)p)) == 0) {
            *out = (enum node_policy)p;
            return true;
        }
    }
    return false;
}

/* --- the thread that completes --- */

static void complete_export(struct completion *c, const struct err *err)
{
    struct buf text;

    buf_init(&text, 4096);
    if (c->st == ST_OK)
        buf_put_text(&text, c->text);
    c->exported(c->arg, c->st, c->st == ST_OK ? &text : NULL, err);
    buf_free(&text);
}

static void complete(struct completion *c)
{
    const struct err *err = c->st == ST_OK ? NULL : &c->err;

    if (c->write != NULL)
        c->write(c->arg, c->st, c->st == ST_OK ? &c->result : NULL, err);
    else if (c->letters != NULL)
        c->letters(c->arg, c->st, c->st == ST_OK || c->dlq_result ? &c->dlq : NULL, err);
    else if (c->snapshot != NULL)
        c->snapshot(c->arg, c->st, c->st == ST_OK ? &c->shot : NULL, err);
    else if (c->exported != NULL)
        complete_export(c, err);
    else
        c->admin(c->arg, c->st, c->st == ST_OK ? &c->info : NULL, err);
    free(c);
}

static void run(void *arg)
{
    struct node *n = arg;

    take(n);
    for (;;) {
        struct completion *c = n->s.first;

        if (c == NULL && n->s.stopping)
            break;
        if (c == NULL || n->s.held) {
            cond_wait(&n->s.changed, &n->s.lock);
            continue;
        }
        n->s.first = c->next;
        if (n->s.first == NULL)
            n->s.last = &n->s.first;
        drop(n);
        complete(c);
        take(n);
    }
    drop(n);
}

struct completion *fake_completion(void *arg, status st, const char *text)
{
    struct completion *c = calloc(1, sizeof *c);

    assert(c != NULL);
    c->arg = arg;
    c->st = st;
    if (st != ST_OK)
        (void)err_set(&c->err, st, "%s", text);
    return c;
}

void fake_queue_locked(struct node *n, struct completion *c)
{
    *n->s.last = c;
    n->s.last = &c->next;
    cond_broadcast(&n->s.changed);
}

struct node *fake_node_create(void)
{
    struct node *n = calloc(1, sizeof *n);
    status st;

    assert(n != NULL);
    lock_init(&n->s.lock, LOCK_RANK_NODE, "fake node");
    cond_init(&n->s.changed);
    n->s.last = &n->s.first;
    n->s.ready = true;
    fake_bucket_open(n);
    st = thread_start(&n->thread, "fake-node", THREAD_NORMAL, run, n, NULL);
    assert(st == ST_OK);
    (void)st;
    return n;
}

static void free_row(struct fake_row *row)
{
    if (row->id.kind == DOCID_BYTES)
        free((void *)(uintptr_t)row->id.bytes.data);
    free((void *)(uintptr_t)row->external_id.data);
    free((void *)(uintptr_t)row->payload.data);
    for (size_t i = 0; i < FAKE_FIELDS; i++)
        free(row->vectors[i]);
}

void fake_node_destroy(struct node *n)
{
    take(n);
    n->s.stopping = true;
    n->s.held = false;
    cond_broadcast(&n->s.changed);
    drop(n);
    thread_join(&n->thread);
    while (n->s.collections != NULL) {
        struct collection *c = n->s.collections;

        n->s.collections = c->next;
        for (size_t i = 0; i < c->count; i++)
            free_row(&c->rows[i]);
        free(c->rows);
        buf_free(&c->setting);
        free(c);
    }
    fake_bucket_close(n);
    cond_fini(&n->s.changed);
    lock_fini(&n->s.lock);
    free(n);
}

/* --- what a test sets and asks --- */

void fake_node_hold(struct node *n, bool held)
{
    take(n);
    n->s.held = held;
    cond_broadcast(&n->s.changed);
    drop(n);
}

void fake_node_forget(struct node *n)
{
    take(n);
    n->s.forget = true;
    drop(n);
}

void fake_node_fail_write(struct node *n, status st)
{
    take(n);
    n->s.fail_write = st;
    drop(n);
}

void fake_node_fail_query(struct node *n, status st)
{
    take(n);
    n->s.fail_query = st;
    drop(n);
}

void fake_node_query_ms(struct node *n, uint32_t ms)
{
    take(n);
    n->s.query_ms = ms;
    drop(n);
}

void fake_node_set_ready(struct node *n, bool ready)
{
    take(n);
    n->s.ready = ready;
    drop(n);
}

void fake_node_set_degraded(struct node *n, const char *reason)
{
    take(n);
    (void)snprintf(n->s.reason, sizeof n->s.reason, "%s", reason);
    drop(n);
}

int fake_node_pins(struct node *n)
{
    int pins;

    take(n);
    pins = n->s.pins;
    drop(n);
    return pins;
}

int fake_node_keys_owed(struct node *n)
{
    int owed;

    take(n);
    owed = n->s.keys_owed;
    drop(n);
    return owed;
}

unsigned fake_node_writes(struct node *n)
{
    unsigned writes;

    take(n);
    writes = n->s.writes;
    drop(n);
    return writes;
}

unsigned fake_node_queries(struct node *n)
{
    unsigned queries;

    take(n);
    queries = n->s.queries;
    drop(n);
    return queries;
}

/* --- the node --- */

bool node_ready(struct node *n, double *progress)
{
    bool ready;

    take(n);
    ready = n->s.ready;
    drop(n);
    if (progress != NULL)
        *progress = ready ? 1.0 : 0.25;
    return ready;
}

void node_set_readonly(struct node *n, bool readonly)
{
    take(n);
    n->s.readonly = readonly;
    drop(n);
}

void node_reload(struct node *n, node_reload_done_fn *done, void *arg)
{
    struct buf json;

    (void)n;
    buf_init(&json, 256);
    buf_put_text(&json, "{\"changed\":[\"logging.level\"],\"needs_restart\":[]}");
    done(arg, ST_OK, &json, NULL);
    buf_free(&json);
}

void node_health(struct node *n, struct node_health *out)
{
    take(n);
    *out = (struct node_health){.degraded = n->s.reason[0] != '\0',
                                .disk_full = strstr(n->s.reason, "disk is full") != NULL};
    if (out->degraded) {
        memcpy(out->reasons[0], n->s.reason, sizeof out->reasons[0]);
        out->reason_count = 1;
    }
    drop(n);
}

void node_status(struct node *n, struct node_status *out)
{
    take(n);
    *out = n->s.bucket;
    (void)snprintf(out->node_id, sizeof out->node_id, "fake");
    out->uptime_ns = 1500000000;
    out->readonly = n->s.readonly;
    for (struct collection *c = n->s.collections; c != NULL; c = c->next) {
        out->collections += c->dropped ? 0 : 1;
        out->documents += c->dropped ? 0 : c->count;
    }
    drop(n);
}

/* --- collections --- */

struct collection *fake_find_locked(struct node *n, const char *key, size_t bytes)
{
    for (struct collection *c = n->s.collections; c != NULL; c = c->next)
        if (!c->dropped &&
            ((strlen(c->info.name) == bytes && memcmp(c->info.name, key, bytes) == 0) ||
             (bytes == 36 && memcmp(c->info.id, key, bytes) == 0)))
            return c;
    for (size_t i = 0; i < n->s.alias_count; i++)
        if (strlen(n->s.aliases[i].alias) == bytes &&
            memcmp(n->s.aliases[i].alias, key, bytes) == 0)
            return n->s.aliases[i].collection;
    return NULL;
}

static bool name_is_fine(const char *name)
{
    for (const char *at = name; *at != '\0'; at++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", *at) ==
            NULL)
            return false;
    return true;
}

static struct collection *make_locked(struct node *n, const struct collection_spec *spec)
{
    static unsigned made;
    struct collection *c = calloc(1, sizeof *c);

    assert(c != NULL);
    c->node = n;
    c->metric = spec->metric;
    c->string_ids = spec->string_ids;
    buf_init(&c->setting, NODE_SETTING_BYTES_MAX);
    buf_put_slice(&c->setting, spec->setting_value);
    c->field_count = spec->fields == NULL ? 1 : spec->field_count;
    assert(c->field_count <= FAKE_FIELDS);
    c->fields[0] = (struct field_info){
        .name = c->names[0], .dimension = spec->dimension, .metric = spec->metric};
    for (size_t i = 0; spec->fields != NULL && i < c->field_count; i++) {
        c->fields[i] = spec->fields[i];
        c->fields[i].name = c->names[i];
        (void)snprintf(c->names[i], sizeof c->names[i], "%s", spec->fields[i].name);
    }
    c->info.dimension = c->fields[0].dimension;
    c->info.metric = c->field_count == 0 ? "none" : vmetric_name((enum vmetric)c->fields[0].metric);
    c->info.policy = node_policy_name(spec->policy == 0 ? NODE_MEMORY : spec->policy);
    c->info.durability =
        node_durability_name(spec->durability == 0 ? NODE_LOCAL : spec->durability);
    c->info.has_bucket = spec->policy == NODE_MEMORY_S3;
    c->info.phase = c->info.has_bucket ? "owned" : "";
    c->info.state = "serving";
    c->info.m = spec->m != 0 ? spec->m : 32;
    c->info.ef_construction = spec->ef_construction != 0 ? spec->ef_construction : 200;
    c->info.ef_search = spec->ef_search != 0 ? spec->ef_search : 100;
    c->info.threshold = spec->threshold != UINT32_MAX ? spec->threshold : 10000;
    if (spec->fields == NULL) {
        c->fields[0].m = c->info.m;
        c->fields[0].ef_construction = c->info.ef_construction;
        c->fields[0].ef_search = c->info.ef_search;
        c->fields[0].threshold = c->info.threshold;
    }
    c->info.created_at_ns = 1700000000000000000u;
    (void)snprintf(c->info.name, sizeof c->info.name, "%s", spec->name);
    (void)snprintf(c->info.id, sizeof c->info.id, "00000000-0000-7000-8000-%012u", ++made);
    c->next = n->s.collections;
    n->s.collections = c;
    return c;
}

void node_collection_create(struct node *n, const struct collection_spec *spec, node_admin_fn *done,
                            void *arg)
{
    struct completion *made;

    take(n);
    if (!name_is_fine(spec->name))
        made = fake_completion(arg, ST_INVALID, "the name holds a character that is not allowed");
    else if ((spec->policy == NODE_MEMORY_S3 || spec->durability == NODE_REMOTE) &&
             !n->s.bucket.has_bucket)
        made = fake_completion(arg, ST_INVALID, "there is no bucket: say [storage] s3_bucket");
    else if (n->s.fail_bucket != ST_OK)
        made =
            fake_completion(arg, fake_refusal_of_bucket_locked(n), "the bucket was told to refuse");
    else if (fake_find_locked(n, spec->name, strlen(spec->name)) != NULL)
        made = fake_completion(arg, ST_EXISTS, "a collection has this name");
    else
        made = fake_completion(arg, ST_OK, "");
    made->admin = done;
    if (made->st == ST_OK)
        made->info = make_locked(n, spec)->info;
    fake_queue_locked(n, made);
    drop(n);
}

static void admin_done(struct collection *c, node_admin_fn *done, void *arg)
{
    struct completion *made = fake_completion(arg, ST_OK, "");

    made->admin = done;
    made->info = c->info;
    fake_queue_locked(c->node, made);
}

void fake_node_set_exports(struct node *n, struct fs *fs, const char *dir)
{
    take(n);
    n->s.exports_fs = fs;
    n->s.exports_dir = dir;
    drop(n);
}

status node_exports_dir(const struct collection *c, struct fs **fs, char out[FS_PATH_BYTES],
                        struct err *err)
{
    const char *dir;

    take(c->node);
    *fs = c->node->s.exports_fs;
    dir = c->node->s.exports_dir;
    drop(c->node);
    return dir == NULL ? err_set(err, ST_UNSUPPORTED, "this node keeps no files")
                       : fs_join(out, dir, c->info.id, err);
}

status node_exports_root(const struct node *n, struct fs **fs, char out[FS_PATH_BYTES],
                         struct err *err)
{
    *fs = n->s.exports_fs;
    if (n->s.exports_dir == NULL)
        return err_set(err, ST_UNSUPPORTED, "this node keeps no files");
    (void)snprintf(out, FS_PATH_BYTES, "%s", n->s.exports_dir);
    return ST_OK;
}

void node_collection_replace(struct node *n, struct collection *fresh, const char *name,
                             node_admin_fn *done, void *arg)
{
    struct collection *old;
    struct completion *made;

    take(n);
    old = fake_find_locked(n, name, strlen(name));
    for (size_t i = 0; old != NULL && i < n->s.alias_count; i++)
        if (n->s.aliases[i].collection == old)
            n->s.aliases[i].collection = fresh;
    if (old != NULL)
        old->dropped = true;
    (void)snprintf(fresh->info.name, sizeof fresh->info.name, "%s", name);
    made = fake_completion(arg, ST_OK, NULL);
    made->info = fresh->info;
    made->admin = done;
    fake_queue_locked(n, made);
    drop(n);
}

void node_collection_drop(struct node *n, struct collection *c, node_admin_fn *done, void *arg)
{
    take(n);
    c->dropped = true;
    admin_done(c, done, arg);
    drop(n);
}

void node_collection_patch(struct node *n, struct collection *c,
                           const struct collection_patch *patch, node_admin_fn *done, void *arg)
{
    status fail;

    take(n);
    fail = n->s.fail_write;
    n->s.fail_write = ST_OK;
    if (fail == ST_OK && patch->setting_merged &&
        !slice_equal(patch->setting_was, buf_slice(&c->setting)))
        fail = ST_CONFLICT;
    if (fail != ST_OK) {
        struct completion *made = fake_completion(arg, fail, "the node was told to fail");

        made->admin = done;
        fake_queue_locked(n, made);
        drop(n);
        return;
    }
    if (patch->name != NULL)
        (void)snprintf(c->info.name, sizeof c->info.name, "%s", patch->name);
    if (patch->ef_search != 0)
        c->info.ef_search = patch->ef_search;
    for (size_t i = 0; patch->hnsw != NULL && i < c->field_count; i++) {
        struct field_info *f = &c->fields[i];

        f->m = patch->hnsw[i].m != 0 ? patch->hnsw[i].m : f->m;
        f->ef_search = patch->hnsw[i].ef_search != 0 ? patch->hnsw[i].ef_search : f->ef_search;
    }
    if (patch->hnsw != NULL && patch->hnsw[0].m != 0) {
        c->info.rebuild = (struct rebuild_info){.state = "linking",
                                                .m = patch->hnsw[0].m,
                                                .ef_construction = 200,
                                                .linked = 1,
                                                .rows = 2};
        c->info.m = patch->hnsw[0].m;
    }
    if (patch->setting_key != NULL) {
        buf_reset(&c->setting);
        buf_put_slice(&c->setting, patch->setting_value);
    }
    if (patch->durability != 0)
        c->info.durability = node_durability_name(patch->durability);
    if (patch->policy != 0) {
        c->info.policy = node_policy_name(patch->policy);
        c->info.switching = c->info.has_bucket = patch->policy == NODE_MEMORY_S3;
        c->info.phase = c->info.has_bucket ? "creating" : "";
    }
    admin_done(c, done, arg);
    drop(n);
}

void node_checkpoint(struct collection *c, node_admin_fn *done, void *arg)
{
    take(c->node);
    c->info.snapshot_lsn = c->info.last_lsn;
    c->info.last_checkpoint_ns = 1700000001000000000u;
    admin_done(c, done, arg);
    drop(c->node);
}

struct collection *node_collection_pin(struct node *n, const char *key, size_t key_bytes)
{
    struct collection *c;

    take(n);
    c = fake_find_locked(n, key, key_bytes);
    n->s.pins += c != NULL ? 1 : 0;
    drop(n);
    return c;
}

void node_collection_unpin(struct collection *c)
{
    take(c->node);
    c->node->s.pins--;
    drop(c->node);
}

void node_collection_info(struct collection *c, struct collection_info *out)
{
    take(c->node);
    *out = c->info;
    drop(c->node);
}

size_t node_collection_list(struct node *n, const char *after, struct collection_info *out,
                            size_t max)
{
    size_t count = 0;

    take(n);
    while (count < max) {
        const struct collection *best = NULL;

        for (const struct collection *c = n->s.collections; c != NULL; c = c->next)
            if (!c->dropped && (after == NULL || strcmp(c->info.name, after) > 0) &&
                (best == NULL || strcmp(c->info.name, best->info.name) < 0))
                best = c;
        if (best == NULL)
            break;
        out[count] = best->info;
        after = out[count++].name;
    }
    drop(n);
    return count;
}

uint32_t collection_dimension(const struct collection *c)
{
    return c->info.dimension;
}

bool collection_needs_nonzero(const struct collection *c)
{
    return c->metric == VMETRIC_COSINE;
}

const char *collection_id_text(const struct collection *c)
{
    return c->info.id;
}

uint64_t collection_fair_key(const struct collection *c)
{
    return (uint64_t)(uintptr_t)c;
}

/* --- writes --- */

size_t fake_place_of(const struct collection *c, const struct docid *id, bool *found)
{
    size_t at = 0;

    while (at < c->count && docid_compare(&c->rows[at].id, id) < 0)
        at++;
    *found = at < c->count && docid_equal(&c->rows[at].id, id);
    return at;
}

static void *copy_of(const void *data, size_t bytes)
{
    void *copy = malloc(bytes == 0 ? 1 : bytes);

    assert(copy != NULL);
    if (bytes > 0)
        memcpy(copy, data, bytes);
    return copy;
}

static void copy_vectors(const struct collection *c, const struct write_row *from,
                         struct fake_row *to)
{
    for (size_t i = 0; i < FAKE_FIELDS; i++) {
        const float *v = NULL;

        if (i < c->field_count)
            v = from->vectors != NULL ? from->vectors[i] : i == 0 ? from->vector : NULL;
        to->vectors[i] = v == NULL ? NULL : copy_of(v, c->fields[i].dimension * sizeof(float));
    }
}

void fake_put_locked(struct collection *c, const struct write_row *from)
{
    bool found;
    size_t at = fake_place_of(c, &from->id, &found);
    struct fake_row *row;

    if (found) {
        free_row(&c->rows[at]);
    } else {
        if (c->count == c->capacity) {
            c->capacity = c->capacity == 0 ? 64 : 2 * c->capacity;
            c->rows = realloc(c->rows, c->capacity * sizeof *c->rows);
            assert(c->rows != NULL);
        }
        memmove(&c->rows[at + 1], &c->rows[at], (c->count - at) * sizeof *c->rows);
        c->count++;
    }
    row = &c->rows[at];
    row->id = from->id;
    if (row->id.kind == DOCID_BYTES)
        row->id.bytes.data = copy_of(from->id.bytes.data, from->id.bytes.bytes);
    row->external_id = slice_make(copy_of(from->external_id.data, from->external_id.bytes),
                                  from->external_id.bytes);
    row->payload =
        slice_make(copy_of(from->payload.data, from->payload.bytes), from->payload.bytes);
    copy_vectors(c, from, row);
    row->inserted_at_ns = 1700000002000000000u;
    row->lsn = c->info.last_lsn;
}

status fake_refusal_locked(struct node *n)
{
    status st = n->s.fail_write;

    n->s.fail_write = ST_OK;
    return n->s.readonly ? ST_DENIED : st;
}

struct completion *fake_write_completion_locked(struct collection *c, status st,
                                                node_write_fn *done, void *arg, uint64_t count)
{
    struct completion *made = fake_completion(arg, st, "the fake node was told to refuse");

    made->write = done;
    made->result = (struct write_result){.lsn = c->info.last_lsn,
                                         .count = count,
                                         .durability = "local",
                                         .short_of_remote = c->node->s.short_of_remote};
    c->info.document_count = c->count;
    return made;
}

void node_write(struct collection *c, struct write_row *rows, size_t count, node_write_fn *done,
                void *arg)
{
    struct node *n = c->node;
    struct completion *made;
    status st;

    take(n);
    if (n->s.forget) {
        drop(n);
        return;
    }
    st = fake_refusal_locked(n);
    if (st == ST_OK) {
        c->info.last_lsn++;
        for (size_t i = 0; i < count; i++) {
            if (rows[i].id.kind == 0) {
                rows[i].id.kind = DOCID_UUID;
                uuid_make_v7(rand_kernel(), clock_real(), rows[i].id.uuid);
            }
            assert(rows[i].payload.bytes == 0 || jbin_check(rows[i].payload, NULL) == ST_OK);
            fake_put_locked(c, &rows[i]);
        }
        n->s.writes++;
    }
    made = fake_write_completion_locked(c, st, done, arg, count);
    if (st == ST_LIMIT) { /* refused where it was asked */
        drop(n);
        complete(made);
        return;
    }
    fake_queue_locked(n, made);
    drop(n);
}

void fake_remove_locked(struct collection *c, size_t at)
{
    free_row(&c->rows[at]);
    memmove(&c->rows[at], &c->rows[at + 1], (c->count - at - 1) * sizeof *c->rows);
    c->count--;
}

void node_delete(struct collection *c, const struct docid *ids, size_t count, node_write_fn *done,
                 void *arg)
{
    struct node *n = c->node;
    uint64_t gone = 0;
    status st;

    take(n);
    st = fake_refusal_locked(n);
    for (size_t i = 0; st == ST_OK && i < count; i++) {
        bool found;
        size_t at = fake_place_of(c, &ids[i], &found);

        if (!found)
            continue;
        fake_remove_locked(c, at);
        gone++;
    }
    c->info.last_lsn += gone > 0 ? 1 : 0;
    fake_queue_locked(n, fake_write_completion_locked(c, st, done, arg, gone));
    drop(n);
}

uint64_t node_write_cost_ns(struct collection *c, size_t rows)
{
    (void)c;
    return 1000 * rows;
}

/* --- reads --- */

static struct slice arena_slice(struct arena *arena, struct slice s)
{
    uint8_t *copy = arena_alloc(arena, s.bytes);

    if (copy != NULL && s.bytes > 0)
        memcpy(copy, s.data, s.bytes);
    return slice_make(copy, s.bytes);
}

static float distance(const struct collection *c, const float *a, const float *b)
{
    double dot = 0, l2 = 0, l1 = 0, aa = 0, bb = 0;

    for (uint32_t i = 0; i < c->info.dimension; i++) {
        dot += (double)a[i] * (double)b[i];
        l2 += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        l1 += fabs((double)a[i] - (double)b[i]);
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    if (c->metric == VMETRIC_COSINE)
        return (float)(1.0 - dot / sqrt(aa * bb));
    return (float)(c->metric == VMETRIC_DOT ? -dot : c->metric == VMETRIC_L2 ? sqrt(l2) : l1);
}

static void rest_ms(uint32_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)nanosleep(&t, NULL);
}

/* Keeps matches sorted; all rows are looked at. */
static void offer(struct query_result *out, uint32_t k, struct match m)
{
    uint32_t at = out->count < k ? out->count++ : k - 1;

    while (at > 0 && out->matches[at - 1].distance > m.distance) {
        out->matches[at] = out->matches[at - 1];
        at--;
    }
    out->matches[at] = m;
}

static status search_locked(struct collection *c, const float *query, const struct query_options *o,
                            struct arena *arena, struct query_result *out)
{
    uint32_t k = o->top_k < c->count ? o->top_k : (uint32_t)c->count;

    *out = (struct query_result){.scanned = (uint32_t)c->count, .distances = (uint32_t)c->count};
    out->matches = arena_array(arena, k + 1, sizeof *out->matches);
    if (out->matches == NULL)
        return ST_NOMEM;
    for (size_t i = 0; i < c->count && k > 0; i++) {
        struct fake_row *row = &c->rows[i];
        struct match m = {.id = row->id, .lsn = row->lsn};

        if (row->vectors[0] == NULL)
            continue;
        m.distance = distance(c, query, row->vectors[0]);
        m.score = 1.0f - m.distance;
        if (out->count == k && m.distance >= out->matches[k - 1].distance)
            continue;
        m.external_id = arena_slice(arena, row->external_id);
        m.payload = o->with_payload ? arena_slice(arena, row->payload) : (struct slice){0};
        if (o->with_vector)
            m.vector = (const float *)(const void *)arena_slice(
                           arena, slice_make(row->vectors[0], c->info.dimension * sizeof(float)))
                           .data;
        offer(out, k, m);
    }
    return ST_OK;
}

status node_query(struct collection *c, float *query, const struct query_options *options,
                  struct arena *arena, struct query_result *out, struct err *err)
{
    struct node *n = c->node;
    uint32_t ms;
    status st;

    take(n);
    n->s.queries++;
    ms = n->s.query_ms;
    st = n->s.fail_query;
    n->s.fail_query = ST_OK;
    if (st == ST_OK)
        st = options->points != NULL ? fake_search_locked(c, query, options, arena, out)
                                     : search_locked(c, query, options, arena, out);
    drop(n);
    for (; ms > 0 && st == ST_OK; ms -= ms < 10 ? ms : 10) {
        if (options->stop != NULL && atomic_load(options->stop))
            return err_set(err, ST_TIMEOUT, "stopped");
        rest_ms(ms < 10 ? ms : 10);
    }
    return st == ST_OK ? ST_OK : err_set(err, st, "the fake node was told to refuse");
}

uint64_t node_query_cost_ns(struct collection *c, const struct query_options *options)
{
    uint64_t ms;

    (void)options;
    take(c->node);
    ms = c->node->s.query_ms;
    drop(c->node);
    return ms * 1000000u + 10000u;
}

static bool copy_document(struct collection *c, const struct fake_row *row, bool with_vector,
                          struct arena *arena, struct document *out)
{
    const struct read_want want = {.payload = true, .vectors = with_vector ? UINT64_MAX : 0};

    if (!fake_copy_row(c, row, &want, arena, out))
        return false;
    out->external_id = arena_slice(arena, row->external_id);
    out->inserted_at_ns = row->inserted_at_ns;
    out->vector = out->vectors[0];
    if (!with_vector || c->field_count < 2)
        out->vectors = NULL; /* as node gives them */
    return out->external_id.data != NULL;
}

status node_get(struct collection *c, const struct docid *id, struct arena *arena,
                struct document *out, struct err *err)
{
    status st = ST_OK;
    bool found;
    size_t at;

    take(c->node);
    at = fake_place_of(c, id, &found);
    if (!found)
        st = ST_NOT_FOUND;
    else if (!copy_document(c, &c->rows[at], true, arena, out))
        st = ST_NOMEM;
    drop(c->node);
    return st == ST_OK ? ST_OK : err_set(err, st, "get");
}

status node_list(struct collection *c, const struct docid *after, uint32_t limit, bool with_vector,
                 struct arena *arena, struct document **out, uint32_t *count, bool *more,
                 struct err *err)
{
    struct document *docs = arena_array(arena, limit, sizeof *docs);
    uint32_t n = 0;
    bool fine = docs != NULL;
    size_t at = 0;
    bool found;

    take(c->node);
    if (after != NULL) {
        at = fake_place_of(c, after, &found);
        at += found ? 1 : 0;
    }
    for (; fine && n < limit && at < c->count; at++)
        fine = copy_document(c, &c->rows[at], with_vector, arena, &docs[n++]);
    *more = at < c->count;
    drop(c->node);
    if (!fine)
        return err_set(err, ST_NOMEM, "out of memory for a page");
    *out = docs;
    *count = n;
    return ST_OK;
}
