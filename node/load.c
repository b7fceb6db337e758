/* Collections that come from the bucket: those its catalog has and this node has not, those whose
 * local files are gone, and those whose local log turned out not to be the bucket's.
 *
 *   rows from the bucket, in RAM
 *   intent            whatever is found of it at a start goes, and it is loaded again
 *   log               what was there goes, it begins behind the last record that was read: queries
 *                     are answered from here on
 *   checkpoint        now everything is on the local disk too
 *   catalog           (of one that is new here)
 *   intent out, stream open: writes are taken
 *
 * Nothing is acknowledged before the intent is out, so a crash anywhere loses nothing. */
#include "node/cold_internal.h"
#include "node/fields.h"
#include "snapshot/restore_rows.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

enum { LOAD_AGAIN_MS = 1000 };

/* --- intents --- */

enum { INTENT_KIND_BYTES_MAX = 16 };

static struct slice intent_name(const char *kind, const uint8_t id[16],
                                uint8_t key[INTENT_KIND_BYTES_MAX + 16])
{
    size_t n = strlen(kind);

    memcpy(key, kind, n);
    memcpy(key + n, id, 16);
    return slice_make(key, n + 16);
}

status intent_write(struct node *node, const char *kind, const uint8_t id[16], struct err *err)
{
    uint8_t key[INTENT_KIND_BYTES_MAX + 16];
    const struct kv_write write = {.key = intent_name(kind, id, key), .value = slice_text("1")};

    return kv_writer_apply(node->kv_writer, &write, 1, err);
}

status intent_clear(struct node *node, const char *kind, const uint8_t id[16], struct err *err)
{
    uint8_t key[INTENT_KIND_BYTES_MAX + 16];
    const struct kv_write write = {.key = intent_name(kind, id, key), .remove = true};

    return kv_writer_apply(node->kv_writer, &write, 1, err);
}

bool intent_stands(struct node *node, const char *kind, const uint8_t id[16])
{
    uint8_t key[INTENT_KIND_BYTES_MAX + 16];
    struct buf value;
    status st;

    buf_init(&value, 16);
    st = kv_get(node->kv, intent_name(kind, id, key), &value, NULL);
    buf_free(&value);
    return st == ST_OK || st == ST_CORRUPT; /* the key alone says it */
}

static status load_intend(struct node *node, const uint8_t id[16], struct err *err)
{
    return intent_write(node, LOAD_INTENT, id, err);
}

bool load_intended(struct node *node, const uint8_t id[16])
{
    return intent_stands(node, LOAD_INTENT, id);
}

/* --- steps of other threads --- */

static status do_checkpoint(void *arg, struct err *err)
{
    struct load_job *load = arg;

    return checkpoint_run(load->c, &load->node->stopping, err);
}

static status do_adopt(void *arg, struct err *err)
{
    struct load_job *load = arg;
    struct node *node = load->node;
    struct catalog next;
    status st;

    catalog_init(&next);
    st = catalog_copy(&node->catalog, &next, err);
    if (st == ST_OK)
        st = catalog_add_collection(&next, &load->entry, err);
    if (st == ST_OK)
        st = alias_adopt(node, load->entry.id, &next, err);
    if (st == ST_OK)
        st = catalog_store_write(node, &next, err);
    catalog_free(&next);
    return st;
}

/* --- the rows --- */

struct reading {
    struct collection *c;
    const struct load_terms *terms;
};

static void on_reclaim(void *arg)
{
    reclaim_wait(((struct reading *)arg)->c->node);
}

static status on_record(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    const struct reading *reading = arg;
    const struct load_terms *terms = reading->terms;
    status st = ST_OK;

    if (terms->on_record != NULL)
        st = terms->on_record(terms->arg, lsn, payload, err);
    return st == ST_OK ? cold_spool_put(reading->c, lsn, payload, err) : st;
}

static status on_delete(void *arg, uint64_t lsn, const struct docid *id, struct err *err)
{
    struct collection *c = ((struct reading *)arg)->c;

    return cold_is(c) ? tombstones_replay(c, lsn, id, err) : ST_OK;
}

/* Rows that are in cold segments stay there: what the log has behind them is the head, and goes
 * into the local log. With base segments, before its first fold, it is loaded as any collection is.
 */
static status read_as_head(struct collection *c, const struct restore_plan *plan, struct err *err)
{
    const struct manifest *m = &plan->manifest;
    uint64_t floor = plan->has_manifest ? m->floor.lsn : plan->root.floor.lsn;
    struct cold *cold = c->cold;

    tombstones_give_up(c, UINT64_MAX);
    cold_spool_drop(c);
    cold->given_up_lsn = 0;
    cold->committed = 0;
    cold->loaded_floor = plan->has_manifest && m->cold_count > 0 ? floor : 0;
    atomic_store(&cold->checkpoint, true);
    if (cold_is(c))
        cold_await(c);
    if (!cold_is(c) || (plan->has_manifest && m->segment_count > 0))
        return ST_OK;
    atomic_store(&cold->checkpoint, false);
    cold->given_up_lsn = floor;
    cold->committed = floor;
    cold->loaded_floor = floor;
    return cold_spool_begin(c, floor, err);
}

static status check_root(const struct root *root, struct err *err)
{
    if (root->state == ROOT_LIVE)
        return ST_OK;
    return err_set(err, ST_DENIED,
                   root->state == ROOT_SWITCHING
                       ? "it is not yet restorable: its rows were on their way to the bucket when "
                         "its owner was last seen. What lies on the local disk is kept"
                       : "the bucket says that it was dropped. What lies on the local disk is "
                         "kept");
}

status load_read_rows(struct collection *c, const struct load_terms *terms,
                      struct restore_into_report *report, char owner[ROOT_NODE_ID_BYTES],
                      struct err *err)
{
    struct node *node = c->node;
    struct reading reading = {.c = c, .terms = terms};
    struct checkpoint_field fields[NODE_FIELDS_MAX];
    struct restore_options options = {
        .store = node->options.store,
        .clock = node->options.clock,
        .rand = node->options.rand,
        .stop = &node->stopping,
        .without_image = terms->without_image,
        .give_up_ms = terms->give_up_ms,
    };
    const struct restore_rows rows = {
        .slots = c->slots,
        .fields = fields,
        .field_count = fields_list(c, fields),
        .epoch = node->epoch,
        .reclaim = on_reclaim,
        .on_record = on_record,
        .on_delete = on_delete,
        .arg = &reading,
    };
    struct restore_plan plan = {0};
    status st;

    memcpy(options.collection, c->id, sizeof options.collection);
    st = restore_plan_read(&options, &plan, err);
    if (st == ST_OK)
        st = check_root(&plan.root, err);
    if (st == ST_OK) {
        memcpy(owner, plan.root.node_id, ROOT_NODE_ID_BYTES);
        st = read_as_head(c, &plan, err);
    }
    if (st == ST_OK) {
        options.without_colds = cold_is(c);
        st = restore_into(&options, &plan, &rows, report, err);
    }
    restore_plan_free(&plan);
    return st;
}

/* Everything is on the local disk, then it may be written to. */
static status settle_here(struct load_job *load, struct err *err)
{
    status st = ship_store_marks(load->c, err);

    if (st == ST_OK && atomic_load(&load->c->cold->checkpoint))
        st = jobs_run(&load->node->upkeep, do_checkpoint, load, err);
    if (st == ST_OK && load->adopt)
        st = jobs_run(&load->node->meta, do_adopt, load, err);
    if (st == ST_OK && load->adopt) /* for what changed there meanwhile */
        atomic_store(&load->node->sync_wanted, true);
    return st == ST_OK ? intent_clear(load->node, LOAD_INTENT, load->c->id, err) : st;
}

static bool worth_another_try(const struct load_job *load, status st)
{
    return !atomic_load(&load->node->stopping) &&
           (status_is_transient(st) || st == ST_IO || st == ST_UNAVAILABLE);
}

static void tell_waiting(struct collection *c, const char *what, const struct err *err)
{
    char reason[256];

    (void)snprintf(reason, sizeof reason, "it waits for %s: %.200s", what, err->text);
    collection_set_state(c, COLLECTION_LOADING, reason);
    log_warn("loading from the bucket is tried again", "collection_id=%s err=%s", c->id_text,
             err->text);
}

static status read_with_patience(struct load_job *load, struct restore_into_report *report,
                                 char owner[ROOT_NODE_ID_BYTES], struct err *err)
{
    bool without_image = false;

    for (;;) {
        const struct load_terms terms = {.without_image = without_image};
        status st = load_read_rows(load->c, &terms, report, owner, err);

        if (st == ST_CORRUPT && !without_image) {
            /* No row rests on the image. What is wrong with anything else is so the second time
             * too. */
            without_image = true;
            log_error("the bucket's collection is damaged; it is read again without its graph",
                      "collection_id=%s err=%s", load->c->id_text, err->text);
            if (collection_rows_renew(load->c, err) != ST_OK)
                return ST_NOMEM;
            continue;
        }
        if (st == ST_OK || !worth_another_try(load, st) || st == ST_NOSPACE)
            return st;
        tell_waiting(load->c, "the bucket", err);
        bucket_pause(load->node, NODE_BUCKET_RETRY_MS);
        if (collection_rows_renew(load->c, err) != ST_OK)
            return ST_NOMEM;
    }
}

/* A tail that a healing had kept goes back to where it was, behind what came from the bucket. */
static status load_open_log(struct collection *c, uint64_t lsn, struct err *err)
{
    uint64_t floor;
    bool spooled = cold_spool_floor(c, &floor);
    status st = collection_open_log_at(c, spooled ? floor : lsn, err);

    if (st == ST_OK && spooled)
        st = cold_spool_append(c, lsn, err);
    if (st == ST_OK)
        st = heal_tail_append(c, lsn, err);
    if (st != ST_OK)
        collection_close_log(c);
    return st;
}

/* What was here goes only now that all of the bucket's is read: until then it may be all there is.
 */
static status begin_log(struct load_job *load, uint64_t lsn, struct err *err)
{
    struct collection *c = load->c;
    status st = load_intend(load->node, c->id, err);

    if (st == ST_OK && heal_intended(load->node, c->id))
        st = heal_move_aside(load->node, c, err);
    else if (st == ST_OK)
        st = remove_files(load->node, c->id_text, err);
    return st == ST_OK ? load_open_log(c, lsn, err) : st;
}

status load_begin_log(struct load_job *load, uint64_t lsn, struct err *err)
{
    status st;

    while ((st = begin_log(load, lsn, err)) != ST_OK && worth_another_try(load, st)) {
        tell_waiting(load->c, "its disk", err);
        bucket_pause(load->node, NODE_BUCKET_RETRY_MS);
    }
    return st;
}

static void serve(struct load_job *load, const struct restore_report *report)
{
    struct collection *c = load->c;

    atomic_store(&c->checkpoint_mono_ns, clock_mono_ns(c->node->options.clock));
    ship_refuse_writes(c,
                       "it comes from the bucket and is being written to the local disk; reads are "
                       "served, writes are taken in a moment");
    collection_set_state(c, COLLECTION_SERVING, NULL);
    if (fields_to_link(c) > 0)
        linkers_want(c);
    log_info("collection loaded from the bucket",
             "collection_id=%s documents=%u last_lsn=%" PRIu64 " objects=%" PRIu64 " bytes=%" PRIu64
             " image=%s",
             c->id_text, slots_live_count(c->slots), report->last_lsn, report->objects,
             report->bytes, report->used_image ? "true" : "false");
}

/* What the stream will go on from. */
static void note_marks(struct load_job *load, const struct restore_into_report *into,
                       const char *owner)
{
    struct collection *c = load->c;
    const struct restore_report *report = &into->bucket;
    const struct bucket_marks marks = {.hint_lsn = report->last_lsn,
                                       .hint_chain = report->chain,
                                       .hint_loaded = true,
                                       .log_bytes = report->log_bytes,
                                       .segment_bytes = report->segment_bytes,
                                       .image_lsn = report->image_lsn,
                                       .cold_floor = c->cold->loaded_floor,
                                       .image_rows = into->nodes,
                                       .changed_rows =
                                           into->live > into->nodes ? into->live - into->nodes : 0,
                                       .foreign = strcmp(owner, c->node->owner_id) != 0};

    ship_set_marks(c, &marks);
}

static void open_stream(struct load_job *load)
{
    struct err err = {0};

    if (ship_open(load->c, &err) != ST_OK) /* it takes writes, or says why not */
        ship_refuse_writes(load->c, err.text);
}

static void fail_load(struct load_job *load, const struct err *err)
{
    struct collection *c = load->c;
    char reason[256];

    (void)snprintf(reason, sizeof reason, "from the bucket: %.230s", err->text);
    log_error("collection could not be loaded from the bucket",
              "collection_id=%s times=%" PRIu32 " err=%s", c->id_text, load->failures + 1,
              err->text);
    collection_rows_drop(c);
    collection_set_state(c, COLLECTION_FAILED, reason);
    atomic_store(&c->arriving, false);
    if (load->failures++ == 0)
        atomic_fetch_sub(&c->node->loading, 1);
}

/* false: it failed. */
static bool load_one(struct load_job *load)
{
    struct collection *c = load->c;
    struct restore_into_report report = {0};
    char owner[ROOT_NODE_ID_BYTES] = "";
    struct err err = {0};
    status st;

    atomic_store(&c->arriving, true);
    if (load->again) /* however it comes about, it does not come about all the time */
        bucket_pause(load->node, LOAD_AGAIN_MS);
    st = load->failures > 0 ? collection_rows_renew(c, &err) : ST_OK;
    if (st == ST_OK)
        st = read_with_patience(load, &report, owner, &err);
    if (st == ST_OK)
        st = load_begin_log(load, report.bucket.last_lsn, &err);
    if (st != ST_OK)
        fail_load(load, &err);
    else
        load_finish(load, &report, owner);
    return st == ST_OK;
}

void load_finish(struct load_job *load, const struct restore_into_report *report, const char *owner)
{
    struct collection *c = load->c;
    struct err err = {0};
    status st;

    cold_spool_drop(c);
    cold_count_head(c, report->bucket.log_bytes);
    serve(load, &report->bucket);
    if (!load->heals && load->failures == 0)
        atomic_fetch_sub(&c->node->loading, 1);
    note_marks(load, report, owner);
    while ((st = settle_here(load, &err)) != ST_OK && worth_another_try(load, st)) {
        ship_refuse_writes(c, err.text);
        bucket_pause(load->node, NODE_BUCKET_RETRY_MS);
    }
    if (st == ST_OK)
        open_stream(load);
    else
        ship_refuse_writes(c, err.text);
    atomic_store(&c->arriving, st != ST_OK);
}

void load_end(struct load_job *load)
{
    node_collection_unpin(load->c);
    if (load->adopt)
        catalog_collection_free(&load->entry);
    mem_free(load);
}

void load_run(struct load_job *load)
{
    bool loaded;

    log_context_set(NULL, load->c->id_text);
    loaded = load_one(load);
    log_context_set(NULL, NULL);
    atomic_store(&load->c->in_load, false);
    if (loaded || atomic_load(&load->node->stopping))
        load_end(load);
    else
        load_later(load);
}

static void run_load(struct meta_job *base)
{
    load_run((struct load_job *)(void *)base);
}

void load_loop(void *arg)
{
    struct node *node = arg;
    bool stopped = false;

    while (!stopped) {
        struct meta_job *job = jobs_wait(&node->load, load_later_wait_ns(node), &stopped);

        if (job != NULL)
            job->run(job);
        load_later_run(node);
    }
    load_later_end(node);
}

/* --- who asks for it --- */

/* Takes one pin of c over; it is counted as loading already. */
static status queue_load(struct node *node, struct collection *c,
                         const struct catalog_collection *entry, bool again, struct err *err)
{
    struct load_job *load = mem_zero(sizeof *load);
    status st = ST_OK;

    if (load == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    load->job.run = run_load;
    load->node = node;
    load->c = c;
    atomic_store(&c->in_load, true);
    atomic_store(&c->arriving, true);
    load->adopt = entry != NULL;
    load->again = again;
    if (entry != NULL)
        st = catalog_collection_copy(entry, &load->entry, err);
    if (st == ST_OK && !jobs_push(&node->load, &load->job)) {
        st = err_set(err, ST_UNAVAILABLE, "the node is stopping");
        if (load->adopt)
            catalog_collection_free(&load->entry);
    }
    if (st != ST_OK) {
        atomic_store(&c->arriving, false);
        atomic_store(&c->in_load, false);
        mem_free(load);
    }
    return st;
}

void load_count(struct node *node)
{
    atomic_fetch_add(&node->loading, 1);
    atomic_fetch_add(&node->loaded_total, 1);
}

status load_from_bucket(struct node *node, const struct catalog_collection *entry, struct err *err)
{
    struct collection *c = node_collection_pin_id(node, entry->id);
    status st;

    if (c != NULL) { /* on its way already */
        node_collection_unpin(c);
        return ST_OK;
    }
    st = collection_create(node, entry, &c, err);
    if (st != ST_OK)
        return st;
    collection_pin(c);
    table_add(node, c);
    load_count(node);
    st = queue_load(node, c, entry, false, err);
    if (st != ST_OK) {
        collection_set_state(c, COLLECTION_FAILED, err == NULL ? "" : err->text);
        atomic_fetch_sub(&node->loading, 1);
        node_collection_unpin(c);
    }
    return st;
}

/* From a recover thread: c is in the table and counted. */
status load_again(struct collection *c, bool again, struct err *err)
{
    status st;

    collection_pin(c);
    st = queue_load(c->node, c, NULL, again, err);
    if (st != ST_OK)
        node_collection_unpin(c);
    return st;
}
