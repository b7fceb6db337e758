#include "objstore/directory.h"

#include "base/crc32c.h"
#include "base/log.h"
#include "base/mem.h"
#include "objstore/directory_internal.h"

#include <stdio.h>

enum { THREADS = 4 };

static void run_put(struct directory *d, struct objstore_req *req)
{
    char path[FS_PATH_BYTES];
    char now[DIRECTORY_ETAG_BYTES];
    char etag[OBJSTORE_ETAG_BYTES];
    struct err err = {0};
    status st = ST_OK;

    if (!objstore_checksum_holds(req))
        return;
    /* Who has lost already need not write first. */
    directory_object_path(d, req->key, path);
    if (req->condition != OBJSTORE_ALWAYS)
        st = directory_etag_now(d, path, now, &err);
    if (st == ST_OK && req->condition != OBJSTORE_ALWAYS &&
        !objstore_condition_holds(req, now[0] == '\0' ? NULL : now))
        return;
    objstore_etag_of(req->body, etag);
    if (st == ST_OK)
        st = directory_write(d, req->body, etag, path, &err);
    if (st != ST_OK) {
        directory_answer(d, req, st, &err, false);
        return;
    }
    req->result.sent_bytes = req->body.bytes;
    directory_commit(d, req, path, etag, NULL);
}

static status read_body(struct directory *d, struct objstore_req *req, struct fs_file *file,
                        const struct directory_foot *foot, uint64_t offset, size_t bytes,
                        struct err *err)
{
    struct buf *body = &req->result.body;
    status st;

    buf_init(body, bytes);
    if (!buf_reserve(body, bytes))
        return err_set(err, ST_NOMEM, "out of memory");
    st = bytes == 0 ? ST_OK : fs_pread_full(d->fs, file, body->data, bytes, offset, err);
    if (st == ST_OK && bytes == foot->body_bytes && crc32c(0, body->data, bytes) != foot->body_crc)
        st = err_set(err, ST_CORRUPT, "the object's bytes are not those that were written");
    if (st == ST_OK)
        body->bytes = bytes;
    return st;
}

static void read_opened(struct directory *d, struct objstore_req *req, struct fs_file *file,
                        const struct directory_foot *foot)
{
    struct objstore_result *r = &req->result;
    uint64_t offset = 0;
    size_t bytes = 0;
    struct err err = {0};
    status st;

    (void)snprintf(r->etag, sizeof r->etag, "%s", foot->etag);
    r->object_bytes = foot->body_bytes;
    if (!objstore_condition_changed(req, foot->etag))
        return;
    if (req->op == OBJSTORE_HEAD) {
        objstore_answer_ok(req, 200);
        return;
    }
    if (!objstore_range_find(req, foot->body_bytes, &offset, &bytes))
        return;
    st = read_body(d, req, file, foot, offset, bytes, &err);
    if (st != ST_OK) {
        buf_free(&r->body);
        objstore_answer_status(req, st, &err, false);
        return;
    }
    r->received_bytes = bytes;
    objstore_answer_ok(req, bytes == foot->body_bytes ? 200 : 206);
}

static void run_read(struct directory *d, struct objstore_req *req)
{
    char path[FS_PATH_BYTES];
    struct fs_file *file = NULL;
    struct directory_foot foot;
    struct err err = {0};
    status st;

    directory_object_path(d, req->key, path);
    st = directory_open_object(d, path, &file, &foot, &err);
    if (st == ST_OK) {
        read_opened(d, req, file, &foot);
        fs_close(d->fs, file);
    } else if (st == ST_NOT_FOUND && directory_is_there(d))
        objstore_answer(req, OBJSTORE_NOT_FOUND, 404, "NoSuchKey", "not there");
    else
        directory_answer(d, req, st, &err, false);
}

/* The folder is synced even where nothing was: who removed it may not have come to that. */
static status remove_claimed(struct directory *d, const char *path, bool *applied, struct err *err)
{
    char folder[FS_PATH_BYTES];
    status st = fs_unlink(d->fs, path, err);

    if (st == ST_NOT_FOUND && !directory_is_there(d))
        return st;
    *applied = true;
    if (st != ST_OK && st != ST_NOT_FOUND)
        return st;
    (void)snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = '\0';
    st = fs_sync_dir(d->fs, folder, err);
    return st == ST_NOT_FOUND ? ST_OK : st;
}

static void run_delete(struct directory *d, struct objstore_req *req)
{
    struct directory_claim claim;
    char path[FS_PATH_BYTES];
    bool applied = false;
    struct err err = {0};
    status st = directory_claim(d, req->key, &claim, &err);

    if (st == ST_OK) {
        directory_object_path(d, req->key, path);
        st = remove_claimed(d, path, &applied, &err);
        directory_release(d, &claim);
    }
    if (st == ST_OK)
        objstore_answer_ok(req, 204);
    else
        directory_answer(d, req, st, &err, applied);
}

static void run(void *arg, struct objstore_req *req)
{
    struct directory *d = arg;
    static void (*const runs[OBJSTORE_OPS])(struct directory *, struct objstore_req *) = {
        [OBJSTORE_PUT] = run_put,
        [OBJSTORE_GET] = run_read,
        [OBJSTORE_HEAD] = run_read,
        [OBJSTORE_DELETE] = run_delete,
        [OBJSTORE_LIST] = directory_run_list,
        [OBJSTORE_UPLOAD_BEGIN] = directory_run_upload_begin,
        [OBJSTORE_UPLOAD_PART] = directory_run_upload_part,
        [OBJSTORE_UPLOAD_COMPLETE] = directory_run_upload_complete,
        [OBJSTORE_UPLOAD_ABORT] = directory_run_upload_abort,
    };

    runs[req->op](d, req);
    req->result.date_ns = clock_wall_ns(d->clock);
}

static void on_submit(struct objstore *s, struct objstore_req *req)
{
    crew_submit(&((struct directory *)s)->crew, req);
}

static void on_cancel(struct objstore *s, struct objstore_req *req)
{
    crew_cancel(&((struct directory *)s)->crew, req);
}

/* The temporary folder goes before its lock: one that is found later, unlocked, tells of a crash.
 */
static void free_it(struct directory *d)
{
    if (d->own_lock != NULL && fs_remove_all(d->fs, d->own, NULL) != ST_OK)
        log_warn("temporary folder stays, the next to open the bucket removes it", "path=%s",
                 d->own);
    fs_close(d->fs, d->own_lock);
    cond_fini(&d->shared.freed);
    lock_fini(&d->shared.lock);
    mem_free(d);
}

static void on_close(struct objstore *s)
{
    struct directory *d = (struct directory *)s;

    crew_stop(&d->crew);
    free_it(d);
}

status objstore_directory_open(const char *root, struct fs *fs, struct clock *clock,
                               struct rand_source *rand, struct objstore **out, struct err *err)
{
    static const struct objstore_ops ops = {
        .submit = on_submit, .cancel = on_cancel, .close = on_close};
    struct directory *d;
    status st;

    if (strlen(root) > DIRECTORY_ROOT_BYTES_MAX)
        return err_set(err, ST_INVALID, "the path of a bucket has at most %d bytes: %.100s...",
                       (int)DIRECTORY_ROOT_BYTES_MAX, root);
    d = mem_zero(sizeof *d);
    if (d == NULL)
        return err_set(err, ST_NOMEM, "open file://%s: out of memory", root);
    d->store.ops = &ops;
    d->fs = fs;
    d->clock = clock;
    d->rand = rand;
    (void)snprintf(d->root, sizeof d->root, "%s", root);
    (void)snprintf(d->store.description, sizeof d->store.description, "file://%s", root);
    lock_init(&d->shared.lock, LOCK_RANK_OBJSTORE, "objstore directory");
    cond_init(&d->shared.freed);
    st = directory_prepare(d, err);
    if (st == ST_OK)
        st = crew_start(&d->crew, "objdir", THREADS, run, d, err);
    if (st != ST_OK) {
        free_it(d);
        return err_wrap(err, st, "open file://%s", root);
    }
    *out = &d->store;
    return ST_OK;
}
