/* The publish thread, and the fold thread, which does the same for collections under S3Only: they
 * alone of the node's threads may wait for the network as long as they like.
 *
 * The first asks the bucket's catalog at start, then looks at every collection twice a second and
 * publishes what is due, one collection at a time (docs/protocol.md, "Publishing"), and does what
 * operators ask of snapshots. What fails is tried again later and later; what a person has to look
 * at is a dead letter. */
#include "node/cold_internal.h"
#include "node/publish_step.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

enum {
    PUBLISH_TICK_MS = 500,
    PUBLISH_TICK_START_MS = 5, /* while queries wait for cold sets to be opened */
    PUBLISH_RETRY_MS_MIN = 5000,
    PUBLISH_RETRY_MS_MAX = 300000,
    PUBLISH_FLUSH_MS = 60000,
    PUBLISH_READY_MS = 10000, /* an empty node waits so long for the bucket before it is ready */
};

static uint64_t now_ms(struct node *node)
{
    return clock_mono_ns(node->options.clock) / 1000000;
}

/* --- one publish --- */

struct publishing_now {
    struct publishing p;
    uint32_t graphs_made; /* when the checkpoint was asked for */
    unsigned what;        /* the wish's, or more */
};

static status do_checkpoint(void *arg, struct err *err)
{
    struct collection *c = arg;

    return checkpoint_run(c, &c->node->stopping, err);
}

/* All of a collection is here: what the damaged manifest named is not needed for segments that hold
 * every row, with the floor behind all groups there are. */
static status go_on_without(struct publishing_now *now, status st, struct err *err)
{
    struct collection *c = now->p.c;

    if (cold_is(c) || (st != ST_CORRUPT && (st != ST_NOT_FOUND || (now->what & PUBLISH_BASE) == 0)))
        return st;
    log_error("a manifest is damaged; the collection is written to the bucket anew",
              "collection_id=%s err=%s", c->id_text, err == NULL ? "" : err->text);
    now->what |= PUBLISH_BASE;
    return ST_OK;
}

struct published {
    struct collection *c;
    unsigned what;
    uint32_t graphs_made; /* before its checkpoint */
    const struct manifest *m;
    const struct publish_report *r;
    uint64_t lsn;
};

static void note_marks(const void *arg, struct bucket_marks *marks)
{
    const struct published *p = arg;
    /* Looked at under the lock: whoever makes another serve forgets the image behind it. */
    bool image_is_old = p->graphs_made != atomic_load(&p->c->graphs_made);

    if ((p->what & PUBLISH_BASE) != 0) {
        marks->log_bytes = 0;
        marks->switching = false;
        marks->cold_floor = 0; /* of rows in RAM: what it names is theirs */
    }
    if ((p->what & PUBLISH_IMAGE) != 0) {
        marks->image_rows = image_is_old ? 0 : slots_live_count(p->c->slots);
        marks->image_lsn = p->r->image_lsn;
        marks->changed_rows = 0;
    }
    marks->segments = (uint32_t)(p->m->segment_count + p->m->cold_count);
    marks->segment_bytes = p->r->segment_bytes;
    marks->object_bytes = 0;
    for (size_t i = 0; i < p->m->image_count; i++)
        marks->object_bytes += p->m->images[i].object.bytes;
    marks->published_lsn = p->lsn;
    marks->published_at_ns = clock_wall_ns(p->c->node->options.clock);
}

/* What was published, for the next decision and for those who ask. */
static void publish_note(const struct publishing_now *now, const struct manifest *m,
                         const struct publish_report *r, uint64_t lsn)
{
    struct collection *c = now->p.c;
    unsigned what = now->what;
    const struct published p = {
        .c = c, .what = what, .graphs_made = now->graphs_made, .m = m, .r = r, .lsn = lsn};
    uint64_t open = now->p.root.has_manifest ? now->p.root.manifest_revision : 0;

    if (cold_is(c)) /* the same cold segments as the one before, or none */
        (void)atomic_compare_exchange_strong(&c->cold->revision, &open, r->revision);
    ship_change_marks(c, note_marks, &p);
    ship_remember(c);
    ship_base_done(c);
    log_info("published",
             "collection_id=%s revision=%" PRIu64 " lsn=%" PRIu64 " objects=%" PRIu64
             " bytes=%" PRIu64 " base=%s image=%s",
             c->id_text, r->revision, lsn, r->objects, r->bytes,
             (what & PUBLISH_BASE) != 0 ? "true" : "false",
             (what & PUBLISH_IMAGE) != 0 ? "true" : "false");
}

static status run(struct publishing_now *now, struct publish_report *out, struct err *err)
{
    struct publishing *p = &now->p;
    struct manifest after;
    struct publish_options options;
    status st = publishing_open(p, &options, err);

    if (st == ST_OK)
        st = go_on_without(now, publishing_read(p, err), err);
    if (st != ST_OK)
        return st;
    options.what = now->what;
    st = publish_run(&options, p->has_before ? &p->before : NULL, &after, out, err);
    if (st == ST_OK) {
        publish_note(now, &after, out, p->stream.shipped_lsn);
        manifest_free(&after);
    }
    return st;
}

/* Under S3Only folds write rows; a base is for the switch from Memory alone. */
static unsigned wished(struct collection *c, const struct publish_wish *wish)
{
    struct tier_stream_status s;

    if (!cold_is(c))
        return wish->what;
    return ship_status(c, &s) && s.switching ? wish->what & PUBLISH_BASE : 0;
}

status publish_now(struct collection *c, const struct publish_wish *wish,
                   struct publish_report *out, struct err *err)
{
    struct publishing_now *now;
    status st = ship_own(c, NODE_BUCKET_WAIT_MS, err);
    unsigned what = wished(c, wish);

    memset(out, 0, sizeof *out);
    if (st == ST_OK && wish->flush)
        st = ship_flush(c, PUBLISH_FLUSH_MS, err);
    if (st != ST_OK || (what == 0 && !wish->manifest_anyway))
        return st;
    now = mem_zero(sizeof *now);
    if (now == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    now->p.c = c;
    now->what = what;
    now->graphs_made = atomic_load(&c->graphs_made);
    if ((what & PUBLISH_IMAGE) != 0)
        st = jobs_run(&c->node->upkeep, do_checkpoint, c, err);
    if (st == ST_OK)
        st = run(now, out, err);
    publishing_close(&now->p);
    mem_free(now);
    return st;
}

/* --- what is due --- */

static void facts_of(struct collection *c, const struct tier_stream_status *s,
                     struct publish_facts *out)
{
    struct bucket_marks marks;
    struct fields_counts counts;
    struct root *root = mem_alloc(sizeof *root);
    uint64_t last_ns = atomic_load_explicit(&c->last_write_ns, memory_order_relaxed);
    uint64_t now_ns = clock_mono_ns(c->node->options.clock);

    ship_marks(c, &marks);
    fields_counts(c, &counts);
    *out = (struct publish_facts){
        .switching = s->switching,
        .live_rows = slots_live_count(c->slots),
        .log_bytes = marks.log_bytes,
        .segment_bytes = marks.segment_bytes,
        .image_rows = marks.image_rows,
        .changed_rows = marks.changed_rows,
        .idle_ms = now_ns > last_ns ? (now_ns - last_ns) / 1000000 : 0,
        /* What is linked later would not be in the image. */
        .has_graph = counts.linked > 0 && !counts.behind,
        .m = (uint16_t)counts.links,
    };
    out->live_bytes = counts.live_bytes + slots_bytes(c->slots);
    if (root != NULL && publish_root(c, root))
        out->lineages = root->lineage_count;
    mem_free(root);
}

static void put_letter(struct collection *c, const struct publish_report *r, const struct err *err)
{
    struct letter letter = {
        .kind = r->key[0] != '\0' && strstr(r->key, "/g/") != NULL ? LETTER_SEGMENT
                                                                   : LETTER_MANIFEST_COMMIT,
        .state = LETTER_PARKED,
        .lsn_first = atomic_load(&c->applied_lsn),
        .http_status = r->http_status,
        .attempts = r->attempts,
        .first_failed_ns = clock_wall_ns(c->node->options.clock),
    };
    uint64_t id;

    letter.lsn_first = 0; /* one letter, however often it fails */
    letter.last_failed_ns = letter.first_failed_ns;
    memcpy(letter.collection, c->id, sizeof letter.collection);
    (void)snprintf(letter.key, sizeof letter.key, "%s", r->key);
    (void)snprintf(letter.class, sizeof letter.class, "%s", objstore_class_name(r->class));
    (void)snprintf(letter.s3_code, sizeof letter.s3_code, "%s", r->s3_code);
    (void)snprintf(letter.message, sizeof letter.message, "%s", err->text);
    if (dlq_put(c->node->dlq, &letter, &id, NULL) != ST_OK)
        log_error("out of memory for a dead letter", "collection_id=%s", c->id_text);
}

/* Letters of publishing leave when a publish succeeds. */
static void letters_out(struct collection *c)
{
    static const enum letter_kind kinds[] = {LETTER_SEGMENT, LETTER_MANIFEST_COMMIT};

    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        const struct dlq_filter filter = {.collection = c->id, .kind = (int)kinds[k]};
        struct letter letter;
        size_t total;

        while (dlq_list(c->node->dlq, &filter, 0, &letter, 1, &total) == 1) {
            if (dlq_remove(c->node->dlq, letter.id, NULL) != ST_OK)
                break;
        }
    }
}

void publish_told(struct collection *c, status st, const struct publish_report *r,
                  const struct err *err)
{
    uint64_t wait = PUBLISH_RETRY_MS_MIN;
    bool permanent =
        st != ST_OK && (r->class == OBJSTORE_PERMANENT || r->class == OBJSTORE_REFRESHABLE ||
                        r->class == OBJSTORE_INTEGRITY);

    if (st == ST_OK) {
        letters_out(c); /* of an earlier process, too */
        collector_want(c);
        c->publish_failures = 0;
    } else {
        for (uint32_t i = 0; i < c->publish_failures && wait < PUBLISH_RETRY_MS_MAX; i++)
            wait *= 2;
        c->publish_failures++;
        c->publish_next_ms =
            now_ms(c->node) + (wait < PUBLISH_RETRY_MS_MAX ? wait : PUBLISH_RETRY_MS_MAX);
        log_warn("publishing failed, it is tried again", "collection_id=%s err=%s", c->id_text,
                 err->text);
    }
    if (permanent)
        put_letter(c, r, err);
    lock_take(&c->bucket.lock);
    c->bucket.publish_failed = st != ST_OK;
    (void)snprintf(c->bucket.publish_reason, sizeof c->bucket.publish_reason, "%.400s",
                   st == ST_OK ? "" : err->text);
    lock_drop(&c->bucket.lock);
}

static bool may_publish(struct collection *c, struct tier_stream_status *s)
{
    return policy_has_bucket(atomic_load(&c->policy)) &&
           atomic_load_explicit(&c->seq.state, memory_order_acquire) == COLLECTION_SERVING &&
           now_ms(c->node) >= c->publish_next_ms && ship_status(c, s) &&
           (s->phase == STREAM_OWNED ||
            (s->phase == STREAM_IDLE && (s->switching || cold_left(c)))) &&
           s->parked == 0;
}

static void publish_due_now(struct collection *c)
{
    struct tier_stream_status s;
    struct publish_facts facts;
    struct publish_report report;
    struct publish_wish wish = {0};
    struct err err = {0};
    status st;

    ship_look_switching(c);
    if (!may_publish(c, &s))
        return;
    facts_of(c, &s, &facts);
    wish.what = publish_due(&facts, &wish.manifest_anyway);
    if (c->node->options.no_background_compaction && !facts.switching)
        wish.what &= ~(unsigned)PUBLISH_BASE;
    wish.what = cold_left(c) ? wish.what | PUBLISH_BASE : wished(c, &wish);
    if (wish.what == 0 && !wish.manifest_anyway)
        return;
    st = publish_now(c, &wish, &report, &err);
    if (st == ST_OK && (wish.what & PUBLISH_BASE) != 0 && !facts.switching)
        atomic_fetch_add(&c->compactions, 1);
    if (st != ST_CLOSED && !atomic_load(&c->node->stopping))
        publish_told(c, st, &report, &err);
}

/* Under S3Only the fold thread's, else the publish thread's; while it becomes the one or the other,
 * one at a time. */
static void work_on(struct collection *c, bool cold)
{
    if (cold_is(c) != cold || !cold_work_try(c))
        return;
    if (cold_is(c) == cold) {
        publish_due_now(c);
        if (cold)
            (void)cold_turn(c);
        collector_turn(c);
    }
    cold_work_end(c);
}

static void tick(struct node *node, bool cold)
{
    struct collection **items = NULL;
    size_t count = 0;

    if (table_snapshot(node, &items, &count, NULL) != ST_OK)
        return;
    for (size_t i = 0; !cold && i < count && !atomic_load(&node->stopping); i++)
        cold_open_turn(items[i]); /* reads alone, and first: queries wait for it */
    for (size_t i = 0; i < count && !atomic_load(&node->stopping); i++) {
        if (atomic_load(&node->bucket_refused) || !bucket_writes_pass(node))
            break;
        work_on(items[i], cold);
    }
    table_snapshot_free(items, count);
}

/* --- the start --- */

struct first_contact {
    uint64_t began_ms, next_ms;
    struct log_repeat said;
    bool done;
};

static void say_bucket(struct node *node, const char *text)
{
    lock_take(&node->bucket.lock);
    (void)snprintf(node->bucket.bucket_reason, sizeof node->bucket.bucket_reason, "%s", text);
    lock_drop(&node->bucket.lock);
}

static void ask_catalog(struct node *node, struct first_contact *first)
{
    char text[NODE_REASON_BYTES];
    struct err err = {0};
    uint64_t left_out;
    uint64_t now = now_ms(node);

    if (atomic_exchange(&node->sync_wanted, false))
        first->done = false;
    if (atomic_exchange(&node->sync_later, false)) {
        first->done = false;
        first->next_ms = now + NODE_BUCKET_RETRY_MS;
    }
    if (first->done || now < first->next_ms)
        return;
    if (bucket_catalog_sync(node, &err) == ST_OK) {
        first->done = true;
        atomic_store(&node->bucket_refused, false);
        say_bucket(node, "");
        return;
    }
    first->next_ms = now_ms(node) + NODE_BUCKET_RETRY_MS;
    (void)snprintf(text, sizeof text, "the bucket's catalog could not be read yet: %.400s",
                   err.text);
    say_bucket(node, text);
    atomic_store(&node->bucket_refused, err.code == ST_UNSUPPORTED);
    if (log_repeat(&first->said, &left_out))
        log_warn("the bucket's catalog could not be read, it is tried again",
                 "err=%s left_out=%" PRIu64, err.text, left_out);
    if (now_ms(node) - first->began_ms >= PUBLISH_READY_MS)
        atomic_store(&node->load_first, false);
}

void publish_loop(void *arg)
{
    struct node *node = arg;
    struct first_contact first = {.began_ms = now_ms(node)};
    uint64_t ticked_ms = 0;
    bool stopped = false;

    while (!stopped) {
        struct meta_job *job;
        uint64_t tick_ms;

        ask_catalog(node, &first);
        bucket_probe_step(node);
        tick_ms = atomic_load(&node->cold_undecided) > 0 ? PUBLISH_TICK_START_MS : PUBLISH_TICK_MS;
        job = jobs_wait(&node->publish, tick_ms * 1000000, &stopped);
        if (job != NULL)
            job->run(job);
        if (stopped || now_ms(node) - ticked_ms < tick_ms)
            continue;
        tick(node, false);
        ticked_ms = now_ms(node);
    }
}

/* A merge takes as long as it likes: the bases of other collections do not wait for it. */
void fold_loop(void *arg)
{
    struct node *node = arg;
    uint64_t ticked_ms = 0;
    bool stopped = false;

    while (!stopped) {
        struct meta_job *job =
            jobs_wait(&node->fold, (uint64_t)PUBLISH_TICK_MS * 1000000, &stopped);

        if (job != NULL)
            job->run(job);
        if (stopped || now_ms(node) - ticked_ms < PUBLISH_TICK_MS)
            continue;
        tick(node, true);
        ticked_ms = now_ms(node);
    }
}
