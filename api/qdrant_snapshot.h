/* qdrant_snapshot.h - files of collections, <data_dir>/exports/<collection id>/<name>.snapshot,
 * each beside its SHA-256 in <name>.snapshot.sha256 (docs/formats/snapshot-file.md).
 *
 * A file is written under <name>.snapshot.tmp and appears whole under its name, behind its
 * checksum. Of a collection one is made at a time.
 *
 * Threads    struct snapshots: any. The rest: the worker that has the request.
 * Ownership  struct snapshots dies with the api, all else with its request. */
#ifndef API_QDRANT_SNAPSHOT_H
#define API_QDRANT_SNAPSHOT_H

#include "api/qdrant.h"

#include "base/crypto.h"

#define SNAPSHOT_SUFFIX     ".snapshot"
#define SNAPSHOT_SUM_SUFFIX ".sha256"
enum { SNAPSHOT_NAME_BYTES = 256, SNAPSHOT_VERSION = 1 };

/* Which collections a file is being made of. */
NODISCARD
struct snapshots *snapshots_create(void);      /* NULL: out of memory */
void snapshots_destroy(struct snapshots *all); /* accepts NULL */

struct snapshot_place { /* of the request's collection */
    struct fs *fs;
    char dir[FS_PATH_BYTES];
};
NODISCARD
status snapshot_place(const struct request *req, struct snapshot_place *out, struct err *err);
/* A file of that folder and nothing else: no '/', no control character, no dot in front, ends in
 * .snapshot. */
bool snapshot_name_ok(struct slice name);
/* {"name","creation_time","size","checksum"} of a file that is there. ST_NOT_FOUND. */
NODISCARD
status snapshot_put(struct buf *out, const struct snapshot_place *place, const char *name,
                    struct err *err);
/* 404 "Not found: Snapshot <name> not found". */
void snapshot_not_found(struct request *req);

/* qdrant_snapshot_make.c: the route that makes one. */
task_state handle_qd_snapshot_create(struct request *req);

#endif
