/* The thread `s3`: requests come through a locked list, wait in their pool's queue, take a call
 * (s3_call.c) and are driven by one curl_multi. Everything behind the list is the thread's alone.
 */
#include "objstore/s3.h"

#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "objstore/s3_internal.h"
#include "objstore/store.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { WAIT_MS = 10000, WAIT_FOR_KEYS_MS = 100, SKEW_S_MAX = 86400 };
enum { STATE_ASKED = 0, STATE_CANCELLED = 1 }; /* of objstore_req.state */

static void push(struct s3_queue *q, struct objstore_req *req)
{
    req->next = NULL;
    if (q->last != NULL)
        q->last->next = req;
    else
        q->first = req;
    q->last = req;
}

static struct objstore_req *pop(struct s3_queue *q)
{
    struct objstore_req *req = q->first;

    if (req == NULL)
        return NULL;
    q->first = req->next;
    if (q->first == NULL)
        q->last = NULL;
    req->next = NULL;
    return req;
}

void s3_submit(struct objstore *store, struct objstore_req *req)
{
    struct s3 *s = (struct s3 *)store;

    atomic_store(&req->state, STATE_ASKED);
    lock_take(&s->shared.lock);
    push(&s->shared.asked, req);
    lock_drop(&s->shared.lock);
    (void)curl_multi_wakeup(s->multi);
}

void s3_cancel(struct objstore *store, struct objstore_req *req)
{
    struct s3 *s = (struct s3 *)store;

    atomic_store(&req->state, STATE_CANCELLED);
    lock_take(&s->shared.lock);
    s->shared.cancelled = true;
    lock_drop(&s->shared.lock);
    (void)curl_multi_wakeup(s->multi);
}

void s3_reload(struct objstore *store)
{
    keys_reload(((struct s3 *)store)->keys); /* whoever is submitted behind this waits for it */
}

void s3_trouble(struct objstore *store, char text[ERR_TEXT_BYTES])
{
    keys_trouble(((struct s3 *)store)->keys, text);
}

/* --- the thread --- */

static void end_unsent(struct objstore_req *req, const char *why)
{
    objstore_answer(req, OBJSTORE_CANCELLED, 0, "", "%s", why);
    req->done(req);
}

static void release(struct s3 *s, struct s3_call *call)
{
    s->worker.active[call->req->pool]--;
    s3_call_reset(call);
    call->next = s->worker.idle;
    s->worker.idle = call;
}

/* False when the answer is given already. */
static bool begin_transfer(struct s3 *s, struct s3_call *call)
{
    call->asked.target = &s->worker.target;
    call->asked.keys_source = s->worker.keys->source;
    call->round = s->worker.round;
    call->asked.now_s =
        (int64_t)(clock_wall_ns(s->clock) / UINT64_C(1000000000)) + s->worker.skew_s;
    if (!s3_call_prepare(call, s->worker.keys, &s->timings, s->ca_file))
        return false;
    if (curl_multi_add_handle(s->multi, call->easy) != CURLM_OK) {
        s3_answer_broken(call->req, S3_BREAK_MEMORY, "libcurl takes no more", false, &call->asked);
        return false;
    }
    return true;
}

/* Of the machine, as curl's times are: a store whose clock a test stopped goes on. */
static uint64_t now_ns(void)
{
    return clock_mono_ns(clock_real());
}

static void start(struct s3 *s, struct objstore_req *req)
{
    struct s3_call *call = s->worker.idle;

    assert(call != NULL); /* as many calls as the pools' limits together */
    s->worker.idle = call->next;
    s->worker.active[req->pool]++;
    call->req = req;
    call->sent_ns = now_ns();
    aimd_sent(&s->worker.aimd[req->pool], call->sent_ns);
    req->priv = call;
    if (begin_transfer(s, call))
        return;
    release(s, call);
    req->done(req);
}

static void start_waiting(struct s3 *s)
{
    if (s->worker.keys_state == KEYS_WAIT)
        return;
    for (size_t pool = 0; pool < OBJSTORE_POOLS; pool++)
        while (s->worker.waiting[pool].first != NULL &&
               aimd_may_send(&s->worker.aimd[pool], s->worker.active[pool], now_ns()))
            start(s, pop(&s->worker.waiting[pool]));
}

/* Until something may be sent that waits for nothing but its time. */
static int wait_ms(const struct s3 *s)
{
    uint64_t now = now_ns();
    uint64_t wait = (uint64_t)WAIT_MS * 1000000;

    if (s->worker.keys_state == KEYS_WAIT) /* news wakes us; a reload's time may run out */
        return WAIT_FOR_KEYS_MS;
    for (size_t pool = 0; pool < OBJSTORE_POOLS; pool++) {
        const struct aimd *a = &s->worker.aimd[pool];

        if (s->worker.waiting[pool].first == NULL || s->worker.active[pool] >= a->limit)
            continue;
        if (a->next_ns <= now)
            return 0;
        wait = a->next_ns - now < wait ? a->next_ns - now : wait;
    }
    return (int)(wait / 1000000) + 1;
}

/* What throttles one pool is the store's trouble: bulk gives way to the others. */
static void learn(struct s3 *s, const struct s3_call *call)
{
    const struct objstore_result *r = &call->req->result;
    enum objstore_pool pool = call->req->pool;
    uint64_t now = now_ns();

    aimd_answer(&s->worker.aimd[pool], r->class, r->retry_after_ms, call->sent_ns, now,
                rand_u64(s->rand));
    if (r->class == OBJSTORE_THROTTLE && pool != OBJSTORE_BULK)
        aimd_yield(&s->worker.aimd[OBJSTORE_BULK], call->sent_ns, now);
    for (size_t i = 0; i < OBJSTORE_POOLS; i++)
        stats_set(s->limits[i], s->worker.aimd[i].limit);
}

static bool mend_clock(struct s3 *s, const struct s3_call *call)
{
    int64_t ours = (int64_t)(clock_wall_ns(s->clock) / UINT64_C(1000000000));
    int64_t skew = call->reply.date_s - ours;

    /* What is signed for another year could be sent again in it. */
    if (skew > SKEW_S_MAX || skew < -SKEW_S_MAX)
        return false;
    s->worker.skew_s = skew;
    log_warn("the store's clock differs, requests are signed for its time",
             "store=%s skew_s=%" PRId64, s->store.description, s->worker.skew_s);
    return true;
}

static bool mend_region(struct s3 *s, const struct s3_call *call)
{
    if (!s3_target_set_region(&s->worker.target, call->asked.region))
        return false;
    log_warn("the bucket is in another region than configured, requests go there",
             "store=%s region=%s", s->store.description, s->worker.target.region);
    return true;
}

/* Other keys than it was signed with: at once where they are here, else the call is held until the
 * provider has answered. */
static bool mend_keys(struct s3 *s, struct s3_call *call)
{
    if (call->round == s->worker.round) {
        if (!keys_refused(s->keys, call->round))
            return false;
        call->held = true;
        s->worker.held++;
    }
    return true;
}

/* True: the request is under way again, or held. */
static bool mend(struct s3 *s, struct s3_call *call, enum s3_mend how)
{
    unsigned bit = 1u << how;
    bool mended = false;

    if (how == S3_MEND_NONE || (call->mended & bit) != 0)
        return false;
    call->mended |= bit;
    if (how == S3_MEND_CLOCK) {
        mended = mend_clock(s, call);
    } else if (how == S3_MEND_REGION) {
        mended = mend_region(s, call);
    } else if (how == S3_MEND_KEYS) {
        mended = mend_keys(s, call);
    } else {
        mended = true;
    }
    if (!mended || call->held)
        return mended;
    objstore_result_fini(&call->req->result);
    return begin_transfer(s, call);
}

static void finish(struct s3 *s, struct s3_call *call, CURLcode code)
{
    struct objstore_req *req = call->req;
    enum s3_mend how = s3_call_end(call, code);

    (void)curl_multi_remove_handle(s->multi, call->easy);
    if (mend(s, call, how))
        return;
    learn(s, call);
    release(s, call);
    req->done(req);
}

/* New keys have come, or none will: what the store said of the old ones is then the answer. */
static void end_hold(struct s3 *s, struct s3_call *call)
{
    struct objstore_req *req = call->req;

    call->held = false;
    s->worker.held--;
    if (s->worker.keys_state == KEYS_READY && call->round != s->worker.round) {
        objstore_result_fini(&req->result);
        if (begin_transfer(s, call))
            return;
    } else {
        s3_call_still_refused(call, s->keys);
    }
    release(s, call);
    req->done(req);
}

static void look_at_keys(struct s3 *s)
{
    bool busy = keys_busy(s->keys);

    s->worker.keys_state = keys_look(s->keys, &s->worker.round, s->worker.keys);
    for (size_t i = 0; s->worker.held > 0 && i < s->worker.call_count; i++) {
        struct s3_call *call = &s->worker.calls[i];

        if (call->held && (!busy || call->round != s->worker.round) &&
            s->worker.keys_state != KEYS_WAIT)
            end_hold(s, call);
    }
}

/* How many ended. */
static size_t finish_ended(struct s3 *s)
{
    size_t count = 0;
    int left;
    CURLMsg *message;

    while ((message = curl_multi_info_read(s->multi, &left)) != NULL) {
        char *call = NULL;
        CURLcode code = message->data.result;

        if (message->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
        finish(s, (struct s3_call *)(void *)call, code);
        count++;
    }
    return count;
}

static void end_waiting(struct s3 *s, bool all, const char *why)
{
    for (size_t pool = 0; pool < OBJSTORE_POOLS; pool++) {
        struct s3_queue kept = {NULL, NULL};
        struct s3_queue ended = {NULL, NULL};
        struct objstore_req *req;

        while ((req = pop(&s->worker.waiting[pool])) != NULL)
            push(all || atomic_load(&req->state) == STATE_CANCELLED ? &ended : &kept, req);
        s->worker.waiting[pool] = kept;
        while ((req = pop(&ended)) != NULL)
            end_unsent(req, why);
    }
}

static void end_active(struct s3 *s, bool all)
{
    for (size_t i = 0; i < s->worker.call_count; i++) {
        struct s3_call *call = &s->worker.calls[i];
        struct objstore_req *req = call->req;

        if (req == NULL || (!all && atomic_load(&req->state) != STATE_CANCELLED))
            continue;
        s->worker.held -= call->held;
        call->held = false;
        s3_call_cancelled(call);
        (void)curl_multi_remove_handle(s->multi, call->easy);
        release(s, call);
        req->done(req);
    }
}

/* Wrong ones are answered here, so that done() never runs inside submit(). */
static void queue_asked(struct s3 *s, struct s3_queue *asked)
{
    struct objstore_req *req;

    while ((req = pop(asked)) != NULL) {
        if (objstore_req_check(req))
            push(&s->worker.waiting[req->pool], req);
        else
            req->done(req);
    }
}

/* What other threads asked for; false when the store is to end. */
static bool take_shared(struct s3 *s)
{
    struct s3_queue asked;
    bool cancelled;
    bool stopping;

    lock_take(&s->shared.lock);
    asked = s->shared.asked;
    s->shared.asked = (struct s3_queue){NULL, NULL};
    cancelled = s->shared.cancelled;
    s->shared.cancelled = false;
    stopping = s->shared.stopping;
    lock_drop(&s->shared.lock);
    queue_asked(s, &asked);
    if (cancelled && !stopping) {
        end_waiting(s, false, "cancelled before it was sent");
        end_active(s, false);
    }
    return !stopping;
}

static bool is_empty_locked(struct s3 *s)
{
    return s->shared.asked.first == NULL;
}

static void end_all(struct s3 *s)
{
    bool empty;

    do { /* what is asked from inside done() ends here too */
        end_active(s, true);
        (void)take_shared(s);
        end_waiting(s, true, "the store was closed");
        lock_take(&s->shared.lock);
        empty = is_empty_locked(s);
        lock_drop(&s->shared.lock);
    } while (!empty);
}

void s3_run(void *arg)
{
    struct s3 *s = arg;
    int running;

    while (take_shared(s)) {
        look_at_keys(s);
        start_waiting(s);
        (void)curl_multi_perform(s->multi, &running);
        if (finish_ended(s) == 0) /* else there is room, and perhaps news, at once */
            (void)curl_multi_poll(s->multi, NULL, 0, wait_ms(s), NULL);
    }
    end_all(s);
}
