#include "tests/conformance/libs3_store.h"

#include "base/mem.h"
#include "objstore/crew.h"
#include "objstore/store.h"

#include <libs3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { CREWS = 2, THREADS = CREW_THREADS_MAX };

struct libs3 {
    struct objstore store;
    S3BucketContext bucket;
    struct crew crews[CREWS];
    _Atomic unsigned next;
    bool asks_etags;
};

struct call {
    struct objstore_req *req;
    S3Status status;
    size_t sent;
    char why[200];
    bool list_failed;
};

static S3Status on_properties(const S3ResponseProperties *p, void *arg)
{
    struct objstore_result *r = &((struct call *)arg)->req->result;

    if (p->eTag != NULL)
        (void)snprintf(r->etag, sizeof r->etag, "%s", p->eTag);
    if (p->requestId != NULL)
        (void)snprintf(r->request_id, sizeof r->request_id, "%s", p->requestId);
    r->object_bytes = p->contentLength;
    return S3StatusOK;
}

static void on_complete(S3Status came_to, const S3ErrorDetails *error, void *arg)
{
    struct call *c = arg;

    c->status = came_to;
    if (error != NULL && error->message != NULL)
        (void)snprintf(c->why, sizeof c->why, "%s", error->message);
}

static const S3ResponseHandler HANDLER = {on_properties, on_complete};

static int on_send(int room, char *out, void *arg)
{
    struct call *c = arg;
    size_t left = c->req->body.bytes - c->sent;
    size_t bytes = left < (size_t)room ? left : (size_t)room;

    if (bytes > 0)
        memcpy(out, c->req->body.data + c->sent, bytes);
    c->sent += bytes;
    return (int)bytes;
}

static S3Status on_data(int bytes, const char *data, void *arg)
{
    struct buf *body = &((struct call *)arg)->req->result.body;

    buf_put(body, data, (size_t)bytes);
    return body->failed ? S3StatusAbortedByCallback : S3StatusOK;
}

static S3Status on_list(int truncated, const char *marker, int count,
                        const S3ListBucketContent *names, int prefixes, const char **common,
                        void *arg)
{
    struct call *c = arg;
    struct objstore_result *r = &c->req->result;

    (void)marker;
    (void)prefixes;
    (void)common;
    r->truncated = truncated != 0;
    for (int i = 0; i < count && r->entry_count < OBJSTORE_LIST_MAX; i++) {
        struct objstore_entry *entry = &r->entries[r->entry_count];

        entry->key = mem_strdup(names[i].key);
        if (entry->key == NULL)
            return S3StatusOutOfMemory;
        entry->bytes = names[i].size;
        entry->modified_ns = (uint64_t)names[i].lastModified * UINT64_C(1000000000);
        r->entry_count++;
    }
    return S3StatusOK;
}

static void get(struct libs3 *s, struct call *c)
{
    static const S3GetObjectHandler handler = {{on_properties, on_complete}, on_data};
    struct objstore_req *req = c->req;
    const S3GetConditions conditions = {
        .ifModifiedSince = -1,
        .ifNotModifiedSince = -1,
        .ifNotMatchETag = req->condition == OBJSTORE_IF_CHANGED ? req->etag : NULL};
    uint64_t bytes = req->range_bytes == OBJSTORE_RANGE_ALL ? 0 : req->range_bytes;

    buf_init(&req->result.body, req->bytes_max == 0 ? OBJSTORE_OBJECT_BYTES_MAX : req->bytes_max);
    S3_get_object(&s->bucket, req->key, &conditions, req->range_offset, bytes, NULL, &handler, c);
    req->result.received_bytes = req->result.body.bytes;
}

static void list(struct libs3 *s, struct call *c)
{
    static const S3ListBucketHandler handler = {{on_properties, on_complete}, on_list};
    struct objstore_req *req = c->req;
    int max = req->list_max == 0 ? OBJSTORE_LIST_MAX : (int)req->list_max;

    req->result.entries = mem_zero_array(OBJSTORE_LIST_MAX, sizeof req->result.entries[0]);
    if (req->result.entries == NULL) {
        c->status = S3StatusOutOfMemory;
        return;
    }
    S3_list_bucket(&s->bucket, req->key, req->start_after, NULL, max, NULL, &handler, c);
}

static enum objstore_class class_of(const struct call *c)
{
    switch ((int)c->status) {
    case S3StatusOK:
        return OBJSTORE_OK;
    case S3StatusErrorNoSuchKey:
    case S3StatusHttpErrorNotFound:
        return c->req->op == OBJSTORE_DELETE ? OBJSTORE_OK : OBJSTORE_NOT_FOUND;
    case S3StatusErrorPreconditionFailed:
        return OBJSTORE_PRECONDITION;
    default:
        return S3_status_is_retryable(c->status) ? OBJSTORE_TRANSIENT : OBJSTORE_PERMANENT;
    }
}

static bool cannot(const struct objstore_req *req)
{
    return req->op >= OBJSTORE_UPLOAD_BEGIN || req->range_suffix ||
           (req->condition != OBJSTORE_ALWAYS && req->op != OBJSTORE_GET);
}

static void run(void *arg, struct objstore_req *req)
{
    static const S3PutObjectHandler put = {{on_properties, on_complete}, on_send};
    struct libs3 *s = arg;
    struct call c = {.req = req, .status = S3StatusInternalError};

    if (cannot(req)) {
        objstore_answer(req, OBJSTORE_PERMANENT, 501, "NotImplemented",
                        "libs3 has no such request");
        return;
    }
    if (req->op == OBJSTORE_PUT)
        S3_put_object(&s->bucket, req->key, req->body.bytes, NULL, NULL, &put, &c);
    else if (req->op == OBJSTORE_GET)
        get(s, &c);
    else if (req->op == OBJSTORE_HEAD)
        S3_head_object(&s->bucket, req->key, NULL, &HANDLER, &c);
    else if (req->op == OBJSTORE_DELETE)
        S3_delete_object(&s->bucket, req->key, NULL, &HANDLER, &c);
    else
        list(s, &c);
    req->result.sent_bytes = c.sent;
    if (class_of(&c) == OBJSTORE_OK) {
        if (s->asks_etags && req->op == OBJSTORE_PUT && req->result.etag[0] == '\0')
            S3_head_object(&s->bucket, req->key, NULL, &HANDLER, &c);
        if (req->result.etag[0] == '\0') /* so that the rest is tried too */
            (void)snprintf(req->result.etag, sizeof req->result.etag, "\"not told\"");
        objstore_answer_ok(req, req->op == OBJSTORE_DELETE ? 204 : 200);
        return;
    }
    buf_free(&req->result.body);
    objstore_answer(req, class_of(&c), class_of(&c) == OBJSTORE_NOT_FOUND ? 404 : 0,
                    class_of(&c) == OBJSTORE_NOT_FOUND ? "NoSuchKey" : "", "libs3: %s %s",
                    S3_get_status_name(c.status), c.why);
}

static void on_submit(struct objstore *store, struct objstore_req *req)
{
    struct libs3 *s = (struct libs3 *)store;

    crew_submit(&s->crews[atomic_fetch_add(&s->next, 1) % CREWS], req);
}

static void on_cancel(struct objstore *store, struct objstore_req *req)
{
    struct libs3 *s = (struct libs3 *)store;

    for (size_t i = 0; i < CREWS; i++)
        crew_cancel(&s->crews[i], req);
}

static void on_close(struct objstore *store)
{
    struct libs3 *s = (struct libs3 *)store;

    for (size_t i = 0; i < CREWS; i++)
        crew_stop(&s->crews[i]);
    mem_free(s);
}

static void initialize(void)
{
    if (S3_initialize("tiervec-trial", S3_INIT_ALL, NULL) != S3StatusOK)
        abort();
}

status libs3_store_open(bool asks_etags, struct objstore **out, struct err *err)
{
    static const struct objstore_ops ops = {
        .submit = on_submit, .cancel = on_cancel, .close = on_close};
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const char *endpoint = getenv("TIERVEC_TEST_S3_ENDPOINT");
    struct libs3 *s = mem_zero(sizeof *s);
    status st = ST_OK;

    if (s == NULL || endpoint == NULL || strstr(endpoint, "://") == NULL) {
        mem_free(s);
        return err_set(err, ST_INVALID, "no memory, or no TIERVEC_TEST_S3_ENDPOINT");
    }
    (void)pthread_once(&once, initialize);
    s->store.ops = &ops;
    s->asks_etags = asks_etags;
    (void)snprintf(s->store.description, sizeof s->store.description, "libs3 %.200s", endpoint);
    s->bucket = (S3BucketContext){.hostName = strstr(endpoint, "://") + 3,
                                  .bucketName = getenv("TIERVEC_TEST_S3_BUCKET"),
                                  .protocol = S3ProtocolHTTP,
                                  .uriStyle = S3UriStylePath,
                                  .accessKeyId = getenv("AWS_ACCESS_KEY_ID"),
                                  .secretAccessKey = getenv("AWS_SECRET_ACCESS_KEY")};
    for (size_t i = 0; st == ST_OK && i < CREWS; i++)
        st = crew_start(&s->crews[i], "libs3", THREADS, run, s, err);
    if (st != ST_OK) {
        mem_free(s);
        return st;
    }
    *out = &s->store;
    return ST_OK;
}
