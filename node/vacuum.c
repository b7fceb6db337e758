/* The bucket is cleared of what no owner collects: by command, on the operator thread, a collection
 * or a batch at a time, so that what else operators ask for goes in between (snapshot/vacuum.h). */
#include "snapshot/vacuum.h"
#include "node/node_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    VACUUM_TRIES_HARD = 2, /* of what may be permanent */
    VACUUM_GIVE_UP_MS = 20000,
};

struct vacuum_job {
    struct meta_job job;
    struct node *node;
    struct vacuum v;
    struct catalog catalog; /* the bucket's, as it was read last */
    char etag[OBJSTORE_ETAG_BYTES];
};
static_assert((int)NODE_VACUUM_ITEMS_MAX == (int)VACUUM_ITEMS_MAX, "node/bucket.h");

/* --- which collections there are --- */

static status read_catalog(struct vacuum_job *job, struct err *err)
{
    struct objstore_req req = {.op = OBJSTORE_GET,
                               .pool = OBJSTORE_LOG,
                               .key = OBJKEY_CATALOG,
                               .bytes_max = CATALOG_BYTES_MAX,
                               .condition =
                                   job->etag[0] == '\0' ? OBJSTORE_ALWAYS : OBJSTORE_IF_CHANGED,
                               .etag = job->etag};
    struct ask_tries tries = {0};
    status st = ask_send(&job->v.options.ask, &req, &tries, err);

    if (st == ST_OK && req.result.class != OBJSTORE_NOT_MODIFIED) {
        catalog_free(&job->catalog);
        st = catalog_decode(buf_slice(&req.result.body), &job->catalog, err);
        if (st == ST_OK)
            memcpy(job->etag, req.result.etag, sizeof job->etag);
        else
            catalog_init(&job->catalog);
    } else if (st == ST_NOT_FOUND) {
        st = err_set(err, ST_DENIED,
                     "the bucket has no %s, so nobody knows which of its collections are needed",
                     OBJKEY_CATALOG);
    }
    objstore_result_fini(&req.result);
    return st == ST_OK || st == ST_DENIED ? st : err_wrap(err, st, "the bucket's catalog");
}

static bool is_here(struct node *node, const uint8_t id[16])
{
    struct collection *c = node_collection_pin_id(node, id);

    node_collection_unpin(c);
    return c != NULL;
}

static status known(void *arg, const uint8_t id[16], enum vacuum_known *out, struct err *err)
{
    struct vacuum_job *job = arg;
    status st = read_catalog(job, err);

    *out = VACUUM_SERVED;
    if (st != ST_OK || is_here(job->node, id) || catalog_find_id(&job->catalog, id) != NULL)
        return st;
    *out = bucket_dropped(&job->catalog, id) ? VACUUM_DROPPED : VACUUM_NOT_KNOWN;
    return ST_OK;
}

/* --- what is told --- */

static struct node_vacuum_amount amount(const struct vacuum_amount *a)
{
    return (struct node_vacuum_amount){a->collections, a->objects, a->bytes};
}

static void show_locked(const struct vacuum_job *job, struct node_vacuum *out)
{
    const struct vacuum_report *r = &job->v.report;

    for (size_t i = out->item_count; i < r->item_count; i++) {
        const struct vacuum_item *from = &r->items[i];

        out->items[i] = (struct node_vacuum_item){.fate = vacuum_fate_name(from->fate),
                                                  .objects = from->objects,
                                                  .bytes = from->bytes,
                                                  .pins = from->pins};
        uuid_format(from->id, out->items[i].collection_id);
    }
    out->item_count = r->item_count;
    out->more_items = r->more_items;
    out->served = r->served;
    out->goes = amount(&r->goes);
    out->waits = amount(&r->waits);
    out->unknown = amount(&r->unknown);
    out->pins = r->pins;
    out->marked = r->marked;
    out->failed = r->failed;
    out->probe_objects = r->probe_objects;
    out->probe_bytes = r->probe_bytes;
    out->deleted = r->deleted;
    (void)snprintf(out->trouble, sizeof out->trouble, "%s", r->text);
}

static void show(struct vacuum_job *job)
{
    lock_take(&job->node->bucket.lock);
    show_locked(job, job->node->bucket.vacuum);
    lock_drop(&job->node->bucket.lock);
}

bool node_vacuum_shown(struct node *node, struct node_vacuum *out)
{
    bool any;

    lock_take(&node->bucket.lock);
    any = node->bucket.vacuum != NULL;
    if (any)
        *out = *node->bucket.vacuum;
    lock_drop(&node->bucket.lock);
    return any;
}

static void say(const struct vacuum_job *job, status st, const struct err *err)
{
    const struct vacuum_report *r = &job->v.report;

    if (r->deleted > 0 || r->marked > 0)
        log_info("the bucket was vacuumed",
                 "objects=%" PRIu64 " collections=%" PRIu64 " marked=%" PRIu64 " failed=%" PRIu64,
                 r->deleted, r->goes.collections, r->marked, r->failed);
    if (st != ST_OK)
        log_warn("a vacuum of the bucket ended early", "objects=%" PRIu64 " err=%s", r->deleted,
                 err->text);
}

static void finish(struct vacuum_job *job, status st, const struct err *err)
{
    struct node *node = job->node;
    const struct vacuum_report *r = &job->v.report;
    struct node_vacuum *shown = node->bucket.vacuum;

    stats_add(node->collect_objects, r->deleted);
    if (st == ST_OK && !job->v.options.dry_run)
        stats_add(node->collect_bytes, r->goes.bytes + r->probe_bytes);
    say(job, st, err);
    lock_take(&node->bucket.lock);
    show_locked(job, shown);
    shown->st = st;
    (void)snprintf(shown->error, sizeof shown->error, "%.319s", st == ST_OK ? "" : err->text);
    shown->ended_at_ns = clock_wall_ns(node->options.clock);
    shown->running = false;
    lock_drop(&node->bucket.lock);
    catalog_free(&job->catalog);
    vacuum_fini(&job->v);
    mem_free(job);
}

static void run_vacuum(struct meta_job *base)
{
    struct vacuum_job *job = (struct vacuum_job *)(void *)base;
    bool more = false;
    struct err err = {0};
    status st = job->v.options.dry_run ? ST_OK : node_check_writable(job->node, &err);

    if (st == ST_OK)
        st = vacuum_turn(&job->v, &more, &err);
    if (st == ST_OK && more) {
        show(job);
        if (jobs_push(&job->node->operator, & job->job))
            return;
        st = err_set(&err, ST_UNAVAILABLE, "the node is stopping");
    }
    finish(job, st, &err);
}

/* --- asked for --- */

static status check(struct node *node, bool dry_run, struct err *err)
{
    status st;

    if (node->tier == NULL)
        return err_set(err, ST_INVALID, "this node has no bucket");
    if (dry_run)
        return ST_OK;
    st = node_check_writable(node, err);
    if (st == ST_OK && node->options.keep_versions == 0)
        st = err_set(err, ST_INVALID,
                     "[storage.retention] keep_versions = 0: nothing is deleted from the bucket; a "
                     "dry run tells what would be");
    return st == ST_OK ? bucket_check_refused(node, err) : st;
}

static struct vacuum_options options_of(struct vacuum_job *job, bool dry_run)
{
    const struct node_options *o = &job->node->options;

    return (struct vacuum_options){
        .ask = {.store = o->store,
                .clock = o->clock,
                .rand = o->rand,
                .stop = &job->node->stopping,
                .policy = objstore_retry_background(100, 2000, VACUUM_TRIES_HARD),
                .give_up_ms = VACUUM_GIVE_UP_MS},
        .keep_dropped_ms = o->keep_ms > o->grace_ms ? o->keep_ms : o->grace_ms,
        .dry_run = dry_run,
        .known = known,
        .arg = job,
    };
}

/* Its place is made once and stays: who asks copies it. */
static status take_turn(struct node *node, bool dry_run, struct err *err)
{
    struct node_vacuum *fresh = mem_zero(sizeof *fresh);
    status st = ST_OK;

    if (fresh == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    fresh->running = true;
    fresh->dry_run = dry_run;
    fresh->started_at_ns = clock_wall_ns(node->options.clock);
    lock_take(&node->bucket.lock);
    if (node->bucket.vacuum == NULL) {
        node->bucket.vacuum = fresh;
        fresh = NULL;
    } else if (node->bucket.vacuum->running) {
        st = err_set(err, ST_CONFLICT, "a vacuum is under way; ask again when it has ended");
    } else {
        *node->bucket.vacuum = *fresh;
    }
    lock_drop(&node->bucket.lock);
    mem_free(fresh);
    return st;
}

status node_vacuum(struct node *node, bool dry_run, struct err *err)
{
    struct vacuum_job *job = mem_zero(sizeof *job);
    struct vacuum_options options;
    struct err stopping = {0};
    status st = job == NULL ? err_set(err, ST_NOMEM, "out of memory") : check(node, dry_run, err);

    if (st == ST_OK)
        st = take_turn(node, dry_run, err);
    if (st != ST_OK) {
        mem_free(job);
        return st;
    }
    job->job.run = run_vacuum;
    job->node = node;
    catalog_init(&job->catalog);
    options = options_of(job, dry_run);
    vacuum_init(&job->v, &options);
    if (!jobs_push(&node->operator, & job->job))
        finish(job, err_set(&stopping, ST_UNAVAILABLE, "the node is stopping"), &stopping);
    return ST_OK;
}
