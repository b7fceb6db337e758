/* A listing walks the folders that may hold keys of the prefix behind start_after, and keeps the
 * smallest names: at most twice a page is ever in memory. What lies behind the largest name kept,
 * once there are enough, is not entered. */
#include "base/mem.h"
#include "objstore/directory_internal.h"

#include <stdio.h>
#include <stdlib.h>

struct walk {
    struct directory *d;
    const struct objstore_req *req;
    size_t max; /* names wanted, and one more to know whether there are */
    char **keys;
    size_t count;
    bool cut;                             /* keys[max - 1] bounds what is still of use */
    char path[FS_PATH_BYTES];             /* of the folder walked */
    char key[OBJSTORE_KEY_BYTES_MAX + 1]; /* what all keys in it begin with */
};

struct folder_names {
    char **names;
    size_t count, capacity;
};

struct visit {
    struct walk *w;
    struct folder_names *folders;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts what was found and drops what is beyond the page. */
static void keep_smallest(struct walk *w)
{
    if (w->count > 1)
        qsort(w->keys, w->count, sizeof w->keys[0], by_text);
    while (w->count > w->max)
        mem_free(w->keys[--w->count]);
    w->cut = w->count == w->max;
}

static bool is_wanted(const struct walk *w, const char *key)
{
    const struct objstore_req *req = w->req;

    return strncmp(key, req->key, strlen(req->key)) == 0 &&
           (req->start_after == NULL || strcmp(key, req->start_after) > 0) &&
           (!w->cut || strcmp(key, w->keys[w->max - 1]) < 0);
}

/* Whether a key that begins so may be wanted. */
static bool may_hold_wanted(const struct walk *w, const char *begin)
{
    const struct objstore_req *req = w->req;
    size_t bytes = strlen(begin);
    size_t prefix = strlen(req->key);

    return strncmp(begin, req->key, bytes < prefix ? bytes : prefix) == 0 &&
           (req->start_after == NULL || strncmp(begin, req->start_after, bytes) >= 0) &&
           (!w->cut || strcmp(begin, w->keys[w->max - 1]) < 0);
}

static status add_key(struct walk *w, const char *name, size_t bytes, struct err *err)
{
    size_t begin = strlen(w->key);
    char key[OBJSTORE_KEY_BYTES_MAX + 1];

    if (begin + bytes >= sizeof key)
        return ST_OK; /* none of ours */
    memcpy(key, w->key, begin);
    memcpy(key + begin, name, bytes);
    key[begin + bytes] = '\0';
    if (objstore_key_check(key, NULL) != ST_OK || !is_wanted(w, key))
        return ST_OK;
    if (w->count == 2 * w->max)
        keep_smallest(w);
    w->keys[w->count] = mem_strdup(key);
    if (w->keys[w->count] == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    w->count++;
    return ST_OK;
}

static status add_folder(struct folder_names *f, const char *name, struct err *err)
{
    if (f->count == f->capacity) {
        size_t more = f->capacity == 0 ? 16 : f->capacity * 2;
        void *moved = mem_resize(f->names, more * sizeof f->names[0]);

        if (moved == NULL)
            return err_set(err, ST_NOMEM, "out of memory");
        f->names = moved;
        f->capacity = more;
    }
    f->names[f->count] = mem_strdup(name);
    if (f->names[f->count] == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    f->count++;
    return ST_OK;
}

static status visit_entry(void *arg, const char *name, bool is_dir, struct err *err)
{
    struct visit *v = arg;
    size_t bytes = strlen(name);

    if (is_dir)
        return add_folder(v->folders, name, err);
    return bytes < 2 || name[bytes - 1] != '@' ? ST_OK : add_key(v->w, name, bytes - 1, err);
}

static status walk_folder(struct walk *w, struct err *err);

/* "a" holds keys that go on with "a/", "aaa+" those that go on with more of the same part. */
static status enter(struct walk *w, const char *name, struct err *err)
{
    size_t path = strlen(w->path);
    size_t key = strlen(w->key);
    size_t bytes = strlen(name);
    bool piece = bytes > 1 && name[bytes - 1] == '+';
    size_t kept = piece ? bytes - 1 : bytes;
    status st = ST_OK;

    if (path + bytes + 2 > sizeof w->path || key + kept + 2 > sizeof w->key)
        return ST_OK;
    memcpy(w->key + key, name, kept);
    memcpy(w->key + key + kept, piece ? "" : "/", piece ? 1 : 2);
    (void)snprintf(w->path + path, sizeof w->path - path, "/%s", name);
    if (may_hold_wanted(w, w->key))
        st = walk_folder(w, err);
    w->path[path] = '\0';
    w->key[key] = '\0';
    return st == ST_NOT_FOUND && directory_is_there(w->d) ? ST_OK : st;
}

static status walk_folder(struct walk *w, struct err *err)
{
    struct folder_names folders = {0};
    struct visit v = {.w = w, .folders = &folders};
    status st = fs_list(w->d->fs, w->path, visit_entry, &v, err);

    if (folders.count > 1)
        qsort(folders.names, folders.count, sizeof folders.names[0], by_text);
    for (size_t i = 0; i < folders.count; i++) {
        if (st == ST_OK)
            st = enter(w, folders.names[i], err);
        mem_free(folders.names[i]);
    }
    mem_free(folders.names);
    return st;
}

/* Size and time stand at the end of the object's file. One that is damaged is listed all the same,
 * so that the others can be found; one that is gone by now is not. */
static bool describe(struct walk *w, char *key, struct objstore_entry *entry)
{
    char path[FS_PATH_BYTES];
    struct fs_file *file = NULL;
    struct directory_foot foot = {0};
    status st;

    directory_object_path(w->d, key, path);
    st = directory_open_object(w->d, path, &file, &foot, NULL);
    fs_close(w->d->fs, file);
    if (st == ST_NOT_FOUND)
        return false;
    *entry = (struct objstore_entry){
        .key = key, .bytes = foot.body_bytes, .modified_ns = foot.modified_ns};
    return true;
}

static status fill(struct walk *w, struct objstore_result *r, struct err *err)
{
    size_t wanted = w->max - 1;
    size_t count;

    keep_smallest(w);
    r->truncated = w->count > wanted;
    count = r->truncated ? wanted : w->count;
    r->entries = mem_zero_array(count, sizeof r->entries[0]);
    if (r->entries == NULL) {
        r->truncated = false;
        return err_set(err, ST_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        if (!describe(w, w->keys[i], &r->entries[r->entry_count]))
            continue;
        r->entry_count++;
        w->keys[i] = NULL;
    }
    return ST_OK;
}

static status walk_all(struct walk *w, struct objstore_result *r, struct err *err)
{
    status st = directory_path(w->d, "objects", w->path, err);

    if (st == ST_OK)
        st = walk_folder(w, err);
    return st != ST_OK ? st : fill(w, r, err);
}

void directory_run_list(struct directory *d, struct objstore_req *req)
{
    struct walk w = {.d = d, .req = req};
    struct err err = {0};
    status st = ST_NOMEM;

    w.max = (req->list_max == 0 ? OBJSTORE_LIST_MAX : req->list_max) + (size_t)1;
    w.keys = mem_zero_array(2 * w.max, sizeof w.keys[0]);
    if (w.keys != NULL)
        st = walk_all(&w, &req->result, &err);
    else
        (void)err_set(&err, ST_NOMEM, "out of memory");
    for (size_t i = 0; i < w.count; i++)
        mem_free(w.keys[i]);
    mem_free(w.keys);
    if (st == ST_OK)
        objstore_answer_ok(req, 200);
    else
        directory_answer(d, req, st, &err, false);
}
