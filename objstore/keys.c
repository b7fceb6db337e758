/* The shell of keys_due.c: the thread `keys`, and what is seen of it. */
#include "objstore/keys_internal.h"

#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "objstore/keys_due.h"

#include <inttypes.h>
#include <stdio.h>

#define SECOND_NS UINT64_C(1000000000)

enum { WAIT_S = 60 };

struct keys {
    /* Set by open and start. */
    struct keys_options options;
    struct credentials_timings timings;
    char **env; /* copied; NULL: the process's own */
    char *ca_file;
    char store[256];
    struct thread thread;
    _Atomic bool stop;
    struct { /* NULL without a registry */
        struct stats_metric *renewed, *failed, *end;
    } stats;
    /* The thread's alone, once it runs. */
    struct credentials *fresh;
    struct credentials_plan *plan;
    struct {              /* guarded by lock */
        struct lock lock; /* LOCK_RANK_OBJSTORE */
        struct cond woken;
        struct keys_due due;
        bool ask;           /* the thread's next job */
        uint64_t round;     /* of `have` */
        uint64_t reload_ns; /* looking waits until then for a reload; 0 */
        struct credentials have;
        char trouble[ERR_TEXT_BYTES];
    } shared;
};

/* --- what others see --- */

static void step_locked(struct keys *k, enum keys_event_kind kind, uint64_t life_ns,
                        struct keys_effect *effect)
{
    struct keys_event e = {.kind = kind,
                           .now_ns = clock_mono_ns(k->options.clock),
                           .life_ns = life_ns,
                           .random = rand_u64(k->options.rand)};

    *effect = keys_due_step(&k->shared.due, &e);
    k->shared.ask |= effect->ask;
}

/* Text for who gets no keys: what is wrong and what would help. */
static void tell_lack_locked(struct keys *k, uint64_t now_ns, struct credentials *out)
{
    const struct keys_due *due = &k->shared.due;

    credentials_wipe(out);
    out->ended = due->has;
    if (due->has)
        (void)snprintf(out->source, sizeof out->source,
                       "the keys ended %" PRIu64 " s ago and no new ones are to be had: %.380s; "
                       "mend that, or give others and reload",
                       (now_ns - due->end_ns) / SECOND_NS,
                       k->shared.trouble[0] != '\0' ? k->shared.trouble : k->shared.have.source);
    else
        memcpy(out->source, k->shared.trouble, sizeof out->source);
}

enum keys_state keys_look(struct keys *k, uint64_t *round, struct credentials *out)
{
    uint64_t now_ns = clock_mono_ns(k->options.clock);
    enum keys_state state = KEYS_LACK;
    enum keys_phase phase;

    lock_take(&k->shared.lock);
    phase = keys_due_phase(&k->shared.due, now_ns);
    if (k->shared.due.running && k->shared.reload_ns > now_ns)
        state = KEYS_WAIT;
    else if (phase != KEYS_NONE && phase != KEYS_ENDED)
        state = KEYS_READY;
    else if (k->shared.due.running)
        state = KEYS_WAIT;
    if (state == KEYS_READY && *round != k->shared.round) {
        *out = k->shared.have;
        *round = k->shared.round;
    } else if (state == KEYS_LACK) {
        tell_lack_locked(k, now_ns, out);
        *round = 0;
    }
    lock_drop(&k->shared.lock);
    return state;
}

bool keys_refused(struct keys *k, uint64_t round)
{
    struct keys_effect effect = {0};
    bool comes = true;

    lock_take(&k->shared.lock);
    if (round == k->shared.round) {
        step_locked(k, KEYS_REFUSED, 0, &effect);
        comes = !effect.refused;
        if (effect.ask)
            cond_signal(&k->shared.woken);
    }
    lock_drop(&k->shared.lock);
    return comes;
}

bool keys_busy(struct keys *k)
{
    bool busy;

    lock_take(&k->shared.lock);
    busy = k->shared.due.running;
    lock_drop(&k->shared.lock);
    return busy;
}

void keys_reload(struct keys *k)
{
    struct keys_effect effect;

    lock_take(&k->shared.lock);
    step_locked(k, KEYS_RELOAD, 0, &effect);
    k->shared.reload_ns = clock_mono_ns(k->options.clock) + KEYS_RELOAD_WAIT_MS * UINT64_C(1000000);
    cond_signal(&k->shared.woken);
    lock_drop(&k->shared.lock);
}

void keys_trouble(struct keys *k, char text[ERR_TEXT_BYTES])
{
    lock_take(&k->shared.lock);
    memcpy(text, k->shared.trouble, ERR_TEXT_BYTES);
    lock_drop(&k->shared.lock);
}

/* --- the thread --- */

/* What is left of fresh keys, by the clock of who gave them where it was told. */
static uint64_t life_of(struct keys *k, const struct credentials *c)
{
    int64_t now_s =
        c->told_s != 0 ? c->told_s : (int64_t)(clock_wall_ns(k->options.clock) / SECOND_NS);

    if (c->expires_s == 0)
        return KEYS_NEVER;
    if (c->expires_s <= now_s)
        return 0;
    return (uint64_t)(c->expires_s - now_s) < KEYS_LIFE_MAX_S
               ? (uint64_t)(c->expires_s - now_s) * SECOND_NS
               : KEYS_LIFE_MAX_S * SECOND_NS;
}

static void ask_provider(struct keys *k)
{
    struct credentials *c = k->fresh;
    struct credentials_doors doors = {.env = k->env,
                                      .fs = k->options.fs,
                                      .ca_file = k->ca_file[0] != '\0' ? k->ca_file : c->ca_file,
                                      .timings = &k->timings,
                                      .stop = &k->stop,
                                      .random = rand_u64(k->options.rand),
                                      .now_s =
                                          (int64_t)(clock_wall_ns(k->options.clock) / SECOND_NS)};
    struct err why = {0};

    if (credentials_ask(k->plan, &doors, c, &why) == ST_OK) {
        c->found = true;
        c->from = k->plan->from;
        (void)snprintf(c->source, sizeof c->source, "%s", k->plan->name);
        return;
    }
    /* Who was configured is told alone; the instance is asked for want of anyone else. */
    if (k->plan->from == CREDENTIALS_FROM_INSTANCE)
        c->source[ERR_TEXT_BYTES / 2] = '\0';
    else
        c->source[0] = '\0';
    credentials_note(c, "%s: %s", k->plan->name, why.text);
}

/* Fills k->fresh; what is left of the keys, 0 where there are none. */
static uint64_t find(struct keys *k)
{
    struct credentials *c = k->fresh;
    struct err why = {0};
    uint64_t life_ns;

    if (credentials_load(k->env, k->options.fs, c, k->plan, &why) != ST_OK) {
        (void)snprintf(c->source, sizeof c->source, "%s", why.text);
        return 0;
    }
    if (!c->found && k->plan->from != CREDENTIALS_FROM_NOWHERE)
        ask_provider(k);
    if (!c->found)
        return 0;
    life_ns = life_of(k, c);
    if (life_ns == 0) {
        credentials_wipe(c);
        credentials_note(c, "whose keys have ended already");
    }
    return life_ns;
}

static void tell_failure(struct keys *k, const struct keys_due *due)
{
    uint64_t now_ns = clock_mono_ns(k->options.clock);
    enum keys_phase phase = keys_due_phase(due, now_ns);

    if ((due->failures & (due->failures - 1)) != 0) /* the first, second, fourth, ... */
        return;
    if (phase == KEYS_NONE || phase == KEYS_ENDED)
        log_error("there are no keys for the bucket, requests fail until there are",
                  "store=%s attempts=%u err=%s", k->store, due->failures, k->fresh->source);
    else
        log_warn("keys could not be renewed, the old ones stay in use",
                 "store=%s attempts=%u left_s=%" PRIu64 " err=%s", k->store, due->failures,
                 due->end_ns == KEYS_NEVER ? 0 : (due->end_ns - now_ns) / SECOND_NS,
                 k->fresh->source);
}

/* Who was refused with them is not helped by them. */
static bool same_keys(const struct credentials *a, const struct credentials *b)
{
    return strcmp(a->access, b->access) == 0 && strcmp(a->secret, b->secret) == 0 &&
           strcmp(a->token, b->token) == 0;
}

static void publish(struct keys *k, uint64_t life_ns)
{
    struct keys_effect effect;
    struct keys_due due;
    bool came = life_ns > 0;
    bool changed;

    lock_take(&k->shared.lock);
    changed = came && (!k->shared.due.has || !same_keys(&k->shared.have, k->fresh));
    if (came) {
        k->shared.have = *k->fresh;
        k->shared.round += changed;
        k->shared.trouble[0] = '\0';
    } else {
        memcpy(k->shared.trouble, k->fresh->source, sizeof k->shared.trouble);
    }
    step_locked(k, came ? KEYS_CAME : KEYS_FAILED, life_ns, &effect);
    if (!k->shared.due.running)
        k->shared.reload_ns = 0;
    due = k->shared.due;
    lock_drop(&k->shared.lock);
    stats_add(came ? k->stats.renewed : k->stats.failed, 1);
    if (came)
        stats_set(k->stats.end, (double)k->fresh->expires_s);
    if (!came)
        tell_failure(k, &due);
    else if (changed)
        log_info("requests are signed with new keys", "store=%s source=%s good_for_s=%" PRIu64,
                 k->store, k->fresh->source, life_ns == KEYS_NEVER ? 0 : life_ns / SECOND_NS);
}

static void work(void *arg)
{
    struct keys *k = arg;

    lock_take(&k->shared.lock);
    while (!atomic_load(&k->stop)) {
        struct keys_effect effect;

        if (!k->shared.ask)
            step_locked(k, KEYS_TICK, 0, &effect);
        if (k->shared.ask) {
            k->shared.ask = false;
            lock_drop(&k->shared.lock);
            publish(k, find(k));
            credentials_wipe(k->fresh);
            if (k->options.on_news != NULL)
                k->options.on_news(k->options.arg);
            lock_take(&k->shared.lock);
        } else {
            uint64_t now_ns = clock_mono_ns(k->options.clock);
            uint64_t wait_ns = effect.wake_ns > now_ns ? effect.wake_ns - now_ns : 1;

            (void)cond_wait_ns(&k->shared.woken, &k->shared.lock,
                               wait_ns < WAIT_S * SECOND_NS ? wait_ns : WAIT_S * SECOND_NS);
        }
    }
    lock_drop(&k->shared.lock);
}

/* --- opening and closing --- */

static bool copy_env(struct keys *k, char *const *env)
{
    size_t count = 0;

    if (env == NULL)
        return true;
    while (env[count] != NULL)
        count++;
    k->env = mem_zero_array(count + 1, sizeof *k->env);
    for (size_t i = 0; k->env != NULL && i < count; i++) {
        k->env[i] = mem_strdup(env[i]);
        if (k->env[i] == NULL)
            return false;
    }
    return k->env != NULL;
}

static void make_metrics(struct keys *k, struct stats *stats)
{
    static const char *const by_outcome[] = {"outcome", NULL};
    struct stats_family *asked;
    struct stats_family *end;

    if (stats == NULL)
        return;
    asked = stats_family(stats, "tiervec_s3_credentials_refreshes_total", STATS_COUNTER,
                         "times the keys for the bucket were asked for", by_outcome, NULL, 0);
    end =
        stats_family(stats, "tiervec_s3_credentials_expire_timestamp_seconds", STATS_GAUGE,
                     "when the keys in use end, seconds since 1970; 0: they do not", NULL, NULL, 0);
    k->stats.renewed = stats_metric(asked, (const char *const[]){"ok", NULL});
    k->stats.failed = stats_metric(asked, (const char *const[]){"failed", NULL});
    k->stats.end = stats_metric(end, NULL);
}

status keys_open_timed(const struct keys_options *options,
                       const struct credentials_timings *timings, struct keys **out,
                       struct err *err)
{
    struct keys *k = mem_zero(sizeof *k);
    struct keys_effect effect;
    status st;

    if (k == NULL)
        return err_set(err, ST_NOMEM, "no memory for keys");
    lock_init(&k->shared.lock, LOCK_RANK_OBJSTORE, "keys");
    cond_init(&k->shared.woken);
    k->options = *options;
    k->timings = *timings;
    k->ca_file = mem_strdup(options->ca_file != NULL ? options->ca_file : "");
    k->fresh = mem_zero(sizeof *k->fresh);
    k->plan = mem_zero(sizeof *k->plan);
    if (k->ca_file == NULL || k->fresh == NULL || k->plan == NULL || !copy_env(k, options->env)) {
        keys_close(k);
        return err_set(err, ST_NOMEM, "no memory for keys");
    }
    st = credentials_load(k->env, k->options.fs, k->fresh, k->plan, err);
    if (st != ST_OK) {
        keys_close(k);
        return st;
    }
    make_metrics(k, options->stats);
    if (k->fresh->found && life_of(k, k->fresh) > 0) {
        k->shared.have = *k->fresh;
        k->shared.round = 1;
        step_locked(k, KEYS_CAME, life_of(k, k->fresh), &effect);
        stats_set(k->stats.end, (double)k->fresh->expires_s);
    }
    *out = k;
    return ST_OK;
}

status keys_open(const struct keys_options *options, struct keys **out, struct err *err)
{
    return keys_open_timed(options, &CREDENTIALS_TIMINGS, out, err);
}

const struct credentials *keys_first(const struct keys *k)
{
    return k->fresh;
}

status keys_start(struct keys *k, const char *store, struct err *err)
{
    struct keys_effect effect;
    status st;

    (void)snprintf(k->store, sizeof k->store, "%s", store);
    lock_take(&k->shared.lock);
    step_locked(k, KEYS_TICK, 0, &effect); /* whoever looks now knows that news will come */
    lock_drop(&k->shared.lock);
    st = thread_start(&k->thread, "keys", THREAD_NORMAL, work, k, err);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "keys");
}

void keys_close(struct keys *k)
{
    if (k == NULL)
        return;
    lock_take(&k->shared.lock);
    atomic_store(&k->stop, true);
    cond_signal(&k->shared.woken);
    lock_drop(&k->shared.lock);
    thread_join(&k->thread);
    for (char **at = k->env; at != NULL && *at != NULL; at++)
        mem_free(*at);
    mem_free(k->env);
    mem_free(k->ca_file);
    if (k->fresh != NULL)
        credentials_wipe(k->fresh);
    if (k->plan != NULL)
        explicit_bzero(k->plan, sizeof *k->plan);
    mem_free(k->fresh);
    mem_free(k->plan);
    credentials_wipe(&k->shared.have);
    cond_fini(&k->shared.woken);
    lock_fini(&k->shared.lock);
    mem_free(k);
}
