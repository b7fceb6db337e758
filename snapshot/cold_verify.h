/* cold_verify.h - whether the cold segments of a manifest go together; each by itself is
 * cold_verify()'s (fold.h).
 *
 * Threads    blocks on the network.
 * Memory     8 bytes a row. */
#ifndef SNAPSHOT_COLD_VERIFY_H
#define SNAPSHOT_COLD_VERIFY_H

#include "segment/manifest.h"
#include "snapshot/ask.h"

struct cold_verify_report { /* added to */
    uint64_t bytes, requests;
};
/* ST_CORRUPT names an id that lives in two segments. Reads the id indexes; nothing where there is
 * but one segment. */
NODISCARD
status cold_verify_once(const struct ask *ask, const struct manifest *m,
                        struct cold_verify_report *report, struct err *err);

#endif
