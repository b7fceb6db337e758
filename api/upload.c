#include "api/upload.h"

#include "api/api_internal.h"
#include "base/mem.h"

enum { PIECE_BYTES_MAX = 64 * 1024 };

struct upload *upload_create(struct request *req)
{
    struct upload *u = mem_zero(sizeof *u);

    if (u == NULL)
        return NULL;
    u->req = req;
    lock_init(&u->shared.lock, LOCK_RANK_LEAF, "upload");
    buf_init(&u->shared.come, UPLOAD_BYTES + PIECE_BYTES_MAX);
    return u;
}

void upload_destroy(struct upload *u)
{
    if (u == NULL)
        return;
    buf_free(&u->shared.come);
    lock_fini(&u->shared.lock);
    mem_free(u);
}

void upload_wake_locked(struct upload *u)
{
    bool submit = u->shared.asleep && !u->shared.closed;

    u->shared.poked = true;
    if (submit)
        u->shared.asleep = false;
    lock_drop(&u->shared.lock);
    if (submit)
        exec_resubmit(u->req->api->options.exec, &u->req->task);
}

enum upload_put upload_put(struct upload *u, struct slice piece)
{
    enum upload_put put = UPLOAD_TAKEN;

    lock_take(&u->shared.lock);
    if (u->shared.closed) {
        lock_drop(&u->shared.lock);
        return UPLOAD_TAKEN; /* it is answered already, and what comes is dropped */
    }
    buf_put_slice(&u->shared.come, piece);
    if (u->shared.come.failed)
        put = UPLOAD_NO_MEMORY;
    else if (u->shared.come.bytes >= UPLOAD_BYTES)
        put = UPLOAD_FULL;
    u->shared.full = put == UPLOAD_FULL;
    upload_wake_locked(u);
    return put;
}

void upload_finish(struct upload *u, enum upload_end end)
{
    lock_take(&u->shared.lock);
    if (u->shared.end == UPLOAD_COMES)
        u->shared.end = end;
    upload_wake_locked(u);
}

void upload_wake(struct upload *u)
{
    lock_take(&u->shared.lock);
    upload_wake_locked(u);
}

bool upload_take(struct upload *u, struct buf *out, enum upload_end *end)
{
    bool was_full;
    bool fine;

    lock_take(&u->shared.lock);
    fine = buf_reserve(out, u->shared.come.bytes + JSON_PADDING_BYTES);
    if (fine) {
        buf_put_slice(out, buf_slice(&u->shared.come));
        buf_reset(&u->shared.come);
    }
    was_full = fine && u->shared.full;
    u->shared.full = u->shared.full && !fine;
    *end = u->shared.end;
    lock_drop(&u->shared.lock);
    if (was_full) {
        atomic_store(&u->room, true);
        server_wake(u->req->api->server);
    }
    return fine;
}

bool upload_sleep(struct upload *u)
{
    bool sleep;

    lock_take(&u->shared.lock);
    sleep = !u->shared.poked;
    u->shared.asleep = sleep;
    u->shared.poked = false;
    lock_drop(&u->shared.lock);
    return sleep;
}

void upload_close(struct upload *u)
{
    lock_take(&u->shared.lock);
    u->shared.closed = true;
    lock_drop(&u->shared.lock);
}
