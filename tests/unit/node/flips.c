#include "tests/unit/node/flips.h"

#include <inttypes.h>
#include <stdio.h>

enum { FILE_BYTES_MAX = 64 << 20 };

/* --- taking --- */

struct taking {
    struct flips *f;
    struct nworld *w;
    struct fs *fs;
    bool real;
    char below[FLIPS_NAME_BYTES]; /* the folder that is listed */
};

static struct flips_file *find(struct flips *f, const char *name, bool object)
{
    for (size_t i = 0; i < f->count; i++) {
        if (f->at[i].object == object && strcmp(f->at[i].name, name) == 0)
            return &f->at[i];
    }
    return NULL;
}

/* Takes the bytes over. */
static void note(struct taking *t, const char *name, bool object, struct buf *bytes)
{
    struct flips_file *file = find(t->f, name, object);

    assert_null(file);
    assert_true(t->f->count < FLIPS_FILES_MAX);
    file = &t->f->at[t->f->count++];
    memset(file, 0, sizeof *file);
    (void)snprintf(file->name, sizeof file->name, "%s", name);
    file->real = t->real;
    file->object = object;
    file->bytes = *bytes;
}

/* LMDB's file is given its room at once: what was never written is left out. */
static void without_zeros(struct buf *bytes)
{
    size_t n = bytes->bytes;

    while (n > 0 && bytes->data[n - 1] == 0)
        n--;
    n = (n + 4095) / 4096 * 4096;
    if (n < bytes->bytes)
        bytes->bytes = n;
}

static status see(void *arg, const char *name, bool is_dir, struct err *err)
{
    struct taking *t = arg;
    struct taking deeper = *t;
    char path[FS_PATH_BYTES];
    char at[FLIPS_NAME_BYTES];
    struct buf bytes;

    (void)err;
    assert_in_range(
        snprintf(at, sizeof at, "%s%s%s", t->below, t->below[0] == '\0' ? "" : "/", name), 1,
        sizeof at - 1);
    (void)snprintf(path, sizeof path, "%s/%s", t->w->dir, at);
    if (is_dir) {
        (void)snprintf(deeper.below, sizeof deeper.below, "%s", at);
        assert_int_equal(fs_list(t->fs, path, see, &deeper, NULL), ST_OK);
        return ST_OK;
    }
    buf_init(&bytes, FILE_BYTES_MAX);
    assert_int_equal(fs_read_file(t->fs, path, FILE_BYTES_MAX, &bytes, NULL), ST_OK);
    if (t->real)
        without_zeros(&bytes);
    note(t, at, false, &bytes);
    return ST_OK;
}

static void take_objects(struct taking *t)
{
    struct objstore_req list = {
        .op = OBJSTORE_LIST, .pool = OBJSTORE_LOG, .key = "", .list_max = FLIPS_FILES_MAX};

    assert_int_equal(objstore_wait(t->w->bucket, &list, NULL), ST_OK);
    for (size_t i = 0; i < list.result.entry_count; i++) {
        struct objstore_req get = {.op = OBJSTORE_GET,
                                   .pool = OBJSTORE_LOG,
                                   .key = list.result.entries[i].key,
                                   .bytes_max = FILE_BYTES_MAX};

        assert_int_equal(objstore_wait(t->w->bucket, &get, NULL), ST_OK);
        note(t, get.key, true, &get.result.body);
        memset(&get.result.body, 0, sizeof get.result.body);
        objstore_result_fini(&get.result);
    }
    objstore_result_fini(&list.result);
}

void flips_take(struct flips *f, struct nworld *w)
{
    struct taking t = {.f = f, .w = w, .fs = nworld_fs(w)};

    memset(f, 0, sizeof *f);
    assert_null(w->node);
    assert_int_equal(fs_list(t.fs, w->dir, see, &t, NULL), ST_OK);
    t.fs = fs_real();
    t.real = true;
    assert_int_equal(fs_list(t.fs, w->dir, see, &t, NULL), ST_OK);
    t.real = false;
    take_objects(&t);
}

void flips_note_before(struct flips *f, struct flips *before)
{
    for (size_t i = 0; i < before->count; i++) {
        struct flips_file *file = find(f, before->at[i].name, before->at[i].object);

        if (file == NULL || slice_equal(buf_slice(&file->bytes), buf_slice(&before->at[i].bytes)))
            continue;
        file->before = before->at[i].bytes;
        memset(&before->at[i].bytes, 0, sizeof before->at[i].bytes);
    }
}

void flips_free(struct flips *f)
{
    for (size_t i = 0; i < f->count; i++) {
        buf_free(&f->at[i].bytes);
        buf_free(&f->at[i].before);
    }
}

/* --- putting back --- */

static void put_file(struct nworld *w, const struct flips_file *file, struct slice bytes)
{
    struct fs *fs = file->real ? fs_real() : nworld_fs(w);
    struct fs_file *out = NULL;
    char path[FS_PATH_BYTES];
    char dir[FS_PATH_BYTES];

    (void)snprintf(path, sizeof path, "%s/%s", w->dir, file->name);
    (void)snprintf(dir, sizeof dir, "%s", path);
    *strrchr(dir, '/') = '\0';
    assert_int_equal(fs_mkdir_all(fs, dir, NULL), ST_OK);
    assert_int_equal(fs_open(fs, path, FS_WRITE | FS_CREATE, &out, NULL), ST_OK);
    if (bytes.bytes > 0)
        assert_int_equal(fs_pwrite(fs, out, bytes.data, bytes.bytes, 0, NULL), ST_OK);
    if (!file->real)
        assert_int_equal(fs_sync(fs, out, NULL), ST_OK);
    fs_close(fs, out);
}

static void put_object(struct nworld *w, const struct flips_file *file, struct slice bytes)
{
    struct objstore_req put = {
        .op = OBJSTORE_PUT, .pool = OBJSTORE_LOG, .key = file->name, .body = bytes};

    assert_int_equal(objstore_wait(w->bucket, &put, NULL), ST_OK);
    objstore_result_fini(&put.result);
}

void flips_put(const struct flips *f, struct nworld *w, const struct flips_trial *t, bool disk,
               bool bucket)
{
    for (size_t i = 0; i < f->count; i++) {
        const struct flips_file *file = &f->at[i];
        bool here = i == t->file;
        struct slice bytes = buf_slice(&file->bytes);
        uint8_t *bit = NULL;

        if (file->object ? !bucket : !disk)
            continue;
        if (here && t->change == FLIPS_GONE)
            continue;
        if (here && t->change == FLIPS_STALE)
            bytes = buf_slice(&file->before);
        if (here && t->change == FLIPS_CUT)
            bytes.bytes = (size_t)t->at;
        if (here && t->change == FLIPS_BIT) {
            bit = &file->bytes.data[t->at / 8];
            *bit ^= (uint8_t)(1u << (t->at % 8));
        }
        if (file->object)
            put_object(w, file, bytes);
        else
            put_file(w, file, bytes);
        if (bit != NULL)
            *bit ^= (uint8_t)(1u << (t->at % 8));
    }
}

void flips_tell(const struct flips *f, const struct flips_trial *t, char *out, size_t bytes)
{
    static const char *const names[] = {"bit", "cut at", "missing", "stale", "unchanged"};

    (void)snprintf(out, bytes, "%s of %zu bytes: %s %" PRIu64, f->at[t->file].name,
                   f->at[t->file].bytes.bytes, names[t->change], t->at);
}
