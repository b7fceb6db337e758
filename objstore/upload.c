/* The shell of upload_core.h: buffers, requests and waiting. */
#include "objstore/upload.h"

#include "base/lock.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

enum { SLICE_MS = 50 }; /* how often a waiting thread looks at *stop */

struct lane { /* of one slot */
    struct uploader *owner;
    struct objstore_req req;
    uint8_t *buffer; /* part_bytes, made when it is first needed */
    bool under_way;  /* the uploading thread's alone */
    bool answered;   /* guarded by the uploader's lock */
};

struct uploader {
    struct objstore *store;
    const struct upload_options *options;
    struct upload_core core;
    struct lane lanes[UPLOAD_SLOTS_MAX];
    struct lock lock; /* LOCK_RANK_QUEUE */
    struct cond answer;
    bool cancelled; /* what is under way was */
    uint32_t requests;
    status local; /* what this side of the wire came to: reading, memory, stopping */
    struct err why;
};

status upload_read_slice(void *arg, uint64_t offset, uint8_t *out, size_t bytes, struct err *err)
{
    const struct slice *s = arg;

    if (offset > s->bytes || bytes > s->bytes - offset)
        return err_set(err, ST_BUG, "an upload reads beyond its bytes");
    if (bytes > 0)
        memcpy(out, s->data + offset, bytes);
    return ST_OK;
}

static uint64_t now_ms(const struct uploader *u)
{
    return clock_mono_ns(u->options->clock) / 1000000;
}

static void give_up(struct uploader *u, status st, enum objstore_class c)
{
    if (u->local == ST_OK)
        u->local = st;
    upload_core_stop(&u->core, c);
}

static void on_done(struct objstore_req *req)
{
    struct lane *lane = req->arg;
    struct uploader *u = lane->owner;

    lock_take(&u->lock);
    lane->answered = true;
    cond_signal(&u->answer);
    lock_drop(&u->lock);
}

static bool read_into(struct uploader *u, struct lane *lane, uint64_t offset, uint64_t bytes)
{
    status st = ST_OK;

    if (lane->buffer == NULL)
        lane->buffer = mem_alloc(u->core.part_bytes);
    if (lane->buffer == NULL)
        st = err_set(&u->why, ST_NOMEM, "no memory for a part of %zu bytes",
                     (size_t)u->core.part_bytes);
    else
        st = u->options->read(u->options->arg, offset, lane->buffer, (size_t)bytes, &u->why);
    if (st != ST_OK)
        give_up(u, st, OBJSTORE_CANCELLED);
    return st == ST_OK;
}

static void send(struct uploader *u, const struct upload_want *want)
{
    const struct upload_options *o = u->options;
    struct lane *lane = &u->lanes[want->slot];
    struct objstore_req *req = &lane->req;
    bool sends = want->op == OBJSTORE_PUT || want->op == OBJSTORE_UPLOAD_PART;

    *req = (struct objstore_req){.op = want->op,
                                 .pool = o->pool,
                                 .key = o->key,
                                 .fresh_connection = want->fresh,
                                 .done = on_done,
                                 .arg = lane};
    if (want->op == OBJSTORE_PUT || want->op == OBJSTORE_UPLOAD_COMPLETE) {
        req->condition = o->condition;
        req->etag = o->etag;
    }
    if (want->op != OBJSTORE_PUT && want->op != OBJSTORE_UPLOAD_BEGIN)
        req->upload_id = u->core.upload_id;
    req->part_number = want->part_number;
    if (want->op == OBJSTORE_UPLOAD_COMPLETE) {
        req->parts = u->core.parts;
        req->part_count = u->core.part_count;
    }
    if (want->op == OBJSTORE_GET) {
        req->range_offset = want->offset;
        req->range_bytes = want->bytes;
        req->bytes_max = (size_t)want->bytes;
    }
    lane->under_way = true;
    lane->answered = sends && !read_into(u, lane, want->offset, want->bytes);
    if (lane->answered) { /* by ourselves */
        req->result.class = OBJSTORE_CANCELLED;
        return;
    }
    if (sends)
        req->body = slice_make(lane->buffer, (size_t)want->bytes);
    u->requests++;
    objstore_submit(u->store, req);
}

static bool is_equal(struct uploader *u, struct lane *lane)
{
    const struct objstore_req *req = &lane->req;
    const struct buf *body = &req->result.body;

    if (req->op != OBJSTORE_GET || req->result.class != OBJSTORE_OK)
        return false;
    if (body->bytes != req->range_bytes || req->result.object_bytes != u->core.bytes)
        return false;
    return read_into(u, lane, req->range_offset, body->bytes) &&
           memcmp(lane->buffer, body->data, body->bytes) == 0;
}

static bool is_answered(struct uploader *u, const struct lane *lane)
{
    bool answered;

    lock_take(&u->lock);
    answered = lane->under_way && lane->answered;
    lock_drop(&u->lock);
    return answered;
}

/* Whether any was. */
static bool take_answers(struct uploader *u)
{
    bool any = false;

    for (uint32_t i = 0; i < u->core.slot_count; i++) {
        struct lane *lane = &u->lanes[i];
        struct upload_answer answer = {.result = &lane->req.result};

        if (!is_answered(u, lane))
            continue;
        any = true;
        lane->under_way = false;
        answer.equal = is_equal(u, lane);
        if (upload_core_answer(&u->core, i, &answer, now_ms(u), rand_u64(u->options->rand)) &&
            u->local == ST_OK)
            u->why = lane->req.result.err;
        objstore_result_fini(&lane->req.result);
    }
    return any;
}

/* An abort, and what reads an answer to its end, is not cancelled. */
static void cancel_under_way(struct uploader *u)
{
    bool drains = u->core.step == UPLOAD_DRAIN;
    bool already = u->cancelled && drains;

    u->cancelled = drains;
    if (!drains || already)
        return;
    for (uint32_t i = 0; i < u->core.slot_count; i++)
        if (u->lanes[i].under_way && !is_answered(u, &u->lanes[i]))
            objstore_cancel(u->store, &u->lanes[i].req);
}

static void wait_a_little(struct uploader *u, uint64_t wake_ms)
{
    uint64_t now = now_ms(u);
    uint64_t wait = wake_ms <= now ? 0 : wake_ms - now;
    bool any = false;

    if (wait > SLICE_MS)
        wait = SLICE_MS;
    lock_take(&u->lock);
    for (uint32_t i = 0; i < u->core.slot_count; i++)
        any = any || (u->lanes[i].under_way && u->lanes[i].answered);
    if (!any && wait > 0)
        (void)cond_wait_ns(&u->answer, &u->lock, wait * 1000000);
    lock_drop(&u->lock);
}

static void run(struct uploader *u)
{
    const _Atomic bool *stop = u->options->stop;

    for (;;) {
        struct upload_want want;
        uint64_t wake_ms = 0;

        if (stop != NULL && atomic_load_explicit(stop, memory_order_relaxed) && u->local == ST_OK) {
            give_up(u, ST_CLOSED, OBJSTORE_CANCELLED);
            (void)err_set(&u->why, ST_CLOSED, "stopped");
        }
        while (upload_core_next(&u->core, now_ms(u), &want, &wake_ms))
            send(u, &want);
        cancel_under_way(u);
        if (take_answers(u))
            continue;
        if (u->core.step == UPLOAD_DONE)
            return;
        wait_a_little(u, wake_ms);
    }
}

static status outcome(const struct uploader *u, struct upload_report *report, struct err *err)
{
    const struct upload_core *c = &u->core;
    status st = objstore_class_status(c->class);

    if (st != ST_OK && u->local != ST_OK)
        st = u->local;
    if (report != NULL) {
        *report = (struct upload_report){.found = c->found,
                                         .maybe_applied = c->maybe_applied,
                                         .left_behind = c->left_behind,
                                         .requests = u->requests,
                                         .restarts = c->restarts,
                                         .class = c->class};
        memcpy(report->etag, c->etag, sizeof report->etag);
    }
    if (st == ST_OK)
        return ST_OK;
    return err_set(err, st, "upload %s: %s", u->options->key,
                   u->why.text[0] != '\0' ? u->why.text : objstore_class_name(c->class));
}

status objstore_upload(struct objstore *store, const struct upload_options *options,
                       struct upload_report *report, struct err *err)
{
    uint32_t in_flight = options->in_flight == 0 ? UPLOAD_IN_FLIGHT : options->in_flight;
    uint32_t part_bytes = upload_part_bytes(options->bytes, options->part_bytes);
    struct objstore_part *parts = NULL;
    struct uploader *u;
    status st;

    if (part_bytes == 0)
        return err_set(err, ST_INVALID, "upload %s: %" PRIu64 " bytes are more than a store takes",
                       options->key, options->bytes);
    u = mem_zero(sizeof *u);
    parts = mem_zero_array((size_t)(options->bytes / part_bytes + 1), sizeof *parts);
    if (u == NULL || parts == NULL) {
        mem_free(u);
        mem_free(parts);
        return err_set(err, ST_NOMEM, "upload %s: no memory", options->key);
    }
    u->store = store;
    u->options = options;
    lock_init(&u->lock, LOCK_RANK_QUEUE, "upload");
    cond_init(&u->answer);
    for (size_t i = 0; i < UPLOAD_SLOTS_MAX; i++)
        u->lanes[i].owner = u;
    upload_core_init(&u->core, options->bytes, part_bytes,
                     in_flight < UPLOAD_SLOTS_MAX ? in_flight : UPLOAD_SLOTS_MAX,
                     options->condition, &options->policy, UPLOAD_RESTARTS, parts);
    run(u);
    st = outcome(u, report, err);
    for (size_t i = 0; i < UPLOAD_SLOTS_MAX; i++)
        mem_free(u->lanes[i].buffer);
    cond_fini(&u->answer);
    lock_fini(&u->lock);
    mem_free(parts);
    mem_free(u);
    return st;
}
