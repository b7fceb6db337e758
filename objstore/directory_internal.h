/* directory_internal.h - what the files of the directory store share.
 * docs/formats/directory-store.md has the layout and the order of effects. */
#ifndef OBJSTORE_DIRECTORY_INTERNAL_H
#define OBJSTORE_DIRECTORY_INTERNAL_H

#include "base/lock.h"
#include "objstore/crew.h"
#include "objstore/directory.h"
#include "objstore/store.h"

#include <assert.h>

enum { /* docs/formats/directory-store.md, an object's file */
       DIRECTORY_FOOT_MAGIC = 0,
       DIRECTORY_FOOT_VERSION = 4,
       DIRECTORY_FOOT_BODY = 8,
       DIRECTORY_FOOT_MODIFIED = 16,
       DIRECTORY_FOOT_BODY_CRC = 24,
       DIRECTORY_FOOT_ETAG = 32,
       DIRECTORY_FOOT_CRC = 124,
       DIRECTORY_FOOT_BYTES = 128,
       DIRECTORY_ETAG_BYTES = DIRECTORY_FOOT_CRC - DIRECTORY_FOOT_ETAG,
       DIRECTORY_CHUNK_BYTES = 200, /* of a key's part, in one name */
       DIRECTORY_SHARDS = 64,
       DIRECTORY_KNOWN = 1024,
       DIRECTORY_UPLOAD_ID_BYTES = UUID_TEXT_BYTES,
};
/* A key of 900 bytes has at most four cuts of "+/", and "@" at its end. */
static_assert(DIRECTORY_ROOT_BYTES_MAX + (int)sizeof "/objects/" - 1 + OBJSTORE_KEY_BYTES_MAX +
                      2 * (OBJSTORE_KEY_BYTES_MAX / DIRECTORY_CHUNK_BYTES) + 2 <=
                  FS_PATH_BYTES,
              "the longest path");

struct directory {
    struct objstore store;
    /* Set by open. */
    struct fs *fs; /* borrowed, like the next two */
    struct clock *clock;
    struct rand_source *rand;
    char root[DIRECTORY_ROOT_BYTES_MAX + 1];
    char own[FS_PATH_BYTES];  /* temporary/<uuid> */
    struct fs_file *own_lock; /* held while open */
    _Atomic uint64_t next_temporary;
    struct crew crew;
    struct {              /* guarded by lock */
        struct lock lock; /* LOCK_RANK_OBJSTORE */
        struct cond freed;
        uint64_t busy;                   /* a bit a shard */
        uint64_t known[DIRECTORY_KNOWN]; /* hashes of folders whose names are durable */
    } shared;
};

struct directory_foot {
    uint64_t body_bytes;
    uint64_t modified_ns;
    uint32_t body_crc;
    char etag[DIRECTORY_ETAG_BYTES];
};

/* "<root>/<name>" */
NODISCARD
status directory_path(const struct directory *d, const char *name, char out[FS_PATH_BYTES],
                      struct err *err);
void directory_object_path(const struct directory *d, const char *key, char out[FS_PATH_BYTES]);
/* Whether the bucket is there at all; what says "absent" asks first. */
bool directory_is_there(struct directory *d);
/* A local failure becomes the answer; ST_NOT_FOUND asks whether the bucket is there. */
void directory_answer(struct directory *d, struct objstore_req *req, status st,
                      const struct err *err, bool applied);

/* A lock on a file, waited for; the handle is closed to drop it. */
NODISCARD
status directory_lock_file(struct directory *d, const char *path, struct fs_file **out,
                           struct err *err);
struct directory_claim {
    uint64_t shard;
    struct fs_file *file;
};
/* The lock of a key. */
NODISCARD
status directory_claim(struct directory *d, const char *key, struct directory_claim *claim,
                       struct err *err);
void directory_release(struct directory *d, struct directory_claim *claim);

/* A file in the handle's temporary folder. */
NODISCARD
status directory_temporary(struct directory *d, char path[FS_PATH_BYTES], struct fs_file **out,
                           struct err *err);
/* Writes body and foot, syncs and closes. */
NODISCARD
status directory_write(struct directory *d, struct slice body, const char *etag,
                       char path[FS_PATH_BYTES], struct err *err);
/* At `body_bytes`; syncs. */
NODISCARD
status directory_write_foot(struct directory *d, struct fs_file *file,
                            const struct directory_foot *foot, struct err *err);
/* ST_NOT_FOUND; ST_CORRUPT. The caller closes the file. */
NODISCARD
status directory_open_object(struct directory *d, const char *path, struct fs_file **file,
                             struct directory_foot *foot, struct err *err);
/* The etag now under the path; "" with ST_OK: nothing. */
NODISCARD
status directory_etag_now(struct directory *d, const char *path, char etag[DIRECTORY_ETAG_BYTES],
                          struct err *err);
/* Renames the temporary file to its place below objects/ and makes that durable. *applied once the
 * rename was tried. */
NODISCARD
status directory_place(struct directory *d, const char *from, const char *to, bool *applied,
                       struct err *err);
/* What was answered with OK: the file is renamed if the condition of req holds, under its claim.
 * also: a file that must still be there (NULL: none), else 404 NoSuchUpload. Removes `from` where
 * it was not used. */
void directory_commit(struct directory *d, struct objstore_req *req, const char *from,
                      const char *etag, const char *also);

void directory_run_list(struct directory *d, struct objstore_req *req);
void directory_run_upload_begin(struct directory *d, struct objstore_req *req);
void directory_run_upload_part(struct directory *d, struct objstore_req *req);
void directory_run_upload_complete(struct directory *d, struct objstore_req *req);
void directory_run_upload_abort(struct directory *d, struct objstore_req *req);

/* The folders, the format file, the remains of handles that crashed, a temporary folder of its
 * own. */
NODISCARD
status directory_prepare(struct directory *d, struct err *err);

#endif
