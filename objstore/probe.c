/* A probe is a row of steps, each on keys of its own. What a request came to is a fact only when it
 * was answered: an answer to a write that was lost leaves the step without one, and the step is
 * done again elsewhere. So a verdict never rests on what a network lost, only on what the store
 * said. */
#include "objstore/probe_internal.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

enum {
    ATTEMPT_MS = 10000,
    PAUSE_MS = 100,
    PAUSE_MS_MAX = 5000,
    STOP_LOOK_MS = 50,
    SKEW_MS_MAX = 300000,
    SENDS_MAX_FEW = 3, /* for what no grade hangs on; and a store that is away is away */
};

void probe_say(struct probe_fact *fact, enum probe_answer answer, const char *format, ...)
{
    va_list args;

    fact->answer = answer;
    va_start(args, format);
    (void)vsnprintf(fact->text, sizeof fact->text, format, args);
    va_end(args);
}

void probe_key(struct probe *p, const char *tail, char out[OBJSTORE_KEY_BYTES_MAX + 1])
{
    (void)snprintf(out, OBJSTORE_KEY_BYTES_MAX + 1, "%s%s/%u%s", p->options.prefix, p->run,
                   p->objects, tail);
}

/* --- requests until they are answered --- */

static void on_done(struct objstore_req *req)
{
    struct probe_shot *shot = req->arg;
    struct probe *p = shot->probe;

    lock_take(&p->shared.lock);
    shot->ended = true;
    p->shared.under_way--;
    cond_signal(&p->shared.ended);
    lock_drop(&p->shared.lock);
}

static bool stopped(const struct probe *p)
{
    return p->options.stop != NULL && atomic_load(p->options.stop);
}

static void submit_open(struct probe *p, struct probe_shot *shots, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct objstore_req *req = &shots[i].req;

        if (!shots[i].open)
            continue;
        objstore_req_reset(req);
        shots[i].probe = p;
        req->done = on_done;
        req->arg = &shots[i];
        req->timeout_ms = p->timeout_ms;
        p->report->requests++;
        lock_take(&p->shared.lock);
        shots[i].ended = false;
        p->shared.under_way++;
        lock_drop(&p->shared.lock);
        objstore_submit(p->options.store, req);
    }
}

static void cancel_open(struct probe *p, struct probe_shot *shots, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool ended;

        lock_take(&p->shared.lock);
        ended = shots[i].ended;
        lock_drop(&p->shared.lock);
        if (shots[i].open && !ended)
            objstore_cancel(p->options.store, &shots[i].req);
    }
}

/* A node that stops waits for no store. */
static void wait_for_answers(struct probe *p, struct probe_shot *shots, size_t count)
{
    bool cancelled = false;

    lock_take(&p->shared.lock);
    while (p->shared.under_way > 0) {
        (void)cond_wait_ns(&p->shared.ended, &p->shared.lock, STOP_LOOK_MS * UINT64_C(1000000));
        if (cancelled || !stopped(p))
            continue;
        lock_drop(&p->shared.lock);
        cancel_open(p, shots, count);
        cancelled = true;
        lock_take(&p->shared.lock);
    }
    lock_drop(&p->shared.lock);
}

static void look_at_server(struct probe *p, const struct objstore_result *r)
{
    uint64_t now_ns;

    if (r->server[0] != '\0')
        memcpy(p->report->server, r->server, sizeof p->report->server);
    if (r->date_ns == 0 || p->first_ns != 0)
        return;
    now_ns = clock_wall_ns(p->options.clock);
    p->first_ns = r->date_ns;
    p->report->clock_skew_ms = r->date_ns >= now_ns ? (int64_t)((r->date_ns - now_ns) / 1000000)
                                                    : -(int64_t)((now_ns - r->date_ns) / 1000000);
}

/* 403, no such bucket, no keys, an untrusted certificate: says nothing of conditions. */
static bool denies(const struct objstore_result *r)
{
    return r->class == OBJSTORE_REFRESHABLE ||
           (r->class == OBJSTORE_PERMANENT && (r->http_status < 400 || r->http_status == 401 ||
                                               r->http_status == 403 || r->http_status == 404));
}

/* What an answer says; ST_OK with shot->open: nothing yet. */
static status hear(struct probe *p, struct probe_shot *shot, uint64_t *pause_ms)
{
    struct objstore_result *r = &shot->req.result;

    look_at_server(p, r);
    if (r->class == OBJSTORE_CANCELLED)
        return err_set(&p->why, ST_CLOSED, "%s", r->err.text);
    if (denies(r))
        return err_set(&p->why, ST_DENIED, "%s", r->err.text);
    shot->open = objstore_class_retries(r->class);
    if (!shot->open)
        return ST_OK;
    if (r->class != OBJSTORE_CONFLICT && r->maybe_applied)
        shot->lost = p->lost = true;
    if (r->retry_after_ms > *pause_ms)
        *pause_ms = r->retry_after_ms;
    (void)err_set(&p->why, r->class == OBJSTORE_CAPACITY ? ST_NOSPACE : ST_UNAVAILABLE, "%s",
                  r->err.text);
    return ST_OK;
}

static void pause_for(struct probe *p, uint64_t ms)
{
    ms = ms < PAUSE_MS_MAX ? ms : PAUSE_MS_MAX;
    for (; ms > 0 && !stopped(p); ms -= ms < STOP_LOOK_MS ? ms : STOP_LOOK_MS) {
        lock_take(&p->shared.lock);
        (void)cond_wait_ns(&p->shared.ended, &p->shared.lock,
                           (ms < STOP_LOOK_MS ? ms : STOP_LOOK_MS) * UINT64_C(1000000));
        lock_drop(&p->shared.lock);
    }
}

status probe_send_all(struct probe *p, struct probe_shot *shots, size_t count)
{
    uint64_t backoff_ms = p->options.pause_ms;

    for (size_t i = 0; i < count; i++)
        shots[i].open = true;
    for (unsigned sends = 0; sends < p->sends_max; sends++, backoff_ms *= 2) {
        uint64_t pause_ms = backoff_ms;
        bool open = false;

        if (stopped(p))
            return err_set(&p->why, ST_CLOSED, "stopped");
        submit_open(p, shots, count);
        wait_for_answers(p, shots, count);
        for (size_t i = 0; i < count; i++) {
            status st = shots[i].open ? hear(p, &shots[i], &pause_ms) : ST_OK;

            if (st != ST_OK)
                return st;
            open = open || shots[i].open;
        }
        if (!open)
            return ST_OK;
        pause_for(p, pause_ms);
    }
    return p->why.code;
}

void probe_free(struct probe_shot *shots, size_t count)
{
    for (size_t i = 0; i < count; i++)
        objstore_result_fini(&shots[i].req.result);
}

status probe_send(struct probe *p, struct objstore_req *req)
{
    struct probe_shot shot = {.req = *req};
    status st = probe_send_all(p, &shot, 1);

    req->result = shot.req.result;
    if (st != ST_OK)
        objstore_result_fini(&req->result);
    return st;
}

status probe_put(struct probe *p, const char *key, const char *text, enum objstore_condition when,
                 const char *etag, enum objstore_class *class, char new_etag[OBJSTORE_ETAG_BYTES])
{
    struct objstore_req req = {
        .op = OBJSTORE_PUT, .key = key, .body = slice_text(text), .condition = when, .etag = etag};
    status st = probe_send(p, &req);

    if (st != ST_OK)
        return st;
    *class = req.result.class;
    if (*class != OBJSTORE_OK)
        p->why = req.result.err;
    if (new_etag != NULL)
        memcpy(new_etag, req.result.etag, OBJSTORE_ETAG_BYTES);
    objstore_result_fini(&req.result);
    return ST_OK;
}

static status get_once(struct probe *p, const char *key, char text[PROBE_BODY_BYTES])
{
    struct objstore_req req = {.op = OBJSTORE_GET, .key = key};
    struct slice body;
    size_t bytes;
    status st = probe_send(p, &req);

    if (st != ST_OK)
        return st;
    if (req.result.class != OBJSTORE_OK && req.result.class != OBJSTORE_NOT_FOUND)
        st = err_set(&p->why, ST_UNAVAILABLE, "%s", req.result.err.text);
    body = buf_slice(&req.result.body);
    bytes = body.bytes < PROBE_BODY_BYTES ? body.bytes : PROBE_BODY_BYTES - 1;
    if (bytes > 0)
        memcpy(text, body.data, bytes);
    text[bytes] = '\0';
    objstore_result_fini(&req.result);
    return st;
}

/* Two reads that contradict each other are a bit that flipped on the way, or a store that has not
 * made up its mind: no answer. */
status probe_get(struct probe *p, const char *key, const char *expected,
                 char text[PROBE_BODY_BYTES])
{
    char again[PROBE_BODY_BYTES];
    status st = get_once(p, key, text);

    if (st != ST_OK || strcmp(text, expected) == 0)
        return st;
    st = get_once(p, key, again);
    if (st == ST_OK && strcmp(text, again) != 0) {
        p->lost = true;
        (void)err_set(&p->why, ST_UNAVAILABLE, "two reads of an object that nobody writes differ");
    }
    return st;
}

status probe_make(struct probe *p, const char *key, const char *text,
                  char etag[OBJSTORE_ETAG_BYTES])
{
    enum objstore_class class = OBJSTORE_OK;
    status st = probe_put(p, key, text, p->create_holds ? OBJSTORE_IF_ABSENT : OBJSTORE_ALWAYS,
                          NULL, &class, etag);

    if (st == ST_OK && class != OBJSTORE_OK && !p->lost) {
        /* Somebody in between sent it twice, or the store changed its mind. */
        p->lost = true;
        p->why.code = ST_UNAVAILABLE;
    }
    return st;
}

bool probe_refuses(struct probe_fact *fact, enum objstore_class class, const struct err *err)
{
    if (class == OBJSTORE_OK || class == OBJSTORE_PRECONDITION)
        return false;
    probe_say(fact, PROBE_REFUSED, "%.*s", PROBE_TEXT_BYTES - 1, err->text);
    return true;
}

/* --- the row --- */

static status step(struct probe *p, enum probe_fact_id id, probe_step *run, unsigned rounds)
{
    struct probe_fact *fact = &p->report->facts[id];

    for (unsigned round = 0; round < rounds; round++) {
        unsigned tries = 0;

        do {
            status st;

            if (tries++ == PROBE_TRIES_MAX)
                return err_wrap(&p->why, ST_UNAVAILABLE, "answers were lost again and again");
            *fact = (struct probe_fact){0};
            p->lost = false;
            p->objects++;
            p->sends_max =
                probe_fact_counts(id) && id != PROBE_READ ? PROBE_SENDS_MAX : SENDS_MAX_FEW;
            st = run(p, fact);
            if (st == ST_UNAVAILABLE && !probe_fact_counts(id)) {
                probe_say(fact, PROBE_REFUSED, "%.*s", PROBE_TEXT_BYTES - 1, p->why.text);
                return ST_OK;
            }
            if (st != ST_OK)
                return st;
        } while (fact->answer == PROBE_UNKNOWN || (p->lost && fact->answer == PROBE_HOLDS));
        if (fact->answer != PROBE_HOLDS)
            break;
    }
    return ST_OK;
}

static bool holds(const struct probe *p, enum probe_fact_id id)
{
    return p->report->facts[id].answer == PROBE_HOLDS;
}

/* A race is worth running where the condition holds without one. */
static status race(struct probe *p, enum probe_fact_id id, probe_step *run, enum probe_fact_id one,
                   enum probe_fact_id other)
{
    enum probe_fact_id bad = holds(p, one) ? other : one;

    if (holds(p, one) && holds(p, other))
        return step(p, id, run, PROBE_ROUNDS);
    probe_say(&p->report->facts[id], p->report->facts[bad].answer,
              "not tried, as %s does not hold for one writer either", probe_fact_name(bad));
    return ST_OK;
}

static void look_at_clock(struct probe *p)
{
    int64_t skew_ms = p->report->clock_skew_ms;
    struct probe_fact *fact = &p->report->facts[PROBE_CLOCK];

    if (p->first_ns == 0)
        probe_say(fact, PROBE_REFUSED, "it does not tell its time");
    else if (skew_ms > SKEW_MS_MAX || skew_ms < -SKEW_MS_MAX)
        probe_say(fact, PROBE_BROKEN, "%" PRId64 " s %s ours: set one of the clocks",
                  (skew_ms < 0 ? -skew_ms : skew_ms) / 1000, skew_ms < 0 ? "behind" : "ahead of");
    else
        fact->answer = PROBE_HOLDS;
}

static status run_steps(struct probe *p)
{
    static const struct {
        enum probe_fact_id id;
        probe_step *run;
        unsigned rounds;
    } rest[] = {{PROBE_MATCH_RIGHT, probe_step_match_right, 1},
                {PROBE_MATCH_STALE, probe_step_match_stale, 1},
                {PROBE_MATCH_MISSING, probe_step_match_missing, 1},
                {PROBE_LIST, probe_step_list, PROBE_ROUNDS},
                {PROBE_RANGE, probe_step_range, 1},
                {PROBE_LIST_ORDER, probe_step_list_order, 1},
                {PROBE_NOT_MODIFIED, probe_step_not_modified, 1},
                {PROBE_CHECKSUM, probe_step_checksum, 1},
                {PROBE_COMPLETE_TWICE, probe_step_complete_twice, 1}};
    status st = step(p, PROBE_READ, probe_step_read, 1);

    if (st != ST_OK || !holds(p, PROBE_READ))
        return st;
    st = step(p, PROBE_CREATE_TWICE, probe_step_create_twice, 1);
    p->create_holds = holds(p, PROBE_CREATE_TWICE);
    if (st == ST_OK)
        st = step(p, PROBE_OVERWRITE, probe_step_overwrite, PROBE_ROUNDS);
    if (st == ST_OK)
        st = race(p, PROBE_CREATE_RACE, probe_step_create_race, PROBE_CREATE_TWICE,
                  PROBE_CREATE_TWICE);
    for (size_t i = 0; st == ST_OK && i < COUNT_OF(rest); i++) {
        if (rest[i].id == PROBE_LIST_ORDER) /* all that counts comes first */
            st = race(p, PROBE_MATCH_RACE, probe_step_match_race, PROBE_MATCH_RIGHT,
                      PROBE_MATCH_STALE);
        if (st == ST_OK)
            st = step(p, rest[i].id, rest[i].run, rest[i].rounds);
    }
    look_at_clock(p);
    return st;
}

/* --- the whole --- */

static status check_options(const struct probe_options *o, struct err *err)
{
    size_t bytes = strlen(o->prefix);
    char key[PROBE_PREFIX_BYTES_MAX + 2];

    if (bytes < 2 || bytes > PROBE_PREFIX_BYTES_MAX || o->prefix[bytes - 1] != '/')
        return err_set(err, ST_INVALID, "the prefix of a probe has 2 to %d bytes and ends in /",
                       PROBE_PREFIX_BYTES_MAX);
    (void)snprintf(key, sizeof key, "%sx", o->prefix);
    return objstore_key_check(key, err);
}

static void set_defaults(struct probe *p)
{
    struct probe_options *o = &p->options;

    if (o->attempt_ms == 0)
        o->attempt_ms = ATTEMPT_MS;
    if (o->leftovers == NULL)
        o->leftovers = o->prefix;
    if (o->pause_ms == 0)
        o->pause_ms = PAUSE_MS;
    if (o->racers == 0 || o->racers > PROBE_RACERS)
        o->racers = PROBE_RACERS;
}

status objstore_probe(const struct probe_options *options, struct probe_report *out,
                      struct err *err)
{
    struct probe_report report = {0};
    struct probe *p = NULL;
    struct err why;
    uint64_t began_ns = clock_mono_ns(options->clock);
    status st = check_options(options, err);

    if (st != ST_OK)
        return st;
    p = mem_zero(sizeof *p);
    if (p == NULL)
        return err_set(err, ST_NOMEM, "probe the store: out of memory");
    p->options = *options;
    p->report = &report;
    p->sends_max = PROBE_SENDS_MAX;
    set_defaults(p);
    p->timeout_ms = p->options.attempt_ms;
    (void)snprintf(p->run, sizeof p->run, "%016" PRIx64, rand_u64(options->rand));
    lock_init(&p->shared.lock, LOCK_RANK_LEAF, "probe");
    cond_init(&p->shared.ended);
    st = run_steps(p);
    if (st == ST_OK && p->first_ns != 0)
        probe_sweep(p, p->first_ns);
    if (st != ST_OK)
        p->sends_max = 1; /* as well as it can; the text stays that of what failed */
    why = p->why;
    probe_sweep(p, 0);
    report.grade = probe_grade(report.facts);
    report.took_ms = (clock_mono_ns(options->clock) - began_ns) / 1000000;
    if (st == ST_OK)
        *out = report;
    else
        (void)err_set(err, st, "probe %s: %s", options->store->description, why.text);
    cond_fini(&p->shared.ended);
    lock_fini(&p->shared.lock);
    mem_free(p);
    return st;
}
