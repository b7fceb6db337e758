/* `sim --outage 8h`: a collection under load whose bucket is away for hours of virtual time, with
 * the core, the breaker, the pressure and the lag gauge of production. What must be true
 * throughout:
 *
 *   memory       what is under way is bounded, however long it lasts; no request storm
 *   pressure     green, yellow, orange, red in order, and back; nothing is taken at red
 *   letters      an outage makes none
 *   lag          the gauge is never too low, and too high by what tier_lag.h says at most
 *   drain        at least DRAIN_TIMES the rate of inserts, while inserts go on
 *
 * The log is counted, not written: what a full one does is the seeds' part (sim_disk.c). */
#include "sim.h"

#include "base/hash.h"
#include "tiering/tier_lag.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECORD_BYTES = 310000, /* ten times a second: 3.1 MB/s */
    INSERT_MS = 100,
    GROUP_BYTES = 4 << 20,
    IN_FLIGHT = 4,
    RPO_MS = 1000,
    MAX_BACKOFF_MS = 30000,
    PUT_MS = 40,
    LINK_BYTES_MS = 100000, /* of all connections together */
    BEFORE_MS = 600000,
    AFTER_MS = 7200000, /* at most */
    SAMPLE_MS = 1000,
    DRAIN_TIMES = 5,
    UNDER_WAY_MAX = STREAM_FLIGHT_MAX + 4,
    LOCAL_MAX = 64,
    FAILURES_A_SECOND = 8,
};
#define BUDGET_BYTES UINT64_C(60000000000)
#define NEVER        UINT64_MAX

struct call { /* to the store */
    bool used, sent;
    struct stream_effect effect;
    struct root root;
    uint64_t order, done_ms;
    enum objstore_class class;
};
struct outage {
    struct stream s;
    struct breaker breaker;
    struct lag lag;
    uint64_t random, now_ms, order, timer_ms, insert_ms, sample_ms, begin_ms, end_ms;
    struct call calls[UNDER_WAY_MAX];
    size_t calls_max;
    struct stream_event local[LOCAL_MAX];
    size_t local_count;
    struct root root;
    bool has_root;
    bool *stored;         /* by seq */
    uint64_t *durable_ms; /* by lsn */
    uint64_t records_max, lsn, taken, refused;
    enum pressure_level level;
    uint64_t level_ms[4]; /* when it was first reached */
    uint64_t requests_down, second, second_failures;
    uint64_t span_ms, lag_error_max_ms, unshipped_max, unshipped_min, recovered_ms, drained_ms,
        drained_bytes, at_end;
    bool failed;
};

static void fail(struct outage *o, const char *format, ...) PRINTF_LIKE(2, 3);

static void fail(struct outage *o, const char *format, ...)
{
    va_list ap;

    if (o->failed)
        return;
    o->failed = true;
    printf("at %.3f h: ", (double)(o->now_ms - o->begin_ms) / 3.6e6);
    va_start(ap, format);
    (void)vprintf(format, ap);
    va_end(ap);
    putchar('\n');
}

static uint64_t below(struct outage *o, uint64_t bound)
{
    o->random += 0x9E3779B97F4A7C15u;
    return hash_u64(o->random) % bound;
}

static bool away(const struct outage *o)
{
    return o->now_ms >= o->begin_ms && o->now_ms < o->end_ms;
}

static uint64_t unshipped(const struct outage *o)
{
    return o->s.durable_bytes - o->s.shipped_bytes;
}

/* --- the store --- */

static size_t under_way(const struct outage *o, bool sent)
{
    size_t n = 0;

    for (size_t i = 0; i < UNDER_WAY_MAX; i++)
        n += o->calls[i].used && o->calls[i].sent == sent;
    return n;
}

static uint64_t put_bytes(const struct stream_effect *e)
{
    return (e->last_lsn - e->first_lsn + 1) * RECORD_BYTES;
}

/* What is away may refuse the connection, throttle, or say nothing until the client gives up. */
static void send_one(struct outage *o, struct call *c)
{
    bool group = c->effect.kind == STREAM_DO_PUT_GROUP;

    c->sent = true;
    c->class = OBJSTORE_OK;
    c->done_ms = o->now_ms + PUT_MS / 2 + below(o, PUT_MS);
    if (away(o)) {
        o->requests_down++;
        c->class = below(o, 4) == 0 ? OBJSTORE_THROTTLE : OBJSTORE_TRANSIENT;
        c->done_ms = o->now_ms + (below(o, 2) == 0 ? 5 : 20000);
    } else if (group) {
        c->done_ms += put_bytes(&c->effect) * IN_FLIGHT / LINK_BYTES_MS;
    }
}

static void pump(struct outage *o)
{
    for (;;) {
        struct call *first = NULL;

        for (size_t i = 0; i < UNDER_WAY_MAX; i++) {
            struct call *c = &o->calls[i];

            if (c->used && !c->sent && (first == NULL || c->order < first->order))
                first = c;
        }
        if (first == NULL || breaker_next_ms(&o->breaker) > o->now_ms ||
            !breaker_admit(&o->breaker, o->now_ms))
            return;
        send_one(o, first);
    }
}

static void apply(struct outage *o, struct call *c, struct stream_event *e)
{
    const struct stream_effect *x = &c->effect;

    if (x->kind == STREAM_DO_PUT_ROOT) {
        o->root = c->root;
        o->has_root = true;
        e->kind = STREAM_ROOT_DONE;
    } else if (x->kind == STREAM_DO_READ_ROOT) {
        e->kind = STREAM_ROOT_READ;
        e->root = &o->root;
        e->class = x->conditional ? OBJSTORE_NOT_MODIFIED : OBJSTORE_OK;
    } else if (x->kind == STREAM_DO_PUT_GROUP) {
        e->kind = STREAM_PUT_DONE;
        if (o->stored[x->seq])
            e->class = OBJSTORE_PRECONDITION;
        o->stored[x->seq] = true;
    } else {
        e->kind = STREAM_COMPARED;
    }
}

/* --- the shell --- */

static void local(struct outage *o, struct stream_event e)
{
    if (o->local_count == LOCAL_MAX)
        fail(o, "more than %d answers of the log wait", LOCAL_MAX);
    else
        o->local[o->local_count++] = e;
}

static void encode(struct outage *o, const struct stream_effect *x)
{
    uint64_t count = (GROUP_BYTES + RECORD_BYTES - 1) / RECORD_BYTES;
    uint64_t last = x->first_lsn + count - 1 < x->last_lsn ? x->first_lsn + count - 1 : x->last_lsn;

    local(o, (struct stream_event){.kind = STREAM_ENCODED,
                                   .token = x->token,
                                   .first_lsn = x->first_lsn,
                                   .last_lsn = last,
                                   .bytes = (last - x->first_lsn + 1) * RECORD_BYTES,
                                   .chain = hash_u64(x->chain_before ^ last),
                                   .crc = (uint32_t)last});
}

static void request(struct outage *o, const struct stream_effect *x)
{
    for (size_t i = 0; i < UNDER_WAY_MAX; i++) {
        struct call *c = &o->calls[i];

        if (c->used)
            continue;
        *c = (struct call){.used = true, .effect = *x, .order = ++o->order};
        if (x->root != NULL)
            c->root = *x->root;
        return;
    }
    fail(o, "more than %d requests wait", UNDER_WAY_MAX);
}

static void carry_out(struct outage *o, const struct stream_effect *x)
{
    switch (x->kind) {
    case STREAM_DO_TIMER:
        o->timer_ms = x->at_ms;
        break;
    case STREAM_DO_READ_ROOT:
    case STREAM_DO_PUT_ROOT:
    case STREAM_DO_PUT_GROUP:
    case STREAM_DO_COMPARE:
        request(o, x);
        break;
    case STREAM_DO_ENCODE:
        encode(o, x);
        break;
    case STREAM_DO_SHIPPED:
        lag_drop(&o->lag, x->lsn);
        break;
    case STREAM_DO_LETTER:
        fail(o, "an outage made a letter");
        break;
    case STREAM_DO_PHASE:
        if (o->s.phase != STREAM_OWNED && o->s.phase != STREAM_CREATING)
            fail(o, "it is %s: %s", stream_phase_name(o->s.phase), o->s.reason);
        break;
    case STREAM_DO_LIST:
    case STREAM_DO_READ_GROUP:
    case STREAM_DO_CHECK_LOCAL:
    case STREAM_DO_DIVERGED:
        fail(o, "it takes, and owns already");
        break;
    case STREAM_DO_REMOTE:
    case STREAM_DO_LETTER_OUT:
    case STREAM_DO_COMMITTED:
    case STREAM_DO_MARKED:
    case STREAM_DO_CREATED:
    case STREAM_DO_FLUSHED:
    case STREAM_DO_DISCARDED:
        break;
    }
}

static void step(struct outage *o, struct stream_event e)
{
    static struct stream_effects out;
    uint64_t nonce[2] = {below(o, UINT64_MAX), below(o, UINT64_MAX)};

    e.now_ms = o->now_ms;
    stream_step(&o->s, &e, (const uint8_t *)nonce, &out);
    for (size_t i = 0; i < out.count; i++)
        carry_out(o, &out.items[i]);
}

static void answer(struct outage *o, struct call *c)
{
    struct stream_event e = {
        .token = c->effect.token, .class = c->class, .etag = "e", .text = "away"};

    c->used = false;
    if (c->class == OBJSTORE_OK) {
        apply(o, c, &e);
    } else {
        e.kind = c->effect.kind == STREAM_DO_PUT_GROUP   ? STREAM_PUT_DONE
                 : c->effect.kind == STREAM_DO_PUT_ROOT  ? STREAM_ROOT_DONE
                 : c->effect.kind == STREAM_DO_READ_ROOT ? STREAM_ROOT_READ
                                                         : STREAM_COMPARED;
        e.maybe_applied = c->class == OBJSTORE_TRANSIENT;
        if (o->second != o->now_ms / 1000)
            o->second_failures = 0;
        o->second = o->now_ms / 1000;
        if (++o->second_failures > FAILURES_A_SECOND)
            fail(o, "%" PRIu64 " requests failed in a second", o->second_failures);
    }
    if (c->class == OBJSTORE_OK && o->now_ms >= o->end_ms && o->recovered_ms == 0) {
        o->recovered_ms = o->now_ms;
        o->unshipped_min = unshipped(o);
    }
    breaker_answer(&o->breaker, c->class, 0, o->now_ms);
    step(o, e);
}

/* --- load and what is looked at --- */

static uint64_t lag_ms(const struct outage *o)
{
    int64_t since = lag_since(&o->lag);

    return since == LAG_NONE ? 0 : o->now_ms - (uint64_t)since;
}

static void look_pressure(struct outage *o)
{
    const struct pressure_facts facts = {.unshipped_bytes = unshipped(o),
                                         .unshipped_bytes_max = BUDGET_BYTES,
                                         .lag_ms = lag_ms(o),
                                         .rpo_ms = RPO_MS};
    bool rises = false; /* by more than what an insert at the border of a level does */
    struct pressure p;
    int by;

    if (o->recovered_ms != 0) {
        if (unshipped(o) < o->unshipped_min)
            o->unshipped_min = unshipped(o);
        rises = unshipped(o) > o->unshipped_min + IN_FLIGHT * GROUP_BYTES;
    }
    pressure_level(&facts, &p);
    by = (int)p.level - (int)o->level;
    if (by > 1 || by < -1 || (away(o) && by < 0) || (rises && by > 0))
        fail(o, "%s after %s", pressure_level_name(p.level), pressure_level_name(o->level));
    if (by > 0 && o->level_ms[p.level] == 0)
        o->level_ms[p.level] = o->now_ms;
    o->level = p.level;
}

static void look_lag(struct outage *o)
{
    uint64_t said = lag_ms(o), is = 0;
    uint64_t next = o->s.shipped_lsn + 1;

    if (said > o->span_ms) /* that the marks had to cover */
        o->span_ms = said;
    if (next <= o->lsn)
        is = o->now_ms - o->durable_ms[next];
    if (said < is)
        fail(o, "the gauge says %" PRIu64 " ms, the oldest record is %" PRIu64 " ms old", said, is);
    else if (said - is > LAG_GRAIN_MS + INSERT_MS + o->span_ms / 30 && next <= o->lsn)
        fail(o, "the gauge says %" PRIu64 " ms, the oldest record is only %" PRIu64 " ms old", said,
             is);
    if (said > is && said - is > o->lag_error_max_ms)
        o->lag_error_max_ms = said - is;
}

static void look(struct outage *o)
{
    look_pressure(o);
    look_lag(o);
    if (unshipped(o) > o->unshipped_max)
        o->unshipped_max = unshipped(o);
    if (o->now_ms >= o->end_ms && o->at_end == 0)
        o->at_end = unshipped(o);
    if (o->drained_ms == 0 && o->recovered_ms != 0 && lag_ms(o) <= 5 * RPO_MS) {
        o->drained_ms = o->now_ms;
        o->drained_bytes = o->s.shipped_bytes;
    }
}

/* Bulk writers wait at orange, which is half of them; at red nobody is taken. */
static void insert(struct outage *o)
{
    o->insert_ms = o->now_ms + INSERT_MS;
    look_pressure(o);
    if (o->level == PRESSURE_RED || (o->level == PRESSURE_ORANGE && below(o, 2) != 0)) {
        o->refused++;
        return;
    }
    if (o->lsn + 1 >= o->records_max)
        return;
    o->lsn++;
    o->taken++;
    o->durable_ms[o->lsn] = o->now_ms;
    lag_add(&o->lag, o->lsn, (int64_t)o->now_ms);
    step(o,
         (struct stream_event){.kind = STREAM_LOG, .lsn = o->lsn, .bytes = o->lsn * RECORD_BYTES});
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t next_ms(const struct outage *o)
{
    uint64_t at = earlier(earlier(o->timer_ms, o->insert_ms), o->sample_ms);

    for (size_t i = 0; i < UNDER_WAY_MAX; i++)
        if (o->calls[i].used && o->calls[i].sent)
            at = earlier(at, o->calls[i].done_ms);
    if (under_way(o, false) > 0 && breaker_next_ms(&o->breaker) > o->now_ms)
        at = earlier(at, breaker_next_ms(&o->breaker));
    return at > o->now_ms ? at : o->now_ms;
}

static void turn(struct outage *o)
{
    o->now_ms = next_ms(o);
    for (size_t i = 0; i < UNDER_WAY_MAX; i++)
        if (o->calls[i].used && o->calls[i].sent && o->calls[i].done_ms <= o->now_ms)
            answer(o, &o->calls[i]);
    if (o->timer_ms <= o->now_ms) {
        o->timer_ms = NEVER;
        step(o, (struct stream_event){.kind = STREAM_TICK});
    }
    if (o->insert_ms <= o->now_ms)
        insert(o);
    while (o->local_count > 0) {
        struct stream_event e = o->local[0];

        memmove(o->local, o->local + 1, --o->local_count * sizeof o->local[0]);
        step(o, e);
    }
    pump(o);
    if (under_way(o, true) + under_way(o, false) > o->calls_max)
        o->calls_max = under_way(o, true) + under_way(o, false);
    if (o->sample_ms <= o->now_ms) {
        o->sample_ms = o->now_ms + SAMPLE_MS;
        look(o);
    }
}

/* --- the whole --- */

static void open_stream(struct outage *o)
{
    struct stream_options options = {.rpo_ms = RPO_MS,
                                     .group_bytes = GROUP_BYTES,
                                     .max_in_flight = IN_FLIGHT,
                                     .max_retries = 3,
                                     .base_backoff_ms = 200,
                                     .max_backoff_ms = MAX_BACKOFF_MS,
                                     .seed = o->random,
                                     .session = {1}};

    memcpy(options.collection, SIM_COLLECTION, sizeof options.collection);
    memcpy(options.node_id, "a", 2);
    stream_init(&o->s, &options, 0, 0, 0, o->now_ms);
    breaker_init(&o->breaker, 200, MAX_BACKOFF_MS, o->random);
    lag_init(&o->lag);
    step(o, (struct stream_event){.kind = STREAM_CREATE, .root_state = ROOT_LIVE});
    pump(o);
}

static void verdict(struct outage *o, double hours)
{
    double drain_s = o->drained_ms > 0 ? (double)(o->drained_ms - o->recovered_ms) / 1000 : 0;
    double insert_rate = RECORD_BYTES * 1000.0 / INSERT_MS;
    double rate = drain_s > 0 ? (double)o->at_end / drain_s : 0;

    if (!o->failed && o->drained_ms == 0)
        fail(o, "it never drained");
    if (!o->failed && o->recovered_ms > o->end_ms + MAX_BACKOFF_MS + 25000)
        fail(o, "it tried again only %" PRIu64 " s after the outage",
             (o->recovered_ms - o->end_ms) / 1000);
    if (!o->failed && rate < DRAIN_TIMES * insert_rate)
        fail(o, "it drained %.1f times as fast as inserts came", rate / insert_rate);
    if (!o->failed && o->level != PRESSURE_GREEN)
        fail(o, "it is %s at the end", pressure_level_name(o->level));
    for (int i = PRESSURE_YELLOW; i <= PRESSURE_RED && !o->failed && hours >= 8; i++)
        if (o->level_ms[i] == 0)
            fail(o, "%s was never reached", pressure_level_name((enum pressure_level)i));
    printf("%.1f h away: %" PRIu64 " records taken, %" PRIu64 " refused; %" PRIu64
           " requests while away, at most %zu at a time, %zu bytes of state\n",
           hours, o->taken, o->refused, o->requests_down, o->calls_max,
           sizeof o->s + sizeof o->breaker + sizeof o->lag);
    for (int i = PRESSURE_YELLOW; i <= PRESSURE_RED; i++)
        if (o->level_ms[i] != 0)
            printf("%s after %.2f h; ", pressure_level_name((enum pressure_level)i),
                   (double)(o->level_ms[i] - o->begin_ms) / 3.6e6);
    printf("at most %.1f GB behind\n", (double)o->unshipped_max / 1e9);
    printf(
        "back %.1f s after the end, drained in %.0f s: %.1f times the rate of inserts; the gauge "
        "was at most %.1f s too high\n",
        (double)(o->recovered_ms - o->end_ms) / 1000, drain_s, rate / insert_rate,
        (double)o->lag_error_max_ms / 1000);
}

int sim_outage(double hours, uint64_t seed)
{
    struct outage *o = calloc(1, sizeof *o);
    uint64_t away_ms = (uint64_t)(hours * 3.6e6);
    int failed = 1;

    if (o == NULL)
        return 1;
    o->random = seed;
    o->now_ms = 1000;
    o->timer_ms = NEVER;
    o->insert_ms = o->sample_ms = 2000;
    o->begin_ms = o->now_ms + BEFORE_MS;
    o->end_ms = o->begin_ms + away_ms;
    o->records_max = (BEFORE_MS + away_ms + AFTER_MS) / INSERT_MS + 1;
    o->durable_ms = calloc(o->records_max + 1, sizeof o->durable_ms[0]);
    o->stored = calloc(o->records_max + 1, sizeof o->stored[0]);
    if (o->durable_ms != NULL && o->stored != NULL) {
        open_stream(o);
        while (!o->failed && o->now_ms < o->end_ms + AFTER_MS &&
               (o->drained_ms == 0 || o->now_ms < o->drained_ms + 60000))
            turn(o);
        verdict(o, hours);
        failed = o->failed ? 1 : 0;
    }
    free(o->stored);
    free(o->durable_ms);
    free(o);
    return failed;
}
