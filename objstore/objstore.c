#include "objstore/objstore.h"

#include "base/lock.h"
#include "base/mem.h"

#include <assert.h>

static const char *const OP_NAMES[OBJSTORE_OPS] = {
    [OBJSTORE_PUT] = "put",
    [OBJSTORE_GET] = "get",
    [OBJSTORE_HEAD] = "head",
    [OBJSTORE_DELETE] = "delete",
    [OBJSTORE_LIST] = "list",
    [OBJSTORE_UPLOAD_BEGIN] = "upload_begin",
    [OBJSTORE_UPLOAD_PART] = "upload_part",
    [OBJSTORE_UPLOAD_COMPLETE] = "upload_complete",
    [OBJSTORE_UPLOAD_ABORT] = "upload_abort",
};

static const struct {
    const char *name;
    status status;
    bool retries;
} CLASSES[OBJSTORE_CLASSES] = {
    [OBJSTORE_OK] = {"ok", ST_OK, false},
    [OBJSTORE_NOT_MODIFIED] = {"not_modified", ST_OK, false},
    [OBJSTORE_NOT_FOUND] = {"not_found", ST_NOT_FOUND, false},
    [OBJSTORE_PRECONDITION] = {"precondition", ST_CONFLICT, false},
    [OBJSTORE_CONFLICT] = {"conflict", ST_CONFLICT, true},
    [OBJSTORE_TRANSIENT] = {"transient", ST_UNAVAILABLE, true},
    [OBJSTORE_THROTTLE] = {"throttle", ST_UNAVAILABLE, true},
    [OBJSTORE_REFRESHABLE] = {"refreshable", ST_DENIED, false},
    [OBJSTORE_CAPACITY] = {"capacity", ST_NOSPACE, true},
    [OBJSTORE_PERMANENT] = {"permanent", ST_DENIED, false},
    [OBJSTORE_INTEGRITY] = {"integrity", ST_CORRUPT, false},
    [OBJSTORE_CANCELLED] = {"cancelled", ST_CLOSED, false},
};

const char *objstore_pool_name(enum objstore_pool pool)
{
    static const char *const names[OBJSTORE_POOLS] = {
        [OBJSTORE_FOREGROUND] = "foreground", [OBJSTORE_LOG] = "log", [OBJSTORE_BULK] = "bulk"};

    return (unsigned)pool < OBJSTORE_POOLS ? names[pool] : "";
}

const char *objstore_op_name(enum objstore_op op)
{
    return (unsigned)op < OBJSTORE_OPS ? OP_NAMES[op] : "unknown";
}

const char *objstore_class_name(enum objstore_class c)
{
    return (unsigned)c < OBJSTORE_CLASSES ? CLASSES[c].name : "unknown";
}

bool objstore_class_retries(enum objstore_class c)
{
    return (unsigned)c < OBJSTORE_CLASSES && CLASSES[c].retries;
}

status objstore_class_status(enum objstore_class c)
{
    return (unsigned)c < OBJSTORE_CLASSES ? CLASSES[c].status : ST_BUG;
}

void objstore_result_fini(struct objstore_result *r)
{
    for (size_t i = 0; i < r->entry_count; i++)
        mem_free(r->entries[i].key);
    mem_free(r->entries);
    buf_free(&r->body);
    memset(r, 0, sizeof *r);
}

void objstore_req_reset(struct objstore_req *req)
{
    objstore_result_fini(&req->result);
    req->next = NULL;
    req->priv = NULL;
    req->state = 0;
    req->slot_count = 0;
}

void objstore_submit(struct objstore *s, struct objstore_req *req)
{
    assert(req->done != NULL);
    s->ops->submit(s, req);
}

void objstore_cancel(struct objstore *s, struct objstore_req *req)
{
    s->ops->cancel(s, req);
}

void objstore_reload(struct objstore *s)
{
    if (s->ops->reload != NULL)
        s->ops->reload(s);
}

void objstore_trouble(struct objstore *s, char text[ERR_TEXT_BYTES])
{
    text[0] = '\0';
    if (s->ops->trouble != NULL)
        s->ops->trouble(s, text);
}

void objstore_close(struct objstore *s)
{
    if (s != NULL)
        s->ops->close(s);
}

struct waiter {
    struct lock lock; /* LOCK_RANK_LEAF */
    struct cond cond;
    bool ended;
};

static void on_done(struct objstore_req *req)
{
    struct waiter *w = req->arg;

    lock_take(&w->lock);
    w->ended = true;
    cond_signal(&w->cond);
    lock_drop(&w->lock);
}

status objstore_wait(struct objstore *s, struct objstore_req *req, struct err *err)
{
    struct waiter w = {.ended = false};

    lock_init(&w.lock, LOCK_RANK_LEAF, "objstore wait");
    cond_init(&w.cond);
    req->done = on_done;
    req->arg = &w;
    objstore_submit(s, req);
    lock_take(&w.lock);
    while (!w.ended)
        cond_wait(&w.cond, &w.lock);
    lock_drop(&w.lock);
    cond_fini(&w.cond);
    lock_fini(&w.lock);
    if (objstore_class_status(req->result.class) == ST_OK)
        return ST_OK;
    return err_set(err, objstore_class_status(req->result.class), "%s", req->result.err.text);
}

static bool key_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '/' ||
           c == '-' || c == '_' || c == '.';
}

static bool part_is_dots(const char *part, size_t bytes)
{
    return (bytes == 1 && part[0] == '.') || (bytes == 2 && part[0] == '.' && part[1] == '.');
}

status objstore_key_check(const char *key, struct err *err)
{
    size_t bytes = strlen(key);
    size_t part = 0;

    if (bytes == 0)
        return err_set(err, ST_INVALID, "an object key is empty");
    if (bytes > OBJSTORE_KEY_BYTES_MAX)
        return err_set(err, ST_INVALID, "object key of %zu bytes, at most %d: %.60s...", bytes,
                       OBJSTORE_KEY_BYTES_MAX, key);
    for (size_t i = 0; i <= bytes; i++) {
        if (i < bytes && !key_char(key[i]))
            return err_set(err, ST_INVALID,
                           "object key with byte 0x%02x at %zu: A-Z a-z 0-9 / - _ . are allowed",
                           (unsigned)(unsigned char)key[i], i);
        if (i < bytes && key[i] != '/')
            continue;
        if (i == part || part_is_dots(key + part, i - part))
            return err_set(err, ST_INVALID, "object key with an empty or dotted part: %.200s", key);
        part = i + 1;
    }
    return ST_OK;
}
