/* The one thread that writes LMDB: letters and hints in order without anyone waiting, intents with
 * their caller waiting. What cannot be written (a full or failing disk) is kept and tried again;
 * who waits behind it is told so. */
#include "node/node_internal.h"

enum { KV_WRITER_RETRY_MS = 1000 };

struct kv_batch {
    struct kv_batch *next;
    struct kv_write *writes;
    size_t count;
    struct kv_wait *wait; /* its caller's, who waits; NULL: nobody does */
    uint8_t bytes[];
};

struct kv_wait {
    bool done;
    status st;
    struct err err;
};

struct kv_writer {
    struct kv *kv;
    struct thread thread;
    struct {              /* guarded by lock */
        struct lock lock; /* LOCK_RANK_QUEUE */
        struct cond wake, ran;
        struct kv_batch *first, **last;
        bool stopping;
    } shared;
};

static struct kv_batch *batch_copy(const struct kv_write *writes, size_t count)
{
    struct kv_batch *b;
    size_t bytes = 0;
    uint8_t *at;

    for (size_t i = 0; i < count; i++)
        bytes += writes[i].key.bytes + writes[i].value.bytes;
    b = mem_zero(sizeof *b + bytes);
    if (b == NULL)
        return NULL;
    b->writes = mem_alloc_array(count, sizeof *b->writes);
    if (b->writes == NULL) {
        mem_free(b);
        return NULL;
    }
    b->count = count;
    at = b->bytes;
    for (size_t i = 0; i < count; i++) {
        struct kv_write *w = &b->writes[i];

        *w = writes[i];
        if (w->key.bytes > 0)
            memcpy(at, w->key.data, w->key.bytes);
        w->key.data = at;
        at += w->key.bytes;
        if (w->value.bytes > 0)
            memcpy(at, w->value.data, w->value.bytes);
        w->value.data = at;
        at += w->value.bytes;
    }
    return b;
}

static void batch_free(struct kv_batch *b)
{
    mem_free(b->writes);
    mem_free(b);
}

static void push_locked(struct kv_writer *w, struct kv_batch *b)
{
    *w->shared.last = b;
    w->shared.last = &b->next;
    cond_signal(&w->shared.wake);
}

void kv_writer_put(void *writer, const struct kv_write *writes, size_t count)
{
    struct kv_writer *w = writer;
    struct kv_batch *b = batch_copy(writes, count);

    if (b == NULL) {
        log_error("out of memory: a letter or hint is not remembered on disk", "");
        return;
    }
    lock_take(&w->shared.lock);
    push_locked(w, b);
    lock_drop(&w->shared.lock);
}

status kv_writer_apply(struct kv_writer *w, const struct kv_write *writes, size_t count,
                       struct err *err)
{
    struct kv_batch *b = batch_copy(writes, count);
    struct kv_wait wait = {0};

    if (b == NULL)
        return err_set(err, ST_NOMEM, "write LMDB: out of memory");
    b->wait = &wait;
    lock_take(&w->shared.lock);
    push_locked(w, b);
    while (!wait.done)
        cond_wait(&w->shared.ran, &w->shared.lock);
    lock_drop(&w->shared.lock);
    if (wait.st != ST_OK && err != NULL)
        *err = wait.err;
    return wait.st;
}

static struct kv_batch *pop_locked(struct kv_writer *w)
{
    struct kv_batch *b = w->shared.first;

    w->shared.first = b->next;
    if (w->shared.first == NULL)
        w->shared.last = &w->shared.first;
    return b;
}

static void answer_locked(struct kv_writer *w, struct kv_batch *b, status st, const struct err *err)
{
    b->wait->st = st;
    b->wait->err = *err;
    b->wait->done = true;
    cond_broadcast(&w->shared.ran);
}

/* They cannot be written before what stands at the front, and that may be never. */
static void refuse_waiting_locked(struct kv_writer *w, status st, const struct err *err)
{
    struct kv_batch **at = &w->shared.first;

    while (*at != NULL) {
        struct kv_batch *b = *at;

        if (b->wait == NULL) {
            at = &b->next;
            continue;
        }
        *at = b->next;
        answer_locked(w, b, st, err);
        batch_free(b);
    }
    w->shared.last = at;
}

/* Kept at the front until it is written: letters and hints are states, and the order counts. */
static void put_back_and_pause(struct kv_writer *w, struct kv_batch *b, status st,
                               const struct err *err)
{
    static struct log_repeat repeat;
    uint64_t left_out;

    if (log_repeat(&repeat, &left_out))
        log_warn("letters and hints cannot be written, it is tried again", "err=%s left_out=%llu",
                 err->text, (unsigned long long)left_out);
    lock_take(&w->shared.lock);
    b->next = w->shared.first;
    if (w->shared.first == NULL)
        w->shared.last = &b->next;
    w->shared.first = b;
    refuse_waiting_locked(w, st, err);
    if (!w->shared.stopping)
        (void)cond_wait_ns(&w->shared.wake, &w->shared.lock,
                           (uint64_t)KV_WRITER_RETRY_MS * 1000000);
    lock_drop(&w->shared.lock);
}

static void write_one(struct kv_writer *w, struct kv_batch *b, bool last_try)
{
    struct err err = {0};
    status st = kv_apply(w->kv, b->writes, b->count, &err);

    if (st != ST_OK && b->wait == NULL && !last_try) {
        put_back_and_pause(w, b, st, &err);
        return;
    }
    if (b->wait != NULL) {
        lock_take(&w->shared.lock);
        answer_locked(w, b, st, &err);
        lock_drop(&w->shared.lock);
    } else if (st != ST_OK) {
        log_error("a letter or hint is not on disk at the end", "err=%s", err.text);
    }
    batch_free(b);
}

static void writer_loop(void *arg)
{
    struct kv_writer *w = arg;

    for (;;) {
        struct kv_batch *b;
        bool stopping;

        lock_take(&w->shared.lock);
        while (w->shared.first == NULL && !w->shared.stopping)
            cond_wait(&w->shared.wake, &w->shared.lock);
        stopping = w->shared.stopping;
        b = w->shared.first == NULL ? NULL : pop_locked(w);
        lock_drop(&w->shared.lock);
        if (b == NULL)
            return;
        write_one(w, b, stopping);
    }
}

status kv_writer_open(struct kv *kv, struct kv_writer **out, struct err *err)
{
    struct kv_writer *w = mem_zero(sizeof *w);
    status st;

    if (w == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    w->kv = kv;
    w->shared.last = &w->shared.first;
    lock_init(&w->shared.lock, LOCK_RANK_QUEUE, "kv writer");
    cond_init(&w->shared.wake);
    cond_init(&w->shared.ran);
    st = thread_start(&w->thread, "kv-writer", THREAD_NORMAL, writer_loop, w, err);
    if (st != ST_OK) {
        kv_writer_close(w);
        return st;
    }
    *out = w;
    return ST_OK;
}

void kv_writer_close(struct kv_writer *w)
{
    if (w == NULL)
        return;
    lock_take(&w->shared.lock);
    w->shared.stopping = true;
    cond_broadcast(&w->shared.wake);
    lock_drop(&w->shared.lock);
    thread_join(&w->thread);
    cond_fini(&w->shared.ran);
    cond_fini(&w->shared.wake);
    lock_fini(&w->shared.lock);
    mem_free(w);
}
