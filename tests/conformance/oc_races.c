/* Many at once: exactly one wins, and nothing is lost. 32 requests from four threads with a handle
 * each, so over four sets of connections. Threads only collect; the test thread asserts. */
#include "base/lock.h"
#include "tests/conformance/objstore_conformance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { THREADS = 4, EACH = 8, STEPS = 25, TRIES_MAX = 2000 };

struct racer {
    struct thread thread;
    struct objstore *s;
    pthread_barrier_t *start;
    unsigned index;
    const char *key;
    const char *etag; /* NULL: create if absent */
    struct oc_batch batch;
    char bodies[EACH][32];
    unsigned failures;
};

static bool decided(const struct objstore_req *req)
{
    return req->result.class != OBJSTORE_CONFLICT;
}

static void race(void *arg)
{
    struct racer *r = arg;

    (void)pthread_barrier_wait(r->start);
    for (unsigned i = 0; i < EACH; i++)
        oc_batch_submit(&r->batch, r->s, i);
    oc_batch_wait(&r->batch);
    /* 409: nothing is decided, the same is sent again. */
    for (unsigned i = 0; i < EACH; i++)
        for (unsigned tries = 0; !decided(&r->batch.reqs[i]) && tries < TRIES_MAX; tries++) {
            objstore_req_reset(&r->batch.reqs[i]);
            r->failures += objstore_wait(r->s, &r->batch.reqs[i], NULL) == ST_BUG;
        }
}

static void prepare(struct oc *oc, struct racer *r, unsigned index, const char *key,
                    const char *etag)
{
    *r = (struct racer){.index = index, .key = key, .etag = etag};
    r->s = oc_open(oc);
    oc_batch_init(&r->batch, EACH);
    for (unsigned i = 0; i < EACH; i++) {
        (void)snprintf(r->bodies[i], sizeof r->bodies[i], "writer %u.%u", index, i);
        r->batch.reqs[i].op = OBJSTORE_PUT;
        r->batch.reqs[i].key = key;
        r->batch.reqs[i].body = slice_text(r->bodies[i]);
        r->batch.reqs[i].condition = etag == NULL ? OBJSTORE_IF_ABSENT : OBJSTORE_IF_MATCH;
        r->batch.reqs[i].etag = etag;
    }
}

static const char *winner_of(struct racer *racers)
{
    const char *winner = NULL;
    unsigned winners = 0;

    for (unsigned t = 0; t < THREADS; t++)
        for (unsigned i = 0; i < EACH; i++) {
            const struct objstore_result *r = &racers[t].batch.reqs[i].result;

            if (r->class == OBJSTORE_OK) {
                winners++;
                winner = racers[t].bodies[i];
            } else if (r->class != OBJSTORE_PRECONDITION)
                fail_msg("a loser got %s: %s", objstore_class_name(r->class), r->err.text);
        }
    assert_int_equal(winners, 1);
    return winner;
}

static void race_once(struct oc *oc, const char *key, const char *etag)
{
    static struct racer racers[THREADS];
    pthread_barrier_t start;

    assert_int_equal(pthread_barrier_init(&start, NULL, THREADS), 0);
    for (unsigned t = 0; t < THREADS; t++) {
        prepare(oc, &racers[t], t, key, etag);
        racers[t].start = &start;
    }
    for (unsigned t = 0; t < THREADS; t++)
        assert_int_equal(
            thread_start(&racers[t].thread, "racer", THREAD_NORMAL, race, &racers[t], NULL), ST_OK);
    for (unsigned t = 0; t < THREADS; t++)
        thread_join(&racers[t].thread);
    oc_expect_content(oc, key, slice_text(winner_of(racers)));
    for (unsigned t = 0; t < THREADS; t++) {
        objstore_close(racers[t].s);
        /* objstore_wait() has its own done(): the latch no longer counts those. */
        oc_batch_fini(&racers[t].batch);
    }
    assert_int_equal(pthread_barrier_destroy(&start), 0);
}

static unsigned rounds_of(const struct oc *oc)
{
    return oc->subject->race_rounds == 0 ? 3 : oc->subject->race_rounds;
}

static void one_of_many_creates_wins(void **state)
{
    struct oc *oc = *state;
    char name[32];

    for (unsigned i = 0; i < rounds_of(oc) && !oc->subject->no_conditions; i++) {
        (void)snprintf(name, sizeof name, "create/%u", i);
        race_once(oc, oc_key(oc, name), NULL);
    }
}

static void one_of_many_replacements_wins(void **state)
{
    struct oc *oc = *state;
    char etag[OBJSTORE_ETAG_BYTES];
    char body[32];

    for (unsigned i = 0; i < rounds_of(oc) && !oc->subject->no_conditions; i++) {
        const char *key = oc_key(oc, "replace");

        (void)snprintf(body, sizeof body, "round %u", i);
        oc_put(oc, key, slice_text(body), etag);
        race_once(oc, key, etag);
    }
}

/* Reads the number under the key and puts the next one in its place. */
static bool count_once(struct racer *r, struct objstore_req *get, struct objstore_req *put)
{
    char body[64];
    unsigned value = 0;
    struct buf *got = &get->result.body;

    if (objstore_wait(r->s, get, NULL) != ST_OK || got->bytes == 0 || got->bytes >= sizeof body) {
        r->failures++;
        return true;
    }
    memcpy(body, got->data, got->bytes);
    body[got->bytes] = '\0';
    value = (unsigned)strtoul(body, NULL, 10);
    /* Who wrote it stands behind the number: two of the same number must differ. */
    (void)snprintf(body, sizeof body, "%u by %u", value + 1, r->index);
    put->body = slice_text(body);
    put->etag = get->result.etag;
    if (objstore_wait(r->s, put, NULL) == ST_OK)
        return true;
    if (put->result.class != OBJSTORE_PRECONDITION && put->result.class != OBJSTORE_CONFLICT)
        r->failures++;
    return false;
}

static void count(void *arg)
{
    struct racer *r = arg;

    (void)pthread_barrier_wait(r->start);
    for (unsigned i = 0; i < STEPS; i++)
        for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
            struct objstore_req get = {.op = OBJSTORE_GET, .key = r->key};
            struct objstore_req put = {
                .op = OBJSTORE_PUT, .key = r->key, .condition = OBJSTORE_IF_MATCH};
            bool ended = count_once(r, &get, &put);

            objstore_result_fini(&get.result);
            objstore_result_fini(&put.result);
            if (ended)
                break;
        }
}

static void a_counter_loses_no_step(void **state)
{
    struct oc *oc = *state;
    const char *key = oc_key(oc, "counter");
    struct racer racers[THREADS] = {0};
    struct objstore_req get = {.op = OBJSTORE_GET, .key = key};
    pthread_barrier_t start;
    char body[64] = {0};

    if (oc->subject->no_conditions)
        return;
    oc_put(oc, key, slice_text("0"), NULL);
    assert_int_equal(pthread_barrier_init(&start, NULL, THREADS), 0);
    for (unsigned t = 0; t < THREADS; t++) {
        racers[t] = (struct racer){.index = t, .key = key, .start = &start, .s = oc_open(oc)};
        assert_int_equal(
            thread_start(&racers[t].thread, "counter", THREAD_NORMAL, count, &racers[t], NULL),
            ST_OK);
    }
    for (unsigned t = 0; t < THREADS; t++) {
        thread_join(&racers[t].thread);
        objstore_close(racers[t].s);
        assert_int_equal(racers[t].failures, 0);
    }
    oc_expect(oc, &get, OBJSTORE_OK);
    assert_true(get.result.body.bytes < sizeof body);
    memcpy(body, get.result.body.data, get.result.body.bytes);
    assert_int_equal(strtoul(body, NULL, 10), THREADS * STEPS);
    objstore_result_fini(&get.result);
    assert_int_equal(pthread_barrier_destroy(&start), 0);
}

size_t oc_races(struct CMUnitTest *out)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_many_creates_wins),
        cmocka_unit_test(one_of_many_replacements_wins),
        cmocka_unit_test(a_counter_loses_no_step),
    };

    memcpy(out, tests, sizeof tests);
    return COUNT_OF(tests);
}
