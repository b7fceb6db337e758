/* LMDB is met here alone. docs/formats/kv.md has the layout of a value and how the file is made. */
#include "base/kv_internal.h"

#include "base/crc32c.h"
#include "base/mem.h"

#include <assert.h>
#include <lmdb.h>
#include <stdio.h>

enum {
    KV_CRC_BYTES = 4,
    KV_MODE = 0640,
    KV_READERS_MAX = 512, /* threads inside kv_get and kv_each at one moment */
    KV_ROOM_PART = 4,     /* bytes_max / 4 beyond bytes_max is for removals */
    KV_BYTES_MIN = 256 * 1024,
};
static_assert(KV_CRC_BYTES == 4, "docs/formats/kv.md, value");

struct kv {
    /* Set by kv_open(), never changed after it. */
    MDB_env *env;
    MDB_dbi dbi;
    size_t page_bytes;
    size_t bytes_max;
    size_t damaged;          /* values that failed their checksum at open */
    char dir[FS_PATH_BYTES]; /* for error texts */
};

static status status_of_mdb(int code)
{
    switch (code) {
    case MDB_NOTFOUND:
        return ST_NOT_FOUND;
    case MDB_MAP_FULL:
        return ST_NOSPACE;
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_VERSION_MISMATCH:
    case MDB_CURSOR_FULL:
    case MDB_INCOMPATIBLE:
        return ST_CORRUPT;
    case MDB_READERS_FULL:
        return ST_UNAVAILABLE;
    default:
        return ST_IO;
    }
}

static status fail(struct err *err, int code, const char *what, const char *dir)
{
    if (code > 0)
        return err_set_errno(err, code, "%s: %s/data.mdb", what, dir);
    return err_set(err, status_of_mdb(code), "%s: %s/data.mdb: %s (lmdb %d)", what, dir,
                   mdb_strerror(code), code);
}

/* ---- opening ---- */

static size_t map_bytes(size_t bytes_max)
{
    return bytes_max + bytes_max / KV_ROOM_PART;
}

/* LMDB tells a new file from an old one by its length, so it goes first, and the room comes after
 * it has written its meta pages. */
static int write_meta_pages(const char *path)
{
    MDB_env *env = NULL;
    int code = mdb_env_create(&env);

    if (code == 0)
        code = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK, KV_MODE);
    if (env != NULL)
        mdb_env_close(env);
    return code;
}

static status allocate_file(const char *path, size_t bytes, struct err *err)
{
    struct fs *fs = fs_real();
    struct fs_file *file = NULL;
    status st = fs_open(fs, path, FS_READ | FS_WRITE, &file, err);

    if (st != ST_OK)
        return st;
    st = fs_allocate(fs, file, bytes, err);
    if (st == ST_OK)
        st = fs_sync(fs, file, err);
    fs_close(fs, file);
    return st;
}

static status make_file(const char *dir, const char *path, size_t bytes_max, struct err *err)
{
    struct fs *fs = fs_real();
    char temporary[FS_PATH_BYTES];
    int code;
    status st = fs_join(temporary, dir, "data.mdb.new", err);

    if (st != ST_OK)
        return st;
    (void)fs->unlink(fs, temporary, NULL); /* of a crash */
    code = write_meta_pages(temporary);
    st = code != 0 ? fail(err, code, "make", dir)
                   : allocate_file(temporary, map_bytes(bytes_max), err);
    if (st == ST_OK)
        st = fs_rename(fs, temporary, path, err);
    if (st == ST_OK)
        st = fs_sync_dir(fs, dir, err);
    if (st != ST_OK)
        (void)fs->unlink(fs, temporary, NULL);
    return st;
}

static status make_file_if_absent(const char *dir, size_t bytes_max, struct err *err)
{
    char path[FS_PATH_BYTES];
    struct fs_stat found;
    status st = fs_join(path, dir, "data.mdb", err);

    if (st != ST_OK)
        return st;
    st = fs_stat(fs_real(), path, &found, err);
    if (st == ST_NOT_FOUND)
        return make_file(dir, path, bytes_max, err);
    /* An empty file is one LMDB would take for new. */
    if (st == ST_OK && found.bytes == 0)
        return err_set(err, ST_CORRUPT, "%s is empty", path);
    return st;
}

static uint32_t checksum(struct slice key, struct slice value)
{
    return crc32c(crc32c(0, key.data, key.bytes), value.data, value.bytes);
}

struct tallying {
    size_t damaged;
};

static void tally(void *arg, struct slice key, struct slice stored)
{
    struct tallying *t = arg;
    struct slice value = {0};

    if (stored.bytes >= KV_CRC_BYTES)
        value = slice_make(stored.data + KV_CRC_BYTES, stored.bytes - KV_CRC_BYTES);
    if (stored.bytes < KV_CRC_BYTES || le_u32(stored.data) != checksum(key, value))
        t->damaged++;
}

static status read_used(const char *path, struct buf *out, struct err *err)
{
    struct fs *fs = fs_real();
    struct fs_file *file = NULL;
    uint64_t bytes = 0;
    size_t want;
    status st = fs_open(fs, path, FS_READ, &file, err);

    if (st == ST_OK)
        st = fs_size(fs, file, &bytes, err);
    want = bytes < KV_CHECK_BEGIN_BYTES ? (size_t)bytes : KV_CHECK_BEGIN_BYTES;
    for (int i = 0; i < 2 && st == ST_OK; i++) { /* the beginning says how much there is */
        buf_reset(out);
        if (!buf_reserve(out, want))
            st = buf_status(out, err);
        if (st == ST_OK)
            st = fs_pread_full(fs, file, out->data, want, 0, err);
        if (st == ST_OK)
            out->bytes = want;
        if (st == ST_OK && kv_check_bytes(buf_slice(out), bytes) <= want)
            break;
        if (st == ST_OK)
            want = kv_check_bytes(buf_slice(out), bytes);
    }
    fs_close(fs, file);
    return st;
}

/* LMDB trusts what it reads. */
static status check_pages(struct kv *kv, struct err *err)
{
    struct tallying t = {0};
    char path[FS_PATH_BYTES];
    struct buf used;
    status st = fs_join(path, kv->dir, "data.mdb", err);

    buf_init(&used, SIZE_MAX / 4);
    if (st == ST_OK)
        st = read_used(path, &used, err);
    if (st == ST_OK) {
        st = kv_check(buf_slice(&used), tally, &t, err);
        if (st != ST_OK)
            st = err_wrap(err, st, "%s", path);
    }
    buf_free(&used);
    kv->damaged = t.damaged;
    return st;
}

size_t kv_damaged(const struct kv *kv)
{
    return kv->damaged;
}

static int open_environment(struct kv *kv)
{
    int dead = 0;
    int code = mdb_env_create(&kv->env);

    if (code == 0)
        code = mdb_env_set_mapsize(kv->env, map_bytes(kv->bytes_max));
    if (code == 0)
        code = mdb_env_set_maxreaders(kv->env, KV_READERS_MAX);
    if (code == 0)
        code = mdb_env_open(kv->env, kv->dir, MDB_NOTLS, KV_MODE);
    if (code == 0)
        code = mdb_reader_check(kv->env, &dead);
    return code;
}

/* A page beyond the end of the file would be met as SIGBUS. */
static status check_length(struct kv *kv, struct err *err)
{
    char path[FS_PATH_BYTES];
    struct fs_stat found;
    MDB_envinfo info;
    MDB_stat stat;
    size_t wanted;
    int code = mdb_env_info(kv->env, &info);
    status st = fs_join(path, kv->dir, "data.mdb", err);

    if (code == 0)
        code = mdb_env_stat(kv->env, &stat);
    if (code != 0)
        return fail(err, code, "open", kv->dir);
    if (st == ST_OK)
        st = fs_stat(fs_real(), path, &found, err);
    if (st != ST_OK)
        return st;
    kv->page_bytes = stat.ms_psize;
    if (kv->page_bytes == 0 || !size_add(info.me_last_pgno, 1, &wanted) ||
        !size_mul(wanted, kv->page_bytes, &wanted) || wanted > found.bytes)
        return err_set(err, ST_CORRUPT, "%s is shorter than its pages: %llu bytes", path,
                       (unsigned long long)found.bytes);
    return found.bytes < map_bytes(kv->bytes_max)
               ? allocate_file(path, map_bytes(kv->bytes_max), err)
               : ST_OK;
}

static status open_database(struct kv *kv, struct err *err)
{
    MDB_txn *txn = NULL;
    int code = mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &txn);

    if (code == 0)
        code = mdb_dbi_open(txn, NULL, 0, &kv->dbi);
    if (txn != NULL) /* the handle of the unnamed database outlives the transaction */
        mdb_txn_abort(txn);
    return code != 0 ? fail(err, code, "open", kv->dir) : ST_OK;
}

static size_t whole_blocks(size_t bytes)
{
    return (bytes + KV_BYTES_MIN - 1) / KV_BYTES_MIN * KV_BYTES_MIN;
}

static status open_in(struct kv *kv, size_t bytes_max, struct err *err)
{
    int code;
    status st;

    if (bytes_max == 0 || bytes_max > SIZE_MAX / 4)
        return err_set(err, ST_INVALID, "open %s: a size of %zu bytes", kv->dir, bytes_max);
    kv->bytes_max = whole_blocks(bytes_max);
    st = fs_mkdir_all(fs_real(), kv->dir, err);
    if (st == ST_OK)
        st = make_file_if_absent(kv->dir, kv->bytes_max, err);
    if (st == ST_OK)
        st = check_pages(kv, err);
    if (st != ST_OK)
        return st;
    code = open_environment(kv);
    if (code != 0)
        return fail(err, code, "open", kv->dir);
    st = check_length(kv, err);
    return st != ST_OK ? st : open_database(kv, err);
}

status kv_open(const char *dir, size_t bytes_max, struct kv **out, struct err *err)
{
    struct kv *kv = mem_zero(sizeof *kv);
    status st;

    if (kv == NULL)
        return err_set(err, ST_NOMEM, "open %s: out of memory", dir);
    if (snprintf(kv->dir, sizeof kv->dir, "%s", dir) >= (int)sizeof kv->dir)
        st =
            err_set(err, ST_INVALID, "path longer than %d bytes: %.60s...", FS_PATH_BYTES - 1, dir);
    else
        st = open_in(kv, bytes_max, err);
    if (st != ST_OK) {
        kv_close(kv);
        return st;
    }
    *out = kv;
    return ST_OK;
}

void kv_close(struct kv *kv)
{
    if (kv == NULL)
        return;
    if (kv->env != NULL)
        mdb_env_close(kv->env);
    mem_free(kv);
}

/* ---- reading ---- */

static MDB_val val_of(struct slice s)
{
    /* LMDB does not write through it; its type just cannot say so. */
    return (MDB_val){.mv_size = s.bytes, .mv_data = (void *)(uintptr_t)s.data};
}

static status open_value(const struct kv *kv, struct slice key, const MDB_val *stored,
                         struct slice *out, struct err *err)
{
    struct slice value;

    if (stored->mv_size < KV_CRC_BYTES)
        return err_set(err, ST_CORRUPT, "%s/data.mdb: a value of %zu bytes", kv->dir,
                       stored->mv_size);
    value =
        slice_make((const uint8_t *)stored->mv_data + KV_CRC_BYTES, stored->mv_size - KV_CRC_BYTES);
    if (le_u32(stored->mv_data) != checksum(key, value))
        return err_set(err, ST_CORRUPT, "%s/data.mdb: value fails its crc, key of %zu bytes",
                       kv->dir, key.bytes);
    *out = value;
    return ST_OK;
}

static status check_key(struct slice key, struct err *err)
{
    if (key.bytes == 0 || key.bytes > KV_KEY_BYTES_MAX)
        return err_set(err, ST_INVALID, "a key of %zu bytes, 1 to %d are allowed", key.bytes,
                       KV_KEY_BYTES_MAX);
    return ST_OK;
}

static status get_in(struct kv *kv, MDB_txn *txn, struct slice key, struct buf *out,
                     struct err *err)
{
    MDB_val name = val_of(key);
    MDB_val stored;
    struct slice value;
    int code = mdb_get(txn, kv->dbi, &name, &stored);
    status st;

    if (code != 0)
        return fail(err, code, "get", kv->dir);
    st = open_value(kv, key, &stored, &value, err);
    if (st != ST_OK)
        return st;
    buf_put_slice(out, value);
    return buf_status(out, err);
}

status kv_get(struct kv *kv, struct slice key, struct buf *out, struct err *err)
{
    MDB_txn *txn = NULL;
    status st = check_key(key, err);
    int code;

    if (st != ST_OK)
        return st;
    code = mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &txn);
    if (code != 0)
        return fail(err, code, "read", kv->dir);
    st = get_in(kv, txn, key, out, err);
    mdb_txn_abort(txn);
    return st;
}

static status walk(struct kv *kv, MDB_cursor *cursor, struct slice prefix, bool over_damage,
                   kv_each_fn *fn, void *arg, struct err *err)
{
    MDB_val name = val_of(prefix);
    MDB_val stored;
    int code =
        mdb_cursor_get(cursor, &name, &stored, prefix.bytes == 0 ? MDB_FIRST : MDB_SET_RANGE);

    while (code == 0) {
        struct slice key = slice_make(name.mv_data, name.mv_size);
        struct slice value;
        status st;

        if (key.bytes < prefix.bytes ||
            (prefix.bytes > 0 && memcmp(key.data, prefix.data, prefix.bytes) != 0))
            return ST_OK;
        st = open_value(kv, key, &stored, &value, err);
        if (st == ST_CORRUPT && over_damage) {
            value = (struct slice){0};
            st = ST_OK;
        }
        if (st == ST_OK)
            st = fn(arg, key, value, err);
        if (st != ST_OK)
            return st;
        code = mdb_cursor_get(cursor, &name, &stored, MDB_NEXT);
    }
    return code == MDB_NOTFOUND ? ST_OK : fail(err, code, "walk", kv->dir);
}

static status each(struct kv *kv, struct slice prefix, bool over_damage, kv_each_fn *fn, void *arg,
                   struct err *err)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    status st = prefix.bytes == 0 ? ST_OK : check_key(prefix, err);
    int code;

    if (st != ST_OK)
        return st;
    code = mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &txn);
    if (code != 0)
        return fail(err, code, "read", kv->dir);
    code = mdb_cursor_open(txn, kv->dbi, &cursor);
    st = code != 0 ? fail(err, code, "walk", kv->dir)
                   : walk(kv, cursor, prefix, over_damage, fn, arg, err);
    if (cursor != NULL)
        mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return st;
}

status kv_each(struct kv *kv, struct slice prefix, kv_each_fn *fn, void *arg, struct err *err)
{
    return each(kv, prefix, false, fn, arg, err);
}

status kv_each_or_damaged(struct kv *kv, struct slice prefix, kv_each_fn *fn, void *arg,
                          struct err *err)
{
    return each(kv, prefix, true, fn, arg, err);
}

/* ---- writing ---- */

/* Pages that earlier transactions freed: each record of LMDB's own database 0 is a list of pages
 * with its length in front. */
static int count_free_pages(MDB_txn *txn, size_t *out)
{
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val list;
    size_t pages = 0;
    int code = mdb_cursor_open(txn, 0, &cursor);

    if (code != 0)
        return code;
    while ((code = mdb_cursor_get(cursor, &key, &list, MDB_NEXT)) == 0) {
        size_t length = 0;

        if (list.mv_size >= sizeof length)
            memcpy(&length, list.mv_data, sizeof length);
        pages += length;
    }
    mdb_cursor_close(cursor);
    *out = pages;
    return code == MDB_NOTFOUND ? 0 : code;
}

/* Room beyond bytes_max is for removals only. The free pages are counted only when the file has
 * once been full. LMDB shows them to reading transactions alone; nobody else writes meanwhile. */
static status check_room(struct kv *kv, struct err *err)
{
    MDB_txn *txn = NULL;
    MDB_envinfo info;
    size_t pages_max = kv->bytes_max / kv->page_bytes;
    size_t free_pages = 0;
    int code = mdb_env_info(kv->env, &info);

    if (code == 0 && info.me_last_pgno < pages_max)
        return ST_OK;
    if (code == 0)
        code = mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &txn);
    if (code == 0)
        code = count_free_pages(txn, &free_pages);
    if (txn != NULL)
        mdb_txn_abort(txn);
    if (code != 0)
        return fail(err, code, "write", kv->dir);
    if (info.me_last_pgno + 1 >= pages_max + free_pages)
        return err_set(err, ST_NOSPACE, "%s/data.mdb is full: %zu bytes", kv->dir, kv->bytes_max);
    return ST_OK;
}

static int put_one(struct kv *kv, MDB_txn *txn, const struct kv_write *write)
{
    MDB_val name = val_of(write->key);
    MDB_val stored = {.mv_size = write->value.bytes + KV_CRC_BYTES};
    int code = mdb_put(txn, kv->dbi, &name, &stored, MDB_RESERVE);

    if (code != 0)
        return code;
    le_put_u32(stored.mv_data, checksum(write->key, write->value));
    if (write->value.bytes > 0)
        memcpy((uint8_t *)stored.mv_data + KV_CRC_BYTES, write->value.data, write->value.bytes);
    return 0;
}

static int remove_one(struct kv *kv, MDB_txn *txn, struct slice key)
{
    MDB_val name = val_of(key);
    int code = mdb_del(txn, kv->dbi, &name, NULL);

    return code == MDB_NOTFOUND ? 0 : code;
}

static status apply_in(struct kv *kv, MDB_txn *txn, const struct kv_write *writes, size_t count,
                       struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        int code =
            writes[i].remove ? remove_one(kv, txn, writes[i].key) : put_one(kv, txn, &writes[i]);

        if (code != 0)
            return fail(err, code, "write", kv->dir);
    }
    return ST_OK;
}

static status check_writes(const struct kv *kv, const struct kv_write *writes, size_t count,
                           bool *puts, struct err *err)
{
    *puts = false;
    for (size_t i = 0; i < count; i++) {
        status st = check_key(writes[i].key, err);

        if (st != ST_OK)
            return st;
        if (writes[i].remove)
            continue;
        *puts = true;
        if (writes[i].value.bytes > kv->bytes_max)
            return err_set(err, ST_NOSPACE, "a value of %zu bytes, %s/data.mdb holds %zu",
                           writes[i].value.bytes, kv->dir, kv->bytes_max);
    }
    return ST_OK;
}

status kv_apply(struct kv *kv, const struct kv_write *writes, size_t count, struct err *err)
{
    MDB_txn *txn = NULL;
    bool puts;
    int code;
    status st = check_writes(kv, writes, count, &puts, err);

    if (st == ST_OK && puts)
        st = check_room(kv, err);
    if (st != ST_OK || count == 0)
        return st;
    code = mdb_txn_begin(kv->env, NULL, 0, &txn);
    if (code != 0)
        return fail(err, code, "write", kv->dir);
    st = apply_in(kv, txn, writes, count, err);
    if (st != ST_OK) {
        mdb_txn_abort(txn);
        return st;
    }
    code = mdb_txn_commit(txn); /* frees it either way */
    return code != 0 ? fail(err, code, "commit", kv->dir) : ST_OK;
}
