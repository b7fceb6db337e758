/* The objects of a plan one after the other: the image's slot map, segments, groups, and between
 * two records the image's nodes. Each is checked whole before any of it is handed over, so that
 * bytes that are wrong can be read again. */
#include "snapshot/restore.h"

#include "segment/objkey.h"
#include "snapshot/restore_runner.h"

#include <inttypes.h>
#include <stdio.h>

uint64_t restore_fetch_bytes(const struct restore_runner *r)
{
    return r->options->fetch_ahead_bytes != 0 ? r->options->fetch_ahead_bytes
                                              : RESTORE_FETCH_AHEAD_BYTES;
}

uint32_t restore_fetch_window(const struct restore_runner *r)
{
    return r->options->fetch_ahead != 0 ? r->options->fetch_ahead : RESTORE_FETCH_AHEAD;
}

void restore_progress(struct restore_runner *r, uint64_t bytes)
{
    r->report.objects++;
    r->report.bytes += bytes;
    if (r->sink->on_progress != NULL)
        r->sink->on_progress(r->sink->arg, r->report.objects, r->objects, r->report.bytes);
}

/* Wrong bytes are asked for once more. */
status restore_sound(struct restore_runner *r, const struct fetch_item *item, struct buf *body,
                     restore_check_fn *check, void *arg, struct err *err)
{
    struct ask again = r->ask;
    status st = check(arg, buf_slice(body), err);

    if (st == ST_CORRUPT) {
        buf_free(body);
        *body = (struct buf){0};
        again.fresh_connection = true;
        r->report.requests++;
        return restore_get(&again, item->key, item->bytes_max, 1, check, arg, body, err);
    }
    return st == ST_OK ? ST_OK : err_wrap(err, st, "%s", item->key);
}

/* What the plan names is there, or the bucket is damaged. */
status restore_take(struct fetch *f, struct fetch_item *item, struct buf *body, struct err *err)
{
    status st = fetch_next(f, item, body, err);

    return st == ST_NOT_FOUND ? err_wrap(err, ST_CORRUPT, "an object is missing") : st;
}

/* --- segments and groups --- */

static bool name_segment(struct restore_runner *r, struct fetch_item *out)
{
    const struct manifest *m = &r->plan->manifest;
    const struct object_ref *object;

    if (r->ahead.segment == m->segment_count)
        return false;
    object = &m->segments[r->ahead.segment++].object;
    *out = (struct fetch_item){.bytes = object->bytes, .bytes_max = (size_t)object->bytes};
    objkey_data(r->options->collection, object->uuid, out->key);
    return true;
}

static bool name_next(void *arg, struct fetch_item *out)
{
    struct restore_runner *r = arg;
    const struct restore_run *run;

    if (name_segment(r, out))
        return true;
    if (r->ahead.run == r->plan->run_count)
        return false;
    run = &r->plan->runs[r->ahead.run];
    if (r->ahead.seq < run->first_seq)
        r->ahead.seq = run->first_seq;
    *out = (struct fetch_item){.bytes_max = GROUP_BYTES_MAX};
    objkey_group(r->options->collection, run->epoch, r->ahead.seq, out->key);
    if (r->ahead.seq++ == run->end_seq) {
        r->ahead.run++;
        r->ahead.seq = 0;
    }
    return true;
}

static status hand_row(void *arg, const struct segment_row *row, struct err *err)
{
    struct restore_runner *r = arg;

    r->report.rows++;
    return r->sink->on_row != NULL ? r->sink->on_row(r->sink->arg, row, err) : ST_OK;
}

static status hand_segment(struct restore_runner *r, const struct manifest_segment *named,
                           struct slice bytes, struct err *err)
{
    const struct segment_head *head;
    struct segment *segment = NULL;
    status st = segment_open(bytes, r->options->collection, &segment, err);

    if (st != ST_OK)
        return st;
    head = segment_head(segment);
    if (head->start_lsn != named->start_lsn || head->rows != named->rows ||
        head->lsn_max != named->lsn_max)
        st = err_set(err, ST_CORRUPT, "not the segment that the manifest names");
    if (st == ST_OK && r->deep)
        st = segment_check(segment, err);
    if (st == ST_OK)
        st = segment_each_row(segment, hand_row, r, err);
    segment_close(segment);
    return st;
}

static status read_segments(struct restore_runner *r, struct err *err)
{
    const struct manifest *m = &r->plan->manifest;
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < m->segment_count; i++) {
        struct object_ref ref = m->segments[i].object;
        struct fetch_item item;
        struct buf body = {0};

        st = restore_take(r->fetch, &item, &body, err);
        if (st == ST_OK)
            st = restore_sound(r, &item, &body, restore_check_ref, &ref, err);
        if (st == ST_OK) {
            st = hand_segment(r, &m->segments[i], buf_slice(&body), err);
            if (st != ST_OK)
                (void)err_wrap(err, st, "%s", item.key);
        }
        if (st == ST_OK)
            restore_progress(r, body.bytes);
        r->report.segment_bytes += body.bytes;
        buf_free(&body);
    }
    return st;
}

/* --- cold segments --- */

static void cold_progress(void *arg, uint64_t bytes)
{
    restore_progress(arg, bytes);
}

static bool reads_colds(const struct restore_runner *r)
{
    return r->plan->has_manifest && !r->options->without_colds;
}

static status read_colds(struct restore_runner *r, struct err *err)
{
    const struct restore_cold to = {.options = r->options,
                                    .ask = &r->ask,
                                    .deep = r->deep,
                                    .on_row = r->sink->on_row != NULL ? hand_row : NULL,
                                    .progress = cold_progress,
                                    .arg = r};
    struct restore_cold_report report = {.bytes = 0};
    status st;

    if (!reads_colds(r))
        return ST_OK;
    st = restore_cold_read(&to, &r->plan->manifest, &report, err);
    r->report.requests += report.requests;
    r->report.segment_bytes += report.bytes;
    for (size_t i = 0; to.on_row == NULL && i < r->plan->manifest.cold_count; i++)
        r->report.rows += r->plan->manifest.colds[i].rows - r->plan->manifest.colds[i].dead_rows;
    return st;
}

/* --- groups --- */

struct expected { /* a group, and what the log before it says of it */
    const struct restore_runner *r;
    uint64_t epoch, seq;
    struct group **out;
};

/* A group that is whole and does not go on where the log was is no less wrong. */
static status check_group(void *arg, struct slice bytes, struct err *err)
{
    struct expected *e = arg;
    const struct group_head *head;
    struct group *group = NULL;
    status st = group_open(bytes, e->r->options->collection, e->epoch, e->seq, &group, err);

    if (st != ST_OK)
        return st;
    head = group_head(group);
    if (head->first_lsn != e->r->report.last_lsn + 1 || head->chain_before != e->r->report.chain) {
        st = err_set(err, ST_CORRUPT,
                     "it begins at lsn %" PRIu64 " and does not go on where the log is, at %" PRIu64
                     "%s",
                     head->first_lsn, e->r->report.last_lsn,
                     head->first_lsn == e->r->report.last_lsn + 1 ? " (another history)" : "");
        group_close(group);
        return st;
    }
    *e->out = group;
    return ST_OK;
}

static status hand_record(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct restore_runner *r = arg;
    status st = ST_OK;

    if (r->use_image && lsn > r->report.image_lsn)
        st = restore_nodes_due(r, err);
    r->report.records++;
    if (st == ST_OK && r->sink->on_record != NULL)
        st = r->sink->on_record(r->sink->arg, lsn, payload, err);
    return st;
}

static status hand_group(struct restore_runner *r, struct group *group, struct err *err)
{
    const struct group_head *head = group_head(group);
    status st = ST_OK;

    if (head->kind == GROUP_GAP) {
        r->report.gaps++;
        if (r->sink->on_gap != NULL)
            r->sink->on_gap(r->sink->arg, head->first_lsn, head->last_lsn);
    } else {
        st = group_each(group, hand_record, r, err);
    }
    r->report.last_lsn = head->last_lsn;
    r->report.chain = head->chain;
    return st;
}

static status read_group(struct restore_runner *r, uint64_t epoch, uint64_t seq, struct err *err)
{
    struct group *group = NULL;
    struct expected expected = {.r = r, .epoch = epoch, .seq = seq, .out = &group};
    struct fetch_item item;
    struct buf body = {0};
    status st = restore_take(r->fetch, &item, &body, err);

    if (st == ST_OK)
        st = restore_sound(r, &item, &body, check_group, &expected, err);
    if (st == ST_OK) {
        st = hand_group(r, group, err);
        if (st != ST_OK)
            (void)err_wrap(err, st, "%s", item.key);
    }
    if (st == ST_OK)
        restore_progress(r, body.bytes);
    r->report.log_bytes += body.bytes;
    group_close(group);
    buf_free(&body);
    return st;
}

static const struct lineage *find_lineage(const struct lineage *list, size_t count, uint64_t epoch)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].epoch == epoch)
            return &list[i];
    return NULL;
}

/* The recorded end of an epoch is where its groups brought us. */
static status check_end(const struct restore_runner *r, uint64_t epoch, struct err *err)
{
    const struct manifest *m = &r->plan->manifest;
    const struct root *root = &r->plan->root;
    const struct lineage *l = find_lineage(root->lineages, root->lineage_count, epoch);

    if (l == NULL && r->plan->has_manifest)
        l = find_lineage(m->lineages, m->lineage_count, epoch);
    if (l != NULL && (l->last_lsn != r->report.last_lsn || l->chain != r->report.chain))
        return err_set(err, ST_CORRUPT,
                       "epoch %" PRIu64 " ends at lsn %" PRIu64 ", its groups at %" PRIu64, epoch,
                       l->last_lsn, r->report.last_lsn);
    return ST_OK;
}

static status read_groups(struct restore_runner *r, struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < r->plan->run_count; i++) {
        const struct restore_run *run = &r->plan->runs[i];

        for (uint64_t seq = run->first_seq; st == ST_OK && seq <= run->end_seq; seq++)
            st = read_group(r, run->epoch, seq, err);
        if (st == ST_OK && !run->open)
            st = check_end(r, run->epoch, err);
    }
    return st;
}

/* Segments rest on records behind their start: without them rows would be missing. */
static status check_reach(const struct restore_runner *r, struct err *err)
{
    const struct restore_plan *plan = r->plan;

    if (plan->has_manifest && r->report.last_lsn < plan->manifest.lsn)
        return err_set(err, ST_CORRUPT,
                       "the log ends at lsn %" PRIu64 ", and the manifest rests on it up to "
                       "%" PRIu64,
                       r->report.last_lsn, plan->manifest.lsn);
    return ST_OK;
}

static void begin(struct restore_runner *r)
{
    const struct restore_plan *plan = r->plan;
    const struct log_floor *floor = restore_plan_floor(plan);

    r->report.last_lsn = floor->lsn;
    r->report.chain = floor->lsn == 0 ? group_chain_start(r->options->collection) : floor->chain;
    r->use_image = plan->has_manifest && plan->manifest.image_count > 0 &&
                   !r->options->without_image && (r->deep || r->sink->on_slot != NULL);
    r->objects = plan->manifest.segment_count + plan->groups;
    if (reads_colds(r))
        r->objects += plan->manifest.cold_count;
    if (r->use_image) {
        r->objects += restore_image_parts(r);
        r->report.used_image = true;
        r->report.image_lsn = plan->manifest.images[0].start_lsn;
    }
}

static status run(struct restore_runner *r, struct err *err)
{
    status st = ST_OK;

    if (r->use_image)
        st = restore_read_image(r, false, err);
    if (st == ST_OK)
        st = read_colds(r, err);
    if (st == ST_OK)
        st = fetch_open(&r->ask, restore_fetch_window(r), restore_fetch_bytes(r), name_next, r,
                        &r->fetch, err);
    if (st == ST_OK)
        st = read_segments(r, err);
    if (st == ST_OK)
        st = read_groups(r, err);
    if (st == ST_OK)
        st = restore_nodes_due(r, err);
    if (r->fetch != NULL)
        r->report.requests += fetch_requests(r->fetch);
    fetch_close(r->fetch);
    return st == ST_OK ? check_reach(r, err) : st;
}

status restore_run_deep(const struct restore_options *options, const struct restore_plan *plan,
                        const struct restore_sink *sink, bool deep, struct restore_report *out,
                        struct err *err)
{
    struct restore_runner r = {
        .options = options, .plan = plan, .sink = sink, .ask = restore_ask(options), .deep = deep};
    status st = restore_plan_check(plan, err);

    if (st != ST_OK)
        return st;
    begin(&r);
    st = run(&r, err);
    if (st == ST_OK)
        *out = r.report;
    return restore_look_again(options, &plan->root, st, err);
}

status restore_run(const struct restore_options *options, const struct restore_plan *plan,
                   const struct restore_sink *sink, struct restore_report *out, struct err *err)
{
    return restore_run_deep(options, plan, sink, false, out, err);
}
