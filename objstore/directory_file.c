/* Files of objects: where they lie, how they are written, read, and put into their place. */
#include "base/crc32c.h"
#include "base/hash.h"
#include "objstore/directory_internal.h"

#include <inttypes.h>
#include <stdio.h>

enum { FORMAT_VERSION = 1, LOCK_POLL_NS = 1000000 };
static const char MAGIC[4] = {'T', 'V', 'D', 'O'};

status directory_path(const struct directory *d, const char *name, char out[FS_PATH_BYTES],
                      struct err *err)
{
    return fs_join(out, d->root, name, err);
}

/* The assertion in the header says that the longest key fits. */
void directory_object_path(const struct directory *d, const char *key, char out[FS_PATH_BYTES])
{
    size_t at = (size_t)snprintf(out, FS_PATH_BYTES, "%s/objects/", d->root);
    size_t chunk = 0;

    for (const char *c = key; *c != '\0'; c++) {
        if (*c == '/')
            chunk = 0;
        else if (chunk == DIRECTORY_CHUNK_BYTES) {
            out[at++] = '+';
            out[at++] = '/';
            chunk = 1;
        } else
            chunk++;
        out[at++] = *c;
    }
    out[at++] = '@';
    out[at] = '\0';
}

bool directory_is_there(struct directory *d)
{
    char path[FS_PATH_BYTES];
    struct fs_stat found;

    return directory_path(d, "format", path, NULL) == ST_OK &&
           fs_stat(d->fs, path, &found, NULL) == ST_OK;
}

void directory_answer(struct directory *d, struct objstore_req *req, status st,
                      const struct err *err, bool applied)
{
    if (st != ST_NOT_FOUND || directory_is_there(d)) {
        objstore_answer_status(req, st, err, applied);
        return;
    }
    objstore_answer(req, OBJSTORE_PERMANENT, 404, "NoSuchBucket",
                    "the directory %s, or the disk it was on, is gone", d->root);
    req->result.maybe_applied = applied;
}

status directory_lock_file(struct directory *d, const char *path, struct fs_file **out,
                           struct err *err)
{
    struct fs_file *file = NULL;
    status st = fs_open(d->fs, path, FS_READ | FS_WRITE | FS_CREATE, &file, err);

    if (st != ST_OK)
        return st;
    for (unsigned waited_ms = 0;; waited_ms++) {
        st = fs_lock(d->fs, file, err);
        if (st != ST_CONFLICT || waited_ms >= DIRECTORY_LOCK_WAIT_MS)
            break;
        lock_take(&d->shared.lock);
        (void)cond_wait_ns(&d->shared.freed, &d->shared.lock, LOCK_POLL_NS);
        lock_drop(&d->shared.lock);
    }
    if (st == ST_OK)
        *out = file;
    else
        fs_close(d->fs, file);
    return st == ST_CONFLICT
               ? err_wrap(err, ST_UNAVAILABLE, "waited %d ms", (int)DIRECTORY_LOCK_WAIT_MS)
               : st;
}

status directory_claim(struct directory *d, const char *key, struct directory_claim *claim,
                       struct err *err)
{
    uint64_t shard = hash_bytes(key, strlen(key), 0) % DIRECTORY_SHARDS;
    char name[16];
    char path[FS_PATH_BYTES];
    status st;

    *claim = (struct directory_claim){.shard = shard};
    (void)snprintf(name, sizeof name, "locks/%02" PRIx64, shard);
    st = directory_path(d, name, path, err);
    if (st != ST_OK)
        return st;
    lock_take(&d->shared.lock);
    while ((d->shared.busy >> shard & 1) != 0)
        cond_wait(&d->shared.freed, &d->shared.lock);
    d->shared.busy |= (uint64_t)1 << shard;
    lock_drop(&d->shared.lock);
    st = directory_lock_file(d, path, &claim->file, err);
    if (st != ST_OK)
        directory_release(d, claim);
    return st;
}

void directory_release(struct directory *d, struct directory_claim *claim)
{
    fs_close(d->fs, claim->file);
    claim->file = NULL;
    lock_take(&d->shared.lock);
    d->shared.busy &= ~((uint64_t)1 << claim->shard);
    cond_broadcast(&d->shared.freed);
    lock_drop(&d->shared.lock);
}

status directory_temporary(struct directory *d, char path[FS_PATH_BYTES], struct fs_file **out,
                           struct err *err)
{
    char name[32];
    status st;

    (void)snprintf(name, sizeof name, "%" PRIu64, ++d->next_temporary);
    st = fs_join(path, d->own, name, err);
    return st != ST_OK
               ? st
               : fs_open(d->fs, path, FS_READ | FS_WRITE | FS_CREATE | FS_EXCLUSIVE, out, err);
}

status directory_write_foot(struct directory *d, struct fs_file *file,
                            const struct directory_foot *foot, struct err *err)
{
    uint8_t bytes[DIRECTORY_FOOT_BYTES] = {0};
    status st;

    memcpy(bytes + DIRECTORY_FOOT_MAGIC, MAGIC, sizeof MAGIC);
    le_put_u16(bytes + DIRECTORY_FOOT_VERSION, FORMAT_VERSION);
    le_put_u64(bytes + DIRECTORY_FOOT_BODY, foot->body_bytes);
    le_put_u64(bytes + DIRECTORY_FOOT_MODIFIED, foot->modified_ns);
    le_put_u32(bytes + DIRECTORY_FOOT_BODY_CRC, foot->body_crc);
    memcpy(bytes + DIRECTORY_FOOT_ETAG, foot->etag, strlen(foot->etag));
    le_put_u32(bytes + DIRECTORY_FOOT_CRC, crc32c(0, bytes, DIRECTORY_FOOT_CRC));
    st = fs_pwrite(d->fs, file, bytes, sizeof bytes, foot->body_bytes, err);
    return st != ST_OK ? st : fs_sync(d->fs, file, err);
}

status directory_write(struct directory *d, struct slice body, const char *etag,
                       char path[FS_PATH_BYTES], struct err *err)
{
    struct fs_file *file = NULL;
    struct directory_foot foot = {.body_bytes = body.bytes,
                                  .modified_ns = clock_wall_ns(d->clock),
                                  .body_crc = crc32c(0, body.data, body.bytes)};
    status st = directory_temporary(d, path, &file, err);

    if (st != ST_OK)
        return st;
    (void)snprintf(foot.etag, sizeof foot.etag, "%s", etag);
    if (body.bytes > 0)
        st = fs_pwrite(d->fs, file, body.data, body.bytes, 0, err);
    if (st == ST_OK)
        st = directory_write_foot(d, file, &foot, err);
    fs_close(d->fs, file);
    if (st != ST_OK)
        (void)d->fs->unlink(d->fs, path, NULL);
    return st;
}

static status read_foot(struct directory *d, struct fs_file *file, const char *path,
                        struct directory_foot *foot, struct err *err)
{
    uint8_t bytes[DIRECTORY_FOOT_BYTES];
    uint64_t file_bytes = 0;
    status st = fs_size(d->fs, file, &file_bytes, err);

    if (st != ST_OK)
        return st;
    if (file_bytes < sizeof bytes)
        return err_set(err, ST_CORRUPT, "%s is cut short", path);
    st = fs_pread_full(d->fs, file, bytes, sizeof bytes, file_bytes - sizeof bytes, err);
    if (st != ST_OK)
        return st;
    if (memcmp(bytes + DIRECTORY_FOOT_MAGIC, MAGIC, sizeof MAGIC) != 0 ||
        le_u32(bytes + DIRECTORY_FOOT_CRC) != crc32c(0, bytes, DIRECTORY_FOOT_CRC))
        return err_set(err, ST_CORRUPT, "%s does not end as an object does", path);
    if (le_u16(bytes + DIRECTORY_FOOT_VERSION) != FORMAT_VERSION)
        return err_set(err, ST_CORRUPT, "%s is of version %u, this program reads %d", path,
                       (unsigned)le_u16(bytes + DIRECTORY_FOOT_VERSION), FORMAT_VERSION);
    foot->body_bytes = le_u64(bytes + DIRECTORY_FOOT_BODY);
    foot->modified_ns = le_u64(bytes + DIRECTORY_FOOT_MODIFIED);
    foot->body_crc = le_u32(bytes + DIRECTORY_FOOT_BODY_CRC);
    memcpy(foot->etag, bytes + DIRECTORY_FOOT_ETAG, sizeof foot->etag);
    if (foot->body_bytes != file_bytes - sizeof bytes || foot->etag[0] == '\0' ||
        memchr(foot->etag, '\0', sizeof foot->etag) == NULL)
        return err_set(err, ST_CORRUPT, "%s has another length than it says", path);
    return ST_OK;
}

status directory_open_object(struct directory *d, const char *path, struct fs_file **file,
                             struct directory_foot *foot, struct err *err)
{
    struct fs_file *opened = NULL;
    status st = fs_open(d->fs, path, FS_READ, &opened, err);

    if (st != ST_OK)
        return st;
    st = read_foot(d, opened, path, foot, err);
    if (st == ST_OK)
        *file = opened;
    else
        fs_close(d->fs, opened);
    return st;
}

status directory_etag_now(struct directory *d, const char *path, char etag[DIRECTORY_ETAG_BYTES],
                          struct err *err)
{
    struct directory_foot foot;
    struct fs_file *file = NULL;
    status st = directory_open_object(d, path, &file, &foot, err);

    etag[0] = '\0';
    if (st == ST_NOT_FOUND && directory_is_there(d))
        return ST_OK;
    if (st == ST_OK)
        memcpy(etag, foot.etag, sizeof foot.etag);
    fs_close(d->fs, file);
    return st;
}

/* Every folder between objects/ (which must be there) and the file. */
static status make_folders(struct directory *d, const char *path, struct err *err)
{
    char at[FS_PATH_BYTES];
    size_t bytes = strlen(d->root) + strlen("/objects/");
    status st = ST_OK;

    (void)snprintf(at, sizeof at, "%s", path);
    for (char *slash = strchr(at + bytes, '/'); slash != NULL && st == ST_OK;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        st = fs_mkdir(d->fs, at, err);
        *slash = '/';
    }
    return st;
}

static bool is_known(struct directory *d, uint64_t hash)
{
    bool known;

    lock_take(&d->shared.lock);
    known = d->shared.known[hash % DIRECTORY_KNOWN] == hash;
    lock_drop(&d->shared.lock);
    return known;
}

/* Syncs the file's folder, and those above it up to objects/ unless this handle has done so since
 * it was opened: another process may have made one of them and not come to its sync. */
static status sync_folders(struct directory *d, const char *path, struct err *err)
{
    char at[FS_PATH_BYTES];
    size_t top = strlen(d->root) + strlen("/objects");
    char *slash;
    uint64_t hash;
    status st;

    (void)snprintf(at, sizeof at, "%s", path);
    slash = strrchr(at, '/');
    *slash = '\0';
    hash = hash_bytes(at, strlen(at), 0);
    st = fs_sync_dir(d->fs, at, err);
    if (st != ST_OK || is_known(d, hash))
        return st;
    while (st == ST_OK && strlen(at) > top) {
        *strrchr(at, '/') = '\0';
        st = fs_sync_dir(d->fs, at, err);
    }
    if (st == ST_OK) {
        lock_take(&d->shared.lock);
        d->shared.known[hash % DIRECTORY_KNOWN] = hash;
        lock_drop(&d->shared.lock);
    }
    return st;
}

status directory_place(struct directory *d, const char *from, const char *to, bool *applied,
                       struct err *err)
{
    status st = fs_rename(d->fs, from, to, err);

    if (st == ST_NOT_FOUND) {
        st = make_folders(d, to, err);
        if (st != ST_OK)
            return st;
        st = fs_rename(d->fs, from, to, err);
    }
    if (st == ST_NOT_FOUND)
        return st;
    *applied = true;
    return st != ST_OK ? st : sync_folders(d, to, err);
}

static void commit_claimed(struct directory *d, struct objstore_req *req, const char *from,
                           const char *etag, const char *also)
{
    char path[FS_PATH_BYTES];
    char now[DIRECTORY_ETAG_BYTES];
    struct fs_stat found;
    struct err err = {0};
    bool applied = false;
    status st = ST_OK;

    directory_object_path(d, req->key, path);
    if (also != NULL && fs_stat(d->fs, also, &found, &err) == ST_NOT_FOUND &&
        directory_is_there(d)) {
        objstore_answer(req, OBJSTORE_NOT_FOUND, 404, "NoSuchUpload", "not there");
        return;
    }
    if (req->condition != OBJSTORE_ALWAYS)
        st = directory_etag_now(d, path, now, &err);
    if (st == ST_OK && req->condition != OBJSTORE_ALWAYS &&
        !objstore_condition_holds(req, now[0] == '\0' ? NULL : now))
        return;
    if (st == ST_OK)
        st = directory_place(d, from, path, &applied, &err);
    if (st != ST_OK) {
        directory_answer(d, req, st, &err, applied);
        return;
    }
    (void)snprintf(req->result.etag, sizeof req->result.etag, "%s", etag);
    objstore_answer_ok(req, 200);
}

void directory_commit(struct directory *d, struct objstore_req *req, const char *from,
                      const char *etag, const char *also)
{
    struct directory_claim claim;
    struct err err = {0};
    status st = directory_claim(d, req->key, &claim, &err);

    if (st == ST_OK) {
        commit_claimed(d, req, from, etag, also);
        directory_release(d, &claim);
    } else
        directory_answer(d, req, st, &err, false);
    if (req->result.class != OBJSTORE_OK)
        (void)d->fs->unlink(d->fs, from, NULL);
}
