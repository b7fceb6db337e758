/* qdrant_snapshot_make.c - makes a snapshot: a head that says how the collection is made, its
 * documents as an export has them, and an end.
 *
 * It goes on to its end though nobody waits any more: a client whose time was short finds the file
 * in the list. What ends it is the node shutting down, and a disk with less room than the node
 * keeps for itself. Each slice is one page, among the slow tasks, for it writes and syncs. */
#include "api/export.h"
#include "api/qdrant_config.h"
#include "api/qdrant_handlers.h"
#include "api/qdrant_snapshot.h"

#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    SAFE_NAME_BYTES = 120,
    SYNC_BYTES = 32 * 1024 * 1024,  /* so that the last sync is short */
    SPARE_BYTES = 64 * 1024 * 1024, /* stay free for the log */
    ID_BYTES = 40,
};

/* --- one at a time --- */

struct making {
    struct making *next; /* guarded by the lock of all */
    char id[ID_BYTES];
    struct snapshot_place place;
    char name[SNAPSHOT_NAME_BYTES];
    char path[FS_PATH_BYTES], temporary[FS_PATH_BYTES];
    struct fs_file *file; /* NULL: not begun */
    struct crypto_sum *sum;
    struct buf text; /* not written yet */
    uint64_t bytes, synced;
    struct export pages;
};

struct snapshots {
    struct {              /* guarded by lock */
        struct lock lock; /* LOCK_RANK_LEAF */
        struct making *first;
    } shared;
};

struct snapshots *snapshots_create(void)
{
    struct snapshots *all = mem_zero(sizeof *all);

    if (all != NULL)
        lock_init(&all->shared.lock, LOCK_RANK_LEAF, "snapshots");
    return all;
}

void snapshots_destroy(struct snapshots *all)
{
    if (all == NULL)
        return;
    lock_fini(&all->shared.lock);
    mem_free(all);
}

static bool begin(struct snapshots *all, struct making *m)
{
    bool busy = false;

    lock_take(&all->shared.lock);
    for (const struct making *o = all->shared.first; o != NULL; o = o->next)
        busy = busy || strcmp(o->id, m->id) == 0;
    if (!busy) {
        m->next = all->shared.first;
        all->shared.first = m;
    }
    lock_drop(&all->shared.lock);
    return !busy;
}

static void end(struct snapshots *all, struct making *m)
{
    struct making **at = &all->shared.first;

    lock_take(&all->shared.lock);
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    lock_drop(&all->shared.lock);
}

/* --- its name --- */

/* yyyymmddThhmmss */
static void put_stamp(uint64_t wall_ns, char out[16])
{
    static const uint8_t from[] = {0, 1, 2, 3, 5, 6, 8, 9, 10, 11, 12, 14, 15, 17, 18};
    char text[CLOCK_TEXT_BYTES];

    clock_format_rfc3339(wall_ns, text);
    for (size_t i = 0; i < sizeof from; i++)
        out[i] = text[from[i]];
    out[sizeof from] = '\0';
}

/* What every shell, URL and file system takes as it stands. */
static void put_safe(const char *name, char out[SAFE_NAME_BYTES + 1])
{
    static const char fine[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    size_t n = 0;

    for (; n < SAFE_NAME_BYTES && name[n] != '\0'; n++)
        out[n] = strchr(fine, name[n]) == NULL || (n == 0 && name[n] == '.') ? '_' : name[n];
    out[n] = '\0';
}

/* One that is not there yet: a second later, if two are made in one. */
static status choose_name(struct making *m, const struct collection_info *info, uint64_t wall_ns,
                          struct err *err)
{
    char safe[SAFE_NAME_BYTES + 1];
    struct fs_stat found;
    char stamp[16];
    status st;
    int n;

    put_safe(info->name, safe);
    do {
        put_stamp(wall_ns, stamp);
        (void)snprintf(m->name, sizeof m->name, "%s-%" PRIu64 "-%s" SNAPSHOT_SUFFIX, safe,
                       info->last_lsn, stamp);
        st = fs_join(m->path, m->place.dir, m->name, err);
        wall_ns += 1000000000u;
    } while (st == ST_OK && fs_stat(m->place.fs, m->path, &found, NULL) == ST_OK);
    n = snprintf(m->temporary, sizeof m->temporary, "%s.tmp", m->path);
    if (st == ST_OK && (n < 0 || n >= (int)sizeof m->temporary))
        st = err_set(err, ST_INVALID, "path longer than %d bytes: %.60s...", FS_PATH_BYTES - 5,
                     m->path);
    return st;
}

/* --- what a crash left --- */

static bool ends_in(const char *name, const char *end_text)
{
    size_t bytes = strlen(name);
    size_t end_bytes = strlen(end_text);

    return bytes >= end_bytes && strcmp(name + bytes - end_bytes, end_text) == 0;
}

static status remove_leftover(void *arg, const char *name, bool is_dir, struct err *err)
{
    const struct snapshot_place *place = arg;
    char path[FS_PATH_BYTES];
    struct fs_stat found;
    bool stale = ends_in(name, SNAPSHOT_SUFFIX ".tmp") ||
                 ends_in(name, SNAPSHOT_SUFFIX SNAPSHOT_SUM_SUFFIX ".tmp");

    if (is_dir || fs_join(path, place->dir, name, err) != ST_OK)
        return ST_OK;
    if (!stale && ends_in(name, SNAPSHOT_SUFFIX SNAPSHOT_SUM_SUFFIX)) {
        path[strlen(path) - strlen(SNAPSHOT_SUM_SUFFIX)] = '\0';
        stale = fs_stat(place->fs, path, &found, NULL) == ST_NOT_FOUND;
        path[strlen(path)] = SNAPSHOT_SUM_SUFFIX[0];
    }
    return stale ? fs_unlink(place->fs, path, err) : ST_OK;
}

/* --- the head --- */

static void put_head(struct buf *out, struct request *req, const struct collection_info *info,
                     uint64_t wall_ns)
{
    buf_put_text(out, "{");
    print_u64(out, true, "tiervec_snapshot", SNAPSHOT_VERSION);
    print_text(out, false, "collection", info->name);
    print_time(out, false, "created_at", wall_ns);
    print_u64(out, false, "last_lsn", info->last_lsn);
    print_bool(out, "string_ids", node_string_ids(req->collection));
}

static void put_indexes(struct buf *out, const struct index_info *indexes, size_t count)
{
    print_key(out, false, "indexes");
    buf_put_text(out, "{");
    for (size_t i = 0; i < count; i++) {
        buf_put_text(out, i == 0 ? "" : ",");
        json_put_string(out, indexes[i].path);
        buf_put_text(out, ":");
        if (indexes[i].schema.bytes > 0)
            buf_put_slice(out, indexes[i].schema);
        else
            json_put_string(out, slice_text(pindex_type_name(indexes[i].type)));
    }
    buf_put_text(out, "}");
}

static status stored_of(struct request *req, struct jval *stored, struct err *err)
{
    struct slice text = {0};
    status st = node_setting(req->collection, QD_SETTING, &req->arena, &text, err);

    if (st == ST_NOT_FOUND || (st == ST_OK && text.bytes == 0)) {
        text = slice_text("{}");
        st = ST_OK;
    }
    return st == ST_OK ? request_json_text(req, text, stored, err) : st;
}

static status print_head(struct request *req, struct making *m, const struct collection_info *info,
                         uint64_t wall_ns, struct err *err)
{
    struct index_info *indexes = NULL;
    struct jval stored;
    size_t count = 0;
    status st = node_index_list(req->collection, &req->arena, &indexes, &count, err);

    if (st == ST_OK)
        st = stored_of(req, &stored, err);
    if (st != ST_OK)
        return st;
    put_head(&m->text, req, info, wall_ns);
    print_key(&m->text, false, "config");
    if (!qd_print_create(&m->text, req, stored))
        st = err_set(err, ST_NOMEM, "out of memory for a snapshot");
    put_indexes(&m->text, indexes, count);
    buf_put_text(&m->text, "}\n");
    request_json_done(req);
    return st;
}

/* --- steps --- */

static status no_room(const struct making *m, struct err *err)
{
    return err_set(err, ST_NOSPACE,
                   "no room for a snapshot in %s: %" PRIu64
                   " bytes of it were written, and %d bytes "
                   "stay free for the log; delete snapshots or make room",
                   m->place.dir, m->bytes, (int)SPARE_BYTES);
}

static status flush(struct making *m, struct err *err)
{
    struct fs_space space = {0};
    status st = buf_status(&m->text, err);

    if (st == ST_OK)
        st = fs_space(m->place.fs, m->place.dir, &space, err);
    if (st == ST_OK && space.bytes_free < SPARE_BYTES + (uint64_t)m->text.bytes)
        return no_room(m, err);
    if (st == ST_OK)
        st = crypto_sum_add(m->sum, buf_slice(&m->text), err);
    if (st == ST_OK)
        st = fs_pwrite(m->place.fs, m->file, m->text.data, m->text.bytes, m->bytes, err);
    if (st == ST_OK) {
        m->bytes += m->text.bytes;
        buf_reset(&m->text);
    }
    if (st == ST_OK && m->bytes - m->synced >= SYNC_BYTES) {
        m->synced = m->bytes;
        st = fs_sync(m->place.fs, m->file, err);
    }
    return st == ST_NOSPACE ? no_room(m, err) : st;
}

static status open_file(struct request *req, struct making *m, struct err *err)
{
    uint64_t wall_ns = clock_wall_ns(req->api->options.clock);
    struct collection_info info;
    status st;

    node_collection_info(req->collection, &info);
    st = snapshot_place(req, &m->place, err);
    if (st == ST_OK)
        st = print_head(req, m, &info, wall_ns, err);
    if (st == ST_OK)
        st = fs_mkdir_all(m->place.fs, m->place.dir, err);
    if (st == ST_OK)
        st = fs_list(m->place.fs, m->place.dir, remove_leftover, &m->place, err);
    if (st == ST_OK)
        st = choose_name(m, &info, wall_ns, err);
    if (st == ST_OK)
        st = crypto_sum_create(&m->sum, err);
    if (st == ST_OK)
        st = fs_open(m->place.fs, m->temporary, FS_WRITE | FS_CREATE | FS_TRUNCATE, &m->file, err);
    if (st == ST_NOSPACE)
        st = no_room(m, err);
    return st;
}

/* "<hex>  <name>", as sha256sum -c reads it. */
static status write_sum(struct making *m, struct err *err)
{
    char line[CRYPTO_SHA256_HEX_BYTES + SNAPSHOT_NAME_BYTES + 4];
    char hex[CRYPTO_SHA256_HEX_BYTES];
    char path[FS_PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s" SNAPSHOT_SUM_SUFFIX, m->path);
    status st = crypto_sum_hex(m->sum, hex, err);

    if (st != ST_OK)
        return st;
    if (n < 0 || n >= (int)sizeof path)
        return err_set(err, ST_INVALID, "path too long: %.60s...", m->path);
    (void)snprintf(line, sizeof line, "%s  %s\n", hex, m->name);
    return fs_write_file(m->place.fs, path, slice_text(line), err);
}

static status finish(struct making *m, struct err *err)
{
    status st;

    buf_printf(&m->text, "{\"tiervec_snapshot_end\":true,\"documents\":%" PRIu64 "}\n",
               m->pages.printed);
    st = flush(m, err);
    if (st == ST_OK)
        st = fs_sync(m->place.fs, m->file, err);
    if (st == ST_OK)
        st = write_sum(m, err);
    if (st == ST_OK)
        st = fs_rename(m->place.fs, m->temporary, m->path, err);
    if (st == ST_OK)
        st = fs_sync_dir(m->place.fs, m->place.dir, err);
    return st == ST_NOSPACE ? no_room(m, err) : st;
}

/* A drop removes the folder behind its collection; when that is no more, the folder may be ours
 * again. */
static bool is_dropped(const struct request *req, const struct making *m)
{
    struct collection *c = node_collection_pin(req->api->options.node, m->id, strlen(m->id));

    if (c == NULL)
        return true;
    node_collection_unpin(c);
    return false;
}

static void leave(struct request *req, struct making *m, status st)
{
    if (m->file != NULL) {
        fs_close(m->place.fs, m->file);
        if (st != ST_OK)
            (void)m->place.fs->unlink(m->place.fs, m->temporary,
                                      NULL); /* else the next one removes it */
    }
    if (m->file != NULL && is_dropped(req, m) &&
        fs_remove_all(m->place.fs, m->place.dir, NULL) != ST_OK)
        log_warn("a snapshot of a dropped collection stays", "folder=%s", m->place.dir);
    crypto_sum_destroy(m->sum);
    buf_free(&m->text);
    end(req->api->snapshots, m);
}

static task_state fail(struct request *req, struct making *m, status st, const struct err *err)
{
    bool draining = atomic_load_explicit(&req->api->draining, memory_order_relaxed);

    log_warn("a snapshot was not made", "bytes=%" PRIu64 " err=%s", m->bytes,
             draining ? "the node is shutting down" : err->text);
    leave(req, m, st);
    if (draining)
        reply_problem(req, PROBLEM_DRAINING, "this node is shutting down");
    else
        qd_fail_status(req, st, err);
    return TASK_DONE;
}

static task_state done(struct request *req, struct making *m)
{
    struct err err = {0};
    status st = is_dropped(req, m)
                    ? err_set(&err, ST_NOT_FOUND, "the collection was dropped meanwhile")
                    : snapshot_put(qd_begin(req), &m->place, m->name, &err);

    if (st != ST_OK)
        return fail(req, m, st, &err);
    log_info("a snapshot was made", "name=%s documents=%" PRIu64 " bytes=%" PRIu64, m->name,
             m->pages.printed, m->bytes);
    leave(req, m, ST_OK);
    qd_send(req);
    return TASK_DONE;
}

static task_state go_on(struct request *req)
{
    struct making *m = req->state;
    struct err err = {0};
    bool last = false;
    status st = ST_OK;

    if (atomic_load_explicit(&req->api->draining, memory_order_relaxed))
        st = err_set(&err, ST_CLOSED, "this node is shutting down");
    if (st == ST_OK && m->file == NULL)
        st = open_file(req, m, &err);
    if (st == ST_OK)
        st = export_page(&m->pages, &m->text, &last, &err);
    if (st == ST_OK)
        st = last ? finish(m, &err) : flush(m, &err);
    if (st != ST_OK)
        return fail(req, m, st, &err);
    return last ? done(req, m) : TASK_AGAIN;
}

static task_state step(struct task *task)
{
    return request_slice(task, go_on);
}

task_state handle_qd_snapshot_create(struct request *req)
{
    struct making *m = arena_zero(&req->arena, sizeof *m);
    struct collection_info info;
    struct qd_terms terms;

    if (m == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for a snapshot");
        return TASK_DONE;
    }
    if (!qd_terms(req, &terms) || !qd_collection(req))
        return TASK_DONE;
    (void)snprintf(m->id, sizeof m->id, "%s", collection_id_text(req->collection));
    if (!begin(req->api->snapshots, m)) {
        node_collection_info(req->collection, &info);
        qd_fail(req, 409, "Wrong input: a snapshot of `%s` is being made", info.name);
        return TASK_DONE;
    }
    buf_init(&m->text, REPLY_BYTES_MAX);
    export_begin(&m->pages, req->collection);
    m->pages.limits.stop = &req->api->draining;
    req->state = m;
    req->task.fair_key = collection_fair_key(req->collection);
    req->task.slow = true;
    req->task.run = step;
    return TASK_AGAIN;
}
