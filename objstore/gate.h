/* gate.h - a store around a store that lets no write through until somebody says so: what decides
 * whether a store may be relied on stands in one place, and nothing that writes can go around it.
 *
 * Reads, HEADs and listings pass always. While nothing is decided writes are held, but no longer
 * than hold_ms after the gate was made: a start takes a moment, an outage does not. A write that
 * does not pass was not sent: its answer is OBJSTORE_TRANSIENT while nothing is decided,
 * OBJSTORE_PERMANENT once it is, with the text given. What passed before the gate was closed goes
 * on.
 *
 * Threads    any. What was held goes on, and done() of what does not pass runs, on `objgate`.
 * Ownership  inner is borrowed: closing the gate leaves it open. */
#ifndef OBJSTORE_GATE_H
#define OBJSTORE_GATE_H

#include "base/clock.h"
#include "objstore/objstore.h"

enum objstore_gate_state { OBJSTORE_GATE_WAIT = 0, OBJSTORE_GATE_OPEN, OBJSTORE_GATE_REFUSE };
enum { OBJSTORE_GATE_TEXT_BYTES = 320 };

/* In state WAIT, with no text. clock: borrowed, for hold_ms. ST_NOMEM, ST_IO. */
NODISCARD
status objstore_gate_open(struct objstore *inner, struct clock *clock, uint64_t hold_ms,
                          struct objstore **out, struct err *err);
/* text: why; copied. */
void objstore_gate_set(struct objstore *s, enum objstore_gate_state state, const char *text);
/* A hash of what the newest answer that told it said of the server; 0: none did. */
uint64_t objstore_gate_server(struct objstore *s);
uint64_t objstore_gate_hash(const char *server);

#endif
