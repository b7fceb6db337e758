/* upload.h - a body that goes to a worker while it comes: the bounded buffer between the loop and
 * the one task that takes from it.
 *
 * The loop puts pieces in and stops reading from the socket while the buffer is full. The task
 * takes all there is, and when it can do nothing more it sleeps: it ends with TASK_DONE and is
 * submitted again by whatever comes next - bytes, the end, a write that is done, or its time.
 *
 * Threads    put, finish, room and due: the loop. take, sleep and close: the task. wake: any.
 * Ownership  dies with its request, on the loop. After upload_close() nothing wakes the task.
 * Limits     UPLOAD_BYTES and a piece more. */
#ifndef API_UPLOAD_H
#define API_UPLOAD_H

#include "api/request.h"
#include "base/lock.h"

enum { UPLOAD_BYTES = 1024 * 1024 };

enum upload_end {
    UPLOAD_COMES,    /* not yet */
    UPLOAD_WHOLE,    /* the body ended as its framing says */
    UPLOAD_STALLED,  /* no byte came for too long */
    UPLOAD_CUT,      /* the client went away, or sends no more */
    UPLOAD_BROKEN,   /* the framing is wrong: http_status, why */
    UPLOAD_DRAINING, /* the node is shutting down */
};

struct upload {
    struct request *req;    /* borrowed: it owns us */
    struct slice type;      /* Content-Type, in the request's head; empty if none */
    struct upload **before; /* the loop's list */
    struct upload *next;
    uint32_t steps_seen; /* the loop's */
    int http_status;     /* of UPLOAD_BROKEN; set before `end` */
    const char *why;

    _Atomic uint64_t wake_at_ns; /* monotonic, 0: none. Set by the task, read by the loop */
    _Atomic bool room;           /* set by the task: there is room again. Taken by the loop */
    _Atomic uint32_t steps;      /* counts what the task gets done, for the loop's patience */

    struct {              /* guarded by lock */
        struct lock lock; /* LOCK_RANK_LEAF */
        struct buf come;
        enum upload_end end;
        bool full;   /* the loop was told to stop reading */
        bool asleep; /* the task has ended and is to be submitted */
        bool poked;  /* something came since it last looked */
        bool closed;
    } shared;
};

NODISCARD
struct upload *upload_create(struct request *req); /* NULL: out of memory */
void upload_destroy(struct upload *u);             /* accepts NULL */

enum upload_put { UPLOAD_TAKEN, UPLOAD_FULL, UPLOAD_NO_MEMORY };
/* UPLOAD_FULL: taken too, and nothing more should be read until `room`. */
enum upload_put upload_put(struct upload *u, struct slice piece);
/* The first end counts. */
void upload_finish(struct upload *u, enum upload_end end);
/* Submits the task if it sleeps, else makes its next upload_sleep() fail. */
void upload_wake(struct upload *u);
/* The same with the lock held, which is dropped: who called touches nothing behind it. */
void upload_wake_locked(struct upload *u);

/* Appends all that came to out; UPLOAD_COMES: there may be more. False: out of memory. */
bool upload_take(struct upload *u, struct buf *out, enum upload_end *end);
/* True: nothing came since the last call, and the task must end with TASK_DONE at once, touching
 * nothing: it may run already. */
bool upload_sleep(struct upload *u);
/* Before the answer. */
void upload_close(struct upload *u);

#endif
