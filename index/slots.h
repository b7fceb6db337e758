/* slots.h - the rows of one collection in RAM: slot allocation, ids, payloads, liveness.
 *
 * A slot is the number of a row: node id in every vector field's graph and bit in every bitmap.
 * Rows lie in pieces that never move: SLOTS_PER_CHUNK rows each, and within the first chunk pieces
 * that start with 64 rows and double, so that a small collection stays small. A slot's life:
 *
 *   free -> reserved (slots_reserve) -> filled, invisible (slots_fill) -> live (slots_publish)
 *        -> dead (replaced or deleted: traversed, not returned) -> retired (no graph names it)
 *        -> free again once the readers of that time are gone
 *   reserved or filled -> free (slots_abandon), for a write that was refused
 *
 * Publishing is in lsn order by one applier at a time and cannot fail: everything that can was
 * reserved before. An upsert publishes the new slot before it kills the old one, so a reader may
 * meet both: slots_current() tells which one an id names now.
 *
 * Threads    reserve, fill, abandon, retire: any. publish, erase: the applier alone. Readers: any,
 *            inside an epoch guard of the node's struct epoch; they never wait.
 * Ownership  payload and external id are copied; what slots_row() returns borrows and lives as long
 *            as the guard.
 * Limits     SLOTS_MAX rows a collection, lsns to SLOTS_LSN_MAX; memory against the budget,
 * ST_NOSPACE when it is over. */
#ifndef INDEX_SLOTS_H
#define INDEX_SLOTS_H

#include "base/docid.h"
#include "base/epoch.h"
#include "base/mem.h"

enum { SLOTS_PER_CHUNK = 65536 };
#define SLOT_NONE     UINT32_MAX
#define SLOTS_MAX     4000000000u
#define SLOTS_LSN_MAX ((UINT64_C(1) << 56) - 1)

struct slots;

struct slots_options {
    struct epoch *epoch;       /* borrowed */
    struct mem_budget *budget; /* borrowed */
};
NODISCARD
status slots_create(const struct slots_options *options, struct slots **out, struct err *err);
/* No reader inside. The budget is given back whole; a callback may still be the epoch's, so the
 * epoch goes last. Accepts NULL. */
void slots_destroy(struct slots *s);

/* count slots into out, and room in the id map for them. ST_NOSPACE, ST_NOMEM: nothing reserved. */
NODISCARD
status slots_reserve(struct slots *s, uint32_t count, uint32_t *out, struct err *err);
/* Writes an invisible row. external_id and payload may be empty, and cost nothing then. ST_NOSPACE,
 * ST_NOMEM; ST_INVALID for an id that cannot be, or 4 GiB of contents. The slot stays reserved. */
NODISCARD
status slots_fill(struct slots *s, uint32_t slot, const struct docid *id, struct slice external_id,
                  struct slice payload, uint64_t inserted_at_ns, struct err *err);
void slots_abandon(struct slots *s, uint32_t slot);

/* Makes a filled slot live under its id with this lsn. Returns the slot it replaced (now dead), or
 * SLOT_NONE. Never fails. */
uint32_t slots_publish(struct slots *s, uint32_t slot, uint64_t lsn);
/* Kills the row of id; returns its slot (now dead) or SLOT_NONE if there was none. */
uint32_t slots_erase(struct slots *s, const struct docid *id);
/* A dead slot that no graph names any more: freed after the readers of now are gone. */
void slots_retire(struct slots *s, uint32_t slot);
/* While > 0, retired slots are kept and not handed out again (a fuzzy image is being written). */
void slots_reuse_pause(struct slots *s);
void slots_reuse_resume(struct slots *s);

/* Readers, inside a guard. */
uint32_t slots_find(const struct slots *s, const struct docid *id); /* live slot or SLOT_NONE */
/* Whether this slot is live and the one its id names now. */
bool slots_current(const struct slots *s, uint32_t slot);
/* How many rows were replaced so far, counted just before the id names the new one: read before a
 * search and after it, they tell what happened in between. The n-th (from 0) of the last
 * SLOTS_REPLACED_KEPT - 1 can be asked for; false: too long ago. */
enum { SLOTS_REPLACED_KEPT = 256 };
uint64_t slots_replacements(const struct slots *s);
bool slots_replacement(const struct slots *s, uint64_t n, uint32_t *old, uint32_t *new_slot);
/* Whether the second row is taking the place of the first at this moment. That the first is live
 * does not say so: its slot may be another row's by now. */
bool slots_replacing(const struct slots *s, uint32_t old, uint32_t new_slot);
/* For who looks at many rows one by one while others are published: a moment, taken before, and
 * what was published since or was being published then. A row that is met dead after the moment was
 * taken was deleted, or its successor is among the latter. */
uint64_t slots_moment(const struct slots *s);
bool slots_quiet_since(const struct slots *s, uint64_t moment); /* nothing was, and is not now */
/* Whether this row, live or dead, is one of them. */
bool slots_is_since(const struct slots *s, uint32_t slot, uint64_t moment);
/* Up to max such slots, live or dead, from *at (0 at first) on; 0: no more. Inside the guard in
 * which the moment was taken. */
uint32_t slots_since(const struct slots *s, uint64_t moment, uint32_t *at, uint32_t *out,
                     uint32_t max);
bool slots_live(const struct slots *s, uint32_t slot);
enum slot_state { SLOT_FREE = 0, SLOT_RESERVED, SLOT_FILLED, SLOT_LIVE, SLOT_DEAD, SLOT_RETIRED };
enum slot_state slots_state(const struct slots *s, uint32_t slot);

struct row {
    struct docid id;
    uint64_t lsn;
    uint64_t inserted_at_ns; /* wall, since 1970 */
    struct slice external_id;
    struct slice payload; /* jbin blob, docs/formats/payload.md; empty: {} */
};
/* Of a slot that is live or dead. */
void slots_row(const struct slots *s, uint32_t slot, struct row *out);

/* Every slot ever handed out is below this; grows only. */
uint32_t slots_end(const struct slots *s);
uint32_t slots_live_count(const struct slots *s);
uint32_t slots_dead_count(const struct slots *s); /* dead, not yet retired */
/* Collects up to max dead slots (not retired) into out; returns how many. */
uint32_t slots_dead_list(const struct slots *s, uint32_t *out, uint32_t max);
uint64_t slots_bytes(const struct slots *s);

/* Up to max live slots in id order whose id is > after (NULL: from the first). Call inside a guard;
 * the order is kept by a sorted array plus a tail sorted at need (this may take a moment after many
 * inserts: bulk work). *count of them in out. An id that has a row all through a walk in pages,
 * each going on after the last id of the one before, comes exactly once, even if its row is
 * replaced meanwhile. ST_NOMEM: the order needs 8 bytes a row from the first page on, which were
 * charged to the budget with the row. */
NODISCARD
status slots_page(struct slots *s, const struct docid *after, uint32_t max, uint32_t *out,
                  uint32_t *count, struct err *err);

/* Inside a guard: an id that no live row's is greater than, its bytes in text; *any false: there is
 * no row. Where a walk in pages ends that does not follow what is inserted behind it. ST_NOMEM. */
NODISCARD
status slots_last(struct slots *s, struct docid *out, char text[DOCID_BYTES_MAX], bool *any,
                  struct err *err);

/* Loading a checkpoint, before any reader: puts a row at a given slot, live or dead. When the id is
 * live already the higher lsn wins and the other row becomes dead. ST_CORRUPT when the slot is
 * taken or out of range. After the last one, slots_load_finish() makes the gaps free. */
NODISCARD
status slots_load(struct slots *s, uint32_t slot, bool dead, const struct row *row,
                  struct err *err);
/* The same in two steps: the first by any thread, a slot by one; the second for stretches of slots,
 * one call at a time, of those that are filled. dead: of each slot of the stretch. */
NODISCARD
status slots_load_fill(struct slots *s, uint32_t slot, const struct row *row, struct err *err);
void slots_load_settle(struct slots *s, uint32_t first, uint32_t count, const bool *dead);
/* For a load that puts rows at given slots and, in between, others where there is room: slots below
 * `end` are then slots_load()'s alone, and slots_reserve() gives out others, until
 * slots_load_finish(). Until then none below `end` may be retired. ST_NOSPACE, ST_NOMEM. */
NODISCARD
status slots_load_begin(struct slots *s, uint32_t end, struct err *err);
NODISCARD
status slots_load_finish(struct slots *s, struct err *err);
/* Invariants (tests, `verify`): id map and states agree, counts are true. ST_CORRUPT with the first
 * breach. No writer may run. */
NODISCARD
status slots_check(const struct slots *s, struct err *err);

#endif
