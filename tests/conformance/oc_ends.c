/* How requests end: each exactly once, never inside submit, cancelled or closed over too. */
#include "base/lock.h"
#include "base/mem.h"
#include "tests/conformance/objstore_conformance.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MANY = 64 };

static void fill(struct oc *oc, struct oc_batch *batch, char keys[MANY][OBJSTORE_KEY_BYTES_MAX + 1],
                 struct slice body)
{
    oc_batch_init(batch, MANY);
    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(keys[i], OBJSTORE_KEY_BYTES_MAX + 1, "%s/end/%zu", oc->root, i);
        batch->reqs[i].op = OBJSTORE_PUT;
        batch->reqs[i].pool = (enum objstore_pool)(i % OBJSTORE_POOLS);
        batch->reqs[i].key = keys[i];
        batch->reqs[i].body = body;
    }
}

/* What a request said of itself is so: OK is there, CANCELLED and sure of it is not. */
static void expect_true(struct oc *oc, const struct oc_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct objstore_req *req = &batch->reqs[i];

        if (req->result.class == OBJSTORE_OK)
            oc_expect_content(oc, req->key, req->body);
        else {
            assert_int_equal(req->result.class, OBJSTORE_CANCELLED);
            assert_int_equal(req->result.err.code, ST_CLOSED);
            if (!req->result.maybe_applied)
                oc_expect_absent(oc, req->key);
        }
    }
}

static void a_cancelled_request_ends_once_and_says_what_it_came_to(void **state)
{
    static char keys[MANY][OBJSTORE_KEY_BYTES_MAX + 1];
    struct oc *oc = *state;
    uint8_t *bytes = oc_bytes(100000, 1);
    struct oc_batch batch;

    fill(oc, &batch, keys, slice_make(bytes, 100000));
    for (size_t i = 0; i < MANY; i++)
        oc_batch_submit(&batch, oc->s, i);
    for (size_t i = MANY; i-- > 0;)
        objstore_cancel(oc->s, &batch.reqs[i]);
    oc_batch_wait(&batch);
    assert_int_equal(oc_batch_done(&batch), MANY);
    expect_true(oc, &batch);
    oc_batch_fini(&batch);
    mem_free(bytes);
}

static void closing_ends_every_request(void **state)
{
    static char keys[MANY][OBJSTORE_KEY_BYTES_MAX + 1];
    struct oc *oc = *state;
    uint8_t *bytes = oc_bytes(100000, 2);

    for (unsigned round = 0; round < 3; round++) {
        struct objstore *s = oc_open(oc);
        struct oc_batch batch;

        fill(oc, &batch, keys, slice_make(bytes, 100000));
        for (size_t i = 0; i < MANY; i++) {
            oc_expect_free(oc, (struct objstore_req){.op = OBJSTORE_DELETE, .key = keys[i]},
                           OBJSTORE_OK);
            oc_batch_submit(&batch, s, i);
        }
        objstore_close(s);
        assert_int_equal(oc_batch_done(&batch), MANY);
        expect_true(oc, &batch);
        oc_batch_fini(&batch);
    }
    mem_free(bytes);
}

static void closing_a_store_that_did_nothing_is_fine(void **state)
{
    struct oc *oc = *state;

    for (unsigned i = 0; i < 5; i++) {
        struct objstore *s = oc_open(oc);

        assert_true(s->description[0] != '\0');
        objstore_reload(s);
        objstore_close(s);
    }
    objstore_close(NULL);
}

struct place {
    struct lock lock; /* LOCK_RANK_LEAF */
    struct cond cond;
    pthread_t thread;
    unsigned left;
    struct objstore *s;
};

static void note_place(struct objstore_req *req)
{
    struct place *place = req->arg;

    lock_take(&place->lock);
    place->thread = pthread_self();
    place->left--;
    cond_signal(&place->cond);
    lock_drop(&place->lock);
}

/* The chain goes on from inside done(). */
static void again(struct objstore_req *req)
{
    struct place *place = req->arg;

    objstore_req_reset(req);
    if (place->left == 2)
        req->done = note_place;
    lock_take(&place->lock);
    place->left--;
    lock_drop(&place->lock);
    objstore_submit(place->s, req);
}

static void wait_for(struct place *place)
{
    lock_take(&place->lock);
    while (place->left > 0)
        cond_wait(&place->cond, &place->lock);
    lock_drop(&place->lock);
}

static void done_comes_from_another_thread_and_may_submit(void **state)
{
    struct oc *oc = *state;
    struct objstore_req wrong = {.op = OBJSTORE_PUT, .key = "no//key", .done = note_place};
    struct objstore_req chain = {
        .op = OBJSTORE_PUT, .key = oc_key(oc, "chain"), .body = slice_text("x"), .done = again};
    struct place place = {.left = 1, .s = oc->s};

    lock_init(&place.lock, LOCK_RANK_LEAF, "conformance place");
    cond_init(&place.cond);
    wrong.arg = &place;
    chain.arg = &place;
    objstore_submit(oc->s, &wrong);
    wait_for(&place);
    assert_false(pthread_equal(place.thread, pthread_self()));
    assert_int_equal(wrong.result.class, OBJSTORE_PERMANENT);
    objstore_result_fini(&wrong.result);
    place.left = 20;
    objstore_submit(oc->s, &chain);
    wait_for(&place);
    assert_int_equal(chain.result.class, OBJSTORE_OK);
    objstore_result_fini(&chain.result);
    cond_fini(&place.cond);
    lock_fini(&place.lock);
}

size_t oc_ends(struct CMUnitTest *out)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cancelled_request_ends_once_and_says_what_it_came_to),
        cmocka_unit_test(closing_ends_every_request),
        cmocka_unit_test(closing_a_store_that_did_nothing_is_fine),
        cmocka_unit_test(done_comes_from_another_thread_and_may_submit),
    };

    memcpy(out, tests, sizeof tests);
    return COUNT_OF(tests);
}
