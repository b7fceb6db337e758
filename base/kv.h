/* kv.h - a small ordered store on LMDB for caches, ship hints, letters and intents: what may be
 * rebuilt or is bounded. The map is preallocated to its full size at open, so that a full disk
 * cannot fail a later write of what it has room for. LMDB is met here alone. A full store can
 * always be emptied: removals have room of their own beyond bytes_max.
 *
 * Threads    one thread writes (the node's meta thread); kv_get and kv_each from any, 512 at a
 * time. On disk    docs/formats/kv.md; each value carries a crc32c. One open handle per process and
 * folder. Ownership  values given to callbacks borrow until the callback returns; kv_get copies.
 * Failure    MDB_MAP_FULL -> ST_NOSPACE; a damaged file -> ST_CORRUPT; other codes keep their
 * number in the text. Every kv_apply is one durable transaction: all of it or nothing. */
#ifndef BASE_KV_H
#define BASE_KV_H

#include "base/fs.h"

struct kv;
enum { KV_KEY_BYTES_MAX = 500 };

struct kv_write {
    struct slice key; /* 1..KV_KEY_BYTES_MAX */
    struct slice value;
    bool remove; /* absent keys are fine */
};

/* Opens or makes <dir>/data.mdb; dir is on the real file system and is made if absent. Every page
 * in use is looked at first (kv_check.c): LMDB would not survive a damaged one. */
NODISCARD
status kv_open(const char *dir, size_t bytes_max, struct kv **out, struct err *err);
void kv_close(struct kv *kv);
/* Values whose checksum failed when it was opened: they are there, and cannot be read. */
size_t kv_damaged(const struct kv *kv);
/* Appends the value to out. ST_NOT_FOUND if absent. */
NODISCARD
status kv_get(struct kv *kv, struct slice key, struct buf *out, struct err *err);
NODISCARD
status kv_apply(struct kv *kv, const struct kv_write *writes, size_t count, struct err *err);
typedef status kv_each_fn(void *arg, struct slice key, struct slice value, struct err *err);
/* In key order, every key that begins with prefix. */
NODISCARD
status kv_each(struct kv *kv, struct slice prefix, kv_each_fn *fn, void *arg, struct err *err);
/* The same, and goes on behind a damaged value: fn is handed its key with value.data NULL. Values
 * that are not damaged have data, also when they are empty. */
NODISCARD
status kv_each_or_damaged(struct kv *kv, struct slice prefix, kv_each_fn *fn, void *arg,
                          struct err *err);

#endif
