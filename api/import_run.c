/* import_run.c - the task of an import: batches under way, what comes of the body, and how it ends.
 */
#include "api/import_internal.h"

#include "api/handlers.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    MS = 1000000,
    AGAIN_MS_MIN = 100,
    AGAIN_MS_MAX = 2000,
    CLOCK_BYTES = 16 * 1024,           /* read between looks at the clock */
    BODY_BYTES_KEPT = 4 * 1024 * 1024, /* of room for a line that is not whole; more is counted */
};

static const char *unit_name(const struct import *in)
{
    return in->units.format == UNITS_NDJSON ? "line" : "row";
}

uint64_t import_now_ns(const struct import *in)
{
    return clock_mono_ns(in->req->api->options.clock);
}

void import_init(struct import *in, struct request *req, enum units_format format, uint32_t dim)
{
    const struct api_options *o = &req->api->options;

    in->req = req;
    in->upload = req->upload;
    in->remote = true;
    units_init(&in->units, format, dim, o->body_bytes_max);
    buf_free(&req->body);
    buf_init(&req->body, o->body_bytes_max + 4 * (size_t)UPLOAD_BYTES + JSON_PADDING_BYTES);
}

void import_fini(struct import *in)
{
    for (size_t i = 0; i < IMPORT_BATCHES; i++)
        import_batch_free(&in->batches[i]);
    atomic_fetch_sub(&in->req->api->line_bytes, in->line_charged);
}

void import_fail(struct import *in, enum problem p, uint64_t line, const char *format, ...)
{
    va_list args;

    in->read = true;
    if (in->wrong)
        return;
    in->wrong = true;
    in->problem = p;
    in->bad_line = line;
    if (line > 0)
        in->count.lines = line - 1; /* blank ones too */
    va_start(args, format);
    (void)vsnprintf(in->detail, sizeof in->detail, format, args);
    va_end(args);
}

/* --- batches --- */

static struct import_batch *batch_at(struct import *in, size_t i)
{
    return &in->batches[(in->oldest + i) % IMPORT_BATCHES];
}

static size_t under_way(struct import *in)
{
    size_t count = 0;

    for (size_t i = 0; i < in->used; i++)
        count += batch_at(in, i)->state == IMPORT_WRITING;
    return count;
}

/* Whether what node refuses for now is worth a wait. */
static bool may_wait(const struct import *in, const struct import_batch *b)
{
    uint64_t patience_ns = (uint64_t)in->req->api->options.timeout_ms * MS;

    return (b->st == ST_LIMIT || b->st == ST_UNAVAILABLE) && !in->failed &&
           (in->end == UPLOAD_COMES || in->end == UPLOAD_WHOLE) &&
           !atomic_load_explicit(&in->req->gone, memory_order_relaxed) &&
           import_now_ns(in) - b->refused_ns < patience_ns;
}

static void write_later(struct import *in, struct import_batch *b)
{
    uint64_t wait_ms = (uint64_t)AGAIN_MS_MIN << (b->refusals < 5 ? b->refusals : 5);

    b->refusals++;
    b->again_ns = import_now_ns(in) + (wait_ms < AGAIN_MS_MAX ? wait_ms : AGAIN_MS_MAX) * MS;
    b->state = IMPORT_LATER;
}

static void look_at_ended(struct import *in, struct import_batch *b)
{
    if (b->st == ST_OK) {
        b->state = IMPORT_DONE;
        return;
    }
    if (b->refused_ns == 0)
        b->refused_ns = import_now_ns(in);
    if (may_wait(in, b)) {
        write_later(in, b);
        return;
    }
    if (!in->failed) /* also where a line behind is wrong: what is not there matters more */
        in->wrong = false;
    import_fail(in, problem_of_write(in->req, b->st), 0, "%ss %" PRIu64 " to %" PRIu64 ": %s",
                unit_name(in), b->first_line, b->last_line, b->err.text);
    in->failed = true;
    b->state = IMPORT_FREE; /* stays in its place: nothing behind it is acknowledged */
}

/* Those at the front that are written. */
static void acknowledge(struct import *in)
{
    bool some = false;

    while (in->used > 0 && batch_at(in, 0)->state == IMPORT_DONE) {
        struct import_batch *b = batch_at(in, 0);

        in->count.acknowledged = b->last_line;
        in->count.imported += b->count;
        if (b->result.lsn > in->count.lsn)
            in->count.lsn = b->result.lsn;
        in->remote = in->remote && strcmp(b->result.durability, "remote") == 0;
        in->short_of = in->short_of || b->result.short_of_remote;
        import_batch_free(b);
        in->oldest = (in->oldest + 1) % IMPORT_BATCHES;
        in->used--;
        some = true;
    }
    if (!some)
        return;
    (void)atomic_fetch_add(&in->upload->steps, 1);
    if (in->place >= 0)
        imports_note(in->req->api->imports, in->place, &in->count, in->body_bytes + in->at);
}

/* Takes notice of what node has called back for, and writes again what is due. */
static void settle(struct import *in)
{
    uint64_t next_ns = 0;

    for (size_t i = 0; i < in->used; i++) {
        struct import_batch *b = batch_at(in, i);

        if (b->state == IMPORT_ENDED)
            look_at_ended(in, b);
        if (b->state == IMPORT_LATER && !in->failed && import_now_ns(in) >= b->again_ns)
            import_batch_write(b);
        if (b->state == IMPORT_LATER && (next_ns == 0 || b->again_ns < next_ns))
            next_ns = b->again_ns;
    }
    acknowledge(in);
    if (next_ns != 0)
        atomic_store(&in->upload->wake_at_ns, next_ns);
}

static bool shares_ids(struct import *in, const struct import_batch *b)
{
    for (size_t i = 0; i < in->used; i++) {
        const struct import_batch *other = batch_at(in, i);

        if (other->state != IMPORT_DONE && import_batch_shares(b, other))
            return true;
    }
    return false;
}

/* Hands the batch that was filled to node; false while one with the same ids is under way. */
static bool write_filled(struct import *in)
{
    struct import_batch *b = in->filling;

    if (shares_ids(in, b))
        return false;
    b->last_line = in->count.lines;
    b->options = in->options;
    in->used++;
    in->filling = NULL;
    import_batch_write(b);
    return true;
}

/* --- the body --- */

/* How it ended, when it did not as its framing says. */
static void end_early(struct import *in)
{
    struct upload *u = in->upload;

    in->count.lines = in->units.count; /* blank ones too */
    switch (in->end) {
    case UPLOAD_STALLED:
        import_fail(in, PROBLEM_SLOW_REQUEST, 0, "no byte of the body came for %" PRIu32 " s",
                    in->req->api->options.timeout_ms / 1000);
        break;
    case UPLOAD_CUT:
        import_fail(in, PROBLEM_BAD_HTTP, 0, "the body ended before its framing says");
        break;
    case UPLOAD_BROKEN:
        import_fail(in, problem_of_http(u->http_status), 0, "%s", u->why);
        break;
    case UPLOAD_DRAINING:
        import_fail(in, PROBLEM_DRAINING, 0, "this node is shutting down");
        break;
    case UPLOAD_COMES:
    case UPLOAD_WHOLE:
        break;
    }
}

/* A line that is longer than what others hold of theirs counts. */
static bool charge_line(struct import *in)
{
    struct api *api = in->req->api;
    uint64_t bound = 4 * api->options.body_bytes_max;
    size_t held = in->req->body.capacity > BODY_BYTES_KEPT ? in->req->body.capacity : 0;
    uint64_t all =
        atomic_fetch_add(&api->line_bytes, held - in->line_charged) + held - in->line_charged;

    in->line_charged = held;
    if (held == 0 || all <= bound)
        return true;
    import_fail(in, PROBLEM_BODIES_FULL, in->units.count + 1,
                "the long lines of all imports under way are over their bound");
    return false;
}

static bool take_from_upload(struct import *in, struct buf *body, enum upload_end *end)
{
    if (upload_take(in->upload, body, end))
        return true;
    body->failed = false;
    import_fail(in, PROBLEM_NO_MEMORY, 0, "out of memory for a piece of the body");
    return false;
}

/* Moves what is left to the front and appends what came; false when nothing did. */
static bool take_more(struct import *in)
{
    struct buf *body = &in->req->body;
    size_t left = body->bytes - in->at;
    enum upload_end end;

    if (in->at > 0 && left > 0)
        memmove(body->data, body->data + in->at, left);
    in->body_bytes += in->at;
    in->at = 0;
    body->bytes = left;
    if (left == 0 && body->capacity > BODY_BYTES_KEPT) {
        uint64_t bytes_max = body->bytes_max;

        buf_free(body);
        buf_init(body, bytes_max);
    }
    if (!(in->more != NULL ? in->more : take_from_upload)(in, body, &end))
        return true;
    if (body->bytes == left && end == in->end)
        return false;
    in->end = end;
    (void)charge_line(in);
    return true;
}

enum import_take import_next(struct import *in, struct slice *unit)
{
    struct slice have = slice_make(in->req->body.data + in->at, in->req->body.bytes - in->at);
    struct err err = {0};
    size_t used = 0;
    enum units_step step = units_next(&in->units, have, in->end == UPLOAD_WHOLE, &used, unit, &err);
    uint64_t number = in->units.count;

    in->at += used;
    switch (step) {
    case UNITS_MORE:
        if (in->end != UPLOAD_COMES) {
            end_early(in);
            return IMPORT_TAKE_SOME;
        }
        return take_more(in) ? IMPORT_TAKE_SOME : IMPORT_TAKE_WAIT;
    case UNITS_END:
        in->count.lines = number;
        in->read = true;
        return IMPORT_TAKE_SOME;
    case UNITS_BAD:
        import_fail(in, PROBLEM_INVALID, number + 1, "%s %" PRIu64 ": %s", unit_name(in),
                    number + 1, err.text);
        return IMPORT_TAKE_SOME;
    case UNITS_UNIT:
        break;
    }
    return IMPORT_TAKE_UNIT;
}

static bool take_unit(struct import *in, struct slice unit, uint64_t number)
{
    if (in->units.format != UNITS_NDJSON)
        return import_take_floats(in, unit, number);
    return (in->line != NULL ? in->line : import_take_line)(in, unit, number);
}

/* One line or row, or more of the body. */
static enum import_take take_next(struct import *in)
{
    struct slice unit = {0};
    enum import_take taken = import_next(in, &unit);
    uint64_t number = in->units.count;

    if (taken != IMPORT_TAKE_UNIT)
        return taken;
    if (number <= in->skip || take_unit(in, unit, number))
        in->count.lines = number;
    return IMPORT_TAKE_SOME;
}

/* Blank and skipped lines are done when all before them is. */
static void acknowledge_rest(struct import *in)
{
    if (in->used == 0 && (in->filling == NULL || in->filling->count == 0) && !in->failed)
        in->count.acknowledged = in->count.lines;
}

enum import_go import_step(struct import *in)
{
    settle(in);
    if (in->failed || (in->read && (in->filling == NULL || in->filling->count == 0))) {
        if (under_way(in) > 0 || (!in->failed && in->used > 0))
            return IMPORT_WAIT;
        acknowledge_rest(in);
        return IMPORT_END;
    }
    if (in->filling == NULL) {
        if (in->used == IMPORT_BATCHES)
            return IMPORT_WAIT;
        in->filling = batch_at(in, in->used);
        if (!import_batch_begin(in->filling, in->req)) {
            import_fail(in, PROBLEM_NO_MEMORY, 0, "out of memory for a batch");
            in->filling = NULL;
            return IMPORT_ON;
        }
    }
    if (in->read || import_batch_full(in->filling))
        return write_filled(in) ? IMPORT_ON : IMPORT_WAIT;
    if (take_next(in) != IMPORT_TAKE_WAIT)
        return IMPORT_ON;
    /* A body that comes slowly is not waited for with what there is of it. */
    if (in->filling->count > 0 && in->used == 0)
        return write_filled(in) ? IMPORT_ON : IMPORT_WAIT;
    acknowledge_rest(in);
    return IMPORT_WAIT;
}

task_state import_go(struct import *in, enum import_go (*step)(struct import *in),
                     task_state (*finish)(struct import *in))
{
    uint64_t until_ns = import_now_ns(in) + EXEC_SLICE_NS;
    uint64_t looked_at = in->body_bytes + in->at;

    for (;;) {
        uint64_t at;

        switch (step(in)) {
        case IMPORT_END:
            return finish(in);
        case IMPORT_WAIT:
            if (upload_sleep(in->upload))
                return TASK_DONE;
            break;
        case IMPORT_ON:
            break;
        }
        at = in->body_bytes + in->at;
        if (at - looked_at < CLOCK_BYTES)
            continue;
        looked_at = at;
        if (import_now_ns(in) >= until_ns) {
            (void)atomic_fetch_add(&in->upload->steps, 1);
            return TASK_AGAIN;
        }
    }
}
