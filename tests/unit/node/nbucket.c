#include "tests/unit/node/nbucket.h"

#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* --- a process that dies --- */

static void die(struct nkill *k, const struct objstore_req *req)
{
    const struct objstore_fault gone = objstore_fault_outage();
    const struct objstore_fault lost = {
        .kind = OBJSTORE_FAULT_LOSE, .ops = 1u << req->op, .key_prefix = req->key};

    fs_sim_stop_after(k->w->sim, 0);
    if (atomic_load(&k->after_effect))
        assert_int_equal(objstore_faults_add(k->w->bucket, &lost, NULL, NULL), ST_OK);
    assert_int_equal(objstore_faults_add(k->w->bucket, &gone, NULL, NULL), ST_OK);
    atomic_store(&k->dead, true);
}

static void on_submit(struct objstore *s, struct objstore_req *req)
{
    struct nkill *k = (struct nkill *)(void *)s;

    atomic_fetch_add(&k->seen, 1);
    if (atomic_load(&k->left) > 0 && atomic_fetch_sub(&k->left, 1) == 1)
        die(k, req);
    objstore_submit(k->w->bucket, req);
}

static void on_cancel(struct objstore *s, struct objstore_req *req)
{
    objstore_cancel(((struct nkill *)(void *)s)->w->bucket, req);
}

static void on_close(struct objstore *s)
{
    (void)s;
}

void nkill_init(struct nkill *k, struct nworld *w)
{
    static const struct objstore_ops ops = {
        .submit = on_submit, .cancel = on_cancel, .close = on_close};

    memset(k, 0, sizeof *k);
    k->base.ops = &ops;
    (void)snprintf(k->base.description, sizeof k->base.description, "%s", w->bucket_name);
    k->w = w;
    w->options.store = &k->base;
}

void nkill_arm(struct nkill *k, uint64_t n, bool after_effect)
{
    atomic_store(&k->after_effect, after_effect);
    atomic_store(&k->dead, false);
    atomic_store(&k->left, n);
}

bool nkill_dead(const struct nkill *k)
{
    return atomic_load(&k->dead);
}

void nkill_bury(struct nkill *k)
{
    const struct objstore_fault gone = objstore_fault_outage();

    atomic_store(&k->left, 0);
    fs_sim_stop_after(k->w->sim, 0);
    assert_int_equal(objstore_faults_add(k->w->bucket, &gone, NULL, NULL), ST_OK);
    nworld_close(k->w);
    fs_sim_power_cut(k->w->sim, &k->w->rand.source);
    objstore_faults_clear(k->w->bucket);
    atomic_store(&k->dead, false);
}

void nlog(void)
{
    const struct log_options options = {.level = LOG_DEBUG,
                                        .format = LOG_FORMAT_PRETTY,
                                        .path = getenv("TIERVEC_TEST_LOG"),
                                        .clock = clock_real()};

    if (options.path != NULL)
        assert_int_equal(log_open(&options, NULL), ST_OK);
}

/* --- the meta thread --- */

static void run_hold(struct meta_job *base)
{
    struct nhold *h = (struct nhold *)(void *)base;

    lock_take(&h->lock);
    h->holds = true;
    cond_broadcast(&h->cond);
    while (!h->goes)
        cond_wait(&h->cond, &h->lock);
    lock_drop(&h->lock);
}

void nhold_meta(struct nworld *w, struct nhold *h)
{
    *h = (struct nhold){.job = {.run = run_hold}};
    lock_init(&h->lock, LOCK_RANK_LEAF, "hold");
    cond_init(&h->cond);
    assert_true(jobs_push(&w->node->meta, &h->job));
    lock_take(&h->lock);
    while (!h->holds)
        cond_wait(&h->cond, &h->lock);
    lock_drop(&h->lock);
}

size_t nqueued(struct nworld *w)
{
    struct job_queue *q = &w->node->meta;
    size_t n = 0;

    lock_take(&q->lock);
    for (struct meta_job *job = q->first; job != NULL; job = job->next)
        n++;
    lock_drop(&q->lock);
    return n;
}

void nlet_go(struct nhold *h)
{
    lock_take(&h->lock);
    h->goes = true;
    cond_broadcast(&h->cond);
    lock_drop(&h->lock);
}

static status do_nothing(void *arg, struct err *err)
{
    (void)arg;
    (void)err;
    return ST_OK;
}

void nlet_through(struct nworld *w, struct nhold *h)
{
    nlet_go(h);
    assert_int_equal(jobs_run(&w->node->meta, do_nothing, NULL, NULL), ST_OK);
    cond_fini(&h->cond);
    lock_fini(&h->lock);
}

/* The publish thread looks between two jobs of its. */
void nlooked(struct nworld *w)
{
    for (int i = 0; i < 2; i++)
        assert_int_equal(jobs_run(&w->node->publish, do_nothing, NULL, NULL), ST_OK);
    assert_int_equal(jobs_run(&w->node->meta, do_nothing, NULL, NULL), ST_OK);
}

/* --- the disk --- */

void nlose_disk(struct nworld *w)
{
    struct err err = {0};
    status st = ST_OK;

    nworld_close(w);
    if (w->sim != NULL)
        st = fs_remove_all(fs_sim_fs(w->sim), w->dir, &err);
    if (st == ST_OK || st == ST_NOT_FOUND)
        st = fs_remove_all(fs_real(), w->dir, &err);
    if (st == ST_OK)
        st = fs_mkdir_all(fs_real(), w->dir, &err);
    if (st != ST_OK)
        fail_msg("the disk is not lost: %s", err.text);
}

/* --- what a node holds --- */

enum { INFOS_MAX = 32 };

static bool settled_now(struct nworld *w)
{
    static struct collection_info infos[INFOS_MAX];
    size_t n = node_collection_list(w->node, NULL, infos, INFOS_MAX);

    if (!atomic_load(&w->node->catalog_seen) || atomic_load(&w->node->sync_wanted))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(infos[i].state, "loading") == 0 ||
            (infos[i].arriving && strcmp(infos[i].state, "failed") != 0))
            return false;
    }
    return true;
}

void nsettled(struct nworld *w)
{
    neventually(settled_now(w));
}

bool nshipped(struct collection *c)
{
    struct collection_info info = ninfo(c);

    return strcmp(info.policy, "Memory") == 0 ||
           (info.shipped_lsn >= info.last_lsn && info.unshipped_bytes == 0 && !info.switching);
}

void nall_shipped(struct nworld *w)
{
    struct collection **items = NULL;
    size_t count = 0;

    assert_int_equal(table_snapshot(w->node, &items, &count, NULL), ST_OK);
    for (size_t i = 0; i < count; i++)
        neventually(nshipped(items[i]));
    table_snapshot_free(items, count);
}

void ntext(struct nworld *w, bool backed, char out[NTEXT_BYTES])
{
    static struct collection_info infos[INFOS_MAX];
    struct node_alias aliases[INFOS_MAX];
    size_t n = node_collection_list(w->node, NULL, infos, INFOS_MAX);
    size_t a = node_alias_list(w->node, NULL, aliases, INFOS_MAX);
    size_t at = 0;

    out[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        bool serves = strcmp(infos[i].state, "serving") == 0;

        if (i > 0 && strcmp(infos[i - 1].name, infos[i].name) == 0)
            fail_msg("two collections are named %s, seed=%llu", infos[i].name,
                     (unsigned long long)w->seed);
        if (backed && strcmp(infos[i].policy, "Memory") == 0)
            continue;
        at += (size_t)snprintf(out + at, NTEXT_BYTES - at, "%s=%llu/%s%s%s ", infos[i].name,
                               (unsigned long long)infos[i].document_count, infos[i].policy,
                               serves ? "" : "!", serves ? "" : infos[i].state);
    }
    for (size_t i = 0; i < a; i++)
        at += (size_t)snprintf(out + at, NTEXT_BYTES - at, "%s>%s ", aliases[i].alias,
                               aliases[i].collection);
}

status nalias(struct nworld *w, const char *alias, struct collection *c, struct err *err)
{
    struct call call;

    call_init(&call);
    if (c != NULL)
        node_alias_set(w->node, alias, c, call_admin_done, &call);
    else
        node_alias_remove(w->node, alias, call_admin_done, &call);
    call_wait(&call);
    if (err != NULL)
        *err = call.err;
    return call.st;
}

bool nthere(struct nworld *w, const char *name)
{
    struct collection *c = node_collection_pin(w->node, name, strlen(name));

    node_collection_unpin(c);
    return c != NULL;
}

/* --- letters --- */

struct dlq_call {
    struct call call;
    struct node_dlq_result result;
    struct buf *text;
};

static void told(struct dlq_call *d, status st, const struct err *err)
{
    lock_take(&d->call.lock);
    assert_false(d->call.done);
    d->call.done = true;
    d->call.st = st;
    if (err != NULL)
        d->call.err = *err;
    cond_broadcast(&d->call.cond);
    lock_drop(&d->call.lock);
}

static void on_dlq(void *arg, status st, const struct node_dlq_result *result,
                   const struct err *err)
{
    struct dlq_call *d = arg;

    if (result != NULL)
        d->result = *result;
    told(d, st, err);
}

static void on_export(void *arg, status st, const struct buf *ndjson, const struct err *err)
{
    struct dlq_call *d = arg;

    if (ndjson != NULL)
        buf_put_slice(d->text, buf_slice(ndjson));
    told(d, st, err);
}

static status dlq_end(struct dlq_call *d, struct node_dlq_result *result, struct err *err)
{
    call_wait(&d->call);
    if (result != NULL)
        *result = d->result;
    if (err != NULL)
        *err = d->call.err;
    return d->call.st;
}

status ndlq_retry(struct collection *c, const uint64_t *ids, size_t count,
                  struct node_dlq_result *result, struct err *err)
{
    struct dlq_call d = {0};

    call_init(&d.call);
    node_dlq_retry(c, ids, count, on_dlq, &d);
    return dlq_end(&d, result, err);
}

status ndlq_replay(struct collection *c, struct node_dlq_result *result, struct err *err)
{
    struct dlq_call d = {0};

    call_init(&d.call);
    node_dlq_replay(c, NULL, 0, on_dlq, &d);
    return dlq_end(&d, result, err);
}

status ndlq_discard(struct collection *c, uint64_t first, uint64_t last, bool drop,
                    struct node_dlq_result *result, struct err *err)
{
    struct dlq_call d = {0};

    call_init(&d.call);
    node_dlq_discard(c, NULL, 0, first, last, drop, on_dlq, &d);
    return dlq_end(&d, result, err);
}

status ndlq_export(struct collection *c, uint64_t id, struct buf *out, struct err *err)
{
    struct dlq_call d = {.text = out};

    call_init(&d.call);
    node_dlq_export(c, id, on_export, &d);
    return dlq_end(&d, NULL, err);
}

size_t nletter(struct collection *c, size_t n, struct letter *out)
{
    const struct dlq_filter filter = {.collection = c->id};
    struct letter all[16];
    size_t total = 0;
    size_t got = dlq_list(c->node->dlq, &filter, 0, all, COUNT_OF(all), &total);

    if (n < got)
        *out = all[n];
    return total;
}

void nwipe_bucket(struct nworld *w)
{
    for (;;) {
        struct objstore_req list = {.op = OBJSTORE_LIST, .key = ""};
        size_t found;

        assert_int_equal(objstore_wait(w->bucket, &list, NULL), ST_OK);
        found = list.result.entry_count;
        for (size_t i = 0; i < found; i++) {
            struct objstore_req remove = {.op = OBJSTORE_DELETE, .key = list.result.entries[i].key};

            assert_int_equal(objstore_wait(w->bucket, &remove, NULL), ST_OK);
            objstore_result_fini(&remove.result);
        }
        objstore_result_fini(&list.result);
        if (found == 0)
            return;
    }
}

void nversions(struct collection *c, uint32_t *out, size_t count)
{
    for (size_t id = 1; id < count; id++)
        out[id] = nversion(c, id);
}

/* --- documents --- */

struct collection *nmake(struct nworld *w, const char *name, enum node_durability durability)
{
    struct err err = {0};

    if (ncreate_s3(w, name, NDIM, durability, &err) != ST_OK)
        fail_msg("create: %s", err.text);
    return npin(w, name);
}

void nput_range(struct collection *c, uint64_t first, uint64_t last, uint32_t version)
{
    struct err err = {0};

    for (uint64_t id = first; id <= last; id++) {
        if (nput(c, id, version, &err) != ST_OK)
            fail_msg("put %llu: %s", (unsigned long long)id, err.text);
    }
}

void nput_batch(struct collection *c, uint64_t first, uint64_t last, uint32_t version)
{
    size_t count = (size_t)(last - first + 1);
    struct write_row *rows = mem_zero_array(count, sizeof *rows);
    float *vectors = mem_alloc_array(count * NDIM, sizeof *vectors);
    struct buf payload;

    assert_true(rows != NULL && vectors != NULL);
    npayload(version, &payload);
    for (size_t i = 0; i < count; i++) {
        nvector(first + i, version, NDIM, vectors + i * NDIM);
        rows[i] = (struct write_row){.id = docid_u64(first + i),
                                     .vector = vectors + i * NDIM,
                                     .payload = buf_slice(&payload)};
    }
    assert_int_equal(nwrite(c, rows, count, NULL, NULL), ST_OK);
    buf_free(&payload);
    mem_free(vectors);
    mem_free(rows);
}

void nhas_range(struct collection *c, uint64_t first, uint64_t last, uint32_t version)
{
    for (uint64_t id = first; id <= last; id++)
        assert_int_equal(nversion(c, id), version);
}

/* --- how it stands --- */

bool nconfirmed(struct collection *c)
{
    struct bucket_marks marks;

    ship_marks(c, &marks);
    return marks.hint_lsn >= ninfo(c).last_lsn;
}

bool nstate_is(struct nworld *w, const char *name, const char *state)
{
    struct collection *c = node_collection_pin(w->node, name, strlen(name));
    bool is = c != NULL && strcmp(ninfo(c).state, state) == 0;

    node_collection_unpin(c);
    return is;
}

/* Writes are told a moment after the phase is shown. */
static bool writers_know(struct collection *c, const char *phase)
{
    bool fenced;

    lock_take(&c->seq.lock);
    fenced = c->seq.fenced;
    lock_drop(&c->seq.lock);
    if (strcmp(phase, "owned") == 0)
        return !fenced;
    return fenced || (strcmp(phase, "fenced") != 0 && strcmp(phase, "foreign") != 0);
}

bool nphase_is(struct nworld *w, const char *name, const char *phase)
{
    struct collection *c = node_collection_pin(w->node, name, strlen(name));
    bool is = c != NULL && strcmp(ninfo(c).phase, phase) == 0 &&
              strcmp(ninfo(c).state, "loading") != 0 && writers_know(c, phase);

    node_collection_unpin(c);
    return is;
}

unsigned nfault(struct nworld *w, struct objstore_fault f)
{
    unsigned id = 0;

    assert_int_equal(objstore_faults_add(w->bucket, &f, &id, NULL), ST_OK);
    return id;
}

status ndiscard_all(struct collection *c, bool drop, struct err *err)
{
    struct node_dlq_result result = {0};
    status st = ndlq_discard(c, 0, 0, drop, &result, err);

    return st == ST_CONFLICT ? ndlq_discard(c, result.lsn_first, result.lsn_last, drop, NULL, err)
                             : st;
}

status nrepublish(struct collection *c, struct err *err)
{
    struct call call;

    call_init(&call);
    node_republish(c, call_admin_done, &call);
    call_wait(&call);
    *err = call.err;
    return call.st;
}

void nchange_catalog(struct nworld *w, void (*change)(struct catalog *, void *), void *arg)
{
    struct objstore_req get = {.op = OBJSTORE_GET, .key = OBJKEY_CATALOG};
    struct objstore_req put = {.op = OBJSTORE_PUT, .key = OBJKEY_CATALOG};
    struct catalog catalog;
    struct buf bytes;

    assert_int_equal(objstore_wait(w->bucket, &get, NULL), ST_OK);
    assert_int_equal(catalog_decode(buf_slice(&get.result.body), &catalog, NULL), ST_OK);
    objstore_result_fini(&get.result);
    change(&catalog, arg);
    catalog.revision++;
    w->rand.source.fill(&w->rand.source, catalog.nonce, sizeof catalog.nonce);
    buf_init(&bytes, CATALOG_BYTES_MAX);
    assert_int_equal(catalog_encode(&catalog, &bytes, NULL), ST_OK);
    put.body = buf_slice(&bytes);
    assert_int_equal(objstore_wait(w->bucket, &put, NULL), ST_OK);
    objstore_result_fini(&put.result);
    buf_free(&bytes);
    catalog_free(&catalog);
}
