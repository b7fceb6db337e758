/* qdrant_snapshots.c - snapshots, mapped on the node's own: taking one writes a checkpoint, and for
 * a bucket-backed collection publishes it. The newest is the one there is: it is listed, and goes
 * when the next is taken. */
#include "api/qdrant_handlers.h"

#include "node/bucket.h"

#include <inttypes.h>
#include <stdio.h>

enum { SNAPSHOT_NAME_BYTES = 320 };

/* 2026-11-21T10:11:12, as the dialect writes times. */
static void put_time(struct buf *out, uint64_t wall_ns)
{
    char text[CLOCK_TEXT_BYTES];

    clock_format_rfc3339(wall_ns, text);
    text[19] = '\0';
    print_text(out, false, "creation_time", wall_ns == 0 ? NULL : text);
}

static void put_name(const struct collection_info *info, char out[SNAPSHOT_NAME_BYTES])
{
    (void)snprintf(out, SNAPSHOT_NAME_BYTES, "%s-%" PRIu64 ".snapshot", info->name,
                   info->snapshot_lsn);
}

static void put_snapshot(struct buf *out, const struct collection_info *info)
{
    char name[SNAPSHOT_NAME_BYTES];

    put_name(info, name);
    buf_put_text(out, "{");
    print_text(out, true, "name", name);
    put_time(out, info->last_checkpoint_ns);
    print_u64(out, false, "size", info->checkpoint_bytes);
    print_text(out, false, "checksum", NULL);
    buf_put_text(out, "}");
}

task_state handle_qd_snapshots(struct request *req)
{
    struct collection_info info;
    struct buf *out;

    if (!qd_collection(req))
        return TASK_DONE;
    node_collection_info(req->collection, &info);
    out = qd_begin(req);
    buf_put_text(out, "[");
    if (info.last_checkpoint_ns != 0)
        put_snapshot(out, &info);
    buf_put_text(out, "]");
    qd_send(req);
    return TASK_DONE;
}

static void on_snapshot(void *arg, status st, const struct node_snapshot_result *r,
                        const struct err *err)
{
    struct request *req = arg;
    struct collection_info info;

    if (st != ST_OK) {
        fail_bucket(req, st, err);
        return;
    }
    node_collection_info(req->collection, &info);
    info.snapshot_lsn = r->checkpoint_lsn;
    info.checkpoint_bytes = r->checkpoint_bytes;
    info.last_checkpoint_ns = r->checkpoint_at_ns;
    put_snapshot(qd_begin(req), &info);
    qd_send(req);
}

task_state handle_qd_snapshot_create(struct request *req)
{
    struct qd_terms terms;

    if (qd_terms(req, &terms) && qd_collection(req))
        node_snapshot(req->collection, NULL, on_snapshot, req);
    return TASK_DONE;
}

/* A snapshot there is, of that name: what was asked of it has no counterpart. */
static task_state refuse(struct request *req, const char *why)
{
    struct slice key = req->match.params[1];
    struct collection_info info;
    char name[SNAPSHOT_NAME_BYTES];

    if (!qd_collection(req))
        return TASK_DONE;
    node_collection_info(req->collection, &info);
    put_name(&info, name);
    if (info.last_checkpoint_ns == 0 || !slice_equal(key, slice_text(name)))
        qd_fail(req, 404, "Not found: Snapshot %.*s not found",
                (int)(key.bytes < 255 ? key.bytes : 255), (const char *)key.data);
    else
        reply_problem(req, PROBLEM_NOT_SUPPORTED, "%s", why);
    return TASK_DONE;
}

task_state handle_qd_snapshot(struct request *req)
{
    return refuse(req, "a snapshot stays with the node; see docs/bucket.md for restoring one");
}

task_state handle_qd_snapshot_drop(struct request *req)
{
    return refuse(req, "the newest snapshot is what the node starts from; the next takes its "
                       "place");
}
