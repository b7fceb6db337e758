/* What the suite's files share, and the group they make. */
#include "base/lock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "tests/conformance/objstore_conformance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { TESTS_MAX = 128 };

const char *oc_key(struct oc *oc, const char *name)
{
    char *key = oc->keys[oc->next_key++ % OC_KEYS];

    assert_true(snprintf(key, sizeof oc->keys[0], "%s/%s", oc->root, name) <
                (int)sizeof oc->keys[0]);
    return key;
}

struct objstore *oc_open(struct oc *oc)
{
    struct objstore *s = NULL;
    struct err err = {0};

    if (oc->subject->open(oc->subject->arg, &s, &err) != ST_OK)
        fail_msg("open: %s", err.text);
    assert_non_null(s);
    return s;
}

enum objstore_class oc_run(struct objstore *s, struct objstore_req *req)
{
    struct err err = {0};
    status st = objstore_wait(s, req, &err);
    const struct objstore_result *r = &req->result;

    assert_int_equal(st, objstore_class_status(r->class));
    if (st != ST_OK) {
        assert_int_equal(r->err.code, st);
        assert_string_equal(r->err.text, err.text);
        assert_true(strlen(err.text) > 10);
    }
    if (r->class == OBJSTORE_OK)
        assert_false(r->maybe_applied);
    return r->class;
}

void oc_expect(struct oc *oc, struct objstore_req *req, enum objstore_class want)
{
    enum objstore_class got = oc_run(oc->s, req);

    if (got != want)
        fail_msg("%s %s: %s instead of %s, HTTP %d, %s", objstore_op_name(req->op),
                 req->key == NULL ? "" : req->key, objstore_class_name(got),
                 objstore_class_name(want), req->result.http_status, req->result.err.text);
}

void oc_expect_free(struct oc *oc, struct objstore_req req, enum objstore_class want)
{
    oc_expect(oc, &req, want);
    objstore_result_fini(&req.result);
}

void oc_put(struct oc *oc, const char *key, struct slice body, char etag[OBJSTORE_ETAG_BYTES])
{
    struct objstore_req req = {.op = OBJSTORE_PUT, .key = key, .body = body};

    oc_expect(oc, &req, OBJSTORE_OK);
    assert_true(req.result.etag[0] != '\0');
    if (etag != NULL)
        memcpy(etag, req.result.etag, OBJSTORE_ETAG_BYTES);
    objstore_result_fini(&req.result);
}

void oc_expect_content(struct oc *oc, const char *key, struct slice want)
{
    struct objstore_req req = {.op = OBJSTORE_GET, .key = key};

    oc_expect(oc, &req, OBJSTORE_OK);
    assert_int_equal(req.result.object_bytes, want.bytes);
    assert_int_equal(req.result.body.bytes, want.bytes);
    assert_true(slice_equal(buf_slice(&req.result.body), want));
    assert_true(req.result.etag[0] != '\0');
    objstore_result_fini(&req.result);
}

void oc_expect_absent(struct oc *oc, const char *key)
{
    oc_expect_free(oc, (struct objstore_req){.op = OBJSTORE_GET, .key = key}, OBJSTORE_NOT_FOUND);
}

uint8_t *oc_bytes(size_t bytes, uint64_t seed)
{
    uint8_t *out = mem_alloc(bytes + 8);

    assert_non_null(out);
    for (size_t i = 0; i < bytes; i += 8) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        le_put_u64(out + i, seed);
    }
    return out;
}

struct oc_latch {
    struct lock lock; /* LOCK_RANK_LEAF */
    struct cond cond;
    size_t submitted, done;
    unsigned *times; /* how often each was done */
    struct objstore_req *reqs;
};

static void on_done(struct objstore_req *req)
{
    struct oc_latch *latch = req->arg;

    lock_take(&latch->lock);
    latch->done++;
    latch->times[req - latch->reqs]++;
    cond_broadcast(&latch->cond);
    lock_drop(&latch->lock);
}

void oc_batch_init(struct oc_batch *b, size_t count)
{
    b->count = count;
    b->reqs = mem_zero_array(count, sizeof b->reqs[0]);
    b->latch = mem_zero(sizeof *b->latch);
    assert_non_null(b->reqs);
    assert_non_null(b->latch);
    b->latch->times = mem_zero_array(count, sizeof b->latch->times[0]);
    assert_non_null(b->latch->times);
    b->latch->reqs = b->reqs;
    lock_init(&b->latch->lock, LOCK_RANK_LEAF, "conformance batch");
    cond_init(&b->latch->cond);
}

void oc_batch_submit(struct oc_batch *b, struct objstore *s, size_t at)
{
    lock_take(&b->latch->lock);
    b->latch->submitted++;
    lock_drop(&b->latch->lock);
    b->reqs[at].done = on_done;
    b->reqs[at].arg = b->latch;
    objstore_submit(s, &b->reqs[at]);
}

void oc_batch_wait(struct oc_batch *b)
{
    lock_take(&b->latch->lock);
    while (b->latch->done < b->latch->submitted)
        cond_wait(&b->latch->cond, &b->latch->lock);
    lock_drop(&b->latch->lock);
}

size_t oc_batch_done(struct oc_batch *b)
{
    size_t done;

    lock_take(&b->latch->lock);
    done = b->latch->done;
    lock_drop(&b->latch->lock);
    return done;
}

void oc_batch_fini(struct oc_batch *b)
{
    oc_batch_wait(b);
    for (size_t i = 0; i < b->count; i++) {
        assert_true(b->latch->times[i] <= 1);
        objstore_result_fini(&b->reqs[i].result);
    }
    cond_fini(&b->latch->cond);
    lock_fini(&b->latch->lock);
    mem_free(b->latch->times);
    mem_free(b->latch);
    mem_free(b->reqs);
}

static int setup(void **state)
{
    const struct objstore_subject *subject = *state;
    struct oc *oc = calloc(1, sizeof *oc);

    if (oc == NULL)
        return -1;
    oc->subject = subject;
    (void)snprintf(oc->root, sizeof oc->root, "conformance/%016llx",
                   (unsigned long long)rand_u64(rand_kernel()));
    *state = oc;
    oc->s = oc_open(oc);
    return 0;
}

/* What the test left below its prefix is deleted: the bucket may be someone's. */
static int teardown(void **state)
{
    struct oc *oc = *state;
    char prefix[80];
    bool more = true;

    (void)snprintf(prefix, sizeof prefix, "%s/", oc->root);
    while (more) {
        struct objstore_req list = {.op = OBJSTORE_LIST, .key = prefix};

        more = oc_run(oc->s, &list) == OBJSTORE_OK && list.result.entry_count > 0;
        for (size_t i = 0; i < list.result.entry_count; i++)
            oc_expect_free(
                oc, (struct objstore_req){.op = OBJSTORE_DELETE, .key = list.result.entries[i].key},
                OBJSTORE_OK);
        objstore_result_fini(&list.result);
    }
    objstore_close(oc->s);
    free(oc);
    return 0;
}

int objstore_conformance_run(const struct objstore_subject *subject)
{
    static struct CMUnitTest tests[TESTS_MAX];
    struct objstore_subject copy = *subject;
    size_t count = 0;

    memset(tests, 0, sizeof tests);
    count += oc_objects(tests + count);
    count += oc_conditions(tests + count);
    count += oc_races(tests + count);
    count += oc_lists(tests + count);
    count += oc_uploads(tests + count);
    count += oc_ends(tests + count);
    for (size_t i = 0; i < count; i++) {
        tests[i].setup_func = setup;
        tests[i].teardown_func = teardown;
        tests[i].initial_state = &copy;
    }
    return _cmocka_run_group_tests(subject->name, tests, count, NULL, NULL);
}
