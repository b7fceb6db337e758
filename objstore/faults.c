#include "objstore/faults.h"

#include "base/clock.h"
#include "base/mem.h"
#include "objstore/faults_internal.h"
#include "objstore/store.h"
#include "objstore/wrap.h"

enum { MILLISECOND_NS = 1000000, LATENCY_BITS = 53 };

/* What becomes of a request that waits, in the state of its own. */
enum stage {
    STAGE_FORWARD = 1, /* goes to the inner store */
    STAGE_ANSWER,      /* done() with the result it has */
};

static uint64_t now_ns(void)
{
    return clock_mono_ns(clock_real());
}

static uint64_t due_in(uint64_t delay_ms)
{
    if (delay_ms == OBJSTORE_FAULT_HOLD || delay_ms > UINT64_MAX / MILLISECOND_NS / 2)
        return UINT64_MAX;
    return now_ns() + delay_ms * MILLISECOND_NS;
}

static uint64_t latency_ns(struct faults *f, const struct objstore_req *req, uint64_t bytes)
{
    enum objstore_profile profile = (enum objstore_profile)f->profile;
    double u;

    if (profile == OBJSTORE_PROFILE_NONE)
        return 0;
    u = (double)(rand_u64(&f->rng.source) >> (64 - LATENCY_BITS)) /
        (double)((uint64_t)1 << LATENCY_BITS);
    return objstore_profile_ns(profile, req->op, req->result.class == OBJSTORE_NOT_MODIFIED, bytes,
                               u);
}

static bool is_write(const struct objstore_req *req)
{
    return req->op != OBJSTORE_GET && req->op != OBJSTORE_HEAD && req->op != OBJSTORE_LIST;
}

static void answer_of(struct objstore_req *req, const struct objstore_fault *fault, bool lost)
{
    enum objstore_class c = fault->class == OBJSTORE_OK ? OBJSTORE_TRANSIENT : fault->class;

    objstore_answer(req, c, fault->http_status, fault->s3_code == NULL ? "" : fault->s3_code, "%s",
                    lost ? "the answer was lost (fault)" : "refused (fault)");
    req->result.retry_after_ms = fault->retry_after_ms;
    req->result.maybe_applied = lost && is_write(req);
}

/* False: the store is closing, nothing waits any more. */
static bool wait_until(struct faults *f, struct objstore_req *req, enum stage stage,
                       uint64_t due_ns)
{
    bool waits;

    lock_take(&f->shared.lock);
    waits = !f->shared.stopping;
    if (waits) {
        wrap_top(req)->at_ns = due_ns;
        req->state = (int)stage;
        req->next = f->shared.waiting;
        f->shared.waiting = req;
        cond_signal(&f->shared.woken);
    }
    lock_drop(&f->shared.lock);
    return waits;
}

static void on_copy_done(struct objstore_req *copy)
{
    ((struct faults *)wrap_top(copy)->owner)->late_effects++;
    faults_copy_free(copy);
}

static void no_owner(struct objstore_req *req)
{
    (void)req;
    assert(!"a copy has no caller");
}

/* An effect that takes place without anybody waiting for it. */
static bool start_copy(struct faults *f, const struct objstore_req *req, uint64_t delay_ms)
{
    struct objstore_req *copy = faults_copy(req);

    if (copy == NULL)
        return false;
    copy->done = no_owner;
    (void)wrap_push(copy, f, on_copy_done);
    if (!wait_until(f, copy, STAGE_FORWARD, due_in(delay_ms)))
        faults_copy_free(copy);
    return true;
}

static void damage(struct faults *f, struct objstore_req *req, enum objstore_fault_kind kind)
{
    struct buf *body = &req->result.body;

    if (req->result.class != OBJSTORE_OK || body->bytes == 0)
        return;
    if (kind == OBJSTORE_FAULT_CORRUPT) {
        uint64_t bit = rand_below(&f->rng.source, body->bytes * 8);

        body->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    } else
        body->bytes = (size_t)rand_below(&f->rng.source, body->bytes);
}

static void apply_mark(struct faults *f, struct objstore_req *req, const struct plan *plan)
{
    enum objstore_fault_kind kind = plan->fault.kind;

    if (kind == OBJSTORE_FAULT_LOSE) {
        objstore_result_fini(&req->result);
        answer_of(req, &plan->fault, true);
    } else if (kind == OBJSTORE_FAULT_TWICE)
        (void)start_copy(f, req, plan->fault.delay_ms);
    else if (kind == OBJSTORE_FAULT_CORRUPT || kind == OBJSTORE_FAULT_TRUNCATE)
        damage(f, req, kind);
}

/* Reads took their effect when they were submitted; their way back is what takes the time. */
static void on_inner_done(struct objstore_req *req)
{
    struct objstore_slot *slot = wrap_top(req);
    struct faults *f = slot->owner;
    struct plan *mark = slot->note; /* what is to be done to the answer */
    uint64_t latency = is_write(req) ? 0 : latency_ns(f, req, req->result.received_bytes);

    slot->note = NULL;
    if (mark != NULL)
        apply_mark(f, req, mark);
    mem_free(mark);
    if (latency == 0 || !wait_until(f, req, STAGE_ANSWER, now_ns() + latency))
        wrap_done(req);
}

static void forward(struct faults *f, struct objstore_req *req)
{
    objstore_submit(f->inner, req);
}

static void forward_later(struct faults *f, struct objstore_req *req, uint64_t due_ns)
{
    if (due_ns == 0 || !wait_until(f, req, STAGE_FORWARD, due_ns))
        forward(f, req);
}

/* A mark that cannot be kept is a fault of memory, and says so. */
static bool keep_mark(struct objstore_req *req, const struct plan *plan)
{
    struct plan *mark = mem_alloc(sizeof *mark);

    if (mark == NULL)
        return false;
    *mark = *plan;
    if (plan->fault.s3_code != NULL)
        mark->fault.s3_code = mark->s3_code;
    wrap_top(req)->note = mark;
    return true;
}

static void answer_later(struct faults *f, struct objstore_req *req, uint64_t due_ns)
{
    if (!wait_until(f, req, STAGE_ANSWER, due_ns))
        forward(f, req); /* closing: the inner store ends it */
}

static void no_memory(struct faults *f, struct objstore_req *req)
{
    objstore_answer(req, OBJSTORE_TRANSIENT, 0, "", "out of memory");
    answer_later(f, req, 0);
}

static void submit_faulty(struct faults *f, struct objstore_req *req, const struct plan *plan)
{
    uint64_t due = due_in(plan->fault.delay_ms);

    switch (plan->fault.kind) {
    case OBJSTORE_FAULT_REFUSE:
        answer_of(req, &plan->fault, false);
        answer_later(f, req, due);
        return;
    case OBJSTORE_FAULT_LATE:
        if (!start_copy(f, req, plan->fault.delay_ms)) {
            no_memory(f, req);
            return;
        }
        answer_of(req, &plan->fault, true);
        answer_later(f, req, 0);
        return;
    case OBJSTORE_FAULT_DELAY:
        forward_later(f, req, due);
        return;
    case OBJSTORE_FAULT_LOSE:
    case OBJSTORE_FAULT_TWICE:
    case OBJSTORE_FAULT_CORRUPT:
    case OBJSTORE_FAULT_TRUNCATE:
        break;
    }
    if (keep_mark(req, plan))
        forward(f, req);
    else
        no_memory(f, req);
}

static void on_submit(struct objstore *s, struct objstore_req *req)
{
    struct faults *f = faults_of(s);
    struct plan plan;
    bool met = false;

    (void)wrap_push(req, f, on_inner_done);
    lock_take(&f->shared.lock);
    if (!f->shared.stopping)
        met = faults_match_locked(f, req, &plan);
    lock_drop(&f->shared.lock);
    if (met)
        submit_faulty(f, req, &plan);
    else if (is_write(req)) {
        uint64_t latency = latency_ns(f, req, req->body.bytes);

        forward_later(f, req, latency == 0 ? 0 : now_ns() + latency);
    } else
        forward(f, req);
}

static void on_cancel(struct objstore *s, struct objstore_req *req)
{
    struct faults *f = faults_of(s);
    bool found = false;

    lock_take(&f->shared.lock);
    for (struct objstore_req *at = f->shared.waiting; at != NULL; at = at->next) {
        if (at != req)
            continue;
        found = true;
        if (at->state == STAGE_FORWARD)
            objstore_answer(at, OBJSTORE_CANCELLED, 0, "", "cancelled before it was sent");
        at->state = STAGE_ANSWER;
        wrap_top(at)->at_ns = 0;
        cond_signal(&f->shared.woken);
    }
    lock_drop(&f->shared.lock);
    if (!found)
        objstore_cancel(f->inner, req);
}

/* Takes out the request that is due first, if it is due; else says in how long. */
static struct objstore_req *take_due_locked(struct faults *f, uint64_t *wait_ns)
{
    struct objstore_req **first = NULL;
    struct objstore_req *req;
    uint64_t due = UINT64_MAX;
    uint64_t now = now_ns();

    for (struct objstore_req **at = &f->shared.waiting; *at != NULL; at = &(*at)->next)
        if (first == NULL || wrap_top(*at)->at_ns <= due) { /* the oldest of equals is last */
            first = at;
            due = wrap_top(*at)->at_ns;
        }
    *wait_ns = due == UINT64_MAX ? UINT64_MAX : due - (due < now ? due : now);
    if (first == NULL || (due > now && !f->shared.stopping))
        return NULL;
    req = *first;
    *first = req->next;
    req->next = NULL;
    return req;
}

static void finish_waiting(struct faults *f, struct objstore_req *req, bool stopping)
{
    bool is_copy = req->done == on_copy_done;

    if (req->state == STAGE_FORWARD && !stopping)
        forward(f, req);
    else if (is_copy)
        faults_copy_free(req);
    else {
        if (req->state == STAGE_FORWARD)
            objstore_answer(req, OBJSTORE_CANCELLED, 0, "", "the store was closed");
        wrap_done(req);
    }
}

static void work(void *arg)
{
    struct faults *f = arg;

    lock_take(&f->shared.lock);
    for (;;) {
        uint64_t wait_ns = UINT64_MAX;
        struct objstore_req *req = take_due_locked(f, &wait_ns);
        bool stopping = f->shared.stopping;

        if (req != NULL) {
            lock_drop(&f->shared.lock);
            finish_waiting(f, req, stopping);
            lock_take(&f->shared.lock);
        } else if (stopping)
            break;
        else if (wait_ns == UINT64_MAX)
            cond_wait(&f->shared.woken, &f->shared.lock);
        else
            (void)cond_wait_ns(&f->shared.woken, &f->shared.lock, wait_ns);
    }
    lock_drop(&f->shared.lock);
}

struct faults *faults_of(struct objstore *s)
{
    assert(s->ops->submit == on_submit); /* the store with faults itself, not one around it */
    return (struct faults *)s;
}

size_t objstore_faults_held(struct objstore *s)
{
    struct faults *f = faults_of(s);
    size_t held = 0;

    lock_take(&f->shared.lock);
    for (struct objstore_req *at = f->shared.waiting; at != NULL; at = at->next)
        held += wrap_top(at)->at_ns == UINT64_MAX;
    lock_drop(&f->shared.lock);
    return held;
}

size_t objstore_faults_release(struct objstore *s)
{
    struct faults *f = faults_of(s);
    size_t held = 0;

    lock_take(&f->shared.lock);
    for (struct objstore_req *at = f->shared.waiting; at != NULL; at = at->next)
        if (wrap_top(at)->at_ns == UINT64_MAX) {
            wrap_top(at)->at_ns = 0;
            held++;
        }
    cond_signal(&f->shared.woken);
    lock_drop(&f->shared.lock);
    return held;
}

uint64_t objstore_faults_late_effects(struct objstore *s)
{
    return faults_of(s)->late_effects;
}

static void on_reload(struct objstore *s)
{
    objstore_reload(faults_of(s)->inner);
}

static void on_trouble(struct objstore *s, char text[ERR_TEXT_BYTES])
{
    objstore_trouble(faults_of(s)->inner, text);
}

/* First what waits here ends, then the inner store ends the rest; answers it gives now are passed
 * on at once. */
static void on_close(struct objstore *s)
{
    struct faults *f = faults_of(s);

    lock_take(&f->shared.lock);
    f->shared.stopping = true;
    cond_signal(&f->shared.woken);
    lock_drop(&f->shared.lock);
    thread_join(&f->thread);
    objstore_close(f->inner);
    cond_fini(&f->shared.woken);
    lock_fini(&f->shared.lock);
    mem_free(f);
}

status objstore_faults_open(struct objstore *inner, uint64_t seed, struct objstore **out,
                            struct err *err)
{
    static const struct objstore_ops ops = {.submit = on_submit,
                                            .cancel = on_cancel,
                                            .reload = on_reload,
                                            .trouble = on_trouble,
                                            .close = on_close};
    struct faults *f = mem_zero(sizeof *f);
    status st;

    if (f == NULL)
        return err_set(err, ST_NOMEM, "open a store with faults: out of memory");
    f->store.ops = &ops;
    f->inner = inner;
    memcpy(f->store.description, inner->description, sizeof f->store.description);
    rand_seeded_init(&f->rng, seed);
    lock_init(&f->shared.lock, LOCK_RANK_OBJSTORE, "objstore faults");
    cond_init(&f->shared.woken);
    st = thread_start(&f->thread, "objfault-0", THREAD_NORMAL, work, f, err);
    if (st != ST_OK) {
        cond_fini(&f->shared.woken);
        lock_fini(&f->shared.lock);
        mem_free(f);
        return st;
    }
    *out = &f->store;
    return ST_OK;
}
