/* What happens when a directory is opened: made if new, refused if something else, and put in order
 * behind handles that crashed. All of it under locks/open, so that two who open at once do it one
 * after the other. */
#include "objstore/directory_internal.h"

#include "base/mem.h"

#include <stdio.h>

static const char FORMAT[] = "tiervec directory store 1\n";
static const char *const FOLDERS[] = {"locks", "temporary", "uploads", "objects"};

static status only_ours(void *arg, const char *name, bool is_dir, struct err *err)
{
    const struct directory *d = arg;

    for (size_t i = 0; i < COUNT_OF(FOLDERS); i++)
        if (is_dir && strcmp(name, FOLDERS[i]) == 0)
            return ST_OK;
    if (strcmp(name, "format.tmp") == 0)
        return ST_OK;
    return err_set(err, ST_INVALID,
                   "%s is not empty and holds no bucket (%s lies there): name an empty or a new "
                   "directory",
                   d->root, name);
}

/* ST_NOT_FOUND: there is none. */
static status check_format(struct directory *d, const char *path, struct err *err)
{
    struct buf found;
    status st;

    buf_init(&found, 64);
    st = fs_read_file(d->fs, path, 64, &found, err);
    if (st == ST_OK && !slice_equal(buf_slice(&found), slice_text(FORMAT)))
        st = err_set(err, ST_INVALID, "%s says it is of another version, this program reads 1",
                     path);
    buf_free(&found);
    return st;
}

static status make_layout(struct directory *d, struct err *err)
{
    char path[FS_PATH_BYTES];
    status st = directory_path(d, "format", path, err);

    if (st == ST_OK)
        st = check_format(d, path, err);
    if (st != ST_NOT_FOUND)
        return st;
    st = fs_list(d->fs, d->root, only_ours, d, err);
    for (size_t i = 0; i < COUNT_OF(FOLDERS) && st == ST_OK; i++) {
        char folder[FS_PATH_BYTES];

        st = directory_path(d, FOLDERS[i], folder, err);
        if (st == ST_OK)
            st = fs_mkdir(d->fs, folder, err);
    }
    if (st == ST_OK)
        st = fs_sync_dir(d->fs, d->root, err);
    return st != ST_OK ? st : fs_write_file(d->fs, path, slice_text(FORMAT), err);
}

struct remains {
    struct directory *d;
    const char *folder;
    bool crashed;
};

/* A folder whose lock is free is nobody's any more. Foreign files are left alone. */
static status clear_one(void *arg, const char *name, bool is_dir, struct err *err)
{
    struct remains *r = arg;
    char path[FS_PATH_BYTES];
    char lock[FS_PATH_BYTES];
    struct fs_file *file = NULL;
    uint8_t uuid[16];
    status st;

    if (!is_dir || !uuid_parse(name, strlen(name), uuid))
        return ST_OK;
    st = fs_join(path, r->folder, name, err);
    if (st == ST_OK)
        st = fs_join(lock, path, "lock", err);
    if (st == ST_OK)
        st = fs_open(r->d->fs, lock, FS_READ | FS_WRITE | FS_CREATE, &file, err);
    if (st != ST_OK)
        return st;
    st = fs_lock(r->d->fs, file, err);
    if (st == ST_OK) {
        r->crashed = true;
        st = fs_remove_all(r->d->fs, path, err);
    } else if (st == ST_CONFLICT)
        st = ST_OK;
    fs_close(r->d->fs, file);
    return st;
}

/* Names of folders are gathered before any is entered: a listing keeps its folder open. */
struct folders {
    char (*names)[DIRECTORY_CHUNK_BYTES + 2];
    size_t count, capacity;
};

static status gather(void *arg, const char *name, bool is_dir, struct err *err)
{
    struct folders *f = arg;

    if (!is_dir || strlen(name) >= sizeof f->names[0])
        return ST_OK;
    if (f->count == f->capacity) {
        size_t more = f->capacity == 0 ? 16 : f->capacity * 2;
        void *moved = mem_resize(f->names, more * sizeof f->names[0]);

        if (moved == NULL)
            return err_set(err, ST_NOMEM, "out of memory");
        f->names = moved;
        f->capacity = more;
    }
    memcpy(f->names[f->count++], name, strlen(name) + 1);
    return ST_OK;
}

/* at: the folder, of FS_PATH_BYTES; as it was behind the call. */
static status sync_tree(struct directory *d, char *at, struct err *err)
{
    struct folders f = {0};
    size_t bytes = strlen(at);
    status st = fs_list(d->fs, at, gather, &f, err);

    for (size_t i = 0; i < f.count && st == ST_OK; i++) {
        if (bytes + strlen(f.names[i]) + 2 > FS_PATH_BYTES)
            continue; /* none of ours is that deep */
        (void)snprintf(at + bytes, FS_PATH_BYTES - bytes, "/%s", f.names[i]);
        st = sync_tree(d, at, err);
        at[bytes] = '\0';
    }
    if (st == ST_OK)
        st = fs_sync_dir(d->fs, at, err);
    mem_free(f.names);
    return st;
}

/* Who crashed may have renamed a file and not come to the sync: what was seen must stay. */
static status clear_remains(struct directory *d, struct err *err)
{
    char path[FS_PATH_BYTES];
    struct remains r = {.d = d, .folder = path};
    status st = directory_path(d, "temporary", path, err);

    if (st == ST_OK)
        st = fs_list(d->fs, path, clear_one, &r, err);
    if (st != ST_OK || !r.crashed)
        return st;
    st = directory_path(d, "objects", path, err);
    return st != ST_OK ? st : sync_tree(d, path, err);
}

static status make_own(struct directory *d, struct err *err)
{
    char path[FS_PATH_BYTES];
    char name[64];
    char text[UUID_TEXT_BYTES];
    uint8_t uuid[16];
    status st;

    uuid_make_v4(d->rand, uuid);
    uuid_format(uuid, text);
    (void)snprintf(name, sizeof name, "temporary/%s", text);
    st = directory_path(d, name, d->own, err);
    if (st == ST_OK)
        st = fs_mkdir(d->fs, d->own, err);
    if (st == ST_OK)
        st = fs_join(path, d->own, "lock", err);
    if (st == ST_OK)
        st = directory_lock_file(d, path, &d->own_lock, err);
    return st;
}

/* The order matters: remains are cleared before those of a crash could be told from one's own. */
static status prepare_locked(struct directory *d, struct err *err)
{
    status st = make_layout(d, err);

    if (st == ST_OK)
        st = clear_remains(d, err);
    return st != ST_OK ? st : make_own(d, err);
}

status directory_prepare(struct directory *d, struct err *err)
{
    char path[FS_PATH_BYTES];
    char lock[FS_PATH_BYTES];
    struct fs_file *open_lock = NULL;
    status st = fs_mkdir_all(d->fs, d->root, err);

    if (st == ST_OK)
        st = fs_sync_above(d->fs, d->root, err);
    if (st == ST_OK)
        st = directory_path(d, "format", path, err);
    if (st == ST_OK && check_format(d, path, err) == ST_NOT_FOUND)
        st = fs_list(d->fs, d->root, only_ours, d, err); /* before anything is put into it */
    if (st == ST_OK)
        st = directory_path(d, "locks", path, err);
    if (st == ST_OK)
        st = fs_mkdir(d->fs, path, err);
    if (st == ST_OK)
        st = fs_join(lock, path, "open", err);
    if (st == ST_OK)
        st = directory_lock_file(d, lock, &open_lock, err);
    if (st == ST_OK)
        st = prepare_locked(d, err);
    fs_close(d->fs, open_lock);
    return st;
}
