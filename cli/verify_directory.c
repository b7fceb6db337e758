/* verify_directory.c - a data directory read whole: catalog, checkpoints, logs, dead letters.
 * Nothing in it is changed. */
#include "cli/verify.h"

#include "base/mem.h"
#include "dlq/dlq.h"
#include "segment/catalog.h"
#include "segment/record.h"
#include "snapshot/checkpoint.h"
#include "wal/wal.h"

#include <inttypes.h>

enum {
    LETTER_PAGE = 64,
    KV_READ_BYTES = 64 * 1024, /* a store that is there keeps its size */
};

struct place { /* one directory under check */
    struct verify *v;
    struct fs *fs;
    const char *data_dir;
    char wal_dir[FS_PATH_BYTES], snapshot_dir[FS_PATH_BYTES];
    struct wal_engine *engine;
    struct catalog catalog;
};

/* --- one log --- */

struct log_check {
    uint64_t first_lsn;
};

/* Every item of a record, as a replay would read it. */
static status check_record(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct log_check *check = arg;
    struct slice key;
    struct slice value;
    struct record_row row;
    struct docid id;
    struct record r;
    status st = record_open(payload, &r, err);

    if (check->first_lsn == 0)
        check->first_lsn = lsn;
    while (st == ST_OK) {
        if (r.kind == RECORD_UPSERT)
            st = record_next_row(&r, &row, err);
        else if (r.kind == RECORD_DELETE)
            st = record_next_id(&r, &id, err);
        else
            st = record_next_setting(&r, &key, &value, err);
    }
    return st == ST_NOT_FOUND ? ST_OK : err_wrap(err, st, "record of lsn %" PRIu64, lsn);
}

static status see_file(void *arg, const char *name, bool is_dir, struct err *err)
{
    (void)name;
    (void)err;
    *(bool *)arg = *(bool *)arg || !is_dir;
    return ST_OK;
}

/* False when there is nothing to open; then it has been told. */
static bool log_is_there(struct place *p, const struct catalog_collection *c, const char *dir)
{
    bool any = false;
    struct err err = {0};
    status st = fs_list(p->fs, dir, see_file, &any, &err);

    if (st == ST_OK && any)
        return true;
    if (st != ST_OK && st != ST_NOT_FOUND)
        verify_failure(p->v, c->name, "log", st, &err);
    else if (c->policy != POLICY_MEMORY)
        verify_found(p->v, VERIFY_NOTE, c->name, "log",
                     "nothing in %s: the collection comes back from the bucket", dir);
    else
        verify_found(p->v, VERIFY_DAMAGED, c->name, "log", "there is nothing in %s", dir);
    return false;
}

static void told_log(struct place *p, const struct catalog_collection *c,
                     const struct wal_report *report, const struct log_check *check,
                     const struct checkpoint_info *checkpoint)
{
    if (report->corrupt)
        verify_found(p->v, VERIFY_DAMAGED, c->name, "log", "whole up to lsn %" PRIu64 ": %s",
                     report->last_lsn, report->text);
    else if (checkpoint->start_lsn == 0 && check->first_lsn > 1 && c->policy == POLICY_MEMORY)
        verify_found(p->v, VERIFY_DAMAGED, c->name, "log",
                     "begins with lsn %" PRIu64 ", and no whole checkpoint has what came before",
                     check->first_lsn);
    else
        verify_found(p->v, report->torn ? VERIFY_NOTE : VERIFY_OK, c->name, "log",
                     "up to lsn %" PRIu64 ", %" PRIu64 " records behind the checkpoint, %" PRIu64
                     " bytes%s%s",
                     report->last_lsn, report->records, report->bytes,
                     report->torn ? "; a torn tail, as a crash leaves it: " : "",
                     report->torn ? report->text : "");
}

static void check_log(struct place *p, const struct catalog_collection *c, const char *dir,
                      const struct checkpoint_info *checkpoint)
{
    struct log_check check = {0};
    struct wal_options options = {
        .engine = p->engine,
        .dir = dir,
        .replay_from = checkpoint->start_lsn == 0 ? 0 : checkpoint->start_lsn + 1,
        .expect_lsn = checkpoint->lsn_max,
        .replay = check_record,
        .replay_arg = &check,
        .read_only = true,
    };
    struct wal_report report = {0};
    struct wal *wal = NULL;
    struct err err = {0};
    status st;

    if (!log_is_there(p, c, dir))
        return;
    memcpy(options.log_id, c->id, sizeof options.log_id);
    st = wal_open(&options, &wal, &report, &err);
    if (st != ST_OK)
        verify_failure(p->v, c->name, "log", st, &err);
    else
        told_log(p, c, &report, &check, checkpoint);
    wal_close(wal);
}

/* --- one collection --- */

static void check_collection(struct place *p, const struct catalog_collection *c)
{
    char id[UUID_TEXT_BYTES];
    char wal_dir[FS_PATH_BYTES];
    char snapshot_dir[FS_PATH_BYTES];
    struct checkpoint_info info = {0};
    struct err err = {0};
    status st;

    uuid_format(c->id, id);
    st = fs_join(wal_dir, p->wal_dir, id, &err);
    if (st == ST_OK)
        st = fs_join(snapshot_dir, p->snapshot_dir, id, &err);
    if (st == ST_OK)
        st = checkpoint_verify(p->fs, snapshot_dir, c->id, &info, &err);
    if (st == ST_OK)
        verify_found(p->v, VERIFY_OK, c->name, "checkpoint",
                     "at lsn %" PRIu64 ", %" PRIu32 " documents, %" PRIu64 " bytes", info.start_lsn,
                     info.rows, info.bytes_total);
    else if (st != ST_NOT_FOUND)
        verify_failure(p->v, c->name, "checkpoint", st, &err);
    if (st != ST_OK)
        info = (struct checkpoint_info){0};
    check_log(p, c, wal_dir, &info);
}

/* --- letters --- */

static void check_letter_file(struct place *p, const struct letter *l)
{
    char path[FS_PATH_BYTES];
    struct fs_stat found;
    struct err err = {0};
    status st;

    if (l->file[0] == '\0')
        return;
    st = fs_join(path, p->data_dir, l->file, &err);
    if (st == ST_OK)
        st = fs_stat(p->fs, path, &found, &err);
    if (st == ST_NOT_FOUND)
        verify_found(p->v, VERIFY_DAMAGED, path, "dead letter",
                     "letter %" PRIu64 " names this file, and it is gone", l->id);
    else if (st != ST_OK)
        verify_failure(p->v, path, "dead letter", st, &err);
}

static void check_table(struct place *p, const char *dir, struct dlq *dlq, size_t damaged)
{
    struct letter *page = mem_alloc_array(LETTER_PAGE, sizeof *page);
    uint64_t after = 0;
    size_t total = 0;
    size_t count = page == NULL ? 0 : LETTER_PAGE;

    while (count == LETTER_PAGE) {
        count = dlq_list(dlq, &(struct dlq_filter){0}, after, page, LETTER_PAGE, &total);
        for (size_t i = 0; i < count; i++)
            check_letter_file(p, &page[i]);
        if (count > 0)
            after = page[count - 1].id;
    }
    if (page == NULL)
        verify_found(p->v, VERIFY_FAILED, dir, "dead letters", "out of memory");
    else if (damaged > 0)
        verify_found(p->v, VERIFY_DAMAGED, dir, "dead letters", "%zu of %zu cannot be read",
                     damaged, damaged + total);
    else
        verify_found(p->v, total > 0 ? VERIFY_NOTE : VERIFY_OK, dir, "dead letters", "%zu", total);
    mem_free(page);
}

static void check_letters(struct place *p)
{
    char dir[FS_PATH_BYTES];
    char file[FS_PATH_BYTES];
    struct dlq_options options = {0};
    struct dlq *dlq = NULL;
    struct kv *kv = NULL;
    struct fs_stat found;
    struct err err = {0};
    size_t damaged = 0;
    status st = fs_join(dir, p->data_dir, "meta", &err);

    if (st == ST_OK)
        st = fs_join(file, dir, "data.mdb", &err);
    if (st == ST_OK)
        st = fs_stat(p->fs, file, &found, &err);
    if (st == ST_NOT_FOUND)
        return; /* kv_open() would make it */
    if (st == ST_OK)
        st = kv_open(dir, KV_READ_BYTES, &kv, &err);
    options.kv = kv;
    if (st == ST_OK)
        st = dlq_open(&options, &dlq, &damaged, &err);
    if (st != ST_OK)
        verify_failure(p->v, dir, "dead letters", st, &err);
    else
        check_table(p, dir, dlq, damaged);
    dlq_close(dlq);
    kv_close(kv);
}

/* --- the directory --- */

/* A node that runs there changes what is being read. */
static status take_lock(struct place *p, struct fs_file **out, struct err *err)
{
    char path[FS_PATH_BYTES];
    status st = fs_join(path, p->data_dir, "lock", err);

    if (st == ST_OK)
        st = fs_open(p->fs, path, FS_READ | FS_WRITE, out, err);
    if (st == ST_NOT_FOUND)
        return err_set(err, ST_NOT_FOUND, "%s is no data directory of tiervec", p->data_dir);
    if (st == ST_OK)
        st = fs_lock(p->fs, *out, err);
    if (st == ST_CONFLICT)
        return err_set(err, ST_CONFLICT, "a node runs on %s; stop it, or verify its bucket",
                       p->data_dir);
    return st;
}

static status read_catalog(struct place *p, struct err *err)
{
    char path[FS_PATH_BYTES];
    struct buf bytes;
    status st = fs_join(path, p->data_dir, "catalog", err);

    buf_init(&bytes, CATALOG_BYTES_MAX);
    if (st == ST_OK)
        st = fs_read_file(p->fs, path, CATALOG_BYTES_MAX, &bytes, err);
    if (st == ST_OK)
        st = catalog_decode(buf_slice(&bytes), &p->catalog, err);
    buf_free(&bytes);
    return st;
}

static void check_all(struct place *p)
{
    struct err err = {0};
    status st = read_catalog(p, &err);

    if (st != ST_OK) {
        verify_failure(p->v, p->data_dir, "catalog", st, &err);
        return;
    }
    verify_found(p->v, VERIFY_OK, p->data_dir, "catalog", "%zu collections",
                 p->catalog.collection_count);
    for (size_t i = 0; i < p->catalog.collection_count; i++)
        check_collection(p, &p->catalog.collections[i]);
    catalog_free(&p->catalog);
    check_letters(p);
}

static status name_folder(char out[FS_PATH_BYTES], const char *said, const char *data_dir,
                          const char *name, struct err *err)
{
    if (said[0] == '\0')
        return fs_join(out, data_dir, name, err);
    if (strlen(said) >= FS_PATH_BYTES)
        return err_set(err, ST_INVALID, "a path is longer than %d bytes", FS_PATH_BYTES - 1);
    memcpy(out, said, strlen(said) + 1);
    return ST_OK;
}

void verify_directory(struct verify *v, const struct config *c)
{
    struct place p = {.v = v, .fs = fs_real(), .data_dir = c->database.data_dir};
    const struct wal_engine_options engine = {
        .fs = p.fs, .clock = clock_real(), .rand = rand_kernel()};
    struct fs_file *lock = NULL;
    struct err err = {0};
    status st = take_lock(&p, &lock, &err);

    if (st == ST_OK)
        st = name_folder(p.wal_dir, c->storage.wal_path, p.data_dir, "wal", &err);
    if (st == ST_OK)
        st = name_folder(p.snapshot_dir, c->storage.snapshot_dir, p.data_dir, "snapshots", &err);
    if (st == ST_OK)
        st = wal_engine_open(&engine, &p.engine, &err);
    if (st == ST_OK)
        check_all(&p);
    else
        verify_failure(v, p.data_dir, "directory", st, &err);
    wal_engine_close(p.engine);
    fs_close(p.fs, lock);
}
