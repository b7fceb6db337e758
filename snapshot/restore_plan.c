/* What there is to restore: the root, the manifest it names, and which groups count. */
#include "base/crc32c.h"
#include "base/mem.h"
#include "segment/objkey.h"
#include "snapshot/fetch.h"
#include "snapshot/restore_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Longer than what a query waits for: a restore is worth waiting for, and has give_up_ms. */
struct ask restore_ask(const struct restore_options *o)
{
    struct objstore_retry_policy policy = objstore_retry_foreground();

    policy.attempts_max = OBJSTORE_RETRY_FOR_EVER;
    return (struct ask){.store = o->store,
                        .clock = o->clock,
                        .rand = o->rand,
                        .stop = o->stop,
                        .policy = policy,
                        .give_up_ms = o->give_up_ms != 0 ? o->give_up_ms : RESTORE_GIVE_UP_MS};
}

static status get_patiently(const struct ask *ask, const char *key, size_t bytes_max,
                            struct buf *out, struct err *err)
{
    status st = ask_get(ask, key, bytes_max, out, NULL, err);

    for (unsigned miss = 1; st == ST_NOT_FOUND && miss < FETCH_MISSES; miss++) {
        if (!ask_sleep(ask, ASK_SLICE_MS))
            return err_set(err, ST_CLOSED, "stopped");
        st = ask_get(ask, key, bytes_max, out, NULL, err);
    }
    return st == ST_NOT_FOUND ? err_wrap(err, ST_CORRUPT, "an object is missing") : st;
}

status restore_get(const struct ask *ask, const char *key, size_t bytes_max, unsigned tries,
                   restore_check_fn *check, void *arg, struct buf *out, struct err *err)
{
    struct ask once = *ask;
    struct buf body = {0};
    status st = ST_CORRUPT;

    for (unsigned i = 0; st == ST_CORRUPT && i < tries; i++) {
        buf_free(&body);
        body = (struct buf){0};
        once.fresh_connection = i > 0;
        st = get_patiently(&once, key, bytes_max, &body, err);
        if (st != ST_OK)
            return st;
        st = check(arg, buf_slice(&body), err);
    }
    if (st == ST_OK)
        *out = body; /* the caller's from here on */
    else
        buf_free(&body);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "%s", key);
}

status restore_ref_check(const struct object_ref *ref, struct slice bytes, struct err *err)
{
    if (bytes.bytes != ref->bytes)
        return err_set(err, ST_CORRUPT, "%zu bytes, the manifest says %" PRIu64, bytes.bytes,
                       ref->bytes);
    if (crc32c(0, bytes.data, bytes.bytes) != ref->crc)
        return err_set(err, ST_CORRUPT, "its bytes fail their checksum");
    return ST_OK;
}

struct planner {
    const struct restore_options *options;
    struct ask ask;
    struct restore_plan *plan;
    size_t run_room;
};

/* --- root and manifest --- */

static status root_check(void *arg, struct slice bytes, struct err *err)
{
    struct planner *p = arg;

    return root_decode(bytes, p->options->collection, &p->plan->root, err);
}

/* Here alone "not found" is an answer of its own: there may be no such collection. */
static status read_root(struct planner *p, struct err *err)
{
    char key[OBJKEY_BYTES];
    status st = ST_CORRUPT;

    objkey_root(p->options->collection, key);
    for (unsigned i = 0; st == ST_CORRUPT && i < ASK_INTEGRITY_TRIES; i++) {
        struct buf body = {0};

        st = ask_get(&p->ask, key, ROOT_BYTES_MAX, &body, p->plan->etag, err);
        if (st == ST_OK) {
            st = root_check(p, buf_slice(&body), err);
            if (st != ST_OK)
                (void)err_wrap(err, st, "%s", key);
        }
        buf_free(&body);
    }
    return st;
}

static status manifest_check_bytes(void *arg, struct slice bytes, struct err *err)
{
    struct planner *p = arg;
    struct restore_plan *plan = p->plan;
    status st = restore_ref_check(&plan->root.manifest, bytes, err);

    if (st == ST_OK)
        st = manifest_decode(bytes, p->options->collection, &plan->manifest, err);
    if (st == ST_OK && plan->manifest.revision != plan->root.manifest_revision) {
        st = err_set(err, ST_CORRUPT, "it is of revision %" PRIu64 ", not %" PRIu64,
                     plan->manifest.revision, plan->root.manifest_revision);
        manifest_free(&plan->manifest);
    }
    return st;
}

static status read_manifest(struct planner *p, struct err *err)
{
    struct restore_plan *plan = p->plan;
    char key[OBJKEY_BYTES];
    struct buf body = {0};
    status st;

    if (!plan->root.has_manifest)
        return ST_OK;
    objkey_manifest(p->options->collection, plan->root.manifest_revision, plan->root.manifest.uuid,
                    key);
    st = restore_get(&p->ask, key, MANIFEST_BYTES_MAX, ASK_INTEGRITY_TRIES, manifest_check_bytes, p,
                     &body, err);
    buf_free(&body);
    if (st != ST_OK)
        return st;
    plan->has_manifest = true;
    plan->bytes += plan->root.manifest.bytes;
    for (size_t i = 0; i < plan->manifest.segment_count; i++)
        plan->bytes += plan->manifest.segments[i].object.bytes;
    for (size_t i = 0; i < plan->manifest.image_count; i++)
        plan->bytes += plan->manifest.images[i].object.bytes;
    if (!p->options->without_colds)
        plan->cold_bytes = manifest_cold_bytes(&plan->manifest);
    plan->bytes += plan->cold_bytes;
    return ST_OK;
}

const struct log_floor *restore_plan_floor(const struct restore_plan *plan)
{
    return plan->has_manifest ? &plan->manifest.floor : &plan->root.floor;
}

/* --- runs of groups --- */

static status add_run(struct planner *p, const struct restore_run *run, struct err *err)
{
    struct restore_plan *plan = p->plan;

    if (run->first_seq > run->end_seq)
        return ST_OK;
    if (plan->run_count > 0 && plan->runs[plan->run_count - 1].epoch >= run->epoch)
        return err_set(err, ST_CORRUPT, "epochs %" PRIu64 " and %" PRIu64 " are not in order",
                       plan->runs[plan->run_count - 1].epoch, run->epoch);
    if (plan->run_count == p->run_room) {
        size_t room = p->run_room == 0 ? 16 : 2 * p->run_room;
        struct restore_run *longer = mem_alloc_array(room, sizeof *longer);

        if (longer == NULL)
            return err_set(err, ST_NOMEM, "out of memory for a restore's plan");
        if (plan->run_count > 0)
            memcpy(longer, plan->runs, plan->run_count * sizeof *longer);
        mem_free(plan->runs);
        plan->runs = longer;
        p->run_room = room;
    }
    plan->runs[plan->run_count++] = *run;
    plan->groups += run->end_seq - run->first_seq + 1;
    return ST_OK;
}

/* The first group of an epoch that counts; 0: none does. */
static uint64_t first_seq(const struct planner *p, uint64_t epoch)
{
    const struct log_floor *floor = restore_plan_floor(p->plan);

    if (epoch < floor->epoch)
        return 0;
    return epoch == floor->epoch ? floor->seq : 1;
}

static status add_lineages(struct planner *p, const struct lineage *lineages, size_t count,
                           struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < count; i++) {
        const struct restore_run run = {.epoch = lineages[i].epoch,
                                        .first_seq = first_seq(p, lineages[i].epoch),
                                        .end_seq = lineages[i].end_seq};

        if (run.first_seq != 0 && lineages[i].last_lsn > restore_plan_floor(p->plan)->lsn)
            st = add_run(p, &run, err);
    }
    return st;
}

struct listing {     /* of one epoch's groups */
    uint64_t run;    /* the run without a hole ends here */
    uint64_t *ahead; /* groups seen behind it, as a store may list in any order */
    size_t ahead_count, ahead_room;
    char last[OBJKEY_BYTES]; /* the largest name so far */
};

static status listing_add(struct listing *l, uint64_t seq, struct err *err)
{
    if (seq == l->run + 1) {
        l->run++;
        return ST_OK;
    }
    if (seq <= l->run)
        return ST_OK;
    if (l->ahead_count == l->ahead_room) {
        size_t room = l->ahead_room == 0 ? 64 : 2 * l->ahead_room;
        uint64_t *longer = mem_alloc_array(room, sizeof *longer);

        if (longer == NULL)
            return err_set(err, ST_NOMEM, "out of memory for a listing");
        if (l->ahead_count > 0)
            memcpy(longer, l->ahead, l->ahead_count * sizeof *longer);
        mem_free(l->ahead);
        l->ahead = longer;
        l->ahead_room = room;
    }
    l->ahead[l->ahead_count++] = seq;
    return ST_OK;
}

static int seq_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void listing_end(struct listing *l)
{
    if (l->ahead_count > 0)
        qsort(l->ahead, l->ahead_count, sizeof *l->ahead, seq_compare);
    for (size_t i = 0; i < l->ahead_count; i++)
        if (l->ahead[i] == l->run + 1)
            l->run++;
}

static status take_page(struct planner *p, uint64_t epoch, struct listing *l,
                        const struct objstore_result *r, struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < r->entry_count; i++) {
        struct objkey key = objkey_parse(r->entries[i].key);

        if (strcmp(r->entries[i].key, l->last) > 0)
            (void)snprintf(l->last, sizeof l->last, "%s", r->entries[i].key);
        if (key.kind != OBJKEY_IS_GROUP || key.epoch != epoch)
            continue;
        p->plan->bytes += r->entries[i].bytes;
        st = listing_add(l, key.seq, err);
    }
    return st;
}

/* From the group before `first` on. */
static status list_run(struct planner *p, uint64_t epoch, uint64_t first, uint64_t *end,
                       struct err *err)
{
    char prefix[OBJKEY_BYTES];
    struct listing l = {.run = first - 1};
    struct objstore_req req = {.op = OBJSTORE_LIST, .pool = OBJSTORE_BULK, .key = prefix};
    bool more = true;
    status st = ST_OK;

    objkey_prefix_groups(p->options->collection, epoch, prefix);
    if (first > 1)
        objkey_group(p->options->collection, epoch, first - 1, l.last);
    while (st == ST_OK && more) {
        char start_after[OBJKEY_BYTES];
        struct ask_tries tries = {0};

        (void)snprintf(start_after, sizeof start_after, "%s", l.last);
        req.start_after = start_after[0] != '\0' ? start_after : NULL;
        st = ask_send(&p->ask, &req, &tries, err);
        if (st == ST_OK)
            st = take_page(p, epoch, &l, &req.result, err);
        more = st == ST_OK && req.result.truncated;
        if (more && strcmp(l.last, start_after) <= 0)
            st = err_set(err, ST_CORRUPT, "list %s: the store does not get on behind %s", prefix,
                         start_after);
        objstore_result_fini(&req.result);
    }
    listing_end(&l);
    mem_free(l.ahead);
    if (st == ST_OK)
        *end = l.run;
    return st;
}

static status add_open_epoch(struct planner *p, uint64_t epoch, struct err *err)
{
    struct restore_run run = {.epoch = epoch, .first_seq = first_seq(p, epoch), .open = true};
    status st;

    if (run.first_seq == 0)
        return ST_OK;
    st = list_run(p, epoch, run.first_seq, &run.end_seq, err);
    return st == ST_OK ? add_run(p, &run, err) : st;
}

static status find_runs(struct planner *p, struct err *err)
{
    const struct root *root = &p->plan->root;
    const struct manifest *m = &p->plan->manifest;
    status st = ST_OK;

    if (p->plan->has_manifest)
        st = add_lineages(p, m->lineages, m->lineage_count, err);
    if (st == ST_OK)
        st = add_lineages(p, root->lineages, root->lineage_count, err);
    for (size_t i = 0; st == ST_OK && i < root->open_count; i++)
        st = add_open_epoch(p, root->open[i], err);
    return st == ST_OK ? add_open_epoch(p, root->epoch, err) : st;
}

status restore_look_again(const struct restore_options *options, const struct root *then, status st,
                          struct err *err)
{
    struct restore_plan *now;
    struct planner p = {.options = options, .ask = restore_ask(options)};
    struct err other = {0};

    if (st != ST_CORRUPT)
        return st;
    now = mem_zero(sizeof *now);
    p.plan = now;
    if (now != NULL && read_root(&p, &other) == ST_OK) {
        if (now->root.state == ROOT_DROPPED)
            st = err_set(err, ST_NOT_FOUND, "the collection was dropped meanwhile");
        else if (now->root.gc_mark > then->manifest_revision)
            st = err_set(err, ST_UNAVAILABLE,
                         "what was being read was replaced and collected meanwhile (mark %" PRIu64
                         "): it is read again from the new manifest",
                         now->root.gc_mark);
    }
    mem_free(now);
    return st;
}

status restore_plan_read(const struct restore_options *options, struct restore_plan *out,
                         struct err *err)
{
    struct restore_plan *plan = mem_zero(sizeof *plan); /* the root alone is large */
    struct planner p = {.options = options, .ask = restore_ask(options), .plan = plan};
    status st;

    if (plan == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a restore's plan");
    manifest_init(&plan->manifest);
    st = read_root(&p, err);
    if (st == ST_OK)
        st = read_manifest(&p, err);
    if (st == ST_OK && plan->root.state != ROOT_DROPPED)
        st = find_runs(&p, err);
    st = restore_look_again(options, &plan->root, st, err);
    if (st == ST_OK)
        *out = *plan;
    else
        restore_plan_free(plan);
    mem_free(plan);
    return st;
}

void restore_plan_free(struct restore_plan *plan)
{
    manifest_free(&plan->manifest);
    mem_free(plan->runs);
    plan->runs = NULL;
    plan->run_count = 0;
}

status restore_plan_check(const struct restore_plan *plan, struct err *err)
{
    char dropped_at[CLOCK_TEXT_BYTES];

    switch (plan->root.state) {
    case ROOT_LIVE:
        return ST_OK;
    case ROOT_SWITCHING:
        return err_set(err, ST_UNAVAILABLE,
                       "not yet restorable: the collection was being moved into the bucket by node "
                       "%s, and its documents of before were not all there",
                       plan->root.node_id);
    case ROOT_DROPPED:
        clock_format_rfc3339(plan->root.dropped_at_ns, dropped_at);
        return err_set(err, ST_NOT_FOUND, "the collection was dropped at %s", dropped_at);
    }
    return err_set(err, ST_CORRUPT, "root of an unknown state %d", (int)plan->root.state);
}
