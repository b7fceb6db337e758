/* Publishing beside a thread that writes, one that links and repairs, and readers' epochs: what
 * comes out is exact, and the thread sanitizer is content. */
#include "tests/unit/snapshot/bucket_world.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static uint64_t seed = 20261125;
enum { PUBLISHES = 30 };

struct shared {
    struct bucket b;
    pthread_mutex_t lock; /* the world's log and applier, and shipping */
    _Atomic bool over;
};

static void *write_loop(void *arg)
{
    struct shared *s = arg;
    bool full = false;

    while (!atomic_load(&s->over) && !full) {
        const struct timespec little = {.tv_nsec = 20000};

        pthread_mutex_lock(&s->lock);
        world_ops(&s->b.w, 2); /* rows, deletes, links, repairs, reuse */
        full = s->b.w.lsn + 100 > WORLD_OPS_MAX;
        pthread_mutex_unlock(&s->lock);
        (void)nanosleep(&little, NULL);
    }
    return NULL;
}

static void *link_loop(void *arg)
{
    struct shared *s = arg;

    while (!atomic_load(&s->over)) {
        const struct timespec little = {.tv_nsec = 50000};

        (void)vindex_link(s->b.w.vindex, 4);
        (void)nanosleep(&little, NULL);
    }
    return NULL;
}

static status settle_locked(void *arg, uint64_t *lsn, struct err *err)
{
    struct shared *s = arg;

    (void)err;
    pthread_mutex_lock(&s->lock);
    bucket_ship(&s->b, s->b.w.lsn);
    *lsn = s->b.shipped_lsn;
    pthread_mutex_unlock(&s->lock);
    return ST_OK;
}

static status commit_locked(void *arg, uint64_t revision, const struct object_ref *manifest,
                            const struct log_floor *floor, size_t absorbed, bool base_complete,
                            struct err *err)
{
    struct shared *s = arg;
    struct publish_options options;
    status st;

    pthread_mutex_lock(&s->lock);
    bucket_options(&s->b, 0, &options);
    st = options.commit(&s->b, revision, manifest, floor, absorbed, base_complete, err);
    pthread_mutex_unlock(&s->lock);
    return st;
}

/* So that the others come in between. */
static void give_way(void *arg)
{
    const struct timespec little = {.tv_nsec = 30000};

    (void)arg;
    (void)nanosleep(&little, NULL);
}

static void publish(struct shared *s, unsigned what)
{
    const struct publish_tuning tuning = {.object_bytes = 900, .batch_rows = 3, .step = give_way};
    struct publish_options options;
    struct publish_report report;
    struct checkpoint_info info;
    struct manifest after;
    struct root root;
    struct err err = {0};
    uint64_t lsn;
    status st;

    pthread_mutex_lock(&s->lock);
    lsn = s->b.w.lsn;
    bucket_ship(&s->b, lsn);
    root = s->b.root;
    bucket_options(&s->b, what, &options);
    pthread_mutex_unlock(&s->lock);
    if (checkpoint_write(&s->b.w.state, lsn, 1, NULL, &info, &err) != ST_OK)
        fail_msg("%s", err.text);
    options.root = &root;
    options.settle = settle_locked;
    options.settle_arg = s;
    options.commit = commit_locked;
    options.commit_arg = s;
    st = publish_run_tuned(&options, root.has_manifest ? &s->b.manifest : NULL, &tuning, &after,
                           &report, &err);
    if (st != ST_OK)
        fail_msg("%s", err.text);
    manifest_free(&s->b.manifest);
    s->b.manifest = after;
}

static void published_beside_writers_is_exact(void **state)
{
    static struct shared s;
    pthread_t writer, linker;

    (void)state;
    bucket_open(&s.b, seed);
    pthread_mutex_init(&s.lock, NULL);
    world_ops(&s.b.w, 100);
    assert_int_equal(pthread_create(&writer, NULL, write_loop, &s), 0);
    assert_int_equal(pthread_create(&linker, NULL, link_loop, &s), 0);
    for (unsigned i = 0; i < PUBLISHES; i++) {
        struct restore_into_report report;

        publish(&s, i % 3 == 0   ? PUBLISH_BASE
                    : i % 3 == 1 ? PUBLISH_IMAGE
                                 : PUBLISH_BASE | PUBLISH_IMAGE);
        pthread_mutex_lock(&s.lock);
        bucket_restore_and_check(&s.b, &report);
        pthread_mutex_unlock(&s.lock);
    }
    atomic_store(&s.over, true);
    pthread_join(writer, NULL);
    pthread_join(linker, NULL);
    assert_true(s.b.w.lsn > 100 + (uint64_t)PUBLISHES * 10);
    pthread_mutex_destroy(&s.lock);
    bucket_close(&s.b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_beside_writers_is_exact),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
