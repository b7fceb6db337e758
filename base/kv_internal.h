/* kv_internal.h - what kv.c and kv_check.c share. */
#ifndef BASE_KV_INTERNAL_H
#define BASE_KV_INTERNAL_H

#include "base/kv.h"

enum { KV_CHECK_BEGIN_MIN = 512, KV_CHECK_BEGIN_BYTES = 2 * 65536 };

/* How much of a file that begins so must be looked at; at most all of it. */
size_t kv_check_bytes(struct slice begin, uint64_t file_bytes);
/* Every entry as it is stored, its checksum in front. */
typedef void kv_check_fn(void *arg, struct slice key, struct slice stored);
/* ST_CORRUPT with the page: LMDB must not open it. */
NODISCARD
status kv_check(struct slice file, kv_check_fn *fn, void *arg, struct err *err);

#endif
