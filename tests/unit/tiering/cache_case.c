#include "tests/unit/tiering/cache_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static uint8_t ids[CASE_OBJECTS][16];
static char keys[CASE_OBJECTS][32];

uint8_t case_byte(unsigned object, uint64_t offset)
{
    return (uint8_t)(offset * 7 + offset / 251 + object * 31);
}

static struct cache_case *case_of(struct objstore *s)
{
    return (struct cache_case *)(void *)((char *)s - offsetof(struct cache_case, counting));
}

static void submit(struct objstore *s, struct objstore_req *req)
{
    struct cache_case *c = case_of(s);

    c->counts[req->op]++;
    c->fresh += req->fresh_connection;
    objstore_submit(c->faults, req);
}

static void cancel(struct objstore *s, struct objstore_req *req)
{
    objstore_cancel(case_of(s)->faults, req);
}

static void fill(struct cache_case *c, unsigned object)
{
    static uint8_t body[CASE_BLOCKS * CASE_BLOCK];
    struct objstore_req req = {
        .op = OBJSTORE_PUT, .key = keys[object], .body = slice_make(body, sizeof body)};

    for (size_t i = 0; i < sizeof body; i++)
        body[i] = case_byte(object, i);
    assert_int_equal(objstore_wait(c->memory, &req, NULL), ST_OK);
    objstore_result_fini(&req.result);
}

void case_open(struct cache_case *c, uint64_t bytes_max)
{
    static const struct objstore_ops ops = {.submit = submit, .cancel = cancel};
    static unsigned number;
    struct cache_options options = {.clock = clock_real()};
    struct cache_status now;
    char name[32];

    memset(c, 0, sizeof *c);
    c->counting.ops = &ops;
    rand_seeded_init(&c->rand, number + 1);
    (void)snprintf(name, sizeof name, "cache-%u", number++);
    assert_int_equal(objstore_memory_open(name, NULL, &c->memory, NULL), ST_OK);
    assert_int_equal(objstore_faults_open(c->memory, number, &c->faults, NULL), ST_OK);
    for (unsigned i = 0; i < CASE_OBJECTS; i++) {
        memset(ids[i], (int)(i + 1), sizeof ids[i]);
        (void)snprintf(keys[i], sizeof keys[i], "g/%u", i);
        fill(c, i);
    }
    objstore_memory_forget(name);
    options.store = &c->counting;
    options.rand = &c->rand.source;
    assert_int_equal(cache_open(&options, &c->cache, NULL), ST_OK);
    c->cache->ask.policy.base_ms = 1;
    cache_status(c->cache, &now);
    c->fixed = now.bytes;
    cache_resize(c->cache, c->fixed + bytes_max);
}

void case_close(struct cache_case *c)
{
    struct cache_status now;

    assert_int_equal(c->wrong, 0);
    assert_int_equal(c->counts[OBJSTORE_HEAD], 0);
    assert_int_equal(c->counts[OBJSTORE_LIST], 0);
    cache_resize(c->cache, 0); /* what is not borrowed goes: all */
    cache_status(c->cache, &now);
    assert_int_equal(now.blocks, 0);
    assert_int_equal(now.pinned_bytes, 0);
    assert_int_equal(c->account.resident_bytes, 0);
    cache_close(c->cache);
    objstore_close(c->faults);
}

uint64_t case_gets(const struct cache_case *c)
{
    return c->counts[OBJSTORE_GET] - c->account.hedges;
}

void case_fault(struct cache_case *c, struct objstore_fault fault)
{
    assert_int_equal(objstore_faults_add(c->faults, &fault, NULL, NULL), ST_OK);
}

static status check(void *arg, uint8_t *body, size_t bytes, struct err *err)
{
    uintptr_t place = (uintptr_t)arg;
    unsigned object = (unsigned)(place / CASE_BLOCKS);
    uint64_t offset = place % CASE_BLOCKS * CASE_BLOCK;

    for (size_t i = 0; i < bytes; i++)
        if (body[i] != case_byte(object, offset + i))
            return err_set(err, ST_CORRUPT, "byte %zu is wrong", i);
    return ST_OK;
}

struct cache_want case_want(unsigned object, unsigned index)
{
    return (struct cache_want){.object = ids[object],
                               .key = keys[object],
                               .offset = (uint64_t)index * CASE_BLOCK,
                               .bytes = CASE_BLOCK,
                               .class = CACHE_ROWS,
                               .check = check,
                               .check_arg = (void *)(uintptr_t)(object * CASE_BLOCKS + index)};
}

struct cache_terms case_terms(struct cache_case *c)
{
    return (struct cache_terms){.account = &c->account};
}

void case_check_body(const struct cache_want *w)
{
    uint8_t body[CASE_BLOCK];

    assert_int_equal(w->st, ST_OK);
    assert_int_equal(w->body.bytes, w->bytes);
    memcpy(body, w->body.data, sizeof body);
    assert_int_equal(check(w->check_arg, body, sizeof body, NULL), ST_OK);
}

bool case_touch(struct cache_case *c, unsigned object, unsigned index)
{
    struct cache_want w = case_want(object, index);
    struct cache_terms terms = case_terms(c);

    assert_int_equal(cache_read(c->cache, &terms, &w, 1, NULL), ST_OK);
    case_check_body(&w);
    cache_give_back(c->cache, &w, 1);
    return w.hit;
}

bool case_has(struct cache_case *c, unsigned object, unsigned index)
{
    return cache_has(c->cache, ids[object], (uint64_t)index * CASE_BLOCK, CASE_BLOCK);
}

uint64_t case_bytes(struct cache_case *c)
{
    struct cache_status now;

    lock_take(&c->cache->lock);
    while (c->cache->flights != NULL) /* the slower one of two that were sent */
        cond_wait(&c->cache->quiet, &c->cache->lock);
    lock_drop(&c->cache->lock);
    cache_status(c->cache, &now);
    return now.bytes - c->fixed;
}
