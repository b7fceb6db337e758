/* Opening a store of S3, and closing it. */
#include "objstore/s3.h"

#include "base/mem.h"
#include "objstore/meter.h"
#include "objstore/s3_internal.h"

#include <pthread.h>
#include <stdio.h>

enum { CONNECTIONS_MAX = 1024 };

static void destroy(struct s3 *s)
{
    for (size_t i = 0; i < s->worker.call_count; i++)
        s3_call_fini(&s->worker.calls[i]);
    mem_free(s->worker.calls);
    keys_close(s->keys); /* its thread wakes multi */
    if (s->multi != NULL)
        (void)curl_multi_cleanup(s->multi);
    if (s->worker.keys != NULL)
        credentials_wipe(s->worker.keys);
    mem_free(s->worker.keys);
    mem_free(s->ca_file);
    lock_fini(&s->shared.lock);
    mem_free(s);
}

static void close_store(struct objstore *store)
{
    struct s3 *s = (struct s3 *)store;

    lock_take(&s->shared.lock);
    s->shared.stopping = true;
    lock_drop(&s->shared.lock);
    (void)curl_multi_wakeup(s->multi);
    thread_join(&s->thread);
    destroy(s);
}

static const struct objstore_ops OPS = {.submit = s3_submit,
                                        .cancel = s3_cancel,
                                        .reload = s3_reload,
                                        .trouble = s3_trouble,
                                        .close = close_store};

static void on_news(void *arg)
{
    const struct s3 *s = arg;

    (void)curl_multi_wakeup(s->multi);
}

static status open_keys(struct s3 *s, const struct objstore_options *options, struct err *err)
{
    const struct keys_options keys = {.env = options->env,
                                      .fs = options->fs != NULL ? options->fs : fs_real(),
                                      .clock = s->clock,
                                      .rand = options->rand != NULL ? options->rand : rand_kernel(),
                                      .stats = options->stats,
                                      .ca_file = options->ca_file,
                                      .on_news = on_news,
                                      .arg = s};

    s->worker.keys = mem_zero(sizeof *s->worker.keys);
    if (s->worker.keys == NULL)
        return err_set(err, ST_NOMEM, "no memory for a store");
    return keys_open(&keys, &s->keys, err);
}

static bool take_limits(struct s3 *s, const struct objstore_options *options)
{
    /* A wave of a cold query is up to 32 GETs (docs/decisions/cold-layout.md). */
    static const uint32_t defaults[OBJSTORE_POOLS] = {32, 8, 8};
    size_t total = 0;

    for (size_t pool = 0; pool < OBJSTORE_POOLS; pool++) {
        uint32_t wanted = options->connections_max[pool];

        s->connections_max[pool] = wanted == 0 ? defaults[pool] : wanted;
        if (s->connections_max[pool] > CONNECTIONS_MAX)
            s->connections_max[pool] = CONNECTIONS_MAX;
        total += s->connections_max[pool];
        aimd_init(&s->worker.aimd[pool], (enum objstore_pool)pool, s->connections_max[pool]);
        stats_set(s->limits[pool], s->connections_max[pool]);
    }
    s->worker.calls = mem_zero_array(total, sizeof *s->worker.calls);
    return s->worker.calls != NULL;
}

static status make_calls(struct s3 *s, struct err *err)
{
    size_t total = 0;

    for (size_t pool = 0; pool < OBJSTORE_POOLS; pool++)
        total += s->connections_max[pool];
    while (s->worker.call_count < total) {
        struct s3_call *call = &s->worker.calls[s->worker.call_count];
        status st = s3_call_init(call, err);

        if (st != ST_OK)
            return st;
        s->worker.call_count++;
        call->next = s->worker.idle;
        s->worker.idle = call;
    }
    s->multi = curl_multi_init();
    if (s->multi == NULL ||
        curl_multi_setopt(s->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) != CURLM_OK ||
        curl_multi_setopt(s->multi, CURLMOPT_MAXCONNECTS, (long)total) != CURLM_OK)
        return err_set(err, ST_NOMEM, "no memory for connections");
    return ST_OK;
}

static status find_target(struct s3 *s, const struct objstore_options *options,
                          const struct objstore_url *url, struct err *err)
{
    struct s3_target *t = &s->worker.target;
    const char *ca = options->ca_file;
    status st = s3_target_make(options, url, keys_first(s->keys), t, err);

    if (st != ST_OK)
        return st;
    if (ca == NULL || ca[0] == '\0')
        ca = keys_first(s->keys)->ca_file;
    s->ca_file = mem_strdup(ca);
    if (s->ca_file == NULL)
        return err_set(err, ST_NOMEM, "no memory for a store");
    (void)snprintf(s->store.description, sizeof s->store.description, "s3 %.120s/%s/%.60s",
                   t->endpoint, t->bucket, t->prefix);
    s->store.description[strlen(s->store.description) - 1] = '\0'; /* the slash at its end */
    return ST_OK;
}

static void global_init(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT); /* what failed here, fails again at each handle */
}

status objstore_s3_open_timed(const struct objstore_options *options,
                              const struct objstore_url *url, const struct s3_timings *timings,
                              struct objstore **out, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct s3 *s = mem_zero(sizeof *s);
    status st = ST_OK;

    (void)pthread_once(&once, global_init);
    if (s == NULL)
        return err_set(err, ST_NOMEM, "no memory for a store");
    lock_init(&s->shared.lock, LOCK_RANK_OBJSTORE, "s3");
    s->store.ops = &OPS;
    s->clock = options->clock != NULL ? options->clock : clock_real();
    s->rand = options->rand != NULL ? options->rand : rand_kernel();
    if (options->stats != NULL)
        objstore_meter_pools(options->stats, s->limits);
    s->timings = *timings;
    if (!take_limits(s, options))
        st = err_set(err, ST_NOMEM, "no memory for a store");
    if (st == ST_OK)
        st = open_keys(s, options, err);
    if (st == ST_OK)
        st = find_target(s, options, url, err);
    if (st == ST_OK)
        st = make_calls(s, err);
    if (st == ST_OK)
        st = keys_start(s->keys, s->store.description, err);
    if (st == ST_OK)
        st = thread_start(&s->thread, "s3", THREAD_NORMAL, s3_run, s, err);
    if (st != ST_OK) {
        destroy(s);
        return st;
    }
    *out = &s->store;
    return ST_OK;
}

status objstore_s3_open(const struct objstore_options *options, const struct objstore_url *url,
                        struct objstore **out, struct err *err)
{
    return objstore_s3_open_timed(options, url, &S3_TIMINGS, out, err);
}
