/* pin.h - a pin is put into the bucket so that it holds against a collector that runs meanwhile
 * (docs/protocol.md, "Collecting garbage"): the pin first, then the root, then the comparison.
 *
 * Threads    blocks, as snapshot/ask.h.
 * Ownership  everything is borrowed for the call. */
#ifndef SNAPSHOT_PIN_H
#define SNAPSHOT_PIN_H

#include "segment/manifest.h"
#include "snapshot/ask.h"

/* Whether what the pin names was kept for it, by a root that was read after the pin was there. */
bool pin_holds(const struct pin *p, const struct root *root);
/* ST_OK: it is in the bucket and holds. ST_CONFLICT: what it names may be collected, its last group
 * may not count (its maker was replaced), or the collection is dropped; the pin was taken back
 * where that was possible, and one made from a newer root may hold. Else as ask_send(); then it may
 * be there, and a collector keeps what it can. */
NODISCARD
status pin_put(const struct ask *a, const struct pin *p, struct err *err);

#endif
