/* Objects in parts: a folder with the key and the parts, until they are one file. */
#include "base/crc32c.h"
#include "base/mem.h"
#include "objstore/directory_internal.h"

#include <stdio.h>

enum { COPY_BYTES = 1 << 20 };

static void no_such_upload(struct objstore_req *req)
{
    objstore_answer(req, OBJSTORE_NOT_FOUND, 404, "NoSuchUpload", "not there");
}

/* "<root>/uploads/<id>" and, with a name, "/<name>". */
static status upload_path(struct directory *d, const char *id, const char *name,
                          char out[FS_PATH_BYTES], struct err *err)
{
    char inner[DIRECTORY_UPLOAD_ID_BYTES + 32];

    (void)snprintf(inner, sizeof inner, "uploads/%s%s%s", id, name[0] == '\0' ? "" : "/", name);
    return directory_path(d, inner, out, err);
}

static status part_path(struct directory *d, const char *id, uint32_t number,
                        char out[FS_PATH_BYTES], struct err *err)
{
    char name[16];

    (void)snprintf(name, sizeof name, "%u", (unsigned)number);
    return upload_path(d, id, name, out, err);
}

/* An id is what a caller sends: only our own form becomes a path. */
static bool id_is_ours(const char *id)
{
    uint8_t uuid[16];

    return strlen(id) == UUID_TEXT_BYTES - 1 && uuid_parse(id, strlen(id), uuid);
}

/* Whether the upload is there and of this key; else the answer is given. */
static bool upload_find(struct directory *d, struct objstore_req *req)
{
    char path[FS_PATH_BYTES];
    struct buf key;
    struct err err = {0};
    bool same;
    status st;

    if (!id_is_ours(req->upload_id)) {
        no_such_upload(req);
        return false;
    }
    buf_init(&key, OBJSTORE_KEY_BYTES_MAX);
    st = upload_path(d, req->upload_id, "key", path, &err);
    if (st == ST_OK)
        st = fs_read_file(d->fs, path, OBJSTORE_KEY_BYTES_MAX, &key, &err);
    same = st == ST_OK && slice_equal(buf_slice(&key), slice_text(req->key));
    buf_free(&key);
    if (st == ST_NOT_FOUND ? directory_is_there(d) : st == ST_OK && !same)
        no_such_upload(req);
    else if (st != ST_OK)
        directory_answer(d, req, st, &err, false);
    return same;
}

void directory_run_upload_begin(struct directory *d, struct objstore_req *req)
{
    char id[UUID_TEXT_BYTES];
    char path[FS_PATH_BYTES];
    uint8_t uuid[16];
    struct err err = {0};
    status st;

    uuid_make_v4(d->rand, uuid);
    uuid_format(uuid, id);
    st = upload_path(d, id, "", path, &err);
    if (st == ST_OK)
        st = fs_mkdir(d->fs, path, &err);
    if (st == ST_OK)
        st = upload_path(d, id, "key", path, &err);
    if (st == ST_OK)
        st = fs_write_file(d->fs, path, slice_text(req->key), &err);
    if (st == ST_OK)
        st = directory_path(d, "uploads", path, &err);
    if (st == ST_OK)
        st = fs_sync_dir(d->fs, path, &err);
    if (st != ST_OK) {
        directory_answer(d, req, st, &err, false);
        return;
    }
    (void)snprintf(req->result.upload_id, sizeof req->result.upload_id, "%s", id);
    objstore_answer_ok(req, 200);
}

static status place_part(struct directory *d, struct objstore_req *req, const char *from,
                         struct err *err)
{
    char path[FS_PATH_BYTES];
    status st = part_path(d, req->upload_id, req->part_number, path, err);

    if (st == ST_OK)
        st = fs_rename(d->fs, from, path, err);
    if (st == ST_OK)
        st = upload_path(d, req->upload_id, "", path, err);
    return st != ST_OK ? st : fs_sync_dir(d->fs, path, err);
}

void directory_run_upload_part(struct directory *d, struct objstore_req *req)
{
    char from[FS_PATH_BYTES];
    char etag[OBJSTORE_ETAG_BYTES];
    struct err err = {0};
    status st;

    if (!upload_find(d, req))
        return;
    objstore_etag_of(req->body, etag);
    st = directory_write(d, req->body, etag, from, &err);
    if (st == ST_OK) {
        st = place_part(d, req, from, &err);
        if (st != ST_OK)
            (void)d->fs->unlink(d->fs, from, NULL);
    }
    if (st == ST_OK) {
        memcpy(req->result.etag, etag, sizeof etag);
        req->result.sent_bytes = req->body.bytes;
        objstore_answer_ok(req, 200);
    } else if (st == ST_NOT_FOUND && directory_is_there(d))
        no_such_upload(req); /* aborted meanwhile */
    else
        directory_answer(d, req, st, &err, true);
}

/* A part that was named: there, with this etag, large enough. *wrong says that the answer is given.
 */
static status part_open(struct directory *d, struct objstore_req *req, size_t at,
                        struct fs_file **file, struct directory_foot *foot, bool *wrong,
                        struct err *err)
{
    const struct objstore_part *part = &req->parts[at];
    char path[FS_PATH_BYTES];
    status st = part_path(d, req->upload_id, part->number, path, err);

    if (st == ST_OK)
        st = directory_open_object(d, path, file, foot, err);
    *wrong = st == ST_NOT_FOUND ? directory_is_there(d)
                                : st == ST_OK && strcmp(foot->etag, part->etag) != 0;
    if (*wrong)
        objstore_answer(req, OBJSTORE_PERMANENT, 400, "InvalidPart",
                        "part %u is missing or has another etag", (unsigned)part->number);
    else if (st == ST_OK && at + 1 < req->part_count &&
             foot->body_bytes < OBJSTORE_PART_BYTES_MIN) {
        *wrong = true;
        objstore_answer(req, OBJSTORE_PERMANENT, 400, "EntityTooSmall",
                        "part %u has %llu bytes, all but the last have at least 5 MiB",
                        (unsigned)part->number, (unsigned long long)foot->body_bytes);
    }
    return st;
}

static status copy_part(struct directory *d, struct fs_file *from,
                        const struct directory_foot *part, struct fs_file *to,
                        struct directory_foot *whole, uint8_t *buffer, struct err *err)
{
    uint32_t crc = 0;
    status st = ST_OK;

    for (uint64_t at = 0; at < part->body_bytes && st == ST_OK;) {
        uint64_t left = part->body_bytes - at;
        size_t bytes = left < COPY_BYTES ? (size_t)left : COPY_BYTES;

        st = fs_pread_full(d->fs, from, buffer, bytes, at, err);
        if (st == ST_OK)
            st = fs_pwrite(d->fs, to, buffer, bytes, whole->body_bytes, err);
        crc = crc32c(crc, buffer, bytes);
        whole->body_crc = crc32c(whole->body_crc, buffer, bytes);
        whole->body_bytes += bytes;
        at += bytes;
    }
    if (st == ST_OK && crc != part->body_crc)
        st = err_set(err, ST_CORRUPT, "a part's bytes are not those that were written");
    return st;
}

/* All parts, in order, behind each other. */
static status join_parts(struct directory *d, struct objstore_req *req, struct fs_file *to,
                         struct directory_foot *whole, bool *wrong, struct err *err)
{
    uint8_t *buffer = mem_alloc(COPY_BYTES);
    status st = buffer != NULL ? ST_OK : err_set(err, ST_NOMEM, "out of memory");

    for (size_t i = 0; i < req->part_count && st == ST_OK && !*wrong; i++) {
        struct fs_file *file = NULL;
        struct directory_foot part;

        st = part_open(d, req, i, &file, &part, wrong, err);
        if (st == ST_OK && !*wrong)
            st = copy_part(d, file, &part, to, whole, buffer, err);
        fs_close(d->fs, file);
    }
    if (st == ST_OK && !*wrong)
        st = directory_write_foot(d, to, whole, err);
    mem_free(buffer);
    return st;
}

/* The key goes first: without it the upload is no more, whatever a crash leaves of it. */
static status upload_remove(struct directory *d, const char *id, struct err *err)
{
    char path[FS_PATH_BYTES];
    status st = upload_path(d, id, "key", path, err);

    if (st == ST_OK)
        st = fs_unlink(d->fs, path, err);
    if (st == ST_OK || st == ST_NOT_FOUND)
        st = upload_path(d, id, "", path, err);
    return st != ST_OK ? st : fs_remove_all(d->fs, path, err);
}

void directory_run_upload_complete(struct directory *d, struct objstore_req *req)
{
    char path[FS_PATH_BYTES];
    char key_path[FS_PATH_BYTES];
    char etag[OBJSTORE_ETAG_BYTES];
    struct fs_file *file = NULL;
    struct directory_foot whole = {.modified_ns = clock_wall_ns(d->clock)};
    struct err err = {0};
    bool wrong = false;
    status st;

    if (!upload_find(d, req))
        return;
    objstore_etag_of_parts(req->parts, req->part_count, etag);
    (void)snprintf(whole.etag, sizeof whole.etag, "%.91s", etag);
    st = upload_path(d, req->upload_id, "key", key_path, &err);
    if (st == ST_OK)
        st = directory_temporary(d, path, &file, &err);
    if (st == ST_OK)
        st = join_parts(d, req, file, &whole, &wrong, &err);
    fs_close(d->fs, file);
    if (st == ST_OK && !wrong) {
        directory_commit(d, req, path, etag, key_path);
        if (req->result.class == OBJSTORE_OK)
            (void)upload_remove(d, req->upload_id, &err); /* what stays is an upload too many */
        return;
    }
    if (file != NULL)
        (void)d->fs->unlink(d->fs, path, NULL);
    if (!wrong)
        directory_answer(d, req, st, &err, false);
}

void directory_run_upload_abort(struct directory *d, struct objstore_req *req)
{
    struct err err = {0};
    status st = ST_OK;

    if (upload_find(d, req))
        st = upload_remove(d, req->upload_id, &err);
    else if (req->result.class != OBJSTORE_NOT_FOUND)
        return;
    if (st != ST_OK) {
        directory_answer(d, req, st, &err, true);
        return;
    }
    memset(&req->result, 0, sizeof req->result);
    objstore_answer_ok(req, 204);
}
