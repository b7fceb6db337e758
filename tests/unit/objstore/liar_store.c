#include "tests/unit/objstore/liar_store.h"

#include "base/mem.h"
#include "objstore/crew.h"
#include "objstore/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { LIAR_THREADS = 8, NOW_AND_THEN = 32 };

struct liar {
    struct objstore store;
    struct objstore *inner;
    enum lie lie;
    struct crew crew;
    _Atomic unsigned refused;
    struct {              /* guarded by lock */
        struct lock lock; /* LOCK_RANK_LEAF */
        char last_put[OBJSTORE_KEY_BYTES_MAX + 1];
        char last_deleted[OBJSTORE_KEY_BYTES_MAX + 1];
    } seen;
};

/* The inner store's answer to what is asked of it instead. */
static void ask(struct liar *l, const struct objstore_req *as, struct objstore_req *req)
{
    struct objstore_req inner = {.op = as->op,
                                 .pool = as->pool,
                                 .key = as->key,
                                 .body = as->body,
                                 .condition = as->condition,
                                 .etag = as->etag,
                                 .range_offset = as->range_offset,
                                 .range_bytes = as->range_bytes,
                                 .range_suffix = as->range_suffix,
                                 .start_after = as->start_after,
                                 .list_max = as->list_max,
                                 .crc32c = as->crc32c,
                                 .upload_id = as->upload_id,
                                 .part_number = as->part_number,
                                 .parts = as->parts,
                                 .part_count = as->part_count};
    struct err err;
    status st = objstore_wait(l->inner, &inner, &err);

    (void)st;
    objstore_result_fini(&req->result);
    req->result = inner.result;
}

static void ask_without_condition(struct liar *l, struct objstore_req *req)
{
    struct objstore_req bare = *req;

    bare.condition = OBJSTORE_ALWAYS;
    bare.etag = NULL;
    ask(l, &bare, req);
}

static bool is_racer(const struct objstore_req *req)
{
    return req->body.bytes > 5 && memcmp(req->body.data, "racer", 5) == 0;
}

/* The same refusal, with the effect all the same. */
static void refuse_and_write(struct liar *l, struct objstore_req *req)
{
    struct objstore_req bare = *req;

    bare.condition = OBJSTORE_ALWAYS;
    bare.etag = NULL;
    memset(&bare.result, 0, sizeof bare.result);
    ask(l, &bare, &bare);
    objstore_result_fini(&bare.result);
}

static void lie_about_put(struct liar *l, struct objstore_req *req)
{
    bool absent = req->condition == OBJSTORE_IF_ABSENT;
    bool match = req->condition == OBJSTORE_IF_MATCH;
    bool refused = req->result.class == OBJSTORE_PRECONDITION;
    bool now_and_then = refused && is_racer(req) && l->refused++ % NOW_AND_THEN == 0;

    if ((l->lie == LIE_IGNORES_ABSENT && refused && absent) ||
        (l->lie == LIE_IGNORES_MATCH && refused && match) ||
        (l->lie == LIE_IGNORES_CONDITIONS && refused) ||
        (l->lie == LIE_MATCH_MAKES && refused && req->result.http_status == 404) ||
        (l->lie == LIE_TWO_CREATE && now_and_then && absent) ||
        (l->lie == LIE_TWO_REPLACE && now_and_then && match))
        ask_without_condition(l, req);
    if ((l->lie == LIE_LOSER_WRITES && now_and_then) ||
        (l->lie == LIE_REFUSED_WRITES && refused && !is_racer(req)))
        refuse_and_write(l, req);
    if (l->lie == LIE_ONE_ETAG && req->result.class == OBJSTORE_OK)
        (void)snprintf(req->result.etag, sizeof req->result.etag, "\"same\"");
}

static void refuse(struct objstore_req *req)
{
    objstore_answer(req, OBJSTORE_PERMANENT, 501, "NotImplemented",
                    "A header you provided implies functionality that is not implemented");
}

static void lie_about_list(struct liar *l, struct objstore_req *req)
{
    struct objstore_result *r = &req->result;

    lock_take(&l->seen.lock);
    for (size_t i = 0; l->lie == LIE_STALE_LIST && i < r->entry_count; i++) {
        if (strcmp(r->entries[i].key, l->seen.last_put) != 0)
            continue;
        mem_free(r->entries[i].key);
        r->entries[i] = r->entries[--r->entry_count];
    }
    if (l->lie == LIE_LISTS_THE_DELETED && r->entry_count > 0 &&
        strncmp(l->seen.last_deleted, req->key, strlen(req->key)) == 0) {
        char *key = mem_strdup(l->seen.last_deleted);

        assert_non_null(key);
        mem_free(r->entries[0].key);
        r->entries[0].key = key;
    }
    lock_drop(&l->seen.lock);
    for (size_t i = 0; l->lie == LIE_UNSORTED && i < r->entry_count / 2; i++) {
        struct objstore_entry e = r->entries[i];

        r->entries[i] = r->entries[r->entry_count - 1 - i];
        r->entries[r->entry_count - 1 - i] = e;
    }
}

static void note(struct liar *l, const struct objstore_req *req)
{
    lock_take(&l->seen.lock);
    if (req->op == OBJSTORE_PUT)
        (void)snprintf(l->seen.last_put, sizeof l->seen.last_put, "%s", req->key);
    if (req->op == OBJSTORE_DELETE)
        (void)snprintf(l->seen.last_deleted, sizeof l->seen.last_deleted, "%s", req->key);
    lock_drop(&l->seen.lock);
}

/* What is asked of the inner store in req's place; false: the answer is given. */
static bool twist(struct liar *l, struct objstore_req *as, struct objstore_req *req)
{
    bool put = req->op == OBJSTORE_PUT;

    if (l->lie == LIE_REFUSES_CONDITIONS && put && req->condition != OBJSTORE_ALWAYS) {
        refuse(req);
        return false;
    }
    if ((l->lie == LIE_REFUSES_MATCH || l->lie == LIE_NEVER_MATCHES) &&
        req->condition == OBJSTORE_IF_MATCH) {
        if (l->lie == LIE_REFUSES_MATCH)
            refuse(req);
        else
            objstore_answer(req, OBJSTORE_PRECONDITION, 412, "PreconditionFailed", "never");
        return false;
    }
    if (l->lie == LIE_LOSES && put) {
        (void)snprintf(req->result.etag, sizeof req->result.etag, "\"lost\"");
        objstore_answer_ok(req, 200);
        return false;
    }
    if (l->lie == LIE_ONE_ETAG && req->condition == OBJSTORE_IF_MATCH)
        as->condition = OBJSTORE_ALWAYS;
    if (l->lie == LIE_TAKES_CHECKSUMS)
        as->crc32c = NULL;
    if (l->lie == LIE_COMPLETES && req->op == OBJSTORE_UPLOAD_COMPLETE)
        as->condition = OBJSTORE_ALWAYS;
    if (l->lie == LIE_NO_RANGES)
        as->range_offset = as->range_bytes = 0, as->range_suffix = false;
    if (l->lie == LIE_FIRST_FOR_LAST)
        as->range_suffix = false;
    return true;
}

/* The object as it was before it was replaced: the inner store keeps the old one beside it. */
static void keep_old(struct liar *l, const struct objstore_req *req)
{
    char old_key[OBJSTORE_KEY_BYTES_MAX + 8];
    struct objstore_req get = {.op = OBJSTORE_GET, .key = req->key};
    struct objstore_req put = {.op = OBJSTORE_PUT, .key = old_key};

    (void)snprintf(old_key, sizeof old_key, "old/%s", req->key);
    ask(l, &get, &get);
    if (get.result.class == OBJSTORE_OK) {
        put.body = buf_slice(&get.result.body);
        ask(l, &put, &put);
        objstore_result_fini(&put.result);
    }
    objstore_result_fini(&get.result);
}

static void run(void *arg, struct objstore_req *req)
{
    struct liar *l = arg;
    struct objstore_req as = *req;
    char old_key[OBJSTORE_KEY_BYTES_MAX + 8];

    if (l->lie == LIE_STALE_READ && req->op == OBJSTORE_PUT)
        keep_old(l, req);
    if (!twist(l, &as, req))
        return;
    if (l->lie == LIE_STALE_READ && req->op == OBJSTORE_GET) {
        (void)snprintf(old_key, sizeof old_key, "old/%s", req->key);
        as.key = old_key;
        ask(l, &as, req);
        if (req->result.class == OBJSTORE_OK)
            return;
        as.key = req->key;
    }
    ask(l, &as, req);
    if (req->op == OBJSTORE_PUT)
        lie_about_put(l, req);
    if (req->op == OBJSTORE_LIST)
        lie_about_list(l, req);
    note(l, req);
}

static void on_submit(struct objstore *s, struct objstore_req *req)
{
    crew_submit(&((struct liar *)s)->crew, req);
}

static void on_cancel(struct objstore *s, struct objstore_req *req)
{
    crew_cancel(&((struct liar *)s)->crew, req);
}

static void on_close(struct objstore *s)
{
    struct liar *l = (struct liar *)s;

    crew_stop(&l->crew);
    objstore_close(l->inner);
    lock_fini(&l->seen.lock);
    mem_free(l);
}

struct objstore *liar_open(struct objstore *inner, enum lie lie)
{
    static const struct objstore_ops ops = {
        .submit = on_submit, .cancel = on_cancel, .close = on_close};
    struct liar *l = mem_zero(sizeof *l);

    assert_non_null(l);
    l->store.ops = &ops;
    l->inner = inner;
    l->lie = lie;
    lock_init(&l->seen.lock, LOCK_RANK_LEAF, "liar");
    (void)snprintf(l->store.description, sizeof l->store.description, "liar");
    assert_int_equal(crew_start(&l->crew, "liar", LIAR_THREADS, run, l, NULL), ST_OK);
    return &l->store;
}
