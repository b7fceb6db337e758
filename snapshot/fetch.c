/* A ring of requests. The thread that takes objects also starts requests and repeats failed ones,
 * whichever place in the ring they have, so that one that is slow holds up no other. */
#include "snapshot/fetch.h"

#include "base/lock.h"
#include "base/mem.h"

enum { PAUSE_MS = 10 };
enum place_state { PLACE_EMPTY = 0, PLACE_SENT, PLACE_WAITING, PLACE_READY, PLACE_FAILED };

struct place {
    struct objstore_req req;
    struct fetch *fetch;
    struct fetch_item item;
    struct ask_tries tries;
    uint32_t misses;
    uint64_t bytes; /* counted against bytes_max */
    uint64_t next_try_ms;
    enum place_state state;
    bool answered; /* guarded by lock */
};

struct fetch {
    struct ask ask;
    fetch_source_fn *source;
    void *arg;
    uint64_t bytes_max;
    uint64_t bytes;
    uint64_t guess; /* of the next object whose size nobody told: as those before it were */
    uint64_t requests;
    uint32_t window, first, count;
    bool drained; /* the source has no more */
    bool held;    /* ... an item that found no room */
    struct fetch_item next;
    struct lock lock; /* LOCK_RANK_QUEUE */
    struct cond answer;
    struct place places[]; /* window of them */
};

static uint64_t now_ms(const struct fetch *f)
{
    return clock_mono_ns(f->ask.clock) / 1000000;
}

status fetch_open(const struct ask *ask, uint32_t window, uint64_t bytes_max,
                  fetch_source_fn *source, void *arg, struct fetch **out, struct err *err)
{
    struct fetch *f;

    if (window == 0)
        window = 1;
    if (window > FETCH_WINDOW_MAX)
        window = FETCH_WINDOW_MAX;
    f = mem_zero(sizeof *f + window * sizeof f->places[0]);
    if (f == NULL)
        return err_set(err, ST_NOMEM, "out of memory for fetching objects");
    f->ask = *ask;
    f->source = source;
    f->arg = arg;
    f->window = window;
    f->bytes_max = bytes_max;
    f->guess = FETCH_BYTES_GUESS;
    lock_init(&f->lock, LOCK_RANK_QUEUE, "fetch");
    cond_init(&f->answer);
    *out = f;
    return ST_OK;
}

static void on_done(struct objstore_req *req)
{
    struct place *p = req->arg;

    lock_take(&p->fetch->lock);
    p->answered = true;
    cond_signal(&p->fetch->answer);
    lock_drop(&p->fetch->lock);
}

static void send(struct fetch *f, struct place *p)
{
    objstore_req_reset(&p->req);
    p->req = (struct objstore_req){.op = OBJSTORE_GET,
                                   .pool = OBJSTORE_BULK,
                                   .key = p->item.key,
                                   .bytes_max = p->item.bytes_max,
                                   .range_offset = p->item.offset,
                                   .range_bytes = p->item.part ? p->item.bytes : 0,
                                   .fresh_connection = ask_fresh(&f->ask, &p->tries),
                                   .done = on_done,
                                   .arg = p};
    p->answered = false;
    p->state = PLACE_SENT;
    f->requests++;
    objstore_submit(f->ask.store, &p->req);
}

static void count_bytes(struct fetch *f, struct place *p, uint64_t bytes)
{
    f->bytes = f->bytes - p->bytes + bytes;
    p->bytes = bytes;
}

static bool next_item(struct fetch *f)
{
    if (!f->held && !f->drained) {
        f->held = f->source(f->arg, &f->next);
        f->drained = !f->held;
    }
    return f->held;
}

static void send_ahead(struct fetch *f)
{
    while (f->count < f->window && next_item(f)) {
        uint64_t bytes = f->next.bytes > 0 ? f->next.bytes : f->guess;
        struct place *p = &f->places[(f->first + f->count) % f->window];

        if (f->count > 0 && f->bytes + bytes > f->bytes_max)
            break;
        p->fetch = f;
        p->item = f->next;
        p->tries = (struct ask_tries){0};
        p->misses = 0;
        p->bytes = 0;
        count_bytes(f, p, bytes);
        f->held = false;
        f->count++;
        send(f, p);
    }
}

/* Large ones are believed at once, small ones by and by. */
static void guess_again(struct fetch *f, uint64_t bytes)
{
    if (bytes < FETCH_BYTES_GUESS)
        bytes = FETCH_BYTES_GUESS;
    f->guess = bytes > f->guess ? bytes : f->guess - (f->guess - bytes) / 4;
}

static void take_answer(struct fetch *f, struct place *p)
{
    uint64_t wait_ms = ASK_SLICE_MS;
    bool again;

    if (p->req.result.class == OBJSTORE_NOT_FOUND)
        again = ++p->misses < FETCH_MISSES;
    else
        again = ask_again(&f->ask, &p->tries, &p->req.result, &wait_ms);
    if (again) {
        objstore_result_fini(&p->req.result);
        p->next_try_ms = now_ms(f) + wait_ms;
        p->state = PLACE_WAITING;
        return;
    }
    p->state = p->req.result.class == OBJSTORE_OK ? PLACE_READY : PLACE_FAILED;
    if (p->state != PLACE_READY)
        return;
    count_bytes(f, p, p->req.result.body.bytes);
    if (p->item.bytes == 0)
        guess_again(f, p->req.result.body.bytes);
}

/* Looks at every place once; whether anything happened. */
static bool turn(struct fetch *f)
{
    bool moved = false;

    for (uint32_t i = 0; i < f->count; i++) {
        struct place *p = &f->places[(f->first + i) % f->window];
        bool answered;

        if (p->state == PLACE_WAITING && now_ms(f) >= p->next_try_ms) {
            send(f, p);
            moved = true;
        }
        if (p->state != PLACE_SENT)
            continue;
        lock_take(&f->lock);
        answered = p->answered;
        lock_drop(&f->lock);
        if (answered) {
            take_answer(f, p);
            moved = true;
        }
    }
    return moved;
}

static void pause_a_little(struct fetch *f)
{
    lock_take(&f->lock);
    (void)cond_wait_ns(&f->answer, &f->lock, (uint64_t)PAUSE_MS * 1000000);
    lock_drop(&f->lock);
}

/* Until an answer comes or a little time has passed: a wait may be over, or *stop true. */
static void wait_a_little(struct fetch *f)
{
    bool any = false;

    lock_take(&f->lock);
    for (uint32_t i = 0; i < f->count; i++) {
        const struct place *p = &f->places[(f->first + i) % f->window];

        any = any || (p->state == PLACE_SENT && p->answered);
    }
    if (!any)
        (void)cond_wait_ns(&f->answer, &f->lock, (uint64_t)PAUSE_MS * 1000000);
    lock_drop(&f->lock);
}

static void leave(struct fetch *f, struct place *p)
{
    objstore_result_fini(&p->req.result);
    count_bytes(f, p, 0);
    p->state = PLACE_EMPTY;
    f->first = (f->first + 1) % f->window;
    f->count--;
}

status fetch_next(struct fetch *f, struct fetch_item *item, struct buf *body, struct err *err)
{
    for (;;) {
        struct place *p;

        if (ask_stopped(&f->ask))
            return err_set(err, ST_CLOSED, "stopped");
        send_ahead(f);
        if (f->count == 0)
            return ST_NOT_FOUND;
        p = &f->places[f->first];
        *item = p->item;
        if (p->state == PLACE_FAILED)
            return ask_status(&p->req, err);
        if (p->state == PLACE_READY) {
            *body = p->req.result.body; /* the caller's from here on */
            p->req.result.body = (struct buf){0};
            leave(f, p);
            send_ahead(f);
            return ST_OK;
        }
        if (!turn(f))
            wait_a_little(f);
    }
}

uint64_t fetch_requests(const struct fetch *f)
{
    return f->requests;
}

static bool is_under_way(struct fetch *f, struct place *p)
{
    bool answered;

    lock_take(&f->lock);
    answered = p->answered;
    lock_drop(&f->lock);
    return p->state == PLACE_SENT && !answered;
}

void fetch_close(struct fetch *f)
{
    if (f == NULL)
        return;
    for (uint32_t i = 0; i < f->count; i++) {
        struct place *p = &f->places[(f->first + i) % f->window];

        if (is_under_way(f, p))
            objstore_cancel(f->ask.store, &p->req);
    }
    for (uint32_t i = 0; i < f->count; i++) {
        struct place *p = &f->places[(f->first + i) % f->window];

        while (is_under_way(f, p))
            pause_a_little(f);
        objstore_result_fini(&p->req.result);
    }
    cond_fini(&f->answer);
    lock_fini(&f->lock);
    mem_free(f);
}
