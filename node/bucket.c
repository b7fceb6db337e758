/* Snapshots and compaction by command, ownership by command, and the breaker. What waits for the
 * network runs on the publish thread. */
#include "node/cold.h"
#include "node/fields.h"
#include "snapshot/pin.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

enum {
    PIN_TRIES = 3,  /* of what may be permanent */
    PIN_ROUNDS = 3, /* a collector may have passed what is pinned */
    PIN_BACKOFF_MS = 500,
    PIN_BACKOFF_MAX_MS = 2000,
    PIN_GIVE_UP_MS = 10000, /* somebody waits */
};

const char *node_durability_name(enum node_durability d)
{
    return d == NODE_REMOTE ? "remote" : "local";
}

bool node_durability_parse(const char *text, enum node_durability *out)
{
    if (strcmp(text, "local") == 0)
        *out = NODE_LOCAL;
    else if (strcmp(text, "remote") == 0)
        *out = NODE_REMOTE;
    else
        return false;
    return true;
}

struct dlq *node_dlq(struct node *node)
{
    return node->dlq;
}

/* --- snapshot and compact --- */

struct snapshot_job {
    struct meta_job job;
    struct collection *c; /* pinned */
    char name[PIN_NAME_BYTES];
    bool compact;
    bool anew;
    node_snapshot_fn *done;
    void *arg;
    struct node_snapshot_result result;
};

static void snapshot_end(struct snapshot_job *job, status st, const struct err *err)
{
    struct collection *c = job->c;

    job->result.checkpoint_lsn = atomic_load(&c->snapshot_lsn);
    job->result.checkpoint_bytes = atomic_load(&c->checkpoint_bytes);
    job->result.checkpoint_at_ns = atomic_load(&c->checkpoint_wall_ns);
    if (job->result.lsn == 0)
        job->result.lsn = job->result.checkpoint_lsn;
    job->done(job->arg, st, st == ST_OK ? &job->result : NULL, err);
    node_collection_unpin(c);
    mem_free(job);
}

/* What the bucket has of the collection now. */
static status make_pin(struct snapshot_job *job, struct pin *pin, struct err *err)
{
    struct collection *c = job->c;
    struct tier_stream_status s;
    struct root *root = mem_alloc(sizeof *root);

    if (root == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    if (!ship_status(c, &s) || !publish_root(c, root)) {
        mem_free(root);
        return err_set(err, ST_UNAVAILABLE, "the collection is not open");
    }
    *pin = (struct pin){.created_at_ns = clock_wall_ns(c->node->options.clock),
                        .lsn = job->result.lsn,
                        .root_revision = root->revision,
                        .manifest_revision = root->manifest_revision,
                        .manifest = root->manifest};
    memcpy(pin->collection, c->id, sizeof pin->collection);
    uuid_make_v4(c->node->options.rand, pin->id);
    (void)snprintf(pin->name, sizeof pin->name, "%s", job->name);
    if (s.shipped.seq > 1) {
        pin->epoch = s.shipped.epoch;
        pin->seq = s.shipped.seq - 1;
    } else if (root->lineage_count > 0) { /* none in this epoch yet: the last one before it */
        pin->epoch = root->lineages[root->lineage_count - 1].epoch;
        pin->seq = root->lineages[root->lineage_count - 1].end_seq;
    }
    mem_free(root);
    return ST_OK;
}

static status put_pin(struct snapshot_job *job, struct err *err)
{
    struct node *node = job->c->node;
    const struct ask ask = {
        .store = node->options.store,
        .clock = node->options.clock,
        .rand = node->options.rand,
        .stop = &node->stopping,
        .policy = objstore_retry_background(PIN_BACKOFF_MS, PIN_BACKOFF_MAX_MS, PIN_TRIES),
        .give_up_ms = PIN_GIVE_UP_MS,
    };
    struct pin pin;
    status st = ST_CONFLICT;

    for (unsigned i = 0; st == ST_CONFLICT && i < PIN_ROUNDS; i++) {
        st = make_pin(job, &pin, err);
        if (st == ST_OK)
            st = pin_put(&ask, &pin, err);
    }
    if (st == ST_OK)
        uuid_format(pin.id, job->result.pin);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "pin the snapshot");
}

/* The whole is worth writing anew where something is dead. */
static bool worth_a_base(struct collection *c)
{
    struct bucket_marks marks;
    struct fields_counts counts;
    uint64_t live;

    fields_counts(c, &counts);
    live = counts.live_bytes + slots_live_count(c->slots) * (uint64_t)64;
    ship_marks(c, &marks);
    return marks.log_bytes + marks.segment_bytes > live + live / 10 + 4096;
}

/* Compaction leaves one segment; a snapshot without a name has the head in the bucket's segments.
 */
static void run_fold(struct snapshot_job *job)
{
    struct collection *c = job->c;
    struct publish_report report = {0};
    struct tier_stream_status s;
    struct err err = {0};
    status st = cold_fold_now(c, job->compact, &report, &err);

    publish_told(c, st, &report, &err);
    if (st == ST_OK && ship_status(c, &s))
        job->result.lsn = s.shipped_lsn;
    job->result.objects = report.objects;
    job->result.bytes = report.bytes;
    job->result.revision = report.revision;
    snapshot_end(job, st, &err);
}

static void publish_asked(struct snapshot_job *job)
{
    struct collection *c = job->c;
    struct publish_wish wish = {.flush = true, .manifest_anyway = job->name[0] != '\0'};
    struct publish_report report = {0};
    struct fields_counts counts;
    struct tier_stream_status s;
    struct bucket_marks marks;
    struct err err = {0};
    status st;

    if (cold_is(c) && (job->compact || job->name[0] == '\0') &&
        (!ship_status(c, &s) || !s.switching)) {
        run_fold(job);
        return;
    }
    ship_marks(c, &marks);
    fields_counts(c, &counts);
    if (counts.linked > 0 && (marks.changed_rows > 0 || marks.image_rows == 0 || job->anew))
        wish.what |= PUBLISH_IMAGE;
    /* Of a collection that is becoming the bucket's, log groups alone restore nothing. */
    if ((job->compact && (job->anew || worth_a_base(c))) || marks.switching ||
        (ship_status(c, &s) && s.switching))
        wish.what |= PUBLISH_BASE;
    st = publish_now(c, &wish, &report, &err);
    publish_told(c, st, &report, &err);
    if (st == ST_OK && job->compact)
        atomic_fetch_add(&c->compactions, 1);
    if (st == ST_OK && ship_status(c, &s))
        job->result.lsn = s.shipped_lsn;
    job->result.objects = report.objects;
    job->result.bytes = report.bytes;
    job->result.revision = report.revision;
    if (st == ST_OK && job->name[0] != '\0')
        st = put_pin(job, &err);
    snapshot_end(job, st, &err);
}

static void run_publish(struct meta_job *base)
{
    struct snapshot_job *job = (struct snapshot_job *)(void *)base;
    struct collection *c = job->c;
    struct err err = {0};

    if (!cold_work_begin(c)) {
        snapshot_end(job, err_set(&err, ST_UNAVAILABLE, "the node is stopping"), &err);
        return;
    }
    collection_pin(c); /* the job lets go of it */
    publish_asked(job);
    cold_work_end(c);
    node_collection_unpin(c);
}

static void run_snapshot(struct meta_job *base)
{
    struct snapshot_job *job = (struct snapshot_job *)(void *)base;
    struct collection *c = job->c;
    struct node *node = c->node;
    struct err err = {0};
    bool backed = policy_has_bucket(atomic_load(&c->policy)) && node->tier != NULL;
    status st = checkpoint_run(c, &node->stopping, &err);

    if (st == ST_OK && backed) {
        job->job.run = run_publish;
        if (jobs_push(cold_is(c) ? &node->fold : &node->publish, &job->job))
            return;
        st = err_set(&err, ST_UNAVAILABLE, "the node is stopping");
    }
    if (st == ST_OK && job->compact)
        atomic_fetch_add(&c->compactions, 1);
    snapshot_end(job, st, &err);
}

static void submit(struct collection *c, const char *name, bool compact, bool anew,
                   node_snapshot_fn *done, void *arg)
{
    struct snapshot_job *job = mem_zero(sizeof *job);
    struct err err = {0};
    status st = job == NULL ? err_set(&err, ST_NOMEM, "out of memory") : ST_OK;

    if (st == ST_OK && name != NULL && !policy_has_bucket(atomic_load(&c->policy)))
        st = err_set(&err, ST_INVALID,
                     "a named snapshot is kept in the bucket; the collection's policy is Memory");
    if (st == ST_OK && name != NULL && (name[0] == '\0' || strlen(name) >= PIN_NAME_BYTES))
        st = err_set(&err, ST_INVALID, "a snapshot's name has 1 to %d bytes", PIN_NAME_BYTES - 1);
    if (st == ST_OK) {
        *job = (struct snapshot_job){.job = {.run = run_snapshot},
                                     .c = c,
                                     .compact = compact,
                                     .anew = anew,
                                     .done = done,
                                     .arg = arg};
        (void)snprintf(job->name, sizeof job->name, "%s", name == NULL ? "" : name);
        collection_pin(c);
        if (jobs_push(&c->node->upkeep, &job->job))
            return;
        node_collection_unpin(c);
        st = err_set(&err, ST_UNAVAILABLE, "the node is stopping");
    }
    mem_free(job);
    done(arg, st, NULL, &err);
}

void node_snapshot(struct collection *c, const char *name, node_snapshot_fn *done, void *arg)
{
    submit(c, name, false, false, done, arg);
}

void node_compact(struct collection *c, bool anew, node_snapshot_fn *done, void *arg)
{
    submit(c, NULL, true, anew, done, arg);
}

/* --- published whole again --- */

static void start_recreate(struct tier_stream *s, tier_done_fn *done, void *arg, const void *what)
{
    tier_stream_recreate(s, *(const uint64_t *)what, done, arg);
}

static status do_enter(void *arg, struct err *err)
{
    struct collection *c = arg;

    return bucket_tell(c->node, c->id, err);
}

static status recreate(struct collection *c, struct err *err)
{
    uint64_t floor_lsn = atomic_load_explicit(&c->applied_lsn, memory_order_acquire);
    status st = bucket_check_format(c->node, err);

    if (st == ST_OK) {
        ship_note_switching(c, true);
        st = ship_call(c, start_recreate, &floor_lsn, NODE_BUCKET_WAIT_MS, err);
    }
    return st == ST_OK ? jobs_run(&c->node->meta, do_enter, c, err) : st;
}

/* On the publish thread, or the fold thread. */
static status do_again(void *arg, struct err *err)
{
    struct collection *c = arg;
    struct publish_wish wish = {.manifest_anyway = true};
    struct publish_report report = {0};
    struct fields_counts counts;
    struct tier_stream_status s = {0};
    status st = collection_check_loaded(c, err);

    if (st != ST_OK)
        return st;
    if (cold_is(c) && ship_status(c, &s) && s.phase == STREAM_ROOT_LOST)
        return err_set(err, ST_UNSUPPORTED,
                       "its rows are in the bucket, under the root that is lost: put the root back "
                       "(an older version of the object, where the bucket keeps versions), or "
                       "export the collection while this node has it open, and import it into a "
                       "new one");
    if (ship_status(c, &s) && s.phase == STREAM_ROOT_LOST)
        st = recreate(c, err);
    if (st == ST_OK && ship_status(c, &s) && s.switching)
        wish.what |= PUBLISH_BASE;
    fields_counts(c, &counts);
    if (st == ST_OK && counts.linked > 0)
        wish.what |= PUBLISH_IMAGE;
    if (st == ST_OK)
        st = publish_now(c, &wish, &report, err);
    publish_told(c, st, &report, err);
    return st;
}

static status do_again_alone(void *arg, struct err *err)
{
    struct collection *c = arg;
    status st;

    if (!cold_work_begin(c))
        return err_set(err, ST_UNAVAILABLE, "the node is stopping");
    st = do_again(c, err);
    cold_work_end(c);
    return st;
}

status publish_again(struct collection *c, struct err *err)
{
    return jobs_run(cold_is(c) ? &c->node->fold : &c->node->publish, do_again_alone, c, err);
}

/* --- ownership --- */

struct take_job {
    struct meta_job job;
    struct collection *c; /* pinned */
    bool republish;
    node_admin_fn *done;
    void *arg;
};

static void start_take(struct tier_stream *s, tier_done_fn *done, void *arg, const void *what)
{
    (void)what;
    tier_stream_take(s);
    tier_stream_own(s, done, arg);
}

/* Its log turned out not to be the bucket's, or to end before it: it is the owner's, and is being
 * loaded anew, maybe under another struct already. The caller's pin goes over to what is served. */
static bool loads_anew(struct collection **c)
{
    struct collection *now = node_collection_pin_id((*c)->node, (*c)->id);
    struct tier_stream_status s;
    bool anew = now != NULL && (now != *c || (ship_status(now, &s) && s.phase == STREAM_DIVERGED));

    if (anew) {
        node_collection_unpin(*c);
        *c = now;
    } else {
        node_collection_unpin(now);
    }
    return anew;
}

static void run_take(struct meta_job *base)
{
    struct take_job *job = (struct take_job *)(void *)base;
    struct collection_info info;
    struct err err = {0};
    status st = job->republish ? publish_again(job->c, &err)
                               : ship_call(job->c, start_take, NULL, NODE_BUCKET_WAIT_MS, &err);

    if (st == ST_UNAVAILABLE && !job->republish && loads_anew(&job->c))
        st = ST_OK;
    if (st == ST_OK)
        node_collection_info(job->c, &info);
    job->done(job->arg, st, st == ST_OK ? &info : NULL, &err);
    node_collection_unpin(job->c);
    mem_free(job);
}

static void submit_take(struct collection *c, bool republish, node_admin_fn *done, void *arg)
{
    struct take_job *job = mem_zero(sizeof *job);
    struct err err = {0};
    status st = job == NULL ? err_set(&err, ST_NOMEM, "out of memory") : ST_OK;

    if (st == ST_OK && c->node->tier == NULL) /* nobody takes jobs of an operator then */
        st = err_set(&err, ST_INVALID, "this node has no bucket, so no other owner");
    if (st == ST_OK && !republish)
        st = bucket_check_take(c->node, &err);
    if (st != ST_OK) {
        mem_free(job);
        done(arg, st, NULL, &err);
        return;
    }
    *job = (struct take_job){
        .job = {.run = run_take}, .c = c, .republish = republish, .done = done, .arg = arg};
    collection_pin(c);
    if (jobs_push(&c->node->operator, & job->job))
        return;
    node_collection_unpin(c);
    mem_free(job);
    done(arg, err_set(&err, ST_UNAVAILABLE, "the node is stopping"), NULL, &err);
}

void node_take_ownership(struct collection *c, node_admin_fn *done, void *arg)
{
    submit_take(c, false, done, arg);
}

void node_republish(struct collection *c, node_admin_fn *done, void *arg)
{
    submit_take(c, true, done, arg);
}

void operator_loop(void *arg)
{
    struct node *node = arg;
    bool stopped = false;

    while (!stopped) {
        struct meta_job *job = jobs_wait(&node->operator, UINT64_MAX / 4, &stopped);

        if (job != NULL)
            job->run(job);
    }
}

/* --- the breaker --- */

void node_breaker_reset(struct node *node, const char **before, const char **after)
{
    enum breaker_state was = BREAKER_CLOSED;
    enum breaker_state is = BREAKER_CLOSED;

    *before = NULL;
    *after = NULL;
    if (node->tier == NULL)
        return;
    tier_breaker_reset(node->tier, &was, &is);
    *before = breaker_state_name(was);
    *after = breaker_state_name(is);
}
