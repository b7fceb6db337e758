#include "objstore/memory.h"

#include "base/lock.h"
#include "base/mem.h"
#include "objstore/crew.h"
#include "objstore/memory_map.h"
#include "objstore/store.h"

#include <pthread.h>
#include <stdio.h>

struct bucket {
    struct lock lock;      /* LOCK_RANK_LEAF; memory alone is touched under it */
    struct memory_map map; /* guarded by lock */
    /* Guarded by the registry's lock. */
    struct bucket *next;
    unsigned handles;
    bool forgotten;
    char name[];
};

/* Buckets outlive their handles, so they hang on the process. */
static struct {
    pthread_once_t once;
    struct lock lock; /* LOCK_RANK_LEAF; never held with a bucket's */
    struct bucket *first;
} registry = {.once = PTHREAD_ONCE_INIT};

struct memory {
    struct objstore store;
    struct clock *clock;   /* borrowed */
    struct bucket *bucket; /* counted */
    struct crew crew;
};

static void registry_init(void)
{
    lock_init(&registry.lock, LOCK_RANK_LEAF, "objstore memory buckets");
}

static struct bucket *bucket_find_locked(const char *name)
{
    for (struct bucket *at = registry.first; at != NULL; at = at->next)
        if (!at->forgotten && strcmp(at->name, name) == 0)
            return at;
    return NULL;
}

static struct bucket *bucket_make_locked(const char *name)
{
    size_t name_bytes = strlen(name) + 1;
    struct bucket *bucket = mem_zero(sizeof *bucket + name_bytes);

    if (bucket == NULL)
        return NULL;
    memcpy(bucket->name, name, name_bytes);
    lock_init(&bucket->lock, LOCK_RANK_LEAF, "objstore memory bucket");
    bucket->next = registry.first;
    registry.first = bucket;
    return bucket;
}

static struct bucket *bucket_take(const char *name)
{
    struct bucket *bucket;

    (void)pthread_once(&registry.once, registry_init);
    lock_take(&registry.lock);
    bucket = bucket_find_locked(name);
    if (bucket == NULL)
        bucket = bucket_make_locked(name);
    if (bucket != NULL)
        bucket->handles++;
    lock_drop(&registry.lock);
    return bucket;
}

/* Takes the bucket out when nobody will look for it again. */
static bool unlink_locked(struct bucket *bucket)
{
    struct bucket **at = &registry.first;

    if (bucket->handles > 0 || !bucket->forgotten)
        return false;
    while (*at != bucket)
        at = &(*at)->next;
    *at = bucket->next;
    return true;
}

static void bucket_free(struct bucket *bucket)
{
    memory_map_fini(&bucket->map);
    lock_fini(&bucket->lock);
    mem_free(bucket);
}

static void bucket_drop(struct bucket *bucket)
{
    bool last;

    lock_take(&registry.lock);
    bucket->handles--;
    last = unlink_locked(bucket);
    lock_drop(&registry.lock);
    if (last)
        bucket_free(bucket);
}

void objstore_memory_forget(const char *name)
{
    struct bucket *bucket;
    bool last = false;

    (void)pthread_once(&registry.once, registry_init);
    lock_take(&registry.lock);
    bucket = bucket_find_locked(name);
    if (bucket != NULL) {
        bucket->forgotten = true;
        last = unlink_locked(bucket);
    }
    lock_drop(&registry.lock);
    if (last)
        bucket_free(bucket);
}

static void no_memory(struct objstore_req *req)
{
    objstore_answer(req, OBJSTORE_TRANSIENT, 0, "", "out of memory");
}

static void no_such(struct objstore_req *req, const char *code)
{
    objstore_answer(req, OBJSTORE_NOT_FOUND, 404, code, "not there");
}

static void copy_etag(struct objstore_req *req, const struct memory_object *object)
{
    memcpy(req->result.etag, object->etag, sizeof req->result.etag);
}

/* The object of a body, made before the lock is taken. */
static struct memory_object *object_of_body(struct memory *m, struct objstore_req *req)
{
    struct memory_object *object =
        memory_object_make(req->key, req->body.bytes, clock_wall_ns(m->clock));

    if (object == NULL) {
        no_memory(req);
        return NULL;
    }
    if (req->body.bytes > 0)
        memcpy(object->data, req->body.data, req->body.bytes);
    objstore_etag_of(req->body, object->etag);
    req->result.sent_bytes = req->body.bytes;
    return object;
}

static bool condition_holds_locked(struct bucket *b, struct objstore_req *req)
{
    const struct memory_object *now = memory_map_get(&b->map, req->key);

    return objstore_condition_holds(req, now == NULL ? NULL : now->etag);
}

/* Puts the object in the place of its key and answers, or leaves it to the caller. */
static bool put_locked(struct bucket *b, struct objstore_req *req, struct memory_object *object)
{
    if (memory_map_put(&b->map, object) != ST_OK) {
        no_memory(req);
        return false;
    }
    copy_etag(req, object);
    objstore_answer_ok(req, 200);
    return true;
}

static void run_put(struct memory *m, struct objstore_req *req)
{
    struct bucket *b = m->bucket;
    struct memory_object *object;
    bool kept;

    if (!objstore_checksum_holds(req))
        return;
    object = object_of_body(m, req);
    if (object == NULL)
        return;
    lock_take(&b->lock);
    kept = condition_holds_locked(b, req) && put_locked(b, req, object);
    lock_drop(&b->lock);
    if (!kept)
        memory_object_free(object);
}

static void read_locked(struct objstore_req *req, const struct memory_object *object)
{
    struct objstore_result *r = &req->result;
    uint64_t offset = 0;
    size_t bytes = 0;

    copy_etag(req, object);
    r->object_bytes = object->bytes;
    if (!objstore_condition_changed(req, object->etag))
        return;
    if (req->op == OBJSTORE_HEAD) {
        objstore_answer_ok(req, 200);
        return;
    }
    if (!objstore_range_find(req, object->bytes, &offset, &bytes))
        return;
    buf_init(&r->body, bytes);
    if (!buf_reserve(&r->body, bytes)) {
        no_memory(req);
        return;
    }
    buf_put(&r->body, object->data + offset, bytes);
    r->received_bytes = bytes;
    objstore_answer_ok(req, bytes == object->bytes ? 200 : 206);
}

static void run_read(struct memory *m, struct objstore_req *req)
{
    struct bucket *b = m->bucket;
    const struct memory_object *object;

    lock_take(&b->lock);
    object = memory_map_get(&b->map, req->key);
    if (object == NULL)
        no_such(req, "NoSuchKey");
    else
        read_locked(req, object);
    lock_drop(&b->lock);
}

static void run_delete(struct memory *m, struct objstore_req *req)
{
    lock_take(&m->bucket->lock);
    memory_map_remove(&m->bucket->map, req->key);
    lock_drop(&m->bucket->lock);
    objstore_answer_ok(req, 204);
}

static size_t list_first(const struct memory_map *map, const struct objstore_req *req)
{
    size_t at = memory_map_find(map, req->key);

    if (req->start_after != NULL && strcmp(req->start_after, req->key) >= 0) {
        at = memory_map_find(map, req->start_after);
        if (at < map->count && strcmp(map->objects[at]->key, req->start_after) == 0)
            at++;
    }
    return at;
}

static bool list_locked(const struct memory_map *map, struct objstore_req *req)
{
    struct objstore_result *r = &req->result;
    size_t max = req->list_max == 0 ? OBJSTORE_LIST_MAX : req->list_max;
    size_t first = list_first(map, req);
    size_t end = first;

    while (end < map->count && end - first < max &&
           strncmp(map->objects[end]->key, req->key, strlen(req->key)) == 0)
        end++;
    r->entries = mem_zero_array(end - first, sizeof r->entries[0]);
    if (r->entries == NULL)
        return false;
    for (size_t i = first; i < end; i++) {
        struct objstore_entry *entry = &r->entries[r->entry_count];

        entry->key = mem_strdup(map->objects[i]->key);
        if (entry->key == NULL)
            return false;
        entry->bytes = map->objects[i]->bytes;
        entry->modified_ns = map->objects[i]->modified_ns;
        r->entry_count++;
    }
    r->truncated =
        end < map->count && strncmp(map->objects[end]->key, req->key, strlen(req->key)) == 0;
    return true;
}

static void run_list(struct memory *m, struct objstore_req *req)
{
    bool ok;

    lock_take(&m->bucket->lock);
    ok = list_locked(&m->bucket->map, req);
    lock_drop(&m->bucket->lock);
    if (ok) {
        objstore_answer_ok(req, 200);
        return;
    }
    objstore_result_fini(&req->result);
    no_memory(req);
}

static void run_upload_begin(struct memory *m, struct objstore_req *req)
{
    const struct memory_upload *upload;

    lock_take(&m->bucket->lock);
    upload = memory_upload_begin(&m->bucket->map, req->key);
    if (upload != NULL) {
        (void)snprintf(req->result.upload_id, sizeof req->result.upload_id, "%s", upload->id);
        objstore_answer_ok(req, 200);
    } else
        no_memory(req);
    lock_drop(&m->bucket->lock);
}

static void run_upload_part(struct memory *m, struct objstore_req *req)
{
    struct memory_object *object = object_of_body(m, req);
    struct memory_upload *upload;
    bool kept = false;

    if (object == NULL)
        return;
    lock_take(&m->bucket->lock);
    upload = memory_upload_get(&m->bucket->map, req->upload_id, req->key);
    if (upload == NULL)
        no_such(req, "NoSuchUpload");
    else if (memory_upload_put(upload, req->part_number, object) != ST_OK)
        no_memory(req);
    else {
        kept = true;
        copy_etag(req, object);
        objstore_answer_ok(req, 200);
    }
    lock_drop(&m->bucket->lock);
    if (!kept)
        memory_object_free(object);
}

/* Whether the parts named are there and large enough; their sum. */
static bool parts_fit(struct objstore_req *req, const struct memory_upload *upload, size_t *bytes)
{
    *bytes = 0;
    for (size_t i = 0; i < req->part_count; i++) {
        const struct memory_object *part = memory_upload_part(upload, req->parts[i].number);

        if (part == NULL || strcmp(part->etag, req->parts[i].etag) != 0) {
            objstore_answer(req, OBJSTORE_PERMANENT, 400, "InvalidPart",
                            "part %u is missing or has another etag",
                            (unsigned)req->parts[i].number);
            return false;
        }
        if (i + 1 < req->part_count && part->bytes < OBJSTORE_PART_BYTES_MIN) {
            objstore_answer(req, OBJSTORE_PERMANENT, 400, "EntityTooSmall",
                            "part %u has %zu bytes, all but the last have at least 5 MiB",
                            (unsigned)req->parts[i].number, part->bytes);
            return false;
        }
        *bytes += part->bytes;
    }
    return true;
}

static void complete_locked(struct memory *m, struct objstore_req *req)
{
    struct memory_map *map = &m->bucket->map;
    struct memory_upload *upload = memory_upload_get(map, req->upload_id, req->key);
    struct memory_object *object;
    size_t bytes = 0;
    size_t at = 0;

    if (upload == NULL) {
        no_such(req, "NoSuchUpload");
        return;
    }
    if (!parts_fit(req, upload, &bytes) || !condition_holds_locked(m->bucket, req))
        return;
    object = memory_object_make(req->key, bytes, clock_wall_ns(m->clock));
    if (object == NULL) {
        no_memory(req);
        return;
    }
    for (size_t i = 0; i < req->part_count; i++) {
        const struct memory_object *part = memory_upload_part(upload, req->parts[i].number);

        memcpy(object->data + at, part->data, part->bytes);
        at += part->bytes;
    }
    objstore_etag_of_parts(req->parts, req->part_count, object->etag);
    if (put_locked(m->bucket, req, object))
        memory_upload_remove(map, upload);
    else
        memory_object_free(object);
}

static void run_upload_end(struct memory *m, struct objstore_req *req)
{
    struct memory_map *map = &m->bucket->map;

    lock_take(&m->bucket->lock);
    if (req->op == OBJSTORE_UPLOAD_COMPLETE)
        complete_locked(m, req);
    else {
        struct memory_upload *upload = memory_upload_get(map, req->upload_id, req->key);

        if (upload != NULL)
            memory_upload_remove(map, upload);
        objstore_answer_ok(req, 204);
    }
    lock_drop(&m->bucket->lock);
}

static void run(void *arg, struct objstore_req *req)
{
    struct memory *m = arg;
    static void (*const runs[OBJSTORE_OPS])(struct memory *, struct objstore_req *) = {
        [OBJSTORE_PUT] = run_put,
        [OBJSTORE_GET] = run_read,
        [OBJSTORE_HEAD] = run_read,
        [OBJSTORE_DELETE] = run_delete,
        [OBJSTORE_LIST] = run_list,
        [OBJSTORE_UPLOAD_BEGIN] = run_upload_begin,
        [OBJSTORE_UPLOAD_PART] = run_upload_part,
        [OBJSTORE_UPLOAD_COMPLETE] = run_upload_end,
        [OBJSTORE_UPLOAD_ABORT] = run_upload_end,
    };

    runs[req->op](m, req);
    req->result.date_ns = clock_wall_ns(m->clock);
}

static void on_submit(struct objstore *s, struct objstore_req *req)
{
    crew_submit(&((struct memory *)s)->crew, req);
}

static void on_cancel(struct objstore *s, struct objstore_req *req)
{
    crew_cancel(&((struct memory *)s)->crew, req);
}

static void on_close(struct objstore *s)
{
    struct memory *m = (struct memory *)s;

    crew_stop(&m->crew);
    bucket_drop(m->bucket);
    mem_free(m);
}

status objstore_memory_open(const char *name, struct clock *clock, struct objstore **out,
                            struct err *err)
{
    static const struct objstore_ops ops = {
        .submit = on_submit, .cancel = on_cancel, .close = on_close};
    struct memory *m = mem_zero(sizeof *m);
    status st;

    if (m == NULL)
        return err_set(err, ST_NOMEM, "open memory:%s: out of memory", name);
    m->store.ops = &ops;
    m->clock = clock != NULL ? clock : clock_real();
    (void)snprintf(m->store.description, sizeof m->store.description, "memory:%s", name);
    m->bucket = bucket_take(name);
    if (m->bucket == NULL) {
        mem_free(m);
        return err_set(err, ST_NOMEM, "open memory:%s: out of memory", name);
    }
    st = crew_start(&m->crew, "objmem", 1, run, m, err);
    if (st != ST_OK) {
        bucket_drop(m->bucket);
        mem_free(m);
        return st;
    }
    *out = &m->store;
    return ST_OK;
}
