#include "objstore/upload_core.h"

#include <assert.h>
#include <stdio.h>

enum { MIB = 1024 * 1024 };

uint32_t upload_part_bytes(uint64_t bytes, uint32_t wanted)
{
    uint64_t least = (bytes + OBJSTORE_PARTS_MAX - 1) / OBJSTORE_PARTS_MAX;
    uint64_t part = wanted == 0 ? UPLOAD_PART_BYTES : wanted;

    if (part < OBJSTORE_PART_BYTES_MIN)
        part = OBJSTORE_PART_BYTES_MIN;
    if (bytes > (uint64_t)OBJSTORE_PARTS_MAX * OBJSTORE_OBJECT_BYTES_MAX)
        return 0;
    if (part < least)
        part = (least + MIB - 1) / MIB * MIB;
    return part < OBJSTORE_OBJECT_BYTES_MAX ? (uint32_t)part : OBJSTORE_OBJECT_BYTES_MAX;
}

static void go(struct upload_core *u, enum upload_step step, uint64_t at_ms)
{
    u->step = step;
    memset(u->slots, 0, sizeof u->slots);
    u->slots[0].state = UPLOAD_SLOT_DUE;
    u->slots[0].at_ms = at_ms;
    if (step == UPLOAD_PARTS) {
        u->slots[0].state = UPLOAD_SLOT_IDLE;
        u->parts_begun = u->parts_done = 0;
    }
}

static void begin(struct upload_core *u, uint64_t at_ms)
{
    go(u, u->part_count == 0 ? UPLOAD_PUT : UPLOAD_BEGIN, at_ms);
}

void upload_core_init(struct upload_core *u, uint64_t bytes, uint32_t part_bytes,
                      uint32_t slot_count, enum objstore_condition condition,
                      const struct objstore_retry_policy *policy, uint32_t restarts_max,
                      struct objstore_part *parts)
{
    assert(part_bytes > 0 && slot_count > 0 && slot_count <= UPLOAD_SLOTS_MAX);
    *u = (struct upload_core){
        .bytes = bytes,
        .part_bytes = part_bytes,
        .part_count = bytes <= part_bytes ? 0 : (uint32_t)((bytes + part_bytes - 1) / part_bytes),
        .slot_count = slot_count,
        .restarts_max = restarts_max,
        .condition = condition,
        .policy = *policy,
        .parts = parts,
    };
    begin(u, 0);
}

/* --- what to send --- */

static void fill(const struct upload_core *u, uint32_t slot, struct upload_want *want)
{
    static const enum objstore_op ops[] = {
        [UPLOAD_PUT] = OBJSTORE_PUT,
        [UPLOAD_BEGIN] = OBJSTORE_UPLOAD_BEGIN,
        [UPLOAD_PARTS] = OBJSTORE_UPLOAD_PART,
        [UPLOAD_COMPLETE] = OBJSTORE_UPLOAD_COMPLETE,
        [UPLOAD_HEAD] = OBJSTORE_HEAD,
        [UPLOAD_COMPARE] = OBJSTORE_GET,
        [UPLOAD_ABORT] = OBJSTORE_UPLOAD_ABORT,
    };
    uint64_t left;

    *want = (struct upload_want){
        .op = ops[u->step], .slot = slot, .bytes = u->bytes, .fresh = u->slots[slot].fresh};
    if (u->step == UPLOAD_PARTS) {
        want->part_number = u->slots[slot].part + 1;
        want->offset = (uint64_t)u->slots[slot].part * u->part_bytes;
    } else if (u->step == UPLOAD_COMPARE) {
        want->offset = u->compared;
    }
    left = u->bytes - want->offset;
    want->bytes = left < u->part_bytes ? left : u->part_bytes;
}

static bool send_slot(struct upload_core *u, uint32_t slot, uint64_t now_ms,
                      struct upload_want *want, uint64_t *wake_ms)
{
    struct upload_slot *s = &u->slots[slot];

    if (s->state != UPLOAD_SLOT_DUE)
        return false;
    if (s->at_ms > now_ms) {
        *wake_ms = s->at_ms < *wake_ms ? s->at_ms : *wake_ms;
        return false;
    }
    s->state = UPLOAD_SLOT_SENT;
    fill(u, slot, want);
    return true;
}

static bool next_part(struct upload_core *u, uint64_t now_ms, struct upload_want *want,
                      uint64_t *wake_ms)
{
    for (uint32_t i = 0; i < u->slot_count; i++) {
        struct upload_slot *s = &u->slots[i];

        if (s->state == UPLOAD_SLOT_IDLE && u->parts_begun < u->part_count)
            *s = (struct upload_slot){.state = UPLOAD_SLOT_DUE, .part = u->parts_begun++};
        if (send_slot(u, i, now_ms, want, wake_ms))
            return true;
    }
    return false;
}

static void leave(struct upload_core *u)
{
    if (u->begins_again)
        begin(u, u->begins_ms);
    else
        u->step = UPLOAD_DONE;
    u->begins_again = false;
}

static bool is_sent(const struct upload_core *u)
{
    bool any = false;

    for (uint32_t i = 0; i < u->slot_count; i++)
        any = any || u->slots[i].state == UPLOAD_SLOT_SENT;
    return any;
}

bool upload_core_next(struct upload_core *u, uint64_t now_ms, struct upload_want *want,
                      uint64_t *wake_ms)
{
    *wake_ms = UINT64_MAX;
    if (u->step == UPLOAD_DRAIN && !is_sent(u)) {
        if (u->live)
            go(u, UPLOAD_ABORT, 0);
        else
            leave(u);
    }
    if (u->step == UPLOAD_DRAIN || u->step == UPLOAD_DONE)
        return false;
    if (u->step == UPLOAD_PARTS)
        return next_part(u, now_ms, want, wake_ms);
    return send_slot(u, 0, now_ms, want, wake_ms);
}

/* --- what an answer means --- */

static void stop_sending(struct upload_core *u)
{
    if (u->step == UPLOAD_DRAIN)
        return;
    for (uint32_t i = 0; i < UPLOAD_SLOTS_MAX; i++)
        if (u->slots[i].state != UPLOAD_SLOT_SENT)
            u->slots[i].state = UPLOAD_SLOT_IDLE;
    u->drained = u->step;
    u->step = UPLOAD_DRAIN;
}

static bool fail(struct upload_core *u, enum objstore_class c)
{
    u->class = c;
    stop_sending(u);
    return true;
}

/* Anew from the first part, for what cannot be gone on with. */
static bool restart(struct upload_core *u, enum objstore_class c, uint64_t now_ms, uint64_t random)
{
    uint64_t delay = 0;

    if (u->restarts >= u->restarts_max)
        return fail(u, c == OBJSTORE_NOT_FOUND || c == OBJSTORE_OK ? OBJSTORE_TRANSIENT : c);
    u->restarts++;
    if (!objstore_retry_next(&u->policy, OBJSTORE_CONFLICT, 1, 0, random, &delay))
        delay = 0;
    u->begins_again = true;
    u->begins_ms = now_ms + delay;
    stop_sending(u);
    return false;
}

static bool again_or_fail(struct upload_core *u, struct upload_slot *s,
                          const struct objstore_result *r, uint64_t now_ms, uint64_t random)
{
    uint64_t delay = 0;

    s->tries[r->class]++;
    if (!objstore_retry_next(&u->policy, r->class, s->tries[r->class], r->retry_after_ms, random,
                             &delay))
        return fail(u, r->class);
    s->state = UPLOAD_SLOT_DUE;
    s->at_ms = now_ms + delay;
    s->fresh = r->class == OBJSTORE_TRANSIENT || r->class == OBJSTORE_INTEGRITY;
    return false;
}

static bool succeed(struct upload_core *u, const char *etag, bool found)
{
    u->class = OBJSTORE_OK;
    u->maybe_applied = false;
    u->found = found;
    (void)snprintf(u->etag, sizeof u->etag, "%s", etag);
    stop_sending(u);
    return false;
}

/* The name is taken: it may be by what an answer that was lost has stored. Without a lost one only
 * who asked for a name nobody has is content with the same bytes of somebody else. */
static bool is_worth_a_look(const struct upload_core *u)
{
    return u->maybe_applied || u->condition == OBJSTORE_IF_ABSENT;
}

static bool on_put(struct upload_core *u, struct upload_slot *s, const struct objstore_result *r,
                   uint64_t now_ms, uint64_t random)
{
    if (r->class == OBJSTORE_OK)
        return succeed(u, r->etag, false);
    if (r->class == OBJSTORE_PRECONDITION && is_worth_a_look(u)) {
        go(u, UPLOAD_HEAD, 0);
        return false;
    }
    return again_or_fail(u, s, r, now_ms, random);
}

static bool on_begin(struct upload_core *u, struct upload_slot *s, const struct objstore_result *r,
                     uint64_t now_ms, uint64_t random)
{
    if (r->class != OBJSTORE_OK)
        return again_or_fail(u, s, r, now_ms, random);
    (void)snprintf(u->upload_id, sizeof u->upload_id, "%s", r->upload_id);
    u->live = true;
    go(u, UPLOAD_PARTS, 0);
    return false;
}

static bool on_part(struct upload_core *u, struct upload_slot *s, const struct objstore_result *r,
                    uint64_t now_ms, uint64_t random)
{
    if (r->class == OBJSTORE_NOT_FOUND) { /* aborted by somebody: a sweep */
        u->live = false;
        return restart(u, r->class, now_ms, random);
    }
    if (r->class != OBJSTORE_OK)
        return again_or_fail(u, s, r, now_ms, random);
    u->parts[s->part].number = s->part + 1;
    memcpy(u->parts[s->part].etag, r->etag, sizeof r->etag);
    s->state = UPLOAD_SLOT_IDLE;
    if (++u->parts_done == u->part_count)
        go(u, UPLOAD_COMPLETE, 0);
    return false;
}

static bool on_complete(struct upload_core *u, struct upload_slot *s,
                        const struct objstore_result *r, uint64_t now_ms, uint64_t random)
{
    if (r->class == OBJSTORE_OK) {
        u->live = false;
        return succeed(u, r->etag, false);
    }
    if (r->class == OBJSTORE_NOT_FOUND) { /* by an answer that was lost, or by a sweep */
        u->live = false;
        go(u, UPLOAD_HEAD, 0);
        return false;
    }
    if (r->class == OBJSTORE_PRECONDITION && is_worth_a_look(u)) {
        go(u, UPLOAD_HEAD, 0);
        return false;
    }
    /* S3 says so itself of a conflict. A part may be another once a lost one came late. */
    if (r->class == OBJSTORE_CONFLICT || strcmp(r->s3_code, "InvalidPart") == 0)
        return restart(u, r->class, now_ms, random);
    return again_or_fail(u, s, r, now_ms, random);
}

/* Something else has the name: written over where no condition forbids it. */
static bool on_another(struct upload_core *u, uint64_t now_ms, uint64_t random)
{
    if (u->condition == OBJSTORE_ALWAYS)
        return restart(u, OBJSTORE_OK, now_ms, random);
    u->maybe_applied = false;
    return fail(u, OBJSTORE_PRECONDITION);
}

static bool on_head(struct upload_core *u, struct upload_slot *s, const struct objstore_result *r,
                    uint64_t now_ms, uint64_t random)
{
    if (r->class == OBJSTORE_NOT_FOUND)
        return restart(u, r->class, now_ms, random);
    if (r->class != OBJSTORE_OK)
        return again_or_fail(u, s, r, now_ms, random);
    if (r->object_bytes != u->bytes)
        return on_another(u, now_ms, random);
    memcpy(u->seen_etag, r->etag, sizeof u->seen_etag);
    u->compared = 0;
    if (u->bytes == 0)
        return succeed(u, r->etag, true);
    go(u, UPLOAD_COMPARE, 0);
    return false;
}

static bool on_compare(struct upload_core *u, struct upload_slot *s,
                       const struct upload_answer *answer, uint64_t now_ms, uint64_t random)
{
    const struct objstore_result *r = answer->result;

    if (r->class == OBJSTORE_NOT_FOUND)
        return restart(u, r->class, now_ms, random);
    if (r->class != OBJSTORE_OK)
        return again_or_fail(u, s, r, now_ms, random);
    if (!answer->equal || strcmp(r->etag, u->seen_etag) != 0)
        return on_another(u, now_ms, random);
    u->compared += u->bytes - u->compared < u->part_bytes ? u->bytes - u->compared : u->part_bytes;
    if (u->compared == u->bytes)
        return succeed(u, r->etag, true);
    go(u, UPLOAD_COMPARE, 0);
    return false;
}

static bool on_abort(struct upload_core *u, struct upload_slot *s, const struct objstore_result *r,
                     uint64_t now_ms, uint64_t random)
{
    uint64_t delay = 0;
    uint32_t tries = ++s->tries[OBJSTORE_OK]; /* of all classes together */
    bool gone = r->class == OBJSTORE_OK || r->class == OBJSTORE_NOT_FOUND;

    if (!gone && tries < UPLOAD_ABORTS_MAX &&
        objstore_retry_next(&u->policy, r->class, tries, r->retry_after_ms, random, &delay)) {
        s->state = UPLOAD_SLOT_DUE;
        s->at_ms = now_ms + delay;
        s->fresh = true;
        return false;
    }
    u->left_behind = u->left_behind || !gone;
    u->live = false;
    leave(u);
    return false;
}

/* What was cancelled may have been done all the same. */
static void on_drained(struct upload_core *u, const struct objstore_result *r)
{
    if (u->drained != UPLOAD_PUT && u->drained != UPLOAD_COMPLETE)
        return;
    u->maybe_applied = u->maybe_applied || r->maybe_applied;
    if (r->class != OBJSTORE_OK)
        return;
    u->live = u->live && u->drained != UPLOAD_COMPLETE;
    (void)succeed(u, r->etag, false);
}

bool upload_core_answer(struct upload_core *u, uint32_t slot, const struct upload_answer *answer,
                        uint64_t now_ms, uint64_t random)
{
    const struct objstore_result *r = answer->result;
    struct upload_slot *s = &u->slots[slot];

    assert(slot < u->slot_count && s->state == UPLOAD_SLOT_SENT);
    s->state = UPLOAD_SLOT_IDLE;
    if (u->step == UPLOAD_PUT || u->step == UPLOAD_COMPLETE)
        u->maybe_applied = u->maybe_applied || r->maybe_applied;
    switch (u->step) {
    case UPLOAD_PUT:
        return on_put(u, s, r, now_ms, random);
    case UPLOAD_BEGIN:
        u->left_behind = u->left_behind || r->maybe_applied; /* one whose name nobody knows */
        return on_begin(u, s, r, now_ms, random);
    case UPLOAD_PARTS:
        return on_part(u, s, r, now_ms, random);
    case UPLOAD_COMPLETE:
        return on_complete(u, s, r, now_ms, random);
    case UPLOAD_HEAD:
        return on_head(u, s, r, now_ms, random);
    case UPLOAD_COMPARE:
        return on_compare(u, s, answer, now_ms, random);
    case UPLOAD_ABORT:
        return on_abort(u, s, r, now_ms, random);
    case UPLOAD_DRAIN:
        on_drained(u, r);
        break;
    case UPLOAD_DONE:
        break;
    }
    return false;
}

void upload_core_stop(struct upload_core *u, enum objstore_class c)
{
    if (u->step == UPLOAD_DONE ||
        ((u->step == UPLOAD_DRAIN || u->step == UPLOAD_ABORT) && !u->begins_again))
        return;
    u->begins_again = false;
    if (u->step == UPLOAD_ABORT) { /* goes on to its end */
        u->class = c;
        return;
    }
    (void)fail(u, c);
}
