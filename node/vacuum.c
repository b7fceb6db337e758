/* The bucket is cleared of what no owner collects: by command, on the operator thread, a collection
 * or a batch at a time, so that what else operators ask for goes in between (snapshot/vacuum.h). */
#include "snapshot/vacuum.h"
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdatomic.h>
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
    struct node_vacuum_item items[VACUUM_ITEMS_MAX];
    node_vacuum_fn *done;
    void *arg;
};

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

static void show(struct vacuum_job *job, struct node_vacuum_result *out)
{
    const struct vacuum_report *r = &job->v.report;

    for (size_t i = 0; i < r->item_count; i++) {
        const struct vacuum_item *from = &r->items[i];

        job->items[i] = (struct node_vacuum_item){.fate = vacuum_fate_name(from->fate),
                                                  .objects = from->objects,
                                                  .bytes = from->bytes,
                                                  .pins = from->pins};
        uuid_format(from->id, job->items[i].collection_id);
    }
    *out = (struct node_vacuum_result){.dry_run = job->v.options.dry_run,
                                       .served = r->served,
                                       .goes = amount(&r->goes),
                                       .waits = amount(&r->waits),
                                       .unknown = amount(&r->unknown),
                                       .pins = r->pins,
                                       .marked = r->marked,
                                       .failed = r->failed,
                                       .probe_objects = r->probe_objects,
                                       .probe_bytes = r->probe_bytes,
                                       .deleted = r->deleted,
                                       .text = r->text,
                                       .items = job->items,
                                       .item_count = r->item_count,
                                       .more_items = r->more_items};
}

static void finish(struct vacuum_job *job, status st, struct err *err)
{
    struct node *node = job->node;
    struct node_vacuum_result result;

    show(job, &result);
    stats_add(node->collect_objects, result.deleted);
    if (st == ST_OK && !result.dry_run)
        stats_add(node->collect_bytes, result.goes.bytes + result.probe_bytes);
    if (result.deleted > 0 || result.marked > 0)
        log_info("the bucket was vacuumed",
                 "objects=%" PRIu64 " collections=%" PRIu64 " marked=%" PRIu64 " failed=%" PRIu64,
                 result.deleted, result.goes.collections, result.marked, result.failed);
    if (st != ST_OK && result.deleted > 0)
        (void)err_wrap(err, st, "%" PRIu64 " objects were deleted before it ended", result.deleted);
    atomic_store(&node->vacuuming, false);
    job->done(job->arg, st, st == ST_OK ? &result : NULL, err);
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

void node_vacuum(struct node *node, bool dry_run, node_vacuum_fn *done, void *arg)
{
    struct vacuum_job *job = mem_zero(sizeof *job);
    struct vacuum_options options;
    struct err err = {0};
    bool running = false;
    status st = job == NULL ? err_set(&err, ST_NOMEM, "out of memory") : check(node, dry_run, &err);

    if (st == ST_OK && !atomic_compare_exchange_strong(&node->vacuuming, &running, true))
        st = err_set(&err, ST_CONFLICT, "a vacuum is under way; ask again when it has ended");
    if (st != ST_OK) {
        mem_free(job);
        done(arg, st, NULL, &err);
        return;
    }
    job->job.run = run_vacuum;
    job->node = node;
    job->done = done;
    job->arg = arg;
    catalog_init(&job->catalog);
    options = options_of(job, dry_run);
    vacuum_init(&job->v, &options);
    if (!jobs_push(&node->operator, & job->job))
        finish(job, err_set(&err, ST_UNAVAILABLE, "the node is stopping"), &err);
}
