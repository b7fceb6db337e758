/* frames.h - what is asked of every small object that is read whole: what is accepted can be
 * written, the same but for extensions that were skipped, and what was written is accepted and
 * written again to the same bytes. */
#ifndef TESTS_FUZZ_FRAMES_H
#define TESTS_FUZZ_FRAMES_H

#include "base/bytes.h"

/* Decodes bytes (an allocation of their size) and encodes what came of it. */
typedef status frame_again_fn(struct slice bytes, struct buf *out, struct err *err);

/* extensions: the object may end with room that a writer drops. */
void frame_try(const uint8_t *data, size_t bytes, frame_again_fn *again, bool extensions);

#endif
