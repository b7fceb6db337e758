/* qdrant_snapshots.c - snapshots of a collection: listed, sent and deleted. They lie on this
 * machine's disk, and go with their collection. */
#include "api/qdrant_snapshot.h"

#include "api/download.h"
#include "api/qdrant_handlers.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PIECE_BYTES = 256 * 1024, STAMP_BYTES = 15 };

/* --- files --- */

status snapshot_place(const struct request *req, struct snapshot_place *out, struct err *err)
{
    return node_exports_dir(req->collection, &out->fs, out->dir, err);
}

bool snapshot_name_ok(struct slice name)
{
    size_t end = strlen(SNAPSHOT_SUFFIX);

    if (name.bytes <= end || name.bytes >= SNAPSHOT_NAME_BYTES || name.data[0] == '.' ||
        memcmp(name.data + name.bytes - end, SNAPSHOT_SUFFIX, end) != 0)
        return false;
    for (size_t i = 0; i < name.bytes; i++)
        if (name.data[i] < 0x20 || name.data[i] == 0x7F || name.data[i] == '/')
            return false;
    return true;
}

static bool is_hex(const char *text, size_t bytes)
{
    return strspn(text, "0123456789abcdef") >= bytes;
}

static status sum_path(const struct snapshot_place *place, const char *name,
                       char out[FS_PATH_BYTES], struct err *err)
{
    char file[SNAPSHOT_NAME_BYTES + sizeof SNAPSHOT_SUM_SUFFIX];

    (void)snprintf(file, sizeof file, "%s" SNAPSHOT_SUM_SUFFIX, name);
    return fs_join(out, place->dir, file, err);
}

/* What its maker said of it; false: nothing, or not that. */
static bool read_sum(const struct snapshot_place *place, const char *name,
                     char hex[CRYPTO_SHA256_HEX_BYTES])
{
    char path[FS_PATH_BYTES];
    struct buf text;
    bool known;

    buf_init(&text, 1024);
    known = sum_path(place, name, path, NULL) == ST_OK &&
            fs_read_file(place->fs, path, 1024, &text, NULL) == ST_OK &&
            text.bytes >= CRYPTO_SHA256_HEX_BYTES;
    if (known) {
        memcpy(hex, text.data, CRYPTO_SHA256_HEX_BYTES - 1);
        hex[CRYPTO_SHA256_HEX_BYTES - 1] = '\0';
        known = is_hex(hex, CRYPTO_SHA256_HEX_BYTES - 1);
    }
    buf_free(&text);
    return known;
}

/* -yyyymmddThhmmss.snapshot at the end of a name, as 2026-11-21T10:11:12. */
static bool time_of(const char *name, char out[20])
{
    static const char form[] = "-########T######";
    size_t behind = sizeof form - 1 + strlen(SNAPSHOT_SUFFIX);
    const char *at = name + strlen(name) - behind;

    if (strlen(name) <= behind)
        return false;
    for (size_t i = 0; form[i] != '\0'; i++)
        if (form[i] == '#' ? at[i] < '0' || at[i] > '9' : at[i] != form[i])
            return false;
    (void)snprintf(out, 20, "%.4s-%.2s-%.5s:%.2s:%.2s", at + 1, at + 5, at + 7, at + 12, at + 14);
    return true;
}

status snapshot_put(struct buf *out, const struct snapshot_place *place, const char *name,
                    struct err *err)
{
    char hex[CRYPTO_SHA256_HEX_BYTES];
    char path[FS_PATH_BYTES];
    struct fs_stat found;
    char time[20];
    status st = fs_join(path, place->dir, name, err);

    if (st == ST_OK)
        st = fs_stat(place->fs, path, &found, err);
    if (st == ST_OK && found.is_dir)
        st = err_set(err, ST_NOT_FOUND, "%s is a folder", path);
    if (st != ST_OK)
        return st;
    buf_put_text(out, "{");
    print_text(out, true, "name", name);
    print_text(out, false, "creation_time", time_of(name, time) ? time : NULL);
    print_u64(out, false, "size", found.bytes);
    print_text(out, false, "checksum", read_sum(place, name, hex) ? hex : NULL);
    buf_put_text(out, "}");
    return ST_OK;
}

void snapshot_not_found(struct request *req)
{
    struct slice key = req->match.params[1];

    qd_fail(req, 404, "Not found: Snapshot %.*s not found",
            (int)(key.bytes < 255 ? key.bytes : 255), (const char *)key.data);
}

/* --- on the disk, so among the slow tasks --- */

static task_state among_slow(struct request *req, task_fn *run)
{
    req->task.fair_key = collection_fair_key(req->collection);
    req->task.slow = true;
    req->task.run = run;
    return TASK_AGAIN;
}

static task_state failed(struct request *req, status st, const struct err *err)
{
    if (st == ST_NOT_FOUND)
        snapshot_not_found(req);
    else
        qd_fail_status(req, st, err);
    return TASK_DONE;
}

/* --- the list --- */

struct names {
    struct arena *arena;
    const char **items;
    size_t count, room;
};

static status collect(void *arg, const char *name, bool is_dir, struct err *err)
{
    struct names *n = arg;

    if (is_dir || !snapshot_name_ok(slice_text(name)))
        return ST_OK;
    if (n->count == n->room) {
        size_t room = n->room == 0 ? 16 : 2 * n->room;
        const char **items = arena_array(n->arena, room, sizeof *items);

        if (items == NULL)
            return err_set(err, ST_NOMEM, "out of memory for the list of snapshots");
        if (n->count > 0)
            memcpy(items, n->items, n->count * sizeof *items);
        n->items = items;
        n->room = room;
    }
    n->items[n->count] = arena_strndup(n->arena, name, strlen(name));
    return n->items[n->count++] != NULL
               ? ST_OK
               : err_set(err, ST_NOMEM, "out of memory for the list of snapshots");
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static status list(struct request *req, struct buf *out, struct err *err)
{
    struct names names = {.arena = &req->arena};
    struct snapshot_place place;
    bool first = true;
    status st = snapshot_place(req, &place, err);

    if (st == ST_OK)
        st = fs_list(place.fs, place.dir, collect, &names, err);
    if (st == ST_NOT_FOUND || st == ST_UNSUPPORTED) /* none was made yet */
        st = ST_OK;
    if (names.count > 1)
        qsort(names.items, names.count, sizeof *names.items, by_name);
    for (size_t i = 0; st == ST_OK && i < names.count; i++) {
        size_t before = out->bytes;

        buf_put_text(out, first ? "" : ",");
        st = snapshot_put(out, &place, names.items[i], err);
        if (st == ST_NOT_FOUND) { /* deleted meanwhile */
            out->bytes = before;
            st = ST_OK;
            continue;
        }
        first = false;
    }
    return st;
}

static task_state run_list(struct request *req)
{
    struct err err = {0};
    struct buf *out = qd_begin(req);
    status st;

    buf_put_text(out, "[");
    st = list(req, out, &err);
    if (st != ST_OK) {
        qd_fail_status(req, st, &err);
        return TASK_DONE;
    }
    buf_put_text(out, "]");
    qd_send(req);
    return TASK_DONE;
}

static task_state list_step(struct task *task)
{
    return request_slice(task, run_list);
}

task_state handle_qd_snapshots(struct request *req)
{
    return qd_collection(req) ? among_slow(req, list_step) : TASK_DONE;
}

/* --- one --- */

struct sending {
    struct snapshot_place place;
    char path[FS_PATH_BYTES], sum[FS_PATH_BYTES];
    uint64_t bytes, at; /* of the file, when it was first opened; sent */
    bool begun;
};

/* Its path; false when the request has been answered. */
static bool find(struct request *req, struct sending **out)
{
    struct sending *s = arena_zero(&req->arena, sizeof *s);
    char name[SNAPSHOT_NAME_BYTES];
    struct slice key = req->match.params[1];
    struct err err = {0};
    status st;

    if (s == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for this request");
        return false;
    }
    if (!qd_collection(req))
        return false;
    if (!snapshot_name_ok(key)) {
        snapshot_not_found(req);
        return false;
    }
    memcpy(name, key.data, key.bytes);
    name[key.bytes] = '\0';
    st = snapshot_place(req, &s->place, &err);
    if (st == ST_UNSUPPORTED)
        st = ST_NOT_FOUND;
    if (st == ST_OK)
        st = fs_join(s->path, s->place.dir, name, &err);
    if (st == ST_OK)
        st = sum_path(&s->place, name, s->sum, &err);
    if (st != ST_OK) {
        (void)failed(req, st, &err);
        return false;
    }
    req->state = s;
    *out = s;
    return true;
}

/* Opened for each piece: a client that reads slowly holds no file, and one that is deleted
 * meanwhile ends the answer. */
static status read_piece(struct request *req, struct sending *s, bool *last, struct err *err)
{
    struct fs_file *file = NULL;
    uint64_t bytes = 0;
    size_t wanted;
    status st = fs_open(s->place.fs, s->path, FS_READ, &file, err);

    if (st != ST_OK)
        return st;
    st = fs_size(s->place.fs, file, &bytes, err);
    if (st == ST_OK && !s->begun)
        s->bytes = bytes;
    else if (st == ST_OK && bytes != s->bytes)
        st = err_set(err, ST_CORRUPT, "%s changed while it was sent", s->path);
    s->begun = true;
    wanted = s->bytes - s->at < PIECE_BYTES ? (size_t)(s->bytes - s->at) : PIECE_BYTES;
    if (st == ST_OK && !buf_reserve(&req->out, wanted))
        st = err_set(err, ST_NOMEM, "out of memory for a piece of a snapshot");
    if (st == ST_OK)
        st = fs_pread_full(s->place.fs, file, req->out.data + req->out.bytes, wanted, s->at, err);
    fs_close(s->place.fs, file);
    if (st != ST_OK)
        return st;
    req->out.bytes += wanted;
    s->at += wanted;
    *last = s->at == s->bytes;
    return ST_OK;
}

static task_state send_piece(struct request *req)
{
    struct sending *s = req->state;
    struct err err = {0};
    bool last = false;
    status st;

    if (atomic_load_explicit(&req->gone, memory_order_relaxed)) {
        reply_send(req, HTTP_CLIENT_GONE);
        return TASK_DONE;
    }
    st = read_piece(req, s, &last, &err);
    if (st == ST_OK && req->method == METHOD_HEAD) {
        buf_reset(&req->out);
        reply_piece(req, true);
    } else if (st == ST_OK) {
        reply_piece(req, last);
    } else if (req->download->begun) {
        reply_cut(req, &err);
    } else {
        req->content_type = NULL;
        (void)failed(req, st, &err);
    }
    return TASK_DONE;
}

static task_state send_step(struct task *task)
{
    return request_slice(task, send_piece);
}

task_state handle_qd_snapshot(struct request *req)
{
    struct download *d = arena_zero(&req->arena, sizeof *d);
    struct sending *s;

    if (d == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for this request");
        return TASK_DONE;
    }
    if (!find(req, &s))
        return TASK_DONE;
    if (req->version_1_0) {
        reply_problem(req, PROBLEM_INVALID,
                      "a snapshot is sent in chunks, which HTTP/1.0 does not know: ask in "
                      "HTTP/1.1");
        return TASK_DONE;
    }
    req->content_type = "application/octet-stream";
    req->download = d;
    return among_slow(req, send_step);
}

static task_state run_drop(struct request *req)
{
    struct sending *s = req->state;
    struct err err = {0};
    status st = fs_unlink(s->place.fs, s->path, &err);

    if (st == ST_OK) {
        (void)s->place.fs->unlink(s->place.fs, s->sum,
                                  NULL); /* else the next that is made removes it */
        st = fs_sync_dir(s->place.fs, s->place.dir, &err);
    }
    if (st != ST_OK)
        return failed(req, st, &err);
    log_info("a snapshot was deleted", "path=%s", s->path);
    qd_send_true(req);
    return TASK_DONE;
}

static task_state drop_step(struct task *task)
{
    return request_slice(task, run_drop);
}

task_state handle_qd_snapshot_drop(struct request *req)
{
    struct qd_terms terms;
    struct sending *s;

    return qd_terms(req, &terms) && find(req, &s) ? among_slow(req, drop_step) : TASK_DONE;
}
